// A call owns the buffers that it passes until it is over: it cannot be run again.
use ouzel::{Error, Ring, Stored};

fn twice(ring: &mut Ring, program: &Stored<usize>) -> Result<(), Error> {
    let call = program.call().buffer(vec![0; 8]);
    ring.run_program(call)?;
    ring.run_program(call)?;
    Ok(())
}

fn main() {}
