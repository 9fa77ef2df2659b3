//! Wakers: how a task is made runnable again, from its own thread or any other.
//!
//! On the executor's own thread a wake puts the task straight into its queue. From elsewhere it goes through the inbox, the
//! one thing of an executor that other threads touch, and rings the executor's bell, but only if the executor sleeps and
//! nobody has rung before: many wakes cost one system call, and none while it is awake. Wakers may outlive the executor;
//! they then do nothing. A waker belongs to a place for a task, not to the task: one that is late may wake a later task in
//! the same place for nothing, which futures have to expect anyway.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use super::core::Core;
use super::handle::Handle;
use crate::Bell;

/// Something to be done on the executor's thread.
pub(super) type Job = Box<dyn FnOnce(&Handle) + Send>;

/// What came from other threads.
#[derive(Default)]
pub(super) struct Inbox {
    /// Places of tasks to be woken.
    pub(super) woken: Vec<u32>,
    pub(super) jobs: Vec<Job>,
    /// The executor is gone.
    closed: bool,
}

/// The part of an executor that other threads may touch.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    /// The inbox is not empty.
    pending: AtomicBool,
    /// The executor sleeps, or is about to, and its bell has not been rung for that.
    asleep: AtomicBool,
    bell: Bell,
    /// How often the bell was rung.
    rung: AtomicU64,
}

impl Shared {
    pub(super) fn new(bell: Bell) -> Shared {
        Shared {
            inbox: Mutex::default(),
            pending: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            bell,
            rung: AtomicU64::new(0),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a wake or a job into the inbox; gives the job back if the executor is gone.
    fn send(&self, put: impl FnOnce(&mut Inbox)) -> bool {
        let mut inbox = self.inbox();
        if inbox.closed {
            return false;
        }
        put(&mut inbox);
        drop(inbox);
        // Sequentially consistent, as all of these: either the executor, which says that it sleeps before it looks here,
        // sees this, or we see that it sleeps.
        self.pending.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.rung.fetch_add(1, Ordering::Relaxed);
            self.bell.ring();
        }
        true
    }

    /// Has `job` done on the executor's thread; gives it back if the executor is gone.
    pub(super) fn send_job(&self, job: Job) -> Result<(), Job> {
        let mut job = Some(job);
        self.send(|inbox| inbox.jobs.extend(job.take()));
        job.map_or(Ok(()), Err)
    }

    /// Whether something has come. One that comes right now may be seen by the next look only, which `fall_asleep` is.
    pub(super) fn has_received(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Takes what has come: `into` is swapped with it, and should be empty.
    pub(super) fn receive(&self, into: &mut Inbox) -> bool {
        if !self.has_received() || !self.pending.swap(false, Ordering::SeqCst) {
            return false;
        }
        let mut inbox = self.inbox();
        std::mem::swap(&mut inbox.woken, &mut into.woken);
        std::mem::swap(&mut inbox.jobs, &mut into.jobs);
        true
    }

    /// Says that the executor is about to sleep; false if it must not, because something has come.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.pending.load(Ordering::SeqCst) {
            self.wake_up();
            return false;
        }
        true
    }

    /// Says that the executor is awake.
    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// How often the executor was woken by its bell.
    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and returns the jobs that nobody will do.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut inbox = self.inbox();
        inbox.closed = true;
        inbox.woken.clear();
        std::mem::take(&mut inbox.jobs)
    }
}

/// Wakes whatever task is in one place.
pub(super) struct Header {
    shared: Arc<Shared>,
    place: u32,
    /// It is in the inbox.
    sent: AtomicBool,
}

impl Header {
    pub(super) fn new(shared: &Arc<Shared>, place: u32) -> Arc<Header> {
        Arc::new(Header { shared: Arc::clone(shared), place, sent: AtomicBool::new(false) })
    }

    /// It has been taken out of the inbox: whatever is woken from now on is sent again.
    pub(super) fn received(&self) {
        self.sent.store(false, Ordering::SeqCst);
    }

    fn wake_here(&self) -> bool {
        let here = CURRENT.try_with(|current| {
            // It is only borrowed for longer where no waker is called.
            let current = current.try_borrow().ok()?;
            let core = current.as_ref().filter(|core| Arc::ptr_eq(core.shared(), &self.shared))?;
            core.wake_task(self.place);
            Some(())
        });
        matches!(here, Ok(Some(())))
    }
}

impl Wake for Header {
    fn wake(self: Arc<Header>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Header>) {
        if self.wake_here() || self.sent.swap(true, Ordering::SeqCst) {
            return;
        }
        self.shared.send(|inbox| inbox.woken.push(self.place));
    }
}

thread_local! {
    /// The executor that runs on this thread right now.
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// While it lives, this executor is the one that runs on this thread.
pub(super) struct Running {
    before: Option<Rc<Core>>,
}

impl Running {
    pub(super) fn new(core: &Rc<Core>) -> Running {
        let before = CURRENT.with(|current| current.replace(Some(Rc::clone(core))));
        Running { before }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let before = self.before.take();
        let ended = CURRENT.try_with(|current| current.replace(before));
        drop(ended);
    }
}

/// Who waits for something.
#[derive(Default)]
pub(super) enum Wakee {
    /// Nobody.
    #[default]
    Nobody,
    /// The task in this place: cheaper to remember and to wake than its waker.
    Task(u32),
    /// Whoever has made this waker.
    Other(Waker),
}

impl Wakee {
    /// Whether it says already what a waker would make of it.
    pub(super) fn is(&self, place: Option<u32>, waker: &Waker) -> bool {
        match self {
            Wakee::Nobody => false,
            Wakee::Task(task) => Some(*task) == place,
            Wakee::Other(other) => place.is_none() && other.will_wake(waker),
        }
    }
}
