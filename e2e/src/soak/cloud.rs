//! Rounds in the emulated cloud: both functions as deployed, real watchdogs, and what stands in for AWS and Discord, of which
//! each misbehaves in its own way.
//!
//! Worlds are played side by side, each by a thread of its own (`life`), while others see to it that things go wrong: to a task
//! (`harm`), and to all that is shared (`weather`). Whoever waits for too long asks for calm; then everything has to come right.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use emulators::lambda::Delivery;
use fastrand::Rng;

use self::{harm::Harm, life::Life, weather::Weather};
use super::{Field, ledger, seconds};
use crate::{
    clocks::Clocks,
    cloud::{Cloud, Plan},
};

mod life;

mod chores;

mod rest;

mod harm;

mod weather;

mod looking;

/// How many worlds are played at a time.
const WORLDS: usize = 2;

/// How many machines there are for tasks: one for each world, and others for what removes deleted worlds.
const MACHINES: usize = WORLDS + 2;

/// Between two looks at anything.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The port that the catalogue has for Luanti, in whose place the ledger is played.
const LUANTIS_PORT: &str = "30000";

/// What all who play on a cloud share.
struct Ground<'a> {
    field: &'a Field<'a>,
    /// What it is called in the story.
    name: &'a str,
    cloud: Cloud,
    weather: Weather,
    /// Whether something came up after which there is no going on.
    is_broken: AtomicBool,
}

/// Plays on a cloud until it is over.
pub(super) fn play(field: &Field<'_>, name: &str, n: u32, seed: u64) -> Result<()> {
    let mut chance = Rng::with_seed(seed);
    let scratch = tempfile::tempdir()?;
    let plan = Plan {
        players: WORLDS,
        machines: MACHINES,
        delivery: *pick(&mut chance, &[Delivery::Exact, Delivery::TwiceAndReversed]),
        entry: Some(entry()?),
        clocks: Some(Clocks::make(scratch.path())?),
        ..Plan::new(format!("cloud{n}"))
    };
    let ground = Ground {
        field,
        name,
        cloud: Cloud::start(&plan)?,
        weather: Weather::default(),
        is_broken: AtomicBool::new(false),
    };
    ground.story(&format!("seed {seed}, messages come {:?}", plan.delivery));
    if chance.bool() {
        ground.cloud.moto.repeat_task_events()?;
    }
    let lives: Vec<_> = (0..WORLDS).map(|n| Life::begin(&ground, n, chance.fork())).collect::<Result<_>>()?;
    let harms: Vec<_> =
        lives.iter().map(|life| Harm::to(&ground, life.case.clone(), chance.fork())).collect();
    let over = AtomicBool::new(false);
    let [mut storm, mut drizzle] = [chance.fork(), chance.fork()];
    thread::scope(|scope| {
        let (ground, over) = (&ground, &over);
        scope.spawn(|| looking::look(ground, over));
        scope.spawn(|| weather::storm(ground, &mut storm, over));
        scope.spawn(|| weather::drizzle(ground, &mut drizzle, over));
        for mut harm in harms {
            scope.spawn(move || harm.strike_on(over));
        }
        let lives: Vec<_> = lives.into_iter().map(|mut life| scope.spawn(move || life.live())).collect();
        let lived = lives.into_iter().map(|life| life.join().unwrap_or_else(|_| Err(anyhow!("a panic"))));
        let lived: Vec<_> = lived.collect();
        over.store(true, Ordering::SeqCst);
        lived.into_iter().collect::<Result<()>>()
    })?;
    ground.cloud.discord.check()?;
    field.tally.add("dead letters", ground.cloud.dead_letters()?);
    Ok(())
}

/// Returns the entry in the image: the ledger's, with the port and the settings that the control plane knows Luanti by.
fn entry() -> Result<String> {
    let luanti = Path::new(env!("CARGO_MANIFEST_DIR")).join("../games/catalog/luanti.toml");
    let luanti = fs::read_to_string(luanti)?;
    let from = luanti.find("[[settings]]").context("Luanti has no settings")?;
    let to = luanti.find("[process]").context("Luanti has no scripts")?;
    let settings = format!("{}[process]", &luanti[from..to]);
    Ok(ledger::entry(ledger::DEAF_PERCENT).replace("30100", LUANTIS_PORT).replace("[process]", &settings))
}

impl Ground<'_> {
    /// Tells whether no more rounds are to begin.
    fn is_over(&self) -> bool {
        self.is_broken.load(Ordering::SeqCst) || self.field.is_over()
    }

    fn story(&self, what: &str) {
        self.field.story(self.name, what);
    }

    fn fault(&self, what: &'static str, how: &str) {
        self.field.fault(self.name, what, how);
    }

    fn count(&self, what: &'static str) {
        self.field.tally.add(what, 1);
    }
}

/// Draws one.
fn pick<'a, T>(chance: &mut Rng, of: &'a [T]) -> &'a T {
    &of[chance.usize(..of.len())]
}

/// Tells whether something happens that does so many times in a hundred.
fn happens(chance: &mut Rng, percent: u32) -> bool {
    chance.u32(..100) < percent
}
