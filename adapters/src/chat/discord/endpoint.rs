//! Answers to what people do in Discord.
//!
//! An answer is never put off: it is made of one read, one conditional write and one send, well within the three seconds
//! that Discord waits; what takes longer shows later by changing the answer. The same interaction twice is taken once, and
//! where another process takes it again, it does no more than its command twice: what is so already succeeds.

use std::time::Duration;

use domain::{
    Timestamp,
    access::Action,
    commands::{
        self, Context, Problem, ProblemKind, Reply,
        spec::{Args, Kind, Shown, Spec},
    },
    driver::Driver,
    event::Event,
    lifecycle::step,
    ports::{Found, LoadError},
    talk::{Follower, Place},
    vault::ExportLink,
    words,
    world::{GuildId, World, WorldId, WorldName},
};
use serde_json::{Value, json};
use twilight_model::{
    application::command::{CommandOptionChoice, CommandOptionChoiceValue},
    channel::message::{
        Component,
        component::{Label, TextInput, TextInputStyle},
    },
    http::interaction::{InteractionResponseData, InteractionResponseType},
};

use crate::chat::discord::{
    Discord,
    custom_id::{BadCustomId, CustomId, Press},
    interaction::{self, Interaction, Malformed, Member, What},
    limits, making,
    markup::code,
    message::{Message, respond},
    replay::Hearing,
    reply::problem,
    signature::{Signed, verify},
};

/// How long an answer can be changed: Discord's 15 minutes, less what the last change may take.
pub(super) const FOLLOWED_FOR: Duration = Duration::from_secs(15 * 60 - 30);

/// How long an answer may take. Discord waits for three seconds, the way there and back included; what was begun by then
/// is finished by the worker.
const ANSWER_LIMIT: Duration = Duration::from_millis(2400);

/// How long a world stays awake by the button, which says so.
const STAYS_FOR: &str = "1h";

/// The id of the text input in which a name is typed once more.
const TYPED_NAME: &str = "name";

/// An answer to an HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: Value,
}

/// What an interaction is answered with.
enum Shape {
    /// A new message.
    New(Message),
    /// Another state of the message whose button was pressed.
    Same(Message),
    /// Something else, in JSON.
    Other(Value),
}

/// Somebody of a guild that is served.
struct Here<'a> {
    interaction: &'a Interaction,
    guild: GuildId,
    member: &'a Member,
}

impl Discord {
    /// Answers an HTTP request of Discord's: 401 unless Discord signed it, 413 or 400 if it is no interaction, 409 if it was
    /// taken before, and 200 with an answer for people to everything else. `fresh_id` is for a world that is made.
    pub async fn interact(
        &self,
        signed: Signed<'_>,
        body: &[u8],
        driver: &Driver,
        now: Timestamp,
        fresh_id: WorldId,
    ) -> Answer {
        let refused = |status, error: String| Answer { status, body: json!({ "error": error }) };
        if body.len() > interaction::LARGEST {
            return refused(413, Malformed::TooLarge.to_string());
        }
        let at = match verify(self.config.public_key.as_ref(), signed, body, now) {
            Ok(at) => at,
            Err(why) => return refused(401, why.to_string()),
        };
        match interaction::parse(body) {
            Ok(interaction) if self.heard.hear(interaction.id, at, now) == Hearing::Again => {
                tracing::warn!(id = %interaction.id, "an interaction came again");
                refused(409, "this interaction was taken before".to_owned())
            }
            Ok(interaction) => {
                let answer = self.answer(&interaction, at.min(now), driver, now, fresh_id).await;
                Answer { status: 200, body: answer }
            }
            Err(why) => {
                tracing::warn!(%why, "an interaction cannot be read");
                refused(400, why.to_string())
            }
        }
    }

    /// Answers an interaction that is known to come from Discord, which said it at `at`.
    pub async fn answer(
        &self,
        interaction: &Interaction,
        at: Timestamp,
        driver: &Driver,
        now: Timestamp,
        fresh_id: WorldId,
    ) -> Value {
        if interaction.what == What::Ping {
            return respond(InteractionResponseType::Pong, None);
        }
        let here = match self.admit(interaction) {
            Ok(here) => here,
            Err(no) => return strangers_answer(interaction, &no),
        };
        let context = here.context(at, now, fresh_id);
        let answered = self.answer_here(&here, context, driver);
        let shape = tokio::time::timeout(ANSWER_LIMIT, answered).await;
        match shape.unwrap_or_else(|_| Shape::New(too_slow())) {
            Shape::New(message) => message.answer(),
            Shape::Same(message) => message.update(),
            Shape::Other(value) => value,
        }
    }

    /// Returns who is there, if this application and its guilds are meant; otherwise what to tell them.
    fn admit<'a>(&self, interaction: &'a Interaction) -> Result<Here<'a>, String> {
        if interaction.application != self.config.application {
            return Err("This Dormouse answers for another application.".into());
        }
        let (Some(guild), Some(member)) = (interaction.guild, &interaction.member) else {
            return Err("Worlds belong to a server: use its channels, not a direct message.".into());
        };
        let id = GuildId::parse(&guild.to_string()).ok().filter(|_| self.config.guilds.contains(&guild));
        let Some(id) = id else {
            let text = format!(
                "This Dormouse does not serve this server.\nWhoever runs it can add its id, {}, to `guilds`.",
                code(&guild.to_string())
            );
            return Err(text);
        };
        Ok(Here { interaction, guild: id, member })
    }

    async fn answer_here(&self, here: &Here<'_>, context: Context, driver: &Driver) -> Shape {
        match &here.interaction.what {
            What::Ping => Shape::Other(respond(InteractionResponseType::Pong, None)),
            What::Command { path, args } => self.command(path, args, &context, driver).await,
            What::Autocomplete { path, option, typed, others } => {
                let found = suggestions(path, option, typed, others, &context, driver).await;
                Shape::Other(choices(found))
            }
            What::Button { custom_id } => match custom_id.parse() {
                Ok(id) => self.press(&id, &context, driver).await,
                Err(BadCustomId) => Shape::New(another_version()),
            },
            What::Modal { custom_id, fields } => {
                Shape::New(self.modal(custom_id, fields, &context, driver).await)
            }
            What::Unknown => Shape::New(another_version()),
        }
    }

    async fn command(&self, path: &str, args: &Args, context: &Context, driver: &Driver) -> Shape {
        let mut args = args.clone();
        // A confirmation is typed into a modal that says what is destroyed, and counts from nowhere else.
        args.0.retain(|name, _| kind_of(path, name) != Some(Kind::Confirmation));
        if path == commands::delete::SPEC.path {
            return match args.text("name").unwrap_or_default().parse() {
                Ok(name) => confirm_delete(&name, context, driver).await,
                Err(bad) => Shape::New(problem(&Problem::from(bad))),
            };
        }
        if path == commands::create::SPEC.path {
            match making::modal(&args, context, driver).await {
                Ok(Some(modal)) => return Shape::Other(modal),
                Ok(None) => {}
                Err(why) => return Shape::New(problem(&why)),
            }
        }
        Shape::New(match run(path, &args, context, driver).await {
            Ok(reply) => self.reply_to(path, &reply, shown(path)),
            Err(why) => problem(&why),
        })
    }

    /// Returns the message for the answer to a command. The card alone says how a world is, and goes on being right.
    fn reply_to(&self, path: &str, reply: &Reply, shown: Shown) -> Message {
        let message = self.reply(reply, shown);
        if path == commands::status::SPEC.path {
            return Message { content: String::new(), ..message };
        }
        message
    }

    /// Does what a button says: a command, of which the button's message then shows what came of it.
    async fn press(&self, id: &CustomId, context: &Context, driver: &Driver) -> Shape {
        let path = match id.press {
            Press::Start => commands::start::SPEC.path,
            Press::Stop => commands::stop::SPEC.path,
            Press::Stay => commands::keep::SPEC.path,
            Press::Refresh => commands::status::SPEC.path,
            Press::Export => commands::export::SPEC.path,
            Press::Delete => return confirm_delete(&id.world, context, driver).await,
        };
        let mut args = named(&id.world);
        if id.press == Press::Stay {
            args.0.insert("for".into(), STAYS_FOR.into());
        }
        match run(path, &args, context, driver).await {
            Ok(reply @ Reply::World { .. }) => Shape::Same(self.reply_to(path, &reply, Shown::Everybody)),
            Ok(reply) => Shape::New(self.reply(&reply, shown(path))),
            Err(why) => Shape::New(problem(&why)),
        }
    }

    /// Does what a modal was for.
    async fn modal(&self, id: &str, fields: &Args, context: &Context, driver: &Driver) -> Message {
        if let Some((path, args)) = making::sent(id, fields) {
            return match run(path, &args, context, driver).await {
                Ok(reply) => self.reply_to(path, &reply, shown(path)),
                Err(why) => problem(&why),
            };
        }
        match id.parse() {
            Ok(CustomId { press: Press::Delete, world }) => {
                self.delete(&world, fields, context, driver).await
            }
            Ok(_) | Err(BadCustomId) => another_version(),
        }
    }

    /// Deletes the world whose name was typed into the modal.
    async fn delete(&self, name: &WorldName, fields: &Args, context: &Context, driver: &Driver) -> Message {
        let typed = fields.text(TYPED_NAME).map_or("", |typed| typed.trim());
        if typed != name.as_str() {
            return Message::whisper(format!("That is not the name of `{name}`, so nothing was deleted."));
        }
        let mut args = named(name);
        args.0.insert("confirm".into(), typed.into());
        let path = commands::delete::SPEC.path;
        match run(path, &args, context, driver).await {
            Ok(reply) => self.reply(&reply, shown(path)),
            Err(why) => problem(&why),
        }
    }
}

impl Here<'_> {
    fn context(&self, at: Timestamp, now: Timestamp, fresh_id: WorldId) -> Context {
        let Self { interaction, guild, member } = self;
        let channel = interaction.channel.map(|channel| channel.to_string());
        Context {
            guild: guild.clone(),
            by: member.person.clone(),
            asker: member.asker.clone(),
            place: channel.and_then(|channel| Place::parse(&channel).ok()),
            follower: interaction.reply().map(|reply| Follower { reply, until: at + FOLLOWED_FOR }),
            now,
            fresh_id,
        }
    }
}

async fn run(path: &str, args: &Args, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    commands::run(commands::read(path, args)?, context, driver).await
}

fn named(name: &WorldName) -> Args {
    Args([("name".to_owned(), name.to_string())].into())
}

fn spec(path: &str) -> Option<&'static Spec> {
    commands::LIST.iter().find(|spec| spec.path == path)
}

fn shown(path: &str) -> Shown {
    spec(path).map_or(Shown::Asker, |spec| spec.shown)
}

fn kind_of(path: &str, option: &str) -> Option<Kind> {
    spec(path)?.options.iter().find(|opt| opt.name == option).map(|opt| opt.kind)
}

/// Asks for the name of the world once more, unless it cannot be deleted as it is.
async fn confirm_delete(name: &WorldName, context: &Context, driver: &Driver) -> Shape {
    match may_delete(name, context, driver).await {
        Ok(()) => Shape::Other(delete_modal(name)),
        Err(why) => Shape::New(problem(&why)),
    }
}

/// Says why the world could not be deleted, were its name typed.
async fn may_delete(name: &WorldName, context: &Context, driver: &Driver) -> Result<(), Problem> {
    let Found { world, rules, .. } =
        driver.store.find(&context.guild, name).await.map_err(|error| match error {
            LoadError::NotFound => {
                let text = format!("there is no world `{name}`");
                Problem::new(ProblemKind::NotFound, text, "`world list` shows those that are there")
            }
            LoadError::Unavailable(why) => why.into(),
        })?;
    rules.require(&context.asker, Action::Delete)?;
    let delete = Event::Delete { by: context.by.clone(), typed: name.to_string() };
    Ok(step(&world, delete, context.now).map(drop)?)
}

fn delete_modal(name: &WorldName) -> Value {
    let id = CustomId { press: Press::Delete, world: name.clone() };
    #[expect(deprecated, reason = "every field of the record has to be named")]
    let input = TextInput {
        custom_id: TYPED_NAME.into(),
        id: None,
        label: None,
        max_length: Some(32),
        min_length: Some(1),
        placeholder: Some(limits::clip(name.as_str(), limits::PLACEHOLDER)),
        required: Some(true),
        style: TextInputStyle::Short,
        value: None,
    };
    let label = Label {
        id: None,
        label: limits::clip("Its name once more, to be sure", limits::MODAL_LABEL),
        description: Some(limits::clip(
            "Its files are removed for good; its last archive is kept for 30 days.",
            limits::LABEL_DESCRIPTION,
        )),
        component: Box::new(Component::TextInput(input)),
    };
    let data = InteractionResponseData {
        custom_id: Some(limits::clip(&id.to_string(), limits::CUSTOM_ID)),
        title: Some(limits::clip(&format!("Delete {name}?"), limits::MODAL_TITLE)),
        components: Some(vec![Component::Label(label)]),
        ..InteractionResponseData::default()
    };
    respond(InteractionResponseType::Modal, Some(data))
}

/// Returns what the option could be, by what is typed of it: what people read and what is then sent, best first.
async fn suggestions(
    path: &str,
    option: &str,
    typed: &str,
    others: &Args,
    context: &Context,
    driver: &Driver,
) -> Vec<(String, String)> {
    let typed = typed.trim().to_lowercase();
    let all: Vec<(String, String)> = match kind_of(path, option) {
        Some(Kind::World) => match driver.store.list(&context.guild).await {
            Ok(listed) => listed
                .worlds
                .iter()
                .map(|world| (format!("{} — {}", world.name, words::state(world)), world.name.to_string()))
                .collect(),
            Err(why) => {
                tracing::error!(%why, "the worlds to choose from are out of reach");
                Vec::new()
            }
        },
        Some(Kind::Game) => {
            driver.games.values().map(|game| (game.name.clone(), game.id.to_string())).collect()
        }
        Some(Kind::Archive) => {
            let world = meant(others, context, driver).await;
            let kept = world.iter().flat_map(|world| &world.vault.kept);
            kept.map(|kept| (words::kept(kept, context.now), kept.archive.id.to_string())).collect()
        }
        Some(Kind::Link) => {
            let world = meant(others, context, driver).await;
            let links = world.iter().flat_map(|world| &world.vault.links);
            let said = |link: &ExportLink| {
                let age = words::length(words::between(link.asked.at, context.now));
                format!("{} — {} downloads, made {age} ago for {}", link.id, link.downloads, link.asked.by)
            };
            links.map(|link| (said(link), link.id.to_string())).collect()
        }
        Some(Kind::Setting) => {
            let world = meant(others, context, driver).await;
            let game = world.and_then(|world| driver.games.get(&world.game));
            let settings = game.iter().flat_map(|game| &game.settings);
            settings
                .map(|setting| (format!("{} — {}", setting.name, setting.title), setting.name.to_string()))
                .collect()
        }
        Some(
            Kind::NewName
            | Kind::Length
            | Kind::Port
            | Kind::Upload
            | Kind::Count
            | Kind::Value
            | Kind::Storage
            | Kind::Confirmation
            | Kind::Action
            | Kind::Who,
        )
        | None => Vec::new(),
    };
    let rank = |(shown, sent): &(String, String)| {
        let begins = sent.starts_with(&typed) || shown.to_lowercase().starts_with(&typed);
        let has = sent.contains(&typed) || shown.to_lowercase().contains(&typed);
        if begins { Some(0) } else { has.then_some(1) }
    };
    let mut found: Vec<_> = all.into_iter().filter_map(|choice| Some((rank(&choice)?, choice))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, choice)| choice).take(limits::CHOICES).collect()
}

/// Returns the world that the other options name, if there is one.
async fn meant(others: &Args, context: &Context, driver: &Driver) -> Option<World> {
    let name = others.text("name")?.parse().ok()?;
    match driver.store.find(&context.guild, &name).await {
        Ok(found) => Some(found.world),
        Err(LoadError::NotFound) => None,
        Err(LoadError::Unavailable(why)) => {
            tracing::error!(%why, "the world to choose from is out of reach");
            None
        }
    }
}

fn choices(found: Vec<(String, String)>) -> Value {
    let choice = |(shown, sent): (String, String)| CommandOptionChoice {
        name: limits::clip(&shown, limits::CHOICE),
        name_localizations: None,
        value: CommandOptionChoiceValue::String(sent),
    };
    let choices = found.into_iter().take(limits::CHOICES).map(choice).collect();
    let data = InteractionResponseData { choices: Some(choices), ..InteractionResponseData::default() };
    respond(InteractionResponseType::ApplicationCommandAutocompleteResult, Some(data))
}

/// Returns the answer for somebody who is not served: to half-typed options nothing can be said.
fn strangers_answer(interaction: &Interaction, no: &str) -> Value {
    match interaction.what {
        What::Autocomplete { .. } => choices(Vec::new()),
        What::Ping | What::Command { .. } | What::Button { .. } | What::Modal { .. } | What::Unknown => {
            Message::whisper(no).answer()
        }
    }
}

fn another_version() -> Message {
    Message::whisper(
        "This belongs to another version of Dormouse.\n`/world status` shows the world with new buttons.",
    )
}

fn too_slow() -> Message {
    tracing::error!("an answer took longer than Discord waits");
    Message::whisper(
        "This takes longer than usual, and may or may not have been done.\n`/world status` shows how it is.",
    )
}
