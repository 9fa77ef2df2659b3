//! Stored programs on rings that are connected to a service of files: called as anywhere, one doorbell each; and programs that
//! are the service's.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use ouzel::abi::{Errno, Verb};
use ouzel::backend::HostBackend;
use ouzel::compounds::{Lookup, NODE_BYTES, NODE_PAIRS, tree};
use ouzel::scheme::{self, Confine, Name, Peer, Programs, Quotas, Rights, Server, Statistics, Stopper};
use ouzel::{Buffer, Chain, Error, Fd, Message, Offset, OpenOptions, Program, Reg, Ring, RingBuilder, Unit};

/// A service on a thread of its own, with a folder that it serves.
struct Service {
    name: String,
    folder: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<Statistics>>,
}

/// Descriptors of a client, and of the confinement.
const OWN: u32 = 64;
const PRIVATE: u32 = 64;

impl Service {
    fn start() -> Service {
        Service::with(Quotas::default(), |_| {})
    }

    fn with(
        quotas: Quotas,
        prepare: impl FnOnce(&mut Server<Confine<Box<dyn HostBackend>>>) + Send + 'static,
    ) -> Service {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let base = FOLDER.get_or_init(|| {
            let base = PathBuf::from(format!("/dev/shm/ouzel-programs-{}", std::process::id()));
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
        let name = format!("programs-{number}:");
        let (bound, root) = (Name::parse(&name).unwrap(), folder.clone());
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let make = move |_: &Peer| {
                let builder = RingBuilder::new().descriptors(OWN + 1 + PRIVATE).watched();
                let (mut backend, _) = builder.open_backend().map_err(|_| Errno::ENOMEM)?;
                backend.adopt(OWN, OwnedFd::from(std::fs::File::open(&root).map_err(|_| Errno::EMFILE)?))?;
                Ok(Confine::new(backend, Some(OWN), OWN + 1..OWN + 1 + PRIVATE, Rights::files()))
            };
            // Nobody spins, so that what is counted is always the same.
            let quotas = Quotas { spin: Some(Duration::ZERO), ..quotas };
            let mut server = Server::bind(&bound, quotas, make).unwrap();
            prepare(&mut server);
            sender.send(server.stopper()).unwrap();
            server.run().unwrap();
            server.statistics()
        });
        let stopper = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        Service { name, folder, stopper, thread: Some(thread) }
    }

    fn ring(&self) -> Ring {
        Ring::connect(&self.name).unwrap()
    }

    fn stop(&mut self) -> Option<Statistics> {
        self.stopper.stop();
        self.thread.take().map(|thread| thread.join().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_dir(self.folder.parent().unwrap());
    }
}

/// Reads the file of a path, up to so many bytes.
fn whole(room: usize) -> Program<usize> {
    Program::build(|program| {
        let path = program.path();
        let room = program.room(room);
        let file = program.open(path, OpenOptions::read());
        let length = program.read(file, room, Offset::START);
        program.finally().close(file);
        length
    })
    .unwrap()
}

/// Makes a file of a fixed name with a fixed beginning and what is passed behind it.
fn note(head: &'static [u8]) -> Program<Unit> {
    Program::build(|program| {
        let data = program.bytes();
        let file = program.open("note", OpenOptions::read_write().create().truncate());
        program.write(file, head, Offset::START);
        let written: Reg<usize> = program.write(file, data, Offset::at(head.len() as u64));
        let _ = written;
        program.finally().close(file)
    })
    .unwrap()
}

#[test]
fn a_program_is_stored_and_called_with_all_kinds_of_arguments() {
    let service = Service::start();
    std::fs::write(service.folder.join("a"), "hello, program").unwrap();
    let mut ring = service.ring();
    let read = ring.store(whole(64)).unwrap();
    let write = ring.store(note(b"head: ")).unwrap();
    assert_eq!(ring.gauges().programs, 2);
    for _ in 0..3 {
        let mut called = ring.run_program(read.call().path("a").buffer(Buffer::with_capacity(64))).unwrap();
        assert_eq!(called.result().unwrap(), 14);
        assert_eq!(called.take(0).unwrap().as_slice(), b"hello, program");
    }
    ring.run_program(write.call().bytes(&b"passed"[..])).unwrap().result().unwrap();
    assert_eq!(std::fs::read(service.folder.join("note")).unwrap(), b"head: passed");

    // Files and numbers of the chain's own, the result in the next step, and what each step did.
    let copy: Program<usize> = Program::build(|program| {
        let (source, count) = (program.file(), program.number());
        let room = program.room(32);
        program.read(source, room.first(count), Offset::START)
    })
    .unwrap();
    let copy = ring.store(copy).unwrap();
    let mut chain = Chain::new();
    let file = chain.open("a", OpenOptions::read());
    let call = copy.call().file(file).number(5u64).buffer(Buffer::with_capacity(32)).details();
    let read = chain.call(call);
    chain.finally().close(file);
    let mut done = ring.run(chain).unwrap();
    assert_eq!(done.get(read).unwrap(), 5);
    let details = done.details_of(read).unwrap();
    assert_eq!(details.iter().map(|detail| detail.verb).collect::<Vec<_>>(), [Verb::Read]);
    assert_eq!(details[0].completion.outcome(), Ok(5));
    assert_eq!(done.take_passed(read, 0).unwrap().as_slice(), b"hello");
    assert_eq!(ring.pool().unwrap().statistics().in_use, 0, "what was carried is given back");
}

#[test]
fn a_call_fails_where_its_program_does() {
    let service = Service::start();
    let mut ring = service.ring();
    let read = ring.store(whole(8)).unwrap();
    let called = ring.run_program(read.call().path("missing").buffer(Buffer::with_capacity(8))).unwrap();
    assert_eq!(called.errno(), Errno::ENOENT);
    assert_eq!(called.failed_step(), Some((1, Verb::Open)), "counted with the parameters");
    let called = ring.run_program(read.call().path("../a").buffer(Buffer::with_capacity(8))).unwrap();
    assert_eq!(called.errno(), Errno::EXDEV, "programs are confined as other entries are");
    let id = read.id();
    ring.forget(&read).unwrap();
    assert_eq!(ring.forget(id).unwrap_err().errno(), Some(Errno::ENOENT));
    let called = ring.run_program(read.call().path("a").buffer(Buffer::with_capacity(8))).unwrap();
    assert_eq!(called.errno(), Errno::ENOENT);
    assert_eq!(ring.gauges().programs, 0);
}

#[test]
fn what_only_a_neighbour_could_run_is_rejected_with_its_step() {
    let service = Service::start();
    let mut ring = service.ring();
    let sends: Program<usize> = Program::build(|program| {
        let socket = program.file();
        program.nop();
        program.sendmsg(socket, Message::new(&b"hello"[..]), Default::default())
    })
    .unwrap();
    let Err(Error::Rejected(rejection)) = ring.store(sends) else { panic!("it was stored") };
    assert_eq!((rejection.step, rejection.verb), (Some(1), Some(Verb::SendMsg)));
    assert_eq!(nop(&mut ring), Errno::OK, "the ring works on");
}

fn nop(ring: &mut Ring) -> Errno {
    let mut chain = Chain::new();
    let nop = chain.nop();
    ring.run(chain).unwrap().completion_of(nop.step()).unwrap().errno()
}

fn scheme_errno(error: Error) -> (Errno, String) {
    match error {
        Error::Scheme(scheme::Error::Program(refusal)) => (refusal.errno, refusal.why),
        error => panic!("{error}"),
    }
}

#[test]
fn quotas_of_programs_end_where_they_say() {
    // Its head, one piece, three steps and a constant.
    let size = |constant: usize| 16 + 64 + constant as u32;
    let write = |constant: usize| {
        Program::<usize>::build(|program| {
            let file = program.file();
            program.write(file, vec![7; constant], Offset::START)
        })
        .unwrap()
    };
    let service =
        Service::with(Quotas { programs: 2, program_bytes: size(100), ..Quotas::default() }, |_| {});
    let mut ring = service.ring();
    assert_eq!(ring.limits().programs, 2);
    let (errno, why) = scheme_errno(ring.store(write(101)).unwrap_err());
    assert_eq!(errno, Errno::E2BIG, "{why}");
    let first = ring.store(write(100)).unwrap();
    ring.store(write(100)).unwrap();
    let error = ring.store(write(1)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOSPC));
    assert!(error.to_string().contains("forget one"), "{error}");
    ring.forget(&first).unwrap();
    let third = ring.store(write(1)).unwrap();
    assert!(third.id().number() > 2, "no number is given out twice");

    let service = Service::with(Quotas { programs: 0, ..Quotas::default() }, |_| {});
    assert_eq!(service.ring().store(write(1)).unwrap_err().errno(), Some(Errno::ENOSPC));
    let service = Service::with(Quotas { program_steps: 2, ..Quotas::default() }, |_| {});
    let mut ring = service.ring();
    let nops = |steps: usize| {
        Program::<Unit>::build(|program| {
            for _ in 1..steps {
                program.nop();
            }
            program.nop()
        })
        .unwrap()
    };
    let (two, three) = (ring.store(nops(2)).unwrap(), ring.store(nops(3)).unwrap());
    assert_eq!(ring.run_program(two.call()).unwrap().errno(), Errno::OK);
    assert_eq!(ring.run_program(three.call()).unwrap().errno(), Errno::E2BIG);
}

#[test]
fn a_lookup_is_one_entry_and_one_doorbell() {
    // Three deep, so four crossings for one who reads node by node and opens nothing.
    let pairs: Vec<(u64, u64)> =
        (0..((NODE_PAIRS + 1) * NODE_PAIRS + 1) as u64).map(|key| (key * 2 + 10, !key)).collect();
    let bytes = tree(&pairs).unwrap();
    const KEYS: usize = 200;
    let keys = || pairs.iter().step_by(pairs.len() / KEYS).take(KEYS);

    let mut service = Service::start();
    std::fs::write(service.folder.join("tree"), &bytes).unwrap();
    let mut ring = service.ring();
    let file = ring.open("tree", OpenOptions::read()).unwrap();
    let mut lookup = Lookup::store(&mut ring).unwrap();
    for (key, value) in keys() {
        assert_eq!(lookup.find(&mut ring, file, *key).unwrap(), Some(*value));
        assert_eq!(lookup.find(&mut ring, file, key + 1).unwrap(), None);
    }
    drop(ring);
    let programs = service.stop().unwrap();
    assert_eq!(programs.entries, 1 + 2 * KEYS as u64, "the OPEN, and one for each lookup");
    assert!(programs.doorbells <= programs.entries, "{programs:?}");

    let mut service = Service::start();
    std::fs::write(service.folder.join("tree"), &bytes).unwrap();
    let mut ring = service.ring();
    let file = ring.open("tree", OpenOptions::read()).unwrap();
    for (key, value) in keys() {
        let mut at = 0;
        let found = loop {
            let node = ring.read(file, Buffer::with_capacity(NODE_BYTES), Offset::at(at)).unwrap();
            let word = |at: usize| u64::from_le_bytes(node.as_slice()[at..at + 8].try_into().unwrap());
            let place = (1..=NODE_PAIRS).take_while(|place| word(16 * place) <= *key).last().unwrap_or(0);
            if word(0) != 0 {
                break word(16 * place + 8);
            }
            at = word(16 * place + 8);
        };
        assert_eq!(found, *value);
    }
    drop(ring);
    let reads = service.stop().unwrap();
    assert_eq!(reads.entries, 1 + 3 * KEYS as u64);
    println!(
        "{} doorbells for {} lookups, {} for {KEYS} node by node",
        programs.doorbells,
        2 * KEYS,
        reads.doorbells
    );
}

#[test]
fn when_the_service_goes_a_call_ends_and_storing_says_so() {
    let mut service = Service::start();
    let mut ring = service.ring();
    let waits: Program<Unit> = Program::build(|program| program.sleep(Duration::from_secs(1000))).unwrap();
    let stored = ring.store(waits.clone()).unwrap();
    let mut chain = Chain::new();
    let slept = chain.call(stored.call());
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.stop();
    let errno = ring.wait(ticket).unwrap().get(slept).unwrap_err().errno();
    assert!(matches!(errno, Some(Errno::ECONNRESET | Errno::ECANCELED)), "{errno:?}");
    let gone = ring.store(waits).unwrap_err();
    assert!(matches!(gone, Error::ServiceGone { .. }), "{gone}");
    assert!(matches!(ring.forget(&stored).unwrap_err(), Error::ServiceGone { .. }));
    assert!(matches!(ring.find_program::<Unit>("x").unwrap_err(), Error::ServiceGone { .. }));
}

fn call_whole(ring: &mut Ring, path: &str) -> Result<Vec<u8>, Errno> {
    let read = ring.find_program::<usize>("whole").unwrap();
    let mut called = ring.run_program(read.call().path(path).buffer(Buffer::with_capacity(64))).unwrap();
    match called.errno() {
        Errno::OK => Ok(called.take(0).unwrap().as_slice().to_vec()),
        errno => Err(errno),
    }
}

#[test]
fn programs_of_the_service_are_found_by_name() {
    let service = Service::with(Quotas { programs: 1, ..Quotas::default() }, |server| {
        server.publish(ouzel::published("whole", &whole(64)).unwrap()).unwrap();
        server.publish(ouzel::published("note", &note(b"by the service: ")).unwrap()).unwrap();
        let again = server.publish(ouzel::published("whole", &whole(8)).unwrap()).unwrap_err();
        assert!(again.to_string().contains("already"), "{again}");
    });
    std::fs::write(service.folder.join("a"), "hello").unwrap();
    let mut ring = service.ring();
    assert_eq!(call_whole(&mut ring, "a"), Ok(b"hello".to_vec()));
    assert_eq!(call_whole(&mut ring, "missing"), Err(Errno::ENOENT));
    let note = ring.find_program::<Unit>("note").unwrap();
    ring.run_program(note.call().bytes(&b"a note"[..])).unwrap().result().unwrap();
    assert_eq!(std::fs::read(service.folder.join("note")).unwrap(), b"by the service: a note");
    assert_eq!(ring.find_program::<Unit>("note").unwrap().id(), note.id(), "found once more it is the same");

    // They count to no quota, and are not the client's to forget.
    let own = ring.store(whole(8)).unwrap();
    assert_eq!(ring.store(whole(8)).unwrap_err().errno(), Some(Errno::ENOSPC));
    assert_eq!(ring.forget(&note).unwrap_err().errno(), Some(Errno::EPERM));
    ring.forget(&own).unwrap();
    ring.run_program(note.call().bytes(&b"another"[..])).unwrap().result().unwrap();

    let missing = ring.find_program::<Unit>("missing").unwrap_err();
    assert_eq!(missing.errno(), Some(Errno::ENOENT));
    for name in ["", "a\nb", &"n".repeat(65)] {
        assert_eq!(ring.find_program::<Unit>(name).unwrap_err().errno(), Some(Errno::ENOENT), "{name:?}");
    }
    let other = ring.find_program::<Fd>("whole").unwrap_err();
    assert!(other.to_string().contains("a number, and not in a file"), "{other}");
    let whole = ring.find_program::<usize>("whole").unwrap();
    assert_eq!((whole.rooms(), whole.fills()), (vec![64], Some(0)));
    let wrong = ring.run_program(whole.call().path("a"));
    assert!(matches!(wrong.unwrap_err(), Error::Build(_)), "an argument is missing");
    let mut here = Ring::new().unwrap();
    assert_eq!(here.find_program::<Unit>("note").unwrap_err().errno(), Some(Errno::EOPNOTSUPP));
}

#[test]
fn a_client_may_be_held_to_programs() {
    // By who it is: this process now, and later somebody who may less.
    let service = Service::with(Quotas::default(), |server| {
        server.publish(ouzel::published("whole", &whole(64)).unwrap()).unwrap();
        server.publish(ouzel::published("note", &note(b"")).unwrap()).unwrap();
        let mut grants = vec![
            Programs::Named(vec!["whole".to_owned(), "unknown".to_owned()]),
            Programs::Published,
            Programs::Own,
        ];
        let seen = Rc::new(RefCell::new(Vec::new()));
        server.grant(move |peer| {
            seen.borrow_mut().push(peer.user);
            assert_eq!(peer.process.cast_unsigned(), std::process::id());
            grants.pop().unwrap_or_default()
        });
    });
    std::fs::write(service.folder.join("a"), "hello").unwrap();
    let mut free = service.ring();
    free.store(whole(8)).unwrap();
    assert_eq!(free.read_whole("a"), b"hello");

    let mut held = service.ring();
    assert_eq!(held.limits().programs, 0);
    assert_eq!(call_whole(&mut held, "a"), Ok(b"hello".to_vec()));
    held.find_program::<Unit>("note").unwrap();
    let (errno, why) = scheme_errno(held.store(whole(8)).unwrap_err());
    assert_eq!(errno, Errno::EPERM, "{why}");
    assert_eq!(held.open("a", OpenOptions::read()).unwrap_err().errno(), Some(Errno::EPERM));
    assert_eq!(nop(&mut held), Errno::EPERM);
    let mut chain = Chain::new();
    let read = held.find_program::<usize>("whole").unwrap();
    let read = chain.call(read.call().path("a").buffer(Buffer::with_capacity(64)));
    let nop = chain.finally().nop();
    let done = held.run(chain).unwrap();
    assert_eq!(done.get(read).unwrap(), 5, "the CALL of a chain is done");
    assert_eq!(done.get(nop).unwrap_err().errno(), Some(Errno::EPERM), "and the rest of it is not");

    let mut less = service.ring();
    assert_eq!(call_whole(&mut less, "a"), Ok(b"hello".to_vec()));
    assert_eq!(less.find_program::<Unit>("note").unwrap_err().errno(), Some(Errno::ENOENT));
}

trait ReadWhole {
    fn read_whole(&mut self, path: &str) -> Vec<u8>;
}

impl ReadWhole for Ring {
    fn read_whole(&mut self, path: &str) -> Vec<u8> {
        let file = self.open(path, OpenOptions::read()).unwrap();
        let bytes = self.read(file, Buffer::with_capacity(64), Offset::START).unwrap();
        self.close(file).unwrap();
        bytes.as_slice().to_vec()
    }
}
