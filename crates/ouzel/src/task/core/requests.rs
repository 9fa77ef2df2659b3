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
use crate::task::operations::{Ending, Owner, State};
use crate::task::waker::Inbox;

/// How often the executor looks for more at the most before it sleeps.
const LOOKS: u32 = 16;

/// What the executor has of other threads' requests.
#[derive(Default)]
pub(super) struct Asked {
    /// By the number of its operation.
    running: RefCell<Vec<Option<Arc<Request>>>>,
    /// How many were told of an end since the executor has last looked for what they send then.
    told: Cell<u32>,
    /// How often it looks for that: more often when that was of use.
    looks: Cell<u32>,
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
        let number = self.submit(chain, Owner::Remote);
        let mut operations = self.operations.borrow_mut();
        if matches!(operations.slot(number).state, State::Over(_)) {
            let (state, _) = operations.release(number);
            drop(operations);
            if let State::Over(ending) = state {
                self.tell_end(&request, ending);
            }
            return;
        }
        drop(operations);
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
        self.asked.told.update(|told| told.saturating_add(1));
        // If nobody wants to know, what has come too late is what it was.
        if let Err(Ok(done)) = request.end(ending) {
            self.keep_late(done);
        }
    }

    /// Looks for what those send who were told of an end, before it sleeps: what they do in the meantime travels in one
    /// enter, and wakes nobody.
    pub(super) fn look_for_more(self: &Rc<Core>) {
        let told = self.asked.told.take();
        if told == 0 {
            return;
        }
        let looks = self.asked.looks.get().max(1);
        let (mut missing, mut came) = (told as usize, 0);
        for _ in 0..looks {
            thread::yield_now();
            let more = self.receive();
            came += more;
            missing = missing.saturating_sub(more);
            if missing == 0 {
                break;
            }
        }
        let looks = if came > 0 { (looks * 2).min(LOOKS) } else { looks / 2 };
        self.asked.looks.set(looks);
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
