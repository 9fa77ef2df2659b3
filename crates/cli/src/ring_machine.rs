//! The machine that is the library: bound steps become a chain, and what came of it becomes endings.
//!
//! Chains and buffers are used again, so that a run over many files allocates little. Nothing here waits but
//! [`Machine::wait`], the first chain of `--explain`, and a start that finds the ring's queue full.

mod metadata;
mod steps;
mod stored;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ouzel::abi::{Descriptor, Errno};
use ouzel::{
    BackendKind, Buffer, Chain, Done, Error, Explanation, Fd, Reg, Rejected, Ring, Room, Ticket, Unit,
    Variable, Verification, place_name,
};

use crate::args::BackendChoice;
use crate::machine::{BackendDescription, Ended, Ending, Machine, MachineError, Start, Wanted};
use crate::program::{Bound, Known, MAX_BUFFERS, Metadata, Operation, Program, Slot, Step, Stream};

mod building;

use building::Places;
use steps::Builder;
use stored::{Calling, Kept};

/// The most bytes of buffers in flight, unless a single chain needs more.
const MAX_BUFFERED: u64 = 4 * MAX_BUFFERS;

/// The most entries of a submission queue.
const MAX_ENTRIES: u64 = 1 << 16;

/// The register of a named result.
#[derive(Clone, Copy)]
pub(crate) enum Made {
    Open(Reg<Fd>),
    Bytes(Reg<usize>),
    Number(Reg<u64>),
    Variable(Variable),
    Room(Room),
    Status,
    /// A step without a result.
    Nothing(Reg<Unit>),
}

/// A chain in flight.
struct Running {
    ticket: u64,
    built: Built,
}

/// What is kept of the building of a chain.
#[derive(Default)]
pub(crate) struct Built {
    /// Bytes of its buffers.
    buffered: u64,
    /// For each step of the chain the step of the program.
    origins: Vec<usize>,
    /// The buffers of its own that statements share.
    rooms: Vec<(Slot, Room)>,
    /// The registers that tell the last numbers of names.
    values: Vec<(Slot, Reg<u64>)>,
    /// The steps that call stored programs.
    calls: Vec<Calling>,
}

/// Executes programs on a [`Ring`].
pub struct RingMachine {
    ring: Ring,
    /// The most chains in flight.
    most: usize,
    running: HashMap<Ticket, Running>,
    /// The endings that nobody has waited for.
    ended: VecDeque<Ended>,
    buffered: u64,
    /// Chains to be used again.
    chains: Vec<Chain>,
    /// Buffers to be used again, with their sizes, and the sum of these.
    buffers: Vec<(u64, Buffer)>,
    kept: u64,
    streams: [Option<Descriptor>; 3],
    explain: bool,
    timeline: bool,
    explanation: Option<Explanation>,
    /// For each step of the chain that was built last the step of the program.
    origins: Vec<usize>,
    /// For each step.
    shapes: Vec<Shape>,
    /// The stored programs of the program.
    stored: Vec<Kept>,
}

/// What [`RingMachine::plan`] finds.
pub struct Plan {
    /// The chain.
    pub chain: Verification,
    /// For each step of the chain the step of the program.
    pub origins: Vec<usize>,
    /// The stored programs, with the line of each of their steps.
    pub stored: Vec<(Verification, Vec<usize>)>,
}

/// What a step leaves behind.
struct Shape {
    silent: bool,
    has_buffer: bool,
    /// Whether the next chain can use the buffer.
    keeps_buffer: bool,
    /// The results whose print shows the buffer.
    printed: Vec<Slot>,
    /// The named buffer that it fills.
    room: Option<Slot>,
}

impl RingMachine {
    /// A ring that is large enough for what is wanted.
    pub fn open(wanted: &Wanted, program: &Program) -> Result<RingMachine, MachineError> {
        RingMachine::make(wanted, program, false)
    }

    /// One on which nothing is run.
    fn dry(program: &Program) -> Result<RingMachine, MachineError> {
        let backend = BackendChoice::Sim;
        let wanted =
            Wanted { on: None, backend, in_flight: 1, explain: false, trace: false, timeline: false };
        RingMachine::make(&wanted, program, true)
    }

    fn make(wanted: &Wanted, program: &Program, dry: bool) -> Result<RingMachine, MachineError> {
        let steps = (program.steps.len() + building::extra_steps(program)) as u64;
        let chains = u64::from(wanted.in_flight.max(1));
        let entries = (steps * chains).clamp(16, MAX_ENTRIES).next_power_of_two();
        let opened = opened(program);
        // One more of each: a closed descriptor is only free when its closing is over.
        let descriptors = (opened * (chains + 1) + 8).clamp(64, 1 << 20) as u32;
        raise_descriptor_limit(u64::from(descriptors));
        let mut builder = Ring::builder().entries(entries).descriptors(descriptors);
        if let Some(kind) = kind_of(wanted.backend) {
            builder = builder.backend(kind);
        }
        let made = match &wanted.on {
            Some(name) => builder.connect(name),
            None => builder.build(),
        };
        let mut ring = made.map_err(|error| match error {
            Error::Backend { backend, reason } => {
                MachineError::Unavailable { backend: backend.to_owned(), reason }
            }
            other => MachineError::Ring(other.to_string()),
        })?;
        // A service grants what it likes.
        let most = match (&wanted.on, u64::from(ring.limits().descriptors).checked_div(opened)) {
            (Some(_), Some(chains)) => usize::try_from(chains.saturating_sub(1)).unwrap_or(usize::MAX).max(1),
            _ => usize::MAX,
        };
        ring.trace(wanted.trace || wanted.explain || wanted.timeline);
        let mut machine = RingMachine {
            ring,
            most,
            running: HashMap::new(),
            ended: VecDeque::new(),
            buffered: 0,
            chains: Vec::new(),
            buffers: Vec::new(),
            kept: 0,
            streams: [None; 3],
            explain: wanted.explain,
            timeline: wanted.timeline,
            explanation: None,
            origins: Vec::new(),
            shapes: shapes(program),
            stored: Vec::new(),
        };
        for stored in &program.stored {
            let kept = machine.store(stored, dry)?;
            machine.stored.push(kept);
        }
        Ok(machine)
    }

    /// The chain of a program as it would be built, and for each of its steps the step of the program; then each of its
    /// stored programs that is not a service's, and for each of its steps the line. Nothing is run.
    ///
    /// # Errors
    ///
    /// [`MachineError::Chain`] if one of them cannot be built.
    pub fn plan(program: &Program) -> Result<Plan, MachineError> {
        let mut machine = RingMachine::dry(program)?;
        // Any that are descriptors: they are not used.
        machine.streams = [Descriptor::new(1, 0), Descriptor::new(1, 1), Descriptor::new(1, 2)];
        let (chain, built) = machine.build(program, program.example())?;
        let chain = chain.verify().map_err(|error| machine.rejected(Error::Build(error), program))?;
        let stored = machine.stored.iter().filter_map(|kept| {
            let verification = kept.verification.clone()?;
            let lines = verification.steps.iter().map(|step| kept.line(step.step)).collect();
            Some((verification, lines))
        });
        Ok(Plan { chain, origins: built.origins, stored: stored.collect() })
    }

    /// The descriptor of a stream of the command, taken into the ring when it is first used.
    fn stream(&mut self, stream: Stream) -> Result<Descriptor, MachineError> {
        let place = &mut self.streams[stream as usize];
        if let Some(descriptor) = *place {
            return Ok(descriptor);
        }
        let (name, copy) = match stream {
            Stream::Input => ("stdin", duplicate(io::stdin())),
            Stream::Output => ("stdout", duplicate(io::stdout())),
            Stream::Error => ("stderr", duplicate(io::stderr())),
        };
        let copy = copy.map_err(|error| MachineError::Ring(format!("{name} cannot be used: {error}")))?;
        match self.ring.adopt(copy) {
            Ok(descriptor) => Ok(*place.insert(descriptor)),
            Err(Error::Refused { errno: Errno::EOPNOTSUPP, .. }) => Err(MachineError::Unavailable {
                backend: self.ring.backend().backend.name().to_owned(),
                reason: format!("the program uses {name}, and this backend has no streams of the command"),
            }),
            Err(error) => Err(MachineError::Ring(format!("{name} cannot be used: {error}"))),
        }
    }

    fn buffer(&mut self, size: u64) -> Buffer {
        let known = self.buffers.iter().rposition(|(of, _)| *of == size);
        match known {
            Some(known) => {
                self.kept -= size;
                self.buffers.swap_remove(known).1
            }
            None => Buffer::with_capacity(usize::try_from(size).unwrap_or(usize::MAX)),
        }
    }

    /// Turns what came of a chain into endings, and keeps its memory for the next one.
    fn end(&mut self, ticket: u64, built: &Built, mut done: Done) -> Ended {
        self.buffered -= built.buffered;
        let timeline = self.timeline.then(|| done.timeline());
        let mut ended =
            Ended { ticket, endings: Vec::with_capacity(done.len()), timeline, ..Ended::default() };
        let places = Places::new(built, self.shapes.len());
        let mut given_back = Vec::new();
        for (step, shape) in self.shapes.iter().enumerate() {
            let Some(place) = places.of(step, &done) else { continue };
            if let Some(completion) = done.completion_of(place) {
                let skipped = done.skipped(place);
                let error = if skipped { Errno::OK } else { completion.errno() };
                // The last step is reported even if it is silent.
                if !(shape.silent && error.is_ok()) {
                    let way = done.way_of(place);
                    let call = built.calls.iter().find(|call| call.step == step);
                    ended.endings.push(Ending {
                        step,
                        within: call.and_then(|call| call.failed(&done, &self.stored)),
                        error,
                        result: completion.result,
                        skipped,
                        place: way.map_or("", |way| place_name(way.place)),
                        reason: way.map_or("", |way| way.reason),
                    });
                }
            }
            if !shape.has_buffer {
                continue;
            }
            let Some(buffer) = done.take_of(place) else { continue };
            for slot in &shape.printed {
                ended.buffers.push((*slot, buffer.as_slice().to_vec()));
            }
            if shape.keeps_buffer {
                given_back.push(buffer);
            }
        }
        for call in &built.calls {
            let slots = self.shapes.get(call.step).map(|shape| shape.printed.as_slice()).unwrap_or_default();
            if !slots.is_empty()
                && let Some(buffer) = call.filled(&mut done, &self.stored)
            {
                ended.buffers.extend(slots.iter().map(|slot| (*slot, buffer.as_slice().to_vec())));
            }
        }
        for (slot, reg) in &built.values {
            // A number that was never set is not printed.
            ended.values.extend(done.get(*reg).ok().map(|value| (*slot, value)));
        }
        for (slot, room) in &built.rooms {
            let Some(mut buffer) = done.take_room(*room) else { continue };
            let filled = self.shapes.iter().filter(|shape| shape.room == Some(*slot));
            for printed in filled.flat_map(|shape| &shape.printed) {
                ended.buffers.push((*printed, buffer.as_slice().to_vec()));
            }
            ended.values.push((*slot, buffer.len() as u64));
            ended.buffers.push((*slot, buffer.as_slice().to_vec()));
            buffer.clear();
            given_back.push(buffer);
        }
        // To be used by the next chain.
        for buffer in given_back {
            let size = buffer.capacity() as u64;
            if self.kept + size <= MAX_BUFFERED {
                self.kept += size;
                self.buffers.push((size, buffer));
            }
        }
        self.chains.push(done.into_chain());
        ended
    }

    fn rejected(&mut self, error: Error, program: &Program) -> MachineError {
        match error {
            Error::Build(error) => {
                let step = error.step().map(|step| self.origins.get(step).copied().unwrap_or(step));
                let line = step.and_then(|step| program.steps.get(step)).map(|step| step.line);
                let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                MachineError::Chain(format!("{line}{error}"))
            }
            error => MachineError::Ring(error.to_string()),
        }
    }

    fn build(&mut self, program: &Program, steps: Vec<Step<Bound>>) -> Result<(Chain, Built), MachineError> {
        let mut chain = self.chains.pop().unwrap_or_default();
        let ordinary = steps.iter().filter(|step| !step.finally).count();
        let mut builder = Builder {
            machine: self,
            program,
            steps: steps.into_iter().enumerate(),
            ordinary,
            made: vec![None; program.results.len()],
            built: Built::default(),
            unit: None,
            passing: None,
        };
        builder.block(&mut chain)?;
        builder.tell_values(&mut chain);
        let built = builder.built;
        self.origins.clone_from(&built.origins);
        Ok((chain, built))
    }
}

/// What each step of a program leaves behind.
fn shapes(program: &Program) -> Vec<Shape> {
    let shape = |(index, step): (usize, &Step<crate::program::Checked>)| {
        let operation = &step.operation;
        let keeps_buffer =
            matches!(operation, Operation::Read { .. } | Operation::Recv { .. } | Operation::Readdir { .. });
        let fills = matches!(operation, Operation::Metadata(metadata) if metadata.buffer().is_some());
        let keeps_buffer = keeps_buffer || fills;
        let record = matches!(
            operation,
            Operation::StatPath { .. }
                | Operation::StatFile { .. }
                | Operation::Sockname { .. }
                | Operation::Peername { .. }
                | Operation::Metadata(Metadata::Statfs { .. })
        );
        let slots = program.results_of(index).map(|(slot, _)| slot);
        let printed = slots.filter(|slot| program.prints.contains(slot)).collect();
        let room = match operation {
            Operation::ReadInto { buffer, .. } | Operation::RecvInto { buffer, .. } => Some(*buffer),
            _ => None,
        };
        Shape { silent: step.silent, has_buffer: keeps_buffer || record, keeps_buffer, printed, room }
    };
    program.steps.iter().enumerate().map(shape).collect()
}

/// How many descriptors a chain may have at a time, those of the stored programs that it calls among them.
fn opened(program: &Program) -> u64 {
    // What has no step is passed.
    let own = |program: &Program| {
        program.results.iter().filter(|info| info.kind.is_open() && info.step < program.steps.len()).count()
    };
    let called = program.steps.iter().filter_map(|step| match step.operation {
        Operation::Call { program: callee, .. } => {
            program.stored.get(callee.0).map(|stored| own(&stored.body))
        }
        _ => None,
    });
    (own(program) + called.sum::<usize>()) as u64
}

/// Bytes of the buffer that a step asks for, if it does.
fn buffer_size(step: &Step<Bound>) -> Option<u64> {
    let size = match &step.operation {
        Operation::Read { size, .. }
        | Operation::Recv { size, .. }
        | Operation::Readdir { size, .. }
        | Operation::Buffer { size } => size,
        Operation::Metadata(metadata) => metadata.buffer()?,
        _ => return None,
    };
    match size {
        Known::Literal(size) => Some(*size),
        Known::Result(_) => None,
    }
}

fn duplicate(stream: impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// The backend that is asked for; `None` for the best there is.
pub(crate) fn kind_of(choice: BackendChoice) -> Option<BackendKind> {
    match choice {
        BackendChoice::Auto => None,
        BackendChoice::Uring => Some(BackendKind::Uring),
        BackendChoice::Threads => Some(BackendKind::Threads),
        BackendChoice::Sim => Some(BackendKind::Sim),
    }
}

/// Backends without descriptors of their own need one of the process for each that a program opens. The limit is only
/// a soft one: it may be raised up to what the administrator allows.
pub(crate) fn raise_descriptor_limit(descriptors: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    // Some for the command itself.
    let wanted = descriptors.saturating_add(64);
    if let Some(current) = limit.current
        && current < wanted
    {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        // Without it, opening fails with EMFILE, which is reported then.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

impl Machine for RingMachine {
    fn backend(&self) -> BackendDescription {
        let choice = self.ring.backend();
        BackendDescription { name: choice.backend.name().to_owned(), reason: choice.reason.clone() }
    }

    fn start(
        &mut self,
        ticket: u64,
        program: &Program,
        steps: Vec<Step<Bound>>,
    ) -> Result<Start, MachineError> {
        let asked = self.asked(&steps);
        let is_full = self.buffered > 0 && self.buffered.saturating_add(asked) > MAX_BUFFERED;
        if is_full || self.running.len() >= self.most {
            return Ok(Start::Full(steps));
        }
        let (chain, built) = self.build(program, steps)?;
        if self.explain && self.explanation.is_none() {
            // Alone, so that the crossings are this chain's own.
            let (done, mut explanation) =
                self.ring.explain(chain).map_err(|error| self.rejected(error, program))?;
            building::speak_of_statements(&mut explanation, &built.origins);
            self.explanation = Some(explanation);
            self.buffered += built.buffered;
            let ended = self.end(ticket, &built, done);
            self.ended.push_back(ended);
            return Ok(Start::Taken);
        }
        let name = match self.ring.submit(chain) {
            Ok(name) => name,
            Err(rejected) => {
                let Rejected { error, .. } = *rejected;
                return Err(self.rejected(error, program));
            }
        };
        self.buffered += built.buffered;
        self.running.insert(name, Running { ticket, built });
        Ok(Start::Taken)
    }

    fn wait(&mut self) -> Result<Vec<Ended>, MachineError> {
        let mut all: Vec<Ended> = self.ended.drain(..).collect();
        if all.is_empty() {
            let ended = self.ring.wait_any().map_err(|error| MachineError::Ring(error.to_string()))?;
            all.extend(ended.and_then(|(name, done)| self.over(name, done)));
        }
        while let Some((name, done)) = self.ring.next_ended() {
            all.extend(self.over(name, done));
        }
        if all.is_empty() {
            return Err(MachineError::Ring("it has lost a chain".to_owned()));
        }
        Ok(all)
    }

    fn crossings(&self) -> u64 {
        self.ring.counters().crossings()
    }

    fn explanation(&mut self) -> Option<Explanation> {
        self.explanation.clone()
    }
}

impl RingMachine {
    /// Bytes of the buffers that these steps ask for.
    fn asked(&self, steps: &[Step<Bound>]) -> u64 {
        let of_call = |step: &Step<Bound>| match step.operation {
            Operation::Call { program, .. } => self.stored.get(program.0).map(Kept::buffered),
            _ => None,
        };
        let sizes = steps.iter().filter_map(|step| buffer_size(step).or_else(|| of_call(step)));
        sizes.fold(0, u64::saturating_add)
    }

    fn over(&mut self, name: Ticket, done: Done) -> Option<Ended> {
        let running = self.running.remove(&name)?;
        Some(self.end(running.ticket, &running.built, done))
    }
}
