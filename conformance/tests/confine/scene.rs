//! Scenes: a directory that a ring is confined to, with another beside it that must never be reached.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use ouzel::RawRing;
use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Completion, Entry, Errno};
use ouzel::backend::HostBackend;
use ouzel::engine::{Edge, Operation, Outcome, Path as Text, Started, Step, Token};
use ouzel::scheme::{Confine, Rights};
use ouzel_conformance::memory::Memory;
use ouzel_conformance::{Stage, World};

/// Descriptors of the engine's; the root and what the layer keeps for itself come behind them.
const DESCRIPTORS: u32 = 64;

/// A ring that is confined to `root`, with so many indices to resolve paths with.
pub fn confined(stage: &Stage, root: &str, indices: u32, rights: Rights) -> RawRing {
    let builder = stage.builder().descriptors(DESCRIPTORS);
    let (mut backend, choice) =
        builder.clone().descriptors(DESCRIPTORS + 1 + indices).open_backend().expect("a backend");
    assert_eq!(choice.backend, stage.backend);
    open_root(&mut *backend, root);
    let first = DESCRIPTORS + 1;
    let confine = Confine::new(backend, Some(DESCRIPTORS), first..first + indices, rights);
    builder.build_raw_on(Box::new(confine)).expect("a ring")
}

/// Opens the root as a name, at the index behind the engine's.
fn open_root(backend: &mut dyn HostBackend, root: &str) {
    let text = format!("{root}\0");
    let path = Text { pointer: text.as_ptr(), length: text.len() };
    let flags = OpenFlags::PATH | OpenFlags::DIRECTORY;
    let operation = Operation::Open { directory: None, path, flags, mode: 0, into: DESCRIPTORS };
    let token = Token { slot: 0, generation: 0 };
    let outcome = match backend.start(&[Step { token, operation, edge: Edge::Success, may_wait: true }]) {
        Started::Finished { outcome, .. } => outcome,
        Started::Taken { .. } => loop {
            backend.wait(1, None).unwrap();
            if let Some(report) = backend.next() {
                break report.outcome;
            }
        },
        Started::Busy => panic!("no room for the first operation"),
    };
    assert!(outcome.is_success(), "{root}: {outcome:?}");
    let Outcome::Done { error: Errno::OK, .. } = outcome else { unreachable!() };
}

/// A directory `inside` and a directory `outside`, made anew for each use.
pub struct Scene {
    base: PathBuf,
}

impl Scene {
    pub fn new(stage: &Stage) -> Scene {
        let scene = Scene { base: PathBuf::from(stage.directory()) };
        scene.renew();
        scene
    }

    /// Makes both directories as they were at first.
    pub fn renew(&self) {
        for name in ["inside", "outside"] {
            let _ = fs::remove_dir_all(self.base.join(name));
        }
        plant(&self.inside());
        fs::create_dir(self.outside()).unwrap();
        fs::create_dir(self.outside().join("more")).unwrap();
        fs::write(self.outside().join("canary"), b"secret").unwrap();
        fs::write(self.outside().join("more/canary"), b"secret too").unwrap();
        let inside = self.inside();
        symlink("../outside/canary", inside.join("out")).unwrap();
        symlink("../outside", inside.join("up")).unwrap();
        symlink("../../outside/more", inside.join("d/up")).unwrap();
        symlink(self.outside(), inside.join("absolute")).unwrap();
        // Not all of the system: if this goes wrong, it is for nobody else to find out.
        let magic = format!("/proc/self/root{}", self.outside().display());
        symlink(magic, inside.join("magic")).unwrap();
        symlink("up", inside.join("twice")).unwrap();
        symlink("..", inside.join("parent")).unwrap();
    }

    pub fn inside(&self) -> PathBuf {
        self.base.join("inside")
    }

    pub fn outside(&self) -> PathBuf {
        self.base.join("outside")
    }

    /// A ring confined to the inside.
    pub fn ring(&self, stage: &Stage, indices: u32, rights: Rights) -> RawRing {
        confined(stage, self.inside().to_str().unwrap(), indices, rights)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// A small tree with everything in it that paths go through.
pub fn plant(root: &Path) {
    fs::create_dir(root).unwrap();
    for name in ["d", "d/e", "empty"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    for (name, content) in [("f", "file"), ("d/g", "deeper"), ("d/e/h", "deepest")] {
        fs::write(root.join(name), content).unwrap();
    }
    for (target, name) in [
        ("f", "to-f"),
        ("d", "to-d"),
        ("d/e", "to-e"),
        ("../f", "d/back"),
        ("nowhere", "dangling"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("e/../g", "d/round"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
}

/// What [`dump`] finds.
pub type Dump = BTreeMap<String, String>;

/// All that lies beneath `root`, by name: kinds, permissions, links, lengths and contents. With `exactly`, also which file
/// it is and when it was changed: as long as nobody touches it, that stays.
pub fn dump(root: &Path, exactly: bool) -> Dump {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        let mut text = format!("{:o} {} links", about.mode(), about.nlink());
        if about.is_symlink() {
            text += &format!(" to {}", fs::read_link(&path).unwrap().display());
        } else if about.is_file() {
            text += &format!(" holds {}", String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
        } else if about.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if exactly {
            text += &format!(" {} {} {}", about.ino(), about.mtime_nsec(), about.ctime_nsec());
            text += &format!(" {}:{}", about.uid(), about.gid());
        }
        found.insert(path.strip_prefix(root).unwrap().display().to_string(), text);
    }
    found
}

/// The payload of `text` and a NUL.
pub fn put(world: &World, text: &str) -> Memory {
    world.put(format!("{text}\0").as_bytes())
}

/// The payload of two texts.
pub fn put_two(world: &World, first: &str, second: &str) -> Memory {
    world.put(format!("{first}\0{second}\0").as_bytes())
}

/// Runs one entry, and closes what it opened.
pub fn try_one(world: &mut World, entry: Entry) -> Completion {
    let one = world.one(entry);
    if one.errno() == Errno::OK && entry.op == ouzel::abi::Verb::Open as u32 {
        world.close(one.result);
    }
    one
}

/// How many descriptors the process has.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
