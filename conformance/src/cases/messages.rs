//! SENDMSG and RECVMSG: addresses, pieces, and descriptors that travel.

use std::time::Instant;

use ouzel::abi::modifiers::{MAX_MESSAGE_DESCRIPTORS, MessageFlags, MessageNotes};
use ouzel::abi::{Completion, Descriptor, Errno};

use crate::World;
use crate::cases::sockets::{connected, free_port, pair};
use crate::entry::*;
use crate::memory::Memory;
use crate::world::LIMIT;

crate::cases![
    message_in_pieces,
    message_tells_its_sender,
    message_to_an_address_over_inet,
    message_is_cut_and_says_so,
    message_keeps_its_bounds,
    message_of_nothing,
    message_peeked_at_stays,
    message_carries_descriptors,
    message_carries_as_many_as_may_be,
    message_without_room_for_descriptors,
    message_into_a_full_table,
    message_descriptors_are_dropped_by_recv,
    message_descriptors_end_a_stream_receive,
    message_descriptors_outlive_their_sender,
    message_waits_and_is_given_up,
    message_waits_for_room,
    message_errors_of_records,
    message_errors_of_sockets,
    message_in_another_region,
    message_at_the_end_of_a_stream,
];

const NONE: MessageFlags = MessageFlags::empty();
const LOST: u32 = MessageNotes::DESCRIPTORS_LOST.bits();
const CUT: u32 = MessageNotes::TRUNCATED.bits();

/// A message: its record, and what the record names.
struct Message {
    record: Memory,
    address: Memory,
    pieces: Vec<Memory>,
    array: Memory,
}

impl World {
    fn message(&self, address: Memory, pieces: &[Memory], array: Memory) -> Message {
        let list = if pieces.is_empty() { Memory::NONE } else { self.pieces(pieces) };
        let words = [
            address.payload,
            address.length,
            list.payload,
            pieces.len() as u64,
            array.payload,
            array.length / 8,
            u64::MAX,
            u64::MAX,
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Message { record: self.put(&bytes), address, pieces: pieces.to_vec(), array }
    }

    /// Room for a message of `length` bytes with `files` descriptors.
    fn inbox(&self, length: usize, files: usize) -> Message {
        let array = if files == 0 { Memory::NONE } else { self.filled(8 * files, 0xee) };
        self.message(self.filled(128, 0xee), &[self.filled(length, 0xee)], array)
    }

    /// A message of these bytes, with these descriptors.
    fn outbox(&self, bytes: &[u8], files: &[u64]) -> Message {
        let array: Vec<u8> = files.iter().flat_map(|file| file.to_ne_bytes()).collect();
        let array = if files.is_empty() { Memory::NONE } else { self.put(&array) };
        self.message(Memory::NONE, &[self.put(bytes)], array)
    }

    /// The engine's part of a record: bytes of the address, descriptors, notes.
    fn told(&self, message: &Message) -> (u32, u32, u32) {
        let bytes = self.bytes(message.record);
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(word(60), 0, "reserved");
        (word(48), word(52), word(56))
    }

    fn files_of(&self, message: &Message) -> Vec<u64> {
        let (_, count, _) = self.told(message);
        let bytes = if message.array.length == 0 { Vec::new() } else { self.bytes(message.array) };
        let words: Vec<u64> =
            bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
        assert!(words[count as usize..].iter().all(|word| *word == u64::from_ne_bytes([0xee; 8])));
        words[..count as usize].to_vec()
    }

    /// What one RECVMSG gets: the bytes, and its completion.
    #[track_caller]
    fn receive(&mut self, socket: u64, inbox: &Message) -> (Vec<u8>, Completion) {
        let one = self.one(recvmsg(socket, inbox.record, NONE));
        assert_eq!(one.errno(), Errno::OK);
        assert_eq!(one.extra, self.told(inbox).2, "the extra says what the record says");
        (self.bytes(inbox.pieces[0].part(0, one.result.min(inbox.pieces[0].length))), one)
    }

    #[track_caller]
    fn post(&mut self, socket: u64, bytes: &[u8], files: &[u64]) {
        let outbox = self.outbox(bytes, files);
        assert_eq!(self.ok(sendmsg(socket, outbox.record, NONE)), bytes.len() as u64);
    }
}

/// Two connected sockets of each type that carries descriptors.
fn unix_pairs(world: &mut World) -> Vec<(u64, u64)> {
    let address = world.unix("seq");
    let mut pairs = vec![pair(world, "stream"), connected(world, 1, 5, address)];
    let (one, other) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 2, 0)));
    let (first, second) = (world.unix("one"), world.unix("other"));
    world.ok(bind(one, first));
    world.ok(bind(other, second));
    world.ok(connect(one, second));
    world.ok(connect(other, first));
    pairs.push((one, other));
    pairs
}

fn message_in_pieces(world: &mut World) {
    for (near, far) in unix_pairs(world) {
        let parts = [world.put(b"one, "), world.put(b""), world.put(b"two, "), world.put(b"three")];
        let out = world.message(Memory::NONE, &parts, Memory::NONE);
        let before = world.bytes(out.record);
        assert_eq!(world.ok(sendmsg(near, out.record, NONE)), 15);
        assert_eq!(world.bytes(out.record), before, "SENDMSG writes nothing");
        let rooms = [world.filled(4, 0xee), world.filled(0, 0), world.filled(64, 0xee)];
        let inbox = world.message(Memory::NONE, &rooms, Memory::NONE);
        let one = world.one(recvmsg(far, inbox.record, NONE));
        assert_eq!((one.outcome(), one.extra), (Ok(15), 0));
        assert_eq!(world.bytes(rooms[0]), b"one,");
        assert_eq!(world.bytes(rooms[2].part(0, 11)), b" two, three");
        let (_, files, notes) = world.told(&inbox);
        assert_eq!((files, notes), (0, 0));
    }
}

fn message_tells_its_sender(world: &mut World) {
    let (one, other) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 2, 0)));
    let (first, second) = (world.unix("one"), world.unix("other"));
    world.ok(bind(other, second));
    let bytes = world.put(b"hello");
    let out = world.message(second, &[bytes], Memory::NONE);
    assert_eq!(world.ok(sendmsg(one, out.record, NONE)), 5);
    let inbox = world.inbox(64, 0);
    assert_eq!(world.receive(other, &inbox).0, b"hello");
    assert_eq!(world.told(&inbox).0, 0, "one without a name");
    assert_eq!(world.bytes(inbox.address), [0xee; 128]);
    world.ok(bind(one, first));
    assert_eq!(world.ok(sendmsg(one, out.record, NONE)), 5);
    assert_eq!(world.receive(other, &inbox).0, b"hello");
    assert_eq!(u64::from(world.told(&inbox).0), first.length);
    assert_eq!(world.bytes(inbox.address.part(0, first.length)), world.bytes(first));
    // The answer goes where it came from.
    let answer = world.message(inbox.address.part(0, first.length), &[bytes], Memory::NONE);
    assert_eq!(world.ok(sendmsg(other, answer.record, NONE)), 5);
    // Of an address for which there is no room the beginning is kept, and its length told.
    let short = world.message(world.filled(3, 0xee), &[world.room(64)], Memory::NONE);
    assert_eq!(world.receive(one, &short).0, b"hello");
    assert_eq!(u64::from(world.told(&short).0), second.length);
    assert_eq!(world.bytes(short.address), world.bytes(second)[..3]);
}

fn message_to_an_address_over_inet(world: &mut World) {
    let (one, other) = (world.ok(socket(2, 2, 0)), world.ok(socket(2, 2, 0)));
    let (first, second) = (world.inet(free_port(world, true)), world.inet(free_port(world, true)));
    world.ok(bind(one, first));
    world.ok(bind(other, second));
    let out = world.message(second, &[world.put(b"over "), world.put(b"inet")], Memory::NONE);
    assert_eq!(world.ok(sendmsg(one, out.record, NONE).timeout(0)), 9);
    let inbox = world.inbox(64, 2);
    assert_eq!(world.receive(other, &inbox).0, b"over inet");
    assert_eq!(world.told(&inbox), (16, 0, 0));
    assert_eq!(world.bytes(inbox.address.part(0, 16)), world.bytes(first));
    // One that is bound to nothing gets a port, and is told by it.
    let third = world.ok(socket(2, 2, 0));
    assert_eq!(world.ok(sendmsg(third, out.record, NONE)), 9);
    world.receive(other, &inbox);
    let name = world.room(16);
    world.ok(sockname(third, name));
    assert_eq!(world.bytes(inbox.address.part(2, 2)), world.bytes(name.part(2, 2)));
    assert_eq!(world.bytes(inbox.address.part(4, 4)), [127, 0, 0, 1]);
}

fn message_is_cut_and_says_so(world: &mut World) {
    let mut pairs = unix_pairs(world);
    let stream = pairs.remove(0);
    let (first, second) = (world.inet(free_port(world, true)), world.inet(free_port(world, true)));
    let (one, other) = (world.ok(socket(2, 2, 0)), world.ok(socket(2, 2, 0)));
    world.ok(bind(one, first));
    world.ok(bind(other, second));
    world.ok(connect(one, second));
    pairs.push((one, other));
    for (near, far) in pairs {
        world.post(near, b"0123456789", &[]);
        world.post(near, b"next", &[]);
        let inbox = world.inbox(4, 0);
        let (bytes, one) = world.receive(far, &inbox);
        assert_eq!((bytes.as_slice(), one.result, one.extra), (&b"0123"[..], 4, CUT));
        let (bytes, one) = world.receive(far, &inbox);
        assert_eq!((bytes.as_slice(), one.extra), (&b"next"[..], 0), "what did not fit is lost");
    }
    world.post(stream.0, b"0123456789", &[]);
    let inbox = world.inbox(4, 0);
    let (bytes, one) = world.receive(stream.1, &inbox);
    assert_eq!((bytes.as_slice(), one.extra), (&b"0123"[..], 0));
    assert_eq!(world.receive(stream.1, &inbox).0, b"4567", "a stream loses nothing");
}

fn message_keeps_its_bounds(world: &mut World) {
    for (near, far) in unix_pairs(world).into_iter().skip(1) {
        world.post(near, b"a", &[]);
        world.post(near, b"bc", &[]);
        let inbox = world.inbox(64, 0);
        assert_eq!(world.receive(far, &inbox).0, b"a");
        assert_eq!(world.receive(far, &inbox).0, b"bc");
    }
}

fn message_of_nothing(world: &mut World) {
    let pairs = unix_pairs(world);
    let (near, far) = pairs[2];
    let nothing = world.message(Memory::NONE, &[], Memory::NONE);
    assert_eq!(world.ok(sendmsg(near, nothing.record, NONE)), 0);
    let inbox = world.inbox(64, 0);
    assert_eq!(world.receive(far, &inbox).0, b"");
    world.post(near, b"lost", &[]);
    let one = world.one(recvmsg(far, nothing.record, NONE));
    assert_eq!((one.outcome(), one.extra), (Ok(0), CUT));
}

fn message_peeked_at_stays(world: &mut World) {
    let (reader, writer) = world.pipe();
    for (near, far) in unix_pairs(world) {
        world.post(near, b"twice", &[writer]);
        for flags in [MessageFlags::PEEK, NONE] {
            let inbox = world.inbox(64, 1);
            let one = world.one(recvmsg(far, inbox.record, flags));
            assert_eq!((one.outcome(), one.extra), (Ok(5), 0));
            let files = world.files_of(&inbox);
            world.give(files[0], b"x");
            assert_eq!(world.take(reader, 9), b"x");
            world.close(files[0]);
        }
    }
}

fn message_carries_descriptors(world: &mut World) {
    for (near, far) in unix_pairs(world) {
        let (reader, writer) = world.pipe();
        let file = world.file("a", b"in a file");
        world.post(near, b"two", &[writer, file]);
        world.close(writer);
        world.close(file);
        let inbox = world.inbox(64, 5);
        let (bytes, one) = world.receive(far, &inbox);
        assert_eq!((bytes.as_slice(), one.extra), (&b"two"[..], 0));
        let files = world.files_of(&inbox);
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|file| Descriptor::from_number(*file).is_some()));
        world.give(files[0], b"through a pipe");
        assert_eq!(world.take(reader, 64), b"through a pipe");
        assert_eq!(world.contents(files[1], 0, 64), b"in a file");
        world.close(files[0]);
        assert_eq!(world.take(reader, 64), b"", "that was the last end to write to");
        world.close(files[1]);
        world.close(reader);
    }
}

fn message_carries_as_many_as_may_be(world: &mut World) {
    const MOST: usize = MAX_MESSAGE_DESCRIPTORS as usize;
    let (near, far) = pair(world, "s");
    let (_reader, writer) = world.pipe();
    world.post(near, b"x", &[writer; MOST]);
    let inbox = world.inbox(4, MOST);
    world.receive(far, &inbox);
    let mut files = world.files_of(&inbox);
    assert_eq!(files.len(), MOST);
    files.iter().for_each(|file| world.close(*file));
    files.dedup();
    assert_eq!(files.len(), MOST, "each is a descriptor of its own");
    let (out, inbox) = (world.outbox(b"x", &[writer; MOST + 1]), world.inbox(4, MOST + 1));
    world.fails(sendmsg(near, out.record, NONE), Errno::EINVAL);
    world.fails(recvmsg(far, inbox.record, NONE), Errno::EINVAL);
}

fn message_without_room_for_descriptors(world: &mut World) {
    for room in [0, 1, 2] {
        for (near, far) in unix_pairs(world) {
            let (first, second, third) = (world.pipe(), world.pipe(), world.pipe());
            world.post(near, b"three", &[first.1, second.1, third.1]);
            [first.1, second.1, third.1].into_iter().for_each(|writer| world.close(writer));
            let inbox = world.inbox(64, room);
            let (bytes, one) = world.receive(far, &inbox);
            assert_eq!((bytes.as_slice(), one.extra), (&b"three"[..], LOST));
            let files = world.files_of(&inbox);
            assert_eq!(files.len(), room);
            // Those without room are closed, so nobody can write to their pipes any more.
            assert_eq!(world.take(third.0, 9), b"");
            files.iter().for_each(|file| world.close(*file));
            assert_eq!(world.take(first.0, 9), b"");
            assert_eq!(world.take(second.0, 9), b"");
            for one in [first.0, second.0, third.0, near, far] {
                world.close(one);
            }
        }
        for name in ["stream", "seq", "one", "other"] {
            let path = world.path(name);
            world.ok(remove(path, ouzel::abi::modifiers::RemoveFlags::empty()));
        }
    }
}

fn message_into_a_full_table(world: &mut World) {
    world.renew_table(6);
    let (near, far) = pair(world, "s");
    let (reader, writer) = world.pipe();
    let more = world.file("a", b"");
    // One index is free.
    world.post(near, b"x", &[more, writer, writer]);
    world.close(writer);
    world.file("b", b"");
    let inbox = world.inbox(4, 3);
    let (_, one) = world.receive(far, &inbox);
    assert_eq!(one.extra, LOST);
    assert_eq!(world.files_of(&inbox).len(), 1);
    assert_eq!(world.take(reader, 9), b"", "the others are closed");
    assert_eq!(world.descriptors(), 6);
}

fn message_descriptors_are_dropped_by_recv(world: &mut World) {
    for (near, far) in unix_pairs(world) {
        let (reader, writer) = world.pipe();
        world.post(near, b"bytes", &[writer]);
        world.close(writer);
        let memory = world.room(64);
        assert_eq!(world.ok(recv(far, memory, NONE)), 5);
        assert_eq!(world.take(reader, 9), b"");
    }
}

fn message_descriptors_end_a_stream_receive(world: &mut World) {
    let (near, far) = pair(world, "s");
    let (_reader, writer) = world.pipe();
    world.post(near, b"ab", &[]);
    world.post(near, b"cd", &[writer]);
    world.post(near, b"ef", &[writer]);
    let inbox = world.inbox(64, 4);
    let (bytes, _) = world.receive(far, &inbox);
    assert_eq!((bytes.as_slice(), world.files_of(&inbox).len()), (&b"abcd"[..], 1));
    let inbox = world.inbox(64, 4);
    let (bytes, _) = world.receive(far, &inbox);
    assert_eq!((bytes.as_slice(), world.files_of(&inbox).len()), (&b"ef"[..], 1));
}

fn message_descriptors_outlive_their_sender(world: &mut World) {
    let (near, far) = pair(world, "s");
    let (reader, writer) = world.pipe();
    world.post(near, b"x", &[writer]);
    world.close(writer);
    world.close(near);
    world.fails(read(reader, world.room(4), HERE).timeout(0), Errno::ETIMEDOUT);
    // Unread, they go with the socket.
    world.close(far);
    assert_eq!(world.take(reader, 4), b"");
}

fn message_waits_and_is_given_up(world: &mut World) {
    for (near, far) in unix_pairs(world) {
        let inbox = world.inbox(64, 1);
        let entry = recvmsg(far, inbox.record, NONE);
        world.fails(entry.timeout(0), Errno::ETIMEDOUT);
        world.fails(entry.timeout(20 * MILLISECOND), Errno::ETIMEDOUT);
        world.start(&[entry.data(1)]);
        assert!(world.linger().is_empty());
        world.start(&[cancel_descriptor(far).data(2)]);
        let all = world.settle();
        assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
        let (_reader, writer) = world.pipe();
        world.start(&[entry.data(1)]);
        assert!(world.linger().is_empty());
        let out = world.outbox(b"late", &[writer]);
        world.start(&[sendmsg(near, out.record, NONE).data(2)]);
        let all = world.settle();
        assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(4)), "{all:#?}");
        assert_eq!(world.files_of(&inbox).len(), 1);
    }
}

fn message_waits_for_room(world: &mut World) {
    let (one, other) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 2, 0)));
    let address = world.unix("full");
    world.ok(bind(other, address));
    let out = world.message(address, &[world.put(b"fill")], Memory::NONE);
    let mut sent = 0;
    let full = loop {
        match world.one(sendmsg(one, out.record, NONE).timeout(0)).errno() {
            Errno::OK => sent += 1,
            error => break error,
        }
        assert!(sent < 1000, "it is never full");
    };
    assert_eq!(full, Errno::ETIMEDOUT);
    world.fails(sendmsg(one, out.record, NONE).timeout(20 * MILLISECOND), Errno::ETIMEDOUT);
    let (reader, writer) = world.pipe();
    let array = world.put(&writer.to_ne_bytes());
    let last = world.message(address, &[world.put(b"last")], array);
    world.start(&[sendmsg(one, last.record, NONE).data(1)]);
    assert!(world.linger().is_empty());
    // It has hold of what it takes along.
    world.start(&[close(writer).data(2)]);
    assert_eq!(world.wait(1)[0].outcome(), Ok(0));
    let mut inbox = world.inbox(64, 1);
    let mut got = Vec::new();
    for _ in 0..=sent {
        world.start(&[recvmsg(other, inbox.record, NONE).data(3)]);
        let mut all = world.wait_any();
        while all.iter().all(|one| one.data != 3) {
            all.extend(world.wait_any());
        }
        got = world.bytes(inbox.pieces[0].part(0, 4));
        if got == b"last" {
            break;
        }
        inbox = world.inbox(64, 1);
    }
    assert_eq!(got, b"last");
    world.settle();
    let files = world.files_of(&inbox);
    world.give(files[0], b"kept");
    assert_eq!(world.take(reader, 9), b"kept");
}

fn message_errors_of_records(world: &mut World) {
    let (near, far) = pair(world, "s");
    let (out, inbox) = (world.outbox(b"x", &[]), world.inbox(4, 1));
    for length in [0, 1, 63, 65, u64::MAX] {
        world.fails(sendmsg(near, out.record, NONE).arg(2, length), Errno::EINVAL);
        world.fails(recvmsg(far, inbox.record, NONE).arg(2, length), Errno::EINVAL);
    }
    for flags in [MessageFlags::PEEK, MessageFlags::WAIT_ALL] {
        world.fails(sendmsg(near, out.record, flags), Errno::EINVAL);
    }
    for flags in [MessageFlags::MORE, MessageFlags::WAIT_ALL] {
        world.fails(recvmsg(far, inbox.record, flags), Errno::EINVAL);
    }
    world.fails(sendmsg(near, out.record, NONE).arg(3, 1 << 40), Errno::EINVAL);
    // Word by word: an address that is too long, too many pieces, too many descriptors, all in nowhere.
    let nowhere = 0x1234u64 << 48;
    let with = |world: &World, place: usize, value: u64| {
        let mut bytes = world.bytes(out.record);
        bytes[8 * place..8 * place + 8].copy_from_slice(&value.to_ne_bytes());
        world.put(&bytes)
    };
    let long = world.message(world.room(129), &[], Memory::NONE);
    world.fails(sendmsg(near, long.record, NONE), Errno::EINVAL);
    for (place, value, error) in [
        (3, 1025, Errno::EINVAL),
        (3, u64::MAX, Errno::EINVAL),
        (5, 17, Errno::EINVAL),
        (5, u64::MAX, Errno::EINVAL),
        (0, nowhere, Errno::EFAULT),
        (2, nowhere, Errno::EFAULT),
        (4, nowhere, Errno::EFAULT),
        (1, 4, Errno::EFAULT),
        (5, 1, Errno::EFAULT),
    ] {
        let record = with(world, place, value);
        world.fails(sendmsg(near, record, NONE), error);
        world.fails(recvmsg(far, record, NONE), error);
    }
    // Exactly as many pieces as may be.
    let piece = world.put(b"x");
    let most = world.message(Memory::NONE, &[piece; 1024], Memory::NONE);
    assert_eq!(world.ok(sendmsg(near, most.record, NONE)), 1024);
    for file in [0, 77, u64::MAX] {
        let out = world.outbox(b"x", &[near, file]);
        world.fails(sendmsg(near, out.record, NONE), Errno::EBADF);
    }
    world.fails(recvmsg(far, inbox.record, NONE).multishot(), Errno::EINVAL);
    world.fails(recvmsg(far, inbox.record, NONE).arg(1, nowhere), Errno::EFAULT);
}

fn message_errors_of_sockets(world: &mut World) {
    let file = world.file("a", b"");
    let (reader, _writer) = world.pipe();
    let (out, inbox) = (world.outbox(b"x", &[]), world.inbox(4, 1));
    for one in [file, reader] {
        world.fails(sendmsg(one, out.record, NONE), Errno::ENOTSOCK);
        world.fails(recvmsg(one, inbox.record, NONE), Errno::ENOTSOCK);
    }
    let (datagram, stream) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 1, 0)));
    world.fails(sendmsg(datagram, out.record, NONE), Errno::ENOTCONN);
    world.fails(sendmsg(stream, out.record, NONE), Errno::ENOTCONN);
    let inet = world.ok(socket(2, 2, 0));
    world.fails(sendmsg(inet, out.record, NONE), Errno::EDESTADDRREQ);
    let address = world.unix("s");
    let to = world.message(address, &[world.put(b"x")], Memory::NONE);
    world.fails(sendmsg(datagram, to.record, NONE), Errno::ENOENT);
    world.fails(sendmsg(stream, to.record, NONE), Errno::EOPNOTSUPP);
    let mut foreign = 1u16.to_ne_bytes().to_vec();
    foreign.resize(32, b'x');
    let foreign = world.message(world.put(&foreign), &[world.put(b"x")], Memory::NONE);
    world.fails(sendmsg(inet, foreign.record, NONE), Errno::EAFNOSUPPORT);
    let listener = world.ok(socket(1, 1, 0));
    world.ok(bind(listener, address));
    world.fails(sendmsg(datagram, to.record, NONE), Errno::EPROTOTYPE);
    world.close(listener);
    // A process that another test starts has a copy of every descriptor until it executes its program.
    let start = Instant::now();
    while world.one(sendmsg(datagram, to.record, NONE)).errno() == Errno::EPROTOTYPE {
        assert!(start.elapsed() < LIMIT, "the listener is closed, and still there");
        world.ok(sleep(MILLISECOND));
    }
    world.fails(sendmsg(datagram, to.record, NONE), Errno::ECONNREFUSED);
    let (near, far) = pair(world, "p");
    world.fails(sendmsg(near, to.record, NONE), Errno::EISCONN);
    world.close(far);
    world.fails(sendmsg(near, out.record, NONE), Errno::EPIPE);
}

fn message_in_another_region(world: &mut World) {
    let (near, far) = pair(world, "s");
    let (_reader, writer) = world.pipe();
    // The record at 0, the array at 64, a list of one piece at 80, its bytes at 96 to the end.
    let whole = world.room(104);
    let base = u64::from(world.region(whole)) << 48;
    let words: [u64; 13] = [0, 0, base | 80, 1, base | 64, 1, 0, 0, writer, 0, base | 96, 8, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    world.set(whole, &bytes);
    let at = Memory { payload: base, length: 64 };
    assert_eq!(world.ok(sendmsg(near, at, NONE)), 8);
    assert_eq!(world.ok(recvmsg(far, at, NONE)), 8);
    let bytes = world.bytes(whole);
    let file = u64::from_ne_bytes(bytes[64..72].try_into().unwrap());
    assert_ne!(file, writer);
    world.close(file);
    world.fails(sendmsg(near, Memory { payload: base | 41, length: 64 }, NONE), Errno::EFAULT);
}

fn message_at_the_end_of_a_stream(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.post(near, b"last", &[]);
    world.close(near);
    let inbox = world.inbox(64, 1);
    assert_eq!(world.receive(far, &inbox).0, b"last");
    let (bytes, _) = world.receive(far, &inbox);
    assert_eq!((bytes.as_slice(), world.told(&inbox)), (&b""[..], (0, 0, 0)));
}
