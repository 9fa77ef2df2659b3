//! Synchronous calls: the same operations one at a time, each waited for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, LockMode, MessageFlags, PollEvents, RemoveFlags, RenameFlags, ShutdownHow,
    StatFlags, SyncMode, Whence,
};

use crate::chain::ExitStatus;
use crate::chain::FileStat;
use crate::chain::SocketAddress;
use crate::chain::{Chain, Data, Directory, Message, Offset, OpenOptions, ReceivedMessage, Reg, Target};
use crate::chain::{Done, Kind};
use crate::error::Error;
use crate::ring::Ring;
use crate::{Buffer, FutexWord};

impl<M> Ring<M> {
    pub(crate) fn call<T: Kind>(
        &mut self,
        build: impl FnOnce(&mut Chain) -> Reg<T>,
    ) -> Result<T::Value, Error> {
        let (value, done, _) = self.call_with(build)?;
        self.spare = Some(done.into_chain());
        Ok(value)
    }

    fn call_with<T: Kind>(
        &mut self,
        build: impl FnOnce(&mut Chain) -> Reg<T>,
    ) -> Result<(T::Value, Done, Reg<T>), Error> {
        let mut chain = self.spare.take().unwrap_or_default();
        let reg = build(&mut chain);
        let done = self.run(chain)?;
        let value = done.get(reg)?;
        Ok((value, done, reg))
    }

    pub(crate) fn fill(&mut self, build: impl FnOnce(&mut Chain) -> Reg<usize>) -> Result<Buffer, Error> {
        let (_, mut done, reg) = self.call_with(build)?;
        let buffer = done.take(reg).unwrap_or_default();
        self.spare = Some(done.into_chain());
        Ok(buffer)
    }

    /// Opens `path`, relative to the working directory.
    pub fn open(&mut self, path: impl AsRef<Path>, options: OpenOptions) -> Result<Descriptor, Error> {
        self.call(|chain| chain.open(path, options))
    }

    /// Opens `path`, relative to `directory`.
    pub fn open_in(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        options: OpenOptions,
    ) -> Result<Descriptor, Error> {
        self.call(|chain| chain.open_in(directory, path, options))
    }

    /// Closes `file`.
    pub fn close(&mut self, file: Descriptor) -> Result<(), Error> {
        self.call(|chain| chain.close(file))
    }

    /// Reads into `buffer`, up to its capacity, and returns it: what was read is its filled part, empty at the end.
    pub fn read(
        &mut self,
        file: Descriptor,
        buffer: impl Into<Target>,
        offset: Offset,
    ) -> Result<Buffer, Error> {
        self.fill(|chain| chain.read(file, buffer, offset))
    }

    /// Writes `data` and returns how many bytes were written.
    pub fn write(
        &mut self,
        file: Descriptor,
        data: impl Into<Buffer>,
        offset: Offset,
    ) -> Result<usize, Error> {
        self.call(|chain| chain.write(file, Data::Own(data.into()), offset))
    }

    /// Waits until one of `events` is there and returns those that are.
    pub fn poll(&mut self, file: Descriptor, events: PollEvents) -> Result<PollEvents, Error> {
        self.call(|chain| chain.poll(file, events)).map(PollEvents::from_bits_retain)
    }

    /// Moves the position of `file` and returns the new one.
    pub fn seek(&mut self, file: Descriptor, offset: i64, whence: Whence) -> Result<u64, Error> {
        self.call(|chain| chain.seek(file, offset, whence))
    }

    /// Describes what `path` names, relative to `directory`.
    pub fn stat(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: StatFlags,
    ) -> Result<FileStat, Error> {
        self.call(|chain| chain.stat(directory, path, flags))
    }

    /// Describes `file`.
    pub fn stat_file(&mut self, file: Descriptor) -> Result<FileStat, Error> {
        self.call(|chain| chain.stat_file(file))
    }

    /// Makes what was written to `file` durable.
    pub fn sync(&mut self, file: Descriptor, mode: SyncMode) -> Result<(), Error> {
        self.call(|chain| chain.sync(file, mode))
    }

    /// Sets the length of `file`.
    pub fn truncate(&mut self, file: Descriptor, length: u64) -> Result<(), Error> {
        self.call(|chain| chain.truncate(file, length))
    }

    /// Reserves or releases storage of `file`.
    pub fn allocate(
        &mut self,
        file: Descriptor,
        offset: u64,
        length: u64,
        flags: AllocateFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.allocate(file, offset, length, flags))
    }

    /// Makes a directory.
    pub fn mkdir(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        mode: u32,
    ) -> Result<(), Error> {
        self.call(|chain| chain.mkdir(directory, path, mode))
    }

    /// Removes a file's name, or an empty directory.
    pub fn remove(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: RemoveFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.remove(directory, path, flags))
    }

    /// Renames `old`, relative to `from`, to `new`, relative to `to`.
    pub fn rename(
        &mut self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: RenameFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.rename(from, old, to, new, flags))
    }

    /// Gives the file `old`, relative to `from`, the second name `new`, relative to `to`.
    pub fn link(
        &mut self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: LinkFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.link(from, old, to, new, flags))
    }

    /// Makes `path`, relative to `directory`, a symbolic link that says `target`.
    pub fn symlink(
        &mut self,
        target: impl AsRef<Path>,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        self.call(|chain| chain.symlink(target, directory, path))
    }

    /// Reads the next entries of a directory into `buffer`: see [`Entries`](crate::Entries). Empty at the end.
    pub fn readdir(&mut self, directory: Descriptor, buffer: impl Into<Target>) -> Result<Buffer, Error> {
        self.fill(|chain| chain.readdir(directory, buffer))
    }

    /// Copies up to `length` bytes and returns how many; 0 at the end of `source`.
    pub fn copy(
        &mut self,
        source: Descriptor,
        from: Offset,
        target: Descriptor,
        to: Offset,
        length: u64,
    ) -> Result<usize, Error> {
        self.call(|chain| chain.copy(source, from, target, to, length))
    }

    /// Makes a pipe and returns the end to read from and the end to write to.
    pub fn pipe(&mut self) -> Result<(Descriptor, Descriptor), Error> {
        let mut chain = Chain::new();
        let (read, write) = chain.pipe();
        let second = chain.get_descriptor(write);
        let done = self.run(chain)?;
        Ok((done.get(read)?, done.get(second)?))
    }

    /// Makes a socket, with the numbers of `socket(2)`.
    pub fn socket(&mut self, domain: u32, kind: u32, protocol: u32) -> Result<Descriptor, Error> {
        self.call(|chain| chain.socket(domain, kind, protocol))
    }

    /// Gives `socket` an address.
    pub fn bind(&mut self, socket: Descriptor, address: &SocketAddress) -> Result<(), Error> {
        self.call(|chain| chain.bind(socket, address))
    }

    /// Lets `socket` take connections, `backlog` of them waiting.
    pub fn listen(&mut self, socket: Descriptor, backlog: u32) -> Result<(), Error> {
        self.call(|chain| chain.listen(socket, backlog))
    }

    /// Takes a connection.
    pub fn accept(&mut self, socket: Descriptor) -> Result<Descriptor, Error> {
        self.call(|chain| chain.accept(socket))
    }

    /// Connects `socket`.
    pub fn connect_socket(&mut self, socket: Descriptor, address: &SocketAddress) -> Result<(), Error> {
        self.call(|chain| chain.connect(socket, address))
    }

    /// Sends `data` and returns how many bytes were sent.
    pub fn send(
        &mut self,
        socket: Descriptor,
        data: impl Into<Buffer>,
        flags: MessageFlags,
    ) -> Result<usize, Error> {
        self.call(|chain| chain.send(socket, Data::Own(data.into()), flags))
    }

    /// Receives into `buffer`, up to its capacity, and returns it. Empty when the peer has stopped sending.
    pub fn recv(
        &mut self,
        socket: Descriptor,
        buffer: impl Into<Target>,
        flags: MessageFlags,
    ) -> Result<Buffer, Error> {
        self.fill(|chain| chain.recv(socket, buffer, flags))
    }

    /// Ends one or both directions of a connection.
    pub fn shutdown(&mut self, socket: Descriptor, how: ShutdownHow) -> Result<(), Error> {
        self.call(|chain| chain.shutdown(socket, how))
    }

    /// Takes or gives back a lock on `length` bytes (0: to the end) of `file` from `offset` on.
    pub fn lock(&mut self, file: Descriptor, offset: u64, length: u64, mode: LockMode) -> Result<(), Error> {
        self.call(|chain| chain.lock(file, offset, length, mode))
    }

    /// Reads an option of `socket`, with the numbers of `getsockopt(2)`, into `buffer` and returns it.
    pub fn getsockopt(
        &mut self,
        socket: Descriptor,
        level: u32,
        name: u32,
        buffer: impl Into<Target>,
    ) -> Result<Buffer, Error> {
        self.fill(|chain| chain.getsockopt(socket, level, name, buffer))
    }

    /// Sets an option of `socket`, with the numbers of `setsockopt(2)`.
    pub fn setsockopt(
        &mut self,
        socket: Descriptor,
        level: u32,
        name: u32,
        value: impl Into<Buffer>,
    ) -> Result<(), Error> {
        self.call(|chain| chain.setsockopt(socket, level, name, Data::Own(value.into())))
    }

    /// The address of `socket` itself.
    pub fn sockname(&mut self, socket: Descriptor) -> Result<SocketAddress, Error> {
        self.call(|chain| chain.sockname(socket))
    }

    /// The address that `socket` is connected to.
    pub fn peername(&mut self, socket: Descriptor) -> Result<SocketAddress, Error> {
        self.call(|chain| chain.peername(socket))
    }

    /// Sends a message and returns how many of its bytes were sent.
    pub fn sendmsg(
        &mut self,
        socket: Descriptor,
        message: Message,
        flags: MessageFlags,
    ) -> Result<usize, Error> {
        self.call(|chain| chain.sendmsg(socket, message, flags))
    }

    /// Receives a message into `buffer`, up to its capacity, with at most `descriptors` descriptors, and returns both.
    pub fn recvmsg(
        &mut self,
        socket: Descriptor,
        buffer: impl Into<Buffer>,
        descriptors: usize,
        flags: MessageFlags,
    ) -> Result<(ReceivedMessage, Buffer), Error> {
        let buffer = buffer.into();
        let (message, mut done, reg) =
            self.call_with(|chain| chain.recvmsg(socket, [buffer], descriptors, flags))?;
        let buffer = done.take_piece(reg, 0).unwrap_or_default();
        self.spare = Some(done.into_chain());
        Ok((message, buffer))
    }

    /// Moves up to `length` bytes between a pipe and something else and returns how many that were.
    pub fn splice(
        &mut self,
        source: Descriptor,
        from: Offset,
        target: Descriptor,
        to: Offset,
        length: u64,
    ) -> Result<usize, Error> {
        self.call(|chain| chain.splice(source, from, target, to, length))
    }

    /// Waits for a child that was [adopted](Ring::adopt_process), and says how it ended.
    pub fn wait_process(&mut self, process: Descriptor) -> Result<ExitStatus, Error> {
        self.call(|chain| chain.wait_process(process))
    }

    /// Waits for the child with this number, and says how it ended.
    pub fn wait_child(&mut self, number: u32) -> Result<ExitStatus, Error> {
        self.call(|chain| chain.wait_child(number))
    }

    /// Waits on `word` while it holds `expected`, until somebody wakes who waits there.
    pub fn futex_wait(&mut self, word: &Arc<FutexWord>, expected: u32) -> Result<(), Error> {
        self.call(|chain| chain.futex_wait(word, expected))
    }

    /// Wakes up to `count` of those who wait on `word` and returns how many that were.
    pub fn futex_wake(&mut self, word: &Arc<FutexWord>, count: u32) -> Result<u64, Error> {
        self.call(|chain| chain.futex_wake(word, count))
    }

    /// Adds `amount` to the count of a [`Bell`](crate::Bell).
    pub fn wake(&mut self, bell: Descriptor, amount: u64) -> Result<(), Error> {
        self.call(|chain| chain.wake(bell, amount))
    }

    /// Waits this long.
    pub fn sleep(&mut self, time: Duration) -> Result<(), Error> {
        self.call(|chain| chain.sleep(time))
    }
}
