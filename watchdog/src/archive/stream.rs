//! A .zip written from its first byte to its last.
//!
//! What has to stand at its end, the manifest and the directory of entries, is longer the more files there are. It is kept
//! in memory up to [`MOST_IN_MEMORY`] bytes, and beyond that in unnamed files in the scratch directory.

use std::{
    io::{Read, Seek, Write},
    mem,
    path::Path,
};

use anyhow::{Context, Result};
use crc32fast::Hasher;
use domain::world::Sha256;
use sha2::{Digest, Sha256 as Sha};
use tempfile::SpooledTempFile;

use super::{
    manifest::{self, About, Entry, Kind, Name},
    pack::{BLOCK, DEFLATE_END, Gain, Method, Packed, Packer},
    records::{self, Known, Limits, Record, Sum},
};

/// How much of what stands at the end is kept in memory, twice.
const MOST_IN_MEMORY: usize = 512 * 1024;

/// How much is written at a time, at the least.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Which part of an entry's data something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    First,
    Middle,
    Last,
}

/// A .zip in the making.
pub(super) struct Stream<W> {
    sink: Sink<W>,
    limits: Limits,
    open: Option<Open>,
    directory: SpooledTempFile,
    manifest: SpooledTempFile,
    /// How many entries there are so far.
    entries: u64,
}

/// An entry that has begun.
struct Open {
    offset: u64,
    method: Method,
    known: Known,
    crc: Hasher,
    packed: u64,
}

impl<W: Write> Stream<W> {
    pub(super) fn new(sink: W, scratch: &Path, about: &About, limits: Limits) -> Result<Self> {
        let spool = || SpooledTempFile::new_in(MOST_IN_MEMORY, scratch);
        let mut manifest = spool();
        manifest.write_all(manifest::beginning(about)?.as_bytes())?;
        Ok(Self { sink: Sink::new(sink), limits, open: None, directory: spool(), manifest, entries: 0 })
    }

    /// Writes a part of an entry of the world, and lists the entry with its last.
    pub(super) fn put(&mut self, entry: &Entry, place: Place, packed: &Packed) -> Result<()> {
        if let Some(sum) = self.write(entry, place, packed)? {
            let line = manifest::line(&Entry { crc32: sum.crc32, ..entry.clone() }, self.entries - 1)?;
            self.manifest.write_all(line.as_bytes()).context("noting it in the scratch directory")?;
        }
        Ok(())
    }

    /// Writes a part of an entry; returns what its data is with the last.
    fn write(&mut self, entry: &Entry, place: Place, packed: &Packed) -> Result<Option<Sum>> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin(entry, place, packed)?,
        };
        let mut open = open;
        self.sink.write(&packed.data)?;
        open.crc.combine(&packed.crc);
        open.packed += packed.data.len() as u64;
        match place {
            Place::Whole => self.end(entry, open).map(Some),
            Place::First | Place::Middle => {
                self.open = Some(open);
                Ok(None)
            }
            Place::Last => {
                self.sink.write(&DEFLATE_END)?;
                open.packed += DEFLATE_END.len() as u64;
                self.end(entry, open).map(Some)
            }
        }
    }

    fn begin(&mut self, entry: &Entry, place: Place, packed: &Packed) -> Result<Open> {
        let known = match place {
            Place::Whole => {
                Known::Before(Sum { crc32: packed.crc.clone().finalize(), packed: packed.data.len() as u64 })
            }
            Place::First | Place::Middle | Place::Last => Known::Behind,
        };
        let (method, offset) = (packed.method, self.sink.size);
        self.sink.write(&Record::new(entry, method, offset, self.limits).local(known)?)?;
        Ok(Open { offset, method, known, crc: Hasher::new(), packed: 0 })
    }

    fn end(&mut self, entry: &Entry, open: Open) -> Result<Sum> {
        let sum = Sum { crc32: open.crc.finalize(), packed: open.packed };
        let record = Record::new(entry, open.method, open.offset, self.limits);
        match open.known {
            Known::Before(_) => {}
            Known::Behind => self.sink.write(&record.descriptor(sum)?)?,
        }
        let central = record.central(open.known, sum)?;
        self.directory.write_all(&central).context("noting it in the scratch directory")?;
        self.entries += 1;
        Ok(sum)
    }

    /// Writes what stands at the end; returns the archive's size and digest.
    pub(super) fn finish(
        mut self,
        about: &About,
        left_out: u64,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(u64, Sha256)> {
        self.manifest.write_all(manifest::end(left_out).as_bytes())?;
        self.write_manifest(about, check).context("archiving the manifest")?;
        let offset = self.sink.size;
        self.directory.rewind()?;
        let mut buffer = vec![0; WRITTEN_AT_ONCE];
        loop {
            check()?;
            let n = self.directory.read(&mut buffer).context("reading the scratch directory")?;
            if n == 0 {
                break;
            }
            self.sink.write(&buffer[..n])?;
        }
        let size = self.sink.size - offset;
        self.sink.write(&records::end(self.entries, size, offset, self.limits))?;
        self.sink.finish()
    }

    fn write_manifest(&mut self, about: &About, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut text = mem::replace(&mut self.manifest, SpooledTempFile::new(0));
        let length = text.stream_position()?;
        text.rewind()?;
        let entry = Entry {
            path: Name(manifest::NAME.into()),
            kind: Kind::File,
            size: length,
            mode: 0o644,
            mtime_s: about.at.as_second(),
            mtime_ns: 0,
            crc32: 0,
        };
        let (mut packer, mut left, mut buffer) = (Packer::new(), length, vec![0; BLOCK]);
        while left > 0 {
            check()?;
            let n = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            text.read_exact(&mut buffer[..n]).context("reading the scratch directory")?;
            let place = place(length - left, n, length);
            let packed = match place {
                Place::Whole => packer.whole(&buffer[..n], Gain::Likely),
                Place::First | Place::Middle | Place::Last => packer.block(&buffer[..n], Gain::Likely),
            };
            self.write(&entry, place, &packed)?;
            left -= n as u64;
        }
        Ok(())
    }
}

/// Returns which part of an entry of `size` bytes the `length` bytes from `offset` on are.
pub(super) fn place(offset: u64, length: usize, size: u64) -> Place {
    match (offset == 0, offset + length as u64 >= size) {
        (true, true) => Place::Whole,
        (true, false) => Place::First,
        (false, false) => Place::Middle,
        (false, true) => Place::Last,
    }
}

/// What is written to, counted and digested. Nothing is written once it failed or was dropped.
struct Sink<W> {
    inner: W,
    waiting: Vec<u8>,
    digest: Sha,
    size: u64,
}

impl<W: Write> Sink<W> {
    fn new(inner: W) -> Self {
        Self { inner, waiting: Vec::with_capacity(WRITTEN_AT_ONCE), digest: Sha::new(), size: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        if self.waiting.len() + bytes.len() > WRITTEN_AT_ONCE {
            self.push_out()?;
        }
        if bytes.len() < WRITTEN_AT_ONCE {
            self.waiting.extend(bytes);
            return Ok(());
        }
        self.inner.write_all(bytes).context("writing the archive")
    }

    fn push_out(&mut self) -> Result<()> {
        self.inner.write_all(&self.waiting).context("writing the archive")?;
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Sha256)> {
        self.push_out()?;
        self.inner.flush().context("writing the archive")?;
        Ok((self.size, Sha256(self.digest.finalize().into())))
    }
}
