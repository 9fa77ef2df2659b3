//! Rows of text out of readings: what `ouzel top` says about rings and their verbs.

use std::fmt;

use ouzel::observe::{Histogram, ServiceStatistics, Statistics};
use ouzel::place_name;
use serde_json::{Value, json};

use super::{Reading, Ring, Service};

/// The heads of the columns of [`RingRow`].
pub const RING_HEADS: [&str; 11] = [
    "PID",
    "NAME",
    "RING",
    "BACKEND",
    "OPS/S",
    "CROSSINGS/S",
    "ENTRIES",
    "CHAINS",
    "FILES",
    "FAILED",
    "LEAKED",
];

/// The heads of the columns of [`VerbRow`].
pub const VERB_HEADS: [&str; 9] =
    ["VERB", "PLACE", "DONE", "/S", "FAILED", "BYTES/S", "P50", "P99", "LONGEST"];

/// The heads of the columns of [`ConnectionRow`].
pub const CONNECTION_HEADS: [&str; 12] = [
    "SERVICE",
    "CLIENT",
    "USER",
    "STATE",
    "ENTRIES/S",
    "DONE/S",
    "IN FLIGHT",
    "CHAINS",
    "FILES",
    "SHARED",
    "PROGRAMS",
    "AGE",
];

/// A connection in a line. Behind a slash stands what it may have at the most.
pub type ConnectionRow = [String; CONNECTION_HEADS.len()];

/// A ring in a line.
pub type RingRow = [String; RING_HEADS.len()];

/// A verb at a place in a line.
pub type VerbRow = [String; VERB_HEADS.len()];

/// What there is to say about all rings of a reading.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Them, in the order of their processes.
    pub rings: Vec<RingView>,
    /// The services, in the order of their names.
    pub services: Vec<ServiceView>,
}

/// What there is to say about one service.
#[derive(Clone, Debug)]
pub struct ServiceView {
    /// In a line.
    pub line: String,
    /// Its connections.
    pub connections: Vec<ConnectionRow>,
}

/// What there is to say about one ring.
#[derive(Clone, Debug)]
pub struct RingView {
    /// In a line. Numbers that have been higher say so.
    pub row: RingRow,
    /// In a few lines.
    pub lines: Vec<String>,
    /// Its verbs.
    pub verbs: Vec<VerbRow>,
}

impl View {
    /// With the rates since the reading `before`; without one, those since each ring was made.
    pub fn new(now: &Reading, before: Option<&Reading>) -> View {
        let rings = now.rings.iter().map(|ring| {
            let before = before.and_then(|reading| {
                let seconds = now.at.saturating_duration_since(reading.at).as_secs_f64();
                reading.same(&ring.statistics).map(|statistics| (statistics, seconds))
            });
            RingView::new(ring, before)
        });
        let services = now.services.iter().map(|service| {
            let before = before.and_then(|reading| {
                let seconds = now.at.saturating_duration_since(reading.at).as_secs_f64();
                reading.same_service(&service.statistics).map(|statistics| (statistics, seconds))
            });
            ServiceView::new(service, before)
        });
        View { rings: rings.collect(), services: services.collect() }
    }
}

impl ServiceView {
    fn new(service: &Service, before: Option<(&ServiceStatistics, f64)>) -> ServiceView {
        let now = &service.statistics;
        let connections = now.connections.iter().map(|connection| {
            let earlier = before.and_then(|(before, seconds)| {
                let same = before.connections.iter().find(|other| other.number == connection.number);
                same.map(|same| (same.entries, same.completions, seconds))
            });
            let (entries, completions, seconds) = earlier.unwrap_or((0, 0, connection.age.as_secs_f64()));
            let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), seconds);
            let of = |now: u64, most: u64| format!("{}/{}", count(now), count(most));
            [
                format!("{}:", now.name),
                connection.process.to_string(),
                connection.user.to_string(),
                if connection.leaving { "leaving" } else { "connected" }.to_owned(),
                rate(connection.entries, entries),
                rate(connection.completions, completions),
                count(connection.in_flight),
                count(connection.chains),
                of(connection.descriptors, now.descriptors),
                of(connection.shared_bytes, now.shared_bytes),
                of(connection.programs, now.programs),
                duration(u64::try_from(connection.age.as_nanos()).unwrap_or(u64::MAX)),
            ]
        });
        let unseen = match now.unseen {
            0 => String::new(),
            unseen => format!("; there have been up to {unseen} more at once"),
        };
        let line = format!(
            "service {}: of process {} ({}): {} connections{unseen}",
            now.name,
            now.process.number,
            service.name,
            now.connections.len()
        );
        ServiceView { line, connections: connections.collect() }
    }
}

impl RingView {
    fn new(ring: &Ring, before: Option<(&Statistics, f64)>) -> RingView {
        let now = &ring.statistics;
        let nothing = Statistics::default();
        let (before, seconds) = before.unwrap_or((&nothing, now.age as f64 / 1e9));
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), seconds);
        let sum = |of: fn(&ouzel::observe::VerbStatistics) -> u64| {
            now.verbs.iter().fold(0u64, |sum, verb| sum.saturating_add(of(verb)))
        };
        let (failed, cancelled, skipped) =
            (sum(|verb| verb.failed), sum(|verb| verb.cancelled), sum(|verb| verb.skipped));
        let (gauges, peaks, counters) = (now.gauges, now.peaks, now.counters);
        let crossings =
            |statistics: &Statistics| statistics.counters.enters.saturating_add(statistics.counters.calls);
        let operations = rate(now.completed(), before.completed());
        let backend = now.backend.map_or("unknown", |backend| backend.name());
        let row = [
            now.process.number.to_string(),
            ring.name.clone(),
            now.ring.to_string(),
            backend.to_owned(),
            operations.clone(),
            rate(crossings(now), crossings(before)),
            with_peak(gauges.packets, peaks.packets),
            with_peak(gauges.chains, peaks.chains),
            with_peak(gauges.descriptors, peaks.descriptors),
            count(failed),
            count(now.leaked),
        ];
        let mut lines = vec![
            format!(
                "process {} ({}), ring {} on {backend}, {} old; {} entries, {} completions, {} descriptors",
                now.process.number,
                ring.name,
                now.ring,
                duration(now.age),
                now.entries,
                now.completions,
                now.descriptors
            ),
            format!(
                "alive (peak): entries {}, chains {}, with the backend {}, descriptors {}, stored results {}, calls {}",
                with_peak(gauges.packets, peaks.packets),
                with_peak(gauges.chains, peaks.chains),
                with_peak(gauges.started, peaks.started),
                with_peak(gauges.descriptors, peaks.descriptors),
                with_peak(gauges.stored, peaks.stored),
                with_peak(gauges.calls, peaks.calls),
            ),
            format!(
                "operations {} ({operations}/s), failed {}, cancelled {}, skipped {}, refused {}",
                now.completed(),
                failed,
                cancelled,
                skipped,
                now.refused
            ),
            format!(
                "chains {} ({}/s), p50 {}, p99 {}, longest {}",
                now.chains.count(),
                rate(now.chains.count(), before.chains.count()),
                duration(now.chains.quantile(0.5)),
                duration(now.chains.quantile(0.99)),
                duration(now.chains.longest())
            ),
            format!(
                "crossings: io_uring_enter {}, plain calls {}; hand-overs to threads {}",
                counters.enters, counters.calls, counters.handoffs
            ),
        ];
        if let Some(executor) = &now.executor {
            lines.push(format!(
                "executor: turns {}, polls {}, tasks {}, chains {}, backlogged {}, cancelled {}, late {}",
                executor.turns,
                executor.polls,
                executor.spawned,
                executor.submitted,
                executor.backlogged,
                executor.cancelled,
                executor.late
            ));
        }
        if now.untimed > 0 {
            lines.push(format!("durations that found no histogram: {}", now.untimed));
        }
        if now.leaked > 0 {
            lines.push(format!("LEAKED: {} operations had not ended when it was torn down", now.leaked));
        } else if now.torn_down {
            lines.push("torn down".to_owned());
        }
        RingView { row, lines, verbs: verbs(now, before, seconds) }
    }
}

fn verbs(now: &Statistics, before: &Statistics, seconds: f64) -> Vec<VerbRow> {
    let mut rows = Vec::new();
    for verb in &now.verbs {
        let earlier = before.of(verb.verb);
        let rate =
            |now: u64, before: Option<u64>| per_second(now.saturating_sub(before.unwrap_or(0)), seconds);
        let mut name = verb.verb.name();
        let mut row = |place: &str, done: String, rate: String, failed, bytes, durations: &Histogram| {
            rows.push([
                std::mem::take(&mut name).to_owned(),
                place.to_owned(),
                done,
                rate,
                failed,
                bytes,
                duration(durations.quantile(0.5)),
                duration(durations.quantile(0.99)),
                duration(durations.longest()),
            ]);
        };
        let bytes = if verb.bytes == 0 {
            String::new()
        } else {
            rate(verb.bytes, earlier.map(|earlier| earlier.bytes))
        };
        let ran = verb.ran();
        let failed = verb.failed.saturating_add(verb.cancelled);
        row(
            "all",
            count(verb.completed),
            rate(verb.completed, earlier.map(|earlier| earlier.completed)),
            if failed == 0 { String::new() } else { count(failed) },
            bytes,
            &ran,
        );
        for (place, durations) in &verb.places {
            let earlier = earlier.and_then(|earlier| earlier.at(*place)).map(Histogram::count);
            let (done, rate) = (count(durations.count()), rate(durations.count(), earlier));
            row(place_name(*place), done, rate, String::new(), String::new(), durations);
        }
        if !verb.queued.is_empty() {
            let empty = String::new;
            row("queued", empty(), empty(), empty(), empty(), &verb.queued);
        }
    }
    rows
}

impl fmt::Display for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ring) in self.rings.iter().enumerate() {
            if number > 0 {
                writeln!(formatter)?;
            }
            ring.lines.iter().try_for_each(|line| writeln!(formatter, "{line}"))?;
            if !ring.verbs.is_empty() {
                line(formatter, &VERB_HEADS)?;
            }
            ring.verbs.iter().try_for_each(|row| line(formatter, row))?;
        }
        for (number, service) in self.services.iter().enumerate() {
            if number > 0 || !self.rings.is_empty() {
                writeln!(formatter)?;
            }
            writeln!(formatter, "{}", service.line)?;
            if !service.connections.is_empty() {
                line(formatter, &CONNECTION_HEADS)?;
            }
            service.connections.iter().try_for_each(|row| line(formatter, row))?;
        }
        Ok(())
    }
}

fn line<T: AsRef<str>>(formatter: &mut fmt::Formatter<'_>, columns: &[T]) -> fmt::Result {
    for (column, text) in columns.iter().enumerate() {
        let text = text.as_ref();
        match column {
            0 => write!(formatter, "  {text:<11}")?,
            1 => write!(formatter, " {text:<9}")?,
            _ => write!(formatter, " {text:>9}")?,
        }
    }
    writeln!(formatter)
}

/// What `--json` prints.
pub fn json(reading: &Reading) -> Value {
    let durations = |histogram: &Histogram| {
        json!({
            "count": histogram.count(), "sum": histogram.sum(), "p50": histogram.quantile(0.5),
            "p90": histogram.quantile(0.9), "p99": histogram.quantile(0.99), "longest": histogram.longest(),
        })
    };
    let gauges = |gauges: ouzel::engine::Gauges| {
        json!({
            "entries": gauges.packets, "chains": gauges.chains, "started": gauges.started,
            "descriptors": gauges.descriptors, "stored": gauges.stored, "calls": gauges.calls,
            "steps": gauges.steps, "programs": gauges.programs,
        })
    };
    let rings = reading.rings.iter().map(|ring| {
        let Ring { name, statistics } = ring;
        let verbs = statistics.verbs.iter().map(|verb| {
            let places = verb.places.iter().map(|(place, at)| (place_name(*place).to_owned(), durations(at)));
            json!({
                "verb": verb.verb.name(), "completed": verb.completed, "failed": verb.failed,
                "cancelled": verb.cancelled, "skipped": verb.skipped, "bytes": verb.bytes,
                "results": verb.results, "queued": durations(&verb.queued),
                "places": Value::Object(places.collect()),
            })
        });
        json!({
            "process": statistics.process.number, "name": name, "ring": statistics.ring,
            "backend": statistics.backend.map(|backend| backend.name()), "age": statistics.age,
            "torn_down": statistics.torn_down, "leaked": statistics.leaked, "refused": statistics.refused,
            "alive": gauges(statistics.gauges), "peaks": gauges(statistics.peaks),
            "enters": statistics.counters.enters, "calls": statistics.counters.calls,
            "handoffs": statistics.counters.handoffs, "chains": durations(&statistics.chains),
            "verbs": verbs.collect::<Vec<_>>(),
        })
    });
    let services = reading.services.iter().map(|service| {
        let Service { name, statistics } = service;
        let connections = statistics.connections.iter().map(|connection| {
            json!({
                "number": connection.number, "process": connection.process, "user": connection.user,
                "age": u64::try_from(connection.age.as_nanos()).unwrap_or(u64::MAX),
                "state": if connection.leaving { "leaving" } else { "connected" },
                "entries": connection.entries, "completions": connection.completions,
                "in_flight": connection.in_flight, "chains": connection.chains,
                "descriptors": connection.descriptors, "shared_bytes": connection.shared_bytes,
                "regions": connection.regions, "programs": connection.programs,
            })
        });
        json!({
            "service": statistics.name, "process": statistics.process.number, "name": name,
            "quotas": {
                "descriptors": statistics.descriptors, "shared_bytes": statistics.shared_bytes,
                "programs": statistics.programs,
            },
            "unseen": statistics.unseen, "connections": connections.collect::<Vec<_>>(),
        })
    });
    json!({
        "rings": rings.collect::<Vec<_>>(), "services": services.collect::<Vec<_>>(),
        "problems": reading.problems,
    })
}

fn with_peak(now: u32, peak: u32) -> String {
    format!("{now} ({peak})")
}

fn per_second(number: u64, seconds: f64) -> String {
    if seconds > 0.0 { count((number as f64 / seconds).round() as u64) } else { "-".to_owned() }
}

/// A number in at most six characters.
fn count(number: u64) -> String {
    let number = number as f64;
    for (unit, size) in [("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)] {
        if number >= size {
            // Thousands have one digit less than their limit.
            let size = if unit == "k" { 1e3 } else { size };
            return format!("{:.1}{unit}", number / size);
        }
    }
    format!("{number:.0}")
}

/// A duration in at most nine characters.
fn duration(nanoseconds: u64) -> String {
    let time = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", time / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time / 1e6),
        1_000_000_000..600_000_000_000 => format!("{:.1} s", time / 1e9),
        _ => format!("{:.1} min", time / 6e10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short_and_true() {
        let shown = [(0, "0"), (9_999, "9999"), (10_000, "10.0k"), (1_500_000, "1.5M"), (u64::MAX, "18.4E")];
        for (number, expected) in shown {
            assert_eq!(count(number), expected);
        }
        let shown = [(999, "999 ns"), (1_000, "1.0 µs"), (2_500_000, "2.5 ms"), (90_000_000_000, "90.0 s")];
        for (nanoseconds, expected) in shown {
            assert_eq!(duration(nanoseconds), expected);
        }
        assert_eq!(per_second(5, 0.0), "-");
        assert_eq!(per_second(5, 2.0), "3");
    }
}
