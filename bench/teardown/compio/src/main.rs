//! compio on its io_uring driver: reads are polled once and dropped, as `select!` and time limits do, then the runtime is.

#![forbid(unsafe_code)]

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use compio::fs::OpenOptions;
use compio::io::AsyncReadAt as _;
use teardown_task::{BYTES, READS, drop_all, flags, offset, path, report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut proactor = compio::driver::ProactorBuilder::new();
    proactor.capacity(1024);
    let runtime = compio::runtime::RuntimeBuilder::new().with_proactor(proactor).build()?;
    let over = runtime.block_on(async {
        let file = OpenOptions::new().read(true).custom_flags(flags()).open(path()?).await?;
        let mut over = 0;
        for read in 0..READS {
            let reading = pin!(file.read_at(Vec::with_capacity(BYTES), offset(read)));
            over += usize::from(reading.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        Ok::<usize, std::io::Error>(over)
    })?;
    report(&drop_all(runtime, over));
    Ok(())
}
