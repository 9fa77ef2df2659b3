//! Pushes NOPs through a ring and its engine, without a kernel: what `ci/count-instructions` counts.
//!
//! Usage: `nop OPERATIONS BATCH`

use ouzel::abi::{Entry, Verb};
use ouzel::{BackendKind, Ring};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let operations: u64 = arguments.next().as_deref().unwrap_or("1000").parse()?;
    let batch: u64 = arguments.next().as_deref().unwrap_or("32").parse()?;
    let mut ring = Ring::builder().entries(256).backend(BackendKind::Sim).build_raw()?;
    let mut completed = 0;
    while completed < operations {
        for number in 0..batch {
            // SAFETY: NOP names no memory.
            unsafe { ring.push(&Entry::new(Verb::Nop).data(number)) }?;
        }
        ring.enter(u32::MAX, 0, None)?;
        for number in 0..batch {
            let completion = ring.pop().ok_or("a completion is missing")?;
            if completion.data != number || completion.error != 0 {
                return Err("a wrong completion".into());
            }
            completed += 1;
        }
    }
    println!("{completed} NOPs");
    Ok(())
}
