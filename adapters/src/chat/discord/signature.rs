//! Whether a request comes from Discord: Ed25519 over the timestamp and the body exactly as received.
//!
//! Discord sends wrong signatures on purpose and takes the endpoint away from whoever answers them.

use std::{fmt, str::FromStr, time::Duration};

use domain::Timestamp;
use ring::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;

/// How far the timestamp of a request may be from our clock. A captured request is of use for no longer than that; clocks
/// of well-kept machines differ by less than a second, and Discord waits three seconds for an answer.
pub const AGE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// An application's key, from its page on Discord's developer portal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Not a key that proves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadKey {
    /// It is not 64 hexadecimal digits.
    #[error(
        "a public key is 64 hexadecimal digits, as the application's page on the developer portal shows them"
    )]
    NotOne,
    /// It is one of the few points for which anybody can make signatures.
    #[error(
        "this is a key for which anybody can sign; copy the one that the application's page on the developer portal shows"
    )]
    Weak,
}

/// The points of small order, as they can be written, without the sign in the last bit: a multiple of such a point is one
/// of eight at most, so a signature can be guessed. Nothing below us refuses them.
const SMALL_ORDER: [[u8; 32]; 7] = [
    // y = 0 (order 4), y = 1 (order 1), y = -1 (order 2).
    ends(0x00, 0x00, 0x00),
    ends(0x01, 0x00, 0x00),
    ends(0xec, 0xff, 0x7f),
    // The first two once more, not reduced: y = p and y = p + 1.
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Returns `first`, thirty times `middle`, and `last`.
const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

impl PublicKey {
    /// Returns the key of these bytes, unless anybody can sign for it.
    pub fn new(bytes: [u8; 32]) -> Result<Self, BadKey> {
        let mut unsigned = bytes;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&unsigned) { Err(BadKey::Weak) } else { Ok(Self(bytes)) }
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::new(hex(text).ok_or(BadKey::NotOne)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str(")")
    }
}

/// The headers that sign a request.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `X-Signature-Timestamp`.
    pub timestamp: &'a str,
    /// `X-Signature-Ed25519`.
    pub signature: &'a str,
}

/// Why a request is not from Discord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotSigned {
    /// There is no key to check it with.
    #[error("no public key is configured here, so nothing that is signed is taken")]
    NoKey,
    /// The timestamp is not one.
    #[error("the signature's timestamp is not a number of seconds")]
    Timestamp,
    /// The timestamp is further from now than [`AGE_LIMIT`].
    #[error("the signature is too old, or from the future")]
    Stale,
    /// The signature is not one.
    #[error("the signature is not 128 hexadecimal digits")]
    Malformed,
    /// The signature is not of this key over this request.
    #[error("the signature is wrong")]
    Wrong,
}

/// Checks that whoever has the private half of `key` signed `body`, and when; returns that time. Without a key nobody did.
pub fn verify(
    key: Option<&PublicKey>,
    signed: Signed<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Timestamp, NotSigned> {
    let key = key.ok_or(NotSigned::NoKey)?;
    let at = seconds(signed.timestamp).ok_or(NotSigned::Timestamp)?;
    if now.duration_since(at).unsigned_abs() > AGE_LIMIT {
        return Err(NotSigned::Stale);
    }
    let signature: [u8; 64] = hex(signed.signature).ok_or(NotSigned::Malformed)?;
    let message = [signed.timestamp.as_bytes(), body].concat();
    UnparsedPublicKey::new(&ED25519, key.0).verify(&message, &signature).map_err(|_| NotSigned::Wrong)?;
    Ok(at)
}

/// Reads 1 to 12 digits, which is seconds until the year 33658.
fn seconds(text: &str) -> Option<Timestamp> {
    let is_number = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    Timestamp::from_second(text.parse().ok().filter(|_| is_number)?).ok()
}

/// Reads exactly `N` bytes as hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn key() -> PublicKey {
        PublicKey::new(pair().public_key().as_ref().try_into().unwrap()).unwrap()
    }

    fn sign(timestamp: &str, body: &[u8]) -> String {
        let signature = pair().sign(&[timestamp.as_bytes(), body].concat());
        signature.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    fn check(timestamp: &str, signature: &str, body: &[u8]) -> Result<(), NotSigned> {
        verify(Some(&key()), Signed { timestamp, signature }, body, now()).map(|at| {
            assert_eq!(at.as_second().to_string(), timestamp);
        })
    }

    #[test]
    fn what_was_signed_is_accepted_and_nothing_else() {
        let (timestamp, body) = (NOW.to_string(), b"{\"type\":1}");
        let good = sign(&timestamp, body);
        assert_eq!(check(&timestamp, &good, body), Ok(()));
        assert_eq!(check(&timestamp, &good.to_uppercase(), body), Ok(()));
        assert_eq!(check(&timestamp, &good, b"{\"type\":2}"), Err(NotSigned::Wrong));
        assert_eq!(check(&(NOW + 1).to_string(), &good, body), Err(NotSigned::Wrong));
        assert_eq!(check(&timestamp, &"0".repeat(128), body), Err(NotSigned::Wrong));
    }

    #[test]
    fn a_signature_serves_for_five_minutes() {
        for (at, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(NotSigned::Stale)),
            (NOW + 301, Err(NotSigned::Stale)),
            (0, Err(NotSigned::Stale)),
        ] {
            let timestamp = at.to_string();
            assert_eq!(check(&timestamp, &sign(&timestamp, b""), b""), expected, "{at}");
        }
    }

    #[test]
    fn headers_that_are_none_are_refused_before_anything_is_computed() {
        for bad in ["", "-5", "+5", "1.5", "now", " 1", "9999999999999", "１", &"9".repeat(100_000)] {
            assert_eq!(check(bad, &"0".repeat(128), b""), Err(NotSigned::Timestamp), "{bad:.20}");
        }
        for bad in ["", "0", &"0".repeat(127), &"g".repeat(128), &"ä".repeat(64), &"0".repeat(1_000_000)] {
            assert_eq!(check(&NOW.to_string(), bad, b""), Err(NotSigned::Malformed), "{bad:.20}");
        }
    }

    #[test]
    fn a_key_is_read_from_the_portal() {
        let text = "3bf4c5be5bb7dbce6cbe1c1a1bc4e9d4d4b5b8d2e28a0d7fd4b0a7a3c5a0f0aa";
        let shown = format!("{:?}", text.parse::<PublicKey>().unwrap());
        assert_eq!(shown, format!("PublicKey({text})"));
        assert_eq!("abc".parse::<PublicKey>(), Err(BadKey::NotOne));
    }

    #[test]
    fn a_key_for_which_anybody_can_sign_is_refused() {
        // The point 1 as R and 0 as s: right for the key of zeros whenever the hash is a multiple of four.
        let forged: [u8; 64] = std::array::from_fn(|n| u8::from(n == 0));
        let is_taken = |at: &i64| {
            let message = [at.to_string().as_bytes(), b"{\"type\":1}"].concat();
            UnparsedPublicKey::new(&ED25519, [0; 32]).verify(&message, &forged).is_ok()
        };
        assert!((NOW - 300..NOW + 300).any(|at| is_taken(&at)), "the forgery is none");
        assert_eq!(PublicKey::new([0; 32]), Err(BadKey::Weak));
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut bytes = point;
                bytes[31] |= sign;
                let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(text.parse::<PublicKey>(), Err(BadKey::Weak), "{text}");
            }
        }
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        let timestamp = NOW.to_string();
        let signature = sign(&timestamp, b"");
        let signed = Signed { timestamp: &timestamp, signature: &signature };
        assert_eq!(verify(None, signed, b"", now()), Err(NotSigned::NoKey));
    }
}
