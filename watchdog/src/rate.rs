//! How many datagrams came in lately: the evidence that needs no privilege.
//!
//! It tells that somebody is there, not how many. It works on successive values of the kernel's count; it
//! must never read a clock, and never say "none" about a time that it has not seen: then the answer is
//! `None`.

use std::collections::VecDeque;

/// How far back datagrams are counted.
pub const WINDOW_MS: u64 = 30_000;

/// Samples that are closer together are merged, so that at most 62 are kept however often the caller looks.
pub const RESOLUTION_MS: u64 = 500;

/// One look at the kernel's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, on a monotonic clock.
    pub at_ms: u64,
    /// InDatagrams, Udp and Udp6 together.
    pub total: u64,
    /// How many of all datagrams so far the caller knows to be its own (queries that reached the game,
    /// answers that reached the caller): a count that only grows.
    pub own: u64,
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many datagrams, the caller's own not included.
    pub datagrams: u64,
    /// Over how long: a little over [`WINDOW_MS`] if samples are sparse, less until there are enough of them.
    pub over_ms: u64,
}

/// The samples of the window, and the one before it.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    /// Their totals count from the first sample on, whatever the kernel did to its own.
    samples: VecDeque<Sample>,
    kernel_total: u64,
}

impl Rate {
    /// Adds a sample. One that is not later than the last is ignored.
    pub fn sample(&mut self, sample: Sample) {
        let total = match self.samples.back() {
            Some(last) if last.at_ms >= sample.at_ms => return,
            Some(last) => last.total.saturating_add(grown(self.kernel_total, sample.total)),
            None => 0,
        };
        self.kernel_total = sample.total;
        self.merge();
        self.samples.push_back(Sample { total, ..sample });
        self.forget(sample.at_ms.saturating_sub(WINDOW_MS));
    }

    /// Returns what came in within the window that ends at `now_ms`, as far as the last sample goes, or
    /// `None` without two samples to compare or when the last one is older than the window.
    pub fn count(&self, now_ms: u64) -> Option<Count> {
        let newest = self.samples.back()?;
        let start = now_ms.saturating_sub(WINDOW_MS);
        let oldest = self.samples.iter().rev().find(|s| s.at_ms <= start).or(self.samples.front())?;
        (newest.at_ms > oldest.at_ms).then(|| Count {
            datagrams: (newest.total - oldest.total).saturating_sub(newest.own.saturating_sub(oldest.own)),
            over_ms: newest.at_ms - oldest.at_ms,
        })
    }

    /// Drops the last sample, before a newer one comes, if it is too close to the one before it.
    fn merge(&mut self) {
        let mut latest = self.samples.iter().rev().map(|s| s.at_ms);
        if let (Some(last), Some(before)) = (latest.next(), latest.next())
            && last - before < RESOLUTION_MS
        {
            self.samples.pop_back();
        }
    }

    /// Drops the samples before the last one that is not later than `start`: no later window needs them.
    fn forget(&mut self, start: u64) {
        while self.samples.get(1).is_some_and(|second| second.at_ms <= start) {
            self.samples.pop_front();
        }
    }
}

/// Returns how far a counter went. One that is smaller than before began again at 0.
fn grown(before: u64, after: u64) -> u64 {
    after.checked_sub(before).unwrap_or(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_the_last_30_s_are_counted() {
        let rate = rate((0..=100).map(|s| (s * 1000, s * 20, 0)));
        assert_eq!(rate.count(100_000), counted(600, 30_000));
        assert_eq!(rate.count(100_400), counted(600, 30_000));
    }

    #[test]
    fn nothing_is_said_without_two_samples() {
        assert_eq!(rate([]).count(0), None);
        assert_eq!(rate([(1000, 5, 0)]).count(1000), None);
        assert_eq!(rate([(1000, 5, 0), (1000, 9, 0), (400, 9, 0)]).count(1000), None);
    }

    #[test]
    fn what_came_before_the_first_sample_does_not_count() {
        assert_eq!(rate([(1000, 5000, 0), (3000, 5007, 0)]).count(3000), counted(7, 2000));
    }

    #[test]
    fn an_old_last_sample_tells_nothing_about_now() {
        let rate = rate([(0, 0, 0), (10_000, 70, 0)]);
        assert_eq!(rate.count(39_999), counted(70, 10_000));
        assert_eq!(rate.count(40_000), None);
    }

    #[test]
    fn sparse_samples_cover_more_than_the_window() {
        assert_eq!(
            rate([(0, 0, 0), (20_000, 4, 0), (40_000, 9, 0), (60_000, 9, 0)]).count(60_000),
            counted(5, 40_000)
        );
    }

    #[test]
    fn a_counter_that_began_again_still_counts() {
        assert_eq!(
            rate([(0, 1000, 0), (1000, 1010, 0), (2000, 3, 0), (3000, 5, 0)]).count(3000),
            counted(15, 3000)
        );
    }

    #[test]
    fn own_datagrams_are_subtracted_over_the_window() {
        assert_eq!(rate([(0, 10, 4), (1000, 16, 6), (2000, 16, 8)]).count(2000), counted(2, 2000));
    }

    #[test]
    fn more_own_datagrams_than_came_in_are_no_datagrams() {
        assert_eq!(rate([(0, 10, 0), (1000, 11, 2)]).count(1000), counted(0, 1000));
        assert_eq!(rate([(0, 10, 7), (1000, 11, 2)]).count(1000), counted(1, 1000));
    }

    #[test]
    fn looking_often_neither_shortens_the_window_nor_grows_the_memory() {
        let rate = rate((0..100_000).map(|ms| (ms, ms, 0)));
        assert!(rate.samples.len() <= 62, "{}", rate.samples.len());
        let count = rate.count(99_999).unwrap();
        assert!((WINDOW_MS..=WINDOW_MS + RESOLUTION_MS).contains(&count.over_ms), "{count:?}");
        assert_eq!(count.datagrams, count.over_ms);
    }

    #[test]
    fn extreme_numbers_do_no_harm() {
        let rate =
            rate([(0, u64::MAX, u64::MAX), (1, 0, 0), (2, u64::MAX, 0), (u64::MAX, u64::MAX, u64::MAX)]);
        assert_eq!(rate.count(u64::MAX), counted(u64::MAX, u64::MAX));
    }

    fn rate(samples: impl IntoIterator<Item = (u64, u64, u64)>) -> Rate {
        let mut rate = Rate::default();
        samples.into_iter().for_each(|(at_ms, total, own)| rate.sample(Sample { at_ms, total, own }));
        rate
    }

    fn counted(datagrams: u64, over_ms: u64) -> Option<Count> {
        Some(Count { datagrams, over_ms })
    }
}
