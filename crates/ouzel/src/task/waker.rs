//! Wakers: how a task is made runnable again, from its own thread or any other.
//!
//! On the executor's own thread a wake puts the task straight into its queue: it costs a look at a thread-local and changes
//! nothing that threads share. From elsewhere it goes through the inbox (`inbox`), and rings the executor's bell, but only
//! if the executor sleeps and nobody has rung before: many wakes cost one system call, and none while it is awake. A waker
//! holds its task's block (`block`), and nothing else of it: wakers may outlive the task and the executor, and do nothing
//! then. A task is polled with a waker that holds nothing, and counts nothing until it is cloned.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::block::Task;
use super::inbox::{self, Alarm};
use super::job::Job;
use super::tasks::Tasks;
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

/// What all tasks' wakers have in common, and no other waker. A static, so that it has one address.
static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker of a task, for which somebody holds the task's block: by its [`Count`](super::count::Count), or, if it is never dropped,
/// in any other way.
///
/// # Safety
///
/// The block is held until the waker is dropped or for as long as it is used.
pub(super) unsafe fn waker_of(task: Task) -> Waker {
    // SAFETY: the functions of the table do what a waker's must, on any thread: they touch nothing of the block but what is any
    // thread's, unless this is the executor's.
    unsafe { Waker::new(task.data(), &TABLE) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: whoever clones a waker has one, so the block is held; its count is any thread's.
    unsafe { Task::from_data(data).header() }.count.hold();
    RawWaker::new(data, &TABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker holds the block, and lets go of it last.
    unsafe {
        wake_by_ref(data);
        Task::from_data(data).release();
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker holds the block.
    let task = unsafe { Task::from_data(data) };
    // SAFETY: as above; what is used here is any thread's, until it is clear that this is the executor's.
    let header = unsafe { task.header() };
    if CURRENT.try_with(Cell::get).is_ok_and(|current| current == Arc::as_ptr(&header.tasks)) {
        header.tasks.wake(task);
    } else {
        // The place is a block's for life, and was given to it before there were wakers.
        header.tasks.shared().send_wake(header.place.get(), &header.mark);
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker holds the block, and does not any more. If it was the last one the task is over.
    unsafe { Task::from_data(data).release() };
}

thread_local! {
    /// The tasks of the executor that runs on this thread right now. It is only ever compared.
    static CURRENT: Cell<*const Tasks> = const { Cell::new(std::ptr::null()) };
}

/// While it lives, this executor is the one that runs on this thread.
pub(super) struct Running {
    before: *const Tasks,
}

impl Running {
    pub(super) fn new(tasks: &Arc<Tasks>) -> Running {
        let before = CURRENT.try_with(|current| current.replace(Arc::as_ptr(tasks)));
        Running { before: before.unwrap_or(std::ptr::null()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A thread that ends has none.
        let _ = CURRENT.try_with(|current| current.set(self.before));
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

/// The place of the task whose waker this is, if it is one of these.
pub(super) fn place_of(tasks: &Arc<Tasks>, waker: &Waker) -> Option<u32> {
    if !std::ptr::eq(waker.vtable(), &raw const TABLE) {
        return None;
    }
    // SAFETY: it is a task's waker, which holds its block. Whose it is never changes; and if it is one of these, whoever has them
    // is on their thread.
    let header = unsafe { Task::from_data(waker.data()).header() };
    std::ptr::eq(Arc::as_ptr(&header.tasks), Arc::as_ptr(tasks)).then(|| header.place.get())
}

impl Wakee {
    /// Remembers whoever has made this waker.
    pub(super) fn of(tasks: &Arc<Tasks>, waker: &Waker) -> Wakee {
        match place_of(tasks, waker) {
            Some(place) => Wakee::Task(place),
            None => Wakee::Other(waker.clone()),
        }
    }

    /// Whether it says already what a waker would make of it.
    pub(super) fn is(&self, place: Option<u32>, waker: &Waker) -> bool {
        match self {
            Wakee::Nobody => false,
            Wakee::Task(task) => Some(*task) == place,
            Wakee::Other(other) => place.is_none() && other.will_wake(waker),
        }
    }
}
