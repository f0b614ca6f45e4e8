//! The contexts of the images: a directory with a Dockerfile and exactly what it copies, since a changed file there is a
//! new image in the cloud.
//!
//! A game's image is made from `Dockerfile.<game>` in the workspace's root. A file that is there is all that it takes.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{
    build::{Architecture, put},
    ground::Ground,
};
use anyhow::{Context, Result};

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

/// Returns the licence of a game's server, if it has one; an error if there is no Dockerfile.
pub(crate) fn licence_of(ground: &Ground, game: &str) -> Result<Option<Licence>> {
    Ok(licence_in(&read(ground, game)?, game))
}

fn licence_in(dockerfile: &str, game: &str) -> Option<Licence> {
    games::licence(dockerfile).map(|url| Licence { game: game.into(), url: url.into() })
}

/// Returns what the Dockerfile of a game says.
fn read(ground: &Ground, game: &str) -> Result<String> {
    let file = dockerfile(ground, game);
    fs::read_to_string(&file).with_context(|| format!("there is no {}", file.display()))
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
    ground.path(&games::dockerfile_name(game))
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
        watchdogs(ground),
        catalogue(ground)?,
    ];
    let watchdog = Image { name: "watchdog".into(), files: files.concat(), licence: None };
    let games = games(ground)?;
    let games = games.iter().map(|game| game_image(ground, game)).collect::<Result<Vec<_>>>()?;
    Ok(std::iter::once(watchdog).chain(games).collect())
}

fn game_image(ground: &Ground, id: &str) -> Result<Image> {
    let dockerfile = read(ground, id)?;
    let licence = licence_in(&dockerfile, id);
    let mut entry = games::Catalogue::read_file(&ground.path(&format!("games/catalog/{id}.toml")))?;
    entry.dockerfile = Some(dockerfile);
    let accepted = licence.as_ref().filter(|licence| licence.is_accepted(ground));
    let context = entry.image_context(accepted.map(|licence| licence.url.as_str()))?;
    let written = |made: &games::ContextFile| write(ground, id, made);
    let files = context.iter().map(written).collect::<Result<_>>()?;
    Ok(Image { name: id.into(), files, licence })
}

/// Writes a file of a game's image to where contexts are made from.
fn write(ground: &Ground, id: &str, made: &games::ContextFile) -> Result<ContextFile> {
    let directory = ground.target("contexts").join(id);
    fs::create_dir_all(&directory)?;
    let path = directory.join(made.name);
    fs::write(&path, &made.text).with_context(|| format!("writing {}", path.display()))?;
    Ok(file(made.name, path, 0o644))
}

fn watchdogs(ground: &Ground) -> Vec<ContextFile> {
    let program = |of| file(&program_name(of), watchdog(ground, of), 0o755);
    Architecture::ALL.into_iter().map(program).collect()
}

/// Returns the entries of all games, each by its file's name.
fn catalogue(ground: &Ground) -> Result<Vec<ContextFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(ground.path("games/catalog"))? {
        let entry = entry?;
        files.push(file(&entry.file_name().to_string_lossy(), entry.path(), 0o644));
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn file(name: &str, from: PathBuf, mode: u32) -> ContextFile {
    ContextFile { name: name.into(), from, mode }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use games::{ACCEPTED_LICENCE, Catalogue};
    use tempfile::TempDir;

    use crate::shell::root;

    /// Returns a workspace with the Dockerfiles and the catalogue of this one, and watchdogs that are as good as built.
    fn workspace() -> (TempDir, Ground) {
        let dir = tempfile::tempdir().unwrap();
        let ground = Ground::at(dir.path()).unwrap();
        let here = Ground::at(&root()).unwrap();
        for from in dockerfiles(&here).unwrap() {
            let to = dir.path().join(from.strip_prefix(here.path("")).unwrap());
            put(&from, &to, 0o644).unwrap();
        }
        for entry in fs::read_dir(here.path("games/catalog")).unwrap() {
            let from = entry.unwrap().path();
            let to = ground.path("games/catalog").join(from.file_name().unwrap());
            put(&from, &to, 0o644).unwrap();
        }
        fs::create_dir_all(ground.target("watchdogs")).unwrap();
        for architecture in Architecture::ALL {
            fs::write(watchdog(&ground, architecture), architecture.name()).unwrap();
        }
        (dir, ground)
    }

    /// Returns what the instructions of a Dockerfile say, continued lines in one.
    fn instructions(text: &str) -> Vec<String> {
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let joined = lines.join("\n").replace("\\\n", " ");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        joined.lines().map(words).filter(|line| !line.is_empty()).collect()
    }

    /// Returns what a Dockerfile copies out of its context, for these architectures.
    fn copied(text: &str, architectures: &[&str]) -> BTreeSet<String> {
        let mut copied = BTreeSet::new();
        for instruction in instructions(text) {
            let words: Vec<_> = instruction.split_whitespace().collect();
            let [first, sources @ .., _] = words.as_slice() else { continue };
            assert_ne!(*first, "ADD", "{instruction}");
            if *first != "COPY" || sources.iter().any(|word| word.starts_with("--from=")) {
                continue;
            }
            let one_each = |source: &&str| {
                architectures.iter().map(|name| source.replace("${TARGETARCH}", name)).collect::<Vec<_>>()
            };
            copied.extend(sources.iter().flat_map(one_each));
        }
        copied
    }

    fn listing(directory: &std::path::Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// Returns the images, those behind a licence too.
    fn all_accepted(ground: &Ground) -> Vec<Image> {
        for image in images(ground).unwrap() {
            image.licence.iter().for_each(|licence| licence.accept(ground).unwrap());
        }
        images(ground).unwrap()
    }

    fn text_of(image: &Image) -> String {
        fs::read_to_string(&image.files[0].from).unwrap()
    }

    #[test]
    fn a_context_has_what_its_dockerfile_copies_and_nothing_else() {
        let (_dir, ground) = workspace();
        let images = all_accepted(&ground);
        let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
        let ids: Vec<_> = Catalogue::embedded().unwrap().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(names[0], "watchdog");
        assert_eq!(names[1..], ids);
        for image in &images {
            let directory = ground.target("images").join(&image.name);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("left-over"), "").unwrap();
            image.make(&ground).unwrap();
            let mut wanted = copied(&text_of(image), &["arm64", "amd64"]);
            if wanted.remove("*.toml") {
                wanted.extend(ids.iter().map(|id| format!("{id}.toml")));
            }
            wanted.insert("Dockerfile".into());
            assert_eq!(listing(&directory), wanted, "{}", image.name);
        }
        let watchdog = fs::metadata(ground.target("images/watchdog/watchdog-amd64")).unwrap();
        assert_eq!(watchdog.permissions().mode() & 0o7777, 0o755);
        for image in &images {
            if let Some(entry) = Catalogue::embedded()
                .unwrap()
                .games()
                .into_values()
                .find(|game| game.id.to_string() == image.name)
            {
                let signal = format!("STOPSIGNAL SIG{}", format!("{:?}", entry.stop.signal).to_uppercase());
                assert!(instructions(&text_of(image)).contains(&signal), "{}: {signal}", image.name);
            }
        }
    }

    #[test]
    fn a_dockerfile_is_pinned_and_runs_as_the_games_user() {
        let (_dir, ground) = workspace();
        for image in images(&ground).unwrap() {
            let (name, text) = (&image.name, text_of(&image));
            let instructions = instructions(&text);
            let is = |wanted: &str| instructions.iter().any(|instruction| instruction == wanted);
            let bases: Vec<_> =
                instructions.iter().filter_map(|instruction| instruction.strip_prefix("FROM ")).collect();
            if name == "watchdog" {
                assert_eq!(bases, ["scratch"]);
                assert!(is("COPY watchdog-${TARGETARCH} /watchdog"), "{name}");
            } else {
                assert!(
                    bases.iter().all(|base| base.split(' ').next() == Some("${BASE}")),
                    "{name}: {bases:?}"
                );
                let base = instructions[0].strip_prefix("ARG BASE=").unwrap();
                let digest = base.split_once("@sha256:").unwrap().1;
                assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
                assert!(text.contains("groupadd --gid 10001 game"), "{name}");
                assert!(text.contains("useradd --uid 10001 --gid game"), "{name}");
                assert!(is(r#"ENTRYPOINT ["/bin/sh", "/entrypoint"]"#), "{name}");
            }
            let users: Vec<_> = instructions.iter().filter(|line| line.starts_with("USER ")).collect();
            assert_eq!(users, ["USER 10001:10001"], "{name}");
        }
    }

    #[test]
    fn a_dockerfile_holds_no_secret_and_accepts_no_licence() {
        let (_dir, ground) = workspace();
        for image in images(&ground).unwrap() {
            let (name, text) = (&image.name, text_of(&image));
            for instruction in instructions(&text) {
                let is_setting = instruction.starts_with("ARG ") || instruction.starts_with("ENV ");
                let shouted = instruction.to_uppercase();
                let is_secret =
                    ["PASSWORD", "SECRET", "TOKEN", "CREDENTIAL"].iter().any(|w| shouted.contains(w));
                assert!(!(is_setting && is_secret), "{name}: {instruction}");
                let is_consent = ["I AGREE", "EULA=TRUE", "EULA=1"].iter().any(|w| shouted.contains(w));
                assert!(!is_consent || instruction.contains("/accepted-licence &&"), "{name}: {instruction}");
            }
            let is_asked = image.licence.is_some();
            assert_eq!(text.contains(&format!("COPY {ACCEPTED_LICENCE} ")), is_asked, "{name}");
            if let Some(licence) = &image.licence {
                assert!(text.contains(&format!("ARG LICENCE=\"{}\"", licence.url)), "{name}");
                assert!(!licence.is_accepted(&ground));
                licence.accept(&ground).unwrap();
                assert!(licence.is_accepted(&ground));
                let other =
                    Licence { game: licence.game.clone(), url: "https://example.org/new-terms".into() };
                assert!(!other.is_accepted(&ground));
            }
        }
    }
}
