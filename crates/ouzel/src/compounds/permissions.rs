//! Permission bits of an open file.
//!
//! A file is made with the bits asked for, less the process's umask. Where that took some away, the file leaves the ring for
//! a plain call and comes back. It touches nothing but that file.

use std::path::Path;

use ouzel_ring::{Descriptor, Errno, Verb};

use super::held::Held;
use super::{about, unfit};
use crate::error::Error;

/// Gives `file`, which is held, these permission bits. The result is its new descriptor, held in place of the old one.
///
/// Errors: EOPNOTSUPP on the simulator, whose files cannot leave it; there a file keeps the bits it was made with.
pub(super) fn set_permissions<M>(
    held: &mut Held<'_, M>,
    file: Descriptor,
    permissions: u32,
    path: &Path,
) -> Result<Descriptor, Error> {
    let refused = |error: Error| match error.errno() {
        Some(errno) => unfit(Verb::Chmod, errno, path),
        None => about(error, path),
    };
    let object = held.ring.release(file).map_err(refused)?;
    held.replace(file, None);
    let mode = rustix::fs::Mode::from_raw_mode(permissions);
    rustix::fs::fchmod(&object, mode)
        .map_err(|error| unfit(Verb::Chmod, Errno::from_raw(error.raw_os_error()), path))?;
    let again = held.ring.adopt(object).map_err(refused)?;
    held.replace(file, Some(again));
    Ok(again)
}
