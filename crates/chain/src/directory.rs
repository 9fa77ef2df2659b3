//! The records that READDIR fills a buffer with: Linux's `struct linux_dirent64` (`getdents64(2)`).

use crate::os::{self, OsStr};

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// Number of the inode.
    pub inode: u64,
    /// Kind of the file: a `DT_` value of `readdir(3)`, 0 if the file system does not say.
    pub kind: u8,
    /// Its name in the directory.
    pub name: &'a OsStr,
}

/// The entries in a buffer that READDIR has filled. Stops at a record that makes no sense.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

const HEADER: usize = 19;

impl<'a> Entries<'a> {
    /// The entries in `records`.
    pub fn new(records: &'a [u8]) -> Entries<'a> {
        Entries { rest: records }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = DirectoryEntry<'a>;

    fn next(&mut self) -> Option<DirectoryEntry<'a>> {
        let header = self.rest.get(..HEADER)?;
        let inode = u64::from_ne_bytes(header[..8].try_into().ok()?);
        let length = u16::from_ne_bytes([header[16], header[17]]) as usize;
        let kind = header[18];
        let name = self.rest.get(HEADER..length)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        self.rest = &self.rest[length..];
        Some(DirectoryEntry { inode, kind, name: os::name(&name[..end]) })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn stops_at_nonsense() {
        let mut record = vec![0; 24];
        record[0] = 9;
        record[16] = 24;
        record[18] = 8;
        record[19] = b'a';
        let entry = DirectoryEntry { inode: 9, kind: 8, name: OsStr::new("a") };
        assert_eq!(Entries::new(&record).collect::<Vec<_>>(), [entry]);
        for broken in [0u8, 5, 18, 19, 25, 255] {
            record[16] = broken;
            assert_eq!(Entries::new(&record).count(), 0, "record length {broken}");
        }
        assert_eq!(Entries::new(&record[..18]).count(), 0);
    }
}
