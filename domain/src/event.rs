//! What can happen to a world: what people ask for, what runtime and watchdog say, and the clock.
//!
//! What an event does is decided by [`crate::lifecycle::step`].

use jiff::Timestamp;

use crate::{
    idle::{Evidence, Timers},
    talk::{CardId, Follower, Place, Told},
    world::{Address, Archive, Generation, Person, Proof, StopWhy, TaskId},
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
    /// A person wants it to go to sleep by other timers.
    Set {
        /// The timers.
        timers: Timers,
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
            | Self::StopBegan { generation, .. }
            | Self::Saved { generation, .. }
            | Self::Uploaded { generation, .. }
            | Self::ArchiveFailed { generation, .. }
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
            | Self::Delete { .. }
            | Self::Erased
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
