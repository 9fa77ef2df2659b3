//! The threads: workers for calls that take their time, one poller for operations that wait, and the list of ends.
//!
//! Threads are started when they are first needed, never more than was allowed, and are joined when the backend is
//! dropped. A worker never waits for an event, so it is busy only as long as storage is.

use std::collections::{HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ouzel_engine::{Claimant, Operation, Outcome, Token};
use ouzel_ring::Errno;
use rustix::event::epoll::{self, Event};
use rustix::event::{PollFlags, Timespec};

use super::attempt::{Attempt, Done, Wait, attempt};
use super::job::{Body, Job, Sort};
use super::object::{Calls, Object};
use super::parking::{Parking, WAKE, Waiter};
use super::sleepers::Sleepers;
use super::{copy, waiting};
use crate::backend::host::futex;

/// How long an operation sleeps that nobody will wake.
const WHILE: Duration = Duration::from_millis(5);

/// A multishot ACCEPT rests when this many of its connections have not been fetched.
const MOST_UNREAD: u32 = 64;

/// How many events the poller fetches at once.
const EVENTS: usize = 128;

/// A report before it is fetched.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) token: Token,
    pub(super) done: Done,
    /// A result of a multishot operation that goes on: that operation.
    pub(super) more: Option<Arc<Job>>,
}

#[derive(Debug, Default)]
struct Ends {
    list: VecDeque<Finished>,
    /// How many the sleeper waits for; 0 if nobody sleeps.
    wanted: usize,
    /// What is added to with each end, once somebody waits elsewhere.
    counter: Option<OwnedFd>,
}

#[derive(Debug, Default)]
struct Work {
    queue: VecDeque<Arc<Job>>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    poller: Option<JoinHandle<()>>,
}

/// What all threads share.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) calls: Calls,
    pub(super) handoffs: AtomicU64,
    most_workers: usize,
    stop: AtomicBool,
    work: Mutex<Work>,
    work_signal: Condvar,
    ends: Mutex<Ends>,
    ends_signal: Condvar,
    pub(super) parking: Parking,
    pub(super) sleepers: Sleepers,
    /// By number: objects that came with messages and have no index yet.
    received: Mutex<HashMap<u64, Object>>,
}

impl Pool {
    pub(super) fn new(most_workers: usize) -> rustix::io::Result<Arc<Pool>> {
        Ok(Arc::new(Pool {
            calls: Calls::default(),
            handoffs: AtomicU64::new(0),
            most_workers,
            stop: AtomicBool::new(false),
            work: Mutex::default(),
            work_signal: Condvar::new(),
            ends: Mutex::default(),
            ends_signal: Condvar::new(),
            parking: Parking::new()?,
            sleepers: Sleepers::default(),
            received: Mutex::default(),
        }))
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- objects that came with messages ----

    fn received(&self) -> MutexGuard<'_, HashMap<u64, Object>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps objects until they have an index each; returns their numbers.
    pub(super) fn keep_received(&self, objects: Vec<Object>) -> Vec<u64> {
        let mut received = self.received();
        let numbers = objects.iter().map(|object| object.id).collect();
        received.extend(objects.into_iter().map(|object| (object.id, object)));
        numbers
    }

    /// The object with this number.
    pub(super) fn take_received(&self, number: u64) -> Option<Object> {
        self.received().remove(&number)
    }

    // ---- the list of ends ----

    fn report(&self, finished: Finished) {
        let mut ends = self.ends();
        ends.list.push_back(finished);
        if ends.wanted != 0 && ends.list.len() >= ends.wanted {
            ends.wanted = 0;
            self.ends_signal.notify_one();
        }
        if let Some(counter) = &ends.counter {
            // It never blocks; a count at its end is readable, too.
            let _ = rustix::io::write(counter, &1u64.to_ne_bytes());
        }
    }

    /// Has `counter` added to with each end from now on.
    pub(super) fn count_ends(&self, counter: OwnedFd) {
        self.ends().counter = Some(counter);
    }

    /// The next end.
    pub(super) fn fetch(&self) -> Option<Finished> {
        self.ends().list.pop_front()
    }

    /// Sleeps until `want` ends are there, or for `limit`.
    pub(super) fn sleep(&self, want: usize, limit: Option<Duration>) {
        let mut ends = self.ends();
        if ends.list.len() >= want {
            return;
        }
        ends.wanted = want;
        let enough = |ends: &mut Ends| ends.list.len() < want;
        let mut ends = match limit {
            None => self.ends_signal.wait_while(ends, enough).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let result = self.ends_signal.wait_timeout_while(ends, limit, enough);
                result.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        ends.wanted = 0;
    }

    // ---- handing over ----

    /// Hands a job to a worker. On an error nobody has it.
    pub(super) fn queue(self: &Arc<Pool>, job: Arc<Job>) -> Result<(), Errno> {
        let mut work = self.work();
        if self.stop.load(Ordering::Relaxed) {
            // No thread may be started that nobody would join.
            return Err(Errno::ECANCELED);
        }
        if work.idle <= work.queue.len() && work.threads.len() < self.most_workers {
            let pool = Arc::clone(self);
            let name = format!("ouzel-work-{}", work.threads.len());
            match std::thread::Builder::new().name(name).spawn(move || pool.serve()) {
                Ok(thread) => work.threads.push(thread),
                // The others will come to it.
                Err(_) if !work.threads.is_empty() => {}
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(11))),
            }
        }
        self.handoffs.fetch_add(1, Ordering::Relaxed);
        work.queue.push_back(job);
        if work.idle > 0 {
            self.work_signal.notify_one();
        }
        Ok(())
    }

    /// Puts a job to wait. On an error nobody has it.
    pub(super) fn park(self: &Arc<Pool>, waiter: Waiter) -> Result<(), Errno> {
        {
            let mut work = self.work();
            if self.stop.load(Ordering::Relaxed) {
                return Err(Errno::ECANCELED);
            }
            if work.poller.is_none() {
                let pool = Arc::clone(self);
                let spawned =
                    std::thread::Builder::new().name("ouzel-poll".into()).spawn(move || pool.watch());
                match spawned {
                    Ok(thread) => work.poller = Some(thread),
                    Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(11))),
                }
            }
        }
        self.handoffs.fetch_add(1, Ordering::Relaxed);
        self.parking.park(waiter)
    }

    // ---- ends of jobs ----

    /// Ends a job with an error, unless it is over.
    fn fail(&self, job: &Arc<Job>, error: Errno) {
        if let Some(body) = job.begin() {
            let outcome = body.stopped(error);
            if job.end(body, Claimant::Worker) {
                self.report(Finished {
                    token: job.token,
                    done: Done { outcome, opened: [None, None] },
                    more: None,
                });
            }
        }
    }

    /// Ends a job whose body is in hand, unless it is over.
    pub(super) fn end(&self, job: &Arc<Job>, body: MutexGuard<'_, Body>, outcome: Outcome) {
        if job.end(body, Claimant::Worker) {
            let done = Done { outcome, opened: [None, None] };
            self.report(Finished { token: job.token, done, more: None });
        }
    }

    /// Asks for a job to be given up: at once if nobody is at work on it, else when that one lets go.
    pub(super) fn cancel(&self, job: &Arc<Job>) {
        if job.sort == Sort::Close {
            return;
        }
        let Some(mut body) = job.wish_end() else {
            if job.sort == Sort::Sleep {
                futex::end_sleep(&job.end);
            }
            return;
        };
        copy::give_up(&self.calls, &mut body);
        let outcome = body.stopped(Errno::ECANCELED);
        if job.end(body, Claimant::Canceller) {
            self.parking.remove(job);
            self.report(Finished {
                token: job.token,
                done: Done { outcome, opened: [None, None] },
                more: None,
            });
        }
    }

    /// One result of a multishot operation.
    fn report_one(&self, job: &Arc<Job>, done: Done) {
        self.report(Finished { token: job.token, done, more: Some(Arc::clone(job)) });
    }

    // ---- workers ----

    fn serve(self: Arc<Pool>) {
        loop {
            let job = {
                let mut work = self.work();
                loop {
                    if let Some(job) = work.queue.pop_front() {
                        break job;
                    }
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    work.idle += 1;
                    work = self.work_signal.wait(work).unwrap_or_else(PoisonError::into_inner);
                    work.idle -= 1;
                }
            };
            self.work_on(&job);
        }
    }

    fn work_on(self: &Arc<Pool>, job: &Arc<Job>) {
        let Some(mut body) = job.begin() else { return };
        match attempt(self, &mut body, job.wish()) {
            Attempt::Done(done) => {
                if job.end(body, Claimant::Worker) {
                    self.report(Finished { token: job.token, done, more: None });
                }
            }
            Attempt::Wait(_) if !job.may_wait => {
                copy::give_up(&self.calls, &mut body);
                let done = Done { outcome: body.stopped(Errno::ETIMEDOUT), opened: [None, None] };
                if job.end(body, Claimant::Worker) {
                    self.report(Finished { token: job.token, done, more: None });
                }
            }
            Attempt::Wait(wait) => {
                let waiter = waiter(job, &body, wait);
                drop(body);
                match waiter {
                    None => self.fail(job, Errno::EBADF),
                    Some(waiter) => {
                        if let Err(error) = self.park(waiter) {
                            self.fail(job, error);
                        }
                    }
                }
                if job.wished_after_unlock() {
                    self.cancel(job);
                }
            }
        }
    }

    // ---- the poller ----

    fn watch(self: Arc<Pool>) {
        let mut room = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let pause = Timespec { tv_sec: 0, tv_nsec: WHILE.as_nanos() as i64 };
        // When those are tried that nobody will wake.
        let mut due: Option<Instant> = None;
        loop {
            let limit = if self.parking.has_timed() {
                due.get_or_insert_with(|| Instant::now() + WHILE);
                Some(&pause)
            } else {
                due = None;
                None
            };
            let events = match epoll::wait(&self.parking.epoll, &mut room, limit) {
                Ok((events, _)) => &*events,
                // Nothing but a signal can disturb it.
                Err(_) => &[],
            };
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            for event in events {
                let (watch, flags) = (event.data.u64(), event.flags);
                if watch == WAKE {
                    self.parking.awake();
                } else {
                    self.wake(self.parking.take(watch), PollFlags::from_bits_retain(flags.bits() as u16));
                }
            }
            if due.is_none_or(|due| Instant::now() < due) {
                continue;
            }
            due = None;
            for waiter in self.parking.take_timed() {
                let all = PollFlags::IN | PollFlags::OUT | PollFlags::PRI;
                self.wake_timed(waiter, all);
            }
        }
    }

    fn wake_timed(self: &Arc<Pool>, waiter: Waiter, ready: PollFlags) {
        let mut ends = Vec::new();
        let again = self.rouse(waiter, ready, &mut ends);
        if let Some(waiter) = again {
            let job = Arc::clone(&waiter.job);
            if let Err(error) = self.parking.park(waiter) {
                self.fail(&job, error);
            }
            if job.wished_after_unlock() {
                self.cancel(&job);
            }
        }
        ends.into_iter().for_each(|end| self.report(end));
    }

    /// Tries the waiters of one object in turn. Reports go out last, when nothing holds the object any more: whoever
    /// closes it after the report closes it in truth.
    fn wake(self: &Arc<Pool>, waiters: Vec<Waiter>, ready: PollFlags) {
        let Some(object) = waiters.first().map(|waiter| Arc::clone(&waiter.object)) else { return };
        let always = PollFlags::ERR | PollFlags::HUP;
        let mut ends = Vec::new();
        let mut again = Vec::new();
        let mut apart = Vec::new();
        // What a transfer has just waited for in vain, another need not try.
        let mut dry = PollFlags::empty();
        for waiter in waiters {
            let alike = waiter.job.sort == Sort::Transfer;
            if !ready.intersects(waiter.events | always) || (alike && dry.contains(waiter.events)) {
                again.push(waiter);
                continue;
            }
            let events = waiter.events;
            match self.rouse(waiter, ready, &mut ends) {
                None => {}
                Some(mut waiter) => {
                    if alike {
                        dry |= events;
                    }
                    // An error or a hang-up that does not end the operation would wake it for ever.
                    if waiter.job.sort != Sort::PollMany && ready.intersects(always) {
                        waiter.timed = true;
                    }
                    if waiter.timed || waiter.object.id != object.id {
                        apart.push(waiter)
                    } else {
                        again.push(waiter)
                    }
                }
            }
        }
        let waiting: Vec<Arc<Job>> =
            again.iter().chain(&apart).map(|waiter| Arc::clone(&waiter.job)).collect();
        if let Err(error) = self.parking.put_back(&object, &mut again) {
            for waiter in self.parking.take(object.id) {
                self.fail(&waiter.job, error);
            }
        }
        drop(again);
        drop(object);
        for waiter in apart {
            let job = Arc::clone(&waiter.job);
            if let Err(error) = self.parking.park(waiter) {
                self.fail(&job, error);
            }
        }
        ends.into_iter().for_each(|end| self.report(end));
        for job in waiting {
            if job.wished_after_unlock() {
                self.cancel(&job);
            }
        }
    }

    /// Lets one waiter try. It comes back if it has to go on waiting.
    fn rouse(
        self: &Arc<Pool>,
        mut waiter: Waiter,
        ready: PollFlags,
        ends: &mut Vec<Finished>,
    ) -> Option<Waiter> {
        let job = Arc::clone(&waiter.job);
        match job.sort {
            Sort::Work | Sort::Close => {
                drop(waiter);
                if let Err(error) = self.queue(Arc::clone(&job)) {
                    self.fail(&job, error);
                }
                return None;
            }
            Sort::PollMany => {
                let body = job.begin()?;
                if let Some(Operation::Poll { events, .. }) = body.operation {
                    let result = waiting::poll_result(ready, events);
                    if result != 0 && job.pending.fetch_or(result, Ordering::AcqRel) == 0 {
                        let done = Done { outcome: Outcome::success(0), opened: [None, None] };
                        self.report_one(&job, done);
                    }
                }
                return Some(waiter);
            }
            Sort::AcceptMany => return self.accept_many(waiter, ends),
            Sort::RecvMany => {
                let end = self.receive_many(&job)?;
                match end {
                    Attempt::Wait(_) => return Some(waiter),
                    Attempt::Done(done) => ends.push(Finished { token: job.token, done, more: None }),
                }
                return None;
            }
            Sort::Sleep => return None,
            Sort::Poll | Sort::Transfer => {}
        }
        let mut body = job.begin()?;
        match attempt(self, &mut body, job.wish()) {
            Attempt::Done(done) => {
                if job.end(body, Claimant::Worker) {
                    ends.push(Finished { token: job.token, done, more: None });
                }
                None
            }
            Attempt::Wait(wait) => {
                waiter.timed = wait == Wait::While;
                if let Wait::Subject(events) | Wait::Other(events) = wait {
                    waiter.events = events;
                }
                Some(waiter)
            }
        }
    }

    fn accept_many(self: &Arc<Pool>, waiter: Waiter, ends: &mut Vec<Finished>) -> Option<Waiter> {
        let job = Arc::clone(&waiter.job);
        let body = job.begin()?;
        loop {
            if job.unread.load(Ordering::SeqCst) >= MOST_UNREAD {
                // The fetching side starts it again, or did so between these two lines.
                job.paused.store(true, Ordering::SeqCst);
                let resumed = job.unread.load(Ordering::SeqCst) == 0;
                return if resumed && job.paused.swap(false, Ordering::SeqCst) { Some(waiter) } else { None };
            }
            match waiting::accept(&self.calls, &waiter.object, None) {
                Attempt::Wait(_) => return Some(waiter),
                Attempt::Done(done) if done.opened[0].is_some() => {
                    job.unread.fetch_add(1, Ordering::SeqCst);
                    self.report_one(&job, done);
                }
                Attempt::Done(done) => {
                    if job.end(body, Claimant::Worker) {
                        ends.push(Finished { token: job.token, done, more: None });
                    }
                    return None;
                }
            }
        }
    }

    /// Receives as long as there is data and a buffer for it. Says that it has to wait, or how it ended; `None` if somebody
    /// else has ended it.
    fn receive_many(self: &Arc<Pool>, job: &Arc<Job>) -> Option<Attempt> {
        let mut body = job.begin()?;
        let mut count = 0;
        loop {
            if job.may_wait && (count == MOST_UNREAD || job.wish().load(Ordering::Relaxed)) {
                // Others want their turn, too.
                return Some(Attempt::Wait(Wait::Subject(PollFlags::IN)));
            }
            count += 1;
            let done = match attempt(self, &mut body, job.wish()) {
                Attempt::Wait(wait) if job.may_wait => return Some(Attempt::Wait(wait)),
                Attempt::Wait(_) => {
                    Done { outcome: Outcome::failure(Errno::ETIMEDOUT), opened: [None, None] }
                }
                Attempt::Done(done) => done,
            };
            match done.outcome {
                Outcome::Done { error: Errno::OK, result, .. } if result > 0 => self.report_one(job, done),
                _ => return job.end(body, Claimant::Worker).then_some(Attempt::Done(done)),
            }
        }
    }

    /// Begins to receive, on the caller's thread, and puts the job to wait for more unless that ends it.
    pub(super) fn begin_receiving(self: &Arc<Pool>, job: &Arc<Job>) {
        match self.receive_many(job) {
            None => {}
            Some(Attempt::Done(done)) => self.report(Finished { token: job.token, done, more: None }),
            Some(Attempt::Wait(wait)) => {
                let parked =
                    job.begin().and_then(|body| waiter(job, &body, wait)).map(|waiter| self.park(waiter));
                if let Some(Err(error)) = parked {
                    self.fail(job, error);
                }
            }
        }
    }

    /// A report of a multishot ACCEPT has been fetched: it goes on if it had to rest.
    pub(super) fn fetched(self: &Arc<Pool>, job: &Arc<Job>) {
        if job.unread.fetch_sub(1, Ordering::SeqCst) != 1 || !job.paused.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiter = match job.begin() {
            None => return,
            Some(body) => waiter(job, &body, Wait::Subject(PollFlags::IN)),
        };
        if let Some(Err(error)) = waiter.map(|waiter| self.park(waiter)) {
            self.fail(job, error);
        }
    }

    // ---- the end ----

    /// Ends all threads and waits for them. Every job must have been asked to end; calls on storage are waited for.
    pub(super) fn shut_down(&self) {
        let (threads, poller) = {
            let mut work = self.work();
            self.stop.store(true, Ordering::Relaxed);
            (std::mem::take(&mut work.threads), work.poller.take())
        };
        self.sleepers.shut_down();
        self.work_signal.notify_all();
        self.parking.wake();
        for thread in threads.into_iter().chain(poller) {
            // A thread that panicked is gone as well.
            let _ = thread.join();
        }
    }
}

/// The waiter for what an attempt said.
pub(super) fn waiter(job: &Arc<Job>, body: &Body, wait: Wait) -> Option<Waiter> {
    let (object, events): (&Option<Arc<Object>>, PollFlags) = match wait {
        Wait::Subject(events) => (&body.subject, events),
        Wait::Other(events) => (&body.other, events),
        Wait::While => (&body.subject, PollFlags::empty()),
    };
    let object = Arc::clone(object.as_ref()?);
    Some(Waiter { job: Arc::clone(job), object, events, timed: wait == Wait::While })
}
