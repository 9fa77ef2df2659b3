//! Threads: who runs, who could, who waits.
//!
//! Each has a kernel stack in a window of its own. A thread gives the processor up in two places only: where it waits, inside
//! a system call, and where the timer finds it in ring 3 or the kernel lets it in ([`pause`]). So switching is an ordinary call. When nobody can run, whoever waited last halts, on its own stack, until an interrupt wakes somebody.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use ouzel_kernel_abi::MAX_THREADS;
use ouzel_ring::Errno;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, instructions::interrupts};

use crate::global::Global;
use crate::memory::{self, Window};
use crate::packet::{self, Ended, Packet};
use crate::process::Process;
use crate::trap::{self, Frame};

/// Pages of a kernel stack.
const STACK_PAGES: usize = 16;
/// What a stack is filled with, to see how much of it was ever used.
const PATTERN: u64 = 0x6c65_7a75_6f5f_6b73;
/// The vector state of a new thread, as FXSAVE writes it, takes so much of its stack.
const VECTOR_STATE: u64 = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Waiting,
}

/// One thread.
pub struct Thread {
    /// Whose it is.
    pub process: Rc<Process>,
    stack: Window,
    /// Where its stack ended when it was switched away from.
    pointer: Cell<u64>,
    state: Cell<State>,
    /// When it wants to be woken at the latest.
    until: Cell<u64>,
    /// Who waits for its end.
    ended: Rc<ThreadEnd>,
}

/// The end of a thread, which may be waited for.
#[derive(Default)]
pub struct ThreadEnd {
    /// It has come.
    over: Cell<bool>,
    waiting: RefCell<VecDeque<Packet>>,
}

struct Scheduler {
    threads: Vec<Rc<Thread>>,
    ready: VecDeque<Rc<Thread>>,
    current: Option<Rc<Thread>>,
    /// It has ended, and its stack may still be the one in use.
    retired: Option<Rc<Thread>>,
    preemptions: u64,
    /// The tables without a lower half.
    root: u64,
}

static SCHEDULER: Global<Scheduler> = Global::new();

/// Starts scheduling; nothing runs yet.
pub fn start() {
    SCHEDULER.set(Scheduler {
        threads: Vec::new(),
        ready: VecDeque::new(),
        current: None,
        retired: None,
        preemptions: 0,
        root: memory::root(),
    });
}

/// Adds a thread to `process`: it starts in ring 3 at `entry` with this stack pointer and this argument. EAGAIN past
/// [`MAX_THREADS`], ENOMEM without memory for its stack.
pub fn spawn(
    process: &Rc<Process>,
    entry: u64,
    stack_pointer: u64,
    argument: u64,
) -> Result<Rc<ThreadEnd>, Errno> {
    reap();
    memory::heap_has(4096)?;
    if SCHEDULER.get().threads.len() >= MAX_THREADS {
        return Err(Errno::EAGAIN);
    }
    let stack = Window::fresh(STACK_PAGES)?;
    let words = core::ptr::with_exposed_provenance_mut::<u64>(stack.start() as usize);
    for word in 0..stack.length() / 8 {
        // SAFETY: inside the stack, which nobody uses yet.
        unsafe { words.add(word as usize).write(PATTERN) };
    }
    let frame = stack.end() - size_of::<Frame>() as u64;
    let vector_state = (frame - VECTOR_STATE) & !63;
    // What `switch_stack` takes off: gs, fs, es, ds, r15 to r12, then rbx and rbp for `leave`, and where to return to.
    let kept = [0, 0, 0, 0, 0, 0, 0, 0, vector_state, frame, trap::leave_address()];
    let pointer = vector_state - size_of_val(&kept) as u64;
    let place = |address: u64| core::ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: all three lie in the stack, which nobody uses yet, and do not overlap. The vector state of a new thread: zeros,
    // all exceptions masked.
    unsafe {
        place(frame).cast::<Frame>().write(Frame::of_user(entry, stack_pointer, argument));
        core::ptr::write_bytes(place(vector_state), 0, VECTOR_STATE as usize);
        place(vector_state).cast::<u16>().write(0x37f);
        place(vector_state + 24).cast::<u32>().write(0x1f80);
        place(pointer).cast::<[u64; 11]>().write(kept);
    }
    let ended = Rc::new(ThreadEnd::default());
    let thread = Rc::new(Thread {
        process: process.clone(),
        stack,
        pointer: Cell::new(pointer),
        state: Cell::new(State::Ready),
        until: Cell::new(u64::MAX),
        ended: ended.clone(),
    });
    process.threads.set(process.threads.get() + 1);
    let mut scheduler = SCHEDULER.get();
    scheduler.threads.push(thread.clone());
    scheduler.ready.push_back(thread);
    Ok(ended)
}

/// The thread that runs.
pub fn current() -> Rc<Thread> {
    match &SCHEDULER.get().current {
        Some(thread) => thread.clone(),
        None => panic!("nobody runs"),
    }
}

/// The most bytes of its stack that the thread that runs has used, and how many there are.
pub fn stack_use() -> (u64, u64) {
    let thread = current();
    let words = core::ptr::with_exposed_provenance::<u64>(thread.stack.start() as usize);
    let count = thread.stack.length() / 8;
    // SAFETY: inside the stack. Volatile, since part of it is in use.
    let untouched =
        (0..count).take_while(|word| unsafe { words.add(*word as usize).read_volatile() } == PATTERN).count();
    ((count - untouched as u64) * 8, thread.stack.length())
}

/// How often a thread had to let another run because its time was up.
pub fn preemptions() -> u64 {
    SCHEDULER.get().preemptions
}

/// Wakes a thread that waits.
pub fn wake(thread: &Rc<Thread>) {
    if thread.state.get() == State::Waiting {
        thread.state.set(State::Ready);
        SCHEDULER.get().ready.push_back(thread.clone());
    }
}

/// Wakes all threads of `process` that wait.
pub fn wake_all_of(process: &Rc<Process>) {
    let threads = SCHEDULER.get().threads.clone();
    threads.iter().filter(|thread| Rc::ptr_eq(&thread.process, process)).for_each(wake);
}

/// Wakes whose time has come.
pub fn tick(now: u64) {
    let mut scheduler = SCHEDULER.get();
    let Scheduler { threads, ready, .. } = &mut *scheduler;
    for thread in threads {
        if thread.state.get() == State::Waiting && thread.until.get() <= now {
            thread.state.set(State::Ready);
            ready.push_back(thread.clone());
        }
    }
}

/// Lets the thread that runs wait until it is woken, or that time.
pub fn block(until: Option<u64>) {
    {
        let scheduler = SCHEDULER.get();
        let Some(thread) = &scheduler.current else { return };
        thread.until.set(until.unwrap_or(u64::MAX));
        thread.state.set(State::Waiting);
    }
    go_on();
}

/// The time of the thread that runs is up: others run first, if there are any.
pub fn let_others() {
    {
        let mut scheduler = SCHEDULER.get();
        if scheduler.ready.is_empty() {
            return;
        }
        scheduler.preemptions += 1;
        let Some(thread) = scheduler.current.clone() else { return };
        scheduler.ready.push_back(thread);
    }
    go_on();
}

/// The thread that runs has been in the kernel for long: lets the timer in, and others run. Nothing may be borrowed.
pub fn pause() {
    interrupts::enable();
    // The first instruction behind the one that lets interrupts in is not interrupted yet.
    x86_64::instructions::nop();
    interrupts::disable();
    let_others();
}

/// The thread that runs ends, and its process with it if it was the last one.
pub fn exit() -> ! {
    retire();
    loop {
        go_on();
    }
}

/// Everything of [`exit`] that holds anything.
fn retire() {
    let thread = current();
    thread.ended.over.set(true);
    packet::finish_all(&thread.ended.waiting, Ended::success(0));
    let process = &thread.process;
    process.threads.set(process.threads.get() - 1);
    if process.threads.get() == 0 {
        process.end();
    }
    let mut scheduler = SCHEDULER.get();
    scheduler.threads.retain(|other| !Rc::ptr_eq(other, &thread));
    use_tables(scheduler.root);
    if process.threads.get() == 0 {
        // A process that somebody still has a descriptor of keeps nothing but its status.
        process.space.clear();
    }
    let retired = scheduler.current.take();
    let earlier = core::mem::replace(&mut scheduler.retired, retired);
    drop(scheduler);
    drop(earlier);
}

/// Frees what the thread that ended last has left behind.
pub fn reap() {
    let retired = {
        let mut scheduler = SCHEDULER.get();
        if scheduler.current.is_some() { scheduler.retired.take() } else { None }
    };
    drop(retired);
}

/// Switches to the thread that has waited longest to run, or halts until there is one.
pub fn go_on() {
    loop {
        let next = SCHEDULER.get().ready.pop_front();
        match next {
            Some(next) => return switch_to(next),
            None => {
                interrupts::enable_and_hlt();
                interrupts::disable();
            }
        }
    }
}

fn switch_to(next: Rc<Thread>) {
    let (save, to) = {
        let mut scheduler = SCHEDULER.get();
        trap::set_kernel_stack(next.stack.end());
        use_tables(next.process.space.root());
        let to = next.pointer.get();
        // A thread that has ended is kept until another runs, and so is the place for its pointer.
        let save = match scheduler.current.replace(next) {
            Some(before) => {
                if scheduler.current.as_ref().is_some_and(|next| Rc::ptr_eq(next, &before)) {
                    return;
                }
                before.pointer.as_ptr()
            }
            None => {
                scheduler.retired.as_ref().map_or(BOOT_POINTER.0.as_ptr(), |thread| thread.pointer.as_ptr())
            }
        };
        (save, to)
    };
    // SAFETY: `to` is where `switch_stack` left the next thread's stack, or what `spawn` made to look so; its tables and
    // its stack for entries are set. Nothing is borrowed.
    unsafe { trap::switch_stack(save, to) };
}

/// Where the pointer of the boot stack is noted, to which nobody returns.
struct BootPointer(Cell<u64>);

// SAFETY: one processor, as for `Global`.
unsafe impl Sync for BootPointer {}

static BOOT_POINTER: BootPointer = BootPointer(Cell::new(0));

fn use_tables(root: u64) {
    if memory::root() != root {
        let frame = PhysFrame::containing_address(PhysAddr::new(root));
        // SAFETY: the root of a process's tables, or the first ones: the kernel's half is the same in all.
        unsafe { Cr3::write(frame, Cr3Flags::empty()) };
    }
}

impl packet::Object for ThreadEnd {
    fn start(self: Rc<Self>, packet: Packet) -> packet::Fate {
        match packet.request {
            packet::Request::Wait if self.over.get() => packet.succeed(0),
            packet::Request::Wait => packet.wait_in(&mut self.waiting.borrow_mut()),
            _ => packet.fail(Errno::EINVAL),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        packet::take_from(&self.waiting, name)
    }
}
