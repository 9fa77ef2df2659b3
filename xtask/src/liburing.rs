//! The shared libraries for C: a static library by cargo, linked by the C compiler with names, versions and nothing
//! else to be seen from outside.
//!
//! Cargo's own shared libraries cannot carry symbol versions with every linker. The build is the same, byte for byte,
//! wherever it is done with the same compilers: no paths, no times.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exports::{Exports, Library};

/// The version of the ABI.
const VERSION: &str = "2.15";

/// Builds everything into `prefix` and prints where it is.
pub fn build(prefix: Option<&Path>) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    let prefix = match prefix {
        Some(prefix) => {
            std::path::absolute(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?
        }
        None => target.join("liburing"),
    };
    let source = root.join("crates/liburing");
    let archive = archive(&root, &target)?;

    let libraries = prefix.join("lib");
    make_folder(&libraries.join("pkgconfig"))?;
    for (name, library) in [("liburing", Library::Core), ("liburing-ffi", Library::Ffi)] {
        let exports = Exports::read(&source.join("exports.txt"), library)?;
        let shared = link(&archive, &libraries, name, &exports)?;
        exports.check(&shared)?;
        write(&libraries.join(format!("pkgconfig/{name}.pc")), &package(&prefix, name))?;
        println!("{} ({} functions)", shared.display(), exports.count());
    }
    copy(&archive, &libraries.join("liburing.a"))?;
    copy(&archive, &libraries.join("liburing-ffi.a"))?;
    copy_headers(&source.join("include"), &prefix.join("include"))?;
    println!("{}", prefix.join("include").display());
    Ok(())
}

/// Builds the static library and returns where it is.
fn archive(root: &Path, target: &Path) -> Result<PathBuf, String> {
    let target = target.join("c-library");
    // Where things lie on this machine is nobody's business.
    let mut flags = vec![format!("--remap-path-prefix={}=ouzel", root.display())];
    if let Some(home) = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
    {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .current_dir(root)
        .args(["rustc", "--quiet", "--locked", "--package", "ouzel-liburing", "--lib"])
        .args(["--crate-type", "staticlib", "--features", "shared-library", "--profile", "c-library"])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    Ok(target.join("c-library/libouzel_liburing.a"))
}

/// Links one shared library and the names it is found by.
fn link(archive: &Path, folder: &Path, name: &str, exports: &Exports) -> Result<PathBuf, String> {
    let script = folder.join(format!("{name}.map"));
    write(&script, &exports.version_script())?;
    let file = format!("{name}.so.{VERSION}");
    let soname = format!("{name}.so.2");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    run(Command::new(compiler)
        .current_dir(folder)
        .args(["-shared", "-Wl,--build-id=sha1", "-Wl,-z,relro,-z,now,-z,defs", "-Wl,--gc-sections", "-s"])
        .arg(format!("-Wl,-soname,{soname}"))
        .arg(format!("-Wl,--version-script={name}.map"))
        .arg("-Wl,--whole-archive")
        .arg(archive)
        .arg("-Wl,--no-whole-archive")
        .args(["-o", &file]))?;
    std::fs::remove_file(&script).map_err(|error| format!("{}: {error}", script.display()))?;
    for alias in [soname, format!("{name}.so")] {
        let alias = folder.join(alias);
        if alias.symlink_metadata().is_ok() {
            std::fs::remove_file(&alias).map_err(|error| format!("{}: {error}", alias.display()))?;
        }
        std::os::unix::fs::symlink(&file, &alias).map_err(|error| format!("{}: {error}", alias.display()))?;
    }
    Ok(folder.join(file))
}

/// The pkg-config file of a library.
fn package(prefix: &Path, name: &str) -> String {
    let link = name.trim_start_matches("lib");
    format!(
        "prefix={}\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: {name}\n\
         Description: the C ABI of liburing {VERSION}, in Rust\n\
         Version: {VERSION}\n\
         Cflags: -I${{includedir}}\n\
         Libs: -L${{libdir}} -l{link}\n",
        prefix.display()
    )
}

/// Copies headers, folders included.
fn copy_headers(from: &Path, to: &Path) -> Result<(), String> {
    make_folder(to)?;
    let entries = std::fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", from.display()))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_headers(&path, &to.join(name))?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn make_folder(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
