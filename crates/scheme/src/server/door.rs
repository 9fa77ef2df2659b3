//! The door: who comes is let in, or told why not.
//!
//! To be turned away costs a client less than it costs the server, so whoever comes again and again finds more of it than there
//! is. The server takes a few of those who wait each time that it looks, and clients have their turns in between.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Server;
use super::guest::Guest;
use crate::error::Reason;
use crate::socket::Control;
use crate::{Host, Peer, wire};

/// The most that are let in or turned away between two looks at everything else.
const AT_ONCE: u32 = 16;

/// How long the door stays shut when there are no descriptors left for those who come.
pub(super) const SHUT: Duration = Duration::from_millis(100);

impl<H: Host> Server<H> {
    /// Takes some of those who wait at the door. The listener is told of again as long as there are more.
    pub(super) fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            let control = match self.listener.accept() {
                Ok(Some(control)) => control,
                Ok(None) => return,
                // No descriptors are left: who waits goes on waiting, and would be told of again and again.
                Err(_) => {
                    self.events.forget(self.listener.as_fd());
                    self.shut_until = Some(Instant::now() + SHUT);
                    return;
                }
            };
            let admitted = control.peer().map_err(|_| Reason::Resources).and_then(|peer| self.admit(peer));
            match admitted {
                Ok(peer) => self.let_in(control, peer),
                Err(reason) => {
                    self.statistics.refused += 1;
                    refuse(&control, reason);
                }
            }
        }
    }

    /// Whether there is room for one more.
    fn admit(&self, peer: Peer) -> Result<Peer, Reason> {
        if self.stop.asked.load(Ordering::Acquire) {
            return Err(Reason::Closing);
        }
        if self.guests.count() >= self.quotas.connections {
            return Err(Reason::TooManyConnections);
        }
        if self.users.get(&peer.user).is_some_and(|count| *count >= self.quotas.connections_of_user) {
            return Err(Reason::TooManyOfUser);
        }
        Ok(peer)
    }

    fn let_in(&mut self, control: Control, peer: Peer) {
        *self.users.entry(peer.user).or_default() += 1;
        let place = self.guests.add(Guest::new(control, peer, Instant::now() + self.quotas.handshake));
        let watched = match self.guests.at(place) {
            Some(guest) => guest.watch(&self.events, place),
            None => Ok(()),
        };
        if watched.is_err() {
            self.remove(place);
        }
    }
}

/// Tells a client why it is not taken. It may have gone.
pub(super) fn refuse(control: &Control, reason: Reason) {
    let _ = control.send(&wire::ToClient::Refused(wire::Refused { reason }).encode(), &[]);
}
