//! The application's commands, made from the domain's one list of them, and how they differ from those that Discord has.

use std::fmt;

use domain::{
    access::Action,
    commands::{
        LIST,
        spec::{Kind, Need, Opt, Spec},
    },
    vault::Storage,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::discord::{limits, rest::Scope};

/// `MANAGE_GUILD`, as Discord writes sets of permissions.
const MANAGE_GUILD: &str = "32";

/// The ports that a game can have.
const PORTS: (i64, i64) = (1024, 65_000);

/// Groups of commands, and what is said of each.
const GROUPS: [(&str, &str); 2] = [
    ("world", "Wake worlds, put them to sleep, and look after them"),
    ("access", "See and change who may do what"),
];

/// A command as it is registered. Read back from Discord, what is not in here is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppCommand {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// `1`: called by a slash.
    #[serde(rename = "type", default = "slash")]
    pub kind: u8,
    /// Its options, or the commands of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<AppOption>,
    /// The permissions that it is shown for, until a guild decides otherwise; nothing means all.
    #[serde(default)]
    pub default_member_permissions: Option<String>,
    /// `[0]`: in guilds, not in direct messages. A guild's own commands have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contexts: Option<Vec<u8>>,
    /// `[0]`: for guilds that have the application, not for people who do. A guild's own commands have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration_types: Option<Vec<u8>>,
}

/// An option, or a command of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AppOption {
    /// What it takes, by Discord's number for it.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Whether it is needed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// What can be chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<AppChoice>,
    /// The options of a command of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<AppOption>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_value: Option<i64>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_value: Option<i64>,
    /// The longest text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u16>,
    /// Whether we are asked for what it could be while it is typed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub autocomplete: bool,
}

/// One thing that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppChoice {
    /// What people read.
    pub name: String,
    /// What is sent.
    pub value: String,
}

fn slash() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Returns the commands to register in `scope`.
pub fn wanted(scope: Scope) -> Vec<AppCommand> {
    let groups = GROUPS.into_iter().map(|(group, about)| {
        let members = LIST.iter().filter_map(|spec| {
            let name = spec.path.strip_prefix(group)?.strip_prefix(' ')?;
            Some(AppOption { kind: SUB_COMMAND, ..member(name, spec) })
        });
        command(group, about, members.collect(), scope)
    });
    let single = LIST.iter().filter(|spec| !spec.path.contains(' '));
    let single = single.map(|spec| command(spec.path, spec.about, options(spec), scope));
    groups.chain(single).collect()
}

const SUB_COMMAND: u8 = 1;
const STRING: u8 = 3;
const INTEGER: u8 = 4;
const MENTIONABLE: u8 = 9;

fn command(name: &str, about: &str, options: Vec<AppOption>, scope: Scope) -> AppCommand {
    let for_guilds = match scope {
        Scope::Global => Some(vec![0]),
        Scope::Guild(_) => None,
    };
    AppCommand {
        name: name.into(),
        description: limits::clip(about, limits::COMMAND_DESCRIPTION),
        kind: slash(),
        options,
        default_member_permissions: (name == "access").then(|| MANAGE_GUILD.into()),
        contexts: for_guilds.clone(),
        integration_types: for_guilds,
    }
}

fn member(name: &str, spec: &Spec) -> AppOption {
    AppOption {
        name: name.into(),
        description: limits::clip(spec.about, limits::COMMAND_DESCRIPTION),
        options: options(spec),
        ..AppOption::default()
    }
}

fn options(spec: &Spec) -> Vec<AppOption> {
    spec.options.iter().filter_map(option).collect()
}

/// Returns the option as Discord shows it; nothing for a confirmation, which is typed into a modal.
fn option(opt: &Opt) -> Option<AppOption> {
    let base = AppOption {
        name: opt.name.into(),
        description: limits::clip(opt.about, limits::COMMAND_DESCRIPTION),
        required: opt.need == Need::Needed,
        ..AppOption::default()
    };
    let text = |max_length| AppOption { kind: STRING, max_length: Some(max_length), ..base.clone() };
    Some(match opt.kind {
        // What is chosen from a list may be shown with more than its name.
        Kind::World | Kind::Game | Kind::Archive | Kind::Link | Kind::Setting => {
            AppOption { autocomplete: true, ..text(100) }
        }
        Kind::NewName => text(32),
        Kind::Upload => text(64),
        Kind::Value => text(2000),
        Kind::Count => AppOption { kind: INTEGER, min_value: Some(0), max_value: Some(31), ..base },
        Kind::Storage => {
            let choice =
                |storage: Storage| AppChoice { name: storage.word().into(), value: storage.word().into() };
            AppOption { kind: STRING, choices: Storage::ALL.into_iter().map(choice).collect(), ..base }
        }
        Kind::Length => text(20),
        Kind::Port => AppOption { kind: INTEGER, min_value: Some(PORTS.0), max_value: Some(PORTS.1), ..base },
        Kind::Action => {
            let choice =
                |action: Action| AppChoice { name: action.word().into(), value: action.word().into() };
            let choices = Action::ALL.into_iter().take(limits::CHOICES).map(choice).collect();
            AppOption { kind: STRING, choices, ..base }
        }
        Kind::Who => AppOption { kind: MENTIONABLE, ..base },
        Kind::Confirmation => return None,
    })
}

/// How the commands that Discord has differ from those that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Those that it does not have yet.
    pub added: Vec<CommandId>,
    /// Those that are otherwise.
    pub changed: Vec<CommandId>,
    /// Those that are not wanted: somebody else's, or an older version's.
    pub removed: Vec<CommandId>,
    /// Those that are right.
    pub kept: Vec<CommandId>,
}

/// What becomes of an application's commands that are not wanted: registering replaces all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They go.
    Remove,
    /// They stay.
    Leave,
}

/// What registering has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: all is as it should be, but perhaps for others that stay.
    Nothing,
    /// Write the commands that are wanted over all that are there.
    Write,
    /// Say that others, which should stay, would be lost.
    Refuse,
}

impl Diff {
    /// Decides what registering has to do.
    pub fn plan(&self, others: Others) -> Plan {
        let is_right = self.added.is_empty() && self.changed.is_empty();
        match others {
            Others::Remove if self.is_empty() => Plan::Nothing,
            Others::Leave if is_right => Plan::Nothing,
            Others::Leave if !self.removed.is_empty() => Plan::Refuse,
            Others::Remove | Others::Leave => Plan::Write,
        }
    }

    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("add", &self.added),
            ("change", &self.changed),
            ("remove", &self.removed),
            ("keep", &self.kept),
        ];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<_> = parts.map(|(what, ids)| format!("{what} {}", listed(ids))).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Which command of a scope it is: there may be one of each kind with the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandId {
    /// Its name.
    pub name: String,
    /// `1`: called by a slash.
    pub kind: u64,
}

impl CommandId {
    /// Reads it from a command of any kind, whatever else there is in it.
    pub fn of(command: &Value) -> Self {
        let name = command["name"].as_str().unwrap_or_default().to_owned();
        Self { name, kind: command["type"].as_u64().unwrap_or(slash().into()) }
    }

    /// Tells whether it is one of `wanted`.
    pub fn is_in(&self, wanted: &[AppCommand]) -> bool {
        wanted.iter().any(|command| command.id() == *self)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind } = self;
        match kind {
            1 => write!(f, "/{name}"),
            2 => write!(f, "{name} (on a person)"),
            3 => write!(f, "{name} (on a message)"),
            other => write!(f, "{name} (kind {other})"),
        }
    }
}

/// Returns `ids` as people read them.
pub fn listed(ids: &[CommandId]) -> String {
    ids.iter().map(CommandId::to_string).collect::<Vec<_>>().join(" ")
}

impl AppCommand {
    /// Returns which one it is.
    pub fn id(&self) -> CommandId {
        CommandId { name: self.name.clone(), kind: self.kind.into() }
    }
}

/// Compares the commands that Discord has, in its JSON, with those that are `wanted`.
pub fn diff(existing: &[Value], wanted: &[AppCommand]) -> Diff {
    let mut diff = Diff::default();
    for command in wanted {
        let id = command.id();
        let list = match existing.iter().find(|old| CommandId::of(old) == id) {
            None => &mut diff.added,
            Some(old) if is_same(old, command) => &mut diff.kept,
            Some(_) => &mut diff.changed,
        };
        list.push(id);
    }
    diff.removed = existing.iter().map(CommandId::of).filter(|old| !old.is_in(wanted)).collect();
    diff
}

/// Compares two commands in what we say about them: where we leave it to Discord, anything is right.
fn is_same(old: &Value, new: &AppCommand) -> bool {
    let Ok(old) = AppCommand::deserialize(old) else { return false };
    let settled = AppCommand {
        contexts: new.contexts.as_ref().and(old.contexts.clone()),
        integration_types: new.integration_types.as_ref().and(old.integration_types.clone()),
        ..old
    };
    settled == *new
}
