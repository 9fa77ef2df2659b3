//! What the tests share: rings, waiting, directories.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ouzel_uring::abi::Cqe;
use ouzel_uring::{Builder, EnterError, RegisterError, Ring, Sqe, Step, Timeout};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Whether not even the plainest ring can be had here.
pub fn refused() -> bool {
    Builder::new(1).build().is_err()
}

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

/// A seccomp filter of five instructions, set by the raw calls because no wrapper has it.
pub mod seccomp {
    use std::ffi::c_void;

    #[repr(C)]
    struct Instruction {
        code: u16,
        if_true: u8,
        if_false: u8,
        value: u32,
    }

    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }

    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const FAIL_WITH: u32 = 0x0005_0000;
    const IO_URING_SETUP: u32 = 425;

    const SECCOMP: usize = if cfg!(target_arch = "x86_64") { 317 } else { 277 };
    const SECCOMP_SET_MODE_FILTER: usize = 1;

    /// Makes io_uring_setup fail with `errno` on this thread, or gives the errno that prevented it.
    pub fn refuse_setup(errno: u32) -> Result<(), i32> {
        answer(IO_URING_SETUP, FAIL_WITH | errno)
    }

    /// Answers one system call in this way on this thread, or gives the errno that prevented it.
    pub fn answer(number: u32, action: u32) -> Result<(), i32> {
        rustix::thread::set_no_new_privs(true).map_err(|error| error.raw_os_error())?;
        let filter = [
            Instruction { code: LOAD_WORD, if_true: 0, if_false: 0, value: 0 },
            Instruction { code: JUMP_IF_EQUAL, if_true: 0, if_false: 1, value: number },
            Instruction { code: RETURN, if_true: 0, if_false: 0, value: action },
            Instruction { code: RETURN, if_true: 0, if_false: 0, value: ALLOW },
        ];
        let program = Program { length: filter.len() as u16, instructions: filter.as_ptr() };
        let argument = std::ptr::from_ref(&program).cast::<c_void>();
        let arguments = [SECCOMP_SET_MODE_FILTER, 0, argument.expose_provenance(), 0, 0, 0];
        let result = super::raw_call(SECCOMP, arguments);
        if result == 0 { Ok(()) } else { Err(-result as i32) }
    }
}

/// Runs the test `name` once more in a process of its own, where `body` is run alone, and passes on what it says. What
/// it leaves behind, descriptors and mappings of rings, is counted.
pub fn isolated(name: &str, body: impl FnOnce()) {
    isolated_by(name, &[], body);
}

/// The same through a program, such as strace with its arguments.
pub fn isolated_by(name: &str, through: &[&str], body: impl FnOnce()) {
    const INSIDE: &str = "OUZEL_URING_TEST_ISOLATED";
    if std::env::var_os(INSIDE).is_some_and(|inside| inside.to_str() == Some(name)) {
        let before = (open_descriptors(), ring_mappings());
        body();
        let after = (open_descriptors(), ring_mappings());
        assert_eq!(before, after, "left behind: descriptors, mappings");
        println!("{FINISHED}");
        return;
    }
    if ring(4).is_none() {
        return;
    }
    let program = std::env::current_exe().expect("the test's own path");
    let mut command = match through.split_first() {
        None => std::process::Command::new(program),
        Some((first, rest)) => {
            let mut command = std::process::Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    let output = command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + String::from_utf8_lossy(&output.stderr).as_ref();
    for line in text.lines().filter(|line| line.contains("SKIPPED")) {
        eprintln!("{line}");
    }
    if output.status.signal() == Some(9) {
        // Nobody else sends it: the kernel had no memory left for the process itself.
        return eprintln!("SKIPPED: {name} was killed in its own process: {text}");
    }
    assert!(text.contains(FINISHED), "{name} in a process of its own: {}\n{text}", output.status);
}

/// What an isolated test says at its end.
const FINISHED: &str = "the isolated test is through";

/// The descriptors open in this process.
pub fn open_descriptors() -> usize {
    // One of them reads the directory.
    std::fs::read_dir("/proc/self/fd").map_or(0, |list| list.count().saturating_sub(1))
}
