#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

fn geometry() -> Geometry {
    Geometry::new(8, 16).unwrap()
}

fn hello() -> Hello {
    Hello { version: VERSION, features: 1 << 63 | 5, entries: 8, completions: 16, generation: 3 }
}

fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        features: 0,
        geometry: geometry(),
        chain: 64,
        descriptors: 0x0102_0304,
        programs: 0,
        program_steps: 1 << 20,
        epoch: u64::MAX,
        verbs: u128::MAX >> 1,
        only_programs: true,
    }
}

fn to_server() -> Vec<(Vec<u8>, ToServer)> {
    let add = AddRegion { token: 7, length: i64::MAX as u64 };
    let remove = RemoveRegion { region: CALL_REGION - 1, token: u64::MAX };
    let mut messages = vec![
        (hello().encode().to_vec(), ToServer::Hello(hello())),
        (add.encode().to_vec(), ToServer::AddRegion(add)),
        (remove.encode().to_vec(), ToServer::RemoveRegion(remove)),
        (Bye.encode().to_vec(), ToServer::Bye(Bye)),
    ];
    for target in [
        Target::Data(u64::MAX),
        Target::DataRange { first: 1, last: 2 },
        Target::Descriptor(Descriptor::new(3, 4).unwrap()),
        Target::All,
    ] {
        let cancel = Cancel { token: 6, target };
        messages.push((cancel.encode().to_vec(), ToServer::Cancel(cancel)));
    }
    let store = StoreProgram { token: 7, length: u64::MAX };
    let forget = ForgetProgram { token: 8, number: u32::MAX };
    messages.push((store.encode().to_vec(), ToServer::StoreProgram(store)));
    messages.push((forget.encode().to_vec(), ToServer::ForgetProgram(forget)));
    for name in ["x", "a name of several words", &"n".repeat(MAX_PROGRAM_NAME), "schön"] {
        let find = FindProgram { token: 9, name: Text::cut(name) };
        messages.push((find.encode().to_vec(), ToServer::FindProgram(find)));
    }
    messages
}

fn found() -> ProgramFound {
    let mut found = ProgramFound {
        token: 14,
        number: 5,
        result: 2,
        filled: 2,
        parameters: 6,
        kinds: [0; 24],
        capacities: [0; 16],
    };
    found.kinds[..6].copy_from_slice(&[1, 2, 3, 4, 5, 5]);
    found.capacities[..2].copy_from_slice(&[4096, u64::MAX]);
    found
}

fn to_client() -> Vec<(Vec<u8>, ToClient)> {
    let added = RegionAdded { token: 7, region: 1 };
    let refused = RegionRefused { token: 8, errno: 4095 };
    let removed = RegionRemoved { token: 9, errno: 0 };
    let mut messages = vec![
        (welcome().encode().to_vec(), ToClient::Welcome(welcome())),
        (added.encode().to_vec(), ToClient::RegionAdded(added)),
        (refused.encode().to_vec(), ToClient::RegionRefused(refused)),
        (removed.encode().to_vec(), ToClient::RegionRemoved(removed)),
    ];
    let cancelled = Cancelled { token: 10, reached: u32::MAX };
    messages.push((cancelled.encode().to_vec(), ToClient::Cancelled(cancelled)));
    let ready = Welcome { features: READINESS, ..welcome() };
    messages.push((ready.encode().to_vec(), ToClient::Welcome(ready)));
    for reason in Reason::ALL {
        messages.push((Refused { reason }.encode().to_vec(), ToClient::Refused(Refused { reason })));
    }
    let stored = ProgramStored { token: 11, number: 3 };
    let forgotten = ProgramForgotten { token: 12, errno: 2 };
    messages.push((stored.encode().to_vec(), ToClient::ProgramStored(stored)));
    messages.push((forgotten.encode().to_vec(), ToClient::ProgramForgotten(forgotten)));
    for why in ["", "argument 1 is loaded from r3, which is undefined", &"w".repeat(MAX_WHY)] {
        let refused = ProgramRefused { token: 13, errno: 22, step: 256, why: Text::cut(why) };
        messages.push((refused.encode().to_vec(), ToClient::ProgramRefused(refused)));
    }
    let most = ProgramFound { parameters: 23, filled: 16, ..found() };
    let mut most = ProgramFound { kinds: [5; 24], capacities: [1; 16], ..most };
    most.kinds[16..23].fill(1);
    most.kinds[23] = 0;
    let nothing =
        ProgramFound { result: 0, filled: 0, parameters: 0, kinds: [0; 24], capacities: [0; 16], ..found() };
    for found in [found(), most, nothing] {
        messages.push((found.encode().to_vec(), ToClient::ProgramFound(found)));
    }
    messages
}

fn encode_to_server(message: &ToServer) -> Vec<u8> {
    message.encode().to_vec()
}

fn encode_to_client(message: &ToClient) -> Vec<u8> {
    message.encode().to_vec()
}

/// The message with other bytes at an offset.
fn with(bytes: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + other.len()].copy_from_slice(other);
    bytes
}

#[test]
fn what_is_said_is_understood() {
    for (bytes, message) in to_server() {
        assert_eq!(ToServer::decode(&bytes), Ok(message));
        assert!(bytes.len() <= MAX_MESSAGE && message.files() <= MAX_FILES_TO_SERVER);
    }
    for (bytes, message) in to_client() {
        assert_eq!(ToClient::decode(&bytes), Ok(message));
        assert!(bytes.len() <= MAX_MESSAGE && message.files() <= MAX_FILES_TO_CLIENT);
    }
}

#[test]
fn a_descriptor_of_readiness_comes_if_it_is_granted() {
    assert_eq!(ToClient::Welcome(welcome()).files(), 3);
    assert_eq!(ToClient::Welcome(Welcome { features: READINESS, ..welcome() }).files(), 4);
}

#[test]
fn the_bytes_are_those_of_the_table() {
    let bytes = hello().encode();
    assert_eq!(bytes[..16], *b"ouzS\x01\0\0\0\x01\0\0\0\0\0\0\0");
    assert_eq!(bytes[16..32], *b"\x05\0\0\0\0\0\0\x80\x08\0\0\0\x10\0\0\0");
    assert_eq!(bytes[32..], *b"\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let bytes = welcome().encode();
    assert_eq!(bytes[4..8], 257_u32.to_le_bytes());
    assert_eq!(bytes[36..40], [4, 3, 2, 1]);
    assert_eq!(bytes[48..56], [0xff; 8]);
    assert_eq!(bytes[56..72], (u128::MAX >> 1).to_le_bytes());
    assert_eq!(bytes[72..80], [1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn no_other_length_is_taken() {
    for (bytes, _) in to_server() {
        for length in 0..bytes.len() {
            assert!(matches!(ToServer::decode(&bytes[..length]), Err(WireError::Length(_))), "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(ToServer::decode(&longer), Err(WireError::Length(bytes.len() + 1)));
    }
    for (bytes, _) in to_client() {
        for length in 0..bytes.len() {
            assert!(matches!(ToClient::decode(&bytes[..length]), Err(WireError::Length(_))), "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(ToClient::decode(&longer), Err(WireError::Length(bytes.len() + 1)));
    }
}

/// Every value of every byte: what is taken says all that was there.
#[test]
fn nothing_is_ignored() {
    for (bytes, _) in to_server() {
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let bytes = with(&bytes, at, &[value]);
                if let Ok(message) = ToServer::decode(&bytes) {
                    assert_eq!(encode_to_server(&message), bytes, "byte {at}");
                }
            }
        }
    }
    for (bytes, _) in to_client() {
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let bytes = with(&bytes, at, &[value]);
                if let Ok(message) = ToClient::decode(&bytes) {
                    assert_eq!(encode_to_client(&message), bytes, "byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_head_that_is_not_ours() {
    for (bytes, _) in to_server() {
        assert_eq!(
            ToServer::decode(&with(&bytes, 0, b"x")),
            Err(WireError::Magic(u32::from_le_bytes(*b"xuzS")))
        );
        assert_eq!(ToServer::decode(&with(&bytes, 4, &[6])), Err(WireError::Kind(6)));
        assert_eq!(ToServer::decode(&with(&bytes, 4, &[0])), Err(WireError::Kind(0)));
        assert_eq!(ToServer::decode(&with(&bytes, 8, &[2])), Err(WireError::Version(2)));
        assert_eq!(ToServer::decode(&with(&bytes, 12, &[1])), Err(WireError::Reserved));
        // Of another version not even the length is known.
        let other = with(&bytes, 8, &[2])[..24].to_vec();
        assert_eq!(ToServer::decode(&other), Err(WireError::Version(2)));
        // Each direction has its own kinds.
        assert!(matches!(ToClient::decode(&bytes), Err(WireError::Kind(_))));
    }
    for (bytes, _) in to_client() {
        assert!(matches!(ToServer::decode(&bytes), Err(WireError::Kind(_))));
    }
    let older = Hello { version: 0, ..hello() };
    assert_eq!(ToServer::decode(&older.encode()), Err(WireError::Version(0)));
}

#[test]
fn values_that_cannot_be() {
    let server = |bytes: &[u8], at, other: &[u8]| ToServer::decode(&with(bytes, at, other)).unwrap_err();
    let bytes = hello().encode();
    assert_eq!(server(&bytes, 24, &[0]), WireError::Geometry(GeometryError::Zero));
    assert_eq!(server(&bytes, 24, &[7]), WireError::Geometry(GeometryError::NotPowerOfTwo));
    assert_eq!(server(&bytes, 24, &[0, 0, 0, 0x80]), WireError::Geometry(GeometryError::TooLarge));
    assert_eq!(server(&bytes, 28, &[1]), WireError::Geometry(GeometryError::TooFewCompletions));
    assert!(matches!(server(&bytes, 32, &[0]), WireError::Value { value: 0, .. }));
    assert_eq!(server(&bytes, 36, &[1]), WireError::Reserved);
    let bytes = AddRegion { token: 1, length: 4096 }.encode();
    assert!(matches!(server(&bytes, 24, &[0; 8]), WireError::Value { value: 0, .. }));
    assert!(matches!(server(&bytes, 31, &[0x80]), WireError::Value { .. }));
    let bytes = RemoveRegion { region: 1, token: 1 }.encode();
    assert!(matches!(server(&bytes, 24, &[0]), WireError::Value { value: 0, .. }));
    assert!(matches!(server(&bytes, 24, &[0, 0xff]), WireError::Value { value: 0xff00, .. }));
    assert_eq!(server(&bytes, 26, &[1]), WireError::Reserved);

    let client = |bytes: &[u8], at, other: &[u8]| ToClient::decode(&with(bytes, at, other)).unwrap_err();
    let bytes = welcome().encode();
    assert_eq!(client(&bytes, 16, &[2]), WireError::Features(2));
    assert_eq!(client(&bytes, 24, &[9]), WireError::Geometry(GeometryError::NotPowerOfTwo));
    assert!(matches!(client(&bytes, 32, &[0]), WireError::Value { value: 0, .. }));
    assert_eq!(client(&bytes, 72, &[3]), WireError::Flags(3));
    assert_eq!(client(&bytes, 79, &[1]), WireError::Reserved);
    let bytes = Refused { reason: Reason::Version }.encode();
    assert!(matches!(client(&bytes, 16, &[0]), WireError::Value { value: 0, .. }));
    assert!(matches!(client(&bytes, 16, &[8]), WireError::Value { value: 8, .. }));
    let bytes = RegionAdded { token: 1, region: 1 }.encode();
    assert!(matches!(client(&bytes, 24, &[0]), WireError::Value { value: 0, .. }));
    let bytes = RegionRefused { token: 1, errno: 22 }.encode();
    assert!(matches!(client(&bytes, 24, &[0]), WireError::Value { value: 0, .. }));
    assert!(matches!(client(&bytes, 24, &[0, 0x10]), WireError::Value { value: 4096, .. }));
    let bytes = RegionRemoved { token: 1, errno: 22 }.encode();
    assert!(matches!(client(&bytes, 24, &[0, 0x10]), WireError::Value { value: 4096, .. }));
}

#[test]
fn values_of_programs_that_cannot_be() {
    let server = |bytes: &[u8], at, other: &[u8]| ToServer::decode(&with(bytes, at, other)).unwrap_err();
    let bytes = StoreProgram { token: 1, length: 1 }.encode();
    assert!(matches!(server(&bytes, 24, &[0]), WireError::Value { value: 0, .. }));
    let bytes = FindProgram { token: 1, name: Text::cut("name") }.encode();
    assert_eq!(server(&bytes, 24, &[0; 4]), WireError::Text);
    assert_eq!(server(&bytes, 24, &[0]), WireError::Reserved);
    assert_eq!(server(&bytes, 25, b"\n"), WireError::Text);
    assert_eq!(server(&bytes, 25, &[0xff]), WireError::Text);

    let client = |bytes: &[u8], at, other: &[u8]| ToClient::decode(&with(bytes, at, other)).unwrap_err();
    let bytes = ProgramRefused { token: 1, errno: 22, step: 0, why: Text::cut("because") }.encode();
    assert!(matches!(client(&bytes, 24, &[0]), WireError::Value { value: 0, .. }));
    assert_eq!(client(&bytes, 32, &[0x1b]), WireError::Text);
    let bytes = found().encode();
    assert!(matches!(client(&bytes, 28, &[3]), WireError::Value { value: 3, .. }));
    assert!(matches!(client(&bytes, 29, &[3]), WireError::Value { value: 3, .. }));
    assert!(matches!(client(&bytes, 30, &[24]), WireError::Value { value: 24, .. }));
    assert_eq!(client(&bytes, 31, &[1]), WireError::Reserved);
    assert!(matches!(client(&bytes, 32, &[0]), WireError::Value { value: 0, .. }));
    assert!(matches!(client(&bytes, 32, &[6]), WireError::Value { value: 6, .. }));
    // One register more than there are, and one piece.
    let eight = [&[8, 0][..], &[1; 8]].concat();
    assert!(matches!(client(&with(&bytes, 29, &[0]), 30, &eight), WireError::Value { value: 8, .. }));
    let seventeen = [&[17, 0][..], &[5; 17]].concat();
    assert!(matches!(client(&bytes, 30, &seventeen), WireError::Value { value: 17, .. }));
}

#[test]
fn texts_are_cut_where_a_character_ends() {
    assert_eq!(Text::<4>::cut("abcde").as_str(), "abcd");
    assert_eq!(Text::<4>::cut("abcö").as_str(), "abc");
    assert_eq!(Text::<4>::cut("a\nb").as_str(), "a b");
}

#[test]
fn errors_say_what_was_found() {
    for (error, part) in [
        (WireError::Length(3), "3 bytes"),
        (WireError::Magic(0x47), "0x47"),
        (WireError::Version(9), "version 9"),
        (WireError::Kind(77), "kind 77"),
        (WireError::Geometry(GeometryError::Zero), "0 slots"),
        (WireError::Features(0x40), "0x40"),
        (WireError::Flags(0x40), "0x40"),
        (WireError::Value { field: "the number of a region", value: 0 }, "the number of a region"),
        (WireError::Text, "text"),
        (WireError::Reserved, "reserved"),
    ] {
        let text = error.to_string();
        assert!(text.starts_with("message of the control socket: ") && text.contains(part), "{text}");
    }
}
