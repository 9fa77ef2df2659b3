//! A service of one client that keeps to nothing.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ouzel::abi::{Completion, Entry};
use ouzel::scheme::Name;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, listen, recv, sendmsg, socket_with,
};

use super::service::place;

const WELCOME: u32 = 257;

/// Of the engine's part the indices have these bytes; the completions follow.
const LINES: usize = 128;

const COMPLETION: usize = 32;
const ENTRY: usize = 64;

/// What a service watches.
pub fn doorbell() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// Where a client comes.
pub struct Door {
    pub name: String,
    pub folder: PathBuf,
    socket: OwnedFd,
}

impl Door {
    pub fn new() -> Door {
        let (name, folder) = place();
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::SEQPACKET, flags, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(Name::parse(&name).unwrap().socket()).unwrap()).unwrap();
        listen(&socket, 1).unwrap();
        Door { name, folder, socket }
    }

    /// What `connect` comes to, when it is welcomed with this doorbell, and the service that it has then.
    pub fn welcomes<T>(&self, doorbell: OwnedFd, connect: impl FnOnce() -> T) -> (T, Hostile) {
        std::thread::scope(|scope| {
            let service = scope.spawn(|| self.welcome(doorbell));
            let connected = connect();
            (connected, service.join().unwrap())
        })
    }

    fn welcome(&self, doorbell: OwnedFd) -> Hostile {
        let control = accept_with(&self.socket, SocketFlags::CLOEXEC).unwrap();
        let mut hello = [0; 256];
        let (_, length) = recv(&control, &mut hello[..], RecvFlags::empty()).unwrap();
        assert_eq!(length, 48);
        let word = |at: usize| u32::from_le_bytes(hello[at..at + 4].try_into().unwrap());
        let (entries, completions) = (word(24), word(28));
        let fixed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        let (engine, engine_part) = Mapped::new(LINES + completions as usize * COMPLETION);
        fcntl_add_seals(&engine_part, fixed | SealFlags::FUTURE_WRITE).unwrap();
        let (submitter, submitter_part) = Mapped::new(64 + entries as usize * ENTRY);
        fcntl_add_seals(&submitter_part, fixed).unwrap();
        let mut welcome = b"ouzS".to_vec();
        for word in [WELCOME, 1, 0, 0, 0, entries, completions, entries, 16, 0, 0, 1, 0] {
            welcome.extend_from_slice(&u32::to_le_bytes(word));
        }
        welcome.extend_from_slice(&[0xff; 16]);
        welcome.resize(80, 0);
        send(&control, &welcome, &[engine_part.as_fd(), submitter_part.as_fd(), doorbell.as_fd()]);
        Hostile { engine, submitter, completions, _control: control }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Name::parse(&self.name).unwrap().socket());
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_dir(self.folder.parent().unwrap());
    }
}

fn send(control: &OwnedFd, bytes: &[u8], files: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(files)));
    let bytes = [std::io::IoSlice::new(bytes)];
    // The client may have gone.
    let _ = sendmsg(control, &bytes, &mut ancillary, SendFlags::NOSIGNAL);
}

/// The service's side of a ring, with every word in reach.
pub struct Hostile {
    engine: Mapped,
    submitter: Mapped,
    completions: u32,
    /// Its end is that of the connection.
    _control: OwnedFd,
}

impl Hostile {
    /// Posts as many of these as there is room for, and writes them into all of the queue.
    pub fn fill(&self, completion: Completion) {
        for slot in 0..self.completions as usize {
            for (at, word) in completion.to_words().into_iter().enumerate() {
                self.engine.long(LINES + slot * COMPLETION + at * 8).store(word, Ordering::Relaxed);
            }
        }
        self.keep_full();
    }

    /// Posts what lies in the slots that were given back.
    pub fn keep_full(&self) {
        let head = self.submitter.word(4).load(Ordering::Acquire);
        self.engine.word(4).store(head.wrapping_add(self.completions), Ordering::Release);
    }

    /// Posts this for the entry in this slot.
    pub fn answer(&self, slot: usize, error: i32, result: u64) {
        let entry = self.entry(slot);
        let completion = Completion { op: entry.op, error, data: entry.data, result, flags: 0, extra: 0 };
        let tail = self.engine.word(4).load(Ordering::Relaxed);
        let at = LINES + (tail % self.completions) as usize * COMPLETION;
        for (word, place) in completion.to_words().into_iter().zip((at..).step_by(8)) {
            self.engine.long(place).store(word, Ordering::Relaxed);
        }
        self.engine.word(4).store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Says that it takes nothing more.
    pub fn begin_to_close(&self) {
        self.engine.word(8).store(1, Ordering::SeqCst);
    }

    /// Says that it has to be woken.
    pub fn fall_asleep(&self) {
        self.engine.word(12).store(1, Ordering::SeqCst);
    }

    /// The entry in this slot.
    pub fn entry(&self, slot: usize) -> Entry {
        let word = |at| self.submitter.long(64 + slot * ENTRY + at * 8).load(Ordering::Acquire);
        Entry::from_words(std::array::from_fn(word))
    }
}

/// Memory that is mapped.
struct Mapped {
    base: *mut u8,
    length: usize,
}

// SAFETY: an address; what is done with it goes through atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// New memory of at least so many bytes, and the file behind it.
    fn new(length: usize) -> (Mapped, File) {
        let length = length.next_multiple_of(rustix::param::page_size());
        let file =
            File::from(memfd_create(c"hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
        file.write_all_at(&vec![0; length], 0).unwrap();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place.
        let base = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, &file, 0) };
        (Mapped { base: base.unwrap().cast(), length }, file)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.length && offset.is_multiple_of(4));
        // SAFETY: inside the mapping, aligned, and never anything but an atomic.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }
    }

    fn long(&self, offset: usize) -> &AtomicU64 {
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
