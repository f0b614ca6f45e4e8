//! The contexts of the images: a directory with a Dockerfile and exactly what it copies, since a changed file there is a
//! new image in the cloud.
//!
//! A game's image is made from `Dockerfile.<game>` in the workspace's root. A file that is there is all that it takes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use games::Catalogue;

use crate::{
    build::{Architecture, put},
    ground::Ground,
};

/// The label of a Dockerfile that says under which terms the game's server is downloaded.
const LICENCE_LABEL: &str = "dormouse.licence=\"";

/// The file that tells a Dockerfile with that label that somebody accepted them.
const ACCEPTED: &str = "accepted-licence";

/// An image's context.
#[derive(Debug)]
pub(crate) struct Image {
    /// `watchdog`, or the game's id.
    pub(crate) name: String,
    /// Everything in it.
    pub(crate) files: Vec<ContextFile>,
    /// What has to be accepted before it is made.
    pub(crate) licence: Option<Licence>,
}

/// A file of a context.
#[derive(Debug, Clone)]
pub(crate) struct ContextFile {
    /// Its name in the context.
    pub(crate) name: String,
    from: PathBuf,
    mode: u32,
}

/// The terms under which a game's server is downloaded.
#[derive(Debug)]
pub(crate) struct Licence {
    game: String,
    url: String,
}

impl Licence {
    /// Returns the licence of a game; an error if there is none to accept.
    pub(crate) fn of(ground: &Ground, game: &str) -> Result<Self> {
        let file = dockerfile(ground, game);
        Self::in_dockerfile(game, &file)?.with_context(|| format!("there is no licence to accept for `{game}`"))
    }

    fn in_dockerfile(game: &str, file: &Path) -> Result<Option<Self>> {
        let text = fs::read_to_string(file).with_context(|| format!("there is no {}", file.display()))?;
        let url = text.split_once(LICENCE_LABEL).and_then(|(_, rest)| rest.split_once('"'));
        Ok(url.map(|(url, _)| Self { game: game.into(), url: url.into() }))
    }

    fn note(&self, ground: &Ground) -> PathBuf {
        ground.target("licences").join(&self.game)
    }

    /// Tells whether exactly these terms were accepted.
    pub(crate) fn is_accepted(&self, ground: &Ground) -> bool {
        fs::read_to_string(self.note(ground)).is_ok_and(|accepted| accepted.trim_end() == self.url)
    }

    /// Notes that they are accepted.
    pub(crate) fn accept(&self, ground: &Ground) -> Result<()> {
        let note = self.note(ground);
        fs::create_dir_all(ground.target("licences"))?;
        fs::write(&note, format!("{}\n", self.url)).with_context(|| format!("writing {}", note.display()))
    }

    /// Returns what to read, and how to accept it.
    pub(crate) fn how_to_accept(&self) -> String {
        format!(
            "read {}, and if you accept it: `cargo xtask build --release --accept-licence {}`",
            self.url, self.game
        )
    }
}

impl Image {
    /// Makes the context below `target/images`, and removes from there what is not in it.
    pub(crate) fn make(&self, ground: &Ground) -> Result<()> {
        let directory = ground.target("images").join(&self.name);
        for file in &self.files {
            put(&file.from, &directory.join(&file.name), file.mode)?;
        }
        let wanted: BTreeSet<_> = self.files.iter().map(|file| file.name.as_str()).collect();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if !wanted.contains(entry.file_name().to_string_lossy().as_ref()) {
                let path = entry.path();
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Returns where the build keeps the watchdog for an architecture.
pub(crate) fn watchdog(ground: &Ground, architecture: Architecture) -> PathBuf {
    ground.target("watchdogs").join(program_name(architecture))
}

fn program_name(architecture: Architecture) -> String {
    format!("watchdog-{}", architecture.name())
}

/// Returns the Dockerfile of a game.
pub(crate) fn dockerfile(ground: &Ground, game: &str) -> PathBuf {
    ground.path(&format!("Dockerfile.{game}"))
}

/// Returns every Dockerfile of the workspace.
pub(crate) fn dockerfiles(ground: &Ground) -> Result<Vec<PathBuf>> {
    let games = games(ground)?;
    let games = games.iter().map(|game| dockerfile(ground, game));
    Ok(std::iter::once(ground.path("watchdog/Dockerfile")).chain(games).collect())
}

/// Returns the games that have a Dockerfile.
fn games(ground: &Ground) -> Result<BTreeSet<String>> {
    let mut games = BTreeSet::new();
    for entry in fs::read_dir(ground.path(""))? {
        let name = entry?.file_name();
        games.extend(name.to_string_lossy().strip_prefix("Dockerfile.").map(str::to_owned));
    }
    Ok(games)
}

/// Returns the images that can be made: the watchdog's, and one for each game that has a Dockerfile.
pub(crate) fn images(ground: &Ground) -> Result<Vec<Image>> {
    let files = [
        vec![file("Dockerfile", ground.path("watchdog/Dockerfile"), 0o644)],
        watchdogs(ground, &Architecture::ALL),
    ];
    let watchdog = Image { name: "watchdog".into(), files: files.concat(), licence: None };
    let games = games(ground)?;
    let games = games.iter().map(|game| game_image(ground, game)).collect::<Result<Vec<_>>>()?;
    Ok(std::iter::once(watchdog).chain(games).collect())
}

fn game_image(ground: &Ground, id: &str) -> Result<Image> {
    let entry = ground.path(&format!("games/catalog/{id}.toml"));
    let game = Catalogue::read_file(&entry)?.game;
    let architectures: Vec<_> = Architecture::ALL
        .into_iter()
        .filter(|architecture| game.architectures.iter().any(|name| name == architecture.name()))
        .collect();
    let licence = Licence::in_dockerfile(id, &dockerfile(ground, id))?;
    let mut files = vec![
        file("Dockerfile", dockerfile(ground, id), 0o644),
        file(&format!("{id}.toml"), entry, 0o644),
    ];
    files.extend(watchdogs(ground, &architectures));
    files.extend(licence.iter().map(|licence| file(ACCEPTED, licence.note(ground), 0o644)));
    Ok(Image { name: id.into(), files, licence })
}

fn watchdogs(ground: &Ground, architectures: &[Architecture]) -> Vec<ContextFile> {
    let program = |of: &Architecture| file(&program_name(*of), watchdog(ground, *of), 0o755);
    architectures.iter().map(program).collect()
}

fn file(name: &str, from: PathBuf, mode: u32) -> ContextFile {
    ContextFile { name: name.into(), from, mode }
}
