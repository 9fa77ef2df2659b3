//! What those who run chains see of them: what a chain holds, and a chain that runs.
//!
//! All of it can be looked at, by [`Body`]; nothing of it can be changed but by what happens to a [`Running`] one. So no
//! entry that was laid out names memory that its chain does not keep.

use alloc::vec::Vec;

use ouzel_engine::Event;
use ouzel_ring::{Completion, Descriptor, Entry, EntryFlags, Verb};

use super::messages::{self, ReceivedMessage};
use super::{Body, Chain, Marks, Memory, Need, Reg, Step, written};
use crate::{Buffer, BuildError, Done, Picked};

impl Body {
    /// Whether a register is of one of its steps.
    #[inline]
    pub fn made<T>(&self, reg: Reg<T>) -> bool {
        reg.chain == self.number
    }

    /// Its steps, in the order they were added.
    #[inline]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Its only step, if there is one that needs nothing but an entry with LOCAL: such a chain needs no layout. Nothing is
    /// wrong with it.
    #[inline]
    pub fn only_step(&self) -> Option<&Step> {
        match &self.steps[..] {
            [step] if step.shape.is_plain() && self.pickers.is_empty() && self.error.is_none() => Some(step),
            _ => None,
        }
    }

    /// The entry that asks for `step`, which is one of its own. The memory it names is the chain's, in region 0.
    #[inline]
    pub fn entry(&self, step: &Step, flags: EntryFlags, data: u64) -> Entry {
        step.entry(&self.text, flags, data)
    }

    /// Its paths, one behind the other, which [`Memory::Text`] counts in.
    pub fn text(&self) -> &[u8] {
        self.text.from(0)
    }

    /// The buffer with this number, unless it was taken.
    #[inline]
    pub fn buffer(&self, number: u16) -> Option<&Buffer> {
        self.buffers.get(usize::from(number))?.as_ref()
    }

    /// All of its buffers that were not taken.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.buffers.iter().flatten()
    }

    /// How many bytes each of the pieces has that belong to the envelope with this number. They are the buffers behind it.
    pub fn piece_lengths(&self, envelope: u16) -> impl Iterator<Item = usize> {
        self.lengths_of_pieces(envelope)
    }

    /// Whether its steps wait on words or wake there: memory that it shares with others.
    pub fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether what it names by number is of the ring with this number: stored programs and groups of buffers.
    ///
    /// Errors: [`BuildError::ForeignProgram`]; [`BuildError::ForeignGroup`].
    #[inline]
    pub fn check_ring(&self, ring: u64) -> Result<(), BuildError> {
        if let Some(call) = self.calls.iter().find(|call| call.id.ring != ring) {
            return Err(BuildError::ForeignProgram { step: call.step });
        }
        if let Some(picker) = self.pickers.iter().find(|picker| picker.group.inner().ring() != ring) {
            return Err(BuildError::ForeignGroup { step: picker.step() });
        }
        Ok(())
    }

    /// What happened to its steps, if the ring was tracing: the number of the step and the event.
    pub fn events(&self) -> &[(u16, Event)] {
        &self.events
    }

    /// Whether it was said to be [idempotent](Chain::idempotent).
    #[inline]
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether it may be pushed again, to another engine even, and means the same then.
    pub fn may_run_again(&self) -> bool {
        let is_bound = |verb| matches!(verb, Verb::SendMsg | Verb::RecvMsg | Verb::Call);
        self.idempotent
            && !self.names_open
            && self.pickers.is_empty()
            && !self.steps.iter().any(|step| step.shape.has(Marks::MULTISHOT) || is_bound(step.verb()))
    }

    /// The descriptors that a step has received in a message.
    pub fn received_descriptors(&self, step: usize, completion: &Completion) -> Vec<Descriptor> {
        let envelope = match self.steps.get(step).map(Step::payload) {
            Some(Memory::Received(envelope)) => self.buffer(envelope),
            _ => None,
        };
        let message = envelope.and_then(|of| ReceivedMessage::from_envelope(completion.result, of));
        message.map(|message| message.descriptors).unwrap_or_default()
    }

    /// Whether a step of it has failed so that those behind it are not run.
    pub fn has_stopped(&self) -> bool {
        self.steps.iter().any(|step| {
            let goes_on = step.shape.has(Marks::HARDLINK) || step.shape.has(Marks::FINALLY);
            !goes_on && step.completion.is_some_and(|completion| completion.error != 0)
        })
    }

    /// Whether it was one operation, which failed and has resulted in nothing before.
    pub fn did_nothing(&self) -> bool {
        self.failed && self.steps.len() == 1 && self.many.is_empty() && self.pickers.is_empty()
    }
}

impl Step {
    /// Its verb.
    #[inline]
    pub fn verb(&self) -> Verb {
        self.shape.verb()
    }

    /// The number of its verb.
    #[inline]
    pub fn op(&self) -> u32 {
        self.shape.op()
    }

    /// Its arguments, as far as they are known before it runs.
    pub fn arguments(&self) -> [u64; 5] {
        self.arguments
    }

    /// Whether an argument is loaded from a register, so that it is known only as the step runs. False from argument 5 on.
    pub fn is_loaded(&self, argument: usize) -> bool {
        self.shape.needs().get(argument).copied().and_then(Need::source).is_some()
    }

    /// What its argument 1 points to.
    #[inline]
    pub fn payload(&self) -> Memory {
        self.payload
    }

    /// The number of the buffer that its argument 3 points to.
    #[inline]
    pub fn record(&self) -> Option<u16> {
        self.record
    }

    /// Whether it posts no completion if it succeeds.
    #[inline]
    pub fn is_silent(&self) -> bool {
        self.shape.has(Marks::SILENT)
    }

    /// Its completion, once it has come.
    #[inline]
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }

    /// How many bytes the step has written to its record, if `completion` says that it has.
    pub fn filled_record(&self, completion: &Completion) -> Option<(u16, usize)> {
        self.record.filter(|_| completion.error == 0).zip(written(self.verb(), completion))
    }
}

/// A chain whose entries were pushed, and what has come of it so far.
///
/// It keeps the memory that its entries name. That must not be touched before the last of its
/// [announced](crate::ring::Layout::announced) completions has come; a chain whose completions never come is leaked
/// (`core::mem::forget`).
pub struct Running(Chain);

impl core::ops::Deref for Running {
    type Target = Body;

    #[inline]
    fn deref(&self) -> &Body {
        &self.0.body
    }
}

impl Running {
    /// Takes a chain whose entries were pushed. `unsilenced` is what its layout says of that.
    #[inline]
    pub fn new(chain: Chain, unsilenced: Option<u16>) -> Running {
        let mut running = Running(chain);
        if let Some(step) = unsilenced {
            running.unsilence(step);
        }
        running
    }

    /// Makes a step report its success, whatever was asked.
    #[cold]
    fn unsilence(&mut self, step: u16) {
        self.0.body.unsilence(step);
    }

    /// Takes the completion of a step that is final (it has no [more](Completion::has_more) behind it). Returns whether it had
    /// been announced: that of a silent step, which has failed, is not.
    ///
    /// # Safety
    ///
    /// It is the completion of this step's entry, and what it says of memory is so: of the buffer that the step fills as many
    /// bytes were written from its start as its result says, or its capacity if that is less.
    #[inline(always)]
    pub unsafe fn deliver(&mut self, step: u16, completion: Completion) -> bool {
        self.0.body.deliver(step, completion)
    }

    /// Takes one of the completions of a multishot step that have [more](Completion::has_more) behind them.
    #[inline]
    pub fn deliver_one_of_many(&mut self, step: u16, completion: Completion) {
        let body = &mut *self.0.body;
        if body.pickers.is_empty() || !body.take_in(step, &completion) {
            body.many.push_back(completion);
        }
    }

    /// Takes note of what has happened to a step.
    pub fn note(&mut self, step: u16, event: Event) {
        self.0.body.events.push((step, event));
    }

    /// The next of the completions of a multishot step that nobody has taken.
    pub fn next_completion(&mut self) -> Option<Completion> {
        self.0.body.many.pop_front()
    }

    /// The next of the buffers that a step has picked.
    pub fn next_picked(&mut self, step: usize) -> Option<Picked> {
        self.0.body.next_picked(step)
    }

    /// Overwrites the beginning of a buffer, as far as there is any: with what its step has filled elsewhere.
    ///
    /// # Safety
    ///
    /// Nobody else uses the buffer now, and if its chain is pushed again without having been built anew, what its entries name
    /// in turn (the pieces of a message, those of a CALL) is still what they may use.
    pub unsafe fn bring(&mut self, buffer: u16, bytes: &[u8]) {
        if let Some(Some(own)) = self.0.body.buffers.get_mut(usize::from(buffer)) {
            own.receive(bytes);
        }
    }

    /// Takes into an envelope what a RECVMSG has written into a copy of it: the end of the record, the address, and the
    /// descriptors. False if it says that there are more than there was room for, or there is no such envelope.
    pub fn bring_answer(&mut self, envelope: u16, copy: &[u8]) -> bool {
        match self.0.body.buffers.get_mut(usize::from(envelope)) {
            Some(Some(own)) => messages::take_answer(own.as_mut_slice(), copy),
            _ => false,
        }
    }

    /// Goes back to before the chain ran, for it to be pushed again: nothing has completed, and these buffers hold these bytes.
    ///
    /// # Safety
    ///
    /// Nobody else uses the buffers now, and they held these bytes when the chain was pushed.
    pub unsafe fn rewind(&mut self, before: Vec<(u16, Vec<u8>)>) {
        let body = &mut *self.0.body;
        for (buffer, bytes) in before {
            if let Some(Some(own)) = body.buffers.get_mut(usize::from(buffer)) {
                own.clear();
                own.extend_from_slice(&bytes);
            }
        }
        for step in &mut body.steps {
            step.completion = None;
        }
        body.failed = false;
    }

    /// The chain does not run again, whatever was said of it.
    pub fn run_once(&mut self) {
        self.0.body.idempotent = false;
    }

    /// What came of it, now that it is over.
    #[inline]
    pub fn into_done<E>(self) -> Done<E> {
        Done::of(self.0)
    }
}
