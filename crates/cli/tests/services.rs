//! The services of the command's own, through their clients: what `ouzel serve` promises of logs and of files in memory.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "services/memory.rs"]
mod memory;
#[path = "services/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
use scene::{Folder, Service};

/// Appends a record; it is durable if this succeeds.
fn append(ring: &mut Ring, log: Descriptor, record: &[u8]) -> Result<(), ouzel::Error> {
    let written = ring.write(log, record.to_vec(), Offset::CURRENT)?;
    assert_eq!(written, record.len(), "a record is whole or not there");
    Ok(())
}

fn read_all(ring: &mut Ring, log: Descriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let block = ring.read(log, Buffer::with_capacity(50_001), Offset::at(bytes.len() as u64)).unwrap();
        if block.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(&block);
    }
}

/// A record of this writer: a line, of a length of its own.
fn line(writer: u64, number: u64) -> Vec<u8> {
    let padding = "x".repeat((number * 37 % 300) as usize);
    format!("{writer} {number} {padding}\n").into_bytes()
}

/// The numbers of each writer's records in the order in which they are there; each has to be whole.
fn numbers(bytes: &[u8], writers: usize) -> Vec<Vec<u64>> {
    let mut numbers = vec![Vec::new(); writers];
    for record in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(record).unwrap();
        let mut words = text.split(' ').map(str::parse::<u64>);
        let (writer, number) = (words.next().unwrap().unwrap(), words.next().unwrap().unwrap());
        assert_eq!(record, line(writer, number), "a record is as it was written");
        numbers[writer as usize].push(number);
    }
    numbers
}

#[test]
fn many_writers_share_what_makes_their_records_durable() {
    for folder in Folder::all() {
        let service = Service::start(&folder, "log", &[]);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let name = service.name.clone();
                std::thread::spawn(move || {
                    let mut ring = Ring::connect(&name).unwrap();
                    let log = ring.open("journal", OpenOptions::write().append().create()).unwrap();
                    let mut next = 0;
                    while next < 200 {
                        let tickets: Vec<_> = (next..next + 20)
                            .map(|number| {
                                let mut chain = Chain::new();
                                chain.write(log, line(writer, number), Offset::CURRENT);
                                ring.submit(chain).unwrap()
                            })
                            .collect();
                        for ticket in tickets {
                            ring.wait(ticket).unwrap().check().unwrap();
                        }
                        next += 20;
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let mut ring = Ring::connect(&service.name).unwrap();
        let log = ring.open("journal", OpenOptions::read()).unwrap();
        let bytes = read_all(&mut ring, log);
        for own in numbers(&bytes, 8) {
            assert_eq!(own, (0..200).collect::<Vec<_>>(), "all of them, in the writer's order");
        }
        assert_eq!(ring.stat_file(log).unwrap().size, bytes.len() as u64);
        drop(ring);
        let said = service.end();
        let counts: Vec<u64> = said
            .lines()
            .find_map(|line| line.split_once("made durable: "))
            .map(|(_, counts)| counts.split(' ').filter_map(|word| word.parse().ok()).collect())
            .unwrap();
        assert_eq!(counts[0], 1600, "{said}");
        assert!(counts[1] >= 1 && counts[1] <= 800, "{said}: records are made durable together");

        // What is there is there again, and a torn end is not.
        let path = folder.path().join("served/journal");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &[40, 0, 0, 0, 1, 2, 3, 4, b't', b'o', b'r', b'n']).unwrap();
        let service = Service::start(&folder, "log", &[]);
        let mut ring = Ring::connect(&service.name).unwrap();
        let log = ring.open("journal", OpenOptions::read_write()).unwrap();
        assert_eq!(read_all(&mut ring, log), bytes);
        append(&mut ring, log, b"0 200 more\n").unwrap();
        let more = read_all(&mut ring, log);
        assert_eq!(&more[bytes.len()..], b"0 200 more\n");
        assert!(service.end().contains("12 bytes behind the last whole record are cut off"));
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_service_is_killed() {
    const WRITERS: u64 = 4;
    for folder in Folder::all() {
        let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect());
        let mut last = 0;
        for round in 0..5 {
            let service = Service::start(&folder, "log", &[]);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (name, acknowledged) = (service.name.clone(), Arc::clone(&acknowledged));
                    std::thread::spawn(move || {
                        let mut ring = Ring::connect(&name).unwrap();
                        let Ok(log) = ring.open("journal", OpenOptions::read_write().create()) else {
                            return;
                        };
                        // What was not acknowledged may be there all the same.
                        let own = &numbers(&read_all(&mut ring, log), WRITERS as usize)[writer as usize];
                        let mut next = own.last().map_or(0, |last| last + 1);
                        while append(&mut ring, log, &line(writer, next)).is_ok() {
                            next += 1;
                            acknowledged[writer as usize].store(next, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            let sum = || acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).sum::<u64>();
            let end = Instant::now() + Duration::from_secs(20);
            while sum() < last + 50 + 13 * round {
                assert!(Instant::now() < end, "records are acknowledged");
                std::thread::sleep(Duration::from_micros(300));
            }
            service.kill();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            last = sum();

            let service = Service::start(&folder, "log", &[]);
            let mut ring = Ring::connect(&service.name).unwrap();
            let log = ring.open("journal", OpenOptions::read()).unwrap();
            let all = numbers(&read_all(&mut ring, log), WRITERS as usize);
            for (own, acknowledged) in all.iter().zip(acknowledged.iter()) {
                assert_eq!(*own, (0..own.len() as u64).collect::<Vec<_>>(), "once each, in order");
                let acknowledged = acknowledged.load(Ordering::SeqCst);
                assert!(own.len() as u64 >= acknowledged, "{} of {acknowledged} are there", own.len());
                assert!(own.len() as u64 <= acknowledged + 1 + round, "at most those that were under way");
            }
            drop(ring);
            service.end();
        }
    }
}

#[test]
fn a_log_is_one_file_of_the_directory_and_only_grows() {
    let folder = &Folder::all()[0];
    let service = Service::start(folder, "log", &[]);
    std::fs::write(folder.path().join("secret"), "not for clients").unwrap();
    std::os::unix::fs::symlink("../secret", folder.path().join("served/leak")).unwrap();
    let mut ring = Ring::connect(&service.name).unwrap();
    let mut opened = |path: &str, options: OpenOptions| {
        ring.open(path, options).map_err(|error| error.errno().unwrap()).map(|file| {
            ring.close(file).unwrap();
        })
    };
    let write = OpenOptions::write();
    for path in ["../secret", "/etc/passwd", "a/b", "/"] {
        assert_eq!(opened(path, write.create()), Err(Errno::EXDEV), "{path}");
    }
    assert_eq!(opened("..", write.create()), Err(Errno::EACCES));
    assert_eq!(opened("leak", write.create()), Err(Errno::EINVAL));
    assert_eq!(opened("new", write), Err(Errno::ENOENT));
    assert_eq!(opened("new", write.create_new()), Ok(()));
    assert_eq!(opened("new", write.create_new()), Err(Errno::EEXIST));
    assert_eq!(opened("new", write.truncate()), Err(Errno::EPERM));

    let log = ring.open("new", OpenOptions::read_write()).unwrap();
    // Whatever the offset, a record goes to the end.
    for (record, offset) in
        [(&b"one"[..], Offset::at(100u64)), (b"two", Offset::at(0u64)), (b"", Offset::CURRENT)]
    {
        assert_eq!(ring.write(log, record.to_vec(), offset).unwrap(), record.len());
    }
    assert_eq!(&ring.read(log, Buffer::with_capacity(4), Offset::CURRENT).unwrap()[..], b"onet");
    assert_eq!(&ring.read(log, Buffer::with_capacity(4), Offset::CURRENT).unwrap()[..], b"wo");
    assert_eq!(&ring.read(log, Buffer::with_capacity(4), Offset::at(2u64)).unwrap()[..], b"etwo");
    let refused = |result: Result<usize, ouzel::Error>| result.unwrap_err().errno();
    assert_eq!(refused(ring.write(log, vec![0; (1 << 20) + 1], Offset::CURRENT)), Some(Errno::EMSGSIZE));
    assert_eq!(ring.write(log, vec![7; 1 << 20], Offset::CURRENT).unwrap(), 1 << 20);
    assert_eq!(ring.stat_file(log).unwrap().size, 6 + (1 << 20));
    assert_eq!(ring.truncate(log, 0).unwrap_err().errno(), Some(Errno::ENOSYS));
    let read_only = ring.open("new", OpenOptions::read()).unwrap();
    assert_eq!(refused(ring.write(read_only, vec![1], Offset::CURRENT)), Some(Errno::EBADF));
    // The directory is one service's.
    assert!(Service::refused(folder, "log", "other").contains("another service has its logs open"));
}

#[test]
fn a_read_of_a_log_has_so_many_records() {
    const MOST: usize = 16_384;
    const ALL: usize = MOST + 3_616;
    let folder = &Folder::all()[0];
    let service = Service::start(folder, "log", &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let log = ring.open("tiny", OpenOptions::read_write().create()).unwrap();
    for _ in 0..ALL / 200 {
        let tickets: Vec<_> = (0..200)
            .map(|number: u32| {
                let mut chain = Chain::new();
                chain.write(log, vec![number as u8], Offset::CURRENT);
                ring.submit(chain).unwrap()
            })
            .collect();
        for ticket in tickets {
            ring.wait(ticket).unwrap().check().unwrap();
        }
    }
    let wanted: Vec<u8> = (0..ALL).map(|number| (number % 200) as u8).collect();
    // At the bound, one past it, and the rest.
    for (from, count) in [(ALL - MOST, MOST), (ALL - MOST - 1, MOST), (0, MOST), (MOST, ALL - MOST), (ALL, 0)]
    {
        let read = ring.read(log, Buffer::with_capacity(50_000), Offset::at(from as u64)).unwrap();
        assert_eq!(read.len(), count, "from {from}");
        assert!(read[..] == wanted[from..from + count]);
    }
    let lengths = [MOST, ALL - MOST, 0]
        .map(|_| ring.read(log, Buffer::with_capacity(50_000), Offset::CURRENT).unwrap().len());
    assert_eq!(lengths, [MOST, ALL - MOST, 0], "the position is behind what was read");
    assert!(read_all(&mut ring, log) == wanted);
}

/// `ouzel cp`: whether it succeeded, and what it said.
fn copy(from: &str, to: &str) -> (bool, String) {
    let ouzel = env!("CARGO_BIN_EXE_ouzel");
    let output = std::process::Command::new(ouzel).args(["cp", from, to]).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// Puts these bytes into a new file of a service.
fn put(ring: &mut Ring, path: &str, bytes: &[u8]) {
    let file = ring.open(path, OpenOptions::write().create_new()).unwrap();
    for (number, block) in bytes.chunks(100_000).enumerate() {
        let at = Offset::at(number as u64 * 100_000);
        assert_eq!(ring.write(file, block.to_vec(), at).unwrap(), block.len());
    }
    ring.close(file).unwrap();
}

fn get(ring: &mut Ring, path: &str) -> Vec<u8> {
    let file = ring.open(path, OpenOptions::read()).unwrap();
    let bytes = read_all(ring, file);
    ring.close(file).unwrap();
    bytes
}

#[test]
fn files_are_copied_between_services_and_a_log_is_never_written_over() {
    let (one, two) = (Service::start_what("mem:", &[]), Service::start_what("mem:", &[]));
    let (mut ring, mut other) = (Ring::connect(&one.name).unwrap(), Ring::connect(&two.name).unwrap());
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    let path = |service: &Service, path: &str| format!("{}{path}", service.name);
    // Files of the same number, of two services.
    put(&mut ring, "file", &bytes);
    put(&mut other, "file", &[b'o'; 400_000]);
    assert_eq!(copy(&path(&one, "file"), &path(&two, "file")), (true, "300000 bytes\n".to_owned()));
    assert!(get(&mut other, "file") == bytes);

    // One file behind two names of its service, which do not show it.
    let names = std::path::PathBuf::from(std::env::var_os("OUZEL_SCHEMES").unwrap());
    std::os::unix::fs::symlink(one.name.trim_end_matches(':'), names.join("alias")).unwrap();
    assert_eq!(copy(&path(&one, "file"), "alias:file"), (true, "300000 bytes\n".to_owned()));
    assert!(get(&mut ring, "file") == bytes);

    let folder = &Folder::all()[0];
    let logs = Service::start(folder, "log", &[]);
    assert_eq!(copy(&path(&one, "file"), &path(&logs, "log")), (true, "300000 bytes\n".to_owned()));
    let (copied, said) = copy(&path(&one, "file"), &path(&logs, "log"));
    assert!(!copied && said.contains("ENOSYS"), "{said}");
    let mut ring = Ring::connect(&logs.name).unwrap();
    assert!(get(&mut ring, "log") == bytes);
}

#[test]
fn a_service_goes_wrong_as_a_script_says() {
    let folder = &Folder::all()[0];
    let script = folder.path().join("script");
    let option = script.to_str().unwrap().to_owned();
    std::fs::write(&script, "read short 1/0").unwrap();
    let said = Service::refused_what("fault:mem:", "faulty", &["--script", &option]);
    assert!(said.contains("line 1") && said.contains("1/3"), "{said}");
    assert!(Service::refused_what("fault:mem:", "faulty", &[]).contains("--script"));
    let rules = "seed 3\nread short 1/2\nwrite error ENOSPC 1/4\nany late 3 1/5\nany reorder 3 1/5\n";
    std::fs::write(&script, rules).unwrap();
    let inner = format!("fault:file:{}", folder.path().join("served").display());
    for what in ["fault:mem:", &inner] {
        let service = Service::start_what(what, &["--script", &option]);
        let mut ring = Ring::connect(&service.name).unwrap();
        let file = ring.open("file", OpenOptions::read_write().create()).unwrap();
        let (mut full, mut at) = (0, 0_u64);
        while at < 20_000 {
            match ring.write(file, vec![b'x'; 100], Offset::at(at)) {
                Ok(written) => at += written as u64,
                Err(error) => {
                    assert_eq!(error.errno(), Some(Errno::ENOSPC));
                    full += 1;
                }
            }
        }
        assert!((10..200).contains(&full), "{full} of some 270");
        let (mut short, mut at) = (0, 0);
        while at < 20_000 {
            let read = ring.read(file, Buffer::with_capacity(100), Offset::at(at)).unwrap();
            assert!(read.iter().all(|byte| *byte == b'x') && (1..=100).contains(&read.len()));
            short += u32::from(read.len() < 100);
            at += read.len() as u64;
        }
        assert!(short > 50, "{short}");
        // Many at once, in whatever order.
        let tickets: Vec<_> = (0..100_u64)
            .map(|at| {
                let mut chain = Chain::new();
                chain.read(file, Buffer::with_capacity(8), Offset::at(at));
                ring.submit(chain).unwrap()
            })
            .collect();
        for ticket in tickets {
            ring.wait(ticket).unwrap().check().unwrap();
        }
        drop(ring);
        service.end();
    }
}

/// What `ouzel run --on` does with this text: its status, what it printed and what it said.
fn run_on(service: &Service, folder: &Folder, text: &str) -> (i32, String, String) {
    let path = folder.path().join("client.ouzel");
    std::fs::write(&path, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ouzel"))
        .args(["run", "--on", &service.name])
        .arg(path)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const PROGRAMS: &str = "program whole path $name, number $start
  fd = open $name read
  n = read fd 64 at $start
  finally close fd
  give n
end
program opened path $name
  fd = open $name read
  give fd
end
program note data $what
  fd = open \"note\" write create truncate
  write fd \"noted: \"
  write fd $what
  finally close fd
end
";

const CALLS: &str = "service whole path $name, number $start gives data
service note data $what
n = call whole \"a\", 2
call note \"by a client\"
print n
";

#[test]
fn programs_of_a_service_are_called_by_name() {
    for folder in Folder::all() {
        std::fs::write(folder.path().join("served/a"), "0123456789").unwrap();
        let programs = folder.path().join("programs.ouzel");
        std::fs::write(&programs, PROGRAMS).unwrap();
        let programs = programs.to_str().unwrap();

        let service = Service::start(&folder, "file", &["--program", programs, "--only-programs"]);
        let (status, printed, said) = run_on(&service, &folder, CALLS);
        assert_eq!((status, printed.contains("23456789")), (0, true), "{printed}{said}");
        assert_eq!(std::fs::read(folder.path().join("served/note")).unwrap(), b"noted: by a client");
        // Nothing else is done for anybody.
        for text in ["fd = open \"a\" read\nfinally close fd\n", "nop\n"] {
            let (status, _, said) = run_on(&service, &folder, text);
            assert_eq!((status, said.contains("EPERM")), (1, true), "{said}");
        }
        let (status, _, said) = run_on(&service, &folder, &format!("{PROGRAMS}call note \"x\"\n"));
        assert_eq!((status, said.contains("EPERM")), (2, true), "{said}");
        service.end();

        // Beside other entries, and what one opens is the chain's.
        let service = Service::start(&folder, "file", &["--program", programs]);
        let text = "service opened path $name gives file\nfd = call opened \"a\"\nn = read fd 4\nfinally close fd\nprint n\n";
        let (status, printed, said) = run_on(&service, &folder, text);
        assert_eq!((status, printed.contains("0123")), (0, true), "{printed}{said}");
        let own = "program first path $name\n  fd = open $name read\n  n = read fd 3\n  finally close fd\n  give n\nend\n\
                   n = call first \"a\"\nprint n\n";
        let (status, printed, said) = run_on(&service, &folder, own);
        assert_eq!((status, printed.contains("012")), (0, true), "{printed}{said}");
        for (text, expected, part) in [
            ("service missing\ncall missing\n", 2, "ENOENT"),
            ("service whole path $name, number $start gives file\nfd = call whole \"a\", 1\n", 2, "a number"),
            // That is seen when the call is built.
            ("service whole path $name gives data\nn = call whole \"a\"\n", 1, "3 parameters"),
        ] {
            let (status, _, said) = run_on(&service, &folder, text);
            assert_eq!((status, said.contains(part)), (expected, true), "{said}");
        }
        service.end();
    }
}

#[test]
fn what_a_service_cannot_offer_is_said_before_it_serves() {
    let folder = Folder::all().remove(0);
    let file = folder.path().join("programs.ouzel");
    let what = format!("file:{}", folder.path().join("served").display());
    for (text, part) in [
        ("nop\n", "a service runs only programs that are called"),
        ("# nothing\n", "there is no program"),
        ("service other\n", "a service's already"),
        ("program p\n  x = open\nend\n", "open"),
        ("program p\n  nop\nend\nprogram p\n  nop\nend\n", "two programs"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = Service::refused_what(&what, "refused", &["--program", file.to_str().unwrap()]);
        assert!(said.contains(part), "{text}: {said}");
    }
    let said = Service::refused_what(&what, "refused", &["--only-programs"]);
    assert!(said.contains("--program"), "{said}");
    let said = Service::refused_what(&what, "refused", &["--program", "/nowhere/p.ouzel"]);
    assert!(said.contains("/nowhere/p.ouzel"), "{said}");
}

/// The connections of a service as `ouzel top` tells of them.
fn connections(service: &Service) -> Vec<serde_json::Value> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ouzel"))
        .args(["top", "--once", "--json"])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["problems"], serde_json::json!([]));
    let name = service.name.trim_end_matches(':');
    let services = told["services"].as_array().unwrap();
    let own = services.iter().find(|one| one["service"] == name).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(own["quotas"]["descriptors"], 64);
    own["connections"].as_array().unwrap().clone()
}

#[test]
fn clients_are_seen_as_long_as_they_are_there() {
    let folder = Folder::all().remove(0);
    let service = Service::start(&folder, "file", &["--observe"]);
    assert_eq!(connections(&service).len(), 0);
    let mut ring = Ring::connect(&service.name).unwrap();
    let file = ring.open("a", OpenOptions::write().create()).unwrap();
    let waits = ouzel::Program::<ouzel::Unit>::build(|program| program.sleep(Duration::from_secs(1000)));
    let waits = ring.store(waits.unwrap()).unwrap();
    ring.submit(Chain::from(waits.call())).unwrap();
    let mut before = 0;
    for _ in 0..3 {
        for _ in 0..50 {
            ring.write(file, &b"bytes"[..], Offset::START).unwrap();
        }
        let told = connections(&service);
        assert_eq!(told.len(), 1);
        let told = &told[0];
        assert_eq!(told["process"], std::process::id());
        assert_eq!(told["user"], rustix::process::geteuid().as_raw());
        assert_eq!(told["state"], "connected");
        assert_eq!((&told["descriptors"], &told["programs"]), (&1.into(), &1.into()));
        assert_eq!((&told["in_flight"], &told["chains"]), (&1.into(), &1.into()), "the CALL");
        let (entries, completions) =
            (told["entries"].as_u64().unwrap(), told["completions"].as_u64().unwrap());
        assert!(entries >= before + 50 && completions + 1 == entries, "{told}");
        assert!(told["shared_bytes"].as_u64().unwrap() > 0 && told["regions"] == 1);
        before = entries;
    }
    let other = Ring::connect(&service.name).unwrap();
    let numbers: Vec<_> = connections(&service).iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);
    let shown =
        std::process::Command::new(env!("CARGO_BIN_EXE_ouzel")).args(["top", "--once"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = format!("service {}: of process", service.name.trim_end_matches(':'));
    assert!(shown.contains(&line) && shown.contains("2 connections"), "{shown}");
    assert!(shown.contains("ENTRIES/S") && shown.contains("1/64"), "{shown}");
    drop((ring, other));
    let begin = Instant::now();
    while !connections(&service).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(10), "a client that has gone is still shown");
        std::thread::sleep(Duration::from_millis(10));
    }
    service.end();
}
