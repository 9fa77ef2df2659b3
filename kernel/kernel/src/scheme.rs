//! Schemes: names that processes serve to others.
//!
//! The ring of a scheme runs the other way: its submitter is the kernel, and the engine's end is in the driver's process. A packet
//! for the scheme waits here. When one of the ring's slots is free it becomes an entry, with the bytes that go along in that
//! slot's page of a window that the driver sees too; when the driver posts a completion, the packet ends as that says. So a slow
//! driver loses nothing: packets wait. A packet that is cancelled leaves at once, and its slot is free when the driver answers. What the
//! driver writes is an allegation: a completion that nobody waits for is ignored, a result that cannot be is made EIO, and an index
//! that cannot be breaks the ring. A driver that dies, or whose ring is broken, ends all its packets with EIO.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use ouzel_kernel_abi::{SCHEME_COMPLETIONS, SCHEME_ENTRIES, SCHEME_SLOT, SchemeSetup};
use ouzel_ring::modifiers::{CURRENT_POSITION, CancelBy, OpenFlags, PollEvents};
use ouzel_ring::{Completion, Entry, Errno, Geometry, Payload, SubmitterEnd, Verb};

use crate::global::Global;
use crate::packet::{self, Ended, Fate, Object, Packet, Request};
use crate::process::Process;
use crate::ring::Shared;

/// Schemes at once.
const MAX_SCHEMES: usize = 16;
/// Names that are the kernel's own.
const TAKEN: &[&[u8]] = &[b"console", b"null", b"kernel", b"memory", b"thread", b"spawn", b"hold", b"scheme"];
/// The user data of entries whose completions nobody waits for: CLOSE and CANCEL.
const NOBODY: u64 = u64::MAX;
/// The region that the window is, for the driver.
const WINDOW_REGION: u16 = 1;

static SCHEMES: Global<Vec<Rc<Scheme>>> = Global::new();

/// Makes the list of schemes, empty.
pub fn start() {
    SCHEMES.set(Vec::new());
}

/// What an entry in flight is for.
enum Slot {
    /// Nothing: it can be used.
    Free,
    /// A packet, and how many bytes its result may be.
    Taken(Packet, usize),
    /// A packet that was cancelled; an OPEN, which may still succeed, if so.
    Given { opens: bool },
}

/// What a scheme has while its driver lives.
struct Link {
    end: SubmitterEnd,
    ring: Shared,
    window: Shared,
    driver: Rc<Process>,
}

/// One scheme.
pub struct Scheme {
    name: Vec<u8>,
    link: RefCell<Option<Link>>,
    slots: RefCell<Vec<Slot>>,
    /// Told apart from earlier uses of a slot.
    generation: Cell<u64>,
    /// Packets without a slot.
    waiting: RefCell<VecDeque<Packet>>,
    /// CLOSEs and CANCELs for which there was no room yet.
    notes: RefCell<VecDeque<Entry>>,
    /// POLLs of the driver.
    polls: RefCell<VecDeque<Packet>>,
}

/// OPEN of `scheme:NAME`: `process` serves the name from now on.
pub fn serve(process: &Rc<Process>, name: &[u8], flags: OpenFlags) -> Result<Rc<dyn Object>, Errno> {
    if name.is_empty()
        || name.iter().any(|byte| matches!(byte, b':' | b'/'))
        || !flags.contains(OpenFlags::CREATE)
    {
        return Err(Errno::EINVAL);
    }
    if TAKEN.contains(&name) || find(name).is_ok() {
        return Err(Errno::EEXIST);
    }
    if SCHEMES.get().len() >= MAX_SCHEMES {
        return Err(Errno::ENOSPC);
    }
    let geometry = Geometry::new(SCHEME_ENTRIES, SCHEME_COMPLETIONS).map_err(|_| Errno::EINVAL)?;
    let ring = Shared::new(process, 0, geometry.contiguous_size(), 4096)?;
    let window = match Shared::new(process, 0, (SCHEME_ENTRIES * SCHEME_SLOT) as usize, 0) {
        Ok(window) => window,
        Err(error) => {
            ring.free(process);
            return Err(error);
        }
    };
    let end = match ring.memory(geometry) {
        Ok(memory) => SubmitterEnd::new(memory, 0),
        Err(error) => {
            window.free(process);
            ring.free(process);
            return Err(error);
        }
    };
    let scheme = Rc::new(Scheme {
        name: name.to_vec(),
        link: RefCell::new(Some(Link { end, ring, window, driver: process.clone() })),
        slots: RefCell::new((0..SCHEME_ENTRIES).map(|_| Slot::Free).collect()),
        generation: Cell::new(0),
        waiting: RefCell::default(),
        notes: RefCell::default(),
        polls: RefCell::default(),
    });
    SCHEMES.get().push(scheme.clone());
    Ok(Rc::new(Server(scheme)))
}

/// The scheme of this name, to be asked for an OPEN. ENOENT if nobody serves it.
pub fn find(name: &[u8]) -> Result<Rc<dyn Object>, Errno> {
    let schemes = SCHEMES.get();
    let scheme = schemes.iter().find(|scheme| scheme.name == name).ok_or(Errno::ENOENT)?;
    Ok(scheme.clone())
}

/// Takes what drivers have answered, and sends what waits.
pub fn tick() {
    let count = SCHEMES.get().len();
    for place in 0..count {
        let scheme = SCHEMES.get().get(place).cloned();
        if let Some(scheme) = scheme {
            scheme.pump();
        }
    }
}

/// A process ends: nobody serves its names any more.
pub fn driver_ends(process: &Process) {
    let schemes = SCHEMES.get().clone();
    for scheme in schemes {
        if scheme.link.borrow().as_ref().is_some_and(|link| core::ptr::eq(&*link.driver, process)) {
            scheme.end();
        }
    }
}

impl Scheme {
    /// Takes answers, fills free slots and wakes the driver.
    fn pump(self: &Rc<Self>) {
        if self.take_answers().and_then(|()| self.send()).is_err() {
            self.end();
            return;
        }
        if self.has_entries() {
            packet::finish_all(&self.polls, Ended::success(PollEvents::IN.bits()));
        }
    }

    fn has_entries(&self) -> bool {
        let mut link = self.link.borrow_mut();
        link.as_mut().is_some_and(|link| link.end.queued().is_ok_and(|queued| queued > 0))
    }

    /// Ends the packets that were answered. EIO if the ring is broken.
    fn take_answers(self: &Rc<Self>) -> Result<(), Errno> {
        // Who drives does not run meanwhile, so there are no more than these.
        for _ in 0..SCHEME_COMPLETIONS {
            let completion = match &mut *self.link.borrow_mut() {
                Some(link) => link.end.pop().map_err(|_| Errno::EIO)?,
                None => return Ok(()),
            };
            let Some(completion) = completion else { return Ok(()) };
            self.answer(&completion);
        }
        Ok(())
    }

    fn answer(self: &Rc<Self>, completion: &Completion) {
        let number = (completion.data % SCHEME_ENTRIES) as usize;
        let slot = {
            let mut slots = self.slots.borrow_mut();
            let is_current = match &slots[number] {
                Slot::Taken(packet, _) => packet.label == completion.data,
                Slot::Given { .. } => true,
                Slot::Free => false,
            };
            if completion.data == NOBODY || !is_current {
                return;
            }
            core::mem::replace(&mut slots[number], Slot::Free)
        };
        let result = completion.result;
        match slot {
            Slot::Free => {}
            Slot::Given { opens: true } if completion.error == 0 => {
                self.note(Verb::Close, [result, 0, 0, 0, 0])
            }
            Slot::Given { .. } => {}
            Slot::Taken(mut packet, most) => {
                let mut ended = Ended { error: completion.errno(), result, extra: completion.extra };
                match packet.request {
                    _ if !ended.error.is_ok() => ended.result = 0,
                    Request::Open { .. } => {
                        packet.data.clear();
                        packet.opened = Some(Rc::new(Remote { scheme: self.clone(), handle: result }));
                    }
                    Request::Read { .. } | Request::Write { .. } if result > most as u64 => {
                        ended = Ended::failure(Errno::EIO);
                    }
                    Request::Read { .. } => {
                        packet.data.resize(result as usize, 0);
                        if let Some(link) = &*self.link.borrow() {
                            link.window.copy_out(number * SCHEME_SLOT as usize, &mut packet.data);
                        }
                    }
                    _ => {}
                }
                packet::finish(packet, ended);
            }
        }
    }

    /// Makes entries of what waits, as long as there is room. EIO if the ring is broken.
    fn send(&self) -> Result<(), Errno> {
        let mut link = self.link.borrow_mut();
        let Some(link) = &mut *link else { return Ok(()) };
        loop {
            if link.end.room().map_err(|_| Errno::EIO)? == 0 {
                break;
            }
            let note = self.notes.borrow_mut().pop_front();
            if let Some(note) = note {
                link.end.push(&note).map_err(|_| Errno::EIO)?;
                continue;
            }
            let mut slots = self.slots.borrow_mut();
            let Some(number) = slots.iter().position(|slot| matches!(slot, Slot::Free)) else { break };
            let Some(mut packet) = self.waiting.borrow_mut().pop_front() else { break };
            let generation = self.generation.get() + 1;
            self.generation.set(generation);
            packet.label = generation * SCHEME_ENTRIES + number as u64;
            let (entry, most) = make_entry(&mut packet, number, &link.window);
            link.end.push(&entry).map_err(|_| Errno::EIO)?;
            slots[number] = Slot::Taken(packet, most);
        }
        link.end.publish();
        Ok(())
    }

    /// An entry whose completion nobody waits for.
    fn note(&self, verb: Verb, arguments: [u64; 5]) {
        if self.link.borrow().is_some() {
            self.notes.borrow_mut().push_back(Entry::new(verb).arguments(arguments).data(NOBODY));
        }
    }

    /// A packet for the driver: it waits for a slot.
    fn queue(self: &Rc<Self>, packet: Packet) -> Fate {
        if self.link.borrow().is_none() {
            return packet.fail(Errno::EIO);
        }
        let fate = packet.stand_in(&mut self.waiting.borrow_mut());
        self.pump();
        fate
    }

    /// Takes a packet back, from wherever it waits.
    fn give_up(&self, name: u64) -> Option<Packet> {
        let waiting = packet::take_from(&self.waiting, name);
        if waiting.is_some() {
            return waiting;
        }
        let packet = {
            let mut slots = self.slots.borrow_mut();
            let place = slots
                .iter()
                .position(|slot| matches!(slot, Slot::Taken(packet, _) if packet.name == name))?;
            let opens = matches!(&slots[place], Slot::Taken(packet, _) if matches!(packet.request, Request::Open { .. }));
            match core::mem::replace(&mut slots[place], Slot::Given { opens }) {
                Slot::Taken(packet, _) => packet,
                _ => return None,
            }
        };
        self.note(Verb::Cancel, [0, packet.label, 0, CancelBy::Data as u64, 0]);
        Some(packet)
    }

    /// There is no driver any more.
    fn end(&self) {
        SCHEMES.get().retain(|scheme| !core::ptr::eq(&**scheme, self));
        let link = self.link.borrow_mut().take();
        // Nobody uses the kernel's end any more, so its memory may go.
        let Some(Link { end: _, ring, window, driver }) = link else { return };
        window.free(&driver);
        ring.free(&driver);
        drop(driver);
        let slots = core::mem::take(&mut *self.slots.borrow_mut());
        self.notes.take();
        for slot in slots {
            if let Slot::Taken(packet, _) = slot {
                packet::finish(packet, Ended::failure(Errno::EIO));
            }
        }
        packet::finish_all(&self.waiting, Ended::failure(Errno::EIO));
        packet::finish_all(&self.polls, Ended::success(PollEvents::HANGUP.bits()));
    }
}

/// The entry that a packet becomes in slot `number`, with its bytes in the window, and how many bytes its result may be.
fn make_entry(packet: &mut Packet, number: usize, window: &Shared) -> (Entry, usize) {
    let offset = number * SCHEME_SLOT as usize;
    let payload = Payload::new(WINDOW_REGION, offset as u64).map_or(0, Payload::number);
    let room = SCHEME_SLOT as usize;
    let handle = packet.handle;
    let (verb, arguments, most) = match packet.request {
        Request::Open { flags, mode } => {
            packet.data.push(0);
            window.copy_in(offset, &packet.data);
            (Verb::Open, [0, payload, packet.data.len() as u64, flags.bits(), u64::from(mode)], 0)
        }
        Request::Read { position, length } => {
            let most = length.min(room);
            (Verb::Read, [handle, payload, most as u64, position.unwrap_or(CURRENT_POSITION), 0], most)
        }
        Request::Write { position } => {
            let most = packet.data.len().min(room);
            window.copy_in(offset, &packet.data[..most]);
            packet.data.clear();
            (Verb::Write, [handle, payload, most as u64, position.unwrap_or(CURRENT_POSITION), 0], most)
        }
        Request::Poll { events } => (Verb::Poll, [handle, events.bits(), 0, 0, 0], 0),
        Request::Sync => (Verb::Sync, [handle, 0, 0, 0, 0], 0),
        Request::Wait | Request::Block { .. } => (Verb::Wait, [handle, 0, 0, 0, 0], 0),
    };
    let entry = Entry::new(verb).arguments(arguments).data(packet.label);
    (if packet.may_wait { entry } else { entry.timeout(0) }, most)
}

impl Object for Scheme {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        match packet.request {
            Request::Open { .. } if packet.data.len() < SCHEME_SLOT as usize => self.queue(packet),
            Request::Open { .. } => packet.fail(Errno::ENAMETOOLONG),
            _ => packet.fail(Errno::EINVAL),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        self.give_up(name)
    }
}

/// An object of a scheme, for a client.
struct Remote {
    scheme: Rc<Scheme>,
    /// What the driver calls it.
    handle: u64,
}

impl Object for Remote {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        packet.handle = self.handle;
        self.scheme.queue(packet)
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        self.scheme.give_up(name)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.scheme.note(Verb::Close, [self.handle, 0, 0, 0, 0]);
    }
}

/// What the driver's descriptor stands for. With it, the scheme ends.
struct Server(Rc<Scheme>);

impl Object for Server {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        match packet.request {
            Request::Read { length, .. } => {
                let Some(link) = &*self.0.link.borrow() else { return packet.fail(Errno::EIO) };
                let words = [
                    link.ring.address,
                    link.ring.window.length(),
                    SCHEME_ENTRIES,
                    SCHEME_COMPLETIONS,
                    link.window.address,
                    link.window.window.length(),
                ];
                const { assert!(size_of::<SchemeSetup>() == size_of::<[u64; 6]>()) };
                packet.data.extend(words.iter().flat_map(|word| word.to_le_bytes()).take(length));
                let length = packet.data.len() as u64;
                packet.succeed(length)
            }
            Request::Poll { .. } => {
                self.0.pump();
                if self.0.link.borrow().is_none() {
                    return packet.succeed(PollEvents::HANGUP.bits());
                }
                if self.0.has_entries() {
                    return packet.succeed(PollEvents::IN.bits());
                }
                packet.wait_in(&mut self.0.polls.borrow_mut())
            }
            _ => packet.fail(Errno::EINVAL),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        packet::take_from(&self.0.polls, name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.end();
    }
}
