//! runite: one event loop on one thread, with a ring. Buffers are borrowed, so data is copied out of memory of its own.

use std::error::Error;
use std::os::unix::fs::OpenOptionsExt as _;
use std::pin::{Pin, pin};
use std::rc::Rc;

use async_task::{BLOCK_BYTES, LONG, Pairs, Reads, SPAWNED, STANDING, Task, page, word};
use contender::{CountingAllocator, Tally, passes};
use runite::fs::File;
use runite::io::{AsyncReadExt as _, AsyncWriteExt as _};
use runite::net::{TcpListener, TcpStream, UnixStream};
use runite::os::linux::BuilderExt as _;
use runite::time::sleep;
use runite::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let runtime = Builder::new().ring_entries(1024).build()?;
    let setting = "one runtime, 1,024 entries";
    match task {
        Task::Nop(..) => async_task::has_no("NOP among its operations"),
        Task::Yield(tasks, count) => passes(setting, || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..tasks).map(|_| runite::spawn(yields(count / tasks))).collect();
                for task in tasks {
                    task.await?;
                }
                Ok(tally(count))
            })
        }),
        Task::Read(reads) => {
            let file =
                std::fs::OpenOptions::new().read(true).custom_flags(reads.flags()).open(&reads.path)?;
            let (file, reads) = (Rc::new(File::from_std(file)?), Rc::new(reads));
            passes(setting, || {
                runtime.block_on(async {
                    let worker = |worker| runite::spawn(read(reads.clone(), worker, file.clone()));
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
                    let tasks: Vec<_> = sleeps.times().map(|time| runite::spawn(sleep(time))).collect();
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
            let listener = TcpListener::from_std(async_task::listener()?)?;
            async_task::listening(setting, listener.local_addr()?)?;
            loop {
                let (connection, _) = listener.accept().await?;
                drop(runite::spawn(echo(connection, bytes)));
            }
        }),
    }
}

fn tally(items: u64) -> Tally {
    Tally { items, bytes: 0, checksum: 0 }
}

async fn yields(count: u64) {
    for _ in 0..count {
        runite::yield_now().await;
    }
}

/// One of the readers: every so-many-th block.
async fn read(reads: Rc<Reads>, worker: u64, file: Rc<File>) -> Result<u64, std::io::Error> {
    let mut memory = Vec::new();
    let start = page(&mut memory);
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        let block = &mut memory[start..start + BLOCK_BYTES];
        file.read_exact_at(offset, block).await?;
        sum += word(block);
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
        tasks.extend((0..SPAWNED).map(|_| runite::spawn(async { 1 })));
        for task in tasks.drain(..) {
            sum += task.await?;
        }
    }
    Ok(sum)
}

fn cancel(setting: &str, runtime: &Runtime, count: u64) -> Result<(), Failed> {
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let mut heard = UnixStream::from_std(heard)?;
    let mut sockets = sockets.into_iter().map(UnixStream::from_std).collect::<Result<Vec<_>, _>>()?;
    let hear = async |pairs: &mut Pairs, heard: &mut UnixStream| -> Result<(), Failed> {
        pairs.ring()?;
        heard.read_exact(&mut [0; 1]).await?;
        Ok(())
    };
    let heard = std::cell::RefCell::new(&mut heard);
    passes(setting, || {
        pairs.pass(
            |pairs| {
                let heard = &mut **heard.borrow_mut();
                runtime.block_on(async {
                    let mut reads = Vec::with_capacity(sockets.len());
                    for socket in &mut sockets {
                        let mut read = Box::pin(async move { socket.read(&mut [0; 64]).await });
                        async_task::poll_once(read.as_mut()).await;
                        reads.push(read);
                    }
                    hear(pairs, heard).await?;
                    drop(reads);
                    hear(pairs, heard).await
                })
            },
            |pairs| {
                let heard = &mut **heard.borrow_mut();
                runtime.block_on(hear(pairs, heard))
            },
        )
    })
}

async fn echo(mut connection: TcpStream, bytes: usize) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; bytes];
    loop {
        let received = connection.read(&mut buffer).await?;
        if received == 0 {
            return Ok(());
        }
        connection.write_all(&buffer[..received]).await?;
    }
}
