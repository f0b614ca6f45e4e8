//! `cargo xtask bench`: what things cost, measured in one run beside the least that they could cost. The figures go to
//! docs/performance.md, between two markers, and are never written by hand.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    build,
    ground::Ground,
    install,
    shell::{command, root},
};
use account::Account;
use discord::Discord;
use program::Program;
use report::{Machine, Report};

mod report;

mod spread;

mod start;

mod warm;

mod in_process;

mod discord;

mod account;

mod program;

mod runtime_api;

mod http;

mod archive;

mod watch;

mod front_door;

mod images;

/// The file with the figures.
const FILE: &str = "docs/performance.md";

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The Lambda functions: start, memory, size, and an interaction part by part
    Lambda(Lambda),
    /// Making an archive: speed, memory and size, beside `zip -1` and `tar | zstd`
    Archive(Archive),
    /// Looking at players: what a look and a datagram cost, beside `ss` and `netstat`; needs root
    Watch(Watch),
    /// The front door under load: what people wait while others send what is forged, old, huge or slow
    FrontDoor(FrontDoor),
    /// Containers on this machine: the images' sizes, and the time from launch to ready, beside plain processes; needs root
    Images(Images),
}

#[derive(Debug, Args)]
struct Lambda {
    /// Print the figures as JSON, in nanoseconds, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Watch {
    /// Print the figures as JSON, in nanoseconds, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct FrontDoor {
    /// Print the figures as JSON, in nanoseconds, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
    /// How long each crowd is there, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(Debug, Args)]
struct Images {
    /// Print the figures as JSON, in nanoseconds and bytes, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Archive {
    /// Print the figures as JSON, in nanoseconds, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
    /// The size of each tree that is packed, in MiB
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(4..=100_000))]
    mib: u64,
}

/// Measures.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    match &bench.what {
        What::Lambda(lambda) => measure_lambda(lambda),
        What::Archive(archive) => measure_archive(archive),
        What::Watch(watch) => measure_watch(watch),
        What::FrontDoor(door) => measure_front_door(door),
        What::Images(images) => measure_images(images),
    }
}

fn measure_lambda(lambda: &Lambda) -> Result<()> {
    build()?;
    let report = report(&Interrupt::listen()?)?;
    tell("lambda", lambda.json.then_some(&report), &report.table())
}

fn measure_archive(archive: &Archive) -> Result<()> {
    install::packages(&[install::PACKERS])?;
    cargo(&["build", "--release", "--locked", "--package", "watchdog", "--example", "archive"])?;
    let report = archive::measure(archive.mib, &Interrupt::listen()?)?;
    tell("archive", archive.json.then_some(&report), &report.table())
}

fn measure_watch(watch: &Watch) -> Result<()> {
    install::packages(&[install::LOOKERS])?;
    let report = watch::measure(&Interrupt::listen()?)?;
    tell("watch", watch.json.then_some(&report), &report.table())
}

fn measure_front_door(door: &FrontDoor) -> Result<()> {
    cargo(&["build", "--release", "--locked", "--package", "dormouse"])?;
    let report = front_door::measure(Duration::from_secs(door.seconds), &Interrupt::listen()?)?;
    tell("front-door", door.json.then_some(&report), &report.table())
}

fn measure_images(images: &Images) -> Result<()> {
    install::packages(&[install::DEMO, install::TESTS, install::ENGINE])?;
    let ground = Ground::at(&root())?;
    cargo(&["build", "--locked", "--package", "dormouse"])?;
    build::watchdog_for_here(&ground, false)?;
    let watchdog = build::watchdog_for_here(&ground, true)?;
    let report = images::measure(&watchdog, &Interrupt::listen()?)?;
    tell("images", images.json.then_some(&report), &report.table())
}

/// Prints figures as JSON if they are wanted so; else writes them into the document, and shows them.
fn tell(section: &str, json: Option<&impl Serialize>, table: &str) -> Result<()> {
    if let Some(report) = json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    write(&root().join(FILE), section, table)?;
    println!("{table}");
    eprintln!("written to {FILE}");
    Ok(())
}

/// Builds the programs as they are deployed, each package by itself, so that none gets what only another needs.
fn build() -> Result<()> {
    ["control-lambda", "bench-peer"]
        .into_iter()
        .try_for_each(|package| cargo(&["build", "--release", "--locked", "--package", package]))
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let shown = format!("cargo {}", arguments.join(" "));
    eprintln!("$ {shown}");
    ensure!(command("cargo", arguments).status()?.success(), "`{shown}` fails");
    Ok(())
}

fn report(interrupt: &Interrupt) -> Result<Report> {
    let machine = Machine::look()?;
    eprintln!("starting the emulated account");
    let (account, discord) = (Account::open()?, Discord::new()?);
    let [hello, interactions, worker] =
        [("hello", "bench-hello"), ("interactions", "interactions"), ("worker", "worker")].map(program);
    eprintln!("starting each program {} times", start::ROUNDS);
    let starts = start::measure(&[&hello, &interactions, &worker], &hello, &account, &discord, interrupt)?;
    eprintln!("interactions, {} of each kind, with nobody else", in_process::ROUNDS);
    let parts = in_process::measure(&program(("in process", "bench-in-process")).file, &discord)?;
    interrupt.check()?;
    eprintln!("interactions, {} of each kind, with the emulated account", warm::ROUNDS);
    let warm = warm::measure(&hello, &interactions, &account, &discord, interrupt)?;
    Ok(Report { machine, starts, parts, warm })
}

fn program((name, file): (&'static str, &str)) -> Program {
    Program { name, file: root().join("target/release").join(file) }
}

/// Puts `table` between the markers of its section in the file.
fn write(file: &Path, section: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let text = replaced(&text, section, table);
    let text = text.with_context(|| format!("{} has lost its markers of {section}", file.display()))?;
    Ok(fs::write(file, text)?)
}

/// Returns `text` with `table` between the markers of `section`.
fn replaced(text: &str, section: &str, table: &str) -> Option<String> {
    let [begin, end] = ["", "/"].map(|slash| format!("<!-- {slash}bench {section} -->\n"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}\n{end}{after}"))
}

/// Whether somebody wants the bench to end. It then ends in good order: what it started goes before it.
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn listen() -> Result<Self> {
        let wanted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, wanted.clone())?;
        }
        Ok(Self(wanted))
    }

    /// Fails once the bench is to end.
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted; {FILE} is as it was");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let text = "a\n<!-- bench x -->\n\nold\n\n<!-- /bench x -->\nz\n";
        let new = replaced(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench x -->\n\nnew\n\n<!-- /bench x -->\nz\n");
        assert_eq!(replaced(&new, "x", "new\n"), Some(new.clone()));
        assert_eq!(replaced(text, "y", "new\n"), None);
    }

    #[test]
    fn the_document_has_its_markers() {
        let text = fs::read_to_string(root().join(FILE)).unwrap();
        let sections = ["lambda", "archive", "watch", "front-door", "images"];
        assert!(sections.into_iter().all(|section| replaced(&text, section, "").is_some()));
    }
}
