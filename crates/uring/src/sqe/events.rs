//! Constructors of entries that wait, cancel and talk to other rings.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. How long memory must
//! live is said per argument in the words of [`crate::sqe`].

use super::{NewSlot, Slot, Sqe, Target, address};
use crate::abi::{CancelFlags, MsgRingFlags, Opcode, PollFlags, SqeFlags, TimeoutFlags, Timespec};

/// `IORING_MSG_SEND_FD`: the message is a file.
const MESSAGE_FILE: u64 = 1;

/// Poll masks travel with their halves swapped on big-endian machines.
#[inline]
const fn poll_mask(mask: u32) -> u32 {
    if cfg!(target_endian = "big") { mask.rotate_left(16) } else { mask }
}

impl Sqe {
    /// Waits until `target` is ready for one of `mask` (`POLL*`); completes with what it is ready for. With
    /// [`PollFlags::ADD_MULTI`] it goes on, and every completion but the last has
    /// [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE).
    #[inline]
    pub fn poll_add(target: impl Into<Target>, mask: u32, flags: PollFlags) -> Self {
        Self { len: flags.bits(), op_flags: poll_mask(mask), ..Self::on(Opcode::PollAdd, target) }
    }

    /// Removes the poll with this user data: ENOENT if there is none, EALREADY if it is completing.
    #[inline]
    pub const fn poll_remove(user_data: u64) -> Self {
        let mut entry = Self::new(Opcode::PollRemove);
        entry.fd = -1;
        entry.addr = user_data;
        entry
    }

    /// Completes with ETIME when the time is up, or with 0 once `completions` others were posted (0: time only).
    /// The time is needed until it is submitted.
    #[inline]
    pub fn timeout(time: *const Timespec, completions: u32, flags: TimeoutFlags) -> Self {
        Self {
            fd: -1,
            addr: address(time),
            len: 1,
            off: completions as u64,
            op_flags: flags.bits(),
            ..Self::new(Opcode::Timeout)
        }
    }

    /// Removes the timeout with this user data, which then completes with ECANCELED.
    #[inline]
    pub const fn timeout_remove(user_data: u64) -> Self {
        let mut entry = Self::new(Opcode::TimeoutRemove);
        entry.fd = -1;
        entry.addr = user_data;
        entry
    }

    /// Cancels the entry before it, to which it is linked, when the time is up. Completes with ETIME if it did,
    /// with ECANCELED if that entry was done first. The time is needed until it is submitted.
    #[inline]
    pub fn link_timeout(time: *const Timespec, flags: TimeoutFlags) -> Self {
        Self { fd: -1, addr: address(time), len: 1, op_flags: flags.bits(), ..Self::new(Opcode::LinkTimeout) }
    }

    /// Cancels by user data: the first entry that has it, or all of them with [`CancelFlags::ALL`]; any entry at
    /// all with [`CancelFlags::ANY`]. Completes with 0 (with `ALL` or `ANY`: how many), ENOENT if there is none,
    /// EALREADY if it already runs and cannot be stopped.
    #[inline]
    pub const fn cancel(user_data: u64, flags: CancelFlags) -> Self {
        let mut entry = Self::new(Opcode::AsyncCancel);
        entry.fd = -1;
        entry.addr = user_data;
        entry.op_flags = flags.bits();
        entry
    }

    /// Cancels what works on `target` (5.19; slots 6.0): the first such entry, or all with
    /// [`CancelFlags::ALL`].
    #[inline]
    pub fn cancel_target(target: impl Into<Target>, flags: CancelFlags) -> Self {
        let mut entry = Self::on(Opcode::AsyncCancel, target);
        // Here the slot is data, not the file that the entry itself works on.
        let fixed = entry.flags & SqeFlags::FIXED_FILE.bits() != 0;
        entry.flags &= !SqeFlags::FIXED_FILE.bits();
        let key = if fixed { CancelFlags::FD.union(CancelFlags::FD_FIXED) } else { CancelFlags::FD };
        entry.op_flags = flags.union(key).bits();
        entry
    }

    /// Posts a completion with `result` and `user_data` to another ring (5.18).
    #[inline]
    pub fn msg_ring(ring: impl Into<Target>, result: u32, user_data: u64, flags: MsgRingFlags) -> Self {
        Self { len: result, off: user_data, op_flags: flags.bits(), ..Self::on(Opcode::MsgRing, ring) }
    }

    /// Puts the file in our slot `source` into slot `sink` of another ring (6.0), and posts a completion with
    /// `user_data` there unless [`MsgRingFlags::CQE_SKIP`] is set.
    #[inline]
    pub fn msg_ring_file(
        ring: impl Into<Target>,
        source: Slot,
        sink: impl Into<NewSlot>,
        user_data: u64,
        flags: MsgRingFlags,
    ) -> Self {
        Self {
            addr: MESSAGE_FILE,
            off: user_data,
            addr3: source.0 as u64,
            op_flags: flags.bits(),
            ..Self::on(Opcode::MsgRing, ring).into_slot(sink)
        }
    }
}
