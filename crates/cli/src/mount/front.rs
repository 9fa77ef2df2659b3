//! The front: the kernel's calls, as `fuser` brings them, each handed to the bridge and answered.
//!
//! Several threads call here at once. Nothing is decided here but what a flag of the kernel's means.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags as KernelFlags, RenameFlags as KernelRename, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use ouzel::FileStat;
use ouzel::abi::Errno;
use ouzel::abi::modifiers::{AllocateFlags, OpenFlags, RemoveFlags, RenameFlags, SyncMode, XattrFlags};
use rustix::fs::{FallocateFlags, OFlags, XattrFlags as SystemXattr};

use super::attributes::{Change, attributes};
use super::bridge::{Bridge, Caller, Entry};
use super::contents::Writing;
use super::extended::Answer;
use super::held::{Held, Holder};

/// How long the kernel may believe a name or an attribute without asking again. Other clients of the service change them without
/// telling anybody.
const BELIEVED: Duration = Duration::ZERO;

/// The most bytes of one read or write. The service sees them in one piece of memory.
pub const TRANSFER: u32 = 1 << 20;

/// Reads and write-backs that nobody waits for, at once.
const BACKGROUND: u16 = 64;

/// What answers the kernel.
pub struct Front {
    bridge: Arc<Bridge>,
    holder: Holder,
}

impl Front {
    /// Answers with this bridge.
    pub fn new(bridge: Arc<Bridge>) -> Front {
        let holder = Holder::new(Arc::clone(&bridge));
        Front { bridge, holder }
    }
}

/// An error number as `fuser` has it. A verb that the service does not have is an operation that the file system does not
/// support; the kernel would never ask for it again if it were told ENOSYS.
pub fn told(error: Errno) -> fuser::Errno {
    match error {
        Errno::ENOSYS => fuser::Errno::EOPNOTSUPP,
        error => fuser::Errno::from_i32(error.raw()),
    }
}

fn caller(request: &Request) -> Caller {
    Caller { user: request.uid(), group: request.gid() }
}

/// How a file is opened. What makes or empties it is asked for by other calls, and what goes past the page cache goes past that
/// of this side: where the service puts its memory is its own business.
fn flags_of(flags: OFlags) -> OpenFlags {
    let mut own = match flags & OFlags::ACCMODE {
        OFlags::WRONLY => OpenFlags::WRITE,
        OFlags::RDWR => OpenFlags::READ | OpenFlags::WRITE,
        _ => OpenFlags::READ,
    };
    if flags.contains(OFlags::APPEND) && own.contains(OpenFlags::WRITE) {
        own |= OpenFlags::APPEND;
    }
    own
}

fn system_flags(flags: i32) -> OFlags {
    OFlags::from_bits_retain(flags as u32)
}

/// O_DSYNC of `open(2)`, which is one of the bits of O_SYNC; `rustix` has the same number for both.
const DATA_SYNC: OFlags = OFlags::from_bits_retain(0o10000);

/// What has to be durable when a write returns.
fn durability(flags: OFlags) -> Option<SyncMode> {
    if flags.contains(OFlags::SYNC) {
        Some(SyncMode::Full)
    } else {
        flags.contains(DATA_SYNC).then_some(SyncMode::Data)
    }
}

fn sync_mode(data_only: bool) -> SyncMode {
    if data_only { SyncMode::Data } else { SyncMode::Full }
}

/// Whether the kernel may keep bytes of a file. It drops them when the time or size of the file is another one; of a file
/// without a time it would not learn that somebody else has written to it.
fn caching(modified: SystemTime) -> FopenFlags {
    if modified == SystemTime::UNIX_EPOCH { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
}

fn reply_entry(reply: ReplyEntry, outcome: Result<Entry, Errno>) {
    let told_of = outcome.and_then(|entry| Ok((attributes(entry.node, &entry.stat)?, entry.generation)));
    match told_of {
        Ok((attributes, generation)) => reply.entry(&BELIEVED, &attributes, Generation(generation)),
        Err(error) => reply.error(told(error)),
    }
}

fn reply_attributes(reply: ReplyAttr, node: INodeNo, outcome: Result<FileStat, Errno>) {
    match outcome.and_then(|stat| attributes(node.0, &stat)) {
        Ok(attributes) => reply.attr(&BELIEVED, &attributes),
        Err(error) => reply.error(told(error)),
    }
}

fn reply_done(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(told(error)),
    }
}

fn reply_answer(reply: ReplyXattr, outcome: Result<Answer, Errno>) {
    match outcome {
        Ok(Answer::Length(length)) => reply.size(length),
        Ok(Answer::Bytes(bytes)) => reply.data(&bytes),
        Err(error) => reply.error(told(error)),
    }
}

impl Filesystem for Front {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Cached bytes of a file that others have changed are dropped, and what is not cached can be mapped all the same;
        // looking up and listing need not take turns.
        let wanted = InitFlags::FUSE_AUTO_INVAL_DATA
            | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_ASYNC_DIO;
        let _ = config.add_capabilities(wanted & config.capabilities());
        // Both are within the bounds that there are.
        let _ = config.set_max_write(TRANSFER);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply_entry(reply, self.bridge.look_up(parent.0, name));
    }

    fn forget(&self, _: &Request, node: INodeNo, times: u64) {
        self.bridge.forget(node.0, times);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(reply, node, self.bridge.describe(node.0));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        file: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, user, group, size, accessed, modified };
        reply_attributes(reply, node, self.bridge.change(node.0, &change, file.map(|file| file.0)));
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        match self.bridge.read_link(node.0) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(told(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.bridge.make_node(caller(request), parent.0, name, mode, device));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        reply_entry(reply, self.bridge.make_directory(caller(request), parent.0, name, mode));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_done(reply, self.bridge.remove(parent.0, name, RemoveFlags::empty()));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_done(reply, self.bridge.remove(parent.0, name, RemoveFlags::DIRECTORY));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        reply_entry(reply, self.bridge.make_link_to(caller(request), parent.0, name, target));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: KernelRename,
        reply: ReplyEmpty,
    ) {
        let mut own = RenameFlags::empty();
        own.set(RenameFlags::NOREPLACE, flags.contains(KernelRename::RENAME_NOREPLACE));
        own.set(RenameFlags::EXCHANGE, flags.contains(KernelRename::RENAME_EXCHANGE));
        let known = KernelRename::RENAME_NOREPLACE | KernelRename::RENAME_EXCHANGE;
        reply_done(
            reply,
            match known.contains(flags) {
                true => self.bridge.rename((parent.0, name), (new_parent.0, new_name), own),
                false => Err(Errno::EINVAL),
            },
        );
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply_entry(reply, self.bridge.link(node.0, parent.0, name));
    }

    fn open(&self, _: &Request, node: INodeNo, flags: KernelFlags, reply: ReplyOpen) {
        match self.bridge.open_file(node.0, flags_of(system_flags(flags.0))) {
            Ok((file, stat)) => reply.opened(FileHandle(file), caching(stat.modified)),
            Err(error) => reply.error(told(error)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let flags = system_flags(flags);
        let how = (flags_of(flags), flags.contains(OFlags::EXCL));
        let made = self.bridge.create(caller(request), parent.0, name, mode, how);
        match made
            .and_then(|(entry, file)| Ok((attributes(entry.node, &entry.stat)?, entry.generation, file)))
        {
            Ok((attributes, generation, file)) => {
                let generation = Generation(generation);
                let caching = caching(attributes.mtime);
                reply.created(&BELIEVED, &attributes, generation, FileHandle(file), caching);
            }
            Err(error) => reply.error(told(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        size: u32,
        _: KernelFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.bridge.read(file.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        data: &[u8],
        how: WriteFlags,
        flags: KernelFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let is_write_back = how.contains(WriteFlags::FUSE_WRITE_CACHE);
        let sync = if is_write_back { None } else { durability(system_flags(flags.0)) };
        let missed = self.bridge.connections.missed();
        match self.bridge.write(file.0, offset, data, Writing { sync, is_write_back }) {
            Ok(count) => reply.written(count as u32),
            Err(Errno::EIO) if is_write_back && self.bridge.connections.missed() != missed => {
                let since = Instant::now();
                self.holder.hold(Held { file: file.0, offset, data: data.to_vec(), reply, since });
            }
            Err(error) => reply.error(told(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing is kept back.
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        _: KernelFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.bridge.close(file.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, file: FileHandle, data_only: bool, reply: ReplyEmpty) {
        reply_done(reply, self.bridge.sync(file.0, sync_mode(data_only)));
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: KernelFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.bridge.open_directory()), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, node: INodeNo, file: FileHandle, place: u64, mut reply: ReplyDirectory) {
        let listed = self.bridge.list(node.0, file.0, place, |next, entry| {
            reply.add(INodeNo(entry.inode), next, entry.kind, &entry.name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(told(error)),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, file: FileHandle, _: KernelFlags, reply: ReplyEmpty) {
        self.bridge.close_directory(file.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        reply_done(reply, self.bridge.sync_directory(node.0, sync_mode(data_only)));
    }

    fn statfs(&self, _: &Request, node: INodeNo, reply: ReplyStatfs) {
        match self.bridge.file_system(node.0) {
            Ok(stat) => reply.statfs(
                stat.blocks,
                stat.free,
                stat.available,
                stat.files,
                stat.free_files,
                u32::try_from(stat.transfer).unwrap_or(u32::MAX),
                stat.longest_name,
                u32::try_from(stat.block).unwrap_or(u32::MAX),
            ),
            // A service that has no such numbers: none, as the kernel's own file systems in memory say.
            Err(Errno::ENOSYS) => reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096),
            Err(error) => reply.error(told(error)),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let flags = SystemXattr::from_bits_retain(flags as u32);
        let mut own = XattrFlags::empty();
        own.set(XattrFlags::CREATE, flags.contains(SystemXattr::CREATE));
        own.set(XattrFlags::REPLACE, flags.contains(SystemXattr::REPLACE));
        reply_done(reply, self.bridge.set_attribute(node.0, name, value, own));
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply_answer(reply, self.bridge.attribute(node.0, name, size));
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        reply_answer(reply, self.bridge.attribute_names(node.0, size));
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_done(reply, self.bridge.remove_attribute(node.0, name));
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let flags = FallocateFlags::from_bits_retain(mode as u32);
        let known = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        if !known.contains(flags) {
            return reply.error(fuser::Errno::EOPNOTSUPP);
        }
        let mut own = AllocateFlags::empty();
        own.set(AllocateFlags::KEEP_SIZE, flags.contains(FallocateFlags::KEEP_SIZE));
        own.set(AllocateFlags::PUNCH_HOLE, flags.contains(FallocateFlags::PUNCH_HOLE));
        reply_done(reply, self.bridge.allocate(file.0, offset, length, own));
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        source: FileHandle,
        from: u64,
        _: INodeNo,
        target: FileHandle,
        to: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.bridge.copy((source.0, from), (target.0, to), length) {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(told(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_how_and_never_make_or_empty() {
        let all =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::TRUNC | OFlags::APPEND | OFlags::DIRECT;
        assert_eq!(flags_of(all), OpenFlags::READ | OpenFlags::WRITE | OpenFlags::APPEND);
        assert_eq!(flags_of(OFlags::WRONLY), OpenFlags::WRITE);
        assert_eq!(flags_of(OFlags::APPEND), OpenFlags::READ);
        assert_eq!(durability(OFlags::SYNC), Some(SyncMode::Full));
        assert_eq!(durability(DATA_SYNC), Some(SyncMode::Data));
        assert_eq!(durability(OFlags::RDWR), None);
    }

    #[test]
    fn bytes_without_a_time_are_not_kept() {
        assert_eq!(caching(SystemTime::UNIX_EPOCH), FopenFlags::FOPEN_DIRECT_IO);
        assert_eq!(caching(SystemTime::UNIX_EPOCH + Duration::from_nanos(1)), FopenFlags::empty());
    }

    #[test]
    fn errors_keep_their_numbers() {
        assert_eq!(told(Errno::ENOTEMPTY), fuser::Errno::ENOTEMPTY);
        assert_eq!(told(Errno::ENOSYS), fuser::Errno::EOPNOTSUPP);
        assert_eq!(told(Errno::OK), fuser::Errno::EIO);
    }
}
