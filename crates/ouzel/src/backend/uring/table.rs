//! The table: what lies behind each index of the engine's descriptor table.
//!
//! An object has a slot of the kernel's table, an ordinary descriptor, or both. The kernel looks a slot up when an
//! entry runs and keeps its file as long as the entry needs it, so slots need no care. A number of an ordinary
//! descriptor can be given out anew to somebody else while an operation that names it is still on its way; therefore
//! such operations *pin* the record, and a descriptor is closed when nothing pins it. Nothing here enters the kernel
//! but the closing of descriptors.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use super::sockets::Share;

/// No slot, no index.
pub(super) const NONE: u32 = u32::MAX;

/// What sort of thing an object is, as far as waiting and offsets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Opened by name and never looked at.
    Unknown,
    /// A regular file, directory or block device: waits for no event.
    File,
    /// A pipe, socket, event counter: has no offsets.
    Stream,
    /// A character device.
    Device,
}

/// What plain calls on a file may be made without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// None: it goes through the ring.
    Ring,
    /// Opened by a plain call; nothing is known yet.
    New,
    /// Reads that refuse to wait do that, and a close asks nobody.
    Prompt,
    /// On a file system in memory: no read waits, and a close asks nobody.
    Memory,
}

/// What lies behind one index.
#[derive(Debug)]
pub(super) struct Record {
    /// Its slot, or [`NONE`].
    pub(super) slot: u32,
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) kind: Kind,
    /// Other than [`Habit::Ring`] only with a descriptor and no slot.
    pub(super) habit: Habit,
    /// What may be done without waiting on the mount it lies on; [`Habit::New`] if nobody has asked.
    pub(super) mount: Habit,
    /// Of a directory: something that was opened in it lies on another mount.
    pub(super) crossed: bool,
    /// A plain call has opened it and another has done a STAT of it: it goes on by calls as long as none has to wait.
    pub(super) by_calls: bool,
    /// How long it was at the last STAT by a call; 0 if nobody has asked.
    pub(super) size: u64,
    /// How often the ring was asked to send to it since a number was last wanted.
    pub(super) sends: u8,
    /// A SEND that no call could do is on its way to the ring.
    pub(super) held_back: bool,
    /// The right to have a descriptor beside the slot, only to be quicker.
    pub(super) share: Option<Share>,
    /// Opened by us with O_NONBLOCK, which must be taken off before anybody else gets it.
    pub(super) opened: bool,
    /// Opened for writing by a plain call: a close may have something to write.
    pub(super) written: bool,
    /// A CLOSE has started.
    pub(super) closing: bool,
    /// The object is gone; only the descriptor waits for its pins.
    dying: bool,
    /// Started operations that name the descriptor's number, or send to the object through its slot.
    pins: u32,
}

const EMPTY: Record = Record {
    slot: NONE,
    descriptor: None,
    kind: Kind::Unknown,
    habit: Habit::Ring,
    mount: Habit::New,
    crossed: false,
    by_calls: false,
    size: 0,
    sends: 0,
    held_back: false,
    share: None,
    opened: false,
    written: false,
    closing: false,
    dying: false,
    pins: 0,
};

impl Record {
    /// Nothing is there.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.slot == NONE && self.descriptor.is_none()
    }

    /// Operations under way name its number or send to it.
    #[inline]
    pub(super) fn is_pinned(&self) -> bool {
        self.pins > 0
    }

    /// The descriptor's number, if there is one.
    #[inline]
    pub(super) fn number(&self) -> Option<RawFd> {
        self.descriptor.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// The records, by index.
#[derive(Debug)]
pub(super) struct Table {
    records: Box<[Record]>,
}

impl Table {
    pub(super) fn new(size: u32) -> Table {
        Table { records: (0..size).map(|_| EMPTY).collect() }
    }

    /// The record of `index`; `None` outside the table, which the engine never asks for.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Record> {
        self.records.get(index as usize)
    }

    /// The record of `index`, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Record> {
        self.records.get_mut(index as usize)
    }

    /// Puts an object in.
    #[inline]
    pub(super) fn put(&mut self, index: u32, slot: u32, descriptor: Option<OwnedFd>, kind: Kind) {
        if let Some(record) = self.get_mut(index) {
            *record = Record { slot, descriptor, kind, ..EMPTY };
        }
    }

    /// Puts an object in that OPEN made.
    #[inline]
    pub(super) fn put_opened(&mut self, index: u32, slot: u32, descriptor: Option<OwnedFd>, kind: Kind) {
        if let Some(record) = self.get_mut(index) {
            *record = Record { slot, descriptor, kind, opened: true, ..EMPTY };
        }
    }

    /// Puts an object in that an OPEN made without a slot, on a mount of which this is known; `written` if it was opened for
    /// writing.
    #[inline]
    pub(super) fn put_called(
        &mut self,
        index: u32,
        descriptor: OwnedFd,
        kind: Kind,
        mount: Habit,
        written: bool,
    ) {
        if let Some(record) = self.get_mut(index) {
            let descriptor = Some(descriptor);
            *record = Record { descriptor, kind, habit: mount, mount, opened: true, written, ..EMPTY };
        }
    }

    /// A plain call has said what is at `index`, and how long it is.
    #[inline]
    pub(super) fn describe(&mut self, index: u32, kind: Kind, size: u64) {
        if let Some(record) = self.get_mut(index) {
            // What is written to may grow behind our back.
            (record.kind, record.size) = (kind, if record.written { 0 } else { size });
            record.by_calls = record.habit != Habit::Ring;
        }
    }

    /// Forgets a slot that was never filled.
    #[inline]
    pub(super) fn clear(&mut self, index: u32) {
        if let Some(record) = self.get_mut(index) {
            *record = EMPTY;
        }
    }

    /// An operation that names the descriptor's number has started.
    fn pin(&mut self, index: u32) {
        if let Some(record) = self.get_mut(index) {
            record.pins += 1;
        }
    }

    /// It is over.
    #[inline(never)]
    fn unpin(&mut self, index: u32) {
        let Some(record) = self.get_mut(index) else { return };
        record.pins = record.pins.saturating_sub(1);
        if record.dying && record.pins == 0 {
            *record = EMPTY;
        }
    }

    /// The ring is asked to send to it.
    #[inline]
    pub(super) fn count_send(&mut self, index: u32) {
        if let Some(record) = self.get_mut(index) {
            record.sends = record.sends.saturating_add(1);
            record.held_back = false;
        }
    }

    /// As [`Table::pin`] for each, [`NONE`] being outside the table.
    #[inline]
    pub(super) fn pin_all(&mut self, pins: [u32; 2]) {
        if pins != [NONE; 2] {
            pins.into_iter().filter(|pin| *pin != NONE).for_each(|pin| self.pin(pin));
        }
    }

    /// As [`Table::unpin`] for each, [`NONE`] being outside the table.
    #[inline]
    pub(super) fn unpin_all(&mut self, pins: [u32; 2]) {
        if pins != [NONE; 2] {
            pins.into_iter().filter(|pin| *pin != NONE).for_each(|pin| self.unpin(pin));
        }
    }

    /// A CLOSE of what is at `index` has started.
    #[inline]
    pub(super) fn begin_close(&mut self, index: u32) {
        if let Some(record) = self.get_mut(index) {
            record.closing = true;
            if record.share.is_some() && record.pins == 0 {
                // The slot keeps the object until the kernel closes it.
                record.descriptor = None;
                record.share = None;
            }
        }
    }

    /// Whether operations under way name the number behind `index`, and nobody closes it yet.
    #[inline]
    pub(super) fn is_held_open(&self, index: u32) -> bool {
        self.get(index).is_some_and(|record| record.slot == NONE && record.pins > 0 && !record.closing)
    }

    /// The object is gone. Its descriptor, if it has one, is closed now or when the last pin goes.
    pub(super) fn bury(&mut self, index: u32) {
        let Some(record) = self.get_mut(index) else { return };
        if record.pins == 0 {
            *record = EMPTY;
        } else {
            record.slot = NONE;
            record.closing = true;
            record.dying = true;
        }
    }

    /// The kernel has closed what was behind `index`: the slot if there is one, else the descriptor.
    #[inline]
    pub(super) fn closed(&mut self, index: u32) {
        let Some(record) = self.get_mut(index) else { return };
        if record.slot == NONE
            && let Some(descriptor) = record.descriptor.take()
        {
            let _ = descriptor.into_raw_fd();
        }
        self.bury(index);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for record in &mut self.records {
            // What is still named by an operation on its way must not become somebody else's number.
            if (record.pins > 0 || record.closing)
                && let Some(descriptor) = record.descriptor.take()
            {
                let _ = descriptor.into_raw_fd();
            }
        }
    }
}
