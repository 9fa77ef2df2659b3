//! Registered buffers and rings of provided ones.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use crate::common::{Scratch, directories, file_of, one, or_skip, push, result, ring, run};
use ouzel_uring::abi::{BufRingFlags, CqeFlags, Iovec};
use ouzel_uring::{BufRing, CloneRange, RegisterCause, Ring, Sqe};

/// Reads "0123" from a fresh file into registered buffer `number` at the start of `memory`; the result.
fn read_into(ring: &mut Ring, memory: &mut [u8], number: u16) -> i32 {
    let scratch = Scratch::new(&directories()[0]);
    let file = file_of(&scratch, "file", b"0123");
    one(ring, Sqe::read_fixed(file.as_fd(), memory.as_mut_ptr(), 4, 0, number))
}

// covers: IORING_REGISTER_BUFFERS: reads by number arrive in the memory
#[test]
fn register_buffers() {
    let Some(mut ring) = ring(8) else { return };
    let mut memory = vec![0_u8; 4096];
    let buffers = [Iovec::new(memory.as_ptr(), 4096)];
    let Some(()) = or_skip("buffers", ring.register_buffers(&buffers)) else { return };
    assert_eq!(read_into(&mut ring, &mut memory, 0), 4);
    assert_eq!(&memory[..5], b"0123\0");
    let again = ring.register_buffers(&buffers).map_err(|error| error.cause);
    assert_eq!(again, Err(RegisterCause::AlreadyThere));
}

// covers: IORING_UNREGISTER_BUFFERS: reads by number are refused from then on
#[test]
fn unregister_buffers() {
    let Some(mut ring) = ring(8) else { return };
    let mut memory = vec![0_u8; 4096];
    let buffers = [Iovec::new(memory.as_ptr(), 4096)];
    let Some(()) = or_skip("buffers", ring.register_buffers(&buffers)) else { return };
    assert_eq!(ring.unregister_buffers(), Ok(()));
    assert_eq!(read_into(&mut ring, &mut memory, 0), -14);
    assert_eq!(ring.unregister_buffers().map_err(|error| error.cause), Err(RegisterCause::NotThere));
    let nowhere = [Iovec { base: 4096, length: 4096 }];
    assert_eq!(ring.register_buffers(&nowhere).map_err(|error| error.cause), Err(RegisterCause::Fault));
}

// covers: IORING_REGISTER_BUFFERS2: when the buffers go, a completion with each tag is posted; sparse numbers are empty
#[test]
fn buffers_with_tags() {
    let Some(mut tagged) = ring(8) else { return };
    let mut memory = vec![0_u8; 4096];
    let buffers = [Iovec::new(memory.as_ptr(), 2048), Iovec::new(memory[2048..].as_ptr(), 2048)];
    let Some(()) = or_skip("tags", tagged.register_buffers_tagged(&buffers, &[91, 92])) else { return };
    assert_eq!(read_into(&mut tagged, &mut memory[2048..], 1), 4);
    assert_eq!(tagged.unregister_buffers(), Ok(()));
    let done = run(&mut tagged, 2);
    assert_eq!((result(&done, 91), result(&done, 92)), (0, 0));
    let Some(mut sparse) = ring(8) else { return };
    assert_eq!(sparse.register_buffers_sparse(4), Ok(()));
    assert_eq!(read_into(&mut sparse, &mut memory, 3), -14);
}

// covers: IORING_REGISTER_BUFFERS_UPDATE: the number leads to the new memory, and the old one's tag is posted
#[test]
fn buffers_update() {
    let Some(mut ring) = ring(8) else { return };
    let mut memory = vec![0_u8; 8192];
    let Some(()) = or_skip("sparse buffers", ring.register_buffers_sparse(4)) else { return };
    let [first, second] = [0, 4096].map(|start| Iovec::new(memory[start..].as_ptr(), 4096));
    assert_eq!(ring.buffers_update(2, &[first], &[5]), Ok(1));
    assert_eq!(read_into(&mut ring, &mut memory[..4096], 2), 4);
    assert_eq!(ring.buffers_update(2, &[second], &[0]), Ok(1));
    assert_eq!(result(&run(&mut ring, 1), 5), 0);
    assert_eq!(read_into(&mut ring, &mut memory[..4096], 2), -14);
    assert_eq!(read_into(&mut ring, &mut memory[4096..], 2), 4);
    let outside = ring.buffers_update(4, &[first], &[0]).map_err(|error| error.cause);
    assert_eq!(outside, Err(RegisterCause::Invalid));
}

// covers: IORING_REGISTER_CLONE_BUFFERS: the other ring reads into the memory by its own number, also when the first ring is gone
#[test]
fn clone_buffers() {
    let (Some(mut source), Some(mut copy)) = (ring(8), ring(8)) else { return };
    let mut memory = vec![0_u8; 8192];
    let buffers = [0, 4096].map(|start| Iovec::new(memory[start..].as_ptr(), 4096));
    let none = copy.clone_buffers(&source, CloneRange::default()).map_err(|error| error.cause);
    if none == Err(RegisterCause::Invalid) {
        return eprintln!("SKIPPED: no cloning before Linux 6.12");
    }
    assert_eq!(none, Err(RegisterCause::NotThere));
    assert_eq!(source.register_buffers(&buffers), Ok(()));
    let part = CloneRange { source: 1, destination: 3, count: 1, replace: false };
    assert_eq!(copy.clone_buffers(&source, part), Ok(()));
    drop(source);
    assert_eq!(read_into(&mut copy, &mut memory[4096..], 3), 4);
    assert_eq!(&memory[4096..4101], b"0123\0");
    assert_eq!(read_into(&mut copy, &mut memory[..4096], 0), -14);
}

/// A group of `count` buffers of eight bytes each in `memory`.
fn provided(ring: &mut Ring, memory: &mut [[u8; 8]], flags: BufRingFlags) -> Option<BufRing> {
    let mut buffers = or_skip("a ring of buffers", ring.register_buf_ring(6, 8, flags))?;
    for (number, buffer) in memory.iter_mut().enumerate() {
        // SAFETY: every test keeps the memory until its last completion.
        unsafe { buffers.provide(buffer.as_mut_ptr(), 8, 30 + number as u16) };
    }
    buffers.publish();
    Some(buffers)
}

/// Sends `text` through a pipe into a buffer that the kernel chooses; the result and the buffer.
fn through_a_pipe(ring: &mut Ring, text: &[u8]) -> (i32, Option<u16>, CqeFlags) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(text).expect("a write");
    push(ring, Sqe::read(reader.as_fd(), std::ptr::null_mut(), 8, 0).buffer_group(6));
    let done = run(ring, 1)[0];
    (done.res, done.buffer(), done.cqe_flags())
}

// covers: IORING_REGISTER_PBUF_RING: the kernel takes buffers in order, from our memory or its own, whole or piece by piece
#[test]
fn buffer_ring() {
    for flags in [BufRingFlags::empty(), BufRingFlags::MMAP] {
        let Some(mut ring) = ring(8) else { return };
        let mut memory = [[0_u8; 8]; 2];
        let Some(mut buffers) = provided(&mut ring, &mut memory, flags) else { return };
        assert_eq!(through_a_pipe(&mut ring, b"first").1, Some(30));
        assert_eq!(through_a_pipe(&mut ring, b"second").1, Some(31));
        assert_eq!((&memory[0][..5], &memory[1][..6]), (&b"first"[..], &b"second"[..]));
        assert_eq!(through_a_pipe(&mut ring, b"third").0, -105);
        // SAFETY: the memory lives to the end of the loop, after the last completion.
        unsafe { buffers.provide(memory[0].as_mut_ptr(), 8, 99) };
        assert_eq!(through_a_pipe(&mut ring, b"unseen").0, -105, "not published yet");
        buffers.publish();
        assert_eq!(through_a_pipe(&mut ring, b"fourth").1, Some(99));
        assert_eq!(&memory[0][..6], b"fourth");
        for entries in [0, 3, 65_536] {
            let wrong = ring.register_buf_ring(7, entries, flags).map(|_| ()).map_err(|error| error.cause);
            assert_eq!(wrong, Err(RegisterCause::Invalid));
        }
    }
    let Some(mut ring) = ring(8) else { return };
    let mut memory = [[0_u8; 8]];
    let Some(_buffers) = provided(&mut ring, &mut memory, BufRingFlags::INC) else { return };
    let (length, number, flags) = through_a_pipe(&mut ring, b"one");
    assert_eq!((length, number, flags.contains(CqeFlags::BUF_MORE)), (3, Some(30), true));
    assert_eq!(through_a_pipe(&mut ring, b"two").1, Some(30));
    assert_eq!(&memory[0], b"onetwo\0\0");
}

// covers: IORING_UNREGISTER_PBUF_RING: no buffer of the group can be chosen from then on
#[test]
fn unregister_buffer_ring() {
    let Some(mut ring) = ring(8) else { return };
    let mut memory = [[0_u8; 8]; 2];
    let Some(_buffers) = provided(&mut ring, &mut memory, BufRingFlags::empty()) else { return };
    assert_eq!(ring.unregister_buf_ring(6), Ok(()));
    assert_eq!(through_a_pipe(&mut ring, b"x").0, -105);
    assert_eq!(ring.unregister_buf_ring(6).map_err(|error| error.cause), Err(RegisterCause::NoMatch));
}

// covers: IORING_REGISTER_PBUF_STATUS: tells how many buffers the kernel has taken
#[test]
fn buffer_ring_status() {
    let Some(mut ring) = ring(8) else { return };
    let mut memory = [[0_u8; 8]; 3];
    let Some(buffers) = provided(&mut ring, &mut memory, BufRingFlags::empty()) else { return };
    let Some(head) = or_skip("status", ring.buf_ring_head(6)) else { return };
    assert_eq!((head, buffers.added(), buffers.capacity(), buffers.group()), (0, 3, 8, 6));
    through_a_pipe(&mut ring, b"x");
    through_a_pipe(&mut ring, b"x");
    assert_eq!(ring.buf_ring_head(6), Ok(2));
    assert_eq!(ring.buf_ring_head(5).map_err(|error| error.cause), Err(RegisterCause::NoMatch));
}
