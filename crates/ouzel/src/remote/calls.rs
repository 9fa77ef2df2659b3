//! CALLs that are carried: their record names the pieces of memory that the program works on.
//!
//! The pieces are the buffers in front of the record in the chain's list, in their order.

use ouzel_chain::ring::Body;

/// Where the pieces begin in a record, behind r2 to r6.
const PIECES: usize = 40;
/// Bytes of a piece: its payload and its length.
const PIECE: usize = 16;

fn length_at(record: &[u8], piece: usize) -> usize {
    let at = PIECES + piece * PIECE + 8;
    let word = record.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u64::from_ne_bytes(*word) as usize)
}

/// The buffers that a record names, and how many bytes of each.
pub(super) fn pieces(body: &Body, record: u16) -> impl Iterator<Item = (u16, usize)> {
    let bytes = body.buffer(record).map_or(&[][..], |bytes| bytes.as_slice());
    let count = bytes.len().saturating_sub(PIECES) / PIECE;
    let first = record.saturating_sub(count as u16);
    (0..count).map(move |piece| (first + piece as u16, length_at(bytes, piece)))
}

/// Lets a copy of a record name its pieces at these payloads. One of no bytes is nowhere.
pub(super) fn readdress(record: &mut [u8], payloads: impl Iterator<Item = u64>) {
    for (piece, payload) in payloads.enumerate() {
        let payload = if length_at(record, piece) == 0 { 0 } else { payload };
        let place = record.get_mut(PIECES + piece * PIECE..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = payload.to_ne_bytes();
        }
    }
}
