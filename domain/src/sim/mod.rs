//! In-memory ports: small working versions of the outside, for tests.
//!
//! They keep the promises of [`crate::ports`] (the contracts in `adapters` hold them to it) and can be told to fail: a
//! [`Fault`] makes the next call of one port report failure, before or after it took effect.

pub mod run;

pub mod shrink;

mod chance;

mod clockwork;

mod outside;

mod laws;

mod ports;

mod runtime;

mod chat;

mod links;

mod fate;

mod desk;

mod watchdog;

mod keeping;

mod people;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    access::Rules,
    driver::Driver,
    effect::{self, Notice},
    event::Gone,
    game::Game,
    ports::*,
    talk::CardId,
    world::*,
};

/// How the next call of a port fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens.
    Before,
    /// It takes effect, but the answer is lost.
    After,
}

/// Everything outside, in memory.
#[derive(Debug, Default)]
pub struct Outside {
    worlds: BTreeMap<String, (World, Version)>,
    messages: VecDeque<(u64, Look, u32)>,
    sent: u64,
    rules: BTreeMap<String, (Rules, Version)>,
    /// The tasks ever launched, and how each ended.
    pub tasks: BTreeMap<String, (RunningTask, Option<Gone>)>,
    /// The archives received.
    pub archives: BTreeMap<String, Archive>,
    /// What was sent to be imported.
    pub received: BTreeSet<ImportId>,
    /// The worlds whose files were removed.
    pub erased: Vec<WorldId>,
    /// What people were told, by world and sentence.
    pub told: Vec<String>,
    /// The next call of the store fails so.
    pub store_fault: Option<Fault>,
    /// The next call of the runtime fails so.
    pub runtime_fault: Option<Fault>,
    /// The next call of the chat fails so.
    pub chat_fault: Option<Fault>,
    /// The next launch is refused for this reason.
    pub refuse_launch: Option<String>,
}

/// A handle on [`Outside`]; every port in one.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Outside>>);

impl Memory {
    /// Returns a driver whose every port is this memory.
    pub fn driver(&self, games: impl IntoIterator<Item = Game>) -> Driver {
        driver_of(self, games)
    }

    /// Returns the inside, to look at it or to change it.
    pub fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the task end.
    pub fn end_task(&self, task: &TaskId, how: Gone) {
        if let Some((_, gone)) = self.lock().tasks.get_mut(task.as_str()) {
            gone.get_or_insert(how);
        }
    }

    /// Delivers every message once, with all that follows.
    pub async fn work(&self, driver: &Driver, now: Timestamp) {
        for _ in 0..100 {
            let deliveries = self.receive(10, Duration::ZERO).await.unwrap_or_default();
            if deliveries.is_empty() {
                return;
            }
            for delivery in deliveries {
                if driver.look(&delivery.look.world, now).await.is_ok() {
                    let _ = self.done(&delivery.receipt).await;
                }
            }
        }
    }
}

/// Returns a driver whose every port is `port`.
fn driver_of<P>(port: &P, games: impl IntoIterator<Item = Game>) -> Driver
where
    P: Store + Queue + Runtime + ArchiveStore + Exports + Chat + Clone + 'static,
{
    let games = games.into_iter().map(|game| (game.id.clone(), game)).collect();
    let port = Arc::new(port.clone());
    Driver {
        store: port.clone(),
        queue: port.clone(),
        runtime: port.clone(),
        archives: port.clone(),
        exports: port.clone(),
        chat: port,
        games: Arc::new(games),
    }
}

/// Performs `act` as `fault` allows.
fn with_fault<T>(fault: Option<Fault>, act: impl FnOnce() -> T) -> Result<T, Unavailable> {
    let failed = || Unavailable("told to fail".into());
    match fault {
        Some(Fault::Before) => Err(failed()),
        Some(Fault::After) => {
            act();
            Err(failed())
        }
        None => Ok(act()),
    }
}

#[async_trait]
impl Store for Memory {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        let mut outside = self.lock();
        let taken = |w: &World| {
            w.guild == world.guild && w.name == world.name && !matches!(w.state, State::Deleted { .. })
        };
        if outside.worlds.contains_key(world.id.as_str()) || outside.worlds.values().any(|(w, _)| taken(w)) {
            return Err(CreateError::NameTaken);
        }
        outside.worlds.insert(world.id.to_string(), (world.clone(), Version(1)));
        Ok(())
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        self.lock().worlds.get(id.as_str()).cloned().ok_or(LoadError::NotFound)
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        let (rules, _) = self.rules(guild).await?;
        let outside = self.lock();
        let wanted =
            |w: &World| w.guild == *guild && w.name == *name && !matches!(w.state, State::Deleted { .. });
        let found = outside.worlds.values().find(|(w, _)| wanted(w)).cloned();
        found.map(|(world, version)| Found { world, version, rules }).ok_or(LoadError::NotFound)
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        let (rules, _) = self.rules(guild).await?;
        let outside = self.lock();
        let listed = |w: &&World| w.guild == *guild && !matches!(w.state, State::Deleted { .. });
        let mut worlds: Vec<_> = outside.worlds.values().map(|(w, _)| w).filter(listed).cloned().collect();
        worlds.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Listed { worlds, rules })
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        let mut outside = self.lock();
        let fault = outside.store_fault.take();
        let Some(slot) = outside.worlds.get_mut(world.id.as_str()) else {
            return Err(SaveError::Conflict);
        };
        if slot.1 != read {
            return Err(SaveError::Conflict);
        }
        let version = Version(read.0 + 1);
        with_fault(fault, || *slot = (world.clone(), version))?;
        Ok(version)
    }

    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        let outside = self.lock();
        let unsettled = outside.worlds.values().filter(|(w, _)| !effect::is_settled(w));
        Ok(unsettled.map(|(w, _)| w.id.clone()).collect())
    }

    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable> {
        let outside = self.lock();
        Ok(outside.rules.get(guild.as_str()).cloned().unwrap_or((Rules::default(), Version(0))))
    }

    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        let mut outside = self.lock();
        let slot = outside.rules.entry(guild.to_string()).or_insert((Rules::default(), Version(0)));
        if slot.1 != read {
            return Err(SaveError::Conflict);
        }
        *slot = (rules.clone(), Version(read.0 + 1));
        Ok(slot.1)
    }
}

#[async_trait]
impl Queue for Memory {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        let mut outside = self.lock();
        outside.sent += 1;
        let receipt = outside.sent;
        outside.messages.push_back((receipt, look.clone(), 0));
        Ok(())
    }

    /// Gives the oldest messages, and the same ones again next time: nobody is hidden from anybody here.
    async fn receive(&self, most: usize, _invisible: Duration) -> Result<Vec<Delivery>, Unavailable> {
        let mut outside = self.lock();
        let give = |(receipt, look, attempt): &mut (u64, Look, u32)| {
            *attempt += 1;
            Delivery { receipt: receipt.to_string(), look: look.clone(), attempt: *attempt }
        };
        Ok(outside.messages.iter_mut().take(most).map(give).collect())
    }

    async fn done(&self, receipt: &str) -> Result<(), Unavailable> {
        self.lock().messages.retain(|(r, ..)| r.to_string() != receipt);
        Ok(())
    }
}

#[async_trait]
impl Runtime for Memory {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let mut outside = self.lock();
        if let Some(why) = outside.refuse_launch.take() {
            return Err(LaunchError::Refused(why));
        }
        let task = TaskId::parse(&format!("{}.{}", order.world, order.generation))
            .map_err(|e| LaunchError::Refused(e.to_string()))?;
        let running =
            RunningTask { task: task.clone(), world: order.world.clone(), generation: order.generation };
        let fault = outside.runtime_fault.take();
        let tasks = &mut outside.tasks;
        with_fault(fault, || tasks.entry(task.to_string()).or_insert((running, None)))?;
        Ok(task)
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        Ok(match self.lock().tasks.get(task.as_str()) {
            Some((_, None)) => Seen::There,
            Some((_, Some(how))) => Seen::Gone(how.clone()),
            None => Seen::Gone(Gone::NeverExisted),
        })
    }

    async fn end(&self, task: &TaskId, _force: Force) -> Result<(), Unavailable> {
        self.end_task(task, Gone::Exited);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        Ok(self.lock().tasks.values().filter(|(_, gone)| gone.is_none()).map(|(t, _)| t.clone()).collect())
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        self.lock().erased.push(world.clone());
        Ok(())
    }
}

#[async_trait]
impl ArchiveStore for Memory {
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        let begin = || {
            let id = ArchiveId::parse(&format!("{:013}-g{launch}", now.as_millisecond()));
            Ok(Upload { id: id.map_err(|e| Unavailable(e.to_string()))?, key: "memory".into() })
        };
        let upload = part.of.clone().map_or_else(begin, Ok)?;
        Ok(Ticket { url: format!("memory://{world}/{}/{}", upload.id, part.number), upload })
    }

    async fn check(&self, _world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let whole = self.lock().archives.get(claim.id.as_str()) == Some(claim);
        Ok(if whole { Checked::Whole } else { Checked::NotWhole })
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        let known = self.lock().archives.contains_key(id.as_str());
        if !known {
            return Err(LinkError::NotFound);
        }
        Ok(Link { url: format!("memory://{world}/{id}"), expires })
    }

    async fn remove(&self, _world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable> {
        self.lock().archives.remove(id.as_str());
        Ok(())
    }

    async fn inbox(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable> {
        Ok(Link { url: format!("memory://{world}/import/{id}"), expires })
    }

    async fn received(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError> {
        if !self.lock().received.contains(id) {
            return Err(LinkError::NotFound);
        }
        Ok(Link { url: format!("memory://{world}/import/{id}"), expires })
    }

    async fn discard(&self, _world: &WorldId, id: &ImportId) -> Result<(), Unavailable> {
        self.lock().received.remove(id);
        Ok(())
    }
}

impl Exports for Memory {
    fn url(&self, world: &WorldId, link: &LinkId) -> Result<String, Unavailable> {
        Ok(format!("memory://{world}/link/{link}"))
    }
}

#[async_trait]
impl Chat for Memory {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        let sentence = crate::words::notice(world, notice);
        let mut outside = self.lock();
        let (fault, told) = (outside.chat_fault.take(), &mut outside.told);
        with_fault(fault, || {
            if told.last() != Some(&sentence) {
                told.push(sentence);
            }
        })?;
        Ok(world.talk.card.clone())
    }
}
