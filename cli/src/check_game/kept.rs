//! What is left of a world when its game is gone: its own files, and what its archive holds.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::SystemTime,
};

use anyhow::{Context, Result};
use watchdog::save;

/// What the watchdog keeps beside a world, here and in an archive.
const OURS: &str = ".dormouse";

/// The most files that are listed; a game that is new has few.
const MOST_FILES: usize = 10_000;

/// Whether a save wrote something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// There is nothing.
    Nothing,
    /// What there is was written before the stop.
    Before,
    /// Something was written at the stop.
    AtTheStop,
}

/// Returns what a stop that began at `began` has written at `path` below `files`.
pub(super) fn written(files: &Path, path: &str, began: SystemTime) -> io::Result<Written> {
    Ok(match save::newest(files, &[path.to_owned()])? {
        None => Written::Nothing,
        Some(at) if at < began => Written::Before,
        Some(_) => Written::AtTheStop,
    })
}

/// Returns the files below `dir`, but ours, with their sizes in bytes, by name.
pub(super) fn files(dir: &Path) -> Vec<(String, u64)> {
    let (mut found, mut todo) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            match entry.metadata() {
                Ok(meta) if meta.is_dir() && name != OURS => todo.push(path),
                Ok(meta) if meta.is_file() && found.len() < MOST_FILES => found.push((name, meta.len())),
                Ok(_) | Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Returns the files of the archive at `path`, but ours, with their sizes in bytes.
pub(super) fn archived(path: &Path) -> Result<Vec<(String, u64)>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut zip = zip::ZipArchive::new(file).with_context(|| format!("reading {}", path.display()))?;
    let mut found = Vec::new();
    for at in 0..zip.len().min(MOST_FILES) {
        let entry = zip.by_index(at)?;
        let name = entry.name()?.into_owned();
        if entry.is_file() && !name.starts_with(OURS) {
            found.push((name, entry.size()));
        }
    }
    Ok(found)
}

/// Returns the first names of `files`, for a line.
pub(super) fn names(files: &[(String, u64)]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<_> = files.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    match files.len() {
        0 => "nothing".into(),
        many if many > SHOWN => format!("{} and {} more", shown.join(", "), many - SHOWN),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_by_name_and_ours_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["world/map", "settings", ".dormouse/lock"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let found = files(dir.path());
        assert_eq!(found, [("settings".to_owned(), 8), ("world/map".to_owned(), 9)]);
        assert_eq!(names(&found), "settings, world/map");
        assert_eq!(names(&[]), "nothing");
        let many: Vec<_> = (0..8).map(|n| (format!("f{n}"), 1)).collect();
        assert_eq!(names(&many), "f0, f1, f2, f3, f4, f5 and 2 more");
    }

    #[test]
    fn what_was_written_at_the_stop_is_told_from_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let now = || save::file_clock(&dir.path().join("clock")).unwrap();
        let began = now();
        let is = |began| written(dir.path(), "save", began).unwrap();
        assert_eq!(is(began), Written::Nothing);
        fs::write(dir.path().join("save"), "world").unwrap();
        assert_eq!(is(began), Written::AtTheStop);
        assert_eq!(is(now() + std::time::Duration::from_secs(1)), Written::Before);
    }
}
