//! At once: whether the engine is to offer operations before it makes anything of them, and doing those.
//!
//! The calls are those of `quick`, and so are the rules for what they may be made on; `planner` says whether they are
//! cheaper. What would have to wait is left alone, and the engine then starts it like any other.
//!
//! What is awaited may wait in a call as well as in the ring: whoever has entered sleeps until it is over, and nothing
//! else is there to be seen to. Then the usual `openat` and `pread` do, which cost less than those that can refuse. A call
//! that fails has done nothing, and the ring has it after all; so has what is no file of the planner's.

use ouzel_engine::{Buffers, Operation, Outcome, Path, Span};
use ouzel_ring::Verb;
use ouzel_ring::modifiers::OpenFlags;
use ouzel_uring::abi::AT_FDCWD;
use rustix::fs::{Mode, OFlags};

use super::lower::{changes_nothing, kind_by, open_bits};
use super::planner::Plan;
use super::quick::{Tried, is_certain};
use super::table::Habit;
use super::{Uring, calls, memory};
use crate::backend::host::spans;
use crate::backend::memory::is_empty;

/// What an OPEN that is awaited leaves to the call that asks more of the kernel.
const LOOKED_INTO: OpenFlags = OpenFlags::PATH.union(OpenFlags::BENEATH);

impl Uring {
    /// Whether plain calls are cheaper for `entries` operations that move on together.
    #[inline]
    pub(super) fn wants_calls(&mut self, entries: u32) -> bool {
        self.few = false;
        if !self.planner.may_call() {
            return false;
        }
        if self.in_flight == 0 {
            self.planner.measure_in_time();
        }
        let pending = self.ring.sq_pending() > 0;
        self.few = matches!(self.planner.choose_for(entries, pending, self.in_flight > 0), Plan::Calls(_));
        self.few
    }

    /// Whether plain calls are wanted for a chain that begins so, however many there are.
    #[inline]
    pub(super) fn wants_calls_for(&mut self, first: Verb, second: Option<Verb>) -> bool {
        let wanted = match first {
            Verb::Stat | Verb::Close => true,
            Verb::Open => second == Some(Verb::Stat),
            _ => false,
        };
        wanted && self.planner.may_call() && self.planner.may_go_on(self.in_flight > 0)
    }

    /// Does an operation by a plain call, one that refuses to wait.
    #[inline(never)]
    pub(super) fn call_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        let tried = match *operation {
            Operation::Stat { directory, path, ref record, flags } => {
                self.quick_stat(directory, path, record, flags)
            }
            Operation::Open { directory, path, flags, into, .. } if self.might_be_called(operation) => {
                self.quick_open(directory, path, flags, into)
            }
            // A read at the current position that comes back short has moved it: it is for the run to read on.
            Operation::Read { file, ref buffers, position: position @ Some(_) } if !is_empty(buffers) => {
                self.quick_read(file, buffers, position)
            }
            Operation::Close { file } => self.quick_close(file),
            Operation::Send { socket, ref buffer, flags } if self.few => {
                self.quick_send(socket, buffer, flags)
            }
            _ => return None,
        };
        match tried {
            Tried::Over(outcome) => Some(outcome),
            // What was read of a part is read again with the rest.
            Tried::Refused | Tried::Partly(_) => {
                self.refused = matches!(operation, Operation::Open { .. } | Operation::Read { .. });
                None
            }
        }
    }

    /// Does an operation by a plain call that may wait. `None`: nothing has happened.
    #[inline]
    pub(super) fn call_awaited(&mut self, operation: &Operation) -> Option<Outcome> {
        match *operation {
            Operation::Open { directory: None, path, flags, into, .. }
                if changes_nothing(flags) && !flags.intersects(LOOKED_INTO) =>
            {
                self.open_awaited(&path, flags, into)
            }
            Operation::Read { file, buffers: Buffers::One(ref span), position: Some(offset) }
                if span.length > 0 =>
            {
                self.read_awaited(file, span, offset)
            }
            Operation::Close { file } => self.close_awaited(file),
            _ => None,
        }
    }

    /// O_NONBLOCK is among the bits: who opens waits for storage, but not for a peer.
    #[inline]
    fn open_awaited(&mut self, path: &Path, flags: OpenFlags, into: u32) -> Option<Outcome> {
        let name = memory::path_at(path).ok()?;
        let bits = OFlags::from_bits_retain(open_bits(flags)) | OFlags::CLOEXEC;
        self.count_call();
        match rustix::fs::openat(memory::borrow(AT_FDCWD), name, bits, Mode::empty()) {
            Ok(descriptor) => {
                let written = flags.contains(OpenFlags::WRITE);
                self.table.put_called(into, descriptor, kind_by(flags), Habit::New, written);
                Some(Outcome::success(0))
            }
            Err(error) if is_certain(error) => Some(Outcome::failure(calls::errno(error))),
            Err(_) => None,
        }
    }

    /// What a plain call has opened has O_NONBLOCK, so it is storage that is waited for here, too.
    #[inline]
    fn read_awaited(&mut self, file: u32, span: &Span, offset: u64) -> Option<Outcome> {
        let (number, _) = self.quick_file(file)?;
        self.count_call();
        let (read, _) = rustix::io::pread(memory::borrow(number), spans::room(span, 0), offset).ok()?;
        Some(Outcome::success(read.len() as u64))
    }

    #[inline]
    fn close_awaited(&mut self, file: u32) -> Option<Outcome> {
        let record = self.table.get(file)?;
        let is_plain = record.habit != Habit::Ring && !record.closing && !record.written;
        if !is_plain || record.is_pinned() || record.descriptor.is_none() {
            return None;
        }
        self.count_call();
        self.table.bury(file);
        Some(Outcome::success(0))
    }
}
