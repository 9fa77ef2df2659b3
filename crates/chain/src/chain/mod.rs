//! Chains: operations that pass results to each other, built before they run.
//!
//! A chain is a value: building one does no I/O and cannot fail halfway. What it will do wrong (a result of another
//! chain, one not yet there, too many at once) is found when it is handed to a ring, and named. Each step that makes
//! something returns a [`Reg`], which later steps take in place of the value. Buffers move into the chain and come
//! back with its [`Done`](crate::Done).

mod arguments;
mod compute;
mod control;
mod layout;
mod layouts;
mod messages;
mod metadata;
mod multishot;
mod operations;
mod picking;
mod room;
mod running;
mod step;
mod system;
mod text;
mod verify;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use ouzel_engine::Event;
use ouzel_ring::modifiers::{STAT_RECORD, STATFS_RECORD};
use ouzel_ring::{Completion, Errno, Payload, Verb};

pub use arguments::{Count, Data, Directory, Distance, File, Offset, OpenOptions, Target};
pub use compute::{Bytes, Compute, Variable, Width};
pub use control::{Condition, When, WhenLast};
pub use layout::Layout;
pub use layouts::Layouts;
pub use messages::readdress;
pub use messages::{Message, ReceivedMessage};
pub use metadata::{SetTime, Times};
pub(crate) use operations::Draft;
pub(crate) use room::CALLERS;
pub use room::{Part, Room};
pub use running::Running;
pub(crate) use step::{Marks, Need, Shape};
pub use step::{Memory, Step};
pub(crate) use text::Text;
pub use verify::{Planned, Verification};

use crate::program::Calling;
use crate::{Buffer, BuildError, FutexWord};

/// What a register holds, at compile time: a descriptor.
#[derive(Clone, Copy, Debug)]
pub enum Fd {}

/// What a register holds, at compile time: nothing that can be used.
#[derive(Clone, Copy, Debug)]
pub enum Unit {}

/// What a step returns, at compile time: a description of a file.
#[derive(Clone, Copy, Debug)]
pub enum Stat {}

/// What a step returns, at compile time: a description of a file system.
#[derive(Clone, Copy, Debug)]
pub enum Statfs {}

/// What a step returns, at compile time: the address of a socket.
#[derive(Clone, Copy, Debug)]
pub enum Address {}

/// What a step returns, at compile time: how a process ended.
#[derive(Clone, Copy, Debug)]
pub enum Exit {}

/// What a step returns, at compile time: a message that was received.
#[derive(Clone, Copy, Debug)]
pub enum Received {}

/// The result of a step: known to the chain now, to us when the chain is done.
///
/// `T` says what it is: [`Fd`], `usize` (a count of bytes), `u64` (a position or events), [`Unit`], [`Stat`], [`Statfs`],
/// [`Address`], [`Exit`], [`Received`] or [`Picked`](crate::Picked) (a count of bytes, and the buffer they are in).
pub struct Reg<T> {
    pub(crate) chain: u64,
    pub(crate) step: u16,
    /// The second of a pipe's two ends.
    pub(crate) second: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Reg<T> {
    fn clone(&self) -> Reg<T> {
        *self
    }
}

impl<T> Copy for Reg<T> {}

impl<T> Reg<T> {
    /// The step that makes it, counted from 0 in the order steps were added.
    pub fn step(&self) -> usize {
        self.step as usize
    }
}

impl<T> fmt::Debug for Reg<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reg(step {} of chain {})", self.step, self.chain)
    }
}

/// The most steps a chain can be built with.
pub const MAX_STEPS: usize = 1 << 14;

/// Operations that pass results to each other.
///
/// ```
/// use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
///
/// let mut ring = Ring::new()?;
/// let mut chain = Chain::new();
/// let file = chain.open("Cargo.toml", OpenOptions::read());
/// let length = chain.read(file, Buffer::with_capacity(4096), Offset::START);
/// chain.finally().close(file);
/// let mut done = ring.run(chain)?;
/// let read = done.get(length)?;
/// let text = done.take(length).unwrap_or_default();
/// assert_eq!(read, text.len());
/// # Ok::<(), ouzel::Error>(())
/// ```
///
/// It is small to move: what it holds lies apart, and is used again by [`Done::into_chain`](crate::Done::into_chain).
pub struct Chain {
    pub(crate) body: Box<Body>,
}

/// What a chain holds. It stays where it is while the chain goes from hand to hand.
pub struct Body {
    pub(crate) number: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) text: Text,
    pub(crate) buffers: Vec<Option<Buffer>>,
    /// It has a STAT step.
    recorded: bool,
    /// Records for the STAT steps to come.
    records: Vec<Buffer>,
    /// The words that steps wait on or wake.
    pub(crate) words: Vec<Arc<FutexWord>>,
    /// What happened to its steps, if the ring was tracing: the number of the step and the event.
    pub(crate) events: Vec<(u16, Event)>,
    pub(crate) error: Option<BuildError>,
    /// Whether a completion that came had an error.
    pub(crate) failed: bool,
    /// What a multishot step has resulted in so far and nobody has taken.
    pub(crate) many: VecDeque<Completion>,
    /// Those of its steps that pick buffers out of groups.
    pub(crate) pickers: Vec<picking::Picker>,
    /// The calls of stored programs among its steps.
    pub(crate) calls: Vec<Calling>,
    /// Running it again from its start does no harm.
    pub(crate) idempotent: bool,
    /// It names a descriptor that it has not opened itself.
    pub(crate) names_open: bool,
    next_is_finally: bool,
    control: control::Control,
}

/// How many records of STAT steps a chain that is used again keeps.
const SPARE_RECORDS: usize = 4;

/// Numbers come in blocks, so that a chain that is used again rarely has to ask for one that no other thread has.
const NUMBER_BLOCK: u64 = 1 << 12;

fn next_block() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Only uniqueness matters.
    NEXT.fetch_add(NUMBER_BLOCK, Ordering::Relaxed)
}

impl Chain {
    /// A chain without steps.
    pub fn new() -> Chain {
        let body = Body {
            number: next_block(),
            steps: Vec::new(),
            text: Text::default(),
            buffers: Vec::new(),
            recorded: false,
            records: Vec::new(),
            words: Vec::new(),
            events: Vec::new(),
            error: None,
            failed: false,
            many: VecDeque::new(),
            pickers: Vec::new(),
            calls: Vec::new(),
            idempotent: false,
            names_open: false,
            next_is_finally: false,
            control: control::Control::default(),
        };
        Chain { body: Box::new(body) }
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.body.steps.len()
    }

    /// Whether it has no steps.
    pub fn is_empty(&self) -> bool {
        self.body.steps.is_empty()
    }

    /// The verb of each step, in the order they were added.
    pub fn verbs(&self) -> impl Iterator<Item = Verb> + '_ {
        self.body.steps.iter().map(|step| step.shape.verb())
    }

    /// What is wrong with the chain as built so far, as far as that does not depend on a ring.
    pub fn check(&self) -> Result<(), BuildError> {
        Layout::new(&self.body).map(|_| ())
    }

    /// Makes the next step a FINALLY entry: it runs once, after the other steps or the first that failed, if what it
    /// uses was ever made. Wherever it is added, it runs at the end, in the order of the FINALLY steps.
    #[inline]
    pub fn finally(&mut self) -> &mut Chain {
        self.body.next_is_finally = true;
        self
    }

    /// Makes the step after the last one run whatever becomes of the last one (HARDLINK). Without steps it does nothing.
    pub fn hardlink(&mut self) -> &mut Chain {
        self.mark_last(Marks::HARDLINK)
    }

    /// Makes the last step post no completion if it succeeds (SILENT), which spares the ring that much. Its result can be
    /// used within the chain but is not reported: [`Done::get`](crate::Done::get) has none, and what it read cannot be
    /// told from what was in its buffer before. The step that runs last is reported all the same: it ends the chain.
    /// Without steps it does nothing.
    pub fn silent(&mut self) -> &mut Chain {
        self.mark_last(Marks::SILENT)
    }

    /// Says that running the chain again from its start does no harm, wherever it was when it was given up. A connected ring
    /// that comes back (`RingBuilder::reconnect_within` of `ouzel`) then issues it again if its service goes before it has ended; the
    /// results are those of the last run, whole. On other rings it means nothing.
    ///
    /// A chain is not issued again, and ends with ECONNRESET, if it names a descriptor that it has not opened itself (it means
    /// nothing to another service), calls a stored program, sends or receives messages (SENDMSG, RECVMSG), or has a step
    /// that results again and again.
    pub fn idempotent(&mut self) -> &mut Chain {
        self.body.idempotent = true;
        self
    }

    /// Gives the last step this long, from its dispatch. Zero means that it may not wait for an event. Without steps it does
    /// nothing.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Chain {
        if let Some(step) = self.body.steps.last_mut() {
            // All but the largest value are finite.
            step.timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1);
        }
        self
    }

    fn mark_last(&mut self, mark: Marks) -> &mut Chain {
        if let Some(step) = self.body.steps.last_mut() {
            step.shape.mark(mark);
        }
        self
    }

    /// Adds a step.
    #[inline]
    fn push_step<T>(&mut self, mut shape: Shape, arguments: [u64; 5], payload: Memory) -> Reg<T> {
        let body = &mut *self.body;
        let step = body.steps.len();
        if step >= MAX_STEPS {
            body.fail(BuildError::TooLong { steps: step + 1, limit: MAX_STEPS });
        }
        if core::mem::take(&mut body.next_is_finally) {
            shape.mark(Marks::FINALLY);
        }
        body.control.count(shape.has(Marks::APART));
        body.steps.push(Step::new(shape, arguments, payload));
        self.result(step, false)
    }

    /// Adds what is no step, but what the caller of a program sets.
    pub(crate) fn push_parameter<T>(&mut self, shape: Shape) -> Reg<T> {
        let finally = core::mem::take(&mut self.body.next_is_finally);
        let reg = self.push_step(shape, [0; 5], Memory::None);
        self.body.next_is_finally = finally;
        reg
    }

    #[inline]
    fn result<T>(&self, step: usize, second: bool) -> Reg<T> {
        Reg { chain: self.body.number, step: step.min(MAX_STEPS) as u16, second, kind: PhantomData }
    }

    /// The need for `reg` as an argument of the step about to be added.
    #[inline]
    fn need<T>(&mut self, verb: Verb, reg: Reg<T>) -> Need {
        if reg.chain != self.body.number {
            let step = self.body.steps.len();
            self.body.fail(BuildError::ForeignRegister { step, verb, of: reg.step() });
        }
        Need::of(reg.step, reg.second)
    }

    /// The buffer that the step of `reg` fills, its address, and how many bytes it is asked to fill at the most, for the
    /// step about to be added to take its data.
    fn filled_by(&mut self, reg: Reg<usize>) -> Option<(u16, u64, u64)> {
        let body = &mut *self.body;
        let source = if reg.chain == body.number { body.steps.get(reg.step()) } else { None };
        if let Some(Step { payload: Memory::Room(buffer), arguments, shape, .. }) = source {
            let known = shape.needs()[2].source().is_none();
            return Some((*buffer, arguments[1], if known { arguments[2] } else { u64::MAX }));
        }
        if let Some(found) = source.and_then(filled) {
            return Some(found);
        }
        body.fail(BuildError::NoData { step: body.steps.len(), of: reg.step() });
        None
    }

    /// Adds a path to the text and returns where it starts.
    fn push_path(&mut self, path: &[u8]) -> u32 {
        if ouzel_ring::has_nul(path) {
            self.body.refuse_path(path);
        }
        self.body.text.push(path)
    }

    /// Keeps a buffer that is to be filled from its start, and returns its number, and its address and its capacity as
    /// arguments.
    #[inline]
    fn push_room(&mut self, buffer: Buffer) -> (u16, u64, u64) {
        let number = self.body.buffers.len();
        let buffer = self.body.buffers.push_mut(Some(buffer)).get_or_insert_default();
        let (pointer, capacity) = buffer.empty();
        (number as u16, Payload::of(pointer).number(), capacity as u64)
    }

    /// Keeps a buffer, and returns its number and its address as an argument.
    #[inline]
    pub(crate) fn push_buffer(&mut self, mut buffer: Buffer) -> (u16, u64) {
        let number = self.body.buffers.len();
        let address = Payload::of(buffer.as_mut_ptr()).number();
        self.body.buffers.push(Some(buffer));
        (number as u16, address)
    }
}

impl Body {
    /// Forgets everything, keeping the memory. The results of its steps are another chain's from now on.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.number += 1;
        if self.number.is_multiple_of(NUMBER_BLOCK) {
            self.number = next_block();
        }
        let rare = self.text.len() | self.words.len() | self.events.len() | self.many.len();
        let rarer = self.pickers.len() | self.calls.len() | usize::from(self.recorded);
        if rare | rarer != 0 || self.error.is_some() {
            self.reset_rare();
        }
        self.steps.clear();
        self.buffers.clear();
        self.failed = false;
        (self.idempotent, self.names_open) = (false, false);
        self.next_is_finally = false;
        self.control.clear();
    }

    /// The same for what most chains have nothing of.
    #[inline(never)]
    fn reset_rare(&mut self) {
        if self.recorded {
            self.keep_records();
        }
        self.text.clear();
        self.words.clear();
        self.events.clear();
        self.error = None;
        self.many.clear();
        self.pickers.clear();
        self.calls.clear();
    }

    /// Keeps some of the records of its STAT steps.
    fn keep_records(&mut self) {
        self.recorded = false;
        for step in self.steps.iter().filter(|step| step.shape.verb() == Verb::Stat) {
            let record = step.record.and_then(|record| self.buffers.get_mut(record as usize)?.take());
            if let Some(mut record) = record.filter(|_| self.records.len() < SPARE_RECORDS) {
                record.clear();
                self.records.push(record);
            }
        }
    }

    /// Makes a step report its success, whatever was asked.
    #[cold]
    pub(crate) fn unsilence(&mut self, step: u16) {
        if let Some(step) = self.steps.get_mut(step as usize) {
            step.shape.unmark(Marks::SILENT);
        }
    }

    /// Takes a completion of `step`. Returns whether it had been announced: that of a silent step is not.
    #[inline(always)]
    pub(crate) fn deliver(&mut self, step: u16, completion: Completion) -> bool {
        let number = step as usize;
        let Some(step) = self.steps.get_mut(number) else { return false };
        step.completion = Some(completion);
        let (shape, announced) = (step.shape, !step.shape.has(Marks::SILENT));
        if let Memory::Room(buffer) = step.payload {
            // Another step may have filled it.
            if !completion.was_skipped() {
                self.fill(buffer, completion.result as usize);
            }
        } else if step.record.is_some() || matches!(step.payload, Memory::Received(_)) {
            self.deliver_record(number, completion);
        }
        if completion.extra != 0 && !self.pickers.is_empty() {
            self.take_in(number as u16, &completion);
        }
        if completion.error != 0 {
            let spared = completion.errno() == Errno::ECANCELED && shape.has(Marks::FINALLY);
            self.failed |= !(spared && self.was_spared(number));
        }
        announced
    }

    /// What else a step has filled: a record, or the pieces of a message.
    #[inline(never)]
    fn deliver_record(&mut self, number: usize, completion: Completion) {
        if completion.was_skipped() {
            return;
        }
        let step = &self.steps[number];
        if let Memory::Received(envelope) = step.payload {
            self.fill_pieces(envelope, completion.result as usize);
        } else if completion.error == 0
            && let Some((buffer, length)) = step.record.zip(written(step.shape.verb(), &completion))
        {
            self.fill(buffer, length);
        }
    }

    /// So many bytes of a buffer were written.
    #[inline]
    fn fill(&mut self, buffer: u16, length: usize) {
        if let Some(Some(buffer)) = self.buffers.get_mut(buffer as usize) {
            // SAFETY: the engine says that so many bytes were written; `set_filled` stops at the capacity.
            unsafe { buffer.set_filled(length) };
        }
    }

    /// Whether a FINALLY step did not run because the part of the chain that makes what it uses was skipped.
    pub(crate) fn was_spared(&self, step: usize) -> bool {
        let Some(step) = self.steps.get(step) else { return false };
        let cancelled = step.completion.is_some_and(|completion| completion.errno() == Errno::ECANCELED);
        cancelled
            && step.shape.has(Marks::FINALLY)
            && step.shape.needs().into_iter().filter_map(Need::source).any(|(of, _)| {
                self.steps.get(of).is_some_and(|of| match of.completion {
                    Some(completion) => completion.was_skipped(),
                    // What is silent and skipped reports nothing, as what succeeds.
                    None => of.shape.has(Marks::SILENT) && !self.failed,
                })
            })
    }

    /// The buffer of a step.
    #[inline]
    pub(crate) fn buffer_of(&self, step: usize) -> Option<&Buffer> {
        let buffer = self.steps.get(step)?.buffer()?;
        self.buffers.get(buffer as usize)?.as_ref()
    }

    /// Takes the buffer of a step.
    #[inline]
    pub(crate) fn take_buffer_of(&mut self, step: usize) -> Option<Buffer> {
        let buffer = self.steps.get(step)?.buffer()?;
        self.buffers.get_mut(buffer as usize)?.take()
    }

    /// Takes a piece of the message of a step.
    pub(crate) fn take_piece_of(&mut self, step: usize, piece: usize) -> Option<Buffer> {
        let step = self.steps.get(step)?;
        let is_message = matches!(step.shape.verb(), Verb::SendMsg | Verb::RecvMsg);
        let envelope = step.buffer().filter(|_| is_message)?;
        if piece >= self.pieces_of(envelope) {
            return None;
        }
        self.buffers.get_mut(usize::from(envelope) + 1 + piece)?.take()
    }

    /// The paths of a step, for messages.
    pub(crate) fn operand(&self, number: usize) -> Option<String> {
        let step = self.steps.get(number)?;
        match step.payload {
            Memory::Text(start) => self.text.show(start, step.arguments[2]),
            _ if step.shape.verb() == Verb::Call => self.failed_step(number),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn refuse_path(&mut self, path: &[u8]) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.fail(BuildError::NulInPath { step: self.steps.len(), path });
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

/// The buffer of a step that fills the one its argument 3 points to, as far as its result says, its address, and how much
/// that is at the most.
fn filled(step: &Step) -> Option<(u16, u64, u64)> {
    let [.., address, length] = step.arguments;
    match step.shape.verb() {
        // Without room they result in what they would need, and fill nothing.
        Verb::Readlink | Verb::GetXattr | Verb::ListXattr if length as u32 > 0 => {
            step.record.map(|buffer| (buffer, address, u64::from(length as u32)))
        }
        _ => None,
    }
}

/// How many bytes a step that succeeded has written where its argument 3 points; `None` if it only reads there.
fn written(verb: Verb, completion: &Completion) -> Option<usize> {
    match verb {
        // They have filled their whole record.
        Verb::Stat => Some(STAT_RECORD as usize),
        Verb::Statfs => Some(STATFS_RECORD as usize),
        Verb::Readlink | Verb::GetXattr | Verb::ListXattr => Some(completion.result as usize),
        _ => None,
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::new()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.verbs().map(Verb::name)).finish()
    }
}
