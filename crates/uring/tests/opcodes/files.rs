//! Opcodes on open files and pipes.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use crate::common::{Scratch, cached_pages, directories, file_of, one, push, result, ring_for, run};
use ouzel_uring::abi::{
    AT_FDCWD, CURRENT_POSITION, FILE_INDEX_ALLOC, FixedFdFlags, FsyncFlags, Iovec, NopFlags, Opcode, OpenHow,
};
use ouzel_uring::{NewSlot, Slot, Sqe};
use rustix::fs::OFlags;

/// The first test directory: one whose files are written back to a disk.
fn disk() -> Scratch {
    Scratch::new(&directories()[0])
}

/// A descriptor that an entry made.
fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "no descriptor: {fd}");
    // SAFETY: the entry has just made it and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

// covers: IORING_OP_NOP: completes with 0, or with the result it was told to inject
#[test]
fn nop() {
    let Some(mut ring) = ring_for(Opcode::Nop) else { return };
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
    match one(&mut ring, Sqe::nop().nop_flags(NopFlags::INJECT_RESULT, -77)) {
        -22 => eprintln!("SKIPPED: results cannot be injected before Linux 6.10"),
        injected => assert_eq!(injected, -77),
    }
}

// covers: IORING_OP_READ: the bytes at the offset arrive in the buffer, and no others change
#[test]
fn read() {
    let Some(mut ring) = ring_for(Opcode::Read) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        let file = file_of(&scratch, "file", b"0123456789");
        let mut buffer = *b"........";
        assert_eq!(one(&mut ring, Sqe::read(file.as_fd(), buffer.as_mut_ptr(), 4, 3)), 4);
        assert_eq!(&buffer, b"3456....");
        assert_eq!(one(&mut ring, Sqe::read(file.as_fd(), buffer.as_mut_ptr(), 8, 8)), 2);
        assert_eq!(&buffer, b"8956....");
    }
}

// covers: IORING_OP_WRITE: the file holds the bytes at the offset; at the current position they follow each other
#[test]
fn write() {
    let Some(mut ring) = ring_for(Opcode::Write) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        let file = file_of(&scratch, "file", b"0123456789");
        assert_eq!(one(&mut ring, Sqe::write(file.as_fd(), b"ab".as_ptr(), 2, 4)), 2);
        for _ in 0..2 {
            assert_eq!(one(&mut ring, Sqe::write(file.as_fd(), b"x".as_ptr(), 1, CURRENT_POSITION)), 1);
        }
        assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"xx23ab6789");
    }
}

// covers: IORING_OP_READV: the bytes are spread over the vectors in order
#[test]
fn readv() {
    let Some(mut ring) = ring_for(Opcode::Readv) else { return };
    let scratch = disk();
    let file = file_of(&scratch, "file", b"0123456789");
    let (mut first, mut second) = ([0_u8; 3], [0_u8; 4]);
    let vectors = [Iovec::new(first.as_mut_ptr(), 3), Iovec::new(second.as_mut_ptr(), 4)];
    assert_eq!(one(&mut ring, Sqe::readv(file.as_fd(), vectors.as_ptr().cast(), 2, 1, 0)), 7);
    assert_eq!((&first, &second), (b"123", b"4567"));
}

// covers: IORING_OP_WRITEV: the file holds the vectors one after the other
#[test]
fn writev() {
    let Some(mut ring) = ring_for(Opcode::Writev) else { return };
    let scratch = disk();
    let file = file_of(&scratch, "file", b"0123456789");
    let vectors = [Iovec::new(b"ab".as_ptr(), 2), Iovec::new(b"cde".as_ptr(), 3)];
    assert_eq!(one(&mut ring, Sqe::writev(file.as_fd(), vectors.as_ptr().cast(), 2, 2, 0)), 5);
    assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"01abcde789");
}

/// A file with pages in the cache that are not on the disk, or `None` where that cannot be seen.
fn dirty_file(scratch: &Scratch) -> Option<std::fs::File> {
    let file = file_of(scratch, "file", &vec![7; 1 << 20]);
    let seen = cached_pages(&file);
    match seen {
        Some((_, dirty)) if dirty > 0 => Some(file),
        _ => {
            eprintln!("SKIPPED: no page to be seen that is not written back ({seen:?})");
            None
        }
    }
}

// covers: IORING_OP_FSYNC: pages of the file that were not on the disk are (cachestat)
#[test]
fn fsync() {
    let Some(mut ring) = ring_for(Opcode::Fsync) else { return };
    for flags in [FsyncFlags::empty(), FsyncFlags::DATASYNC] {
        let scratch = disk();
        let Some(file) = dirty_file(&scratch) else { return };
        assert_eq!(one(&mut ring, Sqe::fsync(file.as_fd(), flags)), 0);
        assert_eq!(cached_pages(&file).map(|(_, dirty)| dirty), Some(0));
    }
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    assert_eq!(one(&mut ring, Sqe::fsync(reader.as_fd(), FsyncFlags::empty())), -22);
}

// covers: IORING_OP_SYNC_FILE_RANGE: pages of the range that were not on the disk are (cachestat)
#[test]
fn sync_file_range() {
    let Some(mut ring) = ring_for(Opcode::SyncFileRange) else { return };
    let scratch = disk();
    let Some(file) = dirty_file(&scratch) else { return };
    const ALL_THREE: u32 = 7;
    let before = cached_pages(&file).expect("cachestat").1;
    assert_eq!(one(&mut ring, Sqe::sync_file_range(file.as_fd(), 0, 1 << 19, ALL_THREE)), 0);
    let half = cached_pages(&file).expect("cachestat").1;
    assert!(half <= before / 2 + 16, "{before} pages before, {half} after the first half");
    assert_eq!(one(&mut ring, Sqe::sync_file_range(file.as_fd(), 0, 0, ALL_THREE)), 0);
    assert_eq!(cached_pages(&file).expect("cachestat").1, 0);
}

// covers: IORING_OP_FALLOCATE: the file has the size and the blocks
#[test]
fn fallocate() {
    let Some(mut ring) = ring_for(Opcode::Fallocate) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        let file = file_of(&scratch, "file", b"");
        assert_eq!(one(&mut ring, Sqe::fallocate(file.as_fd(), 0, 4096, 8192)), 0);
        let stat = rustix::fs::fstat(&file).expect("stat");
        assert_eq!(stat.st_size, 12_288);
        assert!(stat.st_blocks >= 16, "{} blocks", stat.st_blocks);
    }
}

// covers: IORING_OP_FTRUNCATE: the file has the size, and a longer one ends in zeroes
#[test]
fn ftruncate() {
    let Some(mut ring) = ring_for(Opcode::Ftruncate) else { return };
    let scratch = disk();
    let file = file_of(&scratch, "file", b"0123456789");
    assert_eq!(one(&mut ring, Sqe::ftruncate(file.as_fd(), 4)), 0);
    assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"0123");
    assert_eq!(one(&mut ring, Sqe::ftruncate(file.as_fd(), 6)), 0);
    assert_eq!(std::fs::read(scratch.0.join("file")).expect("the file"), b"0123\0\0");
}

// covers: IORING_OP_FADVISE: pages that are not needed leave the cache (cachestat)
#[test]
fn fadvise() {
    let Some(mut ring) = ring_for(Opcode::Fadvise) else { return };
    const DONT_NEED: u32 = 4;
    let scratch = disk();
    let Some(file) = dirty_file(&scratch) else { return };
    file.sync_all().expect("a sync");
    assert!(cached_pages(&file).expect("cachestat").0 > 0);
    assert_eq!(one(&mut ring, Sqe::fadvise(file.as_fd(), 0, 0, DONT_NEED)), 0);
    assert_eq!(cached_pages(&file).expect("cachestat").0, 0);
    assert_eq!(one(&mut ring, Sqe::fadvise(file.as_fd(), 0, 0, 99)), -22);
}

// covers: IORING_OP_MADVISE: memory that is not needed reads as zeroes again
#[test]
fn madvise() {
    let Some(mut ring) = ring_for(Opcode::Madvise) else { return };
    const DONT_NEED: u32 = 4;
    const LENGTH: usize = 1 << 16;
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    // SAFETY: the kernel chooses the place.
    let memory = unsafe {
        mmap_anonymous(std::ptr::null_mut(), LENGTH, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    }
    .expect("memory");
    // SAFETY: the memory has just been mapped and is this test's alone.
    unsafe { memory.cast::<u8>().write_bytes(9, LENGTH) };
    assert_eq!(one(&mut ring, Sqe::madvise(memory, LENGTH as u32, DONT_NEED)), 0);
    // SAFETY: as above; the entry has completed.
    let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<u8>(), LENGTH) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    // SAFETY: nobody uses it any more.
    unsafe { munmap(memory, LENGTH) }.expect("unmapped");
}

// covers: IORING_OP_OPENAT: the descriptor reads the file, or writes the one it made; the slot reads it too
#[test]
fn openat() {
    let Some(mut ring) = ring_for(Opcode::Openat) else { return };
    for directory in directories() {
        let scratch = Scratch::new(&directory);
        std::fs::write(scratch.0.join("old"), b"old text").expect("a file");
        let (old, new) = (scratch.path("old"), scratch.path("new"));
        let mut file = std::fs::File::from(owned(one(&mut ring, Sqe::openat(AT_FDCWD, old.as_ptr(), 0, 0))));
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "old text");
        let flags = (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC).bits();
        let file = owned(one(&mut ring, Sqe::openat(AT_FDCWD, new.as_ptr(), flags, 0o640)));
        std::fs::File::from(file).write_all(b"new").expect("a write");
        let metadata = std::fs::metadata(scratch.0.join("new")).expect("the new file");
        assert_eq!(metadata.len(), 3);
        assert_eq!(one(&mut ring, Sqe::openat(AT_FDCWD, new.as_ptr(), flags, 0o640)), -17);
        assert_eq!(one(&mut ring, Sqe::openat_direct(AT_FDCWD, old.as_ptr(), 0, 0, Slot(3))), 0);
        let mut buffer = [0_u8; 3];
        assert_eq!(one(&mut ring, Sqe::read(Slot(3), buffer.as_mut_ptr(), 3, 4)), 3);
        assert_eq!(&buffer, b"tex");
    }
}

// covers: IORING_OP_OPENAT2: the descriptor reads the file; what RESOLVE_BENEATH forbids is refused
#[test]
fn openat2() {
    let Some(mut ring) = ring_for(Opcode::Openat2) else { return };
    const BENEATH: u64 = 8;
    let scratch = disk();
    std::fs::create_dir(scratch.0.join("inner")).expect("a directory");
    std::fs::write(scratch.0.join("inner/file"), b"inside").expect("a file");
    std::fs::write(scratch.0.join("outside"), b"outside").expect("a file");
    let inner = std::fs::File::open(scratch.0.join("inner")).expect("the directory");
    let how = OpenHow { flags: 0, mode: 0, resolve: BENEATH };
    let directory = std::os::fd::AsRawFd::as_raw_fd(&inner);
    let fd = one(&mut ring, Sqe::openat2(directory, c"file".as_ptr(), &how));
    let mut text = String::new();
    std::fs::File::from(owned(fd)).read_to_string(&mut text).expect("text");
    assert_eq!(text, "inside");
    assert_eq!(one(&mut ring, Sqe::openat2(directory, c"../outside".as_ptr(), &how)), -18);
}

// covers: IORING_OP_CLOSE: the other end of the pipe sees the end; the slot is empty
#[test]
fn close() {
    let Some(mut ring) = ring_for(Opcode::Close) else { return };
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let fd = std::os::fd::IntoRawFd::into_raw_fd(writer);
    assert_eq!(one(&mut ring, Sqe::close(fd)), 0);
    let mut rest = Vec::new();
    assert_eq!(reader.read_to_end(&mut rest).expect("the end"), 0);
    assert_eq!(one(&mut ring, Sqe::openat_direct(AT_FDCWD, c"/dev/null".as_ptr(), 0, 0, Slot(1))), 0);
    assert_eq!(one(&mut ring, Sqe::close_direct(Slot(1))), 0);
    assert_eq!(one(&mut ring, Sqe::close_direct(Slot(1))), -9);
    assert_eq!(one(&mut ring, Sqe::close_direct(Slot(8))), -22);
}

// covers: IORING_OP_FILES_UPDATE: the slot reads the file that was put there, and not after it was emptied
#[test]
fn files_update() {
    let Some(mut ring) = ring_for(Opcode::FilesUpdate) else { return };
    let scratch = disk();
    let file = file_of(&scratch, "file", b"slot text");
    let mut files = [std::os::fd::AsRawFd::as_raw_fd(&file), -1];
    assert_eq!(one(&mut ring, Sqe::files_update(files.as_mut_ptr(), 2, 4)), 2);
    let mut buffer = [0_u8; 9];
    assert_eq!(one(&mut ring, Sqe::read(Slot(4), buffer.as_mut_ptr(), 9, 0)), 9);
    assert_eq!(&buffer, b"slot text");
    assert_eq!(one(&mut ring, Sqe::files_update([-1].as_mut_ptr(), 1, 4)), 1);
    assert_eq!(one(&mut ring, Sqe::read(Slot(4), buffer.as_mut_ptr(), 9, 0)), -9);
    // The kernel chooses a slot and says which.
    assert_eq!(one(&mut ring, Sqe::files_update(files.as_mut_ptr(), 1, FILE_INDEX_ALLOC)), 1);
    let chosen = Slot(files[0] as u32);
    assert_eq!(one(&mut ring, Sqe::read(chosen, buffer.as_mut_ptr(), 4, 5)), 4);
    assert_eq!(&buffer[..4], b"text");
}

// covers: IORING_OP_FIXED_FD_INSTALL: the descriptor reads the slot's file and stays when the slot is emptied
#[test]
fn fixed_fd_install() {
    let Some(mut ring) = ring_for(Opcode::FixedFdInstall) else { return };
    let scratch = disk();
    file_of(&scratch, "file", b"installed");
    let path = scratch.path("file");
    assert_eq!(one(&mut ring, Sqe::openat_direct(AT_FDCWD, path.as_ptr(), 0, 0, Slot(0))), 0);
    for (flags, close_on_exec) in [(FixedFdFlags::empty(), true), (FixedFdFlags::NO_CLOEXEC, false)] {
        let fd = owned(one(&mut ring, Sqe::fixed_fd_install(Slot(0), flags)));
        let found = rustix::io::fcntl_getfd(&fd).expect("descriptor flags");
        assert_eq!(found.contains(rustix::io::FdFlags::CLOEXEC), close_on_exec);
        if !close_on_exec {
            assert_eq!(one(&mut ring, Sqe::close_direct(Slot(0))), 0);
        }
        let mut text = [0_u8; 9];
        assert_eq!(rustix::io::pread(&fd, &mut text, 0).expect("a read"), 9);
        assert_eq!(&text, b"installed");
    }
}

// covers: IORING_OP_SPLICE: the bytes are in the pipe, from the offset on, and gone from where they came
#[test]
fn splice() {
    let Some(mut ring) = ring_for(Opcode::Splice) else { return };
    let scratch = disk();
    let file = file_of(&scratch, "file", b"0123456789");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    assert_eq!(one(&mut ring, Sqe::splice(file.as_fd(), Some(2), writer.as_fd(), None, 5, 0)), 5);
    drop(writer);
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("the pipe's contents");
    assert_eq!(text, b"23456");
    // Out of a slot.
    let path = scratch.path("file");
    assert_eq!(one(&mut ring, Sqe::openat_direct(AT_FDCWD, path.as_ptr(), 0, 0, Slot(0))), 0);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    assert_eq!(one(&mut ring, Sqe::splice(Slot(0), Some(8), writer.as_fd(), None, 5, 0)), 2);
    let mut two = [0; 2];
    reader.read_exact(&mut two).expect("two bytes");
    assert_eq!(&two, b"89");
}

// covers: IORING_OP_TEE: the bytes are in both pipes
#[test]
fn tee() {
    let Some(mut ring) = ring_for(Opcode::Tee) else { return };
    let (mut first, mut source) = std::io::pipe().expect("a pipe");
    let (mut second, sink) = std::io::pipe().expect("a pipe");
    source.write_all(b"twice").expect("a write");
    assert_eq!(one(&mut ring, Sqe::tee(first.as_fd(), sink.as_fd(), 5, 0)), 5);
    for reader in [&mut first, &mut second] {
        let mut text = [0; 5];
        reader.read_exact(&mut text).expect("five bytes");
        assert_eq!(&text, b"twice");
    }
}

// covers: IORING_OP_PIPE: what goes into the second descriptor comes out of the first; the same with slots
#[test]
fn pipe() {
    let Some(mut ring) = ring_for(Opcode::Pipe) else { return };
    let mut ends = [-1_i32; 2];
    assert_eq!(one(&mut ring, Sqe::pipe(&mut ends, OFlags::CLOEXEC.bits())), 0);
    let (mut reader, mut writer) = (std::fs::File::from(owned(ends[0])), std::fs::File::from(owned(ends[1])));
    writer.write_all(b"through").expect("a write");
    let mut text = [0; 7];
    reader.read_exact(&mut text).expect("seven bytes");
    assert_eq!(&text, b"through");

    for place in [NewSlot::At(Slot(2)), NewSlot::Allocate] {
        let mut ends = [2_i32, 3];
        assert_eq!(one(&mut ring, Sqe::pipe_direct(&mut ends, 0, place)), 0);
        let [reader, writer] = match place {
            NewSlot::At(_) => [Slot(2), Slot(3)],
            NewSlot::Allocate => ends.map(|end| Slot(end as u32)),
        };
        let mut back = [0_u8; 4];
        push(&mut ring, Sqe::write(writer, b"slot".as_ptr(), 4, 0).link().user_data(1));
        push(&mut ring, Sqe::read(reader, back.as_mut_ptr(), 4, 0).user_data(2));
        let done = run(&mut ring, 2);
        assert_eq!((result(&done, 1), result(&done, 2), &back), (4, 4, b"slot"));
    }
}
