//! The ports of the simulation. Before and after each call others may act, and the call may fail before or after it took
//! effect, take very long, or be the last thing that whoever made it does.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::{
    chat::Shown,
    clockwork::{Of, Sim},
    outside::{Dir, MINUTE, Outside, Place, SECOND, at},
};
use crate::{access::Rules, driver::Driver, effect, ports::*, words, world::*};

/// How long the front door's function may take.
pub(super) const DOOR_LIMIT: u64 = 30 * SECOND;

/// How long a Lambda that looks at worlds may take, and one that sweeps.
const LOOK_LIMIT: u64 = 180 * SECOND;
const SWEEP_LIMIT: u64 = 240 * SECOND;

/// After how long a message that was not done with comes again, and how often it comes before it is put aside.
const COMES_AGAIN: u64 = 360 * SECOND;
const MOST_DELIVERIES: u32 = 5;

/// Which of the outside is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Store,
    Queue,
    Runtime,
    Archive,
    Chat,
    /// The front door, by a watchdog.
    Network,
}

/// How many there are.
pub(super) const CALLS: usize = Call::Network as usize + 1;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

impl Sim {
    /// Returns the driver, as long as the simulation runs.
    pub(super) fn driver(&self) -> Option<Driver> {
        self.lock().driver.clone()
    }

    pub(super) async fn call<T>(
        &self,
        to: Call,
        act: impl FnOnce(&mut Outside) -> T + Send,
    ) -> Result<T, Unavailable> {
        let (fate, before, after) = self.lock().fate_of(to);
        self.sleep(before).await;
        match fate {
            Fate::DiesBefore => self.die().await,
            Fate::FailsBefore => return Err(Unavailable(format!("{to:?} is out of reach"))),
            Fate::Fine | Fate::FailsAfter | Fate::DiesAfter => {}
        }
        let done = act(&mut self.lock());
        if after > 0 {
            self.sleep(after).await;
        }
        match fate {
            Fate::DiesAfter => self.die().await,
            Fate::FailsAfter => return Err(Unavailable(format!("the answer of {to:?} was lost"))),
            Fate::Fine | Fate::DiesBefore | Fate::FailsBefore => {}
        }
        Ok(done)
    }
}

impl Outside {
    fn fate_of(&mut self, to: Call) -> (Fate, u64, u64) {
        let weather = &self.weather;
        let rate = match to {
            Call::Store => weather.store,
            Call::Queue => weather.queue,
            Call::Runtime => weather.runtime,
            Call::Archive => weather.archive,
            Call::Chat => weather.chat,
            Call::Network => weather.network,
        };
        let (death, slow) = (weather.death, weather.slow);
        let fate = if self.chance.one_in(death) {
            [Fate::DiesAfter, Fate::DiesBefore][self.chance.below(2) as usize]
        } else if self.clock.now < self.out[to as usize] {
            Fate::FailsBefore
        } else if self.chance.one_in(rate) {
            [Fate::FailsBefore, Fate::FailsAfter][self.chance.below(2) as usize]
        } else {
            Fate::Fine
        };
        let mut before = self.chance.millis(5, 80);
        let mut after = 0;
        if self.chance.one_in(slow) {
            let long = self.chance.millis(SECOND, 170 * SECOND);
            (before, after) = if self.chance.one_in(2) { (before, long) } else { (long, 0) };
        }
        if fate != Fate::Fine {
            self.tally.faults += 1;
            self.say(|_| format!("    a call of {to:?}: {fate:?}"));
        }
        (fate, before, after)
    }

    fn save(&mut self, world: &World, read: Version) -> Result<Version, SaveError> {
        let Some(place) = self.place_of(&world.id) else { return Err(SaveError::Conflict) };
        if self.places[place].version != read {
            return Err(SaveError::Conflict);
        }
        self.law_of_records(place, world);
        self.law_of_links(place, world);
        if let Some(law) = self.also.and_then(|also| also(world)) {
            self.breaks(|| law);
        }
        let (was, is) = (words::state(&self.places[place].record), words::state(world));
        if was != is || self.places[place].record.last != world.last {
            let now = at(self.clock.now);
            self.say(|o| format!("{} is {}", o.places[place].id, words::status(world, None, now)));
        }
        let now = self.clock.now;
        let of = &mut self.places[place];
        of.note_wishes(world, now);
        of.was_settled = effect::is_settled(&of.record);
        of.shown.recorded(world);
        (of.record, of.version, of.saved_at) = (world.clone(), Version(read.0 + 1), now);
        Ok(of.version)
    }

    /// Begins to look at the world after a while, perhaps twice, and again when that fails.
    fn send(&mut self, sim: &Sim, look: &Look) {
        let (slow, queue) = (self.weather.slow, self.weather.queue);
        let times = 1 + u32::from(self.chance.one_in(queue));
        for _ in 0..times {
            let late = if self.chance.one_in(slow) { 10 * MINUTE } else { 2 * SECOND };
            let delay = self.chance.millis(20, late);
            let work = deliver(sim.clone(), look.clone(), delay);
            self.clock.begin(Of::All, 60 * MINUTE, Box::pin(work));
        }
    }
}

impl Place {
    /// Takes note of what people's wishes have come to.
    fn note_wishes(&mut self, next: &World, now: u64) {
        if let State::Stopping { why: StopWhy::Asked(_), .. } = &next.state {
            self.stopped = Some(next.generation);
        }
        let wakes = |world: &World| match &world.state {
            State::Stopping { then, .. } | State::Ending { then, .. } => matches!(then, Then::Start(_)),
            State::Asleep
            | State::Starting { .. }
            | State::Awake { .. }
            | State::Deleting { .. }
            | State::Deleted { .. } => false,
        };
        let was_stopped = self.stop_pressed.is_some_and(|pressed| now < pressed + 10 * MINUTE);
        if wakes(&self.record) && !wakes(next) && next.generation == self.record.generation && was_stopped {
            self.start_due = None;
        }
    }
}

/// Delivers a message until it is done with, or has come too often.
async fn deliver(sim: Sim, look: Look, delay: u64) {
    sim.sleep(delay).await;
    for _ in 0..MOST_DELIVERIES {
        let (Some(driver), now) = (sim.driver(), sim.lock().some_clock()) else { return };
        if look_at(&sim, &driver, look.world.clone(), now, LOOK_LIMIT).await {
            return;
        }
        sim.sleep(COMES_AGAIN).await;
    }
}

/// Looks at the world, for so long at the most; tells whether that is done with.
async fn look_at(sim: &Sim, driver: &Driver, world: WorldId, now: Timestamp, most: u64) -> bool {
    let (begun, own, id) = (sim.now(), driver.clone(), world.clone());
    let looked = sim.ask(most, most, async move { own.look(&id, now).await.is_ok() }).await;
    let (is_late, own) = (sim.now() >= begun + most, driver.clone());
    // Who died in the middle of it does nothing more.
    if looked.is_none() && is_late {
        sim.ask(DOOR_LIMIT, DOOR_LIMIT, async move { own.overdue(&world, now).await.is_ok() }).await;
    }
    looked == Some(true)
}

/// Sweeps every minute.
pub(super) async fn sweeps(sim: Sim) {
    loop {
        let (Some(driver), now) = (sim.driver(), sim.lock().some_clock()) else { return };
        if sim.lock().is_one_machine {
            sim.begin(Of::All, SWEEP_LIMIT, async move { _ = driver.sweep(now).await });
        } else {
            sim.begin(Of::All, 2 * SWEEP_LIMIT, sweep(sim.clone(), driver, now));
        }
        sim.sleep(MINUTE).await;
    }
}

/// Sweeps as the function does, where what takes too long is cut off.
async fn sweep(sim: Sim, driver: Driver, now: Timestamp) {
    let own = driver.clone();
    sim.ask(SWEEP_LIMIT, SWEEP_LIMIT, async move { own.end_orphans().await.is_ok() }).await;
    let store = driver.store.clone();
    let listed = sim.ask(SWEEP_LIMIT, SWEEP_LIMIT, async move { store.unsettled().await }).await;
    let Some(Ok(unsettled)) = listed else { return };
    let looks = unsettled.into_iter().map(|world| look_at(&sim, &driver, world, now, SWEEP_LIMIT));
    join_all(looks).await;
}

#[async_trait]
impl Store for Sim {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        self.call(Call::Store, |o| {
            let taken = |p: &Place| {
                p.record.guild == world.guild
                    && p.record.name == world.name
                    && !matches!(p.record.state, State::Deleted { .. })
            };
            if o.places.iter().any(|p| p.id == world.id || taken(p)) {
                return Err(CreateError::NameTaken);
            }
            o.say(|_| format!("{} is made: `{}`", world.id, world.name));
            o.places.push(Place {
                id: world.id.clone(),
                record: world.clone(),
                version: Version(1),
                saved_at: 0,
                was_settled: true,
                dir: Dir::default(),
                shown: Shown::default(),
                start_due: None,
                stop_pressed: None,
                stopped: None,
                kept: None,
                withdrawn: None,
                erased: None,
            });
            Ok(())
        })
        .await?
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        let found = self.call(Call::Store, |o| {
            o.place_of(id).map(|place| (o.places[place].record.clone(), o.places[place].version))
        });
        found.await?.ok_or(LoadError::NotFound)
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        let found = self.call(Call::Store, |o| {
            let wanted = |p: &&Place| {
                p.record.guild == *guild
                    && p.record.name == *name
                    && !matches!(p.record.state, State::Deleted { .. })
            };
            let rules = o.rules.clone();
            o.places.iter().find(wanted).map(|p| Found { world: p.record.clone(), version: p.version, rules })
        });
        found.await?.ok_or(LoadError::NotFound)
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        self.call(Call::Store, |o| {
            let listed = |w: &&World| w.guild == *guild && !matches!(w.state, State::Deleted { .. });
            let mut worlds: Vec<_> = o.places.iter().map(|p| &p.record).filter(listed).cloned().collect();
            worlds.sort_by(|a, b| a.name.cmp(&b.name));
            Listed { worlds, rules: o.rules.clone() }
        })
        .await
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        self.call(Call::Store, |o| o.save(world, read)).await?
    }

    /// The index is a moment behind.
    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        self.call(Call::Store, |o| {
            let now = o.clock.now;
            let is_settled = |p: &Place| {
                if now < p.saved_at + 1500 { p.was_settled } else { effect::is_settled(&p.record) }
            };
            o.places.iter().filter(|p| !is_settled(p)).map(|p| p.id.clone()).collect()
        })
        .await
    }

    async fn rules(&self, _: &GuildId) -> Result<(Rules, Version), Unavailable> {
        self.call(Call::Store, |o| (o.rules.clone(), Version(0))).await
    }

    async fn save_rules(&self, _: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        self.call(Call::Store, |o| o.rules = rules.clone()).await?;
        Ok(Version(read.0 + 1))
    }
}

#[async_trait]
impl Queue for Sim {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        self.call(Call::Queue, |o| o.send(self, look)).await
    }

    /// Messages come by themselves here.
    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, Unavailable> {
        Ok(vec![])
    }

    async fn done(&self, _: &str) -> Result<(), Unavailable> {
        Ok(())
    }
}

#[async_trait]
impl ArchiveStore for Sim {
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        let id = ArchiveId::parse(&format!("a{:010}-g{launch}", now.as_millisecond() % 10_000_000_000));
        let begun = Upload { id: id.map_err(|e| Unavailable(e.to_string()))?, key: "sim".into() };
        let upload = part.of.clone().unwrap_or(begun);
        let url = format!("sim://{world}/{}", upload.id);
        self.call(Call::Archive, |_| Ticket { upload, url }).await
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let takes = {
            let o = self.lock();
            let stored = o.place_of(world).and_then(|place| o.archive(place, &claim.id));
            stored.map_or(0, |stored| stored.takes)
        };
        self.sleep(takes).await;
        self.call(Call::Archive, |o| {
            let Some(place) = o.place_of(world) else { return Checked::NotWhole };
            let stored = o.archives.iter_mut().find(|a| a.place == place && a.id == claim.id);
            let Some(stored) = stored.filter(|a| a.is_whole && 1000 + a.content == claim.size) else {
                return Checked::NotWhole;
            };
            stored.is_sealed = true;
            Checked::Whole
        })
        .await
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        let known = self
            .call(Call::Archive, |o| o.place_of(world).is_some_and(|place| o.archive(place, id).is_some()));
        if known.await? { Ok(Link { url: format!("sim://{id}"), expires }) } else { Err(LinkError::NotFound) }
    }

    async fn remove(&self, world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable> {
        self.call(Call::Archive, |o| {
            if let Some(place) = o.place_of(world) {
                o.law_of_removal(place, id);
                o.archives.retain(|stored| stored.place != place || stored.id != *id);
            }
        })
        .await
    }

    async fn inbox(&self, _: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable> {
        let url = format!("sim://inbox/{id}");
        self.call(Call::Archive, |_| Link { url, expires }).await
    }

    async fn received(&self, _: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError> {
        let known = self.call(Call::Archive, |o| {
            o.inboxes.iter().any(|(_, import, _)| import == id) && !o.discarded.contains(id)
        });
        let link = Link { url: format!("sim://inbox/{id}"), expires };
        if known.await? { Ok(link) } else { Err(LinkError::NotFound) }
    }

    async fn discard(&self, _: &WorldId, id: &ImportId) -> Result<(), Unavailable> {
        self.call(Call::Archive, |o| o.discarded.push(id.clone())).await
    }
}

impl Exports for Sim {
    fn url(&self, world: &WorldId, link: &LinkId) -> Result<String, Unavailable> {
        Ok(format!("sim://{world}/{link}"))
    }
}
