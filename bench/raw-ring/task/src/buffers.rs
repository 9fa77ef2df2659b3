//! Memory for reads: whole pages, as O_DIRECT wants them. It is handed out as addresses only, because the kernel writes to
//! it behind the compiler's back.

use std::cell::UnsafeCell;

/// Bytes of a block and of a buffer.
pub const BLOCK_BYTES: usize = 4096;

/// A page that the kernel may write to.
#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; BLOCK_BYTES]>);

/// Buffers of [`BLOCK_BYTES`] bytes, side by side.
pub struct Buffers(Box<[Page]>);

impl Buffers {
    /// So many.
    pub fn new(count: usize) -> Buffers {
        Buffers((0..count).map(|_| Page(UnsafeCell::new([0; BLOCK_BYTES]))).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The address of the first one; the others follow.
    #[inline(always)]
    pub fn start(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut().cast()
    }

    /// The first word of a buffer, or `None` if there is no such buffer. No read may be writing to it.
    #[inline(always)]
    pub fn word(&self, number: u64) -> Option<u64> {
        let page = self.0.get(number as usize)?;
        // SAFETY: the page is aligned and 4,096 bytes long, and nobody writes to it now.
        Some(unsafe { page.0.get().cast::<u64>().read() })
    }
}
