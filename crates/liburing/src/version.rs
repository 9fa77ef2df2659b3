//! Which liburing this stands in for.

use core::ffi::c_int;

/// The major version of the ABI.
const MAJOR: c_int = 2;
/// The minor version of the ABI.
const MINOR: c_int = 15;

/// `io_uring_major_version(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_major_version() -> c_int {
    MAJOR
}

/// `io_uring_minor_version(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_minor_version() -> c_int {
    MINOR
}

/// Whether a version is newer than this one: `io_uring_check_version(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_check_version(major: c_int, minor: c_int) -> bool {
    (major, minor) > (MAJOR, MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_later_versions_are_newer() {
        assert!(
            !io_uring_check_version(2, 15) && !io_uring_check_version(2, 0) && !io_uring_check_version(1, 99)
        );
        assert!(io_uring_check_version(2, 16) && io_uring_check_version(3, 0));
    }
}
