//! Single operations as futures: a chain of one step, and what of its end the caller wants.
//!
//! They allocate nothing of their own: chains are built into the memory of earlier ones.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ouzel_chain::ring::not_run;
use ouzel_ring::Errno;

use super::core::Core;
use super::operations::Ending;
use super::run::Run;
use crate::chain::Reg;
use crate::chain::{Done, Kind};
use crate::error::Error;
use crate::{Buffer, Call, Called, Chain};

/// An operation that failed, and the buffer that it was given.
///
/// It turns into an [`Error`] by itself, for those who do not want the buffer back.
#[derive(Debug)]
pub struct BufferError {
    /// Why.
    pub error: Error,
    /// The buffer. What the operation has put into it before it failed is its filled part. It is an empty one if the
    /// executor was dropped while the operation ran.
    pub buffer: Buffer,
}

impl fmt::Display for BufferError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for BufferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<BufferError> for Error {
    fn from(failed: BufferError) -> Error {
        failed.error
    }
}

/// What an operation's output is made from: its end, the register of its step, and where what is left of a chain goes.
pub(super) type Finish<T, O> = fn(Finished<T>) -> O;

/// An operation that is over.
pub(super) struct Finished<'a, T> {
    ending: Ending,
    reg: Reg<T>,
    home: Home<'a>,
}

/// Where the memory of a chain goes that is over.
pub(super) enum Home<'a> {
    /// To the executor.
    Here(&'a Core),
    /// To whom has sent it.
    Far(&'a mut Option<Chain>),
}

impl Home<'_> {
    #[inline]
    fn keep(self, done: Done) {
        match self {
            Home::Here(core) => core.recycle(done),
            Home::Far(spare) => *spare = Some(done.into_chain()),
        }
    }
}

impl<'a, T> Finished<'a, T> {
    pub(super) fn new(ending: Ending, reg: Reg<T>, home: Home<'a>) -> Finished<'a, T> {
        Finished { ending, reg, home }
    }
}

impl<T: Kind> Finished<'_, T> {
    /// The value.
    pub(super) fn value(self) -> Result<T::Value, Error> {
        self.with(|done, reg| done.get(reg)).map_err(|(error, _)| error)
    }

    /// What `take` makes of a success; otherwise the error, with the buffer of the step.
    pub(super) fn with<O>(
        self,
        take: impl FnOnce(&mut Done, Reg<T>) -> Result<O, Error>,
    ) -> Result<O, (Error, Buffer)> {
        let reg = self.reg;
        match self.ending {
            Ok(mut done) => {
                let taken = take(&mut done, reg).map_err(|error| (error, done.take(reg).unwrap_or_default()));
                self.home.keep(done);
                taken
            }
            Err(rejected) => {
                let buffer = not_run::<Error>(rejected.chain).take(reg).unwrap_or_default();
                Err((rejected.error, buffer))
            }
        }
    }

    /// The buffer, also with an error.
    #[inline]
    pub(super) fn buffer(self) -> Result<Buffer, BufferError> {
        match self.ending {
            Ok(mut done) if done.has_succeeded(self.reg) => {
                let buffer = done.take(self.reg).unwrap_or_default();
                self.home.keep(done);
                Ok(buffer)
            }
            _ => self.buffer_and_error(),
        }
    }

    #[inline(never)]
    fn buffer_and_error(self) -> Result<Buffer, BufferError> {
        let taken = self.with(|done, reg| {
            done.get(reg)?;
            Ok(done.take(reg).unwrap_or_default())
        });
        taken.map_err(|(error, buffer)| BufferError { error, buffer })
    }

    /// The value and the buffer, which comes back with an error, too.
    pub(super) fn both(self) -> Result<(T::Value, Buffer), BufferError> {
        let taken = self.with(|done, reg| {
            let value = done.get(reg)?;
            Ok((value, done.take(reg).unwrap_or_default()))
        });
        taken.map_err(|(error, buffer)| BufferError { error, buffer })
    }
}

/// An operation on its way: it begins when it is first polled, and is cancelled when it is dropped.
#[must_use = "an operation does nothing until its future is awaited"]
pub struct Operation<T, O> {
    run: Run,
    reg: Reg<T>,
    finish: Finish<T, O>,
}

impl<T, O> Operation<T, O> {
    pub(super) fn new(run: Run, reg: Reg<T>, finish: Finish<T, O>) -> Operation<T, O> {
        Operation { run, reg, finish }
    }
}

impl<T, O> Future for Operation<T, O> {
    type Output = O;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        let ending = ready!(self.run.poll_ending(context));
        let finished = Finished::new(ending, self.reg, Home::Here(self.run.core()));
        Poll::Ready((self.finish)(finished))
    }
}

impl<T, O> fmt::Debug for Operation<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Operation").field("run", &self.run).finish_non_exhaustive()
    }
}

/// A call of a stored program on its way.
#[must_use = "a call does nothing until its future is awaited"]
pub struct Calling<T> {
    run: Run,
    reg: Reg<T>,
}

impl<T: Kind> Calling<T> {
    pub(super) fn new(make: impl FnOnce(Chain) -> Run, call: Call<T>) -> Calling<T> {
        let mut chain = Chain::new();
        let reg = chain.call(call);
        Calling { run: make(chain), reg }
    }
}

impl<T: Kind> Future for Calling<T> {
    type Output = Result<Called<T>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ending = ready!(self.run.poll_ending(context));
        Poll::Ready(match ending {
            Ok(done) => Ok(Called::new(done, self.reg)),
            Err(rejected) => Err(rejected.error),
        })
    }
}

impl<T> fmt::Debug for Calling<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Calling").field("run", &self.run).finish_non_exhaustive()
    }
}

/// The two ends of a pipe, out of a chain of PIPE and GET.
pub(super) fn pipe_ends(
    finished: Finished<crate::chain::Fd>,
) -> Result<(ouzel_ring::Descriptor, ouzel_ring::Descriptor), Error> {
    let ends = finished.with(|done, read| {
        let read = done.get(read)?;
        let write = done.completion_of(1).filter(|completion| completion.error == 0);
        let write = write.and_then(|completion| ouzel_ring::Descriptor::from_number(completion.result));
        Ok((read, write.ok_or(Error::Refused { call: "pipe", errno: Errno::EBADF })?))
    });
    ends.map_err(|(error, _)| error)
}
