//! The inbox: what other threads send to an executor, and how it is woken for that.
//!
//! It is the one thing of an executor that other threads touch. It may take its lock, change its flags and ring an alarm; it
//! must never run anything of the user's, nor ring the alarm of an executor that is awake. Loom tries every order of what it
//! does (`models/tests/loom_wakers`), so nothing here knows of rings, tasks or system calls.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::task::Waker;

use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

/// The sender rings, or finds that it need not: pairs with [`SLEEP`], which sees what was sent before.
const RING: Ordering = if cfg!(weaken = "inbox_ring") { Ordering::Relaxed } else { Ordering::Release };
/// The executor says that it sleeps: pairs with [`RING`]. Whichever comes second sees the first.
const SLEEP: Ordering = if cfg!(weaken = "inbox_sleep") { Ordering::Relaxed } else { Ordering::Acquire };
/// A wake finds that its place is marked already: pairs with [`UNMARK`], behind which the task is polled.
const MARK: Ordering = if cfg!(weaken = "wake_mark") { Ordering::Relaxed } else { Ordering::Release };
/// A wake was taken out: pairs with [`MARK`], also of those that had found the mark and sent nothing.
const UNMARK: Ordering = if cfg!(weaken = "wake_unmark") { Ordering::Relaxed } else { Ordering::Acquire };

/// How many jobs may lie here before [offers](Shared::offer_job) have to wait until they are taken out.
pub(super) const ROOM: usize = if cfg!(loom) { 1 } else { 4096 };

/// What wakes an executor that sleeps.
pub(super) trait Alarm {
    /// Wakes it, or has it not fall asleep. Never waits.
    fn ring(&self);
}

/// What came from other threads.
pub(super) struct Inbox<J> {
    /// Places of tasks to be woken.
    pub(super) woken: Vec<u32>,
    pub(super) jobs: Vec<J>,
    /// Who waits for room, each by the number that it was given for that: to be woken when this has been taken out.
    pub(super) line: BTreeMap<u64, Waker>,
    /// The last of those numbers.
    numbered: u64,
    /// The executor is gone.
    closed: bool,
}

impl<J> Default for Inbox<J> {
    fn default() -> Inbox<J> {
        Inbox { woken: Vec::new(), jobs: Vec::new(), line: BTreeMap::new(), numbered: 0, closed: false }
    }
}

/// Why a job was not taken, and the job.
pub(super) enum Refused<J> {
    /// There is no room for it now.
    Full(J),
    /// The executor is gone.
    Closed(J),
}

/// The part of an executor that other threads may touch: they send wakes and jobs `J`, and ring `A`.
pub(super) struct Shared<J, A> {
    inbox: Mutex<Inbox<J>>,
    /// The inbox is not empty. What is in there is seen behind the lock, so this orders nothing.
    pending: AtomicBool,
    /// The executor sleeps, or is about to, and its alarm has not been rung for that.
    asleep: AtomicBool,
    /// `None` once the executor is gone: wakers may be kept, or forgotten, for ever, and must not keep a descriptor open.
    alarm: Mutex<Option<A>>,
    /// How often the alarm was rung.
    rung: AtomicU64,
}

impl<J, A: Alarm> Shared<J, A> {
    pub(super) fn new(alarm: A) -> Shared<J, A> {
        Shared {
            inbox: Mutex::new(Inbox::default()),
            pending: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            alarm: Mutex::new(Some(alarm)),
            rung: AtomicU64::new(0),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<J>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarm(&self) -> MutexGuard<'_, Option<A>> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `put` put something into the inbox, if it does, and has the executor look. False if it did not.
    fn send(&self, put: impl FnOnce(&mut Inbox<J>) -> bool) -> bool {
        let mut inbox = self.inbox();
        if !put(&mut inbox) {
            return false;
        }
        drop(inbox);
        self.pending.store(true, Ordering::Relaxed);
        // Both sides exchange the same flag, so one of them comes second: either we see that the executor sleeps, or the
        // executor, which looks at `pending` after it has said so, sees what we have sent.
        if self.asleep.swap(false, RING) {
            self.rung.fetch_add(1, Ordering::Relaxed);
            if let Some(alarm) = &*self.alarm() {
                alarm.ring();
            }
        }
        true
    }

    /// Has `job` done on the executor's thread; gives it back if the executor is gone.
    pub(super) fn send_job(&self, job: J) -> Result<(), J> {
        let mut job = Some(job);
        self.send(|inbox| {
            if !inbox.closed {
                inbox.jobs.extend(job.take());
            }
            job.is_none()
        });
        job.map_or(Ok(()), Err)
    }

    /// The same, if there is room for it.
    pub(super) fn offer_job(&self, job: J) -> Result<(), Refused<J>> {
        let mut job = Some(job);
        let mut closed = false;
        self.send(|inbox| {
            closed = inbox.closed;
            if !closed && inbox.jobs.len() < ROOM {
                inbox.jobs.extend(job.take());
            }
            job.is_none()
        });
        match job {
            None => Ok(()),
            Some(job) if closed => Err(Refused::Closed(job)),
            Some(job) => Err(Refused::Full(job)),
        }
    }

    /// Has `waker` called when there may be room, and notes the number by which it waits for that; false if there is some
    /// now, or never will be. What it replaces is returned to be dropped where no lock is held.
    pub(super) fn wait_for_room(&self, number: &mut Option<u64>, waker: Waker) -> (bool, Option<Waker>) {
        let mut inbox = self.inbox();
        if inbox.closed || inbox.jobs.len() < ROOM {
            return (false, Some(waker));
        }
        let number = *number.get_or_insert_with(|| {
            inbox.numbered += 1;
            inbox.numbered
        });
        (true, inbox.line.insert(number, waker))
    }

    /// Waits for room no more. What is returned is to be dropped where no lock is held.
    pub(super) fn wait_no_more(&self, number: u64) -> Option<Waker> {
        self.inbox().line.remove(&number)
    }

    /// Has what is in `place` polled, unless that is sent already: `mark` is the place's.
    pub(super) fn send_wake(&self, place: u32, mark: &Mark) {
        if !mark.0.swap(true, MARK) {
            self.send(|inbox| {
                if !inbox.closed {
                    inbox.woken.push(place);
                }
                !inbox.closed
            });
        }
    }

    /// Whether something has come. One that comes right now may be seen by the next look only, which `fall_asleep` is.
    pub(super) fn has_received(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Takes what has come: `into` is swapped with it, and should be empty.
    pub(super) fn receive(&self, into: &mut Inbox<J>) -> bool {
        if !self.has_received() || !self.pending.swap(false, Ordering::Relaxed) {
            return false;
        }
        let mut inbox = self.inbox();
        std::mem::swap(&mut inbox.woken, &mut into.woken);
        std::mem::swap(&mut inbox.jobs, &mut into.jobs);
        std::mem::swap(&mut inbox.line, &mut into.line);
        true
    }

    /// Says that the executor is about to sleep; false if it must not, because something has come.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, SLEEP);
        if self.pending.load(Ordering::Relaxed) {
            self.wake_up();
            return false;
        }
        true
    }

    /// Says that the executor is awake.
    ///
    /// An exchange, which [`SLEEP`] sees through: of two that send while it sleeps only the first rings, and a store would hide
    /// from the executor that the second has sent.
    pub(super) fn wake_up(&self) {
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// How often the executor was woken by its alarm.
    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and returns the jobs that nobody will do, and who waited for room.
    pub(super) fn close(&self) -> Inbox<J> {
        self.alarm().take();
        let mut inbox = self.inbox();
        let left = std::mem::take(&mut *inbox);
        inbox.closed = true;
        left
    }
}

/// Whether a wake for one place is in the inbox.
pub(super) struct Mark(AtomicBool);

impl Mark {
    pub(super) fn new() -> Mark {
        Mark(AtomicBool::new(false))
    }

    /// The wake has been taken out: whatever is woken from now on is sent again. An exchange, because it has to see what
    /// those did before who found the mark and relied on this.
    pub(super) fn clear(&self) {
        self.0.swap(false, UNMARK);
    }
}
