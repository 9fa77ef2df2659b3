//! Checks a parsed program: every name is defined once, before its use, is of the kind its use wants and still open;
//! every value that is written out is within its limits; `finally` and `hard` stand where they mean something.
//!
//! Only what is certain to fail is refused. Whether seven registers are enough is for the library to say, which
//! allocates them.

use std::collections::HashMap;

use ouzel_ring::modifiers::OpenFlags;

use super::bind::{self, ValueError};
use super::blocks::Block;
use super::map::{FileRole, Mapper, NumberRole, TextRole, ValueRole};
use super::parser::nearest;
use super::problem::{Problem, Problems};
use super::stored::{self, Argument, Called, Callee, Header, ParameterKind, Passed, StoredProgram};
use super::syntax::{
    Action, Amount, Located, Name, Operation, Phase, Statement, Step, Template, Wait, Written,
};
use super::{Address, MAX_NAME, Span};

/// The phase in which names are the earlier results they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked;

impl Phase for Checked {
    type File = FileRef;
    type Value = Slot;
    type Number = Amount<Slot>;
    type Text = Template;
    type Duration = Wait;
    type Address = Template;
    type Callee = Callee;
}

/// A result of an earlier step: an index into [`Program::results`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// An open object that an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRef {
    /// One that an earlier step opened.
    Result(Slot),
    /// One that the command was started with.
    Standard(Stream),
}

/// The objects that the command was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// `stdin`
    Input,
    /// `stdout`
    Output,
    /// `stderr`
    Error,
}

impl Stream {
    const ALL: [(&'static str, Stream); 3] =
        [("stdin", Stream::Input), ("stdout", Stream::Output), ("stderr", Stream::Error)];

    fn of(name: &str) -> Option<Stream> {
        Stream::ALL.iter().find(|(known, _)| *known == name).map(|(_, stream)| *stream)
    }
}

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or directory, opened with these flags.
    File(OpenFlags),
    /// The end of a pipe that is read.
    ReadEnd,
    /// The end of a pipe that is written.
    WriteEnd,
    /// A socket.
    Socket,
    /// A count of bytes that were read or received, and those bytes.
    Data,
    /// The records of a directory, as many bytes as the result says.
    Entries,
    /// A count of bytes that were written, sent or copied.
    Count,
    /// A position in a file.
    Position,
    /// Events that poll found.
    Events,
    /// The record that stat filled.
    Status,
    /// The address of a socket.
    Address,
    /// The record that statfs filled.
    FileSystem,
    /// The names of extended attributes, as many bytes as the result says.
    Names,
    /// A number that get took out of a register, or that was worked out.
    Value,
    /// A buffer that several statements use.
    Buffer,
    /// Something open that a stored program is passed.
    Object,
    /// A path or data that a stored program is passed.
    Passed,
}

impl Kind {
    /// Whether it is an open object.
    pub fn is_open(self) -> bool {
        matches!(self, Kind::File(_) | Kind::ReadEnd | Kind::WriteEnd | Kind::Socket | Kind::Object)
    }

    /// Whether it is a count of bytes that were moved.
    pub fn counts_bytes(self) -> bool {
        matches!(self, Kind::Data | Kind::Entries | Kind::Names | Kind::Count)
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Kind::File(flags) if flags.contains(OpenFlags::DIRECTORY) => "a directory",
            Kind::File(_) => "a file",
            Kind::ReadEnd => "the read end of a pipe",
            Kind::WriteEnd => "the write end of a pipe",
            Kind::Socket => "a socket",
            Kind::Data => "a count of bytes read",
            Kind::Entries => "a directory's records",
            Kind::Count => "a count of bytes",
            Kind::Position => "a position",
            Kind::Events => "a set of events",
            Kind::Status => "a file's description",
            Kind::FileSystem => "a file system's description",
            Kind::Names => "names of attributes",
            Kind::Address => "a socket's address",
            Kind::Value => "a number",
            Kind::Buffer => "a buffer",
            Kind::Object => "something open that is passed",
            Kind::Passed => "a path or data that is passed",
        }
    }
}

/// A named result of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The step it comes from: an index into [`Program::steps`].
    pub step: usize,
    /// Whether it is the second result of its step (the write end of a pipe).
    pub second: bool,
    /// Whether a later step assigns it another number.
    pub assigned: bool,
}

/// A parameter that a program uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, without the `$`.
    pub name: String,
    /// The line of its first use, from 1.
    pub line: usize,
}

/// A program that can run once its parameters have values.
#[derive(Clone, Debug)]
pub struct Program {
    /// The steps: ordinary ones, then those behind `finally`.
    pub steps: Vec<Step<Checked>>,
    /// For each step the earlier result that it assigns a number to, if it does.
    pub assigns: Vec<Option<Slot>>,
    /// Every named result.
    pub results: Vec<ResultInfo>,
    /// What the command prints when a chain is over, in order.
    pub prints: Vec<Slot>,
    /// The parameters, in the order of their first use.
    pub parameters: Vec<Parameter>,
    /// What is suspicious but no error.
    pub warnings: Vec<Problem>,
    /// The stored programs, which its steps call.
    pub stored: Vec<StoredProgram>,
}

impl Program {
    /// The named results of a step, first and second.
    pub fn results_of(&self, step: usize) -> impl Iterator<Item = (Slot, &ResultInfo)> {
        let numbered = self.results.iter().enumerate().filter(move |(_, info)| info.step == step);
        numbered.map(|(slot, info)| (Slot(slot), info))
    }

    /// What a slot is; `None` for a slot of another program.
    pub fn result(&self, slot: Slot) -> Option<&ResultInfo> {
        self.results.get(slot.0)
    }

    /// Whether it uses the parameter `$name`.
    pub fn uses(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }
}

pub(super) struct Definition {
    /// `None` if its statement is broken: uses are not reported then.
    slot: Option<Slot>,
    kind: Kind,
    span: Span,
    closed: Option<Closed>,
    silent: bool,
    /// Whether a number may be assigned to it.
    number: bool,
    /// Whether it is what a stored program results in.
    called: bool,
    /// How many names were defined before it.
    index: usize,
    /// Where the part begins that defines it and may have been skipped.
    pub(super) part: Option<Span>,
}

#[derive(Clone, Copy)]
struct Closed {
    span: Span,
    finally: bool,
}

pub(super) struct Checker<'p, 'a> {
    problems: &'p mut Problems<'a>,
    pub(super) names: HashMap<String, Definition>,
    pub(super) order: Vec<String>,
    /// The parts and loops that have begun.
    pub(super) blocks: Vec<Block>,
    /// Whether a statement could not be read.
    pub(super) has_broken: bool,
    /// What the statement assigns to.
    assigned: Option<Slot>,
    parameters: Vec<Parameter>,
    pub(super) results: Vec<ResultInfo>,
    buffers: u64,
    line: usize,
    finally: bool,
    /// The stored programs that can be called.
    pub(super) stored: &'p [StoredProgram],
    /// The stored program that is checked.
    pub(super) within: Option<&'p Header>,
    /// What that results in.
    pub(super) gives: Option<(Slot, Span)>,
    /// Whether the statement takes a path that is passed.
    pub(super) takes_path: bool,
}

/// A problem has been reported already, or its cause has.
pub(super) struct Reported;

/// Checks statements. `None` if there are problems that forbid to run the program.
pub(super) fn check(statements: Vec<Statement>, problems: &mut Problems<'_>, name: &str) -> Option<Program> {
    let has_broken = statements.iter().any(|statement| statement.action == Action::Broken);
    let (declared, statements) = stored::split(statements, has_broken, problems);
    let mut stored: Vec<StoredProgram> = Vec::new();
    for one in &declared {
        let header = &one.header;
        if stored.iter().any(|other| other.name == header.name.text) {
            let message = format!("there are two programs `{}`", header.name.text);
            problems.push(Problem::new(header.name.span, message, "again"));
        }
        let (body, gives) = chain(&one.body, one.span, problems, &[], Some(header), has_broken);
        let passed =
            header.parameters.iter().map(|(kind, name)| Passed { name: name.text.clone(), kind: *kind });
        stored.push(StoredProgram {
            name: header.name.text.clone(),
            line: header.line,
            parameters: passed.collect(),
            gives,
            body,
        });
    }
    let (program, _) = chain(&statements, Span::default(), problems, &stored, None, has_broken);
    if problems.has_errors() {
        return None;
    }
    Some(Program { stored, warnings: problems.warnings(name), ..program })
}

/// Checks the statements of a chain, or of the stored program `within`, and says what that results in.
fn chain(
    statements: &[Statement],
    span: Span,
    problems: &mut Problems<'_>,
    stored: &[StoredProgram],
    within: Option<&Header>,
    has_broken: bool,
) -> (Program, Option<Slot>) {
    let mut checker = Checker {
        problems,
        names: HashMap::new(),
        order: Vec::new(),
        blocks: Vec::new(),
        has_broken,
        assigned: None,
        parameters: Vec::new(),
        results: Vec::new(),
        buffers: 0,
        line: 0,
        finally: false,
        stored,
        within,
        gives: None,
        takes_path: false,
    };
    let mut steps = Vec::new();
    let mut assigns = Vec::new();
    let mut prints = Vec::new();
    checker.define_parameters();
    checker.order_of_steps(statements);
    for statement in statements {
        match &statement.action {
            Action::Broken => checker.define_broken(statement),
            Action::Print(name) => prints.extend(checker.print(name)),
            Action::Give(name) => checker.give(statement, name),
            Action::Program(_) => {
                let message = "a stored program stands in another one";
                checker.report(Problem::new(statement.span, message, "begins within a program"));
            }
            Action::Step(step) => {
                checker.line = step.line;
                checker.finally = step.finally;
                checker.assigned = None;
                checker.takes_path = matches!(
                    step.operation,
                    Operation::Open { .. } | Operation::Mkdir { .. } | Operation::Remove { .. }
                );
                let entered = checker.enter(statement, step, &mut steps);
                let mapped = step.map(&mut checker);
                let defined = checker.define(statement, step, steps.len());
                checker.leave(statement, step, steps.len());
                if let (Ok(()), Ok(mapped), Ok(())) = (entered, mapped, defined) {
                    steps.push(mapped);
                    assigns.push(checker.assigned.take());
                }
            }
        }
    }
    let is_step = |statement: &Statement| matches!(statement.action, Action::Step(_) | Action::Broken);
    let unexplained = stored.is_empty() || !checker.problems.has_errors();
    if !statements.iter().any(is_step) && unexplained {
        let message = match within {
            None => "the program has no operation".to_owned(),
            Some(header) => format!("the stored program `{}` has no operation", header.name.text),
        };
        checker.problems.push(Problem::new(span, message, "nothing to run"));
    }
    checker.finish_blocks();
    checker.check_given();
    checker.warn_of_leaks();
    let Checker { parameters, results, gives, .. } = checker;
    let program =
        Program { steps, assigns, results, prints, parameters, warnings: Vec::new(), stored: Vec::new() };
    (program, gives.map(|(slot, _)| slot))
}

impl Checker<'_, '_> {
    pub(super) fn report(&mut self, problem: Problem) -> Reported {
        self.problems.push(problem);
        Reported
    }

    /// `finally` makes a suffix, `hard` needs a successor, a deadline is no clean-up.
    fn order_of_steps(&mut self, statements: &[Statement]) {
        let steps: Vec<(&Statement, &Step<Written>)> = statements
            .iter()
            .filter_map(|statement| match &statement.action {
                Action::Step(step) => Some((statement, step.as_ref())),
                _ => None,
            })
            .collect();
        let first_finally = steps.iter().position(|(_, step)| step.finally);
        let broken = statements.iter().any(|statement| statement.action == Action::Broken);
        for (index, (statement, step)) in steps.iter().enumerate() {
            let followed = steps.get(index + 1).is_some_and(|(_, next)| !next.finally);
            if let Some(first) = first_finally
                && index > first
                && !step.finally
            {
                let message = "an ordinary statement follows a `finally` statement";
                let problem = Problem::new(statement.span, message, "comes too late")
                    .related(steps[first].0.span, "the clean-up starts here")
                    .help("`finally` statements are the end of a program: move this one in front of them");
                self.report(problem);
            } else if step.hard && step.finally {
                let message = "`hard` has no meaning behind `finally`: one failing does not stop the next";
                self.report(Problem::new(statement.span, message, "leave `hard` out"));
            } else if step.hard && !followed && !broken {
                let message =
                    "`hard` lets the next ordinary statement run whatever happens, and none follows";
                let problem = Problem::new(statement.span, message, "the last ordinary statement")
                    .help("`try` in front of a statement makes its failure not count");
                self.report(problem);
            }
            if matches!(step.operation, Operation::Deadline { .. }) {
                let modified = step.finally || step.hard || step.silent || step.tolerated;
                if modified || step.timeout.is_some() {
                    let message = "`deadline` takes no `finally`, `try` or other modifier";
                    self.report(Problem::new(statement.span, message, "only `deadline DURATION`"));
                }
            }
            if step.silent && self.within.is_some() {
                let message =
                    "the steps of a stored program post no completions: `silent` means nothing here";
                self.report(Problem::new(statement.span, message, "leave `silent` out"));
            }
            if step.finally && matches!(step.operation, Operation::Call { .. }) {
                let message = "`call` cannot stand behind `finally`";
                self.report(Problem::new(statement.span, message, "a program may take its time"));
            }
            if step.silent && matches!(step.operation, Operation::Get { .. }) {
                let message = "`get` reports a value and so cannot be `silent`";
                self.report(Problem::new(statement.span, message, "would report nothing"));
            }
        }
    }

    /// The definition of a name; `Err` if it has none or a broken one.
    pub(super) fn find(&mut self, name: &Name) -> Result<(Slot, Kind), Reported> {
        if let Some(found) = self.names.get(&name.text) {
            let (slot, kind, closed, part) = (found.slot, found.kind, found.closed, found.part);
            let Some(slot) = slot else { return Err(Reported) };
            if let Some(part) = part.filter(|_| !self.finally) {
                let message = format!("`{}` is defined in a part that may have been skipped", name.text);
                let problem = Problem::new(name.span, message, "perhaps never made")
                    .related(part, "the part begins here")
                    .help("use it within that part; a number that is `set` before it can be assigned in it");
                return Err(self.report(problem));
            }
            if let Some(closed) = closed {
                let message = format!("`{}` is used after it was closed", name.text);
                let problem =
                    Problem::new(name.span, message, "closed already").related(closed.span, "closed here");
                return Err(self.report(problem));
            }
            return Ok((slot, kind));
        }
        let known = self.order.iter().map(String::as_str);
        let near = nearest(&name.text, known.chain(Stream::ALL.iter().map(|(name, _)| *name)));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("name a result in an earlier line: {} = …", name.text),
        };
        let message = format!("`{}` is not defined", name.text);
        Err(self.report(Problem::new(name.span, message, "no earlier statement defines it").help(help)))
    }

    pub(super) fn wrong_kind(&mut self, name: &Name, kind: &str, wanted: &str) -> Reported {
        let message = format!("`{}` is {kind}, but {wanted} is needed here", name.text);
        let defined = self.names.get(&name.text).map(|definition| definition.span);
        let problem = Problem::new(name.span, message, format!("not {wanted}"));
        self.report(match defined {
            Some(span) => problem.related(span, "defined here"),
            None => problem,
        })
    }

    fn stream(&mut self, name: &Name, stream: Stream, role: FileRole) -> Result<FileRef, Reported> {
        if self.within.is_some() {
            let message = format!("a stored program does not know `{}`", name.text);
            let problem = Problem::new(name.span, message, "a stream of the command");
            return Err(self.report(problem.help("let it be passed: declare a parameter `file NAME`")));
        }
        let (fits, wanted) = match role {
            FileRole::Any | FileRole::Regular => (true, ""),
            FileRole::Source => (stream == Stream::Input, "something to read from"),
            FileRole::Target => (stream != Stream::Input, "something to write to"),
            FileRole::Directory => (false, "a directory"),
            FileRole::Socket => (false, "a socket"),
            FileRole::Closed => (false, "something that this program opened"),
        };
        if fits {
            return Ok(FileRef::Standard(stream));
        }
        Err(self.wrong_kind(name, "a stream of the command", wanted))
    }

    fn parameter(&mut self, name: &str) {
        if !self.parameters.iter().any(|known| known.name == name) {
            self.parameters.push(Parameter { name: name.to_owned(), line: self.line });
        }
    }

    fn value_problem(&mut self, span: Span, error: ValueError) -> Reported {
        self.report(Problem::new(span, error.to_string(), "out of bounds"))
    }

    fn define_broken(&mut self, statement: &Statement) {
        for name in statement.targets.iter().filter(|name| name.text.len() <= MAX_NAME) {
            let definition = Definition {
                slot: None,
                kind: Kind::Value,
                span: name.span,
                closed: None,
                silent: false,
                number: false,
                called: false,
                index: self.order.len(),
                part: None,
            };
            self.names.entry(name.text.clone()).or_insert(definition);
        }
    }

    /// The name of a result and where it is closed, if it is.
    pub(super) fn closing(&self, slot: Slot) -> Option<(&str, Span)> {
        let (name, found) = self.names.iter().find(|(_, found)| found.slot == Some(slot))?;
        Some((name, found.closed?.span))
    }

    /// A file that the stored program is passed.
    pub(super) fn define_file(&mut self, name: &Name, slot: Slot) {
        let definition = Definition {
            slot: Some(slot),
            kind: Kind::Object,
            span: name.span,
            closed: None,
            silent: false,
            number: false,
            called: false,
            index: self.order.len(),
            part: None,
        };
        self.order.push(name.text.clone());
        self.names.insert(name.text.clone(), definition);
    }

    fn define(&mut self, statement: &Statement, step: &Step<Written>, index: usize) -> Result<(), Reported> {
        let kinds = match &step.operation {
            Operation::Call { program, .. } => match self.callee(&program.text) {
                Some(callee) => self.given_by(callee),
                None => {
                    self.define_broken(statement);
                    return Err(Reported);
                }
            },
            operation => produced(operation),
        };
        let must_be_named = kinds.iter().any(|kind| kind.is_open() || *kind == Kind::Buffer);
        let wrong_count =
            statement.targets.len() > kinds.len() || (must_be_named && statement.targets.len() < kinds.len());
        let verb = step.operation.verb();
        let mut outcome = Ok(());
        if wrong_count {
            let message = match (kinds.len(), statement.targets.len()) {
                (0, _) => format!("`{verb}` has no result to name"),
                (1, 0) if kinds[0] == Kind::Buffer => "a buffer needs a name to be used by".to_owned(),
                (1, 0) => format!("what `{verb}` opens needs a name, or nothing could use or close it"),
                (1, _) => format!("`{verb}` has one result"),
                _ => format!("`{verb}` has two results to name: READER, WRITER = {verb}"),
            };
            outcome = Err(self.report(Problem::new(statement.verb_span, message, "here")));
        }
        for (position, target) in statement.targets.iter().enumerate() {
            if let Some(slot) = self.assignable(target, step) {
                self.assigned = Some(slot);
                continue;
            }
            if let Some(earlier) = self.names.get(&target.text) {
                let message = format!("`{}` is defined twice", target.text);
                let problem = Problem::new(target.span, message, "again")
                    .related(earlier.span, "first defined here")
                    .help("results do not change, but for numbers that are `set` or worked out: give this one another name");
                outcome = Err(self.report(problem));
                continue;
            }
            if Stream::of(&target.text).is_some() {
                let message = format!("`{}` is a stream of the command and cannot be defined", target.text);
                outcome = Err(self.report(Problem::new(target.span, message, "taken")));
                continue;
            }
            let kind = kinds.get(position).copied();
            let slot = kind.map(|kind| {
                let second = position == 1;
                let name = target.text.clone();
                self.results.push(ResultInfo { name, kind, step: index, second, assigned: false });
                Slot(self.results.len() - 1)
            });
            let kind = kind.unwrap_or(Kind::Value);
            let definition = Definition {
                slot,
                kind,
                span: target.span,
                closed: None,
                silent: step.silent,
                number: step.operation.is_number(),
                called: matches!(step.operation, Operation::Call { .. }),
                index: self.order.len(),
                part: None,
            };
            self.order.push(target.text.clone());
            self.names.insert(target.text.clone(), definition);
        }
        outcome
    }

    /// What calls of a stored program result in.
    fn given_by(&self, callee: Callee) -> Vec<Kind> {
        let stored = self.stored.get(callee.0);
        let given = stored.and_then(|stored| stored.body.result(stored.gives?));
        given.map(|given| given.kind).into_iter().collect()
    }

    /// The earlier number that `step` assigns to, if its name is one and it may.
    fn assignable(&mut self, target: &Name, step: &Step<Written>) -> Option<Slot> {
        let earlier = self.names.get(&target.text)?;
        let may = earlier.number && earlier.part.is_none() && step.operation.is_number() && !step.finally;
        let slot = earlier.slot.filter(|_| may)?;
        self.results.get_mut(slot.0)?.assigned = true;
        Some(slot)
    }

    fn print(&mut self, name: &Name) -> Option<Slot> {
        if self.within.is_some() {
            let message = "a stored program prints nothing";
            let problem = Problem::new(name.span, message, "no chain of the command");
            self.report(problem.help("`give` what it results in, and print the result of `call`"));
            return None;
        }
        if Stream::of(&name.text).is_some() {
            self.wrong_kind(name, "a stream of the command", "a number or data");
            return None;
        }
        // What was skipped is not printed; that is no error.
        let finally = std::mem::replace(&mut self.finally, true);
        let found = self.find(name);
        self.finally = finally;
        let (slot, kind) = found.ok()?;
        if kind.is_open() {
            self.wrong_kind(name, kind.describe(), "a number or data");
            return None;
        }
        let silent = self.names.get(&name.text).filter(|found| found.silent).map(|found| found.span);
        if let Some(span) = silent {
            let message =
                format!("`{}` is printed, but its statement is `silent` and reports nothing", name.text);
            self.report(Problem::new(name.span, message, "never reported").related(span, "silent"));
            return None;
        }
        Some(slot)
    }

    fn warn_of_leaks(&mut self) {
        for name in &self.order {
            let Some(found) = self.names.get(name) else { continue };
            let given = self.gives.is_some_and(|(slot, _)| found.slot == Some(slot));
            if !found.kind.is_open() || found.slot.is_none() || given || found.kind == Kind::Object {
                continue;
            }
            let message = match found.closed {
                Some(Closed { finally: true, .. }) => continue,
                Some(_) => format!("`{name}` stays open when a statement before its `close` fails"),
                None => format!("`{name}` is never closed"),
            };
            let problem = Problem::new(found.span, message, "opened here")
                .help(format!("end the program with `finally close {name}`"))
                .warning();
            self.problems.push(problem);
        }
    }
}

/// What the results of an operation are.
fn produced(operation: &Operation<Written>) -> Vec<Kind> {
    match operation {
        Operation::Read { .. } | Operation::Recv { .. } => vec![Kind::Data],
        Operation::Write { .. }
        | Operation::Send { .. }
        | Operation::Copy { .. }
        | Operation::Splice { .. } => vec![Kind::Count],
        Operation::Sockname { .. } | Operation::Peername { .. } => vec![Kind::Address],
        Operation::Poll { .. } => vec![Kind::Events],
        Operation::Open { flags, .. } => vec![Kind::File(*flags)],
        Operation::Seek { .. } => vec![Kind::Position],
        Operation::StatPath { .. } | Operation::StatFile { .. } => vec![Kind::Status],
        Operation::Readdir { .. } => vec![Kind::Entries],
        Operation::Pipe => vec![Kind::ReadEnd, Kind::WriteEnd],
        Operation::Socket { .. } | Operation::Accept { .. } => vec![Kind::Socket],
        Operation::Get { .. } => vec![Kind::Value],
        Operation::Set { .. } | Operation::Compute { .. } | Operation::Load { .. } => vec![Kind::Value],
        Operation::ReadInto { .. } | Operation::RecvInto { .. } => vec![Kind::Data],
        Operation::Buffer { .. } => vec![Kind::Buffer],
        Operation::Metadata(metadata) => metadata.produced().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What `role` wants, if `kind` certainly is not that.
fn misfit(kind: Kind, role: FileRole) -> Option<&'static str> {
    if !kind.is_open() {
        return Some("something open");
    }
    if kind == Kind::Object {
        return None;
    }
    let opened = |flag: OpenFlags| matches!(kind, Kind::File(flags) if flags.contains(flag));
    let is_file = matches!(kind, Kind::File(_));
    let (fits, wanted) = match role {
        FileRole::Any | FileRole::Closed => (true, ""),
        FileRole::Source => (
            matches!(kind, Kind::ReadEnd | Kind::Socket)
                || (opened(OpenFlags::READ) && !opened(OpenFlags::DIRECTORY)),
            "something opened to `read`",
        ),
        FileRole::Target => (
            matches!(kind, Kind::WriteEnd | Kind::Socket) || opened(OpenFlags::WRITE),
            "something opened to `write`",
        ),
        FileRole::Regular => (is_file && !opened(OpenFlags::PATH), "an open file"),
        FileRole::Directory => (is_file && !opened(OpenFlags::WRITE), "a directory"),
        FileRole::Socket => (kind == Kind::Socket, "a socket"),
    };
    (!fits).then_some(wanted)
}

impl Mapper<Written, Checked> for Checker<'_, '_> {
    type Error = Reported;

    fn file(&mut self, name: &Name, role: FileRole) -> Result<FileRef, Reported> {
        if let Some(stream) = Stream::of(&name.text) {
            return self.stream(name, stream, role);
        }
        let (slot, kind) = self.find(name)?;
        if let Some(wanted) = misfit(kind, role) {
            return Err(self.wrong_kind(name, kind.describe(), wanted));
        }
        if role == FileRole::Closed
            && let Some(found) = self.names.get_mut(&name.text)
        {
            found.closed = Some(Closed { span: name.span, finally: self.finally });
            let (index, defined) = (found.index, found.span);
            let outer = self.blocks.iter().rev().find(|block| block.is_loop() && block.names > index);
            if let Some(span) = outer.map(Block::span) {
                let message = format!("`{}` is closed in a loop, but opened in front of it", name.text);
                let problem = Problem::new(name.span, message, "closed again in the next turn")
                    .related(if defined == name.span { span } else { defined }, "opened here")
                    .help("close it behind the loop, or in a `finally` statement")
                    .warning();
                self.problems.push(problem);
            }
        }
        Ok(FileRef::Result(slot))
    }

    fn value(&mut self, name: &Name, role: ValueRole) -> Result<Slot, Reported> {
        let wanted = match role {
            ValueRole::Data => "the result of a read or recv",
            ValueRole::Number => "a number",
            ValueRole::Buffer => "a buffer",
        };
        if Stream::of(&name.text).is_some() {
            return Err(self.wrong_kind(name, "a stream of the command", wanted));
        }
        let (slot, kind) = self.find(name)?;
        if role == ValueRole::Data && self.names.get(&name.text).is_some_and(|found| found.called) {
            let message =
                format!("what a program filled for `{}` can be printed, and nothing else", name.text);
            let problem = Problem::new(name.span, message, "the call's own memory");
            return Err(self.report(problem.help("let the program do what is to be done with it")));
        }
        let fits = match role {
            ValueRole::Data => matches!(kind, Kind::Data | Kind::Entries | Kind::Names | Kind::Buffer),
            ValueRole::Number => {
                !kind.is_open()
                    && !matches!(
                        kind,
                        Kind::Status | Kind::FileSystem | Kind::Address | Kind::Buffer | Kind::Passed
                    )
            }
            ValueRole::Buffer if !kind.is_open() && kind != Kind::Buffer => {
                let message = format!(
                    "the size of a buffer is a number or a parameter, not the result `{}`: it is needed before the \
                     chain starts",
                    name.text
                );
                let problem = Problem::new(name.span, message, "known too late").help(format!(
                    "`b = buffer SIZE` makes a buffer; `b first {}` is as much of it",
                    name.text
                ));
                return Err(self.report(problem));
            }
            ValueRole::Buffer => kind == Kind::Buffer,
        };
        if fits { Ok(slot) } else { Err(self.wrong_kind(name, kind.describe(), wanted)) }
    }

    fn number(&mut self, number: &Located<Amount<Name>>, role: NumberRole) -> Result<Amount<Slot>, Reported> {
        Ok(match &number.item {
            Amount::Literal(value) => {
                let mut checked = bind::check_number(*value, role);
                if checked.is_ok() && role == NumberRole::Buffer {
                    checked = bind::add_buffer(&mut self.buffers, *value);
                }
                checked.map_err(|error| self.value_problem(number.span, error))?;
                Amount::Literal(*value)
            }
            Amount::Parameter(name) if self.within.is_some() => {
                if matches!(role, NumberRole::Buffer | NumberRole::Turns | NumberRole::Small) {
                    return Err(self.known_too_late(number.span));
                }
                Amount::Result(self.passed(name, number.span, ParameterKind::Number)?)
            }
            Amount::Parameter(name) => {
                self.parameter(name);
                Amount::Parameter(name.clone())
            }
            Amount::Result(name) if role == NumberRole::Buffer => {
                let message = format!(
                    "the size of a buffer is a number or a parameter, not the result `{}`: it is needed before the \
                     chain starts",
                    name.text
                );
                return Err(self.report(Problem::new(name.span, message, "known too late")));
            }
            Amount::Result(name) if role == NumberRole::Turns => {
                let message = "how often a loop runs at the most is a number or a parameter";
                let problem = Problem::new(name.span, message, "known too late").help(format!(
                    "repeat up to a constant, and leave the loop with `if … break` after `{}` turns",
                    name.text
                ));
                return Err(self.report(problem));
            }
            Amount::Result(name) if role == NumberRole::Small => {
                let message = format!(
                    "this is a number or a parameter, not the result `{}`: it is needed before the chain starts",
                    name.text
                );
                return Err(self.report(Problem::new(name.span, message, "known too late")));
            }
            Amount::Result(name) => Amount::Result(self.value(name, ValueRole::Number)?),
        })
    }

    fn text(&mut self, text: &Located<Template>, role: TextRole) -> Result<Template, Reported> {
        if self.within.is_some() {
            self.text_within(text, role)?;
        } else {
            text.item.parameters().for_each(|name| self.parameter(name));
        }
        if let Some(bytes) = text.item.literal() {
            bind::check_text(&bytes, role).map_err(|error| self.value_problem(text.span, error))?;
        }
        Ok(text.item.clone())
    }

    fn duration(&mut self, duration: &Located<Wait>) -> Result<Wait, Reported> {
        match &duration.item {
            Wait::Literal(value) => {
                bind::check_duration(*value).map_err(|error| self.value_problem(duration.span, error))?;
            }
            Wait::Parameter(_) if self.within.is_some() => return Err(self.known_too_late(duration.span)),
            Wait::Parameter(name) => self.parameter(name),
        }
        Ok(duration.item.clone())
    }

    fn address(&mut self, address: &Located<Template>) -> Result<Template, Reported> {
        if self.within.is_some() && address.item.parameters().next().is_some() {
            return Err(self.known_too_late(address.span));
        }
        for name in address.item.parameters() {
            self.parameter(name);
        }
        if let Some(bytes) = address.item.literal() {
            let parsed = Address::parse(&bytes);
            parsed.map_err(|error| self.value_problem(address.span, error.into()))?;
        }
        Ok(address.item.clone())
    }

    fn call(&mut self, program: &Name, arguments: &[Argument<Written>]) -> Result<Called<Checked>, Reported> {
        self.check_call(program, arguments)
    }
}
