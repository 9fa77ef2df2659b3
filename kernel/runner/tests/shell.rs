//! The shell: what is typed on the serial line, and what comes back.
#![allow(clippy::unwrap_used)]

mod common;

use common::{lines, run};

/// Types these lines, and returns what came back; the shell ends with status 0.
fn typed(input: &str) -> Option<String> {
    let run = run("bin/shell", &format!("{input}exit\n"))?;
    println!("{}", run.output);
    assert_eq!(run.status, Ok(0), "{}", run.output);
    Some(run.output)
}

#[test]
fn a_program_is_run_as_one_chain_and_its_results_are_printed() {
    let program =
        "f = open \"/etc/motd\" read\nn = read f 64\nm = write stdout n\nfinally close f\nprint m\n\n";
    let Some(output) = typed(program) else { return };
    let lines = lines(&output);
    let begin = lines.iter().position(|line| *line == ".").unwrap();
    // The chain's own WRITE comes before what the shell says of it.
    assert_eq!(lines[begin + 1], "The ring is the system call.");
    for (line, verb) in lines[begin + 2..].iter().zip(["OPEN", "READ", "WRITE", "CLOSE"]) {
        assert!(line.contains(verb) && line.contains("-> "), "{line}");
    }
    assert_eq!(lines[begin + 6], "m = 29");
}

#[test]
fn files_are_made_and_copied_and_removed() {
    let input = "mkdir \"/new\"\na = open \"/new/one\" read write create\nm = write a \"first\\nsecond\\n\" at 0\n\
        n = read a 7 at 6\ns = stat a\nfinally close a\nprint n\nprint s\n\nls /new\ncat /new/one\nremove \"/new/one\"\n\
        remove \"/new\" directory\n\nls /new\n";
    let Some(output) = typed(input) else { return };
    let lines = lines(&output);
    assert!(lines.iter().any(|line| line.starts_with("s = a file, 13 bytes, number ")), "{output}");
    let after = |line: &str| lines.iter().position(|other| *other == line).unwrap() + 1;
    assert_eq!(lines[after("> ls /new")], "one");
    assert_eq!(lines[after("> cat /new/one")..][..2], ["first", "second"]);
    assert!(output.contains("ls: step 0 (OPEN \"/new\"): no such file or directory (ENOENT 2)"), "{output}");
}

#[test]
fn what_fails_is_told_with_its_operation_and_what_that_was_done_to() {
    let program = "f = open \"/etc/none\" read\nn = read f 10\nfinally close f\nprint n\n\n";
    let Some(output) = typed(program) else { return };
    for expected in [
        "OPEN     -> ENOENT",
        "READ     -> ECANCELED",
        "step 0 (OPEN \"/etc/none\"): no such file or directory (ENOENT 2)",
        "n: step 1 (READ): operation canceled (ECANCELED 125)",
    ] {
        assert!(output.contains(expected), "{expected} is missing in {output}");
    }
}

#[test]
fn what_is_wrong_with_a_line_is_told_at_once_and_the_line_is_not_taken() {
    let input = "frob\nread x 1\nn = read stdin 65537\nf = open \"/etc/motd\nf = open \"/etc/motd\" sideways\nr = pipe\n\
        n = set 5\nn = set 6\nopen \"/etc/motd\" read\nk = add n 1K\nprint k\n\ncat\n";
    let Some(output) = typed(input) else { return };
    for expected in [
        "line 1: `frob` is no statement of the shell: see `help`",
        "line 1: `x` is not defined",
        "line 1: 65537 bytes cannot be read at a time: 1 to 65536 can",
        "line 1: the string has no end: close it with `\"`",
        "line 1: say what the file is opened for: `read`, `write` or both",
        "line 1: a pipe has two ends: `r, w = pipe`",
        "line 2: `n` is defined already: take another name",
        "line 2: what `open` opens needs a name: `f = open …`",
        "k = 1029",
        "cat: step 0 (OPEN \"\"): no such file or directory (ENOENT 2)",
    ] {
        assert!(output.contains(expected), "{expected} is missing in {output}");
    }
}

#[test]
fn backspace_takes_back_and_a_line_takes_255_bytes() {
    let full = format!("#{}", "x".repeat(254));
    let input = format!("cat /etc/mox\u{8}td\u{7f}\u{7f}td\n{full}\n\n{full}y\n\n");
    let Some(output) = typed(&input) else { return };
    assert!(output.contains("The ring is the system call."), "{output}");
    let bells = |line: &str| line.matches('\u{7}').count();
    let comments: Vec<_> = output.lines().filter(|line| line.contains("#xxx")).map(bells).collect();
    assert_eq!(comments, [0, 1], "one byte more is refused");
}

#[test]
fn programs_are_started_and_waited_for_and_a_program_too_long_is_refused() {
    let long = |statements: usize| "nop\n".repeat(statements) + "\n";
    let input = format!(
        "spawn /bin/first\nspawn /bin/none\np = open \"spawn:/bin/shell no\" read\nm = write p \"kill\"\nx = wait p\n\
         finally close p\nprint x\n\n{}{}",
        long(256),
        long(257)
    );
    let Some(output) = typed(&input) else { return };
    let ended = lines(&output)
        .windows(2)
        .any(|two| two[0].starts_with("read 29 bytes: ") && two[1] == "exit status 0");
    assert!(ended, "{output}");
    assert!(
        output.contains("spawn: step 0 (OPEN \"spawn:/bin/none\"): no such file or directory"),
        "{output}"
    );
    assert!(output.contains("x = ended by signal 9"), "{output}");
    assert!(output.contains("step 255 NOP"), "{output}");
    assert!(
        output.contains("the chain has 257 steps, but this ring takes chains of at most 256"),
        "{output}"
    );
    assert!(!output.contains("step 256 NOP"), "{output}");
}

#[test]
fn the_status_of_the_machine_is_the_shell_s() {
    let Some(run) = run("bin/shell", "exit 3\n") else { return };
    assert_eq!(run.status, Ok(3), "{}", run.output);
}
