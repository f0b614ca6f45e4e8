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
//! A launch may be an errand, which nobody plays: as soon as its watchdog owns the world it goes to `Saved`, so that what is
//! there is archived; what is to take its place is put there (`Filling`) before it ends. A world that lives in its
//! archives alone has its directory filled between `Launched` and `Claimed`.
//!
//! A task that is gone before its time (crashed, reclaimed, out of memory) brings every state on the way straight back
//! to `Asleep` with what happened in [`World::last`]; only an uploaded archive is still checked first. The generation
//! counts up at each launch, and an event of another generation is refused: a watchdog that comes back from a long pause
//! changes nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    attendance::{Attendance, MOST_PAST_SPANS},
    effect::{Files, files, notice, told},
    event::{Event, Gone},
    idle::{Evidence, TimerChoices, Timers},
    refusal::Refusal,
    settings::{Choices, Chosen},
    sight::Sight,
    talk::{CardId, Place, Talk, Told},
    vault::{Care, CareChoices, ExportLink, Kept, KeptWhy, LinkOf, Litter, Storage, Vault},
    world::{
        Address, Archive, ArchiveId, Asked, Backup, BackupStep, Errand, Force, GameId, Generation, GuildId,
        Heard, Launch, LinkId, MOST_PAST, Milestone, Outcome, Person, Proof, Session, StartStep, State,
        StopStep, StopWhy, TaskId, Then, World, WorldId, WorldName,
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

/// How long a watchdog may take to say that its world's longest time is not over, though it seems to be. It counts that time
/// by a clock that nobody sets; the control plane's may just have been set, and those of its machines differ. It is counted
/// from when a look began, which may take four minutes.
pub const SECOND_CHANCE: Duration = Duration::from_secs(10 * 60);

/// What is known of the players before the watchdog has looked.
const NOT_LOOKED: &str = "not looked yet";

/// What is known of the players until the watchdog has said so.
const DOUBTED: &str = "its watchdog is asked for how long it has been awake";

/// By how much the longest time may be over sooner or later than the watchdog's count says: reports are on their way for some
/// time, and clocks differ.
const CAP_JITTER: Duration = Duration::from_secs(60);

/// By how much clocks that were set wrong may differ.
const WRONG_CLOCKS: Duration = Duration::from_secs(2 * 60 * 60);

/// By how much clocks that are right may differ.
const CLOCKS: Duration = Duration::from_secs(2 * 60);

/// How long after a sign of life of its watchdog it is not believed that a task never existed: runtimes show what they did only
/// after a while, ECS without promising when (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>, which
/// counts on up to five minutes).
pub const SHOWN_WITHIN: Duration = Duration::from_secs(5 * 60);

/// How late a deadline is found to be over by a control plane that was away meanwhile, or could not reach its store: looks
/// are a minute apart. What watchdogs had to say, nobody heard.
const AWAY: Duration = Duration::from_secs(2 * 60);

/// How long they then have to say it: several times as long as there is between two tries, counted from when a look began,
/// which may take four minutes.
pub const CATCH_UP: Duration = Duration::from_secs(7 * 60);

/// How long the watchdog may take to take the order to stop.
pub const HEED_LIMIT: Duration = Duration::from_secs(3 * 60);

/// The outer bound of a save. The catalogue's grace, which the watchdog keeps, is at most 8 minutes.
pub const SAVE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// How long archive and upload may take: 10 GB at the 1 MiB/s that EFS guarantees.
pub const ARCHIVE_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// How long it may take to fill a world's directory: as long as to archive it.
pub const FILL_LIMIT: Duration = ARCHIVE_LIMIT;

/// How long an archive may take that is made while the world is awake, its check included.
pub const BACKUP_LIMIT: Duration = Duration::from_secs(60 * 60);

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
    /// How its archives are looked after.
    pub care: Care,
    /// What was chosen of its game's settings.
    pub settings: Chosen,
    /// The first port that the game shall have, if not the runtime's choice.
    pub port: Option<u16>,
    /// Where people are told about it, if anywhere.
    pub place: Option<Place>,
}

/// Returns a new world, asleep.
pub fn create(new: NewWorld, by: Person, now: Timestamp) -> World {
    let NewWorld { id, guild, name, game, timers, care, settings, port, place } = new;
    let mut world = World {
        id,
        guild,
        name,
        game,
        created: Asked { by, at: now },
        timers,
        settings,
        port,
        generation: Generation(0),
        claimed: None,
        vault: Vault::new(care),
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
        Event::Set { timers, care, settings } => set(world, timers, care, &settings),
        Event::Errand { by, errand } => run_errand(world, Asked { by, at: now }, errand),
        Event::Export { by, link, archive, expires } => {
            export(world, Asked { by, at: now }, link, archive, expires)
        }
        Event::Withdraw { link } => withdraw(world, link.as_ref()),
        Event::Downloaded { link } => Ok(World { vault: world.vault.followed(&link), ..world.clone() }),
        Event::Follow(follower) => Ok(World { talk: world.talk.followed_by(follower, now), ..world.clone() }),
        Event::Place(place) => Ok(placed(world, place)),
        Event::Told { told, card, instead_of } => Ok(told_of(world, told, card, instead_of.as_ref())),
        Event::NotTold { instead_of } => Ok(not_told(world, instead_of.as_ref())),
        Event::Delete { by, typed } => delete(world, Asked { by, at: now }, &typed),
        Event::Launched { task, .. } => Ok(launched(world, task, now)),
        Event::LaunchRefused { why, .. } => Ok(launch_refused(world, why, now)),
        Event::Heard { generation, task } => heard_of(world, generation, &task),
        Event::Claimed { task, .. } => Ok(claimed(world, task, now)),
        Event::Ready { address, .. } => Ok(ready(world, address, now)),
        Event::StartFailed { why, .. } => Ok(start_failed(world, why, now)),
        Event::Seen { players, stops_at, .. } => Ok(seen(world, Heard { at: now, players, stops_at })),
        Event::Attended { attendance, sources, .. } => Ok(attended(world, attendance, sources, now)),
        Event::StopBegan { why, .. } => Ok(stop_began(world, why, now)),
        Event::Saved { proof, .. } => Ok(saved(world, proof, now)),
        Event::Uploaded { archive, .. } => Ok(uploaded(world, archive, now)),
        Event::ArchiveFailed { why, .. } => Ok(archive_failed(world, why, now)),
        Event::Checked { archive, .. } => Ok(checked(world, archive, now)),
        Event::CheckFailed { archive, .. } => Ok(check_failed(world, &archive, now)),
        Event::TaskGone { task, how, .. } => Ok(task_gone(world, task.as_ref(), &how, now)),
        Event::Unchanged { archive, .. } => Ok(unchanged(world, archive, now)),
        Event::BackedUp { wish, archive, .. } => {
            Ok(backed_up(world, wish, BackupStep::Uploaded(archive), now))
        }
        Event::BackupFailed { wish, why, .. } => Ok(backed_up(world, wish, BackupStep::Failed(why), now)),
        Event::Filled { found, .. } => Ok(filled(world, found, now)),
        Event::FillFailed { why, .. } => Ok(fill_failed(world, why, now)),
        Event::Erased => Ok(erased(world, now)),
        Event::Removed(litter) => Ok(removed(world, &litter)),
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
            Ok(starting(world, asked, None, now))
        }
        State::Starting { launch, .. } if launch.errand.is_some() => {
            Err(Refusal::OnErrand(world.name.clone()))
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
        State::Starting {
            launch,
            step: StartStep::Launching | StartStep::Launched { .. } | StartStep::Filling { .. },
            ..
        } => {
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
        State::Awake { launch, heard, deadline, .. } => {
            if until <= asked.at {
                return Err(Refusal::KeepInThePast(world.name.clone()));
            }
            let left = world.timers.cap.saturating_sub(launch.attendance.sums().watched);
            let cap = if is_doubted(heard) { asked.at + left } else { *deadline - CAP_MARGIN };
            if cap <= asked.at {
                return Err(Refusal::AtItsCap(world.name.clone()));
            }
            let until = until.min(cap);
            let mut next = world.clone();
            if let State::Awake { keep, heard, .. } = &mut next.state {
                // Somebody else may count on the longer time.
                if keep.as_ref().is_none_or(|(_, known)| *known < until) {
                    *keep = Some((asked, until));
                }
                heard.stops_at = None;
            }
            Ok(next)
        }
        State::Asleep | State::Starting { .. } => Err(Refusal::NotAwake(world.name.clone())),
        State::Stopping { .. } | State::Ending { .. } => Err(Refusal::GoingToSleep(world.name.clone())),
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

fn set(world: &World, timers: TimerChoices, care: CareChoices, settings: &Choices) -> Result<World, Refusal> {
    if let (Some(setting), Some(_)) = (&settings.until_woken, world.claimed) {
        return Err(Refusal::ChosenAtCreate { name: world.name.clone(), setting: setting.clone() });
    }
    // A task is told its timers, and where the world lives, when it is launched.
    let needs_sleep =
        timers != TimerChoices::default() || care.storage.is_some() || settings.until_woken.is_some();
    match &world.state {
        State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. }
            if needs_sleep =>
        {
            Err(Refusal::NotAsleep(world.name.clone()))
        }
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. } => {
            let bad = |error: &dyn std::fmt::Display| Refusal::BadSetting(error.to_string());
            let timers = timers.over(world.timers).checked().map_err(|error| bad(&error))?;
            let care = care.over(world.vault.care).map_err(|error| bad(&error))?;
            let vault = Vault { care, ..world.vault.clone() };
            let settings = world.settings.with(settings);
            Ok(World { timers, vault, settings, ..world.clone() })
        }
        State::Deleting { .. } | State::Deleted { .. } => Err(Refusal::Deleted(world.name.clone())),
    }
}

fn run_errand(world: &World, asked: Asked, errand: Errand) -> Result<World, Refusal> {
    let name = || world.name.clone();
    if let Errand::Restore(archive) = &errand
        && world.vault.find(archive).is_none()
    {
        return Err(Refusal::NoSuchArchive { name: name(), archive: archive.clone() });
    }
    match (&world.state, &errand) {
        (State::Asleep, Errand::Backup) if world.claimed.is_none() => Err(Refusal::NothingYet(name())),
        // What is there is in an archive already.
        (State::Asleep, Errand::Backup) if world.is_archived() => Ok(world.clone()),
        (State::Asleep, _) => {
            let now = asked.at;
            Ok(starting(world, asked, Some(errand), now))
        }
        (State::Starting { launch, .. } | State::Stopping { launch, .. }, _)
            if launch.errand.as_ref() == Some(&errand) =>
        {
            Ok(world.clone())
        }
        (State::Starting { launch, .. } | State::Stopping { launch, .. }, _) if launch.errand.is_some() => {
            Err(Refusal::OnErrand(name()))
        }
        (State::Awake { .. }, Errand::Backup) => {
            let at = asked.at;
            Ok(wished(world, KeptWhy::Asked(asked.by), at))
        }
        // It is archived on its way to sleep.
        (State::Stopping { .. }, Errand::Backup) => Ok(world.clone()),
        (State::Starting { .. } | State::Ending { .. }, Errand::Backup) => Err(Refusal::Busy(name())),
        (
            State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. },
            Errand::Restore(_) | Errand::Import(_),
        ) => Err(Refusal::NotAsleep(name())),
        (State::Deleting { .. } | State::Deleted { .. }, _) => Err(Refusal::Deleted(name())),
    }
}

/// Returns the awake world with the wish for an archive, unless one is being made.
fn wished(world: &World, why: KeptWhy, at: Timestamp) -> World {
    let mut next = world.clone();
    if let State::Awake { backup, .. } = &mut next.state
        && !backup.as_ref().is_some_and(|backup| backup.step.is_under_way())
    {
        *backup = Some(Backup { why, at, step: BackupStep::Wanted, deadline: at + BACKUP_LIMIT });
    }
    next
}

fn export(
    world: &World,
    asked: Asked,
    id: LinkId,
    archive: Option<ArchiveId>,
    expires: Timestamp,
) -> Result<World, Refusal> {
    if world.vault.link(&id).is_some() {
        return Ok(world.clone());
    }
    if let State::Deleted { .. } = &world.state {
        return Err(Refusal::Deleted(world.name.clone()));
    }
    let of = link_of(world, archive)?;
    let mut next = match (&world.state, &of) {
        (State::Asleep, LinkOf::Next) => starting(world, asked.clone(), Some(Errand::Backup), asked.at),
        (_, LinkOf::Next) => wished(world, KeptWhy::Asked(asked.by.clone()), asked.at),
        (_, LinkOf::AfterNext | LinkOf::Archive(_) | LinkOf::Nothing(_)) => world.clone(),
    };
    let link = ExportLink { id, of, asked, expires, downloads: 0 };
    next.vault = next.vault.linked(link, &world.name)?;
    Ok(next)
}

/// Returns what a link to that archive, or to the newest state, downloads.
fn link_of(world: &World, archive: Option<ArchiveId>) -> Result<LinkOf, Refusal> {
    if let Some(archive) = archive {
        return match world.vault.find(&archive) {
            Some(_) => Ok(LinkOf::Archive(archive)),
            None => Err(Refusal::NoSuchArchive { name: world.name.clone(), archive }),
        };
    }
    match &world.state {
        // That copy may be older than what is there now.
        State::Awake { backup: Some(backup), .. } if backup.step.is_under_way() => Ok(LinkOf::AfterNext),
        State::Awake { .. } => Ok(LinkOf::Next),
        State::Stopping { launch, .. } if launch.errand.is_none() => Ok(LinkOf::Next),
        // What was played since the newest archive is archived first.
        State::Asleep if !world.is_archived() => Ok(LinkOf::Next),
        // So it is by an errand, before anything takes its place.
        State::Starting { launch, .. } if launch.errand.is_some() && !world.is_archived() => Ok(LinkOf::Next),
        State::Stopping { step, .. } if *step != StopStep::Filling && !world.is_archived() => {
            Ok(LinkOf::Next)
        }
        State::Asleep
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => {
            let current = world.vault.current().ok_or_else(|| Refusal::NoArchive(world.name.clone()))?;
            Ok(LinkOf::Archive(current.archive.id.clone()))
        }
    }
}

fn withdraw(world: &World, link: Option<&LinkId>) -> Result<World, Refusal> {
    match link {
        Some(id) if world.vault.link(id).is_none() => {
            Err(Refusal::NoSuchLink { name: world.name.clone(), link: id.clone() })
        }
        Some(_) | None => Ok(World { vault: world.vault.withdrawn(link), ..world.clone() }),
    }
}

/// A world is spoken of where it was spoken of first.
fn placed(world: &World, place: Place) -> World {
    let place = world.talk.place.clone().or(Some(place));
    World { talk: Talk { place, ..world.talk.clone() }, ..world.clone() }
}

/// Takes note of what people were told. If somebody else has told them something meanwhile, nobody knows which of the two
/// they see: they are told again.
fn told_of(world: &World, told: Told, card: Option<CardId>, instead_of: Option<&Told>) -> World {
    let known = world.talk.told.as_ref();
    let told = (known == instead_of || known == Some(&told)).then_some(told);
    World { talk: Talk { told, card, ..world.talk.clone() }, ..world.clone() }
}

/// Takes note that people may see what somebody meant to tell them. Where somebody else has told them something meanwhile, they
/// are told again; otherwise they are in any case.
fn not_told(world: &World, instead_of: Option<&Told>) -> World {
    let told = world.talk.told.clone().filter(|known| Some(known) == instead_of);
    World { talk: Talk { told, ..world.talk.clone() }, ..world.clone() }
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
        State::Starting {
            step: StartStep::Launched { .. } | StartStep::Filling { .. } | StartStep::Claimed { .. },
            ..
        }
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
        State::Starting {
            step: StartStep::Launched { .. } | StartStep::Filling { .. } | StartStep::Claimed { .. },
            ..
        }
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
    if *how == Gone::NeverExisted && was_heard_lately(world, now) {
        return world.clone();
    }
    match &world.state {
        // A launch is only lost once the runtime has had its time: the request may still be on its way.
        State::Starting { step: StartStep::Launching, .. } => world.clone(),
        State::Ending { task: None, deadline, .. } if now < *deadline => world.clone(),
        State::Starting {
            launch,
            step: StartStep::Launched { .. } | StartStep::Filling { .. } | StartStep::Claimed { .. },
            ..
        } => settled(world, launch, Outcome::Failed(how.words()), &Then::Sleep, now),
        State::Awake { launch, .. } => settled(world, launch, Outcome::Lost(how.words()), &Then::Sleep, now),
        State::Stopping { launch, step: StopStep::Asked | StopStep::Saving, then, .. } => {
            let why = format!("{} before it had saved", how.words());
            settled(world, launch, Outcome::Lost(why), then, now)
        }
        State::Stopping { launch, step: StopStep::Filling, then, .. } => {
            let outcome = Outcome::Lost(format!("{} while its directory was filled", how.words()));
            settled(&half_filled(world), launch, outcome, then, now)
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

/// Tells whether the launch, whose watchdog has said something, has come on lately.
fn was_heard_lately(world: &World, now: Timestamp) -> bool {
    let heard = world.awake().map(|(_, heard)| heard.at);
    let launch = world.launch();
    let said = launch.filter(|launch| launch.passed_at(Milestone::Claimed).is_some());
    let said = said.and_then(|launch| launch.passed.iter().map(|(_, at)| *at).max());
    let last = heard.into_iter().chain(said).max();
    last.is_some_and(|last| last <= now + WRONG_CLOCKS && now < last + SHOWN_WITHIN)
}

fn erased(world: &World, now: Timestamp) -> World {
    match &world.state {
        State::Deleting { asked, .. } => {
            let world = World { vault: world.vault.of_deleted(), ..world.clone() };
            with(&world, State::Deleted { asked: asked.clone(), at: now })
        }
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn removed(world: &World, gone: &Litter) -> World {
    let mut next = world.clone();
    next.vault.litter.retain(|litter| litter != gone);
    next
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
    let was_new = world.claimed.is_none();
    let world = World { claimed: Some(world.generation), ..world.clone() };
    match &world.state {
        State::Starting { launch, step: StartStep::Launching | StartStep::Launched { .. }, .. } => {
            let launch = launch.clone().passing(Milestone::Launched, now).passing(Milestone::Claimed, now);
            match &launch.errand {
                None if is_to_be_filled(&world) => {
                    let step = StartStep::Filling { task };
                    with(&world, State::Starting { launch, step, deadline: now + FILL_LIMIT })
                }
                None => loading(&world, launch, task, now),
                // There is nothing to archive, or it is in an archive alone.
                Some(Errand::Restore(_) | Errand::Import(_)) if was_new || is_to_be_filled(&world) => {
                    on_errand(&world, &launch, &task, StopStep::Filling, now)
                }
                Some(Errand::Backup | Errand::Restore(_) | Errand::Import(_)) => {
                    on_errand(&world, &launch, &task, StopStep::Saved(Proof::Untouched), now)
                }
            }
        }
        State::Ending { task: None, .. } => ending_named(&world, task),
        State::Starting { step: StartStep::Filling { .. } | StartStep::Claimed { .. }, .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { task: Some(_), .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world,
    }
}

/// Tells whether the world's files are in an archive alone.
fn is_to_be_filled(world: &World) -> bool {
    match world.vault.lives {
        Storage::Archive => world.vault.same_as.is_some(),
        Storage::Directory => false,
    }
}

/// Returns the world with the game coming up: from now on no archive is known to be the same as its files.
fn loading(world: &World, launch: Launch, task: TaskId, now: Timestamp) -> World {
    let vault = Vault { same_as: None, lives: Storage::Directory, ..world.vault.clone() };
    let state = State::Starting { launch, step: StartStep::Claimed { task }, deadline: now + READY_LIMIT };
    World { vault, state, ..world.clone() }
}

fn on_errand(world: &World, launch: &Launch, task: &TaskId, step: StopStep, now: Timestamp) -> World {
    stopping(world, launch, task, StopWhy::Asked(launch.asked.clone()), step, Then::Sleep, now)
}

fn filled(world: &World, found: String, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Filling { task }, .. } => {
            loading(world, launch.clone(), task.clone(), now)
        }
        State::Stopping { launch, task, step: StopStep::Filling, then, .. } => {
            let launch = launch.clone().passing(Milestone::Filled, now);
            let errand = launch.errand.clone().unwrap_or(Errand::Backup);
            let mut next = world.clone();
            next.vault.lives = Storage::Directory;
            match &errand {
                Errand::Backup => {}
                Errand::Restore(archive) => next.vault.same_as = Some(archive.clone()),
                Errand::Import(import) => {
                    next.vault.same_as = None;
                    next.vault.litter(Litter::Import(import.clone()));
                }
            }
            ending(&next, &launch, Some(task), Outcome::Done(errand, found), then.clone(), now)
        }
        State::Starting {
            step: StartStep::Launching | StartStep::Launched { .. } | StartStep::Claimed { .. },
            ..
        }
        | State::Stopping { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

/// Returns the world of whose directory it is not known whether it holds what was there or what was to take its place:
/// the one or the other, whole.
fn half_filled(world: &World) -> World {
    let mut next = world.clone();
    if next.vault.lives == Storage::Directory {
        next.vault.same_as = None;
    }
    next
}

fn fill_failed(world: &World, why: String, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Filling { task }, .. } => {
            ending(world, launch, Some(task), Outcome::Failed(why), Then::Sleep, now)
        }
        State::Stopping { launch, task, step: StopStep::Filling, then, .. } => {
            ending(world, launch, Some(task), Outcome::Failed(why), then.clone(), now)
        }
        State::Starting { .. }
        | State::Stopping { .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

fn ready(world: &World, address: Address, now: Timestamp) -> World {
    match &world.state {
        State::Starting { launch, step: StartStep::Claimed { task }, .. } => {
            let launch = launch.clone().passing(Milestone::Ready, now);
            let heard = Heard { at: now, players: Evidence::Unknown(NOT_LOOKED.into()), stops_at: None };
            let deadline = now + world.timers.cap + CAP_MARGIN;
            let (task, keep, backup) = (task.clone(), None, None);
            with(world, State::Awake { launch, task, address, heard, keep, backup, deadline })
        }
        State::Starting {
            step: StartStep::Launching | StartStep::Launched { .. } | StartStep::Filling { .. },
            ..
        }
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
    let now = now_heard.at;
    let mut next = world.clone();
    if let State::Awake { heard, .. } = &mut next.state {
        let stops_at = steady(heard.stops_at, now_heard.stops_at);
        // Until it goes on counting, what it says may be what it said before.
        let players = if is_doubted(heard) { heard.players.clone() } else { now_heard.players };
        *heard = Heard { players, stops_at, ..now_heard };
    }
    with_backup_due(&given_up(&next, now), now)
}

/// Takes note of who was on, unless more was told already: reports may overtake each other. It is noted only where a report
/// changes the record anyway: at every look, and once more when the watchdog has begun to stop.
fn attended(world: &World, attendance: Attendance, sources: Vec<Sight>, now: Timestamp) -> World {
    let mut next = counted(world, &attendance, now);
    match &mut next.state {
        State::Awake { launch, .. }
        | State::Stopping {
            launch,
            step: StopStep::Saving | StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..),
            ..
        } if launch.attendance.sums().watched <= attendance.sums().watched => {
            (launch.attendance, launch.sources) = (attendance, sources);
        }
        State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => {}
    }
    next
}

/// Returns the awake world with its longest time as its watchdog counts it, as long as it goes on counting: no clock that is
/// set ends an evening, or lets it last.
fn counted(world: &World, attendance: &Attendance, now: Timestamp) -> World {
    let mut next = world.clone();
    if let State::Awake { launch, heard, deadline, .. } = &mut next.state {
        let (before, watched) = (launch.attendance.sums().watched, attendance.sums().watched);
        let left = world.timers.cap.saturating_sub(watched);
        // A watchdog that counts wrongly may stretch it, and not for ever.
        let most = launch.asked.at + world.timers.cap * 2 + WRONG_CLOCKS;
        let counted = (now + left + CAP_MARGIN).min(most);
        let is_off = counted.duration_since(*deadline).unsigned_abs() > CAP_JITTER;
        let goes_on = before < watched && !left.is_zero();
        if goes_on && (is_off || is_doubted(heard)) {
            *deadline = counted;
        }
        if goes_on && is_doubted(heard) {
            heard.players = Evidence::Unknown(NOT_LOOKED.into());
        }
    }
    next
}

/// Returns the world without hope for an archive that has taken too long.
fn given_up(world: &World, now: Timestamp) -> World {
    match &world.state {
        State::Awake { backup: Some(backup), .. } if backup.step.is_under_way() && backup.deadline <= now => {
            backed_up(world, backup.at, BackupStep::Failed("it took too long".into()), now)
        }
        State::Awake { .. }
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => world.clone(),
    }
}

/// Returns the world with the wish for an archive, if somebody plays and it is time for one: what is played is never more
/// than that old if the worst happens.
fn with_backup_due(world: &World, now: Timestamp) -> World {
    let every = world.vault.care.backup_every;
    let State::Awake { launch, heard: Heard { players: Evidence::Players(_), .. }, backup, .. } =
        &world.state
    else {
        return world.clone();
    };
    let ready = launch.passed_at(Milestone::Ready).unwrap_or(launch.asked.at);
    let last = backup.as_ref().map_or(ready, |backup| backup.at);
    if every.is_zero() || now < last + every {
        return world.clone();
    }
    wished(world, KeptWhy::Schedule, now)
}

/// Takes note of how far the archive is that was asked for at `wish` while the world is awake.
fn backed_up(world: &World, wish: Timestamp, now_at: BackupStep, now: Timestamp) -> World {
    let mut next = world.clone();
    let State::Awake { backup: Some(backup), .. } = &mut next.state else { return next };
    // A record keeps milliseconds.
    let is_meant = backup.at.as_millisecond() == wish.as_millisecond();
    let goes_on = match (&backup.step, &now_at) {
        (BackupStep::Wanted, _) | (BackupStep::Uploaded(_), BackupStep::Failed(_)) => true,
        (BackupStep::Uploaded(_) | BackupStep::Done(_) | BackupStep::Failed(_), _) => false,
    };
    if !is_meant || !goes_on {
        return world.clone();
    }
    let given_up = std::mem::replace(&mut backup.step, now_at.clone());
    if let BackupStep::Uploaded(archive) = given_up {
        next.vault.litter(Litter::Archive(archive.id));
    }
    match now_at {
        BackupStep::Failed(why) => wished_again(&World { vault: next.vault.without_next(&why), ..next }, now),
        BackupStep::Wanted | BackupStep::Uploaded(_) | BackupStep::Done(_) => next,
    }
}

/// Returns the awake world, whose archive is made or given up, with the wish for another one if a link waits for that.
fn wished_again(world: &World, now: Timestamp) -> World {
    let Some(waits) = world.vault.links.iter().find(|link| link.of == LinkOf::AfterNext) else {
        return world.clone();
    };
    let why = KeptWhy::Asked(waits.asked.by.clone());
    wished(&World { vault: world.vault.clone().waiting(), ..world.clone() }, why, now)
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
        // There is nothing in its directory that could be saved.
        State::Starting { launch, step: StartStep::Filling { task }, .. } => {
            let outcome = Outcome::Failed("it was stopped before its directory was filled".into());
            ending(world, launch, Some(task), outcome, Then::Sleep, now)
        }
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
            step:
                StopStep::Saving
                | StopStep::Saved(_)
                | StopStep::Uploaded(..)
                | StopStep::Rejected(..)
                | StopStep::Filling,
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
            step: StopStep::Saved(_) | StopStep::Uploaded(..) | StopStep::Rejected(..) | StopStep::Filling,
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
        State::Stopping {
            step: StopStep::Asked | StopStep::Saving | StopStep::Uploaded(..) | StopStep::Filling,
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

fn archive_failed(world: &World, reason: String, now: Timestamp) -> World {
    match &world.state {
        // Its watchdog had no time to wait for the check, for which it is not needed, unless something is to take the world's
        // place then.
        State::Stopping { launch, step: StopStep::Uploaded(..), .. }
            if !matches!(launch.errand, Some(Errand::Restore(_) | Errand::Import(_))) =>
        {
            world.clone()
        }
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
        State::Stopping { step: StopStep::Asked | StopStep::Saving | StopStep::Filling, .. }
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
            let (made_for, needed) = match &launch.errand {
                None => (KeptWhy::Slept, None),
                Some(Errand::Backup) => (KeptWhy::Asked(launch.asked.by.clone()), None),
                Some(Errand::Restore(needed)) => (KeptWhy::Replaced(launch.asked.by.clone()), Some(needed)),
                Some(Errand::Import(_)) => (KeptWhy::Replaced(launch.asked.by.clone()), None),
            };
            let (same_as, kept) = (Some(archive.id.clone()), Kept { archive, at: now, why: made_for });
            let vault = Vault { same_as, ..world.vault.clone() }.keeping(kept, needed);
            let next = World { vault, ..world.clone() };
            archived(&next, &launch, task, why, proof, then, now)
        }
        State::Awake { backup: Some(Backup { why, step: BackupStep::Uploaded(claim), .. }), .. }
            if *claim == archive =>
        {
            let (id, why) = (archive.id.clone(), why.clone());
            let vault = world.vault.keeping(Kept { archive, at: now, why }, None);
            wished_again(&with_backup_step(&World { vault, ..world.clone() }, BackupStep::Done(id)), now)
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

/// Returns the world, whose files are in a checked archive, on its way to its end, or to what its errand puts in their
/// place.
fn archived(
    world: &World,
    launch: &Launch,
    task: &TaskId,
    why: &StopWhy,
    proof: &Proof,
    then: &Then,
    now: Timestamp,
) -> World {
    match &launch.errand {
        Some(Errand::Restore(_) | Errand::Import(_)) => {
            stopping(world, launch, task, why.clone(), StopStep::Filling, then.clone(), now)
        }
        Some(Errand::Backup) | None => {
            let outcome = Outcome::Slept(why.clone(), proof.clone());
            ending(world, launch, Some(task), outcome, then.clone(), now)
        }
    }
}

fn with_backup_step(world: &World, now_at: BackupStep) -> World {
    let mut next = world.clone();
    if let State::Awake { backup: Some(backup), .. } = &mut next.state {
        backup.step = now_at;
    }
    next
}

/// What has not changed since an archive of it was made needs no other one.
fn unchanged(world: &World, archive: ArchiveId, now: Timestamp) -> World {
    match &world.state {
        State::Stopping { step: StopStep::Rejected(_, rejected), .. } if *rejected == archive => {
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
            if world.vault.find(&archive).is_none() {
                let step = StopStep::Rejected(proof.clone(), archive);
                return stopping(world, launch, task, why.clone(), step, then.clone(), now);
            }
            let launch = launch.clone().passing(Milestone::Archived, now);
            let vault = Vault { same_as: Some(archive.clone()), ..world.vault.clone() }.resolved(&archive);
            archived(&World { vault, ..world.clone() }, &launch, task, why, proof, then, now)
        }
        State::Stopping {
            step: StopStep::Asked | StopStep::Saving | StopStep::Uploaded(..) | StopStep::Filling,
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

fn check_failed(world: &World, archive: &Archive, now: Timestamp) -> World {
    match &world.state {
        State::Stopping { launch, task, why, step: StopStep::Uploaded(proof, claim), then, .. }
            if claim == archive =>
        {
            let step = StopStep::Rejected(proof.clone(), archive.id.clone());
            let mut next = world.clone();
            next.vault.litter(Litter::Archive(archive.id.clone()));
            stopping(&next, launch, task, why.clone(), step, then.clone(), now)
        }
        State::Awake { backup: Some(Backup { at, step: BackupStep::Uploaded(claim), .. }), .. }
            if claim == archive =>
        {
            backed_up(world, *at, BackupStep::Failed("it did not arrive whole".into()), now)
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
    let world = &reined(world, now);
    let Some(deadline) = world.deadline().filter(|deadline| *deadline <= now) else { return world.clone() };
    if now >= deadline + AWAY
        && let Some(next) = unheard(world, now)
    {
        return next;
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
        State::Starting { launch, step: StartStep::Filling { task }, .. } => {
            let outcome = Outcome::Failed("its directory was not filled in time".into());
            ending(world, launch, Some(task), outcome, Then::Sleep, now)
        }
        State::Starting { launch, step: StartStep::Claimed { task }, .. } => {
            stopping(world, launch, task, StopWhy::NeverReady, StopStep::Asked, Then::Sleep, now)
        }
        State::Awake { launch, heard, .. } if may_be_early(world, launch, heard) => doubted(world, now),
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
        State::Stopping { launch, task, step: StopStep::Filling, then, .. } => {
            let outcome = Outcome::Lost("its directory was not filled in time".into());
            ending(&half_filled(world), launch, Some(task), outcome, then.clone(), now)
        }
        // Without a task to wait for, the end of the time is the end of the launch; a task that turns up later is one
        // that no world knows, and the sweep ends it.
        State::Ending { launch, task: None, outcome, then, .. } => {
            settled(world, launch, outcome.clone(), then, now)
        }
        State::Ending { .. } | State::Deleting { .. } => retried(world, now),
        State::Deleted { .. } => World { vault: world.vault.keeping_only(None), ..world.clone() },
        State::Asleep => world.clone(),
    }
}

/// Returns the world with a moment more, where its deadline is about what somebody else does, who may have done it.
fn unheard(world: &World, now: Timestamp) -> Option<World> {
    let mut next = world.clone();
    match &mut next.state {
        State::Starting {
            step: StartStep::Launched { .. } | StartStep::Filling { .. } | StartStep::Claimed { .. },
            deadline,
            ..
        }
        | State::Stopping { deadline, .. } => *deadline = now + CATCH_UP,
        State::Awake { heard, deadline, .. } if is_doubted(heard) => *deadline = now + CATCH_UP,
        State::Starting { step: StartStep::Launching, .. }
        | State::Awake { .. }
        | State::Ending { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => return None,
    }
    Some(next)
}

/// Returns the world with a deadline that is no further away than its state ever gives, where nothing else ends the state: one
/// that was set while a clock was ahead would hold the world up for as long as the clock was. Where a task may be at something,
/// the clock that is behind may be this one.
fn reined(world: &World, now: Timestamp) -> World {
    let mut next = world.clone();
    let (deadline, limit) = match &mut next.state {
        State::Ending { task: None, deadline, .. } => (deadline, END_LIMIT),
        State::Deleting { deadline, .. } => (deadline, RETRY_AFTER),
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleted { .. } => return next,
    };
    if *deadline > now + limit + CLOCKS {
        *deadline = now + limit;
    }
    next
}

/// Tells whether the clock alone says that the longest time is over, and the watchdog was not asked yet.
fn may_be_early(world: &World, launch: &Launch, heard: &Heard) -> bool {
    launch.attendance.sums().watched < world.timers.cap && !is_doubted(heard)
}

fn is_doubted(heard: &Heard) -> bool {
    heard.players == Evidence::Unknown(DOUBTED.into())
}

/// Returns the awake world whose watchdog is given a moment to say that the longest time is not over.
fn doubted(world: &World, now: Timestamp) -> World {
    let mut next = world.clone();
    if let State::Awake { heard, deadline, .. } = &mut next.state {
        (heard.players, heard.stops_at) = (Evidence::Unknown(DOUBTED.into()), None);
        *deadline = now + SECOND_CHANCE;
    }
    next
}

// How the next state is made.

fn with(world: &World, state: State) -> World {
    World { state, ..world.clone() }
}

fn starting(world: &World, asked: Asked, errand: Option<Errand>, now: Timestamp) -> World {
    let generation = world.generation.next();
    let deadline = now + LAUNCH_LIMIT;
    let (passed, attendance, sources) = (Vec::new(), Attendance::default(), Vec::new());
    let launch = Launch { generation, errand, asked, passed, attendance, sources };
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
        StopStep::Filling => FILL_LIMIT,
    };
    let launch = match &launch.errand {
        None => launch.clone().passing(Milestone::Stopping, now),
        Some(_) => launch.clone(),
    };
    with(
        &without_backup(world),
        State::Stopping { launch, task: task.clone(), why, step, then, deadline: now + limit },
    )
}

/// Returns the world without the archive that was being made while it was awake: another one is made when it sleeps.
fn without_backup(world: &World) -> World {
    let mut next = world.clone();
    if let State::Awake { backup: Some(Backup { step: BackupStep::Uploaded(archive), .. }), .. } =
        &world.state
    {
        next.vault.litter(Litter::Archive(archive.id.clone()));
    }
    World { vault: next.vault.waiting(), ..next }
}

/// Returns what a launch came to: that of an errand is told as the errand's.
fn of_errand(launch: &Launch, outcome: Outcome) -> Outcome {
    match (&launch.errand, outcome) {
        (Some(errand), Outcome::Failed(why) | Outcome::NotArchived(_, why)) => {
            Outcome::NotDone(errand.clone(), why)
        }
        (Some(errand), Outcome::Slept(..)) => Outcome::Done(errand.clone(), String::new()),
        (_, outcome) => outcome,
    }
}

/// Returns the world, whose launch came to `outcome`, without links to an archive that will not come.
fn without_next(world: &World, outcome: &Outcome) -> World {
    let vault = match outcome {
        Outcome::Slept(..) | Outcome::Done(..) => return world.clone(),
        Outcome::NotArchived(_, why)
        | Outcome::Failed(why)
        | Outcome::Lost(why)
        | Outcome::NotDone(_, why) => world.vault.without_next(why),
        Outcome::Cancelled(_) => world.vault.without_next("the launch was called off"),
    };
    World { vault, ..world.clone() }
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
    let outcome = of_errand(&launch, outcome);
    let mut next = without_next(world, &outcome);
    // One that was found whole is kept, and stays.
    if let State::Stopping { step: StopStep::Uploaded(_, archive), .. } = &world.state {
        next.vault.litter(Litter::Archive(archive.id.clone()));
    }
    with(&next, State::Ending { launch, task, outcome, force: Force::Gentle, then, deadline })
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
    let mut launch = launch.clone().passing(Milestone::Ended, now);
    // Many sessions are remembered, and a record has to stay small.
    launch.attendance = launch.attendance.shrunk(MOST_PAST_SPANS);
    launch.sources.clear();
    let outcome = of_errand(&launch, outcome);
    let world = &without_next(&without_backup(world), &outcome);
    let past = world.last.iter().chain(&world.past).take(MOST_PAST).cloned().collect();
    let last = Some(Session { launch, outcome });
    let vault = Vault { lives: lives_after(world), ..world.vault.clone() };
    let asleep = World { last, past, vault, state: State::Asleep, ..world.clone() };
    match then {
        Then::Sleep => asleep,
        Then::Start(asked) => starting(&asleep, asked.clone(), None, now),
    }
}

/// Returns where the world's files are once its launch is over. A watchdog that is told to remove them may have done so, and
/// if it has not, they are what the archive holds.
fn lives_after(world: &World) -> Storage {
    let was_told = match &world.state {
        State::Ending { .. } => files(world) == Files::Go && world.claimed == Some(world.generation),
        State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Asleep
        | State::Deleting { .. }
        | State::Deleted { .. } => false,
    };
    if was_told { Storage::Archive } else { world.vault.lives }
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
