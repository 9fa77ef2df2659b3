//! Connections: the rings by which a mount reaches its service, and what is open on each.
//!
//! A ring does one call at a time, and a descriptor belongs to one ring. So there are several: what names its file by a path
//! takes one that nobody uses, and what is open is spread evenly, so that as long as few files are open each has a ring of
//! its own and a slow call on one holds up no other. A ring is made when it is first needed, as far as the service grants it. When its service has gone it is
//! given up, and the next call connects anew; while nobody is there that is tried again after [`PAUSE`], and every call
//! before fails at once. What was open on such a ring is open in name only until somebody opens it again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::scheme::{Error::Refused, Reason};
use ouzel::{Error, Movable, Ring, RingBuilder};

use super::nodes::Identity;

/// A ring to the service.
pub type Service = Ring<Movable>;

/// Rings of a mount, at the most.
pub const CONNECTIONS: usize = 16;

/// Descriptors of a connection that are kept free for calls that open something for themselves.
pub const SPARE: usize = 4;

/// How long a service that was not there is not asked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a program has open.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Its node.
    pub node: u64,
    /// Which file that was.
    pub identity: Identity,
    /// How it is opened, without what would make or empty it.
    pub flags: OpenFlags,
    /// In the ring that it is on now; `None` if it has to be opened again.
    pub descriptor: Option<Descriptor>,
    /// It was to be opened again, and was not there any more.
    pub is_lost: bool,
}

/// One connection: its ring, while the service is there, and what is open.
#[derive(Default)]
pub struct Line {
    ring: Option<Service>,
    opened: HashMap<u64, Opened>,
}

#[derive(Default)]
struct Seat {
    line: Mutex<Line>,
    /// How much is open on it.
    load: AtomicUsize,
    /// The service did not grant it: it is left alone for good, so that those which it grants are always the same.
    is_refused: AtomicBool,
}

/// Why there is no connection.
enum Missing {
    /// The service is not there.
    Service,
    /// It grants no more of them.
    Grant,
}

/// When the service was missed.
#[derive(Default)]
struct Absence {
    /// Since when it is; `None` while it is there.
    since: Option<Instant>,
    /// When it was looked for last.
    tried: Option<Instant>,
}

/// The connections of a mount.
pub struct Connections {
    name: String,
    seats: Vec<Seat>,
    absence: Mutex<Absence>,
    next: AtomicU64,
}

/// The error number of what failed at the service. What has become of the service is EIO.
pub fn number(error: Error) -> Errno {
    match error {
        Error::Pool(_) => Errno::ENOMEM,
        Error::Build(_) => Errno::EINVAL,
        other => match other.errno() {
            None | Some(Errno::ECONNRESET | Errno::ECANCELED) => Errno::EIO,
            Some(number) => number,
        },
    }
}

/// Somebody who held it has panicked; what it guards is whole all the same: each change of it is one step.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// Connects to the service of this name.
    ///
    /// Errors: those of connecting.
    pub fn new(name: &str) -> Result<Connections, Error> {
        let ring = RingBuilder::new().connect_movable(name)?;
        let seats: Vec<Seat> = (0..CONNECTIONS).map(|_| Seat::default()).collect();
        locked(&seats[0].line).ring = Some(ring);
        Ok(Connections {
            name: name.to_owned(),
            seats,
            absence: Mutex::new(Absence::default()),
            next: AtomicU64::new(0),
        })
    }

    /// Does something on any connection: one that nobody uses, if there is one.
    ///
    /// Errors: those of `work`; EIO if the service is not there, or goes meanwhile.
    pub fn anywhere<T>(&self, work: impl FnOnce(&mut Service) -> Result<T, Errno>) -> Result<T, Errno> {
        for seat in self.seats.iter().filter(|seat| !seat.is_refused.load(Ordering::Relaxed)) {
            let mut line = match seat.line.try_lock() {
                Ok(line) => line,
                Err(TryLockError::Poisoned(line)) => line.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            match line.ready(self) {
                Ok(()) => return line.with(self, |ring, _| work(ring)),
                Err(Missing::Service) => return Err(Errno::EIO),
                Err(Missing::Grant) => seat.is_refused.store(true, Ordering::Relaxed),
            }
        }
        let mut line = locked(&self.seats[0].line);
        line.ready(self).map_err(|_| Errno::EIO)?;
        line.with(self, |ring, _| work(ring))
    }

    /// Opens something, on the connection with the least open. `open` says what, and something else.
    ///
    /// Errors: as [`anywhere`](Connections::anywhere), and EMFILE if every connection has as much open as the service grants.
    pub fn open<T>(
        &self,
        open: impl FnOnce(&mut Service) -> Result<(Opened, T), Errno>,
    ) -> Result<(u64, T), Errno> {
        loop {
            let (place, seat) = self.least();
            // Counted before, so that others who open something now take another one.
            seat.load.fetch_add(1, Ordering::Relaxed);
            let mut line = locked(&seat.line);
            let outcome = match line.ready(self) {
                Ok(()) => line.with(self, |ring, opened| {
                    if opened.len() + SPARE >= ring.limits().descriptors as usize {
                        return Err(Errno::EMFILE);
                    }
                    let (file, more) = open(ring)?;
                    let number = self.number() + place as u64;
                    opened.insert(number, file);
                    Ok((number, more))
                }),
                Err(Missing::Grant) if place > 0 => {
                    seat.is_refused.store(true, Ordering::Relaxed);
                    seat.load.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                Err(_) => Err(Errno::EIO),
            };
            if outcome.is_err() {
                seat.load.fetch_sub(1, Ordering::Relaxed);
            }
            return outcome;
        }
    }

    /// The seat with the least open, and its number. What names its file by a path begins in front, so this begins at the back.
    fn least(&self) -> (usize, &Seat) {
        let granted = |(_, seat): &(usize, &Seat)| !seat.is_refused.load(Ordering::Relaxed);
        let seats = self.seats.iter().enumerate().rev().filter(granted);
        seats.min_by_key(|(_, seat)| seat.load.load(Ordering::Relaxed)).unwrap_or((0, &self.seats[0]))
    }

    /// A number that nothing else which is open has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(CONNECTIONS as u64, Ordering::Relaxed)
    }

    /// Does something with what was opened, on its connection. It may have to be opened again.
    ///
    /// Errors: as [`anywhere`](Connections::anywhere), and EBADF for what is not open.
    pub fn with_opened<T>(
        &self,
        file: u64,
        work: impl FnOnce(&mut Service, &mut Opened) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut line = locked(&self.seat(file).line);
        line.ready(self).map_err(|_| Errno::EIO)?;
        line.with(self, |ring, opened| {
            let opened = opened.get_mut(&file).ok_or(Errno::EBADF)?;
            work(ring, opened)
        })
    }

    /// Closes what was opened, and says what it was.
    pub fn close(&self, file: u64) -> Option<Opened> {
        let seat = self.seat(file);
        let mut line = locked(&seat.line);
        let opened = line.opened.remove(&file)?;
        seat.load.fetch_sub(1, Ordering::Relaxed);
        if let (Some(ring), Some(descriptor)) = (&mut line.ring, opened.descriptor) {
            // Whatever this says, it is closed; and who closes last is told by SYNC what had become of writes.
            ring.close(descriptor).unwrap_or_default();
        }
        Some(opened)
    }

    fn seat(&self, file: u64) -> &Seat {
        &self.seats[(file % CONNECTIONS as u64) as usize]
    }

    /// How long the service has been away.
    pub fn away(&self) -> Option<Duration> {
        locked(&self.absence).since.map(|since| since.elapsed())
    }

    fn connect(&self) -> Result<Service, Missing> {
        if locked(&self.absence).tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return Err(Missing::Service);
        }
        match RingBuilder::new().connect_movable(&self.name) {
            Ok(ring) => {
                *locked(&self.absence) = Absence::default();
                Ok(ring)
            }
            Err(Error::Scheme(Refused {
                reason: Reason::TooManyConnections | Reason::TooManyOfUser,
                ..
            })) => Err(Missing::Grant),
            Err(_) => {
                self.miss();
                locked(&self.absence).tried = Some(Instant::now());
                Err(Missing::Service)
            }
        }
    }

    /// The service has gone.
    fn miss(&self) {
        locked(&self.absence).since.get_or_insert_with(Instant::now);
    }
}

impl Line {
    /// Sees to it that there is a ring, to a service that is there.
    fn ready(&mut self, connections: &Connections) -> Result<(), Missing> {
        if self.ring.as_mut().is_none_or(|ring| !ring.is_reachable()) {
            self.give_up();
            self.ring = Some(connections.connect()?);
        }
        Ok(())
    }

    fn with<T>(
        &mut self,
        connections: &Connections,
        work: impl FnOnce(&mut Service, &mut HashMap<u64, Opened>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let Some(ring) = &mut self.ring else { return Err(Errno::EIO) };
        let outcome = work(ring, &mut self.opened);
        if outcome.is_err() && !ring.is_reachable() {
            self.give_up();
            connections.miss();
            return Err(Errno::EIO);
        }
        outcome
    }

    /// The service has gone, and its descriptors with it.
    fn give_up(&mut self) {
        self.ring = None;
        self.opened.values_mut().for_each(|opened| opened.descriptor = None);
    }
}
