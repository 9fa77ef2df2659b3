//! The harness: builds the contenders one after the other, runs them round by round, counts what can be counted, and
//! writes `RESULTS.md` and its picture. It may run compilers, contenders, strace and valgrind, and write below `bench/`.
//! It must never drop a figure because Ouzel loses, nor mix figures of different runs.

mod async_report;
mod asyncs;
mod blocks;
mod build;
mod copies;
mod count;
mod echoes;
mod entrants;
mod files;
mod http;
mod http_report;
mod machine;
mod nops;
mod picture;
mod pools;
mod process;
mod publish;
mod race;
mod raw_report;
mod raw_rings;
mod report;
mod schemes;
mod teardown;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Ouzel's benchmarks, side by side with its peers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds and runs everything, and writes RESULTS.md.
    All(Options),
    /// Lists the contenders.
    List,
}

/// What to run. Only a whole run replaces RESULTS.md, and one with `--publish` parts of it: any other with `--quick`, `--only` or
/// `--files` writes to work/.
#[derive(Args, Clone)]
pub struct Options {
    /// Only these contenders of small-files, comma separated: `raw,ouzel`; and these benchmarks: `copy`, `nop`, `pool`,
    /// `raw-nop`, `raw-read`, `async-nop`, `async-read`, `echo`, `timers`, `spawn`, `cancel`, `in-tokio`, `teardown`, `http`,
    /// `scheme`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds that count, after one that warms up.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Files to read.
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    files: Option<u32>,
    /// 3 rounds of 2,000 files or fewer operations: whether everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Puts the sections of the benchmarks that are named by `--only` into RESULTS.md, in place of those that are there.
    #[arg(long, requires = "only", conflicts_with_all = ["quick", "files"])]
    publish: bool,
}

impl Options {
    fn is_quick(&self) -> bool {
        self.quick
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 })
    }

    fn files(&self) -> u32 {
        self.files.unwrap_or(if self.quick { 2_000 } else { 20_000 })
    }

    fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty() && self.files.is_none() && self.rounds() >= 9
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("harness: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::All(options) => all(&options),
        Command::List => {
            for contender in entrants::contenders() {
                println!("{:<12} {}", contender.name, contender.what);
            }
            for (name, what) in BENCHMARKS.into_iter().chain(asyncs::BENCHMARKS) {
                println!("{name:<12} {what}");
            }
            for contender in http::CONTENDERS {
                println!("{:<12} (in http) {}", contender.name, contender.what);
            }
            for contender in asyncs::CONTENDERS {
                println!("{:<12} (in the asynchronous ones) {}", contender.name, contender.what);
            }
            println!("{:<12} (in in-tokio) {}", asyncs::IN_TOKIO.name, asyncs::IN_TOKIO.what);
            for contender in raw_rings::contenders() {
                println!("{:<12} (in raw-nop and raw-read) {}", contender.name, contender.what);
            }
            Ok(())
        }
    }
}

/// What is raced besides small files.
const BENCHMARKS: [(&str, &str); 8] = [
    ("copy", "a file copied, through memory and by the kernel"),
    ("nop", "a NOP through Ouzel's engine, plain queues, the kernel's ring"),
    ("pool", "a buffer got and given back, by pools and the allocator"),
    ("raw-nop", "a NOP through the libraries that drive a ring"),
    ("raw-read", "random reads through the libraries that drive a ring"),
    ("teardown", "runtimes dropped with reads in flight: what the kernel still writes to"),
    ("scheme", "rings between processes beside bare rings, futexes, pipes and sockets"),
    ("http", "a static-file server on Ouzel, tokio and monoio, driven by wrk"),
];

/// The folder of the bench workspace.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn all(options: &Options) -> Result<(), Box<dyn Error>> {
    let known = entrants::contenders();
    if let Some(wrong) = options.only.iter().find(|only| {
        !BENCHMARKS.iter().chain(&asyncs::BENCHMARKS).any(|(name, _)| name == only)
            && !known.iter().any(|known| known.name == **only)
    }) {
        return Err(format!("--only {wrong}: no such contender; `harness list` names them").into());
    }
    if options.publish && options.rounds() < 9 {
        return Err("--publish: what is published has 9 rounds or more".into());
    }
    if let Some(contender) =
        known.iter().find(|known| options.publish && options.only.contains(&known.name.into()))
    {
        let name = contender.name;
        return Err(
            format!("--publish: {name} is a part of small-files, which only a whole run publishes").into()
        );
    }
    let home = home();
    let mut results = report::Results::new(options);
    let contenders: Vec<_> = known.into_iter().filter(|contender| options.wants(contender.name)).collect();
    if !contenders.is_empty() {
        small_files(&home, contenders, options, &mut results)?;
    }
    if options.wants("copy") {
        let copies = copies::run(&home, options, |name, reason| results.skip(name, reason))?;
        results.copies = copies;
    }
    if options.wants("nop") {
        eprintln!("building nop");
        match build::package(&home, "nop") {
            Ok(program) => match nops::run(&program, options) {
                Ok(nops) => results.nops = nops,
                Err(error) => results.skip("nop", error.to_string()),
            },
            Err(reason) => results.skip("nop", reason),
        }
    }
    if options.wants("pool") {
        eprintln!("pool");
        match build::package(&home, "pool") {
            Ok(program) => match pools::run(&program, options) {
                Ok(pools) => results.pools = pools,
                Err(error) => results.skip("pool", error.to_string()),
            },
            Err(reason) => results.skip("pool", reason),
        }
    }
    if options.wants("raw-nop") || options.wants("raw-read") {
        raw_rings(&home, options, &mut results)?;
    }
    asynchronous(&home, options, &mut results)?;
    if options.wants("teardown") {
        match teardown::run(&home, options, |name, reason| results.skip(name, reason)) {
            Ok(teardowns) => results.teardowns = teardowns,
            Err(error) => results.skip("teardown", error.to_string()),
        }
    }
    if options.wants("scheme") {
        eprintln!("scheme");
        // Where iceoryx2 does not build, the others race without it.
        let with_all = build::package_with(&home, "scheme-bench", &["iceoryx2"]);
        match with_all.or_else(|_| build::package(&home, "scheme-bench")) {
            Ok(program) => match schemes::run(&program, options) {
                Ok(schemes) => results.schemes = Some(schemes),
                Err(error) => results.skip("scheme", error.to_string()),
            },
            Err(reason) => results.skip("scheme", reason),
        }
    }
    if options.wants("http") {
        match http::run(&home, options, |name, reason| results.skip(name, reason)) {
            Ok(raced) => results.http = Some(raced),
            Err(error) => results.skip("http", error.to_string()),
        }
    }
    results.machine = machine::describe(&home);

    let text = report::write(&results);
    println!("{text}");
    if options.publish {
        let path = home.join("RESULTS.md");
        let published = std::fs::read_to_string(&path)?;
        std::fs::write(&path, publish::replace(&published, &text, &report::when(&results)))?;
        eprintln!("written: the sections of {} in {}", options.only.join(", "), path.display());
        return Ok(());
    }
    let folder = if options.is_whole() { home } else { home.join("work") };
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("RESULTS.md"), &text)?;
    picture::draw(&folder.join("results-small-files.svg"), &results)?;
    eprintln!("written: RESULTS.md and results-small-files.svg in {}", folder.display());
    Ok(())
}

/// The race over small files.
fn small_files(
    home: &Path,
    contenders: Vec<entrants::Contender>,
    options: &Options,
    results: &mut report::Results,
) -> Result<(), Box<dyn Error>> {
    let work = home.join("work");
    let files = files::prepare(&work, options.files())?;
    results.file_system = files.file_system.clone();
    let mut built = Vec::new();
    for contender in contenders {
        eprintln!("building {}", contender.name);
        match build::build(home, &contender) {
            Ok(program) => built.push((contender, program)),
            Err(reason) => results.skip(contender.name, reason),
        }
    }
    eprintln!("small files");
    let (race, skipped) = race::run(&entrants::entrants(&built, &files), options.rounds())?;
    results.race = race;
    for (name, reason) in skipped {
        results.skip(&name, reason);
    }
    for line in &mut results.race {
        eprintln!("counting {}", line.name);
        line.system_calls = count::system_calls(&line.entrant, &work);
        line.instructions = count::instructions(&line.entrant);
    }
    Ok(())
}

/// The races of the libraries that drive a ring.
fn raw_rings(home: &Path, options: &Options, results: &mut report::Results) -> Result<(), Box<dyn Error>> {
    let work = home.join("work");
    let mut cases = Vec::new();
    if options.wants("raw-nop") {
        cases.extend(raw_rings::nop_cases());
    }
    if options.wants("raw-read") {
        cases.extend(raw_rings::read_cases(&blocks::prepare(&work)?));
        results.file_system = files::file_system(&work)?;
    }
    let programs = raw_rings::build_all(home, |name, reason| results.skip(name, reason));
    for case in cases {
        let raced =
            raw_rings::run(case, &programs, &work, options, |name, reason| results.skip(name, reason))?;
        results.raw.push(raced);
    }
    Ok(())
}

/// The races of runtimes.
fn asynchronous(home: &Path, options: &Options, results: &mut report::Results) -> Result<(), Box<dyn Error>> {
    let wanted: Vec<&str> =
        asyncs::BENCHMARKS.iter().map(|(name, _)| *name).filter(|name| options.wants(name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let work = home.join("work");
    let file = blocks::prepare(&work)?;
    let programs = asyncs::build_all(home, &wanted, |name, reason| results.skip(name, reason));
    for benchmark in wanted {
        if benchmark == "echo" {
            match build::package(home, "async-load") {
                Ok(load) => {
                    let servers: Vec<_> =
                        programs.iter().filter(|(name, _)| *name != asyncs::IN_TOKIO.name).cloned().collect();
                    let skip = |name: &str, reason| results.skip(name, reason);
                    let raced = echoes::run(&servers, &load, &work, options, skip)?;
                    results.asyncs.extend(raced);
                }
                Err(reason) => results.skip("echo", reason),
            }
            continue;
        }
        for (number, case) in asyncs::cases(benchmark, &file).iter().enumerate() {
            let counts = !options.quick || number == 0;
            let raced = asyncs::run(case, &programs, &work, options, counts, |name, reason| {
                results.skip(name, reason);
            })?;
            results.asyncs.push(raced);
        }
    }
    Ok(())
}
