//! `world status`: what a world is doing.

use crate::{
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::Driver,
    ports::Found,
    words,
    world::WorldName,
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world status",
    about: "See what a world is doing, who is on and where to join",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Status(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, .. } = context.find(name, driver).await?;
    let text = format!("`{name}`: {}", words::status(&world, driver.games.get(&world.game), context.now));
    Ok(Reply::World { world: Box::new(world), text })
}
