//! Makes a run that broke a law shorter and duller, as long as it breaks the same one.
//!
//! Choices are made dull in chunks that become smaller, the last ones first; then what is left is tried without them. A run
//! that takes more steps than the best one so far is broken off. How long it all takes is bounded by steps, not by a clock:
//! the same finding is made shorter in the same way each time.

use super::run::{Played, replay_within};

/// How far shrinking has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The runs played so far.
    pub runs: u32,
    /// The choices of the best one that are not the dullest.
    pub choices: usize,
    /// The steps of the best one.
    pub steps: u64,
}

/// Returns the dullest run found in about `most` steps that breaks the same law as `first`, and no longer than that.
/// `progress` is told of each better one.
pub fn shrink(first: &Played, most: u64, progress: &mut dyn FnMut(Progress)) -> Played {
    let Some(law) = first.broken.as_deref().map(kind) else { return first.clone() };
    let mut search = Search { law, best: first.clone(), runs: 0, left: most, progress };
    let mut chunk = first.choices.len().next_power_of_two();
    while chunk > 0 && search.left > 0 {
        search.pass(chunk, dulled);
        chunk /= 2;
    }
    // What was left out makes each later choice another one: worth trying when few of them count.
    let mut chunk = search.best.choices.len().next_power_of_two() / 2;
    while chunk > 0 && search.left > 0 {
        search.pass(chunk, left_out);
        chunk /= 2;
    }
    search.best
}

struct Search<'a> {
    law: String,
    best: Played,
    runs: u32,
    left: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Search<'_> {
    /// Tries each chunk of choices once, the last one first.
    fn pass(&mut self, chunk: usize, change: fn(&[u32], usize, usize) -> Option<Vec<u32>>) {
        let mut end = self.best.choices.len();
        while end > 0 && self.left > 0 {
            let begin = end.saturating_sub(chunk);
            if let Some(choices) = change(&self.best.choices, begin, end) {
                self.try_out(choices);
            }
            end = begin.min(self.best.choices.len());
        }
    }

    fn try_out(&mut self, choices: Vec<u32>) {
        let again = replay_within(choices, self.best.also, self.best.steps);
        self.runs += 1;
        self.left = self.left.saturating_sub(again.steps.max(1));
        let is_same = again.broken.as_deref().map(kind).as_ref() == Some(&self.law);
        if is_same && again.steps <= self.best.steps && weight(&again) < weight(&self.best) {
            self.best = again;
            let (choices, steps, _) = weight(&self.best);
            (self.progress)(Progress { runs: self.runs, choices, steps });
        }
    }
}

fn dulled(choices: &[u32], begin: usize, end: usize) -> Option<Vec<u32>> {
    let mut duller = choices.to_vec();
    duller[begin..end].fill(0);
    (duller != choices).then_some(duller)
}

fn left_out(choices: &[u32], begin: usize, end: usize) -> Option<Vec<u32>> {
    let is_last = choices[end..].iter().all(|choice| *choice == 0);
    (!is_last).then(|| [&choices[..begin], &choices[end..]].concat())
}

/// The fewer choices that are not dull, and then the fewer steps and choices, the better.
fn weight(played: &Played) -> (usize, u64, usize) {
    let lively = played.choices.iter().filter(|choice| **choice != 0).count();
    (lively, played.steps, played.choices.len())
}

/// A law without the numbers in it, so that another archive or task is the same finding.
fn kind(law: &str) -> String {
    law.chars().filter(|c| !c.is_ascii_digit()).take(60).collect()
}
