//! A service for connected rings, in this process.
#![allow(dead_code)] // Each test uses some of it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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
        let (name, folder) = place();
        let (stopper, thread) = serve(&name);
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

/// A name that nobody serves yet, and a folder.
pub fn place() -> (String, PathBuf) {
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
    (name, folder)
}

/// Serves a name on a thread of its own.
fn serve(name: &str) -> (Stopper, JoinHandle<()>) {
    let name = name.to_owned();
    let (sender, receiver) = channel();
    let bound = Name::parse(&name).unwrap();
    let thread = std::thread::spawn(move || {
        let make = |_: &_| {
            let opened = RingBuilder::new().descriptors(64).watched().open_backend();
            opened.map(|(backend, _)| backend).map_err(|_| Errno::ENOMEM)
        };
        let server: Result<Server<Box<dyn HostBackend>>, _> = Server::bind(&bound, Quotas::default(), make);
        let mut server = server.unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    (stopper, thread)
}

/// A service in a process of its own, which can be killed.
pub struct Process {
    pub name: String,
    pub folder: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub fn start() -> Process {
        let (name, folder) = place();
        let mut process = Process { name, folder, child: None };
        process.serve();
        process
    }

    /// Serves the name (again): comes back when it is served. The test binary itself is the program: its test `a_service_alone`.
    pub fn serve(&mut self) {
        self.kill();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_service_alone", "--nocapture"])
            .env("OUZEL_TEST_SERVICE", &self.name)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_served = lines.map_while(Result::ok).any(|line| line.contains("is served"));
        self.child = Some(child);
        assert!(is_served, "{} is not served", self.name);
    }

    /// Has it end by itself, and waits until it has.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Kills it, if it lives, and waits until it has gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the test `a_service_alone` does: it serves the name that it was given, if any, until it is killed or left alone.
pub fn alone() {
    let Some(name) = std::env::var_os("OUZEL_TEST_SERVICE") else { return };
    let (stopper, thread) = serve(name.to_str().unwrap());
    println!("\nthe name is served");
    // Whoever has started it holds the other end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    stopper.stop();
    thread.join().unwrap();
}
