//! The programs of one connection: those that the client has stored, and those of the service's that it may call.
//!
//! What a client stores is copied before anything in it is looked at, and its size is judged before it is copied. A program
//! of the service's gets a number when the client first asks for it.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use ouzel_engine::{Backend, Engine};
use ouzel_ring::Errno;

use crate::program::Published;
use crate::wire::{
    FindProgram, ForgetProgram, ProgramForgotten, ProgramRefused, ProgramStored, StoreProgram, Text, ToClient,
};
use crate::{Programs, Quotas, image, shared};

/// See the [module](self).
pub(super) struct Shelf {
    /// Those of the service's that the client may call, and their numbers.
    granted: Vec<(Rc<Published>, Option<u32>)>,
    /// The client may do nothing but call those.
    pub(super) only: bool,
    /// What the client has stored.
    own: Vec<u32>,
}

/// Why a program is not stored or found.
struct Refusal {
    errno: Errno,
    /// Counted from 0.
    step: Option<usize>,
    why: String,
}

impl Refusal {
    fn new(errno: Errno, why: impl Into<String>) -> Refusal {
        Refusal { errno, step: None, why: why.into() }
    }

    fn answer(self, token: u64) -> ToClient {
        ToClient::ProgramRefused(ProgramRefused {
            token,
            errno: self.errno.raw() as u32,
            step: self.step.map_or(0, |step| step as u32 + 1),
            why: Text::cut(&self.why),
        })
    }
}

impl Shelf {
    pub(super) fn new(programs: &Programs, published: &[Rc<Published>]) -> Shelf {
        let (granted, only) = programs.of(published);
        Shelf { granted: granted.into_iter().map(|program| (program, None)).collect(), only, own: Vec::new() }
    }

    /// The most programs that the engine may have: the client's and the service's.
    pub(super) fn limit(&self, quotas: &Quotas) -> u32 {
        self.quota(quotas).saturating_add(self.granted.len() as u32)
    }

    /// The most programs that the client may store.
    pub(super) fn quota(&self, quotas: &Quotas) -> u32 {
        if self.only { 0 } else { quotas.programs }
    }

    /// How many the client has stored.
    pub(super) fn stored(&self) -> u32 {
        self.own.len() as u32
    }

    /// Holds the engine to what the client may call.
    pub(super) fn restrict<B: Backend>(&self, engine: &mut Engine<B>) {
        if self.only {
            let numbers: Vec<u32> = self.granted.iter().filter_map(|(_, number)| *number).collect();
            engine.restrict(Some(&numbers));
        }
    }

    pub(super) fn store<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        quotas: &Quotas,
        message: StoreProgram,
        file: OwnedFd,
    ) -> ToClient {
        let StoreProgram { token, length } = message;
        match self.try_store(engine, quotas, length, file) {
            Ok(number) => ToClient::ProgramStored(ProgramStored { token, number }),
            Err(refusal) => refusal.answer(token),
        }
    }

    fn try_store<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        quotas: &Quotas,
        length: u64,
        file: OwnedFd,
    ) -> Result<u32, Refusal> {
        if self.only {
            return Err(Refusal::new(Errno::EPERM, "this client may call the service's programs only"));
        }
        if self.stored() >= quotas.programs {
            let why = format!("{} programs are stored already: forget one", quotas.programs);
            return Err(Refusal::new(Errno::ENOSPC, why));
        }
        if length > u64::from(quotas.program_bytes) {
            let why = format!("its {length} bytes are more than {}", quotas.program_bytes);
            return Err(Refusal::new(Errno::E2BIG, why));
        }
        let image = shared::copy_out(file, length as usize).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
            Refusal::new(errno, error.to_string())
        })?;
        let program = image::decode(&image).map_err(|error| match error {
            image::ImageError::Form(why) => Refusal::new(Errno::EINVAL, why),
            image::ImageError::Rejected(rejection) => {
                Refusal { errno: Errno::EINVAL, step: rejection.step, why: rejection.reason.to_string() }
            }
        })?;
        let number = engine.store(program).map_err(|error| Refusal::new(error.errno(), error.to_string()))?;
        self.own.push(number);
        Ok(number)
    }

    pub(super) fn forget<B: Backend>(&mut self, engine: &mut Engine<B>, message: ForgetProgram) -> ToClient {
        let ForgetProgram { token, number } = message;
        let place = self.own.iter().position(|own| *own == number);
        let forgotten = match place {
            Some(place) => {
                self.own.swap_remove(place);
                engine.forget(number)
            }
            None if self.granted.iter().any(|(_, granted)| *granted == Some(number)) => Err(Errno::EPERM),
            None => Err(Errno::ENOENT),
        };
        let errno = forgotten.err().map_or(0, |errno| errno.raw() as u32);
        ToClient::ProgramForgotten(ProgramForgotten { token, errno })
    }

    pub(super) fn find<B: Backend>(&mut self, engine: &mut Engine<B>, message: FindProgram) -> ToClient {
        let FindProgram { token, name } = message;
        match self.try_find(engine, name.as_str()) {
            Ok((program, number)) => ToClient::ProgramFound(program.signature().found(token, number)),
            Err(refusal) => refusal.answer(token),
        }
    }

    fn try_find<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        name: &str,
    ) -> Result<(Rc<Published>, u32), Refusal> {
        let granted = self.granted.iter_mut().find(|(program, _)| program.name() == name);
        let Some((program, number)) = granted else {
            return Err(Refusal::new(
                Errno::ENOENT,
                "the service has no program of this name for this client",
            ));
        };
        let program = Rc::clone(program);
        if let Some(number) = number {
            return Ok((program, *number));
        }
        let stored = engine.store(program.program().clone());
        let stored = stored.map_err(|error| Refusal::new(error.errno(), error.to_string()))?;
        *number = Some(stored);
        self.restrict(engine);
        Ok((program, stored))
    }
}
