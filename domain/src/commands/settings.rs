//! `world settings`: shows a world's settings, or changes them.

use std::time::Duration;

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply, create,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    idle::{TimerChoices, Timers},
    ports::Found,
    settings::Choices,
    vault::{Care, CareChoices, Retention, Storage},
    words,
    world::{World, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The world.
    pub name: WorldName,
    /// The timers to change.
    pub timers: TimerChoices,
    /// What to change of how its archives are looked after.
    pub care: CareChoices,
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world settings",
    about: "See a world's settings, or change them",
    options: &[
        spec::WORLD,
        Opt::optional("sleep-after", Kind::Length, create::LAST_LEFT),
        Opt::optional("join-within", Kind::Length, create::NEVER_JOINED),
        Opt::optional("afk", Kind::Length, create::AFK),
        Opt::optional("longest-run", Kind::Length, create::CAP),
        Opt::optional("storage", Kind::Storage, create::STORAGE),
        Opt::optional(
            "backup-every",
            Kind::Length,
            "How often it is archived while somebody plays, such as 1h; 0s for never",
        ),
        Opt::optional("keep-newest", Kind::Count, "How many of its newest archives are kept, such as 5"),
        Opt::optional(
            "keep-daily",
            Kind::Count,
            "For how many days the last archive of each is kept, such as 7",
        ),
        Opt::optional(
            "keep-weekly",
            Kind::Count,
            "For how many weeks the last archive of each is kept, such as 4",
        ),
    ],
    shown: Shown::Everybody,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    let care = CareChoices {
        backup_every: args.length("backup-every")?,
        newest: args.count("keep-newest")?,
        daily: args.count("keep-daily")?,
        weekly: args.count("keep-weekly")?,
        storage: args.storage("storage")?,
    };
    Ok(Command::Settings(Settings { name: args.world()?, timers: create::timers(args)?, care }))
}

pub(super) async fn run(wanted: &Settings, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Settings { name, timers, care } = wanted;
    if *timers == TimerChoices::default() && *care == CareChoices::default() {
        let Found { world, .. } = context.find(name, driver).await?;
        return Ok(told(world, "has these settings"));
    }
    if timers.afk.is_some() {
        let Found { world, .. } = context.find(name, driver).await?;
        if let Some(game) = driver.games.get(&world.game) {
            create::check_afk(timers, game)?;
        }
    }
    let event = Event::Set { timers: *timers, care: *care, settings: Choices::default() };
    let applied = context.apply(name, Action::Settings, &[event], driver).await?;
    Ok(told(applied.after, "has new settings"))
}

fn told(world: World, what: &str) -> Reply {
    let text =
        format!("`{}` {what}: {}; {}", world.name, of_timers(&world.timers), of_care(&world.vault.care));
    Reply::World { world: Box::new(world), text }
}

fn of_timers(timers: &Timers) -> String {
    let Timers { never_joined, last_left, warning, afk, cap } = timers;
    let still = match *afk {
        Duration::ZERO => String::new(),
        afk => format!(", or {} after anybody last moved", words::length(afk)),
    };
    format!(
        "sleeps {} after the last player left, or {} after it woke if nobody joins{still}, {} after a warning; \
         runs {} at most",
        words::length(*last_left),
        words::length(*never_joined),
        words::length(*warning),
        words::length(*cap)
    )
}

fn of_care(Care { backup_every, retention: Retention { newest, daily, weekly }, storage }: &Care) -> String {
    let every = match *backup_every {
        Duration::ZERO => "is not archived while it is played".into(),
        every => format!("is archived every {} while it is played", words::length(every)),
    };
    let lives = match storage {
        Storage::Directory => "in its directory",
        Storage::Archive => "in its newest archive alone",
    };
    format!(
        "{every}; the newest {newest} archives are kept, and the last ones of {daily} days and {weekly} weeks; \
         sleeps {lives}"
    )
}
