//! What the tests of this crate share: folders of their own, and processes of their own, in which what is left can be counted.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder for one test, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder on each file system that is to be tested on: OUZEL_TEST_DIRS, or that of the target folder and /dev/shm.
pub(crate) fn folders() -> Vec<Folder> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let places: Vec<PathBuf> = match std::env::var_os("OUZEL_TEST_DIRS") {
        Some(places) => std::env::split_paths(&places).collect(),
        None => {
            let program = std::env::current_exe().unwrap();
            vec![program.parent().unwrap().to_owned(), PathBuf::from("/dev/shm")]
        }
    };
    places
        .into_iter()
        .map(|place| {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let folder = place.join(format!("ouzel-scheme-{}-{number}", std::process::id()));
            std::fs::create_dir(&folder).unwrap();
            Folder(folder)
        })
        .collect()
}

/// Calls with another path of the folder, which is short.
pub(crate) fn in_folder<T>(folder: &Path, call: impl FnOnce(&Path) -> T) -> T {
    let opened = std::fs::File::open(folder).unwrap();
    call(&Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()))
}

const INSIDE: &str = "OUZEL_SCHEME_TEST_INSIDE";
const FINISHED: &str = "the isolated test is through";

/// Runs the test of this name once more in a process of its own, where `body` is run alone and what it leaves behind is
/// counted: descriptors, and memory that is shared.
pub(crate) fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let before = (descriptors(), shared_mappings());
        body();
        let after = (descriptors(), shared_mappings());
        assert_eq!(before, after, "left behind: descriptors, mappings");
        println!("{FINISHED}");
        return;
    }
    let output = again(name, "").output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for line in text.lines().filter(|line| line.contains("SKIPPED")) {
        eprintln!("{line}");
    }
    assert!(text.contains(FINISHED), "{name} in a process of its own: {}\n{text}", output.status);
}

/// The test of this name in another process, which finds `argument` with [`argument`].
pub(crate) fn again(name: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, argument);
    command.stdin(Stdio::null());
    command
}

/// What [`again`] was told, in the process that it made.
pub(crate) fn argument() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// A process that is killed when dropped, and says nothing.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    pub(crate) fn start(mut command: Command) -> Killed {
        Killed(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The descriptors open in this process, and one more that counts them.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn shared_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:")).count()
}
