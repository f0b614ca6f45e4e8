//! `world backup`: makes an archive of a world now, asleep or awake.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::{Applied, Driver},
    event::Event,
    words,
    world::{Errand, State, WorldName},
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world backup",
    about: "Make an archive of a world now; nobody is thrown out",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Backup(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let event = Event::Errand { by: context.by.clone(), errand: Errand::Backup };
    let events = context.followed(event);
    let applied = context.apply(name, Action::Backup, &events, driver).await?;
    let text = answer(&applied, context);
    Ok(Reply::World { world: Box::new(applied.after), text })
}

fn answer(Applied { before, after }: &Applied, context: &Context) -> String {
    let name = &before.name;
    match &before.state {
        State::Asleep if after.launch().is_none() => {
            let kept = before.vault.current().map(|kept| words::kept(kept, context.now)).unwrap_or_default();
            format!("`{name}` is as it was when it was archived last: {kept}")
        }
        State::Asleep => format!("`{name}` is being archived; it stays asleep"),
        State::Awake { backup: Some(backup), .. } if backup.step.is_under_way() => {
            format!("`{name}` is being archived already; `world backups {name}` shows it when it is done")
        }
        State::Awake { .. } => {
            format!(
                "`{name}` is being archived while it stays awake; `world backups {name}` shows it when it is done"
            )
        }
        State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => format!("`{name}` is being archived already"),
    }
}
