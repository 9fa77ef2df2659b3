//! Timelines: what the steps of a chain did when, and that as JSON for a trace viewer.
//!
//! They are made of the events that a ring records while it is [tracing](crate::Ring::trace). The form is that of Chrome's trace
//! events, which <https://ui.perfetto.dev> opens: a process for each chain, in it a line for the chain and one for each step.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;

use ouzel_engine::{EventKind, Place, Way};
use ouzel_ring::{Errno, Verb};

use crate::done::Done;
use crate::explain::place_name;

/// What a slice of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SliceKind {
    /// The step waited: from its admission to its start. If it was started again, because the run it had been taken along in broke
    /// before it, until then.
    Waiting,
    /// It ran. Of steps that travelled in one run each is shown from the hand-over, so it includes those before it.
    Running,
    /// A step of the program that it called ran.
    ProgramStep,
}

/// A slice of the time of one step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Slice {
    /// The step, counted in the order steps were added.
    pub step: usize,
    /// What it was spent on.
    pub kind: SliceKind,
    /// The step's verb, or that of the program's step.
    pub verb: Verb,
    /// When it began, in nanoseconds of the ring's clock.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// Where the step ran and why there; `None` while it waited.
    pub way: Option<Way>,
    /// Its place in the run it travelled in, from 0, and how many travelled together.
    pub run: (u32, u32),
    /// Its error, or success.
    pub error: Errno,
    /// Its result.
    pub result: u64,
}

/// What the steps of a chain did when.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Timeline {
    /// The verbs of the steps.
    pub steps: Vec<Verb>,
    /// In the order in which they ended. A step that ran more than once has more than one.
    pub slices: Vec<Slice>,
}

/// What was begun and has not ended.
struct Open {
    verb: Verb,
    way: Way,
    run: (u32, u32),
    begun: u64,
    reported: Option<u64>,
}

/// One step, while its events are read.
#[derive(Default)]
struct Lane {
    /// Since when it waits, if it does.
    waits: Option<u64>,
    own: VecDeque<Open>,
    /// Of a CALL: steps of the program.
    inner: VecDeque<Open>,
}

impl Done {
    /// What the steps did when, if the ring was [tracing](crate::Ring::trace); otherwise nothing.
    pub fn timeline(&self) -> Timeline {
        let steps: Vec<Verb> = self.chain.verbs().collect();
        let mut lanes: Vec<Lane> = steps.iter().map(|_| Lane::default()).collect();
        let mut slices = Vec::new();
        for (step, event) in &self.chain.body.events {
            let step = usize::from(*step);
            let (Some(lane), Some(own)) = (lanes.get_mut(step), steps.get(step)) else { continue };
            lane.take(step, *own, event.at, event.kind, &mut slices);
        }
        Timeline { steps, slices }
    }
}

impl Lane {
    fn take(&mut self, step: usize, own: Verb, at: u64, kind: EventKind, slices: &mut Vec<Slice>) {
        match kind {
            // Behind the first are those of the steps of a program.
            EventKind::Admitted if self.waits.is_none() && self.own.is_empty() => self.waits = Some(at),
            EventKind::Started { verb, way, step: place, run } => {
                let open = Open { verb, way, run: (place, run), begun: at, reported: None };
                if own == Verb::Call && verb != own {
                    self.inner.push_back(open);
                    return;
                }
                if let Some(since) = self.waits.take() {
                    let kind = SliceKind::Waiting;
                    let (error, result) = (Errno::OK, 0);
                    let slice = Slice {
                        step,
                        kind,
                        verb,
                        begun: since,
                        ended: at,
                        way: None,
                        run: (0, 0),
                        error,
                        result,
                    };
                    slices.push(slice);
                }
                self.own.push_back(open);
            }
            EventKind::Reported => {
                let open = self.inner.iter_mut().chain(&mut self.own).find(|open| open.reported.is_none());
                if let Some(open) = open {
                    open.reported = Some(at);
                }
            }
            EventKind::NotRun => {
                let running = |open: &Open| open.reported.is_none();
                if let Some(place) = self.inner.iter().position(running) {
                    self.inner.remove(place);
                } else if let Some(place) = self.own.iter().position(running) {
                    self.own.remove(place);
                    self.waits = Some(at);
                }
            }
            EventKind::Ended { skipped: false, error, result } => match self.inner.pop_front() {
                Some(open) => slices.push(open.slice(step, SliceKind::ProgramStep, at, error, result)),
                // A step of a program that was refused ran nowhere; the CALL itself goes on.
                None if own == Verb::Call => {}
                None => self.end(step, at, error, result, slices),
            },
            EventKind::Completed { skipped: false, error, result } => {
                self.end(step, at, error, result, slices)
            }
            _ => {}
        }
    }

    fn end(&mut self, step: usize, at: u64, error: Errno, result: u64, slices: &mut Vec<Slice>) {
        if let Some(open) = self.own.pop_front() {
            slices.push(open.slice(step, SliceKind::Running, at, error, result));
        }
    }
}

impl Open {
    fn slice(self, step: usize, kind: SliceKind, at: u64, error: Errno, result: u64) -> Slice {
        let Open { verb, way, run, begun, reported } = self;
        // Its turn may come later than its report, when it stands behind others.
        let ended = reported.unwrap_or(at).max(begun);
        Slice { step, kind, verb, begun, ended, way: Some(way), run, error, result }
    }
}

impl Timeline {
    /// From the first admission to the last end, in nanoseconds of the ring's clock; `None` if nothing ran.
    pub fn span(&self) -> Option<(u64, u64)> {
        let begun = self.slices.iter().map(|slice| slice.begun).min()?;
        Some((begun, self.slices.iter().map(|slice| slice.ended).max()?))
    }

    /// This timeline alone as a JSON document.
    pub fn to_json(&self) -> String {
        let mut document = Vec::new();
        let written = TimelineWriter::new(&mut document)
            .and_then(|mut writer| writer.add("chain", self).and_then(|()| writer.finish()));
        debug_assert!(written.is_ok(), "memory takes everything");
        String::from_utf8(document).unwrap_or_default()
    }
}

/// Writes timelines of many chains into one JSON document, one after the other.
///
/// ```
/// use ouzel::observe::TimelineWriter;
/// use ouzel::{Chain, Ring};
///
/// let mut ring = Ring::new()?;
/// ring.trace(true);
/// let mut document = Vec::new();
/// let mut writer = TimelineWriter::new(&mut document).unwrap();
/// for name in ["first", "second"] {
///     let mut chain = Chain::new();
///     let folder = chain.open("/tmp", ouzel::OpenOptions::read());
///     chain.finally().close(folder);
///     writer.add(name, &ring.run(chain)?.timeline()).unwrap();
/// }
/// writer.finish().unwrap();
/// assert!(document.starts_with(b"{"));
/// # Ok::<(), ouzel::Error>(())
/// ```
#[derive(Debug)]
pub struct TimelineWriter<W: io::Write> {
    output: W,
    chains: u64,
    /// What is written next.
    text: String,
}

impl<W: io::Write> TimelineWriter<W> {
    /// Begins a document.
    ///
    /// Errors: those of the writer.
    pub fn new(mut output: W) -> io::Result<TimelineWriter<W>> {
        output.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(TimelineWriter { output, chains: 0, text: String::new() })
    }

    /// Adds a chain with this name.
    ///
    /// Errors: those of the writer.
    pub fn add(&mut self, name: &str, timeline: &Timeline) -> io::Result<()> {
        self.chains += 1;
        let chain = self.chains;
        self.name("process_name", 0, name);
        self.name("thread_name", 0, "chain");
        for (step, verb) in timeline.steps.iter().enumerate() {
            self.name("thread_name", step + 1, &format!("{step} {}", verb.name()));
        }
        if let Some((begun, ended)) = timeline.span() {
            let arguments = format!("\"steps\":{}", timeline.steps.len());
            self.slice(0, "chain", name, begun, ended, &arguments);
        }
        for slice in &timeline.slices {
            let (category, name) = match slice.kind {
                SliceKind::Waiting => ("waiting", "waiting"),
                SliceKind::Running => ("step", slice.verb.name()),
                SliceKind::ProgramStep => ("program", slice.verb.name()),
            };
            let arguments = slice.way.map_or_else(String::new, |way| arguments(slice, way));
            self.slice(slice.step + 1, category, name, slice.begun, slice.ended, &arguments);
        }
        // The first of all stands behind no comma.
        let text = if chain == 1 { self.text.get(1..).unwrap_or("") } else { &self.text };
        let written = self.output.write_all(text.as_bytes());
        self.text.clear();
        written
    }

    /// Ends the document.
    ///
    /// Errors: those of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.output.write_all(b"\n]}\n")?;
        self.output.flush()
    }

    fn name(&mut self, what: &str, line: usize, name: &str) {
        let chain = self.chains;
        // Writing to a string cannot fail.
        let _ = write!(
            self.text,
            ",\n{{\"ph\":\"M\",\"name\":\"{what}\",\"pid\":{chain},\"tid\":{line},\"args\":{{\"name\":{}}}}}",
            quoted(name)
        );
    }

    fn slice(&mut self, line: usize, category: &str, name: &str, begun: u64, ended: u64, arguments: &str) {
        let (chain, name) = (self.chains, quoted(name));
        let (at, duration) = (microseconds(begun), microseconds(ended.saturating_sub(begun)));
        let _ = write!(
            self.text,
            ",\n{{\"ph\":\"X\",\"cat\":\"{category}\",\"name\":{name},\"pid\":{chain},\"tid\":{line},\"ts\":{at},\"dur\":{duration},\"args\":{{{arguments}}}}}"
        );
    }
}

fn arguments(slice: &Slice, way: Way) -> String {
    let (place, why) = (place_name(way.place), quoted(way.reason));
    let mut text = format!("\"place\":\"{place}\",\"why\":{why}");
    if slice.error.is_ok() {
        let _ = write!(text, ",\"result\":{}", slice.result);
    } else {
        let _ = write!(text, ",\"error\":{}", quoted(slice.error.name()));
    }
    if slice.run.1 > 1 && way.place != Place::Engine {
        let _ = write!(text, ",\"run\":\"{} of {}\"", slice.run.0 + 1, slice.run.1);
    }
    text
}

/// Nanoseconds as microseconds, exactly.
fn microseconds(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
