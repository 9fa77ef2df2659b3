//! The command line: names, help texts and bounds of every option. Nothing is done here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs chains of I/O operations written as text.
#[derive(Debug, Parser)]
#[command(name = "ouzel", version, about, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program, once or for each of many files
    Run(RunArguments),
    /// Read a program and say what is wrong with it, without running it
    Check(CheckArguments),
    /// Run a program and tell, step by step, what ran where and why, and what it cost; or, dry, what would run
    Explain(ExplainArguments),
    /// Say what this machine lets Ouzel do, and what would change that
    Doctor(DoctorArguments),
    /// Watch what the rings of processes do, live
    Top(TopArguments),
    /// Serve a directory, logs, or files in memory to other processes under a name
    Serve(ServeArguments),
    /// Mount a service as a file system, so that any program is a client of it
    Mount(MountArguments),
    /// List directories, also those of a service: name:path
    Ls(ListArguments),
    /// Print files, also those of a service: name:path
    Cat(PathsArguments),
    /// Copy a file; either side may be that of a service: name:path
    Cp(CopyArguments),
    /// Say what files are, also those of a service: name:path
    Stat(PathsArguments),
}

/// The backends that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// io_uring, or threads where that is refused
    Auto,
    /// Linux io_uring
    Uring,
    /// Plain system calls on threads
    Threads,
    /// The simulator: files in memory, virtual time
    Sim,
}

/// `ouzel run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 if every chain succeeded, 1 if one failed, 2 if nothing could be run.\n\
                        What a program prints goes to standard output, everything else to standard error."
)]
pub struct RunArguments {
    /// The program, a text file; `-` reads it from standard input
    pub program: PathBuf,
    /// Run once for each of these files, with the name in $path; `-` reads names from standard input, one a line.
    /// Directories stand for the regular files below them, sorted; symbolic links in them are not followed
    #[arg(long, value_name = "FILES", num_args = 1..)]
    pub each: Vec<OsString>,
    /// Leave out what matches, when directories are walked; matched against the name and against the whole path.
    /// May be repeated
    #[arg(long, value_name = "GLOB", requires = "each")]
    pub exclude: Vec<String>,
    /// Names on standard input end with a NUL instead of a line break
    #[arg(short = '0', long, requires = "each")]
    pub null: bool,
    /// Give the parameter $NAME a value. May be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<OsString>,
    /// What executes the operations
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,
    /// Run it in a service: paths are those of the service. What is explained and traced is this side's
    #[arg(long, value_name = "NAME", conflicts_with_all = ["backend", "explain"])]
    pub on: Option<String>,
    /// How many chains run at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub in_flight: u32,
    /// Say for every statement where it ran and why there
    #[arg(long)]
    pub explain: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Print every completion on standard error
    #[arg(long)]
    pub trace: bool,
    /// Write what the steps of all chains did when into this file, as JSON that Perfetto (ui.perfetto.dev) opens
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
}

/// `ouzel explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Run nothing: show the steps of the chain with their registers and jumps
    #[arg(long)]
    pub dry: bool,
    /// What to run, and how
    #[command(flatten)]
    pub run: RunArguments,
}

/// `ouzel doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `ouzel top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Rings are seen that were made with Ring::builder().observe(Observe::new().publish()), and services that\n\
                        were begun with --observe. Exit status: 0, or 1 if the process that was asked for has none, or 2 if nothing could be read."
)]
pub struct TopArguments {
    /// Show the rings of this process only
    #[arg(value_name = "PID")]
    pub process: Option<u32>,
    /// Print one snapshot as text and end; rates are those since each ring was made
    #[arg(long)]
    pub once: bool,
    /// With --once, print one JSON object instead of text; times are in nanoseconds
    #[arg(long, requires = "once")]
    pub json: bool,
    /// How long to wait between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,
    /// Where rings publish what they do, if it is not where they do by default
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 3600 is wanted".to_owned()),
    }
}

/// `ouzel check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The program, a text file; `-` reads it from standard input
    pub program: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `ouzel serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Clients find the name in OUZEL_SCHEMES, else in XDG_RUNTIME_DIR/ouzel. An interrupt ends the service.\n\
                        Quotas: connections, connections-of-user, entries, descriptors, shared-bytes, regions, chain,\n\
                        programs, program-bytes, program-steps, budget. Exit status: 0 when it was ended, 2 if it could not be begun."
)]
pub struct ServeArguments {
    /// What: file:DIR is a directory and everything beneath it, and nothing outside; log:DIR are logs in a directory, to
    /// which clients append records that are durable once their WRITE has completed; mem:BYTES are files in memory, gone with the service;
    /// fault:file:DIR and fault:mem:BYTES are made worse as --script says
    #[arg(value_name = "file:DIR|log:DIR|mem:BYTES|fault:…")]
    pub what: OsString,
    /// The name by which clients reach it
    #[arg(long)]
    pub name: String,
    /// The faults of fault:…, one rule a line: VERB short [1/3], VERB error ENOSPC [1/10], VERB late ROUNDS, VERB reorder
    /// MOST, seed N; any stands for every verb
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Refuse everything that would change a file
    #[arg(long)]
    pub read_only: bool,
    /// Have clients call the programs of these texts by their names: program NAME … end, and nothing else. A client's own text
    /// names one with `service NAME …`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub program: Vec<PathBuf>,
    /// Let `ouzel top` of the same user show the clients
    #[arg(long)]
    pub observe: bool,
    /// Have clients do nothing but call these programs
    #[arg(long, requires = "program")]
    pub only_programs: bool,
    /// Let clients make devices, which reach whatever the machine has; the service has to be root
    #[arg(long)]
    pub devices: bool,
    /// How much of something a client may have. May be repeated
    #[arg(long, value_name = "NAME=NUMBER")]
    pub quota: Vec<String>,
    /// What executes the operations
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,
}

/// `ouzel mount`.
#[derive(Debug, Args)]
#[command(
    after_help = "An interrupt unmounts it, and so does `umount DIR`. The service may go and come back: while it is away every call\n\
                        fails with EIO. Others than root need fusermount3. Exit status: 0 when it was unmounted, 2 if it could not be\n\
                        mounted, or not be kept so."
)]
pub struct MountArguments {
    /// The name of the service, as clients know it
    #[arg(value_name = "NAME:")]
    pub name: String,
    /// Where: a directory that is there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Refuse everything that would change a file
    #[arg(long)]
    pub read_only: bool,
    /// Let other users in, as far as owners and modes allow. For root that is always so
    #[arg(long)]
    pub allow_other: bool,
}

/// `ouzel ls`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Directories, of up to 64 MiB of names each, or files: ordinary ones, or name:path
    #[arg(required = true)]
    pub paths: Vec<OsString>,
    /// Say of what kind each is, its permissions and its size
    #[arg(short, long)]
    pub long: bool,
}

/// `ouzel cat` and `ouzel stat`.
#[derive(Debug, Args)]
pub struct PathsArguments {
    /// Files: ordinary ones, or name:path
    #[arg(required = true)]
    pub paths: Vec<OsString>,
}

/// `ouzel cp`.
#[derive(Debug, Args)]
pub struct CopyArguments {
    /// The file to copy: an ordinary one, or name:path
    pub from: OsString,
    /// Where to: a file, or a directory that is there; an ordinary one, or name:path
    pub to: OsString,
}
