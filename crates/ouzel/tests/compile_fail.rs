//! What the types refuse, and what they allow: each file in `compile_fail` must not compile, for the reason that lies
//! beside it.

use ouzel::{Chain, Done, Movable, Pinned, Ring};

fn sent<T: Send>() {}

#[test]
fn what_may_move_may_move() {
    sent::<Ring<Movable>>();
    sent::<Chain>();
    sent::<Done>();
    fn any<M>(ring: &Ring<M>) -> u32 {
        ring.in_flight()
    }
    let movable = Ring::builder().build_movable().unwrap();
    let count = std::thread::spawn(move || any::<Movable>(&movable)).join().unwrap();
    assert_eq!(count, any::<Pinned>(&Ring::new().unwrap()));
}

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
