//! The synchronous calls: each is a chain that is run at once, in one system call.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use ouzel_chain::{Buffer, Chain, Directory, Distance, ExitStatus, FileStat, Kind, Offset, OpenOptions, Reg};
use ouzel_kernel_abi::Statistics;
use ouzel_ring::modifiers::{PollEvents, StatFlags, SyncMode, Whence};
use ouzel_ring::{Descriptor, Errno};

use crate::{ChainRing, Done, Error};

/// The numbers that `bytes` hold, as the kernel's objects tell them; `None` if they are not so many.
pub(crate) fn words<const COUNT: usize>(bytes: &[u8]) -> Option<[u64; COUNT]> {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: &[[u8; 8]; COUNT] = words.try_into().ok().filter(|_| rest.is_empty())?;
    Some(words.map(u64::from_le_bytes))
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; what is not UTF-8 is replaced.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// The kind of a directory among the entries of one: `DT_DIR` of `readdir(3)`.
const DIRECTORY: u8 = 4;

/// Each of these is one entry, but for those that say more, and one system call if nothing else is in flight.
///
/// Errors: [`Error::Chain`] with what the operation failed with; [`Error::Call`] if the ring cannot go on.
impl ChainRing {
    /// Runs one operation.
    fn one<T: Kind>(
        &mut self,
        operation: impl FnOnce(&mut Chain) -> Reg<T>,
    ) -> Result<(T::Value, Reg<T>, Done), Error> {
        let mut chain = Chain::new();
        let reg = operation(&mut chain);
        let done = self.run(chain)?;
        Ok((done.get(reg)?, reg, done))
    }

    /// Opens what `path` leads to.
    pub fn open(&mut self, path: &str, options: OpenOptions) -> Result<Descriptor, Error> {
        self.one(|chain| chain.open(path, options)).map(|(file, ..)| file)
    }

    /// Closes a descriptor.
    pub fn close(&mut self, file: Descriptor) -> Result<(), Error> {
        self.one(|chain| chain.close(file)).map(drop)
    }

    /// Reads up to `length` bytes. None are the end.
    pub fn read(&mut self, file: Descriptor, length: usize, offset: Offset) -> Result<Vec<u8>, Error> {
        let (_, read, mut done) =
            self.one(|chain| chain.read(file, Buffer::with_capacity(length), offset))?;
        Ok(done.take(read).unwrap_or_default().into_vec())
    }

    /// Writes; returns how many bytes were taken.
    pub fn write(
        &mut self,
        file: Descriptor,
        data: impl Into<Buffer>,
        offset: Offset,
    ) -> Result<usize, Error> {
        let data = data.into();
        self.one(|chain| chain.write(file, data, offset)).map(|(written, ..)| written)
    }

    /// Moves the position; returns the new one.
    pub fn seek(
        &mut self,
        file: Descriptor,
        distance: impl Into<Distance>,
        whence: Whence,
    ) -> Result<u64, Error> {
        self.one(|chain| chain.seek(file, distance, whence)).map(|(position, ..)| position)
    }

    /// Describes what `path` leads to.
    pub fn stat(&mut self, path: &str) -> Result<FileStat, Error> {
        self.one(|chain| chain.stat(Directory::Working, path, StatFlags::empty())).map(|(stat, ..)| stat)
    }

    /// Describes what is open.
    pub fn stat_file(&mut self, file: Descriptor) -> Result<FileStat, Error> {
        self.one(|chain| chain.stat_file(file)).map(|(stat, ..)| stat)
    }

    /// Sees to it that what was written is on the device.
    pub fn sync(&mut self, file: Descriptor) -> Result<(), Error> {
        self.one(|chain| chain.sync(file, SyncMode::Full)).map(drop)
    }

    /// Reads as many of a directory's next entries as fit into `room` bytes. None are the end.
    pub fn read_directory(&mut self, directory: Descriptor, room: usize) -> Result<Vec<Listed>, Error> {
        let (_, records, done) = self.one(|chain| chain.readdir(directory, Buffer::with_capacity(room)))?;
        let listed = done.entries(records)?.map(|entry| Listed {
            name: String::from_utf8_lossy(entry.name).to_string(),
            is_directory: entry.kind == DIRECTORY,
        });
        Ok(listed.collect())
    }

    /// Makes a pipe: the end to read from, and the one to write to. Two entries, for the second descriptor has to be asked for.
    pub fn pipe(&mut self) -> Result<(Descriptor, Descriptor), Error> {
        let mut chain = Chain::new();
        let (reader, writer) = chain.pipe();
        let writer = chain.get_descriptor(writer);
        let done = self.run(chain)?;
        Ok((done.get(reader)?, done.get(writer)?))
    }

    /// Waits until one of `events` is so; returns those that are.
    pub fn poll(&mut self, file: Descriptor, events: PollEvents) -> Result<PollEvents, Error> {
        self.one(|chain| chain.poll(file, events)).map(|(ready, ..)| PollEvents::from_bits_truncate(ready))
    }

    /// Sleeps.
    pub fn sleep(&mut self, time: Duration) -> Result<(), Error> {
        self.one(|chain| chain.sleep(time)).map(drop)
    }

    /// Starts a program: `line` is its path and its arguments, with spaces between them.
    pub fn spawn(&mut self, line: &str) -> Result<Descriptor, Error> {
        let mut path = String::from("spawn:");
        path.push_str(line);
        self.open(&path, OpenOptions::read())
    }

    /// Waits for the end of a process.
    pub fn wait_for(&mut self, process: Descriptor) -> Result<ExitStatus, Error> {
        self.one(|chain| chain.wait_process(process)).map(|(status, ..)| status)
    }

    /// Ends a process.
    pub fn kill(&mut self, process: Descriptor) -> Result<(), Error> {
        self.write(process, "kill", Offset::CURRENT).map(drop)
    }

    /// What the kernel has in use: three entries, in one system call.
    pub fn statistics(&mut self) -> Result<Statistics, Error> {
        let mut chain = Chain::new();
        let kernel = chain.open("kernel:", OpenOptions::read());
        let told = chain.read(kernel, Buffer::with_capacity(size_of::<Statistics>()), Offset::START);
        chain.finally().close(kernel);
        let mut done = self.run(chain)?;
        done.get(told)?;
        let bytes = done.take(told).unwrap_or_default();
        let words = words(bytes.as_slice()).ok_or(Error::Call { call: "statistics", errno: Errno::EIO })?;
        let [
            frames,
            frames_free,
            heap_used,
            processes,
            stack_used,
            stack_size,
            calls,
            preemptions,
            blocks,
            packets,
        ] = words;
        Ok(Statistics {
            frames,
            frames_free,
            heap_used,
            processes,
            stack_used,
            stack_size,
            calls,
            preemptions,
            blocks,
            packets,
        })
    }
}
