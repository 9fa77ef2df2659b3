//! Stages: where the suite can run, that is a backend and a directory of some file system.
//!
//! A stage makes rings and directories; what cannot be had here is said with its reason, so that it is reported as
//! skipped rather than passed over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel::observe::Observe;
use ouzel::{BackendKind, Policy, RawRing, RingBuilder};

use crate::service;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A backend, and for one with real files the directory they are made in.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The backend.
    pub backend: BackendKind,
    /// Where directories are made; `None` for the simulator, which has a root of its own.
    pub base: Option<PathBuf>,
    /// What the file system is called in the names of tests.
    pub place: String,
    /// The simulator's seed.
    pub seed: u64,
    /// How the uring backend chooses between its ways.
    pub policy: Policy,
    /// What is run is waited for without a limit of time, so that a backend may let the caller do it.
    pub awaited: bool,
}

impl Stage {
    /// Every stage: the simulator, and each real backend and a service in each directory of `OUZEL_TEST_DIRS`.
    pub fn all() -> Vec<Stage> {
        service::prepare(&directories());
        let mut stages = vec![Stage::sim(0)];
        let mut places: Vec<String> = Vec::new();
        for base in directories() {
            let mut place = file_system(&base);
            while places.contains(&place) {
                place.push('+');
            }
            places.push(place.clone());
            for (backend, policy, awaited) in [
                (BackendKind::Threads, Policy::Auto, false),
                (BackendKind::Uring, Policy::Auto, false),
                (BackendKind::Uring, Policy::Auto, true),
                (BackendKind::Uring, Policy::Links, false),
                (BackendKind::Uring, Policy::Calls, false),
                (BackendKind::Scheme, Policy::Auto, false),
            ] {
                stages.push(Stage {
                    backend,
                    base: Some(base.clone()),
                    place: place.clone(),
                    seed: 0,
                    policy,
                    awaited,
                });
            }
        }
        stages
    }

    /// The simulator with this seed.
    pub fn sim(seed: u64) -> Stage {
        Stage {
            backend: BackendKind::Sim,
            base: None,
            place: "memory".into(),
            seed,
            policy: Policy::Auto,
            awaited: false,
        }
    }

    /// The name, such as `uring/ext4` or `uring-links/ext4`.
    pub fn name(&self) -> String {
        let policy = match self.policy {
            Policy::Links => "-links",
            Policy::Calls => "-calls",
            _ if self.awaited => "-awaited",
            _ => "",
        };
        format!("{}{policy}/{}", self.backend.name(), self.place)
    }

    /// Whether files are the simulator's.
    pub fn is_sim(&self) -> bool {
        self.base.is_none()
    }

    /// Whether the engine is a service's.
    pub fn is_scheme(&self) -> bool {
        self.backend == BackendKind::Scheme
    }

    /// A builder for rings of this stage. With `OUZEL_OBSERVED` in the environment they are observed, which must change
    /// nothing.
    pub fn builder(&self) -> RingBuilder {
        let builder = RingBuilder::new().backend(self.backend).seed(self.seed);
        let builder = builder.policy(self.policy).descriptors(64);
        match std::env::var_os("OUZEL_OBSERVED") {
            Some(_) if !self.is_scheme() => builder.observe(Observe::new().spans()),
            _ => builder,
        }
    }

    /// Why nothing can run here, if so.
    pub fn refusal(&self) -> Option<String> {
        if let Some(base) = &self.base
            && let Err(error) = std::fs::create_dir_all(base)
        {
            return Some(format!("{}: {error}", base.display()));
        }
        ring(self, &self.builder()).err()
    }

    /// A fresh directory; empty for the simulator.
    pub fn directory(&self) -> String {
        let Some(base) = &self.base else { return String::new() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("ouzel-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path.canonicalize().unwrap().into_os_string().into_string().expect("a path in UTF-8")
    }
}

/// A ring from `builder`, or why there is none on this stage's backend.
pub fn ring(stage: &Stage, builder: &RingBuilder) -> Result<RawRing, String> {
    let ring = if stage.is_scheme() {
        service::connect(builder, service::Limits::default(), None)?
    } else {
        builder.build_raw().map_err(|error| error.to_string())?
    };
    let got = ring.backend().backend;
    if got == stage.backend {
        Ok(ring)
    } else {
        Err(format!("asked for {}, was given {}", stage.backend.name(), got.name()))
    }
}

fn directories() -> Vec<PathBuf> {
    let list = std::env::var("OUZEL_TEST_DIRS").unwrap_or_else(|_| {
        let target = option_env!("CARGO_TARGET_TMPDIR")
            .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tmp").into(), String::from);
        format!("{target}:/dev/shm")
    });
    list.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}

fn file_system(path: &PathBuf) -> String {
    let _ = std::fs::create_dir_all(path);
    let Ok(found) = rustix::fs::statfs(path) else { return "missing".into() };
    // Numbers of linux/magic.h.
    match found.f_type as u64 & 0xffff_ffff {
        0xef53 => "ext4".into(),
        0x0102_1994 => "tmpfs".into(),
        0x5846_5342 => "xfs".into(),
        0x9123_683e => "btrfs".into(),
        0x794c_7630 => "overlay".into(),
        other => format!("{other:#x}"),
    }
}
