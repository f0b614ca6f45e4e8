//! Two containers as in a task on Fargate, or as Podman and Docker make them with `--network` and `--pid container:…`: a
//! watchdog that is essential, and a game that starts when the watchdog is healthy. They share a network and the numbers of
//! processes, and neither capabilities, nor users, nor mounts.
//!
//! What runs them is this test: it asks for health, starts the game once, and when the first process of the game's container
//! ends, kills all that is left in it, as containerd does where the numbers of processes are shared.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{control::Control, dormouse::program, netns::Namespace};

/// The user and group of games.
pub const GAME_USER: u32 = 10_001;

/// What the watchdog's container keeps (`cdk/lib/tasks/containers.ts`).
pub const WATCH_NEEDS: &str = "+chown,+dac_override,+fowner,+kill,+net_raw";

/// What nearly every image sets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games";

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Mounts a `/proc` of the processes that are here, and goes on as `$@`.
const INSIDE: &str = r#"mount -t proc none /proc && exec "$@""#;

/// What the first process of the containers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// One that belongs to neither, as on Fargate.
    Pause,
    /// The watchdog, as where the game joins its container.
    Watchdog,
}

/// What is started.
pub struct Plan<'a> {
    /// The catalogue's entry.
    pub entry: &'a str,
    /// What the game's image has as its entrypoint: a script of the shell.
    pub entrypoint: &'a str,
    /// The game's first port, and that of its console.
    pub ports: [u16; 2],
    /// The first process.
    pub first: First,
    /// What the watchdog's container keeps.
    pub needs: &'a str,
    /// The user that the watchdog believes games to run as.
    pub game_user: &'a str,
    /// Files that are in the world's directory.
    pub files: &'a [(&'a str, &'a str)],
}

impl<'a> Plan<'a> {
    /// Returns a plan for a game as on Fargate.
    pub fn new(entry: &'a str, entrypoint: &'a str) -> Self {
        Self {
            entry,
            entrypoint,
            ports: [30_000, 30_001],
            first: First::Pause,
            needs: WATCH_NEEDS,
            game_user: "10001:10001",
            files: &[],
        }
    }
}

/// The two containers. Dropping it kills what is in them.
pub struct Pod<'a> {
    machine: &'a Namespace,
    scratch: TempDir,
    entrypoint: String,
    ports: [u16; 2],
    /// The process whose end is that of all.
    first: Child,
    watchdog: Option<Child>,
    game: Option<Child>,
    /// Whether the game was started.
    has_started: bool,
}

impl<'a> Pod<'a> {
    /// Starts the watchdog.
    pub fn start(machine: &'a Namespace, control: &Control, plan: &Plan<'_>) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
        for dir in ["worlds/w1/files", "task", "catalogue"] {
            fs::create_dir_all(scratch.path().join(dir))?;
        }
        fs::write(scratch.path().join("catalogue/game.toml"), plan.entry)?;
        for (name, text) in plan.files {
            fs::write(scratch.path().join("worlds/w1/files").join(name), text)?;
        }
        let entrypoint = plan.entrypoint.to_owned();
        let log = |name: &str| File::options().create(true).append(true).open(scratch.path().join(name));
        let (first, watchdog) = match plan.first {
            First::Pause => {
                let mut pause = unshared(machine);
                pause.args(["sh", "-c", INSIDE, "pause", "sleep", "infinity"]);
                let pause = pause.stdin(Stdio::null()).spawn()?;
                let inside = inner(&pause)?;
                let mut watchdog = joining(machine, inside);
                run_watchdog(&mut watchdog, control, plan, scratch.path());
                let watchdog = watchdog.stdout(log("watchdog.log")?).stderr(log("watchdog.log")?).spawn()?;
                (pause, Some(watchdog))
            }
            First::Watchdog => {
                let mut watchdog = unshared(machine);
                watchdog.args(["sh", "-c", INSIDE, "watchdog"]);
                run_watchdog(&mut watchdog, control, plan, scratch.path());
                let watchdog = watchdog.stdout(log("watchdog.log")?).stderr(log("watchdog.log")?).spawn()?;
                (watchdog, None)
            }
        };
        let ports = plan.ports;
        Ok(Self { machine, scratch, entrypoint, ports, first, watchdog, game: None, has_started: false })
    }

    /// Does what an engine does: starts the game when the watchdog is healthy, and cleans up after it.
    fn tend(&mut self) -> Result<()> {
        if !self.has_started && self.is_healthy()? {
            self.has_started = true;
            self.start_game()?;
        }
        if let Some(game) = &self.game {
            // `nsenter` stands still as soon as what it has started does, and would for ever.
            let _ = kill(Pid::from_raw(game.id().cast_signed()), Signal::SIGCONT);
        }
        let ended = self.game.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_some() {
            self.game = None;
            for pid in self.processes_of(GAME_USER)? {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        Ok(())
    }

    /// Tells whether the health check succeeds.
    pub fn is_healthy(&self) -> Result<bool> {
        let Some(inside) = self.inside() else { return Ok(false) };
        let mut check = joining(self.machine, inside);
        check.arg(program()).args(["watchdog", "healthy", "--task-dir"]).arg(self.path("task"));
        Ok(check.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }

    /// Starts the game's container, whether it may or not.
    pub fn start_game(&mut self) -> Result<()> {
        let inside = self.inside().context("the containers have ended")?;
        let mut game = joining(self.machine, inside);
        game.args(["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--bounding-set=-all"]);
        game.args(["--inh-caps=-all", "sh", "-c"]).arg(&self.entrypoint);
        let files = self.path("worlds/w1/files");
        let [port, console] = self.ports.map(|port| port.to_string());
        game.env_clear().env("PATH", PATH).env("WORLD", files).env("PORT", port);
        game.env("DORMOUSE_CONSOLE_PORT", console);
        if self.path("worlds/w1/.dormouse/console").exists() {
            game.env("DORMOUSE_CONSOLE_PASSWORD_FILE", self.path("worlds/w1/.dormouse/console"));
        }
        if self.path("worlds/w1/.dormouse/settings").exists() {
            game.env("DORMOUSE_SETTINGS_FILE", self.path("worlds/w1/.dormouse/settings"));
        }
        game.current_dir("/").stdin(Stdio::null());
        let log = || File::options().create(true).append(true).open(self.path("game.log"));
        self.game = Some(game.stdout(log()?).stderr(log()?).spawn()?);
        Ok(())
    }

    /// Goes on until `is_so`.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.tend()?;
            if is_so(self)? {
                return Ok(());
            }
            ensure!(begun.elapsed() < limit, "not {what} after {} s\n{}", limit.as_secs(), self.logs());
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Goes on until the watchdog's container ends, and returns its exit code.
    pub fn until_watchdog_ends(&mut self, limit: Duration) -> Result<i32> {
        let mut code = None;
        self.until("ended", limit, |pod| {
            code = pod.watchdog_ended()?;
            Ok(code.is_some())
        })?;
        code.and_then(|status| status.code()).context("the watchdog was killed")
    }

    fn watchdog_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.watchdog.as_mut().unwrap_or(&mut self.first).try_wait()?)
    }

    /// Sends a signal to the watchdog, as an engine does.
    pub fn signal_watchdog(&self, signal: Signal) -> Result<()> {
        let watchdog = self.watchdog.as_ref().unwrap_or(&self.first);
        Ok(kill(inner(watchdog)?, signal)?)
    }

    /// Sends a signal to the first process of the game's container, as an engine does.
    pub fn signal_game(&self, signal: Signal) -> Result<()> {
        Ok(kill(inner(self.game.as_ref().context("no game runs")?)?, signal)?)
    }

    /// Tells whether the game's container was started.
    pub fn has_started(&self) -> bool {
        self.has_started
    }

    /// Returns the processes of `user` in the containers, by the numbers that they have here.
    pub fn processes_of(&self, user: u32) -> Result<Vec<Pid>> {
        let Some(inside) = self.inside() else { return Ok(vec![]) };
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(&inside.to_string());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Ok(number) = name.parse() else { continue };
            let status = fs::read_to_string(format!("/proc/{name}/status")).unwrap_or_default();
            let is_users = status.contains(&format!("\nUid:\t{user}\t")) && !status.contains("\nState:\tZ");
            if is_users && namespace(&name) == ours {
                found.push(Pid::from_raw(number));
            }
        }
        Ok(found)
    }

    /// Returns where something is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns what a file holds; nothing if it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the logs, for a failure's message.
    pub fn logs(&self) -> String {
        format!("--- watchdog\n{}\n--- game\n{}", self.read("watchdog.log"), self.read("game.log"))
    }

    /// Returns a process of the containers, by the number that it has here.
    fn inside(&self) -> Option<Pid> {
        inner(&self.first).ok()
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // With the first process everything else is killed.
        if let Some(first) = self.inside() {
            let _ = kill(first, Signal::SIGKILL);
        }
        for child in [Some(&mut self.first), self.watchdog.as_mut(), self.game.as_mut()].into_iter().flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns a command whose one child is the first of its processes.
fn unshared(machine: &Namespace) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", machine.path().display()));
    command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private"]);
    command
}

/// Returns a command whose one child is among the processes that `inside` is among.
fn joining(machine: &Namespace, inside: Pid) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", machine.path().display())).arg(format!("--pid=/proc/{inside}/ns/pid"));
    command.args(["unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE, "container"]);
    command
}

/// Returns the one child of `unshare` or `nsenter`.
fn inner(outer: &Child) -> Result<Pid> {
    let (outer, begun) = (outer.id(), Instant::now());
    while begun.elapsed() < Duration::from_secs(20) {
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
        if let Some(pid) = children.split_whitespace().next() {
            return Ok(Pid::from_raw(pid.parse()?));
        }
        if !Path::new(&format!("/proc/{outer}/exe")).exists() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!("process {outer} has no child")
}

fn run_watchdog(command: &mut Command, control: &Control, plan: &Plan<'_>, scratch: &Path) {
    command.args(["setpriv", "--no-new-privs"]).arg(format!("--bounding-set=-all,{}", plan.needs));
    command.arg("--inh-caps=-all").arg(program()).args(["watchdog", "run"]);
    let path = |name: &str| scratch.join(name).to_string_lossy().into_owned();
    command.env_clear().envs([
        ("PATH", PATH),
        ("DORMOUSE_WORLD", "w1"),
        ("DORMOUSE_GENERATION", "1"),
        ("DORMOUSE_DIRECTORY", "may-be-new"),
        ("DORMOUSE_TOKEN", "the-token-of-the-launch"),
        ("DORMOUSE_NEVER_JOINED_S", "600"),
        ("DORMOUSE_LAST_LEFT_S", "600"),
        ("DORMOUSE_WARNING_S", "10"),
        ("DORMOUSE_CAP_S", "3600"),
        ("DORMOUSE_REPORT_EVERY_S", "1"),
        ("DORMOUSE_GAME_START", "by-container"),
        ("DORMOUSE_GAME_USER", plan.game_user),
    ]);
    command.env("DORMOUSE_PORT", plan.ports[0].to_string());
    command.env("DORMOUSE_CONTROL_URL", &control.url);
    command.env("ECS_CONTAINER_METADATA_URI_V4", format!("{}/metadata", control.url));
    command.env("DORMOUSE_GAME_FILE", path("catalogue/game.toml"));
    command.env("DORMOUSE_WORLD_DIR", path("worlds/w1")).env("DORMOUSE_TASK_DIR", path("task"));
    command.stdin(Stdio::null());
}
