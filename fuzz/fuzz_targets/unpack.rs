//! Unpacks whatever comes. Nothing outside the directory may change, nothing may panic, and no more may come out than is
//! allowed.
//!
//! Half of the inputs are archives as they are; from the others an archive is forged whose checksums are right, which
//! mutation alone would hardly ever find. Half of either are imported into a world of Luanti besides.
//!
//! For ten minutes, by the toolchain that builds all else (`.cargo/config.toml` has the compiler's flags):
//!
//! ```text
//! cd fuzz && mkdir -p corpus && cargo run --release -- -max_total_time=600 -max_len=4096 corpus
//! ```

#![no_main]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use domain::{
    game::{Game, Save},
    world::GameId,
};
use games::Catalogue;
use watchdog::unpack::{Limits, Unpacked, import, unpack};

#[path = "../../watchdog/src/unpack/tests/forge.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod forge;

/// Small, so that each limit is met now and then.
const LIMITS: Limits = Limits { entries: 40, bytes: 1 << 20, ratio: 200, depth: 8, path: 300 };

static GAME: LazyLock<Game> = LazyLock::new(|| {
    let id = GameId::parse("luanti").unwrap();
    let game = Catalogue::embedded().unwrap().get(&id).unwrap().game.clone();
    Game { save: Save { exclude: vec![], ..game.save.clone() }, ..game }
});

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let archive = if first % 2 == 0 { rest.to_vec() } else { forge::forge(rest) };
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (to, canary) = (dir.path().join("to"), dir.path().join("canary"));
    fs::create_dir(&to).unwrap();
    fs::write(&canary, "alive").unwrap();
    let mut file = File::options().read(true).write(true).create_new(true).open(dir.path().join("archive")).unwrap();
    file.write_all(&archive).unwrap();

    let unpacked = if first & 2 == 0 {
        unpack(&file, &to, &LIMITS, &mut || Ok(())).map_err(|error| error.to_string())
    } else {
        let imported = import::import(&file, &to, &GAME, &LIMITS, &mut || Ok(()));
        imported.map_err(|error| error.to_string()).map(|(unpacked, found)| {
            assert!(unpacked.files >= found.files);
            Unpacked { files: found.files, bytes: found.bytes, ..unpacked }
        })
    };

    assert_eq!(fs::read(&canary).unwrap(), b"alive");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "something was made beside the directory");
    let (files, bytes) = walk(&to);
    assert!(bytes <= LIMITS.bytes && files <= LIMITS.entries, "{files} files, {bytes} bytes");
    match unpacked {
        Ok(unpacked) => assert_eq!((unpacked.files, unpacked.bytes), (files, bytes)),
        Err(error) => assert!(error.len() < 3000, "{error}"),
    }
});

/// Counts files and their bytes, without following links.
fn walk(dir: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            let (more_files, more_bytes) = walk(&path);
            (files, bytes) = (files + more_files, bytes + more_bytes);
        } else if found.is_file() {
            (files, bytes) = (files + 1, bytes + found.len());
        }
    }
    (files, bytes)
}
