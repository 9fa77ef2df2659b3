//! A shell that runs ring programs typed on the serial line.
//!
//! Lines that are no command are a program, in the language of `docs/program.md`; an empty line runs it, as one chain, in one
//! system call, and what its statements did is printed. A line with which something is wrong is told at once, and not taken.
#![no_std]
#![no_main]

extern crate alloc;

mod language;
mod lexer;
mod line;

use alloc::string::String;

use language::Value;
use line::Input;
use ouzel_chain::{Offset, OpenOptions};
use ouzel_kernel_user::{Arguments, ChainRing, Done, Error, Trace, print, program};
use ouzel_ring::Errno;

program!(main);

/// Entries of the shell's ring: the most statements of a program.
const STATEMENTS: u64 = 256;

/// Bytes that `cat` and `ls` read at a time.
const SOME: usize = 4096;

const HELP: &str = "\
commands:
  ls [PATH]      what a directory holds
  cat PATH       what a file holds
  spawn LINE     runs a program with its arguments and waits for its end, as `spawn /bin/first`
  help           this
  exit [STATUS]  ends the shell
Other lines are statements of a program. An empty line runs them, as one chain in one system call:
  f = open \"PATH\" read|write|append|create|exclusive|truncate|directory…
  n = read FILE SIZE [at OFFSET]     m = write FILE \"TEXT\"|NAME [at OFFSET]
  e = readdir FILE SIZE              p = seek FILE to OFFSET
  s = stat \"PATH\"|FILE               e = poll FILE readable|writable|hangup…
  r, w = pipe                        x = wait FILE
  n = set A    n = get A             n = add|sub|min A B
  close FILE   sync FILE [data]      truncate FILE to LENGTH
  mkdir \"PATH\"                       remove \"PATH\" [directory]
  sleep TIME   nop                   print NAME
`finally` in front; `hard`, `silent` and `timeout TIME` behind. `stdin` and `stdout` are open.
";

/// What is printed is for whoever looks; without output the shell goes on.
macro_rules! say {
    ($($what:tt)*) => {{ let _ = print(format_args!($($what)*)); }};
}

fn main(_: Arguments) -> u64 {
    match run() {
        Ok(status) => status,
        Err(error) => {
            say!("shell: {error}\n");
            1
        }
    }
}

fn run() -> Result<u64, Error> {
    let mut ring = ChainRing::new(STATEMENTS, 2 * STATEMENTS)?;
    let [Some(input), output] = ring.standard() else {
        return Err(Error::Call { call: "the shell's input", errno: Errno::EBADF });
    };
    let mut input = Input::new(input, output);
    let mut program = String::new();
    say!("type `help` for help\n");
    loop {
        say!("{}", if program.is_empty() { "> " } else { ". " });
        let Some(line) = input.line(&mut ring)? else { return Ok(0) };
        let line = line.trim();
        if !program.is_empty() {
            match line {
                "" => run_program(&mut ring, &core::mem::take(&mut program)),
                line => add(&ring, &mut program, line),
            }
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let done = match (word, rest.trim()) {
            ("", _) => Ok(()),
            ("help", _) => {
                say!("{HELP}");
                Ok(())
            }
            ("exit", "") => return Ok(0),
            ("exit", status) => match status.parse() {
                Ok(status) => return Ok(status),
                Err(_) => {
                    say!("exit: `{status}` is no status: give a number\n");
                    Ok(())
                }
            },
            ("ls", path) => list(&mut ring, if path.is_empty() { "/" } else { path }),
            ("cat", path) => show(&mut ring, path),
            ("spawn", line) => spawn(&mut ring, line),
            _ => {
                add(&ring, &mut program, line);
                Ok(())
            }
        };
        if let Err(error) = done {
            say!("{word}: {error}\n");
        }
    }
}

/// Adds a line to a program, unless something is wrong with it there.
fn add(ring: &ChainRing, program: &mut String, line: &str) {
    let before = program.len();
    program.push_str(line);
    program.push('\n');
    if let Err(problem) = language::compile(program, ring.standard()) {
        say!("{problem}\n");
        program.truncate(before);
    }
}

fn list(ring: &mut ChainRing, path: &str) -> Result<(), Error> {
    let directory = ring.open(path, OpenOptions::directory())?;
    loop {
        match ring.read_directory(directory, SOME) {
            Ok(entries) if entries.is_empty() => return ring.close(directory),
            Ok(entries) => {
                for entry in entries.iter().filter(|entry| !matches!(&*entry.name, "." | "..")) {
                    say!("{}{}\n", entry.name, if entry.is_directory { "/" } else { "" });
                }
            }
            Err(error) => {
                ring.close(directory)?;
                return Err(error);
            }
        }
    }
}

fn show(ring: &mut ChainRing, path: &str) -> Result<(), Error> {
    let file = ring.open(path, OpenOptions::read())?;
    loop {
        match ring.read(file, SOME, Offset::CURRENT) {
            Ok(bytes) if bytes.is_empty() => return ring.close(file),
            Ok(bytes) => say!("{}", String::from_utf8_lossy(&bytes)),
            Err(error) => {
                ring.close(file)?;
                return Err(error);
            }
        }
    }
}

fn spawn(ring: &mut ChainRing, line: &str) -> Result<(), Error> {
    let process = ring.spawn(line)?;
    let ended = ring.wait_for(process);
    ring.close(process)?;
    say!("{}\n", ended?);
    Ok(())
}

fn run_program(ring: &mut ChainRing, source: &str) {
    let compiled = match language::compile(source, ring.standard()) {
        Ok(compiled) => compiled,
        Err(problem) => {
            say!("{problem}\n");
            return;
        }
    };
    match ring.run(compiled.chain) {
        Err(error) => say!("{error}\n"),
        Ok(mut done) => {
            say!("{}", Trace(&done));
            if let Some(error) = done.error() {
                say!("{error}\n");
            }
            for (name, value) in compiled.prints {
                if let Err(error) = show_result(&mut done, &name, value) {
                    say!("{name}: {error}\n");
                }
            }
        }
    }
}

fn show_result(done: &mut Done, name: &str, value: Value) -> Result<(), Error> {
    match value {
        Value::File(file) => say!("{name} = descriptor {:#x}\n", done.get(file)?.number()),
        Value::Stream(file) => say!("{name} = descriptor {:#x}\n", file.number()),
        Value::Number(number) => say!("{name} = {}\n", done.get(number)?),
        Value::Written(count) => say!("{name} = {}\n", done.get(count)?),
        Value::Bytes(read) => {
            let length = done.get(read)?;
            match done.take(read) {
                Some(bytes) => say!("{}", String::from_utf8_lossy(bytes.as_slice())),
                None => say!("{name} = {length} bytes, which were printed already\n"),
            }
        }
        Value::Records(records) => {
            for entry in done.entries(records)? {
                say!("{}\n", String::from_utf8_lossy(entry.name));
            }
        }
        Value::Stat(stat) => {
            let stat = done.get(stat)?;
            let kind = if stat.is_directory() { "a directory" } else { "a file" };
            say!("{name} = {kind}, {} bytes, number {}\n", stat.size, stat.inode);
        }
        Value::Exit(exit) => say!("{name} = {}\n", done.get(exit)?),
    }
    Ok(())
}
