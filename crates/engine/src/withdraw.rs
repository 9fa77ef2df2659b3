//! Withdraw: chains that are cancelled while they wait in the submission queue.
//!
//! Such a chain is refused whole, as at a teardown: nothing of it runs, and all its entries complete with ECANCELED.
//! It need not come to the head of the queue for that, and its completions may pass through the slot kept for CANCEL,
//! one after the other: it may be waiting for slots that come free only when it is gone. This module marks staged
//! entries and posts their completions; it never touches what is admitted.

use ouzel_ring::{EntryFlags, Errno};

use crate::cancel::Target;
use crate::engine::Staged;
use crate::intake::{completion, is_chained};
use crate::{Backend, Engine};

impl<B: Backend> Engine<B> {
    /// Withdraws the whole chains in the submission queue that have a member `target` names. Returns how many members
    /// that are.
    pub(crate) fn withdraw(&mut self, target: Target) -> u32 {
        if self.closing || self.queues.available().is_err() {
            return 0;
        }
        while let Some(entry) = self.queues.copy_next() {
            self.staged.push_back(Staged::new(entry));
        }
        let mut reached = 0;
        let mut first = 0;
        if self.refusing {
            // The rest of a chain that is refused already.
            while first < self.staged.len() && is_chained(&self.staged[first].entry) {
                first += 1;
            }
            first += 1;
        }
        while let Some(length) = self.whole_chain(first) {
            let named = self.staged.range(first..first + length).filter(|staged| is_named(staged, target));
            let named = named.count() as u32;
            if named > 0 {
                reached += named;
                self.withdrawn += length as u32;
                for staged in self.staged.range_mut(first..first + length) {
                    staged.withdrawn = true;
                }
            }
            first += length;
        }
        reached
    }

    /// The length of the chain that begins at `first` among the staged entries, if its end is there.
    pub(crate) fn whole_chain(&self, first: usize) -> Option<usize> {
        let mut chain = self.staged.iter().skip(first);
        chain.position(|staged| !is_chained(&staged.entry)).map(|last| last + 1)
    }

    /// Completes withdrawn entries while there are slots for them.
    pub(crate) fn deliver_withdrawn(&mut self) {
        let mut place = 0;
        while self.withdrawn > 0 && place < self.staged.len() {
            let staged = &self.staged[place];
            if staged.withdrawn && !staged.taken {
                let entry = staged.entry;
                let refused = completion(&entry, Errno::ECANCELED);
                if !self.has_slots(1) {
                    break;
                }
                self.note_refused(&entry, Errno::ECANCELED);
                self.post(refused);
                self.staged[place].taken = true;
                self.withdrawn -= 1;
            }
            place += 1;
        }
    }
}

/// Whether a cancel reaches this entry: as among the admitted, not if it is FINALLY, and not twice.
fn is_named(staged: &Staged, target: Target) -> bool {
    let finally = EntryFlags::from_bits_retain(staged.entry.flags).contains(EntryFlags::FINALLY);
    !finally && !staged.taken && !staged.withdrawn && target.names(&staged.entry, None)
}
