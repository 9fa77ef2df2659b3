//! Cancelling without an entry, and waiting for the end.

use core::time::Duration;

use crate::abi::{CancelFlags, Opcode, RegisterOpcode, SyncCancelReg, Timespec};
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::ring::Ring;
use crate::sqe::{Slot, Target};

/// What [`Ring::sync_cancel`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelKey {
    /// Entries with this user data.
    UserData(u64),
    /// Entries that work on this descriptor or slot.
    Target(Target),
    /// Entries of this opcode (6.6).
    Opcode(Opcode),
    /// Every entry.
    Any,
}

impl Ring {
    /// Cancels the first entry that matches, or `all` of them, and waits until what was cancelled is done (6.0).
    /// Returns how many matched as far as the kernel tells, which is often 0 for success.
    ///
    /// The completions are posted as ever. If nothing matched it is [`RegisterCause::NoMatch`], or with `all`
    /// simply 0. [`RegisterCause::TimedOut`] if the time was up first; without a limit it may wait for good.
    pub fn sync_cancel(
        &mut self,
        key: CancelKey,
        all: bool,
        timeout: Option<Duration>,
    ) -> Result<u32, RegisterError> {
        let forever = Timespec { tv_sec: -1, tv_nsec: -1 };
        let mut argument =
            SyncCancelReg { timeout: timeout.map_or(forever, Timespec::relative), ..Default::default() };
        let mut flags = if all { CancelFlags::ALL } else { CancelFlags::empty() };
        match key {
            CancelKey::UserData(user_data) => argument.addr = user_data,
            CancelKey::Opcode(opcode) => {
                argument.opcode = opcode as u8;
                flags |= CancelFlags::OP;
            }
            CancelKey::Any => flags |= CancelFlags::ANY,
            CancelKey::Target(Target::Fd(fd)) => {
                argument.fd = fd;
                flags |= CancelFlags::FD;
            }
            CancelKey::Target(Target::Slot(Slot(slot))) => {
                argument.fd = slot as i32;
                flags |= CancelFlags::FD | CancelFlags::FD_FIXED;
            }
        }
        argument.flags = flags.bits();
        // SAFETY: this operation takes one SyncCancelReg.
        unsafe { self.register(RegisterOpcode::SyncCancel, core::ptr::from_ref(&argument).cast(), 1) }
    }
}
