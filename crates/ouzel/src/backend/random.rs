//! Seeded numbers for the simulator and the fault wrapper.
//!
//! The same seed gives the same numbers on every machine and in every version of Ouzel that keeps this file. It must
//! never be used where numbers have to be hard to guess.

/// A stream of numbers that its seed decides (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from `low` to `high`, both included; `low` if the range is empty.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let number = self.next();
        match high.checked_sub(low) {
            None | Some(0) => low,
            Some(u64::MAX) => number,
            Some(distance) => low + number % (distance + 1),
        }
    }

    /// True in `per_mille` of 1000 cases.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.between(0, 999) < u64::from(per_mille)
    }
}

/// A number whose every bit depends on every bit of `number`.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
