//! Forks of a test's own process: taken when no other thread could hold a lock, and waited for within a bound.
#![allow(dead_code)]
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::time::Duration;

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

/// Waits until every other thread of this process sleeps: then it holds no lock. (One that waits for a lock has it
/// soon, so it is seen to sleep several times, `pause` apart.)
pub fn wait_until_alone(pause: Duration) {
    let own = std::fs::read_link("/proc/thread-self").expect("the number of this thread");
    let others = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a list of threads");
        tasks.flatten().filter(|task| Some(task.file_name().as_os_str()) != own.file_name())
    };
    let asleep = || {
        others().all(|task| {
            let text = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // A thread that has just ended has no state.
            text.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
        })
    };
    if others().next().is_none() {
        return;
    }
    let mut times = 0;
    for _ in 0..20_000 {
        std::thread::sleep(pause);
        times = if asleep() { times + 1 } else { 0 };
        if times == 5 {
            return;
        }
    }
    panic!("the threads of this process never rest");
}

/// `fork(2)` without the C library: the child, or `None` in the child.
///
/// # Safety
///
/// No other thread may hold a lock that the child needs.
#[cfg(target_arch = "x86_64")]
pub unsafe fn fork() -> Option<Pid> {
    const FORK: isize = 57;
    let result: isize;
    // SAFETY: a system call without memory operands; the kernel clobbers rcx and r11.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") FORK => result, lateout("rcx") _, lateout("r11") _);
    }
    assert!(result >= 0, "fork failed: {result}");
    Pid::from_raw(result as i32)
}

/// How the child ended, with `None` for not within half a minute; it is looked for after each `pause`.
pub fn exit_status(child: Pid, pause: Duration) -> Option<i32> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some((_, status)) = waitpid(Some(child), WaitOptions::NOHANG).expect("it is ours") {
            return WaitStatus::exit_status(status);
        }
        std::thread::sleep(pause);
    }
    None
}
