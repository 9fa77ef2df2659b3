//! Tests of the library that programs are written with: the synchronous calls, rings that run chains, the heap.
//!
//! Each test prints a line; the exit status is the number of those that failed. With an argument it is a child of one of them.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use ouzel_chain::{Buffer, Chain, Offset, OpenOptions};
use ouzel_kernel_abi::{MAX_PAGES, MAX_RINGS, PAGE, SIGNAL_KILL};
use ouzel_kernel_user::{Arguments, ChainRing, Error, print, program};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{PollEvents, Whence};

program!(main);

type Tested = Result<(), String>;
type Test = (&'static str, fn() -> Tested);

const TESTS: &[Test] = &[
    ("each synchronous call is one system call", each_is_one_call),
    ("errors name operation, operand and number", errors_name_all),
    ("several chains are in flight, and end in any order", several_are_in_flight),
    ("a chain may be as long as its ring, and no longer", chains_have_a_length),
    ("a ring is dropped with a chain in flight", rings_are_dropped),
    ("processes end with a status or a signal", processes_end),
    ("the heap grows to the pages of the process, and no further", the_heap_has_an_end),
];

fn main(arguments: Arguments) -> u64 {
    match arguments.iter().nth(1) {
        Some("seven") => return 7,
        Some("sleep") => {
            let slept = ChainRing::new(1, 2).and_then(|mut ring| ring.sleep(Duration::from_secs(1000)));
            return u64::from(slept.is_err());
        }
        _ => {}
    }
    let mut failed = 0;
    for (name, test) in TESTS {
        let said = match test() {
            Ok(()) => print(format_args!("ok      {name}\n")),
            Err(problem) => {
                failed += 1;
                print(format_args!("FAILED  {name}: {problem}\n"))
            }
        };
        if said.is_err() {
            return u64::MAX;
        }
    }
    failed
}

fn check(is_so: bool, what: &str) -> Tested {
    if is_so { Ok(()) } else { Err(what.to_string()) }
}

/// What an error says, for a test that did not expect it.
fn told(error: Error) -> String {
    error.to_string()
}

/// Does something, which must be one system call.
fn once<T>(
    ring: &mut ChainRing,
    what: &str,
    call: impl FnOnce(&mut ChainRing) -> Result<T, Error>,
) -> Result<T, String> {
    let before = ring.statistics().map_err(told)?.calls;
    let result = call(ring).map_err(told)?;
    // The call that asks is counted, too.
    let calls = ring.statistics().map_err(told)?.calls - before - 1;
    check(calls == 1, &alloc::format!("{what} was {calls} system calls"))?;
    Ok(result)
}

fn each_is_one_call() -> Tested {
    // The heap need not grow meanwhile.
    drop(vec![0u8; 128 << 10]);
    let ring = &mut ChainRing::new(8, 16).map_err(told)?;
    let options = OpenOptions::read_write().create();
    let file = once(ring, "open", |ring| ring.open("/usertest", options))?;
    let written = once(ring, "write", |ring| ring.write(file, "one, two", Offset::START))?;
    check(written == 8, "eight bytes are written")?;
    let position = once(ring, "seek", |ring| ring.seek(file, 5, Whence::Start))?;
    let read = once(ring, "read", |ring| ring.read(file, 10, Offset::CURRENT))?;
    check(position == 5 && read == b"two", "what was written is read from there")?;
    let end = once(ring, "read", |ring| ring.read(file, 10, Offset::CURRENT))?;
    check(end.is_empty(), "at the end there is nothing")?;
    once(ring, "sync", |ring| ring.sync(file))?;
    let stat = once(ring, "stat_file", |ring| ring.stat_file(file))?;
    check(stat.size == 8 && stat.is_file(), "the file has eight bytes")?;
    let named = once(ring, "stat", |ring| ring.stat("/usertest"))?;
    check(named.inode == stat.inode, "it is the same file by its name")?;
    once(ring, "close", |ring| ring.close(file))?;
    let root = once(ring, "open", |ring| ring.open("/", OpenOptions::directory()))?;
    let listed = once(ring, "read_directory", |ring| ring.read_directory(root, 4096))?;
    let has = |name: &str, is_directory| {
        listed.iter().any(|entry| entry.name == name && entry.is_directory == is_directory)
    };
    check(has("usertest", false) && has("bin", true), "the root lists the file and a directory")?;
    let end = once(ring, "read_directory", |ring| ring.read_directory(root, 4096))?;
    check(end.is_empty(), "the directory has an end")?;
    let (reader, writer) = once(ring, "pipe", ChainRing::pipe)?;
    once(ring, "write", |ring| ring.write(writer, "x", Offset::CURRENT))?;
    let ready = once(ring, "poll", |ring| ring.poll(reader, PollEvents::IN))?;
    check(ready == PollEvents::IN, "the pipe can be read")?;
    once(ring, "sleep", |ring| ring.sleep(Duration::from_millis(2)))
}

fn errors_name_all() -> Tested {
    let ring = &mut ChainRing::new(8, 16).map_err(told)?;
    let error = ring.open("/none", OpenOptions::read()).err().ok_or("what is not there was opened")?;
    check(error.errno() == Some(Errno::ENOENT), "it is ENOENT")?;
    check(
        error.to_string() == "step 0 (OPEN \"/none\"): no such file or directory (ENOENT 2)",
        "the error names operation, path and number",
    )?;
    let error = ChainRing::new(3, 2).err().ok_or("a ring with fewer completions than entries was made")?;
    check(error.to_string().starts_with("SETUP: "), "the error names the system call")
}

fn several_are_in_flight() -> Tested {
    let ring = &mut ChainRing::new(8, 16).map_err(told)?;
    let (reader, writer) = ring.pipe().map_err(told)?;
    let mut chain = Chain::new();
    let read = chain.read(reader, Buffer::with_capacity(16), Offset::CURRENT);
    let reading = ring.submit(chain).map_err(told)?;
    let mut chain = Chain::new();
    chain.sleep(Duration::from_millis(2));
    chain.write(writer, "late", Offset::CURRENT);
    let writing = ring.submit(chain).map_err(told)?;
    let mut chain = Chain::new();
    chain.nop();
    let short = ring.submit(chain).map_err(told)?;
    ring.wait(short).map_err(told)?.check().map_err(|error| error.to_string())?;
    let mut done = ring.wait(reading).map_err(told)?;
    check(done.get(read).map_err(told)? == 4, "four bytes came")?;
    check(done.take(read).is_some_and(|bytes| bytes.as_slice() == b"late"), "they are what was written")?;
    ring.wait(writing).map_err(told)?.check().map_err(|error| error.to_string())?;
    let again = ring.wait(reading).err().and_then(|error| error.errno());
    check(again == Some(Errno::ENOENT), "a chain is waited for once")
}

fn chains_have_a_length() -> Tested {
    let ring = &mut ChainRing::new(8, 16).map_err(told)?;
    let of = |steps: usize| {
        let mut chain = Chain::new();
        for _ in 0..steps {
            chain.nop();
        }
        chain
    };
    ring.run(of(8)).map_err(told)?.check().map_err(|error| error.to_string())?;
    for (steps, problem) in [(9, "the chain has 9 steps"), (0, "the chain has no steps")] {
        let error = ring.run(of(steps)).err().ok_or("an impossible chain was run")?;
        check(error.to_string().starts_with(problem), "the error says what is wrong")?;
    }
    // More chains than fit at a time: the ring makes room.
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(ring.submit(of(8)).map_err(told)?);
    }
    for ticket in tickets {
        ring.wait(ticket).map_err(told)?.check().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn rings_are_dropped() -> Tested {
    for _ in 0..2 * MAX_RINGS {
        let mut ring = ChainRing::new(8, 16).map_err(told)?;
        let (reader, _) = ring.pipe().map_err(told)?;
        let mut chain = Chain::new();
        chain.read(reader, Buffer::with_capacity(16), Offset::CURRENT);
        ring.submit(chain).map_err(told)?;
        ring.flush().map_err(told)?;
    }
    Ok(())
}

fn processes_end() -> Tested {
    let ring = &mut ChainRing::new(8, 16).map_err(told)?;
    let child = ring.spawn("/bin/usertest seven").map_err(told)?;
    let status = ring.wait_for(child).map_err(told)?;
    check(status.code() == Some(7), "the status is the child's")?;
    let child = ring.spawn("/bin/usertest sleep").map_err(told)?;
    ring.kill(child).map_err(told)?;
    let status = ring.wait_for(child).map_err(told)?;
    check(status.signal().map(u32::from) == Some(SIGNAL_KILL), "it was killed")
}

fn the_heap_has_an_end() -> Tested {
    let mut some = Vec::new();
    check(some.try_reserve_exact(4 << 20).is_ok(), "4 MiB are there")?;
    some.resize(4 << 20, 0xa5u8);
    check(some.iter().all(|byte| *byte == 0xa5), "they are memory")?;
    let mut all: Vec<u8> = Vec::new();
    check(
        all.try_reserve_exact((MAX_PAGES * PAGE) as usize).is_err(),
        "all pages of a process are too many",
    )?;
    drop(some);
    let mut again: Vec<u8> = Vec::new();
    check(again.try_reserve_exact(4 << 20).is_ok(), "what was given back is given out again")
}
