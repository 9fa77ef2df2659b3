//! Shows under valgrind that no call reads a shared word twice.
//!
//! `double_fetch` makes one call of each kind on the two ends of a ring and writes a step number to a marker word
//! before each. Run under `valgrind --tool=lackey --trace-mem=yes` that gives a trace of every load; `double_fetch check
//! PLAN TRACE` then compares the loads from the shared memory, step by step, with what each call may read. A
//! word that the other side writes and this side loads twice could change between the two, so once is the law.
//! `ci/double-fetch` does all of it.

#[path = "../tests/shared/mod.rs"]
#[allow(dead_code)]
mod shared;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::atomic::{Ordering, compiler_fence};

use ouzel_ring::{Completion, EngineEnd, Entry, SubmitterEnd, Verb};
use shared::{Block, Region, Word};

const ORIGIN: u32 = u32::MAX - 2;
const ENTRIES: u32 = 4;
/// Where in its block a step's begin and end are marked: words that no allocator writes as four bytes.
const BEGIN: usize = 36;
const END: usize = 44;
const COMPLETIONS: u32 = 4;

/// What one call may load from shared memory: each of these words once.
#[derive(Clone, Copy)]
enum Loads {
    Nothing,
    Index(Word),
    Entry(u32),
    Completion(u32),
    IndexAndCompletion(Word, u32),
    Register(usize),
    Registers,
}

type Action<'a> = &'a mut dyn FnMut(&mut SubmitterEnd, &mut EngineEnd);

/// Makes each call once, with its number in the marker word while it runs, and prints what it may load.
struct Recorder<'a> {
    region: &'a Region,
    marker: &'a Block,
    step: u32,
    /// Printed at the end: printing touches no ring, but the trace is shorter without it.
    plan: Vec<String>,
}

impl Recorder<'_> {
    fn addresses(&self, loads: Loads) -> Vec<(usize, usize)> {
        let index = |word: Word| (std::ptr::from_ref(self.region.word(word)).addr(), 4);
        let words = |start: usize, count: usize| (0..count).map(move |at| (start + at * 8, 8));
        match loads {
            Loads::Nothing => Vec::new(),
            Loads::Index(word) => vec![index(word)],
            Loads::Entry(at) => words(self.region.entry_address(at), 8).collect(),
            Loads::Completion(at) => words(self.region.completion_address(at), 4).collect(),
            Loads::IndexAndCompletion(word, at) => {
                words(self.region.completion_address(at), 4).chain([index(word)]).collect()
            }
            Loads::Register(register) => words(self.region.register_address(register), 1).collect(),
            Loads::Registers => words(self.region.register_address(0), 7).collect(),
        }
    }

    #[inline(never)]
    fn call(&mut self, ends: &mut (SubmitterEnd, EngineEnd), name: &str, loads: Loads, action: Action<'_>) {
        self.step += 1;
        let expected: Vec<_> =
            self.addresses(loads).iter().map(|(address, size)| format!("{address:x},{size}")).collect();
        self.plan.push(format!("step {} {name} {}", self.step, expected.join(" ")));
        // The fences keep the compiler from moving the call's accesses past the marks.
        self.marker.word(BEGIN).store(self.step, Ordering::SeqCst);
        compiler_fence(Ordering::SeqCst);
        action(black_box(&mut ends.0), black_box(&mut ends.1));
        compiler_fence(Ordering::SeqCst);
        self.marker.word(END).store(self.step, Ordering::SeqCst);
    }
}

fn record(split: bool) {
    let region = Region::new(ENTRIES.into(), COMPLETIONS.into(), split);
    let marker = Block::new(64);
    let mut ends = region.ends(ORIGIN);
    let mut recorder = Recorder { region: &region, marker: &marker, step: 0, plan: Vec::new() };
    let entry = Entry::new(Verb::Read).data(3);
    let done = Completion { op: 1, error: 0, data: 3, result: 4, flags: 0, extra: 0 };
    let mut call = |name, loads, action: Action<'_>| recorder.call(&mut ends, name, loads, action);
    let at = |steps: u32| ORIGIN.wrapping_add(steps);

    call("push_into_known_room", Loads::Nothing, &mut |submitter, _| assert!(submitter.push(&entry).is_ok()));
    call("publish", Loads::Nothing, &mut |submitter, _| assert_eq!(submitter.publish(), 1));
    call("copy_next_without_available", Loads::Nothing, &mut |_, engine| {
        assert!(engine.copy_next().is_none())
    });
    call("available", Loads::Index(Word::Stail), &mut |_, engine| assert_eq!(engine.available(), Ok(1)));
    call("copy_next", Loads::Entry(at(0)), &mut |_, engine| {
        assert_eq!(black_box(engine.copy_next()), Some(entry));
    });
    call("release", Loads::Nothing, &mut |_, engine| engine.release(1));
    call("room", Loads::Index(Word::Shead), &mut |submitter, _| assert_eq!(submitter.room(), Ok(4)));
    call("queued", Loads::Index(Word::Shead), &mut |submitter, _| assert_eq!(submitter.queued(), Ok(0)));
    for _ in 0..ENTRIES {
        call("push", Loads::Nothing, &mut |submitter, _| assert!(submitter.push(&entry).is_ok()));
    }
    call("push_into_full_queue", Loads::Index(Word::Shead), &mut |submitter, _| {
        assert!(submitter.push(&entry).is_err());
    });
    call("retract", Loads::Nothing, &mut |submitter, _| assert_eq!(submitter.retract(), ENTRIES));

    call("pop_from_empty_queue", Loads::Index(Word::Ctail), &mut |submitter, _| {
        assert_eq!(submitter.pop(), Ok(None));
    });
    for _ in 0..COMPLETIONS {
        call("post_into_known_room", Loads::Nothing, &mut |_, engine| assert!(engine.post(&done).is_ok()));
    }
    call("post_into_full_queue", Loads::Index(Word::Chead), &mut |_, engine| {
        assert!(engine.post(&done).is_err());
    });
    call("engine_unread", Loads::Index(Word::Chead), &mut |_, engine| assert_eq!(engine.unread(), Ok(4)));
    call("pop_after_a_look", Loads::IndexAndCompletion(Word::Ctail, at(0)), &mut |submitter, _| {
        assert_eq!(submitter.pop(), Ok(Some(done)));
    });
    call("pop_of_a_known_completion", Loads::Completion(at(1)), &mut |submitter, _| {
        assert_eq!(black_box(submitter.pop()), Ok(Some(done)));
    });
    call("submitter_unread", Loads::Index(Word::Ctail), &mut |submitter, _| {
        assert_eq!(submitter.unread(), Ok(2));
    });

    call("save_register", Loads::Nothing, &mut |_, engine| engine.save_register(2, 9));
    call("register", Loads::Register(2), &mut |submitter, _| assert_eq!(submitter.register(2), Some(9)));
    let registers = if split { Loads::Nothing } else { Loads::Registers };
    call("registers", registers, &mut |_, engine| assert_eq!(engine.registers()[2], 9));
    call("engine_state", Loads::Index(Word::EngineState), &mut |submitter, _| {
        assert_eq!(submitter.engine_state(), ouzel_ring::State::Running);
    });
    call("engine_falls_asleep", Loads::Nothing, &mut |_, engine| engine.fall_asleep());
    call("engine_sleeps", Loads::Index(Word::EngineAsleep), &mut |submitter, _| {
        assert!(submitter.engine_sleeps());
    });
    call("engine_set_starved", Loads::Nothing, &mut |_, engine| engine.set_starved(true));
    call("engine_starved", Loads::Index(Word::EngineAsleep), &mut |submitter, _| {
        assert!(submitter.engine_starved());
    });
    call("engine_wakes_up", Loads::Nothing, &mut |_, engine| engine.wake_up());
    call("submitter_falls_asleep", Loads::Nothing, &mut |submitter, _| submitter.fall_asleep());
    call("submitter_sleeps", Loads::Index(Word::SubmitterAsleep), &mut |_, engine| {
        assert!(engine.submitter_sleeps());
    });
    call("submitter_watches", Loads::Nothing, &mut |submitter, _| submitter.watch());
    call("submitter_is_watching", Loads::Index(Word::SubmitterAsleep), &mut |_, engine| {
        assert!(engine.submitter_watches());
    });
    call("submitter_wakes_up", Loads::Nothing, &mut |submitter, _| submitter.wake_up());
    call("tail_seen", Loads::Nothing, &mut |submitter, _| {
        black_box(submitter.tail_seen());
    });
    region.word(Word::Stail).store(at(100), Ordering::Relaxed);
    call("available_finds_a_lie", Loads::Index(Word::Stail), &mut |_, engine| {
        assert!(engine.available().is_err());
    });
    call("available_of_a_broken_ring", Loads::Nothing, &mut |_, engine| assert!(engine.available().is_err()));

    println!("marker {:x}", marker.base().addr());
    for (start, length) in region.extents() {
        println!("shared {start:x} {length}");
    }
    for line in &recorder.plan {
        println!("{line}");
    }
}

/// What `record` printed.
#[derive(Default)]
struct Plan {
    marker: usize,
    shared: Vec<(usize, usize)>,
    steps: BTreeMap<usize, (String, Vec<String>)>,
}

fn hexadecimal(digits: &str) -> usize {
    usize::from_str_radix(digits, 16).expect("an address in hexadecimal")
}

fn read_plan(text: &str) -> Plan {
    let mut plan = Plan::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("marker"), Some(address)) => plan.marker = hexadecimal(address),
            (Some("shared"), Some(start)) => {
                let length = words.next().and_then(|length| length.parse().ok());
                plan.shared.push((hexadecimal(start), length.expect("a length")));
            }
            (Some("step"), Some(_)) => {
                let name = words.next().expect("a step's name").to_string();
                let mut loads: Vec<String> = words.map(str::to_string).collect();
                loads.sort();
                plan.steps.insert(plan.steps.len() + 1, (name, loads));
            }
            _ => {}
        }
    }
    plan
}

/// Compares a trace with a plan; returns how many steps differ.
fn check(plan: &Plan, trace: impl BufRead) -> usize {
    let mut seen: Vec<Vec<String>> = vec![Vec::new(); plan.steps.len() + 1];
    let mut begun = 0;
    let mut step = 0;
    for line in trace.lines() {
        // " L 04222cac,4": a load; S stores, M does both, I is an instruction.
        let line = line.expect("a readable trace");
        let line = line.trim_start();
        let Some((kind, access)) = line.split_once(' ') else { continue };
        let Some((address, size)) = access.trim().split_once(',') else { continue };
        let Ok(address) = usize::from_str_radix(address, 16) else { continue };
        match kind {
            // The trace has addresses only, so the steps are counted.
            "S" | "M" if address == plan.marker + BEGIN && size == "4" => {
                begun += 1;
                step = begun;
            }
            "S" | "M" if address == plan.marker + END && size == "4" => step = 0,
            "L" | "M"
                if plan.shared.iter().any(|(start, length)| (*start..start + length).contains(&address)) =>
            {
                if let Some(loads) = seen.get_mut(step) {
                    loads.push(format!("{address:x},{size}"));
                }
            }
            _ => {}
        }
    }
    if begun != plan.steps.len() {
        println!("the trace has {begun} steps, the plan {}", plan.steps.len());
        return plan.steps.len();
    }
    let mut wrong = 0;
    for (step, (name, expected)) in &plan.steps {
        let loads = &mut seen[*step];
        loads.sort();
        let verdict = if loads == expected { "ok" } else { "WRONG" };
        println!("{name:<30} {:>2} loads  {verdict}", loads.len());
        if loads != expected {
            println!("  expected {expected:?}\n  loaded   {loads:?}");
            wrong += 1;
        }
    }
    wrong
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["contiguous"] => record(false),
        ["split"] => record(true),
        ["check", plan, trace] => {
            let plan = read_plan(&std::fs::read_to_string(plan).expect("a plan to read"));
            let trace = std::fs::File::open(trace).expect("a trace to read");
            if plan.steps.is_empty() || check(&plan, std::io::BufReader::new(trace)) > 0 {
                return ExitCode::FAILURE;
            }
        }
        _ => {
            eprintln!("usage: double_fetch contiguous | split | check PLAN TRACE");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
