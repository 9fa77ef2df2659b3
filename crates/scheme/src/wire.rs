//! Messages of the control socket: their bytes, and what makes them one.
//!
//! Bytes in, values out: no memory, no descriptor and no system call. Every byte comes from the other side, so a message is
//! taken only if all of it is as it must be; whatever is left over is reserved and must be zero, so that it can get a meaning
//! later. Nothing here may panic, whatever the bytes are. Both sides use the same code, and the fuzz target `wire_messages`.
//!
//! All numbers are little-endian. Every message begins with
//!
//! | offset | type | |
//! |---|---|---|
//! | 0 | u32 | magic: the bytes `ouzS` |
//! | 4 | u32 | kind |
//! | 8 | u32 | version, [`VERSION`]; checked before what follows, whose form it decides |
//! | 12 | u32 | reserved |
//!
//! and has 32 bytes, HELLO and CANCEL 48, WELCOME 80, and those of [`programs`] as many as it says. Then, from byte 16 on:
//!
//! | kind | message | fields | descriptors |
//! |---|---|---|---|
//! | 1 | HELLO | features u64, entries u32, completions u32, generation u32, at least 1 | |
//! | 2 | ADD REGION | token u64, length u64 | the memory |
//! | 3 | REMOVE REGION | token u64, region u16 | |
//! | 4 | BYE | | |
//! | 5 | CANCEL | token u64, what u32 (0 user data, 1 a range of user data, 2 a descriptor, 3 all), reserved u32, first u64, last u64 | |
//! | 257 | WELCOME | features u64, entries u32, completions u32, chain u32, descriptors u32, programs u32, program steps u32, epoch u64, verbs u128, flags u32 (bit 0: only programs) | engine part, submitter part, doorbell; with feature READINESS also the descriptor of readiness |
//! | 258 | REFUSED | reason u32 | |
//! | 259 | REGION ADDED | token u64, region u16 | |
//! | 260 | REGION REFUSED | token u64, errno u32 | |
//! | 261 | REGION REMOVED | token u64, errno u32, 0 if it is | |
//! | 262 | CANCELLED | token u64, entries reached u32 | |
//!
//! Those of programs, 16 to 18 and 272 to 275, are in [`programs`].
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "wire/programs.rs"]
mod programs;

use std::fmt;

pub(crate) use programs::*;

use ouzel_engine::Target;
use ouzel_ring::modifiers::CALL_REGION;
use ouzel_ring::{Descriptor, Geometry, GeometryError};

use crate::Reason;

/// The version of these messages and of what they agree on.
pub(crate) const VERSION: u32 = 1;

/// What this version can do beyond what every side can: a bit each. A client names what it would use, and is granted what both
/// know; so a bit that is not known is no error in HELLO, and is one in WELCOME.
pub(crate) const FEATURES: u64 = READINESS;

/// The client has a descriptor that becomes readable when completions are there: a fourth one with WELCOME.
pub(crate) const READINESS: u64 = 1 << 0;

/// The longest message of either direction, in bytes.
pub(crate) const MAX_MESSAGE: usize = REFUSED_PROGRAM_SIZE;

/// The most descriptors that a message to the server has with it.
pub(crate) const MAX_FILES_TO_SERVER: usize = 1;

/// The most descriptors that a message to the client has with it.
pub(crate) const MAX_FILES_TO_CLIENT: usize = 4;

const MAGIC: u32 = u32::from_le_bytes(*b"ouzS");
const SIZE: usize = 32;
const HELLO_SIZE: usize = 48;
const CANCEL_SIZE: usize = 48;
const WELCOME_SIZE: usize = 80;

const HELLO: u32 = 1;
const ADD_REGION: u32 = 2;
const REMOVE_REGION: u32 = 3;
const BYE: u32 = 4;
const CANCEL: u32 = 5;
const WELCOME: u32 = 257;
const REFUSED: u32 = 258;
const REGION_ADDED: u32 = 259;
const REGION_REFUSED: u32 = 260;
const REGION_REMOVED: u32 = 261;
const CANCELLED: u32 = 262;

/// The flag of WELCOME that says that only programs may be called.
const ONLY_PROGRAMS: u32 = 1;

/// The largest errno that the kernel returns.
const MAX_ERRNO: u32 = 4095;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToServer {
    Hello(Hello),
    AddRegion(AddRegion),
    RemoveRegion(RemoveRegion),
    Bye(Bye),
    Cancel(Cancel),
    StoreProgram(StoreProgram),
    ForgetProgram(ForgetProgram),
    FindProgram(FindProgram),
}

impl ToServer {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            ToServer::Hello(message) => Bytes::of(&message.encode()),
            ToServer::AddRegion(message) => Bytes::of(&message.encode()),
            ToServer::RemoveRegion(message) => Bytes::of(&message.encode()),
            ToServer::Bye(message) => Bytes::of(&message.encode()),
            ToServer::Cancel(message) => Bytes::of(&message.encode()),
            ToServer::StoreProgram(message) => Bytes::of(&message.encode()),
            ToServer::ForgetProgram(message) => Bytes::of(&message.encode()),
            ToServer::FindProgram(message) => Bytes::of(&message.encode()),
        }
    }

    /// What these bytes say, all of them.
    pub(crate) fn decode(bytes: &[u8]) -> Result<ToServer, WireError> {
        let (kind, mut body) = open(bytes, |kind| match kind {
            HELLO => Some(HELLO_SIZE),
            ADD_REGION..=BYE => Some(SIZE),
            CANCEL => Some(CANCEL_SIZE),
            kind => programs::size_to_server(kind),
        })?;
        let message = match kind {
            HELLO => {
                let features = body.long()?;
                let (entries, completions) = (body.word()?, body.word()?);
                Geometry::new(entries.into(), completions.into()).map_err(WireError::Geometry)?;
                let generation = body.word()?;
                if generation == 0 {
                    return Err(WireError::Value { field: "the first generation of descriptors", value: 0 });
                }
                ToServer::Hello(Hello { version: VERSION, features, entries, completions, generation })
            }
            ADD_REGION => {
                let (token, length) = (body.long()?, body.long()?);
                // What no file can be.
                if length == 0 || i64::try_from(length).is_err() {
                    return Err(WireError::Value { field: "the length of a region", value: length });
                }
                ToServer::AddRegion(AddRegion { token, length })
            }
            REMOVE_REGION => {
                let token = body.long()?;
                ToServer::RemoveRegion(RemoveRegion { region: body.region()?, token })
            }
            BYE => ToServer::Bye(Bye),
            CANCEL => ToServer::Cancel(Cancel { token: body.long()?, target: body.target()? }),
            kind => programs::to_server(kind, &mut body)?,
        };
        body.end()?;
        Ok(message)
    }

    /// How many descriptors must be with the message.
    pub(crate) fn files(&self) -> usize {
        match self {
            ToServer::AddRegion(_) | ToServer::StoreProgram(_) => 1,
            ToServer::Hello(_)
            | ToServer::RemoveRegion(_)
            | ToServer::Bye(_)
            | ToServer::Cancel(_)
            | ToServer::ForgetProgram(_)
            | ToServer::FindProgram(_) => 0,
        }
    }
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToClient {
    Welcome(Welcome),
    Refused(Refused),
    RegionAdded(RegionAdded),
    RegionRefused(RegionRefused),
    RegionRemoved(RegionRemoved),
    Cancelled(Cancelled),
    ProgramStored(ProgramStored),
    ProgramRefused(ProgramRefused),
    ProgramForgotten(ProgramForgotten),
    ProgramFound(ProgramFound),
}

impl ToClient {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            ToClient::Welcome(message) => Bytes::of(&message.encode()),
            ToClient::Refused(message) => Bytes::of(&message.encode()),
            ToClient::RegionAdded(message) => Bytes::of(&message.encode()),
            ToClient::RegionRefused(message) => Bytes::of(&message.encode()),
            ToClient::RegionRemoved(message) => Bytes::of(&message.encode()),
            ToClient::Cancelled(message) => Bytes::of(&message.encode()),
            ToClient::ProgramStored(message) => Bytes::of(&message.encode()),
            ToClient::ProgramRefused(message) => Bytes::of(&message.encode()),
            ToClient::ProgramForgotten(message) => Bytes::of(&message.encode()),
            ToClient::ProgramFound(message) => Bytes::of(&message.encode()),
        }
    }

    /// What these bytes say, all of them.
    pub(crate) fn decode(bytes: &[u8]) -> Result<ToClient, WireError> {
        let (kind, mut body) = open(bytes, |kind| match kind {
            WELCOME => Some(WELCOME_SIZE),
            REFUSED..=CANCELLED => Some(SIZE),
            kind => programs::size_to_client(kind),
        })?;
        let message = match kind {
            WELCOME => ToClient::Welcome(body.welcome()?),
            REFUSED => {
                let number = body.word()?;
                let reason = Reason::from_number(number)
                    .ok_or(WireError::Value { field: "the reason of a refusal", value: number.into() })?;
                ToClient::Refused(Refused { reason })
            }
            REGION_ADDED => {
                ToClient::RegionAdded(RegionAdded { token: body.long()?, region: body.region()? })
            }
            REGION_REFUSED => {
                let (token, errno) = (body.long()?, body.errno()?);
                if errno == 0 {
                    return Err(WireError::Value { field: "the errno of a refused region", value: 0 });
                }
                ToClient::RegionRefused(RegionRefused { token, errno })
            }
            REGION_REMOVED => {
                ToClient::RegionRemoved(RegionRemoved { token: body.long()?, errno: body.errno()? })
            }
            CANCELLED => ToClient::Cancelled(Cancelled { token: body.long()?, reached: body.word()? }),
            kind => programs::to_client(kind, &mut body)?,
        };
        body.end()?;
        Ok(message)
    }

    /// How many descriptors must be with the message.
    pub(crate) fn files(&self) -> usize {
        match self {
            ToClient::Welcome(welcome) if welcome.has_readiness() => 4,
            ToClient::Welcome(_) => 3,
            ToClient::Refused(_)
            | ToClient::RegionAdded(_)
            | ToClient::RegionRefused(_)
            | ToClient::RegionRemoved(_)
            | ToClient::Cancelled(_)
            | ToClient::ProgramStored(_)
            | ToClient::ProgramRefused(_)
            | ToClient::ProgramForgotten(_)
            | ToClient::ProgramFound(_) => 0,
        }
    }
}

/// The first message of a client: what it would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Is [`VERSION`] when it was decoded: any other version is an error that says which.
    pub(crate) version: u32,
    /// Bits as those of [`FEATURES`]; those that the server does not know are there, too.
    pub(crate) features: u64,
    /// Slots of the submission queue. With `completions` a geometry that can be.
    pub(crate) entries: u32,
    pub(crate) completions: u32,
    /// What the generations of its descriptors begin with, at least 1: larger than any it has from another connection.
    pub(crate) generation: u32,
}

impl Hello {
    pub(crate) fn encode(&self) -> [u8; HELLO_SIZE] {
        lay(&[
            &head(HELLO, self.version),
            &self.features.to_le_bytes(),
            &self.entries.to_le_bytes(),
            &self.completions.to_le_bytes(),
            &self.generation.to_le_bytes(),
        ])
    }
}

/// A client shares memory. One descriptor comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddRegion {
    /// The client's own number, sent back with the answer.
    pub(crate) token: u64,
    /// In bytes, at least 1 and no more than a file can have; whether it is true, and whole pages, shows with the file.
    pub(crate) length: u64,
}

impl AddRegion {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(ADD_REGION, VERSION), &self.token.to_le_bytes(), &self.length.to_le_bytes()])
    }
}

/// A client takes memory back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoveRegion {
    /// A number that a region of a client can have: neither 0 nor one of a program's.
    pub(crate) region: u16,
    /// The client's own number, sent back with the answer.
    pub(crate) token: u64,
}

impl RemoveRegion {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(REMOVE_REGION, VERSION), &self.token.to_le_bytes(), &self.region.to_le_bytes()])
    }
}

/// A client leaves. One that just closes its socket is treated the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bye;

impl Bye {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(BYE, VERSION)])
    }
}

/// A client wants entries to be given up. It has pushed them before it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancel {
    /// The client's own number, sent back with the answer.
    pub(crate) token: u64,
    pub(crate) target: Target,
}

impl Cancel {
    pub(crate) fn encode(&self) -> [u8; CANCEL_SIZE] {
        let (what, first, last) = match self.target {
            Target::Data(data) => (0u32, data, 0),
            Target::DataRange { first, last } => (1, first, last),
            Target::Descriptor(descriptor) => (2, descriptor.number(), 0),
            Target::All => (3, 0, 0),
        };
        lay(&[
            &head(CANCEL, VERSION),
            &self.token.to_le_bytes(),
            &what.to_le_bytes(),
            &[0; 4],
            &first.to_le_bytes(),
            &last.to_le_bytes(),
        ])
    }
}

/// What a CANCEL has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled {
    pub(crate) token: u64,
    /// Entries.
    pub(crate) reached: u32,
}

impl Cancelled {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(CANCELLED, VERSION), &self.token.to_le_bytes(), &self.reached.to_le_bytes()])
    }
}

/// A client is taken. Three descriptors come with it: engine part, submitter part, doorbell; and that of readiness if it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// Is [`VERSION`] when it was decoded.
    pub(crate) version: u32,
    /// What is granted of what the client asked for: known bits only when it was decoded.
    pub(crate) features: u64,
    /// The geometry as granted, which may be smaller than what was asked for.
    pub(crate) geometry: Geometry,
    /// Entries in one chain, at least 1.
    pub(crate) chain: u32,
    /// Descriptors open at once.
    pub(crate) descriptors: u32,
    /// Programs stored at once.
    pub(crate) programs: u32,
    /// Steps of programs that run at once.
    pub(crate) program_steps: u32,
    /// Which life of the service this is: another one after each restart.
    pub(crate) epoch: u64,
    /// A bit for each verb number that the client may use.
    pub(crate) verbs: u128,
    /// Nothing but CANCEL and calls of programs is taken.
    pub(crate) only_programs: bool,
}

impl Welcome {
    pub(crate) fn has_readiness(&self) -> bool {
        self.features & READINESS != 0
    }

    pub(crate) fn encode(&self) -> [u8; WELCOME_SIZE] {
        lay(&[
            &head(WELCOME, self.version),
            &self.features.to_le_bytes(),
            &self.geometry.entries().to_le_bytes(),
            &self.geometry.completions().to_le_bytes(),
            &self.chain.to_le_bytes(),
            &self.descriptors.to_le_bytes(),
            &self.programs.to_le_bytes(),
            &self.program_steps.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.verbs.to_le_bytes(),
            &(if self.only_programs { ONLY_PROGRAMS } else { 0 }).to_le_bytes(),
        ])
    }
}

/// A client is not taken. The server closes the connection after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
}

impl Refused {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(REFUSED, VERSION), &self.reason.number().to_le_bytes()])
    }
}

/// A client's memory is mapped, under a number that payloads name it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegionAdded {
    pub(crate) token: u64,
    pub(crate) region: u16,
}

impl RegionAdded {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(REGION_ADDED, VERSION), &self.token.to_le_bytes(), &self.region.to_le_bytes()])
    }
}

/// A client's memory is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegionRefused {
    pub(crate) token: u64,
    /// 1 to 4095.
    pub(crate) errno: u32,
}

impl RegionRefused {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(REGION_REFUSED, VERSION), &self.token.to_le_bytes(), &self.errno.to_le_bytes()])
    }
}

/// A client's memory is no longer mapped, or why it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegionRemoved {
    pub(crate) token: u64,
    /// 0, or why not: 1 to 4095.
    pub(crate) errno: u32,
}

impl RegionRemoved {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(REGION_REMOVED, VERSION), &self.token.to_le_bytes(), &self.errno.to_le_bytes()])
    }
}

/// The numbers of reasons.
impl Reason {
    const ALL: [Reason; 7] = [
        Reason::Version,
        Reason::Geometry,
        Reason::TooManyConnections,
        Reason::TooManyOfUser,
        Reason::NotAllowed,
        Reason::Closing,
        Reason::Resources,
    ];

    const fn number(self) -> u32 {
        match self {
            Reason::Version => 1,
            Reason::Geometry => 2,
            Reason::TooManyConnections => 3,
            Reason::TooManyOfUser => 4,
            Reason::NotAllowed => 5,
            Reason::Closing => 6,
            Reason::Resources => 7,
        }
    }

    fn from_number(number: u32) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.number() == number)
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// Not as long as a message of its kind, or too short to have a kind.
    Length(usize),
    /// It begins with something else.
    Magic(u32),
    /// Another version, of which nothing but this is known.
    Version(u32),
    /// A kind that there is not in this direction.
    Kind(u32),
    /// Queues that cannot be.
    Geometry(GeometryError),
    /// Features that were granted, and cannot have been asked for.
    Features(u64),
    /// Flags that have no meaning yet.
    Flags(u32),
    /// A field has a value that it cannot have.
    Value { field: &'static str, value: u64 },
    /// A text is empty where it may not be, or not of characters that can be shown.
    Text,
    /// Bytes that must be zero are not.
    Reserved,
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("message of the control socket: ")?;
        match self {
            WireError::Length(length) => write!(formatter, "{length} bytes are no message of its kind"),
            WireError::Magic(magic) => {
                write!(formatter, "it begins with {magic:#x}: the other side is not of Ouzel")
            }
            WireError::Version(version) => write!(
                formatter,
                "it is of version {version} and this side of version {VERSION}: use the same release of Ouzel on both"
            ),
            WireError::Kind(kind) => write!(formatter, "kind {kind} is unknown in this direction"),
            WireError::Geometry(error) => write!(formatter, "{error}"),
            WireError::Features(features) => {
                write!(formatter, "features {features:#x} were granted and not asked for")
            }
            WireError::Flags(flags) => write!(formatter, "flags {flags:#x} are unknown"),
            WireError::Value { field, value } => write!(formatter, "{field} cannot be {value}"),
            WireError::Text => formatter.write_str("a text is not of characters that can be shown"),
            WireError::Reserved => formatter.write_str("reserved bytes are not zero"),
        }
    }
}

impl std::error::Error for WireError {}

/// The bytes of a message, however long it is.
pub(crate) struct Bytes {
    bytes: [u8; MAX_MESSAGE],
    length: usize,
}

impl Bytes {
    fn of(bytes: &[u8]) -> Bytes {
        Bytes { bytes: lay(&[bytes]), length: bytes.len().min(MAX_MESSAGE) }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The head of a message.
fn head(kind: u32, version: u32) -> [u8; 16] {
    lay(&[&MAGIC.to_le_bytes(), &kind.to_le_bytes(), &version.to_le_bytes()])
}

/// The parts one behind the other, and zeros.
fn lay<const LENGTH: usize>(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    for (place, byte) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
        *place = *byte;
    }
    bytes
}

/// Checks the head, and returns the kind and what follows.
fn open(bytes: &[u8], size: impl Fn(u32) -> Option<usize>) -> Result<(u32, Body<'_>), WireError> {
    let mut body = Body { rest: bytes, length: bytes.len() };
    let magic = body.word()?;
    if magic != MAGIC {
        return Err(WireError::Magic(magic));
    }
    let (kind, version) = (body.word()?, body.word()?);
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    if bytes.len() != size(kind).ok_or(WireError::Kind(kind))? {
        return Err(WireError::Length(bytes.len()));
    }
    if body.word()? != 0 {
        return Err(WireError::Reserved);
    }
    Ok((kind, body))
}

/// What is left to read of a message.
struct Body<'a> {
    rest: &'a [u8],
    /// Of the whole message, for the error.
    length: usize,
}

impl Body<'_> {
    fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Length(self.length))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn long(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// The number of a region that a client can have made.
    fn region(&mut self) -> Result<u16, WireError> {
        let region = u16::from_le_bytes(self.take()?);
        if region == 0 || region >= CALL_REGION {
            return Err(WireError::Value { field: "the number of a region", value: region.into() });
        }
        Ok(region)
    }

    fn errno(&mut self) -> Result<u32, WireError> {
        let errno = self.word()?;
        if errno > MAX_ERRNO {
            return Err(WireError::Value { field: "an errno", value: errno.into() });
        }
        Ok(errno)
    }

    /// What a CANCEL is for.
    fn target(&mut self) -> Result<Target, WireError> {
        let what = self.word()?;
        if self.word()? != 0 {
            return Err(WireError::Reserved);
        }
        let (first, last) = (self.long()?, self.long()?);
        let unknown = |field, value| WireError::Value { field, value };
        let target = match what {
            0 => Target::Data(first),
            1 => return Ok(Target::DataRange { first, last }),
            2 => Target::Descriptor(
                Descriptor::from_number(first).ok_or(unknown("the descriptor of a CANCEL", first))?,
            ),
            3 if first == 0 => Target::All,
            _ => return Err(unknown("what a CANCEL is for", what.into())),
        };
        if last == 0 { Ok(target) } else { Err(WireError::Reserved) }
    }

    fn welcome(&mut self) -> Result<Welcome, WireError> {
        let features = self.long()?;
        if features & !FEATURES != 0 {
            return Err(WireError::Features(features));
        }
        let geometry =
            Geometry::new(self.word()?.into(), self.word()?.into()).map_err(WireError::Geometry)?;
        let chain = self.word()?;
        if chain == 0 {
            return Err(WireError::Value { field: "the length of a chain", value: 0 });
        }
        let (descriptors, programs, program_steps) = (self.word()?, self.word()?, self.word()?);
        let epoch = self.long()?;
        let verbs = u128::from_le_bytes(self.take()?);
        let flags = self.word()?;
        if flags & !ONLY_PROGRAMS != 0 {
            return Err(WireError::Flags(flags));
        }
        let only_programs = flags & ONLY_PROGRAMS != 0;
        Ok(Welcome {
            version: VERSION,
            features,
            geometry,
            chain,
            descriptors,
            programs,
            program_steps,
            epoch,
            verbs,
            only_programs,
        })
    }

    /// Nothing follows but zeros.
    fn end(self) -> Result<(), WireError> {
        if self.rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(WireError::Reserved) }
    }
}

#[cfg(test)]
#[path = "tests/wire.rs"]
mod tests;
