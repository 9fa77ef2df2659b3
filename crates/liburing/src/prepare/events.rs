//! Time, readiness, cancelling, processes and futexes.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{CancelFlags, Opcode, PollFlags, TimeoutFlags, Timespec};

use super::{address, fill, preparations};

preparations! {
    /// `io_uring_prep_timeout(3)`.
    fn io_uring_prep_timeout(entry, time: *const Timespec, count: c_uint, flags: c_uint) {
        fill(entry, Opcode::Timeout, -1, address(time), 1, count.into());
        entry.op_flags = flags;
    }

    /// `io_uring_prep_timeout_remove(3)`.
    fn io_uring_prep_timeout_remove(entry, user_data: u64, flags: c_uint) {
        fill(entry, Opcode::TimeoutRemove, -1, user_data, 0, 0);
        entry.op_flags = flags;
    }

    /// `io_uring_prep_timeout_update(3)`.
    fn io_uring_prep_timeout_update(entry, time: *const Timespec, user_data: u64, flags: c_uint) {
        fill(entry, Opcode::TimeoutRemove, -1, user_data, 0, address(time));
        entry.op_flags = flags | TimeoutFlags::UPDATE.bits();
    }

    /// `io_uring_prep_link_timeout(3)`.
    fn io_uring_prep_link_timeout(entry, time: *const Timespec, flags: c_uint) {
        fill(entry, Opcode::LinkTimeout, -1, address(time), 1, 0);
        entry.op_flags = flags;
    }

    /// `io_uring_prep_poll_add(3)`.
    fn io_uring_prep_poll_add(entry, fd: c_int, mask: c_uint) {
        fill(entry, Opcode::PollAdd, fd, 0, 0, 0);
        entry.op_flags = poll_mask(mask);
    }

    /// `io_uring_prep_poll_multishot(3)`.
    fn io_uring_prep_poll_multishot(entry, fd: c_int, mask: c_uint) {
        fill(entry, Opcode::PollAdd, fd, 0, PollFlags::ADD_MULTI.bits(), 0);
        entry.op_flags = poll_mask(mask);
    }

    /// `io_uring_prep_poll_remove(3)`.
    fn io_uring_prep_poll_remove(entry, user_data: u64) {
        fill(entry, Opcode::PollRemove, -1, user_data, 0, 0);
    }

    /// `io_uring_prep_poll_update(3)`.
    fn io_uring_prep_poll_update(
        entry,
        old_user_data: u64,
        new_user_data: u64,
        mask: c_uint,
        flags: c_uint,
    ) {
        fill(entry, Opcode::PollRemove, -1, old_user_data, flags, new_user_data);
        entry.op_flags = poll_mask(mask);
    }

    /// `io_uring_prep_cancel(3)`.
    fn io_uring_prep_cancel(entry, user_data: *const c_void, flags: c_int) {
        fill(entry, Opcode::AsyncCancel, -1, address(user_data), 0, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_cancel64(3)`.
    fn io_uring_prep_cancel64(entry, user_data: u64, flags: c_int) {
        fill(entry, Opcode::AsyncCancel, -1, user_data, 0, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_cancel_fd(3)`.
    fn io_uring_prep_cancel_fd(entry, fd: c_int, flags: c_uint) {
        fill(entry, Opcode::AsyncCancel, fd, 0, 0, 0);
        entry.op_flags = flags | CancelFlags::FD.bits();
    }

    /// `io_uring_prep_epoll_ctl(3)`.
    fn io_uring_prep_epoll_ctl(
        entry,
        epoll: c_int,
        fd: c_int,
        operation: c_int,
        event: *const c_void,
    ) {
        fill(entry, Opcode::EpollCtl, epoll, address(event), operation as u32, (fd as u32).into());
    }

    /// `io_uring_prep_epoll_wait(3)`.
    fn io_uring_prep_epoll_wait(
        entry,
        fd: c_int,
        events: *mut c_void,
        count: c_int,
        flags: c_uint,
    ) {
        fill(entry, Opcode::EpollWait, fd, address(events), count as u32, 0);
        entry.op_flags = flags;
    }

    /// `io_uring_prep_waitid(3)`.
    fn io_uring_prep_waitid(
        entry,
        kind: c_uint,
        id: c_uint,
        answer: *mut c_void,
        options: c_int,
        flags: c_uint,
    ) {
        fill(entry, Opcode::Waitid, id as c_int, 0, kind, address(answer));
        entry.op_flags = flags;
        entry.file_index = options as u32;
    }

    /// `io_uring_prep_futex_wake(3)`.
    fn io_uring_prep_futex_wake(
        entry,
        futex: *const u32,
        value: u64,
        mask: u64,
        futex_flags: u32,
        flags: c_uint,
    ) {
        fill(entry, Opcode::FutexWake, futex_flags as c_int, address(futex), 0, value);
        entry.op_flags = flags;
        entry.addr3 = mask;
    }

    /// `io_uring_prep_futex_wait(3)`.
    fn io_uring_prep_futex_wait(
        entry,
        futex: *const u32,
        value: u64,
        mask: u64,
        futex_flags: u32,
        flags: c_uint,
    ) {
        fill(entry, Opcode::FutexWait, futex_flags as c_int, address(futex), 0, value);
        entry.op_flags = flags;
        entry.addr3 = mask;
    }

    /// `io_uring_prep_futex_waitv(3)`.
    fn io_uring_prep_futex_waitv(entry, futexes: *const c_void, count: u32, flags: c_uint) {
        fill(entry, Opcode::FutexWaitv, 0, address(futexes), count, 0);
        entry.op_flags = flags;
    }
}

/// The mask of a poll, whose two halves the kernel wants the other way round on big-endian machines.
fn poll_mask(mask: c_uint) -> u32 {
    if cfg!(target_endian = "big") { mask.rotate_left(16) } else { mask }
}
