//! Spans: a `tracing` span for each chain and, within it, one for each operation, for those who have asked for them.
//!
//! They lie in rows made with the ring; what a subscriber allocates is its own. A span is never entered: an operation runs
//! beside the thread. It is open from its admission to its end.

use ouzel_chain::timeline::place_name;
use ouzel_engine::{End, Place};
use ouzel_ring::{Entry, Errno, Verb};
use tracing::{Span, debug_span, field};

/// What is kept of a chain.
#[derive(Clone)]
struct Chain {
    span: Span,
    operations: u64,
    error: Errno,
}

pub(super) struct Spans {
    /// By row of the packet; [`Span::none`] where there is none.
    operations: Box<[Operation]>,
    /// By row of the chain.
    chains: Box<[Chain]>,
    /// By place of the chain in its ring, if that says where chains were submitted: the span it happened in.
    submitters: Vec<Span>,
    /// Whether user data begin with that place.
    knows_submitters: bool,
    /// Chains begun so far.
    count: u64,
}

#[derive(Clone)]
struct Operation {
    span: Span,
    chain: usize,
    op: u32,
    data: u64,
}

impl Spans {
    pub(super) fn new(operations: usize, chains: usize) -> Spans {
        let operation = Operation { span: Span::none(), chain: 0, op: 0, data: 0 };
        let chain = Chain { span: Span::none(), operations: 0, error: Errno::OK };
        Spans {
            operations: vec![operation; operations].into_boxed_slice(),
            chains: vec![chain; chains].into_boxed_slice(),
            submitters: Vec::new(),
            knows_submitters: false,
            count: 0,
        }
    }

    /// From now on the upper 48 bits of user data name a place of a chain, for which
    /// [`submitted`](Spans::submitted) is called before it is admitted.
    pub(super) fn know_submitters(&mut self) {
        self.knows_submitters = true;
    }

    /// A chain with this place was submitted here. There are only as many places as ever were in flight at once.
    pub(super) fn submitted(&mut self, place: usize) {
        if self.submitters.len() <= place {
            self.submitters.resize(place + 1, Span::none());
        }
        self.submitters[place] = Span::current();
    }

    pub(super) fn begin_chain(&mut self, row: usize, caller: Option<usize>, goes_on: bool, data: u64) {
        if goes_on {
            // Its first members were done at once, in the last row.
            let last = self.chains.len() - 1;
            self.chains[row] = self.chains[last].clone();
            self.chains[last].span = Span::none();
            return;
        }
        self.count += 1;
        let number = self.count;
        let place = usize::try_from(data >> 16).unwrap_or(usize::MAX);
        let submitter = self.submitters.get_mut(place).filter(|_| self.knows_submitters);
        let span = match (caller, submitter) {
            (Some(caller), _) => {
                let parent = self.operations[caller].span.id();
                debug_span!(target: "ouzel::chain", parent: parent, "program", number, operations = field::Empty, error = field::Empty)
            }
            (None, Some(submitter)) => {
                let parent = std::mem::replace(submitter, Span::none()).id();
                debug_span!(target: "ouzel::chain", parent: parent, "chain", number, operations = field::Empty, error = field::Empty)
            }
            (None, None) => {
                debug_span!(target: "ouzel::chain", "chain", number, operations = field::Empty, error = field::Empty)
            }
        };
        self.chains[row] = Chain { span, operations: 0, error: Errno::OK };
    }

    pub(super) fn begin(&mut self, row: usize, chain: usize, entry: &Entry) {
        let Entry { op, data, .. } = *entry;
        self.operations[row] = Operation { span: self.operation(chain, op, data), chain, op, data };
    }

    fn operation(&self, chain: usize, op: u32, data: u64) -> Span {
        let verb = Verb::from_number(op).map_or("unknown", Verb::name);
        let parent = self.chains[chain].span.id();
        debug_span!(
            target: "ouzel::operation", parent: parent, "operation", verb, data,
            place = field::Empty, result = field::Empty, error = field::Empty, skipped = field::Empty
        )
    }

    pub(super) fn started(&mut self, row: usize, place: Place) {
        let Operation { op, data, chain, .. } = self.operations[row];
        if self.operations[row].span.is_none() {
            // It runs once more.
            self.operations[row].span = self.operation(chain, op, data);
        }
        self.operations[row].span.record("place", place_name(place));
    }

    pub(super) fn end(&mut self, row: usize, end: End) {
        let Operation { span, chain, .. } = &mut self.operations[row];
        let chain = &mut self.chains[*chain];
        let span = std::mem::replace(span, Span::none());
        if end.skipped {
            span.record("skipped", true);
        } else {
            chain.operations += 1;
        }
        if end.error.is_ok() {
            span.record("result", end.result);
        } else {
            span.record("error", end.error.name());
            // What failed by itself says more than what was only kept from running.
            if chain.error.is_ok() || (chain.error == Errno::ECANCELED && !end.skipped) {
                chain.error = end.error;
            }
        }
    }

    pub(super) fn end_chain(&mut self, row: usize) {
        let chain = &mut self.chains[row];
        let span = std::mem::replace(&mut chain.span, Span::none());
        span.record("operations", chain.operations);
        if !chain.error.is_ok() {
            span.record("error", chain.error.name());
        }
    }
}
