//! A ring of a process: the memory that both sides see, the engine, and how it ends.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;

use ouzel_engine::{Engine, Limits};
use ouzel_kernel_abi::{
    MAX_COMPLETIONS, MAX_DESCRIPTORS, MAX_ENTRIES, MAX_TRANSFER, PAGE, STANDARD, Setup, USER_END,
};
use ouzel_ring::{EngineEnd, Errno, Geometry, Memory};

use crate::backend::KernelBackend;
use crate::memory::{self, Window};
use crate::process::Process;
use crate::space::Rights;
use crate::thread;

/// Bytes of the kernel's heap that a process is charged for an engine: for each completion slot, for each entry, and beside them. A
/// test in the guest compares.
const PER_COMPLETION: u64 = 1536;
const PER_ENTRY: u64 = 128;
const BESIDE: u64 = 65536;

/// Frames that a process and the kernel both see, mapped in both.
pub struct Shared {
    frames: Vec<u64>,
    /// Where the kernel sees them.
    pub window: Window,
    /// Where the process does.
    pub address: u64,
    /// What else the process is charged for, in pages.
    beside: u64,
}

impl Shared {
    /// `length` bytes for `process`, at `hint` unless that is 0, charging it for so many bytes of the heap too.
    pub fn new(process: &Process, hint: u64, length: usize, beside: u64) -> Result<Shared, Errno> {
        let pages = (length as u64).div_ceil(PAGE);
        let beside = beside.div_ceil(PAGE);
        memory::heap_has((beside * PAGE) as usize)?;
        process.space.charge(pages + beside)?;
        let shared = Shared::map(process, hint, pages, beside);
        if shared.is_err() {
            process.space.discharge(pages + beside);
        }
        shared
    }

    fn map(process: &Process, hint: u64, pages: u64, beside: u64) -> Result<Shared, Errno> {
        let mut frames = Vec::new();
        let mapped = (0..pages)
            .try_for_each(|_| memory::allocate().map(|frame| frames.push(frame)))
            .and_then(|()| Window::over(&frames))
            .and_then(|window| Ok((window, process.space.map_frames(hint, &frames, Rights::DATA)?)));
        match mapped {
            Ok((window, address)) => Ok(Shared { frames, window, address, beside }),
            Err(error) => {
                frames.into_iter().for_each(memory::free);
                Err(error)
            }
        }
    }

    /// Unmaps and frees it.
    pub fn free(self, process: &Process) {
        process.space.unmap(self.address, self.frames.len() as u64);
        process.space.discharge(self.frames.len() as u64 + self.beside);
        drop(self.window);
        self.frames.into_iter().for_each(memory::free);
    }

    /// Copies bytes into it.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) {
        for (at, byte) in
            bytes.iter().enumerate().take((self.window.length() as usize).saturating_sub(offset))
        {
            // SAFETY: inside the window. Volatile, since the process may look at it whenever it runs.
            unsafe { self.byte(offset + at).write_volatile(*byte) };
        }
    }

    /// Copies bytes out of it.
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        for (at, byte) in
            bytes.iter_mut().enumerate().take((self.window.length() as usize).saturating_sub(offset))
        {
            // SAFETY: as above.
            *byte = unsafe { self.byte(offset + at).read_volatile() };
        }
    }

    fn byte(&self, offset: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.window.start() as usize + offset)
    }

    /// The ring in it.
    pub fn memory(&self, geometry: Geometry) -> Result<Memory, Errno> {
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(self.window.start() as usize));
        let base = base.ok_or(Errno::EFAULT)?;
        // SAFETY: zeroed and mapped until `free`, before which its ends are dropped; the kernel goes to it through them only,
        // and the process's accesses count as the other end's.
        unsafe { Memory::contiguous(base, self.window.length() as usize, geometry) }
            .map_err(|_| Errno::EINVAL)
    }
}

/// One ring.
pub struct Ring {
    shared: RefCell<Option<Shared>>,
    /// Nothing, while a thread is in it.
    pub engine: RefCell<Option<Engine<KernelBackend>>>,
}

impl Ring {
    /// A ring for `process`, with its standard objects open. EINVAL, ENOMEM as SETUP says.
    pub fn new(
        process: &Rc<Process>,
        hint: u64,
        entries: u64,
        completions: u64,
    ) -> Result<(Ring, Setup), Errno> {
        let geometry = Geometry::new(entries, completions).map_err(|_| Errno::EINVAL)?;
        if entries > MAX_ENTRIES || completions > MAX_COMPLETIONS {
            return Err(Errno::EINVAL);
        }
        let beside = PER_COMPLETION * completions + PER_ENTRY * entries + BESIDE;
        let shared = Shared::new(process, hint, geometry.contiguous_size(), beside)?;
        let limits = Limits {
            descriptors: MAX_DESCRIPTORS,
            chain: MAX_ENTRIES as u32,
            in_process: true,
            programs: 0,
            program_steps: 0,
        };
        let queues = EngineEnd::new(shared.memory(geometry)?, 0);
        let mut engine = Engine::new(queues, KernelBackend::new(MAX_DESCRIPTORS), limits);
        engine.check_addresses(is_allowed);
        let mut standard = [0; STANDARD];
        for (number, object) in standard.iter_mut().zip(process.standard.borrow().iter()) {
            let (Some(object), Ok(index)) = (object, engine.reserve_descriptor()) else { continue };
            engine.backend_mut().put(index, object.clone());
            *number = engine.install_descriptor(index).map_or(0, |descriptor| descriptor.number());
        }
        let setup =
            Setup { base: shared.address, length: shared.window.length(), entries, completions, standard };
        let ring = Ring { shared: RefCell::new(Some(shared)), engine: RefCell::new(Some(engine)) };
        Ok((ring, setup))
    }

    /// Cancels what is in it, lets FINALLY entries run, and frees it. EBUSY if another thread is in it, or if FINALLY entries, which
    /// no cancel reaches, are not over after [`BOUND`]: it then goes on closing, and is to be torn down again.
    pub fn tear_down(&self, process: &Process) -> Result<(), Errno> {
        let mut engine = self.engine.borrow_mut().take().ok_or(Errno::EBUSY)?;
        settle(&mut engine);
        if engine.gauges().packets > 0 {
            *self.engine.borrow_mut() = Some(engine);
            return Err(Errno::EBUSY);
        }
        self.free(engine, process);
        Ok(())
    }

    /// The process ends: the same, but what is not over then never will be.
    pub fn abandon(&self, process: &Process) {
        let engine = self.engine.borrow_mut().take();
        if let Some(mut engine) = engine {
            engine.backend_mut().outlast();
            settle(&mut engine);
            self.free(engine, process);
        }
    }

    fn free(&self, engine: Engine<KernelBackend>, process: &Process) {
        // Objects that were open may have much to do when they are let go of.
        drop(engine.close());
        let shared = self.shared.borrow_mut().take();
        if let Some(shared) = shared {
            shared.free(process);
        }
    }
}

/// Nanoseconds that FINALLY entries have when a ring is torn down.
const BOUND: u64 = 100_000_000;

/// Cancels all, and enters until nothing is left, or nothing more comes of it within the bound. Completions that have no room are
/// lost with the ring.
fn settle(engine: &mut Engine<KernelBackend>) {
    engine.begin_teardown();
    let end = engine.now() + BOUND;
    loop {
        let before = engine.gauges();
        let left = end.saturating_sub(engine.now());
        // An error is one of a ring that is broken: what can be cancelled has been.
        let entered = engine.enter(u32::MAX, u32::MAX, Some(left));
        let after = engine.gauges();
        if after.packets == 0 || entered.is_err() || left == 0 || before == after {
            return;
        }
    }
}

/// The most bytes of a list that an engine copies out of a process and keeps with the packet, and how often over it has them.
const LIST: u64 = 16 * 1024;
const COPIES: usize = 3;

/// What the engine asks of addresses: the process whose thread has entered is the one in whose name it works. What it copies of
/// them must have room in the heap, too.
fn is_allowed(address: u64, length: u64, writes: bool) -> bool {
    let has_room = memory::heap_has(COPIES * length.min(LIST) as usize).is_ok();
    // No operation moves more, and each looks again. So the pages of what is longer are not all looked up for nothing.
    let most = length.min(MAX_TRANSFER as u64);
    let is_user = address.checked_add(length).is_some_and(|end| end <= USER_END);
    has_room && is_user && thread::current().process.space.allows(address, most, writes)
}
