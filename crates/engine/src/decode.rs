//! Decoding: from an entry's numbers to a checked [`Operation`].
//!
//! Every rule about arguments that does not need an operating system is applied here, once, so that all backends
//! refuse the same input with the same error. Nothing is started and nothing reserved.

use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AllocateFlags, AtFlags, CURRENT_POSITION, FutexFlags, LinkFlags, LockMode,
    MAX_ADDRESS, MAX_DEVICE_MAJOR, MAX_DEVICE_MINOR, MAX_OPTION, MAX_PIECES, MAX_TRANSFER, MAX_XATTR_VALUE,
    MESSAGE_RECORD, MessageFlags, NodeKind, OWNER_OMIT, OpenFlags, PollEvents, RECV_GROUP, RemoveFlags,
    RenameFlags, STAT_RECORD, STATFS_RECORD, ShutdownHow, StatFlags, SyncMode, TIME_NOW, TIME_OMIT,
    TIMES_RECORD, TransferFlags, Whence, XattrFlags,
};
use ouzel_ring::{EntryFlags, Errno, Verb};

use crate::descriptors::{Descriptors, Look};
use crate::regions::{Regions, Scratch};
use crate::slab::NONE;
use crate::{Buffers, Directory, Operation, Path, Position, Process, Span, Times};

/// What decoding looks things up in, and the indices it found.
pub(crate) struct Context<'a> {
    descriptors: &'a Descriptors,
    regions: &'a Regions,
    look: Look,
    uses: [u32; 2],
}

impl<'a> Context<'a> {
    #[inline]
    pub(crate) fn new(descriptors: &'a Descriptors, regions: &'a Regions, look: Look) -> Context<'a> {
        Context { descriptors, regions, look, uses: [NONE; 2] }
    }

    /// The indices that the operation names (not those it opens), [`NONE`] where there are fewer than two.
    #[inline]
    pub(crate) fn uses(&self) -> [u32; 2] {
        self.uses
    }

    #[inline]
    fn file(&mut self, number: u64) -> Result<u32, Errno> {
        let index = self.descriptors.look_up(number, self.look)?;
        self.uses = [index, self.uses[0]];
        Ok(index)
    }

    #[inline]
    fn directory(&mut self, number: u64) -> Result<Directory, Errno> {
        if number == 0 { Ok(None) } else { self.file(number).map(Some) }
    }
}

/// Makes `operation` what `verb` with these (loaded) arguments asks for; on an error it is left as it is.
///
/// Indices that the operation will open are left as [`NONE`]; the caller reserves them. The verbs that are asked for most
/// are looked at here, where the caller has them inlined, the others in a function of their own.
#[inline(always)]
pub(crate) fn decode(
    verb: Verb,
    flags: EntryFlags,
    arguments: &[u64; 5],
    context: &mut Context<'_>,
    scratch: &mut Scratch,
    operation: &mut Operation,
) -> Result<(), Errno> {
    let &[subject, payload, magnitude, modifier, auxiliary] = arguments;
    let regions = context.regions;
    match verb {
        _ if flags.contains(EntryFlags::MULTISHOT) => {
            let picks = verb == Verb::Recv && modifier == RECV_GROUP;
            if !picks && !matches!(verb, Verb::Poll | Verb::Accept) {
                return Err(Errno::EINVAL);
            }
            *operation = decode_other(verb, flags, arguments, context, scratch)?;
        }
        Verb::Read | Verb::Write => {
            let file = context.file(subject)?;
            let position = position(modifier)?;
            let buffers = buffers(payload, magnitude, auxiliary, regions, scratch)?;
            *operation = if verb == Verb::Read {
                Operation::Read { file, buffers, position }
            } else {
                Operation::Write { file, buffers, position }
            };
        }
        Verb::Open => {
            let flags = open_flags(modifier)?;
            let directory = context.directory(subject)?;
            let path = regions.path(payload, magnitude, scratch)?;
            *operation = Operation::Open { directory, path, flags, mode: mode(auxiliary)?, into: NONE };
        }
        Verb::Close => *operation = Operation::Close { file: context.file(subject)? },
        Verb::Send | Verb::Recv if verb == Verb::Send || modifier != RECV_GROUP => {
            let socket = context.file(subject)?;
            let flags = MessageFlags::from_bits(modifier).ok_or(Errno::EINVAL)?;
            let refused = if verb == Verb::Send {
                MessageFlags::PEEK.union(MessageFlags::WAIT_ALL)
            } else {
                MessageFlags::MORE
            };
            if flags.intersects(refused) {
                return Err(Errno::EINVAL);
            }
            let buffer = shorten(regions.span(payload, magnitude)?);
            *operation = if verb == Verb::Send {
                Operation::Send { socket, buffer, flags }
            } else {
                Operation::Recv { socket, buffer, flags }
            };
        }
        _ => *operation = decode_other(verb, flags, arguments, context, scratch)?,
    }
    Ok(())
}

/// The same for the other verbs.
#[inline(never)]
fn decode_other(
    verb: Verb,
    flags: EntryFlags,
    arguments: &[u64; 5],
    context: &mut Context<'_>,
    scratch: &mut Scratch,
) -> Result<Operation, Errno> {
    let &[subject, payload, magnitude, modifier, auxiliary] = arguments;
    let regions = context.regions;
    let multishot = flags.contains(EntryFlags::MULTISHOT);
    Ok(match verb {
        Verb::Poll => Operation::Poll {
            file: context.file(subject)?,
            events: PollEvents::from_bits(payload).ok_or(Errno::EINVAL)?,
            multishot,
        },
        Verb::Seek => Operation::Seek {
            file: context.file(subject)?,
            offset: modifier as i64,
            whence: Whence::from_number(auxiliary).ok_or(Errno::EINVAL)?,
        },
        Verb::Stat => Operation::Stat {
            directory: context.directory(subject)?,
            path: path_if_any(payload, magnitude, regions, scratch)?,
            record: regions.span(modifier, STAT_RECORD)?,
            flags: StatFlags::from_bits(auxiliary).ok_or(Errno::EINVAL)?,
        },
        Verb::Sync => {
            let mode = SyncMode::from_number(auxiliary).ok_or(Errno::EINVAL)?;
            let file = context.file(subject)?;
            // The other modes do not look at the range.
            let (offset, length) = if mode == SyncMode::Range { (modifier, magnitude) } else { (0, 0) };
            range(offset, length)?;
            Operation::Sync { file, mode, offset, length }
        }
        Verb::Truncate => {
            range(0, magnitude)?;
            Operation::Truncate { file: context.file(subject)?, length: magnitude }
        }
        Verb::Allocate => {
            let flags = AllocateFlags::from_bits(auxiliary).ok_or(Errno::EINVAL)?;
            if flags == AllocateFlags::PUNCH_HOLE
                || magnitude == 0
                || magnitude.max(modifier) > i64::MAX as u64
            {
                return Err(Errno::EINVAL);
            }
            if modifier.checked_add(magnitude).is_none_or(|end| end > i64::MAX as u64) {
                return Err(Errno::EFBIG);
            }
            Operation::Allocate { file: context.file(subject)?, offset: modifier, length: magnitude, flags }
        }
        Verb::Mkdir => Operation::Mkdir {
            directory: context.directory(subject)?,
            path: regions.path(payload, magnitude, scratch)?,
            mode: mode(auxiliary)?,
        },
        Verb::Remove => Operation::Remove {
            directory: context.directory(subject)?,
            path: regions.path(payload, magnitude, scratch)?,
            flags: RemoveFlags::from_bits(modifier).ok_or(Errno::EINVAL)?,
        },
        Verb::Rename => {
            let flags = RenameFlags::from_bits(modifier).ok_or(Errno::EINVAL)?;
            if flags == RenameFlags::all() {
                return Err(Errno::EINVAL);
            }
            let (from, to) = (context.directory(subject)?, context.directory(auxiliary)?);
            let [old, new] = regions.two_paths(payload, magnitude, scratch)?;
            Operation::Rename { from, old, to, new, flags }
        }
        Verb::Link => {
            let flags = LinkFlags::from_bits(modifier).ok_or(Errno::EINVAL)?;
            let (from, to) = (context.directory(subject)?, context.directory(auxiliary)?);
            let [old, new] = regions.two_paths(payload, magnitude, scratch)?;
            Operation::Link { from, old, to, new, flags }
        }
        Verb::Symlink => {
            let directory = context.directory(auxiliary)?;
            let [target, path] = regions.two_paths(payload, magnitude, scratch)?;
            Operation::Symlink { target, directory, path }
        }
        Verb::Readdir => {
            let file = context.file(subject)?;
            let buffer = regions.span(payload, magnitude)?;
            Operation::Readdir { file, buffer: shorten(buffer) }
        }
        Verb::Copy => Operation::Copy {
            source: context.file(subject)?,
            from: position(modifier)?,
            target: context.file(auxiliary)?,
            to: position(payload)?,
            length: magnitude.min(MAX_TRANSFER),
        },
        Verb::Pipe => match flags.saved_into() {
            // The second end goes into the next register, so there must be one.
            Some(register) if register + 1 < ouzel_ring::REGISTERS => Operation::Pipe { into: [NONE; 2] },
            _ => return Err(Errno::EINVAL),
        },
        Verb::Socket => Operation::Socket {
            domain: number(subject)?,
            // The bits that `socket(2)` takes beside the type (close-on-exec, non-blocking) are not the caller's.
            kind: socket_kind(payload)?,
            protocol: number(magnitude)?,
            into: NONE,
        },
        Verb::Bind | Verb::Connect => {
            let socket = context.file(subject)?;
            if magnitude > MAX_ADDRESS {
                return Err(Errno::EINVAL);
            }
            let address = regions.span(payload, magnitude)?;
            if verb == Verb::Bind {
                Operation::Bind { socket, address }
            } else {
                Operation::Connect { socket, address }
            }
        }
        Verb::Listen => Operation::Listen {
            socket: context.file(subject)?,
            backlog: magnitude.min(i32::MAX as u64) as u32,
        },
        Verb::Accept => {
            let socket = context.file(subject)?;
            // No address is longer, so no more of the buffer is needed; a multishot reports none.
            let address = if magnitude == 0 || multishot {
                None
            } else {
                let buffer = regions.span(payload, magnitude)?;
                Some(crate::Span { length: buffer.length.min(MAX_ADDRESS as usize), ..buffer })
            };
            Operation::Accept { socket, address, into: NONE, multishot }
        }
        Verb::Recv => {
            // Without a completion nobody would know of the buffer; and whether one is picked is no matter of a value.
            if flags.contains(EntryFlags::SILENT) || flags.loaded_from(3).is_some() {
                return Err(Errno::EINVAL);
            }
            let socket = context.file(subject)?;
            Operation::RecvPicked { socket, group: regions.groups.look_up(auxiliary)?, multishot }
        }
        Verb::Shutdown => Operation::Shutdown {
            socket: context.file(subject)?,
            how: ShutdownHow::from_number(modifier).ok_or(Errno::EINVAL)?,
        },
        Verb::Readlink => Operation::Readlink {
            directory: context.directory(subject)?,
            path: path_if_any(payload, magnitude, regions, scratch)?,
            buffer: regions.span(modifier, auxiliary)?,
        },
        Verb::Chmod => Operation::Chmod {
            directory: context.directory(subject)?,
            path: path_if_any(payload, magnitude, regions, scratch)?,
            mode: mode(auxiliary)?,
        },
        Verb::Chown => {
            let owner = |number: u32| (number != OWNER_OMIT).then_some(number);
            Operation::Chown {
                directory: context.directory(subject)?,
                path: path_if_any(payload, magnitude, regions, scratch)?,
                user: owner(auxiliary as u32),
                group: owner((auxiliary >> 32) as u32),
                flags: AtFlags::from_bits(modifier).ok_or(Errno::EINVAL)?,
            }
        }
        Verb::Utimes => {
            let flags = AtFlags::from_bits(auxiliary).ok_or(Errno::EINVAL)?;
            Operation::Utimes {
                directory: context.directory(subject)?,
                path: path_if_any(payload, magnitude, regions, scratch)?,
                times: times(&regions.record(modifier)?)?,
                follow: !flags.contains(AtFlags::NOFOLLOW),
            }
        }
        Verb::Mknod => {
            let kind = NodeKind::from_number(modifier & !0o7777).ok_or(Errno::EINVAL)?;
            let is_device = matches!(kind, NodeKind::Character | NodeKind::Block);
            let (major, minor) = (auxiliary >> 32, auxiliary & u64::from(u32::MAX));
            if is_device && (major > MAX_DEVICE_MAJOR || minor > MAX_DEVICE_MINOR) {
                return Err(Errno::EINVAL);
            }
            Operation::Mknod {
                directory: context.directory(subject)?,
                path: regions.path(payload, magnitude, scratch)?,
                kind,
                mode: (modifier & 0o7777) as u32,
                device: if is_device { auxiliary } else { 0 },
            }
        }
        Verb::Statfs => Operation::Statfs {
            directory: context.directory(subject)?,
            path: path_if_any(payload, magnitude, regions, scratch)?,
            record: regions.span(modifier, STATFS_RECORD)?,
        },
        Verb::Access => Operation::Access {
            directory: context.directory(subject)?,
            path: path_if_any(payload, magnitude, regions, scratch)?,
            access: AccessFlags::from_bits(modifier).ok_or(Errno::EINVAL)?,
            options: AccessOptions::from_bits(auxiliary).ok_or(Errno::EINVAL)?,
        },
        Verb::GetXattr => {
            let (flags, length) = xattr_flags(auxiliary, XattrFlags::NOFOLLOW)?;
            Operation::GetXattr {
                directory: context.directory(subject)?,
                attribute: regions.attribute(payload, magnitude, scratch)?,
                value: no_longer_than_a_value(regions.span(modifier, length)?),
                flags,
            }
        }
        Verb::SetXattr => {
            let (flags, length) = xattr_flags(auxiliary, XattrFlags::all())?;
            if flags.contains(XattrFlags::CREATE | XattrFlags::REPLACE) {
                return Err(Errno::EINVAL);
            }
            let (directory, value) = (context.directory(subject)?, regions.span(modifier, length)?);
            if length > MAX_XATTR_VALUE {
                return Err(Errno::E2BIG);
            }
            let attribute = regions.attribute(payload, magnitude, scratch)?;
            Operation::SetXattr { directory, attribute, value, flags }
        }
        Verb::ListXattr => {
            let (flags, length) = xattr_flags(auxiliary, XattrFlags::NOFOLLOW)?;
            Operation::ListXattr {
                directory: context.directory(subject)?,
                path: path_if_any(payload, magnitude, regions, scratch)?,
                buffer: no_longer_than_a_value(regions.span(modifier, length)?),
                flags,
            }
        }
        Verb::RemoveXattr => {
            let (flags, length) = xattr_flags(auxiliary, XattrFlags::NOFOLLOW)?;
            if length != 0 {
                return Err(Errno::EINVAL);
            }
            Operation::RemoveXattr {
                directory: context.directory(subject)?,
                attribute: regions.attribute(payload, magnitude, scratch)?,
                flags,
            }
        }
        Verb::Lock => {
            let mode = LockMode::from_number(auxiliary).ok_or(Errno::EINVAL)?;
            range(modifier, magnitude)?;
            Operation::Lock { file: context.file(subject)?, offset: modifier, length: magnitude, mode }
        }
        Verb::GetSockopt | Verb::SetSockopt => {
            let socket = context.file(subject)?;
            let (level, name) = (number(modifier)?, number(auxiliary)?);
            if magnitude > MAX_OPTION {
                return Err(Errno::EINVAL);
            }
            let value = regions.span(payload, magnitude)?;
            if verb == Verb::GetSockopt {
                Operation::GetSockopt { socket, level, name, value }
            } else {
                Operation::SetSockopt { socket, level, name, value }
            }
        }
        Verb::Sockname | Verb::Peername => {
            let socket = context.file(subject)?;
            let buffer = regions.span(payload, magnitude)?;
            // No address is longer, so no more of the buffer is needed.
            let address = crate::Span { length: buffer.length.min(MAX_ADDRESS as usize), ..buffer };
            if verb == Verb::Sockname {
                Operation::Sockname { socket, address }
            } else {
                Operation::Peername { socket, address }
            }
        }
        Verb::SendMsg | Verb::RecvMsg => {
            let socket = context.file(subject)?;
            let flags = MessageFlags::from_bits(modifier).ok_or(Errno::EINVAL)?;
            let allowed = if verb == Verb::SendMsg { MessageFlags::MORE } else { MessageFlags::PEEK };
            if !allowed.union(MessageFlags::OUT_OF_BAND).contains(flags) || magnitude != MESSAGE_RECORD {
                return Err(Errno::EINVAL);
            }
            let mut message = regions.message(payload, scratch)?;
            if verb == Verb::RecvMsg {
                // No address is longer, so no more of the buffer is needed.
                message.address.length = message.address.length.min(MAX_ADDRESS as usize);
                // What the submitter has written there is no handle.
                scratch.files().fill(0);
                return Ok(Operation::RecvMsg { socket, message, flags });
            }
            if message.address.length as u64 > MAX_ADDRESS {
                return Err(Errno::EINVAL);
            }
            // The backend takes hold of what is behind the indices when it starts, so the operation need not name them.
            for file in scratch.files() {
                *file = u64::from(context.descriptors.look_up(*file, context.look)?);
            }
            Operation::SendMsg { socket, message, flags }
        }
        Verb::Splice => Operation::Splice {
            source: context.file(subject)?,
            from: position(modifier)?,
            target: context.file(auxiliary)?,
            to: position(payload)?,
            length: magnitude.min(MAX_TRANSFER),
        },
        Verb::Wait if subject == 0 => match number(magnitude)? {
            0 => return Err(Errno::EINVAL),
            number => Operation::Wait { process: Process::Number(number) },
        },
        Verb::Wait => Operation::Wait { process: Process::Descriptor(context.file(subject)?) },
        Verb::Wake => {
            // The count of a bell ends one below the largest number.
            if magnitude == 0 || magnitude == u64::MAX {
                return Err(Errno::EINVAL);
            }
            Operation::Wake { bell: context.file(subject)?, amount: magnitude }
        }
        Verb::Futex => {
            let flags = FutexFlags::from_bits(modifier).ok_or(Errno::EINVAL)?;
            let shared = flags.contains(FutexFlags::SHARED);
            let word = regions.span(payload, size_of::<u32>() as u64)?;
            if !(word.pointer as usize).is_multiple_of(size_of::<u32>()) {
                return Err(Errno::EINVAL);
            }
            if flags.contains(FutexFlags::WAKE) {
                Operation::FutexWake { word, count: magnitude.min(i32::MAX as u64) as u32, shared }
            } else {
                let expected = u32::try_from(auxiliary).map_err(|_| Errno::EINVAL)?;
                Operation::FutexWait { word, expected, shared }
            }
        }
        // Neither the engine's own verbs nor those that `decode` looks at itself come here.
        _ => return Err(Errno::ENOSYS),
    })
}

#[inline]
pub(crate) fn position(offset: u64) -> Result<Position, Errno> {
    match offset {
        CURRENT_POSITION => Ok(None),
        offset if offset > i64::MAX as u64 => Err(Errno::EINVAL),
        offset => Ok(Some(offset)),
    }
}

pub(crate) fn range(offset: u64, length: u64) -> Result<(), Errno> {
    match offset.checked_add(length) {
        Some(end) if end <= i64::MAX as u64 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

#[inline(always)]
fn buffers(
    payload: u64,
    magnitude: u64,
    flags: u64,
    regions: &Regions,
    scratch: &mut Scratch,
) -> Result<Buffers, Errno> {
    let flags = TransferFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if !flags.contains(TransferFlags::VECTORED) {
        return regions.span(payload, magnitude).map(|span| Buffers::One(shorten(span)));
    }
    if magnitude > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let (spans, count) = regions.pieces(payload, magnitude, scratch)?;
    Ok(Buffers::Many { spans, count })
}

#[inline]
fn shorten(span: crate::Span) -> crate::Span {
    crate::Span { length: span.length.min(MAX_TRANSFER as usize), ..span }
}

/// The path of a verb that also works on its subject itself, which it does if the length is 0.
fn path_if_any(
    payload: u64,
    length: u64,
    regions: &Regions,
    scratch: &mut Scratch,
) -> Result<Option<Path>, Errno> {
    if length == 0 { Ok(None) } else { regions.path(payload, length, scratch).map(Some) }
}

/// The flags and the length that argument 4 of the verbs on extended attributes holds.
pub(crate) fn xattr_flags(argument: u64, allowed: XattrFlags) -> Result<(XattrFlags, u64), Errno> {
    let length = argument & u64::from(u32::MAX);
    match XattrFlags::from_bits(argument - length) {
        Some(flags) if allowed.contains(flags) => Ok((flags, length)),
        _ => Err(Errno::EINVAL),
    }
}

/// No value and no list of names is longer, so no more of the buffer is needed.
fn no_longer_than_a_value(buffer: Span) -> Span {
    Span { length: buffer.length.min(MAX_XATTR_VALUE as usize), ..buffer }
}

fn times(record: &[u8; TIMES_RECORD as usize]) -> Result<Times, Errno> {
    let mut times = Times { seconds: [0; 2], nanoseconds: [0; 2] };
    for (number, time) in record.as_chunks::<16>().0.iter().enumerate() {
        let (halves, _) = time.as_chunks::<8>();
        let nanoseconds = u64::from_ne_bytes(halves[1]);
        if nanoseconds >= 1_000_000_000 && nanoseconds != TIME_NOW && nanoseconds != TIME_OMIT {
            return Err(Errno::EINVAL);
        }
        times.seconds[number] = i64::from_ne_bytes(halves[0]);
        times.nanoseconds[number] = nanoseconds as u32;
    }
    Ok(times)
}

#[inline]
pub(crate) fn open_flags(bits: u64) -> Result<OpenFlags, Errno> {
    let flags = OpenFlags::from_bits(bits).ok_or(Errno::EINVAL)?;
    if flags.contains(OpenFlags::PATH) {
        // As for `O_PATH`: what would do something to the file counts for nothing.
        let heeded = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::BENEATH;
        return Ok(flags & heeded);
    }
    let accesses = OpenFlags::READ | OpenFlags::WRITE;
    let needs_write =
        flags.intersects(OpenFlags::APPEND | OpenFlags::TRUNCATE) && !flags.contains(OpenFlags::WRITE);
    let needs_create = flags.contains(OpenFlags::EXCLUSIVE) && !flags.contains(OpenFlags::CREATE);
    let makes_a_directory = flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY);
    if !flags.intersects(accesses) || needs_write || needs_create || makes_a_directory {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

#[inline]
pub(crate) fn mode(bits: u64) -> Result<u32, Errno> {
    if bits <= 0o7777 { Ok(bits as u32) } else { Err(Errno::EINVAL) }
}

pub(crate) fn number(argument: u64) -> Result<i32, Errno> {
    i32::try_from(argument).map_err(|_| Errno::EINVAL)
}

pub(crate) fn socket_kind(argument: u64) -> Result<i32, Errno> {
    number(argument).and_then(|kind| if kind & !0xf == 0 { Ok(kind) } else { Err(Errno::EINVAL) })
}
