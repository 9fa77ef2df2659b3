//! Attacks with stored programs, and on a service that has nothing but its own called.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::{Errno, Payload, Verb};
use ouzel::scheme::{Programs, Quotas};
use ouzel::{Program, Unit};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::pwrite;

use crate::peer::{
    self, Evil, PROGRAM_FORGOTTEN, PROGRAM_FOUND, PROGRAM_REFUSED, PROGRAM_STORED, forget_program, image,
};
use crate::scene::{Service, ping, quotas};

const NEVER: u64 = u64::MAX;

/// A step that does nothing, and one that waits for longer than any test.
const NOP: [u64; 8] = [NEVER, 0, Verb::Nop as u64, 0, 0, 0, 0, 0];
const SLEEP: [u64; 8] = [NEVER, 0, Verb::Sleep as u64, 0, 0, 1_000_000_000_000, 0, 0];

fn entry(data: u64, op: u64, arguments: [u64; 5]) -> [u64; 8] {
    let [a, b, c, d, e] = arguments;
    [NEVER, data, op, a, b, c, d, e]
}

fn call(data: u64, program: u32) -> [u64; 8] {
    entry(data, Verb::Call as u64, [program.into(), 0, 0, 0, 0])
}

/// Memory with these bytes, sealed as it should be.
fn carried(bytes: &[u8]) -> OwnedFd {
    let memory = memfd_create(c"evil", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&memory, bytes.len() as u64).unwrap();
    assert_eq!(pwrite(&memory, bytes, 0).unwrap(), bytes.len());
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    memory
}

/// The answer to a STORE PROGRAM: its kind, and the number or the error.
fn store(evil: &Evil, memory: BorrowedFd<'_>, length: u64) -> (u32, u32) {
    assert!(evil.control.send(&peer::store_program(length), &[memory]));
    answer(evil)
}

fn store_image(evil: &Evil, bytes: &[u8]) -> (u32, u32) {
    store(evil, carried(bytes).as_fd(), bytes.len() as u64)
}

fn answer(evil: &Evil) -> (u32, u32) {
    let (bytes, _) = evil.control.receive().expect("an answer");
    (peer::kind(&bytes), peer::word(&bytes, 24))
}

fn forget(evil: &Evil, number: u32) -> u32 {
    assert!(evil.control.send(&forget_program(number), &[]));
    let (kind, errno) = answer(evil);
    assert_eq!(kind, PROGRAM_FORGOTTEN);
    errno
}

fn raw(errno: Errno) -> u32 {
    errno.raw() as u32
}

pub fn programs_that_make_no_sense() {
    let service = Service::start(quotas());
    let mut evil = Evil::new(&service.socket(), 8, 16);
    let good = image(&[NOP], &[]);
    let refused = (PROGRAM_REFUSED, raw(Errno::EINVAL));

    // What carries them.
    let open = memfd_create(c"evil", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&open, good.len() as u64).unwrap();
    assert_eq!(store(&evil, open.as_fd(), good.len() as u64), refused, "it can be cut short");
    assert_eq!(store(&evil, carried(&good[..20]).as_fd(), good.len() as u64), refused, "it is cut short");
    assert_eq!(store(&evil, carried(&good).as_fd(), 79), refused, "it is longer");
    let directory = std::fs::File::open(std::env::temp_dir()).unwrap();
    assert_eq!(store(&evil, directory.as_fd(), 80), refused, "it is no memory");
    let (end, _other) = rustix::pipe::pipe().unwrap();
    assert_eq!(store(&evil, end.as_fd(), 80), refused, "it is a pipe");

    // What they are.
    let path = Payload::new(0xff10, 0).unwrap().number();
    let vectored = 1 << 32;
    for (what, entries) in [
        ("nothing", vec![]),
        ("no verb", vec![[NEVER, 0, 500, 0, 0, 0, 0, 0]]),
        ("no flags", vec![[NEVER, 0, u64::MAX << 32, 0, 0, 0, 0, 0]]),
        ("an address", vec![entry(0, Verb::Mkdir as u64, [0, 4096, 8, 0, 0])]),
        ("behind the constants", vec![entry(0, Verb::Mkdir as u64, [0, path + 1, 8, 0, 0])]),
        ("constants that are written", vec![entry(0, Verb::Stat as u64, [0, path, 8, path, 0])]),
        ("a list of payloads", vec![entry(0, Verb::Write as u64, [1, path, 1, 0, vectored])]),
        ("a call", vec![call(0, 1)]),
        ("too many", vec![NOP; 257]),
        ("a loop without end", vec![NOP, entry(0, Verb::Repeat as u64, [0, 0, u64::MAX, 1, 0])]),
    ] {
        assert_eq!(store_image(&evil, &image(&entries, b"a/path\0\0")), refused, "{what}");
    }
    for at in 0..good.len() {
        for value in [1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let (kind, number) = store_image(&evil, &bytes);
            if kind == PROGRAM_STORED {
                assert_eq!(forget(&evil, number), 0);
            } else {
                assert_eq!((kind, number), refused, "byte {at}");
            }
        }
    }
    // It has been a nuisance, and is still served.
    let (kind, number) = store_image(&evil, &good);
    assert_eq!(kind, PROGRAM_STORED);
    evil.write_entry(call(1, number));
    evil.publish();
    evil.wait_for(1);
    assert_eq!(evil.completion(0).1, 0);
    service.serves();
}

pub fn programs_that_change_while_they_are_checked() {
    let service = Service::start(quotas());
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let (good, bad) = (image(&[NOP], &[]), image(&[[NEVER, 0, 500, 0, 0, 0, 0, 0]], &[]));
    let memory = carried(&good);
    let stop = AtomicBool::new(false);
    let (mut stored, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for bytes in [&bad, &good] {
                    assert_eq!(pwrite(&memory, bytes, 0).unwrap(), bytes.len());
                }
            }
        });
        for round in 0..500 {
            match store(&evil, memory.as_fd(), good.len() as u64) {
                (PROGRAM_STORED, number) => {
                    // What was stored is what was checked.
                    evil.write_entry(call(round, number));
                    evil.publish();
                    evil.wait_for(stored + 1);
                    evil.set_head(stored + 1);
                    assert_eq!(evil.completion(stored).1, 0);
                    stored += 1;
                    assert_eq!(forget(&evil, number), 0);
                }
                answer => {
                    assert_eq!(answer, (PROGRAM_REFUSED, raw(Errno::EINVAL)));
                    refused += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(stored + refused, 500);
    drop(evil);
    service.serves();
}

pub fn more_programs_than_one_may_store() {
    let nop = image(&[NOP], &[]);
    let quotas = Quotas { programs: 4, program_bytes: nop.len() as u32, program_steps: 2, ..quotas() };
    let service = Service::start(quotas);
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let mut witness = service.good();

    // Lengths are judged before anything is looked at, or taken room for.
    for length in [nop.len() as u64 + 1, 1 << 40, u64::MAX] {
        assert_eq!(store(&evil, carried(&nop).as_fd(), length), (PROGRAM_REFUSED, raw(Errno::E2BIG)));
    }
    let numbers: Vec<u32> = (0..4).map(|_| store_image(&evil, &nop).1).collect();
    assert_eq!(numbers, [1, 2, 3, 4], "at the quota");
    assert_eq!(store_image(&evil, &nop), (PROGRAM_REFUSED, raw(Errno::ENOSPC)), "one past it");
    assert_eq!(forget(&evil, 5), raw(Errno::ENOENT));
    assert!(numbers.iter().all(|number| forget(&evil, *number) == 0));

    // A call that waits for room keeps what was forgotten; that does not let it pile up.
    let (_, sleeper) = store_image(&evil, &image(&[SLEEP], &[]));
    for data in 0..3 {
        evil.write_entry(call(data, sleeper));
    }
    evil.publish();
    let mut kept = 0;
    let end = loop {
        match store_image(&evil, &nop) {
            (PROGRAM_STORED, number) => assert_eq!(forget(&evil, number), 0),
            refused => break refused,
        }
        kept += 1;
        assert!(kept < 100, "what is forgotten piles up");
    };
    assert_eq!(end, (PROGRAM_REFUSED, raw(Errno::ENOSPC)));

    // A flood of them, and others are served.
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let memory = carried(&nop);
            for _ in 0..2_000 {
                assert_eq!(store(&evil, memory.as_fd(), nop.len() as u64).0, PROGRAM_REFUSED);
            }
        });
        ping(&mut witness, 500);
        flood.join().unwrap();
    });
    assert!(begin.elapsed() < Duration::from_secs(30));
    // And one that reads no answers.
    let deaf = Evil::new(&service.socket(), 8, 16);
    let memory = carried(&nop);
    while deaf.control.send(&peer::store_program(nop.len() as u64), &[memory.as_fd()]) {}
    ping(&mut witness, 100);
    drop((evil, deaf, witness));
    service.serves();
}

pub fn everything_else_where_only_programs_may_be_called() {
    let service = Service::prepared(quotas(), |server| {
        let harmless = Program::<Unit>::build(|program| program.nop()).unwrap();
        let other = Program::<Unit>::build(|program| program.nop()).unwrap();
        server.publish(ouzel::published("harmless", &harmless).unwrap()).unwrap();
        server.publish(ouzel::published("other", &other).unwrap()).unwrap();
        let mut clients = 0;
        server.grant(move |_| {
            clients += 1;
            // The first is held, the rest are witnesses.
            if clients == 1 { Programs::Named(vec!["harmless".to_owned()]) } else { Programs::Own }
        });
    });
    let mut evil = Evil::new(&service.socket(), 8, 16);
    let mut done = 0;
    let mut ask = |evil: &mut Evil, words: [u64; 8]| {
        evil.write_entry(words);
        evil.publish();
        evil.wait_for(done + 1);
        evil.set_head(done + 1);
        let (_, error, _, _) = evil.completion(done);
        done += 1;
        error
    };
    let denied = Errno::EPERM.raw();
    // By numbers that it has not found, too: those of the service's programs are 1 and 2 at the most.
    for number in 0..8 {
        assert_eq!(ask(&mut evil, call(1, number)), denied, "program {number}");
    }
    assert_eq!(store_image(&evil, &image(&[NOP], &[])), (PROGRAM_REFUSED, raw(Errno::EPERM)));
    for (name, errno) in [(&b"other"[..], Errno::ENOENT), (b"harmles", Errno::ENOENT), (b"x", Errno::ENOENT)]
    {
        assert!(evil.control.send(&peer::find_program(name), &[]));
        assert_eq!(answer(&evil), (PROGRAM_REFUSED, raw(errno)));
    }
    assert!(evil.control.send(&peer::find_program(b"harmless"), &[]));
    let (kind, number) = answer(&evil);
    assert_eq!(kind, PROGRAM_FOUND);
    assert_eq!(forget(&evil, number), raw(Errno::EPERM), "it is not its own");
    assert_eq!(forget(&evil, number + 1), raw(Errno::ENOENT));
    assert_eq!(ask(&mut evil, call(1, number)), 0);
    assert_eq!(ask(&mut evil, call(1, number + 1)), denied);
    for verb in Verb::ALL.iter().filter(|verb| !matches!(verb, Verb::Call | Verb::Cancel)) {
        // With each way to be a member of something: none, LINK and FINALLY do not help.
        assert_eq!(ask(&mut evil, entry(1, *verb as u64, [1; 5])), denied, "{}", verb.name());
        assert_eq!(ask(&mut evil, entry(1, *verb as u64, [0; 5])), denied, "{}", verb.name());
    }
    assert_eq!(ask(&mut evil, call(1, number)), 0, "and it is still served");
    service.serves();
    // A name that makes no sense ends it.
    for name in [&b""[..], b"a\nb", b"\xff\xfe", b"a\0b"] {
        let evil = Evil::new(&service.socket(), 8, 16);
        evil.control.send(&peer::find_program(name), &[]);
        assert!(evil.control.is_hung_up(Duration::from_secs(10)), "{name:?}");
    }
    drop(evil);
    service.serves();
}
