//! What hostile children do. A part that is meant to survive ends with the status 0, or with the line that was not as it should be.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};

use ouzel_kernel_abi::{
    ENTER, MAX_PAGES, MAX_RINGS, Mapping, NEVER, PAGE, SETUP, SIGNAL_KILL, TEARDOWN, THREAD,
};
use ouzel_kernel_user::Ring;
use ouzel_kernel_user::calls::{self, system_call};
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags};
use ouzel_ring::{Entry, EntryFlags, Errno, Payload, Verb};

use crate::faults::FAULTS;
use crate::greed;
use crate::raw::{Random, address_of, close, kill, open, open_as, pipe, read, run, sleep, wait};

/// The status of a part, or the line in which it failed.
pub type Done = Result<(), u64>;

/// What must be so.
#[track_caller]
pub fn check(good: bool) -> Done {
    if good { Ok(()) } else { Err(Location::caller().line().into()) }
}

/// A result that must be good.
pub trait Good<T> {
    /// It, or the line that wanted it.
    fn good(self) -> Result<T, u64>;
}

impl<T> Good<T> for Result<T, Errno> {
    #[track_caller]
    fn good(self) -> Result<T, u64> {
        let line = Location::caller().line();
        self.map_err(|_| line.into())
    }
}

/// Does the part of this name: its status.
pub fn child(part: &str, seed: u64) -> u64 {
    let done = match part {
        "nothing" => Ok(()),
        "forever" => forever(),
        "loop" => loop {
            // SAFETY: it does nothing.
            unsafe { asm!("nop") };
        },
        "bomb" => bomb(seed),
        "fault" => {
            // SAFETY: none; that is the point.
            unsafe { FAULTS[seed as usize].2() };
            Ok(())
        }
        "pointers" => pointers(),
        "indices" => indices(),
        "unmapping" => unmapping(),
        "busy" => busy(),
        "all_rings" => all_rings(),
        "all_pages" => all_pages(),
        "scribble" => scribble(seed),
        "chains" => chains(seed),
        "heirs" => heirs(seed),
        "selectors" => selectors(),
        "selected" => selected(),
        "reads" => greed::reads(),
        "holes" => greed::holes(),
        "polls" => greed::polls(),
        "orphans" => greed::orphans(),
        "tables" => greed::tables(),
        "lists" => greed::lists(),
        _ => Err(999),
    };
    done.err().unwrap_or(0)
}

fn forever() -> Done {
    let mut ring = Ring::new(1, 2).good()?;
    // Never at all would leave nothing to wait for.
    sleep(&mut ring, u64::MAX / 4).good()
}

/// Starts children that do the same with one generation less, until it is refused.
fn bomb(generation: u64) -> Done {
    let mut ring = Ring::new(4, 8).good()?;
    for _ in 0..8 {
        if generation == 0 || crate::spawn_in(&mut ring, "bomb", generation - 1).is_err() {
            break;
        }
    }
    sleep(&mut ring, 2_000_000).good()
}

/// Pages, and where they are.
pub fn map(ring: &mut Ring, path: &[u8]) -> Result<(u64, Mapping), u64> {
    let memory = open(ring, path).good()?;
    let mut mapping = Mapping::default();
    read(ring, memory, address_of(&mut mapping), 16).good()?;
    Ok((memory, mapping))
}

/// Addresses that lie, in system calls and in the entries of every verb.
fn pointers() -> Done {
    let mut ring = Ring::new(8, 16).good()?;
    let (_, mapping) = map(&mut ring, b"memory:1\0")?;
    let file = open(&mut ring, b"/bin/hostile\0").good()?;
    let null = open_as(&mut ring, b"null:\0", OpenFlags::READ | OpenFlags::WRITE).good()?;
    let code = child as *const () as u64;
    let straddling = mapping.address + PAGE - 4;
    let addresses = [
        0,
        8,
        straddling,
        mapping.address + PAGE,
        mapping.address - 1,
        0x0000_7fff_ffff_fffc,
        0x0000_8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        u64::MAX - 3,
    ];
    let refused = |result: i64| check(result == -i64::from(Errno::EFAULT.raw()));
    for address in addresses.into_iter().chain([code]) {
        // SAFETY: the kernel refuses it.
        refused(unsafe { system_call(SETUP, [address, 0, 1, 2]) })?;
        let writes = run(&mut ring, Entry::new(Verb::Read).arguments([file, address, 8, 0, 0])).good()?;
        check(writes.outcome() == Err(Errno::EFAULT))?;
        if address == code {
            continue;
        }
        let reads = run(&mut ring, Entry::new(Verb::Write).arguments([null, address, 8, 0, 0])).good()?;
        check(reads.outcome() == Err(Errno::EFAULT))?;
        let loads = run(&mut ring, Entry::new(Verb::Load).arguments([0, address, 8, 0, 8])).good()?;
        check(loads.error != 0)?;
    }
    // Every verb, with every address in every argument that may be one. Only that it ends counts.
    for op in 0..Verb::ALL.len() as u32 {
        for address in addresses {
            for length in [0, 8, 64, 4096, 1 << 40, u64::MAX] {
                let mut entry = Entry::new(Verb::Nop).arguments([file, address, length, address, length]);
                entry.op = op;
                entry.timeout = 1_000_000;
                run(&mut ring, entry).good()?;
            }
        }
    }
    for submit in [0, 1, u64::MAX] {
        // SAFETY: nothing has been pushed.
        check(unsafe { system_call(ENTER, [ring.number(), submit, u64::MAX, 0]) } >= 0)?;
    }
    Ok(())
}

/// The words of the control block that are this side's, and some that are not.
fn indices() -> Done {
    for word in [0, 4, 8, 64, 68, 72, 128] {
        for value in [1, 5, 9, 1 << 31, 0u32.wrapping_sub(1), 0u32.wrapping_sub(5), 0x8000_0001] {
            let (ring, setup) = calls::setup(0, 4, 8).good()?;
            let place = core::ptr::with_exposed_provenance_mut::<u32>((setup.base + word) as usize);
            // SAFETY: in the control block, which is mapped.
            unsafe { place.write_volatile(value) };
            for _ in 0..3 {
                // SAFETY: the entries are zeros, which are NOPs.
                let entered = unsafe { calls::enter(ring, u32::MAX, 1, 1_000_000) };
                check(matches!(entered, Ok(_) | Err(Errno::EIO)))?;
                if matches!(word, 64 | 68) && value > 9 {
                    check(entered == Err(Errno::EIO))?;
                }
            }
            // SAFETY: it has no end here.
            unsafe { calls::teardown(ring) }.good()?;
        }
    }
    // What follows finds the kernel as it was.
    let mut ring = Ring::new(4, 8).good()?;
    check(run(&mut ring, Entry::new(Verb::Get).arguments([7, 0, 0, 0, 0])).good()?.outcome() == Ok(7))
}

/// Memory goes while READs into it are on their way.
fn unmapping() -> Done {
    let mut ring = Ring::new(8, 16).good()?;
    let file = open(&mut ring, b"/bin/hostile\0").good()?;
    let (from, to) = pipe(&mut ring).good()?;
    for _ in 0..50 {
        let (memory, mapping) = map(&mut ring, b"memory:2\0")?;
        let whole = [0, mapping.address + PAGE - 8, 16, CURRENT_POSITION, 0];
        let entries = [
            Entry::new(Verb::Read).arguments([file, mapping.address, 2 * PAGE, 0, 0]).data(1),
            Entry::new(Verb::Read).arguments([from, whole[1], whole[2], whole[3], 0]).data(2),
            Entry::new(Verb::Write)
                .arguments([to, mapping.address, 16, CURRENT_POSITION, 0])
                .timeout(1)
                .data(3),
            Entry::new(Verb::Close).arguments([memory, 0, 0, 0, 0]).data(4),
        ];
        for entry in &entries {
            // SAFETY: the kernel writes nothing that is not mapped.
            unsafe { ring.push(entry) }.good()?;
        }
        ring.enter(4).good()?;
        for _ in 0..4 {
            let one = ring.pop().ok_or(1u64)?;
            check(one.data != 1 || one.errno() == Errno::EFAULT)?;
            check(one.data != 4 || one.error == 0)?;
        }
    }
    Ok(())
}

/// A stack for a thread.
#[repr(align(16))]
struct Stack(UnsafeCell<[u8; 16384]>);

// SAFETY: one thread uses it.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; 16384]));

/// Starts a thread, of which the ring keeps a descriptor.
fn start_thread(ring: &mut Ring, entry: extern "C" fn(u64) -> !, argument: u64) -> Result<u64, u64> {
    use core::fmt::Write;
    let mut line = crate::Line { bytes: [0; 64], length: 0 };
    let stack = STACK.0.get() as u64 + 16384 - 8;
    let written = write!(line, "thread:{:x},{stack:x},{argument:x}\0", entry as *const () as u64);
    check(written.is_ok())?;
    open(ring, &line.bytes[..line.length]).good()
}

static FOUND: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Enters and tears down a ring in which another thread is.
extern "C" fn intrude(ring: u64) -> ! {
    // SAFETY: it is refused.
    unsafe {
        FOUND[0].store(system_call(ENTER, [ring, 0, 0, 0]) as u64, Ordering::SeqCst);
        FOUND[1].store(system_call(TEARDOWN, [ring, 0, 0, 0]) as u64, Ordering::SeqCst);
        loop {
            system_call(TEARDOWN, [THREAD, 0, 0, 0]);
        }
    }
}

fn busy() -> Done {
    let mut ring = Ring::new(4, 8).good()?;
    let number = ring.number();
    start_thread(&mut ring, intrude, number)?;
    sleep(&mut ring, 20_000_000).good()?;
    for found in &FOUND {
        check(found.load(Ordering::SeqCst) as i64 == -i64::from(Errno::EBUSY.raw()))?;
    }
    check(run(&mut ring, Entry::new(Verb::Get).arguments([7, 0, 0, 0, 0])).good()?.outcome() == Ok(7))
}

/// All rings that there may be, and one more; then each of them is used.
fn all_rings() -> Done {
    let mut rings = [const { None }; MAX_RINGS];
    for ring in &mut rings {
        *ring = Some(Ring::new(2, 4).good()?);
    }
    check(calls::setup(0, 2, 4).err() == Some(Errno::EMFILE))?;
    for ring in rings.iter_mut().flatten() {
        check(run(ring, Entry::new(Verb::Nop)).good()?.error == 0)?;
    }
    rings[3] = None;
    check(calls::setup(0, 2, 4).is_ok())
}

/// Pages until there are no more, in rings and in memory, and one page more.
fn all_pages() -> Done {
    let mut ring = Ring::new(64, 64).good()?;
    let mut pages = 0;
    for (path, count) in [(&b"memory:200\0"[..], 200), (b"memory:20\0", 20), (b"memory:1\0", 1)] {
        while pages < MAX_PAGES && open(&mut ring, path).is_ok() {
            pages += count;
        }
    }
    check(pages > MAX_PAGES / 2 && pages < MAX_PAGES)?;
    check(open(&mut ring, b"memory:1\0") == Err(Errno::ENOMEM))?;
    check(calls::setup(0, 1, 2).err() == Some(Errno::ENOMEM))?;
    check(open(&mut ring, b"spawn:/bin/hostile nothing 0\0").is_ok())?;
    sleep(&mut ring, 5_000_000).good()
}

/// Writes whatever it likes over a ring: entries, its indices, the others'.
extern "C" fn scribbler(argument: u64) -> ! {
    let (base, mut random) = (argument & !0xfff, Random((argument & 0xfff) | 0x1000));
    loop {
        let place = match random.below(16) {
            0 => 8 * random.below(24),
            _ => 192 + 8 * random.below(8 * 64),
        };
        let value = match random.below(4) {
            0 => random.next(),
            1 => base + random.below(PAGE),
            2 => random.below(64) | random.below(1 << 25) << 32,
            _ => random.below(70),
        };
        let place = core::ptr::with_exposed_provenance_mut::<u64>((base + place) as usize);
        // SAFETY: in the ring, or where it was: then this is the end.
        unsafe { place.write_volatile(value) };
    }
}

fn scribble(seed: u64) -> Done {
    let mut other = Ring::new(4, 8).good()?;
    let (ring, setup) = calls::setup(0x5_0000_0000, 64, 64).good()?;
    start_thread(&mut other, scribbler, setup.base | seed)?;
    let mut random = Random(seed);
    let tail = core::ptr::with_exposed_provenance_mut::<u32>((setup.base + 64) as usize);
    let mut ring = ring;
    loop {
        // SAFETY: mapped, as long as the ring is; what is in the entries nobody knows.
        let entered = unsafe {
            tail.write_volatile(tail.read_volatile().wrapping_add(random.below(4) as u32));
            calls::enter(ring, u32::MAX, 0, NEVER)
        };
        if entered.is_err() {
            // SAFETY: only the other thread writes there, which is its own fault.
            let gone = unsafe { calls::teardown(ring) };
            check(gone.is_ok() || gone == Err(Errno::EBUSY))?;
            ring = calls::setup(0x5_0000_0000, 64, 64).good()?.0;
        }
    }
}

/// The segment registers, one in each 16 bits.
fn segments() -> u64 {
    let (data, extra, third, fourth): (u64, u64, u64, u64);
    // SAFETY: they are only read.
    unsafe {
        asm!("mov {0:r}, ds", "mov {1:r}, es", "mov {2:r}, fs", "mov {3:r}, gs",
            out(reg) data, out(reg) extra, out(reg) third, out(reg) fourth, options(nomem, nostack));
    }
    data | extra << 16 | third << 32 | fourth << 48
}

/// Has selectors of its own, for ever.
fn selected() -> Done {
    const OWN: u64 = 0x1b;
    // SAFETY: a selector of ring 3's data, whose base is 0, as that of none is.
    unsafe {
        asm!("mov ds, {0:x}", "mov es, {0:x}", "mov fs, {0:x}", "mov gs, {0:x}", in(reg) OWN, options(nomem, nostack));
    }
    loop {
        check(segments() == OWN | OWN << 16 | OWN << 32 | OWN << 48)?;
    }
}

/// What others put into registers stays theirs.
fn selectors() -> Done {
    let mut ring = Ring::new(4, 8).good()?;
    let other = crate::spawn_in(&mut ring, "selected", 0).good()?;
    for _ in 0..5 {
        sleep(&mut ring, 2_000_000).good()?;
        check(segments() == 0)?;
    }
    kill(&mut ring, other).good()?;
    check(wait(&mut ring, other).good()? == (0, SIGNAL_KILL))
}

/// A thread that would go on where its process has ended.
extern "C" fn heir(seed: u64) -> ! {
    loop {
        if seed == 0 {
            // SAFETY: it holds nothing.
            unsafe { system_call(TEARDOWN, [THREAD, 0, 0, 0]) };
        }
    }
}

/// Ends with a FINALLY entry on its way that starts a thread, and another that gives that time to run.
fn heirs(seed: u64) -> Done {
    use core::fmt::Write;
    let mut ring = Ring::new(8, 16).good()?;
    let mut line = crate::Line { bytes: [0; 64], length: 0 };
    let stack = STACK.0.get() as u64 + 16384 - 8;
    check(write!(line, "thread:{:x},{stack:x},{seed:x}\0", heir as *const () as u64).is_ok())?;
    let (path, flags) = (Payload::of(line.bytes.as_ptr()).number(), OpenFlags::READ.bits());
    let (link, finally) = (EntryFlags::LINK, EntryFlags::FINALLY);
    let entries = [
        Entry::new(Verb::Sleep).arguments([0, 0, 1_000_000_000, 0, 0]).flags(link),
        Entry::new(Verb::Open).arguments([0, path, line.length as u64, flags, 0]).flags(finally | link),
        Entry::new(Verb::Sleep).arguments([0, 0, 50_000_000, 0, 0]).flags(finally),
    ];
    for entry in &entries {
        // SAFETY: the line is there until the process's end, since what follows does not return.
        unsafe { ring.push(entry) }.good()?;
    }
    ring.enter(0).good()?;
    calls::exit(0)
}

/// Chains over pipes, files and time, until somebody puts an end to it.
fn chains(seed: u64) -> Done {
    let mut random = Random(seed);
    let mut ring = Ring::new(64, 64).good()?;
    let mut room = [0u8; 8192];
    let place = Payload::of(room.as_mut_ptr()).number();
    let path = Payload::of(c"/bin/hostile".as_ptr()).number();
    let [save, load, end] = [
        EntryFlags::save(0).ok_or(1u64)?,
        EntryFlags::load(0, 0).ok_or(1u64)?,
        EntryFlags::load(0, 1).ok_or(1u64)?,
    ];
    let (link, finally, first) =
        (EntryFlags::LINK, EntryFlags::FINALLY, EntryFlags::LOCAL | EntryFlags::LINK | save);
    let at = CURRENT_POSITION;
    loop {
        let file = [
            Entry::new(Verb::Open).arguments([0, path, 13, OpenFlags::READ.bits(), 0]).flags(first),
            Entry::new(Verb::Read)
                .arguments([0, place, random.below(8192), random.below(4096), 0])
                .flags(load | link),
            Entry::new(Verb::Close).flags(load | finally),
        ];
        let pipe = [
            Entry::new(Verb::Pipe).flags(first),
            Entry::new(Verb::Write).arguments([0, place, random.below(8192), at, 0]).flags(end | link),
            Entry::new(Verb::Read).arguments([0, place, 64, at, 0]).flags(load | link),
            Entry::new(Verb::Read)
                .arguments([0, place, 8192, at, 0])
                .flags(load | link)
                .timeout(random.below(1 << 20)),
            Entry::new(Verb::Close).flags(load | finally | link),
            Entry::new(Verb::Close).flags(end | finally),
        ];
        let time = [
            Entry::new(Verb::Sleep).arguments([0, 0, random.below(1 << 20), 0, 0]).flags(link),
            Entry::new(Verb::Nop).timeout(random.below(1 << 20)).flags(link),
            Entry::new(Verb::Sleep).arguments([0, 0, random.below(1 << 20), 0, 0]).flags(finally),
        ];
        for _ in 0..1 + random.below(4) {
            let chain = match random.below(3) {
                0 => &file[..],
                1 => &pipe[..],
                _ => &time[..],
            };
            for entry in chain {
                // SAFETY: what they name lives as long as this, which is until the process's end. A full queue is none of our cares.
                let _ = unsafe { ring.push(entry) };
            }
        }
        ring.enter_for(random.below(8) as u32, random.below(1 << 21)).good()?;
        while ring.pop().is_some() {}
        if random.below(16) == 0 {
            close(&mut ring, 0).err();
            let descriptors = ring.standard();
            check(descriptors[1] != 0)?;
            drop(core::mem::replace(&mut ring, Ring::new(64, 64).good()?));
        }
    }
}
