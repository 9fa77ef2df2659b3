//! The program as a process, on both real backends.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(backend: &str, file: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ouzel-btree"))
        .args(["--backend", backend, "--costs"])
        .arg(file)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read everything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `test` on each backend that is to be had, in each test directory.
fn everywhere(test: impl Fn(&str, &Path)) {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    for base in list.split(':').filter(|base| Path::new(base).is_dir()) {
        let directory = tempfile::tempdir_in(base).unwrap();
        for backend in ["uring", "threads"] {
            let file = directory.path().join(backend);
            let probe = run(backend, &file, &["build"], "1 2\n");
            if backend == "uring" && text(&probe.stderr).contains("io_uring") {
                println!("SKIPPED: {}", text(&probe.stderr).trim());
                continue;
            }
            assert!(probe.status.success(), "{}", text(&probe.stderr));
            test(backend, &file);
        }
    }
}

#[test]
fn what_is_built_is_found() {
    everywhere(|backend, file| {
        let mut lines: Vec<String> = (0..70_000u64).rev().map(|key| format!("{} {}", key * 3, key)).collect();
        lines.push("9 77".to_owned());
        let built = run(backend, file, &["build"], &lines.join("\n"));
        assert_eq!(text(&built.stdout), "70000 pairs\n", "{}", text(&built.stderr));

        let found = run(backend, file, &["get"], "0\n9\n209997\n");
        assert_eq!(text(&found.stdout), "0 0\n9 77\n209997 69999\n");
        assert!(found.status.success() && text(&found.stderr).starts_with("3 calls of a stored program"));

        let missing = run(backend, file, &["get", "1", "3"], "");
        assert_eq!((text(&missing.stdout).as_str(), missing.status.code()), ("3 1\n", Some(1)));
        assert!(text(&missing.stderr).starts_with("1 is not there\n"));
    });
}

#[test]
fn bad_input_is_named() {
    everywhere(|backend, file| {
        for line in ["1", "1 2 3", "a 1", "1 b", "-1 1", "18446744073709551615 1", "18446744073709551616 1"] {
            let output = run(backend, file, &["build"], &format!("5 6\n{line}\n"));
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(&format!("line 2: `{line}`")), "{}", text(&output.stderr));
        }
        // What was there still is.
        assert_eq!(text(&run(backend, file, &["get", "1"], "").stdout), "1 2\n");

        std::fs::write(file, b"no tree").unwrap();
        let output = run(backend, file, &["get", "1"], "");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("EIO"), "{}", text(&output.stderr));
    });
}
