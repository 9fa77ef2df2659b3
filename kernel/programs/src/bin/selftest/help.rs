//! What the tests have in common: single entries, a child's end, texts, and what fails.

use core::fmt::Write;

use ouzel_kernel_abi::{Mapping, Statistics};
use ouzel_kernel_user::Ring;
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags};
use ouzel_ring::{Completion, Entry, Errno, Payload, Verb};

pub type Tested = Result<(), Failed>;

/// What went wrong, and in which line of this file.
pub struct Failed(pub u32, pub Errno);

impl From<Errno> for Failed {
    #[track_caller]
    fn from(error: Errno) -> Failed {
        Failed(core::panic::Location::caller().line(), error)
    }
}

/// A failure unless the two are equal.
#[track_caller]
pub fn equal<T: PartialEq>(one: T, other: T) -> Tested {
    if one == other { Ok(()) } else { Err(Failed(core::panic::Location::caller().line(), Errno::OK)) }
}

/// Does one entry and waits for its end.
pub fn run(ring: &mut Ring, entry: Entry) -> Result<Completion, Errno> {
    // SAFETY: every caller's buffers outlive this call.
    unsafe { ring.push(&entry) }?;
    ring.enter(1)?;
    ring.pop().ok_or(Errno::EIO)
}

pub fn open(ring: &mut Ring, path: &[u8], flags: OpenFlags) -> Result<u64, Errno> {
    let payload = Payload::of(path.as_ptr()).number();
    run(ring, Entry::new(Verb::Open).arguments([0, payload, path.len() as u64, flags.bits(), 0]))?.outcome()
}

pub fn close(ring: &mut Ring, descriptor: u64) -> Result<(), Errno> {
    run(ring, Entry::new(Verb::Close).arguments([descriptor, 0, 0, 0, 0]))?.outcome().map(drop)
}

pub fn read(ring: &mut Ring, descriptor: u64, address: u64, length: u64) -> Result<u64, Errno> {
    run(ring, Entry::new(Verb::Read).arguments([descriptor, address, length, CURRENT_POSITION, 0]))?.outcome()
}

pub fn address_of<T>(value: &mut T) -> u64 {
    Payload::of(&raw mut *value).number()
}

pub fn statistics(ring: &mut Ring) -> Result<Statistics, Errno> {
    let kernel = open(ring, b"kernel:\0", OpenFlags::READ)?;
    let mut told = Statistics::default();
    read(ring, kernel, address_of(&mut told), size_of::<Statistics>() as u64)?;
    close(ring, kernel)?;
    Ok(told)
}

/// Waits for a process: its status and its signal.
pub fn wait(ring: &mut Ring, process: u64) -> Result<(u64, u32), Errno> {
    let completion = run(ring, Entry::new(Verb::Wait).arguments([process, 0, 0, 0, 0]))?;
    completion.outcome().map(|status| (status, completion.extra))
}

pub fn kill(ring: &mut Ring, process: u64) -> Result<(), Errno> {
    let text = Payload::of(b"kill".as_ptr()).number();
    run(ring, Entry::new(Verb::Write).arguments([process, text, 4, CURRENT_POSITION, 0]))?.outcome().map(drop)
}

pub fn sleep(ring: &mut Ring, nanoseconds: u64) -> Result<(), Errno> {
    let ended = run(ring, Entry::new(Verb::Nop).timeout(nanoseconds))?.errno();
    if ended == Errno::ETIMEDOUT { Ok(()) } else { Err(ended) }
}

/// Maps pages: their descriptor and where they are.
pub fn map(ring: &mut Ring, path: &[u8]) -> Result<(u64, Mapping), Errno> {
    let memory = open(ring, path, OpenFlags::READ)?;
    let mut mapping = Mapping::default();
    read(ring, memory, address_of(&mut mapping), 16)?;
    Ok((memory, mapping))
}

/// A text of at most so many bytes.
pub struct Text<const ROOM: usize>([u8; ROOM], usize);

impl<const ROOM: usize> Text<ROOM> {
    pub fn new() -> Self {
        Text([0; ROOM], 0)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

impl<const ROOM: usize> Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.0.get_mut(self.1..self.1 + text.len()).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.1 += text.len();
        Ok(())
    }
}

/// The time-stamp counter.
pub fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it, and the kernel allows it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

pub fn write(ring: &mut Ring, descriptor: u64, bytes: &[u8]) -> Result<u64, Errno> {
    let from = Payload::of(bytes.as_ptr()).number();
    let entry =
        Entry::new(Verb::Write).arguments([descriptor, from, bytes.len() as u64, CURRENT_POSITION, 0]);
    run(ring, entry)?.outcome()
}
