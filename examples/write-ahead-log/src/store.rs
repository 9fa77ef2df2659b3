//! The store: what is in memory, and that it is on disk before anyone is told.
//!
//! A change goes to the log first and to memory when it is durable. A checkpoint is made durable before the log is emptied; frames
//! that are in it already, because the process died between the two, are passed over by their numbers. It must never cut off
//! a frame that somebody was told of.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use ouzel::abi::Errno;
use ouzel::compounds::{self, AppendLog, WriteMode};
use ouzel::{Directory, Ring};
use rustix::fs::{FlockOperation, flock};

use crate::checkpoint::{self, Pairs};
use crate::frame;

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value.
    Set(Vec<u8>, Vec<u8>),
    /// The key is gone.
    Delete(Vec<u8>),
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The ring, or an operation.
    #[error("{0}")]
    Ring(#[from] ouzel::Error),
    /// The lock file.
    #[error("{path}: {error}")]
    Lock {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another process has the store.
    #[error("{0}: another process is at work on this store: wait until it is done")]
    InUse(PathBuf),
    /// A file is not what was written.
    #[error("{path}: damaged at byte {at}, {what}: restore it from a copy; nothing was changed")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// How it is known.
        what: &'static str,
    },
    /// A group of changes is larger than a frame may be.
    #[error("a group of changes has more than {} bytes: make smaller groups", frame::MOST)]
    TooLarge,
}

/// Keys and values in a directory.
pub struct Store {
    ring: Ring,
    directory: PathBuf,
    log: AppendLog,
    salt: u64,
    /// The number of the last frame.
    sequence: u64,
    all: Pairs,
    torn: u64,
    _lock: File,
}

impl Store {
    /// Opens the store in `directory`, which is made if it does not exist: reads the checkpoint, replays the log, and cuts off
    /// what was never whole.
    pub fn open(mut ring: Ring, directory: &Path) -> Result<Store, StoreError> {
        match ring.mkdir(Directory::Working, directory, 0o777) {
            Err(error) if error.errno() != Some(Errno::EEXIST) => return Err(error.into()),
            _ => {}
        }
        let lock = lock(&directory.join("lock"))?;
        let path = directory.join("checkpoint");
        let (covered, mut all) = match compounds::read_file(&mut ring, &path) {
            Ok(bytes) => {
                let read = checkpoint::read(&bytes);
                read.ok_or(StoreError::Damaged { path, at: 0, what: "its checksum does not fit" })?
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => (0, Pairs::new()),
            Err(error) => return Err(error.into()),
        };

        let path = directory.join("log");
        let mut log = AppendLog::open(&mut ring, &path)?;
        let bytes = compounds::read_file(&mut ring, &path)?;
        let (mut sequence, mut at) = (covered, frame::HEAD);
        let salt = match frame::salt_of(&bytes) {
            Some(salt) => salt,
            // The head is appended alone, so nothing is behind one that is not whole.
            None if bytes.len() <= frame::HEAD => {
                at = 0;
                0
            }
            None => return Err(StoreError::Damaged { path, at: 0, what: "it has no head" }),
        };
        let whole_head = at > 0;
        let mut last = None;
        while whole_head && let Some((number, changes, length)) = frame::first(salt, &bytes[at..]) {
            let follows = last.map_or(number <= covered + 1, |last: u64| number == last + 1);
            if !follows {
                return Err(StoreError::Damaged {
                    path,
                    at: at as u64,
                    what: "a frame before it is missing",
                });
            }
            last = Some(number);
            // A frame that the checkpoint has is passed over.
            if number > covered {
                changes.into_iter().for_each(|change| apply(&mut all, change));
                sequence = number;
            }
            at += length;
        }
        let torn = (bytes.len() - at) as u64;
        if torn > 0 {
            if whole_head && frame::is_any_behind(salt, last.unwrap_or(0), &bytes[at..]) {
                return Err(StoreError::Damaged { path, at: at as u64, what: "with whole frames behind it" });
            }
            log.truncate(&mut ring, at as u64)?;
        }
        let directory = directory.to_owned();
        let mut store = Store { ring, directory, log, salt, sequence, all, torn, _lock: lock };
        if !whole_head {
            store.begin_log()?;
        }
        Ok(store)
    }

    /// Makes changes, all of them or, if the process or the power fails first, perhaps none: durable when this returns `Ok`.
    pub fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let frame = frame::frame(self.salt, sequence, &changes).ok_or(StoreError::TooLarge)?;
        self.log.append_durably(&mut self.ring, [frame])?;
        self.sequence = sequence;
        changes.into_iter().for_each(|change| apply(&mut self.all, change));
        Ok(())
    }

    /// Writes all there is to the checkpoint, and begins the log anew.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        let bytes = checkpoint::write(self.sequence, &self.all);
        let path = self.directory.join("checkpoint");
        compounds::write_file_durably(&mut self.ring, path, bytes, WriteMode::Kept)?;
        self.log.truncate(&mut self.ring, 0)?;
        self.begin_log()
    }

    /// The value of `key`.
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.all.get(key).map(Vec::as_slice)
    }

    /// All keys and values, in the order of the keys.
    pub fn all(&self) -> &Pairs {
        &self.all
    }

    /// Bytes at the end of the log that were cut off when the store was opened.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.log.end()
    }

    fn begin_log(&mut self) -> Result<(), StoreError> {
        self.salt = RandomState::new().hash_one(self.sequence);
        self.log.append_durably(&mut self.ring, [frame::head(self.salt)])?;
        Ok(())
    }
}

fn apply(all: &mut Pairs, change: Change) {
    match change {
        Change::Set(key, value) => {
            all.insert(key, value);
        }
        Change::Delete(key) => {
            all.remove(&key);
        }
    }
}

/// Takes the lock, or says that another process has it. It is given back when the file is closed, however the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = |error| StoreError::Lock { path: path.to_owned(), error };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(lock)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(path.to_owned())),
        Err(error) => Err(lock(error.into())),
    }
}
