//! The tree that is being made: one open directory, and beneath it nothing that is reached through a link.
//!
//! Every directory on the way is opened by its one name, and never through a link (`openat` with `O_NOFOLLOW`). What is
//! made must not be there yet. So nothing outside can be touched, whatever names come in, and whoever else writes here.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::{
        stat::{Mode, SFlag, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, utimensat},
        statvfs::fstatvfs,
        time::TimeSpec,
    },
    unistd::symlinkat,
};

use super::name::Inner;

const OPEN_DIR: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The permissions and the time of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// The permissions.
    pub(super) mode: u32,
    /// When it was changed last: seconds since 1970, rounded down, and nanoseconds beyond them.
    pub(super) mtime: Option<(i64, u32)>,
}

impl Marks {
    fn times(self) -> Option<(TimeSpec, TimeSpec)> {
        let (seconds, nanos) = self.mtime?;
        Some((TimeSpec::UTIME_OMIT, TimeSpec::new(seconds, nanos.into())))
    }
}

/// Why something was not made.
#[derive(Debug)]
pub(super) enum NotMade {
    /// It is there already.
    Twice,
    /// Something on the way is no directory.
    BelowNoDirectory,
    /// The file system says no.
    Io(io::Error),
}

impl From<Errno> for NotMade {
    fn from(error: Errno) -> Self {
        if error == Errno::EEXIST {
            Self::Twice
        } else if [Errno::ENOTDIR, Errno::ELOOP].contains(&error) {
            Self::BelowNoDirectory
        } else {
            Self::Io(error.into())
        }
    }
}

/// A directory that is being filled.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The directories that lead to where something was made last, each open: as many as a path may be deep at most.
    way: Vec<(OsString, OwnedFd)>,
}

impl Tree {
    /// Opens the empty directory `to`.
    pub(super) fn open(to: &Path, depth: usize) -> io::Result<Self> {
        let root = nix::fcntl::open(to, OPEN_DIR, Mode::empty())?;
        if fs::read_dir(to)?.next().is_some() {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it is not empty"));
        }
        Ok(Self { root, way: Vec::with_capacity(depth) })
    }

    /// Returns how many bytes the disk has free.
    pub(super) fn free(&self) -> io::Result<u64> {
        let found = fstatvfs(&self.root)?;
        Ok(found.blocks_available().saturating_mul(found.fragment_size()))
    }

    /// Makes a directory and those on the way; no error if it is there.
    pub(super) fn make_dir(&mut self, path: &Inner) -> Result<(), NotMade> {
        self.walk(path.parts()).map(drop)
    }

    /// Makes a file, which only this process may use before it is marked.
    pub(super) fn make_file(&mut self, path: &Inner) -> Result<File, NotMade> {
        let (dir, name) = self.parent(path)?;
        let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(dir, name, how, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Makes a symbolic link.
    pub(super) fn make_link(&mut self, path: &Inner, target: &[u8], marks: Marks) -> Result<(), NotMade> {
        let (dir, name) = self.parent(path)?;
        symlinkat(target, dir, name)?;
        if let Some((atime, mtime)) = marks.times() {
            utimensat(dir, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)?;
        }
        Ok(())
    }

    /// Marks a directory that was made.
    pub(super) fn mark_dir(&mut self, path: &Inner, marks: Marks) -> Result<(), NotMade> {
        let dir = self.walk(path.parts())?;
        mark(dir, marks).map_err(NotMade::Io)
    }

    /// Tells whether a directory is there by exactly this path.
    pub(super) fn is_dir(&mut self, path: &Inner) -> Result<bool, NotMade> {
        let (dir, name) = self.parent(path)?;
        match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the directory that `path` lies in, made if need be, and its last name.
    fn parent<'p>(&mut self, path: &'p Inner) -> Result<(BorrowedFd<'_>, &'p OsStr), NotMade> {
        let mut parts: Vec<_> = path.parts().collect();
        let name = parts.pop().ok_or(NotMade::Twice)?;
        Ok((self.walk(parts.into_iter())?, name))
    }

    /// Opens one directory after the other, made if need be.
    fn walk<'p>(&mut self, parts: impl Iterator<Item = &'p OsStr>) -> Result<BorrowedFd<'_>, NotMade> {
        let mut depth = 0;
        for part in parts {
            if self.way.get(depth).is_none_or(|(name, _)| name != part) {
                self.way.truncate(depth);
                let dir = enter(self.here(), part)?;
                self.way.push((part.to_owned(), dir));
            }
            depth += 1;
        }
        self.way.truncate(depth);
        Ok(self.here())
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.way.last().map_or(self.root.as_fd(), |(_, dir)| dir.as_fd())
    }
}

fn enter(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, NotMade> {
    match openat(dir, name, OPEN_DIR, Mode::empty()) {
        Err(Errno::ENOENT) => {}
        opened => return Ok(opened?),
    }
    match mkdirat(dir, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(openat(dir, name, OPEN_DIR, Mode::empty())?),
        Err(error) => Err(error.into()),
    }
}

/// Gives an open file or directory its permissions and its time.
pub(super) fn mark(what: impl AsFd, marks: Marks) -> io::Result<()> {
    fchmod(what.as_fd(), Mode::from_bits_truncate(marks.mode))?;
    if let Some((atime, mtime)) = marks.times() {
        futimens(what.as_fd(), &atime, &mtime)?;
    }
    Ok(())
}
