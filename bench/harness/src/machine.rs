//! What the figures depend on: machine, kernel, versions, commit, date. No names of hosts and no paths.

use std::path::Path;
use std::process::Command;

/// Crates whose versions belong to the results.
const CRATES: [&str; 9] =
    ["tokio", "tokio-uring", "monoio", "compio", "a10", "runite", "io-uring", "rustix-uring", "rtrb"];

/// What it is and its value, line by line.
pub fn describe(home: &Path) -> Vec<(&'static str, String)> {
    let processors = std::thread::available_parallelism().map_or(0, |number| number.get());
    let uname = rustix::system::uname();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(2).collect();
    let dirty = !said(home, "git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let commit = said(home, "git", &["rev-parse", "--short=12", "HEAD"]);
    vec![
        ("processor", format!("{}, {processors} to be used", field("/proc/cpuinfo", "model name"))),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())),
        ("Meltdown", read("/sys/devices/system/cpu/vulnerabilities/meltdown")),
        ("load after the run", format!("{} (1 minute), {} (5 minutes)", at(&load, 0), at(&load, 1))),
        (
            "compilers",
            format!("{}; {}", said(home, "rustc", &["-V"]), first_line(said(home, "gcc", &["--version"]))),
        ),
        ("liburing", said(home, "pkg-config", &["--modversion", "liburing"])),
        ("crates", crates(&read_file(&home.join("Cargo.lock")))),
        ("commit", format!("{commit}{}", if dirty { ", with changes" } else { "" })),
        ("date", said(home, "date", &["-u", "+%F"])),
    ]
}

fn at<'a>(values: &[&'a str], index: usize) -> &'a str {
    values.get(index).copied().unwrap_or("unknown")
}

fn read_file(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn read(path: &str) -> String {
    read_file(Path::new(path)).trim().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn said(home: &Path, program: &str, arguments: &[&str]) -> String {
    match Command::new(program).current_dir(home).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => format!("{program}: unknown"),
    }
}

fn first_line(text: String) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The versions of the crates in a lock file. A crate that is there more than once is named with all of them.
fn crates(lock: &str) -> String {
    let mut found = Vec::new();
    for name in CRATES {
        let wanted = format!("name = \"{name}\"");
        let mut lines = lock.lines();
        while lines.any(|line| line == wanted) {
            if let Some(version) = lines.next().and_then(|line| line.strip_prefix("version = ")) {
                found.push(format!("{name} {}", version.trim_matches('"')));
            }
        }
    }
    found.join(", ")
}

#[cfg(test)]
mod tests {
    use super::crates;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"rtrb\"\nversion = \"0.4.1\"\n\n[[package]]\nname = \"other\"\nversion = \"1.0.0\"\n";
        assert_eq!(crates(lock), "rtrb 0.4.1");
    }
}
