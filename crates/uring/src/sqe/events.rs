//! Constructors of entries that wait, cancel and talk to other rings.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. How long memory must
//! live is said per argument in the words of [`crate::sqe`].

use super::{NewSlot, Slot, Sqe, Target, address};
use crate::abi::{CancelFlags, MsgRingFlags, Opcode, PollFlags, SqeFlags, TimeoutFlags, Timespec, message};

/// Poll masks travel with their halves swapped on big-endian machines.
#[inline]
const fn poll_mask(mask: u32) -> u32 {
    if cfg!(target_endian = "big") { mask.rotate_left(16) } else { mask }
}

impl Sqe {
    /// Waits until `target` is ready for one of `mask` (`POLL*`); completes with what it is ready for. With
    /// [`PollFlags::ADD_MULTI`] it goes on, and every completion but the last has
    /// [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_POLL_ADD. *Since:* 5.1. *Fails:* EBADF; ECANCELED when it is
    /// removed or the ring ends; EOPNOTSUPP for what cannot be polled.
    #[inline]
    pub fn poll_add(target: impl Into<Target>, mask: u32, flags: PollFlags) -> Self {
        Self { len: flags.bits(), op_flags: poll_mask(mask), ..Self::on(Opcode::PollAdd, target) }
    }

    /// Removes the poll with this user data: ENOENT if there is none, EALREADY if it is completing.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_POLL_REMOVE. *Since:* 5.1. *Fails:* ENOENT if there is none;
    /// EALREADY if it is completing.
    #[inline]
    pub const fn poll_remove(user_data: u64) -> Self {
        let mut entry = Self::new(Opcode::PollRemove);
        entry.fd = -1;
        entry.addr = user_data;
        entry
    }

    /// Completes with ETIME when the time is up, or with 0 once `completions` others were posted (0: time only).
    /// The time is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_TIMEOUT. *Since:* 5.4. *Fails:* ETIME when the time is up,
    /// which counts as a failure to links unless [`TimeoutFlags::ETIME_SUCCESS`]; ECANCELED when removed;
    /// EINVAL for a wrong time, EFAULT.
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

    /// Changes the poll with this user data: its mask, its user data or both. With [`PollFlags::ADD_MULTI`] in
    /// `flags` it goes on. Does not wait.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_POLL_REMOVE. *Since:* 5.13. *Fails:* ENOENT if there is none; EALREADY
    /// if it is completing; EINVAL for other flags.
    #[inline]
    pub const fn poll_update(
        user_data: u64,
        new_user_data: Option<u64>,
        new_mask: Option<u32>,
        flags: PollFlags,
    ) -> Self {
        let mut entry = Self::poll_remove(user_data);
        entry.len = flags.bits();
        if let Some(new_user_data) = new_user_data {
            entry.len |= PollFlags::UPDATE_USER_DATA.bits();
            entry.off = new_user_data;
        }
        if let Some(new_mask) = new_mask {
            entry.len |= PollFlags::UPDATE_EVENTS.bits();
            entry.op_flags = poll_mask(new_mask);
        }
        entry
    }

    /// Gives the timeout with this user data another time, relative unless `flags` say [`TimeoutFlags::ABS`]; with
    /// [`TimeoutFlags::LINK_UPDATE`] a link timeout (5.15). The time is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_TIMEOUT_REMOVE. *Since:* 5.11. *Fails:* ENOENT if there is none;
    /// EALREADY or EBUSY if it is expiring; EINVAL for a wrong time, EFAULT.
    #[inline]
    pub fn timeout_update(user_data: u64, time: *const Timespec, flags: TimeoutFlags) -> Self {
        // A link timeout is told by its own flag, and the kernel wants only one of the two.
        let update = if flags.contains(TimeoutFlags::LINK_UPDATE) {
            TimeoutFlags::empty()
        } else {
            TimeoutFlags::UPDATE
        };
        Self { off: address(time), op_flags: flags.union(update).bits(), ..Self::timeout_remove(user_data) }
    }

    /// Removes the timeout with this user data, which then completes with ECANCELED.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_TIMEOUT_REMOVE. *Since:* 5.5. *Fails:* ENOENT if there is
    /// none; EALREADY or EBUSY if it is expiring.
    #[inline]
    pub const fn timeout_remove(user_data: u64) -> Self {
        let mut entry = Self::new(Opcode::TimeoutRemove);
        entry.fd = -1;
        entry.addr = user_data;
        entry
    }

    /// Cancels the entry before it, to which it is linked, when the time is up. Completes with ETIME if it did,
    /// with ECANCELED if that entry was done first. The time is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_LINK_TIMEOUT. *Since:* 5.5. *Fails:* ETIME, ECANCELED,
    /// EALREADY if the other entry could not be stopped, ENOENT; EINVAL if it follows no link.
    #[inline]
    pub fn link_timeout(time: *const Timespec, flags: TimeoutFlags) -> Self {
        Self { fd: -1, addr: address(time), len: 1, op_flags: flags.bits(), ..Self::new(Opcode::LinkTimeout) }
    }

    /// Cancels by user data: the first entry that has it, or all of them with [`CancelFlags::ALL`]; any entry at
    /// all with [`CancelFlags::ANY`]. Completes with 0 (with `ALL` or `ANY`: how many), ENOENT if there is none,
    /// EALREADY if it already runs and cannot be stopped.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ASYNC_CANCEL. *Since:* 5.5. *Fails:* ENOENT if nothing
    /// matches; EALREADY if it runs and cannot be stopped; EINVAL for keys this kernel does not know.
    #[inline]
    pub const fn cancel(user_data: u64, flags: CancelFlags) -> Self {
        let mut entry = Self::new(Opcode::AsyncCancel);
        entry.fd = -1;
        entry.addr = user_data;
        entry.op_flags = flags.bits();
        entry
    }

    /// Cancels entries of `opcode`: the first one, or all with [`CancelFlags::ALL`].
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ASYNC_CANCEL. *Since:* 6.6. *Fails:* as [`cancel`](Self::cancel).
    #[inline]
    pub const fn cancel_opcode(opcode: Opcode, flags: CancelFlags) -> Self {
        let mut entry = Self::cancel(0, flags.union(CancelFlags::OP));
        entry.len = opcode as u32;
        entry
    }

    /// Cancels what works on `target` (5.19; slots 6.0): the first such entry, or all with
    /// [`CancelFlags::ALL`].
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ASYNC_CANCEL. *Since:* 5.19. *Fails:* As
    /// [`cancel`](Self::cancel); EBADF.
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
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_MSG_RING. *Since:* 5.18. *Fails:* EBADFD if the target is
    /// disabled or no ring, EBADF, EOVERFLOW if it has no room and no memory, EINVAL.
    #[inline]
    pub fn msg_ring(ring: impl Into<Target>, result: u32, user_data: u64, flags: MsgRingFlags) -> Self {
        Self { len: result, off: user_data, op_flags: flags.bits(), ..Self::on(Opcode::MsgRing, ring) }
    }

    /// With these completion flags at the target; for msg_ring (6.3). Sets [`MsgRingFlags::FLAGS_PASS`].
    #[inline]
    #[must_use]
    pub const fn message_flags(mut self, flags: u32) -> Self {
        self.op_flags |= MsgRingFlags::FLAGS_PASS.bits();
        self.file_index = flags;
        self
    }

    /// Puts the file in our slot `source` into slot `sink` of another ring (6.0), and posts a completion with
    /// `user_data` there unless [`MsgRingFlags::CQE_SKIP`] is set.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_MSG_RING. *Since:* 6.0. *Fails:* As
    /// [`msg_ring`](Self::msg_ring); EBADF for an empty slot here; ENXIO, EINVAL or ENFILE for the slot
    /// there. EINVAL to the same ring.
    #[inline]
    pub fn msg_ring_file(
        ring: impl Into<Target>,
        source: Slot,
        sink: impl Into<NewSlot>,
        user_data: u64,
        flags: MsgRingFlags,
    ) -> Self {
        Self {
            addr: message::SEND_FD,
            off: user_data,
            addr3: source.0 as u64,
            op_flags: flags.bits(),
            ..Self::on(Opcode::MsgRing, ring).into_slot(sink)
        }
    }
}
