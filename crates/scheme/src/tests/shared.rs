use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;

use ouzel_ring::{Completion, EngineEnd, Entry, SubmitterEnd, Verb};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::pwrite;

use super::*;
use crate::testing;

const PAGE: usize = 4096;

fn geometry() -> Geometry {
    Geometry::new(64, 256).unwrap()
}

/// What a memfd may be made wrong in.
struct Made {
    flags: MemfdFlags,
    length: usize,
    seals: SealFlags,
}

impl Made {
    fn right(length: usize) -> Made {
        Made { flags: MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING, length, seals: FIXED }
    }

    fn make(&self) -> rustix::io::Result<OwnedFd> {
        let file = memfd_create(c"ouzel-test", self.flags)?;
        ftruncate(&file, self.length as u64)?;
        if !self.seals.is_empty() {
            fcntl_add_seals(&file, self.seals)?;
        }
        Ok(file)
    }
}

/// The seals without each of those that there must be, one at a time.
fn seals_with_one_missing(seals: SealFlags) -> Vec<SealFlags> {
    seals.iter().map(|one| seals.difference(one)).collect()
}

/// How a mapping of this process is mapped, such as `rw-s`.
fn protection(mapping: &Mapping) -> String {
    let start = format!("{:x}-", mapping.start.addr());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.starts_with(&start)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

fn word(region: &Region, at: usize) -> &std::sync::atomic::AtomicU64 {
    assert!(at.is_multiple_of(8) && at + 8 <= region.len());
    // SAFETY: inside the region, which is mapped as long as it is borrowed, and aligned; any bits are a number.
    unsafe { region.start().add(at).cast().as_ref() }
}

fn punch(file: &OwnedFd, length: usize) -> rustix::io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, 0, length as u64)
}

#[track_caller]
fn refused<T: fmt::Debug>(result: io::Result<T>, part: &str) {
    let error: Error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn each_side_can_write_its_own_part_only() {
    testing::isolated("shared::tests::each_side_can_write_its_own_part_only", || {
        let (server, files) = RingMemory::make(geometry()).unwrap();
        let client = RingMemory::open(geometry(), files).unwrap();
        let sides = [
            (&server._engine, "rw-s"),
            (&server._submitter, "r--s"),
            (&client._engine, "r--s"),
            (&client._submitter, "rw-s"),
        ];
        for (mapping, expected) in sides {
            assert_eq!(protection(mapping), expected);
        }
    });
}

#[test]
fn a_ring_works_over_both_mappings() {
    for (entries, completions) in [(1, 2), (64, 128), (1 << 16, 1 << 16)] {
        let geometry = Geometry::new(entries, completions).unwrap();
        let (server, files) = RingMemory::make(geometry).unwrap();
        let client = RingMemory::open(geometry, files).unwrap();
        // SAFETY: both ends are gone before the memory.
        let (mut submitter, mut engine) =
            unsafe { (SubmitterEnd::new(client.handle(), 0), EngineEnd::new(server.handle(), 0)) };
        for round in 0..3 * entries.min(100) {
            submitter.push(&Entry::new(Verb::Nop).data(round)).unwrap();
            submitter.publish();
            assert_eq!(engine.available(), Ok(1));
            let entry = engine.copy_next().unwrap();
            assert_eq!(entry.data, round);
            engine.release(1);
            let done = Completion { op: entry.op, error: 0, data: entry.data, result: 1, flags: 0, extra: 0 };
            engine.post(&done).unwrap();
            assert_eq!(submitter.pop().unwrap(), Some(done));
        }
    }
}

#[test]
fn a_client_can_take_nothing_back() {
    let (server, files) = RingMemory::make(geometry()).unwrap();
    for file in &files {
        let seals = fcntl_get_seals(file).unwrap();
        assert!(seals.contains(FIXED), "{seals:?}");
        assert_eq!(fcntl_add_seals(file, SealFlags::WRITE), Err(Errno::PERM));
        for length in [0, PAGE as u64, 1 << 20] {
            assert_eq!(ftruncate(file, length), Err(Errno::PERM));
        }
    }
    let [engine_file, submitter_file] = files;
    assert_eq!(pwrite(&engine_file, &[1], 0), Err(Errno::PERM));
    assert_eq!(punch(&engine_file, PAGE), Err(Errno::PERM));
    let map = |file: &OwnedFd, flags| {
        // SAFETY: the kernel chooses the place. If it were mapped, it would stay so.
        unsafe { mmap(null_mut(), PAGE, flags, MapFlags::SHARED, file, 0) }.map(|_| ())
    };
    assert_eq!(map(&engine_file, ProtFlags::READ | ProtFlags::WRITE), Err(Errno::PERM));
    // SAFETY: the end is gone before the memory.
    let mut engine = unsafe { EngineEnd::new(server.handle(), 0) };
    // The client's own part may have holes, in which the server finds zeros.
    pwrite(&submitter_file, &[0xff; 128], 64).unwrap();
    punch(&submitter_file, PAGE).unwrap();
    assert_eq!(engine.available(), Ok(0));
    pwrite(&submitter_file, &1_u32.to_ne_bytes(), 0).unwrap();
    assert_eq!(engine.available(), Ok(1));
    assert_eq!(engine.copy_next(), Some(Entry::from_words([0; 8])));
}

#[test]
fn a_client_takes_only_what_a_server_makes() {
    testing::isolated("shared::tests::a_client_takes_only_what_a_server_makes", || {
        let engine_length = whole_pages(geometry().split_engine_size());
        let submitter_length = whole_pages(geometry().split_submitter_size());
        assert_ne!(engine_length, submitter_length);
        let engine = |made: Made| {
            let (_server, [_, submitter]) = RingMemory::make(geometry()).unwrap();
            RingMemory::open(geometry(), [made.make().unwrap(), submitter])
        };
        let submitter = |made: Made| {
            let (_server, [engine, _]) = RingMemory::make(geometry()).unwrap();
            RingMemory::open(geometry(), [engine, made.make().unwrap()])
        };
        let ours = || Made { seals: FIXED_AND_OURS, ..Made::right(engine_length) };
        engine(ours()).unwrap();
        submitter(Made::right(submitter_length)).unwrap();
        for seals in seals_with_one_missing(FIXED_AND_OURS) {
            refused(engine(Made { seals, ..ours() }), "the engine part of a ring: it has not the seals");
        }
        for seals in seals_with_one_missing(FIXED) {
            let made = Made { seals, ..Made::right(submitter_length) };
            refused(submitter(made), "the submitter part of a ring: it has not the seals");
        }
        for length in [0, engine_length - 1, engine_length + 1, engine_length + PAGE] {
            refused(
                engine(Made { length, ..ours() }),
                &format!("{length} bytes and not the {engine_length}"),
            );
        }
        for length in [0, submitter_length - PAGE, submitter_length + PAGE] {
            refused(
                submitter(Made::right(length)),
                &format!("{length} bytes and not the {submitter_length}"),
            );
        }
        let (_server, [engine_file, submitter_file]) = RingMemory::make(geometry()).unwrap();
        refused(RingMemory::open(geometry(), [submitter_file, engine_file]), "engine part");
        let (_server, files) = RingMemory::make(geometry()).unwrap();
        let larger = Geometry::new(128, 256).unwrap();
        refused(RingMemory::open(larger, files), "the submitter part of a ring");
    });
}

#[test]
fn memory_of_a_client_is_mapped_and_its_descriptor_closed() {
    testing::isolated("shared::tests::memory_of_a_client_is_mapped_and_its_descriptor_closed", || {
        for pages in [1, 16, 1024] {
            let file = Made::right(pages * PAGE).make().unwrap();
            let theirs = file.try_clone().unwrap();
            let before = testing::descriptors();
            let region = Region::accept(file, pages * PAGE).unwrap();
            assert_eq!(testing::descriptors(), before - 1);
            assert_eq!(region.len(), pages * PAGE);
            assert_eq!(protection(&region.mapping), "rw-s");
            // Both see what either writes.
            pwrite(&theirs, &7_u64.to_ne_bytes(), 8).unwrap();
            assert_eq!(word(&region, 8).load(std::sync::atomic::Ordering::Relaxed), 7);
            word(&region, region.len() - 8).store(9, std::sync::atomic::Ordering::Relaxed);
            let mut bytes = [0; 8];
            rustix::io::pread(&theirs, &mut bytes, (region.len() - 8) as u64).unwrap();
            assert_eq!(u64::from_ne_bytes(bytes), 9);
        }
    });
}

#[test]
fn a_hole_in_the_memory_of_a_client_is_zeros() {
    use std::sync::atomic::Ordering::Relaxed;
    let length = 64 * PAGE;
    let file = Made::right(length).make().unwrap();
    let theirs = file.try_clone().unwrap();
    let region = Region::accept(file, length).unwrap();
    for round in 1..4 {
        for at in (0..length).step_by(PAGE) {
            word(&region, at).store(round, Relaxed);
        }
        punch(&theirs, length).unwrap();
        assert!((0..length).step_by(8).all(|at| word(&region, at).load(Relaxed) == 0));
    }
    // What was punched is memory again when it is written, the client's as well.
    word(&region, 0).store(5, Relaxed);
    let mut bytes = [0; 8];
    rustix::io::pread(&theirs, &mut bytes, 0).unwrap();
    assert_eq!(u64::from_ne_bytes(bytes), 5);
    for shorter in [0, PAGE as u64] {
        assert_eq!(ftruncate(&theirs, shorter), Err(Errno::PERM));
    }
    drop(theirs);
    assert_eq!(word(&region, 0).load(Relaxed), 5);
}

#[test]
fn memory_that_could_be_taken_away_is_refused() {
    testing::isolated("shared::tests::memory_that_could_be_taken_away_is_refused", || {
        let length = 4 * PAGE;
        let accept = |made: Made| Region::accept(made.make().unwrap(), length);
        accept(Made::right(length)).unwrap();
        // Memory that can never be executed has one seal more.
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL;
        match (Made { flags, ..Made::right(length) }).make() {
            Ok(file) => drop(Region::accept(file, length).unwrap()),
            Err(error) => println!("SKIPPED: memory that can never be executed: {error}"),
        }
        for seals in seals_with_one_missing(FIXED) {
            refused(accept(Made { seals, ..Made::right(length) }), "it has not the seals");
        }
        // Without any, and without the possibility to add one.
        refused(accept(Made { seals: SealFlags::empty(), ..Made::right(length) }), "it has not the seals");
        let plain = Made { flags: MemfdFlags::CLOEXEC, seals: SealFlags::empty(), length };
        refused(accept(plain), "it has not the seals");
        for other in [0, PAGE, length - 1, length + 1, length + PAGE, 1 << 40] {
            refused(accept(Made::right(other)), &format!("{other} bytes and not the {length}"));
        }
        for asked in [0, 1, PAGE - 1, length + 1, usize::MAX, usize::MAX - PAGE + 2] {
            let file = Made::right(length).make().unwrap();
            refused(Region::accept(file, asked), "whole pages");
        }
        for asked in [PAGE, 8 * PAGE, 1 << 46] {
            let file = Made::right(length).make().unwrap();
            refused(Region::accept(file, asked), "that were agreed on");
        }
    });
}

#[test]
fn memory_that_is_something_else_is_refused() {
    testing::isolated("shared::tests::memory_that_is_something_else_is_refused", || {
        let length = 4 * PAGE;
        for folder in testing::folders() {
            let file = File::create_new(folder.path().join("file")).unwrap();
            file.set_len(length as u64).unwrap();
            let file = OwnedFd::from(file);
            // Files of a tmpfs are memory, but cannot be sealed.
            let on_tmpfs = u64::try_from(fstatfs(&file).unwrap().f_type) == Ok(TMPFS.into());
            let why = if on_tmpfs { "it has not the seals" } else { "no memory" };
            refused(Region::accept(file, length), why);
            let opened = OwnedFd::from(File::open(folder.path()).unwrap());
            assert_eq!(Region::accept(opened, length).unwrap_err().kind(), ErrorKind::InvalidData);
        }
        refused(Region::accept(OwnedFd::from(File::open("/dev/zero").unwrap()), length), "no memory");
        let (reader, writer) = std::io::pipe().unwrap();
        refused(Region::accept(reader.into(), length), "no memory");
        refused(Region::accept(writer.into(), length), "no memory");
        let counter = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        refused(Region::accept(counter, length), "no memory");

        let huge = Made {
            flags: MemfdFlags::CLOEXEC
                | MemfdFlags::ALLOW_SEALING
                | MemfdFlags::HUGETLB
                | MemfdFlags::HUGE_2MB,
            ..Made::right(2 << 20)
        };
        match huge.make() {
            Ok(file) => refused(Region::accept(file, 2 << 20), "of ordinary pages"),
            Err(error) => println!("SKIPPED: memory of huge pages: {error}"),
        }
    });
}

#[test]
fn memory_that_cannot_be_written_is_refused() {
    testing::isolated("shared::tests::memory_that_cannot_be_written_is_refused", || {
        for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
            let file = Made { seals: FIXED | seal, ..Made::right(PAGE) }.make().unwrap();
            refused(Region::accept(file, PAGE), "cannot be mapped for writing");
        }
        let file = Made::right(PAGE).make().unwrap();
        let again = |flags| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        refused(Region::accept(again(OFlags::RDONLY), PAGE), "cannot be mapped for writing");
        refused(Region::accept(again(OFlags::WRONLY), PAGE), "cannot be mapped for writing");
        // One that stands for the file, and is not open at all.
        refused(Region::accept(again(OFlags::PATH), PAGE), "no memory");
    });
}

/// Nobody maps more than one time what was agreed on, and nothing stays.
#[test]
fn memory_comes_and_goes() {
    testing::isolated("shared::tests::memory_comes_and_goes", || {
        for _ in 0..100 {
            let (server, files) = RingMemory::make(geometry()).unwrap();
            let client = RingMemory::open(geometry(), files).unwrap();
            let region = Region::accept(Made::right(PAGE).make().unwrap(), PAGE).unwrap();
            drop((client, region, server));
        }
    });
}
