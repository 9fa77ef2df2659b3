//! Constructors of entries on extended attributes.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. Names and paths end in a NUL
//! and are needed until the entry is submitted; values as said in the words of [`crate::sqe`].

use core::ffi::{c_char, c_void};

use super::{Sqe, Target, address};
use crate::abi::Opcode;

impl Sqe {
    /// `getxattr(2)`: the value goes to `value`, `length` bytes, which must be writable until it completes. Completes
    /// with its length; with a length of 0 only that is told.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_GETXATTR. *Since:* 5.19. *Fails:* ENODATA if there is none, ERANGE if it
    /// does not fit, ENOENT, EOPNOTSUPP of the file system; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn getxattr(path: *const c_char, name: *const c_char, value: *mut c_void, length: u32) -> Self {
        Self {
            addr: address(name),
            off: address(value),
            len: length,
            addr3: address(path),
            ..Self::new(Opcode::Getxattr)
        }
    }

    /// `fgetxattr(2)`: as [`getxattr`](Self::getxattr), of an open file.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FGETXATTR. *Since:* 5.19. *Fails:* as [`getxattr`](Self::getxattr).
    #[inline]
    pub fn fgetxattr(
        target: impl Into<Target>,
        name: *const c_char,
        value: *mut c_void,
        length: u32,
    ) -> Self {
        Self { addr: address(name), off: address(value), len: length, ..Self::on(Opcode::Fgetxattr, target) }
    }

    /// `setxattr(2)`: sets it to the `length` bytes of `value`, which are needed until it is submitted. `flags` are
    /// `XATTR_CREATE` or `XATTR_REPLACE`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SETXATTR. *Since:* 5.19. *Fails:* EEXIST or ENODATA as the flags say,
    /// ENOSPC, E2BIG, EOPNOTSUPP of the file system; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn setxattr(
        path: *const c_char,
        name: *const c_char,
        value: *const c_void,
        length: u32,
        flags: u32,
    ) -> Self {
        Self {
            addr: address(name),
            off: address(value),
            len: length,
            op_flags: flags,
            addr3: address(path),
            ..Self::new(Opcode::Setxattr)
        }
    }

    /// `fsetxattr(2)`: as [`setxattr`](Self::setxattr), of an open file.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FSETXATTR. *Since:* 5.19. *Fails:* as [`setxattr`](Self::setxattr).
    #[inline]
    pub fn fsetxattr(
        target: impl Into<Target>,
        name: *const c_char,
        value: *const c_void,
        length: u32,
        flags: u32,
    ) -> Self {
        Self {
            addr: address(name),
            off: address(value),
            len: length,
            op_flags: flags,
            ..Self::on(Opcode::Fsetxattr, target)
        }
    }
}
