//! How a command is asked for: its words and options, from which chat, help and checks are made.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use crate::{
    access::{Action, Who},
    commands::{Command, Problem, ProblemKind},
    settings::Typed,
    vault::Storage,
    words,
    world::{BadName, WorldName},
};

/// One command: how it is called, what it takes, and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its words, such as `world start`: a name, or a group and a name.
    pub path: &'static str,
    /// What it does, in a line of at most 100 characters.
    pub about: &'static str,
    /// Its options, those that are needed first.
    pub options: &'static [Opt],
    /// Who sees the answer.
    pub shown: Shown,
    /// Reads it.
    pub(super) read: fn(&Args) -> Result<Command, Problem>,
}

/// Who sees the answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Everybody in the place where it was asked for.
    Everybody,
    /// Whoever asked: it holds something that is not for all.
    Asker,
}

/// An option of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line of at most 100 characters.
    pub about: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it can be left out.
    pub need: Need,
}

impl Opt {
    /// Returns an option that is needed.
    pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, need: Need::Needed }
    }

    /// Returns an option that can be left out.
    pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, need: Need::Optional }
    }
}

/// Whether an option can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It cannot.
    Needed,
    /// It can.
    Optional,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a world of the guild.
    World,
    /// A name that no world has yet.
    NewName,
    /// A game of the catalogue.
    Game,
    /// A length of time such as `2h30m`.
    Length,
    /// A port number.
    Port,
    /// The world's name once more, as a confirmation of what destroys.
    Confirmation,
    /// The id of an archive of the world.
    Archive,
    /// The id of a link to an archive of the world.
    Link,
    /// The id of something that was uploaded to be imported.
    Upload,
    /// The name of a setting that the world's game has.
    Setting,
    /// What is chosen for it.
    Value,
    /// A small number.
    Count,
    /// A [`Storage`].
    Storage,
    /// An [`Action`].
    Action,
    /// A [`Who`]: `everyone`, `role:ID` or `member:ID`.
    Who,
}

/// The option that chooses something for a setting.
pub(super) const VALUE: Opt =
    Opt::optional("value", Kind::Value, "What to choose; `default` has it as the game does by itself");

/// The option every command about one world has.
pub(super) const WORLD: Opt = Opt::needed("name", Kind::World, "Which world");

/// What stands before the name of a game's setting where it is given as an option of its own, such as `set.difficulty`.
pub const GIVEN: &str = "set.";

/// What was given for a command's options, by their names. Its `Debug` does not show what may be a secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Args(pub BTreeMap<String, String>);

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_hidden = |name: &str| name.starts_with(GIVEN) || name == VALUE.name;
        let shown = self.0.iter().map(|(name, text)| (name, if is_hidden(name) { "…" } else { text }));
        f.debug_map().entries(shown).finish()
    }
}

impl Args {
    /// Returns what was given for `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, Problem> {
        let missing = || Problem::new(ProblemKind::BadInput, format!("`{name}` is missing"), "give it");
        self.text(name).ok_or_else(missing)
    }

    pub(super) fn parsed<T: FromStr<Err = BadName>>(&self, name: &str) -> Result<T, Problem> {
        Ok(self.needed(name)?.parse()?)
    }

    pub(super) fn world(&self) -> Result<WorldName, Problem> {
        self.parsed(WORLD.name)
    }

    /// Returns what was given for settings of the game, each as an option of its own.
    pub(super) fn given(&self) -> Typed {
        let given = |(name, text): (&String, &String)| {
            Some((name.strip_prefix(GIVEN)?.to_owned(), Some(text.clone())))
        };
        Typed(self.0.iter().filter_map(given).collect())
    }

    pub(super) fn length(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let read = |text: &str| {
            words::parse_length(text).ok_or_else(|| bad(name, text, "use a time such as `45m` or `2h30m`"))
        };
        self.text(name).map(read).transpose()
    }

    pub(super) fn port(&self, name: &str) -> Result<Option<u16>, Problem> {
        let read = |text: &str| text.parse().map_err(|_| bad(name, text, "use a number from 1024 to 65000"));
        self.text(name).map(read).transpose()
    }

    /// Reads what has a type of its own, where it is given.
    pub(super) fn optional<T: FromStr<Err = BadName>>(&self, name: &str) -> Result<Option<T>, Problem> {
        Ok(self.text(name).map(str::parse).transpose()?)
    }

    pub(super) fn count(&self, name: &str) -> Result<Option<u8>, Problem> {
        let read = |text: &str| text.parse().map_err(|_| bad(name, text, "use a number from 0 to 31"));
        self.text(name).map(read).transpose()
    }

    pub(super) fn storage(&self, name: &str) -> Result<Option<Storage>, Problem> {
        let words = Storage::ALL.map(Storage::word).join(", ");
        let read =
            |text: &str| Storage::parse(text).ok_or_else(|| bad(name, text, format!("use one of: {words}")));
        self.text(name).map(read).transpose()
    }

    pub(super) fn action(&self, name: &str) -> Result<Action, Problem> {
        let text = self.needed(name)?;
        let words: Vec<_> = Action::ALL.into_iter().map(Action::word).collect();
        Action::parse(text).ok_or_else(|| bad(name, text, format!("use one of: {}", words.join(", "))))
    }

    /// Reads `everyone`, `role:ID` or `member:ID`.
    pub(super) fn who(&self, name: &str) -> Result<Who, Problem> {
        let text = self.needed(name)?;
        Ok(match text.split_once(':') {
            None if text == "everyone" => Who::Everyone,
            Some(("role", id)) => Who::role(id)?,
            Some(("member", id)) => Who::member(id)?,
            _ => return Err(bad(name, text, "use `everyone`, `role:ID` or `member:ID`")),
        })
    }
}

fn bad(name: &str, text: &str, hint: impl Into<String>) -> Problem {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    Problem::new(ProblemKind::BadInput, format!("`{name}` cannot be `{shown}`"), hint)
}
