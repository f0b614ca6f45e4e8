//! Whether games run in containers, which do, and what their images are made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
};

use adapters::{
    archive::directory::DirectoryArchive,
    front_door::{FrontDoor, files},
    runtime::{
        docker::{
            self, BoxedGame, CONTROL_SOCKET, ContextFile, DockerRuntime, Engine, ImageSource, OwnedFile,
            Recipe,
        },
        local::LocalRuntime,
        process::ProcessRuntime,
    },
    secret::Secret,
};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use domain::{Timestamp, world::GameId};
use games::{Catalogue, Entry};
use tokio::net::UnixListener;

use super::{REPORT_EVERY, program, source};
use crate::output::note;

/// How tasks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeChoice {
    /// Containers for the games that have a Dockerfile, if an engine answers; else plain processes
    Auto,
    /// Plain processes
    Process,
    /// Containers, by the engine of this machine: Docker or Podman
    Docker,
}

/// What containers need to be told.
#[derive(Debug, Args)]
pub(crate) struct Boxes {
    /// How tasks are run
    #[arg(long, env = "DORMOUSE_RUNTIME", value_enum, default_value = "auto")]
    runtime: RuntimeChoice,
    /// Accept the licence under which a game's server is downloaded into its image; it is remembered
    #[arg(long, value_name = "GAME")]
    accept_licence: Vec<GameId>,
    /// The watchdog's image, which `watchdog/Dockerfile` makes [default: one made of this program]
    #[arg(long, value_name = "IMAGE")]
    watchdog_image: Option<String>,
    /// A value for an ARG of the games' Dockerfiles, such as BASE=debian:bookworm-slim
    #[arg(long, value_name = "NAME=VALUE", value_parser = build_arg)]
    build_arg: Vec<(String, String)>,
}

/// What containers share with the rest of the control plane.
pub(super) struct Common<'a> {
    pub(super) data: &'a Path,
    pub(super) catalogue: &'a Catalogue,
    pub(super) control_url: &'a str,
    pub(super) secret: &'a Secret,
}

impl Boxes {
    /// Puts the runtime together, and says which it is.
    pub(super) async fn runtime(
        &self,
        common: &Common<'_>,
        processes: ProcessRuntime,
    ) -> Result<LocalRuntime> {
        self.note_licences(common)?;
        let (containers, boxed) = match self.containers(common).await {
            Ok(Some(containers)) => {
                let entries = common.catalogue.iter().map(|(_, entry)| entry);
                let boxed = entries.filter(|entry| self.is_boxed(entry));
                (Some(containers), boxed.map(|entry| entry.game.id.clone()).collect())
            }
            Ok(None) => (None, BTreeSet::new()),
            Err(error) if self.runtime == RuntimeChoice::Docker => return Err(error),
            Err(error) => {
                note!("games run as plain processes, since containers cannot be had: {error:#}");
                (None, BTreeSet::new())
            }
        };
        Ok(LocalRuntime::new(containers, boxed, processes))
    }

    async fn containers(&self, common: &Common<'_>) -> Result<Option<DockerRuntime>> {
        if self.runtime == RuntimeChoice::Process {
            note!("games run as plain processes");
            return Ok(None);
        }
        let engine = Engine::connect().await?;
        let watchdog_image = match &self.watchdog_image {
            Some(image) if engine.has(image).await? => image.clone(),
            Some(image) => bail!("{} has no image {image}", engine.name),
            None => watchdog_image(&engine).await?,
        };
        note!("games run in containers, by {} at {}", engine.name, engine.socket.display());
        let others = common.catalogue.iter().map(|(_, entry)| entry).filter(|entry| !self.is_boxed(entry));
        let others: Vec<_> = others.map(|entry| entry.game.name.as_str()).collect();
        if !others.is_empty() {
            note!("without a Dockerfile, and so as plain processes: {}", others.join(", "));
        }
        let boxed = |(id, entry): (&GameId, &Entry)| {
            let image = self.image(entry, &engine, common.data);
            (id.clone(), BoxedGame { source: source(entry), image })
        };
        let config = docker::Config {
            data: common.data.to_owned(),
            watchdog_image,
            control_url: common.control_url.to_owned(),
            control_dir: common.data.join("control"),
            secret: common.secret.clone(),
            report_every: REPORT_EVERY,
            games: common.catalogue.iter().map(boxed).collect(),
        };
        let runtime = DockerRuntime::new(engine, config);
        Ok(Some(runtime.with_context(|| format!("cannot use {}", common.data.display()))?))
    }

    /// Tells whether a game runs in containers where an engine answers. One does not that says how it runs as processes while
    /// there is nothing to make an image of, unless containers are wanted for all.
    fn is_boxed(&self, entry: &Entry) -> bool {
        let is_auto = self.runtime == RuntimeChoice::Auto;
        !is_auto || entry.dockerfile.is_some() || entry.game.scripts.is_none()
    }

    /// Says where the image of a game comes from.
    fn image(&self, entry: &Entry, engine: &Engine, data: &Path) -> ImageSource {
        let game = &entry.game;
        if !game.architectures.contains(&engine.architecture) {
            let made_for = game.architectures.join(" and ");
            let text =
                format!("{} is there for {made_for}, and this machine is {}", game.name, engine.architecture);
            return ImageSource::Missing(text);
        }
        let Some(dockerfile) = &entry.dockerfile else { return ImageSource::Pulled };
        let accepted = fs::read_to_string(licence_note(data, &game.id)).unwrap_or_default();
        if let Some(url) = games::licence(dockerfile)
            && accepted.trim() != url
        {
            return ImageSource::Missing(format!(
                "the server of {} comes under a licence: read {url}, and if you accept it, run `dormouse up --accept-licence {}`",
                game.name, game.id
            ));
        }
        match entry.image_context(Some(accepted.trim())) {
            Ok(files) => {
                let file = |file: games::ContextFile| OwnedFile {
                    name: file.name.into(),
                    content: file.text.into(),
                    mode: 0o644,
                };
                ImageSource::Made {
                    files: files.into_iter().map(file).collect(),
                    args: self.build_arg.iter().cloned().collect(),
                }
            }
            Err(error) => ImageSource::Missing(error.to_string()),
        }
    }

    /// Notes which licences are accepted from now on.
    fn note_licences(&self, common: &Common<'_>) -> Result<()> {
        for id in &self.accept_licence {
            let entry = common.catalogue.get(id).with_context(|| format!("there is no game `{id}`"))?;
            let licence = entry.dockerfile.as_deref().and_then(games::licence);
            let Some(url) = licence else { bail!("there is no licence to accept for `{id}`") };
            let note = licence_note(common.data, id);
            fs::create_dir_all(common.data.join("licences"))
                .and_then(|()| fs::write(&note, format!("{url}\n")))
                .with_context(|| format!("writing {}", note.display()))?;
        }
        Ok(())
    }
}

fn licence_note(data: &Path, game: &GameId) -> std::path::PathBuf {
    data.join("licences").join(game.as_str())
}

/// Parses the value for an `ARG` of a Dockerfile.
pub(crate) fn build_arg(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("use NAME=VALUE".into()),
    }
}

/// Makes the image of the watchdog, which is this program, and returns its name.
async fn watchdog_image(engine: &Engine) -> Result<String> {
    let files = program::files().context("making the watchdog's image of this program")?;
    let mut dockerfile = String::from("FROM scratch\n");
    for (number, file) in files.iter().enumerate() {
        dockerfile += &format!("COPY {number} {}\n", file.path);
    }
    dockerfile += &format!("ENTRYPOINT [\"{}\", \"watchdog\"]\n", program::PLACE);
    let names: Vec<_> = (0..files.len()).map(|number| number.to_string()).collect();
    let of_program = names.iter().zip(&files);
    let mut context = vec![ContextFile { name: "Dockerfile", content: dockerfile.as_bytes(), mode: 0o644 }];
    context.extend(of_program.map(|(name, file)| ContextFile { name, content: &file.content, mode: 0o755 }));
    let recipe = Recipe { files: context, args: BTreeMap::new() };
    // A world that is awake keeps the image that it was started with, under the name that it had.
    let tag = format!("dormouse/watchdog:{}", &recipe.digest()[..16]);
    engine.build(&recipe, &tag, &mut |line: &str| tracing::debug!("{tag}: {line}")).await?;
    Ok(tag)
}

/// Serves the part of the control plane that is for watchdogs on the socket that their containers have.
pub(super) fn serve_watchdogs(data: &Path, door: FrontDoor, archive: Arc<DirectoryArchive>) -> Result<()> {
    let dir = data.join("control");
    let path = dir.join(CONTROL_SOCKET);
    let listen = || -> std::io::Result<UnixListener> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        UnixListener::bind(&path)
    };
    let listener =
        listen().with_context(|| format!("cannot listen at {}: choose another --data", path.display()))?;
    let routes = door.router_for_watchdogs(files::routes(archive, Timestamp::now));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!("watchdogs in containers are not heard any more: {error}");
        }
    });
    Ok(())
}
