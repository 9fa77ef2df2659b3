//! A count of bytes is no file.
use ouzel::{Buffer, Chain, Offset, OpenOptions};

fn main() {
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(8), Offset::START);
    chain.close(length);
}
