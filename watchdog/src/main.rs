//! The watchdog's program: what the sidecar container runs.

use std::{io::Write, process::ExitCode};

use clap::Parser;

/// Watches a game server: owns its world, sees its players, saves and archives it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: watchdog::cli::Command,
}

fn main() -> ExitCode {
    // It would report that a line could not be written where that could not be written, and panic: on a full disk.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_writer(std::io::stderr);
    log.with_ansi(false).init();
    match watchdog::cli::main(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // That it cannot be said is no reason to end in another way.
            let _ = writeln!(std::io::stderr(), "watchdog: {error:#}");
            ExitCode::FAILURE
        }
    }
}
