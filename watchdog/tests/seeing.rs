//! What came over the wires of real servers, replayed through the pure parts: who is seen, and when the world would sleep.
//!
//! `cargo run -p e2e --example table -- --record watchdog/tests/seeing` makes the recordings; what a line of them means
//! stands in e2e/examples/table/record.rs.

use std::{collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use domain::{
    game::{Count, Game, Protocol},
    idle::{Answering, Evidence, Held, Listening, Sample, Sighting, Source, Timers, Verdict, Watch, combine},
};
use expect_test::{Expect, expect};
use watchdog::peers::{Connection, Kind, PeerTable, TcpPeers};

/// Short enough to run out while nobody but strangers is there.
const TIMERS: Timers = Timers {
    never_joined: Duration::from_secs(100),
    last_left: Duration::from_secs(40),
    warning: Duration::from_secs(20),
    afk: Duration::ZERO,
    cap: Duration::from_secs(12 * 60 * 60),
};

/// For how long nothing comes after a recording.
const AFTERWARDS_SECONDS: u64 = 60;

#[test]
fn luanti() -> Result<()> {
    check(
        "luanti",
        "games/catalog/luanti.toml",
        expect![[r#"
            == players
               0 nobody on; keep
               3 -- nobody has come yet
              32 players unknown: packet peers: too new to tell; keep
              33 -- 1st player joins
              36 1 player; keep
              47 -- 2nd player joins
              47 2 players; keep
              55 -- 3rd player joins
              56 3 players; keep
              60 -- one leaves
              80 -- two stand still for 40 s
              80 2 players; keep
             120 -- they act
             141 -- one is killed (SIGKILL)
             159 1 player; keep
             161 -- and joins again from a new port
             177 -- killed and back at once
             179 2 players; keep
             216 -- one's link is cut
             236 -- the last one leaves
             236 1 player; keep
             256 nobody on; keep
             275 nobody on; warn
             295 nobody on; stop (LastLeft)
            == knocks
               0 nobody on; keep
              30 -- scans of all TCP and UDP ports
              42 players unknown: packet peers: too new to tell; keep
              52 nobody on; keep
              56 players unknown: packet peers: too new to tell; keep
              57 nobody on; keep
              91 nobody on; warn
              99 -- TCP: five connections held without a word; UDP: nonsense every 1 s
             100 players unknown: packet peers: too new to tell; keep
             124 nobody on; warn
             135 nobody on; stop (NeverJoined)
            == pings
               0 nobody on; keep
              30 -- list pings every 1 s from one address
              80 nobody on; warn
             100 nobody on; stop (NeverJoined)
             101 -- list pings every 2 s from one address
             171 -- list pings every 5 s from one address
            == manypings
               0 nobody on; keep
              30 -- list pings every 1 s from 20 addresses
              80 nobody on; warn
             100 -- list pings every 2 s from 20 addresses
             100 nobody on; stop (NeverJoined)
             171 -- list pings every 5 s from 20 addresses
        "#]],
    )
}

#[test]
fn openttd() -> Result<()> {
    check(
        "openttd",
        "games/catalog/openttd.toml",
        expect![[r#"
        == players
           0 nobody on; keep
           2 -- nobody has come yet
          36 -- 1st player joins
          36 players unknown: socket tables: too new to tell; keep
          40 1 player; keep
          45 -- 2nd player joins
          49 2 players; keep
          55 -- 3rd player joins
          58 3 players; keep
          60 -- one leaves
          60 2 players; keep
          61 -- two stand still for 40 s
         101 -- they act
         122 -- one is killed (SIGKILL)
         122 1 player; keep
         125 -- and joins again from a new port
         129 2 players; keep
         130 1 player; keep
         132 -- killed and back at once
         136 2 players; keep
         171 -- one's link is cut
         188 -- the last one leaves
         188 nobody on; keep
         207 nobody on; warn
         227 nobody on; stop (LastLeft)
        == knocks
           0 nobody on; keep
           3 -- scans of all TCP and UDP ports
          44 -- TCP: five connections held without a word; UDP: nonsense every 1 s
          80 nobody on; warn
          86 -- half-open TCP
         100 nobody on; stop (NeverJoined)
        == pings
           0 nobody on; keep
           3 -- list pings every 1 s from one address
          45 -- list pings every 2 s from one address
          80 nobody on; warn
          86 -- list pings every 5 s from one address
         100 nobody on; stop (NeverJoined)
        == manypings
           0 nobody on; keep
           2 -- list pings every 1 s from 20 addresses
          43 -- list pings every 2 s from 20 addresses
          80 nobody on; warn
          84 -- list pings every 5 s from 20 addresses
         100 nobody on; stop (NeverJoined)
    "#]],
    )
}

#[test]
fn minecraft_java() -> Result<()> {
    check(
        "java",
        "e2e/fixtures/minecraft-java.toml",
        expect![[r#"
        == players
           0 nobody on; keep
           5 -- nobody has come yet
           7 -- 1st player joins
           7 players unknown: socket tables: too new to tell; keep
          11 1 player; keep
          13 -- 2nd player joins
          17 2 players; keep
          19 -- 3rd player joins
          23 3 players; keep
          24 -- one leaves
          24 2 players; keep
          25 -- two stand still for 40 s
          66 -- they act
          86 -- one is killed (SIGKILL)
          86 1 player; keep
          89 -- and joins again from a new port
          94 2 players; keep
          98 1 player; keep
          99 -- killed and back at once
         104 2 players; keep
         138 -- one's link is cut
         147 -- the last one leaves
         147 nobody on; keep
         166 nobody on; warn
         186 nobody on; stop (LastLeft)
        == knocks
           0 nobody on; keep
           6 -- scans of all TCP and UDP ports
          48 -- TCP: five connections held without a word; UDP: nonsense every 1 s
          80 nobody on; warn
          89 -- half-open TCP
         100 nobody on; stop (NeverJoined)
        == pings
           0 nobody on; keep
           3 -- list pings every 1 s from one address
          44 -- list pings every 2 s from one address
          80 nobody on; warn
          85 -- list pings every 5 s from one address
         100 nobody on; stop (NeverJoined)
        == manypings
           0 nobody on; keep
           2 -- list pings every 1 s from 20 addresses
          44 -- list pings every 2 s from 20 addresses
          80 nobody on; warn
          86 -- list pings every 5 s from 20 addresses
         100 nobody on; stop (NeverJoined)
    "#]],
    )
}

/// Its players send what RakNet sends by itself, a datagram every 5 s at worst, which is less than the game does.
#[test]
fn minecraft_bedrock() -> Result<()> {
    check(
        "bedrock",
        "e2e/fixtures/minecraft-bedrock.toml",
        expect![[r#"
            == players
               0 nobody on; keep
               4 -- nobody has come yet
              36 -- 1st player joins
              37 players unknown: packet peers: too new to tell; keep
              46 1 player; keep
              61 -- 2nd player joins
              71 2 players; keep
              88 -- 3rd player joins
             108 3 players; keep
             159 -- one leaves
             178 2 players; keep
             179 -- two stand still for 40 s
             220 -- they act
             240 -- one is killed (SIGKILL)
             260 1 player; keep
             261 -- and joins again from a new port
             272 2 players; keep
             278 -- killed and back at once
             283 1 player; keep
             298 2 players; keep
             318 -- one's link is cut
             319 -- the last one leaves
             338 1 player; keep
             339 nobody on; keep
             358 nobody on; warn
             378 nobody on; stop (LastLeft)
            == knocks
               0 nobody on; keep
              35 -- scans of all TCP and UDP ports
              49 players unknown: packet peers: too new to tell; keep
              59 nobody on; keep
              90 nobody on; warn
             103 -- TCP: five connections held without a word; UDP: nonsense every 1 s
             104 players unknown: packet peers: too new to tell; keep
             128 nobody on; warn
             134 nobody on; stop (NeverJoined)
            == pings
               0 nobody on; keep
              32 -- list pings every 1 s from one address
              80 nobody on; warn
             100 nobody on; stop (NeverJoined)
             104 -- list pings every 2 s from one address
             175 -- list pings every 5 s from one address
            == manypings
               0 nobody on; keep
              32 -- list pings every 1 s from 20 addresses
              80 nobody on; warn
             100 nobody on; stop (NeverJoined)
             103 -- list pings every 2 s from 20 addresses
             174 -- list pings every 5 s from 20 addresses
        "#]],
    )
}

#[test]
fn teeworlds() -> Result<()> {
    check(
        "teeworlds",
        "games/catalog/teeworlds.toml",
        expect![[r#"
            == players
               0 -- nobody has come yet
               0 nobody on; keep
              32 players unknown: packet peers: too new to tell; keep
              33 -- 1st player joins
              35 1 player; keep
              42 -- 2nd player joins
              44 2 players; keep
              55 -- 3rd player joins
              56 3 players; keep
              60 -- one leaves
              80 -- two stand still for 40 s
              80 2 players; keep
             120 -- they act
             141 -- one is killed (SIGKILL)
             161 1 player; keep
             163 -- and joins again from a new port
             166 2 players; keep
             171 -- killed and back at once
             171 1 player; keep
             182 2 players; keep
             210 -- one's link is cut
             230 -- the last one leaves
             230 1 player; keep
             250 nobody on; keep
             269 nobody on; warn
             289 nobody on; stop (LastLeft)
            == knocks
               0 nobody on; keep
              30 -- scans of all TCP and UDP ports
              40 players unknown: packet peers: too new to tell; keep
              50 nobody on; keep
              52 players unknown: packet peers: too new to tell; keep
              55 nobody on; keep
              93 nobody on; warn
              97 -- TCP: five connections held without a word; UDP: nonsense every 1 s
              98 players unknown: packet peers: too new to tell; keep
             122 nobody on; warn
             137 nobody on; stop (NeverJoined)
            == pings
               0 nobody on; keep
              30 -- list pings every 1 s from one address
              80 nobody on; warn
             100 nobody on; stop (NeverJoined)
             101 -- list pings every 2 s from one address
             172 -- list pings every 5 s from one address
            == manypings
               0 nobody on; keep
              30 -- list pings every 1 s from 20 addresses
              80 nobody on; warn
             100 nobody on; stop (NeverJoined)
             101 -- list pings every 2 s from 20 addresses
             172 -- list pings every 5 s from 20 addresses
        "#]],
    )
}

/// Replays what was recorded at the servers of a game with its catalogue `entry`, and compares what is seen each time that
/// it changes.
fn check(name: &str, entry: &str, expected: Expect) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let game = games::Catalogue::read_file(&here.join("..").join(entry))?.game;
    let mut said = String::new();
    for part in ["players", "knocks", "pings", "manypings"] {
        let file = here.join(format!("tests/seeing/{name}{part}.txt"));
        let recording = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let seconds = seconds(&recording)?;
        let last = *seconds.last_key_value().context("an empty recording")?.0;
        let mut replay = Replay::new(game.clone());
        for second in 0..=last + AFTERWARDS_SECONDS {
            replay.second(second, seconds.get(&second).map_or(&[], Vec::as_slice))?;
        }
        writeln!(said, "== {part}\n{}", replay.said.trim_end())?;
    }
    expected.assert_eq(&said);
    Ok(())
}

/// Sorts the lines of a recording by their seconds.
fn seconds(recording: &str) -> Result<BTreeMap<u64, Vec<&str>>> {
    let mut seconds = BTreeMap::<u64, Vec<&str>>::new();
    let mut now = 0;
    for line in recording.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('=') {
            Some(second) => now = second.parse()?,
            None => seconds.entry(now).or_default().push(line),
        }
    }
    Ok(seconds)
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
    fn second(&mut self, now: u64, lines: &[&str]) -> Result<()> {
        for line in lines {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "-" => writeln!(self.said, "{now:>4} -- {rest}")?,
                "u" => self.datagram(now, rest)?,
                "o" => self.udp.answered(rest.parse()?),
                "t" => self.connections = rest.split_whitespace().map(connection).collect::<Result<_>>()?,
                other => bail!("`{other}` means nothing"),
            }
        }
        self.tcp.sample(now, self.connections.iter().copied());
        let players = self.players(now);
        let sample = Sample {
            at: Duration::from_secs(now),
            players: players.clone(),
            still_for: None,
            listening: Listening::Yes,
            answering: Answering::Unknown,
            held: Held::No,
        };
        let verdict = match self.watch.sample(&sample, &TIMERS) {
            Verdict::Keep => "keep".to_owned(),
            Verdict::Warn { .. } => "warn".to_owned(),
            Verdict::Stop(why) => format!("stop ({why:?})"),
        };
        let seen = format!("{players}; {verdict}");
        if seen != self.before {
            writeln!(self.said, "{now:>4} {seen}")?;
            self.before = seen;
        }
        Ok(())
    }

    fn datagram(&mut self, now: u64, rest: &str) -> Result<()> {
        let (source, hex) = rest.split_once(' ').unwrap_or((rest, ""));
        let digits: Vec<char> = hex.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16);
        let payload = digits.chunks(2).map(byte).collect::<Result<Vec<_>, _>>()?;
        self.udp.saw(now, source.parse()?, Kind::of(&payload, &self.game.players.queries));
        Ok(())
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
fn connection(text: &str) -> Result<Connection> {
    let mut parts = text.split('/');
    let mut next = || parts.next().context("a connection of fewer than three parts");
    let peer: SocketAddr = next()?.parse()?;
    let retransmits = next()?.parse()?;
    Ok(Connection { peer, retransmits, received: Some(next()?.parse()?), segments: None })
}
