//! Copying a file.
//!
//! COPY does it where it may; elsewhere blocks are read and written, each at its own place in both files, so that a short
//! transfer never moves what follows. It must never empty the file it copies from.

use std::path::Path;

use ouzel_ring::modifiers::MAX_TRANSFER;
use ouzel_ring::{Descriptor, Errno, Verb};

use super::held::Held;
use super::{about, unfit, value};
use crate::Buffer;
use crate::chain::Done;
use crate::chain::{Chain, Offset, OpenOptions, Reg, Unit};
use crate::error::Error;
use crate::ring::Ring;

/// The most bytes of a block. What is larger than 128 KiB glibc's allocator puts 16 bytes behind the start of a page, and
/// there some processors copy to and from pages several times slower than anywhere else.
const BLOCK: usize = 96 << 10;

/// Copies the file `from` over `to`, which is made if it does not exist, with its permission bits, as [`std::fs::copy`] does,
/// and returns how many bytes that were.
///
/// **Guarantee:** `to` has the bytes of `from` and its permission bits. Holes become holes or zeros, as COPY does it here. What
/// is added to `from` meanwhile may be left out. It is not made durable. A file that is to be copied onto itself, also by
/// another name, is refused and stays whole.
/// **Crossings:** 3; 1 more if `to` does not exist; where COPY is not to be had one more for each 96 KiB.
/// **On failure:** nothing is open. What was copied of `to` stays, as with [`std::fs::copy`].
///
/// Errors: those of OPEN, STAT, CHMOD, TRUNCATE, COPY, READ, WRITE and CLOSE; EINVAL if `from` is not a regular file, or is the same
/// file as `to`.
pub fn copy_file<M>(ring: &mut Ring<M>, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64, Error> {
    copy(ring, from.as_ref(), to.as_ref(), true)
}

/// As [`copy_file`], but without COPY: every byte passes through this process, 96 KiB at a time, and the ring keeps the memory
/// for the next copy. For files whose file system does not do COPY right, and to compare with.
///
/// **Crossings:** 2, and one more for each 96 KiB; 1 more if `to` does not exist. Everything else is as for [`copy_file`].
pub fn copy_file_through_memory<M>(
    ring: &mut Ring<M>,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> Result<u64, Error> {
    copy(ring, from.as_ref(), to.as_ref(), false)
}

fn copy<M>(ring: &mut Ring<M>, from: &Path, to: &Path, by_kernel: bool) -> Result<u64, Error> {
    let mut held = Held::new(ring);
    let mut chain = held.chain();
    let source = chain.open(from, OpenOptions::read());
    let source_stat = chain.stat_file(source);
    // As long as it need not be made this waits for nothing. It is not emptied before it is known to be another file.
    let target = chain.open(to, OpenOptions::write());
    let target_stat = chain.stat_file(target);
    let done = held.ring.run(chain)?;
    let source = held.keep(&done, source)?;
    let opened = done.get(target).map(|target| held.hold(target));
    let source_stat = done.get(source_stat).map_err(|error| about(error, from))?;
    if !source_stat.is_file() {
        return Err(unfit(Verb::Copy, Errno::EINVAL, from));
    }
    let permissions = source_stat.permissions();
    let (target, target_stat) = match opened {
        Ok(target) => {
            let stat = done.get(target_stat).map_err(|error| about(error, to))?;
            held.ring.spare = Some(done.into_chain());
            (target, stat)
        }
        Err(error) if error.errno() == Some(Errno::ENOENT) => {
            let mut chain = done.into_chain();
            let target = chain.open(to, OpenOptions::write().create().mode(permissions));
            let stat = chain.stat_file(target);
            let done = held.ring.run(chain)?;
            let target = held.keep(&done, target)?;
            let stat = done.get(stat).map_err(|error| about(error, to))?;
            held.ring.spare = Some(done.into_chain());
            (target, stat)
        }
        Err(error) => return Err(error),
    };
    if (target_stat.device, target_stat.inode) == (source_stat.device, source_stat.inode) {
        return Err(unfit(Verb::Copy, Errno::EINVAL, to));
    }

    let regular = target_stat.is_file();
    let mut copy = Copying {
        source,
        target,
        from,
        to,
        mode: (regular && target_stat.permissions() != permissions).then_some(permissions),
        full: regular && target_stat.size > 0,
        size: source_stat.size,
        at: 0,
    };
    let ended = by_kernel && copy.by_copy(&mut held)?;
    // Some files say they are empty and are not.
    if !ended || copy.at == 0 {
        copy.by_blocks(&mut held)?;
    }
    let chain = held.chain();
    let done = held.run_and_close(chain)?;
    done.check().map_err(|error| about(error.into(), to))?;
    held.ring.spare = Some(done.into_chain());
    Ok(copy.at)
}

/// A copy under way.
struct Copying<'p> {
    source: Descriptor,
    target: Descriptor,
    from: &'p Path,
    to: &'p Path,
    /// The permissions that the target is still to get.
    mode: Option<u32>,
    /// The target is still to be emptied.
    full: bool,
    /// How long the source was.
    size: u64,
    /// Everything before this is copied.
    at: u64,
}

/// The steps that make the target ready.
struct Readied {
    mode: Option<Reg<Unit>>,
    emptied: Option<Reg<Unit>>,
}

impl Copying<'_> {
    /// Lets the next steps of a chain see to what is still to be done to the target before it is written.
    fn make_ready(&self, chain: &mut Chain) -> Readied {
        let mode = self.mode.map(|mode| chain.chmod_file(self.target, mode));
        let emptied = self.full.then(|| chain.truncate(self.target, 0u64));
        Readied { mode, emptied }
    }

    /// Whether that was done.
    fn made_ready(&mut self, done: &Done, readied: &Readied) -> Result<(), Error> {
        for reg in [readied.mode, readied.emptied].into_iter().flatten() {
            done.get(reg).map_err(|error| about(error, self.to))?;
        }
        (self.mode, self.full) = (None, false);
        Ok(())
    }

    /// Copies as far as COPY goes. Whether that is to the end.
    fn by_copy<M>(&mut self, held: &mut Held<'_, M>) -> Result<bool, Error> {
        loop {
            let mut chain = held.chain();
            let readied = self.make_ready(&mut chain);
            let here = Offset::at(self.at);
            // What was all of it when it was opened is all of it: to ask whether there is more would cost as much again.
            let left = if self.size > self.at { self.size - self.at } else { MAX_TRANSFER };
            let copied = chain.copy(self.source, here, self.target, here, left);
            let done = held.ring.run(chain)?;
            self.made_ready(&done, &readied)?;
            match self.took(done.get(copied))? {
                Some(0) => return Ok(true),
                Some(count) => self.at += count,
                None => return Ok(false),
            }
            held.ring.spare = Some(done.into_chain());
            if self.at == self.size {
                return Ok(true);
            }
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
        loop {
            let length = match self.size.saturating_sub(self.at) {
                // Nobody knows how much there is.
                0 => BLOCK,
                left => left.min(BLOCK as u64) as usize,
            };
            let enough = std::mem::take(&mut held.ring.spare_block);
            let enough = enough.filter(|buffer| buffer.capacity() >= length);
            let buffer = enough.unwrap_or_else(|| Buffer::with_capacity(length));
            let mut chain = held.chain();
            let here = Offset::at(self.at);
            let read = chain.read(self.source, buffer, here);
            // Behind the read, so that it goes along with the write.
            let readied = self.make_ready(&mut chain);
            let write = chain.write(self.target, read, here);
            let mut done = held.ring.run(chain)?;
            let got = value(&done, read).map_err(|error| about(error, self.from))?;
            self.made_ready(&done, &readied)?;
            let wrote = value(&done, write).map_err(|error| about(error, self.to))?;
            held.ring.spare_block = done.take(read);
            held.ring.spare = Some(done.into_chain());
            if got == 0 {
                return Ok(());
            }
            if wrote == 0 {
                return Err(unfit(Verb::Write, Errno::EIO, self.to));
            }
            // The rest of what was read, if there is any, is for the next chain.
            self.at += wrote as u64;
            if self.at == self.size {
                return Ok(());
            }
        }
    }
}
