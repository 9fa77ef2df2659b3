//! Ouzel: a ring is dropped with all reads in flight.

#![forbid(unsafe_code)]

use ouzel::{Buffer, Chain, Offset, Ring};
use teardown_task::{BYTES, READS, drop_all, offset, open, report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ring = Ring::builder().entries(1024).build()?;
    let file = ring.adopt(open()?)?;
    for read in 0..READS {
        let mut chain = Chain::new();
        // As a vector's memory is: on no boundary in particular.
        chain.read(file, Buffer::with_capacity(BYTES), Offset::at(offset(read)));
        ring.submit(chain)?;
    }
    ring.flush()?;
    let mut over = 0;
    while ring.next_ended().is_some() {
        over += 1;
    }
    report(&drop_all(ring, over));
    Ok(())
}
