//! Opcodes on registered and provided buffers.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use crate::common::{Scratch, directories, file_of, one, or_skip, push, ring_for, run};
use ouzel_uring::abi::{BufRingFlags, CqeFlags, Iovec, Opcode};
use ouzel_uring::{Ring, Sqe};

const LENGTH: usize = 4096;

/// A ring with `memory` as its only registered buffer, number 1.
fn registered(opcode: Opcode, memory: &mut [u8]) -> Option<Ring> {
    let mut ring = ring_for(opcode)?;
    let buffers = [Iovec::default(), Iovec::new(memory.as_mut_ptr(), memory.len())];
    or_skip("registered buffers", ring.register_buffers(&buffers))?;
    Some(ring)
}

// covers: IORING_OP_READ_FIXED: the bytes arrive inside the registered buffer; a range outside is refused
#[test]
fn read_fixed() {
    let mut memory = vec![0_u8; LENGTH];
    let Some(mut ring) = registered(Opcode::ReadFixed, &mut memory) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        let file = file_of(&scratch, "file", b"0123456789");
        let place = memory[100..].as_mut_ptr();
        assert_eq!(one(&mut ring, Sqe::read_fixed(file.as_fd(), place, 5, 2, 1)), 5);
        assert_eq!(&memory[99..106], b"\x0023456\0");
        memory.fill(0);
        let outside = memory[LENGTH - 2..].as_mut_ptr();
        assert_eq!(one(&mut ring, Sqe::read_fixed(file.as_fd(), outside, 5, 0, 1)), -14);
        assert_eq!(one(&mut ring, Sqe::read_fixed(file.as_fd(), place, 5, 0, 7)), -14);
    }
}

// covers: IORING_OP_WRITE_FIXED: the file holds what was in the registered buffer
#[test]
fn write_fixed() {
    let mut memory = vec![b'x'; LENGTH];
    let Some(mut ring) = registered(Opcode::WriteFixed, &mut memory) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        let file = file_of(&scratch, "file", b"0123456789");
        memory[10..13].copy_from_slice(b"abc");
        assert_eq!(one(&mut ring, Sqe::write_fixed(file.as_fd(), memory[9..].as_ptr(), 5, 3, 1)), 5);
        assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"012xabcx89");
    }
}

// covers: IORING_OP_READV_FIXED: the bytes are spread over vectors inside the registered buffer
#[test]
fn readv_fixed() {
    let mut memory = vec![0_u8; LENGTH];
    let Some(mut ring) = registered(Opcode::ReadvFixed, &mut memory) else { return };
    let scratch = Scratch::new(&directories()[0]);
    let file = file_of(&scratch, "file", b"0123456789");
    let vectors = [Iovec::new(memory[8..].as_ptr(), 3), Iovec::new(memory[2000..].as_ptr(), 3)];
    let entry = Sqe::readv_fixed(file.as_fd(), vectors.as_ptr().cast(), 2, 1, 0, 1);
    assert_eq!(one(&mut ring, entry), 6);
    assert_eq!((&memory[8..11], &memory[2000..2003]), (&b"123"[..], &b"456"[..]));
    let other = [0_u8; 8];
    let vectors = [Iovec::new(other.as_ptr(), 8)];
    let entry = Sqe::readv_fixed(file.as_fd(), vectors.as_ptr().cast(), 1, 0, 0, 1);
    assert_eq!(one(&mut ring, entry), -14);
}

// covers: IORING_OP_WRITEV_FIXED: the file holds vectors of the registered buffer one after the other
#[test]
fn writev_fixed() {
    let mut memory = vec![0_u8; LENGTH];
    let Some(mut ring) = registered(Opcode::WritevFixed, &mut memory) else { return };
    let scratch = Scratch::new(&directories()[0]);
    let file = file_of(&scratch, "file", b"0123456789");
    memory[..2].copy_from_slice(b"ab");
    memory[3000..3003].copy_from_slice(b"cde");
    let vectors = [Iovec::new(memory.as_ptr(), 2), Iovec::new(memory[3000..].as_ptr(), 3)];
    let entry = Sqe::writev_fixed(file.as_fd(), vectors.as_ptr().cast(), 2, 4, 0, 1);
    assert_eq!(one(&mut ring, entry), 5);
    assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"0123abcde9");
}

// covers: IORING_OP_PROVIDE_BUFFERS: a read takes one of the buffers and says which
#[test]
fn provide_buffers() {
    let Some(mut ring) = ring_for(Opcode::ProvideBuffers) else { return };
    let scratch = Scratch::new(&directories()[0]);
    let file = file_of(&scratch, "file", b"0123456789");
    let mut memory = [0_u8; 32];
    assert_eq!(one(&mut ring, Sqe::provide_buffers(memory.as_mut_ptr(), 16, 2, 5, 40)), 0);
    for _ in 0..2 {
        let read = Sqe::read(file.as_fd(), std::ptr::null_mut(), 10, 0).buffer_group(5);
        push(&mut ring, read);
        let done = run(&mut ring, 1);
        let number = done[0].buffer().expect("a buffer");
        assert!(done[0].res == 10 && (40..42).contains(&number), "{done:?}");
        let start = usize::from(number - 40) * 16;
        assert_eq!(&memory[start..start + 11], b"0123456789\0");
    }
    let read = Sqe::read(file.as_fd(), std::ptr::null_mut(), 10, 0).buffer_group(5);
    assert_eq!(one(&mut ring, read), -105, "ENOBUFS: both are taken");
}

// covers: IORING_OP_REMOVE_BUFFERS: buffers that were taken back cannot be chosen
#[test]
fn remove_buffers() {
    let Some(mut ring) = ring_for(Opcode::RemoveBuffers) else { return };
    let scratch = Scratch::new(&directories()[0]);
    let file = file_of(&scratch, "file", b"0123456789");
    let mut memory = [0_u8; 48];
    assert_eq!(one(&mut ring, Sqe::provide_buffers(memory.as_mut_ptr(), 16, 3, 5, 0)), 0);
    assert_eq!(one(&mut ring, Sqe::remove_buffers(2, 5)), 2);
    let read = Sqe::read(file.as_fd(), std::ptr::null_mut(), 10, 0).buffer_group(5);
    assert_eq!(one(&mut ring, read), 10);
    assert_eq!(one(&mut ring, read), -105);
    assert_eq!(one(&mut ring, Sqe::remove_buffers(2, 6)), -2, "no such group");
}

// covers: IORING_OP_READ_MULTISHOT: one entry completes for every piece of the pipe, in a buffer each, until none is left
#[test]
fn read_multishot() {
    let Some(mut ring) = ring_for(Opcode::ReadMultishot) else { return };
    let flags = BufRingFlags::empty();
    let Some(mut buffers) = or_skip("a ring of buffers", ring.register_buf_ring(3, 4, flags)) else { return };
    let mut memory = [[0_u8; 8]; 2];
    for (number, buffer) in memory.iter_mut().enumerate() {
        // SAFETY: the memory lives to the end of this test, after the last completion.
        unsafe { buffers.provide(buffer.as_mut_ptr(), 8, number as u16) };
    }
    buffers.publish();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    push(&mut ring, Sqe::read_multishot(reader.as_fd(), 0, 0, 3).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    for piece in [&b"first"[..], b"second"] {
        writer.write_all(piece).expect("a write");
        let done = run(&mut ring, 1);
        let number = usize::from(done[0].buffer().expect("a buffer"));
        assert_eq!((done[0].res as usize, done[0].has_more()), (piece.len(), true));
        assert_eq!(&memory[number][..piece.len()], piece);
    }
    writer.write_all(b"third").expect("a write");
    let done = run(&mut ring, 1);
    assert_eq!((done[0].res, done[0].cqe_flags() & CqeFlags::MORE), (-105, CqeFlags::empty()));
}
