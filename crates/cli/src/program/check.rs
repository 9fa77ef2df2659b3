//! Checks a parsed program: every name is defined once, before its use, is of the kind its use wants and still open;
//! every value that is written out is within its limits; `finally` and `hard` stand where they mean something.
//!
//! Only what is certain to fail is refused. Whether seven registers are enough is for the library to say, which
//! allocates them.

use std::collections::HashMap;

use super::bind::ValueError;
use super::blocks::Block;
use super::kinds::{Kind, produced};
use super::map::FileRole;
use super::parser::nearest;
use super::problem::{Problem, Problems};
use super::stored::{self, Callee, Header, Passed, StoredProgram};
use super::syntax::{Action, Amount, Name, Operation, Phase, Statement, Step, Template, Wait, Written};
use super::{MAX_NAME, Span};

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

    pub(super) fn of(name: &str) -> Option<Stream> {
        Stream::ALL.iter().find(|(known, _)| *known == name).map(|(_, stream)| *stream)
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
#[derive(Clone, Debug, Default)]
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
    pub(super) span: Span,
    pub(super) closed: Option<Closed>,
    silent: bool,
    /// Whether a number may be assigned to it.
    number: bool,
    /// Whether it is what a stored program results in.
    pub(super) called: bool,
    /// How many names were defined before it.
    pub(super) index: usize,
    /// Where the part begins that defines it and may have been skipped.
    pub(super) part: Option<Span>,
}

#[derive(Clone, Copy)]
pub(super) struct Closed {
    pub(super) span: Span,
    pub(super) finally: bool,
}

pub(super) struct Checker<'p, 'a> {
    pub(super) problems: &'p mut Problems<'a>,
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
    pub(super) buffers: u64,
    line: usize,
    pub(super) finally: bool,
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

/// What a text is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its chain is run.
    Run,
    /// Its stored programs are a service's, and there is no chain.
    Publish,
}

/// Checks statements. `None` if there are problems that forbid to do with the program what it is for.
pub(super) fn check(
    statements: Vec<Statement>,
    problems: &mut Problems<'_>,
    name: &str,
    purpose: Purpose,
) -> Option<Program> {
    let has_broken = statements.iter().any(|statement| statement.action == Action::Broken);
    let (declared, statements) = stored::split(statements, has_broken, problems);
    let mut stored: Vec<StoredProgram> = Vec::new();
    for one in &declared {
        let header = &one.header;
        if stored.iter().any(|other| other.name == header.name.text) {
            let message = format!("there are two programs `{}`", header.name.text);
            problems.push(Problem::new(header.name.span, message, "again"));
        }
        let (body, gives) = match header.of_service {
            None => chain(&one.body, one.span, problems, &[], Some(header), has_broken),
            Some(given) => stored::of_service(header, given),
        };
        let passed =
            header.parameters.iter().map(|(kind, name)| Passed { name: name.text.clone(), kind: *kind });
        stored.push(StoredProgram {
            name: header.name.text.clone(),
            line: header.line,
            parameters: passed.collect(),
            gives,
            body,
            of_service: header.of_service.is_some(),
        });
    }
    if purpose == Purpose::Publish {
        stored::publishable(&declared, &statements, problems);
        let has_errors = problems.has_errors();
        return (!has_errors).then(|| Program {
            stored,
            warnings: problems.warnings(name),
            ..Program::default()
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
    let is_step = |statement: &Statement| match &statement.action {
        Action::Step(step) => !matches!(step.operation, Operation::Buffer { .. }),
        action => *action == Action::Broken,
    };
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

    pub(super) fn stream(
        &mut self,
        name: &Name,
        stream: Stream,
        role: FileRole,
    ) -> Result<FileRef, Reported> {
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

    pub(super) fn parameter(&mut self, name: &str) {
        if !self.parameters.iter().any(|known| known.name == name) {
            self.parameters.push(Parameter { name: name.to_owned(), line: self.line });
        }
    }

    pub(super) fn value_problem(&mut self, span: Span, error: ValueError) -> Reported {
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
