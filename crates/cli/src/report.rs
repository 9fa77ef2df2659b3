//! Shows a run to people: outputs on standard output, failures and the trace on standard error, a progress bar where
//! that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::Event;

/// Where events go.
pub struct Reporter {
    bar: ProgressBar,
    trace: bool,
    quiet: bool,
    failed: u64,
    broken_output: Option<io::Error>,
}

impl Reporter {
    /// A reporter. With `json`, outputs and failures wait for the summary; with `many`, a bar shows the progress.
    pub fn new(many: bool, trace: bool, json: bool) -> Reporter {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {human_pos} chains  {per_sec}  {elapsed}  {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        if many && !trace && io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Reporter { bar, trace, quiet: json, failed: 0, broken_output: None }
    }

    /// Shows one event.
    pub fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Completion { input, line, verb, ending } if self.trace => {
                let input = input.map(|input| format!("{input}: ")).unwrap_or_default();
                let place =
                    if ending.place.is_empty() { String::new() } else { format!("  [{}]", ending.place) };
                let outcome = match ending.error {
                    _ if ending.skipped => "skipped".to_owned(),
                    error if error.is_ok() => ending.result.to_string(),
                    error => error.to_string(),
                };
                self.line(&format!("{input}line {line}: {verb}: {outcome}{place}"));
            }
            Event::Failure(failure) => {
                self.failed += 1;
                self.bar.set_message(format!("{} failed", self.failed));
                if !self.quiet {
                    self.line(&failure.to_string());
                }
            }
            Event::Output(output) if !self.quiet && self.broken_output.is_none() => {
                let written = self.bar.suspend(|| {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&output.bytes).and_then(|()| stdout.flush())
                });
                self.broken_output = written.err();
            }
            Event::Done => self.bar.inc(1),
            Event::Completion { .. } | Event::Output(_) | Event::Timeline { .. } => {}
        }
    }

    /// Takes the bar away. The error is that of standard output, if it failed.
    pub fn finish(self) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.broken_output.map_or(Ok(()), Err)
    }

    fn line(&self, line: &str) {
        // A standard error that is gone is no reason to stop: there is nobody left to tell.
        self.bar.suspend(|| writeln!(io::stderr(), "{line}").unwrap_or_default());
    }
}
