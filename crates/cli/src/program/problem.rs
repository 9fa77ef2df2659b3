//! What is wrong with a program: problems with their place in the text, and the error that carries them all.
//!
//! Every problem says what, where (line and column, both from 1, columns in characters) and, where one is known,
//! the remedy. Long lines are described but not printed, so that a hostile file cannot flood a terminal.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode, SourceSpan};

use super::{MAX_PROBLEMS, MAX_PROGRAM};

/// The most bytes of a line that is still quoted under a message.
const MAX_QUOTED_LINE: usize = 512;

/// A place in the text of a program, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Where it starts.
    pub start: usize,
    /// Where it ends (exclusive).
    pub end: usize,
}

impl Span {
    /// The place from the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.start) }
    }
}

impl From<Span> for SourceSpan {
    fn from(span: Span) -> SourceSpan {
        SourceSpan::new(span.start.into(), span.end.saturating_sub(span.start))
    }
}

/// One problem of a program.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to write instead, if that is known.
    pub help: Option<String>,
    /// Where.
    pub span: Span,
    /// What stands under the marked place.
    pub label: String,
    /// A second place that matters, such as an earlier definition, and what it is.
    pub related: Option<(Span, String)>,
    /// Whether the program is refused for it; else it is a warning.
    pub fatal: bool,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    source: Option<Arc<NamedSource<String>>>,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>, label: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            help: None,
            span,
            label: label.into(),
            related: None,
            fatal: true,
            line: 0,
            column: 0,
            source: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, span: Span, what: impl Into<String>) -> Problem {
        self.related = Some((span, what.into()));
        self
    }

    pub(super) fn warning(mut self) -> Problem {
        self.fatal = false;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(if self.fatal { Severity::Error } else { Severity::Warning })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_deref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let first = LabeledSpan::new_primary_with_span(Some(self.label.clone()), self.span);
        let second =
            self.related.as_ref().map(|(span, what)| LabeledSpan::new_with_span(Some(what.clone()), *span));
        Some(Box::new(std::iter::once(first).chain(second)))
    }
}

/// Collects problems while a program is read.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
    left_out: usize,
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Problems<'a> {
        Problems { text, found: Vec::new(), left_out: 0 }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.found.len() < MAX_PROBLEMS || (problem.fatal && !self.has_errors()) {
            self.found.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.fatal)
    }

    /// The warnings found, placed in the text, for a program that has no errors.
    pub(super) fn warnings(&self, name: &str) -> Vec<Problem> {
        let mut warnings: Vec<Problem> = self.found.iter().filter(|found| !found.fatal).cloned().collect();
        place(self.text, name, &mut warnings);
        warnings
    }

    /// The error that carries everything found; `None` if nothing fatal was.
    pub(super) fn into_error(self, name: &str) -> Option<ProgramError> {
        if !self.has_errors() {
            return None;
        }
        let mut problems = self.found;
        place(self.text, name, &mut problems);
        Some(ProgramError { name: name.to_owned(), problems, left_out: self.left_out })
    }
}

fn place(text: &str, name: &str, problems: &mut [Problem]) {
    problems.sort_by_key(|problem| problem.span.start);
    let source = Arc::new(NamedSource::new(name, printable(text)));
    for problem in problems {
        let start = floor_char(text, problem.span.start);
        problem.span = Span { start, end: floor_char(text, problem.span.end).max(start) };
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        problem.line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        problem.column = text[line_start..start].chars().count() + 1;
        let related = problem.related.as_ref().map(|(span, _)| *span);
        let quotable =
            [Some(problem.span), related].into_iter().flatten().all(|span| is_quotable(text, span));
        problem.source = quotable.then(|| Arc::clone(&source));
    }
}

/// Whether the line of `span` and its neighbours, which are quoted with it, are short; false for an empty text.
fn is_quotable(text: &str, span: Span) -> bool {
    let at = floor_char(text, span.start);
    let before = text[..at].rsplit('\n').take(2);
    let after = text[at..].split('\n').take(2);
    !text.is_empty() && before.chain(after).all(|part| part.len() <= MAX_QUOTED_LINE)
}

/// The text with other characters of the same length in the place of control characters: a program that is quoted
/// must not drive the terminal, and places in it must stay where they are.
fn printable(text: &str) -> String {
    let replace = |character: char| match (character, character.len_utf8()) {
        ('\n' | '\t', _) => character,
        (_, 1) if character.is_control() => '?',
        (_, 2) if character.is_control() => '\u{bf}',
        _ => character,
    };
    text.chars().map(replace).collect()
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Why a program is refused: every problem in it, in the order of the text.
#[derive(Clone, Debug)]
pub struct ProgramError {
    name: String,
    problems: Vec<Problem>,
    left_out: usize,
}

impl ProgramError {
    /// What the program was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The problems; at least one of them is fatal.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn too_large(name: &str, length: usize) -> ProgramError {
        let message = format!("the program has {length} bytes; the most is {MAX_PROGRAM}");
        ProgramError::whole(name, "", Problem::new(Span::default(), message, ""))
    }

    pub(super) fn not_text(name: &str, source: &[u8], error: &std::str::Utf8Error) -> ProgramError {
        let start = error.valid_up_to();
        let message = format!("byte 0x{:02x} is not UTF-8", source.get(start).copied().unwrap_or_default());
        let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
        let problem = Problem::new(Span { start, end }, message, "not UTF-8")
            .help("a program is UTF-8 text; other bytes are written in a string as \\xHH");
        ProgramError::whole(name, &String::from_utf8_lossy(source), problem)
    }

    pub(super) fn unexplained(name: &str, text: &str) -> ProgramError {
        let problem = Problem::new(Span::default(), "the program could not be understood", "");
        ProgramError::whole(name, text, problem)
    }

    fn whole(name: &str, text: &str, problem: Problem) -> ProgramError {
        let mut problems = vec![problem];
        place(text, name, &mut problems);
        ProgramError { name: name.to_owned(), problems, left_out: 0 }
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.iter().filter(|problem| problem.fatal).count() + self.left_out;
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(formatter, "{}: {count} {noun}", self.name)?;
        if self.left_out > 0 {
            write!(formatter, " (the first {} follow)", self.problems.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for ProgramError {}

impl Diagnostic for ProgramError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
