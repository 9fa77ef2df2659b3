//! Copying a file.
//!
//! COPY does it where it may; elsewhere blocks are read and written, each at its own place in both files, so that a short
//! transfer leaves a gap that is filled and never moves what follows. It must never empty the file it copies from.

use std::path::Path;

use ouzel_ring::modifiers::MAX_TRANSFER;
use ouzel_ring::{Descriptor, Errno, Verb};

use super::held::Held;
use super::{about, unfit, value};
use crate::Buffer;
use crate::chain::{Chain, Offset, OpenOptions};
use crate::error::Error;
use crate::ring::Ring;

/// Bytes of a block.
const BLOCK: usize = 128 << 10;

/// Blocks in one chain.
const BLOCKS: usize = 3;

/// Copies the file `from` over `to`, which is made if it does not exist, with its permission bits, as [`std::fs::copy`] does,
/// and returns how many bytes that were.
///
/// **Guarantee:** `to` has the bytes of `from` and its permission bits. Holes become holes or zeros, as COPY does it here. It
/// is not made durable. A file that is to be copied onto itself, also by another name, is refused and stays whole.
/// **Crossings:** 4; where COPY is not to be had one more for each 384 KiB; 1 more for other permissions.
/// **On failure:** nothing is open. What was copied of `to` stays, as with [`std::fs::copy`].
///
/// Errors: those of OPEN, STAT, CHMOD, TRUNCATE, COPY, READ, WRITE and CLOSE; EINVAL if `from` is not a regular file, or is the same
/// file as `to`.
pub fn copy_file<M>(ring: &mut Ring<M>, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64, Error> {
    copy(ring, from.as_ref(), to.as_ref(), true)
}

/// As [`copy_file`], but without COPY: every byte passes through this process, 384 KiB at a time. For files whose file system
/// does not do COPY right, and to compare with.
///
/// **Crossings:** 5, and one more for each 384 KiB; 1 more for other permissions. Everything else is as for [`copy_file`].
pub fn copy_file_through_memory<M>(
    ring: &mut Ring<M>,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> Result<u64, Error> {
    copy(ring, from.as_ref(), to.as_ref(), false)
}

fn copy<M>(ring: &mut Ring<M>, from: &Path, to: &Path, by_kernel: bool) -> Result<u64, Error> {
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let source = chain.open(from, OpenOptions::read());
    let stat = chain.stat_file(source);
    let done = held.ring.run(chain)?;
    let source = held.keep(&done, source)?;
    let source_stat = done.get(stat).map_err(|error| about(error, from))?;
    if !source_stat.is_file() {
        return Err(unfit(Verb::Copy, Errno::EINVAL, from));
    }
    let permissions = source_stat.permissions();

    let mut chain = Chain::new();
    let target = chain.open(to, OpenOptions::write().create().mode(permissions));
    let stat = chain.stat_file(target);
    let done = held.ring.run(chain)?;
    let target = held.keep(&done, target)?;
    let stat = done.get(stat).map_err(|error| about(error, to))?;
    if (stat.device, stat.inode) == (source_stat.device, source_stat.inode) {
        return Err(unfit(Verb::Copy, Errno::EINVAL, to));
    }
    if stat.is_file() && stat.permissions() != permissions {
        held.ring.chmod_file(target, permissions).map_err(|error| about(error, to))?;
    }

    let mut copy =
        Copying { source, target, from, to, regular: stat.is_file(), size: source_stat.size, at: 0 };
    let ended = if by_kernel {
        copy.by_copy(&mut held)?
    } else {
        if copy.regular {
            held.ring.truncate(copy.target, 0u64).map_err(|error| about(error, to))?;
        }
        false
    };
    // Some files say they are empty and are not.
    if !ended || copy.at == 0 {
        copy.by_blocks(&mut held)?;
    }
    let done = held.run_and_close(Chain::new())?;
    done.check().map_err(|error| about(error.into(), to))?;
    Ok(copy.at)
}

/// A copy under way.
struct Copying<'p> {
    source: Descriptor,
    target: Descriptor,
    from: &'p Path,
    to: &'p Path,
    /// The target is a regular file.
    regular: bool,
    /// How long the source was.
    size: u64,
    /// Everything before this is copied.
    at: u64,
}

impl Copying<'_> {
    /// Empties the target and copies as far as COPY goes. Whether that is to the end.
    fn by_copy<M>(&mut self, held: &mut Held<'_, M>) -> Result<bool, Error> {
        let mut chain = Chain::new();
        let emptied = self.regular.then(|| chain.truncate(self.target, 0u64));
        let first = chain.copy(self.source, Offset::START, self.target, Offset::START, MAX_TRANSFER);
        // What was all of it then is all of it, as for `std::fs::copy`; asking whether there is more would cost as much again.
        let all = self.size;
        if all > 0 {
            chain.when(first).equals(all).stop();
        }
        let from_there = Offset::at(first);
        let mut next = chain.copy(self.source, from_there, self.target, from_there, MAX_TRANSFER);
        let mut done = held.ring.run(chain)?;
        if let Some(emptied) = emptied {
            done.get(emptied).map_err(|error| about(error, self.to))?;
        }
        match self.took(done.get(first))? {
            Some(0) => return Ok(true),
            Some(count) => self.at += count,
            None => return Ok(false),
        }
        if self.at == all {
            return Ok(true);
        }
        loop {
            match self.took(done.get(next))? {
                Some(0) => return Ok(true),
                Some(count) => self.at += count,
                None => return Ok(false),
            }
            let mut chain = Chain::new();
            let here = Offset::at(self.at);
            next = chain.copy(self.source, here, self.target, here, MAX_TRANSFER);
            done = held.ring.run(chain)?;
        }
    }

    /// What a COPY has copied; `None` if it cannot be done here.
    fn took(&self, count: Result<usize, Error>) -> Result<Option<u64>, Error> {
        const NOT_HERE: [Errno; 5] =
            [Errno::EINVAL, Errno::EXDEV, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EPERM];
        match count {
            Ok(count) => Ok(Some(count as u64)),
            Err(error) if error.errno().is_some_and(|errno| NOT_HERE.contains(&errno)) => Ok(None),
            Err(error) => Err(about(error, self.to)),
        }
    }

    /// Copies the rest block by block.
    fn by_blocks<M>(&mut self, held: &mut Held<'_, M>) -> Result<(), Error> {
        let mut buffers: Vec<Buffer> = Vec::new();
        buffers.resize_with(BLOCKS, || Buffer::with_capacity(BLOCK));
        let mut written_to = self.at;
        loop {
            let mut chain = Chain::new();
            let mut blocks = Vec::with_capacity(BLOCKS);
            for (number, buffer) in buffers.drain(..).enumerate() {
                let start = self.at + (number * BLOCK) as u64;
                let read = chain.read(self.source, buffer, Offset::at(start));
                let write = chain.write(self.target, read, Offset::at(start));
                blocks.push((start, read, write));
            }
            let mut done = held.ring.run(chain)?;
            let mut ended = None;
            for (start, read, write) in blocks {
                let got = value(&done, read).map_err(|error| about(error, self.from))?;
                let wrote = value(&done, write).map_err(|error| about(error, self.to))? as u64;
                written_to = written_to.max(start + wrote);
                if ended.is_none() {
                    if got > 0 && wrote == 0 {
                        return Err(unfit(Verb::Write, Errno::EIO, self.to));
                    }
                    self.at += wrote;
                    // The rest of this block, and what is behind it, is for the next chain.
                    ended = (got == 0).then_some(true).or((wrote < BLOCK as u64).then_some(false));
                }
                buffers.push(done.take(read).unwrap_or_default());
            }
            if ended == Some(true) {
                break;
            }
        }
        if written_to > self.at && self.regular {
            // The source became shorter meanwhile.
            let cut = held.ring.truncate(self.target, self.at);
            cut.map_err(|error| about(error, self.to))?;
        }
        Ok(())
    }
}
