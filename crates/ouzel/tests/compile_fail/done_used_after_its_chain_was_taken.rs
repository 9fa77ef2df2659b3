//! Results are gone when the chain is used anew.
use ouzel::{Chain, Ring};

fn main() -> Result<(), ouzel::Error> {
    let mut ring = Ring::new()?;
    let mut chain = Chain::new();
    let seven = chain.get(7u64);
    let done = ring.run(chain)?;
    let _chain = done.into_chain();
    println!("{}", done.get(seven)?);
    Ok(())
}
