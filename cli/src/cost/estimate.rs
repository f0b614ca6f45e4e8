//! What a configuration comes to: asleep, by the hour of each game, in a month of so many hours, and at most. Taxes, and
//! what goes beyond AWS's free amounts, are not in it.

use std::{collections::BTreeMap, time::Duration};

use domain::game::Game;
use games::{Capacity, Configuration};
use serde::Serialize;

use super::prices::Prices;

/// The hours of a month, as AWS counts them.
pub(crate) const MONTH_H: f64 = 730.0;

/// How many looks at the index the sweep takes in a month: one a minute, of half a read unit each.
const SWEEP_READS: f64 = MONTH_H * 60.0 / 2.0;

/// How much is stored, in GB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Stored {
    /// Files of worlds that were played lately.
    pub(crate) files_gb: f64,
    /// Files that nobody opened for 30 days.
    pub(crate) cold_files_gb: f64,
    /// Archives.
    pub(crate) archives_gb: f64,
    /// Images of the games and the watchdog. Old ones count until somebody removes them.
    pub(crate) images_gb: f64,
}

/// What it comes to, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// A month in which nobody plays, by what it is for.
    pub(crate) asleep: Vec<Line>,
    /// The same in all.
    pub(crate) asleep_usd: f64,
    /// Each game.
    pub(crate) games: Vec<GameCost>,
    /// The month in all.
    pub(crate) month_usd: Usd,
}

/// One thing that costs while everybody sleeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    /// How much there is of it, where that is counted in GB.
    pub(crate) gb: Option<f64>,
    pub(crate) usd: f64,
}

/// A price by what a task runs on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Usd {
    pub(crate) spot: f64,
    pub(crate) on_demand: f64,
}

/// What a game costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct GameCost {
    pub(crate) id: String,
    pub(crate) architecture: &'static str,
    pub(crate) cpu: u32,
    pub(crate) memory_mib: u32,
    /// An hour of one world, its public address included.
    pub(crate) hour_usd: Usd,
    /// How many hours of it are played in the month, and what they come to.
    pub(crate) hours: f64,
    pub(crate) month_usd: Usd,
    /// The longest run of a world, and what that comes to at most: the cap ends it, whoever is on.
    pub(crate) cap_s: u64,
    pub(crate) longest_usd: Usd,
}

impl Usd {
    fn times(self, n: f64) -> Self {
        Self { spot: self.spot * n, on_demand: self.on_demand * n }
    }

    fn plus(self, other: Self) -> Self {
        Self { spot: self.spot + other.spot, on_demand: self.on_demand + other.on_demand }
    }

    /// Returns what is paid as a rule: on Spot first that is Spot's price, which has room nearly always.
    pub(crate) fn usual(self, capacity: Capacity) -> f64 {
        match capacity {
            Capacity::SpotFirst | Capacity::Spot => self.spot,
            Capacity::OnDemand => self.on_demand,
        }
    }
}

/// Returns what `configuration` comes to with `hours` of play a month, by game.
pub(crate) fn estimate(
    configuration: &Configuration,
    stored: Stored,
    hours: &BTreeMap<String, f64>,
    prices: &Prices,
) -> Estimate {
    let asleep = asleep(stored, prices);
    let asleep_usd = asleep.iter().map(|line| line.usd).sum();
    let cost = |game: &Game| game_cost(game, hours.get(game.id.as_str()).copied().unwrap_or(0.0), prices);
    let games: Vec<_> = configuration.games.iter().map(cost).collect();
    let nothing_played = Usd { spot: asleep_usd, on_demand: asleep_usd };
    let month_usd = games.iter().fold(nothing_played, |all, game| all.plus(game.month_usd));
    Estimate { asleep, asleep_usd, games, month_usd }
}

fn asleep(stored: Stored, prices: &Prices) -> Vec<Line> {
    let bytes = |what, gb, price: f64| Line { what, gb: Some(gb), usd: gb * price };
    vec![
        bytes("files of the worlds, played lately (EFS)", stored.files_gb, prices.files_gb.usd),
        bytes(
            "files of the worlds, not played for 30 days (EFS)",
            stored.cold_files_gb,
            prices.cold_files_gb.usd,
        ),
        bytes("archives (S3)", stored.archives_gb, prices.archives_gb.usd),
        bytes("images of the games (ECR)", stored.images_gb, prices.images_gb.usd),
        Line { what: "the sweep (DynamoDB)", gb: None, usd: SWEEP_READS / 1e6 * prices.index_reads.usd },
    ]
}

fn game_cost(game: &Game, hours: f64, prices: &Prices) -> GameCost {
    let is_arm = game.architectures.iter().any(|architecture| architecture == "arm64");
    let (architecture, core, gb) = if is_arm {
        ("arm64", prices.core_hour_arm64.usd, prices.gb_hour_arm64.usd)
    } else {
        ("amd64", prices.core_hour_amd64.usd, prices.gb_hour_amd64.usd)
    };
    let task = f64::from(game.cpu) / 1024.0 * core + f64::from(game.memory_mib) / 1024.0 * gb;
    let address = prices.address_hour.usd;
    let hour_usd = Usd { spot: task * prices.spot.share + address, on_demand: task + address };
    let cap = game.timers.cap;
    GameCost {
        id: game.id.to_string(),
        architecture,
        cpu: game.cpu,
        memory_mib: game.memory_mib,
        hour_usd,
        hours,
        month_usd: hour_usd.times(hours),
        cap_s: cap.as_secs(),
        longest_usd: hour_usd.times(in_hours(cap)),
    }
}

fn in_hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use games::Catalogue;
    use std::path::Path;

    const NOTHING: Stored = Stored { files_gb: 0.0, cold_files_gb: 0.0, archives_gb: 0.0, images_gb: 0.0 };

    #[test]
    fn an_hour_is_that_of_the_task_its_share_on_spot_and_its_address() {
        let of = estimated("", NOTHING, &[]);
        let [luanti, _, valheim] = &of.games[..] else { panic!("three games") };
        is_about(valheim.hour_usd.on_demand, 2.0 * 0.04048 + 4.0 * 0.004445 + 0.005);
        is_about(valheim.hour_usd.spot, 0.3 * (2.0 * 0.04048 + 4.0 * 0.004445) + 0.005);
        is_about(luanti.hour_usd.on_demand, 0.5 * 0.03238 + 0.00356 + 0.005);
        is_about(valheim.longest_usd.on_demand, 12.0 * valheim.hour_usd.on_demand);
    }

    #[test]
    fn a_size_and_a_cap_of_the_configuration_take_the_place_of_the_catalogues() {
        let of = estimated(
            "[sizes.valheim]\ncpu = 4096\nmemory_mib = 8192\n[timers]\ncap = \"6h\"\n",
            NOTHING,
            &[],
        );
        let valheim = &of.games[2];
        is_about(valheim.hour_usd.on_demand, 4.0 * 0.04048 + 8.0 * 0.004445 + 0.005);
        is_about(valheim.longest_usd.spot, 6.0 * valheim.hour_usd.spot);
    }

    #[test]
    fn a_month_is_the_sum_of_what_is_asleep_and_what_is_played() {
        let stored = Stored { files_gb: 2.0, cold_files_gb: 3.0, archives_gb: 10.0, images_gb: 3.0 };
        let of = estimated("", stored, &[("valheim", 40.0), ("luanti", 10.0)]);
        is_about(of.asleep_usd, 0.6 + 0.075 + 0.23 + 0.3 + 0.002_737_5);
        let played: f64 = of.games.iter().map(|game| game.hours * game.hour_usd.spot).sum();
        is_about(of.month_usd.spot, of.asleep_usd + played);
        assert_eq!(of.games[1].month_usd, Usd { spot: 0.0, on_demand: 0.0 });
    }

    #[test]
    fn a_month_in_which_nobody_plays_and_nothing_is_stored_costs_less_than_a_cent() {
        let of = estimated("", NOTHING, &[]);
        assert!(of.month_usd.on_demand > 0.0 && of.month_usd.on_demand < 0.01, "{:?}", of.month_usd);
    }

    fn estimated(more: &str, stored: Stored, hours: &[(&str, f64)]) -> Estimate {
        let text = format!("{}\n{more}", include_str!("../../../dormouse.example.toml"));
        let catalogue = Catalogue::embedded().unwrap();
        let configuration = Configuration::parse(Path::new("dormouse.toml"), &text, &catalogue).unwrap();
        let hours = hours.iter().map(|(game, hours)| ((*game).to_owned(), *hours)).collect();
        estimate(&configuration, stored, &hours, &Prices::embedded().unwrap())
    }

    fn is_about(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "{value} is not about {expected}");
    }
}
