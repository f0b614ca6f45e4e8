//! Reads what a game answers. Nothing may panic, no count may be absurd, and what has come of an answer over a connection
//! must never tell another count than all of it.
//!
//! The first byte chooses the protocol, the second where the answer is cut.
//!
//! ```text
//! cd fuzz && mkdir -p corpus/query && cargo run --release --bin query -- -max_total_time=600 corpus/query seeds/query
//! ```

#![no_main]

use domain::game::{Protocol, QueryProtocol};
use libfuzzer_sys::fuzz_target;
use watchdog::query::{Heard, MAX_PLAYERS, hear, request};

const PROTOCOLS: [QueryProtocol; 4] =
    [QueryProtocol::A2s, QueryProtocol::Quake3, QueryProtocol::Raknet, QueryProtocol::Minecraft];

fuzz_target!(|data: &[u8]| {
    let [protocol, cut, answer @ ..] = data else { return };
    let protocol = PROTOCOLS[usize::from(protocol % 4)];
    let part = &answer[..answer.len() * usize::from(*cut) / 256];
    match hear(protocol, answer) {
        Ok(Heard::Players(players)) => {
            assert!(players <= MAX_PLAYERS);
            if protocol.transport() == Protocol::Tcp {
                let early = hear(protocol, part);
                assert!([Ok(Heard::Players(players)), Ok(Heard::More)].contains(&early), "{early:?}");
            }
        }
        Ok(Heard::Challenge(number)) => assert!(request(protocol, 1, Some(number)).ends_with(&number)),
        Ok(Heard::More) => assert_eq!(protocol.transport(), Protocol::Tcp),
        Err(_) => {}
    }
});
