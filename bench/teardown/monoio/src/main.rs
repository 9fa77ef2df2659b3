//! monoio on its io_uring driver: reads are polled once and dropped, as `select!` and time limits do, then the runtime is.

#![forbid(unsafe_code)]

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use monoio::fs::File;
use teardown_task::{BYTES, READS, drop_all, offset, open, report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(1024).build()?;
    let over = runtime.block_on(async {
        let file = File::from_std(open()?)?;
        let mut over = 0;
        for read in 0..READS {
            let reading = pin!(file.read_at(vec![0; BYTES], offset(read)));
            over += usize::from(reading.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        Ok::<usize, std::io::Error>(over)
    })?;
    report(&drop_all(runtime, over));
    Ok(())
}
