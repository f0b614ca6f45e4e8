//! `world keep`: keeps an awake world awake for a while with nobody on.

use std::time::Duration;

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    words,
    world::{State, World, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The world.
    pub name: WorldName,
    /// For how long from now.
    pub length: Duration,
}

/// The longest time that can be asked for; the world's cap comes first in any case.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For how long, when nobody says.
const USUAL: Duration = Duration::from_secs(2 * 60 * 60);

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world keep",
    about: "Keep a world awake for a while with nobody on",
    options: &[
        spec::WORLD,
        Opt::optional("for", Kind::Length, "How long, such as 45m or 2h30m; 2h if left out"),
    ],
    shown: Shown::Everybody,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    Ok(Command::Keep(Keep { name: args.world()?, length: args.length("for")?.unwrap_or(USUAL) }))
}

pub(super) async fn run(keep: &Keep, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &keep.name;
    let event = Event::Keep { by: context.by.clone(), until: context.now + keep.length.min(LONGEST) };
    let applied = context.apply(name, Action::Keep, &[event], driver).await?;
    let text = answer(keep, &applied.after, context);
    Ok(Reply::World { world: Box::new(applied.after), text })
}

fn answer(keep: &Keep, world: &World, context: &Context) -> String {
    let name = &keep.name;
    let (kept, asked) = match &world.state {
        State::Awake { keep: Some((asked, until)), .. } => {
            (words::between(context.now, *until), Some(asked).filter(|_| *until > context.now + keep.length))
        }
        State::Awake { keep: None, .. }
        | State::Asleep
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => (Duration::ZERO, None),
    };
    let length = words::length(kept);
    match asked {
        Some(asked) => {
            format!("`{name}` is already kept awake for {length}, {}", words::asked(asked, context.now))
        }
        None if kept < keep.length => {
            format!("`{name}` is kept awake for {length}, which is as long as it may run")
        }
        None => format!("`{name}` is kept awake for {length}"),
    }
}
