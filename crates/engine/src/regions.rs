//! Regions: the memory that payloads may name, and the only place where the engine looks into it.
//!
//! The table is private to the engine. Region 0 is the submitter's own address space, allowed only where submitter
//! and engine share one; its addresses are trusted because pushing an entry that names them is unsafe. Any other
//! region is a range that its owner has promised; whatever lies in it may change at any moment, so what is parsed
//! (paths, piece lists) is copied out first.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;

use ouzel_ring::modifiers::{
    CALL_REGION, CONSTANTS_REGION, MAX_CALL_PIECES, MAX_MESSAGE_DESCRIPTORS, MAX_PATH, MAX_PIECES,
    MAX_XATTR_NAME, MESSAGE_RECORD, MessageNotes,
};
use ouzel_ring::{Errno, Payload, Piece, has_nul};

use crate::groups::Groups;
use crate::{Attribute, Message, Path, Span};

/// What is asked of bytes in region 0 before the engine touches them or hands them to a backend: the first one's address, how
/// many there are, and whether the engine is going to write them. See
/// [`Engine::check_addresses`](crate::Engine::check_addresses).
pub type AddressCheck = fn(address: u64, length: u64, writes: bool) -> bool;

/// The most regions a ring may have, region 0 included. The numbers above stand for the pieces of a call.
pub const MAX_REGIONS: usize = CALL_REGION as usize;

#[derive(Clone, Copy)]
struct Region {
    base: NonNull<u8>,
    length: usize,
}

/// The pieces of memory that a call gives to its program, and what the program has brought along.
#[derive(Clone)]
pub(crate) struct Pieces {
    pieces: [Piece; MAX_CALL_PIECES],
    count: usize,
    /// They stay as long as the call runs, whatever becomes of the program.
    constants: Option<Arc<[u8]>>,
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces { pieces: [Piece { payload: 0, length: 0 }; MAX_CALL_PIECES], count: 0, constants: None }
    }
}

impl Pieces {
    /// Adds one; there are at most [`MAX_CALL_PIECES`].
    pub(crate) fn add(&mut self, piece: Piece) {
        if let Some(place) = self.pieces.get_mut(self.count) {
            *place = piece;
            self.count += 1;
        }
    }

    /// The constants of the program.
    pub(crate) fn keep(&mut self, constants: Option<Arc<[u8]>>) {
        self.constants = constants;
    }
}

/// What a packet keeps alive beside its operation: copied paths and resolved piece lists.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// The array of a message.
    files: Vec<u64>,
    /// What a RECVMSG fills beside its buffers: its record, and the array of descriptors.
    places: Option<(Span, Span)>,
}

/// The regions of one ring.
pub(crate) struct Regions {
    /// Region 0 may be named.
    pub(crate) in_process: bool,
    /// What is asked of each range of region 0; nothing where submitters are trusted with addresses.
    pub(crate) check: Option<AddressCheck>,
    /// The groups of buffers that RECV may name.
    pub(crate) groups: Groups,
    regions: Vec<Option<Region>>,
    /// The pieces of each call, by the call's place.
    calls: Vec<Pieces>,
    /// The call whose pieces payloads may name now.
    call: Option<u32>,
}

// SAFETY: the table holds addresses; the memory behind them is promised by whoever adds a region.
unsafe impl Send for Regions {}

impl Regions {
    pub(crate) fn new(in_process: bool) -> Regions {
        Regions {
            in_process,
            check: None,
            groups: Groups::default(),
            regions: Vec::new(),
            calls: Vec::new(),
            call: None,
        }
    }

    /// Adds `length` bytes at `base` as a new region.
    ///
    /// # Safety
    ///
    /// The bytes must be readable and writable, by this process and on its behalf, until the region is removed and
    /// no started operation names it.
    pub(crate) unsafe fn add(&mut self, base: NonNull<u8>, length: usize) -> Result<u16, Errno> {
        let region = Some(Region { base, length });
        if let Some(free) = self.regions.iter().position(Option::is_none) {
            self.regions[free] = region;
            return Ok(free as u16 + 1);
        }
        if self.regions.len() + 1 >= MAX_REGIONS {
            return Err(Errno::ENOSPC);
        }
        self.regions.push(region);
        Ok(self.regions.len() as u16)
    }

    /// Forgets a region. EINVAL if there is none of this number.
    pub(crate) fn remove(&mut self, region: u16) -> Result<(), Errno> {
        match self.regions.get_mut((region as usize).wrapping_sub(1)) {
            Some(place @ Some(_)) => {
                *place = None;
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// The pieces of the call at `place`.
    pub(crate) fn set_pieces(&mut self, place: u32, pieces: Pieces) {
        let place = place as usize;
        if place >= self.calls.len() {
            self.calls.resize(place + 1, Pieces::default());
        }
        self.calls[place] = pieces;
    }

    /// The call at `place` is over.
    pub(crate) fn drop_constants(&mut self, place: u32) {
        if let Some(pieces) = self.calls.get_mut(place as usize) {
            pieces.constants = None;
        }
    }

    /// A step of the call at `place` is looked at: its payloads may name the call's pieces.
    pub(crate) fn enter_call(&mut self, place: u32) {
        self.call = Some(place);
    }

    /// No step is looked at any more.
    pub(crate) fn leave_call(&mut self) {
        self.call = None;
    }

    /// `length` bytes at `payload`. EFAULT if they do not lie in one region, or in one piece of the call that is entered.
    #[inline]
    pub(crate) fn span(&self, payload: u64, length: u64) -> Result<Span, Errno> {
        let payload = Payload::from_number(payload);
        let offset = payload.offset();
        let end = offset.checked_add(length).ok_or(Errno::EFAULT)?;
        if payload.region() == 0 {
            // No bytes lie nowhere.
            if length == 0 {
                return Ok(Span::EMPTY);
            }
            if !self.in_process {
                return Err(Errno::EFAULT);
            }
            if offset == 0 || end > Payload::MAX_OFFSET + 1 {
                return Err(Errno::EFAULT);
            }
            self.ask(offset, length, false)?;
            let pointer = core::ptr::with_exposed_provenance_mut(offset as usize);
            return Ok(Span { pointer, length: length as usize });
        }
        let Some(region) = self.regions.get(payload.region() as usize - 1).copied().flatten() else {
            return self.in_piece(payload, length);
        };
        if end > region.length as u64 {
            return Err(Errno::EFAULT);
        }
        // SAFETY: `offset` is at most the region's length.
        let pointer = unsafe { region.base.add(offset as usize) };
        Ok(Span { pointer: pointer.as_ptr(), length: length as usize })
    }

    /// The same for bytes that the engine itself is going to write.
    fn span_to_write(&self, payload: u64, length: u64) -> Result<Span, Errno> {
        let span = self.span(payload, length)?;
        if self.check.is_some() && Payload::from_number(payload).region() == 0 {
            self.ask(span.pointer as u64, length, true)?;
        }
        Ok(span)
    }

    /// EFAULT if whoever embeds the engine refuses these bytes of region 0.
    #[inline]
    fn ask(&self, address: u64, length: u64, writes: bool) -> Result<(), Errno> {
        match self.check {
            Some(check) if length > 0 && !check(address, length, writes) => Err(Errno::EFAULT),
            _ => Ok(()),
        }
    }

    /// The span of a payload that is in no region: it may be in a piece of the call that is entered.
    #[cold]
    fn in_piece(&self, payload: Payload, length: u64) -> Result<Span, Errno> {
        let pieces = self.call.and_then(|place| self.calls.get(place as usize)).ok_or(Errno::EFAULT)?;
        if payload.region() == CONSTANTS_REGION {
            let constants = pieces.constants.as_deref().unwrap_or_default();
            let rest = constants.get(payload.offset() as usize..).ok_or(Errno::EFAULT)?;
            let bytes = rest.get(..length as usize).ok_or(Errno::EFAULT)?;
            // The verifier lets them be named only where they are read.
            return Ok(Span { pointer: bytes.as_ptr().cast_mut(), length: bytes.len() });
        }
        let place = payload.region().checked_sub(CALL_REGION).ok_or(Errno::EFAULT)?;
        let piece = pieces.pieces[..pieces.count].get(usize::from(place)).ok_or(Errno::EFAULT)?;
        match payload.offset().checked_add(length) {
            // The piece lay in a region when the call began, not in a piece, so this is still an offset into that.
            Some(end) if end <= piece.length => self.span(piece.payload + payload.offset(), length),
            _ => Err(Errno::EFAULT),
        }
    }

    /// The single path in `length` bytes at `payload`.
    pub(crate) fn path(&self, payload: u64, length: u64, scratch: &mut Scratch) -> Result<Path, Errno> {
        if length > MAX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        let bytes = self.text(payload, length, scratch)?;
        match bytes.split_last() {
            Some((0, [])) => Err(Errno::ENOENT),
            Some((0, name)) if !has_nul(name) => Ok(Path { pointer: bytes.as_ptr(), length: bytes.len() }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The two paths in `length` bytes at `payload`.
    pub(crate) fn two_paths(
        &self,
        payload: u64,
        length: u64,
        scratch: &mut Scratch,
    ) -> Result<[Path; 2], Errno> {
        if length > 2 * MAX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        split_paths(self.text(payload, length, scratch)?)
    }

    /// The name of an extended attribute, and the path in front of it if there is one, in `length` bytes at `payload`.
    pub(crate) fn attribute(
        &self,
        payload: u64,
        length: u64,
        scratch: &mut Scratch,
    ) -> Result<Attribute, Errno> {
        if length > MAX_PATH + MAX_XATTR_NAME + 1 {
            return Err(Errno::ENAMETOOLONG);
        }
        split_attribute(self.text(payload, length, scratch)?)
    }

    /// A small record at `payload`, read once.
    pub(crate) fn record<const LENGTH: usize>(&self, payload: u64) -> Result<[u8; LENGTH], Errno> {
        let span = self.span(payload, LENGTH as u64)?;
        let mut record = [0; LENGTH];
        for (at, byte) in record.iter_mut().enumerate() {
            // SAFETY: in region 0 the pusher of the entry promised readable bytes; another region's are by the promise
            // of `add`. Volatile as in `copy_out`.
            *byte = unsafe { span.pointer.add(at).read_volatile() };
        }
        Ok(record)
    }

    /// Bytes that will be parsed: in place in region 0, copied from any other.
    #[inline(always)]
    fn text<'a>(&self, payload: u64, length: u64, scratch: &'a mut Scratch) -> Result<&'a [u8], Errno> {
        let span = self.span(payload, length)?;
        // SAFETY: in region 0 the pusher of the entry promised bytes that nobody writes until the completion, which
        // outlives the use made of this slice. In another region the bytes may change under us, so they are read
        // here only by a copy of their own below.
        unsafe {
            if Payload::from_number(payload).region() == 0 {
                Ok(core::slice::from_raw_parts(span.pointer, span.length))
            } else {
                copy_out(span, &mut scratch.bytes);
                Ok(&scratch.bytes)
            }
        }
    }

    /// The message whose record is at `payload`, kept in `scratch`. Its array holds what the submitter's does.
    pub(crate) fn message(&self, payload: u64, scratch: &mut Scratch) -> Result<Message, Errno> {
        let record = self.span(payload, MESSAGE_RECORD)?;
        // SAFETY: as in `text`; copied before it is looked at.
        unsafe { copy_out(record, &mut scratch.bytes) };
        let mut words = [0u64; 6];
        for (word, bytes) in words.iter_mut().zip(scratch.bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().map_err(|_| Errno::EFAULT)?);
        }
        let [address, address_length, pieces, count, array, files] = words;
        if count > MAX_PIECES || files > MAX_MESSAGE_DESCRIPTORS {
            return Err(Errno::EINVAL);
        }
        let address = self.span(address, address_length)?;
        let array = self.span(array, files * 8)?;
        scratch.places = Some((record, array));
        // SAFETY: as above.
        unsafe { copy_out(array, &mut scratch.bytes) };
        scratch.files.clear();
        scratch.files.reserve(MAX_MESSAGE_DESCRIPTORS as usize);
        for word in scratch.bytes.chunks_exact(8) {
            scratch.files.push(u64::from_ne_bytes(word.try_into().map_err(|_| Errno::EFAULT)?));
        }
        let (spans, count) = self.pieces(pieces, count, scratch)?;
        let (count, files) = (count as u32, files as u32);
        Ok(Message { address, spans, count, files, array: scratch.files.as_mut_ptr() })
    }

    /// The spans of `count` pieces at `payload`, kept in `scratch`, and the sum of their lengths.
    pub(crate) fn pieces(
        &self,
        payload: u64,
        count: u64,
        scratch: &mut Scratch,
    ) -> Result<(*const Span, usize), Errno> {
        let list = self.span(payload, count.checked_mul(size_of::<Piece>() as u64).ok_or(Errno::EFAULT)?)?;
        // SAFETY: as in `text`; copied before it is looked at.
        unsafe { copy_out(list, &mut scratch.bytes) };
        scratch.spans.clear();
        let mut total = 0u64;
        for piece in scratch.bytes.chunks_exact(size_of::<Piece>()) {
            let (payload, length) = piece.split_at(8);
            let payload = u64::from_ne_bytes(payload.try_into().map_err(|_| Errno::EFAULT)?);
            let length = u64::from_ne_bytes(length.try_into().map_err(|_| Errno::EFAULT)?);
            total = total.checked_add(length).ok_or(Errno::EINVAL)?;
            if Payload::from_number(payload).region() >= CALL_REGION {
                return Err(Errno::EFAULT);
            }
            scratch.spans.push(self.span(payload, length)?);
        }
        if total > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        Ok((scratch.spans.as_ptr(), scratch.spans.len()))
    }
}

impl Regions {
    /// The little-endian word of `width` bytes, at most 8, that lies `offset` bytes behind `payload`.
    pub(crate) fn word(&self, payload: u64, offset: u64, width: usize) -> Result<u64, Errno> {
        let start = Payload::from_number(payload);
        let offset = start.offset().checked_add(offset).ok_or(Errno::EFAULT)?;
        let at = Payload::new(start.region(), offset).ok_or(Errno::EFAULT)?;
        let span = self.span(at.number(), width as u64)?;
        let mut bytes = [0; 8];
        for (at, byte) in bytes.iter_mut().take(width).enumerate() {
            // SAFETY: `span` is as long as that, and its bytes are readable: the pusher of the entry or the owner of the
            // region promised it. Volatile, as in `copy_out`.
            *byte = unsafe { span.pointer.add(at).read_volatile() };
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Copies words out of the memory at `payload`, which need not be aligned, reading each byte once.
    pub(crate) fn read_words(&self, payload: u64, words: &mut [u64]) -> Result<(), Errno> {
        let span = self.span(payload, size_of_val(words) as u64)?;
        for (place, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            for (at, byte) in bytes.iter_mut().enumerate() {
                // SAFETY: as in `word`.
                *byte = unsafe { span.pointer.add(8 * place + at).read_volatile() };
            }
            *word = u64::from_ne_bytes(bytes);
        }
        Ok(())
    }

    /// Copies words into the memory at `payload`, which need not be aligned.
    pub(crate) fn write_words(&self, payload: u64, words: &[u64]) -> Result<(), Errno> {
        let span = self.span_to_write(payload, size_of_val(words) as u64)?;
        for (place, word) in words.iter().enumerate() {
            for (at, byte) in word.to_ne_bytes().into_iter().enumerate() {
                // SAFETY: `span` is as long as that, and its bytes are writable until the entry that names them has
                // completed: its pusher or the owner of the region promised it. Volatile, since another side may look.
                unsafe { span.pointer.add(8 * place + at).write_volatile(byte) };
            }
        }
        Ok(())
    }
}

impl Scratch {
    /// The words of the array of the message that was made last.
    pub(crate) fn files(&mut self) -> &mut [u64] {
        &mut self.files
    }

    /// Fills what a RECVMSG fills beside its buffers: these descriptors, and the end of the record. No operation may use
    /// them any more, and their region must still be there; it is, for an operation that has just been reported.
    pub(crate) fn tell(&mut self, descriptors: &[u64], notes: MessageNotes, address: u32) {
        let Some((record, array)) = self.places.take() else { return };
        for (place, descriptor) in descriptors.iter().enumerate() {
            write_in(array, 8 * place, &descriptor.to_ne_bytes());
        }
        for (word, value) in [address, descriptors.len() as u32, notes.bits(), 0].into_iter().enumerate() {
            write_in(record, MESSAGE_OUT + 4 * word, &value.to_ne_bytes());
        }
    }
}

/// Where in the record of a message the engine's part begins.
const MESSAGE_OUT: usize = 48;

/// Writes into a span of the submitter's, as far as it has room.
fn write_in(span: Span, offset: usize, bytes: &[u8]) {
    for (at, byte) in bytes.iter().enumerate() {
        if offset + at < span.length {
            // SAFETY: inside the span, whose bytes are writable and nobody else's until the completion. Volatile, since
            // in another region somebody may look all the same.
            unsafe { span.pointer.add(offset + at).write_volatile(*byte) };
        }
    }
}

/// Replaces `into` by the bytes of `span`, reading each once.
///
/// # Safety
///
/// The bytes of `span` must be readable.
unsafe fn copy_out(span: Span, into: &mut Vec<u8>) {
    into.clear();
    into.reserve(span.length);
    for at in 0..span.length {
        // SAFETY: readable by the contract. Volatile, so that a byte another side changes is read once and is no
        // undefined behaviour beyond being whichever value it had.
        into.push(unsafe { span.pointer.add(at).read_volatile() });
    }
}

/// Splits `bytes` into two paths, each ended by its NUL.
fn split_paths(bytes: &[u8]) -> Result<[Path; 2], Errno> {
    let nuls = bytes.iter().filter(|byte| **byte == 0).count();
    if nuls != 2 || bytes.last() != Some(&0) {
        return Err(Errno::EINVAL);
    }
    let mut paths = [Path { pointer: bytes.as_ptr(), length: 0 }; 2];
    for (path, part) in paths.iter_mut().zip(bytes.split_inclusive(|byte| *byte == 0)) {
        if part.len() == 1 {
            return Err(Errno::ENOENT);
        }
        if part.len() as u64 > MAX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        *path = Path { pointer: part.as_ptr(), length: part.len() };
    }
    Ok(paths)
}

/// Splits `bytes` into a path, if there are two parts, and the name of an attribute.
fn split_attribute(bytes: &[u8]) -> Result<Attribute, Errno> {
    let name = match bytes.split_last() {
        Some((0, rest)) => rest.iter().position(|byte| *byte == 0).map_or(0, |nul| nul + 1),
        _ => return Err(Errno::EINVAL),
    };
    let (path, length) = (name as u64, (bytes.len() - name) as u64);
    if has_nul(&bytes[name..bytes.len() - 1]) {
        return Err(Errno::EINVAL);
    }
    if path == 1 {
        return Err(Errno::ENOENT);
    }
    if path > MAX_PATH {
        return Err(Errno::ENAMETOOLONG);
    }
    if length == 1 || length > MAX_XATTR_NAME + 1 {
        return Err(Errno::ERANGE);
    }
    Ok(Attribute::new(bytes.as_ptr(), path as u32, length as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_in_its_only_nul() {
        let regions = Regions::new(true);
        let path = |bytes: &[u8]| {
            let payload = Payload::of(bytes.as_ptr()).number();
            regions.path(payload, bytes.len() as u64, &mut Scratch::default()).map(|path| path.length)
        };
        assert_eq!(path(b"a\0"), Ok(2));
        assert_eq!(path(b"a"), Err(Errno::EINVAL));
        assert_eq!(path(b"a\0b\0"), Err(Errno::EINVAL));
        for place in 0..40 {
            let mut name = [0x80; 41];
            name[40] = 0;
            assert_eq!(path(&name), Ok(41));
            name[place] = 0;
            assert_eq!(path(&name), Err(Errno::EINVAL), "a NUL at {place}");
        }
        assert_eq!(path(b"\0"), Err(Errno::ENOENT));
        assert_eq!(path(b""), Err(Errno::EINVAL));
        let mut long = [b'x'; 4097];
        long[4095] = 0;
        assert_eq!(path(&long[..4096]), Ok(4096));
        long[4095] = b'x';
        long[4096] = 0;
        assert_eq!(path(&long), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn two_paths_end_in_a_nul_each() {
        let lengths = |bytes: &[u8]| split_paths(bytes).map(|paths| paths.map(|path| path.length));
        assert_eq!(lengths(b"a\0bc\0"), Ok([2, 3]));
        assert_eq!(lengths(b"a\0"), Err(Errno::EINVAL));
        assert_eq!(lengths(b"a\0\0"), Err(Errno::ENOENT));
        assert_eq!(lengths(b"\0a\0"), Err(Errno::ENOENT));
        assert_eq!(lengths(b"a\0b\0c\0"), Err(Errno::EINVAL));
    }

    #[test]
    fn an_attribute_has_a_name_and_perhaps_a_path() {
        let lengths = |bytes: &[u8]| {
            split_attribute(bytes)
                .map(|attribute| (attribute.path().map(|path| path.length), attribute.name().length))
        };
        assert_eq!(lengths(b"user.a\0"), Ok((None, 7)));
        assert_eq!(lengths(b"a\0user.a\0"), Ok((Some(2), 7)));
        for bytes in [&b""[..], b"a", b"a\0b", b"a\0b\0c\0", b"a\0\0b\0"] {
            assert_eq!(lengths(bytes), Err(Errno::EINVAL), "{bytes:?}");
        }
        assert_eq!(lengths(b"\0a\0"), Err(Errno::ENOENT));
        assert_eq!(lengths(b"\0"), Err(Errno::ERANGE));
        assert_eq!(lengths(b"a\0\0"), Err(Errno::ERANGE));
        for (path, name, expected) in [
            (4095, 255, Ok((Some(4096), 256))),
            (4096, 255, Err(Errno::ENAMETOOLONG)),
            (4095, 256, Err(Errno::ERANGE)),
        ] {
            let bytes = [vec![b'p'; path], vec![0], vec![b'n'; name], vec![0]].concat();
            assert_eq!(lengths(&bytes), expected);
        }
    }

    #[test]
    fn spans_stay_inside_their_region() {
        let mut regions = Regions::new(false);
        let mut bytes = [0u8; 16];
        // SAFETY: `bytes` outlives the table.
        let region = unsafe { regions.add(NonNull::from(&mut bytes).cast(), 16) }.unwrap();
        let at = |offset| Payload::new(region, offset).unwrap().number();
        assert_eq!(regions.span(at(0), 16).map(|span| span.length), Ok(16));
        assert_eq!(regions.span(at(16), 0).map(|span| span.length), Ok(0));
        assert_eq!(regions.span(at(16), 1), Err(Errno::EFAULT));
        assert_eq!(regions.span(at(17), 0), Err(Errno::EFAULT));
        assert_eq!(regions.span(at(1), 16), Err(Errno::EFAULT));
        assert_eq!(regions.span(at(1), u64::MAX), Err(Errno::EFAULT));
        assert_eq!(regions.span(0x1000, 1), Err(Errno::EFAULT), "region 0 is for one process");
        assert_eq!(regions.span(Payload::new(region + 1, 0).unwrap().number(), 0), Err(Errno::EFAULT));
        assert_eq!(regions.remove(region), Ok(()));
        assert_eq!(regions.remove(region), Err(Errno::EINVAL));
        assert_eq!(regions.remove(0), Err(Errno::EINVAL));
        assert_eq!(regions.span(at(0), 1), Err(Errno::EFAULT));
    }
}
