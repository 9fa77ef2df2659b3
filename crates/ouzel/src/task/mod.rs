//! Async: futures over a ring, and the small executor that runs them.
//!
//! An [`Executor`] owns a ring and runs tasks on the thread that made it. Each of its turns enters the ring once, however
//! many operations its tasks have started: chains and single operations are queued when their futures are first polled and
//! travel together. A [`Handle`] is what tasks work with; it has the operations of [`Ring`](crate::Ring) as futures. A
//! [`Remote`] is a handle for other threads.
//!
//! ```
//! use ouzel::task::Executor;
//! use ouzel::{Buffer, Error, Offset, OpenOptions};
//!
//! let mut executor = Executor::new()?;
//! let handle = executor.handle();
//! let length = executor.block_on(async {
//!     let file = handle.open("Cargo.toml", OpenOptions::read()).await?;
//!     let text = handle.read(file, Buffer::with_capacity(65536), Offset::START).await?;
//!     handle.close(file).await?;
//!     Ok::<_, Error>(text.len())
//! })??;
//! assert!(length > 0);
//! # Ok::<(), Error>(())
//! ```
//!
//! A chain is one future, and one crossing for all its steps:
//!
//! ```
//! use ouzel::task::Executor;
//! use ouzel::{Buffer, Error, Offset, OpenOptions};
//!
//! let mut executor = Executor::new()?;
//! let handle = executor.handle();
//! let text = executor.block_on(async {
//!     let mut chain = handle.chain();
//!     let file = chain.open("Cargo.toml", OpenOptions::read());
//!     let read = chain.read(file, Buffer::with_capacity(65536), Offset::START);
//!     chain.finally().close(file);
//!     let mut done = handle.run(chain).await?;
//!     done.get(read)?;
//!     Ok::<_, Error>(done.take(read))
//! })??;
//! assert!(text.is_some_and(|text| !text.is_empty()));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Dropping
//!
//! Any future may be dropped, or forgotten, at any time. One that was never polled has done nothing. One whose chain is in the
//! ring cancels it; the chain, its buffers and its descriptors stay with the ring until the kernel has let go of them, so
//! there is nothing that could be freed too early. What then comes too late is not lost silently: it goes to the hook of
//! [`ExecutorBuilder::on_late`], and what that leaves is closed and [counted](Metrics).
//!
//! # Memory and locks
//!
//! Spawning allocates one block for a task, and takes that of one which is over if there is any of about its size: up to 1 MiB of
//! such blocks are kept. Operations and sleeps allocate nothing once the executor has grown to its work, as long
//! as their buffers come back to be used again. The same is true of chains and operations by a [`Remote`]; what it spawns is
//! boxed. The only locks are around what other threads send and are told; without such, none is ever taken. Wakes on the
//! executor's own thread touch nothing that threads share.

mod block;
mod calls;
mod core;
mod count;
mod executor;
mod handle;
mod inbox;
mod job;
mod join;
mod metadata;
mod metrics;
mod operation;
mod operations;
mod owner;
mod parked;
mod picking;
mod remote;
mod remote_calls;
mod reply;
mod request;
mod run;
mod sleep;
mod stream;
mod tasks;
mod timers;
#[cfg(feature = "tokio")]
mod tokio;
mod waker;

pub use calls::{Filling, Sending, Value};
pub use executor::{Executor, ExecutorBuilder, Waiting};
pub use handle::Handle;
pub use join::{JoinError, JoinHandle};
pub use metrics::Metrics;
pub use operation::{BufferError, Calling, Operation};
pub use owner::Owner;
pub use picking::Picking;
pub use remote::{Remote, RemoteRun};
pub use remote_calls::{RemoteFilling, RemoteOperation, RemoteSending, RemoteValue};
pub use reply::RemoteHandle;
pub use run::Run;
pub use sleep::{Interval, Sleep, Yield, yield_now};
pub use stream::{Many, Receiving};
#[cfg(feature = "tokio")]
pub use tokio::{RingListener, RingStream};
