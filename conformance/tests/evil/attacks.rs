//! The attacks, each with the service that it is for.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Entry, EntryFlags, Errno, Payload, Verb};
use ouzel::scheme::{Client, ClientOptions, Name};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::mm::ProtFlags;

use crate::knocking::knocking_without_end;
use crate::peer::{self, Evil, Knocker, Mapped, REFUSED, REGION_ADDED, REGION_REFUSED};
use crate::programs::{
    everything_else_where_only_programs_may_be_called, more_programs_than_one_may_store,
    programs_that_change_while_they_are_checked, programs_that_make_no_sense,
};
use crate::scene::{Service, ping, quotas};
use crate::watching::a_descriptor_that_nobody_empties;

/// Long enough for anything that must happen.
const SOON: Duration = Duration::from_secs(10);

const NEVER: u64 = u64::MAX;
const NOP: u64 = Verb::Nop as u64;

macro_rules! attacks {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn()),)*] };
}

pub const ATTACKS: &[(&str, fn())] = attacks![
    a_tail_from_nowhere,
    a_tail_that_goes_back,
    a_head_before_the_tail,
    entries_that_change_while_they_are_read,
    payloads_out_of_every_region,
    verbs_and_flags_that_there_are_not,
    descriptors_of_somebody_else,
    chains_that_are_too_long_or_never_end,
    completions_that_nobody_reads,
    doorbells_without_entries,
    cancels_in_the_place_of_doorbells,
    a_doorbell_that_is_full,
    more_connections_than_one_may_have,
    knocking_without_end,
    greetings_that_never_come,
    greetings_that_make_no_sense,
    messages_out_of_turn,
    hundreds_of_descriptors_in_one_message,
    memory_that_can_be_taken_away,
    memory_with_holes,
    more_memory_than_one_may_share,
    writing_what_only_the_service_writes,
    programs_without_end,
    programs_that_make_no_sense,
    programs_that_change_while_they_are_checked,
    more_programs_than_one_may_store,
    everything_else_where_only_programs_may_be_called,
    broken_with_work_in_flight,
    connections_beyond_the_services_descriptors,
    stopped_in_the_middle,
    killed_at_random,
    a_child_that_keeps_the_socket,
    a_descriptor_that_nobody_empties,
];

fn start() -> Service {
    Service::start(quotas())
}

fn nop(data: u64) -> [u64; 8] {
    [NEVER, data, NOP, 0, 0, 0, 0, 0]
}

/// An attack that has to end with being thrown out, and leave the others alone.
fn is_thrown_out(attack: impl FnOnce(&mut Evil)) {
    let service = start();
    let mut witness = service.good();
    let mut evil = Evil::new(&service.socket(), 8, 16);
    evil.write_entry(nop(1));
    evil.publish();
    evil.wait_for(1);
    attack(&mut evil);
    assert!(evil.control.is_hung_up(SOON), "it is thrown out");
    ping(&mut witness, 100);
    drop(witness);
    service.serves();
    assert_eq!(service.stop().thrown_out, 1);
}

fn a_tail_from_nowhere() {
    for tail in [1 << 31, 10, 1 + 8 + 1, u32::MAX] {
        is_thrown_out(|evil| {
            evil.set_tail(tail);
            evil.ring();
        });
    }
}

fn a_tail_that_goes_back() {
    is_thrown_out(|evil| {
        evil.set_tail(0);
        evil.ring();
    });
}

fn a_head_before_the_tail() {
    for head in [2, 1 << 31, u32::MAX] {
        is_thrown_out(|evil| {
            evil.set_head(head);
            evil.write_entry(nop(2));
            evil.publish();
        });
    }
}

fn entries_that_change_while_they_are_read() {
    let mut quotas = quotas();
    quotas.refused = u32::MAX;
    let service = Service::start(quotas);
    let mut witness = service.good();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let stop = AtomicBool::new(false);
    let (memory, entries) = (&evil.submitter, evil.entries as usize);
    let part = Mapped { base: memory.base, length: memory.length };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Verb, flags and arguments of every slot, again and again.
            let mut noise = 0x1234_5678_9abc_def1u64;
            while !stop.load(Ordering::Relaxed) {
                for slot in 0..entries {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    let at = 64 + slot * 64 + (noise % 8) as usize * 8;
                    // Of the verb and the flags a few bits only, so that many entries mean something.
                    let mask = if at % 64 == 16 { 0x0000_0001_0000_003f } else { u64::MAX };
                    part.long(at).fetch_xor(noise & mask, Ordering::Relaxed);
                }
            }
        });
        let end = Instant::now() + Duration::from_secs(2);
        let mut read = 0;
        while Instant::now() < end {
            if evil.posted().wrapping_sub(read) < 32 {
                for data in 0..16 {
                    evil.write_entry(nop(data));
                }
                evil.publish();
            }
            read = evil.posted();
            evil.set_head(read);
            ping(&mut witness, 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    std::mem::forget(part);
    drop(evil);
    drop(witness);
    service.serves();
}

/// A READ of descriptor 0 into `payload` with `length`.
fn read(data: u64, payload: u64, length: u64, offset: u64, flags: u64) -> [u64; 8] {
    [NEVER, data, Verb::Read as u64, 0, payload, length, offset, flags]
}

fn payloads_out_of_every_region() {
    let service = start();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let far = Payload::new(1, (1 << 48) - 1).unwrap().number();
    let cases = [
        read(1, 0x1000, 64, 0, 0),
        read(2, far, u64::MAX, 0, 0),
        read(3, Payload::new(65_535, 0).unwrap().number(), 1, 0, 0),
        read(4, 0, 1 << 60, 0, 1),
        [NEVER, 5, Verb::Open as u64, 0, far, 4096, 0, 0],
        [NEVER, 6, Verb::Open as u64, 0, 0x1000, u64::MAX, 0, 0],
        [NEVER, 7, Verb::Load as u64 | (1u64 << 47), 0x1000, 0, 8, 0, 0],
        [NEVER, 8, Verb::Rename as u64, 0, far, 1 << 40, 0, 0],
    ];
    let count = cases.len() as u32;
    for case in cases {
        evil.write_entry(case);
    }
    evil.publish();
    evil.wait_for(count);
    for index in 0..count {
        let (_, error, data, _) = evil.completion(index);
        assert_ne!(error, 0, "case {data} is refused");
    }
    drop(evil);
    service.serves();
}

fn verbs_and_flags_that_there_are_not() {
    let refused = quotas().refused;
    let service = start();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    for data in 0..u64::from(refused) {
        evil.write_entry([NEVER, data, 0xdead_beef, 0, 0, 0, 0, 0]);
    }
    evil.publish();
    evil.wait_for(refused);
    for index in 0..refused {
        assert_eq!(evil.completion(index).1, Errno::EINVAL.raw());
    }
    // As many as may be; one more is too many.
    evil.set_head(refused);
    evil.write_entry([NEVER, 99, NOP | (1 << 63), 0, 0, 0, 0, 0]);
    evil.publish();
    assert!(evil.control.is_hung_up(SOON));
    service.serves();
    assert_eq!(service.stop().thrown_out, 1);
}

fn descriptors_of_somebody_else() {
    let service = start();
    let mut owner = Evil::new(&service.socket(), 8, 16);
    let mut thief = Evil::new(&service.socket(), 64, 64);
    owner.write_entry([NEVER, 1, Verb::Socket as u64, 2, 1, 0, 0, 0]);
    owner.publish();
    owner.wait_for(1);
    let (_, error, _, descriptor) = owner.completion(0);
    assert_eq!(error, 0);
    thief.write_entry([NEVER, 1, Verb::Listen as u64, descriptor, 1, 0, 0, 0]);
    for guess in 1..32 {
        thief.write_entry([NEVER, guess, Verb::Close as u64, guess << 32 | guess, 0, 0, 0, 0]);
    }
    thief.publish();
    thief.wait_for(32);
    for index in 0..32 {
        assert_eq!(thief.completion(index).1, Errno::EBADF.raw());
    }
    owner.write_entry([NEVER, 2, Verb::Close as u64, descriptor, 0, 0, 0, 0]);
    owner.publish();
    owner.wait_for(2);
    assert_eq!(owner.completion(1).1, 0, "it is still there");
}

fn chains_that_are_too_long_or_never_end() {
    let mut quotas = quotas();
    quotas.chain = 16;
    let service = Service::start(quotas);
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let link = u64::from(EntryFlags::LINK.bits()) << 32;
    for data in 0..17 {
        evil.write_entry([NEVER, data, NOP | if data < 16 { link } else { 0 }, 0, 0, 0, 0, 0]);
    }
    evil.publish();
    evil.wait_for(17);
    assert!((0..17).all(|index| evil.completion(index).1 == Errno::E2BIG.raw()));
    evil.set_head(17);
    // This one just stays.
    for data in 0..8 {
        evil.write_entry([NEVER, data, NOP | link, 0, 0, 0, 0, 0]);
    }
    evil.publish();
    service.serves();
    assert_eq!(evil.posted(), 17);
    drop(evil);
    service.serves();
}

fn completions_that_nobody_reads() {
    let service = start();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let mut witness = service.good();
    for _ in 0..4 {
        for data in 0..16 {
            evil.write_entry(nop(data));
        }
        evil.publish();
        ping(&mut witness, 10);
    }
    // One is kept back, and what has no slot waits in the queue.
    evil.wait_for(63);
    ping(&mut witness, 100);
    assert_eq!(evil.posted(), 63);
    evil.set_head(63);
    evil.ring();
    evil.wait_for(64);
}

fn doorbells_without_entries() {
    let mut quotas = quotas();
    quotas.doorbells = 100;
    let service = Service::start(quotas);
    let mut witness = service.good();
    let evil = Evil::new(&service.socket(), 8, 16);
    let end = Instant::now() + SOON;
    let mut rung = 0;
    while !evil.control.is_hung_up(Duration::from_millis(1)) {
        assert!(Instant::now() < end, "thrown out after {rung} rings");
        evil.ring();
        rung += 1;
    }
    assert!(rung > 100, "not before: {rung}");
    ping(&mut witness, 10);
    drop((evil, witness));
    service.serves();
    assert_eq!(service.stop().thrown_out, 1);
}

fn cancels_in_the_place_of_doorbells() {
    let mut quotas = quotas();
    (quotas.budget, quotas.chain) = (8, 8);
    let service = Service::start(quotas);
    let mut evil = Evil::new(&service.socket(), 64, 64);
    // The service sleeps, and is not told of them.
    std::thread::sleep(Duration::from_millis(50));
    for data in 0..60 {
        evil.write_entry(nop(data));
    }
    evil.set_tail(60);
    let mut cancel = peer::message(peer::CANCEL, &[&9u64.to_le_bytes()[..], &3u32.to_le_bytes()].concat());
    cancel.resize(48, 0);
    assert!(evil.control.send(&cancel, &[]));
    let (bytes, _) = evil.control.receive().expect("an answer");
    assert_eq!(peer::kind(&bytes), peer::CANCELLED);
    let reached = peer::word(&bytes, 24);
    evil.wait_for(60);
    let cancelled = (0..60).filter(|index| evil.completion(*index).1 == Errno::ECANCELED.raw()).count();
    assert_eq!(cancelled as u32, reached);
    assert_eq!(reached, 52, "a turn's share has run, and all the others were reached");
    service.serves();
}

fn a_doorbell_that_is_full() {
    let service = start();
    let mut evil = Evil::new(&service.socket(), 8, 16);
    rustix::fs::fcntl_setfl(&evil.doorbell, rustix::fs::OFlags::empty()).unwrap();
    rustix::io::write(&evil.doorbell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    service.serves();
    // It still rings on others' entries, and its own ring still works: the edge was there.
    evil.write_entry(nop(1));
    evil.set_tail(1);
    service.serves();
    drop(evil);
    service.serves();
}

fn more_connections_than_one_may_have() {
    let most = quotas().connections_of_user;
    let service = start();
    let crowd: Vec<Evil> = (0..most).map(|_| Evil::new(&service.socket(), 8, 16)).collect();
    for _ in 0..50 {
        let one_more = Knocker::new(&service.socket());
        let (bytes, _) = one_more.receive().expect("a refusal");
        assert_eq!((peer::kind(&bytes), peer::word(&bytes, 16)), (REFUSED, 4));
    }
    drop(crowd);
    service.serves();
}

fn greetings_that_never_come() {
    let service = start();
    let silent: Vec<Knocker> = (0..8).map(|_| Knocker::new(&service.socket())).collect();
    for knocker in &silent {
        assert!(knocker.is_hung_up(SOON), "nobody waits for ever");
    }
    service.serves();
}

fn greetings_that_make_no_sense() {
    let service = start();
    let fine = peer::hello(8, 16);
    let mut wrong: Vec<Vec<u8>> =
        vec![Vec::from([0; 32]), vec![1], fine[..31].to_vec(), [fine.clone(), vec![0]].concat()];
    for at in 0..fine.len() {
        let mut bytes = fine.clone();
        bytes[at] ^= 0x80;
        // Features that nobody knows are only not granted, and descriptors may begin with any generation.
        if !(16..24).contains(&at) && !(32..36).contains(&at) {
            wrong.push(bytes);
        }
    }
    wrong.push(peer::hello(0, 16));
    wrong.push(peer::hello(8, 1));
    wrong.push(peer::hello(1 << 17, 16));
    for bytes in wrong {
        let knocker = Knocker::new(&service.socket());
        knocker.send(&bytes, &[]);
        let answer = knocker.receive();
        assert!(answer.is_none_or(|(answer, _)| peer::kind(&answer) == REFUSED), "{bytes:?}");
    }
    service.serves();
}

fn messages_out_of_turn() {
    let service = start();
    for bytes in [peer::add_region(4096), peer::hello(8, 16), peer::message(77, &[]), vec![0xff; 200]] {
        let evil = Evil::new(&service.socket(), 8, 16);
        evil.control.send(&bytes, &[]);
        assert!(evil.control.is_hung_up(SOON));
    }
    service.serves();
    assert_eq!(service.stop().thrown_out, 4);
}

fn hundreds_of_descriptors_in_one_message() {
    let service = start();
    let evil = Evil::new(&service.socket(), 8, 16);
    let memory = sealed(4096);
    let files: Vec<BorrowedFd<'_>> = std::iter::repeat_n(memory.as_fd(), 253).collect();
    evil.control.send(&peer::add_region(4096), &files);
    assert!(evil.control.is_hung_up(SOON));
    let knocker = Knocker::new(&service.socket());
    knocker.send(&peer::hello(8, 16), &files[..200]);
    assert!(knocker.receive().is_none_or(|(answer, _)| peer::kind(&answer) == REFUSED));
    service.serves();
}

fn sealed(length: u64) -> std::os::fd::OwnedFd {
    let memory = memfd_create(c"evil", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&memory, length).unwrap();
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    memory
}

fn share(evil: &Evil, memory: BorrowedFd<'_>, length: u64) -> u32 {
    assert!(evil.control.send(&peer::add_region(length), &[memory]));
    let (bytes, _) = evil.control.receive().expect("an answer");
    peer::kind(&bytes)
}

fn memory_that_can_be_taken_away() {
    let service = start();
    let evil = Evil::new(&service.socket(), 8, 16);
    let open = memfd_create(c"evil", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&open, 4096).unwrap();
    assert_eq!(share(&evil, open.as_fd(), 4096), REGION_REFUSED, "it is not sealed");
    assert_eq!(share(&evil, sealed(4096).as_fd(), 65_536), REGION_REFUSED, "it is shorter");
    let directory = std::env::temp_dir();
    let file = std::fs::File::open(directory).unwrap();
    assert_eq!(share(&evil, file.as_fd(), 4096), REGION_REFUSED, "it is no memory");
    let (end, _other) = rustix::pipe::pipe().unwrap();
    assert_eq!(share(&evil, end.as_fd(), 4096), REGION_REFUSED, "it is a pipe");
    assert_eq!(share(&evil, sealed(4096).as_fd(), 4096), REGION_ADDED);
    drop(evil);
    service.serves();
}

fn memory_with_holes() {
    let service = start();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let memory = sealed(1 << 20);
    assert_eq!(share(&evil, memory.as_fd(), 1 << 20), REGION_ADDED);
    let own = Mapped::new(memory.as_fd(), ProtFlags::READ | ProtFlags::WRITE).unwrap();
    // Regions are numbered from 1.
    let path = Payload::new(1, 0).unwrap().number();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&memory, punch, 0, 1 << 20).unwrap();
                own.long(0).store(u64::from_ne_bytes(*b"/dev/zer"), Ordering::Relaxed);
                own.long(8).store(u64::from_ne_bytes(*b"o\0\0\0\0\0\0\0"), Ordering::Relaxed);
            }
        });
        for round in 0..200 {
            evil.write_entry([NEVER, round, Verb::Open as u64, 0, path, 10, OpenFlags::READ.bits(), 0]);
            evil.publish();
            evil.wait_for(round as u32 + 1);
            evil.set_head(round as u32 + 1);
            let (_, error, _, descriptor) = evil.completion(round as u32);
            let named = [0, Errno::EINVAL.raw(), Errno::ENOENT.raw(), Errno::EMFILE.raw()];
            assert!(named.contains(&error), "error {error}");
            let _ = descriptor;
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(evil);
    service.serves();
}

fn more_memory_than_one_may_share() {
    let mut quotas = quotas();
    quotas.shared_bytes = 1 << 20;
    quotas.regions = 4;
    let service = Service::start(quotas);
    let evil = Evil::new(&service.socket(), 8, 16);
    assert_eq!(share(&evil, sealed(1 << 20).as_fd(), 1 << 20), REGION_ADDED, "at the quota");
    assert_eq!(share(&evil, sealed(4096).as_fd(), 4096), REGION_REFUSED, "one past it");
    let evil = Evil::new(&service.socket(), 8, 16);
    for _ in 0..4 {
        assert_eq!(share(&evil, sealed(4096).as_fd(), 4096), REGION_ADDED);
    }
    assert_eq!(share(&evil, sealed(4096).as_fd(), 4096), REGION_REFUSED, "one past the count");
    drop(evil);
    service.serves();
}

fn writing_what_only_the_service_writes() {
    let service = start();
    let evil = Evil::new(&service.socket(), 8, 16);
    assert!(Mapped::new(evil.engine_part.as_fd(), ProtFlags::READ | ProtFlags::WRITE).is_err());
    // SAFETY: nobody has a reference; it must fail.
    let made = unsafe {
        rustix::mm::mprotect(
            evil.engine.base.cast(),
            evil.engine.length,
            rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE,
        )
    };
    assert!(made.is_err());
    assert!(rustix::io::pwrite(&evil.engine_part, &[0xff; 64], 0).is_err());
    assert!(ftruncate(&evil.engine_part, 0).is_err());
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert!(fallocate(&evil.engine_part, punch, 0, 4096).is_err());
    service.serves();
}

fn programs_without_end() {
    let service = start();
    let mut evil = Evil::new(&service.socket(), 64, 64);
    let mut witness = service.good();
    let (link, program) =
        (u64::from(EntryFlags::LINK.bits()) << 32, u64::from(EntryFlags::PROGRAM.bits()) << 32);
    // As many turns as there may be, over and over.
    for data in 0..8 {
        evil.write_entry([NEVER, data, NOP | link | program, 0, 0, 0, 0, 0]);
        evil.write_entry([NEVER, data, Verb::Repeat as u64, u64::from(u32::MAX), 0, 0, 1, 0]);
    }
    evil.publish();
    let begin = Instant::now();
    ping(&mut witness, 200);
    assert!(begin.elapsed() < SOON);
    drop(evil);
    ping(&mut witness, 10);
    drop(witness);
    service.serves();
}

fn broken_with_work_in_flight() {
    let service = start();
    for round in 0..8 {
        let mut evil = Evil::new(&service.socket(), 8, 16);
        let memory = sealed(4096);
        assert_eq!(share(&evil, memory.as_fd(), 4096), REGION_ADDED);
        // A pipe whose two ends go to r0 and r1, and a read of it that waits for ever.
        let save = u64::from(EntryFlags::save(0).unwrap().bits()) << 32;
        let link = u64::from(EntryFlags::LINK.bits()) << 32;
        let load = u64::from(EntryFlags::load(0, 0).unwrap().bits()) << 32;
        let room = Payload::new(1, 0).unwrap().number();
        evil.write_entry([NEVER, 1, Verb::Pipe as u64 | save | link, 0, 0, 0, 0, 0]);
        evil.write_entry([NEVER, 2, Verb::Read as u64 | load, 0, room, 64, u64::MAX, 0]);
        evil.publish();
        evil.wait_for(1);
        assert_eq!(evil.completion(0).1, 0);
        if round % 2 == 0 {
            evil.set_tail(1 << 30);
            evil.ring();
            assert!(evil.control.is_hung_up(SOON), "it is thrown out, and the read is given up");
        }
    }
    service.serves();
    assert_eq!(ouzel::scheme::leaked_operations(), 0);
}

fn connections_beyond_the_services_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let service = start();
    let mut crowd = child("crowd", &service);
    let before = getrlimit(Resource::Nofile);
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(used + 8), maximum: before.maximum }).unwrap();
    crowd.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
    let heard = hear(&mut crowd);
    std::thread::sleep(Duration::from_millis(500));
    setrlimit(Resource::Nofile, before).unwrap();
    drop(crowd.stdin.take());
    crowd.wait().unwrap();
    assert_eq!(heard.trim(), "knocked");
    service.serves();
    let sleeps = service.stop().sleeps;
    assert!(sleeps < 1000, "it does not ask again and again: {sleeps} times");
}

/// This program again, in a role.
fn child(role: &str, service: &Service) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env("OUZEL_EVIL_ROLE", role)
        .env("OUZEL_EVIL_NAME", service.name.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until it has said something.
fn hear(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

/// What the children do.
pub fn play(role: &str) -> ExitCode {
    let name = Name::parse(&std::env::var("OUZEL_EVIL_NAME").unwrap()).unwrap();
    match role {
        // Works without a pause until somebody stops or kills it.
        "worker" => {
            let mut client = Client::connect(&name, &ClientOptions::default()).unwrap();
            println!("ready");
            std::io::stdout().flush().unwrap();
            let end = Instant::now() + Duration::from_secs(60);
            while Instant::now() < end {
                for data in 0..16 {
                    client.push(&Entry::new(Verb::Nop).data(data)).unwrap();
                }
                client.enter(16, Some(SOON)).unwrap();
                while client.pop().is_some() {}
            }
        }
        // Knocks often, and keeps all of it open.
        "crowd" => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            let crowd: Vec<Knocker> = (0..30).map(|_| Knocker::new(&name.socket())).collect();
            println!("knocked");
            std::io::stdout().flush().unwrap();
            std::io::stdin().read_line(&mut line).unwrap();
            drop(crowd);
        }
        // Leaves its socket to a child of its own, which outlives it.
        "parent" => {
            let client = Client::connect(&name, &ClientOptions::default()).unwrap();
            for file in std::fs::read_dir("/proc/self/fd").unwrap() {
                let number: i32 = file.unwrap().file_name().to_str().unwrap().parse().unwrap();
                // SAFETY: a number of our own, and only the flag that closes it is cleared.
                unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
            }
            #[expect(clippy::zombie_processes, reason = "it is to outlive this process")]
            let kept =
                Command::new("sleep").arg("30").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            println!("{}", kept.id());
            std::io::stdout().flush().unwrap();
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
            std::mem::forget(client);
            // SAFETY: nothing is to be cleaned up: that is the point.
            unsafe { libc::_exit(0) };
        }
        other => panic!("no role {other}"),
    }
    ExitCode::SUCCESS
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let number = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(number, signal).unwrap();
}

fn stopped_in_the_middle() {
    let service = start();
    let mut worker = child("worker", &service);
    hear(&mut worker);
    for _ in 0..20 {
        signal(&worker, rustix::process::Signal::STOP);
        service.serves();
        signal(&worker, rustix::process::Signal::CONT);
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    service.serves();
}

fn killed_at_random() {
    let kills: u64 = std::env::var("OUZEL_EVIL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let service = start();
    let mut witness = service.good();
    for kill in 0..kills {
        let mut worker = child("worker", &service);
        hear(&mut worker);
        ping(&mut witness, 10 + kill * 7919 % 400);
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    drop(witness);
    service.serves();
    assert_eq!(service.stop().accepted, kills + 2);
}

fn a_child_that_keeps_the_socket() {
    let mut quotas = quotas();
    quotas.connections_of_user = 2;
    let service = Service::start(quotas);
    let mut parent = child("parent", &service);
    let kept: i32 = hear(&mut parent).trim().parse().unwrap();
    drop(parent.stdin.take());
    parent.wait().unwrap();
    // Were it still counted, the second of these would be refused.
    let first = service.good();
    let second = service.good();
    drop((first, second));
    let kept = rustix::process::Pid::from_raw(kept).unwrap();
    rustix::process::kill_process(kept, rustix::process::Signal::KILL).unwrap();
    service.serves();
}
