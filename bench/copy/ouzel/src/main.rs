//! Copies a file with Ouzel: `copy` is `compounds::copy_file`, `read-write` is `compounds::copy_file_through_memory`.

use std::path::Path;

use contender::{CountingAllocator, Tally, passes};
use ouzel::compounds::{copy_file, copy_file_through_memory};
use ouzel::{Error, Ring};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, source, target, copies] = arguments.as_slice() else {
        return Err("usage: copy-ouzel copy|read-write SOURCE TARGET COPIES".into());
    };
    let (source, target) = (Path::new(source), Path::new(target));
    let copies: u64 = copies.parse()?;
    let copy: fn(&mut Ring, &Path, &Path) -> Result<u64, Error> = match mode.as_str() {
        "copy" => |ring, source, target| copy_file(ring, source, target),
        "read-write" => |ring, source, target| copy_file_through_memory(ring, source, target),
        _ => return Err("the mode is copy or read-write".into()),
    };
    let mut ring = Ring::new()?;
    let setting = format!("compounds; backend: {}", ring.backend());
    passes(&setting, || {
        let mut tally = Tally { items: copies, ..Tally::default() };
        for _ in 0..copies {
            tally.bytes += copy(&mut ring, source, target)?;
        }
        Ok(tally)
    })
}
