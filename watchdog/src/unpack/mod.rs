//! Unpacking: an archive that may come from anybody becomes a tree below one fresh directory, or an error for people.
//!
//! What it is told by an archive it believes only after it has looked: every name, size, count and checksum. Nothing is
//! ever made outside the directory, and nothing in it is reached through a link. The directory is worth nothing after an
//! error; [`crate::world_dir`] swaps whole trees alone.
//!
//! ```text
//! .zip ──────────────────► zip ─┐ with a manifest as the last entry: one of ours, exactly what the manifest lists
//! .tar[.gz|.zst] ► stream ► tar ─┴► sink ► tree      without: an import, of which `import` finds the part that counts
//! ```

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::Result as AnyResult;

use self::{
    fault::Broken,
    sink::{Meter, Sink},
    tree::Tree,
};
use crate::archive::manifest::Manifest;

mod fault;

pub mod import;

mod zip;

mod stream;

mod tar;

mod sink;

mod tree;

mod name;

#[cfg(test)]
mod tests;

pub use self::fault::{Shown, TooMuch, UnpackError, Why};

/// What an archive may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most files, directories and links, those counted that are only named on the way to others.
    pub entries: u64,
    /// The most bytes that it may become.
    pub bytes: u64,
    /// How many bytes each byte of the archive may become, beyond the first [`FREE_OF_RATIO`].
    pub ratio: u64,
    /// The most names in a path.
    pub depth: usize,
    /// The most bytes in a path.
    pub path: usize,
}

/// So many bytes may come out of an archive however small it is: a young world is mostly zeros.
pub const FREE_OF_RATIO: u64 = 64 << 20;

impl Limits {
    /// Returns what an upload may take that becomes at most so many bytes.
    pub const fn import(bytes: u64) -> Self {
        Self { entries: 200_000, bytes, ratio: 200, depth: 32, path: 1024 }
    }

    /// Returns what an archive of ours may take. What was archived must come back, so only what the kernel and memory
    /// cannot hold is refused.
    pub const fn restore(bytes: u64) -> Self {
        // DEFLATE makes at most 1,032 bytes of one.
        Self { entries: 1_000_000, bytes, ratio: 1100, depth: 256, path: 4095 }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The manifest, if this was one of our own archives.
    pub manifest: Option<Manifest>,
    /// How many files there are.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Links of an archive of ours that were not made, for they lead out of the world; the first of them.
    pub left_out: Vec<Shown>,
}

/// What packs the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zip,
    Tar,
    TarGzip,
    TarZstd,
}

/// Unpacks the archive `source` into the empty directory `to`. `check` is asked again and again whether to go on.
///
/// # Errors
///
/// Whatever is wrong with the archive, the disk, or the time. Then `to` holds a part of it at most.
pub fn unpack(
    source: &File,
    to: &Path,
    limits: &Limits,
    check: &mut dyn FnMut() -> AnyResult<()>,
) -> Result<Unpacked, UnpackError> {
    let size = source.metadata().map_err(UnpackError::Source)?.len();
    let tree = Tree::open(to, limits.depth).map_err(UnpackError::Target)?;
    let mut sink = Sink::new(tree, Meter::new(limits, size, check));
    let packed = Packed { file: source, at: 0, end: size };
    let manifest = match kind(packed)? {
        Kind::Zip => zip::unpack(packed, &mut sink)?,
        kind @ (Kind::Tar | Kind::TarGzip | Kind::TarZstd) => {
            tar::unpack(stream::open(kind, packed)?, &mut sink)?;
            None
        }
    };
    Ok(sink.finish(manifest))
}

/// Tells how it is packed by what stands in it: names lie.
fn kind(packed: Packed<'_>) -> Result<Kind, UnpackError> {
    let mut head = Vec::new();
    packed.take(512).read_to_end(&mut head).map_err(|error| fault::reading(error, None))?;
    match head[..] {
        // The end of an archive without entries, and the beginning of any other.
        [b'P', b'K', 5, 6, ..] | [b'P', b'K', 3, 4, ..] => Ok(Kind::Zip),
        [0x1f, 0x8b, ..] => Ok(Kind::TarGzip),
        // A frame, or one to skip, as parallel packers put before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Kind::TarZstd),
        _ if tar::is_header(&head) => Ok(Kind::Tar),
        _ => Err(UnpackError::UnknownKind),
    }
}

/// A part of the archive's file, read without moving anybody else's place in it.
#[derive(Debug, Clone, Copy)]
struct Packed<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Packed<'_> {
    /// Returns the part that begins at `at` and is `len` bytes long, if it is inside this one.
    fn part(self, at: u64, len: u64) -> Option<Self> {
        let end = at.checked_add(len).filter(|end| self.at <= at && *end <= self.end)?;
        Some(Self { file: self.file, at, end })
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        // An error of the disk must not look like one of the archive.
        let n = self
            .file
            .read_at(&mut buffer[..most], self.at)
            .map_err(|error| io::Error::other(Broken(error)))?;
        self.at += n as u64;
        Ok(n)
    }
}
