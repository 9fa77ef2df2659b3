//! Processes: an address space, the rings that belong to it, and its end.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};

use elf::ElfBytes;
use elf::abi::{PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use ouzel_kernel_abi::{
    MAX_RINGS, MAX_THREADS, PAGE, SIGNAL_KILL, STACK_PAGES, STANDARD, START_MAGIC, Start, USER_END,
};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use crate::packet::{self, Ended, Fate, Object, Packet, Request};
use crate::ring::Ring;
use crate::space::{AddressSpace, Rights};
use crate::thread::{self, ThreadEnd};
use crate::{clock, memory, scheme};

/// Where the page with a process's start information lies; its stack ends a page before.
const START: u64 = 0x0000_7fff_f000_0000;

static NUMBERS: AtomicU64 = AtomicU64::new(0);
static LIVING: AtomicU64 = AtomicU64::new(0);

/// How a process ended, or is to end: the status and the signal.
type End = (u64, u32);

/// What a standard object of a process is.
pub type Standard = [Option<Rc<dyn Object>>; STANDARD];

/// A process.
pub struct Process {
    /// Counted from 1.
    pub number: u64,
    /// Its memory.
    pub space: AddressSpace,
    /// Its rings, by number.
    pub rings: RefCell<[Option<Rc<Ring>>; MAX_RINGS]>,
    /// What its rings find open.
    pub standard: RefCell<Standard>,
    /// Threads that have not ended.
    pub threads: Cell<u64>,
    /// System calls.
    pub calls: Cell<u64>,
    told: Cell<Option<End>>,
    ended: Cell<Option<End>>,
    /// Packets that wait for its end.
    watchers: RefCell<VecDeque<Packet>>,
    /// Where it begins, while it is held.
    entry: Cell<u64>,
}

/// Processes that have not been let go of.
pub fn living() -> u64 {
    LIVING.load(Ordering::Relaxed)
}

impl Process {
    /// Makes a process out of a program's bytes. It has no thread yet: see [`begin`](Process::begin).
    pub fn load(program: &[u8], arguments: &[&[u8]], standard: Standard) -> Result<Rc<Process>, Errno> {
        memory::heap_has(16384)?;
        if living() >= MAX_THREADS as u64 {
            return Err(Errno::EAGAIN);
        }
        let space = AddressSpace::new()?;
        let entry = load_segments(&space, program)?;
        let stack = START - PAGE * (1 + STACK_PAGES);
        space.map_fresh(stack, STACK_PAGES, Rights::DATA)?;
        space.map_fresh(START, 1, Rights::DATA)?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        let text = START + size_of::<Start>() as u64;
        let mut bytes = Vec::new();
        for argument in arguments {
            bytes.extend_from_slice(argument);
            bytes.push(0);
        }
        if bytes.len() + size_of::<Start>() > PAGE as usize {
            return Err(Errno::E2BIG);
        }
        let words =
            [START_MAGIC, number, text, bytes.len() as u64, arguments.len() as u64, clock::counter_rate()];
        for (place, word) in words.into_iter().enumerate() {
            space.write(START + 8 * place as u64, &word.to_le_bytes())?;
        }
        space.write(text, &bytes)?;
        LIVING.fetch_add(1, Ordering::Relaxed);
        Ok(Rc::new(Process {
            number,
            space,
            rings: RefCell::default(),
            standard: RefCell::new(standard),
            threads: Cell::new(0),
            calls: Cell::new(0),
            told: Cell::new(None),
            ended: Cell::new(None),
            watchers: RefCell::default(),
            entry: Cell::new(entry),
        }))
    }

    /// Starts its first thread.
    pub fn begin(self: &Rc<Process>) -> Result<Rc<ThreadEnd>, Errno> {
        match self.entry.get() {
            0 => Err(Errno::EALREADY),
            entry => {
                // As after a call: 16 bytes are aligned before the return address.
                let end = thread::spawn(self, entry, START - PAGE - 8, START)?;
                self.entry.set(0);
                Ok(end)
            }
        }
    }

    /// Tells it to end. Its threads leave when they would next return to ring 3.
    pub fn tell(self: &Rc<Process>, status: u64, signal: u32) {
        if self.told.get().is_some() || self.ended.get().is_some() {
            return;
        }
        self.told.set(Some((status, signal)));
        if self.entry.replace(0) != 0 {
            // It is held, and has no thread that could leave.
            self.end();
            self.space.clear();
        } else {
            thread::wake_all_of(self);
        }
    }

    /// Whether it has been told to end.
    pub fn is_told(&self) -> bool {
        self.told.get().is_some()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.ended.get()
    }

    /// Its last thread ends: its rings are torn down and its objects let go of, and whoever waits is told.
    pub fn end(&self) {
        for place in 0..MAX_RINGS {
            let ring = self.rings.borrow_mut()[place].take();
            if let Some(ring) = ring {
                ring.abandon(self);
            }
        }
        let standard = self.standard.take();
        drop(standard);
        // A descriptor of a scheme may have been passed on; who served it is gone all the same.
        scheme::driver_ends(self);
        let (status, signal) = self.told.get().unwrap_or((0, 0));
        self.ended.set(Some((status, signal)));
        if self.number == 1 {
            crate::first_process_ended(status, signal);
        }
        let ended = Ended { error: Errno::OK, result: status, extra: signal };
        loop {
            let packet = self.watchers.borrow_mut().pop_front();
            let Some(packet) = packet else { return };
            let ended = match packet.request {
                Request::Poll { .. } => Ended::success(PollEvents::IN.bits()),
                _ => ended,
            };
            packet::finish(packet, ended);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Maps what a program wants to be mapped, and returns where it starts. ENOEXEC if it is not one.
fn load_segments(space: &AddressSpace, program: &[u8]) -> Result<u64, Errno> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(program).map_err(|_| Errno::ENOEXEC)?;
    let segments = file.segments().ok_or(Errno::ENOEXEC)?;
    let mut is_there = false;
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0) {
        let bytes = file.segment_data(&segment).map_err(|_| Errno::ENOEXEC)?;
        let first = segment.p_vaddr & !(PAGE - 1);
        let end = segment
            .p_vaddr
            .checked_add(segment.p_memsz)
            .filter(|end| *end <= USER_END)
            .ok_or(Errno::ENOEXEC)?;
        if first == 0 || bytes.len() as u64 > segment.p_memsz {
            return Err(Errno::ENOEXEC);
        }
        let rights = Rights { write: segment.p_flags & PF_W != 0, execute: segment.p_flags & PF_X != 0 };
        // EINVAL if two share a page: the linker keeps them apart.
        space.map_fresh(first, (end - first).div_ceil(PAGE), rights)?;
        space.fill(segment.p_vaddr, bytes)?;
        is_there = true;
    }
    // A processor does not return to ring 3 at an address that cannot be.
    let entry = file.ehdr.e_entry;
    if is_there && (1..USER_END).contains(&entry) { Ok(entry) } else { Err(Errno::ENOEXEC) }
}

/// The process of the thread that runs has done what it may not.
pub fn current_faults(signal: u32) {
    thread::current().process.tell(0, signal);
}

/// Whoever is told to end goes no further.
pub fn leave_if_told() {
    let told = thread::current().process.is_told();
    if told {
        thread::exit();
    }
}

/// What a descriptor of a process stands for.
pub struct Handle {
    /// The process.
    pub process: Rc<Process>,
}

impl Object for Handle {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        let process = &self.process;
        match packet.request {
            Request::Wait => match process.ended() {
                Some((result, extra)) => packet.end(Ended { error: Errno::OK, result, extra }),
                None => packet.wait_in(&mut process.watchers.borrow_mut()),
            },
            Request::Poll { .. } if process.ended().is_some() => packet.succeed(PollEvents::IN.bits()),
            Request::Poll { .. } => packet.wait_in(&mut process.watchers.borrow_mut()),
            Request::Read { length, .. } => {
                let mut packet = packet;
                let number = process.number.to_le_bytes();
                packet.data.extend(number.into_iter().take(length));
                let length = packet.data.len() as u64;
                packet.succeed(length)
            }
            Request::Write { .. } if packet.data == b"kill" => {
                process.tell(0, SIGNAL_KILL);
                packet.succeed(4)
            }
            _ => packet.fail(Errno::EINVAL),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        packet::take_from(&self.process.watchers, name)
    }

    fn give(&self, objects: Vec<Rc<dyn Object>>) -> Result<(), Errno> {
        if objects.len() > STANDARD {
            return Err(Errno::EINVAL);
        }
        let mut standard = Standard::default();
        for (place, object) in standard.iter_mut().zip(objects) {
            *place = Some(object);
        }
        if self.process.entry.get() == 0 {
            return Err(Errno::EALREADY);
        }
        let before = self.process.standard.replace(standard);
        let begun = self.process.begin().map(drop);
        let rest = if begun.is_ok() { before } else { self.process.standard.replace(before) };
        drop(rest);
        begun
    }
}
