//! The scene of a test: a ring whose operations can be made to fail, and a directory that is removed afterwards.

use std::sync::{Arc, Mutex};

use ouzel::abi::modifiers::StatFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::backend::fault::{Decide, Fault, Injection};
use ouzel::compounds;
use ouzel::engine::Operation;
use ouzel::{Directory, Error, FileStat, Offset, OpenOptions, Ring, RingBuilder, SocketAddress};
use ouzel_conformance::Stage;

/// What is to happen to the operations of a compound.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) armed: bool,
    /// Operations started since it was armed.
    pub(crate) count: u64,
    /// The one that is hit, and what becomes of it.
    pub(crate) at: u64,
    pub(crate) injection: Injection,
    /// Instead of that one: any of them, as this decides.
    pub(crate) storm: Option<Decide>,
    /// Every COPY ends with this.
    pub(crate) no_copy: Option<Errno>,
    pub(crate) hit: bool,
}

/// A ring whose operations can be made to fail, and a directory.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) ring: Ring,
    pub(crate) root: String,
    pub(crate) plan: Arc<Mutex<Plan>>,
}

impl Scene {
    pub(crate) fn new(stage: &Stage) -> Scene {
        Scene::with(stage, true, |builder| builder)
    }

    /// With `runs` the backend starts several operations together where it can; without, they are hit in their order.
    pub(crate) fn with(stage: &Stage, runs: bool, change: impl FnOnce(RingBuilder) -> RingBuilder) -> Scene {
        let builder = change(stage.builder());
        let (backend, _) = builder.open_backend().unwrap();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let decided = plan.clone();
        let decide = move |step: &ouzel::engine::Step| {
            let mut plan = decided.lock().unwrap();
            if let (Operation::Copy { .. }, Some(errno)) = (&step.operation, plan.no_copy) {
                return Injection::error(errno);
            }
            if !plan.armed {
                return Injection::default();
            }
            if let Some(storm) = &mut plan.storm {
                return storm(step);
            }
            plan.count += 1;
            if plan.count != plan.at + 1 {
                return Injection::default();
            }
            plan.hit = true;
            plan.injection
        };
        let backend = Fault::new(backend, Box::new(decide));
        let backend = if runs { backend } else { backend.without_runs() };
        let ring = builder.build_on(Box::new(backend)).unwrap();
        Scene { stage: stage.clone(), ring, root: stage.directory(), plan }
    }

    pub(crate) fn name(&self, name: &str) -> String {
        if name.is_empty() && self.root.is_empty() { "/".into() } else { format!("{}/{name}", self.root) }
    }

    pub(crate) fn put(&mut self, name: &str, content: &[u8], mode: u32) {
        let path = self.name(name);
        let file = self.ring.open(&path, OpenOptions::write().create().truncate().mode(mode)).unwrap();
        let mut at = 0;
        while at < content.len() {
            at += self.ring.write(file, &content[at..], Offset::at(at)).unwrap();
        }
        self.ring.close(file).unwrap();
    }

    pub(crate) fn content(&mut self, name: &str) -> Vec<u8> {
        let path = self.name(name);
        compounds::read_file(&mut self.ring, path).unwrap()
    }

    pub(crate) fn stat(&mut self, name: &str) -> Result<FileStat, Error> {
        let path = self.name(name);
        self.ring.stat(Directory::Working, path, StatFlags::NOFOLLOW)
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let root = self.name("");
        let mut names: Vec<String> = compounds::walk(&mut self.ring, root, 1)
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.depth == 1)
            .map(|entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn open_now(&self) -> u32 {
        self.ring.gauges().descriptors
    }

    pub(crate) fn arm(&self, at: u64, injection: Injection) {
        *self.plan.lock().unwrap() = Plan { armed: true, at, injection, ..Plan::default() };
    }

    /// Whether it has hit.
    pub(crate) fn disarm(&self) -> bool {
        let mut plan = self.plan.lock().unwrap();
        plan.armed = false;
        plan.hit
    }

    pub(crate) fn address(&self) -> SocketAddress {
        SocketAddress::unix(self.name("socket")).unwrap()
    }

    pub(crate) fn listen(&mut self) -> Result<Descriptor, Error> {
        let address = self.address();
        let listener = self.ring.socket(1, 1, 0)?;
        let listens = self.ring.bind(listener, &address).and_then(|()| self.ring.listen(listener, 8));
        if listens.is_err() {
            self.ring.close(listener)?;
        }
        listens.map(|()| listener)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on {}, in {}", self.stage.name(), self.name(""));
        }
        if !self.root.is_empty() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

/// Bytes that tell where they are.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at * 7) as u8).collect()
}

pub(crate) fn errno(error: &Error) -> Errno {
    error.errno().unwrap_or_else(|| panic!("{error}"))
}
