//! `ouzel serve log:DIR`: logs to which many clients append records durably.
//!
//! A log is a file of the directory. What clients see of it are the bytes of its records, one after the other; what is in the file has a
//! frame around each. This module answers the verbs on the server's thread and reads; it never writes. All writing is
//! done by the committer, one thread, which makes durable with one SYNC whatever has come meanwhile.

mod commit;
mod frames;

use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ouzel::abi::Errno;
use ouzel::abi::Verb;
use ouzel::abi::modifiers::{OpenFlags, StatFlags, SyncMode, Whence};
use ouzel::scheme::{At, Bytes, Position, Scheme, VerbSet};

use super::record;
pub use commit::{Committed, Committer};
use commit::{Jobs, Log};

/// The most bytes of one record.
pub const MAX_RECORD: usize = 1 << 20;

/// The most bytes that one READ moves.
const MAX_READ: usize = 1 << 20;

/// The most records whose bytes one READ moves: each costs time that has nothing to do with its length.
const MAX_RECORDS: usize = 16_384;

/// The verbs that are answered.
pub const VERBS: VerbSet =
    VerbSet::of(&[Verb::Open, Verb::Close, Verb::Read, Verb::Write, Verb::Seek, Verb::Stat, Verb::Sync]);

/// The logs of a directory, for one connection.
#[derive(Debug)]
pub struct Logs {
    jobs: Jobs,
}

impl Logs {
    /// Begins to serve a directory, and returns what makes the service of each connection, and what to end it with.
    ///
    /// # Errors
    ///
    /// Those of the directory, of its lock (somebody else serves it), of the thread and its ring.
    pub fn serve(directory: &Path) -> Result<(impl Fn() -> Logs + use<>, Committer), String> {
        let (jobs, committer) = commit::start(directory)?;
        Ok((move || Logs { jobs: jobs.clone() }, committer))
    }
}

/// A log, open at a client's.
#[derive(Debug)]
pub struct Opened {
    log: Arc<Log>,
    flags: OpenFlags,
    position: Cell<u64>,
}

/// The name of a log: one component, which does not begin with a dot.
fn name_of(path: &[u8]) -> Result<String, Errno> {
    if path.contains(&b'/') {
        return Err(Errno::EXDEV);
    }
    if path.starts_with(b".") {
        return Err(Errno::EACCES);
    }
    if path.len() > 255 {
        return Err(Errno::ENAMETOOLONG);
    }
    let text = std::str::from_utf8(path).map_err(|_| Errno::EINVAL)?;
    Ok(text.to_owned())
}

impl Scheme for Logs {
    type File = Opened;

    async fn open(&self, at: At<'_, Opened>, path: &[u8], flags: OpenFlags, _: u32) -> Result<Opened, Errno> {
        if at.is_some() || flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR);
        }
        let name = name_of(path)?;
        if flags.contains(OpenFlags::TRUNCATE) {
            return Err(Errno::EPERM);
        }
        let make = flags.contains(OpenFlags::CREATE);
        let only_new = make && flags.contains(OpenFlags::EXCLUSIVE);
        let log = self.jobs.open(name, make, only_new).await?;
        Ok(Opened { log, flags, position: Cell::new(0) })
    }

    async fn read(&self, file: &Opened, into: &Bytes, position: Position) -> Result<u64, Errno> {
        if !file.flags.contains(OpenFlags::READ) {
            return Err(Errno::EBADF);
        }
        let from = position.unwrap_or(file.position.get());
        let read = file.log.read(from, into)?;
        if position.is_none() {
            file.position.set(from + read);
        }
        Ok(read)
    }

    async fn write(&self, file: &Opened, from: &Bytes, _: Position) -> Result<u64, Errno> {
        if !file.flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF);
        }
        if from.is_empty() {
            return Ok(0);
        }
        if from.len() > MAX_RECORD {
            return Err(Errno::EMSGSIZE);
        }
        let record = from.to_vec();
        let length = record.len() as u64;
        self.jobs.append(Arc::clone(&file.log), record)?.await?;
        Ok(length)
    }

    async fn seek(&self, file: &Opened, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let base = match whence {
            Whence::Start => 0,
            Whence::Current => file.position.get(),
            Whence::End => file.log.end(),
        };
        let to = base.checked_add_signed(offset).filter(|to| *to <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
        file.position.set(to);
        Ok(to)
    }

    async fn stat(
        &self,
        at: At<'_, Opened>,
        path: Option<&[u8]>,
        record: &Bytes,
        _: StatFlags,
    ) -> Result<(), Errno> {
        let log = match (at, path) {
            (Some(file), None) => Arc::clone(&file.log),
            (None, Some(path)) => self.jobs.open(name_of(path)?, false, false).await?,
            _ => return Err(Errno::ENOTDIR),
        };
        let filled = record::file(log.number(), 0o644, log.end());
        record.copy_from(0, &filled);
        Ok(())
    }

    async fn sync(&self, _: &Opened, _: SyncMode, _: u64, _: u64) -> Result<(), Errno> {
        // What was acknowledged is durable; what was not cannot be waited for by anybody else.
        Ok(())
    }
}

impl Log {
    /// Copies bytes of records from `from` on, as many as there are and as there is room for, of at most [`MAX_RECORDS`] records.
    fn read(&self, from: u64, into: &Bytes) -> Result<u64, Errno> {
        let wanted = into.len().min(MAX_READ);
        let Some(stretch) = self.index().stretch(from, wanted, MAX_RECORDS) else { return Ok(0) };
        let mut framed = vec![0; stretch.framed];
        self.file()
            .read_exact_at(&mut framed, stretch.place)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        let mut bytes = Vec::with_capacity(stretch.framed);
        let mut at = 0;
        for length in stretch.pieces {
            bytes.extend_from_slice(framed.get(at..at + length).ok_or(Errno::EIO)?);
            at += length + frames::HEAD;
        }
        // In one go: the client says how many pieces its memory has, and each copy looks at all of them.
        Ok(into.copy_from(0, &bytes) as u64)
    }
}
