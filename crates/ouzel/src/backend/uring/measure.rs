//! Measuring what plain calls and linked entries cost on this machine.
//!
//! The same three operations, opening, reading and closing the file that this process was started from, are done both
//! ways on a small ring of its own: the file is cached, and lies on a file system as the machine's others do. It takes
//! about half a millisecond, once per process, and never touches a ring that somebody uses.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ouzel_engine::{Buffers, Span};
use ouzel_uring::abi::AT_FDCWD;
use ouzel_uring::{Builder, Ring, Slot, Sqe, Step};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::ReadWriteFlags;

use super::memory;
use super::planner::Costs;
use crate::backend::host::spans;

/// Chains that go to the kernel together, to tell what an enter costs from what an entry does.
const TOGETHER: u32 = 8;
/// How often each is tried; the quickest counts.
const ROUNDS: u32 = 8;
/// Measuring is given up after this long: what it would find on a machine this busy is of no use.
const BOUND: Duration = Duration::from_millis(2);
/// Bytes read.
const ROOM: usize = 512;
/// Operations of one chain.
const STEPS: u64 = 3;

static MEASURED: OnceLock<Option<Costs>> = OnceLock::new();
static MEASURING: AtomicBool = AtomicBool::new(false);

/// This machine's costs, if they have been measured in this process; within, `None` if they could not be.
pub(super) fn known() -> Option<Option<Costs>> {
    MEASURED.get().copied()
}

/// Measures this machine's costs, unless they are known or another thread is at it.
pub(super) fn measure_once() -> Option<Option<Costs>> {
    if known().is_none() && !MEASURING.swap(true, Ordering::AcqRel) {
        let _ = MEASURED.set(measure());
    }
    known()
}

fn measure() -> Option<Costs> {
    let mut bench = Bench::new()?;
    let costs = bench.run();
    if bench.unsure {
        // Something may still be on its way into the buffer.
        std::mem::forget(bench);
    }
    costs
}

struct Bench {
    ring: Ring,
    path: CString,
    room: Vec<u8>,
    /// Not every completion has been seen.
    unsure: bool,
}

impl Bench {
    fn new() -> Option<Bench> {
        let path = std::fs::read_link("/proc/self/exe").ok()?;
        let path = CString::new(path.into_os_string().into_vec()).ok()?;
        let (mut ring, _) = Builder::new(TOGETHER * STEPS as u32).first_of(&Step::ONE_THREAD).ok()?;
        ring.register_files_sparse(TOGETHER).ok()?;
        Some(Bench { ring, path, room: vec![0; ROOM], unsure: false })
    }

    fn run(&mut self) -> Option<Costs> {
        let start = Instant::now();
        let (mut calls, mut alone, mut together) = (u64::MAX, u64::MAX, u64::MAX);
        for _ in 0..ROUNDS {
            calls = calls.min(self.calls()?);
            alone = alone.min(self.chains(1)?);
            together = together.min(self.chains(TOGETHER)? / u64::from(TOGETHER));
            if start.elapsed() > BOUND {
                break;
            }
        }
        Some(costs_of(calls, alone, together))
    }

    /// Nanoseconds of one chain by plain calls.
    fn calls(&mut self) -> Option<u64> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let span = Span { pointer: self.room.as_mut_ptr(), length: ROOM };
        let start = Instant::now();
        let file =
            rustix::fs::openat2(rustix::fs::CWD, &*self.path, flags, Mode::empty(), ResolveFlags::CACHED);
        let file = file.ok()?;
        let read = spans::with_rooms(&Buffers::One(span), |rooms| {
            rustix::io::preadv2(&file, rooms, 0, ReadWriteFlags::NOWAIT)
        });
        drop(file);
        let time = start.elapsed();
        (read.ok()? > 0).then_some(time.as_nanos() as u64)
    }

    /// Nanoseconds of one enter with so many chains.
    fn chains(&mut self, count: u32) -> Option<u64> {
        self.unsure = true;
        let start = Instant::now();
        for slot in 0..count {
            let slot = Slot(slot);
            let entries = [
                Sqe::openat_direct(AT_FDCWD, self.path.as_ptr(), OFlags::RDONLY.bits(), 0, slot).link(),
                Sqe::read(slot, self.room.as_mut_ptr(), ROOM as u32, 0).hardlink(),
                Sqe::close_direct(slot),
            ];
            for entry in &entries {
                memory::push(&mut self.ring, entry).ok()?;
            }
        }
        let wanted = count * STEPS as u32;
        self.ring.submit_and_wait(wanted, None).ok()?;
        let mut failed = false;
        for _ in 0..wanted {
            failed |= self.ring.next_completion()?.res < 0;
        }
        self.unsure = false;
        (!failed).then_some(start.elapsed().as_nanos() as u64)
    }
}

/// What follows from the nanoseconds of a chain: by calls, as links alone, and as one of [`TOGETHER`].
fn costs_of(calls: u64, alone: u64, together: u64) -> Costs {
    let others = u64::from(TOGETHER) - 1;
    let enter = alone.saturating_sub(together) * u64::from(TOGETHER) / others;
    let entry = alone.saturating_sub(enter) / STEPS;
    let word = |nanoseconds: u64| u32::try_from(nanoseconds).unwrap_or(u32::MAX);
    Costs { call: word(calls / STEPS), entry: word(entry), enter: word(enter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_follow_from_times() {
        let costs = costs_of(3300, 4150, 2750);
        assert_eq!(costs, Costs { call: 1100, entry: 850, enter: 1600 });
        // An enter that seems to cost nothing must not come out as a huge number.
        assert_eq!(costs_of(3000, 2000, 2100), Costs { call: 1000, entry: 666, enter: 0 });
    }
}
