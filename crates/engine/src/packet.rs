//! Packets and chains: the engine's state for entries in flight. Plain data; what happens to it is in the other
//! modules.

use ouzel_ring::{Entry, EntryFlags, Errno, REGISTERS};

use crate::Outcome;
use crate::regions::Scratch;
use crate::slab::NONE;

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its turn has not come.
    Waiting,
    /// The engine itself waits for its timer.
    Parked,
    /// Its turn has come, but the backend had no room.
    Stalled,
    /// The backend has it.
    Started,
    /// A multishot that is over; its end is in the store, behind its results.
    Stored,
    /// The backend has reported; its turn has not come.
    Reported(Outcome),
}

/// Why the backend was asked to give a packet up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    Cancelled,
    TimedOut,
    /// A multishot that no completion slot was left for.
    NoRoom,
    /// A multishot ACCEPT that no index was left for.
    NoDescriptor,
}

impl GivenUp {
    pub(crate) fn errno(self) -> Errno {
        match self {
            GivenUp::Cancelled => Errno::ECANCELED,
            GivenUp::TimedOut => Errno::ETIMEDOUT,
            GivenUp::NoRoom => Errno::ENOBUFS,
            GivenUp::NoDescriptor => Errno::EMFILE,
        }
    }
}

/// What an operation does to the descriptor table when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// It fills the indices reserved for it, of which the second may be [`NONE`].
    Opens([u32; 2]),
    /// It empties the index it uses.
    Closes,
    /// Each of its results is a handle that gets an index: a multishot ACCEPT.
    Accepts,
    /// It leaves handles in its scratch memory that get indices: a RECVMSG.
    Receives,
}

/// One entry in flight.
pub(crate) struct Packet {
    pub(crate) entry: Entry,
    /// The next member of the chain.
    pub(crate) next: u32,
    pub(crate) chain: u32,
    pub(crate) stage: Stage,
    pub(crate) given_up: Option<GivenUp>,
    /// The indices that the operation names, from the time it is prepared.
    pub(crate) uses: [u32; 2],
    /// What the operation does to the descriptor table.
    pub(crate) effect: Effect,
    /// The descriptor of the second object it has opened (a pipe's end to write to), or 0.
    pub(crate) second: u64,
    /// Started: its report gives the engine something to do, or posts nothing, so that nobody may sleep past it.
    pub(crate) eager: bool,
    /// Parked: its timer means success, not ETIMEDOUT.
    pub(crate) wakes: bool,
    /// How many results of a multishot have gone into the store: what follows must queue behind them.
    pub(crate) stored: u32,
    pub(crate) scratch: Scratch,
}

impl Packet {
    pub(crate) fn new() -> Packet {
        Packet {
            entry: Entry::from_words([0; 8]),
            next: NONE,
            chain: NONE,
            stage: Stage::Waiting,
            given_up: None,
            uses: [NONE; 2],
            effect: Effect::None,
            second: 0,
            eager: false,
            wakes: false,
            stored: 0,
            scratch: Scratch::default(),
        }
    }

    /// Begins a new life, keeping the scratch memory.
    #[inline]
    pub(crate) fn begin(&mut self, entry: Entry, chain: u32) {
        self.entry = entry;
        self.next = NONE;
        self.chain = chain;
        self.stage = Stage::Waiting;
        self.given_up = None;
        self.uses = [NONE; 2];
        self.effect = Effect::None;
        self.second = 0;
        self.eager = false;
        self.wakes = false;
        self.stored = 0;
    }

    #[inline]
    pub(crate) fn flags(&self) -> EntryFlags {
        EntryFlags::from_bits_retain(self.entry.flags)
    }

    #[inline]
    pub(crate) fn is_finally(&self) -> bool {
        self.flags().contains(EntryFlags::FINALLY)
    }
}

/// Why the ordinary members of a chain run no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A member failed and the next hung on its success.
    Broken,
    /// It was cancelled, or its deadline has passed.
    GivenUp,
}

/// The registers of one chain.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    values: [u64; REGISTERS],
    defined: u8,
}

impl Registers {
    pub(crate) const UNDEFINED: Registers = Registers { values: [0; REGISTERS], defined: 0 };

    /// Begins a new life: with these values, or with none defined.
    #[inline]
    fn begin(&mut self, values: Option<[u64; REGISTERS]>) {
        self.defined = 0;
        if let Some(values) = values {
            *self = Registers { values, defined: 0x7f };
        }
    }

    #[inline]
    pub(crate) fn load(&self, register: usize) -> Option<u64> {
        (self.defined & (1 << register) != 0).then(|| self.values[register])
    }

    #[inline]
    pub(crate) fn save(&mut self, register: usize, value: u64) {
        self.values[register] = value;
        self.defined |= 1 << register;
    }

    #[inline]
    pub(crate) fn forget(&mut self, register: usize) {
        self.defined &= !(1 << register);
    }
}

/// Entries joined by LINK or HARDLINK, or one alone.
pub(crate) struct Chain {
    /// The member whose turn it is.
    pub(crate) current: u32,
    pub(crate) registers: Registers,
    pub(crate) local: bool,
    pub(crate) drain: bool,
    pub(crate) ended: Option<Ended>,
    /// It is in the work list.
    pub(crate) queued: bool,
}

impl Chain {
    pub(crate) fn new() -> Chain {
        Chain {
            current: NONE,
            registers: Registers::UNDEFINED,
            local: true,
            drain: false,
            ended: None,
            queued: false,
        }
    }

    /// Begins a new life, with a snapshot of the ring's registers unless it is LOCAL.
    #[inline]
    pub(crate) fn begin(&mut self, registers: Option<[u64; REGISTERS]>, local: bool, drain: bool) {
        self.current = NONE;
        self.registers.begin(registers);
        self.local = local;
        self.drain = drain;
        self.ended = None;
        self.queued = false;
    }
}
