//! A service for connected rings, in this process.
#![allow(dead_code)] // Each test uses some of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::scheme::{Name, Quotas, Server, Stopper};
use ouzel::{Ring, RingBuilder};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A service on a thread of its own, and a folder.
pub struct Service {
    pub name: String,
    pub folder: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn start() -> Service {
        // The sockets' folder is the same for all tests of this process.
        static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
        let base = FOLDER.get_or_init(|| {
            let base = PathBuf::from(format!("/dev/shm/ouzel-remote-{}", std::process::id()));
            std::fs::create_dir_all(&base).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(&base, mode).unwrap();
            // SAFETY: the first thing that any test here does; none reads the environment beside it.
            unsafe { std::env::set_var("OUZEL_SCHEMES", &base) };
            base
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!("files-{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let name = format!("test-{number}:");
        let (sender, receiver) = channel();
        let bound = Name::parse(&name).unwrap();
        let thread = std::thread::spawn(move || {
            let make = |_: &_| {
                let opened = RingBuilder::new().descriptors(64).watched().open_backend();
                opened.map(|(backend, _)| backend).map_err(|_| Errno::ENOMEM)
            };
            let server: Result<Server<Box<dyn HostBackend>>, _> =
                Server::bind(&bound, Quotas::default(), make);
            let mut server = server.unwrap();
            sender.send(server.stopper()).unwrap();
            server.run().unwrap();
        });
        let stopper = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        Service { name, folder, stopper, thread: Some(thread) }
    }

    pub fn ring(&self) -> Ring {
        // SAFETY: the service is of this program, and touches what operations name.
        unsafe { Ring::builder().connect_trusting(&self.name) }.unwrap()
    }

    pub fn stop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_dir(self.folder.parent().unwrap());
    }
}
