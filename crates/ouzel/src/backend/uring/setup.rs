//! Set-up: a ring with the best flags this kernel takes, a table of slots, and a record of what is missing.
//!
//! Everything that depends on the kernel's age is decided here, once; the rest of the backend asks [`Features`]. It
//! makes the ring and registers things with it; it starts no operation.

use std::fmt;

use ouzel_uring::abi::{Features as KernelFeatures, Opcode, SetupFlags};
use ouzel_uring::{Builder, Probe, RegisterError, Ring, SetupError, Slot, Step, StepReport};

use super::memory;
use super::planner::Costs;

/// How chains are mapped onto the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// What is expected to be cheapest: plain calls that refuse to wait for a few small operations on files, the ring for
    /// many at once and for all that could wait; and for a chain that is waited for alone, plain calls that do wait.
    #[default]
    Auto,
    /// Everything that can be goes through the ring, runs as linked entries.
    Links,
    /// Plain calls wherever they refuse to wait, and the ring for the rest.
    Calls,
}

/// What a uring backend is to be like.
#[derive(Clone, Copy, Debug)]
pub struct UringOptions {
    /// Size of the descriptor table: as large as the engine's.
    pub descriptors: u32,
    /// Entries of the kernel's submission queue, 8 to 32,768; the kernel rounds up to a power of two. Where there is no memory
    /// for more than the default, it is the default.
    pub entries: u32,
    /// The backend may be used on another thread than the one that made it, one at a time. Costs the modes that need
    /// a fixed thread.
    pub movable: bool,
    /// How chains are mapped onto the kernel.
    pub policy: Policy,
    /// What [`Policy::Auto`] reckons with. Without it, [`Costs::USUAL`] until this machine's own are known.
    pub costs: Option<Costs>,
    /// Opened files go into the kernel's own table. Without it every object is an ordinary descriptor, as on kernels
    /// before 6.8, and runs end where something is opened. For tests and comparisons.
    pub slots: bool,
    /// Treat these opcodes as though the kernel did not have them. For tests and comparisons.
    pub without: &'static [Opcode],
}

impl Default for UringOptions {
    fn default() -> UringOptions {
        UringOptions {
            descriptors: 1024,
            entries: 256,
            movable: false,
            policy: Policy::Auto,
            costs: None,
            slots: true,
            without: &[],
        }
    }
}

/// Why there is no uring backend.
#[derive(Debug)]
#[non_exhaustive]
pub enum UringError {
    /// The ring could not be made.
    Setup(SetupError),
    /// The kernel did not say which operations it has (before 5.6).
    Probe(RegisterError),
    /// The kernel's io_uring is too old to build on.
    TooOld {
        /// What it lacks.
        missing: &'static str,
    },
    /// `descriptors` is 0 or more than 2^20.
    Descriptors {
        /// What was asked for.
        asked: u32,
    },
}

impl fmt::Display for UringError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UringError::Setup(error) => write!(formatter, "uring backend: {error}"),
            UringError::Probe(error) => {
                write!(formatter, "uring backend: asking for its operations: {error}")
            }
            UringError::TooOld { missing } => write!(
                formatter,
                "uring backend: this kernel's io_uring lacks {missing}: use Linux 5.15 or newer, or the threads backend"
            ),
            UringError::Descriptors { asked } => {
                write!(formatter, "uring backend: a table of {asked} descriptors: ask for 1 to 1048576")
            }
        }
    }
}

impl std::error::Error for UringError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UringError::Setup(error) => Some(error),
            UringError::Probe(error) => Some(error),
            UringError::TooOld { .. } | UringError::Descriptors { .. } => None,
        }
    }
}

/// Something the kernel lacks, and what is done instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What the kernel lacks.
    pub what: &'static str,
    /// The first Linux that has it.
    pub since: &'static str,
    /// What is done instead.
    pub instead: &'static str,
}

/// What the backend found and chose; for `doctor`.
#[derive(Clone, Debug)]
pub struct Features {
    /// Which set-up flags were taken and why better ones were not.
    pub step: StepReport,
    /// Opened objects live in the kernel's table, so that a run can open and use them.
    pub slots: bool,
    /// How many slots the kernel may choose itself, for multishot ACCEPT.
    pub accept_slots: u32,
    /// The ring is entered by an index registered with its thread.
    pub registered: bool,
    /// Waiting takes an absolute time.
    pub absolute_time: bool,
    /// What the kernel lacks.
    pub missing: Vec<Missing>,
    supported: u128,
}

impl Features {
    /// Whether entries of `opcode` are used.
    #[inline]
    pub fn has(&self, opcode: Opcode) -> bool {
        self.supported >> (opcode as u8) & 1 == 1
    }
}

/// The steps of the raw layer, with the flag that tells of deferred work where the kernel can say so.
const fn telling<const N: usize>(mut steps: [Step; N]) -> [Step; N] {
    let mut index = 0;
    while index < N {
        if steps[index].flags.contains(SetupFlags::COOP_TASKRUN) {
            steps[index].flags = steps[index].flags.union(SetupFlags::TASKRUN_FLAG);
        }
        index += 1;
    }
    steps
}

const ONE_THREAD: [Step; 6] = telling(Step::ONE_THREAD);
const MOVABLE: [Step; 4] = telling(Step::MOVABLE);

/// Opcodes without which nothing works: as old as the features asked for.
const NEEDED: [Opcode; 12] = [
    Opcode::Readv,
    Opcode::Writev,
    Opcode::Read,
    Opcode::Write,
    Opcode::Openat,
    Opcode::Openat2,
    Opcode::Close,
    Opcode::Statx,
    Opcode::PollAdd,
    Opcode::AsyncCancel,
    Opcode::Accept,
    Opcode::Connect,
];

/// Opcodes that plain calls can stand in for.
const REPLACEABLE: [(Opcode, &str, &str, &str); 13] = [
    (Opcode::Renameat, "RENAME", "5.11", HELPER),
    (Opcode::Unlinkat, "REMOVE", "5.11", HELPER),
    (Opcode::Mkdirat, "MKDIR", "5.15", HELPER),
    (Opcode::Symlinkat, "SYMLINK", "5.15", HELPER),
    (Opcode::Linkat, "LINK", "5.15", HELPER),
    (Opcode::Ftruncate, "TRUNCATE", "6.9", HELPER),
    (Opcode::Fallocate, "ALLOCATE", "5.6", HELPER),
    (Opcode::Fsync, "SYNC", "5.1", HELPER),
    (Opcode::SyncFileRange, "SYNC of a range", "5.2", HELPER),
    (Opcode::Shutdown, "SHUTDOWN", "5.11", CALL),
    (Opcode::Socket, "SOCKET", "5.19", CALL),
    (Opcode::Bind, "BIND", "6.11", CALL),
    (Opcode::Listen, "LISTEN", "6.11", CALL),
];

const HELPER: &str = "a helper thread";
const CALL: &str = "a plain system call";

/// A ring, set up.
pub(super) fn set_up(options: &UringOptions) -> Result<(Ring, Features), UringError> {
    if options.descriptors == 0 || options.descriptors > 1 << 20 {
        return Err(UringError::Descriptors { asked: options.descriptors });
    }
    let steps: &[Step] = if options.movable { &MOVABLE } else { &ONE_THREAD };
    let make = |entries: u32| {
        Builder::new(entries)
            .completion_entries(entries.saturating_mul(4).min(ouzel_uring::abi::CQ_ENTRIES_MAX))
            .first_of(steps)
    };
    let entries = options.entries.clamp(8, ouzel_uring::abi::SQ_ENTRIES_MAX);
    let usual = UringOptions::default().entries;
    let (mut ring, step) = match make(entries) {
        // Where memory for it is short (kernels before 5.12 count it as locked), a large ring is no must.
        Err(SetupError::NoMemory) if entries > usual => make(usual),
        made => made,
    }
    .map_err(UringError::Setup)?;
    let probe = ring.probe().map_err(UringError::Probe)?;
    check_age(&ring, &probe)?;

    let mut supported = 0;
    for opcode in Opcode::ALL {
        let wanted = NEEDED.contains(opcode) || !options.without.contains(opcode);
        if wanted && probe.supports(*opcode) {
            supported |= 1u128 << (*opcode as u8);
        }
    }
    let mut features = Features {
        step,
        slots: false,
        accept_slots: 0,
        registered: false,
        // The absolute clock came with the same kernel, and has no bit of its own.
        absolute_time: ring.features().contains(KernelFeatures::MIN_TIMEOUT),
        missing: Vec::new(),
        supported,
    };
    if !features.absolute_time {
        let instead = "times from now on";
        features.missing.push(Missing { what: "absolute times for waiting", since: "6.12", instead });
    }
    for (opcode, what, since, instead) in REPLACEABLE {
        if !features.has(opcode) {
            features.missing.push(Missing { what, since, instead });
        }
    }
    register_slots(&mut ring, options, &mut features);
    if !options.movable {
        features.registered = memory::register_with_thread(&mut ring);
        if !features.registered {
            let instead = "its descriptor";
            features.missing.push(Missing { what: "entering by a registered index", since: "5.18", instead });
        }
    }
    Ok((ring, features))
}

fn check_age(ring: &Ring, probe: &Probe) -> Result<(), UringError> {
    let needed = [
        (KernelFeatures::NODROP, "NODROP (completions that do not fit are kept)"),
        (KernelFeatures::SUBMIT_STABLE, "SUBMIT_STABLE (paths are read at submission)"),
        (KernelFeatures::RW_CUR_POS, "RW_CUR_POS (transfers at the current position)"),
        (KernelFeatures::FAST_POLL, "FAST_POLL (waiting without a worker)"),
        (KernelFeatures::EXT_ARG, "EXT_ARG (waiting with a time limit)"),
    ];
    for (feature, missing) in needed {
        if !ring.features().contains(feature) {
            return Err(UringError::TooOld { missing });
        }
    }
    for opcode in NEEDED {
        if !probe.supports(opcode) {
            return Err(UringError::TooOld { missing: opcode.name() });
        }
    }
    Ok(())
}

/// Gives the ring a table of slots: one for each descriptor, and some for the kernel to choose from.
fn register_slots(ring: &mut Ring, options: &UringOptions, features: &mut Features) {
    let instead = "ordinary descriptors; runs end where something is opened";
    if !options.slots {
        features.missing.push(Missing { what: "slots (switched off)", since: "6.8", instead });
        return;
    }
    // A slot that cannot be turned into a descriptor again is of no use to STAT, READDIR or release.
    if !features.has(Opcode::FixedFdInstall) || !ring.features().contains(KernelFeatures::LINKED_FILE) {
        features.missing.push(Missing { what: "descriptors made from slots", since: "6.8", instead });
        return;
    }
    for accept_slots in [options.descriptors.max(64), 64, 8] {
        let Some(total) = options.descriptors.checked_add(accept_slots) else { continue };
        if ring.register_files_sparse(total).is_err() {
            continue;
        }
        if ring.register_file_alloc_range(Slot(options.descriptors), accept_slots).is_err() {
            let _ = ring.unregister_files();
            continue;
        }
        features.slots = true;
        features.accept_slots = accept_slots;
        return;
    }
    let what = "a table of slots this large (RLIMIT_NOFILE, ulimit -n)";
    features.missing.push(Missing { what, since: "5.19", instead });
}
