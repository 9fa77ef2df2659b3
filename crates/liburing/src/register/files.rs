//! Registered files.

use core::ffi::{c_int, c_uint};

use ouzel_uring::abi::{FileIndexRange, RegisterOpcode, RsrcFlags, RsrcRegister, RsrcUpdate, RsrcUpdate2};

use super::{address, call_with, call_without, with_file_limit};
use crate::layout::IoUring;

/// Registers files: `io_uring_register_files(3)`. Raises the limit of open files if need be.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_files(
    ring: *mut IoUring,
    files: *const c_int,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    with_file_limit(count, || unsafe { call_with(ring, RegisterOpcode::Files, files, count) })
}

/// Registers files as `files` says, and raises the limit of open files if need be.
///
/// # Safety
///
/// As the [crate] says for the ring, and for what the argument leads to.
unsafe fn register_files(ring: *mut IoUring, files: &RsrcRegister) -> c_int {
    let size = size_of::<RsrcRegister>() as c_uint;
    // SAFETY: the caller's promise.
    with_file_limit(files.nr, || unsafe { call_with(ring, RegisterOpcode::Files2, files, size) })
}

/// Registers files with tags: `io_uring_register_files_tags(3)`. Raises the limit of open files if need be.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_files_tags(
    ring: *mut IoUring,
    files: *const c_int,
    tags: *const u64,
    count: c_uint,
) -> c_int {
    let files =
        RsrcRegister { nr: count, data: address(files), tags: address(tags), ..RsrcRegister::default() };
    // SAFETY: the caller's promise.
    unsafe { register_files(ring, &files) }
}

/// Registers room for files: `io_uring_register_files_sparse(3)`. Raises the limit of open files if need be.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_files_sparse(ring: *mut IoUring, count: c_uint) -> c_int {
    let room = RsrcRegister { nr: count, flags: RsrcFlags::SPARSE.bits(), ..RsrcRegister::default() };
    // SAFETY: the ring is the caller's promise.
    unsafe { register_files(ring, &room) }
}

/// Replaces registered files and returns how many: `io_uring_register_files_update(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_files_update(
    ring: *mut IoUring,
    offset: c_uint,
    files: *const c_int,
    count: c_uint,
) -> c_int {
    let update = RsrcUpdate { offset, data: address(files), ..RsrcUpdate::default() };
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::FilesUpdate, &raw const update, count) }
}

/// Replaces registered files and their tags: `io_uring_register_files_update_tag(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_files_update_tag(
    ring: *mut IoUring,
    offset: c_uint,
    files: *const c_int,
    tags: *const u64,
    count: c_uint,
) -> c_int {
    let update = RsrcUpdate2 {
        offset,
        data: address(files),
        tags: address(tags),
        nr: count,
        ..RsrcUpdate2::default()
    };
    let size = size_of::<RsrcUpdate2>() as c_uint;
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::FilesUpdate2, &raw const update, size) }
}

/// Lets registered files go: `io_uring_unregister_files(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unregister_files(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without(ring, RegisterOpcode::UnregisterFiles) }
}

/// Sets the slots the kernel may choose from: `io_uring_register_file_alloc_range(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_file_alloc_range(
    ring: *mut IoUring,
    first: c_uint,
    count: c_uint,
) -> c_int {
    let range = FileIndexRange { off: first, len: count, ..FileIndexRange::default() };
    // SAFETY: the ring is the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::FileAllocRange, &raw const range, 0) }
}
