//! Opens a file, reads it and closes it, in exactly one system call, and prints what happened.
#![no_std]
#![no_main]

use ouzel_kernel_user::{Arguments, Ring, print, program};
use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Entry, EntryFlags, Errno, Payload, Verb};

program!(main);

fn main(_: Arguments) -> u64 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            // Without output there is nobody to tell.
            let _ = print(format_args!("first: {error}\n"));
            1
        }
    }
}

/// The file, with the NUL that ends a path.
const PATH: &[u8] = b"/etc/motd\0";

fn run() -> Result<(), Errno> {
    let mut ring = Ring::new(8, 16)?;
    let mut buffer = [0u8; 128];
    let path = Payload::of(PATH.as_ptr()).number();
    let place = Payload::of(buffer.as_mut_ptr()).number();
    // OPEN saves what it opened into r0, from where the other two have their first argument.
    let save = EntryFlags::save(0).ok_or(Errno::EINVAL)?;
    let load = EntryFlags::load(0, 0).ok_or(Errno::EINVAL)?;
    let chain = [
        Entry::new(Verb::Open)
            .arguments([0, path, PATH.len() as u64, OpenFlags::READ.bits(), 0])
            .flags(EntryFlags::LOCAL | EntryFlags::LINK | save),
        Entry::new(Verb::Read)
            .arguments([0, place, buffer.len() as u64, 0, 0])
            .flags(EntryFlags::LINK | load),
        Entry::new(Verb::Close).flags(EntryFlags::FINALLY | load),
    ];
    for (number, entry) in chain.iter().enumerate() {
        // SAFETY: path and buffer live until the chain has completed, which is waited for below.
        unsafe { ring.push(&entry.data(number as u64)) }?;
    }
    let taken = ring.enter(chain.len() as u32)?;
    print(format_args!("one system call took {taken} entries\n"))?;
    let mut length = 0;
    while let Some(completion) = ring.pop() {
        let verb = Verb::from_number(completion.op).map_or("?", Verb::name);
        let (error, result) = (completion.errno(), completion.result);
        print(format_args!("  {} {verb:5} {:6} result {result:#x}\n", completion.data, error.name()))?;
        if completion.op == Verb::Read as u32 {
            length = completion.outcome()? as usize;
        }
    }
    print(format_args!("read: {}", core::str::from_utf8(&buffer[..length]).unwrap_or("?\n")))
}
