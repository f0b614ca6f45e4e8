//! Tasks as containers on this machine, by the Docker Engine API: for Docker and for Podman.
//!
//! ```text
//! dormouse-<installation>-<world>.<generation>-watchdog    publishes the game's ports; its first process is the watchdog
//! dormouse-<installation>-<world>.<generation>-game        in its network and among its processes; made when it is healthy
//! <data>/tasks/<world>.<generation>/                       the watchdog's /task; what is in it is said in `task_dir.rs`
//! <data>/worlds/<world>/                                   the world's directory
//! ```
//!
//! What is there is not remembered but asked of the engine, by name: two launches of one name are one. Another engine than the
//! one that launched a task knows nothing of it and is not believed: which one that was is noted. The installation is in
//! the name, so that two of them on one engine never end each other's. Containers that have ended stay for their logs, until
//! some launches later.
//!
//! When the watchdog's container ends, the kernel ends the game: its process ids are the watchdog's, whose own is 1. A task is
//! gone when both containers are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    game::Game,
    ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen, Unavailable},
    world::{Force, GameId, TaskId, WorldId},
};

pub use beside::{Beside, FirstProcesses};
pub use engine::{Engine, Limits, NoEngine, Root};
pub use images::{ContextFile, ImageError, Made, Progress, Recipe};
pub use preparing::{ImageSource, OwnedFile};

use asking::{Life, how_it_ended, life};
use containers::{CONTROL_DIR, GAME_USER, Parts, TASK_DIR, WORLDS_DIR};
use preparing::{Preparing, Progressed};

use super::{
    ports::at_free_ports,
    process::GameSource,
    task_dir::{self, ENGINE_FILE, KEPT_TASKS, task_of, unavailable},
};
use crate::{
    secret::Secret,
    task_env::{GameStart, TaskEnv},
};

mod engine;

mod images;

mod preparing;

mod containers;

mod asking;

mod neighbour;

mod erasing;

mod beside;

/// How long a task may take to end once it was told to: what ECS gives.
const END_LIMIT: Duration = Duration::from_secs(120);

/// The name of the control plane's socket in its directory.
pub const CONTROL_SOCKET: &str = "socket";

/// The labels of every container of ours.
const INSTALLATION: &str = "dormouse.installation";
const TASK: &str = "dormouse.task";
const ROLE: &str = "dormouse.role";
const GAME: &str = "dormouse.game";

/// A game as this runtime needs it.
#[derive(Debug, Clone)]
pub struct BoxedGame {
    /// The entry.
    pub source: GameSource,
    /// Where its image comes from.
    pub image: ImageSource,
}

/// What this runtime is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of everything that is kept.
    pub data: PathBuf,
    /// The image whose entrypoint is the watchdog.
    pub watchdog_image: String,
    /// The control plane's base URL.
    pub control_url: String,
    /// The directory with the socket [`CONTROL_SOCKET`], on which the part of the control plane answers that is for watchdogs.
    pub control_dir: PathBuf,
    /// What launch tokens are derived from, and the installation's name.
    pub secret: Secret,
    /// How often watchdogs report.
    pub report_every: Duration,
    /// The games.
    pub games: BTreeMap<GameId, BoxedGame>,
}

/// Containers.
#[derive(Clone)]
pub struct DockerRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    config: Config,
    installation: String,
    /// Where the engine listens, whatever leads there: which engine it is.
    socket: String,
    preparing: Arc<Preparing>,
    /// Held while a task is launched: ports are chosen by one at a time.
    launching: tokio::sync::Mutex<()>,
    /// Since when tasks are known to be on their way out.
    leaving: Mutex<BTreeMap<TaskId, Instant>>,
    /// The tasks whose watchdog is waited for, to start the game.
    awaited: Mutex<BTreeSet<TaskId>>,
}

/// The containers of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that everything of the task ends with.
    Watchdog,
    /// The game's own.
    Game,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Watchdog => "watchdog",
            Self::Game => "game",
        }
    }
}

impl DockerRuntime {
    /// Returns a runtime that keeps its tasks and worlds below the configured directory.
    pub fn new(engine: Engine, config: Config) -> io::Result<Self> {
        for dir in ["tasks", "worlds"] {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(config.data.join(dir))?;
        }
        let installation = installation(&config.secret);
        let socket = fs::canonicalize(&engine.socket).unwrap_or_else(|_| engine.socket.clone());
        let inner = Inner {
            socket: socket.to_string_lossy().into_owned(),
            engine,
            config,
            installation,
            preparing: Arc::default(),
            launching: tokio::sync::Mutex::default(),
            leaving: Mutex::default(),
            awaited: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Launches a task beside others that are no containers of ours: at none of the ports that they were `promised`.
    pub(super) async fn launch_beside(
        &self,
        order: &LaunchOrder,
        promised: &[u16],
    ) -> Result<TaskId, LaunchError> {
        let task = self.inner.launch(order, promised).await?;
        self.inner.await_health(&task).await?;
        Ok(task)
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        self.launch_beside(order, &[]).await
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        let seen = self.inner.observe(task).await?;
        if seen == Seen::There {
            self.inner.await_health(task).await?;
        }
        Ok(seen)
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        self.inner.end(task, force).await
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        self.inner.list().await
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        self.inner.erase(world).await?;
        self.inner.forget_world(world).await
    }
}

impl Inner {
    async fn launch(&self, order: &LaunchOrder, promised: &[u16]) -> Result<TaskId, LaunchError> {
        let refuse = |why: String| LaunchError::Refused(why);
        let game = self.config.games.get(&order.game);
        let game =
            game.ok_or_else(|| refuse(format!("game `{}` is no longer in the catalogue", order.game)))?;
        let name = format!("{}.{}", order.world, order.generation);
        let task = TaskId::parse(&name).map_err(|e| refuse(e.to_string()))?;
        let dir = self.task_dir(&task);
        self.require_its_engine(&task)?;

        let _guard = self.launching.lock().await;
        match self.life(&task, Role::Watchdog).await? {
            Some(Life::Runs | Life::Over) => return Ok(task),
            Some(Life::Made) if self.was_up(&task) => return Ok(task),
            // Somebody was interrupted between making and starting it.
            Some(Life::Made) => {
                self.start(&self.name(&task, Role::Watchdog)).await?;
                return Ok(task);
            }
            None if self.was_up(&task) => return Ok(task),
            None => {}
        }
        match self.preparing.image(&self.engine, &game.source.game, &game.image).await? {
            Progressed::Ready => {}
            Progressed::At(step) => {
                return Err(Unavailable(format!(
                    "the image of {} is being made ({step})",
                    game.source.game.name
                ))
                .into());
            }
            Progressed::Failed(why) => return Err(refuse(why)),
        }
        self.forget_old_tasks(order).await;
        let mut taken = self.promised_ports(&task).await?;
        taken.extend(promised);
        let moved = at_free_ports(&game.source.game, order.port, &taken)?;
        self.note(order, &dir, &moved, &game.source.toml).map_err(|e| unavailable(&dir, &e))?;
        self.create_watchdog(order, &task, &moved).await?;
        if let Err(error) = self.start(&self.name(&task, Role::Watchdog)).await {
            // It never ran. Its ports may be somebody else's by now, and are chosen anew the next time.
            self.remove(&self.name(&task, Role::Watchdog)).await?;
            return Err(error.into());
        }
        Ok(task)
    }

    /// Makes the task's directory, and leaves there what its watchdog has to know.
    fn note(&self, order: &LaunchOrder, dir: &Path, game: &Game, toml: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::write(dir.join(ENGINE_FILE), &self.socket)?;
        fs::write(dir.join(format!("{}.toml", order.game)), toml)?;
        task_dir::note_ports(dir, game)
    }

    async fn create_watchdog(
        &self,
        order: &LaunchOrder,
        task: &TaskId,
        game: &Game,
    ) -> Result<(), Unavailable> {
        let inside = Path::new(TASK_DIR);
        let env = TaskEnv {
            world: order.world.clone(),
            generation: order.generation,
            task: Some(task.clone()),
            game_file: inside.join(format!("{}.toml", order.game)),
            port: game.main_port(),
            world_dir: Path::new(WORLDS_DIR).join(order.world.as_str()),
            directory: order.directory,
            task_dir: inside.to_owned(),
            control_url: self.config.control_url.clone(),
            control_socket: Some(Path::new(CONTROL_DIR).join(CONTROL_SOCKET)),
            token: self.config.secret.launch_token(&order.world, order.generation),
            timers: order.timers,
            report_every: self.config.report_every,
            game_user: Some(GAME_USER),
            game_start: GameStart::ByContainer,
        };
        let parts = self.parts(task, Role::Watchdog, &order.game);
        let dirs = (self.task_dir(task), self.config.control_dir.clone());
        let body = parts.watchdog(&self.config.watchdog_image, &env, game, (&dirs.0, &dirs.1));
        self.create(&self.name(task, Role::Watchdog), body).await
    }

    /// Returns the ports of the other tasks that are there, which may not have bound them yet.
    async fn promised_ports(&self, but: &TaskId) -> Result<Vec<u16>, Unavailable> {
        let others = self.list().await?.into_iter().filter(|running| running.task != *but);
        Ok(others.flat_map(|running| task_dir::ports(&self.task_dir(&running.task))).collect())
    }

    /// Refuses a task whose containers another engine has: this one would say that there are none.
    fn require_its_engine(&self, task: &TaskId) -> Result<(), Unavailable> {
        let dir = self.task_dir(task);
        let noted = match fs::read_to_string(dir.join(ENGINE_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            noted => noted.map_err(|e| unavailable(&dir, &e))?,
        };
        // One that was interrupted, or is older than this note, names none.
        if !noted.starts_with('/') || noted == self.socket {
            return Ok(());
        }
        Err(Unavailable(format!(
            "task {task} was started by the engine at {noted}, and `dormouse up` uses the one at {}: set DOCKER_HOST=unix://{noted}, then `dormouse up` again",
            self.socket
        )))
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        let dir = self.task_dir(task);
        if let Err(elsewhere) = self.require_its_engine(task) {
            return task_dir::noted_end(&dir).map(Seen::Gone).ok_or(elsewhere);
        }
        let watchdog = self.state(task, Role::Watchdog).await?;
        let watchdog_life = watchdog.as_ref().map(life);
        let is_unmade = watchdog_life == Some(Life::Made) && self.was_up(task);
        if matches!(watchdog_life, Some(Life::Made | Life::Runs)) && !is_unmade {
            return Ok(Seen::There);
        }
        let game = self.state(task, Role::Game).await?;
        if game.as_ref().map(life) == Some(Life::Runs) {
            // The kernel ends it with its watchdog; an engine may still be at it, or share process ids otherwise.
            self.signal(&self.name(task, Role::Game), "SIGKILL").await?;
            return Ok(Seen::There);
        }
        self.leaving().remove(task);
        let gone = match watchdog {
            Some(watchdog) if !is_unmade => how_it_ended(&watchdog, game.as_ref(), &dir),
            Some(_) | None => task_dir::how_it_ended(&dir),
        };
        Ok(Seen::Gone(gone))
    }

    /// Begins to end the task. As on ECS, one that was told gently has two minutes before it is killed.
    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        self.require_its_engine(task)?;
        let watchdog = self.name(task, Role::Watchdog);
        match self.life(task, Role::Watchdog).await? {
            Some(Life::Made) if self.was_up(task) => Ok(()),
            // It never ran. A game that is there names it.
            Some(Life::Made) => {
                self.remove(&self.name(task, Role::Game)).await?;
                self.remove(&watchdog).await
            }
            Some(Life::Runs) => match force {
                Force::Gentle if !self.is_overdue(task) => self.signal(&watchdog, "SIGTERM").await,
                Force::Gentle | Force::Kill => self.signal(&watchdog, "SIGKILL").await,
            },
            // A game that is left is ended when the task is looked at.
            Some(Life::Over) | None => Ok(()),
        }
    }

    /// Tells whether the watchdog of the task has run. After the machine was started anew, older Podman calls
    /// containers that had run `created`.
    fn was_up(&self, task: &TaskId) -> bool {
        self.task_dir(task).join("pid").exists()
    }

    /// Tells whether the task has been on its way out for longer than it may; from the first time this is asked.
    fn is_overdue(&self, task: &TaskId) -> bool {
        self.leaving().entry(task.clone()).or_insert_with(Instant::now).elapsed() >= END_LIMIT
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        let mut tasks: Vec<RunningTask> = Vec::new();
        for container in self.containers().await? {
            let is_watchdog = container.role == Role::Watchdog.name();
            let was_up = is_watchdog && self.was_up(&container.task.task);
            let is_there = match container.life {
                Life::Runs => true,
                Life::Made => is_watchdog && !was_up,
                Life::Over => false,
            };
            if is_there && !tasks.iter().any(|known| known.task == container.task.task) {
                tasks.push(container.task);
            }
        }
        Ok(tasks)
    }

    /// Removes the oldest ended tasks of the world. One that cannot be removed is in nobody's way.
    async fn forget_old_tasks(&self, order: &LaunchOrder) {
        for generation in 1..=order.generation.0.saturating_sub(KEPT_TASKS) {
            let Some(old) = task_of(&format!("{}.{generation}", order.world)) else { continue };
            if !task_dir::is_boxed(&self.task_dir(&old.task)) {
                continue;
            }
            if let Ok(Seen::Gone(_)) = self.observe(&old.task).await {
                let _ = self.forget(&old.task).await;
            }
        }
    }

    /// Removes the tasks of a deleted world.
    async fn forget_world(&self, world: &WorldId) -> Result<(), Unavailable> {
        for old in task_dir::all(&self.config.data)?.into_iter().filter(|task| task.world == *world) {
            if task_dir::is_boxed(&self.task_dir(&old.task)) && self.observe(&old.task).await? != Seen::There
            {
                self.forget(&old.task).await?;
            }
        }
        Ok(())
    }

    /// Removes what is left of an ended task: the game's container first, which names the watchdog's.
    async fn forget(&self, task: &TaskId) -> Result<(), Unavailable> {
        self.require_its_engine(task)?;
        for role in [Role::Game, Role::Watchdog] {
            self.remove(&self.name(task, role)).await?;
        }
        task_dir::remove(&self.task_dir(task))
    }

    fn parts(&self, task: &TaskId, role: Role, game: &GameId) -> Parts<'_> {
        let labels = [
            (INSTALLATION, self.installation.as_str()),
            (TASK, task.as_str()),
            (ROLE, role.name()),
            (GAME, game.as_str()),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Parts { engine: &self.engine, worlds: self.worlds_dir(), labels: labels.into() }
    }

    /// Returns the labels of a container that is no task's.
    fn installation_label(&self) -> HashMap<String, String> {
        HashMap::from([(INSTALLATION.to_owned(), self.installation.clone())])
    }

    fn name(&self, task: &TaskId, role: Role) -> String {
        format!("{}-{}", self.prefix(task.as_str()), role.name())
    }

    fn prefix(&self, of: &str) -> String {
        // A name that is none of ours names a container that nobody has.
        let of = if task_of(of).is_some() || WorldId::parse(of).is_ok() { of } else { "unknown" };
        prefix(&self.installation, of)
    }

    fn worlds_dir(&self) -> PathBuf {
        self.config.data.join("worlds")
    }

    fn task_dir(&self, task: &TaskId) -> PathBuf {
        task_dir::of(&self.config.data, task)
    }

    fn leaving(&self) -> MutexGuard<'_, BTreeMap<TaskId, Instant>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how an installation is called on its engine.
fn installation(secret: &Secret) -> String {
    secret.sign("installation", &[])[..12].to_owned()
}

/// Returns how the names of containers begin.
fn prefix(installation: &str, of: &str) -> String {
    format!("dormouse-{installation}-{of}")
}

#[cfg(test)]
mod tests;
