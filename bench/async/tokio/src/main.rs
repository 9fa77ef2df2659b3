//! tokio as it comes: one thread with epoll for sockets and timers, and its pool of threads for files, whose reads are
//! `spawn_blocking` around pread, as `tokio::fs` has them, but at an offset and without a copy.

use std::error::Error;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::pin::{Pin, pin};
use std::sync::Arc;

use async_task::{BLOCK_BYTES, LONG, Pairs, Reads, SPAWNED, STANDING, Task, page, word};
use contender::{CountingAllocator, Tally, passes};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let setting = match &task {
        Task::Read(_) => "current-thread runtime; spawn_blocking and pread on its pool of threads",
        _ => "current-thread runtime",
    };
    match task {
        Task::Nop(..) => async_task::has_no("NOP, as nothing of it goes to a ring"),
        Task::Yield(tasks, count) => passes(setting, || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(yields(count / tasks))).collect();
                for task in tasks {
                    task.await?;
                }
                Ok(tally(count))
            })
        }),
        Task::Read(reads) => {
            let file =
                std::fs::OpenOptions::new().read(true).custom_flags(reads.flags()).open(&reads.path)?;
            let (file, reads) = (Arc::new(file), Arc::new(reads));
            passes(setting, || {
                runtime.block_on(async {
                    let worker = |worker| tokio::spawn(read(reads.clone(), worker, file.clone()));
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
                    let tasks: Vec<_> = sleeps.times().map(|time| tokio::spawn(sleep(time))).collect();
                    for task in tasks {
                        task.await?;
                    }
                    Ok(())
                })
            })
        }),
        Task::Timers(count) => passes(setting, || Ok(tally(runtime.block_on(timers(count))))),
        Task::Spawn(count) => passes(setting, || Ok(tally(runtime.block_on(spawn(count))?))),
        Task::InTokio(way, reads) => in_tokio(&way, reads),
        Task::Cancel(count) => cancel(setting, &runtime, count),
        Task::Echo(bytes) => runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            async_task::listening(setting, listener.local_addr()?)?;
            loop {
                let (connection, _) = listener.accept().await?;
                tokio::spawn(echo(connection, bytes));
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

/// One of the readers: every so-many-th block.
async fn read(reads: Arc<Reads>, worker: u64, file: Arc<std::fs::File>) -> Result<u64, std::io::Error> {
    let mut memory = Vec::new();
    let start = page(&mut memory);
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        let file = file.clone();
        let reading = move || {
            file.read_exact_at(&mut memory[start..start + BLOCK_BYTES], offset)?;
            Ok::<_, std::io::Error>((word(&memory[start..]), memory))
        };
        let (first, back) = tokio::task::spawn_blocking(reading).await??;
        sum += first;
        memory = back;
    }
    Ok(sum)
}

/// One of the readers on `tokio::fs`, each with the file opened by itself, since a seek is for all who share it.
async fn read_fs(reads: Arc<Reads>, worker: u64) -> Result<u64, std::io::Error> {
    let mut file = tokio::fs::File::open(&reads.path).await?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        file.seek(SeekFrom::Start(offset)).await?;
        file.read_exact(&mut block).await?;
        sum += word(&block);
    }
    Ok(sum)
}

/// Reads on a runtime with several threads, as programs have it.
fn in_tokio(way: &str, reads: Reads) -> Result<(), Failed> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let file = Arc::new(std::fs::File::open(&reads.path)?);
    let reads = Arc::new(reads);
    let (setting, fs) = match way {
        "fs" => ("multi-thread runtime; tokio::fs, seek and read_exact", true),
        "blocking" => ("multi-thread runtime; spawn_blocking and pread", false),
        other => return Err(format!("{other}: say fs or blocking").into()),
    };
    passes(setting, || {
        runtime.block_on(async {
            let worker = |worker| match fs {
                true => tokio::spawn(read_fs(reads.clone(), worker)),
                false => tokio::spawn(read(reads.clone(), worker, file.clone())),
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
        tasks.extend((0..SPAWNED).map(|_| tokio::spawn(async { 1 })));
        for task in tasks.drain(..) {
            sum += task.await?;
        }
    }
    Ok(sum)
}

fn cancel(setting: &str, runtime: &tokio::runtime::Runtime, count: u64) -> Result<(), Failed> {
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let _within = runtime.enter();
    let adopt = |socket: std::os::unix::net::UnixStream| {
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket)
    };
    let mut heard = adopt(heard)?;
    let mut sockets = sockets.into_iter().map(adopt).collect::<Result<Vec<_>, _>>()?;
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
