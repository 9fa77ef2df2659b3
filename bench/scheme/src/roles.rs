//! The other sides: what the child processes do. Each ends when its parent does, or is killed by it.

use std::error::Error;
use std::fs::File;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ouzel::RingBuilder;
use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::scheme::{Confine, Name, Peer, Quotas, Rights, Server};
use ouzel_ring::{Completion, EngineEnd};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::futex;

use crate::place::pin_to;
use crate::shared::Shared;
use crate::{BLOCK, MESSAGE, geometry};

/// Descriptors that the confinement has open by itself, at most.
const PRIVATE: u32 = 64;

/// Does what the words say.
pub fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let [role, processor, rest @ ..] = words else { return Err("a role and a processor are wanted".into()) };
    let processor: usize = processor.parse()?;
    // A server looks how many processors there are before it is kept to one of them, as it does in real life.
    if role != "serve" {
        pin_to(processor)?;
    }
    match (role.as_str(), rest) {
        ("probe", [path]) => probe(&Shared::open(path)?),
        ("ring", [path]) => ring(&Shared::open(path)?),
        ("futex", [path]) => wake(&Shared::open(path)?),
        ("echo", []) => echo(),
        ("echo-socket", []) => echo_socket(),
        ("read", [path]) => read(path),
        ("read-socket", [path]) => read_socket(path),
        #[cfg(feature = "iceoryx2")]
        ("iceoryx2", [shared, name, path]) => crate::iceoryx::serve(&Shared::open(shared)?, name, path),
        ("serve", [name, spin, root]) => serve(processor, name, spin, root),
        _ => Err(format!("{words:?}: no such role").into()),
    }
}

fn probe(shared: &Shared) -> Result<(), Box<dyn Error>> {
    let (there, back) = (shared.word(0), shared.word(1));
    let mut seen = 0;
    loop {
        while there.load(Ordering::Acquire) == seen {
            spin_loop();
        }
        seen = there.load(Ordering::Acquire);
        back.store(seen, Ordering::Release);
    }
}

/// Answers each entry, and does nothing else: no engine, and no words for waking.
fn ring(shared: &Shared) -> Result<(), Box<dyn Error>> {
    // SAFETY: the end is dropped before the memory, and is the only engine's end.
    let mut engine = EngineEnd::new(unsafe { shared.ring(geometry()?) }?, 0);
    loop {
        let count = engine.available()?;
        if count == 0 {
            spin_loop();
            continue;
        }
        while let Some(entry) = engine.copy_next() {
            engine.release(1);
            let done = Completion { op: entry.op, error: 0, data: entry.data, result: 0, flags: 0, extra: 0 };
            engine.post(&done).map_err(|_| "no room for a completion")?;
        }
    }
}

/// Sleeps until the word is another than `seen`; what it is then.
pub fn sleep_on(word: &AtomicU32, seen: u32) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        // Whatever it says, the word is looked at again.
        let _ = futex::wait(word, futex::Flags::empty(), seen, None);
    }
}

/// Stores a word and wakes who sleeps on it.
pub fn wake_on(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

fn wake(shared: &Shared) -> Result<(), Box<dyn Error>> {
    let mut seen = 0;
    loop {
        seen = sleep_on(shared.word(0), seen);
        wake_on(shared.word(1), seen);
    }
}

fn echo() -> Result<(), Box<dyn Error>> {
    let (mut input, mut output) = (std::io::stdin().lock(), File::from(own_output()?));
    let mut message = [0; MESSAGE];
    while input.read_exact(&mut message).is_ok() {
        output.write_all(&message)?;
    }
    Ok(())
}

/// Standard output without its buffer.
fn own_output() -> Result<OwnedFd, Box<dyn Error>> {
    Ok(std::io::stdout().as_fd().try_clone_to_owned()?)
}

/// The socket that stands in for standard input.
fn socket() -> Result<File, Box<dyn Error>> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

fn echo_socket() -> Result<(), Box<dyn Error>> {
    let mut socket = socket()?;
    let mut message = [0; MESSAGE];
    while socket.read_exact(&mut message).is_ok() {
        socket.write_all(&message)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<(), Box<dyn Error>> {
    answer(std::io::stdin().lock(), File::from(own_output()?), path)
}

fn read_socket(path: &str) -> Result<(), Box<dyn Error>> {
    answer(socket()?, socket()?, path)
}

/// Eight bytes say where to read, and are answered by a block.
fn answer(mut input: impl Read, mut output: impl Write, path: &str) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    let (mut offset, mut block) = ([0; 8], vec![0; BLOCK]);
    while input.read_exact(&mut offset).is_ok() {
        file.read_exact_at(&mut block, u64::from_le_bytes(offset))?;
        output.write_all(&block)?;
    }
    Ok(())
}

/// A directory under a name, as `ouzel serve` does it.
fn serve(processor: usize, name: &str, spin: &str, root: &str) -> Result<(), Box<dyn Error>> {
    let name = Name::parse(name)?;
    let spin = if spin == "usual" { None } else { Some(Duration::from_nanos(spin.parse()?)) };
    let quotas = Quotas { spin, ..Quotas::default() };
    let root: OwnedFd = File::open(root)?.into();
    let own = quotas.descriptors;
    let make = move |_: &Peer| {
        let builder = RingBuilder::new().descriptors(own + 1 + PRIVATE).watched();
        let (mut backend, _) = builder.open_backend().map_err(|_| Errno::ENOMEM)?;
        backend.adopt(own, root.try_clone().map_err(|_| Errno::EMFILE)?)?;
        let inner = own + 1..own + 1 + PRIVATE;
        Ok(Confine::<Box<dyn HostBackend>>::new(backend, Some(own), inner, Rights::read_only()))
    };
    let mut server = Server::bind(&name, quotas, make)?;
    pin_to(processor)?;
    Ok(server.run()?)
}
