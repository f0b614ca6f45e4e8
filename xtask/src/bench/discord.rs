//! Interactions as Discord sends them, signed with a key of the bench's own.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) const APPLICATION: &str = "1154785432109876543";
pub(super) const GUILD: &str = "1154785432109876001";
const CHANNEL: &str = "1154785432109876002";

/// The only world.
const WORLD: &str = "valhalla";

/// What is done in Discord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interaction {
    /// Discord asks whether somebody is there.
    Ping,
    /// `/world status`
    Status,
    /// `/world start`
    Start,
    /// `/world create`
    Create,
    /// `/world settings`, with so many minutes for the first player
    Settings(u8),
}

/// Discord, as far as it signs.
pub(super) struct Discord {
    pair: Ed25519KeyPair,
    said: Cell<u64>,
}

/// A request of Discord's.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Signed {
    /// Seconds since 1970, in digits.
    pub(super) timestamp: String,
    /// In hexadecimal digits.
    pub(super) signature: String,
    /// JSON.
    pub(super) body: String,
}

impl Interaction {
    /// Returns what the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Status => "/world status",
            Self::Start => "/world start",
            Self::Create => "/world create",
            Self::Settings(_) => "/world settings",
        }
    }

    /// Fails unless `answer` is what is said when all went well.
    pub(super) fn expect(self, answer: &Value) -> Result<()> {
        let (kind, words) = match self {
            Self::Ping => (1, ""),
            Self::Status => (4, "asleep"),
            Self::Start => (4, "waking"),
            Self::Create => (4, "is made"),
            Self::Settings(_) => (4, "settings"),
        };
        let is_it = answer["type"] == kind && answer.to_string().contains(words);
        ensure!(is_it, "{} is answered by {answer}", self.name());
        Ok(())
    }

    fn what(self) -> Value {
        let (name, game) = (json!({ "name": "name", "type": 3, "value": WORLD }), "luanti");
        let below = match self {
            Self::Ping => return json!({ "type": 1 }),
            Self::Status => json!({ "name": "status", "type": 1, "options": [name] }),
            Self::Start => json!({ "name": "start", "type": 1, "options": [name] }),
            Self::Create => {
                let game = json!({ "name": "game", "type": 3, "value": game });
                json!({ "name": "create", "type": 1, "options": [name, game] })
            }
            Self::Settings(minutes) => {
                let within = json!({ "name": "join-within", "type": 3, "value": format!("{minutes}m") });
                json!({ "name": "settings", "type": 1, "options": [name, within] })
            }
        };
        let data = json!({ "id": "1154785432109876003", "name": "world", "type": 1, "options": [below] });
        json!({ "type": 2, "guild_id": GUILD, "data": data })
    }
}

impl Discord {
    /// Returns a Discord that has said nothing yet.
    pub(super) fn new() -> Result<Self> {
        Self::after(0)
    }

    /// Returns a Discord that has said so much: each interaction has a number of its own.
    pub(super) fn after(said: u64) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[42; 32]).ok().context("a key from its seed")?;
        Ok(Self { pair, said: Cell::new(said) })
    }

    /// Returns the key that its signatures are checked with, in hexadecimal digits.
    pub(super) fn public_key(&self) -> String {
        hex(self.pair.public_key().as_ref())
    }

    /// Returns a new interaction, signed now.
    pub(super) fn says(&self, interaction: Interaction) -> Signed {
        self.said_at(now(), interaction)
    }

    /// Returns a new interaction, signed at that time, in seconds since 1970.
    pub(super) fn said_at(&self, time: u64, interaction: Interaction) -> Signed {
        self.said.set(self.said.get() + 1);
        let timestamp = time.to_string();
        let body = body(interaction, self.said.get()).to_string();
        let signature = hex(self.pair.sign(&[timestamp.as_bytes(), body.as_bytes()].concat()).as_ref());
        Signed { timestamp, signature, body }
    }
}

impl Signed {
    /// Returns the request as it goes over the wire.
    pub(super) fn request(&self) -> Vec<u8> {
        let Self { timestamp, signature, body } = self;
        let length = body.len();
        let head = format!(
            "POST /discord/interactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             X-Signature-Timestamp: {timestamp}\r\nX-Signature-Ed25519: {signature}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// Returns the event that the function's URL makes of it: payload format 2.0.
    pub(super) fn event(&self) -> Value {
        let (path, host) =
            ("/discord/interactions", "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws");
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {
                "content-length": self.body.len().to_string(),
                "content-type": "application/json",
                "host": host,
                "user-agent": "Discord-Interactions/1.0 (+https://discord.com)",
                "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
                "x-amzn-tls-version": "TLSv1.3",
                "x-amzn-trace-id": "Root=1-00000000-000000000000000000000000",
                "x-forwarded-for": "203.0.113.7",
                "x-forwarded-port": "443",
                "x-forwarded-proto": "https",
                "x-signature-ed25519": self.signature,
                "x-signature-timestamp": self.timestamp,
            },
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "abcdefghijklmnopqrstuvwxyz012345",
                "domainName": host,
                "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
                "http": {
                    "method": "POST",
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "203.0.113.7",
                    "userAgent": "Discord-Interactions/1.0 (+https://discord.com)",
                },
                "requestId": "00000000-0000-4000-8000-000000000000",
                "routeKey": "$default",
                "stage": "$default",
                "time": "21/Nov/2026:12:00:00 +0000",
                "timeEpoch": 1_795_262_400_000_u64,
            },
            "body": self.body,
            "isBase64Encoded": false,
        })
    }
}

/// Returns the seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns an interaction with about as much in it as Discord sends, of which few fields are read.
fn body(interaction: Interaction, number: u64) -> Value {
    let mut body = json!({
        "application_id": APPLICATION,
        "id": (1_154_785_432_109_900_000 + number).to_string(),
        "token": format!("{:0>180}{number:0>20}", "aW50ZXJhY3Rpb24"),
        "version": 1,
        "context": 0,
        "locale": "en-GB",
        "guild_locale": "en-GB",
        "entitlements": [],
        "attachment_size_limit": 10_485_760,
        "app_permissions": "2248473465835073",
        "authorizing_integration_owners": { "0": GUILD },
        "guild": { "id": GUILD, "locale": "en-GB", "features": ["COMMUNITY", "NEWS"] },
        "channel_id": CHANNEL,
        "channel": {
            "id": CHANNEL, "guild_id": GUILD, "type": 0, "name": "games", "position": 4, "flags": 0, "nsfw": false,
            "last_message_id": "1154785432109876010", "parent_id": "1154785432109876011", "rate_limit_per_user": 0,
            "permissions": "2251799813685247", "topic": null
        },
        "member": {
            "user": {
                "id": "1154785432109876020", "username": "ann", "global_name": "Ann", "discriminator": "0",
                "avatar": "0123456789abcdef0123456789abcdef", "avatar_decoration_data": null, "clan": null,
                "primary_guild": null, "public_flags": 64
            },
            "nick": null, "avatar": null, "banner": null, "deaf": false, "mute": false, "flags": 0, "pending": false,
            "joined_at": "2023-09-22T12:00:00.000000+00:00", "premium_since": null, "communication_disabled_until": null,
            "unusual_dm_activity_until": null, "roles": ["1154785432109876030", "1154785432109876031"],
            "permissions": "2251799813685247"
        }
    });
    for (name, value) in interaction.what().as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
