//! The split placement over real mappings: each side has the other side's part read-only, and a submitter sleeps on a word
//! that it cannot write.

#![cfg(all(not(loom), target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use ouzel_ring::{Broken, Completion, EngineEnd, Entry, Geometry, Memory, State, SubmitterEnd, Verb};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;

/// A mapping of one part.
struct Mapping {
    base: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    fn new(memory: &OwnedFd, length: usize, access: ProtFlags) -> Mapping {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, memory, 0) };
        Mapping { base: NonNull::new(base.unwrap()).unwrap(), length }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the ends are dropped before it.
        unsafe { munmap(self.base.as_ptr(), self.length) }.unwrap();
    }
}

/// One side's view of a ring: its own part to write, the other side's to read.
struct View {
    engine: Mapping,
    submitter: Mapping,
    geometry: Geometry,
}

impl View {
    fn memory(&self) -> Memory {
        let (engine, submitter) = (&self.engine, &self.submitter);
        // SAFETY: zeroed when they were made; on these targets loads do not write; the view outlives the ends.
        let memory = unsafe {
            Memory::split(
                engine.base.cast(),
                engine.length,
                submitter.base.cast(),
                submitter.length,
                self.geometry,
            )
        };
        memory.unwrap()
    }
}

/// The engine's view and the submitter's.
fn views() -> (View, View) {
    let geometry = Geometry::new(8, 8).unwrap();
    let part = |length: usize| {
        let memory = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memory, length as u64).unwrap();
        memory
    };
    let (engine_length, submitter_length) = (geometry.split_engine_size(), geometry.split_submitter_size());
    let (engine, submitter) = (part(engine_length), part(submitter_length));
    let both = ProtFlags::READ | ProtFlags::WRITE;
    let view = |engine_access, submitter_access| View {
        engine: Mapping::new(&engine, engine_length, engine_access),
        submitter: Mapping::new(&submitter, submitter_length, submitter_access),
        geometry,
    };
    (view(both, ProtFlags::READ), view(ProtFlags::READ, both))
}

fn answer(entry: &Entry) -> Completion {
    Completion { op: entry.op, error: 0, data: entry.data, result: entry.data + 1, flags: 0, extra: 0 }
}

#[test]
fn each_call_works_with_the_other_side_s_part_read_only() {
    let (engine_view, submitter_view) = views();
    let mut engine = EngineEnd::new(engine_view.memory(), 0);
    let mut submitter = SubmitterEnd::new(submitter_view.memory(), 0);
    for round in 0..40 {
        let entry = Entry::new(Verb::Get).data(round);
        submitter.push(&entry).unwrap();
        assert_eq!(submitter.publish(), 1);
        assert_eq!(engine.available(), Ok(1));
        assert_eq!(engine.copy_next(), Some(entry));
        engine.release(1);
        engine.save_register(3, round);
        assert_eq!(engine.post(&answer(&entry)), Ok(()));
        assert_eq!(submitter.pop(), Ok(Some(answer(&entry))));
        assert_eq!((submitter.register(3), engine.registers()[3]), (Some(round), round));
        assert!(!submitter.set_register(3, 9));
        assert_eq!((engine.unread(), submitter.room()), (Ok(0), Ok(8)));
    }
    engine.set_starved(true);
    engine.fall_asleep();
    assert!(submitter.engine_sleeps() && submitter.engine_starved());
    submitter.fall_asleep();
    assert!(engine.submitter_sleeps());
    engine.set_state(State::Closing);
    assert_eq!(submitter.engine_state(), State::Closing);
    // Each notes in its own part that the other lies.
    let word = submitter_view.submitter.base.cast::<u32>();
    // SAFETY: `stail`, which the submitter's view may write.
    unsafe { AtomicU32::from_ptr(word.as_ptr()) }.store(1_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(engine.available(), Err(Broken));
    assert_eq!(submitter.engine_state(), State::Broken);
}

#[test]
fn a_submitter_sleeps_on_a_word_that_it_cannot_write() {
    const ROUNDS: u64 = 200;
    let (engine_view, submitter_view) = views();
    let patience = rustix::time::Timespec { tv_sec: 20, tv_nsec: 0 };
    let flags = futex::Flags::empty();
    std::thread::scope(|scope| {
        let mut engine = EngineEnd::new(engine_view.memory(), 0);
        let mut submitter = SubmitterEnd::new(submitter_view.memory(), 0);
        scope.spawn(move || {
            let mut done = 0;
            while done < ROUNDS {
                if engine.available().unwrap() == 0 {
                    std::thread::yield_now();
                    continue;
                }
                while let Some(entry) = engine.copy_next() {
                    engine.release(1);
                    if entry.data % 50 == 0 {
                        // Long enough for the other side to sleep in earnest.
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    engine.post(&answer(&entry)).unwrap();
                    done += 1;
                }
                if engine.submitter_sleeps() {
                    // SAFETY: a word of the engine's part, which its view outlives.
                    let word = unsafe { AtomicU32::from_ptr(engine.completions_word().as_ptr()) };
                    futex::wake(word, flags, 1).unwrap();
                }
            }
        });
        let mut slept = 0;
        for round in 0..ROUNDS {
            let entry = Entry::new(Verb::Get).data(round);
            submitter.push(&entry).unwrap();
            submitter.publish();
            loop {
                if let Some(done) = submitter.pop().unwrap() {
                    assert_eq!(done, answer(&entry));
                    break;
                }
                submitter.fall_asleep();
                if submitter.unread() == Ok(0) {
                    // SAFETY: a word of the engine's part, which this side's view has read-only; futex(2) reads it.
                    let word = unsafe { AtomicU32::from_ptr(submitter.completions_word().as_ptr()) };
                    match futex::wait(word, flags, submitter.tail_seen(), Some(&patience)) {
                        Ok(()) => slept += 1,
                        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                        Err(error) => panic!("round {round}: {error}"),
                    }
                }
                submitter.wake_up();
            }
        }
        assert!(slept >= 4, "it slept {slept} times");
    });
}
