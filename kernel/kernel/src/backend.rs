//! The backend: what an engine drives to get a verb done in this kernel.
//!
//! One for each ring. It keeps the objects behind the ring's descriptors, makes a packet of each operation that some layer may
//! take its time over, and does the others at once. It runs in a thread of its process only, inside ENTER or TEARDOWN, with that
//! process's tables in use. Bytes go between the process and a packet here and nowhere else: into the packet when the operation
//! starts, out of it when it is reported, each time after a look at the process's tables. Between the two a packet needs nothing of
//! its process, so whatever that unmaps, or if it dies, is no matter to whoever has the packet.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

use ouzel_engine::{
    Backend, Buffers, Counters, Directory, Operation, Outcome, Path, Place, Process as Whom, Report, Span,
    Started, Step, Token, Way,
};
use ouzel_kernel_abi::{MAX_TRANSFER, TICK};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::STAT_RECORD;

use crate::packet::{self, Ended, Letter, Mailbox, Object, Packet, Request};
use crate::space::AddressSpace;
use crate::{clock, files, memory, names, pipe, thread};

/// Where every operation of this kernel runs.
const WAY: Way = Way { place: Place::Kernel, reason: "" };

/// Bytes of the heap that a packet takes beside its data: itself, what is kept for it here, its place in lists that grow.
const PACKET: usize = 4096;

/// An operation that a packet is out for.
struct Pending {
    token: Token,
    /// Who has been given the packet.
    object: Rc<dyn Object>,
    packet: u64,
    /// Where bytes that were read go: addresses and lengths.
    into: Vec<(u64, usize)>,
    /// What it opens.
    opens: Option<u32>,
}

/// The backend of one ring.
pub struct KernelBackend {
    objects: Vec<Option<Rc<dyn Object>>>,
    /// By the token's slot.
    pending: BTreeMap<u32, Pending>,
    mailbox: Rc<Mailbox>,
    counters: Counters,
    /// It waits on though its process has been told to end.
    outlasts: bool,
    /// When its thread last let others run.
    paused: u64,
}

/// What becomes of an operation when it is started.
enum Begun {
    /// It is over.
    Over(Outcome),
    /// A packet is to be sent to this object.
    Out {
        object: Rc<dyn Object>,
        request: Request,
        data: Vec<u8>,
        into: Vec<(u64, usize)>,
        opens: Option<u32>,
    },
}

impl KernelBackend {
    /// One with room for so many descriptors.
    pub fn new(descriptors: u32) -> KernelBackend {
        KernelBackend {
            objects: (0..descriptors).map(|_| None).collect(),
            pending: BTreeMap::new(),
            mailbox: Rc::default(),
            counters: Counters::default(),
            outlasts: false,
            paused: clock::now(),
        }
    }

    /// The process is at its end: what is still to be done is waited for all the same.
    pub fn outlast(&mut self) {
        self.outlasts = true;
    }

    /// Puts an object behind an index that the engine has reserved.
    pub fn put(&mut self, index: u32, object: Rc<dyn Object>) {
        if let Some(place) = self.objects.get_mut(index as usize) {
            let before = place.replace(object);
            drop(before);
        }
    }

    /// The timer, and other threads, have their turn if that is due.
    fn let_others(&mut self) {
        if clock::now().saturating_sub(self.paused) >= TICK {
            thread::pause();
            self.paused = clock::now();
        }
    }

    fn object(&self, index: u32) -> Result<Rc<dyn Object>, Errno> {
        self.objects.get(index as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    /// The directory that a path starts from.
    fn directory(&self, directory: Directory) -> Result<Option<Rc<files::Node>>, Errno> {
        match directory {
            None => Ok(None),
            Some(index) => self.object(index)?.directory().ok_or(Errno::ENOTDIR).map(Some),
        }
    }

    fn begin(&mut self, operation: &Operation) -> Result<Begun, Errno> {
        let process = thread::current().process.clone();
        let space = &process.space;
        let done = |result| Ok(Begun::Over(Outcome::success(result)));
        let out = |object, request| {
            Ok(Begun::Out { object, request, data: Vec::new(), into: Vec::new(), opens: None })
        };
        match *operation {
            Operation::Read { file, buffers, position } => {
                let object = self.object(file)?;
                let spans = spans(&buffers);
                memory::heap_has(size_of_val(spans) + MAX_TRANSFER)?;
                let mut into = Vec::with_capacity(spans.len());
                let mut length = 0;
                for span in spans {
                    let some = span.length.min(MAX_TRANSFER - length);
                    into.push((span.pointer as u64, some));
                    length += some;
                }
                let request = Request::Read { position, length };
                // Whoever brings the bytes does that in a tick, and has nobody to tell that there is no room.
                Ok(Begun::Out { object, request, data: Vec::with_capacity(length), into, opens: None })
            }
            Operation::Write { file, buffers, position } => {
                let object = self.object(file)?;
                let mut data = Vec::new();
                for span in spans(&buffers) {
                    let some = span.length.min(MAX_TRANSFER - data.len());
                    memory::heap_has(data.len() + some)?;
                    if some > 0 {
                        space.append(span.pointer as u64, some, &mut data)?;
                    }
                }
                Ok(Begun::Out {
                    object,
                    request: Request::Write { position },
                    data,
                    into: Vec::new(),
                    opens: None,
                })
            }
            Operation::Poll { multishot: true, .. } => Err(Errno::ENOSYS),
            Operation::Poll { file, events, .. } => out(self.object(file)?, Request::Poll { events }),
            Operation::Sync { file, .. } => out(self.object(file)?, Request::Sync),
            Operation::Wait { process: Whom::Descriptor(file) } => out(self.object(file)?, Request::Wait),
            Operation::Open { directory, path, flags, mode, into } => {
                let directory = self.directory(directory)?;
                let path = copy_path(space, &path)?;
                match names::open(&process, directory, &path, flags, mode)? {
                    names::Opened::Object(object) => {
                        self.put(into, object);
                        done(0)
                    }
                    names::Opened::Ask(object, data) => {
                        let request = Request::Open { flags, mode };
                        Ok(Begun::Out { object, request, data, into: Vec::new(), opens: Some(into) })
                    }
                }
            }
            Operation::Close { file } => {
                let object =
                    self.objects.get_mut(file as usize).and_then(Option::take).ok_or(Errno::EBADF)?;
                drop(object);
                done(0)
            }
            Operation::Seek { file, offset, whence } => done(self.object(file)?.seek(offset, whence)?),
            Operation::Stat { directory, path, record, .. } => {
                let described = match path {
                    None => match directory {
                        None => files::root().describe(),
                        Some(index) => self.object(index)?.describe(),
                    },
                    Some(path) => {
                        let directory = self.directory(directory)?;
                        files::look_up(directory, &copy_path(space, &path)?)?.describe()
                    }
                };
                space.write(record.pointer as u64, &stat_record(described))?;
                done(0)
            }
            Operation::Readdir { file, buffer } => {
                let records = self.object(file)?.list(buffer.length.min(MAX_TRANSFER))?;
                if !records.is_empty() {
                    space.write(buffer.pointer as u64, &records)?;
                }
                done(records.len() as u64)
            }
            Operation::Truncate { file, length } => {
                self.object(file)?.truncate(length)?;
                done(0)
            }
            Operation::Mkdir { directory, path, mode } => {
                files::make_directory(self.directory(directory)?, &copy_path(space, &path)?, mode)?;
                done(0)
            }
            Operation::Remove { directory, path, flags } => {
                files::remove(self.directory(directory)?, &copy_path(space, &path)?, flags)?;
                done(0)
            }
            Operation::Pipe { into } => {
                memory::heap_has(8192)?;
                let (reader, writer) = pipe::new();
                self.put(into[0], reader);
                self.put(into[1], writer);
                done(0)
            }
            Operation::SendMsg { socket, message, .. } => {
                let mut objects = Vec::new();
                for place in 0..message.files as usize {
                    // SAFETY: the engine's own array, of so many words, valid until the operation is reported.
                    let index = unsafe { message.array.add(place).read() };
                    objects.push(self.object(index as u32)?);
                }
                self.object(socket)?.give(objects)?;
                done(0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    /// The end of a packet becomes a report; what it read goes to the process.
    fn open_letter(&mut self, letter: Letter) -> Option<Report> {
        let Letter { token, ended: Ended { error, result, extra }, data, opened } = letter;
        let pending = self.pending.remove(&token.slot).filter(|pending| pending.token == token)?;
        let process = thread::current().process.clone();
        let mut outcome = Outcome::Done { error, result, extra };
        let mut rest = data.as_slice();
        for (address, length) in pending.into {
            let (some, more) = rest.split_at(length.min(rest.len()));
            rest = more;
            if !some.is_empty() && process.space.write(address, some).is_err() {
                outcome = Outcome::failure(Errno::EFAULT);
                break;
            }
        }
        if let (Some(index), Some(object)) = (pending.opens, opened)
            && error.is_ok()
        {
            self.put(index, object);
        }
        Some(Report { token, outcome, more: false })
    }
}

impl Drop for KernelBackend {
    /// Packets that are out are taken back; nobody looks at how they end.
    fn drop(&mut self) {
        for pending in core::mem::take(&mut self.pending).into_values() {
            if let Some(packet) = pending.object.take_back(pending.packet) {
                packet::finish(packet, Ended::failure(Errno::ECANCELED));
            }
        }
    }
}

/// The spans of a transfer.
fn spans(buffers: &Buffers) -> &[Span] {
    match buffers {
        Buffers::One(span) => core::slice::from_ref(span),
        // SAFETY: the engine's own list, of so many spans, valid until the operation is reported.
        Buffers::Many { spans, count } => unsafe { core::slice::from_raw_parts(*spans, *count) },
    }
}

/// A path without its NUL.
fn copy_path(space: &AddressSpace, path: &Path) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    memory::heap_has(path.length)?;
    space.append(path.pointer as u64, path.length, &mut bytes)?;
    bytes.pop();
    Ok(bytes)
}

/// What STAT gives out, in the layout of `struct statx`: type and permissions, size and number.
fn stat_record((mode, size, number): (u32, u64, u64)) -> [u8; STAT_RECORD as usize] {
    /// The fields of every file. Owners and times, of which this kernel knows none, are 0, and there is one name of each.
    const FILLED: u32 = 0x7ff;
    let mut record = [0; STAT_RECORD as usize];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &FILLED.to_le_bytes());
    put(0x04, &4096u32.to_le_bytes());
    put(0x10, &1u32.to_le_bytes());
    put(0x1c, &(mode as u16).to_le_bytes());
    put(0x20, &number.to_le_bytes());
    put(0x28, &size.to_le_bytes());
    put(0x30, &size.div_ceil(4096).wrapping_mul(8).to_le_bytes());
    record
}

impl Backend for KernelBackend {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        // There may be many to start in one ENTER. What the operation names is looked up after this.
        self.let_others();
        let Step { token, operation, may_wait, .. } = &steps[0];
        self.counters.calls += 1;
        let finished = |outcome| Started::Finished { outcome, way: WAY };
        let (object, request, data, into, opens) = match self.begin(operation) {
            Err(error) => return finished(Outcome::failure(error)),
            Ok(Begun::Over(outcome)) => return finished(outcome),
            Ok(Begun::Out { object, request, data, into, opens }) => (object, request, data, into, opens),
        };
        if let Err(error) =
            memory::heap_has(PACKET).and_then(|()| self.mailbox.make_room(self.pending.len() + 1))
        {
            return finished(Outcome::failure(error));
        }
        let packet = Packet::new(request, data, *may_wait, self.mailbox.clone(), *token);
        let pending = Pending { token: *token, object: object.clone(), packet: packet.name, into, opens };
        self.pending.insert(token.slot, pending);
        packet::start(object, packet);
        if let Some(letter) = self.mailbox.take_newest(*token)
            && let Some(report) = self.open_letter(letter)
        {
            return finished(report.outcome);
        }
        Started::Taken { count: 1, way: WAY }
    }

    fn cancel(&mut self, token: Token) {
        let Some(pending) = self.pending.get(&token.slot).filter(|pending| pending.token == token) else {
            return;
        };
        if let Some(packet) = pending.object.take_back(pending.packet) {
            packet::finish(packet, Ended::failure(Errno::ECANCELED));
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.counters.enters += 1;
        let want = want as usize;
        loop {
            if !self.outlasts && thread::current().process.is_told() {
                return Err(Errno::EINTR);
            }
            let now = clock::now();
            if self.mailbox.count() >= want || until.is_some_and(|until| now >= until) {
                // A program may be long.
                self.let_others();
                return Ok(());
            }
            self.mailbox.sleep(want, until);
            self.paused = clock::now();
        }
    }

    fn next(&mut self) -> Option<Report> {
        loop {
            let letter = self.mailbox.take()?;
            if let Some(report) = self.open_letter(letter) {
                return Some(report);
            }
        }
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        self.counters
    }
}
