//! The driver: load, step, save, act. The only asynchronous logic of the domain.
//!
//! The front door calls [`Driver::apply`] (one read, one conditional write, one send), the worker [`Driver::look`], and
//! a schedule [`Driver::sweep`]. Nothing is decided here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    access::{Action, Asker, Denied},
    effect::{Effect, Orders, effects, orders, told},
    event::{Event, Gone},
    game::Game,
    lifecycle::{FILL_LIMIT, require_current, step},
    ports::{
        ArchiveStore, Chat, Checked, CreateError, Directory, Exports, Found, LaunchError, LaunchOrder, Link,
        LinkError, LoadError, Look, Part, Queue, RunningTask, Runtime, SaveError, Seen, Store, Ticket,
        Unavailable, Version,
    },
    refusal::Refusal,
    settings::{Chosen, variables},
    vault::{LinkOf, Litter},
    world::{
        Archive, Errand, Force, GameId, Generation, GuildId, LinkId, State, TaskId, Then, World, WorldId,
        WorldName,
    },
};

/// How often a conditional save is tried. Each try loses only to somebody else's success, and a world has few writers.
const SAVE_TRIES: u32 = 16;

/// How many worlds a sweep looks at side by side: one that has to wait for something out of reach holds up few others.
const SWEPT_AT_ONCE: usize = 16;

/// For how long one download can be begun after its link was followed. It may go on for longer.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Why an event was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// There is no such world.
    #[error("no such world")]
    NotFound,
    /// Whoever asks may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<LoadError> for ApplyError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotFound => Self::NotFound,
            LoadError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What came of applying events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The world as it was read.
    pub before: World,
    /// The world as it is saved.
    pub after: World,
}

/// What a watchdog puts into a world's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The archive that it is; nothing if it is something that a person sent.
    pub archive: Option<Archive>,
    /// Where to get it.
    pub link: Link,
}

/// What a link to an archive leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Download {
    /// The archive is here.
    At(Link),
    /// The archive is being made.
    NotYet,
    /// The archive that was being made did not come to be; why.
    Nothing(String),
    /// The link works no more, or never did.
    Gone,
}

/// The ports, and the games that worlds can be of.
#[derive(Clone)]
pub struct Driver {
    /// World records.
    pub store: Arc<dyn Store>,
    /// Messages to the worker.
    pub queue: Arc<dyn Queue>,
    /// Tasks.
    pub runtime: Arc<dyn Runtime>,
    /// Archives.
    pub archives: Arc<dyn ArchiveStore>,
    /// The addresses of links.
    pub exports: Arc<dyn Exports>,
    /// Where people are told.
    pub chat: Arc<dyn Chat>,
    /// The catalogue.
    pub games: Arc<BTreeMap<GameId, Game>>,
}

impl Driver {
    /// Adds `world`.
    pub async fn create(&self, world: &World) -> Result<(), CreateError> {
        self.store.create(world).await
    }

    /// Lets `events` happen, in order, to the guild's world of that name, if `asker` may do `action`.
    pub async fn apply_to(
        &self,
        guild: &GuildId,
        name: &WorldName,
        (asker, action): (&Asker, Action),
        events: &[Event],
        now: Timestamp,
    ) -> Result<Applied, ApplyError> {
        let Found { world, version, rules } = self.store.find(guild, name).await?;
        rules.require(asker, action)?;
        self.require_playable(&world, events, now)?;
        self.save_stepped(world, version, events, now).await
    }

    /// Refuses `events` that would have the world launched, if its game is not among those that worlds can be of; or played,
    /// if what was chosen for it is not what its game takes.
    fn require_playable(&self, world: &World, events: &[Event], now: Timestamp) -> Result<(), Refusal> {
        let game = self.games.get(&world.game);
        if game.is_some_and(|game| game.settings.is_empty()) || is_launched_next(world) {
            return Ok(());
        }
        let after = events.iter().try_fold(world.clone(), |world, event| step(&world, event.clone(), now))?;
        if !is_launched_next(&after) {
            return Ok(());
        }
        let Some(game) = game else {
            return Err(Refusal::NotOffered { name: world.name.clone(), game: world.game.clone() });
        };
        let is_errand = matches!(&after.state, State::Starting { launch, .. } if launch.errand.is_some());
        if is_errand {
            return Ok(());
        }
        let unfit = |why| Refusal::UnfitSetting { name: world.name.clone(), why };
        variables(&game.settings, &after.settings).map(|_| ()).map_err(unfit)
    }

    /// Lets `events` happen, in order, to the world: all of them or, if one is refused, none.
    pub async fn apply(&self, id: &WorldId, events: &[Event], now: Timestamp) -> Result<Applied, ApplyError> {
        let (world, version) = self.store.load(id).await?;
        self.save_stepped(world, version, events, now).await
    }

    async fn save_stepped(
        &self,
        mut before: World,
        mut version: Version,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Applied, ApplyError> {
        for _ in 0..SAVE_TRIES {
            let after =
                events.iter().try_fold(before.clone(), |world, event| step(&world, event.clone(), now))?;
            if after == before {
                return Ok(Applied { before, after });
            }
            match self.store.save(&after, version).await {
                Ok(_) => {
                    self.announce(&before, &after).await?;
                    return Ok(Applied { before, after });
                }
                Err(SaveError::Conflict) => (before, version) = self.store.load(&before.id).await?,
                Err(SaveError::Unavailable(why)) => return Err(why.into()),
            }
        }
        Err(Unavailable("too many others change this world at the same time; try again".into()).into())
    }

    /// Sends the worker to a world that asks for something that it did not ask for before.
    async fn announce(&self, before: &World, after: &World) -> Result<(), Unavailable> {
        let asked = effects(before);
        if effects(after).iter().all(|effect| asked.contains(effect)) {
            return Ok(());
        }
        self.queue.send(&Look { world: after.id.clone() }).await
    }

    /// Performs what the saved state of the world asks for, and then lets the clock have its say: what is done in the last
    /// moment, or by a control plane that was away for long, still counts.
    pub async fn look(&self, id: &WorldId, now: Timestamp) -> Result<(), ApplyError> {
        let (world, _) = self.store.load(id).await?;
        let acted = self.perform(&world, now).await;
        self.overdue(id, now).await?;
        acted
    }

    /// Lets the clock alone have its say about a world of which a look could not be brought to its end.
    pub async fn overdue(&self, id: &WorldId, now: Timestamp) -> Result<(), ApplyError> {
        self.apply(id, &[Event::Tick], now).await.map(drop)
    }

    /// Performs the effects of `world`, each whatever came of the others: while the chat is out of reach archives are checked
    /// all the same. An error is that of the first that failed. When what comes of one makes the world ask for something else,
    /// that is for the next look, whose message is on its way.
    async fn perform(&self, world: &World, now: Timestamp) -> Result<(), ApplyError> {
        let (wanted, mut done) = (effects(world), Ok(()));
        let mut still = wanted.clone();
        for effect in &wanted {
            // There may be hundreds to remove, and what one could not be removed from is the same for all.
            let is_in_vain = done.is_err() && matches!(effect, Effect::Remove(_));
            if is_in_vain || !still.contains(effect) {
                continue;
            }
            let event = match self.act(world, effect.clone()).await {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(why) => {
                    self.take_note_of_failure(world, effect, now).await?;
                    done = done.and(Err(why.into()));
                    continue;
                }
            };
            match self.apply(&world.id, &[event], now).await {
                Ok(applied) => still = effects(&applied.after),
                Err(ApplyError::Refused(Refusal::StaleLaunch { .. })) => return done,
                Err(error) => return Err(error),
            }
            if still.iter().any(|effect| !wanted.contains(effect)) {
                break;
            }
        }
        done
    }

    /// Notes what may have taken effect though it failed and would not be seen by looking again.
    async fn take_note_of_failure(
        &self,
        world: &World,
        failed: &Effect,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        match failed {
            Effect::Tell(_) => {
                let instead_of = world.talk.told.clone();
                self.apply(&world.id, &[Event::NotTold { instead_of }], now).await.map(|_| ())
            }
            Effect::Launch(_)
            | Effect::Observe(..)
            | Effect::Find(_)
            | Effect::End(..)
            | Effect::Check(..)
            | Effect::Erase
            | Effect::Remove(_) => Ok(()),
        }
    }

    /// Performs `effect` and returns what came of it.
    async fn act(&self, world: &World, effect: Effect) -> Result<Option<Event>, Unavailable> {
        match effect {
            Effect::Launch(generation) => self.launch(world, generation).await,
            Effect::Observe(generation, task) => self.observe(generation, task).await,
            Effect::Find(generation) => self.find(world, generation).await.map(Some),
            Effect::End(task, force) => self.runtime.end(&task, force).await.map(|()| None),
            Effect::Check(generation, archive) => self.check(world, generation, archive).await.map(Some),
            Effect::Erase => self.runtime.erase(&world.id).await.map(|()| Some(Event::Erased)),
            Effect::Tell(notice) => {
                let card = self.chat.tell(world, &notice).await?;
                let instead_of = world.talk.told.clone();
                Ok(Some(Event::Told { told: told(world, &notice), card, instead_of }))
            }
            Effect::Remove(litter) => {
                match &litter {
                    Litter::Archive(id) => self.archives.remove(&world.id, id).await?,
                    Litter::Import(id) => self.archives.discard(&world.id, id).await?,
                }
                Ok(Some(Event::Removed(litter)))
            }
        }
    }

    async fn check(
        &self,
        world: &World,
        generation: Generation,
        archive: Archive,
    ) -> Result<Event, Unavailable> {
        Ok(match self.archives.check(&world.id, &archive).await? {
            Checked::Whole => Event::Checked { generation, archive },
            Checked::NotWhole => Event::CheckFailed { generation, archive },
        })
    }

    async fn launch(&self, world: &World, generation: Generation) -> Result<Option<Event>, Unavailable> {
        let order = LaunchOrder {
            world: world.id.clone(),
            generation,
            game: world.game.clone(),
            timers: world.timers,
            port: world.port,
            directory: if world.claimed.is_some() { Directory::MustExist } else { Directory::MayBeNew },
        };
        match self.runtime.launch(&order).await {
            Ok(task) => Ok(Some(Event::Launched { generation, task })),
            Err(LaunchError::Refused(why)) => Ok(Some(Event::LaunchRefused { generation, why })),
            Err(LaunchError::Unavailable(why)) => Err(why),
        }
    }

    async fn observe(&self, generation: Generation, task: TaskId) -> Result<Option<Event>, Unavailable> {
        Ok(match self.runtime.observe(&task).await? {
            Seen::There => None,
            Seen::Gone(how) => Some(Event::TaskGone { generation, task: Some(task), how }),
        })
    }

    async fn find(&self, world: &World, generation: Generation) -> Result<Event, Unavailable> {
        let tasks = self.runtime.list().await?;
        let found = tasks.into_iter().find(|t| t.world == world.id && t.generation == generation);
        Ok(match found {
            Some(RunningTask { task, .. }) => Event::Launched { generation, task },
            None => Event::TaskGone { generation, task: None, how: Gone::NeverExisted },
        })
    }

    /// Ends every task that no world knows, and looks at every world that is not settled, some at a time. Goes on past a
    /// world that fails and returns what failed; an error only if tasks or worlds could not be listed.
    pub async fn sweep(&self, now: Timestamp) -> Result<Vec<(WorldId, ApplyError)>, Unavailable> {
        let (mut failed, orphans) = (Vec::new(), self.end_orphans().await);
        for some in self.store.unsettled().await?.chunks(SWEPT_AT_ONCE) {
            let looks = join_all(some.iter().map(|id| self.look(id, now))).await;
            let errors = some.iter().zip(looks).filter_map(|(id, looked)| Some((id.clone(), looked.err()?)));
            failed.extend(errors);
        }
        failed.extend(orphans?);
        Ok(failed)
    }

    /// Ends every task that no world knows. Goes on past one that fails and returns what failed; an error only if tasks could
    /// not be listed.
    pub async fn end_orphans(&self) -> Result<Vec<(WorldId, ApplyError)>, Unavailable> {
        let mut failed = Vec::new();
        for task in self.runtime.list().await? {
            if let Err(error) = self.end_orphan(&task).await {
                failed.push((task.world, error.into()));
            }
        }
        Ok(failed)
    }

    async fn end_orphan(&self, task: &RunningTask) -> Result<(), Unavailable> {
        if self.is_orphan(task).await? { self.runtime.end(&task.task, Force::Gentle).await } else { Ok(()) }
    }

    /// Tells whether no world knows the task. A launch that has named no task yet may be about to name this one.
    async fn is_orphan(&self, task: &RunningTask) -> Result<bool, Unavailable> {
        let world = match self.store.load(&task.world).await {
            Ok((world, _)) => world,
            Err(LoadError::NotFound) => return Ok(true),
            Err(LoadError::Unavailable(why)) => return Err(why),
        };
        let current = world.launch().is_some_and(|launch| launch.generation == task.generation);
        Ok(!current || world.task().is_some_and(|known| *known != task.task))
    }

    /// Returns where to upload `part` of an archive of the launch, if it is the current one.
    pub async fn ticket(
        &self,
        id: &WorldId,
        generation: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, ApplyError> {
        let (world, _) = self.store.load(id).await?;
        require_current(&world, generation)?;
        Ok(self.archives.ticket(id, generation, part, now).await?)
    }

    /// Returns what the watchdog of the launch gets to put into the world's directory, if its orders are to do so.
    pub async fn source(
        &self,
        id: &WorldId,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Source, ApplyError> {
        let (world, _) = self.store.load(id).await?;
        require_current(&world, generation)?;
        if orders(&world, generation) != Orders::Fill {
            return Err(ApplyError::NotFound);
        }
        let expires = now + FILL_LIMIT;
        let errand = world.launch().and_then(|launch| launch.errand.clone());
        let found = match (&errand, &world.vault.same_as) {
            (Some(Errand::Import(import)), _) => {
                let link = self.archives.received(id, import, expires).await;
                link.map(|link| Source { archive: None, link })
            }
            (Some(Errand::Restore(archive)), _) | (None, Some(archive)) => {
                let kept = world.vault.find(archive).map(|kept| kept.archive.clone());
                let link = self.archives.link(id, archive, expires).await;
                link.map(|link| Source { archive: kept, link })
            }
            (Some(Errand::Backup), _) | (None, None) => Err(LinkError::NotFound),
        };
        found.map_err(|error| match error {
            LinkError::NotFound => ApplyError::NotFound,
            LinkError::Unavailable(why) => why.into(),
        })
    }

    /// Returns what was chosen for the world, for the watchdog of the launch that is to have it played.
    pub async fn settings(&self, id: &WorldId, generation: Generation) -> Result<Chosen, ApplyError> {
        let (world, _) = self.store.load(id).await?;
        require_current(&world, generation)?;
        Ok(world.settings)
    }

    /// Returns what the link leads to, and takes note that it was followed.
    pub async fn download(
        &self,
        id: &WorldId,
        link: &LinkId,
        now: Timestamp,
    ) -> Result<Download, ApplyError> {
        let (world, version) = self.store.load(id).await?;
        let known = world.vault.link(link).filter(|known| known.expires > now).cloned();
        let Some(known) = known else { return Ok(Download::Gone) };
        let archive = match known.of {
            LinkOf::Archive(archive) => archive,
            LinkOf::Next | LinkOf::AfterNext => return Ok(Download::NotYet),
            LinkOf::Nothing(why) => return Ok(Download::Nothing(why)),
        };
        let found = match self.archives.link(id, &archive, known.expires.min(now + DOWNLOAD_LIMIT)).await {
            Ok(found) => found,
            Err(LinkError::NotFound) => return Ok(Download::Gone),
            Err(LinkError::Unavailable(why)) => return Err(why.into()),
        };
        self.save_stepped(world, version, &[Event::Downloaded { link: link.clone() }], now).await?;
        Ok(Download::At(found))
    }

    /// Returns what the watchdog of the launch shall do, after `events` of its report have happened.
    pub async fn report(
        &self,
        id: &WorldId,
        generation: Generation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Orders, ApplyError> {
        match self.apply(id, events, now).await {
            Ok(applied) => Ok(orders(&applied.after, generation)),
            Err(ApplyError::Refused(Refusal::StaleLaunch { .. }) | ApplyError::NotFound) => {
                Ok(Orders::Abandon)
            }
            Err(error) => Err(error),
        }
    }
}

/// Tells whether the world is being launched, or is to be as soon as its last launch is over.
fn is_launched_next(world: &World) -> bool {
    match &world.state {
        State::Starting { .. }
        | State::Stopping { then: Then::Start(_), .. }
        | State::Ending { then: Then::Start(_), .. } => true,
        State::Asleep
        | State::Awake { .. }
        | State::Stopping { then: Then::Sleep, .. }
        | State::Ending { then: Then::Sleep, .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => false,
    }
}
