//! THE machine: the one place where a world's state changes.
//!
//! [`step`] decides what an event does to a world. It is pure: the driver saves what it returns, and only then performs what
//! the saved state asks for ([`crate::effect`]). Each effect may run twice: a crash between the two heals at the next look.
//!
//! ```text
//!                  start                launched            claimed
//!      ┌────────┐ ───────► Launching ─────────────► Launched ───────► Claimed ──── ready ───► ┌───────┐
//!      │ Asleep │          └───────────────── Starting ──────────────────┘                    │ Awake │
//!      └────────┘               │ stop, refused       │ late                │ stop, late,     └───────┘
//!        ▲    ▲                 │ or late             │                     │ stop began          │ stop, cap,
//!        │    │                 ▼                     ▼                     ▼                     ▼ stop began
//!        │    │ task gone   ┌────────┐   checked,   ┌─────────────────── Stopping ────────────────────┐
//!        │    └──────────── │ Ending │ ◄─────────── │ Asked ──► Saving ──► Saved ──► Uploaded         │
//!        │ (or on to        └────────┘   gave up,   │                            again ▲ │ not whole  │
//!        │  Starting, when               or late    │                                  │ ▼            │
//!        │  somebody asked)                         │                               Rejected          │
//!        │                                          └─────────────────────────────────────────────────┘
//!        │
//!        │ delete (typed the name, archived)     erased
//!        └──────────────────────────► Deleting ────────► Deleted
//! ```
//!
//! A task that is gone before its time (crashed, reclaimed, out of memory) brings every state on the way straight back
//! to `Asleep` with what happened in [`World::last`]; only an uploaded archive is still checked first. The generation
//! counts up at each launch, and an event of another generation is refused: a watchdog that comes back from a long pause
//! changes nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    effect::{notice, told},
    event::{Event, Gone},
    idle::{Evidence, Timers},
    refusal::Refusal,
    talk::{CardId, Place, Talk, Told},
    world::{
        Address, Archive, Asked, Force, GameId, Generation, GuildId, Heard, Launch, MOST_PAST, Milestone,
        Outcome, Person, Proof, Session, StartStep, State, StopStep, StopWhy, TaskId, Then, World, WorldId,
        WorldName,
    },
};

/// How long the runtime may take to accept a task. A worker that died meanwhile is made up for by several sweeps.
pub const LAUNCH_LIMIT: Duration = Duration::from_secs(3 * 60);

/// How long a task may take until its watchdog owns the world: placement, image pull, and the wait for the lock.
pub const CLAIM_LIMIT: Duration = Duration::from_secs(8 * 60);

/// The outer bound for a game to become ready. The watchdog keeps the catalogue's own limit, which is shorter.
pub const READY_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How long after the hard cap the control plane waits for the watchdog to see to it.
pub const CAP_MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long the watchdog may take to take the order to stop.
pub const HEED_LIMIT: Duration = Duration::from_secs(3 * 60);

/// The outer bound of a save. The catalogue's grace, which the watchdog keeps, is at most 8 minutes.
pub const SAVE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// How long archive and upload may take: 10 GB at the 1 MiB/s that EFS guarantees.
pub const ARCHIVE_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// How long the check of an uploaded archive may take.
pub const CHECK_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long a task may take to end when told gently: ECS gives it 120 s.
pub const END_LIMIT: Duration = Duration::from_secs(4 * 60);

/// After how long a kill, or the removal of a deleted world's files, is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a new world is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorld {
    /// Its id, never used before.
    pub id: WorldId,
    /// Whose it is.
    pub guild: GuildId,
    /// What people call it.
    pub name: WorldName,
    /// The game that plays it.
    pub game: GameId,
    /// When it goes to sleep.
    pub timers: Timers,
    /// The first port that the game shall have, if not the runtime's choice.
    pub port: Option<u16>,
    /// Where people are told about it, if anywhere.
    pub place: Option<Place>,
}

/// Returns a new world, asleep.
pub fn create(new: NewWorld, by: Person, now: Timestamp) -> World {
    let NewWorld { id, guild, name, game, timers, port, place } = new;
    let mut world = World {
        id,
        guild,
        name,
        game,
        created: Asked { by, at: now },
        timers,
        port,
        generation: Generation(0),
        claimed: None,
        archive: None,
        last: None,
        past: Vec::new(),
        talk: Talk { place, ..Talk::default() },
        state: State::Asleep,
    };
    // Whoever makes it is told so; nobody else needs to be.
    world.talk.told = notice(&world).map(|notice| told(&world, &notice));
    world
}

/// Decides what `event` does to `world` at `now`.
///
/// What is asked for and already so, and what is said twice, succeeds and changes nothing.
pub fn step(world: &World, event: Event, now: Timestamp) -> Result<World, Refusal> {
    if let Some(generation) = event.generation() {
        require_current(world, generation)?;
    }
    match event {
        Event::Start { by } => start(world, Asked { by, at: now }),
        Event::Stop { by } => stop(world, Asked { by, at: now }),
        Event::Keep { by, until } => keep(world, Asked { by, at: now }, until),
        Event::Set { timers } => set(world, timers),
        Event::Follow(follower) => Ok(World { talk: world.talk.followed_by(follower, now), ..world.clone() }),
        Event::Place(place) => Ok(placed(world, place)),
        Event::Told { told, card } => Ok(told_of(world, told, card)),
        Event::Delete { by, typed } => delete(world, Asked { by, at: now }, &typed),
        Event::Launched { task, .. } => Ok(launched(world, task, now)),
        Event::LaunchRefused { why, .. } => Ok(launch_refused(world, why, now)),
        Event::Heard { generation, task } => heard_of(world, generation, &task),
        Event::Claimed { task, .. } => Ok(claimed(world, task, now)),
        Event::Ready { address, .. } => Ok(ready(world, address, now)),
        Event::StartFailed { why, .. } => Ok(start_failed(world, why, now)),
        Event::Seen { players, stops_at, .. } => Ok(seen(world, Heard { at: now, players, stops_at })),
        Event::StopBegan { why, .. } => Ok(stop_began(world, why, now)),
        Event::Saved { proof, .. } => Ok(saved(world, proof, now)),
        Event::Uploaded { archive, .. } => Ok(uploaded(world, archive, now)),
        Event::ArchiveFailed { why, .. } => Ok(archive_failed(world, why, now)),
        Event::Checked { archive, .. } => Ok(checked(world, archive, now)),
        Event::CheckFailed { archive, .. } => Ok(check_failed(world, &archive, now)),
        Event::TaskGone { task, how, .. } => Ok(task_gone(world, task.as_ref(), &how, now)),
        Event::Erased => Ok(erased(world, now)),
        Event::Tick => Ok(tick(world, now)),
    }
}

/// Refuses what belongs to another launch than the current one.
pub(crate) fn require_current(world: &World, generation: Generation) -> Result<(), Refusal> {
    if world.launch().is_some_and(|launch| launch.generation == generation) {
        Ok(())
    } else {
        Err(Refusal::StaleLaunch { name: world.name.clone(), generation })
    }
}

// What people ask for.

fn start(world: &World, asked: Asked) -> Result<World, Refusal> {
    match &world.state {
        State::Asleep => {
            let now = asked.at;
            Ok(starting(world, asked, now))
        }
        State::Starting { .. } | State::Awake { .. } => Ok(world.clone()),
        State::Stopping { then: Then::Start(_), .. } | State::Ending { then: Then::Start(_), .. } => {
            Ok(world.clone())
        }
        State::Stopping { then: Then::Sleep, .. } | State::Ending { then: Then::Sleep, .. } => {
            Ok(followed_by(world, Then::Start(asked)))
        }
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

fn stop(world: &World, asked: Asked) -> Result<World, Refusal> {
    match &world.state {
        State::Asleep => Ok(world.clone()),
        State::Starting { launch, step: StartStep::Launching | StartStep::Launched { .. }, .. } => {
            let at = asked.at;
            Ok(ending(world, launch, world.task(), Outcome::Cancelled(asked), Then::Sleep, at))
        }
        State::Starting { launch, step: StartStep::Claimed { task }, .. }
        | State::Awake { launch, task, .. } => {
            let at = asked.at;
            Ok(stopping(world, launch, task, StopWhy::Asked(asked), StopStep::Asked, Then::Sleep, at))
        }
        State::Stopping { .. } | State::Ending { .. } => Ok(followed_by(world, Then::Sleep)),
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

fn keep(world: &World, asked: Asked, until: Timestamp) -> Result<World, Refusal> {
    match &world.state {
        State::Awake { deadline, .. } => {
            if until <= asked.at {
                return Err(Refusal::KeepInThePast(world.name.clone()));
            }
            let cap = *deadline - CAP_MARGIN;
            if cap <= asked.at {
                return Err(Refusal::AtItsCap(world.name.clone()));
            }
            let until = until.min(cap);
            let mut next = world.clone();
            if let State::Awake { keep, heard, .. } = &mut next.state {
                *keep = Some((asked, until));
                heard.stops_at = None;
            }
            Ok(next)
        }
        State::Asleep | State::Starting { .. } => Err(Refusal::NotAwake(world.name.clone())),
        State::Stopping { .. } | State::Ending { .. } => Err(Refusal::GoingToSleep(world.name.clone())),
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

fn set(world: &World, timers: Timers) -> Result<World, Refusal> {
    match &world.state {
        State::Asleep => Ok(World { timers, ..world.clone() }),
        State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. } => {
            Err(Refusal::NotAsleep(world.name.clone()))
        }
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

/// A world is spoken of where it was spoken of first.
fn placed(world: &World, place: Place) -> World {
    let place = world.talk.place.clone().or(Some(place));
    World { talk: Talk { place, ..world.talk.clone() }, ..world.clone() }
}

fn told_of(world: &World, told: Told, card: Option<CardId>) -> World {
    World { talk: Talk { told: Some(told), card, ..world.talk.clone() }, ..world.clone() }
}

fn delete(world: &World, asked: Asked, typed: &str) -> Result<World, Refusal> {
    match &world.state {
        State::Asleep if typed != world.name.as_str() => Err(Refusal::NotConfirmed(world.name.clone())),
        State::Asleep if !world.is_archived() => Err(Refusal::NotArchived(world.name.clone())),
        State::Asleep => {
            let deadline = asked.at + RETRY_AFTER;
            Ok(with(world, State::Deleting { asked, deadline }))
        }
        State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. } => {
            Err(Refusal::NotAsleep(world.name.clone()))
        }
        State::Deleting { .. } | State::Deleted { .. } => Ok(world.clone()),
    }
}

// What the runtime says.

fn launched(world: &World, found: TaskId, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Launching, .. } => {
            let launch = launch.clone().passing(Milestone::Launched, now);
            let step = StartStep::Launched { task: found };
            with(world, State::Starting { launch, step, deadline: now + CLAIM_LIMIT })
        }
        State::Ending { task: None, .. } => ending_named(world, found),
        State::Starting { step: StartStep::Launched { .. } | StartStep::Claimed { .. }, .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { task: Some(_), .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn launch_refused(world: &World, why: String, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Launching, .. } => {
            settled(world, launch, Outcome::Failed(why), &Then::Sleep, now)
        }
        State::Ending { launch, task: None, outcome, then, .. } => {
            settled(world, launch, outcome.clone(), then, now)
        }
        State::Starting { step: StartStep::Launched { .. } | StartStep::Claimed { .. }, .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { task: Some(_), .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn task_gone(world: &World, gone: Option<&TaskId>, how: &Gone, now: Timestamp) -> World {
    // Neither another task nor a search that found none says anything about a task that was named meanwhile.
    if world.task().is_some() && gone != world.task() {
        return world.clone();
    }
    match &world.state {
        // A launch is only lost once the runtime has had its time: the request may still be on its way.
        State::Starting { step: StartStep::Launching, .. } => world.clone(),
        State::Ending { task: None, deadline, .. } if now < *deadline => world.clone(),
        State::Starting { launch, step: StartStep::Launched { .. } | StartStep::Claimed { .. }, .. } => {
            settled(world, launch, Outcome::Failed(how.words()), &Then::Sleep, now)
        }
        State::Awake { launch, .. } => settled(world, launch, Outcome::Lost(how.words()), &Then::Sleep, now),
        State::Stopping { launch, step: StopStep::Asked | StopStep::Saving, then, .. } => {
            let why = format!("{} before it had saved", how.words());
            settled(world, launch, Outcome::Lost(why), then, now)
        }
        State::Stopping { launch, why, step: StopStep::Saved(_) | StopStep::Rejected(..), then, .. } => {
            settled(world, launch, Outcome::NotArchived(why.clone(), how.words()), then, now)
        }
        // The archive is on the receiving side or it is not; the task is not needed to find out.
        State::Stopping { step: StopStep::Uploaded(..), .. } => world.clone(),
        State::Ending { launch, outcome, then, .. } => settled(world, launch, outcome.clone(), then, now),
        State::Asleep | State::Deleting { .. } | State::Deleted { .. } => world.clone(),
    }
}

fn erased(world: &World, now: Timestamp) -> World {
    match &world.state {
        State::Deleting { asked, .. } => with(world, State::Deleted { asked: asked.clone(), at: now }),
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

// What the watchdog says.

/// Refuses the watchdog of a second task of the launch. Until one of them owns the world, each may speak; from then on
/// only that one.
fn heard_of(world: &World, generation: Generation, task: &TaskId) -> Result<World, Refusal> {
    let has_owner = !matches!(&world.state, State::Starting { step: StartStep::Launched { .. }, .. });
    if has_owner && world.task().is_some_and(|known| known != task) {
        return Err(Refusal::StaleLaunch { name: world.name.clone(), generation });
    }
    Ok(world.clone())
}

fn claimed(world: &World, task: TaskId, now: Timestamp) -> World {
    let world = World { claimed: Some(world.generation), ..world.clone() };
    match &world.state {
        State::Starting { launch, step: StartStep::Launching | StartStep::Launched { .. }, .. } => {
            let launch = launch.clone().passing(Milestone::Launched, now).passing(Milestone::Claimed, now);
            with(
                &world,
                State::Starting { launch, step: StartStep::Claimed { task }, deadline: now + READY_LIMIT },
            )
        }
        State::Ending { task: None, .. } => ending_named(&world, task),
        State::Starting { step: StartStep::Claimed { .. }, .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { task: Some(_), .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world,
    }
}

fn ready(world: &World, address: Address, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Claimed { task }, .. } => {
            let launch = launch.clone().passing(Milestone::Ready, now);
            let heard =
                Heard { at: now, players: Evidence::Unknown("not looked yet".into()), stops_at: None };
            let deadline = now + world.timers.cap + CAP_MARGIN;
            with(world, State::Awake { launch, task: task.clone(), address, heard, keep: None, deadline })
        }
        State::Starting { step: StartStep::Launching | StartStep::Launched { .. }, .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn start_failed(world: &World, why: String, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, .. } => {
            ending(world, launch, world.task(), Outcome::Failed(why), Then::Sleep, now)
        }
        State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn seen(world: &World, now_heard: Heard) -> World {
    let mut next = world.clone();
    if let State::Awake { heard, .. } = &mut next.state {
        let stops_at = steady(heard.stops_at, now_heard.stops_at);
        *heard = Heard { stops_at, ..now_heard };
    }
    next
}

/// Returns the time that people were told of, unless it has really changed: reports are seconds apart and on their way
/// for some time, and nobody wants to be told each time.
fn steady(told: Option<Timestamp>, new: Option<Timestamp>) -> Option<Timestamp> {
    const JITTER: Duration = Duration::from_secs(10);
    match (told, new) {
        (Some(told), Some(new)) if new < told + JITTER && told < new + JITTER => Some(told),
        (_, new) => new,
    }
}

fn stop_began(world: &World, why: StopWhy, now: Timestamp) -> World {
    match &world.state {
        State::Starting {
            launch, step: StartStep::Launched { task } | StartStep::Claimed { task }, ..
        }
        | State::Awake { launch, task, .. } => {
            stopping(world, launch, task, why, StopStep::Saving, Then::Sleep, now)
        }
        State::Stopping { launch, task, why, step: StopStep::Asked, then, .. } => {
            stopping(world, launch, task, why.clone(), StopStep::Saving, then.clone(), now)
        }
        State::Stopping {
            step: StopStep::Saving | StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..),
            ..
        }
        | State::Starting { step: StartStep::Launching, .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn saved(world: &World, proof: Proof, now: Timestamp) -> World {
    match &world.state {
        State::Stopping { launch, task, why, step: StopStep::Asked | StopStep::Saving, then, .. } => {
            let launch = launch.clone().passing(Milestone::Saved, now);
            stopping(world, &launch, task, why.clone(), StopStep::Saved(proof), then.clone(), now)
        }
        State::Stopping {
            step: StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..),
            ..
        }
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn uploaded(world: &World, archive: Archive, now: Timestamp) -> World {
    match &world.state {
        // It is said again until the watchdog has heard that it was rejected.
        State::Stopping { step: StopStep::Rejected(_, rejected), .. } if *rejected == archive.id => {
            world.clone()
        }
        State::Stopping {
            launch,
            task,
            why,
            step: StopStep::Saved(proof) | StopStep::Rejected(proof, _),
            then,
            ..
        } => {
            let launch = launch.clone().passing(Milestone::Uploaded, now);
            let step = StopStep::Uploaded(proof.clone(), archive);
            stopping(world, &launch, task, why.clone(), step, then.clone(), now)
        }
        State::Stopping { step: StopStep::Asked | StopStep::Saving | StopStep::Uploaded(..), .. }
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn archive_failed(world: &World, reason: String, now: Timestamp) -> World {
    match &world.state {
        State::Stopping {
            launch,
            task,
            why,
            step: StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..),
            then,
            ..
        } => {
            let outcome = Outcome::NotArchived(why.clone(), reason);
            ending(world, launch, Some(task), outcome, then.clone(), now)
        }
        State::Stopping { step: StopStep::Asked | StopStep::Saving, .. }
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn checked(world: &World, archive: Archive, now: Timestamp) -> World {
    match &world.state {
        State::Stopping { launch, task, why, step: StopStep::Uploaded(proof, claim), then, .. }
            if *claim == archive =>
        {
            let launch = launch.clone().passing(Milestone::Archived, now);
            let next = World { archive: Some(archive), ..world.clone() };
            ending(&next, &launch, Some(task), Outcome::Slept(why.clone(), proof.clone()), then.clone(), now)
        }
        State::Stopping { .. }
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn check_failed(world: &World, archive: &Archive, now: Timestamp) -> World {
    match &world.state {
        State::Stopping { launch, task, why, step: StopStep::Uploaded(proof, claim), then, .. }
            if claim == archive =>
        {
            let step = StopStep::Rejected(proof.clone(), archive.id.clone());
            stopping(world, launch, task, why.clone(), step, then.clone(), now)
        }
        State::Stopping { .. }
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

// What the clock says.

fn tick(world: &World, now: Timestamp) -> World {
    if world.deadline().is_none_or(|deadline| now < deadline) {
        return world.clone();
    }
    match &world.state {
        State::Starting { launch, step: StartStep::Launching, .. } => {
            let outcome = Outcome::Failed("no task could be started in time".into());
            ending(world, launch, None, outcome, Then::Sleep, now)
        }
        State::Starting { launch, step: StartStep::Launched { task }, .. } => {
            let outcome = Outcome::Failed("its task was started but its watchdog was never heard of".into());
            ending(world, launch, Some(task), outcome, Then::Sleep, now)
        }
        State::Starting { launch, step: StartStep::Claimed { task }, .. } => {
            stopping(world, launch, task, StopWhy::NeverReady, StopStep::Asked, Then::Sleep, now)
        }
        State::Awake { launch, task, .. } => {
            stopping(world, launch, task, StopWhy::Cap, StopStep::Asked, Then::Sleep, now)
        }
        State::Stopping { launch, task, step: StopStep::Asked | StopStep::Saving, then, .. } => {
            let outcome = Outcome::Lost("the save was not confirmed in time".into());
            ending(world, launch, Some(task), outcome, then.clone(), now)
        }
        State::Stopping {
            launch,
            task,
            why,
            step: StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..),
            then,
            ..
        } => {
            let outcome = Outcome::NotArchived(why.clone(), "the archive was not confirmed in time".into());
            ending(world, launch, Some(task), outcome, then.clone(), now)
        }
        // Without a task to wait for, the end of the time is the end of the launch; a task that turns up later is one
        // that no world knows, and the sweep ends it.
        State::Ending { launch, task: None, outcome, then, .. } => {
            settled(world, launch, outcome.clone(), then, now)
        }
        State::Ending { .. } | State::Deleting { .. } => retried(world, now),
        State::Asleep | State::Deleted { .. } => world.clone(),
    }
}

// How the next state is made.

fn with(world: &World, state: State) -> World {
    World { state, ..world.clone() }
}

fn starting(world: &World, asked: Asked, now: Timestamp) -> World {
    let generation = world.generation.next();
    let deadline = now + LAUNCH_LIMIT;
    let launch = Launch { generation, asked, passed: Vec::new() };
    let state = State::Starting { launch, step: StartStep::Launching, deadline };
    World { generation, state, ..world.clone() }
}

fn stopping(
    world: &World,
    launch: &Launch,
    task: &TaskId,
    why: StopWhy,
    step: StopStep,
    then: Then,
    now: Timestamp,
) -> World {
    let limit = match step {
        StopStep::Asked => HEED_LIMIT,
        StopStep::Saving => SAVE_LIMIT,
        StopStep::Saved(_) | StopStep::Rejected(..) => ARCHIVE_LIMIT,
        StopStep::Uploaded(..) => CHECK_LIMIT,
    };
    let launch = launch.clone().passing(Milestone::Stopping, now);
    with(world, State::Stopping { launch, task: task.clone(), why, step, then, deadline: now + limit })
}

fn ending(
    world: &World,
    launch: &Launch,
    task: Option<&TaskId>,
    outcome: Outcome,
    then: Then,
    now: Timestamp,
) -> World {
    let (launch, task, deadline) = (launch.clone(), task.cloned(), now + END_LIMIT);
    with(world, State::Ending { launch, task, outcome, force: Force::Gentle, then, deadline })
}

/// Returns the world, whose launch ends, with the task that turned out to be the launch's: now it is waited for.
fn ending_named(world: &World, found: TaskId) -> World {
    let mut next = world.clone();
    if let State::Ending { task, .. } = &mut next.state {
        *task = Some(found);
    }
    next
}

fn settled(world: &World, launch: &Launch, outcome: Outcome, then: &Then, now: Timestamp) -> World {
    let launch = launch.clone().passing(Milestone::Ended, now);
    let past = world.last.iter().chain(&world.past).take(MOST_PAST).cloned().collect();
    let last = Some(Session { launch, outcome });
    let asleep = World { last, past, state: State::Asleep, ..world.clone() };
    match then {
        Then::Sleep => asleep,
        Then::Start(asked) => starting(&asleep, asked.clone(), now),
    }
}

fn followed_by(world: &World, next: Then) -> World {
    let mut changed = world.clone();
    if let State::Stopping { then, .. } | State::Ending { then, .. } = &mut changed.state {
        *then = next;
    }
    changed
}

fn retried(world: &World, now: Timestamp) -> World {
    let mut next = world.clone();
    match &mut next.state {
        State::Ending { force, deadline, .. } => (*force, *deadline) = (Force::Kill, now + RETRY_AFTER),
        State::Deleting { deadline, .. } => *deadline = now + RETRY_AFTER,
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Deleted { .. } => {}
    }
    next
}
