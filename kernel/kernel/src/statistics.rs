//! The objects `kernel:`, which tells what the kernel has in use, and `null:`.

use alloc::rc::Rc;

use ouzel_kernel_abi::Statistics;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use crate::packet::{self, Fate, Object, Packet, Request};
use crate::{block, memory, process, thread};

/// What the kernel has in use.
pub struct Kernel;

fn statistics() -> Statistics {
    thread::reap();
    let (frames, frames_free) = memory::frames();
    let (stack_used, stack_size) = thread::stack_use();
    Statistics {
        frames,
        frames_free,
        heap_used: memory::heap_used(),
        processes: process::living(),
        stack_used,
        stack_size,
        calls: thread::current().process.calls.get(),
        preemptions: thread::preemptions(),
        blocks: block::disk().served(),
        packets: packet::living(),
    }
}

impl Object for Kernel {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        match packet.request {
            Request::Read { length, .. } => {
                let told = statistics();
                // SAFETY: ten words without padding.
                let bytes = unsafe {
                    core::slice::from_raw_parts((&raw const told).cast::<u8>(), size_of::<Statistics>())
                };
                packet.data.extend(bytes.iter().take(length));
                let length = packet.data.len() as u64;
                packet.succeed(length)
            }
            _ => packet.fail(Errno::EINVAL),
        }
    }
}

/// Nothing to read, and room for everything.
pub struct Null;

impl Object for Null {
    fn start(self: Rc<Self>, packet: Packet) -> Fate {
        match packet.request {
            Request::Read { .. } => packet.succeed(0),
            Request::Write { .. } => {
                let length = packet.data.len() as u64;
                packet.succeed(length)
            }
            Request::Poll { events } => packet.succeed((events & (PollEvents::IN | PollEvents::OUT)).bits()),
            Request::Sync => packet.succeed(0),
            _ => packet.fail(Errno::EINVAL),
        }
    }
}
