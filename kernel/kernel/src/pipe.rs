//! Pipes: bytes from one end to the other, through a bounded buffer.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use crate::memory;
use crate::packet::{self, Fate, Object, Packet, Request};

/// Bytes that a pipe holds.
const ROOM: usize = 4096;

#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    readers: RefCell<VecDeque<Packet>>,
    writers: RefCell<VecDeque<Packet>>,
    read_end_closed: Cell<bool>,
    write_end_closed: Cell<bool>,
}

/// The end that is read from, and the other one.
pub fn new() -> (Rc<dyn Object>, Rc<dyn Object>) {
    let pipe = Rc::new(Pipe::default());
    (Rc::new(ReadEnd(pipe.clone())), Rc::new(WriteEnd(pipe)))
}

struct ReadEnd(Rc<Pipe>);

struct WriteEnd(Rc<Pipe>);

impl Pipe {
    /// Serves who waits, at both ends, as long as something moves.
    fn serve(&self) {
        loop {
            let reader = self.readers.borrow_mut().pop_front();
            let mut moved = false;
            if let Some(packet) = reader {
                match self.read(packet) {
                    Fate::Over(packet, ended) => {
                        packet::finish(packet, ended);
                        moved = true;
                    }
                    // It has gone to the end of the queue: nothing is there for anybody who reads.
                    _ => self.readers.borrow_mut().rotate_right(1),
                }
            }
            let writer = self.writers.borrow_mut().pop_front();
            if let Some(packet) = writer {
                match self.write(packet) {
                    Fate::Over(packet, ended) => {
                        packet::finish(packet, ended);
                        moved = true;
                    }
                    _ => self.writers.borrow_mut().rotate_right(1),
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A reader takes what is there, or waits.
    fn read(&self, mut packet: Packet) -> Fate {
        let mut bytes = self.bytes.borrow_mut();
        match packet.request {
            Request::Read { length: 0, .. } => packet.succeed(0),
            Request::Read { length, .. } if !bytes.is_empty() => {
                let some = length.min(bytes.len());
                packet.data.extend(bytes.drain(..some));
                packet.succeed(some as u64)
            }
            Request::Read { .. } if self.write_end_closed.get() => packet.succeed(0),
            Request::Poll { .. } if !bytes.is_empty() && self.write_end_closed.get() => {
                packet.succeed((PollEvents::IN | PollEvents::HANGUP).bits())
            }
            Request::Poll { .. } if !bytes.is_empty() => packet.succeed(PollEvents::IN.bits()),
            Request::Poll { .. } if self.write_end_closed.get() => packet.succeed(PollEvents::HANGUP.bits()),
            Request::Read { .. } | Request::Poll { .. } => packet.wait_in(&mut self.readers.borrow_mut()),
            _ => packet.fail(Errno::EINVAL),
        }
    }

    /// A writer fills what room there is, and waits until all it has is in.
    fn write(&self, mut packet: Packet) -> Fate {
        let mut bytes = self.bytes.borrow_mut();
        match packet.request {
            Request::Write { .. } | Request::Poll { .. } if self.read_end_closed.get() => {
                match packet.request {
                    Request::Poll { .. } => packet.succeed(PollEvents::ERROR.bits()),
                    _ if packet.done > 0 => {
                        let done = packet.done as u64;
                        packet.succeed(done)
                    }
                    _ => packet.fail(Errno::EPIPE),
                }
            }
            Request::Write { .. } => {
                let some = (packet.data.len() - packet.done).min(ROOM - bytes.len());
                bytes.extend(&packet.data[packet.done..packet.done + some]);
                packet.done += some;
                let done = packet.done as u64;
                if packet.done == packet.data.len() || (done > 0 && !packet.may_wait) {
                    packet.succeed(done)
                } else {
                    packet.wait_in(&mut self.writers.borrow_mut())
                }
            }
            Request::Poll { .. } if bytes.len() < ROOM => packet.succeed(PollEvents::OUT.bits()),
            Request::Poll { .. } => packet.wait_in(&mut self.writers.borrow_mut()),
            _ => packet.fail(Errno::EINVAL),
        }
    }
}

/// A new packet waits its turn behind those that wait already.
fn begin(pipe: &Rc<Pipe>, packet: Packet, is_read: bool) -> Fate {
    if !matches!(packet.request, Request::Poll { .. } | Request::Read { .. } | Request::Write { .. }) {
        return packet.fail(Errno::EINVAL);
    }
    if let Request::Read { position: Some(_), .. } | Request::Write { position: Some(_) } = packet.request {
        return packet.fail(Errno::ESPIPE);
    }
    let queue = if is_read { &pipe.readers } else { &pipe.writers };
    // Before any of its bytes are in: what waits after that cannot fail.
    if let Err(error) = memory::make_room(&mut queue.borrow_mut(), 1) {
        return packet.fail(error);
    }
    let has_turn = queue.borrow().is_empty();
    let fate = match (has_turn, is_read) {
        (false, _) => packet.wait_in(&mut queue.borrow_mut()),
        (true, true) => pipe.read(packet),
        (true, false) => pipe.write(packet),
    };
    // The other side may have waited for what this one has brought, or left room for.
    pipe.serve();
    fate
}

impl Object for ReadEnd {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        if matches!(packet.request, Request::Write { .. }) {
            return packet.fail(Errno::EBADF);
        }
        begin(&self.0, packet, true)
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        packet::take_from(&self.0.readers, name)
    }

    fn describe(&self) -> (u32, u64, u64) {
        (0o010_600, 0, 0)
    }
}

impl Object for WriteEnd {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        if matches!(packet.request, Request::Read { .. }) {
            return packet.fail(Errno::EBADF);
        }
        begin(&self.0, packet, false)
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        packet::take_from(&self.0.writers, name).and_then(packet::give_up)
    }

    fn describe(&self) -> (u32, u64, u64) {
        (0o010_600, 0, 0)
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.0.read_end_closed.set(true);
        self.0.serve();
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.0.write_end_closed.set(true);
        self.0.serve();
    }
}
