//! What works for a ring: the kernel's workers and busy polling.

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::time::Instant;

use crate::common::{PATIENCE, Scratch, directories, or_skip, push, ring, run};
use ouzel_uring::abi::{AT_FDCWD, napi};
use ouzel_uring::{BusyPoll, RegisterCause, Ring, Sqe};

/// The processors that each worker of this thread may run on.
fn workers() -> Vec<String> {
    let name = format!("iou-wrk-{}", rustix::thread::gettid().as_raw_pid());
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let comm = std::fs::read_to_string(path.join("comm")).ok()?;
            let status = std::fs::read_to_string(path.join("status")).ok()?;
            let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            (comm.trim() == name).then(|| cpus.trim().to_owned())
        })
        .collect()
}

/// Lets workers open a pipe that nobody writes to, which blocks them, `count` of them if they may, until `look` has
/// what it wants.
fn with_workers(ring: &mut Ring, count: u32, mut look: impl FnMut(Vec<String>) -> bool) {
    let scratch = Scratch::new(&directories()[0]);
    let path = scratch.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .expect("a named pipe");
    for number in 0..count {
        let open = Sqe::openat(AT_FDCWD, path.as_ptr(), 0, 0).asynchronous();
        push(ring, open.user_data(number.into()));
    }
    assert_eq!(ring.submit(), Ok(count));
    let deadline = Instant::now() + PATIENCE;
    let mut met = false;
    while !met && Instant::now() < deadline {
        met = look(workers());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // An end for both directions lets all of them go on, also those that come later.
    let both = std::fs::OpenOptions::new().read(true).write(true).open(scratch.0.join("pipe"));
    let done = run(ring, count as usize);
    drop(both);
    for one in &done {
        assert!(one.res >= 0, "{done:?}");
        // SAFETY: the entry made this descriptor and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(one.res) });
    }
    assert!(met, "never seen: {:?}", workers());
}

// covers: IORING_REGISTER_IOWQ_AFF: workers may run on that processor only (/proc)
#[test]
fn worker_cpus() {
    std::thread::spawn(|| {
        let Some(mut ring) = ring(8) else { return };
        let Some(()) = or_skip("worker cpus", ring.register_worker_cpus(&[1])) else { return };
        with_workers(&mut ring, 2, |found| !found.is_empty() && found.iter().all(|cpus| cpus == "0"));
    })
    .join()
    .expect("the thread");
}

// covers: IORING_UNREGISTER_IOWQ_AFF: workers may run where the thread may (/proc)
#[test]
fn any_worker_cpu() {
    let Some(mut ring) = ring(8) else { return };
    let Some(()) = or_skip("worker cpus", ring.register_worker_cpus(&[1])) else { return };
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    let own = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("cpus").trim();
    assert_eq!(ring.unregister_worker_cpus(), Ok(()));
    with_workers(&mut ring, 2, |found| !found.is_empty() && found.iter().all(|cpus| cpus == own));
}

// covers: IORING_REGISTER_IOWQ_MAX_WORKERS: six opens that block have two workers when two are allowed, six when more are (/proc)
#[test]
fn worker_limits() {
    std::thread::spawn(|| {
        let Some(mut ring) = ring(16) else { return };
        let Some(before) = or_skip("a limit", ring.limit_workers(2, 0)) else { return };
        assert!(before.0 > 2, "{before:?}");
        assert_eq!(ring.limit_workers(0, 0), Ok((2, before.1)));
        let mut seen = 0;
        let begin = Instant::now();
        with_workers(&mut ring, 6, |found| {
            seen = seen.max(found.len());
            seen > 0 && begin.elapsed() > std::time::Duration::from_millis(150)
        });
        assert!((1..=2).contains(&seen), "{seen} workers");
        assert_eq!(ring.limit_workers(20, 0), Ok((2, before.1)));
        with_workers(&mut ring, 6, |found| found.len() >= 6);
    })
    .join()
    .expect("the thread");
}

const POLLING: BusyPoll = BusyPoll { microseconds: 50, prefer: true, tracking: napi::TRACKING_DYNAMIC };

// covers: IORING_REGISTER_NAPI: the kernel tells what was set when it is set again
#[test]
fn busy_polling() {
    let Some(mut ring) = ring(8) else { return };
    let Some(before) = or_skip("busy polling", ring.register_napi(POLLING)) else { return };
    assert_eq!((before.microseconds, before.prefer), (0, false));
    let less = BusyPoll { microseconds: 20, prefer: false, ..POLLING };
    let before = ring.register_napi(less).expect("set again");
    assert_eq!((before.microseconds, before.prefer), (50, true));
    let wrong = BusyPoll { tracking: 77, ..POLLING };
    assert_eq!(ring.register_napi(wrong).map_err(|error| error.cause), Err(RegisterCause::Invalid));
    let device = ring.change_napi(1, true).map_err(|error| error.cause);
    assert_eq!(device, Err(RegisterCause::Invalid), "devices are learned, not named");
}

// covers: IORING_UNREGISTER_NAPI: the kernel tells what was set, and nothing is set from then on
#[test]
fn no_busy_polling() {
    let Some(mut ring) = ring(8) else { return };
    let Some(_) = or_skip("busy polling", ring.register_napi(POLLING)) else { return };
    let before = ring.unregister_napi().expect("unset");
    assert_eq!((before.microseconds, before.prefer), (50, true));
    let before = ring.register_napi(POLLING).expect("set again");
    assert_eq!((before.microseconds, before.prefer), (0, false));
}
