//! Restrictions: what a ring, or a task, may ask the kernel for.

use super::{NO_RING, count};
use crate::abi::{Bpf, Opcode, RegisterOpcode, Restriction, SqeFlags, TaskRestriction, restriction};
use crate::error::{RegisterCause, RegisterError};
use crate::raw;
use crate::ring::Ring;

/// One thing that a restricted ring may do. What is not allowed is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// This register operation.
    Register(RegisterOpcode),
    /// Entries of this opcode.
    Opcode(Opcode),
    /// These flags of entries.
    Flags(SqeFlags),
    /// Only entries with these flags.
    RequiredFlags(SqeFlags),
}

impl From<Rule> for Restriction {
    fn from(rule: Rule) -> Self {
        let (opcode, value) = match rule {
            Rule::Register(operation) => (restriction::REGISTER_OP, operation as u32 as u8),
            Rule::Opcode(opcode) => (restriction::SQE_OP, opcode as u8),
            Rule::Flags(flags) => (restriction::SQE_FLAGS_ALLOWED, flags.bits()),
            Rule::RequiredFlags(flags) => (restriction::SQE_FLAGS_REQUIRED, flags.bits()),
        };
        Self { opcode, value, ..Self::default() }
    }
}

/// The most rules of one ring: one for each opcode, each register operation and each kind of flags.
const RULES_MAX: usize = 128;

/// The head of a task's restrictions with room for them.
#[repr(C)]
struct TaskRules {
    head: TaskRestriction,
    rules: [Restriction; RULES_MAX],
}

/// The rules as the kernel takes them.
fn translate(operation: RegisterOpcode, rules: &[Rule]) -> Result<[Restriction; RULES_MAX], RegisterError> {
    let mut list = [Restriction::default(); RULES_MAX];
    if rules.len() > RULES_MAX {
        return Err(RegisterError { operation, cause: RegisterCause::TooLong });
    }
    for (place, rule) in list.iter_mut().zip(rules) {
        *place = Restriction::from(*rule);
    }
    Ok(list)
}

/// Restricts all rings that this task makes from now on, and its children's (after 6.18). It cannot be undone.
pub fn restrict_task(rules: &[Rule]) -> Result<(), RegisterError> {
    let operation = RegisterOpcode::Restrictions;
    let head = TaskRestriction { nr_res: count(operation, rules)? as u16, ..TaskRestriction::default() };
    let argument = TaskRules { head, rules: translate(operation, rules)? };
    // SAFETY: without a ring this operation takes a head that as many restrictions follow as it says.
    unsafe { raw::register(NO_RING, operation as u32, core::ptr::from_ref(&argument).cast(), 1) }
        .map(|_| ())
        .map_err(|errno| RegisterError::from_errno(errno, operation))
}

impl Ring {
    /// Restricts the ring to what `rules` allow (5.10), at most 128 of them. They hold as soon as it is enabled and
    /// cannot be changed.
    ///
    /// The ring must still be disabled ([`SetupFlags::R_DISABLED`](crate::abi::SetupFlags::R_DISABLED)), else it is
    /// [`RegisterCause::WrongState`]; [`RegisterCause::AlreadyThere`] a second time. Entries that are forbidden
    /// complete with EACCES, register operations with [`RegisterCause::Restricted`].
    pub fn restrict(&mut self, rules: &[Rule]) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::Restrictions;
        let list = translate(operation, rules)?;
        // SAFETY: this operation takes an array of restrictions, of which `list` has at least as many.
        unsafe { self.register(operation, list.as_ptr().cast(), count(operation, rules)?) }.map(|_| ())
    }

    /// Adds a filter for entries of one opcode (after 6.18).
    ///
    /// # Safety
    ///
    /// `filter_ptr` must lead to as many instructions as `filter_len` says.
    pub unsafe fn register_bpf_filter(&mut self, filter: &Bpf) -> Result<(), RegisterError> {
        // SAFETY: this operation takes one Bpf; what it leads to is the caller's promise.
        unsafe { self.register_one(RegisterOpcode::BpfFilter, filter, 1) }.map(|_| ())
    }
}
