//! What must hold after every step: the three promises, in what they come to here.
//!
//! Each law is looked at where it can be broken, the dear ones only when something has changed.

use std::time::Duration;

use super::outside::{MINUTE, Outside, Task, since};
use crate::{
    lifecycle::{
        ARCHIVE_LIMIT, CAP_MARGIN, CATCH_UP, CHECK_LIMIT, CLAIM_LIMIT, END_LIMIT, FILL_LIMIT, HEED_LIMIT,
        LAUNCH_LIMIT, READY_LIMIT, SAVE_LIMIT, SECOND_CHANCE,
    },
    ports::LaunchOrder,
    vault::{KEPT_DELETED, KeptWhy, Storage},
    world::*,
};

/// How long sweeps in bad weather may take until they have ended a task.
const SWEPT_WITHIN: u64 = 40 * MINUTE;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Outside {
    /// Holds tasks and games to the laws of time and money, and sleeping worlds to having no writer.
    pub(super) fn watch_the_laws(&mut self) {
        let now = self.clock.now;
        for task in 0..self.tasks.len() {
            if self.tasks[task].gone.is_none() {
                self.law_of_known_tasks(task, now);
                self.law_of_money(task, now);
            }
        }
        for place in 0..self.places.len() {
            if !self.places[place].dir.open.is_empty() {
                self.law_of_writers(place);
            }
        }
    }

    fn law_of_writers(&mut self, place: usize) {
        let of = &self.places[place];
        let (id, open) = (&of.id, &of.dir.open);
        // What a runtime takes for gone that is not, nobody can wait for.
        let is_seen = open.iter().all(|task| self.tasks[*task].unseen_until == 0);
        let law = if open.len() > 1 {
            format!("two writers: {id} is open in tasks {open:?}")
        } else if of.dir.holder != open.first().copied() {
            format!("a game has {id} open without its lock")
        } else if sleeps(&of.record) && is_seen {
            format!("{id} sleeps and a game has it open")
        } else {
            return;
        };
        self.breaks(|| law);
    }

    fn law_of_known_tasks(&mut self, task: usize, now: u64) {
        let known = {
            let (task, place) = (&self.tasks[task], &self.places[self.tasks[task].place]);
            let launch = place.record.launch();
            launch.is_some_and(|launch| launch.generation == task.order.generation)
                && place.record.task().is_none_or(|known| *known == task.id)
        };
        let since = self.tasks[task].unknown_since.unwrap_or(now).max(self.tasks[task].unseen_until);
        let since = since.max(self.in_reach_at);
        let since = if known { None } else { Some(since) };
        self.tasks[task].unknown_since = since;
        if since.is_some_and(|since| now > since + SWEPT_WITHIN) {
            let id = self.tasks[task].id.clone();
            self.breaks(|| format!("task {id} runs on, and no world knows it"));
        }
    }

    fn law_of_money(&mut self, task: usize, now: u64) {
        let of = &self.tasks[task];
        let cap = millis(of.order.timers.cap);
        let all = [
            LAUNCH_LIMIT,
            CLAIM_LIMIT,
            FILL_LIMIT,
            READY_LIMIT,
            CAP_MARGIN,
            SECOND_CHANCE,
            HEED_LIMIT,
            SAVE_LIMIT,
            ARCHIVE_LIMIT,
            CHECK_LIMIT,
            FILL_LIMIT,
            END_LIMIT,
            CATCH_UP * 6,
        ];
        let (late, outages) = (self.longest_jump, self.outages);
        let most = cap + millis(all.iter().sum()) + late * 12 + outages + SWEPT_WITHIN;
        let id = &of.id;
        if now > of.launched_at + most {
            let law = format!("task {id} runs past all its bounds");
            return self.breaks(|| law);
        }
        let Some(game) = of.game.as_ref().filter(|game| !game.has_ended) else { return };
        let Some(ready) = game.ready_at else { return };
        let margins = millis(CAP_MARGIN + SECOND_CHANCE + HEED_LIMIT + SAVE_LIMIT + END_LIMIT + CATCH_UP * 2)
            + late * 4
            + outages
            + SWEPT_WITHIN;
        if now > ready + cap + margins {
            let law = format!("the game in {id} runs past its cap and all margins");
            self.breaks(|| law);
        } else if !of.was_hurt && !game.is_stopping && now > ready + cap + MINUTE {
            let law = format!("the watchdog in {id} ignores the cap");
            self.breaks(|| law);
        }
    }

    /// Lets the players of the task's game go: somebody, or something, must have a reason for it.
    pub(super) fn players_go(&mut self, task: usize, how: &str) {
        let now = self.clock.now;
        let of = &self.tasks[task];
        let Some(game) = of.game.as_ref().filter(|game| game.players > 0) else { return };
        let (place, generation) = (&self.places[of.place], of.order.generation);
        let cap = game.ready_at.is_some_and(|ready| now + 1000 >= ready + millis(of.order.timers.cap));
        let person = place.stopped.is_some_and(|stopped| stopped >= generation);
        // Whoever counts the time was not heard in time.
        let silence = of.longest_silence.max(now - of.heard_at);
        let clock = self.longest_jump > 0 && (of.was_hurt || silence > MINUTE);
        // That it is ready was not heard for as long as that may take, though everybody else was.
        let deaf = self.longest_cut + 5 * MINUTE > millis(READY_LIMIT);
        if !cap && !person && !clock && !deaf && of.excuse.is_none() {
            let law = format!("{} players of {} are thrown out: {how}", game.players, place.id);
            self.breaks(|| law);
        }
        if let Some(game) = &mut self.tasks[task].game {
            game.players = 0;
        }
    }

    /// The watchdog stops an empty world because nobody is on.
    pub(super) fn law_of_idleness(&mut self, task: usize, why: &StopWhy, asked: bool) {
        let now = self.clock.now;
        let of = &self.tasks[task];
        let Some(game) = &of.game else { return };
        let (limit, since) = match why {
            StopWhy::LastLeft => (of.order.timers.last_left, game.left_at.or(game.ready_at)),
            StopWhy::NeverJoined => (of.order.timers.never_joined, game.ready_at),
            StopWhy::Asked(_)
            | StopWhy::Cap
            | StopWhy::NeverReady
            | StopWhy::Deaf
            | StopWhy::Unresponsive
            | StopWhy::AllAway
            | StopWhy::GameEnded(_)
            | StopWhy::Reclaimed => return,
        };
        let id = of.id.clone();
        if since.is_some_and(|since| now + 15_000 < since + millis(limit)) {
            return self.breaks(|| format!("{id} goes to sleep too soon after the last player ({why:?})"));
        }
        let kept = self.places[of.place].kept;
        let is_kept = kept.is_some_and(|(generation, until, said)| {
            generation == of.order.generation && until > now + self.clocks() && now > said + MINUTE
        });
        if is_kept && asked {
            self.breaks(|| format!("{id} goes to sleep though somebody was told that it is kept awake"));
        }
    }

    /// Somebody wants a task launched.
    pub(super) fn law_of_launches(&mut self, order: &LaunchOrder) {
        let place = self.place_of(&order.world);
        let saved = place.map(|place| self.places[place].record.generation);
        if saved.is_none_or(|saved| saved < order.generation) {
            self.breaks(|| format!("launch {} is asked for before it is saved", order.generation));
        }
    }

    /// The runtime is about to start another task.
    pub(super) fn law_of_single_tasks(&mut self, order: &LaunchOrder) {
        let is_it = |t: &&Task| {
            t.gone.is_none() && t.order.world == order.world && t.order.generation == order.generation
        };
        if let Some(task) = self.tasks.iter().find(is_it) {
            let law = format!("a second task for the launch of {}", task.id);
            self.breaks(|| law);
        }
    }

    /// The control plane ends a task.
    pub(super) fn law_of_ends(&mut self, task: usize) {
        let of = &self.tasks[task];
        let record = &self.places[of.place].record;
        let is_current = record.launch().is_some_and(|launch| launch.generation == of.order.generation);
        let is_other = record.task().is_some_and(|known| *known != of.id);
        let wanted = match &record.state {
            State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } => is_current && !is_other,
            State::Ending { .. } | State::Asleep | State::Deleting { .. } | State::Deleted { .. } => false,
        };
        if wanted {
            let law = format!("task {} is ended though its launch goes on", of.id);
            self.breaks(|| law);
        }
    }

    /// What the directory holds is about to be destroyed or replaced.
    pub(super) fn law_of_destruction(&mut self, place: usize, how: &str) {
        let of = &self.places[place];
        let (content, id) = (of.dir.content, of.id.clone());
        if content == 0 || of.dir.is_cleared {
            return;
        }
        let is_safe = of.record.vault.kept.iter().any(|kept| {
            self.archive(place, &kept.archive.id)
                .is_some_and(|stored| stored.is_whole && stored.content == content)
        });
        // What somebody sent is where it was sent to until the world is known to hold it.
        let is_sent =
            self.inboxes.iter().any(|(_, import, sent)| *sent == content && !self.discarded.contains(import));
        if !is_safe && !is_sent {
            self.breaks(|| format!("content {content} of {id} is {how} and is in no checked archive"));
        }
    }

    /// An archive is about to be removed.
    pub(super) fn law_of_removal(&mut self, place: usize, id: &ArchiveId) {
        if self.places[place].record.vault.find(id).is_some() {
            let world = self.places[place].id.clone();
            self.breaks(|| format!("archive {id} of {world} is removed and is on record"));
        }
    }

    /// The game opens the directory.
    pub(super) fn law_of_opening(&mut self, place: usize) {
        let of = &self.places[place];
        let (id, is_cleared) = (of.id.clone(), of.dir.is_cleared);
        if is_cleared {
            self.breaks(|| format!("the game starts on an empty directory, and {id} is in its archive"));
        }
    }

    /// A record takes the place of another one.
    pub(super) fn law_of_records(&mut self, place: usize, next: &World) {
        let (id, before) = (self.places[place].id.clone(), self.places[place].record.clone());
        if next.generation < before.generation {
            return self.breaks(|| format!("the generation of {id} goes back"));
        }
        for kept in &next.vault.kept {
            if before.vault.find(&kept.archive.id).is_some() {
                continue;
            }
            let claim = &kept.archive;
            let is_so = self
                .archive(place, &claim.id)
                .is_some_and(|stored| stored.is_whole && claim.size == 1000 + stored.content);
            if !is_so {
                return self.breaks(|| format!("archive {} of {id} is on record and is not whole", claim.id));
            }
        }
        self.law_of_what_sleeps(place, next);
        self.law_of_outcomes(place, &before, next);
        self.law_of_what_is_kept(place, &before, next);
    }

    /// What is said to be the same as the directory is.
    fn law_of_what_sleeps(&mut self, place: usize, next: &World) {
        let (id, dir) = (self.places[place].id.clone(), &self.places[place].dir);
        let (content, is_cleared) = (dir.content, dir.is_cleared);
        match &next.state {
            State::Asleep => {}
            State::Starting { .. }
            | State::Awake { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Deleting { .. }
            | State::Deleted { .. } => return,
        }
        let same = next.vault.same_as.as_ref();
        let archived = same.and_then(|same| self.archive(place, same)).filter(|stored| stored.is_whole);
        let archived = archived.map(|stored| stored.content);
        match (next.vault.lives, same) {
            (Storage::Directory, _) if is_cleared => {
                self.breaks(|| format!("{id} is said to live in its directory, which was emptied"));
            }
            (_, Some(same)) if archived.is_none() => {
                self.breaks(|| format!("{id} relies on archive {same}, which is not there"));
            }
            (Storage::Directory, Some(same)) if archived != Some(content) => self
                .breaks(|| format!("archive {same} of {id} holds {archived:?}, and its directory {content}")),
            (Storage::Archive, None) if is_cleared => {
                self.breaks(|| format!("{id} lives in its archive, and nobody knows in which"));
            }
            (Storage::Directory | Storage::Archive, _) => {}
        }
    }

    /// What people are told of a launch is so.
    fn law_of_outcomes(&mut self, place: usize, before: &World, next: &World) {
        let Some(last) = next.last.as_ref().filter(|last| before.last.as_ref() != Some(last)) else { return };
        let (id, dir) = (self.places[place].id.clone(), &self.places[place].dir);
        let same = next.vault.same_as.as_ref().and_then(|same| self.archive(place, same));
        let content = if dir.is_cleared { same.map(|stored| stored.content) } else { Some(dir.content) };
        match &last.outcome {
            Outcome::Lost(why) if why.contains("not confirmed") && self.is_well(place, before) => {
                self.breaks(|| format!("the save of {id} is given up, and its watchdog is well"));
            }
            Outcome::Slept(..) | Outcome::Done(Errand::Backup, _) if same.is_none() => {
                self.breaks(|| format!("{id} is said to be archived and is not"));
            }
            Outcome::Done(Errand::Restore(wanted), _) => {
                let wanted = self.archive(place, wanted).map(|stored| stored.content);
                if wanted != content {
                    self.breaks(|| {
                        format!("{id} holds {content:?} and not what was to be restored, {wanted:?}")
                    });
                }
            }
            Outcome::Done(Errand::Import(wanted), _) => {
                let sent = self.inboxes.iter().find(|(of, import, _)| *of == place && import == wanted);
                if sent.map(|(.., sent)| *sent) != content {
                    self.breaks(|| format!("{id} does not hold what was imported"));
                }
            }
            Outcome::Slept(..)
            | Outcome::Done(Errand::Backup, _)
            | Outcome::NotArchived(..)
            | Outcome::Cancelled(_)
            | Outcome::Failed(_)
            | Outcome::Lost(_)
            | Outcome::NotDone(..) => {}
        }
    }

    /// Tells whether the watchdog of a world's launch was never disturbed, nor cut off alone, and all clocks are nearly right.
    fn is_well(&self, place: usize, world: &World) -> bool {
        let is_it = |task: &&Task| task.place == place && task.order.generation == world.generation;
        let is_well = |task: &Task| {
            task.gone.is_none() && !task.was_hurt && task.excuse.is_none() && task.unseen_until == 0
        };
        let task = self.tasks.iter().find(is_it);
        let is_right = self.longest_jump == 0 && self.weather.clocks[1] <= 20_000;
        is_right && self.longest_cut == 0 && task.is_some_and(is_well)
    }

    /// What has to be kept for a while is.
    fn law_of_what_is_kept(&mut self, place: usize, before: &World, next: &World) {
        let id = self.places[place].id.clone();
        if let State::Deleted { at, .. } = &next.state {
            let is_time = self.clock.now + self.clocks() >= since(*at) + millis(KEPT_DELETED);
            let held = self.places[place].erased.unwrap_or(0);
            let has = next.vault.kept.iter().any(|kept| {
                self.archive(place, &kept.archive.id).is_some_and(|stored| stored.content == held)
            });
            if held != 0 && !has && !is_time {
                self.breaks(|| format!("{id} is deleted and its last archive is not kept"));
            }
            return;
        }
        let slept = |world: &World| world.vault.kept.iter().any(|kept| kept.why == KeptWhy::Slept);
        if slept(before) && !slept(next) {
            self.breaks(|| format!("{id} loses its last proven archive"));
        }
    }
}

fn sleeps(world: &World) -> bool {
    match &world.state {
        State::Asleep | State::Deleting { .. } | State::Deleted { .. } => true,
        State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. } => false,
    }
}
