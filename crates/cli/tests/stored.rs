//! Stored programs as text: what is understood, what is refused and where, and that calls do the same on every backend.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use ouzel_cli::inspect::inspect;
use ouzel_cli::program::{Kind, ParameterKind, Slot, parse};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{backends, ouzel, problems};

/// Runs a program on every backend with a fresh name in `$file`: the exit status, standard output and standard error.
fn on_each(text: &str, mut look: impl FnMut(&str, i32, &str, &str)) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("test.ring");
    fs::write(&path, text).unwrap();
    for backend in backends() {
        // The simulator has a tree of its own, and in it no directory that is not made.
        let made = directory.path().join(backend);
        let made = if backend == "sim" { "file" } else { made.to_str().unwrap() };
        let file = format!("file={made}");
        let mut arguments = vec!["run", path.to_str().unwrap(), "--backend", backend];
        if text.lines().any(|line| !line.starts_with("program") && line.contains("$file")) {
            arguments.extend(["--set", &file]);
        }
        let output = ouzel(&arguments);
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        look(backend, output.status.code().unwrap(), &out, &errors);
    }
}

#[track_caller]
fn prints(text: &str, expected: &str) {
    on_each(text, |backend, status, out, errors| {
        assert_eq!((status, out), (0, expected), "{backend}: {errors}");
    });
}

const MAKE: &str = "program make path $name, number $at, data $text
  f = open $name write create mode 0600
  n = write f $text at $at
  finally close f
  give n
end
";

const WHOLE: &str = "program whole path $name
  f = open $name read
  n = read f 100 at 0
  finally close f
  give n
end
";

#[test]
fn declarations_are_understood() {
    let text = format!(
        "{MAKE}program nothing file f\n  close f\nend\nn = call make \"x\", 5, $text timeout 1s hard\nnop\nprint n\n"
    );
    let program = parse(text.as_bytes(), "test.ring").unwrap();
    assert_eq!(program.stored.len(), 2);
    let make = &program.stored[0];
    assert_eq!((make.name.as_str(), make.line), ("make", 1));
    let kinds: Vec<_> = make.parameters.iter().map(|passed| (passed.kind, passed.name.as_str())).collect();
    assert_eq!(
        kinds,
        [(ParameterKind::Path, "name"), (ParameterKind::Number, "at"), (ParameterKind::Data, "text")]
    );
    assert_eq!(make.body.steps.len(), 3);
    assert!(make.body.parameters.is_empty() && make.body.warnings.is_empty() && program.warnings.is_empty());
    assert_eq!(make.gives, Some(Slot(4)), "behind three parameters and a file");
    assert_eq!(program.stored[1].gives, None);
    // What the program is passed is no parameter of the command.
    let parameters: Vec<_> = program.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(parameters, ["text"]);
    assert_eq!(program.results[0].kind, Kind::Count);
    assert_eq!(program.steps[0].line, 10);
}

#[test]
fn calls_pass_paths_data_and_numbers_and_print_what_was_read() {
    prints(
        &format!(
            "{MAKE}{WHOLE}a = call make $file, 0, \"hello\"\nb = call make $file, a, \" you\"\n\
             c = call whole $file\nprint a\nprint b\nprint c\n"
        ),
        "a = 5\nb = 4\nhello you",
    );
}

#[test]
fn programs_decide_and_loop_in_memory_of_the_call() {
    prints(
        &format!(
            "program fill path $name, number $turns
  room = buffer 8
  total = set 0
  f = open $name write create
  repeat 100
    if not total less $turns break
    m = write f room first 3 at total
    total = add total m
  end
  sync f
  finally close f
  give total
end
program size path $name, number $make
  if $make positive
    made = open $name write create
    close made
  end
  f = open $name read
  p = seek f end
  finally close f
  give p
end
{WHOLE}a = call fill $file, 10\nb = call size $file, 0\nrepeat 3\n  c = call size $file, 1\nend\nd = call whole $file\n\
             if d equals 12 stop\nprint a\nprint b\nprint c\n"
        ),
        "a = 12\nb = 12\nc = 12\n",
    );
}

#[test]
fn what_is_open_is_passed_and_given() {
    prints(
        "program begin path $name
  f = open $name read write create
  give f
end
program put file f, data $text
  write f $text
end
program rest file f
  seek f to 0
  n = read f 64
  give n
end
f = call begin $file
call put f, \"one \"
call put f, \"two\"
n = call rest f
print n
finally close f
",
        "one two",
    );
}

#[test]
fn many_chains_call_at_once() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("test.ring");
    let text = "program sum path $name
  a = open $name read
  b = open $name read
  c = open $name read
  r, w = pipe
  n = read c 64
  finally close a
  finally close b
  finally close c
  finally close r
  finally close w
  give n
end
n = call sum $path
print n
";
    fs::write(&path, text).unwrap();
    let inputs = directory.path().join("inputs");
    fs::create_dir(&inputs).unwrap();
    for number in 0..100 {
        fs::write(inputs.join(format!("{number:02}")), "x").unwrap();
    }
    for backend in backends().into_iter().filter(|backend| *backend != "sim") {
        let arguments =
            ["run", path.to_str().unwrap(), "--backend", backend, "--each", inputs.to_str().unwrap()];
        let output = ouzel(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 100), "{backend}: {errors}");
    }
}

#[test]
fn a_failure_is_that_of_the_statement_in_the_program() {
    on_each(&format!("{WHOLE}n = call whole \"no/such/file\"\nprint n\n"), |backend, status, out, errors| {
        assert_eq!((status, out), (1, ""), "{backend}");
        let expected = "line 2: open: no such file or directory (ENOENT 2)\n";
        assert!(errors.starts_with(expected), "{backend}: {errors}");
    });
    on_each(
        &format!("{WHOLE}try call whole \"no/such/file\"\nn = set 3\nprint n\n"),
        |backend, status, out, _| {
            assert_eq!((status, out), (0, "n = 3\n"), "{backend}");
        },
    );
}

#[test]
fn structure_is_checked() {
    for (text, expected) in [
        ("program p\n  nop\n", "1:1 the `program` has no `end`"),
        ("nop\nprogram p\n  nop\nend\n", "2:1 `p` is declared behind other statements"),
        ("program p\nend\nnop\n", "1:1 the stored program `p` has no operation"),
        ("program p\n  b = buffer 9\nend\nnop\n", "1:1 the stored program `p` has no operation"),
        ("b = buffer 9\n", "1:1 the program has no operation"),
        ("program p\n  nop\nend\nprogram p\n  nop\nend\nnop\n", "4:9 there are two programs `p`"),
        (
            "program p\n  program q\n    nop\n  end\n  nop\nend\nnop\n",
            "2:3 a stored program stands in another one",
        ),
        ("program p\n  nop\nend\n", "1:1 the program has no operation"),
        (
            "program p\n  nop\nfinally end\nnop\n",
            "3:1 `end` takes no `finally`, `try` or other modifier, and has no result to name",
        ),
        (
            "program p\n  f = open \"x\" read\n  give f\n  close f\nend\nnop\n",
            "4:9 `f` is given, but closed before the program ends",
        ),
        ("give n\nnop\n", "1:1 `give` stands in no stored program"),
        ("program p\n  a = set 1\n  give a\n  give a\nend\nnop\n", "4:3 a program gives one result"),
        (
            "program p\n  a = stat \"x\"\n  give a\nend\nnop\n",
            "3:8 `a` is a file's description, but a number or something open is needed here",
        ),
        ("program p\n  a = set 1\n  print a\nend\nnop\n", "3:9 a stored program prints nothing"),
        ("program p\n  nop\nend\nprogram q\n  call p\nend\nnop\n", "5:8 a stored program calls no other"),
        (
            "program p\n  nop silent\nend\nnop\n",
            "2:3 the steps of a stored program post no completions: `silent` means nothing here",
        ),
        ("program p\n  nop\nend\nnop\nfinally call p\n", "5:1 `call` cannot stand behind `finally`"),
        ("program p\n  write stdout \"x\"\nend\nnop\n", "2:9 a stored program does not know `stdout`"),
        (
            "x = program p\n  nop\nend\nnop\n",
            "1:1 `program` is no statement of the chain; it takes no `finally`, no `try` and gives no result a name",
        ),
        ("program p number n\n  nop\nend\nnop\n", "1:18 expected a parameter such as `$name`, found `n`"),
        (
            "program p size $n\n  nop\nend\nnop\n",
            "1:11 expected `path`, `data`, `number` or `file`, found `size`",
        ),
        ("program p number $n number $m\n  nop\nend\nnop\n", "1:21 expected `,`, found `number`"),
        ("program p number $n, path $n\n  nop\nend\nnop\n", "1:27 the parameter `n` is declared twice"),
    ] {
        assert!(problems(text).contains(&expected.to_owned()), "{text}\n{:#?}", problems(text));
    }
    // One that cannot be read is not reported twice.
    assert_eq!(problems("program p size\n  nop\n  give x\nend\ncall p\n").len(), 1);
}

#[test]
fn what_is_passed_has_to_fit() {
    let head = "program p file d, number $c, path $a, data $b\n";
    for (line, expected) in [
        ("write d $a", "2:9 `a` is a path, but data is needed here"),
        ("open $b read", "2:6 `b` is data, but a path is needed here"),
        ("n = add $a 1", "2:9 `a` is a path, but a number is needed here"),
        ("n = add $e 1", "2:9 `$e` is no parameter of `p`"),
        ("write d \"${b}x\"", "2:9 `$b` is passed to the program and cannot be a part of a string"),
        (
            "stat $a",
            "2:6 this is needed when the program is stored, and what is passed is known when it is called",
        ),
        (
            "n = read d $c",
            "2:12 this is needed when the program is stored, and what is passed is known when it is called",
        ),
        (
            "sleep $c",
            "2:7 this is needed when the program is stored, and what is passed is known when it is called",
        ),
        ("n = add a 1", "2:9 `a` is not defined"),
    ] {
        let text = format!("{head}{line}\nend\nnop\n");
        assert!(problems(&text).contains(&expected.to_owned()), "{text}\n{:#?}", problems(&text));
    }
    let head = format!("{head}  write d $b at $c\nend\nf = open \"x\" write create\nn = set 1\n");
    for (line, expected) in [
        ("call q", "6:6 there is no program `q`"),
        ("call p", "6:6 `p` is passed 0 of its 4 arguments"),
        ("call p f, n, \"a\", \"b\", 4", "6:6 `p` is passed 5 of its 4 arguments"),
        ("call p f, n, \"\", \"b\"", "6:14 the path is empty"),
        ("call p f, n, 1, \"b\"", "6:14 `p` takes a path for `a`"),
        ("call p f, n, \"a\", f", "6:19 `p` takes data for `b`"),
        ("call p f, \"3\", \"a\", \"b\"", "6:11 `p` takes a number for `c`"),
        ("call p f, f, \"a\", \"b\"", "6:11 `f` is a file, but a number is needed here"),
        ("call p n, n, \"a\", \"b\"", "6:8 `n` is a number, but something open is needed here"),
        ("call p 4, n, \"a\", \"b\"", "6:8 `p` takes a file for `d`"),
        ("x = call p f, n, \"a\", \"b\"", "6:5 `call` has no result to name"),
        ("call p f n", "6:10 expected `,`, found `n`"),
        ("call late 1, 2, n", "6:6 there is no program `late`"),
    ] {
        let text = format!("{head}{line}\nfinally close f\n");
        assert!(problems(&text).contains(&expected.to_owned()), "{text}\n{:#?}", problems(&text));
    }
}

#[test]
fn results_are_passed_among_the_first_two() {
    let text = "program p number $a, number $b, number $c\n  n = add $a $b\n  give n\nend\nn = set 1\nm = call p n, n, n\n";
    assert_eq!(problems(text), ["6:18 a result can be passed as one of the first 2 arguments only"]);
}

#[test]
fn what_a_call_filled_is_only_printed() {
    let text = format!("{WHOLE}n = call whole \"x\"\nf = open \"y\" write\nwrite f n\nfinally close f\n");
    assert_eq!(problems(&text), ["9:9 what a program filled for `n` can be printed, and nothing else"]);
}

#[test]
fn what_the_verifier_refuses_names_the_line() {
    let refused = |text: &str| {
        let program = parse(text.as_bytes(), "test.ring").unwrap();
        inspect(&program).unwrap_err().to_string()
    };
    // Memory of its own, and too many arguments.
    let message = refused("program p\n  nop\n  stat \"x\"\nend\ncall p\n");
    assert!(message.contains("the stored program `p`: line 3: "), "{message}");
    let many: String = (0..9).map(|number| format!(", number $n{number}")).collect();
    let message = refused(&format!(
        "program p file f{many}\n  close f\nend\nf = open \"x\" read\ncall p f, 0, 1, 2, 3, 4, 5, 6, 7, 8\n"
    ));
    assert!(message.contains("line 1: the stored program `p`: "), "{message}");
}

#[test]
fn check_and_explain_show_stored_programs() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("test.ring");
    fs::write(&path, format!("{WHOLE}n = call whole $path\nprint n\n")).unwrap();
    let path = path.to_str().unwrap();
    let output = ouzel(&["check", path]);
    assert!(output.status.success() && output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        format!("{path}: ok: 1 step, 0 registers, parameters $path\n  program whole: 3 steps, 2 registers\n")
    );
    let found: Value = serde_json::from_slice(&ouzel(&["check", "--json", path]).stdout).unwrap();
    assert_eq!((&found["not_storable"], &found["stored"][0]["line"]), (&Value::Null, &json!(1)));
    let text = String::from_utf8(ouzel(&["explain", "--dry", path]).stdout).unwrap();
    assert!(text.contains("  line 7   CALL"), "{text}");
    assert!(text.contains("\nprogram whole: 3 steps, 2 registers\n  line 2   OPEN"), "{text}");
    let found: Value = serde_json::from_slice(&ouzel(&["explain", "--dry", "--json", path]).stdout).unwrap();
    assert_eq!(found["stored"][0]["steps"][2]["verb"], "CLOSE");
    let output = ouzel(&["explain", path, "--set", "path=Cargo.toml", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["failed"], &found["explained_chain"]["steps"][0]["verb"]),
        (&json!(0), &json!("call"))
    );
    assert_eq!(found["outputs"][0]["value"].as_str().unwrap().len(), 100);
}

#[test]
fn the_example_writes_and_reads_back() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/stored-program.ring");
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for backend in backends() {
        let made = directory.path().join(backend);
        let made = if backend == "sim" { "note" } else { made.to_str().unwrap() };
        let path = format!("path={made}");
        let arguments = ["run", example, "--backend", backend, "--set", &path, "--set", "text=hello"];
        let output = ouzel(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello"[..]), "{errors}");
        assert!(errors.contains("1 chain, 2 operations"), "{backend}: {errors}");
    }
}

/// Lines of a stored program with a path `$p`, a number `$n`, data `$d` and a file `f`: most of what they make is nearly
/// right.
fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "m = set $n",
        "m = add m 1",
        "k = min m $n",
        "b = buffer 64",
        "g = open $p read write create",
        "g = open \"x\" read in f",
        "r = read f 16 at $n",
        "r = read g b first $n",
        "write f $d",
        "try write g b at m",
        "write g r",
        "k = load r u16 at $n",
        "if $n zero",
        "if not m less $n break",
        "if last failed stop",
        "else",
        "end",
        "end",
        "repeat 3",
        "next",
        "mkdir $p",
        "remove $p directory",
        "stat \"x\"",
        "close f",
        "close g",
        "finally close g",
        "finally close f",
        "r, w = pipe",
        "e = readdir f 64",
        "give m",
        "give r",
        "give g",
        "give f",
        "give w",
        "give e",
        "sleep 1ms",
        "deadline 1s",
    ]);
    prop::collection::vec(line, 1..20).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// What is accepted is stored and called, or refused with its line and a reason.
    #[test]
    fn what_is_accepted_is_stored_or_refused(body in lines()) {
        let begun = |line: &&str| {
            line.starts_with("repeat")
                || (line.starts_with("if") && !line.ends_with("break") && !line.ends_with("stop"))
        };
        let begun = body.lines().filter(begun).count();
        let ended = body.lines().filter(|line| *line == "end").count();
        let ends = "end\n".repeat(begun.saturating_sub(ended));
        let text = format!(
            "program p file f, number $n, path $p, data $d\n{body}\n{ends}end\nf = open \"y\" read write\n\
             try call p f, 1, \"x\", \"data\"\nfinally close f\n"
        );
        if let Ok(program) = parse(text.as_bytes(), "random")
            && let Err(error) = inspect(&program)
        {
            let message = error.to_string();
            prop_assert!(message.contains("line 1: the stored program `p`: "), "{message}\n{text}");
            let expected = ["step ", "eighth register", "registers", "result"];
            prop_assert!(expected.iter().any(|part| message.contains(part)), "{message}\n{text}");
        }
    }
}
