//! The manifest: what an archive holds and how it came to be, as JSON in the archive's last entry.
//!
//! It alone is exact: names as bytes, times to the nanosecond. The fields of the .zip itself say as much of it as other
//! programs understand. There may be hundreds of thousands of files, so neither writing nor reading it needs more memory
//! than one of them does.
//!
//! ```json
//! {"v":1,
//! "about":{"game":"luanti","world":"w-1","name":"valhalla","generation":7,"at":"2026-11-21T20:00:00Z","why":"…"},
//! "files":[
//! {"path":"map.sqlite","kind":"file","size":4096,"mode":420,"mtime_s":1795291200,"mtime_ns":5,"crc32":3735928559}
//! ],
//! "left_out":0}
//! ```

use std::{
    cell::Cell,
    ffi::OsStr,
    fmt,
    io::{self, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The manifest's name in the archive. Nothing of the world's own is ever in an archive's [`RESERVED`] directory.
pub const NAME: &str = ".dormouse/manifest.json";

/// The directory in an archive that is not the world's.
pub const RESERVED: &str = ".dormouse";

/// The version that is written, and the newest that is understood.
pub const VERSION: u32 = 1;

/// How many bytes of JSON one file, or all that is said about the archive, may take: a path has 4,096 bytes at most, and
/// none of them takes more than six.
const MOST_BYTES_EACH: u64 = 64 * 1024;

/// How an archive came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The game's id in the catalogue.
    pub game: String,
    /// The world's id, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
    /// The world's name among people, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The generation of the launch that it was made in.
    pub generation: u64,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Why it was made, for people.
    pub why: String,
}

/// A file, directory or link in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is, below the world's directory.
    pub path: Name,
    /// What it is.
    pub kind: Kind,
    /// The length of a file, or of a link's target, in bytes; zero for a directory.
    pub size: u64,
    /// Its permissions, with the set-user-id, set-group-id and sticky bits.
    pub mode: u32,
    /// When it was changed last: whole seconds since 1970, rounded down.
    pub mtime_s: i64,
    /// The nanoseconds beyond them.
    pub mtime_ns: u32,
    /// The CRC-32 of a file's bytes, or of a link's target; zero for a directory.
    pub crc32: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target is the entry's content.
    Link,
}

/// A path of any bytes, relative and without `/` at its end. In JSON it is a string if it is UTF-8, else the list of its
/// bytes. One that was read is as hostile as the archive that it stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Vec<u8>);

impl Name {
    /// Returns it as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_path().display())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path: a string, or a list of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.as_bytes().to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Name, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(Name(bytes))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, de};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Returns the manifest's text up to its first file.
pub(super) fn beginning(about: &About) -> Result<String> {
    Ok(format!("{{\"v\":{VERSION},\n\"about\":{},\n\"files\":[", serde_json::to_string(about)?))
}

/// Returns the text of one file, which is the `at`th.
pub(super) fn line(entry: &Entry, at: u64) -> Result<String> {
    let separator = if at == 0 { "\n" } else { ",\n" };
    Ok(format!("{separator}{}", serde_json::to_string(entry)?))
}

/// Returns the text after the last file.
pub(super) fn end(left_out: u64) -> String {
    format!("\n],\n\"left_out\":{left_out}}}\n")
}

/// A manifest but for its list of files, which may be longer than memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// How the archive came to be.
    pub about: About,
    /// How many files, directories and links are listed.
    pub entries: u64,
    /// How many things were left out, being none of these.
    pub left_out: u64,
}

impl Manifest {
    /// Reads a manifest and gives each of its entries, of which there may be `most`, to `each` as it comes. Fields that it
    /// does not know are skipped. However hostile the text is, memory stays small; nothing but its form is checked.
    pub fn read(from: impl Read, most: u64, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<Self> {
        let left = Cell::new(MOST_BYTES_EACH);
        let metered = Metered { inner: BufReader::new(from), left: &left };
        let mut text = serde_json::Deserializer::from_reader(metered);
        let mut refused = None;
        let reading = Reading { left: &left, most, each, refused: &mut refused };
        let read = reading.deserialize(&mut text).and_then(|manifest| text.end().map(|()| manifest));
        match refused {
            Some(error) => Err(error),
            None => read.context("reading the manifest"),
        }
    }
}

/// A reader that fails once it has given more bytes than one part of a manifest may have.
struct Metered<'c, R> {
    inner: R,
    left: &'c Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(n as u64);
        self.left.set(
            left.ok_or_else(|| io::Error::other(format!("more than {MOST_BYTES_EACH} bytes of one thing")))?,
        );
        Ok(n)
    }
}

/// A manifest that is being read: first the whole, then its list of files.
struct Reading<'r> {
    left: &'r Cell<u64>,
    most: u64,
    each: &'r mut dyn FnMut(Entry) -> Result<()>,
    /// Why `each` wanted no more.
    refused: &'r mut Option<anyhow::Error>,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Manifest;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Manifest, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Manifest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Manifest, A::Error> {
        let (mut version, mut about, mut entries, mut left_out) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "v" => version = Some(known(map.next_value()?)?),
                "about" => about = Some(map.next_value()?),
                "files" if entries.is_none() => entries = Some(map.next_value_seed(Files(&mut self))?),
                "left_out" => left_out = Some(map.next_value()?),
                "files" => return Err(de::Error::duplicate_field("files")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if version.is_none() {
                return Err(de::Error::custom("it does not begin with its version"));
            }
        }
        Ok(Manifest {
            about: about.ok_or_else(|| de::Error::missing_field("about"))?,
            entries: entries.ok_or_else(|| de::Error::missing_field("files"))?,
            left_out: left_out.ok_or_else(|| de::Error::missing_field("left_out"))?,
        })
    }
}

fn known<E: de::Error>(version: u32) -> Result<u32, E> {
    if version == VERSION {
        Ok(version)
    } else {
        Err(E::custom(format!("its version is {version}, not {VERSION}")))
    }
}

/// The list of files; its value is how many there are.
struct Files<'f, 'r>(&'f mut Reading<'r>);

impl<'de> DeserializeSeed<'de> for Files<'_, '_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let Self(reading) = self;
        let mut count = 0;
        loop {
            reading.left.set(MOST_BYTES_EACH);
            let Some(entry) = list.next_element()? else { return Ok(count) };
            count += 1;
            if count > reading.most {
                return Err(de::Error::custom(format!("more than {} files", reading.most)));
            }
            if let Err(error) = (reading.each)(entry) {
                *reading.refused = Some(error);
                return Err(de::Error::custom("refused"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use expect_test::{Expect, expect};

    fn about() -> About {
        About {
            game: "luanti".to_owned(),
            world: Some("w-1".to_owned()),
            name: None,
            generation: 7,
            at: "2026-11-21T20:00:00.5Z".parse().unwrap(),
            why: "the last player left".to_owned(),
        }
    }

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: Name(path.to_vec()),
            kind,
            size: 3,
            mode: 0o4755,
            mtime_s: -2,
            mtime_ns: 999_999_999,
            crc32: 9,
        }
    }

    fn text(entries: &[Entry]) -> String {
        let mut text = beginning(&about()).unwrap();
        for (at, entry) in entries.iter().enumerate() {
            text += &line(entry, at as u64).unwrap();
        }
        text + &end(2)
    }

    fn read(text: &str, most: u64) -> Result<(Manifest, Vec<Entry>)> {
        let mut entries = Vec::new();
        let manifest = Manifest::read(text.as_bytes(), most, &mut |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok((manifest, entries))
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let entries =
            [entry(b"a", Kind::Directory), entry(b"a/\xff\n", Kind::File), entry("ä".as_bytes(), Kind::Link)];
        let written = text(&entries);
        expect![[r#"
            {"v":1,
            "about":{"game":"luanti","world":"w-1","generation":7,"at":"2026-11-21T20:00:00.5Z","why":"the last player left"},
            "files":[
            {"path":"a","kind":"directory","size":3,"mode":2541,"mtime_s":-2,"mtime_ns":999999999,"crc32":9},
            {"path":[97,47,255,10],"kind":"file","size":3,"mode":2541,"mtime_s":-2,"mtime_ns":999999999,"crc32":9},
            {"path":"ä","kind":"link","size":3,"mode":2541,"mtime_s":-2,"mtime_ns":999999999,"crc32":9}
            ],
            "left_out":2}
        "#]]
        .assert_eq(&written);
        let manifest = Manifest { about: about(), entries: 3, left_out: 2 };
        assert_eq!(read(&written, 3).unwrap(), (manifest, entries.to_vec()));
    }

    #[test]
    fn an_empty_world_has_an_empty_list() {
        assert_eq!(read(&text(&[]), 0).unwrap().0.entries, 0);
    }

    #[test]
    fn what_a_later_program_adds_is_skipped() {
        let added = text(&[]).replace("\"left_out\"", "\"mods\":[{\"a\":[1]}],\"left_out\"");
        assert_eq!(read(&added, 0).unwrap().0.left_out, 2);
    }

    #[test]
    fn a_bad_manifest_is_refused() {
        let check = |text: &str, expected: Expect| {
            expected.assert_eq(&format!("{:#}", read(text, 2).unwrap_err()));
        };
        let three = [b"a", b"b", b"c"].map(|name| entry(name, Kind::File));
        check(&text(&three), expect!["reading the manifest: more than 2 files at line 7 column 1"]);
        check(
            &text(&[]).replace("\"v\":1", "\"v\":2"),
            expect!["reading the manifest: its version is 2, not 1 at line 1 column 7"],
        );
        check("{\"about\":{}}", expect!["reading the manifest: missing field `game` at line 1 column 11"]);
        check(
            "{\"mods\":1}",
            expect!["reading the manifest: it does not begin with its version at line 1 column 10"],
        );
        check(
            "{\"v\":1,\"files\":[]}",
            expect!["reading the manifest: missing field `about` at line 1 column 18"],
        );
        check(&(text(&[]) + "x"), expect!["reading the manifest: trailing characters at line 6 column 1"]);
        check(
            "{\"v\":1,\"files\":[],\"files\":[]}",
            expect!["reading the manifest: duplicate field `files` at line 1 column 26"],
        );
        check("", expect!["reading the manifest: EOF while parsing a value at line 1 column 0"]);
        let endless = text(&[entry(&[b'a'; 70_000], Kind::File)]);
        check(
            &endless,
            expect!["reading the manifest: more than 65536 bytes of one thing at line 4 column 65535"],
        );
        let blank = text(&[]).replace("\"left_out\"", &" ".repeat(70_000));
        check(
            &blank,
            expect!["reading the manifest: more than 65536 bytes of one thing at line 5 column 65532"],
        );
    }

    #[test]
    fn a_reader_may_want_no_more() {
        let written = text(&[entry(b"a", Kind::File)]);
        let error =
            Manifest::read(written.as_bytes(), 9, &mut |entry| bail!("no {}", entry.path)).unwrap_err();
        assert_eq!(error.to_string(), "no a");
    }

    #[test]
    fn many_files_need_no_more_memory_than_one() {
        let mut written = text(&[entry(b"a", Kind::File)]);
        let more = line(&entry(b"b", Kind::File), 1).unwrap().repeat(2_000);
        written.insert_str(written.rfind("\n],").unwrap(), &more);
        assert!(written.len() as u64 > 2 * MOST_BYTES_EACH);
        assert_eq!(read(&written, 9_999).unwrap().0.entries, 2_001);
    }
}
