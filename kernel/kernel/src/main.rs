//! A demonstration kernel whose system-call layer is the ring: `ouzel-ring` and `ouzel-engine` in ring 0, as they are anywhere else.
//!
//! `docs/embedding.md` walks through it in reading order.
#![no_std]
#![no_main]

extern crate alloc;

mod backend;
mod block;
mod boot;
mod calls;
mod clock;
mod console;
mod files;
mod global;
mod mapping;
mod memory;
mod memory_functions;
mod names;
mod packet;
mod pipe;
mod process;
mod ring;
mod scheme;
mod space;
mod statistics;
mod thread;
mod trap;

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use ouzel_ring::Errno;
use x86_64::instructions::{hlt, port::Port};

use crate::console::Printer;
use crate::process::{Process, Standard};

/// What the machine is ended with after a panic. Any other value is the status of the first process.
const PANIC: u32 = 0x7f;

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether processes run, so that a tick has something to do.
fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Called by `boot.s`, on the boot stack, with the address of what the boot loader tells.
#[unsafe(no_mangle)]
extern "C" fn start(information: u32) -> ! {
    let booted = boot::read(information);
    trap::start();
    memory::start(booted.free, booted.end);
    console::start();
    thread::start();
    block::start();
    scheme::start();
    clock::start();
    if let Err(error) = files::start(booted.archive) {
        panic!("the initrd cannot be read: {error}; pack it with the runner");
    }
    if let Err(error) = run(booted.command) {
        panic!(
            "{:?} cannot be run: {error}; name a program of the initrd",
            core::str::from_utf8(booted.command)
        );
    }
    RUNNING.store(true, Ordering::Relaxed);
    loop {
        thread::go_on();
    }
}

/// Starts the first process. When it ends, so does the machine.
fn run(command: &[u8]) -> Result<(), Errno> {
    let words: alloc::vec::Vec<&[u8]> =
        command.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let program = files::look_up(None, words.first().ok_or(Errno::ENOENT)?)?.contents()?;
    let standard: Standard = [Some(console::console()), Some(console::console())];
    Process::load(&program, &words, standard)?.begin().map(drop)
}

/// Ends the machine: QEMU's exit status is twice this, and 1.
fn end(status: u32) -> ! {
    // SAFETY: the port of QEMU's device for that; without one, nothing happens.
    unsafe { Port::<u32>::new(0xf4).write(status) };
    loop {
        hlt();
    }
}

/// The first process has ended.
fn first_process_ended(status: u64, signal: u32) -> ! {
    if signal != 0 {
        // There is no one else to tell.
        let _ = writeln!(Printer, "the first process was ended by signal {signal}");
        end(PANIC - 1);
    }
    end((status as u32).min(PANIC - 2))
}

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    // What cannot be printed is lost.
    let _ = writeln!(Printer, "\nkernel: {information}");
    end(PANIC)
}

/// Nothing unwinds: panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    end(PANIC)
}
