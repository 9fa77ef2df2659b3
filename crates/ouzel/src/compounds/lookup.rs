//! Looking a key up in a B-tree file: a chase along offsets that are read from the file itself, inside one stored program.
//!
//! The program reads a node, searches it, takes the child's offset out of it and goes on there, until it stands in a leaf: one
//! entry, one completion, however deep the tree. What the file says is not trusted: offsets that lead nowhere, short files
//! and circles end the call.

use ouzel_ring::{Descriptor, Errno, Verb};

use crate::Buffer;
use crate::chain::{Offset, Width};
use crate::chain::{Program, Stored};
use crate::error::{Error, OperationError};
use crate::ring::Ring;

/// Bytes of a node.
pub const NODE_BYTES: usize = 4096;

/// The most pairs of a node.
pub const NODE_PAIRS: usize = NODE_BYTES / PAIR - 1;

/// The most nodes on the way from the root to a leaf.
pub const MAX_DEPTH: u16 = 12;

/// The key that no tree holds: it fills the places that are free.
pub const NO_KEY: u64 = u64::MAX;

/// Bytes of a pair, and of the head of a node.
const PAIR: usize = 16;

/// The kind of a leaf; that of an inner node is 0.
const LEAF: u64 = 1;

/// What the program results in if a node is not all there. No place in a node is so large.
const SHORT: u64 = 1 << 32;

/// A program that looks keys up, stored in a ring.
///
/// # The file
///
/// Nodes of 4,096 bytes, each at a multiple of that; the root is the first. All numbers are little-endian u64s.
///
/// | offset | in a leaf | in an inner node |
/// |---|---|---|
/// | 0 | 1 | 0 |
/// | 8 | – | the offset of the child with the keys below all of its own |
/// | 16 × n, n from 1 to 255 | a key | a key |
/// | 16 × n + 8 | its value | the offset of the child with the keys from this one on |
///
/// Keys rise; places behind the last key have the key `u64::MAX`. [`tree`] makes such a file.
///
/// ```
/// use ouzel::compounds::{Lookup, tree};
/// use ouzel::{OpenOptions, Ring};
///
/// let pairs: Vec<(u64, u64)> = (0..100_000).map(|key| (key * 3, key)).collect();
/// let path = std::env::temp_dir().join(format!("ouzel-tree-{}", std::process::id()));
/// std::fs::write(&path, tree(&pairs)?)?;
///
/// let mut ring = Ring::new()?;
/// let mut lookup = Lookup::store(&mut ring)?;
/// let file = ring.open(&path, OpenOptions::read())?;
/// assert_eq!(lookup.find(&mut ring, file, 300)?, Some(100));
/// assert_eq!(lookup.find(&mut ring, file, 301)?, None);
/// ring.close(file)?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lookup {
    program: Stored<u64>,
    node: Buffer,
}

impl Lookup {
    /// Stores the program in `ring`, the only one that it then can be called in.
    ///
    /// Errors: [`Error::Store`] if the ring has no room for a program more.
    pub fn store<M>(ring: &mut Ring<M>) -> Result<Lookup, Error> {
        let program = Program::build(|program| {
            let file = program.file();
            let key = program.number();
            let node = program.room(NODE_BYTES);
            let at = program.variable(0u64);
            let place = program.variable(0u64);
            program.repeat(MAX_DEPTH, |turn| {
                let count = turn.read(file, node, Offset::at(at));
                turn.assign(place, SHORT);
                turn.when(count).is_less_than(NODE_BYTES as u64).break_loop();
                // The last place whose key is not above the one that is looked for. The head counts as the first place.
                turn.assign(place, 0u64);
                for distance in (0..(NODE_BYTES / PAIR).ilog2()).rev().map(|power| (PAIR as u64) << power) {
                    let further = turn.add(place, distance);
                    let there = turn.load(node, Width::U64, further);
                    turn.when(key).is_less_than(there).skip(|turn| turn.assign(place, further));
                }
                let kind = turn.load(node, Width::U64, 0u64);
                turn.when(kind).is_positive().break_loop();
                let child = turn.add(place, 8u64);
                let offset = turn.load(node, Width::U64, child);
                turn.assign(at, offset);
            });
            program.get(place)
        })?;
        Ok(Lookup { program: ring.store(program)?, node: Buffer::with_capacity(NODE_BYTES) })
    }

    /// The value of `key` in the tree that is in `file`; `None` if there is no such key.
    ///
    /// **Guarantee:** the value is one that stood beside the key when its leaf was read. A file that somebody changes meanwhile
    /// may be seen half changed. **Crossings:** one entry and one completion; as many reads as the tree is deep.
    /// **On failure:** nothing is open that was not before.
    ///
    /// Errors: those of READ; EINVAL if an offset in the file is none, EIO if a node is not all there, ELOOP if there is no
    /// leaf within [`MAX_DEPTH`] nodes.
    pub fn find<M>(&mut self, ring: &mut Ring<M>, file: Descriptor, key: u64) -> Result<Option<u64>, Error> {
        let call = self.program.call().file(file).number(key).buffer(std::mem::take(&mut self.node));
        let mut called = ring.run_program(call)?;
        self.node = called.take(0).unwrap_or_else(|| Buffer::with_capacity(NODE_BYTES));
        let place = called.result()?;
        if place >= SHORT {
            return Err(unfit(Errno::EIO));
        }
        let (words, _) = self.node.as_slice().as_chunks::<8>();
        let word = |at: u64| words.get(at as usize / 8).map(|word| u64::from_le_bytes(*word));
        if word(0) != Some(LEAF) {
            return Err(unfit(Errno::ELOOP));
        }
        let found = place > 0 && word(place) == Some(key) && key != NO_KEY;
        Ok(if found { word(place + 8) } else { None })
    }

    /// Forgets the program.
    pub fn forget<M>(self, ring: &mut Ring<M>) -> Result<(), Error> {
        ring.forget(&self.program)
    }
}

fn unfit(errno: Errno) -> Error {
    Error::Operation(OperationError::new(0, Verb::Call, errno, None))
}

/// The bytes of a tree file with these pairs, whose keys rise and are below [`NO_KEY`]. Its nodes are full but for the last of
/// each level.
///
/// Errors: EINVAL if the keys do not rise or are too large.
pub fn tree(pairs: &[(u64, u64)]) -> Result<Vec<u8>, Error> {
    let rise = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !rise || pairs.last().is_some_and(|(key, _)| *key == NO_KEY) {
        return Err(unfit(Errno::EINVAL));
    }
    // The first node is the root's, which is known last.
    let mut bytes = vec![0; NODE_BYTES];
    if pairs.len() <= NODE_PAIRS {
        bytes.copy_from_slice(&node(LEAF, 0, pairs));
        return Ok(bytes);
    }
    let mut push = |node: [u8; NODE_BYTES]| {
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(&node);
        offset
    };
    let mut level: Vec<(u64, u64)> =
        pairs.chunks(NODE_PAIRS).map(|chunk| (chunk[0].0, push(node(LEAF, 0, chunk)))).collect();
    let inner = |children: &[(u64, u64)]| node(0, children[0].1, &children[1..]);
    while level.len() > NODE_PAIRS + 1 {
        level = level.chunks(NODE_PAIRS + 1).map(|children| (children[0].0, push(inner(children)))).collect();
    }
    bytes[..NODE_BYTES].copy_from_slice(&inner(&level));
    Ok(bytes)
}

fn node(kind: u64, below: u64, pairs: &[(u64, u64)]) -> [u8; NODE_BYTES] {
    let mut bytes = [0xff; NODE_BYTES];
    let all = std::iter::once((kind, below)).chain(pairs.iter().copied());
    for (place, (key, value)) in bytes.chunks_exact_mut(PAIR).zip(all) {
        place[..8].copy_from_slice(&key.to_le_bytes());
        place[8..].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}
