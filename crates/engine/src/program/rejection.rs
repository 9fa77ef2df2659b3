//! Rejections: why a program is not stored, and how to say so. Plain data and its text.

use core::fmt;

use ouzel_ring::modifiers::{
    CALL_REGION, MAX_CALL_PIECES, MAX_PROGRAM_LENGTH, MAX_PROGRAM_STEPS, MAX_REPEAT,
};
use ouzel_ring::{EntryFlags, REGISTERS, Verb};

/// Why a program was not accepted. It is the first thing found; there may be more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The step that is wrong, counted from 0; `None` if it is the whole program or its interface.
    pub step: Option<usize>,
    /// The verb of that step, if it has one.
    pub verb: Option<Verb>,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A descriptor.
    Descriptor,
    /// A number on some ways to the step, a descriptor on others.
    Mixed,
}

/// What is wrong with a program. Arguments are counted from 0, as in `docs/abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It has no steps.
    Empty,
    /// It has more than 256 steps.
    TooLong {
        /// How many.
        steps: usize,
    },
    /// Its interface says that the caller sets more registers than there are.
    TooManyRegisters {
        /// How many it says.
        registers: u8,
    },
    /// Its interface says that a register holds a descriptor which the caller does not set.
    DescriptorNotSet {
        /// That register.
        register: usize,
    },
    /// Its interface asks for more than 16 pieces.
    TooManyPieces {
        /// How many.
        pieces: usize,
    },
    /// The register named as the result does not exist.
    NoSuchResult {
        /// Its number.
        register: u8,
    },
    /// The register named as the result is undefined at a successful end. The step, if there is one, is the TEST that
    /// stops there.
    ResultUndefined {
        /// That register.
        register: usize,
    },
    /// No verb has this number.
    UnknownVerb {
        /// The number.
        op: u32,
    },
    /// The verb may not stand in a stored program.
    VerbRefused,
    /// The verb is not allowed in a stored program yet.
    VerbNotYet,
    /// Flag bits have no meaning.
    UnknownFlags {
        /// Those bits.
        bits: u32,
    },
    /// A flag may not stand in a stored program.
    FlagRefused {
        /// That flag; if there are several, the lowest.
        flag: EntryFlags,
    },
    /// A step has both LINK and HARDLINK.
    BothLinks,
    /// A step without FINALLY stands behind one with it.
    BehindFinally,
    /// A TEST or REPEAT has FINALLY.
    ControlInFinally,
    /// An argument that is a payload is loaded from a register.
    PayloadLoaded {
        /// The argument.
        argument: usize,
    },
    /// An argument that the verb takes only as written is loaded from a register.
    WrittenLoaded {
        /// The argument.
        argument: usize,
    },
    /// A register is loaded that is undefined on some way to the step (for a FINALLY step: on every way).
    Undefined {
        /// The argument that is loaded from it.
        argument: usize,
        /// The register.
        register: usize,
        /// It is undefined on every way.
        always: bool,
    },
    /// A descriptor is wanted, and the register holds something else.
    WantsDescriptor {
        /// The argument that is loaded from it.
        argument: usize,
        /// The register.
        register: usize,
        /// What it holds.
        held: Kind,
    },
    /// A number is wanted, and the register holds something else.
    WantsNumber {
        /// The argument that is loaded from it.
        argument: usize,
        /// The register.
        register: usize,
        /// What it holds.
        held: Kind,
    },
    /// A descriptor is used that is closed on some way to the step (for a FINALLY step: on every way).
    Closed {
        /// The argument that is loaded from it.
        argument: usize,
        /// The register that holds it.
        register: usize,
    },
    /// A descriptor is wanted, and the number written there is never one.
    NoSuchDescriptor {
        /// The argument.
        argument: usize,
        /// What is written there.
        value: u64,
    },
    /// A CLOSE of a descriptor that is written in the program: only the first call could run it.
    ClosesWritten {
        /// The descriptor.
        value: u64,
    },
    /// A PIPE saves nothing, or into r6, which has no next register for the end to write to.
    PipeNeedsTwo,
    /// An argument known in advance has no meaning for the verb.
    NoMeaning {
        /// The argument.
        argument: usize,
        /// Its value.
        value: u64,
    },
    /// A payload names a piece that the caller does not pass.
    NoSuchPiece {
        /// The argument.
        argument: usize,
        /// The piece.
        piece: usize,
        /// How many are passed.
        pieces: usize,
    },
    /// A payload reaches beyond the least length of its piece.
    PieceTooShort {
        /// The argument.
        argument: usize,
        /// The piece.
        piece: usize,
        /// How long it would have to be; `u64::MAX` if that is more than 64 bits hold.
        needed: u64,
        /// How long it is at least.
        declared: u64,
    },
    /// A payload reaches beyond the program's constants.
    NoSuchConstant {
        /// The argument.
        argument: usize,
        /// How many bytes of constants that needs.
        needed: u64,
        /// How many there are.
        room: u64,
    },
    /// A payload that could be written to lies in the program's constants.
    ConstantWritten {
        /// The argument.
        argument: usize,
    },
    /// A payload in a piece is VECTORED.
    VectoredPiece {
        /// The argument.
        argument: usize,
    },
    /// The flag that makes a payload VECTORED is loaded from a register, where that payload may not be VECTORED.
    VectoredLoaded {
        /// The argument with the flag.
        argument: usize,
    },
    /// A payload names an address in region 0, in a program that was made without that right.
    Address {
        /// The argument.
        argument: usize,
    },
    /// A payload is VECTORED, in a program that was made without the right to name addresses: the array could name some.
    VectoredAddresses {
        /// The argument.
        argument: usize,
    },
    /// A payload is a record that names payloads itself, and lies in a piece, or the program was made without the right to
    /// name addresses: the record could name some.
    RecordWithPayloads {
        /// The argument.
        argument: usize,
        /// It lies in a piece.
        in_piece: bool,
    },
    /// A TEST skips more members than there are.
    SkipsTooFar {
        /// How many it skips.
        members: u64,
        /// How many ordinary steps are behind it.
        left: usize,
    },
    /// A TEST of the last member's end stands where on some way no member has run.
    NothingToTest,
    /// A REPEAT runs its body too often, or never.
    RepeatBound {
        /// How often.
        bound: u64,
    },
    /// A REPEAT has no body, or a longer one than there are steps before it.
    RepeatDistance {
        /// How many steps it goes back.
        distance: u64,
        /// How many steps are before it.
        before: usize,
    },
    /// The body of a REPEAT begins inside the body of another and ends behind it.
    RepeatsCross {
        /// The other REPEAT, counted from 0.
        other: usize,
    },
    /// More than 2^20 steps could run.
    TooManySteps {
        /// How many could; `u64::MAX` if that is more than 64 bits hold.
        steps: u64,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.step, self.verb) {
            (Some(step), Some(verb)) => write!(f, "step {} ({}): ", step + 1, verb.name())?,
            (Some(step), None) => write!(f, "step {}: ", step + 1)?,
            (None, _) => f.write_str("program: ")?,
        }
        self.reason.fmt(f)
    }
}

impl core::error::Error for Rejection {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Number => "a number",
            Kind::Descriptor => "a descriptor",
            Kind::Mixed => "a number on some ways to this step and a descriptor on others",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reason::Empty => f.write_str("it has no steps: give it at least one"),
            Reason::TooLong { steps } => {
                write!(
                    f,
                    "it has {steps} steps, and {MAX_PROGRAM_LENGTH} are the most: split it, or use a REPEAT"
                )
            }
            Reason::TooManyRegisters { registers } => {
                write!(f, "its caller is to set {registers} registers, and there are {REGISTERS}")
            }
            Reason::DescriptorNotSet { register } => write!(
                f,
                "r{register} is said to hold a descriptor, but the caller does not set it: raise the number of \
                 registers, or take it out of the mask"
            ),
            Reason::TooManyPieces { pieces } => write!(
                f,
                "it is called with {pieces} pieces of memory, and {MAX_CALL_PIECES} are the most: put several into one"
            ),
            Reason::NoSuchResult { register } => {
                write!(f, "its result is register {register}, and the last one is r{}", REGISTERS - 1)
            }
            Reason::ResultUndefined { register } => write!(
                f,
                "the result, r{register}, is undefined on some way to a successful end here: save something into it on \
                 every way"
            ),
            Reason::UnknownVerb { op } => write!(f, "no verb has the number {op}"),
            Reason::VerbRefused => f.write_str(
                "this verb may not stand in a stored program: put the other program's steps in its place",
            ),
            Reason::VerbNotYet => {
                f.write_str("this verb is not allowed in a stored program yet: use it in a chain of its own")
            }
            Reason::UnknownFlags { bits } => write!(f, "the flags {bits:#x} have no meaning: clear them"),
            Reason::FlagRefused { flag } => {
                write!(f, "the flag {} may not stand in a stored program: clear it", name(flag))
            }
            Reason::BothLinks => f.write_str("it has both LINK and HARDLINK: choose one"),
            Reason::BehindFinally => {
                f.write_str("it stands behind a step with FINALLY: FINALLY steps are the end of a program")
            }
            Reason::ControlInFinally => {
                f.write_str("TEST and REPEAT may not be FINALLY: decide in the ordinary steps")
            }
            Reason::PayloadLoaded { argument } => write!(
                f,
                "argument {argument} is a payload, and payloads are never loaded from a register: write it, or let the \
                 caller pass a piece"
            ),
            Reason::WrittenLoaded { argument } => {
                write!(f, "argument {argument} cannot be loaded from a register: write it")
            }
            Reason::Undefined { argument, register, always } => write!(
                f,
                "argument {argument} is loaded from r{register}, which is undefined on {} way to this step: save \
                 something into it before, or let the caller set it",
                if always { "every" } else { "some" },
            ),
            Reason::WantsDescriptor { argument, register, held } => write!(
                f,
                "argument {argument} is a descriptor, but r{register} holds {held}: load it from a register that an \
                 OPEN, SOCKET, ACCEPT or PIPE saves or the caller sets"
            ),
            Reason::WantsNumber { argument, register, held } => write!(
                f,
                "argument {argument} is a number, but r{register} holds {held}: descriptors go only where descriptors \
                 are wanted"
            ),
            Reason::Closed { argument, register } => write!(
                f,
                "argument {argument} is the descriptor in r{register}, which is closed by then: use it before its CLOSE"
            ),
            Reason::NoSuchDescriptor { argument, value } => write!(
                f,
                "argument {argument} is a descriptor, and {value:#x} is never one: load it from a register"
            ),
            Reason::ClosesWritten { value } => write!(
                f,
                "it closes the descriptor {value:#x}, which is written in the program, so that no later call could: let \
                 the caller pass it"
            ),
            Reason::PipeNeedsTwo => f.write_str(
                "a pipe's ends are saved into two registers, so it must save into one of r0 to r5",
            ),
            Reason::NoMeaning { argument, value } => {
                write!(
                    f,
                    "argument {argument} is {value:#x}, which has no meaning there: see the verb's page"
                )
            }
            Reason::NoSuchPiece { argument, piece, pieces } => write!(
                f,
                "argument {argument} names piece {piece} of the call (region {:#x}), which is called with {pieces}: \
                 declare it",
                usize::from(CALL_REGION) + piece
            ),
            Reason::PieceTooShort { argument, piece, needed, declared } => write!(
                f,
                "argument {argument} reaches to byte {needed} of piece {piece}, which has {declared} at least: declare \
                 a longer one"
            ),
            Reason::NoSuchConstant { argument, needed, room } => write!(
                f,
                "argument {argument} reaches to byte {needed} of the program's constants, which have {room}: give it more"
            ),
            Reason::ConstantWritten { argument } => write!(
                f,
                "argument {argument} names constants of the program, which this verb could write to: let the caller pass a \
                 piece"
            ),
            Reason::VectoredPiece { argument } => {
                write!(
                    f,
                    "argument {argument} is a piece of the call, which may not be VECTORED: use a step for each"
                )
            }
            Reason::VectoredLoaded { argument } => write!(
                f,
                "argument {argument} could make the payload VECTORED, which it may not be, and is loaded from a \
                 register: write it"
            ),
            Reason::Address { argument } => write!(
                f,
                "argument {argument} is an address in region 0, which only a program that is made with addresses may \
                 name: let the caller pass a piece"
            ),
            Reason::VectoredAddresses { argument } => write!(
                f,
                "argument {argument} is VECTORED, and its array could name addresses in region 0, which only a program \
                 that is made with addresses may do: use a step for each"
            ),
            Reason::RecordWithPayloads { argument, in_piece: true } => write!(
                f,
                "argument {argument} is a record that names payloads itself, which may not lie in a piece of the call: keep \
                 it in memory of your own"
            ),
            Reason::RecordWithPayloads { argument, in_piece: false } => write!(
                f,
                "argument {argument} is a record that could name addresses in region 0, which only a program that is made \
                 with addresses may do: use SEND and RECV"
            ),
            Reason::SkipsTooFar { members, left } => {
                write!(
                    f,
                    "it skips {members} steps, and {left} ordinary ones are behind it: use Stop, or skip fewer"
                )
            }
            Reason::NothingToTest => {
                f.write_str("it tests how the last step ended, and on some way to it none has run")
            }
            Reason::RepeatBound { bound } => {
                write!(f, "its body is to run {bound} times, and that must be 1 to {MAX_REPEAT}")
            }
            Reason::RepeatDistance { distance, before } => write!(
                f,
                "its body is the {distance} steps before it, and that must be 1 to {before}, which are before it"
            ),
            Reason::RepeatsCross { other } => write!(
                f,
                "its body begins inside the body of step {} and ends behind it: bodies must be nested or apart",
                other + 1
            ),
            Reason::TooManySteps { steps: u64::MAX } => {
                write!(
                    f,
                    "more steps could run than 64 bits count, and {MAX_PROGRAM_STEPS} are the most: lower the bounds"
                )
            }
            Reason::TooManySteps { steps } => {
                write!(f, "{steps} steps could run, and {MAX_PROGRAM_STEPS} are the most: lower the bounds")
            }
        }
    }
}

fn name(flag: EntryFlags) -> &'static str {
    flag.iter_names().next().map_or("?", |(name, _)| name)
}
