//! What is held: pages of mappings that the kernel writes back while the service is away.
//!
//! A program that stores into a mapping is told of no error; pages that could not be written would be gone, with nobody to
//! know it. So they are kept here, on a thread of their own, and written when the service is back; past [`PATIENCE`], from when
//! they came, they fail with EIO, as everything else does at once. There are never more of them than the kernel has in the background.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use fuser::ReplyWrite;
use ouzel::abi::Errno;

use super::bridge::Bridge;
use super::contents::Writing;
use super::front::told;

/// How long a part is held while the service is away before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often the service is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// A part of a file that is to be written.
pub struct Held {
    /// By what it is open as.
    pub file: u64,
    /// Where.
    pub offset: u64,
    /// What.
    pub data: Vec<u8>,
    /// Who is told.
    pub reply: ReplyWrite,
    /// Since when it is held.
    pub since: Instant,
}

/// The thread that holds them.
pub struct Holder(Sender<Held>);

impl Holder {
    /// A thread that writes by this bridge. It ends with the holder, once it has nothing left.
    pub fn new(bridge: Arc<Bridge>) -> Holder {
        let (sender, receiver) = channel::<Held>();
        let hold = move || receiver.into_iter().for_each(|held| write(&bridge, held));
        // Without a thread there is nobody who takes anything, and all of it fails at once.
        thread::Builder::new().name("held".to_owned()).spawn(hold).map(drop).unwrap_or_default();
        Holder(sender)
    }

    /// Holds a part until it can be written.
    pub fn hold(&self, held: Held) {
        if let Err(refused) = self.0.send(held) {
            refused.0.reply.error(fuser::Errno::EIO);
        }
    }
}

fn write(bridge: &Bridge, held: Held) {
    let Held { file, offset, data, reply, since } = held;
    loop {
        let missed = bridge.connections.missed();
        match bridge.write(file, offset, &data, Writing { sync: None, is_write_back: true }) {
            Ok(count) => return reply.written(count as u32),
            Err(Errno::EIO) if bridge.connections.missed() != missed && since.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            Err(error) => return reply.error(told(error)),
        }
    }
}
