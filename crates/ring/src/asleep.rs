//! The words for waking: what each side says of its sleep, and how the other side reads it.
//!
//! A word is a hint written by a side that may lie. Whoever reads it decides only whether to spend a wake, so what has no
//! meaning is read as the answer that wakes once too often. Nothing here sleeps or wakes; that is for whoever owns the ends.

/// At work: it will look at the queues again before it sleeps.
pub(crate) const AWAKE: u32 = 0;

/// It sleeps, or is about to.
pub(crate) const ASLEEP: u32 = 1 << 0;

/// Engine only: something waits for completions to be read.
pub(crate) const STARVED: u32 = 1 << 1;

/// Submitter only: it waits for a descriptor that the engine's side writes to. With or without `ASLEEP`, which it implies.
pub(crate) const WATCHING: u32 = 1 << 1;

/// Whether a submitter that wrote `word` has to be woken.
#[inline]
pub(crate) const fn submitter_sleeps(word: u32) -> bool {
    word != AWAKE
}

/// Whether a submitter that wrote `word` waits for a descriptor.
#[inline]
pub(crate) const fn submitter_watches(word: u32) -> bool {
    word != AWAKE && word != ASLEEP
}

/// Whether an engine that wrote `word` has to be woken.
#[inline]
pub(crate) const fn engine_sleeps(word: u32) -> bool {
    word != AWAKE && word != STARVED
}

/// Whether an engine that wrote `word` waits for completions to be read.
#[inline]
pub(crate) const fn engine_starved(word: u32) -> bool {
    word != AWAKE && word != ASLEEP
}
