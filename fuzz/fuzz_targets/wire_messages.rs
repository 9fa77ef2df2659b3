//! Any bytes as a message of the control socket, in both directions: reading them may not panic, a refusal has a text, and what
//! is taken says all that was there: written again it is the same bytes, of a length and with as many descriptors as there may be.
//!
//! Even inputs are the bytes themselves. Odd ones, so that few bytes go a long way, are a message that is right but for what
//! the rest says: three bytes each are a place, a value, and how the two are joined.

#![no_main]

#[path = "../../crates/scheme/src/wire.rs"]
#[allow(dead_code)]
mod wire;

use libfuzzer_sys::fuzz_target;
use ouzel_engine::Target;
use ouzel_ring::Geometry;
use wire::*;

/// What the crate's own is; the messages look for it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Version,
    Geometry,
    TooManyConnections,
    TooManyOfUser,
    NotAllowed,
    Closing,
    Resources,
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&shape, rest)) = bytes.split_first() else { return };
    if shape & 1 == 0 {
        return judge(rest);
    }
    let mut message = right(shape >> 1);
    for &[place, value, how] in rest.as_chunks::<3>().0 {
        let place = usize::from(place) % message.len();
        message[place] = match how % 4 {
            0 => value,
            1 => message[place] ^ value,
            2 => message[place].wrapping_add(value),
            _ => {
                message.truncate(place.max(1));
                continue;
            }
        };
        judge(&message);
    }
    judge(&message);
});

fn judge(bytes: &[u8]) {
    match ToServer::decode(bytes) {
        Ok(message) => {
            if let ToServer::Hello(hello) = message {
                assert!(Geometry::new(hello.entries.into(), hello.completions.into()).is_ok());
            }
            assert_eq!(bytes, &*message.encode());
            assert!(bytes.len() <= MAX_MESSAGE && message.files() <= MAX_FILES_TO_SERVER);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match ToClient::decode(bytes) {
        Ok(message) => {
            assert_eq!(bytes, &*message.encode());
            assert!(bytes.len() <= MAX_MESSAGE && message.files() <= MAX_FILES_TO_CLIENT);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(ToServer::decode(bytes).is_err() || ToClient::decode(bytes).is_err(), "both directions take it");
}

/// A message that is right.
fn right(which: u8) -> Vec<u8> {
    match which % 20 {
        0 => Hello { version: VERSION, features: 0, entries: 64, completions: 128, generation: 1 }
            .encode()
            .to_vec(),
        1 => AddRegion { token: 1, length: 1 << 20 }.encode().to_vec(),
        2 => RemoveRegion { region: 1, token: 1 }.encode().to_vec(),
        3 => Bye.encode().to_vec(),
        4 => {
            let welcome = Welcome {
                version: VERSION,
                features: u64::from(which >= 64) * READINESS,
                geometry: Geometry::new(64, 128).expect("powers of two"),
                chain: 64,
                descriptors: 64,
                programs: 64,
                program_steps: 1024,
                epoch: 1,
                verbs: 0xffff,
                only_programs: false,
            };
            welcome.encode().to_vec()
        }
        5 => Refused { reason: Reason::Closing }.encode().to_vec(),
        6 => RegionAdded { token: 1, region: 1 }.encode().to_vec(),
        7 => RegionRefused { token: 1, errno: 22 }.encode().to_vec(),
        8 => RegionRemoved { token: 1, errno: 0 }.encode().to_vec(),
        9 => Cancelled { token: 1, reached: 2 }.encode().to_vec(),
        10 => Cancel { token: 1, target: Target::Data(7) }.encode().to_vec(),
        11 => Cancel { token: 1, target: Target::DataRange { first: 1, last: 9 } }.encode().to_vec(),
        12 => Cancel { token: 1, target: Target::All }.encode().to_vec(),
        13 => StoreProgram { token: 1, length: 512 }.encode().to_vec(),
        14 => ForgetProgram { token: 1, number: 1 }.encode().to_vec(),
        15 => FindProgram { token: 1, name: Text::cut("lookup") }.encode().to_vec(),
        16 => ProgramStored { token: 1, number: 1 }.encode().to_vec(),
        17 => {
            let why = Text::cut("it has no steps: give it at least one");
            ProgramRefused { token: 1, errno: 22, step: 0, why }.encode().to_vec()
        }
        18 => ProgramForgotten { token: 1, errno: 2 }.encode().to_vec(),
        _ => {
            let mut found = ProgramFound {
                token: 1,
                number: 1,
                result: 1,
                filled: 1,
                parameters: 2,
                kinds: [0; 24],
                capacities: [0; 16],
            };
            found.kinds[..2].copy_from_slice(&[3, 5]);
            found.capacities[0] = 4096;
            found.encode().to_vec()
        }
    }
}
