//! Groups: buffers of a pool that the ring picks from as data arrives.
//!
//! Each buffer of a group is in one place at a time: with the ring, to be picked; on its way to the user, named by a
//! completion; or with the user, in a [`Picked`]. Only this module changes that, behind the group's lock, and only who has
//! a buffer touches its bytes: the backend, or the kernel on its behalf, while it is the ring's, the user while there is a
//! `Picked` of it. What the ring has is never given back to the pool before the ring has let the group go.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ouzel_chain::ring;
use ouzel_engine::Span;
use ouzel_pool::{Pool, Slice};
use ouzel_ring::{Completion, Errno, Verb};
use ouzel_uring::BufRing;

use crate::BufferGroup;
use crate::error::Error;
use crate::fork::Home;

/// The most buffers that a group can have.
pub const MAX_GROUP_BUFFERS: usize = 1 << 15;

/// What is behind the handles of a group, here.
pub(crate) struct Group {
    number: u16,
    /// The ring that it belongs to.
    ring: u64,
    size: u32,
    home: Home,
    places: Box<[Place]>,
    /// Keep the memory. They are not used otherwise: what is written there goes through `places`.
    _slices: Box<[Slice]>,
    state: Mutex<State>,
}

/// Where a buffer begins.
#[derive(Clone, Copy)]
struct Place(NonNull<u8>);

// SAFETY: an address; what is done with it is argued for where it is used.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// Who has a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Ring,
    /// A completion names it.
    Completion,
    User,
}

struct State {
    holders: Box<[Holder]>,
    /// How many are the ring's.
    idle: usize,
    /// Those of the ring's that nobody fills just now, where the kernel does not pick.
    free: VecDeque<u16>,
    /// Where the kernel picks from.
    kernel: Option<BufRing>,
    /// Who waits for a buffer to come back.
    waiting: Vec<Waker>,
}

impl Group {
    /// Makes a group.
    ///
    /// Errors: [`Error::Refused`] with EINVAL for its sizes; [`Error::Pool`].
    pub(crate) fn make(
        pool: &Pool,
        ring: u64,
        number: u16,
        count: usize,
        size: usize,
    ) -> Result<BufferGroup, Error> {
        let refused = Error::Refused { call: "group", errno: Errno::EINVAL };
        if !(1..=MAX_GROUP_BUFFERS).contains(&count) {
            return Err(refused);
        }
        let Ok(length) = u32::try_from(size) else { return Err(refused) };
        let mut slices = (0..count).map(|_| pool.get(size)).collect::<Result<Box<[Slice]>, _>>()?;
        let start = |slice: &mut Slice| NonNull::new(slice.as_mut_ptr()).map(Place);
        let places = slices.iter_mut().filter_map(start).collect();
        Ok(ring::group_of(Arc::new(Group {
            number,
            ring,
            size: length,
            home: Home::here(),
            places,
            _slices: slices,
            state: Mutex::new(State {
                holders: vec![Holder::Ring; count].into(),
                idle: count,
                free: (0..count as u16).collect(),
                kernel: None,
                waiting: Vec::new(),
            }),
        })))
    }
}

// SAFETY: a buffer is a slice of a pool, which the group keeps, and is given out only by the holder that a completion has
// made: the ring picks it again only when it was given back.
unsafe impl ring::Group for Group {
    fn number(&self) -> u16 {
        self.number
    }

    fn ring(&self) -> u64 {
        self.ring
    }

    fn count(&self) -> usize {
        self.places.len()
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn idle(&self) -> usize {
        self.state().idle
    }

    fn take(&self, completion: &Completion) -> Option<(u16, NonNull<u8>, u32)> {
        if completion.op != Verb::Recv as u32 {
            return None;
        }
        let number = u16::try_from(completion.extra.checked_sub(1)?).ok()?;
        let length = u32::try_from(completion.result).ok()?.min(self.size);
        let place = *self.places.get(usize::from(number))?;
        let mut state = self.state();
        let holder = state.holders.get_mut(usize::from(number))?;
        if *holder != Holder::Completion {
            return None;
        }
        *holder = Holder::User;
        Some((number, place.0, length))
    }

    /// The user has done with a buffer.
    fn give_back(&self, number: u16) {
        // In a forked child another thread of the parent's may have had the lock, and what is behind it is the parent's.
        if !self.home.is_here() {
            return;
        }
        let mut state = self.state();
        if let Some(holder) = state.holders.get_mut(usize::from(number)) {
            *holder = Holder::Ring;
            state.idle += 1;
            self.return_to_ring(&mut state, number);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// What backends do with a group, and who waits for one of its buffers. Handles of what is no group of this crate's have no
/// buffers.
pub(crate) trait Picking {
    /// Whether there is a buffer to pick; if not, `context` is woken when one comes back.
    fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Lets the kernel pick from `ring`, which is registered under this number and empty, from now on.
    fn hand_to_kernel(&self, ring: BufRing);

    /// The kernel has filled this buffer, and a completion is about to say so. Returns what that calls it.
    fn filled(&self, number: u16) -> u32;

    /// The kernel has picked this buffer for nothing.
    fn unfilled(&self, number: u16);

    /// Picks a buffer and has `receive` fill it; where the kernel does not pick. `receive` says how many bytes it wrote from
    /// the start. Returns the result and what the completion calls the buffer. ENOBUFS if there is none.
    fn receive<E: From<Errno>>(&self, receive: impl FnOnce(Span) -> Result<u64, E>) -> Result<(u64, u32), E>;
}

impl Picking for BufferGroup {
    fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        let Some(group) = ring::behind::<Group>(self) else { return Poll::Ready(()) };
        let mut state = group.state();
        if state.idle > 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn hand_to_kernel(&self, mut ring: BufRing) {
        let Some(group) = ring::behind::<Group>(self) else { return };
        let mut state = group.state();
        state.free.clear();
        for number in 0..group.places.len() as u16 {
            group.provide(&mut ring, number);
        }
        ring.publish();
        state.kernel = Some(ring);
    }

    fn filled(&self, number: u16) -> u32 {
        let Some(group) = ring::behind::<Group>(self) else { return 0 };
        let mut state = group.state();
        if let Some(holder @ Holder::Ring) = state.holders.get_mut(usize::from(number)) {
            *holder = Holder::Completion;
            state.idle -= 1;
        }
        u32::from(number) + 1
    }

    fn unfilled(&self, number: u16) {
        if let Some(group) = ring::behind::<Group>(self)
            && usize::from(number) < group.places.len()
        {
            group.return_to_ring(&mut group.state(), number);
        }
    }

    fn receive<E: From<Errno>>(&self, receive: impl FnOnce(Span) -> Result<u64, E>) -> Result<(u64, u32), E> {
        let Some(group) = ring::behind::<Group>(self) else { return Err(Errno::ENOBUFS.into()) };
        let Some(number) = group.state().free.pop_front() else { return Err(Errno::ENOBUFS.into()) };
        // Its holder is the ring, and it is not among those that could be picked: it is this call's alone.
        let pointer = group.places[usize::from(number)].0.as_ptr();
        let received = receive(Span { pointer, length: group.size as usize });
        match received {
            Ok(length) if length > 0 => Ok((length, self.filled(number))),
            other => {
                group.state().free.push_front(number);
                other.map(|_| (0, 0))
            }
        }
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a buffer, which is nobody's, where the kernel picks from.
    fn provide(&self, ring: &mut BufRing, number: u16) {
        let Some(place) = self.places.get(usize::from(number)) else { return };
        // SAFETY: the bytes of a slice that the group keeps, and the group stays as long as the ring may pick: the ring's backend
        // has a handle until it has unregistered the group, which it does when nothing that names it is under way, or is
        // itself leaked. Nobody else has the buffer: its holder is the ring.
        unsafe { ring.provide(place.0.as_ptr(), self.size, number) };
    }

    fn return_to_ring(&self, state: &mut State, number: u16) {
        match &mut state.kernel {
            Some(ring) => {
                self.provide(ring, number);
                ring.publish();
            }
            None => state.free.push_back(number),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.home.is_here() {
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            // A forked child does not inherit it, so there is nothing to unmap.
            std::mem::forget(state.kernel.take());
        }
    }
}
