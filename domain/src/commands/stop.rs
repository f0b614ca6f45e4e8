//! `world stop`: puts a world to sleep, whoever is on.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::{Applied, Driver},
    event::Event,
    idle::Evidence,
    words,
    world::{State, Then, WorldName},
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world stop",
    about: "Save a world and put it to sleep, whoever is on",
    options: &[spec::WORLD],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Stop(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let stop = Event::Stop { by: context.by.clone() };
    let applied = context.apply(name, Action::Stop, &context.followed(stop), driver).await?;
    let text = answer(&applied, context);
    Ok(Reply::World { world: Box::new(applied.after), text })
}

fn answer(Applied { before, .. }: &Applied, context: &Context) -> String {
    let name = &before.name;
    match &before.state {
        State::Asleep => format!("`{name}` is asleep already"),
        State::Starting { launch, .. } if launch.errand.is_some() => {
            format!("`{name}` stays as it is; what was to be done with it is called off")
        }
        State::Stopping { launch, then: Then::Sleep, .. }
        | State::Ending { launch, then: Then::Sleep, .. }
            if launch.errand.is_some() =>
        {
            format!("`{name}` sleeps already; what is being done with it goes on")
        }
        State::Starting { launch, .. } => {
            format!("`{name}` goes back to sleep; waking it was {}", words::asked(&launch.asked, context.now))
        }
        State::Awake { heard, .. } => match &heard.players {
            Evidence::Players(_) => {
                format!("`{name}` is going to sleep: saving first ({} on it)", heard.players)
            }
            Evidence::Empty | Evidence::Unknown(_) => format!("`{name}` is going to sleep: saving first"),
        },
        State::Stopping { then: Then::Start(asked), .. } | State::Ending { then: Then::Start(asked), .. } => {
            format!("`{name}` is going to sleep and stays asleep; {} had wanted it woken again", asked.by)
        }
        State::Stopping { then: Then::Sleep, .. } | State::Ending { then: Then::Sleep, .. } => {
            format!("`{name}` is going to sleep already")
        }
        State::Deleting { .. } | State::Deleted { .. } => format!("`{name}` is deleted"),
    }
}
