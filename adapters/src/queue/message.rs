//! The sent form of a message: `{"v":1,"world":"w-0123"}`.
//!
//! A program that does not know a version leaves the message where it is; it ends among the dead letters, and whoever
//! knows the version sends it anew. Messages live for days at most, so that a version goes away by itself.

use domain::{
    ports::Look,
    world::{BadName, WorldId},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version that is written, and the only one yet.
const VERSION: u64 = 1;

/// The longest message that is looked at, as SQS has it.
pub const LONGEST_BYTES: usize = 256 * 1024;

/// Why a text is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It is too long to be looked at.
    #[error("the message has {0} bytes, and at most {LONGEST_BYTES} are looked at")]
    TooLong(usize),
    /// A newer program sent it.
    #[error("the message has version {0} and this Dormouse reads {VERSION}: use the newer one")]
    Newer(u64),
    /// It is not of the form that its version has.
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// What it names is no world.
    #[error("the message cannot be read: {0}")]
    World(#[from] BadName),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookRecord {
    v: u64,
    world: String,
}

/// Returns the message as JSON.
pub fn encode(look: &Look) -> String {
    serde_json::to_string(&LookRecord { v: VERSION, world: look.world.to_string() })
        .unwrap_or_else(|error| unreachable!("a record of a number and a text: {error}"))
}

/// Returns the message that `text` is.
pub fn decode(text: &str) -> Result<Look, DecodeError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    if text.len() > LONGEST_BYTES {
        return Err(DecodeError::TooLong(text.len()));
    }
    match parse::<Versioned>(text)?.v {
        VERSION => Ok(Look { world: WorldId::parse(&parse::<LookRecord>(text)?.world)? }),
        newer if newer > VERSION => Err(DecodeError::Newer(newer)),
        unknown => Err(DecodeError::Malformed(format!("no message has version {unknown}"))),
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| DecodeError::Malformed(brief(&error.to_string())))
}

/// Returns the beginning of what serde says, which may quote the message.
fn brief(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_message_comes_back_as_it_was() {
        let look = Look { world: WorldId::parse("w-0123").unwrap() };
        let text = encode(&look);
        expect![[r#"{"v":1,"world":"w-0123"}"#]].assert_eq(&text);
        assert_eq!(decode(&text), Ok(look));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("", expect!["the message cannot be read: EOF while parsing a value"]);
        check(
            "[[[[",
            expect!["the message cannot be read: invalid type: sequence, expected u64"],
        );
        check("{}", expect!["the message cannot be read: missing field `v`"]);
        check(r#"{"v":0}"#, expect!["the message cannot be read: no message has version 0"]);
        check(
            r#"{"v":2,"worlds":["a","b"]}"#,
            expect!["the message has version 2 and this Dormouse reads 1: use the newer one"],
        );
        check(r#"{"v":1}"#, expect!["the message cannot be read: missing field `world`"]);
        check(
            r#"{"v":1,"world":"w","force":true}"#,
            expect![
                "the message cannot be read: unknown field `force`, expected `v` or `world`"
            ],
        );
        check(
            r#"{"v":1,"world":"../w"}"#,
            expect![
                "the message cannot be read: world id `../w` is not valid: use 1 to 40 lower-case letters, digits and hyphens"
            ],
        );
    }

    #[test]
    fn what_is_too_long_is_not_looked_at() {
        let pad = " ".repeat(LONGEST_BYTES);
        check(
            &format!(r#"{{"v":1,"world":"w"}}{pad}"#),
            expect!["the message has 262163 bytes, and at most 262144 are looked at"],
        );
        let quoted = format!(r#"{{"v":1,"world":"w","{}":1}}"#, "\u{202e}x".repeat(10_000));
        assert!(decode(&quoted).unwrap_err().to_string().chars().count() < 2_000);
    }

    /// Compares all but the place, which serde_json counts differently by its features.
    fn check(text: &str, expected: Expect) {
        let said = decode(text).unwrap_err().to_string();
        expected.assert_eq(said.split(" at line").next().unwrap());
    }
}
