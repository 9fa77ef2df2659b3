//! The only touch that the simulator and the fault wrapper have on memory that is not theirs: copying to and from what
//! an operation lends. (The uring backend asks here whether a transfer is empty; what else it needs is its own.)
//!
//! Everything here copies and keeps no reference. It must be called only between an operation's start and its last
//! report; that is when the addresses in an operation are good (see [`ouzel_engine::Span`]).

use std::sync::atomic::AtomicU32;

use ouzel_engine::{Buffers, Message, Path, Span};

/// The bytes of a span.
pub(crate) fn bytes(span: Span) -> Vec<u8> {
    if span.length == 0 {
        return Vec::new();
    }
    let mut copy = vec![0; span.length];
    // SAFETY: whoever made the operation promised that `pointer` is good for `length` bytes until the operation is
    // reported, which it is not yet; the copy is as long, and new, so the two do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(span.pointer, copy.as_mut_ptr(), span.length) };
    copy
}

/// Puts as much of `data` into `span`, from `offset` on, as fits; says how much that was.
pub(crate) fn fill(span: Span, offset: usize, data: &[u8]) -> usize {
    let room = span.length.saturating_sub(offset);
    let count = room.min(data.len());
    if count > 0 {
        // SAFETY: `offset + count <= length`, and whoever made the operation promised that `pointer` is good for
        // `length` bytes that nobody else uses until it is reported; `data` is memory of the caller's own.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), span.pointer.add(offset), count) };
    }
    count
}

/// A path without its NUL.
pub(crate) fn path(path: Path) -> Vec<u8> {
    let mut copy = bytes(Span { pointer: path.pointer.cast_mut(), length: path.length });
    copy.pop();
    copy
}

/// The pieces of a transfer.
pub(crate) fn pieces(buffers: &Buffers) -> Vec<Span> {
    match *buffers {
        Buffers::One(span) => vec![span],
        Buffers::Many { count: 0, .. } => Vec::new(),
        Buffers::Many { spans, count } => {
            // SAFETY: whoever made the operation promised `count` spans at `spans` until it is reported.
            unsafe { core::slice::from_raw_parts(spans, count) }.to_vec()
        }
    }
}

/// The pieces of a message, as those of a transfer.
pub(crate) fn pieces_of(message: &Message) -> Buffers {
    Buffers::Many { spans: message.spans, count: message.count as usize }
}

/// The words of a message's array.
pub(crate) fn files(message: &Message) -> Vec<u64> {
    // SAFETY: whoever made the operation promised so many words at `array` until it is reported.
    (0..message.files as usize).map(|at| unsafe { message.array.add(at).read() }).collect()
}

/// Puts handles into a message's array, as far as there is room.
pub(crate) fn set_files(message: &Message, handles: &[u64]) {
    for (at, handle) in handles.iter().take(message.files as usize).enumerate() {
        // SAFETY: as for `files`; nobody else writes there while the operation is under way.
        unsafe { message.array.add(at).write(*handle) };
    }
}

/// The word of a FUTEX, which the engine has seen to be aligned.
pub(crate) fn word(span: &Span) -> &AtomicU32 {
    // SAFETY: whoever made the operation promised four bytes that stay valid until it is reported, and that others touch
    // as an atomic only; the borrow of the span does not outlive its operation.
    unsafe { AtomicU32::from_ptr(span.pointer.cast::<u32>()) }
}

/// Whether a transfer asks for no bytes at all.
#[inline]
pub(crate) fn is_empty(buffers: &Buffers) -> bool {
    match buffers {
        Buffers::One(span) => span.length == 0,
        Buffers::Many { .. } => length(buffers) == 0,
    }
}

/// How many bytes a transfer asks for.
pub(crate) fn length(buffers: &Buffers) -> u64 {
    let sum =
        |pieces: &[Span]| pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.length as u64));
    match *buffers {
        Buffers::One(span) => span.length as u64,
        Buffers::Many { count: 0, .. } => 0,
        // SAFETY: whoever made the operation promised `count` spans at `spans` until it is reported.
        Buffers::Many { spans, count } => sum(unsafe { core::slice::from_raw_parts(spans, count) }),
    }
}

/// The bytes of all pieces but the first `skip` bytes, at most `limit`.
pub(crate) fn gather(buffers: &Buffers, skip: u64, limit: u64) -> Vec<u8> {
    let mut all = Vec::new();
    let mut skip = skip as usize;
    for piece in pieces(buffers) {
        let passed = skip.min(piece.length);
        skip -= passed;
        let count = (piece.length - passed).min((limit as usize).saturating_sub(all.len()));
        if count > 0 {
            all.extend(bytes(Span { pointer: piece.pointer.wrapping_add(passed), length: count }));
        }
    }
    all
}

/// Spreads `data` over the pieces, behind the first `skip` bytes; says how much fitted.
pub(crate) fn scatter(buffers: &Buffers, skip: u64, data: &[u8]) -> u64 {
    let mut skip = skip as usize;
    let mut done = 0;
    for piece in pieces(buffers) {
        let passed = skip.min(piece.length);
        skip -= passed;
        done += fill(piece, passed, &data[done..]);
    }
    done as u64
}
