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
    world::{State, WorldName},
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
    let kept = match &applied.after.state {
        State::Awake { keep: Some((_, until)), .. } => words::between(context.now, *until),
        State::Awake { keep: None, .. }
        | State::Asleep
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => Duration::ZERO,
    };
    let bound = if kept < keep.length { ", which is as long as it may run" } else { "" };
    let text = format!("`{name}` is kept awake for {}{bound}", words::length(kept));
    Ok(Reply::World { world: Box::new(applied.after), text })
}
