//! What came of a chain: each step's result or error, and the buffers back.

use core::fmt;
use core::marker::PhantomData;

use ouzel_engine::{EventKind, Way};
use ouzel_ring::{Completion, Descriptor, Errno, Verb};

use crate::address::SocketAddress;
use crate::chain::{Address, Chain, Exit, Fd, Received, ReceivedMessage, Reg, Room, Stat, Statfs, Unit};
use crate::directory::Entries;
use crate::error::{Error, OperationError};
use crate::exit::ExitStatus;
use crate::stat::FileStat;
use crate::statfs::FileSystemStat;
use crate::{Buffer, BuildError, Picked};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Fd {}
    impl Sealed for super::Unit {}
    impl Sealed for super::Stat {}
    impl Sealed for super::Statfs {}
    impl Sealed for super::Address {}
    impl Sealed for super::Exit {}
    impl Sealed for super::Received {}
    impl Sealed for crate::Picked {}
    impl Sealed for usize {}
    impl Sealed for u64 {}
}

/// What a [`Reg`] stands for, and what it is when the chain is done.
pub trait Kind: sealed::Sealed {
    /// Its type when the chain is done.
    type Value;

    /// Whether it is a number in a register; `None` if a completion's result alone does not say what it is.
    #[doc(hidden)]
    const HELD: Option<bool>;

    #[doc(hidden)]
    const OPENS: bool = false;

    #[doc(hidden)]
    fn value(completion: &Completion, second: bool, buffer: Option<&Buffer>) -> Option<Self::Value>;
}

impl Kind for Fd {
    type Value = Descriptor;
    const HELD: Option<bool> = Some(true);
    const OPENS: bool = true;
    fn value(completion: &Completion, second: bool, _: Option<&Buffer>) -> Option<Descriptor> {
        // A pipe's second end is not in its completion.
        if second { None } else { Descriptor::from_number(completion.result) }
    }
}

impl Kind for usize {
    type Value = usize;
    const HELD: Option<bool> = Some(true);
    fn value(completion: &Completion, _: bool, _: Option<&Buffer>) -> Option<usize> {
        usize::try_from(completion.result).ok()
    }
}

impl Kind for u64 {
    type Value = u64;
    const HELD: Option<bool> = Some(true);
    fn value(completion: &Completion, _: bool, _: Option<&Buffer>) -> Option<u64> {
        Some(completion.result)
    }
}

impl Kind for Unit {
    type Value = ();
    const HELD: Option<bool> = Some(false);
    fn value(_: &Completion, _: bool, _: Option<&Buffer>) -> Option<()> {
        Some(())
    }
}

impl Kind for Stat {
    type Value = FileStat;
    const HELD: Option<bool> = None;
    fn value(_: &Completion, _: bool, buffer: Option<&Buffer>) -> Option<FileStat> {
        FileStat::from_record(buffer?)
    }
}

impl Kind for Statfs {
    type Value = FileSystemStat;
    const HELD: Option<bool> = None;
    fn value(_: &Completion, _: bool, buffer: Option<&Buffer>) -> Option<FileSystemStat> {
        FileSystemStat::from_record(buffer?)
    }
}

impl Kind for Address {
    type Value = SocketAddress;
    const HELD: Option<bool> = None;
    fn value(_: &Completion, _: bool, buffer: Option<&Buffer>) -> Option<SocketAddress> {
        Some(SocketAddress::from_bytes(buffer?))
    }
}

impl Kind for Exit {
    type Value = ExitStatus;
    const HELD: Option<bool> = None;
    fn value(completion: &Completion, _: bool, _: Option<&Buffer>) -> Option<ExitStatus> {
        Some(ExitStatus::new(completion.result, completion.extra))
    }
}

impl Kind for Received {
    type Value = ReceivedMessage;
    const HELD: Option<bool> = None;
    fn value(completion: &Completion, _: bool, buffer: Option<&Buffer>) -> Option<ReceivedMessage> {
        ReceivedMessage::from_envelope(completion.result, buffer?)
    }
}

impl Kind for Picked {
    type Value = usize;
    // The count is, but it would be of no use without the buffer.
    const HELD: Option<bool> = None;
    fn value(completion: &Completion, _: bool, _: Option<&Buffer>) -> Option<usize> {
        usize::try_from(completion.result).ok()
    }
}

/// A chain that has run.
///
/// `E` is the error of who has run it, which reading a result fails with.
pub struct Done<E = Error> {
    pub(crate) chain: Chain,
    error: PhantomData<fn() -> E>,
}

impl<E> Done<E> {
    #[inline]
    pub(crate) fn of(chain: Chain) -> Done<E> {
        Done { chain, error: PhantomData }
    }
}

impl<E: From<Error>> Done<E> {
    /// The value of `reg`.
    ///
    /// Errors: [`Error::Operation`] if its step failed or was not run; [`Error::Skipped`] if a condition of the chain kept it
    /// from running; [`Error::Build`] if it is another chain's. Of a step in a loop it is the value of the last turn.
    #[inline]
    pub fn get<T: Kind>(&self, reg: Reg<T>) -> Result<T::Value, E> {
        let step = self.own(reg)?;
        let completion = self.completion(step)?;
        T::value(completion, reg.second, self.chain.body.buffer_of(step))
            .ok_or_else(|| Error::Operation(self.error_of(step, Errno::EINVAL)).into())
    }

    /// The entries that a READDIR step has read.
    ///
    /// Errors: as for [`get`](Done::get).
    pub fn entries(&self, reg: Reg<usize>) -> Result<Entries<'_>, E> {
        let step = self.own(reg)?;
        self.completion(step)?;
        let buffer = self.chain.body.buffer_of(step);
        Ok(Entries::new(buffer.map_or(&[], |buffer| buffer.as_slice())))
    }
}

impl<E> Done<E> {
    /// Takes the buffer that moved into the step of `reg`. After a read it holds what was read, also if the step failed
    /// halfway. `None` if there is none, or it was taken, or `reg` is another chain's.
    #[inline]
    pub fn take<T>(&mut self, reg: Reg<T>) -> Option<Buffer> {
        if !self.owns(reg) {
            return None;
        }
        self.chain.body.take_buffer_of(reg.step())
    }

    /// Takes a piece of the message that a SENDMSG has sent or a RECVMSG received, counted from 0. `None` if there is none,
    /// or it was taken, or `reg` is another chain's or no message's.
    pub fn take_piece<T>(&mut self, reg: Reg<T>, piece: usize) -> Option<Buffer> {
        if !self.owns(reg) {
            return None;
        }
        self.chain.body.take_piece_of(reg.step(), piece)
    }

    /// Takes the buffer of a step, counted in the order steps were added: as [`take`](Done::take), for those who keep no
    /// registers. For a STAT step it is the record; a step that writes what another has read shares that one's buffer.
    pub fn take_of(&mut self, step: usize) -> Option<Buffer> {
        self.chain.body.take_buffer_of(step)
    }

    /// Takes back a room. What is filled of it is what the last of the steps that read into it says, or, if none did, what
    /// the buffer held before. `None` if it was taken, or is another chain's.
    pub fn take_room(&mut self, room: Room) -> Option<Buffer> {
        let body = &mut *self.chain.body;
        if !room.is_of(body.number) {
            return None;
        }
        body.take_room(room)
    }

    /// Whether a step was skipped: a condition of the chain kept it from running.
    pub fn was_skipped<T>(&self, reg: Reg<T>) -> bool {
        self.owns(reg) && matches!(self.completion(reg.step()), Err(Error::Skipped { .. }))
    }

    /// Whether a step was skipped, counted in the order steps were added.
    pub fn skipped(&self, step: usize) -> bool {
        matches!(self.completion(step), Err(Error::Skipped { .. }))
    }

    /// Where a step ran and why there; `None` if it did not run, or the ring was not tracing.
    pub fn way_of(&self, step: usize) -> Option<Way> {
        let own = self.chain.verbs().nth(step)?;
        self.chain.body.events.iter().rev().find_map(|(number, event)| match event.kind {
            // Beside those of a CALL are those of the steps of its program.
            EventKind::Started { way, verb, .. } if *number as usize == step && verb == own => Some(way),
            _ => None,
        })
    }

    /// The completion of a step, counted in the order steps were added; `None` if there is no such step, or it was
    /// [silent](Chain::silent) and succeeded.
    pub fn completion_of(&self, step: usize) -> Option<Completion> {
        self.chain.body.steps.get(step)?.completion
    }

    /// How many steps the chain had.
    pub fn len(&self) -> usize {
        self.chain.len()
    }

    /// Whether the chain had no steps; such a chain does not run.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// The error that stopped the chain: that of the first step that failed by itself. `None` if every step succeeded
    /// or was only kept from running.
    pub fn error(&self) -> Option<OperationError> {
        if !self.chain.body.failed {
            return None;
        }
        let failed = |cancelled: bool| {
            (0..self.len()).find(|step| {
                self.completion_of(*step).is_some_and(|completion| {
                    completion.error != 0 && (completion.errno() == Errno::ECANCELED) == cancelled
                }) && !self.chain.body.was_spared(*step)
            })
        };
        let step = failed(false).or_else(|| failed(true))?;
        Some(self.error_of(step, self.completion_of(step)?.errno()))
    }

    /// `Ok` if every step succeeded.
    #[inline]
    pub fn check(&self) -> Result<(), OperationError> {
        if self.chain.body.failed { self.error().map_or(Ok(()), Err) } else { Ok(()) }
    }

    /// An empty chain that reuses this one's memory.
    #[inline]
    pub fn into_chain(self) -> Chain {
        let mut chain = self.chain;
        chain.body.reset();
        chain
    }

    /// Whether the step of `reg` is this chain's, ran and succeeded.
    #[inline]
    pub fn has_succeeded<T>(&self, reg: Reg<T>) -> bool {
        let step = self.chain.body.steps.get(reg.step()).filter(|_| reg.chain == self.chain.body.number);
        let completion = step.and_then(|step| step.completion.as_ref());
        completion.is_some_and(|completion| completion.error == 0 && !completion.was_skipped())
    }

    #[inline]
    pub(crate) fn owns<T>(&self, reg: Reg<T>) -> bool {
        reg.chain == self.chain.body.number && reg.step() < self.len()
    }

    #[inline]
    fn own<T>(&self, reg: Reg<T>) -> Result<usize, Error> {
        if self.owns(reg) {
            return Ok(reg.step());
        }
        Err(BuildError::ForeignRegister { step: self.len(), verb: Verb::Get, of: reg.step() }.into())
    }

    #[inline]
    fn completion(&self, step: usize) -> Result<&Completion, Error> {
        match self.chain.body.steps.get(step).and_then(|step| step.completion.as_ref()) {
            Some(completion) if completion.error == 0 && !completion.was_skipped() => Ok(completion),
            Some(completion) if completion.was_skipped() || self.chain.body.was_spared(step) => {
                Err(Error::Skipped { step, verb: self.verb(step) })
            }
            Some(completion) => Err(self.error_of(step, completion.errno()).into()),
            None => Err(BuildError::Silent { step, verb: self.verb(step) }.into()),
        }
    }

    fn error_of(&self, step: usize, errno: Errno) -> OperationError {
        OperationError { step, verb: self.verb(step), errno, operand: self.chain.body.operand(step) }
    }

    fn verb(&self, step: usize) -> Verb {
        self.chain.body.steps.get(step).map_or(Verb::Nop, |step| step.shape.verb())
    }
}

impl<E> fmt::Debug for Done<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Done").field("chain", &self.chain).finish()
    }
}
