//! The game's image: made where a container engine answers, so that a Dockerfile that cannot be built is found here and not
//! in the cloud.

use adapters::runtime::docker::{ContextFile, ImageError, Made, Recipe};
use anyhow::Result;
use games::{Entry, licence};

use super::{
    containers::Talk,
    step::{Report, Step, Verdict},
};

/// What the step is called.
const NAME: &str = "image";

/// Whether somebody accepts the terms under which a server is downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Accepted,
    NotAccepted,
}

/// What there is to run containers of.
pub(super) enum Image {
    /// The image, at this engine.
    Made(Box<Talk>),
    /// Nothing, and why.
    None(String),
}

/// Makes the image of `entry`'s game with these values of its Dockerfile's `ARG`s, if that can be done here, and says what came
/// of it.
pub(super) fn make(
    entry: &Entry,
    terms: Terms,
    args: &[(String, String)],
    report: &mut Report,
) -> Result<Image> {
    let url = entry.dockerfile.as_deref().and_then(licence);
    let accepted = match (url, terms) {
        (Some(url), Terms::NotAccepted) => {
            let saw = "its server is downloaded under terms";
            let change = format!("read {url}, and if you accept it: --accept-licence");
            return Ok(not_built(saw, &change, report));
        }
        (url, Terms::Accepted) => url,
        (None, Terms::NotAccepted) => None,
    };
    let talk = match Talk::begin()? {
        Ok(talk) => talk,
        Err(error) => return Ok(not_built(&error.to_string(), "start Docker or Podman", report)),
    };
    let here = &talk.engine.architecture;
    if !entry.game.architectures.contains(here) {
        let saw = format!("it is for {}, and this machine is {here}", entry.game.architectures.join(" and "));
        return Ok(not_built(&saw, "check it on a machine that it is for", report));
    }
    let step = try_make(entry, accepted, args, &talk, report);
    let is_made = step.verdict != Verdict::Fail;
    report.add(step);
    Ok(if is_made { Image::Made(talk) } else { Image::None("its image could not be built".into()) })
}

fn not_built(why: &str, change: &str, report: &mut Report) -> Image {
    report.add(Step::warn(NAME, format!("not built: {why}"), change));
    Image::None(why.to_owned())
}

fn try_make(
    entry: &Entry,
    accepted: Option<&str>,
    args: &[(String, String)],
    talk: &Talk,
    report: &Report,
) -> Step {
    let files = match entry.image_context(accepted) {
        Ok(files) => files,
        Err(error) => return Step::fail(NAME, error.to_string(), "the game's two files"),
    };
    let in_context =
        files.iter().map(|file| ContextFile { name: file.name, content: file.text.as_bytes(), mode: 0o644 });
    let recipe = Recipe { files: in_context.collect(), args: args.iter().cloned().collect() };
    let image = &entry.game.image;
    let mut progress = |line: &str| report.progress(line.trim_end());
    match talk.wait(talk.engine.build(&recipe, image, &mut progress)) {
        Ok(Made::Anew) => Step::ok(NAME, format!("{image} was built")),
        Ok(Made::Before) => Step::ok(NAME, format!("{image} was built before, of the same")),
        Err(error @ (ImageError::Failed { .. } | ImageError::Unavailable(_))) => {
            Step::fail(NAME, error.to_string(), "what it says")
        }
    }
}
