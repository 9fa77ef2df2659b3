//! `ouzel top` over rings of this process: as text, as JSON, and on a screen of the tests' own; and `--timeline`.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use ouzel::observe::{Observe, rings_in};
use ouzel::{BackendKind, Chain, Offset, OpenOptions, Ring};
use ouzel_cli::top::Reading;
use ouzel_cli::top::screen::State;
use ouzel_cli::top::view::View;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::Value;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ouzel-top-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        Folder(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ring(folder: &Folder) -> Ring {
    let observe = Observe::new().publish_in(folder.path());
    Ring::builder().backend(BackendKind::Sim).observe(observe).build().unwrap()
}

/// Chains that write 100 bytes each, and fail at something.
fn work(ring: &mut Ring, rounds: u32) {
    for _ in 0..rounds {
        let mut chain = Chain::new();
        let file = chain.open("file", OpenOptions::read_write().create());
        chain.write(file, vec![1; 100], Offset::START);
        chain.open("/missing/file", OpenOptions::read());
        chain.finally().close(file);
        ring.run(chain).unwrap().error().unwrap();
    }
}

fn top(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
    command.arg("top").arg("--directory").arg(folder).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_snapshot_says_what_the_ring_did() {
    let folder = Folder::new();
    let mut ring = ring(&folder);
    work(&mut ring, 7);
    let own = std::process::id().to_string();
    for arguments in [vec!["--once"], vec!["--once", &own]] {
        let output = top(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = text(&output.stdout);
        assert!(told.contains(&format!("process {own} (")), "{told}");
        assert!(told.contains("on sim"), "{told}");
        assert!(told.contains("failed 7, cancelled 0, skipped 0, refused 0"), "{told}");
        assert!(told.contains("chains 7 ("), "{told}");
        let row = |verb: &str| {
            let line = told.lines().find(|line| line.trim_start().starts_with(verb)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("OPEN")[..3], ["OPEN", "all", "14"]);
        assert_eq!(row("OPEN")[4], "7");
        assert_eq!(row("CLOSE")[..3], ["CLOSE", "all", "7"]);
        assert!(told.contains("simulated"), "{told}");
        assert!(!told.contains("LEAKED"), "{told}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    let output = top(folder.path(), &["--once", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ring = &document["rings"][0];
    assert_eq!((&ring["backend"], &ring["chains"]["count"]), (&"sim".into(), &7.into()));
    let verbs = ring["verbs"].as_array().unwrap();
    let write = verbs.iter().find(|verb| verb["verb"] == "WRITE").unwrap();
    assert_eq!((&write["bytes"], &write["places"]["simulated"]["count"]), (&700.into(), &7.into()));
}

#[test]
fn what_cannot_be_seen_is_said() {
    let folder = Folder::new();
    let output = top(folder.path(), &["--once"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("no ring can be seen") && output.stdout.is_empty());
    let output = top(folder.path(), &["--once", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("process 1 has no ring"), "{output:?}");
    let output = top(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--once"), "there is no terminal: {output:?}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = top(&file, &["--once"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: cannot look for rings in "), "{output:?}");

    // A page that is none is told, and does not hide the others.
    let ring = ring(&folder);
    let found = rings_in(folder.path()).unwrap().remove(0);
    let name = found.path.file_name().unwrap().to_str().unwrap().replace(".ring", "7.ring");
    fs::write(folder.path().join(name), "nonsense").unwrap();
    let output = top(folder.path(), &["--once"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("this is not the page of a ring"), "{output:?}");
    assert!(text(&output.stdout).contains("on sim"));
    drop(ring);
}

#[test]
fn a_screen_shows_rates_since_the_last_look() {
    let folder = Folder::new();
    let mut watched = ring(&folder);
    let _other = ring(&folder);
    work(&mut watched, 3);
    let mut before = Reading::take(folder.path(), None).unwrap();
    assert_eq!(before.rings.len(), 2);
    work(&mut watched, 10);
    let mut now = Reading::take(folder.path(), None).unwrap();
    // Two seconds, whatever the machine took for it.
    before.at = std::time::Instant::now();
    now.at = before.at + std::time::Duration::from_secs(2);
    let view = View::new(&now, Some(&before));
    assert_eq!(view.rings[0].row[4], "20", "10 times 4 operations in 2 s: {:?}", view.rings[0].row);
    assert_eq!(view.rings[1].row[4], "0");

    let mut state = State::default();
    state.show(&now, Some(&before));
    for (width, height) in [(120, 40), (40, 10), (1, 1), (300, 3)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| state.draw(frame)).unwrap();
        if width == 120 {
            let screen = terminal.backend().to_string();
            for shown in ["PID", "CROSSINGS/S", "sim", "WRITE", "simulated", "queued", "q end"] {
                assert!(screen.contains(shown), "{shown} is missing:\n{screen}");
            }
        }
    }
    let empty = Reading { rings: Vec::new(), ..now };
    state.show(&empty, None);
    let mut terminal = Terminal::new(TestBackend::new(120, 20)).unwrap();
    terminal.draw(|frame| state.draw(frame)).unwrap();
    assert!(terminal.backend().to_string().contains("no ring can be seen"));
}

#[test]
fn a_timeline_of_many_chains_is_written_as_json() {
    let folder = Folder::new();
    let program = folder.path().join("program");
    fs::write(&program, "fd = open $path read\nn = read fd 64 at 0\nfinally close fd\n").unwrap();
    let files = ["one", "two \"quoted\""].map(|name| folder.path().join(name));
    files.iter().for_each(|file| fs::write(file, "some text").unwrap());
    let timeline = folder.path().join("timeline.json");
    for backend in ["auto", "threads"] {
        for explain in [false, true] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
            command.arg("run").arg(&program).args(["--backend", backend]);
            command.arg("--timeline").arg(&timeline).arg("--each").args(&files);
            if explain {
                command.arg("--explain");
            }
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let document: Value = serde_json::from_slice(&fs::read(&timeline).unwrap()).unwrap();
            let events = document["traceEvents"].as_array().unwrap();
            let named = |name: &str| {
                let is = |event: &&Value| event["name"] == "process_name" && event["args"]["name"] == name;
                events.iter().find(is).unwrap()["pid"].clone()
            };
            for file in &files {
                let chain = named(file.to_str().unwrap());
                for verb in ["OPEN", "READ", "CLOSE"] {
                    let is =
                        |event: &&Value| event["pid"] == chain && event["name"] == verb && event["ph"] == "X";
                    assert_eq!(events.iter().filter(is).count(), 1, "{verb} of {file:?}");
                }
            }
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ouzel"))
        .args(["run", program.to_str().unwrap(), "--set", "path=/dev/null", "--timeline", "/nowhere/file"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).starts_with("error: cannot write the timeline /nowhere/file: "),
        "{output:?}"
    );
}
