//! Who behaves like a player: a pure judgement over the peers that were seen.
//!
//! [`PeerTable`] judges senders of datagrams, [`TcpPeers`] connections. Scans, list pings and half-open connections come
//! and go; a player stays, says something and is answered. The bounds lean towards counting somebody too long: nobody is
//! thrown out. This file must never read a clock (seconds are arguments, from a monotonic clock), and never let strangers
//! grow its tables or push a player out of them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use domain::game::Pattern;

/// The most peers that each table remembers: a hundred times what the largest private server holds, in 300 KiB.
pub const MAX_PEERS: usize = 4096;

/// How far back seconds are counted.
pub const WINDOW_SECONDS: u64 = 30;

/// In how many distinct seconds of the window a player is seen at least. The quietest players measured are seen in 6 (idle
/// on a Bedrock server of `bedrock-protocol`, a datagram every 5 s) and in 11 to 14 (idle on Luanti). A list ping every 5 s
/// is seen in 6, too, so that a game's own pings have to be known by how they begin; one every 10 s is seen in 3.
pub const PLAYER_SECONDS: u32 = 5;

/// How long a player may be silent and still count. Leaving late only costs seconds; the quietest player pauses for less.
pub const SILENCE_SECONDS: u64 = 20;

/// For how long after its first datagram a sender may turn out to be a player: an idle Luanti player takes about 20 s to
/// be seen in 5 of them.
pub const NEWCOMER_SECONDS: u64 = 25;

/// After this long without a word a newcomer has gone again.
pub const NEWCOMER_SILENCE_SECONDS: u64 = 10;

/// How long a TCP connection must stand to be a player's: status pings and scans are over sooner.
pub const CONNECTED_SECONDS: u64 = 5;

/// After how long a connection on which nothing was ever said is somebody's who knocks: a client speaks as soon as it is
/// connected. Else whoever knocks again and again would never let it be known that nobody plays.
pub const SPEECHLESS_SECONDS: u64 = 1;

/// After so many segments sent again without an answer the other end of a connection is gone. The first is sent again
/// after 0.2 s at least, each further one after twice the time: 25 s in all, which a link that hiccups does not take.
pub const DEAD_RETRANSMITS: u32 = 7;

/// After so many seconds without a sample nobody can tell whether somebody has moved meanwhile.
const MOST_SECONDS_BETWEEN: u64 = 5;

/// How many peers make room at once when a table is full, so that a flood does not search the table for each newcomer; and
/// each time that it has grown by as many, it is searched for those who have gone.
const ROOM: usize = 256;

/// The bits of [`Sender::seconds`] that lie in the window.
const WINDOW: u32 = (1 << WINDOW_SECONDS) - 1;

/// What a datagram is, as far as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// May be part of somebody's play.
    Play,
    /// Asks what server this is, or knocks at its door; players do so too, but not while they play.
    Query,
}

impl Kind {
    /// Tells what a datagram with this payload is, for a game whose own `queries` begin so.
    ///
    /// Known for all games are the queries of families of them, none of which begins a packet so once somebody plays:
    ///
    /// - `ff ff ff ff`: connectionless packets of Quake 3 (getinfo, getstatus, getchallenge, connect), of Source (A2S) and
    ///   of Teeworlds 0.6.
    /// - RakNet before a connection: unconnected pings (01 or 02, eight bytes of time, a fixed magic) and requests to
    ///   connect (05 or 07, the magic).
    /// - `fe fd`, then 00 or 09: the query of GameSpy 3 and 4, which Minecraft answers, and 00 that of GameSpy 2.
    /// - GameSpy 1: `\\basic\\`, `\\info\\`, `\\rules\\`, `\\players\\`, `\\status\\`.
    pub fn of(payload: &[u8], queries: &[Pattern]) -> Self {
        let is_query = payload.starts_with(&[0xff; 4])
            || is_before_raknet(payload)
            || is_gamespy(payload)
            || queries.iter().any(|pattern| pattern.begins(payload));
        if is_query { Self::Query } else { Self::Play }
    }
}

fn is_before_raknet(payload: &[u8]) -> bool {
    const MAGIC: [u8; 16] = [0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 0x12, 0x34, 0x56, 0x78];
    let magic_at = match payload.first() {
        Some(1 | 2) => 9,
        Some(5 | 7) => 1,
        Some(_) | None => return false,
    };
    payload.get(magic_at..).is_some_and(|rest| rest.starts_with(&MAGIC))
}

fn is_gamespy(payload: &[u8]) -> bool {
    const FIRST: [&[u8]; 5] = [b"\\basic\\", b"\\info\\", b"\\rules\\", b"\\players\\", b"\\status\\"];
    matches!(payload, [0xfe, 0xfd, 0 | 9, ..]) || FIRST.iter().any(|words| payload.starts_with(words))
}

/// What a peer is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It plays.
    Player,
    /// It came so lately that it may yet turn out to be a player.
    New,
    /// It was seen too seldom, or is silent by now.
    Passing,
    /// The game never answered it.
    Unanswered,
    /// It is connected, and has never said anything.
    Mute,
    /// It is connected, and does not answer.
    Dead,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Player => "player",
            Self::New => "too new to tell",
            Self::Passing => "no player",
            Self::Unanswered => "no player: the game never answered it",
            Self::Mute => "no player: it never said anything",
            Self::Dead => "no player: it does not answer",
        })
    }
}

/// What a table knows of one peer, for people to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub peer: SocketAddr,
    /// In how many of the last [`WINDOW_SECONDS`] it was seen.
    pub seconds_seen: u32,
    /// How many seconds ago it was last seen.
    pub last_seen_ago: u64,
    /// What it is taken for.
    pub standing: Standing,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, seconds_seen, last_seen_ago, standing } = self;
        write!(
            f,
            "{peer}: {standing}; seen in {seconds_seen} of {WINDOW_SECONDS} s, last {last_seen_ago} s ago"
        )
    }
}

/// How many packets a second of one who moves, and not of one who stands still; nothing where nobody can tell.
pub type Active = Option<u32>;

/// The senders of datagrams.
///
/// A sender becomes a player by being seen in [`PLAYER_SECONDS`] of the window and by being answered, and is one until it
/// was silent for [`SILENCE_SECONDS`], or until another took its place: whoever joins again from the same address with
/// another port, after the last word from the old one, is the same person.
#[derive(Debug, Clone, Default)]
pub struct PeerTable {
    active: Active,
    senders: BTreeMap<SocketAddr, Sender>,
    crowded_at: Option<u64>,
}

impl PeerTable {
    /// Returns an empty table of a game whose players are `active` so.
    pub fn of(active: Active) -> Self {
        Self { active, ..Self::default() }
    }

    /// Notes that a datagram from `peer` was seen. A [`Kind::Query`] leaves no trace.
    pub fn saw(&mut self, at_second: u64, peer: SocketAddr, what: Kind) {
        match what {
            Kind::Query => {}
            Kind::Play => {
                let active = self.active.unwrap_or(u32::MAX);
                self.sender(at_second, peer).saw(at_second, active);
            }
        }
    }

    /// Notes that the game sent something to `address`. What it sends to strangers is not remembered.
    pub fn answered(&mut self, address: IpAddr) {
        let [first, last] = [u16::MIN, u16::MAX].map(|port| SocketAddr::new(address, port));
        self.senders.range_mut(first..=last).for_each(|(_, sender)| sender.answered());
    }

    /// Takes all who are there now for answered: nobody could listen to what the game sends.
    pub fn answers_were_lost(&mut self) {
        self.senders.values_mut().for_each(Sender::answered);
    }

    /// Tells whether somebody is there whom the game has not answered yet, as far as is known.
    pub fn awaits_answers(&self, now: u64) -> bool {
        self.senders.values().any(|sender| !sender.is_answered && sender.may_play(now))
    }

    /// Returns how many players there are.
    pub fn players(&self, now: u64) -> u32 {
        self.count(now, Standing::Player)
    }

    /// Returns the second in which any of those who play last came or moved; 0 if nobody plays. Nothing if nobody can tell.
    pub fn moved_at(&self, now: u64) -> Option<u64> {
        self.active?;
        let mut last = 0;
        for (peer, sender) in &self.senders {
            match self.standing(peer, sender, now) {
                Standing::Player => last = last.max(sender.moved_at),
                // It may be somebody who comes.
                Standing::New => return None,
                Standing::Passing | Standing::Unanswered | Standing::Mute | Standing::Dead => {}
            }
        }
        Some(last)
    }

    /// Returns the peers seen within the window, in the order of their addresses.
    pub fn rows(&self, now: u64) -> impl Iterator<Item = Row> {
        self.senders
            .iter()
            .map(move |(peer, sender)| sender.row(*peer, self.standing(peer, sender, now), now))
            .filter(|row| row.seconds_seen > 0)
    }

    /// Tells whether, within the window, more peers came than the table remembers. Then there may be more players than
    /// [`Self::players`] knows, and 0 is no proof that nobody plays.
    pub fn is_crowded(&self, now: u64) -> bool {
        self.crowded_at.is_some_and(|at| now.saturating_sub(at) < WINDOW_SECONDS)
    }

    /// Returns how many senders came so lately that they may yet turn out to be players.
    ///
    /// Whoever joins in the last seconds before a stop must not be taken for nobody. A list ping that goes on is a
    /// newcomer only once, and one from a new port each time never.
    pub fn newcomers(&self, now: u64) -> u32 {
        self.count(now, Standing::New)
    }

    fn count(&self, now: u64, standing: Standing) -> u32 {
        let is_so =
            |(peer, sender): (&SocketAddr, &Sender)| u32::from(self.standing(peer, sender, now) == standing);
        self.senders.iter().map(is_so).sum()
    }

    fn standing(&self, peer: &SocketAddr, sender: &Sender, now: u64) -> Standing {
        let standing = sender.standing(now);
        let is_replaced = standing == Standing::Player && self.is_replaced(peer, sender, now);
        if is_replaced { Standing::Passing } else { standing }
    }

    /// Tells whether the same address came again from another port after the last word from this one.
    fn is_replaced(&self, peer: &SocketAddr, sender: &Sender, now: u64) -> bool {
        let [first, last] = [u16::MIN, u16::MAX].map(|port| SocketAddr::new(peer.ip(), port));
        let came_later = |other: &Sender| other.came_at > sender.last_seen && other.may_play(now);
        sender.last_seen < now && self.senders.range(first..=last).any(|(_, other)| came_later(other))
    }

    /// Returns the entry for `peer`, with room made for it if it is new.
    fn sender(&mut self, now: u64, peer: SocketAddr) -> &mut Sender {
        if self.senders.len() % ROOM == ROOM - 1 && !self.senders.contains_key(&peer) {
            self.forget_absent(now);
        }
        if self.senders.len() >= MAX_PEERS && !self.senders.contains_key(&peer) {
            self.make_room(now);
        }
        self.senders.entry(peer).or_insert_with(|| Sender::new(now))
    }

    /// Forgets those whom the window no longer shows.
    fn forget_absent(&mut self, now: u64) {
        self.senders.retain(|_, sender| now.saturating_sub(sender.last_seen) < WINDOW_SECONDS);
    }

    /// Forgets those whom the window no longer shows; failing that, those seen least recently, players last.
    fn make_room(&mut self, now: u64) {
        self.forget_absent(now);
        if self.senders.len() < MAX_PEERS {
            return;
        }
        self.crowded_at = Some(now);
        let mut by_worth: Vec<_> =
            self.senders.iter().map(|(peer, s)| (s.worth(now), s.last_seen, *peer)).collect();
        by_worth.sort_unstable();
        for (_, _, peer) in by_worth.into_iter().take(ROOM) {
            self.senders.remove(&peer);
        }
    }
}

/// What is remembered of one sender.
#[derive(Debug, Clone, Copy)]
struct Sender {
    /// When it was first seen after not having been seen for a whole window.
    came_at: u64,
    last_seen: u64,
    /// Bit n tells whether it was seen n seconds before `last_seen`.
    seconds: u32,
    /// How many datagrams came in the second `last_seen`.
    in_second: u32,
    /// When it last moved, or came.
    moved_at: u64,
    /// Whether it had become a player, answers aside, when it was last seen.
    was_player: bool,
    is_answered: bool,
}

impl Sender {
    fn new(now: u64) -> Self {
        Self {
            came_at: now,
            last_seen: now,
            seconds: 0,
            in_second: 0,
            moved_at: now,
            was_player: false,
            is_answered: false,
        }
    }

    fn saw(&mut self, now: u64, active: u32) {
        if self.seconds_at(now) == 0 {
            self.came_at = now;
            self.moved_at = self.moved_at.max(now);
            self.is_answered = false;
        }
        self.in_second = if now > self.last_seen { 1 } else { self.in_second.saturating_add(1) };
        if self.in_second >= active {
            self.moved_at = self.moved_at.max(now);
        }
        self.was_player = self.plays(now);
        self.seconds = self.seconds_at(now) | 1;
        self.last_seen = self.last_seen.max(now);
        self.was_player |= self.seconds.count_ones() >= PLAYER_SECONDS;
    }

    /// Notes that the game sent it something: from then on it may be a player.
    fn answered(&mut self) {
        if !self.is_answered {
            self.is_answered = true;
            self.moved_at = self.moved_at.max(self.last_seen);
        }
    }

    fn standing(&self, now: u64) -> Standing {
        match (self.plays(now), self.is_answered) {
            (true, true) => Standing::Player,
            (_, _) if self.is_new(now) => Standing::New,
            (true, false) => Standing::Unanswered,
            (false, _) => Standing::Passing,
        }
    }

    /// Tells whether it behaves like a player as far as what it sends goes.
    fn plays(&self, now: u64) -> bool {
        self.was_player && now.saturating_sub(self.last_seen) < SILENCE_SECONDS
    }

    fn is_new(&self, now: u64) -> bool {
        now.saturating_sub(self.came_at) < NEWCOMER_SECONDS
            && now.saturating_sub(self.last_seen) < NEWCOMER_SILENCE_SECONDS
            && self.seconds_at(now).count_ones() >= 2
    }

    fn may_play(&self, now: u64) -> bool {
        self.plays(now) || self.is_new(now)
    }

    /// Tells whom to forget last: players, and of others those whom the game has answered.
    fn worth(&self, now: u64) -> (bool, bool) {
        (self.plays(now), self.is_answered)
    }

    /// Returns the seconds of the window that ends `now`.
    fn seconds_at(&self, now: u64) -> u32 {
        let passed = u32::try_from(now.saturating_sub(self.last_seen)).unwrap_or(u32::MAX);
        self.seconds.checked_shl(passed).unwrap_or(0) & WINDOW
    }

    fn row(&self, peer: SocketAddr, standing: Standing, now: u64) -> Row {
        let (seconds_seen, last_seen_ago) =
            (self.seconds_at(now).count_ones(), now.saturating_sub(self.last_seen));
        Row { peer, seconds_seen, last_seen_ago, standing }
    }
}

/// A connection that the socket tables show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// How often what it has not answered was sent again.
    pub retransmits: u32,
    /// How many bytes it has said, where that is known.
    pub received: Option<u64>,
    /// In how many segments, where that is known.
    pub segments: Option<u32>,
}

/// The connections that the socket tables show, judged by how long they stand.
///
/// A connection becomes a player when it was there in samples at least [`CONNECTED_SECONDS`] apart and in all between, and
/// is none as soon as it is gone. One that never said anything is somebody who knocks, and one that does not answer any
/// longer is what is left of a player whose link was cut.
#[derive(Debug, Clone, Default)]
pub struct TcpPeers {
    active: Active,
    /// The connections of the last sample.
    known: BTreeMap<SocketAddr, Known>,
    sampled_at: u64,
    began_at: Option<u64>,
}

/// What is known of one connection.
#[derive(Debug, Clone, Copy)]
struct Known {
    connection: Connection,
    /// When it was first seen.
    since: u64,
    /// When it last moved, or came.
    moved_at: u64,
}

impl Known {
    fn new(connection: Connection, now: u64) -> Self {
        Self { connection, since: now, moved_at: now }
    }

    /// Returns what is known with what the tables show `passed` seconds later, which is `now`.
    fn then(self, connection: Connection, now: u64, passed: u64, active: u32) -> Self {
        let grown =
            self.connection.segments.zip(connection.segments).map(|(then, now)| now.wrapping_sub(then));
        // In seconds that nobody looked at it may have moved, and what came in two may have come in one of them.
        let moves = passed > MOST_SECONDS_BETWEEN || grown.is_none_or(|grown| grown >= active);
        let moved_at = if moves { now } else { self.moved_at };
        Self { connection, since: self.since, moved_at }
    }
}

impl TcpPeers {
    /// Returns what is known before the first sample of a game whose players are `active` so.
    pub fn of(active: Active) -> Self {
        Self { active, ..Self::default() }
    }

    /// Replaces what is known by what the tables show now. Of more than [`MAX_PEERS`] the longest known stay.
    pub fn sample(&mut self, at_second: u64, established: impl IntoIterator<Item = Connection>) {
        let (passed, active) = (at_second.saturating_sub(self.sampled_at), self.active.unwrap_or(u32::MAX));
        let mut still = BTreeMap::new();
        let mut new = Vec::new();
        for connection in established {
            match self.known.get(&connection.peer) {
                Some(known) => {
                    let known = known.then(connection, at_second, passed, active);
                    still.insert(connection.peer, known);
                }
                None if new.len() < MAX_PEERS => new.push(connection),
                None => {}
            }
        }
        new.truncate(MAX_PEERS.saturating_sub(still.len()));
        still.extend(new.into_iter().map(|c| (c.peer, Known::new(c, at_second))));
        let began_at = self.began_at.or(Some(at_second));
        *self = Self { active: self.active, known: still, sampled_at: at_second, began_at };
    }

    /// Returns the second in which any of those who play last came or moved; 0 if nobody plays. Nothing if nobody can tell.
    pub fn moved_at(&self) -> Option<u64> {
        self.active?;
        if self.newcomers() > 0 {
            return None;
        }
        let plays = |known: &&Known| self.standing(known) == Standing::Player;
        Some(self.known.values().filter(plays).map(|known| known.moved_at).max().unwrap_or(0))
    }

    /// Returns how many players there were in the last sample.
    pub fn players(&self) -> u32 {
        self.count(Standing::Player)
    }

    /// Returns how many connections of the last sample came so lately that they may yet turn out to be players.
    ///
    /// One that no sample before it had is not among them: a list ping is over by the next, and there may be one for each.
    /// Before the first sample nobody looked, so whoever is in it may have been there for long.
    pub fn newcomers(&self) -> u32 {
        let is_so = |known: &Known| {
            let was_seen = known.since < self.sampled_at || self.began_at == Some(known.since);
            was_seen && self.standing(known) == Standing::New
        };
        self.known.values().map(|known| u32::from(is_so(known))).sum()
    }

    /// Returns the connections of the last sample, in the order of their addresses.
    pub fn rows(&self, now: u64) -> impl Iterator<Item = Row> {
        self.known.values().map(move |known| Row {
            peer: known.connection.peer,
            seconds_seen: (self.sampled_at.saturating_sub(known.since) + 1).min(WINDOW_SECONDS) as u32,
            last_seen_ago: now.saturating_sub(self.sampled_at),
            standing: self.standing(known),
        })
    }

    fn count(&self, standing: Standing) -> u32 {
        let is_so = |known: &Known| u32::from(self.standing(known) == standing);
        self.known.values().map(is_so).sum()
    }

    fn standing(&self, Known { connection, since, .. }: &Known) -> Standing {
        let stands_for = self.sampled_at.saturating_sub(*since);
        if connection.retransmits >= DEAD_RETRANSMITS {
            Standing::Dead
        } else if connection.received == Some(0) && stands_for >= SPEECHLESS_SECONDS {
            Standing::Mute
        } else if stands_for < CONNECTED_SECONDS {
            Standing::New
        } else {
            Standing::Player
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, net::Ipv4Addr};

    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn an_idle_player_counts_and_a_list_ping_does_not() {
        let idle = (0..60).filter(|s| s % 30 < 3 || s % 3 == 0);
        let pings = (0..60).step_by(10);
        let seen = idle.map(|s| (s, 1)).chain(pings.map(|s| (s, 2)));
        check(
            seen,
            60,
            expect![[r#"
                203.0.113.1:50214: player; seen in 11 of 30 s, last 3 s ago
                203.0.113.2:50214: no player; seen in 2 of 30 s, last 10 s ago
                1 players
            "#]],
        );
    }

    #[test]
    fn whoever_came_lately_may_yet_be_a_player() {
        let peer = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 50214));
        let newcomers = |seen: &[u64], now| {
            let mut table = PeerTable::default();
            for second in seen {
                table.saw(*second, peer, Kind::Play);
                table.answered(peer.ip());
            }
            table.newcomers(now)
        };
        assert_eq!(newcomers(&[0], 1), 0, "one second may be a scan");
        assert_eq!(newcomers(&[0, 1], 1), 1);
        assert_eq!(newcomers(&[0, 1], 11), 0, "it has gone again");
        assert_eq!(newcomers(&[0, 8, 16, 24], 24), 1);
        assert_eq!(newcomers(&[0, 8, 16, 24, 32], 32), 0, "a list ping that goes on is none");
        assert_eq!(newcomers(&[0, 1, 2, 3, 4, 5, 6, 7], 7), 0, "it is a player");
        assert_eq!(newcomers(&[0, 1, 60, 61], 61), 1, "it came back after a whole window");
    }

    #[test]
    fn many_datagrams_in_few_seconds_are_no_player() {
        let burst = (0..4).flat_map(|s| [(s, 1); 1000]);
        check(
            burst,
            3,
            expect![[r#"
                203.0.113.1:50214: too new to tell; seen in 4 of 30 s, last 0 s ago
                0 players
            "#]],
        );
    }

    #[test]
    fn the_fifth_second_makes_a_player() {
        check(
            (0..5).map(|s| (s, 1)),
            4,
            expect![[r#"
                203.0.113.1:50214: player; seen in 5 of 30 s, last 0 s ago
                1 players
            "#]],
        );
    }

    #[test]
    fn seconds_outside_the_window_do_not_add_up() {
        check(
            (0..8).map(|s| (s * 8, 1)),
            56,
            expect![[r#"
                203.0.113.1:50214: no player; seen in 4 of 30 s, last 0 s ago
                0 players
            "#]],
        );
    }

    #[test]
    fn a_player_counts_until_silent_for_20_s() {
        let played = || (0..8).map(|s| (s, 1));
        check(
            played(),
            26,
            expect![[r#"
                203.0.113.1:50214: player; seen in 8 of 30 s, last 19 s ago
                1 players
            "#]],
        );
        check(
            played(),
            27,
            expect![[r#"
                203.0.113.1:50214: no player; seen in 8 of 30 s, last 20 s ago
                0 players
            "#]],
        );
        check(
            played(),
            40,
            expect![[r#"
                0 players
            "#]],
        );
    }

    #[test]
    fn a_player_who_falls_quieter_than_a_newcomer_still_counts() {
        let quiet = (0..8).chain((20..200).step_by(15));
        check(
            quiet.map(|s| (s, 1)),
            200,
            expect![[r#"
                203.0.113.1:50214: player; seen in 1 of 30 s, last 15 s ago
                1 players
            "#]],
        );
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        check(
            [(100, 1), (3, 1), (u64::MAX, 2), (0, 2)],
            90,
            expect![[r#"
                203.0.113.1:50214: no player; seen in 1 of 30 s, last 0 s ago
                203.0.113.2:50214: no player; seen in 1 of 30 s, last 0 s ago
                0 players
            "#]],
        );
    }

    #[test]
    fn queries_leave_no_trace() {
        let mut table = PeerTable::default();
        (0..60).for_each(|second| table.saw(second, peer(1), Kind::of(b"\xff\xff\xff\xffgetstatus", &[])));
        assert_eq!(table.rows(60).count(), 0);
    }

    #[test]
    fn queries_are_told_from_play() {
        let magic = b"\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78";
        let raknet = |id: u8, magic: &[u8]| [&[id, 0, 0, 0, 0, 0, 0, 0, 9], magic, &[7; 8]].concat();
        let joining = |id: u8| [&[id], &magic[..], &[11; 8]].concat();
        let luanti = [Pattern::parse("4f457403 0000").unwrap(), Pattern::parse("2a ?? 2b").unwrap()];
        let of = |payload: &[u8]| Kind::of(payload, &luanti);
        for query in [
            &b"\xff\xff\xff\xffTSource"[..],
            b"\xff\xff\xff\xff",
            &raknet(1, magic),
            &raknet(2, magic),
            &joining(5),
            &joining(7),
            b"\xfe\xfd\x09\x00\x00\x00\x01",
            b"\xfe\xfd\x00",
            b"\\status\\",
            b"\x4f\x45\x74\x03\x00\x00\x00\x01",
            b"\x2a\x99\x2b",
        ] {
            assert_eq!(of(query), Kind::Query, "{query:x?}");
        }
        let play = [
            &b""[..],
            b"\xff\xff\xff",
            b"\xfe\xff\xff\xff",
            b"\x01",
            &raknet(5, magic),
            &joining(1),
            &raknet(1, &magic[..15]),
            b"\xfe\xfd\x08",
            b"\\stat",
            b"\x4f\x45\x74\x03\x00\x02\x00\x01",
            b"\x2a\x99",
        ];
        for play in play {
            assert_eq!(of(play), Kind::Play, "{play:x?}");
        }
        assert_eq!(Kind::of(b"\x4f\x45\x74\x03\x00\x00", &[]), Kind::Play, "it is only Luanti's");
    }

    #[test]
    fn who_is_never_answered_is_no_player() {
        let mut table = PeerTable::default();
        let told = |table: &PeerTable, now| table.rows(now).map(|row| row.standing).collect::<Vec<_>>();
        (0..20).for_each(|second| table.saw(second, peer(1), Kind::Play));
        assert_eq!(told(&table, 20), [Standing::New], "the answer may be on its way");
        assert!(table.awaits_answers(20));
        (20..30).for_each(|second| table.saw(second, peer(1), Kind::Play));
        assert_eq!(told(&table, 30), [Standing::Unanswered]);
        table.answered(peer(2).ip());
        assert_eq!(told(&table, 30), [Standing::Unanswered], "somebody else was answered");
        table.answered(peer(1).ip());
        assert_eq!(told(&table, 30), [Standing::Player]);
        assert!(!table.awaits_answers(30));
        table.saw(90, peer(1), Kind::Play);
        table.saw(91, peer(1), Kind::Play);
        assert!(table.awaits_answers(91), "it came back after a whole window");
    }

    #[test]
    fn where_answers_are_lost_nobody_is_taken_for_unanswered() {
        let mut table = PeerTable::default();
        (0..40).for_each(|second| table.saw(second, peer(1), Kind::Play));
        assert_eq!(table.players(40), 0);
        table.answers_were_lost();
        assert_eq!(table.players(40), 1);
    }

    #[test]
    fn who_rejoins_from_another_port_is_one_player_and_two_at_once_are_two() {
        let at = |port| SocketAddr::new(peer(1).ip(), port);
        let mut table = PeerTable::default();
        let mut play = |seconds: std::ops::Range<u64>, port| {
            for second in seconds {
                table.saw(second, at(port), Kind::Play);
                table.answered(at(port).ip());
            }
            table.clone()
        };
        let first = play(0..20, 1000);
        assert_eq!(first.players(25), 1);
        assert_eq!(play(25..26, 1001).players(26), 1, "one datagram is nobody yet");
        assert_eq!(play(26..28, 1001).newcomers(28), 1);
        assert_eq!(play(28..29, 1001).players(29), 0, "both: the first has gone and the second is new");
        assert_eq!(play(29..35, 1001).players(35), 1);
        let both = play(35..60, 1001);
        assert_eq!(both.players(60), 1);
        play(60..70, 1002);
        play(60..70, 1003);
        assert_eq!(play(60..70, 1001).players(70), 3, "friends behind one address");
    }

    #[test]
    fn a_flood_of_strangers_cannot_push_a_player_out() {
        let mut table = PeerTable::default();
        for second in 0..40 {
            if second < 30 {
                table.saw(second, peer(u32::MAX), Kind::Play);
                table.answered(peer(u32::MAX).ip());
            }
            (0..2000).for_each(|n| table.saw(second, peer(second as u32 * 2000 + n), Kind::Play));
            assert!(table.senders.len() <= MAX_PEERS);
        }
        assert_eq!(table.players(39), 1);
        assert!(table.is_crowded(39));
        assert!(!table.is_crowded(69));
    }

    #[test]
    fn peers_outside_the_window_make_room_without_a_crowd() {
        let mut table = PeerTable::default();
        (0..MAX_PEERS as u32).for_each(|n| table.saw(0, peer(n), Kind::Play));
        table.saw(WINDOW_SECONDS, peer(u32::MAX), Kind::Play);
        assert_eq!(table.senders.len(), 1);
        assert!(!table.is_crowded(WINDOW_SECONDS));
    }

    #[test]
    fn a_connection_counts_after_5_s_until_it_is_gone() {
        let mut peers = TcpPeers::default();
        let mut seen = String::new();
        for (second, there) in [(0, &[1, 2][..]), (3, &[1]), (5, &[1, 2]), (6, &[2]), (10, &[1, 2])] {
            peers.sample(second, there.iter().map(|n| connection(*n)));
            writeln!(seen, "at {second}: {} players", peers.players()).unwrap();
            peers.rows(second + 1).for_each(|row| writeln!(seen, "  {row}").unwrap());
        }
        expect![[r#"
            at 0: 0 players
              203.0.113.1:50214: too new to tell; seen in 1 of 30 s, last 1 s ago
              203.0.113.2:50214: too new to tell; seen in 1 of 30 s, last 1 s ago
            at 3: 0 players
              203.0.113.1:50214: too new to tell; seen in 4 of 30 s, last 1 s ago
            at 5: 1 players
              203.0.113.1:50214: player; seen in 6 of 30 s, last 1 s ago
              203.0.113.2:50214: too new to tell; seen in 1 of 30 s, last 1 s ago
            at 6: 0 players
              203.0.113.2:50214: too new to tell; seen in 2 of 30 s, last 1 s ago
            at 10: 1 players
              203.0.113.1:50214: too new to tell; seen in 1 of 30 s, last 1 s ago
              203.0.113.2:50214: player; seen in 6 of 30 s, last 1 s ago
        "#]]
        .assert_eq(&seen);
    }

    #[test]
    fn pings_that_are_over_by_the_next_sample_do_not_hide_that_nobody_plays() {
        let mut peers = TcpPeers::default();
        let mut newcomers = |second, n| {
            peers.sample(second, [connection(n)]);
            peers.newcomers()
        };
        assert_eq!(newcomers(0, 1), 1, "it may have been there for long");
        assert_eq!((newcomers(1, 2), newcomers(2, 3)), (0, 0));
        assert_eq!(newcomers(3, 3), 1, "it stays");
        assert_eq!(newcomers(7, 3), 0, "it is a player");
    }

    #[test]
    fn a_flood_of_connections_cannot_push_a_player_out() {
        let mut peers = TcpPeers::default();
        peers.sample(0, [connection(u32::MAX)]);
        peers.sample(5, (0..10_000).map(connection).chain([connection(u32::MAX)]));
        assert_eq!((peers.players(), peers.rows(5).count()), (1, MAX_PEERS));
        peers.sample(11, (5_000..20_000).map(connection).chain([connection(u32::MAX)]));
        assert_eq!((peers.players(), peers.rows(11).count()), (1, MAX_PEERS));
    }

    #[test]
    fn a_connection_that_never_said_anything_or_no_longer_answers_is_no_player() {
        let mut peers = TcpPeers::default();
        let mut at = |second, change: fn(&mut Connection)| {
            let mut connection = connection(1);
            change(&mut connection);
            peers.sample(second, [connection]);
            peers.rows(second).map(|row| row.standing).collect::<Vec<_>>()
        };
        assert_eq!(at(0, |c| c.received = Some(0)), [Standing::New]);
        assert_eq!(at(1, |c| c.received = Some(0)), [Standing::Mute]);
        assert_eq!(at(2, |c| c.received = Some(1)), [Standing::New], "it is a slow one");
        assert_eq!(at(9, |c| c.received = Some(0)), [Standing::Mute]);
        assert_eq!(at(10, |c| c.received = Some(1)), [Standing::Player]);
        assert_eq!(at(11, |c| c.received = None), [Standing::Player], "it is not known");
        assert_eq!(
            at(12, |c| c.retransmits = DEAD_RETRANSMITS - 1),
            [Standing::Player],
            "it may be a hiccup"
        );
        assert_eq!(at(13, |c| c.retransmits = DEAD_RETRANSMITS), [Standing::Dead]);
        assert_eq!(at(14, |c| c.retransmits = 0), [Standing::Player], "it is back");
    }

    #[test]
    fn somebody_moves_who_sends_much_in_any_one_second() {
        let mut table = PeerTable::of(Some(5));
        let mut second = |now: u64, datagrams: u32| {
            (0..datagrams).for_each(|_| table.saw(now, peer(1), Kind::Play));
            table.answered(peer(1).ip());
            table.moved_at(now)
        };
        assert_eq!(
            (0..4).map(|now| second(now, 1)).collect::<Vec<_>>(),
            [Some(0), None, None, None],
            "it comes"
        );
        assert_eq!(second(4, 4), Some(0), "it came");
        assert_eq!(second(5, 5), Some(5));
        assert_eq!([6, 7, 8].map(|now| second(now, 4)), [Some(5); 3], "it stands still");
        assert_eq!(second(9, 5), Some(9));
    }

    #[test]
    fn whoever_comes_may_move_and_whoever_goes_does_not() {
        let mut table = PeerTable::of(Some(5));
        let mut seen = Vec::new();
        for now in 0..120 {
            let say = |table: &mut PeerTable, n| {
                table.saw(now, peer(n), Kind::Play);
                table.answered(peer(n).ip());
            };
            say(&mut table, 1);
            if (50..60).contains(&now) {
                say(&mut table, 2);
            }
            let moved_at = table.moved_at(now);
            if seen.last().is_none_or(|(_, last)| *last != moved_at) {
                seen.push((now, moved_at));
            }
        }
        assert_eq!(seen, [(0, Some(0)), (1, None), (4, Some(0)), (51, None), (54, Some(50)), (79, Some(0))]);
    }

    #[test]
    fn without_a_measure_nobody_can_tell_who_moves() {
        let mut table = PeerTable::default();
        (0..100).for_each(|second| (0..9).for_each(|_| table.saw(second, peer(1), Kind::Play)));
        let mut peers = TcpPeers::default();
        (0..100).for_each(|second| peers.sample(second, [connection(1)]));
        assert_eq!((table.moved_at(99), peers.moved_at()), (None, None));
    }

    #[test]
    fn over_a_connection_somebody_moves_who_sends_many_segments() {
        let mut peers = TcpPeers::of(Some(5));
        let mut at = |second, segments| {
            peers.sample(second, [Connection { segments, ..connection(1) }]);
            peers.moved_at()
        };
        assert_eq!(at(0, Some(10)), None, "it comes");
        assert_eq!(at(5, Some(14)), Some(0), "it came");
        assert_eq!(at(6, Some(19)), Some(6));
        assert_eq!(at(8, Some(23)), Some(6), "it stands still");
        assert_eq!(at(10, Some(28)), Some(10), "it may have been in one second");
        assert_eq!(at(11, None), Some(11), "it is not told");
        assert_eq!(at(12, Some(28)), Some(12), "nor what it was before");
        assert_eq!(at(13, Some(30)), Some(12));
        assert_eq!(at(19, Some(30)), Some(19), "nobody looked for long");
    }

    fn connection(n: u32) -> Connection {
        Connection { peer: peer(n), retransmits: 0, received: Some(100), segments: Some(10) }
    }

    /// Feeds seconds and peer numbers, all of whom are answered, to a table and compares what it says at `now`.
    fn check(seen: impl IntoIterator<Item = (u64, u32)>, now: u64, expected: Expect) {
        let mut table = PeerTable::default();
        for (second, n) in seen {
            table.saw(second, peer(n), Kind::Play);
            table.answered(peer(n).ip());
        }
        let mut said: String = table.rows(now).map(|row| format!("{row}\n")).collect();
        writeln!(said, "{} players", table.players(now)).unwrap();
        expected.assert_eq(&said);
    }

    /// Returns peer number `n`.
    fn peer(n: u32) -> SocketAddr {
        let net = u32::from(Ipv4Addr::new(203, 0, 113, 0));
        SocketAddr::from((Ipv4Addr::from(net.wrapping_add(n)), 50214))
    }
}
