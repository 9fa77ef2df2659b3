//! What an observer is told: each thing that happens, once, in order, with the backend's instants.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use ouzel_engine::{AT_ONCE, Counters, End, Gauges, Observer, Origin, Outcome, Place};
use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

/// Writes down what it is told. Slots are as they come: the first is 0.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// What is new, but for what is alive.
    fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn named(slot: u32) -> String {
    if slot == AT_ONCE { "at once".to_owned() } else { slot.to_string() }
}

impl Observer for Diary {
    fn chain_begins(&mut self, chain: u32, origin: Origin, data: u64, at: u64) {
        self.note(format!("{at}: chain {} of {origin:?}, data {data}", named(chain)));
    }

    fn admitted(&mut self, slot: u32, chain: u32, entry: &Entry, at: u64) {
        self.note(format!("{at}: {} in chain {} is {}", named(slot), named(chain), entry.data));
    }

    fn started(&mut self, slot: u32, place: Place, at: u64) {
        self.note(format!("{at}: {} starts, {place:?}", named(slot)));
    }

    fn reported(&mut self, slot: u32, ran: bool, at: u64) {
        self.note(format!("{at}: {} {}", named(slot), if ran { "is reported" } else { "did not run" }));
    }

    fn resulted(&mut self, slot: u32) {
        self.note(format!("{} results", named(slot)));
    }

    fn ended(&mut self, slot: u32, next: Option<u32>, end: End, at: u64) {
        let how = if end.skipped { "is skipped" } else { "ends" };
        self.note(format!("{at}: {} {how}: {}, then {next:?}", named(slot), end.error.name()));
    }

    fn chain_over(&mut self, chain: u32, at: u64) {
        self.note(format!("{at}: chain {} over", named(chain)));
    }

    fn refused(&mut self, entry: &Entry, error: Errno) {
        self.note(format!("{} refused: {}", entry.data, error.name()));
    }

    fn state(&mut self, gauges: Gauges, _: Counters, _: u64) {
        assert!(gauges.started <= gauges.packets + gauges.steps);
    }
}

fn watched(mut rig: Rig) -> (Rig, Diary) {
    let diary = Diary::default();
    rig.backend().now = 0;
    rig.engine.observe(Box::new(diary.clone()));
    assert!(rig.engine.observer().is_some());
    (rig, diary)
}

#[test]
fn a_run_that_breaks_is_told_as_it_happens() {
    let mut rig = Rig::with(Scripted::with_runs(8), 16, 16);
    let file = rig.descriptor();
    let (mut rig, diary) = watched(rig);
    rig.push(&[linked(read(1, file)), read(2, file)]);
    rig.backend().now = 10;
    rig.go();
    assert_eq!(
        diary.read(),
        [
            "10: chain 0 of Queue, data 1",
            "10: 0 in chain 0 is 1",
            "10: 1 in chain 0 is 2",
            "10: 0 starts, Simulated",
            "10: 1 starts, Simulated",
        ]
    );
    rig.backend().now = 20;
    rig.tell(0, ok(1));
    rig.tell(1, Outcome::NotRun);
    rig.go();
    assert_eq!(
        diary.read(),
        ["20: 0 is reported", "20: 1 did not run", "20: 0 ends: OK, then Some(1)", "20: 1 starts, Simulated",]
    );
    rig.backend().now = 30;
    rig.tell(2, failed(Errno::EIO));
    rig.enter(0, 2);
    assert_eq!(diary.read(), ["30: 1 is reported", "30: 1 ends: EIO, then None", "30: chain 0 over"]);
    assert_eq!(rig.errors().len(), 2);
    rig.assert_empty();
}

#[test]
fn what_is_done_at_once_is_told_too() {
    let mut rig = Rig::with(Scripted::with_runs(8), 16, 16);
    let file = rig.descriptor();
    rig.backend().at_once.extend([Some(ok(5)), None]);
    let (mut rig, diary) = watched(rig);
    rig.push(&[linked(local(read(1, file))), read(2, file)]);
    rig.go();
    let told = diary.read();
    assert_eq!(
        told[..4],
        [
            "0: chain at once of Queue, data 1",
            "0: at once in chain at once is 1",
            "0: at once starts, Call",
            "0: at once ends: OK, then None",
        ]
    );
    assert_eq!(
        told[4..],
        ["0: chain 0 of AtOnce, data 2", "0: 0 in chain 0 is 2", "0: 0 starts, Simulated"],
        "the rest goes on in packets"
    );
    rig.tell(0, ok(1));
    rig.enter(0, 2);
    assert_eq!(diary.read().last().unwrap(), "0: chain 0 over");
    assert_eq!(rig.errors().len(), 2);
    rig.assert_empty();
}

#[test]
fn refusals_and_results_are_told() {
    let mut rig = Rig::with(Scripted::new(), 16, 16);
    let file = rig.descriptor();
    let (mut rig, diary) = watched(rig);
    // A FINALLY entry before an ordinary one.
    rig.push(&[finally(linked(nop(1))), nop(2)]);
    rig.go();
    assert_eq!(diary.read(), ["1 refused: EINVAL", "2 refused: EINVAL"]);
    rig.push(&[with(poll(3, file), EntryFlags::MULTISHOT)]);
    rig.go();
    diary.read();
    rig.tell_more(0, 1);
    rig.tell(0, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(
        diary.read(),
        ["1 results", "0: 1 is reported", "0: 1 ends: ECANCELED, then None", "0: chain 0 over"]
    );
    // A bare NOP is told like any other, though its answer needs no packet.
    rig.push(&[nop(4)]);
    rig.go();
    assert_eq!(diary.read().len(), 5);
    rig.pop_all();
    rig.assert_empty();
}

#[test]
fn members_of_loops_end_as_often_as_they_run() {
    let (mut rig, diary) = watched(Rig::new(16, 16));
    rig.push(&[program(linked(get(1))), repeat(2, 3, 1)]);
    rig.go();
    let told = diary.read();
    let ended = told.iter().filter(|line| line.contains(": 0 ends")).count();
    let started = told.iter().filter(|line| line.contains(": 0 starts")).count();
    assert_eq!((started, ended), (3, 3), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.contains("chain 0 over")).count(), 1);
    assert_eq!(Verb::Get as u32, rig.pop_all()[0].op);
    rig.assert_empty();
}
