//! `world status`: what a world is doing.

use crate::{
    commands::{Context, Problem, Reply},
    driver::Driver,
    words,
    world::WorldName,
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let (world, _) =
        driver.store.find(&context.guild, name).await.map_err(|error| Problem::loading(name, error))?;
    let text = format!("`{name}`: {}", words::status(&world, driver.games.get(&world.game), context.now));
    Ok(Reply::World { world: Box::new(world), text })
}
