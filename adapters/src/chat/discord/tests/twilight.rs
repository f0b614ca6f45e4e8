//! The records of others agree: what we send parses as twilight's types, and what they write is read by ours.

use serde_json::{Value, json};
use twilight_model::{
    application::{command::Command, interaction::Interaction},
    channel::message::Message,
    http::interaction::InteractionResponse,
};

use super::table::{ANN, BOB, Table, command, interaction};
use crate::chat::discord::{
    commands::wanted,
    interaction::{What, parse},
    rest::Scope,
};

fn every_kind() -> Vec<Value> {
    let mut half = command("world start", &[("name", 3, json!("val"))]);
    half["type"] = json!(4);
    half["data"]["options"][0]["options"][0]["focused"] = json!(true);
    let modal = json!({ "type": 5, "data": { "custom_id": "v1/delete/valhalla", "components": [
        { "type": 18, "id": 1, "component": { "type": 4, "id": 2, "custom_id": "name", "value": "valhalla" } } ] } });
    vec![
        command("world start", &[("name", 3, json!("valhalla"))]),
        command(
            "world create",
            &[("name", 3, json!("a")), ("game", 3, json!("b")), ("port", 4, json!(2456))],
        ),
        half,
        json!({ "type": 3, "data": { "component_type": 2, "custom_id": "v1/start/valhalla" } }),
        modal,
    ]
}

#[test]
fn an_interaction_that_twilight_writes_is_read() {
    for mut what in every_kind() {
        if what["type"] != 3 && what["type"] != 5 {
            what["data"]["id"] = json!("1700000000000000001");
        }
        let ours = interaction(BOB, 1, what);
        let theirs: Interaction =
            serde_json::from_value(ours.clone()).unwrap_or_else(|e| panic!("{e}: {ours:#}"));
        let again = serde_json::to_vec(&theirs).unwrap();
        assert_eq!(parse(&again).unwrap(), parse(ours.to_string().as_bytes()).unwrap());
        assert_ne!(parse(&again).unwrap().what, What::Unknown);
    }
}

#[tokio::test]
async fn an_answer_is_read_by_twilight() {
    let mut table = Table::with_world().await;
    for what in every_kind() {
        let answer = table.act(ANN, what).await;
        let theirs: InteractionResponse = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(serde_json::to_value(theirs).unwrap(), answer);
    }
}

#[tokio::test]
async fn a_message_of_ours_is_one_of_twilights() {
    let table = Table::with_world().await;
    let world = table.world().await;
    let mut message = table.discord.notice(&world, &domain::effect::Notice::Asleep(None)).edit();
    for (name, value) in [
        ("id", json!("1")),
        ("channel_id", json!("2")),
        ("type", json!(0)),
        ("attachments", json!([])),
        ("mentions", json!([])),
        ("mention_roles", json!([])),
        ("mention_everyone", json!(false)),
        ("pinned", json!(false)),
        ("tts", json!(false)),
        ("timestamp", json!("2026-11-21T00:00:00+00:00")),
        ("edited_timestamp", Value::Null),
        (
            "author",
            json!({ "id": "3", "username": "bot", "discriminator": "0", "avatar": null, "global_name": null }),
        ),
    ] {
        message[name] = value;
    }
    let theirs: Message = serde_json::from_value(message.clone()).unwrap();
    assert_eq!(json!(theirs.embeds), message["embeds"]);
    assert_eq!(json!(theirs.components), message["components"]);
}

#[test]
fn a_registered_command_is_one_of_twilights() {
    for command in wanted(Scope::Global) {
        let mut value = serde_json::to_value(&command).unwrap();
        value["version"] = json!("1");
        let theirs: Command = serde_json::from_value(value).unwrap();
        assert_eq!((theirs.name, theirs.options.len()), (command.name, command.options.len()));
    }
}
