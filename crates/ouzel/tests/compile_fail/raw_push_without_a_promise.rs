//! An entry names memory by its address, so pushing one takes a promise.
use ouzel::Ring;
use ouzel::abi::{Entry, Verb};

fn main() -> Result<(), ouzel::Error> {
    let mut ring = Ring::builder().build_raw()?;
    let _ = ring.push(&Entry::new(Verb::Nop));
    Ok(())
}
