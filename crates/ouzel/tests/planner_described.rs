//! The planner of the uring backend, where a STAT or a SEND is among the steps: what goes by calls, shows in `explain`
//! and in the counters, and changes nothing else.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ouzel::abi::modifiers::MessageFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::engine::Place;
use ouzel::{
    BackendKind, Buffer, Chain, Costs, Done, Explanation, Offset, OpenOptions, Policy, Reg, Ring, Stat,
};

/// Calls are never cheaper, so that only a rule of its own makes them the choice.
const DEAR_CALLS: Costs = Costs { call: 1000, entry: 100, enter: 100 };

/// An enter is worth three calls: few operations go by calls, many by entries.
const CHEAP_CALLS: Costs = Costs { call: 200, entry: 100, enter: 300 };

fn ring(policy: Policy) -> Option<Ring> {
    ring_at(DEAR_CALLS, policy)
}

fn ring_at(costs: Costs, policy: Policy) -> Option<Ring> {
    match Ring::builder().backend(BackendKind::Uring).costs(costs).policy(policy).build() {
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
    chain.sleep(std::time::Duration::from_secs(3600));
    ring.submit(chain).unwrap();
}

/// A directory of its own on each file system, but those where a plain call may have to wait.
fn directories(name: &str) -> Vec<PathBuf> {
    const KNOWN: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    let mut found = Vec::new();
    for base in list.split(':').filter(|base| !base.is_empty()) {
        let place = Path::new(base).join(format!("described-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(&place).unwrap();
        if KNOWN.contains(&(rustix::fs::statfs(&place).unwrap().f_type as u32)) {
            found.push(place);
        } else {
            println!("SKIPPED: {}: a file system of which nothing is known", place.display());
            std::fs::remove_dir_all(place).unwrap();
        }
    }
    found
}

fn described(directory: Descriptor, name: &str, options: OpenOptions) -> (Chain, Reg<Stat>, Reg<usize>) {
    let mut chain = Chain::new();
    let file = chain.open_in(directory, name, options);
    let stat = chain.stat_file(file);
    let length = chain.read(file, Buffer::with_capacity(8192), Offset::START);
    chain.finally().close(file);
    (chain, stat, length)
}

fn check(done: &mut Done, stat: Reg<Stat>, length: Reg<usize>, contents: &[u8], what: &str) {
    done.check().unwrap();
    let found = done.get(stat).unwrap();
    assert!(found.is_file(), "{what}");
    assert_eq!(found.size, contents.len() as u64, "{what}");
    assert!(done.take(length).unwrap().as_slice() == contents, "{what}");
}

fn places(explanation: &Explanation) -> Vec<Place> {
    explanation.steps.iter().map(|step| step.way.unwrap().place).collect()
}

#[test]
fn what_a_stat_follows_goes_by_calls_though_entries_are_cheaper() {
    for place in directories("calls") {
        // It ends where a block does: only its size tells that there is no more.
        let contents = vec![7; 4096];
        std::fs::write(place.join("file"), &contents).unwrap();
        for policy in [Policy::Auto, Policy::Calls, Policy::Links] {
            for options in [OpenOptions::read(), OpenOptions::read().beneath()] {
                let Some(mut ring) = ring(policy) else { return };
                let root = ring.open(&place, OpenOptions::directory()).unwrap();
                let (chain, stat, length) = described(root, "file", options);
                let (mut done, explanation) = ring.explain(chain).unwrap();
                check(&mut done, stat, length, &contents, &explanation.to_string());
                if policy == Policy::Links {
                    assert!(!places(&explanation).contains(&Place::Call), "{explanation}");
                } else {
                    assert_eq!(places(&explanation), [Place::Call; 4], "{explanation}");
                    assert_eq!(explanation.counters.enters, 0, "{explanation}");
                }
                assert!(explanation.steps.iter().all(|step| !step.way.unwrap().reason.is_empty()));
                assert_eq!(ring.gauges().descriptors, 1, "{explanation}");
            }
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}

#[test]
fn the_mount_is_asked_once_and_many_chains_need_no_enter() {
    const CHAINS: u64 = 100;
    for place in directories("many") {
        let contents = b"some bytes".to_vec();
        std::fs::write(place.join("file"), &contents).unwrap();
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let root = ring.open(&place, OpenOptions::directory()).unwrap();
        let mut costs = Vec::new();
        for _ in 0..2 {
            let before = ring.counters();
            let submitted: Vec<_> = (0..CHAINS)
                .map(|_| {
                    let (chain, stat, length) = described(root, "file", OpenOptions::read().beneath());
                    (ring.submit(chain).unwrap(), stat, length)
                })
                .collect();
            for (ticket, stat, length) in submitted {
                let mut done = ring.wait(ticket).unwrap();
                check(&mut done, stat, length, &contents, "one of many");
            }
            costs.push(ring.counters().since(before));
        }
        for cost in &costs {
            assert_eq!((cost.enters, cost.handoffs), (0, 0), "{costs:?}");
        }
        // The first time, it is asked on which mount the directory lies.
        assert_eq!(costs[0].calls, 4 * CHAINS + 1, "{costs:?}");
        assert_eq!(costs[1].calls, 4 * CHAINS, "{costs:?}");
        std::fs::remove_dir_all(place).unwrap();
    }
}

#[test]
fn there_is_no_way_out_of_a_directory_by_calls_either() {
    for place in directories("out") {
        let inside = place.join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(place.join("secret"), b"secret").unwrap();
        std::fs::write(inside.join("file"), b"file").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("up")).unwrap();
        std::os::unix::fs::symlink(place.join("secret"), inside.join("absolute")).unwrap();
        std::os::unix::fs::symlink("file", inside.join("good")).unwrap();
        for policy in [Policy::Auto, Policy::Calls, Policy::Links] {
            let Some(mut ring) = ring(policy) else { return };
            let root = ring.open(&inside, OpenOptions::directory()).unwrap();
            // The second time the directory is known.
            for _ in 0..2 {
                let absolute = place.join("secret");
                for name in ["../secret", "up", "absolute", absolute.to_str().unwrap(), ".."] {
                    let (chain, ..) = described(root, name, OpenOptions::read().beneath());
                    let (done, explanation) = ring.explain(chain).unwrap();
                    assert!(done.check().is_err(), "{name}: {explanation}");
                    assert_eq!(explanation.steps[0].error, Errno::EXDEV, "{name}: {explanation}");
                }
                for name in ["file", "good"] {
                    let (chain, stat, length) = described(root, name, OpenOptions::read().beneath());
                    let (mut done, explanation) = ring.explain(chain).unwrap();
                    check(&mut done, stat, length, b"file", &explanation.to_string());
                }
                // Who is not confined gets there.
                let (chain, stat, length) = described(root, "up", OpenOptions::read());
                let (mut done, explanation) = ring.explain(chain).unwrap();
                check(&mut done, stat, length, b"secret", &explanation.to_string());
            }
            assert_eq!(ring.gauges().descriptors, 1);
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}

#[test]
fn what_lies_on_another_mount_is_not_taken_for_the_directory_s() {
    // /proc is a mount of its own below the root, and reads of it cannot refuse to wait.
    for policy in [Policy::Auto, Policy::Calls] {
        let Some(mut ring) = ring(policy) else { return };
        occupy(&mut ring);
        let root = ring.open("/", OpenOptions::directory()).unwrap();
        let mut expected = String::new();
        File::open("/proc/version").unwrap().read_to_string(&mut expected).unwrap();
        for _ in 0..3 {
            let mut chain = Chain::new();
            let file = chain.open_in(root, "proc/version", OpenOptions::read().beneath());
            let stat = chain.stat_file(file);
            let length = chain.read(file, Buffer::with_capacity(4096), Offset::START);
            chain.finally().close(file);
            let (mut done, explanation) = ring.explain(chain).unwrap();
            done.check().unwrap();
            assert!(done.get(stat).unwrap().is_file());
            assert_eq!(done.take(length).unwrap().as_slice(), expected.as_bytes(), "{explanation}");
            assert_ne!(explanation.steps[2].way.unwrap().place, Place::Call, "{explanation}");
        }
    }
}

#[test]
fn a_read_that_comes_later_goes_the_way_of_the_stat() {
    for place in directories("later") {
        std::fs::write(place.join("file"), vec![3; 1024]).unwrap();
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let root = ring.open(&place, OpenOptions::directory()).unwrap();
        let mut chain = Chain::new();
        let file = chain.open_in(root, "file", OpenOptions::read());
        chain.stat_file(file);
        let done = ring.run(chain).unwrap();
        let file = done.get(file).unwrap();
        for expected in [Place::Call, Place::Call] {
            let mut chain = Chain::new();
            let length = chain.read(file, Buffer::with_capacity(4096), Offset::START);
            chain.timeout(std::time::Duration::from_secs(10));
            let (done, explanation) = ring.explain(chain).unwrap();
            assert_eq!(done.get(length).unwrap(), 1024);
            assert_eq!(places(&explanation), [expected], "{explanation}");
        }
        ring.close(file).unwrap();
        assert_eq!(ring.gauges().descriptors, 1);
        std::fs::remove_dir_all(place).unwrap();
    }
}

/// Sends `bytes` and returns where that was done.
fn send(ring: &mut Ring, socket: Descriptor, bytes: &[u8]) -> Place {
    let mut chain = Chain::new();
    let sent = chain.send(socket, bytes.to_vec(), MessageFlags::empty());
    let (done, explanation) = ring.explain(chain).unwrap();
    assert_eq!(done.get(sent).unwrap(), bytes.len(), "{explanation}");
    explanation.steps[0].way.unwrap().place
}

#[test]
fn a_socket_that_is_sent_to_again_and_again_is_sent_to_by_calls() {
    for (policy, calls) in [(Policy::Auto, true), (Policy::Calls, true), (Policy::Links, false)] {
        let Some(mut ring) = ring_at(CHEAP_CALLS, policy) else { return };
        let (near, mut far) = UnixStream::pair().unwrap();
        let socket = ring.adopt(near).unwrap();
        let mut seen = Vec::new();
        for turn in 0..12_u8 {
            seen.push(send(&mut ring, socket, &[turn; 3]));
        }
        assert_eq!(seen.contains(&Place::Call), calls, "{policy:?}: {seen:?}");
        assert_eq!(seen[0], Place::Kernel, "{policy:?}: nothing is known of it yet");
        assert_eq!(seen[11] == Place::Call, calls, "{policy:?}: {seen:?}");
        let mut came = [0; 36];
        far.read_exact(&mut came).unwrap();
        assert!(came.chunks(3).zip(0..).all(|(three, turn)| three == [turn; 3]), "{came:?}");
        ring.close(socket).unwrap();
        assert_eq!(far.read(&mut came).unwrap(), 0, "nobody holds the socket any more");
    }
}

#[test]
fn many_sends_share_an_enter_and_few_need_none() {
    const SOCKETS: usize = 16;
    let Some(mut ring) = ring_at(CHEAP_CALLS, Policy::Auto) else { return };
    let (near, mut far): (Vec<_>, Vec<_>) = (0..SOCKETS).map(|_| UnixStream::pair().unwrap()).unzip();
    let sockets: Vec<_> = near.into_iter().map(|near| ring.adopt(near).unwrap()).collect();
    // Each is known as one that is sent to again and again.
    for turn in 0..8 {
        for socket in &sockets {
            send(&mut ring, *socket, &[turn]);
        }
    }
    let mut crossings = Vec::new();
    for together in [SOCKETS, 1] {
        let before = ring.counters();
        for socket in &sockets[..together] {
            let mut chain = Chain::new();
            chain.send(*socket, vec![8], MessageFlags::empty());
            ring.submit(chain).unwrap();
        }
        for _ in 0..together {
            let (_, done) = ring.wait_any().unwrap().unwrap();
            done.check().unwrap();
        }
        let after = ring.counters();
        crossings.push((after.enters - before.enters, after.calls - before.calls));
    }
    assert!(crossings[0].0 >= 1 && crossings[0].0 <= 2 && crossings[0].1 == 0, "{crossings:?}");
    assert_eq!(crossings[1], (0, 1), "one by itself");
    for (socket, far) in sockets.into_iter().zip(&mut far) {
        ring.close(socket).unwrap();
        let mut came = Vec::new();
        far.read_to_end(&mut came).unwrap();
        assert!(came.starts_with(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), "{came:?}");
    }
}

#[test]
fn what_has_no_room_waits_on_the_ring() {
    let Some(mut ring) = ring_at(CHEAP_CALLS, Policy::Auto) else { return };
    let (near, mut far) = UnixStream::pair().unwrap();
    let socket = ring.adopt(near).unwrap();
    let mut expected = Vec::new();
    for turn in 0..8 {
        send(&mut ring, socket, &[turn]);
        expected.push(turn);
    }
    // Each is sent whole or in part as there is room; the last one finds none.
    let mut waiting = None;
    for turn in 0..10_000_u32 {
        let bytes = vec![turn as u8; 4096];
        let mut chain = Chain::new();
        let sent = chain.send(socket, bytes, MessageFlags::empty());
        let ticket = ring.submit(chain).unwrap();
        ring.flush().unwrap();
        match ring.next_ended() {
            Some((_, done)) => expected.resize(expected.len() + done.get(sent).unwrap(), turn as u8),
            None => {
                waiting = Some((ticket, sent, turn as u8));
                break;
            }
        }
    }
    let (first, first_sent, first_byte) = waiting.unwrap();
    let mut chain = Chain::new();
    let second_sent = chain.send(socket, vec![251; 5], MessageFlags::empty());
    let second = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    assert!(ring.next_ended().is_none(), "there is no room");
    let mut came = Vec::new();
    let reader = std::thread::spawn(move || {
        far.read_to_end(&mut came).unwrap();
        came
    });
    for (ticket, sent, byte) in [(first, first_sent, first_byte), (second, second_sent, 251)] {
        let done = ring.wait(ticket).unwrap();
        expected.resize(expected.len() + done.get(sent).unwrap(), byte);
    }
    ring.close(socket).unwrap();
    let mut came = reader.join().unwrap();
    // Two that wait for room at the same time are the kernel's to choose from; nothing is lost or doubled.
    let settled = expected.len() - 4096 - 5;
    assert!(came.starts_with(&expected[..settled]), "{} bytes came of {}", came.len(), expected.len());
    came.sort_unstable();
    expected.sort_unstable();
    assert!(came == expected, "{} bytes came of {}", came.len(), expected.len());
}

#[test]
fn a_send_to_a_peer_that_is_gone_fails_without_a_signal() {
    let Some(mut ring) = ring_at(CHEAP_CALLS, Policy::Auto) else { return };
    let (near, far) = UnixStream::pair().unwrap();
    let socket = ring.adopt(near).unwrap();
    for turn in 0..8 {
        send(&mut ring, socket, &[turn]);
    }
    drop(far);
    let mut chain = Chain::new();
    let sent = chain.send(socket, b"x".to_vec(), MessageFlags::empty());
    let (done, explanation) = ring.explain(chain).unwrap();
    let error = done.get(sent).unwrap_err().errno();
    assert!(matches!(error, Some(Errno::EPIPE | Errno::ECONNRESET)), "{error:?}: {explanation}");
    assert_eq!(places(&explanation), [Place::Call], "{explanation}");
    ring.close(socket).unwrap();
}

#[test]
fn chains_that_always_go_by_calls_do_not_keep_the_ring_from_what_is_in_flight() {
    for place in directories("blind") {
        std::fs::write(place.join("file"), b"some bytes").unwrap();
        let Some(mut ring) = ring(Policy::Auto) else { return };
        let root = ring.open(&place, OpenOptions::directory()).unwrap();
        let (read, mut write) = std::io::pipe().unwrap();
        let read = ring.adopt(read).unwrap();
        let mut waiting = Chain::new();
        waiting.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        let waiting = ring.submit(waiting).unwrap();
        ring.flush().unwrap();
        write.write_all(b"now").unwrap();
        let mut rounds = 0;
        loop {
            let (chain, stat, length) = described(root, "file", OpenOptions::read());
            let ticket = ring.submit(chain).unwrap();
            let mut done = ring.wait(ticket).unwrap();
            check(&mut done, stat, length, b"some bytes", "meanwhile");
            if let Some((ticket, done)) = ring.next_ended() {
                assert_eq!(ticket, waiting);
                done.check().unwrap();
                break;
            }
            rounds += 1;
            assert!(rounds < 100, "the ring is never looked at");
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}
