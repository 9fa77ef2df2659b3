//! The messages of programs: stored by a client, forgotten, and found by the name that the service gives them.
//!
//! | kind | message | bytes | fields from byte 16 on | descriptors |
//! |---|---|---:|---|---|
//! | 16 | STORE PROGRAM | 32 | token u64, length u64 | the program |
//! | 17 | FORGET PROGRAM | 32 | token u64, number u32 | |
//! | 18 | FIND PROGRAM | 88 | token u64, name: 64 bytes, zeros behind it | |
//! | 272 | PROGRAM STORED | 32 | token u64, number u32 | |
//! | 273 | PROGRAM REFUSED | 256 | token u64, errno u32, step u32 (from 1; 0: no step), why: 224 bytes, zeros behind it | |
//! | 274 | PROGRAM FORGOTTEN | 32 | token u64, errno u32, 0 if it is | |
//! | 275 | PROGRAM FOUND | 184 | token u64, number u32, result u8 (0 nothing, 1 a number, 2 a descriptor), filled u8 (the room, from 1, that the result counts the bytes of; 0: none), parameters u8, reserved u8, 24 kinds u8 (1 a number, 2 a descriptor, 3 a path, 4 bytes, 5 room), 16 capacities u64 of the rooms, in their order | |
//!
//! Texts are UTF-8 without control characters. What a program looks like behind its descriptor is the module
//! `image`'s business.

use std::fmt;

use super::{Body, SIZE, ToClient, ToServer, VERSION, WireError, head, lay};

const STORE: u32 = 16;
const FORGET: u32 = 17;
const FIND: u32 = 18;
const STORED: u32 = 272;
const REFUSED: u32 = 273;
const FORGOTTEN: u32 = 274;
const FOUND: u32 = 275;

const FIND_SIZE: usize = 88;
/// Of PROGRAM REFUSED, which is the longest message of all.
pub(crate) const REFUSED_PROGRAM_SIZE: usize = 256;
const FOUND_SIZE: usize = 184;

/// The longest name of a program, in bytes.
pub(crate) const MAX_PROGRAM_NAME: usize = 64;

/// The longest reason for a refusal, in bytes; what is longer is cut.
pub(crate) const MAX_WHY: usize = 224;

/// The most parameters of a program: each takes one of 7 registers or one of 16 pieces.
pub(crate) const MAX_PARAMETERS: usize = 23;
const KINDS: usize = 24;
const ROOMS: usize = 16;

/// A text of at most so many bytes: UTF-8, and no control characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<const MOST: usize>([u8; MOST]);

impl<const MOST: usize> Text<MOST> {
    /// As much of `text` as there is room for; control characters become spaces.
    pub(crate) fn cut(text: &str) -> Text<MOST> {
        let mut bytes = Vec::with_capacity(MOST);
        for character in text.chars() {
            let shown = if character.is_control() { ' ' } else { character };
            if bytes.len().saturating_add(shown.len_utf8()) > MOST {
                break;
            }
            bytes.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Text(lay(&[&bytes]))
    }

    pub(crate) fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(MOST);
        self.0.get(..end).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn decode(bytes: [u8; MOST]) -> Result<Text<MOST>, WireError> {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(MOST);
        let (text, rest) = bytes.split_at_checked(end).unwrap_or((&bytes, &[]));
        if rest.iter().any(|byte| *byte != 0) {
            return Err(WireError::Reserved);
        }
        match str::from_utf8(text) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Text(bytes)),
            _ => Err(WireError::Text),
        }
    }
}

impl<const MOST: usize> fmt::Debug for Text<MOST> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// A client stores a program. One descriptor comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreProgram {
    /// The client's own number, sent back with the answer.
    pub(crate) token: u64,
    /// Of what is behind the descriptor, in bytes, at least 1.
    pub(crate) length: u64,
}

impl StoreProgram {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(STORE, VERSION), &self.token.to_le_bytes(), &self.length.to_le_bytes()])
    }
}

/// A client needs a program no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForgetProgram {
    pub(crate) token: u64,
    pub(crate) number: u32,
}

impl ForgetProgram {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(FORGET, VERSION), &self.token.to_le_bytes(), &self.number.to_le_bytes()])
    }
}

/// A client would call a program of the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FindProgram {
    pub(crate) token: u64,
    /// At least one character.
    pub(crate) name: Text<MAX_PROGRAM_NAME>,
}

impl FindProgram {
    pub(crate) fn encode(&self) -> [u8; FIND_SIZE] {
        lay(&[&head(FIND, VERSION), &self.token.to_le_bytes(), &self.name.0])
    }
}

/// A client's program can be called by this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramStored {
    pub(crate) token: u64,
    pub(crate) number: u32,
}

impl ProgramStored {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(STORED, VERSION), &self.token.to_le_bytes(), &self.number.to_le_bytes()])
    }
}

/// A program is not stored, or there is none of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramRefused {
    pub(crate) token: u64,
    /// 1 to 4095.
    pub(crate) errno: u32,
    /// The step that is wrong, counted from 1; 0 if it is none of them.
    pub(crate) step: u32,
    pub(crate) why: Text<MAX_WHY>,
}

impl ProgramRefused {
    pub(crate) fn encode(&self) -> [u8; REFUSED_PROGRAM_SIZE] {
        lay(&[
            &head(REFUSED, VERSION),
            &self.token.to_le_bytes(),
            &self.errno.to_le_bytes(),
            &self.step.to_le_bytes(),
            &self.why.0,
        ])
    }
}

/// A client's program is forgotten, or why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramForgotten {
    pub(crate) token: u64,
    /// 0, or why not: 1 to 4095.
    pub(crate) errno: u32,
}

impl ProgramForgotten {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        lay(&[&head(FORGOTTEN, VERSION), &self.token.to_le_bytes(), &self.errno.to_le_bytes()])
    }
}

/// A program of the service's, and how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramFound {
    pub(crate) token: u64,
    pub(crate) number: u32,
    /// 0 to 2.
    pub(crate) result: u8,
    /// No more than there are rooms.
    pub(crate) filled: u8,
    /// At most [`MAX_PARAMETERS`].
    pub(crate) parameters: u8,
    /// 1 to 5 for so many, then 0.
    pub(crate) kinds: [u8; KINDS],
    /// Of as many as there are rooms, then 0.
    pub(crate) capacities: [u64; ROOMS],
}

/// The kind of a parameter that is room.
pub(crate) const ROOM: u8 = 5;

impl ProgramFound {
    pub(crate) fn encode(&self) -> [u8; FOUND_SIZE] {
        let mut capacities = [0; ROOMS * 8];
        for (place, capacity) in capacities.chunks_exact_mut(8).zip(self.capacities) {
            place.copy_from_slice(&capacity.to_le_bytes());
        }
        lay(&[
            &head(FOUND, VERSION),
            &self.token.to_le_bytes(),
            &self.number.to_le_bytes(),
            &[self.result, self.filled, self.parameters, 0],
            &self.kinds,
            &capacities,
        ])
    }

    fn decode(body: &mut Body<'_>) -> Result<ProgramFound, WireError> {
        let (token, number) = (body.long()?, body.word()?);
        let [result, filled, parameters, reserved] = body.take()?;
        let kinds: [u8; KINDS] = body.take()?;
        let mut capacities = [0; ROOMS];
        for capacity in &mut capacities {
            *capacity = body.long()?;
        }
        let unknown = |field, value: u8| WireError::Value { field, value: value.into() };
        if reserved != 0 {
            return Err(WireError::Reserved);
        }
        if result > 2 {
            return Err(unknown("what a program results in", result));
        }
        let count = usize::from(parameters);
        if count > MAX_PARAMETERS {
            return Err(unknown("the number of parameters", parameters));
        }
        let (given, rest) = kinds.split_at_checked(count).unwrap_or((&kinds, &[]));
        if let Some(kind) = given.iter().find(|kind| !(1..=ROOM).contains(*kind)) {
            return Err(unknown("the kind of a parameter", *kind));
        }
        let rooms = given.iter().filter(|kind| **kind == ROOM).count();
        let registers = given.iter().filter(|kind| **kind != ROOM).count();
        let pieces = given.iter().filter(|kind| **kind > 2).count();
        if registers > ouzel_ring::REGISTERS || pieces > ROOMS {
            return Err(unknown("the number of parameters", parameters));
        }
        if usize::from(filled) > rooms {
            return Err(unknown("the room that a program fills", filled));
        }
        if rest.iter().any(|kind| *kind != 0) || capacities.iter().skip(rooms).any(|capacity| *capacity != 0)
        {
            return Err(WireError::Reserved);
        }
        Ok(ProgramFound { token, number, result, filled, parameters, kinds, capacities })
    }
}

pub(super) fn size_to_server(kind: u32) -> Option<usize> {
    match kind {
        STORE | FORGET => Some(SIZE),
        FIND => Some(FIND_SIZE),
        _ => None,
    }
}

pub(super) fn to_server(kind: u32, body: &mut Body<'_>) -> Result<ToServer, WireError> {
    Ok(match kind {
        STORE => {
            let (token, length) = (body.long()?, body.long()?);
            if length == 0 {
                return Err(WireError::Value { field: "the length of a program", value: length });
            }
            ToServer::StoreProgram(StoreProgram { token, length })
        }
        FORGET => ToServer::ForgetProgram(ForgetProgram { token: body.long()?, number: body.word()? }),
        FIND => {
            let (token, name) = (body.long()?, Text::decode(body.take()?)?);
            if name.as_str().is_empty() {
                return Err(WireError::Text);
            }
            ToServer::FindProgram(FindProgram { token, name })
        }
        other => return Err(WireError::Kind(other)),
    })
}

pub(super) fn size_to_client(kind: u32) -> Option<usize> {
    match kind {
        STORED | FORGOTTEN => Some(SIZE),
        REFUSED => Some(REFUSED_PROGRAM_SIZE),
        FOUND => Some(FOUND_SIZE),
        _ => None,
    }
}

pub(super) fn to_client(kind: u32, body: &mut Body<'_>) -> Result<ToClient, WireError> {
    Ok(match kind {
        STORED => ToClient::ProgramStored(ProgramStored { token: body.long()?, number: body.word()? }),
        REFUSED => {
            let (token, errno, step) = (body.long()?, body.errno()?, body.word()?);
            if errno == 0 {
                return Err(WireError::Value { field: "the errno of a refused program", value: 0 });
            }
            let why = Text::decode(body.take()?)?;
            ToClient::ProgramRefused(ProgramRefused { token, errno, step, why })
        }
        FORGOTTEN => {
            ToClient::ProgramForgotten(ProgramForgotten { token: body.long()?, errno: body.errno()? })
        }
        FOUND => ToClient::ProgramFound(ProgramFound::decode(body)?),
        other => return Err(WireError::Kind(other)),
    })
}
