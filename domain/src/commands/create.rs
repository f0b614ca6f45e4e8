//! `world create`: makes a world, asleep.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, ProblemKind, Reply,
        spec::{Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    game::Game,
    idle::TimerChoices,
    lifecycle::{NewWorld, create},
    ports::{CreateError, Listed},
    settings::{Chosen, Typed, choose, require_all},
    vault::{Care, Storage},
    world::{GameId, WorldName},
};

/// How many worlds a guild may have. Each one costs storage, and lists have to stay readable.
pub const MOST_WORLDS: usize = 100;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub name: WorldName,
    /// Its game.
    pub game: GameId,
    /// What is chosen of the game's settings.
    pub settings: Typed,
    /// Timers other than the game's own.
    pub timers: TimerChoices,
    /// Where it lives while it sleeps, if not in its directory.
    pub storage: Option<Storage>,
    /// The first port, where it shall not be the runtime's choice.
    pub port: Option<u16>,
}

pub(super) const LAST_LEFT: &str = "How long after the last player left it goes to sleep, such as 10m";
pub(super) const NEVER_JOINED: &str = "How long it waits for the first player, such as 15m";
pub(super) const AFK: &str =
    "How long they may all stand still until it goes to sleep, such as 45m; 0s for ever";
pub(super) const CAP: &str = "The longest it runs, whoever is on, such as 12h";

pub(super) const STORAGE: &str = "Where it lives asleep: in its directory, or in its newest archive alone";

pub(super) fn timers(args: &Args) -> Result<TimerChoices, Problem> {
    Ok(TimerChoices {
        never_joined: args.length("join-within")?,
        last_left: args.length("sleep-after")?,
        warning: None,
        afk: args.length("afk")?,
        cap: args.length("longest-run")?,
    })
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world create",
    about: "Make a world; it sleeps until somebody wakes it",
    options: &[
        Opt::needed("name", Kind::NewName, "What to call it: small letters, digits, hyphens"),
        Opt::needed("game", Kind::Game, "Which game"),
        Opt::optional("sleep-after", Kind::Length, LAST_LEFT),
        Opt::optional("join-within", Kind::Length, NEVER_JOINED),
        Opt::optional("afk", Kind::Length, AFK),
        Opt::optional("longest-run", Kind::Length, CAP),
        Opt::optional("storage", Kind::Storage, STORAGE),
        Opt::optional("port", Kind::Port, "Its first port, where it can be chosen"),
    ],
    shown: Shown::Everybody,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    let (name, game) = (args.parsed("name")?, args.parsed("game")?);
    let (timers, storage, port) = (timers(args)?, args.storage("storage")?, args.port("port")?);
    let settings = args.given();
    Ok(Command::Create(Create { name, game, settings, timers, storage, port }))
}

pub(super) async fn run(wanted: Create, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Some(game) = driver.games.get(&wanted.game) else {
        return Err(unknown_game(&wanted.game, driver));
    };
    check_afk(&wanted.timers, game)?;
    let bad_timer =
        |e: crate::idle::BadTimer| Problem::new(ProblemKind::BadInput, e.to_string(), "nothing was made");
    let timers = wanted.timers.over(game.timers).checked().map_err(bad_timer)?;
    if wanted.port.is_some_and(|port| game.clone().at_port(port).is_none()) {
        let text = format!("port {} leaves no room for the ports of {}", wanted.port.unwrap_or(0), game.name);
        return Err(Problem::new(ProblemKind::BadInput, text, "choose one from 1024 to 65000"));
    }
    let Listed { worlds, rules } = driver.store.list(&context.guild).await?;
    rules.require(&context.asker, Action::Create)?;
    if worlds.len() >= MOST_WORLDS {
        let text = format!("there are {MOST_WORLDS} worlds already, which is the most");
        return Err(Problem::new(ProblemKind::Refused, text, "delete one first"));
    }
    // Before anything is asked for: it would be typed for nothing.
    if worlds.iter().any(|world| world.name == wanted.name) {
        return Err(Problem::creating(&wanted.name, CreateError::NameTaken));
    }
    let settings = Chosen::default().with(&choose(&game.settings, &wanted.settings)?);
    require_all(&game.settings, &settings)?;
    let new = NewWorld {
        id: context.fresh_id.clone(),
        guild: context.guild.clone(),
        name: wanted.name.clone(),
        game: wanted.game,
        timers,
        care: Care { storage: wanted.storage.unwrap_or(Care::DEFAULT.storage), ..Care::DEFAULT },
        settings,
        port: wanted.port,
        place: context.place.clone(),
    };
    let world = create(new, context.by.clone(), context.now);
    driver.create(&world).await.map_err(|e| Problem::creating(&wanted.name, e))?;
    let text = format!("`{0}` is made, a world of {1}; `world start {0}` wakes it", wanted.name, game.name);
    Ok(Reply::World { world: Box::new(world), text })
}

/// Refuses an AFK limit for a game of which nobody can tell whether its players move.
pub(super) fn check_afk(timers: &TimerChoices, game: &Game) -> Result<(), Problem> {
    if game.players.active.is_some() || timers.afk.is_none_or(|afk| afk.is_zero()) {
        return Ok(());
    }
    let text =
        format!("nobody can tell whether players of {} move, so that `afk` means nothing there", game.name);
    Err(Problem::new(ProblemKind::BadInput, text, "leave it out"))
}

fn unknown_game(game: &GameId, driver: &Driver) -> Problem {
    let known: Vec<_> = driver.games.keys().map(GameId::as_str).collect();
    let hint = if known.is_empty() {
        "the catalogue is empty".into()
    } else {
        format!("there are: {}", known.join(", "))
    };
    Problem::new(ProblemKind::NotFound, format!("there is no game `{game}`"), hint)
}
