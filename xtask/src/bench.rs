//! `cargo xtask bench`: what things cost, measured in one run beside the least that they could cost. The figures go to
//! docs/performance.md, between two markers, and are never written by hand.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::shell::{command, root};
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

/// The file with the figures, and what stands around them.
const FILE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- bench lambda -->\n";
const END: &str = "<!-- /bench lambda -->\n";

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
}

#[derive(Debug, Args)]
struct Lambda {
    /// Print the figures as JSON, in nanoseconds, and leave docs/performance.md as it is
    #[arg(long)]
    json: bool,
}

/// Measures.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    match &bench.what {
        What::Lambda(lambda) => measure_lambda(lambda),
    }
}

fn measure_lambda(lambda: &Lambda) -> Result<()> {
    build()?;
    let report = report(&Interrupt::listen()?)?;
    if lambda.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let table = report.table();
    write(&root().join(FILE), &table)?;
    println!("{table}");
    eprintln!("written to {FILE}");
    Ok(())
}

/// Builds the programs as they are deployed, each package by itself, so that none gets what only another needs.
fn build() -> Result<()> {
    for package in ["control-lambda", "bench-peer"] {
        let arguments = ["build", "--release", "--locked", "--package", package];
        eprintln!("$ cargo {}", arguments.join(" "));
        ensure!(command("cargo", &arguments).status()?.success(), "{package} does not build");
    }
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

/// Puts `table` between the markers of the file.
fn write(file: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let text = replaced(&text, table).with_context(|| format!("{} has lost its markers", file.display()))?;
    Ok(fs::write(file, text)?)
}

/// Returns `text` with `table` between its markers.
fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
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
        let text = format!("a\n{BEGIN}\nold\n\n{END}z\n");
        let new = replaced(&text, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n\n{END}z\n"));
        assert_eq!(replaced(&new, "new\n"), Some(new.clone()));
        assert_eq!(replaced("a\nz\n", "new\n"), None);
    }

    #[test]
    fn the_document_has_its_markers() {
        let text = fs::read_to_string(root().join(FILE)).unwrap();
        assert!(replaced(&text, "").is_some());
    }
}
