//! Opcodes on the ring itself and on time: polls, timeouts, cancels, messages, long entries.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use crate::common::{one, push, result, ring, ring_for, run};
use ouzel_uring::abi::{
    CancelFlags, CommandFlags, MsgRingFlags, Opcode, PollFlags, SetupFlags, TimeoutFlags, Timespec,
};
use ouzel_uring::{Builder, NewSlot, SetupError, Slot, Sqe, Sqe128, WideError};

const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;
const ETIME: i32 = -62;
const ECANCELED: i32 = -125;
const ENOENT: i32 = -2;

fn time(milliseconds: u64) -> Timespec {
    Timespec::relative(Duration::from_millis(milliseconds))
}

// covers: IORING_OP_POLL_ADD: completes when the pipe gets data, not before; multishot completes each time
#[test]
fn poll_add() {
    let Some(mut ring) = ring_for(Opcode::PollAdd) else { return };
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    push(&mut ring, Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::empty()).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    assert_eq!(ring.collect(), Ok(()));
    assert_eq!(ring.cq_ready(), 0);
    writer.write_all(b"x").expect("a write");
    assert_eq!(result(&run(&mut ring, 1), 1) as u32 & POLLIN, POLLIN);

    push(&mut ring, Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::ADD_MULTI).user_data(2));
    for _ in 0..3 {
        let done = run(&mut ring, 1);
        assert!(done[0].has_more() && done[0].res as u32 & POLLIN == POLLIN, "{done:?}");
        writer.write_all(b"x").expect("a write");
    }
}

// covers: IORING_OP_POLL_REMOVE: the poll is cancelled; as an update it waits for something else, under another name
#[test]
fn poll_remove() {
    let Some(mut ring) = ring_for(Opcode::PollRemove) else { return };
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let poll = Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::empty()).user_data(1);
    push(&mut ring, poll);
    push(&mut ring, Sqe::poll_remove(1).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 0));
    assert_eq!(one(&mut ring, Sqe::poll_remove(1)), ENOENT);

    // A full pipe's writing end is ready for nothing; told to wait for its reader's end, it wakes at that.
    push(&mut ring, Sqe::poll_add(reader.as_fd(), POLLOUT, PollFlags::empty()).user_data(3));
    push(&mut ring, Sqe::poll_update(3, Some(4), Some(POLLIN), PollFlags::empty()).user_data(5));
    assert_eq!(result(&run(&mut ring, 1), 5), 0);
    writer.write_all(b"x").expect("a write");
    assert_eq!(result(&run(&mut ring, 1), 4) as u32, POLLIN);
}

// covers: IORING_OP_TIMEOUT: the time has passed, or the completions were posted; multishot fires again
#[test]
fn timeout() {
    let Some(mut ring) = ring_for(Opcode::Timeout) else { return };
    let begin = Instant::now();
    let length = time(30);
    assert_eq!(one(&mut ring, Sqe::timeout(&length, 0, TimeoutFlags::empty())), ETIME);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    let long = time(60_000);
    push(&mut ring, Sqe::timeout(&long, 1, TimeoutFlags::empty()).user_data(1));
    push(&mut ring, Sqe::nop().user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (0, 0));
    let begin = Instant::now();
    let short = time(5);
    push(&mut ring, Sqe::timeout(&short, 2, TimeoutFlags::MULTISHOT).user_data(3));
    let done = run(&mut ring, 2);
    assert!(done.iter().all(|one| one.res == ETIME), "{done:?}");
    assert_eq!((done[0].has_more(), done[1].has_more()), (true, false));
    assert!(begin.elapsed() >= Duration::from_millis(10));
}

// covers: IORING_OP_TIMEOUT_REMOVE: the timeout is cancelled; as an update it ends at the new time
#[test]
fn timeout_remove() {
    let Some(mut ring) = ring_for(Opcode::TimeoutRemove) else { return };
    let long = time(60_000);
    push(&mut ring, Sqe::timeout(&long, 0, TimeoutFlags::empty()).user_data(1));
    push(&mut ring, Sqe::timeout_remove(1).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 0));
    let begin = Instant::now();
    let short = time(20);
    push(&mut ring, Sqe::timeout(&long, 0, TimeoutFlags::empty()).user_data(3));
    push(&mut ring, Sqe::timeout_update(3, &short, TimeoutFlags::empty()).user_data(4));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 3), result(&done, 4)), (ETIME, 0));
    assert!((Duration::from_millis(20)..Duration::from_secs(10)).contains(&begin.elapsed()));
}

// covers: IORING_OP_LINK_TIMEOUT: the entry before it is cancelled when the time is up, and spared if it is done
#[test]
fn link_timeout() {
    let Some(mut ring) = ring_for(Opcode::LinkTimeout) else { return };
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut buffer = [0_u8; 4];
    let begin = Instant::now();
    let limit = time(20);
    push(&mut ring, Sqe::read(reader.as_fd(), buffer.as_mut_ptr(), 4, 0).link().user_data(1));
    push(&mut ring, Sqe::link_timeout(&limit, TimeoutFlags::empty()).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, ETIME));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    writer.write_all(b"data").expect("a write");
    push(&mut ring, Sqe::read(reader.as_fd(), buffer.as_mut_ptr(), 4, 0).link().user_data(1));
    push(&mut ring, Sqe::link_timeout(&limit, TimeoutFlags::empty()).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2), &buffer), (4, ECANCELED, b"data"));
}

// covers: IORING_OP_ASYNC_CANCEL: what matches by user data, descriptor or opcode ends, and nothing else
#[test]
fn async_cancel() {
    let Some(mut ring) = ring_for(Opcode::AsyncCancel) else { return };
    let (first, _keep) = std::io::pipe().expect("a pipe");
    let (second, mut writer) = std::io::pipe().expect("a pipe");
    let poll = |end: &std::io::PipeReader| Sqe::poll_add(end.as_fd(), POLLIN, PollFlags::empty());
    push(&mut ring, poll(&first).user_data(1));
    push(&mut ring, poll(&first).user_data(2));
    push(&mut ring, poll(&second).user_data(3));
    push(&mut ring, Sqe::cancel(1, CancelFlags::empty()).user_data(9));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 9)), (ECANCELED, 0));
    push(&mut ring, Sqe::cancel_target(first.as_fd(), CancelFlags::ALL).user_data(9));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 2), result(&done, 9)), (ECANCELED, 1));
    match one(&mut ring, Sqe::cancel_opcode(Opcode::Timeout, CancelFlags::ALL)) {
        -22 => eprintln!("SKIPPED: no cancel by opcode before Linux 6.6"),
        none => assert!(none == 0 || none == ENOENT, "{none}"),
    }
    writer.write_all(b"x").expect("a write");
    assert_eq!(result(&run(&mut ring, 1), 3) as u32, POLLIN);
}

// covers: IORING_OP_MSG_RING: the other ring gets the completion, with our flags; a file of ours reads there
#[test]
fn msg_ring() {
    let Some(mut from) = ring_for(Opcode::MsgRing) else { return };
    let Some(mut to) = crate::common::ring_with_slots(8, 4) else { return };
    let target = std::os::fd::AsRawFd::as_raw_fd(&to.descriptor().expect("a descriptor"));
    push(&mut from, Sqe::msg_ring(target, 55, 66, MsgRingFlags::empty()).user_data(1));
    push(&mut from, Sqe::msg_ring(target, 7, 8, MsgRingFlags::empty()).message_flags(1 << 9).user_data(2));
    let sent = run(&mut from, 2);
    assert_eq!((result(&sent, 1), result(&sent, 2)), (0, 0));
    let arrived = run(&mut to, 2);
    assert_eq!((arrived[0].res, arrived[0].user_data, arrived[0].flags), (55, 66, 0));
    assert_eq!((arrived[1].res, arrived[1].user_data, arrived[1].flags), (7, 8, 1 << 9));

    let path = c"/proc/self/comm";
    assert_eq!(one(&mut from, Sqe::openat_direct(-100, path.as_ptr(), 0, 0, Slot(2))), 0);
    let message = Sqe::msg_ring_file(target, Slot(2), NewSlot::At(Slot(1)), 77, MsgRingFlags::empty());
    assert_eq!(one(&mut from, message), 0);
    assert_eq!(result(&run(&mut to, 1), 77), 0);
    let mut buffer = [0_u8; 64];
    let length = one(&mut to, Sqe::read(Slot(1), buffer.as_mut_ptr(), 64, 0));
    assert_eq!(
        &buffer[..length as usize],
        std::fs::read(c"/proc/self/comm".to_str().expect("a path")).expect("comm")
    );
}

/// A ring of mixed entries, or `None` before Linux 6.19.
fn mixed() -> Option<ouzel_uring::Ring> {
    match Builder::new(8).flags(SetupFlags::SQE_MIXED).build() {
        Ok(ring) => Some(ring),
        Err(SetupError::Invalid { .. }) => {
            eprintln!("SKIPPED: no entries of mixed sizes before Linux 6.19");
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

// cannot: IORING_OP_NOP128: not in Linux 6.18 (6.19); where it is, the test pushes around the queue's end; here it checks the refusal
#[test]
fn nop128() {
    let Some(mut narrow) = ring(4) else { return };
    // SAFETY: a no-op names no memory.
    assert_eq!(unsafe { narrow.push_wide(&Sqe128::nop128()) }, Err(WideError::NarrowRing));
    assert_eq!(one(&mut narrow, Sqe128::nop128().sqe), -22);
    let Some(mut ring) = mixed() else { return };
    for round in 0..20 {
        let mut entry = Sqe128::nop128();
        entry.sqe.user_data = round;
        // SAFETY: a no-op names no memory.
        unsafe { ring.push_wide(&entry) }.expect("room");
        push(&mut ring, Sqe::nop().user_data(1000 + round));
        let done = run(&mut ring, 2);
        assert_eq!((result(&done, round), result(&done, 1000 + round)), (0, 0));
    }
}

// cannot: IORING_OP_URING_CMD128: not in Linux 6.18 (6.19); where it is, the test asks a socket with it; here it checks the refusal
#[test]
fn uring_cmd128() {
    let Some(mut narrow) = ring(4) else { return };
    let (left, _right) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let entry = |number| Sqe128::uring_cmd128(left.as_fd(), number, &[0; 80], CommandFlags::empty());
    assert_eq!(one(&mut narrow, entry(0).sqe), -22);
    let Some(mut ring) = mixed() else { return };
    // SAFETY: the command names no memory.
    unsafe { ring.push_wide(&entry(1)) }.expect("room");
    assert_eq!(run(&mut ring, 1)[0].res, 0);
}
