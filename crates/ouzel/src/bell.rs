//! Bells: how one ring, or any thread, wakes another ring.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ouzel_ring::Errno;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io;

use crate::backend::sim::SharedBell;

/// A count that one side adds to and another waits for.
///
/// It is made by [`Ring::bell`](crate::Ring::bell), goes into as many rings as want it with
/// [`Ring::adopt_bell`](crate::Ring::adopt_bell), and may be sent to other threads. WAKE rings it; whoever is to be
/// woken reads 8 bytes of it (the count, which is 0 again then) or polls it. On Linux it is an event counter
/// (`eventfd(2)`); rings on the simulator share one of their own.
#[derive(Clone, Debug)]
pub struct Bell(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Event(Arc<OwnedFd>),
    Simulated(Arc<SharedBell>),
}

impl Bell {
    /// A bell for backends that have real descriptors.
    pub(crate) fn event() -> Result<Bell, Errno> {
        // Non-blocking, so that nobody who rings it can get stuck.
        let made = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        made.map(|event| Bell(Kind::Event(Arc::new(event)))).map_err(errno)
    }

    /// A bell for simulators.
    pub(crate) fn simulated(shared: Arc<SharedBell>) -> Bell {
        Bell(Kind::Simulated(shared))
    }

    /// The simulators' part, if it is one of theirs.
    pub(crate) fn shared(&self) -> Option<Arc<SharedBell>> {
        match &self.0 {
            Kind::Event(_) => None,
            Kind::Simulated(shared) => Some(Arc::clone(shared)),
        }
    }

    /// Its descriptor, if it has one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::Event(event) => Some(event.as_fd()),
            Kind::Simulated(_) => None,
        }
    }

    /// A descriptor of it, if it has one.
    pub(crate) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        match &self.0 {
            Kind::Event(event) => io::fcntl_dupfd_cloexec(&**event, 0).map_err(errno),
            Kind::Simulated(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Adds 1 to the count, from outside of any ring. Never waits: a count at its end wakes as well.
    pub fn ring(&self) {
        match &self.0 {
            Kind::Event(event) => {
                let _ = io::write(&**event, &1u64.to_ne_bytes());
            }
            Kind::Simulated(shared) => {
                let _ = shared.add(1);
            }
        }
    }
}

fn errno(error: io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
