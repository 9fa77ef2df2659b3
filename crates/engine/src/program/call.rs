//! Call: a stored program that runs for one entry.
//!
//! The program becomes a chain of its own, LOCAL and with PROGRAM, whose packets come from slots beside those for
//! completions and hold no credit: the CALL's is the only one. What would complete is kept, and when the chain is over it
//! makes up the CALL's end. While the chain runs the CALL's own packet stays with its chain, so whatever reaches the one
//! reaches the other.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ouzel_ring::modifiers::{CallFlags, MAX_CALL_PIECES};
use ouzel_ring::{Completion, Entry, EntryFlags, Errno, Piece, Verb};

use crate::conclude::Ending;
use crate::observe::Origin;
use crate::packet::{Ended, GivenUp, Stage, marks};
use crate::regions::Pieces;
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Engine, Outcome};

/// The bytes of a call's record before its pieces: r2 to r6.
const REGISTERS_IN_RECORD: usize = 5 * size_of::<u64>();

/// The longest record: with DETAILS there is one piece more.
const LONGEST_RECORD: usize = REGISTERS_IN_RECORD + (MAX_CALL_PIECES + 1) * size_of::<Piece>();

/// What is known of a call that runs.
#[derive(Clone, Copy)]
struct Call {
    /// The packet of the CALL.
    packet: u32,
    /// The register that is its result.
    result: Option<u8>,
    /// The first failure.
    error: Errno,
    /// The step that failed so, counted from 1, or 0.
    step: u32,
    /// Where a completion for each step goes.
    details: Option<Piece>,
}

/// The calls of one engine.
#[derive(Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
    free: Vec<u32>,
    /// CALLs that wait for packets, by slot and generation, in the order they came in.
    waiting: VecDeque<(u32, u32)>,
}

impl Calls {
    /// How many run.
    pub(crate) fn running(&self) -> u32 {
        (self.calls.len() - self.free.len()) as u32
    }

    pub(crate) fn is_anyone_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the memory for so many at once.
    pub(crate) fn reserve(&mut self, calls: u32, waiting: u32) {
        self.calls.reserve(calls as usize);
        self.free.reserve(calls as usize);
        self.waiting.reserve(waiting as usize);
    }

    fn add(&mut self, call: Call) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.calls[place as usize] = call;
                place
            }
            None => {
                self.calls.push(call);
                self.calls.len() as u32 - 1
            }
        }
    }
}

/// What a CALL asks for, once it is read and checked.
struct Order {
    /// The values of r0 to r6; those that the program's caller sets count.
    registers: [u64; 7],
    pieces: Pieces,
    details: Option<Piece>,
}

impl<B: Backend> Engine<B> {
    /// CALL. Returns how it ended, if it is over already.
    #[inline(never)]
    pub(crate) fn call(&mut self, chain: u32, slot: u32) -> Option<Ending> {
        let (packet, generation) = self.packets.with_generation(slot);
        let first_try = packet.stage != Stage::Stalled;
        let timeout = packet.entry.timeout;
        match self.begin_call(chain, slot, first_try) {
            Ok(begun) => {
                if first_try
                    && timeout != 0
                    && timeout != Entry::NEVER
                    && let Some(at) = self.backend.now().checked_add(timeout)
                {
                    self.timers.set(slot, at);
                }
                if !begun {
                    self.packets[slot].stage = Stage::Stalled;
                    if first_try {
                        self.calls.waiting.push_back((slot, generation));
                    }
                }
                None
            }
            Err(error) => Some(Ending::of(error)),
        }
    }

    /// Checks a CALL and begins it. False if it has to wait for packets.
    fn begin_call(&mut self, chain: u32, slot: u32, first_try: bool) -> Result<bool, Errno> {
        let packet = &self.packets[slot];
        let Entry { data, timeout, arguments, .. } = packet.entry;
        let members = &self.chains[chain];
        let number = arguments[0] as u32;
        if packet.is_finally() || members.marks & marks::CALLED != 0 {
            return Err(Errno::EINVAL);
        }
        if members.marks & marks::RESTRICTED != 0 && !self.programs.is_allowed(number) {
            return Err(Errno::EPERM);
        }
        let program = self.programs.find(number, !first_try).ok_or(Errno::ENOENT)?;
        let mut order = self.read_order(&arguments, program.interface())?;
        order.pieces.keep(program.shared_constants());
        let steps = program.entries().len() as u32;
        if steps > self.program_steps {
            return Err(Errno::E2BIG);
        }
        // Who came first is served first, or a long program would never find room beside short ones.
        let is_next = match self.calls.waiting.front() {
            None => true,
            Some(first) => *first == (slot, self.packets.generation(slot)),
        };
        if !is_next || !self.has_room_for(steps) {
            return Ok(false);
        }
        let Some(inner) = self.chains.take() else { return Ok(false) };
        let place = self.calls.add(Call {
            packet: slot,
            result: program.interface().result,
            error: Errno::OK,
            step: 0,
            details: order.details,
        });
        let members = &mut self.chains[inner];
        members.begin(None, true, false, marks::PROGRAM | marks::CALLED);
        members.call = place;
        for (register, value) in
            order.registers.iter().take(program.interface().registers as usize).enumerate()
        {
            members.registers.save(register, *value);
        }
        let (mut first, mut last) = (NONE, NONE);
        for entry in program.entries() {
            // There is room for all of them.
            let Some(step) = self.packets.take() else { unreachable!("fewer packets than were counted") };
            let mut entry = Entry { data, flags: step_flags(entry).bits(), ..*entry };
            if timeout == 0 {
                entry.timeout = 0;
            }
            self.packets[step].begin(entry, inner);
            if first == NONE {
                first = step;
            } else {
                self.packets[last].next = step;
            }
            last = step;
        }
        self.chains[inner].lead(first);
        self.internal += steps;
        self.regions.set_pieces(place, order.pieces);
        self.packets[slot].stage = Stage::Calling(inner);
        if !first_try {
            self.calls.waiting.pop_front();
        }
        self.record_own(slot, data, Verb::Call, "it runs a stored program");
        self.record_chain(inner, Origin::Call(slot));
        self.queue(inner);
        Ok(true)
    }

    /// Whether so many steps can begin now.
    fn has_room_for(&self, steps: u32) -> bool {
        self.internal + steps <= self.program_steps && self.calls.running() < self.call_limit()
    }

    /// Reads what a CALL with these arguments gives a program with this interface.
    fn read_order(&self, arguments: &[u64; 5], interface: &super::Interface) -> Result<Order, Errno> {
        let &[program, payload, length, r0, r1] = arguments;
        let flags = CallFlags::from_bits(program & !u64::from(u32::MAX)).ok_or(Errno::EINVAL)?;
        let has_details = flags.contains(CallFlags::DETAILS);
        let count = interface.pieces.len();
        let total = count + usize::from(has_details);
        let mut order =
            Order { registers: [r0, r1, 0, 0, 0, 0, 0], pieces: Pieces::default(), details: None };
        if length == 0 && total == 0 && interface.registers <= 2 {
            return Ok(order);
        }
        if count > MAX_CALL_PIECES || length != (REGISTERS_IN_RECORD + total * size_of::<Piece>()) as u64 {
            return Err(Errno::EINVAL);
        }
        let mut record = [0u64; LONGEST_RECORD / size_of::<u64>()];
        let record = &mut record[..length as usize / size_of::<u64>()];
        self.regions.read_words(payload, record)?;
        let (registers, pieces) = record.split_at(REGISTERS_IN_RECORD / size_of::<u64>());
        order.registers[2..].copy_from_slice(registers);
        for (place, piece) in pieces.chunks_exact(2).enumerate() {
            let piece = Piece { payload: piece[0], length: piece[1] };
            if interface.pieces.get(place).is_some_and(|least| piece.length < *least) {
                return Err(Errno::EINVAL);
            }
            self.regions.span(piece.payload, piece.length)?;
            if place < count {
                order.pieces.add(piece);
            } else {
                order.details = Some(piece);
            }
        }
        Ok(order)
    }

    /// Gives the CALL that has waited longest for packets its turn, if there is room for it now.
    #[inline]
    pub(crate) fn wake_callers(&mut self) {
        if !self.calls.waiting.is_empty() {
            self.wake_first_caller();
        }
    }

    fn wake_first_caller(&mut self) {
        while let Some(&(slot, generation)) = self.calls.waiting.front() {
            if let Some(packet) = self.packets.current(slot, generation)
                && packet.stage == Stage::Stalled
            {
                let program = self.programs.find(packet.entry.arguments[0] as u32, true);
                // One that has no program any more is woken to be told so.
                let can_move =
                    program.is_none_or(|program| self.has_room_for(program.entries().len() as u32));
                if can_move {
                    let chain = packet.chain;
                    self.queue(chain);
                }
                return;
            }
            // It was given up, or is over.
            self.calls.waiting.pop_front();
        }
        self.programs.drop_forgotten();
    }

    /// A step of the program that `chain` runs has failed so that the call does.
    pub(crate) fn note_failure(&mut self, chain: u32, slot: u32, error: Errno) {
        let members = &self.chains[chain];
        let call = &mut self.calls.calls[members.call as usize];
        if !call.error.is_ok() {
            return;
        }
        let mut number = 1;
        let mut step = members.first;
        while step != slot && step != NONE {
            number += 1;
            step = self.packets[step].next;
        }
        (call.error, call.step) = (error, number);
    }

    /// The program that `chain` runs is over, and so is the CALL, whose own chain goes on.
    pub(crate) fn finish_call(&mut self, chain: u32) {
        let members = &self.chains[chain];
        let (place, mut step) = (members.call, members.first);
        let Call { packet, result, mut error, step: failed, details } = self.calls.calls[place as usize];
        if error == Errno::ECANCELED && members.ended == Some(Ended::GivenUp) {
            // If the running step won, the one behind it was cancelled; why is what the CALL was given up for.
            error = self.packets[packet].given_up.map_or(error, GivenUp::errno);
        }
        let result = match result {
            Some(register) if error.is_ok() => members.registers.load(register as usize).unwrap_or(0),
            _ => 0,
        };
        let mut room = details;
        while step != NONE {
            if let Some(piece) = &mut room {
                let completion = self.kept_completion(step);
                room = self.write_detail(*piece, &completion);
            }
            step = self.let_go(step);
            self.internal -= 1;
        }
        self.regions.drop_constants(place);
        self.calls.free.push(place);
        let caller = &mut self.packets[packet];
        caller.stage = Stage::Reported(Outcome::Done { error, result, extra: failed });
        let chain = caller.chain;
        self.queue(chain);
    }

    /// Writes a step's completion to the start of `piece`. Returns the rest, if there was room.
    fn write_detail(&mut self, piece: Piece, completion: &Completion) -> Option<Piece> {
        const SIZE: u64 = size_of::<Completion>() as u64;
        let rest = piece.length.checked_sub(SIZE)?;
        // Its region may have been removed since the call began.
        self.regions.write_words(piece.payload, &completion.to_words()).ok()?;
        Some(Piece { payload: piece.payload + SIZE, length: rest })
    }

    /// Asks the program of the CALL in `slot` to be given up.
    pub(crate) fn give_up_call(&mut self, slot: u32, program: u32, why: GivenUp) {
        let packet = &mut self.packets[slot];
        if packet.given_up.is_none() {
            packet.given_up = Some(why);
            let data = packet.entry.data;
            self.record(slot, data, EventKind::GivenUp);
        }
        self.give_up(program, why);
    }

    /// The chain that the submitter sees: of a CALL's program, the CALL's.
    pub(crate) fn outermost(&self, chain: u32) -> u32 {
        let members = &self.chains[chain];
        if members.marks & marks::CALLED == 0 {
            return chain;
        }
        self.packets[self.calls.calls[members.call as usize].packet].chain
    }
}

/// The flags of a stored step when it runs: all are joined by LINK, but for those with HARDLINK.
fn step_flags(entry: &Entry) -> EntryFlags {
    let refused = EntryFlags::LOCAL | EntryFlags::DRAIN | EntryFlags::PROGRAM | EntryFlags::SILENT;
    let flags = EntryFlags::from_bits_retain(entry.flags) - refused;
    if flags.intersects(EntryFlags::FINALLY | EntryFlags::HARDLINK) {
        flags
    } else {
        flags | EntryFlags::LINK
    }
}
