//! Programs at a service: those that are stored there, and those it offers.

use std::sync::Arc;

use ouzel_chain::ring::{self, Description, Parameter};
use ouzel_engine::Program as Verified;
use ouzel_scheme::{Found, Parameter as Passed, Published, ResultKind, Signature};

use crate::chain::{Kind, Program};
use crate::error::Error;

/// The program with its constants beside its steps, verified anew.
pub(crate) fn portable<T>(program: &Program<T>) -> Result<Verified, Error> {
    ring::portable(program).map_err(|rejection| Error::Rejected(Box::new(rejection)))
}

/// A program for a service to offer under this name: [`Server::publish`](ouzel_scheme::Server::publish) takes it, and clients find
/// it with [`Ring::find_program`](crate::Ring::find_program).
///
/// Errors: [`Error::Rejected`] for what only a program in the same process can do (vectored transfers, SENDMSG and RECVMSG with
/// constants); [`Error::Scheme`] for a name that is not 1 to 64 bytes without control characters.
pub fn published<T: Kind>(name: &str, program: &Program<T>) -> Result<Published, Error> {
    let description = ring::description(program);
    let parameters = description.parameters().iter().map(|parameter| match parameter {
        Parameter::Number => Passed::Number,
        Parameter::File => Passed::File,
        Parameter::Path => Passed::Path,
        Parameter::Bytes => Passed::Bytes,
        Parameter::Room(capacity) => Passed::Room(*capacity),
    });
    let signature =
        Signature { parameters: parameters.collect(), result: result_of::<T>(), fills: description.fills() };
    Ok(Published::new(name, portable(program)?, signature)?)
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
    Ok(Description::of_another(parameters.collect(), *fills))
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
