//! Reads files again and again on a ring that publishes what it does, to be looked at with `ouzel top`.
//!
//! Usage: `observed SECONDS FILES…`

use std::time::{Duration, Instant};

use ouzel::observe::Observe;
use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().as_deref().unwrap_or("10").parse()?;
    let mut files: Vec<String> = arguments.collect();
    if files.is_empty() {
        files.push("Cargo.toml".to_owned());
    }
    let mut ring = Ring::builder().observe(Observe::new().publish()).build()?;
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        for file in &files {
            let mut chain = Chain::new();
            let file = chain.open(file, OpenOptions::read());
            chain.read(file, Buffer::with_capacity(4096), Offset::START);
            chain.finally().close(file);
            ring.submit(chain)?;
        }
        ring.wait_all()?;
        while let Some((_, done)) = ring.next_ended() {
            done.check()?;
        }
    }
    let statistics = ring.observed().ok_or("the ring is not observed")?.statistics();
    for verb in &statistics.verbs {
        for (place, durations) in &verb.places {
            let (done, half) = (durations.count(), durations.quantile(0.5));
            println!("{:<6} {place:?}: {done}, half of them within {half} ns", verb.verb.name());
        }
    }
    Ok(())
}
