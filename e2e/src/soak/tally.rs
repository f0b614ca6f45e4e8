//! What a soak counts, and what it found.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Counts, shared by all who take part.
#[derive(Debug)]
pub struct Tally {
    begun: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    faults: BTreeMap<&'static str, u64>,
    checks: BTreeMap<&'static str, u64>,
    findings: Vec<String>,
}

impl Tally {
    /// Begins to count.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), counts: Mutex::default() }
    }

    /// Returns how long ago it began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Counts something that was broken on purpose.
    pub fn fault(&self, what: &'static str) {
        *self.lock().faults.entry(what).or_default() += 1;
    }

    /// Counts `n` of something that was done or checked, such as `rounds`.
    pub fn add(&self, what: &'static str, n: u64) {
        *self.lock().checks.entry(what).or_default() += n;
    }

    /// Takes note of something that must not be.
    pub fn found(&self, what: String) {
        self.lock().findings.push(what);
    }

    /// Returns what it has come to.
    pub fn summary(&self, seed: u64) -> Summary {
        let counts = self.lock();
        Summary {
            time: self.elapsed(),
            seed,
            faults: counts.faults.clone(),
            checks: counts.checks.clone(),
            findings: counts.findings.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a soak came to. Shown, it is one line.
#[derive(Debug)]
pub struct Summary {
    /// How long it took.
    pub time: Duration,
    /// What its chances were drawn from.
    pub seed: u64,
    /// How often each fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// How much of each was done or checked.
    pub checks: BTreeMap<&'static str, u64>,
    /// What must not be, and was.
    pub findings: Vec<String>,
}

impl Summary {
    /// Returns how many faults there were.
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Returns it for programs; times are in seconds.
    pub fn to_json(&self) -> Value {
        json!({
            "seconds": self.time.as_secs(),
            "seed": self.seed,
            "faults": self.faults,
            "checks": self.checks,
            "findings": self.findings,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
        };
        write!(
            f,
            "{:.1} minutes, seed {}: {}; {} faults ({}); {} findings",
            self.time.as_secs_f64() / 60.0,
            self.seed,
            list(&self.checks),
            self.faults(),
            list(&self.faults),
            self.findings.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn it_is_summed_up_in_a_line() {
        let tally = Tally::begin();
        tally.fault("kills of the game");
        tally.fault("kills of the game");
        tally.fault("full disks");
        tally.add("rounds", 3);
        tally.add("deposits", 120);
        tally.found("a world is lost".into());
        let summary = Summary { time: Duration::from_secs(90), ..tally.summary(7) };
        expect!["1.5 minutes, seed 7: 120 deposits, 3 rounds; 3 faults (1 full disks, 2 kills of the game); 1 findings"]
            .assert_eq(&summary.to_string());
    }
}
