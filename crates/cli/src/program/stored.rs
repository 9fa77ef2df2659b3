//! Stored programs: `program … end` declares one, `give` names what it results in, `call` calls it. `service` declares one that
//! the service has to which the ring is connected.
//!
//! Each is checked as a chain of its own, in which the parameters of its first line are the only ones. What is known before
//! a chain starts (a size, a duration, an address) is known before the program is stored, and so is never passed.

use super::Span;
use super::check::{Checked, Checker, FileRef, Program, Reported, ResultInfo, Slot};
use super::kinds::Kind;
use super::map::{FileRole, Mapper, NumberRole, TextRole, ValueRole};
use super::parser::{Cursor, Parsed, nearest};
use super::problem::{Problem, Problems};
use super::syntax::{
    Action, Amount, Located, Name, Operation, Phase, Piece, Statement, Step, Template, Written,
};

/// How many arguments stand in the entry of a CALL, where registers can be loaded into them.
const IN_ENTRY: usize = 2;

/// What a stored program is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// `path $NAME`
    Path,
    /// `data $NAME`
    Data,
    /// `number $NAME`
    Number,
    /// `file NAME`
    File,
}

impl ParameterKind {
    const ALL: [ParameterKind; 4] =
        [ParameterKind::Path, ParameterKind::Data, ParameterKind::Number, ParameterKind::File];

    /// The word in a program.
    pub fn word(self) -> &'static str {
        match self {
            ParameterKind::Path => "path",
            ParameterKind::Data => "data",
            ParameterKind::Number => "number",
            ParameterKind::File => "file",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            ParameterKind::Path => "a path",
            ParameterKind::Data => "data",
            ParameterKind::Number => "a number",
            ParameterKind::File => "a file",
        }
    }
}

/// The first line of a stored program.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub(super) name: Name,
    /// Names without the `$`.
    pub(super) parameters: Vec<(ParameterKind, Name)>,
    pub(super) line: usize,
    /// It is a program of the service's, and results in this.
    pub(super) of_service: Option<Option<Kind>>,
}

/// A stored program: what `call` calls.
#[derive(Clone, Debug)]
pub struct StoredProgram {
    /// Its name.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// What it is passed, in order. The n-th of its results is the n-th parameter.
    pub parameters: Vec<Passed>,
    /// What it results in, if it does.
    pub gives: Option<Slot>,
    /// Its statements. It has no parameters, stored programs and warnings of its own.
    pub body: Program,
    /// It is the service's that the ring is connected to: its statements are not known here.
    pub of_service: bool,
}

/// A parameter of a stored program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its name, without the `$`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
}

/// A stored program that is called: an index into [`Program::stored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee(pub usize);

/// What a call passes for a parameter. As written, what may be a path, data or a number's parameter is a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument<P: Phase> {
    /// For `path $NAME`.
    Path(P::Text),
    /// For `data $NAME`.
    Data(P::Text),
    /// For `number $NAME`.
    Number(P::Number),
    /// For `file NAME`.
    File(P::File),
}

/// What is called, and what it is passed.
pub(super) type Called<P> = (<P as Phase>::Callee, Vec<Argument<P>>);

impl<P: Phase> Argument<P> {
    pub(super) fn map<Q: Phase, M: Mapper<P, Q>>(&self, m: &mut M) -> Result<Argument<Q>, M::Error> {
        Ok(match self {
            Argument::Path(path) => Argument::Path(m.text(path, TextRole::Path)?),
            Argument::Data(data) => Argument::Data(m.text(data, TextRole::Data)?),
            Argument::Number(number) => Argument::Number(m.number(number, NumberRole::Any)?),
            Argument::File(file) => Argument::File(m.file(file, FileRole::Any)?),
        })
    }
}

/// The parameter that a text is, if it is one and nothing else.
pub fn only_parameter(text: &Template) -> Option<&str> {
    match text.pieces.as_slice() {
        [Piece::Parameter(name)] => Some(name),
        _ => None,
    }
}

/// Reads what follows `program`.
pub(super) fn header(c: &mut Cursor<'_>, line: usize) -> Parsed<Header> {
    let name = c.name("a name for the program")?;
    Ok(Header { name, parameters: parameters(c)?, line, of_service: None })
}

/// Reads what follows `service`.
pub(super) fn header_of_service(c: &mut Cursor<'_>, line: usize) -> Parsed<Header> {
    let name = c.name("the name of the service's program")?;
    let parameters = parameters(c)?;
    let given = if c.accept("gives") {
        let kinds = [("number", Kind::Value), ("data", Kind::Data), ("file", Kind::Object)];
        let Some((_, kind)) = kinds.into_iter().find(|(word, _)| c.accept(word)) else {
            return Err(c.expected("`number`, `data` or `file`"));
        };
        Some(kind)
    } else {
        None
    };
    Ok(Header { name, parameters, line, of_service: Some(given) })
}

/// What is known here of a program that is the service's: its parameters, and what it gives.
pub(super) fn of_service(header: &Header, given: Option<Kind>) -> (Program, Option<Slot>) {
    let info = |kind| ResultInfo {
        name: header.name.text.clone(),
        kind,
        step: usize::MAX,
        second: false,
        assigned: false,
    };
    let results: Vec<ResultInfo> = given.map(info).into_iter().collect();
    (Program { results, ..Program::default() }, given.map(|_| Slot(0)))
}

/// Whether there are stored programs, and nothing else that would have to be run.
pub(super) fn publishable(declared: &[Declared], rest: &[Statement], problems: &mut Problems<'_>) {
    for one in declared.iter().filter(|one| one.header.of_service.is_some()) {
        let message = format!("`{}` is a service's already", one.header.name.text);
        problems.push(Problem::new(one.span, message, "not declared here"));
    }
    if let Some(other) = rest.iter().find(|statement| statement.action != Action::Broken) {
        let problem = Problem::new(other.span, "a service runs only programs that are called", "never run");
        problems.push(problem.help("leave it out: put what is to run between `program` and `end`"));
    } else if declared.is_empty() {
        let problem = Problem::new(Span::default(), "there is no program", "nothing to call");
        problems.push(problem.help("declare one: program NAME … end"));
    }
}

fn parameters(c: &mut Cursor<'_>) -> Parsed<Vec<(ParameterKind, Name)>> {
    let mut parameters = Vec::new();
    while c.peek().is_some() && !matches!(c.word(), Some("gives")) {
        if !parameters.is_empty() && !c.accept_comma() {
            return Err(c.expected("`,`"));
        }
        let Some(kind) = ParameterKind::ALL.into_iter().find(|kind| c.accept(kind.word())) else {
            return Err(c.expected("`path`, `data`, `number` or `file`"));
        };
        let name = match kind {
            ParameterKind::File => c.name("a name for the file")?,
            _ => c.parameter("a parameter such as `$name`")?,
        };
        parameters.push((kind, name));
    }
    Ok(parameters)
}

/// Reads what follows `call`.
pub(super) fn call(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let program = c.name("the name of a program")?;
    let mut arguments = Vec::new();
    // Modifiers may follow.
    while c.peek().is_some() && !matches!(c.word(), Some("hard" | "silent" | "timeout")) {
        if !arguments.is_empty() && !c.accept_comma() {
            return Err(c.expected("`,`"));
        }
        arguments.push(if c.word().is_some() {
            Argument::File(c.name("an argument")?)
        } else if c.next_is_number() {
            Argument::Number(c.number("an argument")?)
        } else {
            Argument::Path(c.text("an argument")?)
        });
    }
    Ok(Operation::Call { program, arguments })
}

/// A stored program as written.
pub(super) struct Declared {
    pub(super) header: Header,
    pub(super) span: Span,
    pub(super) body: Vec<Statement>,
}

/// Takes the stored programs out of the statements.
pub(super) fn split(
    statements: Vec<Statement>,
    has_broken: bool,
    problems: &mut Problems<'_>,
) -> (Vec<Declared>, Vec<Statement>) {
    let (mut declared, mut rest) = (Vec::new(), Vec::new());
    let mut statements = statements.into_iter();
    while let Some(statement) = statements.next() {
        let Statement { action: Action::Program(header), span, .. } = statement else {
            rest.push(statement);
            continue;
        };
        if !rest.is_empty() && !has_broken {
            let message = format!("`{}` is declared behind other statements", header.name.text);
            let problem = Problem::new(span, message, "comes too late")
                .help("stored programs stand in front of all other statements");
            problems.push(problem);
        }
        if header.of_service.is_some() {
            declared.push(Declared { header, span, body: Vec::new() });
            continue;
        }
        let (mut body, mut depth) = (Vec::new(), 1usize);
        for inner in statements.by_ref() {
            depth = match &inner.action {
                Action::Program(header) => depth + usize::from(header.of_service.is_none()),
                Action::Step(step) => match step.operation {
                    Operation::If { leave: None, .. } | Operation::Repeat { .. } => depth + 1,
                    Operation::End => depth - 1,
                    _ => depth,
                },
                _ => depth,
            };
            if depth == 0 {
                end(&inner, problems);
                break;
            }
            body.push(inner);
        }
        if depth > 0 && !has_broken {
            let problem = Problem::new(span, "the `program` has no `end`", "begins here");
            problems.push(problem.help("put `end` behind its last statement"));
        }
        declared.push(Declared { header, span, body });
    }
    (declared, rest)
}

/// The `end` of a stored program is nothing else.
fn end(statement: &Statement, problems: &mut Problems<'_>) {
    let plain = |step: &Step<Written>| {
        !(step.finally || step.hard || step.silent || step.tolerated) && step.timeout.is_none()
    };
    if !statement.targets.is_empty() || !matches!(&statement.action, Action::Step(step) if plain(step)) {
        let message = "`end` takes no `finally`, `try` or other modifier, and has no result to name";
        problems.push(Problem::new(statement.span, message, "leave it out"));
    }
}

impl Checker<'_, '_> {
    /// Defines the parameters of the stored program that is checked: its first results.
    pub(super) fn define_parameters(&mut self) {
        let Some(header) = self.within else { return };
        for (index, (kind, name)) in header.parameters.iter().enumerate() {
            let twice = header.parameters[..index].iter().any(|(_, other)| other.text == name.text);
            if twice {
                let message = format!("the parameter `{}` is declared twice", name.text);
                self.report(Problem::new(name.span, message, "again"));
            }
            let result = match kind {
                ParameterKind::Path | ParameterKind::Data => Kind::Passed,
                ParameterKind::Number => Kind::Value,
                ParameterKind::File => Kind::Object,
            };
            let slot = Slot(self.results.len());
            let text = name.text.clone();
            // No step makes it.
            self.results.push(ResultInfo {
                name: text,
                kind: result,
                step: usize::MAX,
                second: false,
                assigned: false,
            });
            if *kind == ParameterKind::File {
                self.define_file(name, slot);
            }
        }
    }

    /// The slot of `$name`, which is to be passed as `wanted`.
    pub(super) fn passed(&mut self, name: &str, span: Span, wanted: ParameterKind) -> Result<Slot, Reported> {
        let Some(header) = self.within else { return Err(Reported) };
        let found = header.parameters.iter().position(|(_, parameter)| parameter.text == name);
        match found.and_then(|index| header.parameters.get(index).map(|(kind, _)| (index, *kind))) {
            Some((index, kind)) if kind == wanted => Ok(Slot(index)),
            Some((_, kind)) => {
                let message =
                    format!("`{name}` is {}, but {} is needed here", kind.describe(), wanted.describe());
                Err(self.report(Problem::new(span, message, format!("not {}", wanted.describe()))))
            }
            None => {
                let message = format!("`${name}` is no parameter of `{}`", header.name.text);
                let help = format!("declare it: program {} … {} ${name}", header.name.text, wanted.word());
                let problem = Problem::new(span, message, "the same in all calls");
                Err(self.report(problem.help(format!("it is stored before any value is known; {help}"))))
            }
        }
    }

    /// A text of a stored program: fixed, or what is passed.
    pub(super) fn text_within(&mut self, text: &Located<Template>, role: TextRole) -> Result<(), Reported> {
        let Some(first) = text.item.parameters().next() else { return Ok(()) };
        let wanted = match role {
            TextRole::Path if self.takes_path => ParameterKind::Path,
            TextRole::Data => ParameterKind::Data,
            _ => return Err(self.known_too_late(text.span)),
        };
        if only_parameter(&text.item).is_none() {
            let message = format!("`${first}` is passed to the program and cannot be a part of a string");
            let problem = Problem::new(text.span, message, "put together before it is known");
            return Err(self.report(problem.help("pass the whole of it")));
        }
        let first = first.to_owned();
        self.passed(&first, text.span, wanted).map(drop)
    }

    /// What a stored program must know when it is stored.
    pub(super) fn known_too_late(&mut self, span: Span) -> Reported {
        let message =
            "this is needed when the program is stored, and what is passed is known when it is called";
        let problem = Problem::new(span, message, "known too late");
        self.report(problem.help(
            "numbers are passed, data, files, and the paths of `open`, `mkdir` and `remove`; all else is written out",
        ))
    }

    /// What the stored program results in.
    pub(super) fn give(&mut self, statement: &Statement, name: &Name) {
        if self.within.is_none() {
            let message = "`give` stands in no stored program";
            self.report_structure(
                Problem::new(statement.span, message, "nobody to give it to")
                    .help("`print` shows a result; `program` begins a stored program"),
            );
            return;
        }
        if let Some((_, earlier)) = self.gives {
            let problem = Problem::new(statement.span, "a program gives one result", "again");
            self.report(problem.related(earlier, "given here already"));
            return;
        }
        let found = self.find(name);
        let Ok((slot, kind)) = found else { return };
        let has_number =
            !matches!(kind, Kind::Status | Kind::FileSystem | Kind::Address | Kind::Buffer | Kind::Passed);
        if !has_number {
            self.wrong_kind(name, kind.describe(), "a number or something open");
            return;
        }
        self.gives = Some((slot, statement.span));
    }

    /// The program of that name.
    pub(super) fn callee(&self, name: &str) -> Option<Callee> {
        self.stored.iter().position(|stored| stored.name == name).map(Callee)
    }

    pub(super) fn check_call(
        &mut self,
        name: &Name,
        arguments: &[Argument<Written>],
    ) -> Result<Called<Checked>, Reported> {
        if self.within.is_some() {
            let message = "a stored program calls no other";
            return Err(self.report(Problem::new(name.span, message, "called from within a program")));
        }
        let stored = self.stored;
        let Some(callee) = self.callee(&name.text) else {
            // It may be one that could not be read.
            if self.has_broken {
                return Err(Reported);
            }
            let help = match nearest(&name.text, stored.iter().map(|stored| stored.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it in front of all other statements: program {} … end", name.text),
            };
            let message = format!("there is no program `{}`", name.text);
            return Err(self.report(Problem::new(name.span, message, "not declared").help(help)));
        };
        let wanted = stored.get(callee.0).map(|stored| stored.parameters.as_slice()).unwrap_or_default();
        if wanted.len() != arguments.len() {
            let form: Vec<_> =
                wanted.iter().map(|passed| format!("{} {}", passed.kind.word(), passed.name)).collect();
            let form = if form.is_empty() { "nothing".to_owned() } else { form.join(", ") };
            let message =
                format!("`{}` is passed {} of its {} arguments", name.text, arguments.len(), wanted.len());
            let problem = Problem::new(name.span, message, "their number differs");
            return Err(self.report(problem.help(format!("it takes {form}"))));
        }
        let mut checked = Vec::with_capacity(wanted.len());
        let mut wrong = false;
        for (index, (wanted, argument)) in wanted.iter().zip(arguments).enumerate() {
            match self.argument(name, wanted, argument) {
                Ok(passed) if index >= IN_ENTRY && is_result(&passed) => {
                    wrong = true;
                    let problem = Problem::new(
                        span_of(argument),
                        format!("a result can be passed as one of the first {IN_ENTRY} arguments only"),
                        "known when the chain runs",
                    );
                    self.report(problem.help(format!(
                        "let `{}` take what is known only then before what is known now",
                        name.text
                    )));
                }
                Ok(passed) => checked.push(passed),
                Err(Reported) => wrong = true,
            }
        }
        if wrong { Err(Reported) } else { Ok((callee, checked)) }
    }

    /// What is given must be open when the program ends.
    pub(super) fn check_given(&mut self) {
        let Some((slot, span)) = self.gives else { return };
        if let Some((name, closed)) = self.closing(slot) {
            let message = format!("`{name}` is given, but closed before the program ends");
            let problem = Problem::new(closed, message, "closed here").related(span, "given here");
            self.report(problem.help("leave it open: who calls the program closes what it is given"));
        }
    }

    fn argument(
        &mut self,
        program: &Name,
        wanted: &Passed,
        argument: &Argument<Written>,
    ) -> Result<Argument<Checked>, Reported> {
        Ok(match (wanted.kind, argument) {
            (ParameterKind::Path, Argument::Path(text)) => Argument::Path(self.text(text, TextRole::Path)?),
            (ParameterKind::Data, Argument::Path(text)) => Argument::Data(self.text(text, TextRole::Data)?),
            (ParameterKind::Number, Argument::Number(number)) => {
                Argument::Number(self.number(number, NumberRole::Any)?)
            }
            (ParameterKind::Number, Argument::File(name)) => {
                Argument::Number(Amount::Result(self.value(name, ValueRole::Number)?))
            }
            (ParameterKind::Number, Argument::Path(text)) if only_parameter(&text.item).is_some() => {
                self.text(text, TextRole::Data)?;
                let name = only_parameter(&text.item).unwrap_or_default();
                Argument::Number(Amount::Parameter(name.to_owned()))
            }
            (ParameterKind::File, Argument::File(name)) => Argument::File(self.file(name, FileRole::Any)?),
            (kind, _) => {
                let message = format!("`{}` takes {} for `{}`", program.text, kind.describe(), wanted.name);
                let label = format!("not {}", kind.describe());
                return Err(self.report(Problem::new(span_of(argument), message, label)));
            }
        })
    }
}

fn span_of(argument: &Argument<Written>) -> Span {
    match argument {
        Argument::Path(text) | Argument::Data(text) => text.span,
        Argument::Number(number) => number.span,
        Argument::File(name) => name.span,
    }
}

/// Whether it is known only when the chain runs.
fn is_result(argument: &Argument<Checked>) -> bool {
    matches!(argument, Argument::Number(Amount::Result(_)) | Argument::File(FileRef::Result(_)))
}
