//! What the tests of services share: a server on a thread of its own, a client with memory, and entries for them.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Completion, Entry, EntryFlags, Payload, Verb};
use ouzel_scheme::{Answering, Client, ClientOptions, Name, Quotas, Scheme, Server, Statistics, Stopper};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// No test waits for longer.
pub const LONG: Duration = Duration::from_secs(20);

/// A service that runs.
pub struct Running {
    pub name: Name,
    stopper: Stopper,
    thread: Option<JoinHandle<Statistics>>,
}

/// The folder of names is one of this test's own.
fn own_folder() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let folder = PathBuf::from("/tmp").join(format!("ouzel-services-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // SAFETY: every test comes through here before it does anything else, and nothing else of them sets or reads the
        // environment meanwhile.
        unsafe { std::env::set_var("OUZEL_SCHEMES", folder) };
    });
}

/// Serves what `make` makes for each connection.
pub fn serve<S: Scheme>(mut make: impl FnMut() -> S + Send + 'static) -> Running {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    own_folder();
    let name = Name::parse(&format!("served-{}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap();
    let (sender, receiver) = mpsc::channel();
    let served = name.clone();
    let thread = std::thread::spawn(move || {
        let quotas = Quotas { descriptors: 16, ..Quotas::default() };
        let make = move |_: &_| Ok(Answering::new(make(), 16));
        let mut server = Server::bind(&served, quotas, make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
        server.statistics()
    });
    let stopper = receiver.recv_timeout(LONG).expect("the service starts");
    Running { name, stopper, thread: Some(thread) }
}

impl Running {
    pub fn client(&self) -> Guest {
        let mut client = Client::connect(&self.name, &ClientOptions::default()).unwrap();
        let memory = memory(LENGTH);
        let region = client.share(memory.as_fd(), LENGTH).unwrap();
        Guest { client, memory, region }
    }

    pub fn stop(mut self) -> Statistics {
        self.stopper.stop();
        self.thread.take().unwrap().join().expect("the service has not panicked")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Bytes that a client shares.
pub const LENGTH: usize = 64 << 10;

/// Memory of so many bytes as a service takes it.
pub fn memory(length: usize) -> File {
    let memory = memfd_create(c"services", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let memory = File::from(memory);
    memory.set_len(length as u64).unwrap();
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    memory
}

/// A client with memory that the service sees.
pub struct Guest {
    pub client: Client,
    memory: File,
    region: u16,
}

impl Guest {
    pub fn payload(&self, offset: u64) -> u64 {
        Payload::new(self.region, offset).unwrap().number()
    }

    pub fn put(&self, offset: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, offset).unwrap();
    }

    pub fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// An OPEN of this path, which is put at `offset`.
    pub fn open(&self, offset: u64, path: &str, flags: OpenFlags) -> Entry {
        self.put(offset, path.as_bytes());
        self.put(offset + path.len() as u64, &[0]);
        Entry::new(Verb::Open).arguments([0, self.payload(offset), path.len() as u64 + 1, flags.bits(), 0])
    }

    pub fn read(&self, file: u64, offset: u64, length: u64, position: u64) -> Entry {
        Entry::new(Verb::Read).arguments([file, self.payload(offset), length, position, 0])
    }

    pub fn push(&mut self, entry: Entry) {
        self.client.push(&entry).unwrap();
    }

    /// Shows what was pushed.
    pub fn show(&mut self) {
        self.client.enter(0, None).unwrap();
    }

    /// So many completions, in the order of their data.
    pub fn completions(&mut self, count: usize) -> Vec<Completion> {
        let end = Instant::now() + LONG;
        let mut all = Vec::new();
        while all.len() < count {
            assert!(Instant::now() < end, "{all:?}, and no more of {count}");
            self.client.enter(1, Some(Duration::from_secs(1))).unwrap();
            all.extend(std::iter::from_fn(|| self.client.pop()));
        }
        all.sort_by_key(|completion: &Completion| completion.data);
        all
    }

    /// What one entry comes to.
    pub fn ask(&mut self, entry: Entry) -> Completion {
        self.push(entry);
        self.completions(1)[0]
    }

    /// OPEN, which has to succeed.
    pub fn opened(&mut self, path: &str, flags: OpenFlags) -> u64 {
        let entry = self.open(0, path, flags);
        let completion = self.ask(entry);
        assert_eq!(completion.error, 0, "{path}");
        completion.result
    }
}

/// OPEN, `middle` and CLOSE, each linked to the next, the descriptor going through a register.
pub fn open_use_close(open: Entry, middle: Entry) -> [Entry; 3] {
    let load = EntryFlags::load(0, 0).unwrap();
    let close = Entry::new(Verb::Close).data(3).flags(load);
    [
        open.data(1).flags(EntryFlags::LINK | EntryFlags::save(0).unwrap()),
        middle.data(2).flags(EntryFlags::LINK | load),
        close,
    ]
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
