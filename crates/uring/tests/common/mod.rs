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

/// One entry alone: its result.
pub fn one(ring: &mut Ring, entry: Sqe) -> i32 {
    push(ring, entry.user_data(0x0e));
    result(&run(ring, 1), 0x0e)
}

/// A ring with a table of empty slots.
pub fn ring_with_slots(entries: u32, slots: u32) -> Option<Ring> {
    let mut ring = ring(entries)?;
    or_skip("a table of slots", ring.register_files_sparse(slots))?;
    Some(ring)
}

/// A ring, if the kernel runs entries of `opcode`.
pub fn ring_for(opcode: ouzel_uring::abi::Opcode) -> Option<Ring> {
    let ring = ring_with_slots(16, 8)?;
    if !or_skip("a probe", ring.probe())?.supports(opcode) {
        eprintln!("SKIPPED: this kernel has no {opcode}");
        return None;
    }
    Some(ring)
}

/// A file of this text in a fresh directory.
pub fn file_of(scratch: &Scratch, name: &str, text: &[u8]) -> std::fs::File {
    std::fs::write(scratch.0.join(name), text).expect("a file");
    std::fs::OpenOptions::new().read(true).write(true).open(scratch.0.join(name)).expect("the file")
}

/// System calls that nothing wraps.
pub fn raw_call(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the tests pass what the call wants; it is the kernel's calling convention.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") number as isize => result, in("rdi") arguments[0],
            in("rsi") arguments[1], in("rdx") arguments[2], in("r10") arguments[3], in("r8") arguments[4],
            in("r9") arguments[5], lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0", in("x8") number, inlateout("x0") arguments[0] => result, in("x1") arguments[1],
            in("x2") arguments[2], in("x3") arguments[3], in("x4") arguments[4], in("x5") arguments[5],
            options(nostack)
        );
    }
    result
}

/// How the page cache holds a file: pages there, and of them pages not written back; `None` before Linux 6.5.
pub fn cached_pages(file: &std::fs::File) -> Option<(u64, u64)> {
    use std::os::fd::AsRawFd as _;
    const CACHESTAT: usize = 451;
    let range = [0_u64, 0];
    let mut answer = [0_u64; 5];
    let result = raw_call(
        CACHESTAT,
        [file.as_raw_fd() as usize, range.as_ptr().addr(), answer.as_mut_ptr().expose_provenance(), 0, 0, 0],
    );
    (result == 0).then_some((answer[0], answer[1] + answer[2]))
}

/// `struct msghdr` on 64-bit machines.
#[repr(C)]
pub struct MessageHeader {
    pub name: *mut std::ffi::c_void,
    pub name_length: u32,
    pub vectors: *mut ouzel_uring::abi::Iovec,
    pub vector_count: usize,
    pub control: *mut std::ffi::c_void,
    pub control_length: usize,
    pub flags: i32,
}

impl MessageHeader {
    /// A message over these vectors, without an address.
    pub fn new(vectors: &mut [ouzel_uring::abi::Iovec]) -> Self {
        Self {
            name: std::ptr::null_mut(),
            name_length: 0,
            vectors: vectors.as_mut_ptr(),
            vector_count: vectors.len(),
            control: std::ptr::null_mut(),
            control_length: 0,
            flags: 0,
        }
    }
}

/// `struct sockaddr_in` of a port on this machine.
pub fn loopback(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&2_u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}
