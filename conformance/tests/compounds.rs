//! The compounds of `ouzel::compounds` on every backend and file system: what they promise, and what they leave behind when
//! any one of their operations fails or is short.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use ouzel::abi::modifiers::{RemoveFlags, StatFlags};
use ouzel::abi::{Descriptor, Errno, Verb};
use ouzel::backend::fault::{Decide, Fault, FaultOptions, Injection};
use ouzel::compounds::{self, Answer, AppendLog, FileKind, ServeOptions, Until, WriteMode};
use ouzel::engine::Operation;
use ouzel::{
    BackendKind, Buffer, Chain, Directory, Error, FileStat, Offset, OpenOptions, Ring, RingBuilder,
    SocketAddress, Ticket,
};
use ouzel_conformance::Stage;

/// What is to happen to the operations of a compound.
#[derive(Default)]
struct Plan {
    armed: bool,
    /// Operations started since it was armed.
    count: u64,
    /// The one that is hit, and what becomes of it.
    at: u64,
    injection: Injection,
    /// Instead of that one: any of them, as this decides.
    storm: Option<Decide>,
    /// Every COPY ends with this.
    no_copy: Option<Errno>,
    hit: bool,
}

/// A ring whose operations can be made to fail, and a directory.
struct Scene {
    stage: Stage,
    ring: Ring,
    root: String,
    plan: Arc<Mutex<Plan>>,
}

impl Scene {
    fn new(stage: &Stage) -> Scene {
        Scene::with(stage, true, |builder| builder)
    }

    /// With `runs` the backend starts several operations together where it can; without, they are hit in their order.
    fn with(stage: &Stage, runs: bool, change: impl FnOnce(RingBuilder) -> RingBuilder) -> Scene {
        let builder = change(stage.builder());
        let (backend, _) = builder.open_backend().unwrap();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let decided = plan.clone();
        let decide = move |step: &ouzel::engine::Step| {
            let mut plan = decided.lock().unwrap();
            if let (Operation::Copy { .. }, Some(errno)) = (&step.operation, plan.no_copy) {
                return Injection::error(errno);
            }
            if !plan.armed {
                return Injection::default();
            }
            if let Some(storm) = &mut plan.storm {
                return storm(step);
            }
            plan.count += 1;
            if plan.count != plan.at + 1 {
                return Injection::default();
            }
            plan.hit = true;
            plan.injection
        };
        let backend = Fault::new(backend, Box::new(decide));
        let backend = if runs { backend } else { backend.without_runs() };
        let ring = builder.build_on(Box::new(backend)).unwrap();
        Scene { stage: stage.clone(), ring, root: stage.directory(), plan }
    }

    fn name(&self, name: &str) -> String {
        if name.is_empty() && self.root.is_empty() { "/".into() } else { format!("{}/{name}", self.root) }
    }

    fn put(&mut self, name: &str, content: &[u8], mode: u32) {
        let path = self.name(name);
        let file = self.ring.open(&path, OpenOptions::write().create().truncate().mode(mode)).unwrap();
        let mut at = 0;
        while at < content.len() {
            at += self.ring.write(file, &content[at..], Offset::at(at)).unwrap();
        }
        self.ring.close(file).unwrap();
    }

    fn content(&mut self, name: &str) -> Vec<u8> {
        let path = self.name(name);
        compounds::read_file(&mut self.ring, path).unwrap()
    }

    fn stat(&mut self, name: &str) -> Result<FileStat, Error> {
        let path = self.name(name);
        self.ring.stat(Directory::Working, path, StatFlags::NOFOLLOW)
    }

    /// The names in the directory, sorted.
    fn names(&mut self) -> Vec<String> {
        let root = self.name("");
        let mut names: Vec<String> = compounds::walk(&mut self.ring, root, 1)
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.depth == 1)
            .map(|entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    fn open_now(&self) -> u32 {
        self.ring.gauges().descriptors
    }

    fn arm(&self, at: u64, injection: Injection) {
        *self.plan.lock().unwrap() = Plan { armed: true, at, injection, ..Plan::default() };
    }

    /// Whether it has hit.
    fn disarm(&self) -> bool {
        let mut plan = self.plan.lock().unwrap();
        plan.armed = false;
        plan.hit
    }

    fn address(&self) -> SocketAddress {
        SocketAddress::unix(self.name("socket")).unwrap()
    }

    fn listen(&mut self) -> Result<Descriptor, Error> {
        let address = self.address();
        let listener = self.ring.socket(1, 1, 0)?;
        let listens = self.ring.bind(listener, &address).and_then(|()| self.ring.listen(listener, 8));
        if listens.is_err() {
            self.ring.close(listener)?;
        }
        listens.map(|()| listener)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on {}, in {}", self.stage.name(), self.name(""));
        }
        if !self.root.is_empty() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at * 7) as u8).collect()
}

fn errno(error: &Error) -> Errno {
    error.errno().unwrap_or_else(|| panic!("{error}"))
}

// ---------------------------------------------------------------- reading

const LENGTHS: [usize; 7] = [0, 1, 4095, 65_535, 65_536, 65_537, 300_001];

fn files_of_every_length_are_read(scene: &mut Scene) {
    for length in LENGTHS {
        let content = pattern(length);
        scene.put("file", &content, 0o644);
        let path = scene.name("file");
        assert!(compounds::read_file(&mut scene.ring, &path).unwrap() == content, "{length}");
        assert!(
            compounds::stat_then_read(&mut scene.ring, &path, length as u64).unwrap() == content,
            "{length}"
        );
        if length > 0 {
            let error = compounds::stat_then_read(&mut scene.ring, &path, length as u64 - 1).unwrap_err();
            assert_eq!(errno(&error), Errno::EFBIG);
            assert!(error.to_string().contains("file"), "{error}");
        }
    }
    assert_eq!(scene.open_now(), 0);
}

fn what_cannot_be_read_is_an_error_with_its_path(scene: &mut Scene) {
    let path = scene.name("missing");
    let error = compounds::read_file(&mut scene.ring, &path).unwrap_err();
    assert_eq!(errno(&error), Errno::ENOENT);
    assert!(error.to_string().contains(&path), "{error}");
    let directory = scene.name("");
    let error = compounds::read_file(&mut scene.ring, &directory).unwrap_err();
    assert_eq!(errno(&error), Errno::EISDIR);
    assert!(error.to_string().contains(&directory), "{error}");
    assert!(matches!(compounds::read_file(&mut scene.ring, "nul\0").unwrap_err(), Error::Build(_)));
    assert_eq!(scene.open_now(), 0);
}

fn many_files_come_each_once(scene: &mut Scene) {
    let mut paths = Vec::new();
    for number in 0..40 {
        let name = format!("file{number}");
        if number % 10 != 7 {
            scene.put(&name, &pattern(number * 3_000), 0o644);
        }
        paths.push(scene.name(&name));
    }
    // Chains of others go on, and their results stay.
    let mut other = Chain::new();
    other.sleep(Duration::from_millis(1));
    let other = scene.ring.submit(other).unwrap();
    for at_once in [1, 7, 1000] {
        let mut seen = vec![false; paths.len()];
        for read in compounds::read_files(&mut scene.ring, &paths, at_once) {
            assert!(!std::mem::replace(&mut seen[read.index], true), "twice: {}", read.index);
            assert_eq!(read.path.to_str().unwrap(), paths[read.index]);
            if read.index % 10 == 7 {
                assert_eq!(errno(&read.bytes.unwrap_err()), Errno::ENOENT);
            } else {
                assert!(read.bytes.unwrap() == pattern(read.index * 3_000), "{}", read.index);
            }
        }
        assert!(seen.iter().all(|seen| *seen));
    }
    scene.ring.wait(other).unwrap().check().unwrap();
    // Dropped in the middle.
    let mut some = compounds::read_files(&mut scene.ring, &paths, 9);
    some.next().unwrap();
    drop(some);
    assert_eq!((scene.open_now(), scene.ring.in_flight()), (0, 0));
}

fn many_files_need_few_descriptors(scene: &mut Scene) {
    let mut small =
        Scene::with(&scene.stage, true, |builder| builder.descriptors(3).entries(8).completions(16));
    let mut paths = Vec::new();
    for number in 0..12 {
        small.put(&format!("file{number}"), &pattern(number * 9_000), 0o644);
        paths.push(small.name(&format!("file{number}")));
    }
    let read = compounds::read_files(&mut small.ring, &paths, 100);
    assert_eq!(read.map(|read| read.bytes.unwrap().len()).sum::<usize>(), 66 * 9_000);
}

// ---------------------------------------------------------------- durable

fn a_file_is_replaced_whole(scene: &mut Scene) {
    let path = scene.name("file");
    for (number, length) in [0usize, 5, 200_000].into_iter().enumerate() {
        let content = pattern(length);
        compounds::write_file_durably(&mut scene.ring, &path, content.clone(), WriteMode::Kept).unwrap();
        assert!(scene.content("file") == content);
        if number == 0 {
            // As others are made.
            scene.put("made", b"", 0o666);
            let made = scene.stat("made").unwrap().permissions();
            assert_eq!(scene.stat("file").unwrap().permissions(), made);
        }
    }
    assert_eq!(scene.names(), ["file", "made"]);
    assert_eq!(scene.open_now(), 0);
}

fn a_replaced_file_keeps_its_mode_or_is_given_one(scene: &mut Scene) {
    let path = scene.name("file");
    scene.put("file", b"old", 0o600);
    compounds::write_file_durably(&mut scene.ring, &path, "new", WriteMode::Kept).unwrap();
    assert_eq!(scene.stat("file").unwrap().permissions(), 0o600);
    // On the simulator nothing takes back what the umask took.
    let modes =
        if scene.stage.is_sim() { [0o640, 0o600, 0o755, 0o400] } else { [0o640, 0o666, 0o777, 0o400] };
    for mode in modes {
        compounds::write_file_durably(&mut scene.ring, &path, "new", WriteMode::Given(mode)).unwrap();
        assert_eq!(scene.stat("file").unwrap().permissions(), mode);
        compounds::write_file_durably(&mut scene.ring, &path, "newer", WriteMode::Kept).unwrap();
        assert_eq!(scene.stat("file").unwrap().permissions(), mode);
    }
    assert_eq!(scene.names(), ["file"]);
    assert_eq!(scene.open_now(), 0);
}

fn what_cannot_be_replaced_leaves_nothing(scene: &mut Scene) {
    let write = |scene: &mut Scene, path: String| {
        for mode in [WriteMode::Kept, WriteMode::Given(0o644)] {
            let error = compounds::write_file_durably(&mut scene.ring, &path, "new", mode).unwrap_err();
            assert_eq!(scene.open_now(), 0, "{error}");
            if mode != WriteMode::Kept {
                return errno(&error);
            }
        }
        unreachable!()
    };
    let missing = scene.name("missing/file");
    assert_eq!(write(scene, missing), Errno::ENOENT);
    let directory = scene.name("directory");
    scene.ring.mkdir(Directory::Working, &directory, 0o755).unwrap();
    assert_eq!(write(scene, directory.clone()), Errno::EISDIR);
    assert_eq!(write(scene, format!("{directory}/")), Errno::EISDIR);
    assert_eq!(write(scene, format!("{directory}/..")), Errno::EISDIR);
    let long = scene.name(&"x".repeat(300));
    assert_eq!(write(scene, long), Errno::ENAMETOOLONG);
    let nul = scene.name("nul\0");
    for mode in [WriteMode::Kept, WriteMode::Given(0o644)] {
        let error = compounds::write_file_durably(&mut scene.ring, &nul, "new", mode).unwrap_err();
        assert!(matches!(error, Error::Build(_)), "{error}");
    }
    assert_eq!(scene.names(), ["directory"]);
    assert_eq!(scene.open_now(), 0);
}

fn a_log_grows_by_records(scene: &mut Scene) {
    let path = scene.name("log");
    let mut log = AppendLog::open(&mut scene.ring, &path).unwrap();
    assert_eq!(log.end(), 0);
    assert_eq!(log.append_durably(&mut scene.ring, ["one", "two"]).unwrap(), 0);
    assert_eq!(log.append_durably(&mut scene.ring, [pattern(100_000)]).unwrap(), 6);
    assert_eq!(log.append_durably(&mut scene.ring, Vec::<&[u8]>::new()).unwrap(), 100_006);
    log.close(&mut scene.ring).unwrap();
    let mut log = AppendLog::open(&mut scene.ring, &path).unwrap();
    assert_eq!(log.end(), 100_006);
    log.truncate(&mut scene.ring, 3).unwrap();
    assert_eq!(log.append_durably(&mut scene.ring, ["three"]).unwrap(), 3);
    log.close(&mut scene.ring).unwrap();
    assert_eq!(scene.content("log"), b"onethree");
    let directory = scene.name("");
    assert_eq!(errno(&AppendLog::open(&mut scene.ring, directory).unwrap_err()), Errno::EISDIR);
    assert_eq!(scene.open_now(), 0);
}

fn a_log_forgets_no_failed_sync(scene: &mut Scene) {
    let path = scene.name("log");
    let mut log = AppendLog::open(&mut scene.ring, &path).unwrap();
    log.append_durably(&mut scene.ring, ["kept"]).unwrap();
    // The write fails: the log ends where it ended, and goes on.
    scene.arm(0, Injection::error(Errno::ENOSPC));
    assert_eq!(errno(&log.append_durably(&mut scene.ring, ["lost"]).unwrap_err()), Errno::ENOSPC);
    assert!(scene.disarm() && !log.is_broken());
    assert_eq!(log.append_durably(&mut scene.ring, ["more"]).unwrap(), 4);
    // The sync fails: nothing is believed any more.
    scene.arm(1, Injection::error(Errno::EIO));
    assert_eq!(errno(&log.append_durably(&mut scene.ring, ["doubt"]).unwrap_err()), Errno::EIO);
    assert!(scene.disarm() && log.is_broken());
    assert_eq!(errno(&log.append_durably(&mut scene.ring, ["no"]).unwrap_err()), Errno::EIO);
    assert_eq!(errno(&log.truncate(&mut scene.ring, 0).unwrap_err()), Errno::EIO);
    log.close(&mut scene.ring).unwrap();
    assert!(scene.content("log").starts_with(b"keptmore"));
    assert_eq!(scene.open_now(), 0);
}

// ---------------------------------------------------------------- copying

fn files_are_copied_with_and_without_the_verb(scene: &mut Scene) {
    for no_copy in [None, Some(Errno::EXDEV), Some(Errno::ENOSYS), Some(Errno::EINVAL)] {
        scene.plan.lock().unwrap().no_copy = no_copy;
        for length in [0usize, 1, 131_072, 131_073, 500_000] {
            let content = pattern(length);
            scene.put("from", &content, 0o640);
            // Over nothing, and over what is longer.
            for _ in 0..2 {
                let (from, to) = (scene.name("from"), scene.name("to"));
                assert_eq!(compounds::copy_file(&mut scene.ring, &from, &to).unwrap(), length as u64);
                assert!(scene.content("to") == content, "{length} bytes, {no_copy:?}");
                assert_eq!(scene.stat("to").unwrap().permissions(), 0o640);
                scene.put("to", &pattern(700_000), 0o640);
            }
            let path = scene.name("to");
            scene.ring.remove(Directory::Working, path, RemoveFlags::empty()).unwrap();
        }
    }
    assert_eq!(scene.names(), ["from"]);
    assert_eq!(scene.open_now(), 0);
}

fn copies_take_the_permissions_along(scene: &mut Scene) {
    scene.put("from", b"text", 0o777);
    let (from, to) = (scene.name("from"), scene.name("to"));
    if !scene.stage.is_sim() {
        scene.put("to", b"", 0o600);
    }
    let wanted = scene.stat("from").unwrap().permissions();
    compounds::copy_file(&mut scene.ring, &from, &to).unwrap();
    assert_eq!(scene.stat("to").unwrap().permissions(), wanted);
    if !scene.stage.is_sim() {
        std::fs::copy(&from, scene.name("theirs")).unwrap();
        assert_eq!(scene.stat("theirs").unwrap().permissions(), wanted);
    }
    assert_eq!(scene.open_now(), 0);
}

fn holes_are_copied(scene: &mut Scene) {
    for no_copy in [None, Some(Errno::EXDEV)] {
        scene.put("from", b"", 0o644);
        let (from, to) = (scene.name("from"), scene.name("to"));
        let file = scene.ring.open(&from, OpenOptions::read_write()).unwrap();
        scene.ring.write(file, "end", Offset::at(1_000_000u64)).unwrap();
        scene.ring.close(file).unwrap();
        scene.plan.lock().unwrap().no_copy = no_copy;
        assert_eq!(compounds::copy_file(&mut scene.ring, &from, &to).unwrap(), 1_000_003);
        let copied = scene.content("to");
        assert!(copied[..1_000_000].iter().all(|byte| *byte == 0) && copied.ends_with(b"\0end"));
    }
}

fn a_file_is_not_copied_onto_itself(scene: &mut Scene) {
    scene.put("file", b"precious", 0o644);
    let (file, other) = (scene.name("file"), scene.name("other"));
    scene.ring.link(Directory::Working, &file, Directory::Working, &other, Default::default()).unwrap();
    for to in [&file, &other] {
        let error = compounds::copy_file(&mut scene.ring, &file, to).unwrap_err();
        assert_eq!(errno(&error), Errno::EINVAL);
    }
    assert_eq!(scene.content("file"), b"precious");
    let directory = scene.name("");
    let error = compounds::copy_file(&mut scene.ring, &directory, &other).unwrap_err();
    assert_eq!(errno(&error), Errno::EINVAL);
    assert_eq!(scene.open_now(), 0);
}

// ---------------------------------------------------------------- costs

/// The numbers are those of the documentation of `ouzel::compounds`.
fn system_calls_are_no_more_than_documented(scene: &mut Scene) {
    if scene.stage.is_sim() {
        return;
    }
    let uring = scene.stage.backend == BackendKind::Uring;
    // As others use it.
    let mut ring = scene.stage.builder().build().unwrap();
    let (path, copy, log) = (scene.name("file"), scene.name("copy"), scene.name("log"));
    let mut log = AppendLog::open(&mut ring, log).unwrap();
    let step = |ring: &mut Ring, what: &str, most: [u64; 2], run: &mut dyn FnMut(&mut Ring)| {
        let before = ring.counters();
        run(ring);
        let calls = ring.counters().since(before).crossings();
        let most = most[usize::from(!uring)];
        assert!(calls <= most, "{what}: {calls} system calls, {most} are documented");
    };
    step(&mut ring, "write, given", [12, 15], &mut |ring| {
        compounds::write_file_durably(ring, &path, "text", WriteMode::Given(0o600)).unwrap();
    });
    step(&mut ring, "write, kept", [13, 16], &mut |ring| {
        compounds::write_file_durably(ring, &path, "text", WriteMode::Kept).unwrap();
    });
    step(&mut ring, "read", [3, 7], &mut |ring| {
        assert_eq!(compounds::read_file(ring, &path).unwrap(), b"text");
    });
    step(&mut ring, "stat then read", [6, 8], &mut |ring| {
        assert_eq!(compounds::stat_then_read(ring, &path, 4).unwrap(), b"text");
    });
    step(&mut ring, "append", [1, 2], &mut |ring| {
        log.append_durably(ring, ["a", "b", "c"]).unwrap();
    });
    step(&mut ring, "copy", [20, 17], &mut |ring| {
        assert_eq!(compounds::copy_file(ring, &path, &copy).unwrap(), 4);
    });
}

// ---------------------------------------------------------------- sockets

/// A client on the same ring: it sends, and what it then receives is in its third buffer.
fn client(scene: &mut Scene, request: &[u8]) -> Ticket {
    let mut chain = Chain::new();
    let socket = chain.socket(1, 1, 0);
    chain.connect(socket, &scene.address());
    chain.send(socket, request, Default::default());
    chain.recv(socket, Buffer::with_capacity(1 << 20), ouzel::abi::modifiers::MessageFlags::WAIT_ALL);
    chain.finally().close(socket);
    scene.ring.submit(chain).unwrap()
}

fn received(scene: &mut Scene, ticket: Ticket) -> Vec<u8> {
    let mut done = scene.ring.wait(ticket).unwrap();
    done.check().unwrap();
    done.take_of(3).unwrap().into_vec()
}

fn bounded() -> ServeOptions {
    let bound = Some(Duration::from_millis(30));
    ServeOptions { accept_within: bound, peer_within: bound, ..ServeOptions::default() }
}

fn connections_are_served(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let generous = ServeOptions {
        accept_within: Some(Duration::from_secs(10)),
        peer_within: Some(Duration::from_secs(10)),
        room: 100,
    };
    // Longer than any socket's buffer.
    let long = pattern(1 << 20);
    let ticket = client(scene, b"ping");
    let answer = Answer::Fixed(long.clone().into());
    let served = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap();
    assert_eq!((served.request.as_slice(), served.answered), (&b"ping"[..], long.len()));
    assert!(received(scene, ticket) == long);
    let ticket = client(scene, b"twice");
    let mut closure = |request: &[u8]| (request.len() >= 5).then(|| [request, request].concat());
    let answer = Answer::With(&mut closure);
    let served = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap();
    assert_eq!((served.request.as_slice(), served.answered), (&b"twice"[..], 10));
    assert_eq!(received(scene, ticket), b"twicetwice");
    // Nobody comes.
    let error =
        compounds::accept_then_serve(&mut scene.ring, listener, Answer::Fixed("x".into()), &bounded());
    let error = error.unwrap_err();
    assert_eq!(errno(&error), Errno::ETIMEDOUT);
    assert!(matches!(&error, Error::Operation(error) if error.verb == Verb::Accept), "{error}");
    // Never enough: until the room is full.
    let ticket = client(scene, &[7; 100]);
    let mut never = |_: &[u8]| None;
    let answer = Answer::With(&mut never);
    let error = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap_err();
    assert_eq!(errno(&error), Errno::EMSGSIZE);
    scene.ring.wait(ticket).unwrap();
    // Says nothing.
    let ticket = client(scene, b"");
    let error =
        compounds::accept_then_serve(&mut scene.ring, listener, Answer::Fixed("x".into()), &bounded());
    assert_eq!(errno(&error.unwrap_err()), Errno::ETIMEDOUT);
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener).unwrap();
    assert_eq!(scene.open_now(), 0);
}

fn a_panic_in_an_answer_closes_the_connection(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let ticket = client(scene, b"boom");
    let mut panics = |_: &[u8]| -> Option<Vec<u8>> { std::panic::resume_unwind(Box::new("an answer")) };
    let served = catch_unwind(AssertUnwindSafe(|| {
        let answer = Answer::With(&mut panics);
        compounds::accept_then_serve(&mut scene.ring, listener, answer, &ServeOptions::default())
    }));
    assert!(served.is_err());
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener).unwrap();
    assert_eq!(scene.open_now(), 0);
}

/// A server on the same ring for one connection.
fn server(scene: &mut Scene, listener: Descriptor, answer: &[u8]) -> Ticket {
    let mut chain = Chain::new();
    let peer = chain.accept(listener);
    chain.recv(peer, Buffer::with_capacity(4), ouzel::abi::modifiers::MessageFlags::WAIT_ALL);
    chain.send(peer, answer, Default::default());
    chain.finally().close(peer);
    scene.ring.submit(chain).unwrap()
}

fn exchanges_end_as_asked(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let address = scene.address();
    let second = Duration::from_secs(10);
    let answer = pattern(50_000);
    for (until, expected) in [
        (Until::PeerStops { limit: 50_000 }, Ok(50_000)),
        (Until::PeerStops { limit: 49_999 }, Err(Errno::EMSGSIZE)),
        (Until::Bytes(10_000), Ok(10_000)),
        (Until::Bytes(60_000), Ok(50_000)),
        (Until::Bytes(0), Ok(0)),
    ] {
        let ticket = server(scene, listener, &answer);
        let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", until, second);
        match expected {
            Ok(length) => assert!(got.unwrap() == answer[..length], "{until:?}"),
            Err(expected) => assert_eq!(errno(&got.unwrap_err()), expected),
        }
        scene.ring.wait(ticket).unwrap();
    }
    // A peer that accepts and says nothing: the listener's queue.
    let short = Duration::from_millis(50);
    let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", Until::Bytes(1), short);
    assert_eq!(errno(&got.unwrap_err()), Errno::ETIMEDOUT);
    scene.ring.close(listener).unwrap();
    let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", Until::Bytes(1), second);
    assert_eq!(errno(&got.unwrap_err()), Errno::ECONNREFUSED);
    assert_eq!(scene.open_now(), 0);
}

// ---------------------------------------------------------------- trees

fn trees_are_walked(scene: &mut Scene) {
    let mut expected = Vec::new();
    let mut make = |scene: &mut Scene, name: &str, kind: FileKind| {
        let path = scene.name(name);
        match kind {
            FileKind::Directory => scene.ring.mkdir(Directory::Working, &path, 0o755).unwrap(),
            FileKind::Symlink => scene.ring.symlink(".", Directory::Working, &path).unwrap(),
            _ => scene.put(name, b"", 0o644),
        }
        expected.push((path, kind, name.split('/').count()));
    };
    make(scene, "a", FileKind::Directory);
    make(scene, "a/loop", FileKind::Symlink);
    make(scene, "a/b", FileKind::Directory);
    make(scene, "a/b/c", FileKind::Directory);
    make(scene, "a/b/c/file", FileKind::File);
    make(scene, "empty", FileKind::Directory);
    make(scene, "large", FileKind::Directory);
    for number in 0..600 {
        make(scene, &format!("large/{number}{}", "x".repeat(100)), FileKind::File);
    }
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    let root = scene.name("");
    let root = if root == "/" { root.as_str() } else { root.trim_end_matches('/') };
    for at_once in [1, 3, 1000] {
        let mut seen: Vec<(String, FileKind, usize)> = Vec::new();
        for entry in compounds::walk(&mut scene.ring, root, at_once) {
            let entry = entry.unwrap();
            let path = entry.path.to_str().unwrap().to_owned();
            let parent = path.rsplit_once('/').unwrap().0;
            assert!(parent == root.trim_end_matches('/') || seen.iter().any(|(seen, ..)| seen == parent));
            seen.push((path, entry.kind, entry.depth));
        }
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(seen, expected, "{at_once}");
    }
    let mut some = compounds::walk(&mut scene.ring, root, 3);
    some.next().unwrap().unwrap();
    drop(some);
    assert_eq!((scene.open_now(), scene.ring.in_flight()), (0, 0));
    let missing = scene.name("missing");
    let all: Vec<_> = compounds::walk(&mut scene.ring, &missing, 3).collect();
    assert_eq!(all.len(), 1);
    let error = all[0].as_ref().unwrap_err();
    assert_eq!((error.path.to_str().unwrap(), errno(&error.error)), (missing.as_str(), Errno::ENOENT));
}

// ---------------------------------------------------------------- faults

/// A compound whose operations fail one by one.
struct Faulted {
    prepare: fn(&mut Scene),
    /// What it promises is asserted here.
    act: fn(&mut Scene) -> Result<(), Error>,
    /// What is so afterwards, however it ended.
    after: fn(&mut Scene),
    /// A short transfer is no reason to fail: not so where a peer on the same ring is hit as well.
    alone: bool,
}

const FAULTED: &[(&str, Faulted)] = &[
    ("read_file", Faulted { prepare: put_long, act: act_read_file, after: nothing, alone: true }),
    ("stat_then_read", Faulted { prepare: put_long, act: act_stat_then_read, after: nothing, alone: true }),
    ("read_files", Faulted { prepare: put_long, act: act_read_files, after: nothing, alone: true }),
    ("write_kept", Faulted { prepare: put_old, act: act_write_kept, after: old_or_new, alone: true }),
    ("write_given", Faulted { prepare: put_old, act: act_write_given, after: old_or_new, alone: true }),
    ("append", Faulted { prepare: nothing, act: act_append, after: log_is_whole, alone: true }),
    ("copy", Faulted { prepare: put_long, act: act_copy, after: nothing, alone: true }),
    ("copy_by_blocks", Faulted { prepare: put_long, act: act_copy_by_blocks, after: nothing, alone: true }),
    ("serve", Faulted { prepare: nothing, act: act_serve, after: nothing, alone: false }),
    ("exchange", Faulted { prepare: nothing, act: act_exchange, after: nothing, alone: false }),
    ("walk", Faulted { prepare: put_tree, act: act_walk, after: nothing, alone: true }),
];

fn nothing(_: &mut Scene) {}

fn put_long(scene: &mut Scene) {
    scene.put("long", &pattern(200_000), 0o644);
    scene.put("short", &pattern(9), 0o644);
}

fn put_old(scene: &mut Scene) {
    scene.put("file", &pattern(1_000), 0o644);
}

fn put_tree(scene: &mut Scene) {
    for name in ["one", "two", "one/deep"] {
        let path = scene.name(name);
        scene.ring.mkdir(Directory::Working, path, 0o755).unwrap();
    }
    scene.put("one/deep/file", b"", 0o644);
}

fn act_read_file(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("long");
    assert!(compounds::read_file(&mut scene.ring, path)? == pattern(200_000));
    let path = scene.name("short");
    assert!(compounds::read_file(&mut scene.ring, path)? == pattern(9));
    Ok(())
}

fn act_stat_then_read(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("long");
    assert!(compounds::stat_then_read(&mut scene.ring, path, 200_000)? == pattern(200_000));
    Ok(())
}

fn act_read_files(scene: &mut Scene) -> Result<(), Error> {
    let paths = [scene.name("short"), scene.name("long"), scene.name("short")];
    let read: Vec<_> = compounds::read_files(&mut scene.ring, &paths, 2).collect();
    assert_eq!(read.len(), 3);
    let mut result = Ok(());
    for read in read {
        match read.bytes {
            Ok(bytes) => assert!(bytes == pattern(if read.index == 1 { 200_000 } else { 9 })),
            Err(error) => result = Err(error),
        }
    }
    result
}

fn act_write_kept(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("file");
    let written = compounds::write_file_durably(&mut scene.ring, path, pattern(3_000), WriteMode::Kept);
    new_or_why(scene, written)
}

fn act_write_given(scene: &mut Scene) -> Result<(), Error> {
    // Where it can be, one that the umask cuts.
    let mode = if scene.stage.is_sim() { 0o604 } else { 0o606 };
    let path = scene.name("file");
    let written =
        compounds::write_file_durably(&mut scene.ring, path, pattern(3_000), WriteMode::Given(mode));
    new_or_why(scene, written)
}

/// The new file after `Ok`, the old one after an error of anything but a SYNC.
fn new_or_why(scene: &mut Scene, written: Result<(), Error>) -> Result<(), Error> {
    let armed = std::mem::take(&mut scene.plan.lock().unwrap().armed);
    let content = scene.content("file");
    scene.plan.lock().unwrap().armed = armed;
    match &written {
        Ok(()) => assert!(content == pattern(3_000), "{} bytes", content.len()),
        Err(Error::Operation(error)) if error.verb == Verb::Sync => {}
        Err(error) => assert!(content == pattern(1_000), "{error}: {} bytes", content.len()),
    }
    written
}

fn old_or_new(scene: &mut Scene) {
    let content = scene.content("file");
    assert!(content == pattern(1_000) || content == pattern(3_000), "{} bytes", content.len());
}

fn act_append(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("log");
    let mut log = AppendLog::open(&mut scene.ring, path)?;
    let mut result = Ok(());
    for number in 1..=3u8 {
        let appended = log.append_durably(&mut scene.ring, [[number; 10], [number; 10]]);
        result = result.and(appended.map(|_| ()));
    }
    result = result.and(log.truncate(&mut scene.ring, log.end()));
    result.and(log.close(&mut scene.ring))
}

/// Records in order, those that were acknowledged with nothing torn between them.
fn log_is_whole(scene: &mut Scene) {
    if scene.stat("log").is_err() {
        return;
    }
    let content = scene.content("log");
    let mut last = 0;
    for record in content.chunks(20) {
        assert!(record.iter().all(|byte| *byte == record[0]) && record[0] > last, "{content:?}");
        last = record[0];
    }
}

fn act_copy(scene: &mut Scene) -> Result<(), Error> {
    let (from, to) = (scene.name("long"), scene.name("copy"));
    assert_eq!(compounds::copy_file(&mut scene.ring, from, to)?, 200_000);
    let armed = std::mem::take(&mut scene.plan.lock().unwrap().armed);
    assert!(scene.content("copy") == pattern(200_000));
    scene.plan.lock().unwrap().armed = armed;
    Ok(())
}

fn act_copy_by_blocks(scene: &mut Scene) -> Result<(), Error> {
    scene.plan.lock().unwrap().no_copy = Some(Errno::EXDEV);
    act_copy(scene)
}

fn act_serve(scene: &mut Scene) -> Result<(), Error> {
    let listener = scene.listen()?;
    let ticket = client(scene, b"ping");
    let mut closure = |request: &[u8]| (request.len() >= 4).then(|| pattern(1_000));
    let answer = Answer::With(&mut closure);
    let served = compounds::accept_then_serve(&mut scene.ring, listener, answer, &bounded());
    scene.ring.cancel(ticket).unwrap();
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener)?;
    // A request that was cut gets no answer.
    served.map(|_| ())
}

fn act_exchange(scene: &mut Scene) -> Result<(), Error> {
    let listener = scene.listen()?;
    let ticket = server(scene, listener, &pattern(1_000));
    let address = scene.address();
    let until = Until::PeerStops { limit: 1_000 };
    let got =
        compounds::connect_exchange(&mut scene.ring, &address, "ping", until, Duration::from_millis(100));
    scene.ring.cancel(ticket).unwrap();
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener)?;
    got.map(|_| ())
}

fn act_walk(scene: &mut Scene) -> Result<(), Error> {
    let root = scene.name("");
    let mut names = 0;
    let mut result = Ok(());
    for entry in compounds::walk(&mut scene.ring, root, 2) {
        match entry {
            Ok(_) => names += 1,
            Err(error) => result = Err(error.error),
        }
    }
    assert!(names == 4 || result.is_err(), "{names}");
    result
}

/// Hits each operation of a compound in turn.
fn sweep(stage: &Stage, faulted: &Faulted) {
    let injections = [
        Injection::error(Errno::EIO),
        Injection::error(Errno::EEXIST),
        Injection::shorten(1),
        Injection::hold(3),
    ];
    for injection in injections {
        let mut hits = 0;
        for at in 0.. {
            assert!(at < 500, "it never ends");
            let mut scene = Scene::with(stage, false, |builder| builder);
            (faulted.prepare)(&mut scene);
            let before = scene.open_now();
            scene.arm(at, injection);
            let result = (faulted.act)(&mut scene);
            let hit = scene.disarm();
            scene.plan.lock().unwrap().no_copy = None;
            let what = format!("operation {at}, {injection:?}: {result:?}");
            assert_eq!(scene.open_now(), before, "descriptors: {what}");
            assert_eq!(scene.ring.in_flight(), 0, "chains: {what}");
            let left = scene.names();
            assert!(
                !left.iter().any(|name| name.starts_with(compounds::TEMPORARY_PREFIX)),
                "{left:?}: {what}"
            );
            (faulted.after)(&mut scene);
            assert!(result.is_ok() || hit, "without a fault: {what}");
            if faulted.alone && injection.error.is_none() {
                assert!(result.is_ok(), "{what}");
            }
            if !hit {
                break;
            }
            hits += 1;
        }
        assert!(hits > 2, "{hits} operations");
    }
}

/// Hits operations of a compound at random, also those that clean up: whatever comes of it, nothing stays open.
fn storm(stage: &Stage, faulted: &Faulted) {
    let mut failed = 0;
    for seed in 0..STORMS {
        let mut scene = Scene::with(stage, false, |builder| builder);
        (faulted.prepare)(&mut scene);
        let before = scene.open_now();
        let options = FaultOptions {
            errors: 60,
            short_transfers: 200,
            reorder: 100,
            late: 100,
            cancel_races: 100,
            ..FaultOptions::new(seed)
        };
        *scene.plan.lock().unwrap() =
            Plan { armed: true, storm: Some(options.into_decide()), ..Plan::default() };
        let result = (faulted.act)(&mut scene);
        scene.disarm();
        scene.plan.lock().unwrap().no_copy = None;
        failed += u32::from(result.is_err());
        assert_eq!(scene.open_now(), before, "descriptors, seed {seed}: {result:?}");
        assert_eq!(scene.ring.in_flight(), 0, "chains, seed {seed}: {result:?}");
        (faulted.after)(&mut scene);
    }
    assert!(failed > 0, "nothing was hit");
}

/// Seeds of random faults.
const STORMS: u64 = 15;

// ---------------------------------------------------------------- all of them

type Program = (&'static str, fn(&mut Scene));

macro_rules! programs {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name),)*] };
}

const PROGRAMS: &[Program] = programs![
    files_of_every_length_are_read,
    what_cannot_be_read_is_an_error_with_its_path,
    many_files_come_each_once,
    many_files_need_few_descriptors,
    a_file_is_replaced_whole,
    a_replaced_file_keeps_its_mode_or_is_given_one,
    what_cannot_be_replaced_leaves_nothing,
    a_log_grows_by_records,
    a_log_forgets_no_failed_sync,
    files_are_copied_with_and_without_the_verb,
    copies_take_the_permissions_along,
    holes_are_copied,
    a_file_is_not_copied_onto_itself,
    system_calls_are_no_more_than_documented,
    connections_are_served,
    a_panic_in_an_answer_closes_the_connection,
    exchanges_end_as_asked,
    trees_are_walked,
];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    for stage in Stage::all() {
        let name = stage.name();
        if let Some(why) = stage.refusal() {
            println!("SKIPPED: {name}: {why}");
            continue;
        }
        let mut add = |title: String, run: Box<dyn Fn() + Send>| {
            let run = move || match catch_unwind(AssertUnwindSafe(&run)) {
                Ok(()) => Ok(Completion::Completed),
                Err(thrown) => {
                    let text = thrown.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| thrown.downcast_ref::<&str>().map(|text| text.to_string()));
                    Err(Failed::from(text.unwrap_or_default()))
                }
            };
            trials.push(Trial::ignorable_test(title, run));
        };
        for (title, program) in PROGRAMS {
            let stage = stage.clone();
            add(format!("{name}/{title}"), Box::new(move || program(&mut Scene::new(&stage))));
        }
        for (title, faulted) in FAULTED {
            let place = &stage;
            let stage = place.clone();
            add(format!("{name}/faults/{title}"), Box::new(move || sweep(&stage, faulted)));
            let stage = place.clone();
            add(format!("{name}/storms/{title}"), Box::new(move || storm(&stage, faulted)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
