//! Awaited: what the caller can only wait for is done by the caller, in plain calls that may wait for storage.
//!
//! A chain that is waited for alone gains nothing from the ring: the same work would be done elsewhere, by a kernel worker
//! or a helper, and two threads would have to tell each other of it. The engine says when that is so
//! ([`may_block`](ouzel_engine::Backend::may_block)). Nothing here waits for an event: files are used that were opened with
//! O_NONBLOCK, and what could wait for a peer all the same is left to the ring. So is everything on objects without an
//! ordinary descriptor, and every failure whose like the ring might see otherwise.

use std::os::fd::RawFd;

use ouzel_engine::{Operation, Outcome, Place, Started, Step, Way};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;
use rustix::fs::{Mode, ResolveFlags};
use rustix::io;

use super::copy::{Order, copy_by_kernel};
use super::lower::{changes_nothing, kind_by};
use super::planner::{Plan, reason};
use super::quick::call_bits;
use super::table::{Habit, NONE};
use super::{Uring, calls, memory};
use crate::backend::host::{self, errno, retry, storage};
use crate::backend::memory::is_empty;

impl Uring {
    /// Does the first step, if it is one of those that the caller may as well do.
    pub(super) fn start_awaited(&mut self, steps: &[Step]) -> Option<Started> {
        let first = &steps[0];
        let goes_by_calls = match first.operation {
            _ if !first.may_wait => false,
            // Opened by a call, a file is used by calls. What the ring opens, reads and closes without a worker it may do.
            Operation::Open { flags, .. } => {
                !changes_nothing(flags) || steps[1..].iter().any(is_more_than_read) || self.is_short(steps)
            }
            _ => true,
        };
        if !goes_by_calls {
            return None;
        }
        let outcome = self.do_awaited(&first.operation)?;
        if let Some(next) = steps.get(1) {
            (self.called_behind, self.called_why) = (next.token.to_word(), reason::AWAITED);
        }
        Some(Started::Finished { outcome, way: Way { place: Place::Call, reason: reason::AWAITED } })
    }

    /// Whether so few steps cost less as calls than as entries.
    fn is_short(&mut self, steps: &[Step]) -> bool {
        let pending = self.ring.sq_pending() > 0;
        matches!(self.planner.choose(steps.len(), pending, false), Plan::Calls(_))
    }

    /// Does an operation by calls that may wait for storage. `None`: it is for the ring, and nothing has happened.
    #[inline]
    pub(super) fn do_awaited(&mut self, operation: &Operation) -> Option<Outcome> {
        let result = match *operation {
            Operation::Open { .. } => self.awaited_open(operation)?,
            Operation::Read { file, ref buffers, .. } if !is_empty(buffers) => {
                self.awaited_transfer(file, operation)?
            }
            Operation::Write { file, .. } => self.awaited_transfer(file, operation)?,
            Operation::Close { file } => self.awaited_close(file)?,
            Operation::Stat { directory, path, ref record, flags } => {
                let number = self.named([directory, None])?[0];
                self.calls += 1;
                let found = storage::describe(memory::borrow(number), path, record, flags);
                if let (Ok(found), Some(file), None) = (&found, directory, path) {
                    let kind = calls::kind_of_mode(u32::from(found.stx_mode));
                    self.table.describe(file, kind, found.stx_size);
                }
                found.map(|_| 0)
            }
            Operation::Copy { source, from, target, to, length } => {
                let [source, target] = self.named([Some(source), Some(target)])?;
                let order = Order { source, from, target, to, length, may_wait: true };
                match copy_by_kernel(&order, None, &mut self.calls) {
                    0 => return None,
                    copied => Ok(copied),
                }
            }
            Operation::Truncate { .. }
            | Operation::Allocate { .. }
            | Operation::Sync { .. }
            | Operation::Readdir { .. }
            | Operation::Mkdir { .. }
            | Operation::Remove { .. }
            | Operation::Rename { .. }
            | Operation::Link { .. }
            | Operation::Symlink { .. }
            | Operation::Readlink { .. }
            | Operation::Chmod { .. }
            | Operation::Chown { .. }
            | Operation::Utimes { .. }
            | Operation::Mknod { .. }
            | Operation::Statfs { .. }
            | Operation::Access { .. }
            | Operation::GetXattr { .. }
            | Operation::SetXattr { .. }
            | Operation::ListXattr { .. }
            | Operation::RemoveXattr { .. } => {
                let numbers = self.named(operation.names())?;
                self.calls += 1;
                calls::perform(operation, numbers)
            }
            _ => return None,
        };
        Some(result.map_or_else(Outcome::failure, Outcome::success))
    }

    /// The numbers of what an operation names, if all of it has one.
    fn named(&self, indices: [Option<u32>; 2]) -> Option<[RawFd; 2]> {
        let mut numbers = [calls::NOBODY; 2];
        for (index, number) in indices.into_iter().zip(&mut numbers) {
            if let Some(index) = index {
                *number = self.table.get(index).filter(|record| !record.closing)?.number()?;
            }
        }
        Some(numbers)
    }

    /// The number of a file that we opened and no slot holds: what a transfer on it would wait for is never an event.
    #[inline]
    fn opened_number(&self, file: u32) -> Option<RawFd> {
        let record = self.table.get(file)?;
        if record.slot != NONE || !record.opened || record.closing { None } else { record.number() }
    }

    fn awaited_open(&mut self, operation: &Operation) -> Option<Result<u64, Errno>> {
        let Operation::Open { directory, path, flags, mode, into } = *operation else { return None };
        let from = memory::borrow(self.named([directory, None])?[0]);
        let name = memory::path_at(&path).ok()?;
        let bits = call_bits(flags);
        let creates = flags.contains(OpenFlags::CREATE);
        let mode = if creates { Mode::from_raw_mode(mode) } else { Mode::empty() };
        self.count_call();
        let opened = if flags.contains(OpenFlags::BENEATH) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            retry(|| rustix::fs::openat2(from, name, bits, mode, resolve))
        } else {
            retry(|| rustix::fs::openat(from, name, bits, mode))
        };
        match opened {
            Ok(descriptor) => {
                let written = flags.contains(OpenFlags::WRITE);
                self.table.put_called(into, descriptor, kind_by(flags), Habit::New, written);
                Some(Ok(0))
            }
            // The process has no number left, while the ring has slots.
            Err(io::Errno::MFILE | io::Errno::NFILE) => None,
            Err(io::Errno::NOSYS | io::Errno::AGAIN) => None,
            Err(error) => Some(Err(errno(error))),
        }
    }

    #[inline]
    fn awaited_transfer(&mut self, file: u32, operation: &Operation) -> Option<Result<u64, Errno>> {
        let number = self.opened_number(file)?;
        self.count_call();
        match storage::transfer(memory::borrow(number), operation) {
            Ok(count) => Some(Ok(count as u64)),
            // It is no file; or the ring says it otherwise.
            Err(io::Errno::AGAIN | io::Errno::SPIPE | io::Errno::PIPE | io::Errno::INVAL) => None,
            Err(error) => Some(Err(errno(error))),
        }
    }

    #[inline]
    fn awaited_close(&mut self, file: u32) -> Option<Result<u64, Errno>> {
        let record = self.table.get_mut(file)?;
        if record.slot != NONE || record.closing || record.is_pinned() {
            return None;
        }
        let descriptor = record.descriptor.take()?;
        self.count_call();
        let closed = host::memory::close(descriptor);
        self.table.bury(file);
        Some(closed.map(|()| 0).map_err(errno))
    }
}

/// Whether this is something else than the ring does without a worker.
fn is_more_than_read(step: &Step) -> bool {
    !matches!(step.operation, Operation::Read { .. } | Operation::Close { .. })
}
