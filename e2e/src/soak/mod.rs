//! Hours of play on the real thing while everything goes wrong that can.
//!
//! Several machines and clouds side by side, each with worlds whose players, people and misfortunes are drawn from a seed.
//! What a seed does not settle is when exactly something happens, so a run cannot be repeated as one of the simulation's can.
//! What is looked at is what nothing may ever break: whatever a player was promised is in the world and in its archives, no
//! two processes write to one world, nobody is thrown out without a cause, whoever asked is answered, and in the end all
//! comes to rest and works as before.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fastrand::Rng;

use tally::{Summary, Tally};

pub mod ledger;

pub mod tally;

mod cloud;

mod machine;

/// How often somebody who waits looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to play.
#[derive(Debug, Clone)]
pub struct Soak {
    /// How long rounds are begun. The last ones are played to their end, which may take some minutes.
    pub time: Duration,
    /// What all chances are drawn from.
    pub seed: u64,
    /// How many machines, each with a `dormouse up` and three worlds.
    pub machines: u32,
    /// How many clouds, each with both functions and two worlds.
    pub clouds: u32,
}

/// What everybody who takes part shares.
pub(crate) struct Field<'a> {
    soak: &'a Soak,
    tally: Tally,
    interrupted: &'a AtomicBool,
}

/// Plays, until the time is over or `interrupted` says so, telling what happens on standard output.
pub fn run(soak: &Soak, interrupted: &AtomicBool) -> Result<Summary> {
    ensure!(soak.machines + soak.clouds > 0, "there is nothing to play on");
    let field = Field { soak, tally: Tally::begin(), interrupted };
    thread::scope(|scope| {
        let field = &field;
        for n in 0..soak.machines {
            scope.spawn(move || {
                field.watch(&format!("machine {n}"), |name, seed| machine::play(field, name, n, seed))
            });
        }
        for n in 0..soak.clouds {
            scope.spawn(move || {
                field.watch(&format!("cloud {n}"), |name, seed| cloud::play(field, name, n, seed))
            });
        }
    });
    Ok(field.tally.summary(soak.seed))
}

impl Field<'_> {
    /// Plays on one machine or cloud. What breaks off is a finding, and another is built.
    fn watch(&self, name: &str, play: impl Fn(&str, u64) -> Result<()>) {
        let mut tries = 0;
        while !self.is_over() {
            let seed = seed(self.soak.seed, name, tries);
            if let Err(error) = play(name, seed) {
                self.found(name, &format!("{error:#}"));
            }
            tries += 1;
        }
    }

    /// Tells whether no more rounds are to begin.
    pub(crate) fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst) || self.tally.elapsed() >= self.soak.time
    }

    /// Waits, but no longer than rounds are begun; tells whether they still are.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.is_over() {
            thread::sleep(LOOK_EVERY.min(time.saturating_sub(begun.elapsed())));
        }
        !self.is_over()
    }

    /// Counts a fault and tells of it.
    pub(crate) fn fault(&self, place: &str, what: &'static str, how: &str) {
        self.tally.fault(what);
        self.story(place, &format!("{what}: {how}"));
    }

    /// Tells what happens somewhere.
    pub(crate) fn story(&self, place: &str, what: &str) {
        println!("{:>7.1} s  {place}: {what}", self.tally.elapsed().as_secs_f32());
    }

    /// Takes note of what must not be, and tells it.
    pub(crate) fn found(&self, place: &str, what: &str) {
        self.story(place, &format!("FINDING {what}"));
        self.tally.found(format!("{place}: {what}"));
    }
}

/// Returns the seed of one place's `n`th beginning.
fn seed(of: u64, place: &str, n: u64) -> u64 {
    place.bytes().fold(of.wrapping_add(n), |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
    })
}

/// Draws a time, in seconds.
fn seconds(chance: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(chance.u64(range.start * 1000..range.end * 1000))
}
