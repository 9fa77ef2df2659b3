//! Packets: one operation on its way through layers.
//!
//! A packet is given to the object that a descriptor stands for. That may end it, keep it until something happens, or send it
//! down, as another request, to a layer below; what comes back from there goes up through each layer that sent it down, and at
//! the top to the mailbox of the ring it came from. Both ways are loops, so the stack does not grow with the layers. Whoever
//! keeps a packet gives it back when it is asked to ([`Object::take_back`]): so cancel passes down, and the end of the packet up.
//!
//! A packet holds bytes of its own and nothing of its process: it may outlive that.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};

use ouzel_engine::Token;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, PollEvents, Whence};

use crate::memory;
use crate::thread::{self, Thread};

static LIVING: AtomicU64 = AtomicU64::new(0);
static NAMED: AtomicU64 = AtomicU64::new(0);

/// Packets that are in the hands of some layer.
pub fn living() -> u64 {
    LIVING.load(Ordering::Relaxed)
}

/// What is asked of a layer. Bytes to write are the packet's data; bytes that are read become that.
#[derive(Clone, Debug)]
pub enum Request {
    /// Up to so many bytes, from there or from where the object stands.
    Read { position: Option<u64>, length: usize },
    /// The packet's data, to there or where the object stands.
    Write { position: Option<u64> },
    /// To be ended when one of these is so.
    Poll { events: PollEvents },
    /// To be ended when what was written is on the device.
    Sync,
    /// To be ended when the process or thread has ended.
    Wait,
    /// Of a block device: bytes of one block, from the packet's data (behind what is done) or appended to it.
    Block { number: u32, offset: usize, length: usize, write: bool },
    /// Of a scheme's driver: an OPEN of the path in the packet's data.
    Open { flags: OpenFlags, mode: u32 },
}

/// How a packet ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The error, or OK.
    pub error: Errno,
    /// The result.
    pub result: u64,
    /// The second result.
    pub extra: u32,
}

impl Ended {
    /// Success with this result.
    pub fn success(result: u64) -> Ended {
        Ended { error: Errno::OK, result, extra: 0 }
    }

    /// Failure with this error.
    pub fn failure(error: Errno) -> Ended {
        Ended { error, result: 0, extra: 0 }
    }
}

/// One operation.
pub struct Packet {
    /// Its name, for taking it back.
    pub name: u64,
    /// What is asked of the layer that has it.
    pub request: Request,
    /// The bytes it carries.
    pub data: Vec<u8>,
    /// Bytes of a transfer that are done, for the layer that counts them.
    pub done: usize,
    /// If not, it ends with ETIMEDOUT where it would have to wait for an event.
    pub may_wait: bool,
    /// What a scheme's driver calls the object that it is for.
    pub handle: u64,
    /// What it is called in the ring to that driver.
    pub label: u64,
    /// What it opened, for whom it opened it.
    pub opened: Option<Rc<dyn Object>>,
    /// The layers it came through, with what was asked of each.
    above: Vec<(Rc<dyn Object>, Request)>,
    mailbox: Rc<Mailbox>,
    token: Token,
}

impl Packet {
    /// A packet whose end is told to `mailbox` under this token.
    pub fn new(
        request: Request,
        data: Vec<u8>,
        may_wait: bool,
        mailbox: Rc<Mailbox>,
        token: Token,
    ) -> Packet {
        LIVING.fetch_add(1, Ordering::Relaxed);
        let name = NAMED.fetch_add(1, Ordering::Relaxed);
        Packet {
            name,
            request,
            data,
            done: 0,
            may_wait,
            handle: 0,
            label: 0,
            opened: None,
            above: Vec::new(),
            mailbox,
            token,
        }
    }

    /// It is over.
    pub fn end(self, ended: Ended) -> Fate {
        Fate::Over(self, ended)
    }

    /// It succeeded.
    pub fn succeed(self, result: u64) -> Fate {
        self.end(Ended::success(result))
    }

    /// It failed.
    pub fn fail(self, error: Errno) -> Fate {
        self.end(Ended::failure(error))
    }

    /// It waits for an event, in this queue, or ends with ETIMEDOUT because it may not.
    pub fn wait_in(self, queue: &mut VecDeque<Packet>) -> Fate {
        if !self.may_wait {
            return self.fail(Errno::ETIMEDOUT);
        }
        self.stand_in(queue)
    }

    /// It waits for its turn, in this queue. ENOMEM if that has no room.
    pub fn stand_in(self, queue: &mut VecDeque<Packet>) -> Fate {
        match memory::make_room(queue, 1) {
            Ok(()) => queue.push_back(self),
            Err(error) => return self.fail(error),
        }
        Fate::Kept
    }

    /// It goes to a layer below, where this is asked of it.
    pub fn send_down(self, lower: Rc<dyn Object>, request: Request) -> Fate {
        Fate::Down { lower, packet: self, request }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a layer has done with a packet.
pub enum Fate {
    /// It has it still.
    Kept,
    /// It is over, as far as this layer goes.
    Over(Packet, Ended),
    /// It goes down.
    Down { lower: Rc<dyn Object>, packet: Packet, request: Request },
}

/// Something a descriptor can stand for, or that lies below such a thing.
pub trait Object {
    /// Takes a packet.
    fn start(self: Rc<Self>, packet: Packet) -> Fate;

    /// A packet that this layer sent down comes back.
    fn came_back(self: Rc<Self>, packet: Packet, ended: Ended) -> Fate {
        packet.end(ended)
    }

    /// Gives a packet up that this layer, or one below, keeps.
    fn take_back(&self, name: u64) -> Option<Packet> {
        let _ = name;
        None
    }

    /// STAT: the mode with the type, the size, a number of its own.
    fn describe(&self) -> (u32, u64, u64) {
        (0o020_666, 0, 0)
    }

    /// SEEK.
    fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let _ = (offset, whence);
        Err(Errno::ESPIPE)
    }

    /// READDIR: records, at most so many bytes.
    fn list(&self, room: usize) -> Result<Vec<u8>, Errno> {
        let _ = room;
        Err(Errno::ENOTDIR)
    }

    /// TRUNCATE.
    fn truncate(&self, length: u64) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// SENDMSG, of which only the descriptors count.
    fn give(&self, objects: Vec<Rc<dyn Object>>) -> Result<(), Errno> {
        let _ = objects;
        Err(Errno::ENOTSOCK)
    }

    /// The directory it is, for paths that start from it.
    fn directory(&self) -> Option<Rc<crate::files::Node>> {
        None
    }
}

/// Gives a packet to an object.
pub fn start(object: Rc<dyn Object>, packet: Packet) {
    let fate = object.clone().start(packet);
    settle(object, fate);
}

/// A layer that kept a packet is done with it.
pub fn finish(mut packet: Packet, ended: Ended) {
    match packet.above.pop() {
        None => deliver(packet, ended),
        Some((upper, request)) => {
            packet.request = request;
            let fate = upper.clone().came_back(packet, ended);
            settle(upper, fate);
        }
    }
}

/// Sees to what `layer` has done with a packet, until somebody keeps it or it is over.
fn settle(mut layer: Rc<dyn Object>, mut fate: Fate) {
    loop {
        fate = match fate {
            Fate::Kept => return,
            Fate::Down { lower, mut packet, request } => {
                let asked = core::mem::replace(&mut packet.request, request);
                packet.above.push((layer, asked));
                layer = lower;
                layer.clone().start(packet)
            }
            Fate::Over(mut packet, ended) => match packet.above.pop() {
                None => return deliver(packet, ended),
                Some((upper, request)) => {
                    packet.request = request;
                    layer = upper;
                    layer.clone().came_back(packet, ended)
                }
            },
        }
    }
}

fn deliver(mut packet: Packet, ended: Ended) {
    let letter = Letter {
        token: packet.token,
        ended,
        data: core::mem::take(&mut packet.data),
        opened: packet.opened.take(),
    };
    let mailbox = packet.mailbox.clone();
    drop(packet);
    mailbox.put(letter);
}

/// Takes the packets out of a queue that `which` says, and ends them.
pub fn finish_all(queue: &RefCell<VecDeque<Packet>>, ended: Ended) {
    loop {
        // What ends may be followed by another that comes here, so nothing is borrowed meanwhile.
        let packet = queue.borrow_mut().pop_front();
        match packet {
            Some(packet) => finish(packet, ended),
            None => return,
        }
    }
}

/// A WRITE that is given up after some of its bytes went out has written those.
pub fn give_up(packet: Packet) -> Option<Packet> {
    if packet.done == 0 {
        return Some(packet);
    }
    let done = packet.done as u64;
    finish(packet, Ended::success(done));
    None
}

/// Takes a packet out of a queue by its name.
pub fn take_from(queue: &RefCell<VecDeque<Packet>>, name: u64) -> Option<Packet> {
    let mut queue = queue.borrow_mut();
    let place = queue.iter().position(|packet| packet.name == name)?;
    queue.remove(place)
}

/// The end of a packet, for the ring it came from.
pub struct Letter {
    /// The engine's name for it.
    pub token: Token,
    /// How it ended.
    pub ended: Ended,
    /// The bytes that were read.
    pub data: Vec<u8>,
    /// What it opened.
    pub opened: Option<Rc<dyn Object>>,
}

/// Where the ends of a ring's packets wait for the ring's thread.
#[derive(Default)]
pub struct Mailbox {
    letters: RefCell<VecDeque<Letter>>,
    waiting: RefCell<Option<Rc<Thread>>>,
    wanted: Cell<usize>,
}

impl Mailbox {
    /// Lets it have room for so many letters in all. ENOMEM if the heap has none.
    pub fn make_room(&self, count: usize) -> Result<(), Errno> {
        let mut letters = self.letters.borrow_mut();
        let more = count.saturating_sub(letters.len());
        memory::make_room(&mut letters, more)
    }

    fn put(&self, letter: Letter) {
        let enough = {
            let mut letters = self.letters.borrow_mut();
            letters.push_back(letter);
            letters.len() >= self.wanted.get()
        };
        if enough && let Some(thread) = self.waiting.borrow_mut().take() {
            thread::wake(&thread);
        }
    }

    /// How many letters there are.
    pub fn count(&self) -> usize {
        self.letters.borrow().len()
    }

    /// Takes the oldest.
    pub fn take(&self) -> Option<Letter> {
        self.letters.borrow_mut().pop_front()
    }

    /// Takes the newest, if it is the one with this token.
    pub fn take_newest(&self, token: Token) -> Option<Letter> {
        let mut letters = self.letters.borrow_mut();
        letters.pop_back_if(|letter| letter.token == token)
    }

    /// Lets the calling thread sleep until there are `want` letters, or that time, or it is woken for another reason.
    pub fn sleep(&self, want: usize, until: Option<u64>) {
        self.wanted.set(want);
        *self.waiting.borrow_mut() = Some(thread::current());
        thread::block(until);
        *self.waiting.borrow_mut() = None;
    }
}
