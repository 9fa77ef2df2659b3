//! RECV into buffers that the ring picks out of a group: once, or again and again.
//!
//! The chain keeps the group while it runs. What a completion tells of becomes a [`Picked`] as soon as it comes, so that
//! a chain that nobody looks at any more gives its buffers back when it is dropped.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ouzel_ring::modifiers::RECV_GROUP;
use ouzel_ring::{Completion, Verb};

use super::{Body, Chain, Draft, File, Marks, Reg};
use crate::done::Done;
use crate::{BufferGroup, Picked};

/// A step that picks, and what it has picked and nobody has taken.
pub(crate) struct Picker {
    step: u16,
    pub(crate) group: BufferGroup,
    /// The oldest. One at a time needs no memory of the heap.
    first: Option<Picked>,
    rest: VecDeque<Picked>,
}

impl Picker {
    fn next(&mut self) -> Option<Picked> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    /// The step, counted from 0 in the order steps were added.
    pub(crate) fn step(&self) -> usize {
        usize::from(self.step)
    }
}

impl Chain {
    /// RECV into a buffer that the ring picks out of `group` when there is data. The result is how many bytes; 0 when the peer
    /// has stopped sending. [`Done::take_picked`] gives the buffer.
    ///
    /// It fails with ENOBUFS if the group has no buffer, and with EINVAL in a chain that repeats anything, or if it is
    /// [silent](Chain::silent).
    pub fn recv_picked(&mut self, socket: impl Into<File>, group: &BufferGroup) -> Reg<Picked> {
        let draft = Draft::new(Verb::Recv).file(self, 0, socket).value(3, RECV_GROUP);
        let reg: Reg<Picked> = draft.value(4, u64::from(group.number())).add(self);
        let picker = Picker { step: reg.step, group: group.clone(), first: None, rest: VecDeque::new() };
        self.body.pickers.push(picker);
        reg
    }

    /// RECV, again and again, each time into another buffer that the ring picks out of `group`. It must be the last step of
    /// its chain.
    ///
    /// `Ring::next_picked` takes what has been received as it comes,
    /// [`Done::take_picked`] what is left when it is over. It ends with success when the peer has stopped sending (or has sent
    /// a datagram of no bytes); with ENOBUFS when the group has no buffer, or the ring no room for another completion: nothing is
    /// lost, give buffers back and submit it again.
    pub fn recv_many(&mut self, socket: impl Into<File>, group: &BufferGroup) -> Reg<Picked> {
        let reg = self.recv_picked(socket, group);
        self.mark_last(Marks::MULTISHOT);
        reg
    }
}

impl Body {
    /// Takes in what a completion of a step that picks has brought. False if it is none.
    #[cold]
    pub(crate) fn take_in(&mut self, step: u16, completion: &Completion) -> bool {
        let Some(picker) = self.pickers.iter_mut().find(|picker| picker.step == step) else { return false };
        match picker.group.take(completion) {
            None => {}
            taken if picker.first.is_none() && picker.rest.is_empty() => picker.first = taken,
            taken => picker.rest.extend(taken),
        }
        true
    }

    /// The next of the buffers that a step has picked.
    pub(crate) fn next_picked(&mut self, step: usize) -> Option<Picked> {
        let picker = self.pickers.iter_mut().find(|picker| usize::from(picker.step) == step)?;
        picker.next()
    }
}

impl<E> Done<E> {
    /// Takes the buffer that the step `reg` has picked and filled; of a multishot one the first that nobody has taken. `None` if
    /// there is none (any more), as at the end of a stream, or if `reg` is another chain's.
    pub fn take_picked(&mut self, reg: Reg<Picked>) -> Option<Picked> {
        if !self.owns(reg) {
            return None;
        }
        self.chain.body.next_picked(reg.step())
    }

    /// Takes every buffer that its steps have picked and nobody has taken, for those who keep no registers.
    pub fn picked(&mut self) -> Vec<Picked> {
        let pickers = self.chain.body.pickers.iter_mut();
        pickers.flat_map(|picker| picker.first.take().into_iter().chain(picker.rest.drain(..))).collect()
    }

    /// How many bytes there are in buffers that a multishot step has picked and nobody has taken.
    pub(crate) fn bytes_picked(&self) -> u64 {
        let many = |picker: &&Picker| {
            let step = self.chain.body.steps.get(usize::from(picker.step));
            step.is_some_and(|step| step.shape.has(Marks::MULTISHOT))
        };
        let pickers = self.chain.body.pickers.iter().filter(many);
        pickers
            .flat_map(|picker| picker.first.iter().chain(&picker.rest))
            .map(|picked| picked.len() as u64)
            .sum()
    }
}
