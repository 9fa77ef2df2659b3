//! What is said where io_uring is refused: a child sets a seccomp filter, as container runtimes do, and asks.
#![cfg(target_os = "linux")]

mod common;

use common::{ring, seccomp};
use ouzel_uring::{Builder, Call, ChildReport, SetupError, Step, probe_in_child};

/// In the child: which errno the filter gives, and what the child must find.
const CHILD: &str = "OUZEL_URING_TEST_REFUSED";

#[test]
fn a_refusal_says_who_refuses() {
    if let Some(errno) = std::env::var_os(CHILD) {
        return refused_child(errno.to_str().and_then(|text| text.parse().ok()).expect("an errno"));
    }
    if ring(4).is_none() {
        return;
    }
    for errno in [1_u32, 38, 12, 24, 23] {
        let program = std::env::current_exe().expect("the test's own path");
        let output = std::process::Command::new(program)
            .args(["--exact", "a_refusal_says_who_refuses", "--nocapture", "--test-threads=1"])
            .env(CHILD, errno.to_string())
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + String::from_utf8_lossy(&output.stderr).as_ref();
        if text.contains("SKIPPED") {
            eprintln!("{text}");
            continue;
        }
        assert!(output.status.success() && text.contains("the filter was met"), "errno {errno}: {text}");
    }
}

/// Refuses io_uring_setup to this thread, then looks at what the crate makes of it.
fn refused_child(errno: u32) {
    if let Err(refused) = seccomp::refuse_setup(errno) {
        return eprintln!("SKIPPED: no seccomp filter (errno {refused})");
    }
    let error = Builder::new(4).first_of(&Step::ONE_THREAD).map(|_| ()).expect_err("a refusal");
    assert_eq!(error.errno(), errno as i32);
    let text = error.to_string();
    match errno {
        1 => {
            assert!(matches!(error, SetupError::Refused { .. }), "{error:?}");
            assert!(text.contains("seccomp") && text.contains("container"), "{text}");
        }
        38 => {
            assert_eq!(error, SetupError::Missing);
            assert!(text.contains("ENOSYS"), "{text}");
        }
        12 => {
            assert!(matches!(error, SetupError::NoMemory | SetupError::LockedMemory { .. }), "{error:?}");
            assert!(text.contains("locked memory") || text.contains("memlock"), "{text}");
        }
        24 => {
            assert_eq!(error, SetupError::ProcessFiles);
            assert!(text.contains("RLIMIT_NOFILE"), "{text}");
        }
        _ => {
            assert_eq!(error, SetupError::SystemFiles);
            assert!(text.contains("fs.file-max"), "{text}");
        }
    }
    println!("the filter was met: {text}");
}

/// In the child: the call that the filter kills for.
const DEADLY: &str = "OUZEL_URING_TEST_DEADLY";

#[test]
fn a_filter_that_kills_is_survived() {
    if let Some(number) = std::env::var_os(DEADLY) {
        return deadly_child(number.to_str().and_then(|text| text.parse().ok()).expect("a number"));
    }
    if ring(4).is_none() {
        return;
    }
    assert_eq!(probe_in_child(), ChildReport::Works);
    assert!(Builder::new(4).probe_first().build().is_ok());
    for number in [425_u32, 426, 427] {
        let program = std::env::current_exe().expect("the test's own path");
        let output = std::process::Command::new(program)
            .args(["--exact", "a_filter_that_kills_is_survived", "--nocapture", "--test-threads=1"])
            .env(DEADLY, number.to_string())
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + String::from_utf8_lossy(&output.stderr).as_ref();
        if text.contains("SKIPPED") {
            eprintln!("{text}");
            continue;
        }
        assert!(output.status.success() && text.contains("the filter was survived"), "{number}: {text}");
    }
}

/// Puts a filter on this thread that kills the process for one of the calls, and asks.
fn deadly_child(number: u32) {
    const KILL_PROCESS: u32 = 0x8000_0000;
    if let Err(refused) = seccomp::answer(number, KILL_PROCESS) {
        return eprintln!("SKIPPED: no seccomp filter (errno {refused})");
    }
    let call = [Call::Setup, Call::Enter, Call::Register][number as usize - 425];
    assert_eq!(probe_in_child(), ChildReport::Killed { call, signal: 31 });
    let error = Builder::new(4).probe_first().build().map(|_| ()).expect_err("a refusal");
    assert_eq!(error, SetupError::WouldKill { call, signal: 31 });
    let error = Builder::new(4).probe_first().first_of(&Step::ONE_THREAD).map(|_| ()).expect_err("a refusal");
    assert_eq!(error, SetupError::WouldKill { call, signal: 31 });
    let text = error.to_string();
    assert!(text.contains("seccomp") && text.contains("io_uring_enter"), "{text}");
    println!("the filter was survived: {text}");
}
