//! What threads share: the real things, or loom's.

#[cfg(not(loom))]
pub(crate) use real::*;

#[cfg(loom)]
pub(crate) use model::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard};
    use std::time::Duration;

    /// A cell whose content is reached through a lock.
    pub(crate) struct Cell<T>(std::cell::UnsafeCell<T>);

    impl<T> Cell<T> {
        pub(crate) fn new(value: T) -> Cell<T> {
            Cell(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn pointer(&self) -> *mut T {
            self.0.get()
        }
    }

    /// Lets others run: first the processor's twin, then whoever waits for this processor, then everyone.
    pub(crate) fn relax(tries: u32) {
        match tries {
            0..64 => spin_loop(),
            64..128 => std::thread::yield_now(),
            // Whoever has the lock may have a lower priority than this thread: yielding would not let it run.
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    // Numbers pools; nothing depends on its order.
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::AtomicU32;

    /// A cell that notices when two threads reach its content at once.
    pub(crate) struct Cell<T>(loom::cell::UnsafeCell<T>);

    impl<T> Cell<T> {
        pub(crate) fn new(value: T) -> Cell<T> {
            Cell(loom::cell::UnsafeCell::new(value))
        }

        /// Loom sees an access here: whenever the lock's holder reaches for the content.
        pub(crate) fn pointer(&self) -> *mut T {
            self.0.with_mut(|pointer| pointer)
        }
    }

    pub(crate) fn relax(_: u32) {
        loom::thread::yield_now();
    }
}
