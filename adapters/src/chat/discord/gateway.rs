//! Discord's gateway: interactions over a WebSocket that we open, so that a machine at home needs no open web port.
//!
//! Discord sends them here only while the application has no interactions endpoint URL. They are read and answered as over
//! HTTP, except that nothing is signed (the connection is ours, to a host that TLS proves) and the answer is a request.

use std::{fmt, sync::Arc, time::Duration};

use domain::{driver::Driver, world::WorldId};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::{task::JoinSet, time::Instant};
use twilight_gateway::{CloseFrame, ConfigBuilder, Intents, Message, Shard, ShardId};

use crate::chat::discord::{
    Discord,
    interaction::{self, Interaction},
    rest::Failure,
};

/// How long the answer to an interaction is tried: after that Discord does not take it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How many interactions are answered at a time; further ones wait in the connection.
const MOST_AT_ONCE: usize = 32;

/// How long to wait, at the end, for what is under way and for Discord to say goodbye.
const GOODBYE: Duration = Duration::from_secs(4);

/// Why there is no connection, and none will come by itself. Everything else is tried again for ever.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GatewayError {
    /// No bot token is configured.
    #[error("the gateway needs a bot token")]
    NoToken,
    /// The address is none.
    #[error("`{0}` is no gateway: it must begin with wss:// or ws://, and have no path")]
    BadAddress(String),
    /// Discord does not take the bot token.
    #[error("Discord does not take the bot token")]
    Unauthorized,
    /// Discord closed the connection for good, with this code.
    #[error("Discord closed the connection for good{}", Code(.0))]
    Closed(Option<u16>),
}

struct Code<'a>(&'a Option<u16>);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |code| write!(f, ", code {code}"))
    }
}

/// Receives interactions and answers them until `stop` is over, or until Discord does not want to be spoken to. `url` is
/// where the gateway is, if not where Discord has it; `fresh_id` makes ids for worlds.
pub async fn run(
    discord: Arc<Discord>,
    driver: Driver,
    fresh_id: fn() -> WorldId,
    url: Option<&str>,
    stop: impl Future<Output = ()>,
) -> Result<(), GatewayError> {
    let mut shard = shard(&discord, url)?;
    let mut answering = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let mut closed = None;
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = answering.join_next(), if !answering.is_empty() => {}
            received = shard.next(), if answering.len() < MOST_AT_ONCE => match received {
                None => return Err(ended(closed)),
                Some(Ok(Message::Close(frame))) => closed = frame.map(|frame| frame.code),
                Some(Ok(Message::Text(event))) => {
                    if let Some(interaction) = created(&event) {
                        answering.spawn(answer(discord.clone(), driver.clone(), interaction, fresh_id()));
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "the gateway"),
            },
        }
    }
    // What is under way is answered, and Discord is told that nobody comes back.
    shard.close(CloseFrame::NORMAL);
    let goodbye = async {
        while let Some(Ok(message)) = shard.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
    };
    let rest = async { while answering.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, async { tokio::join!(goodbye, rest) }).await;
    Ok(())
}

/// Returns the one shard that a few guilds need. It is told of nothing but interactions.
fn shard(discord: &Discord, url: Option<&str>) -> Result<Shard, GatewayError> {
    let token = discord.config.bot_token.as_ref().ok_or(GatewayError::NoToken)?;
    let mut config = ConfigBuilder::new(token.secret().to_owned(), Intents::empty());
    if let Some(url) = url {
        config = config.proxy_url(checked(url)?);
    }
    Ok(Shard::with_config(ShardId::ONE, config.build()))
}

/// Refuses what is not the address of a host: the library takes it on trust.
fn checked(url: &str) -> Result<String, GatewayError> {
    let host = ["wss://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
    };
    let is_uri = url.parse::<ureq::http::Uri>().is_ok();
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if is_host(host) && is_uri => Ok(url.trim_end_matches('/').to_owned()),
        Some(_) | None => Err(GatewayError::BadAddress(crate::chat::discord::limits::clip(url, 100))),
    }
}

fn ended(closed: Option<u16>) -> GatewayError {
    const AUTHENTICATION_FAILED: u16 = 4004;
    if closed == Some(AUTHENTICATION_FAILED) {
        GatewayError::Unauthorized
    } else {
        GatewayError::Closed(closed)
    }
}

#[derive(Deserialize)]
struct Named {
    t: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    d: Value,
}

/// Returns the interaction that an event is about.
fn created(event: &str) -> Option<Interaction> {
    let named: Named = serde_json::from_str(event).ok()?;
    if named.t.as_deref() != Some("INTERACTION_CREATE") {
        return None;
    }
    let read = serde_json::from_str::<Created>(event)
        .map_err(|error| error.to_string())
        .and_then(|created| interaction::parse(created.d.to_string().as_bytes()).map_err(|e| e.to_string()));
    read.inspect_err(|why| tracing::warn!(%why, "an interaction cannot be read")).ok()
}

async fn answer(discord: Arc<Discord>, driver: Driver, interaction: Interaction, fresh_id: WorldId) {
    let until = Instant::now() + ANSWER_LIMIT;
    let now = (discord.clock)();
    let answer = discord.answer(&interaction, now, &driver, now, fresh_id).await;
    match discord.rest.answer(interaction.id, &interaction.token, answer, until).await {
        Ok(()) => {}
        Err(failure @ Failure::Gone(_)) => tracing::warn!(%failure, "an answer came too late"),
        Err(failure @ (Failure::Unavailable(_) | Failure::Unauthorized | Failure::Refused { .. })) => {
            tracing::error!(%failure, "an answer was not given");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_nothing_else() {
        for good in ["wss://gateway.discord.gg", "ws://127.0.0.1:8080", "ws://[::1]:80/"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in
            ["", "https://h", "ws://", "ws://h/p?q", "ws://a b", "wss://ä", "ws://h:port:1", "ws://u@h"]
        {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
