//! Reads files whole, as many chains at once as asked for, and prints how many times that entered the kernel.
//!
//! Usage: `read_files CHAINS FILE`. `ci/count-enters` compares the number with strace's.

use ouzel::{BackendKind, Buffer, Chain, Offset, OpenOptions, Policy, Ring};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let chains: usize = arguments.next().as_deref().unwrap_or("1").parse()?;
    let path = arguments.next().unwrap_or_else(|| "Cargo.toml".to_owned());
    let mut ring = match Ring::builder().backend(BackendKind::Uring).policy(Policy::Links).build() {
        Ok(ring) => ring,
        Err(error) => {
            println!("SKIPPED: {error}");
            return Ok(());
        }
    };
    let before = ring.counters();
    let mut reads = Vec::new();
    for _ in 0..chains {
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read());
        let length = chain.read(file, Buffer::with_capacity(64 * 1024), Offset::START);
        chain.finally().close(file);
        reads.push((ring.submit(chain)?, length));
    }
    ring.wait_all()?;
    let enters = ring.counters().since(before).enters;
    for (ticket, length) in reads {
        let done = ring.wait(ticket)?;
        done.check()?;
        if done.get(length)? == 0 {
            return Err("the file is empty".into());
        }
    }
    println!("{enters}");
    Ok(())
}
