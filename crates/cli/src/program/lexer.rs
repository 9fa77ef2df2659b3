//! Cuts one line of a program into tokens.
//!
//! Words, parameters (`$name`), numbers, strings, `=`, `,` and `-`; a `#` outside a string starts a comment. Strings
//! take escapes and `${name}`. What is left of a line after a problem is not looked at.

use super::problem::Problem;
use super::quantity::{Quantity, QuantityError, clip};
use super::syntax::{Piece, Template};
use super::{MAX_DATA, MAX_NAME, Span};

/// What a line is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Word(String),
    Parameter(String),
    Number(Quantity),
    Text(Template),
    Equals,
    Comma,
    Minus,
}

/// A piece of a line and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

impl Token {
    /// How a message names it.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Word(word) => format!("`{word}`"),
            Kind::Parameter(name) => format!("`${name}`"),
            Kind::Number(_) => "a number".to_owned(),
            Kind::Text(_) => "a string".to_owned(),
            Kind::Equals => "`=`".to_owned(),
            Kind::Comma => "`,`".to_owned(),
            Kind::Minus => "`-`".to_owned(),
        }
    }
}

/// The tokens of a line up to the first problem, and that problem. `base` is where the line starts in the program.
pub(super) fn tokens(line: &str, base: usize) -> (Vec<Token>, Option<Box<Problem>>) {
    let mut lexer = Lexer { line, base, at: 0 };
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok(Some(token)) => tokens.push(token),
            Ok(None) => return (tokens, None),
            Err(problem) => return (tokens, Some(problem)),
        }
    }
}

struct Lexer<'a> {
    line: &'a str,
    base: usize,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.line[self.at..]
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: self.base + start, end: self.base + self.at }
    }

    fn next(&mut self) -> Result<Option<Token>, Box<Problem>> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let kind = match first {
            '#' => return Ok(None),
            '=' => self.mark(Kind::Equals),
            ',' => self.mark(Kind::Comma),
            '-' => self.mark(Kind::Minus),
            '"' => Kind::Text(self.string()?),
            '$' => {
                self.at += 1;
                Kind::Parameter(self.name(start, "a parameter's name", "`$` is followed by a name")?)
            }
            'a'..='z' | 'A'..='Z' | '_' => Kind::Word(self.name(start, "a name", "")?),
            '0'..='9' => Kind::Number(self.number()?),
            other => {
                self.at += other.len_utf8();
                let message = format!("unexpected character `{}`", other.escape_debug());
                let problem = Problem::new(self.span_from(start), message, "not part of the language");
                return Err(Box::new(match other {
                    '\'' => problem.help("strings stand in double quotes"),
                    '/' | '.' => problem.help("paths stand in double quotes: \"/etc/hosts\""),
                    _ => problem,
                }));
            }
        };
        Ok(Some(Token { kind, span: self.span_from(start) }))
    }

    fn mark(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn name(&mut self, start: usize, what: &str, otherwise: &str) -> Result<String, Box<Problem>> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Box::new(Problem::new(self.span_from(start), otherwise, "no name here")));
        }
        if name.len() > MAX_NAME {
            let message = format!("{what} has {} bytes; the most is {MAX_NAME}", name.len());
            return Err(Box::new(Problem::new(self.span_from(start), message, "too long")));
        }
        Ok(name)
    }

    fn number(&mut self) -> Result<Quantity, Box<Problem>> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let text = rest[..end].to_owned();
        self.at += end;
        Quantity::parse(&text).map_err(|error| {
            let problem = Problem::new(self.span_from(start), error.to_string(), "not a number");
            Box::new(match error {
                QuantityError::Unit(unit) if unit.eq_ignore_ascii_case("k") => {
                    problem.help("size units are capitals: 64K")
                }
                _ => problem,
            })
        })
    }

    fn string(&mut self) -> Result<Template, Box<Problem>> {
        let start = self.at;
        self.at += 1;
        let mut template = Template::default();
        let mut bytes = Vec::new();
        loop {
            let here = self.at;
            let Some(next) = self.rest().chars().next() else {
                return Err(Box::new(
                    Problem::new(self.span_from(start), "the string does not end on its line", "starts here")
                        .help("close it with `\"`; a line break in a string is written \\n"),
                ));
            };
            self.at += next.len_utf8();
            match next {
                '"' => break,
                '\\' => self.escape(here, &mut bytes)?,
                '$' if self.rest().starts_with('{') => {
                    self.at += 1;
                    let name = self.name(here, "a parameter's name", "`${` is followed by a name and `}`")?;
                    if !self.rest().starts_with('}') {
                        let message = "the parameter in the string is not closed with `}`";
                        return Err(Box::new(
                            Problem::new(self.span_from(here), message, "starts here")
                                .help("a `$` that starts no parameter is written \\$"),
                        ));
                    }
                    self.at += 1;
                    if !bytes.is_empty() {
                        template.pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    }
                    template.pieces.push(Piece::Parameter(name));
                }
                other if other.is_control() && other != '\t' => {
                    let message = format!("control character `{}` in a string", other.escape_debug());
                    return Err(Box::new(
                        Problem::new(self.span_from(here), message, "here").help("write it as \\xHH"),
                    ));
                }
                other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if bytes.len() > MAX_DATA {
            let message = format!("the string has {} bytes; the most is {MAX_DATA}", bytes.len());
            return Err(Box::new(Problem::new(self.span_from(start), message, "too long")));
        }
        if !bytes.is_empty() {
            template.pieces.push(Piece::Bytes(bytes));
        }
        Ok(template)
    }

    fn escape(&mut self, start: usize, bytes: &mut Vec<u8>) -> Result<(), Box<Problem>> {
        let Some(letter) = self.rest().chars().next() else {
            return Ok(()); // The line ends: the string reports that it does not.
        };
        self.at += letter.len_utf8();
        bytes.push(match letter {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            '0' => 0,
            '\\' | '"' | '$' => letter as u8,
            'x' => {
                let digits: String = self.rest().chars().take(2).collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte)
                        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits.len() == 2 =>
                    {
                        self.at += 2;
                        byte
                    }
                    _ => return Err(self.bad_escape(start, "`\\x` is followed by two hexadecimal digits")),
                }
            }
            'u' => {
                let code = self.rest().strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let found = code.and_then(|(digits, _)| {
                    let fits = (1..=6).contains(&digits.len()) && !digits.starts_with('+');
                    let number = fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
                    Some((char::from_u32(number)?, digits.len() + 2))
                });
                let Some((character, length)) = found else {
                    return Err(self.bad_escape(start, "`\\u` is followed by a code point: \\u{e9}"));
                };
                self.at += length;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => {
                let message = format!("unknown escape `\\{}`", clip(&other.to_string()));
                return Err(self.bad_escape(start, &message));
            }
        });
        Ok(())
    }

    fn bad_escape(&self, start: usize, message: &str) -> Box<Problem> {
        Box::new(
            Problem::new(self.span_from(start), message, "not an escape")
                .help("escapes are \\n \\t \\r \\0 \\\\ \\\" \\$ \\xHH and \\u{…}"),
        )
    }
}
