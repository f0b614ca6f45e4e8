//! Reads the kernel's answers by netlink. Nothing may panic, and an answer that breaks off anywhere must never be taken for
//! a shorter one that is whole.
//!
//! ```text
//! cd fuzz && mkdir -p corpus/sock_diag && cargo run --release --bin sock_diag -- -max_total_time=600 corpus/sock_diag seeds/sock_diag
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchdog::sock_diag::{DiagError, More, answers};

/// The request that the answers are to.
const SEQUENCE: u32 = 1;

fuzz_target!(|data: &[u8]| {
    let Ok((sockets, More::No)) = read(data) else { return };
    let end = end(data);
    for length in 0..end {
        match read(&data[..length]) {
            Ok((fewer, More::Yes)) => assert!(fewer <= sockets),
            Ok((_, More::No)) => panic!("{length} of {end} bytes are taken for all"),
            Err(_) => {}
        }
    }
});

fn read(data: &[u8]) -> Result<(usize, More), DiagError> {
    let mut sockets = 0;
    answers(data, SEQUENCE, &mut |_| sockets += 1).map(|more| (sockets, more))
}

/// Returns where the message ends that ends the dump: the first of its kind (3) that belongs to the request.
fn end(data: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let number = |from: usize, bytes: usize| {
            let mut word = [0; 4];
            word[..bytes].copy_from_slice(&data[at + from..at + from + bytes]);
            u32::from_ne_bytes(word)
        };
        let (length, kind, sequence) = (number(0, 4) as usize, number(4, 2), number(8, 4));
        if (kind, sequence) == (3, SEQUENCE) {
            return at + length;
        }
        at += length.next_multiple_of(4);
    }
}
