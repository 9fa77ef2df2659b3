//! Single entries, each waited for, without a heap.

use ouzel_kernel_abi::Statistics;
use ouzel_kernel_user::Ring;
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags};
use ouzel_ring::{Completion, Entry, EntryFlags, Errno, Payload, Verb};

/// Does one entry and waits for its end. Whatever it names must outlive this call.
pub fn run(ring: &mut Ring, entry: Entry) -> Result<Completion, Errno> {
    // SAFETY: every caller's memory outlives this call, or is not this process's.
    unsafe { ring.push(&entry) }?;
    ring.enter(1)?;
    ring.pop().ok_or(Errno::EIO)
}

/// The payload of a value.
pub fn address_of<T>(value: &mut T) -> u64 {
    Payload::of(&raw mut *value).number()
}

/// OPEN for reading. The path ends in NUL.
pub fn open(ring: &mut Ring, path: &[u8]) -> Result<u64, Errno> {
    open_as(ring, path, OpenFlags::READ)
}

/// OPEN.
pub fn open_as(ring: &mut Ring, path: &[u8], flags: OpenFlags) -> Result<u64, Errno> {
    let payload = Payload::of(path.as_ptr()).number();
    let entry = Entry::new(Verb::Open).arguments([0, payload, path.len() as u64, flags.bits(), 0o644]);
    run(ring, entry)?.outcome()
}

/// CLOSE.
pub fn close(ring: &mut Ring, descriptor: u64) -> Result<(), Errno> {
    run(ring, Entry::new(Verb::Close).arguments([descriptor, 0, 0, 0, 0]))?.outcome().map(drop)
}

/// READ where the descriptor stands.
pub fn read(ring: &mut Ring, descriptor: u64, address: u64, length: u64) -> Result<u64, Errno> {
    run(ring, Entry::new(Verb::Read).arguments([descriptor, address, length, CURRENT_POSITION, 0]))?.outcome()
}

/// What the kernel has in use, read from an open `kernel:`.
pub fn statistics(ring: &mut Ring, kernel: u64) -> Result<Statistics, Errno> {
    let mut told = Statistics::default();
    read(ring, kernel, address_of(&mut told), size_of::<Statistics>() as u64)?;
    Ok(told)
}

/// WAIT: the status and the signal of a process.
pub fn wait(ring: &mut Ring, process: u64) -> Result<(u64, u32), Errno> {
    let completion = run(ring, Entry::new(Verb::Wait).arguments([process, 0, 0, 0, 0]))?;
    completion.outcome().map(|status| (status, completion.extra))
}

/// Tells a process to end.
pub fn kill(ring: &mut Ring, process: u64) -> Result<(), Errno> {
    let text = Payload::of(b"kill".as_ptr()).number();
    run(ring, Entry::new(Verb::Write).arguments([process, text, 4, CURRENT_POSITION, 0]))?.outcome().map(drop)
}

/// Sleeps so many nanoseconds.
pub fn sleep(ring: &mut Ring, nanoseconds: u64) -> Result<(), Errno> {
    run(ring, Entry::new(Verb::Sleep).arguments([0, 0, nanoseconds, 0, 0]))?.outcome().map(drop)
}

/// A pipe: the end to read from and the end to write to. The ring needs room for three entries.
pub fn pipe(ring: &mut Ring) -> Result<(u64, u64), Errno> {
    let register = |number| EntryFlags::load(0, number).ok_or(Errno::EINVAL);
    let save = EntryFlags::save(0).ok_or(Errno::EINVAL)?;
    let first = EntryFlags::LOCAL | EntryFlags::LINK | save;
    let entries = [
        Entry::new(Verb::Pipe).flags(first),
        Entry::new(Verb::Get).flags(register(0)? | EntryFlags::LINK),
        Entry::new(Verb::Get).flags(register(1)?),
    ];
    for entry in &entries {
        // SAFETY: they name no memory.
        unsafe { ring.push(entry) }?;
    }
    ring.enter(3)?;
    let mut ends = [0; 3];
    for end in &mut ends {
        *end = ring.pop().ok_or(Errno::EIO)?.outcome()?;
    }
    Ok((ends[1], ends[2]))
}

/// Numbers that follow from a seed.
pub struct Random(pub u64);

impl Random {
    /// The next one, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        // xorshift64*, G. Marsaglia and S. Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
