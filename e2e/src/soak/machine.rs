//! Rounds on one machine: a real `dormouse up` with real watchdogs, on a disk of its own.

use std::{
    fs,
    sync::atomic::AtomicU64,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Field, ledger, seconds};
use crate::{
    clocks::Clocks,
    disk::Disk,
    dormouse::{Done, Dormouse},
    netns::Lab,
    onlooker::{Onlooker, Process, processes},
};

mod game;

mod plan;

mod weather;

mod world;

/// How many worlds a machine has, each of which is always at something.
const WORLDS: u32 = 3;

/// How many players may be in one world.
const PLAYERS: usize = 3;

/// How long a person presses again, as long as nobody answers.
const PATIENCE: Duration = Duration::from_secs(4 * 60);

/// Between two presses.
const PRESS_EVERY: Duration = Duration::from_secs(1);

/// Plays on a machine until it is over. An error means that it cannot go on here.
pub(super) fn play(field: &Field<'_>, name: &str, n: u32, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let lab = Lab::new(&format!("soak{n}"), WORLDS as usize * PLAYERS)?;
    let machine = Machine::new(field, name, n, &lab)?;
    machine.dormouse.start()?;
    let onlooker = Onlooker::of(game::SERVERS);
    onlooker.watching(&machine.dormouse.data, || {
        thread::scope(|scope| {
            let (machine, seed) = (&machine, rng.u64(..));
            scope.spawn(move || weather::blow(machine, Rng::with_seed(seed)));
            let worlds: Vec<_> = (0..WORLDS)
                .map(|i| (i, rng.u64(..)))
                .map(|(i, seed)| scope.spawn(move || world::live(machine, i, Rng::with_seed(seed))))
                .collect();
            for world in worlds {
                if world.join().is_err() {
                    field.found(name, "a world's thread broke down");
                }
            }
        });
        field.tally.add("looks for two writers", onlooker.samples() as u64);
        onlooker.verdict()
    })
}

/// A machine.
struct Machine<'a> {
    field: &'a Field<'a>,
    name: &'a str,
    /// Which machine it is.
    n: u32,
    lab: &'a Lab,
    dormouse: Dormouse<'a>,
    disk: Disk,
    /// What the control plane takes for the time.
    clocks: Clocks,
    /// How many gusts there were: who sees the same number before and after had calm weather.
    gusts: AtomicU64,
    _scratch: TempDir,
}

impl<'a> Machine<'a> {
    fn new(field: &'a Field<'a>, name: &'a str, n: u32, lab: &'a Lab) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir(path("games"))?;
        ledger::write_entry(&path("games"), ledger::DEAF_PERCENT)?;
        let (clocks, disk) = (Clocks::make(scratch.path())?, Disk::mount()?);
        clocks.set(weather::CLOCK, 0)?;
        let mut dormouse = Dormouse::prepare(lab.server())?;
        dormouse.data = disk.at().join("data");
        dormouse.arguments = vec!["--games".into(), path("games").display().to_string()];
        let clock = clocks.vars(weather::CLOCK).map(|(name, value)| format!("{name}={value}"));
        dormouse.wrapper = [&["env".to_owned()], &clock[..]].concat();
        let gusts = AtomicU64::new(0);
        Ok(Self { field, name, n, lab, dormouse, disk, clocks, gusts, _scratch: scratch })
    }

    /// Runs a command of `dormouse`'s again and again until it is done, as a person does while nobody answers.
    fn insist(&self, arguments: &[&str]) -> Result<Done> {
        let begun = Instant::now();
        loop {
            let done = self.dormouse.cli(arguments)?;
            if done.code == 0 {
                return Ok(done);
            }
            if begun.elapsed() > PATIENCE {
                bail!("`dormouse {}` is not done: {}{}", arguments.join(" "), done.stdout, done.stderr);
            }
            thread::sleep(PRESS_EVERY);
        }
    }

    /// Asks `dormouse` for something until it answers.
    fn ask(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let done = self.insist(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&done.stdout).with_context(|| format!("no JSON: {}", done.stdout))
    }

    /// Returns the live processes of a world.
    fn processes(&self, world: &str) -> Vec<Process> {
        processes(&self.dormouse.data).into_iter().filter(|process| process.world == world).collect()
    }

    /// Sends a signal to processes; tells whether there was one.
    fn send(&self, processes: &[Process], signal: Signal) -> bool {
        let sent = processes.iter().filter(|process| nix::sys::signal::kill(process.pid, signal).is_ok());
        sent.count() > 0
    }
}
