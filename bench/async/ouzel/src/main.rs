//! Ouzel's executor: an operation is a future of the handle, a buffer is owned by its operation and comes back with it.

use std::error::Error;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;

use async_task::{BLOCK_BYTES, LONG, Pairs, Reads, SPAWNED, STANDING, Task, word};
use contender::{CountingAllocator, Tally, passes};
use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::{MessageFlags, OpenFlags};
use ouzel::pool::Pool;
use ouzel::task::{Executor, Handle};
use ouzel::{Buffer, Offset, OpenOptions, Ring};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let mut ring = Ring::builder();
    let mut sizes = "256 entries";
    if let Task::Nop(..) | Task::Echo(_) = task {
        (ring, sizes) = (ring.entries(1024), "1,024 entries");
    }
    if let Task::Cancel(_) = task {
        // What waits at once has a place in the queue of completions, and a descriptor.
        (ring, sizes) = (ring.entries(16_384).descriptors(20_000), "16,384 entries, 20,000 descriptors");
    }
    let mut executor = Executor::builder().ring(ring).build()?;
    let handle = executor.handle();
    let setting = format!("Executor, {sizes}; backend: {}", handle.backend()?);
    match task {
        Task::Nop(in_flight, count) => passes(&setting, || {
            let tasks: Vec<_> = (0..in_flight).map(|_| nops(handle.clone(), count / in_flight)).collect();
            Ok(tally(executor.block_on(all(&handle, tasks))??))
        }),
        Task::Yield(tasks, count) => passes(&setting, || {
            let tasks: Vec<_> = (0..tasks).map(|_| yields(handle.clone(), count / tasks)).collect();
            Ok(tally(executor.block_on(all(&handle, tasks))??))
        }),
        Task::Read(reads) => {
            let direct = if reads.direct { OpenFlags::DIRECT } else { OpenFlags::empty() };
            let options = OpenOptions::from_flags(OpenFlags::READ | direct);
            let file = executor.block_on(handle.open(&reads.path, options))??;
            let pool = Pool::builder().build()?;
            let reads = Rc::new(reads);
            passes(&setting, || {
                let mut workers = Vec::new();
                for worker in 0..reads.depth {
                    let buffer = Buffer::from_pool(&pool, BLOCK_BYTES)?;
                    workers.push(read(handle.clone(), Rc::clone(&reads), worker, file, buffer));
                }
                Ok(reads.tally(executor.block_on(all(&handle, workers))??))
            })
        }
        Task::Sleeps(sleeps) => passes(&setting, || {
            sleeps.pass(|| {
                let tasks: Vec<_> = sleeps.times().map(|time| handle.spawn(handle.sleep(time))).collect();
                executor.block_on(async {
                    for task in tasks {
                        task.await?;
                    }
                    Ok(())
                })?
            })
        }),
        Task::Timers(count) => passes(&setting, || Ok(tally(executor.block_on(timers(&handle, count))?))),
        Task::Spawn(count) => passes(&setting, || Ok(tally(executor.block_on(spawn(&handle, count))??))),
        Task::InTokio(..) => async_task::has_no("place in a tokio runtime"),
        Task::Cancel(count) => cancel(&setting, executor, count),
        Task::Echo(bytes) => {
            let listener = async_task::listener()?;
            async_task::listening(&setting, listener.local_addr()?)?;
            let listener = handle.adopt(OwnedFd::from(listener))?;
            executor.block_on(async {
                let mut connections = handle.accept_many(listener);
                while let Some(connection) = connections.next().await {
                    drop(handle.spawn(echo(handle.clone(), connection?, bytes)));
                }
                Ok(())
            })?
        }
    }
}

fn tally(items: u64) -> Tally {
    Tally { items, bytes: 0, checksum: 0 }
}

/// Runs all of them at once and adds up what they come to.
async fn all<F: Future<Output = Result<u64, ouzel::Error>> + 'static>(
    handle: &Handle,
    futures: Vec<F>,
) -> Result<u64, Failed> {
    let tasks: Vec<_> = futures.into_iter().map(|future| handle.spawn(future)).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await??;
    }
    Ok(sum)
}

async fn nops(handle: Handle, count: u64) -> Result<u64, ouzel::Error> {
    for _ in 0..count {
        let mut chain = handle.chain();
        chain.nop();
        let done = handle.run(chain).await?;
        done.check()?;
        handle.recycle(done);
    }
    Ok(count)
}

async fn yields(handle: Handle, count: u64) -> Result<u64, ouzel::Error> {
    for _ in 0..count {
        handle.yield_now().await;
    }
    Ok(count)
}

/// One of the readers: every so-many-th block.
async fn read(
    handle: Handle,
    reads: Rc<Reads>,
    worker: u64,
    file: Descriptor,
    mut buffer: Buffer,
) -> Result<u64, ouzel::Error> {
    let mut sum = 0;
    for offset in reads.offsets.iter().skip(worker as usize).step_by(reads.depth as usize) {
        buffer = handle.read(file, buffer, Offset::at(*offset)).await?;
        sum += word(&buffer);
    }
    Ok(sum)
}

async fn timers(handle: &Handle, count: u64) -> u64 {
    let mut standing: Vec<_> = (0..STANDING).map(|_| handle.sleep(LONG)).collect();
    for sleep in &mut standing {
        async_task::poll_once(pin!(sleep)).await;
    }
    for _ in 0..count {
        async_task::poll_once(pin!(handle.sleep(LONG))).await;
    }
    count
}

async fn spawn(handle: &Handle, count: u64) -> Result<u64, Failed> {
    let mut sum = 0;
    let mut tasks = Vec::with_capacity(SPAWNED as usize);
    for _ in 0..count / SPAWNED {
        tasks.extend((0..SPAWNED).map(|_| handle.spawn(async { 1 })));
        for task in tasks.drain(..) {
            sum += task.await?;
        }
    }
    Ok(sum)
}

fn cancel(setting: &str, mut executor: Executor, count: u64) -> Result<(), Failed> {
    let handle = executor.handle();
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let heard = handle.adopt(OwnedFd::from(heard))?;
    let sockets = sockets
        .into_iter()
        .map(|socket| handle.adopt(OwnedFd::from(socket)))
        .collect::<Result<Vec<_>, _>>()?;
    let none = MessageFlags::empty();
    let hear = async |pairs: &mut Pairs| -> Result<(), Failed> {
        pairs.ring()?;
        handle.recv(heard, Buffer::with_capacity(1), none).await?;
        Ok(())
    };
    let executor = std::cell::RefCell::new(&mut executor);
    passes(setting, || {
        pairs.pass(
            |pairs| {
                executor.borrow_mut().block_on(async {
                    let mut reads = Vec::with_capacity(sockets.len());
                    for socket in &sockets {
                        let mut read = handle.recv(*socket, Buffer::with_capacity(64), none);
                        async_task::poll_once(pin!(&mut read)).await;
                        reads.push(read);
                    }
                    hear(pairs).await?;
                    drop(reads);
                    hear(pairs).await
                })?
            },
            |pairs| executor.borrow_mut().block_on(hear(pairs))?,
        )
    })
}

async fn echo(handle: Handle, connection: Descriptor, bytes: usize) -> Result<(), ouzel::Error> {
    let mut buffer = Buffer::with_capacity(bytes);
    loop {
        buffer = handle.recv(connection, buffer, MessageFlags::empty()).await?;
        if buffer.is_empty() {
            handle.close(connection).await?;
            return Ok(());
        }
        loop {
            let (sent, all) = handle.send(connection, buffer, MessageFlags::empty()).await?;
            if sent >= all.len() {
                buffer = all;
                break;
            }
            // A short one, which is rare: the rest moves to the front.
            let mut rest = all.into_vec();
            rest.drain(..sent);
            buffer = Buffer::from(rest);
        }
    }
}
