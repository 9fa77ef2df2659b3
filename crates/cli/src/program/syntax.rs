//! The tree of a program: steps and operations, in three phases that share one definition.
//!
//! A [`Phase`] says what an operand is. As written ([`Written`]) it is a name with its place; in a checked program it
//! is the earlier result it stands for; in a bound program nothing is left but constants and results. The phases go
//! from one to the next through [`Operation::map`], which names the role of every operand once.

use std::fmt::Debug;

use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, LockMode, MessageFlags, OpenFlags, Overflow, PollEvents, RemoveFlags,
    RenameFlags, ShutdownHow, StatFlags, SyncMode, Whence,
};

use super::Span;
use super::metadata::Metadata;
use super::stored::{Argument, Header};
pub use super::width::Width;

/// What the operands of an operation are.
pub trait Phase: Clone + Debug + PartialEq {
    /// An open object.
    type File: Clone + Debug + PartialEq;
    /// A result that is not an open object.
    type Value: Clone + Debug + PartialEq;
    /// A size, length, offset or count.
    type Number: Clone + Debug + PartialEq;
    /// A path or data.
    type Text: Clone + Debug + PartialEq;
    /// A duration.
    type Duration: Clone + Debug + PartialEq;
    /// A socket address.
    type Address: Clone + Debug + PartialEq;
    /// A stored program.
    type Callee: Clone + Debug + PartialEq;
}

/// The phase of what was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written;

impl Phase for Written {
    type File = Name;
    type Value = Name;
    type Number = Located<Amount<Name>>;
    type Text = Located<Template>;
    type Duration = Located<Wait>;
    type Address = Located<Template>;
    type Callee = Name;
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Something and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The thing.
    pub item: T,
    /// Where.
    pub span: Span,
}

/// A number that may come from a parameter or from an earlier result.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount<N> {
    /// A constant.
    Literal(u64),
    /// The value of a parameter.
    Parameter(String),
    /// An earlier result, taken out of its register when the step is dispatched.
    Result(N),
}

/// A duration in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// A constant.
    Literal(u64),
    /// The value of a parameter.
    Parameter(String),
}

/// Bytes with parameters in them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Template {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// The value of a parameter.
    Parameter(String),
}

impl Template {
    /// The names of the parameters in it, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Bytes(_) => None,
        })
    }

    /// The bytes, if there is no parameter in it.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::Parameter(_) => return None,
            }
        }
        Some(bytes)
    }
}

/// What WRITE and SEND transfer.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<P: Phase> {
    /// Bytes of the program.
    Text(P::Text),
    /// The bytes that an earlier read or receive got, as many as it got, or a whole buffer.
    Result(P::Value),
    /// The first bytes of a buffer.
    First(P::Value, P::Number),
}

/// What a `set`, `add` and the like work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `add A B`
    Add(Overflow),
    /// `sub A B`
    Sub(Overflow),
    /// `min A B`
    Min,
    /// `and A B`
    And,
    /// `shift A left DISTANCE`
    Left,
    /// `shift A right DISTANCE`
    Right,
}

/// What an `if` asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked<P: Phase> {
    /// `N zero`
    Zero(P::Number),
    /// `N positive`
    Positive(P::Number),
    /// `N equals M`
    Equals(P::Number, P::Number),
    /// `N less M`
    Less(P::Number, P::Number),
    /// `last full`
    Full,
    /// `last short`
    Short,
    /// `last failed`
    Failed,
}

/// Where a statement goes instead of on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// `stop`: the chain ends successfully.
    Stop,
    /// `break`: the loop ends.
    Break,
    /// `next`: the loop goes on with its next turn.
    Next,
}

impl Leave {
    /// The word in a program.
    pub fn word(self) -> &'static str {
        match self {
            Leave::Stop => "stop",
            Leave::Break => "break",
            Leave::Next => "next",
        }
    }
}

/// The sockets that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
    /// A UNIX stream.
    Unix,
    /// UNIX datagrams.
    UnixDatagram,
    /// UNIX packets in sequence.
    UnixPacket,
}

impl SocketKind {
    /// The word in a program.
    pub fn word(self) -> &'static str {
        match self {
            SocketKind::Tcp => "tcp",
            SocketKind::Tcp6 => "tcp6",
            SocketKind::Udp => "udp",
            SocketKind::Udp6 => "udp6",
            SocketKind::Unix => "unix",
            SocketKind::UnixDatagram => "unix datagram",
            SocketKind::UnixPacket => "unix packet",
        }
    }

    /// Argument 0 of SOCKET: 1 for UNIX, 2 for IPv4, 10 for IPv6.
    pub fn domain(self) -> u64 {
        match self {
            SocketKind::Tcp | SocketKind::Udp => 2,
            SocketKind::Tcp6 | SocketKind::Udp6 => 10,
            SocketKind::Unix | SocketKind::UnixDatagram | SocketKind::UnixPacket => 1,
        }
    }

    /// Argument 1 of SOCKET: 1 for a stream, 2 for datagrams, 5 for packets in sequence.
    pub fn type_number(self) -> u64 {
        match self {
            SocketKind::Tcp | SocketKind::Tcp6 | SocketKind::Unix => 1,
            SocketKind::Udp | SocketKind::Udp6 | SocketKind::UnixDatagram => 2,
            SocketKind::UnixPacket => 5,
        }
    }
}

/// An operation with its operands. `docs/program.md` describes each; a missing directory is the working directory,
/// a missing offset the current position.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The fields are the operands that the statement's page names.
pub enum Operation<P: Phase> {
    /// `nop`
    Nop,
    /// `read FILE SIZE [at OFFSET]`
    Read { file: P::File, size: P::Number, offset: Option<P::Number> },
    /// `write FILE DATA [at OFFSET]`
    Write { file: P::File, data: Data<P>, offset: Option<P::Number> },
    /// `poll FILE EVENT…`
    Poll { file: P::File, events: PollEvents },
    /// `open PATH WORD… [mode MODE] [in DIR]`
    Open { path: P::Text, flags: OpenFlags, mode: u64, directory: Option<P::File> },
    /// `close FILE`
    Close { file: P::File },
    /// `seek FILE to|by|end OFFSET`; `backwards` negates the offset
    Seek { file: P::File, whence: Whence, backwards: bool, offset: P::Number },
    /// `stat PATH [nofollow] [in DIR]`
    StatPath { path: P::Text, flags: StatFlags, directory: Option<P::File> },
    /// `stat FILE`
    StatFile { file: P::File },
    /// `sync FILE [data | range [LENGTH] [at OFFSET]]`; a missing length is "to the end"
    Sync { file: P::File, mode: SyncMode, length: Option<P::Number>, offset: Option<P::Number> },
    /// `truncate FILE to LENGTH`
    Truncate { file: P::File, length: P::Number },
    /// `allocate FILE LENGTH [at OFFSET] [keep] [punch]`; a missing offset is 0
    Allocate { file: P::File, length: P::Number, offset: Option<P::Number>, flags: AllocateFlags },
    /// `mkdir PATH [mode MODE] [in DIR]`
    Mkdir { path: P::Text, mode: u64, directory: Option<P::File> },
    /// `remove PATH [directory] [in DIR]`
    Remove { path: P::Text, flags: RemoveFlags, directory: Option<P::File> },
    /// `rename PATH [in DIR] to PATH [in DIR] [noreplace | exchange]`
    Rename {
        from: P::Text,
        from_directory: Option<P::File>,
        to: P::Text,
        to_directory: Option<P::File>,
        flags: RenameFlags,
    },
    /// `link PATH [in DIR] as PATH [in DIR] [follow]`
    Link {
        from: P::Text,
        from_directory: Option<P::File>,
        to: P::Text,
        to_directory: Option<P::File>,
        flags: LinkFlags,
    },
    /// `symlink TARGET as PATH [in DIR]`
    Symlink { target: P::Text, path: P::Text, directory: Option<P::File> },
    /// `readdir DIR SIZE`
    Readdir { directory: P::File, size: P::Number },
    /// `copy FILE [at OFFSET] to FILE [at OFFSET] LENGTH`
    Copy {
        source: P::File,
        source_offset: Option<P::Number>,
        target: P::File,
        target_offset: Option<P::Number>,
        length: P::Number,
    },
    /// `splice FILE [at OFFSET] to FILE [at OFFSET] LENGTH`
    Splice {
        source: P::File,
        source_offset: Option<P::Number>,
        target: P::File,
        target_offset: Option<P::Number>,
        length: P::Number,
    },
    /// `lock FILE shared|exclusive|unlock [LENGTH] [at OFFSET]`; a missing length is "to the end", a missing offset 0
    Lock { file: P::File, mode: LockMode, length: Option<P::Number>, offset: Option<P::Number> },
    /// `READER, WRITER = pipe`
    Pipe,
    /// `socket KIND`
    Socket { kind: SocketKind },
    /// `bind SOCKET ADDRESS`
    Bind { socket: P::File, address: P::Address },
    /// `listen SOCKET [BACKLOG]`
    Listen { socket: P::File, backlog: Option<P::Number> },
    /// `accept SOCKET`
    Accept { socket: P::File },
    /// `connect SOCKET ADDRESS`
    Connect { socket: P::File, address: P::Address },
    /// `send SOCKET DATA [more] [urgent]`
    Send { socket: P::File, data: Data<P>, flags: MessageFlags },
    /// `recv SOCKET SIZE [peek] [all] [urgent]`
    Recv { socket: P::File, size: P::Number, flags: MessageFlags },
    /// `shutdown SOCKET [receive | send | both]`
    Shutdown { socket: P::File, how: ShutdownHow },
    /// `sockname SOCKET`
    Sockname { socket: P::File },
    /// `peername SOCKET`
    Peername { socket: P::File },
    /// `sleep DURATION`
    Sleep { duration: P::Duration },
    /// `get NAME`
    Get { value: P::Value },
    /// `deadline DURATION`
    Deadline { duration: P::Duration },
    /// `buffer SIZE`: no step of the chain
    Buffer { size: P::Number },
    /// `read FILE BUFFER [first LENGTH] [at OFFSET]`
    ReadInto { file: P::File, buffer: P::Value, first: Option<P::Number>, offset: Option<P::Number> },
    /// `recv SOCKET BUFFER [first LENGTH] [peek] [all] [urgent]`
    RecvInto { socket: P::File, buffer: P::Value, first: Option<P::Number>, flags: MessageFlags },
    /// `set NUMBER`
    Set { value: P::Number },
    /// `add A B`, `sub A B`, `min A B`, `and A B`, `shift A left|right DISTANCE`
    Compute { what: Arithmetic, a: P::Number, b: P::Number },
    /// `load NAME u8|u16|u32|u64 [at OFFSET]`
    Load { from: P::Value, width: Width, offset: Option<P::Number> },
    /// `if CONDITION stop|break|next`, or without one of these the begin of a part that ends with `end`
    If { asked: Asked<P>, not: bool, leave: Option<Leave>, otherwise: bool },
    /// `else`
    Else,
    /// `repeat BOUND`: the begin of a loop that ends with `end`
    Repeat { bound: P::Number },
    /// `end`
    End,
    /// `stop`, `break`, `next`
    Leave(Leave),
    /// `readlink` to `removexattr`
    Metadata(Metadata<P>),
    /// `call PROGRAM [ARGUMENT, …]`
    Call { program: P::Callee, arguments: Vec<Argument<P>> },
}

impl<P: Phase> Operation<P> {
    /// Whether it structures the program: it has no result and takes no modifiers.
    pub fn is_structure(&self) -> bool {
        matches!(
            self,
            Operation::Buffer { .. }
                | Operation::If { .. }
                | Operation::Else
                | Operation::Repeat { .. }
                | Operation::End
                | Operation::Leave(_)
        )
    }

    /// Whether it works on numbers alone, so that its result may be assigned to a name that has one.
    pub fn is_number(&self) -> bool {
        matches!(self, Operation::Set { .. } | Operation::Compute { .. } | Operation::Load { .. })
    }

    /// The verb as it is written.
    pub fn verb(&self) -> &'static str {
        match self {
            Operation::Nop => "nop",
            Operation::Read { .. } => "read",
            Operation::Write { .. } => "write",
            Operation::Poll { .. } => "poll",
            Operation::Open { .. } => "open",
            Operation::Close { .. } => "close",
            Operation::Seek { .. } => "seek",
            Operation::StatPath { .. } | Operation::StatFile { .. } => "stat",
            Operation::Sync { .. } => "sync",
            Operation::Truncate { .. } => "truncate",
            Operation::Allocate { .. } => "allocate",
            Operation::Mkdir { .. } => "mkdir",
            Operation::Remove { .. } => "remove",
            Operation::Rename { .. } => "rename",
            Operation::Link { .. } => "link",
            Operation::Symlink { .. } => "symlink",
            Operation::Readdir { .. } => "readdir",
            Operation::Copy { .. } => "copy",
            Operation::Splice { .. } => "splice",
            Operation::Lock { .. } => "lock",
            Operation::Pipe => "pipe",
            Operation::Socket { .. } => "socket",
            Operation::Bind { .. } => "bind",
            Operation::Listen { .. } => "listen",
            Operation::Accept { .. } => "accept",
            Operation::Connect { .. } => "connect",
            Operation::Send { .. } => "send",
            Operation::Recv { .. } => "recv",
            Operation::Shutdown { .. } => "shutdown",
            Operation::Sockname { .. } => "sockname",
            Operation::Peername { .. } => "peername",
            Operation::Sleep { .. } => "sleep",
            Operation::Get { .. } => "get",
            Operation::Deadline { .. } => "deadline",
            Operation::Buffer { .. } => "buffer",
            Operation::ReadInto { .. } => "read",
            Operation::RecvInto { .. } => "recv",
            Operation::Set { .. } => "set",
            Operation::Compute { what: Arithmetic::Add(_), .. } => "add",
            Operation::Compute { what: Arithmetic::Sub(_), .. } => "sub",
            Operation::Compute { what: Arithmetic::Min, .. } => "min",
            Operation::Compute { what: Arithmetic::And, .. } => "and",
            Operation::Compute { what: Arithmetic::Left | Arithmetic::Right, .. } => "shift",
            Operation::Load { .. } => "load",
            Operation::If { .. } => "if",
            Operation::Else => "else",
            Operation::Repeat { .. } => "repeat",
            Operation::End => "end",
            Operation::Leave(leave) => leave.word(),
            Operation::Call { .. } => "call",
            Operation::Metadata(metadata) => metadata.verb(),
        }
    }
}

/// An operation with its modifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<P: Phase> {
    /// What it does.
    pub operation: Operation<P>,
    /// The next ordinary step runs whatever becomes of this one (HARDLINK).
    pub hard: bool,
    /// It runs when the ordinary steps are over, however they ended (FINALLY).
    pub finally: bool,
    /// Its error is no failure of the chain. On an ordinary step with a successor it implies `hard`.
    pub tolerated: bool,
    /// A success posts no completion.
    pub silent: bool,
    /// The timeout in nanoseconds; `None` is never.
    pub timeout: Option<P::Duration>,
    /// The line it stands on, from 1.
    pub line: usize,
}

impl<P: Phase> Step<P> {
    /// Whether the next ordinary step runs even if this one fails.
    pub fn lets_next_run(&self) -> bool {
        self.hard || self.tolerated
    }
}

/// A statement as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The names its results get.
    pub targets: Vec<Name>,
    /// What it does.
    pub action: Action,
    /// All of it.
    pub span: Span,
    /// The verb.
    pub verb_span: Span,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A step of the chain.
    Step(Box<Step<Written>>),
    /// Output of the command itself when the chain is over.
    Print(Name),
    /// The begin of a stored program, which ends with `end`.
    Program(Header),
    /// What a stored program results in.
    Give(Name),
    /// The statement could not be read; its targets exist, so that their uses are not reported as well.
    Broken,
}
