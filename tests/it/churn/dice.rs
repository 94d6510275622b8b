//! Chance that can be had again: the same seed throws the same dice.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// The variable whose value is the seed, to see a failure again.
const GIVEN: &str = "KILONOVA_IT_SEED";

/// Numbers that look random.
pub struct Dice(u64);

impl Dice {
    /// By the seed that is given, or a new one; the seed, too.
    pub fn new() -> Result<(Self, u64)> {
        let seed = match std::env::var(GIVEN) {
            Ok(given) => given.parse().with_context(|| format!("{GIVEN}={given}"))?,
            Err(_) => u64::from(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)?
                    .subsec_micros(),
            ),
        };
        eprintln!("dice: {GIVEN}={seed}");
        Ok((Self(seed), seed))
    }

    /// A number below `sides`, by splitmix64.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("31 bits fit") % sides
    }

    /// Whether something happens that happens once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Some of several, in no order: so many at most.
    pub fn some<T: Clone>(&mut self, of: &[T], most: usize) -> Vec<T> {
        let mut mixed = of.to_vec();
        self.shuffle(&mut mixed);
        mixed.truncate(self.below(most + 1));
        mixed
    }

    /// Changes the order.
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.below(last + 1));
        }
    }
}
