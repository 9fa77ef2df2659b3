//! Fork: a ring belongs to the process that made it.
//!
//! A forked child shares kernel objects with its parent but none of its threads. One word in a page that the kernel
//! wipes in a child (`MADV_WIPEONFORK`) tells the two apart with a single load. It holds a number that no ancestor
//! had: process numbers would not do, since a child in a namespace of its own may have its parent's. Where the kernel
//! cannot wipe (before 4.14), the process number is asked for all the same.

use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The process that something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    /// The number of the process, as its page has it.
    process: u32,
    /// The number in that page, if there is one.
    word: Option<&'static AtomicU32>,
}

/// What the kernel leaves in a child's page.
const WIPED: u32 = 0;

fn process_number() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

struct Page(Option<NonNull<AtomicU32>>);

// SAFETY: the page is never unmapped, and holds one atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    fn word(&'static self) -> Option<&'static AtomicU32> {
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
        // Copied by a fork, so that a child goes on counting where its parent was. The words guard nothing; they are
        // only compared.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let Some(word) = page().word() else { return Home { process: process_number(), word: None } };
        if word.load(Ordering::Relaxed) == WIPED {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // Another thread may have been first; then its number is this process's.
            let _ = word.compare_exchange(WIPED, number, Ordering::Relaxed, Ordering::Relaxed);
        }
        Home { process: word.load(Ordering::Relaxed), word: Some(word) }
    }

    /// Whether this is still the process it was made in.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        match self.word {
            Some(word) => word.load(Ordering::Relaxed) == self.process,
            None => process_number() == self.process,
        }
    }
}
