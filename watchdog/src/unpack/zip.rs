//! .zip: the directory at its end says what is in it, and each entry has to be exactly that.
//!
//! The directory is read twice, record by record, so that its size is no matter: first to see whether it is sound, then to
//! unpack. An entry's own header must agree with it, or two programs would see two different archives. Entries may not
//! overlap; harmful archives say the same bytes again and again that way.

use std::io::{self, BufReader, Read};

use flate2::{Crc, bufread::DeflateDecoder};
use jiff::{civil, tz::TimeZone};

use super::{
    Packed,
    fault::{self, UnpackError, Why},
    name::Inner,
    sink::Sink,
    tree::Marks,
};
use crate::archive::manifest::{self, Entry, Manifest};

/// The end of the directory without and with zip64, the pointer to the latter, and the two kinds of headers.
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const RECORD: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// How many bytes they have without what varies.
const END_LEN: usize = 22;
const END_64_LEN: usize = 56;
const LOCATOR_64_LEN: usize = 20;
const RECORD_LEN: usize = 46;
const LOCAL_LEN: usize = 30;

/// How much is read of the directory, and of an entry, at once.
const BUFFER: usize = 1 << 15;

/// The longest target of a link that a kernel follows.
const LONGEST_TARGET: u64 = 4095;

/// Unpacks a .zip. Returns the manifest if it is one of ours.
pub(super) fn unpack(packed: Packed<'_>, sink: &mut Sink<'_>) -> Result<Option<Manifest>, UnpackError> {
    let directory = Directory::find(packed)?;
    let scan = scan(&directory, sink)?;
    sink.needs(scan.bytes)?;
    match scan.last {
        Some(last) if last.name == manifest::NAME.as_bytes() => {
            let listed = unpack_ours(&directory, &last, sink)?;
            mark_dirs(&directory, &last, sink)?;
            Ok(Some(listed))
        }
        Some(_) | None => {
            let mut records = directory.records()?;
            while let Some(record) = records.next()? {
                import(&directory, &record, sink)?;
            }
            Ok(None)
        }
    }
}

/// What the directory holds.
struct Scan {
    bytes: u64,
    last: Option<Record>,
}

/// Looks whether all entries are sound, before the first is unpacked.
fn scan(directory: &Directory<'_>, sink: &mut Sink<'_>) -> Result<Scan, UnpackError> {
    // The manifest of ours is one more.
    sink.meter.may_have_entries(directory.count.saturating_sub(1), None)?;
    let mut records = directory.records()?;
    let mut scan = Scan { bytes: 0, last: None };
    let mut end = 0;
    while let Some(record) = records.next()? {
        sink.meter.go_on()?;
        record.check()?;
        if record.offset < end {
            return Err(fault::damaged(Some(&record.name), "its entries overlap or are out of order"));
        }
        end = directory.data(&record)?.end;
        scan.bytes = scan.bytes.saturating_add(record.size);
        sink.meter.may_have_bytes(scan.bytes, Some(&record.name))?;
        scan.last = Some(record);
    }
    Ok(scan)
}

/// Unpacks an entry of an upload.
fn import(directory: &Directory<'_>, record: &Record, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    match record.kind() {
        Kind::Directory => {
            no_content(record)?;
            sink.import_dir(&record.name)
        }
        Kind::File => {
            let mut content = Content::open(directory.data(record)?, record);
            let mtime = record.mtime.map(|seconds| (seconds, 0));
            sink.import_file(&record.name, record.mode().unwrap_or(0), mtime, &mut content)
        }
        Kind::Link => Err(fault::refused(&record.name, Why::Link)),
        Kind::Special => Err(fault::refused(&record.name, Why::Special)),
    }
}

fn no_content(record: &Record) -> Result<(), UnpackError> {
    if record.size == 0 { Ok(()) } else { Err(fault::damaged(Some(&record.name), "a directory has content")) }
}

/// Unpacks an archive of ours: the entries in the order of the manifest, which says it exactly.
fn unpack_ours(
    directory: &Directory<'_>,
    last: &Record,
    sink: &mut Sink<'_>,
) -> Result<Manifest, UnpackError> {
    let mut records = directory.records()?;
    let most = directory.count.saturating_sub(1);
    let listed = read_manifest(directory, last, most, &mut |entry| {
        let record = records
            .next()?
            .ok_or_else(|| fault::not_as_listed(Some(&entry.path.0), "it is listed and not there"))?;
        take_ours(directory, &record, &entry, sink)
    })?;
    if listed.entries < most {
        let extra = records.next()?.map(|record| record.name);
        return Err(fault::not_as_listed(extra.as_deref(), "it is there and not listed"));
    }
    Ok(listed)
}

fn take_ours(
    directory: &Directory<'_>,
    record: &Record,
    entry: &Entry,
    sink: &mut Sink<'_>,
) -> Result<(), UnpackError> {
    let name = &entry.path.0;
    let differs = |what| Err(fault::not_as_listed(Some(name), what));
    sink.meter.go_on()?;
    let path = Inner::ours(name, sink.meter.limits).map_err(|why| fault::refused(name, why))?;
    if path.bytes() != name {
        return differs("its name is no plain path");
    }
    if record.name.strip_suffix(b"/").unwrap_or(&record.name) != name {
        return differs("another entry stands in its place");
    }
    if record.size != entry.size || record.crc != entry.crc32 {
        return differs("its size or its checksum is another one");
    }
    let marks = marks(entry)?;
    match entry.kind {
        manifest::Kind::Directory => {
            no_content(record)?;
            sink.our_dir(&path)
        }
        manifest::Kind::File => {
            sink.our_file(&path, marks, &mut Content::open(directory.data(record)?, record))
        }
        manifest::Kind::Link if record.size > LONGEST_TARGET => differs("its target is too long"),
        manifest::Kind::Link => {
            let mut target = Vec::new();
            let read = Content::open(directory.data(record)?, record).read_to_end(&mut target);
            read.map_err(|error| fault::reading(error, Some(name)))?;
            sink.meter.bytes(target.len() as u64, Some(name))?;
            sink.our_link(&path, &target, marks)
        }
    }
}

/// Returns what an entry's permissions and time are. Nothing becomes another user by being restored.
fn marks(entry: &Entry) -> Result<Marks, UnpackError> {
    if entry.mtime_ns >= 1_000_000_000 {
        return Err(fault::not_as_listed(Some(&entry.path.0), "its time is none"));
    }
    let kept = match entry.kind {
        manifest::Kind::Directory => 0o3777,
        manifest::Kind::File | manifest::Kind::Link => 0o777,
    };
    Ok(Marks { mode: entry.mode & kept, mtime: Some((entry.mtime_s, entry.mtime_ns)) })
}

/// Marks the directories, now that nothing more is made in them.
fn mark_dirs(directory: &Directory<'_>, last: &Record, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    read_manifest(directory, last, directory.count, &mut |entry| {
        sink.meter.go_on()?;
        match entry.kind {
            manifest::Kind::File | manifest::Kind::Link => Ok(()),
            manifest::Kind::Directory => {
                let name = &entry.path.0;
                let path = Inner::ours(name, sink.meter.limits).map_err(|why| fault::refused(name, why))?;
                sink.mark_dir(path, marks(&entry)?)
            }
        }
    })?;
    sink.mark_closed()
}

fn read_manifest(
    directory: &Directory<'_>,
    last: &Record,
    most: u64,
    each: &mut dyn FnMut(Entry) -> Result<(), UnpackError>,
) -> Result<Manifest, UnpackError> {
    let mut content = Content::open(directory.data(last)?, last);
    let read = Manifest::read(&mut content, most, &mut |entry| Ok(each(entry)?));
    read.map_err(|error| {
        error
            .downcast::<UnpackError>()
            .unwrap_or_else(|error| fault::not_as_listed(None, &format!("{error:#}")))
    })
}

/// Where the directory is.
struct Directory<'f> {
    packed: Packed<'f>,
    at: u64,
    len: u64,
    count: u64,
}

impl<'f> Directory<'f> {
    /// Finds the directory by the end of the archive.
    fn find(packed: Packed<'f>) -> Result<Self, UnpackError> {
        let tail_len = packed.end.min((END_LEN + usize::from(u16::MAX)) as u64);
        let tail_at = packed.end - tail_len;
        let tail = bytes(packed, tail_at, tail_len)?;
        // The end has a comment behind it, and only the true one's is as long as it says.
        let is_end = |at: &usize| {
            tail[*at..].starts_with(&END) && *at + END_LEN + usize::from(u16_at(&tail, at + 20)) == tail.len()
        };
        let at = (0..=tail.len().saturating_sub(END_LEN)).rev().find(is_end);
        let Some(at) = at.filter(|_| tail.len() >= END_LEN) else {
            return Err(fault::damaged(None, "its end is missing"));
        };
        let end = &tail[at..];
        let before = tail_at + at as u64;
        let directory = match Self::zip64(packed, before)? {
            Some(directory) => directory,
            None if u16_at(end, 4) != 0 || u16_at(end, 6) != 0 => return Err(in_parts()),
            None => Self {
                packed,
                at: u32_at(end, 16).into(),
                len: u32_at(end, 12).into(),
                count: u16_at(end, 10).into(),
            },
        };
        if directory.at.checked_add(directory.len).is_none_or(|end| end > before) {
            return Err(fault::damaged(None, "its directory is not where it says"));
        }
        Ok(directory)
    }

    /// Reads the end for large archives, which stands before the other one at `before`.
    fn zip64(packed: Packed<'f>, before: u64) -> Result<Option<Self>, UnpackError> {
        let Some(at) = before.checked_sub(LOCATOR_64_LEN as u64) else { return Ok(None) };
        let locator = bytes(packed, at, LOCATOR_64_LEN as u64)?;
        if !locator.starts_with(&LOCATOR_64) {
            return Ok(None);
        }
        let end = bytes(packed, u64_at(&locator, 8), END_64_LEN as u64)?;
        if !end.starts_with(&END_64) {
            return Err(fault::damaged(None, "the end of its directory is not where it says"));
        }
        if u32_at(&end, 16) != 0 || u32_at(&end, 20) != 0 {
            return Err(in_parts());
        }
        Ok(Some(Self { packed, at: u64_at(&end, 48), len: u64_at(&end, 40), count: u64_at(&end, 32) }))
    }

    fn records(&self) -> Result<Records<'f>, UnpackError> {
        let part = self.packed.part(self.at, self.len);
        let part = part.ok_or_else(|| fault::damaged(None, "its directory is not where it says"))?;
        Ok(Records { from: BufReader::with_capacity(BUFFER, part), left: self.count, len: self.len })
    }

    /// Returns where an entry's data is, if its own header agrees.
    fn data(&self, record: &Record) -> Result<Packed<'f>, UnpackError> {
        let differs = |what| fault::damaged(Some(&record.name), what);
        let local = bytes(self.packed, record.offset, LOCAL_LEN as u64)?;
        if !local.starts_with(&LOCAL) {
            return Err(differs("its header is not where the directory says"));
        }
        let name_len = u64::from(u16_at(&local, 26));
        let at = record.offset + LOCAL_LEN as u64;
        let agrees = u16_at(&local, 8) == record.method
            && u16_at(&local, 6) & ENCRYPTED == record.flags & ENCRYPTED
            && name_len == record.name.len() as u64
            && bytes(self.packed, at, name_len)? == record.name;
        if !agrees {
            return Err(differs("its header says something else than the directory"));
        }
        let at = at + name_len + u64::from(u16_at(&local, 28));
        let data = self.packed.part(at, record.packed).filter(|data| data.end <= self.at);
        data.ok_or_else(|| differs("it is longer than the archive"))
    }
}

fn in_parts() -> UnpackError {
    fault::damaged(None, "it is one part of several")
}

/// The records of a directory, one after the other.
struct Records<'f> {
    from: BufReader<Packed<'f>>,
    left: u64,
    /// How many bytes of the directory are left.
    len: u64,
}

impl Records<'_> {
    fn next(&mut self) -> Result<Option<Record>, UnpackError> {
        if self.left == 0 {
            return if self.len == 0 {
                Ok(None)
            } else {
                Err(fault::damaged(None, "its directory has more entries than it says"))
            };
        }
        self.left -= 1;
        let head = self.take(RECORD_LEN)?;
        if !head.starts_with(&RECORD) {
            return Err(fault::damaged(None, "its directory cannot be read"));
        }
        let name = self.take(u16_at(&head, 28).into())?;
        let extra = self.take(u16_at(&head, 30).into())?;
        self.take(u16_at(&head, 32).into())?;
        Record::read(&head, name, &extra).map(Some)
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = vec![0; len];
        self.from.read_exact(&mut bytes).map_err(|error| fault::reading(error, None))?;
        self.len -= len as u64;
        Ok(bytes)
    }
}

/// What the directory says of an entry.
struct Record {
    name: Vec<u8>,
    made_by: u16,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    attributes: u32,
    offset: u64,
    mtime: Option<i64>,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
    Special,
}

/// The flags of encryption: the old one, the strong one, and that of a directory without its names.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

impl Record {
    fn read(head: &[u8], name: Vec<u8>, extra: &[u8]) -> Result<Self, UnpackError> {
        let mut record = Self {
            made_by: u16_at(head, 4),
            flags: u16_at(head, 8),
            method: u16_at(head, 10),
            crc: u32_at(head, 16),
            packed: u32_at(head, 20).into(),
            size: u32_at(head, 24).into(),
            attributes: u32_at(head, 38),
            offset: u32_at(head, 42).into(),
            mtime: dos_time(u16_at(head, 14), u16_at(head, 12)),
            name,
        };
        if u16_at(head, 34) != 0 && u16_at(head, 34) != u16::MAX {
            return Err(in_parts());
        }
        let mut rest = extra;
        while let [a, b, c, d, more @ ..] = rest {
            let len = usize::from(u16::from_le_bytes([*c, *d]));
            let Some((field, more)) = more.split_at_checked(len) else { break };
            match u16::from_le_bytes([*a, *b]) {
                0x0001 => record.widen(field)?,
                0x5455 if field.len() >= 5 && field[0] & 1 != 0 => {
                    record.mtime = Some(i64::from(u32_at(field, 1).cast_signed()));
                }
                _ => {}
            }
            rest = more;
        }
        Ok(record)
    }

    /// Takes the zip64 field: each number that did not fit, in this order.
    fn widen(&mut self, field: &[u8]) -> Result<(), UnpackError> {
        let mut rest = field;
        for number in [&mut self.size, &mut self.packed, &mut self.offset] {
            if *number == u64::from(u32::MAX) {
                let Some((wide, more)) = rest.split_at_checked(8) else {
                    return Err(fault::damaged(Some(&self.name), "its zip64 field is too short"));
                };
                *number = u64_at(wide, 0);
                rest = more;
            }
        }
        Ok(())
    }

    /// Fails if it cannot be unpacked.
    fn check(&self) -> Result<(), UnpackError> {
        let refused = |why| Err(fault::refused(&self.name, why));
        if self.flags & ENCRYPTED != 0 {
            return refused(Why::Encrypted);
        }
        match self.method {
            STORED if self.packed != self.size => {
                Err(fault::damaged(Some(&self.name), "its two sizes differ, and it is not compressed"))
            }
            STORED | DEFLATED => Ok(()),
            1..=6 => refused(Why::Method(format!("a method of the 1980s ({})", self.method))),
            9 => refused(Why::Method("Deflate64".into())),
            12 => refused(Why::Method("BZIP2".into())),
            14 => refused(Why::Method("LZMA".into())),
            93 => refused(Why::Method("Zstandard".into())),
            95 => refused(Why::Method("XZ".into())),
            98 => refused(Why::Method("PPMd".into())),
            99 => refused(Why::Encrypted),
            other => refused(Why::Method(format!("an unknown method ({other})"))),
        }
    }

    fn kind(&self) -> Kind {
        match self.mode().map(|mode| mode & 0o170_000) {
            Some(0o120_000) => Kind::Link,
            Some(0o040_000) => Kind::Directory,
            // Some programs mark no directory but by its name.
            Some(0 | 0o100_000) | None if self.name.ends_with(b"/") || self.is_dos_directory() => {
                Kind::Directory
            }
            Some(0 | 0o100_000) | None => Kind::File,
            Some(_) => Kind::Special,
        }
    }

    fn is_dos_directory(&self) -> bool {
        self.mode().is_none() && self.attributes & 0x10 != 0
    }

    /// Returns the mode, if a system that has modes made it: Unix, or macOS.
    fn mode(&self) -> Option<u32> {
        matches!(self.made_by >> 8, 3 | 19).then_some(self.attributes >> 16)
    }
}

/// Returns the seconds since 1970 of a time as DOS keeps it, in UTC for want of a better zone.
fn dos_time(date: u16, time: u16) -> Option<i64> {
    let part = |n: u16| i8::try_from(n).ok();
    let year = i16::try_from(1980 + (date >> 9)).ok()?;
    let date = civil::Date::new(year, part(date >> 5 & 15)?, part(date & 31)?).ok()?;
    let time = civil::Time::new(part(time >> 11)?, part(time >> 5 & 63)?, part((time & 31) * 2)?, 0).ok()?;
    Some(date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// What an entry becomes; fails unless that is as long as the directory says, with the same checksum.
struct Content<'f> {
    body: Body<'f>,
    crc: Crc,
    expected: u32,
    /// How many bytes are still to come.
    left: u64,
    packed: u64,
}

enum Body<'f> {
    Stored(Packed<'f>),
    Deflated(Box<DeflateDecoder<BufReader<Packed<'f>>>>),
}

impl<'f> Content<'f> {
    fn open(data: Packed<'f>, record: &Record) -> Self {
        let body = if record.method == STORED {
            Body::Stored(data)
        } else {
            let len = usize::try_from(record.packed).map_or(BUFFER, |len| len.clamp(1, BUFFER));
            Body::Deflated(Box::new(DeflateDecoder::new(BufReader::with_capacity(len, data))))
        };
        Self { body, crc: Crc::new(), expected: record.crc, left: record.size, packed: record.packed }
    }

    fn at_end(&self) -> io::Result<usize> {
        let used = match &self.body {
            Body::Stored(_) => self.packed,
            Body::Deflated(decoder) => decoder.total_in(),
        };
        if self.left != 0 || used != self.packed {
            return Err(bad(SIZES));
        }
        if self.crc.sum() != self.expected {
            return Err(bad("its checksum is wrong"));
        }
        Ok(0)
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = match &mut self.body {
            Body::Stored(data) => data.read(buffer)?,
            Body::Deflated(decoder) => decoder.read(buffer)?,
        };
        if n == 0 {
            return self.at_end();
        }
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| bad(SIZES))?;
        self.crc.update(&buffer[..n]);
        Ok(n)
    }
}

const SIZES: &str = "its sizes are not what the directory says";

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads a few bytes of the archive.
fn bytes(packed: Packed<'_>, at: u64, len: u64) -> Result<Vec<u8>, UnpackError> {
    let part = packed.part(at, len).ok_or_else(|| fault::damaged(None, "it ends too soon"))?;
    let mut bytes = Vec::new();
    { part }.read_to_end(&mut bytes).map_err(|error| fault::reading(error, None))?;
    // The file may have become shorter.
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(fault::damaged(None, "it ends too soon")) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Returns the bytes of a number; zeros where there are none.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}
