//! Who behaves like a player: a pure judgement over the peers that were seen.
//!
//! [`PeerTable`] judges senders of datagrams, [`TcpPeers`] connections. Scans, list pings and half-open connections come
//! and go; a player stays. The bounds lean towards counting somebody too long: nobody is thrown out. This file must never
//! read a clock (seconds are arguments, from a monotonic clock), and never let strangers grow its tables or push a player
//! out of them.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

/// The most peers that each table remembers: a hundred times what the largest private server holds, in 300 KiB.
pub const MAX_PEERS: usize = 4096;

/// How far back seconds are counted.
pub const WINDOW_SECONDS: u64 = 30;

/// In how many distinct seconds of the window a player is seen at least. The quietest player measured, idle on Luanti, is
/// seen in 11 to 14; a list ping every 5 s in 6.
pub const PLAYER_SECONDS: u32 = 8;

/// How long a player may be silent and still count. Leaving late only costs seconds; the quietest player pauses for less.
pub const SILENCE_SECONDS: u64 = 20;

/// For how long after its first datagram a sender may turn out to be a player: an idle Luanti player takes about 20 s to
/// be seen in 8 of them.
pub const NEWCOMER_SECONDS: u64 = 25;

/// After this long without a word a newcomer has gone again.
pub const NEWCOMER_SILENCE_SECONDS: u64 = 10;

/// How long a TCP connection must stand to be a player's: status pings and scans are over sooner.
pub const CONNECTED_SECONDS: u64 = 5;

/// How many peers make room at once when a table is full, so that a flood does not search the table for each newcomer.
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
    /// Tells what a datagram with this payload is.
    ///
    /// `ff ff ff ff` begins a connectionless packet of Quake 3 (getinfo, getstatus, getchallenge, connect), of Source
    /// (A2S) and of Teeworlds; none of them begins a packet so once somebody is connected. RakNet's unconnected ping is
    /// 01 or 02, eight bytes of time, and a fixed magic.
    pub fn of(payload: &[u8]) -> Self {
        if payload.starts_with(&[0xff; 4]) || is_raknet_ping(payload) { Self::Query } else { Self::Play }
    }
}

fn is_raknet_ping(payload: &[u8]) -> bool {
    const MAGIC: [u8; 16] = [0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 0x12, 0x34, 0x56, 0x78];
    matches!(payload.first(), Some(1 | 2)) && payload.get(9..).is_some_and(|rest| rest.starts_with(&MAGIC))
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
    /// Whether it counts as a player.
    pub is_player: bool,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, seconds_seen, last_seen_ago, is_player } = self;
        let verdict = if *is_player { "player" } else { "no player" };
        write!(
            f,
            "{peer}: {verdict}, seen in {seconds_seen} of {WINDOW_SECONDS} s, last {last_seen_ago} s ago"
        )
    }
}

/// The senders of datagrams.
///
/// A sender becomes a player by being seen in [`PLAYER_SECONDS`] of the window, and is one until it was silent for
/// [`SILENCE_SECONDS`].
#[derive(Debug, Clone, Default)]
pub struct PeerTable {
    senders: BTreeMap<SocketAddr, Sender>,
    crowded_at: Option<u64>,
}

impl PeerTable {
    /// Notes that a datagram from `peer` was seen. A [`Kind::Query`] leaves no trace.
    pub fn saw(&mut self, at_second: u64, peer: SocketAddr, what: Kind) {
        match what {
            Kind::Query => {}
            Kind::Play => self.sender(at_second, peer).saw(at_second),
        }
    }

    /// Returns how many players there are.
    pub fn players(&self, now: u64) -> u32 {
        self.rows(now).map(|row| u32::from(row.is_player)).sum()
    }

    /// Returns the peers seen within the window, in the order of their addresses.
    pub fn rows(&self, now: u64) -> impl Iterator<Item = Row> {
        self.senders
            .iter()
            .map(move |(peer, sender)| sender.row(*peer, now))
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
        self.senders.values().map(|sender| u32::from(sender.is_newcomer(now))).sum()
    }

    /// Returns the entry for `peer`, with room made for it if it is new.
    fn sender(&mut self, now: u64, peer: SocketAddr) -> &mut Sender {
        if self.senders.len() >= MAX_PEERS && !self.senders.contains_key(&peer) {
            self.make_room(now);
        }
        self.senders.entry(peer).or_insert_with(|| Sender::new(now))
    }

    /// Forgets those whom the window no longer shows; failing that, those seen least recently, players last.
    fn make_room(&mut self, now: u64) {
        self.senders.retain(|_, sender| now.saturating_sub(sender.last_seen) < WINDOW_SECONDS);
        if self.senders.len() < MAX_PEERS {
            return;
        }
        self.crowded_at = Some(now);
        let mut by_worth: Vec<_> =
            self.senders.iter().map(|(peer, s)| (s.is_player(now), s.last_seen, *peer)).collect();
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
    /// Whether it had become a player when it was last seen.
    was_player: bool,
}

impl Sender {
    fn new(now: u64) -> Self {
        Self { came_at: now, last_seen: now, seconds: 0, was_player: false }
    }

    fn saw(&mut self, now: u64) {
        if self.seconds_at(now) == 0 {
            self.came_at = now;
        }
        self.was_player = self.is_player(now);
        self.seconds = self.seconds_at(now) | 1;
        self.last_seen = self.last_seen.max(now);
        self.was_player |= self.seconds.count_ones() >= PLAYER_SECONDS;
    }

    fn is_player(&self, now: u64) -> bool {
        self.was_player && now.saturating_sub(self.last_seen) < SILENCE_SECONDS
    }

    fn is_newcomer(&self, now: u64) -> bool {
        !self.is_player(now)
            && now.saturating_sub(self.came_at) < NEWCOMER_SECONDS
            && now.saturating_sub(self.last_seen) < NEWCOMER_SILENCE_SECONDS
            && self.seconds_at(now).count_ones() >= 2
    }

    /// Returns the seconds of the window that ends `now`.
    fn seconds_at(&self, now: u64) -> u32 {
        let passed = u32::try_from(now.saturating_sub(self.last_seen)).unwrap_or(u32::MAX);
        self.seconds.checked_shl(passed).unwrap_or(0) & WINDOW
    }

    fn row(&self, peer: SocketAddr, now: u64) -> Row {
        Row {
            peer,
            seconds_seen: self.seconds_at(now).count_ones(),
            last_seen_ago: now.saturating_sub(self.last_seen),
            is_player: self.is_player(now),
        }
    }
}

/// The connections that the socket tables show, judged by how long they stand.
///
/// A connection becomes a player when it was there in samples at least [`CONNECTED_SECONDS`] apart and in all between, and
/// is none as soon as it is gone.
#[derive(Debug, Clone, Default)]
pub struct TcpPeers {
    /// When each connection of the last sample was first seen.
    since: BTreeMap<SocketAddr, u64>,
    sampled_at: u64,
}

impl TcpPeers {
    /// Replaces what is known by what the tables show now. Of more than [`MAX_PEERS`] the longest known stay.
    pub fn sample(&mut self, at_second: u64, established: impl IntoIterator<Item = SocketAddr>) {
        let mut still = BTreeMap::new();
        let mut new = Vec::new();
        for peer in established {
            match self.since.get(&peer) {
                Some(since) => _ = still.insert(peer, *since),
                None if new.len() < MAX_PEERS => new.push(peer),
                None => {}
            }
        }
        new.truncate(MAX_PEERS.saturating_sub(still.len()));
        still.extend(new.into_iter().map(|peer| (peer, at_second)));
        *self = Self { since: still, sampled_at: at_second };
    }

    /// Returns how many players there were in the last sample.
    pub fn players(&self) -> u32 {
        self.rows(self.sampled_at).map(|row| u32::from(row.is_player)).sum()
    }

    /// Returns the connections of the last sample, in the order of their addresses.
    pub fn rows(&self, now: u64) -> impl Iterator<Item = Row> {
        self.since.iter().map(move |(peer, since)| self.row(*peer, *since, now))
    }

    fn row(&self, peer: SocketAddr, since: u64, now: u64) -> Row {
        let stood = self.sampled_at.saturating_sub(since);
        Row {
            peer,
            seconds_seen: (stood + 1).min(WINDOW_SECONDS) as u32,
            last_seen_ago: now.saturating_sub(self.sampled_at),
            is_player: stood >= CONNECTED_SECONDS,
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
        let pings = (0..60).step_by(5);
        let seen = idle.map(|s| (s, 1)).chain(pings.map(|s| (s, 2)));
        check(
            seen,
            60,
            expect![[r#"
                203.0.113.1:50214: player, seen in 11 of 30 s, last 3 s ago
                203.0.113.2:50214: no player, seen in 5 of 30 s, last 5 s ago
                1 players
            "#]],
        );
    }

    #[test]
    fn whoever_came_lately_may_yet_be_a_player() {
        let peer = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 50214));
        let newcomers = |seen: &[u64], now| {
            let mut table = PeerTable::default();
            seen.iter().for_each(|second| table.saw(*second, peer, Kind::Play));
            table.newcomers(now)
        };
        assert_eq!(newcomers(&[0], 1), 0, "one second may be a scan");
        assert_eq!(newcomers(&[0, 1], 1), 1);
        assert_eq!(newcomers(&[0, 1], 11), 0, "it has gone again");
        assert_eq!(newcomers(&[0, 5, 10, 15, 20], 20), 1);
        assert_eq!(newcomers(&[0, 5, 10, 15, 20, 25], 25), 0, "a list ping that goes on is none");
        assert_eq!(newcomers(&[0, 1, 2, 3, 4, 5, 6, 7], 7), 0, "it is a player");
        assert_eq!(newcomers(&[0, 1, 60, 61], 61), 1, "it came back after a whole window");
    }

    #[test]
    fn many_datagrams_in_few_seconds_are_no_player() {
        let burst = (0..7).flat_map(|s| [(s, 1); 1000]);
        check(
            burst,
            6,
            expect![[r#"
                203.0.113.1:50214: no player, seen in 7 of 30 s, last 0 s ago
                0 players
            "#]],
        );
    }

    #[test]
    fn the_eighth_second_makes_a_player() {
        check(
            (0..8).map(|s| (s, 1)),
            7,
            expect![[r#"
                203.0.113.1:50214: player, seen in 8 of 30 s, last 0 s ago
                1 players
            "#]],
        );
    }

    #[test]
    fn seconds_outside_the_window_do_not_add_up() {
        check(
            (0..8).map(|s| (s * 5, 1)),
            35,
            expect![[r#"
                203.0.113.1:50214: no player, seen in 6 of 30 s, last 0 s ago
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
                203.0.113.1:50214: player, seen in 8 of 30 s, last 19 s ago
                1 players
            "#]],
        );
        check(
            played(),
            27,
            expect![[r#"
                203.0.113.1:50214: no player, seen in 8 of 30 s, last 20 s ago
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
                203.0.113.1:50214: player, seen in 1 of 30 s, last 15 s ago
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
                203.0.113.1:50214: no player, seen in 1 of 30 s, last 0 s ago
                203.0.113.2:50214: no player, seen in 1 of 30 s, last 0 s ago
                0 players
            "#]],
        );
    }

    #[test]
    fn queries_leave_no_trace() {
        let mut table = PeerTable::default();
        (0..60).for_each(|second| table.saw(second, peer(1), Kind::of(b"\xff\xff\xff\xffgetstatus")));
        assert_eq!(table.rows(60).count(), 0);
    }

    #[test]
    fn queries_are_told_from_play() {
        let magic = b"\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78";
        let raknet = |id: u8, magic: &[u8]| [&[id, 0, 0, 0, 0, 0, 0, 0, 9], magic, &[7; 8]].concat();
        for query in
            [&b"\xff\xff\xff\xffTSource"[..], b"\xff\xff\xff\xff", &raknet(1, magic), &raknet(2, magic)]
        {
            assert_eq!(Kind::of(query), Kind::Query, "{query:x?}");
        }
        let play = [
            &b""[..],
            b"\xff\xff\xff",
            b"\xfe\xff\xff\xff",
            b"\x01",
            &raknet(5, magic),
            &raknet(1, &magic[..15]),
        ];
        for play in play {
            assert_eq!(Kind::of(play), Kind::Play, "{play:x?}");
        }
    }

    #[test]
    fn a_flood_of_strangers_cannot_push_a_player_out() {
        let mut table = PeerTable::default();
        for second in 0..40 {
            if second < 30 {
                table.saw(second, peer(u32::MAX), Kind::Play);
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
            peers.sample(second, there.iter().map(|n| peer(*n)));
            writeln!(seen, "at {second}: {} players", peers.players()).unwrap();
            peers.rows(second + 1).for_each(|row| writeln!(seen, "  {row}").unwrap());
        }
        expect![[r#"
            at 0: 0 players
              203.0.113.1:50214: no player, seen in 1 of 30 s, last 1 s ago
              203.0.113.2:50214: no player, seen in 1 of 30 s, last 1 s ago
            at 3: 0 players
              203.0.113.1:50214: no player, seen in 4 of 30 s, last 1 s ago
            at 5: 1 players
              203.0.113.1:50214: player, seen in 6 of 30 s, last 1 s ago
              203.0.113.2:50214: no player, seen in 1 of 30 s, last 1 s ago
            at 6: 0 players
              203.0.113.2:50214: no player, seen in 2 of 30 s, last 1 s ago
            at 10: 1 players
              203.0.113.1:50214: no player, seen in 1 of 30 s, last 1 s ago
              203.0.113.2:50214: player, seen in 6 of 30 s, last 1 s ago
        "#]]
        .assert_eq(&seen);
    }

    #[test]
    fn a_flood_of_connections_cannot_push_a_player_out() {
        let mut peers = TcpPeers::default();
        peers.sample(0, [peer(u32::MAX)]);
        peers.sample(5, (0..10_000).map(peer).chain([peer(u32::MAX)]));
        assert_eq!((peers.players(), peers.rows(5).count()), (1, MAX_PEERS));
        peers.sample(11, (5_000..20_000).map(peer).chain([peer(u32::MAX)]));
        assert_eq!((peers.players(), peers.rows(11).count()), (1, MAX_PEERS));
    }

    /// Feeds seconds and peer numbers to a table and compares what it says at `now`.
    fn check(seen: impl IntoIterator<Item = (u64, u32)>, now: u64, expected: Expect) {
        let mut table = PeerTable::default();
        seen.into_iter().for_each(|(second, n)| table.saw(second, peer(n), Kind::Play));
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
