//! SYNC of a range by a plain call, for the threads backend and for helpers of the uring backend.
//!
//! rustix has no `sync_file_range(2)`, so it is declared here as the C library has it. It touches no memory, and
//! nothing else may be called from here.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};

use ouzel_ring::Errno;

/// Wait for what is being written, write, wait for that.
pub(crate) const THROUGH: u32 = 7;

unsafe extern "C" {
    fn sync_file_range(file: c_int, offset: i64, length: i64, flags: u32) -> c_int;
}

/// Writes the pages of a range out and waits for them; a length of 0 is up to the end.
///
/// Errors: EINVAL for a range beyond `i64::MAX`, and for what has no pages, as SYNC's page says; else the call's.
pub(crate) fn sync_range(file: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok()).ok_or(Errno::EINVAL)?;
    let file = file.as_fd();
    loop {
        // SAFETY: the call takes numbers only, and the descriptor is open while it is borrowed.
        let result = unsafe { sync_file_range(file.as_raw_fd(), offset as i64, length as i64, THROUGH) };
        if result == 0 {
            return Ok(());
        }
        match std::io::Error::last_os_error().raw_os_error().map_or(Errno::EIO, Errno::from_raw) {
            Errno::EINTR => {}
            // Pipes, sockets and most devices have no ranges.
            Errno::ESPIPE => return Err(Errno::EINVAL),
            error => return Err(error),
        }
    }
}
