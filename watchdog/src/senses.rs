//! Looking at the players through every source that this place offers.
//!
//! This is the shell around the pure cores: [`crate::sockets`] reads tables, [`crate::packet`] datagrams, [`crate::judge`]
//! and [`crate::rate`] judge them, and [`domain::idle::combine`] makes one verdict. It never takes a source that failed
//! for one that saw nobody.

use std::{
    fmt,
    time::{Duration, Instant},
};

use domain::{
    game::{Count, Game, Protocol},
    idle::{Answering, Evidence, Listening, Sighting, Source, combine},
    sight::{Sight, Standing},
};

use crate::{
    judge::{Begun, Judge},
    packet::{AnswerTap, PacketTap},
    peers::{self, Connection, Kind, PeerTable},
    procnet::{Row, Tables},
    query::GameQuery,
    rate::{Rate, Sample},
    sockets::Sockets,
};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Whether the game's ports are bound.
    pub listening: Listening,
    /// All sources together.
    pub players: Evidence,
    /// For how long nobody who is on has moved; nothing where nobody can tell.
    pub still_for: Option<Duration>,
    /// Whether the game answers its query.
    pub answering: Answering,
    /// What each source says.
    pub sightings: Vec<Sighting>,
    /// The peers that were seen, players or not.
    pub peers: Vec<Peer>,
}

/// A remote address that talks to the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// How it talks.
    pub protocol: Protocol,
    /// What is known of it.
    pub row: peers::Row,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.row)
    }
}

/// The sources, and what they have seen so far.
pub struct Senses {
    game: Game,
    udp_ports: Vec<u16>,
    tcp_ports: Vec<u16>,
    since: Instant,
    sockets: Sockets,
    tap: Result<PacketTap, String>,
    answers: Answers,
    judge: Judge,
    rate: Rate,
    query: Option<GameQuery>,
}

impl Senses {
    /// Opens every source that is to be had here.
    pub fn open(game: &Game, begun: Begun) -> Self {
        let [tcp_ports, udp_ports] = [Protocol::Tcp, Protocol::Udp].map(|protocol| game.ports_of(protocol));
        Self {
            game: game.clone(),
            sockets: Sockets::open(&tcp_ports, &udp_ports),
            tap: PacketTap::open(&udp_ports).map_err(|e| e.to_string()),
            answers: Answers::NotAwaited,
            tcp_ports,
            udp_ports,
            since: Instant::now(),
            judge: Judge::new(begun, game.players.active),
            rate: Rate::default(),
            query: GameQuery::start(game),
        }
    }

    /// Returns which of the sources that could serve here are there, and which are missing.
    pub fn sources(&self) -> Vec<Sight> {
        let sight = |source, standing| Sight { source, standing };
        let mut sources = vec![sight(Source::SocketTables, Standing::Serves(self.sockets.describe()))];
        if !self.udp_ports.is_empty() {
            match &self.tap {
                Ok(_) => sources.push(sight(Source::PacketPeers, Standing::Serves("yes".into()))),
                Err(why) => {
                    sources.push(sight(Source::PacketPeers, Standing::Missing(why.clone())));
                    sources.push(sight(Source::DatagramRate, Standing::Serves("yes, instead".into())));
                }
            }
        }
        let query = self.query.as_ref().map(|query| Standing::Serves(query.to_string()));
        sources.extend(query.map(|standing| sight(Source::GameQuery, standing)));
        sources
    }

    /// Returns the same in a line, for people.
    pub fn describe(&self) -> String {
        let sources: Vec<_> = self.sources().iter().map(ToString::to_string).collect();
        sources.join(", ")
    }

    /// Takes in the datagrams that came since the last call. To be called several times a second.
    pub fn listen(&mut self) {
        let now = self.seconds();
        let (Judge { udp, .. }, Ok(tap)) = (&mut self.judge, &mut self.tap) else { return };
        let queries = &self.game.players.queries;
        match tap.drain(&mut |datagram| udp.saw(now, datagram.source, Kind::of(datagram.payload, queries))) {
            Ok(drained) => {
                self.answers.hear(udp, now);
                self.judge.listened(now, drained.lost);
            }
            Err(error) => {
                self.tap = Err(error.to_string());
                self.judge.blinded(now);
            }
        }
    }

    /// Looks once. To be called once a second.
    pub fn look(&mut self) -> Look {
        self.listen();
        let (listening, mut sightings) = match self.sockets.look() {
            // A row that cannot be read may be a player's.
            Ok(tables) if tables.malformed > 0 => {
                (Listening::Unknown, self.blind("the socket tables make no sense"))
            }
            Ok(tables) => self.look_at(&tables),
            Err(error) => (Listening::Unknown, self.blind(&error.to_string())),
        };
        if !self.udp_ports.is_empty() {
            sightings.push(sighting(Source::PacketPeers, Protocol::Udp, self.packet_evidence()));
        }
        if let Some(query) = &self.query {
            sightings.push(sighting(Source::GameQuery, query.protocol(), query.evidence()));
        }
        let count = self.game.query.as_ref().map_or(Count::Partial, |query| query.count);
        let players = combine(&self.game.protocols(), count, &sightings);
        let answering = self.query.as_ref().map_or(Answering::Unknown, GameQuery::answering);
        let still_for = self.still_for(listening);
        Look { listening, players, still_for, answering, sightings, peers: self.peers() }
    }

    /// Returns for how long nobody who is on has moved, if everybody could be seen.
    fn still_for(&mut self, listening: Listening) -> Option<Duration> {
        let (now, protocols) = (self.seconds(), self.game.protocols());
        let still_for = self.judge.still_for(now, &protocols).map(Duration::from_secs);
        let is_blind = |protocol: &Protocol| match protocol {
            Protocol::Tcp => listening == Listening::Unknown,
            Protocol::Udp => self.tap.is_err(),
        };
        still_for.filter(|_| !protocols.iter().any(is_blind))
    }

    fn look_at(&mut self, tables: &Tables) -> (Listening, Vec<Sighting>) {
        let bound = self.game.ports.iter().all(|port| tables.listening(port.number, port.protocol));
        let listening = if bound { Listening::Yes } else { Listening::No };
        let mut sightings = Vec::new();
        if !self.tcp_ports.is_empty() {
            let (now, own) = (self.seconds(), self.query.as_ref().and_then(GameQuery::own_connection));
            let connections = tables.connections(&self.tcp_ports).filter(|row| Some(row.remote) != own);
            self.judge.tcp.sample(now, connections.map(connection));
            sightings.push(sighting(Source::SocketTables, Protocol::Tcp, self.judge.tcp_evidence()));
        }
        if !self.udp_ports.is_empty() {
            let connected = tables.connected_udp(&self.udp_ports).count();
            sightings.push(sighting(Source::SocketTables, Protocol::Udp, connected_evidence(connected)));
            // The rate cannot tell a list ping from a player; it speaks only where nothing better is to be had.
            if self.tap.is_err() {
                let evidence = self.rate_evidence();
                sightings.push(sighting(Source::DatagramRate, Protocol::Udp, evidence));
            }
        }
        (listening, sightings)
    }

    /// Returns what the tables' sources say when the tables cannot be read.
    fn blind(&self, why: &str) -> Vec<Sighting> {
        let unknown = |protocol| sighting(Source::SocketTables, protocol, Evidence::Unknown(why.to_owned()));
        self.game.protocols().into_iter().map(unknown).collect()
    }

    fn packet_evidence(&self) -> Evidence {
        match &self.tap {
            Ok(_) => self.judge.udp_evidence(self.seconds()),
            Err(why) => Evidence::Unknown(why.clone()),
        }
    }

    fn rate_evidence(&mut self) -> Evidence {
        let at_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        // While the game is asked, nobody knows whose datagrams came in; what was counted before holds on.
        let own = self.query.as_ref().map(GameQuery::own_datagrams);
        if !matches!(own, Some(None)) {
            let total = match self.sockets.datagrams_in() {
                Ok(Some(total)) => total,
                Ok(None) => return Evidence::Unknown("the kernel does not say".into()),
                Err(error) => return Evidence::Unknown(error.to_string()),
            };
            let own = own.flatten().map_or(0, |own| *own);
            self.rate.sample(Sample { at_ms, total, own });
        }
        self.judge.rate_evidence(at_ms / 1000, self.rate.count(at_ms))
    }

    fn peers(&self) -> Vec<Peer> {
        let now = self.seconds();
        let of = |protocol| move |row| Peer { protocol, row };
        self.judge
            .tcp
            .rows(now)
            .map(of(Protocol::Tcp))
            .chain(self.judge.udp.rows(now).map(of(Protocol::Udp)))
            .collect()
    }

    fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs()
    }
}

/// Whether it is listened to what the game sends.
enum Answers {
    /// Nobody is there whom it would tell anything about.
    NotAwaited,
    /// It is, since somebody is there whom the game may not have answered.
    Awaited(AnswerTap),
    /// It cannot be: whoever sends is taken for answered.
    Unheard,
}

impl Answers {
    /// Takes in to whom the game sent something, and listens on for as long as somebody waits for it.
    fn hear(&mut self, udp: &mut PeerTable, now: u64) {
        match self {
            Self::NotAwaited if udp.awaits_answers(now) => {
                *self = AnswerTap::open().map_or(Self::Unheard, Self::Awaited);
            }
            Self::NotAwaited => {}
            Self::Awaited(tap) => match tap.drain(&mut |address| udp.answered(address)) {
                Ok(drained) => {
                    if drained.lost > 0 {
                        udp.answers_were_lost();
                    }
                    if !udp.awaits_answers(now) {
                        *self = Self::NotAwaited;
                    }
                }
                Err(_) => *self = Self::Unheard,
            },
            Self::Unheard => udp.answers_were_lost(),
        }
    }
}

fn connection(row: &Row) -> Connection {
    Connection {
        peer: row.remote,
        retransmits: row.retransmits,
        received: row.received,
        segments: row.segments,
    }
}

fn sighting(source: Source, protocol: Protocol, evidence: Evidence) -> Sighting {
    Sighting { source, protocol, evidence }
}

fn connected_evidence(connected: usize) -> Evidence {
    match u32::try_from(connected) {
        Ok(0) => Evidence::Unknown("an unconnected socket shows no peers".into()),
        Ok(n) => Evidence::Players(n),
        Err(_) => Evidence::Players(u32::MAX),
    }
}
