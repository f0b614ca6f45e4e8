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

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a public key is 64 hexadecimal digits, as the application's page on the developer portal shows them"
)]
pub struct BadKey;

impl PublicKey {
    /// Returns the key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        hex(text).map(Self).ok_or(BadKey)
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

/// Checks that whoever has the private half of `key` signed `body`, and when; returns that time.
pub fn verify(
    key: &PublicKey,
    signed: Signed<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Timestamp, NotSigned> {
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
        PublicKey::new(pair().public_key().as_ref().try_into().unwrap())
    }

    fn sign(timestamp: &str, body: &[u8]) -> String {
        let signature = pair().sign(&[timestamp.as_bytes(), body].concat());
        signature.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    fn check(timestamp: &str, signature: &str, body: &[u8]) -> Result<(), NotSigned> {
        verify(&key(), Signed { timestamp, signature }, body, now()).map(|at| {
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
        assert_eq!("abc".parse::<PublicKey>(), Err(BadKey));
    }
}
