//! Opcodes that wait for other parts of the system.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{one, push, result, ring_for, run};
use ouzel_uring::Sqe;
use ouzel_uring::abi::{FutexFlags, FutexWaitv, Opcode};
use rustix::event::epoll;

const EAGAIN: i32 = -11;
const ANY_BIT: u64 = u32::MAX as u64;

/// `struct epoll_event`, which is packed on x86_64.
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
#[derive(Clone, Copy, Default)]
struct EpollEvent {
    events: u32,
    data: u64,
}

fn epoll() -> OwnedFd {
    epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll")
}

// covers: IORING_OP_EPOLL_CTL: the epoll tells of the pipe from then on, and no more once it is removed
#[test]
fn epoll_ctl() {
    let Some(mut ring) = ring_for(Opcode::EpollCtl) else { return };
    const ADD: u32 = 1;
    const REMOVE: u32 = 2;
    let epoll = epoll();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"x").expect("a write");
    let ready = |epoll: &OwnedFd| {
        let mut events = Vec::with_capacity(4);
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&none)).expect("a wait");
        events.first().map(|event| event.data.u64())
    };
    assert_eq!(ready(&epoll), None);
    let event = EpollEvent { events: 1, data: 0xfeed };
    let place = (&raw const event).cast();
    let (set, fd) = (epoll.as_raw_fd(), reader.as_raw_fd());
    assert_eq!(one(&mut ring, Sqe::epoll_ctl(set, ADD, fd, place)), 0);
    assert_eq!(ready(&epoll), Some(0xfeed));
    assert_eq!(one(&mut ring, Sqe::epoll_ctl(set, ADD, fd, place)), -17);
    assert_eq!(one(&mut ring, Sqe::epoll_ctl(set, REMOVE, fd, std::ptr::null())), 0);
    assert_eq!(ready(&epoll), None);
}

// covers: IORING_OP_EPOLL_WAIT: completes when the pipe gets data, with its event
#[test]
fn epoll_wait() {
    let Some(mut ring) = ring_for(Opcode::EpollWait) else { return };
    let epoll = epoll();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    epoll::add(&epoll, &reader, epoll::EventData::new_u64(0xbeef), epoll::EventFlags::IN).expect("added");
    let mut events = [EpollEvent::default(); 2];
    let wait = Sqe::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr().cast(), 2);
    push(&mut ring, wait.user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    assert_eq!(ring.collect(), Ok(()));
    assert_eq!(ring.cq_ready(), 0);
    writer.write_all(b"x").expect("a write");
    assert_eq!(result(&run(&mut ring, 1), 1), 1);
    let EpollEvent { events: mask, data } = events[0];
    assert_eq!((mask, data), (1, 0xbeef));
}

// covers: IORING_OP_WAITID: completes when the child ends, and tells how
#[test]
fn waitid() {
    let Some(mut ring) = ring_for(Opcode::Waitid) else { return };
    const P_PID: u32 = 1;
    const EXITED: u32 = 4;
    let mut child = std::process::Command::new("sh")
        .args(["-c", "read line; exit 7"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a child");
    let mut information = [0_u32; 32];
    let place = information.as_mut_ptr().cast();
    push(&mut ring, Sqe::waitid(P_PID, child.id(), place, EXITED).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    assert_eq!(ring.collect(), Ok(()));
    assert_eq!(ring.cq_ready(), 0, "the child still waits");
    drop(child.stdin.take());
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    // si_signo, si_errno, si_code (CLD_EXITED), padding, si_pid, si_uid, si_status.
    assert_eq!((information[0], information[2], information[6]), (17, 1, 7));
    assert_eq!(information[4], child.id());
    // It is reaped: waiting again finds no child.
    assert_eq!(one(&mut ring, Sqe::waitid(P_PID, child.id(), place, EXITED)), -10);
    let _ = child.wait();
}

const PRIVATE: FutexFlags = FutexFlags::SIZE_U32.union(FutexFlags::PRIVATE);

/// Wakes one waiter as a thread would, however long that takes.
fn wake_from_a_thread(word: &'static AtomicU32) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        word.store(1, Ordering::SeqCst);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while std::time::Instant::now() < deadline {
            let flags = rustix::thread::futex::Flags::PRIVATE;
            if rustix::thread::futex::wake(word, flags, 1).expect("a wake-up") > 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("nobody waits");
    })
}

// covers: IORING_OP_FUTEX_WAIT: completes when another thread wakes the word; refused if it holds something else
#[test]
fn futex_wait() {
    let Some(mut ring) = ring_for(Opcode::FutexWait) else { return };
    static WORD: AtomicU32 = AtomicU32::new(0);
    let address = (&raw const WORD).cast();
    assert_eq!(one(&mut ring, Sqe::futex_wait(address, 5, ANY_BIT, PRIVATE)), EAGAIN);
    push(&mut ring, Sqe::futex_wait(address, 0, ANY_BIT, PRIVATE).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    let thread = wake_from_a_thread(&WORD);
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    assert_eq!(WORD.load(Ordering::SeqCst), 1);
    thread.join().expect("the thread");
}

// covers: IORING_OP_FUTEX_WAKE: a thread that waits at the word goes on
#[test]
fn futex_wake() {
    let Some(mut ring) = ring_for(Opcode::FutexWake) else { return };
    static WORD: AtomicU32 = AtomicU32::new(0);
    let thread = std::thread::spawn(|| {
        let limit = rustix::thread::futex::Timespec { tv_sec: 10, tv_nsec: 0 };
        rustix::thread::futex::wait(&WORD, rustix::thread::futex::Flags::PRIVATE, 0, Some(&limit))
    });
    let address = (&raw const WORD).cast();
    let deadline = std::time::Instant::now() + Duration::from_secs(9);
    while one(&mut ring, Sqe::futex_wake(address, 1, ANY_BIT, PRIVATE)) == 0 {
        assert!(std::time::Instant::now() < deadline, "the thread never waited");
        std::thread::yield_now();
    }
    assert_eq!(thread.join().expect("the thread"), Ok(()));
}

// covers: IORING_OP_FUTEX_WAITV: tells which of the words was woken
#[test]
fn futex_waitv() {
    let Some(mut ring) = ring_for(Opcode::FutexWaitv) else { return };
    static WORDS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    let waiters = [0, 1, 2].map(|index: usize| FutexWaitv {
        val: 0,
        uaddr: (&raw const WORDS[index]).expose_provenance() as u64,
        flags: PRIVATE.bits(),
        reserved: 0,
    });
    push(&mut ring, Sqe::futex_waitv(waiters.as_ptr(), 3).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    let thread = wake_from_a_thread(&WORDS[2]);
    assert_eq!(result(&run(&mut ring, 1), 1), 2);
    thread.join().expect("the thread");
}
