//! The files of one archive, or of one file to import, on the disk, and who may write them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use domain::world::{ArchiveId, ImportId, Sha256};
use serde::{Deserialize, Serialize};
use sha2::Digest;

/// How long what was never completed, or never imported, is kept. No upload lasts for days.
const LEFTOVERS_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often a file is opened again that somebody else has just named or removed. Each time is somebody else's success,
/// and an archive has few of them.
const OPEN_TRIES: u32 = 16;

/// How much is digested at a time.
const CHUNK: usize = 256 << 10;

/// The endings of what is cleared away when it has lain for [`LEFTOVERS_AFTER`].
const PASSING: [&str; 3] = [PART, RECEIVING, IMPORT];
const PART: &str = "part";
const RECEIVING: &str = "receiving";
const IMPORT: &str = "import";

/// The stored form of [`Facts`], beside the archive.
#[derive(Debug, Serialize, Deserialize)]
struct FactsRecord {
    v: u32,
    size: u64,
    sha256: String,
}

/// What is known of a complete archive: its size in bytes, and the digest that was computed when it was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) sha256: Sha256,
}

/// The files of one archive.
#[derive(Clone)]
pub(super) struct Place {
    directory: PathBuf,
    pub(super) zip: PathBuf,
    part: PathBuf,
    facts: PathBuf,
}

/// Whether something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in its place.
    Yes,
    /// No: the archive is just being checked.
    Busy,
    /// No: the archive is complete.
    Complete,
}

impl Place {
    pub(super) fn new(directory: &Path, id: &ArchiveId) -> Self {
        let file = |ending| directory.join(format!("{id}.{ending}"));
        Self { directory: directory.into(), zip: file("zip"), part: file(PART), facts: file("json") }
    }

    /// Writes `bytes` of an archive that is not complete at `from`. The lock is held for so long only: a sender that
    /// stands still holds up nobody.
    pub(super) fn write(&self, root: &Path, from: u64, bytes: &[u8]) -> io::Result<Written> {
        for _ in 0..OPEN_TRIES {
            if self.zip.try_exists()? {
                return Ok(Written::Complete);
            }
            let Some(part) = self.open_part(root)? else { continue };
            match part.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Written::Busy),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // A part that has its name while it is locked is not complete, and will not be before the lock is gone.
            if is_named(&part, &self.part)? && !self.zip.try_exists()? {
                part.write_all_at(bytes, from)?;
                return Ok(Written::Yes);
            }
        }
        Ok(Written::Busy)
    }

    /// Opens the part, or makes it: then an upload begins.
    fn open_part(&self, root: &Path) -> io::Result<Option<File>> {
        if let Some(part) = unless_missing(OpenOptions::new().write(true).open(&self.part))? {
            return Ok(Some(part));
        }
        make_directory(root, &self.directory)?;
        clear_leftovers(&self.directory)?;
        match OpenOptions::new().write(true).create_new(true).open(&self.part) {
            Ok(part) => Ok(Some(part)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells whether the archive is all there and what is claimed, and completes it if it was not complete yet.
    pub(super) fn settle(&self, claimed: Facts) -> io::Result<bool> {
        for _ in 0..OPEN_TRIES {
            if self.zip.try_exists()? {
                return Ok(self.facts()? == Some(claimed));
            }
            let Some(part) = unless_missing(OpenOptions::new().read(true).write(true).open(&self.part))?
            else {
                if self.zip.try_exists()? {
                    continue;
                }
                return Ok(false);
            };
            part.lock()?;
            if is_named(&part, &self.part)? && !self.zip.try_exists()? {
                return self.complete_if(&part, claimed);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn complete_if(&self, part: &File, claimed: Facts) -> io::Result<bool> {
        if part.metadata()?.len() != claimed.size || digest(part)? != claimed.sha256 {
            return Ok(false);
        }
        self.complete(part, claimed)?;
        Ok(true)
    }

    /// Gives the part its name, after all that is known of it is on the disk.
    fn complete(&self, part: &File, Facts { size, sha256 }: Facts) -> io::Result<()> {
        part.sync_all()?;
        let record = serde_json::to_vec(&FactsRecord { v: 1, size, sha256: sha256.to_string() })?;
        let mut facts = File::create(&self.facts)?;
        facts.write_all(&record)?;
        facts.sync_all()?;
        sync_directory(&self.directory)?;
        fs::rename(&self.part, &self.zip)?;
        sync_directory(&self.directory)
    }

    /// Returns what was computed when the archive was completed, if it is all there and still as long.
    pub(super) fn facts(&self) -> io::Result<Option<Facts>> {
        let found = fs::metadata(&self.zip).and_then(|zip| Ok((zip.len(), fs::read(&self.facts)?)));
        let Some((length, record)) = unless_missing(found)? else { return Ok(None) };
        let facts = serde_json::from_slice::<FactsRecord>(&record)
            .ok()
            .filter(|record| record.v == 1)
            .and_then(|r| Some(Facts { size: r.size, sha256: Sha256::parse(&r.sha256).ok()? }));
        Ok(facts.filter(|facts| facts.size == length))
    }

    /// Removes what there is of the archive. A crash in between leaves at most facts of nothing.
    pub(super) fn remove(&self) -> io::Result<()> {
        // Waits for a check that is just going on.
        let part = unless_missing(File::open(&self.part))?;
        part.as_ref().map_or(Ok(()), File::lock)?;
        remove_all(&self.directory, &[&self.zip, &self.part, &self.facts])
    }
}

/// The files of one file to import.
#[derive(Clone)]
pub(super) struct Inbox {
    directory: PathBuf,
    /// What has come so far, while it comes.
    pub(super) receiving: PathBuf,
    /// All of it.
    pub(super) file: PathBuf,
}

impl Inbox {
    pub(super) fn new(directory: &Path, id: &ImportId) -> Self {
        let file = |ending| directory.join(format!("{id}.{ending}"));
        Self { directory: directory.into(), receiving: file(RECEIVING), file: file(IMPORT) }
    }

    /// Returns an empty file, locked and to be filled, unless somebody else fills it.
    pub(super) fn begin(&self, root: &Path) -> io::Result<Option<File>> {
        make_directory(root, &self.directory)?;
        clear_leftovers(&self.directory)?;
        let how = OpenOptions::new().write(true).create(true).truncate(false).clone();
        let Some(receiving) = lock(&self.receiving, &how)? else { return Ok(None) };
        if receiving.metadata()?.len() > 0 {
            receiving.set_len(0)?;
        }
        Ok(Some(receiving))
    }

    /// Makes what was received durable, and puts it in the place of what was sent before.
    pub(super) fn complete(&self, receiving: &File) -> io::Result<()> {
        receiving.sync_all()?;
        fs::rename(&self.receiving, &self.file)?;
        sync_directory(&self.directory)
    }

    /// Removes what was received. What is just being received is left to its sender.
    pub(super) fn discard(&self) -> io::Result<()> {
        remove_all(&self.directory, &[&self.file])
    }
}

/// Removes what earlier uploads of the world left behind when they were cut off, and what was never imported.
fn clear_leftovers(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_passing = path.extension().is_some_and(|ending| PASSING.iter().any(|p| ending == *p));
        // Held until it is removed: nobody else takes it up meanwhile.
        if is_passing
            && is_old(&path)?
            && let Some(_held) = lock(&path, &OpenOptions::new().write(true).clone())?
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn is_old(path: &Path) -> io::Result<bool> {
    let written = unless_missing(fs::metadata(path).and_then(|found| found.modified()))?;
    // What was written in the future is not old.
    Ok(written.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= LEFTOVERS_AFTER)))
}

/// Opens and locks the file, unless somebody else holds it or has just renamed or removed it.
fn lock(path: &Path, how: &OpenOptions) -> io::Result<Option<File>> {
    let Some(file) = unless_missing(how.open(path))? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(is_named(&file, path)?.then_some(file))
}

/// Tells whether the file still is the one at `path`.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let (open, named) = (file.metadata()?, unless_missing(fs::metadata(path))?);
    Ok(named.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// Digests the file from its beginning, where it has just been opened.
fn digest(mut file: &File) -> io::Result<Sha256> {
    let (mut digest, mut chunk) = (sha2::Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(Sha256(digest.finalize().into()));
        }
        digest.update(&chunk[..read]);
    }
}

fn make_directory(root: &Path, directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
        sync_directory(root)?;
    }
    Ok(())
}

fn remove_all(directory: &Path, files: &[&Path]) -> io::Result<()> {
    for file in files {
        unless_missing(fs::remove_file(file))?;
    }
    unless_missing(sync_directory(directory))?;
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
