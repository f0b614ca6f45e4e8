//! The one table of prices, `cli/prices.toml`: each price with its measure, its page, and when it was looked up.

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The table.
const TABLE: &str = include_str!("../../prices.toml");

/// What AWS charges in one region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    pub(crate) region: String,
    pub(crate) core_hour_amd64: Price,
    pub(crate) gb_hour_amd64: Price,
    pub(crate) core_hour_arm64: Price,
    pub(crate) gb_hour_arm64: Price,
    pub(crate) address_hour: Price,
    pub(crate) files_gb: Price,
    pub(crate) cold_files_gb: Price,
    pub(crate) archives_gb: Price,
    pub(crate) images_gb: Price,
    pub(crate) index_reads: Price,
    pub(crate) logs_gb: Price,
    pub(crate) traffic_gb: Price,
    pub(crate) spot: Spot,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// US dollars.
    pub(crate) usd: f64,
    /// For how much.
    pub(crate) per: String,
    /// The page of AWS's that has it.
    pub(crate) page: String,
    /// Who quoted it.
    pub(crate) source: String,
    /// When it was looked up, as `2026-11-21`.
    pub(crate) seen: String,
}

/// What a task on Spot costs of one on demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spot {
    /// Between 0 and 1.
    pub(crate) share: f64,
    pub(crate) page: String,
    pub(crate) source: String,
    pub(crate) seen: String,
}

impl Prices {
    /// Returns the table that is built into this program.
    pub(crate) fn embedded() -> Result<Self> {
        Self::read(TABLE).context("cli/prices.toml")
    }

    fn read(text: &str) -> Result<Self> {
        let prices: Self = toml::from_str(text)?;
        for Price { usd, per, page, source, seen } in prices.all() {
            ensure!(usd.is_finite() && *usd > 0.0, "a price per {per} is {usd}");
            check(page, source, seen).with_context(|| format!("the price per {per}"))?;
        }
        let Spot { share, page, source, seen } = &prices.spot;
        ensure!(*share > 0.0 && *share <= 1.0, "the share of Spot is {share}");
        check(page, source, seen).context("the share of Spot")?;
        Ok(prices)
    }

    /// Returns when the price was looked up that was not looked up for the longest.
    pub(crate) fn oldest(&self) -> &str {
        // Dates of this form sort as texts.
        self.all().iter().map(|price| price.seen.as_str()).fold(&self.spot.seen, Ord::min)
    }

    fn all(&self) -> [&Price; 12] {
        [
            &self.core_hour_amd64,
            &self.gb_hour_amd64,
            &self.core_hour_arm64,
            &self.gb_hour_arm64,
            &self.address_hour,
            &self.files_gb,
            &self.cold_files_gb,
            &self.archives_gb,
            &self.images_gb,
            &self.index_reads,
            &self.logs_gb,
            &self.traffic_gb,
        ]
    }
}

fn check(page: &str, source: &str, seen: &str) -> Result<()> {
    ensure!(page.starts_with("https://aws.amazon.com/"), "`{page}` is no page of AWS's");
    ensure!(!source.is_empty(), "nobody is named who quoted it");
    let date: Date = seen.parse().with_context(|| format!("`{seen}` is no date"))?;
    ensure!(date.to_string() == seen, "`{seen}` is not written as {date}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_has_its_measure_its_page_and_its_date() {
        let prices = Prices::embedded().unwrap();
        assert_eq!(prices.oldest(), "2026-11-21");
    }

    #[test]
    fn a_price_without_them_is_refused() {
        for (from, to) in [
            ("usd = 0.5\n", "usd = -0.5\n"),
            ("usd = 0.5\n", ""),
            ("https://aws.amazon.com/s3/pricing/", "https://example.org/"),
            ("seen = \"2026-11-21\"\n", "seen = \"20261121\"\n"),
            ("seen = \"2026-11-21\"\n", "seen = \"2026-11-31\"\n"),
            ("share = 0.3\n", "share = 30\n"),
            ("[spot]", "[other]\nusd = 1\n\n[spot]"),
        ] {
            assert!(TABLE.contains(from), "{from}");
            assert!(Prices::read(&TABLE.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
