//! Archives: one copy of a world's files as a plain .zip that opens with a double click.
//!
//! Only the world's own files go in: links are kept as links and never followed, and what is neither file, directory
//! nor link is left out. The game must be gone: a file that changes underneath is an error, never a wrong copy. The .zip is
//! written as a stream, in memory that does not grow with the world, and is the same for the same files, made by the same
//! program.
//!
//! ```text
//! tree: what is there, in order ─► pack: read and compressed by many threads ─► stream: in order again ─► sink
//! ```

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use domain::world::Sha256;
use sha2::{Digest, Sha256 as Hasher};

use manifest::{About, Kind};
use pack::{BLOCK, Coming, Packed, Packers};
use records::Limits;
use stream::{Place, Stream};
use tree::{Found, Tree};

pub mod manifest;

mod tree;

mod pack;

mod records;

mod stream;

/// What to archive.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The directory of the world's files.
    pub files: &'a Path,
    /// What in it to pass over, by whole relative paths.
    pub exclude: &'a [String],
    /// A directory for lists that get too long for memory. Nothing that it holds has a name, so nothing is ever left there.
    pub scratch: &'a Path,
    /// What the manifest says of the archive.
    pub about: &'a About,
}

/// An archive that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// How many files of the world it holds.
    pub files: u64,
    /// How many bytes these are, unpacked.
    pub bytes: u64,
    /// How much was left out, being neither file, directory nor link, or named as what an archive has of its own
    /// ([`manifest::RESERVED`]).
    pub left_out: u64,
}

/// A reader that asks before each read whether to go on.
pub struct Checked<'c, R> {
    /// What is read.
    pub inner: R,
    /// An error if there is no more time.
    pub check: &'c mut dyn FnMut() -> Result<()>,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.check)().map_err(|error| io::Error::other(format!("{error:#}")))?;
        self.inner.read(buffer)
    }
}

/// Writes everything below the source's files, but what it excludes, as a .zip to `sink`, which need not seek. `check` is
/// asked again and again whether to go on. What was written before an error is no archive.
pub fn write(
    source: &Source<'_>,
    sink: impl Write,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Written> {
    write_as(source, sink, check, pack::usual_threads(), Limits::FORMAT)
}

fn write_as(
    source: &Source<'_>,
    sink: impl Write,
    check: &mut dyn FnMut() -> Result<()>,
    threads: usize,
    limits: Limits,
) -> Result<Written> {
    pack::with_packers(threads, |packers| {
        let mut parts = Parts { tree: Tree::new(source.files, source.exclude), packers, large: None };
        let mut zip = Stream::new(sink, source.scratch, source.about, limits)?;
        let (mut files, mut bytes) = (0, 0);
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < packers.most_parts
                && let Some(part) = parts.next(check)?
            {
                waiting.push_back(part);
            }
            let Some(Part { of, place, packed }) = waiting.pop_front() else { break };
            check()?;
            let context = || format!("archiving {}", of.entry.path);
            zip.put(&of.entry, place, &packed.wait(check).with_context(context)?).with_context(context)?;
            if of.entry.kind == Kind::File && matches!(place, Place::Whole | Place::Last) {
                files += 1;
                bytes += of.entry.size;
            }
        }
        let left_out = parts.tree.left_out;
        let (size, sha256) = zip.finish(source.about, left_out, check)?;
        Ok(Written { size, sha256, files, bytes, left_out })
    })
}

/// Something to write, in its turn.
struct Part {
    of: Arc<Found>,
    place: Place,
    packed: Coming,
}

/// All that is to be written, in order. What comes is being packed already.
struct Parts<'a> {
    tree: Tree<'a>,
    packers: &'a Packers,
    large: Option<Large>,
}

/// A file of more than a block, and how far it was read.
struct Large {
    found: Arc<Found>,
    file: Arc<File>,
    offset: u64,
}

impl Parts<'_> {
    fn next(&mut self, check: &mut dyn FnMut() -> Result<()>) -> Result<Option<Part>> {
        if let Some(large) = self.large.take() {
            return self.next_of(large).map(Some);
        }
        let Some(found) = self.tree.next(check)?.map(Arc::new) else { return Ok(None) };
        self.begin(&found).with_context(|| format!("archiving {}", found.entry.path)).map(Some)
    }

    fn begin(&mut self, found: &Arc<Found>) -> Result<Part> {
        let packed = match found.entry.kind {
            Kind::Directory => Coming::Here(Packed::stored(Vec::new())),
            Kind::Link => Coming::Here(Packed::stored(found.target()?)),
            Kind::File if found.entry.size <= BLOCK as u64 => self.packers.whole(found)?,
            Kind::File => {
                let file = Arc::new(found.open()?);
                return self.next_of(Large { found: Arc::clone(found), file, offset: 0 });
            }
        };
        Ok(Part { of: Arc::clone(found), place: Place::Whole, packed })
    }

    fn next_of(&mut self, large: Large) -> Result<Part> {
        let Large { found, file, offset } = large;
        let size = found.entry.size;
        let length = usize::try_from(size - offset).map_or(BLOCK, |left| left.min(BLOCK));
        let packed = self.packers.block(&found, &file, offset, length)?;
        let place = stream::place(offset, length, size);
        let of = Arc::clone(&found);
        if place != Place::Last {
            self.large = Some(Large { found, file, offset: offset + length as u64 });
        }
        Ok(Part { of, place, packed })
    }
}

/// Returns a digest of what is below `files` but what `exclude` names: paths, kinds, sizes, modes, times to the nanosecond
/// and links' targets. Contents are not read. If it is what it was when an archive was made, a new one would hold the same.
pub fn fingerprint(files: &Path, exclude: &[String]) -> io::Result<Sha256> {
    digest(files, exclude).map_err(|error| tree::as_io_error(&error))
}

fn digest(files: &Path, exclude: &[String]) -> Result<Sha256> {
    let mut tree = Tree::new(files, exclude);
    let mut hasher = Hasher::new();
    while let Some(found) = tree.next(&mut || Ok(()))? {
        hasher.update(serde_json::to_vec(&found.entry)?);
        if found.entry.kind == Kind::Link {
            let target = found.target().with_context(|| format!("reading {}", found.path.display()))?;
            hasher.update(target.len().to_le_bytes());
            hasher.update(target);
        }
        hasher.update(b"\n");
    }
    Ok(Sha256(hasher.finalize().into()))
}

#[cfg(test)]
mod tests;
