//! When a server is empty enough to sleep: evidence at one moment, and evidence over time.
//!
//! Two pure functions. [`combine`] makes one [`Evidence`] of what several sources saw; [`Watch::sample`] decides from
//! those over time whether to keep, warn or stop. What was not observed is unknown, and unknown is never empty: it stops
//! the idle timers, and only the hard cap goes on.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::{
    game::{Count, Protocol},
    world::StopWhy,
};

/// What was seen of the players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// At least this many are on; never 0.
    Players(u32),
    /// Nobody is on: it was possible to see them, and there were none.
    Empty,
    /// Nobody could tell; why.
    Unknown(String),
}

impl Evidence {
    /// Returns `Players(n)`, or `Empty` for 0.
    pub fn count(n: u32) -> Self {
        if n == 0 { Self::Empty } else { Self::Players(n) }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Players(1) => f.write_str("1 player"),
            Self::Players(n) => write!(f, "{n} players"),
            Self::Empty => f.write_str("nobody on"),
            Self::Unknown(why) => write!(f, "players unknown: {why}"),
        }
    }
}

/// Where evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `/proc/net/{tcp,tcp6,udp,udp6}`: exact for TCP, blind for the peers of an unconnected UDP socket.
    SocketTables,
    /// Datagrams seen on a packet socket: exact for UDP.
    PacketPeers,
    /// The kernel's count of received datagrams: tells that somebody is there, not how many.
    DatagramRate,
    /// What the game itself says. It may count bots, and may leave out who plays over a relay.
    GameQuery,
}

impl Source {
    /// Returns the words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SocketTables => "socket tables",
            Self::PacketPeers => "packet peers",
            Self::DatagramRate => "datagram rate",
            Self::GameQuery => "game query",
        }
    }
}

/// What one source says about the players who use one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Who says so.
    pub source: Source,
    /// Which of the game's protocols it speaks of.
    pub protocol: Protocol,
    /// What it saw.
    pub evidence: Evidence,
}

/// Combines what the sources say about a game that uses the protocols `needed`, and whose own count is worth so much.
///
/// Those who can see every single peer decide: socket tables and packet peers. Whom the game counts besides is a bot, or
/// somebody who has gone. Where they are blind, the game's count and the datagram rate are heard together, as the table at `guess` says.
/// Whoever plays over two protocols is one player, so the larger figure holds. The server is empty when every protocol is.
pub fn combine(needed: &[Protocol], count: Count, sightings: &[Sighting]) -> Evidence {
    let verdicts: Vec<_> = needed.iter().map(|p| decide(*p, count, sightings)).collect();
    let players =
        verdicts.iter().filter_map(|v| if let Evidence::Players(n) = v { Some(*n) } else { None }).max();
    if let Some(n) = players {
        return Evidence::count(n);
    }
    let unknown = verdicts.into_iter().find(|v| matches!(v, Evidence::Unknown(_)));
    unknown.unwrap_or(if needed.is_empty() {
        Evidence::Unknown("the game has no ports".into())
    } else {
        Evidence::Empty
    })
}

/// Returns what is known about the players who use `protocol`.
fn decide(protocol: Protocol, count: Count, sightings: &[Sighting]) -> Evidence {
    let about = || sightings.iter().filter(|s| s.protocol == protocol);
    let says = |source| about().find(|s| s.source == source).map(|s| &s.evidence);
    let is_known = |evidence: &&Evidence| !matches!(evidence, Evidence::Unknown(_));
    // A connected UDP socket shows a player even to the tables, which are otherwise blind there.
    let exact = [Source::SocketTables, Source::PacketPeers].into_iter().filter_map(says).find(is_known);
    let guessed = || {
        let [rate, game] =
            [Source::DatagramRate, Source::GameQuery].map(|source| says(source).filter(is_known));
        guess(rate, game, count)
    };
    exact.cloned().or_else(guessed).unwrap_or_else(|| Evidence::Unknown(reasons(about())))
}

/// Returns what follows from the datagram rate and the game's own count where nobody can see the peers.
///
/// | datagrams | the game says | then |
/// | --- | --- | --- |
/// | none | anything | nobody is on: who plays sends something |
/// | some, or unknown | n players | n players |
/// | some, or unknown | nobody, and it counts everybody | nobody |
/// | some | nobody, and it may leave players out | unknown |
/// | some | nothing | somebody |
/// | unknown | nobody, and it may leave players out | unknown |
/// | unknown | nothing | unknown |
fn guess(rate: Option<&Evidence>, game: Option<&Evidence>, count: Count) -> Option<Evidence> {
    match (rate, game) {
        (Some(Evidence::Empty), _) => Some(Evidence::Empty),
        (_, Some(Evidence::Players(n))) => Some(Evidence::Players(*n)),
        (_, Some(Evidence::Empty)) => Some(match count {
            Count::Whole => Evidence::Empty,
            Count::Partial => Evidence::Unknown("the game counts nobody, and may leave players out".into()),
        }),
        (Some(Evidence::Players(n)), _) => Some(Evidence::Players(*n)),
        (Some(Evidence::Unknown(_)) | None, Some(Evidence::Unknown(_)) | None) => None,
    }
}

/// Joins the reasons of sources that could not see.
fn reasons<'a>(sightings: impl Iterator<Item = &'a Sighting>) -> String {
    let reasons: Vec<_> = sightings
        .filter_map(|s| match &s.evidence {
            Evidence::Unknown(why) => Some(format!("{}: {why}", s.source.name())),
            Evidence::Players(_) | Evidence::Empty => None,
        })
        .collect();
    if reasons.is_empty() { "no source".into() } else { reasons.join("; ") }
}

/// When an awake world goes to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// How long to wait for the first player.
    pub never_joined: Duration,
    /// How long to wait after the last player has left.
    pub last_left: Duration,
    /// How long before a stop players and channel are warned.
    pub warning: Duration,
    /// How long players may be on of whom nobody moves. Zero, which is usual: for as long as they like.
    pub afk: Duration,
    /// How long a launch may last at the very most, whoever is on.
    pub cap: Duration,
}

/// Says which timer is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is {seconds} s: use {least} s to {most} s{or}")]
pub struct BadTimer {
    /// The timer.
    pub name: &'static str,
    /// What it is set to.
    pub seconds: u64,
    /// The least that is allowed.
    pub least: u64,
    /// The most that is allowed.
    pub most: u64,
    /// What is allowed besides, in words that go on from there.
    pub or: &'static str,
}

impl Timers {
    /// What holds where neither the game nor the person says otherwise.
    pub const DEFAULT: Self = Self {
        never_joined: Duration::from_secs(15 * 60),
        last_left: Duration::from_secs(10 * 60),
        warning: Duration::from_secs(2 * 60),
        afk: Duration::ZERO,
        cap: Duration::from_secs(12 * 60 * 60),
    };

    /// Returns the timers if each is in its range: idle timers 5 s to 1 day, warning 0 s to 1 h, AFK limit 5 min to 1 day if
    /// there is one, cap 30 s to 7 days.
    ///
    /// Whoever reads the chat, cooks in the game or fetches a drink stands still for some minutes and plays.
    pub fn checked(self) -> Result<Self, BadTimer> {
        const DAY: u64 = 24 * 60 * 60;
        let check = |name, value: Duration, least, most| {
            let seconds = value.as_secs();
            if (least..=most).contains(&seconds) {
                Ok(())
            } else {
                Err(BadTimer { name, seconds, least, most, or: "" })
            }
        };
        check("never_joined", self.never_joined, 5, DAY)?;
        check("last_left", self.last_left, 5, DAY)?;
        check("warning", self.warning, 0, 60 * 60)?;
        if !self.afk.is_zero() {
            check("afk", self.afk, 300, DAY).map_err(|bad| BadTimer { or: ", or 0s for never", ..bad })?;
        }
        check("cap", self.cap, 30, 7 * DAY)?;
        Ok(self)
    }
}

/// The timers that a person chose; others hold where none is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimerChoices {
    /// See [`Timers::never_joined`].
    pub never_joined: Option<Duration>,
    /// See [`Timers::last_left`].
    pub last_left: Option<Duration>,
    /// See [`Timers::warning`].
    pub warning: Option<Duration>,
    /// See [`Timers::afk`].
    pub afk: Option<Duration>,
    /// See [`Timers::cap`].
    pub cap: Option<Duration>,
}

impl TimerChoices {
    /// Returns these timers, and `others` where none is chosen.
    pub fn over(self, others: Timers) -> Timers {
        Timers {
            never_joined: self.never_joined.unwrap_or(others.never_joined),
            last_left: self.last_left.unwrap_or(others.last_left),
            warning: self.warning.unwrap_or(others.warning),
            afk: self.afk.unwrap_or(others.afk),
            cap: self.cap.unwrap_or(others.cap),
        }
    }
}

/// One look at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Monotonic time since the game was ready.
    pub at: Duration,
    /// Who is on.
    pub players: Evidence,
    /// For how long none of those who are on has moved; nothing where that cannot be told.
    pub still_for: Option<Duration>,
    /// Whether the game's ports are bound.
    pub listening: Listening,
    /// Whether the game answers when it is asked for its players.
    pub answering: Answering,
    /// Whether a person wants it awake whoever is on.
    pub held: Held,
}

/// Whether the game's ports are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// All of them are.
    Yes,
    /// At least one is not.
    No,
    /// The tables could not be read.
    Unknown,
}

/// Whether the game answers when it is asked for its players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// It does.
    Yes,
    /// It did in this launch, and does not any more.
    No,
    /// It is not asked, or has never answered: many a private server does not.
    Unknown,
}

/// Whether a person wants the world awake whoever is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The idle timers are off.
    Yes,
    /// They run.
    No,
}

/// What to do after a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Keep,
    /// Go on, but say that the stop is near.
    Warn {
        /// The time left.
        left: Duration,
        /// What it would stop for.
        why: StopWhy,
    },
    /// Begin to stop.
    Stop(StopWhy),
}

/// The evidence gathered since the game was ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    last: Option<Duration>,
    joined: bool,
    empty_for: Duration,
    deaf_for: Duration,
    unanswered_for: Duration,
    away_for: Duration,
}

impl Watch {
    /// The most that one sample may add to a timer. After a pause (a frozen watchdog, a suspended host) the time in
    /// between was not observed, and what was not observed is not empty.
    pub const LONGEST_GAP: Duration = Duration::from_secs(10);

    /// How long the game's ports may be unbound. A server that reloads its world closes them for some seconds.
    pub const DEAF_LIMIT: Duration = Duration::from_secs(60);

    /// How long a game may leave questions unanswered that it answered before. One that saves or makes a large piece of its
    /// world answers nobody for a minute or two.
    pub const UNANSWERED_LIMIT: Duration = Duration::from_secs(5 * 60);

    /// Adds `sample` and decides.
    pub fn sample(&mut self, sample: &Sample, timers: &Timers) -> Verdict {
        let since =
            self.last.map_or(Duration::ZERO, |last| sample.at.saturating_sub(last)).min(Self::LONGEST_GAP);
        self.last = Some(sample.at);
        self.count_empty(sample, since);
        self.count_away(sample, since);
        self.count_deaf(sample, since);
        self.count_unanswered(sample, since);
        self.decide(sample, timers)
    }

    fn count_empty(&mut self, sample: &Sample, since: Duration) {
        match (&sample.players, sample.held) {
            (Evidence::Players(_), _) => {
                self.joined = true;
                self.empty_for = Duration::ZERO;
            }
            (_, Held::Yes) => self.empty_for = Duration::ZERO,
            (Evidence::Empty, Held::No) => self.empty_for += since,
            (Evidence::Unknown(_), Held::No) => {}
        }
    }

    /// Counts for how long nobody has moved: never more than was seen of that, and never in leaps, so that a warning comes
    /// before the stop.
    fn count_away(&mut self, sample: &Sample, since: Duration) {
        self.away_for = match (sample.held, &sample.players, sample.still_for) {
            (Held::Yes, _, _) | (Held::No, Evidence::Empty, _) => Duration::ZERO,
            (Held::No, Evidence::Players(_), Some(still_for)) => still_for.min(self.away_for + since),
            (Held::No, Evidence::Unknown(_), _) | (Held::No, _, None) => self.away_for,
        };
    }

    fn count_deaf(&mut self, sample: &Sample, since: Duration) {
        match (sample.listening, &sample.players) {
            (Listening::Yes, _) | (_, Evidence::Players(_)) => self.deaf_for = Duration::ZERO,
            (Listening::No, _) => self.deaf_for += since,
            (Listening::Unknown, _) => {}
        }
    }

    fn count_unanswered(&mut self, sample: &Sample, since: Duration) {
        self.unanswered_for = match (sample.answering, sample.held, &sample.players) {
            // A world that is held may be busy being made.
            (Answering::Yes, _, _) | (_, Held::Yes, _) | (_, _, Evidence::Players(_)) => Duration::ZERO,
            (Answering::No, Held::No, Evidence::Empty) => self.unanswered_for + since,
            (Answering::No, Held::No, Evidence::Unknown(_)) | (Answering::Unknown, Held::No, _) => {
                self.unanswered_for
            }
        };
    }

    fn decide(&self, sample: &Sample, timers: &Timers) -> Verdict {
        let until_cap = timers.cap.saturating_sub(sample.at);
        let near = self.idle(sample, timers).filter(|(left, _)| *left < until_cap);
        let (left, why) = near.unwrap_or((until_cap, StopWhy::Cap));
        if until_cap.is_zero() {
            Verdict::Stop(StopWhy::Cap)
        } else if self.deaf_for >= Self::DEAF_LIMIT {
            Verdict::Stop(StopWhy::Deaf)
        } else if self.unanswered_for >= Self::UNANSWERED_LIMIT {
            Verdict::Stop(StopWhy::Unresponsive)
        } else if left.is_zero() {
            Verdict::Stop(why)
        } else if left <= timers.warning {
            Verdict::Warn { left, why }
        } else {
            Verdict::Keep
        }
    }

    /// Returns when it stops because nobody plays, if things stay as they are, and why.
    fn idle(&self, sample: &Sample, timers: &Timers) -> Option<(Duration, StopWhy)> {
        match (sample.held, &sample.players) {
            (Held::Yes, _) | (Held::No, Evidence::Unknown(_)) => None,
            (Held::No, Evidence::Empty) => {
                let (limit, why) = if self.joined {
                    (timers.last_left, StopWhy::LastLeft)
                } else {
                    (timers.never_joined, StopWhy::NeverJoined)
                };
                Some((limit.saturating_sub(self.empty_for), why))
            }
            (Held::No, Evidence::Players(_)) => {
                let limit = Some(timers.afk).filter(|limit| !limit.is_zero())?;
                sample.still_for?;
                Some((limit.saturating_sub(self.away_for), StopWhy::AllAway))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::fmt::Write;

    fn sighting(source: Source, protocol: Protocol, evidence: Evidence) -> Sighting {
        Sighting { source, protocol, evidence }
    }

    #[test]
    fn packet_peers_overrule_the_rate_because_they_know_pings() {
        let seen = [
            sighting(Source::DatagramRate, Protocol::Udp, Evidence::Players(1)),
            sighting(Source::PacketPeers, Protocol::Udp, Evidence::Empty),
        ];
        assert_eq!(combine(&[Protocol::Udp], Count::Partial, &seen), Evidence::Empty);
    }

    #[test]
    fn without_packet_peers_the_rate_tells() {
        let seen = [
            sighting(Source::SocketTables, Protocol::Udp, Evidence::Unknown("unconnected".into())),
            sighting(Source::PacketPeers, Protocol::Udp, Evidence::Unknown("no CAP_NET_RAW".into())),
            sighting(Source::DatagramRate, Protocol::Udp, Evidence::Players(1)),
        ];
        assert_eq!(combine(&[Protocol::Udp], Count::Partial, &seen), Evidence::Players(1));
    }

    #[test]
    fn who_is_seen_overrules_what_the_game_counts() {
        let seen = |peers| {
            let sightings = [
                sighting(Source::PacketPeers, Protocol::Udp, peers),
                sighting(Source::GameQuery, Protocol::Udp, Evidence::Players(8)),
            ];
            combine(&[Protocol::Udp], Count::Whole, &sightings)
        };
        assert_eq!(seen(Evidence::Empty), Evidence::Empty, "eight bots");
        assert_eq!(seen(Evidence::Players(2)), Evidence::Players(2));
        assert_eq!(seen(Evidence::Unknown("blind".into())), Evidence::Players(8));
    }

    #[test]
    fn without_sight_the_rate_and_the_games_count_are_heard_together() {
        let unknown = || Evidence::Unknown("x".into());
        let mut table = String::new();
        for count in [Count::Partial, Count::Whole] {
            for rate in [Evidence::Empty, Evidence::Players(1), unknown()] {
                for game in [Evidence::Empty, Evidence::Players(3), unknown()] {
                    let sightings = [
                        sighting(Source::DatagramRate, Protocol::Udp, rate.clone()),
                        sighting(Source::GameQuery, Protocol::Udp, game.clone()),
                    ];
                    let told = combine(&[Protocol::Udp], count, &sightings);
                    writeln!(table, "{count:?}, rate {rate}, game {game}: {told}").unwrap();
                }
            }
        }
        expect![[r#"
            Partial, rate nobody on, game nobody on: nobody on
            Partial, rate nobody on, game 3 players: nobody on
            Partial, rate nobody on, game players unknown: x: nobody on
            Partial, rate 1 player, game nobody on: players unknown: the game counts nobody, and may leave players out
            Partial, rate 1 player, game 3 players: 3 players
            Partial, rate 1 player, game players unknown: x: 1 player
            Partial, rate players unknown: x, game nobody on: players unknown: the game counts nobody, and may leave players out
            Partial, rate players unknown: x, game 3 players: 3 players
            Partial, rate players unknown: x, game players unknown: x: players unknown: datagram rate: x; game query: x
            Whole, rate nobody on, game nobody on: nobody on
            Whole, rate nobody on, game 3 players: nobody on
            Whole, rate nobody on, game players unknown: x: nobody on
            Whole, rate 1 player, game nobody on: nobody on
            Whole, rate 1 player, game 3 players: 3 players
            Whole, rate 1 player, game players unknown: x: 1 player
            Whole, rate players unknown: x, game nobody on: nobody on
            Whole, rate players unknown: x, game 3 players: 3 players
            Whole, rate players unknown: x, game players unknown: x: players unknown: datagram rate: x; game query: x
        "#]].assert_eq(&table);
    }

    #[test]
    fn one_blind_protocol_makes_the_whole_unknown() {
        let seen = [
            sighting(Source::SocketTables, Protocol::Tcp, Evidence::Empty),
            sighting(Source::PacketPeers, Protocol::Udp, Evidence::Unknown("no CAP_NET_RAW".into())),
        ];
        expect!["players unknown: packet peers: no CAP_NET_RAW"]
            .assert_eq(&combine(&[Protocol::Tcp, Protocol::Udp], Count::Partial, &seen).to_string());
    }

    #[test]
    fn players_on_one_protocol_are_players() {
        let seen = [
            sighting(Source::SocketTables, Protocol::Tcp, Evidence::Players(2)),
            sighting(Source::PacketPeers, Protocol::Udp, Evidence::Unknown("no CAP_NET_RAW".into())),
        ];
        assert_eq!(combine(&[Protocol::Tcp, Protocol::Udp], Count::Partial, &seen), Evidence::Players(2));
    }

    #[test]
    fn an_afk_limit_is_five_minutes_at_least_or_none() {
        let checked = |afk| {
            let timers = Timers { afk: Duration::from_secs(afk), ..Timers::DEFAULT };
            timers.checked().map_or_else(|bad| bad.to_string(), |timers| format!("{:?}", timers.afk))
        };
        assert_eq!([0, 300, 86_400].map(checked), ["0ns", "300s", "86400s"]);
        let refused = "`afk` is 299 s: use 300 s to 86400 s, or 0s for never";
        assert_eq!(checked(299), refused);
    }

    #[test]
    fn never_joined_and_last_left_are_different_timers() {
        check("31:e", expect!["t=21 warn 10; t=31 stop NeverJoined"]);
        check("5:e 3:p 20:e", expect!["t=18 warn 10; t=28 stop LastLeft"]);
    }

    #[test]
    fn a_player_keeps_it_awake_until_the_cap() {
        check("100:p", expect!["t=90 warn 10; t=100 stop Cap"]);
    }

    #[test]
    fn unknown_is_not_empty_and_only_pauses_the_timer() {
        check("100:?", expect!["t=90 warn 10; t=100 stop Cap"]);
        check("15:e 40:? 20:e", expect!["t=61 warn 10; t=71 stop NeverJoined"]);
        check("25:e 10:? 20:e", expect!["t=21 warn 10; t=26 keep; t=36 warn 5; t=41 stop NeverJoined"]);
    }

    #[test]
    fn a_held_world_does_not_idle_and_starts_its_timer_anew() {
        check("25:e 20:h 35:e", expect!["t=21 warn 10; t=26 keep; t=65 warn 10; t=75 stop NeverJoined"]);
    }

    #[test]
    fn a_paused_watchdog_has_observed_nothing_meanwhile() {
        let mut watch = Watch::default();
        let timers = timers();
        let mut at = |s| {
            let at = Duration::from_secs(s);
            watch.sample(&Sample { at, ..sample(0, "e") }, &timers)
        };
        assert_eq!(at(1), Verdict::Keep);
        assert_eq!(at(80), Verdict::Keep);
    }

    #[test]
    fn a_game_that_no_longer_listens_is_stopped_after_its_chance() {
        let timers =
            Timers { never_joined: Duration::from_secs(1000), cap: Duration::from_secs(1000), ..timers() };
        let deaf = |at: u64| Sample { listening: Listening::No, ..sample(at, "?") };
        let mut watch = Watch::default();
        let stop = (0..100).find(|at| watch.sample(&deaf(*at), &timers) == Verdict::Stop(StopWhy::Deaf));
        assert_eq!(stop, Some(60));
    }

    #[test]
    fn a_game_that_no_longer_listens_goes_on_while_somebody_is_seen_on_it() {
        let timers = Timers { cap: Duration::from_secs(1000), ..timers() };
        let mut watch = Watch::default();
        for at in 0..999 {
            let deaf = Sample { listening: Listening::No, ..sample(at, "p") };
            assert!(!matches!(watch.sample(&deaf, &timers), Verdict::Stop(_)), "at {at} s");
        }
    }

    #[test]
    fn tables_that_cannot_be_read_neither_stop_a_game_nor_pardon_it() {
        let timers =
            Timers { never_joined: Duration::from_secs(1000), cap: Duration::from_secs(1000), ..timers() };
        let mut watch = Watch::default();
        let stop = (0..999).find(|at| {
            let listening = if *at % 2 == 0 { Listening::No } else { Listening::Unknown };
            watch.sample(&Sample { listening, ..sample(*at, "?") }, &timers) == Verdict::Stop(StopWhy::Deaf)
        });
        assert_eq!(stop, Some(120));
        let mut watch = Watch::default();
        let unread = |at| Sample { listening: Listening::Unknown, ..sample(at, "?") };
        assert!((0..980).all(|at| watch.sample(&unread(at), &timers) == Verdict::Keep));
    }

    #[test]
    fn a_game_that_answered_and_does_so_no_more_is_stopped_after_its_chance_if_nobody_is_on() {
        expect!["e: Some((300, Unresponsive))"].assert_eq(&unanswered("e"));
        expect!["?: None"].assert_eq(&unanswered("?"));
        expect!["p: None"].assert_eq(&unanswered("p"));
        expect!["h: None"].assert_eq(&unanswered("h"));
        expect!["p?: None"].assert_eq(&unanswered("p?"));
        expect!["pe: Some((300, Unresponsive))"].assert_eq(&unanswered("pe"));
    }

    /// Tells when a game stops, and why, that answered first and is silent from then on, while `seen` is seen, the last of
    /// it again and again.
    fn unanswered(seen: &str) -> String {
        let long = Duration::from_secs(100_000);
        let timers = Timers { never_joined: long, last_left: long, cap: long, ..timers() };
        let (mut watch, mut seen_now) = (Watch::default(), seen.chars().map(String::from));
        let mut last = String::new();
        let stop = (0..3000).find_map(|at| {
            last = seen_now.next().unwrap_or_else(|| last.clone());
            let sample = Sample { answering: Answering::No, ..sample(at, &last) };
            match watch.sample(&sample, &timers) {
                Verdict::Stop(why) => Some((at, why)),
                Verdict::Keep | Verdict::Warn { .. } => None,
            }
        });
        format!("{seen}: {stop:?}")
    }

    #[test]
    fn one_answer_in_time_is_enough_and_a_game_that_never_answers_is_not_asked_to() {
        let long = Duration::from_secs(100_000);
        let timers = Timers { never_joined: long, cap: long, ..timers() };
        let told = |answering: fn(u64) -> Answering| {
            let mut watch = Watch::default();
            (0..3000).find(|at| {
                let sample = Sample { answering: answering(*at), ..sample(*at, "e") };
                watch.sample(&sample, &timers) != Verdict::Keep
            })
        };
        assert_eq!(told(|at| if at % 299 == 0 { Answering::Yes } else { Answering::No }), None);
        assert_eq!(told(|_| Answering::Unknown), None);
        assert_eq!(told(|at| if at % 2 == 0 { Answering::No } else { Answering::Unknown }), Some(600));
    }

    #[test]
    fn players_of_whom_nobody_moves_may_stay_for_as_long_as_they_may() {
        check_afk("10:p 60:s", expect!["t=40 warn 10; t=50 stop AllAway"]);
        check_afk("10:p 30:s 2:p 60:s", expect!["t=40 warn 10; t=41 keep; t=72 warn 10; t=82 stop AllAway"]);
        check_afk("10:p 35:s 5:p 49:s", expect!["t=40 warn 10; t=46 keep; t=80 warn 10; t=90 stop AllAway"]);
    }

    #[test]
    fn whoever_cannot_be_seen_to_stand_still_does_not() {
        check_afk("10:p 200:u", expect!["t=190 warn 10; t=200 stop Cap"]);
        check_afk("10:p 35:s 10:u 60:s", expect!["t=40 warn 10; t=46 keep; t=56 warn 4; t=60 stop AllAway"]);
        check_afk("10:p 30:s 10:? 5:s 60:?", expect!["t=40 warn 10; t=41 keep; t=51 warn 9; t=56 keep"]);
    }

    #[test]
    fn standing_still_is_no_reason_to_stop_unless_somebody_chose_a_limit() {
        check("99:s", expect!["t=90 warn 10"]);
    }

    #[test]
    fn a_held_world_lets_its_players_stand_still_and_begins_anew_after_that() {
        check_afk("60:s", expect!["t=31 warn 10; t=41 stop AllAway"]);
        check_afk("20:s 30:hs 60:s", expect!["t=80 warn 10; t=90 stop AllAway"]);
    }

    fn timers() -> Timers {
        let s = Duration::from_secs;
        Timers { never_joined: s(30), last_left: s(20), warning: s(10), afk: s(0), cap: s(100) }
    }

    fn check(script: &str, expected: Expect) {
        play(script, &timers(), &expected);
    }

    /// As [`check`], where nobody may stand still for longer than 40 s.
    fn check_afk(script: &str, expected: Expect) {
        let s = Duration::from_secs;
        play(script, &Timers { afk: s(40), cap: s(200), ..timers() }, &expected);
    }

    /// Plays `script` (seconds:what, with e = empty, p = a player who moves, s = one who stands still, u = one of whom
    /// nobody can tell, ? = unknown, h = held) at one sample a second and compares the changes of the verdict.
    fn play(script: &str, timers: &Timers, expected: &Expect) {
        let (mut watch, mut at, mut before, mut story) = (Watch::default(), 0, Verdict::Keep, String::new());
        let mut moved_at = 0;
        for part in script.split(' ') {
            let (seconds, what) = part.split_once(':').unwrap();
            for _ in 0..seconds.parse().unwrap() {
                at += 1;
                moved_at = if what == "p" { at } else { moved_at };
                let still_for = Some(Duration::from_secs(at - moved_at)).filter(|_| what != "u");
                let verdict = watch.sample(&Sample { still_for, ..sample(at, what) }, timers);
                tell(&mut story, at, &before, &verdict);
                if matches!(verdict, Verdict::Stop(_)) {
                    return expected.assert_eq(&story);
                }
                before = verdict;
            }
        }
        expected.assert_eq(&story);
    }

    fn sample(at: u64, what: &str) -> Sample {
        let players = match what {
            "p" | "s" | "hs" | "u" => Evidence::Players(1),
            "?" => Evidence::Unknown("test".into()),
            _ => Evidence::Empty,
        };
        let held = if what.starts_with('h') { Held::Yes } else { Held::No };
        Sample {
            at: Duration::from_secs(at),
            players,
            still_for: None,
            listening: Listening::Yes,
            answering: Answering::Unknown,
            held,
        }
    }

    fn tell(story: &mut String, at: u64, before: &Verdict, verdict: &Verdict) {
        let gap = if story.is_empty() { "" } else { "; " };
        match (before, verdict) {
            (Verdict::Warn { .. }, Verdict::Warn { .. }) | (Verdict::Keep, Verdict::Keep) => {}
            (_, Verdict::Keep) => write!(story, "{gap}t={at} keep").unwrap(),
            (_, Verdict::Warn { left, .. }) => write!(story, "{gap}t={at} warn {}", left.as_secs()).unwrap(),
            (_, Verdict::Stop(why)) => write!(story, "{gap}t={at} stop {why:?}").unwrap(),
        }
    }
}
