//! `ouzel mount`: a service as a file system, so that any program is a client of it.
//!
//! The kernel's calls (`front`) become chains on rings to the service (`connections`); what the kernel calls by number
//! has a path there (`nodes`). The kernel checks permissions, by what the service says of owners and modes; what is made is
//! given to who asked for it. The mount outlives the service: while it is away every call fails with EIO, and when it is
//! back everything goes on.

mod attributes;
mod bridge;
mod connections;
mod contents;
mod extended;
mod front;
mod held;
mod listing;
mod names;
mod nodes;
mod reach;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use ouzel::scheme::Name;
use rustix::mount::UnmountFlags;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use self::bridge::Bridge;
use self::front::Front;
use crate::args::MountArguments;
use crate::command::CommandError;
use crate::ring_machine::raise_descriptor_limit;

/// How long what was unmounted may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// Calls of the kernel that are answered at once.
const THREADS: usize = 8;

/// Why a service is not mounted, or not any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountError {
    /// It cannot be reached.
    #[error("cannot mount {name}: {cause}")]
    Service {
        /// Its name.
        name: String,
        /// Why.
        cause: ouzel::Error,
    },
    /// The directory is none.
    #[error("cannot mount at {}: {cause}: {remedy}", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        cause: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The kernel, or the program that asks it for others than root, refuses.
    #[error("cannot mount at {}: {cause}: {remedy}", directory.display())]
    Refused {
        /// Where.
        directory: PathBuf,
        /// Why.
        cause: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The kernel's calls cannot be taken any more.
    #[error("the mount at {} has ended: {cause}", directory.display())]
    Ended {
        /// Where.
        directory: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// What ends a mount.
enum End {
    /// It was unmounted, and the kernel asks for nothing more.
    Unmounted(io::Result<()>),
    /// It has no place in the tree of files any more, but somebody has files of it open.
    Detached,
}

/// Mounts until somebody unmounts, or a signal says so.
///
/// # Errors
///
/// Those of the service, of the directory, and of mounting.
pub fn run(arguments: &MountArguments) -> Result<bool, CommandError> {
    let failed = |error: MountError| CommandError::Mount(Box::new(error));
    let name = Name::parse(&arguments.name).map_err(|error| CommandError::Usage(error.to_string()))?;
    let name = format!("{}:", name.as_str());
    let directory = check(&arguments.directory).map_err(failed)?;
    // As many as the system lets a process have: each connection takes several.
    raise_descriptor_limit(u64::MAX);
    let bridge =
        Bridge::new(&name).map_err(|cause| failed(MountError::Service { name: name.clone(), cause }))?;
    let mut session = Session::new(Front::new(Arc::new(bridge)), &directory, &options(arguments, &name))
        .map_err(|cause| failed(refused(&directory, cause)))?;
    let (sender, ends) = channel();
    unmount_on_signals(session.unmount_callable(), directory.clone(), sender.clone())
        .map_err(CommandError::Output)?;
    writeln!(io::stderr(), "mounted {name} at {}", directory.display()).unwrap_or_default();
    thread::Builder::new()
        .name("mount".to_owned())
        .spawn(move || sender.send(End::Unmounted(session.run())).unwrap_or_default())
        .map_err(CommandError::Output)?;
    match ends.recv() {
        Ok(End::Unmounted(Err(cause))) => Err(failed(MountError::Ended { directory, cause })),
        _ => {
            writeln!(io::stderr(), "{name} is unmounted").unwrap_or_default();
            Ok(true)
        }
    }
}

/// The directory, by the name that it has wherever one is.
fn check(directory: &Path) -> Result<PathBuf, MountError> {
    let wrong = |cause: io::Error| {
        let remedy = match rustix::io::Errno::from_io_error(&cause) {
            // What a mount leaves whose process was killed.
            Some(rustix::io::Errno::NOTCONN) => format!("umount {}", directory.display()),
            Some(rustix::io::Errno::NOENT) => "make it first".to_owned(),
            _ => "a directory that is there is wanted".to_owned(),
        };
        MountError::Directory { directory: directory.to_path_buf(), cause, remedy }
    };
    let found = directory.canonicalize().map_err(wrong)?;
    match found.metadata().map_err(wrong)?.is_dir() {
        true => Ok(found),
        false => Err(wrong(io::ErrorKind::NotADirectory.into())),
    }
}

fn options(arguments: &MountArguments, name: &str) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(name.to_owned()),
        MountOption::Subtype("ouzel".to_owned()),
        MountOption::DefaultPermissions,
    ];
    if arguments.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if arguments.allow_other || rustix::process::geteuid().is_root() {
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}

/// What a refusal to mount is about.
fn refused(directory: &Path, cause: io::Error) -> MountError {
    let remedy = if !Path::new("/dev/fuse").exists() {
        "the kernel has no FUSE here: load it with `modprobe fuse`, or let this container have /dev/fuse"
    } else if rustix::process::geteuid().is_root() {
        "mounting needs CAP_SYS_ADMIN, which a container may have to be given"
    } else if cause.kind() == io::ErrorKind::NotFound {
        "others than root mount with fusermount3: install it (Debian: fuse3), or be root"
    } else if cause.to_string().contains("user_allow_other") {
        "others than root may say --allow-other only where /etc/fuse.conf says user_allow_other"
    } else {
        "others than root need a directory of their own and the right to use /dev/fuse"
    };
    MountError::Refused { directory: directory.to_path_buf(), cause, remedy }
}

fn unmount_on_signals(
    mut session: SessionUnmounter,
    directory: PathBuf,
    ends: Sender<End>,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_none() {
            return;
        }
        match session.unmount() {
            // For others than root it may be gone from the tree of files and still be in use.
            Ok(()) => thread::sleep(GRACE),
            Err(_) => rustix::mount::unmount(&directory, UnmountFlags::DETACH).unwrap_or_default(),
        }
        ends.send(End::Detached).unwrap_or_default();
    })?;
    Ok(())
}
