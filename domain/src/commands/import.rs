//! `world import`: takes files from elsewhere in the place of a sleeping world's, which are archived first.
//!
//! It is asked for twice: the first time gives a link that takes the upload, the second time names what was uploaded.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, ProblemKind, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    ports::{Found, LinkError},
    world::{Errand, ImportId, State, WorldName},
};

/// How long a link takes an upload.
const OPEN_FOR: Duration = Duration::from_secs(60 * 60);

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The world.
    pub name: WorldName,
    /// What was uploaded; nothing, to get a link for it.
    pub upload: Option<ImportId>,
}

/// A link that takes an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// The world.
    pub name: WorldName,
    /// What the upload is called.
    pub id: ImportId,
    /// Where to PUT the file. Whoever has it can.
    pub url: String,
    /// Until when.
    pub expires: Timestamp,
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world import",
    about: "Put files from elsewhere in the place of a sleeping world's, which are archived first",
    options: &[
        spec::WORLD,
        Opt::optional("upload", Kind::Upload, "What was uploaded; left out, you get a link for the upload"),
    ],
    shown: Shown::Asker,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    Ok(Command::Import(Import { name: args.world()?, upload: args.optional("upload")? }))
}

pub(super) async fn run(import: &Import, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &import.name;
    let Found { world, rules, .. } = context.find(name, driver).await?;
    rules.require(&context.asker, Action::Import)?;
    let Some(id) = &import.upload else {
        if world.state != State::Asleep {
            let hint = format!("`world stop {name}` puts it to sleep");
            let text = format!("`{name}` is not asleep");
            return Err(Problem::new(ProblemKind::Refused, text, hint));
        }
        let id: ImportId = context.fresh_id.as_str().parse()?;
        let link = driver.archives.inbox(&world.id, &id, context.now + OPEN_FOR).await?;
        return Ok(Reply::Inbox(Inbox { name: name.clone(), id, url: link.url, expires: link.expires }));
    };
    driver.archives.received(&world.id, id, context.now + OPEN_FOR).await.map_err(|error| match error {
        LinkError::NotFound => {
            let text = format!("nothing was uploaded to {id}, or not all of it");
            Problem::new(ProblemKind::NotFound, text, format!("`world import {name}` gives a link for it"))
        }
        LinkError::Unavailable(why) => why.into(),
    })?;
    let event = Event::Errand { by: context.by.clone(), errand: Errand::Import(id.clone()) };
    let events = context.followed(event);
    let applied = context.apply(name, Action::Import, &events, driver).await?;
    let text = format!("`{name}` takes what was uploaded; what is there is archived first");
    Ok(Reply::World { world: Box::new(applied.after), text })
}
