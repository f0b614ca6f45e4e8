//! Tells what datagrams are, and who plays. Nothing may panic; what a datagram is must not depend on more of it than is
//! captured; and no sequence of strangers may grow the table beyond its bound.
//!
//! The first byte says how much is a pattern, as a catalogue has them; then comes a datagram, and from it events are made.
//!
//! ```text
//! cd fuzz && mkdir -p corpus/peers && cargo run --release --bin peers -- -max_total_time=600 corpus/peers seeds/peers
//! ```

#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use domain::game::Pattern;
use libfuzzer_sys::fuzz_target;
use watchdog::peers::{Kind, MAX_PEERS, PeerTable, SILENCE_SECONDS, Standing, WINDOW_SECONDS};

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let (text, datagram) = rest.split_at(rest.len().min(usize::from(length % 80)));
    let pattern = str::from_utf8(text).ok().and_then(Pattern::parse);
    if let Some(pattern) = &pattern {
        assert!(!pattern.begins(&[]), "it begins every datagram");
    }
    let queries: Vec<_> = pattern.into_iter().collect();
    let captured = &datagram[..datagram.len().min(Pattern::LONGEST)];
    assert_eq!(Kind::of(datagram, &queries), Kind::of(captured, &queries));
    play(datagram);
});

/// Each two bytes are a sender and what happens: seconds that pass, something that is sent, or an answer.
fn play(events: &[u8]) {
    let (mut table, mut now) = (PeerTable::default(), 0);
    for event in events.chunks_exact(2) {
        let address = Ipv4Addr::new(203, 0, 113, event[0] >> 2);
        let peer = SocketAddr::from((address, 50_000 + u16::from(event[0] & 3)));
        match event[1] {
            seconds @ 0..64 => now += u64::from(seconds),
            64..128 => table.answered(peer.ip()),
            128..192 => table.saw(now, peer, Kind::Play),
            192..224 => (0..10).for_each(|second| table.saw(now + second, peer, Kind::Play)),
            224..=254 => table.saw(now, peer, Kind::Query),
            255 => table.answers_were_lost(),
        }
    }
    let rows: Vec<_> = table.rows(now).collect();
    assert!(rows.len() <= MAX_PEERS && rows.len() <= 256);
    assert!(rows.iter().all(|row| u64::from(row.seconds_seen) <= WINDOW_SECONDS));
    let players: Vec<_> = rows.iter().filter(|row| row.standing == Standing::Player).collect();
    assert_eq!(players.len(), table.players(now) as usize);
    assert!(players.iter().all(|row| row.last_seen_ago < SILENCE_SECONDS));
}
