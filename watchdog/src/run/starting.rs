//! The first part of a task: the world is taken, what it is to hold put into its directory, and the game let in. Nothing of
//! the game runs before the control plane has taken note that the world is owned.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use adapters::{
    report::{OrdersRecord, ProofRecord},
    task_env::GameStart,
};
use anyhow::{Context, Result, bail};

use super::{GLANCE_EVERY, LAST_WORD_LIMIT, Leave, Task};
use crate::{
    game::RunningGame,
    judge::Begun,
    neighbours::{Neighbourhood, Neighbours},
    senses::Senses,
    settings::Settings,
    spawned::{Spawned, Stage},
    world_dir::{self, Owned, TakeError},
};

/// How long to wait for another task of the same world to let go of its directory: what ECS gives a task to end, and
/// some seconds.
const LOCK_LIMIT: Duration = Duration::from_secs(150);

/// How long the control plane may take to note that the world is owned. It gives a launch up before that.
const HEARD_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What will run the game.
enum Runner {
    /// The watchdog itself.
    Watchdog(Box<Stage>),
    /// A container beside it.
    Container(Neighbourhood),
}

impl Task {
    /// Has the game start on the world; nothing if the launch was called off first, or is an errand.
    pub(super) fn start(&mut self, owned: &Owned) -> Result<Option<(Box<dyn RunningGame>, Senses)>> {
        let mut runner = self.runner(owned)?;
        self.reporter.update(|report| report.claimed = true);
        match &runner {
            Runner::Watchdog(_) => self.show_health(),
            Runner::Container(_) => owned.door().shut()?,
        }
        // Once the game runs there is something to lose, so the claim has to be on record first.
        if let Some(leave) = self.prepare(owned)? {
            return self.leave_unplayed(owned, leave);
        }
        let settings = match self.chosen()? {
            Ok(settings) => settings,
            Err(leave) => return self.leave_unplayed(owned, leave),
        };
        if let Runner::Watchdog(stage) = &mut runner {
            stage.settings = settings.clone();
        }
        hand_over(&owned.files, self.env.game_user)?;
        let mut senses = Senses::open(&self.game, Begun::BeforeTheGame);
        tracing::info!("sources: {}", senses.describe());
        senses.look();
        if let Runner::Watchdog(stage) = &runner {
            if self.env.game_user.is_some() {
                // The game may have had this world in a container of its own before, and shut it is then.
                owned.door().open()?;
            }
            stage.bootstrap(Some(&owned.lock), &mut || self.leaving().is_some())?;
        }
        if let Some(leave) = self.leaving() {
            return self.leave_unplayed(owned, leave);
        }
        let game: Box<dyn RunningGame> = match runner {
            Runner::Watchdog(stage) => Box::new(self.spawn(*stage, owned)?),
            Runner::Container(place) => Box::new(self.let_in(place, owned, &settings)?),
        };
        Ok(Some((game, senses)))
    }

    /// Returns what will run the game, or why it could not.
    fn runner(&self, owned: &Owned) -> Result<Runner> {
        Ok(match self.env.game_start {
            GameStart::ByWatchdog => Runner::Watchdog(Box::new(Stage {
                game: self.game.clone(),
                files: owned.files.clone(),
                log: self.env.task_dir.join("game.log"),
                user: self.env.game_user,
                console: self.operator.console().cloned(),
                settings: Settings::default(),
            })),
            GameStart::ByContainer => Runner::Container(Neighbourhood::of(self.env.game_user)?),
        })
    }

    fn spawn(&self, stage: Stage, owned: &Owned) -> Result<Spawned> {
        let game = stage.start(&owned.lock)?;
        tracing::info!("{} started as process {}", self.game.name, game.pid());
        Ok(game)
    }

    fn let_in(&mut self, place: Neighbourhood, owned: &Owned, settings: &Settings) -> Result<Neighbours> {
        let (game, console) = (self.game.clone(), self.operator.console().cloned());
        let neighbours =
            place.let_in(&game, owned.door(), console.as_ref(), settings, || self.show_health())?;
        tracing::info!("{} may start in its container", game.name);
        Ok(neighbours)
    }

    /// Waits until the control plane knows that the world is owned, and fills its directory if that is wanted. Something
    /// else that comes first is returned.
    fn prepare(&mut self, owned: &Owned) -> Result<Option<Leave>> {
        loop {
            if let Some(leave) = self.wait_until_heard()? {
                return Ok(Some(leave));
            }
            if self.reporter.orders() != Some(OrdersRecord::Fill) {
                return Ok(None);
            }
            self.fill(owned)?;
        }
    }

    /// Waits until the control plane has answered to what was said so far, or wants something else.
    pub(super) fn wait_until_heard(&mut self) -> Result<Option<Leave>> {
        let deadline = Instant::now() + HEARD_LIMIT;
        while !self.reporter.is_heard() {
            if Instant::now() >= deadline {
                bail!("the control plane at {} does not answer", self.env.control_url);
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            self.touch_healthy();
            thread::sleep(GLANCE_EVERY / 10);
        }
        Ok(self.leaving())
    }

    /// Ends a launch in which the game never ran: what is there is what was there.
    fn leave_unplayed<T>(&mut self, owned: &Owned, leave: Leave) -> Result<Option<T>> {
        match leave {
            // Whether there is anything in the directory is not known, or known not to be so.
            Leave::Stop(_) if matches!(self.reporter.orders(), Some(OrdersRecord::Fill) | None) => {
                bail!("the host ended the task before the world was there");
            }
            Leave::Stop(_) if matches!(self.reporter.orders(), Some(OrdersRecord::End { .. })) => {}
            Leave::Abandon => {}
            Leave::Stop(why) => {
                self.reporter.update(|report| {
                    report.stopping = Some(why);
                    report.saved = Some(ProofRecord::Untouched);
                });
                self.archive(owned)?;
                // An errand goes on from there.
                if let Some(OrdersRecord::Fill) = self.reporter.orders() {
                    self.fill(owned)?;
                    self.wait_until_heard()?;
                    self.wait_for_the_end(LAST_WORD_LIMIT);
                }
            }
        }
        Ok(None)
    }

    pub(super) fn take_world(&mut self) -> Result<Option<Owned>> {
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match world_dir::take(&self.env.world_dir, &self.env.world, self.env.directory) {
                Ok(owned) => return Ok(Some(owned)),
                Err(TakeError::InUse(_)) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            if self.leaving().is_some() {
                return Ok(None);
            }
            thread::sleep(GLANCE_EVERY);
        }
    }
}

/// Gives the world's files to the user that the game runs as. Links are changed themselves, never what they point to.
fn hand_over(files: &Path, user: Option<(u32, u32)>) -> Result<()> {
    let Some((user, group)) = user else { return Ok(()) };
    let mut todo = vec![files.to_owned()];
    while let Some(path) = todo.pop() {
        let found = fs::symlink_metadata(&path)?;
        if (found.uid(), found.gid()) != (user, group) {
            std::os::unix::fs::lchown(&path, Some(user), Some(group))
                .with_context(|| format!("giving {} to the game's user", path.display()))?;
        }
        if found.is_dir() {
            for entry in fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        }
    }
    Ok(())
}
