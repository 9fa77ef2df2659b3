//! The floor for one file at a time: openat, read and close as plain system calls, into one buffer that is reused.

use contender::{BUFFER_BYTES, CountingAllocator, Tally, serve};
use rustix::fs::{Mode, OFlags};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    serve("rustix: openat, read, close", |task| {
        let mut tally = Tally::default();
        for path in &task.c_paths {
            let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let length = rustix::io::read(&file, &mut buffer)?;
            // Closed before the sum, so that a file is open no longer than it needs to be.
            drop(file);
            tally.add(&buffer[..length]);
        }
        Ok(tally)
    })
}
