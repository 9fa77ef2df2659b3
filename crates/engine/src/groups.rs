//! Groups: which numbers stand for buffers that the backend picks from.
//!
//! The engine knows no more of a group than that it is there. Its buffers are between the backend and who made it.

use alloc::vec::Vec;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::MAX_GROUPS;

/// The groups of one ring.
#[derive(Default)]
pub(crate) struct Groups(Vec<bool>);

impl Groups {
    /// A number for another one. ENOSPC if there are as many as there may be.
    pub(crate) fn add(&mut self) -> Result<u16, Errno> {
        if let Some(free) = self.0.iter().position(|used| !used) {
            self.0[free] = true;
            return Ok(free as u16);
        }
        if self.0.len() >= MAX_GROUPS {
            return Err(Errno::ENOSPC);
        }
        self.0.push(true);
        Ok((self.0.len() - 1) as u16)
    }

    /// Forgets a group, if there is one of this number.
    pub(crate) fn remove(&mut self, group: u16) {
        if let Some(used) = self.0.get_mut(usize::from(group)) {
            *used = false;
        }
    }

    /// The number, if it is a group's. EFAULT if not.
    pub(crate) fn look_up(&self, number: u64) -> Result<u16, Errno> {
        let place = usize::try_from(number).ok().and_then(|place| self.0.get(place));
        if place == Some(&true) { Ok(number as u16) } else { Err(Errno::EFAULT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_out_again_and_have_an_end() {
        let mut groups = Groups::default();
        assert_eq!(groups.look_up(0), Err(Errno::EFAULT));
        for number in 0..MAX_GROUPS {
            assert_eq!(groups.add(), Ok(number as u16));
        }
        assert_eq!(groups.add(), Err(Errno::ENOSPC));
        assert_eq!(groups.look_up(7), Ok(7));
        for stranger in [MAX_GROUPS as u64, 7 | 1 << 16, 7 | 1 << 32, u64::MAX] {
            assert_eq!(groups.look_up(stranger), Err(Errno::EFAULT));
        }
        groups.remove(7);
        groups.remove(u16::MAX);
        assert_eq!(groups.look_up(7), Err(Errno::EFAULT));
        assert_eq!(groups.add(), Ok(7));
    }
}
