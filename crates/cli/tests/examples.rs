//! The command as a process, on every backend there is: the example programs, what it reports, and its exit status.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

fn ouzel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    path.to_str().unwrap().to_owned()
}

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The backends with real files that can be used here.
fn real_backends() -> Vec<&'static str> {
    let report: Value =
        serde_json::from_slice(&ouzel(&["doctor", "--json"]).output().unwrap().stdout).unwrap();
    let usable = |name: &str| {
        let backends = report["backends"].as_array().unwrap();
        let found = backends.iter().find(|backend| backend["name"] == name).unwrap();
        if found["usable"] != true {
            println!("SKIPPED: the {name} backend: {}", found["reason"]);
        }
        found["usable"] == true
    };
    ["uring", "threads"].into_iter().filter(|name| usable(name)).collect()
}

fn run(program: &str, backend: &str, more: &[&str]) -> Output {
    ouzel(&["run", program, "--backend", backend]).args(more).output().unwrap()
}

/// The one JSON object on standard output, and the exit status.
fn run_json(program: &str, backend: &str, more: &[&str]) -> (Value, i32) {
    let output = ouzel(&["run", program, "--backend", backend, "--json"]).args(more).output().unwrap();
    let object = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    (object, output.status.code().unwrap())
}

fn program(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("test.ring");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn many_files_are_read_in_few_crossings_and_failures_are_named() {
    for backend in real_backends() {
        let directory = directory();
        let root = directory.path().join("tree");
        fs::create_dir_all(root.join("below")).unwrap();
        let mut bytes = 0;
        for number in 0..100usize {
            let content = vec![b'x'; number * 7];
            bytes += content.len();
            let folder = if number % 2 == 0 { root.clone() } else { root.join("below") };
            fs::write(folder.join(format!("{number:03}")), content).unwrap();
        }
        let (root, missing) = (root.to_str().unwrap(), directory.path().join("gone"));
        let missing = missing.to_str().unwrap();
        // A directory opens, but reads EISDIR.
        fs::write(directory.path().join("names"), format!("{}\n", directory.path().display())).unwrap();

        let (summary, status) = run_json(&example("read-files.ring"), backend, &["--each", root]);
        assert_eq!((status, &summary["failed"]), (0, &json!(0)), "{backend}");
        assert_eq!(
            (&summary["inputs"], &summary["operations"], &summary["bytes_read"], &summary["backend"]),
            (&json!(100), &json!(300), &json!(bytes), &json!(backend))
        );
        if backend == "uring" {
            let crossings = summary["crossings"].as_u64().unwrap();
            assert!(crossings <= 50, "300 operations took {crossings} crossings");
        }

        let names = fs::File::open(directory.path().join("names")).unwrap();
        let output =
            ouzel(&["run", &example("read-files.ring"), "--backend", backend, "--each", missing, root, "-"])
                .stdin(names)
                .output()
                .unwrap();
        assert_eq!(output.status.code(), Some(1), "{backend}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let (gone, folder) = (
            format!("{missing}: line 5: open: no such file or directory (ENOENT 2)\n"),
            format!("{}: line 6: read: is a directory (EISDIR 21)\n", directory.path().display()),
        );
        assert!(errors.contains(&gone) && errors.contains(&folder), "{backend}: {errors}");
        assert!(errors.contains("2 of 102 chains failed, "), "{backend}: {errors}");
        // No bar where there is no terminal.
        assert!(!errors.contains('\r') && !errors.contains('\u{1b}'), "{backend}: {errors:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn unreadable_files_fail_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let locked = directory.path().join("locked");
    fs::write(&locked, "x").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&locked).is_ok() {
        println!("SKIPPED: this user may read every file");
        return;
    }
    for backend in real_backends() {
        let each = ["--each", locked.to_str().unwrap()];
        let (summary, status) = run_json(&example("read-files.ring"), backend, &each);
        assert_eq!((status, &summary["failures"][0]["error"]), (1, &json!("EACCES")), "{backend}");
    }
}

#[test]
fn the_length_that_was_read_is_written() {
    for backend in real_backends() {
        let directory = directory();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let content: Vec<u8> = (0..70_001u32).map(|number| number as u8).collect();
        fs::write(&from, &content).unwrap();
        let sets = [format!("from={}", from.display()), format!("to={}", to.display())];
        let (summary, status) =
            run_json(&example("copy.ring"), backend, &["--set", &sets[0], "--set", &sets[1]]);
        assert_eq!(status, 0, "{backend}: {summary}");
        assert_eq!((&summary["bytes_read"], &summary["bytes_written"]), (&json!(70_001), &json!(70_001)));
        assert_eq!(fs::read(&to).unwrap(), content, "{backend}");
    }
}

#[test]
fn files_are_replaced_durably() {
    for backend in real_backends() {
        let directory = directory();
        fs::write(directory.path().join("state"), "old").unwrap();
        let set = format!("directory={}", directory.path().display());
        let more = ["--set", &set, "--set", "name=state", "--set", "text=hello"];
        let (summary, status) = run_json(&example("durable-write.ring"), backend, &more);
        assert_eq!(status, 0, "{backend}: {summary}");
        assert_eq!(fs::read(directory.path().join("state")).unwrap(), b"hello");
        assert!(!directory.path().join("state.new").exists());
    }
}

#[test]
fn bytes_go_through_a_pipe_and_on_to_standard_output() {
    for backend in real_backends() {
        let output = run(&example("pipe.ring"), backend, &[]);
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{backend}: {errors}");
        assert_eq!(text, "through a pipe\nsent = 15\n", "{backend}");
    }
}

#[test]
fn a_directory_is_listed() {
    for backend in real_backends() {
        let directory = directory();
        for name in ["one", "two", "three"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let set = format!("path={}", directory.path().display());
        let output = run(&example("list-directory.ring"), backend, &["--set", &set]);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        assert_eq!((output.status.code(), names), (Some(0), vec!["one", "three", "two"]), "{backend}");
    }
}

#[test]
fn a_peer_is_greeted() {
    for backend in real_backends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let set = format!("address={}", listener.local_addr().unwrap());
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut greeting = [0; 17];
            stream.read_exact(&mut greeting).unwrap();
            stream.write_all(b"and hello to you\n").unwrap();
            greeting
        });
        let output = run(&example("tcp-hello.ring"), backend, &["--set", &set]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{backend}: {errors}");
        assert_eq!(output.stdout, b"and hello to you\n");
        assert_eq!(&peer.join().unwrap(), b"hello from ouzel\n");
    }
}

/// Results in every place where one may stand, a silent statement, errors that are tolerated.
const EVERYTHING: &str = "
try x = open \"nothing\" read
f = open \"file\" read write create exclusive
n = write f \"hello world\" at 0
p = seek f by n
get p
m = write f \"!\" at n silent
truncate f to n
q = seek f end -5
r = read f 64
print r
s = stat f
print s
copied = copy f at 0 to f at n n
get copied
finally close f
";

#[test]
fn the_simulator_and_the_kernel_say_the_same() {
    let mut summaries = Vec::new();
    for backend in real_backends().into_iter().chain(["sim"]) {
        let directory = directory();
        let path = program(&directory, EVERYTHING);
        let output = ouzel(&["run", path.to_str().unwrap(), "--backend", backend, "--json"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let mut summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{backend}: {summary}");
        let outputs = summary["outputs"].as_array().unwrap();
        let value = |name: &str| {
            outputs
                .iter()
                .find(|output| output["name"] == name)
                .map(|output| output["value"].clone())
                .unwrap()
        };
        assert_eq!(
            (value("p"), value("r"), value("copied"), value("s")["size"].clone()),
            (json!(11), json!("world"), json!(11), json!(11)),
            "{backend}"
        );
        let counts = ["operations", "tolerated", "bytes_read", "bytes_written", "bytes_copied"];
        summaries.push((backend, counts.map(|count| summary[count].take())));
    }
    for (backend, counts) in &summaries {
        assert_eq!(counts, &summaries[0].1, "{backend} and {}", summaries[0].0);
    }
}

#[test]
fn bytes_are_spliced_under_a_lock_and_addresses_are_told() {
    let text = "
        f = open \"f\" read write create
        lock f exclusive
        write f \"hello, world\" at 0
        r, w = pipe
        m = splice f at 7 to w 100
        n = read r 64
        print n
        lock f unlock
        s = socket tcp
        bind s \"127.0.0.1:0\"
        u = socket unix
        bind u \"unix:@ouzel-told\"
        a = sockname s
        b = sockname u
        print a
        print b
        finally close f
        finally close r
        finally close w
        finally close s
        finally close u";
    // One after the other: they use the same name.
    for backend in real_backends().into_iter().chain(["sim"]) {
        let directory = directory();
        let path = program(&directory, text);
        let output = ouzel(&["run", path.to_str().unwrap(), "--backend", backend])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{backend}: {shown} {:?}", output.stderr);
        let port = shown.strip_prefix("world127.0.0.1:").expect(&shown);
        let (port, rest) = port.split_once('\n').unwrap();
        assert!(port.parse::<u16>().unwrap() > 0);
        assert_eq!(rest, "unix:@ouzel-told\n", "{backend}");
    }
}

#[test]
fn explanations_name_every_statement() {
    for backend in real_backends().into_iter().chain(["sim"]) {
        let directory = directory();
        let path = program(&directory, "f = open \"x\" write create\nn = write f \"abc\"\nfinally close f");
        let output = ouzel(&["run", path.to_str().unwrap(), "--backend", backend, "--json", "--explain"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let chain = &summary["explained_chain"];
        let steps = chain["steps"].as_array().unwrap();
        let verbs: Vec<_> = steps.iter().map(|step| (step["line"].clone(), step["verb"].clone())).collect();
        assert_eq!(
            verbs,
            [(json!(1), json!("open")), (json!(2), json!("write")), (json!(3), json!("close"))],
            "{backend}"
        );
        assert_eq!((&steps[1]["result"], &steps[1]["errno"]), (&json!(3), &json!(0)));
        assert!(steps.iter().all(|step| step["place"].is_string()), "{backend}: {steps:?}");
        assert_eq!(chain["crossings"], summary["crossings"]);
        assert_eq!(summary["explain"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_doctor_knows_where_verbs_run() {
    let output = ouzel(&["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(report["chosen"]["name"] == "uring", report["io_uring"]["usable"] == true);
    let text = String::from_utf8(ouzel(&["doctor"]).output().unwrap().stdout).unwrap();
    assert!(text.starts_with("Ouzel runs on ") && text.contains("RLIMIT_NOFILE"), "{text}");
    if !real_backends().contains(&"uring") {
        assert!(report["io_uring"]["error"].is_string() && report["remedies"][0].is_string());
        return;
    }
    let directory = directory();
    // With a limit of time, since whoever waits for a chain alone without one does it himself.
    let text = "
        deadline 1min
        f = open \"f\" read write create
        write f \"abc\" at 0
        seek f to 0
        stat f
        sync f
        truncate f to 2
        allocate f 4096
        mkdir \"d\"
        link \"f\" as \"g\"
        rename \"g\" to \"h\"
        symlink \"f\" as \"s\"
        remove \"s\"
        copy f at 0 to f at 9 2
        lock f exclusive
        d = open \"d\" read directory
        readdir d 4K
        s = socket unix
        bind s \"unix:socket\"
        sockname s
        listen s
        sleep 1ms
        symlink \"f\" as \"l\"
        readlink \"l\" 100
        chmod f 0640
        chown f
        utimes \"f\"
        mknod \"p\" fifo
        statfs f
        access \"f\" read
        try setxattr f \"user.a\" \"x\"
        try getxattr \"f\" \"user.a\" 10
        try listxattr f 4K
        try removexattr \"f\" \"user.a\"
        finally close f
        finally close d
        finally close s";
    let path = program(&directory, text);
    let output = ouzel(&["run", path.to_str().unwrap(), "--backend", "uring", "--json", "--explain"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    for step in summary["explained_chain"]["steps"].as_array().unwrap() {
        let verb = step["verb"].as_str().unwrap().to_uppercase();
        let table = report["verbs"].as_array().unwrap();
        let expected = table.iter().find(|known| known["verb"] == verb.as_str()).unwrap();
        let place = if step["place"] == "linked" { &json!("ring") } else { &step["place"] };
        // What would cost more on the ring, the planner takes from it.
        let planned = ["OPEN", "READ", "CLOSE", "STAT"].contains(&verb.as_str()) && place == "call";
        assert!(planned || place == &expected["way"], "{step}, but {expected}");
    }
}

#[test]
fn what_files_are_is_changed_and_shown_alike_everywhere() {
    for backend in ["sim", "threads", "uring"] {
        let directory = directory();
        let text = "
            mkdir \"meta\"
            d = open \"meta\" read directory
            f = open \"f\" read write create in d
            chmod f 0604
            utimes \"f\" accessed 1 modified 1000000000 in d
            s = stat f
            symlink \"some target\" as \"l\" in d
            l = readlink \"l\" 64 in d
            w = write f l at 0
            b = read f 64 at 0
            mknod \"p\" fifo mode 0600 in d
            p = stat \"p\" in d
            try access f execute
            t = statfs f
            finally close f
            finally close d
            print l
            print b
            print s
            print p
            print t";
        let path = program(&directory, text);
        let output = ouzel(&["run", path.to_str().unwrap(), "--backend", backend, "--json"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        if summary["error"].as_str().is_some_and(|_| backend == "uring") {
            println!("SKIPPED: {backend}: {}", summary["error"]);
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{backend}: {summary}");
        let outputs: Vec<&Value> =
            summary["outputs"].as_array().unwrap().iter().map(|output| &output["value"]).collect();
        assert_eq!(outputs[..2], [&json!("some target"); 2], "{backend}");
        assert_eq!(outputs[2]["mode"], "0604", "{backend}");
        assert_eq!(outputs[2]["modified_seconds"], 1_000_000_000, "{backend}");
        assert_eq!(outputs[3]["kind"], "fifo", "{backend}");
        assert_eq!(outputs[4]["longest_name"], 255, "{backend}");
        assert_eq!(summary["tolerated"], 1, "{backend}: nobody may execute it");
    }
}

#[test]
fn what_a_backend_cannot_do_ends_the_run_with_a_reason() {
    let output = run(&example("pipe.ring"), "sim", &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("stdout") && errors.contains("sim"), "{errors}");
    // More results than registers.
    let directory = directory();
    let mut text: String = (0..8).map(|number| format!("f{number} = open \"f\" write create\n")).collect();
    text.extend((0..8).map(|number| format!("finally close f{number}\n")));
    let path = program(&directory, &text);
    let (summary, status) = run_json(path.to_str().unwrap(), "sim", &[]);
    assert_eq!(status, 1);
    let message = summary["failures"][0]["message"].as_str().unwrap();
    assert!(message.contains("line 8: ") && message.contains("eighth register"), "{message}");
}
