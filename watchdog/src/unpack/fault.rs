//! What is wrong with an archive, in sentences for people: which entry, what, and what to do.

use std::{fmt, io};

use thiserror::Error;

/// Why an archive was not unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It is no archive that is known.
    #[error(
        "it is neither a .zip nor a .tar, .tar.gz or .tar.zst: pack the world's directory as one of these"
    )]
    UnknownKind,
    /// It is not whole.
    #[error("it is damaged{}: {what}; pack or upload it again", at(.entry))]
    Damaged {
        /// The entry, if it is known.
        entry: Option<Shown>,
        /// What does not fit.
        what: String,
    },
    /// It holds what is not taken.
    #[error("{entry} {why}")]
    Refused {
        /// The entry.
        entry: Shown,
        /// What is wrong with it.
        why: Why,
    },
    /// It becomes too much.
    #[error("it holds too much{}: {what}; leave out what the world does not need", at(.entry))]
    TooMuch {
        /// The entry at which that was seen.
        entry: Option<Shown>,
        /// Of what.
        what: TooMuch,
    },
    /// The disk cannot hold it.
    #[error("it needs {needed} bytes, and the disk has {free} free: make room and try again")]
    NoRoom {
        /// How many bytes it becomes.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// It is one of ours and not what its manifest says.
    #[error(
        "it is not what its manifest says{}: {what}; use an archive that nobody changed, or remove `.dormouse` from it \
         to import it as any other",
        at(.entry)
    )]
    NotAsListed {
        /// The entry, if it is known.
        entry: Option<Shown>,
        /// What does not fit.
        what: String,
    },
    /// There was no more time, or it was called off.
    #[error("{0:#}")]
    Stopped(anyhow::Error),
    /// The archive's file cannot be read.
    #[error("the archive cannot be read: {0}")]
    Source(io::Error),
    /// The directory cannot be used.
    #[error("the directory to unpack into cannot be used: {0}")]
    Target(io::Error),
    /// An entry cannot be written.
    #[error("{entry} cannot be written: {error}")]
    Write {
        /// The entry.
        entry: Shown,
        /// Why.
        error: io::Error,
    },
}

/// What an entry must not be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Why {
    /// It has no name.
    #[error("has no name; pack it again")]
    NoName,
    /// Its name begins with `/` or a drive letter.
    #[error("has an absolute name; pack the world's directory by a relative one")]
    Absolute,
    /// Its name leads upwards.
    #[error("leads out of the archive by `..`; pack the world's directory from beside it")]
    Upwards,
    /// Its name has a backslash, which some systems take for a `/`.
    #[error("has a `\\` in its name; rename it, or pack it with a program that writes `/`")]
    Backslash,
    /// Its name has a NUL.
    #[error("has a NUL in its name; pack it again")]
    Nul,
    /// A part of its name, or all of it, is too long.
    #[error("has too long a name: {most} bytes are allowed; rename it")]
    TooLong {
        /// The most bytes.
        most: usize,
    },
    /// It lies too deep.
    #[error("lies too deep: {most} directories are allowed; move it up")]
    TooDeep {
        /// The most names in a path.
        most: usize,
    },
    /// It is there already.
    #[error("is there twice; remove one of them")]
    Twice,
    /// Something else has the same name but for case or the form of its letters.
    #[error("has the name of another one but for capitals or the form of its letters; rename one of them")]
    SameButForCase,
    /// It lies below something that is no directory.
    #[error("lies below something that is no directory; pack it again")]
    BelowNoDirectory,
    /// It is a symbolic link.
    #[error("is a symbolic link; leave it out, or pack what it points to")]
    Link,
    /// It is a hard link.
    #[error("is a hard link; leave it out, or pack with --hard-dereference")]
    HardLink,
    /// It is neither file nor directory.
    #[error("is a device, a pipe or a socket; leave it out")]
    Special,
    /// It is sparse as only tar knows it.
    #[error("is a sparse file; pack it without --sparse")]
    Sparse,
    /// It is of a type that is not known.
    #[error("is of an unknown type ({0}); leave it out")]
    UnknownType(String),
    /// It is encrypted.
    #[error("is encrypted; pack it without a password")]
    Encrypted,
    /// It is compressed in an unknown way.
    #[error("is compressed by {0}; use Deflate, which is what .zip programs do unless told otherwise")]
    Method(String),
}

/// Of what there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TooMuch {
    /// Of entries.
    #[error("more than {0} files and directories")]
    Entries(u64),
    /// Of bytes.
    #[error("more than {0} bytes")]
    Bytes(u64),
    /// Of bytes for its size.
    #[error("more than {0} times its own size, as archives that are made to do harm do")]
    Ratio(u64),
    /// Of memory to unpack it.
    #[error("{0}")]
    Memory(&'static str),
}

/// The name of an entry as people are shown it: quoted, escaped and not too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// How many characters of a name are shown.
    const MOST: usize = 80;

    /// Shows a name of any bytes.
    pub fn new(name: &[u8]) -> Self {
        // Bytes first: a name may be as long as its archive.
        let head = &name[..name.len().min(4 * Self::MOST)];
        let text = String::from_utf8_lossy(head);
        let rest = if text.chars().count() > Self::MOST || head.len() < name.len() { "…" } else { "" };
        let text: String = text.chars().take(Self::MOST).flat_map(char::escape_debug).collect();
        Self(format!("`{text}{rest}`"))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn at(entry: &Option<Shown>) -> String {
    entry.as_ref().map_or(String::new(), |entry| format!(" at {entry}"))
}

/// An error of the disk that the archive lies on, on its way through whatever reads the archive.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) io::Error);

/// Returns what it means that reading an entry failed so.
pub(super) fn reading(error: io::Error, entry: Option<&[u8]>) -> UnpackError {
    match error.downcast::<Broken>() {
        Ok(Broken(error)) => UnpackError::Source(error),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(entry, "it ends too soon"),
        Err(error) => damaged(entry, &error.to_string()),
    }
}

pub(super) fn damaged(entry: Option<&[u8]>, what: &str) -> UnpackError {
    UnpackError::Damaged { entry: entry.map(Shown::new), what: what.to_owned() }
}

pub(super) fn refused(entry: &[u8], why: Why) -> UnpackError {
    UnpackError::Refused { entry: Shown::new(entry), why }
}

pub(super) fn not_as_listed(entry: Option<&[u8]>, what: &str) -> UnpackError {
    UnpackError::NotAsListed { entry: entry.map(Shown::new), what: what.to_owned() }
}
