//! `ouzel top`: what the rings of this user's processes do, and the clients of its services.
//!
//! It reads the pages that rings and services publish ([`ouzel::observe`]) and never writes to them; a process does not notice that it is
//! looked at. What is read here ([`Reading`]) becomes rows of text ([`view`]), which are printed once or shown again and
//! again ([`screen`]).

pub mod screen;
pub mod view;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ouzel::observe::{ServiceStatistics, Statistics, directory, rings_in, services_in};

use crate::args::TopArguments;
use crate::command::CommandError;
use crate::inputs::shown;
use view::View;

/// What to do where nothing is to be seen.
pub const REMEDY: &str = "only rings made with `Ring::builder().observe(Observe::new().publish())` can be seen, and only \
                          those of this user";

/// The rings that could be read at one time.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Them.
    pub rings: Vec<Ring>,
    /// The services.
    pub services: Vec<Service>,
    /// Why others could not be read.
    pub problems: Vec<String>,
}

/// A ring that could be read.
#[derive(Clone, Debug)]
pub struct Ring {
    /// What its process is called.
    pub name: String,
    /// Its numbers.
    pub statistics: Statistics,
}

/// A service that could be read.
#[derive(Clone, Debug)]
pub struct Service {
    /// What its process is called.
    pub name: String,
    /// Its connections.
    pub statistics: ServiceStatistics,
}

impl Reading {
    /// Reads the pages in `directory`, those of one process if that is asked for.
    ///
    /// # Errors
    ///
    /// Those of reading the folder.
    pub fn take(directory: &Path, process: Option<u32>) -> io::Result<Reading> {
        let (rings, services, problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut reading = Reading { at: Instant::now(), rings, services, problems };
        for found in rings_in(directory)? {
            if process.is_some_and(|process| u64::from(process) != found.process.number) {
                continue;
            }
            match found.statistics {
                Ok(statistics) => {
                    let name = name_of(found.process.number);
                    reading.rings.push(Ring { name, statistics });
                }
                Err(error) => reading.problems.push(format!("process {}: {error}", found.process.number)),
            }
        }
        for found in services_in(directory)? {
            if process.is_some_and(|process| u64::from(process) != found.process.number) {
                continue;
            }
            match found.statistics {
                Ok(statistics) => {
                    let name = name_of(found.process.number);
                    reading.services.push(Service { name, statistics });
                }
                Err(error) => reading.problems.push(format!("process {}: {error}", found.process.number)),
            }
        }
        Ok(reading)
    }

    /// The same service in this reading, if it was there.
    pub fn same_service(&self, service: &ServiceStatistics) -> Option<&ServiceStatistics> {
        let is_same =
            |other: &&ServiceStatistics| (other.process, other.number) == (service.process, service.number);
        self.services.iter().map(|service| &service.statistics).find(is_same)
    }

    /// The same ring in this reading, if it was there.
    pub fn same(&self, ring: &Statistics) -> Option<&Statistics> {
        let is_same = |other: &&Statistics| (other.process, other.ring) == (ring.process, ring.ring);
        self.rings.iter().map(|ring| &ring.statistics).find(is_same)
    }
}

/// The name of a process, which it may have chosen itself: fit for a terminal.
fn name_of(process: u64) -> String {
    let name = std::fs::read(format!("/proc/{process}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    let shown = |character: char| if character.is_control() { '?' } else { character };
    name.trim_end_matches('\n').chars().map(shown).collect()
}

/// Does what the arguments ask for. False if the process that was asked for has no ring.
///
/// # Errors
///
/// Those of reading the pages, and of the terminal.
pub fn run(arguments: &TopArguments) -> Result<bool, CommandError> {
    let directory = arguments.directory.clone().unwrap_or_else(directory);
    let take = || read(&directory, arguments.process);
    if !arguments.once {
        if !io::stdout().is_terminal() {
            let message = "standard output is no terminal: --once prints one snapshot";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let interval = Duration::from_secs_f64(arguments.interval);
        return screen::run(interval, take).map(|()| true);
    }
    let reading = take()?;
    if arguments.json {
        crate::command::print_json(&view::json(&reading))?;
    } else {
        for problem in &reading.problems {
            writeln!(io::stderr(), "{problem}").unwrap_or_default();
        }
        write!(io::stdout(), "{}", View::new(&reading, None)).map_err(CommandError::Output)?;
    }
    let is_empty = reading.rings.is_empty() && reading.services.is_empty();
    if is_empty {
        let whose = arguments.process.map_or_else(
            || format!("no ring can be seen in {}", shown(directory.as_os_str())),
            |process| {
                format!("process {process} has no ring that can be seen in {}", shown(directory.as_os_str()))
            },
        );
        writeln!(io::stderr(), "{whose}: {REMEDY}").unwrap_or_default();
    }
    Ok(arguments.process.is_none() || !is_empty)
}

fn read(directory: &Path, process: Option<u32>) -> Result<Reading, CommandError> {
    Reading::take(directory, process)
        .map_err(|cause| CommandError::Look { folder: shown(directory.as_os_str()), cause })
}
