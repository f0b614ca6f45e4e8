//! Archives that are made while the game goes on.
//!
//! The game's processes are stopped for the moment that it takes to copy the world's files, and go on: the copy is what
//! would be on the disk had the power failed then, which every save that is worth the name survives. What cannot be copied in
//! that moment is not copied, for players would be thrown out. A game that has a console saves before. Archive and upload
//! are a thread's, beside the watch.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use adapters::report::{ArchiveRecord, BackupOutcomeRecord, BackupRecord};
use anyhow::{Context, Result, anyhow, ensure};
use domain::world::Archive;

use super::{Task, keeping::upload};
use crate::{
    archive::Source,
    game::RunningGame,
    world_dir::{self, Owned},
};

/// How long the game may be stopped. Servers answer nothing meanwhile, and games give a player up after some seconds.
const FROZEN_LIMIT: Duration = Duration::from_secs(2);

/// How much is copied before the time is looked at again.
const CHUNK: u64 = 256 << 10;

/// An archive that is being made.
pub(super) struct Backup {
    wish: i64,
    thread: JoinHandle<Result<Archive>>,
    is_over: Arc<AtomicBool>,
}

impl Task {
    /// Makes the archive that is asked for, if one is, and reports what came of the one before.
    pub(super) fn tend_backup(&mut self, owned: &Owned, game: &mut dyn RunningGame) {
        if let Some(backup) = self.backup.take_if(|backup| backup.thread.is_finished()) {
            let made =
                backup.thread.join().unwrap_or_else(|_| Err(anyhow!("the archive's thread broke down")));
            self.tell_backup(backup.wish, made);
        }
        self.operator.tend();
        let Some(wish) = self.reporter.wished_backup().filter(|wish| self.last_wish != Some(*wish)) else {
            self.operator.copy_is_over();
            return;
        };
        if self.backup.is_some() || !self.operator.is_ready_for_copy() {
            return;
        }
        self.last_wish = Some(wish);
        if self.is_too_large {
            // Players are not held up again for what cannot be done.
            self.tell_backup(wish, Err(TooLarge.into()));
            return;
        }
        tracing::info!("archiving while the game goes on");
        let begun = self.begin_backup(wish, owned, game);
        self.operator.copy_is_over();
        match begun {
            Ok(backup) => self.backup = Some(backup),
            Err(error) => {
                self.is_too_large = error.is::<TooLarge>();
                self.tell_backup(wish, Err(error));
            }
        }
    }

    /// Ends what is being made: the world goes to sleep and is archived then. Its thread is not waited for, since it may
    /// hang on the network; it touches nothing but its own copy.
    pub(super) fn drop_backup(&mut self) {
        if let Some(backup) = self.backup.take() {
            backup.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn tell_backup(&self, wish: i64, made: Result<Archive>) {
        let came_to = match made {
            Ok(archive) => BackupOutcomeRecord::Uploaded { archive: ArchiveRecord::from(&archive) },
            Err(error) => {
                let why = format!("{error:#}");
                tracing::warn!("no archive while the game goes on: {why}");
                BackupOutcomeRecord::Failed { why }
            }
        };
        self.reporter.update(|report| report.backup = Some(BackupRecord { wish, came_to }));
    }

    fn begin_backup(&self, wish: i64, owned: &Owned, game: &mut dyn RunningGame) -> Result<Backup> {
        let copy = Copy(self.env.task_dir.join("copy"));
        copy.clear()?;
        let exclude = self.game.save.exclude.clone();
        copy_frozen(&owned.files, &exclude, &copy.0, game)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let check = {
            let is_over = Arc::clone(&is_over);
            move || {
                ensure!(!is_over.load(Ordering::Relaxed), "the world goes to sleep");
                Ok(())
            }
        };
        let terms = self.terms(Box::new(check.clone()));
        let (about, generation) = (self.about("while it was awake"), self.env.generation);
        let scratch = self.env.task_dir.clone();
        let make = move || {
            let source = Source { files: &copy.0, exclude: &exclude, scratch: &scratch, about: &about };
            upload(&source, terms, generation, &mut || check())
        };
        let thread = thread::Builder::new().name("backup".into()).spawn(make).context("starting a thread")?;
        Ok(Backup { wish, thread, is_over })
    }
}

/// Why an archive is not made while the game goes on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the world is too large to be copied in the {} s that its players can be held up; it is archived when it sleeps",
    FROZEN_LIMIT.as_secs()
)]
struct TooLarge;

/// A copy of the world's files; removed when it has served.
struct Copy(PathBuf);

impl Copy {
    fn clear(&self) -> Result<()> {
        world_dir::remove_tree(&self.0).context("removing an earlier copy")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!("{error:#}");
        }
    }
}

/// Copies the world's files while nothing of the game runs.
fn copy_frozen(files: &Path, exclude: &[String], to: &Path, game: &mut dyn RunningGame) -> Result<()> {
    let begun = Instant::now();
    let frozen = game.freeze()?;
    let copied = copy_tree(files, exclude, to, begun + FROZEN_LIMIT);
    drop(frozen);
    tracing::info!("the game stood still for {:?}", begun.elapsed());
    copied
}

/// Copies everything below `from`, but what `exclude` names, to the new directory `to`, with its times and permissions.
fn copy_tree(from: &Path, exclude: &[String], to: &Path, until: Instant) -> Result<()> {
    let mut todo = vec![PathBuf::new()];
    let mut dirs = Vec::new();
    while let Some(inner) = todo.pop() {
        let (source, target) = (from.join(&inner), to.join(&inner));
        let found =
            fs::symlink_metadata(&source).with_context(|| format!("looking at {}", inner.display()))?;
        if Instant::now() > until {
            return Err(TooLarge.into());
        }
        if exclude.iter().any(|e| inner == Path::new(e)) {
            continue;
        }
        if found.is_dir() {
            fs::create_dir(&target).with_context(|| format!("making {}", target.display()))?;
            for entry in fs::read_dir(&source).with_context(|| format!("reading {}", inner.display()))? {
                todo.push(inner.join(entry?.file_name()));
            }
            dirs.push((target, found));
        } else if found.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if found.is_file() {
            copy_file(&source, &target, &found, until)
                .with_context(|| format!("copying {}", inner.display()))?;
        }
    }
    // The deepest first: what is made in a directory changes its time.
    for (dir, found) in dirs.into_iter().rev() {
        set_times(&fs::File::open(&dir)?, &found)?;
    }
    Ok(())
}

/// Copies one file within the kernel, which shares its blocks where the file system can.
fn copy_file(source: &Path, target: &Path, found: &fs::Metadata, until: Instant) -> Result<()> {
    let (from, to) = (fs::File::open(source)?, fs::File::create_new(target)?);
    loop {
        let copied = std::io::copy(&mut std::io::Read::take(&from, CHUNK), &mut &to)?;
        if copied == 0 {
            break;
        }
        if Instant::now() > until {
            return Err(TooLarge.into());
        }
    }
    to.set_permissions(found.permissions())?;
    set_times(&to, found)
}

fn set_times(file: &fs::File, found: &fs::Metadata) -> Result<()> {
    file.set_times(fs::FileTimes::new().set_modified(found.modified()?)).context("keeping its time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    #[test]
    fn a_copy_has_the_same_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("world/deep")).unwrap();
        fs::create_dir(from.join("cache")).unwrap();
        fs::write(from.join("world/deep/map"), vec![7; 100_000]).unwrap();
        fs::write(from.join("cache/x"), "x").unwrap();
        std::os::unix::fs::symlink("deep/map", from.join("world/link")).unwrap();
        let exclude = ["cache".to_owned()];
        copy_tree(&from, &exclude, &to, Instant::now() + Duration::from_secs(600)).unwrap();
        assert!(!to.join("cache").exists());
        let print = |path: &Path| archive::fingerprint(&path.join("world/deep"), &[]).unwrap();
        assert_eq!(print(&from), print(&to));
        assert_eq!(fs::read_link(to.join("world/link")).unwrap(), Path::new("deep/map"));
    }

    #[test]
    fn what_takes_too_long_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("from")).unwrap();
        let over = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let error = copy_tree(&dir.path().join("from"), &[], &dir.path().join("to"), over).unwrap_err();
        assert!(error.to_string().ends_with("it is archived when it sleeps"), "{error}");
    }
}
