//! What fits Ouzel's executor and tokio's runtimes together: streams, and an executor that runs inside a runtime.

mod drive;
mod stream;

pub use stream::{RingListener, RingStream};
