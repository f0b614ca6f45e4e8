//! Archives: one copy of a world's files as a plain .zip that opens with a double click.
//!
//! Only the world's own files go in: links are kept as links and never followed, and what is neither file, directory
//! nor link is left out. The game must be gone: nothing may change underneath.

use std::{
    fs::{self, File, Metadata},
    io::{self, BufReader, BufWriter, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use domain::world::Sha256;
use sha2::{Digest, Sha256 as Hasher};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// Files from this size on need zip64's larger fields.
const ZIP64_FROM: u64 = u32::MAX as u64;

/// Endings of what is compressed already; compressing it again costs time and saves nothing.
const COMPRESSED: [&str; 14] =
    ["7z", "bz2", "gz", "jar", "jpeg", "jpg", "lz4", "mp3", "ogg", "png", "webp", "xz", "zip", "zst"];

/// An archive that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// How many files it holds.
    pub files: u64,
}

/// A reader that asks before each read whether to go on.
pub struct Checked<'c, R> {
    /// What is read.
    pub inner: R,
    /// An error if there is no more time.
    pub check: &'c mut dyn FnMut() -> Result<()>,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.check)().map_err(|error| io::Error::other(format!("{error:#}")))?;
        self.inner.read(buffer)
    }
}

/// Writes everything below `files`, but what `exclude` names, to a new .zip at `to`. `check` is asked again and again
/// whether to go on.
pub fn write(
    files: &Path,
    exclude: &[String],
    to: &Path,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Written> {
    let target = File::create(to).with_context(|| format!("making {}", to.display()))?;
    let mut zip = ZipWriter::new(BufWriter::new(target));
    let mut count = 0;
    let mut todo = vec![files.to_owned()];
    while let Some(dir) = todo.pop() {
        for path in sorted(&dir)? {
            check()?;
            let name = path.strip_prefix(files).context("leaving the world's files")?;
            if exclude.iter().any(|e| name == Path::new(e)) {
                continue;
            }
            let found =
                fs::symlink_metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
            count += u64::from(found.is_file());
            add(&mut zip, &path, name, &found, check)
                .with_context(|| format!("archiving {}", name.display()))?;
            if found.is_dir() {
                todo.push(path);
            }
        }
    }
    let target = zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    target.sync_all()?;
    let (size, sha256) = digest(to)?;
    Ok(Written { size, sha256, files: count })
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn add(
    zip: &mut ZipWriter<BufWriter<File>>,
    path: &Path,
    name: &Path,
    found: &Metadata,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let Some(text) = name.to_str() else { bail!("its name is not UTF-8") };
    let options = SimpleFileOptions::default()
        .compression_method(method(name))
        .compression_level(None)
        .unix_permissions(found.permissions().mode() & 0o7777)
        .last_modified_time(modified(found))
        .large_file(found.len() >= ZIP64_FROM);
    if found.is_dir() {
        zip.add_directory(text, options)?;
    } else if found.is_symlink() {
        zip.add_symlink(text, fs::read_link(path)?.to_string_lossy(), options)?;
    } else if found.is_file() {
        zip.start_file(text, options)?;
        io::copy(&mut Checked { inner: BufReader::new(open_no_link(path)?), check }, zip)?;
    }
    Ok(())
}

/// Opens a file that is not a link, even if it became one since it was looked at.
fn open_no_link(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn method(name: &Path) -> CompressionMethod {
    let ending = name.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let is_compressed = ending.is_some_and(|e| COMPRESSED.contains(&e.as_str()));
    if is_compressed { CompressionMethod::Stored } else { CompressionMethod::Deflated }
}

/// Returns the time of writing in UTC as .zip keeps it: in steps of two seconds, from 1980 to 2107.
fn modified(found: &Metadata) -> DateTime {
    let convert = || {
        let at = jiff::Timestamp::from_second(found.mtime()).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        let part = |n: i8| u8::try_from(n).ok();
        let year = u16::try_from(at.year()).ok()?;
        let (month, day) = (part(at.month())?, part(at.day())?);
        DateTime::from_date_and_time(
            year,
            month,
            day,
            part(at.hour())?,
            part(at.minute())?,
            part(at.second())?,
        )
        .ok()
    };
    convert().unwrap_or_default()
}

fn digest(path: &Path) -> Result<(u64, Sha256)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((size, Sha256(hasher.finalize().into())));
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write as _;

    #[test]
    fn an_archive_holds_the_worlds_files_and_nothing_behind_links() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        fs::create_dir_all(files.join("world/players")).unwrap();
        fs::create_dir_all(files.join("cache")).unwrap();
        fs::write(files.join("world/map.sqlite"), "map".repeat(1000)).unwrap();
        fs::write(files.join("world/players/ann"), "gold").unwrap();
        fs::write(files.join("world/icon.png"), "png").unwrap();
        fs::write(files.join("cache/x"), "x").unwrap();
        fs::set_permissions(files.join("world/players/ann"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", files.join("world/link")).unwrap();

        let to = dir.path().join("a.zip");
        let written = write(&files, &["cache".into()], &to, &mut || Ok(())).unwrap();

        assert_eq!(written.files, 3);
        assert_eq!(written.size, fs::metadata(&to).unwrap().len());
        expect![[r"
            world/ 755 Stored: 0
            world/icon.png 644 Stored: 3
            world/link 777 Stored: 11
            world/map.sqlite 644 Deflated: 3000
            world/players/ 755 Stored: 0
            world/players/ann 600 Deflated: 4
        "]]
        .assert_eq(&listing(&to));
    }

    #[test]
    fn it_stops_when_told_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        fs::write(dir.path().join("files/a"), "a").unwrap();
        let to = dir.path().join("a.zip");
        let error = write(&dir.path().join("files"), &[], &to, &mut || bail!("out of time")).unwrap_err();
        assert_eq!(error.to_string(), "out of time");
    }

    fn listing(path: &Path) -> String {
        let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
        let mut text = String::new();
        for i in 0..zip.len() {
            let file = zip.by_index(i).unwrap();
            let mode = file.unix_mode().unwrap() & 0o777;
            writeln!(text, "{} {mode:o} {:?}: {}", file.name().unwrap(), file.compression(), file.size())
                .unwrap();
        }
        text
    }
}
