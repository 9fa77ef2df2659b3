//! A chain from end to end as a kernel's program would have it: built, laid out, pushed to an engine, completed and read,
//! with nothing but this crate, a ring and an engine over a backend of one file in memory.
#![allow(clippy::unwrap_used)]

use std::ptr::NonNull;
use std::sync::Arc;

use ouzel_chain::ring::{self, Layout, Running};
use ouzel_chain::{Buffer, BuildError, Chain, Compute, Done, Error, Kind, Offset, OpenOptions, Program, Reg};
use ouzel_engine::{
    Backend, Buffers, Counters, Edge, Engine, Limits, Operation, Outcome, Place, Report, Started, Step,
    Token, Way,
};
use ouzel_ring::{EngineEnd, Errno, Geometry, Memory, SubmitterEnd};

/// One file, under every name but `missing`, done at once whatever is asked.
struct OneFile {
    bytes: Vec<u8>,
    opens: u32,
}

impl OneFile {
    fn run(&mut self, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Open { path, .. } => {
                // SAFETY: the chain keeps its paths until this operation has been reported.
                let path = unsafe { std::slice::from_raw_parts(path.pointer, path.length) };
                if path == b"missing\0" {
                    return Outcome::failure(Errno::ENOENT);
                }
                self.opens += 1;
                Outcome::success(0)
            }
            Operation::Read { buffers: Buffers::One(span), position, .. } => {
                let from = (position.unwrap_or(0) as usize).min(self.bytes.len());
                let part = &self.bytes[from..];
                let count = part.len().min(span.length);
                // SAFETY: the chain keeps its buffers, of which the engine has checked the length, until this was reported.
                unsafe { span.pointer.copy_from_nonoverlapping(part.as_ptr(), count) };
                Outcome::success(count as u64)
            }
            Operation::Write { buffers: Buffers::One(span), .. } => {
                // SAFETY: as above, and what is written was filled.
                let bytes = unsafe { std::slice::from_raw_parts(span.pointer, span.length) };
                self.bytes.extend_from_slice(bytes);
                Outcome::success(span.length as u64)
            }
            Operation::Close { .. } => {
                self.opens -= 1;
                Outcome::success(0)
            }
            _ => Outcome::failure(Errno::ENOSYS),
        }
    }
}

impl Backend for OneFile {
    fn now(&self) -> u64 {
        0
    }

    fn longest_run(&self) -> usize {
        1
    }

    fn follows(&self, _: &Operation, _: Edge, _: &Operation) -> bool {
        false
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Call, reason: "" };
        Started::Finished { outcome: self.run(&steps[0].operation), way }
    }

    fn cancel(&mut self, _: Token) {}

    fn wait(&mut self, _: u32, _: Option<u64>) -> Result<(), Errno> {
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        None
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// Both ends of a ring, and chains that run over it one at a time.
struct Rig {
    // Dropped before the memory.
    engine: Engine<OneFile>,
    submitter: SubmitterEnd,
    layout: Layout,
    _memory: Vec<Line>,
}

impl Rig {
    fn new(bytes: &[u8]) -> Rig {
        let geometry = Geometry::new(32, 64).unwrap();
        let mut memory = vec![Line([0; 64]); geometry.contiguous_size().div_ceil(64)];
        let base = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
        // SAFETY: zeroed, aligned, long enough; both ends are dropped before it and nobody else uses it.
        let handle = unsafe { Memory::contiguous(base, memory.len() * 64, geometry) }.unwrap();
        let submitter = SubmitterEnd::new(handle.clone(), 0);
        // Payloads of region 0 are addresses of this process.
        let limits = Limits { descriptors: 8, chain: u32::MAX, in_process: true, ..Limits::default() };
        let backend = OneFile { bytes: bytes.to_vec(), opens: 0 };
        let engine = Engine::new(EngineEnd::new(handle, 0), backend, limits);
        Rig { engine, submitter, layout: Layout::default(), _memory: memory }
    }

    /// Runs a chain, entering the engine once.
    fn run(&mut self, chain: Chain) -> Result<Done, BuildError> {
        let body = ring::body(&chain);
        self.layout.lay_out(body)?;
        body.check_ring(1)?;
        self.submitter.push_all(self.layout.entries(body, u64::from)).unwrap();
        self.submitter.publish();
        let mut remaining = self.layout.announced();
        let mut running = Running::new(chain, self.layout.unsilenced());
        self.engine.enter(u32::MAX, remaining, None).unwrap();
        while let Some(completion) = self.submitter.pop().unwrap() {
            // SAFETY: the user data is the step's number, and the backend tells how much it has written.
            let announced = unsafe { running.deliver(completion.data as u16, completion) };
            remaining -= u32::from(announced);
        }
        assert_eq!(remaining, 0, "the chain is over");
        Ok(running.into_done())
    }
}

/// The error of a step that failed, and that of those behind it.
fn errno<T: Kind>(done: &Done, reg: Reg<T>) -> Option<Errno> {
    done.get(reg).err().and_then(|error| error.errno())
}

#[test]
fn a_file_is_opened_read_and_closed_by_one_chain() {
    let mut rig = Rig::new(b"hello, kernel");
    let mut chain = Chain::new();
    let file = chain.open("greeting", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(64), Offset::START);
    let doubled = chain.compute(Compute::add(length, length));
    chain.finally().close(file);
    let mut done = rig.run(chain).unwrap();
    assert_eq!(done.get(length).unwrap(), 13);
    assert_eq!(done.get(doubled).unwrap(), 26);
    assert_eq!(done.take(length).unwrap().as_slice(), b"hello, kernel");
    assert!(done.take(length).is_none(), "it was taken");
    assert!(done.check().is_ok());
    assert_eq!(rig.engine.backend().opens, 0);
}

#[test]
fn an_error_names_its_step_and_operand_and_gives_the_buffers_back() {
    let mut rig = Rig::new(b"");
    let mut chain = Chain::new();
    chain.nop();
    let file = chain.open("missing", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(16), Offset::START);
    let closed = chain.finally().close(file);
    let mut done = rig.run(chain).unwrap();
    assert_eq!(errno(&done, file), Some(Errno::ENOENT));
    assert_eq!(errno(&done, length), Some(Errno::ECANCELED));
    assert_eq!(errno(&done, closed), Some(Errno::ECANCELED));
    assert!(done.error().unwrap().to_string().starts_with("step 1 (OPEN \"missing\"): "));
    assert_eq!(done.take(length).unwrap().capacity(), 16);
    assert_eq!(rig.engine.backend().opens, 0);
}

#[test]
fn a_loop_copies_within_its_room_and_silent_steps_report_nothing() {
    let mut rig = Rig::new(b"0123456789");
    let mut chain = Chain::new();
    let file = chain.open("digits", OpenOptions::read());
    let room = chain.room(Buffer::with_capacity(4));
    let at = chain.variable(0u64);
    chain.repeat(10, |turn| {
        let n = turn.read(file, room, Offset::at(at));
        turn.when(n).is_zero().break_loop();
        turn.assign(at, Compute::add(at, n));
    });
    let end = chain.get(at);
    let closed = chain.finally().close(file);
    chain.silent();
    let mut done = rig.run(chain).unwrap();
    assert_eq!(done.get(end).unwrap(), 10);
    // It runs last, and tells that the chain is over, whatever was asked.
    assert!(done.get(closed).is_ok());
    assert_eq!(done.take_room(room).unwrap().capacity(), 4);

    // The memory is used again, and results of the chain before are another's.
    let mut chain = done.into_chain();
    let four = chain.get(4u64);
    let done = rig.run(chain).unwrap();
    assert_eq!(done.get(four).unwrap(), 4);
    assert!(matches!(done.get(end), Err(Error::Build(BuildError::ForeignRegister { .. }))));
}

#[test]
fn what_is_wrong_is_named_before_anything_is_pushed() {
    let mut rig = Rig::new(b"");
    assert!(matches!(rig.run(Chain::new()), Err(BuildError::Empty)));
    let mut other = Chain::new();
    let five = other.get(5u64);
    let mut chain = Chain::new();
    chain.get(five);
    assert!(matches!(rig.run(chain), Err(BuildError::ForeignRegister { step: 0, .. })));
    let mut chain = Chain::new();
    chain.open("a\0b", OpenOptions::read());
    assert!(matches!(rig.run(chain), Err(BuildError::NulInPath { step: 0, .. })));
    assert_eq!(rig.submitter.queued().unwrap(), 0);
}

#[test]
fn a_program_is_stored_and_called() {
    let mut rig = Rig::new(b"twelve bytes");
    let program: Program<usize> = Program::build(|program| {
        let path = program.path();
        let room = program.room(32);
        let file = program.open(path, OpenOptions::read());
        let length = program.read(file, room, Offset::START);
        program.finally().close(file);
        length
    })
    .unwrap();
    // SAFETY: `program` lives until the engine is gone.
    let number = rig.engine.store(unsafe { ring::verified(&program) }.clone()).unwrap();
    // SAFETY: it was stored under this number, in the ring that is called 1 here.
    let stored = unsafe { ring::stored::<usize>(Arc::clone(ring::description(&program)), 1, number) };
    let mut chain = Chain::new();
    let called = chain.call(stored.call().path("file").buffer(Buffer::with_capacity(32)));
    let mut done = rig.run(chain).unwrap();
    assert_eq!(done.get(called).unwrap(), 12);
    assert_eq!(done.take_passed(called, 0).unwrap().as_slice(), b"twelve bytes");
    assert_eq!(rig.engine.backend().opens, 0);

    let mut chain = Chain::new();
    // SAFETY: it is never pushed.
    let foreign = unsafe { ring::stored::<usize>(Arc::clone(ring::description(&program)), 2, number) };
    chain.call(foreign.call().path("file").buffer(Buffer::with_capacity(32)));
    assert!(matches!(rig.run(chain), Err(BuildError::ForeignProgram { step: 0 })));
    drop(rig);
    drop(program);
}
