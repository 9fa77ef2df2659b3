//! Chains that wait for room or for ever, through the typed face.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::{BackendKind, Chain, Ring, Ticket};

const FOR_EVER: Duration = Duration::from_nanos(u64::MAX);

fn sleeper(ring: &mut Ring) -> Ticket {
    let mut chain = Chain::new();
    chain.sleep(FOR_EVER);
    ring.submit(chain).unwrap()
}

#[test]
fn a_chain_that_waits_for_room_can_be_cancelled() {
    let mut ring =
        Ring::builder().backend(BackendKind::Sim).entries(8).completions(8).seed(1).build().unwrap();
    let sleepers: Vec<Ticket> = (0..6).map(|_| sleeper(&mut ring)).collect();
    ring.flush().unwrap();
    let waits = |ring: &mut Ring| {
        let mut chain = Chain::new();
        let made = chain.pipe();
        chain.finally().close(made.0);
        chain.finally().close(made.1);
        ring.submit(chain).unwrap()
    };
    let (first, second) = (waits(&mut ring), waits(&mut ring));
    ring.flush().unwrap();
    assert_eq!(ring.gauges().packets, 6, "there is no room for it");

    assert!(ring.cancel(second).unwrap());
    assert!(!ring.cancel(second).unwrap(), "once is enough");
    let done = ring.wait(second).unwrap();
    assert!((0..3).all(|step| done.completion_of(step).unwrap().errno() == Errno::ECANCELED));
    assert!(ring.cancel(second).is_err(), "it is gone");

    // The other one still waits, and runs when there is room.
    assert_eq!(ring.in_flight(), 7);
    for sleeper in sleepers {
        assert!(ring.cancel(sleeper).unwrap());
    }
    assert_eq!(ring.wait(first).unwrap().check(), Ok(()));
    ring.wait_all().unwrap();
    while let Some((_, done)) = ring.next_ended() {
        assert_eq!(done.completion_of(0).unwrap().errno(), Errno::ECANCELED);
    }
    assert_eq!((ring.in_flight(), ring.gauges().descriptors), (0, 0));
}
