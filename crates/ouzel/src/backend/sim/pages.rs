//! The bytes of one simulated file: a sparse map of pages and a length.
//!
//! Pages that were never written take no room and read as zeros, as on a real file system. The caller says how many
//! pages may be added; nothing here knows of other files.

use std::collections::BTreeMap;

/// Bytes of a page, which is also the unit in which storage is counted.
pub(super) const PAGE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    size: u64,
}

impl Pages {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages take up storage.
    pub(super) fn count(&self) -> u64 {
        self.pages.len() as u64
    }

    /// At most `count` bytes from `offset`; fewer at the end.
    pub(super) fn read(&self, offset: u64, count: u64) -> Vec<u8> {
        let count = count.min(self.size.saturating_sub(offset));
        let mut bytes = Vec::with_capacity(count as usize);
        let mut at = offset;
        while (bytes.len() as u64) < count {
            let inside = (at % PAGE) as usize;
            let step = (PAGE - at % PAGE).min(count - bytes.len() as u64) as usize;
            match self.pages.get(&(at / PAGE)) {
                Some(page) => bytes.extend_from_slice(&page[inside..inside + step]),
                None => bytes.resize(bytes.len() + step, 0),
            }
            at += step as u64;
        }
        bytes
    }

    /// Writes at `offset` until `free` new pages are used up; says how many bytes were written.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], mut free: u64) -> u64 {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let step = (PAGE as usize - inside).min(data.len() - done);
            if !self.pages.contains_key(&(at / PAGE)) {
                if free == 0 {
                    break;
                }
                free -= 1;
            }
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[inside..inside + step].copy_from_slice(&data[done..done + step]);
            done += step;
        }
        self.size = self.size.max(offset + done as u64);
        done as u64
    }

    /// Sets the length; what is cut off is gone, what is added reads as zeros.
    pub(super) fn resize(&mut self, size: u64) {
        if size < self.size {
            self.pages.split_off(&size.div_ceil(PAGE));
            if let Some(page) = self.pages.get_mut(&(size / PAGE)) {
                page[(size % PAGE) as usize..].fill(0);
            }
        }
        self.size = size;
    }

    /// How many pages of a range have no storage yet.
    pub(super) fn missing(&self, offset: u64, length: u64) -> u64 {
        let (first, last) = (offset / PAGE, (offset + length).div_ceil(PAGE));
        (last - first) - self.pages.range(first..last).count() as u64
    }

    /// Gives every page of a range storage.
    pub(super) fn reserve(&mut self, offset: u64, length: u64) {
        for number in offset / PAGE..(offset + length).div_ceil(PAGE) {
            self.pages.entry(number).or_insert_with(|| Box::new([0; PAGE as usize]));
        }
    }

    /// Turns a range into zeros and takes whole pages' storage back.
    pub(super) fn punch(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let (first, last) = (offset / PAGE, end.div_ceil(PAGE));
        let numbers: Vec<u64> = self.pages.range(first..last).map(|(number, _)| *number).collect();
        for number in numbers {
            let (start, stop) = (number * PAGE, number * PAGE + PAGE);
            if offset <= start && stop <= end {
                self.pages.remove(&number);
            } else if let Some(page) = self.pages.get_mut(&number) {
                let from = offset.max(start) - start;
                let to = end.min(stop) - start;
                page[from as usize..to as usize].fill(0);
            }
        }
    }
}
