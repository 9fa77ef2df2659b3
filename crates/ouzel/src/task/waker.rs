//! Wakers: how a task is made runnable again, from its own thread or any other.
//!
//! On the executor's own thread a wake puts the task straight into its queue. From elsewhere it goes through the inbox
//! (`inbox`), and rings the executor's bell, but only if the executor sleeps and nobody has rung before: many wakes cost one
//! system call, and none while it is awake. Wakers may outlive the executor; they then do nothing. A waker belongs to a
//! place for a task, not to the task: one that is late may wake a later task in the same place for nothing, which futures
//! have to expect anyway.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::core::Core;
use super::inbox::{self, Alarm, Mark};
use super::job::Job;
use crate::Bell;
use crate::sync::thread_local;

/// What came from other threads.
pub(super) type Inbox = inbox::Inbox<Job>;

/// The part of an executor that other threads may touch.
pub(super) type Shared = inbox::Shared<Job, Bell>;

impl Alarm for Bell {
    fn ring(&self) {
        Bell::ring(self);
    }
}

/// Wakes whatever task is in one place.
pub(super) struct Header {
    shared: Arc<Shared>,
    place: u32,
    mark: Mark,
}

impl Header {
    pub(super) fn new(shared: &Arc<Shared>, place: u32) -> Arc<Header> {
        Arc::new(Header { shared: Arc::clone(shared), place, mark: Mark::new() })
    }

    /// It has been taken out of the inbox: whatever is woken from now on is sent again.
    pub(super) fn received(&self) {
        self.mark.clear();
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
        if !self.wake_here() {
            self.shared.send_wake(self.place, &self.mark);
        }
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
