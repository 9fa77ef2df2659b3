//! `copy`: a file copied through memory, and by the kernel. A race for each size; the last block of each file is short.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use contender::Tally;

use crate::count;
use crate::entrants::{Contender, Entrant, Memory, Source, Work};
use crate::race::{self, Line};
use crate::{Options, build};

/// A way to copy.
pub struct Way {
    /// Its name in the tables.
    pub name: &'static str,
    what: &'static str,
    source: Source,
    mode: &'static str,
    /// Whether the kernel may move the bytes by itself (`copy_file_range`).
    pub by_kernel: bool,
}

/// The ways, in the order of a round.
pub const WAYS: [Way; 5] = [
    Way {
        name: "std::io::copy",
        what: "8 KiB at a time, kept from copy_file_range",
        source: Source::Package("copy-std"),
        mode: "io-copy",
        by_kernel: false,
    },
    Way {
        name: "liburing-c",
        what: "reads linked to writes by hand in C",
        source: Source::C("copy/liburing-c/main.c"),
        mode: "read-write",
        by_kernel: false,
    },
    Way {
        name: "ouzel read-write",
        what: "compounds::copy_file kept from COPY",
        source: Source::Package("copy-ouzel"),
        mode: "read-write",
        by_kernel: false,
    },
    Way {
        name: "std::fs::copy",
        what: "std::fs::copy",
        source: Source::Package("copy-std"),
        mode: "fs-copy",
        by_kernel: true,
    },
    Way {
        name: "ouzel copy",
        what: "compounds::copy_file",
        source: Source::Package("copy-ouzel"),
        mode: "copy",
        by_kernel: true,
    },
];

/// Bytes of the files, and how many copies make a pass.
const SIZES: [(&str, u64, u64); 3] =
    [("10 KiB", 10_007, 200), ("1 MiB", 1_049_810, 32), ("64 MiB", 67_110_098, 1)];

/// What a size came to.
pub struct CopyResult {
    /// The size, as the tables say it.
    pub size: &'static str,
    /// Those that finished.
    pub lines: Vec<Line>,
}

/// Runs the races; `skip` is told of those that do not build or finish.
pub fn run(
    home: &Path,
    options: &Options,
    mut skip: impl FnMut(&str, String),
) -> Result<Vec<CopyResult>, Box<dyn Error>> {
    let work = home.join("work/copy");
    fs::create_dir_all(&work)?;
    let mut programs: Vec<(&Way, PathBuf)> = Vec::new();
    for way in &WAYS {
        eprintln!("building {} for copy", way.name);
        let contender = Contender {
            name: way.name,
            what: way.what,
            source: way.source,
            in_flight: &[1],
            pinned: true,
            memory: Memory::Reused,
        };
        match build::build(home, &contender) {
            Ok(program) => programs.push((way, program)),
            Err(reason) => skip(&format!("copy, {}", way.name), reason),
        }
    }
    let mut results = Vec::new();
    for (size, bytes, copies) in SIZES {
        eprintln!("copy: {size}");
        let source = work.join(format!("source-{bytes}"));
        prepare(&source, bytes)?;
        let entrants: Vec<Entrant> =
            programs.iter().map(|(way, program)| entrant(way, program, &source, bytes, copies)).collect();
        let (mut lines, skipped) = race::run(&entrants, options.rounds())?;
        for (name, reason) in skipped {
            skip(&format!("copy, {size}, {name}"), reason);
        }
        for line in &mut lines {
            line.system_calls = count::system_calls(&line.entrant, &work);
            let target = line.entrant.timed.arguments.get(2).ok_or("no target")?;
            if fs::read(&source)? != fs::read(target)? {
                return Err(format!("{}, {size}: the copy differs", line.name).into());
            }
            fs::remove_file(target)?;
        }
        results.push(CopyResult { size, lines });
    }
    Ok(results)
}

fn entrant(way: &Way, program: &Path, source: &Path, bytes: u64, copies: u64) -> Entrant {
    let target = source.with_file_name(format!("target-{}", way.name.replace([':', ' '], "-")));
    let work = |copies: u64| Work {
        arguments: vec![
            way.mode.into(),
            source.into(),
            target.clone().into(),
            OsString::from(copies.to_string()),
        ],
        items: copies,
    };
    Entrant {
        name: way.name.to_owned(),
        program: program.to_owned(),
        in_flight: 1,
        pinned: true,
        memory: Memory::Reused,
        timed: work(copies),
        expected: Tally { items: copies, bytes: bytes * copies, checksum: 0 },
        traced: work(copies.min(8)),
        counted: work(1),
    }
}

/// Makes the source if it is not there: numbers, each once, which are read once here.
fn prepare(path: &Path, bytes: u64) -> std::io::Result<()> {
    let contents: Vec<u8> = (0..bytes / 8 + 1).flat_map(u64::to_le_bytes).take(bytes as usize).collect();
    if fs::read(path).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    fs::write(path, contents)
}
