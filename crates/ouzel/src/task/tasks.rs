//! The executor's table of tasks, and the queue of those that can run.
//!
//! A place in the table is used again for later tasks, with its waker. Nothing here polls, drops or wakes anything of the
//! user's.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::join::Task;
use super::waker::{Header, Shared};

/// The place of the future that `block_on` was given.
pub(super) const ROOT: u32 = 0;

struct Place {
    task: Option<Rc<dyn Task>>,
    /// It is in the queue.
    queued: bool,
    header: Arc<Header>,
    /// Taken out while the task is polled.
    waker: Option<Waker>,
}

pub(super) struct Tasks {
    places: Vec<Place>,
    free: Vec<u32>,
    queue: VecDeque<u32>,
    shared: Arc<Shared>,
}

impl Tasks {
    pub(super) fn new(shared: &Arc<Shared>) -> Tasks {
        let mut tasks = Tasks {
            places: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            shared: Arc::clone(shared),
        };
        tasks.add_place();
        tasks
    }

    fn add_place(&mut self) -> u32 {
        let place = self.places.len() as u32;
        let header = Header::new(&self.shared, place);
        let waker = Some(Waker::from(Arc::clone(&header)));
        self.places.push(Place { task: None, queued: false, header, waker });
        place
    }

    /// Adds a task, which is queued, and returns its place.
    pub(super) fn add(&mut self, task: Rc<dyn Task>) -> u32 {
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.add_place(),
        };
        self.places[place as usize].task = Some(task);
        self.wake(place);
        place
    }

    /// Queues what is in this place. Something is, or it is polled for nothing.
    pub(super) fn wake(&mut self, place: u32) {
        if let Some(of) = self.places.get_mut(place as usize)
            && !of.queued
        {
            of.queued = true;
            self.queue.push_back(place);
        }
    }

    /// The same, for a wake that came through the inbox.
    pub(super) fn wake_received(&mut self, place: u32) {
        if let Some(of) = self.places.get(place as usize) {
            of.header.received();
        }
        self.wake(place);
    }

    /// How many can run.
    pub(super) fn runnable(&self) -> usize {
        self.queue.len()
    }

    /// The next that can run.
    pub(super) fn next(&mut self) -> Option<u32> {
        let place = self.queue.pop_front()?;
        self.places[place as usize].queued = false;
        Some(place)
    }

    /// The task in a place, and its waker, to be given [back](Tasks::polled).
    pub(super) fn begin(&mut self, place: u32) -> Option<(Rc<dyn Task>, Waker)> {
        let of = &mut self.places[place as usize];
        let task = Rc::clone(of.task.as_ref()?);
        Some((task, of.waker.take().unwrap_or_else(|| Waker::from(Arc::clone(&of.header)))))
    }

    /// A task was polled. If it is over its place is free.
    pub(super) fn polled(&mut self, place: u32, waker: Waker, over: bool) -> Option<Rc<dyn Task>> {
        let of = &mut self.places[place as usize];
        of.waker = Some(waker);
        let ended = if over { of.task.take() } else { None };
        if ended.is_some() {
            self.free.push(place);
        }
        ended
    }

    /// The waker of the root.
    pub(super) fn root_waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.places[ROOT as usize].header))
    }

    /// Takes all tasks out.
    pub(super) fn clear(&mut self) -> Vec<Rc<dyn Task>> {
        self.queue.clear();
        let mut tasks = Vec::new();
        for (place, of) in self.places.iter_mut().enumerate() {
            of.queued = false;
            if let Some(task) = of.task.take() {
                tasks.push(task);
                self.free.push(place as u32);
            }
        }
        tasks
    }
}
