//! The verbs on what files are besides their bytes: which of them the kernel's ring has, and the entries of those.
//!
//! The ring has GETXATTR and SETXATTR, for an open file and for a path that starts in the working directory; the rest
//! are plain calls of a helper (`backend::metadata`), since all of them may wait for storage. Nothing is pushed here.

use std::ffi::{c_char, c_void};

use ouzel_engine::{Attribute, Directory, Operation, Path, Span};
use ouzel_ring::modifiers::XattrFlags;
use ouzel_uring::abi::Opcode;
use ouzel_uring::{Sqe, Target};

use super::lower::{Route, text};
use super::setup::Features;

const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// Who does one of these verbs on this kernel.
pub(super) fn route(operation: &Operation, features: &Features) -> Route {
    let (attributed, [path, file]) = match *operation {
        Operation::GetXattr { directory, attribute, flags, .. } => {
            (attributed(directory, attribute.path(), flags), [Opcode::Getxattr, Opcode::Fgetxattr])
        }
        Operation::SetXattr { directory, attribute, flags, .. } => {
            (attributed(directory, attribute.path(), flags), [Opcode::Setxattr, Opcode::Fsetxattr])
        }
        Operation::Readlink { .. } => return Route::Helper("READLINK is not an io_uring operation"),
        Operation::Chmod { .. } => return Route::Helper("CHMOD is not an io_uring operation"),
        Operation::Chown { .. } => return Route::Helper("CHOWN is not an io_uring operation"),
        Operation::Utimes { .. } => return Route::Helper("UTIMES is not an io_uring operation"),
        Operation::Mknod { .. } => return Route::Helper("MKNOD is not an io_uring operation"),
        Operation::Statfs { .. } => return Route::Helper("STATFS is not an io_uring operation"),
        Operation::Access { .. } => return Route::Helper("ACCESS is not an io_uring operation"),
        Operation::ListXattr { .. } => return Route::Helper("LISTXATTR is not an io_uring operation"),
        _ => return Route::Helper("REMOVEXATTR is not an io_uring operation"),
    };
    let opcode = match attributed {
        Attributed::Path(_) => path,
        Attributed::File(_) => file,
        Attributed::Other => {
            return Route::Helper("io_uring takes no directory and no symbolic link for extended attributes");
        }
    };
    if features.has(opcode) {
        Route::Ring
    } else {
        Route::Helper("this kernel's io_uring has no extended attributes (Linux 5.19)")
    }
}

/// What the kernel's ring can name of a file with extended attributes.
pub(super) enum Attributed {
    /// What this path names, from the working directory on. `None` is the directory itself.
    Path(Option<Path>),
    /// What is open.
    File(u32),
    /// A path from an open directory on, or a symbolic link itself.
    Other,
}

/// What a verb on extended attributes names.
pub(super) fn attributed(directory: Directory, path: Option<Path>, flags: XattrFlags) -> Attributed {
    match (directory, path) {
        (Some(file), None) => Attributed::File(file),
        (None, path) if !flags.contains(XattrFlags::NOFOLLOW) => Attributed::Path(path),
        _ => Attributed::Other,
    }
}

/// GETXATTR of a path.
pub(super) fn get(path: Option<Path>, attribute: Attribute, value: Span) -> Sqe {
    Sqe::getxattr(path_text(path), text(attribute.name()), value.pointer.cast(), value.length as u32)
}

/// GETXATTR of what is open.
pub(super) fn get_of(file: Target, attribute: Attribute, value: Span) -> Sqe {
    Sqe::fgetxattr(file, text(attribute.name()), value.pointer.cast(), value.length as u32)
}

/// SETXATTR of a path.
pub(super) fn set(path: Option<Path>, attribute: Attribute, value: Span, flags: XattrFlags) -> Sqe {
    let (name, bytes) = (text(attribute.name()), value.pointer.cast::<c_void>().cast_const());
    Sqe::setxattr(path_text(path), name, bytes, value.length as u32, bits(flags))
}

/// SETXATTR of what is open.
pub(super) fn set_of(file: Target, attribute: Attribute, value: Span, flags: XattrFlags) -> Sqe {
    let (name, bytes) = (text(attribute.name()), value.pointer.cast::<c_void>().cast_const());
    Sqe::fsetxattr(file, name, bytes, value.length as u32, bits(flags))
}

fn path_text(path: Option<Path>) -> *const c_char {
    path.map_or(c".".as_ptr(), text)
}

fn bits(flags: XattrFlags) -> u32 {
    let mut bits = 0;
    if flags.contains(XattrFlags::CREATE) {
        bits |= XATTR_CREATE;
    }
    if flags.contains(XattrFlags::REPLACE) {
        bits |= XATTR_REPLACE;
    }
    bits
}
