//! The ring itself: its index in a thread's table, enabling it, and messages to other rings without a ring.

use rustix::fd::{AsRawFd as _, BorrowedFd};

use super::NO_RING;
use crate::abi::{RegisterOpcode, RsrcUpdate};
use crate::error::RegisterError;
use crate::raw;
use crate::ring::{Ring, RingFd};
use crate::sqe::Sqe;

/// Posts a completion with `result` and `user_data` to the ring `ring`, without a ring of one's own (6.13).
///
/// [`BadDescriptor`](crate::RegisterCause::BadDescriptor) if it is not a ring or is disabled,
/// [`Overflow`](crate::RegisterCause::Overflow) if its queue is full and it has no memory left.
pub fn post_message(
    ring: BorrowedFd<'_>,
    result: u32,
    user_data: u64,
    flags: crate::abi::MsgRingFlags,
) -> Result<(), RegisterError> {
    let entry = Sqe::msg_ring(ring, result, user_data, flags);
    let operation = RegisterOpcode::SendMsgRing;
    // SAFETY: this operation takes one entry, and a message of data names no memory.
    unsafe { raw::register(NO_RING, operation as u32, core::ptr::from_ref(&entry).cast(), 1) }
        .map(|_| ())
        .map_err(|errno| RegisterError::from_errno(errno, operation))
}

impl Ring {
    /// Registers the ring's own descriptor with this thread, which makes entering cheaper (5.18). From then on
    /// the ring enters by the index it got. Does nothing if that is already so.
    ///
    /// A thread has room for 16 rings. The index is given back when the ring is dropped.
    ///
    /// # Safety
    ///
    /// The index is this thread's. Until [`unregister_ring_fd`](Self::unregister_ring_fd), the ring must be used
    /// and dropped on this thread only: on another one, the index may be another ring's, which would be entered
    /// or unregistered instead.
    pub unsafe fn register_ring_fd(&mut self) -> Result<(), RegisterError> {
        if self.entered_through().is_some() {
            return Ok(());
        }
        let RingFd::Owned(fd) = &self.fd else { return Ok(()) };
        let mut argument = RsrcUpdate {
            // The kernel chooses the index and writes it here.
            offset: u32::MAX,
            reserved: 0,
            data: fd.as_raw_fd() as u64,
        };
        let pointer: *mut RsrcUpdate = &mut argument;
        // SAFETY: this operation takes, and writes to, one RsrcUpdate that holds a ring's descriptor.
        let done = unsafe { self.register(RegisterOpcode::RingFds, pointer.cast_const().cast(), 1) }?;
        if done == 1 {
            self.enter_through(Some(argument.offset));
        }
        Ok(())
    }

    /// Gives the index back; the ring enters by its descriptor again. Does nothing if it already does, or has none.
    pub fn unregister_ring_fd(&mut self) -> Result<(), RegisterError> {
        let (RingFd::Owned(_), Some(index)) = (&self.fd, self.entered_through()) else { return Ok(()) };
        let argument = RsrcUpdate { offset: index, reserved: 0, data: 0 };
        self.enter_through(None);
        // SAFETY: this operation takes one RsrcUpdate that holds an index of this thread's; that this is still
        // the thread it was made on was promised when it was registered.
        unsafe {
            self.register(RegisterOpcode::UnregisterRingFds, core::ptr::from_ref(&argument).cast(), 1)
        }?;
        Ok(())
    }

    /// Enables a ring made with `SetupFlags::R_DISABLED`. With `SetupFlags::SINGLE_ISSUER`, this thread becomes
    /// the one that submits.
    pub fn enable(&mut self) -> Result<(), RegisterError> {
        // SAFETY: this operation takes no argument.
        unsafe { self.register(RegisterOpcode::EnableRings, core::ptr::null(), 0) }?;
        Ok(())
    }

    /// Closes the descriptor of a ring that is registered, and keeps the index alone (6.3). Returns whether it was.
    ///
    /// # Safety
    ///
    /// From now on and for good, the ring must be used and dropped on this thread only, see
    /// [`register_ring_fd`](Self::register_ring_fd).
    pub unsafe fn close_descriptor(&mut self) -> bool {
        match self.entered_through() {
            Some(index) => {
                self.fd = RingFd::Registered(index);
                true
            }
            None => false,
        }
    }
}
