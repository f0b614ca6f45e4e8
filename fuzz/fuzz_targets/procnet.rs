//! Reads the kernel's tables as text. Nothing may panic, and no line may go unaccounted: it is a socket, or it is counted as
//! one that makes no sense.
//!
//! ```text
//! cd fuzz && mkdir -p corpus/procnet && cargo run --release --bin procnet -- -max_total_time=600 corpus/procnet seeds/procnet
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchdog::procnet::{Rows, udp_in_datagrams, udp6_in_datagrams};

fuzz_target!(|text: &str| {
    let mut rows = Rows::new(text);
    let read = rows.by_ref().count();
    assert_eq!(read + rows.malformed, text.lines().count().saturating_sub(1));
    udp_in_datagrams(text);
    udp6_in_datagrams(text);
});
