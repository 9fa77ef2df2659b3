//! The shared libraries as others see them: built by the command, found by pkg-config, used from C, Python and Lisp.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How long anything that is started here may run.
const LIMIT: Duration = Duration::from_secs(120);

/// Where the libraries are; they are built once for all tests.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("liburing");
        build(&prefix, None);
        prefix
    })
}

fn build(prefix: &Path, target: Option<&Path>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["liburing", "--prefix"]).arg(prefix);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("liburing.so.2.15 (83 functions)"), "{said}");
    assert!(said.contains("liburing-ffi.so.2.15 (222 functions)"), "{said}");
}

/// Whether a program is there; says that the test is skipped if it is not.
fn there_is(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("SKIPPED: there is no {program}");
    }
    there
}

/// Runs a command with this input. Ends it if it takes too long.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that skips does not read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > LIMIT {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn succeeds(command: &mut Command, input: &[u8]) -> String {
    let output = run(command, input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// The script ran all its parts, or said why it could not.
fn all_went_well(said: &str) {
    if said.contains("SKIPPED") {
        print!("{said}");
        return;
    }
    assert_eq!(said.lines().filter(|line| line.ends_with(": well")).count(), 4, "{said}");
}

#[test]
fn python_runs_a_ring() {
    if there_is("python3") {
        let library = prefix().join("lib/liburing-ffi.so.2");
        let script = format!("{ROOT}/crates/liburing/examples/ring.py");
        all_went_well(&succeeds(Command::new("python3").arg(script).arg(library), b""));
    }
}

#[test]
fn lisp_runs_a_ring() {
    if there_is("sbcl") {
        let library = prefix().join("lib/liburing-ffi.so.2");
        let script = format!("{ROOT}/crates/liburing/examples/ring.lisp");
        all_went_well(&succeeds(Command::new("sbcl").arg("--script").arg(script).arg(library), b""));
    }
}

#[test]
fn c_programs_need_only_the_headers_and_pkg_config() {
    if !there_is("pkg-config") || !there_is("cc") {
        return;
    }
    let flags = succeeds(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "liburing"])
            .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")),
        b"",
    );
    let library = prefix().join("lib");
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(&library);
    let shared: Vec<OsString> = flags.split_whitespace().map(OsString::from).chain([rpath]).collect();
    let mut include = OsString::from("-I");
    include.push(prefix().join("include"));
    let linked_in = vec![include, library.join("liburing.a").into()];
    for (name, arguments) in [("ring-shared", shared), ("ring-static", linked_in)] {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        succeeds(
            Command::new("cc")
                .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
                .arg(&program)
                .arg(format!("{ROOT}/crates/liburing/examples/ring.c"))
                .args(arguments),
            b"",
        );
        let text = b"copied through a ring\n".repeat(1000);
        let output = run(&mut Command::new(&program), &text);
        if output.status.code() == Some(77) {
            println!("SKIPPED: io_uring is refused here");
            return;
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == text, "{name}");
    }
}

#[test]
fn the_headers_compile_in_every_dialect() {
    for (compiler, language, dialects) in
        [("cc", "c", ["gnu99", "gnu11", "gnu17"]), ("c++", "c++", ["c++11", "gnu++17", "c++20"])]
    {
        if !there_is(compiler) {
            continue;
        }
        for dialect in dialects {
            let program = b"#include <liburing.h>\nint main(void) { struct io_uring ring; return \
                io_uring_queue_init(1, &ring, 0); }\n";
            succeeds(
                Command::new(compiler)
                    .args(["-x", language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
                    .arg(prefix().join("include"))
                    .arg(format!("-std={dialect}"))
                    .arg("-"),
                program,
            );
        }
    }
}

#[test]
fn builds_are_alike_wherever_they_are_done() {
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere");
    let again = elsewhere.join("prefix");
    build(&again, Some(&elsewhere.join("target")));
    for library in ["liburing.so.2", "liburing-ffi.so.2"] {
        let (one, other) = (prefix().join("lib").join(library), again.join("lib").join(library));
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{library}");
    }
}

#[test]
fn no_panic_is_left_in_the_libraries() {
    // A panic would call abort; if the linker kept no such call, there is no way to one.
    for library in ["liburing.so.2", "liburing-ffi.so.2"] {
        let imports = succeeds(
            Command::new("nm")
                .args(["--dynamic", "--undefined-only"])
                .arg(prefix().join("lib").join(library)),
            b"",
        );
        assert!(!imports.contains("abort"), "{imports}");
    }
}
