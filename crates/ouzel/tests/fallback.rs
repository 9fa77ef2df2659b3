//! What a ring does where io_uring is refused: a child refuses it to itself with seccomp, as container runtimes do.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use ouzel::{BackendKind, Buffer, Chain, Error, Offset, OpenOptions, Ring};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const CHILD: &str = "OUZEL_TEST_REFUSED";
const IO_URING_SETUP: i64 = 425;

#[test]
fn a_refused_ring_falls_back_to_threads_and_says_why() {
    if std::env::var_os(CHILD).is_some() {
        return in_the_child();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_refused_ring_falls_back_to_threads_and_says_why", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("SKIPPED") {
        print!("{text}");
        return;
    }
    assert!(output.status.success() && text.contains("read on threads"), "{text}");
}

fn in_the_child() {
    let refused = SeccompAction::Errno(1);
    let rules = BTreeMap::from([(IO_URING_SETUP, Vec::new())]);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into().unwrap());
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    if let Err(error) = apply_filter(&program) {
        return println!("SKIPPED: no seccomp filter: {error}");
    }
    let asked_for = Ring::builder().backend(BackendKind::Uring).build();
    assert!(
        matches!(&asked_for, Err(Error::Backend { backend: "uring", reason }) if reason.contains("seccomp")),
        "{asked_for:?}"
    );
    let mut ring = Ring::new().unwrap();
    assert_eq!(ring.backend().backend, BackendKind::Threads);
    assert!(ring.backend().reason.contains("seccomp"), "{}", ring.backend());
    let mut chain = Chain::new();
    let file = chain.open("Cargo.toml", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(1 << 16), Offset::START);
    chain.finally().close(file);
    let done = ring.run(chain).unwrap();
    assert_eq!(done.get(length).unwrap() as u64, std::fs::metadata("Cargo.toml").unwrap().len());
    println!("read on threads: {}", ring.backend());
}
