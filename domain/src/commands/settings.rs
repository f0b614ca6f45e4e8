//! `world settings`: shows a world's settings, or changes them while it sleeps.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, ProblemKind, Reply,
        create::TimerChoices,
        spec::{self, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    idle::{BadTimer, Timers},
    ports::Found,
    words,
    world::{World, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The world.
    pub name: WorldName,
    /// The timers to change; none, to see them.
    pub timers: TimerChoices,
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world settings",
    about: "See a world's settings, or change them while it sleeps",
    options: &[
        spec::WORLD,
        Opt::optional("sleep-after", Kind::Length, TimerChoices::LAST_LEFT),
        Opt::optional("join-within", Kind::Length, TimerChoices::NEVER_JOINED),
        Opt::optional("longest-run", Kind::Length, TimerChoices::CAP),
    ],
    shown: Shown::Everybody,
    read: |args| Ok(Command::Settings(Settings { name: args.world()?, timers: TimerChoices::read(args)? })),
};

pub(super) async fn run(wanted: &Settings, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let name = &wanted.name;
    let found = driver.store.find(&context.guild, name).await;
    let Found { world, .. } = found.map_err(|error| Problem::loading(name, error))?;
    if wanted.timers == TimerChoices::default() {
        return Ok(told(world, "has these settings"));
    }
    let bad = |e: BadTimer| Problem::new(ProblemKind::BadInput, e.to_string(), "nothing was changed");
    let timers = wanted.timers.over(world.timers).checked().map_err(bad)?;
    let applied = driver
        .apply_to(
            &context.guild,
            name,
            (&context.asker, Action::Settings),
            &[Event::Set { timers }],
            context.now,
        )
        .await
        .map_err(|error| Problem::applying(name, error))?;
    Ok(told(applied.after, "has new settings"))
}

fn told(world: World, what: &str) -> Reply {
    let text = format!("`{}` {what}: {}", world.name, settings(&world.timers));
    Reply::World { world: Box::new(world), text }
}

fn settings(timers: &Timers) -> String {
    let Timers { never_joined, last_left, warning, cap } = timers;
    format!(
        "sleeps {} after the last player left, or {} after it woke if nobody joins, {} after a warning; runs {} at most",
        words::length(*last_left),
        words::length(*never_joined),
        words::length(*warning),
        words::length(*cap)
    )
}
