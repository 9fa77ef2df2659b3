//! Timelines as JSON: Chrome's trace events.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use std::io;

use ouzel_engine::{Place, Way};

use super::{Slice, SliceKind, Timeline, place_name};

impl Timeline {
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
