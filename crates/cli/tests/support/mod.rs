//! What the tests of programs as text share: the problems of a text, the command, and the backends that are there.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

use ouzel_cli::program::parse;
use serde_json::Value;

/// The problems as `line:column message`, fatal ones only.
pub fn problems(text: &str) -> Vec<String> {
    let Err(error) = parse(text.as_bytes(), "test.ring") else { panic!("accepted: {text}") };
    let fatal = error.problems().iter().filter(|problem| problem.fatal);
    fatal.map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.message)).collect()
}

pub fn ouzel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ouzel")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The backends that can be used here.
pub fn backends() -> Vec<&'static str> {
    let report: Value = serde_json::from_slice(&ouzel(&["doctor", "--json"]).stdout).unwrap();
    let usable = |name: &&str| {
        let backends = report["backends"].as_array().unwrap();
        let found = backends.iter().find(|backend| backend["name"] == *name).unwrap();
        if found["usable"] != true {
            println!("SKIPPED: the {name} backend: {}", found["reason"]);
        }
        found["usable"] == true
    };
    ["uring", "threads", "sim"].into_iter().filter(usable).collect()
}
