//! `ouzel mount` of a service whose directory has no end: who lists it is told so, and the mount goes on.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::channel;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, StatFlags};
use ouzel::scheme::{Answering, At, AtOnce, Bytes, Name, Quotas, Server, Simple};
use rustix::process::{Pid, Signal, kill_process};

/// A directory that has always more in it.
struct Endless;

impl Simple for Endless {
    type File = ();

    fn open(&self, _: At<'_, ()>, _: &[u8], _: OpenFlags, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn close(&self, _: Rc<()>) -> Result<(), Errno> {
        Ok(())
    }

    fn stat(&self, _: At<'_, ()>, _: Option<&[u8]>, into: &Bytes, _: StatFlags) -> Result<(), Errno> {
        let mut record = [0; 256];
        record[28..30].copy_from_slice(&0o040_755_u16.to_ne_bytes());
        record[32] = 7;
        into.copy_from(0, &record);
        Ok(())
    }

    fn readdir(&self, _: &(), into: &Bytes) -> Result<u64, Errno> {
        let mut entry = vec![b'x'; 256];
        entry[16..18].copy_from_slice(&256_u16.to_ne_bytes());
        entry[18] = 8;
        entry[255] = 0;
        let count = into.len() / entry.len();
        let filled = into.copy_from(0, &entry.repeat(count));
        Ok(filled as u64)
    }
}

#[test]
fn a_directory_without_end_is_an_error() {
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        println!("SKIPPED: nothing can be mounted");
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (names, at) = (folder.path().join("names"), folder.path().join("at"));
    fs::create_dir(&at).unwrap();
    // SAFETY: this is the only test of its program, and has no other thread yet that would look.
    unsafe { std::env::set_var("OUZEL_SCHEMES", &names) };
    let (sender, receiver) = channel();
    let server = std::thread::spawn(move || {
        let make = |_: &_| Ok(Answering::new(AtOnce(Endless), 64));
        let name = Name::parse("endless").unwrap();
        let mut server = Server::bind(&name, Quotas::default(), make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv().unwrap();
    let mut mount = Command::new(env!("CARGO_BIN_EXE_ouzel"))
        .args(["mount", "endless:", at.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(mount.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let listed = fs::read_dir(&at).unwrap().next();
    let stays = fs::metadata(&at).map(|root| root.is_dir());
    kill_process(Pid::from_child(&mount), Signal::TERM).unwrap();
    mount.wait().unwrap();
    stopper.stop();
    server.join().unwrap();
    if !said.starts_with("mounted") {
        println!("SKIPPED: nothing can be mounted: {said}");
        return;
    }
    let error = listed.unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(stays.unwrap());
}
