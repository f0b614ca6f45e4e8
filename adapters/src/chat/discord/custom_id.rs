//! What a button or a modal says when it is used: an action and the world that it is about.
//!
//! `v1/start/valhalla`. It names the world as people do: what is done is done to the world that they read of. Whoever
//! presses may be anybody, so nothing here is a permission; and the text comes back from Discord's side, so it is parsed
//! as strictly as if it were typed.

use std::{fmt, str::FromStr};

use domain::world::WorldName;
use thiserror::Error;

/// The version of this format. A message outlives the program that wrote it.
const VERSION: &str = "v1";

/// What a button or a modal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Wakes the world.
    Start,
    /// Puts it to sleep.
    Stop,
    /// Keeps it awake for an hour.
    Stay,
    /// Shows it as it is now.
    Refresh,
    /// Gives a link to its newest archive.
    Export,
    /// Deletes it, once its name is typed.
    Delete,
}

impl Press {
    /// Everything that can be pressed.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Stop, Self::Stay, Self::Refresh, Self::Export, Self::Delete];

    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Stay => "stay",
            Self::Refresh => "refresh",
            Self::Export => "export",
            Self::Delete => "delete",
        }
    }
}

/// The id of a button or a modal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomId {
    /// What it does.
    pub press: Press,
    /// To which world.
    pub world: WorldName,
}

/// Not an id that we gave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this button is not one of this version's")]
pub struct BadCustomId;

impl fmt::Display for CustomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}/{}/{}", self.press.word(), self.world)
    }
}

impl FromStr for CustomId {
    type Err = BadCustomId;

    fn from_str(text: &str) -> Result<Self, BadCustomId> {
        let parts: Vec<_> = text.splitn(4, '/').collect();
        let [VERSION, word, name] = parts[..] else { return Err(BadCustomId) };
        let press = Press::ALL.into_iter().find(|press| press.word() == word).ok_or(BadCustomId)?;
        Ok(Self { press, world: WorldName::parse(name).map_err(|_| BadCustomId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::discord::limits::{CUSTOM_ID, length};

    #[test]
    fn every_id_is_read_back_and_fits() {
        for press in Press::ALL {
            for name in ["a", &"x".repeat(32)] {
                let id = CustomId { press, world: WorldName::parse(name).unwrap() };
                assert_eq!(id.to_string().parse(), Ok(id.clone()));
                assert!(length(&id.to_string()) <= CUSTOM_ID);
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "v1",
            "v1/start",
            "v1/start/",
            "v1/start/A",
            "v1/start/a/b",
            "v1/fly/a",
            "v2/start/a",
            "V1/start/a",
            " v1/start/a",
            "v1/start/../a",
            "v1/start/a\n",
            &"v1/start/".repeat(10_000),
        ] {
            assert_eq!(bad.parse::<CustomId>(), Err(BadCustomId), "{bad:.40}");
        }
    }
}
