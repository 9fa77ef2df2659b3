//! Random programs that were accepted, called over a backend that reports what it likes: each CALL ends once, nothing is
//! left behind, and no step ends as only one can that the verifier should have refused.
//!
//! What a step must never end with is EINVAL (an undefined register, an argument or a distance without meaning) and ELOOP
//! (too many steps); and EBADF only with a descriptor that came from the caller, or as a FINALLY step.

use std::collections::HashMap;

use ouzel_engine::{Interface, Limits, Program};
use ouzel_ring::modifiers::CallFlags;
use ouzel_ring::{Completion, Entry, EntryFlags, Errno, Payload, Piece, Verb};

use crate::chaos::Chaos;
use crate::common::{Rig, cancel};
use crate::random::{self, Random};

/// A call that has not completed, and the memory it uses.
struct Caller {
    program: usize,
    record: Vec<u64>,
    path: Box<[u8; 10]>,
    buffer: Vec<u8>,
    /// Where the completions of the steps go, if they are asked for.
    details: Vec<[u64; 4]>,
}

struct Driver {
    random: Random,
    rig: Rig<Chaos>,
    programs: Vec<(u32, Program)>,
    forgotten: Vec<u32>,
    /// By user data.
    calls: HashMap<u64, Caller>,
    /// CANCELs that have not completed.
    cancels: Vec<u64>,
    descriptors: [u64; 2],
    data: u64,
    ended: u64,
}

impl Driver {
    fn new(seed: u64) -> Driver {
        let mut random = Random(seed);
        let limits = Limits {
            descriptors: 8,
            chain: 16,
            in_process: true,
            programs: 4,
            program_steps: 8 + random.below(24) as u32,
        };
        let mut rig = Rig::over(Chaos::new(seed), 8, 16, u32::MAX - random.below(40) as u32, limits);
        let descriptors = [rig.descriptor(), rig.descriptor()];
        let mut programs = Vec::new();
        while programs.len() < 3 {
            let (entries, interface) = random::program(&mut random);
            if let Ok(program) = Program::new(&entries, interface) {
                programs.push((rig.engine.store(program.clone()).unwrap(), program));
            }
        }
        Driver {
            random,
            rig,
            programs,
            forgotten: Vec::new(),
            calls: HashMap::new(),
            cancels: Vec::new(),
            descriptors,
            data: 0,
            ended: 0,
        }
    }

    fn next_data(&mut self) -> u64 {
        self.data += 1;
        self.data
    }

    /// A CALL of one of the programs, as its interface wants it.
    fn call(&mut self) -> Entry {
        let data = self.next_data();
        let place = self.random.below(self.programs.len() as u64) as usize;
        let (number, program) = &self.programs[place];
        let Interface { descriptors, pieces, .. } = program.interface();
        assert_eq!(*pieces, [10, 4096]);
        let mut registers = [0; 7];
        for (register, value) in registers.iter_mut().enumerate() {
            let is_descriptor = descriptors >> register & 1 != 0;
            *value = if is_descriptor { self.descriptors[register % 2] } else { self.random.below(70) };
        }
        let has_details = self.random.one_in(2);
        let mut caller = Caller {
            program: place,
            record: registers[2..].to_vec(),
            path: Box::new(*b"some/file\0"),
            buffer: vec![0; 4096],
            details: vec![[u64::MAX; 4]; if has_details { program.entries().len() } else { 0 }],
        };
        let mut piece = |payload: *const u8, length: usize| {
            let Piece { payload, length } =
                Piece { payload: Payload::of(payload).number(), length: length as u64 };
            caller.record.extend([payload, length]);
        };
        piece(caller.path.as_ptr(), 10);
        piece(caller.buffer.as_mut_ptr(), 4096);
        if has_details {
            piece(caller.details.as_mut_ptr().cast(), caller.details.len() * 32);
        }
        let flags = if has_details { CallFlags::DETAILS.bits() } else { 0 };
        let record = Payload::of(caller.record.as_ptr()).number();
        let length = caller.record.len() as u64 * 8;
        let call = Entry::new(Verb::Call).data(data).arguments([
            u64::from(*number) | flags,
            record,
            length,
            registers[0],
            registers[1],
        ]);
        self.calls.insert(data, caller);
        match self.random.below(8) {
            0 => call.timeout(0),
            1 => call.timeout(1 + self.random.below(200)),
            _ => call,
        }
    }

    fn act(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                let count = (1 + self.random.below(3)).min(self.rig.submitter.room().unwrap().into());
                for place in 0..count {
                    let mut call = self.call();
                    if place + 1 < count {
                        call.flags = match self.random.below(3) {
                            0 => EntryFlags::LINK.bits(),
                            1 => EntryFlags::HARDLINK.bits(),
                            _ => 0,
                        };
                    }
                    self.rig.push(&[call]);
                }
            }
            4 if self.data > 0 && self.rig.submitter.room().unwrap() > 0 => {
                let target = 1 + self.random.below(self.data);
                let data = self.next_data();
                self.cancels.push(data);
                self.rig.push(&[cancel(data, target)]);
            }
            5 if self.random.one_in(20) => {
                let (number, _) = self.programs[self.random.below(3) as usize];
                if self.rig.engine.forget(number).is_ok() {
                    self.forgotten.push(number);
                } else {
                    assert!(self.forgotten.contains(&number));
                }
            }
            6 => self.rig.backend_moves(),
            _ => {
                let wait = self.random.below(3) as u32;
                self.rig.enter(u32::MAX, wait);
            }
        }
        self.read();
    }

    fn read(&mut self) {
        for completion in self.rig.pop_all() {
            if let Some(place) = self.cancels.iter().position(|data| *data == completion.data) {
                assert_eq!((completion.op, completion.errno()), (Verb::Cancel as u32, Errno::OK));
                self.cancels.swap_remove(place);
                continue;
            }
            let caller = self.calls.remove(&completion.data);
            self.judge(&completion, &caller.expect("a CALL that completes once"));
            self.ended += 1;
        }
    }

    fn judge(&self, completion: &Completion, caller: &Caller) {
        let (number, program) = &self.programs[caller.program];
        let error = completion.errno();
        let context = || format!("{completion:?} of {program:#?}");
        assert_eq!(completion.op, Verb::Call as u32);
        if completion.extra == 0 {
            // No step is to blame.
            let allowed = match error {
                Errno::OK | Errno::ECANCELED | Errno::ETIMEDOUT => true,
                Errno::E2BIG => program.entries().len() as u32 > self.rig.engine.limits().program_steps,
                Errno::ENOENT => self.forgotten.contains(number),
                _ => false,
            };
            assert!(allowed, "{}", context());
        } else {
            assert!(completion.extra as usize <= program.entries().len(), "{}", context());
            let entry = &program.entries()[completion.extra as usize - 1];
            assert_ne!(error, Errno::OK);
            assert!(may_end(program, entry, error), "{}", context());
        }
        if error != Errno::OK || program.interface().result.is_none() {
            assert_eq!(completion.result, 0, "{}", context());
        }
        // All of them, or, where the program never began, none.
        let told = caller.details.iter().filter(|words| **words != [u64::MAX; 4]).count();
        assert!(told == 0 || told == caller.details.len(), "{told} steps told: {}", context());
        for (words, entry) in caller.details.iter().take(told).zip(program.entries()) {
            let step = Completion::from_words(*words);
            assert_eq!(step.op, entry.op, "{}", context());
            assert!(may_end(program, entry, step.errno()), "{step:?}: {}", context());
        }
    }

    /// Lets everything end.
    fn finish(mut self, seed: u64) -> u64 {
        self.rig.engine.backend_mut().willing = true;
        let mut rounds = 0;
        while !self.calls.is_empty() || !self.cancels.is_empty() {
            self.rig.enter(u32::MAX, 1);
            self.read();
            rounds += 1;
            let left = self.calls.len();
            assert!(rounds < 100_000, "seed {seed}: {left} calls never end: {:?}", self.rig.engine.gauges());
        }
        self.rig.assert_empty();
        let gauges = self.rig.engine.gauges();
        assert_eq!((gauges.calls, gauges.steps), (0, 0), "seed {seed}");
        assert_eq!(gauges.programs as usize, 3 - self.forgotten.len(), "seed {seed}");
        // What is open is what the caller had and what programs have left open: nothing is half open.
        let open = self.rig.engine.open_descriptors().count();
        assert_eq!(gauges.descriptors as usize, open, "seed {seed}");
        self.ended
    }
}

/// Whether a step of an accepted program may end so.
fn may_end(program: &Program, entry: &Entry, error: Errno) -> bool {
    let is_finally = entry.flags & EntryFlags::FINALLY.bits() != 0;
    match error {
        // What the backend makes up, and what becomes of steps that are given up or not reached.
        Errno::OK | Errno::EIO | Errno::EPIPE | Errno::ECANCELED | Errno::ETIMEDOUT => true,
        Errno::EBADF => is_finally || program.interface().descriptors != 0,
        Errno::EMFILE => [Verb::Open, Verb::Accept, Verb::Pipe].iter().any(|verb| *verb as u32 == entry.op),
        // The offset is data.
        Errno::EFAULT => entry.op == Verb::Load as u32,
        Errno::EOVERFLOW => entry.op == Verb::Add as u32,
        _ => false,
    }
}

impl Rig<Chaos> {
    fn backend_moves(&mut self) {
        self.engine.backend_mut().now += 37;
    }
}

#[test]
fn calls_end_once_and_leave_nothing() {
    let seeds = random::seeds() / 20;
    let mut ended = 0;
    for seed in 0..seeds {
        let mut driver = Driver::new(seed);
        for _ in 0..60 {
            driver.act();
        }
        ended += driver.finish(seed);
    }
    assert!(ended > seeds * 10, "{ended} calls ended");
}
