//! A program for another process: here it names its constants by their addresses, and there it brings them along.

use alloc::vec::Vec;

use ouzel_engine::{Program as Verified, Rejection};
use ouzel_ring::Payload;
use ouzel_ring::modifiers::CONSTANTS_REGION;

use super::{Description, Program};
use crate::chain::{CALLERS, Memory};

/// The program with its constants beside its steps, verified anew.
pub(crate) fn portable<T, E>(program: &Program<T, E>) -> Result<Verified, Rejection> {
    let Description { body, order, .. } = &*program.description;
    let mut constants = body.text.from(0).to_vec();
    let mut places: Vec<(u16, usize)> = Vec::new();
    let mut entries = program.verified.entries().to_vec();
    for (entry, step) in entries.iter_mut().zip(order) {
        let offset = match body.steps.get(usize::from(*step)).map(|step| step.payload) {
            Some(Memory::Text(start)) => start as usize,
            Some(Memory::Filled(buffer)) if buffer != CALLERS => {
                match places.iter().find(|(placed, _)| *placed == buffer) {
                    Some((_, offset)) => *offset,
                    None => {
                        let offset = constants.len();
                        if let Some(Some(buffer)) = body.buffers.get(usize::from(buffer)) {
                            constants.extend_from_slice(buffer.as_slice());
                        }
                        places.push((buffer, offset));
                        offset
                    }
                }
            }
            _ => continue,
        };
        entry.arguments[1] = Payload::new(CONSTANTS_REGION, offset as u64).unwrap_or_default().number();
    }
    Verified::with_constants(&entries, program.interface().clone(), &constants)
}
