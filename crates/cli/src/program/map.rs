//! From one phase to the next: the one place that names the role of every operand.

use super::stored::{Argument, Called};
use super::syntax::{Arithmetic, Asked, Data, Operation, Phase, Step};

/// What an operation wants of an open object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRole {
    /// Anything that is open.
    Any,
    /// To be closed: anything open that this program opened.
    Closed,
    /// Bytes are read from it.
    Source,
    /// Bytes are written to it.
    Target,
    /// A regular file's position, length or storage.
    Regular,
    /// A place where paths start, or a directory to be listed.
    Directory,
    /// A socket.
    Socket,
}

/// What an operation wants of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueRole {
    /// The bytes that came with it.
    Data,
    /// Its number.
    Number,
    /// The buffer that it names.
    Buffer,
}

/// What a number is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberRole {
    /// The size of a buffer that the command allocates.
    Buffer,
    /// A length or count.
    Length,
    /// A place in a file: at most `i64::MAX`.
    Offset,
    /// A length that may not be 0.
    Nonzero,
    /// How many connections may wait.
    Backlog,
    /// Any number at all.
    Any,
    /// By how many bits a number is shifted.
    Shift,
    /// How often a loop may run.
    Turns,
    /// A number of 32 bits other than the last, which is needed before the chain starts.
    Small,
}

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextRole {
    /// A path.
    Path,
    /// Data to transfer.
    Data,
    /// The name of an extended attribute.
    Attribute,
}

/// Turns the operands of phase `P` into those of phase `Q`.
pub(super) trait Mapper<P: Phase, Q: Phase> {
    type Error;
    fn file(&mut self, file: &P::File, role: FileRole) -> Result<Q::File, Self::Error>;
    fn value(&mut self, value: &P::Value, role: ValueRole) -> Result<Q::Value, Self::Error>;
    fn number(&mut self, number: &P::Number, role: NumberRole) -> Result<Q::Number, Self::Error>;
    fn text(&mut self, text: &P::Text, role: TextRole) -> Result<Q::Text, Self::Error>;
    fn duration(&mut self, duration: &P::Duration) -> Result<Q::Duration, Self::Error>;
    fn address(&mut self, address: &P::Address) -> Result<Q::Address, Self::Error>;
    /// The stored program that is called, and what it is passed.
    fn call(&mut self, program: &P::Callee, arguments: &[Argument<P>]) -> Result<Called<Q>, Self::Error>;

    fn directory(&mut self, directory: &Option<P::File>) -> Result<Option<Q::File>, Self::Error> {
        directory.as_ref().map(|file| self.file(file, FileRole::Directory)).transpose()
    }

    fn optional(
        &mut self,
        number: &Option<P::Number>,
        role: NumberRole,
    ) -> Result<Option<Q::Number>, Self::Error> {
        number.as_ref().map(|number| self.number(number, role)).transpose()
    }

    fn data(&mut self, data: &Data<P>) -> Result<Data<Q>, Self::Error> {
        Ok(match data {
            Data::Text(text) => Data::Text(self.text(text, TextRole::Data)?),
            Data::Result(value) => Data::Result(self.value(value, ValueRole::Data)?),
            Data::First(buffer, length) => {
                Data::First(self.value(buffer, ValueRole::Buffer)?, self.number(length, NumberRole::Length)?)
            }
        })
    }

    fn asked(&mut self, asked: &Asked<P>) -> Result<Asked<Q>, Self::Error> {
        let mut any = |number: &P::Number| self.number(number, NumberRole::Any);
        Ok(match asked {
            Asked::Zero(number) => Asked::Zero(any(number)?),
            Asked::Positive(number) => Asked::Positive(any(number)?),
            Asked::Equals(number, other) => Asked::Equals(any(number)?, any(other)?),
            Asked::Less(number, other) => Asked::Less(any(number)?, any(other)?),
            Asked::Full => Asked::Full,
            Asked::Short => Asked::Short,
            Asked::Failed => Asked::Failed,
        })
    }
}

impl<P: Phase> Operation<P> {
    /// The same operation with the operands of another phase; operands are visited in the order they are written.
    pub(super) fn map<Q: Phase, M: Mapper<P, Q>>(&self, m: &mut M) -> Result<Operation<Q>, M::Error> {
        use FileRole as File;
        use NumberRole as Number;
        Ok(match self {
            Operation::Nop => Operation::Nop,
            Operation::Read { file, size, offset } => Operation::Read {
                file: m.file(file, File::Source)?,
                size: m.number(size, Number::Buffer)?,
                offset: m.optional(offset, Number::Offset)?,
            },
            Operation::Write { file, data, offset } => Operation::Write {
                file: m.file(file, File::Target)?,
                data: m.data(data)?,
                offset: m.optional(offset, Number::Offset)?,
            },
            Operation::Poll { file, events } => {
                Operation::Poll { file: m.file(file, File::Any)?, events: *events }
            }
            Operation::Open { path, flags, mode, directory } => Operation::Open {
                path: m.text(path, TextRole::Path)?,
                flags: *flags,
                mode: *mode,
                directory: m.directory(directory)?,
            },
            Operation::Close { file } => Operation::Close { file: m.file(file, File::Closed)? },
            Operation::Seek { file, whence, backwards, offset } => Operation::Seek {
                file: m.file(file, File::Regular)?,
                whence: *whence,
                backwards: *backwards,
                offset: m.number(offset, Number::Offset)?,
            },
            Operation::StatPath { path, flags, directory } => Operation::StatPath {
                path: m.text(path, TextRole::Path)?,
                flags: *flags,
                directory: m.directory(directory)?,
            },
            Operation::StatFile { file } => Operation::StatFile { file: m.file(file, File::Any)? },
            Operation::Sync { file, mode, length, offset } => Operation::Sync {
                file: m.file(file, File::Regular)?,
                mode: *mode,
                length: m.optional(length, Number::Nonzero)?,
                offset: m.optional(offset, Number::Offset)?,
            },
            Operation::Truncate { file, length } => Operation::Truncate {
                file: m.file(file, File::Regular)?,
                length: m.number(length, Number::Offset)?,
            },
            Operation::Allocate { file, length, offset, flags } => Operation::Allocate {
                file: m.file(file, File::Regular)?,
                length: m.number(length, Number::Nonzero)?,
                offset: m.optional(offset, Number::Offset)?,
                flags: *flags,
            },
            Operation::Mkdir { path, mode, directory } => Operation::Mkdir {
                path: m.text(path, TextRole::Path)?,
                mode: *mode,
                directory: m.directory(directory)?,
            },
            Operation::Remove { path, flags, directory } => Operation::Remove {
                path: m.text(path, TextRole::Path)?,
                flags: *flags,
                directory: m.directory(directory)?,
            },
            Operation::Rename { from, from_directory, to, to_directory, flags } => Operation::Rename {
                from: m.text(from, TextRole::Path)?,
                from_directory: m.directory(from_directory)?,
                to: m.text(to, TextRole::Path)?,
                to_directory: m.directory(to_directory)?,
                flags: *flags,
            },
            Operation::Link { from, from_directory, to, to_directory, flags } => Operation::Link {
                from: m.text(from, TextRole::Path)?,
                from_directory: m.directory(from_directory)?,
                to: m.text(to, TextRole::Path)?,
                to_directory: m.directory(to_directory)?,
                flags: *flags,
            },
            Operation::Symlink { target, path, directory } => Operation::Symlink {
                target: m.text(target, TextRole::Path)?,
                path: m.text(path, TextRole::Path)?,
                directory: m.directory(directory)?,
            },
            Operation::Readdir { directory, size } => Operation::Readdir {
                directory: m.file(directory, File::Directory)?,
                size: m.number(size, Number::Buffer)?,
            },
            Operation::Copy { source, source_offset, target, target_offset, length } => Operation::Copy {
                source: m.file(source, File::Source)?,
                source_offset: m.optional(source_offset, Number::Offset)?,
                target: m.file(target, File::Target)?,
                target_offset: m.optional(target_offset, Number::Offset)?,
                length: m.number(length, Number::Length)?,
            },
            Operation::Splice { source, source_offset, target, target_offset, length } => Operation::Splice {
                source: m.file(source, File::Source)?,
                source_offset: m.optional(source_offset, Number::Offset)?,
                target: m.file(target, File::Target)?,
                target_offset: m.optional(target_offset, Number::Offset)?,
                length: m.number(length, Number::Length)?,
            },
            Operation::Lock { file, mode, length, offset } => Operation::Lock {
                file: m.file(file, File::Regular)?,
                mode: *mode,
                length: m.optional(length, Number::Nonzero)?,
                offset: m.optional(offset, Number::Offset)?,
            },
            Operation::Pipe => Operation::Pipe,
            Operation::Socket { kind } => Operation::Socket { kind: *kind },
            Operation::Bind { socket, address } => {
                Operation::Bind { socket: m.file(socket, File::Socket)?, address: m.address(address)? }
            }
            Operation::Listen { socket, backlog } => Operation::Listen {
                socket: m.file(socket, File::Socket)?,
                backlog: m.optional(backlog, Number::Backlog)?,
            },
            Operation::Accept { socket } => Operation::Accept { socket: m.file(socket, File::Socket)? },
            Operation::Connect { socket, address } => {
                Operation::Connect { socket: m.file(socket, File::Socket)?, address: m.address(address)? }
            }
            Operation::Send { socket, data, flags } => {
                Operation::Send { socket: m.file(socket, File::Socket)?, data: m.data(data)?, flags: *flags }
            }
            Operation::Recv { socket, size, flags } => Operation::Recv {
                socket: m.file(socket, File::Socket)?,
                size: m.number(size, Number::Buffer)?,
                flags: *flags,
            },
            Operation::Shutdown { socket, how } => {
                Operation::Shutdown { socket: m.file(socket, File::Socket)?, how: *how }
            }
            Operation::Sockname { socket } => Operation::Sockname { socket: m.file(socket, File::Socket)? },
            Operation::Peername { socket } => Operation::Peername { socket: m.file(socket, File::Socket)? },
            Operation::Sleep { duration } => Operation::Sleep { duration: m.duration(duration)? },
            Operation::Get { value } => Operation::Get { value: m.value(value, ValueRole::Number)? },
            Operation::Deadline { duration } => Operation::Deadline { duration: m.duration(duration)? },
            Operation::Buffer { size } => Operation::Buffer { size: m.number(size, Number::Buffer)? },
            Operation::ReadInto { file, buffer, first, offset } => Operation::ReadInto {
                file: m.file(file, File::Source)?,
                buffer: m.value(buffer, ValueRole::Buffer)?,
                first: m.optional(first, Number::Length)?,
                offset: m.optional(offset, Number::Offset)?,
            },
            Operation::RecvInto { socket, buffer, first, flags } => Operation::RecvInto {
                socket: m.file(socket, File::Socket)?,
                buffer: m.value(buffer, ValueRole::Buffer)?,
                first: m.optional(first, Number::Length)?,
                flags: *flags,
            },
            Operation::Set { value } => Operation::Set { value: m.number(value, Number::Any)? },
            Operation::Compute { what, a, b } => {
                let shift = matches!(what, Arithmetic::Left | Arithmetic::Right);
                let a = m.number(a, Number::Any)?;
                let b = m.number(b, if shift { Number::Shift } else { Number::Any })?;
                Operation::Compute { what: *what, a, b }
            }
            Operation::Load { from, width, offset } => Operation::Load {
                from: m.value(from, ValueRole::Data)?,
                width: *width,
                offset: m.optional(offset, Number::Any)?,
            },
            Operation::If { asked, not, leave, otherwise } => {
                Operation::If { asked: m.asked(asked)?, not: *not, leave: *leave, otherwise: *otherwise }
            }
            Operation::Else => Operation::Else,
            Operation::Repeat { bound } => Operation::Repeat { bound: m.number(bound, Number::Turns)? },
            Operation::End => Operation::End,
            Operation::Leave(leave) => Operation::Leave(*leave),
            Operation::Metadata(metadata) => Operation::Metadata(metadata.map(m)?),
            Operation::Call { program, arguments } => {
                let (program, arguments) = m.call(program, arguments)?;
                Operation::Call { program, arguments }
            }
        })
    }
}

impl<P: Phase> Step<P> {
    /// The same step with the operands of another phase.
    pub(super) fn map<Q: Phase, M: Mapper<P, Q>>(&self, m: &mut M) -> Result<Step<Q>, M::Error> {
        Ok(Step {
            operation: self.operation.map(m)?,
            hard: self.hard,
            finally: self.finally,
            tolerated: self.tolerated,
            silent: self.silent,
            timeout: self.timeout.as_ref().map(|timeout| m.duration(timeout)).transpose()?,
            line: self.line,
        })
    }
}
