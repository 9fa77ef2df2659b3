//! What operations are set up on: a ring, an executor or somebody else's thread, and the scene that a cell of the table has
//! for itself: descriptors, a folder, a pool in debug mode whose memory operations use.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::ShutdownHow;
use ouzel::backend::sim::SimProcess;
use ouzel::pool::{Pool, Slice};
use ouzel::task::{Executor, Handle, Remote};
use ouzel::{
    BackendKind, Buffer, Chain, Done, Error, FutexWord, Kind, Program, Reg, Ring, RingBuilder, SocketAddress,
    Stored,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::watch::{Watch, Watching};

/// The longest anything may take that should come at once.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A cell that stands for itself, outside of the table: its name, and what it does on a backend.
pub type Cell = (&'static str, fn(BackendKind));

/// Something that chains can be run on.
pub trait Stage {
    fn kind(&self) -> BackendKind;
    fn run(&mut self, chain: Chain) -> Result<Done, Error>;
    /// A bell, taken in.
    fn bell(&mut self) -> Descriptor;
    fn simulate(&mut self, process: SimProcess) -> i32;
    fn adopt_process(&mut self, number: i32) -> Descriptor;
    fn store(&mut self, program: Program<usize>) -> Stored<usize>;
}

impl dyn Stage + '_ {
    /// Runs one operation, and expects it to succeed.
    pub fn one<T: Kind>(&mut self, build: impl FnOnce(&mut Chain) -> Reg<T>) -> T::Value {
        self.attempt(build).unwrap()
    }

    pub fn attempt<T: Kind>(&mut self, build: impl FnOnce(&mut Chain) -> Reg<T>) -> Result<T::Value, Error> {
        let mut chain = Chain::new();
        let reg = build(&mut chain);
        self.run(chain)?.get(reg)
    }

    pub fn pause(&mut self, time: Duration) {
        self.one(|chain| chain.sleep(time));
    }
}

pub fn builder(kind: BackendKind) -> RingBuilder {
    Ring::builder().backend(kind).seed(7).entries(64).descriptors(64).teardown_bound(LIMIT)
}

/// An executor on a watched backend.
pub struct Runtime {
    pub kind: BackendKind,
    pub executor: Executor,
    pub handle: Handle,
    pub watch: Watching,
}

impl Runtime {
    pub fn new(kind: BackendKind) -> Runtime {
        Runtime::with(kind, builder(kind))
    }

    pub fn with(kind: BackendKind, builder: RingBuilder) -> Runtime {
        let (backend, _) = builder.open_backend().unwrap();
        let (backend, watch) = Watch::over(backend);
        let executor = Executor::builder().build_on(builder.build_on(Box::new(backend)).unwrap()).unwrap();
        Runtime { kind, handle: executor.handle(), executor, watch }
    }

    /// Polls a future once, as the executor's own task.
    pub fn poll_once<F: Future + Unpin>(&mut self, future: &mut F) -> Poll<F::Output> {
        let polled = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context)));
        self.executor.block_on(polled).unwrap()
    }

    /// Lets it turn some times, so that what is queued is in the kernel.
    pub fn turns(&mut self) {
        for _ in 0..3 {
            self.executor.block_on(self.handle.sleep(Duration::from_micros(200))).unwrap();
        }
    }

    /// Lets it turn until this holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Runtime) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < LIMIT,
                "{what}: {:?} {:?}",
                self.handle.gauges(),
                self.watch.in_flight()
            );
            self.executor.block_on(self.handle.sleep(Duration::from_micros(200))).unwrap();
        }
    }

    /// Nothing is in flight but the bell.
    pub fn is_idle(&self) -> bool {
        self.handle.gauges().packets == 1 && self.watch.in_flight() <= 1
    }

    /// Waits until that is so.
    pub fn settle(&mut self, what: &str) {
        self.until(what, Runtime::is_idle);
        // What came too late is seen to between the tasks of the next turns.
        self.turns();
        self.until(what, Runtime::is_idle);
        assert!(self.handle.gauges().started <= 1, "{what}: {:?}", self.handle.gauges());
    }

    /// Drops the executor, and checks what a drop promises.
    pub fn end(self) {
        let Runtime { executor, handle, watch, .. } = self;
        drop(executor);
        assert_eq!(handle.gauges().packets, 0);
        assert_eq!(watch.in_flight(), 0, "the backend has something after its executor is gone");
        assert_eq!(watch.faults(), 0, "the kernel met memory that had been given back");
    }
}

impl Stage for Runtime {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn run(&mut self, chain: Chain) -> Result<Done, Error> {
        self.executor.block_on(self.handle.run(chain))?
    }

    fn bell(&mut self) -> Descriptor {
        let bell = self.handle.bell().unwrap();
        self.handle.adopt_bell(&bell).unwrap()
    }

    fn simulate(&mut self, process: SimProcess) -> i32 {
        self.handle.simulate_process(process).unwrap()
    }

    fn adopt_process(&mut self, number: i32) -> Descriptor {
        self.handle.adopt_process(number).unwrap()
    }

    fn store(&mut self, program: Program<usize>) -> Stored<usize> {
        self.handle.store(program).unwrap()
    }
}

/// A ring by itself.
pub struct Bare<M> {
    pub kind: BackendKind,
    pub ring: Ring<M>,
}

impl<M> Stage for Bare<M> {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn run(&mut self, chain: Chain) -> Result<Done, Error> {
        self.ring.run(chain)
    }

    fn bell(&mut self) -> Descriptor {
        let bell = self.ring.bell().unwrap();
        self.ring.adopt_bell(&bell).unwrap()
    }

    fn simulate(&mut self, process: SimProcess) -> i32 {
        self.ring.simulate_process(process).unwrap()
    }

    fn adopt_process(&mut self, number: i32) -> Descriptor {
        self.ring.adopt_process(number).unwrap()
    }

    fn store(&mut self, program: Program<usize>) -> Stored<usize> {
        self.ring.store(program).unwrap()
    }
}

/// An executor on another thread.
pub struct Far {
    pub kind: BackendKind,
    pub remote: Remote,
}

impl Stage for Far {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn run(&mut self, chain: Chain) -> Result<Done, Error> {
        self.remote.run(chain).wait()
    }

    fn bell(&mut self) -> Descriptor {
        let made = self.remote.call(|handle| handle.bell().and_then(|bell| handle.adopt_bell(&bell)));
        made.wait().unwrap().unwrap()
    }

    fn simulate(&mut self, process: SimProcess) -> i32 {
        self.remote.call(move |handle| handle.simulate_process(process)).wait().unwrap().unwrap()
    }

    fn adopt_process(&mut self, number: i32) -> Descriptor {
        self.remote.call(move |handle| handle.adopt_process(number)).wait().unwrap().unwrap()
    }

    fn store(&mut self, program: Program<usize>) -> Stored<usize> {
        self.remote.call(move |handle| handle.store(program)).wait().unwrap().unwrap()
    }
}

/// Bytes of the pool of a scene: few enough to take all of them.
const POOL: usize = 1 << 17;

/// What one cell works with.
pub struct Scene {
    kind: BackendKind,
    folder: PathBuf,
    pub pool: Pool,
    /// Open in the stage.
    pub files: Vec<Descriptor>,
    pub address: Option<SocketAddress>,
    pub word: Arc<FutexWord>,
    pub child: i32,
    pub stored: Option<Stored<usize>>,
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A folder of this process for files on a disk.
pub fn home() -> PathBuf {
    let listed = std::env::var_os("OUZEL_TEST_DIRS");
    let first = listed.and_then(|listed| std::env::split_paths(&listed).next());
    first.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
}

/// A pool in debug mode, in which what is given back is out of everybody's reach.
pub fn small_pool() -> Pool {
    Pool::builder().region_size(POOL).regions(1).debug(true).quarantine(POOL).build().unwrap()
}

impl Scene {
    pub fn new(stage: &mut dyn Stage) -> Scene {
        let kind = stage.kind();
        let name = format!("ouzel-soundness-{}-{}", std::process::id(), next_number());
        let folder = if kind == BackendKind::Sim { PathBuf::from(name) } else { home().join(name) };
        stage.one(|chain| chain.mkdir(ouzel::Directory::Working, &folder, 0o755));
        Scene {
            kind,
            folder,
            pool: small_pool(),
            files: Vec::new(),
            address: None,
            word: Arc::new(FutexWord::new(1)),
            child: 0,
            stored: None,
        }
    }

    /// A path in the folder that is the scene's own.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// An abstract name for a socket.
    pub fn socket_name(&self) -> SocketAddress {
        let name = format!("ouzel-soundness-{}-{}", std::process::id(), next_number());
        SocketAddress::unix_abstract(name.as_bytes()).unwrap()
    }

    pub fn address(&self) -> &SocketAddress {
        self.address.as_ref().unwrap()
    }

    /// Room to read into, of the pool.
    pub fn room(&self) -> Buffer {
        Buffer::from_pool(&self.pool, 4096).unwrap()
    }

    /// Bytes to write, of the pool.
    pub fn bytes(&self, length: usize) -> Buffer {
        let mut slice = self.pool.get(length).unwrap();
        slice.fill(b'x');
        Buffer::from(slice)
    }

    /// Slices of the pool that somebody has.
    pub fn in_use(&self) -> usize {
        self.pool.statistics().in_use
    }

    /// A child that goes on until it is killed; in the simulator, for a virtual second.
    #[allow(clippy::zombie_processes)] // The ring waits for it, or the drop of the scene.
    pub fn start_child(&mut self, stage: &mut dyn Stage) {
        if self.kind == BackendKind::Sim {
            let process = SimProcess { runs: Duration::from_secs(1), status: 0, signal: 9 };
            self.child = stage.simulate(process);
            return;
        }
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        self.child = child.id() as i32;
    }

    pub fn end_child(&mut self, stage: &mut dyn Stage) {
        if self.kind == BackendKind::Sim {
            stage.pause(Duration::from_secs(2));
        } else if let Some(child) = Pid::from_raw(self.child) {
            kill_process(child, Signal::KILL).ok();
        }
    }

    /// Closes what is open; what an operation has closed already is refused.
    pub fn strike(&mut self, stage: &mut dyn Stage) {
        for file in self.files.drain(..) {
            // What may still wait on the other side is told.
            stage.attempt(|chain| chain.shutdown(file, ShutdownHow::Both)).ok();
            stage.attempt(|chain| chain.close(file)).ok();
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.kind == BackendKind::Sim {
            return;
        }
        std::fs::remove_dir_all(&self.folder).ok();
        if let Some(child) = Pid::from_raw(self.child) {
            // The ring may have waited for it already.
            if kill_process(child, Signal::KILL).is_ok() {
                waitpid(Some(child), WaitOptions::empty()).ok();
            }
        }
    }
}

/// All of a pool that is free, filled: whoever still writes there is seen.
pub struct Trap(Vec<Slice>);

const PATTERN: u8 = 0xa5;

impl Trap {
    pub fn fill(pool: &Pool) -> Trap {
        let mut slices = Vec::new();
        while let Ok(mut slice) = pool.get(4096) {
            slice.fill(PATTERN);
            slices.push(slice);
        }
        Trap(slices)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn check(self) {
        for slice in &self.0 {
            let is_whole = slice.iter().all(|byte| *byte == PATTERN);
            assert!(is_whole, "memory was written to after somebody else had got it");
        }
    }
}

/// Files that this process has open.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Waits until no more files are open than before: threads close theirs as they end, the kernel some of its late.
pub fn check_files(before: usize) {
    let begun = Instant::now();
    while open_files() > before {
        assert!(begun.elapsed() < LIMIT / 2, "descriptors leak: {} instead of {before}", open_files());
        std::thread::sleep(Duration::from_micros(500));
    }
}
