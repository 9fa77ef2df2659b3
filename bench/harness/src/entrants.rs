//! Who takes part. A contender is a program; an entrant is a contender with a number of files in flight.

use std::ffi::OsString;
use std::path::PathBuf;

use contender::Tally;

use crate::files::Files;

/// How a contender is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A package of this workspace.
    Package(&'static str),
    /// A C program.
    C(&'static str),
}

/// A program that takes part.
#[derive(Clone, Copy)]
pub struct Contender {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// What it is, in one line.
    pub what: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// Numbers of files in flight it runs with.
    pub in_flight: &'static [u32],
    /// Whether it is pinned to one processor; what brings a pool of threads is not.
    pub pinned: bool,
    /// What it reads into.
    pub memory: Memory,
}

/// What a contender reads into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Buffers that are used again.
    Reused,
    /// A new one for each file.
    Allocated,
}

impl Memory {
    /// The argument that asks for it, and what the table says.
    pub fn name(self) -> &'static str {
        match self {
            Memory::Reused => "reused",
            Memory::Allocated => "allocated",
        }
    }
}

/// What an entrant is given to do, and how much that is.
#[derive(Clone)]
pub struct Work {
    /// The arguments that ask for it.
    pub arguments: Vec<OsString>,
    /// Files to read or operations to make per pass.
    pub items: u64,
}

/// A contender with a number of files or operations in flight, ready to run.
#[derive(Clone)]
pub struct Entrant {
    /// Its name in the tables.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Files or operations in flight.
    pub in_flight: u32,
    /// Whether it is pinned to one processor.
    pub pinned: bool,
    /// What it reads into.
    pub memory: Memory,
    /// What is timed.
    pub timed: Work,
    /// What a timed pass must come to.
    pub expected: Tally,
    /// What is done under a tracer: less.
    pub traced: Work,
    /// What is done under an instruction counter: the least.
    pub counted: Work,
}

/// Those of `small-files`, in the order of a round.
pub fn contenders() -> Vec<Contender> {
    let package = |name, what, package, in_flight, pinned| Contender {
        name,
        what,
        source: Source::Package(package),
        in_flight,
        pinned,
        memory: Memory::Reused,
    };
    let allocated = |contender| Contender { memory: Memory::Allocated, ..contender };
    vec![
        package("raw", "openat, read, close as system calls (rustix)", "small-files-raw", &[1], true),
        allocated(package("std", "std::fs::read", "small-files-std", &[1], true)),
        Contender {
            name: "liburing-c",
            what: "linked chains by hand in C, with fixed slots",
            source: Source::C("small-files/liburing-c/main.c"),
            in_flight: &DEPTHS,
            pinned: true,
            memory: Memory::Reused,
        },
        package("ouzel", "Ouzel's Ring and Chain", "small-files-ouzel", &DEPTHS, true),
        allocated(package(
            "ouzel-vec",
            "the same, with a new buffer for each file",
            "small-files-ouzel",
            &[1, 32],
            true,
        )),
        allocated(package(
            "tokio-fs",
            "tokio::fs::read on its pool of threads",
            "small-files-tokio-fs",
            &[32],
            false,
        )),
        package(
            "tokio-uring",
            "tokio-uring: File::open, read_at, close",
            "small-files-tokio-uring",
            &[32],
            true,
        ),
        package("monoio", "monoio: File::open, read_at, close", "small-files-monoio", &[32], true),
        package("compio", "compio: File::open, read_at, close", "small-files-compio", &[32], true),
    ]
}

/// Numbers of files in flight at which Ouzel is compared with chains by hand.
pub const DEPTHS: [u32; 5] = [1, 2, 4, 8, 32];

/// The entrants of the contenders that were built. The floor runs twice: what lies between the two is noise.
pub fn entrants(built: &[(Contender, PathBuf)], files: &Files) -> Vec<Entrant> {
    let mut entrants = Vec::new();
    for (contender, program) in built {
        for in_flight in contender.in_flight {
            let name = if *contender.in_flight == [1] {
                contender.name.to_owned()
            } else {
                format!("{} x{in_flight}", contender.name)
            };
            let work = |(list, count): &(PathBuf, u32)| Work {
                arguments: vec![list.into(), in_flight.to_string().into(), contender.memory.name().into()],
                items: u64::from(*count),
            };
            entrants.push(Entrant {
                name,
                program: program.clone(),
                in_flight: *in_flight,
                pinned: contender.pinned,
                memory: contender.memory,
                timed: work(&files.all),
                expected: files.expected,
                traced: work(&files.short),
                counted: work(&files.shortest),
            });
        }
    }
    if let Some(raw) = entrants.iter().find(|entrant| entrant.name == "raw") {
        let again = Entrant { name: "raw (again)".to_owned(), ..raw.clone() };
        entrants.push(again);
    }
    entrants
}
