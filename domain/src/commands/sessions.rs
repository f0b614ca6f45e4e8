//! `world sessions`: the last times that a world was awake, how long, and how they ended.

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
    path: "world sessions",
    about: "See the last times a world was awake, and how they ended",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Sessions(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, .. } = context.find(name, driver).await?;
    Ok(Reply::Sessions(Box::new(world)))
}
