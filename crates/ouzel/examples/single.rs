//! Single operations as futures of 32 tasks, on io_uring: what `ci/count-single-operations` counts.
//!
//! Usage: `single nop|read|cancel OPERATIONS`. Reads are of 4 KiB of this program itself; what is cancelled are receives that
//! wait on sockets.

use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::task::{Executor, Handle};
use ouzel::{BackendKind, Buffer, Error, Offset, OpenOptions, Ring};

const TASKS: u64 = 32;
const BYTES: usize = 4096;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let each = arguments.next().as_deref().unwrap_or("3200").parse::<u64>()? / TASKS;
    let ring = Ring::builder().entries(256).backend(BackendKind::Uring);
    let mut executor = Executor::builder().ring(ring).build()?;
    let handle = executor.handle();
    match what.as_str() {
        "nop" => {
            let tasks: Vec<_> = (0..TASKS).map(|_| handle.spawn(nops(handle.clone(), each))).collect();
            executor.block_on(async {
                for task in tasks {
                    task.await??;
                }
                Ok::<(), Failed>(())
            })??;
        }
        "read" => {
            let file = executor.block_on(handle.open(std::env::current_exe()?, OpenOptions::read()))??;
            let tasks: Vec<_> = (0..TASKS).map(|_| handle.spawn(reads(handle.clone(), file, each))).collect();
            executor.block_on(async {
                for task in tasks {
                    task.await??;
                }
                Ok::<(), Failed>(())
            })??;
        }
        "cancel" => executor.block_on(cancels(&handle, each))??,
        _ => return Err("usage: single nop|read|cancel OPERATIONS".into()),
    }
    println!("{} operations", each * TASKS);
    Ok(())
}

async fn nops(handle: Handle, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        let mut chain = handle.chain();
        chain.nop();
        let done = handle.run(chain).await?;
        done.check()?;
        handle.recycle(done);
    }
    Ok(())
}

async fn reads(handle: Handle, file: Descriptor, count: u64) -> Result<(), Error> {
    let mut buffer = Buffer::with_capacity(BYTES);
    for _ in 0..count {
        buffer = handle.read(file, buffer, Offset::START).await?;
    }
    Ok(())
}

async fn cancels(handle: &Handle, rounds: u64) -> Result<(), Failed> {
    let pairs = (0..TASKS).map(|_| UnixStream::pair()).collect::<Result<Vec<_>, _>>()?;
    let (kept, given): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let sockets = given.into_iter().map(|socket| handle.adopt(socket)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        let mut receives: Vec<_> = sockets
            .iter()
            .map(|socket| handle.recv(*socket, Buffer::with_capacity(64), MessageFlags::empty()))
            .collect();
        std::future::poll_fn(|context| {
            for receive in &mut receives {
                if Pin::new(receive).poll(context).is_ready() {
                    return Poll::Ready(Err("a receive that ends though nobody sends"));
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        handle.yield_now().await;
        drop(receives);
        // One packet is the executor's own.
        while handle.gauges().packets > 1 {
            handle.yield_now().await;
        }
    }
    drop(kept);
    Ok(())
}
