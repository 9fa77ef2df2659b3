//! Reads statements: prefixes, targets, the verb with its operands (`verbs.rs`), modifiers.
//!
//! Every line stands alone, so a problem costs its own line only: the names it would have defined are kept as
//! broken, and their uses are not reported a second time.

use super::control;
use super::lexer::{self, Kind, Token};
use super::problem::{Problem, Problems};
use super::quantity::Dimension;
use super::stored;
use super::syntax::{Action, Amount, Data, Located, Name, Piece, Statement, Step, Template, Wait, Written};
use super::verbs::{self, VERBS};
use super::{MAX_STATEMENTS, Span};

pub(super) type Parsed<T> = Result<T, Box<Problem>>;

/// Words that structure statements and so cannot be names, beside the verbs.
const STRUCTURE: &[&str] =
    &["at", "in", "to", "as", "by", "end", "mode", "finally", "try", "hard", "silent", "timeout", "not"];

pub(super) fn is_reserved(word: &str) -> bool {
    STRUCTURE.contains(&word) || VERBS.iter().any(|(verb, _)| *verb == word)
}

/// The statements of a program, in order, broken ones included.
pub(super) fn parse(text: &str, problems: &mut Problems<'_>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut base = 0;
    for (index, line) in text.split('\n').enumerate() {
        let (tokens, problem) = lexer::tokens(line, base);
        let end = base + line.trim_end().len();
        base += line.len() + 1;
        if tokens.is_empty() && problem.is_none() {
            continue;
        }
        if statements.len() == MAX_STATEMENTS {
            let span = tokens.first().map_or(Span { start: end, end }, |token| token.span);
            let message = format!("the program has more than {MAX_STATEMENTS} statements");
            problems.push(Problem::new(span, message, "one too many"));
            break;
        }
        let mut cursor = Cursor { tokens: &tokens, at: 0, end, form: "" };
        let statement = match problem {
            Some(problem) => Err(problem),
            None => statement(&mut cursor, index + 1),
        };
        statements.push(statement.unwrap_or_else(|mut problem| {
            if problem.help.is_none() && !cursor.form.is_empty() {
                problem.help = Some(format!("the form is: {}", cursor.form));
            }
            problems.push(*problem);
            broken(&tokens)
        }));
    }
    statements
}

/// What is known of a statement that could not be read: the names it defines.
fn broken(tokens: &[Token]) -> Statement {
    let mut targets = Vec::new();
    if let Some(equals) = tokens.iter().position(|token| token.kind == Kind::Equals) {
        for token in &tokens[..equals] {
            if let Kind::Word(word) = &token.kind
                && !is_reserved(word)
            {
                targets.push(Name { text: word.clone(), span: token.span });
            }
        }
    }
    let span = tokens.first().map_or(Span::default(), |token| token.span);
    Statement { targets, action: Action::Broken, span, verb_span: span }
}

fn statement(cursor: &mut Cursor<'_>, line: usize) -> Parsed<Statement> {
    let start = cursor.here();
    let finally = cursor.accept("finally");
    let tolerated = cursor.accept("try");
    let targets = targets(cursor)?;
    let verb_span = cursor.here();
    let Some(Token { kind: Kind::Word(verb), .. }) = cursor.peek() else {
        return Err(cursor.expected("a verb"));
    };
    let Some((verb, form)) = VERBS.iter().find(|(known, _)| known == verb) else {
        let help = match nearest(verb, VERBS.iter().map(|(verb, _)| *verb)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("the verbs are {}", VERBS.iter().map(|(verb, _)| *verb).collect::<Vec<_>>().join(" "))
            }
        };
        let problem = Problem::new(verb_span, format!("unknown verb `{verb}`"), "not a verb").help(help);
        return Err(Box::new(problem));
    };
    cursor.form = form;
    cursor.at += 1;
    let action = match *verb {
        "print" => Some(Action::Print(cursor.name("a name to print")?)),
        "give" => Some(Action::Give(cursor.name("the result to give")?)),
        "program" => Some(Action::Program(stored::header(cursor, line)?)),
        "service" => Some(Action::Program(stored::header_of_service(cursor, line)?)),
        _ => None,
    };
    if let Some(action) = action {
        cursor.finish()?;
        if finally || tolerated || !targets.is_empty() {
            let why = match action {
                Action::Print(_) => "is done by the command when the chain is over",
                _ => "is no statement of the chain",
            };
            let message =
                format!("`{verb}` {why}; it takes no `finally`, no `try` and gives no result a name");
            return Err(Box::new(Problem::new(start.to(verb_span), message, format!("not before `{verb}`"))));
        }
        return Ok(Statement { targets, action, span: start.to(cursor.last()), verb_span });
    }
    let operation = verbs::operation(verb, cursor)?;
    let mut step = Step { operation, hard: false, finally, tolerated, silent: false, timeout: None, line };
    modifiers(cursor, &mut step)?;
    cursor.finish()?;
    Ok(Statement { targets, action: Action::Step(Box::new(step)), span: start.to(cursor.last()), verb_span })
}

fn targets(cursor: &mut Cursor<'_>) -> Parsed<Vec<Name>> {
    let mut targets = Vec::new();
    if !matches!(cursor.tokens.get(cursor.at + 1), Some(Token { kind: Kind::Equals | Kind::Comma, .. })) {
        return Ok(targets);
    }
    loop {
        targets.push(cursor.name("a name for the result")?);
        match cursor.next() {
            Some(Token { kind: Kind::Comma, .. }) => {}
            Some(Token { kind: Kind::Equals, .. }) => return Ok(targets),
            _ => {
                cursor.at = cursor.at.saturating_sub(1);
                return Err(cursor.expected("`=` or `,`"));
            }
        }
        if targets.len() == 2 {
            return Err(cursor.expected("`=` (no statement has more than two results)"));
        }
    }
}

fn modifiers(cursor: &mut Cursor<'_>, step: &mut Step<Written>) -> Parsed<()> {
    loop {
        let span = cursor.here();
        let repeated = if cursor.accept("hard") {
            std::mem::replace(&mut step.hard, true)
        } else if cursor.accept("silent") {
            std::mem::replace(&mut step.silent, true)
        } else if cursor.accept("timeout") {
            step.timeout.replace(cursor.duration()?).is_some()
        } else {
            return Ok(());
        };
        if repeated {
            return Err(Box::new(Problem::new(span, "the modifier is given twice", "again")));
        }
    }
}

/// A place in the tokens of one line.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    form: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_second(&self) -> Option<&'a Token> {
        self.tokens.get(self.at + 1)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    /// Where the next token stands, or the end of the line.
    pub(super) fn here(&self) -> Span {
        self.peek().map_or(Span { start: self.end, end: self.end }, |token| token.span)
    }

    fn last(&self) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or_else(|| self.here(), |token| token.span)
    }

    /// The next token as a word, if it is one.
    pub(super) fn word(&self) -> Option<&'a str> {
        match self.peek() {
            Some(Token { kind: Kind::Word(word), .. }) => Some(word),
            _ => None,
        }
    }

    /// Passes over `word` if it is next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.word() == Some(word);
        self.at += usize::from(found);
        found
    }

    /// Passes over `word` or says that it is missing.
    pub(super) fn require(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    /// Passes over a `,` if it is next.
    pub(super) fn accept_comma(&mut self) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: Kind::Comma, .. }));
        self.at += usize::from(found);
        found
    }

    pub(super) fn next_is_number(&self) -> bool {
        matches!(self.peek(), Some(Token { kind: Kind::Number(_), .. }))
    }

    /// The next token as a parameter: its name without the `$`.
    pub(super) fn parameter(&mut self, what: &str) -> Parsed<Name> {
        let Some(Token { kind: Kind::Parameter(name), span }) = self.peek() else {
            return Err(self.expected(what));
        };
        self.at += 1;
        Ok(Name { text: name.clone(), span: *span })
    }

    /// Passes over a `-` if it is next.
    pub(super) fn accept_minus(&mut self) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: Kind::Minus, .. }));
        self.at += usize::from(found);
        found
    }

    /// The problem that the next token is not `what`.
    pub(super) fn expected(&self, what: &str) -> Box<Problem> {
        let (message, label) = match self.peek() {
            Some(token) => (format!("expected {what}, found {}", token.describe()), "not expected here"),
            None => (format!("expected {what}, but the line ends"), "something is missing here"),
        };
        Box::new(Problem::new(self.here(), message, label))
    }

    fn finish(&self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the statement")),
        }
    }

    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        let Some(word) = self.word() else { return Err(self.expected(what)) };
        if is_reserved(word) {
            let message = format!("expected {what}, found `{word}`, a word of the language");
            let problem = Problem::new(self.here(), message, "cannot be a name");
            return Err(Box::new(problem));
        }
        let name = Name { text: word.to_owned(), span: self.here() };
        self.at += 1;
        Ok(name)
    }

    pub(super) fn number(&mut self, what: &str) -> Parsed<Located<Amount<Name>>> {
        let span = self.here();
        let item = match self.peek().map(|token| &token.kind) {
            Some(Kind::Number(quantity)) => {
                if quantity.dimension == Dimension::Time {
                    let message = format!("expected {what}, found a duration");
                    return Err(Box::new(Problem::new(span, message, "has a unit of time")));
                }
                if quantity.octal {
                    return Err(Box::new(
                        Problem::new(span, format!("{what} is not written in octal"), "octal")
                            .help("leave the leading zero out"),
                    ));
                }
                Amount::Literal(quantity.value)
            }
            Some(Kind::Parameter(name)) => Amount::Parameter(name.clone()),
            Some(Kind::Word(_)) => return Ok(Located { item: Amount::Result(self.name(what)?), span }),
            _ => return Err(self.expected(what)),
        };
        self.at += 1;
        Ok(Located { item, span })
    }

    pub(super) fn duration(&mut self) -> Parsed<Located<Wait>> {
        let span = self.here();
        let item = match self.peek().map(|token| &token.kind) {
            Some(Kind::Number(quantity)) => {
                if quantity.dimension != Dimension::Time && quantity.value != 0 {
                    return Err(Box::new(
                        Problem::new(span, "the duration has no unit", "no unit")
                            .help("the units are ns us ms s min h"),
                    ));
                }
                Wait::Literal(quantity.value)
            }
            Some(Kind::Parameter(name)) => Wait::Parameter(name.clone()),
            _ => return Err(self.expected("a duration such as 10ms")),
        };
        self.at += 1;
        Ok(Located { item, span })
    }

    pub(super) fn text(&mut self, what: &str) -> Parsed<Located<Template>> {
        let span = self.here();
        let item = match self.peek().map(|token| &token.kind) {
            Some(Kind::Text(template)) => template.clone(),
            Some(Kind::Parameter(name)) => Template { pieces: vec![Piece::Parameter(name.clone())] },
            _ => return Err(self.expected(&format!("{what} (a string or a parameter)"))),
        };
        self.at += 1;
        Ok(Located { item, span })
    }

    pub(super) fn data(&mut self) -> Parsed<Data<Written>> {
        if self.word().is_some() {
            let name = self.name("data (a string, a parameter, the result of a read or a buffer)")?;
            return Ok(match control::first(self)? {
                Some(length) => Data::First(name, length),
                None => Data::Result(name),
            });
        }
        Ok(Data::Text(self.text("data")?))
    }

    /// The value after `mode`, already passed: octal, at most 0o7777.
    pub(super) fn mode(&mut self) -> Parsed<u64> {
        let span = self.here();
        let Some(Token { kind: Kind::Number(quantity), .. }) = self.peek() else {
            return Err(self.expected("permissions in octal, such as 0644"));
        };
        let wrong = if !quantity.octal {
            Some("permissions are written in octal, with a leading zero: 0644")
        } else if quantity.value > 0o7777 {
            Some("permissions are at most 07777")
        } else {
            None
        };
        if let Some(message) = wrong {
            return Err(Box::new(Problem::new(span, message, "not permissions")));
        }
        self.at += 1;
        Ok(quantity.value)
    }
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = if word.len() < 4 { 1 } else { 2 };
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions and replacements lie between two words.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
