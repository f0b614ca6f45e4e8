//! .tar: header, content, header, content, and zeros at its end. Read once, from front to back.
//!
//! Understood are the forms that are in use: the old one, ustar, GNU's long names, and pax. Whatever stands for something
//! else than a file or a directory is refused by its name.

use std::io::{self, Read};

use super::{
    fault::{self, TooMuch, UnpackError, Why},
    sink::Sink,
};

/// Everything is padded to this.
const BLOCK: usize = 512;

/// The most bytes that are said about one entry beside its header.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Where the checksum stands in a header.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Tells whether these bytes begin a .tar.
pub(super) fn is_header(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(is_sound)
}

/// Unpacks what `stream` becomes.
pub(super) fn unpack<'f>(stream: Box<dyn Read + 'f>, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    let mut tar = Tar { stream };
    let mut about = About::default();
    loop {
        sink.meter.go_on()?;
        let block = tar.block(sink)?;
        if block == [0; BLOCK] {
            return tar.end(sink);
        }
        let header = Header::read(&block)?;
        match header.kind {
            b'L' | b'x' => {
                let text = tar.extension(&header, sink)?;
                about.read(header.kind, &text)?;
            }
            // A link's long target, and what is said of all entries: their comments, or their owners.
            b'K' | b'g' => drop(tar.extension(&header, sink)?),
            _ => tar.entry(header, std::mem::take(&mut about), sink)?,
        }
    }
}

struct Tar<'f> {
    stream: Box<dyn Read + 'f>,
}

impl Tar<'_> {
    fn block(&mut self, sink: &mut Sink<'_>) -> Result<[u8; BLOCK], UnpackError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block, None, sink)?;
        Ok(block)
    }

    fn fill(
        &mut self,
        buffer: &mut [u8],
        name: Option<&[u8]>,
        sink: &mut Sink<'_>,
    ) -> Result<(), UnpackError> {
        sink.meter.bytes(buffer.len() as u64, name)?;
        self.stream.read_exact(buffer).map_err(|error| fault::reading(error, name))
    }

    /// Reads what is said about the next entry.
    fn extension(&mut self, header: &Header, sink: &mut Sink<'_>) -> Result<Vec<u8>, UnpackError> {
        if header.size > LONGEST_EXTENSION {
            let what = TooMuch::Memory("more than 1 MiB is said about one entry");
            return Err(UnpackError::TooMuch { entry: None, what });
        }
        let mut text = vec![0; usize::try_from(header.size).unwrap_or(0)];
        self.fill(&mut text, None, sink)?;
        self.pad(header.size, None, sink)?;
        Ok(text)
    }

    fn pad(&mut self, size: u64, name: Option<&[u8]>, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        let padding = if over == 0 { 0 } else { BLOCK - over };
        self.fill(&mut [0; BLOCK][..padding], name, sink)
    }

    fn entry(&mut self, header: Header, about: About, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
        let name = about.name.unwrap_or(header.name);
        let refused = |why| Err(fault::refused(&name, why));
        if about.is_sparse {
            return refused(Why::Sparse);
        }
        let size = about.size.unwrap_or(header.size);
        match header.kind {
            b'5' if size != 0 => Err(fault::damaged(Some(&name), "a directory has content")),
            b'5' => sink.import_dir(&name),
            // The old form has no other sign of a directory.
            b'0' | 0 if name.ends_with(b"/") && size == 0 => sink.import_dir(&name),
            b'0' | b'7' | 0 => {
                let mtime = about.mtime.or(header.mtime.map(|seconds| (seconds, 0)));
                let mut content = Content { stream: &mut self.stream, left: size };
                sink.import_file(&name, header.mode, mtime, &mut content)?;
                self.pad(size, Some(&name), sink)
            }
            b'1' => refused(Why::HardLink),
            b'2' => refused(Why::Link),
            b'3' | b'4' | b'6' => refused(Why::Special),
            b'S' => refused(Why::Sparse),
            other => refused(Why::UnknownType(char::from(other).escape_debug().to_string())),
        }
    }

    /// Reads to the end, behind which checksums stand. Nothing but zeros may come there: another archive, put behind this
    /// one, would be lost.
    fn end(&mut self, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
        let mut rest = vec![0; 1 << 14];
        loop {
            sink.meter.go_on()?;
            let n = match self.stream.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(fault::reading(error, None)),
            };
            sink.meter.bytes(n as u64, None)?;
            if rest[..n].iter().any(|byte| *byte != 0) {
                return Err(fault::damaged(None, "something stands behind its end"));
            }
        }
    }
}

/// The content of a file: as long as its header says, or an error.
struct Content<'s, R: ?Sized> {
    stream: &'s mut R,
    left: u64,
}

impl<R: Read + ?Sized> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let n = self.stream.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// What a header says.
struct Header {
    name: Vec<u8>,
    mode: u32,
    size: u64,
    mtime: Option<i64>,
    kind: u8,
}

impl Header {
    fn read(block: &[u8; BLOCK]) -> Result<Self, UnpackError> {
        let mut name = text(&block[..100]).to_vec();
        if !is_sound(block) {
            return Err(fault::damaged(None, "what should be a header is none"));
        }
        // GNU's form has other things where ustar has the first part of the name.
        let prefix = text(&block[345..500]);
        if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let bad = |what| fault::damaged(Some(&name), what);
        let size = number(&block[124..136]).and_then(|n| u64::try_from(n).ok());
        Ok(Self {
            mode: number(&block[100..108]).map_or(0, |n| (n & 0o7777) as u32),
            size: size.ok_or_else(|| bad("its size is no number"))?,
            mtime: number(&block[136..148]),
            kind: block[156],
            name,
        })
    }
}

/// Tells whether a header's checksum is right, as bytes with or without a sign.
fn is_sound(block: &[u8; BLOCK]) -> bool {
    let Some(expected) = number(&block[CHECKSUM]) else { return false };
    let plain = |at: usize| if CHECKSUM.contains(&at) { b' ' } else { block[at] };
    let unsigned: i64 = (0..BLOCK).map(|at| i64::from(plain(at))).sum();
    let signed: i64 = (0..BLOCK).map(|at| i64::from(plain(at).cast_signed())).sum();
    expected == unsigned || expected == signed
}

/// Returns the bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Reads a number: octal, or binary where its first bit says so.
fn number(field: &[u8]) -> Option<i64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // The bit beside is the sign.
        let start = if first & 0x40 != 0 { i64::from(*first) - 256 } else { i64::from(first & 0x3f) };
        return rest.iter().try_fold(start, |n, byte| n.checked_mul(256)?.checked_add((*byte).into()));
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() || !digits.iter().all(|b| (b'0'..=b'7').contains(b)) {
        return None;
    }
    i64::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

/// What was said about the next entry beside its header.
#[derive(Default)]
struct About {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<(i64, u32)>,
    is_sparse: bool,
}

impl About {
    fn read(&mut self, kind: u8, said: &[u8]) -> Result<(), UnpackError> {
        if kind == b'L' {
            self.name = Some(text(said).to_vec());
            return Ok(());
        }
        let mut rest = said;
        while !rest.is_empty() {
            let (key, value, more) = pax(rest)
                .ok_or_else(|| fault::damaged(None, "what is said about an entry cannot be read"))?;
            rest = more;
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => {
                    let size = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| fault::damaged(None, "a size is no number"))?);
                }
                b"mtime" => self.mtime = time(value),
                _ if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Splits off one `length key=value` and its newline; the length counts all of it.
fn pax(from: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = from.iter().take(20).position(|b| *b == b' ')?;
    let len: usize = str::from_utf8(&from[..space]).ok()?.parse().ok()?;
    let (record, rest) = from.split_at_checked(len)?;
    let said = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = said.iter().position(|b| *b == b'=')?;
    Some((&said[..equals], &said[equals + 1..], rest))
}

/// Reads seconds with as many decimals as there are.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(value).ok()?;
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let nanos: String = decimals.chars().chain("000000000".chars()).take(9).collect();
    // Times before 1970 are of no use to an import.
    Some((seconds.parse().ok()?, nanos.parse().ok()?))
}
