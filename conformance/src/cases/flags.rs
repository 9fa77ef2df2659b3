//! LINK, HARDLINK, FINALLY, SILENT, DRAIN, MULTISHOT and the bits without a name. Sections 6 to 8.

use ouzel::abi::modifiers::{OpenFlags, PollEvents};
use ouzel::abi::{Entry, EntryFlags, Errno};

use crate::World;
use crate::entry::*;

crate::cases![
    link_runs_the_next_after_a_success,
    link_breaks_to_the_end_of_the_chain,
    link_goes_on_after_a_short_transfer,
    hardlink_runs_the_next_in_any_case,
    link_and_hardlink_together,
    finally_runs_after_success_and_break,
    finally_must_be_a_suffix,
    finally_with_an_undefined_register,
    finally_failures_do_not_stop_the_next,
    finally_alone,
    finally_closes_what_was_opened,
    finally_keeps_links_apart_from_the_next_chain,
    local_and_drain_on_the_first_entry_only,
    silent_suppresses_successes_only,
    silent_and_chains,
    drain_waits_for_everything_earlier,
    drain_holds_back_everything_later,
    drain_waits_for_the_finally_part,
    multishot_is_for_few_verbs,
    multishot_with_flags_it_cannot_have,
    unknown_flag_bits,
    malformed_chains_are_refused_whole,
    chains_are_apart_from_each_other,
];

const BAD: Errno = Errno::EINVAL;
const GONE: Errno = Errno::ECANCELED;

fn failing() -> Entry {
    nop().timeout(0)
}

fn link_runs_the_next_after_a_success(world: &mut World) {
    world.expect(&[get(1).link(), get(2).link(), get(3)], &[Ok(1), Ok(2), Ok(3)]);
}

fn link_breaks_to_the_end_of_the_chain(world: &mut World) {
    let timed = Err(Errno::ETIMEDOUT);
    world.expect(&[failing().link(), get(2).link(), get(3)], &[timed, Err(GONE), Err(GONE)]);
    world.expect(&[failing().link(), get(2).hard(), get(3)], &[timed, Err(GONE), Err(GONE)]);
    world.expect(&[get(1).link(), failing().link(), get(3)], &[Ok(1), timed, Err(GONE)]);
}

fn link_goes_on_after_a_short_transfer(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(100);
    world.expect(&[read(file, memory, 0).link(), get(1)], &[Ok(3), Ok(1)]);
    world.expect(&[read(file, memory, 50).link(), get(1)], &[Ok(0), Ok(1)]);
}

fn hardlink_runs_the_next_in_any_case(world: &mut World) {
    let timed = Err(Errno::ETIMEDOUT);
    world.expect(&[failing().hard(), get(2).link(), get(3)], &[timed, Ok(2), Ok(3)]);
    world.expect(&[failing().hard(), failing().hard(), get(3)], &[timed, timed, Ok(3)]);
    world.expect(&[close(77).hard(), get(3)], &[Err(Errno::EBADF), Ok(3)]);
}

fn link_and_hardlink_together(world: &mut World) {
    assert_eq!(world.errors(&[get(1).link().hard(), get(2)]), [BAD, BAD]);
    assert_eq!(world.errors(&[get(1).link(), get(2).link().hard(), get(3)]), [BAD; 3]);
    assert_eq!(world.ok(get(1)), 1);
}

fn finally_runs_after_success_and_break(world: &mut World) {
    let timed = Err(Errno::ETIMEDOUT);
    world.expect(&[get(1).link(), get(2).finally()], &[Ok(1), Ok(2)]);
    world.expect(
        &[failing().link(), get(1).link(), get(2).finally().link(), get(3).finally()],
        &[timed, Err(GONE), Ok(2), Ok(3)],
    );
    world.expect(&[failing().link(), get(2).finally()], &[timed, Ok(2)]);
}

fn finally_must_be_a_suffix(world: &mut World) {
    assert_eq!(world.errors(&[get(1).finally().link(), get(2)]), [BAD; 2]);
    assert_eq!(
        world.errors(&[get(1).link(), get(2).finally().hard(), get(3).link(), get(4).finally()]),
        [BAD; 4]
    );
}

fn finally_with_an_undefined_register(world: &mut World) {
    let path = world.path("none");
    world.expect(
        &[
            open(path, OpenFlags::READ).local().save(0).link(),
            close(0).load(0, 0).finally().link(),
            get(4).finally(),
        ],
        &[Err(Errno::ENOENT), Err(GONE), Ok(4)],
    );
}

fn finally_failures_do_not_stop_the_next(world: &mut World) {
    for linked in [Entry::link as fn(Entry) -> Entry, Entry::hard] {
        world.expect(
            &[
                get(1).link(),
                linked(failing().finally()),
                linked(close(9).finally()),
                linked(get(0).load(1, 0).finally()),
                get(4).finally(),
            ],
            &[Ok(1), Err(Errno::ETIMEDOUT), Err(Errno::EBADF), Ok(0), Ok(4)],
        );
    }
}

fn finally_alone(world: &mut World) {
    assert_eq!(world.ok(get(1).finally()), 1);
    world.expect(&[failing().finally().link(), get(2).finally()], &[Err(Errno::ETIMEDOUT), Ok(2)]);
}

fn finally_closes_what_was_opened(world: &mut World) {
    world.file("a", b"abc");
    let (path, memory) = (world.path("a"), world.room(4));
    let before = world.descriptors();
    for middle in
        [read(0, memory, 0).load(0, 0), read(9, memory, 0), failing(), sleep(NEVER).timeout(MILLISECOND)]
    {
        let all = world.run(&[
            open(path, OpenFlags::READ).local().save(0).link(),
            middle.link(),
            get(1).link(),
            close(0).load(0, 0).finally(),
        ]);
        assert_eq!(all.len(), 4);
        assert_eq!(all[3].outcome(), Ok(0));
        assert_eq!(world.descriptors(), before);
    }
}

fn finally_keeps_links_apart_from_the_next_chain(world: &mut World) {
    let all = world.run(&[get(1).link(), get(2).finally(), get(3).link(), get(4)]);
    assert!(all.iter().all(|one| one.outcome() == Ok(one.data + 1)), "{all:#?}");
}

fn local_and_drain_on_the_first_entry_only(world: &mut World) {
    assert_eq!(world.errors(&[get(1).link(), get(2).local()]), [BAD; 2]);
    assert_eq!(world.errors(&[get(1).link(), get(2).drain()]), [BAD; 2]);
    world.expect(&[get(1).local().drain().link(), get(2)], &[Ok(1), Ok(2)]);
}

fn silent_suppresses_successes_only(world: &mut World) {
    assert!(world.run(&[get(1).silent()]).is_empty());
    world.fails(failing().silent(), Errno::ETIMEDOUT);
    world.fails(close(9).silent(), Errno::EBADF);
    assert_eq!(world.gauges().packets, 0);
}

fn silent_and_chains(world: &mut World) {
    let all = world.run(&[
        get(1).local().save(0).silent().link(),
        get(0).load(0, 0).silent().link(),
        get(3).silent(),
    ]);
    assert!(all.is_empty());
    let all = world.run(&[failing().silent().link(), get(1).silent().link(), get(2).silent().finally()]);
    let found: Vec<_> = all.iter().map(|one| (one.data, one.errno())).collect();
    assert_eq!(found, [(0, Errno::ETIMEDOUT), (1, GONE)], "what was not run is told, also with SILENT");
}

fn drain_waits_for_everything_earlier(world: &mut World) {
    world.push(&[sleep(5 * MILLISECOND).data(1), sleep(10 * MILLISECOND).data(2), get(0).drain().data(3)]);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2, 3]);
}

fn drain_holds_back_everything_later(world: &mut World) {
    world.push(&[
        sleep(5 * MILLISECOND).drain().link().data(1),
        sleep(5 * MILLISECOND).data(2),
        get(0).data(3),
        get(0).drain().data(4),
        get(0).data(5),
    ]);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

fn drain_waits_for_the_finally_part(world: &mut World) {
    world.push(&[get(0).drain().link().data(1), sleep(5 * MILLISECOND).finally().data(2), get(0).data(3)]);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2, 3]);
    // A CANCEL gets past a chain that holds the others back.
    world.push(&[sleep(NEVER).drain().data(1), get(0).data(2), cancel_data(1).data(3)]);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order.len(), 3);
    assert_eq!(order.last(), Some(&2), "{order:?}");
}

fn multishot_is_for_few_verbs(world: &mut World) {
    let file = world.file("a", b"abc");
    let (memory, path) = (world.room(256), world.path("x"));
    for entry in [
        nop(),
        get(1),
        sleep(0),
        deadline(0),
        cancel_all(),
        read(file, memory, 0),
        write(file, memory, 0),
        open(path, OpenFlags::READ),
        close(file),
        stat(path, memory),
        socket(1, 1, 0),
        mkdir(path),
        readdir(file, memory),
    ] {
        world.fails(entry.multishot(), BAD);
    }
    assert_eq!(world.contents(file, 0, 4), b"abc", "nothing was run");
}

fn multishot_with_flags_it_cannot_have(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let shot = poll(reader, PollEvents::IN).multishot();
    assert_eq!(world.errors(&[shot.link(), get(1)]), [BAD; 2]);
    assert_eq!(world.errors(&[shot.hard(), get(1)]), [BAD; 2]);
    assert_eq!(world.errors(&[shot.finally()]), [BAD]);
    assert_eq!(world.errors(&[shot.silent()]), [BAD]);
    assert_eq!(world.errors(&[shot.save(0)]), [BAD]);
    assert_eq!(world.errors(&[get(1).link(), shot.save(3)]), [BAD; 2]);
    // As the last member it is welcome.
    let all = world.run(&[get(1).link(), shot.timeout(MILLISECOND)]);
    let found: Vec<_> = all.iter().map(|one| one.outcome()).collect();
    assert_eq!(found, [Ok(1), Err(Errno::ETIMEDOUT)]);
}

fn unknown_flag_bits(world: &mut World) {
    for bit in 26..32 {
        let bits = EntryFlags::from_bits_retain(1 << bit);
        world.fails(get(1).with(bits), BAD);
        world.fails(get(1).silent().with(bits), BAD);
        assert_eq!(world.errors(&[get(1).link(), get(2).with(bits).link(), get(3)]), [BAD; 3]);
    }
}

fn malformed_chains_are_refused_whole(world: &mut World) {
    let path = world.path("made");
    assert_eq!(
        world.errors(&[mkdir(path).silent().link(), get(1).silent().link(), get(2).local()]),
        [BAD; 3]
    );
    world.fails(open(path, OpenFlags::READ), Errno::ENOENT);
    // The bad one is the last, and what comes behind is another chain.
    let errors = world.errors(&[mkdir(path).link(), get(1).link().hard(), get(2), get(3)]);
    assert_eq!(errors.iter().filter(|error| **error == BAD).count(), 3);
    assert!(errors.contains(&Errno::OK));
    world.fails(open(path, OpenFlags::READ), Errno::ENOENT);
}

fn chains_are_apart_from_each_other(world: &mut World) {
    let mut entries = Vec::new();
    for number in 0..20u64 {
        entries.extend([get(number).local().save(0).link(), failing().link(), get(0).load(0, 0).finally()]);
    }
    let all = world.run(&entries);
    for one in all {
        let expected = match one.data % 3 {
            1 => Err(Errno::ETIMEDOUT),
            _ => Ok(one.data / 3),
        };
        assert_eq!(one.outcome(), expected);
    }
}
