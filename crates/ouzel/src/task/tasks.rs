//! The tasks of an executor: the queue of those that can run, the list of all, and the store of blocks to be used again.
//!
//! The queue and the store are threaded through the blocks themselves. The list gives each block a number, by which wakes
//! from other threads and the ring's completions name it; a block keeps its number while it lies in the store. A wake that
//! is late may so wake a later task in the same block for nothing, which futures have to expect anyway.
//!
//! Every header has a share of this, also those that wakers on other threads hold. There nothing may be used but
//! [`shared`](Tasks::shared) and the address: all else is the executor's thread's.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Waker;

use super::block::{self, ABORTED, CLASSES, LISTED, OVER, QUEUED, Task, bytes_of};
use super::join::{JoinError, JoinHandle};
use super::waker::{Shared, Wakee, waker_of};

/// How much memory of tasks that are over is kept for later ones.
const MOST_KEPT: usize = 1 << 20;

/// The place of a block that is not in the list.
const NOWHERE: u32 = u32::MAX;

pub(super) struct Tasks {
    shared: Arc<Shared>,
    first: Cell<Option<Task>>,
    /// The last one in the queue, if there is a first one.
    last: Cell<Option<Task>>,
    /// How many are in the queue.
    queued: Cell<usize>,
    /// Blocks by class.
    store: [Cell<Option<Task>>; CLASSES],
    /// Bytes in the store.
    stored: Cell<usize>,
    list: RefCell<List>,
    /// There are no more tasks.
    closed: Cell<bool>,
}

/// Blocks by number.
#[derive(Default)]
struct List {
    places: Vec<Option<Task>>,
    free: Vec<u32>,
}

// SAFETY: other threads have it only by a header that a waker of theirs holds, and use nothing but `shared`, which may be shared.
// When the last of them drops it, it is empty: what it has of the executor's thread are pointers then that mean nothing.
unsafe impl Send for Tasks {}
// SAFETY: as above.
unsafe impl Sync for Tasks {}

/// The tasks as their executor has them, with the root: the task that stands for what `block_on` runs.
pub(super) struct Owned {
    tasks: Arc<Tasks>,
    root: Task,
}

impl Owned {
    pub(super) fn new(shared: &Arc<Shared>) -> Owned {
        let tasks = Arc::new(Tasks {
            shared: Arc::clone(shared),
            first: Cell::new(None),
            last: Cell::new(None),
            queued: Cell::new(0),
            store: [const { Cell::new(None) }; CLASSES],
            stored: Cell::new(0),
            list: RefCell::default(),
            closed: Cell::new(false),
        });
        let root = block::root(&tasks);
        Owned { tasks, root }
    }

    /// The root.
    pub(super) fn root(&self) -> Task {
        self.root
    }

    /// The root's waker.
    pub(super) fn root_waker(&self) -> Waker {
        // SAFETY: the root is held for as long as this is there; the waker holds it, too.
        unsafe {
            self.root.header().count.hold();
            waker_of(self.root)
        }
    }

    pub(super) fn tasks(&self) -> &Arc<Tasks> {
        &self.tasks
    }

    /// Starts a task.
    pub(super) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let task = block::put(&self.tasks, future);
        if self.tasks.closed.get() {
            // SAFETY: it is listed, and has not been polled.
            unsafe { self.tasks.end(task, JoinError::Closed) };
        } else {
            self.tasks.wake(task);
        }
        // SAFETY: it was just made, with a handle.
        unsafe { JoinHandle::new(task) }
    }

    /// Ends all tasks. Those that come after this are ended at once, and no memory is kept any more.
    pub(super) fn close(&self) {
        self.tasks.closed.set(true);
        let count = self.tasks.list.borrow().places.len() as u32;
        // What is dropped may end, abort and spawn others, all of which changes the list.
        for place in 0..count {
            let task = self.tasks.list.borrow().places.get(place as usize).copied().flatten();
            // SAFETY: it is in the list, so it is held by this side or lies in the store.
            let listed = task.filter(|task| unsafe { task.header() }.state.get() & LISTED != 0);
            if let Some(task) = listed.filter(|task| *task != self.root) {
                // SAFETY: it is listed, and no task is polled while its executor is dropped.
                unsafe { self.tasks.end(task, JoinError::Closed) };
            }
        }
        while self.tasks.next().is_some() {}
        self.tasks.empty_store();
    }
}

impl Deref for Owned {
    type Target = Tasks;

    fn deref(&self) -> &Tasks {
        &self.tasks
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.close();
        // SAFETY: it is listed until here, and its future needs no drop.
        unsafe { self.root.let_go(LISTED) };
    }
}

impl Tasks {
    /// What other threads may use.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    // The queue.

    /// Queues a task, unless it is over or in the queue. This must be the executor's thread, and the task one of these.
    #[inline]
    pub(super) fn wake(&self, task: Task) {
        // SAFETY: whoever has it holds it.
        let header = unsafe { task.header() };
        let state = header.state.get();
        if state & (LISTED | QUEUED) != LISTED {
            return;
        }
        header.state.set(state | QUEUED);
        header.next.set(None);
        let last = self.last.replace(Some(task));
        match last.filter(|_| self.queued.get() != 0) {
            // SAFETY: it is in the queue, which holds it.
            Some(last) => unsafe { last.header() }.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
        self.queued.set(self.queued.get() + 1);
    }

    /// Queues what is in this place, if there is anything.
    pub(super) fn wake_place(&self, place: u32) {
        let task = self.list.borrow().places.get(place as usize).copied().flatten();
        if let Some(task) = task {
            self.wake(task);
        }
    }

    /// The same, for a wake that came through the inbox.
    pub(super) fn wake_received(&self, place: u32) {
        let task = self.list.borrow().places.get(place as usize).copied().flatten();
        if let Some(task) = task {
            // SAFETY: it is in the list, so it is held by this side or lies in the store.
            unsafe { task.header() }.mark.clear();
            self.wake(task);
        }
    }

    /// Wakes whoever waits for something.
    pub(super) fn wake_wakee(&self, wakee: Wakee) {
        match wakee {
            Wakee::Nobody => {}
            Wakee::Task(place) => self.wake_place(place),
            Wakee::Other(waker) => waker.wake(),
        }
    }

    /// How many can run.
    pub(super) fn runnable(&self) -> usize {
        self.queued.get()
    }

    /// The next that can run. It is listed, and out of the queue.
    pub(super) fn next(&self) -> Option<Task> {
        while self.queued.get() != 0 {
            let task = self.first.get()?;
            // SAFETY: it is in the queue, which holds it.
            let header = unsafe { task.header() };
            self.first.set(header.next.get());
            self.queued.set(self.queued.get() - 1);
            let state = header.state.get();
            if state & LISTED != 0 {
                header.state.set(state & !QUEUED);
                return Some(task);
            }
            // SAFETY: it is not in the queue any more.
            unsafe { task.let_go(QUEUED) };
        }
        None
    }

    /// Runs what [`next`](Tasks::next) has returned, and is not the root.
    pub(super) fn run(&self, task: Task) {
        // SAFETY: it is listed, and nothing that it does while it is polled ends it: that is done here alone, and by `close`,
        // which needs the executor for itself, as whoever polls does.
        unsafe {
            if task.header().state.get() & ABORTED != 0 {
                self.end(task, JoinError::Aborted);
            } else if task.poll() {
                self.is_over(task);
            }
        }
    }

    /// Ends a task.
    ///
    /// # Safety
    ///
    /// It is listed and not being polled.
    unsafe fn end(&self, task: Task, why: JoinError) {
        // SAFETY: as the caller says.
        unsafe {
            task.end(why);
            self.is_over(task);
        }
    }

    /// A task has its result: it is not listed any more, and whoever waits for it is told.
    ///
    /// # Safety
    ///
    /// It is listed, and its future is no more.
    unsafe fn is_over(&self, task: Task) {
        // SAFETY: it is listed until here. Whoever is told may do anything, so that comes last.
        unsafe {
            let joiner = task.take_joiner();
            task.let_go(LISTED);
            if let Some(joiner) = joiner {
                self.wake_wakee(joiner);
            }
        }
    }

    /// Has a task ended instead of polled.
    pub(super) fn abort(&self, task: Task) {
        // SAFETY: whoever has it holds it.
        let header = unsafe { task.header() };
        if header.state.get() & OVER == 0 {
            header.state.set(header.state.get() | ABORTED);
            self.wake(task);
        }
    }

    // The store.

    /// A block of this class, if there is one.
    pub(super) fn kept(&self, class: usize) -> Option<Task> {
        let store = &self.store[class];
        let task = store.get()?;
        // SAFETY: it is in the store, which holds it.
        store.set(unsafe { task.header() }.next.get());
        self.stored.set(self.stored.get() - bytes_of(class));
        Some(task)
    }

    /// Whether one more block of this class may be kept.
    pub(super) fn has_room(&self, class: usize) -> bool {
        self.stored.get() + bytes_of(class) <= MOST_KEPT && !self.closed.get()
    }

    /// Keeps a block that nobody else holds, with its number.
    pub(super) fn keep(&self, task: Task, class: usize) {
        // SAFETY: it is this side's.
        unsafe { task.header() }.next.set(self.store[class].replace(Some(task)));
        self.stored.set(self.stored.get() + bytes_of(class));
    }

    /// Frees all that is kept.
    fn empty_store(&self) {
        for class in 0..CLASSES {
            while let Some(task) = self.kept(class) {
                // SAFETY: the store was the only one that held it.
                unsafe {
                    self.take_place(task.header().place.get());
                    task.release();
                }
            }
        }
    }

    // The list.

    /// Gives a new block a number.
    pub(super) fn give_place(&self, task: Task) {
        let mut list = self.list.borrow_mut();
        let place = list.free.pop().unwrap_or_else(|| {
            list.places.push(None);
            (list.places.len() - 1) as u32
        });
        list.places[place as usize] = Some(task);
        // SAFETY: it is new.
        unsafe { task.header() }.place.set(place);
    }

    /// Takes a number back.
    pub(super) fn take_place(&self, place: u32) {
        let mut list = self.list.borrow_mut();
        if place != NOWHERE
            && let Some(listed) = list.places.get_mut(place as usize)
        {
            *listed = None;
            list.free.push(place);
        }
    }
}
