//! One evening: who comes, what the weather is, and what of it the watchdog's sources get to see.

use std::net::{Ipv4Addr, SocketAddr};

use domain::{
    game::{Count, Protocol},
    idle::{Answering, Evidence, Listening, Sighting, Source, combine},
};
use watchdog::{
    judge::Judge,
    peers::{Connection, Kind, SILENCE_SECONDS},
    rate::{self, Rate},
};

/// How long an evening may be at the most, in seconds: the cap.
pub(crate) const CAP: u64 = 3 * 60 * 60;

/// How long the world stays after the last player, as a rule.
pub(crate) const LAST_LEFT: u64 = 300;

/// How long it waits for the first, as a rule.
pub(crate) const NEVER_JOINED: u64 = 600;

/// How many packets a player sends in a second in which he moves.
pub(crate) const ACTIVE: u32 = 3;

/// After how long an answer of the game is an old one.
const FRESH: u64 = 20;

/// Seconds of the evening, from the first to before the last.
type Span = (u64, u64);

/// A stay of one player, in seconds of the evening.
struct Stay {
    from: u64,
    to: u64,
    peer: SocketAddr,
    /// How many of 100 seconds something is said in.
    talks: u64,
    /// When he stands still.
    still: Span,
    /// In how many seconds something got through.
    heard: u64,
    segments: u32,
}

/// By what datagrams are seen.
#[derive(Clone, Copy)]
enum Tap {
    /// Each of them.
    Whole,
    /// Each until then; from then on the kernel's count alone. From the first second on where there is no NET_RAW.
    Until(u64),
}

pub(crate) struct Evening {
    random: Random,
    protocol: Protocol,
    stays: Vec<Stay>,
    /// Seconds in which nothing gets through from anybody.
    lags: Vec<Span>,
    /// Seconds in which the watchdog does not run.
    pauses: Vec<Span>,
    /// Seconds in which the source fails: tables cannot be read, datagrams are lost.
    failures: Vec<Span>,
    /// Seconds in which a port is not bound.
    closed: Vec<Span>,
    /// Seconds in which somebody wants it awake.
    held: Vec<Span>,
    /// Seconds in which the game leaves a question unanswered. Nothing where it never answers.
    unanswered: Option<Vec<Span>>,
    /// When the game hangs for good. Its players are gone a little later.
    hangs_at: u64,
    tap: Tap,
    scans: Vec<u64>,
    /// Every how many seconds a list is brought up to date, and whether the query is known as one.
    ping: Option<(u64, Kind)>,
    /// Whether that comes from one port. More often than every 10 s it then cannot be told from a player who stands still,
    /// unless it is known as a query.
    keeps_port: bool,
    /// Whether nobody is in a hurry: then the idle timers are long, and a game that hangs or is deaf ends before them.
    pub(crate) is_patient: bool,
    /// How long all may stand still, in seconds; 0 for ever.
    pub(crate) afk: u64,
    rate: Rate,
    datagrams: u64,
    answered_at: u64,
}

/// What is true in one second, whoever sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Truth {
    /// Somebody is on.
    pub(crate) is_on: bool,
    /// Somebody is on of whom enough got through. What is heard in one second alone may be a scan.
    pub(crate) is_known: bool,
    /// Somebody who is on moves, or comes, and it gets through.
    pub(crate) is_moving: bool,
    /// How many datagrams strangers send.
    pub(crate) strangers: u64,
}

impl Evening {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let protocol = if random.one_in(3) { Protocol::Tcp } else { Protocol::Udp };
        let stays = stays(&mut random, protocol);
        let lags = spans(&mut random, 20, SILENCE_SECONDS - 4);
        let pauses = spans(&mut random, 1, 400);
        let failures = spans(&mut random, 3, 2 * LAST_LEFT);
        let scans = (0..random.below(30)).map(|_| random.below(CAP)).collect();
        let kind = if random.one_in(2) { Kind::Query } else { Kind::Play };
        let ping = random.one_in(2).then(|| ([1, 2, 10][random.below(3) as usize], kind));
        let keeps_port = random.one_in(2);
        let tap = match random.below(6) {
            0 => Tap::Until(0),
            1 => Tap::Until(random.below(CAP)),
            _ => Tap::Whole,
        };
        // A map is loaded, or, over TCP, the game takes nobody else in; in some evenings it closes for good.
        let mut closed = match protocol {
            Protocol::Tcp => spans(&mut random, 3, 400),
            Protocol::Udp => spans(&mut random, 1, 40),
        };
        let (closes_at, hangs_at) = (random.once_in(20), random.once_in(6));
        closed.push((closes_at, CAP + 1));
        let held = if random.one_in(4) { spans(&mut random, 2, 1500) } else { vec![] };
        let unanswered = random.one_in(2).then(|| spans(&mut random, 6, 900));
        let is_patient = random.one_in(4);
        let afk = if random.one_in(2) { 600 } else { 0 };
        let mut evening = Self {
            held,
            unanswered,
            is_patient,
            afk,
            rate: Rate::default(),
            datagrams: 0,
            answered_at: 0,
            random,
            protocol,
            stays,
            lags,
            pauses,
            failures,
            closed,
            hangs_at,
            tap,
            scans,
            ping,
            keeps_port,
        };
        let gone = hangs_at + 20 + evening.random.below(40);
        let is_let_in = |stay: &Stay| stay.from < hangs_at && !within(&evening.closed, stay.from);
        evening.stays.retain(is_let_in);
        evening.stays.iter_mut().for_each(|stay| stay.to = stay.to.min(closes_at).min(gone));
        evening
    }

    /// Lets one second happen, and returns what is true in it and the connections that there are.
    pub(crate) fn second(&mut self, now: u64, judge: &mut Judge) -> (Truth, Vec<Connection>) {
        let (connections, is_moving) = self.players(now, judge);
        let on = self.stays.iter().filter(|stay| (stay.from..stay.to).contains(&now));
        let (is_on, is_known) = (on.clone().count() > 0, on.clone().any(|stay| stay.heard > 1));
        let is_answered = self.unanswered.as_ref().is_some_and(|spans| !within(spans, now));
        if is_answered && now < self.hangs_at {
            self.answered_at = now;
        }
        (Truth { is_on, is_known, is_moving, strangers: self.strangers(now, judge) }, connections)
    }

    /// Returns what all sources come to.
    pub(crate) fn look(&mut self, now: u64, judge: &mut Judge, connections: Vec<Connection>) -> Evidence {
        let is_failing = self.is_failing(now);
        let (source, evidence) = match self.protocol {
            Protocol::Tcp if is_failing => (Source::SocketTables, Evidence::Unknown("it fails".into())),
            Protocol::Tcp => {
                judge.tcp.sample(now, connections);
                (Source::SocketTables, judge.tcp_evidence())
            }
            Protocol::Udp if self.sees_datagrams(now) => {
                judge.listened(now, u32::from(is_failing));
                (Source::PacketPeers, judge.udp_evidence(now))
            }
            Protocol::Udp => (Source::DatagramRate, self.rate_evidence(now, judge)),
        };
        let count = self.stays.iter().filter(|stay| (stay.from..stay.to).contains(&now)).count() as u32;
        let said = match self.answering(now) {
            Answering::Yes => Evidence::count(count),
            Answering::No | Answering::Unknown => Evidence::Unknown("it does not answer".into()),
        };
        let sighting = |source, evidence| Sighting { source, protocol: self.protocol, evidence };
        let sightings = [sighting(source, evidence), sighting(Source::GameQuery, said)];
        combine(&[self.protocol], Count::Partial, &sightings)
    }

    /// Returns for how long nobody has moved, as far as that can be seen.
    pub(crate) fn still_for(&self, now: u64, judge: &mut Judge) -> Option<u64> {
        let still_for = judge.still_for(now, &[self.protocol]);
        let is_blind = match self.protocol {
            Protocol::Tcp => self.is_failing(now),
            Protocol::Udp => !self.sees_datagrams(now),
        };
        still_for.filter(|_| !is_blind)
    }

    pub(crate) fn listening(&self, now: u64) -> Listening {
        match self.protocol {
            Protocol::Tcp if self.is_failing(now) => Listening::Unknown,
            Protocol::Tcp | Protocol::Udp if within(&self.closed, now) => Listening::No,
            Protocol::Tcp | Protocol::Udp => Listening::Yes,
        }
    }

    pub(crate) fn answering(&self, now: u64) -> Answering {
        match self.unanswered {
            None => Answering::Unknown,
            Some(_) if self.unanswered_for(now) <= FRESH => Answering::Yes,
            Some(_) => Answering::No,
        }
    }

    /// Returns for how long the game has not answered.
    pub(crate) fn unanswered_for(&self, now: u64) -> u64 {
        now - self.answered_at
    }

    pub(crate) fn is_held(&self, now: u64) -> bool {
        within(&self.held, now)
    }

    pub(crate) fn is_paused(&self, now: u64) -> bool {
        within(&self.pauses, now)
    }

    /// Tells whether strangers' datagrams cannot be told from players'.
    pub(crate) fn counts_strangers(&self, now: u64) -> bool {
        self.protocol == Protocol::Udp && !self.sees_datagrams(now)
    }

    /// Tells whether datagrams are lost, or tables cannot be read.
    pub(crate) fn is_failing(&self, now: u64) -> bool {
        within(&self.failures, now)
    }

    fn sees_datagrams(&self, now: u64) -> bool {
        match self.tap {
            Tap::Whole => true,
            Tap::Until(end) => now < end,
        }
    }

    /// Lets those who are on say something, and returns their connections, and whether anybody moves.
    fn players(&mut self, now: u64, judge: &mut Judge) -> (Vec<Connection>, bool) {
        let (lags, is_seen) = (within(&self.lags, now), self.sees_datagrams(now) && !self.is_failing(now));
        let (mut connections, mut is_moving) = (Vec::new(), false);
        for stay in self.stays.iter_mut().filter(|stay| (stay.from..stay.to).contains(&now)) {
            // Whoever joins has much to say at first.
            let talks = if stay.heard < 10 { 100 } else { stay.talks };
            if !lags && self.random.below(100) < talks {
                let moves = stay.heard < 10 || (!within(&[stay.still], now) && self.random.one_in(4));
                let packets = if moves { ACTIVE } else { 1 };
                stay.heard += 1;
                stay.segments += packets;
                is_moving |= moves;
                self.datagrams += u64::from(packets);
                if self.protocol == Protocol::Udp && is_seen {
                    (0..packets).for_each(|_| judge.udp.saw(now, stay.peer, Kind::Play));
                    if now < self.hangs_at {
                        judge.udp.answered(stay.peer.ip());
                    }
                }
            }
            connections.push(connection(stay, lags));
        }
        (connections, is_moving)
    }

    /// Lets strangers come by, and tells how many datagrams they sent.
    fn strangers(&mut self, now: u64, judge: &mut Judge) -> u64 {
        let is_seen = self.sees_datagrams(now) && !self.is_failing(now);
        let mut sent = 0;
        let mut say = |who: SocketAddr, kind| {
            if is_seen {
                judge.udp.saw(now, who, kind);
                // A scanner and a list are answered, too.
                judge.udp.answered(who.ip());
            }
            sent += 1;
        };
        if self.scans.contains(&now) {
            (0..3).for_each(|n| say(peer(1000 + n, 55_555), Kind::Play));
        }
        if let Some((every, kind)) = self.ping.filter(|(every, _)| now.is_multiple_of(*every)) {
            let keeps_port = self.keeps_port && (every == 10 || kind == Kind::Query);
            say(peer(2000, 1024 + if keeps_port { 0 } else { now % 60_000 } as u16), kind);
        }
        self.datagrams += sent;
        sent
    }

    fn rate_evidence(&mut self, now: u64, judge: &mut Judge) -> Evidence {
        if matches!(self.tap, Tap::Until(end) if end == now && now > 0) {
            judge.blinded(now);
        }
        if self.is_failing(now) {
            return Evidence::Unknown("the kernel does not say".into());
        }
        self.rate.sample(rate::Sample { at_ms: now * 1000, total: self.datagrams, own: 0 });
        judge.rate_evidence(now, self.rate.count(now * 1000))
    }
}

fn stays(random: &mut Random, protocol: Protocol) -> Vec<Stay> {
    let players = if random.one_in(10) { 0 } else { 1 + random.below(4) };
    let mut stays = Vec::new();
    for player in 0..players {
        let mut from = 5 + random.below(NEVER_JOINED - 60);
        for _ in 0..=random.below(3) {
            let longest = if random.one_in(20) { CAP } else { 3000 };
            let to = from + 30 + random.below(longest);
            let peer = peer(player as u32, 40_000 + random.below(20_000) as u16);
            let talks = if random.one_in(3) { 45 } else { 98 };
            let rests_at = from + random.below(to - from);
            let still = (rests_at, rests_at + if random.one_in(2) { 1500 } else { 100 });
            stays.push(Stay { from, to, peer, talks, still, heard: 0, segments: 0 });
            // Many come back when the world is about to go.
            let stop = LAST_LEFT + if protocol == Protocol::Udp { SILENCE_SECONDS } else { 0 };
            from = to + if random.one_in(2) { random.below(600) } else { stop - 20 + random.below(20) };
        }
    }
    stays
}

/// Returns up to `most` spans of up to `longest` seconds.
fn spans(random: &mut Random, most: u64, longest: u64) -> Vec<Span> {
    let spans = 0..random.below(most + 1);
    spans.map(|_| (random.below(CAP), 1 + random.below(longest))).map(|(at, long)| (at, at + long)).collect()
}

fn connection(stay: &Stay, lags: bool) -> Connection {
    let retransmits = if lags { 5 } else { 0 };
    Connection { peer: stay.peer, retransmits, received: Some(1000), segments: Some(stay.segments) }
}

fn within(spans: &[Span], now: u64) -> bool {
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

    /// Returns some second of the evening, or, in all but one evening of `n`, one after its end.
    fn once_in(&mut self, n: u64) -> u64 {
        if self.one_in(n) { self.below(CAP) } else { 2 * CAP }
    }
}
