//! Services that do not keep to what verbs promise, and the commands that reach their files: each says so, and ends.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, StatFlags};
use ouzel::scheme::{Answering, At, AtOnce, Bytes, Name, Peer, Position, Quotas, Server, Simple};

/// What `ouzel ls` lists at most, in bytes of records.
const MOST: usize = 64 << 20;

/// No command takes longer.
const LONG: Duration = Duration::from_secs(60);

/// A record of READDIR: an inode, a place, a length, a kind and a name.
fn record() -> [u8; 32] {
    let mut record = [0; 32];
    record[16] = 32;
    record[19..26].copy_from_slice(b"another");
    record
}

/// Its file takes nothing, and its directories are as large as their names say.
struct Hostile;

/// A file, or a directory with so many bytes of records left.
struct Opened {
    is_file: bool,
    left: Cell<usize>,
}

fn is_file(path: &[u8]) -> bool {
    path == b"file"
}

impl Simple for Hostile {
    type File = Opened;

    fn open(&self, _: At<'_, Opened>, path: &[u8], _: OpenFlags, _: u32) -> Result<Opened, Errno> {
        let left = match path {
            b"large" => MOST,
            b"nonsense" => 31,
            // Too large by one record.
            _ => MOST + 32,
        };
        Ok(Opened { is_file: is_file(path), left: Cell::new(left) })
    }

    fn write(&self, _: &Opened, _: &Bytes, _: Position) -> Result<u64, Errno> {
        Ok(0)
    }

    fn stat(
        &self,
        at: At<'_, Opened>,
        path: Option<&[u8]>,
        record: &Bytes,
        _: StatFlags,
    ) -> Result<(), Errno> {
        let is_file = path.map_or_else(|| at.is_some_and(|opened| opened.is_file), is_file);
        let mode: u16 = if is_file { 0o100_644 } else { 0o040_755 };
        record.copy_from(0, &[0; 256]);
        record.copy_from(28, &mode.to_ne_bytes());
        Ok(())
    }

    fn readdir(&self, file: &Opened, into: &Bytes) -> Result<u64, Errno> {
        let left = file.left.get();
        let records = match left.min(into.len()) {
            // Less than a record, again and again.
            part @ 1..32 => return Ok(into.copy_from(0, &vec![0; part]) as u64),
            all => record().repeat(all / 32),
        };
        file.left.set(left - records.len());
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
        let said = complaint(&["ls", "hostile:larger"]);
        assert!(said.contains("hostile:larger") && said.contains("64 MiB"), "{said}");
        let said = complaint(&["ls", "hostile:nonsense"]);
        assert!(said.contains("hostile:nonsense") && said.contains("EIO"), "{said}");
        let ouzel = env!("CARGO_BIN_EXE_ouzel");
        let listed = Command::new(ouzel).args(["ls", "hostile:large"]).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert_eq!(listed.stdout.len(), MOST / 32 * "another\n".len());
    });
}
