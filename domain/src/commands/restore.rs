//! `world restore`: puts an archive of a sleeping world in the place of what is there, which is archived first.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    world::{ArchiveId, Errand, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The world.
    pub name: WorldName,
    /// The archive.
    pub archive: ArchiveId,
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world restore",
    about: "Put an archive of a sleeping world back; what is there is archived first",
    options: &[
        spec::WORLD,
        Opt::needed("backup", Kind::Archive, "Which archive: `world backups` lists them"),
    ],
    shown: Shown::Everybody,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    Ok(Command::Restore(Restore { name: args.world()?, archive: args.parsed("backup")? }))
}

pub(super) async fn run(restore: &Restore, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Restore { name, archive } = restore;
    let event = Event::Errand { by: context.by.clone(), errand: Errand::Restore(archive.clone()) };
    let events = context.followed(event);
    let applied = context.apply(name, Action::Restore, &events, driver).await?;
    let text = format!("`{name}` is being restored from archive {archive}; what is there is archived first");
    Ok(Reply::World { world: Box::new(applied.after), text })
}
