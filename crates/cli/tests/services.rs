//! The services of the command's own, through their clients: what `ouzel serve` promises of logs and of files in memory.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "services/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::{RemoveFlags, RenameFlags, StatFlags, Whence};
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Chain, Directory, Entries, Offset, OpenOptions, Ring};
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

/// The names in a directory, in a buffer of this size, and each once.
fn names(ring: &mut Ring, path: &str, room: usize) -> Vec<String> {
    let directory = ring.open(path, OpenOptions::directory()).unwrap();
    let mut names = Vec::new();
    loop {
        let records = ring.readdir(directory, Buffer::with_capacity(room)).unwrap();
        if records.is_empty() {
            break;
        }
        names.extend(Entries::new(&records).map(|entry| entry.name.to_str().unwrap().to_owned()));
    }
    ring.close(directory).unwrap();
    names.sort_unstable();
    names
}

#[test]
fn files_in_memory_are_everybodys_and_gone_with_the_service() {
    let service = Service::start_what("mem:180000", &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let mut other = Ring::connect(&service.name).unwrap();
    ring.mkdir(Directory::Working, "a", 0o755).unwrap();
    ring.mkdir(Directory::Working, "a/b", 0o700).unwrap();
    let errno = |result: Result<(), ouzel::Error>| result.unwrap_err().errno().unwrap();
    assert_eq!(errno(ring.mkdir(Directory::Working, "a/b", 0o700)), Errno::EEXIST);
    assert_eq!(errno(ring.mkdir(Directory::Working, "x/b", 0o700)), Errno::ENOENT);

    // Written by one, read by another.
    let file = ring.open("/a/b/file", OpenOptions::read_write().create_new().mode(0o640)).unwrap();
    assert_eq!(ring.write(file, b"hello".to_vec(), Offset::at(3u64)).unwrap(), 5);
    assert_eq!(ring.write(file, b"abc".to_vec(), Offset::CURRENT).unwrap(), 3);
    let same = other.open("a/../a/./b/file", OpenOptions::read_write().append()).unwrap();
    assert_eq!(other.write(same, b"!".to_vec(), Offset::at(0u64)).unwrap(), 1);
    assert_eq!(&other.read(same, Buffer::with_capacity(50), Offset::at(0u64)).unwrap()[..], b"abchello!");
    assert_eq!(other.seek(same, -1, Whence::End).unwrap(), 8);
    assert_eq!(&other.read(same, Buffer::with_capacity(50), Offset::CURRENT).unwrap()[..], b"!");
    let status = other.stat(Directory::Working, "a/b/file", StatFlags::empty()).unwrap();
    assert!(status.is_file() && status.size == 9 && status.permissions() == 0o640);
    assert!(other.stat(Directory::Working, "../..", StatFlags::empty()).unwrap().is_directory());
    assert_eq!(other.stat_file(same).unwrap().inode, status.inode);
    other.truncate(same, 2).unwrap();
    other.truncate(same, 4).unwrap();
    assert_eq!(&ring.read(file, Buffer::with_capacity(50), Offset::at(0u64)).unwrap()[..], b"ab\0\0");
    assert_eq!(errno(ring.open("a/b", OpenOptions::write()).map(drop)), Errno::EISDIR);
    assert_eq!(errno(ring.open("a/b/file/x", OpenOptions::read()).map(drop)), Errno::ENOTDIR);

    // Directories: everything once, in pieces.
    let wanted: Vec<String> = (0..100).map(|number| format!("name{number:03}")).collect();
    for name in &wanted {
        let made = ring.open(format!("a/{name}"), OpenOptions::write().create()).unwrap();
        ring.close(made).unwrap();
    }
    let all: Vec<String> = std::iter::once("b".to_owned()).chain(wanted).collect();
    assert_eq!(names(&mut other, "/a", 100), all);
    assert_eq!(names(&mut other, "/a", 65_536), all);

    // Names go, and what is open stays.
    assert_eq!(errno(ring.remove(Directory::Working, "a/b", RemoveFlags::DIRECTORY)), Errno::ENOTEMPTY);
    assert_eq!(errno(ring.remove(Directory::Working, "a/b", RemoveFlags::empty())), Errno::EISDIR);
    let rename = |ring: &mut Ring, old: &str, new: &str, flags| {
        ring.rename(Directory::Working, old, Directory::Working, new, flags)
    };
    assert_eq!(errno(rename(&mut ring, "a", "a/b/a", RenameFlags::empty())), Errno::EINVAL);
    assert_eq!(errno(rename(&mut ring, "a/b/file", "a/name007", RenameFlags::NOREPLACE)), Errno::EEXIST);
    rename(&mut ring, "a/b/file", "a/name007", RenameFlags::empty()).unwrap();
    rename(&mut ring, "a/b", "c", RenameFlags::empty()).unwrap();
    assert_eq!(names(&mut other, "/", 4096), ["a", "c"]);
    ring.remove(Directory::Working, "c", RemoveFlags::DIRECTORY).unwrap();
    ring.remove(Directory::Working, "a/name007", RemoveFlags::empty()).unwrap();
    assert_eq!(other.stat_file(same).unwrap().size, 4);

    // Of what is full nothing is lost, and what is given up can be used again.
    let block = vec![7; 30_000];
    for round in 0..3 {
        let large = ring.open("large", OpenOptions::write().create()).unwrap();
        let (mut at, mut full) = (0, None);
        while full.is_none() {
            match ring.write(large, block.clone(), Offset::at(at)) {
                Ok(written) => at += written as u64,
                Err(error) => full = error.errno(),
            }
        }
        assert_eq!((at, full), (60_000, Some(Errno::EDQUOT)), "round {round}");
        assert_eq!(errno(ring.truncate(large, u64::MAX / 2)), Errno::EDQUOT);
        assert_eq!(ring.stat_file(large).unwrap().size, 60_000);
        ring.remove(Directory::Working, "large", RemoveFlags::empty()).unwrap();
        ring.close(large).unwrap();
    }
    service.end();
    assert!(other.stat_file(same).is_err());
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
fn files_in_memory_have_a_limit_and_holes_count() {
    // The root, and a file with its name.
    const MOST: u64 = 10_000 - 1024 - (1024 + 1);
    let service = Service::start_what("mem:10000", &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let file = ring.open("f", OpenOptions::read_write().create()).unwrap();
    let full = |result: Result<(), ouzel::Error>| result.unwrap_err().errno() == Some(Errno::EDQUOT);
    for _ in 0..3 {
        assert!(full(ring.truncate(file, MOST + 1)));
        ring.truncate(file, MOST).unwrap();
        assert_eq!(ring.write(file, vec![1], Offset::at(MOST - 1)).unwrap(), 1);
        assert!(full(ring.write(file, vec![1], Offset::at(MOST)).map(drop)));
        assert!(full(ring.mkdir(Directory::Working, "d", 0o700)));
        ring.truncate(file, 0).unwrap();
        assert_eq!(ring.write(file, vec![1; MOST as usize], Offset::START).unwrap() as u64, MOST);
        assert!(full(ring.write(file, vec![1; MOST as usize], Offset::at(1u64)).map(drop)));
        assert_eq!(ring.stat_file(file).unwrap().size, MOST);
        // A directory needs as much as a file.
        ring.truncate(file, MOST - 1024).unwrap();
        assert!(full(ring.mkdir(Directory::Working, "d", 0o700)));
        ring.truncate(file, MOST - 1025).unwrap();
        ring.mkdir(Directory::Working, "d", 0o700).unwrap();
        ring.remove(Directory::Working, "d", RemoveFlags::DIRECTORY).unwrap();
        ring.truncate(file, 0).unwrap();
    }
    service.end();

    // What was never written is not held: more of it than there is memory.
    const LARGE: u64 = 1 << 50;
    let service = Service::start_what(&format!("mem:{}", LARGE + 10_000), &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let file = ring.open("f", OpenOptions::read_write().create()).unwrap();
    for _ in 0..100 {
        ring.truncate(file, LARGE).unwrap();
        assert_eq!(ring.write(file, b"end".to_vec(), Offset::at(LARGE - 3)).unwrap(), 3);
        let read = ring.read(file, Buffer::with_capacity(100), Offset::at(LARGE - 5)).unwrap();
        assert_eq!(&read[..], b"\0\0end");
        ring.truncate(file, 0).unwrap();
    }
    service.end();
}

#[test]
fn a_transfer_of_what_is_in_memory_is_a_mebibyte_at_most() {
    const MOST: usize = 1 << 20;
    let service = Service::start_what("mem:", &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let file = ring.open("f", OpenOptions::read_write().create()).unwrap();
    assert_eq!(ring.write(file, vec![1; MOST + 1], Offset::START).unwrap(), MOST);
    assert_eq!(ring.write(file, vec![2; 1], Offset::at(MOST as u64)).unwrap(), 1);
    let read = |ring: &mut Ring, from: u64| {
        ring.read(file, Buffer::with_capacity(MOST + 1), Offset::at(from)).unwrap().to_vec()
    };
    assert!(read(&mut ring, 0) == vec![1; MOST]);
    assert!(read(&mut ring, 1) == [vec![1; MOST - 1], vec![2]].concat());
    ring.close(file).unwrap();
    ring.remove(Directory::Working, "f", RemoveFlags::empty()).unwrap();

    // Records of 280 bytes.
    let whole = MOST / 280;
    for number in 0..=whole {
        let made = ring.open(format!("{number:0255}"), OpenOptions::write().create()).unwrap();
        ring.close(made).unwrap();
    }
    let directory = ring.open("/", OpenOptions::directory()).unwrap();
    let lengths = [(); 3].map(|()| ring.readdir(directory, Buffer::with_capacity(2 * MOST)).unwrap().len());
    assert_eq!(lengths, [whole * 280, 280, 0]);
}

#[test]
fn every_change_of_what_is_in_memory_gives_another_time() {
    let service = Service::start_what("mem:", &[]);
    let mut ring = Ring::connect(&service.name).unwrap();
    let start = std::time::SystemTime::now();
    let times = |ring: &mut Ring, path: &str| {
        let status = ring.stat(Directory::Working, path, StatFlags::empty()).unwrap();
        assert!(status.changed >= status.modified && status.accessed == status.modified);
        assert!(status.born.is_none(), "nobody takes it for a file of a service of before");
        (status.modified, status.changed)
    };
    assert!(times(&mut ring, "/").0 <= start, "the service began before");
    ring.mkdir(Directory::Working, "d", 0o700).unwrap();
    let file = ring.open("d/f", OpenOptions::read_write().create_new()).unwrap();
    let made = times(&mut ring, "d/f");
    assert!(made.0 >= start && made.0 <= std::time::SystemTime::now());

    // What is in a file: as often as there are changes, and only then.
    let mut last = made;
    for round in 0..1000_u32 {
        match round % 4 {
            0 => assert_eq!(ring.write(file, vec![round as u8; 8], Offset::START).unwrap(), 8),
            1 => ring.truncate(file, 8).unwrap(),
            2 => ring.truncate(file, u64::from(round)).unwrap(),
            _ => {
                let other = ring.open("d/f", OpenOptions::write().truncate()).unwrap();
                ring.close(other).unwrap();
            }
        }
        let now = times(&mut ring, "d/f");
        assert!(now.0 > last.0 && now.1 > last.1, "round {round}: {now:?} behind {last:?}");
        last = now;
    }
    ring.read(file, Buffer::with_capacity(8), Offset::START).unwrap();
    ring.write(file, Vec::new(), Offset::START).unwrap();
    assert!(ring.truncate(file, u64::MAX / 2).is_err());
    let other = ring.open("d/f", OpenOptions::write().create()).unwrap();
    ring.close(other).unwrap();
    assert_eq!(times(&mut ring, "d/f"), last);

    // What is in a directory are names.
    let mut directory = times(&mut ring, "d");
    let mut root = times(&mut ring, "/");
    let mut is_changed = |ring: &mut Ring, path: &str| {
        let last = if path == "d" { &mut directory } else { &mut root };
        let now = times(ring, path);
        std::mem::replace(last, now).0 < now.0
    };
    let none = RenameFlags::empty();
    ring.mkdir(Directory::Working, "d/e", 0o700).unwrap();
    assert!(is_changed(&mut ring, "d") && !is_changed(&mut ring, "/"));
    ring.remove(Directory::Working, "d/e", RemoveFlags::DIRECTORY).unwrap();
    assert!(is_changed(&mut ring, "d") && !is_changed(&mut ring, "/"));
    ring.rename(Directory::Working, "d/f", Directory::Working, "g", none).unwrap();
    assert!(is_changed(&mut ring, "d") && is_changed(&mut ring, "/"));
    // A name is nothing that is in the file.
    let renamed = times(&mut ring, "g");
    assert!(renamed.0 == last.0 && renamed.1 > last.1);
    ring.rename(Directory::Working, "g", Directory::Working, "g", none).unwrap();
    assert!(!is_changed(&mut ring, "/"));
    ring.remove(Directory::Working, "g", RemoveFlags::empty()).unwrap();
    assert!(is_changed(&mut ring, "/") && !is_changed(&mut ring, "d"));
    let gone = ring.stat_file(file).unwrap();
    assert!(gone.modified == last.0 && gone.changed > renamed.1);
    assert!(ring.remove(Directory::Working, "g", RemoveFlags::empty()).is_err());
    assert!(!is_changed(&mut ring, "/"));
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
