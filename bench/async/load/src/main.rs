//! The client of every echo server: so many connections, each with one message on its way, by epoll on one thread. A message
//! must come back as it was sent before its connection sends the next.
//!
//! `async-load ADDRESS CONNECTIONS BYTES MESSAGES`; a pass sends so many messages on all connections together.

use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use contender::{CountingAllocator, Tally, passes};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The longest that nothing may come back.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

struct Connection {
    stream: TcpStream,
    /// What is on its way.
    message: Vec<u8>,
    /// What has come back of it.
    back: Vec<u8>,
    received: usize,
    /// How many it has still to send.
    left: u64,
}

impl Connection {
    fn new(address: &str, number: u64, bytes: usize) -> Result<Connection, Box<dyn Error>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let message = (0..bytes).map(|at| (at as u64 * 31 + number) as u8).collect();
        Ok(Connection { stream, message, back: vec![0; bytes], received: 0, left: 0 })
    }

    /// Sends the next message, which differs from the last one.
    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        self.message[0] = self.message[0].wrapping_add(1);
        self.received = 0;
        self.left -= 1;
        let mut sent = 0;
        while sent < self.message.len() {
            match self.stream.write(&self.message[sent..]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], Some(&PATIENCE))? == 0 {
                        return Err("the server takes nothing".into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives what is there; true if that makes the message whole.
    fn receive(&mut self) -> Result<bool, Box<dyn Error>> {
        match self.stream.read(&mut self.back[self.received..]) {
            Ok(0) => return Err("the server has closed a connection".into()),
            Ok(more) => self.received += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if self.received < self.message.len() {
            return Ok(false);
        }
        if self.back != self.message {
            return Err("what came back is not what was sent".into());
        }
        Ok(true)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, bytes, messages] = &arguments[..] else {
        return Err("usage: async-load ADDRESS CONNECTIONS BYTES MESSAGES".into());
    };
    let (count, bytes, messages): (u64, usize, u64) =
        (connections.parse()?, bytes.parse()?, messages.parse()?);
    if !(1..=4096).contains(&count) || !(1..=1 << 20).contains(&bytes) {
        return Err("1 to 4,096 connections, 1 byte to 1 MiB".into());
    }
    let watch = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..count {
        let connection = Connection::new(address, number, bytes)?;
        epoll::add(&watch, &connection.stream, EventData::new_u64(number), EventFlags::IN)?;
        connections.push(connection);
    }
    // The server has taken all of them by then.
    std::thread::sleep(Duration::from_millis(20));
    let mut events = Vec::with_capacity(count as usize);
    passes("epoll, one thread, one message per connection on its way", || {
        let each = messages / count;
        for connection in &mut connections {
            connection.left = each;
            connection.send()?;
        }
        let mut whole = 0;
        while whole < each * count {
            events.clear();
            epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), Some(&PATIENCE))?;
            if events.is_empty() {
                return Err("the server sends nothing back".into());
            }
            for event in &events {
                let connection =
                    connections.get_mut(event.data.u64() as usize).ok_or("an unknown connection")?;
                if connection.receive()? {
                    whole += 1;
                    if connection.left > 0 {
                        connection.send()?;
                    }
                }
            }
        }
        Ok(Tally { items: whole, bytes: whole * bytes as u64, checksum: 0 })
    })
}
