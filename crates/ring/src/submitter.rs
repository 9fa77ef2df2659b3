//! The submitter's end: it writes entries and reads completions.
//!
//! Its own indices are private; the engine's are read from shared memory once per use and believed only if the
//! distance they imply is possible. A lie breaks the ring for good and never panics.

use core::fmt;
#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::asleep::{ASLEEP, AWAKE, WATCHING, engine_sleeps, engine_starved};
use crate::memory::Memory;
use crate::order::{
    LOOK_FOR_ENGINE, OBSERVE_COMPLETIONS, OBSERVE_FREE_ENTRIES, PUBLISH_ENTRIES, RETURN_COMPLETIONS,
    SUBMITTER_FALLS_ASLEEP, fence,
};
use crate::processor::{self, UNKNOWN};
use crate::sync::Ordering;
use crate::{Completion, Entry, Geometry, State};

/// The end of a ring that submits. See the [crate documentation](crate) for an example.
pub struct SubmitterEnd {
    memory: Memory,
    /// Next slot to write; entries in `published..tail` are not visible to the engine yet.
    tail: u32,
    published: u32,
    /// The engine's head as last seen.
    head_seen: u32,
    /// Next completion to read.
    head: u32,
    /// The engine's completion tail as last seen.
    tail_seen: u32,
    /// What its word `processor` says.
    processor: u32,
    broken: bool,
}

impl SubmitterEnd {
    /// The submitter's end of `memory`, whose four indices all stand at `origin`.
    ///
    /// A ring has one submitter end. The indices of zeroed memory stand at 0.
    pub fn new(memory: Memory, origin: u32) -> SubmitterEnd {
        let line = memory.submitter();
        line.entries.store(origin, Ordering::Relaxed);
        line.completions.store(origin, Ordering::Relaxed);
        line.state.store(State::Running as u32, Ordering::Relaxed);
        line.asleep.store(AWAKE, Ordering::Relaxed);
        line.processor.store(UNKNOWN, Ordering::Relaxed);
        SubmitterEnd {
            memory,
            tail: origin,
            published: origin,
            head_seen: origin,
            head: origin,
            tail_seen: origin,
            processor: UNKNOWN,
            broken: false,
        }
    }

    /// The sizes of the queues.
    pub fn geometry(&self) -> Geometry {
        self.memory.geometry()
    }

    /// Writes `entry` into the next slot; the engine sees it after [`publish`](SubmitterEnd::publish).
    ///
    /// Errors: [`PushError::Full`] if every slot holds an entry that the engine has not taken, [`PushError::Broken`]
    /// if the engine's index is impossible or once was.
    #[inline]
    pub fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        if self.broken {
            return Err(PushError::Broken);
        }
        let entries = self.memory.geometry().entries();
        if self.tail.wrapping_sub(self.head_seen) >= entries && self.refresh_entries()? == 0 {
            return Err(PushError::Full);
        }
        self.memory.store_entry(self.tail, entry);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Writes all of `entries` into the next slots, or none of them; otherwise as [`push`](SubmitterEnd::push).
    #[inline]
    pub fn push_all(&mut self, entries: impl ExactSizeIterator<Item = Entry>) -> Result<(), PushError> {
        if self.broken {
            return Err(PushError::Broken);
        }
        let count = entries.len();
        let held = self.tail.wrapping_sub(self.head_seen);
        let room = self.memory.geometry().entries() - held;
        if count > room as usize && count > self.refresh_entries()? as usize {
            return Err(PushError::Full);
        }
        // What an iterator says of its length is not to be relied on: it is stopped there, and what it gave counts.
        let mut written = 0;
        for (at, entry) in (0..count as u32).zip(entries) {
            self.memory.store_entry(self.tail.wrapping_add(at), &entry);
            written = at + 1;
        }
        self.tail = self.tail.wrapping_add(written);
        Ok(())
    }

    /// Makes every pushed entry visible to the engine. Returns how many were not before.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        let fresh = self.tail.wrapping_sub(self.published);
        if fresh > 0 {
            self.memory.submitter().entries.store(self.tail, PUBLISH_ENTRIES);
            self.published = self.tail;
        }
        fresh
    }

    /// Forgets the entries pushed since the last [`publish`](SubmitterEnd::publish). Returns how many.
    pub fn retract(&mut self) -> u32 {
        let fresh = self.tail.wrapping_sub(self.published);
        self.tail = self.published;
        fresh
    }

    /// How many entries can be pushed now.
    #[inline]
    pub fn room(&mut self) -> Result<u32, Broken> {
        self.refresh_entries()
    }

    /// How many published entries the engine has not taken yet.
    pub fn queued(&mut self) -> Result<u32, Broken> {
        self.refresh_entries()?;
        Ok(self.published.wrapping_sub(self.head_seen))
    }

    /// Takes the oldest unread completion, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<Completion>, Broken> {
        if self.broken {
            return Err(Broken);
        }
        if self.head == self.tail_seen && self.unread()? == 0 {
            return Ok(None);
        }
        let completion = self.memory.load_completion(self.head);
        self.head = self.head.wrapping_add(1);
        self.memory.submitter().completions.store(self.head, RETURN_COMPLETIONS);
        Ok(Some(completion))
    }

    /// Takes the unread completions, oldest first, and returns their slots when all have been given to `each`.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(Completion)) -> Result<(), Broken> {
        if self.unread()? > 0 {
            while self.head != self.tail_seen {
                let completion = self.memory.load_completion(self.head);
                self.head = self.head.wrapping_add(1);
                each(completion);
            }
            self.memory.submitter().completions.store(self.head, RETURN_COMPLETIONS);
        }
        Ok(())
    }

    /// How many completions can be read now.
    #[inline]
    pub fn unread(&mut self) -> Result<u32, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let tail = self.memory.engine().completions.load(OBSERVE_COMPLETIONS);
        let unread = tail.wrapping_sub(self.head);
        // The engine's tail only moves forward: it may not fall behind what was seen, nor run a lap ahead.
        if unread > self.memory.geometry().completions() || unread < self.tail_seen.wrapping_sub(self.head) {
            return Err(self.break_ring());
        }
        self.tail_seen = tail;
        Ok(unread)
    }

    /// The value of a register as the engine last published it; `None` if there is no such register.
    pub fn register(&self, register: usize) -> Option<u64> {
        self.memory.register(register).map(|word| word.load(Ordering::Relaxed))
    }

    /// Sets a register for chains admitted later. Returns false if there is no such register or only the engine may
    /// write registers (split placement).
    pub fn set_register(&mut self, register: usize, value: u64) -> bool {
        match self.memory.register(register) {
            Some(word) if !self.memory.is_split() => {
                word.store(value, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Says that the submitter sleeps: from now on the engine wakes it when it has posted completions.
    ///
    /// Before it really sleeps the caller has to look once more at [`unread`](SubmitterEnd::unread). It then sleeps on
    /// [`completions_word`](SubmitterEnd::completions_word) only if that still is [`tail_seen`](SubmitterEnd::tail_seen),
    /// which futex(2) compares.
    #[inline]
    pub fn fall_asleep(&mut self) {
        self.memory.submitter().asleep.store(ASLEEP, Ordering::Relaxed);
        fence(SUBMITTER_FALLS_ASLEEP);
    }

    /// The same for a submitter that waits for a descriptor to become readable, to which the engine's side writes: what that is
    /// the two sides have agreed upon elsewhere.
    ///
    /// Before it really waits the caller has to look once more at [`unread`](SubmitterEnd::unread).
    #[inline]
    pub fn watch(&mut self) {
        self.memory.submitter().asleep.store(ASLEEP | WATCHING, Ordering::Relaxed);
        fence(SUBMITTER_FALLS_ASLEEP);
    }

    /// Says that the submitter is awake: it looks at the queue before it sleeps again, and needs no waking.
    #[inline]
    pub fn wake_up(&mut self) {
        self.memory.submitter().asleep.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether the engine sleeps and has to be woken. To be called after [`publish`](SubmitterEnd::publish); a word without
    /// a meaning counts as asleep.
    #[inline]
    pub fn engine_sleeps(&self) -> bool {
        engine_sleeps(self.look_for_engine())
    }

    /// Whether the engine waits for completions to be read, so that it has to be woken also after that if it
    /// [sleeps](SubmitterEnd::engine_sleeps). To be called after completions were read; a word without a meaning counts as
    /// starved.
    #[inline]
    pub fn engine_starved(&self) -> bool {
        engine_starved(self.look_for_engine())
    }

    #[inline]
    fn look_for_engine(&self) -> u32 {
        fence(LOOK_FOR_ENGINE);
        self.memory.engine().asleep.load(Ordering::Relaxed)
    }

    /// Says on which processor the submitter waits, for an engine that would spin there. To be called before it sleeps, or has
    /// spun for a while. `None`: it does not say.
    #[inline]
    pub fn say_processor(&mut self, processor: Option<u32>) {
        let word = processor::to_word(processor);
        if self.processor != word {
            self.processor = word;
            self.memory.submitter().processor.store(word, Ordering::Relaxed);
        }
    }

    /// On which processor the engine last said that it waits. A hint: it may have moved, or lie.
    #[inline]
    pub fn engine_processor(&self) -> Option<u32> {
        processor::from_word(self.memory.engine().processor.load(Ordering::Relaxed))
    }

    /// The engine's `ctail` as this side last saw it: what futex(2) is to find at
    /// [`completions_word`](SubmitterEnd::completions_word).
    #[inline]
    pub fn tail_seen(&self) -> u32 {
        self.tail_seen
    }

    /// The address of `ctail`, on which this side sleeps with futex(2): see
    /// [`Memory::completions_word`](crate::Memory::completions_word).
    #[cfg(not(loom))]
    pub fn completions_word(&self) -> NonNull<u32> {
        self.memory.completions_word()
    }

    /// What the engine says of itself.
    pub fn engine_state(&self) -> State {
        State::from_number(self.memory.engine().state.load(Ordering::Relaxed))
    }

    /// Whether the engine has been caught lying.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    #[inline]
    fn refresh_entries(&mut self) -> Result<u32, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let head = self.memory.engine().entries.load(OBSERVE_FREE_ENTRIES);
        let held = self.tail.wrapping_sub(head);
        // The engine's head lies between what was seen and what was published.
        let moved = head.wrapping_sub(self.head_seen);
        if moved > self.published.wrapping_sub(self.head_seen) {
            return Err(self.break_ring());
        }
        self.head_seen = head;
        Ok(self.memory.geometry().entries() - held)
    }

    #[cold]
    fn break_ring(&mut self) -> Broken {
        self.broken = true;
        self.memory.submitter().state.store(State::Broken as u32, Ordering::Relaxed);
        Broken
    }
}

impl fmt::Debug for SubmitterEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SubmitterEnd")
            .field("tail", &self.tail)
            .field("published", &self.published)
            .field("head", &self.head)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// The other side wrote something impossible; the ring cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "the other side of the ring wrote an impossible index: tear the ring down and make a new one",
        )
    }
}

impl core::error::Error for Broken {}

/// Why an entry could not be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError {
    /// Every slot is taken: enter, and push again when the engine has taken some.
    Full,
    /// The ring is broken.
    Broken,
}

impl From<Broken> for PushError {
    fn from(_: Broken) -> PushError {
        PushError::Broken
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::Full => {
                formatter.write_str("the submission queue is full: enter, then push again, or make it larger")
            }
            PushError::Broken => Broken.fmt(formatter),
        }
    }
}

impl core::error::Error for PushError {}
