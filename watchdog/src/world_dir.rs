//! The world's directory: one writer, and the proof that it is the right directory.
//!
//! ```text
//! <world dir>/.dormouse/lock     held exclusively while the game may write
//! <world dir>/.dormouse/world    the world's id, written when the directory is made
//! <world dir>/files/             what the game sees as its world
//! <world dir>/.dormouse/fresh/   a world that is being filled, from an archive or an upload
//! <world dir>/.dormouse/old/     the world whose place it took
//! ```
//!
//! A fresh world takes the place of the old one in two renames: `files` becomes `old`, `fresh` becomes `files`. (Swapping
//! both at once is unknown to NFS.) Whenever that breaks off, one of the two is whole, and whoever takes the directory next
//! mends it: without `files`, `old` is the world; with `files`, that is, and `old` and `fresh` are leftovers.
//!
//! Whoever holds the lock also has the [`Door`]: where a game of another user may come at any time, it is shut, and what is in
//! the directory out of that user's reach, until the game is wanted.
//!
//! The lock is an `flock`. On a local file system it belongs to the open file, and the game inherits it: even when the
//! watchdog is killed, nobody else gets the world while a process of the game lives. A game in a container of its own does not
//! inherit it (`docs/decisions/0019-the-game-may-be-a-neighbour.md` says what keeps the next one away). On NFSv4 (EFS) the kernel turns it
//! into a byte-range lock that goes with the watchdog's client.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use adapters::task_env::{console_password_file, settings_file};
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
    let owned = Owned { files: dir.join("files"), lock };
    owned.mend().map_err(io)?;
    fs::create_dir_all(&owned.files).map_err(io)?;
    Ok(owned)
}

/// Lets users other than the watchdog's into a world's directory, or keeps them out. What they have open there stays open.
#[derive(Debug, Clone)]
pub struct Door(PathBuf);

impl Door {
    /// Opens it, if it is not open. What is inside has permissions of its own.
    pub fn open(&self) -> io::Result<()> {
        if self.mode()? & OPEN != OPEN { self.set_mode(OPEN) } else { Ok(()) }
    }

    /// Shuts it. The right to override permissions, which a game does not have, is what gets past it.
    pub fn shut(&self) -> io::Result<()> {
        self.set_mode(SHUT)
    }

    /// Returns where a game in a container of its own finds the password of its console.
    pub fn console_password(&self) -> PathBuf {
        console_password_file(&self.0)
    }

    /// Returns where a game in a container of its own finds what people chose for it.
    pub fn settings(&self) -> PathBuf {
        settings_file(&self.0)
    }

    fn mode(&self) -> io::Result<u32> {
        Ok(fs::metadata(&self.0)?.permissions().mode())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let set = fs::set_permissions(&self.0, fs::Permissions::from_mode(mode));
        let done = if mode == OPEN { "opening" } else { "shutting" };
        set.map_err(|error| {
            io::Error::new(error.kind(), format!("{done} the world's directory to the game's user: {error}"))
        })
    }
}

/// The permissions of a world's directory that the game's user can come into.
const OPEN: u32 = 0o755;

/// Those of one that it cannot.
const SHUT: u32 = 0o700;

impl Owned {
    /// Returns what lets other users in.
    pub fn door(&self) -> Door {
        Door(self.own("").parent().map_or_else(|| self.files.clone(), Path::to_owned))
    }

    /// Makes an empty directory that [`swap`](Self::swap) puts in the world's place once it is filled.
    pub fn fresh(&self) -> io::Result<PathBuf> {
        let fresh = self.own("fresh");
        remove_tree(&fresh)?;
        fs::create_dir(&fresh)?;
        Ok(fresh)
    }

    /// Gives the fresh world what the old one has at `paths`, relative to both: what archives leave out, such as a
    /// server's own settings. The old world stays whole. The game must be gone.
    pub fn carry(&self, paths: &[String]) -> io::Result<()> {
        let fresh = self.own("fresh");
        for path in paths {
            let Some(from) = real_path(&self.files, Path::new(path))? else { continue };
            let to = fresh.join(path);
            remove_tree(&to)?;
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            link_tree(&from, &to)?;
        }
        Ok(())
    }

    /// Puts the fresh world in the place of the old one, and removes that. Whenever it breaks off, the next
    /// [`take`] finds the one or the other, whole. The game must be gone.
    pub fn swap(&self) -> io::Result<()> {
        self.swap_by(&mut |_| Ok(()))
    }

    /// Empties the world's files, of which an archive has all but what it leaves out: that stays. Whenever it breaks off, the
    /// next [`take`] finds the whole world or an empty one.
    pub fn clear(&self, left_out: &[String]) -> io::Result<()> {
        self.fresh()?;
        self.carry(left_out)?;
        self.swap()
    }

    /// Swaps; `before` is called before each step and may break it off.
    fn swap_by(&self, before: &mut dyn FnMut(Step) -> io::Result<()>) -> io::Result<()> {
        let (fresh, old) = (self.own("fresh"), self.own("old"));
        before(Step::Sync)?;
        nix::unistd::syncfs(File::open(&fresh)?)?;
        remove_tree(&old)?;
        before(Step::PutAway)?;
        fs::rename(&self.files, &old)?;
        before(Step::PutInPlace)?;
        if let Err(error) = fs::rename(&fresh, &self.files) {
            fs::rename(&old, &self.files)?;
            return Err(error);
        }
        before(Step::SyncNames)?;
        // It is done: what fails from here on is mended by the next take, and is no reason to say that nothing has changed.
        if let Err(error) =
            self.sync_names().and_then(|()| before(Step::Remove)).and_then(|()| remove_tree(&old))
        {
            tracing::warn!("the world is in its place, but what it replaced could not be removed: {error}");
        }
        Ok(())
    }

    /// Mends what a swap left that broke off.
    fn mend(&self) -> io::Result<()> {
        let old = self.own("old");
        if exists(&old)? && !exists(&self.files)? {
            fs::rename(&old, &self.files)?;
            self.sync_names()?;
        }
        remove_tree(&old)?;
        remove_tree(&self.own("fresh"))
    }

    /// Makes sure that the names of the world's directories outlive a loss of power.
    fn sync_names(&self) -> io::Result<()> {
        for dir in [Some(self.own("")), self.files.parent().map(Path::to_owned)].into_iter().flatten() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn own(&self, name: &str) -> PathBuf {
        self.files.with_file_name(".dormouse").join(name)
    }
}

/// The steps of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Sync,
    PutAway,
    PutInPlace,
    SyncNames,
    Remove,
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a directory with all that is in it, whatever its permissions. No link is followed. No error if it is
/// not there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        found => found?,
    };
    if !found.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock_tree(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Lets the owner of a directory, and of those in it, do anything with it.
fn unlock_tree(dir: &Path) -> io::Result<()> {
    // Opened so, it may have any permissions, and is no link; then it is changed by what was opened.
    let how = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(how).open(dir)?;
    let itself = format!("/proc/self/fd/{}", opened.as_raw_fd());
    fs::set_permissions(itself, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Returns where `inner` is in `dir`, if it is there and no link leads to it.
fn real_path(dir: &Path, inner: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = dir.to_owned();
    for part in inner {
        if !fs::symlink_metadata(&path)?.is_dir() {
            return Ok(None);
        }
        path.push(part);
        if !exists(&path)? {
            return Ok(None);
        }
    }
    Ok(Some(path))
}

/// Gives everything at `from` a second name at `to`. Links are not followed.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if !found.is_dir() {
        return fs::hard_link(from, to);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        link_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, found.permissions())
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
    fn a_door_is_shut_and_opened_and_nothing_inside_changes() {
        let dir = tempfile::tempdir().unwrap();
        let owned = take(dir.path(), &id("w1"), Directory::MayBeNew).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let inside = mode(&owned.files);
        owned.door().shut().unwrap();
        assert_eq!((mode(dir.path()), mode(&owned.files)), (0o700, inside));
        owned.door().open().unwrap();
        assert_eq!((mode(dir.path()), mode(&owned.files)), (0o755, inside));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
        owned.door().open().unwrap();
        assert_eq!(mode(dir.path()), 0o775, "one that is open stays as it is");
        assert_eq!(owned.door().console_password(), dir.path().join(".dormouse/console"));
    }

    #[test]
    fn a_fresh_world_takes_the_place_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let owned = old_and_fresh(dir.path());
        owned.swap().unwrap();
        assert_eq!(tree(&owned.files), NEW);
        assert_eq!(tree(&dir.path().join(".dormouse")), "lock world ");
    }

    #[test]
    fn killed_before_any_step_of_a_swap_the_old_world_or_the_new_one_is_whole() {
        let steps = [Step::Sync, Step::PutAway, Step::PutInPlace, Step::SyncNames, Step::Remove];
        for (killed, expected) in steps.into_iter().zip([OLD, OLD, OLD, NEW, NEW]) {
            let dir = tempfile::tempdir().unwrap();
            let kill = |step| if step == killed { Err(io::Error::other("killed")) } else { Ok(()) };
            let swapped = old_and_fresh(dir.path()).swap_by(&mut { kill });
            // What is left to remove is no reason to say that nothing has changed.
            assert_eq!(swapped.is_ok(), killed == Step::Remove, "killed before {killed:?}");
            let mended = take(dir.path(), &id("w1"), Directory::MustExist).unwrap();
            assert_eq!(tree(&mended.files), expected, "killed before {killed:?}");
            assert_eq!(tree(&dir.path().join(".dormouse")), "lock world ", "killed before {killed:?}");
        }
    }

    #[test]
    fn killed_while_leftovers_are_removed_the_world_stays_whole() {
        for leftovers in [&["old"][..], &["fresh"], &["old", "fresh"]] {
            let dir = tempfile::tempdir().unwrap();
            let owned = old_and_fresh(dir.path());
            owned.swap().unwrap();
            for name in leftovers {
                fs::create_dir_all(owned.own(name).join("half")).unwrap();
            }
            drop(owned);
            let mended = take(dir.path(), &id("w1"), Directory::MustExist).unwrap();
            assert_eq!(tree(&mended.files), NEW);
            assert_eq!(tree(&dir.path().join(".dormouse")), "lock world ");
        }
    }

    #[test]
    fn a_fresh_world_that_was_half_filled_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        drop(old_and_fresh(dir.path()));
        let owned = take(dir.path(), &id("w1"), Directory::MustExist).unwrap();
        assert_eq!(tree(&owned.files), OLD);
        assert_eq!(tree(&owned.fresh().unwrap()), "");
    }

    #[test]
    fn a_swap_that_cannot_be_leaves_the_old_world() {
        let dir = tempfile::tempdir().unwrap();
        let owned = old_and_fresh(dir.path());
        let gone = |step| match step {
            Step::PutInPlace => fs::remove_dir_all(owned.own("fresh")),
            Step::Sync | Step::PutAway | Step::SyncNames | Step::Remove => Ok(()),
        };
        owned.swap_by(&mut { gone }).unwrap_err();
        assert_eq!(tree(&owned.files), OLD);
    }

    #[test]
    fn a_cleared_world_is_empty_and_still_the_world() {
        let dir = tempfile::tempdir().unwrap();
        let owned = old_and_fresh(dir.path());
        owned.clear(&[]).unwrap();
        assert_eq!(tree(&owned.files), "");
        drop(owned);
        take(dir.path(), &id("w1"), Directory::MustExist).unwrap();
    }

    #[test]
    fn what_archives_leave_out_is_carried_over() {
        let dir = tempfile::tempdir().unwrap();
        let owned = old_and_fresh(dir.path());
        fs::create_dir_all(owned.files.join("conf/inner")).unwrap();
        fs::write(owned.files.join("conf/inner/env"), "ours").unwrap();
        std::os::unix::fs::symlink("/etc", owned.files.join("conf/etc")).unwrap();
        std::os::unix::fs::symlink("/etc", owned.files.join("etc")).unwrap();
        fs::create_dir_all(owned.own("fresh").join("conf")).unwrap();
        fs::write(owned.own("fresh").join("conf/theirs"), "theirs").unwrap();
        owned.carry(&["conf".into(), "etc/passwd".into(), "none/at/all".into()]).unwrap();
        assert_eq!(
            tree(&owned.own("fresh")),
            "conf conf/etc conf/inner conf/inner/env:ours new new/map:new "
        );
        let old = tree(&owned.files);
        owned
            .swap_by(&mut |step| if step == Step::Remove { Err(io::Error::other("killed")) } else { Ok(()) })
            .unwrap();
        assert_eq!(tree(&owned.own("old")), old, "the old world stays whole");
    }

    #[test]
    fn a_tree_is_removed_whatever_its_permissions_and_never_what_its_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let canary = dir.path().join("canary");
        fs::create_dir(&canary).unwrap();
        fs::write(canary.join("alive"), "alive").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/c"), "c").unwrap();
        std::os::unix::fs::symlink(&canary, tree.join("a/link")).unwrap();
        for closed in ["a/b", "a", ""] {
            fs::set_permissions(tree.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && canary.join("alive").exists());

        std::os::unix::fs::symlink(&canary, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(canary.join("alive").exists());
    }

    const OLD: &str = "old old/map:old ";
    const NEW: &str = "new new/map:new ";

    /// Makes a world, and a fresh one beside it.
    fn old_and_fresh(dir: &Path) -> Owned {
        let owned = take(dir, &id("w1"), Directory::MayBeNew).unwrap();
        let fresh = owned.fresh().unwrap();
        for (tree, name) in [(&owned.files, "old"), (&fresh, "new")] {
            fs::create_dir(tree.join(name)).unwrap();
            fs::write(tree.join(name).join("map"), name).unwrap();
        }
        owned
    }

    /// Returns the names in a directory, and of a world the content of files.
    fn tree(dir: &Path) -> String {
        let (mut lines, mut todo) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(&at).unwrap() {
                let path = entry.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                let is_shown = found.is_file() && !dir.ends_with(".dormouse");
                let content = if is_shown { fs::read_to_string(&path).unwrap() } else { String::new() };
                lines.push(if is_shown { format!("{name}:{content} ") } else { format!("{name} ") });
                todo.extend(found.is_dir().then_some(path));
            }
        }
        lines.sort();
        lines.concat()
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w");
        fs::write(&file, "x").unwrap();
        assert!(matches!(take(&file, &id("w1"), Directory::MayBeNew), Err(TakeError::Io { .. })));
    }
}
