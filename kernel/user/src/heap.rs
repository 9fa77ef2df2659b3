//! The heap of a program, which grows by objects `memory:`.
//!
//! It lies at [`START`] and is one piece: each time it has no room for what is asked, pages are mapped behind its end. They
//! are never given back, for the process's end does that. A ring of its own keeps them: it is made when the first memory is
//! asked for, so that a program which uses no heap has all of its rings to itself.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt::{self, Write};
use core::ptr;

use linked_list_allocator::Heap as List;
use ouzel_kernel_abi::PAGE;
use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Entry, Errno, Payload, Verb};
use spin::Mutex;

use crate::Ring;

/// Where it lies. What has no address of its own is put far below by the kernel.
const START: u64 = 0x0000_2000_0000_0000;

/// The fewest pages that it grows by.
const LEAST: u64 = 16;

struct Heap {
    list: List,
    ring: Option<Ring>,
    pages: u64,
}

static HEAP: Mutex<Heap> = Mutex::new(Heap { list: List::empty(), ring: None, pages: 0 });

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

struct Allocator;

// SAFETY: memory of the list is given to one owner at a time, under a lock.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = HEAP.lock();
        let mut place = heap.list.allocate_first_fit(layout);
        if place.is_err() && heap.grow(layout).is_ok() {
            place = heap.list.allocate_first_fit(layout);
        }
        place.map_or(ptr::null_mut(), |place| place.as_ptr())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if let Some(place) = ptr::NonNull::new(place) {
            // SAFETY: it came from `alloc` with this layout.
            unsafe { HEAP.lock().list.deallocate(place, layout) };
        }
    }
}

impl Heap {
    /// Makes room for `layout`: as much again as there is, or, where that is too much, what is needed.
    fn grow(&mut self, layout: Layout) -> Result<(), Errno> {
        let bytes = layout.size().checked_add(layout.align()).ok_or(Errno::ENOMEM)? as u64;
        // One more, for what the list keeps of its own.
        let needed = bytes.div_ceil(PAGE) + 1;
        let generous = needed.max(LEAST).max(self.pages);
        self.extend(generous).or_else(|_| self.extend(needed))
    }

    fn extend(&mut self, pages: u64) -> Result<(), Errno> {
        let address = START + self.pages * PAGE;
        let mut path = Text::default();
        write!(path, "memory:{pages}@{address:x}\0").map_err(|_| Errno::ENAMETOOLONG)?;
        let ring = match &mut self.ring {
            Some(ring) => ring,
            none => none.insert(Ring::new(1, 2)?),
        };
        let payload = Payload::of(path.bytes.as_ptr()).number();
        let entry =
            Entry::new(Verb::Open).arguments([0, payload, path.length as u64, OpenFlags::READ.bits(), 0]);
        // SAFETY: the path lives until the completion, which is waited for.
        unsafe { ring.push(&entry) }?;
        ring.enter(1)?;
        ring.pop().ok_or(Errno::EIO)?.outcome()?;
        let length = (pages * PAGE) as usize;
        if self.pages == 0 {
            // SAFETY: fresh pages, mapped as long as the process lives, and nobody else's.
            unsafe { self.list.init(ptr::with_exposed_provenance_mut(address as usize), length) };
        } else {
            // SAFETY: the same, right behind the pages before.
            unsafe { self.list.extend(length) };
        }
        self.pages += pages;
        Ok(())
    }
}

/// A path that is written without a heap.
struct Text {
    bytes: [u8; 64],
    length: usize,
}

impl Default for Text {
    fn default() -> Text {
        Text { bytes: [0; 64], length: 0 }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
