//! A client of the driver: it starts `driver` and uses the disks that this serves.
//!
//! `client` writes a block, has it synchronised and reads it back, in one chain. `client slow` has many chains wait for a slow driver. `client killed`
//! kills a driver that has not answered, and goes on.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use ouzel_chain::{Buffer, Chain, Offset, OpenOptions, Reg};
use ouzel_kernel_user::{Arguments, ChainRing, Done, Error, Trace, print, program};
use ouzel_ring::modifiers::{PollEvents, SyncMode};
use ouzel_ring::{Descriptor, Errno};

program!(main);

/// Bytes of a block.
const BLOCK: usize = 512;

/// Bytes of a disk.
const DISK: u64 = 64 << 10;

/// Chains that wait for a slow driver at a time.
const CHAINS: u64 = 24;

/// How often a client looks whether the driver serves.
const TRIES: u32 = 100;

/// What is printed is for whoever looks; nobody depends on it.
macro_rules! say {
    ($($what:tt)*) => {{ let _ = print(format_args!($($what)*)); }};
}

fn main(arguments: Arguments) -> u64 {
    let run = match arguments.iter().nth(1) {
        None => copy_a_block(),
        Some("slow") => wait_for_a_slow_driver(),
        Some("killed") => outlive_a_driver(),
        Some(other) => {
            say!("client: {other:?} is nothing that it does: give slow, killed or nothing\n");
            return 2;
        }
    };
    match run {
        Ok(()) => 0,
        Err(error) => {
            say!("client: {error}\n");
            1
        }
    }
}

/// An error unless it is so.
fn check(is_so: bool, what: &'static str) -> Result<(), Error> {
    if is_so { Ok(()) } else { Err(Error::Call { call: what, errno: Errno::EIO }) }
}

/// Starts a driver, and waits until it serves.
fn start_driver(ring: &mut ChainRing, line: &str) -> Result<Descriptor, Error> {
    let driver = ring.spawn(line)?;
    for _ in 0..TRIES {
        let mut chain = Chain::new();
        let disk = chain.open("disk:0", OpenOptions::read());
        chain.timeout(Duration::from_millis(1));
        chain.close(disk);
        match ring.run(chain)?.error() {
            Some(error) if error.errno == Errno::ENOENT => ring.sleep(Duration::from_millis(1))?,
            // It is there, though it may take its time.
            _ => return Ok(driver),
        }
    }
    check(false, "the driver has not started").map(|()| driver)
}

/// A chain that writes a block of `byte`s to `disk:0`, reads it back when the disk is ready, and closes it; and the step that
/// reads.
fn round(block: u64, byte: u8) -> (Chain, Reg<usize>) {
    let mut chain = Chain::new();
    let disk = chain.open("disk:0", OpenOptions::read_write());
    let at = block * BLOCK as u64;
    chain.write(disk, Buffer::from(&[byte; BLOCK]), Offset::at(at));
    chain.sync(disk, SyncMode::Full);
    chain.poll(disk, PollEvents::IN);
    let read = chain.read(disk, Buffer::with_capacity(BLOCK), Offset::at(at));
    chain.finally().close(disk);
    (chain, read)
}

/// Whether a round has read what it wrote.
fn is_copied(done: &mut Done, read: Reg<usize>, byte: u8) -> Result<bool, Error> {
    done.check()?;
    let bytes = done.take(read).unwrap_or_default();
    Ok(bytes.as_slice() == [byte; BLOCK])
}

fn copy_a_block() -> Result<(), Error> {
    let mut ring = ChainRing::new(16, 32)?;
    let driver = start_driver(&mut ring, "/bin/driver")?;
    let (chain, read) = round(3, 0xa5);
    let before = ring.statistics()?.calls;
    let mut done = ring.run(chain)?;
    let calls = ring.statistics()?.calls - before - 1;
    say!("a chain of {} steps, system calls: {calls}\n{}", done.len(), Trace(&done));
    check(is_copied(&mut done, read, 0xa5)?, "the block is another")?;
    say!("the block is what was written\n");
    // At the end of the disk there is nothing to read, and no room to write.
    let disk = ring.open("disk:1", OpenOptions::read_write())?;
    check(ring.write(disk, &[1; BLOCK], Offset::at(DISK - 1))? == 1, "the last byte is written")?;
    check(ring.read(disk, BLOCK, Offset::at(DISK - 1))? == [1], "the last byte is read")?;
    check(ring.read(disk, BLOCK, Offset::at(DISK))?.is_empty(), "behind it is nothing")?;
    let full = ring.write(disk, "x", Offset::at(DISK)).err().and_then(|error| error.errno());
    check(full == Some(Errno::ENOSPC), "behind it is no room")?;
    ring.close(disk)?;
    // What the driver refuses is the client's error, and names what it was about.
    match ring.open("disk:7", OpenOptions::read()) {
        Err(error) => say!("{error}\n"),
        Ok(_) => check(false, "a disk was opened that is none")?,
    }
    ring.kill(driver)?;
    ring.wait_for(driver).map(drop)
}

fn wait_for_a_slow_driver() -> Result<(), Error> {
    let mut ring = ChainRing::new(256, 512)?;
    let driver = start_driver(&mut ring, "/bin/driver slow")?;
    let mut waiting = Vec::new();
    for block in 0..CHAINS {
        let (chain, read) = round(block, block as u8 + 1);
        waiting.push((ring.submit(chain)?, read, block as u8 + 1));
    }
    let mut copied = 0;
    for (ticket, read, byte) in waiting {
        let mut done = ring.wait(ticket)?;
        copied += u64::from(is_copied(&mut done, read, byte)?);
    }
    say!("{copied} of {CHAINS} chains have read what they wrote\n");
    check(copied == CHAINS, "something was lost")?;
    ring.kill(driver)?;
    ring.wait_for(driver).map(drop)
}

fn outlive_a_driver() -> Result<(), Error> {
    let mut ring = ChainRing::new(32, 64)?;
    let stuck = start_driver(&mut ring, "/bin/driver stuck")?;
    let (chain, _) = round(0, 1);
    let ticket = ring.submit(chain)?;
    ring.flush()?;
    ring.sleep(Duration::from_millis(10))?;
    ring.kill(stuck)?;
    let done = ring.wait(ticket)?;
    match done.error() {
        Some(error) => say!("the driver was killed: {error}\n"),
        None => check(false, "a driver has answered that never does")?,
    }
    ring.wait_for(stuck)?;
    match ring.open("disk:0", OpenOptions::read()) {
        Err(error) => say!("nobody serves: {error}\n"),
        Ok(_) => check(false, "a disk was opened that nobody serves")?,
    }
    let again = start_driver(&mut ring, "/bin/driver")?;
    let (chain, read) = round(0, 2);
    let mut done = ring.run(chain)?;
    check(is_copied(&mut done, read, 2)?, "the block is another")?;
    say!("another driver serves\n");
    ring.kill(again)?;
    ring.wait_for(again).map(drop)
}
