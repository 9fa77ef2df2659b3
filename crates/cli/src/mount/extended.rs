//! Extended attributes, of what the kernel names, whether it has a path or is only open. Symbolic links are not followed:
//! the kernel has done that.

use std::ffi::OsStr;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{StatFlags, XattrFlags};
use ouzel::{Buffer, Chain, Directory, Done, File};

use super::bridge::{Bridge, is_elsewhere};
use super::connections::number;
use super::nodes::Identity;
use super::reach::Need;

/// What was asked for: how long a value is, or the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// How many bytes there are.
    Length(u32),
    /// The bytes.
    Bytes(Vec<u8>),
}

/// Whose attributes are meant.
enum Holder<'a> {
    /// Of what is open.
    File(File),
    /// Of what has this name in a directory, itself.
    Name(Directory, &'a OsStr),
}

impl Bridge {
    /// Does something with the attributes of a node's file.
    ///
    /// What only names its file is no way to them, so files and directories are opened. What cannot be is named in its
    /// directory: it has only attributes that are for the privileged, or for who owns it.
    fn with_holder<R>(
        &self,
        node: u64,
        need: Need,
        build: impl Fn(&mut Chain, Holder<'_>) -> R,
    ) -> Result<(Done, R), Errno> {
        let stat = self.nodes().last_stat(node).ok_or(Errno::ESTALE)?;
        if stat.is_file() || stat.is_directory() {
            match self.with_file(node, need, |chain, file| build(chain, Holder::File(file))) {
                Err(Errno::EACCES) => {}
                done => return done,
            }
        }
        let (identity, names) = {
            let nodes = self.nodes();
            (nodes.identity(node).ok_or(Errno::ESTALE)?, nodes.names(node))
        };
        for (parent, name) in names {
            let done = self.in_directories([parent], |ring, place| {
                let [directory] = place.directories;
                let stat = ring.stat(directory, &name, StatFlags::NOFOLLOW).map_err(number);
                match stat {
                    Ok(stat) if Identity::of(&stat) == identity => {
                        place.run(ring, |chain, [directory]| build(chain, Holder::Name(directory, &name)))
                    }
                    other => {
                        place.close(ring, None);
                        Err(other.err().unwrap_or(Errno::ESTALE))
                    }
                }
            });
            match done {
                Err(error) if is_elsewhere(error) => {}
                done => return done,
            }
        }
        Err(Errno::ESTALE)
    }

    /// An attribute, up to `room` bytes of it; its length if there is no room.
    ///
    /// Errors: ERANGE if it is longer; ENODATA if there is none.
    pub fn attribute(&self, node: u64, name: &OsStr, room: u32) -> Result<Answer, Errno> {
        let buffer = || Buffer::with_capacity(room as usize);
        let (done, read) = self.with_holder(node, Need::ReadableTold, |chain, holder| match holder {
            Holder::File(file) => chain.getxattr_file(file, name, buffer()),
            Holder::Name(place, path) => chain.getxattr(place, path, name, buffer(), XattrFlags::NOFOLLOW),
        })?;
        answer(done, read, room)
    }

    /// The names of the attributes, each with a NUL behind it, up to `room` bytes; their length if there is no room.
    ///
    /// Errors: ERANGE if they are longer.
    pub fn attribute_names(&self, node: u64, room: u32) -> Result<Answer, Errno> {
        let buffer = || Buffer::with_capacity(room as usize);
        let (done, read) = self.with_holder(node, Need::ReadableTold, |chain, holder| match holder {
            Holder::File(file) => chain.listxattr_file(file, buffer()),
            Holder::Name(place, path) => chain.listxattr(place, path, buffer(), XattrFlags::NOFOLLOW),
        })?;
        answer(done, read, room)
    }

    /// Sets an attribute.
    pub fn set_attribute(
        &self,
        node: u64,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let (done, set) = self.with_holder(node, Need::Readable, |chain, holder| match holder {
            Holder::File(file) => chain.setxattr_file(file, name, value, flags),
            Holder::Name(place, path) => {
                chain.setxattr(place, path, name, value, flags | XattrFlags::NOFOLLOW)
            }
        })?;
        done.get(set).map_err(number)
    }

    /// Removes an attribute.
    pub fn remove_attribute(&self, node: u64, name: &OsStr) -> Result<(), Errno> {
        let (done, removed) = self.with_holder(node, Need::Readable, |chain, holder| match holder {
            Holder::File(file) => chain.removexattr_file(file, name),
            Holder::Name(place, path) => chain.removexattr(place, path, name, XattrFlags::NOFOLLOW),
        })?;
        done.get(removed).map_err(number)
    }
}

fn answer(mut done: Done, read: ouzel::Reg<usize>, room: u32) -> Result<Answer, Errno> {
    let length = done.get(read).map_err(number)?;
    if room == 0 {
        return Ok(Answer::Length(u32::try_from(length).unwrap_or(u32::MAX)));
    }
    let mut bytes = done.take(read).unwrap_or_default().into_vec();
    bytes.truncate(length);
    Ok(Answer::Bytes(bytes))
}
