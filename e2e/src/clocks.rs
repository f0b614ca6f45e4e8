//! Clocks that jump, for programs that believe the time they are told: a library that is loaded before all others adds what a
//! file says to the time of day. How long something takes, they measure as before.
//!
//! (`libfaketime` would do that too, but with it sleeps until a moment fail with EINVAL, and whatever is killed leaves files in
//! /dev/shm.)

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The library.
const SOURCE: &str = include_str!("clock.c");

/// What it is told its file by.
const FILE: &str = "DORMOUSE_E2E_CLOCK";

/// A library, and a directory with the clocks.
#[derive(Debug, Clone)]
pub struct Clocks(PathBuf);

impl Clocks {
    /// Makes the library in `dir`, by the C compiler that Rust links with.
    pub fn make(dir: &Path) -> Result<Self> {
        let clocks = Self(dir.to_owned());
        let source = dir.join("clock.c");
        fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(clocks.library()).arg(source);
        let made = cc.output().context("running cc")?;
        ensure!(made.status.success(), "cc: {}", String::from_utf8_lossy(&made.stderr));
        Ok(clocks)
    }

    /// Has a clock show the true time and `ahead_s` seconds more, from now on.
    pub fn set(&self, name: &str, ahead_s: i64) -> Result<()> {
        set(&self.0.join(name), ahead_s)
    }

    /// Returns the environment of a program that has that clock.
    pub fn vars(&self, name: &str) -> [(String, String); 2] {
        vars(&self.library(), &self.0.join(name))
    }

    /// Gives a directory of a container, `inside` there, a clock of its own, and returns the environment of a program that has it.
    pub fn give(&self, dir: &Path, inside: &Path) -> Result<[(String, String); 2]> {
        fs::copy(self.library(), dir.join("clock.so"))?;
        set(&dir.join("clock"), 0)?;
        Ok(vars(&inside.join("clock.so"), &inside.join("clock")))
    }

    fn library(&self) -> PathBuf {
        self.0.join("clock.so")
    }
}

/// Has the clock in `file` show so much more than the true time.
pub fn set(file: &Path, ahead_s: i64) -> Result<()> {
    // It is mapped by whoever has it, so it stays the same file of the same size.
    let mut file = File::options().create(true).truncate(false).write(true).open(file)?;
    Ok(file.write_all(&ahead_s.to_ne_bytes())?)
}

fn vars(library: &Path, clock: &Path) -> [(String, String); 2] {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    [("LD_PRELOAD".to_owned(), text(library)), (FILE.to_owned(), text(clock))]
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_shows_what_it_is_set_to() {
        let dir = tempfile::tempdir().unwrap();
        let clocks = Clocks::make(dir.path()).unwrap();
        for ahead_s in [0, 1800, -1800] {
            clocks.set("one", ahead_s).unwrap();
            let mut date = Command::new("date");
            let shown = date.arg("+%s").envs(clocks.vars("one")).output().unwrap();
            let shown: i64 = String::from_utf8_lossy(&shown.stdout).trim().parse().unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
            assert!((shown - now - ahead_s).abs() < 600, "{shown} is not {now} and {ahead_s}");
        }
    }
}
