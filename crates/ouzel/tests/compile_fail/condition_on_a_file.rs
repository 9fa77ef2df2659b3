// A descriptor is no number: there is nothing to compare it with.
use ouzel::{Chain, OpenOptions};

fn main() {
    let mut chain = Chain::new();
    let file = chain.open("file", OpenOptions::read());
    chain.when(file).is_zero().stop();
}
