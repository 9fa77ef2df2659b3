//! Memory shared with the kernel besides the queues: the arguments of registered waits.

use crate::abi::{MemRegionFlags, MemRegionReg, RegWait, RegionDesc, RegionFlags, RegisterOpcode};
use crate::error::{RegisterCause, RegisterError};
use crate::mapping::Mapping;
use crate::ring::Ring;

use super::mapping_error;

impl Ring {
    /// Registers memory for `waits` arguments of waits (6.13), which
    /// [`set_registered_wait`](Self::set_registered_wait) fills in and
    /// [`submit_and_wait_registered`](Self::submit_and_wait_registered) uses. At least one page of them.
    ///
    /// The ring must still be disabled ([`SetupFlags::R_DISABLED`](crate::abi::SetupFlags::R_DISABLED)), else it is
    /// [`RegisterCause::Invalid`]; [`RegisterCause::AlreadyThere`] if it has some.
    pub fn register_waits(&mut self, waits: u32) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::MemRegion;
        let page = rustix::param::page_size();
        let too_long = RegisterError { operation, cause: RegisterCause::TooLong };
        let length = (waits.max(1) as usize)
            .checked_mul(size_of::<RegWait>())
            .and_then(|length| length.checked_next_multiple_of(page))
            .ok_or(too_long)?;
        let mapping = Mapping::anonymous(length).map_err(|error| mapping_error(operation, error))?;
        let mut region = RegionDesc {
            user_addr: mapping.start().as_ptr().expose_provenance() as u64,
            size: mapping.length() as u64,
            flags: RegionFlags::USER.bits(),
            ..RegionDesc::default()
        };
        // SAFETY: the region is memory of that size, which the ring keeps from now on.
        unsafe { self.register_mem_region(&mut region, MemRegionFlags::REG_WAIT_ARG) }?;
        self.waits = Some(mapping);
        Ok(())
    }

    /// Registers memory for what `flags` say (6.13).
    ///
    /// # Safety
    ///
    /// With [`RegionFlags::USER`] the memory must be as large as `region` says, and stay as the kernel wants it for
    /// this use until the ring is dropped: waits follow the pointers that are written there.
    pub unsafe fn register_mem_region(
        &mut self,
        region: &mut RegionDesc,
        flags: MemRegionFlags,
    ) -> Result<(), RegisterError> {
        let argument = MemRegionReg {
            region_uptr: core::ptr::from_mut(region).expose_provenance() as u64,
            flags: flags.bits(),
            ..MemRegionReg::default()
        };
        // SAFETY: this operation takes one MemRegionReg that leads to a RegionDesc, which it writes to; the rest is
        // the caller's promise.
        unsafe { self.register_one(RegisterOpcode::MemRegion, &argument, 1) }.map(|_| ())
    }
}
