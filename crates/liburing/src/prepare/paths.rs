//! Opening, closing, and what is done to names.

use core::ffi::{c_char, c_int, c_uint, c_void};

use ouzel_uring::abi::{AT_FDCWD, Opcode, OpenHow};

use super::{address, fill, new_slot, preparations};

preparations! {
    /// `io_uring_prep_openat(3)`.
    fn io_uring_prep_openat(entry, directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) {
        fill(entry, Opcode::Openat, directory, address(path), mode, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_openat_direct(3)`.
    fn io_uring_prep_openat_direct(
        entry,
        directory: c_int,
        path: *const c_char,
        flags: c_int,
        mode: c_uint,
        slot: c_uint,
    ) {
        fill(entry, Opcode::Openat, directory, address(path), mode, 0);
        entry.op_flags = flags as u32;
        new_slot(entry, slot);
    }

    /// `io_uring_prep_open(3)`.
    fn io_uring_prep_open(entry, path: *const c_char, flags: c_int, mode: c_uint) {
        fill(entry, Opcode::Openat, AT_FDCWD, address(path), mode, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_open_direct(3)`.
    fn io_uring_prep_open_direct(
        entry,
        path: *const c_char,
        flags: c_int,
        mode: c_uint,
        slot: c_uint,
    ) {
        fill(entry, Opcode::Openat, AT_FDCWD, address(path), mode, 0);
        entry.op_flags = flags as u32;
        new_slot(entry, slot);
    }

    /// `io_uring_prep_openat2(3)`.
    fn io_uring_prep_openat2(entry, directory: c_int, path: *const c_char, how: *const OpenHow) {
        let size = size_of::<OpenHow>() as c_uint;
        fill(entry, Opcode::Openat2, directory, address(path), size, address(how));
    }

    /// `io_uring_prep_openat2_direct(3)`.
    fn io_uring_prep_openat2_direct(
        entry,
        directory: c_int,
        path: *const c_char,
        how: *const OpenHow,
        slot: c_uint,
    ) {
        let size = size_of::<OpenHow>() as c_uint;
        fill(entry, Opcode::Openat2, directory, address(path), size, address(how));
        new_slot(entry, slot);
    }

    /// `io_uring_prep_close(3)`.
    fn io_uring_prep_close(entry, fd: c_int) {
        fill(entry, Opcode::Close, fd, 0, 0, 0);
    }

    /// `io_uring_prep_close_direct(3)`.
    fn io_uring_prep_close_direct(entry, slot: c_uint) {
        fill(entry, Opcode::Close, 0, 0, 0, 0);
        entry.file_index = slot.wrapping_add(1);
    }

    /// `io_uring_prep_statx(3)`.
    fn io_uring_prep_statx(
        entry,
        directory: c_int,
        path: *const c_char,
        flags: c_int,
        mask: c_uint,
        answer: *mut c_void,
    ) {
        fill(entry, Opcode::Statx, directory, address(path), mask, address(answer));
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_unlinkat(3)`.
    fn io_uring_prep_unlinkat(entry, directory: c_int, path: *const c_char, flags: c_int) {
        fill(entry, Opcode::Unlinkat, directory, address(path), 0, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_unlink(3)`.
    fn io_uring_prep_unlink(entry, path: *const c_char, flags: c_int) {
        fill(entry, Opcode::Unlinkat, AT_FDCWD, address(path), 0, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_renameat(3)`.
    fn io_uring_prep_renameat(
        entry,
        old_directory: c_int,
        old: *const c_char,
        new_directory: c_int,
        new: *const c_char,
        flags: c_uint,
    ) {
        fill(entry, Opcode::Renameat, old_directory, address(old), new_directory as u32, address(new));
        entry.op_flags = flags;
    }

    /// `io_uring_prep_rename(3)`.
    fn io_uring_prep_rename(entry, old: *const c_char, new: *const c_char) {
        fill(entry, Opcode::Renameat, AT_FDCWD, address(old), AT_FDCWD as u32, address(new));
        entry.op_flags = 0;
    }

    /// `io_uring_prep_mkdirat(3)`.
    fn io_uring_prep_mkdirat(entry, directory: c_int, path: *const c_char, mode: c_uint) {
        fill(entry, Opcode::Mkdirat, directory, address(path), mode, 0);
    }

    /// `io_uring_prep_mkdir(3)`.
    fn io_uring_prep_mkdir(entry, path: *const c_char, mode: c_uint) {
        fill(entry, Opcode::Mkdirat, AT_FDCWD, address(path), mode, 0);
    }

    /// `io_uring_prep_symlinkat(3)`.
    fn io_uring_prep_symlinkat(entry, target: *const c_char, directory: c_int, path: *const c_char) {
        fill(entry, Opcode::Symlinkat, directory, address(target), 0, address(path));
    }

    /// `io_uring_prep_symlink(3)`.
    fn io_uring_prep_symlink(entry, target: *const c_char, path: *const c_char) {
        fill(entry, Opcode::Symlinkat, AT_FDCWD, address(target), 0, address(path));
    }

    /// `io_uring_prep_linkat(3)`.
    fn io_uring_prep_linkat(
        entry,
        old_directory: c_int,
        old: *const c_char,
        new_directory: c_int,
        new: *const c_char,
        flags: c_int,
    ) {
        fill(entry, Opcode::Linkat, old_directory, address(old), new_directory as u32, address(new));
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_link(3)`.
    fn io_uring_prep_link(entry, old: *const c_char, new: *const c_char, flags: c_int) {
        fill(entry, Opcode::Linkat, AT_FDCWD, address(old), AT_FDCWD as u32, address(new));
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_getxattr(3)`.
    fn io_uring_prep_getxattr(
        entry,
        name: *const c_char,
        value: *mut c_char,
        path: *const c_char,
        length: c_uint,
    ) {
        fill(entry, Opcode::Getxattr, 0, address(name), length, address(value));
        entry.addr3 = address(path);
        entry.op_flags = 0;
    }

    /// `io_uring_prep_setxattr(3)`.
    fn io_uring_prep_setxattr(
        entry,
        name: *const c_char,
        value: *const c_char,
        path: *const c_char,
        flags: c_int,
        length: c_uint,
    ) {
        fill(entry, Opcode::Setxattr, 0, address(name), length, address(value));
        entry.addr3 = address(path);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_fgetxattr(3)`.
    fn io_uring_prep_fgetxattr(
        entry,
        fd: c_int,
        name: *const c_char,
        value: *mut c_char,
        length: c_uint,
    ) {
        fill(entry, Opcode::Fgetxattr, fd, address(name), length, address(value));
        entry.op_flags = 0;
    }

    /// `io_uring_prep_fsetxattr(3)`.
    fn io_uring_prep_fsetxattr(
        entry,
        fd: c_int,
        name: *const c_char,
        value: *const c_char,
        flags: c_int,
        length: c_uint,
    ) {
        fill(entry, Opcode::Fsetxattr, fd, address(name), length, address(value));
        entry.op_flags = flags as u32;
    }
}
