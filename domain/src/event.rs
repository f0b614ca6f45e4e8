//! What can happen to a world: what people ask for, what runtime and watchdog say, and the clock.
//!
//! What an event does is decided by [`crate::lifecycle::step`].

use jiff::Timestamp;

use crate::{
    attendance::Attendance,
    idle::{Evidence, TimerChoices},
    settings::Choices,
    sight::Sight,
    talk::{CardId, Follower, Place, Told},
    vault::{CareChoices, Litter},
    world::{Address, Archive, ArchiveId, Errand, Generation, LinkId, Person, Proof, StopWhy, TaskId},
};

/// What can happen to a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person wants it awake.
    Start {
        /// Who.
        by: Person,
    },
    /// A person wants it asleep.
    Stop {
        /// Who.
        by: Person,
    },
    /// A person wants it to stay awake with nobody on.
    Keep {
        /// Who.
        by: Person,
        /// Until when; the hard cap comes first.
        until: Timestamp,
    },
    /// A person wants other settings.
    Set {
        /// When it goes to sleep.
        timers: TimerChoices,
        /// How its archives are looked after.
        care: CareChoices,
        /// What is chosen of its game's settings.
        settings: Choices,
    },
    /// A person wants something done with it that nobody plays meanwhile; an archive of it can be made at any time.
    Errand {
        /// Who.
        by: Person,
        /// What.
        errand: Errand,
    },
    /// A person wants a link to an archive.
    Export {
        /// Who.
        by: Person,
        /// The link's id, never used before.
        link: LinkId,
        /// Which archive; if none is named, the newest state.
        archive: Option<ArchiveId>,
        /// Until when it shall work.
        expires: Timestamp,
    },
    /// A person wants links to work no more.
    Withdraw {
        /// Which one; if none is named, all.
        link: Option<LinkId>,
    },
    /// Somebody followed a link.
    Downloaded {
        /// Which one.
        link: LinkId,
    },
    /// Somebody's answer shall go on being changed as the world changes.
    Follow(Follower),
    /// People speak of the world there.
    Place(Place),
    /// People were told.
    Told {
        /// What they were told.
        told: Told,
        /// The card that shows it, if there is one.
        card: Option<CardId>,
        /// What was on record as told last when they were.
        instead_of: Option<Told>,
    },
    /// People could not be told, or may have been all the same.
    NotTold {
        /// What was on record as told last when that was tried.
        instead_of: Option<Told>,
    },
    /// A person wants it gone.
    Delete {
        /// Who.
        by: Person,
        /// The name, typed once more.
        typed: String,
    },
    /// The runtime accepted the launch.
    Launched {
        /// The launch.
        generation: Generation,
        /// Its task.
        task: TaskId,
    },
    /// The runtime will never accept the launch.
    LaunchRefused {
        /// The launch.
        generation: Generation,
        /// Why, for people.
        why: String,
    },
    /// A watchdog of the launch has something to say; comes before what it says.
    Heard {
        /// The launch.
        generation: Generation,
        /// The task that it runs in.
        task: TaskId,
    },
    /// The watchdog owns the world's directory.
    Claimed {
        /// The launch.
        generation: Generation,
        /// The task that it runs in.
        task: TaskId,
    },
    /// The game accepts players.
    Ready {
        /// The launch.
        generation: Generation,
        /// Where.
        address: Address,
    },
    /// The watchdog could not start the game, and ends.
    StartFailed {
        /// The launch.
        generation: Generation,
        /// Why, for people.
        why: String,
    },
    /// The watchdog looked.
    Seen {
        /// The launch.
        generation: Generation,
        /// Who is on.
        players: Evidence,
        /// When it will begin to stop unless that changes.
        stops_at: Option<Timestamp>,
    },
    /// The watchdog tells who was on so far. It says so again until the launch is over.
    Attended {
        /// The launch.
        generation: Generation,
        /// Who was on since the game was ready.
        attendance: Attendance,
        /// By which sources players are seen.
        sources: Vec<Sight>,
    },
    /// The watchdog stops, of its own accord or as told.
    StopBegan {
        /// The launch.
        generation: Generation,
        /// Why.
        why: StopWhy,
    },
    /// The game has saved and is gone.
    Saved {
        /// The launch.
        generation: Generation,
        /// What shows it.
        proof: Proof,
    },
    /// The watchdog says that an archive is uploaded.
    Uploaded {
        /// The launch.
        generation: Generation,
        /// What it says was uploaded.
        archive: Archive,
    },
    /// The watchdog says that nothing has changed since this archive was made.
    Unchanged {
        /// The launch.
        generation: Generation,
        /// The archive.
        archive: ArchiveId,
    },
    /// The watchdog says that an archive is uploaded that was asked for while the world is awake.
    BackedUp {
        /// The launch.
        generation: Generation,
        /// When it was asked for.
        wish: Timestamp,
        /// What it says was uploaded.
        archive: Archive,
    },
    /// The watchdog has given up on an archive that was asked for while the world is awake.
    BackupFailed {
        /// The launch.
        generation: Generation,
        /// When it was asked for.
        wish: Timestamp,
        /// Why.
        why: String,
    },
    /// The world's directory holds what was to be put there.
    Filled {
        /// The launch.
        generation: Generation,
        /// What was found in what was put there, for people.
        found: String,
    },
    /// The watchdog has given up on putting something else into the world's directory, and left it as it was.
    FillFailed {
        /// The launch.
        generation: Generation,
        /// Why.
        why: String,
    },
    /// The watchdog has given up on archiving.
    ArchiveFailed {
        /// The launch.
        generation: Generation,
        /// Why.
        why: String,
    },
    /// The receiving side has the archive, whole.
    Checked {
        /// The launch.
        generation: Generation,
        /// The archive.
        archive: Archive,
    },
    /// The receiving side does not have what the watchdog says.
    CheckFailed {
        /// The launch.
        generation: Generation,
        /// The archive as the watchdog described it.
        archive: Archive,
    },
    /// The task does not exist any more.
    TaskGone {
        /// The launch.
        generation: Generation,
        /// The task, or nothing if none was found for the launch.
        task: Option<TaskId>,
        /// How it ended.
        how: Gone,
    },
    /// The files of the deleted world are gone.
    Erased,
    /// What was to be removed is gone.
    Removed(Litter),
    /// The clock was looked at.
    Tick,
}

impl Event {
    /// Returns the launch that the event belongs to.
    pub(crate) fn generation(&self) -> Option<Generation> {
        match self {
            Self::Launched { generation, .. }
            | Self::LaunchRefused { generation, .. }
            | Self::Heard { generation, .. }
            | Self::Claimed { generation, .. }
            | Self::Ready { generation, .. }
            | Self::StartFailed { generation, .. }
            | Self::Seen { generation, .. }
            | Self::Attended { generation, .. }
            | Self::StopBegan { generation, .. }
            | Self::Saved { generation, .. }
            | Self::Uploaded { generation, .. }
            | Self::ArchiveFailed { generation, .. }
            | Self::Unchanged { generation, .. }
            | Self::BackedUp { generation, .. }
            | Self::BackupFailed { generation, .. }
            | Self::Filled { generation, .. }
            | Self::FillFailed { generation, .. }
            | Self::Checked { generation, .. }
            | Self::CheckFailed { generation, .. }
            | Self::TaskGone { generation, .. } => Some(*generation),
            Self::Start { .. }
            | Self::Stop { .. }
            | Self::Keep { .. }
            | Self::Set { .. }
            | Self::Follow(_)
            | Self::Place(_)
            | Self::Told { .. }
            | Self::NotTold { .. }
            | Self::Errand { .. }
            | Self::Export { .. }
            | Self::Withdraw { .. }
            | Self::Downloaded { .. }
            | Self::Delete { .. }
            | Self::Erased
            | Self::Removed(_)
            | Self::Tick => None,
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// Its watchdog ended by itself, or it was told to end.
    Exited,
    /// It broke down; how.
    Crashed(String),
    /// It used more memory than it has.
    OutOfMemory,
    /// The host took it back.
    Reclaimed,
    /// There never was one, as far as the runtime knows.
    NeverExisted,
}

impl Gone {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Exited => "its task ended".into(),
            Self::Crashed(how) => format!("its task broke down: {how}"),
            Self::OutOfMemory => "its task ran out of memory".into(),
            Self::Reclaimed => "the host took its task back".into(),
            Self::NeverExisted => "its task was gone before anything was heard of it".into(),
        }
    }
}
