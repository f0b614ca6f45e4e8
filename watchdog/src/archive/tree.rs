//! A world's files in the order of their names, however many there are.
//!
//! A directory comes before what is in it, and names are ordered by their bytes, so that the same files make the same
//! archive. Links are never followed. At most [`MOST_NAMES`] names, and a level's share more, are in memory at a time: a
//! directory of more is read again for the next ones.

use std::{
    collections::{BinaryHeap, VecDeque},
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::manifest::{Entry, Kind, Name, RESERVED};

/// How many names are in memory at a time: 4 MiB if they are as long as they can be.
const MOST_NAMES: usize = 16 * 1024;

/// A file, directory or link of the world.
#[derive(Debug)]
pub(super) struct Found {
    /// What is said of it, but for the CRC-32.
    pub(super) entry: Entry,
    /// Where it is on this machine.
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl Found {
    fn new(path: PathBuf, name: &Path, kind: Kind, seen: &Metadata) -> Result<Self> {
        let mtime_ns = u32::try_from(seen.mtime_nsec()).context("a time with negative nanoseconds")?;
        let entry = Entry {
            path: Name(name.as_os_str().as_bytes().to_vec()),
            kind,
            size: if kind == Kind::Directory { 0 } else { seen.len() },
            mode: seen.mode() & 0o7777,
            mtime_s: seen.mtime(),
            mtime_ns,
            crc32: 0,
        };
        Ok(Self { entry, path, device: seen.dev(), inode: seen.ino() })
    }

    /// Opens the file. It is neither followed if it became a link since it was seen, nor waited for if a pipe.
    pub(super) fn open(&self) -> Result<File> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        self.expect_unchanged(&file)?;
        Ok(file)
    }

    /// Fails if the file is not as it was when it was seen.
    pub(super) fn expect_unchanged(&self, file: &File) -> Result<()> {
        let now = file.metadata()?;
        let same = (now.dev(), now.ino()) == (self.device, self.inode);
        ensure!(same, "it was replaced while it was archived");
        let entry = &self.entry;
        ensure!(
            now.len() == entry.size,
            "it changed while it was archived: {} bytes before, {} now",
            entry.size,
            now.len()
        );
        let mtime = (now.mtime(), now.mtime_nsec());
        ensure!(
            mtime == (entry.mtime_s, i64::from(entry.mtime_ns)),
            "it was written to while it was archived"
        );
        Ok(())
    }

    /// Returns the link's target.
    pub(super) fn target(&self) -> Result<Vec<u8>> {
        Ok(fs::read_link(&self.path)?.into_os_string().as_bytes().to_vec())
    }
}

/// A walk through a world's files.
pub(super) struct Tree<'a> {
    root: &'a Path,
    exclude: &'a [String],
    /// The directory that is being read.
    at: PathBuf,
    /// It and those above it, the root first.
    levels: Vec<Level>,
    most_names: usize,
    /// How much was left out so far, being neither file, directory nor link, or where an archive has its own.
    pub(super) left_out: u64,
}

/// What is left of a directory.
#[derive(Default)]
struct Level {
    names: VecDeque<OsString>,
    /// The last name that was dealt with.
    after: Option<OsString>,
    /// Whether all of them are in `names`.
    complete: bool,
}

impl<'a> Tree<'a> {
    /// Begins a walk below `root` that passes over what `exclude` names.
    pub(super) fn new(root: &'a Path, exclude: &'a [String]) -> Self {
        let levels = vec![Level::default()];
        Self { root, exclude, at: root.to_owned(), levels, most_names: MOST_NAMES, left_out: 0 }
    }

    /// Returns what comes next, if anything is left. `check` is asked again and again whether to go on.
    pub(super) fn next(&mut self, check: &mut dyn FnMut() -> Result<()>) -> Result<Option<Found>> {
        while let Some(level) = self.levels.last_mut() {
            check()?;
            if let Some(name) = level.names.pop_front() {
                let path = self.at.join(&name);
                level.after = Some(name);
                if let Some(found) = self.look(path)? {
                    return Ok(Some(found));
                }
            } else if level.complete {
                self.levels.pop();
                self.at.pop();
            } else {
                self.read(check).with_context(|| format!("reading {}", self.at.display()))?;
            }
        }
        Ok(None)
    }

    /// Looks at what is at `path`; nothing if it does not go into an archive.
    fn look(&mut self, path: PathBuf) -> Result<Option<Found>> {
        let name = path.strip_prefix(self.root).context("leaving the world's files")?;
        if self.exclude.iter().any(|e| name == Path::new(e)) {
            return Ok(None);
        }
        let seen = fs::symlink_metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
        let kind = match kind(&seen) {
            Some(kind) if name != Path::new(RESERVED) => kind,
            Some(_) | None => {
                self.left_out += 1;
                return Ok(None);
            }
        };
        let name = name.to_owned();
        if kind == Kind::Directory {
            self.at.clone_from(&path);
            self.levels.push(Level::default());
        }
        Found::new(path, &name, kind, &seen).map(Some)
    }

    /// Reads the next names of the directory that is being read. If there are many, those of the directories above it are
    /// forgotten: they are read again when it is their turn.
    fn read(&mut self, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Some((level, above)) = self.levels.split_last_mut() else { return Ok(()) };
        let (names, complete) = first_names(&self.at, level.after.as_deref(), self.most_names, check)?;
        (level.names, level.complete) = (names, complete);
        let held: usize = above.iter().map(|level| level.names.len()).sum();
        if held + level.names.len() > self.most_names {
            for level in above.iter_mut().filter(|level| !level.names.is_empty()) {
                level.names = VecDeque::new();
                level.complete = false;
            }
        }
        Ok(())
    }
}

fn kind(seen: &Metadata) -> Option<Kind> {
    let kinds =
        [(seen.is_dir(), Kind::Directory), (seen.is_symlink(), Kind::Link), (seen.is_file(), Kind::File)];
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
}

/// Returns the first `most` names of a directory that come after `after`, in order, and whether that is all.
fn first_names(
    dir: &Path,
    after: Option<&OsStr>,
    most: usize,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<(VecDeque<OsString>, bool)> {
    let mut names = BinaryHeap::new();
    let mut complete = true;
    for entry in fs::read_dir(dir)? {
        check()?;
        let name = entry.map(|entry| entry.file_name())?;
        if after.is_none_or(|after| name.as_os_str() > after) {
            names.push(name);
        }
        if names.len() > most {
            names.pop();
            complete = false;
        }
    }
    Ok((names.into_sorted_vec().into(), complete))
}

/// Returns an error of the walk as one of input and output.
pub(super) fn as_io_error(error: &anyhow::Error) -> io::Error {
    let kind = error.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(root: &Path, most_names: usize) -> Vec<String> {
        let mut tree = Tree { most_names, ..Tree::new(root, &[]) };
        let mut names = Vec::new();
        while let Some(found) = tree.next(&mut || Ok(())).unwrap() {
            names.push(found.entry.path.to_string());
        }
        names
    }

    #[test]
    fn the_order_is_that_of_names_however_few_of_them_fit_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b/b/b", "b/b/a", "b/c", "a", "b.b", "d/1/x", "d/1/y", "d/2/x", "d/3", "é", "Z"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let all = walk(dir.path(), 100);
        let expected = [
            "Z", "a", "b", "b/b", "b/b/a", "b/b/b", "b/c", "b.b", "d", "d/1", "d/1/x", "d/1/y", "d/2",
            "d/2/x", "d/3", "é",
        ];
        assert_eq!(all, expected);
        for most_names in 1..8 {
            assert_eq!(walk(dir.path(), most_names), all, "{most_names} names in memory");
        }
    }
}
