//! What Discord says that somebody did: a command, a button, a modal, a half-typed option.
//!
//! The records here hold only what is used, and everything else that Discord sends is passed over: a field that it adds or
//! drops tomorrow stops nobody. What is used is parsed once, into the domain's words, and bounded.

use std::collections::BTreeMap;

use domain::{access::Asker, commands::spec::Args, talk::ReplyId, world::Person};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::chat::discord::{limits, snowflake::Snowflake};

/// The largest interaction that is read. Discord's own are a few kilobytes; 25 texts of 6,000 characters are the most that a
/// command could hold.
pub const LARGEST: usize = 256 * 1024;

/// The longest token of an interaction that is taken; they are around 200 characters.
const LONGEST_TOKEN: usize = 480;

/// The longest name of a person that is shown; Discord's are at most 32 characters.
const LONGEST_PERSON: usize = 64;

/// Permission bits, of which each lets a member manage the guild.
const ADMINISTRATOR: u128 = 1 << 3;
const MANAGE_GUILD: u128 = 1 << 5;

/// Why an interaction cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It is larger than [`LARGEST`].
    #[error("an interaction of more than {LARGEST} bytes")]
    TooLarge,
    /// It is not the JSON of an interaction.
    #[error("no interaction: {0}")]
    NotOne(String),
}

fn not_one(what: impl ToString) -> Malformed {
    Malformed::NotOne(limits::clip(&what.to_string(), 200))
}

/// Something that somebody did.
#[derive(Clone, PartialEq, Eq)]
pub struct Interaction {
    /// Its id, which the answer over the gateway names.
    pub id: Snowflake,
    /// The application that it is for.
    pub application: Snowflake,
    /// What allows answering it, for 15 minutes: a secret.
    pub token: String,
    /// The guild; nothing in a direct message.
    pub guild: Option<Snowflake>,
    /// The channel.
    pub channel: Option<Snowflake>,
    /// Who; nothing in a direct message.
    pub member: Option<Member>,
    /// What they did.
    pub what: What,
}

impl Interaction {
    /// Returns the name of the answer, by which it can be changed later.
    pub fn reply(&self) -> Option<ReplyId> {
        ReplyId::parse(&format!("{}/{}", self.application, self.token)).ok()
    }
}

impl std::fmt::Debug for Interaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, guild, what, .. } = self;
        f.debug_struct("Interaction").field("id", id).field("guild", guild).field("what", what).finish()
    }
}

/// A member of a guild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person as others see them.
    pub person: Person,
    /// What they may do.
    pub asker: Asker,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Discord asks whether somebody is there.
    Ping,
    /// A command was given.
    Command {
        /// Its words, such as `world start`.
        path: String,
        /// What was given for its options.
        args: Args,
    },
    /// An option is being typed.
    Autocomplete {
        /// The command's words.
        path: String,
        /// The option.
        option: String,
        /// What is typed of it so far.
        typed: String,
        /// What is given for the other options.
        others: Args,
    },
    /// A button was pressed.
    Button {
        /// The button's id.
        custom_id: String,
    },
    /// A modal was sent.
    Modal {
        /// The modal's id.
        custom_id: String,
        /// What was typed, by the ids of the inputs.
        fields: Args,
    },
    /// Something of which we know only that it happened.
    Unknown,
}

/// Reads an interaction.
pub fn parse(body: &[u8]) -> Result<Interaction, Malformed> {
    if body.len() > LARGEST {
        return Err(Malformed::TooLarge);
    }
    let raw: Raw = serde_json::from_slice(body).map_err(not_one)?;
    let is_token =
        (1..=LONGEST_TOKEN).contains(&raw.token.len()) && raw.token.bytes().all(|b| b.is_ascii_graphic());
    if !is_token {
        return Err(not_one("its token is none"));
    }
    let what = what(raw.kind, raw.data.unwrap_or_default(), raw.guild_id)?;
    Ok(Interaction {
        id: raw.id,
        application: raw.application_id,
        token: raw.token,
        guild: raw.guild_id,
        channel: raw.channel_id.or(raw.channel.map(|channel| channel.id)),
        member: raw.member.map(member),
        what,
    })
}

fn what(kind: u8, data: Data, guild: Option<Snowflake>) -> Result<What, Malformed> {
    const PING: u8 = 1;
    const COMMAND: u8 = 2;
    const COMPONENT: u8 = 3;
    const AUTOCOMPLETE: u8 = 4;
    const MODAL: u8 = 5;
    Ok(match kind {
        PING => What::Ping,
        COMMAND => command(data, guild)?,
        AUTOCOMPLETE => autocomplete(data)?,
        COMPONENT => {
            What::Button { custom_id: data.custom_id.ok_or_else(|| not_one("a button without id"))? }
        }
        MODAL => What::Modal {
            custom_id: data.custom_id.ok_or_else(|| not_one("a modal without id"))?,
            fields: fields(data.components),
        },
        _ => What::Unknown,
    })
}

fn command(data: Data, guild: Option<Snowflake>) -> Result<What, Malformed> {
    let resolved = data.resolved.unwrap_or_default();
    let (path, options) = path(data.name, data.options)?;
    let args: Result<BTreeMap<_, _>, _> =
        options.into_iter().map(|option| value(option, &resolved, guild)).collect();
    Ok(What::Command { path, args: Args(args?) })
}

fn autocomplete(data: Data) -> Result<What, Malformed> {
    let (path, options) = path(data.name, data.options)?;
    let text = |value| match value {
        Some(Value::Text(text)) => text,
        Some(Value::Number(_) | Value::Flag(_)) | None => String::new(),
    };
    let (focused, others): (Vec<_>, Vec<_>) = options.into_iter().partition(|option| option.focused);
    let focused = focused.into_iter().next().ok_or_else(|| not_one("nothing is being typed"))?;
    let others = others.into_iter().map(|option| (option.name, text(option.value))).collect();
    Ok(What::Autocomplete { path, option: focused.name, typed: text(focused.value), others: Args(others) })
}

/// Returns the words of the command and the options behind them: `world`, and in it `start`.
fn path(name: Option<String>, options: Vec<RawOption>) -> Result<(String, Vec<RawOption>), Malformed> {
    const SUB_COMMAND: u8 = 1;
    const GROUP: u8 = 2;
    let (mut path, mut options) = (name.ok_or_else(|| not_one("a command without name"))?, options);
    // A command has at most a group and a name below it.
    for _ in 0..2 {
        match options.as_slice() {
            [below] if matches!(below.kind, SUB_COMMAND | GROUP) => {}
            _ => break,
        }
        let Some(below) = options.pop() else { break };
        path = format!("{path} {}", below.name);
        options = below.options;
    }
    if options.len() > limits::OPTIONS {
        return Err(not_one("too many options"));
    }
    Ok((limits::clip(&path, 3 * limits::COMMAND_NAME + 2), options))
}

/// Returns the name and the value of an option, in the domain's words.
fn value(
    option: RawOption,
    resolved: &Resolved,
    guild: Option<Snowflake>,
) -> Result<(String, String), Malformed> {
    const USER: u8 = 6;
    const ROLE: u8 = 8;
    const MENTIONABLE: u8 = 9;
    let RawOption { name, kind, value, .. } = option;
    let text = match value.ok_or_else(|| not_one("an option without value"))? {
        Value::Text(text) if limits::length(&text) <= limits::OPTION_TEXT => text,
        Value::Text(_) => return Err(not_one("an option that is too long")),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
    };
    let text = match kind {
        USER => format!("member:{text}"),
        // The role of everybody has the guild's own id.
        ROLE | MENTIONABLE if guild.is_some_and(|guild| guild.to_string() == text) => "everyone".into(),
        ROLE => format!("role:{text}"),
        MENTIONABLE if resolved.roles.contains_key(&text) => format!("role:{text}"),
        MENTIONABLE => format!("member:{text}"),
        _ => text,
    };
    Ok((limits::clip(&name, limits::COMMAND_NAME), text))
}

/// Returns what was typed into the inputs of a modal, whether they stand in rows or below labels.
fn fields(components: Vec<Component>) -> Args {
    let inputs = components.into_iter().flat_map(|Component { components, component, .. }| {
        components.into_iter().chain(component.map(|boxed| *boxed))
    });
    let typed = inputs.filter_map(|input| Some((input.custom_id?, input.value?)));
    Args(typed.map(|(id, value)| (id, limits::clip(&value, limits::OPTION_TEXT))).take(5).collect())
}

fn member(raw: RawMember) -> Member {
    let names = [raw.nick, raw.user.global_name, raw.user.username];
    let shown = names.into_iter().flatten().find_map(|name| person(&name));
    let permissions: u128 = raw.permissions.and_then(|bits| bits.parse().ok()).unwrap_or(0);
    let asker = Asker::Member {
        id: raw.user.id.to_string(),
        roles: raw.roles.iter().map(Snowflake::to_string).collect(),
        manages: permissions & (ADMINISTRATOR | MANAGE_GUILD) != 0,
    };
    Member { person: shown.unwrap_or_else(somebody), asker }
}

/// Returns a person of this name, without what could hide, reverse or break the line that shows it; nothing if nothing
/// visible is left.
fn person(name: &str) -> Option<Person> {
    let visible: String = name.chars().filter(|c| !is_trickery(*c)).collect();
    let words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(LONGEST_PERSON).collect();
    Person::parse(short.trim()).ok()
}

/// Tells whether a character is a control, changes the direction of what follows, or takes no room. The zero-width joiner
/// stays: it makes one picture of several.
fn is_trickery(c: char) -> bool {
    let is_blank = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    (c.is_control() && !c.is_whitespace()) || is_blank
}

fn somebody() -> Person {
    Person::parse("somebody").expect("`somebody` is a name")
}

#[derive(Deserialize)]
struct Raw {
    id: Snowflake,
    application_id: Snowflake,
    #[serde(rename = "type")]
    kind: u8,
    token: String,
    guild_id: Option<Snowflake>,
    channel_id: Option<Snowflake>,
    channel: Option<Channel>,
    member: Option<RawMember>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Channel {
    id: Snowflake,
}

#[derive(Deserialize)]
struct RawMember {
    user: RawUser,
    nick: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    roles: Vec<Snowflake>,
    permissions: Option<String>,
}

#[derive(Deserialize)]
struct RawUser {
    id: Snowflake,
    username: Option<String>,
    global_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Data {
    name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    options: Vec<RawOption>,
    resolved: Option<Resolved>,
    custom_id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    components: Vec<Component>,
}

#[derive(Default, Deserialize)]
struct Resolved {
    #[serde(default, deserialize_with = "or_default")]
    roles: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawOption {
    name: String,
    #[serde(rename = "type")]
    kind: u8,
    value: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    options: Vec<RawOption>,
    #[serde(default, deserialize_with = "or_default")]
    focused: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

/// A row, a label, or an input in one of them.
#[derive(Deserialize)]
struct Component {
    custom_id: Option<String>,
    value: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    components: Vec<Component>,
    component: Option<Box<Component>>,
}

/// Reads a value that may be null, as Discord writes some that are not there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}
