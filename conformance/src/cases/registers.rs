//! Registers: loads, saves, LOCAL, and the ring's seven. Section 9.

use ouzel::abi::{EntryFlags, Errno};

use crate::World;
use crate::entry::*;

crate::cases![
    register_saves_and_loads_all_seven,
    register_local_starts_undefined,
    register_snapshot_of_the_rings,
    register_saves_are_written_through,
    register_local_saves_stay_local,
    register_snapshot_is_taken_at_admission,
    register_saved_only_on_success,
    register_undefined_is_a_failure_like_any_other,
    register_save_overwrites,
    register_verbs_without_a_result_save_zero,
    register_is_visible_before_the_completion,
];

fn register_saves_and_loads_all_seven(world: &mut World) {
    for register in 0..7 {
        let value = 0x1111_1111 * (register as u64 + 1);
        world.expect(&[get(value).local().save(register).link(), get(0).load(0, register)], &[Ok(value); 2]);
    }
    assert_eq!(world.ring().register(7), None);
    assert!(!world.ring().set_register(7, 1));
}

fn register_local_starts_undefined(world: &mut World) {
    for register in 0..7 {
        world.ring().set_register(register, 5);
        world.fails(get(0).local().load(0, register), Errno::EINVAL);
    }
    // Saving one defines no other.
    world.expect(&[get(1).local().save(0).link(), get(0).load(0, 1)], &[Ok(1), Err(Errno::EINVAL)]);
}

fn register_snapshot_of_the_rings(world: &mut World) {
    for register in 0..7 {
        assert_eq!(world.ok(get(9).load(0, register)), 0, "a ring's registers begin as 0");
        world.ring().set_register(register, 70 + register as u64);
        assert_eq!(world.ok(get(9).load(0, register)), 70 + register as u64);
    }
}

fn register_saves_are_written_through(world: &mut World) {
    for register in 0..7 {
        world.ok(get(register as u64 + 40).save(register));
        assert_eq!(world.ring().register(register), Some(register as u64 + 40));
        assert_eq!(world.ok(get(9).load(0, register)), register as u64 + 40);
    }
}

fn register_local_saves_stay_local(world: &mut World) {
    world.ring().set_register(2, 11);
    world.ok(get(5).local().save(2));
    assert_eq!(world.ring().register(2), Some(11));
    assert_eq!(world.ok(get(0).load(0, 2)), 11);
}

fn register_snapshot_is_taken_at_admission(world: &mut World) {
    world.ring().set_register(0, 1);
    world.start(&[sleep(5 * MILLISECOND).data(1).link(), get(0).load(0, 0).data(2)]);
    world.ring().set_register(0, 2);
    world.start(&[get(3).save(0).data(3)]);
    let all = world.settle();
    let second = all.iter().find(|one| one.data == 2).unwrap();
    assert_eq!(second.outcome(), Ok(1), "what others save later is not seen");
    assert_eq!(world.ring().register(0), Some(3));
}

fn register_saved_only_on_success(world: &mut World) {
    let path = world.path("none");
    world.ring().set_register(1, 33);
    world.fails(open(path, ouzel::abi::modifiers::OpenFlags::READ).save(1), Errno::ENOENT);
    assert_eq!(world.ring().register(1), Some(33));
    world.expect(
        &[get(7).local().save(1).link(), nop().timeout(0).save(1).hard(), get(0).load(0, 1)],
        &[Ok(7), Err(Errno::ETIMEDOUT), Ok(7)],
    );
    world.expect(
        &[nop().local().timeout(0).save(1).hard(), get(0).load(0, 1)],
        &[Err(Errno::ETIMEDOUT), Err(Errno::EINVAL)],
    );
}

fn register_undefined_is_a_failure_like_any_other(world: &mut World) {
    let undefined = get(0).load(0, 6);
    world.expect(
        &[nop().local().hard(), undefined.link(), get(1)],
        &[Ok(0), Err(Errno::EINVAL), Err(Errno::ECANCELED)],
    );
    world.expect(&[nop().local().hard(), undefined.hard(), get(1)], &[Ok(0), Err(Errno::EINVAL), Ok(1)]);
}

fn register_save_overwrites(world: &mut World) {
    world.expect(
        &[
            get(1).local().save(0).link(),
            get(2).save(0).link(),
            get(0).load(0, 0).save(1).link(),
            get(0).load(0, 1),
        ],
        &[Ok(1), Ok(2), Ok(2), Ok(2)],
    );
}

fn register_verbs_without_a_result_save_zero(world: &mut World) {
    world.ring().set_register(4, 9);
    world.ok(nop().save(4));
    assert_eq!(world.ring().register(4), Some(0));
    let path = world.path("d");
    world.ring().set_register(4, 9);
    world.ok(mkdir(path).save(4));
    assert_eq!(world.ring().register(4), Some(0));
}

fn register_is_visible_before_the_completion(world: &mut World) {
    for number in 1..100 {
        world.start(&[get(number).with(EntryFlags::save(3).unwrap()).data(number)]);
        let all = world.wait(1);
        assert_eq!(all[0].data, number);
        assert_eq!(world.ring().register(3), Some(number));
    }
}
