//! `world set`: shows what a world's game lets people choose, or chooses it.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Args, Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    game::Game,
    idle::TimerChoices,
    ports::Found,
    refusal::Refusal,
    settings::{self, Choices, Setting, Typed},
    vault::CareChoices,
    world::{SettingName, State, World, WorldName},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The world.
    pub name: WorldName,
    /// What is to be chosen; nothing shows what is.
    pub typed: Typed,
}

/// The value by which somebody has it as the game does by itself again.
const UNCHOSEN: &str = "default";

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world set",
    about: "See what a world's game lets you choose, or choose it",
    options: &[
        spec::WORLD,
        Opt::optional("setting", Kind::Setting, "Which setting; without a value, all are shown"),
        spec::VALUE,
    ],
    // What is typed here may be a password.
    shown: Shown::Asker,
    read,
};

fn read(args: &Args) -> Result<Command, Problem> {
    let Typed(mut typed) = args.given();
    // A setting without a value is one that somebody wants to see: a password must not go by that.
    if let (Some(setting), Some(value)) = (args.text("setting"), args.text(spec::VALUE.name)) {
        typed.insert(setting.to_owned(), Some(value.to_owned()).filter(|value| value != UNCHOSEN));
    }
    Ok(Command::Set(Set { name: args.world()?, typed: Typed(typed) }))
}

pub(super) async fn run(wanted: &Set, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, rules, .. } = context.find(&wanted.name, driver).await?;
    let game = driver.games.get(&world.game).ok_or_else(|| not_offered(&world))?;
    if wanted.typed.0.is_empty() {
        let text = described(&world, game);
        return Ok(Reply::World { world: Box::new(world), text });
    }
    // What is wrong with a choice is for those alone who may make it.
    rules.require(&context.asker, Action::Settings)?;
    let choices = settings::choose(&game.settings, &wanted.typed)?;
    let said = chosen(&game.settings, &choices);
    let event = Event::Set {
        timers: TimerChoices::default(),
        care: CareChoices::default(),
        settings: without_strangers(choices, &world, game),
    };
    let applied = context.apply(&wanted.name, Action::Settings, &[event], driver).await?;
    let when = match &applied.after.state {
        State::Asleep => "",
        State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => "; that counts from its next start",
    };
    let text = format!("of `{}`, {said}{when}", wanted.name);
    Ok(Reply::World { world: Box::new(applied.after), text })
}

fn not_offered(world: &World) -> Problem {
    Refusal::NotOffered { name: world.name.clone(), game: world.game.clone() }.into()
}

/// Takes out what was chosen of settings that the game has no more, so that a record never grows by them.
fn without_strangers(mut choices: Choices, world: &World, game: &Game) -> Choices {
    let is_declared = |name: &SettingName| game.settings.iter().any(|setting| setting.name == *name);
    let strangers = world.settings.0.keys().filter(|name| !is_declared(name));
    choices.values.extend(strangers.map(|name| (name.clone(), None)));
    choices
}

/// Says what was chosen, but no secrets.
fn chosen(declared: &[Setting], choices: &Choices) -> String {
    let one = |setting: &Setting| {
        let value = choices.values.get(&setting.name)?;
        Some(match (value, &setting.kind) {
            (None, _) => format!("`{}` is the game's own again", setting.name),
            (Some(_), settings::Kind::Terms(_)) => format!("`{}` is accepted", setting.name),
            (Some(_), _) if setting.is_secret() => format!("`{}` is changed", setting.name),
            (Some(value), _) => format!("`{}` is {}", setting.name, value.as_str()),
        })
    };
    declared.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// Says of each setting what it is and what it takes, but no secrets.
fn described(world: &World, game: &Game) -> String {
    if game.settings.is_empty() {
        return format!("{} has nothing to choose for `{}`", game.name, world.name);
    }
    let open = settings::open(&game.settings, &world.settings);
    let one = |setting: &Setting| {
        let value = match open.iter().find(|(shown, _)| shown.name == setting.name) {
            Some((_, value)) => (*value).to_owned(),
            None if setting.is_secret() && world.settings.0.contains_key(&setting.name) => "set".into(),
            None => "not set".into(),
        };
        format!("`{}` is {value} ({})", setting.name, setting.kind.allowed())
    };
    let all: Vec<_> = game.settings.iter().map(one).collect();
    format!("of `{}`, {}", world.name, all.join("; "))
}
