//! The serial line: what the kernel itself prints, and the object `console:`.
//!
//! The line is looked at with every tick. Bytes that nobody has read wait here, up to [`INPUT`]; more are left in the chip, which
//! then holds its sender. What the chip does not take of a WRITE waits, too: nothing else stands still while a line is slow.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;

use ouzel_ring::modifiers::PollEvents;
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

use crate::global::Global;
use crate::memory;
use crate::packet::{self, Ended, Fate, Object, Packet, Request};

/// Bytes that wait to be read.
const INPUT: usize = 4096;

struct Line {
    chip: Uart16550<PioBackend>,
    input: VecDeque<u8>,
}

static LINE: Global<Line> = Global::new();
static CONSOLE: Global<Rc<Console>> = Global::new();

/// The serial line as an object.
#[derive(Default)]
pub struct Console {
    readers: RefCell<VecDeque<Packet>>,
    writers: RefCell<VecDeque<Packet>>,
}

/// Sets the chip up. The heap must be there.
pub fn start() {
    // SAFETY: the first serial port of every PC, which nobody else uses.
    let Ok(mut chip) = (unsafe { Uart16550::new_port(0x3f8) }) else { return };
    if chip.init(Config::default()).is_ok() {
        LINE.set(Line { chip, input: VecDeque::with_capacity(INPUT) });
    }
    CONSOLE.set(Rc::default());
}

/// The object.
pub fn console() -> Rc<Console> {
    CONSOLE.get().clone()
}

/// Takes what has come over the line, sends what waits to be, and serves who waits for that.
pub fn poll() {
    if !LINE.is_free() {
        return;
    }
    let console = console();
    while console.sends() {
        let packet = console.writers.borrow_mut().pop_front();
        if let Some(packet) = packet {
            let done = packet.done as u64;
            packet::finish(packet, Ended::success(done));
        }
    }
    {
        let mut line = LINE.get();
        while line.input.len() < INPUT {
            match line.chip.try_receive_byte() {
                Ok(byte) => line.input.push_back(byte),
                Err(_) => break,
            }
        }
    }
    while !LINE.get().input.is_empty() {
        let packet = console.readers.borrow_mut().pop_front();
        match packet {
            Some(packet) => {
                let (packet, ended) = serve(packet);
                packet::finish(packet, ended);
            }
            None => return,
        }
    }
}

/// Gives input to a packet that waits for it. There is some.
fn serve(mut packet: Packet) -> (Packet, Ended) {
    let ended = match packet.request {
        Request::Read { length, .. } => {
            let input = &mut LINE.get().input;
            let length = length.min(input.len());
            packet.data.extend(input.drain(..length));
            Ended::success(length as u64)
        }
        _ => Ended::success(PollEvents::IN.bits()),
    };
    (packet, ended)
}

/// Sends what the chip takes of a WRITE: whether that was all of it.
fn send(packet: &mut Packet) -> bool {
    let mut line = LINE.get();
    while let Some(byte) = packet.data.get(packet.done) {
        if line.chip.try_send_byte(*byte).is_err() {
            return false;
        }
        packet.done += 1;
    }
    true
}

impl Console {
    /// Whether somebody waits to send, and now all that he has is sent.
    fn sends(&self) -> bool {
        self.writers.borrow_mut().front_mut().is_some_and(send)
    }
}

impl Object for Console {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        match packet.request {
            Request::Write { .. } => {
                let mut writers = self.writers.borrow_mut();
                // Before any of its bytes are out: what waits after that cannot fail.
                if let Err(error) = memory::make_room(&mut writers, 1) {
                    return packet.fail(error);
                }
                if (writers.is_empty() && send(&mut packet)) || (packet.done > 0 && !packet.may_wait) {
                    let done = packet.done as u64;
                    return packet.succeed(done);
                }
                packet.wait_in(&mut writers)
            }
            Request::Poll { events } if events.contains(PollEvents::OUT) => {
                packet.succeed(PollEvents::OUT.bits())
            }
            Request::Read { length: 0, .. } => packet.succeed(0),
            Request::Read { .. } | Request::Poll { .. } => {
                if LINE.get().input.is_empty() {
                    packet.wait_in(&mut self.readers.borrow_mut())
                } else {
                    let (packet, ended) = serve(packet);
                    packet.end(ended)
                }
            }
            _ => packet.fail(ouzel_ring::Errno::EINVAL),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        let writer = packet::take_from(&self.writers, name);
        if let Some(writer) = writer {
            return packet::give_up(writer);
        }
        packet::take_from(&self.readers, name)
    }
}

/// Writes of the kernel itself. Nothing is printed before the line is set up.
pub struct Printer;

impl fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if LINE.is_free() {
            LINE.get().chip.send_bytes_exact(text.as_bytes());
        }
        Ok(())
    }
}
