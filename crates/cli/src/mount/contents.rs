//! Contents: opening files, reading and writing them, and making what was written durable.
//!
//! Nothing is kept back here: what WRITE has said is written is in the service's hands. What was opened stays usable when
//! its name is removed, and when its service has gone and come back, as long as its name still leads to the same file.

use ouzel::abi::modifiers::{AllocateFlags, MAX_TRANSFER, OpenFlags, SyncMode};
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Chain, FileStat, Offset};

use super::bridge::{Bridge, run};
use super::connections::{Opened, Service, number};

/// What a call has to see to besides writing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writing {
    /// It is durable before it is reported (O_SYNC, O_DSYNC).
    pub sync: Option<SyncMode>,
    /// Pages of a mapping are written where they belong, by whichever way to the file the kernel has found.
    pub is_write_back: bool,
}

impl Bridge {
    /// Opens a node's file. Returns what it is open as, and what it is.
    pub fn open_file(&self, node: u64, flags: OpenFlags) -> Result<(u64, FileStat), Errno> {
        let identity = self.nodes().identity(node).ok_or(Errno::ESTALE)?;
        let opened = self.moves.settled(|| {
            let opened = self.connections.open(|ring| {
                let (descriptor, stat) = self.open_node(ring, node, &identity, flags)?;
                self.nodes().is(node, &stat);
                Ok((Opened { node, identity, flags, descriptor: Some(descriptor), is_lost: false }, stat))
            });
            match opened {
                Err(Errno::ESTALE) => Ok(None),
                opened => opened.map(Some),
            }
        })?;
        let (file, stat) = opened.ok_or(Errno::ESTALE)?;
        self.nodes().opened(node, file);
        Ok((file, stat))
    }

    /// Closes what is open.
    pub fn close(&self, file: u64) {
        if let Some(opened) = self.connections.close(file) {
            self.nodes().closed(opened.node, file);
        }
    }

    /// Reads up to `length` bytes; fewer only at the end of the file.
    pub fn read(&self, file: u64, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        self.with_descriptor(file, |ring, descriptor| {
            let mut bytes = read_once(ring, descriptor, offset, length)?;
            // A transfer may be short anywhere; only nothing at all is the end.
            while !bytes.is_empty() && bytes.len() < length {
                let more = read_once(ring, descriptor, offset + bytes.len() as u64, length - bytes.len())?;
                if more.is_empty() {
                    break;
                }
                bytes.extend_from_slice(&more);
            }
            Ok(bytes)
        })
    }

    /// Writes all of `data`, or as much as can be.
    ///
    /// Errors: why nothing could be written.
    pub fn write(&self, file: u64, offset: u64, data: &[u8], writing: Writing) -> Result<usize, Errno> {
        self.with_opened(file, |ring, descriptor, opened| {
            if writing.is_write_back && opened.flags.contains(OpenFlags::APPEND) {
                // Through this one it would go to the end.
                let flags = opened.flags.difference(OpenFlags::APPEND);
                let (descriptor, _) = self.open_node(ring, opened.node, &opened.identity, flags)?;
                let written = write_all(ring, descriptor, offset, data, writing.sync);
                ring.close(descriptor).map_err(number)?;
                return written;
            }
            write_all(ring, descriptor, offset, data, writing.sync)
        })
    }

    /// Makes what was written durable.
    pub fn sync(&self, file: u64, mode: SyncMode) -> Result<(), Errno> {
        self.with_descriptor(file, |ring, descriptor| ring.sync(descriptor, mode).map_err(number))
    }

    /// Reserves or releases storage.
    pub fn allocate(&self, file: u64, offset: u64, length: u64, flags: AllocateFlags) -> Result<(), Errno> {
        self.with_descriptor(file, |ring, descriptor| {
            ring.allocate(descriptor, offset, length, flags).map_err(number)
        })
    }

    /// Copies bytes within the service; returns how many.
    ///
    /// Errors: EXDEV if what is read can only be reached by the connection on which it is open, which tells the kernel to copy by
    /// itself.
    pub fn copy(&self, from: (u64, u64), to: (u64, u64), length: u64) -> Result<u64, Errno> {
        let length = length.min(MAX_TRANSFER);
        let source = self.connections.with_opened(from.0, |_, opened| Ok(*opened))?;
        self.with_descriptor(to.0, |ring, target| {
            let again = self.open_node(ring, source.node, &source.identity, OpenFlags::READ);
            let (descriptor, _) = again.map_err(|error| match error {
                Errno::ESTALE => Errno::EXDEV,
                error => error,
            })?;
            let mut chain = Chain::new();
            let copied = chain.copy(descriptor, Offset::at(from.1), target, Offset::at(to.1), length);
            chain.finally().close(descriptor);
            Ok(run(ring, chain)?.get(copied).map_err(number)? as u64)
        })
    }
}

fn read_once(ring: &mut Service, file: Descriptor, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let buffer = ring.read(file, Buffer::with_capacity(length), Offset::at(offset)).map_err(number)?;
    Ok(buffer.into_vec())
}

fn write_all(
    ring: &mut Service,
    file: Descriptor,
    offset: u64,
    data: &[u8],
    sync: Option<SyncMode>,
) -> Result<usize, Errno> {
    let mut written = 0;
    while written < data.len() {
        let rest = &data[written..];
        let mut chain = Chain::new();
        let count = chain.write(file, rest, Offset::at(offset + written as u64));
        if let Some(mode) = sync {
            chain.sync(file, mode);
        }
        match run(ring, chain).and_then(|done| done.get(count).map_err(number)) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(written)
}
