//! Where everything comes from that could also have happened otherwise: one generator of choices, which is the seed's, or a
//! list of choices made before. The choice 0 is always the dullest one, so that a list is made simpler by zeroes.

/// The choices of one run.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
    script: Option<Vec<u32>>,
    /// The choices made so far.
    pub(super) made: Vec<u32>,
}

impl Chance {
    pub(super) fn of_seed(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66, script: None, made: Vec::new() }
    }

    /// Makes these choices again, and the dullest one each time from then on.
    pub(super) fn again(script: Vec<u32>) -> Self {
        Self { state: 0, script: Some(script), made: Vec::new() }
    }

    /// Returns a choice below `n`, which is not 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        let drawn = self.next();
        self.make(n, u32::try_from(drawn % u64::from(n)).unwrap_or(0))
    }

    /// Returns whether something happens that happens once in `n` times; never for 0.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        if n == 0 {
            return false;
        }
        let drawn = self.next().is_multiple_of(u64::from(n));
        self.make(2, u32::from(drawn)) == 1
    }

    /// Returns a number of milliseconds from `least` to `most`, in sixteen steps.
    pub(super) fn millis(&mut self, least: u64, most: u64) -> u64 {
        least + (most - least) * u64::from(self.below(16)) / 15
    }

    /// Splitmix64: small, fast, and the same everywhere.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn make(&mut self, n: u32, drawn: u32) -> u32 {
        let choice = match &self.script {
            Some(script) => script.get(self.made.len()).copied().unwrap_or(0) % n,
            None => drawn,
        };
        self.made.push(choice);
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_chosen_again_and_then_the_dullest() {
        let mut first = Chance::of_seed(7);
        let drawn: Vec<_> = (0..50).map(|_| first.below(10)).collect();
        let mut again = Chance::again(first.made.clone());
        assert_eq!((0..50).map(|_| again.below(10)).collect::<Vec<_>>(), drawn);
        assert_eq!((again.below(10), again.one_in(2), again.millis(5, 20)), (0, false, 5));
    }
}
