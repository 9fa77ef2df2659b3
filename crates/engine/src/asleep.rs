//! Asleep: what an engine says and asks before whoever enters it sleeps, so that a submitter in another process wakes it.
//!
//! The words are the queues' (`EngineEnd::fall_asleep`); this module knows when there is a reason not to sleep, and when the
//! submitter has to wake the engine not only for entries but also for room. It takes nothing in and posts nothing.

#[cfg(not(loom))]
use core::ptr::NonNull;

use ouzel_ring::EntryFlags;

use crate::engine::EnterError;
use crate::intake::is_lone_cancel;
use crate::{Backend, Engine};

/// What the head of the submission queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing: an enter takes it.
    Nothing,
    /// Completion slots.
    Room,
    /// There is none, or its end is not there yet, or DRAIN holds it back until chains in flight are over.
    Others,
}

impl<B: Backend> Engine<B> {
    /// Says that the engine sleeps, for a submitter that wakes it when it has published entries, and looks once more.
    ///
    /// False, and it is awake again, if there is something to do: entries that could be taken, completions for which there
    /// are slots now, or chains that only wait for their turn. Then enter again. True: sleep until the submitter rings, the
    /// backend has reports, or [`next_timer`](Engine::next_timer) is due, and then call [`wake_up`](Engine::wake_up). Where
    /// chains are [stalled](Engine::has_stalled) and nothing is started, do not sleep for long.
    ///
    /// To be called on an engine that [takes turns](Engine::take_turns), or after an enter that could take whatever was
    /// there; and `submit` has to be as large as the longest chain may be ([`Limits::chain`](crate::Limits)). Else entries that
    /// no enter looks at would be a reason not to sleep, again and again.
    ///
    /// If anything waits for completion slots the submitter is told so, and wakes the engine also when it has read
    /// completions.
    pub fn fall_asleep(&mut self) -> Result<bool, EnterError> {
        let starved = self.waits_for_room();
        self.queues.set_starved(starved);
        self.queues.fall_asleep();
        let looked = self.queues.available().and_then(|available| Ok((available, self.queues.unread()?)));
        let asleep = matches!(looked, Ok((0, _))) && !self.could_go_on();
        if !asleep {
            self.wake_up();
        }
        looked?;
        Ok(asleep)
    }

    /// Says that the engine is awake. To be called before the enter that follows a sleep: what is published from then on
    /// needs no waking.
    pub fn wake_up(&mut self) {
        self.queues.wake_up();
    }

    /// Whether entries are there that no enter has looked at. An index that cannot be counts as one: the next enter says so.
    #[inline]
    pub fn has_entries(&mut self) -> bool {
        !matches!(self.queues.available(), Ok(0))
    }

    /// Whether anything waits for completion slots, as the submitter is told when the engine
    /// [falls asleep](Engine::fall_asleep).
    pub fn is_starved(&self) -> bool {
        self.waits_for_room()
    }

    /// Whether the submitter sleeps and has to be woken, by FUTEX_WAKE on
    /// [`completions_word`](Engine::completions_word). To be called after an enter that posted completions.
    pub fn submitter_sleeps(&self) -> bool {
        self.queues.submitter_sleeps()
    }

    /// Whether the submitter, if it [sleeps](Engine::submitter_sleeps), waits for a descriptor that the engine's side writes to.
    pub fn submitter_watches(&self) -> bool {
        self.queues.submitter_watches()
    }

    /// Says on which processor the engine waits: a submitter there does not spin, which would only keep it from running.
    #[inline]
    pub fn say_processor(&mut self, processor: Option<u32>) {
        self.queues.say_processor(processor);
    }

    /// On which processor the submitter last said that it waits. A hint: it may have moved, or lie.
    #[inline]
    pub fn submitter_processor(&self) -> Option<u32> {
        self.queues.submitter_processor()
    }

    /// The address of the word on which the submitter sleeps: it counts completions. It is valid as long as the ring's memory
    /// is.
    #[cfg(not(loom))]
    pub fn completions_word(&self) -> NonNull<u32> {
        self.queues.completions_word()
    }

    /// Whether an enter would find something to do, nothing new being in the queue.
    fn could_go_on(&self) -> bool {
        let delivers = self.free_credits() > 0
            && (self.withdrawn > 0 || !self.stored.is_empty() || self.waiting_cancel().is_some());
        self.could_move()
            || delivers
            || self.stored.front().is_some_and(|stored| stored.last)
            || self.head_waits_for() == Waits::Nothing
    }

    /// Whether anything waits for completion slots.
    fn waits_for_room(&self) -> bool {
        !self.stored.is_empty()
            || self.withdrawn > 0
            || self.head_waits_for() == Waits::Room
            || (self.free_credits() == 0 && self.waiting_cancel().is_some())
    }

    /// The place in the queue of a CANCEL that may be taken past a blocked head, if there is one.
    fn waiting_cancel(&self) -> Option<usize> {
        if self.closing {
            return None;
        }
        (0..self.staged.len()).find(|place| self.may_pass(*place))
    }

    fn head_waits_for(&self) -> Waits {
        let Some(front) = self.staged.front() else { return Waits::Others };
        if front.taken {
            return Waits::Nothing;
        }
        // As `take_in` counts: the slot kept for CANCEL is used only by what is cancelled.
        let needed = if self.closing || front.withdrawn {
            1
        } else if self.refusing {
            2
        } else {
            let flags = EntryFlags::from_bits_retain(front.entry.flags);
            let waits = self.draining || (flags.contains(EntryFlags::DRAIN) && self.chains.live() > 0);
            let limit = self.chain_limit as usize;
            match self.whole_chain(0) {
                Some(length) if length > limit => 2,
                Some(_) if waits => return Waits::Others,
                Some(length) => length as u32 + u32::from(!is_lone_cancel(&front.entry)),
                // Its end is not there, but it is too long as it is.
                None if self.staged.len() >= limit => 2,
                None => return Waits::Others,
            }
        };
        if self.free_credits() >= needed { Waits::Nothing } else { Waits::Room }
    }
}
