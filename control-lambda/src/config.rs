//! What the functions are told: by their environment, which is no secret, and by SSM Parameter Store, which holds what is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    ops::RangeInclusive,
    time::Duration,
};

use adapters::{
    chat::discord::{rest::BotToken, signature::PublicKey, snowflake::Snowflake},
    runtime::ecs::CapacityProvider,
    secret::Secret,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_config::SdkConfig;
use axum::http::Uri;
use domain::{
    game::Game,
    idle::{BadTimer, TimerChoices, Timers},
    world::GameId,
};
use games::Catalogue;

/// How often a watchdog reports when nothing changes. Each report is one call of the front door: at this pace a world
/// that is awake around the clock makes 130,000 of them a month, of the million that cost nothing.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// How long a link to an archive works at most. It dies with the role's session that signs it, which lasts for an hour
/// unless somebody made the role's longer, and nobody is told how much of it is left.
const LONGEST_LINK: Duration = Duration::from_secs(60 * 60);

/// The user and group that games run as: not the watchdog's own, which holds the launch's token, and nobody's on the image.
const GAME_USER: (u32, u32) = (10_001, 10_001);

/// The names of the secrets below the prefix, in Parameter Store.
const LAUNCH_SECRET: &str = "launch-secret";
const API_TOKEN: &str = "api-token";
const DISCORD_TOKEN: &str = "discord-token";

/// The parameter that says where the front door is.
const CONTROL_URL: &str = "control-url";

/// How many games are read: far more than a configuration can have.
const MOST_GAMES: usize = 100;

/// The largest that Fargate has.
const MOST_CPU: u32 = 16_384;
const MOST_MEMORY_MIB: u32 = 122_880;

/// What both functions are told by their environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table of worlds.
    pub table: String,
    /// The queue between the two functions.
    pub queue_url: String,
    /// The bucket of archives.
    pub bucket: String,
    /// How long links to archives work at most.
    pub longest_link: Duration,
    /// The prefix of the secrets in Parameter Store, such as `/dormouse`.
    pub parameters: String,
    /// Discord's side of it.
    pub discord: DiscordApp,
    /// What can be played here.
    pub offer: Offer,
}

/// What was deployed of the catalogue, and what of it this deployment has its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The games, in the sizes of their task definitions.
    pub games: BTreeMap<GameId, Size>,
    /// When new worlds go to sleep, where that is not as their game's entry says.
    pub timers: TimerChoices,
}

/// What a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// CPU units, 1024 to a core.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// What Discord's developer pages say of the application.
#[derive(Debug, Clone)]
pub struct DiscordApp {
    /// Its id.
    pub application: Snowflake,
    /// The key that its interactions are signed with.
    pub public_key: PublicKey,
    /// The guilds that are served.
    pub guilds: BTreeSet<Snowflake>,
    /// Where Discord's HTTP interface is.
    pub api_base: String,
}

/// What only the worker is told: how tasks are run.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// The cluster's name.
    pub cluster: String,
    /// What the names of the task definitions begin with.
    pub prefix: String,
    /// The subnets.
    pub subnets: Vec<String>,
    /// The security groups of every task.
    pub security_groups: Vec<String>,
    /// Those that open a game's ports.
    pub game_security_groups: BTreeMap<GameId, Vec<String>>,
    /// What to run on, the first choice first.
    pub capacity_providers: Vec<CapacityProvider>,
    /// Where watchdogs reach the front door.
    pub control_url: String,
    /// How often they report.
    pub report_every: Duration,
    /// The user and group that games run as.
    pub game_user: (u32, u32),
}

/// The secrets, read once at the start of an instance. Lambda keeps an instance for some hours at most, so that is how
/// long a changed secret takes; a new deployment takes it at once.
#[derive(Clone)]
pub struct Secrets {
    /// What launch tokens are derived from.
    pub launch: Secret,
    /// The token of people's programs. Without it they are not let in.
    pub api_token: Option<String>,
    /// The bot's token. Without it there are no cards.
    pub discord_token: Option<BotToken>,
    /// Where people reach the front door, without a slash at the end. It is no secret, but the template cannot put it into
    /// the environment of the very function whose address it is.
    pub control_url: Option<String>,
}

/// Reads one variable.
type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads the environment through `get`; an error names the variable and what is allowed.
    pub fn read(get: Get<'_>) -> Result<Self> {
        Ok(Self {
            table: needed(get, "DORMOUSE_TABLE")?,
            queue_url: needed(get, "DORMOUSE_QUEUE_URL")?,
            bucket: needed(get, "DORMOUSE_BUCKET")?,
            longest_link: seconds(get, "DORMOUSE_LONGEST_LINK_S", LONGEST_LINK, 60..=7 * 24 * 60 * 60)?,
            parameters: parameters(get)?,
            discord: DiscordApp::read(get)?,
            offer: Offer { games: games(get)?, timers: timers(get)? },
        })
    }
}

impl Offer {
    /// Returns the games that can be played, each as it was deployed; an error names a game that the catalogue does not
    /// have, or a timer that does not do.
    pub fn of(&self, catalogue: &Catalogue) -> Result<BTreeMap<GameId, Game>> {
        let one = |(id, size): (&GameId, &Size)| {
            let entry = catalogue.get(id).with_context(|| {
                format!("DORMOUSE_GAMES has `{id}`, which this program's catalogue has not: build it again")
            })?;
            let timers = entry.game.able(self.timers.over(entry.game.timers));
            let Size { cpu, memory_mib } = *size;
            Ok((id.clone(), Game { cpu, memory_mib, timers, ..entry.game.clone() }))
        };
        self.games.iter().map(one).collect()
    }
}

impl DiscordApp {
    fn read(get: Get<'_>) -> Result<Self> {
        let guilds = list(get, "DORMOUSE_DISCORD_GUILDS")?;
        let snowflake =
            |text: &String| text.parse().with_context(|| format!("DORMOUSE_DISCORD_GUILDS has `{text}`"));
        Ok(Self {
            application: parsed(get, "DORMOUSE_DISCORD_APPLICATION")?,
            public_key: parsed(get, "DORMOUSE_DISCORD_PUBLIC_KEY")?,
            guilds: guilds.iter().map(snowflake).collect::<Result<_>>()?,
            api_base: get("DORMOUSE_DISCORD_API")
                .unwrap_or_else(|| adapters::chat::discord::rest::DISCORD.into()),
        })
    }
}

impl Tasks {
    /// Reads the environment through `get`; an error names the variable and what is allowed.
    pub fn read(get: Get<'_>) -> Result<Self> {
        Ok(Self {
            cluster: needed(get, "DORMOUSE_CLUSTER")?,
            prefix: get("DORMOUSE_PREFIX").unwrap_or_else(|| "dormouse".into()),
            subnets: list(get, "DORMOUSE_SUBNETS")?,
            security_groups: list(get, "DORMOUSE_SECURITY_GROUPS")?,
            game_security_groups: game_security_groups(get)?,
            capacity_providers: capacity_providers(get)?,
            control_url: control_url(get)?,
            report_every: seconds(get, "DORMOUSE_REPORT_EVERY_S", REPORT_EVERY, 1..=60)?,
            game_user: game_user(get)?,
        })
    }
}

impl Secrets {
    /// Reads the secrets below `prefix`.
    pub async fn load(aws: &SdkConfig, prefix: &str) -> Result<Self> {
        let names =
            [LAUNCH_SECRET, API_TOKEN, DISCORD_TOKEN, CONTROL_URL].map(|name| format!("{prefix}/{name}"));
        let ssm = aws_sdk_ssm::Client::new(aws);
        let read = ssm.get_parameters().set_names(Some(names.to_vec())).with_decryption(true).send().await;
        let read = read.map_err(|error| adapters::aws::unavailable("ssm:GetParameters", &error))?;
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for parameter in read.parameters.unwrap_or_default() {
            if let (Some(name), Some(value)) = (parameter.name, parameter.value) {
                values.insert(name, value);
            }
        }
        let [launch, api_token, discord_token, control_url] = names;
        let hex =
            values.get(&launch).with_context(|| format!("parameter {launch} is missing: deploy makes it"))?;
        let bot_token =
            |text: &String| BotToken::parse(text).with_context(|| format!("parameter {discord_token}"));
        Ok(Self {
            launch: Secret::new(
                secret(hex).with_context(|| format!("parameter {launch} is not 64 hexadecimal digits"))?,
            ),
            api_token: values.get(&api_token).map(|text| strong(text, &api_token)).transpose()?,
            discord_token: values.get(&discord_token).map(bot_token).transpose()?,
            control_url: values.get(&control_url).map(|url| url.trim_end_matches('/').to_owned()),
        })
    }
}

/// Reads 64 hexadecimal digits.
fn secret(hex: &str) -> Option<[u8; 32]> {
    domain::world::Sha256::parse(hex.trim()).ok().map(|digest| digest.0)
}

/// Returns the token if it is long enough to be one.
fn strong(token: &str, name: &str) -> Result<String> {
    let token = token.trim();
    ensure!(token.len() >= 32, "parameter {name} has fewer than 32 characters: make a longer one");
    Ok(token.to_owned())
}

fn needed(get: Get<'_>, name: &str) -> Result<String> {
    match get(name) {
        Some(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        Some(_) => bail!("environment variable {name} is empty"),
        None => bail!("environment variable {name} is not set"),
    }
}

fn parsed<T>(get: Get<'_>, name: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = needed(get, name)?;
    text.parse().with_context(|| format!("environment variable {name} is `{text}`"))
}

/// Reads one or more values, separated by commas.
fn list(get: Get<'_>, name: &str) -> Result<Vec<String>> {
    let text = needed(get, name)?;
    let parts: Vec<_> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    ensure!(!parts.is_empty(), "environment variable {name} names nothing");
    Ok(parts)
}

fn parameters(get: Get<'_>) -> Result<String> {
    let prefix = needed(get, "DORMOUSE_PARAMETERS")?;
    let ok = prefix.starts_with('/') && !prefix.ends_with('/');
    ensure!(ok, "environment variable DORMOUSE_PARAMETERS is `{prefix}`: use a path such as /dormouse");
    Ok(prefix)
}

/// Reads `valheim=2048/8192,luanti=512/1024`: games, with CPU units and MiB.
fn games(get: Get<'_>) -> Result<BTreeMap<GameId, Size>> {
    const NAME: &str = "DORMOUSE_GAMES";
    const USE: &str = "use game=cpu/memory, such as luanti=512/1024";
    let one = |text: &String| -> Result<(GameId, Size)> {
        let within = |part: &str, most: u32| part.parse().ok().filter(|n| (1..=most).contains(n));
        let size = |text: &str| {
            let (cpu, memory) = text.split_once('/')?;
            Some(Size { cpu: within(cpu, MOST_CPU)?, memory_mib: within(memory, MOST_MEMORY_MIB)? })
        };
        let read = text.split_once('=').and_then(|(game, text)| Some((game, size(text)?)));
        let (game, size) = read.with_context(|| format!("{NAME} has `{text}`: {USE}"))?;
        Ok((GameId::parse(game).context(NAME)?, size))
    };
    let all = list(get, NAME)?;
    ensure!(all.len() <= MOST_GAMES, "{NAME} has {} games: use at most {MOST_GAMES}", all.len());
    all.iter().map(one).collect()
}

/// Reads the timers that hold for new worlds of every game.
fn timers(get: Get<'_>) -> Result<TimerChoices> {
    let read = |name: &str| -> Result<Option<Duration>> {
        let Some(text) = get(name) else { return Ok(None) };
        let seconds: Option<u32> = text.parse().ok();
        let seconds = seconds.with_context(|| {
            format!("environment variable {name} is `{text}`: use a whole number of seconds")
        })?;
        Ok(Some(Duration::from_secs(seconds.into())))
    };
    let timers = TimerChoices {
        never_joined: read("DORMOUSE_NEVER_JOINED_S")?,
        last_left: read("DORMOUSE_LAST_LEFT_S")?,
        warning: read("DORMOUSE_WARNING_S")?,
        afk: read("DORMOUSE_AFK_S")?,
        cap: read("DORMOUSE_CAP_S")?,
    };
    let bad = |BadTimer { name, seconds, least, most, or }: BadTimer| {
        let name = name.to_uppercase();
        anyhow!("environment variable DORMOUSE_{name}_S is `{seconds}`: use {least} to {most}{or}")
    };
    timers.over(Timers::DEFAULT).checked().map_err(bad)?;
    Ok(timers)
}

/// Reads `valheim=sg-1+sg-2,luanti=sg-3`.
fn game_security_groups(get: Get<'_>) -> Result<BTreeMap<GameId, Vec<String>>> {
    const NAME: &str = "DORMOUSE_GAME_SECURITY_GROUPS";
    let one = |text: &String| -> Result<(GameId, Vec<String>)> {
        let (game, groups) =
            text.split_once('=').with_context(|| format!("{NAME} has `{text}`: use game=sg-1+sg-2"))?;
        Ok((GameId::parse(game)?, groups.split('+').map(str::to_owned).collect()))
    };
    list(get, NAME)?.iter().map(one).collect()
}

fn capacity_providers(get: Get<'_>) -> Result<Vec<CapacityProvider>> {
    const NAME: &str = "DORMOUSE_CAPACITY_PROVIDERS";
    let one = |text: &String| match text.as_str() {
        "FARGATE_SPOT" => Ok(CapacityProvider::Spot),
        "FARGATE" => Ok(CapacityProvider::OnDemand),
        other => bail!("environment variable {NAME} has `{other}`: use FARGATE_SPOT and FARGATE"),
    };
    match get(NAME) {
        None => Ok(vec![CapacityProvider::Spot, CapacityProvider::OnDemand]),
        Some(_) => list(get, NAME)?.iter().map(one).collect(),
    }
}

fn control_url(get: Get<'_>) -> Result<String> {
    let url = needed(get, "DORMOUSE_CONTROL_URL")?;
    ensure!(
        url.parse().is_ok_and(|uri| is_safe(&uri)),
        "environment variable DORMOUSE_CONTROL_URL is `{url}`: launch tokens travel there, so use https://…"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// Tells whether what is sent there stays secret: it is encrypted, or never leaves a network of our own.
fn is_safe(uri: &Uri) -> bool {
    let own = |host: &str| host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_private() || ip.is_loopback());
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty(),
        (Some("http"), Some(host)) => own(host),
        (_, _) => false,
    }
}

/// Reads a whole number of seconds.
fn seconds(get: Get<'_>, name: &str, usual: Duration, allowed: RangeInclusive<u64>) -> Result<Duration> {
    let Some(text) = get(name) else { return Ok(usual) };
    let seconds = text.parse().ok().filter(|s| allowed.contains(s));
    let (least, most) = (allowed.start(), allowed.end());
    let seconds =
        seconds.with_context(|| format!("environment variable {name} is `{text}`: use {least} to {most}"))?;
    Ok(Duration::from_secs(seconds))
}

fn game_user(get: Get<'_>) -> Result<(u32, u32)> {
    const NAME: &str = "DORMOUSE_GAME_USER";
    let Some(text) = get(NAME) else { return Ok(GAME_USER) };
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| part.parse().ok().filter(|n| *n != 0 && is_number(part));
    let user = text.split_once(':').and_then(|(user, group)| number(user).zip(number(group)));
    user.with_context(|| {
        format!(
            "environment variable {NAME} is `{text}`: use uid:gid, two numbers from 1, such as 10001:10001"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn a_whole_environment_is_read() {
        let get = |name: &str| whole().get(name).cloned();
        let (config, tasks) = (Config::read(&get).unwrap(), Tasks::read(&get).unwrap());
        assert_eq!((config.table.as_str(), config.parameters.as_str()), ("worlds", "/dormouse"));
        assert_eq!(config.discord.guilds.len(), 2);
        assert_eq!(tasks.subnets, ["subnet-1", "subnet-2"]);
        assert_eq!(tasks.game_security_groups[&GameId::parse("valheim").unwrap()], ["sg-2", "sg-3"]);
        assert_eq!(tasks.capacity_providers, [CapacityProvider::Spot, CapacityProvider::OnDemand]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        check("DORMOUSE_TABLE", None, expect!["environment variable DORMOUSE_TABLE is not set"]);
        check("DORMOUSE_TABLE", Some(" "), expect!["environment variable DORMOUSE_TABLE is empty"]);
        check(
            "DORMOUSE_CONTROL_URL",
            Some("http://example.org"),
            expect![
                "environment variable DORMOUSE_CONTROL_URL is `http://example.org`: launch tokens travel there, so use https://…"
            ],
        );
        check(
            "DORMOUSE_CAPACITY_PROVIDERS",
            Some("CHEAP"),
            expect![
                "environment variable DORMOUSE_CAPACITY_PROVIDERS has `CHEAP`: use FARGATE_SPOT and FARGATE"
            ],
        );
        check(
            "DORMOUSE_REPORT_EVERY_S",
            Some("0"),
            expect!["environment variable DORMOUSE_REPORT_EVERY_S is `0`: use 1 to 60"],
        );
        check(
            "DORMOUSE_GAME_USER",
            Some("root"),
            expect![
                "environment variable DORMOUSE_GAME_USER is `root`: use uid:gid, two numbers from 1, such as 10001:10001"
            ],
        );
        check(
            "DORMOUSE_GAME_SECURITY_GROUPS",
            Some("valheim"),
            expect!["DORMOUSE_GAME_SECURITY_GROUPS has `valheim`: use game=sg-1+sg-2"],
        );
        check("DORMOUSE_GAMES", None, expect!["environment variable DORMOUSE_GAMES is not set"]);
        check(
            "DORMOUSE_LAST_LEFT_S",
            Some("5m"),
            expect!["environment variable DORMOUSE_LAST_LEFT_S is `5m`: use a whole number of seconds"],
        );
        check(
            "DORMOUSE_CAP_S",
            Some("29"),
            expect!["environment variable DORMOUSE_CAP_S is `29`: use 30 to 604800"],
        );
        check(
            "DORMOUSE_WARNING_S",
            Some("-1"),
            expect!["environment variable DORMOUSE_WARNING_S is `-1`: use a whole number of seconds"],
        );
    }

    #[test]
    fn games_have_a_size_each() {
        let read = |text: &str| games(&|_| Some(text.to_owned())).map_err(|error| error.to_string());
        let luanti = Size { cpu: 512, memory_mib: 1024 };
        assert_eq!(read("luanti=512/1024"), Ok([(GameId::parse("luanti").unwrap(), luanti)].into()));
        for bad in [
            "luanti",
            "luanti=512",
            "luanti=0/1024",
            "luanti=512/-1",
            "luanti=16385/1024",
            "luanti=512/122881",
            "=512/1024",
            "Luanti=512/1024",
            "luanti=512/1024/2",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..=MOST_GAMES).map(|n| format!("g{n}=512/1024")).collect();
        assert_eq!(read(&many.join(",")).unwrap_err(), "DORMOUSE_GAMES has 101 games: use at most 100");
    }

    #[test]
    fn what_is_offered_is_what_was_deployed_in_its_size_and_with_its_timers() {
        let offer = Config::read(&|name| whole().get(name).cloned()).unwrap().offer;
        let catalogue = Catalogue::embedded().unwrap();
        let offered = offer.of(&catalogue).unwrap();
        let ids: Vec<_> = offered.keys().map(GameId::as_str).collect();
        assert_eq!(ids, ["luanti", "openttd"], "not what the catalogue has beyond that");
        let luanti = &offered[&GameId::parse("luanti").unwrap()];
        assert_eq!((luanti.cpu, luanti.memory_mib), (1024, 2048));
        let entry = &catalogue.get(&luanti.id).unwrap().game;
        assert_ne!((luanti.cpu, luanti.memory_mib), (entry.cpu, entry.memory_mib));
        assert_eq!(luanti.timers, Timers { last_left: Duration::from_secs(300), ..entry.timers });
    }

    #[test]
    fn a_game_that_the_program_does_not_know_is_named() {
        let get = |name: &str| match name {
            "DORMOUSE_GAMES" => Some("tetris=256/512".to_owned()),
            _ => whole().get(name).cloned(),
        };
        let offer = Config::read(&get).unwrap().offer;
        let error = offer.of(&Catalogue::embedded().unwrap()).unwrap_err();
        expect!["DORMOUSE_GAMES has `tetris`, which this program's catalogue has not: build it again"]
            .assert_eq(&error.to_string());
    }

    #[test]
    fn launch_tokens_travel_encrypted_or_within_a_network_of_our_own() {
        let read = |url: &str| control_url(&|_| Some(url.to_owned())).ok();
        for good in
            ["https://abc.on.aws", "http://127.0.0.1:7878", "http://10.0.3.4:80", "http://192.168.1.2"]
        {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in [
            "http://10.example.org",
            "http://10.0.0.1.example.org:80",
            "http://10.0.0.1@example.org",
            "http://127.0.0.1:80@example.org",
            "http://172.32.0.1",
            "http://8.8.8.8",
            "http://localhost:7878",
            "http://10.",
            "https://",
            "ftp://10.0.0.1",
            "10.0.0.1:80",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn games_run_as_a_user_of_their_own() {
        let get = |name: &str| whole().get(name).cloned();
        assert_eq!(Tasks::read(&get).unwrap().game_user, (10_001, 10_001));
        let read = |user: &str| game_user(&|_| Some(user.to_owned()));
        assert_eq!(read("1000:100").unwrap(), (1000, 100));
        for bad in [
            "",
            "1000",
            "0:0",
            "0:1000",
            "1000:0",
            "+1:+1",
            "-1:1",
            " 1:1",
            "1:1:1",
            "4294967296:1",
            "kaya:1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_work_for_an_hour_unless_told_otherwise() {
        let read = |longest: Option<&str>| {
            let mut all = whole();
            all.extend(longest.map(|s| ("DORMOUSE_LONGEST_LINK_S".to_owned(), s.to_owned())));
            Config::read(&|name| all.get(name).cloned()).map(|config| config.longest_link.as_secs()).ok()
        };
        assert_eq!(read(None), Some(3600));
        assert_eq!(read(Some("43200")), Some(43_200));
        assert_eq!((read(Some("59")), read(Some("604801"))), (None, None));
    }

    #[test]
    fn a_launch_secret_is_64_hexadecimal_digits() {
        assert_eq!(secret(&"a7".repeat(32)), Some([0xa7; 32]));
        assert_eq!(secret("a7"), None);
    }

    fn check(name: &str, value: Option<&str>, expected: Expect) {
        let mut all = whole();
        match value {
            Some(value) => all.insert(name.into(), value.into()),
            None => all.remove(name),
        };
        let get = |name: &str| all.get(name).cloned();
        let error = Config::read(&get).map(drop).and_then(|()| Tasks::read(&get).map(drop)).unwrap_err();
        expected.assert_eq(&format!("{error:#}"));
    }

    fn whole() -> BTreeMap<String, String> {
        let all = [
            ("TABLE", "worlds"),
            ("QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/111122223333/looks"),
            ("BUCKET", "archives"),
            ("PARAMETERS", "/dormouse"),
            ("DISCORD_APPLICATION", "1234567890123456789"),
            ("DISCORD_PUBLIC_KEY", KEY),
            ("DISCORD_GUILDS", "223456789012345678, 323456789012345678"),
            ("CLUSTER", "dormouse"),
            ("SUBNETS", "subnet-1,subnet-2"),
            ("SECURITY_GROUPS", "sg-1"),
            ("GAME_SECURITY_GROUPS", "valheim=sg-2+sg-3,luanti=sg-4"),
            ("CONTROL_URL", "https://abc.lambda-url.eu-central-1.on.aws/"),
            ("GAMES", "luanti=1024/2048, openttd=256/512"),
            ("LAST_LEFT_S", "300"),
        ];
        all.into_iter().map(|(name, value)| (format!("DORMOUSE_{name}"), value.to_owned())).collect()
    }
}
