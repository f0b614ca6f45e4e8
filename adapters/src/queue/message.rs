//! The sent form of a message: `{"v":1,"world":"w-0123"}`. On AWS, what ECS says of a task is a message too: it asks for
//! a look at the world that the task was started for.
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
    /// It is what ECS says of a task that nobody started for a world.
    #[error("the message is about a task that is no world's")]
    NoWorld,
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To look at a world.
    Look(Look),
    /// Nothing: it is about a task that is none of those asked about.
    Nothing,
}

/// Whose tasks ECS's messages are read about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks<'p> {
    /// Those of the installation whose tasks' `startedBy` begins with this.
    Of(&'p str),
    /// Every Dormouse's.
    Anybodys,
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

/// Returns what `text` asks for: one of our messages, or what ECS says of one of `tasks`.
pub fn read(text: &str, tasks: Tasks<'_>) -> Result<Ask, DecodeError> {
    let why = match decode(text) {
        Ok(look) => return Ok(Ask::Look(look)),
        Err(DecodeError::TooLong(bytes)) => return Err(DecodeError::TooLong(bytes)),
        Err(why) => why,
    };
    match parse::<TaskEvent>(text) {
        Ok(event) if event.source == "aws.ecs" => {
            let world = tasks.world_of(&event.detail.started_by);
            Ok(world.map_or(Ask::Nothing, |world| Ask::Look(Look { world })))
        }
        Ok(_) | Err(_) => Err(why),
    }
}

/// Returns the look that `text` asks for, in either form.
pub fn look(text: &str) -> Result<Look, DecodeError> {
    match read(text, Tasks::Anybodys)? {
        Ask::Look(look) => Ok(look),
        Ask::Nothing => Err(DecodeError::NoWorld),
    }
}

#[derive(Deserialize)]
struct TaskEvent {
    source: String,
    detail: TaskDetail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDetail {
    #[serde(default)]
    started_by: String,
}

impl Tasks<'_> {
    /// Returns the world that a task was started for: `startedBy` is `PREFIX/WORLD/GENERATION`, or `PREFIX-erase/WORLD`.
    fn world_of(self, started_by: &str) -> Option<WorldId> {
        let parts: Vec<_> = started_by.split('/').collect();
        let (prefix, world) = match parts[..] {
            [prefix, world, generation] if generation.parse::<u32>().is_ok() => (prefix, world),
            [family, world] => (family.strip_suffix("-erase")?, world),
            _ => return None,
        };
        let is_asked = match self {
            Self::Of(ours) => prefix == ours,
            Self::Anybodys => true,
        };
        if is_asked { WorldId::parse(world).ok() } else { None }
    }
}

/// Returns our message that `text` is.
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
        check("[[[[", expect!["the message cannot be read: invalid type: sequence, expected u64"]);
        check("{}", expect!["the message cannot be read: missing field `v`"]);
        check(r#"{"v":0}"#, expect!["the message cannot be read: no message has version 0"]);
        check(
            r#"{"v":2,"worlds":["a","b"]}"#,
            expect!["the message has version 2 and this Dormouse reads 1: use the newer one"],
        );
        check(r#"{"v":1}"#, expect!["the message cannot be read: missing field `world`"]);
        check(
            r#"{"v":1,"world":"w","force":true}"#,
            expect!["the message cannot be read: unknown field `force`, expected `v` or `world`"],
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

    #[test]
    fn what_ecs_says_of_a_task_asks_for_a_look_at_its_world() {
        for (started_by, of_ours, of_anybody) in [
            ("dormouse/w-7/3", Some("w-7"), Some("w-7")),
            ("dormouse-erase/w-7", Some("w-7"), Some("w-7")),
            ("dormouse-two/w-7/3", None, Some("w-7")),
            ("dormouse-two-erase/w-7", None, Some("w-7")),
            ("", None, None),
            ("ecs-svc/123", None, None),
            ("dormouse/w-7", None, None),
            ("dormouse/w-7/x", None, None),
            ("dormouse/../3", None, None),
            ("dormouse-erase/../..", None, None),
        ] {
            let ask = |tasks| match read(&task_event(started_by), tasks).unwrap() {
                Ask::Look(look) => Some(look.world.to_string()),
                Ask::Nothing => None,
            };
            let asked = (ask(Tasks::Of("dormouse")), ask(Tasks::Anybodys));
            assert_eq!(asked, (of_ours.map(str::to_owned), of_anybody.map(str::to_owned)), "{started_by}");
        }
        assert_eq!(look(&task_event("ecs-svc/123")), Err(DecodeError::NoWorld));
    }

    #[test]
    fn what_neither_we_nor_ecs_say_is_no_message() {
        for bad in ["{}", r#"{"source":"aws.s3","detail":{}}"#, r#"{"source":"aws.ecs"}"#] {
            assert_eq!(read(bad, Tasks::Anybodys), Err(decode(bad).unwrap_err()), "{bad}");
        }
        let long = task_event("dormouse/w-7/3") + &" ".repeat(LONGEST_BYTES);
        assert!(matches!(read(&long, Tasks::Anybodys), Err(DecodeError::TooLong(_))));
    }

    fn task_event(started_by: &str) -> String {
        let detail = serde_json::json!({ "startedBy": started_by, "lastStatus": "STOPPED" });
        let kind = "ECS Task State Change";
        serde_json::json!({ "version": "0", "source": "aws.ecs", "detail-type": kind, "detail": detail })
            .to_string()
    }

    /// Compares all but the place, which serde_json counts differently by its features.
    fn check(text: &str, expected: Expect) {
        let said = decode(text).unwrap_err().to_string();
        expected.assert_eq(said.split(" at line").next().unwrap());
    }
}
