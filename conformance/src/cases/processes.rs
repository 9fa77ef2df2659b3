//! WAIT: children that exit, or are killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::PollEvents;
use ouzel::backend::sim::SimProcess;

use crate::World;
use crate::entry::*;

crate::cases![
    wait_gives_the_status,
    wait_gives_the_signal,
    wait_waits,
    wait_once_only,
    wait_times_out_and_is_cancelled,
    wait_by_poll,
    wait_errors,
    wait_in_a_chain,
];

impl World {
    /// A child that does nothing for so long and then exits with `status`, or is killed by `signal`.
    #[allow(clippy::zombie_processes)] // It is the ring that waits for it.
    fn child(&mut self, runs: Duration, status: u8, signal: u8) -> u64 {
        if self.is_sim() {
            let process = SimProcess { runs, status, signal };
            return self.ring().simulate_process(process).expect("a process") as u64;
        }
        let mut script = String::new();
        if !runs.is_zero() {
            script += &format!("sleep {}; ", runs.as_secs_f64());
        }
        script += &if signal == 0 { format!("exit {status}") } else { format!("kill -{signal} $$") };
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("sh");
        u64::from(child.id())
    }

    fn adopted(&mut self, number: u64) -> u64 {
        self.ring().adopt_process(number as i32).expect("a descriptor").number()
    }
}

const AT_ONCE: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_millis(150);

fn wait_gives_the_status(world: &mut World) {
    for status in [0, 3, 255] {
        let child = world.child(AT_ONCE, status, 0);
        let one = world.one(wait_number(child));
        assert_eq!((one.outcome(), one.extra), (Ok(u64::from(status)), 0));
        let child = world.child(AT_ONCE, status, 0);
        let process = world.adopted(child);
        let one = world.one(wait_for(process));
        assert_eq!((one.outcome(), one.extra), (Ok(u64::from(status)), 0));
        world.close(process);
    }
}

fn wait_gives_the_signal(world: &mut World) {
    // SIGKILL and SIGTERM: neither leaves a core.
    for signal in [9, 15] {
        let child = world.child(AT_ONCE, 0, signal);
        let one = world.one(wait_number(child));
        assert_eq!((one.outcome(), one.extra), (Ok(0), u32::from(signal)));
    }
}

fn wait_waits(world: &mut World) {
    for adopted in [false, true] {
        let child = world.child(SOON, 7, 0);
        let entry = if adopted { wait_for(world.adopted(child)) } else { wait_number(child) };
        world.fails(entry.timeout(0), Errno::ETIMEDOUT);
        world.start(&[entry.data(1)]);
        assert!(world.linger().is_empty());
        let all = world.settle();
        assert_eq!((all[0].data, all[0].outcome()), (1, Ok(7)));
    }
}

fn wait_once_only(world: &mut World) {
    let child = world.child(AT_ONCE, 1, 0);
    let process = world.adopted(child);
    assert_eq!(world.ok(wait_for(process)), 1);
    world.fails(wait_for(process), Errno::ECHILD);
    world.fails(wait_number(child), Errno::ECHILD);
    // Of two who wait one is told.
    let child = world.child(SOON, 2, 0);
    let process = world.adopted(child);
    world.start(&[wait_for(process).data(1), wait_for(process).data(2)]);
    let all = world.settle();
    assert_eq!(all.iter().filter(|one| one.outcome() == Ok(2)).count(), 1, "{all:#?}");
    assert_eq!(all.iter().filter(|one| one.errno() == Errno::ECHILD).count(), 1, "{all:#?}");
}

fn wait_times_out_and_is_cancelled(world: &mut World) {
    let child = world.child(Duration::from_millis(400), 4, 0);
    let process = world.adopted(child);
    world.fails(wait_for(process).timeout(20 * MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[wait_for(process).data(1), wait_number(child).data(2)]);
    assert!(world.linger().is_empty());
    world.start(&[cancel_descriptor(process).data(3)]);
    let all = world.settle_some(2);
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    assert!(all.iter().any(|one| one.data == 3 && one.outcome() == Ok(1)), "{all:#?}");
    world.start(&[cancel_data(2).data(4)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 2 && one.errno() == Errno::ECANCELED), "{all:#?}");
    assert_eq!(world.ok(wait_for(process)), 4, "what was given up has taken nothing");
}

fn wait_by_poll(world: &mut World) {
    let child = world.child(SOON, 5, 0);
    let process = world.adopted(child);
    world.start(&[poll(process, PollEvents::IN).data(1)]);
    assert!(world.linger().is_empty());
    assert_eq!(world.settle()[0].result & 1, 1);
    assert_eq!(world.ok(wait_for(process).timeout(0)), 5);
}

fn wait_errors(world: &mut World) {
    for number in [0, 1 << 31, u64::MAX] {
        world.fails(wait_number(number), Errno::EINVAL);
    }
    // The largest number is no process's.
    world.fails(wait_number(i32::MAX as u64), Errno::ECHILD);
    // Nobody's child is one's own.
    world.fails(wait_number(1), Errno::ECHILD);
    let file = world.file("a", b"");
    let (reader, _writer) = world.pipe();
    for one in [file, reader] {
        world.fails(wait_for(one), Errno::EBADF);
    }
    assert!(world.ring().adopt_process(i32::MAX).is_err());
    assert_eq!(world.descriptors(), 3);
}

fn wait_in_a_chain(world: &mut World) {
    let child = world.child(SOON, 6, 0);
    let all = world.run(&[
        get(child).local().save(0).link(),
        wait_number(0).load(2, 0).save(1).link(),
        get(0).load(0, 1),
    ]);
    assert_eq!(all[2].outcome(), Ok(6), "{all:#?}");
}
