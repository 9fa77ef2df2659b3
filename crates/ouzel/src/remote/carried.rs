//! What is carried: the memory of chains that a service cannot see, taken to memory that it can, and what was filled brought
//! back.
//!
//! A chain keeps its own memory as on any ring. When it is submitted, each buffer of it that does not lie in the ring's pool,
//! and its paths, get a slice of the pool, with what the service is to read; its entries name the slices. With each
//! completion what that step has filled is copied back, no more than was asked for, and with the last one the slices go
//! back to the pool. One buffer that several steps use is carried once.

use ouzel_pool::{Guard, Memory as PoolMemory, Pool, Slice};
use ouzel_ring::{Completion, Descriptor, Entry, EntryFlags, Errno, Verb};

use super::regions::Regions;
use super::{Remote, allowed, calls};
use crate::error::Error;
use ouzel_chain::ring::{Body, Memory, Running, Step, readdress};

/// A buffer of a chain, and how much of it the steps want.
struct Want {
    buffer: u16,
    length: usize,
    /// Steps take from it, so that what it holds goes along.
    taken_from: bool,
    /// A step fills it that may not report how much.
    silent: bool,
    holds: Holds,
    /// A step fills it.
    filled: bool,
}

/// What is in a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Data,
    /// The envelope of a message: payloads among others, which mean nothing to the service.
    Message,
    /// The record of a CALL: as well.
    Call,
}

/// A buffer of a chain as the service sees it.
struct Part {
    buffer: u16,
    /// Where it begins.
    payload: u64,
    /// What stands for it, if it lies elsewhere.
    copy: Option<Slice>,
    silent: bool,
}

/// What of one chain is in the service's sight.
#[derive(Default)]
struct Load {
    /// Its paths, and where they begin.
    text: Option<(Slice, u64)>,
    parts: Vec<Part>,
    /// What buffers held that steps both take from and fill, if the chain may have to run again.
    before: Vec<(u16, Vec<u8>)>,
}

impl Load {
    fn part(&self, buffer: u16) -> Option<&Part> {
        self.parts.iter().find(|part| part.buffer == buffer)
    }

    /// The first payload of a buffer; 0 if there is none.
    fn payload(&self, buffer: u16) -> u64 {
        self.part(buffer).map_or(0, |part| part.payload)
    }

    /// Lets the entry of a step name what the service can see.
    fn readdress(&self, step: &Step, entry: &mut Entry) {
        match step.payload() {
            Memory::None => {}
            Memory::Text(start) => {
                entry.arguments[1] = self.text.as_ref().map_or(0, |(_, payload)| payload + u64::from(start));
            }
            // A part of a room begins where the room does.
            Memory::Filled(buffer) | Memory::Room(buffer) | Memory::Received(buffer) => {
                entry.arguments[1] = self.payload(buffer);
            }
        }
        if let Some(record) = step.record() {
            entry.arguments[3] = self.payload(record);
        }
    }

    /// Brings the first `length` bytes of a buffer back.
    fn bring(&self, body: &mut Running, buffer: u16, length: usize) {
        let copy = self.part(buffer).and_then(|part| part.copy.as_ref());
        if let Some(copy) = copy {
            // SAFETY: what has a copy is used by the service, which has only that; and what is brought back is a buffer that a
            // step fills, none of those that say where others are.
            unsafe { body.bring(buffer, copy.get(..length).unwrap_or(copy)) };
        }
    }

    /// Brings back what a RECVMSG has received. False if what it says of that cannot be.
    fn bring_message(&self, body: &mut Running, envelope: u16, completion: &Completion) -> bool {
        let mut left = usize::try_from(completion.result).unwrap_or(usize::MAX);
        let lengths: Vec<usize> = body.piece_lengths(envelope).collect();
        for (number, length) in lengths.into_iter().enumerate() {
            let length = length.min(left);
            self.bring(body, envelope + 1 + number as u16, length);
            left -= length;
        }
        if completion.error != 0 {
            return true;
        }
        let Some(copy) = self.part(envelope).and_then(|part| part.copy.as_ref()) else { return false };
        // It may change as long as it is shared; what is looked at may not.
        let answer = copy.to_vec();
        body.bring_answer(envelope, &answer)
    }
}

/// The memory of a connected ring's chains.
pub(crate) struct Carrier {
    regions: Regions,
    /// The pool is this ring's own.
    own: bool,
    /// By the slot of the chain.
    loads: Vec<Option<Load>>,
    /// What a service that has gone may still have written to as it went. It is not used again.
    left: Vec<(Load, Vec<Guard>)>,
    /// The entries of the chain that was loaded last.
    entries: Vec<Entry>,
    /// The newest generation of a descriptor that the service has given out.
    newest: u32,
}

impl Carrier {
    /// A carrier that uses this pool, or else one of its own.
    ///
    /// Errors: EINVAL if the pool's memory cannot be shared; [`Error::Pool`].
    pub(crate) fn new(pool: Option<&Pool>) -> Result<Carrier, Error> {
        let own = pool.is_none();
        let pool = match pool {
            Some(pool) => pool.clone(),
            None => Pool::builder().memory(PoolMemory::Shared).build()?,
        };
        let regions = Regions::new(pool)?;
        Ok(Carrier { regions, own, loads: Vec::new(), left: Vec::new(), entries: Vec::new(), newest: 0 })
    }

    pub(crate) fn pool(&self) -> &Pool {
        self.regions.pool()
    }

    /// The service is another one, which sees nothing yet.
    pub(crate) fn begin_anew(&mut self) {
        self.regions.begin_anew();
    }

    /// A generation that no descriptor has which the service has given out; `None` if there is none left.
    pub(crate) fn next_generation(&self) -> Option<u32> {
        self.newest.checked_add(1)
    }

    /// Takes note of a descriptor that a service has given out.
    pub(crate) fn note_descriptor(&mut self, descriptor: Descriptor) {
        self.newest = self.newest.max(descriptor.generation());
    }

    /// Gives up the run of a chain that is to run again, whose memory is then as it was before.
    pub(crate) fn rewind(&mut self, slot: u32, chain: &mut Running) {
        let load = self.loads.get_mut(slot as usize).and_then(Option::as_mut);
        let before = load.map(|load| std::mem::take(&mut load.before)).unwrap_or_default();
        self.over(slot, chain, true);
        // SAFETY: this is what the buffers held when the chain was loaded, and what the service writes to are copies.
        unsafe { chain.rewind(before) };
    }

    /// Takes the memory of a chain to where the service can see it, and makes its entries: the steps in this order, with
    /// these flags and user data.
    ///
    /// Errors: those of the pool and of sharing; EOPNOTSUPP for a word to wait on, which has to be the same for everybody.
    pub(crate) fn load(
        &mut self,
        remote: &mut Remote,
        slot: u32,
        body: &Body,
        order: impl Iterator<Item = (u16, EntryFlags, u64)>,
    ) -> Result<&[Entry], Error> {
        if body.has_words() {
            return Err(Error::Refused { call: "futex", errno: Errno::EOPNOTSUPP });
        }
        let load = self.gather(remote, body)?;
        self.entries.clear();
        for (number, flags, data) in order {
            if let Some(step) = body.steps().get(usize::from(number)) {
                let mut entry = body.entry(step, flags, data);
                load.readdress(step, &mut entry);
                self.entries.push(entry);
            }
        }
        let slot = slot as usize;
        if slot >= self.loads.len() {
            self.loads.resize_with(slot + 1, || None);
        }
        self.loads[slot] = Some(load);
        Ok(&self.entries)
    }

    /// Forgets what was loaded for a chain that was not pushed.
    pub(crate) fn unload(&mut self, slot: u32) {
        if let Some(load) = self.loads.get_mut(slot as usize) {
            *load = None;
        }
    }

    fn gather(&mut self, remote: &mut Remote, body: &Body) -> Result<Load, Error> {
        let mut wants = Wants::default();
        let mut load = Load::default();
        let mut has_text = false;
        for step in body.steps() {
            wants.of_step(body, step);
            has_text |= matches!(step.payload(), Memory::Text(_));
        }
        if has_text {
            let text = body.text();
            let mut copy = self.regions.pool().get(text.len())?;
            copy.copy_from_slice(text);
            let payload = self.payload(remote, &copy)?;
            load.text = Some((copy, payload));
        }
        if body.is_idempotent() {
            for want in wants.0.iter().filter(|want| want.filled && want.taken_from) {
                let held = body.buffer(want.buffer).map(|buffer| buffer.as_slice().to_vec());
                load.before.extend(held.map(|held| (want.buffer, held)));
            }
        }
        // Envelopes and records name the others.
        for want in wants.0.iter().filter(|want| want.holds == Holds::Data) {
            let part = self.place(remote, body, want)?;
            load.parts.push(part);
        }
        for want in wants.0.iter().filter(|want| want.holds != Holds::Data) {
            let mut part = self.place(remote, body, want)?;
            match &mut part.copy {
                Some(copy) if want.holds == Holds::Call => {
                    let pieces = calls::pieces(body, want.buffer);
                    calls::readdress(copy, pieces.map(|(buffer, _)| load.payload(buffer)));
                }
                Some(copy) => {
                    let pieces = (0..).map(|piece: u16| load.payload(want.buffer + 1 + piece));
                    readdress(copy, part.payload, pieces);
                }
                None => {}
            }
            load.parts.push(part);
        }
        Ok(load)
    }

    /// Finds a place for a buffer that the service can see: its own, or a copy's.
    fn place(&mut self, remote: &mut Remote, body: &Body, want: &Want) -> Result<Part, Error> {
        let (number, silent) = (want.buffer, want.silent);
        let buffer = body.buffer(number);
        let lost = Error::Refused { call: "submit", errno: Errno::EFAULT };
        let buffer = buffer.ok_or(lost)?;
        // What may be used again later is never in reach of a service that may be gone then.
        if want.length > 0
            && want.holds == Holds::Data
            && !body.is_idempotent()
            && let Some(payload) = self.regions.payload(remote, buffer.as_ptr().addr(), want.length)?
        {
            return Ok(Part { buffer: number, payload, copy: None, silent });
        }
        // What has no bytes still has a place, which is looked for.
        let mut copy = self.regions.pool().get(want.length.max(1))?;
        if want.taken_from {
            let filled = buffer.as_slice();
            let filled = filled.get(..want.length).unwrap_or(filled);
            let (head, rest) = copy.split_at_mut(filled.len());
            head.copy_from_slice(filled);
            // A room holds zeros behind what it was given with, and nothing of what others left.
            rest.fill(0);
        }
        let payload = self.payload(remote, &copy)?;
        Ok(Part { buffer: number, payload, copy: Some(copy), silent })
    }

    /// The payload of a slice of the pool.
    fn payload(&mut self, remote: &mut Remote, slice: &Slice) -> Result<u64, Error> {
        let found = self.regions.payload(remote, slice.as_ptr().addr(), slice.len())?;
        found.ok_or(Error::Refused { call: "share", errno: Errno::EFAULT })
    }

    /// Takes note of a final completion of a step: checks what it says, and brings back what the step has filled. `is_last`
    /// says that the chain is over with it.
    pub(crate) fn unpack(
        &mut self,
        slot: u32,
        body: &mut Running,
        step: u16,
        completion: &mut Completion,
        is_last: bool,
    ) {
        let number = usize::from(step);
        allowed::check(body, number, completion);
        let Some(Some(load)) = self.loads.get(slot as usize) else { return };
        let Some(step) = body.steps().get(number) else { return };
        let (payload, record, verb) = (step.payload(), step.filled_record(completion), step.verb());
        if !completion.was_skipped() {
            if verb == Verb::Call {
                for (buffer, length) in body.filled_by_call(number) {
                    load.bring(body, buffer, length);
                }
            } else if let Memory::Room(buffer) = payload {
                load.bring(body, buffer, completion.result as usize);
            } else if let Memory::Received(envelope) = payload {
                if !load.bring_message(body, envelope, completion) {
                    completion.error = Errno::EPROTO.raw();
                    completion.result = 0;
                }
            } else if let Some((buffer, length)) = record {
                load.bring(body, buffer, length);
            }
        }
        if is_last {
            for part in load.parts.iter().filter(|part| part.silent) {
                let filled = body.buffer(part.buffer).map_or(0, |buffer| buffer.len());
                load.bring(body, part.buffer, filled);
            }
        }
    }

    /// A chain is over. What a service that has `gone` may still write to is not used again.
    pub(crate) fn over(&mut self, slot: u32, body: &Body, gone: bool) {
        let load = self.loads.get_mut(slot as usize).and_then(Option::take);
        if gone && let Some(load) = load {
            let guards = body.buffers().filter_map(|buffer| buffer.guard());
            self.left.push((load, guards.collect()));
        }
    }

    /// Gives up the memory of a chain that may still be written to.
    pub(crate) fn forget(&mut self, slot: u32) {
        std::mem::forget(self.loads.get_mut(slot as usize).and_then(Option::take));
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // With a pool of its own nobody gets that memory any more: it goes back to the system.
        if !self.own {
            std::mem::forget(std::mem::take(&mut self.left));
        }
    }
}

/// The buffers of a chain that its steps use, each once.
#[derive(Default)]
struct Wants(Vec<Want>);

impl Wants {
    fn of_step(&mut self, body: &Body, step: &Step) {
        let verb = step.verb();
        let silent = step.is_silent();
        match step.payload() {
            Memory::None | Memory::Text(_) => {}
            Memory::Received(envelope) => self.of_message(body, envelope, false),
            Memory::Filled(envelope) if verb == Verb::SendMsg => self.of_message(body, envelope, true),
            Memory::Filled(record) if verb == Verb::Call => self.of_call(body, record),
            Memory::Filled(buffer) => {
                let length = length_of(body, step, buffer);
                let holds = Holds::Data;
                self.add(Want { buffer, length, taken_from: true, silent: false, holds, filled: false });
            }
            Memory::Room(buffer) => {
                let (length, holds) = (length_of(body, step, buffer), Holds::Data);
                self.add(Want { buffer, length, taken_from: false, silent, holds, filled: true });
            }
        }
        if let Some(buffer) = step.record() {
            let taken_from = matches!(verb, Verb::Utimes | Verb::SetXattr);
            let of = body.buffer(buffer);
            let length = of.map_or(0, |of| if taken_from { of.len() } else { of.capacity() });
            self.add(Want { buffer, length, taken_from, silent, holds: Holds::Data, filled: !taken_from });
        }
    }

    fn of_message(&mut self, body: &Body, envelope: u16, taken_from: bool) {
        for (number, length) in body.piece_lengths(envelope).enumerate() {
            let buffer = envelope + 1 + number as u16;
            self.add(Want {
                buffer,
                length,
                taken_from,
                silent: false,
                holds: Holds::Data,
                filled: !taken_from,
            });
        }
        let length = body.buffer(envelope).map_or(0, |of| of.len());
        let (holds, filled) = (Holds::Message, !taken_from);
        self.add(Want { buffer: envelope, length, taken_from: true, silent: false, holds, filled });
    }

    fn of_call(&mut self, body: &Body, record: u16) {
        for (buffer, length) in calls::pieces(body, record) {
            let holds = Holds::Data;
            self.add(Want { buffer, length, taken_from: true, silent: false, holds, filled: false });
        }
        let (length, holds) = (body.buffer(record).map_or(0, |of| of.len()), Holds::Call);
        self.add(Want { buffer: record, length, taken_from: true, silent: false, holds, filled: false });
    }

    fn add(&mut self, want: Want) {
        match self.0.iter_mut().find(|other| other.buffer == want.buffer) {
            Some(other) => {
                other.length = other.length.max(want.length);
                other.taken_from |= want.taken_from;
                other.filled |= want.filled;
                other.silent |= want.silent;
            }
            None => self.0.push(want),
        }
    }
}

/// How many bytes of its buffer a step may use: as many as it asks for, or, where that is known only as it runs, all.
fn length_of(body: &Body, step: &Step, buffer: u16) -> usize {
    let capacity = body.buffer(buffer).map_or(0, |buffer| buffer.capacity());
    let argument = if step.verb() == Verb::Load { 4 } else { 2 };
    if step.is_loaded(argument) {
        return capacity;
    }
    usize::try_from(step.arguments()[argument]).map_or(capacity, |asked| asked.min(capacity))
}
