//! The place in which a game is tried: a temporary directory with a control plane of its own, at a port that was free.
//!
//! Nothing of it is left when it is dropped, however the check went: neither files nor processes.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use adapters::{front_door::view::WorldView, runtime::docker::Role, secret::Secret};
use anyhow::{Context, Result, bail};
use domain::game::Protocol;
use games::Entry;
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    containers::{Containers, Talk},
    processes::{self, Process},
};
use crate::{
    Reach,
    choose::{Choosing, Terminal},
    client::Client,
    world,
};

/// The name of the world.
const WORLD: &str = "check";

/// How long the control plane may take to come up: an image is made of this program first, where there are containers.
const UP_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How long the world's files may take to be removed.
const DELETE_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How often something is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How many lines of a log are shown.
const SHOWN_LINES: usize = 5;

/// Where a game is tried.
pub(super) struct Place {
    dir: TempDir,
    up: Child,
    client: Client,
    /// Where the world does not run by plain processes.
    containers: Option<Containers>,
}

/// How the world is run.
pub(super) enum Ground {
    /// By plain processes.
    Processes,
    /// In containers, by this engine.
    Containers(Box<Talk>),
}

/// What the control plane is told besides.
pub(super) struct Told<'a> {
    /// As whom games run as plain processes.
    pub(super) game_user: Option<&'a str>,
    /// Values for the `ARG`s of the game's Dockerfile.
    pub(super) build_args: &'a [(String, String)],
    /// Whether the licence is accepted that the game's Dockerfile names.
    pub(super) accepts_licence: bool,
}

impl Place {
    /// Makes the directory and brings the control plane up, which knows the game of `entry`.
    pub(super) fn open(entry: &Entry, ground: Ground, told: &Told<'_>) -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("dormouse-check-").tempdir().context("making a directory")?;
        // Games run as another user, who has to get through to the world.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let games = dir.path().join("games");
        fs::create_dir(&games)?;
        let id = entry.game.id.as_str();
        fs::write(games.join(format!("{id}.toml")), &entry.source)?;
        if let Some(dockerfile) = &entry.dockerfile {
            fs::write(games.join(games::dockerfile_name(id)), dockerfile)?;
        }
        let log = dir.path().join("up.log");
        let mut command = Command::new(env::current_exe().context("finding this program")?);
        let data = dir.path().join("data");
        command.args(["up", "--end-with-input", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        command.arg("--games").arg(&games);
        match &ground {
            Ground::Processes => command.args(["--runtime", "process"]),
            Ground::Containers(_) => command.args(["--runtime", "docker"]),
        };
        told.game_user.iter().for_each(|user| _ = command.args(["--game-user", user]));
        for (name, value) in told.build_args {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
        if told.accepts_licence {
            command.args(["--accept-licence", id]);
        }
        // What is set for people's own control plane is not for this one.
        env::vars_os()
            .filter(|(name, _)| name.to_string_lossy().starts_with("DORMOUSE_"))
            .for_each(|(name, _)| _ = command.env_remove(name));
        // A group of its own: Ctrl-C is for the check, which has a world to put to sleep first.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(File::create(&log)?)
            .stderr(File::create(dir.path().join("up.err"))?);
        let mut up = command.spawn().context("starting the control plane")?;
        match url(&mut up, &log) {
            Ok(url) => {
                let client = Client::new(&Reach { url, token_file: None, json: true })?;
                let containers = match ground {
                    Ground::Processes => None,
                    Ground::Containers(talk) => {
                        Some(Containers::new(talk, &Secret::load_or_create(data.join("secret"))?))
                    }
                };
                Ok(Self { dir, up, client, containers })
            }
            Err(error) => {
                let said = last_lines(&dir.path().join("up.err"));
                up.kill().and_then(|()| up.wait().map(drop)).context("ending the control plane")?;
                Err(error.context(said))
            }
        }
    }

    /// Makes the world, which goes to sleep by itself after `most`, should nobody tell it to.
    pub(super) fn create(&self, entry: &Entry, most: Duration, choosing: &Choosing) -> Result<WorldView> {
        let settings = world::settings_of(&self.client, entry.game.id.as_str())?;
        let settings = choosing.for_new(&settings, &mut Terminal)?;
        let [never_joined_s, last_left_s] = [most.as_secs(); 2];
        let cap_s = most.as_secs() + entry.game.ready.limit.as_secs();
        let timers = serde_json::json!({
            "never_joined_s": never_joined_s, "last_left_s": last_left_s, "warning_s": 0, "cap_s": cap_s,
        });
        let game = entry.game.id.as_str();
        let wish = serde_json::json!({ "name": WORLD, "game": game, "timers": timers, "settings": settings });
        self.post("", &wish)
    }

    /// Tells the world to `start` or `stop`.
    pub(super) fn tell(&self, what: &str) -> Result<WorldView> {
        self.post(&format!("/{WORLD}/{what}"), &serde_json::json!({}))
    }

    fn post(&self, path: &str, body: &impl Serialize) -> Result<WorldView> {
        let answer = self.client.post(&format!("/v1/worlds{path}"), body)?;
        answer.world.context("the control plane's answer holds no world")
    }

    /// Looks at the world.
    pub(super) fn world(&self) -> Result<WorldView> {
        let answer = self.client.get(&format!("/v1/worlds/{WORLD}"))?;
        answer.world.context("the control plane's answer holds no world")
    }

    /// Returns the world's own files.
    pub(super) fn files(&self, world: &WorldView) -> PathBuf {
        self.data().join("worlds").join(&world.id).join("files")
    }

    /// Returns where the newest archive is, if there is one.
    pub(super) fn archive(&self, world: &WorldView) -> Option<PathBuf> {
        let archive = world.archive.as_ref()?;
        Some(self.data().join("archives").join(&world.id).join(format!("{}.zip", archive.id)))
    }

    /// Returns what the watchdog of the newest launch has logged.
    pub(super) fn watchdog_log(&self, world: &WorldView) -> String {
        if let Some(containers) = &self.containers {
            return containers.said(&task_name(world), Role::Watchdog);
        }
        let log = self.task(world).join("watchdog.log");
        fs::read(log).map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns how the watchdog of the newest launch has ended, if it has: nothing in it means well.
    pub(super) fn outcome(&self, world: &WorldView) -> Option<String> {
        fs::read_to_string(self.task(world).join("outcome")).ok()
    }

    /// Returns the last lines that the game has printed.
    pub(super) fn game_said(&self, world: &WorldView) -> String {
        match &self.containers {
            Some(containers) => last_of(&containers.said(&task_name(world), Role::Game)),
            None => last_lines(&self.task(world).join("game.log")),
        }
    }

    /// Returns a file on the disk of the world, to ask its clock by.
    pub(super) fn clock(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    /// Returns the processes of the game, whichever launch they are of.
    pub(super) fn game(&self) -> Vec<Process> {
        if let Some(containers) = &self.containers {
            return containers.game();
        }
        let mut but = vec![Pid::this(), Pid::from_raw(self.up.id().cast_signed())];
        but.extend(self.watchdogs());
        processes::below(self.dir.path(), &but)
    }

    /// Returns the numbers on which the game waits for players.
    pub(super) fn bound(&self) -> BTreeSet<(u16, Protocol)> {
        self.containers.as_ref().map_or_else(|| processes::bound(&self.game()), Containers::bound)
    }

    /// Returns the containers that the world runs in, if it does.
    pub(super) fn containers(&self) -> Option<&Containers> {
        self.containers.as_ref()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn task(&self, world: &WorldView) -> PathBuf {
        self.data().join("tasks").join(task_name(world))
    }

    /// Has the world's files removed by a container: they belong to users that this process may not be.
    fn delete(&self) -> Result<()> {
        let world = self.world()?;
        let files = self.data().join("worlds").join(&world.id);
        self.client.delete(&format!("/v1/worlds/{WORLD}?confirm={WORLD}"))?;
        let begun = Instant::now();
        while files.exists() && begun.elapsed() < DELETE_LIMIT {
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Ends the control plane, and first of all: it would look after what is removed here.
    fn end_control_plane(&mut self) {
        drop(self.up.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < END_LIMIT && !matches!(self.up.try_wait(), Ok(Some(_))) {
            thread::sleep(LOOK_EVERY);
        }
        if !matches!(self.up.try_wait(), Ok(Some(_))) {
            let _ = self.up.kill();
            let _ = self.up.wait();
        }
    }

    fn kill_processes(&self) {
        let begun = Instant::now();
        while begun.elapsed() < END_LIMIT {
            let groups = self.watchdogs();
            let left = self.game();
            if groups.is_empty() && left.is_empty() {
                return;
            }
            groups.iter().for_each(|group| _ = signal::killpg(*group, Signal::SIGKILL));
            left.iter().for_each(|process| _ = signal::kill(process.pid, Signal::SIGKILL));
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns the watchdogs that are there as plain processes: those that have noted their number and hold their task's lock.
    fn watchdogs(&self) -> Vec<Pid> {
        let tasks = fs::read_dir(self.data().join("tasks")).into_iter().flatten().flatten();
        let watchdog = |task: PathBuf| {
            let lock = File::open(task.join("alive")).ok()?;
            lock.try_lock().is_err().then_some(())?;
            fs::read_to_string(task.join("pid")).ok()?.trim().parse().ok().map(Pid::from_raw)
        };
        tasks.filter_map(|task| watchdog(task.path())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.containers.is_some() {
            // A world that is not asleep cannot be deleted, and where there is none, there is nothing to delete.
            let _ = self.delete();
        }
        self.end_control_plane();
        match &self.containers {
            Some(containers) => containers.remove(),
            None => self.kill_processes(),
        }
    }
}

/// Returns the name of the newest launch's task.
fn task_name(world: &WorldView) -> String {
    format!("{}.{}", world.id, world.generation)
}

/// Waits until the control plane says where it is.
fn url(up: &mut Child, log: &Path) -> Result<String> {
    let begun = Instant::now();
    while begun.elapsed() < UP_LIMIT {
        let said = fs::read_to_string(log).unwrap_or_default();
        let url = said.split_once("dormouse is up at ").and_then(|(_, rest)| rest.split_once(';'));
        if let Some((url, _)) = url {
            return Ok(url.to_owned());
        }
        if let Some(status) = up.try_wait()? {
            bail!("the control plane ended ({status})");
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!("the control plane did not come up in {} s", UP_LIMIT.as_secs())
}

/// Returns the last lines of a log, in one line.
fn last_lines(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    last_of(&String::from_utf8_lossy(&bytes))
}

/// Returns the last lines of a text, in one line.
fn last_of(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" / ")
}
