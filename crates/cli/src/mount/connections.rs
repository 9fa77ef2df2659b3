//! Connections: the rings by which a mount reaches its service, and what is open on each.
//!
//! A ring does one call at a time, and a descriptor belongs to one ring. So there are several: what names its file by a path
//! takes one that nobody uses, and what is open is spread evenly, so that as long as few files are open each has a ring of
//! its own and a slow call on one holds up no other. A ring is made when it is first needed. When its service has gone it is
//! given up, and the next call connects anew; while nobody is there that is tried again after [`PAUSE`], and every call
//! before fails at once. What was open on such a ring is open in name only until somebody opens it again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Descriptor, Errno};
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
        let mut chosen = None;
        for seat in &self.seats {
            match seat.line.try_lock() {
                Ok(line) => chosen = Some(line),
                Err(TryLockError::Poisoned(line)) => chosen = Some(line.into_inner()),
                Err(TryLockError::WouldBlock) => continue,
            }
            break;
        }
        let mut line = chosen.unwrap_or_else(|| locked(&self.seats[0].line));
        line.with(self, |ring, _| work(ring))
    }

    /// Opens something, on the connection with the least open. `open` says what, and something else.
    ///
    /// Errors: as [`anywhere`](Connections::anywhere), and EMFILE if every connection has as much open as the service grants.
    pub fn open<T>(
        &self,
        open: impl FnOnce(&mut Service) -> Result<(Opened, T), Errno>,
    ) -> Result<(u64, T), Errno> {
        let least = self.seats.iter().enumerate().min_by_key(|(_, seat)| seat.load.load(Ordering::Relaxed));
        let Some((place, seat)) = least else { return Err(Errno::EMFILE) };
        // Counted before, so that others who open something now take another one.
        seat.load.fetch_add(1, Ordering::Relaxed);
        let outcome = locked(&seat.line).with(self, |ring, opened| {
            if opened.len() + SPARE >= ring.limits().descriptors as usize {
                return Err(Errno::EMFILE);
            }
            let (file, more) = open(ring)?;
            let number = self.number() + place as u64;
            opened.insert(number, file);
            Ok((number, more))
        });
        if outcome.is_err() {
            seat.load.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
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
        locked(&self.seat(file).line).with(self, |ring, opened| {
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

    fn connect(&self) -> Result<Service, Errno> {
        if locked(&self.absence).tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return Err(Errno::EIO);
        }
        let made = RingBuilder::new().connect_movable(&self.name);
        let mut absence = locked(&self.absence);
        match made {
            Ok(ring) => {
                *absence = Absence::default();
                Ok(ring)
            }
            Err(_) => {
                absence.since.get_or_insert_with(Instant::now);
                absence.tried = Some(Instant::now());
                Err(Errno::EIO)
            }
        }
    }
}

impl Line {
    fn with<T>(
        &mut self,
        connections: &Connections,
        work: impl FnOnce(&mut Service, &mut HashMap<u64, Opened>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if self.ring.as_mut().is_none_or(|ring| !ring.is_reachable()) {
            self.give_up();
            self.ring = Some(connections.connect()?);
        }
        let Some(ring) = &mut self.ring else { return Err(Errno::EIO) };
        let outcome = work(ring, &mut self.opened);
        if outcome.is_err() && !ring.is_reachable() {
            self.give_up();
            locked(&connections.absence).since.get_or_insert_with(Instant::now);
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
