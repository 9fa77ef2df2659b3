//! Memory: the frames, the kernel's heap, and the windows of kernel addresses that rings and stacks are mapped in.
//!
//! The boot code has mapped the first GiB of physical memory at [`DIRECT`]; the kernel reaches every frame through that map.
//! Frames are counted, since a test wants to see that none is lost. All page tables of the kernel's half exist from the start,
//! so every address space shares them and none is ever added.

use alloc::collections::VecDeque;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr;

use linked_list_allocator::Heap;
use ouzel_ring::Errno;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::MapToError;
use x86_64::structures::paging::{
    FrameAllocator, FrameDeallocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame,
    Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::global::Global;

/// Where physical memory is mapped.
pub const DIRECT: u64 = 0xffff_8000_0000_0000;
/// Where the kernel's image is mapped: 0 of physical memory.
pub const IMAGE: u64 = 0xffff_ffff_8000_0000;
/// Where the windows are.
const WINDOWS: u64 = 0xffff_9000_0000_0000;
/// Bytes from one window to the next. The first page of each stays unmapped.
const WINDOW: u64 = 256 * 1024;
/// How many windows there are: for every thread's stack and all rings of as many processes, and the drivers' rings.
const WINDOW_COUNT: usize = 1024;
/// Bytes of the kernel's heap.
const HEAP: u64 = 40 << 20;
/// Bytes of the heap that no process's wish may touch.
const RESERVE: usize = 4 << 20;

/// Physical memory that can be handed out, by the page.
struct Frames {
    /// The first free frame's address, whose first word holds the next one's; 0: none.
    first: u64,
    free: u64,
    total: u64,
}

static FRAMES: Global<Frames> = Global::new();
static WINDOW_USE: Global<[bool; WINDOW_COUNT]> = Global::new();
static HEAP_LOCK: Global<Heap> = Global::new();

/// The direct map's address of a physical one.
pub fn direct(physical: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut((DIRECT + physical) as usize)
}

/// The allocator of the kernel's heap.
struct KernelHeap;

#[global_allocator]
static ALLOCATOR: KernelHeap = KernelHeap;

// SAFETY: the heap's own memory is handed out, which nobody else uses, by an allocator that keeps to the contract.
unsafe impl core::alloc::GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP_LOCK.get().allocate_first_fit(layout).map_or(ptr::null_mut(), |place| place.as_ptr())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if let Some(place) = ptr::NonNull::new(place) {
            // SAFETY: it came from `alloc` with this layout.
            unsafe { HEAP_LOCK.get().deallocate(place, layout) };
        }
    }
}

/// Bytes of the heap in use.
pub fn heap_used() -> u64 {
    HEAP_LOCK.get().used() as u64
}

/// ENOMEM if the heap should not be asked for so many bytes more on behalf of a process: not even if they are wanted in one
/// piece, what follows in the same call finds the reserve whole.
pub fn heap_has(bytes: usize) -> Result<(), Errno> {
    let layout = bytes.checked_add(RESERVE).and_then(|bytes| Layout::from_size_align(bytes, 16).ok());
    let layout = layout.ok_or(Errno::ENOMEM)?;
    let mut heap = HEAP_LOCK.get();
    let place = heap.allocate_first_fit(layout).map_err(|()| Errno::ENOMEM)?;
    // SAFETY: it came from there with this layout, and nobody has it.
    unsafe { heap.deallocate(place, layout) };
    Ok(())
}

/// Lets a queue have room for `more`, as long as the heap does: then it grows by itself no more. ENOMEM otherwise.
pub fn make_room<T>(queue: &mut VecDeque<T>, more: usize) -> Result<(), Errno> {
    let needed = queue.len() + more;
    if needed > queue.capacity() {
        // It may become twice as long as it was, and both are there while it moves.
        heap_has(2 * needed * size_of::<T>())?;
        queue.reserve(more);
    }
    Ok(())
}

/// Takes over the memory between `start`, which lies behind all that the boot loader has put there, and `end`.
pub fn start(start: u64, end: u64) {
    let start = start.next_multiple_of(4096);
    let heap = ptr::slice_from_raw_parts_mut(direct(start).cast::<MaybeUninit<u8>>(), HEAP as usize);
    // SAFETY: mapped, and nobody uses it; it is the heap's for ever.
    HEAP_LOCK.set(unsafe { Heap::from_slice(&mut *heap) });
    FRAMES.set(Frames { first: 0, free: 0, total: 0 });
    let mut frame = end & !0xfff;
    while frame > start + HEAP {
        frame -= 4096;
        free(frame);
        FRAMES.get().total += 1;
    }
    WINDOW_USE.set([false; WINDOW_COUNT]);
    let root = Cr3::read().0;
    // SAFETY: the root of the tables in use, in the direct map; nobody else holds them.
    let table = unsafe { &mut *direct(root.start_address().as_u64()).cast::<PageTable>() };
    // The lower half was needed only while the processor was brought here.
    table[0].set_unused();
    x86_64::instructions::tlb::flush_all();
    // Mapping and unmapping a page in each piece of 2 MiB makes the tables of all windows.
    let mut tables = tables_of(root.start_address().as_u64());
    let mut at = WINDOWS;
    while at < WINDOWS + WINDOW * WINDOW_COUNT as u64 {
        let page = Page::<Size4KiB>::containing_address(VirtAddr::new(at));
        let frame = PhysFrame::containing_address(PhysAddr::new(0));
        let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE;
        // SAFETY: unmapped again at once, and not used in between.
        let mapped = unsafe { tables.map_to(page, frame, flags, &mut Source) };
        match mapped {
            Ok(flush) => flush.ignore(),
            Err(_) => panic!("no memory for the tables of the kernel's windows"),
        }
        if let Ok((_, flush)) = tables.unmap(page) {
            flush.flush();
        }
        at += 2 << 20;
    }
}

/// Frames in all, and free ones.
pub fn frames() -> (u64, u64) {
    let frames = FRAMES.get();
    (frames.total, frames.free)
}

/// A frame, full of zeros. ENOMEM if there is none.
pub fn allocate() -> Result<u64, Errno> {
    let mut frames = FRAMES.get();
    let frame = frames.first;
    if frame == 0 {
        return Err(Errno::ENOMEM);
    }
    let place = direct(frame);
    // SAFETY: a free frame is nobody's, and in the direct map; its first word is the next one's address.
    unsafe {
        frames.first = place.cast::<u64>().read();
        ptr::write_bytes(place, 0, 4096);
    }
    frames.free -= 1;
    Ok(frame)
}

/// Gives a frame back that [`allocate`] gave, and that nothing is mapped to any more.
pub fn free(frame: u64) {
    let mut frames = FRAMES.get();
    // SAFETY: nobody's any more, and in the direct map.
    unsafe { direct(frame).cast::<u64>().write(frames.first) };
    frames.first = frame;
    frames.free += 1;
}

/// The frames as the `x86_64` crate's mappers want them.
pub struct Source;

// SAFETY: every frame given out is unused.
unsafe impl FrameAllocator<Size4KiB> for Source {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        allocate().ok().map(|frame| PhysFrame::containing_address(PhysAddr::new(frame)))
    }
}

impl FrameDeallocator<Size4KiB> for Source {
    unsafe fn deallocate_frame(&mut self, frame: PhysFrame) {
        free(frame.start_address().as_u64());
    }
}

/// The page tables whose root is the frame at `root`.
pub fn tables_of(root: u64) -> OffsetPageTable<'static> {
    // SAFETY: all tables are in the direct map, and the kernel uses one mapper at a time.
    unsafe { OffsetPageTable::new(&mut *direct(root).cast::<PageTable>(), VirtAddr::new(DIRECT)) }
}

/// The root of the tables in use.
pub fn root() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

/// Maps one page.
pub fn map(root: u64, address: u64, frame: u64, flags: PageTableFlags) -> Result<(), Errno> {
    let page = Page::<Size4KiB>::containing_address(VirtAddr::new(address));
    let frame = PhysFrame::containing_address(PhysAddr::new(frame));
    let parents =
        PageTableFlags::PRESENT | PageTableFlags::WRITABLE | (flags & PageTableFlags::USER_ACCESSIBLE);
    // SAFETY: the caller has a frame of its own, and an address that is its to use.
    match unsafe { tables_of(root).map_to_with_table_flags(page, frame, flags, parents, &mut Source) } {
        Ok(flush) => {
            flush.flush();
            Ok(())
        }
        Err(MapToError::FrameAllocationFailed) => Err(Errno::ENOMEM),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// Unmaps one page and returns the frame that was there.
pub fn unmap(root: u64, address: u64) -> Option<u64> {
    let page = Page::<Size4KiB>::containing_address(VirtAddr::new(address));
    let (frame, flush) = tables_of(root).unmap(page).ok()?;
    flush.flush();
    Some(frame.start_address().as_u64())
}

/// Pages of kernel addresses in a row, in a window of their own, with nothing mapped before them.
pub struct Window {
    place: usize,
    frames: alloc::vec::Vec<u64>,
    /// They are freed with the window.
    owned: bool,
}

impl Window {
    /// Maps these frames, which stay the caller's and outlive the window. ENOMEM if there is no window.
    pub fn over(frames: &[u64]) -> Result<Window, Errno> {
        Window::of(frames.into(), false)
    }

    /// `pages` fresh pages. ENOMEM if there are not so many, or no window.
    pub fn fresh(pages: usize) -> Result<Window, Errno> {
        let mut frames = alloc::vec::Vec::with_capacity(pages);
        for _ in 0..pages {
            match allocate() {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    frames.into_iter().for_each(free);
                    return Err(error);
                }
            }
        }
        Window::of(frames, true)
    }

    fn of(frames: alloc::vec::Vec<u64>, owned: bool) -> Result<Window, Errno> {
        let place = {
            let mut uses = WINDOW_USE.get();
            let free = uses.iter().position(|used| !used).filter(|_| frames.len() < (WINDOW / 4096) as usize);
            if let Some(free) = free {
                uses[free] = true;
            }
            free
        };
        let Some(place) = place else {
            if owned {
                frames.into_iter().for_each(free);
            }
            return Err(Errno::ENOMEM);
        };
        let window = Window { place, frames, owned };
        let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE;
        for (number, frame) in window.frames.iter().enumerate() {
            // The tables are there, so this needs no memory.
            map(root(), window.start() + 4096 * number as u64, *frame, flags)?;
        }
        Ok(window)
    }

    /// The first page's address.
    pub fn start(&self) -> u64 {
        WINDOWS + self.place as u64 * WINDOW + 4096
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.frames.len() as u64 * 4096
    }

    /// The end.
    pub fn end(&self) -> u64 {
        self.start() + self.length()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        for number in 0..self.frames.len() as u64 {
            unmap(root(), self.start() + 4096 * number);
        }
        if self.owned {
            self.frames.iter().copied().for_each(free);
        }
        WINDOW_USE.get()[self.place] = false;
    }
}
