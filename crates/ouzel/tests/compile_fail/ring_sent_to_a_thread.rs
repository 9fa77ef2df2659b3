//! The fast ring stays on its thread.
use ouzel::Ring;

fn main() -> Result<(), ouzel::Error> {
    let ring = Ring::new()?;
    std::thread::spawn(move || drop(ring));
    Ok(())
}
