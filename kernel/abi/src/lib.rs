//! What the demonstration kernel and its programs agree on beside the ring.
//!
//! The ring itself, its verbs, flags and error numbers are `ouzel-ring`'s; nothing of them is repeated here. This crate
//! has the three system calls, what a process finds when it starts, and the names that OPEN knows. It only describes: it has
//! no code that could run on one side and not on the other.
//!
//! # The three system calls
//!
//! `syscall` with the number in `rax` and the arguments in `rdi`, `rsi`, `rdx`, `r10`. The result is in `rax`: 0 or more, or
//! minus an [`Errno`](https://docs.rs/ouzel-ring)'s number. `rcx` and `r11` are lost; every other register is kept.
//!
//! | call | arguments | result |
//! |---|---|---|
//! | [`SETUP`] | address of a [`Setup`] to fill, address hint (0: none), entries, completions | the ring's number |
//! | [`ENTER`] | ring, entries to submit, completions to wait for, nanoseconds ([`NEVER`]: no limit) | entries taken |
//! | [`TEARDOWN`] | ring, or [`ALL`] and the exit status | 0; with [`ALL`] it does not return |
//!
//! Errors of `SETUP`: EINVAL (impossible sizes, or a hint that is not page-aligned, not in the user half, or in use),
//! EMFILE ([`MAX_RINGS`]), ENOMEM ([`MAX_PAGES`], or the kernel's memory), EFAULT (the [`Setup`]).
//! Of `ENTER`: EINVAL (no such ring), EBUSY (another thread is in it), EIO (the ring is broken). In a ring that goes on closing, entries end with ECANCELED.
//! Of `TEARDOWN`: EINVAL, and EBUSY (another thread is in the ring, or a FINALLY entry, which no cancel reaches, is not over after 100 ms: it goes on closing; call again).
//!
//! A process that is told to end by another leaves its `ENTER` without ever returning from it.
//!
//! # Names that OPEN knows
//!
//! | path | flags | what the descriptor is |
//! |---|---|---|
//! | `/bin/first`, … | as `docs/abi.md` says | a file or a directory of the ramdisk |
//! | `console:` | READ, WRITE | the serial line; a READ waits for input and ends with what is there |
//! | `null:` | READ, WRITE | READ is at the end, WRITE takes all |
//! | `spawn:PATH ARGUMENT …` | READ | a new process that runs the program `PATH` with these arguments (split at spaces); it has its parent's standard objects |
//! | `hold:PATH ARGUMENT …` | READ | the same, but it starts when SENDMSG gives it its standard objects: see below |
//! | `thread:ENTRY,STACK,ARGUMENT` | READ | a thread of this process that starts at the address ENTRY with `rsp` = STACK and `rdi` = ARGUMENT (hexadecimal); ECANCELED while the process ends |
//! | `memory:PAGES` or `memory:PAGES@ADDRESS` | READ | fresh zeroed pages (decimal) of this process at ADDRESS (hexadecimal) or where there is room; READ gives a [`Mapping`]; CLOSE unmaps |
//! | `kernel:` | READ | READ at offset 0 gives a [`Statistics`] |
//! | `scheme:NAME` | READ, WRITE, CREATE | the process serves `NAME:` from now on; READ gives a [`SchemeSetup`] |
//! | `NAME:PATH` | any | an object of the scheme NAME, as its driver answers |
//!
//! What can be done with them, where it is not what `docs/abi.md` says of a file:
//!
//! - **A process** (`spawn:`, `hold:`): WAIT waits for its end: the result is the status that it gave [`TEARDOWN`], and `extra` the
//!   number of the signal it ended by ([`SIGNAL_KILL`], [`SIGNAL_FAULT`], [`SIGNAL_ILLEGAL`]; 0 for none). POLL is ready (READ) when it has ended. WRITE of
//!   the bytes `kill` ends it. READ gives its number as 8 bytes. CLOSE only lets go of it; a process that is held when it is let go of never starts.
//! - SENDMSG to a held process starts it; the first two descriptors of the message (at most [`STANDARD`]) become its standard
//!   objects, the bytes of the message are not looked at.
//! - **A thread**: WAIT waits for its end. It ends with [`TEARDOWN`] of [`THREAD`].
//! - **Memory**: CLOSE unmaps at once, also under I/O: an operation that would touch the pages afterwards ends with EFAULT.
//! - WAIT by number (subject 0) is ENOSYS: a process is waited for by descriptor.
#![no_std]
#![forbid(unsafe_code)]

/// The number of the system call that makes a ring.
pub const SETUP: u64 = 0;

/// The number of the system call that takes entries from a ring and waits for completions.
pub const ENTER: u64 = 1;

/// The number of the system call that ends a ring, a thread or the process.
pub const TEARDOWN: u64 = 2;

/// The ring number that, given to [`TEARDOWN`], stands for all there is: the process ends with the status in the second argument.
pub const ALL: u64 = u64::MAX;

/// The ring number that, given to [`TEARDOWN`], stands for the calling thread, which ends. The last thread's end is the process's.
pub const THREAD: u64 = u64::MAX - 1;

/// The timeout of [`ENTER`] that never fires. The unit is nanoseconds.
pub const NEVER: u64 = u64::MAX;

/// Rings of one process; `SETUP` of one more is EMFILE.
pub const MAX_RINGS: usize = 8;

/// Pages of one process: its program, stack, mapped memory, rings, the tables of all these, and the kernel's memory behind rings; one more
/// is ENOMEM.
pub const MAX_PAGES: u64 = 2048;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The most entries of a ring.
pub const MAX_ENTRIES: u64 = 1024;

/// The most completions of a ring.
pub const MAX_COMPLETIONS: u64 = 2048;

/// Descriptors that a ring can have open.
pub const MAX_DESCRIPTORS: u32 = 64;

/// The most bytes that one READ or WRITE of this kernel moves; more are a short transfer.
pub const MAX_TRANSFER: usize = 64 * 1024;

/// Processes and threads at once; one more is EAGAIN.
pub const MAX_THREADS: usize = 64;

/// Standard objects of a process: input and output. Each ring finds them open when it is made.
pub const STANDARD: usize = 2;

/// Nanoseconds between two ticks of the timer: what a thread may run before it has to let others, and the pace of the block device.
pub const TICK: u64 = 1_000_000;

/// First address past what a process may use.
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// The signal of a process that was told to end.
pub const SIGNAL_KILL: u32 = 9;

/// The signal of a process that touched what it may not.
pub const SIGNAL_FAULT: u32 = 11;

/// The signal of a process that did what is not an instruction, or not for it.
pub const SIGNAL_ILLEGAL: u32 = 4;

/// What `SETUP` tells of a new ring. It is zeroed memory in the contiguous placement, its indices at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Setup {
    /// Address of the control block.
    pub base: u64,
    /// Bytes that are mapped there: whole pages.
    pub length: u64,
    /// Entries, as asked for.
    pub entries: u64,
    /// Completions, as asked for.
    pub completions: u64,
    /// The descriptors, of this ring, of the standard objects: input, output. 0 for one that the process does not have.
    pub standard: [u64; STANDARD],
}

/// What a process finds at its start: `rdi` holds the address of this structure, in a page that it may read and write.
///
/// `rsp` is the end of its stack of [`STACK_PAGES`] pages, aligned to 16 bytes and then lowered by 8, as after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Start {
    /// [`START_MAGIC`].
    pub magic: u64,
    /// The number of this process, counted from 1 since boot.
    pub process: u64,
    /// Address of its arguments: UTF-8, the program's path first, each ended by a NUL.
    pub arguments: u64,
    /// Bytes of them, the NULs included.
    pub arguments_length: u64,
    /// How many there are.
    pub arguments_count: u64,
    /// Units of the time-stamp counter (which ring 3 may read) in a second. Under QEMU's `-icount shift=0` one instruction is
    /// one nanosecond of virtual time, so that differences of the counter, scaled by this, count instructions.
    pub counter_rate: u64,
}

/// What [`Start::magic`] holds.
pub const START_MAGIC: u64 = u64::from_le_bytes(*b"ouzel\0v1");

/// Pages of the stack of a process.
pub const STACK_PAGES: u64 = 16;

/// What READ of a `memory:` descriptor gives: 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Mapping {
    /// Address of the first page.
    pub address: u64,
    /// Bytes.
    pub length: u64,
}

/// What READ of `kernel:` gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Statistics {
    /// Frames of memory that the kernel hands out in all.
    pub frames: u64,
    /// Those of them that are free.
    pub frames_free: u64,
    /// Bytes of the kernel's heap that are in use.
    pub heap_used: u64,
    /// Processes that are alive or not let go of.
    pub processes: u64,
    /// The most bytes of its kernel stack that the calling thread has ever used: found by the pattern the stack is filled with.
    pub stack_used: u64,
    /// Bytes of a kernel stack.
    pub stack_size: u64,
    /// System calls of the calling process.
    pub calls: u64,
    /// Switches from a thread to another because its time was up.
    pub preemptions: u64,
    /// Requests that the block device has served.
    pub blocks: u64,
    /// Packets that are in the hands of some layer.
    pub packets: u64,
}

/// What READ of a `scheme:` descriptor gives: the ring whose submitter is the kernel, mapped for the driver, whose end is the engine's.
///
/// The driver makes an `EngineEnd` over the contiguous placement, its indices at 0. POLL of the descriptor for READ ends when entries
/// are there; the kernel looks for completions with each tick and whenever anybody enters a ring. Entries are those of
/// `docs/abi.md` with these differences: the subject is the number that the driver gave as the result of the OPEN (0 for
/// OPEN itself), and payloads are in region 1, which is the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SchemeSetup {
    /// Address of the ring's control block.
    pub base: u64,
    /// Bytes mapped there.
    pub length: u64,
    /// Entries: [`SCHEME_ENTRIES`].
    pub entries: u64,
    /// Completions: [`SCHEME_COMPLETIONS`].
    pub completions: u64,
    /// Address of the window: region 1 of the payloads.
    pub window: u64,
    /// Bytes of the window.
    pub window_length: u64,
}

/// Entries of the ring between the kernel and a driver.
pub const SCHEME_ENTRIES: u64 = 16;

/// Completions of that ring.
pub const SCHEME_COMPLETIONS: u64 = 32;

/// Bytes of the window that belong to one entry in flight; a longer transfer is short.
pub const SCHEME_SLOT: u64 = PAGE;

const _: () = {
    assert!(size_of::<Setup>() == 48);
    assert!(size_of::<Start>() == 48);
    assert!(size_of::<Mapping>() == 16);
    assert!(size_of::<Statistics>() == 80);
    assert!(size_of::<SchemeSetup>() == 48);
};
