//! tokio's own files: `tokio::fs::read` on its pool of blocking threads, as many tasks as files in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contender::{CountingAllocator, Tally, serve};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_multi_thread().build()?;
    serve("multi-thread runtime with its defaults, tokio::fs::read", |task| {
        let next = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let workers: Vec<_> = (0..task.in_flight)
                .map(|_| {
                    let (task, next) = (task.clone(), next.clone());
                    tokio::spawn(async move {
                        let mut tally = Tally::default();
                        // Only uniqueness of the number matters.
                        while let Some(path) = task.paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                            tally.add(&tokio::fs::read(path).await?);
                        }
                        Ok::<Tally, std::io::Error>(tally)
                    })
                })
                .collect();
            let mut tally = Tally::default();
            for worker in workers {
                tally.merge(worker.await??);
            }
            Ok(tally)
        })
    })
}
