//! A file is no count of bytes.
use ouzel::{Chain, OpenOptions};

fn main() {
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::write());
    chain.truncate(file, file);
}
