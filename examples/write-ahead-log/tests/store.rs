//! The program as a process, on both real backends: what it keeps when it is killed, when its log is torn, and when it is damaged.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn command(backend: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel-wal"));
    command.args(["--backend", backend]).arg(home).args(arguments).stdin(Stdio::null());
    command
}

fn wal(backend: &str, home: &Path, arguments: &[&str]) -> Output {
    command(backend, home, arguments).output().unwrap()
}

fn ok(backend: &str, home: &Path, arguments: &[&str]) -> String {
    let output = wal(backend, home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `test` on each backend in each test directory.
fn everywhere(test: impl Fn(&str, &Path)) {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    for base in list.split(':').filter(|base| Path::new(base).is_dir()) {
        let directory = tempfile::tempdir_in(base).unwrap();
        for backend in ["uring", "threads"] {
            let home = directory.path().join(backend);
            let probe = wal(backend, &home, &["list"]);
            if text(&probe.stderr).contains("cannot use the uring backend") {
                println!("SKIPPED: {}", text(&probe.stderr).trim());
                continue;
            }
            test(backend, &home);
        }
    }
}

#[test]
fn keys_have_the_values_they_were_given() {
    everywhere(|backend, home| {
        ok(backend, home, &["set", "colour", "blue"]);
        ok(backend, home, &["set", "shape", "round"]);
        ok(backend, home, &["set", "colour", "a=b"]);
        assert_eq!(ok(backend, home, &["get", "colour"]), "a=b\n");
        ok(backend, home, &["checkpoint"]);
        ok(backend, home, &["set", "size", "7"]);
        ok(backend, home, &["delete", "shape"]);
        assert_eq!(wal(backend, home, &["get", "shape"]).status.code(), Some(1));
        assert_eq!(wal(backend, home, &["delete", "shape"]).status.code(), Some(1));
        assert_eq!(ok(backend, home, &["list"]), "colour=a=b\nsize=7\n");
        ok(backend, home, &["checkpoint"]);
        ok(backend, home, &["checkpoint"]);
        assert_eq!(ok(backend, home, &["list"]), "colour=a=b\nsize=7\n");
        assert_eq!(fs::read(home.join("log")).unwrap().len(), 16);
        let mut names: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["checkpoint", "lock", "log"]);
    });
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    everywhere(|backend, home| {
        ok(backend, home, &["set", "a", "1"]);
        let log = home.join("log");
        let whole = fs::read(&log).unwrap();
        ok(backend, home, &["set", "b", "2"]);
        let longer = fs::read(&log).unwrap();
        for length in whole.len() + 1..longer.len() {
            fs::write(&log, &longer[..length]).unwrap();
            let output = wal(backend, home, &["list"]);
            assert_eq!(text(&output.stdout), "a=1\n", "{length} bytes");
            assert!(text(&output.stderr).contains("cut off"), "{}", text(&output.stderr));
            assert_eq!(fs::read(&log).unwrap(), whole);
        }
        // Blocks that never came, and what was never written.
        for tail in [vec![0; 5000], vec![0xff; 70]] {
            fs::write(&log, [&longer[..], &tail].concat()).unwrap();
            assert_eq!(ok(backend, home, &["list"]), "a=1\nb=2\n");
        }
        ok(backend, home, &["set", "c", "3"]);
        assert_eq!(ok(backend, home, &["list"]), "a=1\nb=2\nc=3\n");
        // A head that was cut: the log was new.
        fs::remove_file(home.join("checkpoint")).ok();
        fs::write(&log, &longer[..9]).unwrap();
        assert_eq!(ok(backend, home, &["list"]), "");
        ok(backend, home, &["set", "d", "4"]);
        assert_eq!(ok(backend, home, &["list"]), "d=4\n");
    });
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    everywhere(|backend, home| {
        for key in ["a", "b", "c"] {
            ok(backend, home, &["set", key, "value"]);
        }
        let log = home.join("log");
        let whole = fs::read(&log).unwrap();
        let frame = (whole.len() - 16) / 3;
        for at in [3, 16, 20, 25, 16 + frame + 4, 16 + 2 * frame - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&log, &damaged).unwrap();
            let output = wal(backend, home, &["list"]);
            assert_eq!(output.status.code(), Some(1), "byte {at}: {}", text(&output.stdout));
            assert!(text(&output.stderr).contains("damaged"), "byte {at}: {}", text(&output.stderr));
            assert_eq!(fs::read(&log).unwrap(), damaged, "nothing was changed");
        }
        fs::write(&log, &whole).unwrap();
        ok(backend, home, &["checkpoint"]);
        let mut damaged = fs::read(home.join("checkpoint")).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(home.join("checkpoint"), damaged).unwrap();
        let output = wal(backend, home, &["list"]);
        assert!(!output.status.success() && text(&output.stderr).contains("damaged"));
    });
}

#[test]
fn a_log_that_the_checkpoint_has_is_not_replayed_twice() {
    everywhere(|backend, home| {
        ok(backend, home, &["set", "a", "old"]);
        ok(backend, home, &["set", "a", "new"]);
        let log = fs::read(home.join("log")).unwrap();
        ok(backend, home, &["checkpoint"]);
        // As though it had died before it emptied the log.
        fs::write(home.join("log"), &log).unwrap();
        assert_eq!(ok(backend, home, &["list"]), "a=new\n");
        ok(backend, home, &["set", "b", "more"]);
        assert_eq!(ok(backend, home, &["list"]), "a=new\nb=more\n");
    });
}

#[test]
fn what_it_called_durable_survives_a_kill() {
    everywhere(|backend, home| {
        let mut told = 0;
        for round in 0..8u64 {
            let mut child = command(backend, home, &["load", "--group", "3"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = child.stdin.take().unwrap();
            let feeder = std::thread::spawn(move || {
                // It ends when the child does.
                for number in told.. {
                    if writeln!(input, "{number:08}=value {number}").is_err() {
                        break;
                    }
                }
            });
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut durable = 0;
            for _ in 0..=round {
                durable = number(&lines.next().unwrap().unwrap());
            }
            std::thread::sleep(Duration::from_millis(round));
            child.kill().unwrap();
            child.wait().unwrap();
            for line in lines.map_while(Result::ok).filter(|line| line.starts_with("durable ")) {
                durable = number(&line);
            }
            feeder.join().unwrap();
            let listed = eventually(backend, home);
            let all: Vec<&str> = listed.lines().collect();
            let expected = told + durable;
            // The group under way may be there, whole.
            assert!(
                all.len() as u64 == expected || all.len() as u64 == expected + 3,
                "{} of {expected}",
                all.len()
            );
            for (number, line) in all.iter().enumerate() {
                assert_eq!(*line, format!("{number:08}=value {number}"));
            }
            told = all.len() as u64;
            if round % 3 == 2 {
                ok(backend, home, &["checkpoint"]);
            }
        }
    });
}

fn number(line: &str) -> u64 {
    line.strip_prefix("durable ").unwrap().parse().unwrap()
}

/// Lists the store as soon as the kernel has let go of the lock of the one that was killed.
fn eventually(backend: &str, home: &Path) -> String {
    let started = Instant::now();
    loop {
        let output = wal(backend, home, &["list"]);
        if output.status.success() {
            return text(&output.stdout);
        }
        assert!(text(&output.stderr).contains("another process"), "{}", text(&output.stderr));
        assert!(started.elapsed() < Duration::from_secs(20), "still locked");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_process_at_a_time() {
    everywhere(|backend, home| {
        let mut child =
            command(backend, home, &["load"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // It has the store when it answers.
        for number in 0..64 {
            writeln!(input, "{number}=x").unwrap();
        }
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "durable 64\n");
        let output = wal(backend, home, &["list"]);
        assert!(!output.status.success() && text(&output.stderr).contains("another process"));
        drop(input);
        assert!(child.wait().unwrap().success());
        assert_eq!(ok(backend, home, &["list"]).lines().count(), 64);
    });
}
