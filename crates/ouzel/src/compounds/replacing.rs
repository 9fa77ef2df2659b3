//! Replacing a file whole, so that it survives a loss of power.
//!
//! The new content goes to a temporary file in the same directory, is made durable, and takes the name in one step. It
//! touches that directory alone. It must never rename what is not written whole, and never remove a file it did not make.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel_ring::modifiers::{RenameFlags, StatFlags, SyncMode};
use ouzel_ring::{Descriptor, Errno, Verb};

use super::held::Held;
use super::{about, parent, unfit};
use crate::Buffer;
use crate::chain::Done;
use crate::chain::{Chain, File, Offset, OpenOptions};
use crate::error::Error;
use crate::ring::Ring;

/// How the names of temporary files begin.
pub const TEMPORARY_PREFIX: &str = ".ouzel-";

/// How the names of temporary files end.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Names that are tried for a temporary file.
const TRIES: usize = 8;

/// Which permission bits a written file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteMode {
    /// Those of the file that is replaced; without one, 0o666 less the umask.
    Kept,
    /// These, whatever the umask: at most 0o7777.
    Given(u32),
}

/// Makes `data` the content of `path`, whole or not at all.
///
/// **Guarantee:** whatever happens, a loss of power included, `path` names what it named before, or a file with all of
/// `data`, and never anything in between. When this has returned `Ok`, it is the new file, and stays it. After an
/// error of the last SYNC, that of the directory, it is the new file, but a loss of power may bring the old one back; after
/// any other error it is the old one. The file is a new one: other names of the old file keep the old content, a symbolic link is
/// replaced itself, and owner and extended attributes are those of a new file.
/// **Crossings:** 2, or 3 with [`WriteMode::Kept`]; 2 more if the umask takes bits away.
/// **On failure:** the temporary file is removed. A process that is killed leaves it behind: its name starts with
/// [`TEMPORARY_PREFIX`] and ends with [`TEMPORARY_SUFFIX`], and it can be removed when no writer is at work.
///
/// The temporary's name holds the process's number, a random number and a count; should it be taken all the same, it is not
/// touched and another one is tried.
///
/// Errors: those of OPEN, WRITE, STAT, CHMOD, SYNC and RENAME; EISDIR if `path` names no file in a directory.
///
/// ```
/// use ouzel::{Ring, compounds};
///
/// # let directory = std::env::temp_dir().join(format!("ouzel-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("settings");
/// let mut ring = Ring::new()?;
/// compounds::write_file_durably(&mut ring, &path, "colour = blue\n", compounds::WriteMode::Kept)?;
/// # assert_eq!(std::fs::read(&path)?, b"colour = blue\n");
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_file_durably<M>(
    ring: &mut Ring<M>,
    path: impl AsRef<Path>,
    data: impl Into<Buffer>,
    mode: WriteMode,
) -> Result<(), Error> {
    let path = path.as_ref();
    let name = match path.file_name() {
        Some(name) if !path.as_os_str().as_bytes().ends_with(b"/") => name,
        _ => return Err(unfit(Verb::Rename, Errno::EISDIR, path)),
    };
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let opened = chain.open(parent(path), OpenOptions::directory());
    let (place, permissions) = match mode {
        WriteMode::Given(mode) => (File::Of(opened), Some(mode)),
        WriteMode::Kept => {
            let stat = chain.stat(opened, name, StatFlags::empty());
            let done = held.ring.run(std::mem::take(&mut chain))?;
            let directory = held.keep(&done, opened)?;
            let permissions = match done.get(stat) {
                Ok(stat) => Some(stat.permissions()),
                Err(error) if error.errno() == Some(Errno::ENOENT) => None,
                Err(error) => return Err(error),
            };
            (File::Open(directory), permissions)
        }
    };
    let made = Made { path, name, permissions };
    let (directory, temporary) = made.write(&mut held, chain, place, data.into())?;
    made.put_in_place(&mut held, directory, &temporary)
}

/// A file under way to its name.
struct Made<'p> {
    path: &'p Path,
    name: &'p OsStr,
    permissions: Option<u32>,
}

impl Made<'_> {
    /// Makes the temporary file, at the end of `chain`, which may open the directory: written whole and durable, with its
    /// permissions.
    fn write<M>(
        &self,
        held: &mut Held<'_, M>,
        mut chain: Chain,
        mut place: File,
        mut data: Buffer,
    ) -> Result<(Descriptor, String), Error> {
        let length = data.len();
        let options = OpenOptions::write().create_new().mode(self.permissions.unwrap_or(0o666));
        for _ in 0..TRIES {
            let temporary = temporary_name();
            let file = chain.open_in(place, &temporary, options);
            let written = chain.write(file, data, Offset::START);
            let stat = self.permissions.map(|_| chain.stat_file(file));
            chain.sync(file, SyncMode::Full);
            let mut done = held.ring.run(std::mem::take(&mut chain))?;
            let directory = match place {
                File::Open(directory) => directory,
                File::Of(opened) => held.keep(&done, opened)?,
            };
            place = File::Open(directory);
            let file = match held.keep(&done, file) {
                Err(error) if error.errno() == Some(Errno::EEXIST) => {
                    data = done.take(written).unwrap_or_default();
                    continue;
                }
                file => file?,
            };
            // It is ours from here on.
            held.set_temporary(parent(self.path).join(&temporary));
            self.check(&done)?;
            let count = done.get(written)?;
            if count < length {
                let data = done.take(written).unwrap_or_default();
                self.write_on(held, file, &data, count)?;
            }
            let found = stat.map(|stat| done.get(stat)).transpose()?;
            if let (Some(wanted), Some(found)) = (self.permissions, found)
                && wanted != found.permissions()
            {
                held.ring.chmod_file(file, wanted).map_err(|error| about(error, self.path))?;
                held.ring.sync(file, SyncMode::Full).map_err(|error| about(error, self.path))?;
            }
            return Ok((directory, temporary));
        }
        Err(unfit(Verb::Open, Errno::EEXIST, self.path))
    }

    /// Writes what a short write has left, and makes it durable.
    fn write_on<M>(
        &self,
        held: &mut Held<'_, M>,
        file: Descriptor,
        data: &[u8],
        mut count: usize,
    ) -> Result<(), Error> {
        while count < data.len() {
            let mut chain = Chain::new();
            let written = chain.write(file, &data[count..], Offset::at(count));
            chain.sync(file, SyncMode::Full);
            let done = held.ring.run(chain)?;
            self.check(&done)?;
            match done.get(written)? {
                0 => return Err(unfit(Verb::Write, Errno::EIO, self.path)),
                more => count += more,
            }
        }
        Ok(())
    }

    fn put_in_place<M>(
        &self,
        held: &mut Held<'_, M>,
        directory: Descriptor,
        temporary: &str,
    ) -> Result<(), Error> {
        let mut chain = Chain::new();
        let renamed = chain.rename(directory, temporary, directory, self.name, RenameFlags::empty());
        let synced = chain.sync(directory, SyncMode::Full);
        let done = held.run_and_close(chain)?;
        done.get(renamed)?;
        held.keep_temporary();
        // What is durable by now no failed close takes back.
        done.get(synced).map_err(|error| about(error, self.path))
    }

    fn check(&self, done: &Done) -> Result<(), Error> {
        done.check().map_err(|error| about(error.into(), self.path))
    }
}

/// A name that no file has: no other process, no other start of this one, and no other call of this.
fn temporary_name() -> String {
    static START: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    // Only uniqueness matters.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY_PREFIX}{:x}-{start:016x}-{number:x}{TEMPORARY_SUFFIX}", std::process::id())
}
