//! Many measurements of the same thing.

use std::{fmt, time::Duration};

use serde::Serialize;

/// How measurements are spread, in nanoseconds. Without measurements it is all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Spread {
    /// How many there are.
    pub(super) count: usize,
    /// The least: what it takes when nothing comes in between.
    pub(super) min: u64,
    /// Half take no longer.
    pub(super) median: u64,
    /// 99 of 100 take no longer.
    pub(super) p99: u64,
    /// The longest.
    pub(super) worst: u64,
}

impl Spread {
    /// Returns how `measured` are spread.
    pub(super) fn of(mut measured: Vec<u64>) -> Self {
        measured.sort_unstable();
        let at = |percent: usize| {
            let rank = (measured.len() * percent).div_ceil(100).max(1);
            measured.get(rank - 1).copied().unwrap_or_default()
        };
        Self { count: measured.len(), min: at(0), median: at(50), p99: at(99), worst: at(100) }
    }
}

impl FromIterator<Duration> for Spread {
    fn from_iter<I: IntoIterator<Item = Duration>>(measured: I) -> Self {
        Self::of(
            measured.into_iter().map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)).collect(),
        )
    }
}

/// Nanoseconds, as people read them. They may be the difference of two measurements, and below zero by chance.
pub(super) struct Time(pub(super) i64);

impl Time {
    /// Returns the nanoseconds as a time.
    pub(super) fn new(nanoseconds: u64) -> Self {
        Self(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 as f64 / 1e3;
        match us.abs() {
            below if below < 9.95 => write!(f, "{us:.1} µs"),
            below if below < 999.5 => write!(f, "{us:.0} µs"),
            below if below < 9_995.0 => write!(f, "{:.2} ms", us / 1e3),
            _ => write!(f, "{:.1} ms", us / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_made_of_what_was_measured() {
        let spread = Spread::of((1..=1000).rev().collect());
        assert_eq!(spread, Spread { count: 1000, min: 1, median: 500, p99: 990, worst: 1000 });
        let one = Spread { count: 1, min: 7, median: 7, p99: 7, worst: 7 };
        assert_eq!(Spread::of(vec![7]), one);
        assert_eq!(Spread::of(vec![]), Spread::default());
    }

    #[test]
    fn a_time_has_three_digits_that_count() {
        let shown =
            [0, 5_040, 24_600, 999_400, 1_234_000, 45_678_000, -300_000].map(|ns| Time(ns).to_string());
        assert_eq!(shown, ["0.0 µs", "5.0 µs", "25 µs", "999 µs", "1.23 ms", "45.7 ms", "-300 µs"]);
    }
}
