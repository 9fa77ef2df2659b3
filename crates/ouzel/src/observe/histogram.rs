//! Histograms: how durations are sorted into buckets, and what can be read from them.
//!
//! Buckets are log-linear: below 16 ns one for each nanosecond, above that sixteen for each doubling, up to 2^42 ns (73
//! minutes), where the last one takes all that is longer. A duration told from a bucket is its middle, so it is off by at most
//! 1/32 (3.2 %). This module computes; it knows neither clocks nor memory that is shared.

use std::ops::RangeInclusive;

/// Buckets to a doubling, as a power of two.
const FINENESS: u32 = 4;
/// Durations from this power of two on are in the last bucket.
const LONGEST: u32 = 42;

/// How many buckets there are.
pub(super) const BUCKETS: usize = ((LONGEST - FINENESS + 1) << FINENESS) as usize;

/// The bucket of a duration.
#[inline]
pub(super) fn bucket_of(nanoseconds: u64) -> usize {
    let nanoseconds = nanoseconds.min((1 << LONGEST) - 1);
    if nanoseconds < 1 << FINENESS {
        return nanoseconds as usize;
    }
    let doubling = nanoseconds.ilog2();
    let within = (nanoseconds >> (doubling - FINENESS)) & ((1 << FINENESS) - 1);
    (((doubling - FINENESS + 1) as u64) << FINENESS | within) as usize
}

/// The durations in a bucket.
fn durations_in(bucket: usize) -> RangeInclusive<u64> {
    let (doubling, within) = (bucket >> FINENESS, (bucket as u64) & ((1 << FINENESS) - 1));
    if doubling == 0 {
        return within..=within;
    }
    let shift = doubling as u32 - 1;
    let first = ((1 << FINENESS) | within) << shift;
    let last = if bucket + 1 == BUCKETS { u64::MAX } else { first + (1 << shift) - 1 };
    first..=last
}

/// The durations of many operations, in nanoseconds.
///
/// Quantiles are off by at most 1/32; counts, sum and longest are exact. What was read while its owner wrote may be off by the
/// few operations that ended meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    count: u64,
    sum: u64,
    longest: u64,
    /// As many as there are, or none if all are 0.
    buckets: Vec<u64>,
}

impl Histogram {
    /// What a page says, which may be anything.
    pub(super) fn from_words(count: u64, sum: u64, longest: u64, buckets: &[u64]) -> Histogram {
        Histogram { count, sum, longest, buckets: buckets.iter().copied().take(BUCKETS).collect() }
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The longest, in nanoseconds; 0 if there is none.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// The average, in nanoseconds; 0 if there is none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The duration that a `share` (0 to 1) of all do not exceed, in nanoseconds, off by at most 1/32; 0 if there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u128 = self.buckets.iter().map(|count| u128::from(*count)).sum();
        if total == 0 {
            return 0;
        }
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 };
        let rank = ((total as f64 * share).ceil() as u128).clamp(1, total);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return middle(bucket).min(self.longest);
            }
        }
        self.longest
    }

    /// The buckets that are not empty: the durations in each, in nanoseconds, and how many there are.
    pub fn buckets(&self) -> impl Iterator<Item = (RangeInclusive<u64>, u64)> + '_ {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (durations_in(bucket), *count))
    }

    /// What has been added since `earlier`, a reading of the same. The longest stays that of all.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        Histogram {
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum.saturating_sub(earlier.sum),
            longest: self.longest,
            buckets: self
                .buckets
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before))
                .collect(),
        }
    }

    /// Adds the durations of another one.
    pub fn add(&mut self, other: &Histogram) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.longest = self.longest.max(other.longest);
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = own.saturating_add(*other);
        }
    }
}

/// What stands for the durations in a bucket.
pub(super) fn middle(bucket: usize) -> u64 {
    let durations = durations_in(bucket);
    // The last bucket has no middle: what is known is that it was at least that long.
    if bucket + 1 == BUCKETS { *durations.start() } else { durations.start().midpoint(*durations.end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap_or_overlap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let durations = durations_in(bucket);
            assert_eq!(*durations.start(), next, "bucket {bucket}");
            assert_eq!(bucket_of(*durations.start()), bucket);
            assert_eq!(bucket_of(*durations.end()), bucket);
            next = durations.end().wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the longest duration");
    }

    #[test]
    fn a_duration_told_from_its_bucket_is_off_by_a_thirty_second_at_most() {
        // The last bucket has all that is longer, and no middle.
        let end = *durations_in(BUCKETS - 1).start();
        let mut nanoseconds = 1u64;
        while nanoseconds < end {
            for near in [nanoseconds - 1, nanoseconds, nanoseconds + nanoseconds / 3] {
                let near = near.min(end - 1);
                let told = middle(bucket_of(near));
                assert!(told.abs_diff(near) * 32 <= near, "{near} was told as {told}");
            }
            nanoseconds = nanoseconds * 5 / 4 + 1;
        }
    }

    #[test]
    fn quantiles_are_where_a_sorted_list_has_them() {
        let durations: Vec<u64> = (1..=1000).map(|number| number * 37).collect();
        let mut buckets = vec![0; BUCKETS];
        durations.iter().for_each(|duration| buckets[bucket_of(*duration)] += 1);
        let histogram = Histogram::from_words(1000, durations.iter().sum(), 37_000, &buckets);
        for share in [0.0, 0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = durations[((1000.0 * share) as usize).clamp(1, 1000) - 1];
            let told = histogram.quantile(share);
            assert!(told.abs_diff(exact) * 32 <= exact, "{share}: {told} instead of {exact}");
        }
        assert_eq!(histogram.quantile(f64::NAN), 37_000);
        assert_eq!(histogram.mean(), 37 * 1001 / 2);
        let twice = {
            let mut twice = histogram.clone();
            twice.add(&histogram);
            twice
        };
        assert_eq!(twice.since(&histogram), histogram);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
