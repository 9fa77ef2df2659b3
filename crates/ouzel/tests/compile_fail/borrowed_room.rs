//! A read owns what it fills: borrowed memory could go away before it completes.
use ouzel::{Chain, Offset, OpenOptions};

fn main() {
    let mut bytes = [0u8; 16];
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::read());
    chain.read(file, &mut bytes[..], Offset::START);
}
