//! Constructors of entries on sockets.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. Families, types and
//! flags are the numbers of the man page that is named; addresses are `struct sockaddr` in the kernel's layout.
//! How long memory must live is said per argument in the words of [`crate::sqe`].

use core::ffi::c_void;

use super::{NewSlot, Sqe, Target, address};
use crate::abi::{AcceptFlags, Opcode, RecvSendFlags};

impl Sqe {
    /// `socket(2)` (5.19): completes with a descriptor.
    #[inline]
    pub const fn socket(family: u32, kind: u32, protocol: u32) -> Self {
        let mut entry = Self::new(Opcode::Socket);
        entry.fd = family as i32;
        entry.off = kind as u64;
        entry.len = protocol;
        entry
    }

    /// `socket(2)` into a slot. `kind` must not contain `SOCK_CLOEXEC`, which slots do not have (EINVAL).
    #[inline]
    pub fn socket_direct(family: u32, kind: u32, protocol: u32, slot: impl Into<NewSlot>) -> Self {
        Self::socket(family, kind, protocol).into_slot(slot)
    }

    /// `bind(2)` (6.11): the address, `length` bytes, is needed until it is submitted.
    #[inline]
    pub fn bind(target: impl Into<Target>, socket_address: *const c_void, length: u32) -> Self {
        Self { addr: address(socket_address), off: length as u64, ..Self::on(Opcode::Bind, target) }
    }

    /// `listen(2)` (6.11).
    #[inline]
    pub fn listen(target: impl Into<Target>, backlog: u32) -> Self {
        Self { len: backlog, ..Self::on(Opcode::Listen, target) }
    }

    /// `accept4(2)`: completes with a descriptor. The peer's address goes to `socket_address`, whose room is in
    /// `*length`; both may be null, else both must be writable until it completes. `flags` are `SOCK_*`.
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
    #[inline]
    pub fn accept_multishot(target: impl Into<Target>, flags: u32) -> Self {
        Self::accept(target, core::ptr::null_mut(), core::ptr::null_mut(), flags)
            .accept_flags(AcceptFlags::MULTISHOT)
    }

    /// Accepts again and again into slots that the kernel chooses (5.19).
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
    #[inline]
    pub fn connect(target: impl Into<Target>, socket_address: *const c_void, length: u32) -> Self {
        Self { addr: address(socket_address), off: length as u64, ..Self::on(Opcode::Connect, target) }
    }

    /// `send(2)`: `buffer` must be readable and unchanged until it completes. `flags` are `MSG_*`.
    #[inline]
    pub fn send(target: impl Into<Target>, buffer: *const u8, length: u32, flags: u32) -> Self {
        Self { addr: address(buffer), len: length, op_flags: flags, ..Self::on(Opcode::Send, target) }
    }

    /// `recv(2)`: `buffer` must be writable until it completes. `flags` are `MSG_*`.
    #[inline]
    pub fn recv(target: impl Into<Target>, buffer: *mut u8, length: u32, flags: u32) -> Self {
        Self { addr: address(buffer), len: length, op_flags: flags, ..Self::on(Opcode::Recv, target) }
    }

    /// `sendmsg(2)`: the `struct msghdr` and its vectors are needed until it is submitted, the buffers until it
    /// completes.
    #[inline]
    pub fn sendmsg(target: impl Into<Target>, message: *const c_void, flags: u32) -> Self {
        Self { addr: address(message), len: 1, op_flags: flags, ..Self::on(Opcode::Sendmsg, target) }
    }

    /// `recvmsg(2)`: the `struct msghdr` is written to, so it and everything it names is needed until it
    /// completes.
    #[inline]
    pub fn recvmsg(target: impl Into<Target>, message: *mut c_void, flags: u32) -> Self {
        Self { addr: address(message), len: 1, op_flags: flags, ..Self::on(Opcode::Recvmsg, target) }
    }

    /// With these flags besides those it has; for send, recv, sendmsg and recvmsg.
    #[inline]
    #[must_use]
    pub const fn transfer_flags(mut self, flags: RecvSendFlags) -> Self {
        self.ioprio |= flags.bits();
        self
    }

    /// `shutdown(2)`; `how` is `SHUT_*`.
    #[inline]
    pub fn shutdown(target: impl Into<Target>, how: u32) -> Self {
        Self { len: how, ..Self::on(Opcode::Shutdown, target) }
    }
}
