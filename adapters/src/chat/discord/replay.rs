//! Which interactions were heard already: whoever captured a signed request cannot have it done once more.
//!
//! A signature holds for [`AGE_LIMIT`], and a world that was stopped would stop again. What was heard is remembered by this
//! process for as long as its signature holds. Where several processes answer, as on Lambda, another one may still take it: a
//! record of each interaction would cost a write of its own, and what is done twice does no more than what people can do.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use domain::Timestamp;

use crate::chat::discord::{signature::AGE_LIMIT, snowflake::Snowflake};

/// How many interactions are remembered: 2 MiB or so, and more than a guild's people say in [`AGE_LIMIT`].
const MOST: usize = 32 * 1024;

/// The interactions that were heard.
#[derive(Default)]
pub(super) struct Heard(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    ids: BTreeSet<Snowflake>,
    /// In the order in which they were heard, each with the time from which on its signature is too old.
    until: VecDeque<(Timestamp, Snowflake)>,
}

/// Whether an interaction is heard for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    First,
    Again,
}

impl Heard {
    /// Takes note of the interaction `id`, which was signed at `at`.
    pub(super) fn hear(&self, id: Snowflake, at: Timestamp, now: Timestamp) -> Hearing {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.forget(now);
        if !remembered.ids.insert(id) {
            return Hearing::Again;
        }
        remembered.until.push_back((at + AGE_LIMIT, id));
        Hearing::First
    }
}

impl Remembered {
    /// Forgets those whose signature is too old by now, and the oldest where there are too many. One that was heard late waits
    /// for those before it, which is a few minutes.
    fn forget(&mut self, now: Timestamp) {
        while let Some((until, id)) = self.until.front().copied()
            && (until < now || self.until.len() >= MOST)
        {
            self.until.pop_front();
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn id(number: u64) -> Snowflake {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn what_was_heard_is_known_for_as_long_as_its_signature_holds() {
        let heard = Heard::default();
        let hear = |number, second| heard.hear(id(number), at(0), at(second));
        assert_eq!((hear(1, 0), hear(2, 0)), (Hearing::First, Hearing::First));
        assert_eq!((hear(1, 1), hear(1, 300)), (Hearing::Again, Hearing::Again));
        assert_eq!(hear(3, 301), Hearing::First);
        assert_eq!(heard.0.lock().unwrap().until.len(), 1, "the others are too old to be taken");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let heard = Heard::default();
        for number in 1..=2 * MOST as u64 {
            assert_eq!(heard.hear(id(number), at(0), at(1)), Hearing::First);
        }
        assert_eq!(heard.hear(id(2 * MOST as u64), at(0), at(1)), Hearing::Again);
        let remembered = heard.0.lock().unwrap();
        assert_eq!((remembered.ids.len(), remembered.until.len()), (MOST - 1, MOST - 1));
    }
}
