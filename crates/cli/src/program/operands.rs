//! The operands of statements: names become the results they stand for, and what is written out is held to its limits.

use super::Address;
use super::bind;
use super::blocks::Block;
use super::check::{Checked, Checker, Closed, FileRef, Reported, Slot, Stream};
use super::kinds::{Kind, misfit};
use super::map::{FileRole, Mapper, NumberRole, TextRole, ValueRole};
use super::problem::Problem;
use super::stored::{Argument, Called, ParameterKind};
use super::syntax::{Amount, Located, Name, Template, Wait, Written};

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
