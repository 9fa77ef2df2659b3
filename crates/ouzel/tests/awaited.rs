//! A chain that is waited for alone is done by whoever waits, in plain calls; with company, a limit of time or another
//! policy it is not. What it does is the same.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ouzel::abi::Verb;
use ouzel::abi::modifiers::{RenameFlags, StatFlags, SyncMode};
use ouzel::engine::Place;
use ouzel::{BackendKind, Buffer, Chain, Directory, Explanation, Offset, OpenOptions, Policy, Ring};

const WHY: &str = "the caller waits for nothing else";

fn ring(policy: Policy) -> Option<Ring> {
    match Ring::builder().backend(BackendKind::Uring).policy(policy).build() {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

/// A folder of its own on each file system.
fn folders(name: &str) -> Vec<PathBuf> {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    let place = |base: &str| Path::new(base).join(format!("awaited-{name}-{}", std::process::id()));
    let paths: Vec<PathBuf> = list.split(':').filter(|base| !base.is_empty()).map(place).collect();
    for path in &paths {
        let _ = std::fs::remove_dir_all(path);
        std::fs::create_dir_all(path).unwrap();
    }
    paths
}

/// Writes a file, looks at it, gives it another name and other permissions, all of which io_uring leaves to its workers.
fn replace(folder: &Path) -> Chain {
    let mut chain = Chain::new();
    let (new, name) = (folder.join("new"), folder.join("name"));
    let file = chain.open(&new, OpenOptions::write().create().truncate());
    chain.write(file, Buffer::from(b"contents"), Offset::START);
    chain.chmod_file(file, 0o640);
    chain.sync(file, SyncMode::Data);
    chain.rename(Directory::Working, &new, Directory::Working, &name, RenameFlags::empty());
    chain.stat(Directory::Working, &name, StatFlags::empty());
    chain.finally().close(file);
    chain
}

fn check(folder: &Path) {
    let name = folder.join("name");
    assert_eq!(std::fs::read(&name).unwrap(), b"contents");
    assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(!folder.join("new").exists());
}

fn places(explanation: &Explanation) -> Vec<Place> {
    explanation.steps.iter().filter_map(|step| step.way.map(|way| way.place)).collect()
}

fn occupy(ring: &mut Ring) {
    let mut chain = Chain::new();
    chain.sleep(Duration::from_secs(3600));
    ring.submit(chain).unwrap();
}

#[test]
fn a_chain_that_is_waited_for_alone_is_done_by_plain_calls() {
    for folder in folders("alone") {
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let (done, explanation) = ring.explain(replace(&folder)).unwrap();
        done.check().unwrap();
        check(&folder);
        assert_eq!(places(&explanation), [Place::Call; 7], "{explanation}");
        assert!(explanation.to_string().contains(WHY), "{explanation}");
        assert_eq!((explanation.counters.enters, explanation.counters.handoffs), (0, 0), "{explanation}");
        assert_eq!(ring.gauges().descriptors, 0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn with_company_or_another_policy_nothing_that_may_wait_is_done_by_the_caller() {
    for folder in folders("company") {
        for (policy, company) in [(Policy::Auto, true), (Policy::Calls, false), (Policy::Links, false)] {
            let Some(mut ring) = ring(policy) else { return };
            if company {
                occupy(&mut ring);
            }
            let (done, explanation) = ring.explain(replace(&folder)).unwrap();
            done.check().unwrap();
            check(&folder);
            for (place, verb) in places(&explanation).into_iter().zip([
                Verb::Open,
                Verb::Write,
                Verb::Chmod,
                Verb::Sync,
                Verb::Rename,
            ]) {
                assert_ne!(place, Place::Call, "{verb:?} {explanation}");
            }
            assert!(!explanation.to_string().contains(WHY), "{explanation}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_limit_of_time_takes_the_work_from_the_caller() {
    for folder in folders("limit") {
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let path = folder.join("file");
        for limit in ["of a step", "of a chain"] {
            let mut chain = Chain::new();
            if limit == "of a chain" {
                chain.deadline(Duration::from_secs(3600));
            }
            let file = chain.open(&path, OpenOptions::write().create());
            if limit == "of a step" {
                chain.timeout(Duration::from_secs(3600));
            }
            chain.finally().close(file);
            let (done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            let open = explanation.steps.iter().find(|step| step.verb == Verb::Open).unwrap();
            assert_ne!(open.way.unwrap().place, Place::Call, "{limit}: {explanation}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn failures_are_those_of_the_ring() {
    for folder in folders("failures") {
        let path = folder.join("file");
        std::fs::write(&path, b"some bytes").unwrap();
        let mut found = Vec::new();
        for policy in [Policy::Auto, Policy::Links] {
            let Some(mut ring) = ring(policy) else { return };
            let mut errors = Vec::new();
            let mut run = |build: &dyn Fn(&mut Chain)| {
                let mut chain = Chain::new();
                build(&mut chain);
                let done = ring.run(chain).unwrap();
                let steps = 0..done.len();
                errors.push(steps.map(|step| done.completion_of(step).unwrap().errno()).collect::<Vec<_>>());
            };
            run(&|chain| {
                chain.open(folder.join("missing"), OpenOptions::read());
            });
            run(&|chain| {
                chain.open(&path, OpenOptions::write().create_new());
            });
            run(&|chain| {
                let file = chain.open(&path, OpenOptions::read());
                chain.write(file, Buffer::from(b"x"), Offset::START);
                chain.finally().close(file);
            });
            run(&|chain| {
                let file = chain.open(&path, OpenOptions::write());
                chain.read(file, Buffer::with_capacity(8), Offset::START);
                chain.finally().close(file);
            });
            run(&|chain| {
                let file = chain.open(&folder, OpenOptions::directory());
                chain.read(file, Buffer::with_capacity(8), Offset::START);
                chain.finally().close(file);
            });
            run(&|chain| {
                chain.mkdir(Directory::Working, folder.as_path(), 0o700);
            });
            run(&|chain| {
                let (old, new) = (folder.join("missing"), folder.join("other"));
                chain.rename(Directory::Working, old, Directory::Working, new, RenameFlags::empty());
            });
            found.push(errors);
        }
        assert_eq!(found[0], found[1]);
        assert!(found[0].iter().all(|errors| errors.iter().any(|error| !error.is_ok())), "{found:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn an_event_is_waited_for_by_the_ring() {
    for folder in folders("event") {
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let path = folder.join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read_write());
        let file = ring.run(chain).unwrap().get(file).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                std::thread::sleep(Duration::from_millis(50));
                std::fs::write(path, b"late").unwrap();
            }
        });
        let mut chain = Chain::new();
        let length = chain.read(file, Buffer::with_capacity(64), Offset::CURRENT);
        let (mut done, explanation) = ring.explain(chain).unwrap();
        assert_eq!(done.take(length).unwrap().as_slice(), b"late");
        assert_ne!(places(&explanation), [Place::Call], "{explanation}");
        writer.join().unwrap();
        ring.close(file).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
