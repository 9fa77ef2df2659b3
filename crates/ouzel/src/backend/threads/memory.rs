//! The one place of the threads backend where the type system needs a promise: the only file with `unsafe`. What
//! operations lend is in `host::spans`.

use std::os::fd::{IntoRawFd, OwnedFd};

use rustix::io;

/// Closes a descriptor and says what the kernel thought of it. It is closed whatever that was.
pub(super) fn close(descriptor: OwnedFd) -> io::Result<()> {
    // SAFETY: the number was owned and is given up.
    match unsafe { io::try_close(descriptor.into_raw_fd()) } {
        // On Linux an interrupted close has closed.
        Err(io::Errno::INTR) => Ok(()),
        other => other,
    }
}
