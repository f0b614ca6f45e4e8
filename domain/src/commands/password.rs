//! `world password`: shows what of a world is only for those who may wake it.

use crate::{
    access::Action,
    commands::{
        Command, Context, Problem, Reply,
        spec::{self, Shown, Spec},
    },
    driver::Driver,
    ports::Found,
    settings::SettingValue,
    world::WorldName,
};

/// What is only for those who may wake a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The world.
    pub name: WorldName,
    /// Each that is set, by what people read for it.
    pub all: Vec<(String, SettingValue)>,
}

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world password",
    about: "See a world's passwords; nobody else sees the answer",
    options: &[spec::WORLD],
    shown: Shown::Asker,
    read: |args| Ok(Command::Password(args.world()?)),
};

pub(super) async fn run(name: &WorldName, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    let Found { world, rules, .. } = context.find(name, driver).await?;
    rules.require(&context.asker, Action::Start)?;
    let declared = driver.games.get(&world.game).map(|game| game.settings.as_slice()).unwrap_or_default();
    let secrets = declared
        .iter()
        .filter(|setting| setting.is_secret())
        .filter_map(|setting| Some((setting.title.clone(), world.settings.0.get(&setting.name)?.clone())));
    Ok(Reply::Secrets(Secrets { name: name.clone(), all: secrets.collect() }))
}
