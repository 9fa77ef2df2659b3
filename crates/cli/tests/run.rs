//! The loop of `ouzel run` over a machine of the tests' own: limits in flight, failures, counts, outputs; and the
//! command line as a process.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ouzel_cli::inputs::{self, Exclusions, Input};
use ouzel_cli::machine::{BackendDescription, Ended, Ending, Machine, MachineError, Start};
use ouzel_cli::program::{Bound, Operation, Program, Slot, Step, Values, parse};
use ouzel_cli::run::{Event, Options, execute};
use ouzel_cli::summary::Summary;
use ouzel_ring::Errno;

/// Succeeds at everything with result 10, but opens no path that contains "missing", refuses to build chains for
/// "refused", and has room for `room` chains.
struct Fake {
    room: usize,
    running: VecDeque<Ended>,
    most_running: usize,
    crossings: u64,
}

impl Fake {
    fn new(room: usize) -> Fake {
        Fake { room, running: VecDeque::new(), most_running: 0, crossings: 100 }
    }
}

impl Machine for Fake {
    fn backend(&self) -> BackendDescription {
        BackendDescription { name: "fake".into(), reason: "a test".into() }
    }

    fn start(
        &mut self,
        ticket: u64,
        program: &Program,
        steps: Vec<Step<Bound>>,
    ) -> Result<Start, MachineError> {
        if self.running.len() == self.room {
            return Ok(Start::Full(steps));
        }
        let mut ended = Ended { ticket, ..Ended::default() };
        let mut broken = false;
        for (index, step) in steps.iter().enumerate() {
            let mut error = if broken && !step.finally { Errno::ECANCELED } else { Errno::OK };
            if let Operation::Open { path, .. } = &step.operation {
                let path = String::from_utf8_lossy(path);
                if path.contains("refused") {
                    return Err(MachineError::Chain("eight registers are needed".into()));
                }
                if path.contains("missing") {
                    error = Errno::ENOENT;
                }
            }
            if let Operation::Remove { .. } = &step.operation {
                error = Errno::EACCES;
            }
            broken |= !error.is_ok() && !step.tolerated && !step.hard;
            if !(step.silent && error.is_ok()) {
                let (place, reason) = ("call", "cheaper");
                ended.endings.push(Ending {
                    step: index,
                    within: None,
                    error,
                    result: 10,
                    skipped: false,
                    place,
                    reason,
                });
            }
        }
        for slot in &program.prints {
            ended.buffers.push((*slot, b"0123456789 and more".to_vec()));
        }
        self.running.push_back(ended);
        self.most_running = self.most_running.max(self.running.len());
        Ok(Start::Taken)
    }

    fn wait(&mut self) -> Result<Vec<Ended>, MachineError> {
        self.crossings += 1;
        // The youngest first: order is not promised.
        Ok(vec![self.running.pop_back().expect("not waited for nothing")])
    }

    fn crossings(&self) -> u64 {
        self.crossings
    }
}

fn run(text: &str, inputs: Vec<Option<Input>>, machine: &mut Fake, in_flight: u32) -> (Summary, Vec<String>) {
    let program = parse(text.as_bytes(), "test.ring").unwrap();
    let options = Options { name: "test.ring".into(), in_flight, collect: true, explain: true };
    let mut events = Vec::new();
    let observe = &mut |event: Event<'_>| match event {
        Event::Failure(failure) => events.push(failure.to_string()),
        Event::Output(output) => events.push(String::from_utf8_lossy(&output.bytes).into_owned()),
        Event::Completion { .. } | Event::Timeline { .. } | Event::Done => {}
    };
    let mut inputs = inputs.into_iter();
    let summary = execute(&program, &mut inputs, Values::new(), &options, machine, observe).unwrap();
    (summary, events)
}

const READ: &str = "fd = open $path read\nn = read fd 64K at 0\nfinally close fd";

fn paths(names: &[&str]) -> Vec<Option<Input>> {
    names.iter().map(|name| Some(Ok(OsString::from(name)))).collect()
}

#[test]
fn failing_inputs_stop_no_other() {
    let mut machine = Fake::new(100);
    let mut all = paths(&["a", "missing", "b", "refused", ""]);
    all.push(Some(Err(inputs::InputError { place: "locked".into(), message: "permission denied".into() })));
    let (mut summary, mut events) = run(READ, all, &mut machine, 32);
    events.sort();
    assert_eq!(
        events,
        [
            ": line 1: open: the path is empty",
            "locked: permission denied",
            "missing: line 1: open: no such file or directory (ENOENT 2)",
            "refused: the chain cannot be built: eight registers are needed",
        ]
    );
    assert_eq!((summary.inputs, summary.failed, summary.failures.len()), (6, 4, 4));
    // Three operations of a and b; the open and the close of "missing": its read is cancelled.
    assert_eq!((summary.operations, summary.bytes_read, summary.crossings), (8, 20, 3));
    assert_eq!(
        summary.explain.iter().map(|step| (step.line, step.count)).collect::<Vec<_>>(),
        [(1, 3), (2, 2), (3, 3)]
    );
    summary.elapsed_nanoseconds = 1_500;
    assert_eq!(
        summary.text().lines().next(),
        Some("4 of 6 chains failed, 8 operations, 20 B read, 3 crossings, 1.5 µs, fake (a test)")
    );
    let failure = summary.failures.iter().find(|failure| failure.errno.is_some()).unwrap();
    assert_eq!(
        serde_json::to_value(failure).unwrap(),
        serde_json::json!({"input": "missing", "line": 1, "verb": "open", "errno": 2, "error": "ENOENT",
                           "message": "no such file or directory"})
    );
}

#[test]
fn no_more_chains_run_than_allowed_or_fit() {
    let names: Vec<String> = (0..50).map(|number| format!("f{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (room, in_flight, most) in [(100, 4, 4), (3, 32, 3), (1, 1, 1)] {
        let mut machine = Fake::new(room);
        let (summary, events) = run(READ, paths(&names), &mut machine, in_flight);
        assert_eq!((summary.inputs, summary.failed, machine.most_running), (50, 0, most));
        assert_eq!(events, Vec::<String>::new());
    }
    let program = parse(READ.as_bytes(), "x").unwrap();
    let options = Options { name: "x".into(), in_flight: 1, collect: false, explain: false };
    let mut inputs = paths(&["a"]).into_iter();
    let error = execute(&program, &mut inputs, Values::new(), &options, &mut Fake::new(0), &mut |_| {});
    assert!(matches!(error, Err(MachineError::Ring(_))), "{error:?}");
}

#[test]
fn outputs_and_tolerated_errors() {
    let text = "n = read stdin 64\ntry remove \"x\"\nm = write stdout n silent\nget n\nprint n";
    let (summary, events) = run(text, vec![None], &mut Fake::new(1), 1);
    assert_eq!(events, ["n = 10\n", "0123456789"]);
    assert_eq!((summary.failed, summary.tolerated, summary.operations), (0, 1, 4));
    assert_eq!(serde_json::to_value(&summary.outputs[1]).unwrap()["value"], "0123456789");
    // The same error without `try` is a failure, also behind `hard`.
    let (summary, events) = run("remove \"x\" hard\nnop", vec![None], &mut Fake::new(1), 1);
    assert_eq!((summary.failed, events.len()), (1, 1));
    assert_eq!(events[0], "line 1: remove: permission denied (EACCES 13)");
}

#[test]
fn slots_know_their_step() {
    let program = parse(b"r, w = pipe\nn = read r 1", "x").unwrap();
    let of = |step| program.results_of(step).map(|(slot, info)| (slot, info.second)).collect::<Vec<_>>();
    assert_eq!(of(0), [(Slot(0), false), (Slot(1), true)]);
    assert_eq!(of(1), [(Slot(2), false)]);
    assert_eq!(program.result(Slot(3)), None);
}

fn tree() -> tempfile::TempDir {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let tree = tempfile::tempdir_in(target).unwrap();
    for file in ["b.txt", "a.txt", "sub/c.txt", ".git/config", "sub/target/x", "sub/deep/d.rs"] {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    std::os::unix::fs::symlink("a.txt", tree.path().join("link")).unwrap();
    std::os::unix::fs::symlink(".", tree.path().join("loop")).unwrap();
    tree
}

#[test]
fn directories_are_walked_in_order_and_without_what_is_excluded() {
    let tree = tree();
    let walk = |exclude: &[&str]| -> Vec<String> {
        let globs: Vec<String> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        let exclusions = Exclusions::new(&globs).unwrap();
        let operands = [tree.path().as_os_str().to_owned(), OsString::from("gone"), OsString::from("-")];
        let mut names = &b"one\ntwo"[..];
        let root = tree.path().to_str().unwrap().to_owned() + "/";
        inputs::each(&operands, &exclusions, &mut names, b'\n')
            .map(|input| input.unwrap().into_string().unwrap().replace(&root, ""))
            .collect()
    };
    let all =
        [".git/config", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.rs", "sub/target/x", "gone", "one", "two"];
    assert_eq!(walk(&[]), all);
    assert_eq!(
        walk(&[".git", "target/"]),
        ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d.rs", "gone", "one", "two"]
    );
    assert_eq!(walk(&["**/sub", "*.txt", ".*"]), ["gone", "one", "two"]);
    assert!(Exclusions::new(&["[".to_owned()]).is_err());
}

fn ouzel(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ouzel"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may be gone before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_says_what_a_program_is_or_what_is_wrong() {
    let good = ouzel(&["check", "-"], READ);
    assert_eq!(text(&good.stdout), "standard input: ok: 3 steps, 1 register, parameters $path\n");
    assert!(good.status.success());

    let bad = ouzel(&["check", "-"], "fd = open $path raed\nbogus\n");
    assert_eq!(bad.status.code(), Some(2));
    let shown = text(&bad.stderr);
    for part in
        ["standard input: 2 problems", "standard input:1:17", "unknown verb `bogus`", "NAME = open PATH"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }

    let bad = ouzel(&["check", "--json", "-"], "bogus");
    let json: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&json["problems"][0]["line"], &json["problems"][0]["column"]), (&1.into(), &1.into()));
    assert_eq!(json["problems"][0]["severity"], "error");

    let gone = ouzel(&["check", "/nonexistent/program"], "");
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).starts_with("error: cannot read the program /nonexistent/program: "));
}

#[test]
fn options_must_fit_the_program() {
    let table: &[(&[&str], &str, &str)] = &[
        (&[], READ, "$path (line 1) has no value: give one with --set path=VALUE or --each FILES"),
        (&["--set", "path"], READ, "--set path: write NAME=VALUE"),
        (&["--set", "pat=x"], READ, "--set pat: the program does not use $pat; it uses $path"),
        (&["--set", "path=x", "--set", "path=y"], READ, "--set path: the parameter is set twice"),
        (&["--set", "path=x", "--each", "y"], READ, "$path is set by --each and by --set"),
        (&["--each", "y"], "nop", "--each puts names into $path, which the program does not use"),
        (&["--each", "-"], READ, "the program and the names of --each cannot both come from standard input"),
        (&["--each", "x", "--exclude", "["], READ, "--exclude: "),
    ];
    for (options, program, message) in table {
        let arguments = [&["run", "-"], *options].concat();
        let output = ouzel(&arguments, program);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains(message), "{message} is not in {shown}");
    }
    for wrong in [&["run", "-", "--in-flight", "0"][..], &["run", "-", "--backend", "magic"], &["run"], &[]] {
        assert_eq!(ouzel(wrong, READ).status.code(), Some(2), "{wrong:?}");
    }
    let version = ouzel(&["--version"], "");
    assert_eq!(text(&version.stdout), format!("ouzel {}\n", env!("CARGO_PKG_VERSION")));
}
