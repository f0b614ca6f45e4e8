//! Makes a run that broke a law shorter and duller, as long as it breaks the same one: choices are left out or zeroed, in
//! chunks that become smaller.

use super::run::{Played, Telling, replay};

/// Returns the dullest choices found in at most `most` runs that break the same law as `first`.
pub fn shrink(first: &Played, most: u32) -> Vec<u32> {
    let Some(law) = first.broken.as_deref().map(kind) else { return first.choices.clone() };
    let (mut best, mut left) = (first.choices.clone(), most);
    let mut chunk = best.len().next_power_of_two() / 2;
    while chunk > 0 && left > 0 {
        let mut begin = 0;
        while begin < best.len() && left > 0 {
            let end = (begin + chunk).min(best.len());
            let shorter = [&best[..begin], &best[end..]].concat();
            let mut duller = best.clone();
            duller[begin..end].fill(0);
            let is_dull = duller == best;
            let found =
                [Some(shorter), (!is_dull).then_some(duller)].into_iter().flatten().find_map(|choices| {
                    left = left.saturating_sub(1);
                    let again = replay(choices, Telling::Brief);
                    let same = again.broken.as_deref().map(kind) == Some(law.clone());
                    same.then_some(again.choices)
                });
            match found {
                Some(choices) if weight(&choices) < weight(&best) => best = choices,
                Some(_) | None => begin = end,
            }
        }
        chunk /= 2;
    }
    best
}

/// The shorter, and then the duller, the better.
fn weight(choices: &[u32]) -> (usize, usize) {
    (choices.iter().filter(|choice| **choice != 0).count(), choices.len())
}

/// A law without the numbers in it, so that another archive or task is the same finding.
fn kind(law: &str) -> String {
    law.chars().filter(|c| !c.is_ascii_digit()).take(60).collect()
}
