//! The project's own commands. Each installs what it needs and says so before it does.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::ground::Ground;

mod demo;

mod check;

mod build;

mod deploy;

mod destroy;

mod cloud;

mod bench;

mod simulate;

mod mutants;

mod soak;

mod install;

mod ground;

mod shell;

/// The project's own commands
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    /// The workspace, for build, deploy and destroy
    #[arg(long, global = true, hide = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job: a real game wakes, is played, falls asleep, and nothing is lost
    Demo(demo::Demo),
    /// Run every test and check, as CI does
    Test(check::Test),
    /// Check format, lints, docs, dependencies and features
    Check,
    /// Build what a deployment takes: the functions, and the contexts of the images
    Build(build::Build),
    /// Deploy Dormouse to AWS, step by step; asks before it changes anything
    Deploy(deploy::Deploy),
    /// Take Dormouse down, and keep the worlds and their archives
    Destroy(destroy::Destroy),
    /// Play evenings in bad weather, seed by seed, and see that no law is broken
    Simulate(simulate::Simulate),
    /// Break each rule on purpose, and see that the simulation notices
    Mutants(mutants::Mutants),
    /// Play the real thing while everything goes wrong that can, and see that nothing is lost
    Soak(soak::Soak),
    /// Measure what things cost, and write it into docs/performance.md
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let Cli { root, command } = Cli::parse();
    let ground = || Ground::at(&root.unwrap_or_else(shell::root));
    let done: Result<()> = match command {
        Command::Demo(demo) => demo::show(&demo),
        Command::Test(test) => check::test(&test),
        Command::Check => check::check(),
        Command::Build(build) => ground().and_then(|ground| build::build(&ground, &build)),
        Command::Deploy(deploy) => ground().and_then(|ground| deploy::deploy(&ground, &deploy)),
        Command::Destroy(destroy) => ground().and_then(|ground| destroy::destroy(&ground, &destroy)),
        Command::Simulate(wanted) => simulate::simulate(&wanted),
        Command::Mutants(mutants) => mutants::kill(&mutants),
        Command::Soak(wanted) => soak::soak(&wanted),
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
