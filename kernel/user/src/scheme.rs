//! Serving a scheme: the engine in a process of its own.
//!
//! The kernel pushes what clients ask for to a ring whose engine's end is here, and this crate embeds the very engine that the
//! kernel embeds for its own rings, over a backend that the driver brings. So a driver's author writes a [`Backend`], and
//! what clients may do wrong is found before that is asked.

use core::ptr::{self, NonNull};

use ouzel_chain::{Offset, OpenOptions};
use ouzel_engine::{Backend, Engine, Limits};
use ouzel_kernel_abi::SchemeSetup;
use ouzel_ring::modifiers::{OpenFlags, PollEvents};
use ouzel_ring::{Descriptor, EngineEnd, Errno, Geometry, Memory};

use crate::synchronous::words;
use crate::{ChainRing, Error};

/// The region that payloads of a scheme's entries are in.
const WINDOW: u16 = 1;

/// A scheme that this process serves, until this is dropped.
pub struct Scheme<B: Backend> {
    // Dropped before the memory under it, which goes with the descriptor, which goes with the ring.
    engine: Engine<B>,
    descriptor: Descriptor,
    ring: ChainRing,
}

impl<B: Backend> Scheme<B> {
    /// Serves `NAME:` from now on, `backend` doing the work. `descriptors` are the most objects that clients can have open.
    ///
    /// Errors: EEXIST if somebody serves it already; what the kernel refuses a ring or memory with.
    pub fn serve(name: &str, backend: B, descriptors: u32) -> Result<Scheme<B>, Error> {
        let mut ring = ChainRing::new(8, 16)?;
        let path = alloc::format!("scheme:{name}");
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
        let descriptor = ring.open(&path, OpenOptions::from_flags(flags))?;
        let told = ring.read(descriptor, size_of::<SchemeSetup>(), Offset::START)?;
        let refused = |errno| Error::Call { call: "serve", errno };
        let [base, length, entries, completions, window, window_length] =
            words(&told).ok_or(refused(Errno::EIO))?;
        let geometry = Geometry::new(entries, completions).map_err(|_| refused(Errno::EINVAL))?;
        let place = |address: u64| {
            NonNull::new(ptr::with_exposed_provenance_mut::<u8>(address as usize))
                .ok_or(refused(Errno::EFAULT))
        };
        // SAFETY: the kernel has mapped so many zeroed bytes there, until the descriptor is closed, which is after the engine is
        // gone; this process goes to them through its end only.
        let memory = unsafe { Memory::contiguous(place(base)?, length as usize, geometry) };
        let memory = memory.map_err(|_| refused(Errno::EINVAL))?;
        // There is one chain for all clients: that is no limit of theirs.
        let limits =
            Limits { descriptors, chain: entries as u32, in_process: false, programs: 0, program_steps: 0 };
        let mut engine = Engine::new(EngineEnd::new(memory, 0), backend, limits);
        // SAFETY: the same is true of the window.
        let region = unsafe { engine.add_region(place(window)?, window_length as usize) };
        if region.map_err(refused)? != WINDOW {
            return Err(refused(Errno::EINVAL));
        }
        Ok(Scheme { engine, descriptor, ring })
    }

    /// The ring of the driver itself, for whatever else it does. Each system call on it hands over what is complete.
    pub fn ring(&mut self) -> &mut ChainRing {
        &mut self.ring
    }

    /// What does the work.
    pub fn backend(&mut self) -> &mut B {
        self.engine.backend_mut()
    }

    /// Waits until clients have asked for something, and hands over what is complete. False if the scheme has ended: the kernel has
    /// found its ring broken.
    ///
    /// Errors: [`Error::Call`] or [`Error::Chain`] if the scheme cannot be served any longer.
    pub fn wait(&mut self) -> Result<bool, Error> {
        let ready = self.ring.poll(self.descriptor, PollEvents::IN)?;
        Ok(!ready.contains(PollEvents::HANGUP))
    }

    /// Takes what clients have asked for, and reports what is done. It does not wait, and is no system call.
    ///
    /// Errors: [`Error::Call`] with EIO if the ring is broken.
    pub fn turn(&mut self) -> Result<(), Error> {
        let entered = self.engine.enter(u32::MAX, 0, None);
        entered.map(drop).map_err(|_| Error::Call { call: "turn", errno: Errno::EIO })
    }
}
