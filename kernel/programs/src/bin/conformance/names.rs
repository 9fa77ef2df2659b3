//! What the cases name of the library they test and of the standard library, as far as it means anything here.

pub use ouzel_ring as abi;

/// Collections.
pub mod collections {
    pub use alloc::collections::BTreeSet;
}

/// The clock: the processor's counter.
pub mod time {
    use core::sync::atomic::{AtomicU64, Ordering};

    pub use core::time::Duration;

    static RATE: AtomicU64 = AtomicU64::new(1);

    /// Says how many units the counter has in a second.
    pub fn start(rate: u64) {
        RATE.store(rate, Ordering::Relaxed);
    }

    /// A moment.
    #[derive(Clone, Copy, Debug)]
    pub struct Instant(u64);

    impl Instant {
        /// This one.
        pub fn now() -> Instant {
            // SAFETY: every x86-64 processor has the counter.
            Instant(unsafe { core::arch::x86_64::_rdtsc() })
        }

        /// How long ago it was.
        pub fn elapsed(self) -> Duration {
            let passed = u128::from(Instant::now().0 - self.0);
            let rate = u128::from(RATE.load(Ordering::Relaxed));
            Duration::from_nanos((passed * 1_000_000_000 / rate) as u64)
        }
    }
}

/// Threads.
pub mod thread {
    /// The kernel preempts; nothing else is needed.
    pub fn yield_now() {}
}

/// Files past the ring, of which there are none.
pub mod fs {
    use alloc::string::String;

    /// Where a link leads.
    #[derive(Debug)]
    pub struct Target(String);

    impl Target {
        /// As text.
        pub fn to_str(&self) -> Option<&str> {
            Some(&self.0)
        }
    }

    /// Ends the case.
    pub fn read_link(_: String) -> Result<Target, ouzel_ring::Errno> {
        crate::not_here("there are no files but through the ring")
    }
}

/// The engine, which lies behind the system call.
pub mod engine {
    use alloc::vec::Vec;

    use ouzel_ring::{Descriptor, Entry, Errno};

    /// What a cancel is for.
    #[derive(Clone, Copy, Debug)]
    pub enum Target {
        /// Entries with this user data.
        Data(u64),
        /// Entries that use this descriptor.
        Descriptor(Descriptor),
        /// All.
        All,
    }

    /// What a stored program asks of a call.
    #[derive(Clone, Debug, Default)]
    pub struct Interface {
        /// Registers that it is given.
        pub registers: u8,
        /// Those of them that are descriptors.
        pub descriptors: u8,
        /// The longest of each piece.
        pub pieces: Vec<u64>,
        /// The register of its result.
        pub result: Option<u8>,
    }

    /// A program that could be stored by a plain call on an engine in the same process.
    pub struct Program;

    impl Program {
        /// Ends the case.
        pub fn new(_: &[Entry], _: Interface) -> Result<Program, Errno> {
            crate::not_here("a program is stored by a plain call on the engine, which is no system call")
        }
    }
}
