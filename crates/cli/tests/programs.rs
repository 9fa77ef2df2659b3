//! Programs as text: what is understood, what is refused and where, and that nothing makes the parser panic.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use ouzel_cli::program::{
    Address, Amount, Data, FileRef, Kind, Known, MAX_PROBLEMS, MAX_PROGRAM, Operation, Piece, Program, Slot,
    Stream, Template, Values, Wait, parse,
};
use ouzel_ring::modifiers::{OpenFlags, RenameFlags, SyncMode, Whence};

fn good(text: &str) -> Program {
    parse(text.as_bytes(), "test.ring").unwrap_or_else(|error| panic!("{text}: {:#?}", error.problems()))
}

/// The problems as `line:column message`, fatal ones only.
fn problems(text: &[u8]) -> Vec<String> {
    let Err(error) = parse(text, "test.ring") else { panic!("accepted: {}", String::from_utf8_lossy(text)) };
    let fatal = error.problems().iter().filter(|problem| problem.fatal);
    fatal.map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.message)).collect()
}

fn parameter(name: &str) -> Template {
    Template { pieces: vec![Piece::Parameter(name.into())] }
}

fn bytes(text: &str) -> Template {
    Template { pieces: vec![Piece::Bytes(text.into())] }
}

#[test]
fn a_program_becomes_steps_with_resolved_names() {
    let program = good(
        "# comment\r\n\nfd = open $path read\n  n = read fd 64K at 0 timeout 2s # more\n\
                        write stdout n hard\nnop silent\nprint n\nfinally try close fd",
    );
    let operations: Vec<_> = program.steps.iter().map(|step| step.operation.clone()).collect();
    let (fd, n) = (FileRef::Result(Slot(0)), Slot(1));
    assert_eq!(
        operations,
        [
            Operation::Open { path: parameter("path"), flags: OpenFlags::READ, mode: 0, directory: None },
            Operation::Read { file: fd, size: Amount::Literal(65536), offset: Some(Amount::Literal(0)) },
            Operation::Write { file: FileRef::Standard(Stream::Output), data: Data::Result(n), offset: None },
            Operation::Nop,
            Operation::Close { file: fd },
        ]
    );
    assert_eq!(program.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [3, 4, 5, 6, 8]);
    assert_eq!(program.steps[1].timeout, Some(Wait::Literal(2_000_000_000)));
    assert!(program.steps[2].hard && program.steps[3].silent);
    assert!(program.steps[4].finally && program.steps[4].tolerated);
    assert_eq!(program.prints, [n]);
    assert_eq!(program.results[1].name, "n");
    assert_eq!((program.results[1].kind, program.results[1].step), (Kind::Data, 1));
    assert!(program.uses("path") && !program.uses("n"));
    assert!(program.warnings.is_empty());
}

/// Every form of every statement, and the operation it stands for. `fd` is slot 0, `dir` 1, `s` 2, `n` 3, `p` 4.
#[test]
fn every_statement_is_understood() {
    let head = "fd = open \"f\" read write\ndir = open \"d\" read directory\ns = socket tcp\nn = read fd 1K\n\
                p = seek fd by 0\n";
    let (fd, dir, s) = (FileRef::Result(Slot(0)), FileRef::Result(Slot(1)), FileRef::Result(Slot(2)));
    let number = Amount::Literal;
    let table: Vec<(&str, String)> = vec![
        ("nop", format!("{:?}", Operation::<ouzel_cli::program::Checked>::Nop)),
        (
            "write fd \"a\\n\\x41\\u{e9}\\$\\\"\"",
            debug(Operation::Write { file: fd, data: Data::Text(bytes("a\nAé$\"")), offset: None }),
        ),
        (
            "write fd n at p",
            debug(Operation::Write {
                file: fd,
                data: Data::Result(Slot(3)),
                offset: Some(Amount::Result(Slot(4))),
            }),
        ),
        (
            "seek fd to 1G",
            debug(Operation::Seek {
                file: fd,
                whence: Whence::Start,
                backwards: false,
                offset: number(1 << 30),
            }),
        ),
        (
            "seek fd end",
            debug(Operation::Seek { file: fd, whence: Whence::End, backwards: false, offset: number(0) }),
        ),
        (
            "seek fd end -16 silent",
            debug(Operation::Seek { file: fd, whence: Whence::End, backwards: true, offset: number(16) }),
        ),
        (
            "seek fd end timeout 1s",
            debug(Operation::Seek { file: fd, whence: Whence::End, backwards: false, offset: number(0) }),
        ),
        (
            "seek fd by n",
            debug(Operation::Seek {
                file: fd,
                whence: Whence::Current,
                backwards: false,
                offset: Amount::Result(Slot(3)),
            }),
        ),
        ("sync fd", debug(Operation::Sync { file: fd, mode: SyncMode::Full, length: None, offset: None })),
        (
            "sync dir data",
            debug(Operation::Sync { file: dir, mode: SyncMode::Data, length: None, offset: None }),
        ),
        (
            "sync fd range n at 4K",
            debug(Operation::Sync {
                file: fd,
                mode: SyncMode::Range,
                length: Some(Amount::Result(Slot(3))),
                offset: Some(number(4096)),
            }),
        ),
        (
            "sync fd range at 1",
            debug(Operation::Sync { file: fd, mode: SyncMode::Range, length: None, offset: Some(number(1)) }),
        ),
        ("truncate fd to n", debug(Operation::Truncate { file: fd, length: Amount::Result(Slot(3)) })),
        (
            "rename $a in dir to \"b.${x}\" exchange",
            debug(Operation::Rename {
                from: parameter("a"),
                from_directory: Some(dir),
                to: Template { pieces: vec![Piece::Bytes(b"b.".to_vec()), Piece::Parameter("x".into())] },
                to_directory: None,
                flags: RenameFlags::EXCHANGE,
            }),
        ),
        (
            "symlink \"t\" as \"l\" in dir",
            debug(Operation::Symlink { target: bytes("t"), path: bytes("l"), directory: Some(dir) }),
        ),
        (
            "copy fd at 0 to s 4K",
            debug(Operation::Copy {
                source: fd,
                source_offset: Some(number(0)),
                target: s,
                target_offset: None,
                length: number(4096),
            }),
        ),
        ("connect s \"[::1]:80\"", debug(Operation::Connect { socket: s, address: bytes("[::1]:80") })),
        ("listen s", debug(Operation::Listen { socket: s, backlog: None })),
        ("listen s 16 timeout 1s", debug(Operation::Listen { socket: s, backlog: Some(number(16)) })),
        ("sleep 10ms", debug(Operation::Sleep { duration: Wait::Literal(10_000_000) })),
        ("get n", debug(Operation::Get { value: Slot(3) })),
        ("deadline $patience", debug(Operation::Deadline { duration: Wait::Parameter("patience".into()) })),
    ];
    for (text, expected) in table {
        let program = good(&format!("{head}{text}"));
        assert_eq!(debug(program.steps[5].operation.clone()), expected, "{text}");
    }
    let others = [
        "ready = poll s readable writable hangup timeout 0",
        "x = open $path path nofollow directory in dir",
        "x = open \"a\" write create exclusive append mode 0600 in dir",
        "x = open \"a\" read direct",
        "st = stat \"a\" nofollow in dir",
        "st = stat fd\nprint st",
        "allocate fd 1M at 0 keep punch",
        "allocate fd n",
        "mkdir \"a\" mode 0700 in dir",
        "mkdir \"a\"",
        "remove \"a\" directory in dir",
        "try remove \"a\"",
        "link \"a\" in dir as \"b\" in dir follow",
        "e = readdir dir 32K\nprint e",
        "r, w = pipe\nwrite w \"x\"",
        "u = socket unix datagram",
        "u = socket unix packet",
        "u = socket udp6",
        "bind s \"127.0.0.1:0\"",
        "bind s \"unix:@name\"",
        "c = accept s timeout 1min",
        "send s \"x\" more urgent",
        "send s n",
        "m = recv s 4K peek all",
        "shutdown s",
        "shutdown s send",
        "shutdown s receive",
        "shutdown s both",
        "lock fd shared",
        "lock fd exclusive 10 at p",
        "lock fd unlock at $where",
        "r, w = pipe\nm = splice fd at 3 to w n",
        "r, w = pipe\nsplice r to fd at $where $size",
        "a = sockname s\nprint a",
        "a = peername s\nprint a",
        "m = read stdin $size at $where",
        "v = get p\nprint v",
        "close fd",
        "write stderr \"\"",
        "l = readlink \"a\" 4K in dir\nprint l\nwrite s l",
        "readlink fd 0",
        "chmod \"a\" 0600 in dir",
        "chmod fd 04755",
        "chown $path user 0 group $g nofollow in dir",
        "chown fd group 4294967294",
        "utimes \"a\"",
        "utimes fd accessed now modified 1700000000",
        "utimes $path modified $when nofollow in dir",
        "mknod \"a\" fifo mode 0600 in dir",
        "mknod \"a\" character 1 $minor in dir mode 0666",
        "mknod \"a\" regular",
        "t = statfs dir\nprint t",
        "statfs \"a\" in dir",
        "access \"a\" read write execute effective nofollow in dir",
        "try access fd",
        "v = getxattr \"a\" \"user.x\" 64K nofollow in dir\nprint v\nw = get v",
        "getxattr fd \"user.${name}\" $size",
        "setxattr \"a\" \"user.x\" \"\" create nofollow in dir",
        "setxattr fd \"user.x\" $value replace",
        "l = listxattr \"a\" 4K in dir\nprint l",
        "removexattr \"a\" \"user.x\" in dir",
        "removexattr fd $name timeout 1s",
    ];
    for text in others {
        good(&format!("{head}{text}"));
    }
}

fn debug(operation: Operation<ouzel_cli::program::Checked>) -> String {
    format!("{operation:?}")
}

#[test]
fn bad_programs_say_where_and_why() {
    let table: &[(&str, &[&str])] = &[
        ("", &["1:1 the program has no operation"]),
        ("# only a comment\n", &["1:1 the program has no operation"]),
        ("reed fd 1", &["1:1 unknown verb `reed`"]),
        ("nop nop", &["1:5 expected the end of the statement, found `nop`"]),
        ("n = read", &["1:9 expected a file, but the line ends"]),
        ("n = read fd 64K", &["1:10 `fd` is not defined"]),
        (
            "nop\n  n = read stdin 64k",
            &[
                "2:18 unknown unit `k`: sizes take K, M, G or T (powers of 1024), durations ns, us, ms, s, min or h",
            ],
        ),
        ("n = read stdin 99999999999999999999", &["1:16 the number does not fit into 64 bits"]),
        ("n = read stdin 1G", &["1:16 the buffers of the program have more than 256 MiB together"]),
        (
            "n = read stdin 200M\nm = read stdin 100M",
            &["2:16 the buffers of the program have more than 256 MiB together"],
        ),
        ("n = read stdin 10ms", &["1:16 expected a size, found a duration"]),
        ("n = read stdin 010", &["1:16 a size is not written in octal"]),
        (
            "n = read stdin 1K at 0x8000000000000000",
            &["1:22 9223372036854775808 is beyond the end of any file (2^63 - 1)"],
        ),
        (
            "n = read stdin 1K\nm = read stdin n",
            &[
                "2:16 the size of a buffer is a number or a parameter, not the result `n`: it is needed before the chain starts",
            ],
        ),
        ("n = read stdin 1K\nn = read stdin 1K", &["2:1 `n` is defined twice"]),
        ("stdin = socket tcp", &["1:1 `stdin` is a stream of the command and cannot be defined"]),
        ("read = socket tcp", &["1:1 expected a name for the result, found `read`, a word of the language"]),
        ("open \"a\" read", &["1:1 what `open` opens needs a name, or nothing could use or close it"]),
        ("a = pipe", &["1:5 `pipe` has two results to name: READER, WRITER = pipe"]),
        ("a, b = socket tcp", &["1:8 `socket` has one result"]),
        ("a, b, c = pipe", &["1:7 expected `=` (no statement has more than two results), found `c`"]),
        ("a = nop", &["1:5 `nop` has no result to name"]),
        ("fd = open \"a\"", &["1:14 expected `read`, `write` or `path`, but the line ends"]),
        ("fd = open \"a\" create", &["1:15 a file is opened to `read`, to `write`, both, or as a `path`"]),
        ("fd = open \"a\" read truncate", &["1:15 `append` and `truncate` need `write`"]),
        ("fd = open \"a\" read read", &["1:20 `read` is given twice"]),
        ("fd = open \"a\" write mode 0644", &["1:21 `mode` needs `create`"]),
        (
            "fd = open \"a\" write create mode 644",
            &["1:33 permissions are written in octal, with a leading zero: 0644"],
        ),
        ("fd = open \"a\" write create mode 077777", &["1:33 permissions are at most 07777"]),
        ("fd = open \"\" read", &["1:11 the path is empty"]),
        ("fd = open \"a\\0b\" read", &["1:11 the path holds a NUL"]),
        ("fd = open \"a read", &["1:11 the string does not end on its line"]),
        ("fd = open \"é\\q\" read", &["1:13 unknown escape `\\q`"]),
        ("fd = open \"\\x4\" read", &["1:12 `\\x` is followed by two hexadecimal digits"]),
        ("fd = open \"${a\" read", &["1:12 the parameter in the string is not closed with `}`"]),
        ("fd = open /etc/hosts read", &["1:11 unexpected character `/`"]),
        ("fd = open $ read", &["1:11 `$` is followed by a name"]),
        (
            "fd = open \"a\" write\nn = read fd 1K",
            &["2:10 `fd` is a file, but something opened to `read` is needed here"],
        ),
        (
            "d = open \"a\" read directory\nn = read d 1K",
            &["2:10 `d` is a directory, but something opened to `read` is needed here"],
        ),
        (
            "fd = open \"a\" read\nwrite fd \"x\"",
            &["2:7 `fd` is a file, but something opened to `write` is needed here"],
        ),
        ("fd = open \"a\" read\nsend fd \"x\"", &["2:6 `fd` is a file, but a socket is needed here"]),
        ("s = socket tcp\nnop\ntruncate s to 0", &["3:10 `s` is a socket, but an open file is needed here"]),
        ("s = socket tcp\nmkdir \"a\" in s", &["2:14 `s` is a socket, but a directory is needed here"]),
        ("s = socket tcp\nget s", &["2:5 `s` is a socket, but a number is needed here"]),
        ("s = socket tcp\nprint s", &["2:7 `s` is a socket, but a number or data is needed here"]),
        (
            "n = read stdin 1\nm = write stdout n\nwrite stdout m",
            &["3:14 `m` is a count of bytes, but the result of a read or recv is needed here"],
        ),
        (
            "n = read stdin 1\nm = read n 1",
            &["2:10 `n` is a count of bytes read, but something open is needed here"],
        ),
        (
            "close stdout",
            &[
                "1:7 `stdout` is a stream of the command, but something that this program opened is needed here",
            ],
        ),
        (
            "write stdin \"x\"",
            &["1:7 `stdin` is a stream of the command, but something to write to is needed here"],
        ),
        ("s = socket tcp\nclose s\nlisten s", &["3:8 `s` is used after it was closed"]),
        ("s = socket tcp\nclose s\nfinally close s", &["3:15 `s` is used after it was closed"]),
        (
            "s = socket tcp\nfinally close s\nlisten s",
            &[
                "3:1 an ordinary statement follows a `finally` statement",
                "3:8 `s` is used after it was closed",
            ],
        ),
        ("nop hard", &["1:1 `hard` lets the next ordinary statement run whatever happens, and none follows"]),
        (
            "nop\nfinally nop hard\nfinally nop",
            &["2:1 `hard` has no meaning behind `finally`: one failing does not stop the next"],
        ),
        ("nop silent silent", &["1:12 the modifier is given twice"]),
        ("nop timeout 5", &["1:13 the duration has no unit"]),
        ("nop timeout 18446744073709551615ns", &["1:13 the duration is too long: it would mean never"]),
        ("deadline 1s timeout 1s", &["1:1 `deadline` takes no `finally`, `try` or other modifier"]),
        (
            "n = read stdin 1 silent\nprint n",
            &["2:7 `n` is printed, but its statement is `silent` and reports nothing"],
        ),
        ("chmod \"a\" 644", &["1:11 permissions are written in octal, with a leading zero: 0644"]),
        ("chown \"a\" user 4294967295", &["1:16 4294967295 is too large: the most is 4294967294"]),
        ("chown \"a\" user 1 user 2", &["1:18 `user` is given twice"]),
        (
            "n = read stdin 1\nchown \"a\" user n",
            &[
                "2:16 this is a number or a parameter, not the result `n`: it is needed before the chain starts",
            ],
        ),
        ("utimes \"a\" modified", &["1:20 expected `now` or seconds, but the line ends"]),
        (
            "mknod \"a\"",
            &["1:10 expected `fifo`, `socket`, `regular`, `character` or `block`, but the line ends"],
        ),
        ("mknod \"a\" block 1", &["1:18 expected the minor number of a device, but the line ends"]),
        (
            "readlink \"a\" 1 in stdin",
            &["1:19 `stdin` is a stream of the command, but a directory is needed here"],
        ),
        (
            "chmod stdin 0600 in stdin",
            &["1:18 expected no `in`: what is open is in no directory, found `in`"],
        ),
        ("getxattr \"a\" \"\" 1", &["1:14 the name of an attribute has 1 to 255 bytes, and no NUL"]),
        ("setxattr \"a\" \"b\" \"c\" create replace", &["1:22 `create` and `replace` exclude each other"]),
        ("access = nop", &["1:1 expected a name for the result, found `access`, a word of the language"]),
        ("allocate stdout 0", &["1:17 a length of 0 does nothing and is refused"]),
        ("seek stdin to -1", &["1:12 a position is not negative"]),
        ("s = socket ipx", &["1:12 expected `tcp`, `tcp6`, `udp`, `udp6` or `unix`, found `ipx`"]),
        (
            "s = socket tcp\nconnect s \"localhost\"",
            &[
                "2:11 `localhost` is not an address; one is written 127.0.0.1:80, [::1]:80, unix:PATH or unix:@NAME",
            ],
        ),
        // A broken statement still defines its name, and every problem of a file is reported.
        (
            "fd = open \"a\" raed\nn = read fd 1K\nbogus\nget m",
            &[
                "1:15 expected `read`, `write` or `path`, found `raed`",
                "3:1 unknown verb `bogus`",
                "4:5 `m` is not defined",
            ],
        ),
        ("nop\u{0}", &["1:4 unexpected character `\\0`"]),
        ("\u{feff}nop", &["1:1 unexpected character `\\u{feff}`"]),
    ];
    for (text, expected) in table {
        assert_eq!(&problems(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn limits_are_errors() {
    assert_eq!(problems(b"nop\nn\xff"), ["2:2 byte 0xff is not UTF-8"]);
    assert_eq!(
        problems(&vec![b'\n'; MAX_PROGRAM + 1]),
        ["1:1 the program has 65537 bytes; the most is 65536"]
    );
    assert_eq!(parse("nop\n".repeat(256).as_bytes(), "x").unwrap().steps.len(), 256);
    assert_eq!(problems("nop\n".repeat(257).as_bytes()), ["257:1 the program has more than 256 statements"]);
    let name = "n".repeat(65);
    assert_eq!(problems(format!("{name} = nop").as_bytes()), ["1:1 a name has 65 bytes; the most is 64"]);
    let path = "p".repeat(4096);
    let text = format!("mkdir \"{path}\"");
    assert_eq!(problems(text.as_bytes()), ["1:7 the path has 4096 bytes; the most is 4095"]);
    assert_eq!(problems("x\n".repeat(200).as_bytes()).len(), MAX_PROBLEMS);
    // A hostile line is described, not quoted.
    let long = "é".repeat(30_000);
    let error = parse(long.as_bytes(), "x").unwrap_err();
    assert!(format!("{:?}", miette::Report::new(error)).len() < 2000);
    // Nor is one beside the line that is wrong, and nothing that is quoted drives the terminal.
    let error = parse(format!("# {long}\nbogus").as_bytes(), "x").unwrap_err();
    assert!(format!("{:?}", miette::Report::new(error)).len() < 2000);
    let error = parse("bogus # \u{1b}[2J\u{9b}2J".as_bytes(), "x").unwrap_err();
    let debug = miette::NarratableReportHandler::new();
    let mut quoted = String::new();
    debug.render_report(&mut quoted, &error).unwrap();
    assert!(quoted.contains("bogus # ?[2J¿2J") && !quoted.contains('\u{1b}'), "{quoted}");
}

#[test]
fn leaks_are_warned_of() {
    let program = good("fd = open \"a\" read\nother = open \"b\" read\nclose other");
    let warnings: Vec<_> = program.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 1, column 1: `fd` is never closed",
            "line 2, column 1: `other` stays open when a statement before its `close` fails"
        ]
    );
}

#[test]
fn parameters_are_bound_and_checked() {
    let program = good(
        "fd = open \"${path}.new\" write create\nwrite fd $text at $offset timeout $patience\n\
                        n = read stdin $size\nfinally close fd",
    );
    let values = |pairs: &[(&str, &[u8])]| -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    };
    let all: &[(&str, &[u8])] =
        &[("path", b"\xff"), ("text", b"a\0b"), ("offset", b"4K"), ("patience", b"1s"), ("size", b"8")];
    let bound = program.bind(&values(all)).unwrap();
    let Operation::Open { path, .. } = &bound[0].operation else { panic!("not an open") };
    assert_eq!(path, b"\xff.new");
    let Operation::Write { data, offset, .. } = &bound[1].operation else { panic!("not a write") };
    assert_eq!((data, offset), (&Data::Text(b"a\0b".to_vec()), &Some(Known::Literal(4096))));
    assert_eq!(bound[1].timeout, Some(1_000_000_000));

    let with = |name: &'static str, value: &'static [u8]| {
        let mut values = values(all);
        values.insert(name.to_owned(), value.to_vec());
        program.bind(&values).unwrap_err().to_string()
    };
    assert_eq!(with("path", b"a\0"), "line 1: open $path: the path holds a NUL");
    assert_eq!(with("offset", b"x"), "line 2: write $offset: `x` is not a number");
    assert_eq!(
        with("offset", b"1s"),
        "line 2: write $offset: the value is a duration where a number is needed"
    );
    assert_eq!(with("offset", b"\xff"), "line 2: write $offset: the value is not UTF-8 and so no number");
    assert_eq!(
        with("patience", b"5"),
        "line 2: write $patience: the duration has no unit: ns, us, ms, s, min or h"
    );
    assert_eq!(
        with("size", b"1T"),
        "line 3: read $size: the buffers of the program have more than 256 MiB together"
    );
    let missing = program.bind(&Values::new()).unwrap_err().to_string();
    assert_eq!(missing, "line 1: open $path: no value: give one with --set path=VALUE");

    let address = good("s = socket tcp\nconnect s $to\nfinally close s");
    let bound = address.bind(&values(&[("to", b"unix:/x")])).unwrap();
    assert_eq!(
        bound[1].operation,
        Operation::Connect { socket: FileRef::Result(Slot(0)), address: Address::Unix(b"/x".to_vec()) }
    );
}

fn examples() -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ring"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn the_examples_are_accepted_without_warnings() {
    let examples = examples();
    assert!(examples.len() >= 6, "{}", examples.len());
    for (path, text) in examples {
        let program = good(&text);
        assert!(program.warnings.is_empty(), "{}: {:?}", path.display(), program.warnings);
    }
}

mod random {
    use proptest::prelude::*;

    use super::*;

    /// Reads, renders whatever comes out, and binds: none of it may panic.
    fn exercise(text: &[u8]) {
        match parse(text, "random") {
            Ok(program) => {
                let values: Values = program
                    .parameters
                    .iter()
                    .map(|parameter| (parameter.name.clone(), b"17".to_vec()))
                    .collect();
                let _ = program.bind(&values);
                let _ = program.bind(&Values::new());
                assert_eq!(program.example().len(), program.steps.len());
                for stored in &program.stored {
                    assert!(stored.body.bind(&Values::new()).is_ok() || !stored.parameters.is_empty());
                    assert_eq!(stored.body.example().len(), stored.body.steps.len());
                }
            }
            Err(error) => {
                assert!(error.problems().iter().any(|problem| problem.fatal));
                for problem in error.problems() {
                    assert!(problem.line >= 1 && problem.column >= 1);
                }
                let _ = format!("{:?}", miette::Report::new(error));
            }
        }
    }

    /// What programs are made of, in any order: gets deeper into the parser than random bytes.
    fn pieces() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "nop",
            "read",
            "write",
            "open",
            "close",
            "seek",
            "stat",
            "sync",
            "copy",
            "pipe",
            "socket",
            "listen",
            "deadline",
            "print",
            "get",
            "fd",
            "n",
            "stdin",
            "stdout",
            "=",
            ",",
            "-",
            "at",
            "to",
            "in",
            "end",
            "mode",
            "0644",
            "64K",
            "10ms",
            "0",
            "99999999999999999999",
            "$path",
            "\"text\"",
            "\"${x}\"",
            "\"\\xff\"",
            "\"",
            "\\",
            "hard",
            "try",
            "finally",
            "silent",
            "timeout",
            "tcp",
            "range",
            "buffer",
            "first",
            "set",
            "add",
            "shift",
            "left",
            "load",
            "u32",
            "if",
            "not",
            "last",
            "full",
            "zero",
            "less",
            "else",
            "repeat",
            "break",
            "next",
            "stop",
            "program",
            "give",
            "call",
            "path",
            "number",
            "data",
            "file",
            "\n",
            "\n",
            "\n",
            "é",
            "\u{0}",
        ]);
        prop::collection::vec(words, 0..80).prop_map(|words| words.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
            exercise(&text);
        }

        #[test]
        fn words_never_panic(text in pieces()) {
            exercise(text.as_bytes());
        }

        #[test]
        fn mutated_examples_never_panic(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..8),
        ) {
            let examples = examples();
            let mut text = which.get(&examples).1.clone().into_bytes();
            for (at, byte, how) in changes {
                let at = at.index(text.len());
                match how {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => { text.remove(at); }
                }
            }
            exercise(&text);
        }
    }
}
