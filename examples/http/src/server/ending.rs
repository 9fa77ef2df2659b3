//! How connections end.
//!
//! Closing a socket that has bytes to be read tells the client that something went wrong, and may take back an answer
//! that is on its way. So after the last answer only our direction is shut, and what still comes is thrown away until
//! the client is done too, within bounds.

use std::time::Duration;

use ouzel::abi::modifiers::{MessageFlags, ShutdownHow};
use ouzel::{Buffer, Done, Error, Reg};

use super::connection::Phase;
use super::{Purpose, RECEIVE, Server, Work};

/// How long a client may take to notice that the connection is over.
const LINGER: Duration = Duration::from_secs(2);

/// How much of what it sends meanwhile is borne.
const LINGER_BYTES: usize = 1 << 20;

impl Server<'_> {
    /// Ends a connection after its last answer.
    pub(super) fn linger(&mut self, at: u32) -> Result<(), Error> {
        let Some(Some(connection)) = self.connections.get_mut(at as usize) else { return Ok(()) };
        if connection.receiving || connection.ended {
            return self.close(at);
        }
        connection.phase = Phase::Lingering { left: LINGER_BYTES };
        let socket = connection.socket;
        let mut chain = self.chain();
        chain.shutdown(socket, ShutdownHow::Send);
        let received = chain.recv(socket, Buffer::with_capacity(RECEIVE), MessageFlags::empty());
        chain.timeout(LINGER);
        self.submit(chain, Purpose::Of(at, Work::Linger(received)))?;
        Ok(())
    }

    pub(super) fn lingered(&mut self, at: u32, done: &mut Done, received: Reg<usize>) -> Result<(), Error> {
        let Some(Some(connection)) = self.connections.get_mut(at as usize) else { return Ok(()) };
        let Phase::Lingering { left } = &mut connection.phase else { return Ok(()) };
        let socket = connection.socket;
        match done.get(received) {
            Ok(length @ 1..) if length <= *left => {
                *left -= length;
                let buffer = done.take(received).unwrap_or_else(|| Buffer::with_capacity(RECEIVE));
                let mut chain = self.chain();
                let received = chain.recv(socket, buffer, MessageFlags::empty());
                chain.timeout(LINGER);
                self.submit(chain, Purpose::Of(at, Work::Linger(received)))?;
                Ok(())
            }
            _ => self.close(at),
        }
    }

    /// Ends a connection now. A receive that is in flight ends with it.
    pub(super) fn close(&mut self, at: u32) -> Result<(), Error> {
        let Some(Some(connection)) = self.connections.get_mut(at as usize) else { return Ok(()) };
        if matches!(connection.phase, Phase::Closing) {
            return Ok(());
        }
        let phase = std::mem::replace(&mut connection.phase, Phase::Closing);
        let (socket, receiving) = (connection.socket, connection.receiving);
        let mut chain = self.chain();
        if receiving {
            chain.shutdown(socket, ShutdownHow::Both);
        }
        if let Phase::Answering(answer) = phase
            && let Some(file) = answer.file
        {
            chain.finally().close(file);
        }
        chain.finally().close(socket);
        self.submit(chain, Purpose::Of(at, Work::Close))?;
        Ok(())
    }

    /// Forgets a connection if nothing of it is in flight any more.
    pub(super) fn forget(&mut self, at: u32) -> Result<(), Error> {
        let Some(place) = self.connections.get_mut(at as usize) else { return Ok(()) };
        if !place.as_ref().is_some_and(|connection| {
            matches!(connection.phase, Phase::Closing) && connection.closed && !connection.receiving
        }) {
            return Ok(());
        }
        *place = None;
        self.free.push(at);
        self.open -= 1;
        self.over |= self.stopping && self.open == 0;
        self.accept()
    }
}
