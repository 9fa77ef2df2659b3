//! Zero-copy receive, raw.

use crate::abi::{RegisterOpcode, ZcrxCtrl, ZcrxIfqReg};
use crate::error::RegisterError;
use crate::ring::Ring;

impl Ring {
    /// Hands a receive queue of a network device over to the ring (6.15), which must have
    /// [`DEFER_TASKRUN`](crate::abi::SetupFlags::DEFER_TASKRUN) and completions of 32 bytes. Wants CAP_NET_ADMIN and
    /// a device that splits headers; else [`RegisterCause::Refused`](crate::RegisterCause::Refused) or
    /// [`RegisterCause::Invalid`](crate::RegisterCause::Invalid).
    ///
    /// # Safety
    ///
    /// The area and the region that `argument` leads to must be described truthfully, and the area's memory is the
    /// device's to write to until the ring is gone.
    pub unsafe fn register_zcrx(&mut self, argument: &mut ZcrxIfqReg) -> Result<(), RegisterError> {
        // SAFETY: this operation takes, and writes to, one ZcrxIfqReg; what it leads to is the caller's promise.
        unsafe { self.register_answered(RegisterOpcode::ZcrxIfq, argument, 1) }.map(|_| ())
    }

    /// Controls such a queue (after 6.18): empties its refill ring, or makes a descriptor of it, which is in the
    /// argument afterwards.
    pub fn control_zcrx(&mut self, argument: &mut ZcrxCtrl) -> Result<(), RegisterError> {
        // SAFETY: this operation takes, and writes to, one ZcrxCtrl, which leads nowhere.
        unsafe { self.register_answered(RegisterOpcode::ZcrxCtrl, argument, 0) }.map(|_| ())
    }
}
