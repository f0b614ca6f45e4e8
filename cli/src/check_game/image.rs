//! The game's image: made where a container engine answers, so that a Dockerfile that cannot be built is found here and not
//! in the cloud.

use adapters::runtime::docker::{ContextFile, Engine, ImageError, Made, Recipe};
use anyhow::{Context, Result};
use games::{Entry, licence};

use super::step::{Report, Step};

/// Whether somebody accepts the terms under which a server is downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Accepted,
    NotAccepted,
}

/// Makes the image of `entry`'s game, if that can be done here, and says what came of it.
pub(super) fn make(entry: &Entry, terms: Terms, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let step = runtime.context("starting")?.block_on(try_make(entry, terms, report));
    report.add(step);
    Ok(())
}

async fn try_make(entry: &Entry, terms: Terms, report: &Report) -> Step {
    let name = "image";
    let url = entry.dockerfile.as_deref().and_then(licence);
    let accepted = match (url, terms) {
        (Some(url), Terms::NotAccepted) => {
            let change = format!("read {url}, and if you accept it: --accept-licence");
            return Step::warn(name, "not built: its server is downloaded under terms", change);
        }
        (url, Terms::Accepted) => url,
        (None, Terms::NotAccepted) => None,
    };
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(error) => return Step::warn(name, format!("not built: {error}"), "start Docker or Podman"),
    };
    let files = match entry.image_context(accepted) {
        Ok(files) => files,
        Err(error) => return Step::fail(name, error.to_string(), "the game's two files"),
    };
    let in_context =
        files.iter().map(|file| ContextFile { name: file.name, content: file.text.as_bytes(), mode: 0o644 });
    let recipe = Recipe { files: in_context.collect(), args: [].into() };
    match engine.build(&recipe, &entry.game.image, &mut |line| report.progress(line.trim_end())).await {
        Ok(Made::Anew) => Step::ok(name, format!("{} was built", entry.game.image)),
        Ok(Made::Before) => Step::ok(name, format!("{} was built before, of the same", entry.game.image)),
        Err(error @ (ImageError::Failed { .. } | ImageError::Unavailable(_))) => {
            Step::fail(name, error.to_string(), "what it says")
        }
    }
}
