//! Rings through the C functions, called from Rust: what they return for bad input, and that nothing stays behind.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ouzel_liburing::*;
use ouzel_uring::abi::{Params, SetupFlags, Timespec};

const EBADF: i32 = 9;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;
const ETIME: i32 = 62;

/// A ring, or None and a message if this machine refuses it.
fn ring(entries: u32, flags: SetupFlags) -> Option<Box<IoUring>> {
    let mut ring = Box::new(MaybeUninit::<IoUring>::uninit());
    // SAFETY: the place is valid to write to.
    match unsafe { io_uring_queue_init(entries, ring.as_mut_ptr(), flags.bits()) } {
        // SAFETY: it was filled in.
        0 => Some(unsafe { ring.assume_init() }),
        refused if [-1, -13, -38].contains(&refused) => {
            println!("SKIPPED: io_uring is refused here: {refused}");
            None
        }
        failure => panic!("no ring: {failure}"),
    }
}

/// How many descriptors and mappings of rings this process has. Memory that was given to a ring is a mapping too.
fn possessions() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("io_uring"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mappings = maps
        .lines()
        .filter(|line| ["io_uring", "/dev/zero", "hugepage", "rw-s"].iter().any(|word| line.contains(word)));
    (descriptors.count(), mappings.count())
}

/// Tests that make rings take turns: they count what the process has.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn refused_sizes_and_flags_are_named_and_leave_nothing() {
    let _turn = alone();
    if ring(1, SetupFlags::empty()).map(close).is_none() {
        return;
    }
    let before = possessions();
    for (entries, flags) in [
        (0, 0),
        (32_769, 0),
        (u32::MAX, 0),
        (8, SetupFlags::SQ_AFF.bits()),
        (8, SetupFlags::REGISTERED_FD_ONLY.bits()),
        (8, 1 << 31),
        (0, SetupFlags::NO_MMAP.bits()),
        (8, SetupFlags::NO_MMAP.bits() | SetupFlags::SQ_AFF.bits()),
    ] {
        let mut ring = MaybeUninit::<IoUring>::uninit();
        // SAFETY: the place is valid to write to.
        let outcome = unsafe { io_uring_queue_init(entries, ring.as_mut_ptr(), flags) };
        assert_eq!(outcome, -EINVAL, "{entries} entries, flags {flags:#x}");
    }
    let mut ring = MaybeUninit::<IoUring>::uninit();
    let mut params = Params { sq_entries: 8, cq_entries: 16, ..Params::default() };
    // SAFETY: the places are valid; the descriptors are not rings, which is what is tested.
    unsafe {
        assert_eq!(io_uring_queue_mmap(-1, &raw mut params, ring.as_mut_ptr()), -EBADF);
        assert!(io_uring_queue_mmap(0, &raw mut params, ring.as_mut_ptr()) < 0);
        assert_eq!(io_uring_setup(8, ptr::null_mut()), -14);
        assert_eq!(io_uring_enter(u32::MAX, 1, 0, 0, ptr::null_mut()), -EBADF);
        assert_eq!(io_uring_register(99_999, 2, ptr::null(), 0), -EBADF);
    }
    assert_eq!(possessions(), before);
}

fn close(mut ring: Box<IoUring>) {
    // SAFETY: set up, and not used afterwards.
    unsafe { io_uring_queue_exit(&raw mut *ring) };
}

#[test]
fn rings_come_and_go_without_a_trace() {
    let _turn = alone();
    let kinds = [
        SetupFlags::empty(),
        SetupFlags::SQE128 | SetupFlags::CQE32,
        SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN,
        SetupFlags::NO_MMAP,
    ];
    let before = possessions();
    for _ in 0..200 {
        for kind in kinds {
            let Some(mut ring) = ring(8, kind) else { return };
            // SAFETY: the ring is set up; a no-op names no memory.
            unsafe {
                let ring = &raw mut *ring;
                for number in 0..8 {
                    let entry = io_uring_get_sqe(ring);
                    io_uring_prep_nop(entry);
                    io_uring_sqe_set_data64(entry, number);
                }
                assert!(io_uring_get_sqe(ring).is_null());
                assert_eq!(io_uring_sq_space_left(ring), 0);
                assert_eq!(io_uring_submit_and_wait(ring, 8), 8);
                let mut found = [ptr::null_mut(); 16];
                assert_eq!(io_uring_peek_batch_cqe(ring, found.as_mut_ptr(), 16), 8);
                for (number, cqe) in found[..8].iter().enumerate() {
                    assert_eq!(io_uring_cqe_get_data64(*cqe), number as u64);
                }
                io_uring_cq_advance(ring, 8);
                let mut none = ptr::null_mut();
                assert_eq!(io_uring_peek_cqe(ring, &raw mut none), -EAGAIN);
                let mut time = Timespec { tv_sec: 0, tv_nsec: 1000 };
                assert_eq!(io_uring_wait_cqe_timeout(ring, &raw mut none, &raw mut time), -ETIME);
                assert!(none.is_null());
                assert_eq!(io_uring_register_ring_fd(ring), 1);
            }
            close(ring);
        }
    }
    assert_eq!(possessions(), before);
}

#[test]
fn a_probe_may_be_freed_by_the_c_library() {
    let _turn = alone();
    unsafe extern "C" {
        fn free(memory: *mut std::ffi::c_void);
    }
    let probe = io_uring_get_probe();
    if probe.is_null() {
        println!("SKIPPED: io_uring is refused here");
        return;
    }
    // SAFETY: an answer of the kernel; freed once.
    unsafe {
        assert_eq!(io_uring_opcode_supported(probe, 0), 1);
        assert_eq!(io_uring_opcode_supported(probe, -1), 0);
        assert_eq!(io_uring_opcode_supported(probe, 255), 0);
        free(probe.cast());
        io_uring_free_probe(ptr::null_mut());
    }
}

#[test]
fn messages_with_lying_lengths_lead_nowhere() {
    use ouzel_uring::abi::RecvmsgOut;

    #[repr(C, align(8))]
    struct Buffer([u8; 128]);

    // SAFETY: all zero is a header without anything.
    let mut header: MessageHeader = unsafe { std::mem::zeroed() };
    header.name_length = 8;
    header.control_length = 64;
    let mut buffer = Buffer([0; 128]);
    let start = buffer.0.as_mut_ptr();
    // SAFETY: all places are inside the buffer or checked by what is tested.
    unsafe {
        let size = 16 + 8 + 64;
        assert!(io_uring_recvmsg_validate(start.cast(), size - 1, &raw mut header).is_null());
        assert!(io_uring_recvmsg_validate(start.cast(), -1, &raw mut header).is_null());
        let out = io_uring_recvmsg_validate(start.cast(), size, &raw mut header);
        assert_eq!(out.cast::<u8>(), start);
        *out = RecvmsgOut { namelen: 8, controllen: 40, payloadlen: 20, flags: 0 };
        assert_eq!(io_uring_recvmsg_payload_length(out, size + 20, &raw mut header), 20);
        assert_eq!(io_uring_recvmsg_payload_length(out, size - 1, &raw mut header), 0);
        assert_eq!(io_uring_recvmsg_payload_length(out, -5, &raw mut header), 0);

        let first = io_uring_recvmsg_cmsg_firsthdr(out, &raw mut header);
        assert_eq!(first.cast::<u8>(), start.add(24));
        (*first).length = 20;
        let second = start.add(24 + 24).cast::<ControlHeader>();
        (*second).length = 16;
        assert_eq!(io_uring_recvmsg_cmsg_nexthdr(out, &raw mut header, first), second);
        for lie in [17, 1000, usize::MAX, usize::MAX - 7] {
            (*second).length = lie;
            assert!(io_uring_recvmsg_cmsg_nexthdr(out, &raw mut header, first).is_null(), "{lie}");
        }
        for lie in [0, 15, 25, 41, usize::MAX, usize::MAX - 7] {
            (*first).length = lie;
            assert!(io_uring_recvmsg_cmsg_nexthdr(out, &raw mut header, first).is_null(), "{lie}");
        }
    }
}

#[test]
fn provided_buffers_go_round() {
    let _turn = alone();
    let Some(mut ring) = ring(4, SetupFlags::empty()) else { return };
    let ring = &raw mut *ring;
    let mut memory = [[0_u8; 16]; 4];
    let mut error = 1;
    let text = c"round and round".as_ptr();
    // SAFETY: the ring is set up, and all memory outlives what is submitted.
    unsafe {
        let buffers = io_uring_setup_buf_ring(ring, 4, 3, 0, &raw mut error);
        assert_eq!((buffers.is_null(), error), (false, 0));
        let mask = io_uring_buf_ring_mask(4);
        for (number, buffer) in memory.iter_mut().enumerate() {
            let number = number as u16;
            io_uring_buf_ring_add(buffers, buffer.as_mut_ptr().cast(), 16, number, mask, number.into());
        }
        io_uring_buf_ring_advance(buffers, 4);
        assert_eq!(io_uring_buf_ring_available(ring, buffers, 3), 4);

        let mut ends = [0; 2];
        assert_eq!(pipe(ends.as_mut_ptr()), 0);
        // More often than there are buffers, so each must come back.
        for turn in 0..10_u32 {
            assert_eq!(write(ends[1], text.cast(), 15), 15);
            let entry = io_uring_get_sqe(ring);
            io_uring_prep_read(entry, ends[0], ptr::null_mut(), 16, u64::MAX);
            io_uring_sqe_set_flags(entry, 1 << 5);
            io_uring_sqe_set_buf_group(entry, 3);
            assert_eq!(io_uring_submit(ring), 1);
            let mut cqe = ptr::null_mut();
            assert_eq!(io_uring_wait_cqe_nr(ring, &raw mut cqe, 1), 0);
            assert_eq!((*cqe).res, 15);
            let number = ((*cqe).flags >> 16) as u16;
            assert_eq!(u32::from(number), turn % 4);
            assert_eq!(&memory[usize::from(number)][..15], b"round and round");
            assert_eq!(io_uring_buf_ring_available(ring, buffers, 3), 3);
            let place = memory[usize::from(number)].as_mut_ptr().cast();
            io_uring_buf_ring_add(buffers, place, 16, number, mask, 0);
            io_uring_buf_ring_cq_advance(ring, buffers, 1);
            assert_eq!(io_uring_cq_ready(ring), 0);
            assert_eq!(io_uring_buf_ring_available(ring, buffers, 3), 4);
        }
        assert_eq!(io_uring_free_buf_ring(ring, buffers, 4, 3), 0);
        assert!(io_uring_setup_buf_ring(ring, 3, 3, 0, &raw mut error).is_null());
        assert_eq!(error, -EINVAL, "not a power of two");
        io_uring_queue_exit(ring);
        for end in ends {
            assert_eq!(close_descriptor(end), 0);
        }
    }
}

unsafe extern "C" {
    fn pipe(ends: *mut i32) -> i32;
    fn write(fd: i32, bytes: *const std::ffi::c_void, count: usize) -> isize;
    #[link_name = "close"]
    fn close_descriptor(fd: i32) -> i32;
}

#[test]
fn the_kernel_thread_gives_room_back() {
    let _turn = alone();
    let Some(mut ring) = ring(2, SetupFlags::SQPOLL) else { return };
    let ring = &raw mut *ring;
    // SAFETY: the ring is set up; a no-op names no memory.
    unsafe {
        assert_eq!(io_uring_sqring_wait(ring), 0, "there is room");
        for _ in 0..50 {
            let mut entry = io_uring_get_sqe(ring);
            if entry.is_null() {
                assert!(io_uring_submit(ring) >= 0);
                assert!(io_uring_sqring_wait(ring) >= 0);
                entry = io_uring_get_sqe(ring);
            }
            assert!(!entry.is_null());
            io_uring_prep_nop(entry);
            assert!(io_uring_submit(ring) >= 0);
            let mut cqe = ptr::null_mut();
            assert_eq!(io_uring_wait_cqe(ring, &raw mut cqe), 0);
            io_uring_cqe_seen(ring, cqe);
        }
        io_uring_queue_exit(ring);
    }
}
