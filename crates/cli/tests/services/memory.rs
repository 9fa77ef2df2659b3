//! Files in memory, `mem:`: everybody's, within a limit, with times.

use std::time::SystemTime;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{RemoveFlags, RenameFlags, StatFlags, Whence};
use ouzel::{Buffer, Directory, Entries, Offset, OpenOptions, Ring};

use super::scene::Service;

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
    let start = SystemTime::now();
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
    assert!(made.0 >= start && made.0 <= SystemTime::now());

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
