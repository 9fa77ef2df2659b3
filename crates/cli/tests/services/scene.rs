//! What the tests of the command's services share: folders with something to be served, and services that can be killed.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// A folder with a directory to be served.
pub struct Folder(TempDir);

impl Folder {
    /// One on each file system that is to be tested on: OUZEL_TEST_DIRS, or that of the target folder and /dev/shm.
    pub fn all() -> Vec<Folder> {
        let places: Vec<PathBuf> = match std::env::var_os("OUZEL_TEST_DIRS") {
            Some(places) => std::env::split_paths(&places).collect(),
            None => vec![env!("CARGO_TARGET_TMPDIR").into(), "/dev/shm".into()],
        };
        let make = |place: PathBuf| {
            let folder = tempfile::tempdir_in(place).unwrap();
            fs::create_dir(folder.path().join("served")).unwrap();
            Folder(folder)
        };
        places.into_iter().map(make).collect()
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Where names are, for this process and those that it starts.
fn names() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let folder = std::env::temp_dir().join(format!("ouzel-cli-services-{}", std::process::id()));
        // SAFETY: every test comes through here before it connects or starts anything, and nothing else of them sets the
        // environment.
        unsafe {
            std::env::set_var("OUZEL_SCHEMES", &folder);
            // Where observed services publish their connections.
            std::env::set_var("XDG_RUNTIME_DIR", &folder);
        }
    });
}

fn command(what: &str, name: &str, options: &[&str]) -> Command {
    names();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
    command.arg("serve").arg(what).args(["--name", name]).args(options).stderr(Stdio::piped());
    command
}

/// A service in a process of its own.
pub struct Service {
    /// With its colon.
    pub name: String,
    process: Option<Child>,
    errors: BufReader<ChildStderr>,
}

impl Service {
    /// Serves the folder's directory, `kind:DIR`.
    pub fn start(folder: &Folder, kind: &str, options: &[&str]) -> Service {
        let what = format!("{kind}:{}", folder.path().join("served").display());
        Service::start_what(&what, options)
    }

    pub fn start_what(what: &str, options: &[&str]) -> Service {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("service-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut process = command(what, &name, options).spawn().unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.starts_with("serving"), "{line}");
        Service { name: format!("{name}:"), process: Some(process), errors }
    }

    /// What it says that cannot be served.
    pub fn refused(folder: &Folder, kind: &str, name: &str) -> String {
        let what = format!("{kind}:{}", folder.path().join("served").display());
        Service::refused_what(&what, name, &[])
    }

    pub fn refused_what(what: &str, name: &str, options: &[&str]) -> String {
        let output = command(what, name, options).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Ends it as it should be, and returns what it has said.
    pub fn end(mut self) -> String {
        let mut process = self.process.take().unwrap();
        let number = rustix::process::Pid::from_raw(process.id() as i32).unwrap();
        rustix::process::kill_process(number, rustix::process::Signal::TERM).unwrap();
        let mut said = String::new();
        self.errors.read_to_string(&mut said).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0), "{said}");
        said
    }

    /// Kills it: it can do nothing more.
    pub fn kill(mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
