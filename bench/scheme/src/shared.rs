//! Memory that two of the processes map, and words in it. The only unsafe code of this benchmark is here.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU32;

use ouzel_ring::{Geometry, Memory};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes between two words, so that no line holds both.
const APART: usize = 128;

/// A memory file, mapped as long as this lives.
pub struct Shared {
    file: OwnedFd,
    start: NonNull<u8>,
    length: usize,
}

impl Shared {
    /// New memory of zeros.
    pub fn new(length: usize) -> Result<Shared, Box<dyn Error>> {
        let file = memfd_create("scheme-bench", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, length as u64)?;
        Shared::map(file, length)
    }

    /// The memory of another process, by the path that it has told.
    pub fn open(path: &str) -> Result<Shared, Box<dyn Error>> {
        let file: File = OpenOptions::new().read(true).write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len())?;
        Shared::map(file.into(), length)
    }

    fn map(file: OwnedFd, length: usize) -> Result<Shared, Box<dyn Error>> {
        // SAFETY: the kernel chooses the place, so nothing is replaced.
        let start = unsafe {
            mmap(null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file.as_fd(), 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or("a mapping at 0")?;
        Ok(Shared { file, start, length })
    }

    /// Where another process finds it while this one lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// One of the words that lie apart.
    pub fn word(&self, number: usize) -> &AtomicU32 {
        assert!((number + 1) * APART <= self.length, "a word of that memory");
        // SAFETY: within the mapping, aligned, and everybody uses it atomically; it lives as long as `self`.
        unsafe { self.start.add(number * APART).cast().as_ref() }
    }

    /// The bytes that a ring of this geometry needs: the engine's part, and the submitter's behind it.
    pub fn size_of_ring(geometry: Geometry) -> usize {
        Shared::engine_part(geometry) + geometry.split_submitter_size()
    }

    fn engine_part(geometry: Geometry) -> usize {
        geometry.split_engine_size().next_multiple_of(4096)
    }

    /// A ring in it, in two parts as between a client and a service.
    ///
    /// # Safety
    ///
    /// The memory outlives every end that is made of the handle, and holds nothing else.
    pub unsafe fn ring(&self, geometry: Geometry) -> Result<Memory, Box<dyn Error>> {
        let engine = Shared::engine_part(geometry);
        if Shared::size_of_ring(geometry) > self.length {
            return Err("memory too small for the ring".into());
        }
        // SAFETY: both parts lie within the mapping; the rest is promised by the caller.
        Ok(unsafe {
            Memory::split(self.start, engine, self.start.add(engine), self.length - engine, geometry)
        }?)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; what refers to it is gone. An error leaves it mapped, which harms nobody.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}
