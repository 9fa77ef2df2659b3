//! The operations on locks, sockets' own state, processes and bells that a chain can be built of.

use alloc::sync::Arc;

use ouzel_ring::modifiers::{FutexFlags, LockMode, MAX_ADDRESS};
use ouzel_ring::{Payload, Verb};

use super::operations::Draft;
use super::{Address, Chain, Count, Data, Exit, File, Offset, Reg, Target, Unit};
use crate::{Buffer, FutexWord};

impl Chain {
    /// LOCK: takes or gives back a lock on `length` bytes (0: to the end, wherever that will be) of `file` from `offset` on.
    /// Waits while another descriptor holds any of them.
    pub fn lock(
        &mut self,
        file: impl Into<File>,
        offset: impl Into<Count>,
        length: impl Into<Count>,
        mode: LockMode,
    ) -> Reg<Unit> {
        Draft::new(Verb::Lock)
            .file(self, 0, file)
            .count(self, 3, offset)
            .count(self, 2, length)
            .value(4, mode as u64)
            .add(self)
    }

    /// GETSOCKOPT: reads an option of `socket`, with the numbers of `getsockopt(2)`, into `buffer`, up to its capacity. The
    /// result is how many bytes its value has there.
    pub fn getsockopt(
        &mut self,
        socket: impl Into<File>,
        level: u32,
        name: u32,
        buffer: impl Into<Target>,
    ) -> Reg<usize> {
        Draft::new(Verb::GetSockopt)
            .file(self, 0, socket)
            .value(3, u64::from(level))
            .value(4, u64::from(name))
            .add_room(self, buffer.into())
    }

    /// SETSOCKOPT: sets an option of `socket`, with the numbers of `setsockopt(2)`.
    pub fn setsockopt(
        &mut self,
        socket: impl Into<File>,
        level: u32,
        name: u32,
        value: impl Into<Data>,
    ) -> Reg<Unit> {
        Draft::new(Verb::SetSockopt)
            .file(self, 0, socket)
            .value(3, u64::from(level))
            .value(4, u64::from(name))
            .add_data(self, value.into())
    }

    /// SOCKNAME: the address of `socket` itself.
    pub fn sockname(&mut self, socket: impl Into<File>) -> Reg<Address> {
        self.add_address(Verb::Sockname, socket)
    }

    /// PEERNAME: the address that `socket` is connected to.
    pub fn peername(&mut self, socket: impl Into<File>) -> Reg<Address> {
        self.add_address(Verb::Peername, socket)
    }

    fn add_address(&mut self, verb: Verb, socket: impl Into<File>) -> Reg<Address> {
        // No address is longer than this, so that what was filled is always all of it.
        let buffer = Buffer::with_capacity(MAX_ADDRESS as usize);
        Draft::new(verb).file(self, 0, socket).add_room(self, Target::Own(buffer))
    }

    /// SPLICE: moves up to `length` bytes, as much as is there and fits, without copying them. One of the two is a pipe.
    /// The result is how many; 0 at the end of `source`.
    pub fn splice(
        &mut self,
        source: impl Into<File>,
        from: Offset,
        target: impl Into<File>,
        to: Offset,
        length: impl Into<Count>,
    ) -> Reg<usize> {
        Draft::new(Verb::Splice).between(self, (source, from), (target, to), length).add(self)
    }

    /// WAIT: waits for the child `process`, which `Ring::adopt_process` has put into the
    /// ring. The result is how it ended.
    pub fn wait_process(&mut self, process: impl Into<File>) -> Reg<Exit> {
        Draft::new(Verb::Wait).file(self, 0, process).add(self)
    }

    /// WAIT: waits for the child with this number. The result is how it ended.
    pub fn wait_child(&mut self, number: impl Into<Count>) -> Reg<Exit> {
        Draft::new(Verb::Wait).count(self, 2, number).add(self)
    }

    /// FUTEX: waits on `word` while it holds `expected`, until somebody wakes who waits there; fails with EAGAIN if it holds
    /// something else when the step runs. The chain holds the word until it is over.
    pub fn futex_wait(&mut self, word: &Arc<FutexWord>, expected: impl Into<Count>) -> Reg<Unit> {
        let draft = Draft::new(Verb::Futex).count(self, 4, expected);
        draft.value(1, self.push_word(word)).add(self)
    }

    /// FUTEX: wakes up to `count` of those who wait on `word`. The result is how many that were.
    pub fn futex_wake(&mut self, word: &Arc<FutexWord>, count: impl Into<Count>) -> Reg<u64> {
        let draft = Draft::new(Verb::Futex).count(self, 2, count).value(3, FutexFlags::WAKE.bits());
        draft.value(1, self.push_word(word)).add(self)
    }

    /// Keeps a word, and returns its address as an argument.
    fn push_word(&mut self, word: &Arc<FutexWord>) -> u64 {
        self.body.words.push(Arc::clone(word));
        Payload::of(word.as_ptr()).number()
    }

    /// WAKE: adds `amount`, at least 1, to the count of a `Bell`, and so wakes who waits for it.
    pub fn wake(&mut self, bell: impl Into<File>, amount: impl Into<Count>) -> Reg<Unit> {
        Draft::new(Verb::Wake).file(self, 0, bell).count(self, 2, amount).add(self)
    }
}
