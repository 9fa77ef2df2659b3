//! How much memory a ring takes: the kernel's arithmetic, done ahead of it.
//!
//! Needed where the application gives the memory, and to tell programs what a ring will cost. Nothing here maps
//! or asks, but for [`io_uring_mlock_size_params`], which makes a ring to see how old the kernel is.

use core::ffi::c_uint;

use ouzel_uring::abi::{CQ_ENTRIES_MAX, Cqe, Features, Params, SQ_ENTRIES_MAX, SetupFlags, Sqe};

use crate::kernel::{self, errno};
use crate::layout::IoUring;
use crate::setup::{io_uring_queue_exit, queue_init};

/// The size of the words that both queues share, which lie before the completions.
const WORDS_SIZE: usize = 64;

/// What the two queues take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The entries.
    pub(crate) entries: usize,
    /// The words, the completions and, where there is one, the array of indices.
    pub(crate) queues: usize,
}

impl Sizes {
    /// For a ring of `entries` with these parameters, or an errno if the kernel would refuse it.
    pub(crate) fn new(entries: c_uint, params: &Params) -> Result<Self, i32> {
        let (sq_entries, cq_entries) = entry_counts(entries, params)?;
        let mut queues = WORDS_SIZE + completions_size(params.flags, cq_entries);
        if !SetupFlags::from_bits_retain(params.flags).contains(SetupFlags::NO_SQARRAY) {
            queues += sq_entries as usize * size_of::<u32>();
        }
        Ok(Self { entries: entries_size(params.flags, sq_entries), queues })
    }

    /// Both in whole pages.
    fn in_pages(self, page_size: usize) -> usize {
        self.entries.next_multiple_of(page_size) + self.queues.next_multiple_of(page_size)
    }
}

/// The size of `count` entries.
pub(crate) fn entries_size(flags: c_uint, count: c_uint) -> usize {
    let big = SetupFlags::from_bits_retain(flags).contains(SetupFlags::SQE128);
    (count as usize * size_of::<Sqe>()) << usize::from(big)
}

/// The size of `count` completions.
pub(crate) fn completions_size(flags: c_uint, count: c_uint) -> usize {
    let big = SetupFlags::from_bits_retain(flags).contains(SetupFlags::CQE32);
    (count as usize * size_of::<Cqe>()) << usize::from(big)
}

/// How many entries and completions the kernel makes of what is asked for.
fn entry_counts(entries: c_uint, params: &Params) -> Result<(c_uint, c_uint), i32> {
    let flags = SetupFlags::from_bits_retain(params.flags);
    let rounded = |wish: c_uint, most: c_uint| {
        if wish == 0 || (wish > most && !flags.contains(SetupFlags::CLAMP)) {
            return Err(errno::EINVAL);
        }
        Ok(wish.min(most).next_power_of_two())
    };
    let sq_entries = rounded(entries, SQ_ENTRIES_MAX)?;
    if !flags.contains(SetupFlags::CQSIZE) {
        return Ok((sq_entries, 2 * sq_entries));
    }
    let cq_entries = rounded(params.cq_entries, CQ_ENTRIES_MAX)?;
    if cq_entries < sq_entries { Err(errno::EINVAL) } else { Ok((sq_entries, cq_entries)) }
}

/// As C returns it.
fn size_to_c(size: Result<usize, i32>) -> isize {
    match size {
        Ok(size) => size as isize,
        Err(errno) => errno::negated(errno) as isize,
    }
}

/// The memory a ring of `entries` takes, in bytes: `io_uring_memory_size_params(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_memory_size_params(entries: c_uint, params: *mut Params) -> isize {
    // SAFETY: the caller's promise.
    let params = unsafe { &*params };
    size_to_c(Sizes::new(entries, params).map(|sizes| sizes.in_pages(kernel::page_size())))
}

/// The memory a ring of `entries` with these set-up flags takes, in bytes: `io_uring_memory_size(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_memory_size(entries: c_uint, flags: c_uint) -> isize {
    let params = Params { flags, ..Params::default() };
    size_to_c(Sizes::new(entries, &params).map(|sizes| sizes.in_pages(kernel::page_size())))
}

/// The locked memory a ring of `entries` needs, in bytes: `io_uring_mlock_size_params(3)`. Kernels since 5.12 lock
/// none and make it 0.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_mlock_size_params(entries: c_uint, params: *mut Params) -> isize {
    // Such a kernel is known by its features, and they are told by a ring. If none can be made, that is most
    // likely for lack of memory to lock, so the kernel is an old one.
    let mut asked = Params::default();
    let mut ring = IoUring::EMPTY;
    // SAFETY: both are ours; the ring is closed once and only if it was made.
    unsafe {
        if queue_init(entries, &raw mut ring, &mut asked).is_ok() {
            io_uring_queue_exit(&raw mut ring);
        }
    }
    if Features::from_bits_retain(asked.features).contains(Features::NATIVE_WORKERS) {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { io_uring_memory_size_params(entries, params) }
}

/// The locked memory a ring of `entries` with these set-up flags needs, in bytes: `io_uring_mlock_size(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_mlock_size(entries: c_uint, flags: c_uint) -> isize {
    let mut params = Params { flags, ..Params::default() };
    // SAFETY: the parameters are ours.
    unsafe { io_uring_mlock_size_params(entries, &raw mut params) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(entries: c_uint, cq_entries: c_uint, flags: SetupFlags) -> Result<Sizes, i32> {
        Sizes::new(entries, &Params { flags: flags.bits(), cq_entries, ..Params::default() })
    }

    #[test]
    fn counts_are_rounded_and_checked_as_the_kernel_does() {
        assert_eq!(sizes(0, 0, SetupFlags::empty()), Err(errno::EINVAL));
        assert_eq!(sizes(SQ_ENTRIES_MAX + 1, 0, SetupFlags::empty()), Err(errno::EINVAL));
        assert_eq!(sizes(8, 4, SetupFlags::CQSIZE), Err(errno::EINVAL));
        assert_eq!(sizes(8, 0, SetupFlags::CQSIZE), Err(errno::EINVAL));
        let clamped = sizes(SQ_ENTRIES_MAX + 1, 0, SetupFlags::CLAMP).map(|sizes| sizes.entries);
        assert_eq!(clamped, Ok(SQ_ENTRIES_MAX as usize * 64));
        assert_eq!(sizes(5, 0, SetupFlags::empty()).map(|sizes| sizes.entries), Ok(8 * 64));
    }

    #[test]
    fn big_entries_and_completions_take_twice_as_much() {
        let plain = sizes(64, 0, SetupFlags::NO_SQARRAY);
        assert_eq!(plain, Ok(Sizes { entries: 4096, queues: 64 + 128 * 16 }));
        let big = sizes(64, 0, SetupFlags::SQE128 | SetupFlags::CQE32);
        assert_eq!(big, Ok(Sizes { entries: 8192, queues: 64 + 128 * 32 + 64 * 4 }));
    }

    #[test]
    fn memory_is_counted_in_pages() {
        assert_eq!(io_uring_memory_size(1, 0), 2 * kernel::page_size() as isize);
        assert_eq!(io_uring_memory_size(0, 0), errno::negated(errno::EINVAL) as isize);
    }
}
