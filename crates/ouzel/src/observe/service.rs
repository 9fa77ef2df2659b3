//! Services: a page of the connections that a service has, as rings have pages of their own.
//!
//! The page has a head and a row for each place that a connection can have. The service writes a row on its own thread, after
//! each turn of that client; whoever reads meanwhile sees each word whole, and believes none. Nothing is allocated or
//! called for a row.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ouzel_scheme::{Connection, Name, Observer, Quotas};
use rustix::time::{ClockId, clock_gettime};

use super::directory::{self, Published, pages_in, read_words};
use super::page::Page;
use super::statistics::{PageError, Process};
use super::{next_number, refused};
use crate::error::Error;

/// The first word: `OUZELSRV`.
const MAGIC: u64 = u64::from_be_bytes(*b"OUZELSRV");
const VERSION: u64 = 1;

/// Words of the head, by number.
mod head {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 1;
    pub(super) const PROCESS: usize = 2;
    pub(super) const PROCESS_START: usize = 3;
    pub(super) const NAMESPACE: usize = 4;
    /// The page's number within the process.
    pub(super) const NUMBER: usize = 5;
    pub(super) const DESCRIPTORS: usize = 6;
    pub(super) const SHARED_BYTES: usize = 7;
    pub(super) const PROGRAMS: usize = 8;
    /// Connections without a row.
    pub(super) const UNSEEN: usize = 9;
    /// Eight words with the bytes of the name, zeros behind it.
    pub(super) const NAME: usize = 16;
    pub(super) const WORDS: usize = 32;
}

/// Words of a row, by number.
mod row {
    /// 0: nobody; 1: a client; 2: one that has gone.
    pub(super) const STATE: usize = 0;
    pub(super) const PROCESS: usize = 1;
    pub(super) const USER: usize = 2;
    /// Another one for each connection.
    pub(super) const NUMBER: usize = 3;
    /// By CLOCK_MONOTONIC.
    pub(super) const SINCE: usize = 4;
    pub(super) const ENTRIES: usize = 5;
    pub(super) const COMPLETIONS: usize = 6;
    pub(super) const IN_FLIGHT: usize = 7;
    pub(super) const CHAINS: usize = 8;
    pub(super) const DESCRIPTORS: usize = 9;
    pub(super) const SHARED_BYTES: usize = 10;
    pub(super) const REGIONS: usize = 11;
    pub(super) const PROGRAMS: usize = 12;
    pub(super) const WORDS: usize = 16;
}

/// Rows of a page. A service may have more connections: then some have none.
const ROWS: usize = 1024;
const LENGTH: usize = head::WORDS + ROWS * row::WORDS;
const NAME_WORDS: usize = 8;

const fn at(place: usize, word: usize) -> usize {
    head::WORDS + place * row::WORDS + word
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The connections of a service, where this user's other processes can read them, such as `ouzel top`: in a file in
/// [`directory`](super::directory()) that is removed with this. [`Server::observe`](ouzel_scheme::Server::observe) takes it.
pub struct PublishedService {
    page: Page<LENGTH>,
    _file: Published,
    /// The number of the connection that came last.
    last: u64,
}

impl PublishedService {
    /// A page for the service of this name, whose clients have these quotas.
    ///
    /// Errors: [`Error::Observe`].
    pub fn new(name: &Name, quotas: &Quotas) -> Result<PublishedService, Error> {
        PublishedService::new_in(&super::directory(), name, quotas)
    }

    /// As [`new`](PublishedService::new), in another folder, which is made if need be. It has to be the user's, and writable
    /// for nobody else.
    pub fn new_in(directory: &Path, name: &Name, quotas: &Quotas) -> Result<PublishedService, Error> {
        let failed = |error| refused(Some(directory), error);
        let process = Process::this().map_err(failed)?;
        let number = next_number();
        let (file, page) =
            Published::make::<LENGTH>(directory, process, number, directory::SERVICE).map_err(failed)?;
        for (word, value) in [
            (head::PROCESS, process.number),
            (head::PROCESS_START, process.start),
            (head::NAMESPACE, process.namespace),
            (head::NUMBER, number),
            (head::DESCRIPTORS, u64::from(quotas.descriptors)),
            (head::SHARED_BYTES, quotas.shared_bytes),
            (head::PROGRAMS, u64::from(quotas.programs)),
        ] {
            page.set(word, value);
        }
        for (place, bytes) in name.as_str().as_bytes().chunks(size_of::<u64>()).take(NAME_WORDS).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            page.set(head::NAME + place, u64::from_ne_bytes(word));
        }
        page.set(head::VERSION, VERSION);
        page.set(head::MAGIC, MAGIC);
        file.show().map_err(failed)?;
        Ok(PublishedService { page, _file: file, last: 0 })
    }
}

impl Observer for PublishedService {
    fn note(&mut self, place: u32, connection: &Connection) {
        let (page, place) = (&self.page, place as usize);
        if place >= ROWS {
            // Of those without a row the highest place tells how many there have been.
            let unseen = (place - ROWS + 1) as u64;
            return page.raise(head::UNSEEN, unseen);
        }
        if page.word(at(place, row::STATE)) == 0 {
            self.last += 1;
            page.set(at(place, row::PROCESS), u64::from(connection.process.cast_unsigned()));
            page.set(at(place, row::USER), u64::from(connection.user));
            page.set(at(place, row::NUMBER), self.last);
            page.set(at(place, row::SINCE), now());
        }
        for (word, value) in [
            (row::ENTRIES, connection.entries),
            (row::COMPLETIONS, connection.completions),
            (row::IN_FLIGHT, u64::from(connection.in_flight)),
            (row::CHAINS, u64::from(connection.chains)),
            (row::DESCRIPTORS, u64::from(connection.descriptors)),
            (row::SHARED_BYTES, connection.shared_bytes),
            (row::REGIONS, u64::from(connection.regions)),
            (row::PROGRAMS, u64::from(connection.programs)),
            (row::STATE, 1 + u64::from(connection.leaving)),
        ] {
            page.set(at(place, word), value);
        }
    }

    fn gone(&mut self, place: u32) {
        if (place as usize) < ROWS {
            self.page.set(at(place as usize, row::STATE), 0);
        }
    }
}

impl std::fmt::Debug for PublishedService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PublishedService").field("connections", &self.last).finish_non_exhaustive()
    }
}

/// What a service says of itself and its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStatistics {
    /// Its process.
    pub process: Process,
    /// What no other page of the process has.
    pub number: u64,
    /// The name that it serves, without a colon.
    pub name: String,
    /// Descriptors that each client may have.
    pub descriptors: u64,
    /// Bytes that each client may share.
    pub shared_bytes: u64,
    /// Programs that each client may store.
    pub programs: u64,
    /// The most connections there have been at once that are not among these: there is room for 1024.
    pub unseen: u64,
    /// Its connections.
    pub connections: Vec<ConnectionStatistics>,
}

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatistics {
    /// Its number: no other connection of the service has had it.
    pub number: u64,
    /// The client's process; 0 if it has no number where the service is.
    pub process: u32,
    /// The client's user.
    pub user: u32,
    /// How long it has been there.
    pub age: Duration,
    /// The client has gone, and something that it had begun has not ended.
    pub leaving: bool,
    /// Entries taken.
    pub entries: u64,
    /// Completions posted.
    pub completions: u64,
    /// Entries that have not completed.
    pub in_flight: u64,
    /// Chains that are not over.
    pub chains: u64,
    /// Descriptors open.
    pub descriptors: u64,
    /// Bytes shared.
    pub shared_bytes: u64,
    /// Regions of these.
    pub regions: u64,
    /// Programs stored.
    pub programs: u64,
}

impl ServiceStatistics {
    fn from_words(words: &[u64], now: u64) -> Result<ServiceStatistics, PageError> {
        if words.len() < LENGTH || words[head::MAGIC] != MAGIC {
            return Err(PageError::Foreign);
        }
        if words[head::VERSION] != VERSION {
            return Err(PageError::Version(words[head::VERSION]));
        }
        let name: Vec<u8> =
            words[head::NAME..][..NAME_WORDS].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // What is no name is shown nowhere.
        let name = std::str::from_utf8(name).ok().and_then(|name| Name::parse(name).ok());
        let Some(name) = name else { return Err(PageError::Foreign) };
        let rows = words[head::WORDS..].chunks_exact(row::WORDS).filter(|row| row[row::STATE] != 0);
        let connection = |row: &[u64]| ConnectionStatistics {
            number: row[row::NUMBER],
            process: row[row::PROCESS] as u32,
            user: row[row::USER] as u32,
            age: Duration::from_nanos(now.saturating_sub(row[row::SINCE])),
            leaving: row[row::STATE] != 1,
            entries: row[row::ENTRIES],
            completions: row[row::COMPLETIONS],
            in_flight: row[row::IN_FLIGHT],
            chains: row[row::CHAINS],
            descriptors: row[row::DESCRIPTORS],
            shared_bytes: row[row::SHARED_BYTES],
            regions: row[row::REGIONS],
            programs: row[row::PROGRAMS],
        };
        let process = Process {
            number: words[head::PROCESS],
            start: words[head::PROCESS_START],
            namespace: words[head::NAMESPACE],
        };
        Ok(ServiceStatistics {
            process,
            number: words[head::NUMBER],
            name: name.as_str().to_owned(),
            descriptors: words[head::DESCRIPTORS],
            shared_bytes: words[head::SHARED_BYTES],
            programs: words[head::PROGRAMS],
            unseen: words[head::UNSEEN],
            connections: rows.map(connection).collect(),
        })
    }
}

/// A service's page that was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct FoundService {
    /// Its file.
    pub path: PathBuf,
    /// The process that its name says.
    pub process: Process,
    /// What it says, or why it cannot be read.
    pub statistics: Result<ServiceStatistics, PageError>,
}

/// Reads the pages of all services in `directory` whose process is there, or may be, in the order of their names and
/// processes. If there is no such folder there are none. Nothing in them is believed.
///
/// Errors: those of reading the folder.
pub fn services_in(directory: &Path) -> io::Result<Vec<FoundService>> {
    let mut found = Vec::new();
    for (path, process) in pages_in(directory, directory::SERVICE)? {
        let words = read_words(&path, Page::<LENGTH>::BYTES);
        match words.and_then(|words| ServiceStatistics::from_words(&words, now())) {
            // It has ended meanwhile.
            Err(PageError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            statistics => found.push(FoundService { path, process, statistics }),
        }
    }
    found.sort_by_key(|found| {
        let name = found.statistics.as_ref().map_or(String::new(), |statistics| statistics.name.clone());
        (name, found.process.number)
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(process: i32, entries: u64) -> Connection {
        let mut connection = Connection::default();
        (connection.process, connection.user, connection.entries) = (process, 7, entries);
        (connection.shared_bytes, connection.programs) = (1 << 20, 3);
        connection
    }

    #[test]
    fn connections_come_and_go_on_their_page() {
        let folder = std::env::temp_dir().join(format!("ouzel-connections-{}", std::process::id()));
        let name = Name::parse("a-service:").unwrap();
        let quotas = Quotas { descriptors: 5, ..Quotas::default() };
        let mut page = PublishedService::new_in(&folder, &name, &quotas).unwrap();
        let read = || {
            let mut found = services_in(&folder).unwrap();
            assert_eq!(found.len(), 1);
            found.remove(0).statistics.unwrap()
        };
        let statistics = read();
        assert_eq!((statistics.name.as_str(), statistics.descriptors), ("a-service", 5));
        assert_eq!(statistics.process, Process::this().unwrap());
        assert_eq!(statistics.connections, []);

        page.note(3, &connection(100, 1));
        page.note(0, &connection(200, 2));
        page.note(3, &connection(100, 9));
        let connections = read().connections;
        let told: Vec<_> = connections.iter().map(|one| (one.process, one.user, one.entries)).collect();
        assert_eq!(told, [(200, 7, 2), (100, 7, 9)]);
        assert_eq!((connections[0].shared_bytes, connections[0].programs), (1 << 20, 3));
        assert_eq!((connections[0].number, connections[1].number), (2, 1));
        assert!(connections.iter().all(|one| one.age < Duration::from_secs(60) && !one.leaving));

        page.gone(3);
        let mut last = connection(300, 0);
        last.leaving = true;
        page.note(3, &last);
        let connections = read().connections;
        assert_eq!((connections[1].process, connections[1].number, connections[1].leaving), (300, 3, true));
        // The last that has a row, and one past it.
        page.note(ROWS as u32 - 1, &connection(400, 0));
        assert_eq!((read().connections.len(), read().unseen), (3, 0));
        page.note(ROWS as u32, &connection(400, 0));
        page.gone(ROWS as u32);
        assert_eq!((read().connections.len(), read().unseen), (3, 1));
        drop(page);
        assert!(services_in(&folder).unwrap().is_empty());
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn no_content_makes_reading_a_page_panic() {
        let from_words = |words: &[u64]| ServiceStatistics::from_words(words, 0);
        assert!(matches!(from_words(&[MAGIC, VERSION]), Err(PageError::Foreign)));
        for fill in [0, 1, u64::MAX, 0x4141_4141_4141_4141, 0x8000_0000_0000_0001] {
            let mut words = vec![fill; LENGTH];
            assert!(matches!(from_words(&words), Err(PageError::Foreign)));
            words[head::MAGIC] = MAGIC;
            assert!(matches!(
                from_words(&words),
                Err(PageError::Version(_)) | Ok(_) | Err(PageError::Foreign)
            ));
            words[head::VERSION] = VERSION;
            // Only what can be a name is one.
            assert_eq!(from_words(&words).is_ok(), fill == 0x4141_4141_4141_4141, "{fill:#x}");
        }
    }
}
