//! Runs the simulation for many seeds, or tells the story of one: what `cargo xtask simulate` runs.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program for people, with a clock"
)]

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use domain::sim::{
    run::{Played, Telling, play, replay},
    shrink::{Progress, shrink},
};

/// How many steps are spent on making a finding shorter: a minute or less.
const SHRINKING: u64 = 20_000_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    match number("--seed") {
        Some(seed) if arguments.iter().any(|a| a == "--shrink") => shortest(seed),
        Some(seed) => tell(&play(seed, Telling::Story), seed),
        None => many(
            number("--from").unwrap_or(1),
            number("--seeds").unwrap_or(10_000),
            number("--steps").unwrap_or(1_000_000),
            number("--threads").unwrap_or(2),
        ),
    }
}

fn tell(played: &Played, seed: u64) -> ExitCode {
    played.story.iter().for_each(|line| println!("{line}"));
    println!(
        "seed {seed}: {} steps, {}",
        played.steps,
        played.broken.as_deref().unwrap_or("every law holds")
    );
    if played.broken.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn shortest(seed: u64) -> ExitCode {
    let first = play(seed, Telling::Brief);
    let shortest = shrink(&first, SHRINKING, &mut |Progress { runs, choices, steps }| {
        eprintln!("{runs} runs: {choices} choices that count, {steps} steps");
    });
    tell(&replay(shortest.choices, Telling::Story), seed)
}

/// Plays the seeds from `from` on: `seeds` of them, and more until `steps` were made.
fn many(from: u64, seeds: u64, steps: u64, threads: u64) -> ExitCode {
    let (begun, next, made) = (Instant::now(), AtomicU64::new(from), AtomicU64::new(0));
    let totals = Mutex::new(([0u64; 4], Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds && made.load(Ordering::Relaxed) >= steps {
                        return;
                    }
                    let played = play(seed, Telling::Brief);
                    made.fetch_add(played.steps, Ordering::Relaxed);
                    let Ok(mut totals) = totals.lock() else { return };
                    let counts = [1, played.faults + played.strikes, played.presses, played.launches];
                    totals.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                    if let Some(law) = played.broken {
                        println!("seed {seed}: {law}\n    cargo xtask simulate --seed {seed} --story");
                        totals.1.push(seed);
                    }
                }
            });
        }
    });
    let ([seeds, faults, presses, launches], findings) =
        totals.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (made, seconds) = (made.into_inner(), begun.elapsed().as_secs_f64());
    println!(
        "{made} steps over {seeds} seeds in {seconds:.1} s on {threads} threads ({:.0} steps/s): {launches} launches, {presses} \
         presses, {faults} faults, {} findings",
        made as f64 / seconds,
        findings.len()
    );
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
