//! `world delete`: removes a sleeping world whose newest state is in a checked archive, after a confirmation.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
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

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world delete",
    about: "Delete a sleeping world; its archives are kept",
    options: &[
        spec::WORLD,
        Opt::optional("confirm", Kind::Confirmation, "The name once more: deleting removes its files"),
    ],
    shown: Shown::Asker,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    let typed = args.text("confirm").unwrap_or_default().to_owned();
    Ok(Command::Delete(Delete { name: args.world()?, typed }))
}

pub(super) async fn run(delete: &Delete, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &delete.name;
    let event = Event::Delete { by: context.by.clone(), typed: delete.typed.clone() };
    let applied = driver
        .apply_to(&context.guild, name, (&context.asker, Action::Delete), &[event], context.now)
        .await
        .map_err(|error| Problem::applying(name, error))?;
    let text = match &applied.after.archive {
        Some(archive) => format!("`{name}` is being deleted; its archive {} is kept", archive.id),
        None => format!("`{name}` is being deleted; it was never played"),
    };
    Ok(Reply::World { world: Box::new(applied.after), text })
}
