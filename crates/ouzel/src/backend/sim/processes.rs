//! Simulated processes: they end at an instant, one way, and are waited for. WAIT.

use std::collections::BTreeMap;
use std::time::Duration;

use ouzel_engine::Process;
use ouzel_ring::Errno;

use super::turn::{Key, Stop};
use super::world::{Done, Object, Subject, World};

/// The first process that is anybody's child.
const FIRST: i32 = 1000;

/// A process that a simulator runs: it does nothing but end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimProcess {
    /// How long it runs, in virtual time.
    pub runs: Duration,
    /// The status it exits with, if no signal ends it.
    pub status: u8,
    /// The signal that ends it, or 0.
    pub signal: u8,
}

/// A process that nobody has waited for.
#[derive(Debug)]
struct Child {
    ends: u64,
    process: SimProcess,
}

/// The processes there are.
#[derive(Debug, Default)]
pub(super) struct Processes {
    children: BTreeMap<i32, Child>,
    started: i32,
}

impl Processes {
    /// Starts one; returns its number, and when it will end.
    pub(super) fn start(&mut self, now: u64, process: SimProcess) -> (i32, u64) {
        let number = FIRST + self.started;
        self.started += 1;
        let ends = now.saturating_add(u64::try_from(process.runs.as_nanos()).unwrap_or(u64::MAX));
        self.children.insert(number, Child { ends, process });
        (number, ends)
    }

    /// Whether a process has ended, or is not there any more.
    pub(super) fn is_over(&self, number: i32, now: u64) -> bool {
        self.children.get(&number).is_none_or(|child| child.ends <= now)
    }

    pub(super) fn has(&self, number: i32) -> bool {
        self.children.contains_key(&number)
    }
}

impl World {
    pub(super) fn wait_for(&mut self, subject: Subject, process: Process) -> Result<Done, Stop> {
        let number = match process {
            Process::Number(number) => number,
            Process::Descriptor(_) => match self.usable(subject)?.1 {
                Object::Process(number) => number,
                _ => return Err(Errno::EBADF.into()),
            },
        };
        let now = self.tree.now;
        match self.processes.children.get(&number) {
            None => Err(Errno::ECHILD.into()),
            Some(child) if child.ends > now => Err(Stop::Wait(vec![Key::Process(number)])),
            Some(child) => {
                let SimProcess { status, signal, .. } = child.process;
                self.processes.children.remove(&number);
                // Whoever else waits for it waits in vain.
                self.network.touched.push(Key::Process(number));
                let status = if signal == 0 { u64::from(status) } else { 0 };
                Ok((status, u32::from(signal)))
            }
        }
    }
}
