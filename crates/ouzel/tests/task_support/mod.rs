//! What the tests of tasks share: backends that are there, places for files, connections, and a limit for every test.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.
#![allow(dead_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::task::{Executor, Handle};
use ouzel::{BackendKind, Error, Ring, RingBuilder, SocketAddress};

pub const INET: u32 = 2;
pub const STREAM: u32 = 1;

/// The backends that are to be had here.
pub fn backends() -> Vec<BackendKind> {
    let all = [BackendKind::Uring, BackendKind::Threads, BackendKind::Sim];
    let usable = all.into_iter().filter(|kind| match builder(*kind).build() {
        Ok(_) => true,
        Err(error) => {
            println!("SKIPPED: {}: {error}", kind.name());
            false
        }
    });
    usable.collect()
}

/// A small ring on this backend.
pub fn builder(kind: BackendKind) -> RingBuilder {
    Ring::builder().backend(kind).seed(7).entries(64)
}

pub fn executor(kind: BackendKind) -> Executor {
    Executor::builder().ring(builder(kind)).build().unwrap()
}

/// Runs `test` on a thread of its own, for each backend, for two minutes at the most.
pub fn on_each(test: fn(BackendKind)) {
    for kind in backends() {
        let begun = std::time::Instant::now();
        bounded(kind.name(), move || test(kind));
        println!("{}: {:?}", kind.name(), begun.elapsed());
    }
}

/// Runs `test` on a thread of its own, for two minutes at the most.
pub fn bounded(name: &str, test: impl FnOnce() + Send + 'static) {
    let (over, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = over.send(());
    });
    let ended = wait.recv_timeout(Duration::from_secs(120));
    assert_ne!(ended, Err(mpsc::RecvTimeoutError::Timeout), "{name}: it hangs");
    if let Err(panic) = thread.join() {
        println!("it was on {name}");
        std::panic::resume_unwind(panic);
    }
}

/// A name for a file that nobody has, in a place that this backend sees; real files are gone afterwards.
pub struct Place(PathBuf);

impl Place {
    pub fn new(kind: BackendKind) -> Place {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("ouzel-tasks-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        if kind == BackendKind::Sim {
            return Place(PathBuf::from(name));
        }
        let listed = std::env::var_os("OUZEL_TEST_DIRS");
        let first = listed.and_then(|listed| std::env::split_paths(&listed).next());
        Place(first.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).join(name))
    }

    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A socket that listens on a port of its own, and its address.
pub async fn listener(handle: &Handle) -> Result<(Descriptor, SocketAddress), Error> {
    let socket = handle.socket(INET, STREAM, 0).await?;
    handle.bind(socket, &SocketAddress::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).await?;
    handle.listen(socket, 128).await?;
    let address = handle.sockname(socket).await?;
    Ok((socket, address))
}

pub async fn connect(handle: &Handle, address: &SocketAddress) -> Result<Descriptor, Error> {
    let socket = handle.socket(INET, STREAM, 0).await?;
    handle.connect(socket, address).await?;
    Ok(socket)
}

/// Polls a future once.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> impl Future<Output = std::task::Poll<F::Output>> {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context)))
}

/// Lets the executor turn until this holds.
pub async fn until(handle: &Handle, what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came: {what}");
        handle.sleep(Duration::from_micros(200)).await;
    }
}

/// Both ends of a connection.
pub async fn connected(handle: &Handle) -> Result<(Descriptor, Descriptor), Error> {
    let (server, address) = listener(handle).await?;
    let accepting = handle.spawn({
        let handle = handle.clone();
        async move { handle.accept(server).await }
    });
    let near = connect(handle, &address).await?;
    let far = accepting.await.map_err(|_| ()).unwrap()?;
    handle.close(server).await?;
    Ok((near, far))
}
