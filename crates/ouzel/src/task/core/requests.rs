//! Requests of other threads: chains that are started for them, and whose ends they are told.
//!
//! A request has a place here while its chain is the executor's, by the number of its operation. Whoever is told of an end is
//! the user's, so nothing is borrowed then.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Core, closed};
use crate::chain::Chain;
use crate::sync::{Arc, thread};
use crate::task::handle::Handle;
use crate::task::job::{Job, Request};
use crate::task::operations::{Ending, Owner};
use crate::task::waker::Inbox;

/// How many looks for more are left out at the most when looking was of no use.
const MOST_SKIPPED: u32 = 31;

/// What the executor has of other threads' requests.
#[derive(Default)]
pub(super) struct Asked {
    /// By the number of its operation.
    running: RefCell<Vec<Option<Arc<Request>>>>,
    /// Somebody was told of an end since the executor has last looked for what they send then.
    told: Cell<bool>,
    /// How many such looks are to be left out because the last ones were in vain, and how many are still.
    vain: Cell<u32>,
    skip: Cell<u32>,
}

impl Core {
    /// Does what another thread has sent.
    pub(super) fn do_job(self: &Rc<Core>, job: Job) {
        match job {
            Job::Call(act) => act(&Handle::new(Rc::clone(self))),
            Job::Run(request) => self.start_request(request),
            Job::GivenUp(request) => self.give_up_request(request),
        }
    }

    fn start_request(&self, request: Arc<Request>) {
        let Some(chain) = request.begin() else {
            // Given up before this: the cell is all that is left.
            self.far.requests.keep(request, None);
            return;
        };
        let number = match self.submit(chain, Owner::Remote) {
            Ok(number) => number,
            Err(rejected) => return self.tell_end(&request, Err(rejected)),
        };
        request.note(number);
        let mut running = self.asked.running.borrow_mut();
        let place = number as usize;
        if running.len() <= place {
            running.resize_with(place + 1, || None);
        }
        running[place] = Some(request);
    }

    fn give_up_request(&self, request: Arc<Request>) {
        let number = request.noted();
        let mut running = self.asked.running.borrow_mut();
        let is_running =
            |of: &mut Option<Arc<Request>>| of.take_if(|other| Arc::ptr_eq(other, &request)).is_some();
        let is_running = running.get_mut(number as usize).is_some_and(is_running);
        drop(running);
        if is_running {
            self.abandon(number);
        }
        if let Some(Ok(done)) = request.clear() {
            self.keep_late(done);
        }
        self.far.requests.keep(request, None);
    }

    /// The operation of a request has ended; its number is free.
    pub(super) fn end_request(&self, number: u32, ending: Ending) {
        let request = self.asked.running.borrow_mut().get_mut(number as usize).and_then(Option::take);
        if let Some(request) = request {
            self.tell_end(&request, ending);
        }
    }

    fn tell_end(&self, request: &Request, ending: Ending) {
        self.asked.told.set(true);
        // If nobody wants to know, what has come too late is what it was.
        if let Err(Ok(done)) = request.end(ending) {
            self.keep_late(done);
        }
    }

    /// Gives those who were told of an end a moment to ask for more, before the ring is entered to sleep: what they send in it
    /// travels in that enter, and wakes nobody.
    ///
    /// Once, and not always: more looks make no larger batches, but let those fall asleep who do the asking.
    pub(super) fn look_for_more(self: &Rc<Core>) {
        if !self.asked.told.replace(false) {
            return;
        }
        let skip = self.asked.skip.get();
        if skip > 0 {
            self.asked.skip.set(skip - 1);
            return;
        }
        thread::yield_now();
        let in_vain = self.receive() == 0;
        let vain = if in_vain { (self.asked.vain.get() * 2 + 1).min(MOST_SKIPPED) } else { 0 };
        self.asked.vain.set(vain);
        self.asked.skip.set(vain);
    }

    /// The executor is being dropped: nothing that was sent is done, and whoever waits is told.
    pub(super) fn refuse(&self, left: Inbox) {
        for waker in left.line.into_values() {
            waker.wake();
        }
        for job in left.jobs {
            match job {
                Job::Call(act) => drop(act),
                Job::Run(request) => {
                    if let Some(chain) = request.begin() {
                        self.tell_end(&request, Err(closed(chain)));
                    }
                }
                Job::GivenUp(request) => self.give_up_request(request),
            }
        }
    }

    /// The executor is being dropped: what runs is cancelled, and whoever waits for it is told.
    pub(super) fn end_requests(&self) {
        let running = self.asked.running.take();
        for (number, request) in running.into_iter().enumerate() {
            let Some(request) = request else { continue };
            self.abandon(number as u32);
            self.tell_end(&request, Err(closed(Chain::new())));
        }
    }
}
