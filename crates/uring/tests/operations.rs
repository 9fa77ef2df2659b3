//! Entries at work: files, links, timeouts, cancels, polls and sockets.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use common::{PATIENCE, Scratch, directories, or_skip, push, result, ring, run};
use ouzel_uring::abi::{
    AT_FDCWD, CancelFlags, Cqe, FixedFdFlags, FsyncFlags, Opcode, OpenHow, PollFlags, TimeoutFlags, Timespec,
};
use ouzel_uring::{CancelKey, NewSlot, RegisterCause, Ring, Slot, SlotUpdate, Sqe, Timeout};
use rustix::fs::OFlags;

const ENOENT: i32 = -2;
const EBADF: i32 = -9;
const ETIME: i32 = -62;
const ECANCELED: i32 = -125;
const POLLIN: u32 = 1;

fn ring_with_slots(entries: u32, slots: u32) -> Option<Ring> {
    let mut ring = ring(entries)?;
    or_skip("a table of slots", ring.register_files_sparse(slots))?;
    Some(ring)
}

fn supported(ring: &Ring, opcode: Opcode) -> bool {
    let supported = ring.probe().is_ok_and(|probe| probe.supports(opcode));
    if !supported {
        eprintln!("SKIPPED: this kernel has no {opcode}");
    }
    supported
}

#[test]
fn a_probe_tells_what_the_kernel_runs() {
    let Some(ring) = ring(4) else { return };
    let Some(probe) = or_skip("probe", ring.probe()) else { return };
    for opcode in [Opcode::Nop, Opcode::Read, Opcode::Openat, Opcode::AsyncCancel] {
        assert!(probe.supports(opcode), "{opcode}");
    }
    assert!(probe.last_number() >= Opcode::Read as u8);
    assert!(!probe.supports_number(255));
    for number in probe.last_number().saturating_add(1)..=u8::MAX {
        assert!(!probe.supports_number(number));
    }
}

#[test]
fn open_read_close_is_one_crossing() {
    for directory in directories() {
        let Some(mut ring) = ring_with_slots(8, 4) else { return };
        let scratch = Scratch::new(&directory);
        std::fs::write(scratch.0.join("file"), b"hello, ring").expect("a file");
        let path = scratch.path("file");
        for _ in 0..50 {
            let mut buffer = [0_u8; 11];
            let before = ring.enters();
            let slot = Slot(2);
            push(&mut ring, Sqe::openat_direct(AT_FDCWD, path.as_ptr(), 0, 0, slot).link().user_data(1));
            push(&mut ring, Sqe::read(slot, buffer.as_mut_ptr(), 11, 0).link().user_data(2));
            push(&mut ring, Sqe::close_direct(slot).user_data(3));
            assert_eq!(ring.submit_and_wait(3, None), Ok(3));
            assert_eq!(ring.enters() - before, 1);
            let done: Vec<Cqe> = ring.completions().collect();
            assert_eq!(done.iter().map(|one| one.user_data).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!((result(&done, 1), result(&done, 2), result(&done, 3)), (0, 11, 0));
            assert_eq!(&buffer, b"hello, ring");
        }
        // The slot is empty again.
        push(&mut ring, Sqe::close_direct(Slot(2)).user_data(4));
        assert_eq!(result(&run(&mut ring, 1), 4), EBADF);
    }
}

#[test]
fn a_short_read_breaks_a_link_but_not_a_hardlink() {
    for directory in directories() {
        let Some(mut ring) = ring(8) else { return };
        let scratch = Scratch::new(&directory);
        std::fs::write(scratch.0.join("file"), [7; 100]).expect("a file");
        let file = std::fs::File::open(scratch.0.join("file")).expect("the file");
        let mut buffer = vec![0_u8; 4096];
        for (hard, after) in [(false, ECANCELED), (true, 0)] {
            let read = Sqe::read(file.as_fd(), buffer.as_mut_ptr(), 4096, 0).user_data(1);
            push(&mut ring, if hard { read.hardlink() } else { read.link() });
            push(&mut ring, Sqe::nop().user_data(2));
            let done = run(&mut ring, 2);
            assert_eq!((result(&done, 1), result(&done, 2)), (100, after), "hard: {hard}");
        }
        assert_eq!(buffer[..100], [7; 100]);
        // A read in full breaks neither.
        push(&mut ring, Sqe::read(file.as_fd(), buffer.as_mut_ptr(), 100, 0).link().user_data(1));
        push(&mut ring, Sqe::nop().user_data(2));
        let done = run(&mut ring, 2);
        assert_eq!((result(&done, 1), result(&done, 2)), (100, 0));
    }
}

#[test]
fn files_and_directories_are_made_changed_and_removed() {
    for directory in directories() {
        let Some(mut ring) = ring(16) else { return };
        let scratch = Scratch::new(&directory);
        let mut one = |entry: Sqe| {
            push(&mut ring, entry.user_data(1));
            result(&run(&mut ring, 1), 1)
        };
        let [folder, first, second, soft, hard] =
            ["folder", "folder/first", "folder/second", "folder/soft", "folder/hard"]
                .map(|name| scratch.path(name));
        assert_eq!(one(Sqe::mkdirat(AT_FDCWD, folder.as_ptr(), 0o755)), 0);
        let flags = (OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC).bits();
        let fd = one(Sqe::openat(AT_FDCWD, first.as_ptr(), flags, 0o600));
        assert!(fd >= 0, "{fd}");
        assert_eq!(one(Sqe::write(fd, b"0123456789".as_ptr(), 10, 0)), 10);
        let mut parts = *b"abcdef";
        let (left, right) = parts.split_at_mut(3);
        let vectors = [std::io::IoSlice::new(left), std::io::IoSlice::new(right)];
        assert_eq!(one(Sqe::writev(fd, vectors.as_ptr().cast(), 2, 10, 0)), 6);
        let mut back = [0_u8; 16];
        let mut vectors = [std::io::IoSliceMut::new(&mut back)];
        assert_eq!(one(Sqe::readv(fd, vectors.as_mut_ptr().cast_const().cast(), 1, 0, 0)), 16);
        assert_eq!(&back, b"0123456789abcdef");
        assert_eq!(one(Sqe::fsync(fd, FsyncFlags::DATASYNC)), 0);
        assert_eq!(one(Sqe::sync_file_range(fd, 0, 0, 2)), 0);
        assert_eq!(one(Sqe::fadvise(fd, 0, 0, 4)), 0);
        assert_eq!(one(Sqe::fallocate(fd, 0, 0, 8192)), 0);
        let mut stat = [0_u64; 32];
        let result = stat.as_mut_ptr().cast();
        assert_eq!(one(Sqe::statx(AT_FDCWD, first.as_ptr(), 0, 0x7ff, result)), 0);
        assert_eq!(stat[5], 8192, "stx_size");
        assert_eq!(one(Sqe::close(fd)), 0);
        assert_eq!(one(Sqe::renameat(AT_FDCWD, first.as_ptr(), AT_FDCWD, second.as_ptr(), 0)), 0);
        assert_eq!(one(Sqe::linkat(AT_FDCWD, second.as_ptr(), AT_FDCWD, hard.as_ptr(), 0)), 0);
        assert_eq!(one(Sqe::symlinkat(c"second".as_ptr(), AT_FDCWD, soft.as_ptr())), 0);
        assert_eq!(
            std::fs::read_link(scratch.0.join("folder/soft")).expect("a link").to_str(),
            Some("second")
        );
        let how = OpenHow { flags: OFlags::RDONLY.bits().into(), mode: 0, resolve: 0 };
        let fd = one(Sqe::openat2(AT_FDCWD, soft.as_ptr(), &how));
        assert!(fd >= 0, "{fd}");
        assert_eq!(one(Sqe::close(fd)), 0);
        for path in [&second, &hard, &soft] {
            assert_eq!(one(Sqe::unlinkat(AT_FDCWD, path.as_ptr(), 0)), 0);
        }
        const AT_REMOVEDIR: u32 = 0x200;
        assert_eq!(one(Sqe::unlinkat(AT_FDCWD, folder.as_ptr(), AT_REMOVEDIR)), 0);
        assert_eq!(one(Sqe::openat(AT_FDCWD, second.as_ptr(), 0, 0)), ENOENT);
    }
}

#[test]
fn a_file_is_truncated() {
    for directory in directories() {
        let Some(mut ring) = ring(4) else { return };
        if !supported(&ring, Opcode::Ftruncate) {
            return;
        }
        let scratch = Scratch::new(&directory);
        let file = std::fs::File::create(scratch.0.join("file")).expect("a file");
        push(&mut ring, Sqe::ftruncate(file.as_fd(), 777).user_data(1));
        assert_eq!(result(&run(&mut ring, 1), 1), 0);
        assert_eq!(file.metadata().expect("its metadata").len(), 777);
    }
}

#[test]
fn slots_are_split_updated_and_installed() {
    let Some(mut ring) = ring_with_slots(8, 8) else { return };
    assert_eq!(ring.register_files_sparse(8).map_err(|error| error.cause), Err(RegisterCause::AlreadyThere));
    if or_skip("a range to allocate from", ring.register_file_alloc_range(Slot(6), 2)).is_none() {
        return;
    }
    let open = |slot: NewSlot| Sqe::openat_direct(AT_FDCWD, c"/dev/null".as_ptr(), 2, 0, slot).user_data(1);
    for expected in [6, 7] {
        push(&mut ring, open(NewSlot::Allocate));
        assert_eq!(result(&run(&mut ring, 1), 1), expected);
    }
    const ENFILE: i32 = -23;
    push(&mut ring, open(NewSlot::Allocate));
    assert_eq!(result(&run(&mut ring, 1), 1), ENFILE);
    push(&mut ring, open(Slot(0).into()));
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    // One no table can have is refused, not taken for something else.
    push(&mut ring, open(Slot(u32::MAX).into()));
    assert_eq!(result(&run(&mut ring, 1), 1), -22);

    let (reader, writer) = std::io::pipe().expect("a pipe");
    let updates = [SlotUpdate::file(reader.as_fd()), SlotUpdate::KEEP, SlotUpdate::file(writer.as_fd())];
    assert_eq!(ring.files_update(Slot(1), &updates), Ok(3));
    drop((reader, writer));
    let mut buffer = [0_u8; 4];
    push(&mut ring, Sqe::write(Slot(3), b"slot".as_ptr(), 4, u64::MAX).link().user_data(1));
    push(&mut ring, Sqe::read(Slot(1), buffer.as_mut_ptr(), 4, u64::MAX).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2), &buffer), (4, 4, b"slot"));

    if supported(&ring, Opcode::FixedFdInstall) {
        push(&mut ring, Sqe::fixed_fd_install(Slot(3), FixedFdFlags::empty()).user_data(1));
        let number = result(&run(&mut ring, 1), 1);
        assert!(number >= 0, "{number}");
        // SAFETY: the kernel has just made this descriptor for us.
        let mut writer = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(number) });
        let flags = rustix::io::fcntl_getfd(writer.as_fd()).expect("descriptor flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        writer.write_all(b"more").expect("a write");
        push(&mut ring, Sqe::read(Slot(1), buffer.as_mut_ptr(), 4, u64::MAX).user_data(2));
        assert_eq!((result(&run(&mut ring, 1), 2), &buffer), (4, b"more"));
    }
    assert_eq!(ring.files_update(Slot(1), &[SlotUpdate::EMPTY]), Ok(1));
    push(&mut ring, Sqe::read(Slot(1), buffer.as_mut_ptr(), 4, u64::MAX).user_data(2));
    assert_eq!(result(&run(&mut ring, 1), 2), EBADF);
    assert_eq!(ring.unregister_files(), Ok(()));
    assert_eq!(ring.unregister_files().map_err(|error| error.errno()), Err(6));
}

#[test]
fn pipes_and_splices() {
    let Some(mut ring) = ring_with_slots(8, 8) else { return };
    if supported(&ring, Opcode::Pipe) {
        let mut ends = [0_i32; 2];
        push(&mut ring, Sqe::pipe_direct(&mut ends, 0, Slot(4)).link().user_data(1));
        push(&mut ring, Sqe::write(Slot(5), b"pipe".as_ptr(), 4, u64::MAX).link().user_data(2));
        let mut buffer = [0_u8; 4];
        push(&mut ring, Sqe::read(Slot(4), buffer.as_mut_ptr(), 4, u64::MAX).user_data(3));
        let done = run(&mut ring, 3);
        assert_eq!((result(&done, 1), result(&done, 2), result(&done, 3)), (0, 4, 4));
        assert_eq!(&buffer, b"pipe");
    }
    let scratch = Scratch::new(&directories()[0]);
    std::fs::write(scratch.0.join("file"), b"0123456789").expect("a file");
    let file = std::fs::File::open(scratch.0.join("file")).expect("the file");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    assert_eq!(ring.files_update(Slot(0), &[SlotUpdate::file(file.as_fd())]), Ok(1));
    push(&mut ring, Sqe::splice(Slot(0), Some(2), writer.as_fd(), None, 5, 0).user_data(1));
    assert_eq!(result(&run(&mut ring, 1), 1), 5);
    push(&mut ring, Sqe::splice(file.as_fd(), Some(7), writer.as_fd(), None, 3, 0).user_data(1));
    assert_eq!(result(&run(&mut ring, 1), 1), 3);
    let mut buffer = [0_u8; 8];
    reader.read_exact(&mut buffer).expect("what was spliced");
    assert_eq!(&buffer, b"23456789");
}

#[test]
fn timeouts_fire_and_are_removed() {
    let Some(mut ring) = ring(8) else { return };
    let (short, long) =
        (Timespec::relative(Duration::from_millis(20)), Timespec::relative(Duration::from_secs(3600)));
    let begin = Instant::now();
    push(&mut ring, Sqe::timeout(&short, 0, TimeoutFlags::empty()).user_data(1));
    assert_eq!(result(&run(&mut ring, 1), 1), ETIME);
    assert!(begin.elapsed() >= Duration::from_millis(20));

    push(&mut ring, Sqe::timeout(&long, 0, TimeoutFlags::empty()).user_data(1));
    push(&mut ring, Sqe::timeout_remove(1).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 0));

    // A link timeout ends what it is linked to, and is ended by it.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut buffer = [0_u8; 1];
    let read = Sqe::read(reader.as_fd(), buffer.as_mut_ptr(), 1, u64::MAX).link().user_data(1);
    push(&mut ring, read);
    push(&mut ring, Sqe::link_timeout(&short, TimeoutFlags::empty()).user_data(2));
    let done = run(&mut ring, 2);
    assert!([ECANCELED, -4].contains(&result(&done, 1)), "{done:?}");
    assert_eq!(result(&done, 2), ETIME);
    writer.write_all(b"x").expect("a write");
    push(&mut ring, read);
    push(&mut ring, Sqe::link_timeout(&long, TimeoutFlags::empty()).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (1, ECANCELED));
}

#[test]
fn what_waits_can_be_cancelled() {
    let Some(mut ring) = ring_with_slots(8, 2) else { return };
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    assert_eq!(ring.files_update(Slot(1), &[SlotUpdate::file(reader.as_fd())]), Ok(1));
    let poll = || Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::empty());

    push(&mut ring, poll().user_data(1));
    push(&mut ring, Sqe::cancel(1, CancelFlags::empty()).user_data(2));
    push(&mut ring, Sqe::cancel(99, CancelFlags::empty()).user_data(3));
    let done = run(&mut ring, 3);
    assert_eq!((result(&done, 1), result(&done, 2), result(&done, 3)), (ECANCELED, 0, ENOENT));

    push(&mut ring, poll().user_data(1));
    push(&mut ring, poll().user_data(1));
    push(&mut ring, Sqe::cancel(1, CancelFlags::ALL).user_data(2));
    let done = run(&mut ring, 3);
    assert_eq!(result(&done, 2), 2);
    assert_eq!(done.iter().filter(|one| one.user_data == 1 && one.res == ECANCELED).count(), 2);

    push(&mut ring, poll().user_data(1));
    push(&mut ring, Sqe::cancel_target(reader.as_fd(), CancelFlags::ALL).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 1));

    push(&mut ring, Sqe::poll_add(Slot(1), POLLIN, PollFlags::empty()).user_data(1));
    push(&mut ring, Sqe::cancel_target(Slot(1), CancelFlags::empty()).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 0));

    push(&mut ring, poll().user_data(1));
    push(&mut ring, Sqe::cancel(0, CancelFlags::ANY | CancelFlags::ALL).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (ECANCELED, 1));

    push(&mut ring, poll().user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    let limit = Some(PATIENCE);
    match ring.sync_cancel(CancelKey::UserData(1), false, limit) {
        Err(error) if error.cause == RegisterCause::Invalid => eprintln!("SKIPPED: {error}"),
        outcome => {
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_eq!(result(&run(&mut ring, 1), 1), ECANCELED);
            let nothing = ring.sync_cancel(CancelKey::UserData(1), false, limit);
            assert_eq!(nothing.map_err(|error| error.cause), Err(RegisterCause::NoMatch));
            assert_eq!(ring.sync_cancel(CancelKey::Any, true, limit), Ok(0));
        }
    }
}

#[test]
fn polls_report_once_or_again_and_again() {
    let Some(mut ring) = ring(8) else { return };
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    push(&mut ring, Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::empty()).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    assert!(ring.next_completion().is_none());
    writer.write_all(b"x").expect("a write");
    let done = run(&mut ring, 1);
    assert_eq!((result(&done, 1) as u32 & POLLIN, done[0].has_more()), (POLLIN, false));
    let mut byte = [0];
    reader.read_exact(&mut byte).expect("the byte");

    push(&mut ring, Sqe::poll_add(reader.as_fd(), POLLIN, PollFlags::ADD_MULTI).user_data(2));
    for _ in 0..3 {
        assert_eq!(ring.submit().map(|_| ()), Ok(()));
        writer.write_all(b"y").expect("a write");
        let done = run(&mut ring, 1);
        assert_eq!((result(&done, 2) as u32 & POLLIN, done[0].has_more()), (POLLIN, true));
        reader.read_exact(&mut byte).expect("the byte");
    }
    push(&mut ring, Sqe::poll_remove(2).user_data(3));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 2), result(&done, 3)), (ECANCELED, 0));
    assert!(done.iter().all(|one| !one.has_more()));
}

#[test]
fn a_multishot_accept_accepts_until_cancelled() {
    for direct in [false, true] {
        let Some(mut ring) = ring_with_slots(16, 8) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        push(
            &mut ring,
            if direct {
                Sqe::accept_multishot_direct(listener.as_fd(), 0)
            } else {
                Sqe::accept_multishot(listener.as_fd(), 0)
            }
            .user_data(1),
        );
        assert_eq!(ring.submit(), Ok(1));
        for round in 0..3_u8 {
            let mut client = TcpStream::connect(address).expect("a connection");
            let done = run(&mut ring, 1);
            let number = result(&done, 1);
            if number == -22 {
                return eprintln!("SKIPPED: this kernel has no multishot accept");
            }
            assert!(number >= 0 && done[0].has_more(), "{done:?}");
            client.write_all(&[round; 3]).expect("a write");
            let mut buffer = [0_u8; 3];
            const MSG_WAITALL: u32 = 0x100;
            let target = if direct { Slot(number as u32).into() } else { ouzel_uring::Target::Fd(number) };
            let received = Sqe::recv(target, buffer.as_mut_ptr(), 3, MSG_WAITALL).user_data(2);
            push(&mut ring, received);
            assert_eq!((result(&run(&mut ring, 1), 2), buffer), (3, [round; 3]));
            let close =
                if direct { Sqe::close_direct(Slot(number as u32)) } else { Sqe::close(number) }.user_data(3);
            push(&mut ring, close);
            assert_eq!(result(&run(&mut ring, 1), 3), 0);
        }
        push(&mut ring, Sqe::cancel(1, CancelFlags::empty()).user_data(4));
        let done = run(&mut ring, 2);
        assert_eq!((result(&done, 1), result(&done, 4)), (ECANCELED, 0));
        assert!(done.iter().all(|one| !one.has_more()));
    }
}

#[test]
fn a_conversation_wholly_in_entries() {
    const AF_INET: u32 = 2;
    const SOCK_STREAM: u32 = 1;
    const SOCK_CLOEXEC: u32 = 0o2_000_000;
    let Some(mut ring) = ring_with_slots(16, 8) else { return };
    if !supported(&ring, Opcode::Bind) || !supported(&ring, Opcode::Socket) {
        return;
    }
    // A struct sockaddr_in: family, port, address, padding.
    let mut local = [0_u8; 16];
    local[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    local[4..8].copy_from_slice(&[127, 0, 0, 1]);
    push(&mut ring, Sqe::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0).user_data(1));
    let number = result(&run(&mut ring, 1), 1);
    assert!(number >= 0, "{number}");
    // SAFETY: the kernel has just made this descriptor for us.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(number) });
    push(&mut ring, Sqe::bind(listener.as_fd(), local.as_ptr().cast(), 16).link().user_data(1));
    push(&mut ring, Sqe::listen(listener.as_fd(), 4).user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!((result(&done, 1), result(&done, 2)), (0, 0));
    local[2..4].copy_from_slice(&listener.local_addr().expect("its address").port().to_be_bytes());

    let (mut peer, mut length) = ([0_u8; 16], 16_u32);
    let accept = Sqe::accept_direct(listener.as_fd(), peer.as_mut_ptr().cast(), &mut length, 0, Slot(1));
    push(&mut ring, accept.user_data(1));
    push(&mut ring, Sqe::socket_direct(AF_INET, SOCK_STREAM, 0, Slot(2)).link().user_data(2));
    push(&mut ring, Sqe::connect(Slot(2), local.as_ptr().cast(), 16).link().user_data(3));
    push(&mut ring, Sqe::send(Slot(2), b"hello".as_ptr(), 5, 0).link().user_data(4));
    push(&mut ring, Sqe::shutdown(Slot(2), Shutdown::Write as u32).user_data(5));
    let done = run(&mut ring, 5);
    for (user_data, expected) in [(1, 0), (2, 0), (3, 0), (4, 5)] {
        assert_eq!(result(&done, user_data), expected, "{done:?}");
    }
    assert_eq!((length, &peer[4..8]), (16, &[127, 0, 0, 1][..]));
    let mut buffer = [0_u8; 8];
    push(&mut ring, Sqe::recv(Slot(1), buffer.as_mut_ptr(), 8, 0).user_data(1));
    assert_eq!((result(&run(&mut ring, 1), 1), &buffer[..5]), (5, &b"hello"[..]));
}

#[test]
fn rings_message_each_other_and_signal_an_eventfd() {
    let (Some(mut from), Some(mut to)) = (ring(4), ring(4)) else { return };
    if !supported(&from, Opcode::MsgRing) {
        return;
    }
    let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).expect("an eventfd");
    assert_eq!(to.register_eventfd(eventfd.as_fd()), Ok(()));
    let message = Sqe::msg_ring(
        to.descriptor().expect("a descriptor"),
        55,
        66,
        ouzel_uring::abi::MsgRingFlags::empty(),
    );
    push(&mut from, message.user_data(1));
    assert_eq!(result(&run(&mut from, 1), 1), 0);
    let done = run(&mut to, 1);
    assert_eq!(result(&done, 66), 55);
    let mut count = [0_u8; 8];
    assert_eq!(rustix::io::read(&eventfd, &mut count), Ok(8));
    assert!(u64::from_ne_bytes(count) >= 1);
    assert_eq!(to.unregister_eventfd(), Ok(()));
    push(&mut to, Sqe::nop().user_data(2));
    assert_eq!(result(&run(&mut to, 1), 2), 0);
    assert!(rustix::io::read(&eventfd, &mut count).is_err(), "a signal after it was unregistered");
}

#[test]
fn a_drain_waits_and_a_skipped_success_stays_silent() {
    let Some(mut ring) = ring(8) else { return };
    let time = Timespec::relative(Duration::from_millis(20));
    push(&mut ring, Sqe::timeout(&time, 0, TimeoutFlags::empty()).user_data(1));
    push(&mut ring, Sqe::nop().drain().user_data(2));
    let done = run(&mut ring, 2);
    assert_eq!(done.iter().map(|one| one.user_data).collect::<Vec<_>>(), [1, 2]);

    push(&mut ring, Sqe::nop().skip_success().user_data(1));
    push(&mut ring, Sqe::nop().user_data(2));
    let limit = Timeout::After(PATIENCE);
    assert_eq!(ring.submit_and_wait(1, Some(limit)), Ok(2));
    let done: Vec<u64> = ring.completions().map(|one| one.user_data).collect();
    assert_eq!(done, [2]);
}
