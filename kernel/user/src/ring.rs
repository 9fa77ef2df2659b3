//! A ring over the system calls.

use core::fmt::{self, Write};
use core::ptr::NonNull;

use ouzel_kernel_abi::{NEVER, Setup};
use ouzel_ring::{Completion, Entry, Errno, Geometry, Memory, Payload, PushError, SubmitterEnd, Verb};

use crate::calls;

/// A ring of this process.
pub struct Ring {
    number: u64,
    setup: Setup,
    end: Option<SubmitterEnd>,
}

impl Ring {
    /// A ring with so many entries and completions.
    pub fn new(entries: u64, completions: u64) -> Result<Ring, Errno> {
        let (number, setup) = calls::setup(0, entries, completions)?;
        let geometry = Geometry::new(entries, completions).map_err(|_| Errno::EINVAL)?;
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(setup.base as usize));
        let base = base.ok_or(Errno::EFAULT)?;
        // SAFETY: the kernel has mapped so many zeroed bytes there, for this ring and until it is torn down; the end is dropped
        // before that.
        let memory = unsafe { Memory::contiguous(base, setup.length as usize, geometry) };
        let memory = memory.map_err(|_| Errno::EINVAL)?;
        Ok(Ring { number, setup, end: Some(SubmitterEnd::new(memory, 0)) })
    }

    /// The number that the system calls know it by.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Descriptors of the standard objects: input, output; 0 for one that is not there.
    pub fn standard(&self) -> [u64; 2] {
        self.setup.standard
    }

    /// The submitter's end, as long as the ring is up.
    pub fn end(&mut self) -> Option<&mut SubmitterEnd> {
        self.end.as_mut()
    }

    /// Entries that it has room for.
    pub fn entries(&self) -> u64 {
        self.setup.entries
    }

    /// Completions that it has room for.
    pub fn completions(&self) -> u64 {
        self.setup.completions
    }

    /// Adds an entry, for the next [`enter`](Ring::enter).
    ///
    /// # Safety
    ///
    /// What it lets the kernel read or write must stay valid until it has completed, and be nobody else's if it is written.
    pub unsafe fn push(&mut self, entry: &Entry) -> Result<(), Errno> {
        let end = self.end.as_mut().ok_or(Errno::ESHUTDOWN)?;
        end.push(entry).map_err(refusal)
    }

    /// Adds several, or none of them.
    ///
    /// # Safety
    ///
    /// As for [`push`](Ring::push).
    pub unsafe fn push_all(&mut self, entries: impl ExactSizeIterator<Item = Entry>) -> Result<(), Errno> {
        let end = self.end.as_mut().ok_or(Errno::ESHUTDOWN)?;
        end.push_all(entries).map_err(refusal)
    }

    /// Lets the kernel see what was pushed; [`enter`](Ring::enter) does that too.
    pub fn publish(&mut self) {
        if let Some(end) = &mut self.end {
            end.publish();
        }
    }

    /// Publishes what was pushed, lets the kernel take it all, and waits for so many completions. Returns how many entries it took.
    pub fn enter(&mut self, wait: u32) -> Result<u64, Errno> {
        self.enter_for(wait, NEVER)
    }

    /// The same, for at most so many nanoseconds.
    pub fn enter_for(&mut self, wait: u32, nanoseconds: u64) -> Result<u64, Errno> {
        self.publish();
        // SAFETY: whoever pushed the entries promised it.
        unsafe { calls::enter(self.number, u32::MAX, wait, nanoseconds) }
    }

    /// The next completion, if there is one.
    pub fn pop(&mut self) -> Option<Completion> {
        self.end.as_mut()?.pop().ok().flatten()
    }

    /// Tears it down, if that was not done. After an error the kernel may go on with what it has taken.
    pub(crate) fn close(&mut self) -> Result<(), Errno> {
        if self.end.take().is_none() {
            return Ok(());
        }
        // SAFETY: its end is gone.
        unsafe { calls::teardown(self.number) }
    }
}

/// EAGAIN if there is no room yet.
fn refusal(error: PushError) -> Errno {
    if let PushError::Full = error { Errno::EAGAIN } else { Errno::EIO }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // What cannot be cancelled keeps it; it ends with the process.
        let _ = self.close();
    }
}

/// The serial line, or whatever else the process's output is.
pub(crate) struct Console {
    ring: Ring,
}

impl Console {
    pub(crate) fn open() -> Result<Console, Errno> {
        Ring::new(1, 2).map(|ring| Console { ring })
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let output = self.ring.standard()[1];
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let payload = Payload::of(rest.as_ptr()).number();
            let entry = Entry::new(Verb::Write).arguments([output, payload, rest.len() as u64, u64::MAX, 0]);
            // SAFETY: the text is there until the completion, which is waited for.
            unsafe { self.ring.push(&entry) }.map_err(|_| fmt::Error)?;
            self.ring.enter(1).map_err(|_| fmt::Error)?;
            let written = self.ring.pop().ok_or(fmt::Error)?.outcome().map_err(|_| fmt::Error)?;
            rest = &rest[written as usize..];
        }
        Ok(())
    }
}

/// Writes to the process's output, with a ring of its own.
pub fn print(text: fmt::Arguments<'_>) -> Result<(), Errno> {
    Console::open()?.write_fmt(text).map_err(|_| Errno::EIO)
}
