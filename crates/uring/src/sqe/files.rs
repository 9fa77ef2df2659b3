//! Constructors of entries on files, directories and pipes.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. Flags and modes are the
//! numbers of the man page that is named. How long memory must live is said per argument in the words of
//! [`crate::sqe`]. Directories are always descriptors, because the kernel refuses slots there.

use core::ffi::{c_char, c_void};

use super::{NewSlot, Slot, Sqe, Target, address};
use crate::abi::{FixedFdFlags, FsyncFlags, NopFlags, Opcode, OpenHow, SPLICE_SOURCE_FIXED};

impl Sqe {
    /// Does nothing and completes with 0.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_NOP. *Since:* 5.1. *Fails:* Never, but for
    /// [`nop_flags`](Self::nop_flags).
    #[inline]
    pub const fn nop() -> Self {
        let mut entry = Self::new(Opcode::Nop);
        entry.fd = -1;
        entry
    }

    /// With these flags; for nop (6.10). With [`NopFlags::INJECT_RESULT`] it completes with `result`.
    #[inline]
    #[must_use]
    pub const fn nop_flags(mut self, flags: NopFlags, result: i32) -> Self {
        self.op_flags = flags.bits();
        self.len = result.cast_unsigned();
        self
    }

    /// `pread(2)`: up to `length` bytes into `buffer`, which must be writable until it completes. An offset of
    /// [`CURRENT_POSITION`](crate::abi::CURRENT_POSITION) reads from the file's own.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_READ. *Since:* 5.6. *Fails:* EBADF, EFAULT, EINVAL, EIO,
    /// EISDIR as `pread(2)`; EAGAIN with `RWF_NOWAIT`; ESPIPE for an offset into a pipe.
    #[inline]
    pub fn read(target: impl Into<Target>, buffer: *mut u8, length: u32, offset: u64) -> Self {
        Self { off: offset, addr: address(buffer), len: length, ..Self::on(Opcode::Read, target) }
    }

    /// `pwrite(2)`: up to `length` bytes of `buffer`, which must be readable and unchanged until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_WRITE. *Since:* 5.6. *Fails:* EBADF, EFAULT, EFBIG, EIO,
    /// ENOSPC, EPIPE as `pwrite(2)`; EAGAIN with `RWF_NOWAIT`.
    #[inline]
    pub fn write(target: impl Into<Target>, buffer: *const u8, length: u32, offset: u64) -> Self {
        Self { off: offset, addr: address(buffer), len: length, ..Self::on(Opcode::Write, target) }
    }

    /// `preadv2(2)`: `vectors` points to `count` `struct iovec`, needed until it is submitted, and their buffers
    /// until it completes. `flags` are `RWF_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_READV. *Since:* 5.1. *Fails:* As [`read`](Self::read); EINVAL
    /// for more than 1024 vectors.
    #[inline]
    pub fn readv(
        target: impl Into<Target>,
        vectors: *const c_void,
        count: u32,
        offset: u64,
        flags: u32,
    ) -> Self {
        Self {
            off: offset,
            addr: address(vectors),
            len: count,
            op_flags: flags,
            ..Self::on(Opcode::Readv, target)
        }
    }

    /// `pwritev2(2)`: as [`readv`](Self::readv), the buffers being read.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_WRITEV. *Since:* 5.1. *Fails:* As [`write`](Self::write);
    /// EINVAL for more than 1024 vectors.
    #[inline]
    pub fn writev(
        target: impl Into<Target>,
        vectors: *const c_void,
        count: u32,
        offset: u64,
        flags: u32,
    ) -> Self {
        Self { opcode: Opcode::Writev as u8, ..Self::readv(target, vectors, count, offset, flags) }
    }

    /// With these `RWF_*` flags; for read and write.
    #[inline]
    #[must_use]
    pub const fn rw_flags(mut self, flags: u32) -> Self {
        self.op_flags = flags;
        self
    }

    /// `fsync(2)`, or `fdatasync(2)` with [`FsyncFlags::DATASYNC`].
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FSYNC. *Since:* 5.1. *Fails:* EBADF, EIO, ENOSPC, EINVAL for
    /// what cannot be synced, as `fsync(2)`.
    #[inline]
    pub fn fsync(target: impl Into<Target>, flags: FsyncFlags) -> Self {
        Self { op_flags: flags.bits(), ..Self::on(Opcode::Fsync, target) }
    }

    /// `sync_file_range(2)`; a length of 0 is to the end. `flags` are `SYNC_FILE_RANGE_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SYNC_FILE_RANGE. *Since:* 5.2. *Fails:* EBADF, EIO, ENOSPC,
    /// ESPIPE, EINVAL for a wrong range, as `sync_file_range(2)`.
    #[inline]
    pub fn sync_file_range(target: impl Into<Target>, offset: u64, length: u32, flags: u32) -> Self {
        Self { off: offset, len: length, op_flags: flags, ..Self::on(Opcode::SyncFileRange, target) }
    }

    /// `fallocate(2)`; `mode` is `FALLOC_FL_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FALLOCATE. *Since:* 5.6. *Fails:* EBADF, EFBIG, ENOSPC,
    /// EOPNOTSUPP of the file system, as `fallocate(2)`.
    #[inline]
    pub fn fallocate(target: impl Into<Target>, mode: u32, offset: u64, length: u64) -> Self {
        Self { off: offset, addr: length, len: mode, ..Self::on(Opcode::Fallocate, target) }
    }

    /// `ftruncate(2)` (6.9).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FTRUNCATE. *Since:* 6.9. *Fails:* EBADF, EFBIG, EINVAL for
    /// what is not a file open for writing, as `ftruncate(2)`.
    #[inline]
    pub fn ftruncate(target: impl Into<Target>, length: u64) -> Self {
        Self { off: length, ..Self::on(Opcode::Ftruncate, target) }
    }

    /// `posix_fadvise(2)`; a length of 0 is to the end. `advice` is `POSIX_FADV_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FADVISE. *Since:* 5.6. *Fails:* EBADF, ESPIPE, EINVAL for
    /// unknown advice, as `posix_fadvise(2)`.
    #[inline]
    pub fn fadvise(target: impl Into<Target>, offset: u64, length: u32, advice: u32) -> Self {
        Self { off: offset, len: length, op_flags: advice, ..Self::on(Opcode::Fadvise, target) }
    }

    /// `madvise(2)` on memory of this process, which must be the pusher's to give such advice on until it completes.
    /// `advice` is `MADV_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_MADVISE. *Since:* 5.6. *Fails:* EINVAL, ENOMEM, EAGAIN and more as
    /// `madvise(2)`. Always runs on a worker.
    #[inline]
    pub fn madvise(start: *mut c_void, length: u32, advice: u32) -> Self {
        Self { fd: -1, addr: address(start), len: length, op_flags: advice, ..Self::new(Opcode::Madvise) }
    }

    /// `openat(2)`: completes with a descriptor. The path is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_OPENAT. *Since:* 5.6. *Fails:* As `openat(2)`: ENOENT,
    /// EACCES, EEXIST, ELOOP, EMFILE and more; EBADF with a slot for a directory; EAGAIN with
    /// `RESOLVE_CACHED` if it would wait.
    #[inline]
    pub fn openat(directory: i32, path: *const c_char, flags: u32, mode: u32) -> Self {
        Self { fd: directory, addr: address(path), len: mode, op_flags: flags, ..Self::new(Opcode::Openat) }
    }

    /// `openat(2)` into a slot; completes with 0, or the slot if the kernel chose it. `flags` must not contain
    /// `O_CLOEXEC`, which slots do not have (EINVAL).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_OPENAT. *Since:* 5.15. *Fails:* As [`openat`](Self::openat);
    /// ENXIO without a table, EINVAL for a slot outside it, ENFILE if none is free.
    #[inline]
    pub fn openat_direct(
        directory: i32,
        path: *const c_char,
        flags: u32,
        mode: u32,
        slot: impl Into<NewSlot>,
    ) -> Self {
        Self::openat(directory, path, flags, mode).into_slot(slot)
    }

    /// `openat2(2)`: the path and `how` are needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_OPENAT2. *Since:* 5.6. *Fails:* As [`openat`](Self::openat);
    /// E2BIG for an unknown `how`, EXDEV or ELOOP for what its resolve flags forbid.
    #[inline]
    pub fn openat2(directory: i32, path: *const c_char, how: *const OpenHow) -> Self {
        Self {
            fd: directory,
            addr: address(path),
            len: size_of::<OpenHow>() as u32,
            off: address(how),
            ..Self::new(Opcode::Openat2)
        }
    }

    /// `close(2)`. The descriptor must be the pusher's to close.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_CLOSE. *Since:* 5.6. *Fails:* EBADF if it is not open, or is
    /// the ring itself; else as `close(2)`, and it is closed in any case.
    #[inline]
    pub const fn close(fd: i32) -> Self {
        let mut entry = Self::new(Opcode::Close);
        entry.fd = fd;
        entry
    }

    /// Empties a slot; EBADF if it is empty.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_CLOSE. *Since:* 5.15. *Fails:* ENXIO without a table, EINVAL
    /// for a slot outside it, EBADF if it is empty.
    #[inline]
    pub const fn close_direct(slot: Slot) -> Self {
        let mut entry = Self::new(Opcode::Close);
        entry.file_index = NewSlot::At(slot).file_index();
        entry
    }

    /// `statx(2)`: writes a `struct statx` (256 bytes) to `result`, which must be writable until it completes;
    /// the path is needed until it is submitted. `mask` is `STATX_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_STATX. *Since:* 5.6. *Fails:* As `statx(2)`: ENOENT, EACCES,
    /// ENOTDIR and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn statx(directory: i32, path: *const c_char, flags: u32, mask: u32, result: *mut c_void) -> Self {
        Self {
            fd: directory,
            addr: address(path),
            len: mask,
            off: address(result),
            op_flags: flags,
            ..Self::new(Opcode::Statx)
        }
    }

    /// `mkdirat(2)`: the path is needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_MKDIRAT. *Since:* 5.15. *Fails:* As `mkdirat(2)`: EEXIST,
    /// ENOENT, ENOSPC and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn mkdirat(directory: i32, path: *const c_char, mode: u32) -> Self {
        Self { fd: directory, addr: address(path), len: mode, ..Self::new(Opcode::Mkdirat) }
    }

    /// `unlinkat(2)`: the path is needed until it is submitted. `flags` may be `AT_REMOVEDIR`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_UNLINKAT. *Since:* 5.11. *Fails:* As `unlinkat(2)`: ENOENT,
    /// EISDIR, ENOTEMPTY and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn unlinkat(directory: i32, path: *const c_char, flags: u32) -> Self {
        Self { fd: directory, addr: address(path), op_flags: flags, ..Self::new(Opcode::Unlinkat) }
    }

    /// `renameat2(2)`: both paths are needed until it is submitted. `flags` are `RENAME_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_RENAMEAT. *Since:* 5.11. *Fails:* As `renameat2(2)`: ENOENT,
    /// EEXIST, EXDEV, ENOTEMPTY and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn renameat(
        old_directory: i32,
        old_path: *const c_char,
        new_directory: i32,
        new_path: *const c_char,
        flags: u32,
    ) -> Self {
        Self {
            fd: old_directory,
            addr: address(old_path),
            len: new_directory as u32,
            off: address(new_path),
            op_flags: flags,
            ..Self::new(Opcode::Renameat)
        }
    }

    /// `linkat(2)`: both paths are needed until it is submitted. `flags` are `AT_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_LINKAT. *Since:* 5.15. *Fails:* As `linkat(2)`: EEXIST,
    /// EXDEV, EMLINK and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn linkat(
        old_directory: i32,
        old_path: *const c_char,
        new_directory: i32,
        new_path: *const c_char,
        flags: u32,
    ) -> Self {
        Self {
            opcode: Opcode::Linkat as u8,
            ..Self::renameat(old_directory, old_path, new_directory, new_path, flags)
        }
    }

    /// `symlinkat(2)`: makes `path` point to `contents`; both are needed until it is submitted.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SYMLINKAT. *Since:* 5.15. *Fails:* As `symlinkat(2)`: EEXIST,
    /// ENOENT, ENOSPC and more; EBADF with a slot. Always runs on a worker.
    #[inline]
    pub fn symlinkat(contents: *const c_char, directory: i32, path: *const c_char) -> Self {
        Self { fd: directory, addr: address(contents), off: address(path), ..Self::new(Opcode::Symlinkat) }
    }

    /// `splice(2)`: moves up to `length` bytes; one side is a pipe, whose offset must be `None`. `None` for a
    /// file is its own position. `flags` are `SPLICE_F_*`. Always runs on a worker of the kernel.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_SPLICE. *Since:* 5.7. *Fails:* As `splice(2)`: EINVAL if
    /// neither side is a pipe, ESPIPE for an offset into one, EBADF, EAGAIN.
    #[inline]
    pub fn splice(
        source: impl Into<Target>,
        source_offset: Option<u64>,
        sink: impl Into<Target>,
        sink_offset: Option<u64>,
        length: u32,
        flags: u32,
    ) -> Self {
        Self {
            addr: source_offset.unwrap_or(u64::MAX),
            off: sink_offset.unwrap_or(u64::MAX),
            len: length,
            ..Self::on(Opcode::Splice, sink).source(source, flags)
        }
    }

    /// `tee(2)`: copies up to `length` bytes from pipe to pipe without taking them.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_TEE. *Since:* 5.8. *Fails:* As `tee(2)`: EINVAL if a side is
    /// no pipe or both are the same, EBADF, EAGAIN.
    #[inline]
    pub fn tee(source: impl Into<Target>, sink: impl Into<Target>, length: u32, flags: u32) -> Self {
        Self { len: length, ..Self::on(Opcode::Tee, sink).source(source, flags) }
    }

    /// Sets the source of a splice or tee.
    #[inline]
    fn source(mut self, source: impl Into<Target>, flags: u32) -> Self {
        (self.file_index, self.op_flags) = match source.into() {
            Target::Fd(fd) => (fd as u32, flags & !SPLICE_SOURCE_FIXED),
            Target::Slot(Slot(slot)) => (slot, flags | SPLICE_SOURCE_FIXED),
        };
        self
    }

    /// `pipe2(2)` (6.16): writes two descriptors to `ends`, the reading end first. `ends` must be writable until
    /// it completes. `flags` are `O_*`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_PIPE. *Since:* 6.16. *Fails:* As `pipe2(2)`: EMFILE, ENFILE,
    /// EFAULT, EINVAL for unknown flags.
    #[inline]
    pub fn pipe(ends: *mut [i32; 2], flags: u32) -> Self {
        Self { addr: address(ends), op_flags: flags, ..Self::new(Opcode::Pipe) }
    }

    /// A pipe whose ends go into `slot` and the one after it (6.16). With [`NewSlot::Allocate`] the kernel
    /// chooses both and writes their numbers to `ends`, which must be writable until it completes in either case.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_PIPE. *Since:* 6.16. *Fails:* As [`pipe`](Self::pipe); ENXIO
    /// without a table, EINVAL for a slot outside it, ENFILE if none is free.
    #[inline]
    pub fn pipe_direct(ends: *mut [i32; 2], flags: u32, slot: impl Into<NewSlot>) -> Self {
        Self::pipe(ends, flags).into_slot(slot)
    }

    /// Makes a descriptor from a slot (6.8); completes with it.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FIXED_FD_INSTALL. *Since:* 6.8. *Fails:* EBADF if the slot is
    /// empty, EMFILE, EPERM with other credentials.
    #[inline]
    pub fn fixed_fd_install(slot: Slot, flags: FixedFdFlags) -> Self {
        Self { op_flags: flags.bits(), ..Self::on(Opcode::FixedFdInstall, slot) }
    }

    /// Replaces `count` slots from `offset` on by the descriptors at `files` (-1 empties, -2 keeps); completes
    /// with how many were done. `files` is read when the entry runs, so it is needed until it completes. With
    /// an offset of [`FILE_INDEX_ALLOC`](crate::abi::FILE_INDEX_ALLOC) the kernel chooses slots and writes their
    /// numbers to `files`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_FILES_UPDATE. *Since:* 5.6. *Fails:* ENXIO without a table,
    /// EINVAL for slots outside it, EBADF for a descriptor that is not open or is a ring, EFAULT; ENFILE if
    /// none is free.
    #[inline]
    pub fn files_update(files: *mut i32, count: u32, offset: u32) -> Self {
        Self {
            fd: -1,
            addr: address(files),
            len: count,
            off: offset as u64,
            ..Self::new(Opcode::FilesUpdate)
        }
    }
}
