//! Layout: where what stands on a page. The page is an array of words of 64 bits in the byte order of the machine.
//!
//! Both sides use this file: the ring that writes and whoever reads. A change of what it says is a new [`VERSION`].

use ouzel_engine::Place;

use super::histogram::BUCKETS;

/// The first word: `OUZELTOP`.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"OUZELTOP");
/// The second: how to read the rest.
pub(super) const VERSION: u64 = 1;

/// Single words, by number.
pub(super) mod word {
    pub(in crate::observe) const MAGIC: usize = 0;
    pub(in crate::observe) const VERSION: usize = 1;
    /// Words of the page.
    pub(in crate::observe) const LENGTH: usize = 2;
    pub(in crate::observe) const PROCESS: usize = 3;
    /// When the process started, in the ticks of `/proc/PID/stat`.
    pub(in crate::observe) const PROCESS_START: usize = 4;
    /// The inode number of the namespace of its number.
    pub(in crate::observe) const NAMESPACE: usize = 5;
    /// The ring's number within the process.
    pub(in crate::observe) const RING: usize = 6;
    pub(in crate::observe) const BACKEND: usize = 7;
    pub(in crate::observe) const ENTRIES: usize = 8;
    pub(in crate::observe) const COMPLETIONS: usize = 9;
    pub(in crate::observe) const DESCRIPTORS: usize = 10;
    /// The ring's clock when it was made.
    pub(in crate::observe) const MADE: usize = 11;
    /// The ring's clock when something was last written.
    pub(in crate::observe) const UPDATED: usize = 12;
    /// 1 once the ring has been torn down.
    pub(in crate::observe) const TORN_DOWN: usize = 13;
    /// Operations that had not ended by then.
    pub(in crate::observe) const LEAKED: usize = 14;
    /// Entries refused before they had a packet.
    pub(in crate::observe) const REFUSED: usize = 15;
    /// Durations for which there was no histogram left.
    pub(in crate::observe) const UNTIMED: usize = 16;
    pub(in crate::observe) const ENTERS: usize = 17;
    pub(in crate::observe) const CALLS: usize = 18;
    pub(in crate::observe) const HANDOFFS: usize = 19;
    /// Histograms in use.
    pub(in crate::observe) const HISTOGRAMS: usize = 20;
    /// Eight gauges.
    pub(in crate::observe) const GAUGES: usize = 24;
    /// The most that each has been.
    pub(in crate::observe) const PEAKS: usize = 32;
    /// What an executor counts, if one drives the ring.
    pub(in crate::observe) const EXECUTOR: usize = 40;
}

/// Numbers of an executor: turns first, which is 0 where there is none.
pub(super) const EXECUTOR_NUMBERS: usize = 10;

/// Rows of verbs: more than there are.
pub(super) const VERBS: usize = 128;
/// The row for whole chains, in the place of a verb.
pub(super) const CHAINS: usize = VERBS - 1;

/// Counters of a verb, by number within its row.
pub(super) mod counter {
    pub(in crate::observe) const COMPLETED: usize = 0;
    pub(in crate::observe) const FAILED: usize = 1;
    pub(in crate::observe) const CANCELLED: usize = 2;
    pub(in crate::observe) const SKIPPED: usize = 3;
    pub(in crate::observe) const BYTES: usize = 4;
    pub(in crate::observe) const RESULTS: usize = 5;
}

/// Counters in a row, some of them without a use yet.
pub(super) const COUNTERS: usize = 8;

/// What a duration is of: of waiting, or of running at one of the places.
pub(super) const STAGES: usize = 8;
/// Waiting.
pub(super) const QUEUED: usize = 0;

/// The places, by stage less 1.
pub(super) const PLACES: [Place; STAGES - 1] = [
    Place::Engine,
    Place::Call,
    Place::Kernel,
    Place::Linked,
    Place::Helper,
    Place::Thread,
    Place::Simulated,
];

/// The stage of running there.
#[inline]
pub(super) fn stage_of(place: Place) -> usize {
    match place {
        Place::Call => 2,
        Place::Kernel => 3,
        Place::Linked => 4,
        Place::Helper => 5,
        Place::Thread => 6,
        Place::Simulated => 7,
        _ => 1,
    }
}

/// Where the rows of the verbs' counters begin.
const COUNTED: usize = 64;
/// Where the rows begin that say which histogram is whose: its number and 1, or 0.
const ASSIGNED: usize = COUNTED + VERBS * COUNTERS;
/// Where the histograms begin.
const TIMED: usize = ASSIGNED + VERBS * STAGES;

/// Histograms on a page.
pub(super) const HISTOGRAMS: usize = 128;
/// Words of a histogram: count, sum, longest, one without use, the buckets.
pub(super) const HISTOGRAM: usize = FIRST_BUCKET + BUCKETS;
/// The word of the first bucket.
pub(super) const FIRST_BUCKET: usize = 4;

/// Words of a page.
pub(super) const LENGTH: usize = TIMED + HISTOGRAMS * HISTOGRAM;

/// The word of a verb's counter.
#[inline]
pub(super) const fn counter_of(verb: usize, counter: usize) -> usize {
    COUNTED + verb * COUNTERS + counter
}

/// The word that says which histogram has the durations of this verb and stage.
#[inline]
pub(super) const fn assignment_of(verb: usize, stage: usize) -> usize {
    ASSIGNED + verb * STAGES + stage
}

/// Where a histogram begins.
#[inline]
pub(super) const fn histogram_at(number: usize) -> usize {
    TIMED + number * HISTOGRAM
}

const _: () = assert!(word::EXECUTOR + EXECUTOR_NUMBERS <= COUNTED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_stage_of_its_own() {
        for (number, place) in PLACES.iter().enumerate() {
            assert_eq!(stage_of(*place), number + 1);
        }
    }

    #[test]
    fn every_verb_has_a_row() {
        for verb in ouzel_ring::Verb::ALL {
            assert!((*verb as usize) < CHAINS);
        }
    }
}
