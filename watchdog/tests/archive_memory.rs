//! How much memory making an archive takes. It is the only test here: the kernel counts memory for a whole process.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use watchdog::archive::{self, Source, manifest::About};

/// The most memory, in KiB, of a process that makes an archive. The sink of an upload takes as much as this leaves of 64 MiB.
const MOST_KIB: u64 = 40 * 1024;

#[test]
fn an_archive_of_any_size_takes_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    plant(&files).unwrap();
    let about = About {
        game: "luanti".to_owned(),
        world: None,
        name: None,
        generation: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        why: "a test".to_owned(),
    };
    let source = Source { files: &files, exclude: &[], scratch: dir.path(), about: &about };

    let written = archive::write(&source, io::sink(), &mut || Ok(())).unwrap();

    assert_eq!((written.files, written.bytes >> 20), (30_004, 320));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB were resident");
}

/// Makes 320 MiB in large files, of noise and of nothing, and many small ones in one directory.
fn plant(files: &Path) -> io::Result<()> {
    for name in ["noise-1", "noise-2"] {
        let mut file = BufWriter::new(File::create(files.join(name))?);
        let mut number = name.len() as u64;
        for _ in 0..60 << 17 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            file.write_all(&number.to_le_bytes())?;
        }
        file.flush()?;
    }
    for name in ["sparse-1", "sparse-2"] {
        File::create(files.join(name))?.set_len(100 << 20)?;
    }
    fs::create_dir(files.join("many"))?;
    for at in 0..30_000 {
        File::create(files.join(format!("many/a small file with a long name, number {at}")))?;
    }
    Ok(())
}
