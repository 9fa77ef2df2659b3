//! The threads backend: every verb with plain system calls, where io_uring is refused.
//!
//! Calls that may wait for storage go to a bounded pool of workers. Operations that wait for events (data, room, a
//! peer) are tried at once without blocking and, if they must wait, are parked with one poller, so that a thousand of
//! them need no more threads than one. Cheap calls are made on the caller's thread. The table of objects belongs to
//! that thread; workers only ever see objects through counted references, so that CLOSE never frees a number that a
//! running call uses. This module never blocks but in [`Backend::wait`] and in its drop.
//!
//! What a user of the trait should know:
//!
//! - A transfer on a pipe, socket or terminal is over after the first progress: short transfers are successes. RECV and
//!   SEND with WAIT_ALL go on until the buffer is done. One that is cancelled or timed out after progress reports the
//!   bytes it moved, and so does COPY.
//! - An operation that waits when its descriptor is closed keeps the object alive and goes on waiting, as on Linux.
//! - A storage call that has begun cannot be cancelled: its true result is reported. CLOSE cannot be cancelled at all.
//! - The reports of a multishot POLL are merged while nobody fetches them; a multishot ACCEPT rests after 64.
//! - Dropping the backend ends all waits and waits for storage calls that have begun: they write to the submitter's
//!   memory. Storage calls end; there is no bound on when.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ouzel_engine::{
    Backend, Counters, Operation, Outcome, Place, Process, Report, Started, Step, Token, Way,
};
use ouzel_ring::Errno;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::time::{ClockId, clock_gettime};

use super::{HostBackend, host};
use crate::BufferGroup;

mod attempt;
mod copy;
mod job;
mod object;
mod parking;
mod pool;
mod sleepers;
mod storage;
mod waiting;

use attempt::{Attempt, Done, Wait};
use job::{Body, Job, Sort};
use object::{Kind, Object, errno};
use pool::Pool;
use rustix::event::{EventfdFlags, PollFlags, eventfd};

/// The most descriptors a table may have.
const MOST_DESCRIPTORS: u32 = 1 << 24;

/// The most workers.
const MOST_WORKERS: usize = 1024;

/// How a [`Threads`] is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadsOptions {
    /// Size of the descriptor table: 1 to 2²⁴. The engine's indices stay below it. Default: 1024.
    pub descriptors: u32,
    /// The most worker threads, 1 to 1024; they are started when needed. The poller's thread comes on top. Default:
    /// twice the processors, at least 4 and at most 16.
    pub workers: usize,
}

impl Default for ThreadsOptions {
    fn default() -> ThreadsOptions {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        ThreadsOptions { descriptors: 1024, workers: (processors * 2).clamp(4, 16) }
    }
}

/// Why a [`Threads`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadsError {
    /// The descriptor table has no size, or one past the limit.
    Descriptors(u32),
    /// The number of workers is 0 or past the limit.
    Workers(usize),
    /// The descriptors for the poller could not be made.
    Poller(Errno),
}

impl std::fmt::Display for ThreadsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ThreadsError::Descriptors(count) => write!(
                formatter,
                "threads backend: a table of {count} descriptors is not possible: ask for 1 to {MOST_DESCRIPTORS}"
            ),
            ThreadsError::Workers(count) => write!(
                formatter,
                "threads backend: {count} workers are not possible: ask for 1 to {MOST_WORKERS}"
            ),
            ThreadsError::Poller(error) => write!(
                formatter,
                "threads backend: no descriptors for the poller: {error}: close some, or raise the limit (ulimit -n)"
            ),
        }
    }
}

impl std::error::Error for ThreadsError {}

/// A backend that does every verb with plain system calls, on a bounded pool of threads.
///
/// See the [module](self) for what is particular to it. Dropping it cancels what waits and blocks until the storage
/// calls that have begun are over.
#[derive(Debug)]
pub struct Threads {
    pool: Arc<Pool>,
    table: Vec<Option<Arc<Object>>>,
    /// The job of each of the engine's slots; one that is over is used again.
    jobs: Vec<Option<Arc<Job>>>,
    /// Connections of a multishot ACCEPT that have no index yet.
    handles: HashMap<u64, Object>,
    /// By number: what RECV picks from.
    groups: HashMap<u16, BufferGroup>,
    /// Operations taken and not reported for the last time.
    outstanding: usize,
    /// How many of those are multishot.
    multishots: usize,
}

impl Threads {
    /// A backend with an empty table. No thread is started before it is needed.
    ///
    /// # Errors
    ///
    /// [`ThreadsError::Descriptors`] and [`ThreadsError::Workers`] for sizes out of bounds, [`ThreadsError::Poller`]
    /// if the process has no descriptors left.
    pub fn new(options: ThreadsOptions) -> Result<Threads, ThreadsError> {
        if options.descriptors == 0 || options.descriptors > MOST_DESCRIPTORS {
            return Err(ThreadsError::Descriptors(options.descriptors));
        }
        if options.workers == 0 || options.workers > MOST_WORKERS {
            return Err(ThreadsError::Workers(options.workers));
        }
        let pool = Pool::new(options.workers).map_err(|error| ThreadsError::Poller(errno(error)))?;
        Ok(Threads {
            pool,
            table: vec![None; options.descriptors as usize],
            jobs: Vec::new(),
            handles: HashMap::new(),
            groups: HashMap::new(),
            outstanding: 0,
            multishots: 0,
        })
    }

    /// The object at an index.
    fn object(&self, index: u32) -> Result<Arc<Object>, Errno> {
        self.table.get(index as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    fn named(&self, index: Option<u32>) -> Result<Option<Arc<Object>>, Errno> {
        index.map(|index| self.object(index)).transpose()
    }

    fn insert(&mut self, index: u32, object: Object) {
        // The engine has reserved the index; an index outside the table closes the object.
        if let Some(place) = self.table.get_mut(index as usize) {
            *place = Some(Arc::new(object));
        }
    }

    /// The operation with the objects it names. A CLOSE empties its place in the table here and now.
    fn body(&mut self, operation: &Operation) -> Result<Body, Errno> {
        let [subject, other] = match *operation {
            Operation::Close { file } => {
                let place = self.table.get_mut(file as usize).ok_or(Errno::EBADF)?;
                [Some(place.take().ok_or(Errno::EBADF)?), None]
            }
            Operation::Wait { process: Process::Number(number) } => {
                self.pool.calls.count(1);
                let descriptor = host::open_process(number)?;
                [Some(Arc::new(Object::new(descriptor, Kind::Event, false))), None]
            }
            _ => {
                let [subject, other] = operation.names();
                [self.named(subject)?, self.named(other)?]
            }
        };
        let mut body = Body::new(*operation, subject, other);
        if let Operation::RecvPicked { group, .. } = operation {
            body.group = Some(self.groups.get(group).cloned().ok_or(Errno::ENOBUFS)?);
        }
        if let Operation::SendMsg { message, .. } = operation {
            let indices = super::memory::files(message);
            body.passed =
                indices.into_iter().map(|index| self.object(index as u32)).collect::<Result<_, _>>()?;
        }
        Ok(body)
    }

    /// Puts what an operation opened into the table.
    fn settle(&mut self, into: [Option<u32>; 2], opened: [Option<Object>; 2]) {
        for pair in into.into_iter().zip(opened) {
            if let (Some(index), Some(object)) = pair {
                self.insert(index, object);
            }
        }
    }

    /// A job in the place that belongs to the token's slot.
    fn make_job(&mut self, step: &Step, sort: Sort, body: Body) -> Arc<Job> {
        let slot = step.token.slot as usize;
        if self.jobs.len() <= slot {
            self.jobs.resize(slot + 1, None);
        }
        let job = Job::new(step.token, sort, step.may_wait, &step.operation, body);
        let job = match self.jobs[slot].take() {
            // Nobody holds the old one any more: its memory serves again.
            Some(mut old) => match Arc::get_mut(&mut old) {
                Some(place) => {
                    *place = job;
                    old
                }
                None => Arc::new(job),
            },
            None => Arc::new(job),
        };
        self.jobs[slot] = Some(Arc::clone(&job));
        self.outstanding += 1;
        self.multishots += usize::from(step.operation.is_multishot());
        job
    }

    /// Takes back a job that nobody has taken.
    fn undo_job(&mut self, step: &Step) {
        self.outstanding -= 1;
        self.multishots -= usize::from(step.operation.is_multishot());
        if let Some(place) = self.jobs.get_mut(step.token.slot as usize) {
            *place = None;
        }
    }

    /// The job a token stands for, if it is still the slot's.
    fn job(&self, token: Token) -> Option<&Arc<Job>> {
        self.jobs.get(token.slot as usize)?.as_ref().filter(|job| job.token == token)
    }

    /// Hands a job to a worker or puts it to wait.
    fn hand_over(
        &mut self,
        step: &Step,
        sort: Sort,
        body: Body,
        wait: Option<Wait>,
        reason: &'static str,
    ) -> Started {
        let waiter_of = |job: &Arc<Job>, wait| {
            let body = job.begin()?;
            pool::waiter(job, &body, wait)
        };
        let job = self.make_job(step, sort, body);
        let result = match wait {
            None => self.pool.queue(job),
            Some(wait) => match waiter_of(&job, wait) {
                Some(waiter) => self.pool.park(waiter),
                None => Err(Errno::EBADF),
            },
        };
        match result {
            Ok(()) => Started::Taken { count: 1, way: Way { place: Place::Thread, reason } },
            Err(error) => {
                self.undo_job(step);
                finished(Outcome::failure(error), "no thread or poller took it")
            }
        }
    }

    /// A FUTEX that waits does so on a thread of its own.
    fn sleep(&mut self, step: &Step, body: Body) -> Started {
        let Operation::FutexWait { word, expected, .. } = step.operation else {
            return finished(Outcome::failure(Errno::EINVAL), "");
        };
        if !host::futex::holds(&word, expected) {
            return finished(Outcome::failure(Errno::EAGAIN), "the word holds something else");
        }
        if !step.may_wait {
            return finished(Outcome::failure(Errno::ETIMEDOUT), "it may not wait");
        }
        let job = self.make_job(step, Sort::Sleep, body);
        match sleepers::Sleepers::take(&self.pool, job) {
            Ok(()) => {
                self.pool.handoffs.fetch_add(1, Ordering::Relaxed);
                Started::Taken { count: 1, way: Way { place: Place::Thread, reason: "it waits on a word" } }
            }
            Err(error) => {
                self.undo_job(step);
                finished(Outcome::failure(error), "no thread took it")
            }
        }
    }

    /// A multishot POLL waits on a descriptor of its own, so that it can be told of changes while others on the same
    /// object are told of states.
    fn poll_many(&mut self, step: &Step, mut body: Body) -> Started {
        let (Some(object), Operation::Poll { events, .. }) = (body.subject.take(), step.operation) else {
            return finished(Outcome::failure(Errno::EBADF), "");
        };
        self.pool.calls.count(1);
        let ready = match object.ready(waiting::poll_flags(events)) {
            Ok(ready) => waiting::poll_result(ready, events),
            Err(error) => return finished(Outcome::failure(errno(error)), ""),
        };
        if !object.kind.waits() {
            return finished(Outcome::success(ready), "its object is always ready");
        }
        if ready == 0 && !step.may_wait {
            return finished(Outcome::failure(Errno::ETIMEDOUT), "it may not wait");
        }
        self.pool.calls.count(1);
        let descriptor = match fcntl_dupfd_cloexec(object.as_fd(), 0) {
            Ok(descriptor) => descriptor,
            Err(error) => return finished(Outcome::failure(errno(error)), ""),
        };
        body.subject = Some(Arc::new(Object::new(descriptor, object.kind, false)));
        let wait = Wait::Subject(waiting::poll_flags(events));
        self.hand_over(step, Sort::PollMany, body, Some(wait), "it waits for events")
    }
}

fn finished(outcome: Outcome, reason: &'static str) -> Started {
    Started::Finished { outcome, way: Way { place: Place::Call, reason } }
}

impl Backend for Threads {
    fn now(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(step) = steps.first() else { return Started::Busy };
        let mut body = match self.body(&step.operation) {
            Ok(body) => body,
            Err(error) => return finished(Outcome::failure(error), ""),
        };
        match attempt::sort(&body) {
            Some(sort @ (Sort::Work | Sort::Close)) => {
                self.hand_over(step, sort, body, None, "the call may take its time")
            }
            Some(Sort::PollMany) => self.poll_many(step, body),
            Some(Sort::Sleep) => self.sleep(step, body),
            Some(Sort::RecvMany) => {
                let job = self.make_job(step, Sort::RecvMany, body);
                self.pool.begin_receiving(&job);
                let reason = "it receives as long as there is something";
                Started::Taken { count: 1, way: Way { place: Place::Thread, reason } }
            }
            Some(Sort::AcceptMany) if step.may_wait => {
                let wait = Wait::Subject(PollFlags::IN);
                self.hand_over(step, Sort::AcceptMany, body, Some(wait), "it waits for peers")
            }
            Some(Sort::AcceptMany) => finished(Outcome::failure(Errno::ETIMEDOUT), "it may not wait"),
            sort @ (Some(Sort::Poll | Sort::Transfer) | None) => {
                match attempt::attempt(&self.pool, &mut body, &AtomicBool::new(false)) {
                    Attempt::Done(Done { outcome, opened }) => {
                        let opens = step.operation.opens();
                        self.settle([opens.first().copied(), opens.get(1).copied()], opened);
                        finished(outcome, "the call could be made at once")
                    }
                    Attempt::Wait(_) if !step.may_wait => {
                        finished(body.stopped(Errno::ETIMEDOUT), "it may not wait")
                    }
                    Attempt::Wait(wait) => {
                        let sort = sort.unwrap_or(Sort::Transfer);
                        self.hand_over(step, sort, body, Some(wait), "it waits for an event")
                    }
                }
            }
        }
    }

    fn cancel(&mut self, token: Token) {
        if let Some(job) = self.job(token) {
            self.pool.cancel(job);
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        let mut want = want as usize;
        if self.multishots == 0 {
            // More than there are will never come.
            want = want.min(self.outstanding.max(1));
        }
        // With nothing to come there is still a time to wait for.
        if want == 0 || (self.outstanding == 0 && until.is_none()) {
            return Ok(());
        }
        let limit = until.map(|until| Duration::from_nanos(until.saturating_sub(self.now())));
        self.pool.sleep(want, limit);
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        let finished = self.pool.fetch()?;
        let Done { mut outcome, opened } = finished.done;
        if let Some(job) = finished.more {
            match job.sort {
                Sort::PollMany => outcome = Outcome::success(job.pending.swap(0, Ordering::AcqRel)),
                Sort::RecvMany => {}
                _ => {
                    let [object, _] = opened;
                    if let Some(object) = object {
                        outcome = Outcome::success(object.id);
                        self.handles.insert(object.id, object);
                    }
                    self.pool.fetched(&job);
                }
            }
            return Some(Report { token: finished.token, outcome, more: true });
        }
        self.outstanding -= 1;
        if let Some((into, multishot)) = self.job(finished.token).map(|job| (job.into, job.multishot)) {
            self.multishots -= usize::from(multishot);
            self.settle(into, opened);
        }
        Some(Report { token: finished.token, outcome, more: false })
    }

    fn attach(&mut self, handle: u64, index: u32) {
        let object = self.handles.remove(&handle).or_else(|| self.pool.take_received(handle));
        if let Some(object) = object {
            self.insert(index, object);
        }
    }

    fn discard(&mut self, handle: u64) {
        self.handles.remove(&handle);
        drop(self.pool.take_received(handle));
    }

    fn counters(&self) -> Counters {
        Counters {
            enters: 0,
            calls: self.pool.calls.total(),
            handoffs: self.pool.handoffs.load(Ordering::Relaxed),
        }
    }
}

// SAFETY: results are what system calls returned or sums of it, and a job lets its memory go before its report.
unsafe impl HostBackend for Threads {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        if index as usize >= self.table.len() {
            return Err(Errno::EBADF);
        }
        let object = Object::adopted(descriptor)?;
        self.insert(index, object);
        Ok(())
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        let object = self.table.get_mut(index as usize).and_then(Option::take).ok_or(Errno::EBADF)?;
        match Arc::try_unwrap(object) {
            Ok(object) => object.into_descriptor(),
            Err(shared) => {
                // Something still uses it after all; it keeps the number, and the caller gets one of its own.
                let descriptor = fcntl_dupfd_cloexec(shared.as_fd(), 0).map_err(errno)?;
                Object::new(descriptor, shared.kind, shared.ours).into_descriptor()
            }
        }
    }

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        self.groups.insert(group.number(), group.clone());
        Ok(())
    }

    fn remove_group(&mut self, group: u16) {
        self.groups.remove(&group);
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(errno)?;
        self.pool.count_ends(fcntl_dupfd_cloexec(&counter, 0).map_err(errno)?);
        Ok(Some(counter))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for job in self.jobs.iter().flatten() {
            self.pool.cancel(job);
        }
        self.pool.shut_down();
    }
}
