//! CANCEL, as a verb and as a call. Section 11 and the page of CANCEL.

use ouzel::abi::{Completion, Descriptor, Errno};
use ouzel::engine::Target;

use crate::World;
use crate::entry::*;

crate::cases![
    cancel_by_data_counts_what_it_reached,
    cancel_by_descriptor,
    cancel_by_descriptor_that_came_from_a_register,
    cancel_by_descriptor_may_be_dead,
    cancel_all_spares_itself,
    cancel_spares_its_own_chain,
    cancel_reaches_the_whole_chain,
    cancel_does_not_reach_finally_entries,
    cancel_of_nothing_is_a_success,
    cancel_modes_without_meaning,
    cancel_too_late_changes_nothing,
    cancel_of_work_on_files_gives_a_true_result,
    cancel_takes_no_data,
    cancel_as_a_call,
    cancel_as_finally,
    cancel_of_a_member_that_waits_its_turn,
];

fn of(all: &[Completion], data: u64) -> Completion {
    *all.iter()
        .find(|one| one.data == data && !one.has_more())
        .unwrap_or_else(|| panic!("no {data} in {all:#?}"))
}

fn cancel_by_data_counts_what_it_reached(world: &mut World) {
    world.start(&[sleep(NEVER).data(5), sleep(NEVER).data(5), sleep(NEVER).data(6), sleep(NEVER).data(5)]);
    world.start(&[cancel_data(5).data(1)]);
    let all = world.wait(4);
    assert_eq!(of(&all, 1).outcome(), Ok(3));
    assert_eq!(all.iter().filter(|one| one.data == 5 && one.errno() == Errno::ECANCELED).count(), 3);
    world.start(&[cancel_data(6).data(1)]);
    assert_eq!(of(&world.settle(), 1).outcome(), Ok(1));
}

fn cancel_by_descriptor(world: &mut World) {
    let ((first, _a), (second, _b)) = (world.pipe(), world.pipe());
    let memory = world.room(16);
    world.start(&[
        read(first, memory.part(0, 4), HERE).data(1),
        read(first, memory.part(4, 4), HERE).data(2),
        read(second, memory.part(8, 4), HERE).data(3),
    ]);
    world.start(&[cancel_descriptor(first).data(4)]);
    let all = world.wait(3);
    assert_eq!(of(&all, 4).outcome(), Ok(2));
    assert_eq!(of(&all, 1).errno(), Errno::ECANCELED);
    assert_eq!(of(&all, 2).errno(), Errno::ECANCELED);
    world.start(&[cancel_all().data(5)]);
    let all = world.settle();
    assert_eq!((of(&all, 3).errno(), of(&all, 5).result), (Errno::ECANCELED, 1));
}

fn cancel_by_descriptor_that_came_from_a_register(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[get(reader).local().save(3).link().data(1), read(0, memory, HERE).load(0, 3).data(2)]);
    assert_eq!(world.wait(1)[0].data, 1);
    world.start(&[cancel_descriptor(0).load(0, 0).local().data(9)]);
    assert_eq!(world.wait(1)[0].errno(), Errno::EINVAL);
    world.start(&[cancel_descriptor(reader).data(3)]);
    let all = world.settle();
    assert_eq!((of(&all, 2).errno(), of(&all, 3).result), (Errno::ECANCELED, 1));
}

fn cancel_by_descriptor_may_be_dead(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[read(reader, memory, HERE).data(1)]);
    world.start(&[close(reader).data(2)]);
    assert_eq!(world.wait(1)[0].data, 2);
    world.start(&[cancel_descriptor(reader).data(3)]);
    let all = world.settle();
    assert_eq!((of(&all, 1).errno(), of(&all, 3).outcome()), (Errno::ECANCELED, Ok(1)));
    for number in [0, 1, u64::MAX, reader] {
        assert_eq!(world.ok(cancel_descriptor(number)), 0);
    }
}

fn cancel_all_spares_itself(world: &mut World) {
    assert_eq!(world.ok(cancel_all()), 0);
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[
        read(reader, memory, HERE).data(1),
        sleep(NEVER).data(2),
        nop().timeout(NEVER - 1).data(3),
    ]);
    world.start(&[cancel_all().data(4)]);
    let all = world.settle();
    assert_eq!(of(&all, 4).outcome(), Ok(3));
    for data in 1..4 {
        assert_eq!(of(&all, data).errno(), Errno::ECANCELED);
    }
}

fn cancel_spares_its_own_chain(world: &mut World) {
    world.expect(&[get(1).link(), cancel_all().link(), get(2).link(), get(3)], &[Ok(1), Ok(0), Ok(2), Ok(3)]);
    world.expect(&[cancel_data(1).link(), get(2)], &[Ok(0), Ok(2)]);
}

fn cancel_reaches_the_whole_chain(world: &mut World) {
    world.start(&[
        get(1).data(1).link(),
        sleep(NEVER).data(2).hard(),
        get(3).data(3).hard(),
        get(4).data(4).silent(),
    ]);
    assert_eq!(of(&world.wait(1), 1).outcome(), Ok(1));
    // Named by a member that has not run.
    world.start(&[cancel_data(4).data(9)]);
    let all = world.settle();
    assert_eq!(of(&all, 9).outcome(), Ok(1), "only the named entry counts");
    for data in 2..5 {
        assert_eq!(of(&all, data).errno(), Errno::ECANCELED);
    }
}

fn cancel_does_not_reach_finally_entries(world: &mut World) {
    let (reader, writer) = world.pipe();
    let (memory, data) = (world.room(4), world.put(b"x"));
    world.start(&[
        sleep(NEVER).data(1).link(),
        get(2).data(2).link(),
        read(reader, memory, HERE).data(3).finally().link(),
        get(4).data(4).finally(),
    ]);
    world.start(&[cancel_all().data(8)]);
    let all = world.wait(3);
    assert_eq!(of(&all, 8).outcome(), Ok(2));
    assert_eq!((of(&all, 1).errno(), of(&all, 2).errno()), (Errno::ECANCELED, Errno::ECANCELED));
    // Now the FINALLY part runs; another cancel finds nothing.
    world.start(&[cancel_data(3).data(9), cancel_data(4).data(10)]);
    let all = world.wait(2);
    assert_eq!((of(&all, 9).outcome(), of(&all, 10).outcome()), (Ok(0), Ok(0)));
    world.start(&[write(writer, data, HERE).data(11)]);
    let all = world.settle();
    assert_eq!((of(&all, 3).outcome(), of(&all, 4).outcome()), (Ok(1), Ok(4)));
}

fn cancel_of_nothing_is_a_success(world: &mut World) {
    assert_eq!(world.ok(cancel_data(99)), 0);
    assert_eq!(world.ok(cancel_data(u64::MAX).timeout(0)), 0);
}

fn cancel_modes_without_meaning(world: &mut World) {
    for mode in [3, 4, u64::MAX] {
        world.fails(cancel_all().arg(3, mode), Errno::EINVAL);
    }
}

fn cancel_too_late_changes_nothing(world: &mut World) {
    world.push(&[get(7).data(1), cancel_data(1).data(2)]);
    let all = world.settle();
    // It may have reached it or not; what ran tells its true result.
    let reached = of(&all, 2).outcome().unwrap();
    match of(&all, 1).outcome() {
        Ok(value) => assert_eq!(value, 7),
        Err(error) => assert_eq!((error, reached), (Errno::ECANCELED, 1)),
    }
}

fn cancel_of_work_on_files_gives_a_true_result(world: &mut World) {
    for _ in 0..20 {
        let file = world.file("a", b"");
        let memory = world.put(b"0123456789");
        world.push(&[write(file, memory, 0).data(1)]);
        world.push(&[cancel_data(1).data(2)]);
        let all = world.settle();
        assert_eq!(all.len(), 2);
        let found = world.contents(file, 0, 20);
        match of(&all, 1).outcome() {
            Ok(count) => assert_eq!(found, b"0123456789"[..count as usize]),
            Err(error) => assert_eq!((error, found.len()), (Errno::ECANCELED, 0)),
        }
        world.close(file);
    }
}

fn cancel_takes_no_data(world: &mut World) {
    let (reader, writer) = world.pipe();
    let (memory, data) = (world.room(4), world.put(b"data"));
    for _ in 0..20 {
        world.start(&[read(reader, memory, HERE).data(1)]);
        world.push(&[write(writer, data, HERE).data(2), cancel_data(1).data(3)]);
        let all = world.settle();
        let got = match of(&all, 1).outcome() {
            Ok(count) => count,
            Err(error) => {
                assert_eq!(error, Errno::ECANCELED);
                0
            }
        };
        assert_eq!(of(&all, 2).outcome(), Ok(4));
        assert_eq!(got + if got < 4 { world.take(reader, 8).len() as u64 } else { 0 }, 4, "no byte is lost");
    }
}

fn cancel_as_a_call(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[read(reader, memory, HERE).data(1), sleep(NEVER).data(2), sleep(NEVER).data(3)]);
    assert_eq!(world.cancel(Target::Data(2)), 1);
    assert_eq!(world.cancel(Target::Descriptor(Descriptor::from_number(reader).unwrap())), 1);
    let all = world.wait(2);
    assert!(all.iter().all(|one| one.errno() == Errno::ECANCELED && one.data != 3));
    assert_eq!(world.cancel(Target::All), 1);
    assert_eq!(of(&world.settle(), 3).errno(), Errno::ECANCELED);
    assert_eq!(world.cancel(Target::All), 0);
}

fn cancel_as_finally(world: &mut World) {
    world.start(&[sleep(NEVER).data(50)]);
    world.start(&[get(1).data(1).link(), cancel_data(50).data(2).finally()]);
    let all = world.settle();
    assert_eq!((of(&all, 2).outcome(), of(&all, 50).errno()), (Ok(1), Errno::ECANCELED));
}

fn cancel_of_a_member_that_waits_its_turn(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[sleep(NEVER).data(1).link(), read(reader, memory, HERE).data(2)]);
    world.start(&[cancel_descriptor(reader).data(3)]);
    let all = world.settle();
    assert_eq!(of(&all, 1).errno(), Errno::ECANCELED);
    assert_eq!(of(&all, 2).errno(), Errno::ECANCELED);
    assert_eq!(of(&all, 3).outcome(), Ok(1));
}
