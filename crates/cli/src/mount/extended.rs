//! Extended attributes, of what the kernel names, whether it has a path or is only open. Symbolic links are not followed:
//! the kernel has done that.

use std::ffi::OsStr;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::XattrFlags;
use ouzel::{Buffer, Chain, Directory};

use super::bridge::{Bridge, run};
use super::connections::number;

/// What was asked for: how long a value is, or the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// How many bytes there are.
    Length(u32),
    /// The bytes.
    Bytes(Vec<u8>),
}

impl Bridge {
    /// An attribute, up to `room` bytes of it; its length if there is no room.
    ///
    /// Errors: ERANGE if it is longer; ENODATA if there is none.
    pub fn attribute(&self, node: u64, name: &OsStr, room: u32) -> Result<Answer, Errno> {
        let buffer = || Buffer::with_capacity(room as usize);
        self.at(
            node,
            |ring, path| {
                let mut chain = Chain::new();
                let read = chain.getxattr(Directory::Working, path, name, buffer(), XattrFlags::NOFOLLOW);
                answer(run(ring, chain)?, read, room)
            },
            |ring, file| {
                let mut chain = Chain::new();
                let read = chain.getxattr_file(file, name, buffer());
                answer(run(ring, chain)?, read, room)
            },
        )
    }

    /// The names of the attributes, each with a NUL behind it, up to `room` bytes; their length if there is no room.
    ///
    /// Errors: ERANGE if they are longer.
    pub fn attribute_names(&self, node: u64, room: u32) -> Result<Answer, Errno> {
        let buffer = || Buffer::with_capacity(room as usize);
        self.at(
            node,
            |ring, path| {
                let mut chain = Chain::new();
                let read = chain.listxattr(Directory::Working, path, buffer(), XattrFlags::NOFOLLOW);
                answer(run(ring, chain)?, read, room)
            },
            |ring, file| {
                let mut chain = Chain::new();
                let read = chain.listxattr_file(file, buffer());
                answer(run(ring, chain)?, read, room)
            },
        )
    }

    /// Sets an attribute.
    pub fn set_attribute(
        &self,
        node: u64,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        self.at(
            node,
            |ring, path| {
                let flags = flags | XattrFlags::NOFOLLOW;
                ring.setxattr(Directory::Working, path, name, value, flags).map_err(number)
            },
            |ring, file| ring.setxattr_file(file, name, value, flags).map_err(number),
        )
    }

    /// Removes an attribute.
    pub fn remove_attribute(&self, node: u64, name: &OsStr) -> Result<(), Errno> {
        self.at(
            node,
            |ring, path| {
                ring.removexattr(Directory::Working, path, name, XattrFlags::NOFOLLOW).map_err(number)
            },
            |ring, file| ring.removexattr_file(file, name).map_err(number),
        )
    }
}

fn answer(mut done: ouzel::Done, read: ouzel::Reg<usize>, room: u32) -> Result<Answer, Errno> {
    let length = done.get(read).map_err(number)?;
    if room == 0 {
        return Ok(Answer::Length(u32::try_from(length).unwrap_or(u32::MAX)));
    }
    let mut bytes = done.take(read).unwrap_or_default().into_vec();
    bytes.truncate(length);
    Ok(Answer::Bytes(bytes))
}
