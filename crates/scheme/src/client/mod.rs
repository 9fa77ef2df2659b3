//! The client: the submitter's end of a ring whose engine runs in a service.
//!
//! It looks like the ring of one process: push, enter, pop. What the service writes is checked: its indices by the ends
//! of the queues, its completions by what was asked for. When the service goes, every entry that is still owed a
//! completion gets one with ECONNRESET.

mod pending;
mod programs;
mod waiting;

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ouzel_engine::{Entered, Target};
use ouzel_ring::{Broken, Completion, Entry, EntryFlags, Errno, Geometry, PushError, State, SubmitterEnd};

use crate::error::{Error, Reason};
use crate::futex::Word;
use crate::patience::Patience;
use crate::shared::RingMemory;
use crate::socket::Control;
use crate::wire::{self, ToClient, ToServer};
use crate::{Name, doorbell, readiness};
use pending::Pending;

/// How long a service may take to answer on the control socket.
const ANSWER: Duration = Duration::from_secs(5);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Slots of the submission queue: a power of two. The service may grant fewer.
    pub entries: u32,
    /// Slots of the completion queue: a power of two from 2. The service may grant fewer.
    pub completions: u32,
    /// How long a wait looks again and again before it sleeps: it takes a whole processor for as long, and saves the wake if the
    /// answer comes meanwhile. Without answers in time it gets shorter by itself, and there is none while both sides wait on one
    /// processor. `None`: as long as a wake takes on this machine (measured once in a process, 5 to 50 microseconds), and
    /// nothing where only one processor may be used. Zero never spins.
    pub spin: Option<Duration>,
    /// Ask for a descriptor that becomes readable when completions are there ([`Client::watch`]). It costs a pair of sockets.
    pub readiness: bool,
    /// What the generations of its descriptors begin with; 0 is taken for 1. Who had a connection before, and may still have
    /// descriptors of that, says more than the largest of those: then none of them names anything in this one.
    pub generation: u32,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions { entries: 256, completions: 512, spin: None, readiness: false, generation: 1 }
    }
}

/// What a service grants to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The most entries in one chain.
    pub chain: u32,
    /// Descriptors open at once.
    pub descriptors: u32,
    /// Programs stored at once.
    pub programs: u32,
    /// Steps of programs that run at once.
    pub program_steps: u32,
    /// Another number each time the service is started.
    pub epoch: u64,
    /// A bit for each verb, by its number, that the client may use.
    pub verbs: u128,
    /// Only programs may be called; other entries are refused.
    pub only_programs: bool,
}

/// The submitter's end of a ring whose engine runs in a service: push entries, enter, pop completions.
///
/// What the service writes is checked, so that whatever it does costs no more than this connection. When it goes, every entry
/// that is still owed a completion gets one with ECONNRESET. It belongs to one thread at a time.
pub struct Client {
    name: Name,
    // Dropped before the memory it refers to.
    submitter: SubmitterEnd,
    completions: Word,
    _memory: RingMemory,
    control: Control,
    doorbell: OwnedFd,
    /// What becomes readable when completions are there, if that was asked for and granted.
    readiness: Option<OwnedFd>,
    /// Somebody waits for that elsewhere: between two enters the service is to make it readable.
    watched: bool,
    terms: Terms,
    patience: Patience,
    pending: Pending,
    /// Entries of the chain at the tail whose end has not been pushed, and how many of them are owed a completion.
    open: u32,
    open_owed: u32,
    /// Entries of whole chains that no enter has counted yet.
    closed: u32,
    /// Completions that the service did not live to post.
    missing: VecDeque<Completion>,
    over: bool,
    /// Completions were read since the service was last looked at.
    has_read: bool,
    /// When it was last seen whether the service is there.
    looked: Instant,
    /// The number of the next question on the control socket.
    next: u64,
}

impl Client {
    /// Connects to the service of `name`.
    ///
    /// Errors: [`Error::NoService`], [`Error::Refused`], [`Error::Silent`] after five seconds, [`Error::Protocol`],
    /// [`Error::Geometry`], [`Error::System`].
    pub fn connect(name: &Name, options: &ClientOptions) -> Result<Client, Error> {
        let asked = Geometry::new(u64::from(options.entries), u64::from(options.completions))
            .map_err(Error::Geometry)?;
        let control = Control::connect(&name.socket())
            .map_err(|source| Error::NoService { name: name.clone(), source })?;
        let hello = wire::Hello {
            version: wire::VERSION,
            features: if options.readiness { wire::READINESS } else { 0 },
            entries: asked.entries(),
            completions: asked.completions(),
            generation: options.generation.max(1),
        };
        // A service that refuses everybody hangs up without reading this; why it does so is there to be read all the same, behind
        // the error that a greeting leaves which nobody has read.
        let _ = control.send(&hello.encode(), &[]);
        let protocol = |what| Error::Protocol { name: name.clone(), what };
        let mut bytes = [0; wire::MAX_MESSAGE];
        let mut hear = || answer(&control, name, "connect", &mut bytes, wire::MAX_FILES_TO_CLIENT);
        let received = match hear() {
            Err(Error::Over { .. }) => hear()?,
            heard => heard?,
        };
        let welcome = match ToClient::decode(&bytes[..received.length]) {
            Ok(ToClient::Welcome(welcome)) => welcome,
            Err(wire::WireError::Version(_)) => {
                return Err(Error::Refused { name: name.clone(), reason: Reason::Version });
            }
            Ok(ToClient::Refused(refused)) => {
                return Err(Error::Refused { name: name.clone(), reason: refused.reason });
            }
            _ => return Err(protocol("it does not answer a greeting with a welcome")),
        };
        let geometry = welcome.geometry;
        if geometry.entries() > asked.entries() || geometry.completions() > asked.completions() {
            return Err(protocol("it grants larger queues than were asked for"));
        }
        if welcome.features & !hello.features != 0 {
            return Err(protocol("it grants what was not asked for"));
        }
        let mut files = received.files;
        let readiness = if welcome.has_readiness() { files.pop() } else { None };
        let files: Result<[OwnedFd; 3], _> = files.try_into();
        let Ok([engine_part, submitter_part, doorbell]) = files else {
            return Err(protocol("a welcome comes with other descriptors than belong to it"));
        };
        if readiness.is_some() != welcome.has_readiness()
            || readiness.as_ref().is_some_and(|readiness| readiness::check(readiness).is_err())
        {
            return Err(protocol("its descriptor of readiness is none"));
        }
        doorbell::check(&doorbell).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => protocol("its doorbell is none"),
            _ => Error::system("look in /proc, which has to be mounted, whether a doorbell is one", error),
        })?;
        let memory = RingMemory::open(geometry, [engine_part, submitter_part])
            .map_err(|source| Error::system("map the memory of a ring", source))?;
        // SAFETY: the ends are dropped before the memory.
        let handle = unsafe { memory.handle() };
        // SAFETY: as above; nobody unmaps it before.
        let completions = unsafe { Word::new(handle.completions_word()) };
        let chain = welcome.chain.min(geometry.entries()).min(geometry.completions() - 1);
        Ok(Client {
            name: name.clone(),
            submitter: SubmitterEnd::new(handle, 0),
            completions,
            _memory: memory,
            control,
            doorbell,
            readiness,
            watched: false,
            terms: Terms {
                chain,
                descriptors: welcome.descriptors,
                programs: welcome.programs,
                program_steps: welcome.program_steps,
                epoch: welcome.epoch,
                verbs: welcome.verbs,
                only_programs: welcome.only_programs,
            },
            patience: Patience::new(options.spin),
            pending: Pending::default(),
            open: 0,
            open_owed: 0,
            closed: 0,
            missing: VecDeque::new(),
            over: false,
            has_read: false,
            looked: Instant::now(),
            next: 0,
        })
    }

    /// The name it is connected to.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What the service grants.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The sizes of the queues.
    pub fn geometry(&self) -> Geometry {
        self.submitter.geometry()
    }

    /// Whether the service has gone, or has thrown this client out.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the service has said that it takes nothing more: what is in flight ends soon, and so does the connection.
    pub fn is_closing(&self) -> bool {
        self.submitter.engine_state() != State::Running
    }

    /// Looks whether the service is there, without waiting: one system call. If it has gone, [`is_over`](Client::is_over)
    /// from now on.
    pub fn look(&mut self) -> bool {
        if !self.over && self.has_hung_up() {
            self.end();
        }
        !self.over
    }

    /// Entries that are owed a completion.
    pub fn in_flight(&self) -> u32 {
        self.pending.owed()
    }

    /// Puts an entry into the submission queue; the service sees it with the next [`enter`](Client::enter).
    ///
    /// Errors: [`PushError::Full`]; [`PushError::Broken`] if the service has gone.
    #[inline]
    pub fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        if self.over {
            return Err(PushError::Broken);
        }
        self.submitter.push(entry)?;
        self.note(entry);
        Ok(())
    }

    /// Puts all of `entries` into the submission queue, or none of them; otherwise as [`push`](Client::push).
    pub fn push_all(&mut self, entries: impl ExactSizeIterator<Item = Entry>) -> Result<(), PushError> {
        if self.over {
            return Err(PushError::Broken);
        }
        let count = entries.len();
        if self.submitter.room()? < u32::try_from(count).unwrap_or(u32::MAX) {
            return Err(PushError::Full);
        }
        for entry in entries.take(count) {
            self.submitter.push(&entry)?;
            self.note(&entry);
        }
        Ok(())
    }

    #[inline]
    fn note(&mut self, entry: &Entry) {
        let flags = EntryFlags::from_bits_retain(entry.flags);
        self.pending.add(entry);
        self.open += 1;
        self.open_owed += u32::from(!flags.contains(EntryFlags::SILENT));
        if !flags.intersects(EntryFlags::CHAINED) {
            self.closed = self.closed.saturating_add(self.open);
            (self.open, self.open_owed) = (0, 0);
        }
    }

    /// How many entries can be pushed now.
    pub fn room(&mut self) -> u32 {
        if self.over { 0 } else { self.submitter.room().unwrap_or(0) }
    }

    /// Shows every pushed entry to the service, then waits until `wait` completions can be popped, `timeout` has passed, no
    /// entry is owed a completion that has not come, or nothing more can come before completions are read.
    ///
    /// Errors: [`Error::Over`] if the service has gone and nothing is left to be popped.
    pub fn enter(&mut self, wait: u32, timeout: Option<Duration>) -> Result<Entered, Error> {
        self.enter_and(wait, timeout, None)
    }

    /// The same, but it also comes back when `beside` is readable, and without anything in flight it waits for that and for the
    /// time to be over. Nothing is read from `beside`.
    ///
    /// Without [readiness](ClientOptions::readiness) it looks every millisecond.
    ///
    /// Errors: as for [`enter`](Client::enter).
    pub fn enter_beside(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: BorrowedFd<'_>,
    ) -> Result<Entered, Error> {
        self.enter_and(wait, timeout, Some(beside))
    }

    fn enter_and(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: Option<BorrowedFd<'_>>,
    ) -> Result<Entered, Error> {
        let mut entered = Entered { taken: self.closed, incomplete: self.open, readable: 0 };
        self.closed = 0;
        if !self.over {
            let has_read = std::mem::take(&mut self.has_read);
            let has_published = self.submitter.publish() > 0;
            // Who waits for slots is woken also when there are some.
            let has_news = has_published || (has_read && self.submitter.engine_starved());
            if has_news && self.submitter.engine_sleeps() {
                self.ring();
            }
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match beside {
            Some(beside) if wait > 0 => self.wait_beside(wait, deadline, beside),
            None if wait > 0 => self.wait(wait, deadline),
            _ => {}
        }
        if self.watched && !self.over {
            self.empty_readiness();
            self.submitter.watch();
        }
        entered.readable = self.readable();
        if self.over && entered.readable == 0 {
            return Err(Error::Over { name: self.name.clone() });
        }
        Ok(entered)
    }

    /// How many completions can be popped, of those that are there now. Whoever pops until there are none may go on for as long as
    /// the service likes.
    pub fn readable(&mut self) -> u32 {
        let unread = if self.over { 0 } else { self.unread() };
        self.missing.len() as u32 + unread
    }

    /// Completions that the service has posted and nobody has read. A lie of the service ends it all.
    fn unread(&mut self) -> u32 {
        match self.submitter.unread() {
            Ok(unread) => unread,
            Err(Broken) => {
                self.end();
                0
            }
        }
    }

    fn ring(&mut self) {
        if doorbell::ring(self.doorbell.as_fd()).is_err() {
            self.end();
        }
    }

    /// The descriptor that becomes readable when completions are there, or the service has gone; `None` if it was not [asked
    /// for](ClientOptions::readiness), or not granted. From now on each [`enter`](Client::enter) empties it, and asks the
    /// service to make it readable with what it posts later: so whoever waits for it enters, pops what is there until an enter
    /// brings nothing more, and then waits again. It is readable at first.
    pub fn watch(&mut self) -> Option<BorrowedFd<'_>> {
        self.watched = self.readiness.is_some();
        self.readiness.as_ref().map(AsFd::as_fd)
    }

    /// Whether the control socket has ended. Nothing else comes there unasked.
    fn has_hung_up(&self) -> bool {
        let mut bytes = [0; wire::MAX_MESSAGE];
        match self.control.receive(&mut bytes, 0) {
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }

    /// The service is gone for this client: what was owed ends with ECONNRESET, behind what was posted.
    #[cold]
    fn end(&mut self) {
        if self.over {
            return;
        }
        self.set_aside();
        self.missing.extend(self.pending.give_up(Errno::ECONNRESET));
        self.over = true;
    }

    /// Takes what the service has posted, to be popped later: what is there now, and nothing behind a lie. False if there is one.
    fn set_aside(&mut self) -> bool {
        let slots = self.geometry().completions() as usize;
        for _ in 0..self.submitter.unread().unwrap_or(0) {
            let Ok(Some(completion)) = self.submitter.pop() else { return false };
            if !self.pending.take(&completion) {
                return false;
            }
            // What comes of a multishot beyond that has no meaning in a connection that ends.
            if !completion.has_more() || self.missing.len() < slots {
                self.missing.push_back(completion);
            }
        }
        true
    }

    /// Takes the oldest completion, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion> {
        if self.over {
            return self.missing.pop_front();
        }
        match self.submitter.pop() {
            Ok(None) => None,
            Ok(Some(completion)) if self.pending.take(&completion) => {
                self.has_read = true;
                Some(completion)
            }
            // A completion of nothing, or impossible indices.
            Ok(Some(_)) | Err(Broken) => {
                self.end();
                self.missing.pop_front()
            }
        }
    }

    /// Asks what `target` names to be given up, of all that has been pushed, and returns how many entries that reached.
    ///
    /// Errors: [`Error::Over`], [`Error::Silent`].
    pub fn cancel(&mut self, target: Target) -> Result<u32, Error> {
        self.submitter.publish();
        let token = self.token();
        let question = wire::Cancel { token, target };
        match self.ask(&ToServer::Cancel(question), None, "cancel")? {
            ToClient::Cancelled(answer) if answer.token == token => Ok(answer.reached),
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    /// The value of register `register` (0 to 6) as the engine last published it.
    pub fn register(&self, register: usize) -> Option<u64> {
        self.submitter.register(register)
    }

    /// Shares `length` bytes of memory with the service: payloads may name it by the region that is returned.
    ///
    /// The memory is a memfd with the seals SHRINK, GROW and SEAL, and `length` its size.
    ///
    /// Errors: [`Error::Memory`] if the service does not take it; [`Error::Over`], [`Error::Silent`].
    pub fn share(&mut self, memory: BorrowedFd<'_>, length: usize) -> Result<u16, Error> {
        let token = self.token();
        let question = ToServer::AddRegion(wire::AddRegion { token, length: length as u64 });
        match self.ask(&question, Some(memory), "share memory")? {
            ToClient::RegionAdded(answer) if answer.token == token => Ok(answer.region),
            ToClient::RegionRefused(answer) if answer.token == token => {
                Err(Error::Memory { name: self.name.clone(), errno: errno(answer.errno) })
            }
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    /// Takes memory back: entries taken from now on cannot name the region. The service lets go of it once nothing that it
    /// has begun can use it, and at the latest when the connection ends.
    ///
    /// Errors: as [`share`](Client::share).
    pub fn unshare(&mut self, region: u16) -> Result<(), Error> {
        let token = self.token();
        let question = ToServer::RemoveRegion(wire::RemoveRegion { token, region });
        match self.ask(&question, None, "take memory back")? {
            ToClient::RegionRemoved(answer) if answer.token == token => match answer.errno {
                0 => Ok(()),
                number => Err(Error::Memory { name: self.name.clone(), errno: errno(number) }),
            },
            _ => Err(self.break_off("it answers something else than was asked")),
        }
    }

    /// Ends the connection: what is in flight is cancelled, and its completions can be popped afterwards. Returns how many
    /// entries had not ended when `bound` was over.
    ///
    /// With 0 returned the service has let go of every memory that was shared with it; otherwise something may still write to
    /// it.
    pub fn close(&mut self, bound: Duration) -> u32 {
        if self.over {
            return 0;
        }
        self.submitter.publish();
        let deadline = Instant::now() + bound;
        let mut is_quiet = self.control.send(&ToServer::Bye(wire::Bye).encode(), &[]).is_err();
        while !is_quiet && Instant::now() < deadline {
            // Room for what is still to be posted.
            if !self.set_aside() {
                break;
            }
            let look = Instant::now() + Duration::from_millis(1);
            let _ = self.control.wait(Some(look.min(deadline)));
            is_quiet = self.has_hung_up();
        }
        let left = if is_quiet { 0 } else { self.pending.owed().max(1) };
        self.end();
        left
    }

    fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends a question and waits for its answer.
    fn ask(
        &mut self,
        question: &ToServer,
        file: Option<BorrowedFd<'_>>,
        call: &'static str,
    ) -> Result<ToClient, Error> {
        if self.over {
            return Err(Error::Over { name: self.name.clone() });
        }
        let file: Vec<BorrowedFd<'_>> = file.into_iter().collect();
        let mut bytes = [0; wire::MAX_MESSAGE];
        let received = match self.control.send(&question.encode(), &file) {
            Ok(()) => answer(&self.control, &self.name, call, &mut bytes, 0),
            Err(_) => Err(Error::Over { name: self.name.clone() }),
        };
        match received {
            Ok(received) => match ToClient::decode(&bytes[..received.length]) {
                Ok(message) if message.files() == received.files.len() => Ok(message),
                _ => Err(self.break_off("its answer makes no sense")),
            },
            Err(error) => {
                // A late answer would be taken for that of the next question.
                self.end();
                Err(error)
            }
        }
    }

    #[cold]
    fn break_off(&mut self, what: &'static str) -> Error {
        self.end();
        Error::Protocol { name: self.name.clone(), what }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("name", &self.name)
            .field("in_flight", &self.pending.owed())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// Waits for the next message.
fn answer(
    control: &Control,
    name: &Name,
    call: &'static str,
    bytes: &mut [u8],
    files: usize,
) -> Result<crate::socket::Received, Error> {
    let until = Instant::now() + ANSWER;
    loop {
        match control.receive(bytes, files) {
            Ok(received) => return Ok(received),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Error::Protocol { name: name.clone(), what: "its message makes no sense" });
            }
            Err(_) => return Err(Error::Over { name: name.clone() }),
        }
        if Instant::now() >= until {
            return Err(Error::Silent { name: name.clone(), call });
        }
        control.wait(Some(until)).map_err(|source| Error::system("poll", source))?;
    }
}

fn errno(number: u32) -> Errno {
    i32::try_from(number).map_or(Errno::EIO, Errno::from_raw)
}
