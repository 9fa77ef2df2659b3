//! The programs, by topic.

mod attributes;
mod bells;
mod cancelling;
mod capacity;
mod common;
mod copying;
mod exchange;
mod flags;
mod futexes;
mod listing;
mod locking;
mod messages;
mod metadata;
mod names;
mod opening;
mod options;
mod picking;
mod pipes;
mod polling;
mod processes;
mod programs;
mod regions;
mod registers;
pub(crate) mod sockets;
mod space;
mod splicing;
mod stream_sockets;
mod teardown;
pub(crate) mod timing;
mod transfers;
mod vectored;

use crate::Case;

/// Every program.
pub fn all() -> Vec<Case> {
    [
        attributes::CASES,
        bells::CASES,
        cancelling::CASES,
        capacity::CASES,
        common::CASES,
        copying::CASES,
        exchange::CASES,
        flags::CASES,
        futexes::CASES,
        listing::CASES,
        metadata::CASES,
        locking::CASES,
        messages::CASES,
        names::CASES,
        opening::CASES,
        options::CASES,
        picking::CASES,
        pipes::CASES,
        polling::CASES,
        processes::CASES,
        programs::CASES,
        regions::CASES,
        registers::CASES,
        sockets::CASES,
        space::CASES,
        splicing::CASES,
        stream_sockets::CASES,
        teardown::CASES,
        timing::CASES,
        transfers::CASES,
        vectored::CASES,
    ]
    .concat()
}
