//! What is seen of a world with nobody on: by its watchdog, which reports it, and from here.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use adapters::{front_door::view::WorldView, report::PlayersRecord};
use domain::{
    game::{Count, Game, Port},
    idle::{Evidence, Listening, Source},
};
use watchdog::{judge::Begun, query::GameQuery, senses::Senses};

use super::{containers::Containers, step::Step};

/// What looks at a world from here.
pub(super) enum Eyes<'a> {
    /// What a watchdog looks with, where the game is in the network of this process.
    Here(Box<Senses>),
    /// Its sockets in their own network, and its answers at the ports that are published.
    Beside { containers: &'a Containers, game: Box<Game>, query: Option<GameQuery> },
}

/// One look.
pub(super) struct Seen {
    listening: Listening,
    /// Who talks to the game, for people.
    peers: Vec<String>,
    /// What the game says itself.
    asked: Option<Evidence>,
}

impl<'a> Eyes<'a> {
    /// Opens them for `game`, which has the world's ports.
    pub(super) fn open(game: &Game, containers: Option<&'a Containers>) -> Self {
        match containers {
            None => Self::Here(Box::new(Senses::open(game, Begun::MidGame))),
            Some(containers) => {
                let query = GameQuery::start(game);
                Self::Beside { containers, game: Box::new(game.clone()), query }
            }
        }
    }

    pub(super) fn look(&mut self) -> Seen {
        match self {
            Self::Here(senses) => {
                let look = senses.look();
                let asked = look.sightings.into_iter().rfind(|sighting| sighting.source == Source::GameQuery);
                Seen {
                    listening: look.listening,
                    peers: look.peers.iter().map(ToString::to_string).collect(),
                    asked: asked.map(|sighting| sighting.evidence),
                }
            }
            Self::Beside { containers, game, query } => {
                // Where nobody can look, the watchdog still does, and stops a game that listens no more.
                let listening = containers.sockets().map_or(Listening::Unknown, |tables| {
                    let is_bound = |port: &Port| tables.listening(port.number, port.protocol);
                    if game.ports.iter().all(is_bound) { Listening::Yes } else { Listening::No }
                });
                Seen { listening, peers: Vec::new(), asked: query.as_ref().map(GameQuery::evidence) }
            }
        }
    }

    /// Returns in a line by which sources players are seen.
    pub(super) fn sources(&self, world: &WorldView) -> String {
        match self {
            Self::Here(senses) => senses.describe(),
            Self::Beside { .. } => {
                let sources = world.launch.iter().flat_map(|launch| &launch.sources);
                let sights = sources.filter_map(|source| source.clone().parse());
                sights.map(|sight| sight.to_string()).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Goes on listening until `next`.
    pub(super) fn pause(&mut self, next: Instant) {
        while Instant::now() < next {
            match self {
                Self::Here(senses) => senses.listen(),
                Self::Beside { .. } => {}
            }
            thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
        }
    }
}

/// What was seen of an empty world.
#[derive(Debug, Default)]
pub(super) struct Watched {
    most: u32,
    last: Option<PlayersRecord>,
    deaf: u32,
    looks: u32,
    peers: BTreeSet<String>,
    asked: Option<Evidence>,
    sources: String,
}

impl Watched {
    /// Takes in what the watchdog reports, and what is seen from here.
    pub(super) fn take(&mut self, players: Option<PlayersRecord>, seen: Seen, sources: String) {
        self.looks += 1;
        self.deaf += u32::from(seen.listening == Listening::No);
        self.sources = sources;
        if let Some(PlayersRecord::Players { n }) = players {
            self.most = self.most.max(n);
            self.peers.extend(seen.peers);
        }
        self.last = players;
        self.asked = seen.asked;
    }

    /// Says whether an empty server looks empty, and by which sources that is known.
    pub(super) fn empty(&self) -> Step {
        let sources = &self.sources;
        if self.deaf > 0 {
            let saw = format!("its ports were not bound in {} of {} looks", self.deaf, self.looks);
            return Step::fail(
                "watch",
                saw,
                "a server that stops listening is stopped: keep its sockets open",
            );
        }
        if self.most > 0 {
            let peers = self.peers.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            let saw = format!("{} players were counted, and nobody should be on: {peers}", self.most);
            let change = "what talks to it; a list ping's first bytes belong into [players] queries";
            return Step::fail("watch", saw, change);
        }
        match &self.last {
            Some(PlayersRecord::Empty) => Step::ok("watch", format!("listening, nobody counted ({sources})")),
            Some(PlayersRecord::Players { .. }) | None => {
                Step::warn("watch", format!("nothing was reported of its players ({sources})"), "--watch 1m")
            }
            Some(PlayersRecord::Unknown { why }) => {
                let change = "--watch 1m, or what keeps them from being seen (`dormouse doctor` says it)";
                Step::warn("watch", format!("who is on is unknown: {why} ({sources})"), change)
            }
        }
    }

    /// Says what the game itself answers.
    pub(super) fn query(&self, count: Count) -> Step {
        let name = "query";
        match (&self.asked, count) {
            (Some(Evidence::Empty), _) => Step::ok(name, "it answers that nobody is on"),
            (Some(Evidence::Players(n)), Count::Whole) => {
                let saw = format!("it answers that {n} are on, and nobody should be");
                Step::fail(name, saw, "leave out query.counts_everybody if it counts bots")
            }
            (Some(Evidence::Players(n)), Count::Partial) => {
                let saw = format!("it answers that {n} are on, and nobody should be: bots?");
                Step::warn(name, saw, "switch bots off, or the world may stay awake for them")
            }
            (Some(Evidence::Unknown(why)), _) => {
                Step::warn(name, format!("no answer: {why}"), "query.protocol and query.port")
            }
            (None, _) => Step::warn(name, "it was not asked", "a longer --watch"),
        }
    }
}
