//! What an attack needs: a service on a thread of its own, good clients, and an account of what there was before.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ouzel::RingBuilder;
use ouzel::abi::{Entry, Errno, Verb};
use ouzel::backend::HostBackend;
use ouzel::scheme::{Client, ClientOptions, Name, Quotas, Server, Statistics, Stopper};

/// A service that runs.
pub struct Service {
    pub name: Name,
    stopper: Stopper,
    thread: Option<JoinHandle<Statistics>>,
}

/// The quotas of attacked services: small, so that they are met soon.
pub fn quotas() -> Quotas {
    Quotas {
        connections: 24,
        connections_of_user: 12,
        entries: 64,
        handshake: Duration::from_millis(100),
        ..Quotas::default()
    }
}

impl Service {
    pub fn start(quotas: Quotas) -> Service {
        Service::prepared(quotas, |_| {})
    }

    /// One that has been told something before it serves.
    pub fn prepared(
        quotas: Quotas,
        prepare: impl FnOnce(&mut Server<Box<dyn HostBackend>>) + Send + 'static,
    ) -> Service {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("evil-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = Name::parse(&name).unwrap();
        let descriptors = quotas.descriptors;
        let (sender, receiver) = std::sync::mpsc::channel();
        let served = name.clone();
        let thread = std::thread::spawn(move || {
            let make = move |_: &ouzel::scheme::Peer| {
                let builder = RingBuilder::new().descriptors(descriptors).watched();
                let (backend, _): (Box<dyn HostBackend>, _) =
                    builder.open_backend().map_err(|_| Errno::ENOMEM)?;
                Ok(backend)
            };
            let mut server = Server::bind(&served, quotas, make).unwrap();
            prepare(&mut server);
            sender.send(server.stopper()).unwrap();
            server.run().unwrap();
            server.statistics()
        });
        let stopper = receiver.recv_timeout(Duration::from_secs(10)).expect("the service starts");
        Service { name, stopper, thread: Some(thread) }
    }

    /// Where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.name.socket()
    }

    /// A client that behaves.
    pub fn good(&self) -> Client {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            // Those that were just thrown out may not have been counted off yet.
            match Client::connect(&self.name, &ClientOptions::default()) {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A good client is served: a hundred entries, one by one.
    pub fn serves(&self) {
        let mut client = self.good();
        ping(&mut client, 100);
        assert_eq!(client.close(Duration::from_secs(5)), 0);
    }

    /// Ends it, and returns what it has done.
    pub fn stop(mut self) -> Statistics {
        self.stopper.stop();
        self.thread.take().unwrap().join().expect("the service has not panicked")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// So many NOPs, each waited for.
pub fn ping(client: &mut Client, count: u64) {
    for data in 0..count {
        client.push(&Entry::new(Verb::Nop).data(data)).unwrap();
        let entered = client.enter(1, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(entered.readable, 1, "the service answers a good client");
        let completion = client.pop().unwrap();
        assert_eq!((completion.data, completion.error), (data, 0));
    }
}

/// What a process has.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    descriptors: usize,
    shared_mappings: usize,
    threads: usize,
}

fn account() -> Account {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    Account {
        descriptors: count("/proc/self/fd"),
        shared_mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
        threads: count("/proc/self/task"),
    }
}

/// Runs an attack, and compares what the process has before and after.
pub fn counted(attack: fn()) {
    let before = account();
    attack();
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let after = account();
        if after == before {
            return;
        }
        assert!(Instant::now() < end, "before {before:?}, after {after:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
