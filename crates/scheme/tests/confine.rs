//! The layer that confines, over a backend that does exactly what the test says: which steps it takes in place of an
//! operation, in which order, and what becomes of them when something fails, is cancelled or finds no room.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use ouzel_engine::{
    Attribute, Backend, Counters, Directory, Edge, Operation, Outcome, Path, Place, Report, Span, Started,
    Step, Times, Token, Way,
};
use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AtFlags, LinkFlags, NodeKind, OpenFlags, RemoveFlags, RenameFlags, StatFlags,
    TIME_OMIT, XattrFlags,
};
use ouzel_ring::{Errno, Verb};
use ouzel_scheme::{Confine, Rights, VerbSet};

const WAY: Way = Way { place: Place::Simulated, reason: "" };
const ROOT: u32 = 100;

/// What a call of `start` comes to.
#[derive(Clone, Copy)]
enum Answer {
    /// Over at once.
    Over(Outcome),
    /// Taken, and reported so with the next wait.
    Taken(Outcome),
    /// Taken, and never reported unless it is cancelled: then so.
    Stuck(Outcome),
    Busy,
}

#[derive(Default)]
struct Script {
    /// What was started, in words.
    log: Vec<String>,
    runs: Vec<usize>,
    tokens: Vec<Token>,
    answers: VecDeque<Answer>,
    coming: Vec<Report>,
    stuck: Vec<(Token, Outcome)>,
    ready: VecDeque<Report>,
    cancelled: Vec<Token>,
    waits: u32,
    may_block: bool,
    blocked: Vec<bool>,
}

fn text(path: Path) -> String {
    // SAFETY: the tests' paths are literals, and the layer's copies live as long as their operation.
    let bytes = unsafe { std::slice::from_raw_parts(path.pointer, path.length) };
    assert_eq!(bytes.last(), Some(&0), "a path ends in a NUL");
    String::from_utf8(bytes[..bytes.len() - 1].to_vec()).unwrap()
}

fn place(directory: Directory, path: Option<Path>) -> String {
    let directory = directory.map_or("cwd".into(), |index| index.to_string());
    match path {
        None => directory,
        Some(path) => format!("{directory}:\"{}\"", text(path)),
    }
}

fn flags(flags: impl std::fmt::Debug) -> String {
    let names = format!("{flags:?}").split(['(', ')']).nth(1).unwrap_or_default().replace(" | ", "|");
    if names == "0x0" { String::new() } else { names }
}

fn attribute(directory: Directory, attribute: Attribute) -> String {
    format!("{} {}", place(directory, attribute.path()), text(attribute.name()))
}

fn words(operation: &Operation) -> String {
    match *operation {
        Operation::Open { directory, path, flags: how, into, .. } => {
            format!("OPEN {} {} at {into}", place(directory, Some(path)), flags(how))
        }
        Operation::Close { file } => format!("CLOSE {file}"),
        Operation::Read { file, .. } => format!("READ {file}"),
        Operation::Stat { directory, path, flags: how, .. } => {
            format!("STAT {} {}", place(directory, path), flags(how)).trim_end().to_owned()
        }
        Operation::Mkdir { directory, path, .. } => format!("MKDIR {}", place(directory, Some(path))),
        Operation::Remove { directory, path, .. } => format!("REMOVE {}", place(directory, Some(path))),
        Operation::Mknod { directory, path, .. } => format!("MKNOD {}", place(directory, Some(path))),
        Operation::Symlink { target, directory, path } => {
            format!("SYMLINK {} {}", text(target), place(directory, Some(path)))
        }
        Operation::Rename { from, old, to, new, .. } => {
            format!("RENAME {} {}", place(from, Some(old)), place(to, Some(new)))
        }
        Operation::Link { from, old, to, new, .. } => {
            format!("LINK {} {}", place(from, Some(old)), place(to, Some(new)))
        }
        Operation::Readlink { directory, path, .. } => format!("READLINK {}", place(directory, path)),
        Operation::Chmod { directory, path, .. } => format!("CHMOD {}", place(directory, path)),
        Operation::Chown { directory, path, .. } => format!("CHOWN {}", place(directory, path)),
        Operation::Utimes { directory, path, .. } => format!("UTIMES {}", place(directory, path)),
        Operation::Statfs { directory, path, .. } => format!("STATFS {}", place(directory, path)),
        Operation::Access { directory, path, .. } => format!("ACCESS {}", place(directory, path)),
        Operation::ListXattr { directory, path, .. } => format!("LISTXATTR {}", place(directory, path)),
        Operation::GetXattr { directory, attribute: what, .. } => {
            format!("GETXATTR {}", attribute(directory, what))
        }
        Operation::SetXattr { directory, attribute: what, .. } => {
            format!("SETXATTR {}", attribute(directory, what))
        }
        Operation::RemoveXattr { directory, attribute: what, .. } => {
            format!("REMOVEXATTR {}", attribute(directory, what))
        }
        ref other => format!("{other:?}"),
    }
}

impl Backend for Script {
    fn now(&self) -> u64 {
        1
    }

    fn longest_run(&self) -> usize {
        8
    }

    fn follows(&self, _: &Operation, _: Edge, _: &Operation) -> bool {
        true
    }

    fn may_block(&mut self, may: bool) {
        self.may_block = may;
    }

    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        self.log.push(format!("at once: {}", words(operation)));
        Some(Outcome::success(7))
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let answer = self.answers.pop_front().unwrap_or(Answer::Taken(Outcome::success(0)));
        if let Answer::Busy = answer {
            return Started::Busy;
        }
        self.runs.push(steps.len());
        self.blocked.push(self.may_block);
        for step in steps {
            self.log.push(words(&step.operation));
            self.tokens.push(step.token);
        }
        match answer {
            Answer::Over(outcome) => Started::Finished { outcome, way: WAY },
            Answer::Taken(outcome) => {
                let reports = steps.iter().map(|step| Report { token: step.token, outcome, more: false });
                self.coming.extend(reports);
                Started::Taken { count: steps.len(), way: WAY }
            }
            Answer::Stuck(outcome) => {
                self.stuck.push((steps[0].token, outcome));
                Started::Taken { count: 1, way: WAY }
            }
            Answer::Busy => Started::Busy,
        }
    }

    fn cancel(&mut self, token: Token) {
        self.cancelled.push(token);
        if let Some(place) = self.stuck.iter().position(|(stuck, _)| *stuck == token) {
            let (token, outcome) = self.stuck.remove(place);
            self.coming.push(Report { token, outcome, more: false });
        }
    }

    fn wait(&mut self, _: u32, _: Option<u64>) -> Result<(), Errno> {
        self.waits += 1;
        self.ready.extend(self.coming.drain(..));
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn confined(indices: u32) -> Confine<Script> {
    Confine::new(Script::default(), Some(ROOT), 200..200 + indices, Rights::all())
}

fn path(text: &'static str) -> Path {
    assert!(text.ends_with('\0'));
    Path { pointer: text.as_ptr(), length: text.len() }
}

const TOKEN: Token = Token { slot: 0, generation: 5 };

fn step(token: Token, operation: Operation) -> Step {
    Step { token, operation, edge: Edge::Success, may_wait: true }
}

/// Waits until the layer has a report.
fn report(confine: &mut Confine<Script>) -> Report {
    for _ in 0..200 {
        if let Some(report) = confine.next() {
            return report;
        }
        confine.wait(1, Some(2)).unwrap();
    }
    panic!("no report: {:?}", confine.inner().log);
}

/// What is done in place of an operation, if all of it succeeds.
#[track_caller]
fn steps(operation: Operation, expected: &[&str]) {
    let mut confine = confined(4);
    match confine.start(&[step(TOKEN, operation)]) {
        Started::Taken { count: 1, .. } => {
            let told = report(&mut confine);
            assert_eq!(told, Report { token: TOKEN, outcome: Outcome::success(0), more: false });
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(confine.inner().log, expected);
    assert_eq!(confine.resolving(), 0);
    assert_eq!(confine.next(), None);
    // It is the same if each step is over at once.
    let mut confine = confined(4);
    confine.inner_mut().answers.extend([Answer::Over(Outcome::success(0)); 5]);
    let started = confine.start(&[step(TOKEN, operation)]);
    assert_eq!(started, Started::Finished { outcome: Outcome::success(0), way: WAY });
    assert_eq!(confine.inner().log, expected);
    assert_eq!(confine.resolving(), 0);
}

fn open(name: &'static str, flags: OpenFlags) -> Operation {
    Operation::Open { directory: None, path: path(name), flags, mode: 0, into: 3 }
}

fn mkdir(directory: Directory, name: &'static str) -> Operation {
    Operation::Mkdir { directory, path: path(name), mode: 0 }
}

fn stat(directory: Directory, name: Option<&'static str>, flags: StatFlags) -> Operation {
    Operation::Stat { directory, path: name.map(path), record: Span::EMPTY, flags }
}

#[test]
fn opens_stay_beneath() {
    steps(open("a/b\0", OpenFlags::READ), &["OPEN 100:\"a/b\" READ|BENEATH at 3"]);
    steps(open("///a//b/\0", OpenFlags::WRITE), &["OPEN 100:\"a//b/\" WRITE|BENEATH at 3"]);
    steps(open("/\0", OpenFlags::READ), &["OPEN 100:\".\" READ|BENEATH at 3"]);
    let directory = Some(9);
    let flags = OpenFlags::PATH | OpenFlags::WRITE | OpenFlags::TRUNCATE | OpenFlags::NOFOLLOW;
    let named = Operation::Open { directory, path: path("a\0"), flags, mode: 0, into: 3 };
    steps(named, &["OPEN 9:\"a\" NOFOLLOW|PATH|BENEATH at 3"]);
    let absolute =
        Operation::Open { directory, path: path("/a\0"), flags: OpenFlags::READ, mode: 0, into: 3 };
    steps(absolute, &["OPEN 100:\"a\" READ|BENEATH at 3"]);
    let mut confine = confined(1);
    let started = confine.start(&[step(TOKEN, open("/a\0", OpenFlags::READ | OpenFlags::BENEATH))]);
    assert!(
        matches!(started, Started::Finished { outcome, .. } if outcome == Outcome::failure(Errno::EXDEV))
    );
    assert!(confine.inner().log.is_empty());
}

#[test]
fn names_are_made_in_a_parent_that_is_open() {
    steps(mkdir(None, "a\0"), &["MKDIR 100:\"a\""]);
    steps(mkdir(Some(9), "a///\0"), &["MKDIR 9:\"a///\""]);
    steps(mkdir(Some(9), "/\0"), &["MKDIR 100:\".\""]);
    steps(mkdir(None, "..\0"), &["MKDIR 100:\"..\""]);
    let parent = "OPEN 100:\"a/b\" DIRECTORY|PATH|BENEATH at 203";
    steps(mkdir(None, "a/b/c\0"), &[parent, "MKDIR 203:\"c\"", "CLOSE 203"]);
    steps(mkdir(Some(9), "/a/b/c/\0"), &[parent, "MKDIR 203:\"c/\"", "CLOSE 203"]);
    let outside = "OPEN 9:\"..\" DIRECTORY|PATH|BENEATH at 203";
    steps(mkdir(Some(9), "../c\0"), &[outside, "MKDIR 203:\"c\"", "CLOSE 203"]);
    let remove = Operation::Remove { directory: None, path: path("x/..\0"), flags: RemoveFlags::empty() };
    let parent = "OPEN 100:\"x\" DIRECTORY|PATH|BENEATH at 203";
    steps(remove, &[parent, "REMOVE 203:\"..\"", "CLOSE 203"]);
    let kind = NodeKind::Fifo;
    let node = Operation::Mknod { directory: None, path: path("x/f\0"), kind, mode: 0, device: 0 };
    steps(node, &[parent, "MKNOD 203:\"f\"", "CLOSE 203"]);
    let link = Operation::Symlink { target: path("/etc/../x\0"), directory: None, path: path("x/l\0") };
    steps(link, &[parent, "SYMLINK /etc/../x 203:\"l\"", "CLOSE 203"]);
}

#[test]
fn two_names_have_two_parents() {
    let rename = |old, new| Operation::Rename {
        from: None,
        old: path(old),
        to: Some(9),
        new: path(new),
        flags: RenameFlags::empty(),
    };
    steps(rename("a\0", "b\0"), &["RENAME 100:\"a\" 9:\"b\""]);
    let first = "OPEN 100:\"x\" DIRECTORY|PATH|BENEATH at 203";
    let second = "OPEN 9:\"y\" DIRECTORY|PATH|BENEATH at 202";
    steps(rename("x/a\0", "y/b\0"), &[first, second, "RENAME 203:\"a\" 202:\"b\"", "CLOSE 203", "CLOSE 202"]);
    steps(rename("x/a\0", "b\0"), &[first, "RENAME 203:\"a\" 9:\"b\"", "CLOSE 203"]);
    let second = "OPEN 9:\"y\" DIRECTORY|PATH|BENEATH at 203";
    steps(rename("a\0", "y/b\0"), &[second, "RENAME 100:\"a\" 203:\"b\"", "CLOSE 203"]);
}

#[test]
fn links_follow_only_beneath() {
    let link = |old, flags| Operation::Link { from: None, old: path(old), to: None, new: path("n\0"), flags };
    let none = LinkFlags::empty();
    steps(link("a\0", none), &["LINK 100:\"a\" 100:\"n\""]);
    let parent = "OPEN 100:\"x\" DIRECTORY|PATH|BENEATH at 203";
    steps(link("x/a\0", none), &[parent, "LINK 203:\"a\" 100:\"n\"", "CLOSE 203"]);
    let itself = ["LINK 203:\"\" 100:\"n\"", "CLOSE 203"];
    let opened = "OPEN 100:\"x/a\" PATH|BENEATH at 203";
    steps(link("x/a\0", LinkFlags::FOLLOW), &[opened, itself[0], itself[1]]);
    for (name, opened) in [
        ("a/\0", "OPEN 100:\"a/\" NOFOLLOW|PATH|BENEATH at 203"),
        ("..\0", "OPEN 100:\"..\" NOFOLLOW|PATH|BENEATH at 203"),
        ("/..\0", "OPEN 100:\"..\" NOFOLLOW|PATH|BENEATH at 203"),
        ("a/..\0", "OPEN 100:\"a/..\" NOFOLLOW|PATH|BENEATH at 203"),
    ] {
        steps(link(name, none), &[opened, itself[0], itself[1]]);
    }
    steps(link("/\0", LinkFlags::FOLLOW), &["LINK 100:\"\" 100:\"n\""]);
}

#[test]
fn files_are_opened_as_names() {
    let none = StatFlags::empty();
    let opened = "OPEN 100:\"a\" PATH|BENEATH at 203";
    steps(stat(None, Some("a\0"), none), &[opened, "STAT 203", "CLOSE 203"]);
    steps(stat(None, Some("//a\0"), none), &[opened, "STAT 203", "CLOSE 203"]);
    steps(stat(None, Some("a\0"), StatFlags::NOFOLLOW), &["STAT 100:\"a\" NOFOLLOW"]);
    let itself = "OPEN 100:\"b/a\" NOFOLLOW|PATH|BENEATH at 203";
    steps(stat(None, Some("b/a\0"), StatFlags::NOFOLLOW), &[itself, "STAT 203 NOFOLLOW", "CLOSE 203"]);
    let above = "OPEN 9:\"..\" NOFOLLOW|PATH|BENEATH at 203";
    steps(stat(Some(9), Some("..\0"), StatFlags::NOFOLLOW), &[above, "STAT 203 NOFOLLOW", "CLOSE 203"]);
    steps(stat(None, Some("//\0"), none), &["STAT 100"]);
    steps(stat(None, None, none), &["STAT 100"]);
    steps(stat(Some(9), None, none), &["STAT 9"]);
    let buffer = Span::EMPTY;
    let readlink = |directory, name| Operation::Readlink { directory, path: Some(path(name)), buffer };
    steps(readlink(None, "l\0"), &["READLINK 100:\"l\""]);
    let opened = "OPEN 100:\"l/\" NOFOLLOW|PATH|BENEATH at 203";
    steps(readlink(None, "l/\0"), &[opened, "READLINK 203", "CLOSE 203"]);
    let opened = "OPEN 100:\"a\" PATH|BENEATH at 203";
    let statfs = Operation::Statfs { directory: None, path: Some(path("a\0")), record: Span::EMPTY };
    steps(statfs, &[opened, "STATFS 203", "CLOSE 203"]);
    let access = AccessFlags::READ;
    let options = AccessOptions::empty();
    let access = Operation::Access { directory: None, path: Some(path("a\0")), access, options };
    steps(access, &[opened, "ACCESS 203", "CLOSE 203"]);
}

#[test]
fn files_are_changed_through_names() {
    let opened = "OPEN 100:\"a\" PATH|BENEATH at 203";
    let chmod = |directory, name: Option<_>| Operation::Chmod { directory, path: name.map(path), mode: 0 };
    steps(chmod(None, Some("a\0")), &[opened, "CHMOD 203:\"\"", "CLOSE 203"]);
    steps(chmod(None, None), &["CHMOD 100:\"\""]);
    steps(chmod(Some(9), None), &["CHMOD 9"]);
    steps(chmod(Some(9), Some("/\0")), &["CHMOD 100:\"\""]);
    let chown =
        |flags| Operation::Chown { directory: None, path: Some(path("a\0")), user: None, group: None, flags };
    steps(chown(AtFlags::empty()), &[opened, "CHOWN 203:\"\"", "CLOSE 203"]);
    steps(chown(AtFlags::NOFOLLOW), &["CHOWN 100:\"a\""]);
    let utimes = |nanoseconds| Operation::Utimes {
        directory: None,
        path: Some(path("a\0")),
        times: Times { seconds: [0; 2], nanoseconds },
        follow: true,
    };
    steps(utimes([0; 2]), &[opened, "UTIMES 203:\"\"", "CLOSE 203"]);
    // That looks for no file anywhere.
    steps(utimes([TIME_OMIT as u32; 2]), &["UTIMES 100"]);
    let attribute = |bytes: &'static str| {
        let split = bytes.find('\0').unwrap() as u32 + 1;
        let rest = bytes.len() as u32 - split;
        if rest == 0 {
            Attribute::new(bytes.as_ptr(), 0, split)
        } else {
            Attribute::new(bytes.as_ptr(), split, rest)
        }
    };
    let (value, none) = (Span::EMPTY, XattrFlags::empty());
    let get = |directory, bytes, flags| Operation::GetXattr {
        directory,
        attribute: attribute(bytes),
        value,
        flags,
    };
    steps(get(None, "a\0user.x\0", none), &[opened, "GETXATTR 203:\"\" user.x", "CLOSE 203"]);
    steps(get(None, "/a\0user.x\0", XattrFlags::NOFOLLOW), &["GETXATTR 100:\"a\" user.x"]);
    steps(get(None, "//\0user.x\0", none), &["GETXATTR 100:\"\" user.x"]);
    steps(get(None, "user.x\0", none), &["GETXATTR 100:\"\" user.x"]);
    steps(get(Some(9), "user.x\0", none), &["GETXATTR 9 user.x"]);
    let set =
        Operation::SetXattr { directory: None, attribute: attribute("a\0user.x\0"), value, flags: none };
    steps(set, &[opened, "SETXATTR 203:\"\" user.x", "CLOSE 203"]);
    let remove = Operation::RemoveXattr { directory: None, attribute: attribute("a\0user.x\0"), flags: none };
    steps(remove, &[opened, "REMOVEXATTR 203:\"\" user.x", "CLOSE 203"]);
    let list = Operation::ListXattr { directory: None, path: Some(path("a\0")), buffer: value, flags: none };
    steps(list, &[opened, "LISTXATTR 203:\"\"", "CLOSE 203"]);
}

#[test]
fn a_failure_closes_what_is_open() {
    let fails = Answer::Taken(Outcome::failure(Errno::ENOTDIR));
    let good = Answer::Taken(Outcome::success(0));
    let rename = Operation::Rename {
        from: None,
        old: path("a/x\0"),
        to: None,
        new: path("b/y\0"),
        flags: RenameFlags::empty(),
    };
    let first = "OPEN 100:\"a\" DIRECTORY|PATH|BENEATH at 203";
    let second = "OPEN 100:\"b\" DIRECTORY|PATH|BENEATH at 202";
    let verb = "RENAME 203:\"x\" 202:\"y\"";
    let cases: [(&[Answer], &[&str]); 3] = [
        (&[fails], &[first]),
        (&[good, fails], &[first, second, "CLOSE 203"]),
        (&[good, good, fails], &[first, second, verb, "CLOSE 203", "CLOSE 202"]),
    ];
    for (answers, expected) in cases {
        let mut confine = confined(4);
        confine.inner_mut().answers.extend(answers);
        assert!(matches!(confine.start(&[step(TOKEN, rename)]), Started::Taken { .. }));
        let told = report(&mut confine);
        assert_eq!((told.token, told.outcome), (TOKEN, Outcome::failure(Errno::ENOTDIR)));
        assert_eq!(confine.inner().log, expected);
        assert_eq!(confine.resolving(), 0);
    }
    // A close that fails has closed all the same.
    let mut confine = confined(4);
    confine.inner_mut().answers.extend([good, good, fails]);
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    assert_eq!(report(&mut confine).outcome, Outcome::success(0));
    assert_eq!(confine.inner().log.len(), 3);
}

#[test]
fn cancelled_at_every_step() {
    let good = Answer::Taken(Outcome::success(0));
    let cancelled = Outcome::failure(Errno::ECANCELED);
    let operation = mkdir(None, "a/b\0");
    let opened = "OPEN 100:\"a\" DIRECTORY|PATH|BENEATH at 203";
    // The OPEN is given up, or the cancel comes too late for it, or for the verb.
    let cases: [(&[Answer], Outcome, &[&str]); 5] = [
        (&[Answer::Stuck(cancelled)], cancelled, &[opened]),
        (&[Answer::Stuck(Outcome::failure(Errno::EAGAIN))], cancelled, &[opened]),
        (&[Answer::Stuck(Outcome::failure(Errno::ENOENT))], Outcome::failure(Errno::ENOENT), &[opened]),
        (&[Answer::Stuck(Outcome::success(0))], cancelled, &[opened, "CLOSE 203"]),
        (
            &[good, Answer::Stuck(Outcome::success(0))],
            Outcome::success(0),
            &[opened, "MKDIR 203:\"b\"", "CLOSE 203"],
        ),
    ];
    for (answers, outcome, expected) in cases {
        let mut confine = confined(4);
        confine.inner_mut().answers.extend(answers);
        assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
        for _ in 0..3 {
            confine.wait(1, Some(2)).unwrap();
            assert_eq!(confine.next(), None);
        }
        confine.cancel(TOKEN);
        assert_eq!(confine.inner().cancelled, [*confine.inner().tokens.last().unwrap()]);
        assert_eq!(report(&mut confine), Report { token: TOKEN, outcome, more: false });
        assert_eq!(confine.inner().log, expected);
        assert_eq!(confine.resolving(), 0);
    }
    // A close is not given up.
    let mut confine = confined(4);
    confine.inner_mut().answers.extend([good, good, Answer::Stuck(Outcome::success(0))]);
    assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
    for _ in 0..3 {
        confine.wait(1, Some(2)).unwrap();
    }
    confine.cancel(TOKEN);
    assert!(confine.inner().cancelled.is_empty());
    let close = *confine.inner().tokens.last().unwrap();
    confine.inner_mut().cancel(close);
    assert_eq!(report(&mut confine).outcome, Outcome::success(0));
    // Who is not ours is asked below.
    confine.cancel(Token { slot: 77, generation: 1 });
    let asked = *confine.inner().cancelled.last().unwrap();
    assert_eq!((asked.slot > 77, asked.generation), (true, 1));
}

#[test]
fn tokens_never_collide() {
    let mut confine = confined(2);
    let mut slots = Vec::new();
    for slot in [0, 1, 2] {
        let token = Token { slot, generation: 1 };
        let operation = if slot < 2 { mkdir(None, "a/b\0") } else { Operation::Close { file: 1 } };
        assert!(matches!(confine.start(&[step(token, operation)]), Started::Taken { .. }));
        slots.push(confine.inner().tokens.last().unwrap().slot);
    }
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), 3);
    let mut told: Vec<u32> = (0..3).map(|_| report(&mut confine).token.slot).collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    let tokens = &confine.inner().tokens;
    assert!(tokens.iter().enumerate().all(|(at, token)| !tokens[..at].contains(token)), "{tokens:?}");
}

#[test]
fn without_room_it_waits() {
    // No index: the engine asks again.
    let mut confine = confined(1);
    let other = Token { slot: 1, generation: 1 };
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    assert_eq!(confine.start(&[step(other, mkdir(None, "a/c\0"))]), Started::Busy);
    assert!(matches!(confine.start(&[step(other, mkdir(None, "c\0"))]), Started::Taken { .. }));
    let told = [report(&mut confine).token, report(&mut confine).token];
    assert!(told.contains(&TOKEN) && told.contains(&other));
    assert!(matches!(confine.start(&[step(other, mkdir(None, "a/c\0"))]), Started::Taken { .. }));
    report(&mut confine);
    // Never enough indices.
    let rename = Operation::Rename {
        from: None,
        old: path("a/x\0"),
        to: None,
        new: path("b/y\0"),
        flags: RenameFlags::empty(),
    };
    let refused = |started: Started| matches!(started, Started::Finished { outcome, .. } if outcome == Outcome::failure(Errno::EMFILE));
    assert!(refused(confine.start(&[step(TOKEN, rename)])));
    assert!(refused(confined(0).start(&[step(TOKEN, mkdir(None, "a/b\0"))])));
    assert_eq!(confine.resolving(), 0);
}

#[test]
fn without_room_below_it_waits_too() {
    let operation = mkdir(None, "a/b\0");
    // At the first step nothing has happened.
    let mut confine = confined(1);
    confine.inner_mut().answers.push_back(Answer::Busy);
    assert_eq!(confine.start(&[step(TOKEN, operation)]), Started::Busy);
    assert_eq!(confine.resolving(), 0);
    // Later ones are tried again.
    let good = Answer::Over(Outcome::success(0));
    for busy_at in 1..3 {
        let mut confine = confined(1);
        let answers = (0..busy_at).map(|_| good).chain([Answer::Busy, Answer::Busy, Answer::Busy]);
        confine.inner_mut().answers.extend(answers);
        assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
        assert_eq!(report(&mut confine).outcome, Outcome::success(0));
        assert_eq!(confine.inner().log.len(), 3, "{:?}", confine.inner().log);
    }
    // Cancelled meanwhile, it goes no further.
    let mut confine = confined(1);
    confine.inner_mut().answers.extend([good, Answer::Busy]);
    assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
    confine.cancel(TOKEN);
    assert_eq!(report(&mut confine).outcome, Outcome::failure(Errno::ECANCELED));
    assert_eq!(confine.inner().log.last().unwrap(), "CLOSE 200");
}

#[test]
fn names_that_change_are_asked_for_again() {
    let again = Answer::Taken(Outcome::failure(Errno::EAGAIN));
    let mut confine = confined(1);
    confine.inner_mut().answers.extend([again; 3]);
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    assert_eq!(report(&mut confine).outcome, Outcome::success(0));
    assert_eq!(confine.inner().log.len(), 3 + 3);
    // So is an OPEN with a `..` in it, which has no other step.
    let mut confine = confined(1);
    confine.inner_mut().answers.extend([again; 2]);
    let operation = open("a/../b\0", OpenFlags::READ);
    assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
    assert_eq!(report(&mut confine).outcome, Outcome::success(0));
    assert_eq!(confine.inner().log, ["OPEN 100:\"a/../b\" READ|BENEATH at 3"; 3]);
    // Not for ever.
    let mut confine = confined(1);
    confine.inner_mut().answers.extend([again; 100]);
    assert!(matches!(confine.start(&[step(TOKEN, operation)]), Started::Taken { .. }));
    assert_eq!(report(&mut confine).outcome, Outcome::failure(Errno::EAGAIN));
    assert_eq!(confine.resolving(), 0);
    // An EAGAIN of another verb is its answer.
    let mut confine = confined(1);
    confine.inner_mut().answers.extend([Answer::Taken(Outcome::success(0)), again]);
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    assert_eq!(report(&mut confine).outcome, Outcome::failure(Errno::EAGAIN));
    assert_eq!(confine.inner().log.len(), 3);
}

#[test]
fn runs_are_passed_on_as_far_as_nothing_is_resolved() {
    let token = |slot| Token { slot, generation: 1 };
    let run = [
        step(token(0), open("a/b\0", OpenFlags::READ)),
        step(token(1), Operation::Poll { file: 3, events: Default::default(), multishot: false }),
        step(token(2), Operation::Close { file: 3 }),
        step(token(3), mkdir(None, "a/b\0")),
        step(token(4), Operation::Close { file: 4 }),
    ];
    let mut confine = confined(1);
    assert_eq!(confine.longest_run(), 8);
    for (pair, expected) in run.windows(2).zip([true, true, false, false]) {
        assert_eq!(confine.follows(&pair[0].operation, Edge::Success, &pair[1].operation), expected);
    }
    assert!(matches!(confine.start(&run), Started::Taken { count: 3, .. }));
    assert_eq!(confine.inner().runs, [3]);
    assert!(confine.inner().log[0].contains("BENEATH"));
    let told: Vec<Token> = (0..3).map(|_| report(&mut confine).token).collect();
    assert_eq!(told, [token(0), token(1), token(2)]);
    assert_eq!(confine.do_at_once(&run[0].operation), Some(Outcome::success(7)));
    assert_eq!(confine.inner().log.last().unwrap(), "at once: OPEN 100:\"a/b\" READ|BENEATH at 3");
    assert_eq!(confine.do_at_once(&run[3].operation), None);
    assert_eq!(confine.do_at_once(&open("a/../b\0", OpenFlags::READ)), None);
}

#[test]
fn rights_come_first() {
    let mut verbs = VerbSet::files();
    verbs.remove(Verb::Mkdir);
    let rights = Rights { verbs, ..Rights::read_only() };
    let mut confine = Confine::new(Script::default(), Some(ROOT), 200..202, rights);
    let refused = |started: Started, error| matches!(started, Started::Finished { outcome, .. } if outcome == Outcome::failure(error));
    assert!(refused(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Errno::EPERM));
    assert_eq!(confine.do_at_once(&mkdir(None, "a\0")), Some(Outcome::failure(Errno::EPERM)));
    let remove = Operation::Remove { directory: None, path: path("a/b\0"), flags: RemoveFlags::empty() };
    assert!(refused(confine.start(&[step(TOKEN, remove)]), Errno::EROFS));
    for flags in [OpenFlags::WRITE, OpenFlags::READ | OpenFlags::CREATE, OpenFlags::TRUNCATE] {
        assert!(refused(confine.start(&[step(TOKEN, open("a\0", flags))]), Errno::EROFS));
    }
    assert!(confine.inner().log.is_empty());
    assert_eq!(confine.resolving(), 0);
    // A run ends before what is refused, and goes no further when its turn comes.
    let run = [
        step(TOKEN, open("a\0", OpenFlags::READ)),
        step(Token { slot: 1, generation: 1 }, mkdir(None, "a\0")),
        step(Token { slot: 2, generation: 1 }, Operation::Close { file: 3 }),
    ];
    assert!(!confine.follows(&run[0].operation, Edge::Success, &run[1].operation));
    assert!(matches!(confine.start(&run), Started::Taken { count: 1, .. }));
    report(&mut confine);
    assert!(refused(confine.start(&run[1..]), Errno::EPERM));
    assert!(matches!(confine.start(&run[2..]), Started::Taken { count: 1, .. }));
    // With rights alone nothing else is changed.
    let mut confine = Confine::new(Script::default(), None, 200..202, rights);
    assert!(matches!(confine.start(&[step(TOKEN, open("/a\0", OpenFlags::READ))]), Started::Taken { .. }));
    assert_eq!(confine.inner().log, ["OPEN cwd:\"/a\" READ at 3"]);
    assert_eq!(report(&mut confine).token, TOKEN);
    assert!(refused(confine.start(&[step(TOKEN, mkdir(None, "/a\0"))]), Errno::EPERM));
}

#[test]
fn nobody_is_kept_waiting_for_a_later_step() {
    let mut confine = confined(1);
    confine.may_block(true);
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    report(&mut confine);
    assert_eq!(confine.inner().blocked, [true, false, false]);
    assert!(confine.inner().may_block, "it is as was said");
}

#[test]
fn what_goes_on_is_sent_on_its_way_whoever_looks() {
    let mut confine = confined(1);
    assert!(matches!(confine.start(&[step(TOKEN, mkdir(None, "a/b\0"))]), Started::Taken { .. }));
    // Somebody else waits, and the engine only takes what there is.
    confine.inner_mut().wait(0, None).unwrap();
    let before = confine.inner().waits;
    assert_eq!(confine.next().map(|told| told.token), Some(TOKEN));
    assert!(confine.inner().waits > before);
}
