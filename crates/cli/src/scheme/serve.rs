//! `ouzel serve`: a directory, or a service of this command's own, under a name.
//!
//! Each client has an engine and a backend of its own: one that is confined to the directory, or one that asks the service.
//! The process does nothing else; signals end it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ouzel::RingBuilder;
use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::backend::fault::Fault;
use ouzel::observe::PublishedService;
use ouzel::scheme::{
    Answering, AtOnce, Confine, Host, Name, Peer, Programs, Published, Quotas, Rights, Server, Stopper,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{BackendChoice, ServeArguments};
use crate::command::{CommandError, load_stored};
use crate::ring_machine::{RingMachine, kind_of, raise_descriptor_limit};
use crate::scheme::fault::Script;
use crate::scheme::{log, memory};

/// Descriptors that the confinement has open by itself, at most, for each client.
const PRIVATE: u32 = 64;

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// `file:DIR`: a directory and everything beneath it.
    File(PathBuf),
    /// `log:DIR`: the logs of a directory.
    Log(PathBuf),
    /// `mem:` or `mem:BYTES`: files in memory, of so many bytes together.
    Memory(u64),
    /// `fault:` and another: that one made worse.
    Fault(Box<Service>),
}

impl Service {
    /// Reads what stands on the command line.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &std::ffi::OsStr) -> Result<Service, String> {
        use std::os::unix::ffi::OsStrExt;
        let (kind, rest) = match text.as_bytes().iter().position(|byte| *byte == b':') {
            Some(colon) => (&text.as_bytes()[..colon], &text.as_bytes()[colon + 1..]),
            None => (&b""[..], &b""[..]),
        };
        let rest = std::ffi::OsStr::from_bytes(rest);
        match kind {
            b"file" if !rest.is_empty() => Ok(Service::File(rest.into())),
            b"log" if !rest.is_empty() => Ok(Service::Log(rest.into())),
            b"fault" => match Service::parse(rest)? {
                inner @ (Service::File(_) | Service::Memory(_)) => Ok(Service::Fault(Box::new(inner))),
                _ => Err("fault: is followed by file:DIRECTORY, mem: or mem:BYTES".to_owned()),
            },
            b"mem" if rest.is_empty() => Ok(Service::Memory(memory::BYTES)),
            b"mem" => match rest.to_str().and_then(|bytes| bytes.parse().ok()) {
                Some(bytes) => Ok(Service::Memory(bytes)),
                None => Err(format!("mem:{}: a number of bytes is wanted, or nothing", rest.display())),
            },
            _ => Err("what is served is written file:DIRECTORY, log:DIRECTORY, mem: or mem:BYTES, the first and the last \
                      also behind fault:"
                .to_owned()),
        }
    }
}

/// Changes quotas as `NAME=NUMBER` says.
///
/// # Errors
///
/// A sentence that says what is wrong, and which names there are.
pub fn set_quota(quotas: &mut Quotas, text: &str) -> Result<(), String> {
    let Some((name, number)) = text.split_once('=') else {
        return Err(format!("--quota {text}: NAME=NUMBER is wanted"));
    };
    let number: u64 = number.parse().map_err(|_| format!("--quota {text}: {number} is no number"))?;
    let small = u32::try_from(number).map_err(|_| format!("--quota {text}: {number} is too much"));
    match name {
        "connections" => quotas.connections = small?,
        "connections-of-user" => quotas.connections_of_user = small?,
        "entries" => quotas.entries = small?,
        "descriptors" => quotas.descriptors = small?,
        "shared-bytes" => quotas.shared_bytes = number,
        "regions" => quotas.regions = small?,
        "chain" => quotas.chain = small?,
        "programs" => quotas.programs = small?,
        "program-bytes" => quotas.program_bytes = small?,
        "program-steps" => quotas.program_steps = small?,
        "budget" => quotas.budget = small?,
        _ => {
            return Err(format!(
                "--quota {text}: there are connections, connections-of-user, entries, descriptors, shared-bytes, regions, chain, \
                 programs, program-bytes, program-steps and budget"
            ));
        }
    }
    Ok(())
}

/// Serves until a signal says otherwise.
///
/// # Errors
///
/// Those of the directory, of the name, and of waiting.
pub fn run(arguments: &ServeArguments) -> Result<bool, CommandError> {
    let what = Service::parse(&arguments.what).map_err(CommandError::Usage)?;
    let name = Name::parse(&arguments.name).map_err(|error| CommandError::Usage(error.to_string()))?;
    let mut quotas = Quotas::default();
    for quota in &arguments.quota {
        set_quota(&mut quotas, quota).map_err(CommandError::Usage)?;
    }
    let (programs, only) = (published(&arguments.program)?, arguments.only_programs);
    let mut offer = Offer { name, quotas, programs, only, observe: arguments.observe };
    let (what, script) = match (what, &arguments.script) {
        (Service::Fault(inner), Some(file)) => {
            let wrong =
                |cause: &dyn std::fmt::Display| CommandError::Usage(format!("{}: {cause}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|cause| wrong(&cause))?;
            (*inner, Some(Script::parse(&text).map_err(|cause| wrong(&cause))?))
        }
        (Service::Fault(_), None) => {
            return Err(CommandError::Usage(
                "fault: needs --script FILE, which says what goes wrong".to_owned(),
            ));
        }
        (_, Some(_)) => {
            return Err(CommandError::Usage("--script is for fault:…, as fault:mem:".to_owned()));
        }
        (what, None) => (what, None),
    };
    match what {
        Service::File(directory) => files(arguments, offer, directory, script),
        Service::Fault(_) => Err(CommandError::Usage("fault: of fault: cannot be".to_owned())),
        _ if arguments.read_only => {
            Err(CommandError::Usage("--read-only: only file:DIRECTORY can be served so".to_owned()))
        }
        Service::Memory(bytes) => {
            offer.quotas.verbs = memory::VERBS.bits();
            let (shared, descriptors) = (memory::Memory::new(bytes), offer.quotas.descriptors);
            let make = move |_: &Peer| Ok(Answering::new(AtOnce(shared.clone()), descriptors));
            spoiled(offer, "files in memory", script, make)
        }
        Service::Log(directory) => {
            let (make, committer) = log::Logs::serve(&directory).map_err(CommandError::Usage)?;
            offer.quotas.verbs = log::VERBS.bits();
            let (descriptors, name) = (offer.quotas.descriptors, offer.name.clone());
            let make = move |_: &Peer| Ok(Answering::new(make(), descriptors));
            let served = serve(offer, &format!("the logs of {}", directory.display()), make);
            let log::Committed { records, syncs } = committer.end();
            writeln!(io::stderr(), "{name} made durable: {records} records, {syncs} times")
                .unwrap_or_default();
            served
        }
    }
}

/// Under which name, and what clients may have of it.
struct Offer {
    name: Name,
    quotas: Quotas,
    /// What clients call by name.
    programs: Vec<Published>,
    /// They may do nothing else.
    only: bool,
    /// Others of this user see what they do.
    observe: bool,
}

/// The programs of these texts.
fn published(files: &[PathBuf]) -> Result<Vec<Published>, CommandError> {
    let mut programs = Vec::new();
    for file in files {
        for stored in &load_stored(file)? {
            programs.push(RingMachine::publish(stored).map_err(|cause| {
                CommandError::Usage(format!("cannot offer a program of {}: {cause}", file.display()))
            })?);
        }
    }
    Ok(programs)
}

/// Serves a directory.
fn files(
    arguments: &ServeArguments,
    mut offer: Offer,
    directory: PathBuf,
    script: Option<Script>,
) -> Result<bool, CommandError> {
    let root = File::open(&directory)
        .and_then(|root| match root.metadata()?.is_dir() {
            true => Ok(OwnedFd::from(root)),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        })
        .map_err(|cause| CommandError::Usage(format!("cannot serve {}: {cause}", directory.display())))?;
    let rights = if arguments.read_only { Rights::read_only() } else { Rights::files() };
    offer.quotas.verbs = rights.verbs.bits();
    let (own, backend) = (offer.quotas.descriptors, arguments.backend);
    let make = move |_: &Peer| {
        let builder = builder(backend).descriptors(own + 1 + PRIVATE).watched();
        let (mut backend, _) = builder.open_backend().map_err(|_| Errno::ENOMEM)?;
        backend.adopt(own, root.try_clone().map_err(|_| Errno::EMFILE)?)?;
        Ok(Confine::<Box<dyn HostBackend>>::new(backend, Some(own), own + 1..own + 1 + PRIVATE, rights))
    };
    spoiled(offer, &directory.display().to_string(), script, make)
}

/// Serves what `make` makes, with the faults of a script if there is one.
fn spoiled<H: Host + 'static>(
    offer: Offer,
    what: &str,
    script: Option<Script>,
    mut make: impl FnMut(&Peer) -> Result<H, Errno> + 'static,
) -> Result<bool, CommandError> {
    match script {
        None => serve(offer, what, make),
        Some(script) => {
            let make = move |peer: &Peer| Ok(Fault::new(make(peer)?, script.decide()).without_runs());
            serve(offer, &format!("{what}, with faults,"), make)
        }
    }
}

/// Serves what `make` makes for each client, until a signal says otherwise.
fn serve<H: Host>(
    offer: Offer,
    what: &str,
    make: impl FnMut(&Peer) -> Result<H, Errno> + 'static,
) -> Result<bool, CommandError> {
    let failed = |error: ouzel::scheme::Error| CommandError::Scheme(Box::new(error));
    let Offer { name, quotas, programs, only, observe } = offer;
    let mut server = Server::bind(&name, quotas, make).map_err(failed)?;
    for program in programs {
        server.publish(program).map_err(failed)?;
    }
    if observe {
        let page = PublishedService::new(&name, &quotas)
            .map_err(|error| CommandError::Usage(format!("--observe: {error}")))?;
        server.observe(page);
    }
    if only {
        server.grant(|_| Programs::Published);
    }
    // As many as the system lets a process have: a client takes six.
    raise_descriptor_limit(u64::MAX);
    end_on_signals(server.stopper()).map_err(CommandError::Output)?;
    writeln!(io::stderr(), "serving {what} as {name}").unwrap_or_default();
    server.run().map_err(failed)?;
    let done = server.statistics();
    writeln!(
        io::stderr(),
        "{name} ended: {} connections, {} entries, {} thrown out",
        done.accepted,
        done.entries,
        done.thrown_out
    )
    .unwrap_or_default();
    Ok(true)
}

fn builder(backend: BackendChoice) -> RingBuilder {
    kind_of(backend).map_or_else(RingBuilder::new, |kind| RingBuilder::new().backend(kind))
}

fn end_on_signals(stopper: Stopper) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            stopper.stop();
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_named_by_its_kind() {
        assert_eq!(Service::parse("file:/srv".as_ref()), Ok(Service::File("/srv".into())));
        assert_eq!(Service::parse("log:/srv:2".as_ref()), Ok(Service::Log("/srv:2".into())));
        assert_eq!(Service::parse("mem:".as_ref()), Ok(Service::Memory(memory::BYTES)));
        assert_eq!(Service::parse("mem:4096".as_ref()), Ok(Service::Memory(4096)));
        for wrong in ["", "file:", "log:", "mem:x", "mem:-1", "/srv", "/srv:x", "disk:x"] {
            assert!(Service::parse(wrong.as_ref()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quotas_have_names() {
        let mut quotas = Quotas::default();
        assert_eq!(set_quota(&mut quotas, "descriptors=7"), Ok(()));
        assert_eq!(quotas.descriptors, 7);
        assert_eq!(set_quota(&mut quotas, "shared-bytes=5000000000"), Ok(()));
        assert_eq!(quotas.shared_bytes, 5_000_000_000);
        for wrong in ["descriptors", "descriptors=x", "descriptors=5000000000", "spoons=1", "=1"] {
            assert!(set_quota(&mut quotas, wrong).is_err(), "{wrong}");
        }
    }
}
