//! Buffers: bytes that an operation owns until it has completed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

#[cfg(feature = "pool")]
use ouzel_pool::{Guard, Pool, Slice};

use crate::Picked;
#[cfg(not(feature = "pool"))]
use crate::no_pool::Slice;

/// Owned bytes: `capacity` of them, of which the first `len` are filled.
///
/// A read fills it from the start, up to its capacity, and sets its length; a write takes what is filled. It
/// dereferences to the filled part, and turns from and into a `Vec<u8>` without copying. Its memory can come from a
/// pool of the crate `ouzel-pool` as well; then it goes back there when the buffer is dropped, which is after the operation has completed.
#[derive(Clone, Default)]
pub struct Buffer(Bytes);

/// Where the bytes are.
enum Bytes {
    Heap(Vec<u8>),
    /// All of it is initialised; so many are filled, at most its length.
    #[cfg_attr(not(feature = "pool"), expect(dead_code))]
    Pool(Slice, usize),
    /// Of a group: what it says is filled is.
    Picked(Picked),
}

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Buffer {
        Buffer(Bytes::Heap(Vec::with_capacity(capacity)))
    }

    /// The filled bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Bytes::Heap(bytes) => bytes,
            Bytes::Pool(slice, filled) => slice.get(..*filled).unwrap_or_default(),
            Bytes::Picked(picked) => picked,
        }
    }

    /// How many bytes it has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Bytes::Heap(bytes) => bytes.capacity(),
            Bytes::Pool(slice, _) => slice.len(),
            Bytes::Picked(picked) => picked.room(),
        }
    }

    /// The filled bytes, with the rest of the room behind them. Those of a pool are copied.
    #[inline]
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Bytes::Heap(bytes) => bytes,
            Bytes::Pool(slice, filled) => copied(slice.get(..filled).unwrap_or_default(), slice.len()),
            Bytes::Picked(picked) => copied(&picked, picked.room()),
        }
    }

    /// The filled bytes, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Heap(bytes) => bytes,
            Bytes::Pool(slice, filled) => slice.get_mut(..*filled).unwrap_or_default(),
            Bytes::Picked(picked) => picked,
        }
    }

    /// Keeps the first `length` of the filled bytes, if there are more; the rest is room again.
    pub fn truncate(&mut self, length: usize) {
        match &mut self.0 {
            Bytes::Heap(bytes) => bytes.truncate(length),
            Bytes::Pool(_, filled) => *filled = length.min(*filled),
            Bytes::Picked(picked) => picked.set_length(length.min(picked.len())),
        }
    }

    /// Empties it, keeping the room.
    #[inline]
    pub fn clear(&mut self) {
        match &mut self.0 {
            Bytes::Heap(bytes) => bytes.clear(),
            Bytes::Pool(_, filled) => *filled = 0,
            Bytes::Picked(picked) => picked.set_length(0),
        }
    }

    /// Appends bytes, making room if need be: then what was of a pool is copied, and goes back there.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if let Bytes::Heap(own) = &mut self.0 {
            own.extend_from_slice(bytes);
            return;
        }
        let end = self.len().saturating_add(bytes.len());
        let Some(room) = self.rest().get_mut(..bytes.len()) else {
            let mut own = copied(self, end);
            own.extend_from_slice(bytes);
            self.0 = Bytes::Heap(own);
            return;
        };
        room.copy_from_slice(bytes);
        match &mut self.0 {
            Bytes::Heap(_) => {}
            Bytes::Pool(_, filled) => *filled = end,
            Bytes::Picked(picked) => picked.set_length(end),
        }
    }

    /// What is behind the filled bytes, if that is memory of a pool: whatever was left there.
    fn rest(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Heap(_) => &mut [],
            Bytes::Pool(slice, filled) => slice.get_mut(*filled..).unwrap_or_default(),
            Bytes::Picked(picked) => {
                let filled = picked.len();
                picked.all().get_mut(filled..).unwrap_or_default()
            }
        }
    }

    /// Fills the room behind the filled bytes with zeros; they do not count as filled.
    pub(crate) fn initialise(&mut self) {
        if let Bytes::Heap(bytes) = &mut self.0 {
            let filled = bytes.len();
            bytes.resize(bytes.capacity(), 0);
            bytes.truncate(filled);
        }
        // What others left there is not for who is sent the room.
        self.rest().fill(0);
    }

    /// Empties it, and returns where its room begins and how much there is.
    #[inline]
    pub(crate) fn empty(&mut self) -> (*mut u8, usize) {
        match &mut self.0 {
            Bytes::Heap(bytes) => {
                bytes.clear();
                (bytes.as_mut_ptr(), bytes.capacity())
            }
            Bytes::Pool(slice, filled) => {
                *filled = 0;
                (slice.as_mut_ptr(), slice.len())
            }
            Bytes::Picked(picked) => {
                picked.set_length(0);
                (picked.as_mut_ptr(), picked.room())
            }
        }
    }

    #[inline]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        match &mut self.0 {
            Bytes::Heap(bytes) => bytes.as_mut_ptr(),
            Bytes::Pool(slice, _) => slice.as_mut_ptr(),
            Bytes::Picked(picked) => picked.as_mut_ptr(),
        }
    }

    /// Overwrites the beginning of its memory, as far as there is any. What is filled stays the same.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.capacity());
        let bytes = bytes.get(..count).unwrap_or_default();
        match &mut self.0 {
            // SAFETY: it has room for so many; and they are not its own, which is borrowed.
            Bytes::Heap(own) => unsafe { own.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), count) },
            Bytes::Pool(slice, _) => slice.iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte),
            Bytes::Picked(picked) => picked.all().iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte),
        }
    }

    /// Overwrites words of the filled part, each at its place; what would lie outside is left alone.
    pub(crate) fn write_words(&mut self, words: &[(usize, u64)]) {
        let filled = self.as_mut_slice();
        for (at, word) in words {
            if let Some(place) = filled.get_mut(*at..).and_then(|rest| rest.first_chunk_mut()) {
                *place = word.to_ne_bytes();
            }
        }
    }

    /// Says that the first `length` bytes are filled.
    ///
    /// # Safety
    ///
    /// They must have been written.
    #[inline]
    pub(crate) unsafe fn set_filled(&mut self, length: usize) {
        match &mut self.0 {
            // SAFETY: written by the contract; bounded by the capacity here.
            Bytes::Heap(bytes) => unsafe { bytes.set_len(length.min(bytes.capacity())) },
            Bytes::Pool(slice, filled) => *filled = length.min(slice.len()),
            Bytes::Picked(picked) => picked.set_length(length),
        }
    }
}

#[cfg(feature = "pool")]
impl Buffer {
    /// An empty buffer with room for `capacity` bytes of a pool.
    ///
    /// ```
    /// use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring, pool::Pool};
    ///
    /// let pool = Pool::builder().build()?;
    /// let mut chain = Chain::new();
    /// let file = chain.open("Cargo.toml", OpenOptions::read());
    /// let length = chain.read(file, Buffer::from_pool(&pool, 65536)?, Offset::START);
    /// chain.finally().close(file);
    /// let mut done = Ring::new()?.run(chain)?;
    /// let text = done.take(length).expect("a buffer was given");
    /// assert!(text.starts_with(b"[package]") && pool.statistics().in_use == 1);
    /// drop(text);
    /// assert_eq!(pool.statistics().in_use, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    pub fn from_pool(pool: &Pool, capacity: usize) -> Result<Buffer, ouzel_pool::Error> {
        Ok(Buffer(Bytes::Pool(pool.get(capacity)?, 0)))
    }

    /// A buffer of memory of a pool, of which the first `filled` bytes (at most all) are filled. See also
    /// [`into_slice`](Buffer::into_slice).
    ///
    /// ```
    /// use ouzel::{Buffer, pool::Pool};
    ///
    /// let mut slice = Pool::builder().build()?.get_aligned(8192, 4096)?;
    /// slice[..5].copy_from_slice(b"hello");
    /// let buffer = Buffer::from_slice(slice, 5);
    /// assert_eq!((&*buffer, buffer.capacity()), (&b"hello"[..], 8192));
    /// # Ok::<(), ouzel::pool::Error>(())
    /// ```
    pub fn from_slice(slice: Slice, filled: usize) -> Buffer {
        let filled = filled.min(slice.len());
        Buffer(Bytes::Pool(slice, filled))
    }

    /// A guard on the memory, if it is of a pool: keeps it from being used again, also when the buffer is gone. For those
    /// who hand its address to somebody else; what a ring does with a buffer needs none.
    pub fn guard(&self) -> Option<Guard> {
        match &self.0 {
            Bytes::Pool(slice, _) => Some(slice.guard()),
            _ => None,
        }
    }

    /// The memory of a pool that the buffer was made of, all of it, whatever is filled.
    ///
    /// # Errors
    ///
    /// The buffer itself, if it is not of a pool (any more: see [`extend_from_slice`](Buffer::extend_from_slice)).
    pub fn into_slice(self) -> Result<Slice, Buffer> {
        match self.0 {
            Bytes::Pool(slice, _) => Ok(slice),
            _ => Err(self),
        }
    }
}

/// These bytes on the heap, with room for `capacity`.
fn copied(filled: &[u8], capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend_from_slice(filled);
    bytes
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Heap(Vec::new())
    }
}

impl Clone for Bytes {
    /// A copy on the heap: a pool may have no room.
    fn clone(&self) -> Bytes {
        Bytes::Heap(match self {
            Bytes::Heap(bytes) => bytes.clone(),
            Bytes::Pool(slice, filled) => slice.get(..*filled).unwrap_or_default().to_vec(),
            Bytes::Picked(picked) => picked.to_vec(),
        })
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Buffer) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Buffer {}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer(Bytes::Heap(bytes))
    }
}

#[cfg(feature = "pool")]
impl From<Slice> for Buffer {
    /// All of it is filled.
    fn from(slice: Slice) -> Buffer {
        let filled = slice.len();
        Buffer(Bytes::Pool(slice, filled))
    }
}

impl From<Picked> for Buffer {
    /// What was received is filled. The buffer goes back to its group when it is dropped.
    fn from(picked: Picked) -> Buffer {
        Buffer(Bytes::Picked(picked))
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Buffer {
        Buffer(Bytes::Heap(bytes.to_vec()))
    }
}

impl<const N: usize> From<&[u8; N]> for Buffer {
    fn from(bytes: &[u8; N]) -> Buffer {
        Buffer(Bytes::Heap(bytes.to_vec()))
    }
}

impl From<&str> for Buffer {
    fn from(text: &str) -> Buffer {
        Buffer(Bytes::Heap(text.as_bytes().to_vec()))
    }
}

impl From<String> for Buffer {
    fn from(text: String) -> Buffer {
        Buffer(Bytes::Heap(text.into_bytes()))
    }
}

impl From<Buffer> for Vec<u8> {
    fn from(buffer: Buffer) -> Vec<u8> {
        buffer.into_vec()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} of {} bytes)", self.len(), self.capacity())
    }
}
