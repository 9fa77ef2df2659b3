//! The simulator: a backend in memory, seeded and deterministic, on virtual time.
//!
//! It is the oracle for tests of the other backends: its results are those of Linux on a machine of its own, which has
//! one file system, pipes, and sockets that reach no further than loopback. Every operation takes a random time that the seed
//! decides, takes effect in one instant at the end of it, and is reported; `wait` moves the clock straight to what happens
//! next. It never looks at a real clock, never touches a real file, and sleeps only where nothing but a bell from outside can
//! change anything.
//!
//! Where it is not Linux, on purpose: permissions are ignored (as for root); directories are listed in the order in which
//! names were made; a port is free when its last socket is closed (no TIME_WAIT); urgent data is EOPNOTSUPP; socket
//! buffers count bytes of data only; files have any number of extended attributes; pipes and sockets without a name have
//! no mode, owner and times to be changed.

mod address;
mod bells;
mod files;
mod futexes;
mod locks;
mod message;
mod messages;
mod metadata;
mod names;
mod network;
mod options;
mod pages;
mod path;
mod pipe;
mod processes;
mod record;
mod schedule;
mod socket;
mod sockopt;
mod splice;
mod transfer;
mod tree;
mod turn;
mod world;

use core::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ouzel_engine::{Backend, Counters, Edge, Operation, Place, Report, Started, Step, Token, Way};
use ouzel_ring::Errno;

pub(crate) use bells::SharedBell;
pub use options::SimOptions;
pub use processes::SimProcess;
use schedule::Schedule;

use super::HostBackend;
use super::random::mix;
use crate::{Bell, BufferGroup};

const WAY: Way = Way { place: Place::Simulated, reason: "" };

/// The simulator. See the [module](self).
pub struct Sim {
    options: SimOptions,
    schedule: Schedule,
}

impl Sim {
    /// A machine with an empty root directory, which is also the working directory.
    pub fn new(options: SimOptions) -> Sim {
        let schedule = Schedule::new(&options);
        Sim { options, schedule }
    }

    /// The seed it was made with; a failing test should print it.
    pub fn seed(&self) -> u64 {
        self.options.seed
    }

    /// The options it was made with.
    pub fn options(&self) -> &SimOptions {
        &self.options
    }
}

impl fmt::Display for Sim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sim (seed {:#x})", self.options.seed)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sim")
            .field("seed", &self.options.seed)
            .field("now", &self.schedule.now())
            .field("in_flight", &self.schedule.in_flight())
            .finish_non_exhaustive()
    }
}

impl Backend for Sim {
    fn now(&self) -> u64 {
        self.schedule.now()
    }

    fn longest_run(&self) -> usize {
        self.options.longest_run.clamp(1, 8)
    }

    /// Runs are made of transfers, opens, closes and syncs; one pair in eight is refused, as the seed decides.
    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        let choice = mix(self.options.seed ^ self.schedule.started().rotate_left(17) ^ edge as u64);
        fits_run(previous) && fits_run(next) && !choice.is_multiple_of(8)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        if steps.is_empty() || self.schedule.in_flight() >= self.options.in_flight.max(1) {
            return Started::Busy;
        }
        self.schedule.start(steps, self.longest_run())
    }

    fn cancel(&mut self, token: Token) {
        self.schedule.cancel(token);
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        if want == 0 {
            self.schedule.pass(self.options.poll_step);
        } else {
            self.schedule.wait(want as usize, until);
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.schedule.next()
    }

    fn attach(&mut self, handle: u64, index: u32) {
        self.schedule.attach(handle, index);
    }

    fn discard(&mut self, handle: u64) {
        self.schedule.discard(handle);
    }

    /// All zero: nothing is crossed.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

// SAFETY: results are counted as bytes are copied, all of it in `backend/memory.rs`, before the report is made.
unsafe impl HostBackend for Sim {
    fn adopt(&mut self, _index: u32, _descriptor: OwnedFd) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn release(&mut self, _index: u32) -> Result<OwnedFd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn make_bell(&mut self) -> Result<Bell, Errno> {
        Ok(Bell::simulated(Arc::default()))
    }

    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        self.schedule.adopt_bell(index, bell.shared().ok_or(Errno::EOPNOTSUPP)?);
        Ok(())
    }

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        self.schedule.add_group(group);
        Ok(())
    }

    fn remove_group(&mut self, group: u16) {
        self.schedule.remove_group(group);
    }

    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        self.schedule.adopt_process(index, number)
    }

    fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Errno> {
        Ok(self.schedule.simulate_process(process))
    }
}

fn fits_run(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Open { .. }
            | Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::Close { .. }
            | Operation::Sync { .. }
            | Operation::Send { .. }
            | Operation::Recv { .. }
    )
}
