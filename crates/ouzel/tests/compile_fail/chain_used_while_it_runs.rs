//! A chain is the ring's while it runs.
use ouzel::{Chain, Ring};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ring = Ring::new()?;
    let mut chain = Chain::new();
    chain.nop();
    let _ticket = ring.submit(chain)?;
    chain.nop();
    Ok(())
}
