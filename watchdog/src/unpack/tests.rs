//! Hostile archives, sound ones, and what is told of each. The invariants stand in [`Lab::unpack`]: they hold for every
//! archive of every test here.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File, FileTimes, Permissions},
    io::Write as _,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use expect_test::{Expect, expect};

use self::forge::{Lie, Spec, gzip, listed, ours, tar, zip, zst};
use super::{Limits, UnpackError, Unpacked, unpack};
use crate::archive::{self, Source, manifest::About};

mod forge;

mod imports;

const LIMITS: Limits = Limits::import(64 << 20);

/// A directory to unpack into, and beside it what must never change.
pub(super) struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// Makes one where many small things cost little, if there is such a place.
    fn in_memory() -> Self {
        Self::at(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn at(dir: tempfile::TempDir) -> Self {
        for name in ["to", "canary"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("canary/bird"), "alive").unwrap();
        Self { dir }
    }

    pub(super) fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    pub(super) fn file(&self, archive: &[u8]) -> File {
        let path = self.dir.path().join("archive");
        fs::write(&path, archive).unwrap();
        File::open(path).unwrap()
    }

    /// Unpacks, and looks that nothing outside changed, that no more than allowed came out, and that what came out is what
    /// was said.
    pub(super) fn unpack(&self, archive: &[u8], limits: &Limits) -> Result<Unpacked, UnpackError> {
        let unpacked = unpack(&self.file(archive), &self.to(), limits, &mut || Ok(()));
        let found = walk(&self.to());
        let files: Vec<_> = found.iter().filter(|path| is_file(path)).collect();
        let bytes: u64 = files.iter().map(|path| fs::symlink_metadata(path).unwrap().len()).sum();
        assert!(found.len() as u64 <= limits.entries && bytes <= limits.bytes, "{} {bytes}", found.len());
        assert_eq!(
            fs::read_dir(self.dir.path()).unwrap().count(),
            3,
            "something was made beside the directory"
        );
        assert_eq!(walk(&self.dir.path().join("canary")).len(), 1);
        assert_eq!(fs::read(self.dir.path().join("canary/bird")).unwrap(), b"alive");
        if let Ok(unpacked) = &unpacked {
            assert_eq!((unpacked.files, unpacked.bytes), (files.len() as u64, bytes));
        }
        unpacked
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_file()
}

/// Returns everything below a directory.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            todo.extend(fs::symlink_metadata(&path).unwrap().is_dir().then(|| path.clone()));
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns what is in a tree, a line for each.
pub(super) fn shown(dir: &Path) -> String {
    let mut text = String::new();
    for path in walk(dir) {
        let found = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(dir).unwrap().as_os_str().as_bytes().escape_ascii();
        let (mode, mtime) = (found.mode() & 0o7777, (found.mtime(), found.mtime_nsec()));
        if found.is_dir() {
            writeln!(text, "{name}/ {mode:o}").unwrap();
        } else if found.is_symlink() {
            writeln!(text, "{name} -> {} {mtime:?}", fs::read_link(&path).unwrap().display()).unwrap();
        } else {
            let content = fs::read(&path).unwrap();
            let head = if content.is_empty() {
                "-".into()
            } else {
                content[..content.len().min(12)].escape_ascii().to_string()
            };
            writeln!(text, "{name} {mode:o} {mtime:?} {}: {head}", content.len()).unwrap();
        }
    }
    text
}

/// Unpacks each archive and tells what came of it.
fn check(archives: impl IntoIterator<Item = Vec<u8>>, limits: &Limits, expected: Expect) {
    let mut text = String::new();
    for archive in archives {
        match Lab::new().unpack(&archive, limits) {
            Ok(unpacked) => writeln!(text, "{} files, {} bytes", unpacked.files, unpacked.bytes).unwrap(),
            Err(error) => writeln!(text, "{error}").unwrap(),
        }
    }
    expected.assert_eq(&text);
}

/// Unpacks an archive that is sound and tells what is in the directory then.
fn check_tree(archive: &[u8], expected: &Expect) {
    let lab = Lab::new();
    let unpacked = lab.unpack(archive, &LIMITS).unwrap();
    expected.assert_eq(&format!("{}left out: {:?}\n", shown(&lab.to()), unpacked.left_out));
}

#[test]
fn sound_archives_of_every_kind_are_unpacked_alike() {
    let specs = [
        Spec::dir("world/"),
        Spec::file("world/world.mt", "gameid = minetest_game"),
        Spec { mode: 0o106_755, ..Spec::file("world/run.sh", "#!/bin/sh") },
        Spec::file("./deep/er/\u{e9}", "x".repeat(100_000)),
        Spec { method: 0, ..Spec::file("empty", "") },
        Spec { mode: 0o100_000, ..Spec::file("\u{fffd}\n", "1") },
    ];
    let expected = expect![[r"
        deep/ 755
        deep/er/ 755
        deep/er/\xc3\xa9 644 (1577880000, 0) 100000: xxxxxxxxxxxx
        empty 644 (1577880000, 0) 0: -
        world/ 755
        world/run.sh 755 (1577880000, 0) 9: #!/bin/sh
        world/world.mt 644 (1577880000, 0) 22: gameid = min
        \xef\xbf\xbd\n 644 (1577880000, 0) 1: 1
        left out: []
    "]];
    for archive in [zip(&specs), tar(&specs), gzip(&tar(&specs)), zst(&tar(&specs))] {
        check_tree(&archive, &expected);
    }
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let names: [&[u8]; 16] = [
        b"../canary/bird",
        b"a/../../canary/bird",
        b"/etc/passwd",
        b"//etc/passwd",
        b"..",
        b"a/..",
        b"a\\..\\b",
        b"C:a",
        b"a\0b",
        b"",
        b"/",
        b".",
        &[b'n'; 256],
        &[b'd', b'/'].repeat(33),
        &[b'd', b'/'].repeat(600),
        b"../to/../canary/bird",
    ];
    check(
        names.map(|name| zip(&[Spec::file(name, "dead"), Spec::file("z", "")])),
        &LIMITS,
        expect![[r#"
            `../canary/bird` leads out of the archive by `..`; pack the world's directory from beside it
            `a/../../canary/bird` leads out of the archive by `..`; pack the world's directory from beside it
            `/etc/passwd` has an absolute name; pack the world's directory by a relative one
            `//etc/passwd` has an absolute name; pack the world's directory by a relative one
            `..` leads out of the archive by `..`; pack the world's directory from beside it
            `a/..` leads out of the archive by `..`; pack the world's directory from beside it
            `a\\..\\b` has a `\` in its name; rename it, or pack it with a program that writes `/`
            `C:a` has an absolute name; pack the world's directory by a relative one
            `a\0b` has a NUL in its name; pack it again
            `` has no name; pack it again
            it is damaged at `/`: a directory has content; pack or upload it again
            `.` has no name; pack it again
            `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…` has too long a name: 255 bytes are allowed; rename it
            it is damaged at `d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/`: a directory has content; pack or upload it again
            it is damaged at `d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/…`: a directory has content; pack or upload it again
            `../to/../canary/bird` leads out of the archive by `..`; pack the world's directory from beside it
        "#]],
    );
    for archive in names.map(|name| tar(&[Spec::file(name, "dead")])) {
        drop(Lab::new().unpack(&archive, &LIMITS));
    }
}

#[test]
fn an_upload_may_hold_files_and_directories_and_nothing_else() {
    let kinds = (b'1'..=b'7').chain(*b"SVMDNAZ\n");
    check(
        kinds.map(|kind| tar(&[Spec { kind, content: vec![], ..Spec::file("x", "") }])),
        &LIMITS,
        expect![[r#"
            `x` is a hard link; leave it out, or pack with --hard-dereference
            `x` is a symbolic link; leave it out, or pack what it points to
            `x` is a device, a pipe or a socket; leave it out
            `x` is a device, a pipe or a socket; leave it out
            0 files, 0 bytes
            `x` is a device, a pipe or a socket; leave it out
            1 files, 0 bytes
            `x` is a sparse file; pack it without --sparse
            `x` is of an unknown type (V); leave it out
            `x` is of an unknown type (M); leave it out
            `x` is of an unknown type (D); leave it out
            `x` is of an unknown type (N); leave it out
            `x` is of an unknown type (A); leave it out
            `x` is of an unknown type (Z); leave it out
            `x` is of an unknown type (\n); leave it out
        "#]],
    );
    let modes = [0o120_777, 0o010_644, 0o020_644, 0o060_644, 0o140_644, 0o170_000];
    check(
        modes.map(|mode| zip(&[Spec { mode, ..Spec::file("x", "/etc/passwd") }])),
        &LIMITS,
        expect![[r#"
            `x` is a symbolic link; leave it out, or pack what it points to
            `x` is a device, a pipe or a socket; leave it out
            `x` is a device, a pipe or a socket; leave it out
            `x` is a device, a pipe or a socket; leave it out
            `x` is a device, a pipe or a socket; leave it out
            `x` is a device, a pipe or a socket; leave it out
        "#]],
    );
}

#[test]
fn two_entries_do_not_share_a_name_on_any_system() {
    let file = |name: &str| Spec::file(name, "x");
    check(
        [
            zip(&[file("a"), file("a")]),
            zip(&[file("a"), file("b/../a")]),
            zip(&[file("a"), file("./a")]),
            zip(&[file("a"), file("A")]),
            zip(&[file("world/a"), file("World/b")]),
            zip(&[file("e\u{301}"), file("\u{e9}")]),
            zip(&[file("stra\u{df}e"), file("STRASSE")]),
            zip(&[file("a"), file("a/b")]),
            zip(&[file("a/b"), file("a")]),
            zip(&[file("a"), Spec::dir("a/")]),
            zip(&[Spec::dir("a/"), file("a")]),
            tar(&[file("a"), file("a")]),
            tar(&[Spec::dir("a"), Spec::dir("a/"), file("a/b")]),
        ],
        &LIMITS,
        expect![[r#"
            `a` is there twice; remove one of them
            `b/../a` leads out of the archive by `..`; pack the world's directory from beside it
            `./a` is there twice; remove one of them
            `A` has the name of another one but for capitals or the form of its letters; rename one of them
            `World/b` has the name of another one but for capitals or the form of its letters; rename one of them
            `é` has the name of another one but for capitals or the form of its letters; rename one of them
            `STRASSE` has the name of another one but for capitals or the form of its letters; rename one of them
            `a/b` lies below something that is no directory; pack it again
            `a` is there twice; remove one of them
            `a/` lies below something that is no directory; pack it again
            `a` is there twice; remove one of them
            `a` is there twice; remove one of them
            1 files, 1 bytes
        "#]],
    );
}

#[test]
fn what_is_not_whole_or_says_two_things_is_told_with_its_entry() {
    let file = || Spec { method: 0, ..Spec::file("world/map", "0123456789") };
    let packed = || Spec::file("world/map", "0123456789".repeat(9));
    let lies =
        [Lie::Checksum, Lie::Size(9), Lie::Size(99_999), Lie::Packed(5), Lie::Packed(99_999), Lie::LocalName];
    let more =
        [Lie::Offset(3), Lie::Offset(u32::MAX), Lie::Flags(1), Lie::Flags(1 << 6), Lie::Flags(1 << 13)];
    let all = || lies.into_iter().chain(more);
    check(
        all().map(|lie| zip(&[file().lying(lie)])),
        &LIMITS,
        expect![[r#"
        it is damaged at `world/map`: its checksum is wrong; pack or upload it again
        it is damaged at `world/map`: its two sizes differ, and it is not compressed; pack or upload it again
        it is damaged at `world/map`: its two sizes differ, and it is not compressed; pack or upload it again
        it is damaged at `world/map`: its two sizes differ, and it is not compressed; pack or upload it again
        it is damaged at `world/map`: its two sizes differ, and it is not compressed; pack or upload it again
        it is damaged at `world/map`: its header says something else than the directory; pack or upload it again
        it is damaged at `world/map`: its header is not where the directory says; pack or upload it again
        it is damaged: it ends too soon; pack or upload it again
        `world/map` is encrypted; pack it without a password
        `world/map` is encrypted; pack it without a password
        `world/map` is encrypted; pack it without a password
    "#]],
    );
    check(
        all().map(|lie| zip(&[packed().lying(lie), file()])),
        &LIMITS,
        expect![[r#"
        it is damaged at `world/map`: its checksum is wrong; pack or upload it again
        it is damaged at `world/map`: its sizes are not what the directory says; pack or upload it again
        it is damaged at `world/map`: its sizes are not what the directory says; pack or upload it again
        it is damaged at `world/map`: it ends too soon; pack or upload it again
        it is damaged at `world/map`: it is longer than the archive; pack or upload it again
        it is damaged at `world/map`: its header says something else than the directory; pack or upload it again
        it is damaged at `world/map`: its header is not where the directory says; pack or upload it again
        it is damaged: it ends too soon; pack or upload it again
        `world/map` is encrypted; pack it without a password
        `world/map` is encrypted; pack it without a password
        `world/map` is encrypted; pack it without a password
    "#]],
    );
    check(
        [1, 9, 12, 14, 93, 95, 98, 99, 77].map(|method| zip(&[Spec { method, ..file() }])),
        &LIMITS,
        expect![[r#"
            `world/map` is compressed by a method of the 1980s (1); use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by Deflate64; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by BZIP2; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by LZMA; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by Zstandard; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by XZ; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is compressed by PPMd; use Deflate, which is what .zip programs do unless told otherwise
            `world/map` is encrypted; pack it without a password
            `world/map` is compressed by an unknown method (77); use Deflate, which is what .zip programs do unless told otherwise
        "#]],
    );
    let mut dir = Spec::dir("d/");
    dir.content = b"x".to_vec();
    let flipped = |mut bytes: Vec<u8>, from_end: usize| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        bytes
    };
    let sound = tar(&[file()]);
    let two = [sound.clone(), sound.clone()].concat();
    check(
        [
            zip(&[dir.clone()]),
            tar(&[dir]),
            flipped(gzip(&sound), 5),
            flipped(zst(&sound), 1),
            tar(&[file().lying(Lie::Size(999_999))]),
            two,
            [sound.clone(), vec![0; 70_000]].concat(),
            sound[..512].to_vec(),
            flipped(sound, 2000),
            b"Rar!".to_vec(),
            vec![],
            vec![0; 5000],
            zip(&[]),
        ],
        &LIMITS,
        expect![[r#"
            it is damaged at `d/`: a directory has content; pack or upload it again
            it is damaged at `d/`: a directory has content; pack or upload it again
            it is damaged: corrupt gzip stream does not have a matching checksum; pack or upload it again
            it is damaged: Restored data doesn't match checksum; pack or upload it again
            it is damaged at `world/map`: it ends too soon; pack or upload it again
            it is damaged: something stands behind its end; pack or upload it again
            1 files, 10 bytes
            it is damaged at `world/map`: it ends too soon; pack or upload it again
            it is neither a .zip nor a .tar, .tar.gz or .tar.zst: pack the world's directory as one of these
            it is neither a .zip nor a .tar, .tar.gz or .tar.zst: pack the world's directory as one of these
            it is neither a .zip nor a .tar, .tar.gz or .tar.zst: pack the world's directory as one of these
            it is neither a .zip nor a .tar, .tar.gz or .tar.zst: pack the world's directory as one of these
            0 files, 0 bytes
        "#]],
    );
}

#[test]
fn an_archive_that_was_cut_off_anywhere_is_an_error() {
    let specs = [Spec::file("world/world.mt", "gameid"), Spec::dir("d/"), Spec::file("b", "b".repeat(3000))];
    let lines: Vec<_> = specs.iter().map(listed).collect();
    for archive in [zip(&specs), ours(&specs, &lines), tar(&specs), gzip(&tar(&specs)), zst(&tar(&specs))] {
        let lab = Lab::new();
        for len in (0..archive.len()).step_by(7) {
            let result = lab.unpack(&archive[..len], &LIMITS);
            // A .tar may lose a part of the zeros at its end.
            let only_zeros_lost = archive[len..].iter().all(|byte| *byte == 0);
            assert!(result.is_err() || only_zeros_lost, "{len} of {} bytes", archive.len());
            fs::remove_dir_all(lab.to()).unwrap();
            fs::create_dir(lab.to()).unwrap();
        }
    }
}

#[test]
fn bombs_are_defused() {
    let zeros = |name: usize| Spec::file(format!("zeros{name}"), vec![0; 10 << 20]);
    let limits = Limits { bytes: 1 << 40, ..LIMITS };
    let many: Vec<_> = (0..20).map(zeros).collect();
    let small = Limits { entries: 3, bytes: 4096, ..LIMITS };
    let files = |n: usize| (0..n).map(|n| Spec::file(format!("{n}"), "")).collect::<Vec<_>>();
    check(
        [zip(&many), tar(&many[..8]), gzip(&tar(&many[..8])), zst(&tar(&many[..8]))],
        &limits,
        expect![[r#"
            it holds too much at `zeros10`: more than 200 times its own size, as archives that are made to do harm do; leave out what the world does not need
            8 files, 83886080 bytes
            it holds too much at `zeros7`: more than 200 times its own size, as archives that are made to do harm do; leave out what the world does not need
            it holds too much at `zeros6`: more than 200 times its own size, as archives that are made to do harm do; leave out what the world does not need
        "#]],
    );
    check(
        [
            zip(&files(4)),
            tar(&files(4)),
            zip(&[Spec::file("a/b/c/d", "")]),
            zip(&[Spec::file("a", [0; 5000])]),
            tar(&[Spec::file("a", [0; 5000])]),
            zip(&[Spec::file("a", [0; 5000]).lying(Lie::Size(1))]),
        ],
        &small,
        expect![[r#"
            it holds too much at `3`: more than 3 files and directories; leave out what the world does not need
            it holds too much at `3`: more than 3 files and directories; leave out what the world does not need
            it holds too much at `a/b/c/d`: more than 3 files and directories; leave out what the world does not need
            it holds too much at `a`: more than 4096 bytes; leave out what the world does not need
            it holds too much at `a`: more than 4096 bytes; leave out what the world does not need
            it is damaged at `a`: its sizes are not what the directory says; pack or upload it again
        "#]],
    );
}

#[test]
fn entries_that_overlap_are_refused() {
    let kernel = Spec::file("a", "the same bytes again and again");
    let other = Spec::file("b", "the same bytes again and again").lying(Lie::Offset(0));
    // The first says that it is so long that the second is in it, as quoted blocks do.
    let quoting = [Spec::file("a", [0; 64]).lying(Lie::Packed(60)), Spec::file("b", [0; 64])];
    check(
        [zip(&[kernel, other]), zip(&quoting)],
        &LIMITS,
        expect![[r#"
            it is damaged at `b`: its entries overlap or are out of order; pack or upload it again
            it is damaged at `a`: it is longer than the archive; pack or upload it again
        "#]],
    );
}

#[test]
fn a_hundred_thousand_entries_are_no_matter() {
    let specs: Vec<_> =
        (0..100_000).map(|n| Spec { method: 0, ..Spec::file(format!("{}/{n}", n % 100), "") }).collect();
    let lab = Lab::in_memory();
    assert_eq!(lab.unpack(&zip(&specs), &LIMITS).unwrap().files, 100_000);
    assert!(Lab::new().unpack(&zip(&specs), &Limits { entries: 99_999, ..LIMITS }).is_err());
}

#[test]
fn an_archive_of_ours_comes_back_exactly() {
    let specs = [
        Spec { mode: 0o040_500, ..Spec::dir("closed/") },
        Spec { mode: 0o100_400, ..Spec::file("closed/A", "1") },
        Spec::file("closed/a", "2"),
        Spec::file(b"closed/\xff\\", "3"),
        Spec { mode: 0o042_770, ..Spec::dir("world/") },
        Spec { mode: 0o104_755, ..Spec::file("world/setuid", "4") },
        Spec::link("world/up", "../closed/a"),
        Spec::link("world/none", "does/not/exist"),
        Spec::link("world/out", "../../canary/bird"),
        Spec::link("world/root", "/etc/passwd"),
        Spec::link("world/twisted", "up/../../canary"),
    ];
    let lines: Vec<_> = specs.iter().map(listed).collect();
    check_tree(
        &ours(&specs, &lines),
        &expect![[r#"
        closed/ 500
        closed/A 400 (1000, 5) 1: 1
        closed/a 644 (1000, 5) 1: 2
        closed/\xff\\ 644 (1000, 5) 1: 3
        world/ 2770
        world/none -> does/not/exist (1000, 5)
        world/setuid 755 (1000, 5) 1: 4
        world/up -> ../closed/a (1000, 5)
        left out: [Shown("`world/out`"), Shown("`world/root`"), Shown("`world/twisted`")]
    "#]],
    );
}

#[test]
fn an_archive_of_ours_is_what_its_manifest_says_or_refused() {
    let specs = [
        Spec::dir("world/"),
        Spec::file("world/a", "one"),
        Spec::file("world/b", "two"),
        Spec::link("c", "world/a"),
    ];
    let lines = specs.clone().map(|spec| listed(&spec));
    let with = |at: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[at].contains(from));
        lines[at] = lines[at].replace(from, to);
        ours(&specs, &lines)
    };
    check(
        [
            ours(&specs, &lines),
            ours(&specs, &lines[..3]),
            ours(&specs[..3], &lines),
            ours(&specs, &[&lines[..2], &lines[3..]].concat()),
            with(1, "world/a", "world/b"),
            with(1, "world/a", "world/../a"),
            with(1, "world/a", "world//a"),
            with(1, "\"size\":3", "\"size\":4"),
            with(1, "\"crc32\":", "\"crc32\":1"),
            with(1, "\"mtime_ns\":5", "\"mtime_ns\":1073741823"),
            with(1, "\"file\"", "\"link\""),
            with(1, "\"file\"", "\"directory\""),
            with(1, "\"file\"", "\"socket\""),
            with(2, "world/b", "\\u0000"),
            ours(
                &[Spec::link("a", "world"), Spec::file("a/b", "x")],
                &[listed(&Spec::link("a", "world")), listed(&Spec::file("a/b", "x"))],
            ),
            zip(&[Spec::file(".dormouse/manifest.json", "{}")]),
            zip(&[Spec::file(".dormouse/manifest.json", "{\"v\":2}")]),
        ],
        &LIMITS,
        expect![[r#"
            2 files, 6 bytes
            it is not what its manifest says at `c`: it is there and not listed; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says: reading the manifest: more than 3 files at line 1 column 487; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says at `c`: another entry stands in its place; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says at `world/b`: another entry stands in its place; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            `world/../a` leads out of the archive by `..`; pack the world's directory from beside it
            it is not what its manifest says at `world//a`: its name is no plain path; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says at `world/a`: its size or its checksum is another one; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says: reading the manifest: invalid value: integer `12053932785`, expected u32 at line 1 column 294; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says at `world/a`: its time is none; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            1 files, 3 bytes
            it is damaged at `world/a`: a directory has content; pack or upload it again
            it is not what its manifest says: reading the manifest: unknown variant `socket`, expected one of `file`, `directory`, `link` at line 1 column 227; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            `\0` has a NUL in its name; pack it again
            `a/b` lies below something that is no directory; pack it again
            it is not what its manifest says: reading the manifest: missing field `about` at line 1 column 2; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
            it is not what its manifest says: reading the manifest: its version is 2, not 1 at line 1 column 7; use an archive that nobody changed, or remove `.dormouse` from it to import it as any other
        "#]],
    );
}

#[test]
fn a_manifest_that_is_not_the_last_entry_is_a_file_like_any_other() {
    let specs = [Spec::file(".dormouse/manifest.json", "{}"), Spec::file("a", "")];
    assert_eq!(Lab::new().unpack(&zip(&specs), &LIMITS).unwrap().manifest, None);
}

#[test]
fn it_stops_when_told_to() {
    for (archive, calls) in
        [(zip(&[Spec::file("a", [1; 200_000])]), 4), (gzip(&tar(&[Spec::file("a", [1; 200_000])])), 5)]
    {
        let (lab, mut left) = (Lab::new(), calls);
        let mut check = || {
            left -= 1;
            if left == 0 { anyhow::bail!("out of time") } else { Ok(()) }
        };
        let error = unpack(&lab.file(&archive), &lab.to(), &LIMITS, &mut check).unwrap_err();
        assert_eq!(error.to_string(), "out of time");
    }
}

#[test]
fn only_an_empty_directory_is_filled_and_never_through_a_link() {
    let lab = Lab::new();
    let archive = lab.file(&zip(&[Spec::file("bird", "dead")]));
    let link = lab.dir.path().join("link");
    symlink(lab.dir.path().join("canary"), &link).unwrap();
    for to in [link, lab.dir.path().join("canary"), lab.dir.path().join("none")] {
        let error = unpack(&archive, &to, &LIMITS, &mut || Ok(())).unwrap_err();
        assert!(matches!(error, UnpackError::Target(_)), "{error}");
    }
    assert_eq!(fs::read(lab.dir.path().join("canary/bird")).unwrap(), b"alive");
}

/// Uses links that stand there already, as another program's race would.
#[test]
fn a_link_that_somebody_puts_into_the_directory_is_not_followed() {
    let lab = Lab::new();
    let archive = lab.file(&zip(&[Spec::file("first", "x"), Spec::file("d/bird", "dead")]));
    let (to, canary) = (lab.to(), lab.dir.path().join("canary"));
    let mut check = || {
        drop(symlink(&canary, to.join("d")));
        Ok(())
    };
    let error = unpack(&archive, &lab.to(), &LIMITS, &mut check).unwrap_err().to_string();
    expect!["`d/bird` lies below something that is no directory; pack it again"].assert_eq(&error);
    assert_eq!(fs::read(lab.dir.path().join("canary/bird")).unwrap(), b"alive");
}

#[test]
fn a_window_that_is_too_large_for_memory_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&tar(&[Spec::file("a", vec![7; 1 << 20])])).unwrap();
    check(
        [encoder.finish().unwrap()],
        &LIMITS,
        expect![[r#"
            it is damaged: it needs more than 8 MiB of memory, as --long and --ultra make it: leave them out; pack or upload it again
        "#]],
    );
}

#[test]
fn whatever_is_forged_nothing_outside_changes() {
    for seed in 0..1000_u64 {
        let archive = forge::forge(&random(seed, 300));
        // What does not hold for it fails there, and names the seed here.
        let held = std::panic::catch_unwind(|| {
            let limits = Limits { entries: 30, bytes: 1 << 20, depth: 8, ..LIMITS };
            drop(Lab::in_memory().unpack(&archive, &limits));
        });
        assert!(held.is_ok(), "seed {seed}");
    }
}

/// Returns bytes that are always the same for a seed (splitmix64).
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 29) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn what_was_archived_comes_back_exactly() {
    let lab = Lab::new();
    let files = lab.dir.path().join("canary");
    fs::create_dir_all(files.join("world/players/\u{e9}")).unwrap();
    fs::create_dir(files.join("closed")).unwrap();
    fs::write(files.join("closed/a"), "a").unwrap();
    fs::write(files.join("closed/A"), "A").unwrap();
    fs::write(files.join(OsStr::from_bytes(b"world/\xff\n\\")), "no UTF-8").unwrap();
    fs::write(files.join("world/map.sqlite"), random(1, 3_000_000)).unwrap();
    fs::write(files.join("world/zeros"), vec![0; 3_000_000]).unwrap();
    fs::write(files.join("world/icon.png"), random(2, 3000)).unwrap();
    fs::write(files.join("world/players/ann"), "gold").unwrap();
    symlink("../closed/a", files.join("world/link")).unwrap();
    for (name, mode) in
        [("world/players/ann", 0o600), ("world/zeros", 0o444), ("closed", 0o500), ("world", 0o2775)]
    {
        fs::set_permissions(files.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for (name, seconds) in [("world/zeros", -5), ("world/map.sqlite", 5_000_000_000), ("closed", 7)] {
        let times = FileTimes::new().set_modified(time(seconds));
        File::open(files.join(name)).unwrap().set_times(times).unwrap();
    }
    let about = About {
        game: "luanti".to_owned(),
        world: None,
        name: None,
        generation: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        why: "a test".to_owned(),
    };
    let source = Source { files: &files, exclude: &[], scratch: lab.dir.path(), about: &about };
    let mut zip = tempfile::tempfile().unwrap();
    let written = archive::write(&source, &mut zip, &mut || Ok(())).unwrap();

    let unpacked = unpack(&zip, &lab.to(), &Limits::restore(1 << 30), &mut || Ok(())).unwrap();

    assert_eq!((unpacked.files, unpacked.bytes), (written.files, written.bytes));
    assert_eq!(unpacked.manifest.unwrap().about, about);
    assert_eq!(exactly(&lab.to()), exactly(&files));
}

/// Returns a time so many seconds after 1970, and some nanoseconds.
fn time(seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span };
    second + Duration::from_nanos(123_456_789)
}

/// Returns everything that is to be known of a tree.
fn exactly(dir: &Path) -> Vec<(PathBuf, u32, i64, i64, Vec<u8>)> {
    let all = walk(dir).into_iter().map(|path| {
        let found = fs::symlink_metadata(&path).unwrap();
        let content = match () {
            () if found.is_dir() => Vec::new(),
            () if found.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            () => fs::read(&path).unwrap(),
        };
        (path.strip_prefix(dir).unwrap().to_owned(), found.mode(), found.mtime(), found.mtime_nsec(), content)
    });
    all.collect()
}
