//! Programs at a service: in process a program names its constants by their addresses, and there it brings them along.

use std::sync::Arc;

use ouzel_engine::Program as Verified;
use ouzel_ring::Payload;
use ouzel_ring::modifiers::CONSTANTS_REGION;
use ouzel_scheme::{Found, Parameter as Passed, Published, ResultKind, Signature};

use crate::Chain;
use crate::chain::{CALLERS, Memory};
use crate::done::Kind;
use crate::error::Error;
use crate::program::{Description, Parameter, Program};

/// The program with its constants beside its steps, verified anew.
pub(crate) fn portable<T>(program: &Program<T>) -> Result<Verified, Error> {
    let Description { body, order, .. } = &*program.description;
    let mut constants = body.text.from(0).to_vec();
    let mut places: Vec<(u16, usize)> = Vec::new();
    let mut entries = program.verified.entries().to_vec();
    for (entry, step) in entries.iter_mut().zip(order) {
        let offset = match body.steps.get(usize::from(*step)).map(|step| step.payload) {
            Some(Memory::Text(start)) => start as usize,
            Some(Memory::Filled(buffer)) if buffer != CALLERS => {
                match places.iter().find(|(placed, _)| *placed == buffer) {
                    Some((_, offset)) => *offset,
                    None => {
                        let offset = constants.len();
                        if let Some(Some(buffer)) = body.buffers.get(usize::from(buffer)) {
                            constants.extend_from_slice(buffer.as_slice());
                        }
                        places.push((buffer, offset));
                        offset
                    }
                }
            }
            _ => continue,
        };
        entry.arguments[1] = Payload::new(CONSTANTS_REGION, offset as u64).unwrap_or_default().number();
    }
    Verified::with_constants(&entries, program.interface().clone(), &constants)
        .map_err(|rejection| Error::Rejected(Box::new(rejection)))
}

impl<T: Kind> Program<T> {
    /// The program for a service to offer under this name: [`Server::publish`](ouzel_scheme::Server::publish) takes it, and
    /// clients find it with [`Ring::find_program`](crate::Ring::find_program).
    ///
    /// Errors: [`Error::Rejected`] for what only a program in the same process can do (vectored transfers, SENDMSG and RECVMSG
    /// with constants); [`Error::Scheme`] for a name that is not 1 to 64 bytes without control characters.
    pub fn publish(&self, name: &str) -> Result<Published, Error> {
        let parameters = self.description.parameters.iter().map(|parameter| match parameter {
            Parameter::Number => Passed::Number,
            Parameter::File => Passed::File,
            Parameter::Path => Passed::Path,
            Parameter::Bytes => Passed::Bytes,
            Parameter::Room(capacity) => Passed::Room(*capacity),
        });
        let signature = Signature {
            parameters: parameters.collect(),
            result: result_of::<T>(),
            fills: self.description.fills,
        };
        Ok(Published::new(name, portable(self)?, signature)?)
    }
}

/// What is known of a program that a service has. Its steps are the service's business.
pub(crate) fn describe<T: Kind>(name: &str, found: &Found) -> Result<Description, Error> {
    let Signature { parameters, result, fills } = &found.signature;
    let expected = result_of::<T>();
    if *result != expected {
        return Err(Error::ProgramResult { name: name.to_owned(), given: *result, expected });
    }
    let parameters = parameters.iter().map(|parameter| match parameter {
        Passed::Number => Parameter::Number,
        Passed::File => Parameter::File,
        Passed::Path => Parameter::Path,
        Passed::Bytes => Parameter::Bytes,
        Passed::Room(capacity) => Parameter::Room(*capacity),
    });
    let body = Chain::new().body;
    Ok(Description { parameters: parameters.collect(), body, order: Vec::new(), fills: *fills })
}

fn result_of<T: Kind>() -> ResultKind {
    match T::HELD {
        Some(true) if T::OPENS => ResultKind::File,
        Some(true) => ResultKind::Number,
        _ => ResultKind::Nothing,
    }
}

/// A program that a ring knows: its number, and what it is made of or called with.
pub(crate) type Known = (u32, Arc<Description>);
