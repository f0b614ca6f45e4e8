//! What goes wrong with all that is shared: the functions, the account, the bucket, Discord.
//!
//! Whoever has waited for long asks for calm. Then nothing new goes wrong, and what does is ended.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use emulators::{S3Fault, When};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};

use super::{Ground, LOOK_EVERY, happens, pick, seconds};
use crate::cloud::{Caller, discord::Trouble, fargate};

/// How many things go wrong just now, and how many want that they do not.
#[derive(Debug)]
pub(super) struct Weather {
    wanted: AtomicUsize,
    troubles: AtomicUsize,
    last: Mutex<Instant>,
}

impl Default for Weather {
    fn default() -> Self {
        Self { wanted: AtomicUsize::new(0), troubles: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }
}

/// Keeps it calm for as long as it lives.
#[derive(Debug)]
pub(super) struct Calm<'a>(&'a Weather);

/// Something that goes wrong, until this is dropped.
#[derive(Debug)]
pub(super) struct Bad<'a>(&'a Weather);

impl Weather {
    /// Asks for calm.
    pub(super) fn calm(&self) -> Calm<'_> {
        if self.wanted.fetch_add(1, Ordering::SeqCst) == 0 {
            self.note();
        }
        Calm(self)
    }

    /// Tells whether somebody has asked for calm.
    pub(super) fn is_calm_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > 0
    }

    /// Returns since when it has been calm.
    pub(super) fn clear_for(&self) -> Duration {
        if self.troubles.load(Ordering::SeqCst) > 0 || !self.is_calm_wanted() {
            return Duration::ZERO;
        }
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Begins something bad, unless it is to be calm.
    pub(super) fn bad(&self) -> Option<Bad<'_>> {
        self.troubles.fetch_add(1, Ordering::SeqCst);
        if self.is_calm_wanted() {
            self.troubles.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        Some(Bad(self))
    }

    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits for so long, or until it is to be calm, or over.
    pub(super) fn last_for(&self, time: Duration, over: &AtomicBool) {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.is_calm_wanted() && !over.load(Ordering::SeqCst) {
            thread::sleep(LOOK_EVERY / 3);
        }
    }
}

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Bad<'_> {
    fn drop(&mut self) {
        self.0.note();
        self.0.troubles.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has one thing after another go wrong, between which it takes a while, until it is over.
pub(super) fn go_wrong(
    ground: &Ground<'_>,
    chance: &mut Rng,
    over: &AtomicBool,
    pause: std::ops::Range<u64>,
    mut strike: impl FnMut(&mut Rng) -> Result<()>,
) {
    while !over.load(Ordering::SeqCst) && !ground.is_over() {
        let begun = Instant::now();
        let time = seconds(chance, pause.clone());
        while begun.elapsed() < time && !over.load(Ordering::SeqCst) {
            thread::sleep(LOOK_EVERY / 3);
        }
        let Some(_bad) = ground.weather.bad() else { continue };
        if let Err(error) = strike(chance) {
            // What was to go wrong went wrong: something else stood still just then.
            ground.story(&format!("no fault: {error:#}"));
        }
    }
}

/// By how much the clock of a function may be wrong, in seconds.
const MOST_WRONG_S: i64 = 1800;

/// What stops, stands still or lies about the time.
pub(super) fn storm(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) {
    go_wrong(ground, chance, over, 2..14, |chance| {
        let lasts = |time| ground.weather.last_for(time, over);
        match chance.u32(..100) {
            0..25 => worker_dies_at_a_call(ground, chance, over),
            25..35 => {
                ground.cloud.worker.kill();
                ground.fault("kills of the worker", "just now");
            }
            35..50 => {
                ground.cloud.interactions.kill();
                ground.fault("kills of the front door", "just now");
            }
            50..60 => {
                let time = seconds(chance, 2..45);
                ground.fault("halts of the account", &format!("for {time:.1?}"));
                let Some(pid) = ground.cloud.moto.process() else { return Ok(()) };
                kill(pid, Signal::SIGSTOP)?;
                lasts(time);
                kill(pid, Signal::SIGCONT)?;
            }
            60..72 => {
                let time = seconds(chance, 2..60);
                ground.fault("halts of the worker", &format!("for {time:.1?}"));
                ground.cloud.worker.freeze();
                lasts(time);
                ground.cloud.worker.thaw();
            }
            72..82 => {
                let time = seconds(chance, 1..12);
                ground.fault("halts of the front door", &format!("for {time:.1?}"));
                ground.cloud.interactions.freeze();
                lasts(time);
                ground.cloud.interactions.thaw();
            }
            _ => {
                let function = *pick(chance, &[Caller::FrontDoor, Caller::Worker]);
                let (time, ahead_s) = (seconds(chance, 2..30), chance.i64(-MOST_WRONG_S..MOST_WRONG_S));
                ground.fault(
                    "jumps of a function's clock",
                    &format!("{function:?} by {ahead_s} s for {time:.1?}"),
                );
                ground.cloud.set_clock(function, ahead_s)?;
                lasts(time);
                ground.cloud.set_clock(function, 0)?;
            }
        }
        Ok(())
    });
}

fn worker_dies_at_a_call(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) {
    let (n, when) = (chance.usize(1..10), *pick(chance, &[When::Before, When::After]));
    ground.cloud.tap.kill_at(n, when);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) && !over.load(Ordering::SeqCst) {
        if let Some(call) = ground.cloud.tap.killed_at() {
            ground.fault("kills of the worker at a call", &format!("{when:?} {call}"));
            return;
        }
        ground.weather.last_for(LOOK_EVERY, over);
        if ground.weather.is_calm_wanted() {
            break;
        }
    }
    ground.cloud.tap.kill_at(usize::MAX, When::Before);
}

/// Calls of one service that fail.
struct Failing {
    service: &'static str,
    actions: &'static [&'static str],
    /// The errors, each with its HTTP status.
    errors: &'static [(&'static str, u16)],
    /// What is counted.
    what: &'static str,
}

/// Which calls fail, and how.
const FAILING: [Failing; 4] = [
    Failing {
        service: "dynamodb",
        actions: &["GetItem", "PutItem", "PutItem", "Query", "BatchGetItem", "DeleteItem"],
        errors: &[
            ("ProvisionedThroughputExceededException", 400),
            ("ThrottlingException", 400),
            ("InternalServerError", 500),
        ],
        what: "failures of DynamoDB",
    },
    Failing {
        service: "sqs",
        actions: &["SendMessage", "SendMessage", "ReceiveMessage", "DeleteMessage"],
        errors: &[("RequestThrottled", 403), ("ServiceUnavailable", 503), ("InternalFailure", 500)],
        what: "failures of SQS",
    },
    Failing {
        service: "ecs",
        actions: &["RunTask", "StopTask", "DescribeTasks", "ListTasks"],
        errors: &[("ThrottlingException", 400), ("ServerException", 500), ("ServiceUnavailable", 503)],
        what: "failures of ECS",
    },
    Failing {
        service: "ssm",
        actions: &["GetParameters"],
        errors: &[("ThrottlingException", 400), ("InternalServerError", 500)],
        what: "failures of SSM",
    },
];

/// What is refused, or done and then denied.
pub(super) fn drizzle(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) {
    go_wrong(ground, chance, over, 1..8, |chance| {
        match chance.u32(..100) {
            0..50 => calls_fail(ground, chance, over)?,
            50..56 => {
                ground.fault("launches without capacity", "the next ones");
                ground.cloud.moto.no_capacity(chance.u32(1..3))?;
            }
            56..60 => {
                let fault = *pick(
                    chance,
                    &[fargate::Fault::NoImage, fargate::Fault::HostBroken, fargate::Fault::OutOfMemory],
                );
                ground.fault("tasks that come to nothing", &format!("{fault:?}"));
                ground.cloud.fargate.fault(fault);
            }
            60..64 => {
                let delay = seconds(chance, 0..4);
                ground.fault("late views of tasks", &format!("{delay:.1?} behind"));
                ground.cloud.moto.set_visible_after(delay)?;
            }
            64..80 => bucket_fails(ground, chance, over),
            _ => discord_has_trouble(ground, chance, over),
        }
        Ok(())
    });
    // Whoever plays on is not to meet what was left over.
    let _ = ground.cloud.moto.clear_faults();
}

fn calls_fail(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) -> Result<()> {
    let Failing { service, actions, errors, what } = pick(chance, &FAILING);
    let (action, (code, status)) = (*pick(chance, actions), *pick(chance, errors));
    let (times, when) = (chance.u32(1..14), *pick(chance, &[When::Before, When::Before, When::After]));
    let begun = ground.cloud.moto.fault(service, action, times, when, code, status);
    if begun.is_ok() {
        ground.weather.last_for(seconds(chance, 3..15), over);
    }
    let mut left = ground.cloud.moto.clear_faults();
    while left.is_err() && !over.load(Ordering::SeqCst) {
        // It stands still.
        thread::sleep(LOOK_EVERY);
        left = ground.cloud.moto.clear_faults();
    }
    begun?;
    let struck = u64::from(times).saturating_sub(left.unwrap_or_default());
    if struck > 0 {
        ground.fault(what, &format!("{action} {struck} times, {code}, {when:?}"));
    }
    Ok(())
}

fn bucket_fails(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) {
    let all = [S3Fault::SlowDown, S3Fault::InternalError, S3Fault::CutBefore, S3Fault::CutAfter];
    let faults: Vec<_> = (0..chance.usize(1..8)).map(|_| *pick(chance, &all)).collect();
    ground.cloud.watch.fault(faults.iter().copied());
    ground.weather.last_for(seconds(chance, 5..30), over);
    let struck = faults.len().saturating_sub(ground.cloud.watch.clear_faults());
    if struck > 0 {
        ground.fault("failures of S3", &format!("{:?}", &faults[..struck]));
    }
}

fn discord_has_trouble(ground: &Ground<'_>, chance: &mut Rng, over: &AtomicBool) {
    let discord = &ground.cloud.discord;
    if happens(chance, 30) {
        let time = seconds(chance, 2..30);
        ground.fault("outages of Discord", &format!("for {time:.1?}"));
        discord.go_down(time);
        ground.weather.last_for(time, over);
    } else if happens(chance, 30) {
        ground.fault("expired answers", "all so far");
        discord.tokens().iter().for_each(|token| discord.expire(token));
    } else {
        let all = [Trouble::RateLimited(0.4), Trouble::RateLimited(2.5), Trouble::NotRegistered];
        let troubles: Vec<_> = (0..chance.usize(1..7)).map(|_| *pick(chance, &all)).collect();
        ground.fault("refusals of Discord", &format!("{troubles:?}"));
        discord.trouble(&troubles);
        ground.weather.last_for(seconds(chance, 3..20), over);
    }
    discord.be_well();
}
