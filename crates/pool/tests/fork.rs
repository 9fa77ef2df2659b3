//! A forked child gets no slice of memory that it would share with its parent, and dropping what it has disturbs nobody.
//!
//! Without the test harness, because a child must be forked where no other thread could hold a lock: no other runs.

use std::time::Duration;

use ouzel_pool::{Error, Memory, Pool};
use rustix::process::{Pid, WaitOptions, waitpid};

/// `fork(2)` without the C library: the child, or `None` in the child.
///
/// # Safety
///
/// No other thread may hold a lock that the child needs.
#[cfg(target_arch = "x86_64")]
unsafe fn fork() -> Option<Pid> {
    const FORK: isize = 57;
    let result: isize;
    // SAFETY: a system call without memory operands; the kernel clobbers rcx and r11.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") FORK => result, lateout("rcx") _, lateout("r11") _);
    }
    assert!(result >= 0, "fork failed: {result}");
    Pid::from_raw(result as i32)
}

#[cfg(target_arch = "x86_64")]
fn main() {
    let private = Pool::builder().build().expect("a pool");
    let shared = Pool::builder().memory(Memory::Shared).build().expect("a pool");
    let mut mine = shared.get(4096).expect("a slice");
    mine.fill(7);
    let guard = mine.guard();
    let mut copied = private.get(4096).expect("a slice");
    copied.fill(8);

    // SAFETY: this is the only thread.
    let Some(child) = (unsafe { fork() }) else {
        let refused = matches!(shared.get(4096), Err(Error::ForkedChild))
            && matches!(shared.get_aligned(5, 4096), Err(Error::ForkedChild));
        // Of private memory it has a copy of its own.
        copied.fill(9);
        let got = private.get(4096).is_ok_and(|slice| !slice.is_empty());
        drop((mine, guard, shared, copied, private));
        std::process::exit(i32::from(!refused) + 2 * i32::from(!got));
    };
    let status = (0..3000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        waitpid(Some(child), WaitOptions::NOHANG).expect("it is ours").map(|(_, status)| status)
    });
    assert_eq!(
        status.and_then(|status| status.exit_status()),
        Some(0),
        "1: it got shared memory, 2: none of its own"
    );
    assert!(mine.iter().all(|byte| *byte == 7) && copied.iter().all(|byte| *byte == 8));
    drop(mine);
    assert_eq!(shared.statistics().in_use, 1);
    drop(guard);
    assert_eq!(shared.statistics().in_use, 0);
    shared.get(4096).expect("the parent goes on");
    println!("test a_forked_child_gets_no_shared_memory ... ok");
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("SKIPPED: the raw fork of this test is written for x86-64");
}
