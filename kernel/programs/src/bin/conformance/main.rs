//! The conformance suite over the real system-call boundary: the very files of the suite that every backend runs, compiled for
//! this kernel, and what is the kernel's own.
//!
//! Each case runs in a process of its own, which is this program with the case's name as its argument. It ends with
//! the verbs that succeeded in it, as bits; after each, the kernel must have as many free frames as before.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used)]

#[macro_use]
extern crate alloc;
// What the cases call so is here: see `names`.
extern crate self as ouzel;
extern crate self as std;

mod cases;
mod entry;
mod memory;
mod names;
mod not_here;
mod own;
mod world;

use alloc::string::String;

use ouzel_kernel_abi::Statistics;
use ouzel_kernel_user::{Arguments, Ring, calls, program};
use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Entry, Payload, Verb};

pub use names::{abi, collections, engine, fs, thread, time};
pub use world::World;

program!(main);

/// A program of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// The program. It panics when a promise is broken.
    pub run: fn(&mut World),
}

/// The programs of one topic, named as their functions are.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// The programs of this topic.
        pub const CASES: &[$crate::Case] = &[$($crate::Case { name: stringify!($name), run: $name },)*];
    };
}

/// The bit in the status of a case that has passed; those below are the verbs that succeeded in it.
const PASSED: u64 = 1 << 63;
/// Nanoseconds after which a case is ended.
const PATIENCE: u64 = 60_000_000_000;
/// The status of a case that has found that it is not for this kernel, and has said why.
const NOT_HERE: u64 = 2;

/// Prints. Without output there is nobody to tell.
macro_rules! say {
    ($($what:tt)*) => { let _ = ouzel_kernel_user::print(format_args!($($what)*)); };
}
pub(crate) use say;

/// The running case cannot be run here, for this reason.
pub fn not_here(why: &str) -> ! {
    say!("  {why}\n");
    calls::exit(NOT_HERE);
}

fn main(arguments: Arguments) -> u64 {
    time::start(arguments.start().counter_rate);
    let mut words = arguments.iter().skip(1);
    match words.next() {
        Some("child") => own::child(words.next().unwrap_or_default()),
        Some(name) => one(name),
        None => all(),
    }
}

/// Runs one case.
fn one(name: &str) -> u64 {
    let Some(case) = cases::all().find(|case| case.name == name) else {
        say!("  there is no case {name}\n");
        return 1;
    };
    let mut world = World::new();
    (case.run)(&mut world);
    PASSED | world.succeeded()
}

/// Runs each case in a process.
fn all() -> u64 {
    // Everything is made, opened and touched once, so that afterwards nothing is new.
    run("nop_does_nothing");
    let begun = statistics();
    let (mut passed, mut failed, mut not_here, mut verbs) = (0, 0, 0, 0);
    for case in cases::all() {
        let name = case.name;
        if let Some(why) = not_here::reason(name) {
            say!("not here {name}: {why}\n");
            not_here += 1;
            continue;
        }
        let before = statistics();
        let (status, signal) = run(name);
        let after = statistics();
        if signal != 0 || status & PASSED == 0 && status != NOT_HERE {
            say!(
                "FAILED {name}: its process ended with status {status}, signal {signal}; why is said above\n"
            );
            failed += 1;
        } else if (after.frames_free, after.processes) != (before.frames_free, before.processes) {
            let (free, were) = (after.frames_free, before.frames_free);
            say!("FAILED {name}: {were} free frames became {free}, or a process stayed\n");
            failed += 1;
        } else if status == NOT_HERE {
            say!("not here {name}: as said above\n");
            not_here += 1;
        } else {
            say!("ok {name}\n");
            passed += 1;
            verbs |= status & !PASSED;
        }
    }
    let name = |verb: &Verb| String::from(verb.name()) + " ";
    let (answered, silent): (alloc::vec::Vec<&Verb>, _) =
        Verb::ALL.iter().partition(|verb| verbs & 1 << **verb as u32 != 0);
    say!("verbs answered ({}): {}\n", answered.len(), answered.into_iter().map(name).collect::<String>());
    let lacking: alloc::vec::Vec<&Verb> = silent;
    say!(
        "verbs that are ENOSYS ({}): {}\n",
        lacking.len(),
        lacking.iter().copied().map(name).collect::<String>()
    );
    for verb in &lacking {
        if !own::LACKING.contains(verb) {
            say!("FAILED: {} never succeeded, and is not one that this kernel lacks\n", verb.name());
            failed += 1;
        }
    }
    let ended = statistics();
    if ended.frames_free != begun.frames_free {
        say!("FAILED: {} free frames became {}\n", begun.frames_free, ended.frames_free);
        failed += 1;
    }
    say!("{passed} ok, {failed} failed, {not_here} not here\n");
    u64::from(failed > 0)
}

/// Runs a case in a process of its own: its status and signal. What it left in the file system is removed.
fn run(name: &str) -> (u64, u32) {
    let mut world = World::new();
    let (home, line) = (world.text(world::HOME), world.text(&format!("spawn:/bin/conformance {name}")));
    world.ok(entry::mkdir(home));
    let child = world.ok(entry::open(line, OpenFlags::READ));
    let mut ended = world.one(entry::wait_for(child).timeout(PATIENCE));
    if ended.error != 0 {
        say!("  it did not end\n");
        world.give(child, b"kill");
        ended = world.one(entry::wait_for(child));
    }
    world.close(child);
    world.remove_all(world::HOME);
    (ended.result, ended.extra)
}

/// What the kernel has in use.
pub fn statistics() -> Statistics {
    let mut told = Statistics::default();
    let path = c"kernel:".to_bytes_with_nul();
    let place = Payload::of((&raw mut told).cast::<u8>()).number();
    let mut ring = Ring::new(4, 8).expect("a ring");
    let mut run = |verb, arguments| {
        let entry = Entry::new(verb).arguments(arguments);
        // SAFETY: the path and the place live until the completion, which is waited for.
        unsafe { ring.push(&entry) }.expect("room");
        ring.enter(1).expect("enter");
        ring.pop().expect("a completion").outcome().expect("statistics")
    };
    let path = [0, Payload::of(path.as_ptr()).number(), path.len() as u64, OpenFlags::READ.bits(), 0];
    let kernel = run(Verb::Open, path);
    run(Verb::Read, [kernel, place, size_of::<Statistics>() as u64, 0, 0]);
    told
}
