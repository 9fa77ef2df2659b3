//! Sockets: SEND by a plain call that refuses to wait.
//!
//! What is sent mostly has room, and then a call is over at once, where an entry has a completion that must be fetched. A
//! plain call needs a number, and sockets have slots: one that is sent to again and again gets a number beside its
//! slot, as long as this process has plenty of them. A call never overtakes what the ring has been given to send or write
//! to the same socket. Nothing here receives: a call that finds nothing there is wasted, and the ring waits for it anyway.

use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use ouzel_engine::{Outcome, Span};
use ouzel_ring::modifiers::MessageFlags;
use rustix::io;
use rustix::net::SendFlags;
use rustix::process::{Resource, getrlimit};

use super::quick::Tried;
use super::table::{Kind, NONE};
use super::{Uring, calls, memory};
use crate::backend::host::spans;

/// So many SENDs to a socket go through the ring before it gets a number: fewer are not worth making and closing one.
const SENDS_BEFORE: u8 = 4;

/// One in so many of the descriptors that this process may have can be numbers of sockets that have slots.
const PART: u64 = 4;

/// How many of those there are.
static NUMBERED: AtomicU32 = AtomicU32::new(0);

/// The right to one number beside a slot. It is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(());

impl Share {
    fn take() -> Option<Share> {
        static MOST: OnceLock<u32> = OnceLock::new();
        let most = *MOST.get_or_init(|| {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
            u32::try_from(limit / PART).unwrap_or(u32::MAX)
        });
        // Only the number counts; nothing else is read because of it.
        let share = Share(());
        (NUMBERED.fetch_add(1, Ordering::Relaxed) < most).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        NUMBERED.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Uring {
    /// Whether a SEND might be done by a call: the socket has a number or is to get one, and nothing is overtaken.
    #[inline]
    pub(super) fn might_send(&self, socket: u32, flags: MessageFlags) -> bool {
        MessageFlags::MORE.contains(flags)
            && self.table.get(socket).is_some_and(|record| {
                record.kind == Kind::Stream
                    && !record.closing
                    && !record.is_pinned()
                    && !record.held_back
                    && (record.descriptor.is_some() || record.sends >= SENDS_BEFORE)
            })
    }

    /// SEND, unless it would have to wait.
    pub(super) fn quick_send(&mut self, socket: u32, buffer: &Span, flags: MessageFlags) -> Tried {
        let tried = self.try_to_send(socket, buffer, flags);
        if let Tried::Refused = tried
            && let Some(record) = self.table.get_mut(socket)
        {
            record.held_back = true;
        }
        tried
    }

    #[inline]
    fn try_to_send(&mut self, socket: u32, buffer: &Span, flags: MessageFlags) -> Tried {
        if !self.might_send(socket, flags) {
            return Tried::Refused;
        }
        let Some(number) = self.number_to_send_to(socket) else { return Tried::Refused };
        let mut how = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        how.set(SendFlags::MORE, flags.contains(MessageFlags::MORE));
        self.count_call();
        match rustix::net::send(memory::borrow(number), spans::filled(buffer, 0), how) {
            Ok(count) => Tried::Over(Outcome::success(count as u64)),
            Err(io::Errno::AGAIN | io::Errno::INTR) => Tried::Refused,
            // To ask again might not tell it again.
            Err(error) => Tried::Over(Outcome::failure(calls::errno(error))),
        }
    }

    #[inline]
    fn number_to_send_to(&mut self, socket: u32) -> Option<RawFd> {
        match self.table.get(socket)?.number() {
            Some(number) => Some(number),
            None => self.make_number(socket),
        }
    }

    /// Makes a number for a socket that has a slot.
    #[cold]
    fn make_number(&mut self, socket: u32) -> Option<RawFd> {
        let record = self.table.get_mut(socket)?;
        // If there is none now, that is tried again as many SENDs later.
        record.sends = 0;
        if record.slot == NONE {
            return None;
        }
        let share = Share::take()?;
        self.ensure_descriptor(socket).ok()?;
        self.table.get_mut(socket)?.share = Some(share);
        self.number(socket).ok()
    }
}
