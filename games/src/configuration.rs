//! `dormouse.toml`: what people decide about a deployment on AWS. cdk deploys it (`cdk/lib/config.ts`), these programs look
//! at what was deployed and say what it costs. Both refuse the same, in the same words; `dormouse.example.toml` documents
//! each key.

use std::{collections::BTreeMap, path::Path};

use domain::{game::Game, world::GameId};

use crate::{
    catalogue::{Catalogue, LoadError, read_text},
    entry::{read_timers, size},
    problem::{BadEntry, Problems},
    rule::{self, Rule},
    section::{Section, read_document},
};

/// The days for which CloudWatch keeps logs, up to a year; it takes no others.
const LOG_DAYS: &[u32] = &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365];

/// What people decide, as far as a program needs it. All of the file is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// What names begin with.
    pub prefix: String,
    /// The account, twelve digits.
    pub account: String,
    /// The region.
    pub region: String,
    /// The id of Discord's application, 17 to 20 digits.
    pub application: String,
    /// The ids of the servers that are served, each 17 to 20 digits.
    pub guilds: Vec<String>,
    /// The games that can be played, in the order of the file, with the sizes and timers that they are to have.
    pub games: Vec<Game>,
    /// What tasks run on.
    pub capacity: Capacity,
    /// What a month may cost before somebody is told.
    pub budget: Option<Budget>,
}

/// What tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Spot, and on-demand where Spot has no room.
    SpotFirst,
    /// Spot alone.
    Spot,
    /// On-demand alone.
    OnDemand,
}

impl Capacity {
    /// Returns the word for it in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::SpotFirst => "spot-first",
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }
}

/// What a month may cost before somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// In US dollars.
    pub usd: u32,
    /// Whom to tell.
    pub email: String,
}

impl Configuration {
    /// Reads `file`, whose games are those of `catalogue`.
    pub fn read_file(file: &Path, catalogue: &Catalogue) -> Result<Self, LoadError> {
        Ok(Self::parse(file, &read_text(file)?, catalogue)?)
    }

    /// Reads the configuration `text` of `file`, or says everything that is wrong with it.
    pub fn parse(file: &Path, text: &str, catalogue: &Catalogue) -> Result<Self, BadEntry> {
        read_document(file, text, Problems::new(text), |root| configuration(root, catalogue))
    }
}

fn configuration(root: &mut Section<'_, '_>, catalogue: &Catalogue) -> Option<Configuration> {
    let prefix = "1 to 20 lower-case letters, digits and inner hyphens, a letter first, but not aws or ssm";
    let prefix = root.optional("prefix", &rule::text(prefix, is_prefix));
    let chosen = root.list("games", 1..=50, &rule::one_of(deployable(catalogue)));
    let place = root.section("aws", place);
    let discord = root.section("discord", discord);
    let capacity = root.optional_section("tasks", |section| section.required("capacity", &capacities()));
    let sizes = root.named("sizes", chosen.as_deref().unwrap_or_default(), |section| {
        let (cpu, memory_mib) = size(section);
        cpu.zip(memory_mib)
    });
    let timers = root.optional_section("timers", |section| Some(read_timers(section))).unwrap_or_default();
    root.optional_section("functions", functions);
    root.optional_section("archives", |section| {
        section.required("keep_removed_days", &rule::number(1..=365))
    });
    root.optional_section("logs", |section| section.required("days", &rule::number_of(LOG_DAYS)));
    root.optional_section("alarms", |section| section.required("email", &email()));
    let budget = root.optional_section("budget", budget);
    let (account, region) = place?;
    let (application, guilds) = discord?;
    let mut games = games(&chosen?, &sizes, catalogue);
    for game in &mut games {
        timers.iter().for_each(|(timer, duration)| *timer(&mut game.timers) = *duration);
        game.timers = game.able(game.timers);
    }
    Some(Configuration {
        prefix: prefix.unwrap_or_else(|| "dormouse".into()),
        account,
        region,
        application,
        guilds,
        games,
        capacity: capacity.unwrap_or(Capacity::SpotFirst),
        budget,
    })
}

/// Returns the chosen games, in the sizes that they are to have.
fn games(chosen: &[String], sizes: &BTreeMap<String, (u32, u32)>, catalogue: &Catalogue) -> Vec<Game> {
    let sized = |id: &String| {
        let mut game = catalogue.get(&GameId::parse(id).ok()?)?.game.clone();
        (game.cpu, game.memory_mib) = sizes.get(id).copied().unwrap_or((game.cpu, game.memory_mib));
        Some(game)
    };
    chosen.iter().filter_map(sized).collect()
}

fn deployable(catalogue: &Catalogue) -> Vec<String> {
    catalogue.iter().map(|(id, _)| id.to_string()).collect()
}

fn place(section: &mut Section<'_, '_>) -> Option<(String, String)> {
    let account = "the twelve digits of the account, in quotes";
    let account = section.required("account", &rule::text(account, |text| is_digits(text, 12, 12)));
    let region = r#"a region of the commercial partition, such as "eu-central-1""#;
    let region = section.required("region", &rule::text(region, is_region));
    account.zip(region)
}

fn discord(section: &mut Section<'_, '_>) -> Option<(String, Vec<String>)> {
    let application = section.required("application", &snowflake());
    let key = rule::text("the application's public key, 64 hexadecimal digits", is_key);
    section.required("public_key", &key);
    let guilds = section.list("guilds", 1..=50, &snowflake());
    application.zip(guilds)
}

fn snowflake() -> Rule<String> {
    rule::text("17 to 20 digits, in quotes", |text| is_digits(text, 17, 20) && !text.starts_with('0'))
}

fn capacities() -> Rule<Capacity> {
    rule::word(&[
        ("spot-first", Capacity::SpotFirst),
        ("spot", Capacity::Spot),
        ("on-demand", Capacity::OnDemand),
    ])
}

fn functions(section: &mut Section<'_, '_>) -> Option<()> {
    section.optional("front_door_at_once", &rule::number(2..=100));
    section.optional("worker_at_once", &rule::number(3..=50));
    section.optional("reserved", &rule::truth());
    Some(())
}

fn budget(section: &mut Section<'_, '_>) -> Option<Budget> {
    let usd = section.required("usd", &rule::number(1..=10_000));
    let email = section.required("email", &email());
    Some(Budget { usd: usd?, email: email? })
}

fn email() -> Rule<String> {
    rule::text("an e-mail address", is_email)
}

fn is_digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_prefix(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(is_inner)
        && !text.ends_with('-')
        && !text.contains("--")
        // Parameter Store keeps names that begin so for AWS.
        && !text.starts_with("aws")
        && !text.starts_with("ssm")
}

/// Tells whether `text` is a region outside of China and of the governments' partitions, which lack parts of this.
fn is_region(text: &str) -> bool {
    const PARTS: [&str; 9] = ["af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"];
    const SIDES: [&str; 9] =
        ["central", "north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest"];
    let parts: Vec<_> = text.split('-').collect();
    let [part, side, number] = parts[..] else { return false };
    PARTS.contains(&part) && SIDES.contains(&side) && is_digits(number, 1, 1)
}

/// Tells whether `text` is a public key, and not the one for which anybody can sign.
fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0')
}

fn is_email(text: &str) -> bool {
    let is_plain =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || "@<>,;\"".contains(c));
    let Some((name, host)) = text.split_once('@') else { return false };
    let has_dot = host.char_indices().any(|(at, c)| c == '.' && at > 0 && at + 1 < host.len());
    text.encode_utf16().count() <= 100 && is_plain(name) && is_plain(host) && has_dot
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::time::Duration;

    const GOOD: &str = r#"games = ["luanti"]
[aws]
account = "111122223333"
region = "eu-central-1"
[discord]
application = "1100000000000000001"
public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
guilds = ["1200000000000000002"]
"#;

    const EXAMPLE: &str = include_str!("../../dormouse.example.toml");

    #[test]
    fn the_example_is_read_when_it_is_copied_and_with_everything_that_is_commented_out_there() {
        let plain = read(EXAMPLE).unwrap();
        let ids: Vec<_> = plain.games.iter().map(|game| game.id.as_str()).collect();
        assert_eq!(ids, ["luanti", "openttd", "valheim"]);
        assert_eq!((plain.capacity, plain.budget), (Capacity::SpotFirst, None));
        let all: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_setting(rest) => format!("{rest}\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        let all = read(&all).unwrap();
        assert_eq!((all.games[2].cpu, all.games[2].memory_mib), (2048, 8192));
        assert_eq!(all.games[0].timers.last_left, Duration::from_secs(600));
        let afk: Vec<_> = all.games.iter().map(|game| game.timers.afk.as_secs()).collect();
        assert_eq!(afk, [2700, 0, 0], "only where it can be told who moves");
        assert_eq!(all.budget, Some(Budget { usd: 20, email: "you@example.org".into() }));
    }

    fn is_setting(line: &str) -> bool {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        line.starts_with('[') || !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let read = read(GOOD).unwrap();
        assert_eq!((read.prefix.as_str(), read.capacity), ("dormouse", Capacity::SpotFirst));
        assert_eq!((read.account.as_str(), read.region.as_str()), ("111122223333", "eu-central-1"));
        assert_eq!((read.games[0].cpu, read.games[0].memory_mib), (512, 1024));
    }

    #[test]
    fn each_bad_value_is_told_with_line_key_and_what_is_allowed() {
        check(
            "\"111122223333\"",
            "111122223333",
            expect![
                "dormouse.toml:3: `aws.account` is 111122223333: use the twelve digits of the account, in quotes"
            ],
        );
        check(
            "eu-central-1",
            "cn-north-1",
            expect![[
                r#"dormouse.toml:4: `aws.region` is "cn-north-1": use a region of the commercial partition, such as "eu-central-1""#
            ]],
        );
        check(
            "\"1200000000000000002\"",
            "1200000000000000002",
            expect![
                "dormouse.toml:8: `discord.guilds` has 1200000000000000002: use 17 to 20 digits, in quotes"
            ],
        );
        check(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "0000000000000000000000000000000000000000000000000000000000000000",
            expect![[
                r#"dormouse.toml:7: `discord.public_key` is "0000000000000000000000000000000000000000…": use the application's public key, 64 hexadecimal digits"#
            ]],
        );
        check(
            "[\"luanti\"]",
            "[\"luanti\", \"quake\"]",
            expect![[r#"dormouse.toml:1: `games` has "quake": use luanti, openttd or valheim"#]],
        );
        check(
            "[\"luanti\"]",
            "[\"luanti\", \"luanti\"]",
            expect![[r#"dormouse.toml:1: `games` has "luanti" twice"#]],
        );
        check(
            "games =",
            "prefix = \"Dormouse\"\ngames =",
            expect![[
                r#"dormouse.toml:1: `prefix` is "Dormouse": use 1 to 20 lower-case letters, digits and inner hyphens, a letter first, but not aws or ssm"#
            ]],
        );
        check(
            "games =",
            "prefix = \"aws-mouse\"\ngames =",
            expect![[
                r#"dormouse.toml:1: `prefix` is "aws-mouse": use 1 to 20 lower-case letters, digits and inner hyphens, a letter first, but not aws or ssm"#
            ]],
        );
        check(
            "[discord]",
            "[tasks]\ncapacity = \"cheap\"\n[discord]",
            expect![[r#"dormouse.toml:6: `tasks.capacity` is "cheap": use spot-first, spot or on-demand"#]],
        );
        check(
            "[discord]",
            "[sizes.luanti]\ncpu = 512\nmemory_mib = 512\n[discord]",
            expect![
                "dormouse.toml:7: `sizes.luanti.memory_mib` is 512: with `cpu` 512 use 1024, 2048, 3072 or 4096"
            ],
        );
        check(
            "[discord]",
            "[sizes.valheim]\ncpu = 2048\nmemory_mib = 4096\n[discord]",
            expect!["dormouse.toml:5: unknown key `sizes.valheim`: use luanti"],
        );
        check(
            "[discord]",
            "[timers]\ncap = \"8d\"\nlast_left = \"1s\"\n[discord]",
            expect![[r#"
            dormouse.toml:6: `timers.cap` is "8d": use a duration written like "90s", "15m" or "1h30m"
            dormouse.toml:7: `timers.last_left` is 1s: use 5s to 24h"#]],
        );
        check(
            "[discord]",
            "[logs]\ndays = 31\n[budget]\nusd = 0\nemail = \"you\"\n[discord]",
            expect![[r#"
            dormouse.toml:6: `logs.days` is 31: use one of the numbers 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365
            dormouse.toml:8: `budget.usd` is 0: use a number from 1 to 10000
            dormouse.toml:9: `budget.email` is "you": use an e-mail address"#]],
        );
        check(
            "[discord]",
            "[functions]\nreserved = \"no\"\nworker_at_once = 2\n[discord]",
            expect![[r#"
            dormouse.toml:6: `functions.reserved` is "no": use true or false
            dormouse.toml:7: `functions.worker_at_once` is 2: use a number from 3 to 50"#]],
        );
        check(
            "[discord]",
            "[archives]\nkeep_removed_days = 0\n[discord]",
            expect!["dormouse.toml:6: `archives.keep_removed_days` is 0: use a number from 1 to 365"],
        );
        check(
            "[discord]",
            "[alarms]\nemail = \"a@b\"\n[discord]",
            expect![[r#"dormouse.toml:6: `alarms.email` is "a@b": use an e-mail address"#]],
        );
        check(
            "[discord]",
            "[secrets]\ntoken = \"x\"\n[discord]",
            expect![
                "dormouse.toml:5: unknown key `secrets`: use prefix, games, aws, discord, tasks, sizes, timers, functions, archives, logs, alarms or budget"
            ],
        );
        check(
            "account = \"111122223333\"\n",
            "",
            expect![
                "dormouse.toml:2: `aws.account` is missing: use the twelve digits of the account, in quotes"
            ],
        );
        check("[discord]", "[aws]\n[discord]", expect!["dormouse.toml:5: not TOML: duplicate key"]);
    }

    /// Returns three of the games, however many there are.
    fn catalogue() -> Catalogue {
        let dir = tempfile::tempdir().unwrap();
        let embedded = Catalogue::embedded().unwrap();
        for id in ["luanti", "openttd", "valheim"] {
            let source = &embedded.get(&GameId::parse(id).unwrap()).unwrap().source;
            std::fs::write(dir.path().join(format!("{id}.toml")), source).unwrap();
        }
        Catalogue::default().with_directory(dir.path()).unwrap()
    }

    fn read(text: &str) -> Result<Configuration, BadEntry> {
        Configuration::parse(Path::new("dormouse.toml"), text, &catalogue())
    }

    /// Compares what is said of [`GOOD`] once `to` stands there instead of `from`. cdk's tests take these cases, too.
    fn check(from: &str, to: &str, expected: Expect) {
        assert!(GOOD.contains(from));
        let problems = read(&GOOD.replacen(from, to, 1)).unwrap_err();
        expected.assert_eq(&problems.to_string());
    }
}
