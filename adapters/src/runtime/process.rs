//! Tasks as plain processes on this machine: a watchdog, and the game that it starts, in one process group.
//!
//! ```text
//! <data>/tasks/<world>.<generation>/   alive, pid, outcome, ports, game.toml, watchdog.log, game.log
//! <data>/worlds/<world>/               the world's directory
//! ```
//!
//! Whether a task is there is not remembered but asked of the kernel: the watchdog and everything it starts inherit a
//! lock on `alive`, which is held exactly as long as one of them lives. So a control process that was killed finds its
//! tasks again, and no process id is ever taken for another's. Asking twice for one launch gives one task: the lock, and
//! after its end the `pid` file that the watchdog wrote first of all, tell that there was one. Only of a task whose
//! watchdog was killed the processes are looked for as well: a launcher may have closed what it inherited.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use command_fds::{CommandFdExt, FdMapping};
use domain::{
    event::Gone,
    game::Game,
    ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen, Unavailable},
    world::{Force, GameId, TaskId, WorldId},
};
use nix::{
    errno::Errno,
    sys::signal::{self, Signal},
    unistd::Pid,
};

use super::{
    ports::at_free_ports,
    task_dir::{self, KEPT_TASKS, task_of, unavailable},
};
use crate::{
    secret::Secret,
    task_env::{GameStart, TaskEnv},
};

/// How long a task may take to end once it was told to, or a game may outlive its watchdog, which told it by dying: what
/// ECS gives.
const END_LIMIT: Duration = Duration::from_secs(120);

/// The descriptor under which a watchdog holds the lock on `alive`.
const ALIVE_FD: i32 = 9;

/// A game as this runtime needs it: the entry, and its text for the watchdog.
#[derive(Debug, Clone)]
pub struct GameSource {
    /// The entry.
    pub game: Game,
    /// The catalogue file's text.
    pub toml: String,
}

/// What this runtime is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of everything that is kept.
    pub data: PathBuf,
    /// The watchdog's program and its first arguments; `run` is added.
    pub watchdog: Vec<PathBuf>,
    /// Where watchdogs reach the control plane.
    pub control_url: String,
    /// What launch tokens are derived from.
    pub secret: Secret,
    /// The user and group that games run as, where they are not our own.
    pub game_user: Option<(u32, u32)>,
    /// How often watchdogs report.
    pub report_every: Duration,
    /// The games.
    pub games: BTreeMap<GameId, GameSource>,
}

/// Plain processes.
#[derive(Clone)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    /// Held while a task is launched: ports are chosen by one at a time.
    launching: Mutex<()>,
    /// Since when tasks are known to be on their way out.
    leaving: Mutex<BTreeMap<TaskId, Instant>>,
}

impl ProcessRuntime {
    /// Returns a runtime that keeps its tasks and worlds below the configured directory.
    pub fn new(config: Config) -> io::Result<Self> {
        for dir in ["tasks", "worlds"] {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(config.data.join(dir))?;
        }
        Ok(Self { inner: Arc::new(Inner { config, launching: Mutex::default(), leaving: Mutex::default() }) })
    }

    /// Tells whether the task was launched as processes.
    pub(super) fn has(&self, task: &TaskId) -> bool {
        self.inner.task_dir(task).join("alive").exists()
    }

    /// Tells whether the task was launched as containers.
    pub(super) fn is_boxed(&self, task: &TaskId) -> bool {
        task_dir::is_boxed(&self.inner.task_dir(task))
    }

    /// Launches a task beside others that are no processes: at none of the ports that they were `promised`.
    pub(super) async fn launch_beside(
        &self,
        order: &LaunchOrder,
        promised: Vec<u16>,
    ) -> Result<TaskId, LaunchError> {
        let order = order.clone();
        self.blocking(move |inner| Ok(inner.launch(&order, &promised))).await?
    }

    /// Returns the ports that these tasks were given.
    pub(super) fn ports(&self, tasks: &[RunningTask]) -> Vec<u16> {
        tasks.iter().flat_map(|running| task_dir::ports(&self.inner.task_dir(&running.task))).collect()
    }

    /// Returns how a task ended whose watchdog noted its end.
    pub(super) fn noted_end(&self, task: &TaskId) -> Option<Gone> {
        task_dir::noted_end(&self.inner.task_dir(task))
    }

    /// Returns the tasks that were launched as containers and may be there: of each world its last one, if its watchdog has
    /// not noted its end. Those before it had ended when it was launched.
    pub(super) fn unended_boxed(&self) -> Result<Vec<RunningTask>, Unavailable> {
        let mut last: BTreeMap<WorldId, RunningTask> = BTreeMap::new();
        for task in task_dir::all(&self.inner.config.data)? {
            if last.get(&task.world).is_none_or(|known| known.generation < task.generation) {
                last.insert(task.world.clone(), task);
            }
        }
        let may_be_there =
            |running: &RunningTask| self.is_boxed(&running.task) && self.noted_end(&running.task).is_none();
        Ok(last.into_values().filter(may_be_there).collect())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Inner) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || act(&inner)).await.map_err(|e| Unavailable(e.to_string()))?
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        self.launch_beside(order, Vec::new()).await
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        let task = task.clone();
        self.blocking(move |inner| inner.observe(&task)).await
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        let task = task.clone();
        self.blocking(move |inner| inner.end(&task, force)).await
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        self.blocking(Inner::list).await
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        let world = world.clone();
        self.blocking(move |inner| inner.erase(&world)).await
    }
}

impl Inner {
    fn launch(&self, order: &LaunchOrder, promised: &[u16]) -> Result<TaskId, LaunchError> {
        let refuse = |why: String| LaunchError::Refused(why);
        let source = self.config.games.get(&order.game);
        let source =
            source.ok_or_else(|| refuse(format!("game `{}` is no longer in the catalogue", order.game)))?;
        if source.game.scripts.is_none() {
            return Err(refuse(format!("{} does not run as plain processes", source.game.name)));
        }
        let name = format!("{}.{}", order.world, order.generation);
        let task = TaskId::parse(&name).map_err(|e| refuse(e.to_string()))?;
        let dir = self.task_dir(&task);

        let _guard = self.launching.lock().unwrap_or_else(PoisonError::into_inner);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|e| unavailable(&dir, &e))?;
        let alive = open_alive(&dir).map_err(|e| unavailable(&dir, &e))?;
        if !take(&alive).map_err(|e| unavailable(&dir, &e))? {
            return Ok(task);
        }
        if dir.join("pid").exists() {
            return Ok(task);
        }
        self.forget_old_tasks(order);
        let mut taken = self.promised_ports(&task)?;
        taken.extend(promised);
        let game = at_free_ports(&source.game, order.port, &taken)?;
        self.spawn(order, &task, &game, &source.toml, alive).map_err(|e| unavailable(&dir, &e))?;
        Ok(task)
    }

    /// Starts the watchdog, which holds `alive` from its first moment on.
    fn spawn(
        &self,
        order: &LaunchOrder,
        task: &TaskId,
        game: &Game,
        toml: &str,
        alive: File,
    ) -> io::Result<()> {
        let dir = self.task_dir(task);
        let game_file = dir.join(format!("{}.toml", order.game));
        fs::write(&game_file, toml)?;
        task_dir::note_ports(&dir, game)?;
        let env = TaskEnv {
            world: order.world.clone(),
            generation: order.generation,
            task: Some(task.clone()),
            game_file,
            port: game.main_port(),
            world_dir: self.world_dir(&order.world),
            directory: order.directory,
            task_dir: dir.clone(),
            control_url: self.config.control_url.clone(),
            control_socket: None,
            token: self.config.secret.launch_token(&order.world, order.generation),
            timers: order.timers,
            report_every: self.config.report_every,
            game_user: self.config.game_user,
            game_start: GameStart::ByWatchdog,
        };
        let log = || OpenOptions::new().create(true).append(true).open(dir.join("watchdog.log"));
        let (program, first) = self.config.watchdog.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command
            .args(first)
            .arg("run")
            .env_clear()
            .envs(env.to_vars())
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?);
        command
            .fd_mappings(vec![FdMapping { parent_fd: alive.into(), child_fd: ALIVE_FD }])
            .map_err(|e| io::Error::other(e.to_string()))?;
        let mut child = command.spawn()?;
        // Somebody has to take note of its end, or it stays a zombie while this process lives.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Returns the ports of the other tasks that are there, which may not have bound them yet.
    fn promised_ports(&self, but: &TaskId) -> Result<Vec<u16>, Unavailable> {
        let others = self.list()?.into_iter().filter(|running| running.task != *but);
        Ok(others.flat_map(|running| task_dir::ports(&self.task_dir(&running.task))).collect())
    }

    fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        let dir = self.task_dir(task);
        if self.is_there(&dir)? {
            self.end_if_headless(task, &dir)?;
            return Ok(Seen::There);
        }
        self.leaving().remove(task);
        Ok(Seen::Gone(task_dir::how_it_ended(&dir)))
    }

    /// Begins to end the task. As on ECS, one that was told gently has two minutes before it is killed.
    fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        let dir = self.task_dir(task);
        if !self.is_there(&dir)? {
            return Ok(());
        }
        let Some(group) = group(&dir) else {
            return Err(Unavailable(format!("task {task} is only coming up; try again")));
        };
        let sent = match force {
            Force::Kill => signal::killpg(group, Signal::SIGKILL),
            Force::Gentle if self.is_overdue(task) => signal::killpg(group, Signal::SIGKILL),
            Force::Gentle if is_live(group) => signal::kill(group, Signal::SIGTERM),
            Force::Gentle => signal::killpg(group, Signal::SIGTERM),
        };
        match sent {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(Unavailable(format!("task {task} cannot be signalled: {error}"))),
        }
    }

    /// Ends a game whose watchdog is gone: the kernel has told it to stop, and it has as long as any other.
    fn end_if_headless(&self, task: &TaskId, dir: &Path) -> Result<(), Unavailable> {
        let is_headless = group(dir).is_some_and(|group| !is_live(group));
        if is_headless && self.is_overdue(task) { self.end(task, Force::Kill) } else { Ok(()) }
    }

    /// Tells whether the task has been on its way out for longer than it may; from the first time this is asked.
    fn is_overdue(&self, task: &TaskId) -> bool {
        self.leaving().entry(task.clone()).or_insert_with(Instant::now).elapsed() >= END_LIMIT
    }

    fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        let mut there = Vec::new();
        for running in task_dir::all(&self.config.data)? {
            if self.is_there(&self.task_dir(&running.task))? {
                there.push(running);
            }
        }
        Ok(there)
    }

    fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        let dir = self.world_dir(world);
        let lock = match File::open(dir.join(".dormouse/lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                task_dir::remove(&dir)?;
                return self.forget_tasks(world);
            }
            Err(error) => return Err(unavailable(&dir, &error)),
        };
        lock.try_lock().map_err(|_| Unavailable(format!("{} is still in use", dir.display())))?;
        task_dir::remove(&dir)?;
        self.forget_tasks(world)
    }

    /// Removes the tasks of a deleted world, but those that only an engine can remove.
    fn forget_tasks(&self, world: &WorldId) -> Result<(), Unavailable> {
        for old in task_dir::all(&self.config.data)?.into_iter().filter(|task| task.world == *world) {
            let dir = self.task_dir(&old.task);
            if !task_dir::is_boxed(&dir) && !self.is_there(&dir)? {
                task_dir::remove(&dir)?;
            }
        }
        Ok(())
    }

    /// Removes the oldest ended tasks of the world. One that cannot be removed is in nobody's way.
    fn forget_old_tasks(&self, order: &LaunchOrder) {
        for generation in 1..=order.generation.0.saturating_sub(KEPT_TASKS) {
            let dir = self.config.data.join("tasks").join(format!("{}.{generation}", order.world));
            if dir.exists() && !task_dir::is_boxed(&dir) && self.is_there(&dir).is_ok_and(|there| !there) {
                let _ = fs::remove_dir_all(dir);
            }
        }
    }

    /// Tells whether a process of the task lives.
    fn is_there(&self, dir: &Path) -> Result<bool, Unavailable> {
        let alive = match File::open(dir.join("alive")) {
            Ok(alive) => alive,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unavailable(dir, &error)),
        };
        match alive.try_lock_shared() {
            Ok(()) => Ok(self.has_survivors(dir)),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(unavailable(dir, &error)),
        }
    }

    /// Tells whether the watchdog was killed and left behind processes that work in the world. They hold the lock on
    /// `alive`, unless the game's launcher closes what it inherits; in any case nobody else may have the world.
    fn has_survivors(&self, dir: &Path) -> bool {
        let was_killed = dir.join("pid").exists() && !dir.join("outcome").exists();
        let task = dir.file_name().and_then(|name| task_of(name.to_str()?));
        match (task, group(dir)) {
            (Some(task), Some(group)) if was_killed => works_below(group, &self.world_dir(&task.world)),
            (_, _) => false,
        }
    }

    fn leaving(&self) -> MutexGuard<'_, BTreeMap<TaskId, Instant>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task_dir(&self, task: &TaskId) -> PathBuf {
        task_dir::of(&self.config.data, task)
    }

    fn world_dir(&self, world: &WorldId) -> PathBuf {
        self.config.data.join("worlds").join(world.as_str())
    }
}

fn open_alive(dir: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(dir.join("alive"))
}

/// Takes the lock of a task; false if a process of the task holds it. Somebody who merely looks holds it for a moment.
fn take(alive: &File) -> io::Result<bool> {
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        match alive.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Returns the process group of the task, which is its watchdog's process id. As long as the task is there, the kernel
/// gives this number to nobody else.
fn group(dir: &Path) -> Option<Pid> {
    fs::read_to_string(dir.join("pid")).ok()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// Tells whether a process of the group works in `dir`. The directory is asked for as well since nobody keeps the kernel
/// from giving the group's number to somebody else.
fn works_below(group: Pid, dir: &Path) -> bool {
    let works = |process: &Path| {
        stat(process).is_some_and(|fields| fields.split(' ').nth(2) == Some(group.to_string().as_str()))
            && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| works(&entry.path()))
}

/// Tells whether the process lives and is no zombie.
fn is_live(process: Pid) -> bool {
    stat(Path::new(&format!("/proc/{process}"))).is_some_and(|fields| !fields.starts_with(['Z', 'X']))
}

/// Returns the fields of a process's `stat` from its state on. They begin after the last parenthesis: the command's name
/// before it may hold anything.
fn stat(process: &Path) -> Option<String> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned())
}

#[cfg(test)]
mod tests;
