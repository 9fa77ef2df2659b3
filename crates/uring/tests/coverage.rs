//! Makes docs/coverage.md of the tests, and fails when the two disagree or something is missing.
//!
//! Above a test, a comment `covers: NAME: effect` says that it checks what the opcode or register operation NAME does;
//! `cannot: NAME: reason` says why its effect cannot be had here and what the test checks instead. To write the table
//! anew: `OUZEL_WRITE_COVERAGE=1 cargo test -p ouzel-uring --test coverage`.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ouzel_uring::abi::{Opcode, RegisterOpcode};

/// A test of one opcode or operation.
struct Claim {
    /// `file::function`.
    test: String,
    /// The effect, or the reason that there is none.
    text: String,
    covered: bool,
}

fn folder(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The claims in the files of one folder, by name.
fn claims(relative: &str) -> BTreeMap<String, Vec<Claim>> {
    let mut found: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(relative))
        .expect("the tests")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    for path in files {
        let file = path.strip_prefix(folder("")).expect("a path below").display().to_string();
        let text = std::fs::read_to_string(&path).expect("a test file");
        let mut open = Vec::new();
        let mut is_test = false;
        for line in text.lines() {
            for (mark, covered) in [("// covers: ", true), ("// cannot: ", false)] {
                if let Some((name, text)) = line.strip_prefix(mark).and_then(|rest| rest.split_once(": ")) {
                    open.push((name.to_owned(), text.to_owned(), covered));
                }
            }
            is_test |= line == "#[test]";
            if let Some(function) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                for (name, text, covered) in open.drain(..) {
                    assert!(is_test, "{file}: {}: a claim above what is no test", function.0);
                    let test = format!("{file}::{}", function.0);
                    found.entry(name).or_default().push(Claim { test, text, covered });
                }
                is_test = false;
            }
        }
        assert!(open.is_empty(), "{file}: a claim without a test");
    }
    found
}

/// One table; every name must have a claim and every claim a name.
fn table(title: &str, names: &[(u32, &str)], mut claims: BTreeMap<String, Vec<Claim>>) -> String {
    let covered = names
        .iter()
        .filter(|(_, name)| claims.get(*name).is_some_and(|claims| claims.iter().any(|claim| claim.covered)));
    let mut text = format!("\n## {title}: {} of {} covered\n\n", covered.count(), names.len());
    text.push_str("| number | name | effect that is checked, or reason | test |\n|---|---|---|---|\n");
    for (number, name) in names {
        let claims = claims.remove(*name).unwrap_or_default();
        assert!(!claims.is_empty(), "no test claims {name}");
        for claim in claims {
            let mark = if claim.covered { "" } else { "**not covered:** " };
            let _ = writeln!(text, "| {number} | {name} | {mark}{} | `{}` |", claim.text, claim.test);
        }
    }
    assert!(claims.is_empty(), "unknown: {:?}", claims.keys());
    text
}

#[test]
fn the_table_is_what_the_tests_say() {
    let opcodes: Vec<_> =
        Opcode::ALL.iter().map(|opcode| (u32::from(*opcode as u8), opcode.name())).collect();
    let operations: Vec<_> =
        RegisterOpcode::ALL.iter().map(|operation| (*operation as u32, operation.name())).collect();
    let text = format!(
        "# What of io_uring is tested\n\n\
         Every opcode and every register operation of the kernel's header (as of liburing 2.15), with the test of\n\
         `ouzel-uring` that looks at its effect. Where a kernel or a machine lacks something, the test says SKIPPED and\n\
         why; the reasons below are for Linux 6.18.\n\n\
         This file is made of the comments above the tests. Write it anew with\n\
         `OUZEL_WRITE_COVERAGE=1 cargo test -p ouzel-uring --test coverage`; without that the test fails if it differs.\n\
         {}{}",
        table("Opcodes", &opcodes, claims("tests/opcodes")),
        table("Register operations", &operations, claims("tests/registers")),
    );
    let path = folder("../../docs/coverage.md");
    if std::env::var_os("OUZEL_WRITE_COVERAGE").is_some() {
        std::fs::write(&path, &text).expect("the table");
    }
    let Ok(written) = std::fs::read_to_string(&path) else {
        return eprintln!("SKIPPED: docs/coverage.md is not part of this package");
    };
    assert!(
        written == text,
        "docs/coverage.md is out of date: OUZEL_WRITE_COVERAGE=1 cargo test -p ouzel-uring --test coverage"
    );
}

#[test]
fn every_builder_says_its_manual_its_kernel_and_its_failures() {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder("src/sqe")).expect("the sources") {
        let source = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        // One line per comment, so that a note may wrap anywhere.
        for line in source.lines() {
            match line.trim().strip_prefix("///") {
                Some(comment) => text.push_str(comment),
                None => text.push('\n'),
            }
        }
    }
    for opcode in Opcode::ALL {
        let start = format!("*Manual:* io_uring_enter(2), {opcode}. *Since:* ");
        let note = text.lines().find(|line| line.contains(&start));
        let note = note.unwrap_or_else(|| panic!("no builder documents {opcode}"));
        assert!(note.contains(" *Fails:* "), "{opcode}: {note}");
    }
}
