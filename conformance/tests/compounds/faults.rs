//! Compounds whose operations fail, one after the other and at random: nothing stays open, and no temporary file is left.

use std::time::Duration;

use ouzel::abi::{Errno, Verb};
use ouzel::backend::fault::{FaultOptions, Injection};
use ouzel::compounds::{self, Answer, AppendLog, Until, WriteMode};
use ouzel::{Directory, Error};
use ouzel_conformance::Stage;

use crate::scene::{Plan, Scene, pattern};
use crate::sockets::{bounded, client, server};

/// A compound whose operations fail one by one.
pub(crate) struct Faulted {
    prepare: fn(&mut Scene),
    /// What it promises is asserted here.
    act: fn(&mut Scene) -> Result<(), Error>,
    /// What is so afterwards, however it ended.
    after: fn(&mut Scene),
    /// A short transfer is no reason to fail: not so where a peer on the same ring is hit as well.
    alone: bool,
}

pub(crate) const FAULTED: &[(&str, Faulted)] = &[
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

pub(crate) fn nothing(_: &mut Scene) {}

pub(crate) fn put_long(scene: &mut Scene) {
    scene.put("long", &pattern(200_000), 0o644);
    scene.put("short", &pattern(9), 0o644);
}

pub(crate) fn put_old(scene: &mut Scene) {
    scene.put("file", &pattern(1_000), 0o644);
}

pub(crate) fn put_tree(scene: &mut Scene) {
    for name in ["one", "two", "one/deep"] {
        let path = scene.name(name);
        scene.ring.mkdir(Directory::Working, path, 0o755).unwrap();
    }
    scene.put("one/deep/file", b"", 0o644);
}

pub(crate) fn act_read_file(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("long");
    assert!(compounds::read_file(&mut scene.ring, path)? == pattern(200_000));
    let path = scene.name("short");
    assert!(compounds::read_file(&mut scene.ring, path)? == pattern(9));
    Ok(())
}

pub(crate) fn act_stat_then_read(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("long");
    assert!(compounds::stat_then_read(&mut scene.ring, path, 200_000)? == pattern(200_000));
    Ok(())
}

pub(crate) fn act_read_files(scene: &mut Scene) -> Result<(), Error> {
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

pub(crate) fn act_write_kept(scene: &mut Scene) -> Result<(), Error> {
    let path = scene.name("file");
    let written = compounds::write_file_durably(&mut scene.ring, path, pattern(3_000), WriteMode::Kept);
    new_or_why(scene, written)
}

pub(crate) fn act_write_given(scene: &mut Scene) -> Result<(), Error> {
    // One that the umask cuts.
    let mode = 0o606;
    let path = scene.name("file");
    let written =
        compounds::write_file_durably(&mut scene.ring, path, pattern(3_000), WriteMode::Given(mode));
    new_or_why(scene, written)
}

/// The new file after `Ok`, the old one after an error of anything but a SYNC.
pub(crate) fn new_or_why(scene: &mut Scene, written: Result<(), Error>) -> Result<(), Error> {
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

pub(crate) fn old_or_new(scene: &mut Scene) {
    let content = scene.content("file");
    assert!(content == pattern(1_000) || content == pattern(3_000), "{} bytes", content.len());
}

pub(crate) fn act_append(scene: &mut Scene) -> Result<(), Error> {
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
pub(crate) fn log_is_whole(scene: &mut Scene) {
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

pub(crate) fn act_copy(scene: &mut Scene) -> Result<(), Error> {
    let (from, to) = (scene.name("long"), scene.name("copy"));
    assert_eq!(compounds::copy_file(&mut scene.ring, from, to)?, 200_000);
    let armed = std::mem::take(&mut scene.plan.lock().unwrap().armed);
    assert!(scene.content("copy") == pattern(200_000));
    scene.plan.lock().unwrap().armed = armed;
    Ok(())
}

pub(crate) fn act_copy_by_blocks(scene: &mut Scene) -> Result<(), Error> {
    scene.plan.lock().unwrap().no_copy = Some(Errno::EXDEV);
    act_copy(scene)
}

pub(crate) fn act_serve(scene: &mut Scene) -> Result<(), Error> {
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

pub(crate) fn act_exchange(scene: &mut Scene) -> Result<(), Error> {
    let listener = scene.listen()?;
    let ticket = server(scene, listener, &pattern(1_000));
    let address = scene.address();
    let until = Until::PeerStops { limit: 1_000 };
    let got =
        compounds::connect_exchange(&mut scene.ring, &address, "ping", until, Duration::from_millis(400));
    scene.ring.cancel(ticket).unwrap();
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener)?;
    got.map(|_| ())
}

pub(crate) fn act_walk(scene: &mut Scene) -> Result<(), Error> {
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
pub(crate) fn sweep(stage: &Stage, faulted: &Faulted) {
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
pub(crate) fn storm(stage: &Stage, faulted: &Faulted) {
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
pub(crate) const STORMS: u64 = 15;
