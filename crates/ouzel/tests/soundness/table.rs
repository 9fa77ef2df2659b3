//! The table: a row for every verb and way of using it. What a row says is how to set the operation up, how to begin it, as a
//! single operation and as a chain, and how to bring about what it waits for.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ouzel::abi::{Errno, Verb};
use ouzel::task::Handle;
use ouzel::{Chain, Error};

use crate::stage::{Scene, Stage};
use crate::{files, sockets, waiting};

/// Where an operation is while it is not over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// It waits for an event, in the backend.
    Waits,
    /// It waits for a time, in the engine.
    Timer,
    /// It ends by itself, as soon as the backend gets to it.
    Ends,
    /// The engine does it as it is dispatched: no backend ever has it.
    Engine,
}

pub type Ending = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

pub struct Row {
    pub name: &'static str,
    pub how: How,
    pub set_up: fn(&mut dyn Stage, &mut Scene),
    /// The operation as a step of a chain.
    pub chain: fn(&mut Chain, &Scene),
    /// What the chain ends with.
    pub expected: Errno,
    /// The operation as a future of its own, if there is one.
    pub call: Option<fn(&Handle, &Scene) -> Ending>,
    /// That future is a stream: it does not end with its first result.
    pub streams: bool,
    /// Brings about what it waits for. If it is wanted, somebody does wait.
    pub event: fn(&mut dyn Stage, &mut Scene, bool),
    /// How long it takes at the least, if time alone ends it.
    pub lasts: Option<Duration>,
}

/// As which of the two an operation is begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Call,
    Chain,
}

impl Row {
    /// The forms that it has.
    pub fn forms(&self) -> impl Iterator<Item = Form> + use<> {
        let has_call = self.call.is_some();
        [Form::Call, Form::Chain].into_iter().filter(move |form| *form == Form::Chain || has_call)
    }

    /// The operation as a chain, with memory of the pool that shows how long the chain keeps what it owns.
    pub fn chain(&self, scene: &Scene) -> Chain {
        let mut chain = Chain::new();
        chain.room(scene.room());
        (self.chain)(&mut chain, scene);
        BUILT.lock().unwrap_or_else(PoisonError::into_inner).extend(chain.verbs());
        chain
    }

    /// The operation as a future, which is `Ok` if it has ended as it should.
    pub fn begin(&self, form: Form, handle: &Handle, scene: &Scene) -> Ending {
        if let (Form::Call, Some(call)) = (form, self.call) {
            return call(handle, scene);
        }
        let running = handle.run(self.chain(scene));
        let expected = self.expected;
        Box::pin(async move {
            match running.await?.check() {
                Err(error) if error.errno != expected => Err(error.into()),
                _ => Ok(()),
            }
        })
    }

    /// Whether this form of it ends at all.
    pub fn goes_on(&self, form: Form) -> bool {
        self.streams && form == Form::Call
    }
}

/// A row whose operation is written once: chains and handles have methods of the same names.
macro_rules! row {
    ($name:literal, $how:ident, $set_up:expr, |$on:ident, $scene:ident| $operation:expr, $event:expr) => {
        $crate::table::Row {
            call: Some(|$on: &ouzel::task::Handle, $scene: &$crate::stage::Scene| {
                let _ = &$scene;
                let operation = $operation;
                Box::pin(async move { operation.await.map(drop).map_err(ouzel::Error::from) })
            }),
            ..$crate::table::chain!($name, $how, $set_up, |$on, $scene| $operation, $event)
        }
    };
}
pub(crate) use row;

/// A row that is a chain only.
macro_rules! chain {
    ($name:literal, $how:ident, $set_up:expr, |$on:ident, $scene:ident| $operation:expr, $event:expr) => {
        $crate::table::Row {
            name: $name,
            how: $crate::table::How::$how,
            set_up: $set_up,
            chain: |$on: &mut ouzel::Chain, $scene: &$crate::stage::Scene| {
                let _ = &$scene;
                let _ = $operation;
            },
            expected: ouzel::abi::Errno::OK,
            call: None,
            streams: false,
            event: $event,
            lasts: None,
        }
    };
}
pub(crate) use chain;

/// What happens to operations that wait for nothing.
pub fn nothing(_: &mut dyn Stage, _: &mut Scene, _: bool) {}

/// For operations that need nothing.
pub fn no_set_up(_: &mut dyn Stage, _: &mut Scene) {}

/// Verbs without a row, and why.
pub const WITHOUT: &[(Verb, &str)] = &[(
    Verb::Cancel,
    "chains and handles have no step for it: dropping a future sends it, as every cell does",
)];

/// The verbs of all chains that rows have built so far.
static BUILT: Mutex<BTreeSet<Verb>> = Mutex::new(BTreeSet::new());

/// Verbs that should have a row and have none.
pub fn missing() -> Vec<&'static str> {
    let built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let has_reason = |verb: &Verb| WITHOUT.iter().any(|(without, _)| without == verb);
    let missing = Verb::ALL.iter().filter(|verb| !built.contains(verb) && !has_reason(verb));
    missing.map(|verb| verb.name()).collect()
}

pub fn rows() -> Vec<Row> {
    let mut rows = files::rows();
    rows.extend(sockets::rows());
    rows.extend(waiting::rows());
    rows
}
