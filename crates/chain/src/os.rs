//! What paths, names and times are: the standard library's, or without it bytes and a time of its own.
//!
//! Everything that turns them into what entries and records hold, and back, is here.

#[cfg(feature = "std")]
pub use with_std::{OsStr, Path, SystemTime};
#[cfg(feature = "std")]
pub(crate) use with_std::{bytes, name, name_bytes, named, parts, path, time};

#[cfg(not(feature = "std"))]
pub use without_std::{OsStr, Path, SystemTime};
#[cfg(not(feature = "std"))]
pub(crate) use without_std::{bytes, name, name_bytes, named, parts, path, time};

#[cfg(feature = "std")]
mod with_std {
    use core::time::Duration;
    use std::os::unix::ffi::OsStrExt;
    use std::time::UNIX_EPOCH;

    pub use std::ffi::OsStr;
    pub use std::path::Path;
    pub use std::time::SystemTime;

    /// The bytes of a path.
    #[inline]
    pub(crate) fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    /// The path that is these bytes.
    pub(crate) fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    /// The bytes of a name.
    pub(crate) fn name_bytes(name: &OsStr) -> &[u8] {
        name.as_bytes()
    }

    /// The name that is these bytes.
    pub(crate) fn name(bytes: &[u8]) -> &OsStr {
        OsStr::from_bytes(bytes)
    }

    /// A name as a path.
    pub(crate) fn named(name: &OsStr) -> &Path {
        Path::new(name)
    }

    /// The time so many seconds, and nanoseconds forwards from there, after 1970; 1970 itself if there is no such time.
    pub(crate) fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        base.and_then(|base| base.checked_add(Duration::from_nanos(nanoseconds as u64))).unwrap_or(UNIX_EPOCH)
    }

    /// The seconds after 1970, and the nanoseconds forwards from there.
    pub(crate) fn parts(time: SystemTime) -> (i64, u32) {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                // Nanoseconds count forwards, from the second before.
                let part = before.subsec_nanos();
                let seconds = 0i64.saturating_sub_unsigned(before.as_secs());
                match part {
                    0 => (seconds, 0),
                    part => (seconds.saturating_sub(1), 1_000_000_000 - part),
                }
            }
        }
    }
}

#[cfg(not(feature = "std"))]
mod without_std {
    /// A path: bytes. A NUL among them is refused when the chain is handed to a ring.
    pub type Path = [u8];

    /// A name: bytes.
    pub type OsStr = [u8];

    /// A time of the system.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct SystemTime {
        /// Seconds after 1970.
        pub seconds: i64,
        /// Nanoseconds forwards from there, fewer than 1,000,000,000.
        pub nanoseconds: u32,
    }

    #[inline]
    pub(crate) fn bytes(path: &Path) -> &[u8] {
        path
    }

    pub(crate) fn path(bytes: &[u8]) -> &Path {
        bytes
    }

    pub(crate) fn name_bytes(name: &OsStr) -> &[u8] {
        name
    }

    pub(crate) fn name(bytes: &[u8]) -> &OsStr {
        bytes
    }

    pub(crate) fn named(name: &OsStr) -> &Path {
        name
    }

    pub(crate) fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
        SystemTime { seconds, nanoseconds }
    }

    pub(crate) fn parts(time: SystemTime) -> (i64, u32) {
        (time.seconds, time.nanoseconds)
    }
}
