//! tokio-uring: tokio's current-thread runtime, whose epoll watches a ring. Files, sockets and NOPs go to the ring; timers, tasks
//! and yields are tokio's. What is dropped is not cancelled but ignored when it completes.

use std::error::Error;
use std::os::unix::fs::OpenOptionsExt as _;
use std::pin::{Pin, pin};
use std::rc::Rc;

use async_task::{BLOCK_BYTES, LONG, Pairs, Reads, SPAWNED, STANDING, Task, page, word};
use contender::{CountingAllocator, Tally, passes};
use tokio::time::sleep;
use tokio_uring::buf::BoundedBuf as _;
use tokio_uring::fs::File;
use tokio_uring::net::{TcpListener, TcpStream, UnixStream};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let mut ring = tokio_uring::uring_builder();
    // For a runtime on one thread: without these every completion interrupts it.
    ring.setup_coop_taskrun().setup_taskrun_flag();
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(1024).uring_builder(&ring))?;
    let setting = "one runtime, 1,024 entries, COOP_TASKRUN, TASKRUN_FLAG";
    match task {
        Task::Nop(in_flight, count) => passes(setting, || {
            runtime.block_on(async {
                let task = |_| tokio_uring::spawn(nops(count / in_flight));
                let tasks: Vec<_> = (0..in_flight).map(task).collect();
                for task in tasks {
                    task.await??;
                }
                Ok(tally(count))
            })
        }),
        Task::Yield(tasks, count) => passes(setting, || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..tasks).map(|_| tokio_uring::spawn(yields(count / tasks))).collect();
                for task in tasks {
                    task.await?;
                }
                Ok(tally(count))
            })
        }),
        Task::Read(reads) => {
            let file =
                std::fs::OpenOptions::new().read(true).custom_flags(reads.flags()).open(&reads.path)?;
            let (file, reads) = (Rc::new(File::from_std(file)), Rc::new(reads));
            passes(setting, || {
                runtime.block_on(async {
                    let worker = |worker| tokio_uring::spawn(read(reads.clone(), worker, file.clone()));
                    let workers: Vec<_> = (0..reads.depth).map(worker).collect();
                    let mut sum = 0;
                    for worker in workers {
                        sum += worker.await??;
                    }
                    Ok(reads.tally(sum))
                })
            })
        }
        Task::Sleeps(sleeps) => passes(setting, || {
            sleeps.pass(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = sleeps.times().map(|time| tokio_uring::spawn(sleep(time))).collect();
                    for task in tasks {
                        task.await?;
                    }
                    Ok(())
                })
            })
        }),
        Task::Timers(count) => passes(setting, || Ok(tally(runtime.block_on(timers(count))))),
        Task::Spawn(count) => passes(setting, || Ok(tally(runtime.block_on(spawn(count))?))),
        Task::InTokio(..) => async_task::has_no("place in a tokio runtime"),
        Task::Cancel(count) => cancel(setting, &runtime, count),
        Task::Echo(bytes) => runtime.block_on(async {
            let listener = TcpListener::from_std(async_task::listener()?);
            async_task::listening(setting, listener.local_addr()?)?;
            loop {
                let (connection, _) = listener.accept().await?;
                tokio_uring::spawn(echo(connection, bytes));
            }
        }),
    }
}

fn tally(items: u64) -> Tally {
    Tally { items, bytes: 0, checksum: 0 }
}

async fn yields(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn nops(count: u64) -> Result<(), std::io::Error> {
    for _ in 0..count {
        tokio_uring::no_op().await?;
    }
    Ok(())
}

/// One of the readers: every so-many-th block.
async fn read(reads: Rc<Reads>, worker: u64, file: Rc<File>) -> Result<u64, std::io::Error> {
    let mut memory = Vec::new();
    let start = page(&mut memory);
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        let (length, block) = file.read_at(memory.slice(start..start + BLOCK_BYTES), offset).await;
        length?;
        sum += word(&block);
        memory = block.into_inner();
    }
    Ok(sum)
}

async fn timers(count: u64) -> u64 {
    let mut standing: Vec<Pin<Box<_>>> = (0..STANDING).map(|_| Box::pin(sleep(LONG))).collect();
    for sleep in &mut standing {
        async_task::poll_once(sleep.as_mut()).await;
    }
    for _ in 0..count {
        async_task::poll_once(pin!(sleep(LONG))).await;
    }
    count
}

async fn spawn(count: u64) -> Result<u64, Failed> {
    let mut sum = 0;
    let mut tasks = Vec::with_capacity(SPAWNED as usize);
    for _ in 0..count / SPAWNED {
        tasks.extend((0..SPAWNED).map(|_| tokio_uring::spawn(async { 1 })));
        for task in tasks.drain(..) {
            sum += task.await?;
        }
    }
    Ok(sum)
}

fn cancel(setting: &str, runtime: &tokio_uring::Runtime, count: u64) -> Result<(), Failed> {
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let (heard, sockets) = runtime.block_on(async {
        (UnixStream::from_std(heard), sockets.into_iter().map(UnixStream::from_std).collect::<Vec<_>>())
    });
    let hear = async |pairs: &mut Pairs| -> Result<(), Failed> {
        pairs.ring()?;
        heard.read(vec![0; 1]).await.0?;
        Ok(())
    };
    passes(setting, || {
        pairs.pass(
            |pairs| {
                runtime.block_on(async {
                    let mut reads = Vec::with_capacity(sockets.len());
                    for socket in &sockets {
                        let mut read = Box::pin(socket.read(vec![0; 64]));
                        async_task::poll_once(read.as_mut()).await;
                        reads.push(read);
                    }
                    hear(pairs).await?;
                    drop(reads);
                    hear(pairs).await
                })
            },
            |pairs| runtime.block_on(hear(pairs)),
        )
    })
}

async fn echo(connection: TcpStream, bytes: usize) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; bytes];
    loop {
        let (received, back) = connection.read(buffer).await;
        let received = received?;
        if received == 0 {
            return Ok(());
        }
        let (sent, back) = connection.write_all(back.slice(..received)).await;
        sent?;
        buffer = back.into_inner();
    }
}
