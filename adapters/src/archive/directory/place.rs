//! The files of one archive on the disk, and who may write them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use domain::world::{ArchiveId, Sha256};
use serde::{Deserialize, Serialize};

use super::Facts;

/// The stored form of [`Facts`], beside the archive.
#[derive(Debug, Serialize, Deserialize)]
struct FactsRecord {
    v: u32,
    size: u64,
    sha256: String,
}

/// The files of one archive.
pub(super) struct Place {
    id: ArchiveId,
    directory: PathBuf,
    pub(super) zip: PathBuf,
    pub(super) part: PathBuf,
    facts: PathBuf,
}

/// What there is of an archive when its upload begins.
pub(super) enum Begun {
    /// Somebody else writes it.
    Busy,
    /// All of it, and what is known of it.
    Complete(Option<Facts>),
    /// Nothing: this empty file is locked and to be filled.
    Part(File),
}

impl Place {
    pub(super) fn new(directory: &Path, id: &ArchiveId) -> Self {
        let file = |ending| directory.join(format!("{id}.{ending}"));
        Self {
            id: id.clone(),
            directory: directory.into(),
            zip: file("zip"),
            part: file("part"),
            facts: file("json"),
        }
    }

    /// Locks the part, and clears what earlier uploads of the world left behind when they were cut off.
    pub(super) fn begin(&self, root: &Path) -> io::Result<Begun> {
        if !self.directory.is_dir() {
            fs::create_dir_all(&self.directory)?;
            sync_directory(root)?;
        }
        let Some(part) = lock(&self.part, OpenOptions::new().write(true).create(true).truncate(false))?
        else {
            return Ok(Begun::Busy);
        };
        if self.zip.try_exists()? {
            fs::remove_file(&self.part)?;
            sync_directory(&self.directory)?;
            return Ok(Begun::Complete(self.facts()?));
        }
        self.clear_leftovers()?;
        if part.metadata()?.len() > 0 {
            part.set_len(0)?;
        }
        Ok(Begun::Part(part))
    }

    fn clear_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let leftover = path != self.part && path.extension().is_some_and(|ending| ending == "part");
            // Held until it is removed: nobody else takes it up meanwhile.
            if leftover && let Some(_held) = lock(&path, OpenOptions::new().write(true))? {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Gives the part its name, after all that is known of it is on the disk.
    pub(super) fn complete(&self, part: &File, size: u64, sha256: Sha256) -> io::Result<Facts> {
        part.sync_all()?;
        let record = serde_json::to_vec(&FactsRecord { v: 1, size, sha256: sha256.to_string() })?;
        let mut facts = File::create(&self.facts)?;
        facts.write_all(&record)?;
        facts.sync_all()?;
        sync_directory(&self.directory)?;
        fs::rename(&self.part, &self.zip)?;
        sync_directory(&self.directory)?;
        Ok(Facts { id: self.id.clone(), size, sha256 })
    }

    /// Returns what was computed when the archive was received, if it is all there and still as long.
    pub(super) fn facts(&self) -> io::Result<Option<Facts>> {
        let found = fs::metadata(&self.zip).and_then(|zip| Ok((zip.len(), fs::read(&self.facts)?)));
        let Some((length, record)) = unless_missing(found)? else { return Ok(None) };
        let facts = serde_json::from_slice::<FactsRecord>(&record)
            .ok()
            .filter(|record| record.v == 1)
            .and_then(|r| {
                let sha256 = Sha256::parse(&r.sha256).ok()?;
                Some(Facts { id: self.id.clone(), size: r.size, sha256 })
            });
        Ok(facts.filter(|facts| facts.size == length))
    }
}

pub(super) fn list(directory: &Path) -> io::Result<Vec<Facts>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let id =
            name.to_str().and_then(|name| name.strip_suffix(".zip")).and_then(|id| ArchiveId::parse(id).ok());
        if let Some(id) = id {
            all.extend(Place::new(directory, &id).facts()?);
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Opens and locks the file, unless somebody else holds it or has just renamed or removed it.
fn lock(path: &Path, how: &OpenOptions) -> io::Result<Option<File>> {
    let Some(file) = unless_missing(how.open(path))? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let (locked, named) = (file.metadata()?, unless_missing(fs::metadata(path))?);
    let same = named.is_some_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino()));
    Ok(same.then_some(file))
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
