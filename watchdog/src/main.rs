//! The watchdog's program: what the sidecar container runs.

use std::process::ExitCode;

use clap::Parser;

/// Watches a game server: owns its world, sees its players, saves and archives it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: watchdog::cli::Command,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match watchdog::cli::main(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watchdog: {error:#}");
            ExitCode::FAILURE
        }
    }
}
