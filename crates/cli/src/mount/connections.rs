//! Connections: the rings by which a mount reaches its service, and what is open on each.
//!
//! A ring does one call at a time, and a descriptor belongs to one ring. So there are several: what names its file by a path
//! takes one that nobody uses, and what is open is spread evenly, so that as long as few files are open each has a ring of
//! its own and a slow call on one holds up no other. A ring is made when it is first needed, as far as the service grants it; one that
//! it does not is asked for again after [`REFUSED`]. When its service has gone it is given up, and the next call connects anew; while nobody is there that is tried again after [`PAUSE`], and every call
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

/// How long a connection that the service did not grant is not asked for again.
const REFUSED: Duration = Duration::from_secs(5);

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
    /// It has a ring, as far as is known.
    is_connected: AtomicBool,
    /// When the service last did not grant it.
    refused: Mutex<Option<Instant>>,
}

impl Seat {
    /// Whether it was not granted a short time ago.
    fn is_refused(&self) -> bool {
        locked(&self.refused).is_some_and(|refused| refused.elapsed() < REFUSED)
    }

    fn refuse(&self) {
        *locked(&self.refused) = Some(Instant::now());
    }

    fn is_loaded(&self) -> bool {
        self.load.load(Ordering::Relaxed) > 0
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

/// Why there is no connection.
enum Missing {
    /// The service is not there.
    Service,
    /// It grants no more of them.
    Grant,
}

/// The connections of a mount.
pub struct Connections {
    name: String,
    seats: Vec<Seat>,
    /// When the service was looked for last and was not there.
    tried: Mutex<Option<Instant>>,
    /// How often it was missed.
    missed: AtomicU64,
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
        seats[0].is_connected.store(true, Ordering::Relaxed);
        Ok(Connections {
            name: name.to_owned(),
            seats,
            tried: Mutex::new(None),
            missed: AtomicU64::new(0),
            next: AtomicU64::new(0),
        })
    }

    /// Does something on any connection: one that nobody uses, if there is one.
    ///
    /// Errors: those of `work`; EIO if the service is not there, or goes meanwhile.
    pub fn anywhere<T>(&self, work: impl FnOnce(&mut Service) -> Result<T, Errno>) -> Result<T, Errno> {
        for waits in [false, true] {
            for (_, seat) in self.candidates() {
                let mut line = match seat.line.try_lock() {
                    Ok(line) => line,
                    Err(TryLockError::Poisoned(line)) => line.into_inner(),
                    Err(TryLockError::WouldBlock) if waits => locked(&seat.line),
                    Err(TryLockError::WouldBlock) => continue,
                };
                match line.ready(self, seat) {
                    Ok(()) => return line.with(self, seat, |ring, _| work(ring)),
                    Err(Missing::Service) => return Err(self.miss()),
                    Err(Missing::Grant) => seat.refuse(),
                }
            }
        }
        Err(self.miss())
    }

    /// The seats that may be used for something new, with their numbers. While one on which something is open has no connection,
    /// no fresh one is among them: it might take the grant that the other needs.
    fn candidates(&self) -> impl DoubleEndedIterator<Item = (usize, &Seat)> {
        let wanting = self.seats.iter().any(|seat| seat.is_loaded() && !seat.is_connected());
        let may =
            move |seat: &Seat| !seat.is_refused() && (!wanting || seat.is_loaded() || seat.is_connected());
        self.seats.iter().enumerate().filter(move |(_, seat)| may(seat))
    }

    /// Opens something, on the connection with the least open. `open` says what, and something else.
    ///
    /// Errors: as [`anywhere`](Connections::anywhere), and EMFILE if every connection has as much open as the service grants.
    pub fn open<T>(
        &self,
        open: impl FnOnce(&mut Service) -> Result<(Opened, T), Errno>,
    ) -> Result<(u64, T), Errno> {
        loop {
            let Some((place, seat)) = self.least() else { return Err(self.miss()) };
            // Counted before, so that others who open something now take another one.
            seat.load.fetch_add(1, Ordering::Relaxed);
            let mut line = locked(&seat.line);
            let outcome = match line.ready(self, seat) {
                Ok(()) => line.with(self, seat, |ring, opened| {
                    if opened.len() + SPARE >= ring.limits().descriptors as usize {
                        return Err(Errno::EMFILE);
                    }
                    let (file, more) = open(ring)?;
                    let number = self.number() + place as u64;
                    opened.insert(number, file);
                    Ok((number, more))
                }),
                Err(Missing::Grant) => {
                    seat.refuse();
                    seat.load.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                Err(Missing::Service) => Err(self.miss()),
            };
            if outcome.is_err() {
                seat.load.fetch_sub(1, Ordering::Relaxed);
            }
            return outcome;
        }
    }

    /// The seat with the least open, and its number. What names its file by a path begins in front, so this begins at the back.
    fn least(&self) -> Option<(usize, &Seat)> {
        self.candidates().rev().min_by_key(|(_, seat)| seat.load.load(Ordering::Relaxed))
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
        let seat = self.seat(file);
        let mut line = locked(&seat.line);
        line.ready(self, seat).map_err(|_| self.miss())?;
        line.with(self, seat, |ring, opened| {
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

    /// How often the service was missed. What fails with EIO and finds another number behind it than before may have failed
    /// because of that; otherwise the service itself has said so.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Acquire)
    }

    /// The error of what needs a service that is not there.
    fn miss(&self) -> Errno {
        self.missed.fetch_add(1, Ordering::AcqRel);
        Errno::EIO
    }

    fn connect(&self) -> Result<Service, Missing> {
        if locked(&self.tried).is_some_and(|tried| tried.elapsed() < PAUSE) {
            return Err(Missing::Service);
        }
        match RingBuilder::new().connect_movable(&self.name) {
            Ok(ring) => {
                *locked(&self.tried) = None;
                Ok(ring)
            }
            Err(Error::Scheme(Refused {
                reason: Reason::TooManyConnections | Reason::TooManyOfUser,
                ..
            })) => Err(Missing::Grant),
            Err(_) => {
                *locked(&self.tried) = Some(Instant::now());
                Err(Missing::Service)
            }
        }
    }
}

impl Line {
    /// Sees to it that there is a ring, to a service that is there.
    fn ready(&mut self, connections: &Connections, seat: &Seat) -> Result<(), Missing> {
        if self.ring.as_mut().is_none_or(|ring| !ring.is_reachable()) {
            self.give_up(seat);
            self.ring = Some(connections.connect()?);
            seat.is_connected.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn with<T>(
        &mut self,
        connections: &Connections,
        seat: &Seat,
        work: impl FnOnce(&mut Service, &mut HashMap<u64, Opened>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let Some(ring) = &mut self.ring else { return Err(connections.miss()) };
        let outcome = work(ring, &mut self.opened);
        if outcome.is_err() && !ring.is_reachable() {
            self.give_up(seat);
            return Err(connections.miss());
        }
        outcome
    }

    /// The service has gone, and its descriptors with it.
    fn give_up(&mut self, seat: &Seat) {
        self.ring = None;
        seat.is_connected.store(false, Ordering::Relaxed);
        self.opened.values_mut().for_each(|opened| opened.descriptor = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unconnected() -> Connections {
        let seats = (0..3).map(|_| Seat::default()).collect();
        let (tried, missed, next) = (Mutex::new(None), AtomicU64::new(0), AtomicU64::new(0));
        Connections { name: "data:".to_owned(), seats, tried, missed, next }
    }

    fn candidates(connections: &Connections) -> Vec<usize> {
        connections.candidates().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_refusal_passes() {
        let connections = unconnected();
        for seat in &connections.seats {
            seat.refuse();
        }
        assert!(candidates(&connections).is_empty() && connections.least().is_none());
        *locked(&connections.seats[0].refused) = Instant::now().checked_sub(REFUSED);
        *locked(&connections.seats[2].refused) = Instant::now().checked_sub(REFUSED * 2);
        assert_eq!(candidates(&connections), [0, 2]);
        assert_eq!(connections.least().map(|(number, _)| number), Some(2));
    }

    #[test]
    fn what_is_open_gets_its_connection_first() {
        let connections = unconnected();
        connections.seats[1].load.store(1, Ordering::Relaxed);
        assert_eq!(candidates(&connections), [1]);
        connections.seats[0].is_connected.store(true, Ordering::Relaxed);
        assert_eq!(candidates(&connections), [0, 1]);
        connections.seats[1].is_connected.store(true, Ordering::Relaxed);
        assert_eq!(candidates(&connections), [0, 1, 2]);
    }
}
