//! Archives of generated worlds, read back by a program that nobody here wrote, and archives that fail half-way.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::Cursor,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
};

use anyhow::bail;
use expect_test::{Expect, expect};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};
use tempfile::TempDir;
use zip::ZipArchive;

use super::{
    manifest::{Entry, Manifest},
    *,
};

/// So small that everything gets zip64's fields.
const TINY: Limits = Limits { bytes: 10, entries: 2 };

#[test]
fn an_archive_holds_the_worlds_files_and_nothing_behind_links() {
    let world = World::new();
    world.file("world/map.sqlite", "map".repeat(1000));
    world.file("world/players/ann", "gold");
    world.file("world/icon.png", "png".repeat(1000));
    world.file("cache/x", "x");
    fs::set_permissions(world.path("world/players/ann"), fs::Permissions::from_mode(0o4600)).unwrap();
    symlink("/etc/passwd", world.path("world/link")).unwrap();

    let (written, bytes) = world.archive(4, Limits::FORMAT).unwrap();

    assert_eq!((written.files, written.bytes, written.left_out), (3, 6004, 0));
    assert_eq!(written.size, bytes.len() as u64);
    assert_eq!(written.sha256, Sha256(Hasher::digest(&bytes).into()));
    check_listing(
        &bytes,
        expect![[r#"
            world/ 40755 Stored: 0
            world/icon.png 100644 Stored: 3000
            world/link 120777 Stored: 11
            world/map.sqlite 100644 Deflated: 3000
            world/players/ 40755 Stored: 0
            world/players/ann 104600 Stored: 4
        "#]],
    );
}

#[test]
fn what_is_neither_file_directory_nor_link_is_left_out_and_counted() {
    let world = World::new();
    world.file("a", "a");
    world.file(".dormouse/manifest.json", "not ours");
    world.file("b/.dormouse", "the game's own");
    let _socket = UnixListener::bind(world.path("socket")).unwrap();
    nix::unistd::mkfifo(&world.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let (written, bytes) = world.archive(4, Limits::FORMAT).unwrap();

    assert_eq!((written.files, written.left_out), (2, 3));
    assert_eq!(read_back(&bytes).0.left_out, 3);
    check_listing(
        &bytes,
        expect![[r#"
            a 100644 Stored: 1
            b/ 40755 Stored: 0
            b/.dormouse 100644 Stored: 14
        "#]],
    );
}

#[test]
fn every_world_comes_back_as_it_was() {
    for seed in 1..=12 {
        let mut world = World::new();
        world.grow(&mut Random(seed));
        for limits in [Limits::FORMAT, TINY] {
            let (written, bytes) = world.archive(3, limits).unwrap();
            let (manifest, entries) = read_back(&bytes);
            assert_eq!(manifest.about, about());
            assert_eq!(entries.len(), world.grown.len(), "seed {seed}");
            for (entry, content) in entries {
                let expected = world.grown.get(&entry.path.0);
                assert!(expected == Some(&(entry.clone(), content)), "seed {seed}: {entry:?}");
            }
            let files = || world.grown.values().filter(|(entry, _)| entry.kind == Kind::File);
            assert_eq!(written.files, files().count() as u64);
            assert_eq!(written.bytes, files().map(|(entry, _)| entry.size).sum::<u64>());
        }
    }
}

#[test]
fn the_same_world_makes_the_same_archive_whatever_the_threads_do() {
    let mut world = World::new();
    world.grow(&mut Random(99));
    let (first, bytes) = world.archive(1, Limits::FORMAT).unwrap();
    for threads in [2, 8, 3] {
        let (again, same) = world.archive(threads, Limits::FORMAT).unwrap();
        assert_eq!(again, first);
        assert!(same == bytes, "{threads} threads make another archive than one");
    }
}

#[test]
fn what_is_compressed_already_takes_hardly_more_than_it_is() {
    let world = World::new();
    let noise = Random(5).bytes(10 * BLOCK + 7);
    world.file("noise", &noise);
    world.file("noise.zst", &noise);
    let (written, bytes) = world.archive(4, Limits::FORMAT).unwrap();
    assert!(written.size < 2 * noise.len() as u64 * 1001 / 1000, "{written:?}");
    assert!(read_back(&bytes).1.iter().all(|(_, content)| *content == noise));
}

#[test]
fn more_entries_than_the_old_format_counts_are_no_matter() {
    let world = World::new();
    for at in 0..66_000 {
        symlink("x", world.path(&format!("{at}"))).unwrap();
    }
    let (_, bytes) = world.archive(4, Limits::FORMAT).unwrap();
    assert_eq!(ZipArchive::new(Cursor::new(&bytes)).unwrap().len(), 66_001);
    assert_eq!(manifest_of(&bytes, &mut |_| Ok(())).entries, 66_000);
}

#[test]
fn a_sink_that_fails_ends_it_wherever_that_is() {
    let mut world = World::new();
    world.grow(&mut Random(7));
    let (whole, _) = world.archive(2, Limits::FORMAT).unwrap();
    for errno in [libc::ENOSPC, libc::EPIPE] {
        for room in (0..whole.size).step_by(usize::try_from(whole.size / 60).unwrap()).chain([whole.size - 1])
        {
            let sink = Full { room: usize::try_from(room).unwrap(), errno };
            let error = world.write(sink, &mut || Ok(()), 2, Limits::FORMAT).unwrap_err();
            let error = format!("{error:#}");
            let expected = format!("writing the archive: {}", io::Error::from_raw_os_error(errno));
            assert!(error.ends_with(&expected), "after {room} bytes: {error}");
        }
    }
    let room = usize::try_from(whole.size).unwrap();
    let written = world.write(Full { room, errno: 0 }, &mut || Ok(()), 2, Limits::FORMAT).unwrap();
    assert_eq!(written, whole);
}

#[test]
fn it_ends_when_told_to_whenever_that_is() {
    let mut world = World::new();
    world.grow(&mut Random(8));
    let mut asked = 0;
    let mut count = || {
        asked += 1;
        Ok(())
    };
    world.write(io::sink(), &mut count, 2, Limits::FORMAT).unwrap();
    assert!(asked > world.grown.len());
    // A thread that is waited for makes it ask more often, never less.
    let entries = world.grown.len();
    for at in (0..=entries).step_by(entries / 40 + 1) {
        let mut left = at;
        let mut check = || {
            let Some(less) = left.checked_sub(1) else { bail!("out of time") };
            left = less;
            Ok(())
        };
        let error = world.write(io::sink(), &mut check, 2, Limits::FORMAT).unwrap_err();
        assert!(format!("{error:#}").ends_with("out of time"), "{error:#}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_that_names_it() {
    let check = |change: &dyn Fn(&Path), expected: Expect| {
        let world = World::new();
        world.file("a", "a");
        world.file("map", Random(3).bytes(64 * BLOCK));
        let path = world.path("map");
        let sink = OnFirstWrite(|| change(&path));
        let error = world.write(sink, &mut || Ok(()), 2, Limits::FORMAT).unwrap_err();
        expected.assert_eq(&format!("{error:#}"));
    };
    let open = |path: &Path| File::options().write(true).open(path).unwrap();
    check(
        &|path| open(path).set_len(1 << 20).unwrap(),
        expect!["archiving map: it changed while it was archived: 16777216 bytes before, 1048576 now"],
    );
    check(
        &|path| open(path).set_len(1 << 30).unwrap(),
        expect!["archiving map: it changed while it was archived: 16777216 bytes before, 1073741824 now"],
    );
    check(
        &|path| open(path).set_modified(std::time::UNIX_EPOCH).unwrap(),
        expect!["archiving map: it was written to while it was archived"],
    );
}

#[test]
fn a_file_that_is_gone_is_an_error_that_names_it() {
    let world = World::new();
    for at in 0..100 {
        world.file(&format!("{at:02}"), "x");
    }
    // It is known by then that it is there: the directory is read as a whole.
    let mut asked = 0;
    let mut check = || {
        asked += 1;
        if asked == 105 {
            fs::remove_file(world.path("99")).unwrap();
        }
        Ok(())
    };
    let error = world.write(io::sink(), &mut check, 1, Limits::FORMAT).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.ends_with("/99: No such file or directory (os error 2)"), "{error}");
}

#[test]
fn a_scratch_directory_that_is_not_there_is_no_matter_for_a_small_world() {
    let world = World::new();
    world.file("a", "a");
    let source =
        Source { files: &world.files(), exclude: &[], scratch: Path::new("/nowhere"), about: &about() };
    assert_eq!(write(&source, io::sink(), &mut || Ok(())).unwrap().files, 1);
}

#[test]
fn a_fingerprint_tells_whether_anything_changed() {
    let mut world = World::new();
    world.grow(&mut Random(11));
    world.file("map", "map");
    symlink("a", world.path("to")).unwrap();
    let look = || fingerprint(&world.files(), &["cache".to_owned()]).unwrap();
    let mut seen = vec![look()];
    assert_eq!(look(), seen[0]);
    world.archive(2, Limits::FORMAT).unwrap();
    assert_eq!(look(), seen[0]);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1);
    let changes: [&dyn Fn(); 6] = [
        &|| world.file("map", "mop!"),
        &|| File::open(world.path("map")).unwrap().set_modified(old).unwrap(),
        &|| fs::set_permissions(world.path("map"), fs::Permissions::from_mode(0o600)).unwrap(),
        &|| fs::rename(world.path("map"), world.path("mep")).unwrap(),
        &|| {
            fs::remove_file(world.path("to")).unwrap();
            symlink("b", world.path("to")).unwrap();
        },
        &|| fs::create_dir(world.path("empty")).unwrap(),
    ];
    for change in changes {
        change();
        let now = look();
        assert!(!seen.contains(&now));
        seen.push(now);
    }
    let before = look();
    world.file("cache", "passed over");
    fs::remove_file(world.path("cache")).unwrap();
    assert_eq!(look(), before);
    world.file("cache", "passed over");
    assert_eq!(look(), before);
    assert_eq!(fingerprint(&world.path("nothing"), &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
}

fn about() -> About {
    About {
        game: "luanti".to_owned(),
        world: Some("w-1".to_owned()),
        name: Some("valhalla".to_owned()),
        generation: 7,
        at: "2026-11-21T20:00:00Z".parse().unwrap(),
        why: "a test".to_owned(),
    }
}

/// A sink with `room` bytes of room.
struct Full {
    room: usize,
    errno: i32,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.room);
        self.room -= n;
        if n == 0 && !bytes.is_empty() { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that does something when it is written to.
struct OnFirstWrite<F>(F);

impl<F: Fn()> Write for OnFirstWrite<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A world in a temporary directory.
struct World {
    dir: TempDir,
    /// What has grown in it: each entry, and its content.
    grown: BTreeMap<Vec<u8>, (Entry, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        Self { dir, grown: BTreeMap::new() }
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn write(
        &self,
        sink: impl Write,
        check: &mut dyn FnMut() -> Result<()>,
        threads: usize,
        limits: Limits,
    ) -> Result<Written> {
        let exclude = ["cache".to_owned()];
        let source =
            Source { files: &self.files(), exclude: &exclude, scratch: self.dir.path(), about: &about() };
        write_as(&source, sink, check, threads, limits)
    }

    fn archive(&self, threads: usize, limits: Limits) -> Result<(Written, Vec<u8>)> {
        let mut bytes = Vec::new();
        let written = self.write(&mut bytes, &mut || Ok(()), threads, limits)?;
        Ok((written, bytes))
    }

    /// Makes files, directories and links of all kinds.
    fn grow(&mut self, random: &mut Random) {
        let mut dirs = vec![Vec::new()];
        for at in 0..80 + random.below(200) {
            let mut path = dirs[random.below(dirs.len())].clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(random.name(at));
            let kind = match random.below(10) {
                0..=1 => Kind::Directory,
                2 => Kind::Link,
                _ => Kind::File,
            };
            if kind == Kind::Directory && path.len() < 1000 {
                dirs.push(path.clone());
            }
            self.plant(path, kind, random);
        }
        // Children change the times of their directories, so those come last.
        for (entry, _) in self.grown.values().rev() {
            let times = TimeSpec::new(entry.mtime_s, i64::from(entry.mtime_ns));
            let path = self.files().join(entry.path.as_path());
            utimensat(AT_FDCWD, &path, &times, &times, UtimensatFlags::NoFollowSymlink).unwrap();
        }
    }

    fn plant(&mut self, name: Vec<u8>, kind: Kind, random: &mut Random) {
        let path = self.files().join(OsString::from_vec(name.clone()));
        let (content, mode) = match kind {
            Kind::File => (random.content(), 0o400 | random.below(0o10000) as u32),
            Kind::Directory => (Vec::new(), 0o700 | random.below(0o10000) as u32),
            Kind::Link => (random.name(0), 0o777),
        };
        match kind {
            Kind::File => fs::write(&path, &content).unwrap(),
            Kind::Directory => fs::create_dir(&path).unwrap(),
            Kind::Link => symlink(OsString::from_vec(content.clone()), &path).unwrap(),
        }
        if kind != Kind::Link {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let entry = Entry {
            path: manifest::Name(name.clone()),
            kind,
            size: content.len() as u64,
            mode,
            mtime_s: [-86_400, 0, 1, 1_795_291_200, 5_000_000_000][random.below(5)]
                + random.below(1000) as i64,
            mtime_ns: [0, 1, 999_999_999, 123_456_789][random.below(4)],
            crc32: crc32fast::hash(&content),
        };
        self.grown.insert(name, (entry, content));
    }
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() >> 32) as usize % most
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }

    /// Returns a name that no other `at` gets.
    fn name(&mut self, at: usize) -> Vec<u8> {
        let odd: [&[u8]; 8] = [
            b"map.sqlite",
            "Wäldchen ☃".as_bytes(),
            b"\xff\xfe\x80",
            b"a\\b",
            b"new\nline",
            b"-x",
            b"x.png",
            b"~ ",
        ];
        let mut name = odd[self.below(odd.len())].to_vec();
        name.extend(format!("{at}").into_bytes());
        if self.below(20) == 0 {
            name.resize(255, b'n');
        }
        name
    }

    fn content(&mut self) -> Vec<u8> {
        let size = match self.below(30) {
            0 => BLOCK - 1 + self.below(3),
            1 => self.below(4 * BLOCK),
            2..=6 => 0,
            7..=15 => self.below(40_000),
            _ => self.below(300),
        };
        match self.below(3) {
            0 => self.bytes(size),
            1 => vec![0; size],
            _ => b"The quick brown dormouse sleeps. ".iter().cycle().take(size).copied().collect(),
        }
    }
}

fn check_listing(bytes: &[u8], expected: Expect) {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    for at in 0..zip.len() - 1 {
        let file = zip.by_index(at).unwrap();
        let (mode, _) = mode_and_time(bytes, file.central_header_start());
        writeln!(text, "{} {mode:o} {:?}: {}", file.name().unwrap(), file.compression(), file.size())
            .unwrap();
    }
    expected.assert_eq(&text);
}

/// Reads an archive's manifest, which must be its last entry.
fn manifest_of(bytes: &[u8], each: &mut dyn FnMut(Entry) -> Result<()>) -> Manifest {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let last = zip.by_index(zip.len() - 1).unwrap();
    assert_eq!(last.name_raw(), manifest::NAME.as_bytes());
    Manifest::read(last, 1_000_000, each).unwrap()
}

/// Reads mode and time from an entry of the directory at the end. (The crate drops set-user-id bits, and knows no `UT`.)
fn mode_and_time(bytes: &[u8], header: u64) -> (u32, Option<i32>) {
    let header = &bytes[usize::try_from(header).unwrap()..];
    let short = |at: usize| usize::from(u16::from_le_bytes(header[at..at + 2].try_into().unwrap()));
    let extra = &header[46 + short(28)..][..short(30)];
    let time =
        extra.starts_with(b"UT\x05\x00\x01").then(|| i32::from_le_bytes(extra[5..9].try_into().unwrap()));
    (u32::from_le_bytes(header[38..42].try_into().unwrap()) >> 16, time)
}

/// Reads an archive: its manifest, and each entry that it lists with what is in it. What the .zip itself says must agree.
fn read_back(bytes: &[u8]) -> (Manifest, Vec<(Entry, Vec<u8>)>) {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let (mut entries, mut at) = (Vec::new(), 0);
    let manifest = manifest_of(bytes, &mut |entry| {
        let mut file = zip.by_index(at).unwrap();
        at += 1;
        let mut name = entry.path.as_path().as_os_str().as_bytes().to_vec();
        if entry.kind == Kind::Directory {
            name.push(b'/');
        }
        let kind = [(Kind::File, 0o100_000), (Kind::Directory, 0o040_000), (Kind::Link, 0o120_000)];
        let kind = kind.into_iter().find(|(kind, _)| *kind == entry.kind).unwrap().1;
        assert_eq!((file.name_raw(), file.size()), (name.as_slice(), entry.size));
        assert_eq!(file.crc32(), entry.crc32);
        let time = i32::try_from(entry.mtime_s).ok();
        assert_eq!(mode_and_time(bytes, file.central_header_start()), (kind | entry.mode, time));
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        entries.push((entry, content));
        Ok(())
    });
    assert_eq!(zip.len(), at + 1);
    (manifest, entries)
}
