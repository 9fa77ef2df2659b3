//! Constructors of entries that wait for other parts of the system: epoll, processes, futexes.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. How long memory must live is
//! said per argument in the words of [`crate::sqe`].

use core::ffi::c_void;

use super::{Sqe, address};
use crate::abi::{FutexFlags, FutexWaitv, Opcode};

impl Sqe {
    /// `epoll_ctl(2)`: `operation` is `EPOLL_CTL_*`. The `struct epoll_event` is needed until it is submitted, and may
    /// be null for a removal.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_EPOLL_CTL. *Since:* 5.6. *Fails:* EEXIST, ENOENT, EPERM for what cannot
    /// be polled, ELOOP and more as `epoll_ctl(2)`; EBADF with a slot.
    #[inline]
    pub fn epoll_ctl(epoll: i32, operation: u32, fd: i32, event: *const c_void) -> Self {
        Self {
            fd: epoll,
            addr: address(event),
            len: operation,
            off: u64::from(fd.cast_unsigned()),
            ..Self::new(Opcode::EpollCtl)
        }
    }

    /// `epoll_wait(2)`: up to `count` `struct epoll_event` go to `events`, which must be writable until it completes.
    /// Completes with how many; waits until there is one.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_EPOLL_WAIT. *Since:* 6.15. *Fails:* EBADF, EINVAL for what is no epoll,
    /// EFAULT; ECANCELED when cancelled.
    #[inline]
    pub fn epoll_wait(epoll: i32, events: *mut c_void, count: u32) -> Self {
        Self { fd: epoll, addr: address(events), len: count, ..Self::new(Opcode::EpollWait) }
    }

    /// `waitid(2)`: `kind` is `P_*`, `options` are `W*`. The `siginfo_t` at `information`, which may be null, must be
    /// writable until it completes. Completes with 0.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_WAITID. *Since:* 6.7. *Fails:* ECHILD if there is no such child, EINVAL
    /// for wrong options; ECANCELED when cancelled.
    #[inline]
    pub fn waitid(kind: u32, number: u32, information: *mut c_void, options: u32) -> Self {
        Self {
            fd: number.cast_signed(),
            len: kind,
            off: address(information),
            file_index: options,
            ..Self::new(Opcode::Waitid)
        }
    }

    /// `futex_wait(2)`: waits at `futex`, while it holds `value`, for a wake-up that has a bit of `mask`. The word must
    /// be readable until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FUTEX_WAIT. *Since:* 6.7. *Fails:* EAGAIN if it holds something else,
    /// which is looked at when the entry runs; EINVAL for a mask of 0 or a wrong size; EFAULT; ECANCELED.
    #[inline]
    pub fn futex_wait(futex: *const u32, value: u64, mask: u64, flags: FutexFlags) -> Self {
        Self {
            fd: flags.bits().cast_signed(),
            addr: address(futex),
            off: value,
            addr3: mask,
            ..Self::new(Opcode::FutexWait)
        }
    }

    /// `futex_wake(2)`: wakes up to `count` waiters at `futex` that have a bit of `mask`; completes with how many.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FUTEX_WAKE. *Since:* 6.7. *Fails:* EINVAL for a mask of 0 or a wrong
    /// size; EFAULT.
    #[inline]
    pub fn futex_wake(futex: *const u32, count: u64, mask: u64, flags: FutexFlags) -> Self {
        Self { opcode: Opcode::FutexWake as u8, ..Self::futex_wait(futex, count, mask, flags) }
    }

    /// `futex_waitv(2)`: waits at any of `count` futexes, 128 at most; completes with the index of one that woke it. The
    /// array is needed until it is submitted, the words until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FUTEX_WAITV. *Since:* 6.7. *Fails:* EAGAIN if one holds something else,
    /// EINVAL for a wrong count or element; EFAULT; ECANCELED.
    #[inline]
    pub fn futex_waitv(futexes: *const FutexWaitv, count: u32) -> Self {
        Self { addr: address(futexes), len: count, ..Self::new(Opcode::FutexWaitv) }
    }
}
