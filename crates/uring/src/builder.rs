//! Making a ring.
//!
//! The caller says which flags it wants and gets those or an error: nothing is dropped silently. Who wants the
//! best that a kernel has walks a list of [`Step`]s with [`Builder::first_of`] and is told which one it got. What
//! can be checked without the kernel is checked before the call.

use core::ptr::NonNull;
use core::time::Duration;

use rustix::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::abi::{CQ_ENTRIES_MAX, Features, Params, SQ_ENTRIES_MAX, SetupFlags};
use crate::child::{ChildReport, probe_in_child};
use crate::error::SetupError;
use crate::layout::{self, Queues};
use crate::mapping::Mapping;
use crate::raw;
use crate::ring::{Ring, RingFd};
use crate::steps::{Step, StepReport};

/// The flags whose rings this crate can drive.
///
/// Not among them: SQ_REWIND, whose queue has neither head nor tail to tell what the kernel took.
const SUPPORTED: SetupFlags = SetupFlags::IOPOLL
    .union(SetupFlags::SQPOLL)
    .union(SetupFlags::SQ_AFF)
    .union(SetupFlags::CQSIZE)
    .union(SetupFlags::CLAMP)
    .union(SetupFlags::ATTACH_WQ)
    .union(SetupFlags::R_DISABLED)
    .union(SetupFlags::SUBMIT_ALL)
    .union(SetupFlags::COOP_TASKRUN)
    .union(SetupFlags::TASKRUN_FLAG)
    .union(SetupFlags::SQE128)
    .union(SetupFlags::CQE32)
    .union(SetupFlags::SINGLE_ISSUER)
    .union(SetupFlags::DEFER_TASKRUN)
    .union(SetupFlags::NO_MMAP)
    .union(SetupFlags::REGISTERED_FD_ONLY)
    .union(SetupFlags::NO_SQARRAY)
    .union(SetupFlags::HYBRID_IOPOLL)
    .union(SetupFlags::CQE_MIXED)
    .union(SetupFlags::SQE_MIXED);

/// The application's memory for a ring, see [`Builder::build_in`].
#[derive(Clone, Copy, Debug)]
pub struct RingMemory {
    /// Memory for the queues' words, completions and indices; begins at a page.
    pub queues: NonNull<u8>,
    /// Its size in bytes.
    pub queues_length: usize,
    /// Memory for the entries; begins at a page.
    pub entries: NonNull<u8>,
    /// Its size in bytes.
    pub entries_length: usize,
}

/// How much memory a ring needs, see [`Builder::memory_size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    /// Bytes for the queues, whole pages.
    pub queues: usize,
    /// Bytes for the entries, whole pages.
    pub entries: usize,
}

/// What a ring is to be like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Builder<'ring> {
    entries: u32,
    completion_entries: Option<u32>,
    flags: SetupFlags,
    poller_cpu: u32,
    poller_idle_milliseconds: u32,
    two_mappings: bool,
    exact: bool,
    attached: Option<BorrowedFd<'ring>>,
    close_bound: Duration,
    probe_first: bool,
}

impl Default for Builder<'_> {
    /// A ring of [`DEFAULT_ENTRIES`](Self::DEFAULT_ENTRIES), without flags.
    fn default() -> Self {
        Self::new(Self::DEFAULT_ENTRIES)
    }
}

impl<'ring> Builder<'ring> {
    /// The submission entries of a ring whose maker does not care.
    pub const DEFAULT_ENTRIES: u32 = 32;

    /// How long the kernel's thread spins by default before it sleeps, in milliseconds.
    pub const DEFAULT_IDLE_MILLISECONDS: u32 = 1000;

    /// How long dropping a ring may wait by default for what was cancelled.
    pub const DEFAULT_CLOSE_BOUND: Duration = Duration::from_secs(1);

    /// A ring of at least `entries` submission entries, without flags. The kernel rounds up to a power of two.
    pub const fn new(entries: u32) -> Self {
        Self {
            entries,
            completion_entries: None,
            flags: SetupFlags::empty(),
            poller_cpu: 0,
            poller_idle_milliseconds: Self::DEFAULT_IDLE_MILLISECONDS,
            two_mappings: false,
            exact: false,
            attached: None,
            close_bound: Self::DEFAULT_CLOSE_BOUND,
            probe_first: false,
        }
    }

    /// At least so many completion entries, instead of twice the submission entries. Sets
    /// [`SetupFlags::CQSIZE`] (5.5).
    pub const fn completion_entries(mut self, entries: u32) -> Self {
        self.completion_entries = Some(entries);
        self.flags = self.flags.union(SetupFlags::CQSIZE);
        self
    }

    /// Refuses numbers of entries that are no power of two ([`SetupError::NotPowerOfTwo`]), which are otherwise
    /// rounded up.
    pub const fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    /// With these flags besides those it has.
    pub const fn flags(mut self, flags: SetupFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// A thread of the kernel takes the entries and sleeps after so many idle milliseconds (0: one second).
    /// Sets [`SetupFlags::SQPOLL`].
    pub const fn poller(mut self, idle_milliseconds: u32) -> Self {
        self.poller_idle_milliseconds = idle_milliseconds;
        self.flags = self.flags.union(SetupFlags::SQPOLL);
        self
    }

    /// That thread stays on this processor. Sets [`SetupFlags::SQ_AFF`].
    pub const fn poller_cpu(mut self, cpu: u32) -> Self {
        self.poller_cpu = cpu;
        self.flags = self.flags.union(SetupFlags::SQ_AFF);
        self
    }

    /// Shares the workers of the ring `other` and, with [`SetupFlags::SQPOLL`], its kernel thread. Sets
    /// [`SetupFlags::ATTACH_WQ`] (5.6). [`SetupError::SharedRing`] if it is not a ring or has no such thread.
    pub const fn attach(mut self, other: BorrowedFd<'ring>) -> Self {
        self.attached = Some(other);
        self.flags = self.flags.union(SetupFlags::ATTACH_WQ);
        self
    }

    /// How long dropping the ring may wait for what it then cancels, see [`Ring`].
    pub const fn close_bound(mut self, bound: Duration) -> Self {
        self.close_bound = bound;
        self
    }

    /// Tries the calls in a child process before making the ring, so that a seccomp filter that kills is an error
    /// ([`SetupError::WouldKill`]) instead of the end of this process; see [`probe_in_child`](crate::probe_in_child).
    /// Costs a fork. Nothing forks without this.
    pub const fn probe_first(mut self) -> Self {
        self.probe_first = true;
        self
    }

    /// Maps the queues separately even where the kernel offers one mapping, as kernels before 5.4 require. For
    /// tests of that path.
    pub const fn two_mappings(mut self, two: bool) -> Self {
        self.two_mappings = two;
        self
    }

    /// Makes the ring, or says why not.
    ///
    /// The descriptor is closed on exec, and a forked child does not inherit the queues (see
    /// [`Ring::abandon`]). With [`SetupFlags::NO_MMAP`] the ring lies in memory that it allocates (6.5).
    pub fn build(&self) -> Result<Ring, SetupError> {
        if self.flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
            return Err(SetupError::NeedsPromise);
        }
        if self.flags.contains(SetupFlags::NO_MMAP) {
            let (queues, entries) = self.allocate()?;
            return self.build_over(queues, entries);
        }
        self.check()?;
        let mut params = self.params();
        // SAFETY: without NO_MMAP the parameters lead to no memory.
        let number = unsafe { raw::setup(self.entries, &mut params) }
            .map_err(|errno| SetupError::from_errno(errno, self.flags, self.entries))?;
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(number as i32) };
        let queues = Queues::map(fd.as_fd(), &params, self.two_mappings)?;
        Ok(self.finish(queues, RingFd::Owned(fd), &params))
    }

    /// How much memory [`build_in`](Self::build_in) wants for such a ring.
    ///
    /// The kernel does not tell how large the head of its queues is; this is a little more than any needs.
    pub fn memory_size(&self) -> Result<MemorySize, SetupError> {
        self.check_numbers()?;
        let entries = self.entries.min(SQ_ENTRIES_MAX).next_power_of_two();
        let completion_entries = match self.completion_entries {
            Some(asked) => asked.min(CQ_ENTRIES_MAX).next_power_of_two(),
            None => 2 * entries,
        };
        layout::memory_size(entries, completion_entries, self.flags)
    }

    /// Makes the ring in the caller's memory (6.5), for instance in huge pages. Sets [`SetupFlags::NO_MMAP`].
    /// [`SetupError::Memory`] if it is smaller than [`memory_size`](Self::memory_size) or begins in the middle of
    /// a page.
    ///
    /// # Safety
    ///
    /// The memory must be valid for reads and writes, and nobody else may use it, until the ring is dropped. The
    /// kernel holds on to its pages and may write to them a little longer, so what is put there next must not
    /// mind; unmapping is always fine. A forked child must not touch it.
    pub unsafe fn build_in(&self, memory: RingMemory) -> Result<Ring, SetupError> {
        if self.flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
            return Err(SetupError::NeedsPromise);
        }
        // SAFETY: the caller's promise.
        let (queues, entries) = unsafe { self.borrow(memory)? };
        self.build_over(queues, entries)
    }

    /// Makes a ring that has no descriptor, only an index in this thread's table (6.5), in the caller's memory or
    /// in its own. Sets [`SetupFlags::REGISTERED_FD_ONLY`] and [`SetupFlags::NO_MMAP`].
    ///
    /// # Safety
    ///
    /// The memory as in [`build_in`](Self::build_in); and the ring must be used and dropped on this thread only:
    /// on another one the index may be another ring's, which would be entered or unregistered instead.
    pub unsafe fn build_registered(&self, memory: Option<RingMemory>) -> Result<Ring, SetupError> {
        let builder = self.flags(SetupFlags::REGISTERED_FD_ONLY);
        let (queues, entries) = match memory {
            // SAFETY: the caller's promise.
            Some(memory) => unsafe { builder.borrow(memory)? },
            None => builder.allocate()?,
        };
        builder.build_over(queues, entries)
    }

    /// Memory of the ring's own.
    fn allocate(&self) -> Result<(Mapping, Mapping), SetupError> {
        let size = self.memory_size()?;
        Ok((Mapping::anonymous(size.queues)?, Mapping::anonymous(size.entries)?))
    }

    /// Memory of the caller's.
    ///
    /// # Safety
    ///
    /// As [`build_in`](Self::build_in).
    unsafe fn borrow(&self, memory: RingMemory) -> Result<(Mapping, Mapping), SetupError> {
        let needed = self.memory_size()?;
        let given = MemorySize { queues: memory.queues_length, entries: memory.entries_length };
        let page = rustix::param::page_size();
        let aligned =
            [memory.queues, memory.entries].iter().all(|start| start.addr().get().is_multiple_of(page));
        if !aligned || given.queues < needed.queues || given.entries < needed.entries {
            return Err(SetupError::Memory { needed, given });
        }
        // SAFETY: the caller's promise.
        unsafe {
            Ok((
                Mapping::borrowed(memory.queues, memory.queues_length),
                Mapping::borrowed(memory.entries, memory.entries_length),
            ))
        }
    }

    /// Makes the ring in memory that is large enough.
    fn build_over(&self, queues: Mapping, entries: Mapping) -> Result<Ring, SetupError> {
        let builder = self.flags(SetupFlags::NO_MMAP);
        builder.check()?;
        let mut params = builder.params();
        params.cq_off.user_addr = queues.start().as_ptr().expose_provenance() as u64;
        params.sq_off.user_addr = entries.start().as_ptr().expose_provenance() as u64;
        // SAFETY: both are as large as the kernel will use for these parameters, and nobody else uses them.
        let number = unsafe { raw::setup(builder.entries, &mut params) }
            .map_err(|errno| SetupError::from_errno(errno, builder.flags, builder.entries))?;
        let fd = if builder.flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
            RingFd::Registered(number)
        } else {
            // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
            RingFd::Owned(unsafe { OwnedFd::from_raw_fd(number as i32) })
        };
        match Queues::over(queues, entries, &params) {
            Ok(queues) => Ok(builder.finish(queues, fd, &params)),
            Err(error) => {
                fd.give_back();
                Err(error)
            }
        }
    }

    /// What the kernel is told.
    fn params(&self) -> Params {
        Params {
            cq_entries: self.completion_entries.unwrap_or(0),
            flags: self.flags.bits(),
            sq_thread_cpu: self.poller_cpu,
            sq_thread_idle: self.poller_idle_milliseconds,
            wq_fd: self.attached.map_or(0, |other| other.as_raw_fd() as u32),
            ..Params::default()
        }
    }

    /// The ring over queues that are there.
    fn finish(&self, queues: Queues, fd: RingFd, params: &Params) -> Ring {
        let features = Features::from_bits_retain(params.features);
        let flags = SetupFlags::from_bits_retain(params.flags);
        Ring::new(queues, fd, flags, features, self.two_mappings, self.close_bound)
    }

    /// Makes the ring with the first of `steps` that the kernel takes, added to the flags of the builder, and
    /// tells which it was and why those before it were refused. An empty list is a single step without flags.
    ///
    /// Only a refusal of the flags leads to the next step. Anything else, such as a seccomp filter or a lack of
    /// memory, would meet the next step as well and is returned at once.
    pub fn first_of(&self, steps: &[Step]) -> Result<(Ring, StepReport), SetupError> {
        let mut report = StepReport::new();
        let mut steps = steps.iter().copied();
        let mut step = steps.next().unwrap_or(Step::PLAIN);
        let mut builder = *self;
        loop {
            let made = builder.flags(step.flags).build();
            // One child is enough.
            builder.probe_first = false;
            let error = match made {
                Ok(ring) => {
                    report.taken = step;
                    return Ok((ring, report));
                }
                Err(error @ (SetupError::Invalid { .. } | SetupError::NotBuilt { .. })) => error,
                Err(error) => return Err(error),
            };
            report.refuse(step, error);
            step = steps.next().ok_or(error)?;
        }
    }

    /// Checks what can be checked without the kernel, and asks a child if that was wanted.
    fn check(&self) -> Result<(), SetupError> {
        self.check_numbers()?;
        if !self.probe_first {
            return Ok(());
        }
        match probe_in_child() {
            ChildReport::SetupFailed(error) => Err(error),
            ChildReport::Killed { call, signal } => Err(SetupError::WouldKill { call, signal }),
            ChildReport::Stuck { call } => Err(SetupError::WouldHang { call }),
            ChildReport::NoChild { errno } => Err(SetupError::NoChild { errno }),
            // The ring's own calls will say the same.
            ChildReport::Works | ChildReport::EnterFailed(_) | ChildReport::RegisterFailed(_) => Ok(()),
        }
    }

    /// Checks what can be checked without the kernel.
    fn check_numbers(&self) -> Result<(), SetupError> {
        let unsupported = self.flags.difference(SUPPORTED);
        if !unsupported.is_empty() {
            return Err(SetupError::Unsupported { flags: unsupported });
        }
        // The kernel would take standard input for a ring where none was named.
        if self.flags.contains(SetupFlags::ATTACH_WQ) && self.attached.is_none() {
            return Err(SetupError::NothingAttached);
        }
        let clamp = self.flags.contains(SetupFlags::CLAMP);
        let outside = |asked: u32, limit: u32| asked == 0 || (asked > limit && !clamp);
        if outside(self.entries, SQ_ENTRIES_MAX) {
            return Err(SetupError::Entries { asked: self.entries });
        }
        if self.exact && !self.entries.is_power_of_two() {
            return Err(SetupError::NotPowerOfTwo { asked: self.entries });
        }
        let asked = match self.completion_entries {
            Some(asked) => asked,
            // The flag was given by hand, without a number.
            None if self.flags.contains(SetupFlags::CQSIZE) => 0,
            None => return Ok(()),
        };
        if self.exact && !asked.is_power_of_two() {
            return Err(SetupError::NotPowerOfTwo { asked });
        }
        // What the kernel makes of the numbers; the limits are powers of two, so this cannot overflow.
        let entries = self.entries.min(SQ_ENTRIES_MAX).next_power_of_two();
        let completion_entries = asked.min(CQ_ENTRIES_MAX).next_power_of_two();
        if outside(asked, CQ_ENTRIES_MAX) || completion_entries < entries {
            return Err(SetupError::CompletionEntries { asked, entries: self.entries });
        }
        Ok(())
    }
}
