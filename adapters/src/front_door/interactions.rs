//! The part of the front door that is for Discord. What lets somebody in is Discord's signature over the whole body.
//!
//! ```text
//! POST   /discord/interactions   what somebody does in Discord (signed)
//! ```

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    middleware,
    routing::post,
};
use domain::{Timestamp, driver::Driver, world::WorldId};
use serde_json::Value;

use super::{
    bodies::{self, Bodies},
    in_time,
};
use crate::chat::discord::{Discord, interaction::LARGEST, signature::Signed};

#[derive(Clone)]
struct Interactions {
    discord: Arc<Discord>,
    driver: Driver,
    clock: fn() -> Timestamp,
    fresh_id: fn() -> WorldId,
}

/// Returns the route for Discord's interactions.
pub fn routes(
    discord: Arc<Discord>,
    driver: Driver,
    clock: fn() -> Timestamp,
    fresh_id: fn() -> WorldId,
) -> Router {
    Router::new()
        .route("/discord/interactions", post(interact))
        .layer(middleware::from_fn_with_state(Bodies::of_at_most(LARGEST), bodies::whole))
        .layer(middleware::from_fn(in_time))
        .with_state(Interactions { discord, driver, clock, fresh_id })
}

async fn interact(
    State(here): State<Interactions>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed =
        Signed { timestamp: header("x-signature-timestamp"), signature: header("x-signature-ed25519") };
    let (now, id) = ((here.clock)(), (here.fresh_id)());
    let answer = here.discord.interact(signed, &body, &here.driver, now, id).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(answer.body))
}
