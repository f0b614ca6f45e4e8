//! The parts of an interaction that need nobody else, timed in one process as the functions are built: the check of
//! Discord's signature, the bare Ed25519 check inside it, and the rules, with every port in memory.
//!
//! Reads [`Asked`] from its standard input and writes [`Told`] to its standard output, both in JSON.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use adapters::chat::discord::{
    Billed, Discord, DiscordConfig, interaction, rest,
    signature::{PublicKey, Signed, verify},
};
use anyhow::{Context, Result, ensure};
use domain::{Timestamp, driver::Driver, sim::Memory, world::WorldId};
use games::Catalogue;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to be measured.
#[derive(Deserialize)]
struct Asked {
    application: String,
    guild: String,
    /// In hexadecimal digits.
    public_key: String,
    /// Seconds since 1970.
    now: i64,
    rounds: usize,
    /// Makes the world that the others are about.
    create: Request,
    interactions: BTreeMap<String, Request>,
}

/// A signed request of Discord's.
#[derive(Deserialize)]
struct Request {
    timestamp: String,
    signature: String,
    body: String,
}

/// What was measured of one interaction: nanoseconds, one for each round.
#[derive(Serialize)]
struct Told {
    signature: Vec<u64>,
    bare_ed25519: Vec<u64>,
    rules: Vec<u64>,
    /// The last answer.
    answer: Value,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let asked: Asked = serde_json::from_reader(io::stdin().lock()).context("reading what to measure")?;
    let bench = Bench::new(&asked)?;
    let mut told = BTreeMap::new();
    for (name, request) in &asked.interactions {
        told.insert(name, bench.measure(request, &asked).await.with_context(|| name.clone())?);
    }
    Ok(serde_json::to_writer(io::stdout().lock(), &told)?)
}

struct Bench {
    discord: Discord,
    catalogue: Catalogue,
    key: PublicKey,
    raw_key: Vec<u8>,
    now: Timestamp,
}

impl Bench {
    fn new(asked: &Asked) -> Result<Self> {
        let catalogue = Catalogue::embedded()?;
        let key: PublicKey = asked.public_key.parse()?;
        let config = DiscordConfig {
            application: asked.application.parse()?,
            public_key: Some(key),
            guilds: [asked.guild.parse()?].into(),
            bot_token: None,
            api_base: rest::DISCORD.into(),
            billed: Billed::Yes,
        };
        Ok(Self {
            discord: Discord::new(config, catalogue.games().into(), Timestamp::now),
            catalogue,
            key,
            raw_key: unhex(&asked.public_key).context("the key is not hexadecimal")?,
            now: Timestamp::from_second(asked.now)?,
        })
    }

    async fn measure(&self, request: &Request, asked: &Asked) -> Result<Told> {
        let raw_signature = unhex(&request.signature).context("the signature is not hexadecimal")?;
        let message = [request.timestamp.as_bytes(), request.body.as_bytes()].concat();
        let mut told = Told { signature: vec![], bare_ed25519: vec![], rules: vec![], answer: Value::Null };
        for _ in 0..asked.rounds {
            // Each round finds the same world, new and asleep.
            let driver = self.driver(&asked.create).await?;
            let (checked, took) =
                timed(|| UnparsedPublicKey::new(&ED25519, &self.raw_key).verify(&message, &raw_signature));
            ensure!(checked.is_ok(), "the bare check fails");
            told.bare_ed25519.push(took);
            let (at, took) =
                timed(|| verify(Some(&self.key), request.signed(), request.body.as_bytes(), self.now));
            told.signature.push(took);
            let at = at?;
            let begun = Instant::now();
            told.answer = self.answer(request, at, &driver).await?;
            told.rules.push(nanoseconds(begun.elapsed()));
        }
        Ok(told)
    }

    /// Does what [`Discord::interact`] does once the signature is checked.
    async fn answer(&self, request: &Request, at: Timestamp, driver: &Driver) -> Result<Value> {
        let interaction = interaction::parse(request.body.as_bytes())?;
        let fresh_id = WorldId::parse("w-2")?;
        Ok(self.discord.answer(&interaction, at, driver, self.now, fresh_id).await)
    }

    /// Returns a driver over memory that holds the one world.
    async fn driver(&self, create: &Request) -> Result<Driver> {
        let driver = Memory::default().driver(self.catalogue.games().into_values());
        let id = WorldId::parse("w-1")?;
        let body = create.body.as_bytes();
        let made = self.discord.interact(create.signed(), body, &driver, self.now, id.clone()).await;
        driver.store.load(&id).await.with_context(|| format!("the world was not made: {}", made.body))?;
        Ok(driver)
    }
}

impl Request {
    fn signed(&self) -> Signed<'_> {
        Signed { timestamp: &self.timestamp, signature: &self.signature }
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, u64) {
    let begun = Instant::now();
    let done = act();
    (done, nanoseconds(begun.elapsed()))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
