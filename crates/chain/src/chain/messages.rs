//! SENDMSG and RECVMSG as steps: what their record names is laid out in one envelope, which the chain keeps.
//!
//! The envelope is a buffer of its own: the record, the address, the array of pieces, the array of descriptors. The pieces
//! are the buffers behind it in the chain's list. None of them is moved or grown while the chain has them.

use alloc::vec;
use alloc::vec::Vec;
use ouzel_ring::modifiers::{MAX_ADDRESS, MESSAGE_RECORD, MessageFlags, MessageNotes};
use ouzel_ring::{Descriptor, Payload, Verb};

use super::operations::Draft;
use super::{Body, Chain, File, MAX_STEPS, Memory, Received, Reg};
use crate::address::SocketAddress;
use crate::{Buffer, BuildError};

/// What SENDMSG sends: bytes in pieces, to an address if need be, and descriptors.
#[derive(Debug, Default)]
pub struct Message {
    pieces: Vec<Buffer>,
    address: Option<SocketAddress>,
    descriptors: Vec<Descriptor>,
}

impl Message {
    /// A message of these bytes.
    pub fn new(data: impl Into<Buffer>) -> Message {
        Message::default().piece(data)
    }

    /// More bytes behind those that it has.
    #[must_use]
    pub fn piece(mut self, data: impl Into<Buffer>) -> Message {
        self.pieces.push(data.into());
        self
    }

    /// The address it goes to, from a socket that is connected to none.
    #[must_use]
    pub fn to(mut self, address: SocketAddress) -> Message {
        self.address = Some(address);
        self
    }

    /// A descriptor that it takes along, at most 16 in all: the receiver gets another one of the same open file.
    #[must_use]
    pub fn with(mut self, descriptor: Descriptor) -> Message {
        self.descriptors.push(descriptor);
        self
    }
}

/// What RECVMSG has received, beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// How many bytes; 0 when the peer has stopped sending. [`Done::take_piece`](crate::Done::take_piece) gives them out.
    pub bytes: usize,
    /// Who sent it, if the socket tells.
    pub address: Option<SocketAddress>,
    /// The descriptors that came with it, which are this ring's own from now on: close them.
    pub descriptors: Vec<Descriptor>,
    /// What was lost of it.
    pub notes: MessageNotes,
}

/// Where the parts of an envelope are.
const ADDRESS: usize = MESSAGE_RECORD as usize;
const PIECES: usize = ADDRESS + MAX_ADDRESS as usize;
/// Bytes of a piece in the array.
const PIECE: usize = 16;

fn word(envelope: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*envelope.get(at..)?.first_chunk()?))
}

fn half(envelope: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*envelope.get(at..)?.first_chunk()?))
}

impl ReceivedMessage {
    /// What an envelope says after its RECVMSG.
    pub(crate) fn from_envelope(bytes: u64, envelope: &[u8]) -> Option<ReceivedMessage> {
        let (length, count) = (half(envelope, 48)? as usize, half(envelope, 52)? as usize);
        let array = PIECES + word(envelope, 24)? as usize * PIECE;
        let descriptors =
            (0..count).filter_map(|at| word(envelope, array + 8 * at)).filter_map(Descriptor::from_number);
        let address = envelope.get(ADDRESS..ADDRESS + length.min(MAX_ADDRESS as usize))?;
        Some(ReceivedMessage {
            bytes: usize::try_from(bytes).ok()?,
            address: (length > 0).then(|| SocketAddress::from_bytes(address)),
            descriptors: descriptors.collect(),
            notes: MessageNotes::from_bits_truncate(half(envelope, 56)?),
        })
    }
}

impl Chain {
    /// SENDMSG: sends a message. The result is how many bytes were sent.
    pub fn sendmsg(&mut self, socket: impl Into<File>, message: Message, flags: MessageFlags) -> Reg<usize> {
        let Message { pieces, address, descriptors } = message;
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        let array: Vec<u64> = descriptors.into_iter().map(Descriptor::number).collect();
        let address = address.as_ref().map_or(&[][..], SocketAddress::as_bytes);
        let draft = Draft::new(Verb::SendMsg).file(self, 0, socket).value(3, flags.bits());
        let (envelope, at) = self.push_envelope(address, address.len(), pieces, &lengths, &array);
        draft.value(1, at).value(2, MESSAGE_RECORD).add_with(self, Memory::Filled(envelope))
    }

    /// RECVMSG: receives a message into `rooms`, each filled up to its capacity before the next, with at most `descriptors`
    /// (16 or fewer) descriptors. The result is what came; [`Done::take_piece`](crate::Done::take_piece) gives the
    /// buffers back.
    pub fn recvmsg<B: Into<Buffer>>(
        &mut self,
        socket: impl Into<File>,
        rooms: impl IntoIterator<Item = B>,
        descriptors: usize,
        flags: MessageFlags,
    ) -> Reg<Received> {
        let mut pieces: Vec<Buffer> = rooms.into_iter().map(Into::into).collect();
        pieces.iter_mut().for_each(Buffer::clear);
        let lengths: Vec<usize> = pieces.iter().map(Buffer::capacity).collect();
        let draft = Draft::new(Verb::RecvMsg).file(self, 0, socket).value(3, flags.bits());
        // More than the engine takes is refused there, and needs no room here.
        let array = vec![0; descriptors.min(64)];
        let (envelope, at) = self.push_envelope(&[], MAX_ADDRESS as usize, pieces, &lengths, &array);
        draft.value(1, at).value(2, MESSAGE_RECORD).add_with(self, Memory::Received(envelope))
    }

    /// Keeps an envelope and its pieces. Returns the envelope's number and its address as an argument.
    fn push_envelope(
        &mut self,
        address: &[u8],
        address_room: usize,
        pieces: Vec<Buffer>,
        lengths: &[usize],
        array: &[u64],
    ) -> (u16, u64) {
        if self.body.buffers.len() + pieces.len() >= usize::from(u16::MAX) {
            // Buffers have numbers of 16 bits. The chain will not run.
            let steps = self.body.steps.len();
            self.body.fail(BuildError::TooLong { steps, limit: MAX_STEPS });
            return self.push_buffer(Buffer::default());
        }
        let descriptors = PIECES + lengths.len() * PIECE;
        // An address that is too long is refused by the engine, and need not be kept whole for that.
        let kept = &address[..address.len().min(MAX_ADDRESS as usize)];
        let mut bytes = vec![0; descriptors + array.len() * 8];
        bytes[ADDRESS..ADDRESS + kept.len()].copy_from_slice(kept);
        let (envelope, at) = self.push_buffer(Buffer::from(bytes));
        let mut words: Vec<(usize, u64)> = vec![
            (0, at + ADDRESS as u64),
            (8, if address.len() > kept.len() { u64::MAX } else { address_room as u64 }),
            (16, at + PIECES as u64),
            (24, lengths.len() as u64),
            (32, at + descriptors as u64),
            (40, array.len() as u64),
        ];
        for (number, (piece, length)) in pieces.into_iter().zip(lengths).enumerate() {
            let (_, payload) = self.push_buffer(piece);
            words.push((PIECES + number * PIECE, payload));
            words.push((PIECES + number * PIECE + 8, *length as u64));
        }
        words.extend(array.iter().enumerate().map(|(number, word)| (descriptors + number * 8, *word)));
        if let Some(Some(buffer)) = self.body.buffers.get_mut(usize::from(envelope)) {
            buffer.write_words(&words);
        }
        debug_assert_eq!(Payload::from_number(at).region(), 0);
        (envelope, at)
    }
}

impl Body {
    /// How many bytes each of the pieces has that belong to an envelope.
    pub(super) fn lengths_of_pieces(&self, envelope: u16) -> impl Iterator<Item = usize> {
        let bytes = self.buffers.get(usize::from(envelope)).and_then(Option::as_ref);
        let length = move |piece: usize| word(bytes?, PIECES + piece * PIECE + 8);
        (0..self.pieces_of(envelope)).map(move |piece| length(piece).unwrap_or(0) as usize)
    }

    /// How many pieces belong to an envelope.
    pub(super) fn pieces_of(&self, envelope: u16) -> usize {
        let bytes = self.buffers.get(usize::from(envelope)).and_then(Option::as_ref);
        bytes.and_then(|bytes| word(bytes, 24)).map_or(0, |count| count as usize)
    }

    /// A RECVMSG has filled so many bytes of its pieces, one after the other.
    pub(super) fn fill_pieces(&mut self, envelope: u16, bytes: usize) {
        let first = usize::from(envelope) + 1;
        let mut left = bytes;
        for number in first..first + self.pieces_of(envelope) {
            if let Some(Some(piece)) = self.buffers.get_mut(number) {
                let length = left.min(piece.capacity());
                // SAFETY: the engine says that so many bytes were received, and a piece is filled up to the capacity that
                // its array names before the next one is.
                unsafe { piece.set_filled(length) };
                left -= length;
            }
        }
    }
}

/// Lets a copy of an envelope that begins at the payload `at` name its own parts, and pieces at these payloads.
pub fn readdress(envelope: &mut [u8], at: u64, pieces: impl Iterator<Item = u64>) {
    let count = word(envelope, 24).unwrap_or(0) as usize;
    let array = PIECES + count * PIECE;
    let own = [(0, at + ADDRESS as u64), (16, at + PIECES as u64), (32, at + array as u64)];
    let pieces = pieces.take(count).enumerate().map(|(number, payload)| (PIECES + number * PIECE, payload));
    for (place, payload) in own.into_iter().chain(pieces) {
        if let Some(place) = envelope.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
            *place = payload.to_ne_bytes();
        }
    }
}

/// Takes into an envelope what a RECVMSG has written into a copy of it: the end of the record, the address, and the
/// descriptors. False if it says that there are more than there was room for.
pub(super) fn take_answer(own: &mut [u8], copy: &[u8]) -> bool {
    let array = PIECES + word(own, 24).unwrap_or(0) as usize * PIECE;
    for written in [48..ADDRESS, ADDRESS..PIECES, array..own.len()] {
        if let (Some(place), Some(bytes)) = (own.get_mut(written.clone()), copy.get(written)) {
            place.copy_from_slice(bytes);
        }
    }
    let (found, room) = (half(own, 52), word(own, 40));
    found.zip(room).is_some_and(|(found, room)| u64::from(found) <= room)
}
