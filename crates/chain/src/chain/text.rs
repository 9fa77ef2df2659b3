//! Text: the paths of a chain's steps, one after the other, each with its NUL.
//!
//! Steps keep where theirs start, not an address: adding a path may move the others.

use alloc::string::String;
use alloc::vec::Vec;

/// The paths of a chain.
#[derive(Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Adds a path and its NUL, and returns where it starts.
    #[inline]
    pub(crate) fn push(&mut self, path: &[u8]) -> u32 {
        let start = self.0.len() as u32;
        self.0.reserve(path.len() + 1);
        self.0.extend_from_slice(path);
        self.0.push(0);
        start
    }

    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes from `start` on.
    #[inline]
    pub(crate) fn from(&self, start: u32) -> &[u8] {
        self.0.get(start as usize..).unwrap_or_default()
    }

    /// The `length` bytes from `start` on as people read them: without the last NUL, with a word for one between two paths.
    pub(crate) fn show(&self, start: u32, length: u64) -> Option<String> {
        let paths = self.from(start).get(..(length as usize).checked_sub(1)?)?;
        Some(String::from_utf8_lossy(paths).replace('\0', " to "))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
