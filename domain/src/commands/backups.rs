//! `world backups`: the archives of a world.

use crate::{
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::Driver,
    ports::Found,
    world::WorldName,
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world backups",
    about: "See the archives of a world",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Backups(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, .. } = context.find(name, driver).await?;
    Ok(Reply::Backups(Box::new(world)))
}
