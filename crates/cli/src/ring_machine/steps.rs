//! The steps of statements: each operation of a program becomes one of the chain.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use ouzel::{
    Buffer, Chain, Count, Directory, Distance, File, Offset, OpenOptions, Reg, SocketAddress, Target, Unit,
};

use super::stored::Passing;
use super::{Built, Made, RingMachine};
use crate::machine::MachineError;
use crate::program::{Address, Bound, Data, FileRef, Known, Operation, Program, Slot, Step};

/// Adds the steps of one program to a chain.
pub(super) struct Builder<'a> {
    pub(super) machine: &'a mut RingMachine,
    pub(super) program: &'a Program,
    /// The steps that are still to be added.
    pub(super) steps: std::iter::Enumerate<std::vec::IntoIter<Step<Bound>>>,
    /// How many are no `finally` steps.
    pub(super) ordinary: usize,
    /// The registers of named results, by slot.
    pub(super) made: Vec<Option<Made>>,
    pub(super) built: Built,
    /// The last step without a result.
    pub(super) unit: Option<Reg<Unit>>,
    /// What a stored program is passed, if it is one that is built.
    pub(super) passing: Option<Passing>,
}

impl Builder<'_> {
    pub(super) fn step(
        &mut self,
        chain: &mut Chain,
        operation: Operation<Bound>,
    ) -> Result<[Option<Made>; 2], MachineError> {
        let one = |made| Ok([Some(made), None]);
        let index = self.built_step();
        let unit = match operation {
            Operation::Nop => chain.nop(),
            Operation::Read { file, size, offset } => {
                let (file, offset) = (self.file(file)?, self.offset(offset)?);
                let buffer = self.buffer(size)?;
                return one(Made::Bytes(chain.read(file, buffer, offset)));
            }
            Operation::Write { file, data, offset } => {
                let (file, data, offset) = (self.file(file)?, self.data(index, data)?, self.offset(offset)?);
                return one(Made::Bytes(chain.write(file, data, offset)));
            }
            Operation::Poll { file, events } => {
                let file = self.file(file)?;
                return one(Made::Number(chain.poll(file, events)));
            }
            Operation::Open { path, flags, mode, directory } => {
                let options = OpenOptions::from_flags(flags).mode(mode as u32);
                let directory = self.directory(directory)?;
                return one(Made::Open(match self.path_passed(index) {
                    Some(passed) => chain.open_in(directory, passed, options),
                    None => chain.open_in(directory, as_path(&path), options),
                }));
            }
            Operation::Close { file } => chain.close(self.file(file)?),
            Operation::Seek { file, whence, backwards, offset } => {
                let (file, distance) = (self.file(file)?, self.distance(offset, backwards)?);
                return one(Made::Number(chain.seek(file, distance, whence)));
            }
            Operation::StatPath { path, flags, directory } => {
                chain.stat(self.directory(directory)?, as_path(&path), flags);
                return one(Made::Status);
            }
            Operation::StatFile { file } => {
                chain.stat_file(self.file(file)?);
                return one(Made::Status);
            }
            Operation::Sync { file, mode, length: None, offset: None } => chain.sync(self.file(file)?, mode),
            Operation::Sync { file, length, offset, .. } => {
                let (offset, length) = (self.count_or(offset, 0)?, self.count_or(length, 0)?);
                chain.sync_range(self.file(file)?, offset, length)
            }
            Operation::Truncate { file, length } => {
                let length = self.count(length)?;
                chain.truncate(self.file(file)?, length)
            }
            Operation::Allocate { file, length, offset, flags } => {
                let (offset, length) = (self.count_or(offset, 0)?, self.count(length)?);
                chain.allocate(self.file(file)?, offset, length, flags)
            }
            Operation::Mkdir { path, mode, directory } => {
                let directory = self.directory(directory)?;
                match self.path_passed(index) {
                    Some(passed) => chain.mkdir(directory, passed, mode as u32),
                    None => chain.mkdir(directory, as_path(&path), mode as u32),
                }
            }
            Operation::Remove { path, flags, directory } => {
                let directory = self.directory(directory)?;
                match self.path_passed(index) {
                    Some(passed) => chain.remove(directory, passed, flags),
                    None => chain.remove(directory, as_path(&path), flags),
                }
            }
            Operation::Rename { from, from_directory, to, to_directory, flags } => {
                let (old, new) = (self.directory(from_directory)?, self.directory(to_directory)?);
                chain.rename(old, as_path(&from), new, as_path(&to), flags)
            }
            Operation::Link { from, from_directory, to, to_directory, flags } => {
                let (old, new) = (self.directory(from_directory)?, self.directory(to_directory)?);
                chain.link(old, as_path(&from), new, as_path(&to), flags)
            }
            Operation::Symlink { target, path, directory } => {
                chain.symlink(as_path(&target), self.directory(directory)?, as_path(&path))
            }
            Operation::Readdir { directory, size } => {
                let directory = self.file(directory)?;
                let buffer = self.buffer(size)?;
                return one(Made::Bytes(chain.readdir(directory, buffer)));
            }
            Operation::Copy { source, source_offset, target, target_offset, length } => {
                let (source, target) = (self.file(source)?, self.file(target)?);
                let (from, to) = (self.offset(source_offset)?, self.offset(target_offset)?);
                let length = self.count(length)?;
                return one(Made::Bytes(chain.copy(source, from, target, to, length)));
            }
            Operation::Splice { source, source_offset, target, target_offset, length } => {
                let (source, target) = (self.file(source)?, self.file(target)?);
                let (from, to) = (self.offset(source_offset)?, self.offset(target_offset)?);
                let length = self.count(length)?;
                return one(Made::Bytes(chain.splice(source, from, target, to, length)));
            }
            Operation::Lock { file, mode, length, offset } => {
                let (offset, length) = (self.count_or(offset, 0)?, self.count_or(length, 0)?);
                chain.lock(self.file(file)?, offset, length, mode)
            }
            Operation::Sockname { socket } => {
                chain.sockname(self.file(socket)?);
                return one(Made::Status);
            }
            Operation::Peername { socket } => {
                chain.peername(self.file(socket)?);
                return one(Made::Status);
            }
            Operation::Pipe => {
                let (reader, writer) = chain.pipe();
                return Ok([Some(Made::Open(reader)), Some(Made::Open(writer))]);
            }
            Operation::Socket { kind } => {
                return one(Made::Open(chain.socket(kind.domain() as u32, kind.type_number() as u32, 0)));
            }
            Operation::Bind { socket, address } => chain.bind(self.file(socket)?, &socket_address(&address)?),
            Operation::Listen { socket, backlog } => {
                let backlog = self.count_or(backlog, BACKLOG)?;
                chain.listen(self.file(socket)?, backlog)
            }
            Operation::Accept { socket } => {
                let socket = self.file(socket)?;
                return one(Made::Open(chain.accept(socket)));
            }
            Operation::Connect { socket, address } => {
                chain.connect(self.file(socket)?, &socket_address(&address)?)
            }
            Operation::Send { socket, data, flags } => {
                let (socket, data) = (self.file(socket)?, self.data(index, data)?);
                return one(Made::Bytes(chain.send(socket, data, flags)));
            }
            Operation::Recv { socket, size, flags } => {
                let socket = self.file(socket)?;
                let buffer = self.buffer(size)?;
                return one(Made::Bytes(chain.recv(socket, buffer, flags)));
            }
            Operation::Shutdown { socket, how } => chain.shutdown(self.file(socket)?, how),
            Operation::Sleep { duration } => chain.sleep(Duration::from_nanos(duration)),
            Operation::Get { value } => {
                let value = self.result(value)?;
                return one(Made::Number(chain.get(value)));
            }
            Operation::Deadline { duration } => chain.deadline(Duration::from_nanos(duration)),
            Operation::Metadata(operation) => return Ok([self.metadata(chain, operation)?, None]),
            Operation::Call { program, arguments } => {
                return Ok([self.call(chain, program, arguments)?, None]);
            }
            other => return Ok([self.control_step(chain, other)?, None]),
        };
        self.unit = Some(unit);
        Ok([None, None])
    }

    pub(super) fn made(&self, slot: Slot) -> Result<Made, MachineError> {
        let made = self.made.get(slot.0).copied().flatten();
        made.ok_or_else(|| MachineError::Chain(format!("result {} is used before it is made", slot.0)))
    }

    pub(super) fn file(&mut self, file: FileRef) -> Result<File, MachineError> {
        match file {
            FileRef::Standard(stream) => Ok(File::Open(self.machine.stream(stream)?)),
            FileRef::Result(slot) => match self.made(slot)? {
                Made::Open(reg) => Ok(File::Of(reg)),
                _ => Err(unfit(slot, "something open")),
            },
        }
    }

    pub(super) fn directory(&mut self, directory: Option<FileRef>) -> Result<Directory, MachineError> {
        directory.map_or(Ok(Directory::Working), |file| Ok(Directory::At(self.file(file)?)))
    }

    pub(super) fn result(&self, slot: Slot) -> Result<Count, MachineError> {
        match self.made(slot)? {
            Made::Bytes(reg) => Ok(Count::Bytes(reg)),
            Made::Number(reg) => Ok(Count::Number(reg)),
            Made::Variable(variable) => Ok(variable.into()),
            Made::Open(_) | Made::Status | Made::Room(_) | Made::Nothing(_) => Err(unfit(slot, "a number")),
        }
    }

    pub(super) fn count(&self, number: Known) -> Result<Count, MachineError> {
        match number {
            Known::Literal(number) => Ok(Count::Known(number)),
            Known::Result(slot) => self.result(slot),
        }
    }

    pub(super) fn count_or(&self, number: Option<Known>, default: u64) -> Result<Count, MachineError> {
        number.map_or(Ok(Count::Known(default)), |number| self.count(number))
    }

    pub(super) fn offset(&self, offset: Option<Known>) -> Result<Offset, MachineError> {
        offset.map_or(Ok(Offset::CURRENT), |offset| Ok(Offset::at(self.count(offset)?)))
    }

    pub(super) fn distance(&self, offset: Known, backwards: bool) -> Result<Distance, MachineError> {
        match (offset, backwards) {
            (Known::Literal(offset), _) => {
                let offset = i64::try_from(offset)
                    .map_err(|_| MachineError::Chain(format!("{offset} is too far to seek")))?;
                Ok(Distance::from(if backwards { -offset } else { offset }))
            }
            (Known::Result(slot), false) => match self.made(slot)? {
                Made::Bytes(reg) => Ok(reg.into()),
                Made::Number(reg) => Ok(reg.into()),
                Made::Variable(variable) => Ok(variable.into()),
                Made::Open(_) | Made::Status | Made::Room(_) | Made::Nothing(_) => {
                    Err(unfit(slot, "a number"))
                }
            },
            (Known::Result(slot), true) => Err(unfit(slot, "a constant, which alone can be negated")),
        }
    }

    pub(super) fn data(&self, index: usize, data: Data<Bound>) -> Result<ouzel::Data, MachineError> {
        if let Some(passed) = self.data_passed(index) {
            return Ok(passed.into());
        }
        match data {
            Data::Text(bytes) => Ok(ouzel::Data::Own(Buffer::from(bytes))),
            Data::Result(slot) => match self.made(slot)? {
                Made::Bytes(reg) => Ok(ouzel::Data::Of(reg)),
                Made::Room(room) => Ok(room.into()),
                _ => Err(unfit(slot, "bytes that were read")),
            },
            Data::First(slot, length) => Ok(self.room(slot)?.first(self.count(length)?).into()),
        }
    }

    /// Room of the step's own or, in a stored program, of its caller's.
    pub(super) fn buffer(&mut self, size: Known) -> Result<Target, MachineError> {
        if let Some(passing) = &mut self.passing {
            let room = passing.room();
            return room
                .map(Target::from)
                .ok_or_else(|| MachineError::Chain("a buffer is missing".to_owned()));
        }
        self.own_buffer(size).map(Target::Own)
    }

    pub(super) fn own_buffer(&mut self, size: Known) -> Result<Buffer, MachineError> {
        match size {
            Known::Literal(size) => {
                self.built.buffered += size;
                Ok(self.machine.buffer(size))
            }
            Known::Result(slot) => {
                Err(unfit(slot, "the size of a buffer, which is needed before the chain starts"))
            }
        }
    }
}

/// Connections that wait to be accepted, if the program does not say.
const BACKLOG: u64 = 128;

pub(super) fn unfit(slot: Slot, wanted: &str) -> MachineError {
    MachineError::Chain(format!("result {} is not {wanted}", slot.0))
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn socket_address(address: &Address) -> Result<SocketAddress, MachineError> {
    let made = match address {
        Address::Inet(address) => Ok(SocketAddress::from(*address)),
        Address::Unix(path) => SocketAddress::unix(as_path(path)),
        Address::Abstract(name) => SocketAddress::unix_abstract(name),
    };
    made.map_err(|errno| MachineError::Chain(format!("the address of the socket: {errno}")))
}
