//! Who may do what: rules of a guild, by action, over its members and their roles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use thiserror::Error;

use crate::world::BadName;

/// How many members and roles one action can be given to.
pub const MOST_NAMED: usize = 25;

/// What can be allowed or not. To look (list, status, sessions, games, help) is for everybody in the guild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To make a world.
    Create,
    /// To wake a world.
    Start,
    /// To put a world to sleep.
    Stop,
    /// To keep a world awake with nobody on.
    Keep,
    /// To change a world's settings.
    Settings,
    /// To have an archive of a world made.
    Backup,
    /// To put an archive of a world in the place of what is there.
    Restore,
    /// To put files from elsewhere in the place of a world's.
    Import,
    /// To get a copy of a world.
    Export,
    /// To delete a world.
    Delete,
    /// To change these rules: for those who manage the guild alone.
    Access,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Keep,
        Self::Settings,
        Self::Backup,
        Self::Restore,
        Self::Import,
        Self::Export,
        Self::Delete,
        Self::Access,
    ];

    /// Returns the word for it, as people type it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Keep => "keep",
            Self::Settings => "settings",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Import => "import",
            Self::Export => "export",
            Self::Delete => "delete",
            Self::Access => "access",
        }
    }

    /// Parses the word for an action.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// Tells whether everybody may unless a rule says otherwise. What wakes, saves or shares a world is for friends; what
    /// adds to the bill for good, or removes something, is for those who manage the guild.
    fn is_open(self) -> bool {
        match self {
            Self::Start | Self::Stop | Self::Keep | Self::Backup | Self::Export => true,
            Self::Create | Self::Settings | Self::Restore | Self::Import | Self::Delete | Self::Access => {
                false
            }
        }
    }
}

/// One whom an action is allowed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Everybody in the guild.
    Everyone,
    /// Whoever has this role.
    Role(String),
    /// This member.
    Member(String),
}

impl Who {
    /// Returns the role, by the chat's own id for it.
    pub fn role(id: &str) -> Result<Self, BadName> {
        checked(id).map(Self::Role)
    }

    /// Returns the member, by the chat's own id.
    pub fn member(id: &str) -> Result<Self, BadName> {
        checked(id).map(Self::Member)
    }
}

fn checked(id: &str) -> Result<String, BadName> {
    let ok = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if ok { Ok(id.to_owned()) } else { Err(BadName::unseen("member or role", "1 to 32 letters and digits")) }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Role(id) => write!(f, "role {id}"),
            Self::Member(id) => write!(f, "member {id}"),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Whoever runs Dormouse: may do everything.
    Owner,
    /// A member of the guild.
    Member {
        /// The member, by the chat's own id.
        id: String,
        /// The member's roles.
        roles: Vec<String>,
        /// Whether they manage the guild: may do everything.
        manages: bool,
    },
}

/// A guild's rules: for each action that has one, whom it is allowed to besides those who manage the guild.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(pub BTreeMap<Action, BTreeSet<Who>>);

impl Rules {
    /// Returns whom `action` is allowed to, besides those who manage the guild.
    pub fn allowed(&self, action: Action) -> BTreeSet<Who> {
        match self.0.get(&action) {
            Some(who) => who.clone(),
            None if action.is_open() => [Who::Everyone].into(),
            None => BTreeSet::new(),
        }
    }

    /// Says no unless `asker` may do `action`.
    pub fn require(&self, asker: &Asker, action: Action) -> Result<(), Denied> {
        let allowed = self.allowed(action);
        let may = match asker {
            Asker::Owner => true,
            Asker::Member { manages: true, .. } => true,
            Asker::Member { id, roles, manages: false } => allowed.iter().any(|who| match who {
                Who::Everyone => true,
                Who::Role(role) => roles.contains(role),
                Who::Member(member) => member == id,
            }),
        };
        if may { Ok(()) } else { Err(Denied { action, allowed }) }
    }
}

/// An action that is not allowed to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is for {}", .action.word(), listed(.allowed))]
pub struct Denied {
    /// The action.
    pub action: Action,
    /// Whom it is allowed to, besides those who manage the guild.
    pub allowed: BTreeSet<Who>,
}

fn listed(allowed: &BTreeSet<Who>) -> String {
    let names: Vec<_> = allowed.iter().map(Who::to_string).collect();
    if names.is_empty() {
        "those who manage the server".into()
    } else {
        format!("{} and those who manage the server", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn member(id: &str, roles: &[&str], manages: bool) -> Asker {
        Asker::Member { id: id.into(), roles: roles.iter().map(|r| (*r).into()).collect(), manages }
    }

    #[test]
    fn without_rules_everybody_plays_and_managers_do_the_rest() {
        let (rules, friend) = (Rules::default(), member("1", &[], false));
        let may = |asker: &Asker| -> Vec<_> {
            Action::ALL.into_iter().filter(|a| rules.require(asker, *a).is_ok()).map(Action::word).collect()
        };
        assert_eq!(may(&friend), ["start", "stop", "keep", "backup", "export"]);
        assert_eq!(may(&member("2", &[], true)).len(), Action::ALL.len());
        assert_eq!(may(&Asker::Owner).len(), Action::ALL.len());
    }

    #[test]
    fn a_rule_names_members_and_roles_and_denied_says_who_may() {
        let named = [Who::role("77").unwrap(), Who::member("5").unwrap()].into();
        let rules = Rules([(Action::Stop, named)].into());
        assert_eq!(rules.require(&member("1", &["77"], false), Action::Stop), Ok(()));
        assert_eq!(rules.require(&member("5", &[], false), Action::Stop), Ok(()));
        let denied = rules.require(&member("1", &["78"], false), Action::Stop).unwrap_err();
        expect!["`stop` is for role 77, member 5 and those who manage the server"]
            .assert_eq(&denied.to_string());
        let denied = rules.require(&member("1", &[], false), Action::Delete).unwrap_err();
        expect!["`delete` is for those who manage the server"].assert_eq(&denied.to_string());
    }

    #[test]
    fn every_action_has_a_word_that_is_read_back() {
        Action::ALL.into_iter().for_each(|action| assert_eq!(Action::parse(action.word()), Some(action)));
        assert_eq!(Action::parse("fly"), None);
    }
}
