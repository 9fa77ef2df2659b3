//! The cases: those of the suite that need no operating system around the ring, and this kernel's own.
//!
//! Topics of which this kernel has no verb at all are left out: sockets and messages, locks, attributes, COPY and SPLICE.

use crate::Case;

#[path = "../../../../../conformance/src/cases/cancelling.rs"]
mod cancelling;
#[path = "../../../../../conformance/src/cases/capacity.rs"]
mod capacity;
#[path = "../../../../../conformance/src/cases/common.rs"]
mod common;
#[path = "../../../../../conformance/src/cases/flags.rs"]
mod flags;
#[path = "../../../../../conformance/src/cases/listing.rs"]
mod listing;
#[path = "../../../../../conformance/src/cases/names.rs"]
mod names;
#[path = "../../../../../conformance/src/cases/opening.rs"]
mod opening;
#[path = "../../../../../conformance/src/cases/pipes.rs"]
mod pipes;
#[path = "../../../../../conformance/src/cases/polling.rs"]
mod polling;
#[path = "../../../../../conformance/src/cases/programs.rs"]
mod programs;
#[path = "../../../../../conformance/src/cases/registers.rs"]
mod registers;
#[path = "../../../../../conformance/src/cases/space.rs"]
mod space;
#[path = "../../../../../conformance/src/cases/timing.rs"]
pub(crate) mod timing;
#[path = "../../../../../conformance/src/cases/transfers.rs"]
mod transfers;
#[path = "../../../../../conformance/src/cases/vectored.rs"]
mod vectored;

/// What other topics need of sockets, which this kernel lacks.
pub(crate) mod sockets {
    use crate::World;
    use crate::entry::socket;
    use crate::memory::Memory;

    impl World {
        /// The address of a unix socket, if there were one.
        pub(crate) fn unix(&self, name: &str) -> Memory {
            self.path(name)
        }
    }

    /// Ends the case: there are none.
    pub(crate) fn pair(world: &mut World, _: &str) -> (u64, u64) {
        let near = world.ok(socket(1, 1, 0));
        (near, world.ok(socket(1, 1, 0)))
    }
}

/// Every program.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        cancelling::CASES,
        capacity::CASES,
        common::CASES,
        flags::CASES,
        listing::CASES,
        names::CASES,
        opening::CASES,
        pipes::CASES,
        polling::CASES,
        programs::CASES,
        registers::CASES,
        space::CASES,
        timing::CASES,
        transfers::CASES,
        vectored::CASES,
        crate::own::CASES,
    ]
    .into_iter()
    .flatten()
}
