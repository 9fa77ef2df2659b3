//! How a process ended.

use core::fmt;

/// How a process that WAIT has waited for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitStatus {
    status: u8,
    ended_by: u32,
}

impl ExitStatus {
    /// What a WAIT results in: the status, and the signal with a bit for a core.
    pub(crate) fn new(result: u64, extra: u32) -> ExitStatus {
        ExitStatus { status: result as u8, ended_by: extra }
    }

    /// Whether it exited with status 0.
    pub fn is_success(self) -> bool {
        self.ended_by == 0 && self.status == 0
    }

    /// The status it exited with; `None` if a signal ended it.
    pub fn code(self) -> Option<u8> {
        (self.ended_by == 0).then_some(self.status)
    }

    /// The signal that ended it, if one did.
    pub fn signal(self) -> Option<u8> {
        (self.ended_by != 0).then_some((self.ended_by & 0x7f) as u8)
    }

    /// Whether it left a core.
    pub fn dumped_core(self) -> bool {
        self.ended_by & 0x80 != 0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (_, Some(signal)) => write!(formatter, "ended by signal {signal}"),
            (code, None) => write!(formatter, "exit status {}", code.unwrap_or_default()),
        }
    }
}
