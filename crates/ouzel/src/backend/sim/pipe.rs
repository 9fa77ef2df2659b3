//! A simulated pipe, in Linux's own terms: sixteen slots of a page, of which a write fills whole new ones.
//!
//! The slots matter: they decide how many bytes a writer gets rid of before it has to wait, and they make writes of up
//! to a page indivisible. This module moves bytes between memory of the simulator's own and knows no waiting.

use std::collections::VecDeque;

/// Slots of a pipe (`PIPE_DEF_BUFFERS`), of a page each: 65,536 bytes.
const SLOTS: usize = 16;
/// Bytes of a slot, and the longest write that is never split (`PIPE_BUF`).
const SLOT: usize = 4096;

#[derive(Debug, Default)]
struct Slot {
    data: Vec<u8>,
    start: usize,
}

/// A pipe and how many open ends it has.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    slots: VecDeque<Slot>,
    pub(super) readers: u32,
    pub(super) writers: u32,
    /// Counts what a reader may want to know of: bytes written, the last writer gone.
    pub(super) arrivals: u64,
    /// Counts what a writer may want to know of: room made, the last reader gone.
    pub(super) departures: u64,
    /// The inode through which it was opened, if it has a name.
    pub(super) inode: Option<u64>,
}

impl Pipe {
    /// The pipe behind the name of this inode.
    pub(super) fn named(inode: u64) -> Pipe {
        Pipe { inode: Some(inode), ..Pipe::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS
    }

    /// Takes in as much of `data` as fits; 0 if nothing does. At most a page is taken whole or not at all.
    pub(super) fn write(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        // The odd bytes of a write go behind those of the last slot if all of them fit there.
        let odd = data.len() % SLOT;
        if odd > 0
            && let Some(last) = self.slots.back_mut()
            && last.data.len() + odd <= SLOT
        {
            last.data.extend_from_slice(&data[..odd]);
            done = odd;
        }
        while done < data.len() && self.slots.len() < SLOTS {
            let step = SLOT.min(data.len() - done);
            self.slots.push_back(Slot { data: data[done..done + step].to_vec(), start: 0 });
            done += step;
        }
        if done > 0 {
            self.arrivals += 1;
        }
        done
    }

    /// At most `count` bytes from the front, which stay there.
    pub(super) fn peek(&self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for slot in &self.slots {
            let rest = &slot.data[slot.start..];
            let step = rest.len().min((count as usize).saturating_sub(bytes.len()));
            bytes.extend_from_slice(&rest[..step]);
        }
        bytes
    }

    /// Takes `count` bytes from the front away.
    pub(super) fn consume(&mut self, mut count: usize) {
        if count > 0 {
            self.departures += 1;
        }
        while let Some(slot) = self.slots.front_mut() {
            let step = count.min(slot.data.len() - slot.start);
            slot.start += step;
            count -= step;
            if slot.start < slot.data.len() {
                break;
            }
            self.slots.pop_front();
        }
    }
}
