//! Children that want more than the kernel has: of its heap, its stack, its time, its frames.

use ouzel_kernel_abi::{MAX_COMPLETIONS, MAX_ENTRIES, MAX_PAGES, MAX_TRANSFER};
use ouzel_kernel_user::Ring;
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags, RemoveFlags, TransferFlags};
use ouzel_ring::{Entry, Errno, Payload, Verb};

use crate::children::{Done, Good, check, map};
use crate::raw::{close, open, open_as, pipe, run};

/// The largest ring there is.
fn large() -> Result<Ring, u64> {
    Ring::new(MAX_ENTRIES, MAX_COMPLETIONS).good()
}

/// Pushes one of a number of entries, entering when the queue is full.
fn push(ring: &mut Ring, entry: &Entry) -> Done {
    loop {
        // SAFETY: what these children name lives as long as they do.
        match unsafe { ring.push(entry) } {
            Err(Errno::EAGAIN) => ring.enter(0).map(drop).good()?,
            pushed => return pushed.good(),
        }
    }
}

/// Takes what has completed: how many, and for how many of them there was no room. Nothing else may have gone wrong.
fn refused(ring: &mut Ring) -> Result<(u64, u64), u64> {
    let (mut count, mut refused) = (0, 0);
    while let Some(completion) = ring.pop() {
        count += 1;
        match completion.errno() {
            // What waited to be read by somebody who has gone is over, too.
            Errno::OK | Errno::EPIPE => {}
            // The engine asks for the room with the addresses, and knows one answer to both.
            Errno::ENOMEM | Errno::EFAULT => refused += 1,
            _ => return Err(line!().into()),
        }
    }
    Ok((count, refused))
}

/// More bytes on their way from the disk than the heap has room for.
pub fn reads() -> Done {
    let mut ring = large()?;
    let file = open(&mut ring, b"/bin/hostile\0").good()?;
    let (_, room) = map(&mut ring, b"memory:16\0")?;
    let read = Entry::new(Verb::Read).arguments([file, room.address, MAX_TRANSFER as u64, 0, 0]);
    for _ in 0..MAX_COMPLETIONS {
        push(&mut ring, &read)?;
    }
    let mut ended = (0, 0);
    while ended.0 < MAX_COMPLETIONS {
        ring.enter(1).good()?;
        let (count, without_memory) = refused(&mut ring)?;
        ended = (ended.0 + count, ended.1 + without_memory);
    }
    check(ended.1 > 0 && ended.1 < MAX_COMPLETIONS)
}

/// Leaves the heap in small pieces, of which none has room for what comes next.
pub fn holes() -> Done {
    const SMALL: u64 = 16 * 1024;
    let mut ring = large()?;
    let (_, room) = map(&mut ring, b"memory:16\0")?;
    let mut pipes = [(0, 0); 3];
    for ends in &mut pipes {
        *ends = pipe(&mut ring).good()?;
    }
    let write =
        |end, length| Entry::new(Verb::Write).arguments([end, room.address, length, CURRENT_POSITION, 0]);
    // All but the first few bytes wait in packets, of one pipe and the other by turns.
    let mut without_memory = 0;
    for number in 0.. {
        push(&mut ring, &write(pipes[number % 2].1, SMALL))?;
        ring.enter(0).good()?;
        without_memory += refused(&mut ring)?.1;
        if without_memory > 0 {
            break;
        }
    }
    push(&mut ring, &Entry::new(Verb::Close).arguments([pipes[0].0, 0, 0, 0, 0]))?;
    for _ in 0..500 {
        push(&mut ring, &write(pipes[2].1, MAX_TRANSFER as u64))?;
        ring.enter(0).good()?;
        without_memory += refused(&mut ring)?.1;
    }
    check(without_memory > 1)?;
    // The kernel has room for others, and says so in time.
    let another = run_apart(&mut ring, b"spawn:/bin/hostile nothing 0\0")?;
    check(matches!(another, Ok(_) | Err(Errno::ENOMEM)))
}

/// OPEN in a ring where other entries are in flight, some of which may end meanwhile.
fn run_apart(ring: &mut Ring, path: &'static [u8]) -> Result<Result<u64, Errno>, u64> {
    const OWN: u64 = 7;
    let payload = Payload::of(path.as_ptr()).number();
    let flags = OpenFlags::READ.bits();
    push(ring, &Entry::new(Verb::Open).arguments([0, payload, path.len() as u64, flags, 0]).data(OWN))?;
    loop {
        ring.enter(1).good()?;
        while let Some(completion) = ring.pop() {
            if completion.data == OWN {
                return Ok(completion.outcome());
            }
        }
    }
}

/// POLLs of one pipe from all rings there may be, with the heap as full as a process can make it.
pub fn polls() -> Done {
    let mut rings = [large()?, Ring::new(MAX_ENTRIES, MAX_COMPLETIONS / 2).good()?];
    let (_, room) = map(&mut rings[0], b"memory:16\0")?;
    let (from, to) = pipe(&mut rings[0]).good()?;
    let write =
        Entry::new(Verb::Write).arguments([to, room.address, MAX_TRANSFER as u64, CURRENT_POSITION, 0]);
    while refused(&mut rings[0])?.1 == 0 {
        push(&mut rings[0], &write)?;
        rings[0].enter(0).good()?;
    }
    let second = pipe(&mut rings[1]).err();
    check(second.is_none_or(|error| error == Errno::ENOMEM))?;
    let poll = Entry::new(Verb::Poll).arguments([from, 4, 0, 0, 0]);
    for _ in 0..MAX_COMPLETIONS / 2 {
        push(&mut rings[0], &poll)?;
    }
    rings[0].enter(0).good()?;
    while let Some(completion) = rings[0].pop() {
        check(matches!(completion.errno(), Errno::OK | Errno::ENOMEM | Errno::EFAULT))?;
    }
    Ok(())
}

/// Directories in a directory that has no name any more: there are none.
pub fn orphans() -> Done {
    /// A path as deep as it can be long.
    const DEPTH: usize = 2000;
    let mut ring = Ring::new(8, 16).good()?;
    let path = Payload::of(c"/orphan".as_ptr()).number();
    run(&mut ring, Entry::new(Verb::Mkdir).arguments([0, path, 8, 0, 0o755])).good()?.outcome().good()?;
    let directory = open_as(&mut ring, b"/orphan\0", OpenFlags::READ | OpenFlags::DIRECTORY).good()?;
    let flags = RemoveFlags::DIRECTORY.bits();
    run(&mut ring, Entry::new(Verb::Remove).arguments([0, path, 8, flags, 0])).good()?.outcome().good()?;
    let mut deep = [b'/'; 2 * DEPTH];
    let mut made = 0;
    for depth in 0..DEPTH {
        deep[2 * depth] = b'x';
        deep[2 * depth + 1] = 0;
        let path = Payload::of(deep.as_ptr()).number();
        let length = 2 * depth as u64 + 2;
        let done = run(&mut ring, Entry::new(Verb::Mkdir).arguments([directory, path, length, 0, 0o755]));
        deep[2 * depth + 1] = b'/';
        match done.good()?.outcome() {
            Ok(_) => made += 1,
            Err(Errno::ENOENT) => break,
            Err(_) => return Err(line!().into()),
        }
    }
    let create = OpenFlags::WRITE | OpenFlags::CREATE;
    let name = Payload::of(c"file".as_ptr()).number();
    let file = Entry::new(Verb::Open).arguments([directory, name, 5, create.bits(), 0o644]);
    check(run(&mut ring, file).good()?.outcome() == Err(Errno::ENOENT))?;
    // What is below goes with it.
    close(&mut ring, directory).good()?;
    check(made == 0)
}

/// A page here, a page there: the tables they need count as well.
pub fn tables() -> Done {
    use core::fmt::Write;
    let mut ring = Ring::new(8, 16).good()?;
    for number in 1..10 * MAX_PAGES {
        let mut line = crate::Line { bytes: [0; 64], length: 0 };
        check(write!(line, "memory:1@{:x}\0", number << 30).is_ok())?;
        match open(&mut ring, &line.bytes[..line.length]) {
            Ok(memory) => close(&mut ring, memory).good()?,
            Err(error) => return check(error == Errno::ENOMEM && number < MAX_PAGES),
        }
    }
    Err(line!().into())
}

/// Lists as long as they may be, of parts as long as they may be, as often as one ENTER takes.
pub fn lists() -> Done {
    const PIECES: u64 = 1024;
    let mut ring = large()?;
    let null = open(&mut ring, b"null:\0").good()?;
    let (_, parts) = map(&mut ring, b"memory:800\0")?;
    let (_, list) = map(&mut ring, b"memory:4\0")?;
    check(list.length == PIECES * 16)?;
    for piece in 0..PIECES {
        let place = core::ptr::with_exposed_provenance_mut::<[u64; 2]>((list.address + 16 * piece) as usize);
        // SAFETY: fresh pages of this process, of which nothing else has a reference.
        unsafe { place.write([parts.address, parts.length]) };
    }
    let vectored = TransferFlags::VECTORED.bits();
    let read = Entry::new(Verb::Read).arguments([null, list.address, PIECES, CURRENT_POSITION, vectored]);
    for _ in 0..MAX_ENTRIES {
        push(&mut ring, &read)?;
    }
    ring.enter(MAX_ENTRIES as u32).good()?;
    check(refused(&mut ring)? == (MAX_ENTRIES, 0))
}
