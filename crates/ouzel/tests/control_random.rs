//! Random programs of numbers, parts and loops: the engine computes what a plain interpreter does, so no register is taken
//! for another, across turns of loops neither.
#![allow(clippy::unwrap_used)]

use ouzel::{BackendKind, BuildError, Chain, Compute, Error, Reg, Ring, Variable};
use proptest::prelude::*;

/// A statement. Numbers choose among what is known where it stands.
#[derive(Clone, Debug)]
enum Statement {
    Constant(u64),
    Sum(usize, usize),
    Smaller(usize, usize),
    Declare(u64),
    Assign(usize, usize, u64),
    Part(usize, u64, Vec<Statement>),
    Cases(usize, u64, Vec<Statement>, Vec<Statement>),
    Loop(u16, Vec<Statement>),
    Break(usize, u64),
    Next(usize, u64),
    Stop(usize, u64),
    Finally(usize),
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let any = any::<usize>;
    let leaf = prop_oneof![
        3 => (0..6u64).prop_map(Statement::Constant),
        4 => (any(), any()).prop_map(|(a, b)| Statement::Sum(a, b)),
        2 => (any(), any()).prop_map(|(a, b)| Statement::Smaller(a, b)),
        2 => (0..4u64).prop_map(Statement::Declare),
        5 => (any(), any(), 0..3u64).prop_map(|(a, b, c)| Statement::Assign(a, b, c)),
        1 => (any(), 0..9u64).prop_map(|(a, b)| Statement::Break(a, b)),
        1 => (any(), 0..9u64).prop_map(|(a, b)| Statement::Next(a, b)),
        1 => (any(), 15..30u64).prop_map(|(a, b)| Statement::Stop(a, b)),
        1 => any().prop_map(Statement::Finally),
    ];
    let statement = leaf.prop_recursive(3, 24, 6, move |inner| {
        let block = || prop::collection::vec(inner.clone(), 1..6);
        prop_oneof![
            (any(), 0..9u64, block()).prop_map(|(a, b, part)| Statement::Part(a, b, part)),
            (any(), 0..9u64, block(), block())
                .prop_map(|(a, b, part, other)| Statement::Cases(a, b, part, other)),
            (1..5u16, block()).prop_map(|(bound, body)| Statement::Loop(bound, body)),
        ]
    });
    prop::collection::vec(statement, 1..12)
}

#[derive(Clone, Copy)]
enum Known {
    Result(Reg<u64>),
    Variable(Variable),
}

impl From<Known> for ouzel::Count {
    fn from(known: Known) -> ouzel::Count {
        match known {
            Known::Result(reg) => reg.into(),
            Known::Variable(variable) => variable.into(),
        }
    }
}

/// What a statement has become: its place in `values`, and where its operands lie.
enum Op {
    Set(usize, u64),
    Sum(usize, usize, usize),
    Smaller(usize, usize, usize),
    Assign(usize, usize, u64),
    Part(usize, u64, Vec<Op>, Vec<Op>),
    Loop(u16, Vec<Op>),
    Leave(Way, usize, u64),
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    On,
    Break,
    Next,
    Stop,
}

/// Builds a chain and, beside it, what it means.
struct Twin {
    /// What is known: how it is named, where its value lies, and whether it can be assigned.
    known: Vec<(Known, usize)>,
    /// The results that are asked for at the end.
    results: Vec<(Reg<u64>, usize)>,
    /// The FINALLY steps, and what they tell.
    told: Vec<(Reg<u64>, usize)>,
    values: usize,
    in_loop: usize,
}

impl Twin {
    fn place(&mut self) -> usize {
        self.values += 1;
        self.values - 1
    }

    fn pick(&self, which: usize) -> (Known, usize) {
        self.known[which % self.known.len()]
    }

    fn result(&mut self, reg: Reg<u64>) -> usize {
        let place = self.place();
        self.known.push((Known::Result(reg), place));
        self.results.push((reg, place));
        place
    }

    fn block(&mut self, chain: &mut Chain, statements: &[Statement]) -> Vec<Op> {
        let outer = self.known.len();
        let ops = statements.iter().filter_map(|statement| self.statement(chain, statement)).collect();
        // What a part or loop makes is not known behind it: which of it could be is another test's matter.
        self.known.truncate(outer);
        ops
    }

    fn statement(&mut self, chain: &mut Chain, statement: &Statement) -> Option<Op> {
        Some(match statement {
            Statement::Constant(value) => {
                let reg = chain.set(*value);
                Op::Set(self.result(reg), *value)
            }
            Statement::Sum(a, b) => {
                let ((a, a_place), (b, b_place)) = (self.pick(*a), self.pick(*b));
                let reg = chain.wrapping_add(a, b);
                Op::Sum(self.result(reg), a_place, b_place)
            }
            Statement::Smaller(a, b) => {
                let ((a, a_place), (b, b_place)) = (self.pick(*a), self.pick(*b));
                let reg = chain.min(a, b);
                Op::Smaller(self.result(reg), a_place, b_place)
            }
            Statement::Declare(value) => {
                let variable = chain.variable(*value);
                let place = self.place();
                self.known.push((Known::Variable(variable), place));
                Op::Set(place, *value)
            }
            Statement::Assign(which, source, more) => {
                let variables: Vec<(Variable, usize)> = self
                    .known
                    .iter()
                    .filter_map(|(known, place)| match known {
                        Known::Variable(variable) => Some((*variable, *place)),
                        Known::Result(_) => None,
                    })
                    .collect();
                let (variable, place) = *variables.get(which % variables.len().max(1))?;
                let (source, source_place) = self.pick(*source);
                chain.assign(variable, Compute::add(source, *more).wrapping());
                Op::Assign(place, source_place, *more)
            }
            Statement::Part(which, than, part) => {
                let (asked, place) = self.pick(*which);
                let ops = chain.when(asked).is_less_than(*than).then(|chain| self.block(chain, part));
                Op::Part(place, *than, ops, Vec::new())
            }
            Statement::Cases(which, than, part, other) => {
                let (asked, place) = self.pick(*which);
                let twin = std::cell::RefCell::new(self);
                let (ops, others) = chain.when(asked).is_less_than(*than).either(
                    |chain| twin.borrow_mut().block(chain, part),
                    |chain| twin.borrow_mut().block(chain, other),
                );
                Op::Part(place, *than, ops, others)
            }
            Statement::Loop(bound, body) => {
                self.in_loop += 1;
                let (_, ops) = chain.repeat(*bound, |chain| {
                    // So that no body is empty.
                    chain.nop();
                    self.block(chain, body)
                });
                self.in_loop -= 1;
                Op::Loop(*bound, ops)
            }
            Statement::Break(which, than) if self.in_loop > 0 => {
                let (asked, place) = self.pick(*which);
                chain.when(asked).is_less_than(*than).break_loop();
                Op::Leave(Way::Break, place, *than)
            }
            Statement::Next(which, than) if self.in_loop > 0 => {
                let (asked, place) = self.pick(*which);
                chain.when(asked).is_less_than(*than).next_turn();
                Op::Leave(Way::Next, place, *than)
            }
            Statement::Stop(which, than) => {
                let (asked, place) = self.pick(*which);
                // Stops if it is not less: rarely, and late.
                chain.when(asked).is_less_than(*than).not().stop();
                Op::Leave(Way::Stop, place, *than)
            }
            Statement::Finally(which) => {
                let (asked, place) = self.pick(*which);
                let told = chain.finally().get(asked);
                self.told.push((told, place));
                return None;
            }
            Statement::Break(..) | Statement::Next(..) => return None,
        })
    }
}

/// Runs what a chain means. Returns how the block was left.
fn interpret(ops: &[Op], values: &mut [Option<u64>]) -> Way {
    for op in ops {
        let less = |place: usize, than: u64, values: &[Option<u64>]| values[place].unwrap() < than;
        let way = match op {
            Op::Set(place, value) => {
                values[*place] = Some(*value);
                Way::On
            }
            Op::Sum(place, a, b) => {
                values[*place] = Some(values[*a].unwrap().wrapping_add(values[*b].unwrap()));
                Way::On
            }
            Op::Smaller(place, a, b) => {
                values[*place] = values[*a].min(values[*b]);
                Way::On
            }
            Op::Assign(place, source, more) => {
                values[*place] = Some(values[*source].unwrap().wrapping_add(*more));
                Way::On
            }
            Op::Part(place, than, part, other) => {
                interpret(if less(*place, *than, values) { part } else { other }, values)
            }
            Op::Loop(bound, body) => {
                let mut way = Way::On;
                for _ in 0..*bound {
                    way = interpret(body, values);
                    if way == Way::Break || way == Way::Stop {
                        break;
                    }
                }
                if way == Way::Stop { Way::Stop } else { Way::On }
            }
            Op::Leave(Way::Stop, place, than) => {
                if less(*place, *than, values) {
                    Way::On
                } else {
                    Way::Stop
                }
            }
            Op::Leave(way, place, than) => {
                if less(*place, *than, values) {
                    *way
                } else {
                    Way::On
                }
            }
        };
        if way != Way::On {
            return way;
        }
    }
    Way::On
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn chains_compute_what_they_mean(statements in statements()) {
        let mut ring = Ring::builder().backend(BackendKind::Sim).entries(1024).build().unwrap();
        let mut chain = Chain::new();
        let mut twin = Twin { known: Vec::new(), results: Vec::new(), told: Vec::new(), values: 0, in_loop: 0 };
        let mut ops = vec![];
        ops.extend(twin.statement(&mut chain, &Statement::Declare(1)));
        ops.extend(statements.iter().filter_map(|statement| twin.statement(&mut chain, statement)));
        let mut values = vec![None; twin.values];
        interpret(&ops, &mut values);
        let done = match ring.run(chain) {
            Ok(done) => done,
            Err(Error::Build(BuildError::TooManyLive { .. })) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(done.error(), None);
        for (reg, place) in &twin.results {
            match (done.get(*reg), values[*place]) {
                (Ok(value), Some(expected)) => prop_assert_eq!(value, expected, "{:?}", reg),
                (Err(Error::Skipped { .. }), None) => {}
                (found, expected) => prop_assert!(false, "{:?}: {:?}, not {:?}", reg, found, expected),
            }
        }
        for (told, place) in &twin.told {
            match (done.get(*told), values[*place]) {
                (Ok(value), Some(expected)) => prop_assert_eq!(value, expected, "{:?}", told),
                (Err(Error::Skipped { .. }), None) => {}
                (found, expected) => prop_assert!(false, "{:?}: {:?}, not {:?}", told, found, expected),
            }
        }
        prop_assert_eq!(ring.gauges().packets, 0);
    }
}
