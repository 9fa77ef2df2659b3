//! Opens a file, reads it and closes it, in exactly one system call, and prints what happened.
#![no_std]
#![no_main]

use ouzel_chain::{Buffer, Chain, Offset, OpenOptions};
use ouzel_kernel_user::{Arguments, ChainRing, Error, Trace, print, program};

program!(main);

fn main(_: Arguments) -> u64 {
    match run() {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            // Without output there is nobody to tell.
            let _ = print(format_args!("first: {error}\n"));
            1
        }
    }
}

/// Whether it was one system call.
fn run() -> Result<bool, Error> {
    let mut ring = ChainRing::new(8, 16)?;
    let mut chain = Chain::new();
    let file = chain.open("/etc/motd", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(128), Offset::START);
    chain.finally().close(file);

    let before = ring.statistics()?.calls;
    let mut done = ring.run(chain)?;
    // The call that asks is counted, too.
    let calls = ring.statistics()?.calls - before - 1;

    let say =
        |text: core::fmt::Arguments<'_>| print(text).map_err(|errno| Error::Call { call: "print", errno });
    say(format_args!("a chain of {} steps, system calls: {calls}\n{}", done.len(), Trace(&done)))?;
    done.check()?;
    let read = done.get(length)?;
    let text = done.take(length).unwrap_or_default();
    let text = core::str::from_utf8(text.as_slice()).unwrap_or("what is no text\n");
    say(format_args!("read {read} bytes: {text}"))?;
    Ok(calls == 1)
}
