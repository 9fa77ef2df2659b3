//! Reading many files, several at a time, with results as they come.

use std::path::{Path, PathBuf};

use super::about;
use super::reading::{FIRST_READ, FirstRead, snug, stat_then_read};
use crate::Buffer;
use crate::error::Error;
use crate::ring::{Ring, Ticket};

/// Reads the files `paths`, at most `at_once` of them at a time, and gives each when it is there: the order is that in which
/// they end, and [`FileRead::index`] says which it is.
///
/// **Guarantee:** one item for each path; each file as by [`read_file`](super::read_file). One that fails is an item like the
/// others. **Crossings:** about 1 for each `at_once` files of up to 64 KiB. **On failure, and when the iterator is dropped:**
/// what is in flight is cancelled and waited for; nothing is left. At most `at_once` descriptors are open, and no more than
/// the ring has free when this is called.
///
/// ```
/// use ouzel::{Ring, compounds};
///
/// let mut ring = Ring::new()?;
/// for read in compounds::read_files(&mut ring, ["Cargo.toml", "README.md"], 16) {
///     println!("{}: {} bytes", read.path.display(), read.bytes?.len());
/// }
/// # Ok::<(), ouzel::Error>(())
/// ```
pub fn read_files<M, I>(ring: &mut Ring<M>, paths: I, at_once: usize) -> ReadFiles<'_, M, I::IntoIter>
where
    I: IntoIterator,
    I::Item: AsRef<Path>,
{
    let free = ring.limits().descriptors.saturating_sub(ring.gauges().descriptors) as usize;
    ReadFiles {
        ring,
        paths: paths.into_iter(),
        at_once: at_once.min(free).max(1),
        started: 0,
        tickets: Vec::new(),
        flying: Vec::new(),
    }
}

/// One of many files, read.
#[derive(Debug)]
pub struct FileRead {
    /// Its place among the paths, counted from 0.
    pub index: usize,
    /// Its path.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Result<Vec<u8>, Error>,
}

/// The files that [`read_files`] reads. See there.
pub struct ReadFiles<'r, M, I> {
    ring: &'r mut Ring<M>,
    paths: I,
    at_once: usize,
    started: usize,
    /// The chains in flight, and what each reads, in the same order.
    tickets: Vec<Ticket>,
    flying: Vec<Flying>,
}

struct Flying {
    index: usize,
    path: PathBuf,
    first: FirstRead,
}

impl<M, I> Iterator for ReadFiles<'_, M, I>
where
    I: Iterator,
    I::Item: AsRef<Path>,
{
    type Item = FileRead;

    fn next(&mut self) -> Option<FileRead> {
        while self.flying.len() < self.at_once {
            let Some(path) = self.paths.next() else { break };
            let path = path.as_ref().to_owned();
            let index = self.started;
            self.started += 1;
            let (chain, first) = FirstRead::chain(&path, Buffer::with_capacity(FIRST_READ));
            match self.ring.submit(chain) {
                Ok(ticket) => {
                    self.tickets.push(ticket);
                    self.flying.push(Flying { index, path, first });
                }
                Err(rejected) => return Some(FileRead { index, path, bytes: Err(rejected.error) }),
            }
        }
        let ended = self.ring.wait_any_of(&self.tickets);
        let at = match &ended {
            Ok(Some((ended, _))) => self.tickets.iter().position(|ticket| ticket == ended)?,
            // The ring cannot go on: each that was in flight is told so.
            _ => self.tickets.len().checked_sub(1)?,
        };
        self.tickets.swap_remove(at);
        let Flying { index, path, first } = self.flying.swap_remove(at);
        let bytes = match ended {
            Ok(Some((_, mut done))) => match first.bytes(&mut done) {
                Ok(Some(bytes)) => Ok(snug(bytes)),
                Ok(None) => stat_then_read(self.ring, &path, u64::MAX),
                Err(error) => Err(about(error, &path)),
            },
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        Some(FileRead { index, path, bytes })
    }
}

impl<M, I> Drop for ReadFiles<'_, M, I> {
    fn drop(&mut self) {
        give_up(self.ring, &self.tickets);
    }
}

/// Cancels chains and waits for them.
pub(super) fn give_up<M>(ring: &mut Ring<M>, tickets: &[Ticket]) {
    for ticket in tickets {
        let _ = ring.cancel(*ticket);
    }
    for ticket in tickets {
        let _ = ring.wait(*ticket);
    }
}
