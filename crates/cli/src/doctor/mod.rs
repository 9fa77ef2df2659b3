//! `ouzel doctor`: what this machine lets Ouzel do, why not more, and what would change that.
//!
//! It makes rings and throws them away, reads a few files below /proc, and changes nothing. A child process tries
//! io_uring first, because some seccomp filters kill whoever does.

mod text;
mod verbs;

use ouzel::backend::threads::{Threads, ThreadsOptions};
use ouzel::backend::uring::{Uring, UringOptions};
use ouzel::{BackendKind, Ring, abi};
use ouzel_uring::abi::{CQ_ENTRIES_MAX, Opcode, SQ_ENTRIES_MAX};
use ouzel_uring::{Builder, ChildReport, Probe, Step, probe_in_child};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

pub use verbs::{VerbReport, Way};

/// What was found. Field names are those of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture.
    pub machine: String,
    /// The kernel's rings.
    pub io_uring: RingReport,
    /// What a ring could run on, in the order they are tried.
    pub backends: Vec<BackendReport>,
    /// What a ring runs on if nothing else is asked for; `None` if there is nothing.
    pub chosen: Option<BackendReport>,
    /// How the uring backend does each verb here; empty where there is no io_uring.
    pub verbs: Vec<VerbReport>,
    /// What is limited, and by what.
    pub limits: Vec<Limit>,
    /// What to change, for each thing that is missing.
    pub remedies: Vec<String>,
}

/// What the kernel's rings can do here.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RingReport {
    /// Whether a ring can be made.
    pub usable: bool,
    /// Why not, with the remedy.
    pub error: Option<String>,
    /// What a child process that tried first came to; nothing else is tried where it died of it.
    pub child: String,
    /// `kernel.io_uring_disabled`: 0 allowed, 1 for administrators and a group, 2 for nobody. `None` before 6.6.
    pub disabled: Option<u32>,
    /// `Seccomp` in /proc/self/status: 0 none, 1 strict, 2 a filter.
    pub seccomp: Option<u32>,
    /// The set-up flags that were taken.
    pub flags: Vec<&'static str>,
    /// The first Linux that takes them.
    pub flags_since: Option<&'static str>,
    /// Better flags that were refused.
    pub refused: Vec<Refused>,
    /// The kernel's features.
    pub features: Vec<&'static str>,
    /// The opcodes it runs.
    pub opcodes: Vec<&'static str>,
    /// The opcodes that Ouzel knows and it does not run.
    pub missing_opcodes: Vec<&'static str>,
    /// Whether opened objects go into the kernel's own table, so that a run can open and use them.
    pub slots: bool,
    /// What the uring backend does without, and what it does instead.
    pub missing: Vec<Missing>,
}

/// Set-up flags that the kernel refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The flags.
    pub flags: Vec<&'static str>,
    /// The first Linux that takes them.
    pub since: &'static str,
    /// What it said.
    pub error: String,
}

/// Something that the kernel lacks.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// What.
    pub what: &'static str,
    /// The first Linux that has it.
    pub since: &'static str,
    /// What is done instead.
    pub instead: &'static str,
}

/// A backend and whether it can be used.
#[derive(Clone, Debug, Serialize)]
pub struct BackendReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it can be used.
    pub usable: bool,
    /// Why, or why not.
    pub reason: String,
}

/// A limit.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// What it limits.
    pub name: &'static str,
    /// The limit in force; `None` is unlimited.
    pub value: Option<u64>,
    /// What it can be raised to without privilege; `None` is unlimited.
    pub maximum: Option<u64>,
    /// Its unit.
    pub unit: &'static str,
    /// What it means here.
    pub note: &'static str,
}

impl Report {
    /// Looks at this machine.
    pub fn examine() -> Report {
        let names = rustix::system::uname();
        let child = probe_in_child();
        // Trying it in this process would be the end of the report.
        let deadly = matches!(child, ChildReport::Killed { .. } | ChildReport::Stuck { .. });
        let (io_uring, probe) = examine_ring(&child, deadly);
        let backends = backends(deadly.then_some(&child));
        let ring = if deadly { Ring::builder().backend(BackendKind::Threads).build() } else { Ring::new() };
        let chosen = ring.ok().map(|ring| {
            let choice = ring.backend();
            BackendReport { name: choice.backend.name(), usable: true, reason: choice.reason.clone() }
        });
        let verbs = probe.as_ref().map(verbs::table).unwrap_or_default();
        let limits = limits();
        let mut report = Report {
            kernel: names.release().to_string_lossy().into_owned(),
            machine: names.machine().to_string_lossy().into_owned(),
            io_uring,
            backends,
            chosen,
            verbs,
            limits,
            remedies: Vec::new(),
        };
        report.remedies = report.find_remedies();
        report
    }

    /// Whether programs can run on this machine's own files and sockets.
    pub fn is_well(&self) -> bool {
        self.chosen.is_some()
    }

    fn find_remedies(&self) -> Vec<String> {
        let mut remedies = Vec::new();
        let ring = &self.io_uring;
        if let Some(error) = &ring.error {
            remedies.push(error.clone());
        } else if let Some(refused) =
            self.backends.iter().find(|backend| backend.name == "uring" && !backend.usable)
        {
            remedies.push(refused.reason.clone());
        }
        for missing in &ring.missing {
            let Missing { what, since, instead } = missing;
            // A limit of the process is no matter of the kernel's age.
            if what.contains("ulimit") {
                remedies.push(format!("{what}: raise it; until then: {instead}"));
            } else {
                remedies.push(format!("{what}: needs Linux {since}; until then: {instead}"));
            }
        }
        for refused in &ring.refused {
            remedies.push(format!("flags {}: need Linux {}", refused.flags.join(" "), refused.since));
        }
        let files = self.limits.iter().find(|limit| limit.name == "RLIMIT_NOFILE");
        if let Some(Limit { value: Some(value), .. }) = files
            && *value < FEW_FILES
        {
            remedies.push(format!(
                "RLIMIT_NOFILE is {value}: raise it (ulimit -n) to have more files open at a time"
            ));
        }
        remedies
    }
}

/// So few descriptors do for the default table of a ring and nothing else.
const FEW_FILES: u64 = 1024;

/// A small number in a file below /proc, possibly behind a label.
fn number(path: &str, label: &str) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(label))?.trim().parse().ok()
}

fn examine_ring(child: &ChildReport, deadly: bool) -> (RingReport, Option<Probe>) {
    let mut report = RingReport {
        child: child.to_string(),
        disabled: number("/proc/sys/kernel/io_uring_disabled", ""),
        seccomp: number("/proc/self/status", "Seccomp:"),
        ..RingReport::default()
    };
    if deadly {
        report.error = Some(child.to_string());
        return (report, None);
    }
    let (ring, steps) = match Builder::new(8).first_of(&Step::ONE_THREAD) {
        Ok(made) => made,
        Err(error) => {
            report.error = Some(error.to_string());
            return (report, None);
        }
    };
    report.usable = true;
    report.flags = steps.taken().flags.iter_names().map(|(name, _)| name).collect();
    report.flags_since = Some(steps.taken().since);
    report.refused = steps
        .refused()
        .map(|refusal| Refused {
            flags: refusal.step.flags.iter_names().map(|(name, _)| name).collect(),
            since: refusal.step.since,
            error: refusal.error.to_string(),
        })
        .collect();
    report.features = ring.features().iter_names().map(|(name, _)| name).collect();
    let probe = match ring.probe() {
        Ok(probe) => Some(probe),
        Err(error) => {
            report.error = Some(error.to_string());
            None
        }
    };
    if let Some(probe) = &probe {
        let (has, lacks): (Vec<Opcode>, Vec<Opcode>) =
            Opcode::ALL.iter().partition(|opcode| probe.supports(**opcode));
        report.opcodes = has.into_iter().map(Opcode::name).collect();
        report.missing_opcodes = lacks.into_iter().map(Opcode::name).collect();
    }
    if let Ok(backend) = Uring::new(UringOptions::default()) {
        let features = backend.features();
        report.slots = features.slots;
        let missing = features.missing.iter();
        report.missing = missing
            .map(|missing| Missing { what: missing.what, since: missing.since, instead: missing.instead })
            .collect();
    }
    (report, probe)
}

/// The backends; io_uring is not tried where a child died of it.
fn backends(deadly: Option<&ChildReport>) -> Vec<BackendReport> {
    let refused = match deadly {
        Some(child) => Some(child.to_string()),
        None => Uring::new(UringOptions::default()).err().map(|error| error.to_string()),
    };
    let threads = Threads::new(ThreadsOptions::default());
    vec![
        BackendReport {
            name: "uring",
            usable: refused.is_none(),
            reason: refused.unwrap_or_else(|| "a ring could be made".to_owned()),
        },
        BackendReport {
            name: "threads",
            usable: threads.is_ok(),
            reason: threads
                .err()
                .map_or_else(|| "plain system calls work everywhere".to_owned(), |error| error.to_string()),
        },
        BackendReport {
            name: "sim",
            usable: true,
            reason: "in memory, for tests: only if asked for".to_owned(),
        },
    ]
}

fn limits() -> Vec<Limit> {
    let resource = |name, resource, unit, note| {
        let limit = getrlimit(resource);
        Limit { name, value: limit.current, maximum: limit.maximum, unit, note }
    };
    let fixed =
        |name, value: u64, note| Limit { name, value: Some(value), maximum: Some(value), unit: "", note };
    vec![
        resource(
            "RLIMIT_NOFILE",
            Resource::Nofile,
            "descriptors",
            "open objects of the process; also bounds the kernel's table of slots",
        ),
        resource(
            "RLIMIT_MEMLOCK",
            Resource::Memlock,
            "bytes",
            "io_uring's registered buffers count against it, and its queues before Linux 5.12 and in 6.18",
        ),
        fixed("descriptors", 1 << 20, "of a ring's table; the default is 1024. A full table is EMFILE"),
        fixed("entries", u64::from(abi::MAX_SLOTS), "of a ring's submission queue, and so steps of a chain"),
        fixed("completions", u64::from(abi::MAX_SLOTS), "of a ring's completion queue"),
        fixed("kernel entries", u64::from(SQ_ENTRIES_MAX), "of io_uring's submission queue"),
        fixed("kernel completions", u64::from(CQ_ENTRIES_MAX), "of io_uring's completion queue"),
    ]
}
