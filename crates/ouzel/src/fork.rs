//! Fork: a ring belongs to the process that made it.
//!
//! A forked child shares kernel objects with its parent but none of its threads. One word in a page that the kernel
//! wipes in a child (`MADV_WIPEONFORK`) tells the two apart with a single load. Where the kernel cannot wipe (before
//! 4.14), the process number is asked for instead.

use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The process that something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    process: u32,
}

struct Page(Option<NonNull<AtomicU32>>);

// SAFETY: the page is never unmapped, and holds one atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    fn word(&self) -> Option<&AtomicU32> {
        // SAFETY: mapped readable and writable, never unmapped.
        self.0.map(|word| unsafe { word.as_ref() })
    }
}

fn page() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| {
        let size = rustix::param::page_size();
        // SAFETY: a fresh anonymous mapping; nothing else is touched.
        let mapped = unsafe {
            mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let Ok(mapped) = mapped else { return Page(None) };
        // SAFETY: the mapping just made.
        match unsafe { madvise(mapped, size, Advice::LinuxWipeOnFork) } {
            Ok(()) => Page(NonNull::new(mapped.cast())),
            Err(_) => Page(None),
        }
    })
}

impl Home {
    /// This process.
    pub(crate) fn here() -> Home {
        let process = rustix::process::getpid().as_raw_nonzero().get() as u32;
        if let Some(word) = page().word() {
            // The word guards nothing; it is only compared.
            word.store(process, Ordering::Relaxed);
        }
        Home { process }
    }

    /// Whether this is still the process it was made in.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        match page().word() {
            Some(word) => word.load(Ordering::Relaxed) == self.process,
            None => rustix::process::getpid().as_raw_nonzero().get() as u32 == self.process,
        }
    }
}
