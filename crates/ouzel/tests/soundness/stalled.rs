//! A kernel that is stopped in the midst of a copy: the page it writes to is a userfaultfd's, and nobody fills it until the test
//! says so. A cancel cannot stop that (EALREADY), so whoever takes a cancel for an end gives memory back too early.
//!
//! What is read is a file of proc's that can neither be polled nor asked not to wait, and an extended attribute: the kernel's ring
//! leaves both to a thread of its own, so that it is that one which stands still. (Other files are read by whoever enters, who
//! would stand there.)

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::XattrFlags;
use ouzel::pool::Slice;
use ouzel::{BackendKind, Buffer, Directory, Offset, Policy};
use ouzel_uring::abi::CancelFlags;
use ouzel_uring::{Builder, Sqe, Step, Timeout};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{Advice, UserfaultfdFlags, madvise, userfaultfd};

use crate::stage::{Cell, LIMIT, Runtime, Scene, Trap, builder, check_files, open_files, small_pool};

pub const CELLS: &[Cell] = &[
    ("stalled in a copy, the kernel's cancel", kernels_cancel),
    ("stalled in a copy, future dropped", future_dropped),
    ("stalled in a copy, future forgotten", future_forgotten),
    // The last one: it leaks on purpose.
    ("stalled in a copy, executor dropped", executor_dropped),
];

const PATH: &str = "/proc/self/limits";
const ATTRIBUTE: &str = "user.ouzel";
const PAGE: usize = 4096;

// The kernel's interface, <linux/userfaultfd.h>.
const API: u64 = 0xaa;
const MISSING: u64 = 1;
const PAGE_FAULT: u8 = 0x12;

#[repr(C)]
struct Handshake {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct ZeroPage {
    range: Range,
    mode: u64,
    filled: i64,
}

const HANDSHAKE: Opcode = opcode::read_write::<Handshake>(0xaa, 0x3f);
const REGISTER: Opcode = opcode::read_write::<Register>(0xaa, 0x00);
const UNREGISTER: Opcode = opcode::read::<Range>(0xaa, 0x01);
const ZERO_PAGE: Opcode = opcode::read_write::<ZeroPage>(0xaa, 0x04);

/// Does one of the calls above.
fn call<const CALL: Opcode, T>(faults: &OwnedFd, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: each code is used with the structure that it was made of, laid out as the kernel's.
    unsafe { ioctl(faults, Updater::<CALL, T>::new(argument)) }
}

/// Pages that are missing until they are given.
struct Stall {
    faults: OwnedFd,
    start: u64,
}

impl Stall {
    /// Makes the first page of a slice such a page; `None` where that is not allowed.
    fn on(slice: &mut Slice) -> Option<Stall> {
        // SAFETY: what it can do to this process is done below.
        let made = unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK) };
        let faults = match made {
            Ok(faults) => faults,
            Err(error @ (Errno::PERM | Errno::NOSYS)) => {
                println!("SKIPPED: userfaultfd: {error}: it needs root or vm.unprivileged_userfaultfd=1");
                return None;
            }
            Err(error) => panic!("userfaultfd: {error}"),
        };
        call::<HANDSHAKE, _>(&faults, &mut Handshake { api: API, features: 0, ioctls: 0 }).unwrap();
        let page = slice.as_mut_ptr();
        assert!(slice.len() >= PAGE && page.addr().is_multiple_of(PAGE), "a page of its own");
        let start = page.addr() as u64;
        let range = Range { start, length: PAGE as u64 };
        call::<REGISTER, _>(&faults, &mut Register { range, mode: MISSING, ioctls: 0 }).unwrap();
        // SAFETY: the page is the slice's own, which nobody reads before it is filled again.
        unsafe { madvise(page.cast(), PAGE, Advice::LinuxDontNeed) }.unwrap();
        Some(Stall { faults, start })
    }

    fn range(&self) -> Range {
        Range { start: self.start, length: PAGE as u64 }
    }

    /// Whether somebody stands at the page by now. Such a message comes once.
    fn is_met(&self) -> bool {
        let mut message = [0u8; 32];
        match rustix::io::read(&self.faults, &mut message) {
            Ok(_) => message[0] == PAGE_FAULT,
            Err(Errno::AGAIN) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Gives the page: whoever stands there goes on.
    fn end(self) {
        let mut page = ZeroPage { range: self.range(), mode: 0, filled: 0 };
        call::<ZERO_PAGE, _>(&self.faults, &mut page).unwrap();
        call::<UNREGISTER, _>(&self.faults, &mut self.range()).unwrap();
    }
}

/// What this process may do with the page at `address`.
fn rights(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        (start..end).contains(&address).then(|| rest[..3].to_owned())
    });
    line.unwrap_or_default()
}

/// The fact that all of this stands on, on a ring of the kernel's without anything of ours: a cancel answers EALREADY, and the
/// read ends as though nobody had asked.
fn kernels_cancel(kind: BackendKind) {
    if kind != BackendKind::Uring {
        return;
    }
    let pool = small_pool();
    let mut slice = pool.get(PAGE).unwrap();
    let Some(stall) = Stall::on(&mut slice) else { return };
    let (mut ring, _) = Builder::new(4).first_of(&Step::ONE_THREAD).unwrap();
    let file = File::open(PATH).unwrap();
    // Should an assertion fail, the kernel has both still.
    let mut slice = ManuallyDrop::new(slice);
    let read = Sqe::read(file.as_fd(), slice.as_mut_ptr(), 64, 0).user_data(1).asynchronous();
    // SAFETY: file and slice are kept to the end.
    unsafe { ring.push(&read) }.unwrap();
    ring.submit().unwrap();
    let begun = Instant::now();
    while !stall.is_met() {
        assert!(begun.elapsed() < LIMIT, "the kernel does not come to the page");
        std::thread::yield_now();
    }
    // SAFETY: a cancel names no memory.
    unsafe { ring.push(&Sqe::cancel(1, CancelFlags::empty()).user_data(2)) }.unwrap();
    ring.submit_and_wait(1, Some(Timeout::After(LIMIT))).unwrap();
    let cancel = ring.next_completion().unwrap();
    assert_eq!((cancel.user_data, cancel.res), (2, -Errno::ALREADY.raw_os_error()));
    assert!(ring.next_completion().is_none());
    stall.end();
    ring.submit_and_wait(1, Some(Timeout::After(LIMIT))).unwrap();
    let read = ring.next_completion().unwrap();
    assert_eq!((read.user_data, read.res), (1, 64));
    assert!(slice.starts_with(b"Limit"));
    drop(ManuallyDrop::into_inner(slice));
}

/// What stands still.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Read,
    GetXattr,
}

const BOTH: [What; 2] = [What::Read, What::GetXattr];

/// An executor whose operation stands still, with the slice that it fills.
struct Stalled {
    runtime: Runtime,
    pool: ouzel::pool::Pool,
    stall: Stall,
    filling: Option<ouzel::task::Filling>,
    scene: Scene,
}

impl Stalled {
    fn new(kind: BackendKind, what: What, bound: Duration) -> Option<Stalled> {
        let pool = small_pool();
        let mut slice = pool.get(PAGE).unwrap();
        let stall = Stall::on(&mut slice)?;
        // By the ring, where there is one: a plain call would stop us.
        let ring = builder(kind).policy(Policy::Links).teardown_bound(bound);
        let mut runtime = Runtime::with(kind, ring);
        let mut scene = Scene::new(&mut runtime);
        let mut filling = match what {
            What::Read => {
                // Taken in, and not opened there: what OPEN has opened may not wait.
                let file = runtime.handle.adopt(File::open(PATH).unwrap()).unwrap();
                scene.files.push(file);
                runtime.handle.read(file, Buffer::from(slice), Offset::START)
            }
            What::GetXattr => {
                let path = scene.at("attributed");
                File::create(&path).unwrap();
                let (home, flags) = (Directory::Working, XattrFlags::empty());
                let setting = runtime.handle.setxattr(home, &path, ATTRIBUTE, "value", flags);
                runtime.executor.block_on(setting).unwrap().unwrap();
                runtime.handle.getxattr(home, &path, ATTRIBUTE, Buffer::from(slice), flags)
            }
        };
        assert!(runtime.poll_once(&mut filling).is_pending());
        runtime.until("the kernel comes to the page", |_| stall.is_met());
        Some(Stalled { runtime, pool, stall, filling: Some(filling), scene })
    }

    /// It stands still, and its memory is where it was.
    fn check(&mut self) {
        for _ in 0..5 {
            self.runtime.turns();
        }
        assert_eq!(self.runtime.watch.in_flight(), 2, "it and the bell");
        assert_eq!(
            self.pool.statistics().in_use,
            1,
            "memory was given back with the kernel in the midst of a copy"
        );
        assert_eq!(rights(self.stall.start), "rw-");
    }
}

fn future_dropped(kind: BackendKind) {
    for what in BOTH {
        let files = open_files();
        let Some(mut stalled) = Stalled::new(kind, what, LIMIT) else { return };
        drop(stalled.filling.take());
        stalled.check();
        assert_eq!(stalled.runtime.handle.metrics().cancelled, 1, "a real cancel was sent");
        let others = Trap::fill(&stalled.pool);
        assert_eq!(stalled.pool.statistics().in_use, 1 + others.len());
        let Stalled { mut runtime, pool, stall, mut scene, .. } = stalled;
        stall.end();
        runtime.settle("the copy ends");
        others.check();
        assert_eq!(runtime.handle.metrics().late, 1);
        assert_eq!(pool.statistics().in_use, 0, "memory of the pool leaks");
        Trap::fill(&pool).check();
        scene.strike(&mut runtime);
        runtime.end();
        assert_eq!(ouzel::leaked_operations(), 0);
        check_files(files);
    }
}

fn future_forgotten(kind: BackendKind) {
    for what in BOTH {
        let files = open_files();
        let Some(mut stalled) = Stalled::new(kind, what, LIMIT) else { return };
        std::mem::forget(stalled.filling.take());
        stalled.check();
        let Stalled { mut runtime, pool, stall, .. } = stalled;
        stall.end();
        runtime.settle("the copy ends");
        assert_eq!(pool.statistics().in_use, 1, "its result is kept for a future that might ask");
        Trap::fill(&pool).check();
        runtime.end();
        assert_eq!(ouzel::leaked_operations(), 0);
        check_files(files);
    }
}

/// The bound is over before the kernel lets go: its memory is leaked and counted, and nobody else ever gets it.
fn executor_dropped(kind: BackendKind) {
    let before = ouzel::leaked_operations();
    let Some(mut stalled) = Stalled::new(kind, What::GetXattr, Duration::from_millis(50)) else { return };
    stalled.check();
    let Stalled { runtime, pool, stall, filling, .. } = stalled;
    let Runtime { executor, watch, .. } = runtime;
    let begun = Instant::now();
    drop(executor);
    assert!(begun.elapsed() < LIMIT / 2, "the bound holds");
    drop(filling);
    assert_eq!(ouzel::leaked_operations() - before, 1, "it is counted");
    assert_eq!(pool.statistics().in_use, 1, "memory was given back with the kernel in the midst of a copy");
    assert_eq!(rights(stall.start), "rw-");
    let others = Trap::fill(&pool);
    stall.end();
    std::thread::sleep(Duration::from_millis(20));
    others.check();
    assert_eq!(watch.faults(), 0);
    assert_eq!(pool.statistics().in_use, 1, "it is nobody's for ever");
}
