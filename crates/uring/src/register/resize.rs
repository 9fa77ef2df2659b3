//! Queues of another size for a ring that is at work.

use rustix::fd::AsFd as _;

use super::mapping_error;
use crate::abi::{Cqe, Params, RegisterOpcode, SetupFlags};
use crate::error::{RegisterCause, RegisterError};
use crate::layout::Queues;
use crate::ring::{Ring, RingFd};

/// The kernel begins the array of indices at a cache line.
const LINE_BYTES: u32 = 64;

/// Where the array of indices lies. The answer to a resize does not say (seen in Linux 6.18), so this follows how the
/// kernel lays its memory out: after the completions.
fn array_offset(params: &Params) -> u32 {
    let wide = SetupFlags::from_bits_retain(params.flags).contains(SetupFlags::CQE32);
    let completions = (params.cq_entries << u32::from(wide)).saturating_mul(size_of::<Cqe>() as u32);
    params.cq_off.cqes.saturating_add(completions).checked_next_multiple_of(LINE_BYTES).unwrap_or(0)
}

impl Ring {
    /// Gives the ring queues of at least `entries` and `completion_entries` (0: twice the entries), in which
    /// everything pushed, published or not taken yet is kept (6.13). Shows the kernel what was pushed, but does not
    /// submit it. The ring must have
    /// [`DEFER_TASKRUN`](crate::abi::SetupFlags::DEFER_TASKRUN), else it is [`RegisterCause::Invalid`]; also with
    /// memory of the application's, and for numbers that no ring can have.
    ///
    /// [`RegisterCause::Overflow`] if what is in the queues would not fit: nothing has changed then. After
    /// [`RegisterCause::Map`] the ring is of no use any more: it can be dropped, and every call says
    /// [`EnterError::BadDescriptor`](crate::EnterError::BadDescriptor).
    pub fn resize(&mut self, entries: u32, completion_entries: u32) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::ResizeRings;
        if self.flags.contains(SetupFlags::NO_MMAP) {
            return Err(RegisterError { operation, cause: RegisterCause::Invalid });
        }
        let RingFd::Owned(fd) = &self.fd else {
            // Mapping needs a descriptor.
            return Err(RegisterError { operation, cause: RegisterCause::NotSupported });
        };
        self.submission.publish();
        self.completion.publish();
        let mut params = Params {
            sq_entries: entries,
            cq_entries: completion_entries,
            flags: if completion_entries == 0 { 0 } else { SetupFlags::CQSIZE.bits() },
            ..Params::default()
        };
        let pointer: *mut Params = &mut params;
        // SAFETY: this operation takes, and writes to, one Params. The old queues stay mapped until the new ones are.
        unsafe { self.register(operation, pointer.cast_const().cast(), 1) }?;
        // The answer has the flags of the call; those that say how the queues are laid out are the ring's.
        params.flags = self.flags.bits();
        params.features = self.features.bits();
        if params.sq_off.array == 0 && !self.flags.contains(SetupFlags::NO_SQARRAY) {
            params.sq_off.array = array_offset(&params);
        }
        match Queues::map(fd.as_fd(), &params, self.two_mappings) {
            Ok(Queues { submission, completion, mappings }) => {
                self.submission = submission;
                self.completion = completion;
                self.mappings = mappings;
                Ok(())
            }
            Err(error) => {
                self.enter_fd = -1;
                self.enter_flags = crate::abi::EnterFlags::empty();
                Err(mapping_error(operation, error))
            }
        }
    }
}
