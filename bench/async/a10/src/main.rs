//! a10: futures for operations on a ring, and nothing that runs them. Here that is the `LocalPool` of futures, which is asked
//! whenever the ring has been. What is dropped is cancelled, and its buffer kept until it has completed.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;

use a10::fs::OpenOptions;
use a10::io::BufMut;
use a10::net::NoAddress;
use a10::{AsyncFd, Extract as _, Ring};
use async_task::{BLOCK_BYTES, Pairs, Reads, Task, page, word};
use contender::{CountingAllocator, passes};
use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt as _;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

/// A ring, and what runs futures beside it.
struct Runtime {
    ring: Ring,
    pool: LocalPool,
}

impl Runtime {
    fn new() -> Result<Runtime, Failed> {
        let ring =
            Ring::config().with_submission_queue_size(1024).single_issuer().defer_task_run().build()?;
        Ok(Runtime { ring, pool: LocalPool::new() })
    }

    /// Runs a future, and those that were spawned, until it is over.
    fn block_on<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> Result<T, Failed> {
        let output = Rc::new(Cell::new(None));
        let told = Rc::clone(&output);
        self.pool.spawner().spawn_local(async move { told.set(Some(future.await)) })?;
        loop {
            self.pool.run_until_stalled();
            if let Some(output) = output.take() {
                return Ok(output);
            }
            self.ring.poll(None)?;
        }
    }
}

/// A page of a vector.
struct Page(Vec<u8>, usize);

// SAFETY: the page lies in memory that the vector owns, and which is initialised.
unsafe impl BufMut for Page {
    unsafe fn parts_mut(&mut self) -> (*mut u8, u32) {
        (self.0[self.1..].as_mut_ptr(), BLOCK_BYTES as u32)
    }

    unsafe fn set_init(&mut self, _length: usize) {}

    fn spare_capacity(&self) -> u32 {
        BLOCK_BYTES as u32
    }
}

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let mut runtime = Runtime::new()?;
    let setting = "one ring, 1,024 entries, SINGLE_ISSUER, DEFER_TASKRUN; futures' LocalPool";
    match task {
        Task::Nop(..) => async_task::has_no("NOP among its operations"),
        Task::Yield(..) | Task::Spawn(_) => async_task::has_no("executor of its own"),
        Task::Sleeps(_) | Task::Timers(_) => async_task::has_no("timers"),
        Task::Read(reads) => {
            let open = OpenOptions::new();
            let open = if reads.direct { open.direct() } else { open };
            let opening = open.open(runtime.ring.sq(), reads.path.clone());
            let file = Rc::new(runtime.block_on(opening)??);
            let reads = Rc::new(reads);
            passes(setting, || {
                let mut workers = Vec::new();
                for worker in 0..reads.depth {
                    let worker = read(Rc::clone(&reads), worker, Rc::clone(&file));
                    workers.push(runtime.pool.spawner().spawn_local_with_handle(worker)?);
                }
                let sums = runtime.block_on(futures_util::future::join_all(workers))?;
                Ok(reads.tally(sums.into_iter().sum::<Result<u64, _>>()?))
            })
        }
        Task::InTokio(..) => async_task::has_no("place in a tokio runtime"),
        Task::Cancel(count) => cancel(setting, runtime, count),
        Task::Echo(bytes) => {
            let listener = async_task::listener()?;
            async_task::listening(setting, listener.local_addr()?)?;
            let listener = AsyncFd::new(OwnedFd::from(listener), runtime.ring.sq());
            let spawner = runtime.pool.spawner();
            runtime.block_on(async move {
                loop {
                    let (connection, _) = listener.accept::<NoAddress>().await?;
                    spawner.spawn_local(async move {
                        // A connection that fails is over, that is all.
                        let _ = echo(connection, bytes).await;
                    })?;
                }
            })?
        }
    }
}

/// One of the readers: every so-many-th block.
async fn read(reads: Rc<Reads>, worker: u64, file: Rc<AsyncFd>) -> Result<u64, std::io::Error> {
    let mut memory = Vec::new();
    let start = page(&mut memory);
    let mut block = Page(memory, start);
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        block = file.read(block).from(offset).await?;
        sum += word(&block.0[start..]);
    }
    Ok(sum)
}

fn cancel(setting: &str, mut runtime: Runtime, count: u64) -> Result<(), Failed> {
    type Reading = Pin<Box<dyn Future<Output = std::io::Result<Vec<u8>>>>>;
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let queue = runtime.ring.sq();
    let adopt = |socket| Rc::new(AsyncFd::new(OwnedFd::from(socket), queue.clone()));
    let heard = adopt(heard);
    let sockets: Rc<Vec<_>> = Rc::new(sockets.into_iter().map(adopt).collect());
    let hear = |pairs: &mut Pairs, runtime: &mut Runtime| -> Result<(), Failed> {
        pairs.ring()?;
        let heard = Rc::clone(&heard);
        runtime.block_on(async move { heard.recv(Vec::with_capacity(1)).await })??;
        Ok(())
    };
    let runtime = RefCell::new(&mut runtime);
    passes(setting, || {
        pairs.pass(
            |pairs| {
                let runtime = &mut **runtime.borrow_mut();
                let sockets = Rc::clone(&sockets);
                let reads: Vec<Reading> = runtime.block_on(async move {
                    let mut reads: Vec<Reading> = Vec::with_capacity(sockets.len());
                    for socket in sockets.iter() {
                        let socket = Rc::clone(socket);
                        let mut read = Box::pin(async move { socket.recv(Vec::with_capacity(64)).await });
                        async_task::poll_once(read.as_mut()).await;
                        reads.push(read);
                    }
                    reads
                })?;
                hear(pairs, runtime)?;
                drop(reads);
                hear(pairs, runtime)
            },
            |pairs| hear(pairs, &mut runtime.borrow_mut()),
        )
    })
}

async fn echo(connection: AsyncFd, bytes: usize) -> Result<(), std::io::Error> {
    let mut buffer = Vec::with_capacity(bytes);
    loop {
        buffer = connection.recv(buffer).await?;
        if buffer.is_empty() {
            return Ok(());
        }
        buffer = connection.send_all(buffer).extract().await?;
        buffer.clear();
    }
}
