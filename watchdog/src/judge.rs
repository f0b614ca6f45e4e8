//! What the peers of one game amount to: evidence from all that was seen so far, without a clock or a socket.
//!
//! [`crate::peers`] tells who behaves like a player; this adds whether it could be seen at all. It must never say that
//! nobody is on about a time in which somebody may have been overlooked.

use domain::{game::Protocol, idle::Evidence};

use crate::{
    peers::{Active, PeerTable, TcpPeers, WINDOW_SECONDS},
    rate::Count,
};

/// After so many seconds without having listened there may be players whose seconds were not counted.
pub const LONGEST_GAP_SECONDS: u64 = 5;

/// Whether anybody can have come before it was looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The game is not running yet: whoever comes will be seen coming.
    BeforeTheGame,
    /// Players may be on already; nobody is called absent before there was time to see them.
    MidGame,
}

/// All that was seen of the peers of one game. Seconds are those of one monotonic clock that begins at 0.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The senders of datagrams.
    pub udp: PeerTable,
    /// The connections.
    pub tcp: TcpPeers,
    listened_at: u64,
    lost_at: Option<u64>,
    /// Since when it was listened without a gap, where somebody may have come before that.
    seeing_since: Option<u64>,
    /// When somebody last moved who was on then, or may have.
    moved_at: u64,
}

impl Judge {
    /// Returns what is known before anything was seen of a game whose players are `active` so.
    pub fn new(begun: Begun, active: Active) -> Self {
        let seeing_since = match begun {
            Begun::BeforeTheGame => None,
            Begun::MidGame => Some(0),
        };
        Self {
            udp: PeerTable::of(active),
            tcp: TcpPeers::of(active),
            listened_at: 0,
            lost_at: None,
            seeing_since,
            moved_at: 0,
        }
    }

    /// Notes that the datagrams up to `now` were taken in, of which so many were lost.
    pub fn listened(&mut self, now: u64, lost: u32) {
        if now.saturating_sub(self.listened_at) > LONGEST_GAP_SECONDS {
            self.seeing_since = Some(now);
        }
        self.listened_at = now;
        if lost > 0 {
            self.lost_at = Some(now);
        }
    }

    /// Notes that datagrams cannot be seen from `now` on, so that whoever is on has to be found by other means.
    pub fn blinded(&mut self, now: u64) {
        self.seeing_since = Some(now);
    }

    /// Returns what the senders of datagrams amount to.
    pub fn udp_evidence(&self, now: u64) -> Evidence {
        let unknown = |why: String| Evidence::Unknown(why);
        let recently = |at: Option<u64>| at.is_some_and(|at| now.saturating_sub(at) < WINDOW_SECONDS);
        match (self.udp.players(now), self.udp.newcomers(now)) {
            (players @ 1.., _) => Evidence::Players(players),
            (0, _) if self.is_too_early(now) => unknown("not watched for long enough".into()),
            (0, new @ 1..) => unknown(format!("{new} too new to tell")),
            (0, 0) if self.udp.is_crowded(now) => unknown("too many addresses to tell".into()),
            (0, 0) if recently(self.lost_at) => unknown("datagrams came too fast to see all".into()),
            (0, 0) => Evidence::Empty,
        }
    }

    /// Returns what the connections amount to.
    pub fn tcp_evidence(&self) -> Evidence {
        match (self.tcp.players(), self.tcp.newcomers()) {
            (0, new @ 1..) => Evidence::Unknown(format!("{new} too new to tell")),
            (players, _) => Evidence::count(players),
        }
    }

    /// Returns what the `count` of datagrams amounts to, where nobody sees whose they are.
    pub fn rate_evidence(&self, now: u64, count: Option<Count>) -> Evidence {
        match count {
            None => Evidence::Unknown("looked only once so far".into()),
            Some(count) if count.datagrams > 0 => Evidence::Players(1),
            Some(_) if self.is_too_early(now) => Evidence::Unknown("looked for too short a time".into()),
            Some(_) => Evidence::Empty,
        }
    }

    /// Returns for how many seconds nobody has moved who was on over `protocols`; nothing where nobody can tell. To be asked
    /// at each look: somebody moves, goes, and leaves behind those who stand still.
    pub fn still_for(&mut self, now: u64, protocols: &[Protocol]) -> Option<u64> {
        let may_have_moved = self.seeing_since.into_iter().chain(self.lost_at).max();
        self.moved_at = self.moved_at.max(may_have_moved.unwrap_or(0));
        if self.udp.is_crowded(now) {
            return None;
        }
        for protocol in protocols {
            let moved_at = match protocol {
                Protocol::Tcp => self.tcp.moved_at(),
                Protocol::Udp => self.udp.moved_at(now),
            };
            self.moved_at = self.moved_at.max(moved_at?);
        }
        Some(now.saturating_sub(self.moved_at))
    }

    /// Tells whether somebody may be on who was not seen for lack of time.
    fn is_too_early(&self, now: u64) -> bool {
        self.seeing_since.is_some_and(|since| now.saturating_sub(since) < WINDOW_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use expect_test::expect;

    use super::*;
    use crate::peers::{Connection, Kind, MAX_PEERS};

    #[test]
    fn who_was_not_watched_is_not_absent() {
        let said = |begun, gap: u64| {
            let mut judge = Judge::new(begun, None);
            judge.listened(0, 0);
            let evidence = |judge: &Judge, now| judge.udp_evidence(now).to_string();
            let first = evidence(&judge, 0);
            judge.listened(gap, 0);
            let then = [gap, gap + 29, gap + 30].map(|now| evidence(&judge, now));
            format!("{first}; {}", then.join(", "))
        };
        let unknown = "players unknown: not watched for long enough";
        assert_eq!(said(Begun::BeforeTheGame, 5), "nobody on; nobody on, nobody on, nobody on");
        assert_eq!(said(Begun::BeforeTheGame, 6), format!("nobody on; {unknown}, {unknown}, nobody on"));
        assert_eq!(said(Begun::MidGame, 6), format!("{unknown}; {unknown}, {unknown}, nobody on"));
    }

    #[test]
    fn what_was_lost_may_have_been_a_players() {
        let mut judge = Judge::new(Begun::BeforeTheGame, None);
        judge.listened(1, 3);
        expect!["players unknown: datagrams came too fast to see all"]
            .assert_eq(&judge.udp_evidence(30).to_string());
        judge.listened(2, 0);
        assert_eq!(judge.udp_evidence(31), Evidence::Empty);
    }

    #[test]
    fn stillness_begins_anew_when_somebody_moved_went_or_could_not_be_seen() {
        let mut judge = Judge::new(Begun::BeforeTheGame, Some(5));
        let mut said = Vec::new();
        for now in 0..200 {
            // 1 walks until 100, and leaves; 2 is on from the first, and stands still. At 150 something is lost.
            let walks: u32 = if now < 100 { 10 } else { 0 };
            for (n, datagrams) in [(1, walks), (2, 1)] {
                let peer = SocketAddr::from((Ipv4Addr::new(203, 0, 113, n), 50214));
                (0..datagrams).for_each(|_| judge.udp.saw(now, peer, Kind::Play));
                judge.udp.answered(peer.ip());
            }
            judge.listened(now, u32::from(now == 150));
            let still_for = judge.still_for(now, &[Protocol::Udp]);
            if [0, 3, 50, 99, 119, 149, 150, 199].contains(&now) {
                said.push((now, still_for));
            }
        }
        let expected = [
            (0, Some(0)),
            (3, None),
            (50, Some(0)),
            (99, Some(0)),
            (119, Some(20)),
            (149, Some(50)),
            (150, Some(0)),
            (199, Some(49)),
        ];
        assert_eq!(said, expected);
        judge.listened(206, 0);
        assert_eq!(judge.still_for(206, &[Protocol::Udp]), Some(0), "nobody listened for long");
        judge.blinded(207);
        assert_eq!(judge.still_for(208, &[Protocol::Udp]), Some(1));
    }

    #[test]
    fn all_stand_still_only_where_they_do_so_over_every_protocol() {
        let mut judge = Judge::new(Begun::BeforeTheGame, Some(5));
        let peer = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 50214));
        let mut said = Vec::new();
        for now in 0..60 {
            judge.udp.saw(now, peer, Kind::Play);
            judge.udp.answered(peer.ip());
            judge.listened(now, 0);
            let segments = Some(if now < 40 { now * 5 } else { 156 + now } as u32);
            judge.tcp.sample(now, [Connection { peer, retransmits: 0, received: Some(9), segments }]);
            if [20, 39, 59].contains(&now) {
                said.push(judge.still_for(now, &[Protocol::Tcp, Protocol::Udp]));
            }
        }
        assert_eq!(said, [Some(0), Some(0), Some(20)]);
        assert_eq!(judge.still_for(59, &[Protocol::Udp]), Some(20), "what was seen is not forgotten");
    }

    #[test]
    fn more_addresses_than_are_remembered_may_hide_a_player() {
        let mut judge = Judge::new(Begun::BeforeTheGame, Some(5));
        for n in 0..2 * MAX_PEERS as u32 {
            judge.udp.saw(0, SocketAddr::from((Ipv4Addr::from(n), 50214)), Kind::Play);
        }
        judge.listened(0, 0);
        expect!["players unknown: too many addresses to tell"].assert_eq(&judge.udp_evidence(0).to_string());
        assert_eq!(judge.still_for(0, &[Protocol::Udp]), None);
    }

    #[test]
    fn a_rate_says_that_somebody_is_there_and_nothing_before_it_was_watched_for_long_enough() {
        let mut judge = Judge::new(Begun::BeforeTheGame, None);
        let said = |judge: &Judge, datagrams: Option<u64>| {
            let count = datagrams.map(|datagrams| Count { datagrams, over_ms: 30_000 });
            judge.rate_evidence(50, count).to_string()
        };
        assert_eq!(said(&judge, None), "players unknown: looked only once so far");
        assert_eq!([Some(0), Some(9)].map(|count| said(&judge, count)), ["nobody on", "1 player"]);
        judge.blinded(21);
        assert_eq!(said(&judge, Some(9)), "1 player");
        assert_eq!(said(&judge, Some(0)), "players unknown: looked for too short a time");
        judge.blinded(20);
        assert_eq!(said(&judge, Some(0)), "nobody on");
    }

    #[test]
    fn who_comes_is_first_unknown_and_then_a_player() {
        let mut judge = Judge::new(Begun::BeforeTheGame, None);
        let peer = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 50214));
        let mut said = Vec::new();
        for second in 0..60 {
            if second < 10 {
                judge.udp.saw(second, peer, Kind::Play);
                judge.udp.answered(peer.ip());
            }
            judge.listened(second, 0);
            let evidence = judge.udp_evidence(second).to_string();
            if said.last().is_none_or(|(_, last)| *last != evidence) {
                said.push((second, evidence));
            }
        }
        expect![[r#"[(0, "nobody on"), (1, "players unknown: 1 too new to tell"), (4, "1 player"), (29, "nobody on")]"#]]
            .assert_eq(&format!("{said:?}"));
    }
}
