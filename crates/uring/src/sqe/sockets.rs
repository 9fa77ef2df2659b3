//! Constructors of entries on sockets.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. Families, types and
//! flags are the numbers of the man page that is named; addresses are `struct sockaddr` in the kernel's layout.
//! How long memory must live is said per argument in the words of [`crate::sqe`].

use core::ffi::c_void;

use super::{NewSlot, Sqe, Target, address};
use crate::abi::{AcceptFlags, Opcode, RecvSendFlags};

/// The length of an address, which lies in the first half of a 32-bit field.
#[inline]
const fn address_length(length: u16) -> u32 {
    if cfg!(target_endian = "big") { (length as u32) << 16 } else { length as u32 }
}

impl Sqe {
    /// `socket(2)` (5.19): completes with a descriptor.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SOCKET. *Since:* 5.19. *Fails:* As `socket(2)`: EAFNOSUPPORT,
    /// EPROTONOSUPPORT, EMFILE, EACCES and more.
    #[inline]
    pub const fn socket(family: u32, kind: u32, protocol: u32) -> Self {
        let mut entry = Self::new(Opcode::Socket);
        entry.fd = family as i32;
        entry.off = kind as u64;
        entry.len = protocol;
        entry
    }

    /// `socket(2)` into a slot. `kind` must not contain `SOCK_CLOEXEC`, which slots do not have (EINVAL).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SOCKET. *Since:* 5.19. *Fails:* As [`socket`](Self::socket);
    /// ENXIO without a table, EINVAL for a slot outside it or `SOCK_CLOEXEC`, ENFILE if none is free.
    #[inline]
    pub fn socket_direct(family: u32, kind: u32, protocol: u32, slot: impl Into<NewSlot>) -> Self {
        Self::socket(family, kind, protocol).into_slot(slot)
    }

    /// `bind(2)` (6.11): the address, `length` bytes, is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_BIND. *Since:* 6.11. *Fails:* As `bind(2)`: EADDRINUSE,
    /// EACCES, EINVAL if it is bound, ENOTSOCK and more.
    #[inline]
    pub fn bind(target: impl Into<Target>, socket_address: *const c_void, length: u32) -> Self {
        Self { addr: address(socket_address), off: length as u64, ..Self::on(Opcode::Bind, target) }
    }

    /// `listen(2)` (6.11).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_LISTEN. *Since:* 6.11. *Fails:* As `listen(2)`: EADDRINUSE,
    /// ENOTSOCK, EOPNOTSUPP.
    #[inline]
    pub fn listen(target: impl Into<Target>, backlog: u32) -> Self {
        Self { len: backlog, ..Self::on(Opcode::Listen, target) }
    }

    /// `accept4(2)`: completes with a descriptor. The peer's address goes to `socket_address`, whose room is in
    /// `*length`; both may be null, else both must be writable until it completes. `flags` are `SOCK_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ACCEPT. *Since:* 5.5. *Fails:* As `accept4(2)`: ECONNABORTED,
    /// EMFILE, EINVAL if it does not listen, ENOTSOCK; EAGAIN with [`AcceptFlags::DONTWAIT`].
    #[inline]
    pub fn accept(
        target: impl Into<Target>,
        socket_address: *mut c_void,
        length: *mut u32,
        flags: u32,
    ) -> Self {
        Self {
            addr: address(socket_address),
            off: address(length),
            op_flags: flags,
            ..Self::on(Opcode::Accept, target)
        }
    }

    /// `accept4(2)` into a slot; completes with 0, or the slot if the kernel chose it. `flags` must not contain
    /// `SOCK_CLOEXEC`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ACCEPT. *Since:* 5.15. *Fails:* As [`accept`](Self::accept);
    /// ENXIO without a table, EINVAL for a slot outside it, ENFILE if none is free.
    #[inline]
    pub fn accept_direct(
        target: impl Into<Target>,
        socket_address: *mut c_void,
        length: *mut u32,
        flags: u32,
        slot: impl Into<NewSlot>,
    ) -> Self {
        Self::accept(target, socket_address, length, flags).into_slot(slot)
    }

    /// Accepts again and again (5.19); every completion but the last has
    /// [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ACCEPT. *Since:* 5.19. *Fails:* As [`accept`](Self::accept),
    /// which ends it; ECANCELED when cancelled.
    #[inline]
    pub fn accept_multishot(target: impl Into<Target>, flags: u32) -> Self {
        Self::accept(target, core::ptr::null_mut(), core::ptr::null_mut(), flags)
            .accept_flags(AcceptFlags::MULTISHOT)
    }

    /// Accepts again and again into slots that the kernel chooses (5.19).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_ACCEPT. *Since:* 5.19. *Fails:* As
    /// [`accept_multishot`](Self::accept_multishot); ENXIO without a table, ENFILE when it is full.
    #[inline]
    pub fn accept_multishot_direct(target: impl Into<Target>, flags: u32) -> Self {
        Self::accept_multishot(target, flags).into_slot(NewSlot::Allocate)
    }

    /// With these flags besides those it has; for accept.
    #[inline]
    #[must_use]
    pub const fn accept_flags(mut self, flags: AcceptFlags) -> Self {
        self.ioprio |= flags.bits();
        self
    }

    /// `connect(2)`: the address, `length` bytes, is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_CONNECT. *Since:* 5.5. *Fails:* As `connect(2)`:
    /// ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EISCONN, EALREADY, ENOTSOCK and more.
    #[inline]
    pub fn connect(target: impl Into<Target>, socket_address: *const c_void, length: u32) -> Self {
        Self { addr: address(socket_address), off: length as u64, ..Self::on(Opcode::Connect, target) }
    }

    /// `send(2)`: `buffer` must be readable and unchanged until it completes. `flags` are `MSG_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SEND. *Since:* 5.6. *Fails:* As `send(2)`: EPIPE, ECONNRESET,
    /// ENOTCONN, EMSGSIZE, ENOTSOCK; EAGAIN with `MSG_DONTWAIT`. A short send fails a link only with
    /// `MSG_WAITALL`.
    #[inline]
    pub fn send(target: impl Into<Target>, buffer: *const u8, length: u32, flags: u32) -> Self {
        Self { addr: address(buffer), len: length, op_flags: flags, ..Self::on(Opcode::Send, target) }
    }

    /// `recv(2)`: `buffer` must be writable until it completes. `flags` are `MSG_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RECV. *Since:* 5.6. *Fails:* As `recv(2)`: ECONNRESET,
    /// ENOTCONN, ENOTSOCK; EAGAIN with `MSG_DONTWAIT`; ENOBUFS if buffers are provided and none is left. A
    /// short receive fails a link only with `MSG_WAITALL`.
    #[inline]
    pub fn recv(target: impl Into<Target>, buffer: *mut u8, length: u32, flags: u32) -> Self {
        Self { addr: address(buffer), len: length, op_flags: flags, ..Self::on(Opcode::Recv, target) }
    }

    /// `sendmsg(2)`: the `struct msghdr` and its vectors are needed until it is submitted, the buffers until it
    /// completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SENDMSG. *Since:* 5.3. *Fails:* As [`send`](Self::send);
    /// EINVAL or EFAULT for a wrong header.
    #[inline]
    pub fn sendmsg(target: impl Into<Target>, message: *const c_void, flags: u32) -> Self {
        Self { addr: address(message), len: 1, op_flags: flags, ..Self::on(Opcode::Sendmsg, target) }
    }

    /// `recvmsg(2)`: the `struct msghdr` is written to, so it and everything it names is needed until it
    /// completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RECVMSG. *Since:* 5.3. *Fails:* As [`recv`](Self::recv);
    /// EINVAL or EFAULT for a wrong header.
    #[inline]
    pub fn recvmsg(target: impl Into<Target>, message: *mut c_void, flags: u32) -> Self {
        Self { addr: address(message), len: 1, op_flags: flags, ..Self::on(Opcode::Recvmsg, target) }
    }

    /// Receives again and again into provided buffers of `group`, up to `length` bytes each (0: what fits); every
    /// completion but the last has [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE) and all tell their buffer.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RECV. *Since:* 6.0. *Fails:* as [`recv`](Self::recv), which ends it;
    /// ENOBUFS when no buffer is left; EINVAL with `MSG_WAITALL`.
    #[inline]
    pub fn recv_multishot(target: impl Into<Target>, length: u32, flags: u32, group: u16) -> Self {
        Self::recv(target, core::ptr::null_mut(), length, flags)
            .transfer_flags(RecvSendFlags::MULTISHOT)
            .buffer_group(group)
    }

    /// Receives messages again and again into provided buffers of `group`. Each begins with a
    /// [`RecvmsgOut`](crate::abi::RecvmsgOut), then the address and the control data with as much room as `message`
    /// said, then the payload. `message` is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RECVMSG. *Since:* 6.0. *Fails:* as
    /// [`recv_multishot`](Self::recv_multishot).
    #[inline]
    pub fn recvmsg_multishot(
        target: impl Into<Target>,
        message: *const c_void,
        flags: u32,
        group: u16,
    ) -> Self {
        Self { addr: address(message), ..Self::recvmsg(target, core::ptr::null_mut(), flags) }
            .transfer_flags(RecvSendFlags::MULTISHOT)
            .buffer_group(group)
    }

    /// To this address, `length` bytes, which is needed until it is submitted; for send and send_zc (6.0). EISCONN
    /// and the like as `sendto(2)`.
    #[inline]
    #[must_use]
    pub fn to_address(mut self, socket_address: *const c_void, length: u16) -> Self {
        self.off = address(socket_address);
        self.file_index = address_length(length);
        self
    }

    /// With these flags besides those it has; for send, recv, sendmsg and recvmsg.
    #[inline]
    #[must_use]
    pub const fn transfer_flags(mut self, flags: RecvSendFlags) -> Self {
        self.ioprio |= flags.bits();
        self
    }

    /// `shutdown(2)`; `how` is `SHUT_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SHUTDOWN. *Since:* 5.11. *Fails:* As `shutdown(2)`: ENOTCONN,
    /// EINVAL, ENOTSOCK.
    #[inline]
    pub fn shutdown(target: impl Into<Target>, how: u32) -> Self {
        Self { len: how, ..Self::on(Opcode::Shutdown, target) }
    }
}
