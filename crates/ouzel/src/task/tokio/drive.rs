//! An executor inside a tokio runtime.
//!
//! The executor's ring is watched by the runtime's own event loop through a duplicate of its descriptor, so nothing waits but
//! the runtime. The future that does that stays on one thread, as the executor does: it is what `Runtime::block_on` is given,
//! or a task of a `LocalSet`. Tasks on other threads of the runtime use a [`Remote`](super::super::Remote).

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ::tokio::io::Interest;
use ::tokio::io::unix::AsyncFd;
use ::tokio::time::{Instant, sleep_until};
use ouzel_ring::Errno;

use crate::error::Error;
use crate::task::executor::{Executor, Waiting};

/// Turns before others of the runtime get theirs.
const TURNS: u32 = 32;

/// What stands for a time that never comes.
const LONG: Duration = Duration::from_secs(24 * 3600);

impl Executor {
    /// Runs `future`, and the tasks that were spawned, inside a tokio runtime until `future` is over: as
    /// [`block_on`](Executor::block_on), but what waits is the runtime, which goes on with its own tasks meanwhile. `future` may
    /// use what is tokio's, too. The runtime must have its I/O and its time enabled.
    ///
    /// ```
    /// use ouzel::task::Executor;
    /// use ouzel::{Error, Ring};
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// runtime.block_on(async {
    ///     let mut executor = Executor::builder().ring(Ring::builder().watched()).build()?;
    ///     let handle = executor.handle();
    ///     # if executor.descriptor()?.is_none() { return Ok(()) }
    ///     executor.run_in_tokio(async {
    ///         let (read, write) = handle.pipe().await?;
    ///         handle.close(read).await?;
    ///         handle.close(write).await
    ///     }).await?
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// Errors: as for [`block_on`](Executor::block_on); [`Error::Refused`] with EOPNOTSUPP on a backend without a descriptor
    /// (the simulator), where an [`Owner`](super::super::Owner) will do, or if the ring was not built to be
    /// [watched](crate::RingBuilder::watched).
    pub async fn run_in_tokio<F: Future>(&mut self, future: F) -> Result<F::Output, Error> {
        let refused = |errno| Error::Refused { call: "run_in_tokio", errno };
        let descriptor = self.descriptor()?.ok_or(refused(Errno::EOPNOTSUPP))?;
        // SAFETY: it owns the descriptor, and nothing else closes that or takes it out.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        let watched = watched.map_err(|failed| {
            let (_, error) = failed.into_parts();
            refused(Errno::from_raw(error.raw_os_error().unwrap_or(0)))
        })?;
        let mut future = pin!(future);
        let mut alarm = pin!(sleep_until(Instant::now() + LONG));
        std::future::poll_fn(|context| {
            loop {
                // Whoever it waits for has its waker.
                if let Poll::Ready(output) = self.poll_within(future.as_mut(), context) {
                    return Poll::Ready(Ok(output));
                }
                // What becomes ready after this is told again; what has before is found by the turn.
                let readable = match watched.poll_read_ready(context) {
                    Poll::Ready(Ok(mut ready)) => {
                        ready.clear_ready();
                        true
                    }
                    Poll::Ready(Err(error)) => {
                        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                        return Poll::Ready(Err(refused(errno)));
                    }
                    Poll::Pending => false,
                };
                match self.turn(TURNS) {
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(Waiting::Not) => {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    // The runtime has to be asked again before it tells of anything.
                    Ok(_) if readable => {}
                    Ok(Waiting::ForEvent) => return Poll::Pending,
                    Ok(Waiting::AtMost(time)) => {
                        alarm.as_mut().reset(Instant::now() + time.min(LONG));
                        if alarm.as_mut().poll(context).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        })
        .await
    }
}
