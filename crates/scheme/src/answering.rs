//! Answering: a service as a backend.
//!
//! Each operation is a future that is polled when it starts, and again when its waker has been called; most are over at once. The
//! table of descriptors is here, so a service sees its own files and no numbers. A future is dropped before its operation is
//! reported, and with it everything that could reach the client's memory.

use std::collections::VecDeque;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ouzel_engine::{
    Backend, Buffers, Counters, Directory, Operation, Outcome, Path, Place, Report, Span, Started, Step,
    Token, Way,
};
use ouzel_ring::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::bytes::{Bytes, path};
use crate::service::Scheme;
use crate::{Host, doorbell};

/// What an operation comes to.
enum Answer<F> {
    /// It is over, with this result.
    Result(u64),
    /// It has opened something.
    Opened(F),
}

type Running<F> = Pin<Box<dyn Future<Output = Result<Answer<F>, Errno>>>>;

/// An operation that has not been answered.
struct Asked<F> {
    token: Token,
    answer: Running<F>,
    /// Where what it opens goes.
    into: Option<u32>,
    waker: Waker,
}

/// A [`Scheme`], as a backend for the engine of one connection: a [`Server`](crate::Server) makes one for each client.
///
/// Every operation is asked of the service as a future. It is polled when it starts, and again when its waker is called; if the
/// operation is given up it is dropped. The table of descriptors is kept here.
pub struct Answering<S: Scheme> {
    service: Rc<S>,
    files: Vec<Option<Rc<S::File>>>,
    asked: Vec<Option<Asked<S::File>>>,
    free: Vec<u32>,
    reports: VecDeque<Report>,
    woken: Arc<Woken>,
}

/// Which operations are to be polled again. Wakers may be called from any thread.
#[derive(Default)]
struct Woken {
    places: Mutex<Vec<u32>>,
    signal: Condvar,
    bell: Mutex<Option<OwnedFd>>,
}

impl Woken {
    fn places(&self) -> MutexGuard<'_, Vec<u32>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        if let Some(bell) = self.bell().as_ref() {
            // It fails only if the counter is full, and then it has rung.
            let _ = doorbell::ring(bell.as_fd());
        }
    }
}

struct Waking {
    place: u32,
    woken: Arc<Woken>,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.places().push(self.place);
        self.woken.signal.notify_one();
        self.woken.ring();
    }
}

const WAY: Way = Way { place: Place::Call, reason: "the service answers" };

impl<S: Scheme> Answering<S> {
    /// `service` for one connection, with a table of `descriptors`.
    pub fn new(service: S, descriptors: u32) -> Answering<S> {
        Answering {
            service: Rc::new(service),
            files: (0..descriptors).map(|_| None).collect(),
            asked: Vec::new(),
            free: Vec::new(),
            reports: VecDeque::new(),
            woken: Arc::default(),
        }
    }

    fn file(&self, index: u32) -> Result<Rc<S::File>, Errno> {
        self.files.get(index as usize).and_then(Option::clone).ok_or(Errno::EBADF)
    }

    fn at(&self, directory: Directory) -> Result<Option<Rc<S::File>>, Errno> {
        directory.map(|index| self.file(index)).transpose()
    }

    /// Puts what was opened where it belongs.
    fn settle(&mut self, answer: Result<Answer<S::File>, Errno>, into: Option<u32>) -> Outcome {
        match (answer, into) {
            (Ok(Answer::Opened(file)), Some(index)) => match self.files.get_mut(index as usize) {
                Some(place) => {
                    *place = Some(Rc::new(file));
                    Outcome::success(0)
                }
                None => Outcome::failure(Errno::EMFILE),
            },
            (Ok(Answer::Opened(_)), None) => Outcome::success(0),
            (Ok(Answer::Result(result)), _) => Outcome::success(result),
            (Err(errno), _) if errno.is_ok() => Outcome::failure(Errno::EIO),
            (Err(errno), _) => Outcome::failure(errno),
        }
    }

    /// Polls what was woken, each once: what wakes itself again has to wait until others have had their turn.
    fn poll_woken(&mut self) {
        let places = std::mem::take(&mut *self.woken.places());
        for place in places {
            let Some(asked) = self.asked.get_mut(place as usize).and_then(Option::as_mut) else { continue };
            let waker = asked.waker.clone();
            let Poll::Ready(answer) = asked.answer.as_mut().poll(&mut Context::from_waker(&waker)) else {
                continue;
            };
            if let Some(asked) = self.forget(place) {
                let Asked { token, into, answer: future, .. } = asked;
                drop(future);
                let outcome = self.settle(answer, into);
                self.reports.push_back(Report { token, outcome, more: false });
            }
        }
    }

    fn forget(&mut self, place: u32) -> Option<Asked<S::File>> {
        let asked = self.asked.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(asked)
    }

    /// The future that answers `operation`.
    fn ask(&mut self, operation: &Operation) -> Result<Running<S::File>, Errno> {
        let service = Rc::clone(&self.service);
        // SAFETY: memory stays valid until an operation is reported, and the future that owns this is dropped before.
        let bytes = |span: Span| unsafe { Bytes::of(span) };
        // SAFETY: as above.
        let many = |buffers: Buffers| unsafe { Bytes::new(buffers) };
        // SAFETY: a path stays valid until the operation is reported; it is copied here.
        let name = |from: Path| unsafe { path(from) };
        let opened = |answer: Result<S::File, Errno>| answer.map(Answer::Opened);
        let count = |answer: Result<u64, Errno>| answer.map(Answer::Result);
        let unit = |answer: Result<(), Errno>| answer.map(|()| Answer::Result(0));
        Ok(match *operation {
            Operation::Open { directory, path, flags, mode, .. } => {
                let (at, path) = (self.at(directory)?, name(path));
                Box::pin(async move { opened(service.open(at.as_deref(), &path, flags, mode).await) })
            }
            Operation::Close { file } => {
                let place = self.files.get_mut(file as usize).and_then(Option::take);
                let file = place.ok_or(Errno::EBADF)?;
                // A service that says nothing of CLOSE has nothing to do for it.
                Box::pin(async move {
                    match service.close(file).await {
                        Err(Errno::ENOSYS) => unit(Ok(())),
                        answer => unit(answer),
                    }
                })
            }
            Operation::Read { file, buffers, position } => {
                let (file, into) = (self.file(file)?, many(buffers));
                Box::pin(async move {
                    let most = into.len() as u64;
                    count(service.read(&file, &into, position).await.map(|read| read.min(most)))
                })
            }
            Operation::Write { file, buffers, position } => {
                let (file, from) = (self.file(file)?, many(buffers));
                Box::pin(async move {
                    let most = from.len() as u64;
                    count(service.write(&file, &from, position).await.map(|written| written.min(most)))
                })
            }
            Operation::Poll { file, events, multishot: false } => {
                let file = self.file(file)?;
                Box::pin(async move { count(service.poll(&file, events).await.map(|events| events.bits())) })
            }
            Operation::Seek { file, offset, whence } => {
                let file = self.file(file)?;
                Box::pin(async move { count(service.seek(&file, offset, whence).await) })
            }
            Operation::Stat { directory, path, record, flags } => {
                let (at, path, record) = (self.at(directory)?, path.map(name), bytes(record));
                Box::pin(
                    async move { unit(service.stat(at.as_deref(), path.as_deref(), &record, flags).await) },
                )
            }
            Operation::Sync { file, mode, offset, length } => {
                let file = self.file(file)?;
                Box::pin(async move { unit(service.sync(&file, mode, offset, length).await) })
            }
            Operation::Truncate { file, length } => {
                let file = self.file(file)?;
                Box::pin(async move { unit(service.truncate(&file, length).await) })
            }
            Operation::Allocate { file, offset, length, flags } => {
                let file = self.file(file)?;
                Box::pin(async move { unit(service.allocate(&file, offset, length, flags).await) })
            }
            Operation::Mkdir { directory, path, mode } => {
                let (at, path) = (self.at(directory)?, name(path));
                Box::pin(async move { unit(service.mkdir(at.as_deref(), &path, mode).await) })
            }
            Operation::Remove { directory, path, flags } => {
                let (at, path) = (self.at(directory)?, name(path));
                Box::pin(async move { unit(service.remove(at.as_deref(), &path, flags).await) })
            }
            Operation::Rename { from, old, to, new, flags } => {
                let (from, to, old, new) = (self.at(from)?, self.at(to)?, name(old), name(new));
                Box::pin(async move {
                    unit(service.rename(from.as_deref(), &old, to.as_deref(), &new, flags).await)
                })
            }
            Operation::Link { from, old, to, new, flags } => {
                let (from, to, old, new) = (self.at(from)?, self.at(to)?, name(old), name(new));
                Box::pin(async move {
                    unit(service.link(from.as_deref(), &old, to.as_deref(), &new, flags).await)
                })
            }
            Operation::Symlink { target, directory, path } => {
                let (at, target, path) = (self.at(directory)?, name(target), name(path));
                Box::pin(async move { unit(service.symlink(&target, at.as_deref(), &path).await) })
            }
            Operation::Readdir { file, buffer } => {
                let (file, into) = (self.file(file)?, bytes(buffer));
                Box::pin(async move {
                    let most = into.len() as u64;
                    count(service.readdir(&file, &into).await.map(|filled| filled.min(most)))
                })
            }
            Operation::Copy { source, from, target, to, length } => {
                let (source, target) = (self.file(source)?, self.file(target)?);
                Box::pin(async move {
                    let copied = service.copy(&source, from, &target, to, length).await;
                    count(copied.map(|copied| copied.min(length)))
                })
            }
            Operation::Readlink { directory, path, buffer } => {
                let (at, path, into) = (self.at(directory)?, path.map(name), bytes(buffer));
                Box::pin(async move {
                    count(fits(service.readlink(at.as_deref(), path.as_deref(), &into).await, &into))
                })
            }
            Operation::Chmod { directory, path, mode } => {
                let (at, path) = (self.at(directory)?, path.map(name));
                Box::pin(async move { unit(service.chmod(at.as_deref(), path.as_deref(), mode).await) })
            }
            Operation::Chown { directory, path, user, group, flags } => {
                let (at, path) = (self.at(directory)?, path.map(name));
                Box::pin(async move {
                    unit(service.chown(at.as_deref(), path.as_deref(), user, group, flags).await)
                })
            }
            Operation::Utimes { directory, path, times, follow } => {
                let (at, path) = (self.at(directory)?, path.map(name));
                Box::pin(
                    async move { unit(service.utimes(at.as_deref(), path.as_deref(), times, follow).await) },
                )
            }
            Operation::Mknod { directory, path, kind, mode, device } => {
                let (at, path) = (self.at(directory)?, name(path));
                Box::pin(async move { unit(service.mknod(at.as_deref(), &path, kind, mode, device).await) })
            }
            Operation::Statfs { directory, path, record } => {
                let (at, path, record) = (self.at(directory)?, path.map(name), bytes(record));
                Box::pin(async move { unit(service.statfs(at.as_deref(), path.as_deref(), &record).await) })
            }
            Operation::Access { directory, path, access, options } => {
                let (at, path) = (self.at(directory)?, path.map(name));
                Box::pin(async move {
                    unit(service.access(at.as_deref(), path.as_deref(), access, options).await)
                })
            }
            Operation::GetXattr { directory, attribute, value, flags } => {
                let (at, path, own) =
                    (self.at(directory)?, attribute.path().map(name), name(attribute.name()));
                let into = bytes(value);
                Box::pin(async move {
                    count(fits(
                        service.getxattr(at.as_deref(), path.as_deref(), &own, &into, flags).await,
                        &into,
                    ))
                })
            }
            Operation::SetXattr { directory, attribute, value, flags } => {
                let (at, path, own) =
                    (self.at(directory)?, attribute.path().map(name), name(attribute.name()));
                let from = bytes(value);
                Box::pin(async move {
                    unit(service.setxattr(at.as_deref(), path.as_deref(), &own, &from, flags).await)
                })
            }
            Operation::ListXattr { directory, path, buffer, flags } => {
                let (at, path, into) = (self.at(directory)?, path.map(name), bytes(buffer));
                Box::pin(async move {
                    count(fits(service.listxattr(at.as_deref(), path.as_deref(), &into, flags).await, &into))
                })
            }
            Operation::RemoveXattr { directory, attribute, flags } => {
                let (at, path, own) =
                    (self.at(directory)?, attribute.path().map(name), name(attribute.name()));
                Box::pin(async move {
                    unit(service.removexattr(at.as_deref(), path.as_deref(), &own, flags).await)
                })
            }
            Operation::Lock { file, offset, length, mode } => {
                let file = self.file(file)?;
                Box::pin(async move { unit(service.lock(&file, offset, length, mode).await) })
            }
            Operation::Wake { bell, amount } => {
                let file = self.file(bell)?;
                Box::pin(async move { unit(service.wake(&file, amount).await) })
            }
            // What sockets, pipes, processes and words of memory are asked.
            _ => return Err(Errno::ENOSYS),
        })
    }
}

/// What has to be there as a whole: ERANGE if there is a buffer, and it is too small. Without one only the length was asked for.
fn fits(answer: Result<u64, Errno>, into: &Bytes) -> Result<u64, Errno> {
    match answer {
        Ok(length) if !into.is_empty() && length > into.len() as u64 => Err(Errno::ERANGE),
        answer => answer,
    }
}

impl<S: Scheme> Backend for Answering<S> {
    fn now(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(step) = steps.first() else { return Started::Busy };
        let into = step.operation.opens().first().copied();
        let mut answer = match self.ask(&step.operation) {
            Ok(answer) => answer,
            Err(errno) => return Started::Finished { outcome: Outcome::failure(errno), way: WAY },
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.asked.push(None);
            self.asked.len() as u32 - 1
        });
        let waker = Waker::from(Arc::new(Waking { place, woken: Arc::clone(&self.woken) }));
        let polled = answer.as_mut().poll(&mut Context::from_waker(&waker));
        let outcome = match polled {
            Poll::Ready(answered) => {
                drop(answer);
                self.settle(answered, into)
            }
            // It would have to wait.
            Poll::Pending if !step.may_wait => Outcome::failure(Errno::ETIMEDOUT),
            Poll::Pending => {
                if let Some(slot) = self.asked.get_mut(place as usize) {
                    *slot = Some(Asked { token: step.token, answer, into, waker });
                }
                return Started::Taken { count: 1, way: WAY };
            }
        };
        self.free.push(place);
        Started::Finished { outcome, way: WAY }
    }

    fn cancel(&mut self, token: Token) {
        let is_it = |asked: &Option<Asked<S::File>>| asked.as_ref().is_some_and(|asked| asked.token == token);
        if let Some(place) = self.asked.iter().position(is_it) {
            // The future goes first, and with it all that could reach memory.
            drop(self.forget(place as u32));
            let outcome = Outcome::failure(Errno::ECANCELED);
            self.reports.push_back(Report { token, outcome, more: false });
            // Whoever cancels need not be about to wait.
            self.woken.ring();
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.poll_woken();
        while self.reports.is_empty() && want > 0 {
            let left = until.map(|until| Duration::from_nanos(until.saturating_sub(self.now())));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let places = self.woken.places();
            if places.is_empty() {
                // Poisoned or not, the list is looked at again.
                match left {
                    Some(left) => drop(self.woken.signal.wait_timeout(places, left)),
                    None => drop(self.woken.signal.wait(places)),
                }
            } else {
                drop(places);
            }
            self.poll_woken();
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Nothing here opens many at once.
    fn attach(&mut self, _handle: u64, _index: u32) {}

    fn discard(&mut self, _handle: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

impl<S: Scheme> Host for Answering<S> {
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let refused = |error: std::io::Error| error.raw_os_error().map_or(Errno::ENOMEM, Errno::from_raw);
        let bell = doorbell::new().map_err(refused)?;
        let own = bell.try_clone().map_err(refused)?;
        *self.woken.bell() = Some(own);
        Ok(Some(bell))
    }
}
