// Only a variable can be assigned: a result is what its step has made.
use ouzel::Chain;

fn main() {
    let mut chain = Chain::new();
    let five = chain.set(5u64);
    chain.assign(five, 6u64);
}
