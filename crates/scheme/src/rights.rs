//! Rights: which verbs a client may ask for, and whether it may change anything.
//!
//! Plain values, made by the service and looked at for each operation before anything is done for it. Nothing here
//! touches memory or asks a system; what a path may name is for [`confine`](crate::confine) to see to.

use core::fmt;

use ouzel_engine::Operation;
use ouzel_ring::modifiers::{AccessFlags, NodeKind, OpenFlags};
use ouzel_ring::{Errno, Verb};

const _: () = assert!(Verb::ALL.len() <= 128, "a set has a bit for each verb");

/// A set of verbs.
///
/// The verbs that the engine does by itself (NOP, CANCEL, SLEEP, GET, DEADLINE, and those from SET to CALL) never reach a
/// backend: they are always allowed, whether a set has them or not. So is CLOSE: what was opened may be given back.
///
/// ```
/// use ouzel_ring::Verb;
/// use ouzel_scheme::VerbSet;
///
/// let mut verbs = VerbSet::read_only();
/// assert!(verbs.contains(Verb::Read) && !verbs.contains(Verb::Write));
/// verbs.insert(Verb::Write);
/// assert_eq!(VerbSet::from_iter([Verb::Stat, Verb::Open]).to_string(), "OPEN STAT");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerbSet(u128);

/// What concerns files and directories, and changes nothing.
const READING: &[Verb] = &[
    Verb::Read,
    Verb::Poll,
    Verb::Open,
    Verb::Close,
    Verb::Seek,
    Verb::Stat,
    Verb::Sync,
    Verb::Readdir,
    Verb::Readlink,
    Verb::Statfs,
    Verb::Access,
    Verb::GetXattr,
    Verb::ListXattr,
    Verb::Lock,
];

/// What changes files and directories.
const CHANGING: &[Verb] = &[
    Verb::Write,
    Verb::Truncate,
    Verb::Allocate,
    Verb::Mkdir,
    Verb::Remove,
    Verb::Rename,
    Verb::Link,
    Verb::Symlink,
    Verb::Copy,
    Verb::Chmod,
    Verb::Chown,
    Verb::Utimes,
    Verb::SetXattr,
    Verb::RemoveXattr,
    Verb::Mknod,
];

impl VerbSet {
    /// Every verb there is. With these a client makes sockets and pipes, waits for processes of the service's, and makes
    /// devices where the service is privileged.
    pub const fn all() -> VerbSet {
        VerbSet::of(Verb::ALL)
    }

    /// No verb.
    pub const fn none() -> VerbSet {
        VerbSet(0)
    }

    /// What concerns files and directories: no sockets, pipes, processes, words of memory or bells. MKNOD is among them; whether
    /// it makes devices, which reach whatever the machine has, is for [`Rights::devices`] to say.
    pub const fn files() -> VerbSet {
        VerbSet(VerbSet::of(READING).0 | VerbSet::of(CHANGING).0)
    }

    /// Those of [`files`](VerbSet::files) that change nothing.
    pub const fn read_only() -> VerbSet {
        VerbSet::of(READING)
    }

    /// These verbs.
    pub const fn of(verbs: &[Verb]) -> VerbSet {
        let mut bits = 0;
        let mut at = 0;
        while at < verbs.len() {
            bits |= bit(verbs[at]);
            at += 1;
        }
        VerbSet(bits)
    }

    /// The verbs whose numbers are the set bits; bits that are no verb's are left out.
    pub const fn from_bits(bits: u128) -> VerbSet {
        VerbSet(bits & VerbSet::all().0)
    }

    /// A bit for each verb, by its number.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Whether the verb is in the set.
    #[inline]
    pub const fn contains(self, verb: Verb) -> bool {
        self.0 & bit(verb) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a verb.
    pub const fn insert(&mut self, verb: Verb) {
        self.0 |= bit(verb);
    }

    /// Takes a verb out.
    pub const fn remove(&mut self, verb: Verb) {
        self.0 &= !bit(verb);
    }

    /// The verbs that both have.
    pub const fn intersection(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 & other.0)
    }

    /// The verbs that either has.
    pub const fn union(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 | other.0)
    }

    /// The verbs, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.iter().copied().filter(move |verb| self.contains(*verb))
    }
}

#[inline]
const fn bit(verb: Verb) -> u128 {
    1 << verb as u32
}

impl FromIterator<Verb> for VerbSet {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> VerbSet {
        let mut set = VerbSet::none();
        set.extend(verbs);
        set
    }
}

impl Extend<Verb> for VerbSet {
    fn extend<I: IntoIterator<Item = Verb>>(&mut self, verbs: I) {
        for verb in verbs {
            self.insert(verb);
        }
    }
}

impl fmt::Display for VerbSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, verb) in self.iter().enumerate() {
            if place > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(verb.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for VerbSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The verbs it may ask for. Any other is EPERM.
    pub verbs: VerbSet,
    /// It may change nothing: what would is EROFS. That is an OPEN for writing, one that creates or truncates; WRITE, COPY
    /// and SPLICE, whatever they write to; BIND, since a unix socket's address may be a name; an ACCESS that asks for WRITE;
    /// and every verb that changes a file, a name or an attribute.
    pub read_only: bool,
    /// It may make devices, by MKNOD; if not, that is EPERM, and MKNOD makes files, FIFOs and sockets without anybody behind them.
    pub devices: bool,
}

impl Rights {
    /// Everything.
    pub const fn all() -> Rights {
        Rights { verbs: VerbSet::all(), read_only: false, devices: true }
    }

    /// What concerns [files](VerbSet::files), and no devices.
    pub const fn files() -> Rights {
        Rights { verbs: VerbSet::files(), read_only: false, devices: false }
    }

    /// Looking at files, and changing nothing: EROFS for those of [`VerbSet::files`] that would.
    pub const fn read_only() -> Rights {
        Rights { verbs: VerbSet::files(), read_only: true, devices: false }
    }

    /// Whether the operation is allowed.
    ///
    /// Errors: EPERM for a verb that is not, and for a device; EROFS for what changes something.
    #[inline]
    pub fn check(&self, operation: &Operation) -> Result<(), Errno> {
        let verb = verb_of(operation);
        if verb == Verb::Close {
            return Ok(());
        }
        if !self.verbs.contains(verb) {
            return Err(Errno::EPERM);
        }
        if self.read_only && changes(operation) {
            return Err(Errno::EROFS);
        }
        if !self.devices && makes_device(operation) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

/// The verb that an operation is of.
pub fn verb_of(operation: &Operation) -> Verb {
    match operation {
        Operation::Read { .. } => Verb::Read,
        Operation::Write { .. } => Verb::Write,
        Operation::Poll { .. } => Verb::Poll,
        Operation::Open { .. } => Verb::Open,
        Operation::Close { .. } => Verb::Close,
        Operation::Seek { .. } => Verb::Seek,
        Operation::Stat { .. } => Verb::Stat,
        Operation::Sync { .. } => Verb::Sync,
        Operation::Truncate { .. } => Verb::Truncate,
        Operation::Allocate { .. } => Verb::Allocate,
        Operation::Mkdir { .. } => Verb::Mkdir,
        Operation::Remove { .. } => Verb::Remove,
        Operation::Rename { .. } => Verb::Rename,
        Operation::Link { .. } => Verb::Link,
        Operation::Symlink { .. } => Verb::Symlink,
        Operation::Readdir { .. } => Verb::Readdir,
        Operation::Copy { .. } => Verb::Copy,
        Operation::Pipe { .. } => Verb::Pipe,
        Operation::Socket { .. } => Verb::Socket,
        Operation::Bind { .. } => Verb::Bind,
        Operation::Listen { .. } => Verb::Listen,
        Operation::Accept { .. } => Verb::Accept,
        Operation::Connect { .. } => Verb::Connect,
        Operation::Send { .. } => Verb::Send,
        Operation::Recv { .. } | Operation::RecvPicked { .. } => Verb::Recv,
        Operation::Shutdown { .. } => Verb::Shutdown,
        Operation::Readlink { .. } => Verb::Readlink,
        Operation::Chmod { .. } => Verb::Chmod,
        Operation::Chown { .. } => Verb::Chown,
        Operation::Utimes { .. } => Verb::Utimes,
        Operation::Mknod { .. } => Verb::Mknod,
        Operation::Statfs { .. } => Verb::Statfs,
        Operation::Access { .. } => Verb::Access,
        Operation::GetXattr { .. } => Verb::GetXattr,
        Operation::SetXattr { .. } => Verb::SetXattr,
        Operation::ListXattr { .. } => Verb::ListXattr,
        Operation::RemoveXattr { .. } => Verb::RemoveXattr,
        Operation::Lock { .. } => Verb::Lock,
        Operation::GetSockopt { .. } => Verb::GetSockopt,
        Operation::SetSockopt { .. } => Verb::SetSockopt,
        Operation::Sockname { .. } => Verb::Sockname,
        Operation::Peername { .. } => Verb::Peername,
        Operation::SendMsg { .. } => Verb::SendMsg,
        Operation::RecvMsg { .. } => Verb::RecvMsg,
        Operation::Splice { .. } => Verb::Splice,
        Operation::Wait { .. } => Verb::Wait,
        Operation::FutexWait { .. } | Operation::FutexWake { .. } => Verb::Futex,
        Operation::Wake { .. } => Verb::Wake,
    }
}

/// Whether an operation makes a device.
fn makes_device(operation: &Operation) -> bool {
    matches!(operation, Operation::Mknod { kind: NodeKind::Character | NodeKind::Block, .. })
}

/// Whether an operation would change something where nothing may be changed.
fn changes(operation: &Operation) -> bool {
    match operation {
        // With PATH nothing is opened, and the other flags count for nothing.
        Operation::Open { flags, .. } => {
            let changing = OpenFlags::WRITE | OpenFlags::APPEND | OpenFlags::CREATE | OpenFlags::TRUNCATE;
            !flags.contains(OpenFlags::PATH) && flags.intersects(changing)
        }
        Operation::Access { access, .. } => access.contains(AccessFlags::WRITE),
        Operation::Splice { .. } | Operation::Bind { .. } => true,
        operation => VerbSet::of(CHANGING).contains(verb_of(operation)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_what_was_put_in() {
        let mut set = VerbSet::none();
        assert!(set.is_empty());
        assert_eq!(set.to_string(), "");
        set.insert(Verb::Mkdir);
        set.insert(Verb::Read);
        set.insert(Verb::Read);
        assert_eq!(set.to_string(), "READ MKDIR");
        assert_eq!(format!("{set:?}"), "{Read, Mkdir}");
        set.remove(Verb::Read);
        set.remove(Verb::Futex);
        assert_eq!(set, [Verb::Mkdir].into_iter().collect());
        assert_eq!(set.bits(), 1 << Verb::Mkdir as u32);
        assert_eq!(VerbSet::from_bits(u128::MAX), VerbSet::all());
        assert_eq!(VerbSet::all().iter().count(), Verb::ALL.len());
        assert!(Verb::ALL.iter().all(|verb| VerbSet::all().contains(*verb)));
    }

    #[test]
    fn those_for_files_have_nothing_else() {
        let files = VerbSet::files();
        assert_eq!(files.intersection(VerbSet::read_only()), VerbSet::read_only());
        assert_eq!(files.union(VerbSet::none()), files);
        for verb in [Verb::Socket, Verb::Pipe, Verb::Wait, Verb::Futex, Verb::Wake, Verb::Send] {
            assert!(!files.contains(verb), "{}", verb.name());
        }
        for verb in CHANGING {
            assert!(files.contains(*verb) && !VerbSet::read_only().contains(*verb), "{}", verb.name());
        }
    }

    #[test]
    fn rights_refuse_before_they_look_further() {
        let none = Rights { verbs: VerbSet::none(), read_only: true, devices: false };
        let truncate = Operation::Truncate { file: 1, length: 0 };
        assert_eq!(none.check(&truncate), Err(Errno::EPERM));
        assert_eq!(none.check(&Operation::Close { file: 1 }), Ok(()));
        assert_eq!(Rights::read_only().check(&truncate), Err(Errno::EROFS));
        assert_eq!(Rights::files().check(&truncate), Ok(()));
        let splice = Operation::Splice { source: 1, from: None, target: 2, to: None, length: 1 };
        assert_eq!(Rights::files().check(&splice), Err(Errno::EPERM));
        assert_eq!(Rights { read_only: true, ..Rights::all() }.check(&splice), Err(Errno::EROFS));
    }

    #[test]
    fn devices_are_a_right_of_their_own() {
        let path = ouzel_engine::Path { pointer: c"x".as_ptr().cast(), length: 2 };
        for kind in
            [NodeKind::Character, NodeKind::Block, NodeKind::Fifo, NodeKind::Socket, NodeKind::Regular]
        {
            let node = Operation::Mknod { directory: None, path, kind, mode: 0o600, device: 0 };
            let is_device = matches!(kind, NodeKind::Character | NodeKind::Block);
            let expected = if is_device { Err(Errno::EPERM) } else { Ok(()) };
            assert_eq!(Rights::files().check(&node), expected, "{kind:?}");
            assert_eq!(Rights { devices: true, ..Rights::files() }.check(&node), Ok(()), "{kind:?}");
            assert_eq!(Rights::read_only().check(&node), Err(Errno::EROFS), "{kind:?}");
        }
    }
}
