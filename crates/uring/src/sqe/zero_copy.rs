//! Constructors of entries that move data without copying it.
//!
//! A zero-copy send completes twice: first with its result and [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE), then,
//! when the buffer is free, with [`CqeFlags::NOTIF`](crate::abi::CqeFlags::NOTIF); the second is the last, and the
//! buffer is needed until then. A send that failed at once completes only once.

use core::ffi::c_void;

use super::{Sqe, Target, address};
use crate::abi::{Opcode, RecvSendFlags};

impl Sqe {
    /// `send(2)` without a copy: `buffer` must be readable and unchanged until the *last* completion. With
    /// [`RecvSendFlags::FIXED_BUF`] it lies in the registered buffer of [`buffer_number`](Self::buffer_number).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SEND_ZC. *Since:* 6.0. *Fails:* as [`send`](Self::send); EOPNOTSUPP for
    /// sockets that cannot; EFAULT for a wrong registered buffer; ENOMEM.
    #[inline]
    pub fn send_zc(target: impl Into<Target>, buffer: *const u8, length: u32, flags: u32) -> Self {
        Self { opcode: Opcode::SendZc as u8, ..Self::send(target, buffer, length, flags) }
    }

    /// `sendmsg(2)` without a copy: the `struct msghdr` and its vectors are needed until it is submitted, the buffers
    /// until the *last* completion.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SENDMSG_ZC. *Since:* 6.1. *Fails:* as [`sendmsg`](Self::sendmsg);
    /// EOPNOTSUPP for sockets that cannot; ENOMEM.
    #[inline]
    pub fn sendmsg_zc(target: impl Into<Target>, message: *const c_void, flags: u32) -> Self {
        Self {
            addr: address(message),
            opcode: Opcode::SendmsgZc as u8,
            ..Self::sendmsg(target, message, flags)
        }
    }

    /// Receives again and again where a network device put the data, in the queue `queue` that was registered with
    /// [`register_zcrx`](crate::Ring::register_zcrx); up to `length` bytes in all (0: no limit). Completions have 32
    /// bytes, the second half being a [`ZcrxCqe`](crate::abi::ZcrxCqe).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RECV_ZC. *Since:* 6.15. *Fails:* EINVAL without such a queue; ENOTSOCK;
    /// EOPNOTSUPP for anything but TCP; ENOMEM when the memory is used up; EFAULT for data that came another way.
    #[inline]
    pub fn recv_zc(target: impl Into<Target>, length: u32, queue: u32) -> Self {
        Self { len: length, file_index: queue, ..Self::on(Opcode::RecvZc, target) }
            .transfer_flags(RecvSendFlags::MULTISHOT)
    }
}
