//! By which sources the watchdog of a launch sees players, and which it lacks.

use std::fmt;

use crate::idle::Source;

/// The most sources there are.
pub const MOST_SOURCES: usize = 4;

/// A source, and whether it is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Which one.
    pub source: Source,
    /// Whether it is to be had.
    pub standing: Standing,
}

/// Whether a source is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is; how, for people.
    Serves(String),
    /// It is not; why.
    Missing(String),
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.name();
        match &self.standing {
            Standing::Serves(how) => write!(f, "{source}: {how}"),
            Standing::Missing(why) => write!(f, "{source}: no ({why})"),
        }
    }
}

/// Returns what people should know about what `sights` see, if players are not counted but guessed.
pub fn weakness(sights: &[Sight]) -> Option<String> {
    let standing = |source| sights.iter().find(|sight| sight.source == source).map(|sight| &sight.standing);
    let Some(Standing::Missing(why)) = standing(Source::PacketPeers) else { return None };
    let by = match standing(Source::GameQuery) {
        Some(Standing::Serves(_)) => "taken from what the game says, or guessed from the datagram rate",
        Some(Standing::Missing(_)) | None => "guessed from the datagram rate",
    };
    Some(format!("players are {by}, since there are no packet peers ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn only_sight_that_guesses_is_spoken_of() {
        let serves = |source| Sight { source, standing: Standing::Serves("yes".into()) };
        let missing = |source| Sight { source, standing: Standing::Missing("no CAP_NET_RAW".into()) };
        let said = [
            weakness(&[]),
            weakness(&[serves(Source::SocketTables)]),
            weakness(&[serves(Source::SocketTables), serves(Source::PacketPeers)]),
            weakness(&[serves(Source::SocketTables), missing(Source::PacketPeers)]),
            weakness(&[missing(Source::PacketPeers), serves(Source::GameQuery)]),
        ];
        expect![[r#"
            -
            -
            -
            players are guessed from the datagram rate, since there are no packet peers (no CAP_NET_RAW)
            players are taken from what the game says, or guessed from the datagram rate, since there are no packet peers (no CAP_NET_RAW)"#]]
        .assert_eq(&said.map(|said| said.unwrap_or("-".into())).join("\n"));
    }
}
