//! The operands of every verb: what follows it on its line.

use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, LockMode, MessageFlags, OpenFlags, PollEvents, RemoveFlags, RenameFlags,
    ShutdownHow, StatFlags, SyncMode, Whence,
};

use super::control;
use super::lexer::Kind;
use super::metadata;
use super::parser::{Cursor, Parsed};
use super::problem::Problem;
use super::stored;
use super::syntax::{Amount, Located, Name, Operation, SocketKind, Template, Written};

/// Every verb and its form, in the order of `docs/program.md`.
pub(super) const VERBS: &[(&str, &str)] = &[
    ("nop", "nop"),
    ("read", "NAME = read FILE SIZE [at OFFSET]"),
    ("write", "[NAME =] write FILE \"TEXT\"|NAME [at OFFSET]"),
    ("poll", "[NAME =] poll FILE readable|writable|priority|hangup…"),
    (
        "open",
        "NAME = open PATH read|write|append|create|exclusive|truncate|directory|nofollow|path|direct… [mode 0644] [in DIR]",
    ),
    ("close", "[finally] close FILE"),
    ("seek", "[NAME =] seek FILE to OFFSET | by [-]OFFSET | end [[-]OFFSET]"),
    ("stat", "[NAME =] stat FILE | stat PATH [nofollow] [in DIR]"),
    ("sync", "sync FILE [data | range [LENGTH] [at OFFSET]]"),
    ("truncate", "truncate FILE to LENGTH"),
    ("allocate", "allocate FILE LENGTH [at OFFSET] [keep] [punch]"),
    ("mkdir", "mkdir PATH [mode 0755] [in DIR]"),
    ("remove", "remove PATH [directory] [in DIR]"),
    ("rename", "rename PATH [in DIR] to PATH [in DIR] [noreplace|exchange]"),
    ("link", "link PATH [in DIR] as PATH [in DIR] [follow]"),
    ("symlink", "symlink TARGET as PATH [in DIR]"),
    ("readdir", "NAME = readdir DIR SIZE"),
    ("copy", "[NAME =] copy FILE [at OFFSET] to FILE [at OFFSET] LENGTH"),
    ("splice", "[NAME =] splice FILE [at OFFSET] to FILE [at OFFSET] LENGTH"),
    ("lock", "lock FILE shared|exclusive|unlock [LENGTH] [at OFFSET]"),
    ("pipe", "READER, WRITER = pipe"),
    ("socket", "NAME = socket tcp|tcp6|udp|udp6|unix [datagram|packet]"),
    ("bind", "bind SOCKET \"ADDRESS\""),
    ("listen", "listen SOCKET [BACKLOG]"),
    ("accept", "NAME = accept SOCKET"),
    ("connect", "connect SOCKET \"ADDRESS\""),
    ("send", "[NAME =] send SOCKET \"TEXT\"|NAME [more] [urgent]"),
    ("recv", "NAME = recv SOCKET SIZE [peek] [all] [urgent]"),
    ("shutdown", "shutdown SOCKET [receive|send|both]"),
    ("sockname", "NAME = sockname SOCKET"),
    ("peername", "NAME = peername SOCKET"),
    ("sleep", "sleep DURATION"),
    ("get", "[NAME =] get NAME"),
    ("deadline", "deadline DURATION"),
    metadata::FORMS[0],
    metadata::FORMS[1],
    metadata::FORMS[2],
    metadata::FORMS[3],
    metadata::FORMS[4],
    metadata::FORMS[5],
    metadata::FORMS[6],
    metadata::FORMS[7],
    metadata::FORMS[8],
    metadata::FORMS[9],
    metadata::FORMS[10],
    ("print", "print NAME"),
    ("buffer", "NAME = buffer SIZE"),
    ("set", "NAME = set NUMBER"),
    ("add", "NAME = add NUMBER NUMBER [wrap|saturate]"),
    ("sub", "NAME = sub NUMBER NUMBER [wrap|saturate]"),
    ("min", "NAME = min NUMBER NUMBER"),
    ("and", "NAME = and NUMBER NUMBER"),
    ("shift", "NAME = shift NUMBER left|right BITS"),
    ("load", "NAME = load NAME u8|u16|u32|u64 [at OFFSET]"),
    (
        "if",
        "if [not] NUMBER zero|positive|equals NUMBER|less NUMBER [stop|break|next], or if [not] last full|short|failed [stop|break|next]",
    ),
    ("else", "else"),
    ("repeat", "repeat TIMES"),
    ("end", "end"),
    ("stop", "stop"),
    ("break", "break"),
    ("next", "next"),
    ("program", "program NAME [path $NAME | data $NAME | number $NAME | file NAME, …]"),
    (
        "service",
        "service NAME [path $NAME | data $NAME | number $NAME | file NAME, …] [gives number|data|file]",
    ),
    ("give", "give NAME"),
    ("call", "[NAME =] call PROGRAM [ARGUMENT, …]"),
];

type Number = Located<Amount<Name>>;
type Place = (Located<Template>, Option<Name>);

/// Reads the operands of `verb`, which has been passed.
pub(super) fn operation(verb: &str, c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    Ok(match verb {
        "nop" => Operation::Nop,
        "call" => stored::call(c)?,
        "read" => {
            let file = c.name("a file")?;
            match control::room(c)? {
                Some((buffer, first)) => Operation::ReadInto { file, buffer, first, offset: offset(c)? },
                None => Operation::Read { file, size: c.number("a size")?, offset: offset(c)? },
            }
        }
        "write" => Operation::Write { file: c.name("a file")?, data: c.data()?, offset: offset(c)? },
        "poll" => poll(c)?,
        "open" => open(c)?,
        "close" => Operation::Close { file: c.name("a file")? },
        "seek" => seek(c)?,
        "stat" if c.word().is_some() => Operation::StatFile { file: c.name("a file")? },
        "stat" => {
            let path = c.text("a path")?;
            let words = [("nofollow", StatFlags::NOFOLLOW)];
            let (flags, directory) = words_and_directory(c, &words)?;
            Operation::StatPath { path, flags, directory }
        }
        "sync" => sync(c)?,
        "truncate" => {
            let file = c.name("a file")?;
            c.require("to")?;
            Operation::Truncate { file, length: c.number("a length")? }
        }
        "allocate" => allocate(c)?,
        "mkdir" => {
            let path = c.text("a path")?;
            let (mode, directory) = mode_and_directory(c)?;
            Operation::Mkdir { path, mode: mode.unwrap_or(0o777), directory }
        }
        "remove" => {
            let path = c.text("a path")?;
            let words = [("directory", RemoveFlags::DIRECTORY)];
            let (flags, directory) = words_and_directory(c, &words)?;
            Operation::Remove { path, flags, directory }
        }
        "rename" => rename(c)?,
        "link" => {
            let ((from, from_directory), (to, to_directory)) = two_paths(c, "as")?;
            let flags = if c.accept("follow") { LinkFlags::FOLLOW } else { LinkFlags::empty() };
            Operation::Link { from, from_directory, to, to_directory, flags }
        }
        "symlink" => {
            let target = c.text("what the link says")?;
            c.require("as")?;
            let path = c.text("a path")?;
            Operation::Symlink { target, path, directory: directory(c)? }
        }
        "readdir" => Operation::Readdir { directory: c.name("a directory")?, size: c.number("a size")? },
        "copy" => {
            let source = c.name("a file")?;
            let source_offset = offset(c)?;
            c.require("to")?;
            let target = c.name("a file")?;
            let target_offset = offset(c)?;
            let length = c.number("a length")?;
            Operation::Copy { source, source_offset, target, target_offset, length }
        }
        "splice" => {
            let source = c.name("a file")?;
            let source_offset = offset(c)?;
            c.require("to")?;
            let target = c.name("a file")?;
            let target_offset = offset(c)?;
            let length = c.number("a length")?;
            Operation::Splice { source, source_offset, target, target_offset, length }
        }
        "lock" => lock(c)?,
        "pipe" => Operation::Pipe,
        "socket" => socket(c)?,
        "bind" => Operation::Bind { socket: c.name("a socket")?, address: c.text("an address")? },
        "listen" => {
            let socket = c.name("a socket")?;
            Operation::Listen { socket, backlog: number_if_next(c, "a backlog")? }
        }
        "accept" => Operation::Accept { socket: c.name("a socket")? },
        "connect" => Operation::Connect { socket: c.name("a socket")?, address: c.text("an address")? },
        "send" => {
            let (socket, data) = (c.name("a socket")?, c.data()?);
            let words = [("more", MessageFlags::MORE), ("urgent", MessageFlags::OUT_OF_BAND)];
            Operation::Send { socket, data, flags: words_of(c, &words)? }
        }
        "recv" => {
            let socket = c.name("a socket")?;
            let room = control::room(c)?;
            let size = if room.is_none() { Some(c.number("a size")?) } else { None };
            let words = [
                ("peek", MessageFlags::PEEK),
                ("all", MessageFlags::WAIT_ALL),
                ("urgent", MessageFlags::OUT_OF_BAND),
            ];
            let flags = words_of(c, &words)?;
            match (room, size) {
                (Some((buffer, first)), _) => Operation::RecvInto { socket, buffer, first, flags },
                (None, Some(size)) => Operation::Recv { socket, size, flags },
                (None, None) => return Err(c.expected("a size")),
            }
        }
        "shutdown" => {
            let socket = c.name("a socket")?;
            let how = if c.accept("receive") {
                ShutdownHow::Receive
            } else if c.accept("send") {
                ShutdownHow::Send
            } else {
                c.accept("both");
                ShutdownHow::Both
            };
            Operation::Shutdown { socket, how }
        }
        "sockname" => Operation::Sockname { socket: c.name("a socket")? },
        "peername" => Operation::Peername { socket: c.name("a socket")? },
        "sleep" => Operation::Sleep { duration: c.duration()? },
        "get" => Operation::Get { value: c.name("a name")? },
        "deadline" => Operation::Deadline { duration: c.duration()? },
        other => match metadata::operation(other, c)? {
            Some(operation) => Operation::Metadata(operation),
            None => control::operation(other, c)?,
        },
    })
}

pub(super) fn offset(c: &mut Cursor<'_>) -> Parsed<Option<Number>> {
    if c.accept("at") { c.number("an offset").map(Some) } else { Ok(None) }
}

pub(super) fn directory(c: &mut Cursor<'_>) -> Parsed<Option<Name>> {
    if c.accept("in") { c.name("a directory").map(Some) } else { Ok(None) }
}

/// A number, unless the line ends here or goes on with a word that is no name.
fn number_if_next(c: &mut Cursor<'_>, what: &str) -> Parsed<Option<Number>> {
    match (c.peek().map(|token| &token.kind), c.word()) {
        (None, _) => Ok(None),
        (_, Some(word)) if super::parser::is_reserved(word) => Ok(None),
        (Some(Kind::Word(_) | Kind::Number(_) | Kind::Parameter(_)), _) => c.number(what).map(Some),
        _ => Ok(None),
    }
}

/// The words that are next, as flags. A word given twice is refused.
fn words_of<F>(c: &mut Cursor<'_>, words: &[(&str, F)]) -> Parsed<F>
where
    F: bitflags::Flags + Copy,
{
    let mut flags = F::empty();
    while take_word(c, words, &mut flags)? {}
    Ok(flags)
}

pub(super) fn take_word<F>(c: &mut Cursor<'_>, words: &[(&str, F)], flags: &mut F) -> Parsed<bool>
where
    F: bitflags::Flags + Copy,
{
    let Some(next) = c.word() else { return Ok(false) };
    let Some((word, flag)) = words.iter().find(|(word, _)| *word == next) else { return Ok(false) };
    if flags.contains(*flag) {
        return Err(twice(c, word));
    }
    flags.insert(*flag);
    c.accept(word);
    Ok(true)
}

pub(super) fn twice(c: &Cursor<'_>, word: &str) -> Box<Problem> {
    Box::new(Problem::new(c.here(), format!("`{word}` is given twice"), "again"))
}

fn words_and_directory<F>(c: &mut Cursor<'_>, words: &[(&str, F)]) -> Parsed<(F, Option<Name>)>
where
    F: bitflags::Flags + Copy,
{
    let mut flags = F::empty();
    let mut found = None;
    loop {
        if c.word() == Some("in") && found.is_some() {
            return Err(twice(c, "in"));
        }
        if let Some(name) = directory(c)? {
            found = Some(name);
        } else if !take_word(c, words, &mut flags)? {
            return Ok((flags, found));
        }
    }
}

fn mode_and_directory(c: &mut Cursor<'_>) -> Parsed<(Option<u64>, Option<Name>)> {
    let (mut mode, mut found) = (None, None);
    loop {
        match c.word() {
            Some("mode") if mode.is_some() => return Err(twice(c, "mode")),
            Some("in") if found.is_some() => return Err(twice(c, "in")),
            Some("mode") => {
                c.accept("mode");
                mode = Some(c.mode()?);
            }
            Some("in") => found = directory(c)?,
            _ => return Ok((mode, found)),
        }
    }
}

fn place(c: &mut Cursor<'_>) -> Parsed<Place> {
    Ok((c.text("a path")?, directory(c)?))
}

fn two_paths(c: &mut Cursor<'_>, between: &str) -> Parsed<(Place, Place)> {
    let from = place(c)?;
    c.require(between)?;
    Ok((from, place(c)?))
}

fn poll(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let file = c.name("a file")?;
    let words = [
        ("readable", PollEvents::IN),
        ("writable", PollEvents::OUT),
        ("priority", PollEvents::PRIORITY),
        ("hangup", PollEvents::READ_HANGUP),
    ];
    let events = words_of(c, &words)?;
    if events.is_empty() {
        return Err(c.expected("`readable`, `writable`, `priority` or `hangup`"));
    }
    Ok(Operation::Poll { file, events })
}

fn open(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let path = c.text("a path")?;
    let start = c.here();
    let words = [
        ("read", OpenFlags::READ),
        ("write", OpenFlags::WRITE),
        ("append", OpenFlags::APPEND),
        ("create", OpenFlags::CREATE),
        ("exclusive", OpenFlags::EXCLUSIVE),
        ("truncate", OpenFlags::TRUNCATE),
        ("directory", OpenFlags::DIRECTORY),
        ("nofollow", OpenFlags::NOFOLLOW),
        ("path", OpenFlags::PATH),
        ("direct", OpenFlags::DIRECT),
        ("beneath", OpenFlags::BENEATH),
    ];
    let mut flags = words_of(c, &words)?;
    let mode_span = c.here();
    let (mode, directory) = mode_and_directory(c)?;
    flags |= words_of(c, &words)?;
    let refuse = |message: &str| {
        let span = if flags.is_empty() { start } else { start.to(mode_span) };
        Err(Box::new(Problem::new(span, message, "these words")))
    };
    let has = |flag| flags.contains(flag);
    if !flags.intersects(OpenFlags::READ | OpenFlags::WRITE | OpenFlags::PATH) {
        if flags.is_empty() {
            return Err(c.expected("`read`, `write` or `path`"));
        }
        return refuse("a file is opened to `read`, to `write`, both, or as a `path`");
    }
    let writing = OpenFlags::APPEND | OpenFlags::TRUNCATE;
    if flags.intersects(writing) && !has(OpenFlags::WRITE) {
        return refuse("`append` and `truncate` need `write`");
    }
    if has(OpenFlags::EXCLUSIVE) && !has(OpenFlags::CREATE) {
        return refuse("`exclusive` needs `create`");
    }
    let opens = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::DIRECT;
    if has(OpenFlags::PATH) && flags.intersects(opens) {
        return refuse("`path` opens nothing: it goes with `directory`, `nofollow` and `beneath` only");
    }
    if has(OpenFlags::DIRECTORY) && flags.intersects(OpenFlags::WRITE | OpenFlags::CREATE) {
        return refuse("a `directory` is opened to `read` or as a `path`");
    }
    if mode.is_some() && !has(OpenFlags::CREATE) {
        return Err(Box::new(Problem::new(mode_span, "`mode` needs `create`", "nothing is created")));
    }
    let mode = mode.unwrap_or(if has(OpenFlags::CREATE) { 0o666 } else { 0 });
    Ok(Operation::Open { path, flags, mode, directory })
}

fn seek(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let file = c.name("a file")?;
    let start = c.here();
    let whence = if c.accept("to") {
        Whence::Start
    } else if c.accept("by") {
        Whence::Current
    } else if c.accept("end") {
        Whence::End
    } else {
        return Err(c.expected("`to`, `by` or `end`"));
    };
    if whence == Whence::Start && c.accept_minus() {
        return Err(Box::new(Problem::new(start.to(c.here()), "a position is not negative", "negative")));
    }
    let backwards = c.accept_minus();
    let offset = if whence == Whence::End && !backwards {
        number_if_next(c, "an offset")?.unwrap_or(Located { item: Amount::Literal(0), span: start })
    } else {
        c.number("an offset")?
    };
    if backwards && matches!(offset.item, Amount::Result(_)) {
        return Err(Box::new(Problem::new(
            offset.span,
            "only a written number or a parameter can be negative",
            "a result",
        )));
    }
    Ok(Operation::Seek { file, whence, backwards, offset })
}

fn sync(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let file = c.name("a file")?;
    if c.accept("data") {
        return Ok(Operation::Sync { file, mode: SyncMode::Data, length: None, offset: None });
    }
    if !c.accept("range") {
        return Ok(Operation::Sync { file, mode: SyncMode::Full, length: None, offset: None });
    }
    let length = number_if_next(c, "a length")?;
    Ok(Operation::Sync { file, mode: SyncMode::Range, length, offset: offset(c)? })
}

fn lock(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let file = c.name("a file")?;
    let mode = if c.accept("shared") {
        LockMode::Shared
    } else if c.accept("exclusive") {
        LockMode::Exclusive
    } else if c.accept("unlock") {
        LockMode::Unlock
    } else {
        return Err(c.expected("`shared`, `exclusive` or `unlock`"));
    };
    let length = number_if_next(c, "a length")?;
    Ok(Operation::Lock { file, mode, length, offset: offset(c)? })
}

fn allocate(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let (file, length, offset) = (c.name("a file")?, c.number("a length")?, offset(c)?);
    let words = [("keep", AllocateFlags::KEEP_SIZE), ("punch", AllocateFlags::PUNCH_HOLE)];
    let flags = words_of(c, &words)?;
    if flags == AllocateFlags::PUNCH_HOLE {
        return Err(c.expected("`keep` beside `punch`: a hole leaves the length as it is"));
    }
    Ok(Operation::Allocate { file, length, offset, flags })
}

fn rename(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let ((from, from_directory), (to, to_directory)) = two_paths(c, "to")?;
    let start = c.here();
    let words = [("noreplace", RenameFlags::NOREPLACE), ("exchange", RenameFlags::EXCHANGE)];
    let flags = words_of(c, &words)?;
    if flags.is_all() {
        let message = "`noreplace` and `exchange` exclude each other";
        return Err(Box::new(Problem::new(start, message, "only one of them")));
    }
    Ok(Operation::Rename { from, from_directory, to, to_directory, flags })
}

fn socket(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let kinds = [
        ("tcp", SocketKind::Tcp),
        ("tcp6", SocketKind::Tcp6),
        ("udp", SocketKind::Udp),
        ("udp6", SocketKind::Udp6),
        ("unix", SocketKind::Unix),
    ];
    let Some((word, kind)) = kinds.iter().find(|(word, _)| c.word() == Some(word)) else {
        return Err(c.expected("`tcp`, `tcp6`, `udp`, `udp6` or `unix`"));
    };
    c.accept(word);
    let kind = match kind {
        SocketKind::Unix if c.accept("datagram") => SocketKind::UnixDatagram,
        SocketKind::Unix if c.accept("packet") => SocketKind::UnixPacket,
        kind => *kind,
    };
    Ok(Operation::Socket { kind })
}
