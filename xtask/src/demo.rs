//! `cargo xtask demo`: the main job, shown with a real game server and a real player.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use e2e::clients::LuantiClient;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    install,
    shell::{command, root, run},
};

/// The demo's world.
const WORLD: &str = "demo";

/// The longest that each part of the story may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End when the world sleeps, instead of staying up for you to play
    #[arg(long)]
    unattended: bool,
}

/// Shows the demo.
pub(crate) fn show(demo: &Demo) -> Result<()> {
    install::packages(&[install::DEMO])?;
    run("cargo", &["build", "-p", "dormouse", "--locked"])?;
    let stage = Stage::open()?;
    stage.show_story()?;
    if demo.unattended {
        return stage.close();
    }
    say("It is yours now: join as often as you like. Ctrl-C ends the demo.");
    stage.dormouse(&["world", "start", WORLD, "--wait"])?;
    stage.wait_for_the_reader()
}

/// A control plane of the demo's own.
struct Stage {
    program: PathBuf,
    data: PathBuf,
    url: String,
    up: Child,
}

impl Stage {
    fn open() -> Result<Self> {
        let program = root().join("target/debug/dormouse");
        // Games run as another user where this is root, who has to get through to the worlds.
        let data = tempfile::Builder::new().prefix("dormouse-demo-").tempdir()?.keep();
        fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}");
        say("1. The control plane, with everything in this one process");
        let listen = format!("127.0.0.1:{port}");
        println!("$ dormouse up --data {} --listen {listen} --runtime process", data.display());
        let mut command = Command::new(&program);
        command
            .args(["up", "--listen", &listen, "--runtime", "process", "--data"])
            .arg(&data)
            .stdin(Stdio::null());
        // Ctrl-C is for the demo, which ends the control plane in its own time.
        command.process_group(0);
        let up = command.spawn().context("starting the control plane")?;
        let stage = Self { program, data, url, up };
        stage.wait("the control plane", |stage| stage.try_json(&["world", "list"]).map(drop))?;
        Ok(stage)
    }

    fn show_story(&self) -> Result<()> {
        say("2. A world, with timers short enough to watch");
        let timers = ["--never-joined", "5m", "--last-left", "20s", "--warning", "10s", "--cap", "1h"];
        self.dormouse(&[&["world", "create", WORLD, "--game", "luanti"], &timers[..]].concat())?;

        say("3. Somebody wants to play: the world wakes");
        self.dormouse(&["world", "start", WORLD, "--wait"])?;

        say("4. A real client joins over UDP, and is seen");
        let port = self.address()?.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.context("the world has no port")?;
        let mut player = LuantiClient::join(None, IpAddr::V4(Ipv4Addr::LOCALHOST), port, "ann")?;
        let joined = Instant::now();
        self.wait("the player to be seen", |stage| {
            (stage.world().ok()?["players"]["n"].as_u64()? >= 1).then_some(())
        })?;
        println!("seen {} s after the client was started:", joined.elapsed().as_secs());
        self.dormouse(&["world", "status", WORLD])?;

        say("5. The player leaves; the world is warned of, saved, archived and put to sleep");
        player.leave()?;
        let left = Instant::now();
        self.watch_it_fall_asleep(left)?;
        self.dormouse(&["world", "status", WORLD])?;
        self.show_archive()
    }

    /// Shows each change of what the world is doing until it sleeps.
    fn watch_it_fall_asleep(&self, left: Instant) -> Result<()> {
        let mut before = String::new();
        while left.elapsed() < PATIENCE {
            let world = self.world()?;
            let status = world["status"].as_str().unwrap_or_default();
            // What changes with each look (how long ago, how long to go) is no change.
            let gist: String = status.chars().filter(|c| !c.is_ascii_digit()).collect();
            if gist != before {
                println!("  {:>3} s after leaving: {status}", left.elapsed().as_secs());
                before = gist;
            }
            if world["state"] == "asleep" {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        bail!("the world did not fall asleep within {} s", PATIENCE.as_secs())
    }

    fn show_archive(&self) -> Result<()> {
        say("6. The archive: a plain .zip, found whole by the receiving side");
        let world = self.world()?;
        let (id, archive) = (text(&world["id"])?, text(&world["archive"]["id"])?);
        let path = self.data.join("archives").join(id).join(format!("{archive}.zip"));
        let size = fs::metadata(&path).with_context(|| format!("no archive at {}", path.display()))?.len();
        ensure!(
            Some(size) == world["archive"]["size"].as_u64(),
            "the archive is not as large as it should be"
        );
        println!("{} ({size} bytes)", path.display());
        self.dormouse(&["world", "export", WORLD, "--for", "1h"])
    }

    fn address(&self) -> Result<String> {
        Ok(text(&self.world()?["address"])?.to_owned())
    }

    fn world(&self) -> Result<Value> {
        self.try_json(&["world", "status", WORLD]).context("the control plane does not answer")
    }

    /// Runs `dormouse` and shows it.
    fn dormouse(&self, arguments: &[&str]) -> Result<()> {
        println!("$ dormouse {}", arguments.join(" "));
        let status = self.command(arguments).status()?;
        ensure!(status.success(), "`dormouse {}` failed ({status})", arguments.join(" "));
        Ok(())
    }

    fn try_json(&self, arguments: &[&str]) -> Option<Value> {
        let output = self.command(arguments).arg("--json").output().ok()?;
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok())?
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program.to_string_lossy(), arguments);
        command.env("DORMOUSE_URL", &self.url);
        command
    }

    fn wait<T>(&self, what: &str, try_once: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(found) = try_once(self) {
                return Ok(found);
            }
            thread::sleep(Duration::from_millis(200));
        }
        bail!("waited {} s for {what}; see the logs below {}", PATIENCE.as_secs(), logs(&self.data).display())
    }

    /// Ends the control plane; what it kept stays for the reader.
    fn close(mut self) -> Result<()> {
        self.end()?;
        println!("\nthat was it; everything is kept in {}", self.data.display());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.up.try_wait()?.is_none() {
            kill(Pid::from_raw(self.up.id().cast_signed()), Signal::SIGTERM)?;
            self.up.wait()?;
        }
        Ok(())
    }

    /// Waits for Ctrl-C, and puts the world to sleep.
    fn wait_for_the_reader(mut self) -> Result<()> {
        let interrupted = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
        println!(
            "\nclients of your own join at {}; logs are below {}",
            self.address()?,
            logs(&self.data).display()
        );
        while self.up.try_wait()?.is_none() && !interrupted.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
        self.dormouse(&["world", "stop", WORLD, "--wait"])?;
        self.close()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("the control plane could not be ended: {error:#}");
        }
    }
}

fn logs(data: &Path) -> PathBuf {
    data.join("tasks")
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("the control plane left something out")
}

fn say(what: &str) {
    println!("\n== {what}");
}
