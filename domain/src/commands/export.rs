//! `world export`, `world links`, `world withdraw`: links that download archives of a world.

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
    ports::Found,
    vault::{ExportLink, LinkOf},
    words,
    world::{Archive, ArchiveId, LinkId, State, World, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The world.
    pub name: WorldName,
    /// For how long the link shall work.
    pub length: Duration,
    /// Which archive; nothing for the newest state.
    pub archive: Option<ArchiveId>,
}

/// Which links shall work no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// The world.
    pub name: WorldName,
    /// Which link; nothing for all.
    pub link: Option<LinkId>,
}

/// A link to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Where to download it. Whoever has it can.
    pub url: String,
    /// Until when.
    pub expires: Timestamp,
    /// What it downloads; nothing while that is being made.
    pub archive: Option<Archive>,
    /// How often it was followed.
    pub downloads: u32,
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
    about: "Get a link that downloads a world; an awake one is archived first and stays awake",
    options: &[
        spec::WORLD,
        Opt::optional("for", Kind::Length, "How long the link shall work, such as 2h or 3d; 7d if left out"),
        Opt::optional("backup", Kind::Archive, "Which archive; the newest state if left out"),
    ],
    shown: Shown::Asker,
    read: |args| {
        let (name, archive) = (args.world()?, args.optional("backup")?);
        Ok(Command::Export(Export { name, length: args.length("for")?.unwrap_or(USUAL), archive }))
    },
};

/// How links are listed.
pub const LINKS: Spec = Spec {
    path: "world links",
    about: "See the links that download a world, and how often they were followed",
    options: &[spec::WORLD],
    shown: Shown::Asker,
    read: |args| Ok(Command::Links(args.world()?)),
};

/// How links are withdrawn.
pub const WITHDRAW: Spec = Spec {
    path: "world withdraw",
    about: "Make links that download a world stop working",
    options: &[
        spec::WORLD,
        Opt::optional("link", Kind::Link, "Which link: `world links` lists them; all of them if left out"),
    ],
    shown: Shown::Asker,
    read: read_withdraw,
};

fn read_withdraw(args: &Args) -> Result<Command, Problem> {
    Ok(Command::Withdraw(Withdraw { name: args.world()?, link: args.optional("link")? }))
}

pub(super) async fn run(export: &Export, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &export.name;
    if !(LENGTHS.0..=LENGTHS.1).contains(&export.length) {
        let text = format!("a link cannot last {}", words::length(export.length));
        return Err(Problem::new(ProblemKind::BadInput, text, "choose 1 minute to 30 days"));
    }
    let id = context.fresh_link()?;
    // Where no link can be given none is made.
    driver.exports.url(&context.fresh_id, &id)?;
    let event = Event::Export {
        by: context.by.clone(),
        link: id.clone(),
        archive: export.archive.clone(),
        expires: context.now + export.length,
    };
    let applied = context.apply(name, Action::Export, &[event], driver).await?;
    let world = applied.after;
    let link = world.vault.link(&id);
    let none = || Problem::new(ProblemKind::Refused, "the link was withdrawn at once", "ask again");
    Ok(Reply::Link(shown(&world, link.ok_or_else(none)?, context.now, driver)?))
}

pub(super) async fn list(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, rules, .. } = context.find(name, driver).await?;
    rules.require(&context.asker, Action::Export)?;
    let links = world.vault.links.iter().filter(|link| link.expires > context.now);
    let links = links.map(|link| shown(&world, link, context.now, driver)).collect::<Result<_, _>>()?;
    Ok(Reply::Links(name.clone(), links))
}

pub(super) async fn withdraw(
    wanted: &Withdraw,
    context: &Context,
    driver: &Driver,
) -> Result<Reply, Problem> {
    let Withdraw { name, link } = wanted;
    let event = Event::Withdraw { link: link.clone() };
    let applied = context.apply(name, Action::Export, &[event], driver).await?;
    let text = match (link, applied.before.vault.links.len()) {
        (Some(link), _) => format!("link {link} of `{name}` works no more"),
        (None, 0) => format!("`{name}` has no links"),
        (None, _) => format!("no link of `{name}` works any more"),
    };
    Ok(Reply::World { world: Box::new(applied.after), text })
}

pub(super) fn shown(
    world: &World,
    link: &ExportLink,
    now: Timestamp,
    driver: &Driver,
) -> Result<Link, Problem> {
    let ExportLink { id, of, expires, downloads, .. } = link;
    let name = &world.name;
    let left = words::length(words::between(now, *expires));
    let works = format!("the link {id} works for {left}");
    let (archive, text) = match of {
        LinkOf::Archive(archive) => {
            let kept = world.vault.find(archive);
            let what = kept.map_or_else(|| archive.to_string(), |kept| words::kept(kept, now));
            let newest = match &world.vault.same_as {
                None if kept == world.vault.newest() => "; what was played since is not in it",
                Some(_) | None => "",
            };
            (kept.map(|kept| kept.archive.clone()), format!("`{name}`: {what}{newest}; {works}"))
        }
        LinkOf::Next | LinkOf::AfterNext => {
            let what = match &world.state {
                State::Awake { .. } => "copied and archived while it stays awake",
                State::Asleep
                | State::Starting { .. }
                | State::Stopping { .. }
                | State::Ending { .. }
                | State::Deleting { .. }
                | State::Deleted { .. } => "archived",
            };
            (None, format!("`{name}` is being {what}; {works} as soon as that is done"))
        }
        LinkOf::Nothing(why) => {
            (None, format!("`{name}` was not archived: {why}; the link {id} leads nowhere"))
        }
    };
    let (id, url) = (id.clone(), driver.exports.url(&world.id, id)?);
    Ok(Link { id, url, expires: *expires, archive, downloads: *downloads, text })
}
