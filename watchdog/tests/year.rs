//! A year of evenings: random players, lag, strangers and failures, second by second, through everything that decides and
//! nothing that looks. Nobody is thrown out, nothing stays up longer than it has to, and nothing outlives the cap.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use domain::{
    attendance::Attendance,
    game::{Count, Protocol},
    idle::{Evidence, Held, Listening, Sample, Sighting, Source, Timers, Verdict, Watch, combine},
    world::StopWhy,
};
use watchdog::{
    judge::{Begun, Judge},
    peers::{Connection, Kind, SILENCE_SECONDS, WINDOW_SECONDS},
};

/// How long an evening may be at the most, in seconds: the cap.
const CAP: u64 = 3 * 60 * 60;

/// How long the world stays after the last player.
const LAST_LEFT: u64 = 300;

/// How long it waits for the first.
const NEVER_JOINED: u64 = 600;

#[test]
fn a_year_of_evenings_passes_without_a_player_thrown_out_or_an_hour_wasted() {
    let mut told = Told::default();
    for seed in 0..365 {
        let evening = Evening::new(seed);
        let attendance = evening.play(&mut told);
        told.attended(seed, &attendance);
    }
    // The year is worth something only if all of it happened.
    assert!(told.joined > 300 && told.capped > 5 && told.never > 5, "{told:?}");
    assert!(told.unknown_seconds > 10_000 && told.strangers > 10_000, "{told:?}");
    assert!(told.year_attended.abs_diff(told.year_played) < told.year_played / 20, "{told:?}");
}

/// How the evenings ended, and what was in them.
#[derive(Debug, Default)]
struct Told {
    joined: u32,
    never: u32,
    capped: u32,
    strangers: u64,
    unknown_seconds: u64,
    /// For how long somebody was on in the evening, how often somebody came, and the same of the year.
    played: u64,
    stays: u64,
    year_played: u64,
    year_attended: u64,
}

impl Told {
    /// Checks what was noted of an evening against who really was on.
    fn attended(&mut self, seed: u64, attendance: &Attendance) {
        let sums = attendance.sums();
        let (noted, unknown) = (sums.played.as_secs(), sums.unknown.as_secs());
        // Whoever comes is seen after a while, and whoever leaves for a while longer.
        let slack = self.stays * WINDOW_SECONDS;
        assert!(noted <= self.played + slack, "evening {seed}: {noted} s noted, {} s played", self.played);
        assert!(noted + unknown + slack >= self.played, "evening {seed}: {noted} s of {} s", self.played);
        self.year_played += self.played;
        self.year_attended += noted;
    }
}

/// A stay of one player, in seconds of the evening.
struct Stay {
    from: u64,
    to: u64,
    peer: SocketAddr,
    /// How many of 100 seconds something is said in.
    talks: u64,
    /// In how many seconds something got through.
    heard: u64,
}

struct Evening {
    random: Random,
    protocol: Protocol,
    stays: Vec<Stay>,
    /// Seconds in which nothing gets through from anybody.
    lags: Vec<(u64, u64)>,
    /// Seconds in which the watchdog does not run.
    pauses: Vec<(u64, u64)>,
    /// Seconds in which the source fails.
    failures: Vec<(u64, u64)>,
    scans: Vec<u64>,
    /// Every how many seconds a list is brought up to date, and whether the query is known as one.
    ping: Option<(u64, Kind)>,
    /// Whether that comes from one port. More often than every 10 s it then cannot be told from a player who stands still,
    /// unless it is known as a query.
    keeps_port: bool,
}

impl Evening {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let protocol = if random.one_in(3) { Protocol::Tcp } else { Protocol::Udp };
        let players = if random.one_in(10) { 0 } else { 1 + random.below(4) };
        let mut stays = Vec::new();
        for player in 0..players {
            let mut from = 5 + random.below(NEVER_JOINED - 60);
            for _ in 0..=random.below(3) {
                let longest = if random.one_in(20) { CAP } else { 3000 };
                let to = from + 30 + random.below(longest);
                let peer = peer(player as u32, 40_000 + random.below(20_000) as u16);
                stays.push(Stay { from, to, peer, talks: if random.one_in(3) { 45 } else { 98 }, heard: 0 });
                // Many come back when the world is about to go.
                let stop = LAST_LEFT + if protocol == Protocol::Udp { SILENCE_SECONDS } else { 0 };
                from = to + if random.one_in(2) { random.below(600) } else { stop - 20 + random.below(20) };
            }
        }
        let spans = |random: &mut Random, most: u64, longest: u64| -> Vec<(u64, u64)> {
            let spans = 0..random.below(most + 1);
            spans
                .map(|_| (random.below(CAP), 1 + random.below(longest)))
                .map(|(at, long)| (at, at + long))
                .collect()
        };
        let lags = spans(&mut random, 20, SILENCE_SECONDS - 4);
        let pauses = spans(&mut random, 1, 400);
        let failures = spans(&mut random, 3, 2 * LAST_LEFT);
        let scans = (0..random.below(30)).map(|_| random.below(CAP)).collect();
        let kind = if random.one_in(2) { Kind::Query } else { Kind::Play };
        let ping = random.one_in(2).then(|| ([1, 2, 10][random.below(3) as usize], kind));
        let keeps_port = random.one_in(2);
        Self { random, protocol, stays, lags, pauses, failures, scans, ping, keeps_port }
    }

    fn play(mut self, told: &mut Told) -> Attendance {
        let timers = Timers {
            never_joined: Duration::from_secs(NEVER_JOINED),
            last_left: Duration::from_secs(LAST_LEFT),
            warning: Duration::from_secs(60),
            cap: Duration::from_secs(CAP),
        };
        let (mut judge, mut watch) = (Judge::new(Begun::BeforeTheGame), Watch::default());
        // How long nobody was on, and how much of that could not be known.
        let (mut alone, mut blind, mut ever) = (0, 0, false);
        let mut attendance = Attendance::default();
        (told.played, told.stays) = (0, 0);
        for now in 0..=CAP {
            let connections = self.players(now, &mut judge);
            let on = self.stays.iter().filter(|stay| (stay.from..stay.to).contains(&now));
            // What is heard in one second alone may be a scan.
            let (is_on, is_known) = (on.clone().count() > 0, on.clone().any(|stay| stay.heard > 1));
            told.strangers += self.strangers(now, &mut judge);
            (alone, blind) = if is_on { (0, 0) } else { (alone + 1, blind) };
            ever |= is_on;
            told.played += u64::from(is_on);
            told.stays += self.stays.iter().filter(|stay| stay.from == now).count() as u64;
            if within(&self.pauses, now) {
                blind += u64::from(!is_on);
                continue;
            }
            let evidence = self.look(now, &mut judge, connections);
            let is_unknown = matches!(evidence, Evidence::Unknown(_));
            told.unknown_seconds += u64::from(is_unknown);
            blind += u64::from(is_unknown && !is_on);
            let sample = Sample {
                at: Duration::from_secs(now),
                players: evidence,
                listening: Listening::Yes,
                held: Held::No,
            };
            attendance.note(sample.at, &sample.players);
            match watch.sample(&sample, &timers) {
                Verdict::Keep | Verdict::Warn { .. } => {
                    let limit = if ever { LAST_LEFT + SILENCE_SECONDS } else { NEVER_JOINED };
                    // After a pause nobody is called absent before there was time to see them.
                    let unseen = blind + if blind > 0 { 2 * WINDOW_SECONDS } else { 0 };
                    assert!(alone <= limit + unseen + 1, "{alone} s alone at {now} s, {blind} s blind");
                    assert!(now < CAP, "it outlived its cap");
                }
                Verdict::Stop(StopWhy::Cap) => {
                    assert_eq!(now, CAP);
                    told.capped += 1;
                    return attendance;
                }
                Verdict::Stop(why) => {
                    assert!(!is_known, "thrown out at {now} s: {why:?}");
                    told.joined += u32::from(why == StopWhy::LastLeft);
                    told.never += u32::from(why == StopWhy::NeverJoined);
                    return attendance;
                }
            }
        }
        attendance
    }

    /// Lets those who are on say something, and returns their connections.
    fn players(&mut self, now: u64, judge: &mut Judge) -> Vec<Connection> {
        let lags = within(&self.lags, now);
        let mut connections = Vec::new();
        for stay in self.stays.iter_mut().filter(|stay| (stay.from..stay.to).contains(&now)) {
            connections.push(connection(stay.peer, lags));
            // Whoever joins has much to say at first.
            let talks = if stay.heard < 10 { 100 } else { stay.talks };
            if !lags && self.random.below(100) < talks {
                stay.heard += 1;
                if self.protocol == Protocol::Udp {
                    judge.udp.saw(now, stay.peer, Kind::Play);
                    judge.udp.answered(stay.peer.ip());
                }
            }
        }
        connections
    }

    /// Lets strangers come by, and tells how many datagrams they sent.
    fn strangers(&mut self, now: u64, judge: &mut Judge) -> u64 {
        let mut sent = 0;
        let mut say = |who: SocketAddr, kind| {
            judge.udp.saw(now, who, kind);
            // A scanner and a list are answered, too.
            judge.udp.answered(who.ip());
            sent += 1;
        };
        if self.scans.contains(&now) {
            (0..3).for_each(|n| say(peer(1000 + n, 55_555), Kind::Play));
        }
        if let Some((every, kind)) = self.ping.filter(|(every, _)| now.is_multiple_of(*every)) {
            let keeps_port = self.keeps_port && (every == 10 || kind == Kind::Query);
            say(peer(2000, 1024 + if keeps_port { 0 } else { now % 60_000 } as u16), kind);
        }
        sent
    }

    fn look(&self, now: u64, judge: &mut Judge, connections: Vec<Connection>) -> Evidence {
        let is_failing = within(&self.failures, now);
        let (source, evidence) = match self.protocol {
            Protocol::Tcp => {
                if !is_failing {
                    judge.tcp.sample(now, connections);
                }
                (Source::SocketTables, judge.tcp_evidence())
            }
            Protocol::Udp => {
                judge.listened(now, u32::from(is_failing));
                (Source::PacketPeers, judge.udp_evidence(now))
            }
        };
        let evidence = if is_failing { Evidence::Unknown("it fails".into()) } else { evidence };
        combine(&[self.protocol], Count::Partial, &[Sighting { source, protocol: self.protocol, evidence }])
    }
}

fn connection(peer: SocketAddr, lags: bool) -> Connection {
    Connection { peer, retransmits: if lags { 5 } else { 0 }, received: Some(1000) }
}

fn within(spans: &[(u64, u64)], now: u64) -> bool {
    spans.iter().any(|(from, to)| (*from..*to).contains(&now))
}

fn peer(n: u32, port: u16) -> SocketAddr {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    SocketAddr::from((Ipv4Addr::from(first + n), port))
}

/// A linear congruential generator (Knuth's), of which the upper bits are used.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
