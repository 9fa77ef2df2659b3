//! Any bytes as a stored program and its interface: judging them may not panic, a refusal names a step that there is and
//! has a text, and what is taken has no way on which it does what the verifier promises against.
//!
//! The first six bytes are the interface. Then come the entries, each as it lies in memory or, so that few bytes go a long
//! way, as ten: the verb, the flags, and of each argument one that selects its value.

#![no_main]

#[path = "../../crates/engine/tests/verifier/ways.rs"]
mod ways;

use libfuzzer_sys::fuzz_target;
use ouzel_engine::{Interface, Program};
use ouzel_ring::modifiers::{CALL_REGION, MAX_PROGRAM_STEPS};
use ouzel_ring::{Entry, Payload};

/// The most steps for which all ways are tried.
const FEW: usize = 12;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[shape, registers, descriptors, result, pieces, length], rest)) = bytes.split_first_chunk()
    else {
        return;
    };
    let interface = Interface {
        registers: registers % 9,
        descriptors,
        pieces: vec![u64::from(length) << (shape >> 4); usize::from(pieces % 18)],
        result: result.checked_sub(1),
    };
    let entries: Vec<Entry> = if shape & 1 == 0 {
        rest.as_chunks::<10>().0.iter().map(compact).collect()
    } else {
        rest.as_chunks::<64>().0.iter().map(whole).collect()
    };
    match Program::new(&entries, interface.clone()) {
        Err(rejection) => {
            assert!(rejection.step.is_none_or(|step| step < entries.len()));
            assert!(!rejection.to_string().is_empty());
        }
        Ok(program) => {
            assert_eq!(program.entries(), entries);
            if entries.len() <= FEW {
                let found = ways::explore(&entries, &interface);
                assert!(found.ordinary.is_empty(), "{:?} of {entries:#?}", found.ordinary);
                assert!(found.stops.is_empty() && !found.end, "no result of {entries:#?}");
                assert!(found.kinds.is_empty() && found.useless.is_empty(), "{entries:#?}");
            }
            let mut seed = u64::from(shape) << 8 | u64::from(length);
            let mut one_in = |chances: u64| {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (seed >> 33).is_multiple_of(chances)
            };
            for holds_one_in in [1, 3, u64::MAX] {
                assert!(ways::run(&entries, &interface, &mut one_in, holds_one_in) <= MAX_PROGRAM_STEPS);
            }
        }
    }
});

fn compact(bytes: &[u8; 10]) -> Entry {
    let &[op, low, middle, high, top, ref arguments @ ..] = bytes;
    let mut entry = Entry::from_words([u64::MAX, 0, 0, 0, 0, 0, 0, 0]);
    entry.op = u32::from(op);
    entry.flags = u32::from_le_bytes([low, middle, high, top]);
    entry.arguments = arguments.map(|byte| match byte {
        0..0x80 => u64::from(byte),
        // Powers of two, and what is just below them.
        0x80..0xc0 => 1 << (byte & 63),
        0xc0..0xe0 => (1 << ((byte & 31) * 2)) - 1,
        0xe0..0xf8 => {
            let region = CALL_REGION + u16::from(byte & 31);
            Payload::new(region, 16).map_or(0, Payload::number)
        }
        // Skips, and a region of the ring.
        0xf8..0xff => u64::from(byte & 7) << 32 | 2,
        0xff => 1 << 48,
    });
    entry
}

fn whole(bytes: &[u8; 64]) -> Entry {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Entry::from_words(words)
}
