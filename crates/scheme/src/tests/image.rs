#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use ouzel_engine::Reason;
use ouzel_ring::modifiers::CONSTANTS_REGION;
use ouzel_ring::{EntryFlags, Payload, Verb};

use super::*;

/// MKDIR of a path among the constants, then room of the caller's is written to a file of the caller's.
fn program() -> Program {
    let constants = b"some/path\0";
    let path = Payload::new(CONSTANTS_REGION, 0).unwrap().number();
    let piece = Payload::new(ouzel_ring::modifiers::CALL_REGION, 0).unwrap().number();
    let load = EntryFlags::load(0, 0).unwrap();
    let mkdir = Entry { arguments: [0, path, 10, 0o755, 0], ..Entry::new(Verb::Mkdir) };
    let write = Entry { arguments: [0, piece, 16, 0, 0], ..Entry::new(Verb::Write) };
    let write = write.flags(load | EntryFlags::save(1).unwrap());
    let interface = Interface { registers: 1, descriptors: 1, pieces: vec![16], result: Some(1) };
    Program::with_constants(&[mkdir, write], interface, constants).unwrap()
}

#[test]
fn a_program_comes_out_as_it_went_in() {
    let program = program();
    let image = encode(&program);
    assert_eq!(image.len(), 16 + 8 + 2 * 64 + 10);
    assert_eq!(image[..16], [2, 0, 0, 0, 1, 1, 1, 1, 10, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decode(&image), Ok(program));
    let nothing = Program::new(&[Entry::new(Verb::Nop)], Interface::default()).unwrap();
    assert_eq!(decode(&encode(&nothing)), Ok(nothing));
}

#[test]
fn no_other_length_is_taken() {
    let image = encode(&program());
    for length in 0..image.len() {
        assert!(matches!(decode(&image[..length]), Err(ImageError::Form(_))), "{length}");
    }
    let longer = [image.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer), Err(ImageError::Form("it is not as long as its head says")));
}

/// Every value of every byte: nothing panics, and what is taken says all that was there.
#[test]
fn any_byte_may_be_wrong() {
    let image = encode(&program());
    for at in 0..image.len() {
        for value in 0..=255 {
            let mut image = image.clone();
            image[at] = value;
            if let Ok(program) = decode(&image) {
                assert_eq!(encode(&program), image, "byte {at}");
            }
        }
    }
}

#[test]
fn lies_of_the_head_cost_nothing() {
    let mut image = encode(&program());
    image[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&image), Err(ImageError::Form(_))));
    let mut image = encode(&program());
    image[7] = 17;
    assert!(matches!(decode(&image), Err(ImageError::Form(_))));
    let mut image = encode(&program());
    image[6] = 7;
    assert_eq!(decode(&image), Err(ImageError::Form("its result is no register")));
}

#[test]
fn what_the_verifier_says_is_passed_on() {
    let mut image = encode(&program());
    // The path's offset, in the second word of the arguments.
    image[24 + 4 * 8] = 1;
    let Err(ImageError::Rejected(rejection)) = decode(&image) else { panic!("it was taken") };
    assert_eq!(rejection.step, Some(0));
    assert_eq!(rejection.reason, Reason::NoSuchConstant { argument: 1, needed: 11, room: 10 });
}
