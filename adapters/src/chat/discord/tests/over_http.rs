//! The route that both front doors have, on one machine and on Lambda: who is turned away, and how little is read of it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
};
use domain::world::WorldId;
use futures_util::stream;
use serde_json::json;
use tower::ServiceExt;

use super::table::{ANN, BEGIN, Table, at, command, config, interaction, pair, sign};
use crate::{
    chat::discord::{Discord, interaction::LARGEST},
    front_door::interactions::routes,
};

async fn door() -> (Table, Router) {
    let table = Table::with_world().await;
    let config = config("http://127.0.0.1:1", None);
    let discord = Arc::new(Discord::new(config, table.driver.games.clone(), || at(0)));
    let routes = routes(discord, table.driver.clone(), || at(0), || WorldId::parse("w-fresh").unwrap());
    (table, routes)
}

/// Sends `body` with the signature of `signed`, made at `second`, and returns the status.
async fn send(door: &Router, second: i64, signed: &[u8], body: Body) -> u16 {
    let timestamp = (BEGIN + second).to_string();
    let request = Request::post("/discord/interactions")
        .header("x-signature-ed25519", sign(&pair(), &timestamp, signed))
        .header("x-signature-timestamp", timestamp);
    door.clone().oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_discord_says_is_answered_once_and_all_else_is_turned_away() {
    let (table, door) = door().await;
    let before = table.stored().await;
    let status = |number| {
        let what = command("world status", &[("name", 3, json!("valhalla"))]);
        interaction(ANN, number, what).to_string()
    };
    let (first, second) = (status(100), status(101));
    for (what, at, signed, body, expected) in [
        ("right", 0, &first, first.clone(), 200),
        ("again", 0, &first, first.clone(), 409),
        ("changed", 0, &first, first.replace("status", "start"), 401),
        ("old", -301, &second, second.clone(), 401),
        ("no interaction", 0, &"{}".to_owned(), "{}".to_owned(), 400),
        ("nothing", 0, &String::new(), String::new(), 400),
    ] {
        assert_eq!(send(&door, at, signed.as_bytes(), body.into()).await, expected, "{what}");
    }
    assert_eq!(table.stored().await, before);
}

#[tokio::test]
async fn a_body_is_read_however_it_is_cut_and_no_further_than_its_limit() {
    let (_table, door) = door().await;
    let ping = interaction(ANN, 100, json!({ "type": 1 })).to_string().into_bytes();
    let crumbs =
        stream::iter(ping.clone().into_iter().map(|byte| Ok::<_, Infallible>(Bytes::from(vec![byte]))));
    assert_eq!(send(&door, 0, &ping, Body::from_stream(crumbs)).await, 200);
    assert_eq!(send(&door, 0, b"", vec![b' '; LARGEST + 1].into()).await, 413);
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1000])));
    assert_eq!(send(&door, 0, b"", Body::from_stream(endless)).await, 413);
}
