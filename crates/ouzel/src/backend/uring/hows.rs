//! Records that tell the kernel how to open beneath a directory (`struct open_how`).
//!
//! One per packet, in chunks that are made when first needed and never move. The kernel reads a record while it takes
//! the entry that names it, so it must stay as it is until then; a packet has one entry at a time.

use ouzel_uring::abi::OpenHow;
use rustix::fs::{OFlags, ResolveFlags};

const CHUNK: usize = 256;

/// What `openat2` takes beside O_PATH; it refuses what `openat` ignores.
const BESIDE_PATH: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// One record per packet slot.
#[derive(Debug, Default)]
pub(super) struct Hows {
    chunks: Vec<Option<Box<[OpenHow; CHUNK]>>>,
}

impl Hows {
    /// Sets the record of `slot`: an open with these flags and this mode (both of `open(2)`) that stays beneath its
    /// directory. Says where it is.
    pub(super) fn beneath(&mut self, slot: u32, flags: u32, mode: u32) -> *const OpenHow {
        let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let mut flags = OFlags::from_bits_retain(flags);
        if flags.contains(OFlags::PATH) {
            flags &= BESIDE_PATH;
        }
        // A mode is refused where nothing is created.
        let mode = if flags.contains(OFlags::CREATE) { mode } else { 0 };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let records = self.chunks[chunk].get_or_insert_with(|| Box::new([OpenHow::default(); CHUNK]));
        records[place] = OpenHow { flags: flags.bits().into(), mode: mode.into(), resolve: resolve.bits() };
        &raw const records[place]
    }
}
