//! The uring backend under the engine: what a chain of entries costs, and that its meaning is the engine's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::ptr::NonNull;

use ouzel::backend::uring::{Policy, Uring, UringOptions};
use ouzel_engine::{Engine, Limits};
use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Completion, EngineEnd, Entry, EntryFlags, Errno, Geometry, Memory, SubmitterEnd, Verb};

struct World {
    engine: Engine<Uring>,
    submitter: SubmitterEnd,
}

fn world() -> Option<World> {
    let uring = match Uring::new(UringOptions { policy: Policy::Links, ..UringOptions::default() }) {
        Ok(uring) => uring,
        Err(error) => {
            println!("SKIPPED: {error}");
            return None;
        }
    };
    let geometry = Geometry::new(32, 64).unwrap();
    // Leaked on purpose: the memory outlives both ends.
    let words = Box::leak(vec![0u64; geometry.contiguous_size() / 8 + 8].into_boxed_slice());
    let base = words.as_mut_ptr().cast::<u8>();
    let base = NonNull::new(base.wrapping_add(base.align_offset(64))).unwrap();
    // SAFETY: the memory is zeroed, large enough, leaked and used by nobody else.
    let memory = unsafe { Memory::contiguous(base, geometry.contiguous_size(), geometry) }.unwrap();
    let limits = Limits { in_process: true, ..Limits::default() };
    let engine = Engine::new(EngineEnd::new(memory.clone(), 0), uring, limits);
    Some(World { engine, submitter: SubmitterEnd::new(memory, 0) })
}

impl World {
    fn run(&mut self, entries: &[Entry]) -> Vec<Completion> {
        for entry in entries {
            self.submitter.push(entry).unwrap();
        }
        self.submitter.publish();
        let count = entries.len() as u32;
        let entered = self.engine.enter(count, count, Some(20_000_000_000)).unwrap();
        assert_eq!(entered.readable, count);
        std::iter::from_fn(|| self.submitter.pop().unwrap()).collect()
    }
}

fn save(register: u32) -> EntryFlags {
    EntryFlags::from_bits_retain((register + 1) << 15)
}

fn load(argument: u32, register: u32) -> EntryFlags {
    EntryFlags::from_bits_retain((register + 1) << (3 * argument))
}

/// Open, read into `buffer`, and close in any case.
fn chain(path: &[u8], buffer: &mut [u8]) -> [Entry; 3] {
    let (path_address, path_length) = (path.as_ptr() as u64, path.len() as u64);
    let (address, length) = (buffer.as_mut_ptr() as u64, buffer.len() as u64);
    [
        Entry::new(Verb::Open)
            .arguments([0, path_address, path_length, OpenFlags::READ.bits(), 0])
            .flags(EntryFlags::LINK | EntryFlags::LOCAL | save(0)),
        Entry::new(Verb::Read).arguments([0, address, length, 0, 0]).flags(EntryFlags::LINK | load(0, 0)),
        Entry::new(Verb::Close).flags(EntryFlags::FINALLY | load(0, 0)),
    ]
}

#[test]
fn a_chain_is_one_crossing_and_a_broken_link_costs_one_more() {
    let Some(mut world) = world() else { return };
    if !world.engine.backend().features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("uring-engine-{}", std::process::id()));
    std::fs::write(&file, vec![9; 100]).unwrap();
    let mut path = file.to_str().unwrap().as_bytes().to_vec();
    path.push(0);
    // A close behind FINALLY hangs on nothing, so a short read does not part it from the run; one behind LINK does.
    for (room, finally, crossings) in [(100, true, 1), (4096, true, 1), (100, false, 1), (4096, false, 2)] {
        let mut buffer = vec![0; room];
        let before = world.engine.counters();
        let mut entries = chain(&path, &mut buffer);
        if !finally {
            entries[2] = Entry::new(Verb::Close).flags(load(0, 0));
        }
        let done = world.run(&entries);
        assert!(done.iter().all(|completion| completion.error == Errno::OK.raw()), "{done:?}");
        assert_eq!(done[1].result, 100);
        assert_eq!(world.engine.counters().since(before).crossings(), crossings);
        assert_eq!(world.engine.gauges().descriptors, 0);
    }
    std::fs::remove_file(&file).unwrap();
    // Without the file nothing is read, nothing closed.
    let done = world.run(&chain(&path, &mut [0; 8]));
    let errors: Vec<_> = done.iter().map(|completion| Errno::from_raw(completion.error)).collect();
    assert_eq!(errors, [Errno::ENOENT, Errno::ECANCELED, Errno::ECANCELED]);
    assert_eq!(world.engine.gauges(), Default::default());
}

#[test]
fn a_ring_of_thousands_fills_in_as_few_crossings_as_a_small_one() {
    const MANY: usize = 4096;
    let built = ouzel::Ring::builder().backend(ouzel::BackendKind::Uring).entries(MANY as u64).build();
    let mut ring = match built {
        Ok(ring) => ring,
        Err(error) => {
            println!("SKIPPED: {error}");
            return;
        }
    };
    let (read, write) = ring.pipe().unwrap();
    let before = ring.counters();
    for _ in 0..MANY {
        let mut chain = ouzel::Chain::new();
        chain.read(read, ouzel::Buffer::with_capacity(1), ouzel::Offset::CURRENT);
        ring.submit(chain).unwrap();
    }
    ring.flush().unwrap();
    assert_eq!(ring.gauges().started as usize, MANY, "all of them wait");
    let enters = ring.counters().since(before).enters;
    assert!(enters <= 3, "{enters} crossings to start {MANY} operations");
    ring.close(write).unwrap();
    ring.wait_all().unwrap();
    let mut ended = 0;
    while let Some((_, done)) = ring.next_ended() {
        assert_eq!(done.check(), Ok(()));
        ended += 1;
    }
    assert_eq!(ended, MANY);
}
