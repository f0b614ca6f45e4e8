//! What is sent by somebody who means harm, or by chance: 401 or a clear answer, and nothing changes.

use expect_test::expect;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::table::{ANN, BEGIN, BOB, Table, at, command, config, interaction, pair, seen, sign};
use crate::chat::discord::{Discord, DiscordConfig, endpoint::Answer, interaction::LARGEST};

fn start() -> Value {
    command("world start", &[("name", 3, json!("valhalla"))])
}

#[tokio::test]
async fn whoever_is_not_discord_gets_401_and_changes_nothing() {
    let mut table = Table::with_world().await;
    let before = table.stored().await;
    let body = interaction(ANN, 7, start()).to_string();
    let (timestamp, body) = (BEGIN.to_string(), body.as_bytes());
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let old = (BEGIN - 301).to_string();
    for (timestamp, signature) in [
        (&timestamp, sign(&other, &timestamp, body)),
        (&timestamp, sign(&pair(), &timestamp, b"{}")),
        (&timestamp, String::new()),
        (&timestamp, "0".repeat(128)),
        (&old, sign(&pair(), &old, body)),
        (&String::new(), sign(&pair(), "", body)),
    ] {
        let Answer { status, body } = table.send_with(timestamp, &signature, body).await;
        assert_eq!((status, body["error"].is_string()), (401, true));
    }
    assert_eq!(table.stored().await, before);
}

#[tokio::test]
async fn without_a_key_every_request_gets_401() {
    let mut table = Table::with_world().await;
    let config = DiscordConfig { public_key: None, ..config("http://127.0.0.1:1", None) };
    table.discord = Discord::new(config, table.driver.games.clone(), || at(0));
    let answer = table.send(interaction(ANN, 7, start()).to_string().as_bytes()).await;
    assert_eq!(answer.status, 401);
    expect!["no public key is configured here, so nothing that is signed is taken"]
        .assert_eq(answer.body["error"].as_str().unwrap());
}

#[tokio::test]
async fn the_same_start_twice_is_taken_once() {
    let mut table = Table::with_world().await;
    let body = interaction(ANN, 7, start()).to_string();
    let signature = sign(&pair(), &BEGIN.to_string(), body.as_bytes());
    assert_eq!(table.send_with(&BEGIN.to_string(), &signature, body.as_bytes()).await.status, 200);
    table.work().await;
    let before = table.stored().await;
    table.now += 200;
    for _ in 0..3 {
        let again = table.send_with(&BEGIN.to_string(), &signature, body.as_bytes()).await;
        assert_eq!((again.status, &again.body["error"]), (409, &json!("this interaction was taken before")));
    }
    assert_eq!(table.stored().await, before);
    assert_eq!(table.memory.lock().tasks.len(), 1);
    // Another process, as Lambda may have it: it is taken, and changes nothing.
    table.discord = Discord::new(config("http://127.0.0.1:1", None), table.driver.games.clone(), || at(0));
    let again = table.send_with(&BEGIN.to_string(), &signature, body.as_bytes()).await;
    assert!(seen(&again.body).contains("already waking"), "{}", again.body);
    assert_eq!(table.memory.lock().tasks.len(), 1);
    table.now += 101;
    assert_eq!(table.send_with(&BEGIN.to_string(), &signature, body.as_bytes()).await.status, 401);
}

#[tokio::test]
async fn another_guild_or_application_is_told_so_and_changes_nothing() {
    let mut table = Table::with_world().await;
    let before = table.stored().await;
    let mut told = Vec::new();
    for (field, value) in [
        ("guild_id", json!("1200000000000000099")),
        ("application_id", json!("1100000000000000099")),
        ("guild_id", Value::Null),
        ("member", Value::Null),
    ] {
        let mut what = start();
        what[field] = value;
        told.push(seen(&table.act(ANN, what).await));
    }
    assert_eq!(table.stored().await, before);
    expect![[r#"
        (only you see this)
        This Dormouse does not serve this server.
        Whoever runs it can add its id, `1200000000000000099`, to `guilds`.

        (only you see this)
        This Dormouse answers for another application.

        (only you see this)
        Worlds belong to a server: use its channels, not a direct message.

        (only you see this)
        Worlds belong to a server: use its channels, not a direct message."#]]
    .assert_eq(&told.join("\n\n"));
}

#[tokio::test]
async fn a_guild_that_is_not_named_is_not_served_and_learns_nothing() {
    let mut table = Table::with_world().await;
    let mut half = command("world start", &[("name", 3, json!(""))]);
    half["type"] = json!(4);
    half["data"]["options"][0]["options"][0]["focused"] = json!(true);
    half["guild_id"] = json!("1200000000000000099");
    assert_eq!(table.act(ANN, half).await["data"]["choices"], json!([]));
}

#[tokio::test]
async fn what_is_too_large_too_deep_or_no_json_is_refused() {
    let mut table = Table::with_world().await;
    let before = table.stored().await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let status = command("world status", &[("name", 3, json!("valhalla"))]);
    let mut nested = interaction(ANN, 7, status).to_string();
    nested.insert_str(nested.len() - 1, &format!(",\"further\":{}", deep("[", "]")));
    for (body, expected) in [
        ("x".repeat(LARGEST + 1), 413),
        (deep("[", "]"), 400),
        (deep("{\"options\":", "}"), 400),
        (String::new(), 400),
        ("null".into(), 400),
        ("[]".into(), 400),
        ("{}".into(), 400),
        ("{\"type\":1}".into(), 400),
        (nested, 200),
    ] {
        let Answer { status, .. } = table.send(body.as_bytes()).await;
        assert_eq!(status, expected, "{body:.60}");
    }
    assert_eq!(table.send(b"\xff\xfe{}").await.status, 400);
    assert_eq!(table.stored().await, before);
}

#[tokio::test]
async fn fields_that_are_missing_or_of_another_type_stop_nobody_or_are_refused() {
    let mut table = Table::with_world().await;
    let status = command("world status", &[("name", 3, json!("valhalla"))]);
    let before = table.stored().await;
    let (mut answered, mut said) = (Vec::new(), 0);
    // Each is said once: what is said again is not taken.
    let mut whole = || {
        said += 1;
        interaction(BOB, said, status.clone())
    };
    for name in whole().as_object().unwrap().keys() {
        let mut without = whole();
        without.as_object_mut().unwrap().remove(name);
        let Answer { status, body } = table.send(without.to_string().as_bytes()).await;
        answered.push(format!("without {name}: {status} {}", first_line(&body)));
        for wrong in [json!(null), json!(7), json!("x"), json!([]), json!({}), json!([[{}]])] {
            let mut other = whole();
            other[name] = wrong;
            let Answer { status, .. } = table.send(other.to_string().as_bytes()).await;
            assert!([200, 400].contains(&status), "{name}: {status}");
        }
    }
    assert_eq!(table.stored().await, before);
    expect![[r#"
        without app_permissions: 200 | It was never played.
        without application_id: 400 
        without attachment_size_limit: 200 | It was never played.
        without authorizing_integration_owners: 200 | It was never played.
        without channel: 200 | It was never played.
        without channel_id: 200 | It was never played.
        without context: 200 | It was never played.
        without data: 400 
        without entitlements: 200 | It was never played.
        without guild: 200 | It was never played.
        without guild_id: 200 Worlds belong to a server: use its channels, not a direct me
        without guild_locale: 200 | It was never played.
        without id: 400 
        without locale: 200 | It was never played.
        without member: 200 Worlds belong to a server: use its channels, not a direct me
        without token: 400 
        without type: 400 
        without version: 200 | It was never played."#]]
    .assert_eq(&answered.join("\n"));
}

fn first_line(body: &Value) -> String {
    seen(body).lines().nth(1).unwrap_or_default().chars().take(60).collect()
}

#[tokio::test]
async fn a_list_that_is_null_is_empty() {
    let mut table = Table::with_world().await;
    let mut what = command("world list", &[]);
    what["data"]["options"][0]["options"] = Value::Null;
    what["member"] = json!({ "user": { "id": "1" }, "roles": null, "nick": null });
    assert!(seen(&table.act(BOB, what).await).contains("`valhalla`"));
}

#[tokio::test]
async fn names_of_all_of_unicode_are_shown_within_every_limit() {
    let mut table = Table::with_world().await;
    let mut block = String::new();
    for c in (0..=0x10_FFFFu32)
        .filter_map(char::from_u32)
        .filter(|c| (*c as u32).is_multiple_of(13) || (*c as u32) < 0x3000)
    {
        block.push(c);
        if block.chars().count() == 2000 {
            let mut what = start();
            what["member"] = json!({
                "user": { "id": "1400000000000000006", "username": block }, "roles": [], "permissions": "0", "nick": null
            });
            table.act(BOB, what).await;
            let huge =
                [("name", 3, json!(block)), ("game", 3, json!(block)), ("sleep-after", 3, json!(block))];
            table.command(ANN, "world create", &huge).await;
            table.press(BOB, &block).await;
            block.clear();
        }
    }
}

#[tokio::test]
async fn a_name_cannot_hide_reverse_or_call_anybody() {
    let mut told = Vec::new();
    for name in [
        "\u{202e}nna",
        "a\u{200b}\u{200b}nn",
        "\u{2800}\u{3164}",
        "@everyone",
        "<@&77>",
        "a\nb",
        "# big",
        "👩‍👩‍👧",
    ] {
        let mut table = Table::with_world().await;
        let mut what = start();
        what["member"] = json!({ "user": { "id": "1", "username": "user" }, "nick": name });
        table.act(BOB, what).await;
        told.push(seen(&table.on_valhalla(ANN, "world start").await).lines().next().unwrap().to_owned());
    }
    expect![[r#"
        `valhalla` is already waking, asked for by nna 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by ann 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by user 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by @¦everyone 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by \<@¦&77\> 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by a b 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by # big 0 s ago, about 1 min 30 s to go.
        `valhalla` is already waking, asked for by 👩‍👩‍👧 0 s ago, about 1 min 30 s to go."#]]
    .assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn texts_and_ids_that_are_huge_are_refused() {
    let mut table = Table::with_world().await;
    let before = table.stored().await;
    let long = "x".repeat(100_000);
    let mut longest = start();
    longest["token"] = json!(long);
    let option = command("world start", &[("name", 3, json!(long))]);
    for what in [longest, option] {
        assert_eq!(table.send(interaction(ANN, 7, what).to_string().as_bytes()).await.status, 400);
    }
    for custom_id in [long.clone(), format!("v1/start/{long}")] {
        assert!(seen(&table.press(ANN, &custom_id).await).contains("another version"));
    }
    let many: Vec<_> = (0..26).map(|_| ("name", 3, json!("valhalla"))).collect();
    assert_eq!(
        table.send(interaction(ANN, 7, command("world start", &many)).to_string().as_bytes()).await.status,
        400
    );
    assert_eq!(table.stored().await, before);
}

/// Xorshift: the same numbers on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }

    /// Changes `body` somewhere: a byte, a piece gone, a piece twice, a piece of something nasty.
    fn mutated(&mut self, body: &[u8]) -> Vec<u8> {
        const NASTY: [&[u8]; 12] = [
            b"null",
            b"-1",
            b"1e999",
            b"\"\"",
            b"[[[[",
            b"{}",
            b"\\u0000",
            b"\\ud800",
            b"\xff",
            b"\"v1/fly/valhalla\"",
            b"99999999999999999999999",
            b",\"type\":3,",
        ];
        let mut body = body.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(body.len().max(1));
            let to = (at + self.below(30)).min(body.len());
            match self.below(4) {
                0 => body[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(body.drain(at..to)),
                2 => {
                    let piece = body[at..to].to_vec();
                    body.splice(at..at, piece);
                }
                _ => {
                    let nasty = NASTY[self.below(NASTY.len())];
                    body.splice(at..to, nasty.iter().copied());
                }
            }
            if body.is_empty() {
                body.push(b'{');
            }
        }
        body
    }
}

#[tokio::test]
async fn thousands_of_damaged_interactions_do_no_harm() {
    const SEED: u64 = 0x5eed_d15c_04d0;
    let mut chance = Chance(SEED);
    let mut table = Table::with_world().await;
    let before = table.stored().await;
    let modal = json!({ "type": 5, "data": { "custom_id": "v1/delete/valhalla", "components": [
        { "type": 18, "component": { "type": 4, "custom_id": "name", "value": "valhall" } } ] } });
    let button = json!({ "type": 3, "data": { "custom_id": "v1/refresh/valhalla" } });
    let whats = [command("world status", &[("name", 3, json!("valhalla"))]), modal, button];
    let mut statuses = std::collections::BTreeMap::new();
    for (n, what) in (0..6000).zip(whats.iter().cycle()) {
        let good = interaction(BOB, n, what.clone()).to_string();
        let body = chance.mutated(good.as_bytes());
        if n % 4 == 0 {
            let signature = sign(&pair(), &BEGIN.to_string(), good.as_bytes());
            let answer = table.send_with(&BEGIN.to_string(), &signature, &body).await;
            assert!(answer.status == 401 || body == good.as_bytes(), "seed {SEED}, {n}");
            continue;
        }
        let Answer { status, body } = table.send(&body).await;
        *statuses.entry(status).or_insert(0) += 1;
        // An id that was damaged may be another's.
        let is_valid = [400, 409].contains(&status) || is_some_answer(&body);
        assert!(is_valid, "seed {SEED}, {n}: {status} {body}");
    }
    assert!(statuses[&200] > 300 && statuses[&400] > 300, "{statuses:?}");
    assert_eq!(table.stored().await, before);
}

fn is_some_answer(body: &Value) -> bool {
    use super::validate::{To, answer};
    [To::Ping, To::Command, To::Button, To::Autocomplete, To::Modal]
        .into_iter()
        .any(|to| answer(body, to).is_ok())
}
