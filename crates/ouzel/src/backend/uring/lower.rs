//! Lowering: from an operation to one entry of the kernel's ring.
//!
//! Also here: which operations go through the ring at all, and which may be linked behind which. A preparation error
//! anywhere in a run cancels all of it, so everything that can be known before is checked before. Nothing is pushed
//! and nothing entered.

use std::ffi::{c_char, c_void};

use ouzel_engine::{Buffers, Directory, Edge, Operation, Path, Position};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, OpenFlags, RemoveFlags, RenameFlags, StatFlags, SyncMode,
};
use ouzel_uring::abi::{AT_FDCWD, CURRENT_POSITION, FsyncFlags, FutexFlags, Opcode, PollFlags};
use ouzel_uring::{Slot, Sqe, Target};
use rustix::fs::OFlags;

use super::fixed::Fixed;
use super::handing;
use super::hows::Hows;
use super::lengths::Lengths;
use super::metadata::{self, Attributed};
use super::packets::{Effect, Lowered};
use super::setup::Features;
use super::table::{Habit, Kind, NONE, Record, Table};
use crate::backend::memory::is_empty;
use crate::backend::sync_range::THROUGH;

const SOCK_CLOEXEC: u32 = 0o2000000;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_DONTWAIT: u32 = 0x40;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_REMOVEDIR: u32 = 0x200;
const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;
const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;
/// All that `stat(2)` has, and the time of birth.
const STATX_BASIC_AND_BIRTH: u32 = 0xfff;

/// Every kind of waiter and of wake-up (`FUTEX_BITSET_MATCH_ANY`).
const ANY: u64 = u32::MAX as u64;

/// Who does an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// An entry of the ring.
    Ring,
    /// A plain call, at once: it never takes long.
    Call(&'static str),
    /// Plain calls that never take long, again and again while it has to wait for an event.
    Try(&'static str),
    /// A plain call by a helper thread.
    Helper(&'static str),
}

/// Who does `operation` on this kernel.
#[inline]
pub(super) fn route(operation: &Operation, features: &Features) -> Route {
    let helper = |opcode, reason| if features.has(opcode) { Route::Ring } else { Route::Helper(reason) };
    let call = |opcode, reason| if features.has(opcode) { Route::Ring } else { Route::Call(reason) };
    match operation {
        // The ring would call it a success on a directory.
        Operation::Read { buffers, .. } if is_empty(buffers) => {
            Route::Call("a READ of nothing is for the plain call to judge")
        }
        Operation::Read { .. }
        | Operation::Write { .. }
        | Operation::Open { .. }
        | Operation::Close { .. }
        | Operation::Poll { .. }
        | Operation::Accept { .. }
        | Operation::Connect { .. }
        | Operation::Send { .. }
        | Operation::Recv { .. }
        | Operation::RecvPicked { .. }
        | Operation::Stat { .. } => Route::Ring,
        Operation::Readdir { .. } => Route::Helper("READDIR is not an io_uring operation"),
        Operation::Copy { .. } => Route::Helper("COPY is not an io_uring operation"),
        Operation::Seek { .. } => Route::Call("SEEK is not an io_uring operation, and never waits"),
        Operation::Pipe { .. } => Route::Call("PIPE never waits, so one call is the shortest way"),
        Operation::Sync { mode: SyncMode::Range, .. } => {
            helper(Opcode::SyncFileRange, "this kernel's io_uring has no SYNC of a range")
        }
        Operation::Sync { .. } => helper(Opcode::Fsync, "this kernel's io_uring has no SYNC"),
        Operation::Truncate { .. } => {
            helper(Opcode::Ftruncate, "this kernel's io_uring has no TRUNCATE (Linux 6.9)")
        }
        Operation::Allocate { .. } => helper(Opcode::Fallocate, "this kernel's io_uring has no ALLOCATE"),
        Operation::Mkdir { .. } => {
            helper(Opcode::Mkdirat, "this kernel's io_uring has no MKDIR (Linux 5.15)")
        }
        Operation::Remove { .. } => {
            helper(Opcode::Unlinkat, "this kernel's io_uring has no REMOVE (Linux 5.11)")
        }
        Operation::Rename { .. } => {
            helper(Opcode::Renameat, "this kernel's io_uring has no RENAME (Linux 5.11)")
        }
        Operation::Link { old, .. } if old.is_empty() => {
            Route::Helper("LINK of what is open goes through /proc, where io_uring would need a privilege")
        }
        Operation::Link { .. } => helper(Opcode::Linkat, "this kernel's io_uring has no LINK (Linux 5.15)"),
        Operation::Symlink { .. } => {
            helper(Opcode::Symlinkat, "this kernel's io_uring has no SYMLINK (Linux 5.15)")
        }
        Operation::Socket { .. } => call(Opcode::Socket, "this kernel's io_uring has no SOCKET (Linux 5.19)"),
        Operation::Bind { .. } => call(Opcode::Bind, "this kernel's io_uring has no BIND (Linux 6.11)"),
        Operation::Listen { .. } => call(Opcode::Listen, "this kernel's io_uring has no LISTEN (Linux 6.11)"),
        Operation::Shutdown { .. } => {
            call(Opcode::Shutdown, "this kernel's io_uring has no SHUTDOWN (Linux 5.11)")
        }
        Operation::Readlink { .. }
        | Operation::Chmod { .. }
        | Operation::Chown { .. }
        | Operation::Utimes { .. }
        | Operation::Mknod { .. }
        | Operation::Statfs { .. }
        | Operation::Access { .. }
        | Operation::GetXattr { .. }
        | Operation::SetXattr { .. }
        | Operation::ListXattr { .. }
        | Operation::RemoveXattr { .. } => metadata::route(operation, features),
        // A file system that is elsewhere asks there.
        Operation::Lock { .. } => Route::Helper("LOCK is not an io_uring operation"),
        Operation::GetSockopt { .. } | Operation::SetSockopt { .. } => {
            Route::Try("a socket's options are read and set by a plain call, which never waits")
        }
        Operation::Sockname { .. } | Operation::Peername { .. } => {
            Route::Try("a socket's addresses are read by a plain call, which never waits")
        }
        Operation::Splice { .. } => Route::Helper("SPLICE would occupy a thread of the kernel's"),
        Operation::Wait { .. } => {
            Route::Try("the ring waits for the process, and a plain call takes its status")
        }
        Operation::FutexWait { .. } => {
            call(Opcode::FutexWait, "this kernel's io_uring has no FUTEX (Linux 6.7)")
        }
        Operation::FutexWake { .. } => {
            call(Opcode::FutexWake, "this kernel's io_uring has no FUTEX (Linux 6.7)")
        }
        Operation::SendMsg { .. } | Operation::RecvMsg { .. } => {
            Route::Try("the ring waits for the socket, and a plain call moves the message")
        }
        Operation::Wake { .. } => Route::Try("a bell is rung by a plain call, which never takes long"),
    }
}

/// Whether an operation can be lowered as it is: every kernel's ring has it, and no descriptor must be made before.
#[inline]
pub(super) fn goes_straight(operation: &Operation) -> bool {
    match operation {
        Operation::Read { buffers, .. } => !is_empty(buffers),
        Operation::Write { .. }
        | Operation::Open { directory: None, .. }
        | Operation::Close { .. }
        | Operation::Send { .. }
        | Operation::Recv { .. } => true,
        _ => false,
    }
}

/// The indices whose ordinary descriptor is needed, [`NONE`] where there are fewer than two: the directories, and
/// everything where a plain call does the work.
#[inline]
pub(super) fn wants_descriptors(operation: &Operation, route: Route) -> [u32; 2] {
    let names_directories = matches!(
        operation,
        Operation::Open { .. }
            | Operation::Stat { .. }
            | Operation::Mkdir { .. }
            | Operation::Remove { .. }
            | Operation::Symlink { .. }
            | Operation::Rename { .. }
            | Operation::Link { .. }
    );
    // The ring reaches all else by slots.
    if route == Route::Ring && !names_directories {
        return [NONE; 2];
    }
    operation.names().map(|index| index.unwrap_or(NONE))
}

/// Whether an OPEN with these flags changes nothing by itself.
#[inline]
pub(super) fn changes_nothing(flags: OpenFlags) -> bool {
    OpenFlags::READ
        .union(OpenFlags::WRITE)
        .union(OpenFlags::NOFOLLOW)
        .union(OpenFlags::DIRECTORY)
        .union(OpenFlags::PATH)
        .union(OpenFlags::BENEATH)
        .contains(flags)
}

/// What sort of thing an OPEN with these flags makes, as far as they tell.
#[inline]
pub(super) fn kind_by(flags: OpenFlags) -> Kind {
    let names = flags.intersects(OpenFlags::DIRECTORY.union(OpenFlags::PATH));
    if names { Kind::File } else { Kind::Unknown }
}

/// Whether an OPEN with these flags makes an ordinary descriptor: what names a directory must be one.
#[inline]
pub(super) fn opens_descriptor(flags: OpenFlags, features: &Features) -> bool {
    !features.slots || flags.intersects(OpenFlags::DIRECTORY.union(OpenFlags::PATH))
}

/// Whether `next` may be linked behind `previous`.
#[inline]
pub(super) fn follows(
    table: &Table,
    features: &Features,
    previous: &Operation,
    edge: Edge,
    next: &Operation,
) -> bool {
    // Behind what opens, the kernel must stop if it fails: on an empty slot there is nothing to do.
    if edge == Edge::Always && !previous.opens().is_empty() {
        return false;
    }
    // The kernel's ring does not break a link behind a TRUNCATE that fails.
    let breaks = edge == Edge::Always || !matches!(previous, Operation::Truncate { .. });
    (breaks && fits(table, features, previous) && fits(table, features, next))
        || handing::follows(previous, next)
}

/// Whether an operation can be a member of a run: everything it names is known before the run starts.
#[inline(always)]
fn fits(table: &Table, features: &Features, operation: &Operation) -> bool {
    // An index with nothing behind it is one that an earlier member of the run opens, into a slot.
    let is_known = |record: &Record| if record.is_empty() { features.slots } else { !record.closing };
    let known = |index: u32| table.get(index).is_some_and(is_known);
    match *operation {
        Operation::Open { directory, flags, .. } => {
            !opens_descriptor(flags, features)
                && directory.is_none_or(|index| {
                    table.get(index).is_some_and(|record| record.descriptor.is_some() && !record.closing)
                })
        }
        Operation::Socket { .. } => features.slots && features.has(Opcode::Socket),
        Operation::Accept { socket, multishot, .. } => features.slots && !multishot && known(socket),
        Operation::Read { ref buffers, .. } if is_empty(buffers) => false,
        Operation::Read { file, position, .. } | Operation::Write { file, position, .. } => {
            let takes_position = |record: &Record| position.is_none() || record.kind != Kind::Stream;
            table.get(file).is_some_and(|record| is_known(record) && takes_position(record))
        }
        // The number of an ordinary descriptor must outlive those that name it, so its close goes alone.
        Operation::Close { file } => {
            let is_slot = |record: &Record| record.is_empty() || record.slot != NONE;
            table.get(file).is_some_and(|record| is_known(record) && is_slot(record))
        }
        Operation::Sync { file, .. } | Operation::Truncate { file, .. } => {
            known(file) && route(operation, features) == Route::Ring
        }
        Operation::Bind { socket, .. }
        | Operation::Listen { socket, .. }
        | Operation::Shutdown { socket, .. } => known(socket) && route(operation, features) == Route::Ring,
        Operation::Connect { socket, .. }
        | Operation::Send { socket, .. }
        | Operation::Recv { socket, .. } => known(socket),
        _ => false,
    }
}

/// What lowering looks at, and what it fills in: not returned, because these are the places where it is needed.
pub(super) struct Lowering<'a> {
    pub(super) table: &'a mut Table,
    pub(super) features: &'a Features,
    pub(super) lengths: &'a mut Lengths,
    pub(super) hows: &'a mut Hows,
    pub(super) fixed: &'a mut Fixed,
    /// The packet's slot.
    pub(super) packet: u32,
    pub(super) may_wait: bool,
    /// A STAT follows of what is opened: it needs an ordinary descriptor.
    pub(super) described: bool,
    /// Where the entry goes.
    pub(super) entry: &'a mut Sqe,
    /// Where the rest goes.
    pub(super) lowered: &'a mut Lowered,
}

impl Lowering<'_> {
    #[inline(always)]
    fn record(&self, index: u32) -> Result<&Record, Errno> {
        match self.table.get(index) {
            Some(record) if !record.closing => Ok(record),
            _ => Err(Errno::EBADF),
        }
    }

    /// What an entry works on: the slot if there is one.
    #[inline(always)]
    fn target(&mut self, index: u32) -> Result<Target, Errno> {
        self.target_and_kind(index).map(|(target, _)| target)
    }

    #[inline(always)]
    fn target_and_kind(&mut self, index: u32) -> Result<(Target, Kind), Errno> {
        let record = self.record(index)?;
        let (slot, kind) = (record.slot, record.kind);
        if slot != NONE {
            return Ok((Target::Slot(Slot(slot)), kind));
        }
        let number = record.number().ok_or(Errno::EBADF)?;
        self.lowered.pins[0] = index;
        Ok((Target::Fd(number), kind))
    }

    /// The number of a directory, which is the pin of this place.
    #[inline(always)]
    fn directory(&mut self, index: Directory, pin: usize) -> Result<i32, Errno> {
        let Some(index) = index else { return Ok(AT_FDCWD) };
        self.lowered.pins[pin] = index;
        self.record(index)?.number().ok_or(Errno::EBADF)
    }

    /// The target of a transfer at `position`.
    #[inline(always)]
    fn seekable(&mut self, index: u32, position: Position) -> Result<(Target, u64), Errno> {
        let (target, kind) = self.target_and_kind(index)?;
        match position {
            None => Ok((target, CURRENT_POSITION)),
            // The kernel's ring ignores the offset there.
            Some(_) if kind == Kind::Stream => Err(Errno::ESPIPE),
            Some(offset) => Ok((target, offset)),
        }
    }

    /// Makes the entry of `operation`, whose route is the ring, and notes in the table what it will open.
    #[inline(always)]
    pub(super) fn lower(mut self, operation: &Operation) -> Result<(), Errno> {
        *self.lowered = Lowered::NOTHING;
        match *operation {
            Operation::Read { file, buffers, position } => {
                let (target, offset) = self.seekable(file, position)?;
                match buffers {
                    Buffers::One(span) => {
                        *self.entry = Sqe::read(target, span.pointer, span.length as u32, offset);
                    }
                    Buffers::Many { spans, count } => {
                        *self.entry = Sqe::readv(target, spans.cast::<c_void>(), count as u32, offset, 0);
                    }
                }
                let opcodes = [Opcode::ReadFixed, Opcode::ReadvFixed];
                name_region(self.fixed, self.features, self.entry, &buffers, opcodes);
            }
            Operation::Write { file, buffers, position } => {
                let (target, offset) = self.seekable(file, position)?;
                if self.table.get(file).is_some_and(|record| record.kind == Kind::Stream) {
                    // What is sent by a call must not overtake it.
                    self.lowered.pins[0] = file;
                }
                match buffers {
                    Buffers::One(span) => {
                        *self.entry = Sqe::write(target, span.pointer, span.length as u32, offset);
                    }
                    Buffers::Many { spans, count } => {
                        *self.entry = Sqe::writev(target, spans.cast::<c_void>(), count as u32, offset, 0);
                    }
                }
                let opcodes = [Opcode::WriteFixed, Opcode::WritevFixed];
                name_region(self.fixed, self.features, self.entry, &buffers, opcodes);
            }
            Operation::Open { directory, path, flags, mode, into } => {
                let number = self.directory(directory, 0)?;
                let bits = open_bits(flags);
                if self.described || opens_descriptor(flags, self.features) {
                    let habit =
                        if self.described && changes_nothing(flags) && !flags.contains(OpenFlags::WRITE) {
                            Habit::New
                        } else {
                            Habit::Ring
                        };
                    self.lowered.effect = Effect::Opens(into, kind_by(flags), habit);
                    let bits = bits | OFlags::CLOEXEC.bits();
                    *self.entry = self.open(number, path, flags, bits, mode);
                } else {
                    self.lowered.effect = Effect::Fills(into);
                    self.table.put_opened(into, into, None, Kind::Unknown);
                    *self.entry = self.open(number, path, flags, bits, mode).into_slot(Slot(into));
                }
            }
            Operation::Close { file } => {
                self.lowered.effect = Effect::Closes(file);
                *self.entry = self.close(file)?;
            }
            Operation::Send { socket, buffer, flags } => {
                let target = self.target(socket)?;
                // A call must not overtake it.
                self.lowered.pins[0] = socket;
                self.table.count_send(socket);
                let bits = flags.bits() as u32 | MSG_NOSIGNAL | self.at_once();
                *self.entry = Sqe::send(target, buffer.pointer, buffer.length as u32, bits);
            }
            Operation::Recv { socket, buffer, flags } => {
                let target = self.target(socket)?;
                let bits = flags.bits() as u32 | self.at_once();
                *self.entry = Sqe::recv(target, buffer.pointer, buffer.length as u32, bits);
            }
            _ => return self.lower_rare(operation),
        }
        Ok(())
    }

    #[inline(always)]
    fn open(&mut self, directory: i32, path: Path, flags: OpenFlags, bits: u32, mode: u32) -> Sqe {
        if flags.contains(OpenFlags::BENEATH) {
            Sqe::openat2(directory, text(path), self.hows.beneath(self.packet, bits, mode))
        } else {
            Sqe::openat(directory, text(path), bits, mode)
        }
    }

    /// The same for the operations that are not done a million times a second.
    #[inline(never)]
    fn lower_rare(mut self, operation: &Operation) -> Result<(), Errno> {
        *self.entry = match *operation {
            Operation::Poll { file, events, multishot } => {
                let flags = if multishot { PollFlags::ADD_MULTI } else { PollFlags::empty() };
                self.lowered.effect = if multishot { Effect::Many } else { Effect::Nothing };
                Sqe::poll_add(self.target(file)?, events.bits() as u32, flags)
            }
            Operation::Stat { directory, path, record, flags } => {
                let number = self.directory(directory, 0)?;
                let (path, mut bits) = match path {
                    Some(path) => (text(path), 0),
                    None => (c"".as_ptr(), AT_EMPTY_PATH),
                };
                if flags.contains(StatFlags::NOFOLLOW) {
                    bits |= AT_SYMLINK_NOFOLLOW;
                }
                Sqe::statx(number, path, bits, STATX_BASIC_AND_BIRTH, record.pointer.cast::<c_void>())
            }
            Operation::Sync { file, mode, offset, length } => {
                let target = self.target(file)?;
                match mode {
                    SyncMode::Full => Sqe::fsync(target, FsyncFlags::empty()),
                    SyncMode::Data => Sqe::fsync(target, FsyncFlags::DATASYNC),
                    // Lengths that the entry has no room for become "to the end", which syncs more than asked.
                    SyncMode::Range => {
                        Sqe::sync_file_range(target, offset, u32::try_from(length).unwrap_or(0), THROUGH)
                    }
                }
            }
            Operation::Truncate { file, length } => Sqe::ftruncate(self.target(file)?, length),
            Operation::Allocate { file, offset, length, flags } => {
                let mut mode = 0;
                if flags.contains(AllocateFlags::KEEP_SIZE) {
                    mode |= FALLOC_FL_KEEP_SIZE;
                }
                if flags.contains(AllocateFlags::PUNCH_HOLE) {
                    mode |= FALLOC_FL_PUNCH_HOLE;
                }
                Sqe::fallocate(self.target(file)?, mode, offset, length)
            }
            Operation::Mkdir { directory, path, mode } => {
                Sqe::mkdirat(self.directory(directory, 0)?, text(path), mode)
            }
            Operation::Remove { directory, path, flags } => {
                let bits = if flags.contains(RemoveFlags::DIRECTORY) { AT_REMOVEDIR } else { 0 };
                Sqe::unlinkat(self.directory(directory, 0)?, text(path), bits)
            }
            Operation::Rename { from, old, to, new, flags } => {
                let mut bits = 0;
                if flags.contains(RenameFlags::NOREPLACE) {
                    bits |= RENAME_NOREPLACE;
                }
                if flags.contains(RenameFlags::EXCHANGE) {
                    bits |= RENAME_EXCHANGE;
                }
                let from = self.directory(from, 0)?;
                Sqe::renameat(from, text(old), self.directory(to, 1)?, text(new), bits)
            }
            Operation::Link { from, old, to, new, flags } => {
                let bits = if flags.contains(LinkFlags::FOLLOW) { AT_SYMLINK_FOLLOW } else { 0 };
                let from = self.directory(from, 0)?;
                Sqe::linkat(from, text(old), self.directory(to, 1)?, text(new), bits)
            }
            Operation::Symlink { target, directory, path } => {
                Sqe::symlinkat(text(target), self.directory(directory, 0)?, text(path))
            }
            Operation::Socket { domain, kind, protocol, into } => {
                let (domain, kind, protocol) = (domain as u32, kind as u32, protocol as u32);
                if self.features.slots {
                    self.lowered.effect = Effect::Fills(into);
                    self.table.put(into, into, None, Kind::Stream);
                    Sqe::socket_direct(domain, kind, protocol, Slot(into))
                } else {
                    self.lowered.effect = Effect::Makes(into);
                    Sqe::socket(domain, kind | SOCK_CLOEXEC, protocol)
                }
            }
            Operation::Bind { socket, address } => {
                let target = self.target(socket)?;
                Sqe::bind(target, address.pointer.cast::<c_void>(), address.length as u32)
            }
            Operation::Listen { socket, backlog } => Sqe::listen(self.target(socket)?, backlog),
            Operation::Accept { socket, multishot: true, .. } => {
                self.lowered.effect = Effect::Connections;
                let target = self.target(socket)?;
                if self.features.slots {
                    Sqe::accept_multishot_direct(target, 0)
                } else {
                    Sqe::accept_multishot(target, SOCK_CLOEXEC)
                }
            }
            Operation::Accept { socket, address, into, .. } => {
                self.lowered.effect = Effect::Accepts { index: into, addressed: address.is_some() };
                let target = self.target(socket)?;
                let (address, length) = match address {
                    Some(span) => {
                        (span.pointer.cast::<c_void>(), self.lengths.set(self.packet, span.length as u32))
                    }
                    None => (std::ptr::null_mut(), std::ptr::null_mut()),
                };
                if self.features.slots {
                    self.table.put(into, into, None, Kind::Stream);
                    Sqe::accept_direct(target, address, length, 0, Slot(into))
                } else {
                    Sqe::accept(target, address, length, SOCK_CLOEXEC)
                }
            }
            Operation::RecvPicked { socket, group, multishot } => {
                let target = self.target(socket)?;
                let bits = self.at_once();
                if multishot {
                    self.lowered.effect = Effect::PicksMany(group);
                    Sqe::recv_multishot(target, 0, bits, group)
                } else {
                    self.lowered.effect = Effect::Picks(group);
                    Sqe::recv(target, std::ptr::null_mut(), 0, bits).buffer_group(group)
                }
            }
            Operation::Connect { socket, address } => {
                let target = self.target(socket)?;
                Sqe::connect(target, address.pointer.cast::<c_void>(), address.length as u32)
            }
            Operation::FutexWait { word, expected, shared } => {
                self.lowered.effect = Effect::Compares;
                Sqe::futex_wait(word.pointer.cast::<u32>(), u64::from(expected), ANY, futex_flags(shared))
            }
            Operation::FutexWake { word, count, shared } => {
                Sqe::futex_wake(word.pointer.cast::<u32>(), u64::from(count), ANY, futex_flags(shared))
            }
            Operation::Shutdown { socket, how } => Sqe::shutdown(self.target(socket)?, how as u64 as u32),
            Operation::GetXattr { directory, attribute, value, flags } => {
                match metadata::attributed(directory, attribute.path(), flags) {
                    Attributed::Path(path) => metadata::get(path, attribute, value),
                    Attributed::File(file) => metadata::get_of(self.target(file)?, attribute, value),
                    Attributed::Other => return Err(Errno::ENOSYS),
                }
            }
            Operation::SetXattr { directory, attribute, value, flags } => {
                match metadata::attributed(directory, attribute.path(), flags) {
                    Attributed::Path(path) => metadata::set(path, attribute, value, flags),
                    Attributed::File(file) => metadata::set_of(self.target(file)?, attribute, value, flags),
                    Attributed::Other => return Err(Errno::ENOSYS),
                }
            }
            Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::Open { .. }
            | Operation::Close { .. }
            | Operation::Send { .. }
            | Operation::Recv { .. }
            | Operation::Seek { .. }
            | Operation::Readdir { .. }
            | Operation::Copy { .. }
            | Operation::Pipe { .. }
            | Operation::Readlink { .. }
            | Operation::Chmod { .. }
            | Operation::Chown { .. }
            | Operation::Utimes { .. }
            | Operation::Mknod { .. }
            | Operation::Statfs { .. }
            | Operation::Access { .. }
            | Operation::ListXattr { .. }
            | Operation::RemoveXattr { .. }
            | Operation::SendMsg { .. }
            | Operation::RecvMsg { .. }
            | Operation::Lock { .. }
            | Operation::GetSockopt { .. }
            | Operation::SetSockopt { .. }
            | Operation::Sockname { .. }
            | Operation::Peername { .. }
            | Operation::Splice { .. }
            | Operation::Wait { .. }
            | Operation::Wake { .. } => {
                return Err(Errno::ENOSYS);
            }
        };
        Ok(())
    }

    /// The close of a slot (a descriptor beside it is closed when that is reported), or of a descriptor.
    #[inline(always)]
    fn close(&self, index: u32) -> Result<Sqe, Errno> {
        let record = self.record(index)?;
        if record.slot != NONE {
            return Ok(Sqe::close_direct(Slot(record.slot)));
        }
        record.number().map(Sqe::close).ok_or(Errno::EBADF)
    }

    #[inline(always)]
    fn at_once(&self) -> u32 {
        if self.may_wait { 0 } else { MSG_DONTWAIT }
    }
}

/// Makes the entry of a transfer, which was made just now, one of registered memory, if it is: with the first of these for
/// a buffer, the second for pieces.
#[inline(always)]
fn name_region(
    fixed: &mut Fixed,
    features: &Features,
    entry: &mut Sqe,
    buffers: &Buffers,
    opcodes: [Opcode; 2],
) {
    if !fixed.is_empty() {
        find_region(fixed, features, entry, buffers, opcodes);
    }
}

#[inline(never)]
fn find_region(
    fixed: &mut Fixed,
    features: &Features,
    entry: &mut Sqe,
    buffers: &Buffers,
    [one, many]: [Opcode; 2],
) {
    let (number, opcode) = match buffers {
        Buffers::One(span) => (fixed.number_of(span), one),
        Buffers::Many { .. } if features.has(many) => (fixed.number_of_all(buffers), many),
        Buffers::Many { .. } => return,
    };
    if let Some(number) = number {
        entry.opcode = opcode as u8;
        entry.buf_index = number;
    }
}

fn futex_flags(shared: bool) -> FutexFlags {
    if shared { FutexFlags::SIZE_U32 } else { FutexFlags::SIZE_U32.union(FutexFlags::PRIVATE) }
}

pub(super) fn text(path: Path) -> *const c_char {
    path.pointer.cast::<c_char>()
}

/// The flags of `open(2)`.
///
/// With O_NONBLOCK the open of a FIFO never waits for a peer. It does not make the object non-blocking for its user:
/// where a file can be polled, the kernel's ring waits for it whatever this flag says.
pub(super) fn open_bits(flags: OpenFlags) -> u32 {
    let mut bits = OFlags::NOCTTY;
    bits |= match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    // Most ask for nothing else.
    if !flags.difference(OpenFlags::READ.union(OpenFlags::WRITE)).is_empty() {
        for (flag, bit) in [
            (OpenFlags::APPEND, OFlags::APPEND),
            (OpenFlags::CREATE, OFlags::CREATE),
            (OpenFlags::EXCLUSIVE, OFlags::EXCL),
            (OpenFlags::TRUNCATE, OFlags::TRUNC),
            (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
            (OpenFlags::NOFOLLOW, OFlags::NOFOLLOW),
            (OpenFlags::PATH, OFlags::PATH),
            (OpenFlags::DIRECT, OFlags::DIRECT),
        ] {
            if flags.contains(flag) {
                bits |= bit;
            }
        }
    }
    if !flags.contains(OpenFlags::PATH) {
        bits |= OFlags::NONBLOCK;
    }
    bits.bits()
}
