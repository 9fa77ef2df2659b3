//! What a ring takes and gives back. One test alone in its process, because it counts descriptors and mappings.
#![cfg(target_os = "linux")]

mod common;

use common::{open_rings, push, ring, ring_mappings, run};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use ouzel_uring::abi::{Iovec, PollFlags, SetupFlags};
use ouzel_uring::{Builder, SetupError, Sqe};

#[test]
fn rings_leave_nothing_behind() {
    if ring(4).is_none() {
        return;
    }
    let before = (open_rings(), ring_mappings());
    for _ in 0..200 {
        let Some(idle) = ring(64) else { return };
        let flags =
            rustix::io::fcntl_getfd(idle.descriptor().expect("a descriptor")).expect("descriptor flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        drop(idle);
        let Some(mut used) = ring(4) else { return };
        push(&mut used, Sqe::nop());
        run(&mut used, 1);
        // Entries that are never submitted are nobody's business.
        push(&mut used, Sqe::nop());
    }
    let two = Builder::new(8).two_mappings(true).build().expect("a ring with two mappings");
    assert_eq!((open_rings(), ring_mappings()), (before.0 + 1, before.1 + 3));
    drop(two);
    assert_eq!((open_rings(), ring_mappings()), before);

    soak();

    // Letting go as a forked child would: the descriptor is closed, the memory is left alone.
    let abandoned = Builder::new(8).build().expect("a ring");
    abandoned.abandon();
    assert_eq!(open_rings(), before.0);
    assert!(ring_mappings() > before.1);
}

/// Pages of this process: all, and those that are in memory.
fn pages() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
    (numbers.next().expect("all pages"), numbers.next().expect("pages in memory"))
}

/// Makes and drops rings of every kind, used and unused: 1,000, or as many as `OUZEL_SOAK_RINGS` says (see
/// ci/soak-rings). Descriptors, mappings and memory are the same afterwards, if not at once: the kernel lets go late.
fn soak() {
    let wanted = std::env::var("OUZEL_SOAK_RINGS").ok().and_then(|text| text.parse().ok());
    let wanted: u32 = wanted.unwrap_or(1000);
    let kinds = [
        Builder::new(8),
        Builder::new(256).completion_entries(1024),
        Builder::new(8).two_mappings(true),
        Builder::new(8).flags(SetupFlags::NO_SQARRAY | SetupFlags::SQE128 | SetupFlags::CQE32),
        Builder::new(8).flags(SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER),
        Builder::new(64).flags(SetupFlags::NO_MMAP),
    ];
    let memory = [0_u8; 4096];
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let life = |number: u32| {
        let builder = kinds[number as usize % kinds.len()];
        let mut made = match builder.build() {
            // Kinds that this kernel lacks.
            Err(SetupError::Invalid { .. }) => return,
            made => made,
        };
        // Rings that were dropped may still count against limits.
        let deadline = Instant::now() + common::PATIENCE;
        while made.is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            made = builder.build();
        }
        let mut ring = made.expect("a ring");
        match number % 4 {
            0 => {}
            1 => assert_eq!(common::one(&mut ring, Sqe::nop()), 0),
            2 => {
                // Dropped while something waits.
                let poll = Sqe::poll_add(reader.as_fd(), 1, PollFlags::empty());
                push(&mut ring, poll);
                assert_eq!(ring.submit(), Ok(1));
            }
            _ => {
                assert!(ring.register_buffers(&[Iovec::new(memory.as_ptr(), memory.len())]).is_ok());
                // SAFETY: this ring stays on this thread.
                let _ = unsafe { ring.register_ring_fd() };
            }
        }
    };
    (0..24).for_each(life);
    let before = (open_rings(), ring_mappings(), common::open_descriptors(), pages());
    (0..wanted).for_each(life);
    let counted = (open_rings(), ring_mappings(), common::open_descriptors());
    assert_eq!(counted, (before.0, before.1, before.2));
    // The allocator may keep a little.
    const SLACK: u64 = 256;
    let deadline = Instant::now() + common::PATIENCE;
    loop {
        let now = pages();
        if now.0 <= before.3.0 + SLACK && now.1 <= before.3.1 + SLACK {
            break;
        }
        assert!(Instant::now() < deadline, "pages before {:?}, now {now:?}", before.3);
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{wanted} rings came and went; pages before {:?}, now {:?}", before.3, pages());
}
