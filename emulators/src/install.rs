//! Installing the emulators under `target/emulators`, once for each set of pinned versions.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Later versions need a newer Rust than ours.
const S3S_VERSION: &str = "0.14.1";

/// Installs what is missing, after saying what and why; the second time it does nothing. Processes that call it at
/// once wait for each other. Needs python3 with venv, cargo, PyPI and crates.io.
pub fn install() -> Result<()> {
    let _alone = alone()?;
    once("python", REQUIREMENTS, python)?;
    once("s3s-fs", S3S_VERSION, s3s)
}

/// Returns the right to install, of which there is one; it ends when it is dropped.
pub(crate) fn alone() -> Result<File> {
    fs::create_dir_all(root())?;
    let lock = File::create(root().join("lock"))?;
    lock.lock().context("waiting for another process that installs the emulators")?;
    Ok(lock)
}

/// Returns the directory that holds the emulators.
pub(crate) fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    workspace.parent().unwrap_or(workspace).join("target/emulators")
}

/// Returns the Python that has moto.
pub(crate) fn python_program() -> PathBuf {
    root().join("python/bin/python")
}

/// Returns the S3 server.
pub(crate) fn s3s_program() -> PathBuf {
    root().join("s3s-fs/bin/s3s-fs")
}

/// Installs into the directory `name` unless a stamp says that exactly `pins` are there.
pub(crate) fn once(name: &str, pins: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = root().join(format!("{name}.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(());
    }
    let directory = root().join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    install(&directory)?;
    Ok(fs::write(stamp, pins)?)
}

fn python(directory: &Path) -> Result<()> {
    println!("moto (PyPI, about 140 MB) will be installed into {}:", directory.display());
    println!("  it stands in for DynamoDB, SQS, ECS and SSM in tests");
    let venv = Command::new("python3").args(["-m", "venv"]).arg(directory).stdin(Stdio::null()).output();
    if !venv.is_ok_and(|done| done.status.success()) {
        bail!("python3 cannot make a virtual environment; on Debian: apt-get install python3-venv");
    }
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements.txt");
    let mut pip = Command::new(python_program());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    run(pip.arg(requirements))
}

fn s3s(directory: &Path) -> Result<()> {
    println!(
        "s3s-fs {S3S_VERSION} (crates.io) will be built into {}, for about a minute:",
        directory.display()
    );
    println!("  it stands in for S3 in tests, and checks signatures as S3 does");
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "s3s-fs", "--locked", "--quiet", "--features", "binary", "--version"]);
    cargo.arg(format!("={S3S_VERSION}")).arg("--root").arg(directory);
    // Ours may be locked by the cargo that runs the tests.
    run(cargo.env_remove("CARGO_TARGET_DIR"))
}

/// Runs a program; an error with what it complained of unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("running {program}"))?;
    if !done.status.success() {
        bail!("{program} failed ({}): {}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
