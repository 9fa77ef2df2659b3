//! What a compound has open between its chains, closed however the compound ends.
//!
//! A chain that opens something for the next one cannot close it by FINALLY. So it is held here, and dropping the holder
//! closes it, with a temporary file removed before. It touches only what it was given.

use std::path::PathBuf;

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::RemoveFlags;

use crate::chain::Done;
use crate::chain::{Chain, Directory, Fd, Reg};
use crate::error::Error;
use crate::ring::Ring;

/// A ring, and descriptors in it that are ours.
pub(super) struct Held<'r, M> {
    pub(super) ring: &'r mut Ring<M>,
    files: Vec<Descriptor>,
    /// A file to remove.
    temporary: Option<PathBuf>,
}

impl<'r, M> Held<'r, M> {
    pub(super) fn new(ring: &'r mut Ring<M>) -> Held<'r, M> {
        let mut files = std::mem::take(&mut ring.spare_files);
        files.clear();
        Held { ring, files, temporary: None }
    }

    /// Holds what the step of `reg` has opened.
    pub(super) fn keep(&mut self, done: &Done, reg: Reg<Fd>) -> Result<Descriptor, Error> {
        Ok(self.hold(done.get(reg)?))
    }

    /// Holds what is open.
    pub(super) fn hold(&mut self, file: Descriptor) -> Descriptor {
        self.files.push(file);
        file
    }

    /// A chain without steps, with memory that is used again if somebody has given it back to the ring.
    pub(super) fn chain(&mut self) -> Chain {
        self.ring.spare.take().unwrap_or_default()
    }

    /// From here on `file` is the caller's.
    pub(super) fn let_go(&mut self, file: Descriptor) {
        self.files.retain(|held| *held != file);
    }

    /// From here on `path` is a file to be removed. By its path: when that is to be done its directory may be closed.
    pub(super) fn set_temporary(&mut self, path: PathBuf) {
        self.temporary = Some(path);
    }

    /// The temporary file is none any more.
    pub(super) fn keep_temporary(&mut self) {
        self.temporary = None;
    }

    /// Runs a chain, with the closes of all that is held behind it, whatever becomes of the chain.
    pub(super) fn run_and_close(&mut self, mut chain: Chain) -> Result<Done, Error> {
        for file in &self.files {
            chain.finally().close(*file);
        }
        let done = self.ring.run(chain)?;
        self.files.clear();
        Ok(done)
    }
}

impl<M> Drop for Held<'_, M> {
    fn drop(&mut self) {
        if !self.files.is_empty() || self.temporary.is_some() {
            let mut chain = Chain::new();
            if let Some(path) = self.temporary.take() {
                chain.finally().remove(Directory::Working, path, RemoveFlags::empty());
            }
            // An error that led here is what the caller is told of; one of these would only hide it.
            let _ = self.run_and_close(chain);
        }
        self.ring.spare_files = std::mem::take(&mut self.files);
    }
}
