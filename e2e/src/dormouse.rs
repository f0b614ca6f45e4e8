//! The real `dormouse`: a control plane in a namespace of its own, its command line, and what it keeps on disk.

use std::{
    fs::{self, File},
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::netns::Namespace;

/// How long the control plane may take to answer after it was started.
const UP_LIMIT: Duration = Duration::from_secs(120);

/// How long a command may take: longer than anything that a test waits for.
const COMMAND_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often the tests look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns the program, which `cargo xtask test` has built.
pub fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"));
    target.join("debug/dormouse")
}

/// A control plane on a machine of its own.
pub struct Dormouse<'a> {
    ns: &'a Namespace,
    scratch: TempDir,
    /// Where it keeps everything.
    pub data: PathBuf,
    up: Mutex<Option<Child>>,
    /// How it runs tasks.
    pub runtime: &'static str,
    /// More arguments of `dormouse up`.
    pub arguments: Vec<String>,
    /// What the program is started by: a program and its arguments, such as `setpriv` with fewer privileges.
    pub wrapper: Vec<String>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    /// The exit code.
    pub code: i32,
    /// What it said.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl<'a> Dormouse<'a> {
    /// Starts a control plane in `ns` and waits until it answers.
    pub fn up(ns: &'a Namespace) -> Result<Self> {
        let dormouse = Self::prepare(ns)?;
        dormouse.start()?;
        Ok(dormouse)
    }

    /// Returns a control plane that is not started yet.
    pub fn prepare(ns: &'a Namespace) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        // Games run as another user, who has to get through to the worlds.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
        let data = scratch.path().join("data");
        let (arguments, wrapper) = (Vec::new(), Vec::new());
        Ok(Self { ns, scratch, data, up: Mutex::default(), runtime: "process", arguments, wrapper })
    }

    /// Starts the control plane and waits until it answers.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        let begun = Instant::now();
        while self.json(&["world", "list"]).is_err() {
            if let Some(status) = self.control().as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the control plane ended ({status}): {}", self.log());
            }
            ensure!(begun.elapsed() < UP_LIMIT, "the control plane does not answer: {}", self.log());
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Starts the control plane and does not wait.
    pub fn spawn(&self) -> Result<()> {
        let log = || File::options().create(true).append(true).open(self.log_path());
        let mut command = self.ns_command();
        command.args(["up", "--runtime", self.runtime, "--game-host", &self.ns.address.to_string()]);
        command.arg("--data").arg(&self.data);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        *self.control() = Some(command.spawn().context("starting dormouse up")?);
        Ok(())
    }

    /// Waits for the control plane to end by itself and returns its exit code and what it printed.
    pub fn wait_for_end(&self) -> Result<(i32, String)> {
        let mut up = self.control().take().context("not started")?;
        let status = up.wait()?;
        Ok((status.code().unwrap_or(-1), self.log()))
    }

    /// Kills the control plane, and nothing else.
    pub fn kill_control(&self) -> Result<()> {
        if let Some(mut up) = self.control().take() {
            up.kill()?;
            up.wait()?;
        }
        Ok(())
    }

    /// Ends the control plane as Ctrl-C does.
    pub fn end_control(&self) -> Result<()> {
        if let Some(mut up) = self.control().take() {
            kill(Pid::from_raw(up.id().cast_signed()), Signal::SIGTERM)?;
            up.wait()?;
        }
        Ok(())
    }

    /// Returns the control plane's process, if it was started and neither ended nor killed by us.
    pub fn control_pid(&self) -> Option<Pid> {
        self.control().as_ref().map(|up| Pid::from_raw(up.id().cast_signed()))
    }

    fn control(&self) -> MutexGuard<'_, Option<Child>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the control plane has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("up.log")
    }

    /// Returns a command that runs `dormouse` in the namespace.
    pub fn ns_command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => self.ns.command(program()),
            Some((wrapper, arguments)) => {
                let mut command = self.ns.command(wrapper);
                command.args(arguments).arg(program());
                command
            }
        };
        // An engine of this machine is none of the tests' business.
        command.env("DORMOUSE_RUNTIME", "process").env("DOCKER_HOST", "unix:///nowhere/engine.sock");
        command
    }

    /// Runs `dormouse` with `arguments`, whatever comes of it, but for an end that does not come.
    pub fn cli(&self, arguments: &[&str]) -> Result<Done> {
        let mut command = self.ns.command(program());
        command.env("USER", "ann").args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let Output { status, stdout, stderr } =
            finish(child, COMMAND_LIMIT).with_context(|| format!("`dormouse {}`", arguments.join(" ")))?;
        Ok(Done {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout)?,
            stderr: String::from_utf8(stderr)?,
        })
    }

    /// Runs `dormouse` with `arguments`, which must succeed, and returns what it said.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let done = self.cli(arguments)?;
        ensure!(done.code == 0, "`dormouse {}`: {}{}", arguments.join(" "), done.stdout, done.stderr);
        Ok(done.stdout)
    }

    /// Runs `dormouse` with `arguments` and `--json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())?)?)
    }

    /// Returns the status of a world.
    pub fn world(&self, name: &str) -> Result<Value> {
        self.json(&["world", "status", name])
    }

    /// Returns a world's state: `asleep`, `waking`, `awake`, `going to sleep`.
    pub fn state(&self, name: &str) -> Result<String> {
        Ok(self.world(name)?["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Returns where players connect to.
    pub fn address(&self, name: &str) -> Result<(IpAddr, u16)> {
        let world = self.world(name)?;
        let (host, port) = world["address"].as_str().and_then(|a| a.rsplit_once(':')).context("not awake")?;
        Ok((host.parse()?, port.parse()?))
    }

    /// Makes a world with timers in seconds: for the first player, after the last one, to warn, at most.
    pub fn create(&self, name: &str, game: &str, [never, left, warning, cap]: [u32; 4]) -> Result<()> {
        let seconds = [never, left, warning, cap].map(|s| format!("{s}s"));
        let [never, left, warning, cap] = seconds.each_ref().map(String::as_str);
        let timers = ["--never-joined", never, "--last-left", left, "--warning", warning, "--cap", cap];
        self.ok(&[&["world", "create", name, "--game", game], &timers[..]].concat()).map(drop)
    }

    /// Looks at the world until `is_so`, and returns it and how long that took.
    pub fn wait(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<(Value, Duration)> {
        let begun = Instant::now();
        let mut last = Value::Null;
        while begun.elapsed() < limit {
            // A control plane that is just being restarted is no failure.
            if let Ok(world) = self.world(name) {
                if is_so(&world) {
                    return Ok((world, begun.elapsed()));
                }
                last = world;
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("{name}: not {what} after {} s: {last:#}\n{}", limit.as_secs(), self.logs(name))
    }

    /// Waits until the world is in `state`.
    pub fn wait_for_state(&self, name: &str, state: &str, limit: Duration) -> Result<Value> {
        Ok(self.wait(name, state, limit, |world| world["state"] == state)?.0)
    }

    /// Waits until exactly `n` players are seen, and returns how long that took.
    pub fn wait_for_players(&self, name: &str, n: u64, limit: Duration) -> Result<Duration> {
        Ok(self.wait(name, &format!("seen with {n} players"), limit, |world| players(world) == Some(n))?.1)
    }

    /// Checks for `time` that `is_so` goes on being so.
    pub fn stays(
        &self,
        name: &str,
        what: &str,
        time: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let world = self.world(name)?;
            ensure!(
                is_so(&world),
                "{name}: no longer {what} after {:.1} s: {world:#}\n{}",
                begun.elapsed().as_secs_f32(),
                self.logs(name)
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Returns the directory of the world's newest task.
    pub fn task_dir(&self, name: &str) -> Result<PathBuf> {
        let world = self.world(name)?;
        let id = world["id"].as_str().context("a world without id")?;
        Ok(self.data.join("tasks").join(format!("{id}.{}", world["generation"])))
    }

    /// Returns the world's own files.
    pub fn files(&self, name: &str) -> Result<PathBuf> {
        let world = self.world(name)?;
        Ok(self.data.join("worlds").join(world["id"].as_str().context("a world without id")?).join("files"))
    }

    /// Returns the archive of that id.
    pub fn archive(&self, world: &Value) -> Result<PathBuf> {
        let part = |value: &Value| value.as_str().map(str::to_owned).context("the world has no archive");
        let (world_id, archive) = (part(&world["id"])?, part(&world["archive"]["id"])?);
        Ok(self.data.join("archives").join(world_id).join(format!("{archive}.zip")))
    }

    /// Checks that the newest archive holds every file of the world, byte for byte, and `known` among them.
    pub fn check_archive(&self, name: &str, known: &str) -> Result<()> {
        let archive = File::open(self.archive(&self.world(name)?)?)?;
        let scratch = tempfile::tempdir()?;
        zip::ZipArchive::new(archive)?.extract(scratch.path())?;
        let mut diff = Command::new("diff");
        diff.args(["-r", "--exclude=.minetest", "--exclude=screenshot", "--exclude=.dormouse"])
            .arg(self.files(name)?)
            .arg(scratch.path());
        let same = diff.output().context("running diff")?;
        ensure!(same.status.success(), "the archive differs: {}", String::from_utf8_lossy(&same.stdout));
        ensure!(scratch.path().join(known).exists(), "the archive has no {known}");
        Ok(())
    }

    /// Returns what the game has printed in its newest task.
    pub fn game_log(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.task_dir(name)?.join("game.log")).unwrap_or_default())
    }

    /// Returns the watchdog's process, once it has noted it.
    pub fn watchdog(&self, name: &str) -> Result<Option<Pid>> {
        let noted = fs::read_to_string(self.task_dir(name)?.join("pid")).unwrap_or_default();
        Ok(noted.trim().parse().ok().map(Pid::from_raw))
    }

    /// Returns the game's process: the watchdog's child that is no shell.
    pub fn game(&self, name: &str) -> Result<Option<Pid>> {
        let Some(watchdog) = self.watchdog(name)? else { return Ok(None) };
        let children =
            fs::read_to_string(format!("/proc/{watchdog}/task/{watchdog}/children")).unwrap_or_default();
        let is_game = |pid: &&str| {
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            !program.is_empty() && program.trim() != "sh"
        };
        Ok(children.split_whitespace().find(is_game).and_then(|pid| pid.parse().ok()).map(Pid::from_raw))
    }

    /// Returns the processes that hold the world's directory open: those that may write to it.
    pub fn writers(&self, name: &str) -> Result<Vec<String>> {
        let files = self.files(name)?;
        let mut writers = Vec::new();
        for process in fs::read_dir("/proc")?.flatten() {
            let links =
                |what: &str| fs::read_link(process.path().join(what)).is_ok_and(|at| at.starts_with(&files));
            if process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) && links("cwd") {
                writers.push(
                    fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned(),
                );
            }
        }
        Ok(writers)
    }

    /// Returns the logs of the world's newest task and of the control plane, for a failure's message.
    pub fn logs(&self, name: &str) -> String {
        let read = |what: &str| {
            let text = self.task_dir(name).and_then(|dir| Ok(fs::read_to_string(dir.join(what))?));
            let text = text.unwrap_or_else(|error| error.to_string());
            let lines: Vec<_> = text.lines().collect();
            format!("--- {what}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        format!("{}{}--- dormouse up\n{}", read("watchdog.log"), read("game.log"), self.log())
    }
}

/// Waits for the end of a process whose output is piped; kills it when it takes too long.
pub fn finish(child: Child, limit: Duration) -> Result<Output> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(limit) {
        Ok(output) => Ok(output?),
        Err(_) => {
            kill(pid, Signal::SIGKILL).context("killing it")?;
            bail!("it does not end within {limit:?}: {:?}", ended.recv()?)
        }
    }
}

impl Drop for Dormouse<'_> {
    fn drop(&mut self) {
        // What is left in the namespace ends with it.
        if let Err(error) = self.kill_control() {
            eprintln!("the control plane could not be ended: {error:#}");
        }
    }
}

/// Returns how many players the status of a world shows: nothing if that is unknown or it is not awake.
pub fn players(world: &Value) -> Option<u64> {
    match world["players"]["is"].as_str()? {
        "players" => world["players"]["n"].as_u64(),
        "empty" => Some(0),
        _ => None,
    }
}
