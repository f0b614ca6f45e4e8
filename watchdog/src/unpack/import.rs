//! What of an unpacked upload is the world, and where that goes.
//!
//! An upload may hold the world's directory in whatever others. The one that holds the marker of the game's entry, the
//! least deep if there are several, goes to where the entry says; the rest of the upload is left. An archive of ours is
//! taken whole. Neither brings what archives leave out: there stand settings of this server, which are no stranger's.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::Result as AnyResult;
use domain::{
    game::{Game, Import},
    world::GameId,
};
use thiserror::Error;

use super::{Limits, Shown, UnpackError, Unpacked, unpack};
use crate::{archive::manifest, world_dir};

/// How many names are told where they are too many or none is right.
const MOST_NAMED: usize = 10;

/// What was found in an upload, for people to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The directory of the upload that was taken; empty for its top.
    pub root: PathBuf,
    /// The file that told it.
    pub marker: PathBuf,
    /// How many files were taken.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Why an upload was not taken.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// It is an archive of another game's world.
    #[error("it is an archive of a world of {}, not of {wanted}: import it into one of that game", Shown::new(is.as_bytes()))]
    OtherGame {
        /// The game that it names.
        is: String,
        /// The game of the world that it was for.
        wanted: GameId,
    },
    /// Nobody has said what a world of this game looks like.
    #[error("only archives made by Dormouse can be imported for {0}: its catalogue entry has no [import]")]
    NoRules(GameId),
    /// The marker is nowhere.
    #[error("it holds no `{marker}`, which the directory of a world has; it holds {holds}")]
    NoMarker {
        /// The marker.
        marker: String,
        /// What it holds instead.
        holds: Names,
    },
    /// The marker is in several directories.
    #[error("it holds more than one world: `{marker}` is in {roots}; pack one of them alone")]
    Several {
        /// The marker.
        marker: String,
        /// The directories.
        roots: Names,
    },
    /// Several files of one directory are markers, and one alone is asked for.
    #[error("it holds more than one world: {markers}; pack one of them alone")]
    SeveralMarkers {
        /// The files.
        markers: Names,
    },
    /// Something is missing beside the marker.
    #[error("{missing} is missing beside {marker}; pack both")]
    Missing {
        /// The marker.
        marker: Shown,
        /// What is missing.
        missing: Shown,
    },
    /// Two files would have the same name.
    #[error("{0} would have the name of another file; pack one world alone")]
    Collides(Shown),
    /// The file system says no.
    #[error("what was unpacked cannot be put in its place: {0}")]
    Io(#[from] io::Error),
}

/// Some names, of perhaps many more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    shown: Vec<String>,
    more: u64,
}

impl Names {
    fn add(&mut self, name: &OsStr) {
        let name = if name.is_empty() { OsStr::new(".") } else { name };
        self.shown.push(Shown::new(name.as_bytes()).to_string());
        self.shown.sort();
        if self.shown.len() > MOST_NAMED {
            self.shown.pop();
            self.more += 1;
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.shown.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.shown.join(", "))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Unpacks an upload for a world of `game` into the empty directory `to`, which then is what the world's files become.
pub fn import(
    source: &File,
    to: &Path,
    game: &Game,
    limits: &Limits,
    check: &mut dyn FnMut() -> AnyResult<()>,
) -> Result<(Unpacked, Found), ImportError> {
    let unpacked = unpack(source, to, limits, check)?;
    let found = match (&unpacked.manifest, &game.import) {
        (Some(ours), _) if ours.about.game != game.id.as_str() => {
            return Err(ImportError::OtherGame { is: ours.about.game.clone(), wanted: game.id.clone() });
        }
        (Some(_), _) => Found {
            root: PathBuf::new(),
            marker: manifest::NAME.into(),
            files: unpacked.files,
            bytes: unpacked.bytes,
        },
        (None, Some(rules)) => place(to, rules)?,
        (None, None) => return Err(ImportError::NoRules(game.id.clone())),
    };
    leave_out(to, &game.save.exclude)?;
    Ok((unpacked, found))
}

/// Unpacks an archive of a world of `game` whole into the empty directory `to`. Archives of before there were manifests
/// are taken as well.
pub fn restore(
    source: &File,
    to: &Path,
    game: &Game,
    limits: &Limits,
    check: &mut dyn FnMut() -> AnyResult<()>,
) -> Result<Unpacked, ImportError> {
    let unpacked = unpack(source, to, limits, check)?;
    if let Some(ours) = &unpacked.manifest
        && ours.about.game != game.id.as_str()
    {
        return Err(ImportError::OtherGame { is: ours.about.game.clone(), wanted: game.id.clone() });
    }
    leave_out(to, &game.save.exclude)?;
    Ok(unpacked)
}

/// Removes what archives leave out.
fn leave_out(tree: &Path, exclude: &[String]) -> io::Result<()> {
    exclude.iter().try_for_each(|path| world_dir::remove_tree(&tree.join(path)))
}

/// Finds the world in `tree`, and makes `tree` what the world's files are.
fn place(tree: &Path, rules: &Import) -> Result<Found, ImportError> {
    let (root, marker) = find(tree, rules)?;
    check_beside(&tree.join(&root), &marker, rules)?;
    let (files, bytes) = count(&tree.join(&root))?;
    if let Some(name) = &rules.rename {
        rename(&tree.join(&root), &marker, &rules.marker, name)?;
    }
    move_root(tree, &root, Path::new(&rules.into))?;
    Ok(Found { marker: root.join(marker), root, files, bytes })
}

/// What was found on the way.
#[derive(Default)]
struct Search {
    /// How deep the directories lie that hold the marker, how many there are, and one of them.
    depth: Option<usize>,
    roots: Names,
    found: u64,
    root: PathBuf,
}

/// Returns the directory that holds the marker, and the marker's name.
fn find(tree: &Path, rules: &Import) -> Result<(PathBuf, OsString), ImportError> {
    let mut search = Search::default();
    search.look(tree, Path::new(""), 0, &rules.marker)?;
    match search.found {
        0 => Err(ImportError::NoMarker { marker: rules.marker.clone(), holds: names(tree, |_| true)?.0 }),
        1 => {
            let is_marker = |name: &OsStr| matched(&rules.marker, name).is_some();
            let (markers, first) = names(&tree.join(&search.root), is_marker)?;
            if rules.rename.is_some() && markers.shown.len() > 1 {
                return Err(ImportError::SeveralMarkers { markers });
            }
            Ok((search.root, first))
        }
        _ => Err(ImportError::Several { marker: rules.marker.clone(), roots: search.roots }),
    }
}

impl Search {
    /// Looks through the directory `inner` of `tree`, which lies so deep; no deeper than what was found before.
    fn look(&mut self, tree: &Path, inner: &Path, depth: usize, marker: &str) -> io::Result<()> {
        if self.depth.is_some_and(|found| depth > found) {
            return Ok(());
        }
        let mut holds_marker = false;
        for entry in fs::read_dir(tree.join(inner))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            holds_marker |= kind.is_file() && matched(marker, &entry.file_name()).is_some();
            if kind.is_dir() {
                self.look(tree, &inner.join(entry.file_name()), depth + 1, marker)?;
            }
        }
        if holds_marker {
            self.take(inner, depth);
        }
        Ok(())
    }

    fn take(&mut self, inner: &Path, depth: usize) {
        if self.depth.is_some_and(|found| depth > found) {
            return;
        }
        if self.depth != Some(depth) {
            self.roots.clear();
            self.found = 0;
        }
        self.depth = Some(depth);
        self.found += 1;
        self.roots.add(inner.as_os_str());
        self.root = inner.to_owned();
    }
}

/// Returns the names in a directory for which `is` holds, and the first of them.
fn names(dir: &Path, is: impl Fn(&OsStr) -> bool) -> io::Result<(Names, OsString)> {
    let (mut names, mut first) = (Names::default(), None::<OsString>);
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if is(&name) {
            names.add(&name);
            first = Some(first.map_or_else(|| name.clone(), |first| first.min(name.clone())));
        }
    }
    Ok((names, first.unwrap_or_default()))
}

/// Returns what the `*` of `pattern` stands for in `name`, or nothing if they do not match. It stands for at least one
/// character, and never for the dot of a hidden file.
fn matched<'n>(pattern: &str, name: &'n OsStr) -> Option<&'n [u8]> {
    let name = name.as_bytes();
    let Some((before, after)) = pattern.split_once('*') else {
        return (name == pattern.as_bytes()).then_some(b"");
    };
    let middle = name.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())?;
    let is_hidden = before.is_empty() && middle.starts_with(b".");
    Some(middle).filter(|middle| !middle.is_empty() && !is_hidden)
}

fn check_beside(root: &Path, marker: &OsStr, rules: &Import) -> Result<(), ImportError> {
    let stands_for = matched(&rules.marker, marker).unwrap_or_default();
    for pattern in &rules.requires {
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let middle = if pattern.contains('*') { stands_for } else { b"" };
        let name = [before.as_bytes(), middle, after.as_bytes()].concat();
        if fs::symlink_metadata(root.join(OsStr::from_bytes(&name))).is_err() {
            let marker = Shown::new(marker.as_bytes());
            return Err(ImportError::Missing { marker, missing: Shown::new(&name) });
        }
    }
    Ok(())
}

/// Gives everything in `root` that is named after the world, up to a dot, the name `to` instead.
fn rename(root: &Path, marker: &OsStr, pattern: &str, to: &str) -> Result<(), ImportError> {
    let stem = [matched(pattern, marker).unwrap_or_default(), b"."].concat();
    let mut renamed = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        if let Some(rest) = name.as_bytes().strip_prefix(&stem[..]) {
            let new = [to.as_bytes(), b".", rest].concat();
            renamed.push((name.clone(), OsStr::from_bytes(&new).to_owned()));
        }
    }
    for (name, new) in renamed.iter().filter(|(name, new)| name != new) {
        match fs::symlink_metadata(root.join(new)) {
            Ok(_) => return Err(ImportError::Collides(Shown::new(name.as_bytes()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(root.join(name), root.join(new))?
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Moves the directory `root` of `tree` to `into`, and removes all else.
fn move_root(tree: &Path, root: &Path, into: &Path) -> io::Result<()> {
    let aside = make_aside(tree)?;
    let taken = aside.join("taken");
    if root.as_os_str().is_empty() {
        fs::create_dir(&taken)?;
        for entry in fs::read_dir(tree)? {
            let entry = entry?;
            if entry.path() != aside {
                fs::rename(entry.path(), taken.join(entry.file_name()))?;
            }
        }
    } else {
        fs::rename(tree.join(root), &taken)?;
    }
    for entry in fs::read_dir(tree)? {
        let path = entry?.path();
        if path != aside {
            world_dir::remove_tree(&path)?;
        }
    }
    let to = tree.join(into);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(taken, to)?;
    fs::remove_dir(aside)
}

/// Makes a directory with a name that nothing in `tree` has.
fn make_aside(tree: &Path) -> io::Result<PathBuf> {
    let mut name = String::from(".aside");
    loop {
        match fs::create_dir(tree.join(&name)) {
            // Each name was in the upload: there is an end to them.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(name, "_").map_err(io::Error::other)?
            }
            made => return made.map(|()| tree.join(name)),
        }
    }
}

/// Counts files and their bytes.
fn count(dir: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let (more_files, more_bytes) = count(&entry.path())?;
            (files, bytes) = (files + more_files, bytes + more_bytes);
        } else {
            (files, bytes) = (files + 1, bytes + entry.metadata()?.len());
        }
    }
    Ok((files, bytes))
}
