//! Services: who answers verbs with code of their own.
//!
//! [`Scheme`] has one method for each verb, and each may take its time: what it waits for is its own business. [`Simple`] is the
//! same for those who always have an answer. Whatever a service does not answer is ENOSYS. Chains, registers, descriptors,
//! timeouts and cancels are the engine's: a method is one operation, checked, and dropped if it is given up.

use std::rc::Rc;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AllocateFlags, AtFlags, LinkFlags, LockMode, NodeKind, OpenFlags, PollEvents,
    RemoveFlags, RenameFlags, StatFlags, SyncMode, Whence, XattrFlags,
};

use crate::Bytes;
pub use ouzel_engine::{Position, Times};

/// Where a relative path starts: at a file that is open, or where the service begins.
pub type At<'a, F> = Option<&'a F>;

/// Writes both traits, and makes one of the other, from one list of verbs.
macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        /// A service, each of whose answers may take its time: one method for each verb, ENOSYS unless it is answered.
        ///
        /// Chains, registers, descriptors, timeouts and cancels are the engine's. A method is one operation whose arguments have
        /// been checked, and its future is dropped if the operation is given up. Errors are completions' errors.
        ///
        /// There is one for each connection; what connections have in common they share behind an [`Rc`].
        #[allow(async_fn_in_trait, reason = "a service runs on one thread")]
        pub trait Scheme: 'static {
            /// What a descriptor stands for. It is dropped when the descriptor is closed and no operation uses it.
            type File: 'static;
            $(
                $(#[doc = $doc])*
                #[allow(clippy::too_many_arguments)]
                async fn $name(&self, $($argument: $kind),*) -> Result<$result, Errno> {
                    $(let _ = $argument;)*
                    Err(Errno::ENOSYS)
                }
            )*
        }

        /// A service that always has an answer at once; [`AtOnce`] makes a [`Scheme`] of it.
        pub trait Simple: 'static {
            /// What a descriptor stands for, as [`Scheme::File`].
            type File: 'static;
            $(
                $(#[doc = $doc])*
                #[allow(clippy::too_many_arguments)]
                fn $name(&self, $($argument: $kind),*) -> Result<$result, Errno> {
                    $(let _ = $argument;)*
                    Err(Errno::ENOSYS)
                }
            )*
        }

        impl<S: Simple> Scheme for AtOnce<S> {
            type File = S::File;
            $(
                async fn $name(&self, $($argument: $kind),*) -> Result<$result, Errno> {
                    self.0.$name($($argument),*)
                }
            )*
        }
    };
}

/// A [`Simple`] service as a [`Scheme`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AtOnce<S>(pub S);

verbs! {
    /// OPEN.
    open(at: At<'_, Self::File>, path: &[u8], flags: OpenFlags, mode: u32) -> Self::File;
    /// CLOSE: the descriptor is gone whatever this returns. Others may still use the file.
    close(file: Rc<Self::File>) -> ();
    /// READ. Returns how many bytes it has put into `into`; 0 at the end.
    read(file: &Self::File, into: &Bytes, position: Position) -> u64;
    /// WRITE. Returns how many bytes of `from` it has taken.
    write(file: &Self::File, from: &Bytes, position: Position) -> u64;
    /// POLL. Returns those of `events` that are there, once there is one.
    poll(file: &Self::File, events: PollEvents) -> PollEvents;
    /// SEEK. Returns the new position.
    seek(file: &Self::File, offset: i64, whence: Whence) -> u64;
    /// STAT of a path, or of `at` itself. Puts a record of 256 bytes (`struct statx`) into `record`.
    stat(at: At<'_, Self::File>, path: Option<&[u8]>, record: &Bytes, flags: StatFlags) -> ();
    /// SYNC; of `length` bytes (0: to the end) from `offset` on if the mode is [`SyncMode::Range`].
    sync(file: &Self::File, mode: SyncMode, offset: u64, length: u64) -> ();
    /// TRUNCATE.
    truncate(file: &Self::File, length: u64) -> ();
    /// ALLOCATE.
    allocate(file: &Self::File, offset: u64, length: u64, flags: AllocateFlags) -> ();
    /// MKDIR.
    mkdir(at: At<'_, Self::File>, path: &[u8], mode: u32) -> ();
    /// REMOVE.
    remove(at: At<'_, Self::File>, path: &[u8], flags: RemoveFlags) -> ();
    /// RENAME.
    rename(from: At<'_, Self::File>, old: &[u8], to: At<'_, Self::File>, new: &[u8], flags: RenameFlags) -> ();
    /// LINK.
    link(from: At<'_, Self::File>, old: &[u8], to: At<'_, Self::File>, new: &[u8], flags: LinkFlags) -> ();
    /// SYMLINK.
    symlink(target: &[u8], at: At<'_, Self::File>, path: &[u8]) -> ();
    /// READDIR. Returns how many bytes of records (`struct linux_dirent64`) it has put into `into`; 0 at the end.
    readdir(file: &Self::File, into: &Bytes) -> u64;
    /// COPY, both in this service. Returns how many bytes were copied; 0 at the end.
    copy(source: &Self::File, from: Position, target: &Self::File, to: Position, length: u64) -> u64;
    /// READLINK of a path, or of `at` itself. Returns how many bytes the target has, and puts them into `into` if there is room
    /// for all; if there is not, the client has ERANGE, or with an empty `into` the length.
    readlink(at: At<'_, Self::File>, path: Option<&[u8]>, into: &Bytes) -> u64;
    /// CHMOD.
    chmod(at: At<'_, Self::File>, path: Option<&[u8]>, mode: u32) -> ();
    /// CHOWN. `None` leaves one as it is.
    chown(at: At<'_, Self::File>, path: Option<&[u8]>, user: Option<u32>, group: Option<u32>, flags: AtFlags) -> ();
    /// UTIMES. With `follow` a last symbolic link is followed.
    utimes(at: At<'_, Self::File>, path: Option<&[u8]>, times: Times, follow: bool) -> ();
    /// MKNOD.
    mknod(at: At<'_, Self::File>, path: &[u8], kind: NodeKind, mode: u32, device: u64) -> ();
    /// STATFS. Puts a record of 96 bytes into `record`.
    statfs(at: At<'_, Self::File>, path: Option<&[u8]>, record: &Bytes) -> ();
    /// ACCESS.
    access(at: At<'_, Self::File>, path: Option<&[u8]>, access: AccessFlags, options: AccessOptions) -> ();
    /// GETXATTR. Returns how many bytes the value has; otherwise as `readlink`.
    getxattr(at: At<'_, Self::File>, path: Option<&[u8]>, name: &[u8], into: &Bytes, flags: XattrFlags) -> u64;
    /// SETXATTR.
    setxattr(at: At<'_, Self::File>, path: Option<&[u8]>, name: &[u8], value: &Bytes, flags: XattrFlags) -> ();
    /// LISTXATTR. Returns how many bytes the names have; otherwise as `readlink`.
    listxattr(at: At<'_, Self::File>, path: Option<&[u8]>, into: &Bytes, flags: XattrFlags) -> u64;
    /// REMOVEXATTR.
    removexattr(at: At<'_, Self::File>, path: Option<&[u8]>, name: &[u8], flags: XattrFlags) -> ();
    /// LOCK of `length` bytes (0: to the end) from `offset` on.
    lock(file: &Self::File, offset: u64, length: u64, mode: LockMode) -> ();
    /// WAKE: adds `amount` to a bell.
    wake(file: &Self::File, amount: u64) -> ();
}
