//! Constructors of commands, which the file's own driver understands.
//!
//! Sockets understand a few that are named here. All others are the driver's: what the data means, what memory it
//! names and for how long is said there.

use core::ffi::c_void;

use super::{Sqe, Sqe128, Target, address};
use crate::abi::{CommandFlags, Opcode, socket_command};

/// Two 32-bit fields that lie one after the other in a 64-bit one.
#[inline]
const fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "big") {
        (first as u64) << 32 | second as u64
    } else {
        (second as u64) << 32 | first as u64
    }
}

impl Sqe {
    /// Command `number` with 16 bytes of data.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 5.19. *Fails:* EOPNOTSUPP if the file understands no
    /// commands, or not this one; EINVAL for flags; and whatever the driver says.
    #[inline]
    pub fn uring_cmd(target: impl Into<Target>, number: u32, data: [u64; 2], flags: CommandFlags) -> Self {
        Self {
            off: pair(number, 0),
            op_flags: flags.bits(),
            addr3: data[0],
            reserved: data[1],
            ..Self::on(Opcode::UringCmd, target)
        }
    }

    /// Completes with how many bytes can be read from a socket (`SIOCINQ`).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.7. *Fails:* EOPNOTSUPP for what is no socket,
    /// EINVAL if it listens.
    #[inline]
    pub fn socket_readable(target: impl Into<Target>) -> Self {
        Self::uring_cmd(target, socket_command::SIOCINQ, [0; 2], CommandFlags::empty())
    }

    /// Completes with how many bytes a socket has not sent yet (`SIOCOUTQ`).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.7. *Fails:* EOPNOTSUPP for what is no socket,
    /// EINVAL if it listens.
    #[inline]
    pub fn socket_unsent(target: impl Into<Target>) -> Self {
        Self::uring_cmd(target, socket_command::SIOCOUTQ, [0; 2], CommandFlags::empty())
    }

    /// `getsockopt(2)` with level `SOL_SOCKET`: the value goes to `value`, `length` bytes, which must be writable until
    /// it completes. Completes with its length.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.7. *Fails:* EOPNOTSUPP for other levels or for what
    /// is no socket; ENOPROTOOPT, EINVAL, EFAULT.
    #[inline]
    pub fn getsockopt(
        target: impl Into<Target>,
        level: u32,
        name: u32,
        value: *mut c_void,
        length: u32,
    ) -> Self {
        let data = [address(value), 0];
        Self {
            addr: pair(level, name),
            file_index: length,
            ..Self::uring_cmd(target, socket_command::GETSOCKOPT, data, CommandFlags::empty())
        }
    }

    /// `setsockopt(2)`: `value`, `length` bytes, is needed until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.7. *Fails:* ENOPROTOOPT, EINVAL, EFAULT, EPERM and
    /// more as `setsockopt(2)`; EOPNOTSUPP for what is no socket.
    #[inline]
    pub fn setsockopt(
        target: impl Into<Target>,
        level: u32,
        name: u32,
        value: *const c_void,
        length: u32,
    ) -> Self {
        let data = [address(value), 0];
        Self {
            addr: pair(level, name),
            file_index: length,
            ..Self::uring_cmd(target, socket_command::SETSOCKOPT, data, CommandFlags::empty())
        }
    }

    /// Tells again and again when packets were sent, in completions of 32 bytes whose second half is an
    /// [`IoTimespec`](crate::abi::IoTimespec). The socket must have time stamps enabled.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.17. *Fails:* EINVAL in rings without completions of
    /// 32 bytes; EOPNOTSUPP for what is no socket; ECANCELED when cancelled.
    #[inline]
    pub fn socket_send_times(target: impl Into<Target>) -> Self {
        Self::uring_cmd(target, socket_command::TX_TIMESTAMP, [0; 2], CommandFlags::empty())
    }

    /// `getsockname(2)`, or `getpeername(2)` with `peer`: the address goes to `socket_address`, whose room is in
    /// `*length`; both must be writable until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 6.19. *Fails:* EOPNOTSUPP on kernels before, and for
    /// what is no socket; ENOTCONN, EFAULT, EINVAL.
    #[inline]
    pub fn getsockname(
        target: impl Into<Target>,
        socket_address: *mut c_void,
        length: *mut u32,
        peer: bool,
    ) -> Self {
        let data = [address(length), 0];
        Self {
            addr: address(socket_address),
            file_index: u32::from(peer),
            ..Self::uring_cmd(target, socket_command::GETSOCKNAME, data, CommandFlags::empty())
        }
    }
}

impl Sqe128 {
    /// Command `number` with 80 bytes of data, in rings with
    /// [`SetupFlags::SQE128`](crate::abi::SetupFlags::SQE128).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD. *Since:* 5.19. *Fails:* as
    /// [`Sqe::uring_cmd`]; EINVAL by drivers that need the long form in rings with short entries.
    #[inline]
    pub fn uring_cmd(target: impl Into<Target>, number: u32, data: &[u8; 80], flags: CommandFlags) -> Self {
        let (first, rest) = data.split_at(8);
        let (second, rest) = rest.split_at(8);
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        };
        let mut extra = [0; 64];
        extra.copy_from_slice(rest);
        Self { sqe: Sqe::uring_cmd(target, number, [word(first), word(second)], flags), extra }
    }

    /// The same in rings with [`SetupFlags::SQE_MIXED`](crate::abi::SetupFlags::SQE_MIXED), where long entries have
    /// opcodes of their own.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_URING_CMD128. *Since:* 6.19. *Fails:* as
    /// [`uring_cmd`](Self::uring_cmd); EINVAL in other rings.
    #[inline]
    pub fn uring_cmd128(
        target: impl Into<Target>,
        number: u32,
        data: &[u8; 80],
        flags: CommandFlags,
    ) -> Self {
        let mut entry = Self::uring_cmd(target, number, data, flags);
        entry.sqe.opcode = Opcode::UringCmd128 as u8;
        entry
    }

    /// Does nothing, in rings with [`SetupFlags::SQE_MIXED`](crate::abi::SetupFlags::SQE_MIXED).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_NOP128. *Since:* 6.19. *Fails:* EINVAL in other rings.
    #[inline]
    pub fn nop128() -> Self {
        let mut entry = Self::from(Sqe::nop());
        entry.sqe.opcode = Opcode::Nop128 as u8;
        entry
    }
}
