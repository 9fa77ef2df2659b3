//! The trait between the engine and whatever gets a verb done.
//!
//! A backend starts operations, cancels them and reports how they ended. It knows nothing of entries, chains,
//! registers or credits. Everything is called from the thread that enters the engine; a backend with threads of its
//! own hands their results over inside [`Backend::wait`] and [`Backend::next`].
//!
//! # One verb from entry to completion
//!
//! A submitter pushes READ of descriptor (generation 3, index 5) into 4 KiB at offset 0 and enters with `wait` 1.
//!
//! 1. The engine copies the entry, reserves a completion credit and a packet (slot 9, generation 2).
//! 2. It looks descriptor (3, 5) up in its table, checks that the 4 KiB lie in a known region, and so makes an
//!    [`Operation::Read`]` { file: 5, .. }`. Had a check failed, the completion would be posted now and the backend
//!    never asked.
//! 3. It calls [`start`](Backend::start) with one [`Step`] whose token is (9, 2). A backend on a kernel ring writes
//!    a kernel entry and returns [`Started::Taken`]; one that can answer at once returns [`Started::Finished`].
//! 4. Since nothing is readable yet, it calls [`wait`](Backend::wait) wanting 1. The backend submits what was
//!    started and sleeps until the kernel has something, in one system call.
//! 5. [`next`](Backend::next) returns a [`Report`]: token (9, 2), error 0, result 4096. The engine finds packet 9,
//!    sees that its generation is 2, saves the result into a register if asked, posts the completion, frees the
//!    packet (its generation becomes 3) and goes on with the chain.
//!
//! # Cancel against complete
//!
//! A RECV waits in the backend with token (4, 7). The submitter cancels it just as bytes arrive.
//!
//! 1. The engine marks packet 4 as cancelled and calls [`cancel`](Backend::cancel). That is a request and returns
//!    nothing; the packet lives on, and so does the promise that its buffer stays valid.
//! 2. In the backend exactly one side wins: the completion, or the cancel. (The threads backend decides it with one
//!    compare-and-swap, see [`Claim`](crate::Claim); the kernel decides it for the uring backend.)
//! 3. Either way there is one report for (4, 7): the bytes, or ECANCELED. The engine posts what was reported: if the
//!    cancel lost, the result is delivered as though nobody had asked.
//! 4. Only now is packet 4 freed. A second cancel for (4, 7) finds no such token and does nothing.
//!
//! A timeout that fires takes the same way, except that ECANCELED is then posted as ETIMEDOUT.

use ouzel_ring::{Errno, Verb};

use crate::Operation;

/// The engine's name for a started operation: a packet's slot and generation. A backend returns it unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The packet's slot, below the engine's packet limit.
    pub slot: u32,
    /// The slot's generation.
    pub generation: u32,
}

impl Token {
    /// The token as one word.
    #[inline]
    pub const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The token a word stands for.
    #[inline]
    pub const fn from_word(word: u64) -> Token {
        Token { slot: word as u32, generation: (word >> 32) as u32 }
    }
}

/// What ties a step of a run to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The step runs only if the one before succeeded in full. A backend may also break the run here after a short
    /// transfer: it reports the rest as [`Outcome::NotRun`] and the engine goes on from there.
    Success,
    /// The step runs whatever became of the one before, if that ran. Behind a step that did not run none runs: the
    /// engine decides what is to be done with the rest.
    Always,
}

/// One operation to start.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Returned in every report of this operation.
    pub token: Token,
    /// What to do.
    pub operation: Operation,
    /// How this step hangs on the one before it in the slice; without meaning for the first.
    pub edge: Edge,
    /// If false the operation may not wait for an *event* (data, room, a peer): when it would have to, it ends with
    /// ETIMEDOUT. The latency of storage is not an event.
    pub may_wait: bool,
}

impl Step {
    /// Nothing: what a list of steps is filled with.
    pub(crate) const NONE: Step = Step {
        token: Token { slot: u32::MAX, generation: 0 },
        operation: Operation::NONE,
        edge: Edge::Success,
        may_wait: true,
    };
}

/// Where an operation ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In the engine itself: nobody was asked.
    Engine,
    /// A plain system call on the caller's thread.
    Call,
    /// An entry of the kernel's ring.
    Kernel,
    /// An entry of the kernel's ring, linked to the one before it.
    Linked,
    /// A thread of the uring backend's helper pool.
    Helper,
    /// A thread of the threads backend.
    Thread,
    /// The simulator's memory.
    Simulated,
}

/// Where an operation ran and why there, for `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where.
    pub place: Place,
    /// Why there, as half a sentence; empty where there was no choice.
    pub reason: &'static str,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Done {
        /// [`Errno::OK`], or the error. A cancelled operation has ECANCELED.
        error: Errno,
        /// As the operation's page says. Ignored for operations that open: the engine knows the descriptor.
        result: u64,
        /// A second result, or 0.
        extra: u32,
    },
    /// It was taken as a later step of a run and never ran, because the run broke before it. Nothing has happened.
    NotRun,
}

impl Outcome {
    /// Success with this result.
    #[inline]
    pub const fn success(result: u64) -> Outcome {
        Outcome::Done { error: Errno::OK, result, extra: 0 }
    }

    /// Whether it ran and succeeded.
    #[inline]
    pub const fn is_success(&self) -> bool {
        matches!(self, Outcome::Done { error: Errno::OK, .. })
    }

    /// Failure with this error.
    #[inline]
    pub const fn failure(error: Errno) -> Outcome {
        Outcome::Done { error, result: 0, extra: 0 }
    }
}

/// What became of a call to [`Backend::start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The first `count` steps (at least 1) belong to the backend now; each will be reported.
    Taken {
        /// How many.
        count: usize,
        /// How the first of them runs.
        way: Way,
    },
    /// The first step is over; it will not be reported, and no other was taken.
    Finished {
        /// How it ended; never [`Outcome::NotRun`].
        outcome: Outcome,
        /// Where it ran.
        way: Way,
    },
    /// No room: nothing was taken. The engine asks again after the next [`wait`](Backend::wait), and with each enter.
    Busy,
}

/// What a backend says of one started operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The token of the step.
    pub token: Token,
    /// How it ended, or one result of many.
    pub outcome: Outcome,
    /// A multishot operation goes on; there will be another report.
    pub more: bool,
}

/// What a backend has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that submit to a kernel's ring or wait for it (`io_uring_enter`).
    pub enters: u64,
    /// Plain system calls that did an operation's work, on any thread.
    pub calls: u64,
    /// Operations handed to another thread.
    pub handoffs: u64,
}

impl Counters {
    /// Crossings in all: enters and plain calls.
    pub const fn crossings(self) -> u64 {
        self.enters + self.calls
    }

    /// What has been added since `earlier`.
    pub const fn since(self, earlier: Counters) -> Counters {
        Counters {
            enters: self.enters - earlier.enters,
            calls: self.calls - earlier.calls,
            handoffs: self.handoffs - earlier.handoffs,
        }
    }
}

/// Something that gets operations done.
///
/// Rules: every step taken is reported exactly once without `more` (any number of times with it, for multishot
/// operations); steps of one run are reported in their order; after [`cancel`](Backend::cancel) that report still
/// comes. A backend reads and writes an operation's memory only between `start` and that last report.
pub trait Backend {
    /// Nanoseconds of a monotonic clock, the one that [`wait`](Backend::wait) counts in.
    fn now(&self) -> u64;

    /// The most steps that [`start`](Backend::start) may be given at once.
    fn longest_run(&self) -> usize {
        1
    }

    /// Says that up to `chains` chains are about to move on before anything is sent on its way by
    /// [`wait`](Backend::wait): what they start can travel together. A hint, for backends with more than one way to get
    /// something done.
    fn expect(&mut self, chains: u32) {
        let _ = chains;
    }

    /// Whether operations should be offered to [`do_at_once`](Backend::do_at_once), when `entries` entries move on
    /// together. A hint.
    fn prefers_at_once(&mut self, entries: u32) -> bool {
        let _ = entries;
        false
    }

    /// Whether the members of a chain that begins with these verbs should be offered to
    /// [`do_at_once`](Backend::do_at_once), however many entries move on together. Asked where
    /// [`prefers_at_once`](Backend::prefers_at_once) said no. A hint.
    fn prefers_chain_at_once(&mut self, first: Verb, second: Option<Verb>) -> bool {
        let _ = (first, second);
        false
    }

    /// Does an operation, if that can be done here and now, without waiting for anything (unless it
    /// [may](Backend::may_block)), and returns how it ended: never as [`Outcome::NotRun`]. `None` means that nothing has
    /// happened; it will be started.
    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        let _ = operation;
        None
    }

    /// Says whether whoever entered the engine can do nothing but wait for the operation that is started next, or offered
    /// to [`do_at_once`](Backend::do_at_once), until it is said otherwise. If so, what only storage delays may be done
    /// within that call, however long it takes; what waits for an *event* may not. A hint.
    fn may_block(&mut self, may: bool) {
        let _ = may;
    }

    /// Whether `next` could be started in one run behind `previous`.
    ///
    /// Asked before `start`, for each pair of a run in turn. The engine has made sure that the arguments of `next` do not
    /// depend on a result of `previous` other than a descriptor it opens.
    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        let _ = (previous, edge, next);
        false
    }

    /// Starts a run: `steps[0]`, and behind it as many of the others as this backend can take in one go. The slice is
    /// not empty, and no longer than [`longest_run`](Backend::longest_run). Must not block.
    ///
    /// If the first step is over at once and succeeded, this may be called with the rest of the same slice next.
    fn start(&mut self, steps: &[Step]) -> Started;

    /// Asks for an operation to be given up. Unknown tokens are ignored. Must not block.
    fn cancel(&mut self, token: Token);

    /// Sees to it that everything started is on its way, then sleeps until `want` reports can be had from
    /// [`next`](Backend::next), or the clock reaches `until`. It may return sooner, with at least one report or none (the engine
    /// calls again). With `want` 0 it does not sleep.
    ///
    /// An error means that the backend can make no progress any more; the engine then reports it to its caller.
    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno>;

    /// The next report, if there is one. Must not block.
    fn next(&mut self) -> Option<Report>;

    /// Puts the object behind `handle`, the result of a multishot ACCEPT, into the table at `index`.
    fn attach(&mut self, handle: u64, index: u32);

    /// Closes the object behind `handle`: there was no index for it.
    fn discard(&mut self, handle: u64);

    /// What it has cost so far.
    fn counters(&self) -> Counters;
}

impl<B: Backend + ?Sized> Backend for alloc::boxed::Box<B> {
    fn now(&self) -> u64 {
        (**self).now()
    }

    fn longest_run(&self) -> usize {
        (**self).longest_run()
    }

    fn expect(&mut self, chains: u32) {
        (**self).expect(chains);
    }

    fn prefers_at_once(&mut self, entries: u32) -> bool {
        (**self).prefers_at_once(entries)
    }

    fn prefers_chain_at_once(&mut self, first: Verb, second: Option<Verb>) -> bool {
        (**self).prefers_chain_at_once(first, second)
    }

    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        (**self).do_at_once(operation)
    }

    fn may_block(&mut self, may: bool) {
        (**self).may_block(may);
    }

    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        (**self).follows(previous, edge, next)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        (**self).start(steps)
    }

    fn cancel(&mut self, token: Token) {
        (**self).cancel(token);
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        (**self).wait(want, until)
    }

    fn next(&mut self) -> Option<Report> {
        (**self).next()
    }

    fn attach(&mut self, handle: u64, index: u32) {
        (**self).attach(handle, index);
    }

    fn discard(&mut self, handle: u64) {
        (**self).discard(handle);
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }
}
