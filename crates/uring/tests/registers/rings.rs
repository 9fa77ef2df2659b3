//! The ring itself.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use crate::common::{
    Scratch, directories, isolated, one, open_rings, or_skip, push, result, ring, ring_with_slots, run,
};
use ouzel_uring::abi::{
    MsgRingFlags, Opcode, PollFlags, RegisterOpcode, SetupFlags, SqeFlags, TimeoutFlags, Timespec,
};
use ouzel_uring::{Builder, EnterError, RegisterCause, Ring, Rule, Sqe, post_message};
use rustix::event::{EventfdFlags, eventfd};

/// How often an eventfd was signalled since it was last asked.
fn signals(event: &impl std::os::fd::AsFd) -> u64 {
    let mut count = [0; 8];
    match rustix::io::read(event, &mut count) {
        Ok(_) => u64::from_ne_bytes(count),
        Err(_) => 0,
    }
}

fn silent_eventfd() -> std::os::fd::OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd")
}

/// A ring without deferred work, so that completions are posted as they come.
fn prompt_ring() -> Option<Ring> {
    Builder::new(8).build().map_err(|error| eprintln!("SKIPPED: no ring: {error}")).ok()
}

// covers: IORING_REGISTER_EVENTFD: it is signalled for every completion, unless it is to be silent
#[test]
fn eventfd_is_signalled() {
    let Some(mut ring) = prompt_ring() else { return };
    let event = silent_eventfd();
    assert_eq!(ring.register_eventfd(event.as_fd()), Ok(()));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(signals(&event), 1);
    assert!(ring.silence_eventfd(true));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(signals(&event), 0);
    assert!(ring.silence_eventfd(false));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(signals(&event), 1);
    let again = ring.register_eventfd(event.as_fd()).map_err(|error| error.cause);
    assert_eq!(again, Err(RegisterCause::AlreadyThere));
}

// covers: IORING_UNREGISTER_EVENTFD: it is signalled no more
#[test]
fn eventfd_is_left_alone() {
    let Some(mut ring) = prompt_ring() else { return };
    let event = silent_eventfd();
    assert_eq!(ring.register_eventfd(event.as_fd()), Ok(()));
    assert_eq!(ring.unregister_eventfd(), Ok(()));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(signals(&event), 0);
    assert_eq!(ring.unregister_eventfd().map_err(|error| error.cause), Err(RegisterCause::NotThere));
}

// covers: IORING_REGISTER_EVENTFD_ASYNC: a worker's completion signals it, one that came at once does not
#[test]
fn eventfd_async() {
    let Some(mut ring) = prompt_ring() else { return };
    let event = silent_eventfd();
    assert_eq!(ring.register_eventfd_async(event.as_fd()), Ok(()));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(signals(&event), 0);
    assert_eq!(one(&mut ring, Sqe::nop().asynchronous()), 0);
    let deadline = Instant::now() + crate::common::PATIENCE;
    while signals(&event) == 0 {
        assert!(Instant::now() < deadline, "never signalled");
        std::thread::yield_now();
    }
}

// covers: IORING_REGISTER_RESTRICTIONS: only what the rules allow runs, also of register operations
#[test]
fn restrictions() {
    let Ok(mut ring) = Builder::new(8).flags(SetupFlags::R_DISABLED).build() else {
        return eprintln!("SKIPPED: no disabled rings before Linux 5.10");
    };
    let rules = [
        Rule::Opcode(Opcode::Nop),
        Rule::Flags(SqeFlags::ASYNC),
        Rule::Register(RegisterOpcode::EnableRings),
        Rule::Register(RegisterOpcode::Probe),
    ];
    assert_eq!(ring.restrict(&rules), Ok(()));
    let again = ring.restrict(&rules).map_err(|error| error.cause);
    assert_eq!(again, Err(RegisterCause::AlreadyThere));
    assert_eq!(ring.enable(), Ok(()));
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    assert_eq!(one(&mut ring, Sqe::nop().asynchronous()), 0);
    assert_eq!(one(&mut ring, Sqe::nop().drain()), -13);
    assert_eq!(one(&mut ring, Sqe::close(-1)), -13);
    assert!(ring.probe().is_ok());
    let forbidden = ring.register_files_sparse(4).map_err(|error| error.cause);
    assert_eq!(forbidden, Err(RegisterCause::Restricted));
    let enabled = Builder::new(8).build().map(|mut ring| ring.restrict(&rules)).expect("a ring");
    assert_eq!(enabled.map_err(|error| error.cause), Err(RegisterCause::WrongState));
}

// covers: IORING_REGISTER_ENABLE_RINGS: entries run from then on, not before
#[test]
fn enable() {
    let Ok(mut ring) = Builder::new(8).flags(SetupFlags::R_DISABLED).build() else {
        return eprintln!("SKIPPED: no disabled rings before Linux 5.10");
    };
    push(&mut ring, Sqe::nop().user_data(1));
    assert_eq!(ring.submit(), Err(EnterError::RingDisabled));
    assert_eq!(ring.enable(), Ok(()));
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    assert_eq!(ring.enable().map_err(|error| error.cause), Err(RegisterCause::WrongState));
}

// covers: IORING_REGISTER_RING_FDS: the ring works by its index alone, after its descriptor was closed
#[test]
fn ring_fds() {
    // Elsewhere the number would soon be that of another test's ring.
    isolated("rings::ring_fds", || {
        let Some(mut ring) = ring(8) else { return };
        // SAFETY: this ring stays on this thread.
        let Some(()) = or_skip("registering the ring", unsafe { ring.register_ring_fd() }) else { return };
        if !ring.features().contains(ouzel_uring::abi::Features::REG_REG_RING) {
            return eprintln!("SKIPPED: nothing can be registered by index before Linux 6.3");
        }
        assert_eq!(open_rings(), 1);
        // SAFETY: as above.
        assert!(unsafe { ring.close_descriptor() });
        assert!(ring.descriptor().is_none());
        assert_eq!(open_rings(), 0);
        assert_eq!(one(&mut ring, Sqe::nop()), 0);
        assert!(ring.probe().is_ok());
    });
}

// covers: IORING_UNREGISTER_RING_FDS: the index is free again: a thread's sixteen places never run out
#[test]
fn unregister_ring_fds() {
    let Some(mut ring) = ring(8) else { return };
    for _ in 0..40 {
        // SAFETY: this ring stays on this thread.
        let Some(()) = or_skip("registering the ring", unsafe { ring.register_ring_fd() }) else { return };
        assert_eq!(one(&mut ring, Sqe::nop()), 0);
        assert_eq!(ring.unregister_ring_fd(), Ok(()));
        assert_eq!(one(&mut ring, Sqe::nop()), 0);
    }
}

// covers: IORING_REGISTER_SEND_MSG_RING: the completion arrives without a ring of the sender's
#[test]
fn message_without_a_ring() {
    let Some(mut ring) = prompt_ring() else { return };
    let fd = ring.descriptor().expect("a descriptor").as_raw_fd();
    // SAFETY: the descriptor stays open as long as the ring.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let sent = post_message(fd, 12, 34, MsgRingFlags::empty());
    if sent.map_err(|error| error.cause) == Err(RegisterCause::Invalid) {
        return eprintln!("SKIPPED: no messages without a ring before Linux 6.13");
    }
    assert_eq!(sent, Ok(()));
    assert_eq!(result(&run(&mut ring, 1), 34), 12);
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let wrong = post_message(reader.as_fd(), 1, 2, MsgRingFlags::empty()).map_err(|error| error.cause);
    assert_eq!(wrong, Err(RegisterCause::WrongState), "a pipe is no ring");
}

// covers: IORING_REGISTER_RESIZE_RINGS: the queues have the new size, and what was pushed, running and unread is kept
#[test]
fn resize() {
    let flags = SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER;
    for flags in [flags, flags | SetupFlags::NO_SQARRAY] {
        let Ok(mut ring) = Builder::new(4).flags(flags).build() else {
            return eprintln!("SKIPPED: no DEFER_TASKRUN before Linux 6.1");
        };
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        push(&mut ring, Sqe::poll_add(reader.as_fd(), 1, PollFlags::empty()).user_data(100));
        for number in 0..3 {
            push(&mut ring, Sqe::nop().user_data(number));
        }
        assert_eq!(ring.submit_and_wait(3, None), Ok(4));
        push(&mut ring, Sqe::nop().user_data(50));
        push(&mut ring, Sqe::nop().user_data(51));
        let resized = ring.resize(64, 256);
        if resized.map_err(|error| error.cause) == Err(RegisterCause::Invalid) {
            return eprintln!("SKIPPED: no resizing before Linux 6.13");
        }
        assert_eq!(resized, Ok(()));
        assert_eq!((ring.sq_entries(), ring.cq_entries()), (64, 256));
        assert_eq!((ring.sq_pending(), ring.cq_ready()), (2, 3));
        let unread: Vec<u64> = ring.completions().map(|one| one.user_data).collect();
        assert_eq!(unread, [0, 1, 2]);
        let done = run(&mut ring, 2);
        assert_eq!((result(&done, 50), result(&done, 51)), (0, 0));
        std::io::Write::write_all(&mut writer, b"x").expect("a write");
        assert_eq!(result(&run(&mut ring, 1), 100), 1);
        for _ in 0..5 {
            for number in 0..60 {
                push(&mut ring, Sqe::nop().user_data(number));
            }
            assert_eq!(run(&mut ring, 60).len(), 60);
        }
        // Smaller again, but not too small for what is in it.
        for number in 0..20 {
            push(&mut ring, Sqe::nop().user_data(number));
        }
        assert_eq!(ring.resize(8, 16).map_err(|error| error.cause), Err(RegisterCause::Overflow));
        assert_eq!(run(&mut ring, 20).len(), 20);
        assert_eq!(ring.resize(8, 0), Ok(()));
        assert_eq!((ring.sq_entries(), ring.cq_entries()), (8, 16));
        assert_eq!(one(&mut ring, Sqe::nop()), 0);
    }
    let Some(mut plain) = prompt_ring() else { return };
    assert_eq!(plain.resize(16, 32).map_err(|error| error.cause), Err(RegisterCause::Invalid));
    assert_eq!(one(&mut plain, Sqe::nop()), 0);
}

// covers: IORING_REGISTER_MEM_REGION: waits by number end at the time that was written there
#[test]
fn registered_waits() {
    let Ok(mut ring) = Builder::new(8).flags(SetupFlags::R_DISABLED).build() else {
        return eprintln!("SKIPPED: no disabled rings before Linux 5.10");
    };
    let Some(()) = or_skip("registered waits", ring.register_waits(4)) else { return };
    assert_eq!(ring.enable(), Ok(()));
    assert_eq!(ring.set_registered_wait(3, Some(Duration::from_millis(25)), None), Ok(()));
    let beyond = ring.set_registered_wait(1 << 20, None, None);
    assert_eq!(beyond, Err(EnterError::NoSuchWait { index: 1 << 20 }));
    let begin = Instant::now();
    assert_eq!(ring.submit_and_wait_registered(1, 3), Err(EnterError::TimedOut));
    assert!((Duration::from_millis(25)..Duration::from_secs(20)).contains(&begin.elapsed()));
    push(&mut ring, Sqe::nop().user_data(4));
    assert_eq!(ring.submit_and_wait_registered(1, 3), Ok(1));
    assert_eq!(result(&run(&mut ring, 1), 4), 0);
    assert_eq!(ring.submit_and_wait_registered(1, u32::MAX), Err(EnterError::NoSuchWait { index: u32::MAX }));
    let Some(mut enabled) = prompt_ring() else { return };
    assert_eq!(enabled.register_waits(1).map_err(|error| error.cause), Err(RegisterCause::Invalid));
}

// covers: IORING_REGISTER_CLOCK: waits until a point in time go by that clock
#[test]
fn clock() {
    use ouzel_uring::{Clock, Timeout};
    let Some(mut ring) = ring(8) else { return };
    let Some(()) = or_skip("a clock", ring.register_clock(Clock::Boottime)) else { return };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let until = Timespec {
        tv_sec: now.tv_sec + i64::from(now.tv_nsec >= 970_000_000),
        tv_nsec: (now.tv_nsec + 30_000_000) % 1_000_000_000,
    };
    let begin = Instant::now();
    assert_eq!(ring.submit_and_wait(1, Some(Timeout::At(until))), Err(EnterError::TimedOut));
    assert!((Duration::from_millis(29)..Duration::from_secs(20)).contains(&begin.elapsed()));
    // A clock that stands for no time at all is refused.
    let wrong = ouzel_uring::abi::ClockRegister { clockid: 99, ..Default::default() };
    // SAFETY: this operation takes one ClockRegister and a count of 0.
    let refused = unsafe { ring.register_raw(RegisterOpcode::Clock as u32, (&raw const wrong).cast(), 0) };
    assert_eq!(refused, Err(22));
    assert_eq!(ring.register_clock(Clock::Monotonic), Ok(()));
}

// covers: IORING_REGISTER_PERSONALITY: an entry runs with the credentials of then, not with those of now
#[test]
fn personality() {
    let scratch = Scratch::new(&directories()[0]);
    std::fs::write(scratch.0.join("secret"), b"secret").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(scratch.0.join("secret"), mode).expect("its mode");
    let path = scratch.path("secret");
    as_nobody(move |become_nobody| {
        let Some(mut ring) = ring_with_slots(8, 2) else { return };
        let Some(administrator) = or_skip("credentials", ring.register_personality()) else { return };
        if !become_nobody() {
            return;
        }
        let open = Sqe::openat_direct(-100, path.as_ptr(), 0, 0, ouzel_uring::Slot(0));
        assert_eq!(one(&mut ring, open), -13);
        assert_eq!(one(&mut ring, open.personality(administrator)), 0);
        assert_eq!(one(&mut ring, open.personality(administrator + 7)), -22);
    });
}

// covers: IORING_UNREGISTER_PERSONALITY: entries with those credentials are refused
#[test]
fn unregister_personality() {
    let Some(mut ring) = ring(8) else { return };
    let Some(number) = or_skip("credentials", ring.register_personality()) else { return };
    assert_eq!(one(&mut ring, Sqe::nop().personality(number)), 0);
    assert_eq!(ring.unregister_personality(number), Ok(()));
    assert_eq!(one(&mut ring, Sqe::nop().personality(number)), -22);
    let again = ring.unregister_personality(number).map_err(|error| error.cause);
    assert_eq!(again, Err(RegisterCause::Invalid));
}

/// Runs something on a thread of its own that may give up its privileges.
fn as_nobody(body: impl FnOnce(&dyn Fn() -> bool) + Send + 'static) {
    let become_nobody = || {
        let nobody = rustix::thread::Uid::from_raw(65_534);
        let done = rustix::thread::set_thread_res_uid(nobody, nobody, nobody);
        if let Err(error) = done {
            eprintln!("SKIPPED: cannot become another user: {error}");
        }
        done.is_ok()
    };
    std::thread::spawn(move || body(&become_nobody)).join().expect("the thread");
}

// A timeout that nobody waits for must not keep a ring from going; here to use what the others import.
#[test]
fn a_ring_with_a_timeout_goes_at_once() {
    let Some(mut ring) = ring(8) else { return };
    let long = Timespec::relative(Duration::from_secs(600));
    push(&mut ring, Sqe::timeout(&long, 0, TimeoutFlags::empty()));
    assert_eq!(ring.submit(), Ok(1));
    let begin = Instant::now();
    let closed = ring.close(Duration::from_secs(60));
    assert_eq!((closed.unfinished, closed.discarded), (0, 1));
    assert!(begin.elapsed() < Duration::from_secs(30));
}
