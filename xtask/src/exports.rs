//! What the shared libraries export: the list in `crates/liburing/exports.txt`, as linker scripts, and checked against
//! what a linked library has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The versions of the ABI, oldest first. Some brought nothing; they are there because a node names its predecessor.
const VERSIONS: [&str; 16] = [
    "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13",
    "2.14", "2.15",
];

/// The node of what is exported for liburing's own tests only.
const SUITE: &str = "suite";

/// Which of the two libraries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// `liburing.so.2`.
    Core,
    /// `liburing-ffi.so.2`.
    Ffi,
}

/// The functions of a library, each with the node it belongs to.
pub struct Exports(BTreeMap<String, String>);

impl Exports {
    /// Reads the list.
    pub fn read(path: &Path, library: Library) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut functions = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, core, ffi] = words[..] else {
                return Err(format!("{}:{}: not a name and two versions", path.display(), number + 1));
            };
            let version = if library == Library::Core { core } else { ffi };
            if version == "-" {
                continue;
            }
            let node = node(version).ok_or_else(|| format!("{name}: no version {version}"))?;
            if functions.insert(name.to_owned(), node).is_some() {
                return Err(format!("{name}: listed twice"));
            }
        }
        Ok(Self(functions))
    }

    /// How many functions belong to the ABI.
    pub fn count(&self) -> usize {
        let suite = node(SUITE);
        self.0.values().filter(|&node| Some(node) != suite.as_ref()).count()
    }

    /// The version script for the linker: a node for each version since the first one that brought something.
    pub fn version_script(&self) -> String {
        let mut script = String::new();
        let mut previous: Option<String> = None;
        for version in VERSIONS.into_iter().chain([SUITE]) {
            let Some(name) = node(version) else { continue };
            let functions: Vec<&str> = self
                .0
                .iter()
                .filter(|(_, node)| **node == name)
                .map(|(function, _)| function.as_str())
                .collect();
            if functions.is_empty() && (previous.is_none() || version == SUITE) {
                continue;
            }
            let _ = writeln!(script, "{name} {{");
            if !functions.is_empty() {
                let _ = writeln!(script, "global:");
            }
            for function in functions {
                let _ = writeln!(script, "    {function};");
            }
            match &previous {
                None => script.push_str("local:\n    *;\n};\n"),
                Some(previous) => {
                    let _ = writeln!(script, "}} {previous};");
                }
            }
            previous = Some(name);
        }
        script
    }

    /// Compares the list with what the library at `path` has.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let output = Command::new("nm")
            .args(["--dynamic", "--defined-only", "--with-symbol-versions"])
            .arg(path)
            .output()
            .map_err(|error| format!("nm: {error}"))?;
        if !output.status.success() {
            return Err(format!("nm: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let listing = String::from_utf8_lossy(&output.stdout);
        let found: BTreeSet<&str> = listing
            .lines()
            .filter(|line| line.contains(" T "))
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        let wanted: BTreeSet<String> =
            self.0.iter().map(|(function, node)| format!("{function}@@{node}")).collect();
        let missing: Vec<&String> = wanted.iter().filter(|name| !found.contains(name.as_str())).collect();
        let surplus: Vec<&&str> = found.iter().filter(|name| !wanted.contains(**name)).collect();
        if missing.is_empty() && surplus.is_empty() {
            Ok(())
        } else {
            Err(format!("{}: missing {missing:?}, surplus {surplus:?}", path.display()))
        }
    }
}

/// The node of a version.
fn node(version: &str) -> Option<String> {
    if version == SUITE {
        return Some("LIBURING_SUITE".to_owned());
    }
    VERSIONS.contains(&version).then(|| format!("LIBURING_{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exports(library: Library) -> Exports {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/liburing/exports.txt");
        Exports::read(&list, library).unwrap()
    }

    #[test]
    fn the_libraries_have_as_many_functions_as_the_abi() {
        assert_eq!(exports(Library::Core).count(), 83);
        assert_eq!(exports(Library::Ffi).count(), 222);
    }

    #[test]
    fn every_version_names_its_predecessor() {
        let script = exports(Library::Core).version_script();
        assert_eq!(script.matches("LIBURING_2.").count(), 2 * 16, "{script}");
        assert!(script.starts_with("LIBURING_2.0 {\nglobal:\n    __io_uring_get_cqe;\n"), "{script}");
        assert!(script.contains("} LIBURING_2.14;\n"), "{script}");
        assert!(script.ends_with("} LIBURING_2.15;\n"), "{script}");
        assert!(exports(Library::Ffi).version_script().starts_with("LIBURING_2.4 {\n"));
    }
}
