//! Packets and chains: the engine's state for entries in flight. Plain data; what happens to it is in the other
//! modules.

use ouzel_ring::{Entry, EntryFlags, Errno, REGISTERS};

use crate::Outcome;
use crate::conclude::Ending;
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
    /// A CALL whose program runs, as this chain.
    Calling(u32),
    /// A multishot that is over; its end is in the store, behind its results.
    Stored,
    /// The backend has reported; its turn has not come.
    Reported(Outcome),
    /// A member of a chain with PROGRAM that ran or was skipped. It may run again.
    Kept,
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

/// What a member of a chain with PROGRAM keeps until the chain is over; beside its packet, since few have it. As `new` makes
/// it whenever the packet is free.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// How it ended the last time it ran, or would have.
    pub(crate) ending: Ending,
    /// It has run.
    pub(crate) ran: bool,
    /// A REPEAT: how often its body has run since the loop began.
    pub(crate) turns: u32,
    /// A REPEAT: the first member of its body, or [`NONE`] if nobody has looked.
    pub(crate) body: u32,
    /// The member to go back to, or [`NONE`].
    pub(crate) back: u32,
}

impl Kept {
    pub(crate) const fn new() -> Kept {
        Kept { ending: Ending::of(Errno::OK), ran: false, turns: 0, body: NONE, back: NONE }
    }
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
    /// It is all of its chain, and has neither registers nor timers: see `alone`.
    pub(crate) alone: bool,
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
            alone: false,
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
        self.alone = false;
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
    /// A TEST has stopped it successfully.
    Stopped,
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

    /// All defined, with these values.
    pub(crate) const fn of(values: [u64; REGISTERS]) -> Registers {
        Registers { values, defined: 0x7f }
    }

    /// Begins a new life: with these values, or with none defined.
    #[inline]
    fn begin(&mut self, values: Option<[u64; REGISTERS]>) {
        self.defined = 0;
        if let Some(values) = values {
            *self = Registers::of(values);
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

/// What is special about a chain, as bits of [`Chain::marks`].
pub(crate) mod marks {
    /// Its members are kept until it is over.
    pub(crate) const PROGRAM: u8 = 1 << 0;
    /// It was admitted when the ring could only call programs.
    pub(crate) const RESTRICTED: u8 = 1 << 1;
    /// It runs a stored program for a CALL.
    pub(crate) const CALLED: u8 = 1 << 2;
    /// A TEST has skipped members.
    pub(crate) const SKIPS: u8 = 1 << 3;
    /// A member has run that another could ask about.
    pub(crate) const RAN: u8 = 1 << 4;
    /// Those that a member's turn must look at.
    pub(crate) const SPECIAL: u8 = PROGRAM | RESTRICTED | CALLED | SKIPS;
}

/// How a member ended, for the TESTs behind it.
#[derive(Clone, Copy)]
pub(crate) struct Last {
    pub(crate) error: Errno,
    pub(crate) result: u64,
    /// How much it was asked for.
    pub(crate) magnitude: u64,
}

/// Entries joined by LINK or HARDLINK, or one alone.
pub(crate) struct Chain {
    /// The member whose turn it is.
    pub(crate) current: u32,
    /// The first member; its packet is free already unless the chain has PROGRAM.
    pub(crate) first: u32,
    pub(crate) registers: Registers,
    pub(crate) local: bool,
    pub(crate) drain: bool,
    pub(crate) ended: Option<Ended>,
    /// It is in the work list.
    pub(crate) queued: bool,
    /// What is special about it: bits of [`marks`].
    pub(crate) marks: u8,
    /// How many of the next members are skipped.
    pub(crate) skip: u32,
    /// The last ordinary member that ran, other than a TEST or REPEAT; if [`marks::RAN`].
    pub(crate) last: Last,
    /// With PROGRAM: how many ordinary members have run, those that did so more than once counted as often.
    pub(crate) ran: u32,
    /// With PROGRAM: some member's end says that the chain was given up.
    pub(crate) told: bool,
    /// With [`marks::CALLED`]: the place of the call.
    pub(crate) call: u32,
}

impl Chain {
    pub(crate) fn new() -> Chain {
        Chain {
            current: NONE,
            first: NONE,
            registers: Registers::UNDEFINED,
            local: true,
            drain: false,
            ended: None,
            queued: false,
            marks: 0,
            skip: 0,
            last: Last { error: Errno::OK, result: 0, magnitude: 0 },
            ran: 0,
            told: false,
            call: NONE,
        }
    }

    /// Begins a new life, with a snapshot of the ring's registers unless it is LOCAL.
    #[inline]
    pub(crate) fn begin(&mut self, registers: Option<[u64; REGISTERS]>, local: bool, drain: bool, marks: u8) {
        self.current = NONE;
        self.registers.begin(registers);
        self.local = local;
        self.drain = drain;
        self.ended = None;
        self.queued = false;
        self.marks = marks;
        self.skip = 0;
        if marks & marks::PROGRAM != 0 {
            self.ran = 0;
            self.told = false;
        }
    }

    /// Its first member is in `slot`.
    #[inline]
    pub(crate) fn lead(&mut self, slot: u32) {
        self.current = slot;
        self.first = slot;
    }

    /// Notes how an ordinary member ended that ran, for the TESTs behind it.
    #[inline]
    pub(crate) fn note(&mut self, error: Errno, result: u64, magnitude: u64) {
        self.marks |= marks::RAN;
        self.last = Last { error, result, magnitude };
    }

    /// Its ordinary members run no more, and that is a success.
    pub(crate) fn stop(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(Ended::Stopped);
        }
    }

    /// Its next `count` members do not run, and that is a success.
    pub(crate) fn skip(&mut self, count: u32) {
        self.skip = count;
        self.marks |= marks::SKIPS;
    }
}
