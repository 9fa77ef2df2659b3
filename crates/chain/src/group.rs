//! Buffers that a ring picks out of a group as data arrives, as those see them who receive.
//!
//! What a group is belongs to the ring that made it, behind [`Group`]. Here are the handle that chains keep and the guard
//! that a buffer comes back in. Only who has that guard touches the buffer's bytes.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use ouzel_ring::Completion;

/// What a ring keeps of a [`BufferGroup`].
///
/// # Safety
///
/// The buffer that [`take`](Group::take) gives out is initialised, has [`size`](Group::size) bytes, stays where it is as
/// long as the group, and is nobody else's until it is [given back](Group::give_back).
pub unsafe trait Group: Any + Send + Sync {
    /// Its number, which entries name it by.
    fn number(&self) -> u16;

    /// What no other ring of this process has.
    fn ring(&self) -> u64;

    /// How many buffers it has.
    fn count(&self) -> usize;

    /// How many bytes each of them has.
    fn size(&self) -> u32;

    /// How many of them the ring can pick from.
    fn idle(&self) -> usize;

    /// Gives out the buffer that a completion names: its number, where it begins, and how much was received. `None` if it names
    /// none, or it was taken.
    fn take(&self, completion: &Completion) -> Option<(u16, NonNull<u8>, u32)>;

    /// Takes back the buffer with this number, which was given out.
    fn give_back(&self, number: u16);
}

/// Buffers of a pool, all of one size, of which a ring picks one whenever there is data: a thousand connections that have
/// nothing to say need none. `Ring::group` makes one.
///
/// This is a handle: clones lead to the same group. The group belongs to the ring that made it, is its own for as long as
/// there is a handle, a chain that names it or a [`Picked`] of it, and gives its memory back to the pool with the next enter
/// after that.
#[derive(Clone)]
pub struct BufferGroup(Arc<dyn Group>);

impl BufferGroup {
    pub(crate) fn new(group: Arc<dyn Group>) -> BufferGroup {
        BufferGroup(group)
    }

    pub(crate) fn inner(&self) -> &Arc<dyn Group> {
        &self.0
    }

    /// Its number, which raw entries name it by.
    pub fn number(&self) -> u16 {
        self.0.number()
    }

    /// How many buffers it has.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// How many bytes each of them has.
    pub fn size(&self) -> usize {
        self.0.size() as usize
    }

    /// How many of them the ring can pick from, as far as is known: completions that nobody has looked at may name some.
    pub fn idle(&self) -> usize {
        self.0.idle()
    }

    /// The buffer that a completion of a raw RECV names, with what was received. `None` if it names none, or it was taken.
    /// A completion of another group's can name one of this group's that another completion of this group's names.
    pub fn take(&self, completion: &Completion) -> Option<Picked> {
        let (number, place, length) = self.0.take(completion)?;
        let room = self.0.size();
        Some(Picked { group: Arc::clone(&self.0), place, number, length: length.min(room), room })
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
    group: Arc<dyn Group>,
    /// Where it begins.
    place: NonNull<u8>,
    number: u16,
    length: u32,
    room: u32,
}

// SAFETY: the buffer is this value's alone (see `Group`), as a box's would be.
unsafe impl Send for Picked {}
// SAFETY: as above; shared, it is only read.
unsafe impl Sync for Picked {}

impl Picked {
    /// The bytes of the whole buffer, what is behind those received included: it is whatever was there before.
    pub(crate) fn room(&self) -> usize {
        self.room as usize
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.place.as_ptr()
    }

    /// How much of it counts.
    pub(crate) fn set_length(&mut self, length: usize) {
        self.length = length.min(self.room()) as u32;
    }

    /// All of its bytes.
    pub(crate) fn all(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref_mut`, for all of the buffer, which is initialised.
        unsafe { core::slice::from_raw_parts_mut(self.as_mut_ptr(), self.room()) }
    }
}

impl Deref for Picked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the group promises that so many bytes are there, initialised, for as long as it is, and that nobody else has
        // them before this is dropped.
        unsafe { core::slice::from_raw_parts(self.place.as_ptr(), self.length as usize) }
    }
}

impl DerefMut for Picked {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.as_mut_ptr();
        // SAFETY: as in `deref`; and this is the only way to them.
        unsafe { core::slice::from_raw_parts_mut(start, self.length as usize) }
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
