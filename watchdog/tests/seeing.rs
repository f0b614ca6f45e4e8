//! What came over the wires of real servers, replayed through the pure parts: who is seen, and when the world would sleep.
//!
//! `cargo run -p e2e --example table -- --record watchdog/tests/seeing` makes the recordings; what a line of them means
//! stands in e2e/examples/table/record.rs.

use std::{collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, path::Path, time::Duration};

use domain::{
    game::{Count, Game, Protocol},
    idle::{Evidence, Held, Listening, Sample, Sighting, Source, Timers, Verdict, Watch, combine},
};
use expect_test::{Expect, expect};
use watchdog::peers::{Connection, Kind, PeerTable, TcpPeers};

/// Short enough to run out while nobody but strangers is there.
const TIMERS: Timers = Timers {
    never_joined: Duration::from_secs(100),
    last_left: Duration::from_secs(40),
    warning: Duration::from_secs(20),
    cap: Duration::from_secs(12 * 60 * 60),
};

#[test]
fn luanti() {
    check("luanti", "games/catalog/luanti.toml", expect![[r#""#]]);
}

#[test]
fn openttd() {
    check("openttd", "games/catalog/openttd.toml", expect![[r#""#]]);
}

#[test]
fn minecraft_java() {
    check("java", "e2e/fixtures/minecraft-java.toml", expect![[r#""#]]);
}

#[test]
fn minecraft_bedrock() {
    check("bedrock", "e2e/fixtures/minecraft-bedrock.toml", expect![[r#""#]]);
}

#[test]
fn teeworlds() {
    check("teeworlds", "e2e/fixtures/teeworlds.toml", expect![[r#""#]]);
}

/// Replays what was recorded at the servers of a game with its catalogue `entry`, and compares what is seen each time that
/// it changes.
fn check(name: &str, entry: &str, expected: Expect) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let game = games::Catalogue::read_file(&here.join("..").join(entry)).unwrap().game;
    let mut said = String::new();
    for part in ["players", "knocks", "pings", "manypings"] {
        let recording = fs::read_to_string(here.join(format!("tests/seeing/{name}{part}.txt"))).unwrap();
        let seconds = seconds(&recording);
        let last = *seconds.last_key_value().unwrap().0;
        let mut replay = Replay::new(game.clone());
        for second in 0..=last {
            replay.second(second, seconds.get(&second).map_or(&[], Vec::as_slice));
        }
        write!(said, "== {part}\n{}", replay.said).unwrap();
    }
    expected.assert_eq(&said);
}

/// Sorts the lines of a recording by their seconds.
fn seconds(recording: &str) -> BTreeMap<u64, Vec<&str>> {
    let mut seconds = BTreeMap::<u64, Vec<&str>>::new();
    let mut now = 0;
    for line in recording.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('=') {
            Some(second) => now = second.parse().unwrap(),
            None => seconds.entry(now).or_default().push(line),
        }
    }
    seconds
}

/// The pure parts, and what they said.
struct Replay {
    game: Game,
    udp: PeerTable,
    tcp: TcpPeers,
    connections: Vec<Connection>,
    watch: Watch,
    before: String,
    said: String,
}

impl Replay {
    fn new(game: Game) -> Self {
        Self {
            game,
            udp: PeerTable::default(),
            tcp: TcpPeers::default(),
            connections: Vec::new(),
            watch: Watch::default(),
            before: String::new(),
            said: String::new(),
        }
    }

    /// Takes in what came in one second, and writes down what is seen if that is something else than before.
    fn second(&mut self, now: u64, lines: &[&str]) {
        for line in lines {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "-" => writeln!(self.said, "{now:>4} -- {rest}").unwrap(),
                "u" => self.datagram(now, rest),
                "o" => self.udp.answered(rest.parse().unwrap()),
                "t" => self.connections = rest.split_whitespace().map(connection).collect(),
                other => panic!("`{other}` means nothing"),
            }
        }
        self.tcp.sample(now, self.connections.iter().copied());
        let players = self.players(now);
        let sample = Sample {
            at: Duration::from_secs(now),
            players: players.clone(),
            listening: Listening::Yes,
            held: Held::No,
        };
        let verdict = match self.watch.sample(&sample, &TIMERS) {
            Verdict::Keep => "keep".to_owned(),
            Verdict::Warn { .. } => "warn".to_owned(),
            Verdict::Stop(why) => format!("stop ({why:?})"),
        };
        let seen = format!("{players}; {verdict}");
        if seen != self.before {
            writeln!(self.said, "{now:>4} {seen}").unwrap();
            self.before = seen;
        }
    }

    fn datagram(&mut self, now: u64, rest: &str) {
        let (source, hex) = rest.split_once(' ').unwrap_or((rest, ""));
        let payload: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        self.udp.saw(now, source.parse().unwrap(), Kind::of(&payload, &self.game.players.queries));
    }

    /// Returns what the two exact sources come to, as the watchdog's senses would.
    fn players(&self, now: u64) -> Evidence {
        let evidence = |players, newcomers| match (players, newcomers) {
            (0, 1..) => Evidence::Unknown("too new to tell".into()),
            (players, _) => Evidence::count(players),
        };
        let sightings = [
            (Source::SocketTables, Protocol::Tcp, evidence(self.tcp.players(), self.tcp.newcomers())),
            (Source::PacketPeers, Protocol::Udp, evidence(self.udp.players(now), self.udp.newcomers(now))),
        ]
        .map(|(source, protocol, evidence)| Sighting { source, protocol, evidence });
        combine(&self.game.protocols(), Count::Partial, &sightings)
    }
}

/// Reads `203.0.113.11:40000/0/1`: who, how often something was sent again, whether anything was ever said.
fn connection(text: &str) -> Connection {
    let mut parts = text.split('/');
    let mut next = || parts.next().unwrap();
    let peer: SocketAddr = next().parse().unwrap();
    let (retransmits, received) = (next().parse().unwrap(), next().parse().unwrap());
    Connection { peer, retransmits, received: Some(received) }
}
