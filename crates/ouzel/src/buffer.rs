//! Buffers: bytes that an operation owns until it has completed.

use std::fmt;
use std::ops::Deref;

/// Owned bytes: `capacity` of them, of which the first `len` are filled.
///
/// A read fills it from the start, up to its capacity, and sets its length; a write takes what is filled. It
/// dereferences to the filled part, and turns from and into a `Vec<u8>` without copying.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Buffer {
        Buffer(Vec::with_capacity(capacity))
    }

    /// The filled bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The filled bytes, with the rest of the room behind them.
    #[inline]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// Empties it, keeping the room.
    #[inline]
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends bytes, making room if need be.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Fills the room behind the filled bytes with zeros; they do not count as filled.
    pub(crate) fn initialise(&mut self) {
        let filled = self.0.len();
        self.0.resize(self.0.capacity(), 0);
        self.0.truncate(filled);
    }

    #[inline]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Overwrites words of the filled part, each at its place; what would lie outside is left alone.
    pub(crate) fn write_words(&mut self, words: &[(usize, u64)]) {
        for (at, word) in words {
            if let Some(place) = self.0.get_mut(*at..).and_then(|rest| rest.first_chunk_mut()) {
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
        // SAFETY: written by the contract; bounded by the capacity here.
        unsafe { self.0.set_len(length.min(self.0.capacity())) };
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer(bytes)
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Buffer {
        Buffer(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Buffer {
    fn from(bytes: &[u8; N]) -> Buffer {
        Buffer(bytes.to_vec())
    }
}

impl From<&str> for Buffer {
    fn from(text: &str) -> Buffer {
        Buffer(text.as_bytes().to_vec())
    }
}

impl From<String> for Buffer {
    fn from(text: String) -> Buffer {
        Buffer(text.into_bytes())
    }
}

impl From<Buffer> for Vec<u8> {
    fn from(buffer: Buffer) -> Vec<u8> {
        buffer.0
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} of {} bytes)", self.0.len(), self.0.capacity())
    }
}
