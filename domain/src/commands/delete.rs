//! `world delete`: removes a sleeping world whose newest state is in a checked archive, after a confirmation.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply, export,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::{ApplyError, Driver},
    event::Event,
    refusal::Refusal,
    vault::KEPT_DELETED,
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
    about: "Delete a sleeping world; its last archive is kept for 30 days",
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
    let (by, id) = (context.by.clone(), context.fresh_link()?);
    let event = Event::Delete { by: by.clone(), typed: delete.typed.clone() };
    // Whoever deletes it can still get it back.
    let (link, expires) = (id.clone(), context.now + KEPT_DELETED);
    let export = Event::Export { by, link, archive: None, expires };
    let (guild, asked) = (&context.guild, (&context.asker, Action::Delete));
    let applied =
        match driver.apply_to(guild, name, asked, &[event.clone(), export.clone()], context.now).await {
            Err(ApplyError::Refused(Refusal::NoArchive(_))) => {
                driver.apply_to(guild, name, asked, &[event], context.now).await
            }
            Err(ApplyError::Refused(Refusal::TooManyLinks(_))) => {
                let room = Event::Withdraw { link: None };
                driver.apply_to(guild, name, asked, &[event, room, export], context.now).await
            }
            applied => applied,
        };
    let applied = applied.map_err(|error| Problem::applying(name, error))?;
    let world = applied.after;
    let link = world.vault.link(&id);
    // It is being deleted already, so that there is no link is no reason to say otherwise.
    let link = link.and_then(|link| export::shown(&world, link, context.now, driver).ok());
    let text = match world.vault.current() {
        Some(last) => {
            format!("`{name}` is being deleted; its archive {} is kept for 30 days", last.archive.id)
        }
        None => format!("`{name}` is being deleted; it was never played"),
    };
    Ok(Reply::Deleted { world: Box::new(world), link, text })
}
