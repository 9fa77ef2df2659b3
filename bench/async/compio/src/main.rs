//! compio on its io_uring driver: buffers travel into an operation and back. What is dropped is cancelled.
//!
//! Its driver has no NOP, but takes operations from outside: this is one.

use std::cell::RefCell;
use std::error::Error;
use std::pin::{Pin, pin};
use std::rc::Rc;

use async_task::{BLOCK_BYTES, LONG, Pairs, Reads, SPAWNED, STANDING, Task, page, word};
use compio::BufResult;
use compio::buf::{IntoInner as _, IoBuf as _};
use compio::driver::{OpCode, OpEntry};
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncRead as _, AsyncReadAt as _, AsyncWriteExt as _};
use compio::net::{TcpListener, TcpStream, UnixStream};
use compio::runtime::{Runtime, spawn as start};
use compio::time::sleep;
use contender::{CountingAllocator, Tally, passes};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Failed = Box<dyn Error>;

const LOST: &str = "a task was lost";

/// A NOP.
struct Nop;

// SAFETY: it has no memory that the kernel could touch.
unsafe impl OpCode for Nop {
    type Control = ();

    fn create_entry(&mut self, _control: &mut ()) -> OpEntry {
        io_uring::opcode::Nop::new().build().into()
    }
}

fn main() -> Result<(), Failed> {
    let task = Task::from_arguments()?;
    let mut proactor = compio::driver::ProactorBuilder::new();
    proactor.capacity(1024).coop_taskrun(true).taskrun_flag(true);
    let runtime = compio::runtime::RuntimeBuilder::new().with_proactor(proactor).build()?;
    let setting = "one runtime, 1,024 entries, COOP_TASKRUN, TASKRUN_FLAG";
    match task {
        Task::Nop(in_flight, count) => passes(setting, || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..in_flight).map(|_| start(nops(count / in_flight))).collect();
                for task in tasks {
                    task.await.map_err(|_| LOST)??;
                }
                Ok(tally(count))
            })
        }),
        Task::Yield(tasks, count) => passes(setting, || {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..tasks).map(|_| start(yields(count / tasks))).collect();
                for task in tasks {
                    task.await.map_err(|_| LOST)?;
                }
                Ok(tally(count))
            })
        }),
        Task::Read(reads) => {
            let open = OpenOptions::new().read(true).custom_flags(reads.flags()).clone();
            let file = Rc::new(runtime.block_on(open.open(&reads.path))?);
            let reads = Rc::new(reads);
            passes(setting, || {
                runtime.block_on(async {
                    let worker = |worker| start(read(reads.clone(), worker, file.clone()));
                    let workers: Vec<_> = (0..reads.depth).map(worker).collect();
                    let mut sum = 0;
                    for worker in workers {
                        sum += worker.await.map_err(|_| LOST)??;
                    }
                    Ok(reads.tally(sum))
                })
            })
        }
        Task::Sleeps(sleeps) => passes(setting, || {
            sleeps.pass(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = sleeps.times().map(|time| start(sleep(time))).collect();
                    for task in tasks {
                        task.await.map_err(|_| LOST)?;
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
                start(echo(connection, bytes)).detach();
            }
        }),
    }
}

fn tally(items: u64) -> Tally {
    Tally { items, bytes: 0, checksum: 0 }
}

async fn yields(count: u64) {
    for _ in 0..count {
        async_task::yield_now().await;
    }
}

async fn nops(count: u64) -> Result<(), std::io::Error> {
    for _ in 0..count {
        compio::runtime::submit(Nop).await.0?;
    }
    Ok(())
}

/// One of the readers: every so-many-th block.
async fn read(reads: Rc<Reads>, worker: u64, file: Rc<File>) -> Result<u64, std::io::Error> {
    let mut memory = Vec::new();
    let start = page(&mut memory);
    let mut sum = 0;
    for offset in reads.offsets.iter().copied().skip(worker as usize).step_by(reads.depth as usize) {
        memory.truncate(start);
        let BufResult(length, block) = file.read_at(memory.slice(start..start + BLOCK_BYTES), offset).await;
        length?;
        memory = block.into_inner();
        sum += word(&memory[start..]);
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
        tasks.extend((0..SPAWNED).map(|_| start(async { 1 })));
        for task in tasks.drain(..) {
            sum += task.await.map_err(|_| LOST)?;
        }
    }
    Ok(sum)
}

fn cancel(setting: &str, runtime: &Runtime, count: u64) -> Result<(), Failed> {
    let (mut pairs, heard, sockets) = Pairs::new(count)?;
    let (mut heard, mut sockets) = runtime.block_on(async {
        let sockets = sockets.into_iter().map(UnixStream::from_std).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Failed>((UnixStream::from_std(heard)?, sockets))
    })?;
    let hear = async |pairs: &mut Pairs, heard: &mut UnixStream| -> Result<(), Failed> {
        pairs.ring()?;
        heard.read(vec![0; 1]).await.0?;
        Ok(())
    };
    let heard = RefCell::new(&mut heard);
    passes(setting, || {
        pairs.pass(
            |pairs| {
                let heard = &mut *heard.borrow_mut();
                runtime.block_on(async {
                    let mut reads = Vec::with_capacity(sockets.len());
                    for socket in &mut sockets {
                        let mut read = Box::pin(socket.read(vec![0; 64]));
                        async_task::poll_once(read.as_mut()).await;
                        reads.push(read);
                    }
                    hear(pairs, heard).await?;
                    drop(reads);
                    hear(pairs, heard).await
                })
            },
            |pairs| {
                let heard = &mut *heard.borrow_mut();
                runtime.block_on(hear(pairs, heard))
            },
        )
    })
}

async fn echo(mut connection: TcpStream, bytes: usize) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; bytes];
    loop {
        let BufResult(received, back) = connection.read(buffer).await;
        let received = received?;
        if received == 0 {
            return Ok(());
        }
        let BufResult(sent, back) = connection.write_all(back.slice(..received)).await;
        sent?;
        buffer = back.into_inner();
    }
}
