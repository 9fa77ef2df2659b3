//! The text of a program becomes a chain: the part of `docs/program.md` that this kernel has verbs for, without parts, loops,
//! parameters and stored programs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::{IntoIter, Vec};
use core::iter::Peekable;
use core::time::Duration;

use ouzel_chain::{Buffer, Chain, Count, Data, Directory, Exit, Fd, File, Offset, OpenOptions, Reg, Stat};
use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{OpenFlags, PollEvents, RemoveFlags, StatFlags, SyncMode, Whence};

use crate::lexer::{Word, split};

/// The most bytes that a statement reads: the heap of a process is not large.
const MAX_SIZE: u64 = 64 << 10;

/// What a name stands for.
#[derive(Clone, Copy)]
pub enum Value {
    /// Something that is open.
    File(Reg<Fd>),
    /// A stream of the shell.
    Stream(Descriptor),
    /// Bytes that are read.
    Bytes(Reg<usize>),
    /// How many bytes were written.
    Written(Reg<usize>),
    /// Records of a directory.
    Records(Reg<usize>),
    /// A number.
    Number(Reg<u64>),
    /// A description.
    Stat(Reg<Stat>),
    /// The end of a process.
    Exit(Reg<Exit>),
}

/// A program that can be run.
pub struct Compiled {
    /// The chain.
    pub chain: Chain,
    /// What is to be printed when it is over, by name.
    pub prints: Vec<(String, Value)>,
}

/// Makes a chain of the lines of a program. What is wrong is told in a sentence that begins with the line.
pub fn compile(source: &str, standard: [Option<Descriptor>; 2]) -> Result<Compiled, String> {
    let mut compiler =
        Compiler { chain: Chain::new(), names: BTreeMap::new(), prints: Vec::new(), has_finally: false };
    for (name, stream) in ["stdin", "stdout"].into_iter().zip(standard) {
        compiler.names.extend(stream.map(|stream| (name.to_string(), Value::Stream(stream))));
    }
    for (number, line) in source.lines().enumerate() {
        let told = |problem| format!("line {}: {problem}", number + 1);
        let words = split(line).map_err(told)?;
        if !words.is_empty() {
            compiler.statement(words.into_iter().peekable()).map_err(told)?;
        }
    }
    Ok(Compiled { chain: compiler.chain, prints: compiler.prints })
}

type Words = Peekable<IntoIter<Word>>;

struct Compiler {
    chain: Chain,
    names: BTreeMap<String, Value>,
    prints: Vec<(String, Value)>,
    /// A `finally` was seen: only such statements may follow.
    has_finally: bool,
}

impl Compiler {
    fn statement(&mut self, mut words: Words) -> Result<(), String> {
        let finally = take(&mut words, "finally");
        let mut names = Vec::new();
        let mut verb = name(&mut words, "a statement begins with a verb or a name")?;
        let is_assigned = matches!(words.peek(), Some(Word::Sign(_)));
        if is_assigned {
            names.push(verb);
            while sign(&mut words, ',') {
                names.push(name(&mut words, "a name is missing behind `,`")?);
            }
            if !sign(&mut words, '=') {
                return Err("`=` is missing behind the names".to_string());
            }
            verb = name(&mut words, "a verb is missing behind `=`")?;
        }
        if verb == "print" {
            let (name, value) = self.known(&mut words)?;
            self.prints.push((name, value));
            return end(words);
        }
        if self.has_finally && !finally {
            return Err("only `finally` and `print` may stand behind `finally`".to_string());
        }
        self.has_finally = finally;
        if finally {
            self.chain.finally();
        }
        if verb == "pipe" {
            let [reader, writer] = names.as_slice() else {
                return Err("a pipe has two ends: `r, w = pipe`".to_string());
            };
            let (read_end, write_end) = self.chain.pipe();
            self.define(reader, Value::File(read_end))?;
            self.define(writer, Value::File(write_end))?;
        } else {
            let value = self.operation(&verb, &mut words)?;
            match (names.as_slice(), value) {
                ([], Some(Value::File(_))) => {
                    return Err(format!("what `{verb}` opens needs a name: `f = {verb} …`"));
                }
                ([], _) => {}
                ([name], Some(value)) => self.define(name, value)?,
                _ => return Err(format!("`{verb}` has no such results")),
            }
        }
        self.modifiers(&mut words)?;
        end(words)
    }

    fn define(&mut self, name: &str, value: Value) -> Result<(), String> {
        match self.names.insert(name.to_string(), value) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is defined already: take another name")),
        }
    }

    fn modifiers(&mut self, words: &mut Words) -> Result<(), String> {
        loop {
            if take(words, "hard") {
                self.chain.hardlink();
            } else if take(words, "silent") {
                self.chain.silent();
            } else if take(words, "timeout") {
                let limit = time(words)?;
                self.chain.timeout(limit);
            } else {
                return Ok(());
            }
        }
    }

    fn operation(&mut self, verb: &str, words: &mut Words) -> Result<Option<Value>, String> {
        let value = match verb {
            "nop" => {
                self.chain.nop();
                None
            }
            "open" => {
                let path = text(words)?;
                let flags = open_flags(words)?;
                Some(Value::File(self.chain.open(path, OpenOptions::from_flags(flags))))
            }
            "close" => {
                let file = self.file(words)?;
                self.chain.close(file);
                None
            }
            "read" => {
                let (file, size) = (self.file(words)?, size(words)?);
                let offset = self.offset(words)?;
                Some(Value::Bytes(self.chain.read(file, Buffer::with_capacity(size), offset)))
            }
            "write" => {
                let (file, data) = (self.file(words)?, self.data(words)?);
                let offset = self.offset(words)?;
                Some(Value::Written(self.chain.write(file, data, offset)))
            }
            "readdir" => {
                let (file, size) = (self.file(words)?, size(words)?);
                Some(Value::Records(self.chain.readdir(file, Buffer::with_capacity(size))))
            }
            "seek" => {
                let file = self.file(words)?;
                expect(words, "to")?;
                let distance = number(words)? as i64;
                Some(Value::Number(self.chain.seek(file, distance, Whence::Start)))
            }
            "stat" => Some(Value::Stat(match words.peek() {
                Some(Word::Text(_)) => {
                    let path = text(words)?;
                    self.chain.stat(Directory::Working, path, StatFlags::empty())
                }
                _ => {
                    let file = self.file(words)?;
                    self.chain.stat_file(file)
                }
            })),
            "sync" => {
                let file = self.file(words)?;
                let mode = if take(words, "data") { SyncMode::Data } else { SyncMode::Full };
                self.chain.sync(file, mode);
                None
            }
            "truncate" => {
                let file = self.file(words)?;
                expect(words, "to")?;
                let length = self.count(words)?;
                self.chain.truncate(file, length);
                None
            }
            "mkdir" => {
                let path = text(words)?;
                self.chain.mkdir(Directory::Working, path, 0o777);
                None
            }
            "remove" => {
                let path = text(words)?;
                let flags =
                    if take(words, "directory") { RemoveFlags::DIRECTORY } else { RemoveFlags::empty() };
                self.chain.remove(Directory::Working, path, flags);
                None
            }
            "poll" => {
                let file = self.file(words)?;
                let mut events = PollEvents::empty();
                for (word, event) in [
                    ("readable", PollEvents::IN),
                    ("writable", PollEvents::OUT),
                    ("hangup", PollEvents::HANGUP),
                ] {
                    events.set(event, take(words, word));
                }
                Some(Value::Number(self.chain.poll(file, events)))
            }
            "sleep" => {
                let time = time(words)?;
                self.chain.sleep(time);
                None
            }
            "wait" => {
                let process = self.file(words)?;
                Some(Value::Exit(self.chain.wait_process(process)))
            }
            "set" => {
                let value = self.count(words)?;
                Some(Value::Number(self.chain.set(value)))
            }
            "get" => {
                let value = self.count(words)?;
                Some(Value::Number(self.chain.get(value)))
            }
            "add" | "sub" | "min" => {
                let (one, other) = (self.count(words)?, self.count(words)?);
                Some(Value::Number(match verb {
                    "add" => self.chain.add(one, other),
                    "sub" => self.chain.sub(one, other),
                    _ => self.chain.min(one, other),
                }))
            }
            _ => return Err(format!("`{verb}` is no statement of the shell: see `help`")),
        };
        Ok(value)
    }

    /// A name, and what it stands for.
    fn known(&self, words: &mut Words) -> Result<(String, Value), String> {
        let name = name(words, "a name is missing")?;
        let value = self.names.get(&name).copied().ok_or_else(|| format!("`{name}` is not defined"))?;
        Ok((name, value))
    }

    fn file(&self, words: &mut Words) -> Result<File, String> {
        match self.known(words)? {
            (_, Value::File(file)) => Ok(file.into()),
            (_, Value::Stream(file)) => Ok(file.into()),
            (name, _) => Err(format!("`{name}` is nothing that is open")),
        }
    }

    fn data(&self, words: &mut Words) -> Result<Data, String> {
        if let Some(Word::Text(_)) = words.peek() {
            return text(words).map(Data::from);
        }
        match self.known(words)? {
            (_, Value::Bytes(read)) => Ok(read.into()),
            (name, _) => Err(format!("`{name}` is no bytes that were read")),
        }
    }

    fn count(&self, words: &mut Words) -> Result<Count, String> {
        if let Some(Word::Number(_)) = words.peek() {
            return number(words).map(Count::from);
        }
        match self.known(words)? {
            (_, Value::Bytes(count) | Value::Written(count) | Value::Records(count)) => Ok(count.into()),
            (_, Value::Number(number)) => Ok(number.into()),
            (name, _) => Err(format!("`{name}` is no number")),
        }
    }

    fn offset(&self, words: &mut Words) -> Result<Offset, String> {
        if take(words, "at") { self.count(words).map(Offset::at) } else { Ok(Offset::CURRENT) }
    }
}

fn open_flags(words: &mut Words) -> Result<OpenFlags, String> {
    const FLAGS: &[(&str, OpenFlags)] = &[
        ("read", OpenFlags::READ),
        ("write", OpenFlags::WRITE),
        ("append", OpenFlags::APPEND),
        ("create", OpenFlags::CREATE),
        ("exclusive", OpenFlags::EXCLUSIVE),
        ("truncate", OpenFlags::TRUNCATE),
        ("directory", OpenFlags::DIRECTORY),
    ];
    let mut flags = OpenFlags::empty();
    while let Some((_, flag)) = FLAGS.iter().find(|(word, _)| take(words, word)) {
        flags |= *flag;
    }
    if flags.intersects(OpenFlags::READ | OpenFlags::WRITE) {
        return Ok(flags);
    }
    Err("say what the file is opened for: `read`, `write` or both".to_string())
}

/// Takes a word if it is next.
fn take(words: &mut Words, wanted: &str) -> bool {
    words.next_if(|word| matches!(word, Word::Name(name) if name == wanted)).is_some()
}

fn sign(words: &mut Words, wanted: char) -> bool {
    words.next_if(|word| *word == Word::Sign(wanted)).is_some()
}

fn expect(words: &mut Words, wanted: &str) -> Result<(), String> {
    if take(words, wanted) { Ok(()) } else { Err(format!("`{wanted}` is missing")) }
}

fn name(words: &mut Words, missing: &str) -> Result<String, String> {
    match words.next() {
        Some(Word::Name(name)) => Ok(name),
        _ => Err(missing.to_string()),
    }
}

fn text(words: &mut Words) -> Result<String, String> {
    match words.next() {
        Some(Word::Text(text)) => Ok(text),
        _ => Err("a string is missing: write it as \"…\"".to_string()),
    }
}

fn number(words: &mut Words) -> Result<u64, String> {
    match words.next() {
        Some(Word::Number(number)) => Ok(number),
        _ => Err("a number is missing".to_string()),
    }
}

fn size(words: &mut Words) -> Result<usize, String> {
    match number(words)? {
        size @ 1..=MAX_SIZE => Ok(size as usize),
        size => Err(format!("{size} bytes cannot be read at a time: 1 to {MAX_SIZE} can")),
    }
}

fn time(words: &mut Words) -> Result<Duration, String> {
    match words.next() {
        Some(Word::Time(time)) => Ok(time),
        Some(Word::Number(0)) => Ok(Duration::ZERO),
        _ => Err("a time is missing, such as `10ms`".to_string()),
    }
}

fn end(mut words: Words) -> Result<(), String> {
    match words.next() {
        None => Ok(()),
        Some(Word::Name(word)) => Err(format!("`{word}` means nothing here")),
        Some(_) => Err("the statement has more words than it should".to_string()),
    }
}
