//! What works for a ring: the kernel's workers, its credentials, its clock, and busy polling.

use crate::abi::{ClockRegister, Napi, RegisterOpcode, napi};
use crate::error::RegisterError;
use crate::ring::Ring;

/// The clock that the time limits of waits go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`, which stands still while the machine is suspended.
    Monotonic = 1,
    /// `CLOCK_BOOTTIME`, which does not.
    Boottime = 7,
}

/// How waiting polls network devices, see [`Ring::register_napi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// For how long, in microseconds; 0 is not at all.
    pub microseconds: u32,
    /// Whether polling is preferred to interrupts.
    pub prefer: bool,
    /// How devices become known: [`napi::TRACKING_DYNAMIC`] or [`napi::TRACKING_STATIC`] (6.13); in answers also
    /// [`napi::TRACKING_INACTIVE`].
    pub tracking: u32,
}

impl BusyPoll {
    fn from_argument(argument: Napi) -> Self {
        Self {
            microseconds: argument.busy_poll_to,
            prefer: argument.prefer_busy_poll != 0,
            tracking: argument.op_param,
        }
    }
}

impl Ring {
    /// Limits the kernel's workers for this ring: those for files and those for everything that may wait without
    /// end (5.15). 0 leaves a limit as it is. Returns the limits before.
    pub fn limit_workers(&mut self, bounded: u32, unbounded: u32) -> Result<(u32, u32), RegisterError> {
        let mut limits = [bounded, unbounded];
        let pointer: *mut [u32; 2] = &mut limits;
        // SAFETY: this operation takes, and writes to, two words.
        unsafe { self.register(RegisterOpcode::IowqMaxWorkers, pointer.cast_const().cast(), 2) }?;
        Ok((limits[0], limits[1]))
    }

    /// Runs the workers of this ring on these processors only (5.14): processor n is bit n % 8 of byte n / 8.
    ///
    /// [`RegisterCause::Invalid`](crate::RegisterCause::Invalid) if no such processor is there. Not with SQPOLL
    /// before 6.14.
    pub fn register_worker_cpus(&mut self, mask: &[u8]) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::IowqAff;
        // SAFETY: this operation takes a bit mask and its size in bytes.
        unsafe { self.register(operation, mask.as_ptr().cast(), super::count(operation, mask)?) }.map(|_| ())
    }

    /// Runs the workers on any processor again.
    pub fn unregister_worker_cpus(&mut self) -> Result<(), RegisterError> {
        self.register_nothing(RegisterOpcode::UnregisterIowqAff)
    }

    /// Registers the credentials this thread has now, and returns the number that entries name them by (5.6), see
    /// [`Sqe::personality`](crate::Sqe::personality).
    pub fn register_personality(&mut self) -> Result<u16, RegisterError> {
        // SAFETY: this operation takes no argument.
        let number = unsafe { self.register(RegisterOpcode::Personality, core::ptr::null(), 0) }?;
        Ok(number as u16)
    }

    /// Forgets them. [`RegisterCause::Invalid`](crate::RegisterCause::Invalid) if there are none of this number.
    pub fn unregister_personality(&mut self, number: u16) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::UnregisterPersonality;
        // SAFETY: this operation takes a number in place of a count.
        unsafe { self.register(operation, core::ptr::null(), u32::from(number)) }.map(|_| ())
    }

    /// Lets the time limits of waits go by `clock` (6.12).
    pub fn register_clock(&mut self, clock: Clock) -> Result<(), RegisterError> {
        let argument = ClockRegister { clockid: clock as u32, ..ClockRegister::default() };
        // SAFETY: this operation takes one ClockRegister and a count of 0.
        unsafe { self.register_one(RegisterOpcode::Clock, &argument, 0) }.map(|_| ())
    }

    /// Lets waits poll network devices (6.9). Returns what was set before.
    ///
    /// [`RegisterCause::Invalid`](crate::RegisterCause::Invalid) on rings with IOPOLL, and on kernels without
    /// CONFIG_NET_RX_BUSY_POLL.
    pub fn register_napi(&mut self, how: BusyPoll) -> Result<BusyPoll, RegisterError> {
        let mut argument = Napi {
            busy_poll_to: how.microseconds,
            prefer_busy_poll: u8::from(how.prefer),
            opcode: napi::REGISTER,
            op_param: how.tracking,
            ..Napi::default()
        };
        // SAFETY: this operation takes, and writes to, one Napi.
        unsafe { self.register_answered(RegisterOpcode::Napi, &mut argument, 1) }?;
        Ok(BusyPoll::from_argument(argument))
    }

    /// Adds a device, by its NAPI number, to those that are polled, or removes it (6.13); with
    /// [`napi::TRACKING_STATIC`] only.
    pub fn change_napi(&mut self, device: u32, add: bool) -> Result<(), RegisterError> {
        let opcode = if add { napi::STATIC_ADD_ID } else { napi::STATIC_DELETE_ID };
        let mut argument = Napi { opcode, op_param: device, ..Napi::default() };
        // SAFETY: this operation takes, and writes to, one Napi.
        unsafe { self.register_answered(RegisterOpcode::Napi, &mut argument, 1) }.map(|_| ())
    }

    /// Polls no more. Returns what was set before.
    pub fn unregister_napi(&mut self) -> Result<BusyPoll, RegisterError> {
        let mut argument = Napi::default();
        // SAFETY: this operation takes, and writes to, one Napi.
        unsafe { self.register_answered(RegisterOpcode::UnregisterNapi, &mut argument, 1) }?;
        Ok(BusyPoll::from_argument(argument))
    }
}
