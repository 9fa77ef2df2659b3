//! compio on its io_uring driver: open, read and close awaited one after the other, as many tasks as files in flight, each
//! with one buffer that travels through its reads.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use compio::buf::BufResult;
use compio::fs::File;
use compio::io::AsyncReadAt;
use contender::{BUFFER_BYTES, CountingAllocator, Tally, Task, serve};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut proactor = compio::driver::ProactorBuilder::new();
    proactor.capacity(256).coop_taskrun(true).taskrun_flag(true);
    let runtime = compio::runtime::RuntimeBuilder::new().with_proactor(proactor).build()?;
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    serve("one runtime, 256 entries, COOP_TASKRUN, TASKRUN_FLAG, buffers used again", |task| {
        buffers.resize_with(task.in_flight, || Vec::with_capacity(BUFFER_BYTES));
        runtime.block_on(pass(task, &mut buffers))
    })
}

async fn pass(task: &Arc<Task>, buffers: &mut Vec<Vec<u8>>) -> Result<Tally, Box<dyn std::error::Error>> {
    let next = Rc::new(Cell::new(0));
    let workers: Vec<_> = buffers
        .drain(..)
        .map(|buffer| compio::runtime::spawn(read_files(task.clone(), next.clone(), buffer)))
        .collect();
    let mut tally = Tally::default();
    for worker in workers {
        let (read, buffer) = worker.await.map_err(|_| "a task was lost")??;
        tally.merge(read);
        buffers.push(buffer);
    }
    Ok(tally)
}

/// One of the tasks: reads whatever file is next until none is left.
async fn read_files(
    task: Arc<Task>,
    next: Rc<Cell<usize>>,
    mut buffer: Vec<u8>,
) -> Result<(Tally, Vec<u8>), std::io::Error> {
    let mut tally = Tally::default();
    while let Some(path) = task.paths.get(next.replace(next.get() + 1)) {
        let file = File::open(path).await?;
        buffer.clear();
        let BufResult(length, back) = file.read_at(buffer, 0).await;
        buffer = back;
        let length = length?;
        file.close().await?;
        tally.add(&buffer[..length]);
    }
    Ok((tally, buffer))
}
