//! Statistics: what a page says, read at once.
//!
//! The page may be another process's, so nothing in it is believed: numbers are clamped to what is there, whatever names no
//! verb or no histogram is left out, and no content makes this panic.

use std::fmt;

use ouzel_engine::{Counters, Gauges, Place};
use ouzel_ring::Verb;

use super::histogram::Histogram;
use super::layout::{
    CHAINS, EXECUTOR_NUMBERS, FIRST_BUCKET, HISTOGRAM, HISTOGRAMS, LENGTH, MAGIC, PLACES, QUEUED, VERSION,
    assignment_of, counter, counter_of, histogram_at, word,
};
use crate::select::BackendKind;
use crate::task::Metrics;

/// What a ring has done so far, and what is alive in it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The process it is in.
    pub process: Process,
    /// Its number within the process.
    pub ring: u64,
    /// Which backend it runs on; `None` for one that this version does not know.
    pub backend: Option<BackendKind>,
    /// Slots of its submission queue.
    pub entries: u64,
    /// Slots of its completion queue.
    pub completions: u64,
    /// Descriptors that can be open at once.
    pub descriptors: u64,
    /// Nanoseconds of its clock from its making to what was last noted.
    pub age: u64,
    /// It has been torn down. It can still be read if operations were leaked.
    pub torn_down: bool,
    /// Operations that had not ended within the teardown's bound: what they may write to is never freed.
    pub leaked: u64,
    /// What was alive when entries were last taken in, before it last slept, or after it was last entered.
    pub gauges: Gauges,
    /// The most that each gauge has been.
    pub peaks: Gauges,
    /// What its backend has cost.
    pub counters: Counters,
    /// Entries refused before they had a packet: in chains of a wrong shape or too long, or withdrawn from the queue; and those whose
    /// number is no verb's.
    pub refused: u64,
    /// Durations that are in no histogram because all of them were in use.
    pub untimed: u64,
    /// The durations of chains that are over, from their admission.
    pub chains: Histogram,
    /// The verbs of which anything has ended, in the order of their numbers.
    pub verbs: Vec<VerbStatistics>,
    /// What the executor counts that drives the ring, if one does.
    pub executor: Option<Metrics>,
}

/// A process, so that it is not taken for a later one with the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number.
    pub number: u64,
    /// When it started, in clock ticks after the start of the machine (`/proc/PID/stat`, field 22).
    pub start: u64,
    /// The inode number of the namespace that its number is of.
    pub namespace: u64,
}

/// What has become of the operations of one verb.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VerbStatistics {
    /// The verb.
    pub verb: Verb,
    /// Operations that ran and ended. In a loop one entry is as many as it ran times.
    pub completed: u64,
    /// Those of them that ended with an error other than ECANCELED.
    pub failed: u64,
    /// Those of them that ended with ECANCELED.
    pub cancelled: u64,
    /// Members of chains that were not run.
    pub skipped: u64,
    /// Bytes that succeeded operations have moved, for verbs whose result says so.
    pub bytes: u64,
    /// Results of multishots that went on.
    pub results: u64,
    /// How long operations waited for their start once it was their turn: from their admission, or, behind another member
    /// that was not in the same run, from that one's end.
    pub queued: Histogram,
    /// How long they took, by the place where they ran. Together these have counted [`completed`](Self::completed).
    pub places: Vec<(Place, Histogram)>,
}

/// Why a page cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum PageError {
    /// The system says so.
    Io(std::io::Error),
    /// It is not a page of a ring: no regular file, too short, or without the right beginning.
    Foreign,
    /// It is a page of another version of Ouzel.
    Version(u64),
}

impl fmt::Display for PageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PageError::Io(error) => write!(formatter, "cannot read the page of a ring: {error}"),
            PageError::Foreign => formatter.write_str("this is not the page of a ring"),
            PageError::Version(version) => write!(
                formatter,
                "the page of a ring has version {version}, and this is made for {VERSION}: use the `ouzel` of the process's version"
            ),
        }
    }
}

impl std::error::Error for PageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PageError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Numbers of backends on a page.
pub(super) const BACKENDS: [(u64, BackendKind); 4] =
    [(1, BackendKind::Uring), (2, BackendKind::Threads), (3, BackendKind::Sim), (4, BackendKind::Custom)];

impl Statistics {
    /// What these words say, which may be anything.
    pub(super) fn from_words(words: &[u64]) -> Result<Statistics, PageError> {
        if words.len() < LENGTH || words[word::MAGIC] != MAGIC {
            return Err(PageError::Foreign);
        }
        if words[word::VERSION] != VERSION || words[word::LENGTH] != LENGTH as u64 {
            return Err(PageError::Version(words[word::VERSION]));
        }
        let backend = BACKENDS.iter().find(|(number, _)| *number == words[word::BACKEND]);
        Ok(Statistics {
            process: Process {
                number: words[word::PROCESS],
                start: words[word::PROCESS_START],
                namespace: words[word::NAMESPACE],
            },
            ring: words[word::RING],
            backend: backend.map(|(_, kind)| *kind),
            entries: words[word::ENTRIES],
            completions: words[word::COMPLETIONS],
            descriptors: words[word::DESCRIPTORS],
            age: words[word::UPDATED].saturating_sub(words[word::MADE]),
            torn_down: words[word::TORN_DOWN] != 0,
            leaked: words[word::LEAKED],
            gauges: gauges(&words[word::GAUGES..]),
            peaks: gauges(&words[word::PEAKS..]),
            counters: Counters {
                enters: words[word::ENTERS],
                calls: words[word::CALLS],
                handoffs: words[word::HANDOFFS],
            },
            refused: words[word::REFUSED],
            untimed: words[word::UNTIMED],
            chains: histogram(words, CHAINS, QUEUED),
            verbs: Verb::ALL.iter().filter_map(|verb| verb_statistics(words, *verb)).collect(),
            executor: executor(&words[word::EXECUTOR..word::EXECUTOR + EXECUTOR_NUMBERS]),
        })
    }

    /// Operations of all verbs that ran and ended.
    pub fn completed(&self) -> u64 {
        self.verbs.iter().fold(0, |sum, verb| sum.saturating_add(verb.completed))
    }

    /// What has become of the operations of this verb, if any has ended.
    pub fn of(&self, verb: Verb) -> Option<&VerbStatistics> {
        self.verbs.iter().find(|statistics| statistics.verb == verb)
    }

    /// The durations of all operations that ran at this place.
    pub fn at(&self, place: Place) -> Histogram {
        let mut sum = Histogram::default();
        for verb in &self.verbs {
            verb.at(place).into_iter().for_each(|histogram| sum.add(histogram));
        }
        sum
    }
}

impl VerbStatistics {
    /// The durations of those that ran at this place, if any has.
    pub fn at(&self, place: Place) -> Option<&Histogram> {
        self.places.iter().find(|(at, _)| *at == place).map(|(_, histogram)| histogram)
    }

    /// The durations of all that ran.
    pub fn ran(&self) -> Histogram {
        let mut sum = Histogram::default();
        self.places.iter().for_each(|(_, histogram)| sum.add(histogram));
        sum
    }
}

fn verb_statistics(words: &[u64], verb: Verb) -> Option<VerbStatistics> {
    let row = verb as usize;
    let count = |number| words[counter_of(row, number)];
    let places = (QUEUED + 1..).zip(PLACES).map(|(stage, place)| (place, histogram(words, row, stage)));
    let statistics = VerbStatistics {
        verb,
        completed: count(counter::COMPLETED),
        failed: count(counter::FAILED),
        cancelled: count(counter::CANCELLED),
        skipped: count(counter::SKIPPED),
        bytes: count(counter::BYTES),
        results: count(counter::RESULTS),
        queued: histogram(words, row, QUEUED),
        places: places.filter(|(_, histogram)| !histogram.is_empty()).collect(),
    };
    let any = statistics.completed | statistics.skipped | statistics.results;
    (any != 0).then_some(statistics)
}

fn histogram(words: &[u64], row: usize, stage: usize) -> Histogram {
    let assigned = words[assignment_of(row, stage)];
    if assigned == 0 || assigned > HISTOGRAMS as u64 {
        return Histogram::default();
    }
    let words = &words[histogram_at(assigned as usize - 1)..][..HISTOGRAM];
    Histogram::from_words(words[0], words[1], words[2], &words[FIRST_BUCKET..])
}

/// The eight gauges that `words` begins with.
fn gauges(words: &[u64]) -> Gauges {
    let number = |place: usize| u32::try_from(words[place]).unwrap_or(u32::MAX);
    Gauges {
        packets: number(0),
        chains: number(1),
        started: number(2),
        descriptors: number(3),
        stored: number(4),
        calls: number(5),
        steps: number(6),
        programs: number(7),
    }
}

/// The words for gauges.
pub(super) fn gauge_words(gauges: Gauges) -> [u64; 8] {
    let Gauges { packets, chains, started, descriptors, stored, calls, steps, programs } = gauges;
    [packets, chains, started, descriptors, stored, calls, steps, programs].map(u64::from)
}

fn executor(words: &[u64]) -> Option<Metrics> {
    let &[turns, polls, spawned, submitted, backlogged, cancelled, late, late_closed, late_bytes, rung] =
        words
    else {
        return None;
    };
    let metrics = Metrics {
        turns,
        polls,
        spawned,
        submitted,
        backlogged,
        cancelled,
        late,
        late_closed,
        late_bytes,
        rung,
    };
    (turns > 0).then_some(metrics)
}

/// The words for what an executor counts.
pub(super) fn executor_words(metrics: Metrics) -> [u64; EXECUTOR_NUMBERS] {
    let Metrics {
        turns,
        polls,
        spawned,
        submitted,
        backlogged,
        cancelled,
        late,
        late_closed,
        late_bytes,
        rung,
    } = metrics;
    [turns, polls, spawned, submitted, backlogged, cancelled, late, late_closed, late_bytes, rung]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_content_makes_reading_a_page_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..20 {
            let mut words: Vec<u64> = (0..LENGTH).map(|_| random()).collect();
            assert!(matches!(Statistics::from_words(&words), Err(PageError::Foreign)));
            words[word::MAGIC] = MAGIC;
            words[word::VERSION] = VERSION;
            words[word::LENGTH] = LENGTH as u64;
            for row in 0..super::super::layout::VERBS {
                for stage in 0..super::super::layout::STAGES {
                    // Mostly ones that exist, or hardly any would be looked at.
                    words[assignment_of(row, stage)] = if round % 2 == 0 { random() % 200 } else { random() };
                }
            }
            if round % 4 == 0 {
                words[100..].iter_mut().for_each(|word| *word |= 0xffff << 48);
            }
            let statistics = Statistics::from_words(&words).unwrap();
            let mut all = Histogram::default();
            for verb in &statistics.verbs {
                all.add(&verb.ran());
                all.add(&verb.queued);
            }
            for share in [0.0, 0.5, 1.0] {
                let _ = (all.quantile(share), statistics.chains.quantile(share), all.mean());
            }
            let _ = (statistics.completed(), statistics.at(Place::Kernel), all.since(&statistics.chains));
        }
        assert!(matches!(Statistics::from_words(&[MAGIC, VERSION]), Err(PageError::Foreign)));
    }
}
