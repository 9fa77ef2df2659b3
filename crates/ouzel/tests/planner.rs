//! The planner of the uring backend: what it chooses can be foreseen from a table of costs, shows in `explain`, and
//! changes nothing but the price.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::engine::Place;
use ouzel::{
    BackendKind, Buffer, Chain, Costs, Directory, Explanation, Offset, OpenOptions, Policy, Reg, Ring,
    RingBuilder,
};
use rustix::fs::{Advice, fadvise};

/// What a call costs above an entry is 100, an enter is 1,000.
const TABLE: Costs = Costs { call: 200, entry: 100, enter: 1000 };

fn builder() -> RingBuilder {
    Ring::builder().backend(BackendKind::Uring).costs(TABLE)
}

fn ring(policy: Policy) -> Option<Ring> {
    match builder().policy(policy).build() {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

/// A file of its own, of which the cache knows, on each file system.
fn files(name: &str, contents: &[u8]) -> Vec<PathBuf> {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    let place = |base: &str| Path::new(base).join(format!("planner-{name}-{}", std::process::id()));
    let paths: Vec<PathBuf> = list.split(':').filter(|base| !base.is_empty()).map(place).collect();
    for path in &paths {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(contents).unwrap();
        file.sync_all().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), contents);
    }
    paths
}

/// Whether plain calls on this file need not wait, so that they can be chosen at all.
fn honours(path: &Path) -> bool {
    const KNOWN: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];
    let known = KNOWN.contains(&(rustix::fs::statfs(path).unwrap().f_type as u32));
    if !known {
        println!("SKIPPED: {}: a file system of which nothing is known", path.display());
    }
    known
}

fn read_whole(path: &Path, room: usize, offset: Offset) -> (Chain, Reg<usize>) {
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(room), offset);
    chain.finally().close(file);
    (chain, length)
}

fn places(explanation: &Explanation) -> Vec<Place> {
    explanation.steps.iter().map(|step| step.way.unwrap().place).collect()
}

#[test]
fn a_policy_forces_one_way_and_explain_shows_it() {
    for path in files("forced", b"some bytes") {
        if !honours(&path) {
            continue;
        }
        for (policy, expected, enters) in [
            (Policy::Calls, [Place::Call; 3], 0),
            (Policy::Auto, [Place::Call; 3], 0),
            (Policy::Links, [Place::Kernel, Place::Linked, Place::Linked], 1),
        ] {
            let Some(mut ring) = ring(policy) else { return };
            let (chain, length) = read_whole(&path, 100, Offset::START);
            let (mut done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            assert_eq!(done.take(length).unwrap().as_slice(), b"some bytes");
            assert_eq!(places(&explanation), expected, "{policy:?}: {explanation}");
            assert_eq!(explanation.counters.enters, enters, "{policy:?}: {explanation}");
            assert!(explanation.steps.iter().all(|step| !step.way.unwrap().reason.is_empty()));
            if enters == 0 {
                // In memory a read that refuses to wait is refused, and it has to be asked what that is a file of.
                assert!((3..=6).contains(&explanation.counters.calls), "{explanation}");
            }
            assert_eq!(ring.gauges().descriptors, 0);
        }
        std::fs::remove_file(path).unwrap();
    }
}

/// The rule: calls, if for all chains together they cost no more than one enter and the entries, and a sixteenth.
fn foreseen(chains: u64, steps: u64) -> bool {
    let Costs { call, entry, enter } = TABLE;
    let entries = u64::from(enter) + chains * steps * u64::from(entry);
    chains * steps * u64::from(call) <= entries + entries / 16
}

#[test]
fn with_a_table_of_costs_every_choice_can_be_foreseen() {
    for path in files("foreseen", b"some bytes") {
        if !honours(&path) {
            continue;
        }
        let Some(mut ring) = ring(Policy::Auto) else { return };
        ring.trace(true);
        let mut seen = [false; 2];
        for chains in 1..=8 {
            let before = ring.counters();
            let submitted: Vec<_> = (0..chains)
                .map(|_| {
                    let (chain, length) = read_whole(&path, 100, Offset::START);
                    (ring.submit(chain).unwrap(), length)
                })
                .collect();
            ring.wait_all().unwrap();
            let expected = foreseen(chains, 3);
            seen[usize::from(expected)] = true;
            for (ticket, length) in submitted {
                let mut done = ring.wait(ticket).unwrap();
                done.check().unwrap();
                for step in 0..3 {
                    let way = done.way_of(step).unwrap();
                    assert_eq!(way.place == Place::Call, expected, "{chains} chains, step {step}: {way:?}");
                }
                assert_eq!(done.take(length).unwrap().as_slice(), b"some bytes");
            }
            let cost = ring.counters().since(before);
            assert_eq!(cost.enters == 0, expected, "{chains} chains: {cost:?}");
            assert_eq!(cost.calls == 0, !expected, "{chains} chains: {cost:?}");
        }
        assert_eq!(seen, [true; 2], "both ways were chosen");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_not_cached_is_read_by_the_ring_and_read_whole() {
    const SIZE: usize = 1 << 18;
    let contents: Vec<u8> = (0..SIZE).map(|place| (place / 7) as u8).collect();
    for path in files("cold", &contents) {
        if !honours(&path) {
            continue;
        }
        let Some(mut ring) = ring(Policy::Calls) else { return };
        let (mut refused, mut whole) = (0, 0);
        for (from, offset, room) in [
            (0, Offset::START, SIZE),
            (SIZE / 2, Offset::START, SIZE),
            (SIZE / 2, Offset::START, SIZE + 100),
            (SIZE / 4, Offset::CURRENT, SIZE + 100),
            (SIZE, Offset::CURRENT, SIZE),
        ] {
            let file = File::open(&path).unwrap();
            let _ = fadvise(&file, from as u64, None, Advice::DontNeed);
            let (chain, length) = read_whole(&path, room, offset);
            let (mut done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            assert!(done.take(length).unwrap().as_slice() == contents, "{from}, {offset:?}: {explanation}");
            match explanation.steps[1].way.unwrap().place {
                Place::Call => whole += 1,
                _ => refused += 1,
            }
        }
        assert!(whole > 0, "what is cached needs no ring");
        if refused == 0 {
            println!("SKIPPED: {}: nothing could be dropped from the cache", path.display());
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_awaited_is_waited_for_in_the_call() {
    let contents = [7; 100_000];
    for path in files("awaited", &contents) {
        let Some(mut ring) = ring(Policy::Auto) else { return };
        if !honours(&path) {
            continue;
        }
        // Nothing of it need be cached, since whoever runs the chain sleeps until it is over.
        fadvise(File::open(&path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        let before = ring.counters();
        let (chain, length) = read_whole(&path, 200_000, Offset::START);
        let mut done = ring.run(chain).unwrap();
        assert_eq!(done.get(length).unwrap(), contents.len());
        assert_eq!(done.take(length).unwrap().as_slice(), contents);
        let spent = ring.counters().since(before);
        assert_eq!((spent.calls, spent.enters), (3, 0), "{}", path.display());

        // Of several the last alone may be waited for; all are read.
        fadvise(File::open(&path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        let lengths: Vec<_> = (0..3)
            .map(|_| {
                let (chain, length) = read_whole(&path, 200_000, Offset::START);
                (ring.submit(chain).unwrap(), length)
            })
            .collect();
        ring.wait_all().unwrap();
        for (ticket, length) in lengths {
            assert_eq!(ring.wait(ticket).unwrap().get(length).unwrap(), contents.len());
        }

        // What fails does so as it always does.
        let missing = path.with_extension("missing");
        let (chain, length) = read_whole(&missing, 10, Offset::START);
        let done = ring.run(chain).unwrap();
        assert_eq!(done.error().unwrap().errno, Errno::ENOENT);
        assert!(done.get(length).is_err());
        let (chain, _) = read_whole(path.parent().unwrap(), 10, Offset::START);
        assert_eq!(ring.run(chain).unwrap().error().unwrap().errno, Errno::EISDIR);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_fifo_is_waited_for_by_the_ring() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planner-fifo-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let Some(mut ring) = ring(Policy::Calls) else { return };
    let mut peer = File::options().read(true).write(true).open(&path).unwrap();
    let (chain, length) = read_whole(&path, 4096, Offset::CURRENT);
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    assert!(ring.next_ended().is_none(), "nothing has been written");
    peer.write_all(&[7; 512]).unwrap();
    let mut done = ring.wait(ticket).unwrap();
    done.check().unwrap();
    assert_eq!(done.take(length).unwrap().as_slice(), [7; 512]);
    // What is there is taken by a call, and no more of it than one read would bring.
    peer.write_all(&[8; 512]).unwrap();
    let (chain, length) = read_whole(&path, 4096, Offset::CURRENT);
    let (mut done, explanation) = ring.explain(chain).unwrap();
    assert_eq!(done.take(length).unwrap().as_slice(), [8; 512], "{explanation}");
    drop(peer);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn calls_do_not_keep_the_ring_from_what_is_in_flight() {
    for path in files("blind", b"some bytes") {
        let Some(mut ring) = ring(Policy::Calls) else { return };
        let (read, mut write) = std::io::pipe().unwrap();
        let read = ring.adopt(read).unwrap();
        let mut waiting = Chain::new();
        waiting.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        let waiting = ring.submit(waiting).unwrap();
        ring.flush().unwrap();
        write.write_all(b"now").unwrap();
        let mut rounds = 0;
        loop {
            let (chain, _) = read_whole(&path, 100, Offset::START);
            let ticket = ring.submit(chain).unwrap();
            ring.wait(ticket).unwrap().check().unwrap();
            if let Some((ticket, done)) = ring.next_ended() {
                assert_eq!(ticket, waiting);
                done.check().unwrap();
                break;
            }
            rounds += 1;
            assert!(rounds < 100, "the ring is never looked at");
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_status_is_the_same_by_calls_and_by_the_ring() {
    for path in files("status", b"some bytes") {
        let mut found = Vec::new();
        for policy in [Policy::Auto, Policy::Calls, Policy::Links] {
            let Some(mut ring) = ring(policy) else { return };
            let mut chain = Chain::new();
            let status = chain.stat(Directory::Working, &path, Default::default());
            let (done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            let by_call = places(&explanation) == [Place::Call];
            assert_eq!(by_call, policy != Policy::Links && honours(&path), "{explanation}");
            found.push(done.get(status).unwrap());
        }
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
        assert_eq!(found[0].size, 10);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn files_that_cannot_refuse_to_wait_are_read_all_the_same() {
    let Some(mut ring) = ring(Policy::Calls) else { return };
    let mut expected = String::new();
    File::open("/proc/version").unwrap().read_to_string(&mut expected).unwrap();
    let (chain, length) = read_whole(Path::new("/proc/version"), 4096, Offset::START);
    let (mut done, explanation) = ring.explain(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.take(length).unwrap().as_slice(), expected.as_bytes());
    assert_ne!(explanation.steps[1].way.unwrap().place, Place::Call, "{explanation}");
    for _ in 0..2 {
        let (chain, _) = read_whole(Path::new("/nowhere/at all"), 10, Offset::START);
        let (done, explanation) = ring.explain(chain).unwrap();
        assert!(done.check().is_err());
        assert_eq!(explanation.steps[0].error, ouzel::abi::Errno::ENOENT);
        // Whether the cache knows that there is no such name is for the file system to say.
        let by_call = explanation.steps[0].way.unwrap().place == Place::Call;
        assert_eq!(explanation.counters.crossings(), if by_call { 1 } else { 2 }, "{explanation}");
    }
}

#[test]
fn explain_tells_where_a_chain_is_cut_and_why() {
    for path in files("cut", b"some bytes") {
        let copy = path.with_extension("copy");
        let Some(mut ring) = ring(Policy::Links) else { return };
        let mut chain = Chain::new();
        let from = chain.open(&path, OpenOptions::read());
        // Filled to the last byte, so that nothing but the value cuts the chain.
        let length = chain.read(from, Buffer::with_capacity(10), Offset::START);
        let to = chain.open(&copy, OpenOptions::write().create());
        chain.write(to, length, Offset::START);
        chain.finally().close(from);
        chain.finally().close(to);
        let (done, explanation) = ring.explain(chain).unwrap();
        done.check().unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), b"some bytes");
        let cuts: Vec<usize> = explanation
            .steps
            .iter()
            .filter(|step| step.cut.contains("value"))
            .map(|step| step.step)
            .collect();
        assert_eq!(cuts, [3], "{explanation}");
        assert!(explanation.to_string().contains("begins a run: it needs a value"), "{explanation}");
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(copy).unwrap();
    }
}

#[test]
fn measuring_gives_numbers_and_disturbs_nobody() {
    let path = files("measured", b"some bytes").remove(0);
    // Enough decisions that the costs are measured on the way.
    let mut ring = match Ring::builder().backend(BackendKind::Uring).build() {
        Ok(ring) => ring,
        Err(error) => {
            println!("SKIPPED: {error}");
            return;
        }
    };
    for _ in 0..1000 {
        let (chain, length) = read_whole(&path, 100, Offset::START);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(done.take(length).unwrap().as_slice(), b"some bytes");
    }
    assert!(ring.teardown(Duration::from_secs(10)).leaked == 0);
    match Costs::measure() {
        Some(costs) => assert!(costs.call > 0 && costs.entry > 0, "{costs:?}"),
        None => println!("SKIPPED: this program's own file cannot be read without waiting"),
    }
    std::fs::remove_file(path).unwrap();
}
