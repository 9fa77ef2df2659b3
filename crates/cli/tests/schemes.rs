//! `ouzel serve`, and what reaches its files: the whole way through two processes.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with names, a directory to be served, and the service.
struct Scene {
    folder: TempDir,
    service: Option<Child>,
}

impl Scene {
    fn new(options: &[&str]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("served/below")).unwrap();
        fs::write(folder.path().join("served/greeting"), "hello\n").unwrap();
        fs::write(folder.path().join("served/below/large"), vec![b'x'; 1_000_000]).unwrap();
        fs::write(folder.path().join("secret"), "not for clients\n").unwrap();
        std::os::unix::fs::symlink("../secret", folder.path().join("served/leak")).unwrap();
        let mut scene = Scene { folder, service: None };
        scene.serve(options);
        scene
    }

    fn serve(&mut self, options: &[&str]) {
        let mut what = std::ffi::OsString::from("file:");
        what.push(self.served(""));
        let mut service = self.command("serve");
        service.arg(what).args(["--name", "data"]).args(options).stderr(Stdio::piped());
        let mut service = service.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(service.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("serving"), "{line}");
        self.service = Some(service);
    }

    fn served(&self, path: &str) -> PathBuf {
        self.folder.path().join("served").join(path)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
        command.arg(name).env("OUZEL_SCHEMES", self.folder.path().join("names"));
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name).args(arguments).output().unwrap()
    }

    /// What it printed, if it succeeded.
    fn prints(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name} {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complained of, having failed.
    fn complains(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments);
        assert_ne!(output.status.code(), Some(0), "{name} {arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn interrupt(&mut self) -> Option<i32> {
        let mut service = self.service.take()?;
        let number = rustix::process::Pid::from_raw(service.id() as i32)?;
        rustix::process::kill_process(number, rustix::process::Signal::TERM).unwrap();
        service.wait().unwrap().code()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

#[test]
fn files_are_listed_printed_described_and_copied() {
    let scene = Scene::new(&[]);
    assert_eq!(scene.prints("ls", &["data:"]), "below\ngreeting\nleak\n");
    assert_eq!(scene.prints("ls", &["data:/below"]), "large\n");
    assert_eq!(scene.prints("cat", &["data:greeting"]), "hello\n");
    assert_eq!(scene.prints("cat", &["data:/below/large"]).len(), 1_000_000);
    assert!(scene.prints("stat", &["data:greeting"]).starts_with("data:greeting: file, 6 bytes"));
    assert!(scene.prints("ls", &["--long", "data:"]).contains("           6 greeting\n"));

    // What has no places, too.
    assert_eq!(scene.prints("cat", &["/proc/self/comm"]), "ouzel\n");
    let (reader, writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut { writer }, b"piped").unwrap();
    let piped = scene.command("cat").arg("/dev/stdin").stdin(reader).output().unwrap();
    assert_eq!((piped.status.code(), piped.stdout), (Some(0), b"piped".to_vec()));

    // Out of the service, into it, within it.
    let outside = scene.folder.path().join("copy");
    scene.prints("cp", &["data:below/large", outside.to_str().unwrap()]);
    assert_eq!(fs::read(&outside).unwrap(), fs::read(scene.served("below/large")).unwrap());
    scene.prints("cp", &[outside.to_str().unwrap(), "data:below/again"]);
    assert_eq!(fs::read(scene.served("below/again")).unwrap().len(), 1_000_000);
    scene.prints("cp", &["data:greeting", "data:below"]);
    assert_eq!(fs::read(scene.served("below/greeting")).unwrap(), b"hello\n");
}

#[test]
fn a_file_survives_being_copied_onto_itself() {
    let scene = Scene::new(&[]);
    let bytes = fs::read(scene.served("below/large")).unwrap();
    let here = scene.served("below/large");
    let linked = scene.folder.path().join("linked");
    fs::hard_link(&here, &linked).unwrap();
    let (directory, linked) = (scene.served("below"), linked.to_str().unwrap());
    for (from, to) in [
        ("data:below/large", here.to_str().unwrap()),
        ("data:below/large", directory.to_str().unwrap()),
        ("data:below/large", linked),
        (here.to_str().unwrap(), "data:below"),
        (linked, "data:below/large"),
    ] {
        let complaint = scene.complains("cp", &[from, to]);
        assert!(complaint.contains("both are the same file"), "{from} {to}: {complaint}");
        assert_eq!(fs::read(&here).unwrap(), bytes, "{from} {to}");
    }

    // A second name of the service.
    std::os::unix::fs::symlink("data", scene.folder.path().join("names/same")).unwrap();
    assert!(
        scene.complains("cp", &["data:greeting", "same:greeting"]).contains("data:greeting to same:greeting")
    );
    assert_eq!(scene.prints("cat", &["data:greeting"]), "hello\n");
}

#[test]
fn a_copy_is_as_long_as_its_source_and_goes_where_there_are_no_places() {
    let scene = Scene::new(&[]);
    let outside = scene.folder.path().join("copy");
    let target = outside.to_str().unwrap();
    fs::write(&outside, vec![b'o'; 2_000_000]).unwrap();
    scene.prints("cp", &["data:below/large", target]);
    assert_eq!(fs::read(&outside).unwrap(), vec![b'x'; 1_000_000]);
    scene.prints("cp", &["data:greeting", target]);
    assert_eq!(fs::read(&outside).unwrap(), b"hello\n");
    fs::write(scene.served("empty"), "").unwrap();
    scene.prints("cp", &["data:empty", target]);
    assert_eq!(fs::read(&outside).unwrap(), b"");

    // Pipes: standard output, standard input, and one with a name.
    assert_eq!(scene.prints("cp", &["data:below/large", "/dev/stdout"]).len(), 1_000_000);
    let (reader, writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut { writer }, b"piped").unwrap();
    let from_pipe = scene.command("cp").args(["/dev/stdin", "data:greeting"]).stdin(reader).output().unwrap();
    assert_eq!(from_pipe.status.code(), Some(0), "{}", String::from_utf8_lossy(&from_pipe.stderr));
    assert_eq!(fs::read(scene.served("greeting")).unwrap(), b"piped");
    let pipe = scene.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reading = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    scene.prints("cp", &["data:below/large", pipe.to_str().unwrap()]);
    assert_eq!(reading.join().unwrap().len(), 1_000_000);
}

#[test]
fn a_program_runs_in_the_service() {
    let scene = Scene::new(&[]);
    for number in 0..200 {
        fs::write(scene.served(&format!("below/{number}")), vec![b'y'; number]).unwrap();
    }
    let program = scene.folder.path().join("sizes.ring");
    fs::write(&program, "fd = open $path read\nn = read fd 64K at 0\nfinally close fd\n").unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("/below/{number}")).collect();
    let mut run = scene.command("run");
    run.arg(&program).args(["--on", "data:", "--json", "--each", "-"]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut run.stdin.take().unwrap(), names.join("\n").as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    let counts = ["inputs", "failed", "operations", "bytes_read"].map(|name| summary[name].as_u64());
    assert_eq!(counts, [200, 0, 600, 199 * 200 / 2].map(Some), "{text}");
}

#[test]
fn nothing_outside_is_reached() {
    let scene = Scene::new(&[]);
    let outside = scene.folder.path().join("secret");
    for path in ["data:../secret", "data:below/../../secret", "data:leak"] {
        let complaint = scene.complains("cat", &[path]);
        assert!(complaint.contains("EXDEV"), "{complaint}");
    }
    // An absolute path starts at the root of the service.
    let absolute = format!("data:{}", outside.display());
    assert!(scene.complains("cat", &[&absolute]).contains("ENOENT"));
    scene.complains("cp", &["data:greeting", "data:../secret"]);
    assert_eq!(fs::read(outside).unwrap(), b"not for clients\n");
}

#[test]
fn a_service_may_be_read_only() {
    let scene = Scene::new(&["--read-only"]);
    assert_eq!(scene.prints("cat", &["data:greeting"]), "hello\n");
    let complaint = scene.complains("cp", &["data:greeting", "data:other"]);
    assert!(complaint.contains("EROFS") || complaint.contains("EPERM"), "{complaint}");
    assert!(!scene.served("other").exists());
}

#[test]
fn a_name_is_served_once_and_again() {
    let mut scene = Scene::new(&[]);
    let second = scene.run("serve", &["file:/", "--name", "data"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(
        String::from_utf8(second.stderr).unwrap().contains("EADDRINUSE") || second.status.code() == Some(2)
    );
    assert_eq!(scene.interrupt(), Some(0));
    assert!(scene.complains("cat", &["data:greeting"]).contains("nobody serves data:"));
    scene.serve(&[]);
    // And after it was killed, nothing has to be cleaned up.
    let mut service = scene.service.take().unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    scene.serve(&[]);
    assert_eq!(scene.prints("cat", &["data:greeting"]), "hello\n");
}

#[test]
fn what_cannot_be_served_is_said() {
    let scene = Scene::new(&[]);
    for (what, name, quota) in [
        ("/tmp", "x", "chain=8"),
        ("file:/nowhere", "x", "chain=8"),
        ("file:/", "", "chain=8"),
        ("file:/", "a/b", "chain=8"),
        ("file:/", "x", "spoons=8"),
    ] {
        let output = scene.run("serve", &[what, "--name", name, "--quota", quota]);
        assert_eq!(output.status.code(), Some(2), "{what} {name} {quota}");
        assert!(!output.stderr.is_empty());
    }
    assert!(Path::new(&scene.folder.path().join("names")).exists());
}
