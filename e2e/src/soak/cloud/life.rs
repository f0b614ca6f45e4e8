//! The life of one world: woken, played on, put to sleep by people, by itself or by Spot, again and again.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use serde_json::Value;

use super::{Ground, LOOK_EVERY, happens, harm::Case, pick, seconds, weather::Calm};
use crate::{
    cloud::people::{ANN, Answered, BOB, Friend},
    soak::ledger::{Book, Player},
};

/// The game that stands in the catalogue; the image has the ledger in its place.
const GAME: &str = "luanti";

/// How long something may take while everything goes wrong, before there has to be calm.
pub(super) const PATIENCE: Duration = Duration::from_secs(75);

/// Within which time everything has to come right once it is calm.
const CALM_LIMIT: Duration = Duration::from_secs(6 * 60);

/// How often a world is woken before somebody has to wonder.
pub(super) const MOST_TRIES: u32 = 12;

/// How long players may wait for an acknowledgement: games stand still for 20 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The life of a world.
pub(super) struct Life<'a> {
    pub(super) ground: &'a Ground<'a>,
    /// Which of the worlds of a cloud it is, counted from 0; its players' machine has the same number.
    n: usize,
    pub(super) chance: Rng,
    pub(super) case: Arc<Case>,
    /// How many worlds had this place.
    worlds: u32,
    /// How many players ever were.
    players: u32,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) book: Arc<Book>,
    /// What each archive was seen to hold.
    pub(super) archives: BTreeMap<String, Vec<String>>,
    /// The archive that was put back, as long as none was made since: the newest is another one.
    pub(super) restored: Option<String>,
    /// What was promised when an archive was asked for that is made while the world is awake.
    pub(super) wished: Vec<String>,
    /// What was downloaded last, of this world or of one before it: the archive, and the ledger in it.
    pub(super) download: Option<(Vec<u8>, Vec<String>)>,
}

/// A world that people can play on.
struct Awake {
    generation: u64,
    address: std::net::SocketAddr,
}

impl<'a> Life<'a> {
    /// Makes a world.
    pub(super) fn begin(ground: &'a Ground<'a>, n: usize, chance: Rng) -> Result<Self> {
        let mut life = Self {
            ground,
            n,
            chance,
            case: Arc::default(),
            worlds: 0,
            players: 0,
            name: String::new(),
            id: String::new(),
            book: Arc::default(),
            archives: BTreeMap::new(),
            restored: None,
            wished: Vec::new(),
            download: None,
        };
        life.make()?;
        Ok(life)
    }

    /// Makes a new world in the place of the last.
    pub(super) fn make(&mut self) -> Result<()> {
        self.worlds += 1;
        self.name = format!("{}{}", ["asgard", "midgard", "utgard"][self.n % 3], self.worlds);
        let sleep_after = format!("{}s", self.chance.u32(8..13));
        let options = [
            ("name", self.name.as_str()),
            ("game", GAME),
            ("join-within", "40s"),
            ("sleep-after", sleep_after.as_str()),
        ];
        let made = |world: &Value| world["id"].is_string();
        let world = self.ask_until("is made", made, |life| {
            life.ground.cloud.people.command(ANN, "world create", &options)
        })?;
        self.id = world["id"].as_str().context("a world without id")?.to_owned();
        self.case.set(&self.id, &self.name);
        (self.book, self.archives) = (Arc::default(), BTreeMap::new());
        (self.restored, self.wished) = (None, Vec::new());
        self.ground.count("worlds");
        Ok(())
    }

    /// Plays rounds until it is over.
    pub(super) fn live(&mut self) -> Result<()> {
        let lived = self.rounds();
        if lived.is_err() {
            self.ground.is_broken.store(true, Ordering::SeqCst);
        }
        lived.map_err(|error| error.context(self.ground.cloud.evidence_of(&self.id)))
    }

    fn rounds(&mut self) -> Result<()> {
        while !self.ground.is_over() {
            self.case.begin();
            self.round()?;
            self.ground.count("rounds");
            if !self.ground.is_over() {
                self.between()?;
            }
        }
        Ok(())
    }

    /// Plays from sleep to sleep.
    fn round(&mut self) -> Result<()> {
        let before = self.world()?["generation"].as_u64().unwrap_or(0);
        if let Some(awake) = self.wake()? {
            let players = self.play(&awake)?;
            self.end(players)?;
        }
        let asleep = self.come_to_rest()?;
        ensure!(asleep["generation"].as_u64() > Some(before), "nothing was launched: {asleep:#}");
        self.check(&asleep)
    }

    /// Wakes the world, however often that takes; nothing if somebody has put it back to sleep meanwhile.
    fn wake(&mut self) -> Result<Option<Awake>> {
        let mut calm = None;
        for tries in 0..MOST_TRIES {
            if tries == MOST_TRIES / 2 {
                calm = Some(self.ground.weather.calm());
            }
            let before = self.world()?["generation"].as_u64().unwrap_or(0);
            self.press_start()?;
            if happens(&mut self.chance, 8) {
                let time = seconds(&mut self.chance, 0..4);
                thread::sleep(time);
                self.case.excuse();
                self.press("stop", BOB)?;
                self.ground.count("starts that were called off");
                return Ok(None);
            }
            let is_settled = |world: &Value| {
                let is_new = world["generation"].as_u64().is_some_and(|now| now > before);
                world["state"] == "awake" || (is_new && world["state"] == "asleep")
            };
            // Somebody was told that it failed, or an answer never came: they press again.
            let Some(world) = self.within(PATIENCE, is_settled)? else { continue };
            if world["state"] == "awake" {
                let address = world["address"].as_str().context("awake, and nobody knows where")?;
                let generation = world["generation"].as_u64().context("no generation")?;
                return Ok(Some(Awake { generation, address: address.parse()? }));
            }
            self.ground.count("starts that failed");
            self.ground.story(&format!("{}: {}", self.name, outcome(&world)));
        }
        drop(calm);
        bail!("it cannot be woken: {:#}", self.world()?)
    }

    /// Presses start: often one person once, sometimes one twice, or two at the same moment.
    fn press_start(&mut self) -> Result<()> {
        match self.chance.u32(..100) {
            0..20 => {
                let (ann, bob) = thread::scope(|scope| {
                    let ann = scope.spawn(|| self.ground.cloud.on(ANN, "start", &self.name));
                    let bob = self.ground.cloud.on(BOB, "start", &self.name);
                    (ann.join(), bob)
                });
                if !matches!(ann, Ok(Ok(_))) && bob.is_err() {
                    self.press("start", BOB)?;
                }
            }
            20..35 => {
                self.press("start", ANN)?;
                self.press("start", ANN)?;
            }
            _ => {
                self.press("start", BOB)?;
            }
        }
        Ok(())
    }

    /// Lets people come, deposit, and perhaps ask for an archive.
    fn play(&mut self, awake: &Awake) -> Result<Vec<Player>> {
        let ns = self.ground.cloud.lab.client(self.n);
        let mut players = Vec::new();
        for _ in 0..*pick(&mut self.chance, &[0, 1, 1, 2, 2, 3, 3]) {
            self.players += 1;
            let name = format!("p{}", self.players);
            players.push(Player::join(ns, awake.address, &self.id, &name, &self.book)?);
        }
        let longest = *pick(&mut self.chance, &[8, 12, 40]);
        let (begun, time) = (Instant::now(), seconds(&mut self.chance, 3..longest));
        let before = self.book.promises().len();
        let mut backup_at = happens(&mut self.chance, 25).then(|| time / 3);
        let mut export_at = happens(&mut self.chance, 12).then(|| time / 2);
        while begun.elapsed() < time && !self.ground.is_over() {
            if backup_at.is_some_and(|at| begun.elapsed() >= at) {
                backup_at = None;
                self.wished = self.book.promises();
                if self.ground.cloud.on(BOB, "backup", &self.name).is_ok() {
                    self.ground.count("archives that were asked for while awake");
                }
            }
            if export_at.is_some_and(|at| begun.elapsed() >= at) {
                export_at = None;
                self.export()?;
            }
            let has_played = self.book.promises().len() > before;
            if !players.is_empty() && has_played && self.is_thrown_out(awake, begun)? {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        self.ground.field.tally.add("deposits", (self.book.promises().len() - before) as u64);
        Ok(players)
    }

    /// Tells whether players were thrown out; that is a finding unless something was done that explains it.
    fn is_thrown_out(&self, awake: &Awake, since: Instant) -> Result<bool> {
        let silent_for = self.book.silent_for().unwrap_or_default().min(since.elapsed());
        let is_gone = self.ground.cloud.world(&self.name).ok().filter(|world| {
            world["state"] != "awake" || world["generation"].as_u64() != Some(awake.generation)
        });
        // What was done was noted before it was done.
        if self.case.is_excused() {
            return Ok(is_gone.is_some());
        }
        if let Some(world) = is_gone {
            self.found(&format!("players were thrown out: {world:#}"));
            return Ok(true);
        }
        if silent_for > SILENCE_LIMIT {
            self.found(&format!("nobody was answered for {silent_for:.0?}"));
            return Ok(true);
        }
        Ok(false)
    }

    /// Ends the round in one of the ways in which one ends.
    fn end(&mut self, players: Vec<Player>) -> Result<()> {
        match self.chance.u32(..100) {
            0..45 => {
                self.case.excuse();
                let who = *pick(&mut self.chance, &[ANN, BOB]);
                self.press("stop", who)?;
                if happens(&mut self.chance, 20) {
                    self.press("stop", who)?;
                }
                // They see it coming.
                thread::sleep(seconds(&mut self.chance, 0..3));
            }
            45..80 => {}
            _ => {
                self.case.excuse();
                let tasks = self.ground.cloud.fargate.running();
                let task = tasks.into_iter().find(|task| task.world() == self.id);
                let reason = "Your Spot Task was interrupted.";
                let is_taken = task.is_some_and(|task| {
                    self.ground.cloud.moto.end_task(&task.id, "SpotInterruption", reason, &[]).is_ok()
                });
                if is_taken {
                    self.ground.fault("interruptions by Spot", &self.name);
                }
            }
        }
        drop(players);
        Ok(())
    }

    /// Presses a button until it is answered.
    pub(super) fn press(&self, command: &str, who: Friend) -> Result<Answered> {
        self.ask(|life| life.ground.cloud.on(who, command, &life.name))
    }

    /// Asks for something until it is so.
    pub(super) fn ask_until(
        &self,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
        act: impl Fn(&Self) -> Result<Answered>,
    ) -> Result<Value> {
        let (begun, mut calm) = (Instant::now(), None);
        loop {
            let said = act(self);
            for _ in 0..10 {
                if let Ok(world) = self.ground.cloud.world(&self.name)
                    && is_so(&world)
                {
                    return Ok(world);
                }
                thread::sleep(LOOK_EVERY);
            }
            self.grow_impatient(begun, &mut calm).with_context(|| match said {
                Ok(answer) => format!("{} never {what}: {}", self.name, answer.text()),
                Err(error) => format!("{} never {what}: {error:#}", self.name),
            })?;
        }
    }

    /// Asks until there is an answer.
    pub(super) fn ask<T>(&self, act: impl Fn(&Self) -> Result<T>) -> Result<T> {
        let (begun, mut calm) = (Instant::now(), None);
        loop {
            match act(self) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.ground.count("presses without an answer");
                    self.grow_impatient(begun, &mut calm).with_context(|| format!("{error:#}"))?;
                }
            }
            thread::sleep(LOOK_EVERY * 3);
        }
    }

    /// Asks for calm when it has taken long; an error when it was calm for long.
    pub(super) fn grow_impatient<'b>(&'b self, begun: Instant, calm: &mut Option<Calm<'b>>) -> Result<()> {
        if calm.is_none() && begun.elapsed() > PATIENCE {
            *calm = Some(self.ground.weather.calm());
        }
        ensure!(
            self.ground.weather.clear_for() < CALM_LIMIT || calm.is_none(),
            "it was calm for {CALM_LIMIT:?}"
        );
        ensure!(!self.ground.is_broken.load(Ordering::SeqCst), "something else is broken");
        Ok(())
    }

    /// Returns the world as the front door shows it.
    pub(super) fn world(&self) -> Result<Value> {
        self.ask(|life| life.ground.cloud.world(&life.name))
    }

    /// Looks until `is_so`, but no longer than this.
    pub(super) fn within(&self, limit: Duration, is_so: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Ok(world) = self.ground.cloud.world(&self.name)
                && is_so(&world)
            {
                return Ok(Some(world));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }

    /// Looks until something is right, which it has to be at last when it is calm.
    pub(super) fn right(&self, what: &str, is_so: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let (begun, mut calm) = (Instant::now(), None);
        loop {
            let so = is_so(self);
            if matches!(so, Ok(true)) {
                return Ok(());
            }
            self.grow_impatient(begun, &mut calm).with_context(|| match so {
                Ok(_) => format!("{}, not so: {what}", self.name),
                Err(error) => format!("{}, not so: {what}: {error:#}", self.name),
            })?;
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the world sleeps and no task runs for it.
    pub(super) fn come_to_rest(&self) -> Result<Value> {
        let begun = Instant::now();
        let is_idle =
            |life: &Self| !life.ground.cloud.fargate.running().iter().any(|task| task.world() == life.id);
        self.right("it sleeps, and no task runs for it", |life| {
            Ok(life.ground.cloud.world(&life.name)?["state"] == "asleep" && is_idle(life))
        })?;
        let asleep = self.world()?;
        let took = begun.elapsed();
        self.ground.story(&format!("{} is at rest after {took:.1?}: {}", self.name, outcome(&asleep)));
        Ok(asleep)
    }

    /// Takes note of what must not be.
    pub(super) fn found(&self, what: &str) {
        let place = format!("{}, {}", self.ground.name, self.name);
        self.ground.field.found(&place, &format!("{what}\n{}", self.ground.cloud.evidence_of(&self.id)));
    }
}

/// Returns how a world's last launch ended.
pub(super) fn outcome(world: &Value) -> String {
    world["last"]["outcome"].as_str().unwrap_or_default().to_owned()
}
