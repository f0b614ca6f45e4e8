//! The project's own commands. Each installs what it needs and says so before it does.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod demo;

mod check;

mod bench;

mod install;

mod shell;

/// The project's own commands
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job: a real game wakes, is played, falls asleep, and nothing is lost
    Demo(demo::Demo),
    /// Run every test and check, as CI does
    Test,
    /// Check format, lints, docs, dependencies and features
    Check,
    /// Measure what things cost, and write it into docs/performance.md
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done: Result<()> = match Cli::parse().command {
        Command::Demo(demo) => demo::show(&demo),
        Command::Test => check::test(),
        Command::Check => check::check(),
        Command::Bench(bench) => bench::measure(&bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
