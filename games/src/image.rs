//! What the image of a game is made of: a Dockerfile, and what it may copy.
//!
//! ```text
//! Dockerfile          Dockerfile.<game>: beside the entry, or built in with it
//! entrypoint          made of the entry's scripts, where it has some
//! accepted-licence    the terms under which the game's server is downloaded, once somebody has accepted them
//! ```

use std::path::Path;

use thiserror::Error;

use crate::{
    catalogue::{LoadError, read_text},
    entry::Entry,
};

/// The label of a Dockerfile that says under which terms the game's server is downloaded.
const LICENCE_LABEL: &str = "dormouse.licence=\"";

/// The file that tells a Dockerfile with that label that somebody accepted them.
pub const ACCEPTED_LICENCE: &str = "accepted-licence";

/// A file of an image's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// Its name in the context.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
}

/// Why there is no context.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoContext {
    /// There is no Dockerfile.
    #[error("there is no Dockerfile.{0} beside the entry of game `{0}`")]
    NoDockerfile(String),
    /// The Dockerfile copies an entrypoint that there is nothing to make of.
    #[error("Dockerfile.{0} copies `entrypoint`, and the entry of game `{0}` has no [process] to make it of")]
    NoEntrypoint(String),
}

/// Returns the name of the Dockerfile of a game.
pub fn dockerfile_name(game: &str) -> String {
    format!("Dockerfile.{game}")
}

/// Returns the address of the terms under which the game's server is downloaded, as its Dockerfile names them.
pub fn licence(dockerfile: &str) -> Option<&str> {
    let (_, rest) = dockerfile.split_once(LICENCE_LABEL)?;
    rest.split_once('"').map(|(url, _)| url)
}

impl Entry {
    /// Returns what the game's image is made of by its own Dockerfile; `accepted` is the address of the terms that somebody
    /// accepted.
    pub fn image_context(&self, accepted: Option<&str>) -> Result<Vec<ContextFile>, NoContext> {
        let id = || self.game.id.to_string();
        let dockerfile = self.dockerfile.clone().ok_or_else(|| NoContext::NoDockerfile(id()))?;
        let entrypoint = self.entrypoint();
        if entrypoint.is_none() && dockerfile.contains("\nCOPY entrypoint ") {
            return Err(NoContext::NoEntrypoint(id()));
        }
        let is_asked = licence(&dockerfile).is_some();
        let mut files = vec![ContextFile { name: "Dockerfile", text: dockerfile }];
        files.extend(entrypoint.map(|script| ContextFile { name: "entrypoint", text: script + "\n" }));
        let accepted = accepted.filter(|_| is_asked);
        files.extend(accepted.map(|url| ContextFile { name: ACCEPTED_LICENCE, text: format!("{url}\n") }));
        Ok(files)
    }
}

/// Returns the Dockerfile of the game that is built into this program.
pub(crate) fn embedded(game: &str) -> Option<String> {
    const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/dockerfiles.rs"));
    let name = dockerfile_name(game);
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
}

/// Returns the Dockerfile of the game beside its entry; nothing if there is none.
pub(crate) fn beside(entry: &Path, game: &str) -> Result<Option<String>, LoadError> {
    let file = entry.with_file_name(dockerfile_name(game));
    if file.exists() { read_text(&file).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalogue, parse};
    use domain::world::GameId;
    use std::fs;

    const PLAIN: &str = "FROM scratch\nCOPY entrypoint /entrypoint\n";

    #[test]
    fn a_dockerfile_lies_beside_its_entry_or_is_built_in() {
        let built_in = Catalogue::embedded().unwrap();
        for (id, entry) in built_in.iter() {
            assert!(entry.dockerfile.is_some(), "{id}");
        }
        let luanti = built_in.get(&GameId::parse("luanti").unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for name in ["luanti.toml", "bare.toml", "mine.toml"] {
            fs::write(dir.path().join(name), &luanti.source).unwrap();
        }
        fs::write(dir.path().join("Dockerfile.mine"), PLAIN).unwrap();
        let all = built_in.clone().with_directory(dir.path()).unwrap();
        let dockerfile = |id: &str| all.get(&GameId::parse(id).unwrap()).unwrap().dockerfile.clone();
        assert_eq!(dockerfile("mine").as_deref(), Some(PLAIN));
        assert_eq!(dockerfile("bare"), None);
        assert_eq!(dockerfile("luanti"), luanti.dockerfile, "an entry that changes a game changes no image");
    }

    #[test]
    fn a_context_has_an_entrypoint_where_there_are_scripts() {
        let names = |files: &[ContextFile]| files.iter().map(|file| file.name).collect::<Vec<_>>();
        let luanti = Catalogue::embedded().unwrap();
        let mut entry = luanti.get(&GameId::parse("luanti").unwrap()).unwrap().clone();
        let files = entry.image_context(Some("https://example.org/terms")).unwrap();
        assert_eq!(names(&files), ["Dockerfile", "entrypoint"], "nobody asked for a licence");
        assert_eq!(files[1].text, entry.entrypoint().unwrap() + "\n");

        entry.game.scripts = None;
        assert_eq!(entry.image_context(None), Err(NoContext::NoEntrypoint("luanti".into())));
        entry.dockerfile = Some("FROM example.org/server\n".into());
        assert_eq!(names(&entry.image_context(None).unwrap()), ["Dockerfile"]);
        entry.dockerfile = None;
        assert_eq!(
            entry.image_context(None).unwrap_err().to_string(),
            "there is no Dockerfile.luanti beside the entry of game `luanti`"
        );
    }

    #[test]
    fn a_licence_is_in_the_context_once_it_is_accepted() {
        let catalogue = Catalogue::embedded().unwrap();
        let valheim = catalogue.get(&GameId::parse("valheim").unwrap()).unwrap();
        let url = licence(valheim.dockerfile.as_deref().unwrap()).unwrap();
        let accepted = |accepted| {
            let files = valheim.image_context(accepted).unwrap();
            files.into_iter().find(|file| file.name == ACCEPTED_LICENCE).map(|file| file.text)
        };
        assert_eq!(accepted(None), None);
        assert_eq!(accepted(Some(url)), Some(format!("{url}\n")));
        assert_eq!(licence(PLAIN), None);
        assert_eq!(parse(Path::new("a.toml"), &valheim.source).unwrap().dockerfile, None);
    }
}
