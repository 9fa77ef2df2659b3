//! Compounds: things that programs do again and again, each as a few chains with a name.
//!
//! They are built on [`Ring`] and [`Chain`](crate::Chain) alone, so they behave alike on every backend and are examples of
//! how to build one's own. Each says what it guarantees, how many times it enters the ring when nothing unusual happens (its
//! *crossings*: a short transfer costs more), and what it leaves behind when it fails. What holds for all of them:
//!
//! - Whatever they open is closed when they return, with an error too. Only a handle they hand out stays open.
//! - A short transfer is not a failure: they go on where it stopped.
//! - Chains of others on the same ring go on meanwhile, and their results stay where they are.
//! - An error names the operation and the path it was about.
//! - Their longest chain has eight entries: a smaller ring refuses it with [`BuildError::TooLong`](crate::BuildError).
//!
//! | family | compounds |
//! |---|---|
//! | reading | [`read_file`], [`stat_then_read`], [`read_files`] |
//! | durable | [`write_file_durably`], [`AppendLog::append_durably`] |
//! | copying | [`copy_file`], [`copy_file_through_memory`] |
//! | sockets | [`accept_then_serve`], [`connect_exchange`] |
//! | trees of directories | [`walk`] |
//! | trees in files | [`Lookup::find`] |
//!
//! A path is relative to the working directory.
//!
//! A crossing here is a chain that is waited for. What that costs in the kernel is the backend's affair, and
//! [`Ring::explain`] and [`Ring::counters`] tell it; `conformance/tests/compounds` allows no more system calls than
//! these:
//!
//! | compound, small files | io_uring | threads |
//! |---|---|---|
//! | `read_file` | 7 | 7 |
//! | `stat_then_read` | 8 | 8 |
//! | `write_file_durably`, mode given / kept | 12 / 16 | 15 / 16 |
//! | `AppendLog::append_durably` | 2 | 2 |
//! | `copy_file`, a new file / over another | 13 / 11 | 14 |
//! | `copy_file_through_memory`, over another | 11 | 15 |

mod copying;
mod exchanging;
mod held;
mod log;
mod lookup;
mod many;
mod reading;
mod replacing;
mod serving;
mod walking;

use std::path::Path;

use ouzel_ring::{Errno, Verb};

use crate::chain::Reg;
use crate::chain::{Done, Kind};
use crate::error::{Error, OperationError};

pub use copying::{copy_file, copy_file_through_memory};
pub use exchanging::{Until, connect_exchange};
pub use log::AppendLog;
pub use lookup::{Lookup, MAX_DEPTH, NO_KEY, NODE_BYTES, NODE_PAIRS, tree};
pub use many::{FileRead, ReadFiles, read_files};
pub use reading::{read_file, stat_then_read};
pub use replacing::{TEMPORARY_PREFIX, TEMPORARY_SUFFIX, WriteMode, write_file_durably};
pub use serving::{Answer, ServeOptions, Served, accept_then_serve};
pub use walking::{FileKind, Walk, WalkEntry, WalkError, walk};

#[cfg(doc)]
use crate::Ring;

/// Adds the path that an operation was about, where it does not name one itself.
fn about(error: Error, path: &Path) -> Error {
    match error {
        Error::Operation(mut error) => {
            error.operand.get_or_insert_with(|| path.to_string_lossy().into_owned());
            Error::Operation(error)
        }
        other => other,
    }
}

/// An operation did not do what it had to, though it did not fail by itself.
fn unfit(verb: Verb, errno: Errno, path: &Path) -> Error {
    let operand = Some(path.to_string_lossy().into_owned());
    Error::Operation(OperationError::new(0, verb, errno, operand))
}

/// The value of `reg`; if its step was not run, the error of the one that kept it from running.
fn value<T: Kind>(done: &Done, reg: Reg<T>) -> Result<T::Value, Error> {
    done.get(reg).map_err(|error| match done.error() {
        Some(first) if error.errno() == Some(Errno::ECANCELED) => first.into(),
        _ => error,
    })
}

/// The directory that the last component of `path` is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}
