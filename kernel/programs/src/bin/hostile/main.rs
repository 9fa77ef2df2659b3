//! Hostile programs, which never stop the kernel, and of which nothing stays.
//!
//! Each test starts children, this program with an argument, that do what they should not, and ends them. Before and behind
//! each, the kernel must have as many free frames, bytes of heap, processes and packets: see `children.rs` for what is done.
#![no_std]
#![no_main]

mod children;
mod faults;
mod greed;
mod raw;

use core::fmt::Write;
use core::panic::Location;

use ouzel_kernel_abi::{MAX_THREADS, SIGNAL_FAULT, SIGNAL_ILLEGAL, SIGNAL_KILL, Statistics};
use ouzel_kernel_user::{Arguments, Ring, calls, print, program};
use ouzel_ring::Errno;

use raw::{Random, close, kill, open, sleep, statistics, wait};

program!(main);

/// Moments at which a child is killed in the middle of its chains.
const DEATHS: u64 = 1_000;
/// Rings that are made and torn down.
const RINGS: u64 = 100_000;
/// A millisecond, in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

type Tested = Result<(), Failed>;

/// What went wrong, and in which line of this file.
struct Failed(u32, Errno);

impl From<Errno> for Failed {
    #[track_caller]
    fn from(error: Errno) -> Failed {
        Failed(Location::caller().line(), error)
    }
}

#[track_caller]
fn check(good: bool) -> Tested {
    if good { Ok(()) } else { Err(Failed(Location::caller().line(), Errno::OK)) }
}

/// A ring, and `kernel:` open in it.
struct Scene {
    ring: Ring,
    kernel: u64,
}

/// A name, and what it stands for.
type Test = (&'static str, fn(&mut Scene) -> Tested);

const TESTS: &[Test] = &[
    ("as many processes as there can be, and one more", every_process),
    ("a process for each process, and so on", bomb),
    ("faults, and instructions that are not for ring 3", faults),
    (
        "wild pointers and indices, memory unmapped under I/O, busy rings, segment registers, all rings and pages",
        well_behaved,
    ),
    ("entries overwritten by a second thread while the ring is entered", scribbling),
    ("loops without an end", loops),
    ("threads that begin when their process ends", heirs),
    ("more than there is of the heap, in pieces large and small, of the stack, and of the tables", greedy),
    ("lists of lists, while others run", lists),
    ("death in the middle of chains, at a thousand moments", deaths),
    ("a hundred thousand rings", rings),
];

fn main(arguments: Arguments) -> u64 {
    let mut words = arguments.iter().skip(1);
    if let Some(part) = words.next() {
        let seed = words.next().and_then(|text| text.parse().ok()).unwrap_or(1);
        return children::child(part, seed);
    }
    all().unwrap_or(120)
}

fn all() -> Result<u64, Errno> {
    let mut ring = Ring::new(64, 128)?;
    let kernel = open(&mut ring, b"kernel:\0")?;
    let mut scene = Scene { ring, kernel };
    // Lists of the kernel's become as long as they will ever be, and stay so.
    let _ = every_process(&mut scene);
    scene.child("reads", 0)?;
    let mut failed = 0;
    for (name, test) in TESTS {
        let before = scene.statistics()?;
        let tested = test(&mut scene);
        let after = scene.settled(&before)?;
        match tested {
            Err(Failed(line, error)) => print(format_args!("FAILED {name}: line {line}: {error}\n"))?,
            Ok(()) if in_use(&after) != in_use(&before) => {
                print(format_args!("FAILED {name}: something stayed: {before:?} became {after:?}\n"))?;
            }
            Ok(()) => {
                print(format_args!("ok {name}\n"))?;
                continue;
            }
        }
        failed += 1;
    }
    let Statistics { frames, frames_free, preemptions, .. } = scene.statistics()?;
    print(format_args!("{frames_free} of {frames} frames free, as before; {preemptions} preemptions\n"))?;
    print(format_args!("{} ok, {failed} failed\n", TESTS.len() as u64 - failed))?;
    Ok(failed)
}

/// What must be the same before and behind a test.
fn in_use(told: &Statistics) -> [u64; 4] {
    [told.frames_free, told.heap_used, told.processes, told.packets]
}

impl Scene {
    fn statistics(&mut self) -> Result<Statistics, Errno> {
        statistics(&mut self.ring, self.kernel)
    }

    /// What is in use when the processes that are on their way out are gone, or a second has passed.
    fn settled(&mut self, before: &Statistics) -> Result<Statistics, Errno> {
        let mut told = self.statistics()?;
        for _ in 0..1000 {
            if in_use(&told) == in_use(before) {
                break;
            }
            sleep(&mut self.ring, MILLISECOND)?;
            told = self.statistics()?;
        }
        Ok(told)
    }

    fn spawn(&mut self, part: &str, seed: u64) -> Result<u64, Errno> {
        spawn_in(&mut self.ring, part, seed)
    }

    /// Runs a child to its end: its status and signal.
    fn child(&mut self, part: &str, seed: u64) -> Result<(u64, u32), Errno> {
        let process = self.spawn(part, seed)?;
        let ended = wait(&mut self.ring, process)?;
        close(&mut self.ring, process)?;
        Ok(ended)
    }

    /// Lets a child run so long, and kills it: its signal.
    fn killed(&mut self, part: &str, seed: u64, nanoseconds: u64) -> Result<u32, Errno> {
        let process = self.spawn(part, seed)?;
        sleep(&mut self.ring, nanoseconds)?;
        kill(&mut self.ring, process)?;
        let (_, signal) = wait(&mut self.ring, process)?;
        close(&mut self.ring, process)?;
        Ok(signal)
    }
}

/// Starts a child.
pub fn spawn_in(ring: &mut Ring, part: &str, seed: u64) -> Result<u64, Errno> {
    let mut line = Line { bytes: [0; 64], length: 0 };
    write!(line, "spawn:/bin/hostile {part} {seed}\0").map_err(|_| Errno::ENAMETOOLONG)?;
    open(ring, &line.bytes[..line.length])
}

/// A line that is written without a heap.
struct Line {
    bytes: [u8; 64],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn every_process(scene: &mut Scene) -> Tested {
    let mut rings = [Ring::new(4, 8)?, Ring::new(4, 8)?];
    let mut children = [(0, 0); MAX_THREADS];
    let mut count = 0;
    let refused = loop {
        match spawn_in(&mut rings[count % 2], "forever", 0) {
            Ok(process) => children[count] = (count % 2, process),
            Err(error) => break error,
        }
        count += 1;
    };
    for (ring, process) in &children[..count] {
        kill(&mut rings[*ring], *process)?;
    }
    for (ring, process) in &children[..count] {
        check(wait(&mut rings[*ring], *process)?.1 == SIGNAL_KILL)?;
        close(&mut rings[*ring], *process)?;
    }
    check(refused == Errno::EAGAIN && count == MAX_THREADS - 1)?;
    check(scene.child("nothing", 0)? == (0, 0))
}

fn bomb(scene: &mut Scene) -> Tested {
    let before = scene.statistics()?.processes;
    let process = scene.spawn("bomb", 4)?;
    wait(&mut scene.ring, process)?;
    close(&mut scene.ring, process)?;
    for _ in 0..5000 {
        if scene.statistics()?.processes == before {
            return Ok(());
        }
        sleep(&mut scene.ring, MILLISECOND)?;
    }
    check(false)
}

fn faults(scene: &mut Scene) -> Tested {
    for number in 0..faults::FAULTS.len() as u64 {
        let ended = scene.child("fault", number)?;
        let (name, signal) = (faults::FAULTS[number as usize].0, faults::FAULTS[number as usize].1);
        if ended != (0, signal) {
            let (status, signal) = ended;
            print(format_args!("  {name}: ended with status {status}, signal {signal}\n"))?;
            return Err(Errno::EPROTO.into());
        }
        check(signal == SIGNAL_FAULT || signal == SIGNAL_ILLEGAL || signal == 0)?;
    }
    Ok(())
}

fn well_behaved(scene: &mut Scene) -> Tested {
    each(scene, &["pointers", "indices", "unmapping", "busy", "selectors", "all_rings", "all_pages"])
}

fn greedy(scene: &mut Scene) -> Tested {
    each(scene, &["reads", "holes", "polls", "orphans", "tables"])
}

/// Children that are to end well.
fn each(scene: &mut Scene, parts: &[&str]) -> Tested {
    for part in parts {
        let (status, signal) = scene.child(part, 1)?;
        if (status, signal) != (0, 0) {
            print(format_args!("  {part}: status {status}, signal {signal}\n"))?;
            return Err(Errno::EPROTO.into());
        }
    }
    Ok(())
}

fn scribbling(scene: &mut Scene) -> Tested {
    for seed in 1..=20 {
        let signal = scene.killed("scribble", seed, 20 * MILLISECOND)?;
        // It may have come to grief by itself.
        check(matches!(signal, 0 | SIGNAL_KILL | SIGNAL_FAULT | SIGNAL_ILLEGAL))?;
    }
    Ok(())
}

fn loops(scene: &mut Scene) -> Tested {
    let before = scene.statistics()?.preemptions;
    let mut children = [0; 8];
    for child in &mut children {
        *child = scene.spawn("loop", 0)?;
    }
    sleep(&mut scene.ring, 50 * MILLISECOND)?;
    check(scene.statistics()?.preemptions - before >= 20)?;
    for child in children {
        kill(&mut scene.ring, child)?;
        check(wait(&mut scene.ring, child)? == (0, SIGNAL_KILL))?;
        close(&mut scene.ring, child)?;
    }
    Ok(())
}

fn heirs(scene: &mut Scene) -> Tested {
    for seed in 0..2 {
        check(scene.child("heirs", seed)? == (0, 0))?;
    }
    Ok(())
}

/// While a child keeps the kernel at work without waiting for anything, time passes for others as it should.
fn lists(scene: &mut Scene) -> Tested {
    let child = scene.spawn("lists", 0)?;
    for _ in 0..10 {
        let begin = counter();
        sleep(&mut scene.ring, MILLISECOND)?;
        check(counter() - begin < 50 * MILLISECOND)?;
    }
    let ended = wait(&mut scene.ring, child)?;
    close(&mut scene.ring, child)?;
    check(ended == (0, 0))
}

/// Nanoseconds, where an instruction is one.
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn deaths(scene: &mut Scene) -> Tested {
    let mut random = Random(0x5eed);
    let before = scene.statistics()?;
    for seed in 1..=DEATHS {
        let moment = random.below(3 * MILLISECOND);
        let signal = scene.killed("chains", seed, moment)?;
        check(signal == SIGNAL_KILL)?;
        if seed % 100 == 0 {
            let after = scene.settled(&before)?;
            if in_use(&after) != in_use(&before) {
                print(format_args!("  after {seed} deaths {before:?} became {after:?}\n"))?;
                return Err(Errno::ENOTRECOVERABLE.into());
            }
        }
    }
    Ok(())
}

fn rings(_: &mut Scene) -> Tested {
    for number in 0..RINGS {
        let (ring, _) = calls::setup(0, 1 << (number % 3), 2 << (number % 2))?;
        // SAFETY: it has no end yet.
        unsafe { calls::teardown(ring) }?;
    }
    Ok(())
}
