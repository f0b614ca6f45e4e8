//! `cargo xtask check` and `cargo xtask test`: what CI runs, from fast to slow.

use std::{process::Command, thread};

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::{
    build,
    ground::{Ground, path_with},
    install,
    mutants::{self, Mutants},
    shell::{command, root, run, run_command, run_quietly},
};

/// Checks everything that needs no running program.
pub(crate) fn check() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    run_with("RUSTDOCFLAGS", "-D warnings", &["doc", "--workspace", "--no-deps", "--locked"])?;
    // Each feature alone: an adapter must not lean on another's dependencies.
    run("cargo", &["check", "-p", "adapters", "--no-default-features", "--locked"])?;
    for feature in ["local", "aws", "discord"] {
        run(
            "cargo",
            &["check", "-p", "adapters", "--no-default-features", "--features", feature, "--locked"],
        )?;
    }
    run("cargo", &["check", "-p", "domain", "--features", "sim", "--locked"])?;
    dockerfiles()?;
    install::cargo_deny()?;
    run("cargo", &["fetch", "--locked"])?;
    run("cargo", &["deny", "--locked", "--offline", "check", "bans", "licenses", "sources"])
}

/// Lints every Dockerfile.
fn dockerfiles() -> Result<()> {
    let hadolint = install::hadolint()?.join("hadolint");
    let files = build::dockerfiles(&Ground::at(&root())?)?;
    let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    run(&hadolint.to_string_lossy(), &files.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Which tests to run.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Run the end-to-end tests alone
    #[arg(long)]
    end_to_end: bool,
}

/// Runs every test and check.
pub(crate) fn test(test: &Test) -> Result<()> {
    install::packages(&[install::DEMO, install::TESTS, install::ENGINE])?;
    if test.end_to_end {
        emulators::install()?;
        // Their programs are built beside the tests of their packages.
        run("cargo", &["test", "--workspace", "--locked", "--no-run"])?;
        return end_to_end();
    }
    install::python_venv()?;
    check()?;
    infrastructure()?;
    emulators::install()?;
    // With the same packages each time, so that what they depend on is built once.
    run("cargo", &["test", "--workspace", "--locked"])?;
    mutants::kill(&Mutants::default())?;
    end_to_end()
}

/// Runs the checks and tests of the infrastructure, which need no account, and the linters over its templates and policies,
/// which install themselves below target/ the first time (`cdk/lint`).
fn infrastructure() -> Result<()> {
    let bin = install::node()?;
    install::modules(&Ground::at(&root())?, &bin, "cdk")?;
    for script in ["check", "lint"] {
        let mut npm = command("npm", &["run", script]);
        npm.current_dir(root().join("cdk")).env("PATH", path_with(&bin)?);
        run_command(npm)?;
    }
    emulators::install()?;
    let python = root().join("target/emulators/python/bin/python");
    let mut deployment = command(&python.to_string_lossy(), &["cdk/emulated/deploy.py"]);
    deployment.env("PATH", path_with(&bin)?);
    run_command(deployment)
}

/// The end-to-end tests, in two lanes that run side by side: most of a test is waiting for somebody to come and go. In each lane
/// one group comes after the other, with so many of its tests at a time.
const LANES: [&[(&[&str], &str)]; 2] = [
    &[
        (&["luanti", "openttd", "timers"], "--test-threads=3"),
        // Two for each of five games, all of which wait to see who comes and goes.
        (&["seeing"], "--test-threads=10"),
        (&["engine", "capabilities"], "--test-threads=4"),
        (&["soak"], "--test-threads=1"),
    ],
    &[
        (&["archives", "containers", "cloud", "doctor", "checking"], "--test-threads=3"),
        // Those that kill and fill, one at a time.
        (&["killed", "bad_input", "full_disk"], "--test-threads=1"),
    ],
];

/// Runs the end-to-end tests: real servers and real clients in network namespaces, which take root. The programs are built with
/// the tests of their packages.
fn end_to_end() -> Result<()> {
    let node = install::node()?;
    let ground = Ground::at(&root())?;
    install::modules(&ground, &node, "e2e/players")?;
    println!(
        "containers are run by a Podman of the tests' own; an engine that runs here already is left alone"
    );
    build::watchdog_for_here(&ground, false)?;
    // Built before they are run as root, so that nothing in the target directory belongs to root.
    let mut build = command("cargo", &["test", "--workspace", "--locked", "--no-run"]);
    select(&mut build, &LANES.concat().iter().flat_map(|(tests, _)| tests.to_vec()).collect::<Vec<_>>());
    run_command(build)?;
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root && !install::can_sudo() {
        bail!(
            "the end-to-end tests make network namespaces, which takes root: run this as root, or allow sudo"
        );
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let group = |tests: &[&str], threads: &str| {
        let mut command = if is_root { command(&cargo, &[]) } else { command("sudo", &["-n", "-E", &cargo]) };
        command.args(["test", "--workspace", "--locked"]);
        select(&mut command, tests);
        command.args(["--", threads]).env("DORMOUSE_NODE", &node);
        run_quietly(command)
    };
    let lane =
        |groups: &[(&[&str], &str)]| groups.iter().try_for_each(|(tests, threads)| group(tests, threads));
    thread::scope(|scope| {
        let lanes: Vec<_> = LANES.iter().map(|groups| scope.spawn(|| lane(groups))).collect();
        lanes
            .into_iter()
            .try_for_each(|lane| lane.join().map_err(|_| anyhow!("a lane of tests broke down"))?)
    })
}

fn select(command: &mut Command, tests: &[&str]) {
    tests.iter().for_each(|test| _ = command.args(["--test", test]));
}

fn run_with(name: &str, value: &str, arguments: &[&str]) -> Result<()> {
    let mut command = command("cargo", arguments);
    command.env(name, value);
    run_command(command)
}
