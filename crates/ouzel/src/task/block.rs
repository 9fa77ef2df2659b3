//! The block of a task: one piece of memory with its header, and its future or, afterwards, its result.
//!
//! A block is held by its executor's side, and by wakers, which may be anywhere and outlive everything else. The executor's
//! side is the sum of three: the task is listed until it is over, it may be queued, and it may have a handle. Each of these
//! is a bit of its state, which only the executor's thread touches, as it does everything in a header but what says otherwise.
//! When the last bit is gone there is neither a future nor a result left, and the block goes back to the executor's store,
//! unless a waker still holds it: then it is freed with that, on whatever thread.
//!
//! A future never moves and is dropped in place, on the executor's thread. A panic of it, or of its drop, ends its task and
//! nothing else. Here and in `tasks`, `join` and `waker` is all that is unsafe about tasks.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::count::Count;
use super::inbox::Mark;
use super::join::JoinError;
use super::tasks::Tasks;
use super::waker::{Wakee, waker_of};

/// It is among its executor's tasks, and its future is there.
pub(super) const LISTED: u32 = 1;
/// It is in the queue of those that can run.
pub(super) const QUEUED: u32 = 2;
/// It has a handle.
pub(super) const HANDLED: u32 = 4;
/// Any of these keeps the block.
pub(super) const HOLDS: u32 = LISTED | QUEUED | HANDLED;
/// It is to be ended instead of polled.
pub(super) const ABORTED: u32 = 8;
/// It is over.
pub(super) const OVER: u32 = 16;
/// Its result is there.
pub(super) const FULL: u32 = 32;
/// Somebody waits for its result.
pub(super) const AWAITED: u32 = 64;

/// Blocks that can be used again come in multiples of this.
const UNIT: usize = 64;
/// Larger blocks are not kept.
pub(super) const CLASSES: usize = 32;

/// What is at the beginning of a block.
pub(super) struct Header {
    /// Any thread's.
    pub(super) count: Count,
    /// Any thread's: whether a wake is in the inbox.
    pub(super) mark: Mark,
    /// Its size in units, or 0 if it is not to be kept. It never changes.
    class: u8,
    /// It never changes; what other threads may use of it, it says itself.
    pub(super) tasks: Arc<Tasks>,
    pub(super) state: Cell<u32>,
    /// Its number among the tasks.
    pub(super) place: Cell<u32>,
    /// What comes behind it in the queue, or in the store.
    pub(super) next: Cell<Option<Task>>,
    table: Cell<&'static Table>,
    /// Who waits for its result.
    pub(super) joiner: Cell<Wakee>,
}

/// What is different with each type of future.
pub(super) struct Table {
    poll: unsafe fn(Task) -> bool,
    end: unsafe fn(Task, JoinError),
    /// Where the result is.
    result: usize,
    layout: Layout,
}

/// A pointer to a block, which somebody holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Task(NonNull<Header>);

/// What lies behind a header. It is only ever pointed to, as one or the other.
#[allow(dead_code)]
union Content<F: Future> {
    future: ManuallyDrop<F>,
    result: ManuallyDrop<Result<F::Output, JoinError>>,
}

#[repr(C)]
struct Block<F: Future> {
    header: Header,
    content: Content<F>,
}

struct Of<F>(PhantomData<F>);

impl<F: Future> Of<F> {
    const CLASS: usize = {
        let layout = Layout::new::<Block<F>>();
        let units = layout.size().div_ceil(UNIT);
        if units < CLASSES && layout.align() <= 16 { units } else { 0 }
    };

    const TABLE: Table = Table {
        poll: poll::<F>,
        end: end::<F>,
        result: std::mem::offset_of!(Block<F>, content),
        layout: Layout::new::<Block<F>>(),
    };
}

/// How many bytes a block of this class has.
pub(super) const fn bytes_of(class: usize) -> usize {
    class * UNIT
}

fn layout_of(class: u8, table: &Table) -> Layout {
    match class {
        0 => table.layout,
        // It is what a block of this class was allocated with; the sizes are small multiples of the alignment.
        units => Layout::from_size_align(bytes_of(units as usize), 16).unwrap_or(table.layout),
    }
}

/// Puts a future into a block: one of the store's, or a new one. It is listed and has a handle, which must be made.
pub(super) fn put<F: Future + 'static>(tasks: &Arc<Tasks>, future: F) -> Task {
    let kept = if Of::<F>::CLASS == 0 { None } else { tasks.kept(Of::<F>::CLASS) };
    let task = kept.unwrap_or_else(|| allocate(tasks, Of::<F>::CLASS as u8, &Of::<F>::TABLE));
    // SAFETY: the block is nobody else's, and has the size and the alignment of `Block<F>`: its class was made from that.
    unsafe {
        let header = task.header();
        header.table.set(&Of::<F>::TABLE);
        header.state.set(LISTED | HANDLED);
        content::<F>(task).cast::<F>().write(future);
    }
    task
}

/// A new block, with nothing behind its header.
#[cold]
fn allocate(tasks: &Arc<Tasks>, class: u8, table: &'static Table) -> Task {
    let layout = layout_of(class, table);
    // SAFETY: it is not of size zero, there is a header in it.
    let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
    let task = Task(block.cast());
    let header = Header {
        count: Count::new(),
        mark: Mark::new(),
        class,
        tasks: Arc::clone(tasks),
        state: Cell::new(0),
        place: Cell::new(u32::MAX),
        next: Cell::new(None),
        table: Cell::new(table),
        joiner: Cell::default(),
    };
    // SAFETY: it is new, and begins with a header.
    unsafe { task.0.as_ptr().write(header) };
    tasks.give_place(task);
    task
}

/// The task that stands for what `block_on` runs: it has a header and nothing else, and is listed.
pub(super) fn root(tasks: &Arc<Tasks>) -> Task {
    let task = put(tasks, std::future::pending::<()>());
    // SAFETY: it is new. Its future needs no drop.
    unsafe { task.header().state.set(LISTED) };
    task
}

/// Where the future or the result is.
///
/// # Safety
///
/// The block was made for `F`.
unsafe fn content<F: Future>(task: Task) -> *mut Content<F> {
    // SAFETY: as the caller says.
    unsafe { &raw mut (*task.0.cast::<Block<F>>().as_ptr()).content }
}

impl Task {
    /// The pointer in a waker.
    pub(super) fn data(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// # Safety
    ///
    /// It is what [`data`](Task::data) was.
    pub(super) unsafe fn from_data(data: *const ()) -> Task {
        // SAFETY: that is never null.
        Task(unsafe { NonNull::new_unchecked(data.cast_mut().cast()) })
    }

    /// # Safety
    ///
    /// The block is held for as long as the reference is used, and nothing of it is touched on other threads than the
    /// executor's but what its header says.
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: as the caller says.
        unsafe { self.0.as_ref() }
    }

    /// Polls it. True if it is over.
    ///
    /// # Safety
    ///
    /// It is listed and not being polled, and this is its executor's thread.
    pub(super) unsafe fn poll(self) -> bool {
        // SAFETY: the table is that of its future, and the rest is as the caller says.
        unsafe { (self.header().table.get().poll)(self) }
    }

    /// Drops its future.
    ///
    /// # Safety
    ///
    /// As for [`poll`](Task::poll).
    pub(super) unsafe fn end(self, why: JoinError) {
        // SAFETY: as for `poll`.
        unsafe { (self.header().table.get().end)(self, why) }
    }

    /// Takes its result.
    ///
    /// # Safety
    ///
    /// It is there, its type is this, and this is its executor's thread.
    pub(super) unsafe fn take<T>(self) -> Result<T, JoinError> {
        // SAFETY: the result is where its table says; it is not there any more afterwards.
        unsafe {
            let header = self.header();
            header.state.set(header.state.get() & !FULL);
            self.0.byte_add(header.table.get().result).cast::<Result<T, JoinError>>().read()
        }
    }

    /// Takes whoever waits for its result.
    ///
    /// # Safety
    ///
    /// It is held, and this is its executor's thread.
    pub(super) unsafe fn take_joiner(self) -> Option<Wakee> {
        // SAFETY: as the caller says.
        let header = unsafe { self.header() };
        let state = header.state.get();
        if state & AWAITED == 0 {
            return None;
        }
        header.state.set(state & !AWAITED);
        Some(header.joiner.take())
    }

    /// Lets go of what these bits stand for.
    ///
    /// # Safety
    ///
    /// They are set, what they stand for is no more, and this is the executor's thread. The task must not be used after this
    /// by whoever relied on them.
    pub(super) unsafe fn let_go(self, bits: u32) {
        // SAFETY: it is held until here.
        let header = unsafe { self.header() };
        let state = header.state.get() & !bits;
        header.state.set(state);
        if state & HOLDS == 0 {
            // SAFETY: nothing on this side holds it any more.
            unsafe { self.retire() };
        }
    }

    /// The executor's side has no more use for the block.
    ///
    /// # Safety
    ///
    /// There is neither a future nor a result in it, nobody waits for it, and this is the executor's thread.
    unsafe fn retire(self) {
        // SAFETY: it is held until here.
        let header = unsafe { self.header() };
        let class = usize::from(header.class);
        if class != 0 && header.count.is_only_one() && header.tasks.has_room(class) {
            // SAFETY: nobody else holds it, so nobody else can come to hold it. A mark may have been left by a wake that is in
            // the inbox for this place: whoever has it next must not rely on that.
            unsafe { (*self.0.as_ptr()).mark = Mark::new() };
            header.tasks.keep(self, class);
            return;
        }
        header.tasks.take_place(header.place.get());
        // SAFETY: the executor's side holds it, and does not any more.
        unsafe { self.release() };
    }

    /// Lets go of the block as a whole, and frees it if nobody holds it.
    ///
    /// # Safety
    ///
    /// The caller holds it and does not use it any more. If it is the last one there is nothing behind the header.
    pub(super) unsafe fn release(self) {
        // SAFETY: the caller holds it; if it was the last one it has the block for itself.
        unsafe {
            let header = self.header();
            if !header.count.let_go() {
                return;
            }
            let layout = layout_of(header.class, header.table.get());
            self.0.as_ptr().drop_in_place();
            dealloc(self.0.as_ptr().cast(), layout);
        }
    }
}

/// Polls a task. True if it is over.
unsafe fn poll<F: Future>(task: Task) -> bool {
    // SAFETY: the table that this is in is that of `F`.
    let content = unsafe { content::<F>(task) };
    // It is borrowed for as long as the task is listed, and not dropped.
    // SAFETY: the task is held meanwhile.
    let waker = ManuallyDrop::new(unsafe { waker_of(task) });
    let lives = Cell::new(true);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let future = content.cast::<F>();
        // SAFETY: the task is listed, so its future is there; it stays in its place until it is dropped there.
        let polled = unsafe { Pin::new_unchecked(&mut *future) }.poll(&mut Context::from_waker(&waker));
        let Poll::Ready(result) = polled else { return false };
        lives.set(false);
        // SAFETY: it is dropped once, and nobody polls it after this. The result takes its place.
        unsafe {
            future.drop_in_place();
            content.cast::<Result<F::Output, JoinError>>().write(Ok(result));
        }
        true
    }));
    match polled {
        Ok(false) => return false,
        Ok(true) => {}
        // SAFETY: the future is dropped if it still lives.
        Err(panic) => unsafe {
            let panic = match if lives.get() { drop_future(content) } else { Ok(()) } {
                Ok(()) => panic,
                Err(second) => {
                    // A panic may be of a type whose drop panics as well.
                    std::mem::forget(panic);
                    second
                }
            };
            content.cast::<Result<F::Output, JoinError>>().write(Err(JoinError::Panicked(panic)));
        },
    }
    // SAFETY: the result is there.
    unsafe { finish::<F>(task) };
    true
}

/// Ends a task, whose future is there.
unsafe fn end<F: Future>(task: Task, why: JoinError) {
    // SAFETY: the table that this is in is that of `F`; the future is dropped once, and the result takes its place.
    unsafe {
        let content = content::<F>(task);
        let why = drop_future(content).map_or_else(JoinError::Panicked, |()| why);
        content.cast::<Result<F::Output, JoinError>>().write(Err(why));
        finish::<F>(task);
    }
}

/// Drops a future in its place.
unsafe fn drop_future<F: Future>(content: *mut Content<F>) -> std::thread::Result<()> {
    // SAFETY: it is there, and not used after this.
    catch_unwind(AssertUnwindSafe(|| unsafe { content.cast::<F>().drop_in_place() }))
}

/// A task has its result. It is still listed, and whoever waits for it is still to be woken.
unsafe fn finish<F: Future>(task: Task) {
    // SAFETY: it is listed, and this is its thread.
    let header = unsafe { task.header() };
    let state = header.state.get() | OVER | FULL;
    header.state.set(state);
    if state & HANDLED == 0 {
        // SAFETY: the result is there and of this type.
        let result = unsafe { task.take::<F::Output>() };
        // Nobody is there to be told of a panic of its drop, which may be of a type whose drop panics as well.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            std::mem::forget(panic);
        }
    }
}
