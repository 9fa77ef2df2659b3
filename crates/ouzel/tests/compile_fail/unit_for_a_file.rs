//! What a CLOSE results in is nothing that can be used.
use ouzel::{Chain, OpenOptions};

fn main() {
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::read());
    let closed = chain.close(file);
    chain.close(closed);
}
