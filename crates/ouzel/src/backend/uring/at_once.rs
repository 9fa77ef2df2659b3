//! At once: whether the engine is to offer operations before it makes anything of them, and doing those.
//!
//! The calls are those of `quick`, and so are the rules for what they may be made on; `planner` says whether they are
//! cheaper. What would have to wait is left alone, and the engine then starts it like any other.

use ouzel_engine::{Operation, Outcome};
use ouzel_ring::Verb;

use super::Uring;
use super::planner::Plan;
use super::quick::Tried;
use crate::backend::memory::is_empty;

impl Uring {
    /// Whether plain calls are cheaper for `entries` operations that move on together.
    #[inline]
    pub(super) fn wants_calls(&mut self, entries: u32) -> bool {
        self.few = false;
        if !self.planner.may_call() {
            return false;
        }
        if self.in_flight == 0 {
            self.planner.measure_in_time();
        }
        let pending = self.ring.sq_pending() > 0;
        self.few = matches!(self.planner.choose_for(entries, pending, self.in_flight > 0), Plan::Calls(_));
        self.few
    }

    /// Whether plain calls are wanted for a chain that begins so, however many there are.
    #[inline]
    pub(super) fn wants_calls_for(&mut self, first: Verb, second: Option<Verb>) -> bool {
        let wanted = match first {
            Verb::Stat | Verb::Close => true,
            Verb::Open => second == Some(Verb::Stat),
            _ => false,
        };
        wanted && self.planner.may_call() && self.planner.may_go_on(self.in_flight > 0)
    }

    /// Does an operation by a plain call, which refuses to wait unless the caller waits for it anyway.
    #[inline(never)]
    pub(super) fn call_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        if self.awaited
            && let Some(outcome) = self.do_awaited(operation)
        {
            return Some(outcome);
        }
        let tried = match *operation {
            Operation::Stat { directory, path, ref record, flags } => {
                self.quick_stat(directory, path, record, flags)
            }
            Operation::Open { directory, path, flags, into, .. } if self.might_be_called(operation) => {
                self.quick_open(directory, path, flags, into)
            }
            // A read at the current position that comes back short has moved it: it is for the run to read on.
            Operation::Read { file, ref buffers, position: position @ Some(_) } if !is_empty(buffers) => {
                self.quick_read(file, buffers, position)
            }
            Operation::Close { file } => self.quick_close(file),
            Operation::Send { socket, ref buffer, flags } if self.few => {
                self.quick_send(socket, buffer, flags)
            }
            _ => return None,
        };
        match tried {
            Tried::Over(outcome) => Some(outcome),
            // What was read of a part is read again with the rest.
            Tried::Refused | Tried::Partly(_) => {
                self.refused = matches!(operation, Operation::Open { .. } | Operation::Read { .. });
                None
            }
        }
    }
}
