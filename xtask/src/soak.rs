//! `cargo xtask soak`: hours of play on the real thing while everything goes wrong that can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use e2e::soak;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{install, shell::run};

/// What to soak, and for how long.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask soak --minutes 60
  cargo xtask soak --minutes 10 --clouds 0 --seed 7")]
pub(crate) struct Soak {
    /// How long rounds are begun; the last ones are played to their end
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=7 * 24 * 60))]
    minutes: u64,
    /// How many machines, each with a `dormouse up` and three worlds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=20))]
    machines: u32,
    /// How many emulated clouds, each with both functions and two worlds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=10))]
    clouds: u32,
    /// What chances are drawn from [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Sum up in JSON
    #[arg(long)]
    json: bool,
}

/// Soaks until the time is over or Ctrl-C, and sums up in the last line. An error if anything was found.
pub(crate) fn soak(wanted: &Soak) -> Result<()> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = wanted.seed.or(since.ok().map(|time| time.as_secs())).context("the clock is before 1970")?;
    let Soak { minutes, machines, clouds, .. } = *wanted;
    ensure!(machines + clouds > 0, "there is nothing to soak: choose --machines or --clouds");
    if !nix::unistd::geteuid().is_root() {
        bail!("a soak makes network namespaces and fills disks of its own, which takes root: run it as root");
    }
    install::packages(&[install::TESTS])?;
    if clouds > 0 {
        emulators::install()?;
    }
    // With the features that the tests of their packages have, so that nothing is built twice.
    run("cargo", &["test", "--workspace", "--locked", "--no-run", "--quiet"])?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Twice ends it at once.
        signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone())?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    let soak = soak::Soak { time: Duration::from_secs(minutes * 60), seed, machines, clouds };
    let summary = soak::run(&soak, &interrupted)?;
    for finding in &summary.findings {
        eprintln!("\n{finding}");
    }
    if wanted.json {
        println!("{:#}", summary.to_json());
    } else {
        println!("{summary}");
    }
    if interrupted.load(Ordering::SeqCst) {
        eprintln!("it was interrupted");
    }
    ensure!(summary.findings.is_empty(), "{} findings", summary.findings.len());
    Ok(())
}
