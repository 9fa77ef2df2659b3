//! The block device: a disk in memory, with a queue.
//!
//! Requests wait in its queue for the timer's tick, which serves a bounded number of them: they take their time as a disk's do, and
//! can be cancelled until their turn comes. It is the lowest layer; files lie above it.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use ouzel_ring::Errno;

use crate::global::Global;
use crate::packet::{self, Ended, Fate, Object, Packet, Request};

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Blocks of the device.
const BLOCKS: usize = 2560;
/// Requests that one tick serves.
const A_TICK: usize = 64;

/// The device.
pub struct Disk {
    bytes: RefCell<Vec<u8>>,
    free: RefCell<Vec<u32>>,
    queue: RefCell<VecDeque<Packet>>,
    served: Cell<u64>,
}

static DISK: Global<Rc<Disk>> = Global::new();

/// Makes the device, all of it free.
pub fn start() {
    DISK.set(Rc::new(Disk {
        bytes: RefCell::new(vec![0; BLOCKS * BLOCK]),
        free: RefCell::new((0..BLOCKS as u32).rev().collect()),
        queue: RefCell::default(),
        served: Cell::new(0),
    }));
}

/// The device.
pub fn disk() -> Rc<Disk> {
    DISK.get().clone()
}

/// Serves what waits.
pub fn tick() {
    let disk = disk();
    for _ in 0..A_TICK {
        let packet = disk.queue.borrow_mut().pop_front();
        let Some(mut packet) = packet else { return };
        let ended = disk.serve(&mut packet);
        packet::finish(packet, ended);
    }
}

impl Disk {
    /// Requests that it has served.
    pub fn served(&self) -> u64 {
        self.served.get()
    }

    /// A block that nobody uses, full of zeros. ENOSPC if there is none.
    pub fn allocate(&self) -> Result<u32, Errno> {
        let number = self.free.borrow_mut().pop().ok_or(Errno::ENOSPC)?;
        self.block(number, |block| block.fill(0));
        Ok(number)
    }

    /// Gives a block back.
    pub fn release(&self, number: u32) {
        self.free.borrow_mut().push(number);
    }

    /// Goes to a block past the queue: while the kernel starts, and where it loads a program.
    pub fn block<T>(&self, number: u32, with: impl FnOnce(&mut [u8]) -> T) -> T {
        let start = number as usize * BLOCK;
        with(&mut self.bytes.borrow_mut()[start..start + BLOCK])
    }

    fn serve(&self, packet: &mut Packet) -> Ended {
        self.served.set(self.served.get() + 1);
        let Request::Block { number, offset, length, write } = packet.request else {
            return Ended::failure(Errno::EINVAL);
        };
        let done = packet.done;
        let data = &mut packet.data;
        self.block(number, |block| {
            let part = &mut block[offset..offset + length];
            if write {
                part.copy_from_slice(&data[done..done + length]);
            } else {
                data.extend_from_slice(part);
            }
        });
        Ended::success(length as u64)
    }
}

impl Object for Disk {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        // What storage delays waits for no event.
        packet.stand_in(&mut self.queue.borrow_mut())
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        // A file is made longer before its bytes are on their way: what is written arrives, whoever gives it up.
        let is_read = |packet: &Packet| matches!(packet.request, Request::Block { write: false, .. });
        let may = self.queue.borrow().iter().any(|packet| packet.name == name && is_read(packet));
        if may { packet::take_from(&self.queue, name) } else { None }
    }
}
