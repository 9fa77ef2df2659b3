//! Plain calls that refuse to wait: OPEN, READ, CLOSE and STAT on the engine's thread.
//!
//! Each is tried only where the kernel itself promises not to wait, and gives way to the ring whenever it says that it
//! would. OPEN looks names up in the kernel's cache only (RESOLVE_CACHED), as the ring's own first try does. READ is
//! one that refuses to wait (RWF_NOWAIT), or one from a file system in memory. CLOSE and STAT are done where the
//! file system has nothing to say to either: a FUSE or network file system may wait for somebody in both. Nothing here
//! writes, creates or truncates.

use std::os::fd::RawFd;

use ouzel_engine::{Buffers, Directory, Operation, Outcome, Path, Place, Position, Span, Started, Step, Way};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, StatFlags};
use ouzel_uring::abi::AT_FDCWD;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::{self, ReadWriteFlags};

use super::lower::open_bits;
use super::packets::Effect;
use super::planner::{Plan, reason};
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
        match first.operation {
            Operation::Open { .. } | Operation::Read { .. } | Operation::Close { .. } => {}
            Operation::Stat { .. } => return self.try_stat(first),
            _ => return Err(reason::ONLY),
        }
        match self.planner.choose(steps.len(), self.ring.sq_pending() > 0, self.in_flight > 0) {
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
            _ => Tried::Refused,
        };
        match tried {
            Tried::Over(outcome) => {
                if let Some(next) = steps.get(1) {
                    (self.called_behind, self.called_why) = (next.token.to_word(), why);
                }
                Ok(Started::Finished { outcome, way: Way { place: Place::Call, reason: why } })
            }
            Tried::Refused => Err(reason::REFUSED),
            Tried::Partly(done) => Ok(self.read_on(first, done)),
        }
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
                let plain = OpenFlags::READ
                    .union(OpenFlags::NOFOLLOW)
                    .union(OpenFlags::DIRECTORY)
                    .union(OpenFlags::PATH);
                plain.contains(flags)
                    && flags.intersects(OpenFlags::READ.union(OpenFlags::PATH))
                    && directory.is_none_or(|index| {
                        self.table.get(index).is_some_and(|record| record.descriptor.is_some())
                    })
            }
            Operation::Read { file, ref buffers, position } => {
                // Pieces cannot be read on in the middle where the position has moved.
                let simple = matches!(buffers, Buffers::One(_)) || position.is_some();
                simple && quick(file) && !is_empty(buffers)
            }
            Operation::Close { file } => quick(file),
            _ => false,
        }
    }

    #[inline]
    fn count_call(&mut self) {
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
        let from = match directory {
            None => AT_FDCWD,
            Some(index) => match self.number(index) {
                Ok(number) => number,
                Err(_) => return Tried::Refused,
            },
        };
        let Ok(name) = memory::path_at(&path) else { return Tried::Refused };
        let mut bits = OFlags::from_bits_retain(open_bits(flags)) | OFlags::CLOEXEC;
        if flags.contains(OpenFlags::PATH) {
            // openat2 refuses what goes without saying.
            bits &= OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        }
        self.count_call();
        match rustix::fs::openat2(memory::borrow(from), name, bits, Mode::empty(), ResolveFlags::CACHED) {
            Ok(descriptor) => {
                let names = flags.intersects(OpenFlags::DIRECTORY.union(OpenFlags::PATH));
                let kind = if names { Kind::File } else { Kind::Unknown };
                self.table.put_called(into, descriptor, kind);
                Tried::success(0)
            }
            Err(io::Errno::NOSYS | io::Errno::INVAL) => {
                // This kernel, or whoever filters its calls, does not know how to look into the cache only.
                self.planner.give_calls_up();
                Tried::Refused
            }
            // What the cache knows for certain. Anything else, a table of descriptors that is full for one, the ring may
            // see otherwise.
            Err(
                error @ (io::Errno::NOENT
                | io::Errno::NOTDIR
                | io::Errno::ACCESS
                | io::Errno::LOOP
                | io::Errno::NAMETOOLONG),
            ) => Tried::Over(Outcome::failure(calls::errno(error))),
            Err(_) => Tried::Refused,
        }
    }

    #[inline]
    pub(super) fn quick_read(&mut self, file: u32, buffers: &Buffers, position: Position) -> Tried {
        let Some((number, habit)) = self.quick_file(file) else { return Tried::Refused };
        let offset = position.unwrap_or(CURRENT);
        match self.read_call(number, habit, buffers, offset) {
            Ok(count) => {
                if habit == Habit::New {
                    self.learn(file, Habit::Prompt);
                }
                let whole = count == 0
                    || habit == Habit::Memory
                    || position.is_some_and(|at| !at.wrapping_add(count as u64).is_multiple_of(BLOCK))
                    || count as u64 >= length(buffers);
                if whole {
                    Tried::success(count as u64)
                } else {
                    self.look_on(file, number, buffers, position, count)
                }
            }
            Err(io::Errno::OPNOTSUPP) if habit == Habit::New => {
                let habit = self.learn_by_asking(file, number);
                if habit != Habit::Memory {
                    self.learn(file, Habit::Ring);
                    return Tried::Refused;
                }
                match self.read_call(number, habit, buffers, offset) {
                    Ok(count) => Tried::success(count as u64),
                    Err(_) => Tried::Refused,
                }
            }
            Err(_) => Tried::Refused,
        }
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
        if !matches!(self.classify(file), Ok(Kind::File)) {
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
        let Some((number, mut habit)) = self.quick_file(file) else { return Tried::Refused };
        if self.table.is_held_open(file) {
            return Tried::Refused;
        }
        if habit == Habit::New {
            habit = self.learn_by_asking(file, number);
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
    fn learn_by_asking(&mut self, file: u32, number: RawFd) -> Habit {
        let habit = self.habit_of(number);
        self.learn(file, habit);
        habit
    }

    fn habit_of(&mut self, number: RawFd) -> Habit {
        self.count_call();
        match rustix::fs::fstatfs(memory::borrow(number)) {
            Ok(found) => match found.f_type as u32 {
                TMPFS | RAMFS => Habit::Memory,
                EXT4 | XFS | BTRFS | F2FS => Habit::Prompt,
                _ => Habit::Ring,
            },
            Err(_) => Habit::Ring,
        }
    }

    /// STAT, which the ring always gives to a kernel worker: three or four plain calls are cheaper than that.
    #[inline(never)]
    fn try_stat(&mut self, step: &Step) -> Result<Started, &'static str> {
        let Operation::Stat { directory, path, record, flags } = step.operation else {
            return Err(reason::ONLY);
        };
        if self.in_flight > 0 && self.planner.is_blind() {
            return Err(reason::TURN);
        }
        let way = Way { place: Place::Call, reason: reason::STAT };
        match self.quick_stat(directory, path, &record, flags) {
            Tried::Over(outcome) => Ok(Started::Finished { outcome, way }),
            _ => Err(reason::REFUSED),
        }
    }

    pub(super) fn quick_stat(
        &mut self,
        directory: Directory,
        path: Option<Path>,
        record: &Span,
        flags: StatFlags,
    ) -> Tried {
        let from = match directory {
            None => AT_FDCWD,
            Some(index) => match self.number(index) {
                Ok(number) => number,
                Err(_) => return Tried::Refused,
            },
        };
        let Some(path) = path else {
            let known = directory.and_then(|index| self.table.get(index)).map(|record| record.habit);
            let prompt = matches!(known, Some(Habit::Prompt | Habit::Memory));
            return self.stat_of(from, prompt, record);
        };
        let Ok(name) = memory::path_at(&path) else { return Tried::Refused };
        let mut bits = OFlags::PATH | OFlags::CLOEXEC;
        bits.set(OFlags::NOFOLLOW, flags.contains(StatFlags::NOFOLLOW));
        self.count_call();
        let opened =
            rustix::fs::openat2(memory::borrow(from), name, bits, Mode::empty(), ResolveFlags::CACHED);
        match opened {
            Ok(object) => {
                let tried = self.stat_of(std::os::fd::AsRawFd::as_raw_fd(&object), false, record);
                self.count_call();
                tried
            }
            Err(error @ (io::Errno::NOENT | io::Errno::NOTDIR | io::Errno::ACCESS | io::Errno::LOOP)) => {
                Tried::Over(Outcome::failure(calls::errno(error)))
            }
            Err(_) => Tried::Refused,
        }
    }

    /// STAT of what a descriptor stands for, unless its file system might ask somebody else.
    fn stat_of(&mut self, number: RawFd, prompt: bool, record: &Span) -> Tried {
        if number == AT_FDCWD || (!prompt && self.habit_of(number) == Habit::Ring) {
            return Tried::Refused;
        }
        self.count_call();
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        match rustix::fs::statx(memory::borrow(number), c"", AtFlags::EMPTY_PATH, mask) {
            Ok(found) => {
                spans::store_description(record, &found);
                Tried::success(0)
            }
            Err(_) => Tried::Refused,
        }
    }
}

/// What is left of a buffer behind its first `done` bytes.
fn rest_of(span: Span, done: u32) -> Span {
    let done = (done as usize).min(span.length);
    Span { pointer: span.pointer.wrapping_add(done), length: span.length - done }
}

// Numbers of linux/magic.h.
const EXT4: u32 = 0xef53;
const XFS: u32 = 0x5846_5342;
const BTRFS: u32 = 0x9123_683e;
const F2FS: u32 = 0xf2f5_2010;
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;
