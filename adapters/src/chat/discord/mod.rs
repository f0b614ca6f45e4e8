//! Discord: what people do there comes in by [`Discord::interact`] (HTTP) or [`gateway`], what they are told goes out by
//! [`rest`].
//!
//! ```text
//! signature ─► interaction ─► endpoint ─► domain::commands ─► reply ─► message ─► Discord
//!                                         domain::effect  ─► tell  ─► message ─► rest ─► Discord
//! ```
//!
//! Nothing is decided here. What comes in is parsed into the domain's words, and what goes out keeps Discord's limits by
//! the way it is made ([`message`], [`limits`]) and notifies nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Timestamp,
    effect::Notice,
    game::Game,
    ports::{Chat, Unavailable},
    talk::{CardId, Follower},
    world::{GameId, World, WorldId},
};
use futures_util::{StreamExt, stream};
use ring::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::chat::discord::{
    endpoint::FOLLOWED_FOR,
    message::Message,
    rest::{BotToken, Failure, Posted, Registered, Rest},
    signature::PublicKey,
    snowflake::Snowflake,
};

pub mod snowflake;

pub mod signature;

pub mod interaction;

pub mod custom_id;

pub mod commands;

pub mod endpoint;

mod making;

pub mod reply;

pub mod card;

pub mod message;

pub mod markup;

pub mod limits;

pub mod rest;

mod ways;

#[cfg(feature = "gateway")]
pub mod gateway;

#[cfg(test)]
mod tests;

/// How long one notice is tried, with the card and all answers. A worker on Lambda has a minute for all that it does, and a
/// sweep goes through many worlds.
const TELL_LIMIT: Duration = Duration::from_secs(8);

/// How many answers are changed at a time.
const ANSWERS_AT_ONCE: usize = 5;

/// How old an answer is that Discord must know by now: our first answer arrives within the three seconds that it waits, and
/// is registered at once.
const REGISTERED_WITHIN: Duration = Duration::from_secs(10);

/// Whether somebody is sent a bill for a world that is awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billed {
    /// Yes: worlds run on rented machines, and people are told when they cost money.
    Yes,
    /// No: worlds run on a machine that runs anyway.
    No,
}

/// What Discord's side of it is.
#[derive(Debug, Clone)]
pub struct DiscordConfig {
    /// The application.
    pub application: Snowflake,
    /// The key that it signs with. Without it nothing is taken that comes by HTTP.
    pub public_key: Option<PublicKey>,
    /// The guilds that are served. Anybody can add an application to a guild of theirs, so none is served unnamed.
    pub guilds: BTreeSet<Snowflake>,
    /// The bot's token. Without it there are answers, but no cards.
    pub bot_token: Option<BotToken>,
    /// Where Discord's HTTP interface is; [`rest::DISCORD`] unless a stand-in is used.
    pub api_base: String,
    /// Whether people are told what costs money.
    pub billed: Billed,
}

/// Discord.
pub struct Discord {
    config: DiscordConfig,
    games: Arc<BTreeMap<GameId, Game>>,
    rest: Rest,
    clock: fn() -> Timestamp,
}

impl Discord {
    /// Returns the chat of `config`, which knows `games` by their names.
    pub fn new(config: DiscordConfig, games: Arc<BTreeMap<GameId, Game>>, clock: fn() -> Timestamp) -> Self {
        let rest = Rest::new(&config.api_base, config.bot_token.clone());
        Self { config, games, rest, clock }
    }

    /// Shows what is so until `until` is reached: on the card first, which is for everybody and is remembered, and then in
    /// the answers that are followed.
    async fn tell_until(
        &self,
        world: &World,
        notice: &Notice,
        until: Instant,
    ) -> Result<Option<CardId>, Unavailable> {
        let message = self.notice(world, notice);
        let kept = world.talk.card.clone();
        // While the card cannot be shown, answers would be changed again with each try.
        let card = shown(world, "the card", self.show_card(world, &message, until).await, kept)?;
        let late = self.edit_replies(world, &message, until).await;
        let is_shown = card.is_some() && self.config.bot_token.is_some();
        match late {
            // Where there is a card, whoever looks finds what is so; answers that were missed change with the next notice.
            Some(late) if !is_shown => Err(late),
            Some(_) | None => Ok(card),
        }
    }

    /// Turns the answers that are followed into `message`; returns what was out of reach.
    async fn edit_replies(&self, world: &World, message: &Message, until: Instant) -> Option<Unavailable> {
        let now = (self.clock)();
        let followers = world.talk.followers.iter().filter(|follower| follower.until > now);
        let edits: Vec<_> =
            followers.map(|follower| self.edit_reply(follower, message, now, until)).collect();
        let mut edits = stream::iter(edits).buffer_unordered(ANSWERS_AT_ONCE);
        let mut late = None;
        while let Some(edited) = edits.next().await {
            late = shown(world, "an answer", edited, ()).err().or(late);
        }
        late
    }

    /// Turns an answer that somebody follows into `message`.
    async fn edit_reply(
        &self,
        follower: &Follower,
        message: &Message,
        now: Timestamp,
        until: Instant,
    ) -> Result<(), Failure> {
        let (application, token) = follower.reply.as_str().split_once('/').ok_or(Failure::Gone(0))?;
        let left = follower.until.duration_since(now).unsigned_abs();
        let is_young = left > FOLLOWED_FOR.saturating_sub(REGISTERED_WITHIN);
        let registered = if is_young { Registered::Perhaps } else { Registered::Surely };
        self.rest.edit_original(application, token, registered, message.edit(), until).await
    }

    /// Turns the world's card into `message`, or posts one where it is spoken of and has none; returns the card.
    async fn show_card(
        &self,
        world: &World,
        message: &Message,
        until: Instant,
    ) -> Result<Option<CardId>, Failure> {
        if self.config.bot_token.is_none() {
            return Ok(world.talk.card.clone());
        }
        if let Some((card, channel, id)) = world.talk.card.as_ref().and_then(read_card) {
            match self.rest.edit_message(channel, id, message.edit(), until).await {
                Err(Failure::Gone(_)) => {}
                done => return done.map(|()| Some(card.clone())),
            }
        }
        let place = world.talk.place.as_ref().and_then(|place| place.as_str().parse().ok());
        match place {
            Some(channel) if !message.keys.is_empty() => {
                self.post_card(&world.id, channel, message, until).await
            }
            // A world that is gone, or that is spoken of nowhere, gets no new card.
            Some(_) | None => Ok(None),
        }
    }

    /// Posts the card. Two posts within some minutes, of which only one was heard to succeed, are one message.
    async fn post_card(
        &self,
        world: &WorldId,
        channel: Snowflake,
        message: &Message,
        until: Instant,
    ) -> Result<Option<CardId>, Failure> {
        let Posted { id, content } =
            self.rest.post_message(channel, message.post(&nonce(world, channel)), until).await?;
        if content != limits::clip(&message.content, limits::CONTENT) {
            self.rest.edit_message(channel, id, message.edit(), until).await?;
        }
        Ok(CardId::parse(&format!("{channel}/{id}")).ok())
    }
}

#[async_trait]
impl Chat for Discord {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        self.tell_until(world, notice, Instant::now() + TELL_LIMIT).await
    }
}

/// Returns what was shown; `gone` for what can never be. Only what is out of reach is worth another try.
fn shown<T>(world: &World, what: &str, done: Result<T, Failure>, kept: T) -> Result<T, Unavailable>
where
    T: Default,
{
    match done {
        Ok(shown) => Ok(shown),
        Err(Failure::Gone(code)) => {
            tracing::info!(world = %world.id, generation = world.generation.0, code, "{what} is gone");
            Ok(T::default())
        }
        Err(failure @ Failure::Unavailable(_)) => Err(Unavailable(format!("{what}: {failure}"))),
        Err(failure @ (Failure::Unauthorized | Failure::Refused { .. })) => {
            tracing::error!(world = %world.id, generation = world.generation.0, %failure, "{what} is not shown");
            Ok(kept)
        }
    }
}

fn read_card(card: &CardId) -> Option<(&CardId, Snowflake, Snowflake)> {
    let (channel, message) = card.as_str().split_once('/')?;
    Some((card, channel.parse().ok()?, message.parse().ok()?))
}

/// Returns what every post of a world's card in a channel has in common, and nothing else has.
fn nonce(world: &WorldId, channel: Snowflake) -> String {
    let digest = digest(&SHA256, format!("{world} {channel}").as_bytes());
    digest.as_ref().iter().take(limits::NONCE / 2).map(|b| format!("{b:02x}")).collect()
}
