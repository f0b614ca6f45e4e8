//! The images of games: made or pulled when a game is launched for the first time, while the launch waits for a while.
//!
//! A launch may take minutes and an image longer. It goes on by itself, and the next launch finds it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{game::Game, ports::Unavailable, world::GameId};

use super::{
    engine::Engine,
    images::{ContextFile, ImageError, Recipe},
};

/// How long a launch waits for an image, at most: less than a launch may take in all, so that it ends with a reason.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

/// How long a failed image is not tried again, so that a world that is asked for again and again does not build without end.
const RETRY_AFTER: Duration = Duration::from_secs(20);

/// Where the image of a game comes from.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// It is made of these files, with these values of the Dockerfile's `ARG`s.
    Made {
        /// The context.
        files: Vec<OwnedFile>,
        /// The values.
        args: BTreeMap<String, String>,
    },
    /// It is somebody else's, and pulled where it is not there yet.
    Pulled,
    /// There is none, and why: for people.
    Missing(String),
}

/// A file of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progressed {
    /// It is there.
    Ready,
    /// It is being made; the last that was said.
    At(String),
    /// It does not come about by waiting; why, for people.
    Failed(String),
}

/// The images that are being made.
#[derive(Debug, Default)]
pub(super) struct Preparing {
    images: Mutex<BTreeMap<GameId, Image>>,
}

#[derive(Debug)]
struct Image {
    since: Instant,
    is: Progressed,
}

impl Preparing {
    /// Returns how far the image of `game` is, and begins with it if nobody has.
    pub(super) async fn image(
        self: &Arc<Self>,
        engine: &Engine,
        game: &Game,
        source: &ImageSource,
    ) -> Result<Progressed, Unavailable> {
        if let ImageSource::Missing(why) = source {
            return Ok(Progressed::Failed(why.clone()));
        }
        if let Some(progressed) = self.known(game) {
            return Ok(progressed);
        }
        match source {
            ImageSource::Pulled if engine.has(&game.image).await? => return Ok(Progressed::Ready),
            ImageSource::Made { files, args } => {
                if engine.is_made_of(&game.image, &recipe(files, args)).await? {
                    return Ok(Progressed::Ready);
                }
            }
            ImageSource::Pulled | ImageSource::Missing(_) => {}
        }
        let begun = Image { since: Instant::now(), is: Progressed::At("it has just begun".into()) };
        if self.images().insert(game.id.clone(), begun).is_none() {
            tokio::spawn(Arc::clone(self).make(engine.clone(), game.clone(), source.clone()));
        }
        Ok(Progressed::At("it has just begun".into()))
    }

    /// Returns what is known of an image that was begun. What has come to an end is told once.
    fn known(&self, game: &Game) -> Option<Progressed> {
        let mut images = self.images();
        let image = images.get(&game.id)?;
        match &image.is {
            Progressed::At(step) if image.since.elapsed() >= WAIT_LIMIT => Some(Progressed::Failed(format!(
                "the image of {} is still being made, which takes a while the first time ({step}); start it again in a few minutes",
                game.name
            ))),
            Progressed::At(step) => Some(Progressed::At(step.clone())),
            Progressed::Failed(why) if image.since.elapsed() < RETRY_AFTER => {
                Some(Progressed::Failed(why.clone()))
            }
            Progressed::Ready | Progressed::Failed(_) => {
                images.remove(&game.id);
                None
            }
        }
    }

    async fn make(self: Arc<Self>, engine: Engine, game: Game, source: ImageSource) {
        let (name, image) = (&game.name, &game.image);
        tracing::info!("making the image of {name}: {image}");
        let mut progress = |line: &str| {
            tracing::debug!("{image}: {line}");
            self.note(&game.id, Progressed::At(line.to_owned()));
        };
        let made = match &source {
            ImageSource::Made { files, args } => {
                engine.build(&recipe(files, args), image, &mut progress).await.map(drop)
            }
            ImageSource::Pulled => engine.pull(image, &mut progress).await,
            ImageSource::Missing(_) => return,
        };
        match made {
            Ok(()) => {
                tracing::info!("the image of {name} is there: {image}");
                self.note(&game.id, Progressed::Ready);
            }
            Err(ImageError::Failed { why, .. }) => {
                tracing::error!("the image {image} of {name} could not be made: {why}");
                let last = why.lines().last().unwrap_or_default();
                let text = format!(
                    "the image of {name} could not be made: {last}; the log of `dormouse up` says more"
                );
                self.finish(&game.id, Progressed::Failed(text));
            }
            Err(ImageError::Unavailable(Unavailable(why))) => {
                self.finish(
                    &game.id,
                    Progressed::Failed(format!("the image of {name} could not be made: {why}")),
                );
            }
        }
    }

    fn note(&self, game: &GameId, is: Progressed) {
        if let Some(image) = self.images().get_mut(game) {
            image.is = is;
        }
    }

    /// Notes the end, whose time counts from now.
    fn finish(&self, game: &GameId, is: Progressed) {
        self.images().insert(game.clone(), Image { since: Instant::now(), is });
    }

    fn images(&self) -> MutexGuard<'_, BTreeMap<GameId, Image>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn recipe<'a>(files: &'a [OwnedFile], args: &BTreeMap<String, String>) -> Recipe<'a> {
    let file =
        |file: &'a OwnedFile| ContextFile { name: &file.name, content: &file.content, mode: file.mode };
    Recipe { files: files.iter().map(file).collect(), args: args.clone() }
}
