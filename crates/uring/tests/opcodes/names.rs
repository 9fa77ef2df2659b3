//! Opcodes on names: directories, links, attributes.

use std::ffi::CStr;
use std::os::unix::fs::MetadataExt as _;

use crate::common::{Scratch, directories, file_of, one, ring_for};
use ouzel_uring::Sqe;
use ouzel_uring::abi::{AT_FDCWD, Opcode};

/// A fresh directory with a file of ten bytes in each place to test.
fn places() -> impl Iterator<Item = Scratch> {
    directories().into_iter().map(|directory| {
        let scratch = Scratch::new(&directory);
        file_of(&scratch, "file", b"0123456789");
        scratch
    })
}

// covers: IORING_OP_STATX: the size and the inode are the file's
#[test]
fn statx() {
    let Some(mut ring) = ring_for(Opcode::Statx) else { return };
    for scratch in places() {
        let path = scratch.path("file");
        let mut stat = [0_u64; 32];
        let place = stat.as_mut_ptr().cast();
        assert_eq!(one(&mut ring, Sqe::statx(AT_FDCWD, path.as_ptr(), 0, 0x7ff, place)), 0);
        let expected = std::fs::metadata(scratch.0.join("file")).expect("metadata");
        assert_eq!((stat[5], stat[4]), (10, expected.ino()));
    }
}

// covers: IORING_OP_MKDIRAT: the directory is there, with its mode
#[test]
fn mkdirat() {
    let Some(mut ring) = ring_for(Opcode::Mkdirat) else { return };
    for scratch in places() {
        let path = scratch.path("made");
        assert_eq!(one(&mut ring, Sqe::mkdirat(AT_FDCWD, path.as_ptr(), 0o700)), 0);
        let made = std::fs::metadata(scratch.0.join("made")).expect("the directory");
        assert!(made.is_dir() && made.mode() & 0o777 == 0o700, "{:o}", made.mode());
        assert_eq!(one(&mut ring, Sqe::mkdirat(AT_FDCWD, path.as_ptr(), 0o700)), -17);
    }
}

// covers: IORING_OP_UNLINKAT: the file, and with AT_REMOVEDIR the directory, is gone
#[test]
fn unlinkat() {
    let Some(mut ring) = ring_for(Opcode::Unlinkat) else { return };
    const REMOVE_DIRECTORY: u32 = 0x200;
    for scratch in places() {
        std::fs::create_dir(scratch.0.join("folder")).expect("a directory");
        let (file, folder) = (scratch.path("file"), scratch.path("folder"));
        assert_eq!(one(&mut ring, Sqe::unlinkat(AT_FDCWD, file.as_ptr(), 0)), 0);
        assert_eq!(one(&mut ring, Sqe::unlinkat(AT_FDCWD, folder.as_ptr(), 0)), -21);
        assert_eq!(one(&mut ring, Sqe::unlinkat(AT_FDCWD, folder.as_ptr(), REMOVE_DIRECTORY)), 0);
        assert_eq!(std::fs::read_dir(&scratch.0).expect("the directory").count(), 0);
    }
}

// covers: IORING_OP_RENAMEAT: the file has the new name, and with RENAME_NOREPLACE spares what is there
#[test]
fn renameat() {
    let Some(mut ring) = ring_for(Opcode::Renameat) else { return };
    const NO_REPLACE: u32 = 1;
    for scratch in places() {
        let (old, new) = (scratch.path("file"), scratch.path("new"));
        let rename = Sqe::renameat(AT_FDCWD, old.as_ptr(), AT_FDCWD, new.as_ptr(), NO_REPLACE);
        assert_eq!(one(&mut ring, rename), 0);
        assert_eq!(std::fs::read(scratch.0.join("new")).expect("the file"), b"0123456789");
        assert!(!scratch.0.join("file").exists());
        std::fs::write(scratch.0.join("file"), b"other").expect("a file");
        assert_eq!(one(&mut ring, rename), -17);
        assert_eq!(std::fs::read(scratch.0.join("new")).expect("the file"), b"0123456789");
    }
}

// covers: IORING_OP_LINKAT: both names are the same file
#[test]
fn linkat() {
    let Some(mut ring) = ring_for(Opcode::Linkat) else { return };
    for scratch in places() {
        let (old, new) = (scratch.path("file"), scratch.path("other"));
        assert_eq!(one(&mut ring, Sqe::linkat(AT_FDCWD, old.as_ptr(), AT_FDCWD, new.as_ptr(), 0)), 0);
        let [first, second] =
            ["file", "other"].map(|name| std::fs::metadata(scratch.0.join(name)).expect("metadata"));
        assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
    }
}

// covers: IORING_OP_SYMLINKAT: the link leads where it was told
#[test]
fn symlinkat() {
    let Some(mut ring) = ring_for(Opcode::Symlinkat) else { return };
    for scratch in places() {
        let path = scratch.path("soft");
        assert_eq!(one(&mut ring, Sqe::symlinkat(c"file".as_ptr(), AT_FDCWD, path.as_ptr())), 0);
        assert_eq!(std::fs::read_link(scratch.0.join("soft")).expect("a link").to_str(), Some("file"));
        assert_eq!(std::fs::read(scratch.0.join("soft")).expect("its file").len(), 10);
    }
}

const NAME: &CStr = c"user.ouzel";

/// The attribute as an ordinary call sees it.
fn attribute(scratch: &Scratch) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(scratch.0.join("file"), NAME, &mut value).ok()?;
    Some(value[..length].to_vec())
}

/// Whether the file system keeps such attributes; says so if not.
fn keeps_attributes(scratch: &Scratch) -> bool {
    let set = rustix::fs::setxattr(scratch.0.join("file"), NAME, b"before", rustix::fs::XattrFlags::empty());
    if let Err(error) = set {
        eprintln!("SKIPPED: {}: no attributes: {error}", scratch.0.display());
    }
    set.is_ok()
}

const CREATE: u32 = 1;

// covers: IORING_OP_SETXATTR: the file has the attribute; XATTR_CREATE spares one that is there
#[test]
fn setxattr() {
    let Some(mut ring) = ring_for(Opcode::Setxattr) else { return };
    for scratch in places().filter(keeps_attributes) {
        let path = scratch.path("file");
        let value = b"by path";
        let set = |flags| Sqe::setxattr(path.as_ptr(), NAME.as_ptr(), value.as_ptr().cast(), 7, flags);
        assert_eq!(one(&mut ring, set(CREATE)), -17);
        assert_eq!(one(&mut ring, set(0)), 0);
        assert_eq!(attribute(&scratch).as_deref(), Some(&value[..]));
    }
}

// covers: IORING_OP_FSETXATTR: the open file has the attribute
#[test]
fn fsetxattr() {
    let Some(mut ring) = ring_for(Opcode::Fsetxattr) else { return };
    for scratch in places().filter(keeps_attributes) {
        let file = std::fs::File::open(scratch.0.join("file")).expect("the file");
        let fd = std::os::fd::AsFd::as_fd(&file);
        let value = b"by descriptor";
        let set = Sqe::fsetxattr(fd, NAME.as_ptr(), value.as_ptr().cast(), value.len() as u32, 0);
        assert_eq!(one(&mut ring, set), 0);
        assert_eq!(attribute(&scratch).as_deref(), Some(&value[..]));
    }
}

// covers: IORING_OP_GETXATTR: the value arrives; one that does not fit is refused
#[test]
fn getxattr() {
    let Some(mut ring) = ring_for(Opcode::Getxattr) else { return };
    for scratch in places().filter(keeps_attributes) {
        let path = scratch.path("file");
        let mut value = [0_u8; 16];
        let place = value.as_mut_ptr().cast();
        assert_eq!(one(&mut ring, Sqe::getxattr(path.as_ptr(), NAME.as_ptr(), place, 16)), 6);
        assert_eq!(&value[..7], b"before\0");
        assert_eq!(one(&mut ring, Sqe::getxattr(path.as_ptr(), NAME.as_ptr(), place, 3)), -34);
        assert_eq!(one(&mut ring, Sqe::getxattr(path.as_ptr(), c"user.none".as_ptr(), place, 3)), -61);
    }
}

// covers: IORING_OP_FGETXATTR: the value arrives
#[test]
fn fgetxattr() {
    let Some(mut ring) = ring_for(Opcode::Fgetxattr) else { return };
    for scratch in places().filter(keeps_attributes) {
        let file = std::fs::File::open(scratch.0.join("file")).expect("the file");
        let fd = std::os::fd::AsFd::as_fd(&file);
        let mut value = [0_u8; 16];
        let place = value.as_mut_ptr().cast();
        assert_eq!(one(&mut ring, Sqe::fgetxattr(fd, NAME.as_ptr(), place, 16)), 6);
        assert_eq!(&value[..7], b"before\0");
    }
}
