//! The front door as its clients see it: requests in, answers out, called in process. The worlds are in memory, the
//! archives in a directory; the worker is the test.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Uri},
};
use domain::{
    game::{Game, Players, Port, Protocol, Ready, Save, Scripts, Signal, Stop},
    idle::Timers,
    ports::{ArchiveStore, Checked, Part, PartPlace},
    settings::{Allow, Change, Kind, Need, Setting},
    sim::Memory,
    world::{Archive, ArchiveId, GameId, Generation, ImportId, SettingName, Sha256},
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use tracing::{field::Field, span, subscriber::NoSubscriber};

use super::*;
use crate::{archive::directory::DirectoryArchive, exports::FrontDoorLinks};

/// What the tests upload, and its SHA-256.
const CONTENT: &str = "PK, a world\n";
const DIGEST: &str = "3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384";

#[tokio::test]
async fn the_way_in_for_watchdogs_leads_to_what_they_use_and_nowhere_else() {
    let bench = Bench::awake().await;
    let asked = async |ask| {
        let router = bench.door.clone().router_for_watchdogs(files::routes(bench.files.clone(), now));
        bench.send_to(router, ask).await.0.status.as_u16()
    };
    assert_eq!(asked(bench.report(1, json!({ "claimed": true, "ready": true }))).await, 200);
    assert_eq!(asked(bench.ticket(1)).await, 200);
    for people in [
        "GET /v1/worlds",
        "POST /v1/worlds/valhalla/stop",
        "GET /healthz",
        "POST /v1/commands {}",
        "GET /x/w1/l1",
    ] {
        assert_eq!(asked(Ask::new(people)).await, 404, "{people}");
    }
}

// A world's life.

#[tokio::test]
async fn a_world_is_made_and_woken() {
    let bench = Bench::new();
    bench
        .check(
            r#"GET /v1/games
             GET /v1/worlds
             POST /v1/worlds {"name":"valhalla","game":"tiny"}
             POST /v1/worlds {"name":"valhalla","game":"tiny"}
             GET /v1/worlds
             POST /v1/worlds/valhalla/keep {"for_s":60}
             POST /v1/worlds/valhalla/export {"for_s":60}
             POST /v1/worlds/valhalla/stop
             POST /v1/worlds/valhalla/start
             +20 bob POST /v1/worlds/valhalla/start
             GET /v1/worlds/valhalla
             DELETE /v1/worlds/valhalla?confirm=valhalla"#,
            expect![[r#"
                > GET /v1/games
                200 games: tiny
                > GET /v1/worlds
                200 worlds: 
                > POST /v1/worlds {"name":"valhalla","game":"tiny"}
                200 `valhalla` is made, a world of Tiny; `world start valhalla` wakes it [asleep]
                > POST /v1/worlds {"name":"valhalla","game":"tiny"}
                409 there is a world `valhalla` already (choose another name, or delete that one first)
                > GET /v1/worlds
                200 worlds: valhalla
                > POST /v1/worlds/valhalla/keep {"for_s":60}
                409 `valhalla` is not awake (start it first: `world start valhalla`)
                > POST /v1/worlds/valhalla/export {"for_s":60}
                409 there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
                > POST /v1/worlds/valhalla/stop
                200 `valhalla` is asleep already [asleep]
                > POST /v1/worlds/valhalla/start
                200 waking `valhalla`, about 40 s to go [waking]
                > +20 bob POST /v1/worlds/valhalla/start
                200 `valhalla` is already waking, asked for by ann 20 s ago, about 20 s to go [waking]
                > GET /v1/worlds/valhalla
                200 `valhalla`: waking, asked for by ann 20 s ago, asking for a task, about 20 s to go [waking]
                > DELETE /v1/worlds/valhalla?confirm=valhalla
                409 `valhalla` is not asleep (stop it first: `world stop valhalla`)
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_world_that_is_awake_is_kept_and_put_to_sleep() {
    let bench = Bench::awake().await;
    bench
        .check(
            r#"GET /v1/worlds/valhalla
             +10 bob POST /v1/worlds/valhalla/start
             POST /v1/worlds/valhalla/keep {"for_s":7200}
             +30 POST /v1/worlds/valhalla/keep {"for_s":999999999}
             GET /v1/worlds/valhalla
             POST /v1/worlds/valhalla/export {"for_s":3600}
             POST /v1/worlds/valhalla/stop
             bob POST /v1/worlds/valhalla/stop
             POST /v1/worlds/valhalla/keep {"for_s":60}
             DELETE /v1/worlds/valhalla?confirm=valhalla
             GET /v1/worlds"#,
            expect![[r#"
                > GET /v1/worlds/valhalla
                200 `valhalla`: awake at play.example.org:30000: 2 players, seen 0 s ago [awake]
                > +10 bob POST /v1/worlds/valhalla/start
                200 `valhalla` is already awake at play.example.org:30000, asked for by ann 15 s ago [awake]
                > POST /v1/worlds/valhalla/keep {"for_s":7200}
                200 `valhalla` is kept awake for 2 h [awake]
                > +30 POST /v1/worlds/valhalla/keep {"for_s":999999999}
                200 `valhalla` is kept awake for 11 h 59 min, which is as long as it may run [awake]
                > GET /v1/worlds/valhalla
                200 `valhalla`: awake at play.example.org:30000: 2 players, seen 40 s ago, kept awake by ann for another 11 h 59 min [awake]
                > POST /v1/worlds/valhalla/export {"for_s":3600}
                200 `valhalla` is being copied and archived while it stays awake; the link w8 works for 1 h as soon as that is done -> http://127.0.0.1:7733/x/w1/w8?signature=eaec6979d283c5f2f8bfb9c3c7c1b45b861a4cdfe5d6fd1bbf748709bb32f86a
                > POST /v1/worlds/valhalla/stop
                200 `valhalla` is going to sleep: saving first (2 players on it) [going to sleep]
                > bob POST /v1/worlds/valhalla/stop
                200 `valhalla` is going to sleep already [going to sleep]
                > POST /v1/worlds/valhalla/keep {"for_s":60}
                409 `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
                > DELETE /v1/worlds/valhalla?confirm=valhalla
                409 `valhalla` is not asleep (stop it first: `world stop valhalla`)
                > GET /v1/worlds
                200 worlds: valhalla
            "#]],
        )
        .await;
}

#[tokio::test]
async fn an_archived_world_is_exported_and_deleted() {
    let bench = Bench::archived().await;
    bench
        .check(
            r#"GET /v1/worlds/valhalla
             POST /v1/worlds/valhalla/export {"for_s":3600}
             POST /v1/worlds/valhalla/export {"for_s":1}
             DELETE /v1/worlds/valhalla
             DELETE /v1/worlds/valhalla?confirm=midgard
             DELETE /v1/worlds/valhalla?confirm=valhalla
             GET /v1/worlds
             GET /v1/worlds/valhalla"#,
            expect![[r#"
                > GET /v1/worlds/valhalla
                200 `valhalla`: asleep: saved and archived, since the last player has left [asleep]
                > POST /v1/worlds/valhalla/export {"for_s":3600}
                200 `valhalla`: 20261121-093005-000-g1 12 B, 0 s ago, when it went to sleep; the link w5 works for 1 h -> http://127.0.0.1:7733/x/w1/w5?signature=4ff7b88d67b651cd433dfeaf0b2666ca97100776674d978f368451b923d9f015
                > POST /v1/worlds/valhalla/export {"for_s":1}
                400 a link cannot last 1 s (choose 1 minute to 30 days)
                > DELETE /v1/worlds/valhalla
                409 deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
                > DELETE /v1/worlds/valhalla?confirm=midgard
                409 deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
                > DELETE /v1/worlds/valhalla?confirm=valhalla
                200 {"text":"`valhalla` is being deleted; its archive 20261121-093005-000-g1 is kept for 30 days","world":{"name":"valhalla","id":"w1","game":"tiny","state":"deleted","status":"being deleted, asked for by ann 0 s ago","address":null,"players":null,"seen_s_ago":null,"weak_sight":null,"stops_in_s":null,"generation":1,"launch":null,"last":{"generation":1,"asked_by":"ann","asked_at":"2026-11-21T09:30:00Z","milestones":[{"name":"launched","at":"2026-11-21T09:30:00Z","after_ms":0},{"name":"claimed","at":"2026-11-21T09:30:05Z","after_ms":5000},{"name":"ready","at":"2026-11-21T09:30:05Z","after_ms":5000},{"name":"stopping","at":"2026-11-21T10:30:05Z","after_ms":3605000},{"name":"saved","at":"2026-11-21T10:30:05Z","after_ms":3605000},{"name":"uploaded","at":"2026-11-21T10:30:05Z","after_ms":3605000},{"name":"archived","at":"2026-11-21T10:30:05Z","after_ms":3605000},{"name":"ended","at":"2026-11-21T10:30:05Z","after_ms":3605000}],"outcome":"saved and archived, since the last player has left","is_well":true,"attendance":null,"sources":[]},"archive":{"id":"20261121-093005-000-g1","generation":1,"size":12,"sha256":"3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384"},"archives":1,"archived_bytes":12,"is_archived":true,"storage":"directory","timers":{"never_joined_s":900,"last_left_s":600,"warning_s":120,"afk_s":0,"cap_s":43200},"settings":{}},"link":{"id":"w9","url":"http://127.0.0.1:7733/x/w1/w9?signature=48d52966cc3d76dee2a60c63e2b21792220beafbca0f2197e3c22d7d18b4b404","expires":"2026-12-21T10:30:05Z","archive":{"id":"20261121-093005-000-g1","generation":1,"size":12,"sha256":"3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384"},"downloads":0,"text":"`valhalla`: 20261121-093005-000-g1 12 B, 0 s ago, when it went to sleep; the link w9 works for 30 d"}}
                > GET /v1/worlds
                200 worlds: valhalla
                > GET /v1/worlds/valhalla
                200 `valhalla`: being deleted, asked for by ann 0 s ago [deleted]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_world_reads_as_this_json() {
    let bench = Bench::archived().await;
    let (_, world) = bench.send(Ask::new("GET /v1/worlds/valhalla")).await;
    expect![[r#"
        {
          "text": "`valhalla`: asleep: saved and archived, since the last player has left",
          "world": {
            "address": null,
            "archive": {
              "generation": 1,
              "id": "20261121-093005-000-g1",
              "sha256": "3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384",
              "size": 12
            },
            "archived_bytes": 12,
            "archives": 1,
            "game": "tiny",
            "generation": 1,
            "id": "w1",
            "is_archived": true,
            "last": {
              "asked_at": "2026-11-21T09:30:00Z",
              "asked_by": "ann",
              "attendance": null,
              "generation": 1,
              "is_well": true,
              "milestones": [
                {
                  "after_ms": 0,
                  "at": "2026-11-21T09:30:00Z",
                  "name": "launched"
                },
                {
                  "after_ms": 5000,
                  "at": "2026-11-21T09:30:05Z",
                  "name": "claimed"
                },
                {
                  "after_ms": 5000,
                  "at": "2026-11-21T09:30:05Z",
                  "name": "ready"
                },
                {
                  "after_ms": 3605000,
                  "at": "2026-11-21T10:30:05Z",
                  "name": "stopping"
                },
                {
                  "after_ms": 3605000,
                  "at": "2026-11-21T10:30:05Z",
                  "name": "saved"
                },
                {
                  "after_ms": 3605000,
                  "at": "2026-11-21T10:30:05Z",
                  "name": "uploaded"
                },
                {
                  "after_ms": 3605000,
                  "at": "2026-11-21T10:30:05Z",
                  "name": "archived"
                },
                {
                  "after_ms": 3605000,
                  "at": "2026-11-21T10:30:05Z",
                  "name": "ended"
                }
              ],
              "outcome": "saved and archived, since the last player has left",
              "sources": []
            },
            "launch": null,
            "name": "valhalla",
            "players": null,
            "seen_s_ago": null,
            "settings": {},
            "state": "asleep",
            "status": "asleep: saved and archived, since the last player has left",
            "stops_in_s": null,
            "storage": "directory",
            "timers": {
              "afk_s": 0,
              "cap_s": 43200,
              "last_left_s": 600,
              "never_joined_s": 900,
              "warning_s": 120
            },
            "weak_sight": null
          }
        }"#]]
    .assert_eq(&format!("{:#}", serde_json::from_str::<Value>(&world).unwrap()));
}

#[tokio::test]
async fn who_was_on_is_shown_while_it_is_awake_and_with_its_session() {
    let bench = Bench::awake().await;
    let attendance = json!({
        "span_s": 60, "watched_ms": 245_000, "played_ms": 120_500, "player_ms": 180_700, "unknown_ms": 60_000,
        "curve": "0 ? 1*2 2",
    });
    let sources = json!([
        { "source": "socket tables", "serves": true, "how": "by netlink" },
        { "source": "packet peers", "serves": false, "how": "CAP_NET_RAW is missing" },
        { "source": "datagram rate", "serves": true, "how": "yes, instead" },
    ]);
    let shown = async |of: &str| {
        let (_, world) = bench.send(Ask::new("GET /v1/worlds/valhalla")).await;
        let world: Value = serde_json::from_str(&world).unwrap();
        let (launch, weak) = (&world["world"][of], &world["world"]["weak_sight"]);
        format!("{}\n{}\n{weak}\n", launch["attendance"], launch["sources"])
    };
    let seen = json!({ "players": { "is": "empty" }, "stops_in_s": null });
    let awake =
        json!({ "claimed": true, "ready": true, "seen": seen, "attendance": attendance, "sources": sources });
    bench.short(bench.report(1, awake)).await;
    let mut said = shown("launch").await;
    let nonsense = json!({ "curve": "65535*99999999", "span_s": 1, "watched_ms": 1, "played_ms": 1,
        "player_ms": 1, "unknown_ms": 1 });
    let awake =
        json!({ "claimed": true, "ready": true, "seen": seen, "attendance": nonsense, "sources": [] });
    said += &bench.short(bench.report(1, awake)).await;
    said += "\n";
    said += &shown("launch").await;
    bench.memory.end_task(&domain::world::TaskId::parse("w1.1").unwrap(), domain::event::Gone::Exited);
    bench.door.driver.sweep(now()).await.unwrap();
    said += &shown("last").await;
    expect![[r#"
        {"curve":[0,null,1,1,2],"drawn":"·?▂▂▄","peak":2,"played_s":120,"player_s":180,"span_s":60,"text":"up to 2 players seen, at least 2 min of 4 min 5 s (3 min added up), unknown for 1 min","unknown_s":60,"watched_s":245}
        [{"how":"by netlink","serves":true,"source":"socket tables"},{"how":"CAP_NET_RAW is missing","serves":false,"source":"packet peers"},{"how":"yes, instead","serves":true,"source":"datagram rate"}]
        "players are guessed from the datagram rate, since there are no packet peers (CAP_NET_RAW is missing)"
        200 {"v":2,"orders":{"is":"run","keep_for_s":0,"backup":null}}
        {"curve":[0,null,1,1,2],"drawn":"·?▂▂▄","peak":2,"played_s":120,"player_s":180,"span_s":60,"text":"up to 2 players seen, at least 2 min of 4 min 5 s (3 min added up), unknown for 1 min","unknown_s":60,"watched_s":245}
        [{"how":"by netlink","serves":true,"source":"socket tables"},{"how":"CAP_NET_RAW is missing","serves":false,"source":"packet peers"},{"how":"yes, instead","serves":true,"source":"datagram rate"}]
        "players are guessed from the datagram rate, since there are no packet peers (CAP_NET_RAW is missing)"
        {"curve":[0,null,1,1,2],"drawn":"·?▂▂▄","peak":2,"played_s":120,"player_s":180,"span_s":60,"text":"up to 2 players seen, at least 2 min of 4 min 5 s (3 min added up), unknown for 1 min","unknown_s":60,"watched_s":245}
        []
        null
    "#]].assert_eq(&said);
}

// What makes no sense.

#[tokio::test]
async fn a_body_that_is_none_is_refused_with_what_is_wrong() {
    let bench = Bench::new();
    bench
        .check(
            r#"POST /v1/worlds
             POST /v1/worlds {
             POST /v1/worlds []
             POST /v1/worlds {"name":"valhalla"}
             POST /v1/worlds {"name":7,"game":"tiny"}
             POST /v1/worlds {"name":"valhalla","game":"tiny","colour":"red"}
             POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap":"1h"}}
             POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":-1}}
             POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":1}}
             POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":18446744073709551615}}
             POST /v1/worlds {"name":"valhalla","game":"tiny","port":65536}
             POST /v1/worlds {"name":"valhalla","game":"tiny","port":65535}
             POST /v1/worlds/valhalla/keep {"for":"1h"}
             GET /v1/worlds"#,
            expect![[r#"
                > POST /v1/worlds
                400 Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 0 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {
                400 Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1 (send what docs/api.md says, as application/json)
                > POST /v1/worlds []
                422 Failed to deserialize the JSON body into the target type: invalid length 0, expected struct CreateRequest with 6 elements at line 1 column 2 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla"}
                422 Failed to deserialize the JSON body into the target type: missing field `game` at line 1 column 19 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":7,"game":"tiny"}
                422 Failed to deserialize the JSON body into the target type: name: invalid type: integer `7`, expected a string at line 1 column 9 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","colour":"red"}
                422 Failed to deserialize the JSON body into the target type: colour: unknown field `colour`, expected one of `name`, `game`, `settings`, `timers`, `port`, `storage` at line 1 column 41 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap":"1h"}}
                422 Failed to deserialize the JSON body into the target type: timers.cap: unknown field `cap`, expected one of `never_joined_s`, `last_left_s`, `warning_s`, `afk_s`, `cap_s` at line 1 column 48 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":-1}}
                422 Failed to deserialize the JSON body into the target type: timers.cap_s: invalid value: integer `-1`, expected u64 at line 1 column 53 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":1}}
                400 `cap` is 1 s: use 30 s to 604800 s (nothing was made)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","timers":{"cap_s":18446744073709551615}}
                400 `cap` is 18446744073709551615 s: use 30 s to 604800 s (nothing was made)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","port":65536}
                422 Failed to deserialize the JSON body into the target type: port: invalid value: integer `65536`, expected u16 at line 1 column 45 (send what docs/api.md says, as application/json)
                > POST /v1/worlds {"name":"valhalla","game":"tiny","port":65535}
                400 port 65535 leaves no room for the ports of Tiny (choose one from 1024 to 65000)
                > POST /v1/worlds/valhalla/keep {"for":"1h"}
                422 Failed to deserialize the JSON body into the target type: for: unknown field `for`, expected `for_s` at line 1 column 6 (send what docs/api.md says, as application/json)
                > GET /v1/worlds
                200 worlds: 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let bench = Bench::new();
    let ask =
        Ask::new(r#"POST /v1/worlds {"name":"valhalla","game":"tiny"}"#).header("content-type", "text/plain");
    expect!["415 Expected request with `Content-Type: application/json` (send what docs/api.md says, as application/json)"]
        .assert_eq(&bench.short(ask).await);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let bench = Bench::new();
    bench
        .check(
            r#"POST /v1/worlds {"name":"valhalla","game":"tetris"}
             GET /v1/worlds/midgard
             POST /v1/worlds/midgard/start
             POST /v1/worlds/midgard/stop
             POST /v1/worlds/midgard/keep {"for_s":60}
             POST /v1/worlds/midgard/export {"for_s":60}
             DELETE /v1/worlds/midgard?confirm=midgard"#,
            expect![[r#"
                > POST /v1/worlds {"name":"valhalla","game":"tetris"}
                404 there is no game `tetris` (there are: tiny)
                > GET /v1/worlds/midgard
                404 there is no world `midgard` (`world list` shows those that are there)
                > POST /v1/worlds/midgard/start
                404 there is no world `midgard` (`world list` shows those that are there)
                > POST /v1/worlds/midgard/stop
                404 there is no world `midgard` (`world list` shows those that are there)
                > POST /v1/worlds/midgard/keep {"for_s":60}
                404 there is no world `midgard` (`world list` shows those that are there)
                > POST /v1/worlds/midgard/export {"for_s":60}
                404 there is no world `midgard` (`world list` shows those that are there)
                > DELETE /v1/worlds/midgard?confirm=midgard
                404 there is no world `midgard` (`world list` shows those that are there)
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_names_no_other_place() {
    let bench = Bench::new();
    let long = "a".repeat(5000);
    bench
        .check(
            &format!(
                r#"POST /v1/worlds {{"name":"../valhalla","game":"tiny"}}
                 POST /v1/worlds {{"name":"valhalla","game":"../../etc/passwd"}}
                 POST /v1/worlds {{"name":"","game":"tiny"}}
                 POST /v1/worlds {{"name":"Valhalla","game":"tiny"}}
                 POST /v1/worlds {{"name":"val\u0000\u001b[31m","game":"tiny"}}
                 POST /v1/worlds {{"name":"{long}","game":"tiny"}}
                 GET /v1/worlds/{long}
                 GET /v1/worlds/val/halla
                 GET /v1/worlds/val%2Fhalla
                 GET /v1/worlds/%2e%2e%2fgames
                 GET /v1/worlds/..
                 GET /v1/worlds/v%61lhalla
                 GET /v1/worlds/%ff
                 GET /v1/worlds/
                 POST /v1/worlds//start"#
            ),
            expect![[r#"
                > POST /v1/worlds {"name":"../valhalla","game":"tiny"}
                400 world name `../valhalla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > POST /v1/worlds {"name":"valhalla","game":"../../etc/passwd"}
                400 game `../../etc/passwd` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valheim` (nothing was changed)
                > POST /v1/worlds {"name":"","game":"tiny"}
                400 world name `` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > POST /v1/worlds {"name":"Valhalla","game":"tiny"}
                400 world name `Valhalla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > POST /v1/worlds {"name":"val\u0000\u001b[31m","game":"tiny"}
                400 world name `val\0\u{1b}[31m` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > POST /v1/worlds {"name":"…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","game":"tiny"}
                400 world name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > GET /v1/worlds/…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
                400 world name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > GET /v1/worlds/val/halla
                404 there is no such page (see the list at the head of docs/api.md)
                > GET /v1/worlds/val%2Fhalla
                400 world name `val/halla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > GET /v1/worlds/%2e%2e%2fgames
                400 world name `../games` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > GET /v1/worlds/..
                400 world name `..` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
                > GET /v1/worlds/v%61lhalla
                404 there is no world `valhalla` (`world list` shows those that are there)
                > GET /v1/worlds/%ff
                400 Invalid URL: Invalid UTF-8 in `name` (see the list at the head of docs/api.md)
                > GET /v1/worlds/
                404 there is no such page (see the list at the head of docs/api.md)
                > POST /v1/worlds//start
                400 world name `` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_body_of_more_than_64_kib_is_not_read() {
    let bench = Bench::new();
    let name = "a".repeat(LARGEST_BODY);
    let worlds = format!("POST /v1/worlds {{\"name\":\"{name}\",\"game\":\"tiny\"}}");
    expect!["413 a body of more than 64 KiB (send what docs/api.md says)"]
        .assert_eq(&bench.short(Ask::new(&worlds)).await);
    let reports = format!("POST /v1/reports {{\"world\":\"{name}\"}}");
    expect!["413 a body of more than 64 KiB (send what docs/api.md says)"]
        .assert_eq(&bench.short(Ask::new(&reports)).await);
}

#[tokio::test]
async fn what_is_no_page_is_said_in_json() {
    let bench = Bench::new();
    bench
        .check(
            r#"GET /healthz
             GET /
             GET /v2/worlds
             GET /v1/worlds/valhalla/start
             PUT /v1/worlds
             DELETE /healthz
             POST /v1/tickets/w1/first
             GET /archives/w1/a1.zip
             GET /archives/w1/a1.zip?expires=soon&signature=x
             DELETE /v1/worlds/valhalla?confirm=a&confirm=b"#,
            expect![[r#"
                > GET /healthz
                200 {"ok":true}
                > GET /
                404 there is no such page (see the list at the head of docs/api.md)
                > GET /v2/worlds
                404 there is no such page (see the list at the head of docs/api.md)
                > GET /v1/worlds/valhalla/start
                405 method not allowed (see the list at the head of docs/api.md)
                > PUT /v1/worlds
                405 method not allowed (see the list at the head of docs/api.md)
                > DELETE /healthz
                405 method not allowed (see the list at the head of docs/api.md)
                > POST /v1/tickets/w1/first
                400 Invalid URL: Cannot parse value at index 1 with value `first` to a `u32` (see the list at the head of docs/api.md)
                > GET /archives/w1/a1.zip
                400 Failed to deserialize query string: missing field `expires` (see the list at the head of docs/api.md)
                > GET /archives/w1/a1.zip?expires=soon&signature=x
                400 Failed to deserialize query string: expires: invalid digit found in string (see the list at the head of docs/api.md)
                > DELETE /v1/worlds/valhalla?confirm=a&confirm=b
                400 Failed to deserialize query string: duplicate field `confirm` (see the list at the head of docs/api.md)
            "#]],
        )
        .await;
    let (response, _) = bench.send(Ask::new("PUT /v1/worlds")).await;
    assert_eq!(response.headers.get("allow").unwrap(), "GET,HEAD,POST");
}

// Who asks.

#[tokio::test]
async fn whoever_asks_is_called_by_the_name_that_they_give() {
    let bench = Bench::new();
    bench.say(r#"POST /v1/worlds {"name":"valhalla","game":"tiny"}"#).await;
    let by = async |name: &[u8]| {
        let ask = Ask::new("GET /v1/worlds").header("dormouse-by", name);
        bench.short(ask).await
    };
    assert_eq!(by("Zoë".as_bytes()).await, by(b"ann").await);
    let bad = [by(b"").await, by(b"a\tb").await, by(&[b'x'; 65]).await];
    expect![[r#"
        400 person `` is not valid: use 1 to 64 printable characters (nothing was changed)
        400 person `a\tb` is not valid: use 1 to 64 printable characters (nothing was changed)
        400 person `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is not valid: use 1 to 64 printable characters (nothing was changed)"#]].assert_eq(&bad.join("\n"));
    bench.short(Ask::new("POST /v1/worlds/valhalla/start").header("dormouse-by", "Zoë")).await;
    expect!["200 `valhalla` is already waking, asked for by Zoë 0 s ago, about 40 s to go [waking]"]
        .assert_eq(&bench.say("POST /v1/worlds/valhalla/start").await);
    let nobody = Ask { headers: vec![], ..Ask::new("GET /v1/worlds") }.header("host", "localhost");
    assert!(bench.short(nobody).await.starts_with("200"));
}

#[tokio::test]
async fn only_programs_on_this_machine_come_in_where_there_is_no_token() {
    let bench = Bench::new();
    for host in ["localhost", "localhost:7733", "127.0.0.1:7733", "[::1]:7733", "[::1]"] {
        assert_eq!(
            bench.short(Ask::new("GET /v1/worlds").header("host", host)).await,
            "200 worlds: ",
            "{host}"
        );
    }
    for peer in [
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        IpAddr::from([127, 9, 9, 9]),
    ] {
        let ask = Ask { peer: Some(peer), ..Ask::new("GET /v1/worlds") };
        assert_eq!(bench.short(ask).await, "200 worlds: ", "{peer}");
    }
    let ask = || Ask::new("GET /v1/worlds");
    let strangers = [
        ("rebound name", ask().header("host", "dormouse.evil.example:7733")),
        ("name that begins like ours", ask().header("host", "localhost.evil.example")),
        ("no host", Ask { headers: vec![], ..ask() }),
        ("web page", ask().header("origin", "https://evil.example")),
        ("web page of our own", ask().header("origin", "http://127.0.0.1:7733")),
        ("page without origin", ask().header("origin", "null")),
        ("other machine", Ask { peer: Some([10, 77, 0, 11].into()), ..ask() }),
        ("unknown peer", Ask { peer: None, ..ask() }),
    ];
    for (who, ask) in strangers {
        let said = bench.short(ask).await;
        assert!(
            said.starts_with("401 this control plane answers only programs on its own machine"),
            "{who}: {said}"
        );
    }
    let stranger = ask().header("origin", "null");
    expect!["401 this control plane answers only programs on its own machine, which reach it as 127.0.0.1 or localhost (for others, run `dormouse up --listen 0.0.0.0:7733` and use the token that it names)"]
        .assert_eq(&bench.short(stranger).await);
}

#[tokio::test]
async fn whoever_knows_the_token_comes_in_from_anywhere() {
    let bench = Bench::with_access(Access::Token("open-sesame".into()));
    let from_afar = || {
        let ask = Ask { peer: Some([203, 0, 113, 7].into()), ..Ask::new("GET /v1/worlds") };
        ask.header("host", "play.example.org").header("origin", "https://play.example.org")
    };
    assert_eq!(bench.short(from_afar().header("authorization", "Bearer open-sesame")).await, "200 worlds: ");
    let wrong = [
        "Bearer open-sesam",
        "Bearer open-sesame2",
        "Bearer ",
        "Bearer",
        "open-sesame",
        "Basic open-sesame",
        "",
    ];
    let refused = bench.short(from_afar()).await;
    expect!["401 this needs the control plane's token (give it with --token-file or DORMOUSE_API_TOKEN; `dormouse up` says where it is)"].assert_eq(&refused);
    for wrong in wrong {
        assert_eq!(bench.short(from_afar().header("authorization", wrong)).await, refused, "{wrong}");
    }
    // Nor does it matter that somebody is on this machine.
    assert_eq!(bench.say("GET /v1/games").await, refused);
    assert_eq!(bench.say("GET /healthz").await, "200 {\"ok\":true}");
}

// Watchdogs.

#[tokio::test]
async fn a_report_is_answered_with_orders() {
    let bench = Bench::awake().await;
    let report = async |seconds: u64, change: Value| {
        bench.wait(seconds);
        bench.short(bench.report(1, change)).await
    };
    let awake = json!({ "claimed": true, "ready": true });
    expect![[r#"200 {"v":2,"orders":{"is":"run","keep_for_s":0,"backup":null}}"#]]
        .assert_eq(&report(0, awake.clone()).await);
    bench.say(r#"POST /v1/worlds/valhalla/keep {"for_s":600}"#).await;
    expect![[r#"200 {"v":2,"orders":{"is":"run","keep_for_s":540,"backup":null}}"#]]
        .assert_eq(&report(60, awake.clone()).await);
    bench.say("POST /v1/worlds/valhalla/stop").await;
    expect![[r#"200 {"v":2,"orders":{"is":"stop"}}"#]].assert_eq(&report(1, awake).await);
}

#[tokio::test]
async fn a_report_without_the_token_of_its_launch_is_refused_and_changes_nothing() {
    let bench = Bench::awake().await;
    let token = |world: &str, generation| bench.door.secret.launch_token(&id(world), Generation(generation));
    let saved = json!({ "saved": { "is": "fresh" }, "stopping": { "is": "last_left" } });
    let tokens = [
        ("none", None),
        ("wrong", Some("Bearer 0123456789abcdef".to_owned())),
        ("other launch", Some(format!("Bearer {}", token("w1", 2)))),
        ("other world", Some(format!("Bearer {}", token("w2", 1)))),
        ("no bearer", Some(token("w1", 1))),
    ];
    let mut said = String::new();
    for (name, token) in tokens {
        let mut ask = bench.report(1, saved.clone());
        ask.headers.retain(|(header, _)| header != "authorization");
        let ask = token.map_or(ask.clone(), |token| ask.header("authorization", token));
        said += &format!("{name}: {}\n", bench.short(ask).await);
    }
    expect![[r#"
        none: 401 this is not the launch's token (the launch shall end)
        wrong: 401 this is not the launch's token (the launch shall end)
        other launch: 401 this is not the launch's token (the launch shall end)
        other world: 401 this is not the launch's token (the launch shall end)
        no bearer: 401 this is not the launch's token (the launch shall end)
    "#]]
    .assert_eq(&said);
    expect!["200 `valhalla`: awake at play.example.org:30000: 2 players, seen 0 s ago [awake]"]
        .assert_eq(&bench.say("GET /v1/worlds/valhalla").await);
}

#[tokio::test]
async fn a_launch_that_is_not_the_current_one_is_abandoned() {
    let bench = Bench::archived().await;
    bench.say("POST /v1/worlds/valhalla/start").await;
    let old = json!({ "claimed": true, "ready": true, "seen": { "players": { "is": "players", "n": 9 }, "stops_in_s": null } });
    expect![[r#"200 {"v":2,"orders":{"is":"abandon"}}"#]]
        .assert_eq(&bench.short(bench.report(1, old.clone())).await);
    expect!["409 launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)"]
        .assert_eq(&bench.short(bench.ticket(1)).await);
    expect!["200 `valhalla`: waking, asked for by ann 0 s ago, asking for a task, about 5 s to go [waking]"]
        .assert_eq(&bench.say("GET /v1/worlds/valhalla").await);
    let unknown = bench.door.secret.launch_token(&id("w7"), Generation(1));
    let mut ask = bench.report(1, json!({ "world": "w7" }));
    ask = ask.header("authorization", format!("Bearer {unknown}"));
    expect![[r#"200 {"v":2,"orders":{"is":"abandon"}}"#]].assert_eq(&bench.short(ask).await);
}

#[tokio::test]
async fn a_report_that_is_none_is_refused_with_what_is_wrong() {
    let bench = Bench::awake().await;
    let mut said = String::new();
    for change in [
        json!({ "v": 2 }),
        json!({ "v": 0 }),
        json!({ "world": "../w1" }),
        json!({ "task": "" }),
        json!({ "port": -1 }),
        json!({ "stopping": { "is": "bored" } }),
        json!({ "uploaded": { "id": "../../etc", "size": 1, "sha256": DIGEST } }),
        json!({ "uploaded": { "id": "a1", "size": 1, "sha256": "12" } }),
    ] {
        said += &format!("{change}: {}\n", bench.short(bench.report(1, change.clone())).await);
    }
    expect![[r#"
        {"v":2}: 200 {"v":2,"orders":{"is":"run","keep_for_s":0,"backup":null}}
        {"v":0}: 400 report version 0 is not supported: use 1 to 2 (upgrade the watchdog)
        {"world":"../w1"}: 400 world id `../w1` is not valid: use 1 to 40 lower-case letters, digits and hyphens (upgrade the watchdog)
        {"task":""}: 400 task id `` is not valid: use 1 to 256 printable ASCII characters (upgrade the watchdog)
        {"port":-1}: 422 Failed to deserialize the JSON body into the target type: port: invalid value: integer `-1`, expected u16 at line 1 column 63 (upgrade the watchdog)
        {"stopping":{"is":"bored"}}: 422 Failed to deserialize the JSON body into the target type: stopping.is: unknown variant `bored`, expected one of `told`, `never_joined`, `last_left`, `cap`, `never_ready`, `all_away`, `deaf`, `unresponsive`, `game_ended`, `reclaimed` at line 1 column 150 (upgrade the watchdog)
        {"uploaded":{"id":"../../etc","sha256":"3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384","size":1}}: 400 archive id `../../etc` is not valid: use 1 to 64 lower-case letters, digits and hyphens (upgrade the watchdog)
        {"uploaded":{"id":"a1","sha256":"12","size":1}}: 400 SHA-256 `12` is not valid: use 64 hexadecimal digits (upgrade the watchdog)
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn a_ticket_is_for_the_launch_that_asks() {
    let bench = Bench::awake().await;
    expect![[r#"200 {"upload":{"id":"20261121-093005-000-g1","key":"directory"},"url":"http://127.0.0.1:7733/v1/uploads/w1/20261121-093005-000-g1/1?length=12&expires=1795264205000&signature=8e50df8a3986aa3a3df3e991acaf9b922ed6249fd1365010f9d1342b9d76c6b7"}"#]].assert_eq(&bench.short(bench.ticket(1)).await);
    let wish = |wish: &str| Ask { body: wish.to_owned(), ..bench.ticket(1) };
    let second =
        r#"{"upload":{"id":"20261121-093005-000-g1","key":"directory"},"number":2,"length":1,"last":true}"#;
    let mut said = bench.short(wish(second)).await + "\n";
    for wrong in [
        "",
        "{}",
        r#"{"upload":null,"number":-1,"length":12,"last":true}"#,
        r#"{"upload":null,"number":0,"length":12,"last":true}"#,
        r#"{"upload":null,"number":1,"length":12,"last":false}"#,
        r#"{"upload":null,"number":9999,"length":12,"last":true}"#,
        r#"{"upload":{"id":"../a","key":"k"},"number":1,"length":12,"last":true}"#,
        r#"{"upload":{"id":"a-g1","key":""},"number":1,"length":12,"last":true}"#,
        r#"{"upload":{"id":"a-g2","key":"k"},"number":1,"length":12,"last":true}"#,
    ] {
        said += &format!("{wrong}: {}\n", bench.short(wish(wrong)).await);
    }
    expect![[r#"
        200 {"upload":{"id":"20261121-093005-000-g1","key":"directory"},"url":"http://127.0.0.1:7733/v1/uploads/w1/20261121-093005-000-g1/2?length=1&expires=1795264205000&signature=31e79d179dee024ad084ac45588baca16ecd18ffd8c0d44bb0db15c9d1946c1f"}
        : 400 this is no wish for a ticket: EOF while parsing a value at line 1 column 0 (upgrade the watchdog)
        {}: 400 this is no wish for a ticket: missing field `number` at line 1 column 2 (upgrade the watchdog)
        {"upload":null,"number":-1,"length":12,"last":true}: 400 this is no wish for a ticket: invalid value: integer `-1`, expected u32 at line 1 column 26 (upgrade the watchdog)
        {"upload":null,"number":0,"length":12,"last":true}: 400 part 0 is not valid: use 1 to 10000 (upgrade the watchdog)
        {"upload":null,"number":1,"length":12,"last":false}: 400 a part of 12 bytes is not valid: use 12582912, and 1 to 12582912 for the last one (upgrade the watchdog)
        {"upload":null,"number":9999,"length":12,"last":true}: 413 an archive of 125803954188 bytes is larger than the 107374182400 that are received (make the world smaller)
        {"upload":{"id":"../a","key":"k"},"number":1,"length":12,"last":true}: 400 archive id `../a` is not valid: use 1 to 64 lower-case letters, digits and hyphens (upgrade the watchdog)
        {"upload":{"id":"a-g1","key":""},"number":1,"length":12,"last":true}: 400 the key of the upload is not valid: use the one of the last ticket (upgrade the watchdog)
        {"upload":{"id":"a-g2","key":"k"},"number":1,"length":12,"last":true}: 503 archive a-g2 is not one of launch 1 (report again)
    "#]].assert_eq(&said);
    let foreign = bench.ticket(2).header("authorization", "Bearer x");
    expect!["401 this is not the launch's token (the launch shall end)"]
        .assert_eq(&bench.short(foreign).await);
}

#[tokio::test]
async fn what_is_logged_about_a_launch_names_its_world_and_generation() {
    let (bench, spans) = (Bench::awake().await, Spans::default());
    // Of a new call site, tracing asks only the thread that comes by first whether it listens, which may be another
    // test's, unless there are two subscribers.
    let _second = tracing::Dispatch::new(NoSubscriber::default());
    let logging = tracing::subscriber::set_default(spans.clone());
    bench.short(bench.report(1, json!({}))).await;
    bench.short(bench.ticket(1)).await;
    bench.short(bench.ticket(2).header("authorization", "Bearer x")).await;
    drop(logging);
    let spans = spans.0.lock().unwrap();
    let ours = spans.iter().filter(|span| span.starts_with("report") || span.starts_with("ticket"));
    expect![[r#"
        report world="w1" generation=1
        ticket world="w1" generation=1"#]]
    .assert_eq(&ours.map(String::as_str).collect::<Vec<_>>().join("\n"));
}

/// The spans that were begun, with their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Spans {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut said = span.metadata().name().to_owned();
        span.record(&mut |field: &Field, value: &dyn fmt::Debug| said += &format!(" {field}={value:?}"));
        self.0.lock().unwrap().push(said);
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

// Archives.

#[tokio::test]
async fn an_upload_needs_a_ticket_that_holds() {
    let bench = Bench::awake().await;
    let part = Part { of: None, number: 1, length: CONTENT.len() as u64, place: PartPlace::Last };
    let ticket = bench.files.ticket(&id("w1"), Generation(1), &part, now()).await.unwrap();
    let path = ticket.url.strip_prefix("http://127.0.0.1:7733").unwrap().to_owned();
    let (bare, _) = path.split_once('?').unwrap();
    let mut said = String::new();
    for (name, path) in [
        ("other archive", path.replace("-g1/", "-g2/")),
        ("other part", path.replace("-g1/1", "-g1/2")),
        ("other length", path.replace("length=12", "length=13")),
        ("other world", path.replace("/w1/", "/w2/")),
        ("other end", path.replace("expires=1", "expires=2")),
        ("other signature", path.replace("signature=", "signature=0")),
        ("no signature", bare.to_owned()),
        ("no number", path.replace("-g1/1", "-g1/first")),
        ("other place", "/v1/uploads/..%2fw1/a1/1?length=1&expires=1&signature=x".into()),
    ] {
        said += &format!("{name}: {}\n", bench.say(&format!("PUT {path} {CONTENT}")).await);
    }
    for (name, content) in
        [("too long", &[CONTENT, "!"].concat()[..]), ("too short", "PK"), ("good", CONTENT)]
    {
        said += &format!("{name}: {}\n", bench.say(&format!("PUT {path} {content}")).await);
    }
    assert_eq!(bench.files.check(&id("w1"), &archive(ticket.upload.id)).await, Ok(Checked::Whole));
    said += &format!("once more: {}\n", bench.say(&format!("PUT {path} {CONTENT}")).await);
    bench.wait(4 * 60 * 60);
    said += &format!("late: {}\n", bench.say(&format!("PUT {path} {CONTENT}")).await);
    expect![[r#"
        other archive: 403 the link is not valid (ask for another link)
        other part: 403 the link is not valid (ask for another link)
        other length: 403 the link is not valid (ask for another link)
        other world: 403 the link is not valid (ask for another link)
        other end: 403 the link is not valid (ask for another link)
        other signature: 403 the link is not valid (ask for another link)
        no signature: 400 Failed to deserialize query string: missing field `length` (see the list at the head of docs/api.md)
        no number: 400 Invalid URL: Cannot parse value at index 2 with value `first` to a `u32` (see the list at the head of docs/api.md)
        other place: 400 world id `../w1` is not valid: use 1 to 40 lower-case letters, digits and hyphens (nothing was changed)
        too long: 400 the part does not have 12 bytes (send it again)
        too short: 400 the part does not have 12 bytes (send it again)
        good: 200 {"length":12,"number":1}
        once more: 409 the archive is complete (there is nothing left to send)
        late: 410 the link has expired (ask for another link)
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn a_file_to_import_is_sent_and_fetched_by_whoever_has_the_link() {
    let bench = Bench::awake().await;
    let import = ImportId::parse("save-1").unwrap();
    let expires = now() + Duration::from_secs(60);
    let inbox = bench.files.inbox(&id("w1"), &import, expires).await.unwrap().url;
    let inbox = inbox.strip_prefix("http://127.0.0.1:7733").unwrap().to_owned();
    let mut said = format!("sent: {}\n", bench.say(&format!("PUT {inbox} {CONTENT}")).await);
    let link = bench.files.received(&id("w1"), &import, expires).await.unwrap().url;
    let link = link.strip_prefix("http://127.0.0.1:7733").unwrap().to_owned();
    let (response, body) = bench.send(Ask::new(&format!("GET {link}"))).await;
    assert_eq!((response.status, body.as_str()), (StatusCode::OK, CONTENT));
    for (name, ask) in [
        ("fetched by the link to send", format!("GET {inbox}")),
        ("sent by the link to fetch", format!("PUT {link} {CONTENT}")),
        ("other import", format!("PUT {} {CONTENT}", inbox.replace("save-1", "save-2"))),
        ("no import", format!("PUT {} {CONTENT}", inbox.replace("save-1", "SAVE"))),
    ] {
        said += &format!("{name}: {}\n", bench.say(&ask).await);
    }
    bench.files.discard(&id("w1"), &import).await.unwrap();
    said += &format!("discarded: {}\n", bench.say(&format!("GET {link}")).await);
    bench.wait(60);
    said += &format!("late: {}\n", bench.say(&format!("PUT {inbox} {CONTENT}")).await);
    expect![[r#"
        sent: 200 {"id":"save-1","size":12}
        fetched by the link to send: 403 the link is not valid (ask for another link)
        sent by the link to fetch: 403 the link is not valid (ask for another link)
        other import: 403 the link is not valid (ask for another link)
        no import: 400 import id `SAVE` is not valid: use 1 to 64 lower-case letters, digits and hyphens (nothing was changed)
        discarded: 404 there is no such file (it may have been removed since)
        late: 410 the link has expired (ask for another link)
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn an_archive_is_downloaded_by_whoever_has_its_link_while_it_holds() {
    let bench = Bench::archived().await;
    let (_, answer) = bench.send(Ask::new(r#"POST /v1/worlds/valhalla/export {"for_s":3600}"#)).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let link = answer["link"]["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:7733").unwrap();

    // It leads on to an address that is signed afresh, and counts.
    let (response, _) = bench.send(Ask::new(&format!("GET {link}"))).await;
    assert_eq!(response.status, StatusCode::FOUND);
    let url = response.headers["location"].to_str().unwrap().to_owned();
    let path = url.strip_prefix("http://127.0.0.1:7733").unwrap();
    let listed =
        bench.say(r#"POST /v1/commands {"command":"world links","options":{"name":"valhalla"}}"#).await;
    assert!(listed.contains(r#""downloads":1"#), "{listed}");

    // Another machine, a browser, no token.
    let ask = Ask { peer: Some([203, 0, 113, 7].into()), ..Ask::new(&format!("GET {path}")) };
    let (response, body) = bench.send(ask.header("host", "play.example.org")).await;
    let headers = ["content-type", "content-length", "content-disposition", "cache-control"];
    let headers = headers.map(|name| format!("{name}: {}\n", response.headers[name].to_str().unwrap()));
    assert_eq!((response.status, body.as_str()), (StatusCode::OK, CONTENT));
    expect![[r#"
        content-type: application/zip
        content-length: 12
        content-disposition: attachment; filename="w1-20261121-093005-000-g1.zip"
        cache-control: private, no-store
    "#]]
    .assert_eq(&headers.concat());

    let mut said = String::new();
    let upload = path.replace("/archives/", "/v1/uploads/").replace(".zip?", "/1?length=12&");
    said += &format!("as a ticket: {}\n", bench.say(&format!("PUT {upload} {CONTENT}")).await);
    said += &format!("other signature: {}\n", bench.say(&format!("GET {path}0")).await);
    std::fs::remove_dir_all(bench.dir.path().join("archives/w1")).unwrap();
    said += &format!("removed: {}\n", bench.say(&format!("GET {path}")).await);
    bench.wait(3600);
    said += &format!("over: {}\n", bench.say(&format!("GET {path}")).await);
    expect![[r#"
        as a ticket: 403 the link is not valid (ask for another link)
        other signature: 403 the link is not valid (`world export` makes a new link)
        removed: 404 there is no such file (it may have been removed since)
        over: 410 the link has expired (`world export` makes a new link)
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_says_so_on_a_page() {
    let bench = Bench::awake().await;
    let (_, answer) = bench.send(Ask::new(r#"POST /v1/worlds/valhalla/export {"for_s":3600}"#)).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let link = answer["link"]["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:7733").unwrap();
    let follow = async |ask: &str| {
        let (response, page) = bench.send(Ask::new(ask)).await;
        let header = |name: &str| response.headers.get(name).map_or("none", |value| value.to_str().unwrap());
        let title =
            page.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap_or("no page");
        format!("{} {title}, retry-after: {}\n", response.status.as_u16(), header("retry-after"))
    };
    let mut said = follow(&format!("GET {link}")).await;
    said += &follow(&format!("HEAD {link}")).await;
    said += &follow(&format!("GET {link}0")).await;
    said += &follow(&format!("GET {}", link.replace("/w1/", "/w2/"))).await;
    said += &follow("GET /x/W1/../x").await;
    bench.say(r#"POST /v1/commands {"command":"world withdraw","options":{"name":"valhalla"}}"#).await;
    said += &follow(&format!("GET {link}")).await;
    expect![[r#"
        503 The world is being archived, retry-after: 5
        204 no page, retry-after: none
        403 This is no link of ours, retry-after: none
        403 This is no link of ours, retry-after: none
        404 no page, retry-after: none
        410 This link works no more, retry-after: none
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn what_is_put_in_place_is_for_the_launch_that_is_told_to() {
    let bench = Bench::archived().await;
    let restore =
        r#"POST /v1/commands {"command":"world restore","options":{"name":"valhalla","backup":"ARCHIVE"}}"#;
    let backups =
        bench.say(r#"POST /v1/commands {"command":"world backups","options":{"name":"valhalla"}}"#).await;
    let id = "20261121-093005-000-g1";
    assert!(backups.contains(id), "{backups}");
    let mut said = format!("{}\n", bench.say(&restore.replace("ARCHIVE", id)).await);
    let token = |generation| bench.door.secret.launch_token(&self::id("w1"), Generation(generation));
    for (path, generation) in [("w1/2", 2), ("w1/2", 1), ("w1/1", 1), ("w2/2", 2)] {
        let ask = Ask::new(&format!("GET /v1/sources/{path}"));
        let ask = ask.header("authorization", format!("Bearer {}", token(generation)));
        let answer = bench.short(ask).await;
        said += &format!(
            "{path} with the token of {generation}: {}\n",
            answer.split("signature=").next().unwrap()
        );
    }
    expect![[r#"
        200 `valhalla` is being restored from archive 20261121-093005-000-g1; what is there is archived first [busy]
        w1/2 with the token of 2: 404 it is not where it was put (the launch shall end)
        w1/2 with the token of 1: 401 this is not the launch's token (the launch shall end)
        w1/1 with the token of 1: 409 launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
        w2/2 with the token of 2: 401 this is not the launch's token (the launch shall end)
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn what_was_chosen_is_for_the_watchdog_of_the_launch() {
    let mut bench = Bench::new();
    let password = Setting {
        name: SettingName::parse("password").unwrap(),
        title: "Password".into(),
        about: None,
        kind: Kind::Password(5..=64, Allow::Any),
        default: None,
        need: Need::Required,
        change: Change::Any,
    };
    let chosen = Game { settings: vec![password], ..tiny() };
    bench.door.driver.games = Arc::new([(chosen.id.clone(), chosen)].into());
    let mut said = String::new();
    for ask in [
        r#"POST /v1/worlds {"name":"valhalla","game":"tiny"}"#,
        r#"POST /v1/worlds {"name":"valhalla","game":"tiny","settings":{"password":"hunt"}}"#,
        r#"POST /v1/worlds {"name":"valhalla","game":"tiny","settings":{"password":"it's $HOME"}}"#,
        "POST /v1/worlds/valhalla/start",
    ] {
        said += &format!("{}\n", bench.say(ask).await);
    }
    let id = bench.door.driver.store.list(&bench.door.guild).await.unwrap().worlds[0].id.clone();
    let token = |generation| bench.door.secret.launch_token(&id, Generation(generation));
    for (generation, with) in [(1, 1), (1, 2), (2, 2)] {
        let ask = Ask::new(&format!("GET /v1/settings/{id}/{generation}"));
        let ask = ask.header("authorization", format!("Bearer {}", token(with)));
        said += &format!("{generation} with the token of {with}: {}\n", bench.short(ask).await);
    }
    let (_, told) = bench.send(Ask::new("GET /v1/worlds/valhalla")).await;
    assert!(!told.contains("HOME"), "{told}");
    let ask = r#"POST /v1/commands {"command":"world password","options":{"name":"valhalla"}}"#;
    said += &bench.send(Ask::new(ask)).await.1;
    expect![[r#"
        400 `password` must be chosen (`games` shows what each takes)
        400 `password` (Password) is not valid (use 5 to 64 printable characters, no space at either end)
        200 `valhalla` is made, a world of Tiny; `world start valhalla` wakes it [asleep]
        200 waking `valhalla`, about 40 s to go [waking]
        1 with the token of 1: 200 {"settings":{"password":"it's $HOME"}}
        1 with the token of 2: 401 this is not the launch's token (the launch shall end)
        2 with the token of 2: 409 launch 2 of `valhalla` is not the current one (the watchdog of that launch shall end)
        {"text":"of `valhalla`:","secrets":{"Password":"it's $HOME"}}"#]].assert_eq(&said);
}

// How it is asked and answered.

thread_local! {
    /// Seconds since the evening began: a test is all in one thread.
    static SECONDS: Cell<u64> = const { Cell::new(0) };
    static IDS: Cell<u32> = const { Cell::new(0) };
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_253_400).unwrap() + Duration::from_secs(SECONDS.get())
}

fn fresh_id() -> WorldId {
    IDS.set(IDS.get() + 1);
    id(&format!("w{}", IDS.get()))
}

fn id(text: &str) -> WorldId {
    WorldId::parse(text).unwrap()
}

fn archive(id: ArchiveId) -> Archive {
    let sha256 = Sha256::parse(DIGEST).unwrap();
    Archive { id, generation: Generation(1), size: CONTENT.len() as u64, sha256 }
}

/// A front door, its worlds and its archives.
struct Bench {
    door: FrontDoor,
    files: Arc<DirectoryArchive>,
    memory: Memory,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with_access(Access::ThisMachine)
    }

    fn with_access(access: Access) -> Self {
        SECONDS.set(0);
        IDS.set(0);
        let dir = tempfile::tempdir().unwrap();
        let secret = Secret::new([7; 32]);
        let files = Arc::new(DirectoryArchive {
            root: dir.path().join("archives"),
            upload_url: "http://127.0.0.1:7733".into(),
            download_url: "http://127.0.0.1:7733".into(),
            secret: secret.clone(),
        });
        let memory = Memory::default();
        let exports = FrontDoorLinks { url: Some("http://127.0.0.1:7733".into()), secret: secret.clone() };
        let driver =
            Driver { archives: files.clone(), exports: Arc::new(exports), ..memory.driver([tiny()]) };
        let door = FrontDoor {
            driver,
            secret,
            guild: GuildId::parse("local").unwrap(),
            game_host: GameHost::Fixed("play.example.org".into()),
            access,
            clock: now,
            fresh_id,
        };
        Self { door, files, memory, dir }
    }

    /// Returns one with a world that is awake.
    async fn awake() -> Self {
        let bench = Self::new();
        bench.say(r#"POST /v1/worlds {"name":"valhalla","game":"tiny"}"#).await;
        bench.say("POST /v1/worlds/valhalla/start").await;
        bench.work().await;
        let seen = json!({ "players": { "is": "players", "n": 2 }, "stops_in_s": null });
        bench.wait(5);
        bench.short(bench.report(1, json!({ "claimed": true, "ready": true, "seen": seen }))).await;
        bench.work().await;
        bench
    }

    /// Returns one with a world that was played, archived and put to sleep.
    async fn archived() -> Self {
        let bench = Self::awake().await;
        let (_, ticket) = bench.send(bench.ticket(1)).await;
        let ticket: Value = serde_json::from_str(&ticket).unwrap();
        let path = ticket["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:7733").unwrap();
        bench.wait(3600);
        bench.say(&format!("PUT {path} {CONTENT}")).await;
        let uploaded = json!({ "id": ticket["upload"]["id"], "size": CONTENT.len(), "sha256": DIGEST });
        let all = json!({
            "claimed": true,
            "ready": true,
            "stopping": { "is": "last_left" },
            "saved": { "is": "fresh" },
            "uploaded": uploaded,
        });
        bench.short(bench.report(1, all)).await;
        bench.work().await;
        bench.memory.end_task(&domain::world::TaskId::parse("w1.1").unwrap(), domain::event::Gone::Exited);
        bench.door.driver.sweep(now()).await.unwrap();
        assert!(bench.say("GET /v1/worlds/valhalla").await.contains("asleep"));
        bench
    }

    fn wait(&self, seconds: u64) {
        SECONDS.set(SECONDS.get() + seconds);
    }

    /// Does what the worker does.
    async fn work(&self) {
        self.memory.work(&self.door.driver, now()).await;
    }

    /// Holds a conversation: a request a line, after `+SECONDS` that pass before it and the name of who asks.
    async fn check(&self, requests: &str, expected: Expect) {
        let mut said = String::new();
        for line in requests.lines().map(str::trim) {
            let (line, shown) = (self.time_passes(line), shortened(line));
            said += &format!("> {shown}\n{}\n", shortened(&self.say(line).await));
        }
        expected.assert_eq(&said);
    }

    fn time_passes<'l>(&self, line: &'l str) -> &'l str {
        let Some((seconds, rest)) = line.strip_prefix('+').and_then(|line| line.split_once(' ')) else {
            return line;
        };
        self.wait(seconds.parse().unwrap());
        rest
    }

    async fn say(&self, line: &str) -> String {
        self.short(Ask::new(line)).await
    }

    /// Returns the gist of the answer: its status, what people read of it, and the state of the world.
    async fn short(&self, ask: Ask) -> String {
        let (Answered { status, .. }, body) = self.send(ask).await;
        let status = status.as_u16();
        let Ok(Value::Object(said)) = serde_json::from_str(&body) else {
            return format!("{status} not JSON: {body}");
        };
        let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
        let all = |key: &str, of: &str| {
            said[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v[of].as_str().unwrap())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if said.contains_key("error") {
            assert_eq!(said.len(), 2, "{body}");
            return format!("{status} {} ({})", text("error"), text("hint"));
        }
        match said.keys().map(String::as_str).collect::<Vec<_>>()[..] {
            ["text", "world"] => {
                format!("{status} {} [{}]", text("text"), said["world"]["state"].as_str().unwrap())
            }
            ["link", "text"] => {
                format!("{status} {} -> {}", text("text"), said["link"]["url"].as_str().unwrap())
            }
            ["worlds"] => format!("{status} worlds: {}", all("worlds", "name")),
            ["games"] => format!("{status} games: {}", all("games", "id")),
            _ => format!("{status} {body}"),
        }
    }

    async fn send(&self, ask: Ask) -> (Answered, String) {
        self.send_to(self.door.clone().router(files::routes(self.files.clone(), now)), ask).await
    }

    async fn send_to(&self, router: Router, ask: Ask) -> (Answered, String) {
        let mut request = Request::new(Body::from(ask.body));
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask.uri;
        for (name, value) in ask.headers {
            request.headers_mut().insert(name, value);
        }
        if let Some(peer) = ask.peer {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 50_000)));
        }
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (Answered { status: parts.status, headers: parts.headers }, body)
    }

    /// Returns the report of a launch of the first world, with its token.
    fn report(&self, generation: u32, change: Value) -> Ask {
        let mut report = json!({
            "v": 1, "world": "w1", "generation": generation, "task": format!("w1.{generation}"), "port": 30000,
            "claimed": false, "ready": false, "start_failed": null, "seen": null, "stopping": null, "saved": null,
            "uploaded": null, "archive_failed": null,
        });
        let change: BTreeMap<String, Value> = serde_json::from_value(change).unwrap();
        report.as_object_mut().unwrap().extend(change);
        Ask::new(&format!("POST /v1/reports {report}")).header("authorization", self.bearer(generation))
    }

    fn ticket(&self, generation: u32) -> Ask {
        Ask::new(&format!(
            r#"POST /v1/tickets/w1/{generation} {{"upload":null,"number":1,"length":12,"last":true}}"#
        ))
        .header("authorization", self.bearer(generation))
    }

    fn bearer(&self, generation: u32) -> String {
        format!("Bearer {}", self.door.secret.launch_token(&id("w1"), Generation(generation)))
    }
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
}

/// A request.
#[derive(Clone)]
struct Ask {
    method: Method,
    uri: Uri,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    peer: Option<IpAddr>,
}

impl Ask {
    /// Reads `[PERSON] METHOD PATH [BODY]`: what a program on this machine asks.
    fn new(line: &str) -> Self {
        let (first, rest) = line.split_once(' ').unwrap();
        let (by, line) =
            if first.bytes().all(|b| b.is_ascii_lowercase()) { (first, rest) } else { ("ann", line) };
        let mut words = line.splitn(3, ' ');
        let ask = Self {
            method: words.next().unwrap().parse().unwrap(),
            uri: words.next().unwrap().parse().unwrap(),
            body: words.next().unwrap_or_default().to_owned(),
            headers: vec![],
            peer: Some(Ipv4Addr::LOCALHOST.into()),
        };
        ask.header("host", "127.0.0.1:7733")
            .header("dormouse-by", by)
            .header("content-type", "application/json")
    }

    fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.push((HeaderName::from_static(name), value));
        self
    }
}

/// Returns `text` with its long runs of one letter cut.
fn shortened(text: &str) -> String {
    text.replace(&"a".repeat(4900), "…")
}

fn tiny() -> Game {
    Game {
        id: GameId::parse("tiny").unwrap(),
        name: "Tiny".into(),
        image: "dormouse/tiny".into(),
        architectures: vec!["amd64".into()],
        cpu: 256,
        memory_mib: 512,
        ports: vec![
            Port { name: "game".into(), number: 30000, protocol: Protocol::Udp },
            Port { name: "query".into(), number: 30001, protocol: Protocol::Tcp },
        ],
        save: Save { paths: vec!["world".into()], exclude: vec![] },
        stop: Stop { signal: Signal::Term, grace: Duration::from_secs(5) },
        ready: Ready { typical: Duration::from_secs(40), limit: Duration::from_secs(60) },
        timers: Timers::DEFAULT,
        import: None,
        settings: vec![],
        console: None,
        players: Players::default(),
        query: None,
        scripts: Some(Scripts {
            packages: vec![],
            bootstrap: None,
            start: "true".into(),
            stop: None,
            healthcheck: None,
        }),
    }
}
