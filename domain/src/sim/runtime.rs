//! The runtime of the simulation: tasks that are accepted late, never come up, forget that they were told to end, or are not
//! seen though they are there. On one machine a game may outlive its watchdog.

use async_trait::async_trait;

use super::{
    clockwork::{Of, Sim},
    fate,
    outside::{Dir, MINUTE, Outside, SECOND, Task},
    ports::Call,
};
use crate::{event::Gone, ports::*, vault::Storage, world::*};

/// How long a task has between SIGTERM and SIGKILL, and a game that has outlived its watchdog.
pub(super) const TERM: u64 = 120 * SECOND;

#[async_trait]
impl Runtime for Sim {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let takes = {
            let mut o = self.lock();
            let rate = o.weather.runtime;
            if rate > 0 && o.chance.one_in(rate) {
                let delay = o.chance.millis(SECOND, 15 * MINUTE);
                let late = launch_late(self.clone(), order.clone(), delay);
                o.clock.begin(Of::All, u64::MAX, Box::pin(late));
                return Err(Unavailable("the request is on its way".into()).into());
            }
            o.chance.millis(200, 12 * SECOND)
        };
        let launched = self.call(Call::Runtime, |o| o.launch(self, order)).await?;
        self.sleep(takes).await;
        launched
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        self.call(Call::Runtime, |o| o.observe(task)).await
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        self.call(Call::Runtime, |o| o.end(self, task, force)).await
    }

    /// A task that was only just accepted is not shown yet.
    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        self.call(Call::Runtime, |o| {
            let now = o.clock.now;
            let is_shown =
                |task: &&Task| task.gone.is_none() && now >= task.hidden_until.max(task.unseen_until);
            let listed = o.tasks.iter().filter(is_shown).map(|task| RunningTask {
                task: task.id.clone(),
                world: task.order.world.clone(),
                generation: task.order.generation,
            });
            listed.collect()
        })
        .await
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        self.call(Call::Runtime, |o| o.erase(world)).await?
    }
}

/// Lets a launch that nobody waits for any more take effect after a while.
async fn launch_late(sim: Sim, order: LaunchOrder, delay: u64) {
    sim.sleep(delay).await;
    let _ = sim.lock().launch(&sim, &order);
}

impl Outside {
    fn launch(&mut self, sim: &Sim, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        self.law_of_launches(order);
        let is_it = |t: &&Task| t.order.world == order.world && t.order.generation == order.generation;
        if let Some(task) = self.tasks.iter().find(is_it) {
            return Ok(task.id.clone());
        }
        self.law_of_single_tasks(order);
        let rate = self.weather.runtime;
        if rate > 0 && self.chance.one_in(rate * 4) {
            return Err(LaunchError::Refused("no capacity".into()));
        }
        let name = format!("{}.{}", order.world, order.generation);
        let id = TaskId::parse(&name).map_err(|e| LaunchError::Refused(e.to_string()))?;
        let Some(place) = self.place_of(&order.world) else {
            return Err(LaunchError::Refused("no such world".into()));
        };
        let (now, hidden) = (self.clock.now, self.chance.millis(0, 5 * SECOND));
        let task = Task {
            id: id.clone(),
            place,
            order: order.clone(),
            launched_at: now,
            hidden_until: now + hidden,
            unseen_until: 0,
            gone: None,
            sigterm: None,
            paused_until: None,
            cut_until: 0,
            deaf_to_ends: if rate > 0 { self.chance.below(4).saturating_sub(1) } else { 0 },
            is_headless: false,
            leaving_since: None,
            was_hurt: false,
            heard_at: now,
            longest_silence: 0,
            game: None,
            excuse: None,
            unknown_since: None,
            watchers: vec![],
        };
        self.tasks.push(task);
        self.say(|_| format!("task {id} is accepted"));
        let number = self.tasks.len() - 1;
        self.clock.begin(Of::All, u64::MAX, Box::pin(fate::task(sim.clone(), number)));
        Ok(id)
    }

    fn observe(&mut self, id: &TaskId) -> Seen {
        let Some(task) = self.task_of(id) else { return Seen::Gone(Gone::NeverExisted) };
        if self.clock.now < self.tasks[task].unseen_until {
            // Whoever was heard of lately is not taken for one that never was, as far as clocks can tell.
            let is_silent = self.clock.now > self.tasks[task].heard_at + MINUTE;
            if is_silent || self.tasks[task].game.is_none() || self.longest_jump > 0 {
                self.tasks[task].excuse = Some("was taken for gone");
            }
            return Seen::Gone(Gone::NeverExisted);
        }
        self.hurry_headless(task);
        match &self.tasks[task].gone {
            None => Seen::There,
            Some(how) => Seen::Gone(how.clone()),
        }
    }

    fn end(&mut self, sim: &Sim, task: &TaskId, force: Force) {
        let Some(task) = self.task_of(task).filter(|task| !self.is_gone(*task)) else { return };
        self.law_of_ends(task);
        if self.tasks[task].is_headless {
            return match force {
                Force::Gentle => self.hurry_headless(task),
                Force::Kill => self.end_task(task, Gone::Exited),
            };
        }
        if self.tasks[task].deaf_to_ends > 0 {
            self.tasks[task].deaf_to_ends -= 1;
            return self.say(|o| format!("task {} forgets that it is to end", o.tasks[task].id));
        }
        if self.tasks[task].sigterm.is_none() {
            self.clock.begin(Of::All, u64::MAX, Box::pin(fate::killed(sim.clone(), task)));
        }
        self.term(task);
    }

    /// Kills a game that has outlived its watchdog, when that was seen for too long.
    fn hurry_headless(&mut self, task: usize) {
        let now = self.clock.now;
        if self.tasks[task].is_headless && now >= *self.tasks[task].leaving_since.get_or_insert(now) + TERM {
            self.end_task(task, Gone::Crashed("its watchdog was killed".into()));
        }
    }

    fn erase(&mut self, world: &WorldId) -> Result<(), Unavailable> {
        let Some(place) = self.place_of(world) else { return Ok(()) };
        if !self.places[place].dir.is_made {
            return Ok(());
        }
        if self.places[place].dir.holder.is_some() {
            return Err(Unavailable("the directory is in use".into()));
        }
        match &self.places[place].record.state {
            State::Deleting { .. } | State::Deleted { .. } => {}
            State::Asleep
            | State::Starting { .. }
            | State::Awake { .. }
            | State::Stopping { .. }
            | State::Ending { .. } => self.breaks(|| format!("{world} is erased and was not deleted")),
        }
        self.law_of_destruction(place, "erased");
        self.say(|_| format!("the files of {world} are removed"));
        let record = &self.places[place].record;
        let lives = record.vault.same_as.as_ref().and_then(|id| self.archive(place, id)).map(|a| a.content);
        let of = &mut self.places[place];
        // What was put there by a launch that could not say so any more is not what the world is.
        of.erased = match of.record.vault.lives {
            Storage::Archive => lives,
            Storage::Directory => Some(of.dir.content),
        };
        of.dir = Dir::default();
        Ok(())
    }
}
