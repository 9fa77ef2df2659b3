//! What cannot be done says why, and leaves nothing behind.
//!
//! Every test runs in a process of its own: limits, filters and closed descriptors are the process's.
#![cfg(target_os = "linux")]

mod common;

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use common::{isolated, isolated_by, one, push, run, seccomp};
use ouzel_uring::abi::{EnterFlags, Iovec, SetupFlags};
use ouzel_uring::{Builder, EnterError, RegisterCause, Ring, SetupError, Sqe, Timeout};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn plain() -> Ring {
    Builder::new(8).build().expect("a ring")
}

fn refusal(builder: Builder) -> SetupError {
    builder.build().map(|_| ()).expect_err("a refusal")
}

fn cause<T>(result: Result<T, ouzel_uring::RegisterError>) -> RegisterCause {
    let error = result.map(|_| ()).expect_err("a refusal");
    assert!(error.to_string().contains(error.operation.name()), "{error}");
    error.cause
}

/// Puts another object behind the ring's descriptor.
fn exchange(ring: &Ring, other: impl std::os::fd::AsFd) {
    let number = ring.descriptor().expect("a descriptor").as_raw_fd();
    // SAFETY: the descriptor stays the ring's; it is only pointed elsewhere.
    let mut place = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    rustix::io::dup2(other, &mut place).expect("dup2");
}

#[test]
fn foreign_descriptors() {
    isolated("foreign_descriptors", || {
        let mut ring = plain();
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        exchange(&ring, reader.as_fd());
        push(&mut ring, Sqe::nop());
        assert_eq!(ring.submit(), Err(EnterError::NotARing));
        assert_eq!(ring.collect(), Err(EnterError::NotARing));
        assert_eq!(cause(ring.probe()), RegisterCause::NotSupported);
        // It is put back for the end.
        let other = plain();
        exchange(&ring, other.descriptor().expect("a descriptor"));
    });
}

#[test]
fn closed_descriptors() {
    isolated("closed_descriptors", || {
        let mut ring = plain();
        let number = ring.descriptor().expect("a descriptor").as_raw_fd();
        let close = if cfg!(target_arch = "x86_64") { 3 } else { 57 };
        assert_eq!(common::raw_call(close, [number as usize, 0, 0, 0, 0, 0]), 0);
        push(&mut ring, Sqe::nop());
        assert_eq!(ring.submit(), Err(EnterError::BadDescriptor));
        assert_eq!(cause(ring.register_files_sparse(4)), RegisterCause::BadDescriptor);
        assert_eq!(ring.sq_pending(), 1);
        // The number must be open again before it is closed again.
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        if null.as_raw_fd() == number {
            std::mem::forget(null);
        } else {
            exchange(&ring, null.as_fd());
        }
    });
}

#[test]
fn entries_on_closed_descriptors() {
    isolated("entries_on_closed_descriptors", || {
        let mut ring = plain();
        let mut buffer = [0_u8; 4];
        let place = buffer.as_mut_ptr();
        assert_eq!(one(&mut ring, Sqe::read(-1, place, 4, 0)), -9);
        assert_eq!(one(&mut ring, Sqe::read(12_345, place, 4, 0)), -9);
        assert_eq!(one(&mut ring, Sqe::read(ouzel_uring::Slot(3), place, 4, 0)), -9);
        assert_eq!(one(&mut ring, Sqe::close(12_345)), -9);
        assert_eq!(one(&mut ring, Sqe::nop().buffer_group(3)), -95);
        assert_eq!(one(&mut ring, Sqe::raw(255)), -22);
        assert_eq!(one(&mut ring, Sqe { flags: 0x80, ..Sqe::nop() }), -22);
        let number = ring.descriptor().expect("a descriptor").as_raw_fd();
        assert_eq!(one(&mut ring, Sqe::close(number)), -9, "a ring does not close itself");
    });
}

#[test]
fn wrong_numbers_of_entries() {
    isolated("wrong_numbers_of_entries", || {
        for entries in [0, 32_769, 65_536, u32::MAX] {
            assert_eq!(refusal(Builder::new(entries)), SetupError::Entries { asked: entries });
        }
        for entries in [3, 5, 4095, 32_767] {
            assert_eq!(refusal(Builder::new(entries).exact()), SetupError::NotPowerOfTwo { asked: entries });
        }
        for entries in [0, 4, 65_537, u32::MAX] {
            let builder = Builder::new(8).completion_entries(entries);
            assert_eq!(refusal(builder), SetupError::CompletionEntries { asked: entries, entries: 8 });
            assert!(builder.memory_size().is_err());
        }
        let clamped = Builder::new(8).completion_entries(u32::MAX).flags(SetupFlags::CLAMP);
        assert!(clamped.build().is_ok_and(|ring| ring.cq_entries() == 65_536));
    });
}

#[test]
fn flags_that_do_not_go_together() {
    isolated("flags_that_do_not_go_together", || {
        for flags in [
            SetupFlags::SQ_AFF,
            SetupFlags::DEFER_TASKRUN,
            SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER | SetupFlags::SQPOLL,
            SetupFlags::TASKRUN_FLAG,
            SetupFlags::CQE_MIXED | SetupFlags::CQE32,
        ] {
            let error = refusal(Builder::new(8).flags(flags));
            assert_eq!(error, SetupError::Invalid { flags, entries: 8 });
            assert!(error.to_string().contains("EINVAL"), "{error}");
        }
        let cpu = refusal(Builder::new(8).poller(10).poller_cpu(4096));
        assert!(matches!(cpu, SetupError::Invalid { .. }), "{cpu:?}");
    });
}

/// Every errno that a call documents, and what it must be told as.
type Expected<T> = [(&'static str, fn(&T) -> bool)];

/// Runs the test `name` under strace once for every errno that is injected into the first call of `call`.
fn inject<T>(name: &str, call: &str, expected: &Expected<T>, body: impl Fn() -> T) {
    const ERRNO: &str = "OUZEL_URING_TEST_INJECTED";
    if let Some(errno) = std::env::var_os(ERRNO) {
        return isolated(name, || {
            let (_, check) =
                expected.iter().find(|(name, _)| errno.to_str() == Some(name)).expect("an errno");
            let outcome = body();
            assert!(check(&outcome), "{call} with {errno:?} is told wrongly");
        });
    }
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("SKIPPED: strace is missing, and errors cannot be injected without it");
    }
    for (errno, _) in expected {
        let option = format!("inject={call}:error={errno}:when=1");
        let environment = format!("{ERRNO}={errno}");
        let through =
            ["strace", "-f", "-o", "/dev/null", "-e", "signal=none", "-e", &option, "env", &environment];
        isolated_by(name, &through, || {});
    }
}

#[test]
fn every_errno_of_setup() {
    let expected: &Expected<SetupError> = &[
        ("EINTR", |error| *error == SetupError::Other { errno: 4 }),
        ("EAGAIN", |error| *error == SetupError::Other { errno: 11 }),
        ("EBUSY", |error| *error == SetupError::Other { errno: 16 }),
        ("EFAULT", |error| *error == SetupError::Fault),
        ("EINVAL", |error| matches!(error, SetupError::Invalid { entries: 8, .. })),
        ("EMFILE", |error| *error == SetupError::ProcessFiles),
        ("ENFILE", |error| *error == SetupError::SystemFiles),
        ("ENOMEM", |error| matches!(error, SetupError::NoMemory | SetupError::LockedMemory { .. })),
        ("EPERM", |error| matches!(error, SetupError::Refused { .. } | SetupError::Disabled { .. })),
        ("EACCES", |error| *error == SetupError::Denied),
        ("ENXIO", |error| *error == SetupError::SharedRing { errno: 6 }),
        ("EBADF", |error| *error == SetupError::SharedRing { errno: 9 }),
        ("ENOSYS", |error| *error == SetupError::Missing),
        ("EOPNOTSUPP", |error| matches!(error, SetupError::NotBuilt { .. })),
        ("EOVERFLOW", |error| *error == SetupError::TooLarge),
    ];
    inject("every_errno_of_setup", "io_uring_setup", expected, || refusal(Builder::new(8)));
}

#[test]
fn every_errno_of_enter() {
    let expected: &Expected<EnterError> = &[
        ("EINTR", |error| *error == EnterError::Interrupted && error.is_benign()),
        ("EAGAIN", |error| *error == EnterError::TryAgain),
        ("EBUSY", |error| *error == EnterError::Busy),
        ("ETIME", |error| *error == EnterError::TimedOut && error.is_benign()),
        ("EEXIST", |error| *error == EnterError::WrongThread),
        ("EBADFD", |error| *error == EnterError::RingDisabled),
        ("EBADR", |error| *error == EnterError::CompletionsLost),
        ("EBADF", |error| *error == EnterError::BadDescriptor),
        ("ENXIO", |error| *error == EnterError::Closing),
        ("EOPNOTSUPP", |error| *error == EnterError::NotARing),
        ("EOWNERDEAD", |error| *error == EnterError::PollerDead),
        ("EFAULT", |error| *error == EnterError::Fault),
        ("ENOMEM", |error| *error == EnterError::NoMemory),
        ("EINVAL", |error| *error == EnterError::Invalid { flags: EnterFlags::GETEVENTS }),
        ("EPERM", |error| *error == EnterError::Refused { errno: 1 }),
        ("ENOSYS", |error| *error == EnterError::Refused { errno: 38 }),
    ];
    inject("every_errno_of_enter", "io_uring_enter", expected, || {
        let mut ring = plain();
        push(&mut ring, Sqe::nop().user_data(1));
        let error = ring.submit_and_wait(1, None).expect_err("an error");
        // Nothing is lost: the next call submits the entry.
        assert_eq!(ring.sq_pending(), 1);
        assert_eq!(run(&mut ring, 1).len(), 1);
        error
    });
}

#[test]
fn every_errno_of_register() {
    let expected: &Expected<RegisterCause> = &[
        ("EINTR", |cause| *cause == RegisterCause::Interrupted),
        ("EAGAIN", |cause| *cause == RegisterCause::TryAgain { errno: 11 }),
        ("ECANCELED", |cause| *cause == RegisterCause::TryAgain { errno: 125 }),
        ("EBUSY", |cause| *cause == RegisterCause::AlreadyThere),
        ("EACCES", |cause| *cause == RegisterCause::Restricted),
        ("EALREADY", |cause| *cause == RegisterCause::Running),
        ("EBADF", |cause| *cause == RegisterCause::BadDescriptor),
        ("EBADFD", |cause| *cause == RegisterCause::WrongState),
        ("EEXIST", |cause| *cause == RegisterCause::WrongThread),
        ("EFAULT", |cause| *cause == RegisterCause::Fault),
        ("EINVAL", |cause| *cause == RegisterCause::Invalid),
        ("EMFILE", |cause| *cause == RegisterCause::TooMany),
        ("ENFILE", |cause| *cause == RegisterCause::TableFull),
        ("ENOENT", |cause| *cause == RegisterCause::NoMatch),
        ("ENODEV", |cause| *cause == RegisterCause::NoSuchDevice { errno: 19 }),
        ("ENOMEM", |cause| matches!(cause, RegisterCause::NoMemory | RegisterCause::LockedMemory { .. })),
        ("ENXIO", |cause| *cause == RegisterCause::NotThere),
        ("EOPNOTSUPP", |cause| *cause == RegisterCause::NotSupported),
        ("EOVERFLOW", |cause| *cause == RegisterCause::Overflow),
        ("EPERM", |cause| *cause == RegisterCause::Refused { errno: 1 }),
        ("ENOSYS", |cause| *cause == RegisterCause::Refused { errno: 38 }),
        ("ETIME", |cause| *cause == RegisterCause::TimedOut),
    ];
    inject("every_errno_of_register", "io_uring_register", expected, || {
        let mut ring = plain();
        let cause = cause(ring.register_files_sparse(4));
        assert_eq!(ring.register_files_sparse(4), Ok(()));
        cause
    });
}

#[test]
fn calls_that_a_filter_refuses() {
    isolated("calls_that_a_filter_refuses", || {
        const FAIL_WITH: u32 = 0x0005_0000;
        let mut ring = plain();
        if let Err(refused) = seccomp::answer(426, FAIL_WITH | 1) {
            return eprintln!("SKIPPED: no seccomp filter (errno {refused})");
        }
        push(&mut ring, Sqe::nop());
        let error = ring.submit().expect_err("a refusal");
        assert_eq!(error, EnterError::Refused { errno: 1 });
        assert!(error.to_string().contains("seccomp"), "{error}");
        assert!(seccomp::answer(427, FAIL_WITH | 38).is_ok());
        assert_eq!(cause(ring.probe()), RegisterCause::Refused { errno: 38 });
        // Nothing was submitted, so the end waits for nothing.
        let begin = std::time::Instant::now();
        ring.close(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30));
    });
}

/// Limits a resource, and keeps what it can be raised to.
fn limit(resource: Resource, current: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(current), maximum }).expect("a limit");
}

#[test]
fn too_few_descriptors() {
    isolated("too_few_descriptors", || {
        let before = getrlimit(Resource::Nofile);
        let mut ring = plain();
        limit(Resource::Nofile, 64);
        assert_eq!(cause(ring.register_files_sparse(65)), RegisterCause::TooMany);
        assert_eq!(ring.register_files_sparse(64), Ok(()));
        let mut fill = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            fill.push(file);
        }
        let error = refusal(Builder::new(8));
        assert_eq!(error, SetupError::ProcessFiles);
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        drop(fill.pop());
        assert!(Builder::new(8).build().is_ok());
        drop(fill);
        setrlimit(Resource::Nofile, before).expect("the limit");
    });
}

#[test]
fn too_little_address_space() {
    isolated("too_little_address_space", || {
        let before = getrlimit(Resource::As);
        let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("pages");
        limit(Resource::As, (pages + 256) * 4096);
        let error = refusal(Builder::new(32_768));
        assert_eq!(error, SetupError::Map { errno: 12 });
        assert!(error.to_string().contains("RLIMIT_AS"), "{error}");
        setrlimit(Resource::As, before).expect("the limit");
    });
}

#[test]
fn too_little_locked_memory_for_another_user() {
    isolated("too_little_locked_memory_for_another_user", || {
        let limit_bytes = 64 * 1024;
        limit(Resource::Memlock, limit_bytes);
        let nobody = rustix::thread::Uid::from_raw(65_534);
        if let Err(error) = rustix::thread::set_thread_res_uid(nobody, nobody, nobody) {
            return eprintln!("SKIPPED: cannot become another user: {error}");
        }
        let memory = vec![0_u8; 1 << 20];
        let mut ring = plain();
        let buffers = [Iovec::new(memory.as_ptr(), memory.len())];
        let refused = ring.register_buffers(&buffers);
        assert_eq!(cause(refused), RegisterCause::LockedMemory { limit_bytes });
        assert!(refused.is_err_and(|error| error.to_string().contains("ulimit -l")));
        assert_eq!(ring.register_buffers(&[Iovec::new(memory.as_ptr(), 4096)]), Ok(()));
        drop(ring);
        match Builder::new(32_768).build() {
            // Some kernels do not count the queues as locked memory; Linux 6.18 does.
            Ok(_) => {}
            Err(error) => assert_eq!(error, SetupError::LockedMemory { limit_bytes }),
        }
        // What was let go counts no longer, if late.
        let deadline = std::time::Instant::now() + common::PATIENCE;
        while let Err(error) = Builder::new(8).build() {
            assert_eq!(error, SetupError::LockedMemory { limit_bytes });
            assert!(std::time::Instant::now() < deadline, "never given back");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// A memory cgroup of this test's, removed when dropped.
struct Cgroup(std::path::PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn too_little_memory_in_the_cgroup() {
    const NAME: &str = "too_little_memory_in_the_cgroup";
    // The second version of cgroups, or the first.
    let root = std::path::Path::new("/sys/fs/cgroup");
    let (parent, limit) = if root.join("cgroup.controllers").exists() {
        (root.to_path_buf(), "memory.max")
    } else {
        (root.join("memory"), "memory.limit_in_bytes")
    };
    let inside = std::env::var_os("OUZEL_URING_TEST_ISOLATED").is_some();
    let group = Cgroup(parent.join(format!("ouzel-{}", std::process::id())));
    if !inside {
        let known = std::fs::exists(parent.join("cgroup.procs")).unwrap_or(false);
        let made = std::fs::create_dir(&group.0)
            .and_then(|()| std::fs::OpenOptions::new().write(true).open(group.0.join(limit)))
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"8388608"));
        if let (false, _) | (_, Err(_)) = (known, &made) {
            return eprintln!("SKIPPED: no memory cgroup can be made: {made:?}");
        }
    }
    let enter = format!("echo 0 > {}/cgroup.procs && exec \"$0\" \"$@\"", group.0.display());
    isolated_by(NAME, &["sh", "-c", &enter], || {
        // Rings until it is enough: an error, or none if the kernel kills first, which it does not for such memory.
        let mut rings = Vec::new();
        let error = loop {
            match Builder::new(4096).build() {
                Ok(ring) => rings.push(ring),
                Err(error) => break error,
            }
            if rings.len() == 64 {
                return eprintln!("SKIPPED: the cgroup does not count the queues");
            }
        };
        assert!(matches!(error, SetupError::NoMemory | SetupError::LockedMemory { .. }), "{error:?}");
        assert!(error.to_string().contains("cgroup"), "{error}");
        assert!(!rings.is_empty());
    });
}

#[test]
fn a_signal_ends_a_wait() {
    isolated("a_signal_ends_a_wait", || {
        let mut ring = plain();
        let process = rustix::process::getpid();
        // SIGCONT is ignored by default, and ends a wait only where something is done about it; SIGSTOP and SIGCONT
        // from another process do that.
        let helper = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("sleep 0.1; kill -STOP {0}; sleep 0.1; kill -CONT {0}", process.as_raw_pid()))
            .spawn();
        let Ok(mut helper) = helper else { return eprintln!("SKIPPED: no shell") };
        let outcome = ring.submit_and_wait(1, Some(Timeout::After(Duration::from_secs(3))));
        assert_eq!(outcome, Err(EnterError::Interrupted));
        helper.wait().expect("the helper");
        assert_eq!(one(&mut ring, Sqe::nop()), 0);
    });
}
