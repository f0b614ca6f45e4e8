//! The records of a .zip, as bytes: what stands before and after each entry's data, and at the end.
//!
//! Names are bytes, marked as UTF-8 where they are. Times are given twice, as DOS did (in UTC) and in seconds since 1970
//! (Info-ZIP's `UT` field). Fields that are too small get zip64's beside them, and only those.

use std::ops::RangeInclusive;

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    manifest::{Entry, Kind},
    pack::Method,
};

/// From where on the older fields are too small. Smaller numbers may stand in the larger fields, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For sizes and offsets in bytes.
    pub(super) bytes: u64,
    /// For the number of entries.
    pub(super) entries: u64,
}

impl Limits {
    /// What the format says.
    pub(super) const FORMAT: Self = Self { bytes: u32::MAX as u64, entries: u16::MAX as u64 };

    /// Tells whether a file of `size` bytes gets the larger fields. It is decided before its data is packed, which makes it
    /// larger by at most 1/5,000.
    fn are_exceeded_by(self, size: u64) -> bool {
        size.saturating_add(size / 1024).saturating_add(64) >= self.bytes
    }
}

/// The version of the format that is needed for deflate and directories, and that for zip64.
const NEEDS_DEFLATE: u16 = 20;
const NEEDS_ZIP64: u16 = 45;

/// Who made it: Unix, hence modes, and version 4.5 of the format.
const MADE_BY: u16 = 3 << 8 | NEEDS_ZIP64;

const SIZES_FOLLOW: u16 = 1 << 3;
const IS_UTF8: u16 = 1 << 11;

/// What is said of an entry.
#[derive(Debug)]
pub(super) struct Record<'a> {
    entry: &'a Entry,
    method: Method,
    /// Where it begins in the archive.
    offset: u64,
    limits: Limits,
}

/// What is known of an entry's data only once it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) crc32: u32,
    /// The length in the archive.
    pub(super) packed: u64,
}

/// Whether an entry's sizes are known before its data.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    /// They are.
    Before(Sum),
    /// A record behind the data tells.
    Behind,
}

impl<'a> Record<'a> {
    pub(super) fn new(entry: &'a Entry, method: Method, offset: u64, limits: Limits) -> Self {
        Self { entry, method, offset, limits }
    }

    /// Returns what stands before an entry's data.
    pub(super) fn local(&self, known: Known) -> Result<Vec<u8>> {
        let is_large = self.limits.are_exceeded_by(self.entry.size);
        let (crc32, sizes) = match known {
            Known::Before(sum) => (sum.crc32, [sum.packed, self.entry.size]),
            Known::Behind => (0, [0, 0]),
        };
        let [packed, size] = sizes.map(|size| if is_large { Ok(u32::MAX) } else { u32::try_from(size) });
        let [large_packed, large_size] = sizes;
        let mut extra = self.time_field();
        if is_large {
            extra.extend(large_field(&[large_size, large_packed])?);
        }
        let mut bytes = Bytes::default();
        bytes.long(0x0403_4b50);
        self.common(&mut bytes, known, is_large);
        bytes.long(crc32).long(packed?).long(size?);
        self.name_and_extra_lengths(&mut bytes, &extra)?;
        bytes.0.extend(self.name());
        bytes.0.extend(extra);
        Ok(bytes.0)
    }

    /// Returns what stands behind the data of an entry whose sizes were not known before.
    pub(super) fn descriptor(&self, sum: Sum) -> Result<Vec<u8>> {
        let mut bytes = Bytes::default();
        bytes.long(0x0807_4b50).long(sum.crc32);
        if self.limits.are_exceeded_by(self.entry.size) {
            bytes.longest(sum.packed).longest(self.entry.size);
        } else {
            bytes.long(u32::try_from(sum.packed)?).long(u32::try_from(self.entry.size)?);
        }
        Ok(bytes.0)
    }

    /// Returns what stands in the directory at the end.
    pub(super) fn central(&self, known: Known, sum: Sum) -> Result<Vec<u8>> {
        let is_large = self.limits.are_exceeded_by(self.entry.size);
        let is_far = self.offset >= self.limits.bytes;
        let mut large = Vec::new();
        if is_large {
            large.extend([self.entry.size, sum.packed]);
        }
        if is_far {
            large.push(self.offset);
        }
        let mut extra = self.time_field();
        if !large.is_empty() {
            extra.extend(large_field(&large)?);
        }
        let small = |is_small: bool, n: u64| if is_small { u32::try_from(n) } else { Ok(u32::MAX) };
        let mut bytes = Bytes::default();
        bytes.long(0x0201_4b50).short(MADE_BY);
        self.common(&mut bytes, known, is_large || is_far);
        bytes.long(sum.crc32).long(small(!is_large, sum.packed)?).long(small(!is_large, self.entry.size)?);
        self.name_and_extra_lengths(&mut bytes, &extra)?;
        // No comment, on the first disk, nothing said about text.
        bytes.short(0).short(0).short(0);
        bytes.long(self.attributes()).long(small(!is_far, self.offset)?);
        bytes.0.extend(self.name());
        bytes.0.extend(extra);
        Ok(bytes.0)
    }

    fn common(&self, bytes: &mut Bytes, known: Known, needs_zip64: bool) {
        let name = &self.entry.path.0;
        let utf8 = if !name.is_ascii() && str::from_utf8(name).is_ok() { IS_UTF8 } else { 0 };
        let follow = match known {
            Known::Before(_) => 0,
            Known::Behind => SIZES_FOLLOW,
        };
        let method = match self.method {
            Method::Stored => 0,
            Method::Deflated => 8,
        };
        let (time, date) = dos_time(self.entry.mtime_s);
        bytes.short(if needs_zip64 { NEEDS_ZIP64 } else { NEEDS_DEFLATE });
        bytes.short(utf8 | follow).short(method).short(time).short(date);
    }

    fn name(&self) -> Vec<u8> {
        let mut name = self.entry.path.0.clone();
        if self.entry.kind == Kind::Directory {
            name.push(b'/');
        }
        name
    }

    fn name_and_extra_lengths(&self, bytes: &mut Bytes, extra: &[u8]) -> Result<()> {
        bytes.short(u16::try_from(self.name().len()).context("its name is too long")?);
        bytes.short(u16::try_from(extra.len())?);
        Ok(())
    }

    /// Returns the time as seconds since 1970, where they fit.
    fn time_field(&self) -> Vec<u8> {
        let Ok(seconds) = i32::try_from(self.entry.mtime_s) else { return Vec::new() };
        let mut bytes = Bytes::default();
        bytes.short(u16::from_le_bytes(*b"UT")).short(5);
        // Of the three times that there may be, only that of changing.
        bytes.0.push(1);
        bytes.0.extend(seconds.to_le_bytes());
        bytes.0
    }

    /// Returns kind and mode as Unix has them, and what DOS needs to know a directory.
    fn attributes(&self) -> u32 {
        let (kind, dos) = match self.entry.kind {
            Kind::File => (0o100_000, 0),
            Kind::Directory => (0o040_000, 0x10),
            Kind::Link => (0o120_000, 0),
        };
        (kind | self.entry.mode) << 16 | dos
    }
}

fn large_field(numbers: &[u64]) -> Result<Vec<u8>> {
    let mut bytes = Bytes::default();
    bytes.short(1).short(u16::try_from(numbers.len() * 8)?);
    for number in numbers {
        bytes.longest(*number);
    }
    Ok(bytes.0)
}

/// Returns what ends a .zip, after a directory of `entries` entries in `size` bytes from `offset` on.
pub(super) fn end(entries: u64, size: u64, offset: u64, limits: Limits) -> Vec<u8> {
    let mut bytes = Bytes::default();
    if entries >= limits.entries || size >= limits.bytes || offset >= limits.bytes {
        // The length of what follows in the record; then all on the first disk.
        bytes.long(0x0606_4b50).longest(44).short(MADE_BY).short(NEEDS_ZIP64).long(0).long(0);
        bytes.longest(entries).longest(entries).longest(size).longest(offset);
        bytes.long(0x0706_4b50).long(0).longest(offset + size).long(1);
    }
    let bytes_field =
        |n: u64| if n >= limits.bytes { u32::MAX } else { u32::try_from(n).unwrap_or(u32::MAX) };
    let entries_field =
        if entries >= limits.entries { u16::MAX } else { u16::try_from(entries).unwrap_or(u16::MAX) };
    bytes.long(0x0605_4b50).short(0).short(0).short(entries_field).short(entries_field);
    bytes.long(bytes_field(size)).long(bytes_field(offset)).short(0);
    bytes.0
}

/// The years that DOS knows.
const DOS_YEARS: RangeInclusive<i16> = 1980..=2107;

/// Returns a time in UTC as DOS kept it, in steps of two seconds, and its date; the nearest that it knew for others.
fn dos_time(seconds: i64) -> (u16, u16) {
    let Ok(at) = Timestamp::from_second(seconds).map(|at| at.to_zoned(TimeZone::UTC)) else {
        return if seconds < 0 { DOS_FIRST } else { DOS_LAST };
    };
    if at.year() < *DOS_YEARS.start() {
        return DOS_FIRST;
    }
    if at.year() > *DOS_YEARS.end() {
        return DOS_LAST;
    }
    let [month, day, hour, minute, second] =
        [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|n| u16::from(n.unsigned_abs()));
    let year = at.year().abs_diff(*DOS_YEARS.start());
    ((hour << 11) | (minute << 5) | (second / 2), (year << 9) | (month << 5) | day)
}

/// The first of January 1980, and the end of 2107.
const DOS_FIRST: (u16, u16) = (0, 1 << 5 | 1);
const DOS_LAST: (u16, u16) = (23 << 11 | 59 << 5 | 29, 127 << 9 | 12 << 5 | 31);

/// Bytes in the making, the least significant first.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn short(&mut self, n: u16) -> &mut Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn long(&mut self, n: u32) -> &mut Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn longest(&mut self, n: u64) -> &mut Self {
        self.0.extend(n.to_le_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_as_dos_knew_them() {
        let at = |text: &str| dos_time(text.parse::<Timestamp>().unwrap().as_second());
        assert_eq!(at("2026-11-21T20:31:07Z"), (20 << 11 | 31 << 5 | 3, 46 << 9 | 11 << 5 | 21));
        assert_eq!(at("1980-01-01T00:00:00Z"), DOS_FIRST);
        assert_eq!(at("1969-12-31T23:59:59Z"), DOS_FIRST);
        assert_eq!(at("2107-12-31T23:59:59Z"), DOS_LAST);
        assert_eq!(at("2108-01-01T00:00:00Z"), DOS_LAST);
        assert_eq!((dos_time(i64::MIN), dos_time(i64::MAX)), (DOS_FIRST, DOS_LAST));
    }
}
