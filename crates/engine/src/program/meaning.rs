//! Meaning: whether what is known of a step's arguments before it runs can be right.
//!
//! The rules are those of decoding, for arguments of which only some are known. A number that every call would refuse is
//! refused once, when the program is stored. Descriptors and payloads are not looked at here.

use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AllocateFlags, AtFlags, CancelBy, FutexFlags, LinkFlags, LockMode,
    MAX_ADDRESS, MAX_DEVICE_MAJOR, MAX_DEVICE_MINOR, MAX_OPTION, MAX_PATH, MAX_PIECES, MAX_XATTR_NAME,
    MAX_XATTR_VALUE, MESSAGE_RECORD, MessageFlags, NodeKind, Overflow, PollEvents, RemoveFlags, RenameFlags,
    ShiftDirection, ShutdownHow, StatFlags, SyncMode, TimeBase, TransferFlags, Whence, XattrFlags,
};
use ouzel_ring::{Entry, Verb};

use super::rejection::Reason;
use super::roles::known;
use crate::decode::{mode, number, open_flags, position, range, socket_kind, xattr_flags};

/// Whether what is known of the arguments has a meaning for `verb`. TEST and REPEAT are not judged here.
pub(super) fn check(verb: Verb, entry: &Entry) -> Result<(), Reason> {
    // Of an argument that is loaded nothing is known, so it may be right.
    let check = |argument: usize, is_right: &dyn Fn(u64) -> bool| match known(entry, argument) {
        Some(value) if !is_right(value) => Err(Reason::NoMeaning { argument, value }),
        _ => Ok(()),
    };
    match verb {
        Verb::Read | Verb::Write => {
            check(3, &|offset| position(offset).is_ok())?;
            check(4, &|flags| TransferFlags::from_bits(flags).is_some())?;
            if known(entry, 4) == Some(TransferFlags::VECTORED.bits()) {
                check(2, &|count| count <= MAX_PIECES)?;
            }
        }
        Verb::Poll => check(1, &|events| PollEvents::from_bits(events).is_some())?,
        Verb::Cancel => check(3, &|by| CancelBy::from_number(by).is_some())?,
        Verb::Open => {
            check(2, &is_path_length)?;
            check(3, &|flags| open_flags(flags).is_ok())?;
            check(4, &|bits| mode(bits).is_ok())?;
        }
        Verb::Seek => check(4, &|whence| Whence::from_number(whence).is_some())?,
        Verb::Stat => {
            check(2, &is_path_length_or_none)?;
            check(4, &|flags| StatFlags::from_bits(flags).is_some())?;
        }
        Verb::Sync => {
            check(4, &|mode| SyncMode::from_number(mode).is_some())?;
            if known(entry, 4) == Some(SyncMode::Range as u64) {
                let length = known(entry, 2).unwrap_or(0);
                check(2, &|length| range(0, length).is_ok())?;
                check(3, &|offset| range(offset, length).is_ok())?;
            }
        }
        Verb::Truncate => check(2, &|length| range(0, length).is_ok())?,
        Verb::Allocate => {
            check(2, &|length| length != 0 && range(0, length).is_ok())?;
            check(3, &|offset| range(0, offset).is_ok())?;
            check(4, &|flags| {
                AllocateFlags::from_bits(flags).is_some_and(|flags| flags != AllocateFlags::PUNCH_HOLE)
            })?;
        }
        Verb::Mkdir => {
            check(2, &is_path_length)?;
            check(4, &|bits| mode(bits).is_ok())?;
        }
        Verb::Remove => {
            check(2, &is_path_length)?;
            check(3, &|flags| RemoveFlags::from_bits(flags).is_some())?;
        }
        Verb::Rename => {
            check(2, &is_length_of_two_paths)?;
            check(3, &|flags| {
                RenameFlags::from_bits(flags).is_some_and(|flags| flags != RenameFlags::all())
            })?;
        }
        Verb::Link => {
            check(2, &is_length_of_two_paths)?;
            check(3, &|flags| LinkFlags::from_bits(flags).is_some())?;
        }
        Verb::Symlink => check(2, &is_length_of_two_paths)?,
        Verb::Copy => {
            check(1, &|offset| position(offset).is_ok())?;
            check(3, &|offset| position(offset).is_ok())?;
        }
        Verb::Socket => {
            check(0, &|domain| number(domain).is_ok())?;
            check(1, &|kind| socket_kind(kind).is_ok())?;
            check(2, &|protocol| number(protocol).is_ok())?;
        }
        Verb::Bind | Verb::Connect => check(2, &|length| length <= MAX_ADDRESS)?,
        Verb::SendMsg => {
            check(2, &|length| length == MESSAGE_RECORD)?;
            check(3, &|flags| is_of(flags, MessageFlags::OUT_OF_BAND | MessageFlags::MORE))?
        }
        Verb::Send => check(3, &|flags| is_of(flags, MessageFlags::OUT_OF_BAND | MessageFlags::MORE))?,
        Verb::Recv => check(3, &|flags| {
            is_of(flags, MessageFlags::OUT_OF_BAND | MessageFlags::PEEK | MessageFlags::WAIT_ALL)
        })?,
        Verb::RecvMsg => {
            check(2, &|length| length == MESSAGE_RECORD)?;
            check(3, &|flags| is_of(flags, MessageFlags::OUT_OF_BAND | MessageFlags::PEEK))?;
        }
        Verb::Shutdown => check(3, &|how| ShutdownHow::from_number(how).is_some())?,
        Verb::Readlink | Verb::Statfs => check(2, &is_path_length_or_none)?,
        Verb::Chmod => {
            check(2, &is_path_length_or_none)?;
            check(4, &|bits| mode(bits).is_ok())?;
        }
        Verb::Chown => {
            check(2, &is_path_length_or_none)?;
            check(3, &|flags| AtFlags::from_bits(flags).is_some())?;
        }
        Verb::Utimes => {
            check(2, &is_path_length_or_none)?;
            check(4, &|flags| AtFlags::from_bits(flags).is_some())?;
        }
        Verb::Mknod => {
            let kind = |argument: u64| NodeKind::from_number(argument & !0o7777);
            check(2, &is_path_length)?;
            check(3, &|argument| kind(argument).is_some())?;
            if matches!(known(entry, 3).and_then(kind), Some(NodeKind::Character | NodeKind::Block)) {
                check(4, &|device| {
                    device >> 32 <= MAX_DEVICE_MAJOR && device & u64::from(u32::MAX) <= MAX_DEVICE_MINOR
                })?;
            }
        }
        Verb::Access => {
            check(2, &is_path_length_or_none)?;
            check(3, &|access| AccessFlags::from_bits(access).is_some())?;
            check(4, &|options| AccessOptions::from_bits(options).is_some())?;
        }
        Verb::GetXattr => {
            check(2, &is_length_of_an_attribute)?;
            check(4, &|argument| xattr_flags(argument, XattrFlags::NOFOLLOW).is_ok())?;
        }
        Verb::SetXattr => {
            let both = XattrFlags::CREATE | XattrFlags::REPLACE;
            check(2, &is_length_of_an_attribute)?;
            check(4, &|argument| {
                xattr_flags(argument, XattrFlags::all())
                    .is_ok_and(|(flags, length)| !flags.contains(both) && length <= MAX_XATTR_VALUE)
            })?;
        }
        Verb::ListXattr => {
            check(2, &is_path_length_or_none)?;
            check(4, &|argument| xattr_flags(argument, XattrFlags::NOFOLLOW).is_ok())?;
        }
        Verb::RemoveXattr => {
            check(2, &is_length_of_an_attribute)?;
            check(4, &|argument| {
                xattr_flags(argument, XattrFlags::NOFOLLOW).is_ok_and(|(_, length)| length == 0)
            })?;
        }
        Verb::Lock => {
            check(2, &|length| range(0, length).is_ok())?;
            check(3, &|offset| range(offset, known(entry, 2).unwrap_or(0)).is_ok())?;
            check(4, &|mode| LockMode::from_number(mode).is_some())?;
        }
        Verb::GetSockopt | Verb::SetSockopt => {
            check(2, &|length| length <= MAX_OPTION)?;
            check(3, &|level| number(level).is_ok())?;
            check(4, &|name| number(name).is_ok())?;
        }
        Verb::Splice => {
            check(1, &|offset| position(offset).is_ok())?;
            check(3, &|offset| position(offset).is_ok())?;
        }
        Verb::Wait if known(entry, 0) == Some(0) => {
            check(2, &|process| process != 0 && number(process).is_ok())?;
        }
        Verb::Futex => {
            check(3, &|flags| FutexFlags::from_bits(flags).is_some())?;
            // One that wakes expects nothing.
            if known(entry, 3).is_some_and(|flags| flags & FutexFlags::WAKE.bits() == 0) {
                check(4, &|expected| u32::try_from(expected).is_ok())?;
            }
        }
        Verb::Wake => check(2, &|amount| amount != 0 && amount != u64::MAX)?,
        Verb::Sleep | Verb::Deadline => check(3, &|base| TimeBase::from_number(base).is_some())?,
        Verb::Add | Verb::Sub => check(4, &|overflow| Overflow::from_number(overflow).is_some())?,
        Verb::Shift => {
            check(3, &|distance| distance < u64::from(u64::BITS))?;
            check(4, &|direction| ShiftDirection::from_number(direction).is_some())?;
        }
        Verb::Load => check(2, &|width| matches!(width, 1 | 2 | 4 | 8))?,
        _ => {}
    }
    Ok(())
}

fn is_of(bits: u64, allowed: MessageFlags) -> bool {
    MessageFlags::from_bits(bits).is_some_and(|flags| allowed.contains(flags))
}

fn is_path_length(length: u64) -> bool {
    (1..=MAX_PATH).contains(&length)
}

fn is_path_length_or_none(length: u64) -> bool {
    length <= MAX_PATH
}

fn is_length_of_two_paths(length: u64) -> bool {
    (2..=2 * MAX_PATH).contains(&length)
}

fn is_length_of_an_attribute(length: u64) -> bool {
    (1..=MAX_PATH + MAX_XATTR_NAME + 1).contains(&length)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::ptr::NonNull;

    use ouzel_ring::{Errno, Payload};

    use super::*;
    use crate::Operation;
    use crate::decode::{Context, decode};
    use crate::descriptors::{Descriptors, Look};
    use crate::program::roles::{Role, roles};
    use crate::regions::{Regions, Scratch};

    /// Numbers at which some rule changes its mind.
    const NUMBERS: [u64; 52] = [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        0x10,
        0x11,
        0x20,
        0x41,
        0x48,
        0x80,
        0x100,
        0x101,
        0x108,
        0x400,
        0x401,
        0x7ff,
        0x800,
        128,
        129,
        1024,
        1025,
        0o7777,
        0o10000,
        4096,
        4097,
        8192,
        8193,
        0x8000,
        i32::MAX as u64,
        1 << 31,
        i64::MAX as u64,
        1 << 63,
        u64::MAX,
        64,
        0o010_644,
        0o020_000,
        0o060_001,
        0o160_000,
        0xfff << 32 | 0xf_ffff,
        0x1000 << 32,
        1 << 20,
        1 << 32,
        1 << 32 | 65_536,
        1 << 33 | 65_537,
        3 << 33,
    ];

    /// Whatever decoding refuses because of what it says, and only that, has no meaning here either.
    #[test]
    fn it_agrees_with_decoding() {
        let mut descriptors = Descriptors::new(1);
        let index = descriptors.reserve().unwrap();
        descriptors.install(index);
        let open = descriptors.descriptor(index);
        let mut regions = Regions::new(false);
        let mut bytes = vec![b'x'; 20_000];
        let base = NonNull::new(bytes.as_mut_ptr()).unwrap();
        // SAFETY: `bytes` outlives the table and is reached through `base` alone.
        let region = unsafe { regions.add(base, 20_000) }.unwrap();
        let at = |offset| Payload::new(region, offset).unwrap().number();
        let mut seed = 7u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (seed >> 33) as usize % below
        };
        let (mut refused, mut taken) = (0, 0);
        for _ in 0..200_000 {
            let verb = Verb::ALL[1 + random(Verb::Futex as usize)];
            if matches!(verb, Verb::Cancel | Verb::Sleep | Verb::Get | Verb::Deadline | Verb::Pipe) {
                // Those are the engine's own, and of the last there is nothing to say.
                continue;
            }
            let mut entry = Entry::new(verb);
            let Some(roles) = roles(verb, &entry) else { continue };
            for (argument, role) in roles.into_iter().enumerate() {
                entry.arguments[argument] = match role {
                    Role::Descriptor | Role::Directory => open,
                    // The second one's is all zeros.
                    Role::Payload => at(if argument == 1 { 0 } else { 10_000 }),
                    _ => NUMBERS[random(NUMBERS.len())],
                };
            }
            let length = entry.arguments[2] as usize;
            if roles[1] == Role::Payload {
                let two = matches!(verb, Verb::Rename | Verb::Link | Verb::Symlink);
                let is_array = matches!(verb, Verb::Read | Verb::Write | Verb::SendMsg | Verb::RecvMsg);
                let fill = if is_array { 0 } else { b'x' };
                // SAFETY: all of `bytes`; nothing is being decoded, so nobody else looks at it.
                let text = unsafe { core::slice::from_raw_parts_mut(base.as_ptr(), 20_000) };
                text.fill(0);
                text[..10_000].fill(fill);
                if (1..=10_000).contains(&length) && !is_array {
                    text[length - 1] = 0;
                    if two && length > 1 {
                        text[(length - 1) / 2] = 0;
                    }
                }
            }
            let mut context = Context::new(&descriptors, &regions, Look::Now);
            let mut operation = Operation::NONE;
            let decoded = decode(
                verb,
                ouzel_ring::EntryFlags::empty(),
                &entry.arguments,
                &mut context,
                &mut Scratch::default(),
                &mut operation,
            );
            let checked = super::check(verb, &entry);
            match decoded {
                Err(Errno::EINVAL | Errno::ENAMETOOLONG | Errno::E2BIG) => {
                    assert!(checked.is_err(), "{entry:?} is refused later");
                    refused += 1;
                }
                // Something else is wrong with it that is looked at first.
                Err(Errno::EFAULT | Errno::EFBIG | Errno::ENOENT | Errno::ERANGE) => {}
                other => {
                    assert_eq!(other, Ok(()), "{entry:?}");
                    assert_eq!(checked, Ok(()), "{entry:?} is right");
                    taken += 1;
                }
            }
        }
        assert!(refused > 10_000 && taken > 10_000, "{refused} refused and {taken} taken");
    }
}
