//! Counts the instructions of a system call: for an ENTER that has nothing to do, and for chains of NOPs.
//!
//! For a machine whose counter counts instructions (QEMU's `-icount shift=0`). What is counted is the shortest of
//! many rounds, since the timer's interrupt falls into some; pushing and popping are counted too, for they are what a caller pays.
//! The table is one of `docs/embedding.md`.
#![no_std]
#![no_main]

use ouzel_kernel_user::{Arguments, Ring, calls, print, program};
use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

program!(main);

/// Entries of the chains.
const LENGTHS: [u64; 3] = [1, 8, 32];
/// Rounds of which the shortest counts.
const ROUNDS: u32 = 200;
/// What an instruction takes, in nanoseconds.
const INSTRUCTION: u64 = 1;

/// Part of a round: what a caller does, and what the system call does.
#[derive(Clone, Copy)]
struct Cost {
    call: u64,
    whole: u64,
}

fn main(arguments: Arguments) -> u64 {
    match run(arguments.start().counter_rate) {
        Ok(()) => 0,
        Err(error) => {
            // Without output there is nobody to tell.
            let _ = print(format_args!("cost: {error}\n"));
            1
        }
    }
}

fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn run(rate: u64) -> Result<(), Errno> {
    let mut ring = Ring::new(64, 128)?;
    let scale = |units: u64| (u128::from(units) * 1_000_000_000 / u128::from(rate)) as u64 / INSTRUCTION;
    let empty = shortest(|| measure(&mut ring, 0))?;
    print(format_args!(
        "| chain of NOPs | instructions of the system call | with push and pop | for each operation |\n"
    ))?;
    print(format_args!("|---:|---:|---:|---:|\n"))?;
    print(format_args!("| none | {} | {} | – |\n", scale(empty.call), scale(empty.whole)))?;
    let mut before = u64::MAX;
    for length in LENGTHS {
        let cost = shortest(|| measure(&mut ring, length))?;
        let each = scale(cost.whole) / length;
        print(format_args!("| {length} | {} | {} | {each} |\n", scale(cost.call), scale(cost.whole)))?;
        if each >= before {
            print(format_args!("the cost of an operation does not fall\n"))?;
            return Err(Errno::ERANGE);
        }
        before = each;
    }
    Ok(())
}

/// The shortest of many rounds.
fn shortest(mut round: impl FnMut() -> Result<Cost, Errno>) -> Result<Cost, Errno> {
    let mut least = round()?;
    for _ in 1..ROUNDS {
        let cost = round()?;
        if cost.whole < least.whole {
            least = cost;
        }
    }
    Ok(least)
}

/// One round: a chain of so many NOPs, in one system call.
fn measure(ring: &mut Ring, length: u64) -> Result<Cost, Errno> {
    let begun = counter();
    for number in 1..=length {
        let flags = if number < length { EntryFlags::LINK } else { EntryFlags::empty() };
        // SAFETY: a NOP names no memory.
        unsafe { ring.push(&Entry::new(Verb::Nop).flags(flags).data(number)) }?;
    }
    if let Some(end) = ring.end() {
        end.publish();
    }
    let called = counter();
    // SAFETY: as above.
    let taken = unsafe { calls::enter(ring.number(), u32::MAX, length as u32, u64::MAX) }?;
    let returned = counter();
    let mut count = 0;
    while let Some(completion) = ring.pop() {
        completion.outcome()?;
        count += 1;
    }
    let ended = counter();
    if (taken, count) != (length, length) {
        return Err(Errno::EIO);
    }
    Ok(Cost { call: returned - called, whole: ended - begun })
}
