//! The committer: the one thread that writes to logs.
//!
//! It takes what has come since it last looked, writes the records of each log in one piece, and makes them durable with one SYNC
//! (group commit). Only then are those told who wait, and only then do readers see them. When a SYNC has failed nobody can
//! say what is durable, and the log takes nothing more until the service is started again.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use ouzel::Ring;
use ouzel::abi::Errno;
use ouzel::compounds::AppendLog;

use super::frames::{self, HEAD, Index};

/// Records that wait may have so many bytes together.
const MOST_WAITING: usize = 64 << 20;

/// So many bytes are made durable at once, and one record more.
const MOST_AT_ONCE: usize = 8 << 20;

/// The most logs that are open at once; they stay open.
const MOST_LOGS: usize = 1024;

/// A log that is open. Only the committer writes to it, and only it adds to the index.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    file: File,
    number: u64,
    index: Mutex<Index>,
}

impl Log {
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes of all its records.
    pub(super) fn end(&self) -> u64 {
        self.index().end()
    }

    /// Its inode.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// What one thread will have for another.
#[derive(Debug)]
struct Promise<T>(Mutex<Kept<T>>);

/// What there is, and who waits for it.
#[derive(Debug)]
struct Kept<T> {
    result: Option<Result<T, Errno>>,
    waker: Option<Waker>,
}

impl<T> Promise<T> {
    fn new() -> Arc<Promise<T>> {
        Arc::new(Promise(Mutex::new(Kept { result: None, waker: None })))
    }

    fn keep(&self, result: Result<T, Errno>) {
        let waker = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.result = Some(result);
            inner.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Waits for a [`Promise`].
#[derive(Debug)]
pub(super) struct Awaited<T>(Arc<Promise<T>>);

impl<T> Future for Awaited<T> {
    type Output = Result<T, Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

enum Job {
    Open { name: String, make: bool, only_new: bool, promise: Arc<Promise<Arc<Log>>> },
    Append { log: Arc<Log>, record: Vec<u8>, promise: Arc<Promise<()>> },
    End,
}

/// Where jobs for the committer go.
#[derive(Clone, Debug)]
pub(super) struct Jobs {
    sender: mpsc::Sender<Job>,
    /// Bytes of records that wait.
    waiting: Arc<AtomicUsize>,
}

impl Jobs {
    /// Opens a log, or makes it.
    pub(super) async fn open(&self, name: String, make: bool, only_new: bool) -> Result<Arc<Log>, Errno> {
        let promise = Promise::new();
        let job = Job::Open { name, make, only_new, promise: Arc::clone(&promise) };
        self.sender.send(job).map_err(|_| Errno::EIO)?;
        Awaited(promise).await
    }

    /// Appends a record; what is returned is over when that is durable.
    ///
    /// Errors: EAGAIN if too much is waiting already.
    pub(super) fn append(&self, log: Arc<Log>, record: Vec<u8>) -> Result<Awaited<()>, Errno> {
        let length = record.len();
        if self.waiting.fetch_add(length, Ordering::Relaxed) + length > MOST_WAITING {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        let promise = Promise::new();
        let job = Job::Append { log, record, promise: Arc::clone(&promise) };
        self.sender.send(job).map_err(|_| Errno::EIO)?;
        Ok(Awaited(promise))
    }
}

/// How much was made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Records.
    pub records: u64,
    /// How often the system was asked to make them so.
    pub syncs: u64,
}

/// The thread that writes, to be ended.
#[derive(Debug)]
pub struct Committer {
    sender: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    records: AtomicU64,
    syncs: AtomicU64,
}

impl Committer {
    /// Ends it behind all that has come, and says what it has done.
    #[must_use]
    pub fn end(self) -> Committed {
        // Neither fails but if it has ended already.
        let _ = self.sender.send(Job::End);
        let _ = self.thread.join();
        Committed {
            records: self.counts.records.load(Ordering::Relaxed),
            syncs: self.counts.syncs.load(Ordering::Relaxed),
        }
    }
}

/// Starts the thread for the logs of a directory.
pub(super) fn start(directory: &Path) -> Result<(Jobs, Committer), String> {
    let cannot = |cause: &dyn std::fmt::Display| format!("cannot serve {}: {cause}", directory.display());
    let lock = File::open(directory).map_err(|cause| cannot(&cause))?;
    if !lock.metadata().map_err(|cause| cannot(&cause))?.is_dir() {
        return Err(cannot(&io::Error::from(io::ErrorKind::NotADirectory)));
    }
    lock.try_lock().map_err(|_| cannot(&"another service has its logs open: end that one first"))?;
    let (sender, jobs) = mpsc::channel();
    let (started, begun) = mpsc::channel();
    let (waiting, counts) = (Arc::<AtomicUsize>::default(), Arc::<Counts>::default());
    let (own_waiting, own_counts, own) = (Arc::clone(&waiting), Arc::clone(&counts), directory.to_owned());
    let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
        let ring = match Ring::new() {
            Ok(ring) => ring,
            Err(error) => {
                let _ = started.send(Err(error.to_string()));
                return;
            }
        };
        let _ = started.send(Ok(()));
        let mut work = Work {
            ring,
            directory: own,
            _lock: lock,
            logs: HashMap::new(),
            waiting: own_waiting,
            counts: own_counts,
        };
        work.run(&jobs);
    });
    let thread = thread.map_err(|cause| cannot(&cause))?;
    begun.recv().map_err(|cause| cannot(&cause))?.map_err(|cause| cannot(&cause))?;
    Ok((Jobs { sender: sender.clone(), waiting }, Committer { sender, thread, counts }))
}

/// What the thread has.
struct Work {
    ring: Ring,
    directory: PathBuf,
    /// Held as long as the logs are open.
    _lock: File,
    logs: HashMap<String, (Arc<Log>, AppendLog)>,
    waiting: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

/// The records of one log that are made durable together.
struct Batch {
    log: Arc<Log>,
    frames: Vec<u8>,
    /// Where the next one begins.
    end: u64,
    records: Vec<(usize, Arc<Promise<()>>)>,
}

impl Work {
    fn run(&mut self, jobs: &mpsc::Receiver<Job>) {
        let mut ended = false;
        while !ended {
            let Ok(mut job) = jobs.recv() else { return };
            let mut batches: Vec<Batch> = Vec::new();
            let mut bytes = 0;
            loop {
                match job {
                    Job::Open { name, make, only_new, promise } => {
                        promise.keep(self.open(&name, make, only_new));
                    }
                    Job::Append { log, record, promise } => {
                        bytes += record.len();
                        collect(&mut batches, log, &record, promise);
                    }
                    Job::End => ended = true,
                }
                if bytes >= MOST_AT_ONCE || ended {
                    break;
                }
                match jobs.try_recv() {
                    Ok(next) => job = next,
                    Err(_) => break,
                }
            }
            for batch in batches {
                self.commit(batch);
            }
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Makes the records of a batch durable, and tells those who wait.
    fn commit(&mut self, batch: Batch) {
        let result = match self.logs.get_mut(&batch.log.name) {
            Some((_, file)) => {
                if !file.is_broken() {
                    self.counts.syncs.fetch_add(1, Ordering::Relaxed);
                }
                let done = file.append_durably(&mut self.ring, [&batch.frames]);
                done.map(|_| ()).map_err(|error| error.errno().unwrap_or(Errno::EIO))
            }
            None => Err(Errno::EIO),
        };
        if result.is_ok() {
            let mut index = batch.log.index();
            batch.records.iter().for_each(|(length, _)| index.add(*length));
            self.counts.records.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        }
        for (_, promise) in batch.records {
            promise.keep(result);
        }
    }

    fn open(&mut self, name: &str, make: bool, only_new: bool) -> Result<Arc<Log>, Errno> {
        if let Some((log, _)) = self.logs.get(name) {
            return if only_new { Err(Errno::EEXIST) } else { Ok(Arc::clone(log)) };
        }
        let path = self.directory.join(name);
        let refused = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        match path.symlink_metadata() {
            Ok(_) if only_new => return Err(Errno::EEXIST),
            Ok(found) if !found.is_file() => return Err(Errno::EINVAL),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {}
            Err(error) => return Err(refused(error)),
        }
        if self.logs.len() >= MOST_LOGS {
            return Err(Errno::ENFILE);
        }
        let failed = |error: ouzel::Error| error.errno().unwrap_or(Errno::EIO);
        let mut appended = AppendLog::open(&mut self.ring, &path).map_err(failed)?;
        let read = File::open(&path).and_then(|file| {
            let number = file.metadata()?.ino();
            let (index, whole) = read_all(&file, appended.end())?;
            Ok((file, number, index, whole))
        });
        let closed = |error: io::Error, ring: &mut Ring, log: AppendLog| {
            let _ = log.close(ring);
            Err(refused(error))
        };
        let (file, number, index, whole) = match read {
            Ok(read) => read,
            Err(error) => return closed(error, &mut self.ring, appended),
        };
        if whole < appended.end() {
            // Of records that nobody was told are durable.
            let torn = appended.end() - whole;
            eprintln!("{}: {torn} bytes behind the last whole record are cut off", path.display());
            if let Err(error) = appended.truncate(&mut self.ring, whole) {
                let errno = failed(error);
                let _ = appended.close(&mut self.ring);
                return Err(errno);
            }
        }
        let log = Arc::new(Log { name: name.to_owned(), file, number, index: Mutex::new(index) });
        self.logs.insert(name.to_owned(), (Arc::clone(&log), appended));
        Ok(log)
    }
}

/// Puts a record into the batch of its log.
fn collect(batches: &mut Vec<Batch>, log: Arc<Log>, record: &[u8], promise: Arc<Promise<()>>) {
    let at = batches.iter().position(|batch| Arc::ptr_eq(&batch.log, &log)).unwrap_or_else(|| {
        let end = log.end();
        batches.push(Batch { log, frames: Vec::new(), end, records: Vec::new() });
        batches.len() - 1
    });
    let batch = &mut batches[at];
    frames::put(&mut batch.frames, batch.end, record);
    batch.end += record.len() as u64;
    batch.records.push((record.len(), promise));
}

/// Reads the frames of a file up to `end`: where the records are, and where the last whole frame ends.
fn read_all(file: &File, end: u64) -> io::Result<(Index, u64)> {
    let mut index = Index::default();
    let mut place = 0;
    let mut head = [0; HEAD];
    let mut record = Vec::new();
    while place + HEAD as u64 <= end {
        file.read_exact_at(&mut head, place)?;
        let Some(length) = frames::length(&head) else { break };
        let next = place + (HEAD + length) as u64;
        if next > end {
            break;
        }
        record.resize(length, 0);
        file.read_exact_at(&mut record, place + HEAD as u64)?;
        if !frames::is_whole(&head, index.end(), &record) {
            break;
        }
        index.add(length);
        place = next;
    }
    Ok((index, place))
}
