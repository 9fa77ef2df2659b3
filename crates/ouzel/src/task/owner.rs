//! Owners: executors on threads of their own, for programs that live on other threads.
//!
//! One owner per core is the usual arrangement. An owner's thread sleeps in its ring, and is woken by completions and by
//! its bell.

use std::fmt;

use ouzel_ring::Errno;

use super::executor::Executor;
use super::remote::Remote;
use super::reply::{Answer, reply};
use crate::error::Error;
use crate::sync::{mpsc, thread};

/// An executor on a thread of its own, which is used through its [`Remote`].
///
/// ```
/// use ouzel::Buffer;
/// use ouzel::task::{Executor, Owner};
/// use ouzel::{Error, Offset, OpenOptions};
///
/// let owner = Owner::start(Executor::new)?;
/// let text = owner.remote().spawn(|handle| async move {
///     let file = handle.open("Cargo.toml", OpenOptions::read()).await?;
///     let text = handle.read(file, Buffer::with_capacity(65536), Offset::START).await;
///     handle.close(file).await?;
///     Ok::<_, Error>(text?)
/// });
/// assert!(!text.wait().unwrap()?.is_empty());
/// # Ok::<(), Error>(())
/// ```
///
/// Dropping it ends the executor as dropping that does, and waits for its thread. So it must not be dropped there.
pub struct Owner {
    remote: Remote,
    /// What it waits for: its being dropped ends the executor.
    end: Option<Answer<()>>,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
}

impl Owner {
    /// Starts a thread with the executor that `make` makes there.
    ///
    /// Errors: those of `make`; [`Error::Refused`] if there can be no more threads.
    pub fn start(make: impl FnOnce() -> Result<Executor, Error> + Send + 'static) -> Result<Owner, Error> {
        let (end, until_then) = reply();
        let (send, made) = mpsc::channel();
        let run = move || {
            let mut executor = make()?;
            // Who does not wait for it has gone, and so has the end.
            drop(send.send(executor.remote()));
            executor.block_on(until_then).map(drop)
        };
        let thread = thread::Builder::new().name("ouzel-owner".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Error::Refused {
            call: "start of a thread",
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        })?;
        match made.recv() {
            Ok(remote) => Ok(Owner { remote, end: Some(end), thread: Some(thread) }),
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Err(Error::Refused { call: "start of an owner", errno: Errno::ECANCELED }),
                Err(panic) => std::panic::resume_unwind(panic),
            },
        }
    }

    /// The way to it.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Ends it, and says how it fared: the error of its ring if that could not go on.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end_thread()
    }

    fn end_thread(&mut self) -> Result<(), Error> {
        self.end = None;
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => {
                Err(Error::Refused { call: "stop of an owner that panicked", errno: Errno::ECANCELED })
            }
            None => Ok(()),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = self.end_thread() {
            tracing::warn!(%error, "an owner had not run to its end");
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Owner").field("remote", &self.remote).finish_non_exhaustive()
    }
}
