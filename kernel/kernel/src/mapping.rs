//! The object `memory:`: pages of a process, until it is let go of.

use alloc::rc::{Rc, Weak};

use ouzel_kernel_abi::{Mapping, PAGE};
use ouzel_ring::Errno;

use crate::packet::{Fate, Object, Packet, Request};
use crate::process::Process;
use crate::space::Rights;

/// Pages that are mapped as long as this lives.
pub struct Pages {
    process: Weak<Process>,
    address: u64,
    pages: u64,
}

impl Pages {
    /// Maps so many for `process`; see [`AddressSpace::map_fresh`](crate::space::AddressSpace::map_fresh).
    pub fn map(process: &Rc<Process>, address: u64, pages: u64) -> Result<Rc<Pages>, Errno> {
        let address = process.space.map_fresh(address, pages, Rights::DATA)?;
        Ok(Rc::new(Pages { process: Rc::downgrade(process), address, pages }))
    }
}

impl Object for Pages {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        match packet.request {
            Request::Read { length, .. } => {
                let told = Mapping { address: self.address, length: self.pages * PAGE };
                let bytes = [told.address.to_le_bytes(), told.length.to_le_bytes()];
                packet.data.extend(bytes.iter().flatten().take(length));
                let length = packet.data.len() as u64;
                packet.succeed(length)
            }
            _ => packet.fail(Errno::EINVAL),
        }
    }

    fn describe(&self) -> (u32, u64, u64) {
        (0o100_600, self.pages * PAGE, self.address)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // A process that is gone has taken its pages along.
        if let Some(process) = self.process.upgrade() {
            process.space.unmap_and_free(self.address, self.pages);
        }
    }
}
