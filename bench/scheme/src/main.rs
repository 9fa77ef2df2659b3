//! What a ring between processes costs, beside what it is made of and what it stands in for: a bare ring in shared memory, a
//! futex, pipes and sockets. One run, in which everybody has a turn in every round, each time with a new other side.
//!
//! Usage: `scheme-bench [--json] [ROUNDS [CHUNKS]]`, or `scheme-bench nops COUNT` for an instruction counter: client and
//! server on two threads of one process. It writes one small file, in a folder of its own below the one for temporary files.

mod count;
#[cfg(feature = "iceoryx2")]
mod iceoryx;
mod place;
mod roles;
mod shared;
mod sides;
mod table;

use std::error::Error;
use std::os::unix::fs::DirBuilderExt;
use std::process::Command;
use std::time::Instant;

use ouzel_ring::Geometry;

use place::{Mode, Place};
use sides::{Bare, Engine, Files, Futex, Nops, Open, Plain, Probe, Setting, Streams};
use table::{Goal, Row, median};

/// Bytes of a message that is only passed on.
const MESSAGE: usize = 64;

/// Entries in a batch.
const BATCH: u64 = 32;

/// Bytes of a read, how many there are of such, and the file that has them.
const BLOCK: usize = 4096;
const BLOCKS: u64 = 256;
const FILE: &str = "blocks";

/// The queues of a client by default, and of the bare ring.
fn geometry() -> Result<Geometry, Box<dyn Error>> {
    Ok(Geometry::new(256, 512)?)
}

/// A round trip of two words that is faster than this is between processors that share a cache.
const NEAR: f64 = 200.0;

/// What is measured: operations in one look at the clock, and what counts for one of them.
struct Case {
    section: &'static str,
    mode: Mode,
    name: &'static str,
    operations: u64,
    items: u64,
    open: Open,
}

/// All of it, in the order of a round.
fn cases() -> Vec<Case> {
    use Mode::{Cross, Same};
    let case = |section, mode, name, operations, open: Open| Case {
        section,
        mode,
        name,
        operations,
        items: if section == "batch" { BATCH } else { 1 },
        open,
    };
    vec![
        case("probe", Cross, "words", 200, Probe::open),
        case("spin", Cross, "bare ring", 200, Bare::open),
        case("spin", Cross, "scheme", 200, Nops::open),
        case("spin", Cross, "pipes", 10, Streams::pipe),
        case("spin", Cross, "socket", 10, Streams::socket),
        case("sleep", Cross, "futex", 10, Futex::open),
        case("sleep", Cross, "scheme", 10, Nops::open_sleeping),
        case("sleep", Same, "futex", 50, Futex::open),
        case("sleep", Same, "scheme", 50, Nops::open_sleeping),
        case("sleep", Same, "scheme, may spin", 50, Nops::open),
        case("sleep", Same, "pipes", 50, Streams::pipe),
        case("sleep", Same, "socket", 50, Streams::socket),
        case("batch", Cross, "bare ring", 20, Bare::open_batch),
        case("batch", Cross, "engine alone", 20, Engine::open_batch),
        case("batch", Cross, "scheme", 20, Nops::open_batch),
        case("read", Cross, "pread, no service", 100, Plain::open),
        case("read", Cross, "scheme", 50, Files::read),
        case("read", Cross, "pipes", 10, Streams::read_by_pipe),
        case("read", Cross, "socket", 10, Streams::read_by_socket),
        #[cfg(feature = "iceoryx2")]
        case("read", Cross, "iceoryx2", 50, iceoryx::Asking::open),
        case("read", Same, "pread, no service", 100, Plain::open),
        case("read", Same, "scheme", 20, Files::read),
        case("read", Same, "pipes", 20, Streams::read_by_pipe),
        case("read", Same, "socket", 20, Streams::read_by_socket),
        case("chain", Cross, "one chain", 20, Files::chain),
        case("chain", Cross, "three entries", 20, Files::three),
        case("chain", Same, "one chain", 20, Files::chain),
        case("chain", Same, "three entries", 20, Files::three),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("role") => return roles::run(&words[1..]),
        Some("nops") => return count::nops(&words[1..]),
        Some("race") => return race(&words[1..]),
        _ => {}
    }
    let json = words.first().is_some_and(|word| word == "--json");
    if json {
        words.remove(0);
    }
    let rounds = words.first().map_or("9", String::as_str);
    let chunks = words.get(1).map_or("64", String::as_str);
    // Services find their folder in the environment, which only whoever starts a process can set safely.
    let folder = std::env::temp_dir().join(format!("scheme-bench-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let status = sides::make_file(&folder).and_then(|()| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["race", if json { "json" } else { "text" }, rounds, chunks]).arg(&folder);
        Ok(command.env("OUZEL_SCHEMES", &folder).status()?)
    });
    std::fs::remove_dir_all(&folder)?;
    match status?.success() {
        true => Ok(()),
        false => Err("the race has failed".into()),
    }
}

/// The race itself, in a process whose environment names the folder.
fn race(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [form, rounds, chunks, folder] = words else {
        return Err("a form, numbers and a folder are wanted".into());
    };
    let (rounds, chunks): (usize, usize) = (rounds.parse()?, chunks.parse()?);
    if rounds == 0 || chunks == 0 {
        return Err("at least 1 round and 1 chunk".into());
    }
    let allowed = place::allowed()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut raced: Vec<(Case, Setting)> = Vec::new();
    for case in cases() {
        match Place::of(case.mode)? {
            Some(place) => {
                rows.push(Row::new(case.section, case.mode.name(), case.name));
                raced.push((case, Setting { place, root: folder.into() }));
            }
            None => eprintln!("SKIPPED: {}, {}: only one processor may be used", case.section, case.name),
        }
    }
    if cfg!(not(feature = "iceoryx2")) {
        eprintln!("SKIPPED: read, iceoryx2: built without it (feature iceoryx2)");
    }
    let mut failed = vec![None; rows.len()];
    for round in 0..=rounds {
        for (number, (case, setting)) in raced.iter().enumerate() {
            if failed[number].is_some() {
                continue;
            }
            place::allow(&allowed)?;
            match turn(case, setting, chunks) {
                // The first round warms up.
                Ok(time) if round > 0 => rows[number].samples.push(time),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("SKIPPED: {}, {}, {}: {error}", case.section, case.mode.name(), case.name);
                    failed[number] = Some(());
                }
            }
        }
    }
    rows.retain(|row| row.samples.len() == rounds);
    let goals = Goal::all(&rows);
    let probe = rows.iter().find(|row| row.section == "probe").map(|row| median(&row.samples));
    let placement = probe.map_or("one processor", |time| if time < NEAR { "near" } else { "far" });
    if form == "json" {
        table::json(&rows, &goals, placement);
    } else {
        table::text(&rows, &goals, placement);
    }
    Ok(())
}

/// Starts both sides and measures: nanoseconds for an item, the median of the chunks, so that whatever else runs on the
/// machine now and then is left out.
fn turn(case: &Case, setting: &Setting, chunks: usize) -> Result<f64, Box<dyn Error>> {
    let mut side = (case.open)(setting)?;
    place::pin_to(setting.place.here)?;
    let mut times = Vec::with_capacity(chunks);
    for chunk in 0..chunks + chunks.div_ceil(4) {
        let begin = Instant::now();
        side.run(case.operations)?;
        let time = begin.elapsed().as_nanos() as f64;
        if chunk >= chunks.div_ceil(4) {
            times.push(time / (case.operations * case.items) as f64);
        }
    }
    Ok(median(&times))
}
