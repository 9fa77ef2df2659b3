//! The engine's end: it copies entries out and posts completions.
//!
//! Each entry is copied exactly once, before anything looks at it; the slot is given back to the submitter later,
//! when the engine admits the entry. Its own indices are private; the submitter's are read once per use and believed
//! only if the distance they imply is possible. A lie breaks the ring for good and never panics.

use core::fmt;
#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::asleep::{ASLEEP, AWAKE, STARVED, submitter_sleeps, submitter_watches};
use crate::memory::Memory;
use crate::order::{
    ENGINE_FALLS_ASLEEP, LOOK_FOR_SUBMITTER, OBSERVE_ENTRIES, OBSERVE_FREE_COMPLETIONS, PUBLISH_COMPLETIONS,
    RETURN_ENTRIES, fence,
};
use crate::processor::{self, UNKNOWN};
use crate::sync::Ordering;
use crate::{Broken, Completion, Entry, Geometry, REGISTERS, State};

/// The end of a ring that executes. See the [crate documentation](crate) for an example.
pub struct EngineEnd {
    memory: Memory,
    /// Oldest entry whose slot is not given back.
    head: u32,
    /// Next entry to copy.
    copied: u32,
    /// The submitter's tail as last seen.
    tail_seen: u32,
    /// Next completion slot to write.
    tail: u32,
    /// The submitter's completion head as last seen.
    head_seen: u32,
    /// The registers when only this side may write them.
    working: [u64; REGISTERS],
    /// What its word `asleep` says.
    asleep: u32,
    /// What its word `processor` says.
    processor: u32,
    broken: bool,
}

impl EngineEnd {
    /// The engine's end of `memory`, whose four indices all stand at `origin`.
    ///
    /// A ring has one engine end. The indices of zeroed memory stand at 0.
    pub fn new(memory: Memory, origin: u32) -> EngineEnd {
        let line = memory.engine();
        line.entries.store(origin, Ordering::Relaxed);
        line.completions.store(origin, Ordering::Relaxed);
        line.state.store(State::Running as u32, Ordering::Relaxed);
        line.asleep.store(AWAKE, Ordering::Relaxed);
        line.processor.store(UNKNOWN, Ordering::Relaxed);
        EngineEnd {
            memory,
            head: origin,
            copied: origin,
            tail_seen: origin,
            tail: origin,
            head_seen: origin,
            working: [0; REGISTERS],
            asleep: AWAKE,
            processor: UNKNOWN,
            broken: false,
        }
    }

    /// The sizes of the queues.
    #[inline]
    pub fn geometry(&self) -> Geometry {
        self.memory.geometry()
    }

    /// How many published entries are not copied yet. Looks at the submitter's tail once.
    #[inline]
    pub fn available(&mut self) -> Result<u32, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let tail = self.memory.submitter().entries.load(OBSERVE_ENTRIES);
        let held = tail.wrapping_sub(self.head);
        if held > self.memory.geometry().entries() || held < self.tail_seen.wrapping_sub(self.head) {
            return Err(self.break_ring());
        }
        self.tail_seen = tail;
        Ok(tail.wrapping_sub(self.copied))
    }

    /// Copies the next entry out of shared memory: each is returned once. `None` when all that
    /// [`available`](EngineEnd::available) last counted are copied, or the ring is broken.
    #[inline]
    pub fn copy_next(&mut self) -> Option<Entry> {
        if self.broken || self.copied == self.tail_seen {
            return None;
        }
        let entry = self.memory.load_entry(self.copied);
        self.copied = self.copied.wrapping_add(1);
        Some(entry)
    }

    /// Whether all that [`available`](EngineEnd::available) last counted are copied.
    #[inline]
    pub fn is_copied(&self) -> bool {
        self.copied == self.tail_seen
    }

    /// How many completions the submitter had not read when [`unread`](EngineEnd::unread) last looked, or that were posted
    /// since.
    #[inline]
    pub fn unread_seen(&self) -> u32 {
        self.tail.wrapping_sub(self.head_seen)
    }

    /// How many copied entries still hold their slot.
    #[inline]
    pub fn held(&self) -> u32 {
        self.copied.wrapping_sub(self.head)
    }

    /// Gives the slots of the `count` oldest copied entries back to the submitter (no more than are held).
    #[inline]
    pub fn release(&mut self, count: u32) {
        let count = count.min(self.held());
        if count > 0 {
            self.head = self.head.wrapping_add(count);
            self.memory.engine().entries.store(self.head, RETURN_ENTRIES);
        }
    }

    /// How many completions the submitter has not read. Looks at the submitter's head once.
    #[inline]
    pub fn unread(&mut self) -> Result<u32, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let head = self.memory.submitter().completions.load(OBSERVE_FREE_COMPLETIONS);
        let unread = self.tail.wrapping_sub(head);
        // The submitter's head only moves forward, and not past what was posted.
        if unread > self.tail.wrapping_sub(self.head_seen) {
            return Err(self.break_ring());
        }
        self.head_seen = head;
        Ok(unread)
    }

    /// Completion slots free for certain: the submitter's head is not looked at again. A broken ring has none.
    #[inline]
    pub fn room_seen(&self) -> u32 {
        if self.broken {
            return 0;
        }
        self.memory.geometry().completions() - self.tail.wrapping_sub(self.head_seen)
    }

    /// Posts a completion. Returns it if every slot is unread (the engine's credits keep that from happening) or the
    /// ring is broken.
    #[inline]
    pub fn post(&mut self, completion: &Completion) -> Result<(), Completion> {
        if self.room_seen() == 0 && (self.unread().is_err() || self.room_seen() == 0) {
            return Err(*completion);
        }
        self.memory.store_completion(self.tail, completion);
        self.tail = self.tail.wrapping_add(1);
        self.memory.engine().completions.store(self.tail, PUBLISH_COMPLETIONS);
        Ok(())
    }

    /// The ring's registers as they are now.
    pub fn registers(&self) -> [u64; REGISTERS] {
        if self.memory.is_split() {
            return self.working;
        }
        core::array::from_fn(|register| {
            self.memory.register(register).map_or(0, |word| word.load(Ordering::Relaxed))
        })
    }

    /// Writes a saved value through to the ring's register. It becomes visible with the next completion posted.
    pub fn save_register(&mut self, register: usize, value: u64) {
        if let (Some(word), Some(working)) = (self.memory.register(register), self.working.get_mut(register))
        {
            *working = value;
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Says that the engine sleeps: from now on the submitter wakes it when it has published entries, and, if the engine is
    /// [starved](EngineEnd::set_starved), when it has read completions.
    ///
    /// Before it really sleeps the caller has to look once more: at [`available`](EngineEnd::available), and, if it is
    /// starved, at [`unread`](EngineEnd::unread). What the submitter did before it could know of the sleep is seen there.
    #[inline]
    pub fn fall_asleep(&mut self) {
        self.say_asleep(self.asleep | ASLEEP);
        fence(ENGINE_FALLS_ASLEEP);
    }

    /// Says that the engine is awake: it looks at the queues before it sleeps again, and needs no waking.
    #[inline]
    pub fn wake_up(&mut self) {
        self.say_asleep(self.asleep & !ASLEEP);
    }

    /// Says whether anything waits for completions to be read. To be called before
    /// [`fall_asleep`](EngineEnd::fall_asleep), not after it.
    #[inline]
    pub fn set_starved(&mut self, starved: bool) {
        let others = self.asleep & !STARVED;
        self.say_asleep(if starved { others | STARVED } else { others });
    }

    /// Whether the submitter sleeps and has to be woken. To be called after completions were posted, once for all of them;
    /// a word without a meaning counts as asleep.
    #[inline]
    pub fn submitter_sleeps(&self) -> bool {
        fence(LOOK_FOR_SUBMITTER);
        submitter_sleeps(self.memory.submitter().asleep.load(Ordering::Relaxed))
    }

    /// Whether the submitter, if it [sleeps](EngineEnd::submitter_sleeps), waits for a descriptor that this side writes to. To be
    /// called after that; a word without a meaning counts as that, too.
    #[inline]
    pub fn submitter_watches(&self) -> bool {
        submitter_watches(self.memory.submitter().asleep.load(Ordering::Relaxed))
    }

    #[inline]
    fn say_asleep(&mut self, word: u32) {
        if self.asleep != word {
            self.asleep = word;
            self.memory.engine().asleep.store(word, Ordering::Relaxed);
        }
    }

    /// Says on which processor the engine waits, for a submitter that would spin there. To be called before it sleeps, or has
    /// spun for a while. `None`: it does not say.
    #[inline]
    pub fn say_processor(&mut self, processor: Option<u32>) {
        let word = processor::to_word(processor);
        if self.processor != word {
            self.processor = word;
            self.memory.engine().processor.store(word, Ordering::Relaxed);
        }
    }

    /// On which processor the submitter last said that it waits. A hint: it may have moved, or lie.
    #[inline]
    pub fn submitter_processor(&self) -> Option<u32> {
        processor::from_word(self.memory.submitter().processor.load(Ordering::Relaxed))
    }

    /// The address of `ctail`, on which the submitter sleeps with futex(2): see
    /// [`Memory::completions_word`](crate::Memory::completions_word).
    #[cfg(not(loom))]
    pub fn completions_word(&self) -> NonNull<u32> {
        self.memory.completions_word()
    }

    /// Says what the engine is doing, for the submitter to see.
    pub fn set_state(&mut self, state: State) {
        self.memory.engine().state.store(state as u32, Ordering::Relaxed);
    }

    /// Whether the submitter has been caught lying.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    #[cold]
    fn break_ring(&mut self) -> Broken {
        self.broken = true;
        self.set_state(State::Broken);
        Broken
    }
}

impl fmt::Debug for EngineEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EngineEnd")
            .field("head", &self.head)
            .field("copied", &self.copied)
            .field("tail", &self.tail)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
