//! A world and its state: what is recorded, and nothing that can be observed or computed.
//!
//! A variant of [`State`] holds exactly what is true in it. Nothing here changes a state: that is for
//! [`crate::lifecycle::step`] alone.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use thiserror::Error;

use crate::{
    attendance::Attendance,
    idle::{Evidence, Timers},
    settings::Chosen,
    sight::Sight,
    talk::Talk,
    vault::{KEPT_DELETED, KeptWhy, Vault},
};

/// Says why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} `{shown}` is not valid: use {allowed}")]
pub struct BadName {
    kind: &'static str,
    shown: String,
    allowed: &'static str,
}

impl BadName {
    fn new(kind: &'static str, text: &str, allowed: &'static str) -> Self {
        let shown = text.chars().take(40).flat_map(char::escape_debug).collect();
        Self { kind, shown, allowed }
    }

    /// Returns the same of a text that must not be shown.
    pub(crate) fn unseen(kind: &'static str, allowed: &'static str) -> Self {
        Self { kind, shown: "…".into(), allowed }
    }
}

/// Declares a newtype over `String` that is parsed once, at the edge.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $allowed:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses `text`, or says what is allowed.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                let ok: fn(&str) -> bool = $ok;
                if ok(text) { Ok(Self(text.to_owned())) } else { Err(BadName::new($kind, text, $allowed)) }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::parse(text)
            }
        }
    };
}

/// Tells whether `text` is 1 to `most` lower-case letters, digits and inner hyphens.
fn is_slug(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

text_id!(
    /// Identifies a world for ever, in paths, keys and addresses. Never reused.
    WorldId, "world id", "1 to 40 lower-case letters, digits and hyphens", |t| is_slug(t, 40)
);
text_id!(
    /// What people call a world; unique in its guild.
    WorldName, "world name", "1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`",
    |t| is_slug(t, 32)
);
text_id!(
    /// Identifies a game: the name of its catalogue file.
    GameId, "game", "1 to 32 lower-case letters, digits and inner hyphens, such as `valheim`", |t| is_slug(t, 32)
);
text_id!(
    /// The Discord guild (or `local`) that owns a world.
    GuildId, "guild", "1 to 32 lower-case letters, digits and hyphens", |t| is_slug(t, 32)
);
text_id!(
    /// Whoever asked for something, as shown to others.
    Person, "person", "1 to 64 printable characters",
    |t| (1..=64).contains(&t.chars().count()) && !t.chars().any(char::is_control)
);
text_id!(
    /// The runtime's own name for a task (an ECS task ARN, a task directory).
    TaskId, "task id", "1 to 256 printable ASCII characters",
    |t| (1..=256).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic())
);
text_id!(
    /// Identifies one archive of one world; sorts by age within the world.
    ArchiveId, "archive id", "1 to 64 lower-case letters, digits and hyphens", |t| is_slug(t, 64)
);
text_id!(
    /// Identifies a file that somebody sends to be imported into a world.
    ImportId, "import id", "1 to 64 lower-case letters, digits and hyphens", |t| is_slug(t, 64)
);

text_id!(
    /// Identifies a link to an archive among the links of its world.
    LinkId, "link", "1 to 40 lower-case letters, digits and hyphens", |t| is_slug(t, 40)
);

text_id!(
    /// Identifies one of the settings that a game has.
    SettingName, "setting", "1 to 32 lower-case letters, digits and inner hyphens, such as `difficulty`", |t| is_slug(t, 32)
);

/// Counts the launches of a world: 0 before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// Returns the generation of the next launch.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where players connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The first port of the game.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new("SHA-256", text, "64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One copy of a world: a .zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its name among the world's archives.
    pub id: ArchiveId,
    /// The launch that it was taken in.
    pub generation: Generation,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of the whole file.
    pub sha256: Sha256,
}

/// Who asked for something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The person.
    pub by: Person,
    /// The time of asking.
    pub at: Timestamp,
}

/// A point of a launch that people wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// The runtime accepted the task.
    Launched,
    /// The watchdog holds the world's lock; the game may start.
    Claimed,
    /// The game accepts players.
    Ready,
    /// The stop began.
    Stopping,
    /// The game has saved and is gone.
    Saved,
    /// The archive is uploaded.
    Uploaded,
    /// The archive was checked by the receiving side.
    Archived,
    /// The world's directory holds what was to be restored or imported.
    Filled,
    /// The task is gone.
    Ended,
}

impl Milestone {
    /// Every milestone, in the order in which an undisturbed launch passes them.
    pub const ALL: [Self; 9] = [
        Self::Launched,
        Self::Claimed,
        Self::Ready,
        Self::Stopping,
        Self::Saved,
        Self::Uploaded,
        Self::Archived,
        Self::Filled,
        Self::Ended,
    ];

    /// Returns the word for it in chat, on the command line and in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Launched => "launched",
            Self::Claimed => "claimed",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Saved => "saved",
            Self::Uploaded => "uploaded",
            Self::Archived => "archived",
            Self::Filled => "filled",
            Self::Ended => "ended",
        }
    }
}

/// What a launch does with a world that nobody plays meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Archives what is there.
    Backup,
    /// Archives what is there, and puts the content of this archive in its place.
    Restore(ArchiveId),
    /// Archives what is there, and puts what somebody sent in its place.
    Import(ImportId),
}

/// One attempt to have the world running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Which attempt this is.
    pub generation: Generation,
    /// What it is for, if not to be played.
    pub errand: Option<Errand>,
    /// Who wanted it, and when.
    pub asked: Asked,
    /// The milestones passed so far and their times, each at most once.
    pub passed: Vec<(Milestone, Timestamp)>,
    /// Who was on since the game was ready.
    pub attendance: Attendance,
    /// By which sources players are seen; of a launch that is over, nothing.
    pub sources: Vec<Sight>,
}

impl Launch {
    /// Returns when `milestone` was passed.
    pub fn passed_at(&self, milestone: Milestone) -> Option<Timestamp> {
        self.passed.iter().find(|(m, _)| *m == milestone).map(|(_, at)| *at)
    }

    /// Returns the launch with `milestone` passed at `at`, unless it was passed before.
    pub(crate) fn passing(mut self, milestone: Milestone, at: Timestamp) -> Self {
        if self.passed_at(milestone).is_none() {
            self.passed.push((milestone, at));
        }
        self
    }
}

/// What a launch is doing on its way to players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartStep {
    /// The runtime is being asked for a task.
    Launching,
    /// The runtime has a task; its watchdog has not reported yet.
    Launched {
        /// The task.
        task: TaskId,
    },
    /// The watchdog owns the world and fills its directory from the newest archive.
    Filling {
        /// The task.
        task: TaskId,
    },
    /// The watchdog owns the world and the game is coming up.
    Claimed {
        /// The task.
        task: TaskId,
    },
}

/// What the watchdog last said about an awake world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When it said so.
    pub at: Timestamp,
    /// Who is on.
    pub players: Evidence,
    /// When it will begin to stop unless somebody joins or asks to stay: the warning.
    pub stops_at: Option<Timestamp>,
}

/// Why an awake world stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopWhy {
    /// A person asked.
    Asked(Asked),
    /// Nobody joined in time.
    NeverJoined,
    /// The last player has left.
    LastLeft,
    /// The hard cap.
    Cap,
    /// The game was not ready in time.
    NeverReady,
    /// Players were on, and none of them had moved for as long as they may.
    AllAway,
    /// The game no longer listens on its ports.
    Deaf,
    /// The game no longer answers when it is asked for its players, as it did before.
    Unresponsive,
    /// The game ended by itself; how, in words.
    GameEnded(String),
    /// The host told the task to end (Spot, maintenance, a shutdown of the machine).
    Reclaimed,
}

/// How far a stop has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopStep {
    /// The watchdog has not confirmed yet that it stops.
    Asked,
    /// The watchdog is saving and ending the game.
    Saving,
    /// The game is gone; the watchdog archives.
    Saved(Proof),
    /// The watchdog has uploaded an archive; nobody has checked it yet.
    Uploaded(Proof, Archive),
    /// The archive of this id was not whole; the watchdog makes another one.
    Rejected(Proof, ArchiveId),
    /// What was there is archived; the watchdog puts what was asked for in its place.
    Filling,
}

/// An archive that is made while the world is awake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Why.
    pub why: KeptWhy,
    /// When it was asked for; tells it from the others of the launch.
    pub at: Timestamp,
    /// How far it is.
    pub step: BackupStep,
    /// When it has taken too long.
    pub deadline: Timestamp,
}

/// How far an archive is that is made while the world is awake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupStep {
    /// The watchdog is to make it.
    Wanted,
    /// It is uploaded; nobody has checked it yet.
    Uploaded(Archive),
    /// It was found whole.
    Done(ArchiveId),
    /// It did not come to be; why.
    Failed(String),
}

impl BackupStep {
    /// Tells whether something is still to come of it.
    pub fn is_under_way(&self) -> bool {
        match self {
            Self::Wanted | Self::Uploaded(_) => true,
            Self::Done(_) | Self::Failed(_) => false,
        }
    }
}

/// What shows that the save on disk is the world as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The game ended when told to, and its save files are newer than the order to stop.
    Fresh,
    /// The game ended when told to, and nobody had played since the last save.
    Untouched,
    /// The save could not be proven; why.
    Missing(String),
}

/// What follows a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The world sleeps.
    Sleep,
    /// Somebody asked for it meanwhile: it is launched again at once.
    Start(Asked),
}

/// How a launch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Archived, and the archive was checked; what shows that the save in it is good.
    Slept(StopWhy, Proof),
    /// The game's stop was seen through, but no archive was confirmed; why. The files are in the directory.
    NotArchived(StopWhy, String),
    /// Somebody wanted it asleep again before its task had the world.
    Cancelled(Asked),
    /// It ended before players could join; why.
    Failed(String),
    /// The task was gone while it should have been running; how.
    Lost(String),
    /// The errand was run; what came of it besides, if anything.
    Done(Errand, String),
    /// The errand was not run to its end, and what was there is there still; why.
    NotDone(Errand, String),
}

impl Outcome {
    /// Tells whether it ended as it should: what was played is saved and archived, or nothing was.
    pub fn is_well(&self) -> bool {
        match self {
            Self::Slept(_, Proof::Fresh | Proof::Untouched) | Self::Cancelled(_) | Self::Done(..) => true,
            Self::Slept(_, Proof::Missing(_))
            | Self::NotArchived(..)
            | Self::Failed(_)
            | Self::Lost(_)
            | Self::NotDone(..) => false,
        }
    }
}

/// How hard a task is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// SIGTERM: the watchdog saves within two minutes.
    Gentle,
    /// SIGKILL to whatever is left.
    Kill,
}

/// The last launch that came to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The launch with its milestones.
    pub launch: Launch,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is true of a world now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No task may exist for it.
    Asleep,
    /// A launch is on its way to players.
    Starting {
        /// The launch.
        launch: Launch,
        /// How far it is.
        step: StartStep,
        /// When this step has taken too long.
        deadline: Timestamp,
    },
    /// The game accepts players.
    Awake {
        /// The launch.
        launch: Launch,
        /// Its task.
        task: TaskId,
        /// Where to connect to.
        address: Address,
        /// The last report.
        heard: Heard,
        /// Until when the idle timers are off, by whom.
        keep: Option<(Asked, Timestamp)>,
        /// The newest archive that was asked for while it is awake.
        backup: Option<Backup>,
        /// The hard cap, with the time that the watchdog needs to see to it by itself.
        deadline: Timestamp,
    },
    /// The watchdog saves, archives and ends.
    Stopping {
        /// The launch.
        launch: Launch,
        /// Its task.
        task: TaskId,
        /// Why it stops.
        why: StopWhy,
        /// How far it is.
        step: StopStep,
        /// What follows.
        then: Then,
        /// When this step has taken too long.
        deadline: Timestamp,
    },
    /// The task is being ended; nothing more is expected of it.
    Ending {
        /// The launch.
        launch: Launch,
        /// Its task, if the runtime ever named one.
        task: Option<TaskId>,
        /// What the launch came to.
        outcome: Outcome,
        /// How hard.
        force: Force,
        /// What follows.
        then: Then,
        /// When to use force.
        deadline: Timestamp,
    },
    /// Its files are being removed.
    Deleting {
        /// Who asked.
        asked: Asked,
        /// When to try again.
        deadline: Timestamp,
    },
    /// It is gone; its archives are kept.
    Deleted {
        /// Who asked.
        asked: Asked,
        /// When the files were gone.
        at: Timestamp,
    },
}

/// How many ended launches are remembered besides the newest one. A record has to stay small.
pub const MOST_PAST: usize = 19;

/// One saved universe of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Its identity.
    pub id: WorldId,
    /// Whose it is.
    pub guild: GuildId,
    /// What people call it.
    pub name: WorldName,
    /// The game that plays it.
    pub game: GameId,
    /// Who made it, and when.
    pub created: Asked,
    /// When it goes to sleep.
    pub timers: Timers,
    /// What was chosen of its game's settings.
    pub settings: Chosen,
    /// The first port that the game shall have, if not the runtime's choice.
    pub port: Option<u16>,
    /// The newest launch.
    pub generation: Generation,
    /// The newest launch whose watchdog owned the directory. Once there was one, an empty directory is a fault, not a
    /// new world.
    pub claimed: Option<Generation>,
    /// Its archives, and the links to them.
    pub vault: Vault,
    /// The newest launch that ended.
    pub last: Option<Session>,
    /// Those that ended before it, newest first, at most [`MOST_PAST`].
    pub past: Vec<Session>,
    /// What is remembered for telling people.
    pub talk: Talk,
    /// What is true now.
    pub state: State,
}

impl World {
    /// Returns the launch in progress.
    pub fn launch(&self) -> Option<&Launch> {
        match &self.state {
            State::Starting { launch, .. }
            | State::Awake { launch, .. }
            | State::Stopping { launch, .. }
            | State::Ending { launch, .. } => Some(launch),
            State::Asleep | State::Deleting { .. } | State::Deleted { .. } => None,
        }
    }

    /// Returns the task in progress, where it is known.
    pub fn task(&self) -> Option<&TaskId> {
        match &self.state {
            State::Starting {
                step: StartStep::Launched { task } | StartStep::Filling { task } | StartStep::Claimed { task },
                ..
            }
            | State::Awake { task, .. }
            | State::Stopping { task, .. } => Some(task),
            State::Ending { task, .. } => task.as_ref(),
            State::Starting { step: StartStep::Launching, .. }
            | State::Asleep
            | State::Deleting { .. }
            | State::Deleted { .. } => None,
        }
    }

    /// Returns where players connect to and what the watchdog said last, while it is awake.
    pub fn awake(&self) -> Option<(&Address, &Heard)> {
        match &self.state {
            State::Awake { address, heard, .. } => Some((address, heard)),
            State::Asleep
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Deleting { .. }
            | State::Deleted { .. } => None,
        }
    }

    /// Returns when the state has lasted too long and the clock alone must move it.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Starting { deadline, .. }
            | State::Awake { deadline, .. }
            | State::Stopping { deadline, .. }
            | State::Ending { deadline, .. }
            | State::Deleting { deadline, .. } => Some(*deadline),
            State::Deleted { at, .. } if !self.vault.kept.is_empty() => Some(*at + KEPT_DELETED),
            State::Asleep | State::Deleted { .. } => None,
        }
    }

    /// Tells whether everything that was ever played is in a checked archive.
    pub fn is_archived(&self) -> bool {
        self.claimed.is_none() || self.vault.same_as.is_some()
    }

    /// Returns how long the last complete start took, from its launch to ready.
    pub fn last_start_took(&self) -> Option<Duration> {
        let launch = &self.last.as_ref()?.launch;
        let ready = launch.passed_at(Milestone::Ready)?;
        let launched = launch.passed_at(Milestone::Launched)?;
        Duration::try_from(ready.duration_since(launched)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_name_with_a_slash_is_refused_with_what_is_allowed() {
        expect!["world name `../etc` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`"]
            .assert_eq(&WorldName::parse("../etc").unwrap_err().to_string());
    }

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        let long = "a".repeat(33);
        for bad in ["", "-a", "a-", "A", "ä", "a b", "a/b", "a.b", "a\0b", &long] {
            assert!(WorldName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "7", "valhalla-2", &"a".repeat(32)] {
            assert_eq!(WorldName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let address = |host: &str| Address { host: host.into(), port: 30000 }.to_string();
        assert_eq!(
            (address("203.0.113.7"), address("2001:db8::7")),
            ("203.0.113.7:30000".into(), "[2001:db8::7]:30000".into())
        );
    }

    #[test]
    fn a_digest_reads_what_it_prints() {
        let text = "00ff".repeat(16);
        assert_eq!(Sha256::parse(&text).unwrap().to_string(), text);
        assert!(Sha256::parse(&"ä".repeat(32)).is_err());
    }
}
