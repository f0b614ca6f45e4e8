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

/// What a time is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microseconds,
    Milliseconds,
}

impl Time {
    fn unit(&self) -> Unit {
        if self.0.unsigned_abs() < 999_500 { Unit::Microseconds } else { Unit::Milliseconds }
    }

    /// Returns the number that it is in `unit`, with three digits that count.
    fn number(&self, unit: Unit) -> String {
        let number = match unit {
            Unit::Microseconds => self.0 as f64 / 1e3,
            Unit::Milliseconds => self.0 as f64 / 1e6,
        };
        match (number.abs(), unit) {
            (below, Unit::Milliseconds) if below < 9.995 => format!("{number:.2}"),
            (below, Unit::Milliseconds) if below < 99.95 => format!("{number:.1}"),
            (below, Unit::Microseconds) if below < 9.95 => format!("{number:.1}"),
            (_, Unit::Microseconds | Unit::Milliseconds) => format!("{number:.0}"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(self.unit()), self.unit())
    }
}

impl fmt::Display for Spread {
    /// Shows the median, with the least and what 99 of 100 stay below; of few measurements, the worst.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let high = if self.count < 100 { self.worst } else { self.p99 };
        let [min, median, high] = [self.min, self.median, high].map(Time::new);
        let unit = median.unit();
        write!(f, "{median} [{} – {}]", min.number(unit), high.number(unit))
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

    #[test]
    fn a_spread_is_shown_in_one_unit() {
        let spread =
            Spread { count: 1000, min: 500_000, median: 1_500_000, p99: 123_456_000, worst: 999_000_000 };
        assert_eq!(spread.to_string(), "1.50 ms [0.50 – 123]");
        assert_eq!(Spread { count: 30, ..spread }.to_string(), "1.50 ms [0.50 – 999]");
    }
}
