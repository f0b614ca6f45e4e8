//! One world's rounds: it is woken, played, struck by something perhaps, put to sleep or falls asleep, and is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    Machine, PLAYERS,
    game::{Game, Ledger, Luanti, Open, Source},
    plan::{Blow, Copied, Moment, Plan, Victim},
    seconds,
};

/// Its timers, in seconds: for the first player, after the last one, to warn, at most.
const TIMERS: [u32; 4] = [40, 8, 3, 12 * 60 * 60];

/// How long a world may take to be awake, or to sleep, with the worst weather.
const CHANGE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// How long players may go without an acknowledgement after whatever kept their game from it.
const SILENCE_LIMIT: Duration = Duration::from_secs(75);

/// Between two looks at a world.
const LOOK_EVERY: Duration = Duration::from_millis(600);

/// How long the end of a task may take after its world sleeps.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Lives as long as rounds are begun, as one world after the other.
pub(super) fn live(machine: &Machine<'_>, i: u32, mut rng: Rng) {
    let mut n = 0;
    while !machine.field.is_over() {
        let name = format!("w{i}-{n}");
        let place = format!("{} {name}", machine.name);
        let result = World::create(machine, i, name.clone(), Rng::with_seed(rng.u64(..)))
            .and_then(|mut world| world.live());
        if let Err(error) = result {
            let logs = machine.dormouse.logs(&name);
            machine.field.found(&place, &format!("{error:#}\n{logs}"));
        }
        n += 1;
    }
}

/// A world and what is known of it.
struct World<'a> {
    machine: &'a Machine<'a>,
    name: String,
    /// What it is called in the story.
    place: String,
    id: String,
    /// The first of its players' machines.
    players: usize,
    game: Box<dyn Game>,
    /// What each archive held when it was seen first.
    archives: BTreeMap<String, Vec<String>>,
    round: u32,
    /// Something was done to its task that may end it.
    is_struck: AtomicBool,
    rng: Rng,
}

impl<'a> World<'a> {
    fn create(machine: &'a Machine<'a>, i: u32, name: String, rng: Rng) -> Result<Self> {
        // A real one among many that are quick.
        let is_real = machine.n == 0 && i == 0;
        let game: Box<dyn Game> = if is_real { Box::<Luanti>::default() } else { Box::<Ledger>::default() };
        let begun = Instant::now();
        while let Err(error) = machine.dormouse.create(&name, game.name(), TIMERS) {
            // Who heard no answer finds that it is made.
            if machine.dormouse.world(&name).is_ok() {
                break;
            }
            ensure!(begun.elapsed() < super::PATIENCE, "it cannot be made: {error:#}");
            thread::sleep(super::PRESS_EVERY);
        }
        let id = machine.ask(&["world", "status", &name])?["id"].as_str().context("no id")?.to_owned();
        Ok(Self {
            place: format!("{} {name}", machine.name),
            machine,
            name,
            id,
            players: i as usize * PLAYERS,
            game,
            archives: BTreeMap::new(),
            round: 0,
            is_struck: AtomicBool::new(false),
            rng,
        })
    }

    /// Plays rounds until it is over or the world is deleted; and one more, in which nothing is done to it.
    fn live(&mut self) -> Result<()> {
        while !self.machine.field.is_over() {
            self.round += 1;
            let plan = Plan::draw(&mut self.rng);
            self.play(&plan).with_context(|| format!("round {}: {plan}", self.round))?;
            self.machine.field.tally.add("rounds", 1);
            match self.rng.u8(..100) {
                0..15 => self.restore()?,
                15..25 => self.move_house()?,
                // What is in no archive yet cannot be deleted.
                25..29 if self.status()?["is_archived"] == true => return self.delete(),
                _ => {}
            }
        }
        self.round += 1;
        self.play(&Plan::calm()).context("the last round, in which nothing is done to it")
    }

    fn play(&mut self, plan: &Plan) -> Result<()> {
        let begun = Instant::now();
        let gusts = self.machine.gusts.load(Ordering::SeqCst);
        let before = self.status()?["generation"].as_u64().context("no generation")?;
        let promised = self.game.promised();
        self.is_struck.store(false, Ordering::SeqCst);
        let world = &*self;
        let ended = thread::scope(|scope| -> Result<End> {
            let strike = |moment| {
                for blow in plan.blows.iter().filter(|blow| blow.moment == moment) {
                    scope.spawn(move || world.strike(*blow));
                }
            };
            strike(Moment::Waking);
            let Some(awake) = world.wake(before, plan)? else { return Ok(End::NeverAwake) };
            strike(Moment::Playing);
            let players = world.join(&awake, plan)?;
            world.endure(&awake, plan, players.len())?;
            strike(Moment::Stopping);
            match plan.is_stopped {
                true => drop(world.machine.insist(&["world", "stop", &world.name])?),
                false => drop(players),
            }
            Ok(End::Awake)
        })?;
        let asleep = self.rest(before + 1)?;
        let is_calm = gusts == self.machine.gusts.load(Ordering::SeqCst) && gusts.is_multiple_of(2);
        // Who pressed as well may have woken it once more.
        let generation = asleep["generation"].as_u64().context("no generation")?;
        let outcome = self.check(&asleep, generation)?;
        if is_calm && plan.blows.is_empty() && !self.is_deaf(generation) {
            ensure!(
                outcome.starts_with("saved and archived"),
                "with nothing in its way it ended otherwise: {asleep:#}"
            );
            self.machine.field.tally.add("undisturbed rounds", 1);
        }
        if ended == End::NeverAwake {
            self.machine.field.tally.add("wakes that came to nothing", 1);
        }
        let deposits = self.game.promised().saturating_sub(promised);
        self.machine.field.tally.add("deposits", deposits as u64);
        let took = begun.elapsed();
        let told = format!("round {}: {plan}: {deposits} deposits, {outcome} ({took:.0?})", self.round);
        self.machine.field.story(&self.place, &told);
        Ok(())
    }

    /// Wakes it and waits until it is awake; nothing if it fell asleep again.
    fn wake(&self, before: u64, plan: &Plan) -> Result<Option<Value>> {
        let start = ["world", "start", &self.name];
        if plan.is_pressed_twice {
            thread::scope(|scope| -> Result<()> {
                // Whoever presses as well is told something, whatever it is.
                let other = scope.spawn(|| self.machine.dormouse.cli(&start));
                self.machine.insist(&start)?;
                other.join().expect("no panic").map(drop)
            })?;
        } else {
            self.machine.insist(&start)?;
        }
        let world = self.wait("awake, or asleep again", |world| {
            world["generation"].as_u64() > Some(before)
                && (world["state"] == "awake" || world["state"] == "asleep")
        })?;
        Ok(Some(world).filter(|world| world["state"] == "awake"))
    }

    fn join(&self, awake: &Value, plan: &Plan) -> Result<Vec<Box<dyn Send>>> {
        let port = awake["address"].as_str().and_then(|address| address.rsplit_once(':')?.1.parse().ok());
        let server = SocketAddr::from((self.machine.lab.server().address, port.context("no address")?));
        let generation = awake["generation"].as_u64().context("no generation")?;
        let machines: Vec<_> = (0..plan.players).map(|i| self.machine.lab.client(self.players + i)).collect();
        self.game.join(&machines, &Open { server, world: &self.id, generation, log: &self.log(generation) })
    }

    /// Lets them play, and sees that nobody is thrown out.
    fn endure(&self, awake: &Value, plan: &Plan, players: usize) -> Result<()> {
        thread::sleep(plan.time / 2);
        match plan.copied {
            None => {}
            // One that was struck meanwhile sleeps: it is copied all the same.
            Some(Copied::Backup) => {
                self.machine.insist(&["world", "backup", &self.name])?;
                self.machine.field.tally.add("backups while awake", 1);
            }
            Some(Copied::Export) => self.export()?,
        }
        thread::sleep(plan.time / 2);
        let (begun, generation) = (Instant::now(), awake["generation"].as_u64().context("no generation")?);
        while !self.is_struck.load(Ordering::SeqCst) {
            let now = self.status()?;
            // A blow may have fallen while it was asked.
            if self.is_struck.load(Ordering::SeqCst) {
                return Ok(());
            }
            let is_on = now["state"] == "awake" && now["generation"] == awake["generation"];
            let status = now["status"].as_str().unwrap_or_default();
            if !is_on && self.game.minds_full_disks() && status.contains("the game ended by itself") {
                return Ok(());
            }
            ensure!(is_on || players == 0, "its players were thrown out: {now:#}");
            let printed = || fs::read_to_string(self.log(generation)).unwrap_or_default();
            if players == 0 || self.game.is_heard(&printed()) {
                return Ok(());
            }
            ensure!(begun.elapsed() < SILENCE_LIMIT, "its players get no answer any more: {now:#}");
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Downloads it, and sees that whatever was promised before it was asked for is there.
    fn export(&self) -> Result<()> {
        let promised = self.game.promises();
        let scratch = tempfile::tempdir()?;
        let to = scratch.path().join("export.zip");
        self.machine.insist(&["world", "export", &self.name, "--to", &to.display().to_string()])?;
        let lines: BTreeSet<_> = self.game.read_archive(&to).context("the export")?.into_iter().collect();
        let missing: Vec<_> = promised.iter().filter(|line| !lines.contains(*line)).collect();
        ensure!(missing.is_empty(), "{} of {} deposits are not in the export", missing.len(), promised.len());
        self.machine.field.tally.add("exports while awake", 1);
        Ok(())
    }

    /// Does to its task what was planned.
    fn strike(&self, blow: Blow) {
        thread::sleep(blow.after);
        let all = self.machine.processes(&self.id);
        let tasks = self.machine.dormouse.data.join("tasks");
        let (watchdog, game): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|process| process.cwd.starts_with(&tasks));
        let victims = match blow.victim {
            Victim::Watchdog => watchdog,
            Victim::Game => game,
            Victim::Both => [watchdog, game].concat(),
        };
        let what = blow.what();
        match blow.frozen {
            None => {
                self.is_struck.store(true, Ordering::SeqCst);
                if self.machine.send(&victims, Signal::SIGKILL) {
                    self.machine.field.fault(&self.place, what, &blow.to_string());
                }
            }
            Some(time) => {
                if self.machine.send(&victims, Signal::SIGSTOP) {
                    self.machine.field.fault(&self.place, what, &blow.to_string());
                    self.machine.field.pause(time);
                    self.machine.send(&victims, Signal::SIGCONT);
                }
            }
        }
    }

    /// Waits until it sleeps and nothing of its task is left.
    fn rest(&self, generation: u64) -> Result<Value> {
        let asleep = self.wait("asleep", |world| {
            world["state"] == "asleep" && world["generation"].as_u64() >= Some(generation)
        })?;
        let begun = Instant::now();
        loop {
            let left = self.machine.processes(&self.id);
            if left.is_empty() {
                return Ok(asleep);
            }
            ensure!(begun.elapsed() < END_LIMIT, "it sleeps, and these still run: {left:?}");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Looks at its files and its archives, and returns how it ended.
    fn check(&mut self, asleep: &Value, generation: u64) -> Result<String> {
        let outcome = asleep["last"]["outcome"].as_str().unwrap_or_default().to_owned();
        let files = self.files();
        let kept = Some(self.game.read(&files)?).filter(|lines| !lines.is_empty());
        if let Some(kept) = &kept {
            self.game.check(kept, Source::Files(&files)).context("in its directory")?;
        }
        self.look_at_archives()?;
        let newest = asleep["archive"]["id"].as_str().unwrap_or_default();
        let of_this = asleep["archive"]["generation"].as_u64() == Some(generation);
        ensure!(of_this || !outcome.starts_with("saved and archived"), "it is not archived: {asleep:#}");
        let archived = self.archives.get(newest);
        match (&kept, archived) {
            (Some(kept), Some(archived)) if asleep["is_archived"] == true => {
                let is_there = self.archives.values().any(|archive| archive == kept);
                ensure!(
                    is_there,
                    "its newest archive has {} lines, its directory {}, and no other is like it",
                    archived.len(),
                    kept.len()
                );
            }
            // Which of them it lives in is seen when it wakes.
            (None, Some(archived)) => {
                let right = |(id, lines): (&String, &Vec<String>)| {
                    self.game.check(lines, Source::Archive(&self.archive(id))).is_ok()
                };
                if !self.archives.iter().filter(|(id, _)| self.archive(id).exists()).any(right) {
                    let path = self.archive(newest);
                    self.game
                        .check(archived, Source::Archive(&path))
                        .context("in the newest of its archives")?;
                }
            }
            (None, None) => ensure!(self.game.promised() == 0, "it is nowhere: {asleep:#}"),
            (Some(_), _) => {}
        }
        Ok(outcome)
    }

    /// Reads every archive that was not seen before. All on record have to be there.
    fn look_at_archives(&mut self) -> Result<()> {
        let listed = self.machine.ask(&["world", "backups", &self.name])?;
        for archive in listed.as_array().context("no list of archives")? {
            let id = archive["id"].as_str().context("an archive without id")?;
            let path = self.archive(id);
            if self.archives.contains_key(id) {
                ensure!(path.exists(), "the archive {id} is gone");
                continue;
            }
            let lines = self.game.read_archive(&path).with_context(|| format!("the archive {id}"))?;
            self.archives.insert(id.to_owned(), lines);
            self.machine.field.tally.add("archives read", 1);
        }
        Ok(())
    }

    /// Puts an archive back, or brings it in as a file from elsewhere, now and then with its watchdog struck meanwhile.
    fn restore(&mut self) -> Result<()> {
        self.look_at_archives()?;
        let listed = self.machine.ask(&["world", "backups", &self.name])?;
        let ids: Vec<_> =
            listed.as_array().into_iter().flatten().filter_map(|archive| archive["id"].as_str()).collect();
        let Some(id) = ids.get(self.rng.usize(..ids.len().max(1))).map(|id| (*id).to_owned()) else {
            return Ok(());
        };
        let before = self.status()?["generation"].as_u64().context("no generation")?;
        let after = Duration::from_millis(self.rng.u64(..900));
        let frozen = (self.rng.u8(..3) == 0).then(|| seconds(&mut self.rng, 1..20));
        let blow = self.rng.bool().then_some(Blow {
            victim: Victim::Watchdog,
            moment: Moment::Waking,
            after,
            frozen,
        });
        let (path, is_import) = (self.archive(&id).display().to_string(), self.rng.bool());
        let world = &*self;
        thread::scope(|scope| -> Result<()> {
            match is_import {
                true => world.machine.insist(&["world", "import", &world.name, &path])?,
                false => world.machine.insist(&["world", "restore", &world.name, &id])?,
            };
            if let Some(blow) = blow {
                scope.spawn(move || world.strike(blow));
            }
            Ok(())
        })?;
        let asleep = self.rest(before + 1)?;
        let wanted = self.archives[&id].clone();
        let files = self.files();
        let is_well = asleep["last"]["is_well"] == true;
        // One that was killed in the middle left the one or the other.
        if is_well || self.game.read(&files)? == wanted {
            self.game.rewind(&wanted);
            self.machine.field.tally.add(if is_import { "imports" } else { "restores" }, 1);
        }
        self.machine
            .field
            .story(&self.place, &format!("archive {id} put back: {}", asleep["last"]["outcome"]));
        self.check(&asleep, u64::MAX).with_context(|| format!("after archive {id} was put back")).map(drop)
    }

    /// Lets it live in its archive alone, or in its directory again.
    fn move_house(&mut self) -> Result<()> {
        let storage = if self.rng.bool() { "archive" } else { "directory" };
        self.machine.insist(&["world", "settings", &self.name, "--storage", storage])?;
        self.machine.field.tally.add("changes of storage", 1);
        Ok(())
    }

    fn delete(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let done =
                self.machine.dormouse.cli(&["world", "delete", &self.name, "--confirm", &self.name])?;
            // Who heard no answer asks again, and hears that there is no such world.
            if done.code == 0 || done.stderr.contains("there is no world") {
                break;
            }
            ensure!(begun.elapsed() < super::PATIENCE, "it cannot be deleted: {done:?}");
            thread::sleep(super::PRESS_EVERY);
        }
        while self.files().exists() {
            ensure!(begun.elapsed() < CHANGE_LIMIT, "it is deleted, and its files are still there");
            thread::sleep(LOOK_EVERY);
        }
        self.machine.field.tally.add("deletions", 1);
        Ok(())
    }

    /// Looks at it until `is_so`.
    fn wait(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let world = self.status()?;
            if is_so(&world) {
                return Ok(world);
            }
            if begun.elapsed() > CHANGE_LIMIT {
                bail!("not {what} after {CHANGE_LIMIT:?}: {world:#}");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn status(&self) -> Result<Value> {
        self.machine.ask(&["world", "status", &self.name])
    }

    /// Tells whether the game of a launch would not hear its stop signal.
    fn is_deaf(&self, generation: u64) -> bool {
        fs::read_to_string(self.log(generation)).is_ok_and(|log| log.contains("lines, deaf"))
    }

    /// Returns where the game prints in a launch.
    fn log(&self, generation: u64) -> PathBuf {
        self.machine.dormouse.data.join("tasks").join(format!("{}.{generation}", self.id)).join("game.log")
    }

    fn files(&self) -> PathBuf {
        self.machine.dormouse.data.join("worlds").join(&self.id).join("files")
    }

    fn archive(&self, id: &str) -> PathBuf {
        let archives: &Path = &self.machine.dormouse.data.join("archives");
        archives.join(&self.id).join(format!("{id}.zip"))
    }
}

/// How far a round came.
#[derive(Debug, PartialEq, Eq)]
enum End {
    NeverAwake,
    Awake,
}
