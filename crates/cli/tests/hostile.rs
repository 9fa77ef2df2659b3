//! Services that do not keep to what verbs promise, and the commands that reach their files: each says so, and ends.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, StatFlags};
use ouzel::scheme::{Answering, At, AtOnce, Bytes, Name, Peer, Position, Quotas, Server, Simple};

/// No command takes longer.
const LONG: Duration = Duration::from_secs(60);

/// Its file takes nothing, and its directory never ends.
struct Hostile;

impl Simple for Hostile {
    type File = ();

    fn open(&self, _: At<'_, ()>, _: &[u8], _: OpenFlags, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn write(&self, (): &(), _: &Bytes, _: Position) -> Result<u64, Errno> {
        Ok(0)
    }

    fn stat(&self, at: At<'_, ()>, path: Option<&[u8]>, record: &Bytes, _: StatFlags) -> Result<(), Errno> {
        let is_file = at.is_some() || path == Some(b"file");
        let mode: u16 = if is_file { 0o100_644 } else { 0o040_755 };
        record.copy_from(0, &[0; 256]);
        record.copy_from(28, &mode.to_ne_bytes());
        Ok(())
    }

    fn readdir(&self, (): &(), into: &Bytes) -> Result<u64, Errno> {
        // An inode, a place, a length, a kind and a name.
        let mut record = [0; 32];
        record[16] = 32;
        record[19..26].copy_from_slice(b"another");
        let records = record.repeat(into.len() / record.len());
        Ok(into.copy_from(0, &records) as u64)
    }
}

/// Does `then` while the service is there; names are in that folder.
fn with_service(folder: &Path, then: impl FnOnce()) {
    // SAFETY: the only test of this process comes through here before it starts anything, and nothing else of it sets the
    // environment.
    unsafe { std::env::set_var("OUZEL_SCHEMES", folder) };
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let name = Name::parse("hostile").unwrap();
        let make = |_: &Peer| Ok(Answering::new(AtOnce(Hostile), 16));
        let mut server = Server::bind(&name, Quotas { descriptors: 16, ..Quotas::default() }, make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv_timeout(LONG).unwrap();
    then();
    stopper.stop();
    thread.join().unwrap();
}

/// What a command that has to fail says; one that does not end is ended.
fn complaint(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
    let mut command = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        match command.try_wait().unwrap() {
            Some(status) => break status,
            None if begin.elapsed() > LONG => {
                command.kill().unwrap();
                command.wait().unwrap();
                panic!("{arguments:?} does not end");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(!status.success(), "{arguments:?}");
    std::io::read_to_string(command.stderr.take().unwrap()).unwrap()
}

#[test]
fn commands_end_whatever_a_service_answers() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, "bytes").unwrap();
    with_service(&folder.path().join("names"), || {
        let said = complaint(&["cp", source.to_str().unwrap(), "hostile:file"]);
        assert!(said.contains("hostile:file") && said.contains("EIO"), "a WRITE of nothing: {said}");
    });
}
