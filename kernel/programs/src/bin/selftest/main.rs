//! Tests of what the kernel promises beside the verbs: processes, memory, hostile pointers, death, preemption, stacks, costs.
//!
//! Each test prints a line; the exit status is the number of those that failed. With an argument it is a child of one of them.
#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt::Write;

use ouzel_kernel_abi::{
    ALL, ENTER, MAX_PAGES, MAX_RINGS, NEVER, PAGE, SETUP, SIGNAL_FAULT, SIGNAL_ILLEGAL, SIGNAL_KILL,
    STANDARD, TEARDOWN, THREAD,
};
use ouzel_kernel_user::calls::{self, system_call};
use ouzel_kernel_user::{Arguments, Ring, print, program};
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags};
use ouzel_ring::{Entry, EntryFlags, Errno, Geometry, Memory, Payload, SubmitterEnd, Verb};

mod help;
mod schemes;

use help::{
    Failed, Tested, Text, address_of, close, counter, equal, kill, map, open, read, run, sleep, statistics,
    wait,
};
use schemes::{
    Manner, dead_drivers_end_packets, lies_of_drivers_are_refused, schemes_are_served, serve,
    slow_drivers_lose_nothing,
};

program!(main);

type Test = fn() -> Tested;

const TESTS: &[(&str, Test)] = &[
    ("children end with their status", children_end),
    ("children that fault end with a signal", children_fault),
    ("a child that never enters the kernel is preempted and killed", children_are_preempted),
    ("a child in a long program is preempted and killed", programs_are_preempted),
    ("a child that is held can be killed", held_children_can_be_killed),
    ("a pipe carries a child's output", pipes_carry_output),
    ("memory is mapped and unmapped", memory_is_mapped),
    ("memory that is unmapped under a READ is not written", memory_is_unmapped_under_io),
    ("pointers that lie are refused", pointers_are_refused),
    ("a ring too many and a page too many are refused", limits_hold),
    ("a ring that a thread is in is busy", rings_are_busy),
    ("a READ on its way to the device can be cancelled", reads_are_cancelled),
    ("a FINALLY entry that waits keeps its ring", finally_entries_keep_rings),
    ("a process is charged for what its rings take", rings_are_charged),
    ("lists that fill the kernel's heap are refused", heaps_do_not_overflow),
    ("time passes and limits of time hold", time_passes),
    ("death in the middle of a chain leaves no frame behind", death_leaves_nothing),
    ("a chain of 1000 uses no more stack than one of 100", chains_use_constant_stack),
    ("a scheme is served by another process", schemes_are_served),
    ("a slow driver loses nothing", slow_drivers_lose_nothing),
    ("a driver that dies ends its packets", dead_drivers_end_packets),
    ("a driver that lies harms nobody", lies_of_drivers_are_refused),
    ("ten thousand rings leave no frame behind", rings_leave_nothing),
    ("instructions for a chain of NOPs", costs_fall),
];

fn main(arguments: Arguments) -> u64 {
    if let Some(part) = arguments.iter().nth(1) {
        return child(part);
    }
    let mut failed = 0;
    for (name, test) in TESTS {
        let printed = match test() {
            Ok(()) => print(format_args!("ok: {name}\n")),
            Err(Failed(line, error)) => {
                failed += 1;
                print(format_args!("FAILED: {name}: line {line}: {error}\n"))
            }
        };
        if printed.is_err() {
            return 120;
        }
    }
    failed
}

/// What a child does: it was started as `selftest PART`.
fn child(part: &str) -> u64 {
    match part {
        "seven" => 7,
        "fault" => {
            // SAFETY: it is meant to end the process.
            unsafe { asm!("mov {0}, [{1}]", out(reg) _, in(reg) 0xffff_ffff_8010_0000u64) };
            1
        }
        "illegal" => {
            // SAFETY: as above.
            unsafe { asm!("ud2") };
            1
        }
        "privileged" => {
            // SAFETY: as above.
            unsafe { asm!("cli") };
            1
        }
        "loop" => loop {
            // SAFETY: it does nothing. (QEMU takes its time over `pause`.)
            unsafe { asm!("nop") };
        },
        "program" => run_for_long().is_err().into(),
        "print" => print(format_args!("from the child")).is_err().into(),
        "die" => die().is_err().into(),
        "stack" => measure_stack().is_err().into(),
        "serve" => serve(Manner::Honest).is_err().into(),
        "serve-slowly" => serve(Manner::Slow).is_err().into(),
        "serve-and-die" => serve(Manner::Dying).is_err().into(),
        "serve-and-lie" => serve(Manner::Lying).is_err().into(),
        _ => 1,
    }
}

/// Everything that can be under way at once, to be killed in.
fn die() -> Result<(), Errno> {
    let mut ring = Ring::new(64, 128)?;
    let mut buffer = [0u8; 512];
    let to = Payload::of(buffer.as_mut_ptr()).number();
    let file = open(&mut ring, b"/bin/selftest\0", OpenFlags::READ)?;
    open(&mut ring, b"memory:20\0", OpenFlags::READ)?;
    let save = EntryFlags::save(0).ok_or(Errno::EINVAL)?;
    let load = EntryFlags::load(0, 0).ok_or(Errno::EINVAL)?;
    let entries = [
        Entry::new(Verb::Pipe).flags(EntryFlags::LOCAL | EntryFlags::LINK | save),
        Entry::new(Verb::Read).arguments([0, to, 512, CURRENT_POSITION, 0]).flags(EntryFlags::LINK | load),
        Entry::new(Verb::Close).flags(EntryFlags::FINALLY | load),
        Entry::new(Verb::Read).arguments([ring.standard()[0], to, 1, CURRENT_POSITION, 0]),
        Entry::new(Verb::Sleep).arguments([0, 0, u64::MAX / 4, 0, 0]),
    ];
    for entry in entries {
        // SAFETY: the process is going to die before any of this is over.
        unsafe { ring.push(&entry) }?;
    }
    for _ in 0..20 {
        let read = Entry::new(Verb::Read).arguments([file, to, 512, 0, 0]);
        // SAFETY: as above.
        unsafe { ring.push(&read) }?;
    }
    ring.enter(60).map(drop)
}

fn children_end() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let process = open(&mut ring, b"spawn:/bin/selftest seven\0", OpenFlags::READ)?;
    equal(wait(&mut ring, process)?, (7, 0))?;
    equal(wait(&mut ring, process)?, (7, 0))?;
    close(&mut ring, process)?;
    equal(open(&mut ring, b"spawn:/bin/none\0", OpenFlags::READ), Err(Errno::ENOENT))?;
    equal(open(&mut ring, b"spawn:/etc/motd\0", OpenFlags::READ), Err(Errno::ENOEXEC))
}

fn children_fault() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    for (line, signal) in [
        (&b"spawn:/bin/selftest fault\0"[..], SIGNAL_FAULT),
        (b"spawn:/bin/selftest illegal\0", SIGNAL_ILLEGAL),
        (b"spawn:/bin/selftest privileged\0", SIGNAL_FAULT),
    ] {
        let process = open(&mut ring, line, OpenFlags::READ)?;
        equal(wait(&mut ring, process)?, (0, signal))?;
    }
    Ok(())
}

fn children_are_preempted() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let before = statistics(&mut ring)?.preemptions;
    let process = open(&mut ring, b"spawn:/bin/selftest loop\0", OpenFlags::READ)?;
    let other = open(&mut ring, b"spawn:/bin/selftest loop\0", OpenFlags::READ)?;
    sleep(&mut ring, 20_000_000)?;
    equal(statistics(&mut ring)?.preemptions > before + 5, true)?;
    for process in [process, other] {
        kill(&mut ring, process)?;
        equal(wait(&mut ring, process)?, (0, SIGNAL_KILL))?;
    }
    Ok(())
}

/// Two loops, one in the other: a million steps and more in one system call.
fn run_for_long() -> Result<(), Errno> {
    let mut ring = Ring::new(8, 16)?;
    let program = EntryFlags::LOCAL | EntryFlags::PROGRAM | EntryFlags::LINK;
    let entries = [
        Entry::new(Verb::Nop).flags(program),
        Entry::new(Verb::Repeat).arguments([0, 0, 65_535, 1, 0]).flags(EntryFlags::LINK),
        Entry::new(Verb::Repeat).arguments([0, 0, 65_535, 2, 0]),
    ];
    for entry in entries {
        // SAFETY: it touches no memory.
        unsafe { ring.push(&entry) }?;
    }
    ring.enter(3).map(drop)
}

fn programs_are_preempted() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let process = open(&mut ring, b"spawn:/bin/selftest program\0", OpenFlags::READ)?;
    for _ in 0..5 {
        let begin = counter();
        sleep(&mut ring, 2_000_000)?;
        equal(counter() - begin < 10_000_000, true)?;
    }
    kill(&mut ring, process)?;
    equal(wait(&mut ring, process)?, (0, SIGNAL_KILL))
}

fn held_children_can_be_killed() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let process = open(&mut ring, b"hold:/bin/selftest seven\0", OpenFlags::READ)?;
    kill(&mut ring, process)?;
    equal(wait(&mut ring, process)?, (0, SIGNAL_KILL))?;
    // A copy of a program that one READ has room for, as it is, and with an entry where nothing can be.
    let (_, copy) = map(&mut ring, b"memory:16\0")?;
    let whole = open(&mut ring, b"/bin/cost\0", OpenFlags::READ)?;
    let length = read(&mut ring, whole, copy.address, copy.length)?;
    equal(length < copy.length, true)?;
    let entry = core::ptr::with_exposed_provenance_mut::<u64>(copy.address as usize + 24);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = open(&mut ring, b"/bin/wrong\0", flags)?;
    // SAFETY: inside the pages.
    let right = unsafe { entry.read() };
    for (address, error) in [(right, Errno::OK), (1 << 63, Errno::ENOEXEC), (0, Errno::ENOEXEC)] {
        // SAFETY: as above.
        unsafe { entry.write(address) };
        let whole = Entry::new(Verb::Write).arguments([file, copy.address, length, 0, 0]);
        equal(run(&mut ring, whole)?.outcome()?, length)?;
        let held = open(&mut ring, b"hold:/bin/wrong\0", OpenFlags::READ);
        equal(held.err().unwrap_or(Errno::OK), error)?;
    }
    let path = Payload::of(c"/bin/wrong".as_ptr()).number();
    run(&mut ring, Entry::new(Verb::Remove).arguments([0, path, 11, 0, 0]))?.outcome()?;
    Ok(())
}

fn pipes_carry_output() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let save = EntryFlags::save(0).ok_or(Errno::EINVAL)?;
    let read_end = run(&mut ring, Entry::new(Verb::Pipe).flags(save))?.outcome()?;
    let load = EntryFlags::load(0, 1).ok_or(Errno::EINVAL)?;
    let write_end = run(&mut ring, Entry::new(Verb::Get).flags(load))?.outcome()?;
    let process = open(&mut ring, b"hold:/bin/selftest print\0", OpenFlags::READ)?;
    let mut objects = [ring.standard()[0], write_end];
    let mut record = [0, 0, 0, 0, address_of(&mut objects), STANDARD as u64, 0, 0];
    let send = Entry::new(Verb::SendMsg).arguments([process, address_of(&mut record), 64, 0, 0]);
    run(&mut ring, send)?.outcome()?;
    close(&mut ring, write_end)?;
    equal(wait(&mut ring, process)?, (0, 0))?;
    let mut buffer = [0u8; 64];
    let length = read(&mut ring, read_end, address_of(&mut buffer), 64)?;
    equal(&buffer[..length as usize], b"from the child")?;
    equal(read(&mut ring, read_end, address_of(&mut buffer), 64)?, 0)?;
    equal(run(&mut ring, send)?.errno(), Errno::EBADF)
}

fn memory_is_mapped() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let (memory, mapping) = map(&mut ring, b"memory:3\0")?;
    equal(mapping.length, 3 * PAGE)?;
    let words = core::ptr::with_exposed_provenance_mut::<u64>(mapping.address as usize);
    for word in [0, 511, 512, 3 * 512 - 1] {
        // SAFETY: inside the pages.
        unsafe {
            equal(words.add(word).read_volatile(), 0)?;
            words.add(word).write_volatile(7);
            equal(words.add(word).read_volatile(), 7)?;
        }
    }
    close(&mut ring, memory)?;
    let (there, mapping) = map(&mut ring, b"memory:1@700000000\0")?;
    equal(mapping.address, 0x7_0000_0000)?;
    equal(open(&mut ring, b"memory:1@700000000\0", OpenFlags::READ), Err(Errno::EINVAL))?;
    close(&mut ring, there)?;
    for path in [&b"memory:0\0"[..], b"memory:1@123\0", b"memory:1@ffff800000000000\0", b"memory:x\0"] {
        equal(open(&mut ring, path, OpenFlags::READ), Err(Errno::EINVAL))?;
    }
    Ok(())
}

fn memory_is_unmapped_under_io() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let (memory, mapping) = map(&mut ring, b"memory:1\0")?;
    let file = open(&mut ring, b"/etc/motd\0", OpenFlags::READ)?;
    let entries = [
        Entry::new(Verb::Read).arguments([file, mapping.address, 16, 0, 0]).data(1),
        Entry::new(Verb::Close).arguments([memory, 0, 0, 0, 0]).data(2),
    ];
    for entry in entries {
        // SAFETY: what is unmapped is not written.
        unsafe { ring.push(&entry) }?;
    }
    ring.enter(2)?;
    for (data, error) in [(2, Errno::OK), (1, Errno::EFAULT)] {
        let completion = ring.pop().ok_or(Errno::EIO)?;
        equal((completion.data, completion.errno()), (data, error))?;
    }
    Ok(())
}

fn pointers_are_refused() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let file = open(&mut ring, b"/etc/motd\0", OpenFlags::READ)?;
    let code = main as *const () as u64;
    let bad = [
        1,
        0x1000,
        code,
        0x0000_7fff_ffff_f000,
        0x0000_8000_0000_0000,
        0x0000_ffff_ffff_fff0,
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        u64::MAX,
    ];
    for address in bad {
        // Code can be read, but not written.
        equal(read(&mut ring, file, address, 8), Err(Errno::EFAULT))?;
        for verb in [Verb::Open, Verb::Mkdir, Verb::Remove, Verb::Stat, Verb::Write, Verb::SendMsg] {
            let length = if verb == Verb::SendMsg { 64 } else { 8 };
            let entry = Entry::new(verb).arguments([file, address, length, 0, 0]);
            equal(run(&mut ring, entry)?.errno().is_ok(), false)?;
        }
        let vectored = Entry::new(Verb::Read).arguments([file, address, 1, 0, 1]);
        equal(run(&mut ring, vectored)?.errno().is_ok(), false)?;
        let load = Entry::new(Verb::Load).arguments([0, address, 8, 0, 8]);
        let _ = run(&mut ring, load)?;
        if address == code {
            continue;
        }
        // SAFETY: the kernel refuses it.
        let refused = unsafe { system_call(SETUP, [address, 0, 1, 2]) };
        equal(refused, -i64::from(Errno::EFAULT.raw()))?;
    }
    for number in [3, 77, u64::MAX] {
        // SAFETY: there is no such call.
        equal(unsafe { system_call(number, [0; 4]) }, -i64::from(Errno::ENOSYS.raw()))?;
    }
    for ring in [MAX_RINGS as u64, 1 << 40, ALL - 2] {
        for call in [ENTER, TEARDOWN] {
            // SAFETY: there is no such ring.
            equal(unsafe { system_call(call, [ring, 0, 0, 0]) }, -i64::from(Errno::EINVAL.raw()))?;
        }
    }
    Ok(())
}

fn limits_hold() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let before = statistics(&mut ring)?;
    {
        let rings: [_; MAX_RINGS] = core::array::from_fn(|_| Ring::new(1, 2));
        equal(rings.iter().filter(|ring| ring.is_ok()).count(), MAX_RINGS - 1)?;
        equal(
            rings.iter().filter_map(|ring| ring.as_ref().err()).all(|error| *error == Errno::EMFILE),
            true,
        )?;
    }
    for (entries, completions) in
        [(0, 2), (3, 4), (1, 1), (2048, 2048), (1024, 4096), (u64::MAX, 2), (1 << 32, 2)]
    {
        equal(calls::setup(0, entries, completions).err(), Some(Errno::EINVAL))?;
    }
    for hint in [1, PAGE + 1, 0xffff_8000_0000_0000, !(PAGE - 1), main as *const () as u64 & !(PAGE - 1)] {
        equal(calls::setup(hint, 1, 2).err(), Some(Errno::EINVAL))?;
    }
    let (number, setup) = calls::setup(0x6_0000_0000, 1, 2)?;
    equal(setup.base, 0x6_0000_0000)?;
    // SAFETY: nobody uses it.
    unsafe { calls::teardown(number) }?;
    equal(open(&mut ring, b"memory:2049\0", OpenFlags::READ), Err(Errno::ENOMEM))?;
    equal(MAX_PAGES, 2048)?;
    equal(open(&mut ring, b"memory:18446744073709551615\0", OpenFlags::READ), Err(Errno::ENOMEM))?;
    let most = open(&mut ring, b"memory:1900\0", OpenFlags::READ)?;
    equal(Ring::new(1024, 2048).err(), Some(Errno::ENOMEM))?;
    close(&mut ring, most)?;
    Ring::new(1024, 2048)?;
    let after = statistics(&mut ring)?;
    // Tables of pages stay until the process ends.
    equal(before.frames_free - after.frames_free < 12, true)
}

/// The ring that the other thread is in.
static BUSY: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// A thread: waits for a completion that never comes, for 50 ms.
extern "C" fn in_ring() -> ! {
    let ring = BUSY.load(core::sync::atomic::Ordering::Relaxed);
    // SAFETY: one entry was pushed, a SLEEP.
    let _ = unsafe { calls::enter(ring, 1, 1, NEVER) };
    // SAFETY: it ends.
    unsafe { system_call(TEARDOWN, [THREAD, 0, 0, 0]) };
    loop {
        core::hint::spin_loop();
    }
}

fn rings_are_busy() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let mut other = Ring::new(8, 16)?;
    // SAFETY: it touches no memory.
    unsafe { other.push(&Entry::new(Verb::Nop).timeout(50_000_000)) }?;
    other.publish();
    BUSY.store(other.number(), core::sync::atomic::Ordering::Relaxed);
    let (_, stack) = map(&mut ring, b"memory:4\0")?;
    let mut path = Text::<64>::new();
    let (entry, end) = (in_ring as *const () as u64, stack.address + stack.length - 8);
    write!(path, "thread:{entry:x},{end:x},0\0").map_err(|_| Errno::EIO)?;
    let thread = open(&mut ring, path.bytes(), OpenFlags::READ)?;
    sleep(&mut ring, 5_000_000)?;
    // SAFETY: nothing of it is pushed, and the teardown is refused.
    unsafe {
        equal(calls::enter(other.number(), 1, 0, NEVER), Err(Errno::EBUSY))?;
        equal(calls::teardown(other.number()), Err(Errno::EBUSY))?;
    }
    equal(wait(&mut ring, thread)?, (0, 0))?;
    equal(other.pop().map(|completion| completion.errno()), Some(Errno::ETIMEDOUT))
}

fn reads_are_cancelled() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let file = open(&mut ring, b"/bin/selftest\0", OpenFlags::READ)?;
    let mut buffer = [0u8; 8192];
    let before = statistics(&mut ring)?;
    let entries = [
        Entry::new(Verb::Read).arguments([file, address_of(&mut buffer), 8192, 0, 0]).data(1),
        Entry::new(Verb::Cancel).arguments([0, 1, 0, 0, 0]).data(2),
    ];
    for entry in entries {
        // SAFETY: the buffer outlives them.
        unsafe { ring.push(&entry) }?;
    }
    ring.enter(2)?;
    let mut seen = [(0, Errno::OK, 0); 2];
    for place in &mut seen {
        let completion = ring.pop().ok_or(Errno::EIO)?;
        *place = (completion.data, completion.errno(), completion.result);
    }
    seen.sort_unstable();
    equal(seen, [(1, Errno::ECANCELED, 0), (2, Errno::OK, 1)])?;
    let after = statistics(&mut ring)?;
    equal((after.blocks, after.packets), (before.blocks, before.packets))?;
    // The same READ, left alone, passes the device twice.
    equal(read(&mut ring, file, address_of(&mut buffer), 8192)?, 8192)?;
    equal(&buffer[..4], b"\x7fELF")?;
    equal(statistics(&mut ring)?.blocks, before.blocks + 2)
}

fn finally_entries_keep_rings() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let (number, setup) = calls::setup(0, 4, 8)?;
    let geometry = Geometry::new(4, 8).map_err(|_| Errno::EINVAL)?;
    let base = core::ptr::with_exposed_provenance_mut::<u8>(setup.base as usize);
    let base = core::ptr::NonNull::new(base).ok_or(Errno::EFAULT)?;
    // SAFETY: what the kernel has mapped for this ring, whose end is dropped before it is torn down.
    let memory =
        unsafe { Memory::contiguous(base, setup.length as usize, geometry) }.map_err(|_| Errno::EINVAL)?;
    let chain = [
        Entry::new(Verb::Nop).flags(EntryFlags::LINK),
        Entry::new(Verb::Nop).timeout(150_000_000).flags(EntryFlags::FINALLY),
    ];
    {
        let mut end = SubmitterEnd::new(memory, 0);
        end.push_all(chain.into_iter()).map_err(|_| Errno::EIO)?;
        end.publish();
    }
    // SAFETY: nothing in it touches memory.
    unsafe { calls::enter(number, 2, 0, NEVER) }?;
    // SAFETY: its end is gone.
    unsafe {
        equal(calls::teardown(number), Err(Errno::EBUSY))?;
        equal(calls::enter(number, 1, 0, NEVER).is_ok(), true)?;
    }
    sleep(&mut ring, 60_000_000)?;
    // SAFETY: as above.
    unsafe { equal(calls::teardown(number), Ok(())) }
}

fn heaps_do_not_overflow() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let before = statistics(&mut ring)?;
    let (memory, mapping) = map(&mut ring, b"memory:4\0")?;
    let pieces = core::ptr::with_exposed_provenance_mut::<[u64; 2]>(mapping.address as usize);
    for piece in 0..1024 {
        // SAFETY: inside the four pages.
        unsafe { pieces.add(piece).write([mapping.address, 1]) };
    }
    {
        let mut hungry = Ring::new(1024, 2048)?;
        let save = EntryFlags::save(0).ok_or(Errno::EINVAL)?;
        let read_end = run(&mut hungry, Entry::new(Verb::Pipe).flags(save))?.outcome()?;
        let mut refused = 0;
        for _ in 0..2 {
            for _ in 0..1000 {
                let arguments = [read_end, mapping.address, 1024, CURRENT_POSITION, 1];
                // SAFETY: the pages are mapped until the ring is torn down.
                unsafe { hungry.push(&Entry::new(Verb::Read).arguments(arguments)) }?;
            }
            hungry.enter(0)?;
            while let Some(completion) = hungry.pop() {
                equal(matches!(completion.errno(), Errno::EFAULT | Errno::ENOMEM), true)?;
                refused += 1;
            }
        }
        equal(refused > 0, true)?;
    }
    close(&mut ring, memory)?;
    let after = statistics(&mut ring)?;
    equal((after.packets, after.heap_used < before.heap_used + 4096), (before.packets, true))
}

fn rings_are_charged() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    for (entries, completions) in [(1, 2), (8, 16), (1024, 2), (1, 2048), (1024, 2048)] {
        let before = statistics(&mut ring)?.heap_used;
        let other = Ring::new(entries, completions)?;
        let taken = statistics(&mut ring)?.heap_used - before;
        // What `kernel/src/ring.rs` charges.
        let charged = 65536 + 128 * entries + 1536 * completions;
        print(format_args!("a ring of {entries} and {completions} takes {taken} bytes of {charged}\n"))?;
        equal(taken <= charged && charged <= 65536 + 4 * taken, true)?;
        drop(other);
    }
    Ok(())
}

fn time_passes() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    for nanoseconds in [1, 1_000_000, 5_500_000] {
        let begin = counter();
        sleep(&mut ring, nanoseconds)?;
        equal(counter() - begin >= nanoseconds / 2, true)?;
    }
    let input = ring.standard()[0];
    let mut byte = 0u8;
    let wait_for = |nanoseconds| {
        let timed = Entry::new(Verb::Read).timeout(nanoseconds);
        timed.arguments([input, Payload::of(&raw const byte).number(), 1, CURRENT_POSITION, 0])
    };
    let entry = wait_for(0);
    equal(run(&mut ring, entry)?.errno(), Errno::ETIMEDOUT)?;
    let entry = wait_for(3_000_000);
    equal(run(&mut ring, entry)?.errno(), Errno::ETIMEDOUT)?;
    equal(ring.enter_for(1, 2_000_000)?, 0)?;
    byte = byte.wrapping_add(1);
    equal(byte, 1)
}

fn death_leaves_nothing() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let round = |ring: &mut Ring, after: u64| -> Tested {
        let process = open(ring, b"spawn:/bin/selftest die\0", OpenFlags::READ)?;
        sleep(ring, after)?;
        kill(ring, process)?;
        equal(wait(ring, process)?, (0, SIGNAL_KILL))?;
        Ok(close(ring, process)?)
    };
    round(&mut ring, 1_000_000)?;
    sleep(&mut ring, 5_000_000)?;
    let before = statistics(&mut ring)?;
    for after in 0..40 {
        round(&mut ring, 1 + after * 100_000)?;
    }
    sleep(&mut ring, 20_000_000)?;
    let after = statistics(&mut ring)?;
    print(format_args!(
        "frames free: {} before, {} after; heap: {} before, {} after\n",
        before.frames_free, after.frames_free, before.heap_used, after.heap_used
    ))?;
    equal(
        (after.frames_free, after.heap_used, after.processes, after.packets),
        (before.frames_free, before.heap_used, before.processes, before.packets),
    )
}

/// Runs a chain of so many NOPs in one system call; returns what the counter counted.
fn chain_of_nops(ring: &mut Ring, length: u64) -> Result<u64, Errno> {
    for number in 1..=length {
        let flags = if number < length { EntryFlags::LOCAL | EntryFlags::LINK } else { EntryFlags::LOCAL };
        let flags = if number > 1 { flags - EntryFlags::LOCAL } else { flags };
        // SAFETY: a NOP touches nothing.
        unsafe { ring.push(&Entry::new(Verb::Nop).flags(flags)) }?;
    }
    ring.publish();
    let begin = counter();
    // SAFETY: as above.
    let taken = unsafe { calls::enter(ring.number(), u32::MAX, length as u32, NEVER) }?;
    let end = counter();
    for _ in 0..length {
        ring.pop().ok_or(Errno::EIO)?.outcome()?;
    }
    if taken == length { Ok(end - begin) } else { Err(Errno::EIO) }
}

/// In a process of its own, whose kernel stack nothing else has used.
fn chains_use_constant_stack() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let process = open(&mut ring, b"spawn:/bin/selftest stack\0", OpenFlags::READ)?;
    equal(wait(&mut ring, process)?, (0, 0))
}

fn measure_stack() -> Tested {
    let mut ring = Ring::new(1024, 2048)?;
    let mut used = [0; 3];
    for (length, used) in [1, 100, 1000].into_iter().zip(&mut used) {
        chain_of_nops(&mut ring, length)?;
        *used = statistics(&mut ring)?.stack_used;
    }
    let [one, hundred, thousand] = used;
    print(format_args!(
        "kernel stack: {one} bytes used by a chain of 1, {hundred} of 100, {thousand} of 1000\n"
    ))?;
    equal(hundred, thousand)
}

fn rings_leave_nothing() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    Ring::new(4, 8)?;
    // Each packet of this ring's engine keeps room for a path once it has had one.
    for _ in 0..32 {
        statistics(&mut ring)?;
    }
    let before = statistics(&mut ring)?;
    for _ in 0..10_000 {
        calls::setup(0, 4, 8)?;
        // SAFETY: nobody uses it: it is the second ring of this process.
        unsafe { calls::teardown(1) }?;
    }
    let after = statistics(&mut ring)?;
    print(format_args!(
        "frames free: {} before, {} after; heap: {} before, {} after\n",
        before.frames_free, after.frames_free, before.heap_used, after.heap_used
    ))?;
    equal((after.frames_free, after.heap_used), (before.frames_free, before.heap_used))
}

fn costs_fall() -> Tested {
    let mut ring = Ring::new(64, 128)?;
    let mut last = u64::MAX;
    print(format_args!("| entries in the chain | instructions for the call | for each entry |\n"))?;
    for length in [1, 8, 32] {
        chain_of_nops(&mut ring, length)?;
        // The least of a few: the timer's tick may come in between.
        let mut least = u64::MAX;
        for _ in 0..5 {
            least = least.min(chain_of_nops(&mut ring, length)?);
        }
        print(format_args!("| {length} | {least} | {} |\n", least / length))?;
        equal(least / length < last, true)?;
        last = least / length;
    }
    Ok(())
}
