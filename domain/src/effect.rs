//! What a saved state asks for: effects on the outside, notices to people, and orders to the watchdog.
//!
//! Derived from the state alone, so that each can be asked for again after a crash; nothing here changes a state.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    idle::Evidence,
    lifecycle::{CAP_MARGIN, require_current},
    talk::Told,
    vault::{Litter, Storage},
    words,
    world::{
        Address, Archive, ArchiveId, Asked, Backup, BackupStep, Errand, Force, Generation, Heard, Launch,
        Outcome, StartStep, State, StopStep, StopWhy, TaskId, World,
    },
};

/// What the saved state asks of the outside. Each may be performed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the runtime for the task of the launch.
    Launch(Generation),
    /// See whether the task is still there.
    Observe(Generation, TaskId),
    /// See whether the runtime has a task for the launch, of which none is known.
    Find(Generation),
    /// End the task.
    End(TaskId, Force),
    /// Compare the uploaded archive with what the watchdog says of it.
    Check(Generation, Archive),
    /// Remove the world's files.
    Erase,
    /// Show people what is so.
    Tell(Notice),
    /// Remove it for good.
    Remove(Litter),
}

/// What people are shown of a world without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Somebody wakes it.
    Waking(Asked),
    /// Something is done with it that nobody plays meanwhile.
    Working(Errand, Asked),
    /// Players can join.
    Awake(Address),
    /// It will go to sleep at this time unless somebody joins or asks it to stay.
    Warned(Timestamp),
    /// It will go to sleep at this time, whoever is on.
    CapNear(Timestamp),
    /// It will go to sleep at this time unless somebody who is on moves, or asks it to stay.
    AllAway(Timestamp),
    /// It is being saved, and why.
    Stopping(StopWhy),
    /// It sleeps, and what the last launch came to.
    Asleep(Option<Outcome>),
    /// It is gone.
    Deleted,
}

/// Returns what the saved state of `world` asks for, in order.
pub fn effects(world: &World) -> Vec<Effect> {
    let generation = world.generation;
    let observe = |task: &TaskId| Effect::Observe(generation, task.clone());
    let acts = match &world.state {
        State::Asleep | State::Deleted { .. } => vec![],
        State::Starting { step: StartStep::Launching, .. } => vec![Effect::Launch(generation)],
        State::Starting {
            step: StartStep::Launched { task } | StartStep::Filling { task } | StartStep::Claimed { task },
            ..
        } => vec![observe(task)],
        State::Awake { task, .. } => vec![observe(task)],
        State::Stopping { step: StopStep::Uploaded(_, archive), .. } => {
            vec![Effect::Check(generation, archive.clone())]
        }
        State::Stopping { task, .. } => vec![observe(task)],
        State::Ending { task: Some(task), force, .. } => {
            vec![Effect::End(task.clone(), *force), observe(task)]
        }
        State::Ending { task: None, .. } => vec![Effect::Find(generation)],
        State::Deleting { .. } => vec![Effect::Erase],
    };
    let removals = world.vault.litter.iter().cloned().map(Effect::Remove);
    // What takes long comes after what people wait for.
    let check = match &world.state {
        State::Awake { backup: Some(Backup { step: BackupStep::Uploaded(archive), .. }), .. } => {
            Some(Effect::Check(generation, archive.clone()))
        }
        State::Awake { .. }
        | State::Asleep
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => None,
    };
    acts.into_iter().chain(untold(world).map(Effect::Tell)).chain(check).chain(removals).collect()
}

/// Tells whether nothing is to be done about the world until somebody wants something: it rests, and people know.
pub fn is_settled(world: &World) -> bool {
    let rests = match &world.state {
        State::Asleep => true,
        // Its last archive is removed in the end.
        State::Deleted { .. } => world.vault.kept.is_empty(),
        State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. } => false,
    };
    rests && untold(world).is_none() && world.vault.litter.is_empty()
}

/// Returns what people are to be told and were not told yet.
fn untold(world: &World) -> Option<Notice> {
    notice(world).filter(|notice| world.talk.told.as_ref() != Some(&told(world, notice)))
}

/// Returns what is remembered once people were told `notice` about `world`.
pub(crate) fn told(world: &World, notice: &Notice) -> Told {
    Told { generation: world.generation, sentence: words::notice(world, notice) }
}

/// Returns what people are shown of the world as it is, unless that is nothing.
pub fn notice(world: &World) -> Option<Notice> {
    match &world.state {
        State::Asleep => Some(Notice::Asleep(world.last.as_ref().map(|s| s.outcome.clone()))),
        State::Starting { launch: Launch { errand: Some(errand), asked, .. }, .. }
        | State::Stopping { launch: Launch { errand: Some(errand), asked, .. }, .. } => {
            Some(Notice::Working(errand.clone(), asked.clone()))
        }
        State::Starting { launch, .. } => Some(Notice::Waking(launch.asked.clone())),
        State::Awake { heard: Heard { stops_at: Some(at), players: Evidence::Players(_), .. }, .. } => {
            Some(if is_of_cap(world, *at) { Notice::CapNear(*at) } else { Notice::AllAway(*at) })
        }
        State::Awake { heard: Heard { stops_at: Some(at), .. }, .. } => Some(Notice::Warned(*at)),
        State::Awake { address, .. } => Some(Notice::Awake(address.clone())),
        State::Stopping { why, .. } => Some(Notice::Stopping(why.clone())),
        State::Ending { .. } | State::Deleting { .. } => None,
        State::Deleted { .. } => Some(Notice::Deleted),
    }
}

/// Tells whether a stop that is near while players are on is that of the cap. Otherwise none of them moves.
pub fn is_of_cap(world: &World, stops_at: Timestamp) -> bool {
    /// The watchdog counts from when the game was ready, and is heard a little later.
    const LATENESS: Duration = Duration::from_secs(60);
    match &world.state {
        State::Awake { deadline, .. } => {
            world.timers.afk.is_zero() || stops_at >= *deadline - CAP_MARGIN - LATENESS
        }
        State::Asleep
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => true,
    }
}

/// What a watchdog is told in answer to its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orders {
    /// Go on; the idle timers are off until the given time.
    Run {
        /// Until when the world is to be kept awake.
        keep_until: Option<Timestamp>,
        /// Make an archive, asked for at this time, while the game goes on.
        backup: Option<Timestamp>,
    },
    /// Put into the world's directory what there is to get, in place of what is there.
    Fill,
    /// Save, archive, upload.
    Stop(StopWhy),
    /// The archive of this id is not whole: make another one.
    UploadAgain(ArchiveId),
    /// Nothing more is wanted: end, after the archive of this launch was found whole or was given up.
    End(Files),
    /// This launch is not the current one: save, end, and upload nothing.
    Abandon,
}

/// What becomes of the world's files when its task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// They stay.
    Stay,
    /// They are removed: an archive holds them.
    Go,
}

/// Returns what the watchdog of launch `generation` shall do.
pub fn orders(world: &World, generation: Generation) -> Orders {
    if require_current(world, generation).is_err() {
        return Orders::Abandon;
    }
    match &world.state {
        State::Starting { step: StartStep::Filling { .. }, .. } => Orders::Fill,
        State::Starting { .. } => Orders::Run { keep_until: None, backup: None },
        State::Awake { keep, backup, .. } => Orders::Run {
            keep_until: keep.as_ref().map(|(_, until)| *until),
            backup: backup
                .as_ref()
                .filter(|backup| backup.step == BackupStep::Wanted)
                .map(|backup| backup.at),
        },
        State::Stopping { step: StopStep::Filling, .. } => Orders::Fill,
        State::Stopping { step: StopStep::Rejected(_, id), .. } => Orders::UploadAgain(id.clone()),
        State::Stopping { why, .. } => Orders::Stop(why.clone()),
        State::Ending { .. } => Orders::End(files(world)),
        State::Asleep | State::Deleting { .. } | State::Deleted { .. } => Orders::Abandon,
    }
}

/// Returns what becomes of the files of a world whose launch ends.
pub(crate) fn files(world: &World) -> Files {
    match world.vault.care.storage {
        Storage::Archive if world.vault.same_as.is_some() => Files::Go,
        Storage::Archive | Storage::Directory => Files::Stay,
    }
}
