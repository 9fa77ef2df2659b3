//! Ouzel inside a tokio runtime with several threads. `within`: an executor run in the runtime by `run_in_tokio`, its tasks
//! beside tokio's own on the thread that runs it. `remote`: tokio's tasks on all threads hand reads to a ring that an
//! `Owner` has on a thread of its own.

use std::error::Error;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use async_task::{BLOCK_BYTES, Reads, Task, word};
use contender::{CountingAllocator, passes};
use ouzel::abi::Descriptor;
use ouzel::task::{Executor, Handle, Owner, Remote};
use ouzel::{Buffer, Offset, Ring};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let Task::InTokio(way, reads) = Task::from_arguments()? else {
        return async_task::has_no("benchmark of that name here: it is in async-ouzel");
    };
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let file = OwnedFd::from(std::fs::File::open(&reads.path)?);
    match way.as_str() {
        "within" => {
            let mut executor = Executor::builder().ring(Ring::builder().watched()).build()?;
            let handle = executor.handle();
            let setting = format!("multi-thread runtime; run_in_tokio; backend: {}", handle.backend()?);
            let (file, reads) = (handle.adopt(file)?, Rc::new(reads));
            passes(&setting, || {
                runtime.block_on(executor.run_in_tokio(async {
                    let worker = |worker| handle.spawn(read(handle.clone(), Rc::clone(&reads), worker, file));
                    let workers: Vec<_> = (0..reads.depth).map(worker).collect();
                    let mut sum = 0;
                    for worker in workers {
                        sum += worker.await??;
                    }
                    Ok(reads.tally(sum))
                }))?
            })
        }
        "remote" => {
            let owner = Owner::start(|| Executor::builder().build())?;
            let remote = owner.remote().clone();
            let file = remote.call(move |handle| handle.adopt(file)).wait()??;
            let reads = Arc::new(reads);
            passes("multi-thread runtime; Remote of an Owner", || {
                runtime.block_on(async {
                    let worker = |worker| {
                        tokio::spawn(read_remotely(remote.clone(), Arc::clone(&reads), worker, file))
                    };
                    let workers: Vec<_> = (0..reads.depth).map(worker).collect();
                    let mut sum = 0;
                    for worker in workers {
                        sum += worker.await??;
                    }
                    Ok(reads.tally(sum))
                })
            })
        }
        other => Err(format!("{other}: say within or remote").into()),
    }
}

/// One of the readers: every so-many-th block.
async fn read(handle: Handle, reads: Rc<Reads>, worker: u64, file: Descriptor) -> Result<u64, ouzel::Error> {
    let mut buffer = Buffer::with_capacity(BLOCK_BYTES);
    let mut sum = 0;
    for offset in reads.offsets.iter().skip(worker as usize).step_by(reads.depth as usize) {
        buffer = handle.read(file, buffer, Offset::at(*offset)).await?;
        sum += word(&buffer);
    }
    Ok(sum)
}

/// The same from another thread.
async fn read_remotely(
    remote: Remote,
    reads: Arc<Reads>,
    worker: u64,
    file: Descriptor,
) -> Result<u64, ouzel::Error> {
    let mut buffer = Buffer::with_capacity(BLOCK_BYTES);
    let mut sum = 0;
    for offset in reads.offsets.iter().skip(worker as usize).step_by(reads.depth as usize) {
        buffer = remote.read(file, buffer, Offset::at(*offset)).await?;
        sum += word(&buffer);
    }
    Ok(sum)
}
