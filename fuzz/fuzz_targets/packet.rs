//! Reads captured packets. Nothing may panic, and what the kernel's filter passes must be what the parser takes for a
//! datagram to that port, and nothing else; the same for what goes out.
//!
//! The first byte chooses the version of IP, the second is the packet's type.
//!
//! ```text
//! cd fuzz && mkdir -p corpus/packet && cargo run --release --bin packet -- -max_total_time=600 corpus/packet seeds/packet
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchdog::packet::{CAPTURED_BYTES, Family, Instruction, answer_filter, datagram, destination, filter};

#[path = "../../watchdog/src/packet/tests/interpreter.rs"]
mod interpreter;

/// What was not sent by this machine and is not for another.
const TO_US: u8 = 2;
const OUTGOING: u8 = 4;

fuzz_target!(|data: &[u8]| {
    let [first, packet_type, packet @ ..] = data else { return };
    let family = if first % 2 == 0 { Family::V4 } else { Family::V6 };
    let captured = &packet[..packet.len().min(CAPTURED_BYTES)];
    let parsed = datagram(family, captured);
    let ports = [2456, parsed.map_or(0, |datagram| datagram.port), 30000];
    let passed = interpreter::run(&filter(family, &ports), *packet_type, packet).unwrap_or(0) > 0;
    if *packet_type > TO_US {
        assert!(!passed, "it is not for us");
    } else if let Some(datagram) = parsed {
        assert!(passed, "{datagram:?} is not passed");
        assert!(datagram.payload.len() <= captured.len() - 28);
        let others = [datagram.port.wrapping_add(1)];
        assert_eq!(interpreter::run(&filter(family, &others), *packet_type, packet).unwrap_or(0), 0);
    } else if passed && is_of(family, packet) {
        // Only the length can be wrong then, or be missing: the filter does not look at it.
        let header = if family == Family::V4 { usize::from(packet[0] & 0xf) * 4 } else { 40 };
        let length = packet.get(header + 4..header + 6).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        assert!(packet.len() < header + 8 || header < 20 || length.is_some_and(|length| length < 8));
    }
    if interpreter::run(&answer_filter(), *packet_type, packet).unwrap_or(0) > 0 {
        assert_eq!(*packet_type, OUTGOING);
        assert!(destination(packet).is_some() || packet.len() < 40);
    }
});

/// Tells whether a packet is of the version of IP that the socket is bound to, as the kernel takes care of.
fn is_of(family: Family, packet: &[u8]) -> bool {
    let version = if family == Family::V4 { 4 } else { 6 };
    packet.first().is_some_and(|first| first >> 4 == version)
}
