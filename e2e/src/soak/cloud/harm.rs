//! What is done to a world's own task: its processes are killed or stand still, its watchdog loses the way to the front door or
//! believes another time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};

use super::{Ground, happens, seconds, weather::go_wrong};
use crate::cloud::fargate::{Task, Which};

/// How long a task that does something with a world that sleeps mostly takes.
const FIRST_MOMENTS: Duration = Duration::from_millis(1200);

/// How long is waited for one.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// A world, as far as whoever harms it has to know, and what was done to it.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// Its id and its name.
    of: Mutex<(String, String)>,
    /// Whether something was done in this round that may end it.
    is_excused: AtomicBool,
}

impl Case {
    /// Says which world it is.
    pub(super) fn set(&self, id: &str, name: &str) {
        *self.of.lock().unwrap_or_else(PoisonError::into_inner) = (id.to_owned(), name.to_owned());
    }

    /// Begins a round in which nothing was done yet.
    pub(super) fn begin(&self) {
        self.is_excused.store(false, Ordering::SeqCst);
    }

    /// Notes that the world may come to an end now.
    pub(super) fn excuse(&self) {
        self.is_excused.store(true, Ordering::SeqCst);
    }

    /// Tells whether the world may come to an end.
    pub(super) fn is_excused(&self) -> bool {
        self.is_excused.load(Ordering::SeqCst)
    }

    fn world(&self) -> (String, String) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whoever harms a world.
pub(super) struct Harm<'a> {
    ground: &'a Ground<'a>,
    case: Arc<Case>,
    chance: Rng,
}

impl<'a> Harm<'a> {
    pub(super) fn to(ground: &'a Ground<'a>, case: Arc<Case>, chance: Rng) -> Self {
        Self { ground, case, chance }
    }

    /// Does harm until it is over.
    pub(super) fn strike_on(&mut self, over: &AtomicBool) {
        let (ground, case) = (self.ground, self.case.clone());
        go_wrong(ground, &mut self.chance, over, 2..24, |chance| strike(ground, &case, chance, over));
    }
}

/// Does harm once, in the first moments of the task that comes next.
pub(super) fn strike_soon(ground: &Ground<'_>, case: &Case, chance: &mut Rng) {
    let Some(_bad) = ground.weather.bad() else { return };
    let (id, _) = case.world();
    let begun = Instant::now();
    while !ground.cloud.fargate.running().iter().any(|task| task.world() == id) {
        if begun.elapsed() > COMES_WITHIN || ground.weather.is_calm_wanted() {
            return;
        }
        thread::sleep(FIRST_MOMENTS / 40);
    }
    thread::sleep(FIRST_MOMENTS.mul_f32(chance.f32()));
    if let Err(error) = strike(ground, case, chance, &AtomicBool::new(false)) {
        ground.story(&format!("no fault: {error:#}"));
    }
}

fn strike(ground: &Ground<'_>, case: &Case, chance: &mut Rng, over: &AtomicBool) -> Result<()> {
    let (id, name) = case.world();
    let Some(task) = ground.cloud.fargate.running().into_iter().find(|task| task.world() == id) else {
        return Ok(());
    };
    let lasts = |time| ground.weather.last_for(time, over);
    match chance.u32(..100) {
        0..10 => kill_processes(ground, case, &task, &[Which::Watchdog], "kills of a watchdog", &name),
        10..20 => kill_processes(ground, case, &task, &[Which::Game], "kills of a game", &name),
        20..25 => {
            kill_processes(ground, case, &task, &[Which::Game, Which::Watchdog], "kills of a task", &name);
        }
        25..43 => {
            let time = if happens(chance, 60) { seconds(chance, 5..30) } else { seconds(chance, 30..150) };
            stand_still(ground, &task, Which::Watchdog, time, "halts of a watchdog", &name, lasts);
        }
        43..58 => {
            let time = seconds(chance, 3..20);
            stand_still(ground, &task, Which::Game, time, "halts of a game", &name, lasts);
        }
        58..86 => cut(ground, &task, chance, &name, lasts)?,
        _ => {
            let (time, ahead_s) = (seconds(chance, 2..60), chance.i64(-1800..1800));
            ground.fault("jumps of a watchdog's clock", &format!("{name} by {ahead_s} s for {time:.1?}"));
            task.set_clock(ahead_s)?;
            lasts(time);
            task.set_clock(0)?;
        }
    }
    Ok(())
}

fn kill_processes(
    ground: &Ground<'_>,
    case: &Case,
    task: &Task,
    which: &[Which],
    what: &'static str,
    name: &str,
) {
    let found: Vec<_> = which.iter().filter_map(|which| task.process(*which)).collect();
    if found.len() < which.len() {
        return;
    }
    case.excuse();
    // One that has just ended by itself is as good as killed.
    found.iter().for_each(|pid| _ = kill(*pid, Signal::SIGKILL));
    ground.fault(what, &format!("{name}, {found:?}"));
}

fn stand_still(
    ground: &Ground<'_>,
    task: &Task,
    which: Which,
    time: Duration,
    what: &'static str,
    name: &str,
    lasts: impl Fn(Duration),
) {
    let Some(pid) = task.process(which) else { return };
    ground.fault(what, &format!("{name} for {time:.1?}"));
    let _ = kill(pid, Signal::SIGSTOP);
    lasts(time);
    // It may have been killed meanwhile.
    if let Some(pid) = task.process(which) {
        let _ = kill(pid, Signal::SIGCONT);
    }
}

/// Cuts the way between a watchdog and the front door, in one direction or the other.
fn cut(
    ground: &Ground<'_>,
    task: &Task,
    chance: &mut Rng,
    name: &str,
    lasts: impl Fn(Duration),
) -> Result<()> {
    let time = if happens(chance, 60) { seconds(chance, 5..25) } else { seconds(chance, 25..90) };
    let (lab, machine) = (&ground.cloud.lab, task.address.context("a task without a machine")?);
    let server = lab.server();
    if chance.bool() {
        ground.fault("cuts of the way from the front door", &format!("{name} for {time:.1?}"));
        server.mute_towards(machine)?;
        lasts(time);
        server.speak_towards(machine)
    } else {
        let clients = (0..lab.clients()).map(|n| lab.client(n));
        let place =
            clients.into_iter().find(|client| client.address == machine).context("no such machine")?;
        ground.fault("cuts of the way to the front door", &format!("{name} for {time:.1?}"));
        place.mute_towards(server.address)?;
        lasts(time);
        place.speak_towards(server.address)
    }
}
