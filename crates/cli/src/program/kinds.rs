//! What results are, and what can be done with each.

use ouzel_ring::modifiers::OpenFlags;

use super::map::FileRole;
use super::syntax::{Operation, Written};

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or directory, opened with these flags.
    File(OpenFlags),
    /// The end of a pipe that is read.
    ReadEnd,
    /// The end of a pipe that is written.
    WriteEnd,
    /// A socket.
    Socket,
    /// A count of bytes that were read or received, and those bytes.
    Data,
    /// The records of a directory, as many bytes as the result says.
    Entries,
    /// A count of bytes that were written, sent or copied.
    Count,
    /// A position in a file.
    Position,
    /// Events that poll found.
    Events,
    /// The record that stat filled.
    Status,
    /// The address of a socket.
    Address,
    /// The record that statfs filled.
    FileSystem,
    /// The names of extended attributes, as many bytes as the result says.
    Names,
    /// A number that get took out of a register, or that was worked out.
    Value,
    /// A buffer that several statements use.
    Buffer,
    /// Something open that a stored program is passed, or that one of a service's gives.
    Object,
    /// A path or data that a stored program is passed.
    Passed,
}

impl Kind {
    /// Whether it is an open object.
    pub fn is_open(self) -> bool {
        matches!(self, Kind::File(_) | Kind::ReadEnd | Kind::WriteEnd | Kind::Socket | Kind::Object)
    }

    /// Whether it is a count of bytes that were moved.
    pub fn counts_bytes(self) -> bool {
        matches!(self, Kind::Data | Kind::Entries | Kind::Names | Kind::Count)
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Kind::File(flags) if flags.contains(OpenFlags::DIRECTORY) => "a directory",
            Kind::File(_) => "a file",
            Kind::ReadEnd => "the read end of a pipe",
            Kind::WriteEnd => "the write end of a pipe",
            Kind::Socket => "a socket",
            Kind::Data => "a count of bytes read",
            Kind::Entries => "a directory's records",
            Kind::Count => "a count of bytes",
            Kind::Position => "a position",
            Kind::Events => "a set of events",
            Kind::Status => "a file's description",
            Kind::FileSystem => "a file system's description",
            Kind::Names => "names of attributes",
            Kind::Address => "a socket's address",
            Kind::Value => "a number",
            Kind::Buffer => "a buffer",
            Kind::Object => "something open",
            Kind::Passed => "a path or data that is passed",
        }
    }
}

/// What the results of an operation are.
pub(super) fn produced(operation: &Operation<Written>) -> Vec<Kind> {
    match operation {
        Operation::Read { .. } | Operation::Recv { .. } => vec![Kind::Data],
        Operation::Write { .. }
        | Operation::Send { .. }
        | Operation::Copy { .. }
        | Operation::Splice { .. } => vec![Kind::Count],
        Operation::Sockname { .. } | Operation::Peername { .. } => vec![Kind::Address],
        Operation::Poll { .. } => vec![Kind::Events],
        Operation::Open { flags, .. } => vec![Kind::File(*flags)],
        Operation::Seek { .. } => vec![Kind::Position],
        Operation::StatPath { .. } | Operation::StatFile { .. } => vec![Kind::Status],
        Operation::Readdir { .. } => vec![Kind::Entries],
        Operation::Pipe => vec![Kind::ReadEnd, Kind::WriteEnd],
        Operation::Socket { .. } | Operation::Accept { .. } => vec![Kind::Socket],
        Operation::Get { .. } => vec![Kind::Value],
        Operation::Set { .. } | Operation::Compute { .. } | Operation::Load { .. } => vec![Kind::Value],
        Operation::ReadInto { .. } | Operation::RecvInto { .. } => vec![Kind::Data],
        Operation::Buffer { .. } => vec![Kind::Buffer],
        Operation::Metadata(metadata) => metadata.produced().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What `role` wants, if `kind` certainly is not that.
pub(super) fn misfit(kind: Kind, role: FileRole) -> Option<&'static str> {
    if !kind.is_open() {
        return Some("something open");
    }
    if kind == Kind::Object {
        return None;
    }
    let opened = |flag: OpenFlags| matches!(kind, Kind::File(flags) if flags.contains(flag));
    let is_file = matches!(kind, Kind::File(_));
    let (fits, wanted) = match role {
        FileRole::Any | FileRole::Closed => (true, ""),
        FileRole::Source => (
            matches!(kind, Kind::ReadEnd | Kind::Socket)
                || (opened(OpenFlags::READ) && !opened(OpenFlags::DIRECTORY)),
            "something opened to `read`",
        ),
        FileRole::Target => (
            matches!(kind, Kind::WriteEnd | Kind::Socket) || opened(OpenFlags::WRITE),
            "something opened to `write`",
        ),
        FileRole::Regular => (is_file && !opened(OpenFlags::PATH), "an open file"),
        FileRole::Directory => (is_file && !opened(OpenFlags::WRITE), "a directory"),
        FileRole::Socket => (kind == Kind::Socket, "a socket"),
    };
    (!fits).then_some(wanted)
}
