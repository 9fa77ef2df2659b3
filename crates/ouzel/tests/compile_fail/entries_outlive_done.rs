//! Names borrow from the buffer they lie in.
use ouzel::{Buffer, Chain, OpenOptions, Ring};

fn main() -> Result<(), ouzel::Error> {
    let mut ring = Ring::new()?;
    let mut chain = Chain::new();
    let directory = chain.open(".", OpenOptions::directory());
    let names = chain.readdir(directory, Buffer::with_capacity(4096));
    let mut done = ring.run(chain)?;
    let entries = done.entries(names)?;
    done.take(names);
    println!("{}", entries.count());
    Ok(())
}
