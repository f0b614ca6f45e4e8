//! The world's directory: one writer, and the proof that it is the right directory.
//!
//! ```text
//! <world dir>/.dormouse/lock     held exclusively while the game may write
//! <world dir>/.dormouse/world    the world's id, written when the directory is made
//! <world dir>/files/             what the game sees as its world
//! ```
//!
//! The lock is an `flock`. On a local file system it belongs to the open file, and the game inherits it: even when the
//! watchdog is killed, nobody else gets the world while a process of the game lives. On NFSv4 (EFS) the kernel turns it
//! into a byte-range lock that goes with the watchdog's client.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use domain::{ports::Directory, world::WorldId};
use thiserror::Error;

/// A world's directory that nobody else may write to.
#[derive(Debug)]
pub struct Owned {
    /// What the game sees as its world.
    pub files: PathBuf,
    /// The lock; it is given up when this and every copy that a child inherited are closed.
    pub lock: File,
}

/// Why the directory was not taken.
#[derive(Debug, Error)]
pub enum TakeError {
    /// Another watchdog, or a game that outlived its watchdog, holds it.
    #[error("the world's directory {0} is in use by another task")]
    InUse(PathBuf),
    /// It should hold the world and does not: the wrong disk is mounted, or none is.
    #[error("{dir} does not hold world {world}: {found}. Is the right disk mounted?")]
    NotTheWorld {
        /// The directory.
        dir: PathBuf,
        /// The world.
        world: WorldId,
        /// What is there instead.
        found: String,
    },
    /// The file system says no.
    #[error("cannot use the world's directory {dir}: {error}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Takes the directory of `world` for as long as the result lives.
pub fn take(dir: &Path, world: &WorldId, must: Directory) -> Result<Owned, TakeError> {
    let io = |error| TakeError::Io { dir: dir.to_owned(), error };
    let marker = dir.join(".dormouse/world");
    if must == Directory::MustExist {
        check_marker(dir, &marker, world)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir.join(".dormouse")).map_err(io)?;
    let lock = lock_file(&dir.join(".dormouse/lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(TakeError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    if marker.exists() {
        check_marker(dir, &marker, world)?;
    } else {
        write_durably(&marker, world.as_str().as_bytes()).map_err(io)?;
    }
    let files = dir.join("files");
    fs::create_dir_all(&files).map_err(io)?;
    Ok(Owned { files, lock })
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

fn check_marker(dir: &Path, marker: &Path, world: &WorldId) -> Result<(), TakeError> {
    let found = match fs::read_to_string(marker) {
        Ok(id) if id == world.as_str() => return Ok(()),
        Ok(id) => {
            format!("its marker names world `{}`", id.chars().take(40).collect::<String>().escape_debug())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => "its marker is missing".into(),
        Err(error) => format!("its marker cannot be read ({error})"),
    };
    Err(TakeError::NotTheWorld { dir: dir.to_owned(), world: world.clone(), found })
}

/// Writes a file so that after a crash it is either whole or not there.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> WorldId {
        WorldId::parse(text).unwrap()
    }

    #[test]
    fn a_world_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), &id("w1"), Directory::MayBeNew).unwrap();
        assert!(matches!(take(dir.path(), &id("w1"), Directory::MayBeNew), Err(TakeError::InUse(_))));
        drop(first);
        take(dir.path(), &id("w1"), Directory::MustExist).unwrap();
    }

    #[test]
    fn an_empty_directory_never_passes_for_a_world_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = take(dir.path(), &id("w1"), Directory::MustExist).unwrap_err().to_string();
        assert!(
            error.ends_with("does not hold world w1: its marker is missing. Is the right disk mounted?"),
            "{error}"
        );
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is made in a directory that is not the world"
        );
    }

    #[test]
    fn another_worlds_directory_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        drop(take(dir.path(), &id("w1"), Directory::MayBeNew).unwrap());
        let error = take(dir.path(), &id("w2"), Directory::MayBeNew).unwrap_err().to_string();
        assert!(error.contains("its marker names world `w1`"), "{error}");
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w");
        fs::write(&file, "x").unwrap();
        assert!(matches!(take(&file, &id("w1"), Directory::MayBeNew), Err(TakeError::Io { .. })));
    }
}
