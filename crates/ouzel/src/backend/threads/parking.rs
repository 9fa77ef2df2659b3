//! Where operations wait for events: one epoll instance, one list of waiters for each object.
//!
//! Any thread may park a job or take it out again; only the poller's thread waits on the epoll instance and wakes
//! them. Waiters hold their object, so that its number stays theirs, and an object leaves epoll with its last waiter.
//! The lock is held for list work and `epoll_ctl` only, never while a job is tried.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ouzel_ring::Errno;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::io;

use super::job::{Job, Sort};
use super::object::{Object, errno};

/// The watch that stands for the wake-up descriptor.
pub(super) const WAKE: u64 = 0;

/// A job that waits for events of an object.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) job: Arc<Job>,
    pub(super) object: Arc<Object>,
    pub(super) events: PollFlags,
    /// There is no event: it is tried again after a while.
    pub(super) timed: bool,
}

#[derive(Debug, Default)]
struct Lists {
    watches: HashMap<u64, VecDeque<Waiter>>,
    timed: Vec<Waiter>,
}

/// The waiting jobs.
#[derive(Debug)]
pub(super) struct Parking {
    pub(super) epoll: OwnedFd,
    wake: OwnedFd,
    lists: Mutex<Lists>,
}

impl Parking {
    pub(super) fn new() -> io::Result<Parking> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Parking { epoll, wake, lists: Mutex::default() })
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the poller look round.
    pub(super) fn wake(&self) {
        // A full counter wakes as well.
        let _ = io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Takes the wake-up back.
    pub(super) fn awake(&self) {
        let mut count = [0u8; 8];
        let _ = io::read(&self.wake, &mut count);
    }

    /// Puts a job to wait. One that is over by now is let go.
    pub(super) fn park(&self, waiter: Waiter) -> Result<(), Errno> {
        let mut lists = self.lists();
        if waiter.job.is_over() {
            return Ok(());
        }
        if waiter.timed {
            waiter.job.watch.store(WAKE, Ordering::Relaxed);
            lists.timed.push(waiter);
            // The first of them makes the poller look at its clock; it counts from then on for all.
            let first = lists.timed.len() == 1;
            drop(lists);
            if first {
                self.wake();
            }
            return Ok(());
        }
        let object = Arc::clone(&waiter.object);
        waiter.job.watch.store(object.id, Ordering::Relaxed);
        let watch = lists.watches.entry(object.id).or_default();
        let fresh = watch.is_empty();
        watch.push_back(waiter);
        let armed = self.arm(&object, watch, fresh);
        if armed.is_err() {
            watch.pop_back();
            if watch.is_empty() {
                lists.watches.remove(&object.id);
            }
        }
        armed
    }

    /// Puts waiters back that were woken for nothing, in front of those that came since, and lets epoll forget the
    /// object if nobody waits for it any more.
    ///
    /// `object` must be held by the caller until this returns.
    pub(super) fn put_back(&self, object: &Arc<Object>, waiters: &mut Vec<Waiter>) -> Result<(), Errno> {
        let mut lists = self.lists();
        let watch = lists.watches.entry(object.id).or_default();
        while let Some(waiter) = waiters.pop() {
            if !waiter.job.is_over() {
                watch.push_front(waiter);
            }
        }
        if watch.is_empty() {
            lists.watches.remove(&object.id);
            self.forget(object);
            return Ok(());
        }
        self.arm(object, watch, false)
    }

    /// The waiters of an object, for the poller, which tries them and puts back the others.
    pub(super) fn take(&self, watch: u64) -> Vec<Waiter> {
        match self.lists().watches.get_mut(&watch) {
            Some(waiters) => waiters.drain(..).collect(),
            None => Vec::new(),
        }
    }

    /// The waiters that are tried now and then.
    pub(super) fn take_timed(&self) -> Vec<Waiter> {
        std::mem::take(&mut self.lists().timed)
    }

    /// Whether there are any such.
    pub(super) fn has_timed(&self) -> bool {
        !self.lists().timed.is_empty()
    }

    /// Takes a job out that is over.
    pub(super) fn remove(&self, job: &Arc<Job>) {
        let mut lists = self.lists();
        let watch = job.watch.load(Ordering::Relaxed);
        let removed = if watch == WAKE {
            let place = lists.timed.iter().position(|waiter| Arc::ptr_eq(&waiter.job, job));
            place.map(|place| lists.timed.swap_remove(place))
        } else {
            let Some(waiters) = lists.watches.get_mut(&watch) else { return };
            let place = waiters.iter().position(|waiter| Arc::ptr_eq(&waiter.job, job));
            let removed = place.and_then(|place| waiters.remove(place));
            if let (Some(waiter), true) = (&removed, waiters.is_empty()) {
                self.forget(&waiter.object);
                lists.watches.remove(&watch);
            }
            removed
        };
        drop(lists);
        drop(removed);
    }

    fn forget(&self, object: &Object) {
        // It may have been refused in the first place.
        let _ = epoll::delete(&self.epoll, object);
    }

    /// Asks for one wake-up when anything is ready that a waiter waits for. A multishot POLL has an object of its own
    /// and is told of every change instead.
    fn arm(&self, object: &Object, watch: &VecDeque<Waiter>, fresh: bool) -> Result<(), Errno> {
        let mut events = EventFlags::empty();
        let mut how = EventFlags::ONESHOT;
        for waiter in watch {
            events |= EventFlags::from_bits_retain(u32::from(waiter.events.bits()));
            if waiter.job.sort == Sort::PollMany {
                how = EventFlags::ET;
            }
        }
        let data = EventData::new_u64(object.id);
        if !fresh && how.contains(EventFlags::ET) {
            return Ok(());
        }
        // A watch that the poller has emptied for the moment is still known to epoll, so each way falls back on the
        // other.
        let result = match epoll::modify(&self.epoll, object, data, events | how) {
            Err(io::Errno::NOENT) => epoll::add(&self.epoll, object, data, events | how),
            other => other,
        };
        result.map_err(errno)
    }
}
