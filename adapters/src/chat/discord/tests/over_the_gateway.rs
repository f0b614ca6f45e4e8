//! A conversation over the gateway, with a stand-in for its end of the WebSocket.

use std::sync::Arc;

use domain::{Timestamp, world::WorldId};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use super::{
    standin::StandIn,
    table::{ANN, BOT_TOKEN, Table, at, command, config, interaction, message},
};
use crate::chat::discord::{
    Discord,
    gateway::{GatewayError, run},
};

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, socket) = ServerBuilder::new().accept(stream).await.unwrap();
        let mut peer = Self(socket);
        peer.send(json!({ "op": 10, "d": { "heartbeat_interval": 45_000 } })).await;
        peer
    }

    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    /// Returns the next message that is no heartbeat.
    async fn hear(&mut self) -> Option<Value> {
        while let Some(Ok(message)) = self.0.next().await {
            let Some(text) = message.as_text() else { continue };
            let event: Value = serde_json::from_str(text).unwrap();
            if event["op"] != 1 {
                return Some(event);
            }
        }
        None
    }
}

fn clock() -> Timestamp {
    at(0)
}

fn fresh_id() -> WorldId {
    WorldId::parse("w-fresh").unwrap()
}

fn created(number: u32, name: &str) -> Value {
    let what = command("world start", &[("name", 3, json!(name))]);
    json!({ "op": 0, "s": number, "t": "INTERACTION_CREATE", "d": interaction(ANN, number, what) })
}

#[tokio::test]
async fn interactions_are_answered_across_a_lost_connection_until_it_is_stopped() {
    let (table, rest) = (Table::with_world().await, StandIn::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let discord =
        Arc::new(Discord::new(config(&rest.url, Some(BOT_TOKEN)), table.driver.games.clone(), clock));
    let (stop, stopped) = oneshot::channel::<()>();
    let (driver, address) = (table.driver.clone(), url.clone());
    let running = tokio::spawn(async move {
        let stop = async { drop(stopped.await) };
        run(discord, driver, fresh_id, Some(&address), stop).await
    });

    let mut peer = Peer::accept(&listener).await;
    let identify = peer.hear().await.unwrap();
    assert_eq!((&identify["op"], &identify["d"]["intents"]), (&json!(2), &json!(0)));
    assert_eq!(identify["d"]["token"], format!("Bot {BOT_TOKEN}"));
    let ready = json!({ "v": 10, "session_id": "s", "resume_gateway_url": url });
    peer.send(json!({ "op": 0, "s": 1, "t": "READY", "d": ready })).await;
    peer.send(json!({ "op": 0, "s": 2, "t": "SOMETHING_NEW", "d": { "further": [1] } })).await;
    peer.send(json!({ "op": 0, "s": 3, "t": "INTERACTION_CREATE", "d": { "type": "x" } })).await;
    peer.send(created(4, "valhalla")).await;
    let answer = rest.answered("aW50ZXJhY3Rpb2464").await;
    assert!(message(&answer)[0].starts_with("Waking `valhalla`"), "{answer}");

    drop(peer);
    let mut peer = Peer::accept(&listener).await;
    let resume = peer.hear().await.unwrap();
    assert_eq!((&resume["op"], &resume["d"]["seq"]), (&json!(6), &json!(4)));
    peer.send(json!({ "op": 0, "s": 5, "t": "RESUMED", "d": {} })).await;
    peer.send(created(6, "asgard")).await;
    let answer = rest.answered("aW50ZXJhY3Rpb2466").await;
    assert_eq!(answer["flags"], 64, "{answer}");

    stop.send(()).unwrap();
    assert_eq!(peer.hear().await, None);
    drop(peer);
    assert_eq!(running.await.unwrap(), Ok(()));
    assert_eq!(rest.requests().len(), 2);
}

#[tokio::test]
async fn a_token_that_discord_does_not_take_ends_it() {
    let (table, rest) = (Table::with_world().await, StandIn::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let discord =
        Arc::new(Discord::new(config(&rest.url, Some(BOT_TOKEN)), table.driver.games.clone(), clock));
    let driver = table.driver.clone();
    let running =
        tokio::spawn(async move { run(discord, driver, fresh_id, Some(&url), std::future::pending()).await });
    let mut peer = Peer::accept(&listener).await;
    peer.hear().await.unwrap();
    let code = tokio_websockets::CloseCode::try_from(4004).unwrap();
    peer.0.send(Message::close(Some(code), "")).await.unwrap();
    while peer.hear().await.is_some() {}
    assert_eq!(running.await.unwrap(), Err(GatewayError::Unauthorized));
}

#[tokio::test]
async fn without_a_token_there_is_no_connection() {
    let table = Table::new();
    let discord =
        Arc::new(Discord::new(config("http://127.0.0.1:1", None), table.driver.games.clone(), clock));
    let run = run(discord, table.driver.clone(), fresh_id, None, std::future::pending());
    assert_eq!(run.await, Err(GatewayError::NoToken));
}
