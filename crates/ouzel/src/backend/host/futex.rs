//! FUTEX by plain calls: looking at a word, waking who sleeps there, and a sleep that can be ended from outside.
//!
//! A sleeper sleeps on two words at once (`futex_waitv(2)`): the submitter's, and one of its own that ends the sleep. Of
//! two words that are both woken the kernel names the last, which is the submitter's: so a wake-up that reached the
//! sleeper is never taken for an end, and no wake-up meant for somebody else is ever taken.

use std::sync::atomic::{AtomicU32, Ordering};

use ouzel_engine::Span;
use ouzel_ring::Errno;
use rustix::io;
use rustix::thread::ClockId;
use rustix::thread::futex::{self, Flags, Wait, WaitFlags, WaitPtr, WaitvFlags};

use super::{Done, Turn, errno};
use crate::backend::memory;

/// Whether the word holds what is expected.
pub(crate) fn holds(word: &Span, expected: u32) -> bool {
    memory::word(word).load(Ordering::SeqCst) == expected
}

/// Wakes up to `count` who sleep on the word.
pub(crate) fn wake(word: &Span, shared: bool, count: u32) -> Turn {
    if count == 0 {
        // The call would wake one.
        return Ok(Done::default());
    }
    let flags = if shared { Flags::empty() } else { Flags::PRIVATE };
    Ok(Done::with(futex::wake(memory::word(word), flags, count)? as u64))
}

fn wait_on(word: &AtomicU32, expected: u32, shared: bool) -> Wait {
    let mut wait = Wait::new();
    wait.val = u64::from(expected);
    wait.uaddr = WaitPtr::new(word.as_ptr().cast());
    wait.flags = WaitFlags::SIZE_U32;
    wait.flags.set(WaitFlags::PRIVATE, !shared);
    wait
}

/// Sleeps until the word is woken, or it holds something else, or `end` is raised: then ECANCELED.
pub(crate) fn sleep(word: &Span, expected: u32, shared: bool, end: &AtomicU32) -> Result<(), Errno> {
    let waits = [wait_on(end, 0, false), wait_on(memory::word(word), expected, shared)];
    loop {
        match futex::waitv(&waits, WaitvFlags::empty(), None, ClockId::Monotonic) {
            Ok(1) => return Ok(()),
            Err(io::Errno::INTR) => {}
            Ok(_) => return Err(Errno::ECANCELED),
            // One of the two has changed before the sleep began. That the word held what was expected has been seen, so
            // somebody has changed it since, which is what a sleeper waits for.
            Err(io::Errno::AGAIN) if !holds(word, expected) => return Ok(()),
            Err(io::Errno::AGAIN) if end.load(Ordering::SeqCst) != 0 => return Err(Errno::ECANCELED),
            Err(io::Errno::AGAIN) => {}
            Err(error) => return Err(errno(error)),
        }
    }
}

/// Ends the sleep that has this word for its end.
pub(crate) fn end_sleep(end: &AtomicU32) {
    end.store(1, Ordering::SeqCst);
    // Who has not begun to sleep sees the word.
    let _ = futex::wake(end, Flags::PRIVATE, 1);
}
