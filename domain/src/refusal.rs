//! Why something is not done: each case by name, with a sentence and what to do next.

use thiserror::Error;

use crate::world::{Generation, WorldName};

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
            Self::Deleted(_) => "its archives are kept; create a new world under this name".into(),
            Self::NotConfirmed(name) => {
                format!("confirm by its name: `world delete {name} --confirm {name}`")
            }
            Self::NotArchived(name) => {
                format!("`world start {name}` and `world stop {name}` make an archive")
            }
            Self::AtItsCap(name) => {
                format!("let it save and sleep; `world start {name}` wakes it again right after")
            }
            Self::KeepInThePast(_) => "give a time to come".into(),
            Self::StaleLaunch { .. } => "the watchdog of that launch shall end".into(),
        }
    }
}
