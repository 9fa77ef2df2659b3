//! Memory that two processes map: the two parts of a ring, and what a client shares of its own.
//!
//! The only module that maps and unmaps. It makes memory, judges memory that came from the other side, and hands out addresses;
//! it never reads or writes what is there, and nobody gets a reference to it from here. What can be had of the kernel is had of
//! it rather than of the other side: that a file cannot become shorter (a seal), that it is memory and no file on a disk, that
//! only one side can write a page. Lengths are this side's own, and every descriptor is looked at before it is mapped.
//!
//! | part | written by | made by | seals | server maps | client maps |
//! |---|---|---|---|---|---|
//! | engine | server | server | SHRINK, GROW, FUTURE_WRITE, SEAL | read-write, before it is sealed | read-only |
//! | submitter | client | server | SHRINK, GROW, SEAL | read-only | read-write |
//! | region | both | client | SHRINK, GROW, SEAL | read-write | read-write |
//!
//! What the seals cannot prevent is a hole: whoever may write to a file may also punch one. It reads as zeros, for which the
//! kernel takes a page when it is touched; if it cannot have one, the process that touches it gets SIGBUS.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

use ouzel_ring::{Geometry, Memory};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs,
    ftruncate, memfd_create,
};
use rustix::io::{Errno, pread, pwrite};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use rustix::process::{Pid, getpid};

/// Nobody can make the file shorter or longer, or take the seals off.
const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// And nobody can write to it who does not do so already.
const FIXED_AND_OURS: SealFlags = FIXED.union(SealFlags::FUTURE_WRITE);

/// The number of tmpfs in `statfs(2)`.
const TMPFS: u32 = 0x0102_1994;

/// Both parts of one ring, mapped.
pub(crate) struct RingMemory {
    memory: Memory,
    /// They stay as long as this. The part that the other side writes is mapped read-only.
    _engine: Mapping,
    _submitter: Mapping,
}

impl RingMemory {
    /// Memory for a ring of this geometry, on the server's side, and the descriptors of the engine part and the submitter part
    /// for the client. All of its pages are there.
    pub(crate) fn make(geometry: Geometry) -> io::Result<(RingMemory, [OwnedFd; 2])> {
        let engine_file = allocate(c"ouzel-engine", whole_pages(geometry.split_engine_size()))?;
        let engine =
            Mapping::new(engine_file.as_fd(), whole_pages(geometry.split_engine_size()), Access::Write)?;
        engine.populate()?;
        // After the mapping: it is the last that may write.
        seal(&engine_file, FIXED_AND_OURS)?;
        let submitter_file = allocate(c"ouzel-submitter", whole_pages(geometry.split_submitter_size()))?;
        seal(&submitter_file, FIXED)?;
        let submitter =
            Mapping::new(submitter_file.as_fd(), whole_pages(geometry.split_submitter_size()), Access::Read)?;
        submitter.populate()?;
        Ok((RingMemory::of(geometry, engine, submitter)?, [engine_file, submitter_file]))
    }

    /// The memory that a server made for a ring of this geometry, on the client's side: its engine part and its submitter part,
    /// if they are what [`make`](RingMemory::make) makes.
    pub(crate) fn open(geometry: Geometry, files: [OwnedFd; 2]) -> io::Result<RingMemory> {
        let [engine_file, submitter_file] = files;
        let engine_length = whole_pages(geometry.split_engine_size());
        let submitter_length = whole_pages(geometry.split_submitter_size());
        check(engine_file.as_fd(), "the engine part of a ring", FIXED_AND_OURS, engine_length)?;
        check(submitter_file.as_fd(), "the submitter part of a ring", FIXED, submitter_length)?;
        let engine = Mapping::new(engine_file.as_fd(), engine_length, Access::Read)?;
        let submitter = Mapping::new(submitter_file.as_fd(), submitter_length, Access::Write)?;
        engine.populate()?;
        submitter.populate()?;
        RingMemory::of(geometry, engine, submitter)
    }

    fn of(geometry: Geometry, engine: Mapping, submitter: Mapping) -> io::Result<RingMemory> {
        // SAFETY: both are mapped for as long as the RingMemory lives, which whoever takes the handle sees to; what one side
        // must write it has mapped writable, and it reads with atomic loads. That the other process may do anything with its
        // part is what those are for.
        let memory = unsafe {
            Memory::split(engine.start, engine.length, submitter.start, submitter.length, geometry)
        }
        .map_err(io::Error::other)?;
        Ok(RingMemory { memory, _engine: engine, _submitter: submitter })
    }

    /// A handle to the memory, in the split placement.
    ///
    /// # Safety
    ///
    /// The RingMemory outlives the handle and every end made of it. On the server's side only an engine's end may be made of
    /// it, and on the client's side only a submitter's: the other part cannot be written.
    pub(crate) unsafe fn handle(&self) -> Memory {
        self.memory.clone()
    }
}

impl fmt::Debug for RingMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RingMemory {{ geometry: {:?} }}", self.memory.geometry())
    }
}

/// Memory that a client shares, on the server's side.
///
/// The client may write to it at any time. It is mapped once, for as long as this lives, and whoever lets an operation reach
/// into it keeps this until the operation has ended.
#[derive(Debug)]
pub(crate) struct Region {
    mapping: Mapping,
}

impl Region {
    /// Maps the file, if it is memory of exactly this length that nobody can take away, and closes the descriptor. The length
    /// is one that this side has allowed. Pages that the client has never touched are not there yet.
    pub(crate) fn accept(file: OwnedFd, length: usize) -> io::Result<Region> {
        const WHAT: &str = "memory that a client shares";
        if length == 0 || length != whole_pages(length) {
            return Err(invalid(format!(
                "{WHAT}: {length} bytes are not a number of whole pages of {}",
                rustix::param::page_size()
            )));
        }
        check(file.as_fd(), WHAT, FIXED, length)?;
        let mapping = Mapping::new(file.as_fd(), length, Access::Write).map_err(|error| {
            // A descriptor that is open for reading, or a file that is sealed against writing.
            if matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::ACCESS | Errno::PERM))
            {
                invalid(format!("{WHAT}: it cannot be mapped for writing ({error}): open it for both"))
            } else {
                error
            }
        })?;
        Ok(Region { mapping })
    }

    /// Where it begins in this process: an address that never leaves it.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.mapping.start
    }

    /// Its size in bytes: whole pages.
    pub(crate) fn len(&self) -> usize {
        self.mapping.length
    }
}

/// A copy of the file's bytes, if it is memory of exactly this length that nobody can make shorter. It is never mapped.
pub(crate) fn copy_out(file: OwnedFd, length: usize) -> io::Result<Vec<u8>> {
    check(file.as_fd(), "memory with a copy to be made of it", FIXED, length)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(&file, rest, filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// Memory with a copy of these bytes, for [`copy_out`] on the other side.
pub(crate) fn copy_in(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = allocate(c"ouzel-program", bytes.len())?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match pwrite(&file, rest, written as u64) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    seal(&file, FIXED)?;
    Ok(file)
}

/// What this process does with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// A whole file, mapped as memory that is shared, and unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
    access: Access,
    /// Who mapped it. A forked child does not have it.
    process: Pid,
}

impl Mapping {
    fn new(file: BorrowedFd<'_>, length: usize, access: Access) -> io::Result<Mapping> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: the kernel chooses the place, so no memory in use is replaced.
        let start = unsafe { mmap(null_mut(), length, protection, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::NOMEM)?;
        let mapping = Mapping { start, length, access, process: getpid() };
        // A forked child does not inherit it: it would write to its parent's queues.
        // SAFETY: exactly the memory just mapped; the advice changes nothing in this process.
        unsafe { madvise(start.as_ptr().cast(), length, Advice::LinuxDontFork) }?;
        Ok(mapping)
    }

    /// Has every page mapped, so that what is missing is missed now, in an error, and not when it is touched.
    fn populate(&self) -> io::Result<()> {
        let advice = match self.access {
            Access::Read => Advice::LinuxPopulateRead,
            Access::Write => Advice::LinuxPopulateWrite,
        };
        // SAFETY: exactly this mapping; the advice maps pages and changes none.
        match unsafe { madvise(self.start.as_ptr().cast(), self.length, advice) } {
            // Linux before 5.14 does not know it. The pages were allocated with the file.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child something else may be in its place.
        if self.process == getpid() {
            // SAFETY: mapped by `new` with this length, and who has the address has it no longer than this. An error would
            // leave it mapped, which harms nobody.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: it only tells where it is; what is done there is its users' business.
unsafe impl Sync for Mapping {}

/// The size rounded up to whole pages. Sizes of rings are far below what cannot be; of others, what cannot be is no multiple.
fn whole_pages(size: usize) -> usize {
    size.checked_next_multiple_of(rustix::param::page_size()).unwrap_or(0)
}

/// Memory without a name, all of it there. Not sealed yet.
fn allocate(name: &CStr, length: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Some systems refuse memory that could be executed, and older kernels do not know how to ask for any other.
    let file = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    }?;
    ftruncate(&file, length as u64)?;
    fallocate(&file, FallocateFlags::empty(), 0, length as u64)?;
    Ok(file)
}

fn seal(file: &OwnedFd, seals: SealFlags) -> io::Result<()> {
    Ok(fcntl_add_seals(file, seals)?)
}

/// Whether a file from the other side is memory with these seals and of this length.
fn check(file: BorrowedFd<'_>, what: &str, seals: SealFlags, length: usize) -> io::Result<()> {
    // First: whatever has seals is memory. Anything else may lie on a file system that is the other side's own, and asked
    // about it, that one may never answer.
    let found = fcntl_get_seals(file)
        .map_err(|error| invalid(format!("{what}: it is no memory ({error}): make it with memfd_create")))?;
    if !found.contains(seals) {
        return Err(invalid(format!(
            "{what}: it has not the seals {:?}: add them before it is sent",
            seals.difference(found)
        )));
    }
    let kind =
        fstatfs(file).map_err(|error| invalid(format!("{what}: its file system: {error}")))?.f_type as u64;
    if kind != u64::from(TMPFS) {
        return Err(invalid(format!(
            "{what}: its file system is of type {kind:#x} and not tmpfs: make it with memfd_create, of ordinary pages"
        )));
    }
    // After the seals: now it cannot change.
    let size = fstat(file).map_err(|error| invalid(format!("{what}: its size: {error}")))?.st_size;
    if u64::try_from(size) != Ok(length as u64) {
        return Err(invalid(format!("{what}: it has {size} bytes and not the {length} that were agreed on")));
    }
    Ok(())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
#[path = "tests/shared.rs"]
mod tests;
