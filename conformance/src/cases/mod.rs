//! The programs, by topic.

mod cancelling;
mod capacity;
mod common;
mod copying;
mod exchange;
mod flags;
mod listing;
mod names;
mod opening;
mod pipes;
mod polling;
mod programs;
mod regions;
mod registers;
pub(crate) mod sockets;
mod space;
mod stream_sockets;
mod teardown;
pub(crate) mod timing;
mod transfers;
mod vectored;

use crate::Case;

/// Every program.
pub fn all() -> Vec<Case> {
    [
        cancelling::CASES,
        capacity::CASES,
        common::CASES,
        copying::CASES,
        exchange::CASES,
        flags::CASES,
        listing::CASES,
        names::CASES,
        opening::CASES,
        pipes::CASES,
        polling::CASES,
        programs::CASES,
        regions::CASES,
        registers::CASES,
        sockets::CASES,
        space::CASES,
        stream_sockets::CASES,
        teardown::CASES,
        timing::CASES,
        transfers::CASES,
        vectored::CASES,
    ]
    .concat()
}
