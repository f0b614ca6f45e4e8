//! `world delete`: removes a sleeping world whose newest state is in a checked archive, after a confirmation.

use crate::{
    commands::{Context, Problem, Reply},
    driver::Driver,
    event::Event,
    world::WorldName,
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The world.
    pub name: WorldName,
    /// Its name once more, as typed.
    pub typed: String,
}

pub(super) async fn run(delete: &Delete, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &delete.name;
    let event = Event::Delete { by: context.by.clone(), typed: delete.typed.clone() };
    let applied = driver
        .apply_to(&context.guild, name, &[event], context.now)
        .await
        .map_err(|error| Problem::applying(name, error))?;
    let text = match &applied.after.archive {
        Some(archive) => format!("`{name}` is being deleted; its archive {} is kept", archive.id),
        None => format!("`{name}` is being deleted; it was never played"),
    };
    Ok(Reply::World { world: Box::new(applied.after), text })
}
