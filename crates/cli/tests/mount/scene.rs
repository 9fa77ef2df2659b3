//! What the tests of `ouzel mount` share: a directory, a service of it that can be killed and started again, and its mount.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A process and what it says.
struct Running {
    process: Child,
    errors: BufReader<ChildStderr>,
}

impl Running {
    /// Starts it, and reads its first line.
    fn start(command: &mut Command) -> (Running, String) {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        (Running { process, errors }, line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A mounted service.
pub struct Scene {
    folder: TempDir,
    what: String,
    quotas: Vec<String>,
    service: Option<Running>,
    mount: Option<Running>,
}

impl Scene {
    /// A directory that is served and mounted, on each file system that is to be tested on. None, with the reason told, where
    /// nothing can be mounted.
    pub fn all() -> Vec<Scene> {
        let places: Vec<PathBuf> = match std::env::var_os("OUZEL_TEST_DIRS") {
            Some(places) => std::env::split_paths(&places).collect(),
            None => vec![env!("CARGO_TARGET_TMPDIR").into(), "/dev/shm".into()],
        };
        places.iter().filter_map(|place| Scene::new(place, "file:", &[], &[])).collect()
    }

    /// One, with options for the service and for the mount.
    pub fn with(what: &str, service: &[&str], mount: &[&str]) -> Option<Scene> {
        Scene::new(env!("CARGO_TARGET_TMPDIR").as_ref(), what, service, mount)
    }

    fn new(place: &Path, what: &str, service: &[&str], mount: &[&str]) -> Option<Scene> {
        if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
            println!("SKIPPED: nothing can be mounted: /dev/fuse: {error}");
            return None;
        }
        let folder = tempfile::tempdir_in(place).unwrap();
        // Other users come here, too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["served", "plain", "at"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let what = match what {
            "file:" => format!("file:{}", folder.path().join("served").display()),
            other => other.to_owned(),
        };
        let quotas = service.iter().map(|option| (*option).to_owned()).collect();
        let mut scene = Scene { folder, what, quotas, service: None, mount: None };
        scene.serve();
        scene.mount(mount).then_some(scene)
    }

    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ouzel"));
        command.arg(name).env("OUZEL_SCHEMES", self.folder.path().join("names"));
        command
    }

    /// Starts the service.
    pub fn serve(&mut self) {
        let mut command = self.command("serve");
        command.arg(&self.what).args(["--name", "data"]).args(&self.quotas);
        let (service, line) = Running::start(&mut command);
        assert!(line.starts_with("serving"), "{line}");
        self.service = Some(service);
    }

    /// Kills the service.
    pub fn kill(&mut self) {
        self.service = None;
    }

    /// Mounts; false, with the reason told, if that is not allowed here.
    pub fn mount(&mut self, options: &[&str]) -> bool {
        let mut command = self.command("mount");
        command.args(["data:", self.mounted("").to_str().unwrap()]).args(options);
        let (mut mount, mut line) = Running::start(&mut command);
        if line.contains("CAP_SYS_ADMIN") || line.contains("fusermount3") {
            println!("SKIPPED: nothing can be mounted: {line}");
            return false;
        }
        if !line.starts_with("mounted data: at ") {
            mount.errors.read_to_string(&mut line).unwrap();
            panic!("{line}");
        }
        self.mount = Some(mount);
        true
    }

    /// Tells the mount to end; its exit status and what it said.
    pub fn unmount(&mut self, signal: Option<Signal>) -> (Option<i32>, String) {
        let mut mount = self.mount.take().unwrap();
        match signal {
            Some(signal) => kill_process(Pid::from_child(&mount.process), signal).unwrap(),
            None => assert!(Command::new("umount").arg(self.mounted("")).status().unwrap().success()),
        }
        let mut said = String::new();
        mount.errors.read_to_string(&mut said).unwrap();
        (mount.process.wait().unwrap().code(), said)
    }

    /// Whether something is mounted where it was to be.
    pub fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.contains(self.mounted("").to_str().unwrap())
    }

    /// A path in the mount.
    pub fn mounted(&self, path: &str) -> PathBuf {
        below(self.folder.path().join("at"), path)
    }

    /// The same in the directory that is served.
    pub fn served(&self, path: &str) -> PathBuf {
        below(self.folder.path().join("served"), path)
    }

    /// The same in a directory of the same file system that nobody serves.
    pub fn plain(&self, path: &str) -> PathBuf {
        below(self.folder.path().join("plain"), path)
    }
}

fn below(directory: PathBuf, path: &str) -> PathBuf {
    if path.is_empty() { directory } else { directory.join(path) }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mount) = &self.mount {
            // Killed, it would leave a mount that answers nobody.
            let _ = kill_process(Pid::from_child(&mount.process), Signal::TERM);
            let end = Instant::now() + Duration::from_secs(5);
            while self.is_mounted() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Tries until `condition` holds, for five seconds at most.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
