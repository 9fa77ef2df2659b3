//! A server in a process of its own, a client that writes bytes and reads answers, and folders of files.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)] // Each test file uses its part.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest anything may take.
pub const BOUND: Duration = Duration::from_secs(30);

/// Folders on each file system that is to be tested.
pub fn folders() -> Vec<tempfile::TempDir> {
    let default = format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR"));
    let dirs = std::env::var("OUZEL_TEST_DIRS").unwrap_or(default);
    let made = |dir: &str| {
        let _ = std::fs::create_dir_all(dir);
        tempfile::Builder::new().prefix("ouzel-http-").tempdir_in(dir).ok()
    };
    let folders: Vec<_> = dirs.split(':').filter(|dir| !dir.is_empty()).filter_map(made).collect();
    assert!(!folders.is_empty(), "none of {dirs} can be written to");
    folders
}

/// Bytes that differ wherever they are cut.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut made = Vec::with_capacity(length + 8);
    while made.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(length);
    made
}

/// A server that is running.
pub struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub address: SocketAddr,
    /// Descriptors of its process before anybody connected.
    baseline: usize,
}

impl Server {
    /// Starts one; `None` if it cannot run on this backend here.
    pub fn start(root: &Path, backend: &str, more: &[&str]) -> Option<Server> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ouzel-http"))
            .arg(root)
            .args(["--listen", "127.0.0.1:0", "--backend", backend])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            child.wait().unwrap();
            assert!(said.contains("cannot use the uring backend"), "it said {line:?} and {said:?}");
            println!("SKIPPED: {}", said.trim());
            return None;
        };
        let address = address.trim_end_matches('/').parse().unwrap();
        let mut server = Server { child, output, address, baseline: 0 };
        // One request, after which it has all it needs.
        let mut client = server.connect();
        client.send(b"GET /nothing-of-this-name HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().status, 404);
        client.at_end();
        std::thread::sleep(Duration::from_millis(50));
        server.baseline = server.descriptors();
        Some(server)
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// One answer on a connection of its own.
    pub fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request.as_bytes());
        if request.starts_with("HEAD") { client.head() } else { client.answer() }
    }

    /// A GET of one file.
    pub fn file(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    pub fn signal(&self) {
        let process = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// Checks that nothing is left open once everybody is gone, and that it ends when told to.
    #[track_caller]
    pub fn finish(self) {
        let started = Instant::now();
        while self.descriptors() > self.baseline {
            assert!(
                started.elapsed() < BOUND,
                "{} descriptors, {} before",
                self.descriptors(),
                self.baseline
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal();
        self.ended();
    }

    /// Waits until it has ended, and returns what it said last.
    #[track_caller]
    pub fn ended(mut self) -> String {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < BOUND, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        assert!(status.success(), "{status}: {said}");
        assert!(said.contains(", 0 descriptors left"), "{said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A client that trusts nothing.
pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, input: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Takes more bytes; false at the end.
    fn fill(&mut self) -> bool {
        let mut room = [0; 16 * 1024];
        let length = self.stream.read(&mut room).unwrap();
        self.input.extend_from_slice(&room[..length]);
        length > 0
    }

    /// The head of an answer, whose body is empty.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.fill(),
                "the connection ended in a head: {:?}",
                String::from_utf8_lossy(&self.input)
            );
        };
        let head = String::from_utf8(self.input.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Answer { status, fields: lines.map(field).collect(), body: Vec::new() }
    }

    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.status != 304 {
            let length: usize = answer.field("content-length").unwrap().parse().unwrap();
            while self.input.len() < length {
                assert!(self.fill(), "the connection ended in a body");
            }
            answer.body = self.input.drain(..length).collect();
        }
        answer
    }

    /// The other side has stopped sending, and has sent nothing more.
    #[track_caller]
    pub fn at_end(&mut self) {
        assert!(
            self.input.is_empty() && !self.fill(),
            "more came: {:?}",
            String::from_utf8_lossy(&self.input)
        );
    }

    pub fn shut(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// Runs a test on each backend and file system. `fill` makes the files; the root is a folder in what it is given.
pub fn on_each(more: &[&str], fill: impl Fn(&Path), test: impl Fn(&Server, &Path)) {
    for folder in folders() {
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        fill(&root);
        for backend in ["uring", "threads"] {
            let Some(server) = Server::start(&root, backend, more) else { continue };
            test(&server, &root);
            server.finish();
        }
    }
}

pub fn write(root: &Path, name: &str, contents: &[u8]) -> PathBuf {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, contents).unwrap();
    path
}
