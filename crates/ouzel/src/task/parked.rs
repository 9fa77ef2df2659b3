//! Waiting for a future on a thread that does nothing else.
//!
//! A thread makes its waker once, and only that wakes it. It may be woken for nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Thread, thread, thread_local};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: sync::Arc<Unpark>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &sync::Arc<Unpark>) {
        self.0.unpark();
    }
}

fn make_waker() -> Waker {
    Waker::from(sync::Arc::new(Unpark(thread::current())))
}

thread_local! {
    static WAKER: Waker = make_waker();
}

/// Waits for `future` on this thread.
pub(super) fn wait_for<F: Future + Unpin>(mut future: F) -> F::Output {
    // A thread that ends has none any more.
    let waker = WAKER.try_with(Waker::clone).unwrap_or_else(|_| make_waker());
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
