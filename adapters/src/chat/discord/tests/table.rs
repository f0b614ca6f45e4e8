//! A guild at a table: friends who do things in Discord, and everything behind it in memory.

use std::time::Duration;

use domain::{
    Timestamp,
    driver::Driver,
    event::Event,
    game::{Game, Players, Port, Protocol, Ready, Save, Signal, Stop},
    idle::{Evidence, Timers},
    sim::Memory,
    talk::{CardId, Talk},
    world::{
        Address, Archive, ArchiveId, GameId, Generation, GuildId, Proof, Sha256, TaskId, World, WorldId,
        WorldName,
    },
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::validate::{self, To};
use crate::chat::discord::{
    Billed, Discord, DiscordConfig,
    endpoint::Answer,
    rest::BotToken,
    signature::{PublicKey, Signed},
};

pub(crate) const APPLICATION: &str = "1100000000000000001";
pub(crate) const GUILD: &str = "1200000000000000002";
pub(crate) const CHANNEL: &str = "1300000000000000003";
pub(crate) const BOT_TOKEN: &str = "MTEwMDAwMDAwMDAwMDAwMDAwMQ.GabcDe.not-a-real-token";

/// The second at which everything begins.
pub(crate) const BEGIN: i64 = 1_800_000_000;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).unwrap()
}

pub(crate) fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

pub(crate) fn sign(pair: &Ed25519KeyPair, timestamp: &str, body: &[u8]) -> String {
    let signature = pair.sign(&[timestamp.as_bytes(), body].concat());
    signature.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn game() -> Game {
    Game {
        id: GameId::parse("luanti").unwrap(),
        name: "Luanti".into(),
        image: "luanti".into(),
        architectures: vec!["arm64".into()],
        cpu: 1024,
        memory_mib: 2048,
        ports: vec![Port { name: "game".into(), number: 30000, protocol: Protocol::Udp }],
        save: Save { paths: vec!["worlds".into()], exclude: vec![] },
        stop: Stop { signal: Signal::Int, grace: Duration::from_secs(60) },
        ready: Ready { typical: Duration::from_secs(90), limit: Duration::from_secs(600) },
        timers: Timers::DEFAULT,
        import: None,
        settings: vec![],
        console: None,
        players: Players::default(),
        query: None,
        scripts: None,
    }
}

pub(crate) fn config(api_base: &str, bot_token: Option<&str>) -> DiscordConfig {
    DiscordConfig {
        application: APPLICATION.parse().unwrap(),
        public_key: Some(PublicKey::new(pair().public_key().as_ref().try_into().unwrap()).unwrap()),
        guilds: [GUILD.parse().unwrap()].into(),
        bot_token: bot_token.map(|token| BotToken::parse(token).unwrap()),
        api_base: api_base.into(),
        billed: Billed::Yes,
    }
}

/// Somebody of the guild.
#[derive(Clone, Copy)]
pub(crate) struct Friend {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) roles: &'static [&'static str],
    pub(crate) permissions: &'static str,
}

/// Manages the guild.
pub(crate) const ANN: Friend =
    Friend { id: "1400000000000000004", name: "ann", roles: &[], permissions: "2251799813685247" };

/// Plays.
pub(crate) const BOB: Friend =
    Friend { id: "1400000000000000005", name: "bob_*the*_builder", roles: &["77"], permissions: "2048" };

/// Everything.
pub(crate) struct Table {
    pub(crate) memory: Memory,
    pub(crate) driver: Driver,
    pub(crate) discord: Discord,
    pub(crate) now: i64,
    said: u32,
}

impl Table {
    /// Returns a table at which nobody has done anything.
    pub(crate) fn new() -> Self {
        Self::of(game())
    }

    /// Returns a table at which `game` can be played.
    pub(crate) fn of(game: Game) -> Self {
        let memory = Memory::default();
        let driver = memory.driver([game]);
        let discord = Discord::new(config("http://127.0.0.1:1", None), driver.games.clone(), || at(0));
        Self { memory, driver, discord, now: 0, said: 0 }
    }

    /// Returns a table with the world `valhalla`, asleep and new.
    pub(crate) async fn with_world() -> Self {
        let mut table = Self::new();
        table
            .command(ANN, "world create", &[("name", 3, json!("valhalla")), ("game", 3, json!("luanti"))])
            .await;
        table
    }

    /// Does `what` as `who`, checks the answer by Discord's rules, and returns it.
    pub(crate) async fn act(&mut self, who: Friend, what: Value) -> Value {
        self.said += 1;
        let to = match what["type"].as_u64() {
            Some(2) => To::Command,
            Some(3) => To::Button,
            Some(4) => To::Autocomplete,
            _ => To::Modal,
        };
        let body = interaction(who, self.said, what).to_string();
        let Answer { status, body } = self.send(body.as_bytes()).await;
        assert_eq!(status, 200, "{body}");
        validate::answer(&body, to).unwrap_or_else(|why| panic!("{why}"));
        body
    }

    /// Sends `body` signed.
    pub(crate) async fn send(&mut self, body: &[u8]) -> Answer {
        let timestamp = (BEGIN + self.now).to_string();
        let signature = sign(&pair(), &timestamp, body);
        self.send_with(&timestamp, &signature, body).await
    }

    pub(crate) async fn send_with(&mut self, timestamp: &str, signature: &str, body: &[u8]) -> Answer {
        self.said += 1;
        let fresh = WorldId::parse(&format!("w-{}", self.said)).unwrap();
        let signed = Signed { timestamp, signature };
        self.discord.interact(signed, body, &self.driver, at(self.now), fresh).await
    }

    pub(crate) async fn command(&mut self, who: Friend, path: &str, options: &[(&str, u8, Value)]) -> Value {
        self.act(who, command(path, options)).await
    }

    /// Gives a command about `valhalla`.
    pub(crate) async fn on_valhalla(&mut self, who: Friend, path: &str) -> Value {
        self.command(who, path, &[("name", 3, json!("valhalla"))]).await
    }

    pub(crate) async fn press(&mut self, who: Friend, custom_id: &str) -> Value {
        self.act(who, json!({ "type": 3, "data": { "component_type": 2, "custom_id": custom_id } })).await
    }

    /// Lets the worker do its work.
    pub(crate) async fn work(&self) {
        self.memory.work(&self.driver, at(self.now)).await;
    }

    /// Lets events of the newest launch happen to `valhalla`.
    pub(crate) async fn happen(&self, events: &[Event]) {
        let world = self.world().await;
        self.driver.apply(&world.id, events, at(self.now)).await.unwrap();
    }

    pub(crate) async fn world(&self) -> World {
        let guild = GuildId::parse(GUILD).unwrap();
        self.driver.store.find(&guild, &WorldName::parse("valhalla").unwrap()).await.unwrap().world
    }

    /// Returns everything that is stored, in words.
    pub(crate) async fn stored(&self) -> String {
        let guild = GuildId::parse(GUILD).unwrap();
        format!("{:?}", self.driver.store.list(&guild).await.unwrap())
    }

    /// Brings `valhalla` on until its game is ready.
    pub(crate) async fn wake(&mut self) {
        self.on_valhalla(ANN, "world start").await;
        self.work().await;
        self.now += 60;
        let task = self.world().await.task().unwrap().clone();
        self.happen(&[Event::Claimed { generation: Generation(1), task }]).await;
        self.now += 30;
        let address = Address { host: "203.0.113.7".into(), port: 30000 };
        self.happen(&[Event::Ready { generation: Generation(1), address }]).await;
    }

    /// Lets the watchdog see `players`.
    pub(crate) async fn see(&self, players: u32, stops_at: Option<i64>) {
        let players = Evidence::count(players);
        self.happen(&[Event::Seen { generation: Generation(1), players, stops_at: stops_at.map(at) }]).await;
    }

    /// Sees the stop of `valhalla` through.
    pub(crate) async fn sleep(&mut self) {
        let generation = Generation(1);
        self.happen(&[Event::Saved { generation, proof: Proof::Fresh }]).await;
        let archive = archive();
        self.memory.lock().archives.insert(archive.id.to_string(), archive.clone());
        self.happen(&[Event::Uploaded { generation, archive }]).await;
        self.now += 30;
        for _ in 0..4 {
            let id = self.world().await.id;
            self.driver.look(&id, at(self.now)).await.unwrap();
        }
    }
}

pub(crate) fn archive() -> Archive {
    Archive {
        id: ArchiveId::parse("1800000200000-g1").unwrap(),
        generation: Generation(1),
        size: 1_400_000,
        sha256: Sha256([7; 32]),
    }
}

/// Returns an interaction as Discord sends it: with much in it that nobody here reads.
pub(crate) fn interaction(who: Friend, number: u32, what: Value) -> Value {
    let mut all = json!({
        "app_permissions": "562949953601536",
        "application_id": APPLICATION,
        "attachment_size_limit": 10_485_760,
        "authorizing_integration_owners": { "0": GUILD },
        "channel": { "id": CHANNEL, "type": 0, "name": "games", "position": 3, "flags": 0 },
        "channel_id": CHANNEL,
        "context": 0,
        "entitlements": [],
        "guild": { "id": GUILD, "features": ["COMMUNITY"], "locale": "de" },
        "guild_id": GUILD,
        "guild_locale": "de",
        "id": format!("15000000000000{number:05}"),
        "locale": "en-GB",
        "member": {
            "avatar": null, "banner": null, "communication_disabled_until": null, "deaf": false, "flags": 0,
            "joined_at": "2023-01-01T00:00:00+00:00", "mute": false, "nick": who.name, "pending": false,
            "permissions": who.permissions, "premium_since": null, "roles": who.roles, "unusual_dm_activity_until": null,
            "user": {
                "avatar": "0123456789abcdef0123456789abcdef", "avatar_decoration_data": null, "clan": null, "discriminator": "0",
                "global_name": "Global", "id": who.id, "primary_guild": null, "public_flags": 0, "username": "user"
            }
        },
        "token": format!("aW50ZXJhY3Rpb246{number}"),
        "version": 1
    });
    for (name, value) in what.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

/// Returns what a command of these words with these options (name, Discord's type, value) says.
pub(crate) fn command(path: &str, options: &[(&str, u8, Value)]) -> Value {
    let options: Vec<_> = options
        .iter()
        .map(|(name, kind, value)| json!({ "name": name, "type": kind, "value": value }))
        .collect();
    let mut words = path.split(' ').rev();
    let last = words.next().unwrap();
    let data = words.fold(
        json!({ "name": last, "type": 1, "options": options }),
        |below, word| json!({ "name": word, "type": 1, "options": [below] }),
    );
    json!({ "type": 2, "data": data })
}

/// Returns an answer as people see it.
pub(crate) fn seen(answer: &Value) -> String {
    let data = &answer["data"];
    let mut lines = Vec::new();
    match (answer["type"].as_u64(), &data["flags"]) {
        (Some(7), _) => lines.push("(the message becomes)".to_owned()),
        (_, flags) if *flags == 64 => lines.push("(only you see this)".to_owned()),
        (_, _) => {}
    }
    if answer["type"] == 9 {
        lines.push(format!("[[ {} ]]", data["title"].as_str().unwrap()));
        let label = &data["components"][0];
        lines.push(format!("{} — {}", label["label"], label["description"]));
    }
    lines.extend(message(data));
    lines.join("\n")
}

/// Returns a message as people see it.
pub(crate) fn message(data: &Value) -> Vec<String> {
    // What cannot be seen is shown.
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('\u{200b}', "¦");
    let mut lines: Vec<_> = text(&data["content"]).lines().map(str::to_owned).collect();
    for embed in data["embeds"].as_array().into_iter().flatten() {
        let parts = [text(&embed["title"]), text(&embed["description"]), text(&embed["footer"]["text"])];
        lines
            .extend(parts.join("\n").lines().filter(|line| !line.is_empty()).map(|line| format!("| {line}")));
    }
    for row in data["components"].as_array().into_iter().flatten() {
        let buttons = row["components"].as_array().into_iter().flatten();
        let labels: Vec<_> = buttons.map(|button| format!("[{}]", text(&button["label"]))).collect();
        lines.extend((!labels.is_empty()).then(|| labels.join(" ")));
    }
    lines
}

/// Returns the world with another memory of where it is spoken of.
pub(crate) fn talking(world: World, card: Option<&str>) -> World {
    let card = card.map(|card| CardId::parse(card).unwrap());
    World { talk: Talk { card, ..world.talk.clone() }, ..world }
}

pub(crate) fn task(name: &str) -> TaskId {
    TaskId::parse(name).unwrap()
}
