//! Connected rings: what is different where the engine is a service's.
//!
//! Chains are the same, and so is what is known of them here. What differs: their memory is carried to where the service can
//! see it, a full queue is waited for with a pause, since the service empties it when it likes, and completions are checked
//! against what was asked before they are believed.

use std::sync::Arc;
use std::time::Duration;

use ouzel_chain::ring::{self, Body};
use ouzel_engine::EnterError;
use ouzel_ring::{Completion, Descriptor, EntryFlags, Errno};

use super::returning::Returning;
use super::{Ring, data, deliver, split_data};
use crate::builder::RingBuilder;
use crate::chain::{Kind, Stored};
use crate::error::Error;
use crate::raw::{Pinned, Teardown};
use crate::remote::{Carrier, describe};

/// How long a full queue is waited for at a time.
const PAUSE: Duration = Duration::from_millis(1);

impl Ring<Pinned> {
    /// Connects to the service with this name (`"name:"`): the ring's engine runs there, over a ring in shared memory. Chains,
    /// synchronous calls and loops are as on any ring; paths and descriptors are the service's.
    ///
    /// The memory of a chain is carried: copied to where the service can see it when the chain is submitted, and back as its
    /// steps complete. Nothing else of this process is in the service's reach, and no completion of it is believed that says
    /// more than was asked for (EPROTO). [`RingBuilder::connect_trusting`] spares the copies of buffers.
    ///
    /// When the service goes, what is in flight ends with ECONNRESET, and from then on the ring fails with
    /// [`Error::ServiceGone`], until it is [connected again](Ring::reconnect); with [`RingBuilder::reconnect_within`] it does that by
    /// itself. EOPNOTSUPP is what a service has no call for: taking objects in
    /// ([`adopt`](Ring::adopt)) or out, bells, groups, words to wait on and [`explain`](Ring::explain).
    ///
    /// Errors: [`Error::Name`], [`Error::Scheme`].
    pub fn connect(name: &str) -> Result<Ring<Pinned>, Error> {
        RingBuilder::new().connect(name)
    }
}

impl<M> Ring<M> {
    /// Finds a program that the service has under this name; it is called as one that was [stored](Ring::store). `T` is what it
    /// results in. Its steps are the service's own, so [`Called::details`](crate::Called::details) tells none.
    ///
    /// Errors: [`Error::Scheme`] with ENOENT if the service has none of this name for this process;
    /// [`Error::ProgramResult`] if it results in something else; EOPNOTSUPP on a ring that is not connected.
    pub fn find_program<T: Kind>(&mut self, name: &str) -> Result<Stored<T>, Error> {
        let Some(remote) = self.raw.remote() else {
            return Err(Error::Refused { call: "find_program", errno: Errno::EOPNOTSUPP });
        };
        let found = remote.find(name)?;
        let description = Arc::new(describe::<T>(name, &found)?);
        let number = found.number;
        if self.programs.iter().all(|(known, _)| *known != number) {
            self.programs.push((number, Arc::clone(&description)));
        }
        // SAFETY: it is the service's program of this number, and its description is the service's, and names no memory.
        Ok(unsafe { ring::stored(description, self.number, number) })
    }

    /// Looks whether the service of a connected ring is still there, without waiting: one system call. Who keeps a connection
    /// for later asks before it is used, since what is submitted to a service that has gone ends with ECONNRESET as though
    /// it might have been done. True for a ring whose engine is in this process.
    pub fn is_reachable(&mut self) -> bool {
        self.raw.remote().is_none_or(|remote| remote.look())
    }

    /// The ring, with what carries its memory.
    /// It comes back by itself `within` this time.
    pub(crate) fn carrying(mut self, carrier: Carrier, within: Option<Duration>) -> Ring<M> {
        self.carrier = Some(Box::new(carrier));
        self.returning = within.map(|within| Box::new(Returning::new(within)));
        self
    }

    /// Pushes a chain that was laid out to a service, waiting for room.
    #[cold]
    pub(super) fn push_there(&mut self, chain: &Body) -> Result<u32, Error> {
        loop {
            if let Some(slot) = self.try_push_there(chain)? {
                return Ok(slot);
            }
            // The service takes entries when it likes, and what it has taken need not complete soon.
            if self.returning.is_some() {
                self.enter_or_return(u32::MAX, Some(PAUSE), None)?;
                continue;
            }
            self.raw.enter(u32::MAX, 0, None)?;
            self.collect();
            if self.raw.room() == 0 {
                self.raw.enter(u32::MAX, u32::MAX, Some(PAUSE))?;
                self.collect();
            }
        }
    }

    /// Pushes a chain that is laid out, or has only one step that needs no layout, to a service. `None` if there is no room.
    #[cold]
    pub(super) fn try_push_there(&mut self, chain: &Body) -> Result<Option<u32>, Error> {
        let slot = self.next_slot();
        if self.is_away() {
            self.wait_for_return(slot);
            return Ok(Some(slot));
        }
        match self.issue(slot, chain) {
            // It has gone before it could see any of it.
            Err(_) if self.is_gone() && self.is_away() => {
                self.wait_for_return(slot);
                Ok(Some(slot))
            }
            issued => Ok(issued?.then_some(slot)),
        }
    }

    /// Pushes a chain that is laid out, or has only one step that needs no layout, from this slot. False if there is no room.
    pub(super) fn issue(&mut self, slot: u32, chain: &Body) -> Result<bool, Error> {
        let (Some(remote), Some(carrier)) = (self.raw.remote(), &mut self.carrier) else {
            return Err(EnterError::Broken.into());
        };
        if remote.is_over() {
            return Err(remote.gone());
        }
        let only = [(0, EntryFlags::LOCAL)];
        let order = if chain.only_step().is_some() { &only[..] } else { self.layout.order() };
        if (remote.room() as usize) < order.len() {
            return Ok(false);
        }
        let order = order.iter().map(|(number, flags)| (*number, *flags, data(slot, *number)));
        let entries = carrier.load(remote, slot, chain, order)?;
        match remote.push_all(entries.iter().copied()) {
            Ok(()) => Ok(true),
            Err(_) => {
                let gone = remote.is_over().then(|| remote.gone());
                carrier.unload(slot);
                gone.map_or(Ok(false), Err)
            }
        }
    }

    /// Takes what has completed at a service, as far as it can be.
    #[cold]
    pub(super) fn collect_from_afar(&mut self) {
        let gone = self.is_gone();
        let Ring { raw, slots, ended, news, carrier, returning, .. } = self;
        let (Some(remote), Some(carrier)) = (raw.remote(), carrier) else { return };
        remote.drain(|remote, completion| {
            if let Some(returning) = returning
                && returning.keeps(slots, carrier, remote, &completion)
            {
                return;
            }
            if let Some(completion) = accept(slots, carrier, gone, completion) {
                deliver(slots, ended, news, completion);
            }
        });
    }

    /// Whether the service has gone.
    pub(super) fn is_gone(&mut self) -> bool {
        self.raw.remote().is_some_and(|remote| remote.is_over())
    }

    /// Ends the connection, and gives up what had not ended within `bound`.
    #[cold]
    pub(super) fn disconnect(&mut self, bound: Duration) -> Teardown {
        let gone = self.is_gone();
        let Ring { raw, slots, ended, news, carrier, .. } = self;
        let Some(carrier) = carrier else { return Teardown::default() };
        let teardown = raw.tear_down(bound, |completion| {
            // What ends with the connection has not ended at the service.
            let gone = gone || completion.errno() == Errno::ECONNRESET;
            if let Some(completion) = accept(slots, carrier, gone, completion) {
                deliver(slots, ended, news, completion);
            }
        });
        if raw.is_ours() {
            for (number, slot) in slots.iter_mut().enumerate() {
                if slot.remaining > 0 {
                    // The service may still write to what it sees of it.
                    std::mem::forget(slot.chain.take());
                    carrier.forget(number as u32);
                }
            }
        }
        teardown
    }
}

/// What is to be believed of a completion, with what its step has filled brought back; `None` if nobody here has asked for it.
fn accept(
    slots: &mut [super::Slot],
    carrier: &mut Carrier,
    gone: bool,
    mut completion: Completion,
) -> Option<Completion> {
    let (number, step) = split_data(completion.data);
    let slot = slots.get_mut(number as usize)?;
    if slot.remaining == 0 {
        return None;
    }
    let body = slot.chain.as_mut()?;
    let own = body.steps().get(usize::from(step))?;
    if own.completion().is_some() || own.op() != completion.op {
        return None;
    }
    if completion.errno() == Errno::OK && body.opens(usize::from(step)) {
        Descriptor::from_number(completion.result).into_iter().for_each(|new| carrier.note_descriptor(new));
    }
    if completion.has_more() {
        return Some(completion);
    }
    let is_last = slot.remaining == 1 && !own.is_silent();
    carrier.unpack(number, body, step, &mut completion, is_last);
    let received = body.received_descriptors(usize::from(step), &completion);
    received.into_iter().for_each(|new| carrier.note_descriptor(new));
    if is_last {
        carrier.over(number, body, gone && completion.errno() == Errno::ECONNRESET);
    }
    Some(completion)
}
