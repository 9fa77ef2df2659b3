//! What helpers of the uring backend do in one go, what the kernel's ring does in one run with it, and that both are
//! waited for as they must be.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use ouzel::abi::{Errno, Verb};
use ouzel::engine::Place;
use ouzel::{BackendKind, Buffer, Chain, Costs, Explanation, Offset, OpenOptions, Ring};

fn ring() -> Option<Ring> {
    match Ring::builder().backend(BackendKind::Uring).costs(Costs::USUAL).build() {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

/// Keeps something else in flight, so that whoever waits for a chain does not do it himself.
fn occupy(ring: &mut Ring) {
    let mut chain = Chain::new();
    chain.sleep(Duration::from_secs(3600));
    ring.submit(chain).unwrap();
}

/// A folder of its own on each file system.
fn folders(name: &str) -> Vec<PathBuf> {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    let place = |base: &str| Path::new(base).join(format!("handing-{name}-{}", std::process::id()));
    let paths: Vec<PathBuf> = list.split(':').filter(|base| !base.is_empty()).map(place).collect();
    for path in &paths {
        let _ = std::fs::remove_dir_all(path);
        std::fs::create_dir_all(path).unwrap();
    }
    paths
}

/// Runs `test` for a minute at the most.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (over, end) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = over.send(());
    });
    match end.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("this takes more than a minute"),
        _ => thread.join().unwrap(),
    }
}

fn places(explanation: &Explanation, verb: Verb) -> Vec<Place> {
    let steps = explanation.steps.iter().filter(|step| step.verb == verb);
    steps.filter_map(|step| step.way.map(|way| way.place)).collect()
}

#[test]
fn what_readies_a_file_for_a_copy_goes_along_with_it() {
    for folder in folders("along") {
        let Some(mut ring) = ring() else { return };
        occupy(&mut ring);
        let (from, to) = (folder.join("from"), folder.join("to"));
        std::fs::write(&from, b"new").unwrap();
        std::fs::write(&to, b"older and longer").unwrap();
        let source = ring.open(&from, OpenOptions::read()).unwrap();
        let target = ring.open(&to, OpenOptions::write()).unwrap();
        let mut chain = Chain::new();
        let mode = chain.chmod_file(target, 0o600);
        let emptied = chain.truncate(target, 0u64);
        let copied = chain.copy(source, Offset::START, target, Offset::START, 100u64);
        chain.finally().close(source);
        chain.finally().close(target);
        let (done, explanation) = ring.explain(chain).unwrap();
        done.check().unwrap();
        done.get(mode).unwrap();
        done.get(emptied).unwrap();
        assert_eq!(done.get(copied).unwrap(), 3);
        for verb in [Verb::Chmod, Verb::Truncate, Verb::Copy] {
            assert_eq!(places(&explanation, verb), [Place::Helper], "{explanation}");
        }
        assert_eq!(explanation.counters.handoffs, 1, "{explanation}");
        assert!(explanation.to_string().contains("in one go"), "{explanation}");
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
        assert_eq!(ring.gauges().descriptors, 0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn behind_what_failed_only_what_must_run_runs() {
    for folder in folders("failed") {
        let Some(mut ring) = ring() else { return };
        let from = folder.join("from");
        std::fs::write(&from, b"some bytes").unwrap();
        for hard in [false, true] {
            let source = ring.open(&from, OpenOptions::read()).unwrap();
            // Neither can be done to what is open for reading only.
            let target = ring.open(&from, OpenOptions::read()).unwrap();
            let mut chain = Chain::new();
            let emptied = chain.truncate(target, 0u64);
            if hard {
                chain.hardlink();
            }
            let copied = chain.copy(source, Offset::START, target, Offset::at(100u64), 100u64);
            let behind = chain.nop();
            chain.finally().close(source);
            let closed = chain.finally().close(target);
            let done = ring.run(chain).unwrap();
            assert_eq!(done.get(emptied).unwrap_err().errno(), Some(Errno::EINVAL));
            let expected = if hard { Errno::EBADF } else { Errno::ECANCELED };
            assert_eq!(done.get(copied).unwrap_err().errno(), Some(expected));
            assert_eq!(done.get(behind).unwrap_err().errno(), Some(Errno::ECANCELED));
            done.get(closed).unwrap();
            assert_eq!(ring.gauges().descriptors, 0);
        }
        assert_eq!(std::fs::read(&from).unwrap(), b"some bytes");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_cancel_reaches_the_copy_behind_what_is_done_with_it() {
    bounded(|| {
        for folder in folders("cancel") {
            let Some(mut ring) = ring() else { return };
            let (to, (read, write)) = (folder.join("to"), ring.pipe().unwrap());
            // More of them than there are helpers: some have begun, and some wait for a thread.
            let chains: Vec<_> = (0..6)
                .map(|number| {
                    let to = to.with_extension(number.to_string());
                    std::fs::write(&to, b"something").unwrap();
                    let target = ring.open(&to, OpenOptions::write()).unwrap();
                    let mut chain = Chain::new();
                    let emptied = chain.truncate(target, 0u64);
                    let copied = chain.copy(read, Offset::CURRENT, target, Offset::START, 100u64);
                    let closed = chain.finally().close(target);
                    (ring.submit(chain).unwrap(), emptied, copied, closed)
                })
                .collect();
            ring.flush().unwrap();
            std::thread::sleep(Duration::from_millis(50));
            for (ticket, emptied, copied, closed) in chains {
                assert!(ring.cancel(ticket).unwrap());
                let done = ring.wait(ticket).unwrap();
                match done.get(emptied) {
                    Ok(()) => {}
                    Err(error) => assert_eq!(error.errno(), Some(Errno::ECANCELED)),
                }
                assert_eq!(done.get(copied).unwrap_err().errno(), Some(Errno::ECANCELED));
                done.get(closed).unwrap();
            }
            ring.close(read).unwrap();
            ring.close(write).unwrap();
            assert_eq!(ring.gauges().descriptors, 0);
            std::fs::remove_dir_all(folder).unwrap();
        }
    });
}

#[test]
fn all_copies_are_waited_for_together() {
    bounded(|| {
        for folder in folders("all") {
            let Some(mut ring) = ring() else { return };
            let from = folder.join("from");
            std::fs::write(&from, vec![7; 100_000]).unwrap();
            let source = ring.open(&from, OpenOptions::read()).unwrap();
            for round in 0..50 {
                let mut targets = Vec::new();
                for number in 0..4 {
                    let to = folder.join(format!("to-{round}-{number}"));
                    let target = ring.open(&to, OpenOptions::write().create()).unwrap();
                    let mut chain = Chain::new();
                    if number % 2 == 0 {
                        chain.truncate(target, 0u64);
                    }
                    chain.copy(source, Offset::START, target, Offset::START, 100_000u64);
                    ring.submit(chain).unwrap();
                    targets.push((to, target));
                }
                // One wait for all of them: each tells of its end by itself, and not each by a completion of its own.
                ring.wait_all().unwrap();
                while let Some((_, done)) = ring.wait_any().unwrap() {
                    done.check().unwrap();
                }
                for (to, target) in targets {
                    ring.close(target).unwrap();
                    assert_eq!(std::fs::metadata(to).unwrap().len(), 100_000);
                }
            }
            std::fs::remove_dir_all(folder).unwrap();
        }
    });
}

#[test]
fn nothing_is_written_behind_a_truncate_that_fails() {
    for folder in folders("run") {
        let Some(mut ring) = ring() else { return };
        let to = folder.join("to");
        std::fs::write(&to, b"older").unwrap();
        let (target, source) = (
            ring.open(&to, OpenOptions::read_write()).unwrap(),
            ring.open(&to, OpenOptions::read()).unwrap(),
        );
        for (emptied, expected, left) in [(target, Errno::OK, &b"new"[..]), (source, Errno::EINVAL, b"older")]
        {
            std::fs::write(&to, b"older").unwrap();
            let mut chain = Chain::new();
            chain.truncate(emptied, 0u64);
            chain.write(target, Buffer::from(b"new"), Offset::START);
            let done = ring.run(chain).unwrap();
            let errors = [0, 1].map(|step| done.completion_of(step).unwrap().errno());
            let behind = if expected.is_ok() { Errno::OK } else { Errno::ECANCELED };
            assert_eq!(errors, [expected, behind]);
            assert_eq!(std::fs::read(&to).unwrap(), left);
        }
        ring.close(target).unwrap();
        ring.close(source).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_file_that_is_there_is_opened_for_writing_by_a_call_and_closed_by_the_ring() {
    for folder in folders("written") {
        let Some(mut ring) = ring() else { return };
        occupy(&mut ring);
        let to = folder.join("to");
        for (options, place) in [
            (OpenOptions::write().create(), Place::Kernel),
            (OpenOptions::write(), Place::Call),
            (OpenOptions::read_write(), Place::Call),
            (OpenOptions::write().append(), Place::Kernel),
        ] {
            std::fs::write(&to, b"some bytes").unwrap();
            let mut chain = Chain::new();
            let file = chain.open(&to, options);
            chain.stat_file(file);
            chain.write(file, Buffer::from(b"S"), Offset::START);
            chain.finally().close(file);
            let (done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            assert_eq!(places(&explanation, Verb::Open), [place], "{explanation}");
            assert_ne!(places(&explanation, Verb::Close), [Place::Call], "{explanation}");
            assert_eq!(ring.gauges().descriptors, 0);
        }
        let missing = ring.open(folder.join("missing"), OpenOptions::write()).unwrap_err();
        assert_eq!(missing.errno(), Some(Errno::ENOENT));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
