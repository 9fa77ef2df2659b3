//! Parts and loops: where they begin and end, and which names are known behind them.
//!
//! What a part that may be skipped defines is not known behind it; nor is what a loop defines behind a way out of it.
//! Only `finally` statements may use it: they run if what they use was ever made.

use super::MAX_DEPTH;
use super::Span;
use super::check::{Checked, Checker, Reported};
use super::problem::Problem;
use super::syntax::{Asked, Leave, Operation, Statement, Step, Written};

/// A part or loop that has begun.
pub(super) struct Block {
    is_loop: bool,
    has_else: bool,
    span: Span,
    /// Its first step.
    step: usize,
    /// How many names there were when it began.
    pub(super) names: usize,
    /// How many names there were at the first way out of the loop.
    exit: Option<usize>,
}

impl Block {
    pub(super) fn is_loop(&self) -> bool {
        self.is_loop
    }

    pub(super) fn span(&self) -> Span {
        self.span
    }
}

impl Checker<'_, '_> {
    /// Follows the structure of the program, before the operands of a statement are looked at.
    pub(super) fn enter(
        &mut self,
        statement: &Statement,
        step: &Step<Written>,
        steps: &mut [Step<Checked>],
    ) -> Result<(), Reported> {
        let operation = &step.operation;
        let modified = step.finally || step.hard || step.silent || step.tolerated || step.timeout.is_some();
        if operation.is_structure() && modified {
            let message = format!("`{}` takes no `finally`, `try` or other modifier", operation.verb());
            return Err(self.report(Problem::new(statement.span, message, "leave it out")));
        }
        if step.finally
            && let Some(block) = self.blocks.last()
        {
            let message = "a `finally` statement stands in a part or loop";
            let problem = Problem::new(statement.span, message, "runs at the end, whatever surrounds it")
                .related(block.span, "begins here")
                .help("move it to the end of the program, behind `end`");
            return Err(self.report(problem));
        }
        match operation {
            Operation::If { asked: Asked::Full | Asked::Short | Asked::Failed, .. }
                if steps.iter().all(|step| step.operation.is_structure()) =>
            {
                let message = "`last` asks about the statement before, and there is none";
                return Err(self.report(Problem::new(statement.span, message, "nothing ran before")));
            }
            Operation::Else => return self.otherwise(statement, steps),
            Operation::End => return self.end(statement, steps),
            _ => {}
        }
        Ok(())
    }

    /// Follows the structure of the program, behind a statement. `index` is its step.
    pub(super) fn leave(&mut self, statement: &Statement, step: &Step<Written>, index: usize) {
        match &step.operation {
            Operation::If { leave: None, .. } => self.begin(statement, index, false),
            Operation::Repeat { .. } => self.begin(statement, index, true),
            Operation::If { leave: Some(leave), .. } | Operation::Leave(leave) => {
                self.way_out(statement, *leave)
            }
            _ => {}
        }
    }

    /// Every part and loop has to have an end.
    pub(super) fn finish_blocks(&mut self) {
        while let Some(block) = self.blocks.pop() {
            let what = if block.is_loop { "repeat" } else { "if" };
            let message = format!("the `{what}` has no `end`");
            self.report_structure(
                Problem::new(block.span, message, "begins here").help("put `end` behind its last statement"),
            );
        }
    }

    fn begin(&mut self, statement: &Statement, step: usize, is_loop: bool) {
        if self.blocks.len() == MAX_DEPTH {
            let message = format!("parts and loops stand in each other more than {MAX_DEPTH} deep");
            self.report(Problem::new(statement.span, message, "one too many"));
        }
        let names = self.order.len();
        let span = statement.span;
        self.blocks.push(Block { is_loop, has_else: false, span, step, names, exit: None });
    }

    fn otherwise(&mut self, statement: &Statement, steps: &mut [Step<Checked>]) -> Result<(), Reported> {
        match self.blocks.last_mut() {
            Some(block) if !block.is_loop && !block.has_else => {
                block.has_else = true;
                let (span, names) = (block.span, block.names);
                block.names = self.order.len();
                if let Some(Step { operation: Operation::If { otherwise, .. }, .. }) =
                    steps.get_mut(block.step)
                {
                    *otherwise = true;
                }
                self.forget(names, span);
                Ok(())
            }
            _ => Err(self.report_structure(Problem::new(
                statement.span,
                "`else` belongs to no `if`",
                "nothing to be otherwise",
            ))),
        }
    }

    fn end(&mut self, statement: &Statement, steps: &[Step<Checked>]) -> Result<(), Reported> {
        let Some(block) = self.blocks.pop() else {
            let message = "`end` belongs to no `if` and no `repeat`";
            return Err(self.report_structure(Problem::new(statement.span, message, "nothing to end")));
        };
        if !block.is_loop {
            self.forget(block.names, block.span);
            return Ok(());
        }
        if let Some(exit) = block.exit {
            self.forget(exit, block.span);
        }
        let body = steps.get(block.step + 1..).unwrap_or_default();
        if body.iter().all(|step| matches!(step.operation, Operation::Buffer { .. })) {
            let problem = Problem::new(statement.span, "the loop has nothing to repeat", "ends here")
                .related(block.span, "begins here");
            return Err(self.report_structure(problem));
        }
        Ok(())
    }

    fn way_out(&mut self, statement: &Statement, leave: Leave) {
        if leave == Leave::Stop {
            return;
        }
        let names = self.order.len();
        match self.blocks.iter_mut().rev().find(|block| block.is_loop) {
            Some(block) => {
                block.exit.get_or_insert(names);
            }
            None => {
                let message = format!("`{}` stands in no loop", leave.word());
                let problem = Problem::new(statement.span, message, "nothing to leave")
                    .help("`stop` ends the chain; `repeat` begins a loop");
                self.report_structure(problem);
            }
        }
    }

    /// The names from the `from`th on are not known any more: the part that begins at `span` may have been skipped.
    fn forget(&mut self, from: usize, span: Span) {
        for name in self.order.get(from..).unwrap_or_default() {
            if let Some(definition) = self.names.get_mut(name) {
                definition.part.get_or_insert(span);
            }
        }
    }

    /// Reports what is wrong with the structure, unless a statement that could not be read may be the cause.
    pub(super) fn report_structure(&mut self, problem: Problem) -> Reported {
        if self.has_broken { Reported } else { self.report(problem) }
    }
}
