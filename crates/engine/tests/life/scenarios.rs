//! What is explored: small rings with a few chains, and what may happen to them.

use ouzel_ring::{Entry, EntryFlags, Verb};

use super::common::{
    cancel, close, deadline, finally, hard, linked, load, local, open, poll, read, save, with,
};
use super::world::{CLOSES, Mood, POLL, WIDTH, path_of};

/// Entries that are pushed together. Their user data is the number of the chain times [`WIDTH`], and then their place.
pub struct Chain {
    pub entries: Vec<Entry>,
}

impl Chain {
    /// Whether its last entry ends it.
    pub fn is_whole(&self) -> bool {
        self.entries.last().is_some_and(|last| last.flags & EntryFlags::CHAINED.bits() == 0)
    }
}

/// Something that the submitter may stop, once.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// What is in flight and has this user data.
    Cancel(u64),
    CancelAll,
    /// The chain in the queue that has a member with this user data.
    Withdraw(u64),
}

pub struct Scenario {
    pub name: &'static str,
    /// Slots of the two queues.
    pub slots: (u64, u64),
    pub longest_run: usize,
    /// Descriptors that are open from the start.
    pub adopted: u32,
    pub chains: Vec<Chain>,
    pub stops: Vec<Stop>,
    pub moods: Vec<Mood>,
    /// Operations may fail.
    pub fails: bool,
    /// Results that a multishot may have.
    pub results: u32,
    /// The submitter reads completions one by one, when it likes; otherwise at once.
    pub reads_slowly: bool,
    /// The ring may be torn down, and what follows is explored as well.
    pub tears_down: bool,
    /// All that is opened is closed by some FINALLY.
    pub closes_all: bool,
}

impl Scenario {
    /// Whether the backend cannot tell what became of this entry: the engine executes it.
    pub fn is_unseen(&self, data: u64) -> bool {
        let mut entries = self.chains.iter().flat_map(|chain| &chain.entries);
        entries.any(|entry| {
            entry.data == data && (entry.op == Verb::Deadline as u32 || entry.op == Verb::Cancel as u32)
        })
    }
}

/// The descriptor that is open from the start.
const FILE: u64 = 1 << 32;

fn reads(data: u64) -> Entry {
    let mut entry = read(data, FILE);
    entry.arguments[3] = data;
    entry
}

fn opens(data: u64) -> Entry {
    let mut entry = save(open(data), 0);
    entry.arguments[1] = ouzel_ring::Payload::of(path_of(data)).number();
    entry
}

/// A READ of what register 0 names.
fn reads_opened(data: u64) -> Entry {
    load(reads(data), 0, 0)
}

fn closes(chain: u64) -> Entry {
    finally(load(close(chain * WIDTH + CLOSES, 0), 0, 0))
}

fn chain<const N: usize>(entries: [Entry; N]) -> Chain {
    Chain { entries: entries.to_vec() }
}

fn open_read_close(number: u64) -> Chain {
    let first = number * WIDTH;
    chain([local(linked(opens(first))), linked(reads_opened(first + 1)), closes(number)])
}

fn base(name: &'static str) -> Scenario {
    Scenario {
        name,
        slots: (8, 16),
        longest_run: 1,
        adopted: 1,
        chains: Vec::new(),
        stops: Vec::new(),
        moods: vec![Mood::TakeAll],
        fails: true,
        results: 0,
        reads_slowly: false,
        tears_down: true,
        closes_all: true,
    }
}

/// Open files are closed, however their chains end: one has a deadline, one is cancelled, and the backend is in every mood.
pub fn opened_and_closed() -> Scenario {
    let first = WIDTH;
    let under_deadline = chain([
        local(linked(deadline(first, 100))),
        linked(opens(first + 1)),
        linked(reads_opened(first + 2)),
        closes(1),
    ]);
    Scenario {
        chains: vec![open_read_close(0), under_deadline],
        stops: vec![Stop::Cancel(1)],
        moods: vec![Mood::TakeAll, Mood::Succeed, Mood::Fail, Mood::Busy],
        ..base("opened and closed")
    }
}

/// So little that every path through it can be taken, not only one to each state.
pub fn small() -> Scenario {
    Scenario {
        chains: vec![chain([hard(reads(0)), finally(reads(1))]), chain([reads(WIDTH).timeout(100)])],
        stops: vec![Stop::CancelAll],
        fails: false,
        tears_down: false,
        ..base("small")
    }
}

/// Two such chains in runs, which break where they like, and a cancel of everything.
pub fn runs() -> Scenario {
    Scenario {
        longest_run: 3,
        chains: vec![open_read_close(0), open_read_close(1)],
        stops: vec![Stop::CancelAll],
        moods: vec![Mood::TakeAll, Mood::TakeOne],
        ..base("runs")
    }
}

/// A deadline over a HARDLINK and a LINK, with FINALLY members that neither it nor the cancel reaches.
pub fn deadlines() -> Scenario {
    Scenario {
        longest_run: 2,
        chains: vec![
            chain([
                local(linked(deadline(0, 100))),
                hard(reads(1)),
                linked(reads(2)),
                hard(finally(reads(3))),
                finally(reads(4)),
            ]),
            chain([reads(WIDTH).timeout(100)]),
        ],
        stops: vec![Stop::Cancel(2)],
        moods: vec![Mood::TakeAll, Mood::TakeOne, Mood::Busy],
        ..base("deadlines")
    }
}

/// More entries than completion slots, a submitter that reads when it likes, and a CANCEL that must get past them.
pub fn no_room() -> Scenario {
    Scenario {
        slots: (8, 4),
        chains: vec![
            chain([linked(reads(0)), reads(1)]),
            chain([linked(reads(WIDTH)), reads(WIDTH + 1)]),
            chain([cancel(2 * WIDTH, 0)]),
        ],
        stops: vec![Stop::Withdraw(WIDTH + 1)],
        reads_slowly: true,
        ..base("no room")
    }
}

/// A multishot on a small ring: its results wait for slots, in their order, and before its end.
pub fn many_results() -> Scenario {
    let chains = vec![
        chain([reads(0)]),
        chain([reads(WIDTH)]),
        chain([cancel(2 * WIDTH, POLL)]),
        chain([poll(POLL, FILE)]),
    ];
    Scenario { slots: (4, 4), chains, results: 3, reads_slowly: true, ..base("many results") }
}

/// A chain with DRAIN between others, and a tail whose end never comes.
pub fn drained() -> Scenario {
    Scenario {
        longest_run: 2,
        chains: vec![
            chain([linked(reads(0)), reads(1)]),
            chain([with(hard(reads(WIDTH)), EntryFlags::DRAIN), finally(reads(WIDTH + 1))]),
            chain([reads(2 * WIDTH)]),
            chain([linked(reads(3 * WIDTH))]),
        ],
        stops: vec![Stop::CancelAll],
        moods: vec![Mood::TakeAll, Mood::Busy],
        ..base("drained")
    }
}

/// Two chains close the same descriptor, while a third uses it and a fourth opens another.
pub fn closed_twice() -> Scenario {
    Scenario {
        longest_run: 2,
        chains: vec![
            chain([hard(reads(0)), close(1, FILE)]),
            chain([close(WIDTH, FILE).timeout(0)]),
            chain([opens(2 * WIDTH)]),
            chain([reads(3 * WIDTH)]),
        ],
        stops: vec![Stop::CancelAll],
        tears_down: false,
        closes_all: false,
        ..base("closed twice")
    }
}
