//! The server: an event loop over chains that end.
//!
//! Each turn takes every chain that is over, lets its connection go on (which submits more chains), and then enters
//! the ring once for all of them. A connection has at most two chains in flight: one that receives, and one that works
//! on an answer. Which connection a chain belongs to is kept in a table that its ticket indexes.
//!
//! Nothing a client sends can end the server: errors of operations end a connection, and only a ring that cannot go on
//! ends the loop.

mod answer;
mod connection;
mod ending;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::{Buffer, Chain, Done, Error, Fd, OpenOptions, Reg, Ring, Stat, Ticket};

use self::connection::Connection;
use crate::options::Options;
use crate::response::Clock;

/// How many chains wait for connections at once.
const ACCEPTS: usize = 4;

/// Entries that one connection may have in flight: one that receives, and open, stat and read, or read and send, or
/// close and send.
const ENTRIES_EACH: u64 = 4;

/// The room that each receive has.
const RECEIVE: usize = 4096;

/// The room of a read: files up to this size are read whole, others in pieces of it.
const PIECE: usize = 64 * 1024;

/// Buffers of each kind that are kept to be used again.
const SPARES: usize = 512;

/// How long accepting rests when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// What a server has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    /// Requests that were answered, with errors too.
    pub requests: u64,
    /// Connections that were taken.
    pub connections: u64,
    /// Descriptors of the ring that were open at the end, the root's and the signal's not counted. 0, or there is a
    /// mistake.
    pub descriptors: u32,
}

impl Served {
    /// Adds what another server has done.
    pub fn add(&mut self, other: Served) {
        self.requests += other.requests;
        self.connections += other.connections;
        self.descriptors += other.descriptors;
    }
}

/// What a chain in flight was submitted for, with the results that count.
#[derive(Clone, Copy, Debug, Default)]
enum Purpose {
    #[default]
    None,
    /// Take a connection.
    Accept(Reg<Fd>),
    /// Rest before connections are taken again.
    Rest,
    /// Learn of a signal.
    Signal,
    /// Give answers under way their time.
    Grace,
    /// Close something that nobody waits for.
    Close,
    Of(u32, Work),
}

/// What a connection's chain was submitted for.
#[derive(Clone, Copy, Debug)]
enum Work {
    Receive(Reg<usize>),
    Open {
        file: Reg<Fd>,
        stat: Reg<Stat>,
        read: Option<Reg<usize>>,
    },
    /// Read the last piece of a body, or the first of a range.
    Read(Reg<usize>),
    /// Read a piece and send it.
    Pass {
        read: Reg<usize>,
        send: Reg<usize>,
    },
    Send(Reg<usize>),
    /// Wait for the client to stop sending too.
    Linger(Reg<usize>),
    Close,
}

/// The server of one thread.
pub struct Server<'a> {
    ring: Ring,
    options: &'a Options,
    listener: Descriptor,
    root: Descriptor,
    signal: Descriptor,
    clock: Clock,
    /// Nobody has looked at the clock in this turn.
    clock_due: bool,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free.
    free: Vec<u32>,
    open: u32,
    /// What chains in flight are for, in the places that their tickets name.
    flying: Vec<Purpose>,
    accepting: Vec<Ticket>,
    /// Connections that are to receive, and how long they may take.
    receives: Vec<(u32, Duration)>,
    /// Chains that wait for a signal or for the grace to be over.
    background: Vec<Ticket>,
    /// Chains, and buffers for pieces and for answers, to be used again.
    chains: Vec<Chain>,
    pieces: Vec<Buffer>,
    outs: Vec<Vec<u8>>,
    stopping: bool,
    over: bool,
    served: Served,
}

impl<'a> Server<'a> {
    /// A server of what comes in at `listener`, until something can be read from `stop`.
    ///
    /// Errors: no ring can be made, or it cannot take these in.
    pub fn new(options: &'a Options, listener: TcpListener, stop: UnixStream) -> Result<Server<'a>, Error> {
        let connections = u64::from(options.connections);
        // All connections may be waiting to receive and work on an answer at the same time.
        let completions = (connections * ENTRIES_EACH + 64).next_power_of_two().clamp(256, 1 << 16);
        let mut builder =
            Ring::builder().entries(1024).completions(completions).descriptors(2 * options.connections + 16);
        if let Some(backend) = options.backend.kind() {
            builder = builder.backend(backend);
        }
        let mut ring = builder.build()?;
        let listener = ring.adopt(listener)?;
        let signal = ring.adopt(stop)?;
        let root = ring.open(&options.root, OpenOptions::directory())?;
        Ok(Server {
            ring,
            options,
            listener,
            root,
            signal,
            clock: Clock::default(),
            clock_due: true,
            connections: Vec::new(),
            free: Vec::new(),
            open: 0,
            flying: Vec::new(),
            accepting: Vec::new(),
            receives: Vec::new(),
            background: Vec::new(),
            chains: Vec::new(),
            pieces: Vec::new(),
            outs: Vec::new(),
            stopping: false,
            over: false,
            served: Served::default(),
        })
    }

    /// Serves until it is told to stop.
    ///
    /// Errors: the ring cannot go on.
    pub fn run(mut self) -> Result<Served, Error> {
        self.await_signal()?;
        self.accept()?;
        while !self.over {
            let Some((ticket, done)) = self.ring.wait_any()? else { break };
            self.clock_due = true;
            self.take(ticket, done)?;
            while let Some((ticket, done)) = self.ring.next_ended() {
                self.take(ticket, done)?;
            }
            self.receive_all()?;
        }
        if self.open == 0 {
            // What is left waits for a signal, or for the grace to be over.
            for ticket in std::mem::take(&mut self.background) {
                self.ring.cancel(ticket)?;
            }
            self.ring.wait_all()?;
        }
        self.served.descriptors = self.ring.gauges().descriptors.saturating_sub(2);
        Ok(self.served)
    }

    /// Lets whatever a chain belongs to go on.
    fn take(&mut self, ticket: Ticket, mut done: Done) -> Result<(), Error> {
        let purpose = self.flying.get_mut(ticket.index()).map(std::mem::take).unwrap_or_default();
        match purpose {
            Purpose::Of(at, work) => self.go_on(at, work, &mut done)?,
            Purpose::Accept(socket) => self.accepted(ticket, &done, socket)?,
            Purpose::Rest => self.accept()?,
            Purpose::Signal => self.stop()?,
            Purpose::Grace => self.over = true,
            Purpose::Close | Purpose::None => {}
        }
        if self.chains.len() < SPARES {
            self.chains.push(done.into_chain());
        }
        Ok(())
    }

    fn chain(&mut self) -> Chain {
        self.chains.pop().unwrap_or_default()
    }

    fn submit(&mut self, chain: Chain, purpose: Purpose) -> Result<Ticket, Error> {
        let ticket = self.ring.submit(chain)?;
        if self.flying.len() <= ticket.index() {
            self.flying.resize(ticket.index() + 1, Purpose::None);
        }
        self.flying[ticket.index()] = purpose;
        Ok(ticket)
    }

    /// Sees to it that connections are taken, as long as there is room for them.
    fn accept(&mut self) -> Result<(), Error> {
        while !self.stopping
            && self.accepting.len() < ACCEPTS
            && self.open as usize + self.accepting.len() < self.options.connections as usize
        {
            let mut chain = self.chain();
            let socket = chain.accept(self.listener);
            let ticket = self.submit(chain, Purpose::Accept(socket))?;
            self.accepting.push(ticket);
        }
        Ok(())
    }

    fn accepted(&mut self, ticket: Ticket, done: &Done, socket: Reg<Fd>) -> Result<(), Error> {
        self.accepting.retain(|accepting| *accepting != ticket);
        match done.get(socket) {
            Ok(socket) if self.stopping => {
                let mut chain = self.chain();
                chain.close(socket);
                self.submit(chain, Purpose::Close)?;
            }
            Ok(socket) => {
                self.served.connections += 1;
                self.open += 1;
                let connection = Some(Connection::new(socket));
                let at = match self.free.pop() {
                    Some(at) => {
                        self.connections[at as usize] = connection;
                        at
                    }
                    None => {
                        self.connections.push(connection);
                        self.connections.len() as u32 - 1
                    }
                };
                self.receive(at, self.options.idle_timeout);
            }
            // One that went away before it was taken, or no descriptor is left: in time there will be.
            Err(_) if !self.stopping => {
                let mut chain = self.chain();
                chain.sleep(REST);
                self.submit(chain, Purpose::Rest)?;
                return Ok(());
            }
            Err(_) => {}
        }
        self.accept()
    }

    fn await_signal(&mut self) -> Result<(), Error> {
        let mut chain = self.chain();
        chain.recv(self.signal, Buffer::with_capacity(1), MessageFlags::empty());
        let ticket = self.submit(chain, Purpose::Signal)?;
        self.background = vec![ticket];
        Ok(())
    }

    /// Begins to stop; the second time, stops.
    fn stop(&mut self) -> Result<(), Error> {
        if self.stopping {
            self.over = true;
            return Ok(());
        }
        self.stopping = true;
        self.await_signal()?;
        for ticket in std::mem::take(&mut self.accepting) {
            self.ring.cancel(ticket)?;
        }
        let mut chain = self.chain();
        chain.close(self.listener);
        self.submit(chain, Purpose::Close)?;
        let mut chain = self.chain();
        chain.sleep(self.options.grace);
        let ticket = self.submit(chain, Purpose::Grace)?;
        self.background.push(ticket);
        for at in 0..self.connections.len() as u32 {
            if self.connections[at as usize].as_ref().is_some_and(Connection::is_idle) {
                self.close(at)?;
            }
        }
        self.over = self.open == 0;
        Ok(())
    }
}
