//! What is outside of the control plane: directories, tasks, archives, the chat; and the weather, which says what goes wrong
//! how often. What is done to them is held to the laws ([`super::laws`]).

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

use super::{
    chance::Chance,
    chat::{Answer, Card, Shown},
    clockwork::Clock,
    links::Given,
    ports::CALLS,
    run::AlsoLaw,
};
use crate::{
    access::Rules,
    driver::Driver,
    event::Gone,
    ports::{LaunchOrder, Version},
    world::*,
};

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

/// How often something goes wrong: once in so many times; 0 for never.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    pub(super) store: u32,
    pub(super) queue: u32,
    pub(super) runtime: u32,
    pub(super) archive: u32,
    pub(super) chat: u32,
    pub(super) network: u32,
    /// A call that takes very long.
    pub(super) slow: u32,
    /// Whoever makes a call dies before or after it.
    pub(super) death: u32,
    /// How long it is between two blows of fate, in milliseconds; 0 for none.
    pub(super) fate: u64,
    /// The milliseconds by which the clocks of the control plane's machines are wrong.
    pub(super) clocks: [i64; 3],
    /// How long it is between two times that such a clock jumps, in milliseconds; 0 for never.
    pub(super) jumps: u64,
    /// How long it is between two outages, in milliseconds; 0 for never.
    pub(super) outages: u64,
    /// Datagrams cannot be seen.
    pub(super) blind: u32,
}

impl Weather {
    pub(super) fn of(chance: &mut Chance) -> Self {
        let mut rate = || [0, 300, 60, 12][chance.below(4) as usize];
        let [store, queue, runtime, archive] = [rate(), rate(), rate(), rate()];
        let [chat, network, slow, death] = [rate(), rate(), rate(), rate()];
        let fate = [0, 40, 12, 4][chance.below(4) as usize] * MINUTE;
        let skew = [0, 20, 60, 120][chance.below(4) as usize];
        let clocks = [0, skew * 1000, -skew * 1000];
        let blind = [0, 0, 3, 1][chance.below(4) as usize];
        let jumps = [0, 0, 90, 20][chance.below(4) as usize] * MINUTE;
        let outages = [0, 0, 120, 45][chance.below(4) as usize] * MINUTE;
        Self {
            store,
            queue,
            runtime,
            archive,
            chat,
            network,
            slow,
            death,
            fate,
            clocks,
            jumps,
            outages,
            blind,
        }
    }
}

/// A world: its record, its directory, and what people see and want of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: WorldId,
    pub(super) record: World,
    pub(super) version: Version,
    pub(super) saved_at: u64,
    pub(super) was_settled: bool,
    pub(super) dir: Dir,
    /// What people were told last.
    pub(super) shown: Shown,
    /// The launch that somebody's accepted wish to start promises at least.
    pub(super) start_due: Option<Generation>,
    pub(super) stop_pressed: Option<u64>,
    /// The launch that a person has stopped.
    pub(super) stopped: Option<Generation>,
    /// Until when a person was told that it stays awake, in which launch, and when that was said.
    pub(super) kept: Option<(Generation, u64, u64)>,
    /// When somebody last wanted links to work no more.
    pub(super) withdrawn: Option<u64>,
    /// What the directory held when it was erased.
    pub(super) erased: Option<u64>,
}

/// A world's directory. Contents are numbers, never used twice; 0 is nothing.
#[derive(Debug, Default)]
pub(super) struct Dir {
    pub(super) is_made: bool,
    pub(super) content: u64,
    /// Its files were removed because an archive has them.
    pub(super) is_cleared: bool,
    /// The task that holds the lock.
    pub(super) holder: Option<usize>,
    /// The tasks whose game has it open.
    pub(super) open: Vec<usize>,
    /// The newest content that there was when something else was last put in its place.
    pub(super) filled: u64,
    /// The archive that is noted to be the same as this content.
    pub(super) note: Option<(ArchiveId, u64)>,
}

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) place: usize,
    pub(super) order: LaunchOrder,
    pub(super) launched_at: u64,
    pub(super) hidden_until: u64,
    /// Until when the runtime takes it for gone though it is there; it never did for 0.
    pub(super) unseen_until: u64,
    pub(super) gone: Option<Gone>,
    pub(super) sigterm: Option<u64>,
    pub(super) paused_until: Option<u64>,
    pub(super) cut_until: u64,
    /// How many orders to end it does not heed.
    pub(super) deaf_to_ends: u32,
    /// Its watchdog is dead, and its game goes on.
    pub(super) is_headless: bool,
    /// Since when it is known that it should be gone.
    pub(super) leaving_since: Option<u64>,
    pub(super) was_hurt: bool,
    /// When a report was last answered, and the longest time that none was.
    pub(super) heard_at: u64,
    pub(super) longest_silence: u64,
    pub(super) game: Option<Game>,
    /// Why players may be thrown out: what fate did.
    pub(super) excuse: Option<&'static str>,
    pub(super) unknown_since: Option<u64>,
    /// Whom to wake when something about it changes.
    pub(super) watchers: Vec<usize>,
}

/// A game server that runs.
#[derive(Debug, Default)]
pub(super) struct Game {
    pub(super) memory: u64,
    pub(super) players: u32,
    pub(super) ready_at: Option<u64>,
    pub(super) ignores_signal: bool,
    pub(super) is_deaf: bool,
    pub(super) has_ended: bool,
    pub(super) is_stopping: bool,
    /// When the last player left who was seen: nobody else resets a timer (`docs/decisions/0006-unknown-pauses.md`).
    pub(super) left_at: Option<u64>,
    pub(super) was_seen: bool,
    pub(super) was_played: bool,
}

/// An archive as it was received.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) place: usize,
    pub(super) id: ArchiveId,
    pub(super) content: u64,
    pub(super) is_whole: bool,
    pub(super) is_sealed: bool,
    /// How long it takes to be read, in milliseconds.
    pub(super) takes: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) faults: u64,
    pub(super) strikes: u64,
    pub(super) presses: u64,
}

/// Everything.
pub(super) struct Outside {
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) weather: Weather,
    pub(super) places: Vec<Place>,
    pub(super) tasks: Vec<Task>,
    pub(super) archives: Vec<Stored>,
    pub(super) inboxes: Vec<(usize, ImportId, u64)>,
    pub(super) discarded: Vec<ImportId>,
    pub(super) cards: Vec<Card>,
    pub(super) answers: Vec<Answer>,
    pub(super) links: Vec<Given>,
    /// When somebody of the control plane died, or took too long.
    pub(super) deaths: Vec<u64>,
    pub(super) rules: Rules,
    pub(super) driver: Option<Driver>,
    pub(super) broken: Option<String>,
    /// A law besides the others.
    pub(super) also: Option<AlsoLaw>,
    pub(super) story: Option<Vec<String>>,
    pub(super) tally: Tally,
    /// There are cards in the chat; without a bot there are answers alone.
    pub(super) has_bot: bool,
    /// All is on one machine: there is one clock, and a game may outlive its watchdog.
    pub(super) is_one_machine: bool,
    /// The milliseconds by which clocks of the control plane have jumped, and the most that one ever did.
    pub(super) jumped: [i64; 3],
    pub(super) longest_jump: u64,
    /// Until when each is out of reach, in the order of [`Call`].
    pub(super) out: [u64; CALLS],
    /// When the last outage is over, and how long all were together.
    pub(super) in_reach_at: u64,
    pub(super) outages: u64,
    /// The longest time for which watchdogs alone were out of reach.
    pub(super) longest_cut: u64,
    /// Nobody presses a button any more.
    pub(super) is_night: bool,
    /// Players leave.
    pub(super) is_over: bool,
    contents: u64,
    names: u64,
}

impl Outside {
    pub(super) fn new(mut chance: Chance, story: bool) -> Self {
        let weather = Weather::of(&mut chance);
        let (has_bot, is_one_machine) = (!chance.one_in(4), chance.one_in(3));
        Self {
            clock: Clock::default(),
            chance,
            weather,
            places: vec![],
            tasks: vec![],
            archives: vec![],
            inboxes: vec![],
            discarded: vec![],
            cards: vec![],
            answers: vec![],
            links: vec![],
            deaths: vec![],
            rules: Rules::default(),
            driver: None,
            broken: None,
            also: None,
            story: story.then(Vec::new),
            tally: Tally::default(),
            has_bot,
            is_one_machine,
            jumped: [0; 3],
            longest_jump: 0,
            out: [0; CALLS],
            in_reach_at: 0,
            outages: 0,
            longest_cut: 0,
            is_night: false,
            is_over: false,
            contents: 0,
            names: 0,
        }
    }

    /// Writes a line of the story, if it is told.
    pub(super) fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_none() {
            return;
        }
        let (seconds, line) = (self.clock.now / 1000, line(self));
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if let Some(story) = &mut self.story {
            story.push(format!("{h}:{m:02}:{s:02}  {line}"));
        }
    }

    /// The story ends here: a law was broken.
    pub(super) fn breaks(&mut self, law: impl FnOnce() -> String) {
        if self.broken.is_none() {
            let law = law();
            self.say(|_| format!("BROKEN: {law}"));
            self.broken = Some(law);
        }
    }

    /// Returns the time as one of the control plane's machines has it.
    pub(super) fn some_clock(&mut self) -> Timestamp {
        let clocks: [i64; 3] = std::array::from_fn(|n| self.weather.clocks[n] + self.jumped[n]);
        let is_one = self.is_one_machine || clocks == [0; 3];
        let wrong = clocks[if is_one { 1 } else { self.chance.below(3) as usize }];
        at(0) + SignedDuration::from_millis(self.clock.now.cast_signed() + wrong)
    }

    pub(super) fn new_content(&mut self) -> u64 {
        self.contents += 1;
        self.contents
    }

    /// Returns the newest content that there is.
    pub(super) fn newest_content(&self) -> u64 {
        self.contents
    }

    pub(super) fn new_name(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    pub(super) fn place_of(&self, id: &WorldId) -> Option<usize> {
        self.places.iter().position(|place| place.id == *id)
    }

    pub(super) fn task_of(&self, id: &TaskId) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == *id)
    }

    pub(super) fn archive(&self, place: usize, id: &ArchiveId) -> Option<&Stored> {
        self.archives.iter().find(|stored| stored.place == place && stored.id == *id)
    }

    /// Returns by how much clocks differ at the most, and reports are late.
    pub(super) fn clocks(&self) -> u64 {
        5 * MINUTE + self.longest_jump
    }

    /// Tells whether nothing in the task acts any more but, perhaps, its game.
    pub(super) fn is_dead(&self, task: usize) -> bool {
        self.tasks.get(task).is_none_or(|task| task.gone.is_some() || task.is_headless)
    }

    pub(super) fn is_gone(&self, task: usize) -> bool {
        self.tasks.get(task).is_none_or(|task| task.gone.is_some())
    }

    pub(super) fn paused_until(&self, task: usize) -> Option<u64> {
        self.tasks.get(task)?.paused_until.filter(|until| *until > self.clock.now)
    }

    /// Wakes those who wait for something about the task.
    pub(super) fn rouse(&mut self, task: usize) {
        let now = self.clock.now;
        for watcher in self.tasks[task].watchers.clone() {
            self.clock.wake(watcher, now);
        }
    }

    /// Lets the task end, and with it everything that runs in it and every lock that it holds.
    pub(super) fn end_task(&mut self, task: usize, how: Gone) {
        if self.tasks[task].gone.is_some() {
            return;
        }
        self.players_go(task, "its task ended");
        self.say(|o| format!("task {} is gone: {}", o.tasks[task].id, how.words()));
        self.tasks[task].gone = Some(how);
        self.tasks[task].game = None;
        let dir = &mut self.places[self.tasks[task].place].dir;
        dir.open.retain(|open| *open != task);
        if dir.holder == Some(task) {
            dir.holder = None;
        }
    }

    /// Sends the task SIGTERM.
    pub(super) fn term(&mut self, task: usize) {
        let now = self.clock.now;
        if self.tasks[task].sigterm.is_none() {
            self.say(|o| format!("task {} is told to end", o.tasks[task].id));
            self.tasks[task].sigterm = Some(now);
            self.rouse(task);
        }
    }
}

/// The digest and size of a content: what is claimed of an archive.
pub(super) fn archive_of(id: ArchiveId, generation: Generation, content: u64) -> Archive {
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&content.to_be_bytes());
    Archive { id, generation, size: 1000 + content, sha256: Sha256(sha256) }
}

/// Returns the moment so many milliseconds after the beginning.
pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_767_290_400) + Duration::from_millis(millis)
}

/// Returns how many milliseconds after the beginning that is.
pub(super) fn since(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_millisecond() - at(0).as_millisecond()).unwrap_or(0)
}
