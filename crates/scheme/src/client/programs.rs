//! Programs, asked for on the control socket: stored, forgotten, and found by name.

use std::os::fd::AsFd;

use ouzel_engine::Program;
use ouzel_ring::Errno;

use super::{Client, errno};
use crate::wire::{self, ToClient, ToServer};
use crate::{Error, Found, ProgramRefusal, Signature, image, shared};

impl Client {
    /// Stores a program at the service and returns its number in CALL entries. One that names
    /// [addresses](Program::with_addresses) is refused there.
    ///
    /// Errors: [`Error::Program`] with EINVAL if the service's verifier refuses it, E2BIG if it is too long, ENOSPC if there
    /// are too many, EPERM for a client that may call the service's programs only; [`Error::System`]; [`Error::Over`],
    /// [`Error::Silent`].
    pub fn store(&mut self, program: &Program) -> Result<u32, Error> {
        const CALL: &str = "store a program";
        let image = image::encode(program);
        let file = shared::copy_in(&image).map_err(|source| Error::system("carry a program", source))?;
        let token = self.token();
        let question = ToServer::StoreProgram(wire::StoreProgram { token, length: image.len() as u64 });
        match self.ask(&question, Some(file.as_fd()), CALL)? {
            ToClient::ProgramStored(answer) if answer.token == token => Ok(answer.number),
            ToClient::ProgramRefused(answer) if answer.token == token => Err(self.refused(CALL, &answer)),
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    /// Forgets a program that was [stored](Client::store). Calls of it that have been pushed are left alone.
    ///
    /// Errors: [`Error::Program`] with ENOENT if there is none of this number, EPERM if it is the service's;
    /// [`Error::Over`], [`Error::Silent`].
    pub fn forget(&mut self, number: u32) -> Result<(), Error> {
        const CALL: &str = "forget a program";
        self.submitter.publish();
        let token = self.token();
        let question = ToServer::ForgetProgram(wire::ForgetProgram { token, number });
        match self.ask(&question, None, CALL)? {
            ToClient::ProgramForgotten(answer) if answer.token == token => match answer.errno {
                0 => Ok(()),
                number => Err(self.refusal(CALL, errno(number), None, "")),
            },
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    /// Finds the program that the service has under this name.
    ///
    /// Errors: [`Error::Program`] with ENOENT if it has none for this client; [`Error::Over`], [`Error::Silent`].
    pub fn find(&mut self, program: &str) -> Result<Found, Error> {
        const CALL: &str = "find a program";
        let name = wire::Text::cut(program);
        if program.is_empty() || name.as_str() != program {
            let why = "no program can have this name: 1 to 64 bytes, and no control characters";
            return Err(self.refusal(CALL, Errno::ENOENT, None, why));
        }
        let token = self.token();
        let question = ToServer::FindProgram(wire::FindProgram { token, name });
        match self.ask(&question, None, CALL)? {
            ToClient::ProgramFound(answer) if answer.token == token => {
                Ok(Found { number: answer.number, signature: Signature::of(&answer) })
            }
            ToClient::ProgramRefused(answer) if answer.token == token => Err(self.refused(CALL, &answer)),
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    fn refused(&self, call: &'static str, answer: &wire::ProgramRefused) -> Error {
        self.refusal(call, errno(answer.errno), (answer.step as usize).checked_sub(1), answer.why.as_str())
    }

    fn refusal(&self, call: &'static str, errno: Errno, step: Option<usize>, why: &str) -> Error {
        let (name, why) = (self.name.clone(), why.to_owned());
        Error::Program(Box::new(ProgramRefusal { name, call, errno, step, why }))
    }
}
