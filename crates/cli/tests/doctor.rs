//! `ouzel doctor` where a seccomp filter kills whoever uses io_uring.
#![cfg(target_os = "linux")]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

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

const SECCOMP: usize = if cfg!(target_arch = "x86_64") { 317 } else { 277 };

/// Kills this process at io_uring_setup from now on.
fn kill_for_setup() -> std::io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let filter = [
        Instruction { code: 0x20, if_true: 0, if_false: 0, value: 0 },
        Instruction { code: 0x15, if_true: 0, if_false: 1, value: 425 },
        Instruction { code: 0x06, if_true: 0, if_false: 0, value: 0x8000_0000 },
        Instruction { code: 0x06, if_true: 0, if_false: 0, value: 0x7fff_0000 },
    ];
    let program = Program { length: filter.len() as u16, instructions: filter.as_ptr() };
    let argument = (&raw const program).addr();
    let result: isize;
    // SAFETY: the kernel only reads the program, which lives through the call.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") SECCOMP as isize => result, in("rdi") 1, in("rsi") 0,
            in("rdx") argument, lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0", in("x8") SECCOMP, inlateout("x0") 1_usize => result, in("x1") 0, in("x2") argument,
            options(nostack)
        );
    }
    if result == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(-result as i32)) }
}

#[test]
fn the_doctor_survives_a_filter_that_kills() {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_ouzel"));
    doctor.args(["doctor", "--json"]);
    // SAFETY: between fork and exec, only system calls are issued.
    unsafe { doctor.pre_exec(kill_for_setup) };
    let output = match doctor.output() {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED: no seccomp filter: {error}"),
    };
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["io_uring"]["usable"], false);
    let error = report["io_uring"]["error"].as_str().expect("an error");
    assert!(error.contains("signal 31") && error.contains("io_uring_setup"), "{error}");
    assert_eq!(report["chosen"]["name"], "threads");
    assert!(report["remedies"].as_array().expect("remedies").iter().any(|remedy| remedy == error));
}

#[test]
fn the_doctor_tells_what_its_child_found() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ouzel")).args(["doctor", "--json"]).output().expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let child = report["io_uring"]["child"].as_str().expect("what the child found");
    if report["io_uring"]["usable"] == true {
        assert!(child.contains("may be used"), "{child}");
    } else {
        assert!(child.contains("in a child process"), "{child}");
    }
}
