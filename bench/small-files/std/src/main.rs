//! What most programs do: `std::fs::read`, which asks for the size and allocates for each file.

use contender::{CountingAllocator, Tally, serve};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve("std::fs::read", |task| {
        let mut tally = Tally::default();
        for path in &task.paths {
            tally.add(&std::fs::read(path)?);
        }
        Ok(tally)
    })
}
