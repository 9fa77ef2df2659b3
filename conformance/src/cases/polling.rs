//! POLL, single and multishot. Section 12 and the page of POLL.

use std::time::Instant;

use ouzel::abi::modifiers::{MessageFlags, OpenFlags, PollEvents, ShutdownHow};
use ouzel::abi::{Completion, Errno};

use crate::World;
use crate::cases::sockets::pair;
use crate::entry::*;
use crate::world::LIMIT;

crate::cases![
    poll_of_a_regular_file_is_ready,
    poll_waits_until_data_comes,
    poll_of_a_pipe_whose_writer_is_gone,
    poll_of_a_pipe_whose_reader_is_gone,
    poll_for_room,
    poll_of_a_listener,
    poll_of_a_stream_whose_peer_stopped,
    poll_errors,
    poll_takes_its_events_from_a_register,
    poll_times_out_and_is_cancelled,
    poll_multishot_posts_each_time,
    poll_multishot_ends_by_cancel,
    poll_multishot_timeout_ends_the_whole_entry,
    poll_multishot_without_credits_ends_with_enobufs,
];

const IN: PollEvents = PollEvents::IN;
const OUT: PollEvents = PollEvents::OUT;

fn events(result: u64) -> PollEvents {
    assert!(result <= u64::from(u32::MAX));
    PollEvents::from_bits_truncate(result)
}

fn poll_of_a_regular_file_is_ready(world: &mut World) {
    let file = world.file("a", b"");
    assert_eq!(events(world.ok(poll(file, IN))), IN);
    assert_eq!(events(world.ok(poll(file, OUT))), OUT);
    assert_eq!(events(world.ok(poll(file, IN | OUT).timeout(0))), IN | OUT);
}

fn poll_waits_until_data_comes(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.start(&[poll(reader, IN).data(1)]);
    assert!(world.linger().is_empty());
    let data = world.put(b"x");
    world.start(&[write(writer, data, HERE).data(2)]);
    let all = world.settle();
    let one = all.iter().find(|one| one.data == 1).unwrap();
    assert_eq!((one.errno(), events(one.result)), (Errno::OK, IN));
    assert_eq!(world.take(reader, 4), b"x", "POLL takes nothing");
}

fn poll_of_a_pipe_whose_writer_is_gone(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.give(writer, b"x");
    world.close(writer);
    let found = events(world.ok(poll(reader, IN)));
    assert_eq!(found, IN | PollEvents::HANGUP);
    world.take(reader, 4);
    assert!(events(world.ok(poll(reader, IN))).contains(PollEvents::HANGUP), "whether asked for or not");
    assert!(events(world.ok(poll(reader, PollEvents::empty()))).contains(PollEvents::HANGUP));
}

fn poll_of_a_pipe_whose_reader_is_gone(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.close(reader);
    assert!(events(world.ok(poll(writer, OUT))).contains(PollEvents::ERROR));
}

fn poll_for_room(world: &mut World) {
    let (_reader, writer) = world.pipe();
    assert_eq!(events(world.ok(poll(writer, OUT))), OUT);
    let data = world.filled(65_536, b'x');
    while world.one(write(writer, data, HERE).timeout(0)).error == 0 {}
    world.fails(poll(writer, OUT).timeout(0), Errno::ETIMEDOUT);
}

fn poll_of_a_listener(world: &mut World) {
    let listener = world.ok(socket(1, 1, 0));
    let address = world.unix("l");
    world.ok(bind(listener, address));
    world.ok(listen(listener, 4));
    world.fails(poll(listener, IN).timeout(0), Errno::ETIMEDOUT);
    let client = world.ok(socket(1, 1, 0));
    world.ok(connect(client, address));
    assert!(events(world.ok(poll(listener, IN))).contains(IN));
}

fn poll_of_a_stream_whose_peer_stopped(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.fails(poll(near, IN | PollEvents::READ_HANGUP).timeout(0), Errno::ETIMEDOUT);
    world.ok(shutdown(far, ShutdownHow::Send));
    let found = events(world.ok(poll(near, IN | PollEvents::READ_HANGUP)));
    assert!(found.contains(IN | PollEvents::READ_HANGUP), "{found:?}");
    world.close(far);
    // A kernel worker that has shut it down may hold it a moment longer, and meanwhile that is all there is to tell.
    let start = Instant::now();
    while !events(world.ok(poll(near, PollEvents::empty()))).contains(PollEvents::HANGUP) {
        assert!(start.elapsed() < LIMIT, "the other end is closed, and nobody says so");
        world.ok(sleep(MILLISECOND));
    }
}

fn poll_errors(world: &mut World) {
    let file = world.file("a", b"");
    for bits in [0x20, 0x40, 0x4000, 1 << 31, 1 << 32, u64::MAX] {
        world.fails(poll(file, IN).arg(1, bits), Errno::EINVAL);
    }
    world.fails(poll(0, IN), Errno::EBADF);
    let path = world.open("a", OpenFlags::PATH);
    world.fails(poll(path, IN), Errno::EBADF);
}

fn poll_takes_its_events_from_a_register(world: &mut World) {
    let file = world.file("a", b"");
    world.expect(&[get(4).local().save(1).link(), poll(file, IN).load(1, 1)], &[Ok(4), Ok(4)]);
}

fn poll_times_out_and_is_cancelled(world: &mut World) {
    let (reader, _writer) = world.pipe();
    world.fails(poll(reader, IN).timeout(MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[poll(reader, IN).data(7)]);
    world.start(&[cancel_data(7).data(8)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 7 && one.errno() == Errno::ECANCELED));
    assert!(all.iter().any(|one| one.data == 8 && one.outcome() == Ok(1)));
}

fn with_more(all: &[Completion]) -> usize {
    all.iter().filter(|one| one.has_more()).count()
}

fn poll_multishot_posts_each_time(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.start(&[poll(near, IN).multishot().data(1)]);
    assert!(world.linger().is_empty());
    let (data, memory) = (world.put(b"x"), world.room(16));
    for _ in 0..5 {
        world.start(&[send(far, data, MessageFlags::empty()).data(2)]);
        let all = world.wait(2);
        let one = all.iter().find(|one| one.data == 1).expect("a completion for each time");
        assert!(one.has_more() && one.error == 0, "{one:?}");
        assert!(events(one.result).contains(IN));
        world.start(&[recv(near, memory, MessageFlags::empty()).data(3)]);
        let all = world.wait(1);
        assert_eq!((all[0].data, all[0].outcome()), (3, Ok(1)));
    }
    world.start(&[cancel_all().data(4)]);
    let all = world.settle();
    assert_eq!(with_more(&all), 0);
}

fn poll_multishot_ends_by_cancel(world: &mut World) {
    let (reader, _writer) = world.pipe();
    world.start(&[poll(reader, IN).multishot().data(1)]);
    world.start(&[cancel_descriptor(reader).data(2)]);
    let all = world.settle();
    let last = all.iter().find(|one| one.data == 1).unwrap();
    assert_eq!((last.errno(), last.has_more()), (Errno::ECANCELED, false));
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(1)));
}

fn poll_multishot_timeout_ends_the_whole_entry(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.give(writer, b"x");
    crate::cases::timing::patiently(|length| {
        let all = world.run(&[poll(reader, IN).multishot().timeout(length)]);
        let last = all.last().unwrap();
        assert_eq!((last.errno(), last.has_more()), (Errno::ETIMEDOUT, false));
        with_more(&all) >= 1 && all[0].error == 0
    });
}

fn poll_multishot_without_credits_ends_with_enobufs(world: &mut World) {
    world.renew(|builder| builder.entries(4).completions(4));
    let (near, far) = pair(world, "s");
    world.start(&[poll(near, IN).multishot().data(1)]);
    let (data, memory) = (world.put(b"x"), world.room(16));
    let mut all = Vec::new();
    let started = Instant::now();
    // Until it has ended: then nothing is alive any more, though nothing has been read.
    while world.gauges().packets > 0 {
        assert!(started.elapsed() < LIMIT, "it never ends: {:?}", world.gauges());
        // Silent, so that only the multishot takes slots; its completions stay unread.
        world.try_push(send(far, data, MessageFlags::empty()).silent().data(2));
        world.try_push(recv(near, memory, MessageFlags::empty()).timeout(0).silent().data(3));
        world.enter(u32::MAX, 0, None);
        world.enter(u32::MAX, u32::MAX, Some(std::time::Duration::from_millis(1)));
    }
    all.extend(world.settle());
    let of_poll: Vec<&Completion> = all.iter().filter(|one| one.data == 1).collect();
    let (last, rest) = of_poll.split_last().expect("the multishot ends");
    assert!(rest.iter().all(|one| one.has_more() && one.error == 0));
    assert!(!rest.is_empty());
    assert_eq!((last.errno(), last.has_more()), (Errno::ENOBUFS, false));
}
