//! What is said where io_uring is refused: a child sets a seccomp filter, as container runtimes do, and asks.
#![cfg(target_os = "linux")]

mod common;

use common::ring;
use ouzel_uring::{Builder, SetupError, Step};

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

/// A seccomp filter of five instructions, set by the raw calls because no wrapper has it.
mod seccomp {
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
        rustix::thread::set_no_new_privs(true).map_err(|error| error.raw_os_error())?;
        let filter = [
            Instruction { code: LOAD_WORD, if_true: 0, if_false: 0, value: 0 },
            Instruction { code: JUMP_IF_EQUAL, if_true: 0, if_false: 1, value: IO_URING_SETUP },
            Instruction { code: RETURN, if_true: 0, if_false: 0, value: FAIL_WITH | errno },
            Instruction { code: RETURN, if_true: 0, if_false: 0, value: ALLOW },
        ];
        let program = Program { length: filter.len() as u16, instructions: filter.as_ptr() };
        let argument = std::ptr::from_ref(&program).cast::<c_void>();
        let result = seccomp(SECCOMP_SET_MODE_FILTER, 0, argument);
        if result == 0 { Ok(()) } else { Err(-result as i32) }
    }

    #[cfg(target_arch = "x86_64")]
    fn seccomp(operation: usize, flags: usize, argument: *const c_void) -> isize {
        let result: isize;
        // SAFETY: the kernel only reads the program that the caller built.
        unsafe {
            std::arch::asm!(
                "syscall", inlateout("rax") SECCOMP as isize => result, in("rdi") operation, in("rsi") flags,
                in("rdx") argument, lateout("rcx") _, lateout("r11") _, options(nostack)
            );
        }
        result
    }

    #[cfg(target_arch = "aarch64")]
    fn seccomp(operation: usize, flags: usize, argument: *const c_void) -> isize {
        let result: isize;
        // SAFETY: the kernel only reads the program that the caller built.
        unsafe {
            std::arch::asm!(
                "svc 0", in("x8") SECCOMP, inlateout("x0") operation => result, in("x1") flags,
                in("x2") argument, options(nostack)
            );
        }
        result
    }
}
