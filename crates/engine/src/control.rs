//! The control verbs: what computes on registers (SET to LOAD) and what decides which member runs next (TEST, REPEAT).
//!
//! They run in the engine, at the member's turn, and are over at once. LOAD reads a word of the submitter's memory,
//! through the table of regions; nothing else here touches memory. A stored program is run elsewhere (`call`).

use ouzel_ring::modifiers::{
    Action, Condition, MAX_PROGRAM_STEPS, MAX_REPEAT, Overflow, RECV_GROUP, ShiftDirection, TestFlags, TestOf,
};
use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

use crate::conclude::Ending;
use crate::packet::{Last, Stage, marks};
use crate::slab::NONE;
use crate::{Backend, Engine};

/// Whether the engine itself executes `verb`: no backend ever sees it, and its first argument is no descriptor.
#[inline]
pub(crate) const fn is_engine_s_own(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Nop
            | Verb::Cancel
            | Verb::Sleep
            | Verb::Get
            | Verb::Deadline
            | Verb::Set
            | Verb::Add
            | Verb::Sub
            | Verb::Min
            | Verb::And
            | Verb::Shift
            | Verb::Load
            | Verb::Test
            | Verb::Repeat
            | Verb::Call
    )
}

/// Whether TEST passes over a member with this number when it asks for the last one that ran.
#[inline]
pub(crate) const fn is_passed_over(op: u32) -> bool {
    op == Verb::Test as u32 || op == Verb::Repeat as u32
}

impl<B: Backend> Engine<B> {
    /// Executes a control verb other than CALL. Returns how it ended.
    #[inline(never)]
    pub(crate) fn control(&mut self, chain: u32, slot: u32, verb: Verb) -> Ending {
        let Entry { data, arguments, .. } = self.packets[slot].entry;
        let (ended, reason) = match verb {
            Verb::Load => (self.load_word(&arguments), ""),
            Verb::Test => match self.test(chain, slot, &arguments) {
                Ok((held, reason)) => (Ok(held as u64), reason),
                Err(error) => (Err(error), ""),
            },
            Verb::Repeat => match self.repeat(chain, slot, &arguments) {
                Ok((turns, reason)) => (Ok(turns), reason),
                Err(error) => (Err(error), ""),
            },
            _ => (compute(verb, &arguments), ""),
        };
        self.record_own(slot, data, verb, reason);
        match ended {
            Ok(result) => Ending::success(result),
            Err(error) => Ending::of(error),
        }
    }

    /// LOAD: a word out of a buffer.
    fn load_word(&self, arguments: &[u64; 5]) -> Result<u64, Errno> {
        let &[_, payload, width, offset, length] = arguments;
        if !matches!(width, 1 | 2 | 4 | 8) {
            return Err(Errno::EINVAL);
        }
        if offset.checked_add(width).is_none_or(|end| end > length) {
            return Err(Errno::EFAULT);
        }
        self.regions.word(payload, offset, width as usize)
    }

    /// TEST. Returns whether it held, and what came of it.
    fn test(&mut self, chain: u32, slot: u32, arguments: &[u64; 5]) -> Result<(bool, &'static str), Errno> {
        let action = Action::from_number(arguments[1] & u64::from(u32::MAX)).ok_or(Errno::EINVAL)?;
        let distance = (arguments[1] >> 32) as u32;
        let packet = &self.packets[slot];
        let members = &mut self.chains[chain];
        let last = (members.marks & marks::RAN != 0).then_some(&members.last);
        let held = holds(arguments, last)?;
        if packet.is_finally() || (action == Action::Skip) != (distance > 0) {
            return Err(Errno::EINVAL);
        }
        // Whether there are as many is asked also of a test that does not hold, so that a mistake shows at once.
        let mut behind = packet.next;
        for _ in 0..distance {
            if behind == NONE || self.packets[behind].is_finally() {
                return Err(Errno::EINVAL);
            }
            behind = self.packets[behind].next;
        }
        if !held {
            return Ok((false, "it does not hold"));
        }
        match action {
            Action::Continue => Ok((true, "it holds: the chain goes on")),
            Action::Stop => {
                members.stop();
                Ok((true, "it holds: the chain stops"))
            }
            Action::Skip => {
                members.skip(distance);
                Ok((true, "it holds: members are skipped"))
            }
        }
    }

    /// REPEAT. Returns how often its body has run, and what came of it.
    fn repeat(&mut self, chain: u32, slot: u32, arguments: &[u64; 5]) -> Result<(u64, &'static str), Errno> {
        let (bound, distance) = (arguments[2], arguments[3]);
        let members = &self.chains[chain];
        let in_program = members.marks & marks::PROGRAM != 0;
        if !in_program
            || self.packets[slot].is_finally()
            || !(1..=MAX_REPEAT).contains(&bound)
            || distance == 0
        {
            return Err(Errno::EINVAL);
        }
        let start = match self.kept[slot as usize].body {
            NONE => {
                let start = self.before(members.first, slot, distance).ok_or(Errno::EINVAL)?;
                self.kept[slot as usize].body = start;
                start
            }
            known => known,
        };
        let kept = &mut self.kept[slot as usize];
        kept.turns += 1;
        let turns = u64::from(kept.turns);
        if turns >= bound {
            // It counts anew if it is reached once more.
            kept.turns = 0;
            return Ok((turns, "the body has run as often as it may"));
        }
        kept.back = start;
        let mut member = start;
        while member != slot {
            let packet = &mut self.packets[member];
            packet.stage = Stage::Waiting;
            // A timeout that fired was about the turn before.
            packet.given_up = None;
            self.kept[member as usize].turns = 0;
            member = packet.next;
        }
        Ok((turns, "the body runs again"))
    }

    /// The member that comes `distance` before the one in `slot`, in the chain that begins with `first`.
    fn before(&self, first: u32, slot: u32, distance: u64) -> Option<u32> {
        let mut length = 0;
        let mut member = first;
        while member != slot {
            length += 1;
            member = self.packets[member].next;
        }
        let skipped = u64::checked_sub(length, distance)?;
        let mut member = first;
        for _ in 0..skipped {
            member = self.packets[member].next;
        }
        Some(member)
    }

    /// Looks at what is special about `chain` before the member in `slot` has its turn. Returns how that ended, if it may not
    /// run. What is entered of a call here is left when the chain has moved on.
    #[cold]
    pub(crate) fn screen(&mut self, chain: u32, slot: u32) -> Option<Ending> {
        let packet = &self.packets[slot];
        let members = &mut self.chains[chain];
        let finally = packet.is_finally();
        let runs = finally || (packet.given_up.is_none() && members.ended.is_none());
        if runs {
            let op = packet.entry.op;
            if !finally && members.skip > 0 {
                members.skip -= 1;
                return Some(Ending::skipped(Errno::OK));
            }
            if !finally && members.marks & marks::PROGRAM != 0 && members.ran >= MAX_PROGRAM_STEPS as u32 {
                return Some(Ending::of(Errno::ELOOP));
            }
            let is_allowed = op == Verb::Call as u32 || op == Verb::Cancel as u32;
            if members.marks & marks::RESTRICTED != 0 && !is_allowed {
                return Some(Ending::of(Errno::EPERM));
            }
            let is_recv = op == Verb::Recv as u32;
            if is_recv && packet.entry.arguments[3] == RECV_GROUP && members.marks & marks::PROGRAM != 0 {
                // It might pick again and again, and complete once.
                return Some(Ending::of(Errno::EINVAL));
            }
            if members.marks & marks::CALLED != 0 && packet.flags().contains(EntryFlags::MULTISHOT) {
                // There is one credit, the caller's.
                return Some(Ending::of(Errno::EINVAL));
            }
        }
        if members.marks & marks::CALLED != 0 {
            self.regions.enter_call(members.call);
        }
        None
    }
}

/// The result of a verb that only looks at its arguments: SET to SHIFT.
fn compute(verb: Verb, arguments: &[u64; 5]) -> Result<u64, Errno> {
    let &[_, _, a, b, modifier] = arguments;
    let overflow = |exact: Option<u64>, wrapped: u64, nearest: u64| match Overflow::from_number(modifier)
        .ok_or(Errno::EINVAL)?
    {
        Overflow::Error => exact.ok_or(Errno::EOVERFLOW),
        Overflow::Wrap => Ok(wrapped),
        Overflow::Saturate => Ok(exact.unwrap_or(nearest)),
    };
    match verb {
        Verb::Set => Ok(a),
        Verb::Add => overflow(a.checked_add(b), a.wrapping_add(b), u64::MAX),
        Verb::Sub => overflow(a.checked_sub(b), a.wrapping_sub(b), 0),
        Verb::Min => Ok(a.min(b)),
        Verb::And => Ok(a & b),
        Verb::Shift => {
            let direction = ShiftDirection::from_number(modifier).ok_or(Errno::EINVAL)?;
            let distance = u32::try_from(b).ok().filter(|bits| *bits < u64::BITS).ok_or(Errno::EINVAL)?;
            Ok(match direction {
                ShiftDirection::Left => a << distance,
                ShiftDirection::Right => a >> distance,
            })
        }
        // The others do not come here.
        _ => Err(Errno::ENOSYS),
    }
}

/// Whether what a TEST with these arguments asks is so.
fn holds(arguments: &[u64; 5], last: Option<&Last>) -> Result<bool, Errno> {
    let &[of, _, value, condition, comparand] = arguments;
    let flags = TestFlags::from_bits(condition).ok_or(Errno::EINVAL)?;
    let condition = Condition::from_number((flags & TestFlags::CONDITION).bits()).ok_or(Errno::EINVAL)?;
    let last = match TestOf::from_number(of).ok_or(Errno::EINVAL)? {
        TestOf::Value => None,
        TestOf::Last => Some(last.ok_or(Errno::EINVAL)?),
    };
    let value = last.map_or(value, |last| last.result);
    let of_last = || last.ok_or(Errno::EINVAL);
    let holds = match condition {
        Condition::Zero => value == 0,
        Condition::Positive => value != 0,
        Condition::Equal => value == comparand,
        Condition::Less => value < comparand,
        Condition::Full => of_last().map(|last| last.error.is_ok() && last.result >= last.magnitude)?,
        Condition::Short => of_last().map(|last| last.error.is_ok() && last.result < last.magnitude)?,
        Condition::Error => !of_last()?.error.is_ok(),
    };
    Ok(holds != flags.contains(TestFlags::NOT))
}
