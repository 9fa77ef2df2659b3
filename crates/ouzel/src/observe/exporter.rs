//! The exporter: a ring's statistics for the `metrics` facade.
//!
//! It sends what has changed since it was last asked to, whenever its owner likes, from any thread: the ring itself knows
//! nothing of it and is not slowed down by it. Names are at [`Exporter`]; every one has the label `ring`.

use std::collections::HashMap;
use std::fmt;

use metrics::{Counter, Gauge, Histogram as Sink, Label, Unit, counter, gauge, histogram};
use ouzel_engine::{Gauges, Place};
use ouzel_ring::Verb;

use super::Observed;
use super::histogram::Histogram;
use super::statistics::{Statistics, VerbStatistics};
use crate::explain::place_name;
use crate::raw::leaked_operations;

/// Sends the numbers of one ring to the recorder that is installed when it is made.
///
/// | metric | kind | labels beside `ring` |
/// |---|---|---|
/// | `ouzel_operations_total` | counter | `verb`, `outcome`: `success`, `failure`, `cancelled`, `skipped` |
/// | `ouzel_bytes_total`, `ouzel_results_total` | counter | `verb` |
/// | `ouzel_operation_seconds` | histogram | `verb`, `place` |
/// | `ouzel_queued_seconds` | histogram | `verb` |
/// | `ouzel_chain_seconds` | histogram | |
/// | `ouzel_refused_total`, `ouzel_leaked_total` | counter | |
/// | `ouzel_backend_total` | counter | `cost`: `enters`, `calls`, `handoffs` |
/// | `ouzel_alive`, `ouzel_peak` | gauge | `what`: `entries`, `chains`, `started`, `descriptors`, `stored`, `calls`, `steps`, `programs` |
/// | `ouzel_leaked_operations` | gauge, of the process | none, not even `ring` |
///
/// Durations are middles of buckets, off by at most 1/32.
///
/// ```
/// use ouzel::observe::{Exporter, Observe};
/// use ouzel::Ring;
///
/// let ring = Ring::builder().observe(Observe::new()).build()?;
/// let mut exporter = Exporter::new("main", ring.observed().expect("it was asked to"));
/// exporter.export(); // now and then, on any thread
/// # Ok::<(), ouzel::Error>(())
/// ```
pub struct Exporter {
    observed: Observed,
    ring: Label,
    verbs: HashMap<Verb, VerbSinks>,
    chains: Timed,
    refused: Counter,
    leaked: Counter,
    leaked_in_process: Gauge,
    costs: [Counter; 3],
    alive: [Gauge; 8],
    peaks: [Gauge; 8],
}

/// Where the numbers of a verb go.
struct VerbSinks {
    outcomes: [Counter; 4],
    bytes: Counter,
    results: Counter,
    queued: Timed,
    places: HashMap<Place, Timed>,
}

/// Where durations go, and what has gone there.
struct Timed {
    sink: Sink,
    sent: Histogram,
}

/// Names of the gauges, in the order of [`numbers_of`].
const ALIVE: [&str; 8] =
    ["entries", "chains", "started", "descriptors", "stored", "calls", "steps", "programs"];

impl Exporter {
    /// For a ring with this name.
    pub fn new(ring: &str, observed: Observed) -> Exporter {
        describe();
        let ring = Label::new("ring", ring.to_owned());
        let with = |key: &'static str, value: &'static str| vec![ring.clone(), Label::new(key, value)];
        Exporter {
            observed,
            verbs: HashMap::new(),
            chains: Timed::new(histogram!("ouzel_chain_seconds", vec![ring.clone()])),
            refused: counter!("ouzel_refused_total", vec![ring.clone()]),
            leaked: counter!("ouzel_leaked_total", vec![ring.clone()]),
            leaked_in_process: gauge!("ouzel_leaked_operations"),
            costs: ["enters", "calls", "handoffs"]
                .map(|cost| counter!("ouzel_backend_total", with("cost", cost))),
            alive: ALIVE.map(|what| gauge!("ouzel_alive", with("what", what))),
            peaks: ALIVE.map(|what| gauge!("ouzel_peak", with("what", what))),
            ring,
        }
    }

    /// Sends what has changed since the last time.
    pub fn export(&mut self) {
        let statistics = self.observed.statistics();
        for verb in &statistics.verbs {
            let ring = &self.ring;
            self.verbs.entry(verb.verb).or_insert_with(|| VerbSinks::new(ring, verb.verb)).send(ring, verb);
        }
        self.chains.send(&statistics.chains);
        self.send_numbers(&statistics);
    }

    fn send_numbers(&self, statistics: &Statistics) {
        self.refused.absolute(statistics.refused);
        self.leaked.absolute(statistics.leaked);
        self.leaked_in_process.set(leaked_operations() as f64);
        let costs = statistics.counters;
        for (sink, cost) in self.costs.iter().zip([costs.enters, costs.calls, costs.handoffs]) {
            sink.absolute(cost);
        }
        for (sinks, gauges) in [(&self.alive, statistics.gauges), (&self.peaks, statistics.peaks)] {
            for (sink, number) in sinks.iter().zip(numbers_of(gauges)) {
                sink.set(f64::from(number));
            }
        }
    }
}

impl VerbSinks {
    fn new(ring: &Label, verb: Verb) -> VerbSinks {
        let labels = vec![ring.clone(), Label::new("verb", verb.name())];
        let outcome = |outcome: &'static str| {
            let mut labels = labels.clone();
            labels.push(Label::new("outcome", outcome));
            counter!("ouzel_operations_total", labels)
        };
        VerbSinks {
            outcomes: ["success", "failure", "cancelled", "skipped"].map(outcome),
            bytes: counter!("ouzel_bytes_total", labels.clone()),
            results: counter!("ouzel_results_total", labels.clone()),
            queued: Timed::new(histogram!("ouzel_queued_seconds", labels.clone())),
            places: HashMap::new(),
        }
    }

    fn send(&mut self, ring: &Label, verb: &VerbStatistics) {
        let succeeded = verb.completed.saturating_sub(verb.failed).saturating_sub(verb.cancelled);
        let outcomes = [succeeded, verb.failed, verb.cancelled, verb.skipped];
        for (sink, number) in self.outcomes.iter().zip(outcomes) {
            sink.absolute(number);
        }
        self.bytes.absolute(verb.bytes);
        self.results.absolute(verb.results);
        self.queued.send(&verb.queued);
        for (place, durations) in &verb.places {
            let timed = self.places.entry(*place).or_insert_with(|| {
                let labels = vec![
                    ring.clone(),
                    Label::new("verb", verb.verb.name()),
                    Label::new("place", place_name(*place)),
                ];
                Timed::new(histogram!("ouzel_operation_seconds", labels))
            });
            timed.send(durations);
        }
    }
}

impl Timed {
    fn new(sink: Sink) -> Timed {
        Timed { sink, sent: Histogram::default() }
    }

    fn send(&mut self, durations: &Histogram) {
        for (bucket, count) in durations.since(&self.sent).buckets() {
            let seconds = bucket.start().midpoint((*bucket.end()).min(durations.longest())) as f64 / 1e9;
            self.sink.record_many(seconds, usize::try_from(count).unwrap_or(usize::MAX));
        }
        self.sent.clone_from(durations);
    }
}

fn numbers_of(gauges: Gauges) -> [u32; 8] {
    let Gauges { packets, chains, started, descriptors, stored, calls, steps, programs } = gauges;
    [packets, chains, started, descriptors, stored, calls, steps, programs]
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("ouzel_operations_total", "Operations that ended, or were skipped");
    describe_counter!("ouzel_bytes_total", Unit::Bytes, "Bytes that operations have moved");
    describe_counter!("ouzel_results_total", "Results of multishot operations that went on");
    describe_histogram!("ouzel_operation_seconds", Unit::Seconds, "How long operations took, where they ran");
    describe_histogram!("ouzel_queued_seconds", Unit::Seconds, "How long operations waited for their start");
    describe_histogram!("ouzel_chain_seconds", Unit::Seconds, "How long chains took from their admission");
    describe_counter!("ouzel_refused_total", "Entries refused before they were admitted");
    describe_counter!("ouzel_leaked_total", "Operations of the ring given up at its teardown");
    describe_counter!("ouzel_backend_total", "What the backend has cost");
    describe_gauge!("ouzel_alive", "What is alive in the ring");
    describe_gauge!("ouzel_peak", "The most that has been alive in the ring");
    describe_gauge!("ouzel_leaked_operations", "Operations of the process given up at teardowns");
}

impl fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring.value();
        formatter.debug_struct("Exporter").field("ring", &ring).finish_non_exhaustive()
    }
}
