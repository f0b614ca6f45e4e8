//! `dormouse cost`: what a deployment on AWS comes to, in this configuration and at the prices of one table.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Error, Result, anyhow, bail};
use clap::Args;
use games::{Capacity, Configuration, LoadError};
use serde_json::json;

use self::{
    estimate::{Estimate, Stored, Usd, estimate},
    prices::Prices,
};
use crate::{output::say, up};

mod prices;

mod estimate;

/// The most of anything that is asked about: hours of all worlds together, gigabytes.
const MOST: f64 = 1e6;

/// What to estimate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dormouse cost                                        40 hours a month, shared among the games
  dormouse cost --hours 100 --archives-gb 50
  dormouse cost --hours valheim=40 --hours luanti=10   those two alone
  dormouse cost --config dormouse.example.toml --json

It asks nobody: the prices are those of a table with date and sources, cli/prices.toml.")]
pub(crate) struct Cost {
    /// The deployment's configuration
    #[arg(long, value_name = "FILE", default_value = "dormouse.toml")]
    config: PathBuf,
    /// Hours of play in a month: N, shared among the games, or GAME=N, as often as there are games
    #[arg(long, value_name = "N|GAME=N", default_value = "40")]
    hours: Vec<Hours>,
    /// Files of worlds that were played lately, in GB
    #[arg(long, value_name = "N", default_value = "2", value_parser = amount)]
    files_gb: f64,
    /// Files of worlds that nobody played for 30 days, in GB
    #[arg(long, value_name = "N", default_value = "3", value_parser = amount)]
    cold_files_gb: f64,
    /// Archives, in GB
    #[arg(long, value_name = "N", default_value = "10", value_parser = amount)]
    archives_gb: f64,
    /// Images of the games, old ones too, in GB
    #[arg(long, value_name = "N", default_value = "3", value_parser = amount)]
    images_gb: f64,
    /// A directory of catalogue entries beside those that are built in
    #[arg(long, env = "DORMOUSE_GAMES", hide_env_values = true, value_name = "DIR")]
    games: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Hours of play in a month.
#[derive(Debug, Clone, PartialEq)]
enum Hours {
    /// Of all games together.
    Shared(f64),
    /// Of one game.
    Of(String, f64),
}

impl FromStr for Hours {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((game, hours)) => Ok(Self::Of(game.to_owned(), amount(hours)?)),
            None => Ok(Self::Shared(amount(text)?)),
        }
    }
}

fn amount(text: &str) -> Result<f64> {
    let number = text.parse().ok().filter(|number| (0.0..=MOST).contains(number));
    number.ok_or_else(|| anyhow!("use a number from 0 to {MOST}"))
}

/// Says what it costs.
pub(crate) fn run(cost: &Cost) -> Result<()> {
    let configuration = configuration(&cost.config, cost.games.as_deref())?;
    let hours = hours(&cost.hours, &configuration)?;
    let stored = Stored {
        files_gb: cost.files_gb,
        cold_files_gb: cost.cold_files_gb,
        archives_gb: cost.archives_gb,
        images_gb: cost.images_gb,
    };
    let prices = Prices::embedded()?;
    let estimate = estimate(&configuration, stored, &hours, &prices);
    if cost.json {
        say!("{}", serde_json::to_string_pretty(&for_programs(&configuration, &estimate, &prices))?);
    } else {
        say!("{}\n{}", table(&estimate), notes(&configuration, &estimate, &prices));
    }
    Ok(())
}

/// Reads the configuration of a deployment; an error says what to do where there is none.
pub(crate) fn configuration(file: &Path, games: Option<&Path>) -> Result<Configuration> {
    match Configuration::read_file(file, &up::catalogue(games)?) {
        Err(LoadError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no {}: copy dormouse.example.toml to dormouse.toml and fill in what is yours, or name another \
             file with --config",
            file.display()
        ),
        read => Ok(read?),
    }
}

/// Returns the hours of each game.
fn hours(asked: &[Hours], configuration: &Configuration) -> Result<BTreeMap<String, f64>> {
    let games: Vec<_> = configuration.games.iter().map(|game| game.id.to_string()).collect();
    if let [Hours::Shared(all)] = asked {
        let each = all / games.len() as f64;
        return Ok(games.into_iter().map(|game| (game, each)).collect());
    }
    let mut hours = BTreeMap::new();
    for one in asked {
        match one {
            Hours::Of(game, _) if !games.contains(game) => {
                bail!("--hours {game}=…: this configuration has {}", games.join(", "))
            }
            Hours::Of(game, n) => {
                if hours.insert(game.clone(), *n).is_some() {
                    bail!("--hours {game}=… is given twice")
                }
            }
            Hours::Shared(n) => bail!("--hours {n} is for all games together, and stands alone"),
        }
    }
    Ok(hours)
}

fn for_programs(configuration: &Configuration, estimate: &Estimate, prices: &Prices) -> serde_json::Value {
    let budget = configuration.budget.as_ref();
    json!({
        "region": configuration.region,
        "capacity": configuration.capacity.word(),
        "budget_usd": budget.map(|budget| budget.usd),
        "estimate": estimate,
        "prices": prices,
    })
}

/// Returns what people read first: figures.
fn table(estimate: &Estimate) -> String {
    let mut lines = vec![row("asleep, a month", "", ["", "$"])];
    for line in &estimate.asleep {
        let gb = line.gb.map_or(String::new(), |gb| format!("{} GB", short(gb)));
        lines.push(row(&format!("  {}", line.what), &gb, ["", &cents(line.usd)]));
    }
    lines.push(row("  together", "", ["", &cents(estimate.asleep_usd)]));
    lines.push(row("awake, an hour", "", ["$ on Spot", "$ on demand"]));
    for game in &estimate.games {
        let [cores, gb] = [game.cpu, game.memory_mib].map(|n| f64::from(n) / 1024.0);
        let size = format!("{cores} cores, {gb} GB, {}", game.architecture);
        let Usd { spot, on_demand } = game.hour_usd;
        let prices = [format!("{spot:.4}"), format!("{on_demand:.4}")];
        lines.push(row(&format!("  {:<11}{size}", game.id), "", [&prices[0], &prices[1]]));
    }
    lines.push(row("the month", "", ["$ on Spot", "$ on demand"]));
    for game in estimate.games.iter().filter(|game| game.hours > 0.0) {
        lines.push(costs(
            &format!("  {}, played", game.id),
            &format!("{} h", short(game.hours)),
            game.month_usd,
        ));
    }
    lines.push(costs("  together with what is asleep", "", estimate.month_usd));
    lines.push(row("at most, each time a world is awake", "", ["$ on Spot", "$ on demand"]));
    for game in &estimate.games {
        let cap = format!("{} h", short(game.cap_s as f64 / 3600.0));
        lines.push(costs(&format!("  {}, until its cap", game.id), &cap, game.longest_usd));
    }
    lines.join("\n")
}

fn costs(what: &str, how_much: &str, usd: Usd) -> String {
    row(what, how_much, [&cents(usd.spot), &cents(usd.on_demand)])
}

fn row(what: &str, how_much: &str, [left, right]: [&str; 2]) -> String {
    format!("{what:<53}{how_much:>8}{left:>11}{right:>13}").trim_end().to_owned()
}

/// Returns the rest: what the figures rest on, and what bounds them.
fn notes(configuration: &Configuration, estimate: &Estimate, prices: &Prices) -> String {
    let mut notes = String::new();
    let runs_on = match configuration.capacity {
        Capacity::SpotFirst => "on Spot, and on demand where Spot has no room",
        Capacity::Spot => "on Spot alone",
        Capacity::OnDemand => "on demand",
    };
    let month = cents(estimate.month_usd.usual(configuration.capacity));
    let _ = writeln!(notes, "\nas it is configured, {runs_on}: about ${month} a month");
    let _ = match &configuration.budget {
        Some(budget) => writeln!(
            notes,
            "budget: AWS tells {} when the whole account costs more than ${} a month, and stops nothing",
            budget.email, budget.usd
        ),
        None => {
            writeln!(notes, "budget: none; [budget] has AWS tell you when a month costs more than you say")
        }
    };
    let _ = writeln!(notes, "not in it: taxes, and past what is free");
    for price in [&prices.logs_gb, &prices.traffic_gb] {
        let _ = writeln!(notes, "  ${:.2} a {}", price.usd, price.per);
    }
    let _ = write!(
        notes,
        "prices of {} as of {}, Spot at {:.0} % of on demand; yours is {}",
        prices.region,
        prices.oldest(),
        prices.spot.share * 100.0,
        configuration.region
    );
    notes
}

fn cents(usd: f64) -> String {
    format!("{usd:.2}")
}

/// Returns a number with one digit behind the point, unless it is whole.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};
    use expect_test::{Expect, expect};

    const EXAMPLE: &str = include_str!("../../dormouse.example.toml");
    const PAGE: &str = include_str!("../../docs/aws.md");

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        cost: Cost,
    }

    #[test]
    fn the_page_shows_what_the_example_costs() {
        let (configuration, estimate, prices) = estimated("", &[]).unwrap();
        let said = format!("{}\n{}", table(&estimate), notes(&configuration, &estimate, &prices));
        let block =
            format!("<!-- estimate -->\n```console\n$ dormouse cost\n{said}\n```\n<!-- /estimate -->");
        assert!(PAGE.contains(&block), "docs/aws.md has to show:\n{block}");
    }

    #[test]
    fn people_read_figures_and_what_bounds_them() {
        check(
            "",
            &[],
            expect![[r#"
            asleep, a month                                                                     $
              files of the worlds, played lately (EFS)               2 GB                    0.60
              files of the worlds, not played for 30 days (EFS)      3 GB                    0.08
              archives (S3)                                         10 GB                    0.23
              images of the games (ECR)                              3 GB                    0.30
              the sweep (DynamoDB)                                                           0.00
              together                                                                       1.21
            awake, an hour                                                 $ on Spot  $ on demand
              luanti     0.5 cores, 1 GB, arm64                               0.0109       0.0248
              openttd    0.25 cores, 0.5 GB, arm64                            0.0080       0.0149
              valheim    2 cores, 4 GB, amd64                                 0.0346       0.1037
            the month                                                      $ on Spot  $ on demand
              luanti, played                                       13.3 h       0.15         0.33
              openttd, played                                      13.3 h       0.11         0.20
              valheim, played                                      13.3 h       0.46         1.38
              together with what is asleep                                      1.92         3.12
            at most, each time a world is awake                            $ on Spot  $ on demand
              luanti, until its cap                                  12 h       0.13         0.30
              openttd, until its cap                                 12 h       0.10         0.18
              valheim, until its cap                                 12 h       0.42         1.24

            as it is configured, on Spot, and on demand where Spot has no room: about $1.92 a month
            budget: none; [budget] has AWS tell you when a month costs more than you say
            not in it: taxes, and past what is free
              $0.50 a GB of log lines taken in, after 5 GB a month
              $0.09 a GB sent to the internet, after 100 GB a month
            prices of us-east-1 as of 2026-11-21, Spot at 30 % of on demand; yours is eu-central-1"#]],
        );
        check(
            "[sizes.valheim]\ncpu = 4096\nmemory_mib = 8192\n[budget]\nusd = 20\nemail = \"you@example.org\"\n",
            &["--hours", "valheim=100"],
            expect![[r#"
                asleep, a month                                                                     $
                  files of the worlds, played lately (EFS)               2 GB                    0.60
                  files of the worlds, not played for 30 days (EFS)      3 GB                    0.08
                  archives (S3)                                         10 GB                    0.23
                  images of the games (ECR)                              3 GB                    0.30
                  the sweep (DynamoDB)                                                           0.00
                  together                                                                       1.21
                awake, an hour                                                 $ on Spot  $ on demand
                  luanti     0.5 cores, 1 GB, arm64                               0.0109       0.0248
                  openttd    0.25 cores, 0.5 GB, arm64                            0.0080       0.0149
                  valheim    4 cores, 8 GB, amd64                                 0.0642       0.2025
                the month                                                      $ on Spot  $ on demand
                  valheim, played                                       100 h       6.42        20.25
                  together with what is asleep                                      7.63        21.46
                at most, each time a world is awake                            $ on Spot  $ on demand
                  luanti, until its cap                                  12 h       0.13         0.30
                  openttd, until its cap                                 12 h       0.10         0.18
                  valheim, until its cap                                 12 h       0.77         2.43

                as it is configured, on Spot, and on demand where Spot has no room: about $7.63 a month
                budget: AWS tells you@example.org when the whole account costs more than $20 a month, and stops nothing
                not in it: taxes, and past what is free
                  $0.50 a GB of log lines taken in, after 5 GB a month
                  $0.09 a GB sent to the internet, after 100 GB a month
                prices of us-east-1 as of 2026-11-21, Spot at 30 % of on demand; yours is eu-central-1"#]],
        );
    }

    #[test]
    fn programs_read_the_same() {
        let one = EXAMPLE.replace("games = [\"luanti\", \"openttd\", \"valheim\"]", "games = [\"openttd\"]");
        let (configuration, estimate, prices) = estimated_of(&one, &["--hours", "10"]).unwrap();
        let mut json = for_programs(&configuration, &estimate, &prices);
        assert_eq!(json["prices"].as_object().unwrap().len(), 14);
        json["prices"] = serde_json::Value::Null;
        expect![[r#"
            {
              "budget_usd": null,
              "capacity": "spot-first",
              "estimate": {
                "asleep": [
                  {
                    "gb": 2.0,
                    "usd": 0.6,
                    "what": "files of the worlds, played lately (EFS)"
                  },
                  {
                    "gb": 3.0,
                    "usd": 0.07500000000000001,
                    "what": "files of the worlds, not played for 30 days (EFS)"
                  },
                  {
                    "gb": 10.0,
                    "usd": 0.22999999999999998,
                    "what": "archives (S3)"
                  },
                  {
                    "gb": 3.0,
                    "usd": 0.30000000000000004,
                    "what": "images of the games (ECR)"
                  },
                  {
                    "gb": null,
                    "usd": 0.0027375,
                    "what": "the sweep (DynamoDB)"
                  }
                ],
                "asleep_usd": 1.2077375000000001,
                "games": [
                  {
                    "architecture": "arm64",
                    "cap_s": 43200,
                    "cpu": 256,
                    "hour_usd": {
                      "on_demand": 0.014875,
                      "spot": 0.0079625
                    },
                    "hours": 10.0,
                    "id": "openttd",
                    "longest_usd": {
                      "on_demand": 0.1785,
                      "spot": 0.09555000000000001
                    },
                    "memory_mib": 512,
                    "month_usd": {
                      "on_demand": 0.14875,
                      "spot": 0.079625
                    }
                  }
                ],
                "month_usd": {
                  "on_demand": 1.3564875,
                  "spot": 1.2873625000000002
                }
              },
              "prices": null,
              "region": "eu-central-1"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&json).unwrap());
    }

    #[test]
    fn hours_are_of_games_that_are_there_and_are_said_once() {
        refused(
            &["--hours", "quake=10"],
            expect!["--hours quake=…: this configuration has luanti, openttd, valheim"],
        );
        refused(
            &["--hours", "luanti=10", "--hours", "luanti=20"],
            expect!["--hours luanti=… is given twice"],
        );
        refused(
            &["--hours", "10", "--hours", "luanti=20"],
            expect!["--hours 10 is for all games together, and stands alone"],
        );
        for bad in ["-1", "x", "luanti=", "NaN", "inf", "1e9"] {
            assert!(Cli::try_parse_from(["cost", "--hours", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_that_is_wrong_is_told_with_its_line_and_one_that_is_missing_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dormouse.toml");
        let said = |error: Error| error.to_string().replace(&format!("{}/", dir.path().display()), "");
        expect!["there is no dormouse.toml: copy dormouse.example.toml to dormouse.toml and fill in what is yours, or name another file with --config"].assert_eq(&said(configuration(&file, None).unwrap_err()));
        std::fs::write(&file, EXAMPLE.replace("\"openttd\"", "\"quake\"")).unwrap();
        expect![[r#"dormouse.toml:11: `games` has "quake": use bedrock, factorio, luanti, minecraft, openttd, palworld, teeworlds, terraria or valheim"#]]
            .assert_eq(&said(configuration(&file, None).unwrap_err()));
    }

    #[test]
    fn the_help_shows_examples() {
        let mut cli = crate::Cli::command().term_width(100);
        let help = cli.find_subcommand_mut("cost").unwrap().render_help().to_string();
        expect![[r#"
            Say what a deployment on AWS costs: asleep, by the hour of each game, in a month

            Usage: cost [OPTIONS]

            Options:
                  --config <FILE>      The deployment's configuration [default: dormouse.toml]
                  --hours <N|GAME=N>   Hours of play in a month: N, shared among the games, or GAME=N, as often
                                       as there are games [default: 40]
                  --files-gb <N>       Files of worlds that were played lately, in GB [default: 2]
                  --cold-files-gb <N>  Files of worlds that nobody played for 30 days, in GB [default: 3]
                  --archives-gb <N>    Archives, in GB [default: 10]
                  --images-gb <N>      Images of the games, old ones too, in GB [default: 3]
                  --games <DIR>        A directory of catalogue entries beside those that are built in [env:
                                       DORMOUSE_GAMES]
                  --json               Answer in JSON
              -h, --help               Print help

            Examples:
              dormouse cost                                        40 hours a month, shared among the games
              dormouse cost --hours 100 --archives-gb 50
              dormouse cost --hours valheim=40 --hours luanti=10   those two alone
              dormouse cost --config dormouse.example.toml --json

            It asks nobody: the prices are those of a table with date and sources, cli/prices.toml.
        "#]].assert_eq(&help);
    }

    fn check(more: &str, arguments: &[&str], expected: Expect) {
        let (configuration, estimate, prices) = estimated(more, arguments).unwrap();
        expected.assert_eq(&format!("{}\n{}", table(&estimate), notes(&configuration, &estimate, &prices)));
    }

    fn refused(arguments: &[&str], expected: Expect) {
        expected.assert_eq(&estimated("", arguments).unwrap_err().to_string());
    }

    fn estimated(more: &str, arguments: &[&str]) -> Result<(Configuration, Estimate, Prices)> {
        estimated_of(&format!("{EXAMPLE}\n{more}"), arguments)
    }

    fn estimated_of(text: &str, arguments: &[&str]) -> Result<(Configuration, Estimate, Prices)> {
        let cost = Cli::parse_from(["cost"].iter().chain(arguments)).cost;
        let configuration = Configuration::parse(Path::new("dormouse.toml"), text, &up::catalogue(None)?)?;
        let Cost { files_gb, cold_files_gb, archives_gb, images_gb, .. } = cost;
        let stored = Stored { files_gb, cold_files_gb, archives_gb, images_gb };
        let prices = Prices::embedded()?;
        let estimate = estimate(&configuration, stored, &hours(&cost.hours, &configuration)?, &prices);
        Ok((configuration, estimate, prices))
    }
}
