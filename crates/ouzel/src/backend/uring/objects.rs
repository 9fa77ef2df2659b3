//! Objects in and out of the table: descriptors made from slots, slots made from descriptors.
//!
//! Making a descriptor from a slot is an operation of the ring like any other, so this enters the kernel; it never
//! waits for anything but that.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use ouzel_ring::Errno;
use ouzel_uring::abi::FixedFdFlags;
use ouzel_uring::{EnterError, Slot, SlotUpdate, Sqe};
use rustix::event::{EventfdFlags, eventfd};

use super::packets::INSTALL;
use super::table::{self, Kind, NONE};
use super::{TRIES, Uring, calls, memory};

impl Uring {
    /// What sort of thing is behind `index`; looked at once.
    pub(super) fn classify(&mut self, index: u32) -> Result<Kind, Errno> {
        let record = self.table.get(index).filter(|record| !record.closing).ok_or(Errno::EBADF)?;
        if record.kind != Kind::Unknown {
            return Ok(record.kind);
        }
        self.ensure_descriptor(index)?;
        let number = self.number(index)?;
        self.calls += 1;
        let kind = calls::kind_of(memory::borrow(number)).map_err(calls::errno)?;
        if let Some(record) = self.table.get_mut(index) {
            record.kind = kind;
        }
        Ok(kind)
    }

    pub(super) fn number(&self, index: u32) -> Result<RawFd, Errno> {
        self.table.get(index).and_then(table::Record::number).ok_or(Errno::EBADF)
    }

    /// Sees to it that the object at `index` has an ordinary descriptor.
    pub(super) fn ensure_descriptor(&mut self, index: u32) -> Result<(), Errno> {
        let record = self.table.get(index).filter(|record| !record.closing).ok_or(Errno::EBADF)?;
        if record.descriptor.is_some() {
            return Ok(());
        }
        if record.slot == NONE {
            return Err(Errno::EBADF);
        }
        let descriptor = self.install(Slot(record.slot))?;
        if let Some(record) = self.table.get_mut(index) {
            record.descriptor = Some(descriptor);
        }
        Ok(())
    }

    /// Makes an ordinary descriptor from a slot. The kernel does it while it takes the entry, so this enters but
    /// does not wait; completions of others are kept for their turn.
    fn install(&mut self, slot: Slot) -> Result<OwnedFd, Errno> {
        if !self.make_room(1) {
            return Err(Errno::ENOBUFS);
        }
        self.push(&Sqe::fixed_fd_install(slot, FixedFdFlags::empty()).user_data(INSTALL));
        let mut want = 0;
        for _ in 0..TRIES {
            match self.enter(want, None) {
                Ok(())
                | Err(
                    EnterError::Interrupted | EnterError::TimedOut | EnterError::TryAgain | EnterError::Busy,
                ) => {}
                Err(error) => return Err(Errno::from_raw(error.errno())),
            }
            while let Some(completion) = self.ring.next_completion() {
                if completion.user_data == INSTALL {
                    return match completion.res {
                        number if number >= 0 => Ok(memory::own(number)),
                        error => Err(Errno::from_raw(error)),
                    };
                }
                self.held.push_back(completion);
            }
            want = 1;
        }
        Err(Errno::EIO)
    }

    /// Puts an ordinary descriptor into the table: into a slot if it can be one.
    pub(super) fn insert(&mut self, index: u32, descriptor: OwnedFd, kind: Kind) {
        if self.features.slots {
            self.calls += 1;
            let update = [SlotUpdate::file(descriptor.as_fd())];
            if matches!(self.ring.files_update(Slot(index), &update), Ok(1)) {
                // The slot holds the file itself; the number goes.
                self.calls += 1;
                self.table.put(index, index, None, kind);
                return;
            }
            // Some files, a ring's own for one, cannot be slots.
        }
        self.table.put(index, NONE, Some(descriptor), kind);
    }

    /// Puts a descriptor from outside into the table.
    pub(super) fn take_in(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        let kind = calls::kind_of(&descriptor).map_err(calls::errno)?;
        if calls::is_only_a_name(&descriptor).map_err(calls::errno)? {
            self.table.put(index, NONE, Some(descriptor), kind);
        } else {
            self.insert(index, descriptor, kind);
        }
        Ok(())
    }
}

/// An event counter that the kernel adds to when the ring has completions.
pub(super) fn readiness(ring: &mut ouzel_uring::Ring) -> Result<OwnedFd, Errno> {
    let made = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let counter = made.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    // There can be one; the one before is of no use to anybody who has not kept it.
    let _ = ring.unregister_eventfd();
    ring.register_eventfd(counter.as_fd()).map_err(|error| Errno::from_raw(error.errno()))?;
    Ok(counter)
}
