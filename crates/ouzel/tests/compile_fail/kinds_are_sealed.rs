//! What a register may stand for is fixed: an own kind could make a value of anything.
use ouzel::abi::Completion;
use ouzel::{Buffer, Kind};

struct Mine;

impl Kind for Mine {
    type Value = u8;
    fn value(_: &Completion, _: bool, _: Option<&Buffer>) -> Option<u8> {
        None
    }
}

fn main() {}
