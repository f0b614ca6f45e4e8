//! `world export`: a link that downloads the newest archive of a world.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, ProblemKind, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    ports::{self, Found, LinkError},
    words,
    world::{Archive, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The world.
    pub name: WorldName,
    /// For how long the link shall work.
    pub length: Duration,
}

/// A link to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where to download it. Whoever has it can.
    pub url: String,
    /// Until when.
    pub expires: Timestamp,
    /// What it downloads.
    pub archive: Archive,
    /// What to say about it.
    pub text: String,
}

/// The shortest and the longest life of a link.
const LENGTHS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 24 * 60 * 60));

/// For how long, when nobody says.
const USUAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world export",
    about: "Get a link to the newest archive of a world",
    options: &[
        spec::WORLD,
        Opt::optional("for", Kind::Length, "How long the link shall work, such as 2h or 3d; 7d if left out"),
    ],
    shown: Shown::Asker,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    Ok(Command::Export(Export { name: args.world()?, length: args.length("for")?.unwrap_or(USUAL) }))
}

pub(super) async fn run(export: &Export, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &export.name;
    if !(LENGTHS.0..=LENGTHS.1).contains(&export.length) {
        let text = format!("a link cannot last {}", words::length(export.length));
        return Err(Problem::new(ProblemKind::BadInput, text, "choose 1 minute to 30 days"));
    }
    let found = driver.store.find(&context.guild, name).await;
    let Found { world, rules, .. } = found.map_err(|e| Problem::loading(name, e))?;
    rules.require(&context.asker, Action::Export)?;
    let Some(archive) = world.archive else {
        let text = format!("there is no archive of `{name}` yet");
        return Err(Problem::new(ProblemKind::NotFound, text, "one is made whenever it goes to sleep"));
    };
    let expires = context.now + export.length;
    let link = driver.archives.link(&world.id, &archive.id, expires).await.map_err(|error| match error {
        LinkError::NotFound => {
            let text = format!("the archive {} of `{name}` is not where it was put", archive.id);
            Problem::new(ProblemKind::NotFound, text, "look for the file among the archives")
        }
        LinkError::Unavailable(why) => why.into(),
    })?;
    let (id, size, left) =
        (&archive.id, words::bytes(archive.size), words::length(works_for(&link, context.now)));
    let text = format!("archive {id} of `{name}` ({size}); the link works for {left}");
    Ok(Reply::Link(Link { url: link.url, expires: link.expires, archive, text }))
}

/// Returns for how long the link works, to within seconds: signing it takes a moment, and "59 min" is not worth that.
fn works_for(link: &ports::Link, now: Timestamp) -> Duration {
    const STEP_S: u64 = 5;
    let exactly = words::between(now, link.expires) + Duration::from_millis(STEP_S * 500);
    Duration::from_secs(exactly.as_secs() / STEP_S * STEP_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_said_to_work_until_its_real_end() {
        let now = Timestamp::from_millisecond(1_795_253_400_250).unwrap();
        let said = |ms: u64| {
            let link = ports::Link { url: "https://x".into(), expires: now + Duration::from_millis(ms) };
            words::length(works_for(&link, now))
        };
        assert_eq!(said(3_600_000), "1 h");
        assert_eq!(said(3_599_100), "1 h", "signed by whole seconds");
        assert_eq!(said(90_000), "1 min 30 s");
        assert_eq!(said(7 * 24 * 3_600_000), "7 d");
    }
}
