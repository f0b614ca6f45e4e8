//! The games that are soaked: what their players do, and how it is told whether anything of that was lost.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    clients::{LuantiClient, surely},
    netns::Namespace,
    soak::ledger::{self, Book, Player},
};

/// What the kernel calls the games' processes.
pub(super) const SERVERS: &[&str] = &[ledger::SERVER, "minetestserver"];

/// A game, as one world has it. What a world holds is told by lines: two worlds with the same lines are the same.
pub(super) trait Game: Sync {
    /// Its name in the catalogue.
    fn name(&self) -> &'static str;

    /// Brings players in, from machines of theirs. They play until they are dropped.
    fn join(&self, machines: &[&Namespace], to: &Open<'_>) -> Result<Vec<Box<dyn Send>>>;

    /// Tells whether players have heard from their game in these last seconds.
    fn is_heard(&self, printed: &str) -> bool;

    /// Tells whether it may break down by itself when its disk is full.
    fn minds_full_disks(&self) -> bool;

    /// Reads a world's files.
    fn read(&self, files: &Path) -> Result<Vec<String>>;

    /// Reads an archive, which has to be whole.
    fn read_archive(&self, archive: &Path) -> Result<Vec<String>>;

    /// Checks that what was read is all that it has to be.
    fn check(&self, lines: &[String], source: Source<'_>) -> Result<()>;

    /// Takes note of that the world went back to what was read.
    fn rewind(&self, lines: &[String]);

    /// Returns the lines that its players were promised so far.
    fn promises(&self) -> Vec<String>;

    /// Returns how many there are.
    fn promised(&self) -> usize {
        self.promises().len()
    }
}

/// A world that players can join.
pub(super) struct Open<'a> {
    pub(super) server: SocketAddr,
    /// Its id.
    pub(super) world: &'a str,
    /// The launch.
    pub(super) generation: u64,
    /// Where the game prints.
    pub(super) log: &'a Path,
}

/// Where lines were read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Files(&'a Path),
    Archive(&'a Path),
}

/// The ledger.
#[derive(Default)]
pub(super) struct Ledger(Arc<Book>);

impl Game for Ledger {
    fn name(&self) -> &'static str {
        ledger::GAME
    }

    fn join(&self, machines: &[&Namespace], to: &Open<'_>) -> Result<Vec<Box<dyn Send>>> {
        let join = |(i, machine): (usize, &&Namespace)| -> Result<Box<dyn Send>> {
            let name = format!("g{}p{i}", to.generation);
            Ok(Box::new(Player::join(machine, to.server, to.world, &name, &self.0)?))
        };
        machines.iter().enumerate().map(join).collect()
    }

    fn is_heard(&self, _printed: &str) -> bool {
        self.0.silent_for().is_some_and(|time| time < Duration::from_secs(3))
    }

    fn minds_full_disks(&self) -> bool {
        false
    }

    fn read(&self, files: &Path) -> Result<Vec<String>> {
        ledger::read(files)
    }

    fn read_archive(&self, archive: &Path) -> Result<Vec<String>> {
        ledger::read_archive(archive)
    }

    fn check(&self, lines: &[String], _source: Source<'_>) -> Result<()> {
        self.0.check(lines)
    }

    fn rewind(&self, lines: &[String]) {
        self.0.rewind(lines);
    }

    fn promises(&self) -> Vec<String> {
        self.0.promises()
    }
}

/// Luanti, with one player.
#[derive(Default)]
pub(super) struct Luanti {
    /// Whether the world has to know its player.
    known: AtomicBool,
}

/// Who plays Luanti.
const PLAYER: &str = "ann";

impl Game for Luanti {
    fn name(&self) -> &'static str {
        "luanti"
    }

    fn join(&self, machines: &[&Namespace], to: &Open<'_>) -> Result<Vec<Box<dyn Send>>> {
        let Some(machine) = machines.first() else { return Ok(Vec::new()) };
        let join = || LuantiClient::join(Some(machine), to.server.ip(), to.server.port(), PLAYER);
        let has_joined = || Ok(LuantiClient::joined(PLAYER, &fs::read_to_string(to.log).unwrap_or_default()));
        // What is done to the game meanwhile keeps people out, which is no loss.
        let Ok(player) = surely(join, has_joined) else { return Ok(Vec::new()) };
        // Who has just come in is saved every few seconds, and at the end.
        match player.act(Duration::from_secs(2)) {
            Ok(()) => Ok(vec![Box::new(player)]),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn is_heard(&self, printed: &str) -> bool {
        let left = format!("{PLAYER} leaves game");
        !LuantiClient::joined(PLAYER, printed) || !printed.contains(&left)
    }

    /// It aborts when its database cannot write.
    fn minds_full_disks(&self) -> bool {
        true
    }

    fn read(&self, files: &Path) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in all(&files.join("world"))? {
            let name = path.strip_prefix(files)?.display().to_string();
            let mut crc = crc32fast::Hasher::new();
            crc.update(&fs::read(&path)?);
            lines.push(format!("{name} {:08x}", crc.finalize()));
        }
        lines.sort();
        Ok(lines)
    }

    fn read_archive(&self, archive: &Path) -> Result<Vec<String>> {
        let mut zip = zip::ZipArchive::new(File::open(archive)?)?;
        let mut lines = Vec::new();
        for i in 0..zip.len() {
            let mut file = zip.by_index(i)?;
            // Reading to the end compares the checksum.
            std::io::copy(&mut file, &mut std::io::sink())?;
            let name = file.name()?.into_owned();
            if file.is_file() && name.starts_with("world/") {
                lines.push(format!("{name} {:08x}", file.crc32()));
            }
        }
        lines.sort();
        Ok(lines)
    }

    fn check(&self, _lines: &[String], source: Source<'_>) -> Result<()> {
        let copy = tempfile::tempdir()?;
        match source {
            Source::Files(files) => {
                // Looking at a database that was not closed changes it.
                for path in all(&files.join("world"))? {
                    let to = copy.path().join(path.strip_prefix(files)?);
                    fs::create_dir_all(to.parent().context("no parent")?)?;
                    fs::copy(&path, &to)?;
                }
            }
            Source::Archive(archive) => zip::ZipArchive::new(File::open(archive)?)?.extract(copy.path())?,
        }
        let databases = all(&copy.path().join("world"))?;
        for database in databases.iter().filter(|path| path.extension().is_some_and(|e| e == "sqlite")) {
            let said = ask(database, "PRAGMA integrity_check")?;
            ensure!(said == "ok", "{}: {said}", database.display());
        }
        let players = copy.path().join("world/players.sqlite");
        let is_known =
            players.exists() && ask(&players, "SELECT name FROM player").is_ok_and(|name| name == PLAYER);
        let was_known = self.known.fetch_or(is_known, Ordering::SeqCst);
        ensure!(is_known || !was_known, "its player is no longer known");
        Ok(())
    }

    fn rewind(&self, _lines: &[String]) {
        self.known.store(false, Ordering::SeqCst);
    }

    fn promises(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Asks a database of SQLite's something.
fn ask(database: &Path, what: &str) -> Result<String> {
    let asked = Command::new("sqlite3").arg(database).arg(what).output().context("running sqlite3")?;
    ensure!(
        asked.status.success(),
        "{}: {}",
        database.display(),
        String::from_utf8_lossy(&asked.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// Returns all files below a directory, which may not be there.
fn all(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !directory.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(all(&path)?) } else { files.push(path) }
    }
    Ok(files)
}
