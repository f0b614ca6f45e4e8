//! `world start`: wakes a world, or says who woke it and how far it is.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::{Applied, Driver},
    event::Event,
    game::Game,
    words,
    world::{State, Then, WorldName},
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world start",
    about: "Wake a world",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Start(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let start = Event::Start { by: context.by.clone() };
    let applied = context.apply(name, Action::Start, &context.followed(start), driver).await?;
    let text = answer(&applied, driver.games.get(&applied.after.game), context);
    Ok(Reply::World { world: Box::new(applied.after), text })
}

fn answer(Applied { before, after }: &Applied, game: Option<&Game>, context: &Context) -> String {
    let name = &before.name;
    match &before.state {
        State::Asleep => format!("waking `{name}`, {}", words::to_go(after, game, context.now)),
        State::Starting { launch, .. } => format!(
            "`{name}` is already waking, {}, {}",
            words::asked(&launch.asked, context.now),
            words::to_go(before, game, context.now)
        ),
        State::Awake { launch, address, .. } => {
            format!("`{name}` is already awake at {address}, {}", words::asked(&launch.asked, context.now))
        }
        State::Stopping { launch, then: Then::Sleep, .. }
        | State::Ending { launch, then: Then::Sleep, .. }
            if launch.errand.is_some() =>
        {
            format!("`{name}` is being worked on; it is woken as soon as that is done")
        }
        State::Stopping { then: Then::Start(asked), .. } | State::Ending { then: Then::Start(asked), .. } => {
            let asked = words::asked(asked, context.now);
            format!("`{name}` is on its way to sleep; waking it right after was {asked}")
        }
        State::Stopping { then: Then::Sleep, .. } => {
            format!("`{name}` is going to sleep; it is woken again as soon as it is saved")
        }
        State::Ending { then: Then::Sleep, .. } => {
            format!("`{name}` is going to sleep; it is woken again as soon as its task has ended")
        }
        State::Deleting { .. } | State::Deleted { .. } => format!("`{name}` is deleted"),
    }
}
