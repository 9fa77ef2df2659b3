//! What the tests share: rings, waiting, directories.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ouzel_uring::abi::Cqe;
use ouzel_uring::{Builder, EnterError, RegisterError, Ring, Sqe, Step, Timeout};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The best ring there is, or `None` after saying why the test is skipped.
pub fn ring(entries: u32) -> Option<Ring> {
    built(Builder::new(entries))
}

/// The same with more wishes.
pub fn built(builder: Builder) -> Option<Ring> {
    match builder.first_of(&Step::ONE_THREAD) {
        Ok((ring, _)) => Some(ring),
        Err(error) => {
            eprintln!("SKIPPED: no ring: {error}");
            None
        }
    }
}

/// Whether a table of slots was given; says why the test is skipped if not.
pub fn or_skip<T>(what: &str, result: Result<T, RegisterError>) -> Option<T> {
    result.map_err(|error| eprintln!("SKIPPED: {what}: {error}")).ok()
}

/// Pushes an entry whose memory the test keeps until it is done.
pub fn push(ring: &mut Ring, entry: Sqe) {
    // SAFETY: every test keeps what its entries name until it has seen their completions.
    unsafe { ring.push(&entry) }.expect("room in the submission queue");
}

/// Submits and collects exactly `count` completions within bounded time.
pub fn run(ring: &mut Ring, count: usize) -> Vec<Cqe> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut found = Vec::new();
    loop {
        found.extend(ring.completions());
        if found.len() >= count && ring.sq_pending() == 0 {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "only {} of {count} completions: {found:?}",
            found.len()
        );
        let want = count.saturating_sub(found.len()) as u32;
        match ring.submit_and_wait(want, Some(Timeout::After(Duration::from_secs(2)))) {
            Ok(_) | Err(EnterError::TimedOut | EnterError::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(found.len(), count, "too many completions: {found:?}");
    found
}

/// The result of the completion with this user data.
pub fn result(completions: &[Cqe], user_data: u64) -> i32 {
    let mut matching = completions.iter().filter(|completion| completion.user_data == user_data);
    let first = matching.next().unwrap_or_else(|| panic!("no completion {user_data} in {completions:?}"));
    assert!(matching.next().is_none(), "two completions {user_data} in {completions:?}");
    first.res
}

/// The directories to test in.
pub fn directories() -> Vec<PathBuf> {
    match std::env::var_os("OUZEL_TEST_DIRS") {
        Some(list) => std::env::split_paths(&list).collect(),
        None => vec![PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from("/dev/shm")],
    }
}

/// A fresh directory that is removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(parent: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("ouzel-uring-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    /// The path of a name inside, for the kernel.
    pub fn path(&self, name: &str) -> CString {
        CString::new(self.0.join(name).as_os_str().as_bytes()).expect("a path without NUL")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The descriptors open in this process that lead to io_uring.
pub fn open_rings() -> usize {
    let Ok(list) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    list.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.as_os_str().as_bytes().ends_with(b"[io_uring]"))
        .count()
}

/// The mappings of io_uring in this process.
pub fn ring_mappings() -> usize {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    text.lines().filter(|line| line.contains("[io_uring]")).count()
}
