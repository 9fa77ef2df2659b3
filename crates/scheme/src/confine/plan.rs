//! Plans: what is to be done in place of an operation, so that nothing is reached that does not lie beneath the root.
//!
//! What an operation does beneath its directory whatever is there (an OPEN that stays beneath, a verb on one name that
//! nothing follows) is done *directly*, as one operation that starts elsewhere. For any other the file or the parent
//! directory is *opened* first, as a name, by an OPEN that stays beneath; then the verb is done on that, so that what was
//! resolved is what is used, whatever becomes of the names in the meantime. This module only rewrites: it asks nobody and
//! keeps nothing.

use ouzel_engine::{Attribute, Directory, Operation, Path};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{AccessOptions, AtFlags, LinkFlags, OpenFlags, StatFlags, TIME_OMIT, XattrFlags};

use super::text::{HERE, bytes, tail};

/// What may be asked for beside PATH; the rest counts for nothing there.
const BESIDE_PATH: OpenFlags =
    OpenFlags::PATH.union(OpenFlags::DIRECTORY).union(OpenFlags::NOFOLLOW).union(OpenFlags::BENEATH);

/// Something that is opened before the verb is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Opening {
    /// Where it starts.
    pub(super) directory: u32,
    pub(super) path: Path,
    /// So many bytes of the path are meant; `None` for all of it.
    pub(super) part: Option<usize>,
    pub(super) flags: OpenFlags,
}

/// What is done in place of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) openings: [Option<Opening>; 2],
    pub(super) operation: Operation,
    /// The operation itself may have to be asked for again: a name was changed while `..` was resolved.
    pub(super) again: bool,
}

impl Plan {
    /// The operation is done as it is.
    pub(super) fn direct(operation: Operation) -> Plan {
        Plan { openings: [None; 2], operation, again: false }
    }

    /// How much is opened first.
    pub(super) fn openings(&self) -> usize {
        self.openings.iter().flatten().count()
    }

    /// Whether it is one operation, and asked for once.
    pub(super) fn is_direct(&self) -> bool {
        self.openings() == 0 && !self.again
    }
}

/// What a verb that works on a file has it by.
enum Found {
    /// A descriptor of the client's.
    Given(u32),
    /// A name that nothing follows, in the directory behind this index.
    Named(u32, Path),
    /// What is open at this index, maybe only as a name.
    Open(u32),
}

impl Found {
    /// For the verbs to which any descriptor will do.
    fn for_reading(self) -> (Directory, Option<Path>) {
        match self {
            Found::Given(index) | Found::Open(index) => (Some(index), None),
            Found::Named(index, name) => (Some(index), Some(name)),
        }
    }

    /// For the verbs that refuse a descriptor that only names its file, unless they are told that it does.
    fn for_changing(self) -> (Directory, Option<Path>) {
        match self {
            Found::Given(index) => (Some(index), None),
            Found::Named(index, name) => (Some(index), Some(name)),
            Found::Open(index) => (Some(index), Some(Path::EMPTY)),
        }
    }

    fn for_attribute(self, attribute: Attribute) -> (Directory, Attribute) {
        match self {
            Found::Given(index) => (Some(index), attribute),
            // The name of the attribute lies behind the path, whose front alone was cut off.
            Found::Named(index, name) => {
                let length = attribute.name().length as u32;
                (Some(index), Attribute::new(name.pointer, name.length as u32, length))
            }
            Found::Open(index) => (Some(index), attribute.of_itself()),
        }
    }
}

/// A plan that is being made.
struct Planner {
    root: u32,
    /// Where what is opened would be put.
    places: [u32; 2],
    openings: [Option<Opening>; 2],
}

impl Planner {
    /// Where a path starts, and what is left of it: `None` if it is the root itself.
    fn start(&self, directory: Directory, path: Path) -> (u32, Option<Path>) {
        let text = bytes(&path);
        let slashes = text.iter().take_while(|byte| **byte == b'/').count();
        if slashes == 0 {
            return (directory.unwrap_or(self.root), Some(path));
        }
        // As in the kernel, an absolute path has no use for the directory.
        let rest = (slashes < text.len()).then(|| tail(path, slashes));
        (self.root, rest)
    }

    /// Has something opened; returns its index.
    fn open(&mut self, opening: Opening) -> u32 {
        let number = usize::from(self.openings[0].is_some());
        self.openings[number] = Some(opening);
        self.places[number]
    }

    /// For a verb that makes, removes or moves a name: the name, in its parent directory.
    fn name(&mut self, directory: Directory, path: Path) -> (Directory, Path) {
        let (start, rest) = self.start(directory, path);
        let Some(path) = rest else { return (Some(start), HERE) };
        let text = bytes(&path);
        let trailing = text.iter().rev().take_while(|byte| **byte == b'/').count();
        let Some(slash) = text[..text.len() - trailing].iter().rposition(|byte| *byte == b'/') else {
            return (Some(start), path);
        };
        let flags = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::BENEATH;
        let parent = self.open(Opening { directory: start, path, part: Some(slash), flags });
        (Some(parent), tail(path, slash + 1))
    }

    /// For a verb that works on a file: the file.
    fn object(&mut self, directory: Directory, path: Option<Path>, follow: bool) -> Found {
        let Some(path) = path else {
            return directory.map_or(Found::Open(self.root), Found::Given);
        };
        let (start, rest) = self.start(directory, path);
        let Some(path) = rest else { return Found::Open(start) };
        if !follow && is_plain(bytes(&path)) {
            return Found::Named(start, path);
        }
        let mut flags = OpenFlags::PATH | OpenFlags::BENEATH;
        flags.set(OpenFlags::NOFOLLOW, !follow);
        Found::Open(self.open(Opening { directory: start, path, part: None, flags }))
    }

    /// For LINK: what gets another name, and whether it is meant itself.
    fn linked(&mut self, directory: Directory, path: Path, flags: LinkFlags) -> (Directory, Path, LinkFlags) {
        let follow = flags.contains(LinkFlags::FOLLOW);
        let text = bytes(&path);
        // A slash behind it has even the last symbolic link followed.
        let resolved = follow || text.ends_with(b"/") || text == b".." || text.ends_with(b"/..");
        if !resolved {
            let (directory, name) = self.name(directory, path);
            return (directory, name, flags);
        }
        let (directory, path) = self.object(directory, Some(path), follow).for_changing();
        (directory, path.unwrap_or(Path::EMPTY), LinkFlags::empty())
    }

    /// OPEN, which stays beneath where it starts.
    fn opened(&self, operation: Operation) -> Result<Plan, Errno> {
        let Operation::Open { directory, path, mut flags, mode, into } = operation else {
            return Ok(Plan::direct(operation));
        };
        if flags.contains(OpenFlags::BENEATH) && bytes(&path).starts_with(b"/") {
            // The client wants it to stay beneath another directory than the root, or says so.
            return Err(Errno::EXDEV);
        }
        let (start, rest) = self.start(directory, path);
        let path = rest.unwrap_or(HERE);
        flags |= OpenFlags::BENEATH;
        if flags.contains(OpenFlags::PATH) {
            flags &= BESIDE_PATH;
        }
        let again = bytes(&path).split(|byte| *byte == b'/').any(|part| part == b"..");
        let operation = Operation::Open { directory: Some(start), path, flags, mode, into };
        Ok(Plan { openings: [None; 2], operation, again })
    }
}

/// Whether this is one name, in which nothing leads elsewhere as long as it is not followed.
fn is_plain(text: &[u8]) -> bool {
    text != b".." && !text.contains(&b'/')
}

/// The plan for an operation of a client that is confined to what lies beneath `root`. What has to be opened would be put
/// at `places`, in their order.
///
/// Errors: EXDEV for what would certainly leave the root.
pub(super) fn plan(operation: &Operation, root: u32, places: [u32; 2]) -> Result<Plan, Errno> {
    let mut planner = Planner { root, places, openings: [None; 2] };
    let operation = match *operation {
        Operation::Open { .. } => return planner.opened(*operation),
        Operation::Stat { directory, path, record, flags } => {
            let follow = !flags.contains(StatFlags::NOFOLLOW);
            let (directory, path) = planner.object(directory, path, follow).for_reading();
            Operation::Stat { directory, path, record, flags }
        }
        Operation::Mkdir { directory, path, mode } => {
            let (directory, path) = planner.name(directory, path);
            Operation::Mkdir { directory, path, mode }
        }
        Operation::Remove { directory, path, flags } => {
            let (directory, path) = planner.name(directory, path);
            Operation::Remove { directory, path, flags }
        }
        Operation::Rename { from, old, to, new, flags } => {
            let (from, old) = planner.name(from, old);
            let (to, new) = planner.name(to, new);
            Operation::Rename { from, old, to, new, flags }
        }
        Operation::Link { from, old, to, new, flags } => {
            let (from, old, flags) = planner.linked(from, old, flags);
            let (to, new) = planner.name(to, new);
            Operation::Link { from, old, to, new, flags }
        }
        Operation::Symlink { target, directory, path } => {
            let (directory, path) = planner.name(directory, path);
            Operation::Symlink { target, directory, path }
        }
        Operation::Mknod { directory, path, kind, mode, device } => {
            let (directory, path) = planner.name(directory, path);
            Operation::Mknod { directory, path, kind, mode, device }
        }
        Operation::Readlink { directory, path, buffer } => {
            let (directory, path) = planner.object(directory, path, false).for_reading();
            Operation::Readlink { directory, path, buffer }
        }
        Operation::Chmod { directory, path, mode } => {
            let (directory, path) = planner.object(directory, path, true).for_changing();
            Operation::Chmod { directory, path, mode }
        }
        Operation::Chown { directory, path, user, group, flags } => {
            let follow = !flags.contains(AtFlags::NOFOLLOW);
            let (directory, path) = planner.object(directory, path, follow).for_changing();
            Operation::Chown { directory, path, user, group, flags }
        }
        // It does not even look for the file.
        Operation::Utimes { directory, times, follow, .. }
            if times.nanoseconds.map(u64::from) == [TIME_OMIT; 2] =>
        {
            Operation::Utimes { directory: Some(directory.unwrap_or(root)), path: None, times, follow }
        }
        Operation::Utimes { directory, path, times, follow } => {
            let (directory, path) = planner.object(directory, path, follow).for_changing();
            Operation::Utimes { directory, path, times, follow }
        }
        Operation::Statfs { directory, path, record } => {
            let (directory, path) = planner.object(directory, path, true).for_reading();
            Operation::Statfs { directory, path, record }
        }
        Operation::Access { directory, path, access, options } => {
            let follow = !options.contains(AccessOptions::NOFOLLOW);
            let (directory, path) = planner.object(directory, path, follow).for_reading();
            Operation::Access { directory, path, access, options }
        }
        Operation::GetXattr { directory, attribute, value, flags } => {
            let (directory, attribute) = planner.attributed(directory, attribute, flags);
            Operation::GetXattr { directory, attribute, value, flags }
        }
        Operation::SetXattr { directory, attribute, value, flags } => {
            let (directory, attribute) = planner.attributed(directory, attribute, flags);
            Operation::SetXattr { directory, attribute, value, flags }
        }
        Operation::ListXattr { directory, path, buffer, flags } => {
            let follow = !flags.contains(XattrFlags::NOFOLLOW);
            let (directory, path) = planner.object(directory, path, follow).for_changing();
            Operation::ListXattr { directory, path, buffer, flags }
        }
        Operation::RemoveXattr { directory, attribute, flags } => {
            let (directory, attribute) = planner.attributed(directory, attribute, flags);
            Operation::RemoveXattr { directory, attribute, flags }
        }
        // All of these work on descriptors, memory or numbers. A new verb with a path must not come to be among them.
        Operation::Read { .. }
        | Operation::Write { .. }
        | Operation::Poll { .. }
        | Operation::Close { .. }
        | Operation::Seek { .. }
        | Operation::Sync { .. }
        | Operation::Truncate { .. }
        | Operation::Allocate { .. }
        | Operation::Readdir { .. }
        | Operation::Copy { .. }
        | Operation::Pipe { .. }
        | Operation::Socket { .. }
        | Operation::Bind { .. }
        | Operation::Listen { .. }
        | Operation::Accept { .. }
        | Operation::Connect { .. }
        | Operation::Send { .. }
        | Operation::Recv { .. }
        | Operation::RecvPicked { .. }
        | Operation::Shutdown { .. }
        | Operation::Lock { .. }
        | Operation::GetSockopt { .. }
        | Operation::SetSockopt { .. }
        | Operation::Sockname { .. }
        | Operation::Peername { .. }
        | Operation::SendMsg { .. }
        | Operation::RecvMsg { .. }
        | Operation::Splice { .. }
        | Operation::Wait { .. }
        | Operation::FutexWait { .. }
        | Operation::FutexWake { .. }
        | Operation::Wake { .. } => *operation,
    };
    Ok(Plan { openings: planner.openings, operation, again: false })
}

impl Planner {
    /// For a verb on an extended attribute: the attribute, of the file.
    fn attributed(
        &mut self,
        directory: Directory,
        attribute: Attribute,
        flags: XattrFlags,
    ) -> (Directory, Attribute) {
        let follow = !flags.contains(XattrFlags::NOFOLLOW);
        self.object(directory, attribute.path(), follow).for_attribute(attribute)
    }
}
