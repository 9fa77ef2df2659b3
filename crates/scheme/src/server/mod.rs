//! The server: one thread that serves every client of a name.
//!
//! It sleeps in one place, over the listener, the control sockets, the doorbells, the clients' processes and what the
//! backends have to tell. Clients that have something to do stand in a queue, and each in turn may start a bounded number of
//! entries: so nobody waits for longer than all the others' turns take. Nothing here waits for a client, and whatever a
//! client does wrong costs only the client.

mod door;
mod events;
mod guest;
mod observer;
mod served;
mod shelf;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ouzel_ring::Errno;

use crate::error::{Error, Reason};
use crate::patience::{Ask, Patience, processor};
use crate::socket::Listener;
use crate::wire::{self, ToServer};
use crate::{Host, Name, Peer, Programs, Published, Quotas, doorbell};
pub use observer::{Connection, Observer};

use door::{SHUT, refuse};
use events::{Event, Events, Place, What};
use guest::{Guest, Guests, Stage};
use served::{Served, Turn};
use shelf::Shelf;

/// How long what a client had in flight may take to end when it is gone, before its memory is leaked.
const BOUND: Duration = Duration::from_secs(1);

/// Backends without room are asked again after so long.
const RETRY: Duration = Duration::from_millis(1);

/// So many rounds of turns are made before the events are looked at.
const ROUNDS: u32 = 64;

/// As many rounds as this lasts a microsecond or so of looking in vain: who rings meanwhile waits no longer than for a sleeper.
const ROUNDS_IN_VAIN: u32 = 4;

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// How many operations of clients that went had not ended within a second. What they may still write to is never freed.
pub fn leaked_operations() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// Ends a [`Server`] from elsewhere.
#[derive(Clone)]
pub struct Stopper(Arc<Stop>);

struct Stop {
    asked: AtomicBool,
    bell: std::os::fd::OwnedFd,
}

impl Stopper {
    /// Has the server end: [`Server::run`] returns soon.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        // It fails only if the counter is full, and then it has rung.
        let _ = doorbell::ring(self.0.bell.as_fd());
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stopper").field("asked", &self.0.asked).finish_non_exhaustive()
    }
}

/// What a server has done so far, and what it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections there are.
    pub connections: u32,
    /// Connections there have been.
    pub accepted: u64,
    /// Clients that were not taken.
    pub refused: u64,
    /// Clients that were thrown out: what they did was against the protocol or beyond a quota.
    pub thrown_out: u64,
    /// Turns that clients have had.
    pub turns: u64,
    /// Entries taken.
    pub entries: u64,
    /// Times that it heard doorbells. Rings of one client that come before it looks are one.
    pub doorbells: u64,
    /// Times it slept.
    pub sleeps: u64,
}

/// What makes the backend of a new connection.
type Make<H> = Box<dyn FnMut(&Peer) -> Result<H, Errno>>;

/// What says which programs a new connection may call.
type Grant = Box<dyn FnMut(&Peer) -> Programs>;

/// Serves a name: one thread, on which every client has an engine and a backend of its own.
///
/// Clients need not be trusted: each has its quotas and its turn, and whoever breaks the protocol is thrown out.
pub struct Server<H: Host> {
    name: Name,
    listener: Listener,
    events: Events,
    make: Make<H>,
    grant: Grant,
    published: Vec<Rc<Published>>,
    quotas: Quotas,
    epoch: u64,
    guests: Guests<H>,
    /// How many connections each user has.
    users: HashMap<u32, u32>,
    /// Who has something to do.
    ready: VecDeque<Place>,
    /// Who had a moment ago, and has not been told that the server sleeps.
    warm: Vec<Place>,
    patience: Patience,
    stop: Arc<Stop>,
    statistics: Statistics,
    /// Who is told what each connection does.
    observer: Option<Box<dyn Observer>>,
    /// Rounds of turns since the events were looked at.
    rounds: u32,
    /// Entries taken since then.
    taken: u32,
    /// When it was last looked whose time is up.
    checked: Instant,
    /// Nobody is let in before then.
    shut_until: Option<Instant>,
}

impl<H: Host> Server<H> {
    /// Takes the name. `make` makes the backend of each connection, whose table must have room for
    /// [`Quotas::descriptors`]; an error refuses the client.
    ///
    /// Errors: [`Error::System`], with EADDRINUSE if somebody serves the name.
    pub fn bind(
        name: &Name,
        quotas: Quotas,
        make: impl FnMut(&Peer) -> Result<H, Errno> + 'static,
    ) -> Result<Server<H>, Error> {
        let listener = Listener::bind(&name.socket())
            .map_err(|source| Error::system("take the name of a service", source))?;
        let events = Events::new()?;
        let bell = doorbell::new().map_err(|source| Error::system("eventfd", source))?;
        events.watch(listener.as_fd(), Event::Listener)?;
        events.watch_edges(bell.as_fd(), Event::Stop)?;
        // Two servers of one name do not start in the same nanosecond.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(Server {
            name: name.clone(),
            listener,
            events,
            make: Box::new(make),
            grant: Box::new(|_| Programs::default()),
            published: Vec::new(),
            quotas,
            epoch: since.map_or(1, |since| since.as_nanos() as u64),
            guests: Guests::default(),
            users: HashMap::new(),
            ready: VecDeque::new(),
            warm: Vec::new(),
            patience: Patience::new(quotas.spin),
            stop: Arc::new(Stop { asked: AtomicBool::new(false), bell }),
            statistics: Statistics::default(),
            observer: None,
            rounds: 0,
            taken: 0,
            checked: Instant::now(),
            shut_until: None,
        })
    }

    /// The name it serves.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Gives clients that connect from now on a program to call, which they find by its name. It counts to no quota of theirs.
    ///
    /// Errors: [`Error::Publish`] if there is one of this name.
    pub fn publish(&mut self, program: Published) -> Result<(), Error> {
        if self.published.iter().any(|other| other.name() == program.name()) {
            let what = "there is one of this name already: choose another";
            return Err(Error::Publish { name: program.name().to_owned(), what });
        }
        self.published.push(Rc::new(program));
        Ok(())
    }

    /// Has `grant` say, by who they are, which programs those may call who connect from now on. Otherwise it is
    /// [`Programs::Own`] for everybody.
    pub fn grant(&mut self, grant: impl FnMut(&Peer) -> Programs + 'static) {
        self.grant = Box::new(grant);
    }

    /// Has `observer` told of each connection: when it begins, after each of its turns, and when it has ended.
    pub fn observe(&mut self, observer: impl Observer + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// What ends it from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics { connections: self.guests.count(), ..self.statistics }
    }

    /// Serves until it is [stopped](Stopper::stop), then cancels what is in flight and waits for it to end, for a second at
    /// most.
    ///
    /// Errors: [`Error::System`] if the server can wait no longer.
    pub fn run(&mut self) -> Result<(), Error> {
        while !self.stop.asked.load(Ordering::Acquire) {
            self.step()?;
        }
        for place in self.guests.places() {
            self.leave(place);
        }
        let until = Instant::now() + BOUND;
        while self.guests.count() > 0 && Instant::now() < until {
            self.step()?;
        }
        Ok(())
    }

    /// One round of turns, and what has happened meanwhile.
    fn step(&mut self) -> Result<(), Error> {
        for _ in 0..self.ready.len() {
            if let Some(place) = self.ready.pop_front() {
                self.turn(place);
            }
            // Nobody waits to be seen for longer than one turn.
            if self.taken >= self.quotas.turn() {
                self.glance()?;
            }
        }
        self.rounds += 1;
        if self.guests.count() == 0 && self.stop.asked.load(Ordering::Acquire) {
            // The last has gone, and what woke the server to end may have been seen already: nothing would wake it again.
            return Ok(());
        }
        if self.ready.is_empty() || self.rounds >= ROUNDS {
            self.look()?;
        }
        Ok(())
    }

    /// Looks in passing who has something to do, and does not sleep.
    fn glance(&mut self) -> Result<(), Error> {
        (self.rounds, self.taken) = (0, 0);
        for at in (0..self.warm.len()).rev() {
            if self.guests.served(self.warm[at]).is_none_or(Served::has_entries) {
                self.enqueue_warm(at);
            }
        }
        self.events.wait(Some(Duration::ZERO))?;
        while let Some(event) = self.events.next() {
            self.handle(event);
        }
        if self.checked.elapsed() >= RETRY {
            self.check_times();
        }
        Ok(())
    }

    /// Looks at the events, and sleeps for some if nobody has anything to do.
    fn look(&mut self) -> Result<(), Error> {
        if self.rounds >= ROUNDS {
            // Who has not looked for long does so now, and does not sleep: somebody may be about to come.
            return self.glance();
        }
        if self.spin() {
            return Ok(());
        }
        (self.rounds, self.taken) = (0, 0);
        let here = processor();
        for place in std::mem::take(&mut self.warm) {
            if let Some(served) = self.guests.served(place) {
                served.is_warm = false;
                served.say_processor(here);
                if !served.fall_asleep() {
                    self.enqueue(place);
                }
            }
        }
        let mut limit = Some(Duration::ZERO);
        if self.ready.is_empty() {
            let now = Instant::now();
            let door = self.shut_until.map(|until| until.saturating_duration_since(now));
            limit = [self.guests.next_time(now, RETRY), door].into_iter().flatten().min();
        }
        let sleeps = limit.is_none_or(|limit| !limit.is_zero());
        let begin = Instant::now();
        self.events.wait(limit)?;
        if sleeps {
            self.statistics.sleeps += 1;
            self.patience.slept(begin.elapsed());
        }
        while let Some(event) = self.events.next() {
            self.handle(event);
        }
        // What is due already lets nobody sleep, and is done all the same. Without a limit nobody waits for any time.
        if limit.is_some() {
            self.check_times();
        }
        Ok(())
    }

    /// Looks again and again whether one of those who had something to do a moment ago has something more.
    fn spin(&mut self) -> bool {
        let Server { warm, guests, patience, rounds, .. } = self;
        if warm.is_empty() {
            return false;
        }
        let mut found = None;
        patience.spin(None, |ask| match ask {
            Ask::IsThere => {
                found = warm.iter().position(|place| guests.served(*place).is_some_and(Served::has_entries));
                found.is_some()
            }
            Ask::IsVain => {
                *rounds += ROUNDS_IN_VAIN;
                let here = processor();
                let mut all_wait_here = here.is_some();
                // All of them are told.
                for place in warm.iter() {
                    if let Some(served) = guests.served(*place) {
                        served.say_processor(here);
                        all_wait_here &= served.client_processor() == here;
                    }
                }
                all_wait_here
            }
        });
        let Some(found) = found else { return false };
        self.enqueue_warm(found);
        true
    }

    /// One of those who had something to do a moment ago has something more, or is gone.
    fn enqueue_warm(&mut self, at: usize) {
        let place = self.warm.swap_remove(at);
        if let Some(served) = self.guests.served(place) {
            served.is_warm = false;
        }
        self.enqueue(place);
    }

    fn enqueue(&mut self, place: Place) {
        if let Some(served) = self.guests.served(place)
            && !served.is_queued
        {
            served.is_queued = true;
            self.ready.push_back(place);
        }
    }

    /// Gives a client its turn.
    fn turn(&mut self, place: Place) {
        self.take_turn(place);
        self.note(place);
    }

    /// Tells what a connection does, if somebody is to be told.
    #[inline]
    fn note(&mut self, place: Place) {
        let Some(observer) = &mut self.observer else { return };
        if let Some(connection) = self.guests.at(place).and_then(Guest::connection) {
            observer.note(place.slot, &connection);
        }
    }

    fn take_turn(&mut self, place: Place) {
        let budget = self.quotas.turn();
        let Some(guest) = self.guests.at(place) else { return };
        let leaving = matches!(guest.stage, Stage::Leaving { .. });
        let Some(served) = guest.served() else { return };
        served.is_queued = false;
        self.statistics.turns += 1;
        let turn = served.turn(budget, &self.quotas);
        if leaving {
            if served.is_over() {
                self.remove(place);
            } else if matches!(turn, Ok(Turn { more: true, .. })) {
                self.enqueue(place);
            }
            return;
        }
        match turn {
            Ok(Turn { taken, more }) => {
                self.statistics.entries += u64::from(taken);
                self.taken = self.taken.saturating_add(taken);
                if more {
                    self.enqueue(place);
                } else if let Some(served) = self.guests.served(place)
                    && !served.is_warm
                {
                    served.is_warm = true;
                    self.warm.push(place);
                }
            }
            Err(why) => self.throw_out(place, why),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Listener => self.accept(),
            Event::Stop => {}
            Event::Of(place, What::Control) => self.listen(place),
            Event::Of(place, What::Process) => self.leave(place),
            Event::Of(place, What::Doorbell) => {
                self.statistics.doorbells += 1;
                if let Some(served) = self.guests.served(place) {
                    served.rung = served.rung.saturating_add(1);
                }
                self.enqueue(place);
            }
            Event::Of(place, What::Backend) => self.enqueue(place),
        }
    }

    /// Reads what a client says on its control socket.
    fn listen(&mut self, place: Place) {
        let mut bytes = [0; wire::MAX_MESSAGE];
        let Some(guest) = self.guests.at(place) else { return };
        // One message at a time: the socket stays ready as long as there are more, and others are served in between.
        // Who has not said what it wants has no descriptors to send: the system does not even take them.
        let files = if matches!(guest.stage, Stage::Greeting { .. }) { 0 } else { wire::MAX_FILES_TO_SERVER };
        let received = match guest.control.receive(&mut bytes, files) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return self.throw_out(place, "a message with more than it may hold");
            }
            Err(_) => return self.leave(place),
        };
        let Ok(message) = ToServer::decode(&bytes[..received.length]) else {
            return self.throw_out(place, "a message that makes no sense");
        };
        if received.files.len() != message.files() {
            return self.throw_out(place, "a message with other descriptors than belong to it");
        }
        match (&mut guest.stage, message) {
            (Stage::Greeting { .. }, ToServer::Hello(hello)) => self.welcome(place, &hello),
            (_, ToServer::Bye(_)) => self.leave(place),
            (Stage::Served(served), message) => {
                let quotas = &self.quotas;
                let Some(answer) = served.answer(message, received.files, quotas) else {
                    return self.throw_out(place, "a message out of turn");
                };
                if guest.control.send(&answer.encode(), &[]).is_err() {
                    return self.throw_out(place, "it does not read what it asked for");
                }
                self.enqueue(place);
            }
            _ => self.throw_out(place, "a message out of turn"),
        }
    }

    /// Makes a ring for a client that has said what it wants.
    fn welcome(&mut self, place: Place, hello: &wire::Hello) {
        let Some(guest) = self.guests.at(place) else { return };
        let made = if hello.version == wire::VERSION {
            let backend = (self.make)(&guest.peer).map_err(|errno| match errno {
                Errno::EPERM | Errno::EACCES => Reason::NotAllowed,
                _ => Reason::Resources,
            });
            backend.and_then(|backend| {
                let programs = Shelf::new(&(self.grant)(&guest.peer), &self.published);
                Served::new(backend, hello, &self.quotas, programs)
            })
        } else {
            Err(Reason::Version)
        };
        let (served, handed) = match made {
            Ok(made) => made,
            Err(reason) => {
                self.statistics.refused += 1;
                refuse(&guest.control, reason);
                return self.remove(place);
            }
        };
        let welcome = served.welcome(&self.quotas, self.epoch);
        let sent = served.watch(&self.events, place).and_then(|()| {
            let [engine_part, submitter_part] = &handed.parts;
            let mut files = vec![engine_part.as_fd(), submitter_part.as_fd(), served.doorbell.as_fd()];
            files.extend(handed.readiness.as_ref().map(AsFd::as_fd));
            guest.control.send(&welcome.encode(), &files).map_err(|source| Error::system("sendmsg", source))
        });
        guest.stage = Stage::Served(Box::new(served));
        match sent {
            Ok(()) => {
                self.statistics.accepted += 1;
                // The first entries may be there before the first doorbell: nobody has said that the server sleeps.
                self.enqueue(place);
            }
            Err(_) => self.leave(place),
        }
    }

    /// A client has gone, or goes: nothing more is taken, and what is in flight is cancelled.
    fn leave(&mut self, place: Place) {
        let Some(guest) = self.guests.at(place) else { return };
        if guest.begin_to_leave(&self.events, Instant::now() + BOUND) {
            self.note(place);
            self.enqueue(place);
        } else {
            self.remove(place);
        }
    }

    #[cold]
    fn throw_out(&mut self, place: Place, why: &'static str) {
        self.statistics.thrown_out += 1;
        if let Some(guest) = self.guests.at(place) {
            tracing::warn!(name = %self.name, process = guest.peer.process, user = guest.peer.user, why, "a client is thrown out");
        }
        self.leave(place);
    }

    /// Nothing of a client is in flight any more, or it must be left behind.
    fn remove(&mut self, place: Place) {
        let Some(mut guest) = self.guests.remove(place) else { return };
        if let Some(observer) = &mut self.observer
            && guest.served().is_some()
        {
            observer.gone(place.slot);
        }
        if let Some(count) = self.users.get_mut(&guest.peer.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&guest.peer.user);
            }
        }
        let leaked = guest.end(&self.events);
        if leaked > 0 {
            LEAKED.fetch_add(u64::from(leaked), Ordering::Relaxed);
            tracing::warn!(name = %self.name, leaked, "operations of a client that has gone had not ended: their memory is leaked");
        }
    }

    /// Looks whose time is up: timers, greetings that never came, and ends that take too long.
    fn check_times(&mut self) {
        let now = Instant::now();
        self.checked = now;
        if self.shut_until.is_some_and(|until| until <= now) {
            let opened = self.events.watch(self.listener.as_fd(), Event::Listener).is_ok();
            self.shut_until = (!opened).then_some(now + SHUT);
        }
        for place in self.guests.places() {
            let Some(guest) = self.guests.at(place) else { continue };
            match &mut guest.stage {
                Stage::Greeting { until } if *until <= now => {
                    self.statistics.refused += 1;
                    self.remove(place);
                }
                Stage::Leaving { until, .. } if *until <= now => self.remove(place),
                Stage::Served(served) | Stage::Leaving { served, .. } if served.is_due() => {
                    self.enqueue(place)
                }
                _ => {}
            }
        }
    }
}

impl<H: Host> fmt::Debug for Server<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("name", &self.name)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
