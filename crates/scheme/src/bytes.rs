//! Bytes: the memory of an operation, as a service sees it.
//!
//! It lies in memory that a client shares, and the client may change it at any time. So there is no slice of it: bytes are
//! copied out before anything looks at them, and copied in. This is the only module of the service's side that touches them.

use std::fmt;

use ouzel_engine::{Buffers, Path, Span};

/// Bytes that are copied at once.
const WORD: usize = size_of::<u64>();

/// The memory of one operation: what it reads or fills, in one piece or in many. It lives as long as the operation runs.
///
/// How many pieces there are is the client's choice, up to 1,024, and each copy looks for its place from the first one on. So a
/// service copies much at once, and not little many times.
pub struct Bytes(Buffers);

impl Bytes {
    /// # Safety
    ///
    /// The memory must be readable and, if the operation fills it, writable as long as this lives.
    pub(crate) unsafe fn new(buffers: Buffers) -> Bytes {
        Bytes(buffers)
    }

    /// One piece; otherwise as [`new`](Bytes::new).
    ///
    /// # Safety
    ///
    /// As for [`new`](Bytes::new).
    pub(crate) unsafe fn of(span: Span) -> Bytes {
        Bytes(Buffers::One(span))
    }

    fn spans(&self) -> &[Span] {
        match &self.0 {
            Buffers::One(span) => std::slice::from_ref(span),
            Buffers::Many { count: 0, .. } => &[],
            // SAFETY: so many spans, which are the engine's own and stay until the operation is reported.
            Buffers::Many { spans, count } => unsafe { std::slice::from_raw_parts(*spans, *count) },
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.spans().iter().map(|span| span.length).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes from `offset` on into `into`, as many as there are in both. Returns how many. A client that writes at the
    /// same time decides what they are, and nothing else.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> usize {
        let mut done = 0;
        self.each_part(offset, into.len(), |start, length| {
            let part = &mut into[done..done + length];
            let mut at = 0;
            while at < length {
                // By words where it can be, as the pieces of ordinary transfers are large.
                if length - at >= WORD && start.wrapping_add(at).addr().is_multiple_of(WORD) {
                    // SAFETY: aligned, and all of it inside a span, which is readable by the contract. Volatile: it may
                    // change meanwhile.
                    let word = unsafe { start.add(at).cast::<u64>().read_volatile() };
                    part[at..at + WORD].copy_from_slice(&word.to_ne_bytes());
                    at += WORD;
                } else {
                    // SAFETY: inside a span, as above.
                    part[at] = unsafe { start.add(at).read_volatile() };
                    at += 1;
                }
            }
            done += length;
        });
        done
    }

    /// Copies `from` into the bytes from `offset` on, as far as there is room. Returns how many.
    pub fn copy_from(&self, offset: usize, from: &[u8]) -> usize {
        let mut done = 0;
        self.each_part(offset, from.len(), |start, length| {
            let part = &from[done..done + length];
            let mut at = 0;
            while at < length {
                match part[at..].first_chunk::<WORD>() {
                    Some(word) if start.wrapping_add(at).addr().is_multiple_of(WORD) => {
                        // SAFETY: aligned, and all of it inside a span, which is writable by the contract. Volatile:
                        // somebody may look meanwhile.
                        unsafe { start.add(at).cast::<u64>().write_volatile(u64::from_ne_bytes(*word)) };
                        at += WORD;
                    }
                    _ => {
                        // SAFETY: inside a span, as above.
                        unsafe { start.add(at).write_volatile(part[at]) };
                        at += 1;
                    }
                }
            }
            done += length;
        });
        done
    }

    /// A copy of all of them.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.copy_to(0, &mut bytes);
        bytes
    }

    /// Calls `each` with the stretches of up to `length` bytes from `offset` on.
    fn each_part(&self, mut offset: usize, mut length: usize, mut each: impl FnMut(*mut u8, usize)) {
        for span in self.spans() {
            if length == 0 {
                return;
            }
            if offset >= span.length {
                offset -= span.length;
                continue;
            }
            let part = (span.length - offset).min(length);
            each(span.pointer.wrapping_add(offset), part);
            length -= part;
            offset = 0;
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bytes({})", self.len())
    }
}

/// A copy of a path, without the NUL at its end.
///
/// # Safety
///
/// The path must be readable. The engine has copied it out of the client's memory.
pub(crate) unsafe fn path(path: Path) -> Vec<u8> {
    // SAFETY: so many bytes, which nobody writes.
    let bytes = unsafe { std::slice::from_raw_parts(path.pointer, path.length) };
    bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_after_the_other() {
        let mut memory = *b"abcdefgh";
        let base = memory.as_mut_ptr();
        let spans = [
            Span { pointer: base, length: 3 },
            Span::EMPTY,
            Span { pointer: base.wrapping_add(5), length: 2 },
        ];
        // SAFETY: all of it outlives the value.
        let bytes = unsafe { Bytes::new(Buffers::Many { spans: spans.as_ptr(), count: spans.len() }) };
        assert_eq!(bytes.len(), 5);
        assert_eq!(bytes.to_vec(), b"abcfg");
        let mut two = [0; 2];
        assert_eq!(bytes.copy_to(2, &mut two), 2);
        assert_eq!(&two, b"cf");
        assert_eq!(bytes.copy_to(4, &mut two), 1);
        assert_eq!(bytes.copy_to(5, &mut two), 0);
        assert_eq!(bytes.copy_from(1, b"123456"), 4);
        assert_eq!(bytes.to_vec(), b"a1234");
        assert_eq!(&memory, b"a12de34h");
        // SAFETY: nothing is read.
        let none = unsafe { Bytes::new(Buffers::Many { spans: std::ptr::null(), count: 0 }) };
        assert!(none.is_empty() && none.to_vec().is_empty());
    }

    #[test]
    fn bytes_are_copied_wherever_they_lie() {
        let pattern: Vec<u8> = (0..64).collect();
        for start in 0..9 {
            for length in 0..40 {
                let mut memory = vec![0xee; 64];
                let span = Span { pointer: memory.as_mut_ptr().wrapping_add(start), length };
                // SAFETY: the memory outlives the value.
                let bytes = unsafe { Bytes::of(span) };
                assert_eq!(bytes.copy_from(0, &pattern), length);
                assert_eq!(bytes.to_vec(), pattern[..length]);
                let mut part = vec![0; length.saturating_sub(3)];
                assert_eq!(bytes.copy_to(3, &mut part), part.len());
                assert!(length < 3 || part == pattern[3..length]);
                assert!(memory[..start].iter().chain(&memory[start + length..]).all(|byte| *byte == 0xee));
            }
        }
    }
}
