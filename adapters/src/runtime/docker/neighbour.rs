//! The game's container: made and started once the watchdog is healthy, which is what ECS's agent does on Fargate.
//!
//! Each task that has no game yet is waited for by one loop, in this process. A process that is started anew begins it again
//! for the tasks that it finds. A game that has run is never started a second time.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use domain::{game::Game, ports::Unavailable, world::TaskId};
use tokio::time;

use super::{GAME, Inner, Life, Role};
use crate::runtime::task_dir::{self, task_of};

/// The file in the task's directory that a watchdog touches while it is healthy.
const HEALTHY_FILE: &str = "healthy";

/// How old that sign may be.
const HEALTHY_FOR: Duration = Duration::from_secs(60);

/// How often the sign is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long it takes until a game that could not be started is tried again.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// What came of a try to start the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It is there, or has been.
    Done,
    /// The watchdog is not healthy yet.
    TooEarly,
}

impl Inner {
    /// Sees to it that the game of the task is started as soon as its watchdog is healthy. Asking again changes nothing.
    pub(super) async fn await_health(self: &Arc<Self>, task: &TaskId) -> Result<(), Unavailable> {
        match self.life(task, Role::Game).await? {
            Some(Life::Runs | Life::Over) => return Ok(()),
            Some(Life::Made) | None => {}
        }
        let is_new = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(task.clone());
        if is_new {
            let (inner, task) = (Arc::clone(self), task.clone());
            tokio::spawn(async move {
                inner.start_game_when_healthy(&task).await;
                inner.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
            });
        }
        Ok(())
    }

    /// Waits for the watchdog, for as long as it runs: it has limits of its own.
    pub(super) async fn start_game_when_healthy(&self, task: &TaskId) {
        loop {
            match self.try_to_start_game(task).await {
                Ok(Some(Tried::TooEarly)) => time::sleep(LOOK_EVERY).await,
                Ok(Some(Tried::Done) | None) => return,
                Err(Unavailable(why)) => {
                    tracing::warn!("task {task}: the game is not started yet: {why}");
                    time::sleep(TRY_EVERY).await;
                }
            }
        }
    }

    /// Starts the game if it is time; nothing if there will never be a time.
    async fn try_to_start_game(&self, task: &TaskId) -> Result<Option<Tried>, Unavailable> {
        if self.life(task, Role::Watchdog).await? != Some(Life::Runs) {
            return Ok(None);
        }
        if !is_healthy(&self.task_dir(task)) {
            return Ok(Some(Tried::TooEarly));
        }
        let game = self.name(task, Role::Game);
        if self.state_of(&game).await?.is_none() {
            self.create_game(task, &game).await?;
        }
        // Only one that was never started is: what has run and ended is the watchdog's to explain.
        if self.life(task, Role::Game).await? == Some(Life::Made) {
            self.start(&game).await?;
        }
        Ok(Some(Tried::Done))
    }

    async fn create_game(&self, task: &TaskId, name: &str) -> Result<(), Unavailable> {
        let unknown = |what: &str| Unavailable(format!("the {what} of task {task} is not known any more"));
        let world = task_of(task.as_str()).ok_or_else(|| unknown("world"))?.world;
        let game = self.game_of(task).await?.ok_or_else(|| unknown("game"))?;
        let watchdog = self.name(task, Role::Watchdog);
        let body = self.parts(task, Role::Game, &game.id).game(&game.image, &game, &world, &watchdog);
        self.create(name, body).await
    }

    /// Returns the game of a task, at the ports that it was given: by what its watchdog's container says, since the task may
    /// be that of a process before this one.
    async fn game_of(&self, task: &TaskId) -> Result<Option<Game>, Unavailable> {
        let watchdog = self.name(task, Role::Watchdog);
        let labels = self.labels_of(&watchdog).await?;
        let game = labels.get(GAME).and_then(|id| {
            self.config
                .games
                .iter()
                .find(|(known, _)| known.as_str() == id)
                .map(|(_, game)| &game.source.game)
        });
        let port = task_dir::ports(&self.task_dir(task)).first().copied();
        Ok(game.cloned().zip(port).and_then(|(game, port)| game.at_port(port)))
    }
}

/// Tells whether the watchdog of the task shows that the game may run.
fn is_healthy(dir: &Path) -> bool {
    let touched = fs::metadata(dir.join(HEALTHY_FILE)).and_then(|sign| sign.modified());
    touched.is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() <= HEALTHY_FOR)
}
