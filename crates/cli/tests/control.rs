//! Programs that compute, decide and loop: what is understood, what is refused and where, and that what is accepted
//! becomes a chain, runs, and does the same on every backend.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use ouzel_cli::inspect::inspect;
use ouzel_cli::program::parse;
use proptest::prelude::*;
use serde_json::Value;
use support::{backends, ouzel, problems};

/// Runs a program on every backend and expects it to print this.
#[track_caller]
fn prints(text: &str, expected: &str) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("test.ring");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    for backend in backends() {
        // The simulator has a tree of its own, and in it no directory that is not made.
        let made = directory.path().join(backend);
        let made = if backend == "sim" { "file" } else { made.to_str().unwrap() };
        let file = format!("file={made}");
        let mut arguments = vec!["run", path, "--backend", backend];
        if text.contains("$file") {
            arguments.extend(["--set", &file]);
        }
        let output = ouzel(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{backend}: {errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{backend}: {errors}");
    }
}

#[test]
fn numbers_are_worked_out() {
    prints(
        "a = set 12\nb = add a 30\nc = sub b 2 \nd = min c 7\ne = and b 10\nf = shift a left 4\ng = shift f right 2\n\
         h = sub 1 a saturate\ni = add 0xffffffffffffffff a wrap\n\
         print b\nprint c\nprint d\nprint e\nprint f\nprint g\nprint h\nprint i\n",
        "b = 42\nc = 40\nd = 7\ne = 10\nf = 192\ng = 48\nh = 0\ni = 11\n",
    );
}

#[test]
fn parts_run_if_their_condition_holds() {
    prints(
        "a = set 5\nif a less 10\n  low = set 1\n  if a equals 5\n    five = set 2\n  else\n    other = set 3\n  end\n\
         else\n  high = set 4\nend\nif not a zero\n  some = set 5\nend\n\
         print low\nprint five\nprint other\nprint high\nprint some\n",
        "low = 1\nfive = 2\nsome = 5\n",
    );
}

#[test]
fn loops_hand_numbers_on() {
    // The sum of the odd numbers below 10; and that a loop within a loop counts anew.
    prints(
        "n = set 0\nsum = set 0\nrepeat 100\n  n = add n 1\n  if n equals 10 break\n  odd = and n 1\n  if odd zero next\n\
         sum = add sum n\nend\nall = set 0\nrepeat 3\n  repeat 4\n    all = add all 1\n  end\nend\nprint sum\nprint all\nprint n\n",
        "sum = 25\nall = 12\nn = 10\n",
    );
}

#[test]
fn a_stop_ends_the_chain_well_and_files_are_closed() {
    prints(
        "f = open $file read write create truncate\nn = read f 10 at 0\nif n zero stop\nwrite f \"never\" at 0\n\
         print n\nfinally close f\n",
        "",
    );
}

#[test]
fn what_the_last_statement_did_is_asked() {
    prints(
        "f = open $file read write create truncate\nwrite f \"abc\" at 0\nif last full\n  full = set 1\nend\n\
         n = read f 10 at 0\nif last short\n  short = set 2\nend\ntry g = open \"no such file anywhere\" read\n\
         if last failed\n  failed = set 3\nend\nprint full\nprint short\nprint failed\nprint n\nfinally close f\nfinally try close g\n",
        "full = 1\nshort = 2\nfailed = 3\nabc",
    );
}

#[test]
fn messages_with_a_length_are_read_as_long_as_they_say() {
    prints(
        "f = open $file read write create truncate\nwrite f \"\\x05\\x00\\x00\\x00hello, and more\" at 0\nhead = read f 4 at 0\n\
         length = load head u32\nroom = buffer 64\nbody = read f room first length at 4\nfirst = load room u8 at 1\n\
         print body\nprint length\nprint first\nprint room\nfinally close f\n",
        "hellolength = 5\nfirst = 101\nhello",
    );
}

#[test]
fn a_length_beyond_its_buffer_fails_in_its_line() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("test.ring");
    let text = "f = open \"file\" read write create\nn = set 100\nroom = buffer 64\nread f room first n at 0\nfinally close f\n";
    fs::write(&path, text).unwrap();
    let output = ouzel(&["run", path.to_str().unwrap(), "--backend", "sim"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("line 4: read: ") && errors.contains("EOVERFLOW"), "{errors}");
}

#[test]
fn the_loop_that_copies_copies_files_of_any_length() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/copy-loop.ring");
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    let sets = [format!("from={}", from.display()), format!("to={}", to.display())];
    for backend in backends().into_iter().filter(|name| *name != "sim") {
        for length in [0u32, 1, 65_535, 65_536, 65_537, 1_000_000] {
            let content: Vec<u8> = (0..length).map(|at| (at ^ at >> 9) as u8).collect();
            fs::write(&from, &content).unwrap();
            let sets = ["--set", &sets[0], "--set", &sets[1]];
            let output =
                ouzel(&[&["run", example, "--backend", backend, "--explain", "--json"], &sets[..]].concat());
            let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(summary["failed"], 0, "{backend}: {summary}");
            assert_eq!(summary["outputs"][0]["value"], length, "{backend}");
            assert_eq!(fs::read(&to).unwrap(), content, "{backend}: {length} bytes");
            let steps = summary["explained_chain"]["steps"].as_array().unwrap();
            let read = steps.iter().find(|step| step["verb"] == "read").unwrap();
            assert_eq!(read["ran"], u64::from(length.div_ceil(65_536)) + 1, "{backend}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        (
            "n = set 1\nif n zero\n  m = set 2\nend\nk = add m 1",
            "5:9 `m` is defined in a part that may have been skipped",
        ),
        (
            "n = set 1\nrepeat 3\n  if n zero break\n  m = set 2\nend\nk = add m 1",
            "6:9 `m` is defined in a part",
        ),
        ("n = set 1\nif n zero break", "2:1 `break` stands in no loop"),
        ("n = set 1\nif n zero\nnop", "2:1 the `if` has no `end`"),
        ("repeat 3\nnop", "1:1 the `repeat` has no `end`"),
        ("nop\nend", "2:1 `end` belongs to no `if` and no `repeat`"),
        ("repeat 3\nnop\nelse\nend", "3:1 `else` belongs to no `if`"),
        ("n = set 1\nif n zero\nelse\nelse\nend", "4:1 `else` belongs to no `if`"),
        ("nop\nrepeat 3\nend", "3:1 the loop has nothing to repeat"),
        ("repeat 0\nnop\nend", "1:8 a loop runs 1 to 65535 times"),
        ("repeat 65536\nnop\nend", "1:8 a loop runs 1 to 65535 times"),
        ("n = set 3\nrepeat n\nnop\nend", "2:8 how often a loop runs"),
        ("if last full stop", "1:1 `last` asks about the statement before"),
        ("n = set 1\nm = shift n left 64", "2:18 a number has 64 bits"),
        ("n = set 1\nm = shift n 3", "2:13 expected `left` or `right`"),
        ("n = set 1\nif n", "2:5 expected `zero`, `positive`, `equals` or `less`"),
        ("buffer 3", "1:1 a buffer needs a name"),
        ("n = get n2\n", "1:9 `n2` is not defined"),
        ("f = open \"x\" read\nn = read f 4\nn = set 3", "3:1 `n` is defined twice"),
        (
            "f = open \"x\" read\nn = read f 4\nm = read f n",
            "3:12 the size of a buffer is a number or a parameter",
        ),
        ("f = open \"x\" read\nm = load f u8", "2:10 `f` is a file"),
        ("n = set 1\nrepeat 3\nfinally nop\nend", "3:1 a `finally` statement stands in a part or loop"),
        ("n = set 1\ntry if n zero stop", "2:1 `if` takes no `finally`, `try` or other modifier"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|found| found.starts_with(expected)), "{text}\n{expected}\n{found:?}");
    }
    let deep = format!("n = set 1\n{}nop\n{}", "if n zero\n".repeat(17), "end\n".repeat(17));
    assert!(problems(&deep)[0].contains("more than 16 deep"));
}

#[test]
fn check_tells_what_a_program_may_cost() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/copy-loop.ring");
    let output = ouzel(&["check", example]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.ends_with(": ok: 11 steps, at most 327681 run, 4 registers, parameters $from $to\n"),
        "{shown}"
    );
    let output = ouzel(&["explain", "--dry", example]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("line 10  REPEAT    goes back 4, 65535 turns in all;"), "{shown}");
}

/// Lines of programs with structure: most of what they make is nearly right.
fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "n = set 1",
        "n = add n 1",
        "m = sub n 1 saturate",
        "m = min n 7",
        "m = and n 3 hard",
        "m = shift n left 2",
        "m = load b u16",
        "m = load r u8 at 1",
        "b = buffer 64",
        "f = open \"x\" read write create",
        "r = read f 16",
        "r = read f b",
        "s = read f b first n at 0",
        "write f b first n",
        "write f r at n",
        "try write f b",
        "if n zero",
        "if not n less m",
        "if last short",
        "if last failed break",
        "if n equals 3 stop",
        "if n positive next",
        "else",
        "end",
        "end",
        "repeat 3",
        "repeat 100",
        "break",
        "next",
        "stop",
        "print n",
        "print b",
        "print r",
        "finally close f",
        "finally get n",
        "nop",
        "v = get n",
        "silent",
        "r, w = pipe",
        "close w",
    ]);
    prop::collection::vec(line, 1..25).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// What is accepted becomes a chain, unless registers run out.
    #[test]
    fn what_is_accepted_can_be_built(text in lines()) {
        // The other way to have structure: end what was begun.
        let begun = text.lines().filter(|line| {
            line.starts_with("repeat") || (line.starts_with("if") && !line.ends_with("stop")
                && !line.ends_with("next") && !line.ends_with("break"))
        });
        let ended = text.lines().filter(|line| *line == "end").count();
        let missing = begun.count().saturating_sub(ended);
        let text = format!("n = set 5\n{}\n{}", text, "end\n".repeat(missing));
        if let Ok(program) = parse(text.as_bytes(), "random")
            && let Err(error) = inspect(&program)
        {
            let message = error.to_string();
            prop_assert!(message.contains("eighth register"), "{}\n{}", message, text);
        }
    }
}
