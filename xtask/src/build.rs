//! `cargo xtask build`: what the deployment takes, below `target/`: the functions, and the contexts of the images.
//!
//! Everything is a static program for Linux (musl), linked by zig, so that one machine builds for both architectures.
//! What is as it should be is left alone, down to the time of the last change.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{
    ground::{Ground, path_with},
    install,
    shell::run_command,
};

use contexts::Image;

mod contexts;

pub(crate) use contexts::{dockerfiles, licence_of};

/// How to build.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build --release                               what a deployment takes
  cargo xtask build --release --accept-licence valheim      Valheim too, whose server comes under Valve's terms")]
pub(crate) struct Build {
    /// Optimise, which takes minutes; without it, what is built is for trying only
    #[arg(long)]
    pub(crate) release: bool,
    /// Accept the licence under which a game's server is downloaded; it is remembered below target/
    #[arg(long, value_name = "GAME")]
    pub(crate) accept_licence: Vec<String>,
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Arm64,
    Amd64,
}

impl Architecture {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Arm64, Self::Amd64];

    /// Returns the name that Docker and the catalogue have for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Amd64 => "amd64",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-musl",
            Self::Amd64 => "x86_64-unknown-linux-musl",
        }
    }

    /// Returns its number in the header of a program (the ELF specification's `e_machine`).
    fn machine(self) -> u16 {
        match self {
            Self::Arm64 => 183,
            Self::Amd64 => 62,
        }
    }
}

/// The functions' programs, by the names that cdk knows them under.
const FUNCTIONS: [&str; 2] = ["interactions", "worker"];

/// Builds everything that a deployment takes.
pub(crate) fn build(ground: &Ground, build: &Build) -> Result<()> {
    build.accept_licence.iter().try_for_each(|game| accept_licence(ground, game))?;
    let zig = install::zig(ground)?;
    install::rust_targets(ground, &Architecture::ALL.map(Architecture::target))?;
    for compilation in compilations() {
        run_command(compilation.command(ground, &zig, build)?)?;
    }
    println!("\nfor the deployment:");
    for name in FUNCTIONS {
        let program = program(ground, build, Architecture::Arm64, name)?;
        let place = format!("lambda/{name}/bootstrap");
        put(&program, &ground.target(&place), 0o755)?;
        say(&place, &format!("arm64, static, {}", megabytes(&program)?));
    }
    for architecture in Architecture::ALL {
        let program = program(ground, build, architecture, "watchdog")?;
        put(&program, &contexts::watchdog(ground, architecture), 0o755)?;
        say(&format!("watchdog, {}", architecture.name()), &format!("static, {}", megabytes(&program)?));
    }
    contexts::images(ground)?.iter().try_for_each(|image| make(ground, image))
}

/// Builds the static watchdog for this machine, and returns where it is.
pub(crate) fn watchdog_for_here(ground: &Ground, release: bool) -> Result<PathBuf> {
    let here = std::env::consts::ARCH;
    let architecture = Architecture::ALL.into_iter().find(|one| one.target().starts_with(here));
    let architecture =
        architecture.with_context(|| format!("the watchdog's image is not made for {here}"))?;
    let zig = install::zig(ground)?;
    install::rust_targets(ground, &[architecture.target()])?;
    let build = Build { release, accept_licence: Vec::new() };
    run_command(Compilation { package: "watchdog", architecture }.command(ground, &zig, &build)?)?;
    program(ground, &build, architecture, "watchdog")
}

/// Notes that somebody accepts the licence of a game's server.
pub(crate) fn accept_licence(ground: &Ground, game: &str) -> Result<()> {
    let licence = licence_of(ground, game)?;
    licence.with_context(|| format!("there is no licence to accept for `{game}`"))?.accept(ground)
}

/// Makes the context of an image, unless a licence stands before it.
fn make(ground: &Ground, image: &Image) -> Result<()> {
    let place = format!("images/{}", image.name);
    match &image.licence {
        Some(licence) if !licence.is_accepted(ground) => {
            say(&place, &format!("not made: {}", licence.how_to_accept()));
        }
        Some(_) | None => {
            image.make(ground)?;
            say(&place, &image.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" "));
        }
    }
    Ok(())
}

fn say(what: &str, how: &str) {
    println!("  {what:<30} {how}");
}

/// One run of the compiler. What a package is built with must not depend on what is built beside it.
struct Compilation {
    package: &'static str,
    architecture: Architecture,
}

fn compilations() -> [Compilation; 3] {
    use Architecture::{Amd64, Arm64};
    [("control-lambda", Arm64), ("watchdog", Arm64), ("watchdog", Amd64)]
        .map(|(package, architecture)| Compilation { package, architecture })
}

impl Compilation {
    fn command(&self, ground: &Ground, zig: &Path, build: &Build) -> Result<Command> {
        let target_dir = ground.target("");
        let mut command = ground.command(zig.join("cargo-zigbuild"), &["zigbuild", "--locked", "--bins"]);
        command.args(["--package", self.package, "--target", self.architecture.target()]);
        command.arg("--target-dir").arg(target_dir);
        if build.release {
            command.arg("--release");
        }
        command.env("PATH", path_with(zig)?).env("CARGO_ZIGBUILD_PYTHON_PATH", zig.join("python"));
        Ok(command)
    }
}

/// Returns where a program was built, after a look at what it is.
fn program(ground: &Ground, build: &Build, architecture: Architecture, name: &str) -> Result<PathBuf> {
    let profile = if build.release { "release" } else { "debug" };
    let program = ground.target(architecture.target()).join(profile).join(name);
    check_static(&program, architecture)?;
    Ok(program)
}

/// Refuses a program that is for another architecture, or that needs a loader, which an empty image does not have.
fn check_static(program: &Path, architecture: Architecture) -> Result<()> {
    const PT_INTERP: u32 = 3;
    let shown = program.display();
    let mut head = Vec::new();
    let file = File::open(program).with_context(|| format!("the compiler left no {shown}"))?;
    file.take(4096).read_to_end(&mut head).with_context(|| format!("reading {shown}"))?;
    let number = |at: usize, length: usize| -> Result<u64> {
        let bytes = head.get(at..at + length).with_context(|| format!("{shown} is cut short"))?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    ensure!(head.starts_with(b"\x7fELF\x02\x01"), "{shown} is no 64-bit program for Linux");
    ensure!(
        number(18, 2)? == u64::from(architecture.machine()),
        "{shown} is not for {}",
        architecture.name()
    );
    let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for n in 0..count {
        let at = usize::try_from(first + n * size)?;
        if number(at, 4)? == u64::from(PT_INTERP) {
            bail!("{shown} is not static: it names a loader");
        }
    }
    Ok(())
}

fn megabytes(file: &Path) -> Result<String> {
    let length = fs::metadata(file).with_context(|| format!("looking at {}", file.display()))?.len();
    Ok(format!("{:.1} MB", length as f64 / 1e6))
}

/// Puts a copy of `from` at `to` with these permissions. One that is there already is left as it is; another is replaced
/// at once, so that a build that is broken off leaves no half of a file.
fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let context = || format!("copying {} to {}", from.display(), to.display());
    let bytes = fs::read(from).with_context(context)?;
    let is_there = fs::read(to).is_ok_and(|there| there == bytes)
        && fs::metadata(to).is_ok_and(|there| there.permissions().mode() & 0o7777 == mode);
    if is_there {
        return Ok(());
    }
    let directory = to.parent().with_context(context)?;
    fs::create_dir_all(directory).with_context(context)?;
    let new = tempfile::NamedTempFile::new_in(directory).with_context(context)?;
    fs::write(&new, bytes).with_context(context)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).with_context(context)?;
    new.persist(to).with_context(context)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the head of a program: for this machine, with one program header of this kind.
    fn head(machine: u16, header: u32) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head.extend(header.to_le_bytes());
        head.resize(64 + 56, 0);
        head
    }

    fn check(bytes: &[u8]) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        check_static(file.path(), Architecture::Arm64)
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "it"))
    }

    #[test]
    fn a_program_that_needs_a_loader_or_another_machine_is_refused() {
        assert_eq!(check(&head(183, 1)), Ok(()));
        assert_eq!(check(&head(183, 3)).unwrap_err(), "it is not static: it names a loader");
        assert_eq!(check(&head(62, 1)).unwrap_err(), "it is not for arm64");
        assert_eq!(check(&head(183, 1)[..60]).unwrap_err(), "it is cut short");
        assert_eq!(check(b"#!/bin/sh").unwrap_err(), "it is no 64-bit program for Linux");
    }

    #[test]
    fn a_file_that_is_there_already_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("below/to"));
        fs::write(&from, "one").unwrap();
        let put_and_look = || {
            put(&from, &to, 0o755).unwrap();
            let there = fs::metadata(&to).unwrap();
            (std::os::unix::fs::MetadataExt::ino(&there), there.permissions().mode() & 0o7777)
        };
        let first = put_and_look();
        assert_eq!(first.1, 0o755);
        assert_eq!(put_and_look(), first);
        fs::write(&from, "two").unwrap();
        assert_ne!(put_and_look().0, first.0);
        assert_eq!(fs::read_dir(dir.path().join("below")).unwrap().count(), 1);
    }
}
