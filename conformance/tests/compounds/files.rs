//! Reading, replacing, appending and copying files, and what that costs.

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::RemoveFlags;
use ouzel::backend::fault::Injection;
use ouzel::compounds::{self, AppendLog, WriteMode};
use ouzel::{BackendKind, Chain, Directory, Error, Offset, OpenOptions, Ring};

use crate::scene::{Scene, errno, pattern};

// ---------------------------------------------------------------- reading

pub(crate) const LENGTHS: [usize; 7] = [0, 1, 4095, 65_535, 65_536, 65_537, 300_001];

pub(crate) fn files_of_every_length_are_read(scene: &mut Scene) {
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

pub(crate) fn what_cannot_be_read_is_an_error_with_its_path(scene: &mut Scene) {
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

pub(crate) fn many_files_come_each_once(scene: &mut Scene) {
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

pub(crate) fn many_files_need_few_descriptors(scene: &mut Scene) {
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

pub(crate) fn a_file_is_replaced_whole(scene: &mut Scene) {
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

pub(crate) fn a_replaced_file_keeps_its_mode_or_is_given_one(scene: &mut Scene) {
    let path = scene.name("file");
    scene.put("file", b"old", 0o600);
    compounds::write_file_durably(&mut scene.ring, &path, "new", WriteMode::Kept).unwrap();
    assert_eq!(scene.stat("file").unwrap().permissions(), 0o600);
    for mode in [0o640, 0o666, 0o777, 0o400] {
        compounds::write_file_durably(&mut scene.ring, &path, "new", WriteMode::Given(mode)).unwrap();
        assert_eq!(scene.stat("file").unwrap().permissions(), mode);
        compounds::write_file_durably(&mut scene.ring, &path, "newer", WriteMode::Kept).unwrap();
        assert_eq!(scene.stat("file").unwrap().permissions(), mode);
    }
    assert_eq!(scene.names(), ["file"]);
    assert_eq!(scene.open_now(), 0);
}

pub(crate) fn what_cannot_be_replaced_leaves_nothing(scene: &mut Scene) {
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

pub(crate) fn a_log_grows_by_records(scene: &mut Scene) {
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

pub(crate) fn a_log_forgets_no_failed_sync(scene: &mut Scene) {
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

pub(crate) fn files_are_copied_with_and_without_the_verb(scene: &mut Scene) {
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

pub(crate) fn copies_take_the_permissions_along(scene: &mut Scene) {
    scene.put("from", b"text", 0o777);
    let (from, to) = (scene.name("from"), scene.name("to"));
    scene.put("to", b"", 0o600);
    let wanted = scene.stat("from").unwrap().permissions();
    compounds::copy_file(&mut scene.ring, &from, &to).unwrap();
    assert_eq!(scene.stat("to").unwrap().permissions(), wanted);
    if !scene.stage.is_sim() {
        std::fs::copy(&from, scene.name("theirs")).unwrap();
        assert_eq!(scene.stat("theirs").unwrap().permissions(), wanted);
    }
    assert_eq!(scene.open_now(), 0);
}

pub(crate) fn holes_are_copied(scene: &mut Scene) {
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

pub(crate) fn a_file_is_not_copied_onto_itself(scene: &mut Scene) {
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
pub(crate) fn system_calls_are_no_more_than_documented(scene: &mut Scene) {
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
    step(&mut ring, "write, kept", [16, 16], &mut |ring| {
        compounds::write_file_durably(ring, &path, "text", WriteMode::Kept).unwrap();
    });
    step(&mut ring, "read", [7, 7], &mut |ring| {
        assert_eq!(compounds::read_file(ring, &path).unwrap(), b"text");
    });
    step(&mut ring, "stat then read", [8, 8], &mut |ring| {
        assert_eq!(compounds::stat_then_read(ring, &path, 4).unwrap(), b"text");
    });
    step(&mut ring, "append", [2, 2], &mut |ring| {
        log.append_durably(ring, ["a", "b", "c"]).unwrap();
    });
    for (what, most) in [("copy, new", [13, 14]), ("copy, over", [11, 14])] {
        step(&mut ring, what, most, &mut |ring| {
            assert_eq!(compounds::copy_file(ring, &path, &copy).unwrap(), 4);
        });
    }
    step(&mut ring, "copy, over, through memory", [11, 15], &mut |ring| {
        assert_eq!(compounds::copy_file_through_memory(ring, &path, &copy).unwrap(), 4);
    });
}
