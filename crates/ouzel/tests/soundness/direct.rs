//! Rings and executors that are dropped while reads past the page cache are in flight: the kernel has pinned their memory, and a
//! closed ring does not stop it. `bench/teardown` shows what becomes of that elsewhere; this is our side of it, with assertions.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ouzel::pool::Pool;
use ouzel::{BackendKind, Buffer, Chain, Offset, Ring};

use crate::stage::{Cell, LIMIT, Runtime, check_files, home, open_files};
use crate::watch::Watch;

/// Reads that are begun, and the bytes of each.
const READS: usize = 600;
const BYTES: usize = 32 * 1024;
/// What memory is filled with that is taken anew: no block of the file holds only this.
const FRESH: u8 = 0xaa;
/// How long it is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub const CELLS: &[Cell] = &[
    ("O_DIRECT, ring dropped, memory of the heap", ring_dropped),
    ("O_DIRECT, ring dropped, memory of a pool", ring_dropped_over_a_pool),
    ("O_DIRECT, futures dropped, then the executor", executor_dropped),
];

/// A file on a disk, gone afterwards.
struct Blocks(PathBuf);

impl Blocks {
    fn new() -> Blocks {
        let path = home().join(format!("ouzel-direct-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        for block in 0..READS {
            file.write_all(&vec![block as u8 & 0x7f; BYTES]).unwrap();
        }
        file.sync_all().unwrap();
        Blocks(path)
    }

    /// It, opened past the page cache, if its file system has such a thing.
    fn open(&self) -> Option<File> {
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        match OpenOptions::new().read(true).custom_flags(flags).open(&self.0) {
            Ok(file) => Some(file),
            Err(error) => {
                println!("SKIPPED: O_DIRECT in {}: {error}", home().display());
                None
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn offset(read: usize) -> Offset {
    Offset::at((read * BYTES) as u64)
}

/// Takes as much memory of the heap as was given back, and looks at it for a while.
fn look_at_new_memory() {
    let fresh: Vec<Vec<u8>> = (0..READS).map(|_| vec![FRESH; BYTES]).collect();
    std::thread::sleep(LOOK);
    let is_overwritten = |memory: &&Vec<u8>| std::hint::black_box(*memory).iter().any(|byte| *byte != FRESH);
    assert_eq!(fresh.iter().filter(is_overwritten).count(), 0, "new memory was overwritten");
}

/// As many reads as the table says, in memory of the heap, on no boundary in particular; and the ring dropped.
fn ring_dropped(kind: BackendKind) {
    let (blocks, files) = (Blocks::new(), open_files());
    for bound in [LIMIT, Duration::from_secs(1)] {
        let Some(file) = blocks.open() else { return };
        let builder = Ring::builder().backend(kind).entries(1024).teardown_bound(bound);
        let mut ring = builder.build().unwrap();
        let file = ring.adopt(file).unwrap();
        for read in 0..READS {
            let mut chain = Chain::new();
            chain.read(file, Buffer::with_capacity(BYTES), offset(read));
            ring.submit(chain).unwrap();
        }
        ring.flush().unwrap();
        drop(ring);
        look_at_new_memory();
    }
    assert_eq!(ouzel::leaked_operations(), 0);
    check_files(files);
}

/// Memory for all reads, out of reach when it is given back.
fn pool() -> Pool {
    let region = (READS * BYTES).next_power_of_two();
    Pool::builder().region_size(region).regions(1).debug(true).quarantine(region).build().unwrap()
}

/// The same with memory of a pool in debug mode: a read that lives longer than its memory ends with EFAULT, or is seen by
/// what has the memory next.
fn ring_dropped_over_a_pool(kind: BackendKind) {
    let (blocks, files) = (Blocks::new(), open_files());
    let Some(file) = blocks.open() else { return };
    let pool = pool();
    let builder = Ring::builder().backend(kind).entries(1024).teardown_bound(LIMIT);
    let (backend, _) = builder.open_backend().unwrap();
    let (backend, watch) = Watch::over(backend);
    let mut ring = builder.build_on(Box::new(backend)).unwrap();
    let file = ring.adopt(file).unwrap();
    for read in 0..READS {
        let mut chain = Chain::new();
        chain.read(file, Buffer::from_pool(&pool, BYTES).unwrap(), offset(read));
        ring.submit(chain).unwrap();
    }
    ring.flush().unwrap();
    assert_eq!(pool.statistics().in_use, READS);
    drop(ring);
    check_pool(&pool);
    assert_eq!((watch.in_flight(), watch.faults()), (0, 0));
    assert_eq!(ouzel::leaked_operations(), 0);
    check_files(files);
}

/// Everything has come back, and nobody writes to it any more.
fn check_pool(pool: &Pool) {
    assert_eq!(pool.statistics().in_use, 0, "memory of the pool leaks");
    let mut slices: Vec<_> = (0..READS).map(|_| pool.get(BYTES).unwrap()).collect();
    slices.iter_mut().for_each(|slice| slice.fill(FRESH));
    std::thread::sleep(LOOK);
    let is_whole = |slice: &ouzel::pool::Slice| slice.iter().all(|byte| *byte == FRESH);
    assert!(slices.iter().all(is_whole), "memory was written to after somebody else had got it");
}

/// Futures that were polled once and dropped, as a time limit does, and then their executor.
fn executor_dropped(kind: BackendKind) {
    let (blocks, files) = (Blocks::new(), open_files());
    let Some(file) = blocks.open() else { return };
    let pool = pool();
    let builder = Ring::builder().backend(kind).entries(1024).teardown_bound(LIMIT);
    let mut runtime = Runtime::with(kind, builder);
    let file = runtime.handle.adopt(file).unwrap();
    let mut reads: Vec<_> = (0..READS)
        .map(|read| runtime.handle.read(file, Buffer::from_pool(&pool, BYTES).unwrap(), offset(read)))
        .collect();
    for reading in &mut reads {
        assert!(runtime.poll_once(reading).is_pending());
    }
    // They are in the kernel, as far as it takes so many.
    runtime.executor.turn(1).unwrap();
    drop(reads);
    runtime.end();
    check_pool(&pool);
    assert_eq!(ouzel::leaked_operations(), 0);
    check_files(files);
}
