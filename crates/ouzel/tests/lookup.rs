//! Looking keys up in a B-tree file: right on every backend, one entry each, whatever the file says; and what it spares where a
//! crossing is dear.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use ouzel::abi::modifiers::RemoveFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::backend::sim::{Sim, SimOptions};
use ouzel::compounds::{Lookup, MAX_DEPTH, NO_KEY, NODE_BYTES, NODE_PAIRS, tree};
use ouzel::{BackendKind, Buffer, Directory, Offset, OpenOptions, Ring};

/// Runs `body` on each backend that can be had here.
fn on_each(body: impl Fn(&mut Ring)) {
    for kind in [BackendKind::Sim, BackendKind::Threads, BackendKind::Uring] {
        match Ring::builder().backend(kind).build() {
            Ok(mut ring) => body(&mut ring),
            Err(error) => println!("SKIPPED: {error}"),
        }
    }
}

/// The pairs of a tree that is so deep and as small as can be.
fn pairs(depth: u32) -> Vec<(u64, u64)> {
    let count = match depth {
        1 => 5,
        2 => NODE_PAIRS + 1,
        _ => (NODE_PAIRS + 1) * NODE_PAIRS + 1,
    };
    (0..count as u64).map(|key| (key * 2 + 10, !key)).collect()
}

/// A file with these bytes, open.
fn file_of(ring: &mut Ring, bytes: &[u8]) -> Descriptor {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = match ring.backend().backend {
        BackendKind::Uring | BackendKind::Threads => {
            format!("{}/ouzel-lookup-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
        }
        _ => format!("tree-{number}"),
    };
    let file = ring.open(&path, OpenOptions::read_write().create().truncate()).unwrap();
    let mut at = 0;
    while at < bytes.len() {
        at += ring.write(file, &bytes[at..], Offset::at(at as u64)).unwrap();
    }
    ring.remove(Directory::Working, &path, RemoveFlags::empty()).unwrap();
    file
}

#[test]
fn every_key_is_found_and_no_other() {
    on_each(|ring| {
        let mut lookup = Lookup::store(ring).unwrap();
        for depth in 1..=3 {
            let pairs = pairs(depth);
            let file = file_of(ring, &tree(&pairs).unwrap());
            // The ends of nodes and of the tree, and some between.
            let some = pairs.len() / 97 + 1;
            let ends = (0..pairs.len()).filter(|n| {
                n % some == 0 || n % NODE_PAIRS <= 1 || (n + 1) % NODE_PAIRS == 0 || n + 1 == pairs.len()
            });
            for (key, value) in ends.step_by(if depth == 3 { 7 } else { 1 }).map(|n| pairs[n]) {
                assert_eq!(lookup.find(ring, file, key).unwrap(), Some(value), "{key}, depth {depth}");
                assert_eq!(lookup.find(ring, file, key + 1).unwrap(), None, "behind {key}, depth {depth}");
            }
            for key in [0, 9, u64::MAX - 1, NO_KEY] {
                assert_eq!(lookup.find(ring, file, key).unwrap(), None, "{key}, depth {depth}");
            }
            ring.close(file).unwrap();
        }
        lookup.forget(ring).unwrap();
        assert_eq!(ring.gauges().programs, 0);
    });
}

#[test]
fn an_empty_tree_holds_nothing() {
    on_each(|ring| {
        let mut lookup = Lookup::store(ring).unwrap();
        let file = file_of(ring, &tree(&[]).unwrap());
        assert_eq!(lookup.find(ring, file, 0).unwrap(), None);
        ring.close(file).unwrap();
    });
}

#[test]
fn what_a_file_says_is_not_believed() {
    on_each(|ring| {
        let mut lookup = Lookup::store(ring).unwrap();
        let mut inner = vec![0xff; NODE_BYTES];
        inner[..8].fill(0);
        for (child, errno) in [
            // Itself: a circle.
            (0, Errno::ELOOP),
            // Behind the end, and so that only a part of the node is there.
            (1 << 40, Errno::EIO),
            (1, Errno::EIO),
            // No offset at all.
            (1 << 63, Errno::EINVAL),
        ] {
            inner[8..16].copy_from_slice(&u64::to_le_bytes(child));
            let file = file_of(ring, &inner);
            assert_eq!(lookup.find(ring, file, 77).unwrap_err().errno(), Some(errno), "child at {child}");
            ring.close(file).unwrap();
        }
        let file = file_of(ring, &inner[..NODE_BYTES - 1]);
        assert_eq!(lookup.find(ring, file, 77).unwrap_err().errno(), Some(Errno::EIO), "a file cut short");
        ring.close(file).unwrap();
        // It works on.
        let file = file_of(ring, &tree(&[(7, 8)]).unwrap());
        assert_eq!(lookup.find(ring, file, 7).unwrap(), Some(8));
        ring.close(file).unwrap();
    });
}

#[test]
fn a_chain_of_nodes_is_followed_as_far_as_stated() {
    on_each(|ring| {
        let mut lookup = Lookup::store(ring).unwrap();
        for (inner, found) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
            let mut bytes = Vec::new();
            for number in 1..=u64::from(inner) {
                let mut node = vec![0xff; NODE_BYTES];
                node[..8].fill(0);
                node[8..16].copy_from_slice(&(number * NODE_BYTES as u64).to_le_bytes());
                bytes.extend(node);
            }
            bytes.extend(tree(&[(7, 8)]).unwrap());
            let file = file_of(ring, &bytes);
            let value = lookup.find(ring, file, 7);
            match found {
                true => assert_eq!(value.unwrap(), Some(8)),
                false => assert_eq!(value.unwrap_err().errno(), Some(Errno::ELOOP)),
            }
            ring.close(file).unwrap();
        }
    });
}

#[test]
fn keys_rise_or_are_refused() {
    for wrong in [&[(2, 0), (1, 0)][..], &[(1, 0), (1, 0)], &[(1, 0), (NO_KEY, 0)]] {
        assert_eq!(tree(wrong).unwrap_err().errno(), Some(Errno::EINVAL), "{wrong:?}");
    }
}

/// What a crossing costs to an engine that is elsewhere.
const CROSSING_NS: u64 = 20_000;

#[test]
fn a_lookup_is_one_crossing_where_reads_are_one_each() {
    // A tree four deep: a root above one that is three deep.
    let below = pairs(3);
    let mut bytes = vec![0xff; NODE_BYTES];
    bytes[..8].fill(0);
    bytes[8..16].copy_from_slice(&(NODE_BYTES as u64).to_le_bytes());
    let moved = |node: &[u8]| {
        let mut node = node.to_vec();
        if node[0] == 0 {
            for place in node.chunks_exact_mut(16) {
                let offset = u64::from_le_bytes(place[8..].try_into().unwrap());
                let offset = if offset == u64::MAX { offset } else { offset + NODE_BYTES as u64 };
                place[8..].copy_from_slice(&offset.to_le_bytes());
            }
        }
        node
    };
    bytes.extend(tree(&below).unwrap().chunks(NODE_BYTES).flat_map(moved));

    // The simulator's clock says what the reads cost, about a page out of a cache each; the crossings are counted, and each is
    // dear.
    let mut options = SimOptions::new(1);
    options.latency = 800..=1_200;
    let mut ring = Ring::builder().build_on(Box::new(Sim::new(options))).unwrap();
    let file = file_of(&mut ring, &bytes);
    let mut lookup = Lookup::store(&mut ring).unwrap();
    let (key, value) = below[below.len() / 3];

    let start = ring.now();
    assert_eq!(lookup.find(&mut ring, file, key).unwrap(), Some(value));
    let as_a_program = ring.now() - start + CROSSING_NS;

    let (mut at, mut crossings) = (0, 0);
    let start = ring.now();
    let found = loop {
        let node = ring.read(file, Buffer::with_capacity(NODE_BYTES), Offset::at(at)).unwrap();
        crossings += 1;
        let word = |at: usize| u64::from_le_bytes(node.as_slice()[at..at + 8].try_into().unwrap());
        let place = (1..=NODE_PAIRS).take_while(|place| word(16 * place) <= key).last().unwrap_or(0);
        if word(0) != 0 {
            break word(16 * place + 8);
        }
        at = word(16 * place + 8);
    };
    let one_by_one = ring.now() - start + crossings * CROSSING_NS;
    assert_eq!((found, crossings), (value, 4));
    let ratio = one_by_one as f64 / as_a_program as f64;
    println!("{one_by_one} ns one by one, {as_a_program} ns as a program: {ratio:.1} times as fast");
    assert!(ratio >= 3.0, "{ratio}");
}
