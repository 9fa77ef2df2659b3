//! A service that refuses: who is turned away is told why, however soon the service hangs up.

#![allow(clippy::unwrap_used)]

mod shared;

use std::sync::mpsc::channel;

use ouzel_scheme::{Answering, AtOnce, Client, ClientOptions, Error, Name, Quotas, Reason, Server, Simple};

/// A service without a verb.
struct Nothing;

impl Simple for Nothing {
    type File = ();
}

#[test]
fn one_connection_past_the_quota_is_told_so_each_time() {
    let _names = shared::Names::new("refusing");
    let name = Name::parse("refusing").unwrap();
    let (sender, receiver) = channel();
    let served = name.clone();
    let server = std::thread::spawn(move || {
        let make = |_: &_| Ok(Answering::new(AtOnce(Nothing), 64));
        let quotas = Quotas { connections: 2, ..Quotas::default() };
        let mut server = Server::bind(&served, quotas, make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv().unwrap();
    let connect = || Client::connect(&name, &ClientOptions::default());
    let granted = [connect().unwrap(), connect().unwrap()];
    for _ in 0..300 {
        // It has closed the connection before the greeting, between that and the answer, or behind both.
        match connect() {
            Err(Error::Refused { reason: Reason::TooManyConnections, .. }) => {}
            other => panic!("{:?}", other.map(drop)),
        }
    }
    drop(granted);
    stopper.stop();
    server.join().unwrap();
}
