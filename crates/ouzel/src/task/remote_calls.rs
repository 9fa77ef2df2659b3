//! The commonest operations one at a time from any thread, under the names that they have elsewhere.
//!
//! They are chains of one step, built into the memory of earlier ones. What else there is goes as a chain, or as a task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::MessageFlags;

use super::operation::{BufferError, Finish, Finished, Home};
use super::parked::wait_for;
use super::remote::{Remote, RemoteRun};
use crate::Buffer;
use crate::chain::Kind;
use crate::chain::{Chain, Data, Fd, Offset, Reg, Unit};
use crate::error::Error;

/// An operation on another thread's ring that results in a value.
pub type RemoteValue<T> = RemoteOperation<T, Result<<T as Kind>::Value, Error>>;

/// An operation on another thread's ring that fills a buffer and gives it back.
pub type RemoteFilling = RemoteOperation<usize, Result<Buffer, BufferError>>;

/// An operation on another thread's ring that takes what is in a buffer, and gives it back with how much it took.
pub type RemoteSending = RemoteOperation<usize, Result<(usize, Buffer), BufferError>>;

impl Remote {
    fn operation<T: Kind, O>(
        &self,
        build: impl FnOnce(&mut Chain) -> Reg<T>,
        finish: Finish<T, O>,
    ) -> RemoteOperation<T, O> {
        let (run, reg) = self.run_built(build);
        RemoteOperation { run, reg, finish }
    }

    /// Reads into `buffer`, up to its capacity, and returns it, with an error, too: what was read is its filled part, empty
    /// at the end of the file.
    ///
    /// ```
    /// use ouzel::task::{Executor, Owner};
    /// use ouzel::{Buffer, Error, Offset, OpenOptions};
    ///
    /// let owner = Owner::start(Executor::new)?;
    /// let remote = owner.remote();
    /// let file = remote.spawn(|handle| async move { handle.open("Cargo.toml", OpenOptions::read()).await });
    /// let file = file.wait().unwrap()?;
    /// let text = remote.read(file, Buffer::with_capacity(65536), Offset::START).wait()?;
    /// assert!(text.starts_with(b"[package]"));
    /// remote.close(file).wait()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn read(&self, file: Descriptor, buffer: impl Into<Buffer>, offset: Offset) -> RemoteFilling {
        let buffer = buffer.into();
        self.operation(|chain| chain.read(file, buffer, offset), |finished| finished.buffer())
    }

    /// Writes `data`, and returns how many bytes were written and the buffer, which comes back with an error, too.
    pub fn write(&self, file: Descriptor, data: impl Into<Buffer>, offset: Offset) -> RemoteSending {
        let data = data.into();
        self.operation(|chain| chain.write(file, Data::Own(data), offset), |finished| finished.both())
    }

    /// Receives into `buffer`, up to its capacity, and returns it. Empty when the peer has stopped sending.
    pub fn recv(&self, socket: Descriptor, buffer: impl Into<Buffer>, flags: MessageFlags) -> RemoteFilling {
        let buffer = buffer.into();
        self.operation(|chain| chain.recv(socket, buffer, flags), |finished| finished.buffer())
    }

    /// Sends `data`, and returns how many bytes were sent and the buffer, which comes back with an error, too.
    pub fn send(&self, socket: Descriptor, data: impl Into<Buffer>, flags: MessageFlags) -> RemoteSending {
        let data = data.into();
        self.operation(|chain| chain.send(socket, Data::Own(data), flags), |finished| finished.both())
    }

    /// Takes a connection.
    pub fn accept(&self, socket: Descriptor) -> RemoteValue<Fd> {
        self.operation(|chain| chain.accept(socket), |finished| finished.value())
    }

    /// Closes `file`.
    pub fn close(&self, file: Descriptor) -> RemoteValue<Unit> {
        self.operation(|chain| chain.close(file), |finished| finished.value())
    }
}

/// An operation that runs on another thread's ring. It is sent at once, and is cancelled when this is dropped.
#[must_use = "dropping it cancels the operation"]
pub struct RemoteOperation<T, O> {
    run: RemoteRun,
    reg: Reg<T>,
    finish: Finish<T, O>,
}

impl<T, O> RemoteOperation<T, O> {
    /// Waits on this thread. It must not be the executor's own, which could not go on then.
    pub fn wait(self) -> O {
        wait_for(self)
    }
}

impl<T, O> Future for RemoteOperation<T, O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        let ending = ready!(self.run.poll_ending(context));
        let reg = self.reg;
        let output = (self.finish)(Finished::new(ending, reg, Home::Far(self.run.spare())));
        self.run.put_back();
        Poll::Ready(output)
    }
}

impl<T, O> fmt::Debug for RemoteOperation<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RemoteOperation").field("run", &self.run).finish_non_exhaustive()
    }
}
