//! Builds the demonstration kernel and its programs, packs the initrd, and boots them under QEMU.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What both the kernel and its programs are compiled with: no shared libraries, no unwinding.
const FLAGS: &[&str] = &[
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Cforce-frame-pointers=yes",
    "-Cpanic=abort",
    "-Clink-arg=--gc-sections",
    "-Clink-arg=-zmax-page-size=4096",
    "-Clink-arg=--build-id=none",
    "-Clink-arg=--no-dynamic-linker",
];

/// What the kernel alone is: it lies in the upper half, and an exception of its own must find nothing below its stack.
const KERNEL_FLAGS: &[&str] = &["-Cno-redzone=yes", "-Ccode-model=kernel"];

/// What a program alone is: where it lies, where it starts, and that nothing unwinds.
const PROGRAM_FLAGS: &[&str] = &[
    "-Clink-arg=--image-base=0x400000",
    "-Clink-arg=-eustart",
    "-Clink-arg=--defsym=rust_eh_personality=0",
    "-Clink-arg=--defsym=_Unwind_Resume=0",
];

const TARGET: &str = "x86_64-unknown-linux-gnu";
const QEMU: &str = "qemu-system-x86_64";

/// A kernel and an initrd that can be booted.
#[derive(Debug)]
pub struct Image {
    kernel: PathBuf,
    initrd: PathBuf,
}

/// How a run of the machine ended.
#[derive(Debug)]
pub struct Run {
    /// What came over the serial line.
    pub output: String,
    /// The exit status of the first process, or what [`boot`] says of the end of the machine.
    pub status: Result<u32, String>,
}

/// How to boot.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The program that is run first, with its arguments, separated by spaces.
    pub command: &'a str,
    /// One instruction is a nanosecond, and every run is like every other.
    pub counted: bool,
    /// What is typed on the serial line once something has come over it. Without it, what is typed here is.
    pub input: Option<&'a str>,
    /// The output is shown while it comes, too.
    pub shown: bool,
    /// The machine is ended after that.
    pub limit: Duration,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            command: "bin/first",
            counted: true,
            input: Some(""),
            shown: false,
            limit: Duration::from_secs(300),
        }
    }
}

/// Why a machine cannot be booted here, if so.
pub fn missing() -> Option<String> {
    let found = Command::new(QEMU).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{QEMU} --version ended with {status}")),
        Err(error) => Some(format!("{QEMU} cannot be run: {error}; ci/install-qemu installs it")),
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("..")).to_path_buf()
}

/// Builds the kernel and all programs, and packs the programs with the files of `programs/root`.
pub fn build() -> io::Result<Image> {
    let script = format!("-Clink-arg=-T{}", workspace().join("kernel/link.ld").display());
    let kernel = cargo("ouzel-kernel", "kernel", &[KERNEL_FLAGS, &[&script]].concat())?.join("ouzel-kernel");
    let programs = cargo("ouzel-kernel-programs", "programs", PROGRAM_FLAGS)?;
    let initrd = workspace().join("target").join("initrd.tar");
    // Two tests may build at once: what one reads is always whole.
    let own = workspace().join("target").join(format!("initrd-{}.tar", std::process::id()));
    let mut archive = tar::Builder::new(fs::File::create(&own)?);
    archive.mode(tar::HeaderMode::Deterministic);
    let mut names: Vec<PathBuf> = fs::read_dir(workspace().join("programs/src/bin"))?
        .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let name = name.with_extension("");
        archive.append_path_with_name(programs.join(&name), Path::new("bin").join(&name))?;
    }
    archive.append_dir_all(".", workspace().join("programs/root"))?;
    archive.into_inner()?.flush()?;
    fs::rename(own, &initrd)?;
    Ok(Image { kernel, initrd })
}

/// Builds a package in release mode and returns the folder of its binaries.
fn cargo(package: &str, target: &str, flags: &[&str]) -> io::Result<PathBuf> {
    let folder = workspace().join("target").join(target);
    let flags = [FLAGS, flags].concat().join("\x1f");
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(workspace())
        .args(["build", "--quiet", "--release", "--package", package, "--target", TARGET, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("building {package} failed with {status}: see above")));
    }
    Ok(folder.join(TARGET).join("release"))
}

/// Boots the machine and waits for its end.
pub fn boot(image: &Image, options: Options<'_>) -> io::Result<Run> {
    let mut command = Command::new(QEMU);
    command.args([
        "-accel",
        "tcg",
        "-M",
        "pc",
        "-m",
        "128M",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
    ]);
    command.args(["-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    if options.counted {
        command.args(["-icount", "shift=0,sleep=off"]);
    }
    command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
    command.args(["-append", options.command]);
    command.stdout(Stdio::piped()).stdin(if options.input.is_some() {
        Stdio::piped()
    } else {
        Stdio::inherit()
    });
    let mut machine = command.spawn()?;
    let (begun, beginning) = mpsc::channel();
    if let (Some(input), Some(mut line)) = (options.input, machine.stdin.take()) {
        let input = input.to_owned();
        thread::spawn(move || {
            // The kernel clears what came before it has set the line up. A machine that ends first takes nothing more.
            if beginning.recv().is_ok() {
                let _ = line.write_all(input.as_bytes());
            }
        });
    }
    let output = machine.stdout.take();
    let shown = options.shown;
    let reader =
        thread::spawn(move || output.map_or(Ok(Vec::new()), |output| pass_through(output, shown, &begun)));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = machine.try_wait()? {
            break meaning(status);
        }
        if begin.elapsed() > options.limit {
            machine.kill()?;
            machine.wait()?;
            break Err(format!("the machine had not ended after {:?}", options.limit));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = reader.join().map_err(|_| io::Error::other("the output could not be read"))??;
    Ok(Run { output: String::from_utf8_lossy(&output).into_owned(), status })
}

/// Collects the output, and says when there is some.
fn pass_through(mut output: impl io::Read, shown: bool, begun: &mpsc::Sender<()>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut some = [0; 4096];
    loop {
        let length = output.read(&mut some)?;
        if length == 0 {
            return Ok(all);
        }
        // Nobody listens any more if nothing is to be typed, or it has been.
        let _ = begun.send(());
        if shown {
            io::stdout().write_all(&some[..length])?;
            io::stdout().flush()?;
        }
        all.extend_from_slice(&some[..length]);
    }
}

/// The device that ends the machine makes twice its argument and one the status of QEMU.
fn meaning(status: ExitStatus) -> Result<u32, String> {
    match status.code() {
        Some(0xff) => Err("the kernel panicked: see its output".into()),
        Some(0xfd) => Err("a signal ended the first process: see its output".into()),
        Some(code) if code & 1 == 1 => Ok(code as u32 >> 1),
        _ => Err(format!("QEMU ended with {status}, not by the kernel's wish")),
    }
}
