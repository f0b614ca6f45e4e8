//! Why something is not done: each case by name, with a sentence and what to do next.

use thiserror::Error;

use crate::{
    settings::BadSetting,
    world::{ArchiveId, GameId, Generation, LinkId, SettingName, WorldName},
};

/// Why something is not done: an answer for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It has to be awake.
    #[error("`{0}` is not awake")]
    NotAwake(WorldName),
    /// It is on its way to sleep.
    #[error("`{0}` is already going to sleep")]
    GoingToSleep(WorldName),
    /// It has to be asleep.
    #[error("`{0}` is not asleep")]
    NotAsleep(WorldName),
    /// It is deleted, or about to be.
    #[error("`{0}` is deleted")]
    Deleted(WorldName),
    /// The name was not typed once more.
    #[error("deleting `{0}` removes its files")]
    NotConfirmed(WorldName),
    /// What was played last is in no checked archive.
    #[error("the newest state of `{0}` is in no checked archive, so it is not deleted")]
    NotArchived(WorldName),
    /// It has run for as long as it may.
    #[error("`{0}` has nearly run for its longest time")]
    AtItsCap(WorldName),
    /// The time is over already.
    #[error("the time to keep `{0}` awake until is over already")]
    KeepInThePast(WorldName),
    /// It is being archived, restored or imported.
    #[error("`{0}` is being worked on")]
    OnErrand(WorldName),
    /// It is on its way up or down.
    #[error("`{0}` is just waking or going to sleep")]
    Busy(WorldName),
    /// No launch ever owned its files.
    #[error("`{0}` was never started, so there is nothing of it yet")]
    NothingYet(WorldName),
    /// It has no archive.
    #[error("there is no archive of `{0}` yet")]
    NoArchive(WorldName),
    /// It has no archive of that id.
    #[error("`{name}` has no archive {archive}")]
    NoSuchArchive {
        /// The world.
        name: WorldName,
        /// The archive that it does not have.
        archive: ArchiveId,
    },
    /// It has no link of that id.
    #[error("`{name}` has no link {link}")]
    NoSuchLink {
        /// The world.
        name: WorldName,
        /// The link that it does not have.
        link: LinkId,
    },
    /// It has as many links as there may be.
    #[error("`{0}` has as many links as there may be")]
    TooManyLinks(WorldName),
    /// A setting is out of its range; which, and what is allowed.
    #[error("{0}")]
    BadSetting(String),
    /// It has been woken, and this can be chosen before that alone.
    #[error("`{setting}` can be chosen only until a world is first woken, and `{name}` was")]
    ChosenAtCreate {
        /// The world.
        name: WorldName,
        /// The setting.
        setting: SettingName,
    },
    /// What was chosen for it is not what its game takes now.
    #[error("`{name}` cannot be woken with its settings: {why}")]
    UnfitSetting {
        /// The world.
        name: WorldName,
        /// What does not fit.
        why: BadSetting,
    },
    /// Its game was taken out of those that can be played.
    #[error("`{name}` is a world of `{game}`, which is not among the games here any more")]
    NotOffered {
        /// The world.
        name: WorldName,
        /// Its game.
        game: GameId,
    },
    /// The event belongs to another launch than the current one.
    #[error("launch {generation} of `{name}` is not the current one")]
    StaleLaunch {
        /// The world.
        name: WorldName,
        /// The launch that is not current.
        generation: Generation,
    },
}

impl Refusal {
    /// Returns what to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NotAwake(name) => format!("start it first: `world start {name}`"),
            Self::GoingToSleep(name) => format!("`world start {name}` wakes it again as soon as it is saved"),
            Self::NotAsleep(name) => format!("stop it first: `world stop {name}`"),
            Self::Deleted(_) => {
                "its last archive is kept for 30 days; create a new world under this name".into()
            }
            Self::NotConfirmed(name) => {
                format!("confirm by its name: `world delete {name} --confirm {name}`")
            }
            Self::NotArchived(name) => {
                format!("`world backup {name}` makes an archive")
            }
            Self::AtItsCap(name) => {
                format!("let it save and sleep; `world start {name}` wakes it again right after")
            }
            Self::KeepInThePast(_) => "give a time to come".into(),
            Self::OnErrand(name) => {
                format!("`world status {name}` shows how far it is; it takes a minute or two")
            }
            Self::Busy(name) => {
                format!("try again when it is done: `world status {name}` shows how far it is")
            }
            Self::NothingYet(name) => format!("`world start {name}` makes it"),
            Self::NoArchive(_) => "one is made whenever it goes to sleep".into(),
            Self::NoSuchArchive { name, .. } => format!("`world backups {name}` lists those that it has"),
            Self::NoSuchLink { name, .. } => format!("`world links {name}` lists those that it has"),
            Self::TooManyLinks(name) => format!("`world withdraw {name}` makes room"),
            Self::BadSetting(_) => "nothing was changed".into(),
            Self::ChosenAtCreate { .. } => "make a new world to have it otherwise".into(),
            Self::UnfitSetting { name, why } => format!("{}: `world set {name}`", why.hint()),
            Self::NotOffered { game, .. } => {
                format!("nothing of it is lost: it can be woken again once `{game}` is back among the games")
            }
            Self::StaleLaunch { .. } => "the watchdog of that launch shall end".into(),
        }
    }
}
