//! Property tests: two honest ends against plain queues, and each end against a peer that writes anything.
//!
//! Set `PROPTEST_CASES` to run more than the default 256 scripts of each.

#![cfg(not(loom))]

mod shared;

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use ouzel_ring::{Broken, Completion, EngineEnd, Entry, PushError, State, SubmitterEnd};
use proptest::prelude::*;
use shared::{Region, Word};

fn entry(seed: u64) -> Entry {
    Entry::from_words(core::array::from_fn(|at| {
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32)
    }))
}

fn completion(seed: u64) -> Completion {
    Completion::from_words(core::array::from_fn(|at| {
        !seed.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(at as u32)
    }))
}

/// One call on one of the two ends.
#[derive(Clone, Debug)]
enum Call {
    Push,
    PushAll(u32),
    Publish,
    Retract,
    Pop,
    Drain,
    Room,
    Queued,
    SubmitterUnread,
    SetRegister(usize, u64),
    Available,
    Copy(u32),
    Release(u32),
    Post,
    EngineUnread,
    SaveRegister(usize, u64),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => Just(Call::Push),
        2 => (0..5u32).prop_map(Call::PushAll),
        3 => Just(Call::Publish),
        1 => Just(Call::Retract),
        4 => Just(Call::Pop),
        1 => Just(Call::Drain),
        1 => Just(Call::Room),
        1 => Just(Call::Queued),
        1 => Just(Call::SubmitterUnread),
        1 => (0..9usize, any::<u64>()).prop_map(|(register, value)| Call::SetRegister(register, value)),
        4 => Just(Call::Available),
        4 => (0..10u32).prop_map(Call::Copy),
        4 => prop_oneof![0..10u32, Just(u32::MAX)].prop_map(Call::Release),
        5 => Just(Call::Post),
        1 => Just(Call::EngineUnread),
        1 => (0..9usize, any::<u64>()).prop_map(|(register, value)| Call::SaveRegister(register, value)),
    ]
}

fn region() -> impl Strategy<Value = (u32, u32, bool)> {
    (0..4u32, 1..4u32, any::<bool>())
        .prop_map(|(entries, completions, split)| (1 << entries, 1 << completions, split))
}

fn origin() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(u32::MAX),
        (0..20u32).prop_map(|below| u32::MAX - below),
        Just(1 << 31),
        any::<u32>()
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Honest ends behave as two bounded queues, whatever the order of calls.
    #[test]
    fn two_ends_are_two_queues(
        (entries, completions, split) in region(),
        origin in origin(),
        calls in prop::collection::vec(call(), 0..200),
    ) {
        let region = Region::new(entries.into(), completions.into(), split);
        let (mut submitter, mut engine) = region.ends(origin);
        let mut seed = 0;
        // The submission queue, oldest part first: copied but not released, published, only pushed.
        let mut held = 0u32;
        let mut published = VecDeque::new();
        let mut pushed = VecDeque::new();
        // How many of the published ones the engine knows of.
        let mut counted = 0u32;
        let mut posted = VecDeque::new();
        let mut registers = [0u64; 7];
        for call in calls {
            let used = held + published.len() as u32 + pushed.len() as u32;
            match call {
                Call::Push => {
                    seed += 1;
                    let expected = if used < entries { Ok(()) } else { Err(PushError::Full) };
                    prop_assert_eq!(submitter.push(&entry(seed)), expected);
                    if expected.is_ok() {
                        pushed.push_back(seed);
                    }
                }
                Call::PushAll(count) => {
                    let expected = if used + count <= entries { Ok(()) } else { Err(PushError::Full) };
                    let fresh = seed + 1..=seed + u64::from(count);
                    let written = Vec::from_iter(fresh.clone().map(entry));
                    prop_assert_eq!(submitter.push_all(written.into_iter()), expected);
                    if expected.is_ok() {
                        pushed.extend(fresh);
                    }
                    seed += u64::from(count);
                }
                Call::Publish => {
                    prop_assert_eq!(submitter.publish(), pushed.len() as u32);
                    published.append(&mut pushed);
                }
                Call::Retract => {
                    prop_assert_eq!(submitter.retract(), pushed.len() as u32);
                    pushed.clear();
                }
                Call::Pop => {
                    let expected = posted.pop_front().map(completion);
                    prop_assert_eq!(submitter.pop(), Ok(expected));
                }
                Call::Drain => {
                    let mut drained = Vec::new();
                    prop_assert_eq!(submitter.drain(|completion| drained.push(completion)), Ok(()));
                    prop_assert_eq!(drained, Vec::from_iter(posted.drain(..).map(completion)));
                }
                Call::Room => prop_assert_eq!(submitter.room(), Ok(entries - used)),
                Call::Queued => prop_assert_eq!(submitter.queued(), Ok(held + published.len() as u32)),
                Call::SubmitterUnread => prop_assert_eq!(submitter.unread(), Ok(posted.len() as u32)),
                Call::SetRegister(register, value) => {
                    let allowed = register < 7 && !split;
                    prop_assert_eq!(submitter.set_register(register, value), allowed);
                    if allowed {
                        registers[register] = value;
                    }
                }
                Call::Available => {
                    counted = published.len() as u32;
                    prop_assert_eq!(engine.available(), Ok(counted));
                }
                Call::Copy(count) => {
                    for _ in 0..count {
                        let expected = if counted > 0 { published.pop_front() } else { None };
                        prop_assert_eq!(engine.copy_next(), expected.map(entry));
                        if expected.is_some() {
                            counted -= 1;
                            held += 1;
                        }
                    }
                }
                Call::Release(count) => {
                    engine.release(count);
                    held -= count.min(held);
                }
                Call::Post => {
                    seed += 1;
                    let expected = if (posted.len() as u32) < completions { Ok(()) } else { Err(completion(seed)) };
                    prop_assert_eq!(engine.post(&completion(seed)), expected);
                    if expected.is_ok() {
                        posted.push_back(seed);
                    }
                }
                Call::EngineUnread => {
                    prop_assert_eq!(engine.unread(), Ok(posted.len() as u32));
                    prop_assert_eq!(engine.room_seen(), completions - posted.len() as u32);
                }
                Call::SaveRegister(register, value) => {
                    engine.save_register(register, value);
                    if register < 7 {
                        registers[register] = value;
                    }
                }
            }
            prop_assert_eq!(engine.held(), held);
            prop_assert!(engine.room_seen() <= completions - posted.len() as u32);
            prop_assert_eq!(engine.registers(), registers);
            for register in 0..9 {
                prop_assert_eq!(submitter.register(register), registers.get(register).copied());
            }
            prop_assert!(!engine.is_broken());
            prop_assert_eq!(submitter.engine_state(), State::Running);
            // What the peer would see: the indices stand where the model says.
            prop_assert_eq!(
                region.word(Word::Stail).load(Relaxed).wrapping_sub(region.word(Word::Shead).load(Relaxed)),
                held + published.len() as u32
            );
            prop_assert_eq!(
                region.word(Word::Ctail).load(Relaxed).wrapping_sub(region.word(Word::Chead).load(Relaxed)),
                posted.len() as u32
            );
        }
    }
}

/// What a hostile peer writes into an index word, mostly near what would be believed.
#[derive(Clone, Debug)]
enum Lie {
    Step(i8),
    Value(u32),
}

#[derive(Clone, Debug)]
enum Act {
    Call(Call),
    Index(Word, Lie),
    Anywhere(prop::sample::Index, u32),
}

fn act() -> impl Strategy<Value = Act> {
    let word = prop::sample::select(vec![
        Word::Shead,
        Word::Ctail,
        Word::EngineState,
        Word::Stail,
        Word::Chead,
        Word::SubmitterState,
    ]);
    let lie = prop_oneof![4 => (-2..10i8).prop_map(Lie::Step), 1 => any::<u32>().prop_map(Lie::Value)];
    prop_oneof![
        12 => call().prop_map(Act::Call),
        2 => (word, lie).prop_map(|(word, lie)| Act::Index(word, lie)),
        1 => (any::<prop::sample::Index>(), any::<u32>()).prop_map(|(at, value)| Act::Anywhere(at, value)),
    ]
}

/// What an end must believe of the other side's index: it may advance from `seen` to `limit` and no further.
fn believable(value: u32, seen: u32, limit: u32) -> bool {
    value.wrapping_sub(seen) <= limit.wrapping_sub(seen)
}

/// The private indices of both ends, kept by the test as the calls' results imply them.
struct Mirror {
    pushed: u32,
    published: u32,
    shead_seen: u32,
    popped: u32,
    ctail_seen: u32,
    submitter_broken: bool,
    released: u32,
    copied: u32,
    stail_seen: u32,
    posted: u32,
    chead_seen: u32,
    engine_broken: bool,
}

impl Mirror {
    fn new(origin: u32) -> Mirror {
        Mirror {
            pushed: origin,
            published: origin,
            shead_seen: origin,
            popped: origin,
            ctail_seen: origin,
            submitter_broken: false,
            released: origin,
            copied: origin,
            stail_seen: origin,
            posted: origin,
            chead_seen: origin,
            engine_broken: false,
        }
    }

    fn look_at_shead(&mut self, region: &Region) -> Result<u32, Broken> {
        let shead = region.word(Word::Shead).load(Relaxed);
        if self.submitter_broken || !believable(shead, self.shead_seen, self.published) {
            self.submitter_broken = true;
            return Err(Broken);
        }
        self.shead_seen = shead;
        Ok(region.geometry.entries() - self.pushed.wrapping_sub(shead))
    }

    fn look_at_ctail(&mut self, region: &Region) -> Result<u32, Broken> {
        let ctail = region.word(Word::Ctail).load(Relaxed);
        let limit = self.popped.wrapping_add(region.geometry.completions());
        if self.submitter_broken || !believable(ctail, self.ctail_seen, limit) {
            self.submitter_broken = true;
            return Err(Broken);
        }
        self.ctail_seen = ctail;
        Ok(ctail.wrapping_sub(self.popped))
    }

    fn look_at_stail(&mut self, region: &Region) -> Result<u32, Broken> {
        let stail = region.word(Word::Stail).load(Relaxed);
        let limit = self.released.wrapping_add(region.geometry.entries());
        if self.engine_broken || !believable(stail, self.stail_seen, limit) {
            self.engine_broken = true;
            return Err(Broken);
        }
        self.stail_seen = stail;
        Ok(stail.wrapping_sub(self.copied))
    }

    fn look_at_chead(&mut self, region: &Region) -> Result<u32, Broken> {
        let chead = region.word(Word::Chead).load(Relaxed);
        if self.engine_broken || !believable(chead, self.chead_seen, self.posted) {
            self.engine_broken = true;
            return Err(Broken);
        }
        self.chead_seen = chead;
        Ok(self.posted.wrapping_sub(chead))
    }
}

fn one_call(
    call: Call,
    region: &Region,
    submitter: &mut SubmitterEnd,
    engine: &mut EngineEnd,
    mirror: &mut Mirror,
) -> Result<(), TestCaseError> {
    let entries = region.geometry.entries();
    let completions = region.geometry.completions();
    match call {
        Call::Push => {
            let expected = if mirror.submitter_broken {
                Err(PushError::Broken)
            } else if mirror.pushed.wrapping_sub(mirror.shead_seen) < entries {
                Ok(())
            } else {
                match mirror.look_at_shead(region) {
                    Err(Broken) => Err(PushError::Broken),
                    Ok(0) => Err(PushError::Full),
                    Ok(_) => Ok(()),
                }
            };
            let wanted = entry(mirror.pushed.into());
            prop_assert_eq!(submitter.push(&wanted), expected);
            if expected.is_ok() {
                prop_assert_eq!(region.entry_words(mirror.pushed), wanted.to_words());
                mirror.pushed = mirror.pushed.wrapping_add(1);
            }
        }
        Call::PushAll(count) => {
            let room = entries - mirror.pushed.wrapping_sub(mirror.shead_seen);
            let expected = if mirror.submitter_broken {
                Err(PushError::Broken)
            } else if count <= room {
                Ok(())
            } else {
                match mirror.look_at_shead(region) {
                    Err(Broken) => Err(PushError::Broken),
                    Ok(room) if count > room => Err(PushError::Full),
                    Ok(_) => Ok(()),
                }
            };
            let wanted =
                Vec::from_iter((0..count).map(|at| entry((u64::from(mirror.pushed)) + u64::from(at))));
            prop_assert_eq!(submitter.push_all(wanted.iter().copied()), expected);
            if expected.is_ok() {
                for entry in wanted {
                    prop_assert_eq!(region.entry_words(mirror.pushed), entry.to_words());
                    mirror.pushed = mirror.pushed.wrapping_add(1);
                }
            }
        }
        Call::Publish => {
            prop_assert_eq!(submitter.publish(), mirror.pushed.wrapping_sub(mirror.published));
            mirror.published = mirror.pushed;
        }
        Call::Retract => {
            prop_assert_eq!(submitter.retract(), mirror.pushed.wrapping_sub(mirror.published));
            mirror.pushed = mirror.published;
        }
        Call::Pop => {
            let unread = if mirror.submitter_broken {
                Err(Broken)
            } else if mirror.popped != mirror.ctail_seen {
                Ok(1)
            } else {
                mirror.look_at_ctail(region)
            };
            let expected = unread.map(|unread| {
                (unread > 0).then(|| Completion::from_words(region.completion_words(mirror.popped)))
            });
            prop_assert_eq!(submitter.pop(), expected);
            if let Ok(Some(_)) = expected {
                mirror.popped = mirror.popped.wrapping_add(1);
            }
        }
        Call::Drain => {
            let unread = mirror.look_at_ctail(region);
            let mut drained = Vec::new();
            let result = submitter.drain(|completion| drained.push(completion));
            prop_assert_eq!(result, unread.map(|_| ()));
            prop_assert_eq!(drained.len() as u32, unread.unwrap_or(0));
            for completion in drained {
                prop_assert_eq!(completion.to_words(), region.completion_words(mirror.popped));
                mirror.popped = mirror.popped.wrapping_add(1);
            }
        }
        Call::Room => prop_assert_eq!(submitter.room(), mirror.look_at_shead(region)),
        Call::Queued => {
            let expected = mirror.look_at_shead(region);
            let expected = expected.map(|_| mirror.published.wrapping_sub(mirror.shead_seen));
            prop_assert_eq!(submitter.queued(), expected);
        }
        Call::SubmitterUnread => prop_assert_eq!(submitter.unread(), mirror.look_at_ctail(region)),
        Call::SetRegister(register, value) => {
            prop_assert_eq!(submitter.set_register(register, value), register < 7 && !region.is_split());
        }
        Call::Available => prop_assert_eq!(engine.available(), mirror.look_at_stail(region)),
        Call::Copy(count) => {
            for _ in 0..count {
                let expected = (!mirror.engine_broken && mirror.copied != mirror.stail_seen)
                    .then(|| Entry::from_words(region.entry_words(mirror.copied)));
                prop_assert_eq!(engine.copy_next(), expected);
                if expected.is_some() {
                    mirror.copied = mirror.copied.wrapping_add(1);
                }
            }
        }
        Call::Release(count) => {
            engine.release(count);
            mirror.released =
                mirror.released.wrapping_add(count.min(mirror.copied.wrapping_sub(mirror.released)));
        }
        Call::Post => {
            let wanted = completion(mirror.posted.into());
            let room = if mirror.engine_broken {
                false
            } else if mirror.posted.wrapping_sub(mirror.chead_seen) < completions {
                true
            } else {
                mirror.look_at_chead(region).is_ok_and(|unread| unread < completions)
            };
            prop_assert_eq!(engine.post(&wanted), if room { Ok(()) } else { Err(wanted) });
            if room {
                prop_assert_eq!(region.completion_words(mirror.posted), wanted.to_words());
                mirror.posted = mirror.posted.wrapping_add(1);
            }
        }
        Call::EngineUnread => prop_assert_eq!(engine.unread(), mirror.look_at_chead(region)),
        Call::SaveRegister(register, value) => {
            engine.save_register(register, value);
            if let Some(saved) = engine.registers().get(register) {
                prop_assert_eq!(*saved, value);
            }
        }
    }
    prop_assert_eq!(engine.held(), mirror.copied.wrapping_sub(mirror.released));
    prop_assert!(engine.held() <= entries);
    let room =
        if mirror.engine_broken { 0 } else { completions - mirror.posted.wrapping_sub(mirror.chead_seen) };
    prop_assert_eq!(engine.room_seen(), room);
    prop_assert_eq!(engine.is_broken(), mirror.engine_broken);
    prop_assert_eq!(submitter.is_broken(), mirror.submitter_broken);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written into the shared words, each call returns what those words allow or `Broken` for good.
    #[test]
    fn lies_break_the_ring_and_nothing_else(
        (entries, completions, split) in region(),
        origin in origin(),
        acts in prop::collection::vec(act(), 0..150),
    ) {
        let region = Region::new(entries.into(), completions.into(), split);
        let (mut submitter, mut engine) = region.ends(origin);
        let mut mirror = Mirror::new(origin);
        for act in acts {
            match act {
                Act::Call(call) => one_call(call, &region, &mut submitter, &mut engine, &mut mirror)?,
                Act::Index(word, Lie::Step(step)) => {
                    region.word(word).fetch_add(i32::from(step) as u32, Relaxed);
                }
                Act::Index(word, Lie::Value(value)) => region.word(word).store(value, Relaxed),
                Act::Anywhere(at, value) => region.nth_word(at.index(region.words())).store(value, Relaxed),
            }
        }
        // Broken is for good, and for every call that could be refused.
        if mirror.submitter_broken {
            region.word(Word::Shead).store(mirror.published, Relaxed);
            region.word(Word::Ctail).store(mirror.ctail_seen, Relaxed);
            prop_assert_eq!(submitter.push(&entry(0)), Err(PushError::Broken));
            prop_assert_eq!(submitter.pop(), Err(Broken));
            prop_assert_eq!(submitter.room(), Err(Broken));
            prop_assert_eq!(submitter.queued(), Err(Broken));
            prop_assert_eq!(submitter.unread(), Err(Broken));
        }
        if mirror.engine_broken {
            region.word(Word::Stail).store(mirror.stail_seen, Relaxed);
            region.word(Word::Chead).store(mirror.posted, Relaxed);
            prop_assert_eq!(engine.available(), Err(Broken));
            prop_assert_eq!(engine.copy_next(), None);
            prop_assert_eq!(engine.unread(), Err(Broken));
            prop_assert_eq!(engine.post(&completion(0)), Err(completion(0)));
        }
    }
}
