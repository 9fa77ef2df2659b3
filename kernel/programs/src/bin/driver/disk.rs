//! The backend of the driver: block devices in memory.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use ouzel_engine::{
    Backend, Buffers, Counters, Operation, Outcome, Path, Place, Position, Report, Span, Started, Step,
    Token, Way,
};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, PollEvents};

/// How many disks there are.
const DISKS: usize = 2;

/// Bytes of a disk.
const SIZE: usize = 64 * 1024;

/// Where every operation of this backend runs.
const WAY: Way = Way { place: Place::Call, reason: "" };

/// When operations are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as they are started.
    AtOnce,
    /// One with each [`Disks::serve_one`].
    OneByOne,
    /// Opening and closing as soon as they are started, and nothing else at all.
    OpensOnly,
}

/// What a client has open.
#[derive(Clone, Copy)]
struct Open {
    disk: usize,
    flags: OpenFlags,
    position: u64,
}

/// The disks, and what of them is open.
pub struct Disks {
    pace: Pace,
    disks: Vec<Vec<u8>>,
    open: Vec<Option<Open>>,
    waiting: VecDeque<(Token, Operation)>,
    reports: VecDeque<Report>,
}

impl Disks {
    /// Disks full of zeros, with room for so many descriptors.
    pub fn new(pace: Pace, descriptors: u32) -> Disks {
        Disks {
            pace,
            disks: vec![vec![0; SIZE]; DISKS],
            open: vec![None; descriptors as usize],
            waiting: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }

    /// Whether an operation waits to be served.
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Does the operation that has waited longest.
    pub fn serve_one(&mut self) {
        if let Some((token, operation)) = self.waiting.pop_front() {
            let outcome = self.outcome(&operation);
            self.reports.push_back(Report { token, outcome, more: false });
        }
    }

    fn outcome(&mut self, operation: &Operation) -> Outcome {
        self.work(operation).map_or_else(Outcome::failure, Outcome::success)
    }

    fn work(&mut self, operation: &Operation) -> Result<u64, Errno> {
        match *operation {
            Operation::Open { path, flags, into, .. } => {
                let disk = number(&path).filter(|disk| *disk < DISKS).ok_or(Errno::ENOENT)?;
                let place = self.open.get_mut(into as usize).ok_or(Errno::EMFILE)?;
                *place = Some(Open { disk, flags, position: 0 });
                Ok(0)
            }
            Operation::Close { file } => {
                self.open.get_mut(file as usize).and_then(Option::take).ok_or(Errno::EBADF).map(|_| 0)
            }
            Operation::Read { file, buffers, position } => {
                self.transfer(file, &buffers, position, OpenFlags::READ, |disk, span| {
                    // SAFETY: the engine has checked the span; it is the window's, which only this process and the kernel write,
                    // and the kernel does not until this operation is reported.
                    unsafe { span.pointer.copy_from_nonoverlapping(disk.as_ptr(), disk.len()) };
                })
            }
            Operation::Write { file, buffers, position } => {
                self.transfer(file, &buffers, position, OpenFlags::WRITE, |disk, span| {
                    // SAFETY: as for READ.
                    unsafe { disk.as_mut_ptr().copy_from_nonoverlapping(span.pointer, disk.len()) };
                })
            }
            // Whoever has written finds it there: that is all that memory can promise.
            Operation::Sync { file, .. } => self.find(file).map(|_| 0),
            Operation::Poll { file, events, multishot: false } => {
                self.find(file)?;
                Ok((events & (PollEvents::IN | PollEvents::OUT)).bits())
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn find(&mut self, file: u32) -> Result<&mut Open, Errno> {
        self.open.get_mut(file as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Moves bytes between a disk and the spans, as far as the disk goes: `step` is given what of it belongs to the span, which is
    /// at least as long.
    fn transfer(
        &mut self,
        file: u32,
        buffers: &Buffers,
        position: Position,
        needs: OpenFlags,
        step: impl Fn(&mut [u8], Span),
    ) -> Result<u64, Errno> {
        let open = *self.find(file)?;
        if !open.flags.contains(needs) {
            return Err(Errno::EBADF);
        }
        let disk = self.disks.get_mut(open.disk).ok_or(Errno::ENOENT)?;
        let start = usize::try_from(position.unwrap_or(open.position)).unwrap_or(SIZE).min(SIZE);
        let mut at = start;
        for span in spans(buffers) {
            let end = at.saturating_add(span.length).min(SIZE);
            step(&mut disk[at..end], *span);
            at = end;
        }
        let asked: usize = spans(buffers).iter().map(|span| span.length).sum();
        if at == start && asked > 0 && needs == OpenFlags::WRITE {
            return Err(Errno::ENOSPC);
        }
        if position.is_none() {
            self.find(file)?.position = at as u64;
        }
        Ok((at - start) as u64)
    }
}

/// The number that a path is; `None` if it is none.
fn number(path: &Path) -> Option<usize> {
    // SAFETY: the engine has copied the path, which stays until the operation is reported. The last byte is its NUL.
    let bytes = unsafe { core::slice::from_raw_parts(path.pointer, path.length.saturating_sub(1)) };
    core::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The spans of a transfer.
fn spans(buffers: &Buffers) -> &[Span] {
    match buffers {
        Buffers::One(span) => core::slice::from_ref(span),
        // SAFETY: the engine's own list, of so many spans, valid until the operation is reported.
        Buffers::Many { spans, count } => unsafe { core::slice::from_raw_parts(*spans, *count) },
    }
}

impl Backend for Disks {
    /// Time does not pass: nothing that the kernel asks of a driver has a limit of time but 0.
    fn now(&self) -> u64 {
        0
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Step { token, operation, .. } = steps[0];
        let opens = matches!(operation, Operation::Open { .. } | Operation::Close { .. });
        if self.pace == Pace::AtOnce || (self.pace == Pace::OpensOnly && opens) {
            return Started::Finished { outcome: self.outcome(&operation), way: WAY };
        }
        self.waiting.push_back((token, operation));
        Started::Taken { count: 1, way: WAY }
    }

    fn cancel(&mut self, token: Token) {
        let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == token) else { return };
        self.waiting.remove(place);
        self.reports.push_back(Report { token, outcome: Outcome::failure(Errno::ECANCELED), more: false });
    }

    /// There is nothing to wait for: the driver enters its engine only to take and to report.
    fn wait(&mut self, _: u32, _: Option<u64>) -> Result<(), Errno> {
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
