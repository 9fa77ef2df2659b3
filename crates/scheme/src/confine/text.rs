//! The bytes of paths: looked at where they lie, and copies of parts of them.
//!
//! The one file of this layer that dereferences anything. It reads bytes that an operation lends for as long as it is not
//! reported, and lends bytes of its own to operations below. It never writes to what is lent.

use core::mem;

use ouzel_engine::Path;
use ouzel_ring::modifiers::MAX_PATH;

/// The bytes of a path without its NUL.
///
/// `path` comes out of an operation that was handed to a backend, or is a part of one; it is not to be used when that
/// operation has been reported.
pub(super) fn bytes(path: &Path) -> &[u8] {
    // SAFETY: who handed the operation over promised so many readable bytes until it is reported (see `Path`), and that
    // nobody writes them: the engine copies paths out of memory that others may write. The borrow is of the path that the
    // caller holds, which this layer drops with the operation.
    let all = unsafe { core::slice::from_raw_parts(path.pointer, path.length) };
    match all.split_last() {
        Some((_, text)) => text,
        None => all,
    }
}

/// The path from its byte number `skip` on, of which the NUL remains at least.
pub(super) fn tail(path: Path, skip: usize) -> Path {
    let skip = skip.min(path.length.saturating_sub(1));
    Path { pointer: path.pointer.wrapping_add(skip), length: path.length - skip }
}

/// A path of bytes that live for ever.
pub(super) const HERE: Path = Path { pointer: c".".as_ptr().cast::<u8>(), length: 2 };

/// Memory for the copy of a part of a path, which an operation below may be using.
#[derive(Debug, Default)]
pub(super) struct Copy {
    bytes: Vec<u8>,
    lent: bool,
}

impl Copy {
    /// Copies `text`, which is at most as long as a path. The copy stays as it is until the next call: not before
    /// [`Copy::give_back`].
    pub(super) fn lend(&mut self, text: &[u8]) -> Path {
        self.bytes.clear();
        // Once, and enough for any: it is never moved.
        self.bytes.reserve(MAX_PATH as usize);
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.lent = true;
        Path { pointer: self.bytes.as_ptr(), length: self.bytes.len() }
    }

    /// The operation that used the copy has been reported.
    pub(super) fn give_back(&mut self) {
        self.lent = false;
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.lent {
            // Somebody may read it yet.
            mem::forget(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &[u8]) -> Path {
        Path { pointer: text.as_ptr(), length: text.len() }
    }

    #[test]
    fn tails_keep_their_nul() {
        let whole = path(b"//a/b\0");
        assert_eq!(bytes(&whole), b"//a/b");
        assert_eq!(bytes(&tail(whole, 2)), b"a/b");
        assert_eq!(bytes(&tail(whole, 5)), b"");
        assert_eq!(bytes(&tail(whole, 9)), b"");
        assert_eq!(bytes(&HERE), b".");
    }

    #[test]
    fn copies_end_in_a_nul_and_stay_where_they_are() {
        let mut copy = Copy::default();
        let first = copy.lend(b"abc");
        assert_eq!(first.length, 4);
        assert_eq!(bytes(&first), b"abc");
        copy.give_back();
        let second = copy.lend(&[b'x'; MAX_PATH as usize - 1]);
        assert_eq!(second.pointer, first.pointer);
        assert_eq!(second.length, MAX_PATH as usize);
        copy.give_back();
    }
}
