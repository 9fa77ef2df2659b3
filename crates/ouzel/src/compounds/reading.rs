//! Reading files whole.
//!
//! A read may be short, so that a file is over only where a read gives nothing. The chains here ask that as their last
//! question, at the very place where the read before it stopped, and so know without another crossing.

use std::path::Path;

use ouzel_ring::modifiers::MAX_TRANSFER;
use ouzel_ring::{Errno, Verb};

use super::held::Held;
use super::{about, unfit, value};
use crate::Buffer;
use crate::chain::Done;
use crate::chain::{Chain, File, Offset, OpenOptions, Reg};
use crate::error::Error;
use crate::ring::Ring;

/// Bytes that are asked for before anything is known of a file.
pub(super) const FIRST_READ: usize = 64 << 10;

/// Bytes that are asked for at a time when a file is not what it seemed.
const NEXT_READ: usize = 4 << 20;

/// Reads the file `path` whole.
///
/// **Guarantee:** all bytes come from one open of the file, up to a read that gave nothing. A file that others write to
/// meanwhile is read as it is found, piece by piece; one that is replaced by a rename is read in one version.
/// **Crossings:** 1 up to 64 KiB; else 3, with the beginning read twice. **On failure:** nothing is left.
///
/// Errors: those of OPEN and READ; EISDIR for a directory; ENOMEM if the file does not fit into memory.
///
/// ```
/// use ouzel::{Ring, compounds};
///
/// let mut ring = Ring::new()?;
/// let text = compounds::read_file(&mut ring, "Cargo.toml")?;
/// assert!(text.starts_with(b"[package]"));
/// # Ok::<(), ouzel::Error>(())
/// ```
pub fn read_file<M>(ring: &mut Ring<M>, path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
    let path = path.as_ref();
    let (chain, first) = FirstRead::chain(path, Buffer::with_capacity(FIRST_READ));
    let mut done = ring.run(chain)?;
    match first.bytes(&mut done).map_err(|error| about(error, path))? {
        Some(bytes) => Ok(snug(bytes)),
        None => stat_then_read(ring, path, u64::MAX),
    }
}

/// Reads the file `path` whole, into memory that is sized from its length, if it has at most `limit` bytes.
///
/// **Guarantee:** as for [`read_file`]. A file longer than `limit` is refused before it is read, or when it turns out to be.
/// **Crossings:** 2. **On failure:** nothing is left.
///
/// Errors: those of OPEN, STAT and READ; EFBIG for more than `limit` bytes; ENOMEM if they do not fit into memory.
pub fn stat_then_read<M>(ring: &mut Ring<M>, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, Error> {
    let path = path.as_ref();
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::read());
    let stat = chain.stat_file(file);
    let done = held.ring.run(chain)?;
    let file = held.keep(&done, file)?;
    let size = done.get(stat).map_err(|error| about(error, path))?.size;
    if size > limit {
        return Err(unfit(Verb::Read, Errno::EFBIG, path));
    }
    // Files that say they are empty may be made as they are read.
    let room = room(size.max(FIRST_READ as u64 - 1) + 1, path)?;
    let mut chain = Chain::new();
    let first = FirstRead::add(&mut chain, file, room);
    let mut done = held.run_and_close(chain)?;
    let bytes = match first.bytes(&mut done).map_err(|error| about(error, path))? {
        Some(bytes) => bytes,
        None => read_on(held.ring, path, limit)?,
    };
    if bytes.len() as u64 > limit {
        return Err(unfit(Verb::Read, Errno::EFBIG, path));
    }
    Ok(snug(bytes))
}

/// A read of a whole file, and the question whether that was all.
pub(super) struct FirstRead {
    bytes: Reg<usize>,
    rest: Reg<usize>,
}

impl FirstRead {
    /// A chain that opens `path`, reads it into `room` and closes it.
    pub(super) fn chain(path: &Path, room: Buffer) -> (Chain, FirstRead) {
        let mut chain = Chain::new();
        let file = chain.open(path, OpenOptions::read());
        let first = FirstRead::add(&mut chain, file, room);
        chain.finally().close(file);
        (chain, first)
    }

    fn add(chain: &mut Chain, file: impl Into<File>, room: Buffer) -> FirstRead {
        let file = file.into();
        let bytes = chain.read(file, room, Offset::START);
        let rest = chain.read(file, Buffer::with_capacity(1), Offset::at(bytes));
        FirstRead { bytes, rest }
    }

    /// What was read, if that is all.
    pub(super) fn bytes(&self, done: &mut Done) -> Result<Option<Vec<u8>>, Error> {
        // A failed close takes nothing from what was read.
        let all = value(done, self.rest)? == 0;
        Ok(all.then(|| done.take(self.bytes).unwrap_or_default().into_vec()))
    }
}

/// Reads a file that reads short or grows: piece by piece, to its end.
fn read_on<M>(ring: &mut Ring<M>, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::read());
    let done = held.ring.run(chain)?;
    let file = held.keep(&done, file)?;
    let mut all: Vec<u8> = Vec::new();
    let mut room = Buffer::with_capacity(NEXT_READ);
    loop {
        let piece = held.ring.read(file, room, Offset::at(all.len()));
        let piece = piece.map_err(|error| about(error, path))?;
        if piece.is_empty() {
            break;
        }
        if (all.len() + piece.len()) as u64 > limit {
            return Err(unfit(Verb::Read, Errno::EFBIG, path));
        }
        all.try_reserve(piece.len()).map_err(|_| unfit(Verb::Read, Errno::ENOMEM, path))?;
        all.extend_from_slice(&piece);
        room = piece;
    }
    held.run_and_close(Chain::new())?;
    Ok(all)
}

/// A buffer for `length` bytes, as far as one transfer can fill it.
fn room(length: u64, path: &Path) -> Result<Buffer, Error> {
    let length = length.min(MAX_TRANSFER) as usize;
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| unfit(Verb::Read, Errno::ENOMEM, path))?;
    Ok(Buffer::from(room))
}

/// Without much more memory than it needs.
pub(super) fn snug(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < bytes.capacity() / 2 {
        bytes.shrink_to_fit();
    }
    bytes
}
