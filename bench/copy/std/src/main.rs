//! Copies a file as most programs do: `io-copy` is `std::io::copy` kept from `copy_file_range` (8 KiB at a time), `fs-copy` is
//! `std::fs::copy`, which uses it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use contender::{CountingAllocator, Tally, passes};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A file that the standard library does not know to be one.
struct Plain(File);

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, source, target, copies] = arguments.as_slice() else {
        return Err("usage: copy-std io-copy|fs-copy SOURCE TARGET COPIES".into());
    };
    let copies: u64 = copies.parse()?;
    let (setting, copy): (_, fn(&Path, &Path) -> io::Result<u64>) = match mode.as_str() {
        "io-copy" => ("std::io::copy through types it does not know", io_copy),
        "fs-copy" => ("std::fs::copy", |source, target| std::fs::copy(source, target)),
        _ => return Err("the mode is io-copy or fs-copy".into()),
    };
    passes(setting, || {
        let mut tally = Tally { items: copies, ..Tally::default() };
        for _ in 0..copies {
            tally.bytes += copy(Path::new(source), Path::new(target))?;
        }
        Ok(tally)
    })
}

fn io_copy(source: &Path, target: &Path) -> io::Result<u64> {
    let source = File::open(source)?;
    let mode = source.metadata()?.permissions().mode();
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(target)?;
    io::copy(&mut Plain(source), &mut Plain(target))
}
