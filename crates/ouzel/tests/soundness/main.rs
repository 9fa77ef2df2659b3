//! The soundness suite: every verb, left at every point of its life, on every backend. No safe program may make the kernel
//! write to memory that somebody else has got, leak a descriptor, or lose memory for good.
//!
//! It is a table (`table.rs`: a row for each verb) and a driver for each way of leaving an operation. `docs/soundness.md` says
//! what a cell checks. There is no test harness: cells count the descriptors of the process and fork it, so they run one after
//! the other, and nothing else with them. Arguments that are not options name the rows and ways to run.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "../fork_support/mod.rs"]
mod fork_support;

mod direct;
mod files;
#[cfg(target_arch = "x86_64")]
mod forked;
mod futures;
mod runtime;
mod sockets;
mod stage;
mod stalled;
mod table;
mod threads;
mod waiting;
mod watch;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::Moment;
use ouzel::BackendKind;
use table::{Row, WITHOUT, missing, rows};

/// What panics on purpose panics with.
pub const IN_BETWEEN: &str = "in between";

/// How long a cell may take.
const BOUND: Duration = Duration::from_secs(60);

/// A way of leaving an operation.
#[derive(Clone, Copy)]
struct Situation {
    name: &'static str,
    run: fn(&Row, BackendKind),
    senseless: fn(&Row) -> Option<&'static str>,
}

macro_rules! future {
    ($name:literal, $moment:ident) => {
        Situation {
            name: $name,
            run: |row, kind| futures::leave(row, kind, Moment::$moment),
            senseless: |row| futures::senseless(row, Moment::$moment),
        }
    };
}

const SITUATIONS: &[Situation] = &[
    future!("awaited", Never),
    future!("dropped before its first poll", BeforePoll),
    future!("dropped after its first poll", AfterFirstPoll),
    future!("dropped in the kernel", InKernel),
    future!("dropped after its completion", AfterCompletion),
    future!("forgotten", Forgotten),
    future!("unwound by a panic", Panic),
    Situation { name: "runtime dropped", run: runtime::drop_all, senseless: |_| None },
    Situation { name: "ring dropped on another thread", run: threads::end_elsewhere, senseless: |_| None },
    #[cfg(target_arch = "x86_64")]
    Situation { name: "process forked", run: forked::fork_with, senseless: forked_senseless },
];

#[cfg(target_arch = "x86_64")]
fn forked_senseless(row: &Row) -> Option<&'static str> {
    futures::senseless(row, Moment::InKernel)
}

/// The backends that are to be had here.
fn backends() -> Vec<BackendKind> {
    let all = [BackendKind::Uring, BackendKind::Threads, BackendKind::Sim];
    let usable = all.into_iter().filter(|kind| match stage::builder(*kind).build() {
        Ok(_) => true,
        Err(error) => {
            println!("SKIPPED: {}: {error}", kind.name());
            false
        }
    });
    usable.collect()
}

/// What is asked for: names of rows, of ways and of backends, or parts of them; with none of them, everything.
fn wanted() -> Vec<String> {
    let mut arguments = std::env::args().skip(1);
    let mut wanted = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--skip" || argument == "--test-threads" {
            arguments.next();
        } else if !argument.starts_with('-') {
            wanted.push(argument);
        }
    }
    wanted
}

/// Ends the process if a cell hangs: nothing else could end it.
struct Watchdog(Arc<Mutex<(String, Instant)>>);

impl Watchdog {
    fn new() -> Watchdog {
        let now = Arc::new(Mutex::new((String::new(), Instant::now())));
        let own = Arc::clone(&now);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let (name, since) = own.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if since.elapsed() > BOUND {
                    eprintln!("{name}: it hangs");
                    std::process::exit(1);
                }
            }
        });
        Watchdog(now)
    }

    fn begin(&self, name: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (name.to_owned(), Instant::now());
    }
}

/// What came of the cells.
#[derive(Default)]
struct Results {
    ran: usize,
    /// Why cells make no sense, and which.
    senseless: BTreeMap<&'static str, Vec<String>>,
    failed: Vec<String>,
}

impl Results {
    /// Runs a cell; what it panics with fails it.
    fn run(&mut self, watchdog: &Watchdog, name: String, cell: impl FnOnce()) {
        watchdog.begin(&name);
        self.ran += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(cell)) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            println!("FAILED: {name}: {text}");
            self.failed.push(format!("{name}: {text}"));
        }
    }

    fn report(&self) {
        for (reason, cells) in &self.senseless {
            println!("{} cells make no sense, because {reason}: {}", cells.len(), cells.join("; "));
        }
        for (verb, reason) in WITHOUT {
            println!("no row for {}: {reason}", verb.name());
        }
        println!("{} cells ran, {} failed", self.ran, self.failed.len());
        for failed in &self.failed {
            println!("  {failed}");
        }
    }
}

fn main() {
    let wanted = wanted();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().all(|wanted| name.contains(wanted.as_str()));
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&IN_BETWEEN) {
            eprintln!("{panic}");
        }
    }));
    let (rows, backends, watchdog) = (rows(), backends(), Watchdog::new());
    let mut results = Results::default();
    for situation in SITUATIONS {
        let begun = Instant::now();
        for kind in &backends {
            for row in &rows {
                let name = format!("{}, {}, {}", kind.name(), row.name, situation.name);
                if !is_wanted(&name) {
                    continue;
                }
                match (situation.senseless)(row) {
                    Some(reason) => results.senseless.entry(reason).or_default().push(name),
                    None => results.run(&watchdog, name, || (situation.run)(row, *kind)),
                }
            }
        }
        println!("{}: {:.1?}", situation.name, begun.elapsed());
    }
    if cfg!(not(target_arch = "x86_64")) {
        println!("SKIPPED: process forked: the raw fork of this test is written for x86-64");
    }
    for (name, cell) in direct::CELLS.iter().chain(stalled::CELLS) {
        for kind in &backends {
            let name = format!("{}, {name}", kind.name());
            if *kind != BackendKind::Sim && is_wanted(&name) {
                let begun = Instant::now();
                results.run(&watchdog, name.clone(), || cell(*kind));
                println!("{name}: {:.1?}", begun.elapsed());
            }
        }
    }
    if wanted.is_empty() {
        let missing = missing();
        let complaint = |verb: &&str| format!("{verb} has no row: give it one in the table, or a reason");
        results.failed.extend(missing.iter().map(complaint));
    }
    results.report();
    std::process::exit(i32::from(!results.failed.is_empty()));
}
