//! The stored form of a world: JSON in words that a person can read in the database.
//!
//! These types stand apart from the domain's, so that a change there is a decision here. Every change of the form, even
//! a field more, gets the next version number: a program refuses a record that is newer than itself, for it would lose
//! what it does not know when it writes back. Nothing is guessed: a field that is missing or unknown is an error.
//! Times are kept to the millisecond.

use std::{collections::BTreeMap, fmt};

use domain::world::World;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::attendance::{AttendanceRecord, SightRecord};

mod of_world;

mod restore;

mod vault;

use vault::{ErrandRecord, KeptWhyRecord, VaultRecord};

/// The version that is written, and the newest that is read. Version 2 knew of no settings, and not who was on.
pub const VERSION: u64 = 3;

/// The oldest version that is read: it knew of the newest archive alone.
const OLDEST_VERSION: u64 = 1;

/// Why a record is not a world.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A newer program wrote it.
    #[error("`v`: the record has version {0} and this Dormouse reads up to {VERSION}: use the newer one")]
    Newer(u64),
    /// Something in it is wrong.
    #[error("`{field}`: {why}")]
    Field {
        /// The path to what is wrong, such as `state.launch.asked.by`; `record` is all of it.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Returns the record of `world` as JSON.
pub fn encode(world: &World) -> String {
    serde_json::to_string(&WorldRecord::from(world))
        .unwrap_or_else(|error| unreachable!("a record has text keys and finite numbers only: {error}"))
}

/// Returns the world that `record` describes.
pub fn decode(record: &str) -> Result<World, DecodeError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    match parse::<Versioned>(record)?.v {
        OLDEST_VERSION..=VERSION => parse::<WorldRecord>(record)?.restore(),
        newer if newer > VERSION => Err(DecodeError::Newer(newer)),
        unknown => Err(wrong("v", format!("no record has version {unknown}"))),
    }
}

fn parse<'a, T: Deserialize<'a>>(record: &'a str) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(record)).map_err(|error| {
        match error.path().to_string().as_str() {
            "." => wrong("record", error.inner()),
            field => wrong(field, error.inner()),
        }
    })
}

fn wrong(field: &str, why: impl ToString) -> DecodeError {
    DecodeError::Field { field: field.into(), why: why.to_string() }
}

/// Requires the field to be there, `null` or not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// A stored world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldRecord {
    v: u64,
    id: String,
    guild: String,
    name: String,
    game: String,
    created: AskedRecord,
    timers: TimersRecord,
    #[serde(default)]
    settings: BTreeMap<String, SettingRecord>,
    #[serde(deserialize_with = "present")]
    port: Option<u16>,
    generation: u32,
    #[serde(deserialize_with = "present")]
    claimed: Option<u32>,
    // Version 1 alone has it, and no vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveRecord>,
    #[serde(default)]
    vault: Option<VaultRecord>,
    #[serde(deserialize_with = "present")]
    last: Option<SessionRecord>,
    // The first programs wrote neither of these.
    #[serde(default)]
    past: Vec<SessionRecord>,
    #[serde(default)]
    talk: TalkRecord,
    state: StateRecord,
}

/// A chosen value, which may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct SettingRecord(String);

impl fmt::Debug for SettingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingRecord(…)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TalkRecord {
    #[serde(deserialize_with = "present")]
    place: Option<String>,
    #[serde(deserialize_with = "present")]
    card: Option<String>,
    followers: Vec<FollowerRecord>,
    #[serde(deserialize_with = "present")]
    told: Option<ToldRecord>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowerRecord {
    reply: String,
    until_ms: i64,
}

impl fmt::Debug for FollowerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The reply is a secret.
        f.debug_struct("FollowerRecord").field("until_ms", &self.until_ms).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldRecord {
    generation: u32,
    sentence: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRecord {
    by: String,
    at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimersRecord {
    never_joined_ms: u64,
    last_left_ms: u64,
    warning_ms: u64,
    /// Left out where it is 0, as it is with a program that knows of none.
    #[serde(default, skip_serializing_if = "is_none")]
    afk_ms: u64,
    cap_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_none(ms: &u64) -> bool {
    *ms == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveRecord {
    id: String,
    generation: u32,
    size: u64,
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionRecord {
    launch: LaunchRecord,
    outcome: OutcomeRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchRecord {
    generation: u32,
    // Version 1 had no errands.
    #[serde(default)]
    errand: Option<ErrandRecord>,
    asked: AskedRecord,
    passed: Vec<PassedRecord>,
    // Version 2 did not know who was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attendance: Option<AttendanceRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SightRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassedRecord {
    milestone: String,
    at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum StateRecord {
    Asleep,
    Starting {
        launch: LaunchRecord,
        step: StartStepRecord,
        deadline_ms: i64,
    },
    Awake {
        launch: LaunchRecord,
        task: String,
        address: AddressRecord,
        heard: HeardRecord,
        #[serde(deserialize_with = "present")]
        keep: Option<KeepRecord>,
        // Version 1 made no archives of what was awake.
        #[serde(default)]
        backup: Option<BackupRecord>,
        deadline_ms: i64,
    },
    Stopping {
        launch: LaunchRecord,
        task: String,
        why: StopWhyRecord,
        step: StopStepRecord,
        then: ThenRecord,
        deadline_ms: i64,
    },
    Ending {
        launch: LaunchRecord,
        #[serde(deserialize_with = "present")]
        task: Option<String>,
        outcome: OutcomeRecord,
        force: ForceRecord,
        then: ThenRecord,
        deadline_ms: i64,
    },
    Deleting {
        asked: AskedRecord,
        deadline_ms: i64,
    },
    Deleted {
        asked: AskedRecord,
        at_ms: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum StartStepRecord {
    Launching,
    Launched { task: String },
    Filling { task: String },
    Claimed { task: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupRecord {
    why: KeptWhyRecord,
    at_ms: i64,
    step: BackupStepRecord,
    deadline_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum BackupStepRecord {
    Wanted,
    Uploaded { archive: ArchiveRecord },
    Done { archive_id: String },
    Failed { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressRecord {
    host: String,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeardRecord {
    at_ms: i64,
    players: EvidenceRecord,
    #[serde(deserialize_with = "present")]
    stops_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum EvidenceRecord {
    Players { count: u32 },
    Empty,
    Unknown { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepRecord {
    asked: AskedRecord,
    until_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum StopWhyRecord {
    Asked { asked: AskedRecord },
    NeverJoined,
    LastLeft,
    Cap,
    NeverReady,
    AllAway,
    Deaf,
    Unresponsive,
    GameEnded { how: String },
    Reclaimed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum StopStepRecord {
    Asked,
    Saving,
    Saved { proof: ProofRecord },
    Uploaded { proof: ProofRecord, archive: ArchiveRecord },
    Rejected { proof: ProofRecord, archive_id: String },
    Filling,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum ProofRecord {
    Fresh,
    Untouched,
    Missing { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum ThenRecord {
    Sleep,
    Start { asked: AskedRecord },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum OutcomeRecord {
    Slept { why: StopWhyRecord, proof: ProofRecord },
    NotArchived { why: StopWhyRecord, reason: String },
    Cancelled { asked: AskedRecord },
    Failed { reason: String },
    Lost { reason: String },
    Done { errand: ErrandRecord, found: String },
    NotDone { errand: ErrandRecord, reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ForceRecord {
    Gentle,
    Kill,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attendance::tests::longest, store::contract::worlds_in_every_state};
    use domain::{
        attendance::{Attendance, MOST_PAST_SPANS},
        settings::Chosen,
        talk::Talk,
        vault::{Care, LinkOf, Vault},
        world::{Launch, MOST_PAST, State},
    };
    use expect_test::{Expect, expect};

    #[test]
    fn every_state_and_step_comes_back_as_it_was() {
        for world in worlds_in_every_state() {
            let record = encode(&world);
            assert_eq!(decode(&record), Ok(world), "{record}");
        }
    }

    #[test]
    fn an_awake_world_reads_well() {
        expect![[r#"
            {
              "v": 3,
              "id": "w-awake",
              "guild": "g-states",
              "name": "awake",
              "game": "valheim",
              "created": {
                "by": "Bo",
                "at_ms": 1795253400250
              },
              "timers": {
                "never_joined_ms": 900000,
                "last_left_ms": 600000,
                "warning_ms": 120000,
                "cap_ms": 43200000
              },
              "settings": {
                "password": "h\"u'n$ter",
                "seed": "7"
              },
              "port": 2456,
              "generation": 7,
              "claimed": 7,
              "vault": {
                "kept": [
                  {
                    "archive": {
                      "id": "20261121-093000-250-g6",
                      "generation": 6,
                      "size": 4294967302,
                      "sha256": "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"
                    },
                    "at_ms": 1795253400250,
                    "why": {
                      "is": "slept"
                    }
                  },
                  {
                    "archive": {
                      "id": "20261121-093000-250-g5",
                      "generation": 5,
                      "size": 4294967302,
                      "sha256": "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"
                    },
                    "at_ms": 1795253400250,
                    "why": {
                      "is": "asked",
                      "by": "Bo"
                    }
                  },
                  {
                    "archive": {
                      "id": "20261121-093000-250-g4",
                      "generation": 4,
                      "size": 4294967302,
                      "sha256": "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"
                    },
                    "at_ms": 1795253400250,
                    "why": {
                      "is": "schedule"
                    }
                  },
                  {
                    "archive": {
                      "id": "20261121-093000-250-g3",
                      "generation": 3,
                      "size": 4294967302,
                      "sha256": "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"
                    },
                    "at_ms": 1795253400250,
                    "why": {
                      "is": "replaced",
                      "by": "Bo"
                    }
                  }
                ],
                "same_as": "20261121-093000-250-g6",
                "lives": "archive",
                "links": [
                  {
                    "id": "l1",
                    "of": {
                      "is": "archive",
                      "id": "20261121-093000-250-g5"
                    },
                    "asked": {
                      "by": "Bo",
                      "at_ms": 1795253400250
                    },
                    "expires_ms": 1795858200250,
                    "downloads": 1
                  },
                  {
                    "id": "l2",
                    "of": {
                      "is": "next"
                    },
                    "asked": {
                      "by": "Bo",
                      "at_ms": 1795253400250
                    },
                    "expires_ms": 1795858200250,
                    "downloads": 2
                  },
                  {
                    "id": "l4",
                    "of": {
                      "is": "after_next"
                    },
                    "asked": {
                      "by": "Bo",
                      "at_ms": 1795253400250
                    },
                    "expires_ms": 1795858200250,
                    "downloads": 4
                  },
                  {
                    "id": "l3",
                    "of": {
                      "is": "nothing",
                      "why": "the disk is full"
                    },
                    "asked": {
                      "by": "Bo",
                      "at_ms": 1795253400250
                    },
                    "expires_ms": 1795858200250,
                    "downloads": 3
                  }
                ],
                "litter": [
                  {
                    "is": "archive",
                    "id": "20261121-093000-250-g2"
                  },
                  {
                    "is": "import",
                    "id": "w-0011223344"
                  }
                ],
                "care": {
                  "backup_every_ms": 1800000,
                  "keep_newest": 9,
                  "keep_daily": 0,
                  "keep_weekly": 26,
                  "storage": "archive"
                }
              },
              "last": {
                "launch": {
                  "generation": 6,
                  "errand": null,
                  "asked": {
                    "by": "Bo",
                    "at_ms": 1795253400250
                  },
                  "passed": [
                    {
                      "milestone": "launched",
                      "at_ms": 1795253460250
                    },
                    {
                      "milestone": "claimed",
                      "at_ms": 1795253520250
                    },
                    {
                      "milestone": "ready",
                      "at_ms": 1795253580250
                    },
                    {
                      "milestone": "stopping",
                      "at_ms": 1795253640250
                    },
                    {
                      "milestone": "saved",
                      "at_ms": 1795253700250
                    },
                    {
                      "milestone": "uploaded",
                      "at_ms": 1795253760250
                    },
                    {
                      "milestone": "archived",
                      "at_ms": 1795253820250
                    },
                    {
                      "milestone": "ended",
                      "at_ms": 1795253880250
                    }
                  ],
                  "attendance": {
                    "span_s": 60,
                    "watched_ms": 3419999,
                    "played_ms": 1800000,
                    "player_ms": 5400000,
                    "unknown_ms": 420000,
                    "curve": "0*20 3*30 ?*7"
                  }
                },
                "outcome": {
                  "is": "slept",
                  "why": {
                    "is": "last_left"
                  },
                  "proof": {
                    "is": "fresh"
                  }
                }
              },
              "past": [
                {
                  "launch": {
                    "generation": 5,
                    "errand": null,
                    "asked": {
                      "by": "Bo",
                      "at_ms": 1795253400250
                    },
                    "passed": [
                      {
                        "milestone": "launched",
                        "at_ms": 1795253460250
                      },
                      {
                        "milestone": "claimed",
                        "at_ms": 1795253520250
                      },
                      {
                        "milestone": "ready",
                        "at_ms": 1795253580250
                      },
                      {
                        "milestone": "stopping",
                        "at_ms": 1795253640250
                      },
                      {
                        "milestone": "saved",
                        "at_ms": 1795253700250
                      },
                      {
                        "milestone": "uploaded",
                        "at_ms": 1795253760250
                      },
                      {
                        "milestone": "archived",
                        "at_ms": 1795253820250
                      },
                      {
                        "milestone": "ended",
                        "at_ms": 1795253880250
                      }
                    ],
                    "attendance": {
                      "span_s": 60,
                      "watched_ms": 3419999,
                      "played_ms": 1800000,
                      "player_ms": 5400000,
                      "unknown_ms": 420000,
                      "curve": "0*20 3*30 ?*7"
                    }
                  },
                  "outcome": {
                    "is": "lost",
                    "reason": "it broke down"
                  }
                }
              ],
              "talk": {
                "place": "123456789",
                "card": "123456789/987",
                "followers": [
                  {
                    "reply": "app/token",
                    "until_ms": 1795254300250
                  }
                ],
                "told": {
                  "generation": 7,
                  "sentence": "a sentence"
                }
              },
              "state": {
                "is": "awake",
                "launch": {
                  "generation": 7,
                  "errand": null,
                  "asked": {
                    "by": "Bo",
                    "at_ms": 1795253400250
                  },
                  "passed": [
                    {
                      "milestone": "launched",
                      "at_ms": 1795253460250
                    },
                    {
                      "milestone": "claimed",
                      "at_ms": 1795253520250
                    },
                    {
                      "milestone": "ready",
                      "at_ms": 1795253580250
                    }
                  ],
                  "attendance": {
                    "span_s": 60,
                    "watched_ms": 3419999,
                    "played_ms": 1800000,
                    "player_ms": 5400000,
                    "unknown_ms": 420000,
                    "curve": "0*20 3*30 ?*7"
                  },
                  "sources": [
                    {
                      "source": "socket tables",
                      "serves": true,
                      "how": "by netlink"
                    },
                    {
                      "source": "packet peers",
                      "serves": false,
                      "how": "CAP_NET_RAW is missing"
                    },
                    {
                      "source": "datagram rate",
                      "serves": true,
                      "how": "yes, instead"
                    },
                    {
                      "source": "game query",
                      "serves": true,
                      "how": "A2S at port 2457"
                    }
                  ]
                },
                "task": "arn:aws:ecs:eu-central-1:111122223333:task/dormouse/0a1b2c",
                "address": {
                  "host": "203.0.113.7",
                  "port": 2456
                },
                "heard": {
                  "at_ms": 1795257000250,
                  "players": {
                    "is": "players",
                    "count": 3
                  },
                  "stops_at_ms": null
                },
                "keep": {
                  "asked": {
                    "by": "Bo",
                    "at_ms": 1795253400250
                  },
                  "until_ms": 1795260600250
                },
                "backup": null,
                "deadline_ms": 1795296600250
              }
            }"#]]
        .assert_eq(&awake());
    }

    #[test]
    fn a_record_without_settings_has_none_chosen_and_no_value_is_shown_by_debug() {
        let world = worlds_in_every_state().into_iter().find(|w| w.name.as_str() == "awake").unwrap();
        let mut record: serde_json::Value = serde_json::from_str(&encode(&world)).unwrap();
        assert!(!format!("{:?} {world:?}", WorldRecord::from(&world)).contains("h\"u'n"));
        record["v"] = 2.into();
        record.as_object_mut().unwrap().remove("settings");
        let old = decode(&record.to_string()).unwrap();
        assert_eq!(old, World { settings: Chosen::default(), ..world });
    }

    /// The fixture is what a program of version 1 wrote, one record a line; it is never written anew.
    #[test]
    fn records_of_version_1_go_on_decoding() {
        let worlds = worlds_in_every_state();
        let mut decoded = 0;
        for record in include_str!("record/v1.jsonl").lines() {
            let world = decode(record).unwrap();
            let vault = |w: &World| Vault {
                kept: w.vault.newest().cloned().into_iter().collect(),
                ..Vault::new(Care::DEFAULT)
            };
            let since = |w: &World| World {
                past: vec![],
                talk: Talk::default(),
                vault: vault(w),
                ..as_of_version_2(w)
            };
            assert!(worlds.iter().any(|w| since(w) == world), "{record}");
            decoded += 1;
        }
        assert_eq!(decoded, 31);
    }

    /// The fixture is what a program of version 2 wrote, one record a line; it is never written anew.
    #[test]
    fn records_of_version_2_go_on_decoding() {
        let worlds: Vec<_> = worlds_in_every_state().iter().map(as_of_version_2).collect();
        let decoded: Vec<_> =
            include_str!("record/v2.jsonl").lines().map(|record| decode(record).unwrap()).collect();
        assert!(decoded.iter().all(|world| worlds.contains(world)));
        assert_eq!(decoded.len(), 50);
    }

    /// Returns `world` without what version 2 did not know.
    fn as_of_version_2(world: &World) -> World {
        let mut world = World { settings: Chosen::default(), ..world.clone() };
        world.vault.links.retain(|link| link.of != LinkOf::AfterNext);
        let forget = |launch: &mut Launch| {
            launch.attendance = Attendance::default();
            launch.sources.clear();
        };
        world.last.iter_mut().chain(&mut world.past).for_each(|session| forget(&mut session.launch));
        if let State::Starting { launch, .. }
        | State::Awake { launch, .. }
        | State::Stopping { launch, .. }
        | State::Ending { launch, .. } = &mut world.state
        {
            forget(launch);
        }
        world
    }

    #[test]
    fn twenty_evenings_at_their_worst_stay_small() {
        let mut world = worlds_in_every_state().into_iter().find(|w| w.name.as_str() == "awake").unwrap();
        let bytes_without = encode(&world).len();
        if let State::Awake { launch, .. } = &mut world.state {
            launch.attendance = longest();
        }
        let mut evening = world.last.clone().unwrap();
        evening.launch.attendance = longest().shrunk(MOST_PAST_SPANS);
        world.past = vec![evening.clone(); MOST_PAST];
        world.last = Some(evening);
        let record = encode(&world);
        assert_eq!(decode(&record), Ok(world));
        expect!["4370 B with two evenings, 24896 B with twenty at their worst"].assert_eq(&format!(
            "{bytes_without} B with two evenings, {} B with twenty at their worst",
            record.len()
        ));
    }

    #[test]
    fn a_newer_record_is_refused_even_if_nothing_else_is_understood() {
        check(
            r#"{"v": 4, "moons": 3}"#,
            expect!["`v`: the record has version 4 and this Dormouse reads up to 3: use the newer one"],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("", expect!["`record`: EOF while parsing a value at line 1 column 0"]);
        check("{}", expect!["`record`: missing field `v` at line 1 column 2"]);
        check(&awake().replace(r#""v": 3"#, r#""v": 0"#), expect!["`v`: no record has version 0"]);
        check(
            &awake().replace(r#""host""#, r#""hots""#),
            expect!["`state`: unknown field `hots`, expected `host` or `port` at line 359 column 1"],
        );
        check(
            &awake().replace("1795253400250", r#""soon""#),
            expect![[r#"`created.at_ms`: invalid type: string "soon", expected i64 at line 9 column 19"#]],
        );
        check(
            &awake().replace("1795253400250", "9223372036854775807"),
            expect![
                "`created.at_ms`: parameter 'Unix timestamp milliseconds' is not in the required range of -377705023201000..=253402207200000"
            ],
        );
        check(
            &awake().replace(r#""by": "Bo""#, r#""by": """#),
            expect!["`created.by`: person `` is not valid: use 1 to 64 printable characters"],
        );
        check(
            &awake().replace(r#""milestone": "ready""#, r#""milestone": "done""#),
            expect!["`last.launch.passed.milestone`: `done` is no milestone"],
        );
        check(
            &awake().replace(r#""name": "awake""#, r#""name": "../etc""#),
            expect![
                "`name`: world name `../etc` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`"
            ],
        );
        check(
            &awake().replace(r#""generation": 7,"#, r#""generation": -7,"#),
            expect!["`generation`: invalid value: integer `-7`, expected u32 at line 22 column 18"],
        );
    }

    #[test]
    fn a_field_that_is_missing_is_not_taken_for_null() {
        check(
            &awake().replace("  \"claimed\": 7,\n", ""),
            expect!["`record`: missing field `claimed` at line 358 column 1"],
        );
        check(
            &awake().replace("\"stops_at_ms\"", "\"stops_at\""),
            expect![
                "`state`: unknown field `stops_at`, expected one of `at_ms`, `players`, `stops_at_ms` at line 359 column 1"
            ],
        );
    }

    /// Returns the record of an awake world, laid out for reading.
    fn awake() -> String {
        let world = worlds_in_every_state().into_iter().find(|w| w.name.as_str() == "awake").unwrap();
        serde_json::to_string_pretty(&WorldRecord::from(&world)).unwrap()
    }

    fn check(record: &str, expected: Expect) {
        expected.assert_eq(&decode(record).unwrap_err().to_string());
    }
}
