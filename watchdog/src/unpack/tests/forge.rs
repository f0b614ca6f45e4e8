//! Makes archives, the hostile ones too: byte by byte, so that anything can be wrong with them.
//!
//! Used by the tests and by the fuzz target alike: [`forge`] makes an archive of whatever bytes it is given.

use std::io::Write;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};

/// An entry to be packed.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// The type and permissions of a .zip, the permissions of a .tar.
    pub(crate) mode: u32,
    /// The type of a .tar.
    pub(crate) kind: u8,
    pub(crate) method: u16,
    pub(crate) lie: Lie,
}

/// What is wrong with an entry of a .zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    Checksum,
    Size(u32),
    Packed(u32),
    LocalName,
    Offset(u32),
    Flags(u16),
    MadeBy(u16),
}

impl Spec {
    pub(crate) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let (name, content) = (name.as_ref().to_vec(), content.as_ref().to_vec());
        Self { name, content, mode: 0o100_644, kind: b'0', method: 8, lie: Lie::None }
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        Self { mode: 0o040_755, kind: b'5', method: 0, ..Self::file(name, "") }
    }

    pub(crate) fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { mode: 0o120_777, kind: b'2', method: 0, ..Self::file(name, target) }
    }

    pub(crate) fn lying(self, lie: Lie) -> Self {
        Self { lie, ..self }
    }
}

/// Packs a .zip.
pub(crate) fn zip(specs: &[Spec]) -> Vec<u8> {
    let (mut data, mut directory) = (Vec::new(), Vec::new());
    for spec in specs {
        let record = local(spec, &mut data);
        directory.extend(record);
    }
    let (at, len) = (data.len() as u32, directory.len() as u32);
    data.extend(directory);
    let count = specs.len().min(0xffff) as u16;
    if specs.len() >= 0xffff {
        let end_64 = data.len() as u64;
        data.extend(*b"PK\x06\x06");
        data.extend(44_u64.to_le_bytes());
        data.extend([45, 3, 45, 0]);
        data.extend([0; 8]);
        data.extend(
            [specs.len() as u64, specs.len() as u64, len.into(), at.into()].map(u64::to_le_bytes).concat(),
        );
        data.extend(*b"PK\x06\x07");
        data.extend(0_u32.to_le_bytes());
        data.extend(end_64.to_le_bytes());
        data.extend(1_u32.to_le_bytes());
    }
    data.extend(*b"PK\x05\x06");
    data.extend([0, 0, count, count].map(u16::to_le_bytes).concat());
    data.extend([len, at].map(u32::to_le_bytes).concat());
    data.extend([0, 0]);
    data
}

/// Adds an entry to the data; returns its record for the directory.
fn local(spec: &Spec, data: &mut Vec<u8>) -> Vec<u8> {
    let mut packed = spec.content.clone();
    if spec.method == 8 {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(&spec.content).unwrap();
        packed = encoder.finish().unwrap();
    }
    let (mut crc, mut size, mut packed_len) =
        (crc32(&spec.content), spec.content.len() as u32, packed.len() as u32);
    let (mut offset, mut flags, mut made_by) = (data.len() as u32, 0_u16, 3_u16 << 8);
    let mut local_name = spec.name.clone();
    match spec.lie {
        Lie::None => {}
        Lie::Checksum => crc ^= 1,
        Lie::Size(other) => size = other,
        Lie::Packed(other) => packed_len = other,
        Lie::LocalName => local_name.push(b'x'),
        Lie::Offset(other) => offset = other,
        Lie::Flags(other) => flags = other,
        Lie::MadeBy(other) => made_by = other,
    }
    // Version, flags, method, time (noon) and date (1 January 2020), checksum, sizes: both headers have them.
    let shared = |name: &[u8]| {
        let mut bytes =
            [20, flags, spec.method, 12 << 11, 40 << 9 | 1 << 5 | 1].map(u16::to_le_bytes).concat();
        bytes.extend([crc, packed_len, size].map(u32::to_le_bytes).concat());
        bytes.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        bytes
    };
    data.extend(*b"PK\x03\x04");
    data.extend(shared(&local_name));
    data.extend(local_name);
    data.extend(packed);
    let mut record = b"PK\x01\x02".to_vec();
    record.extend(made_by.to_le_bytes());
    record.extend(shared(&spec.name));
    record.extend([0; 6]);
    record.extend([spec.mode << 16, offset].map(u32::to_le_bytes).concat());
    record.extend(&spec.name);
    record
}

/// Returns the CRC-32.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Returns the line of a manifest for an entry.
pub(crate) fn listed(spec: &Spec) -> String {
    let kind = match spec.mode & 0o170_000 {
        0o040_000 => "directory",
        0o120_000 => "link",
        _ => "file",
    };
    let name = spec.name.strip_suffix(b"/").unwrap_or(&spec.name);
    let path =
        str::from_utf8(name).map_or_else(|_| format!("{name:?}"), |text| format!("\"{}\"", escaped(text)));
    format!(
        "{{\"path\":{path},\"kind\":\"{kind}\",\"size\":{},\"mode\":{},\"mtime_s\":1000,\"mtime_ns\":5,\"crc32\":{}}}",
        spec.content.len(),
        spec.mode & 0o7777,
        crc32(&spec.content)
    )
}

fn escaped(text: &str) -> String {
    let escape =
        |c: char| if c < ' ' || "\"\\".contains(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Packs a .zip with a manifest of these lines, as ours have.
pub(crate) fn ours(specs: &[Spec], lines: &[String]) -> Vec<u8> {
    let about = r#"{"game":"luanti","generation":7,"at":"2026-11-21T20:00:00Z","why":"a test"}"#;
    let text = format!("{{\"v\":1,\"about\":{about},\"files\":[{}],\"left_out\":0}}", lines.join(","));
    let mut all = specs.to_vec();
    all.push(Spec::file(".dormouse/manifest.json", text));
    zip(&all)
}

/// Packs a .tar.
pub(crate) fn tar(specs: &[Spec]) -> Vec<u8> {
    let mut data = Vec::new();
    for spec in specs {
        if spec.name.len() > 100 {
            let long = [&spec.name[..], &[0]].concat();
            tar_entry(b"././@LongLink", b'L', 0, &long, long.len() as u64, &mut data);
        }
        let size = if let Lie::Size(other) = spec.lie { other.into() } else { spec.content.len() as u64 };
        tar_entry(&spec.name, spec.kind, spec.mode & 0o7777, &spec.content, size, &mut data);
    }
    data.extend([0; 1024]);
    data
}

fn tar_entry(name: &[u8], kind: u8, mode: u32, content: &[u8], size: u64, data: &mut Vec<u8>) {
    let mut block = [0; 512];
    let head = name.len().min(100);
    block[..head].copy_from_slice(&name[..head]);
    let fields = [
        (100, format!("{mode:07o}")),
        (124, format!("{size:011o}")),
        (136, format!("{:011o}", 1_577_880_000)),
    ];
    for (at, text) in fields {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar  \0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    data.extend(block);
    data.extend(content);
    data.resize(data.len().next_multiple_of(512), 0);
}

/// Packs a stream as .gz.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Packs a stream as .zst, with a checksum.
pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What to do next, taken from bytes; always the first choice when they are used up.
pub(crate) struct Choices<'d>(&'d [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// Tells whether what happens in one case of so many happens.
    fn rarely(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// Makes an archive of any kind from any bytes: mostly sound, for errors that come at once hide those that come later.
pub(crate) fn forge(data: &[u8]) -> Vec<u8> {
    let choices = &mut Choices(data);
    let packed = choices.below(6);
    let count = choices.below(12);
    let specs: Vec<_> = (0..count).map(|_| spec(choices)).collect();
    let mut archive = match packed {
        0 | 1 => zip(&specs),
        2 => ours(&specs, &lines(&specs, choices)),
        3 => tar(&specs),
        4 => gzip(&tar(&specs)),
        _ => zst(&tar(&specs)),
    };
    damage(&mut archive, choices);
    archive
}

/// Parts of names, and whole ones, that have done harm elsewhere.
const PARTS: [&[u8]; 32] = [
    b"a",
    b"b",
    b"A",
    b"world",
    b"World",
    b"world.mt",
    b"..",
    b".",
    b"",
    b"/",
    b"../..",
    b"/etc",
    b"C:",
    b"c:\\x",
    b"a\\b",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    "é".as_bytes(),
    "e\u{301}".as_bytes(),
    "É".as_bytes(),
    b".dormouse",
    b"manifest.json",
    b"canary",
    b"../canary",
    b"../../canary",
    b"CON",
    b"a ",
    b"a.",
    b"\n",
    "\u{202e}".as_bytes(),
    "ß".as_bytes(),
];

/// The longest name that is made: longer than any that is taken, and no longer, for parts of names multiply each other.
const LONGEST_NAME: usize = 5000;

fn spec(choices: &mut Choices<'_>) -> Spec {
    let mut name = Vec::new();
    for at in 0..=choices.below(4) {
        if at > 0 {
            name.push(b'/');
        }
        match choices.below(40) {
            part @ 0..32 => name.extend(PARTS[part]),
            32 => name.resize(name.len() + choices.below(256) + 1, b'n'),
            33 => name = [&name[..], b"d/"].concat().repeat(choices.below(80)),
            _ => name.extend([b'a' + choices.below(26) as u8, choices.byte()]),
        }
        name.truncate(LONGEST_NAME);
    }
    let mut spec = match choices.below(8) {
        0..5 => Spec::file(name, content(choices)),
        5 | 6 => Spec::dir([&name[..], b"/"].concat()),
        _ => {
            let target = [PARTS[choices.below(32)], b"/", PARTS[choices.below(32)]].concat();
            Spec::link(name, target)
        }
    };
    if choices.rarely(24) {
        spec.mode = choices.number() & 0o177_777;
        spec.kind = choices.byte();
    }
    if choices.rarely(24) {
        spec.method = choices.below(100) as u16;
    }
    if choices.rarely(12) {
        spec.lie = lie(choices);
    }
    spec
}

fn content(choices: &mut Choices<'_>) -> Vec<u8> {
    let len = [0, 1, 7, 511, 512, 513, 70_000, 300_000][choices.below(8)];
    let byte = choices.byte();
    let mut content = vec![byte; len];
    for at in 0..choices.below(4) {
        if let Some(place) = content.get_mut(at * 37) {
            *place = choices.byte();
        }
    }
    content
}

fn lie(choices: &mut Choices<'_>) -> Lie {
    match choices.below(8) {
        0 => Lie::None,
        1 => Lie::Checksum,
        2 => Lie::Size(choices.number()),
        3 => Lie::Packed(choices.number()),
        4 => Lie::LocalName,
        5 => Lie::Offset(choices.number() & 0xffff),
        6 => Lie::Flags(choices.number() as u16),
        _ => Lie::MadeBy(choices.number() as u16),
    }
}

fn lines(specs: &[Spec], choices: &mut Choices<'_>) -> Vec<String> {
    let mut lines: Vec<_> = specs.iter().map(listed).collect();
    if choices.rarely(8) && !lines.is_empty() {
        let (one, other) = (choices.below(lines.len()), choices.below(lines.len()));
        match choices.below(4) {
            0 => lines.swap(one, other),
            1 => drop(lines.remove(one)),
            2 => lines.push(lines[one].clone()),
            _ => {
                lines[one] = lines[one].replace("1000", &choices.number().to_string()).replace("file", "link")
            }
        }
    }
    lines
}

fn damage(archive: &mut Vec<u8>, choices: &mut Choices<'_>) {
    if choices.rarely(6) {
        for _ in 0..choices.below(4) {
            let at = choices.number() as usize % archive.len().max(1);
            if let Some(byte) = archive.get_mut(at) {
                *byte ^= choices.byte();
            }
        }
    }
    if choices.rarely(12) {
        let len = choices.number() as usize % archive.len().max(1);
        archive.truncate(len);
    }
}
