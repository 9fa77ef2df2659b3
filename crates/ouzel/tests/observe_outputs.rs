//! What is made of an observed or traced ring's events for others: timelines as JSON, and numbers for the metrics facade.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

mod observe_support;

use observe_support::*;
use ouzel::abi::{Errno, Verb};
use ouzel::engine::Place;
use ouzel::observe::{Observe, SliceKind, TimelineWriter};
use ouzel::{BackendKind, Buffer, Chain, Offset, OpenOptions, Program, Ring};
use serde_json::Value;
use std::time::Duration;

fn traced(backend: BackendKind) -> Option<Ring> {
    match Ring::builder().backend(backend).build() {
        Ok(mut ring) => {
            ring.trace(true);
            Some(ring)
        }
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

/// The slices and names of a document, which must be sound.
#[track_caller]
fn parse(document: &[u8]) -> (Vec<Value>, Vec<Value>) {
    let document: Value = serde_json::from_slice(document).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let (mut slices, mut names) = (Vec::new(), Vec::new());
    for event in events {
        assert!(event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        match event["ph"].as_str().unwrap() {
            "X" => {
                assert!(event["ts"].is_number() && event["dur"].as_f64().unwrap() >= 0.0, "{event}");
                assert!(event["name"].is_string() && event["args"].is_object(), "{event}");
                slices.push(event.clone());
            }
            "M" => {
                assert!(event["args"]["name"].is_string(), "{event}");
                names.push(event.clone());
            }
            other => panic!("{other}"),
        }
    }
    (slices, names)
}

#[test]
fn a_timeline_shows_every_step_on_a_line_of_its_own() {
    for backend in BACKENDS {
        let Some(mut ring) = traced(backend) else { continue };
        let folder = Folder::new("timeline");
        let path = if backend == BackendKind::Sim { "file".into() } else { folder.path().join("file") };
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read_write().create());
        chain.write(file, vec![7; 100], Offset::START);
        chain.read(file, Buffer::with_capacity(100), Offset::START);
        chain.open("/nowhere/at all", OpenOptions::read());
        chain.nop();
        chain.finally().close(file);
        let timeline = ring.run(chain).unwrap().timeline();
        assert_eq!(timeline.steps, [Verb::Open, Verb::Write, Verb::Read, Verb::Open, Verb::Nop, Verb::Close]);
        let (begun, ended) = timeline.span().unwrap();
        let ran: Vec<_> = timeline.slices.iter().filter(|slice| slice.kind == SliceKind::Running).collect();
        let steps: Vec<usize> = ran.iter().map(|slice| slice.step).collect();
        assert_eq!(steps, [0, 1, 2, 3, 5], "{backend:?}: the one that was skipped did not run");
        assert_eq!((ran[1].result, ran[2].result, ran[3].error), (100, 100, Errno::ENOENT));
        for slice in &timeline.slices {
            assert!(begun <= slice.begun && slice.begun <= slice.ended && slice.ended <= ended);
            assert_eq!(slice.way.is_some(), slice.kind == SliceKind::Running);
        }
        let waited = timeline.slices.iter().filter(|slice| slice.kind == SliceKind::Waiting).count();
        assert!(waited >= 5, "{backend:?}: {waited}");

        let (slices, names) = parse(timeline.to_json().as_bytes());
        assert_eq!(slices.len(), timeline.slices.len() + 1);
        assert_eq!(names.len(), 2 + 6);
        let close = slices.iter().find(|slice| slice["name"] == "CLOSE").unwrap();
        assert_eq!((&close["tid"], &close["args"]["result"]), (&Value::from(6), &Value::from(0)));
        let failed = slices.iter().find(|slice| slice["args"]["error"] == "ENOENT").unwrap();
        assert_eq!(failed["tid"], 4);
        assert!(failed["args"]["place"].is_string());
    }
}

#[test]
fn times_in_a_timeline_are_exact() {
    let mut ring = traced(BackendKind::Sim).unwrap();
    let mut chain = Chain::new();
    chain.sleep(Duration::from_nanos(1_234_567));
    chain.sleep(Duration::from_nanos(1_000_001));
    let timeline = ring.run(chain).unwrap().timeline();
    let (slices, _) = parse(timeline.to_json().as_bytes());
    let slept: Vec<&Value> = slices.iter().filter(|slice| slice["name"] == "SLEEP").collect();
    assert_eq!(slept[0]["dur"].as_f64(), Some(1234.567));
    assert_eq!(slept[1]["dur"].as_f64(), Some(1000.001));
    let waited: Vec<u64> = timeline
        .slices
        .iter()
        .filter(|slice| slice.kind == SliceKind::Waiting)
        .map(|slice| slice.ended - slice.begun)
        .collect();
    assert_eq!(waited, [0, 1_234_567], "the second waited for the first");
}

#[test]
fn loops_and_programs_have_a_slice_for_each_time_they_ran() {
    for backend in BACKENDS {
        let Some(mut ring) = traced(backend) else { continue };
        let mut chain = Chain::new();
        chain.repeat(4, |turn| {
            turn.get(3u64);
        });
        let timeline = ring.run(chain).unwrap().timeline();
        let of = |verb, kind| {
            let is = |slice: &&ouzel::observe::Slice| slice.verb == verb && slice.kind == kind;
            timeline.slices.iter().filter(is).count()
        };
        assert_eq!(of(Verb::Get, SliceKind::Running), 4, "{backend:?}: {timeline:?}");

        let program = Program::build(|program| {
            let number = program.number();
            let sum = program.add(number, 1u64);
            program.get(sum)
        });
        let program = ring.store(program.unwrap()).unwrap();
        let mut chain = Chain::new();
        chain.nop();
        let called = chain.call(program.call().number(1u64));
        let done = ring.run(chain).unwrap();
        assert_eq!(done.get(called).unwrap(), 2);
        let timeline = done.timeline();
        let told: Vec<_> = timeline
            .slices
            .iter()
            .filter(|slice| slice.way.is_some())
            .map(|slice| (slice.verb, slice.kind))
            .collect();
        let expected = [
            (Verb::Nop, SliceKind::Running),
            (Verb::Add, SliceKind::ProgramStep),
            (Verb::Get, SliceKind::ProgramStep),
            (Verb::Call, SliceKind::Running),
        ];
        assert_eq!(told, expected, "{backend:?}");
        assert!(timeline.slices.iter().all(|slice| slice.step == usize::from(slice.verb != Verb::Nop)));
        let call =
            timeline.slices.iter().find(|slice| slice.verb == Verb::Call && slice.way.is_some()).unwrap();
        for inner in timeline.slices.iter().filter(|slice| slice.kind == SliceKind::ProgramStep) {
            assert!(call.begun <= inner.begun && inner.ended <= call.ended);
        }
    }
}

#[test]
fn a_document_holds_many_chains_and_any_name() {
    let mut ring = traced(BackendKind::Sim).unwrap();
    let names = ["plain", "quote \" and \\ and \n and \u{1} and ü", ""];
    let mut document = Vec::new();
    let mut writer = TimelineWriter::new(&mut document).unwrap();
    for name in names {
        let mut chain = Chain::new();
        chain.nop();
        writer.add(name, &ring.run(chain).unwrap().timeline()).unwrap();
    }
    writer.finish().unwrap();
    let (_, named) = parse(&document);
    let processes: Vec<&str> = named
        .iter()
        .filter(|event| event["name"] == "process_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(processes, names);
    let mut empty = Vec::new();
    TimelineWriter::new(&mut empty).unwrap().finish().unwrap();
    assert_eq!(parse(&empty).0.len(), 0);
    // A ring that does not trace has nothing to show.
    ring.trace(false);
    let mut chain = Chain::new();
    chain.nop();
    let timeline = ring.run(chain).unwrap().timeline();
    assert!(timeline.slices.is_empty() && timeline.span().is_none());
    parse(timeline.to_json().as_bytes());
}

#[test]
fn observing_a_ring_does_not_change_where_its_steps_run() {
    for backend in [BackendKind::Uring, BackendKind::Threads] {
        let Some(mut observed) = observed(backend, Observe::new().spans()) else { continue };
        let Some(mut plain) = traced(backend) else { continue };
        observed.trace(true);
        let run = |ring: &mut Ring| {
            let mut chain = Chain::new();
            let file = chain.open("/proc/self/stat", OpenOptions::read());
            chain.read(file, Buffer::with_capacity(10), Offset::START);
            chain.finally().close(file);
            let done = ring.run(chain).unwrap();
            done.check().unwrap();
            (0..3).map(|step| done.way_of(step).unwrap().place).collect::<Vec<Place>>()
        };
        // What is measured on the way may move the planner; it has settled after a few.
        (0..20).for_each(|_| {
            run(&mut observed);
            run(&mut plain);
        });
        assert_eq!(run(&mut observed), run(&mut plain), "{backend:?}");
    }
}

#[cfg(feature = "metrics")]
mod facade {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
        SharedString, Unit,
    };
    use ouzel::observe::Exporter;

    use super::*;

    /// Remembers the last number of each counter and gauge, and count and sum of each histogram.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<BTreeMap<String, (f64, f64)>>>);

    struct One(Memory, String);

    impl One {
        fn change(&self, change: impl FnOnce(&mut (f64, f64))) {
            change(self.0.0.lock().unwrap().entry(self.1.clone()).or_default());
        }
    }

    impl CounterFn for One {
        fn increment(&self, value: u64) {
            self.change(|number| number.0 += value as f64);
        }

        fn absolute(&self, value: u64) {
            self.change(|number| number.0 = number.0.max(value as f64));
        }
    }

    impl GaugeFn for One {
        fn increment(&self, value: f64) {
            self.change(|number| number.0 += value);
        }

        fn decrement(&self, value: f64) {
            self.change(|number| number.0 -= value);
        }

        fn set(&self, value: f64) {
            self.change(|number| number.0 = value);
        }
    }

    impl HistogramFn for One {
        fn record(&self, value: f64) {
            self.change(|number| *number = (number.0 + 1.0, number.1 + value));
        }
    }

    impl Memory {
        fn one(&self, key: &Key) -> Arc<One> {
            let labels: Vec<String> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(One(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }

        fn number(&self, name: &str) -> f64 {
            let all = self.0.lock().unwrap();
            all.get(name).unwrap_or_else(|| panic!("{name} is not in {:?}", all.keys())).0
        }
    }

    impl Recorder for Memory {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.one(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.one(key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.one(key))
        }
    }

    #[test]
    fn the_facade_gets_each_number_once() {
        let memory = Memory::default();
        let mut ring = observed(BackendKind::Sim, Observe::new()).unwrap();
        metrics::with_local_recorder(&memory, || {
            let mut exporter = Exporter::new("main", ring.observed().unwrap());
            for round in 1..=3u32 {
                let mut chain = Chain::new();
                let file = chain.open("file", OpenOptions::read_write().create());
                chain.write(file, vec![1; 100], Offset::START);
                chain.sleep(Duration::from_millis(2));
                chain.open("/missing", OpenOptions::read());
                chain.nop();
                chain.finally().close(file);
                let _ = ring.run(chain).unwrap();
                exporter.export();
                exporter.export();
                let rounds = f64::from(round);
                let operations = |verb: &str, outcome: &str| {
                    memory
                        .number(&format!("ouzel_operations_total{{ring=main,verb={verb},outcome={outcome}}}"))
                };
                assert_eq!(operations("OPEN", "success"), rounds);
                assert_eq!(operations("OPEN", "failure"), rounds);
                assert_eq!(operations("NOP", "skipped"), rounds);
                assert_eq!(memory.number("ouzel_bytes_total{ring=main,verb=WRITE}"), 100.0 * rounds);
                let write = "ouzel_operation_seconds{ring=main,verb=WRITE,place=simulated}";
                assert_eq!(memory.number(write), rounds);
                assert_eq!(memory.number("ouzel_queued_seconds{ring=main,verb=WRITE}"), rounds);
                assert_eq!(memory.number("ouzel_chain_seconds{ring=main}"), rounds);
                let slept = "ouzel_operation_seconds{ring=main,verb=SLEEP,place=engine}";
                let (count, sum) = memory.0.lock().unwrap()[slept];
                assert_eq!(count, rounds);
                assert!((sum / rounds - 0.002).abs() < 0.002 / 32.0, "{sum}");
                assert_eq!(memory.number("ouzel_alive{ring=main,what=chains}"), 0.0);
                assert_eq!(memory.number("ouzel_peak{ring=main,what=entries}"), 6.0);
            }
        });
    }
}
