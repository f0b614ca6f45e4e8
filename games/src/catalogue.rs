//! All games: those that are built in, and those of a directory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use domain::{game::Game, world::GameId};
use thiserror::Error;

use crate::{
    entry::{Entry, parse, unreadable},
    image,
    problem::BadEntry,
};

/// How many files of a directory are read.
const MOST_FILES: usize = 500;

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

/// Why games could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// An entry is wrong.
    #[error(transparent)]
    BadEntry(#[from] BadEntry),
    /// A file or directory cannot be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There are more files than are read.
    #[error("{0} holds more than {MOST_FILES} entries: remove some")]
    TooMany(PathBuf),
}

/// Games by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue(BTreeMap<GameId, Entry>);

impl Catalogue {
    /// Returns the games that are built into this program.
    pub fn embedded() -> Result<Self, LoadError> {
        const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
        let mut catalogue = Self::default();
        for (file, text) in FILES {
            let mut entry = parse(Path::new(file), text)?;
            entry.dockerfile = image::embedded(entry.game.id.as_str());
            catalogue.insert(entry);
        }
        Ok(catalogue)
    }

    /// Adds the entries `*.toml` of `dir`, but hidden files; one with an id that is there already takes its place, but keeps
    /// the Dockerfile where it has none of its own.
    pub fn with_directory(mut self, dir: &Path) -> Result<Self, LoadError> {
        let failed = |error| LoadError::Io { path: dir.to_owned(), error };
        let mut files = Vec::new();
        for file in fs::read_dir(dir).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if is_entry(&path) {
                files.push(path);
            }
            if files.len() > MOST_FILES {
                return Err(LoadError::TooMany(dir.to_owned()));
            }
        }
        files.sort();
        for file in files {
            let mut entry = Self::read_file(&file)?;
            if entry.dockerfile.is_none() {
                entry.dockerfile = self.get(&entry.game.id).and_then(|replaced| replaced.dockerfile.clone());
            }
            self.insert(entry);
        }
        Ok(self)
    }

    /// Reads one entry, and the Dockerfile beside it.
    pub fn read_file(path: &Path) -> Result<Entry, LoadError> {
        let entry = parse(path, &read_text(path)?)?;
        let dockerfile = image::beside(path, entry.game.id.as_str())?;
        Ok(Entry { dockerfile, ..entry })
    }

    /// Returns the entry of a game.
    pub fn get(&self, id: &GameId) -> Option<&Entry> {
        self.0.get(id)
    }

    /// Returns every entry, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&GameId, &Entry)> {
        self.0.iter()
    }

    /// Returns every game, by id.
    pub fn games(&self) -> BTreeMap<GameId, Game> {
        self.0.iter().map(|(id, entry)| (id.clone(), entry.game.clone())).collect()
    }

    fn insert(&mut self, entry: Entry) {
        self.0.insert(entry.game.id.clone(), entry);
    }
}

/// Returns the text of a file that people write.
pub(crate) fn read_text(path: &Path) -> Result<String, LoadError> {
    let failed = |error| LoadError::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(LARGEST_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let what = format!("the file is too large: use at most {LARGEST_FILE} bytes");
        return Err(unreadable(path, what).into());
    }
    String::from_utf8(bytes).map_err(|_| unreadable(path, "the file is no text: use UTF-8".into()).into())
}

/// Tells whether `path` is named like an entry. Hidden files are what editors and file systems leave behind.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".toml") && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_game_that_is_built_in_is_sound() {
        let catalogue = Catalogue::embedded().unwrap();
        let ids: Vec<_> = catalogue.iter().map(|(id, _)| id.as_str()).collect();
        for id in ["luanti", "openttd", "valheim"] {
            assert!(ids.contains(&id), "{id} is not among {ids:?}");
        }
    }

    #[test]
    fn a_directory_adds_games_and_replaces_those_of_the_same_id() {
        let dir = tempfile::tempdir().unwrap();
        let embedded = Catalogue::embedded().unwrap();
        let luanti = &embedded.get(&GameId::parse("luanti").unwrap()).unwrap().source;
        fs::write(dir.path().join("mine.toml"), luanti).unwrap();
        fs::write(dir.path().join("luanti.toml"), luanti.replace("\"Luanti\"", "\"Ours\"")).unwrap();
        for other in ["notes.txt", "._mine.toml", ".#mine.toml"] {
            fs::write(dir.path().join(other), "no entry").unwrap();
        }
        let games = embedded.clone().with_directory(dir.path()).unwrap().games();
        assert_eq!(games.len(), embedded.games().len() + 1);
        assert_eq!(games[&GameId::parse("luanti").unwrap()].name, "Ours");
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_an_error_that_names_it() {
        assert_eq!(refusal("#".repeat(65_537)), "big.toml:1: the file is too large: use at most 65536 bytes");
        assert_eq!(refusal([0xff]), "big.toml:1: the file is no text: use UTF-8");
        assert!(refusal("#".repeat(65_536)).starts_with("big.toml:1: `name` is missing"));
    }

    #[test]
    fn a_directory_of_too_many_entries_or_none_at_all_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..=MOST_FILES {
            fs::write(dir.path().join(format!("{n}.toml")), "").unwrap();
        }
        let load = |path: &Path| Catalogue::default().with_directory(path).unwrap_err().to_string();
        assert_eq!(
            load(dir.path()),
            format!("{} holds more than 500 entries: remove some", dir.path().display())
        );
        let missing = dir.path().join("missing");
        assert!(
            load(&missing).starts_with(&format!("cannot read {}: ", missing.display())),
            "{}",
            load(&missing)
        );
    }

    /// Returns what is said of a file `big.toml`.
    fn refusal(content: impl AsRef<[u8]>) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("big.toml"), content).unwrap();
        let error = Catalogue::default().with_directory(dir.path()).unwrap_err().to_string();
        error.replace(&format!("{}/", dir.path().display()), "")
    }
}
