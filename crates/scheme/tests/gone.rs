//! A service that goes: whoever waits for it learns so, however it waits, and everything it owed ends.

#![allow(clippy::unwrap_used)]

mod shared;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ouzel_ring::{Entry, Errno, PushError, Verb};
use ouzel_scheme::{Answering, AtOnce, Client, ClientOptions, Error, Name, Quotas, Server, Simple};

/// A service without a verb of its own: SLEEP is the engine's.
struct Nothing;

impl Simple for Nothing {
    type File = ();
}

/// A client with something in flight that does not end, of a service that has gone.
fn left_alone(name: &str) -> Client {
    let name = Name::parse(name).unwrap();
    let (sender, receiver) = channel();
    let served = name.clone();
    let server = std::thread::spawn(move || {
        let make = |_: &_| Ok(Answering::new(AtOnce(Nothing), 64));
        let mut server = Server::bind(&served, Quotas::default(), make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv().unwrap();
    let mut client = Client::connect(&name, &ClientOptions::default()).unwrap();
    for data in 0..3 {
        let mut entry = Entry::new(Verb::Nop).data(data);
        entry.timeout = u64::MAX / 2;
        client.push(&entry).unwrap();
    }
    assert_eq!(client.enter(0, None).unwrap().taken, 3);
    stopper.stop();
    server.join().unwrap();
    client
}

#[test]
fn whoever_waits_for_a_service_that_has_gone_learns_so() {
    let _names = shared::Names::new("gone");
    // As long as it takes, for a moment again and again, and not at all.
    for wait in [None, Some(Duration::from_millis(5))] {
        let mut client = left_alone("gone");
        let end = Instant::now() + Duration::from_secs(20);
        let mut data = Vec::new();
        while data.len() < 3 {
            assert!(Instant::now() < end, "nobody says that the service has gone");
            client.enter(3, wait).unwrap();
            while let Some(completion) = client.pop() {
                // What the service had time to give up itself is told in its own words.
                let given_up = [Errno::ECONNRESET.raw(), Errno::ECANCELED.raw()];
                assert!(given_up.contains(&completion.error), "{completion:?}");
                data.push(completion.data);
            }
        }
        data.sort_unstable();
        assert_eq!(data, [0, 1, 2], "each ends once");
        while !client.is_over() {
            assert!(Instant::now() < end);
            client.push(&Entry::new(Verb::Nop)).unwrap();
            let _ = client.enter(1, Some(Duration::from_millis(5)));
            while client.pop().is_some() {}
        }
        assert!(matches!(client.enter(1, None), Err(Error::Over { .. })));
        assert_eq!(client.push(&Entry::new(Verb::Nop)), Err(PushError::Broken));
        assert_eq!(client.close(Duration::from_secs(1)), 0);
    }
}
