//! The watch: what a ring's engine tells becomes counts and durations on its page.
//!
//! There is a row for each packet and one for each chain, made with the ring, so that nothing is allocated later. Instants are
//! the engine's. It runs on the thread that enters the ring and is the only one that writes to the page.

use std::sync::Arc;

use ouzel_engine::{AT_ONCE, Counters, End, Gauges, Observer, Origin, Place};
use ouzel_ring::{Entry, Errno, Verb};

use super::directory::Published;
use super::layout::{CHAINS, QUEUED, counter, stage_of, word};
use super::page::Page;
use super::spans::Spans;
use super::statistics::gauge_words;

/// The stage of what runs nowhere yet.
const NOWHERE: u8 = u8::MAX;

/// The row of entries whose number is no verb's.
const NO_VERB: u8 = CHAINS as u8;

/// What is known of the entry in a packet.
#[derive(Clone, Copy)]
struct Row {
    /// When it was its turn.
    ready: u64,
    /// When it was begun, if its stage says that it was.
    begun: u64,
    /// When the backend had reported it, or 0.
    reported: u64,
    /// How long it has waited for its start.
    waited: u64,
    stage: u8,
    verb: u8,
}

impl Row {
    /// It is the turn of an entry of this verb.
    const fn ready(at: u64, verb: u8) -> Row {
        Row { ready: at, begun: 0, reported: 0, waited: 0, stage: NOWHERE, verb }
    }
}

/// What is known of a chain.
#[derive(Clone, Copy)]
struct ChainRow {
    begun: u64,
    /// It runs the program of a CALL.
    called: bool,
}

/// Watches one ring.
pub(crate) struct Watch {
    page: Arc<Page>,
    /// Dropped with the ring.
    file: Option<Published>,
    /// By packet slot; the last is for what has none.
    rows: Box<[Row]>,
    /// By chain slot; likewise.
    chains: Box<[ChainRow]>,
    pub(super) spans: Option<Spans>,
}

impl Watch {
    pub(super) fn new(
        page: Arc<Page>,
        file: Option<Published>,
        spans: bool,
        packets: u32,
        chains: u32,
    ) -> Watch {
        let rows = vec![Row::ready(0, NO_VERB); packets as usize + 1].into_boxed_slice();
        let chains = vec![ChainRow { begun: 0, called: false }; chains as usize + 1].into_boxed_slice();
        let spans = spans.then(|| Spans::new(rows.len(), chains.len()));
        Watch { page, file, rows, chains, spans }
    }

    /// The ring has been torn down.
    pub(crate) fn note_teardown(&mut self, leaked: u32) {
        self.page.set(word::LEAKED, u64::from(leaked));
        self.page.set(word::TORN_DOWN, 1);
    }

    pub(super) fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// Whether other processes can read it.
    pub(super) fn is_published(&self) -> bool {
        self.file.is_some()
    }

    /// The row of a packet or chain.
    #[inline]
    fn place<T>(rows: &[T], slot: u32) -> usize {
        (slot as usize).min(rows.len() - 1)
    }

    fn row(&mut self, slot: u32) -> &mut Row {
        let place = Watch::place(&self.rows, slot);
        &mut self.rows[place]
    }
}

impl Observer for Watch {
    fn chain_begins(&mut self, chain: u32, origin: Origin, data: u64, at: u64) {
        let begun = match origin {
            Origin::AtOnce => self.chains[Watch::place(&self.chains, AT_ONCE)].begun,
            _ => at,
        };
        let place = Watch::place(&self.chains, chain);
        self.chains[place] = ChainRow { begun, called: matches!(origin, Origin::Call(_)) };
        if let Some(spans) = &mut self.spans {
            let caller = match origin {
                Origin::Call(slot) => Some(Watch::place(&self.rows, slot)),
                _ => None,
            };
            spans.begin_chain(place, caller, matches!(origin, Origin::AtOnce), data);
        }
    }

    fn admitted(&mut self, slot: u32, chain: u32, entry: &Entry, at: u64) {
        let verb = Verb::from_number(entry.op).map_or(NO_VERB, |verb| verb as u8);
        let place = Watch::place(&self.rows, slot);
        self.rows[place] = Row::ready(at, verb);
        if let Some(spans) = &mut self.spans {
            spans.begin(place, Watch::place(&self.chains, chain), entry);
        }
    }

    fn started(&mut self, slot: u32, place: Place, at: u64) {
        let stage = stage_of(place);
        let row = self.row(slot);
        (row.begun, row.stage) = (at, stage as u8);
        row.waited += at.saturating_sub(row.ready);
        if let Some(spans) = &mut self.spans {
            spans.started(Watch::place(&self.rows, slot), place);
        }
    }

    fn reported(&mut self, slot: u32, ran: bool, at: u64) {
        let row = self.row(slot);
        if ran {
            row.reported = at;
        } else {
            // It waits again.
            (row.ready, row.stage) = (at, NOWHERE);
        }
    }

    fn resulted(&mut self, slot: u32) {
        let verb = self.row(slot).verb;
        self.page.count(usize::from(verb), counter::RESULTS, 1);
    }

    fn ended(&mut self, slot: u32, next: Option<u32>, end: End, at: u64) {
        let place = Watch::place(&self.rows, slot);
        let row = &mut self.rows[place];
        let Row { begun, reported, waited, stage, verb, .. } = *row;
        // If it runs again, it is its turn from here on.
        *row = Row::ready(at, verb);
        let verb = usize::from(verb);
        if verb == usize::from(NO_VERB) {
            self.page.add(word::REFUSED, 1);
        } else if end.skipped {
            self.page.count(verb, counter::SKIPPED, 1);
        } else {
            self.page.count(verb, counter::COMPLETED, 1);
            match end.error {
                Errno::OK if moves_bytes(verb) => self.page.count(verb, counter::BYTES, end.result),
                Errno::OK => {}
                Errno::ECANCELED => self.page.count(verb, counter::CANCELLED, 1),
                _ => self.page.count(verb, counter::FAILED, 1),
            }
            // What never started was answered by the engine, there and then.
            if stage == NOWHERE {
                self.page.time(verb, stage_of(Place::Engine), 0);
            } else {
                let until = if reported == 0 { at } else { reported };
                self.page.time(verb, QUEUED, waited);
                self.page.time(verb, usize::from(stage), until.saturating_sub(begun));
            }
        }
        if let Some(next) = next {
            let next = self.row(next);
            if next.stage == NOWHERE {
                next.ready = at;
            }
        }
        self.page.set(word::UPDATED, at);
        if let Some(spans) = &mut self.spans {
            spans.end(place, end);
        }
    }

    fn chain_over(&mut self, chain: u32, at: u64) {
        let place = Watch::place(&self.chains, chain);
        let ChainRow { begun, called } = self.chains[place];
        if !called {
            self.page.time(CHAINS, QUEUED, at.saturating_sub(begun));
        }
        if let Some(spans) = &mut self.spans {
            spans.end_chain(place);
        }
    }

    fn refused(&mut self, _: &Entry, _: Errno) {
        self.page.add(word::REFUSED, 1);
    }

    fn state(&mut self, gauges: Gauges, counters: Counters, at: u64) {
        for (number, value) in gauge_words(gauges).into_iter().enumerate() {
            self.page.set(word::GAUGES + number, value);
            self.page.raise(word::PEAKS + number, value);
        }
        self.page.set(word::ENTERS, counters.enters);
        self.page.set(word::CALLS, counters.calls);
        self.page.set(word::HANDOFFS, counters.handoffs);
        self.page.set(word::UPDATED, at);
    }
}

/// Whether the result of a verb, by its number, is how many bytes it has moved.
fn moves_bytes(verb: usize) -> bool {
    let moving = [
        Verb::Read,
        Verb::Write,
        Verb::Copy,
        Verb::Send,
        Verb::Recv,
        Verb::SendMsg,
        Verb::RecvMsg,
        Verb::Splice,
    ];
    moving.iter().any(|moving| *moving as usize == verb)
}
