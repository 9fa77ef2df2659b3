//! What the ABI page says of the completions of each chain, checked as they are read.
//!
//! Always: nothing completes twice, members complete in the order of their chain, and a chain is refused whole if its shape
//! or length asks for it, and only then. Where nothing is cancelled ([`Oracle::exact`]) a model of the chain's registers
//! and links says of every member whether it runs, how it ends and what it results in.

use std::collections::{BTreeSet, HashMap};

use ouzel_ring::modifiers::MAX_TRANSFER;
use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Errno, REGISTERS, Verb};

use crate::chaos::Chaos;
use crate::control::{Last, computed, is_fixed, tested};
use ouzel_engine::Outcome;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Register {
    Undefined,
    Unknown,
    Known(u64),
}

/// Why ordinary members run no more.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Broken,
    /// A TEST has stopped it.
    Stopped,
    /// The next of them is the one that the deadline is about.
    DeadlineNext,
    Deadline,
}

struct Member {
    entry: Entry,
    pushed_at: u64,
}

impl Member {
    fn flags(&self) -> EntryFlags {
        EntryFlags::from_bits_retain(self.entry.flags)
    }

    fn is_silent(&self) -> bool {
        self.flags().contains(EntryFlags::SILENT)
    }
}

struct Chain {
    members: Vec<Member>,
    /// Its last member is there.
    whole: bool,
    /// Members before this one are over.
    next: usize,
    registers: [Register; REGISTERS],
    ended: Option<Ended>,
    /// How many of the next members are skipped.
    skip: u64,
    /// The last ordinary member that ran, other than a TEST or REPEAT.
    last: Option<Last>,
    /// It has a deadline that may pass from this instant on.
    deadline: Option<u64>,
    /// The deadline may have passed: the model cannot say what must become of the rest.
    loose: bool,
}

impl Chain {
    fn first(&self) -> EntryFlags {
        self.members[0].flags()
    }

    fn is_malformed(&self) -> bool {
        let flags = || self.members.iter().map(Member::flags);
        let program = self.first().contains(EntryFlags::PROGRAM);
        let alone = EntryFlags::CHAINED | EntryFlags::FINALLY | EntryFlags::SILENT | EntryFlags::SAVE;
        let leader_only = EntryFlags::LOCAL | EntryFlags::DRAIN | EntryFlags::PROGRAM;
        let suffix = flags().skip_while(|flags| !flags.contains(EntryFlags::FINALLY));
        let broken_suffix = suffix.into_iter().any(|flags| !flags.contains(EntryFlags::FINALLY));
        broken_suffix
            || flags().skip(1).any(|flags| flags.intersects(leader_only))
            || flags().any(|flags| {
                flags.has_unknown()
                    || flags.contains(EntryFlags::CHAINED)
                    || (flags.contains(EntryFlags::MULTISHOT) && (program || flags.intersects(alone)))
            })
    }

    fn is_lone_cancel(&self) -> bool {
        self.members.len() == 1 && self.members[0].entry.op == Verb::Cancel as u32
    }

    /// It is longer than `limit`, or is going to be.
    fn is_too_long(&self, limit: usize) -> bool {
        self.members.len() + usize::from(!self.whole) > limit
    }

    /// Some member must still post something.
    fn is_surely_running(&self) -> bool {
        self.members[self.next..].iter().any(|member| !member.is_silent())
    }
}

pub struct Oracle {
    /// Nothing is cancelled, so that the model holds.
    pub exact: bool,
    /// The ring is being torn down.
    pub closing: bool,
    limit: usize,
    chains: Vec<Chain>,
    places: HashMap<u64, (usize, usize)>,
    /// Chains that must still post something.
    running: BTreeSet<usize>,
    /// How many more descriptors were opened than closed.
    pub opened: i64,
    /// The last result of each multishot POLL; the backend makes them grow.
    polled: HashMap<u64, u64>,
}

impl Oracle {
    pub fn new(exact: bool, limit: u32) -> Oracle {
        Oracle {
            exact,
            closing: false,
            limit: limit as usize,
            chains: Vec::new(),
            places: HashMap::new(),
            running: BTreeSet::new(),
            opened: 0,
            polled: HashMap::new(),
        }
    }

    /// The last chain pushed waits for its end.
    pub fn tail_is_open(&self) -> bool {
        self.chains.last().is_some_and(|chain| !chain.whole)
    }

    /// The flags of the last member of a chain that waits for its end.
    pub fn tail(&self) -> Option<EntryFlags> {
        let chain = self.chains.last().filter(|chain| !chain.whole)?;
        chain.members.last().map(Member::flags)
    }

    /// How many members the last chain has if its end is not there.
    pub fn open_tail(&self) -> usize {
        self.chains.last().filter(|chain| !chain.whole).map_or(0, |chain| chain.members.len())
    }

    /// Whether that chain is already known to be too long.
    pub fn open_tail_is_refused(&self) -> bool {
        self.chains.last().is_some_and(|chain| !chain.whole && chain.is_too_long(self.limit))
    }

    pub fn pushed(&mut self, entry: &Entry, now: u64) {
        let flags = EntryFlags::from_bits_retain(entry.flags);
        if !self.tail_is_open() {
            let local = flags.contains(EntryFlags::LOCAL);
            let start = if local { Register::Undefined } else { Register::Unknown };
            self.chains.push(Chain {
                members: Vec::new(),
                whole: false,
                next: 0,
                registers: [start; REGISTERS],
                ended: None,
                skip: 0,
                last: None,
                deadline: None,
                loose: false,
            });
        }
        let number = self.chains.len() - 1;
        let chain = &mut self.chains[number];
        self.places.insert(entry.data, (number, chain.members.len()));
        chain.members.push(Member { entry: *entry, pushed_at: now });
        chain.whole = !flags.intersects(EntryFlags::CHAINED);
        if !flags.contains(EntryFlags::SILENT) {
            self.running.insert(number);
        }
    }

    pub fn completed(&mut self, completion: &Completion, now: u64, chaos: &Chaos) {
        let (number, place) = self.places[&completion.data];
        let exact = self.exact && !self.closing;
        let chain = &self.chains[number];
        let member = &chain.members[place];
        assert_eq!(completion.op, member.entry.op, "{completion:?}");
        assert!(place >= chain.next, "out of order, or twice: {completion:?}");
        for skipped in &chain.members[chain.next..place] {
            assert!(skipped.is_silent(), "{completion:?} overtook {:?}", skipped.entry);
        }
        if completion.flags == CompletionFlags::MORE.bits() {
            assert!(member.flags().contains(EntryFlags::MULTISHOT), "{completion:?}");
            assert!(completion.error == 0, "{completion:?}");
            self.opened += i64::from(member.entry.op == Verb::Accept as u32);
            if member.entry.op == Verb::Poll as u32 {
                let before = self.polled.insert(completion.data, completion.result);
                assert!(before < Some(completion.result), "results out of order: {completion:?}");
            }
            return;
        }
        let skipped = completion.flags == CompletionFlags::SKIPPED.bits();
        assert!(completion.flags == 0 || skipped, "{completion:?}");
        assert!(!skipped || (completion.error, completion.result) == (0, 0), "{completion:?}");
        assert!(completion.error != 0 || !member.is_silent(), "it was to be silent: {completion:?}");
        if exact {
            self.check_drain(number, completion);
        }
        // Neither a cancel nor a deadline reaches FINALLY entries.
        let protected = member.flags().contains(EntryFlags::FINALLY) && member.entry.timeout == Entry::NEVER;
        assert!(!protected || !chaos.was_cancelled(completion.data), "{completion:?}");
        let error = completion.errno();
        let refusal = self.refusal(number);
        let may_be_given_up = !exact && error == Errno::ECANCELED;
        match refusal {
            Some(refusal) => assert!(error == refusal || may_be_given_up, "{refusal:?}: {completion:?}"),
            None => assert_ne!(error, Errno::E2BIG, "{completion:?}"),
        }
        if exact && refusal.is_none() {
            for silent in self.chains[number].next..place {
                self.step(number, silent, None, now, chaos);
            }
            self.step(number, place, Some(completion), now, chaos);
        }
        let chain = &mut self.chains[number];
        chain.next = place + 1;
        if !chain.is_surely_running() {
            self.running.remove(&number);
        }
    }

    /// Everything that can end has ended: what has posted nothing was silent and has succeeded.
    pub fn settled(&mut self, now: u64, chaos: &Chaos) {
        for number in 0..self.chains.len() {
            let chain = &self.chains[number];
            if !chain.whole && !self.open_tail_is_refused() {
                continue;
            }
            assert!(!chain.is_surely_running(), "chain {number} never ended");
            if self.exact && self.refusal(number).is_none() {
                for silent in chain.next..chain.members.len() {
                    self.step(number, silent, None, now, chaos);
                }
                self.chains[number].next = self.chains[number].members.len();
            }
        }
    }

    /// The error that all entries of a chain get, if it is refused.
    fn refusal(&self, number: usize) -> Option<Errno> {
        let chain = &self.chains[number];
        if chain.is_too_long(self.limit) {
            Some(Errno::E2BIG)
        } else if chain.whole && chain.is_malformed() {
            Some(Errno::EINVAL)
        } else {
            None
        }
    }

    /// A chain with DRAIN runs alone among those that are not refused for their length.
    fn check_drain(&self, number: usize, completion: &Completion) {
        let too_long = |chain: &Chain| chain.is_too_long(self.limit);
        let this = &self.chains[number];
        if this.is_lone_cancel() || too_long(this) {
            return;
        }
        let drains = this.first().contains(EntryFlags::DRAIN) && !this.is_malformed();
        for earlier in self.running.range(..number) {
            let chain = &self.chains[*earlier];
            let earlier_drains = chain.first().contains(EntryFlags::DRAIN) && !chain.is_malformed();
            let holds_back = drains || (earlier_drains && !too_long(chain));
            assert!(!holds_back, "{completion:?} did not wait for chain {earlier}");
        }
    }

    /// Moves the model of a chain over one member; without a completion it is a silent one that has succeeded.
    fn step(&mut self, number: usize, place: usize, seen: Option<&Completion>, now: u64, chaos: &Chaos) {
        let chain = &mut self.chains[number];
        let Member { entry, pushed_at } = &chain.members[place];
        let (flags, pushed_at) = (chain.members[place].flags(), *pushed_at);
        let finally = flags.contains(EntryFlags::FINALLY);
        let error = seen.map_or(Errno::OK, Completion::errno);
        let is_skipped = seen.is_some_and(Completion::was_skipped);
        let mut will_skip = false;
        if !finally && chain.ended.is_none() && chain.skip > 0 {
            chain.skip -= 1;
            will_skip = true;
        }
        if !is_skipped && !(seen.is_none() && (will_skip || chain.ended == Some(Ended::Stopped))) {
            self.opened += opens(entry.op, error);
        }
        chain.loose |= chain.deadline.is_some_and(|deadline| now >= deadline);
        if chain.loose {
            return;
        }
        let told = || format!("member {place} of chain {number}, {entry:?}: {seen:?}");
        let stopped = !finally && chain.ended == Some(Ended::Stopped);
        assert_eq!(is_skipped, seen.is_some() && (stopped || will_skip), "{}", told());
        if stopped || will_skip {
            return;
        }
        if !finally && let Some(ended) = chain.ended {
            let expected = if ended == Ended::DeadlineNext { Errno::ETIMEDOUT } else { Errno::ECANCELED };
            assert_eq!((error, seen.map(|seen| seen.result)), (expected, Some(0)), "{}", told());
            if ended == Ended::DeadlineNext {
                chain.ended = Some(Ended::Deadline);
            }
            return;
        }
        let (mut undefined, mut bad) = (false, false);
        let mut arguments = entry.arguments.map(Some);
        let verb = Verb::from_number(entry.op);
        for (argument, register) in flags.loads() {
            bad |= verb.is_some_and(|verb| is_payload(verb, argument) || is_fixed(verb, argument));
            arguments[argument] = match chain.registers[register] {
                Register::Known(value) => Some(value),
                Register::Unknown => None,
                Register::Undefined => {
                    undefined = true;
                    None
                }
            };
        }
        let mut known = seen.map(|seen| seen.result);
        let elapsed = entry.timeout != Entry::NEVER && now >= pushed_at.saturating_add(entry.timeout);
        let in_program = chain.first().contains(EntryFlags::PROGRAM);
        match verb {
            None => assert_eq!(error, Errno::EINVAL, "{}", told()),
            Some(_) if undefined || bad => {
                let skipped = finally && undefined && error == Errno::ECANCELED;
                let refused = error == Errno::EINVAL && (bad || !finally);
                assert!(skipped || refused, "{}", told());
            }
            Some(verb)
                if flags.contains(EntryFlags::MULTISHOT)
                    && (verb >= Verb::Set
                        || matches!(
                            verb,
                            Verb::Nop | Verb::Get | Verb::Sleep | Verb::Deadline | Verb::Cancel
                        )) =>
            {
                assert_eq!(error, Errno::EINVAL, "{}", told());
            }
            Some(Verb::Test) => {
                let action = arguments[1].unwrap_or(0);
                let distance = action >> 32;
                let behind = chain.members[place + 1..].iter();
                let ordinary = behind.filter(|member| !member.flags().contains(EntryFlags::FINALLY)).count();
                let far = distance > ordinary as u64;
                match tested(&arguments, chain.last) {
                    _ if finally || far => assert_eq!(error, Errno::EINVAL, "{}", told()),
                    Err(expected) => assert_eq!(error, expected, "{}", told()),
                    Ok(holds) => {
                        assert_eq!(error, Errno::OK, "{}", told());
                        if let (Some(holds), Some(result)) = (holds, known) {
                            assert_eq!(result, u64::from(holds), "{}", told());
                        }
                        known = known.or(holds.map(u64::from));
                        match (known, action & 0xff) {
                            // A silent one of which nobody knows.
                            (None, _) => chain.loose = true,
                            (Some(1), 1) => chain.ended = Some(Ended::Stopped),
                            (Some(1), 2) => chain.skip = distance,
                            _ => {}
                        }
                    }
                }
            }
            Some(Verb::Repeat) => {
                let distance = arguments[3].unwrap_or(0) as usize;
                let expected = if in_program && !finally && (1..=place).contains(&distance) {
                    Errno::OK
                } else {
                    Errno::EINVAL
                };
                assert_eq!(error, expected, "{}", told());
                known = Some(u64::from(error.is_ok()));
            }
            Some(Verb::Call) => {
                let expected = match arguments[0] {
                    _ if finally => Errno::EINVAL,
                    Some(0) => Errno::ENOENT,
                    _ if error == Errno::ETIMEDOUT && elapsed => error,
                    _ => Errno::OK,
                };
                assert_eq!(error, expected, "{}", told());
                let doubled = arguments[3].map(|value| value.wrapping_mul(2));
                if let (Some(doubled), Some(result), true) = (doubled, known, error.is_ok()) {
                    assert_eq!(result, doubled, "{}", told());
                }
                known = known.or(doubled);
            }
            Some(verb) if verb >= Verb::Set => match computed(verb, &arguments) {
                Some(Ok(value)) => {
                    assert_eq!((error, known.unwrap_or(value)), (Errno::OK, value), "{}", told());
                    known = Some(value);
                }
                Some(Err(expected)) => assert_eq!(error, expected, "{}", told()),
                None => {}
            },
            Some(Verb::Nop) => {
                let expected = if entry.timeout == Entry::NEVER { Errno::OK } else { Errno::ETIMEDOUT };
                assert_eq!(error, expected, "{}", told());
                assert!(error.is_ok() || elapsed, "too early: {}", told());
                known = Some(0);
            }
            Some(Verb::Get) => {
                assert_eq!(error, Errno::OK, "{}", told());
                if let (Some(value), Some(result)) = (arguments[0], known) {
                    assert_eq!(result, value, "{}", told());
                }
                known = known.or(arguments[0]);
            }
            Some(Verb::Cancel) => {
                let mode = arguments[3];
                let expected = if mode.is_some_and(|mode| mode > 2) { Errno::EINVAL } else { Errno::OK };
                assert!(error == expected || mode.is_none(), "{}", told());
                assert_eq!(known.unwrap_or(0), 0, "it reached its own chain, or nothing: {}", told());
                known = known.or(Some(0));
            }
            Some(Verb::Deadline) => match (arguments[2], arguments[3]) {
                (_, Some(base)) if base > 1 => assert_eq!(error, Errno::EINVAL, "{}", told()),
                (time, base) => {
                    assert!(error.is_ok() || base.is_none(), "{}", told());
                    if error.is_ok() && !finally && chain.ended.is_none() {
                        chain.deadline = None;
                        match (time, base) {
                            (Some(u64::MAX), _) => {}
                            (Some(0), Some(0)) => chain.ended = Some(Ended::DeadlineNext),
                            (Some(at), Some(1)) if at <= pushed_at => chain.ended = Some(Ended::DeadlineNext),
                            (Some(at), Some(1)) => chain.deadline = Some(at),
                            (Some(time), _) => chain.deadline = Some(pushed_at.saturating_add(time)),
                            (None, _) => chain.deadline = Some(0),
                        }
                    }
                    known = Some(0);
                }
            },
            Some(Verb::Sleep) => {
                let expected = match (arguments[2], arguments[3], entry.timeout) {
                    (_, Some(base), _) if base > 1 => Some(Errno::EINVAL),
                    (Some(0), Some(_), _) => Some(Errno::OK),
                    (Some(time), Some(0), timeout) if timeout >= time => Some(Errno::OK),
                    (Some(_), Some(0), _) => Some(Errno::ETIMEDOUT),
                    _ => None,
                };
                assert!(expected.is_none_or(|expected| expected == error), "{expected:?}: {}", told());
                let at = match (arguments[2], arguments[3]) {
                    (Some(time), Some(0)) => pushed_at.saturating_add(time),
                    (Some(time), Some(1)) => time,
                    _ => 0,
                };
                assert!(!error.is_ok() || now >= at, "too early: {}", told());
                assert!(error != Errno::ETIMEDOUT || elapsed, "too early: {}", told());
                known = known.or(Some(0));
            }
            Some(Verb::Read | Verb::Write) if arguments[3] == Some(entry.data) => {
                if let Some(begun) = chaos.begun(entry.data) {
                    let may_wait = entry.timeout != 0;
                    assert!(begun.may_wait.is_none_or(|said| said == may_wait), "{}", told());
                    let file = arguments[0].is_none_or(|number| number as u32 == begun.file);
                    let length = arguments[2].is_none_or(|length| length.min(MAX_TRANSFER) == begun.length);
                    assert!(file && length, "with other arguments, {begun:?}: {}", told());
                }
                match chaos.said(entry.data) {
                    Some(Outcome::Done { error: said, result, extra }) => {
                        let given_up = said == Errno::ECANCELED && chaos.was_cancelled(entry.data);
                        let expected = if given_up { Errno::ETIMEDOUT } else { said };
                        let found = seen.map(|seen| (error, seen.result, seen.extra));
                        assert!(!given_up || elapsed, "too early: {}", told());
                        match found {
                            Some(found) => assert_eq!(found, (expected, result, extra), "{}", told()),
                            None => assert_eq!(expected, Errno::OK, "nothing was posted: {}", told()),
                        }
                        known = Some(result);
                    }
                    _ => {
                        // It was never started: refused, or out of time while there was no room for it.
                        let stalled = error == Errno::ETIMEDOUT && elapsed;
                        let refused = matches!(error, Errno::EBADF | Errno::EINVAL | Errno::EFAULT);
                        assert!(stalled || refused, "it was never started: {}", told());
                    }
                }
            }
            Some(_) => {}
        }
        if !finally && !matches!(verb, Some(Verb::Test | Verb::Repeat)) {
            chain.last = Some(Last { error, result: known, magnitude: arguments[2] });
        }
        if error.is_ok() {
            if let Some(register) = flags.saved_into() {
                chain.registers[register] = known.map_or(Register::Unknown, Register::Known);
                if verb == Some(Verb::Pipe) && register + 1 < REGISTERS {
                    chain.registers[register + 1] = Register::Unknown;
                }
            }
        } else if !finally && flags.contains(EntryFlags::LINK) && chain.ended.is_none() {
            chain.ended = Some(Ended::Broken);
        }
    }
}

/// Whether this argument of `verb` is a payload address, by the table of section 19.
fn is_payload(verb: Verb, argument: usize) -> bool {
    match verb {
        Verb::Stat
        | Verb::Readlink
        | Verb::Utimes
        | Verb::Statfs
        | Verb::GetXattr
        | Verb::SetXattr
        | Verb::ListXattr => argument == 1 || argument == 3,
        Verb::Read
        | Verb::Write
        | Verb::Open
        | Verb::Mkdir
        | Verb::Remove
        | Verb::Rename
        | Verb::Link
        | Verb::Symlink
        | Verb::Readdir
        | Verb::Bind
        | Verb::Accept
        | Verb::Connect
        | Verb::Send
        | Verb::Recv
        | Verb::Chmod
        | Verb::Chown
        | Verb::Mknod
        | Verb::Access
        | Verb::RemoveXattr => argument == 1,
        _ => false,
    }
}

/// How many more descriptors are open after an entry with this verb has ended so.
fn opens(op: u32, error: Errno) -> i64 {
    match (Verb::from_number(op), error) {
        (Some(Verb::Open | Verb::Socket | Verb::Accept), Errno::OK) => 1,
        (Some(Verb::Pipe), Errno::OK) => 2,
        // One that never ran, or had no descriptor to close, closes nothing.
        (Some(Verb::Close), Errno::EBADF | Errno::EINVAL | Errno::ECANCELED | Errno::ETIMEDOUT) => 0,
        (Some(Verb::Close), _) => -1,
        _ => 0,
    }
}
