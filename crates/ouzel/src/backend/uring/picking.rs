//! Groups of buffers: rings that the kernel picks from, and what it says it has picked.

use ouzel_engine::{Outcome, Report, Token};
use ouzel_ring::Errno;
use ouzel_uring::abi::{BufRingFlags, Cqe, Opcode};

use super::Uring;
use super::packets::Effect;
use crate::BufferGroup;
use crate::group::Picking as _;

impl Uring {
    /// Registers a group with the kernel, which picks from it from now on.
    pub(super) fn register_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        // Receiving again and again came with the kernel that has this (6.0), and has no bit of its own.
        if !self.features.has(Opcode::SendZc) {
            return Err(Errno::EOPNOTSUPP);
        }
        let entries = group.count().next_power_of_two() as u32;
        let made = self.ring.register_buf_ring(group.number(), entries, BufRingFlags::empty());
        let ring = made.map_err(|error| Errno::from_raw(error.errno()))?;
        group.hand_to_kernel(ring);
        self.groups.insert(group.number(), group.clone());
        Ok(())
    }

    /// Unregisters a group, which nothing under way names.
    pub(super) fn unregister_group(&mut self, number: u16) {
        let Some(group) = self.groups.remove(&number) else { return };
        if self.ring.unregister_buf_ring(number).is_err() {
            // The kernel would go on picking from it.
            std::mem::forget(group);
        }
    }

    /// The report that the completion of a RECV into a group makes, if it makes one.
    #[inline(never)]
    pub(super) fn read_picked(&mut self, token: Token, number: u16, completion: &Cqe) -> Option<Report> {
        let group = self.groups.get(&number);
        let result = completion.res;
        let extra = match (group, completion.buffer()) {
            (Some(group), Some(buffer)) if result > 0 => group.filled(buffer),
            (Some(group), Some(buffer)) => {
                group.unfilled(buffer);
                0
            }
            _ => 0,
        };
        if result < 0 {
            return self.read_failure(token, Errno::from_raw(result));
        }
        let many = matches!(self.packets.of(token)?.lowered.effect, Effect::PicksMany(_));
        // Nothing comes behind the end.
        let more = many && result > 0;
        if !more {
            self.finish(token.slot);
        } else if !completion.has_more() {
            // It ended without an error, so the kernel only wants to be asked again.
            self.again_later(token.slot);
        }
        let outcome = Outcome::Done { error: Errno::OK, result: result as u64, extra };
        Some(Report { token, outcome, more })
    }
}
