//! Tables of files.

use std::os::fd::AsFd as _;

use crate::common::{Scratch, directories, file_of, one, or_skip, result, ring, run};
use ouzel_uring::abi::{AT_FDCWD, CancelFlags, PollFlags};
use ouzel_uring::{CancelKey, NewSlot, RegisterCause, Ring, Slot, SlotUpdate, Sqe};

/// Two files of different texts, and the directory they are in.
fn two_files() -> (Scratch, std::fs::File, std::fs::File) {
    let scratch = Scratch::new(&directories()[0]);
    let files = (file_of(&scratch, "one", b"one"), file_of(&scratch, "two", b"two"));
    (scratch, files.0, files.1)
}

/// What the file in a slot says, or the errno.
fn text_in(ring: &mut Ring, slot: u32) -> Result<String, i32> {
    let mut buffer = [0_u8; 8];
    let length = one(ring, Sqe::read(Slot(slot), buffer.as_mut_ptr(), 8, 0));
    if length < 0 {
        Err(length)
    } else {
        Ok(String::from_utf8_lossy(&buffer[..length as usize]).into_owned())
    }
}

// covers: IORING_REGISTER_FILES: the slots read their files, also after the descriptors were closed
#[test]
fn register_files() {
    let Some(mut ring) = ring(8) else { return };
    let (_scratch, first, second) = two_files();
    let files = [SlotUpdate::file(first.as_fd()), SlotUpdate::EMPTY, SlotUpdate::file(second.as_fd())];
    assert_eq!(ring.register_files(&files), Ok(()));
    drop((first, second));
    assert_eq!(text_in(&mut ring, 0).as_deref(), Ok("one"));
    assert_eq!(text_in(&mut ring, 1), Err(-9));
    assert_eq!(text_in(&mut ring, 2).as_deref(), Ok("two"));
    let again = ring.register_files(&[SlotUpdate::EMPTY]).map_err(|error| error.cause);
    assert_eq!(again, Err(RegisterCause::AlreadyThere));
}

// covers: IORING_UNREGISTER_FILES: the slots are gone and another table fits
#[test]
fn unregister_files() {
    let Some(mut ring) = ring(8) else { return };
    let (_scratch, first, second) = two_files();
    assert_eq!(ring.register_files(&[SlotUpdate::file(first.as_fd())]), Ok(()));
    assert_eq!(ring.unregister_files(), Ok(()));
    assert_eq!(text_in(&mut ring, 0), Err(-9));
    assert_eq!(ring.unregister_files().map_err(|error| error.cause), Err(RegisterCause::NotThere));
    assert_eq!(ring.register_files(&[SlotUpdate::file(second.as_fd())]), Ok(()));
    assert_eq!(text_in(&mut ring, 0).as_deref(), Ok("two"));
}

// covers: IORING_REGISTER_FILES_UPDATE: the slot reads the new file, an emptied one none, a kept one the old
#[test]
fn files_update() {
    let Some(mut ring) = ring(8) else { return };
    let (_scratch, first, second) = two_files();
    let old = SlotUpdate::file(first.as_fd());
    assert_eq!(ring.register_files(&[old, old, old]), Ok(()));
    let updates = [SlotUpdate::file(second.as_fd()), SlotUpdate::KEEP, SlotUpdate::EMPTY];
    assert_eq!(ring.files_update(Slot(0), &updates), Ok(3));
    assert_eq!(text_in(&mut ring, 0).as_deref(), Ok("two"));
    assert_eq!(text_in(&mut ring, 1).as_deref(), Ok("one"));
    assert_eq!(text_in(&mut ring, 2), Err(-9));
    let outside = ring.files_update(Slot(2), &updates).map_err(|error| error.cause);
    assert_eq!(outside, Err(RegisterCause::Invalid));
}

// covers: IORING_REGISTER_FILES2: when the table goes, a completion with each file's tag is posted; sparse tables are empty
#[test]
fn files_with_tags() {
    let Some(mut tagged) = ring(8) else { return };
    let (_scratch, first, second) = two_files();
    let files = [SlotUpdate::file(first.as_fd()), SlotUpdate::file(second.as_fd())];
    let Some(()) = or_skip("tags", tagged.register_files_tagged(&files, &[71, 72])) else { return };
    assert_eq!(text_in(&mut tagged, 1).as_deref(), Ok("two"));
    assert_eq!(tagged.unregister_files(), Ok(()));
    let done = run(&mut tagged, 2);
    assert_eq!((result(&done, 71), result(&done, 72)), (0, 0));
    let unequal = tagged.register_files_tagged(&files, &[1]).map_err(|error| error.cause);
    assert_eq!(unequal, Err(RegisterCause::Invalid));

    let Some(mut sparse) = ring(8) else { return };
    assert_eq!(sparse.register_files_sparse(3), Ok(()));
    assert_eq!(text_in(&mut sparse, 2), Err(-9));
    let path = c"/proc/self/comm";
    assert_eq!(one(&mut sparse, Sqe::openat_direct(AT_FDCWD, path.as_ptr(), 0, 0, Slot(2))), 0);
    assert!(text_in(&mut sparse, 2).is_ok());
}

// covers: IORING_REGISTER_FILES_UPDATE2: the replaced file's tag is posted and the new one reads
#[test]
fn files_update_with_tags() {
    let Some(mut ring) = ring(8) else { return };
    let (_scratch, first, second) = two_files();
    let old = [SlotUpdate::file(first.as_fd())];
    let Some(()) = or_skip("tags", ring.register_files_tagged(&old, &[81])) else { return };
    assert_eq!(ring.files_update_tagged(Slot(0), &[SlotUpdate::file(second.as_fd())], &[82]), Ok(1));
    assert_eq!(result(&run(&mut ring, 1), 81), 0);
    assert_eq!(text_in(&mut ring, 0).as_deref(), Ok("two"));
    assert_eq!(ring.files_update_tagged(Slot(0), &[SlotUpdate::EMPTY], &[0]), Ok(1));
    assert_eq!(result(&run(&mut ring, 1), 82), 0);
}

// covers: IORING_REGISTER_FILE_ALLOC_RANGE: the kernel chooses inside the range only, and has none left when it is full
#[test]
fn file_alloc_range() {
    let Some(mut ring) = ring(8) else { return };
    let Some(()) = or_skip("a table", ring.register_files_sparse(8)) else { return };
    let Some(()) = or_skip("a range", ring.register_file_alloc_range(Slot(5), 2)) else { return };
    let open = Sqe::openat_direct(AT_FDCWD, c"/dev/null".as_ptr(), 0, 0, NewSlot::Allocate);
    let mut chosen = [one(&mut ring, open), one(&mut ring, open)];
    chosen.sort_unstable();
    assert_eq!(chosen, [5, 6]);
    assert_eq!(one(&mut ring, open), -23);
    let outside = ring.register_file_alloc_range(Slot(7), 2).map_err(|error| error.cause);
    assert!(matches!(outside, Err(RegisterCause::Invalid | RegisterCause::Overflow)), "{outside:?}");
}

// covers: IORING_REGISTER_SYNC_CANCEL: what matches is cancelled when the call returns, by user data, file, slot or all
#[test]
fn sync_cancel() {
    let Some(mut ring) = ring(8) else { return };
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let poll = |number| Sqe::poll_add(reader.as_fd(), 1, PollFlags::empty()).user_data(number);
    for number in 1..=5 {
        crate::common::push(&mut ring, poll(number));
    }
    assert_eq!(ring.submit(), Ok(5));
    let limit = Some(crate::common::PATIENCE);
    let Some(_) = or_skip("cancelling", ring.sync_cancel(CancelKey::UserData(3), false, limit)) else {
        return;
    };
    assert_eq!(result(&run(&mut ring, 1), 3), -125);
    let none = ring.sync_cancel(CancelKey::UserData(3), false, limit).map_err(|error| error.cause);
    assert_eq!(none, Err(RegisterCause::NoMatch));
    let fd = std::os::fd::AsRawFd::as_raw_fd(&reader);
    assert!(ring.sync_cancel(CancelKey::Target(fd.into()), false, limit).is_ok());
    assert_eq!(run(&mut ring, 1)[0].res, -125);
    let by_opcode = CancelKey::Opcode(ouzel_uring::abi::Opcode::PollAdd);
    assert!(ring.sync_cancel(by_opcode, false, limit).is_ok());
    assert_eq!(run(&mut ring, 1)[0].res, -125);
    assert!(ring.sync_cancel(CancelKey::Any, true, limit).is_ok());
    assert!(run(&mut ring, 2).iter().all(|one| one.res == -125));
    assert_eq!(one(&mut ring, Sqe::cancel(0, CancelFlags::ANY)), 0);
}
