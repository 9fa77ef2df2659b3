//! The planner: plain calls that refuse to wait, or entries of the ring, for each run.
//!
//! It compares what a run costs either way, for as many chains as move on together. It only counts and compares: it
//! makes no call, knows no descriptor, and must never choose a call for an operation that such a call could not do
//! without waiting (`quick` says which those are). docs/planner.md tells the rules to users.

use super::measure;
use super::setup::Policy;

/// What each way costs, in nanoseconds. Only how the numbers compare decides anything.
///
/// [`Policy::Auto`] begins with [`Costs::USUAL`] and has this machine's own measured, once per process, when enough was
/// decided to make that worth while. [`RingBuilder::costs`](crate::RingBuilder::costs) fixes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A plain call of a small operation on a file.
    pub call: u32,
    /// The same operation as one of many entries that go to the kernel in one `io_uring_enter`.
    pub entry: u32,
    /// What each `io_uring_enter` adds.
    pub enter: u32,
}

impl Costs {
    /// What was measured on the machine that Ouzel is developed on: used until this machine's own are known.
    pub const USUAL: Costs = Costs { call: 1100, entry: 850, enter: 1600 };

    /// Measures this machine's, unless this process has done so before; about half a millisecond. `None` where it cannot be
    /// done: there is no io_uring, or the program's own file does not lie where a read can refuse to wait; or another
    /// thread is at it.
    pub fn measure() -> Option<Costs> {
        measure::measure_once().flatten()
    }
}

impl Default for Costs {
    fn default() -> Costs {
        Costs::USUAL
    }
}

/// Decisions that are made with the usual costs before this machine's own are measured: whoever makes fewer never pays
/// for measuring.
const PATIENCE: u32 = 256;

/// So many calls may be made without an entry for the kernel's ring while it has something of ours: with an entry it is
/// entered soon.
const BLIND_CALLS: u32 = 64;

/// The reasons that `explain` shows.
pub(super) mod reason {
    pub(in super::super) const FEW: &str = "few chains at once: calls that refuse to wait are cheaper";
    pub(in super::super) const CALLS: &str = "the policy wants calls where they need not wait";
    pub(in super::super) const STAT: &str = "the ring would give STAT to a kernel worker";
    pub(in super::super) const STAT_FOLLOWS: &str = "the STAT that follows goes by a call, so this does too";
    pub(in super::super) const BEGUN: &str = "it goes on by calls, as it began for the sake of a STAT";
    pub(in super::super) const MANY: &str = "many chains at once: entries that share an enter are cheaper";
    pub(in super::super) const LINKS: &str = "the policy wants the ring";
    pub(in super::super) const ONLY: &str = "as a plain call, some step of this run could wait";
    pub(in super::super) const SHARED: &str = "an enter is due anyway: an entry more is cheaper than a call";
    pub(in super::super) const TURN: &str = "what is in flight has to be looked at";
    pub(in super::super) const AWAITED: &str = "the caller waits for nothing else: a plain call may wait too";
    pub(in super::super) const REFUSED: &str = "a plain call would have had to wait";
}

/// What was chosen for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Plain calls, for this reason.
    Calls(&'static str),
    /// The ring, for this reason.
    Ring(&'static str),
}

/// Chooses.
#[derive(Debug)]
pub(super) struct Planner {
    policy: Policy,
    costs: Costs,
    /// Calls come into question.
    possible: bool,
    /// The costs are the user's, or this machine's own.
    settled: bool,
    /// How many chains move on together.
    together: u32,
    /// Decisions made with costs that are not settled.
    decisions: u32,
    /// Calls since the ring was last entered, or sure to be entered soon.
    blind: u32,
    /// The next operation that may be either has to be an entry.
    due: bool,
}

impl Planner {
    pub(super) fn new(policy: Policy, costs: Option<Costs>) -> Planner {
        let known = costs.or_else(|| measure::known().flatten());
        Planner {
            policy,
            costs: known.unwrap_or_default(),
            settled: known.is_some() || policy != Policy::Auto,
            possible: policy != Policy::Links,
            together: 1,
            decisions: 0,
            blind: 0,
            due: false,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    pub(super) fn costs(&self) -> Costs {
        self.costs
    }

    /// Opening by a call that refuses to wait is not to be had: everything goes through the ring.
    #[cold]
    pub(super) fn give_calls_up(&mut self) {
        self.possible = false;
    }

    /// Whether plain calls come into question at all.
    #[inline]
    pub(super) fn may_call(&self) -> bool {
        self.possible
    }

    /// So many chains are about to move on.
    #[inline]
    pub(super) fn expect(&mut self, chains: u32) {
        self.together = chains.max(1);
    }

    /// The ring has been entered.
    #[inline]
    pub(super) fn entered(&mut self) {
        self.blind = 0;
    }

    /// An entry was made for the ring, which will be entered for it.
    #[inline]
    pub(super) fn entry_made(&mut self) {
        self.blind = 0;
    }

    /// A plain call was made.
    #[inline]
    pub(super) fn called(&mut self) {
        self.blind += 1;
    }

    /// Whether so many calls were made that the ring should be entered if it has something of ours.
    #[inline]
    pub(super) fn is_blind(&self) -> bool {
        self.blind >= BLIND_CALLS
    }

    /// Whether a chain may go on by calls, which are wanted however many there are. If the ring has to be looked at, this
    /// chain is the one that makes an entry for that.
    #[inline]
    pub(super) fn may_go_on(&mut self, in_flight: bool) -> bool {
        let turn = in_flight && self.is_blind();
        if turn {
            (self.due, self.blind) = (true, 0);
        }
        !turn
    }

    /// Whether it was twice as many.
    #[inline]
    pub(super) fn is_blind_twice(&self) -> bool {
        self.blind >= 2 * BLIND_CALLS
    }

    /// Chooses for a run of `steps` operations each of which a plain call might do.
    ///
    /// `pending`: entries wait to be submitted, so there will be an enter whatever this says. `in_flight`: the ring has
    /// something of ours, so that it must be entered now and then.
    #[inline]
    pub(super) fn choose(&mut self, steps: usize, pending: bool, in_flight: bool) -> Plan {
        self.choose_for(self.together.saturating_mul(steps as u32), pending, in_flight)
    }

    /// As [`choose`](Planner::choose), for so many operations of all chains that move on together.
    #[inline]
    pub(super) fn choose_for(&mut self, operations: u32, pending: bool, in_flight: bool) -> Plan {
        if in_flight && self.is_blind() {
            return Plan::Ring(reason::TURN);
        }
        if self.policy == Policy::Calls {
            return Plan::Calls(reason::CALLS);
        }
        let Costs { call, entry, enter } = self.costs;
        let operations = u64::from(operations);
        let enter = if pending { 0 } else { u64::from(enter) };
        self.decisions = self.decisions.saturating_add(1);
        let (calls, entries) = (operations * u64::from(call), enter + operations * u64::from(entry));
        // What differs by less than a sixteenth is as good as equal, and must not go now this way, now that.
        if calls <= entries + entries / 16 {
            Plan::Calls(reason::FEW)
        } else if pending && self.together == 1 {
            Plan::Ring(reason::SHARED)
        } else {
            Plan::Ring(reason::MANY)
        }
    }

    /// Chooses for what should go by plain calls for this reason, however many there are; `blind` if the ring has to be
    /// looked at all the same.
    #[inline]
    pub(super) fn insist(&mut self, why: &'static str, blind: bool) -> Plan {
        if std::mem::take(&mut self.due) || blind {
            Plan::Ring(reason::TURN)
        } else if self.policy == Policy::Calls {
            Plan::Calls(reason::CALLS)
        } else {
            Plan::Calls(why)
        }
    }

    /// Has this machine's costs measured if it is time for that. Nothing may be pending, since it takes a while.
    #[inline]
    pub(super) fn measure_in_time(&mut self) {
        if !self.settled && self.decisions >= PATIENCE {
            self.measure_now();
        }
    }

    #[cold]
    fn measure_now(&mut self) {
        match measure::measure_once() {
            Some(costs) => {
                self.settled = true;
                self.costs = costs.unwrap_or(self.costs);
            }
            // Another thread is at it.
            None => self.decisions = 0,
        }
    }
}
