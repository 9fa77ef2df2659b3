//! What a service runs its clients' chains on.

use std::os::fd::OwnedFd;

use ouzel_engine::Backend;
use ouzel_ring::Errno;

/// A backend that can be waited for together with others.
pub trait Host: Backend {
    /// An event counter (`eventfd(2)`) that is added to, from now on, whenever there is something for which
    /// [`wait`](Backend::wait) would return. `None` if everything is over as soon as it is started. Asked for once.
    ///
    /// Errors: EMFILE, ENFILE or ENOMEM of the system.
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno>;
}

impl<H: Host + ?Sized> Host for Box<H> {
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        (**self).readiness()
    }
}
