//! What the peers of one game amount to: evidence from all that was seen so far, without a clock or a socket.
//!
//! [`crate::peers`] tells who behaves like a player; this adds whether it could be seen at all. It must never say that
//! nobody is on about a time in which somebody may have been overlooked.

use domain::idle::Evidence;

use crate::peers::{PeerTable, TcpPeers, WINDOW_SECONDS};

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
}

impl Judge {
    /// Returns what is known before anything was seen.
    pub fn new(begun: Begun) -> Self {
        let seeing_since = match begun {
            Begun::BeforeTheGame => None,
            Begun::MidGame => Some(0),
        };
        Self {
            udp: PeerTable::default(),
            tcp: TcpPeers::default(),
            listened_at: 0,
            lost_at: None,
            seeing_since,
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

    /// Tells whether somebody may be on who was not seen for lack of time.
    pub fn is_too_early(&self, now: u64) -> bool {
        self.seeing_since.is_some_and(|since| now.saturating_sub(since) < WINDOW_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use expect_test::expect;

    use super::*;
    use crate::peers::Kind;

    #[test]
    fn who_was_not_watched_is_not_absent() {
        let said = |begun, gap: u64| {
            let mut judge = Judge::new(begun);
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
        let mut judge = Judge::new(Begun::BeforeTheGame);
        judge.listened(1, 3);
        expect!["players unknown: datagrams came too fast to see all"]
            .assert_eq(&judge.udp_evidence(30).to_string());
        judge.listened(2, 0);
        assert_eq!(judge.udp_evidence(31), Evidence::Empty);
    }

    #[test]
    fn who_comes_is_first_unknown_and_then_a_player() {
        let mut judge = Judge::new(Begun::BeforeTheGame);
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
