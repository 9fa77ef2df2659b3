//! Groups: buffers of a pool that the ring picks from as data arrives, and the guards they come back in.
//!
//! Each buffer of a group is in one place at a time: with the ring, to be picked; on its way to the user, named by a
//! completion; or with the user, in a [`Picked`]. Only this module changes that, behind the group's lock, and only who has
//! a buffer touches its bytes: the backend, or the kernel on its behalf, while it is the ring's, the user while there is a
//! `Picked` of it. What the ring has is never given back to the pool before the ring has let the group go.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ouzel_engine::Span;
use ouzel_pool::{Pool, Slice};
use ouzel_ring::{Completion, Errno, Verb};
use ouzel_uring::BufRing;

use crate::error::Error;
use crate::fork::Home;

/// The most buffers that a group can have.
pub const MAX_GROUP_BUFFERS: usize = 1 << 15;

/// Buffers of a pool, all of one size, of which a ring picks one whenever there is data: a thousand connections that have
/// nothing to say need none. See [`Ring::group`](crate::Ring::group).
///
/// This is a handle: clones lead to the same group. The group belongs to the ring that made it, is its own for as long as
/// there is a handle, a chain that names it or a [`Picked`] of it, and gives its memory back to the pool with the next enter
/// after that.
#[derive(Clone)]
pub struct BufferGroup(Arc<Group>);

struct Group {
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

impl BufferGroup {
    pub(crate) fn new(
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
        Ok(BufferGroup(Arc::new(Group {
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

    /// Its number, which raw entries name it by.
    pub fn number(&self) -> u16 {
        self.0.number
    }

    /// How many buffers it has.
    pub fn count(&self) -> usize {
        self.0.places.len()
    }

    /// How many bytes each of them has.
    pub fn size(&self) -> usize {
        self.0.size as usize
    }

    /// How many of them the ring can pick from, as far as is known: completions that nobody has looked at may name some.
    pub fn idle(&self) -> usize {
        self.0.state().idle
    }

    /// The buffer that a completion of a raw RECV names, with what was received. `None` if it names none, or it was taken.
    /// A completion of another group's can name one of this group's that another completion of this group's names.
    pub fn take(&self, completion: &Completion) -> Option<Picked> {
        if completion.op != Verb::Recv as u32 {
            return None;
        }
        let number = u16::try_from(completion.extra.checked_sub(1)?).ok()?;
        let length = u32::try_from(completion.result).ok()?.min(self.0.size);
        let mut state = self.0.state();
        let holder = state.holders.get_mut(usize::from(number))?;
        if *holder != Holder::Completion {
            return None;
        }
        *holder = Holder::User;
        drop(state);
        Some(Picked { group: Arc::clone(&self.0), number, length })
    }

    /// The ring that it belongs to.
    pub(crate) fn ring(&self) -> u64 {
        self.0.ring
    }

    /// How many handles, chains and [`Picked`]s lead to it.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether there is a buffer to pick; if not, `context` is woken when one comes back.
    pub(crate) fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state();
        if state.idle > 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    // What backends do with it.

    /// Lets the kernel pick from `ring`, which is registered under this number and empty, from now on.
    pub(crate) fn hand_to_kernel(&self, mut ring: BufRing) {
        let mut state = self.0.state();
        state.free.clear();
        for number in 0..self.0.places.len() as u16 {
            self.0.provide(&mut ring, number);
        }
        ring.publish();
        state.kernel = Some(ring);
    }

    /// The kernel has filled this buffer, and a completion is about to say so. Returns what that calls it.
    pub(crate) fn filled(&self, number: u16) -> u32 {
        let mut state = self.0.state();
        if let Some(holder @ Holder::Ring) = state.holders.get_mut(usize::from(number)) {
            *holder = Holder::Completion;
            state.idle -= 1;
        }
        u32::from(number) + 1
    }

    /// The kernel has picked this buffer for nothing.
    pub(crate) fn unfilled(&self, number: u16) {
        if usize::from(number) < self.count() {
            self.0.return_to_ring(&mut self.0.state(), number);
        }
    }

    /// Picks a buffer and has `receive` fill it; where the kernel does not pick. `receive` says how many bytes it wrote from
    /// the start. Returns the result and what the completion calls the buffer. ENOBUFS if there is none.
    pub(crate) fn receive<E: From<Errno>>(
        &self,
        receive: impl FnOnce(Span) -> Result<u64, E>,
    ) -> Result<(u64, u32), E> {
        let Some(number) = self.0.state().free.pop_front() else { return Err(Errno::ENOBUFS.into()) };
        // Its holder is the ring, and it is not among those that could be picked: it is this call's alone.
        let pointer = self.0.places[usize::from(number)].0.as_ptr();
        let received = receive(Span { pointer, length: self.0.size as usize });
        match received {
            Ok(length) if length > 0 => Ok((length, self.filled(number))),
            other => {
                self.0.state().free.push_front(number);
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

impl Drop for Group {
    fn drop(&mut self) {
        if !self.home.is_here() {
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            // A forked child does not inherit it, so there is nothing to unmap.
            std::mem::forget(state.kernel.take());
        }
    }
}

impl fmt::Debug for BufferGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, size) = (self.count(), self.size());
        write!(
            formatter,
            "BufferGroup({}: {} of {count} buffers of {size} bytes idle)",
            self.number(),
            self.idle()
        )
    }
}

/// A buffer that the ring has picked out of a [`BufferGroup`], and what was received into it. It dereferences to that. When
/// it is dropped the ring may pick it again.
///
/// It turns into a [`Buffer`](crate::Buffer) without copying, to be sent or written as it is.
pub struct Picked {
    group: Arc<Group>,
    number: u16,
    length: u32,
}

impl Picked {
    /// The bytes of the whole buffer, what is behind those received included: it is whatever was there before.
    pub(crate) fn room(&self) -> usize {
        self.group.size as usize
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.group.places[usize::from(self.number)].0.as_ptr()
    }

    /// How much of it counts.
    pub(crate) fn set_length(&mut self, length: usize) {
        self.length = length.min(self.room()) as u32;
    }

    /// All of its bytes.
    pub(crate) fn all(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref_mut`, for all of the buffer, which is initialised.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.room()) }
    }
}

impl Deref for Picked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.group.places[usize::from(self.number)].0.as_ptr();
        // SAFETY: the bytes of a slice of the pool, which are initialised and stay as long as the group does. The holder is the
        // user, who has this and nothing else of it: the ring picks it again only when this is dropped.
        unsafe { std::slice::from_raw_parts(start, self.length as usize) }
    }
}

impl DerefMut for Picked {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.as_mut_ptr();
        // SAFETY: as in `deref`; and this is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(start, self.length as usize) }
    }
}

impl AsRef<[u8]> for Picked {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.group.give_back(self.number);
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Picked({} of {} bytes)", self.length, self.room())
    }
}
