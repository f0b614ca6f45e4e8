//! How much memory unpacking takes. It is the only test here: the kernel counts memory for a whole process.

use std::{
    env,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::Command,
};

use watchdog::{
    archive::{self, Source, manifest::About},
    unpack::{Limits, unpack},
};

/// The most memory, in KiB, that unpacking may take beside what the program has already.
const MOST_KIB: u64 = 25 * 1024;

#[test]
fn whatever_is_unpacked_takes_little_memory() {
    if let Some(dir) = env::var_os(PACK_INTO) {
        return pack(Path::new(&dir)).unwrap();
    }
    // Many small things cost little in memory, which is not that of this process.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    // Packing takes more memory than unpacking, so another process does it.
    let packed = Command::new(env::current_exe().unwrap()).env(PACK_INTO, dir.path()).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    let before = kib("VmRSS:").unwrap();
    for (name, limits) in [
        ("ours.zip", Limits::restore(1 << 30)),
        ("upload.zip", Limits::import(1 << 30)),
        ("upload.tar.zst", Limits::import(1 << 30)),
    ] {
        let to = dir.path().join("to");
        fs::create_dir(&to).unwrap();
        let unpacked =
            unpack(&File::open(dir.path().join(name)).unwrap(), &to, &limits, &mut || Ok(())).unwrap();
        let taken = kib("VmHWM:").unwrap().saturating_sub(before);
        println!("{name}: {taken} KiB for {} files of {} bytes", unpacked.files, unpacked.bytes);
        assert!(taken < MOST_KIB, "{name}: {taken} KiB");
        fs::remove_dir_all(to).unwrap();
    }
}

/// Names the directory to pack into, for the process that does so.
const PACK_INTO: &str = "UNPACK_MEMORY_PACK_INTO";

fn pack(dir: &Path) -> io::Result<()> {
    pack_ours(dir)?;
    pack_upload(dir)?;
    pack_stream(dir)
}

fn kib(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// Makes an archive of ours of many files and a large one.
fn pack_ours(dir: &Path) -> io::Result<()> {
    let files = dir.join("files");
    fs::create_dir_all(files.join("many"))?;
    for at in 0..10_000 {
        File::create(files.join(format!("many/a small file with a long name, number {at}")))?;
    }
    File::create(files.join("large"))?.set_len(20 << 20)?;
    let about = About {
        game: "luanti".to_owned(),
        world: None,
        name: None,
        generation: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        why: "a test".to_owned(),
    };
    let source = Source { files: &files, exclude: &[], scratch: dir, about: &about };
    archive::write(&source, File::create(dir.join("ours.zip"))?, &mut || Ok(())).map_err(io::Error::other)?;
    fs::remove_dir_all(files)
}

/// Makes a .zip of very many entries, all of them empty directories.
fn pack_upload(dir: &Path) -> io::Result<()> {
    const COUNT: u32 = 100_000;
    let mut zip = BufWriter::new(File::create(dir.join("upload.zip"))?);
    let name = |at: u32| format!("directory number {at:06}/").into_bytes();
    let len = name(0).len() as u32;
    for at in 0..COUNT {
        zip.write_all(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0")?;
        zip.write_all(&[0; 12])?;
        zip.write_all(&len.to_le_bytes())?;
        zip.write_all(&name(at))?;
    }
    for at in 0..COUNT {
        zip.write_all(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0")?;
        zip.write_all(&[0; 12])?;
        zip.write_all(&len.to_le_bytes())?;
        zip.write_all(&[0; 10])?;
        zip.write_all(&(at * (30 + len)).to_le_bytes())?;
        zip.write_all(&name(at))?;
    }
    let (at, size) = (u64::from(COUNT * (30 + len)), u64::from(COUNT * (46 + len)));
    zip.write_all(b"PK\x06\x06")?;
    zip.write_all(&44_u64.to_le_bytes())?;
    zip.write_all(&[0; 12])?;
    for number in [COUNT.into(), COUNT.into(), size, at] {
        zip.write_all(&number.to_le_bytes())?;
    }
    zip.write_all(b"PK\x06\x07\0\0\0\0")?;
    zip.write_all(&(at + size).to_le_bytes())?;
    zip.write_all(b"\x01\0\0\0PK\x05\x06\0\0\0\0")?;
    zip.write_all(&[0xff; 12])?;
    zip.write_all(&[0; 2])?;
    zip.flush()
}

/// Makes a .tar.zst that needs as large a window as is allowed, with a file larger than that.
fn pack_stream(dir: &Path) -> io::Result<()> {
    let mut stream = zstd::Encoder::new(File::create(dir.join("upload.tar.zst"))?, 1)?;
    stream.window_log(23)?;
    let len = 10 << 20;
    let mut header = [0; 512];
    header[..5].copy_from_slice(b"noise");
    header[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    stream.write_all(&header)?;
    let mut number = 1_u64;
    for _ in 0..len / 8 {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        stream.write_all(&number.to_le_bytes())?;
    }
    stream.write_all(&[0; 1024])?;
    stream.finish().map(drop)
}
