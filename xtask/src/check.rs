//! `cargo xtask check` and `cargo xtask test`: what CI runs, from fast to slow.

use anyhow::{Result, bail};

use crate::{
    install,
    shell::{command, root, run, run_command},
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
    install::cargo_deny()?;
    run("cargo", &["fetch", "--locked"])?;
    run("cargo", &["deny", "--locked", "--offline", "check", "bans", "licenses", "sources"])
}

/// Runs every test and check.
pub(crate) fn test() -> Result<()> {
    install::packages(&[install::DEMO, install::TESTS])?;
    check()?;
    infrastructure()?;
    emulators::install()?;
    run("cargo", &["test", "--workspace", "--exclude", "e2e", "--locked"])?;
    run("cargo", &["test", "-p", "e2e", "--lib", "--locked"])?;
    end_to_end()
}

/// Runs the checks and tests of the infrastructure, which need no account.
fn infrastructure() -> Result<()> {
    npm("cdk", &["ci", "--no-audit", "--no-fund"])?;
    npm("cdk", &["run", "check"])
}

/// Runs npm in a directory of the workspace.
fn npm(directory: &str, arguments: &[&str]) -> Result<()> {
    let bin = install::node()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))?;
    let mut npm = command("npm", arguments);
    npm.current_dir(root().join(directory)).env("PATH", &path);
    run_command(npm)
}

/// The end-to-end tests that mostly wait, and run side by side; and those that kill and fill, one at a time.
const END_TO_END: [(&[&str], &str); 3] = [
    (&["luanti", "openttd", "timers", "archives", "cloud"], "--test-threads=3"),
    // Two for each of five games, all of which wait to see who comes and goes.
    (&["seeing"], "--test-threads=10"),
    (&["killed", "bad_input", "full_disk"], "--test-threads=1"),
];

/// Runs the end-to-end tests: real servers and real clients in network namespaces, which take root.
fn end_to_end() -> Result<()> {
    run("cargo", &["build", "-p", "dormouse", "-p", "control-lambda", "--locked"])?;
    npm("e2e/players", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    let node = install::node()?;
    // Built before they are run as root, so that nothing in the target directory belongs to root.
    run("cargo", &["test", "-p", "e2e", "--locked", "--no-run"])?;
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root && !install::can_sudo() {
        bail!(
            "the end-to-end tests make network namespaces, which takes root: run this as root, or allow sudo"
        );
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    for (tests, threads) in END_TO_END {
        let mut command = if is_root { command(&cargo, &[]) } else { command("sudo", &["-n", "-E", &cargo]) };
        command.args(["test", "-p", "e2e", "--locked"]);
        tests.iter().for_each(|test| _ = command.args(["--test", test]));
        command.args(["--", threads]).env("DORMOUSE_NODE", &node);
        run_command(command)?;
    }
    Ok(())
}

fn run_with(name: &str, value: &str, arguments: &[&str]) -> Result<()> {
    let mut command = command("cargo", arguments);
    command.env(name, value);
    run_command(command)
}
