//! Constructors of entries on files, directories and pipes.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. Flags and modes are the
//! numbers of the man page that is named. How long memory must live is said per argument in the words of
//! [`crate::sqe`]. Directories are always descriptors, because the kernel refuses slots there.

use core::ffi::{c_char, c_void};

use super::{NewSlot, Slot, Sqe, Target, address};
use crate::abi::{FixedFdFlags, FsyncFlags, Opcode, OpenHow};

/// In splice's and tee's flags: the source is a slot (`SPLICE_F_FD_IN_FIXED`).
const SPLICE_SOURCE_IS_SLOT: u32 = 1 << 31;

impl Sqe {
    /// Does nothing and completes with 0.
    #[inline]
    pub const fn nop() -> Self {
        let mut entry = Self::new(Opcode::Nop);
        entry.fd = -1;
        entry
    }

    /// `pread(2)`: up to `length` bytes into `buffer`, which must be writable until it completes. An offset of
    /// [`CURRENT_POSITION`](crate::abi::CURRENT_POSITION) reads from the file's own.
    #[inline]
    pub fn read(target: impl Into<Target>, buffer: *mut u8, length: u32, offset: u64) -> Self {
        Self { off: offset, addr: address(buffer), len: length, ..Self::on(Opcode::Read, target) }
    }

    /// `pwrite(2)`: up to `length` bytes of `buffer`, which must be readable and unchanged until it completes.
    #[inline]
    pub fn write(target: impl Into<Target>, buffer: *const u8, length: u32, offset: u64) -> Self {
        Self { off: offset, addr: address(buffer), len: length, ..Self::on(Opcode::Write, target) }
    }

    /// `preadv2(2)`: `vectors` points to `count` `struct iovec`, needed until it is submitted, and their buffers
    /// until it completes. `flags` are `RWF_*`.
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
    #[inline]
    pub fn fsync(target: impl Into<Target>, flags: FsyncFlags) -> Self {
        Self { op_flags: flags.bits(), ..Self::on(Opcode::Fsync, target) }
    }

    /// `sync_file_range(2)`; a length of 0 is to the end. `flags` are `SYNC_FILE_RANGE_*`.
    #[inline]
    pub fn sync_file_range(target: impl Into<Target>, offset: u64, length: u32, flags: u32) -> Self {
        Self { off: offset, len: length, op_flags: flags, ..Self::on(Opcode::SyncFileRange, target) }
    }

    /// `fallocate(2)`; `mode` is `FALLOC_FL_*`.
    #[inline]
    pub fn fallocate(target: impl Into<Target>, mode: u32, offset: u64, length: u64) -> Self {
        Self { off: offset, addr: length, len: mode, ..Self::on(Opcode::Fallocate, target) }
    }

    /// `ftruncate(2)` (6.9).
    #[inline]
    pub fn ftruncate(target: impl Into<Target>, length: u64) -> Self {
        Self { off: length, ..Self::on(Opcode::Ftruncate, target) }
    }

    /// `posix_fadvise(2)`; a length of 0 is to the end. `advice` is `POSIX_FADV_*`.
    #[inline]
    pub fn fadvise(target: impl Into<Target>, offset: u64, length: u32, advice: u32) -> Self {
        Self { off: offset, len: length, op_flags: advice, ..Self::on(Opcode::Fadvise, target) }
    }

    /// `openat(2)`: completes with a descriptor. The path is needed until it is submitted.
    #[inline]
    pub fn openat(directory: i32, path: *const c_char, flags: u32, mode: u32) -> Self {
        Self { fd: directory, addr: address(path), len: mode, op_flags: flags, ..Self::new(Opcode::Openat) }
    }

    /// `openat(2)` into a slot; completes with 0, or the slot if the kernel chose it. `flags` must not contain
    /// `O_CLOEXEC`, which slots do not have (EINVAL).
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
    #[inline]
    pub const fn close(fd: i32) -> Self {
        let mut entry = Self::new(Opcode::Close);
        entry.fd = fd;
        entry
    }

    /// Empties a slot; EBADF if it is empty.
    #[inline]
    pub const fn close_direct(slot: Slot) -> Self {
        let mut entry = Self::new(Opcode::Close);
        entry.file_index = NewSlot::At(slot).file_index();
        entry
    }

    /// `statx(2)`: writes a `struct statx` (256 bytes) to `result`, which must be writable until it completes;
    /// the path is needed until it is submitted. `mask` is `STATX_*`.
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
    #[inline]
    pub fn mkdirat(directory: i32, path: *const c_char, mode: u32) -> Self {
        Self { fd: directory, addr: address(path), len: mode, ..Self::new(Opcode::Mkdirat) }
    }

    /// `unlinkat(2)`: the path is needed until it is submitted. `flags` may be `AT_REMOVEDIR`.
    #[inline]
    pub fn unlinkat(directory: i32, path: *const c_char, flags: u32) -> Self {
        Self { fd: directory, addr: address(path), op_flags: flags, ..Self::new(Opcode::Unlinkat) }
    }

    /// `renameat2(2)`: both paths are needed until it is submitted. `flags` are `RENAME_*`.
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
    #[inline]
    pub fn symlinkat(contents: *const c_char, directory: i32, path: *const c_char) -> Self {
        Self { fd: directory, addr: address(contents), off: address(path), ..Self::new(Opcode::Symlinkat) }
    }

    /// `splice(2)`: moves up to `length` bytes; one side is a pipe, whose offset must be `None`. `None` for a
    /// file is its own position. `flags` are `SPLICE_F_*`. Always runs on a worker of the kernel.
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
    #[inline]
    pub fn tee(source: impl Into<Target>, sink: impl Into<Target>, length: u32, flags: u32) -> Self {
        Self { len: length, ..Self::on(Opcode::Tee, sink).source(source, flags) }
    }

    /// Sets the source of a splice or tee.
    #[inline]
    fn source(mut self, source: impl Into<Target>, flags: u32) -> Self {
        (self.file_index, self.op_flags) = match source.into() {
            Target::Fd(fd) => (fd as u32, flags & !SPLICE_SOURCE_IS_SLOT),
            Target::Slot(Slot(slot)) => (slot, flags | SPLICE_SOURCE_IS_SLOT),
        };
        self
    }

    /// `pipe2(2)` (6.16): writes two descriptors to `ends`, the reading end first. `ends` must be writable until
    /// it completes. `flags` are `O_*`.
    #[inline]
    pub fn pipe(ends: *mut [i32; 2], flags: u32) -> Self {
        Self { addr: address(ends), op_flags: flags, ..Self::new(Opcode::Pipe) }
    }

    /// A pipe whose ends go into `slot` and the one after it (6.16). With [`NewSlot::Allocate`] the kernel
    /// chooses both and writes their numbers to `ends`, which must be writable until it completes in either case.
    #[inline]
    pub fn pipe_direct(ends: *mut [i32; 2], flags: u32, slot: impl Into<NewSlot>) -> Self {
        Self::pipe(ends, flags).into_slot(slot)
    }

    /// Makes a descriptor from a slot (6.8); completes with it.
    #[inline]
    pub fn fixed_fd_install(slot: Slot, flags: FixedFdFlags) -> Self {
        Self { op_flags: flags.bits(), ..Self::on(Opcode::FixedFdInstall, slot) }
    }

    /// Replaces `count` slots from `offset` on by the descriptors at `files` (-1 empties, -2 keeps); completes
    /// with how many were done. `files` is read when the entry runs, so it is needed until it completes. With
    /// an offset of [`FILE_INDEX_ALLOC`](crate::abi::FILE_INDEX_ALLOC) the kernel chooses slots and writes their
    /// numbers to `files`.
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
