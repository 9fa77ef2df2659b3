//! A client that keeps to nothing: the bytes of the protocol and the words of the ring, by hand.
//!
//! It shares no code with the client it impersonates, so that a mistake in both does not go unseen. What the messages are is in
//! `docs/schemes.md`.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg,
    socket_with,
};

/// Kinds of messages.
pub const HELLO: u32 = 1;
pub const ADD_REGION: u32 = 2;
pub const CANCEL: u32 = 5;
pub const STORE_PROGRAM: u32 = 16;
pub const FORGET_PROGRAM: u32 = 17;
pub const FIND_PROGRAM: u32 = 18;
pub const WELCOME: u32 = 257;
pub const REFUSED: u32 = 258;
pub const REGION_ADDED: u32 = 259;
pub const REGION_REFUSED: u32 = 260;
pub const CANCELLED: u32 = 262;
pub const PROGRAM_STORED: u32 = 272;
pub const PROGRAM_REFUSED: u32 = 273;
pub const PROGRAM_FORGOTTEN: u32 = 274;
pub const PROGRAM_FOUND: u32 = 275;

/// A message of `kind` with these bytes behind its head, filled up with zeros.
pub fn message(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"ouzS".to_vec();
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().max(32), 0);
    bytes
}

/// HELLO for queues of these sizes.
pub fn hello(entries: u32, completions: u32) -> Vec<u8> {
    hello_with(0, entries, completions)
}

/// HELLO that asks for these features, too.
fn hello_with(features: u64, entries: u32, completions: u32) -> Vec<u8> {
    let mut body = features.to_le_bytes().to_vec();
    for word in [entries, completions, 1, 0, 0, 0] {
        body.extend_from_slice(&word.to_le_bytes());
    }
    message(HELLO, &body)
}

/// ADD REGION.
pub fn add_region(length: u64) -> Vec<u8> {
    let mut body = 7u64.to_le_bytes().to_vec();
    body.extend_from_slice(&length.to_le_bytes());
    message(ADD_REGION, &body)
}

/// STORE PROGRAM.
pub fn store_program(length: u64) -> Vec<u8> {
    let mut body = 8u64.to_le_bytes().to_vec();
    body.extend_from_slice(&length.to_le_bytes());
    message(STORE_PROGRAM, &body)
}

/// FORGET PROGRAM.
pub fn forget_program(number: u32) -> Vec<u8> {
    let mut body = 9u64.to_le_bytes().to_vec();
    body.extend_from_slice(&number.to_le_bytes());
    message(FORGET_PROGRAM, &body)
}

/// FIND PROGRAM.
pub fn find_program(name: &[u8]) -> Vec<u8> {
    let mut body = 10u64.to_le_bytes().to_vec();
    body.extend_from_slice(name);
    let mut bytes = message(FIND_PROGRAM, &body);
    bytes.resize(88, 0);
    bytes
}

/// The image of a program that is called with nothing and has these entries and constants.
pub fn image(entries: &[[u64; 8]], constants: &[u8]) -> Vec<u8> {
    let mut bytes = (entries.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0, 255, 0]);
    bytes.extend_from_slice(&(constants.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    entries.iter().flatten().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.extend_from_slice(constants);
    bytes
}

/// The kind of a message.
pub fn kind(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[4..8].try_into().unwrap())
}

/// The word at `offset` of a message.
pub fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// A control socket, and nothing else yet.
pub struct Knocker(pub OwnedFd);

impl Knocker {
    pub fn new(path: &Path) -> Knocker {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Knocker(socket)
    }

    /// Sends a message with descriptors. False if the server has hung up.
    pub fn send(&self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        let bytes = [std::io::IoSlice::new(bytes)];
        sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL).is_ok()
    }

    /// The next message with its descriptors, waited for up to ten seconds; `None` when the server has hung up.
    pub fn receive(&self) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "the server says nothing");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; 256];
        let parts = &mut [std::io::IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.0, parts, &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = received.map_or(0, |received| received.bytes);
        if length == 0 {
            return None;
        }
        bytes.truncate(length);
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        Some((bytes, files))
    }

    /// Whether the server hangs up within `limit`, whatever it still says before.
    pub fn is_hung_up(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            if poll(&mut fds, Some(&moment)).unwrap() > 0 && self.receive().is_none() {
                return true;
            }
        }
        false
    }
}

/// Mapped memory.
pub struct Mapped {
    pub base: *mut u8,
    pub length: usize,
}

// SAFETY: an address; what is done with it goes through atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    pub fn new(file: BorrowedFd<'_>, protection: ProtFlags) -> rustix::io::Result<Mapped> {
        let length = rustix::fs::fstat(file)?.st_size as usize;
        // SAFETY: the kernel chooses the place.
        let base = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0) }?;
        Ok(Mapped { base: base.cast(), length })
    }

    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.length && offset.is_multiple_of(4));
        // SAFETY: inside the mapping, aligned, and never anything but an atomic.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }
    }

    pub fn long(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.length && offset.is_multiple_of(8));
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nobody has a reference any more.
        unsafe { munmap(self.base.cast(), self.length) }.unwrap();
    }
}

/// A ring that it was granted, with every word in reach.
pub struct Evil {
    pub control: Knocker,
    pub engine: Mapped,
    pub submitter: Mapped,
    pub doorbell: OwnedFd,
    /// What the service makes readable, if it was asked for.
    pub readiness: Option<OwnedFd>,
    pub engine_part: OwnedFd,
    pub entries: u32,
    pub completions: u32,
    tail: u32,
}

impl Evil {
    /// Behaves until it has a ring.
    pub fn new(path: &Path, entries: u32, completions: u32) -> Evil {
        Evil::with_features(path, 0, entries, completions)
    }

    /// The same with a descriptor of readiness.
    pub fn watching(path: &Path, entries: u32, completions: u32) -> Evil {
        // What there is no such thing as is not granted.
        let evil = Evil::with_features(path, u64::MAX, entries, completions);
        assert!(evil.readiness.is_some());
        evil
    }

    fn with_features(path: &Path, features: u64, entries: u32, completions: u32) -> Evil {
        let control = Knocker::new(path);
        assert!(control.send(&hello_with(features, entries, completions), &[]));
        let (bytes, mut files) = control.receive().expect("a welcome");
        assert_eq!(kind(&bytes), WELCOME);
        let granted = features & 1;
        assert_eq!((word(&bytes, 16), word(&bytes, 20)), (granted as u32, 0), "what both know");
        let readiness = if granted == 1 { files.pop() } else { None };
        let (entries, completions) = (word(&bytes, 24), word(&bytes, 28));
        let [engine_part, submitter_part, doorbell]: [OwnedFd; 3] = files.try_into().unwrap();
        let engine = Mapped::new(engine_part.as_fd(), ProtFlags::READ).unwrap();
        let submitter = Mapped::new(submitter_part.as_fd(), ProtFlags::READ | ProtFlags::WRITE).unwrap();
        Evil { control, engine, submitter, doorbell, readiness, engine_part, entries, completions, tail: 0 }
    }

    /// Writes the next entry: `timeout, data, op | flags << 32, arg0..arg4`.
    pub fn write_entry(&mut self, words: [u64; 8]) {
        let slot = (self.tail & (self.entries - 1)) as usize;
        for (at, word) in words.into_iter().enumerate() {
            self.submitter.long(64 + slot * 64 + at * 8).store(word, Ordering::Relaxed);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows what was written, and rings.
    pub fn publish(&self) {
        self.set_tail(self.tail);
        self.ring();
    }

    /// Writes any tail at all.
    pub fn set_tail(&self, tail: u32) {
        self.submitter.word(0).store(tail, Ordering::SeqCst);
    }

    /// Writes any completion head at all.
    pub fn set_head(&self, head: u32) {
        self.submitter.word(4).store(head, Ordering::SeqCst);
    }

    /// Writes anything at all to the word that says whether it sleeps.
    pub fn say_asleep(&self, word: u32) {
        self.submitter.word(12).store(word, Ordering::SeqCst);
    }

    /// Rings whether there is something or not.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.doorbell, &1u64.to_ne_bytes());
    }

    /// The engine's completion tail.
    pub fn posted(&self) -> u32 {
        self.engine.word(4).load(Ordering::SeqCst)
    }

    /// The completion at `index`: op, error, data, result.
    pub fn completion(&self, index: u32) -> (u32, i32, u64, u64) {
        let at = 128 + (index & (self.completions - 1)) as usize * 32;
        let first = self.engine.long(at).load(Ordering::SeqCst);
        let data = self.engine.long(at + 8).load(Ordering::SeqCst);
        let result = self.engine.long(at + 16).load(Ordering::SeqCst);
        (first as u32, (first >> 32) as i32, data, result)
    }

    /// Waits until `count` completions were posted in all.
    pub fn wait_for(&self, count: u32) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.posted() < count {
            assert!(Instant::now() < end, "{} of {count} completions", self.posted());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
