//! What a ring takes and gives back. One test alone in its process, because it counts descriptors and mappings.
#![cfg(target_os = "linux")]

mod common;

use common::{open_rings, push, ring, ring_mappings, run};
use ouzel_uring::{Builder, Sqe};

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

    // Letting go as a forked child would: the descriptor is closed, the memory is left alone.
    let abandoned = Builder::new(8).build().expect("a ring");
    abandoned.abandon();
    assert_eq!(open_rings(), before.0);
    assert!(ring_mappings() > before.1);
}
