//! A buffer is the chain's until the chain is done.
use ouzel::{Buffer, Chain, Offset, OpenOptions};

fn main() {
    let buffer = Buffer::with_capacity(16);
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::read());
    chain.read(file, buffer, Offset::START);
    println!("{}", buffer.len());
}
