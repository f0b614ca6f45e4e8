//! People in Discord: what they do goes to the function URL signed, as Discord sends it, and is answered in time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{
    account::agent,
    discord::{APPLICATION, CHANNEL, Discord, GUILD, read},
    validate::{self, To},
};

/// How late an answer may be here. Discord waits for 3 s, which `cargo xtask bench front-door` measures; programs that are
/// made to be debugged, a handful of clouds at once on two processors, take longer now and then.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// How long a test waits, to tell how late an answer was.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Somebody of the guild.
#[derive(Debug, Clone, Copy)]
pub struct Friend {
    /// Discord's id.
    pub id: &'static str,
    /// What others call them.
    pub name: &'static str,
    /// Their permission bits.
    pub permissions: &'static str,
}

/// Manages the guild.
pub const ANN: Friend = Friend { id: "1400000000000000004", name: "ann", permissions: "2251799813685247" };

/// Plays.
pub const BOB: Friend = Friend { id: "1400000000000000005", name: "bob", permissions: "2048" };

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The interaction's token.
    pub token: String,
    /// The answer.
    pub body: Value,
    /// How long it took.
    pub took: Duration,
}

impl Answered {
    /// Returns what people read of it.
    pub fn text(&self) -> String {
        read(&self.body["data"])
    }

    /// Returns the link that it holds.
    pub fn link(&self) -> Result<String> {
        let text = self.text();
        let begin = text.find("http://").with_context(|| format!("no link: {text}"))?;
        Ok(text[begin..].split(['`', '\'', '\n', ' ', '>', ')']).next().unwrap_or_default().to_owned())
    }

    /// Returns what an upload that it has a link for is called.
    pub fn upload(&self) -> Result<String> {
        let text = self.text();
        let id = text.split("upload:").nth(1).and_then(|rest| rest.split('`').next());
        id.map(str::to_owned).with_context(|| format!("no upload: {text}"))
    }

    /// Tells whether only the one who asked sees it.
    pub fn is_whispered(&self) -> bool {
        self.body["data"]["flags"] == 64
    }
}

/// The guild, by way of Discord.
pub struct People {
    key: Ed25519KeyPair,
    discord: Discord,
    url: String,
}

impl People {
    /// Returns the guild of an application with a key of its own.
    pub fn new(discord: Discord) -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no key"))?;
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { key, discord, url: String::new() })
    }

    /// Tells Discord where interactions go, as one does in its developer portal.
    pub fn send_to(&mut self, url: &str) {
        self.url = format!("{url}/discord/interactions");
    }

    /// Returns the application's public key, as the developer portal shows it.
    pub fn public_key(&self) -> String {
        hex(self.key.public_key().as_ref())
    }

    /// Gives a command such as `world start` with its options.
    pub fn command(&self, who: Friend, path: &str, options: &[(&str, &str)]) -> Result<Answered> {
        let options: Vec<_> =
            options.iter().map(|(name, value)| json!({ "type": 3, "name": name, "value": value })).collect();
        let (name, below) = path.split_once(' ').context("a command has two words")?;
        let below = json!({ "type": 1, "name": below, "options": options });
        let data = json!({ "id": "1700000000000000001", "type": 1, "name": name, "options": [below] });
        self.interact(who, 2, data).with_context(|| format!("/{path} by {}", who.name))
    }

    /// Types `typed` into an option of a command about a world, and returns what is offered: what is sent of each choice.
    pub fn type_into(
        &self,
        who: Friend,
        path: &str,
        world: &str,
        option: &str,
        typed: &str,
    ) -> Result<Vec<String>> {
        let (name, below) = path.split_once(' ').context("a command has two words")?;
        let options = json!([
            { "type": 3, "name": "name", "value": world },
            { "type": 3, "name": option, "value": typed, "focused": true },
        ]);
        let below = json!({ "type": 1, "name": below, "options": options });
        let data = json!({ "id": "1700000000000000001", "type": 1, "name": name, "options": [below] });
        let answered = self.interact(who, 4, data)?;
        let choices = answered.body["data"]["choices"].as_array().cloned().unwrap_or_default();
        Ok(choices.iter().filter_map(|choice| choice["value"].as_str()).map(str::to_owned).collect())
    }

    /// Presses a button.
    pub fn press(&self, who: Friend, custom_id: &str) -> Result<Answered> {
        let data = json!({ "component_type": 2, "custom_id": custom_id });
        self.interact(who, 3, data).with_context(|| format!("[{custom_id}] by {}", who.name))
    }

    fn interact(&self, who: Friend, kind: u8, data: Value) -> Result<Answered> {
        let (id, token) = self.discord.interaction();
        let body = interaction(who, &id, &token, kind, data).to_string();
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let signature = hex(self.key.sign(format!("{timestamp}{body}").as_bytes()).as_ref());
        let begun = Instant::now();
        let mut answer = agent(WAIT_LIMIT)
            .post(&self.url)
            .header("X-Signature-Timestamp", timestamp)
            .header("X-Signature-Ed25519", signature)
            .header("Content-Type", "application/json")
            .header("User-Agent", "Discord-Interactions/1.0 (+https://discord.com)")
            .send(body)?;
        let text = answer.body_mut().read_to_string()?;
        let took = begun.elapsed();
        ensure!(answer.status() == 200, "{}: {text}", answer.status());
        ensure!(took < ANSWER_LIMIT, "it took {took:.1?} to answer");
        let body: Value = serde_json::from_str(&text)?;
        let to = match kind {
            3 => To::Button,
            4 => To::Autocomplete,
            _ => To::Command,
        };
        validate::answer(&body, to).map_err(|why| anyhow!("{why}"))?;
        if kind != 4 {
            self.discord.answered(&token, &body);
        }
        Ok(Answered { token, body, took })
    }
}

/// Returns an interaction with everything that Discord puts in one.
fn interaction(who: Friend, id: &str, token: &str, kind: u8, data: Value) -> Value {
    json!({
        "id": id,
        "application_id": APPLICATION,
        "type": kind,
        "token": token,
        "version": 1,
        "guild_id": GUILD,
        "guild": { "id": GUILD, "locale": "en-US", "features": [] },
        "guild_locale": "en-US",
        "locale": "de",
        "channel_id": CHANNEL,
        "channel": { "id": CHANNEL, "type": 0, "name": "valhalla" },
        "context": 0,
        "app_permissions": "2251799813685247",
        "authorizing_integration_owners": { "0": GUILD },
        "attachment_size_limit": 10_485_760,
        "entitlements": [],
        "member": {
            "user": {
                "id": who.id, "username": who.name, "global_name": who.name, "avatar": null, "discriminator": "0",
                "public_flags": 0,
            },
            "nick": null, "roles": [], "permissions": who.permissions, "joined_at": "2026-01-01T00:00:00+00:00",
            "deaf": false, "mute": false, "flags": 0, "pending": false,
        },
        "data": data,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
