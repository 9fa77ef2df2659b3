//! Address spaces: the lower half, one for each process, and the only way in which the kernel reaches into it.
//!
//! An address from user space is an allegation. The kernel never follows one: it looks it up in the process's page tables and
//! goes to the frame through the direct map, so it needs no fault handler of its own and cannot touch what the process could
//! not. Nothing runs between that look and the touch (see [`crate::global`]), so a page that is there stays there for as long.
//! The one part of the kernel that follows user addresses is the engine, when it parses a path or a list of pieces in place: it
//! asks [`AddressSpace::allows`] first, and the process's tables are the ones in use while its engine runs.

use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr;

use ouzel_kernel_abi::{MAX_PAGES, PAGE, USER_END};
use ouzel_ring::Errno;
use x86_64::structures::paging::{PageTable, PageTableFlags};

use crate::memory::{self, direct};

/// Where the kernel looks for room when a process does not say where it wants a mapping.
const ANYWHERE: u64 = 0x0000_1000_0000_0000;

/// What may be done with a page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Written.
    pub write: bool,
    /// Executed.
    pub execute: bool,
}

impl Rights {
    /// Data: read and written.
    pub const DATA: Rights = Rights { write: true, execute: false };

    fn flags(self) -> PageTableFlags {
        let mut flags = PageTableFlags::PRESENT | PageTableFlags::USER_ACCESSIBLE;
        flags.set(PageTableFlags::WRITABLE, self.write);
        flags.set(PageTableFlags::NO_EXECUTE, !self.execute);
        flags
    }
}

/// One process's half of the addresses.
pub struct AddressSpace {
    root: u64,
    /// Pages that count against the process: mapped ones, their tables, and what else it is charged for.
    charged: Cell<u64>,
    /// Where to look for room: below, there is little.
    room: Cell<u64>,
}

impl AddressSpace {
    /// An empty one.
    pub fn new() -> Result<AddressSpace, Errno> {
        let root = memory::allocate()?;
        let (from, to) = (direct(memory::root()).cast::<u64>(), direct(root).cast::<u64>());
        // SAFETY: two different tables of 512 entries, in the direct map. The upper half is everybody's.
        unsafe { ptr::copy_nonoverlapping(from.add(256), to.add(256), 256) };
        Ok(AddressSpace { root, charged: Cell::new(1), room: Cell::new(ANYWHERE) })
    }

    /// The root of its tables.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Counts `pages` more against the process. ENOMEM past [`MAX_PAGES`].
    pub fn charge(&self, pages: u64) -> Result<(), Errno> {
        match self.charged.get().checked_add(pages) {
            Some(sum) if sum <= MAX_PAGES => {
                self.charged.set(sum);
                Ok(())
            }
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Takes `pages` off again.
    pub fn discharge(&self, pages: u64) {
        self.charged.set(self.charged.get() - pages);
    }

    /// Whether `length` bytes at `address` may be read, and written if that is asked.
    pub fn allows(&self, address: u64, length: u64, write: bool) -> bool {
        match address.checked_add(length) {
            Some(end) if end <= USER_END => {
                let first = address & !(PAGE - 1);
                (first..end).step_by(PAGE as usize).all(|page| self.look_up(page, write).is_some())
            }
            _ => false,
        }
    }

    /// The frame at `page`, if it is the process's to read, and to write if that is asked.
    fn look_up(&self, page: u64, write: bool) -> Option<u64> {
        let mut table = self.root;
        for shift in [39, 30, 21, 12] {
            let index = (page >> shift) as usize & 511;
            // SAFETY: a table of this address space, in the direct map.
            let entry = unsafe { &(&*direct(table).cast::<PageTable>())[index] };
            let flags = entry.flags();
            let needed = PageTableFlags::PRESENT | PageTableFlags::USER_ACCESSIBLE;
            if !flags.contains(needed) || (write && !flags.contains(PageTableFlags::WRITABLE)) {
                return None;
            }
            table = entry.addr().as_u64();
        }
        Some(table)
    }

    /// Goes over `length` bytes at `address`, at most a page at a time. EFAULT, and nothing is done, if they are not all allowed.
    fn pieces(
        &self,
        address: u64,
        length: usize,
        write: bool,
        mut each: impl FnMut(*mut u8, usize, usize),
    ) -> Result<(), Errno> {
        if !self.allows(address, length as u64, write) {
            return Err(Errno::EFAULT);
        }
        let mut done = 0;
        while done < length {
            let at = address + done as u64;
            let offset = at % PAGE;
            let some = (length - done).min((PAGE - offset) as usize);
            let frame = self.look_up(at - offset, write).ok_or(Errno::EFAULT)?;
            each(direct(frame + offset), done, some);
            done += some;
        }
        Ok(())
    }

    /// Copies bytes out of it. EFAULT if they are not all readable.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        let to = into.as_mut_ptr();
        self.pieces(address, into.len(), false, |place, done, some| {
            // SAFETY: `some` bytes of a frame of the process, and of `into` behind the `done` that are filled. The frame may be
            // mapped for the process, but that is not running.
            unsafe { ptr::copy_nonoverlapping(place, to.add(done), some) };
        })
    }

    /// Appends `length` bytes of it to `to`. EFAULT if they are not all readable.
    pub fn append(&self, address: u64, length: usize, to: &mut Vec<u8>) -> Result<(), Errno> {
        let start = to.len();
        to.resize(start + length, 0);
        self.read(address, &mut to[start..])
    }

    /// Copies bytes into it. EFAULT, and nothing is written, if it may not write all of them.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.write_with(address, bytes, true)
    }

    /// Copies bytes into it, also where the process may only read: a program's own segments.
    pub fn fill(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.write_with(address, bytes, false)
    }

    fn write_with(&self, address: u64, bytes: &[u8], write: bool) -> Result<(), Errno> {
        let from = bytes.as_ptr();
        self.pieces(address, bytes.len(), write, |place, done, some| {
            // SAFETY: as in `read`, the other way.
            unsafe { ptr::copy_nonoverlapping(from.add(done), place, some) };
        })
    }

    /// Maps `pages` fresh pages at `address`, or where there is room if that is 0; returns where. EINVAL if `address` is not a
    /// page's in the lower half or something is there already; ENOMEM past the cap.
    pub fn map_fresh(&self, address: u64, pages: u64, rights: Rights) -> Result<u64, Errno> {
        let mut frames = Vec::new();
        memory::heap_has(pages.min(MAX_PAGES) as usize * 8)?;
        self.charge(pages)?;
        while (frames.len() as u64) < pages {
            match memory::allocate() {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    frames.into_iter().for_each(memory::free);
                    self.discharge(pages);
                    return Err(error);
                }
            }
        }
        let mapped = self.map_frames(address, &frames, rights);
        if mapped.is_err() {
            frames.into_iter().for_each(memory::free);
            self.discharge(pages);
        }
        mapped
    }

    /// Maps these frames, which are charged for already, in a row; otherwise as [`map_fresh`](AddressSpace::map_fresh).
    pub fn map_frames(&self, address: u64, frames: &[u64], rights: Rights) -> Result<u64, Errno> {
        let length = frames.len() as u64 * PAGE;
        if frames.is_empty() {
            return Err(Errno::EINVAL);
        }
        let start = if address == 0 { self.find_room(length)? } else { address };
        let end = start.checked_add(length).filter(|end| *end <= USER_END).ok_or(Errno::EINVAL)?;
        if !start.is_multiple_of(PAGE) || self.last_mapped(start, end).is_some() {
            return Err(Errno::EINVAL);
        }
        let free = memory::frames().1;
        let mapped = frames.iter().enumerate().try_for_each(|(number, frame)| {
            let page = start + number as u64 * PAGE;
            memory::map(self.root, page, *frame, rights.flags())
                .inspect_err(|_| self.unmap(start, number as u64))
        });
        // Tables stay until the process ends, and count as long. One mapping's may be more than the cap; then it is the last.
        self.charged.set(self.charged.get() + free - memory::frames().1);
        mapped.map(|()| start)
    }

    /// The last page from `start` to `end` where something is mapped.
    fn last_mapped(&self, start: u64, end: u64) -> Option<u64> {
        (start..end).step_by(PAGE as usize).filter(|page| self.look_up(*page, false).is_some()).last()
    }

    /// The first place with room for `length` bytes and a free page before and behind them.
    fn find_room(&self, length: u64) -> Result<u64, Errno> {
        let mut start = self.room.get();
        while let Some(page) = self.last_mapped(start - PAGE, start + length + PAGE) {
            start = page + 2 * PAGE;
        }
        // What is unmapped later makes room further down.
        self.room.set(start + length);
        Ok(start)
    }

    /// From here on there may be room.
    fn make_room(&self, address: u64) {
        if address >= ANYWHERE {
            self.room.set(self.room.get().min(address));
        }
    }

    /// Unmaps `pages` pages without freeing what is there.
    pub fn unmap(&self, address: u64, pages: u64) {
        self.make_room(address);
        for page in (address..address + pages * PAGE).step_by(PAGE as usize) {
            memory::unmap(self.root, page);
        }
    }

    /// Unmaps and frees `pages` pages, and takes them off the count.
    pub fn unmap_and_free(&self, address: u64, pages: u64) {
        self.make_room(address);
        for page in (address..address + pages * PAGE).step_by(PAGE as usize) {
            if let Some(frame) = memory::unmap(self.root, page) {
                memory::free(frame);
                self.discharge(1);
            }
        }
    }
}

impl AddressSpace {
    /// Frees every page that is mapped, and their tables: its process is at its end, and nobody uses it any more. Whoever has mapped
    /// frames that are somebody else's has unmapped them before.
    pub fn clear(&self) {
        assert!(memory::root() != self.root, "an address space ends while it is in use");
        // SAFETY: its own root, in the direct map.
        let table = unsafe { &mut *direct(self.root).cast::<PageTable>() };
        for entry in
            table.iter_mut().take(256).filter(|entry| entry.flags().contains(PageTableFlags::PRESENT))
        {
            free_tables(entry.addr().as_u64(), 3);
            entry.set_unused();
        }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.clear();
        memory::free(self.root);
    }
}

/// Frees what the table at `table` leads to, and itself. The depth is the levels of the tables.
fn free_tables(table: u64, level: u32) {
    for index in 0..512 {
        // SAFETY: a table that nobody else uses any more, in the direct map.
        let entry = unsafe { &(&*direct(table).cast::<PageTable>())[index] };
        if entry.flags().contains(PageTableFlags::PRESENT) {
            let below = entry.addr().as_u64();
            if level == 1 { memory::free(below) } else { free_tables(below, level - 1) }
        }
    }
    memory::free(table);
}
