//! The operations one at a time, each as a future: [`Ring`](crate::Ring)'s synchronous calls under the same names.

use std::path::Path;
use std::sync::Arc;

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, LockMode, MessageFlags, PollEvents, RemoveFlags, RenameFlags, ShutdownHow,
    StatFlags, SyncMode, Whence,
};

use super::handle::Handle;
use super::operation::{BufferError, Finished, Operation, pipe_ends};
use crate::chain::Kind;
use crate::chain::SocketAddress;
use crate::chain::{
    Address, Chain, Data, Directory, Exit, Fd, Message, Offset, OpenOptions, Received, ReceivedMessage, Reg,
    Stat, Unit,
};
use crate::error::Error;
use crate::{Buffer, FutexWord};

/// An operation that results in a value.
pub type Value<T> = Operation<T, Result<<T as Kind>::Value, Error>>;

/// An operation that fills a buffer and gives it back.
pub type Filling = Operation<usize, Result<Buffer, BufferError>>;

/// An operation that takes what is in a buffer, and gives it back with how much it took.
pub type Sending = Operation<usize, Result<(usize, Buffer), BufferError>>;

impl Handle {
    pub(super) fn operation<T: Kind, O>(
        &self,
        build: impl FnOnce(&mut Chain) -> Reg<T>,
        finish: fn(Finished<T>) -> O,
    ) -> Operation<T, O> {
        let mut chain = self.core().chain();
        let reg = build(&mut chain);
        Operation::new(self.run(chain), reg, finish)
    }

    pub(super) fn value<T: Kind>(&self, build: impl FnOnce(&mut Chain) -> Reg<T>) -> Value<T> {
        self.operation(build, |finished| finished.value())
    }

    pub(super) fn filling(&self, build: impl FnOnce(&mut Chain) -> Reg<usize>) -> Filling {
        self.operation(build, |finished| finished.buffer())
    }

    pub(super) fn sending(&self, build: impl FnOnce(&mut Chain) -> Reg<usize>) -> Sending {
        self.operation(build, |finished| finished.both())
    }

    /// Opens `path`, relative to the working directory.
    pub fn open(&self, path: impl AsRef<Path>, options: OpenOptions) -> Value<Fd> {
        self.value(|chain| chain.open(path, options))
    }

    /// Opens `path`, relative to `directory`.
    pub fn open_in(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        options: OpenOptions,
    ) -> Value<Fd> {
        self.value(|chain| chain.open_in(directory, path, options))
    }

    /// Closes `file`.
    pub fn close(&self, file: Descriptor) -> Value<Unit> {
        self.value(|chain| chain.close(file))
    }

    /// Reads into `buffer`, up to its capacity, and returns it, with an error, too: what was read is its filled part, empty
    /// at the end of the file.
    pub fn read(&self, file: Descriptor, buffer: impl Into<Buffer>, offset: Offset) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.read(file, buffer, offset))
    }

    /// Writes `data`, and returns how many bytes were written and the buffer, which comes back with an error, too.
    pub fn write(&self, file: Descriptor, data: impl Into<Buffer>, offset: Offset) -> Sending {
        let data = data.into();
        self.sending(|chain| chain.write(file, Data::Own(data), offset))
    }

    /// Waits until one of `events` is there and returns those that are.
    pub fn poll(&self, file: Descriptor, events: PollEvents) -> Operation<u64, Result<PollEvents, Error>> {
        self.operation(
            |chain| chain.poll(file, events),
            |finished| finished.value().map(PollEvents::from_bits_retain),
        )
    }

    /// Moves the position of `file` and returns the new one.
    pub fn seek(&self, file: Descriptor, offset: i64, whence: Whence) -> Value<u64> {
        self.value(|chain| chain.seek(file, offset, whence))
    }

    /// Describes what `path` names, relative to `directory`.
    pub fn stat(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: StatFlags,
    ) -> Value<Stat> {
        self.value(|chain| chain.stat(directory, path, flags))
    }

    /// Describes `file`.
    pub fn stat_file(&self, file: Descriptor) -> Value<Stat> {
        self.value(|chain| chain.stat_file(file))
    }

    /// Makes what was written to `file` durable.
    pub fn sync(&self, file: Descriptor, mode: SyncMode) -> Value<Unit> {
        self.value(|chain| chain.sync(file, mode))
    }

    /// Sets the length of `file`.
    pub fn truncate(&self, file: Descriptor, length: u64) -> Value<Unit> {
        self.value(|chain| chain.truncate(file, length))
    }

    /// Reserves or releases storage of `file`.
    pub fn allocate(&self, file: Descriptor, offset: u64, length: u64, flags: AllocateFlags) -> Value<Unit> {
        self.value(|chain| chain.allocate(file, offset, length, flags))
    }

    /// Makes a directory.
    pub fn mkdir(&self, directory: impl Into<Directory>, path: impl AsRef<Path>, mode: u32) -> Value<Unit> {
        self.value(|chain| chain.mkdir(directory, path, mode))
    }

    /// Removes a file's name, or an empty directory.
    pub fn remove(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: RemoveFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.remove(directory, path, flags))
    }

    /// Renames `old`, relative to `from`, to `new`, relative to `to`.
    pub fn rename(
        &self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: RenameFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.rename(from, old, to, new, flags))
    }

    /// Gives the file `old`, relative to `from`, the second name `new`, relative to `to`.
    pub fn link(
        &self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: LinkFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.link(from, old, to, new, flags))
    }

    /// Makes `path`, relative to `directory`, a symbolic link that says `target`.
    pub fn symlink(
        &self,
        target: impl AsRef<Path>,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Value<Unit> {
        self.value(|chain| chain.symlink(target, directory, path))
    }

    /// Reads the next entries of a directory into `buffer`: see [`Entries`](crate::Entries). Empty at the end.
    pub fn readdir(&self, directory: Descriptor, buffer: impl Into<Buffer>) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.readdir(directory, buffer))
    }

    /// Copies up to `length` bytes and returns how many; 0 at the end of `source`.
    pub fn copy(
        &self,
        source: Descriptor,
        from: Offset,
        target: Descriptor,
        to: Offset,
        length: u64,
    ) -> Value<usize> {
        self.value(|chain| chain.copy(source, from, target, to, length))
    }

    /// Makes a pipe and returns the end to read from and the end to write to.
    pub fn pipe(&self) -> Operation<Fd, Result<(Descriptor, Descriptor), Error>> {
        self.operation(
            |chain| {
                let (read, write) = chain.pipe();
                // Also after a cancel: it is what tells of the end that is to be closed then.
                chain.finally().get_descriptor(write);
                read
            },
            pipe_ends,
        )
    }

    /// Makes a socket, with the numbers of `socket(2)`.
    pub fn socket(&self, domain: u32, kind: u32, protocol: u32) -> Value<Fd> {
        self.value(|chain| chain.socket(domain, kind, protocol))
    }

    /// Gives `socket` an address.
    pub fn bind(&self, socket: Descriptor, address: &SocketAddress) -> Value<Unit> {
        self.value(|chain| chain.bind(socket, address))
    }

    /// Lets `socket` take connections, `backlog` of them waiting.
    pub fn listen(&self, socket: Descriptor, backlog: u32) -> Value<Unit> {
        self.value(|chain| chain.listen(socket, backlog))
    }

    /// Takes a connection.
    pub fn accept(&self, socket: Descriptor) -> Value<Fd> {
        self.value(|chain| chain.accept(socket))
    }

    /// Connects `socket`.
    pub fn connect(&self, socket: Descriptor, address: &SocketAddress) -> Value<Unit> {
        self.value(|chain| chain.connect(socket, address))
    }

    /// Sends `data`, and returns how many bytes were sent and the buffer, which comes back with an error, too.
    pub fn send(&self, socket: Descriptor, data: impl Into<Buffer>, flags: MessageFlags) -> Sending {
        let data = data.into();
        self.sending(|chain| chain.send(socket, Data::Own(data), flags))
    }

    /// Receives into `buffer`, up to its capacity, and returns it. Empty when the peer has stopped sending.
    pub fn recv(&self, socket: Descriptor, buffer: impl Into<Buffer>, flags: MessageFlags) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.recv(socket, buffer, flags))
    }

    /// Ends one or both directions of a connection.
    pub fn shutdown(&self, socket: Descriptor, how: ShutdownHow) -> Value<Unit> {
        self.value(|chain| chain.shutdown(socket, how))
    }

    /// Takes or gives back a lock on `length` bytes (0: to the end) of `file` from `offset` on.
    pub fn lock(&self, file: Descriptor, offset: u64, length: u64, mode: LockMode) -> Value<Unit> {
        self.value(|chain| chain.lock(file, offset, length, mode))
    }

    /// Reads an option of `socket`, with the numbers of `getsockopt(2)`, into `buffer` and returns it.
    pub fn getsockopt(
        &self,
        socket: Descriptor,
        level: u32,
        name: u32,
        buffer: impl Into<Buffer>,
    ) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.getsockopt(socket, level, name, buffer))
    }

    /// Sets an option of `socket`, with the numbers of `setsockopt(2)`.
    pub fn setsockopt(
        &self,
        socket: Descriptor,
        level: u32,
        name: u32,
        value: impl Into<Buffer>,
    ) -> Value<Unit> {
        let value = value.into();
        self.value(|chain| chain.setsockopt(socket, level, name, Data::Own(value)))
    }

    /// The address of `socket` itself.
    pub fn sockname(&self, socket: Descriptor) -> Value<Address> {
        self.value(|chain| chain.sockname(socket))
    }

    /// The address that `socket` is connected to.
    pub fn peername(&self, socket: Descriptor) -> Value<Address> {
        self.value(|chain| chain.peername(socket))
    }

    /// Sends a message and returns how many of its bytes were sent.
    pub fn sendmsg(&self, socket: Descriptor, message: Message, flags: MessageFlags) -> Value<usize> {
        self.value(|chain| chain.sendmsg(socket, message, flags))
    }

    /// Receives a message into `buffer`, up to its capacity, with at most `descriptors` descriptors, and returns both.
    pub fn recvmsg(
        &self,
        socket: Descriptor,
        buffer: impl Into<Buffer>,
        descriptors: usize,
        flags: MessageFlags,
    ) -> Operation<Received, Result<(ReceivedMessage, Buffer), BufferError>> {
        let buffer = buffer.into();
        self.operation(
            |chain| chain.recvmsg(socket, [buffer], descriptors, flags),
            |finished| {
                let taken = finished
                    .with(|done, reg| Ok((done.get(reg)?, done.take_piece(reg, 0).unwrap_or_default())));
                taken.map_err(|(error, buffer)| BufferError { error, buffer })
            },
        )
    }

    /// Moves up to `length` bytes between a pipe and something else and returns how many that were.
    pub fn splice(
        &self,
        source: Descriptor,
        from: Offset,
        target: Descriptor,
        to: Offset,
        length: u64,
    ) -> Value<usize> {
        self.value(|chain| chain.splice(source, from, target, to, length))
    }

    /// Waits for a child that was [adopted](crate::Ring::adopt_process), and says how it ended.
    pub fn wait_process(&self, process: Descriptor) -> Value<Exit> {
        self.value(|chain| chain.wait_process(process))
    }

    /// Waits for the child with this number, and says how it ended.
    pub fn wait_child(&self, number: u32) -> Value<Exit> {
        self.value(|chain| chain.wait_child(number))
    }

    /// Waits on `word` while it holds `expected`, until somebody wakes who waits there.
    pub fn futex_wait(&self, word: &Arc<FutexWord>, expected: u32) -> Value<Unit> {
        self.value(|chain| chain.futex_wait(word, expected))
    }

    /// Wakes up to `count` of those who wait on `word` and returns how many that were.
    pub fn futex_wake(&self, word: &Arc<FutexWord>, count: u32) -> Value<u64> {
        self.value(|chain| chain.futex_wake(word, count))
    }

    /// Adds `amount` to the count of a [`Bell`](crate::Bell).
    pub fn wake(&self, bell: Descriptor, amount: u64) -> Value<Unit> {
        self.value(|chain| chain.wake(bell, amount))
    }
}
