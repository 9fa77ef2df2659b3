//! Plain calls that refuse to wait: OPEN, READ, CLOSE and STAT on the engine's thread.
//!
//! Each is tried only where the kernel itself promises not to wait, and gives way to the ring whenever it says that it
//! would. OPEN looks names up in the kernel's cache only (RESOLVE_CACHED), as the ring's own first try does. READ is
//! one that refuses to wait (RWF_NOWAIT), or one from a file system in memory. CLOSE and STAT are done where the
//! file system has nothing to say to either: a FUSE or network file system may wait for somebody in both (`mounts` knows
//! them apart). Nothing here writes, creates or truncates; SEND is in `sockets`.

use std::os::fd::{AsRawFd as _, RawFd};

use ouzel_engine::{
    Buffers, Directory, Edge, Operation, Outcome, Path, Place, Position, Span, Started, Step, Way,
};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, StatFlags};
use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::{self, ReadWriteFlags};

use super::lower::{changes_nothing, kind_by, open_bits};
use super::packets::Effect;
use super::planner::{Plan, reason};
use super::starting::describes;
use super::table::{Habit, Kind};
use super::{Uring, calls, memory};
use crate::backend::host::spans;
use crate::backend::memory::{is_empty, length};

/// The offset that means "the current position" to `preadv2(2)`.
const CURRENT: u64 = u64::MAX;

/// A file system keeps its data in blocks of at least this many bytes, so a read that refused to wait and stopped
/// between two multiples of it did not stop at a block that has to be fetched: it stopped at the end.
const BLOCK: u64 = 512;

/// What a plain call came to.
pub(super) enum Tried {
    /// The operation is over.
    Over(Outcome),
    /// It would have had to wait; nothing has happened.
    Refused,
    /// So many bytes were read, and more would have had to be waited for.
    Partly(u32),
}

impl Tried {
    fn success(result: u64) -> Tried {
        Tried::Over(Outcome::success(result))
    }
}

impl Uring {
    /// Does the first step by a plain call, if the planner wants that for the run and the call need not wait.
    ///
    /// Otherwise says why the ring has it.
    #[inline]
    pub(super) fn try_call(&mut self, steps: &[Step]) -> Result<Started, &'static str> {
        let first = &steps[0];
        // The rest of a run that was begun by calls goes on by calls.
        if self.called_behind == first.token.to_word() {
            return self.call_first(steps, self.called_why);
        }
        let in_flight = self.in_flight > 0;
        let blind = in_flight && self.planner.is_blind();
        let plan = match first.operation {
            // Of a STAT a kernel worker would be made: what comes next can be the entry that the ring is entered for.
            Operation::Stat { .. } => {
                self.planner.insist(reason::STAT, in_flight && self.planner.is_blind_twice())
            }
            Operation::Open { .. } if has_stat(&steps[1..]) => {
                self.planner.insist(reason::STAT_FOLLOWS, blind)
            }
            Operation::Read { file, .. } | Operation::Close { file } if self.goes_by_calls(file) => {
                self.planner.insist(reason::BEGUN, blind)
            }
            Operation::Open { .. }
            | Operation::Read { .. }
            | Operation::Close { .. }
            | Operation::Send { .. } => {
                self.planner.choose(steps.len(), self.ring.sq_pending() > 0, in_flight)
            }
            _ => return Err(reason::ONLY),
        };
        match plan {
            // Whatever comes behind a STAT, the ring would not have it in one run.
            Plan::Calls(why) if matches!(first.operation, Operation::Stat { .. }) => {
                self.call_first(steps, why)
            }
            Plan::Calls(why) if steps.iter().all(|step| self.might_be_called(&step.operation)) => {
                self.call_first(steps, why)
            }
            Plan::Calls(_) => Err(reason::ONLY),
            Plan::Ring(why) => Err(why),
        }
    }

    #[inline]
    fn call_first(&mut self, steps: &[Step], why: &'static str) -> Result<Started, &'static str> {
        let first = &steps[0];
        let tried = match first.operation {
            Operation::Open { directory, path, flags, into, .. } => {
                self.quick_open(directory, path, flags, into)
            }
            Operation::Read { file, ref buffers, position } => self.quick_read(file, buffers, position),
            Operation::Close { file } => self.quick_close(file),
            Operation::Send { socket, ref buffer, flags } => self.quick_send(socket, buffer, flags),
            Operation::Stat { directory, path, ref record, flags } => {
                self.quick_stat(directory, path, record, flags)
            }
            _ => Tried::Refused,
        };
        match tried {
            Tried::Over(outcome) => {
                if let Some(next) = steps.get(1) {
                    (self.called_behind, self.called_why) = (next.token.to_word(), why);
                }
                Ok(Started::Finished { outcome, way: Way { place: Place::Call, reason: why } })
            }
            Tried::Refused => {
                if let Operation::Read { file, .. } = first.operation
                    && let Some(record) = self.table.get_mut(file)
                {
                    record.by_calls = false;
                }
                Err(reason::REFUSED)
            }
            Tried::Partly(done) => Ok(self.read_on(first, done)),
        }
    }

    /// Whether a file was opened and described by calls, none of which had to wait.
    #[inline]
    fn goes_by_calls(&self, file: u32) -> bool {
        self.table.get(file).is_some_and(|record| record.by_calls)
    }

    /// Whether a plain call might do this operation, as far as can be told without asking the kernel.
    #[inline]
    pub(super) fn might_be_called(&self, operation: &Operation) -> bool {
        // What is not there yet is opened by the same run, and by a call if that begins so.
        let quick = |file: u32| {
            self.table.get(file).is_some_and(|record| record.is_empty() || record.habit != Habit::Ring)
        };
        match *operation {
            Operation::Open { directory, flags, .. } => {
                changes_nothing(flags)
                    && directory.is_none_or(|index| {
                        self.table.get(index).is_some_and(|record| record.descriptor.is_some())
                    })
            }
            Operation::Read { file, ref buffers, position } => {
                // Pieces cannot be read on in the middle where the position has moved.
                let simple = matches!(buffers, Buffers::One(_)) || position.is_some();
                simple && quick(file) && !is_empty(buffers)
            }
            Operation::Close { file } => {
                quick(file) && self.table.get(file).is_some_and(|record| !record.written)
            }
            Operation::Send { socket, flags, .. } => self.might_send(socket, flags),
            Operation::Stat { directory: Some(file), path: None, .. } => {
                self.table.get(file).is_some_and(|record| record.is_empty() || record.descriptor.is_some())
            }
            _ => false,
        }
    }

    /// Whether `next` goes with `previous` although the ring cannot link them: a STAT of something goes the way of the
    /// OPEN before it, and others the way of the STAT.
    #[inline]
    pub(super) fn goes_on(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        if edge == Edge::Always && !previous.opens().is_empty() {
            return false;
        }
        let is_stat = |operation: &Operation| matches!(operation, Operation::Stat { path: None, .. });
        match *previous {
            Operation::Open { into, .. } if describes(next, into) => true,
            _ if is_stat(previous) || is_stat(next) => {
                self.planner.may_call() && self.might_be_called(previous) && self.might_be_called(next)
            }
            _ => false,
        }
    }

    #[inline]
    pub(super) fn count_call(&mut self) {
        self.calls += 1;
        self.planner.called();
    }

    #[inline]
    pub(super) fn quick_open(
        &mut self,
        directory: Directory,
        path: Path,
        flags: OpenFlags,
        into: u32,
    ) -> Tried {
        let bits = call_bits(flags);
        let beneath = flags.contains(OpenFlags::BENEATH);
        let Some(opened) = self.open_cached(directory, &path, bits, beneath) else { return Tried::Refused };
        match opened {
            Ok((descriptor, mount)) => {
                self.table.put_called(
                    into,
                    descriptor,
                    kind_by(flags),
                    mount,
                    flags.contains(OpenFlags::WRITE),
                );
                Tried::success(0)
            }
            Err(io::Errno::NOSYS | io::Errno::INVAL) => {
                // This kernel, or whoever filters its calls, does not know how to look into the cache only.
                self.planner.give_calls_up();
                Tried::Refused
            }
            Err(error) if is_certain(error) => Tried::Over(Outcome::failure(calls::errno(error))),
            Err(_) => Tried::Refused,
        }
    }

    #[inline]
    pub(super) fn quick_read(&mut self, file: u32, buffers: &Buffers, position: Position) -> Tried {
        let Some((number, habit)) = self.quick_file(file) else { return Tried::Refused };
        // Only files never wait there: what a device has its name on does not say what its reads do.
        if habit == Habit::Memory && !self.is_file(file) {
            return Tried::Refused;
        }
        let offset = position.unwrap_or(CURRENT);
        match self.read_call(number, habit, buffers, offset) {
            Ok(count) => {
                if habit == Habit::New {
                    self.learn(file, Habit::Prompt);
                }
                let is_end = |at: u64| {
                    let end = at.wrapping_add(count as u64);
                    !end.is_multiple_of(BLOCK)
                        || self.table.get(file).is_some_and(|record| record.size == end)
                };
                let whole = count == 0
                    || habit == Habit::Memory
                    || count as u64 >= length(buffers)
                    || position.is_some_and(is_end);
                if whole {
                    Tried::success(count as u64)
                } else {
                    self.look_on(file, number, buffers, position, count)
                }
            }
            Err(io::Errno::OPNOTSUPP) if habit == Habit::New => {
                let habit = self.learn_by_asking(file);
                if habit != Habit::Memory || !self.is_file(file) {
                    self.learn(file, Habit::Ring);
                    return Tried::Refused;
                }
                match self.read_call(number, habit, buffers, offset) {
                    Ok(count) => Tried::success(count as u64),
                    Err(_) => Tried::Refused,
                }
            }
            Err(io::Errno::OPNOTSUPP) => {
                // A device with a name on such a file system.
                self.learn(file, Habit::Ring);
                Tried::Refused
            }
            Err(_) => Tried::Refused,
        }
    }

    #[inline]
    fn is_file(&mut self, file: u32) -> bool {
        matches!(self.classify(file), Ok(Kind::File))
    }

    #[inline]
    fn read_call(
        &mut self,
        number: RawFd,
        habit: Habit,
        buffers: &Buffers,
        offset: u64,
    ) -> io::Result<usize> {
        let flags = if habit == Habit::Memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
        self.count_call();
        spans::with_rooms(buffers, |rooms| rustix::io::preadv2(memory::borrow(number), rooms, offset, flags))
    }

    /// A read that refused to wait stopped where a block may begin: at the end, or at what has to be fetched.
    #[inline(never)]
    fn look_on(
        &mut self,
        file: u32,
        number: RawFd,
        buffers: &Buffers,
        position: Position,
        count: usize,
    ) -> Tried {
        // What is no file has nothing to fetch, and a second read would take what comes next.
        if !self.is_file(file) {
            return Tried::success(count as u64);
        }
        let Buffers::One(span) = *buffers else {
            // Of several pieces all are read again.
            return Tried::Refused;
        };
        let Ok(mut done) = u32::try_from(count) else { return Tried::success(count as u64) };
        loop {
            let rest = rest_of(span, done);
            let offset = position.map_or(CURRENT, |offset| offset.wrapping_add(u64::from(done)));
            match self.read_call(number, Habit::Prompt, &Buffers::One(rest), offset) {
                Ok(0) => return Tried::success(u64::from(done)),
                Ok(more) => done += more as u32,
                Err(io::Errno::AGAIN) => return Tried::Partly(done),
                // What was read is read; whoever reads on will meet the error.
                Err(_) => return Tried::success(u64::from(done)),
            }
            if done as usize >= span.length {
                return Tried::success(u64::from(done));
            }
        }
    }

    /// Lets the ring read what is missing behind the first `done` bytes.
    #[inline(never)]
    fn read_on(&mut self, step: &Step, done: u32) -> Started {
        let Operation::Read { file, buffers: Buffers::One(span), position } = step.operation else {
            return self.finish_now(Err(Errno::EIO), super::ON_THE_SPOT);
        };
        let operation = Operation::Read {
            file,
            buffers: Buffers::One(rest_of(span, done)),
            position: position.map(|offset| offset.wrapping_add(u64::from(done))),
        };
        let started = self.start_run(&[Step { operation, ..*step }], reason::REFUSED);
        match started {
            Started::Taken { .. } => {
                if let Some(packet) = self.packets.of(step.token) {
                    packet.lowered.effect = Effect::Adds(done);
                }
                started
            }
            // There is no room: a shorter read is a success too.
            _ => {
                let way = Way { place: Place::Call, reason: reason::REFUSED };
                self.finish_now(Ok(u64::from(done)), way)
            }
        }
    }

    #[inline]
    pub(super) fn quick_close(&mut self, file: u32) -> Tried {
        let Some((_, mut habit)) = self.quick_file(file) else { return Tried::Refused };
        if self.table.is_held_open(file) || self.table.get(file).is_some_and(|record| record.written) {
            return Tried::Refused;
        }
        if habit == Habit::New {
            habit = self.learn_by_asking(file);
        }
        if habit == Habit::Ring {
            return Tried::Refused;
        }
        self.count_call();
        // Opened for reading only, so there is nothing that a close could fail to write.
        self.table.bury(file);
        Tried::success(0)
    }

    /// The number and habit of a file that plain calls may be made on.
    #[inline]
    fn quick_file(&self, file: u32) -> Option<(RawFd, Habit)> {
        let record = self.table.get(file)?;
        if record.closing || record.habit == Habit::Ring {
            return None;
        }
        Some((record.number()?, record.habit))
    }

    #[inline]
    fn learn(&mut self, file: u32, habit: Habit) {
        if let Some(record) = self.table.get_mut(file) {
            record.habit = habit;
        }
    }

    /// Looks at the file system that a file is on.
    #[inline(never)]
    fn learn_by_asking(&mut self, file: u32) -> Habit {
        let habit = self.mount_of(file);
        self.learn(file, habit);
        habit
    }

    pub(super) fn quick_stat(
        &mut self,
        directory: Directory,
        path: Option<Path>,
        record: &Span,
        flags: StatFlags,
    ) -> Tried {
        let Some(path) = path else {
            let Some(file) = directory else { return Tried::Refused };
            let Ok(number) = self.number(file) else { return Tried::Refused };
            let mount = self.mount_of(file);
            return match self.stat_of(number, mount, record) {
                Ok((kind, size)) => {
                    self.table.describe(file, kind, size);
                    if let Some(record) = self.table.get_mut(file)
                        && record.habit == Habit::New
                    {
                        record.habit = mount;
                    }
                    Tried::success(0)
                }
                Err(tried) => tried,
            };
        };
        let mut bits = OFlags::PATH | OFlags::CLOEXEC;
        bits.set(OFlags::NOFOLLOW, flags.contains(StatFlags::NOFOLLOW));
        match self.open_cached(directory, &path, bits, false) {
            Some(Ok((object, mount))) => {
                let number = object.as_raw_fd();
                let mount = if mount == Habit::New { self.habit_of(number).0 } else { mount };
                let tried = self.stat_of(number, mount, record);
                self.count_call();
                tried.map_or_else(|tried| tried, |_| Tried::success(0))
            }
            Some(Err(
                error @ (io::Errno::NOENT | io::Errno::NOTDIR | io::Errno::ACCESS | io::Errno::LOOP),
            )) => Tried::Over(Outcome::failure(calls::errno(error))),
            Some(Err(_)) | None => Tried::Refused,
        }
    }

    /// STAT of what a descriptor on this mount stands for, unless its file system might ask somebody else. Says what sort
    /// of thing it is, and how long.
    fn stat_of(&mut self, number: RawFd, mount: Habit, record: &Span) -> Result<(Kind, u64), Tried> {
        if !matches!(mount, Habit::Prompt | Habit::Memory) {
            return Err(Tried::Refused);
        }
        self.count_call();
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        match rustix::fs::statx(memory::borrow(number), c"", AtFlags::EMPTY_PATH, mask) {
            Ok(found) => {
                spans::store_description(record, &found);
                Ok((calls::kind_of_mode(u32::from(found.stx_mode)), found.stx_size))
            }
            Err(_) => Err(Tried::Refused),
        }
    }
}

/// The flags of an OPEN for a plain call.
#[inline]
pub(super) fn call_bits(flags: OpenFlags) -> OFlags {
    let bits = OFlags::from_bits_retain(open_bits(flags)) | OFlags::CLOEXEC;
    if flags.contains(OpenFlags::PATH) {
        // openat2 refuses what goes without saying, and openat ignores it.
        bits & (OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)
    } else {
        bits
    }
}

/// Whether an OPEN that failed so has failed for certain. Anything else, a table of descriptors that is full for one, the
/// ring may see otherwise.
fn is_certain(error: io::Errno) -> bool {
    matches!(
        error,
        io::Errno::NOENT
            | io::Errno::NOTDIR
            | io::Errno::ACCESS
            | io::Errno::LOOP
            | io::Errno::XDEV
            | io::Errno::NAMETOOLONG
    )
}

/// Whether a STAT of something open is among these steps.
#[inline]
fn has_stat(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.operation, Operation::Stat { path: None, .. }))
}

/// What is left of a buffer behind its first `done` bytes.
fn rest_of(span: Span, done: u32) -> Span {
    let done = (done as usize).min(span.length);
    Span { pointer: span.pointer.wrapping_add(done), length: span.length - done }
}
