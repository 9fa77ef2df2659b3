//! Builds contenders, one at a time so that the features of one are never the features of another.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::entrants::{Contender, Source};

/// Builds a contender and returns its program, or why that cannot be done.
pub fn build(home: &Path, contender: &Contender) -> Result<PathBuf, String> {
    match contender.source {
        Source::Package(name) => package(home, name),
        Source::C(source) => c(home, source),
    }
}

/// Builds a package of this workspace.
pub fn package(home: &Path, name: &str) -> Result<PathBuf, String> {
    package_with(home, name, &[])
}

/// Builds a package of this workspace with some of its features.
pub fn package_with(home: &Path, name: &str, features: &[&str]) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = home.join("target");
    let mut command = Command::new(cargo);
    command.current_dir(home).args(["build", "--release", "--quiet", "--locked", "--package", name]);
    command.arg("--target-dir").arg(&target);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    finish(command, "cargo")?;
    Ok(target.join("release").join(name))
}

/// Builds a C program against the system's liburing. Its own allocations are counted by wrapping the three calls.
fn c(home: &Path, source: &str) -> Result<PathBuf, String> {
    let work = home.join("work");
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    // small-files/liburing-c/main.c becomes small-files-liburing-c.
    let program = work.join(source.rsplit_once('/').map_or(source, |(folder, _)| folder).replace('/', "-"));
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "gcc".into()));
    command.current_dir(home).args(["-O3", "-std=gnu11", "-Wall", "-Wextra", source, "-o"]).arg(&program);
    command.args(["-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc", "-l:liburing.a"]);
    finish(command, "a C compiler and liburing (Debian: gcc, liburing-dev)")?;
    Ok(program)
}

fn finish(mut command: Command, needs: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("needs {needs}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line =
        text.lines().find(|line| line.contains("error")).or(text.lines().next()).unwrap_or("no message");
    Err(format!("does not build (it needs {needs}): {}", line.trim()))
}
