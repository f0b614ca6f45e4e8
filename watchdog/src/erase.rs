//! Removing the files of a deleted world, for runtimes whose control plane cannot reach them.
//!
//! Only a directory that its marker says is the world's is removed, and only by whoever holds its lock. It is first given
//! another name, in one step: a removal that breaks off leaves nothing that looks like the world, and the next one sees
//! it through.

use std::{fs, io, path::Path};

use domain::{ports::Directory, world::WorldId};
use thiserror::Error;

use crate::world_dir::{self, TakeError};

/// Why a world's files were not removed.
#[derive(Debug, Error)]
pub enum EraseError {
    /// Its directory cannot be taken.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The file system says no.
    #[error("cannot erase world {world}: {error}")]
    Io {
        /// The world.
        world: WorldId,
        /// Why.
        error: io::Error,
    },
}

/// Removes the directory of `world` below `root`. No error if it is gone already, but for one if `root` is not there:
/// then nothing is known of the world.
pub fn erase(root: &Path, world: &WorldId) -> Result<(), EraseError> {
    let io = |error| EraseError::Io { world: world.clone(), error };
    let dir = root.join(world.as_str());
    // No world id begins so.
    let leavings = root.join(format!(".erased-{world}"));
    fs::read_dir(root).map_err(io)?;
    remove(&leavings).map_err(io)?;
    if !dir.try_exists().map_err(io)? {
        return Ok(());
    }
    let must = if was_never_claimed(&dir).map_err(io)? { Directory::MayBeNew } else { Directory::MustExist };
    let owned = world_dir::take(&dir, world, must)?;
    fs::rename(&dir, &leavings).map_err(io)?;
    // An open file would stay on a network file system, under another name. Nobody finds the world here any more.
    drop(owned);
    remove(&leavings).map_err(io)
}

/// Tells whether there is nothing but what a watchdog makes before it owns a new world.
fn was_never_claimed(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        if entry?.file_name() != ".dormouse" {
            return Ok(false);
        }
    }
    Ok(!dir.join(".dormouse/world").try_exists()?)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_world_is_removed_with_all_its_files_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        make(root.path(), "w1");
        make(root.path(), "w2");
        check(root.path(), "w1", expect!["gone: [\"w2\"]"]);
        check(root.path(), "w1", expect!["gone: [\"w2\"]"]);
        check(root.path(), "never", expect!["gone: [\"w2\"]"]);
    }

    #[test]
    fn a_removal_that_broke_off_is_seen_through() {
        let root = tempfile::tempdir().unwrap();
        make(root.path(), "w1");
        fs::create_dir_all(root.path().join(".erased-w1/files")).unwrap();
        fs::create_dir_all(root.path().join(".erased-w2/files")).unwrap();
        check(root.path(), "w1", expect!["gone: [\".erased-w2\"]"]);
        check(root.path(), "w2", expect!["gone: []"]);
    }

    #[test]
    fn a_world_that_was_never_claimed_is_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("w1/.dormouse")).unwrap();
        fs::create_dir_all(root.path().join("w2")).unwrap();
        check(root.path(), "w1", expect!["gone: [\"w2\"]"]);
        check(root.path(), "w2", expect!["gone: []"]);
    }

    #[test]
    fn a_world_in_use_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let _owned = make(root.path(), "w1");
        check(
            root.path(),
            "w1",
            expect!["the world's directory /worlds/w1 is in use by another task: [\"w1\"]"],
        );
    }

    #[test]
    fn what_is_not_the_world_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        make(root.path(), "w1");
        fs::rename(root.path().join("w1"), root.path().join("w2")).unwrap();
        fs::create_dir_all(root.path().join("w3/holiday-pictures")).unwrap();
        check(
            root.path(),
            "w2",
            expect![[
                r#"/worlds/w2 does not hold world w2: its marker names world `w1`. Is the right disk mounted?: ["w2", "w3"]"#
            ]],
        );
        check(
            root.path(),
            "w3",
            expect![[
                r#"/worlds/w3 does not hold world w3: its marker is missing. Is the right disk mounted?: ["w2", "w3"]"#
            ]],
        );
    }

    #[test]
    fn without_the_disk_nothing_is_known() {
        let root = tempfile::tempdir().unwrap();
        let error = erase(&root.path().join("worlds"), &id("w1")).unwrap_err().to_string();
        expect!["cannot erase world w1: No such file or directory (os error 2)"].assert_eq(&error);
    }

    fn check(root: &Path, world: &str, expected: Expect) {
        let erased = erase(root, &id(world)).map_or_else(|error| error.to_string(), |()| "gone".into());
        let mut left: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        expected.assert_eq(&format!("{erased}: {left:?}").replace(&root.display().to_string(), "/worlds"));
    }

    fn make(root: &Path, world: &str) -> world_dir::Owned {
        let owned = world_dir::take(&root.join(world), &id(world), Directory::MayBeNew).unwrap();
        fs::create_dir(owned.files.join("map")).unwrap();
        fs::write(owned.files.join("map/1.db"), "map").unwrap();
        owned
    }

    fn id(text: &str) -> WorldId {
        WorldId::parse(text).unwrap()
    }
}
