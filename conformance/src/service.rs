//! The suite's services: what the engine of a ring is that is reached by name.
//!
//! They run in this process, each on a thread that is started when it is first asked for and stays; a client cannot tell that
//! from another process. Each connection gets a backend of its own, the best there is here.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::scheme::{Name, Quotas, Server};
use ouzel::{RawRing, RingBuilder};

/// What a connection has of that which the suite runs into the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limits {
    /// Descriptors of the table.
    pub descriptors: u32,
    /// Steps of programs that run at once.
    pub program_steps: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { descriptors: 64, program_steps: 1024 }
    }
}

/// What is put around the backend of a connection.
pub type Wrap = Box<dyn FnOnce(Box<dyn HostBackend>) -> Box<dyn HostBackend> + Send>;

/// The services that were started, by the limits of their connections: the name, or why there is none.
static STARTED: Mutex<BTreeMap<Limits, Result<String, String>>> = Mutex::new(BTreeMap::new());
/// Clients connect one at a time, so that what is put around a backend is put around the right one.
static CONNECTING: Mutex<()> = Mutex::new(());
static WRAP: Mutex<Option<Wrap>> = Mutex::new(None);
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides where the sockets are: in a folder of this process, in the one of these with the shortest path. Whoever calls it first
/// has no other threads yet.
pub fn prepare(directories: &[PathBuf]) {
    FOLDER.get_or_init(|| {
        // The path of a socket has 107 bytes at the most.
        let base = directories.iter().min_by_key(|path| path.as_os_str().len()).cloned();
        let folder = base.unwrap_or_else(std::env::temp_dir).join(format!("schemes-{}", std::process::id()));
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        // SAFETY: tests call this from `main`, before they start anything.
        unsafe { std::env::set_var("OUZEL_SCHEMES", &folder) };
        folder
    });
}

/// Removes what [`prepare`] has made.
pub fn finish() {
    if let Some(folder) = FOLDER.get() {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A ring of the service whose connections have these limits, as `builder` asks for it.
pub fn connect(builder: &RingBuilder, limits: Limits, wrap: Option<Wrap>) -> Result<RawRing, String> {
    let name = lock(&STARTED).entry(limits).or_insert_with(|| start(limits)).clone()?;
    let _alone = lock(&CONNECTING);
    *lock(&WRAP) = wrap;
    let ring = builder.connect_raw(&name).map_err(|error| error.to_string());
    *lock(&WRAP) = None;
    ring
}

/// What the suite does on purpose ends no connection.
fn quotas(limits: Limits) -> Quotas {
    let Limits { descriptors, program_steps } = limits;
    Quotas {
        connections: 1 << 16,
        connections_of_user: 1 << 16,
        entries: 1 << 16,
        descriptors,
        program_steps,
        shared_bytes: 1 << 30,
        regions: 1 << 10,
        chain: 1 << 16,
        refused: u32::MAX,
        doorbells: u32::MAX,
        handshake: Duration::from_secs(10),
        ..Quotas::default()
    }
}

fn start(limits: Limits) -> Result<String, String> {
    let Limits { descriptors, program_steps } = limits;
    let text = format!("suite-{descriptors}-{program_steps}:");
    let name = Name::parse(&text).map_err(|error| error.to_string())?;
    let (sender, receiver) = channel();
    let serve = move || {
        let make = move |_: &_| {
            let builder = RingBuilder::new().descriptors(descriptors).watched();
            let (backend, _) = builder.open_backend().map_err(|_| Errno::ENOMEM)?;
            Ok(match lock(&WRAP).take() {
                Some(wrap) => wrap(backend),
                None => backend,
            })
        };
        let made: Result<Server<Box<dyn HostBackend>>, _> = Server::bind(&name, quotas(limits), make);
        match made {
            Ok(mut server) => {
                let _ = sender.send(Ok(()));
                if let Err(error) = server.run() {
                    eprintln!("the suite's service has ended: {error}");
                }
            }
            Err(error) => drop(sender.send(Err(error.to_string()))),
        }
    };
    std::thread::Builder::new().name(text.clone()).spawn(serve).map_err(|error| error.to_string())?;
    receiver.recv().map_err(|error| error.to_string())??;
    Ok(text)
}
