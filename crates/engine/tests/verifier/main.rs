//! The verifier of stored programs: what it takes, what it refuses and in which words, and that what it takes cannot do
//! what it promises against.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod accepted;
mod calls;
#[allow(dead_code)]
#[path = "../random/chaos.rs"]
mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod random;
mod rejections;
mod roles;
mod ways;

use ouzel_engine::{Interface, Program, Rejection};
use ouzel_ring::modifiers::{Action, CALL_REGION, CURRENT_POSITION, Condition, OpenFlags, TestOf};
use ouzel_ring::{Entry, EntryFlags, Payload, Verb};

/// An entry for `verb` with these arguments.
fn step(verb: Verb, arguments: [u64; 5]) -> Entry {
    Entry::new(verb).arguments(arguments)
}

/// What may be added to an entry.
trait With: Sized {
    fn with(self, flags: EntryFlags) -> Self;

    /// Argument `argument` is loaded from `register`.
    fn load(self, argument: usize, register: usize) -> Self {
        self.with(EntryFlags::load(argument, register).unwrap())
    }

    /// The result is saved into `register`.
    fn save(self, register: usize) -> Self {
        self.with(EntryFlags::save(register).unwrap())
    }

    /// What follows runs whatever becomes of it.
    fn hard(self) -> Self {
        self.with(EntryFlags::HARDLINK)
    }

    fn finally(self) -> Self {
        self.with(EntryFlags::FINALLY)
    }
}

impl With for Entry {
    fn with(mut self, flags: EntryFlags) -> Entry {
        self.flags |= flags.bits();
        self
    }
}

/// A place in a piece of the call.
fn piece(number: u16, offset: u64) -> u64 {
    Payload::new(CALL_REGION + number, offset).unwrap().number()
}

/// OPEN of the path in the first ten bytes of piece 0.
fn open() -> Entry {
    step(Verb::Open, [0, piece(0, 0), 10, OpenFlags::READ.bits(), 0])
}

/// READ of up to 4096 bytes into piece 1, of the file in `register`.
fn read(register: usize) -> Entry {
    step(Verb::Read, [0, piece(1, 0), 4096, CURRENT_POSITION, 0]).load(0, register)
}

fn close(register: usize) -> Entry {
    Entry::new(Verb::Close).load(0, register)
}

/// SET of `register`.
fn set(register: usize, value: u64) -> Entry {
    step(Verb::Set, [0, 0, value, 0, 0]).save(register)
}

/// GET of `register`.
fn get(register: usize) -> Entry {
    Entry::new(Verb::Get).load(0, register)
}

fn skip(members: u64) -> u64 {
    members << 32 | Action::Skip as u64
}

/// TEST whether `register` is `condition`.
fn test(register: usize, condition: Condition, action: u64) -> Entry {
    step(Verb::Test, [TestOf::Value as u64, action, 0, condition as u64, 0]).load(2, register)
}

/// TEST of how the last member ended.
fn test_last(condition: Condition, action: u64) -> Entry {
    step(Verb::Test, [TestOf::Last as u64, action, 0, condition as u64, 0])
}

fn repeat(bound: u64, distance: u64) -> Entry {
    step(Verb::Repeat, [0, 0, bound, distance, 0])
}

/// Called with a path of ten bytes and a buffer of 4096.
fn interface() -> Interface {
    Interface { registers: 0, descriptors: 0, pieces: vec![10, 4096], result: None }
}

/// The same, and r0 and so on, of which those in `descriptors` hold descriptors.
fn called_with(registers: u8, descriptors: u8) -> Interface {
    Interface { registers, descriptors, ..interface() }
}

#[track_caller]
fn accept(entries: &[Entry], interface: Interface) {
    match Program::new(entries, interface.clone()) {
        Ok(program) => {
            assert_eq!(program.entries(), entries);
            assert_eq!(*program.interface(), interface);
        }
        Err(rejection) => panic!("{rejection}"),
    }
}

#[track_caller]
fn reject(entries: &[Entry], interface: Interface) -> Rejection {
    Program::new(entries, interface).expect_err("it is refused")
}
